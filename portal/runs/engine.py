"""One tick of one run, in the order that keeps servers safe (architecture.md, *A run, tick by tick*).

    lease → observe → decide → note the intent → check → act once → settle → release

A tick is short, may die anywhere and may be delivered twice: the next one looks again and goes on. What was
sent and has no outcome is in doubt; until two looks agree on what became of it nothing else is sent. Only where no
look can tell, and the kind says that something else cannot wait, is it set aside, as what may still take effect.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, Protocol, TypeVar

import structlog

from portal.errors import InDoubt, ProviderFailed, Refused, Trouble, TryLater
from portal.frozen import replace
from portal.runs import metrics, rules
from portal.runs.types import (
    RUN_MOVES,
    Action,
    Decision,
    Doubt,
    Entry,
    LeaseLost,
    Outcome,
    OutcomeKind,
    RunKind,
    RunStatus,
    RunStore,
    RunView,
    Sample,
    StoreAway,
)

log = structlog.get_logger(__name__)
T = TypeVar("T")

DOUBT_PATIENCE_S = 300.0
"""How long a doubt may stay unreadable before a person is told."""
SET_ASIDE_S = 15.0
"""How long a doubt is read before it may be set aside for what cannot wait."""
_SETTLE_SPARE_S = 3.0
"""How much longer than the call (and the check's margin) a lease lasts, for noting the outcome."""
_AGAIN_AT_ONCE_S = 0.0
GO_ON_S = 0.3
"""A run that wants its next look this soon is waited for,"""
MOST_TICKS = 40
"""this often at most, so that others which are due have their turn."""
KEEP_S = 1.0
"""How long after its claim a run is looked at again without being claimed anew."""
UNSURE_SHARE = 1 / 3
"""A claim or a write that took longer than this share of a lease does not say when in it the store's clock was read."""
UNWRITTEN_S = 0.3
"""How long what looks showed and made of a run may stay unwritten, where nobody else has a say in it."""


class Clock(Protocol):
    """A clock that only goes forward; its zero means nothing. It must count while the process is frozen."""

    def monotonic(self) -> float:
        """Return seconds."""
        ...


class SystemClock:
    """The machine's own."""

    def monotonic(self) -> float:
        """Return seconds since some moment."""
        return time.monotonic()


class Ended(StrEnum):
    """How a tick ended."""

    LOOKED = "looked"
    ACTED = "acted"
    NOT_SENT = "not_sent"
    IN_DOUBT = "in_doubt"
    LEASE_LOST = "lease_lost"
    STORE_AWAY = "store_away"
    FAILED = "failed"


class CannotLook(Exception):
    """An observation raised or took too long: nothing was seen, so nothing is decided."""


class Doer(Protocol):
    """How a synchronous store call is made from the event loop."""

    async def __call__(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Return what `function` returns; raise what it raises."""
        ...


async def inline(function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    """Call a store right here: for stores that need no waiting (memory)."""
    return function(*args, **kwargs)


@dataclass(frozen=True)
class Ahead:
    """A look under way while what came before it is written; `began` in the clock's seconds."""

    task: asyncio.Task[Any]
    began: float


@dataclass
class Tick:
    """A tick in hand: the newest view, and when (clock's seconds) it was asked for: its time is never behind.

    `keeps`: whether the lease may be kept for another look. `kept` is then the view to go on with, in `again_s`
    seconds. `stored` is the progress as it was last written, `written_at` when (clock's seconds), `journal` and
    `samples` what came since and is not written yet. `judged_at` (clock's seconds) is from when `again_s` counts.
    `is_unsure`: the time of `kept` may be far ahead. `ahead` is the next look, if it is under way already.
    `is_patient` as the newest decision says.
    """

    view: RunView
    claimed_at: float
    keeps: bool = False
    kept: RunView | None = None
    again_s: float | None = None
    judged_at: float = 0.0
    stored: Mapping[str, Any] = field(default_factory=dict)
    written_at: float = 0.0
    is_unsure: bool = False
    journal: tuple[Entry, ...] = ()
    samples: tuple[Sample, ...] = ()
    ahead: Ahead | None = None
    is_patient: bool = False

    @property
    def gives_way(self) -> bool:
        """Whether others wait for the worker, of which something is out, and nothing of this run is."""
        return self.is_patient and self.view.is_behind


class Engine:
    """Ticks runs on a store. `lease_s` is the length of a lease; calls with longer deadlines get longer ones.

    Small methods that a mutation test takes away: `read_doubt` (the in-doubt rule), `check` (the look right
    before the call), `keep_lease` (renewal).
    """

    def __init__(
        self, store: RunStore, clock: Clock | None = None, *, lease_s: float = 15.0, do: Doer = inline
    ) -> None:
        self.store = store
        self.clock = clock or SystemClock()
        self.lease_s = lease_s
        self.do = do
        self._behind_until = float("-inf")

    async def tick(self, view: RunView, kind: RunKind, *, claimed_at: float | None = None) -> Ended:
        """Carry the claimed run `view` on by one step. Raises nothing but cancellation."""
        at = self.clock.monotonic() if claimed_at is None else claimed_at
        return await self._timed(Tick(self._seen(view), at, stored=view.progress, written_at=at), kind)

    async def go_on(
        self, view: RunView, kind: RunKind, *, holder: str, until: float, claimed_at: float | None = None
    ) -> int:
        """Tick the claimed run, and again for as long as it wants the next look soon; return how many ticks it were.

        Short sleeps are slept with the lease in hand, for `KEEP_S` after the claim at most: commands and facts are
        read when it is claimed. After that the run is anybody's, as between all ticks, and is claimed again by
        itself. Ends before `until` (the clock's seconds). Raises nothing but cancellation.
        """
        ticks = 0
        at = self.clock.monotonic() if claimed_at is None else claimed_at
        tick = Tick(self._seen(view), at, keeps=True, stored=view.progress, written_at=at)
        keep_until = at + KEEP_S
        try:
            if await self._is_of_an_unsure_time(tick):
                return ticks
            if view.due_in_s > 0:
                await asyncio.sleep(view.due_in_s)
            # Claimed ahead and handed over late, the time that the claim read is from before the look was due.
            self._move_on(tick)
            while True:
                await self._timed(tick, kind)
                ticks += 1
                again_s = tick.again_s
                now = self.clock.monotonic()
                is_enough = ticks >= MOST_TICKS or now + (again_s or 0.0) >= until
                if again_s is None or again_s > GO_ON_S or is_enough or tick.is_unsure or tick.gives_way:
                    await self._let_go(tick)
                    return ticks
                await asyncio.sleep(rules.due_in_s(again_s, now - tick.judged_at))
                if tick.kept is not None:
                    self._take_up(tick, tick.kept, keep_until)
                    continue
                at = self.clock.monotonic()
                taken = await self.do(self.store.claim, view.ref, holder=holder, lease_s=self.lease_s)
                if taken is None:
                    return ticks
                tick = Tick(self._seen(taken), at, keeps=True, stored=taken.progress, written_at=at)
                keep_until = at + KEEP_S
                if await self._is_of_an_unsure_time(tick):
                    return ticks
        except LeaseLost as lost:
            metrics.LEASES_LOST.inc()
            log.warning("run_lease_lost", run=view.ref, why=str(lost))
        except StoreAway as away:
            log.warning("run_store_away", run=view.ref, why=str(away))
        finally:
            await self._drop_ahead(tick)
        return ticks

    def _seen(self, view: RunView) -> RunView:
        """Return a view that was claimed just now, with whether this worker is behind."""
        now = self.clock.monotonic()
        if view.late_s > rules.LATE_S:
            self._behind_until = now + rules.BEHIND_S
        return replace(view, is_behind=now < self._behind_until and not view.has_turn)

    async def _is_of_an_unsure_time(self, tick: Tick) -> bool:
        """Give back a run whose claim took so long (a frozen worker, say) that nobody knows when its time was read."""
        took_s = self.clock.monotonic() - tick.claimed_at
        if took_s <= self.lease_s * UNSURE_SHARE:
            return False
        log.warning("run_claim_took_long", run=tick.view.ref, took_s=round(took_s, 1))
        await self.do(self.store.release, tick.view, look_again_s=_AGAIN_AT_ONCE_S)
        return True

    async def _let_go(self, tick: Tick) -> None:
        """Give back a run that was kept for a look that this worker does not take. Raises LeaseLost, StoreAway."""
        if tick.kept is None:
            return
        self._take_up(tick, tick.kept, 0.0)
        left = self._whole(
            tick,
            Decision(tick.view.progress, look_again_s=_AGAIN_AT_ONCE_S, is_patient=tick.is_patient),
        )
        await self.do(self.store.commit, replace(tick.view, progress=tick.stored), left)

    def _take_up(self, tick: Tick, kept: RunView, keep_until: float) -> None:
        tick.view, tick.kept, tick.again_s = kept, None, None
        self._move_on(tick)
        tick.keeps = self.clock.monotonic() < keep_until

    async def _timed(self, tick: Tick, kind: RunKind) -> Ended:
        began, view = self.clock.monotonic(), tick.view
        with structlog.contextvars.bound_contextvars(run=view.ref, token=view.token):
            ended = await self._guarded(tick, kind)
        metrics.TICKS.labels(view.kind, ended.value).inc()
        metrics.TICK_SECONDS.labels(view.kind).observe(self.clock.monotonic() - began)
        return ended

    async def _guarded(self, tick: Tick, kind: RunKind) -> Ended:
        try:
            try:
                return await self._tick(tick, kind)
            except (LeaseLost, StoreAway):
                raise
            except CannotLook as blind:
                log.warning("run_cannot_look", why=str(blind))
                await self._failed(tick, "cannot_look")
            except Exception:
                log.exception("run_tick_failed")
                await self._failed(tick, "internal_error")
            return Ended.FAILED
        except LeaseLost as lost:
            metrics.LEASES_LOST.inc()
            log.warning("run_lease_lost", why=str(lost))
            return Ended.LEASE_LOST
        except StoreAway as away:
            log.warning("run_store_away", why=str(away))
            return Ended.STORE_AWAY

    async def _tick(self, tick: Tick, kind: RunKind) -> Ended:
        if tick.view.unsent is not None:
            return await self._settle_unsent(tick, kind, tick.view.unsent.intent_id, tick.view.unsent.action)
        looked_from = tick.ahead.began if tick.ahead is not None else self.clock.monotonic()
        observation = await self.observe(tick, kind)
        self._move_on(tick)
        if tick.view.doubt is not None:
            return await self.read_doubt(tick, kind, observation, looked_from)
        decision = kind.decide(tick.view, observation)
        if decision.action is None:
            await self._keep_look(tick, kind, decision)
            return Ended.LOOKED
        return await self._carry_out(tick, kind, decision, decision.action, looked_from)

    async def observe(self, tick: Tick, kind: RunKind) -> Any:
        """Return one fresh look within the kind's total deadline. Raises CannotLook, LeaseLost."""
        ahead, tick.ahead = tick.ahead, None
        look = ahead.task if ahead is not None else _look(kind, tick.view)
        try:
            return await self.keep_lease(tick, look, drop_when_lost=True)
        except TimeoutError as error:
            raise CannotLook(f"the observation took longer than {kind.observe_deadline_s} s") from error
        except Trouble as trouble:
            raise CannotLook(trouble.says) from trouble

    async def _keep_look(self, tick: Tick, kind: RunKind, decision: Decision) -> None:
        """Write what a look showed; where nobody else has a say in it, it waits for the next write, shortly.

        A worker that dies before has looked in vain: nothing was sent that rests on what is not written, since the
        next write is that of the intent. Journal and progress are written, or lost, together.
        """
        now = self.clock.monotonic()
        is_soon = tick.keeps and decision.look_again_s <= GO_ON_S
        lasts_s = (tick.view.lease_until - tick.view.now).total_seconds()
        if (
            is_soon
            and rules.may_keep(tick.view, decision)
            and now - tick.written_at < UNWRITTEN_S
            and lasts_s > self.lease_s / 2
        ):
            tick.journal += decision.journal
            tick.samples += decision.samples
            tick.kept, tick.again_s = replace(tick.view, progress=decision.progress), decision.look_again_s
            tick.is_patient = decision.is_patient
            return
        if is_soon:
            self._look_ahead(tick, kind, decision)
        kept = await self.do(
            self.store.commit,
            replace(tick.view, progress=tick.stored),
            self._whole(tick, decision),
            keep_s=self.lease_s if is_soon else 0.0,
        )
        self._written(tick, decision, kept, now)
        if kept is None:
            await self._drop_ahead(tick)

    def _look_ahead(self, tick: Tick, kind: RunKind, decision: Decision) -> None:
        """Begin the next look, where it is wanted at once, beside the writing of what leads to it.

        A look changes nothing. What it shows is judged only once all that came before is written, under the lease
        that was kept by that; else it is dropped.
        """
        if decision.look_again_s > 0 or not rules.may_keep(tick.view, decision):
            return
        view, claimed_at = replace(tick.view, progress=decision.progress), tick.claimed_at

        async def look() -> Any:
            # Where the process froze before this began, the time has gone on meanwhile.
            passed = timedelta(seconds=max(0.0, self.clock.monotonic() - claimed_at))
            return await _look(kind, replace(view, now=view.now + passed))

        tick.ahead = Ahead(asyncio.ensure_future(look()), self.clock.monotonic())

    async def _drop_ahead(self, tick: Tick) -> None:
        ahead, tick.ahead = tick.ahead, None
        if ahead is not None:
            ahead.task.cancel()
            await asyncio.gather(ahead.task, return_exceptions=True)

    def _whole(self, tick: Tick, decision: Decision) -> Decision:
        """Return the decision with what came of looks that were not written yet."""
        if not tick.journal and not tick.samples:
            return decision
        return replace(
            decision, journal=tick.journal + decision.journal, samples=tick.samples + decision.samples
        )

    def _written(self, tick: Tick, decision: Decision, kept: RunView | None, asked_at: float) -> None:
        tick.journal, tick.samples = (), ()
        tick.stored, tick.written_at = decision.progress, self.clock.monotonic()
        tick.again_s = decision.look_again_s if decision.action is None else None
        tick.is_patient = decision.is_patient
        if kept is not None:
            tick.kept = replace(kept, progress=decision.progress)
            # The store's clock was read since. Counted from before, a worker that froze meanwhile is not behind the time:
            # else a stretch that begins now would seem longer than it was, once the time is read anew.
            tick.claimed_at = asked_at
            tick.is_unsure = tick.written_at - asked_at > self.lease_s * UNSURE_SHARE

    # A change

    async def _carry_out(
        self, tick: Tick, kind: RunKind, decision: Decision, action: Action, looked_from: float
    ) -> Ended:
        deadline_s = kind.call_deadline_s
        lease_s = max(self.lease_s, deadline_s + rules.CHECK_MARGIN_S + _SETTLE_SPARE_S)
        applied = rules.apply(
            tick.view.status, tick.view.halt, decision, started=tick.view.started_at is not None
        )
        intent_id = await self.do(
            self.store.note_intent,
            replace(tick.view, progress=tick.stored),
            self._whole(tick, decision),
            deadline_s=deadline_s,
            lease_s=lease_s,
        )
        self._written(tick, decision, None, looked_from)
        tick.view = replace(tick.view, progress=decision.progress, status=applied.status, halt=applied.halt)
        checked_from = self.clock.monotonic()
        # A put-back is safe on an older look; everything else rests on what was seen.
        stale_from = float("inf") if action.is_put_back else looked_from + kind.look_max_age_s
        why = (
            "the look is too old to act on"
            if checked_from >= stale_from
            else await self.check(tick, intent_id, deadline_s)
        )
        if why:
            metrics.CHECKS_REFUSED.inc()
            log.info("run_change_held_back", why=why, action=action.name)
            return await self._settle_unsent(tick, kind, intent_id, action, why)
        not_after = min(checked_from + deadline_s, stale_from)
        outcome, failed = await self.act(tick, kind, action, deadline_s=deadline_s, not_after=not_after)
        self._move_on(tick)
        if outcome.kind is OutcomeKind.IN_DOUBT:
            return await self._note_doubt(tick, intent_id, outcome, deadline_s, failed=failed)
        meant = _without_action(kind.settle(tick.view, action, outcome))
        if outcome.kind is OutcomeKind.TRY_LATER and outcome.after_s is not None:
            meant = replace(meant, look_again_s=max(meant.look_again_s, outcome.after_s))
        keep_s = self.lease_s if tick.keeps and meant.look_again_s <= GO_ON_S else 0.0
        if keep_s:
            self._look_ahead(tick, kind, meant)
        kept, asked_at = await self._surely(
            self.store.settle, tick.view, intent_id, outcome, meant, keep_s=keep_s
        )
        self._written(tick, meant, kept, asked_at)
        if kept is None:
            await self._drop_ahead(tick)
        return Ended.ACTED

    async def check(self, tick: Tick, intent_id: int, deadline_s: float) -> str:
        """Mark the intent as sent if it may be; else return why it must not be sent."""
        checked = await self.do(self.store.check, tick.view, intent_id, deadline_s=deadline_s)
        return "" if checked.ok else checked.why or "the check refused it"

    async def act(
        self, tick: Tick, kind: RunKind, action: Action, *, deadline_s: float, not_after: float
    ) -> tuple[Outcome, bool]:
        """Make the one call, within its total deadline; return (outcome, whether a bug got in between).

        What cannot be known is IN_DOUBT, never an exception.
        """

        async def call() -> Outcome:
            async with asyncio.timeout(deadline_s):
                return await kind.act(tick.view, action, not_after=not_after)

        try:
            return await self.keep_lease(tick, call(), drop_when_lost=False), False
        except TryLater as later:
            return Outcome(OutcomeKind.TRY_LATER, later.says, later.code, after_s=later.after_s), False
        except Refused as refusal:
            return Outcome(OutcomeKind.REFUSED, refusal.says, refusal.code), False
        except ProviderFailed as failed:
            return Outcome(OutcomeKind.FAILED, failed.says, failed.code), False
        except InDoubt as doubt:
            return Outcome(OutcomeKind.IN_DOUBT, doubt.says, doubt.code), False
        except TimeoutError:
            says = f"No answer came within {deadline_s:g} s."
            return Outcome(OutcomeKind.IN_DOUBT, says, "timed_out"), False
        except Exception:
            # It may have been sent before the bug: only a look can tell.
            log.exception("run_act_failed", action=action.name)
            return Outcome(OutcomeKind.IN_DOUBT, "The portal failed in mid-call.", "internal_error"), True

    async def _settle_unsent(
        self, tick: Tick, kind: RunKind, intent_id: int, action: Action, why: str = "its worker died"
    ) -> Ended:
        """Settle an intent that was surely not sent. The run is looked at again at once."""
        outcome = Outcome(OutcomeKind.NOT_APPLIED, f"It was not sent: {why}.", rules.NOT_SENT)
        meant = _without_action(kind.settle(tick.view, action, outcome))
        meant = replace(meant, look_again_s=min(meant.look_again_s, _AGAIN_AT_ONCE_S))
        await self._surely(self.store.settle, tick.view, intent_id, outcome, meant)
        return Ended.NOT_SENT

    async def _note_doubt(
        self, tick: Tick, intent_id: int, outcome: Outcome, deadline_s: float, *, failed: bool
    ) -> Ended:
        metrics.IN_DOUBT.inc()
        log.warning("run_change_in_doubt", why=outcome.says, code=outcome.code)
        halts = failed and RunStatus.HALTED in RUN_MOVES[tick.view.status]
        meant = Decision(
            progress=tick.view.progress,
            halt=rules.internal_halt(1) if halts else None,
            look_again_s=min(1.0, deadline_s),
        )
        await self._surely(self.store.settle, tick.view, intent_id, outcome, meant)
        return Ended.IN_DOUBT

    # A doubt

    async def read_doubt(self, tick: Tick, kind: RunKind, observation: Any, looked_from: float) -> Ended:
        """Read what became of a change whose answer was lost. Nothing is sent, whatever the kind decides.

        A look counts only if it began once the change could no longer be under way.
        """
        view, doubt = tick.view, tick.view.doubt
        if doubt is None:
            raise ValueError("There is nothing in doubt.")
        decided = kind.decide(view, observation)
        watched = self._watched(view, decided)
        began = view.now - timedelta(seconds=self.clock.monotonic() - looked_from)
        if began < doubt.settled_after:
            wait_s = max(0.05, (doubt.settled_after - view.now).total_seconds())
            watched = replace(watched, look_again_s=min(watched.look_again_s, wait_s))
            await self.do(self.store.commit, view, watched)
            return Ended.IN_DOUBT
        shows = kind.effect(doubt.action, observation)
        looks, happened = rules.agreed(doubt.looks, shows)
        if happened is not None:
            return await self._settle_doubt(tick, kind, doubt, watched, happened)
        unread_s = (view.now - doubt.settled_after).total_seconds()
        if shows is None and decided.sets_aside and unread_s >= SET_ASIDE_S:
            return await self._set_aside(tick, kind, doubt, watched, decided.sets_aside)
        if looks != doubt.looks:
            await self.do(self.store.look, view, doubt.intent_id, looks)
        await self.do(self.store.commit, view, self._or_tell(view, doubt, watched))
        return Ended.IN_DOUBT

    async def _settle_doubt(
        self, tick: Tick, kind: RunKind, doubt: Doubt, watched: Decision, happened: bool
    ) -> Ended:
        outcome = Outcome(OutcomeKind.DONE if happened else OutcomeKind.NOT_APPLIED, by_reading=True)
        meant = _without_action(kind.settle(tick.view, doubt.action, outcome))
        meant = replace(meant, samples=meant.samples + watched.samples)
        await self._surely(self.store.settle, tick.view, doubt.intent_id, outcome, meant)
        log.info("run_doubt_settled", happened=happened, action=doubt.action.name)
        return Ended.ACTED

    async def _set_aside(self, tick: Tick, kind: RunKind, doubt: Doubt, watched: Decision, why: str) -> Ended:
        """Close a doubt that no look can tell, as a change that may still take effect: something else cannot wait."""
        outcome = Outcome(OutcomeKind.NOT_APPLIED, why, rules.SET_ASIDE)
        meant = _without_action(kind.settle(tick.view, doubt.action, outcome))
        meant = replace(meant, samples=meant.samples + watched.samples)
        await self._surely(self.store.settle, tick.view, doubt.intent_id, outcome, meant)
        log.warning("run_doubt_set_aside", action=doubt.action.name, why=why)
        return Ended.ACTED

    def _watched(self, view: RunView, decision: Decision) -> Decision:
        """Return what may be kept of a decision while a doubt is open: no action, and no end of the run,
        whose claims must be held until it is known what was done."""
        ends = decision.status is not None and decision.status.is_over
        if decision.action is None and not ends:
            return decision
        return Decision(
            progress=view.progress, samples=decision.samples, look_again_s=min(1.0, decision.look_again_s)
        )

    def _or_tell(self, view: RunView, doubt: Doubt, watched: Decision) -> Decision:
        """Return `watched`, as a halt where the doubt could not be read for too long."""
        unread_s = (view.now - doubt.settled_after).total_seconds()
        status = watched.status or view.status
        can_halt = status is not RunStatus.HALTED and RunStatus.HALTED in RUN_MOVES[view.status]
        if unread_s < DOUBT_PATIENCE_S or watched.halt is not None or not can_halt:
            return watched
        return replace(watched, status=RunStatus.HALTED, halt=rules.doubt_halt(doubt.action, unread_s))

    # Lease and failures

    async def keep_lease(self, tick: Tick, work: Awaitable[T], *, drop_when_lost: bool) -> T:
        """Await `work`, renewing the lease at a third of its length for as long as it takes.

        A look is dropped when the lease is lost (raises LeaseLost). A call is awaited to its end: it is on
        the wire already, and writing its outcome will be refused.
        """
        main = asyncio.ensure_future(work)
        keeper = asyncio.ensure_future(self._renew(tick))
        try:
            await asyncio.wait({main, keeper}, return_when=asyncio.FIRST_COMPLETED)
            if not main.done() and drop_when_lost:
                keeper.result()
            return await main
        finally:
            main.cancel()
            keeper.cancel()
            await asyncio.gather(main, keeper, return_exceptions=True)

    async def _renew(self, tick: Tick) -> None:
        """Renew until cancelled. Raises LeaseLost."""
        while True:
            await asyncio.sleep(self.lease_s / 3)
            try:
                renewed = await self.do(self.store.renew, tick.view, lease_s=self.lease_s)
            except StoreAway as away:
                log.warning("run_renewal_missed", why=str(away))
                continue
            tick.view = replace(tick.view, lease_until=renewed.lease_until)

    def _move_on(self, tick: Tick) -> None:
        """Move the view's time on by what has passed since the claim: the database's clock, kept here."""
        at = self.clock.monotonic()
        tick.view = replace(tick.view, now=tick.view.now + timedelta(seconds=max(0.0, at - tick.claimed_at)))
        tick.claimed_at = tick.judged_at = at

    async def fail(self, view: RunView) -> None:
        """Count a tick of a claimed run that could not even be made, as one that failed. Raises LeaseLost, StoreAway."""
        await self._failed(Tick(view, self.clock.monotonic(), stored=view.progress), "internal_error")

    async def _failed(self, tick: Tick, code: str) -> None:
        """Count a failed tick and back off; the third in a row halts the run."""
        view = tick.view
        failures = view.failures + 1
        metrics.FAILURES.labels(view.kind).inc()
        wait_s = rules.retry_after_s(failures)
        may_halt = view.status is RunStatus.HALTED or RunStatus.HALTED in RUN_MOVES[view.status]
        halt = rules.failing_halt(failures, code, view.halt, view.now) if may_halt else None
        if halt is not None:
            decision = Decision(progress=view.progress, halt=halt, look_again_s=wait_s)
            log.error("run_halted", code=halt.code, failures=failures, why=code)
            try:
                stored = replace(view, progress=tick.stored)
                await self.do(self.store.commit, stored, self._whole(tick, decision), failed=True)
            except (LeaseLost, StoreAway):
                raise
            except Exception:
                # What the tick made of the run is what cannot be written: leave it, and stop all the same.
                log.exception("run_halt_not_projected")
                await self.do(self.store.halt, view, halt, look_again_s=wait_s)
        else:
            await self.do(self.store.release, view, look_again_s=wait_s, failed=True)

    async def _surely(self, write: Callable[..., T], *args: Any, **kwargs: Any) -> tuple[T, float]:
        """Return what writing an outcome returns, and when (clock's seconds) it was begun, trying again while the store is away.

        A lost outcome would cost a doubt.

        Gives up once the lease must have ended; the next holder reads what became of the change.
        """
        give_up_at = self.clock.monotonic() + self.lease_s
        wait_s = 0.1
        while True:
            asked_at = self.clock.monotonic()
            try:
                return await self.do(write, *args, **kwargs), asked_at
            except StoreAway:
                if self.clock.monotonic() + wait_s > give_up_at:
                    raise
                await asyncio.sleep(wait_s)
                wait_s = min(1.0, wait_s * 2)


async def tick(
    view: RunView, kind: RunKind, store: RunStore, clock: Clock | None = None, *, do: Doer = inline
) -> Ended:
    """Carry one claimed run on by one step (see `Engine.tick`)."""
    return await Engine(store, clock, do=do).tick(view, kind)


async def _look(kind: RunKind, view: RunView) -> Any:
    """Return one look within the kind's total deadline; raise TimeoutError and what the kind raises."""
    async with asyncio.timeout(kind.observe_deadline_s):
        return await kind.observe(view)


def _without_action(decision: Decision) -> Decision:
    """Return the decision; raises ValueError if it holds an action, which only `decide` may ask for."""
    if decision.action is not None:
        raise ValueError("What an outcome means holds no action; the next look decides on that.")
    return decision
