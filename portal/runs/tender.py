"""The tender: a bounded turn of one worker child that ticks all due runs side by side.

A message per tick costs too much for a fleet; a message wakes a turn. The event loop does provider I/O only;
database work runs in two threads with a connection each. Loop, threads and HTTP clients start after the fork
and are kept over turns.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import structlog

from portal.runs import metrics, registry
from portal.runs.engine import Clock, Doer, Engine, SystemClock
from portal.runs.lateness import lateness
from portal.runs.room import Room
from portal.runs.store_pg import PgStore
from portal.runs.threads import StoreThreads
from portal.runs.types import LeaseLost, RunKind, RunStore, RunView, StoreAway

log = structlog.get_logger(__name__)

POLL_S = 0.25
"""How soon at the latest a turn in hand sees a command or a new run without any message."""
AHEAD_S = 0.02
"""A run is claimed so long before it is due: its look then begins in time, and not when it was claimed."""
SPARE_S = 1.0
"""How much longer than its time a turn may last, so that its end does not come between two looks that follow at once."""
_LOCKED_S = 0.05
_BREATH_S = 0.005
"""Ticks that end within this time share one claim."""


@dataclass(frozen=True)
class Turn:
    """What a turn did: ticks made, and in how many seconds the next run is due (None: no work left)."""

    ticks: int
    next_due_s: float | None


class Tender:
    """Ticks due runs side by side until its time is up or nothing is due within it.

    `kind_of` returns the kind by name; `names` are the kinds that this worker knows.
    """

    def __init__(
        self,
        store: RunStore,
        kind_of: Callable[[str], RunKind],
        *,
        names: Callable[[], Collection[str]],
        lease_s: float,
        batch: int,
        clock: Clock | None = None,
        do: Doer | None = None,
        holder: str = "",
        engine: Engine | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self.do: Doer = do or StoreThreads()
        self.store = store
        self.engine = engine or Engine(store, self.clock, lease_s=lease_s, do=self.do)
        self.holder = holder or f"{socket.gethostname()}:{os.getpid()}"
        self.lease_s = lease_s
        self.room = Room(batch)
        self._kind_of = kind_of
        self._names = names

    async def turn(self, budget_s: float) -> Turn:
        """Take turns at due runs for up to `budget_s`, a little longer while one is in hand; its tick is then awaited.

        Returns at once if nothing is due within the budget. Raises nothing: a store that is away ends the
        turn, and the next message or sweep starts another.
        """
        with lateness() as late_s:
            self.room.begin(time.perf_counter(), time.process_time())
            try:
                return await self._turn(budget_s, late_s)
            finally:
                metrics.LOOP_LATE_SECONDS.inc(late_s())

    async def _turn(self, budget_s: float, late_s: Callable[[], float]) -> Turn:
        until = self.clock.monotonic() + budget_s
        at_last = until + SPARE_S
        active: set[asyncio.Task[int]] = set()
        ticks = 0
        next_due_s: float | None = None
        due_at: float | None = None
        try:
            while (left_s := (at_last if active else until) - (now := self.clock.monotonic())) > 0:
                is_due = due_at is not None and due_at - AHEAD_S <= now
                views, next_due_s = await self.do(self._claim, self.room.runs - len(active), is_due=is_due)
                due_at = None if next_due_s is None else self.clock.monotonic() + next_due_s
                active |= {asyncio.create_task(self._tick(view, now, at_last)) for view in views}
                self.room.hear(time.perf_counter(), late_s(), time.process_time(), len(active))
                if not active and (next_due_s is None or next_due_s >= left_s):
                    break
                if next_due_s is None:
                    wait_s = POLL_S
                elif next_due_s > AHEAD_S:
                    wait_s = max(_BREATH_S, next_due_s - AHEAD_S)
                else:
                    # Due and yet not to be had: somebody has the row locked, which takes a moment.
                    wait_s = _BREATH_S if views else _LOCKED_S
                wait_s = min(POLL_S, left_s, wait_s)
                active, made = await _any_of(active, wait_s)
                ticks += made
        except StoreAway as away:
            log.warning("tender_store_away", why=str(away))
        finally:
            if active:
                done, _ = await asyncio.wait(active)
                ticks += sum(task.result() for task in done)
        if ticks:
            next_due_s = await self._next_due()
        metrics.TURNS.labels("work" if ticks else "nothing").inc()
        return Turn(ticks, next_due_s)

    def _claim(self, limit: int, *, is_due: bool) -> tuple[list[RunView], float | None]:
        """Return what could be claimed, and in how many seconds the next run is due.

        Most of the time nothing is: then that is read, and nothing locked. `is_due`: something must be due by now.
        """
        names = self._names()
        if limit <= 0:
            # With a full batch in hand only the end of a tick makes room.
            return [], None
        if not is_due:
            next_due_s = self.store.next_due_s(names)
            if next_due_s is None or next_due_s > AHEAD_S:
                return [], next_due_s
        views = self.store.claim_due(
            holder=self.holder, limit=limit, lease_s=self.lease_s, kinds=names, ahead_s=AHEAD_S
        )
        return views, self.store.next_due_s(names) if limit > len(views) else None

    async def _next_due(self) -> float | None:
        try:
            return await self.do(self.store.next_due_s, self._names())
        except StoreAway as away:
            log.warning("tender_store_away", why=str(away))
            return None

    async def _tick(self, view: RunView, claimed_at: float, until: float) -> int:
        """Tick one run, a few times where it wants that soon; return how many ticks it were."""
        try:
            kind = self._kind_of(view.kind)
            return await self.engine.go_on(view, kind, holder=self.holder, until=until, claimed_at=claimed_at)
        except Exception:
            # Of this one run only: the others of the turn go on. It counts: what fails each time halts, and people are told.
            log.exception("run_tick_escaped", run=view.ref)
            await self._count_failure(view)
        return 1

    async def _count_failure(self, view: RunView) -> None:
        try:
            await self.engine.fail(view)
        except (LeaseLost, StoreAway) as lost:
            log.warning("run_failure_not_counted", run=view.ref, why=str(lost))
        except Exception:
            log.exception("run_failure_not_counted", run=view.ref)


async def _any_of(active: set[asyncio.Task[int]], wait_s: float) -> tuple[set[asyncio.Task[int]], int]:
    """Wait until a run is let go or `wait_s` has passed; return those still in hand, and the ticks of the others."""
    if not active:
        await asyncio.sleep(wait_s)
        return active, 0
    done, pending = await asyncio.wait(active, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
    if done and pending:
        await asyncio.sleep(_BREATH_S)
        more = {task for task in pending if task.done()}
        done, pending = done | more, pending - more
    return pending, sum(task.result() for task in done)


class Child:
    """What one worker child keeps over turns: loop, store threads, kinds with their HTTP clients."""

    def __init__(self, *, lease_s: float, batch: int) -> None:
        self.pid = os.getpid()
        self._runner = asyncio.Runner()
        self._threads = StoreThreads()
        self._kinds: dict[str, RunKind] = {}
        self.tender = Tender(
            PgStore(),
            self._kind,
            names=lambda: registry.kinds().keys(),
            lease_s=lease_s,
            batch=batch,
            do=self._threads,
        )

    def turn(self, budget_s: float) -> Turn:
        """Make one turn on this child's own loop."""
        return self._runner.run(self.tender.turn(budget_s))

    def close(self) -> None:
        """Close clients, loop and threads."""
        for close in registry.closers():
            self._runner.run(_closed(close))
        self._runner.close()
        self._threads.close()

    def _kind(self, name: str) -> RunKind:
        if name not in self._kinds:
            known = registry.registered(name)
            if known is None:
                raise LookupError(f"The kind of run {name!r} is not registered.")
            self._kinds[name] = known.factory()
        return self._kinds[name]


async def _closed(close: Callable[[], Any]) -> None:
    await close()
