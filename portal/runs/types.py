"""What the run engine and a kind of run say to each other. Frozen values; no database, no network, no clock.

The engine knows nothing of servers: a *kind* (scale-down, drill) brings five functions:

    observe(view)                  read the provider afresh; input and output only
    decide(view, observation)      pure: what to do next, at most one change
    effect(action, observation)    pure: does a change whose answer was lost show?
    act(view, action, not_after)   carry out that one change
    settle(view, action, outcome)  pure: what its outcome means

One tick: claim the lease → observe → decide → note the intent → check → act once → settle → release.

The engine itself writes journal entries for each intent and its outcome, each command and its answer, each
move between states and each halt; a kind adds what only it knows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol


class RunStatus(StrEnum):
    """States of a run. *Paused* is a person's wish, *halted* the run's own stop."""

    SCHEDULED = "scheduled"
    RUNNING = "running"
    PAUSED = "paused"
    HALTED = "halted"
    ROLLING_BACK = "rolling_back"
    GROWING = "growing"
    COMPLETED = "completed"
    ABORTED = "aborted"
    ROLLED_BACK = "rolled_back"

    @property
    def is_over(self) -> bool:
        """No tick comes any more and every claim is given back."""
        return self in {RunStatus.COMPLETED, RunStatus.ABORTED, RunStatus.ROLLED_BACK}


_ON_FROM_ANYWHERE = (RunStatus.ROLLING_BACK, RunStatus.GROWING, RunStatus.COMPLETED, RunStatus.ABORTED)
# Which move is allowed. A halted or paused run is still looked at on every tick (rising traffic).
RUN_MOVES: Mapping[RunStatus, frozenset[RunStatus]] = {
    RunStatus.SCHEDULED: frozenset({RunStatus.RUNNING, RunStatus.HALTED, RunStatus.ABORTED}),
    RunStatus.RUNNING: frozenset({RunStatus.PAUSED, RunStatus.HALTED, *_ON_FROM_ANYWHERE}),
    RunStatus.PAUSED: frozenset({RunStatus.RUNNING, RunStatus.HALTED, *_ON_FROM_ANYWHERE}),
    RunStatus.HALTED: frozenset({RunStatus.RUNNING, RunStatus.PAUSED, *_ON_FROM_ANYWHERE}),
    RunStatus.ROLLING_BACK: frozenset({RunStatus.HALTED, RunStatus.ROLLED_BACK}),
    RunStatus.GROWING: frozenset({RunStatus.HALTED, RunStatus.COMPLETED}),
    RunStatus.COMPLETED: frozenset(),
    RunStatus.ABORTED: frozenset(),
    RunStatus.ROLLED_BACK: frozenset(),
}


class HaltRank(StrEnum):
    """How urgent a halt is; set by rule (spec/scaledown.md, *When it halts*)."""

    SITE_IN_DANGER = "site_in_danger"
    DECIDE_TODAY = "decide_today"
    SAFE_WAITING = "safe_waiting"


@dataclass(frozen=True)
class Halt:
    """Why a run stopped by itself. `code` is stable, `says` one plain sentence with what is true now.

    `customer_says` is the same in the customer's words. `next_commands` are command names that are safe now.
    """

    code: str
    rank: HaltRank
    says: str
    customer_says: str
    next_commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One line of the journal. `kind` is a stable word; `detail` is JSON-able and free of secrets."""

    kind: str
    says: str
    customer_says: str = ""
    subject: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """One point of a series for the live page. `value` None is *unknown* (a gap), never 0."""

    series: str
    value: float | None
    at: datetime
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Action:
    """The one change of a tick. `args` is JSON-able and complete: a later worker can read what was meant.

    `is_put_back` marks what may be done under pause, abort and standstill: serving servers come back.
    `customer_says` names the change in the customer's words, to stand after a colon ("web-04 back in service").
    """

    name: str
    target: str
    says: str
    args: Mapping[str, Any] = field(default_factory=dict)
    is_put_back: bool = False
    customer_says: str = field(default="", compare=False)


class OutcomeKind(StrEnum):
    """How a change ended."""

    DONE = "done"
    WITHHELD = "withheld"
    TRY_LATER = "try_later"
    REFUSED = "refused"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    NOT_APPLIED = "not_applied"
    """Did not happen: two agreeing looks showed it (`by_reading`), or it was surely not sent (code
    "not_sent": the check right before the call refused it, or the worker died before sending). With the code
    "set_aside" it is not known: no look could tell, and something else could not wait for one."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one action. `after_s` only for TRY_LATER. `by_reading` when a doubt was settled."""

    kind: OutcomeKind
    says: str = ""
    code: str = ""
    after_s: float | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    by_reading: bool = False


BECAUSE_CHANGED = "site_changed"
"""The argument `because` of a pause that a change of the site asks for, not a person."""


@dataclass(frozen=True)
class Command:
    """A person's wish, in the order given. `by` is a user id as text, `by_name` what the journal shows."""

    id: int
    seq: int
    name: str
    args: Mapping[str, Any]
    by: str
    by_name: str
    reason: str
    at: datetime


@dataclass(frozen=True)
class Answer:
    """What became of a command: accepted, or refused with the sentence why."""

    command_id: int
    accepted: bool
    says: str


@dataclass(frozen=True)
class Doubt:
    """An intent without an outcome: the change may have worked.

    Until `settled_after` (old lease's end plus the call's deadline) the change may still be under way.
    `looks` are the agreeing readings so far: True applied, False not applied.
    """

    intent_id: int
    action: Action
    sent_at: datetime
    settled_after: datetime
    looks: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Unsent:
    """An intent that was noted and surely never sent."""

    intent_id: int
    action: Action


@dataclass(frozen=True)
class RunView:
    """All that the database believes about a run at the moment of its tick. `now` is the database's clock."""

    ref: str
    kind: str
    status: RunStatus
    plan: Mapping[str, Any]
    progress: Mapping[str, Any]
    digest: str
    scopes: tuple[str, ...]
    token: int
    lease_until: datetime
    now: datetime
    command_seq: int
    commands: tuple[Command, ...]
    standstill: str | None
    """The sentence of the standstill in force on any scope of this run, or None."""
    doubt: Doubt | None
    halt: Halt | None
    started_at: datetime | None
    failures: int
    """Ticks in a row that ended in a bug; the engine halts the run at the third."""
    unsent: Unsent | None = None
    """An intent of a worker that died before it sent anything; the engine settles it as not applied."""
    is_rehearsal: bool = False
    """Every write is withheld by the client and reported as would-have."""
    due_in_s: float = 0.0
    """In how many seconds from when it was handed over the look is due, where the run was claimed ahead of it."""
    late_s: float = 0.0
    """For how long anybody could have claimed it and did not; 0 of one that waited for its turn."""
    has_turn: bool = False
    """Whether it waited for its turn and has it now (`rules.TURN_S`)."""
    is_behind: bool = False
    """Whether the worker has more to look at than it can, and this is not the run's turn: nothing new is to be begun."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the kind's registered `facts(run)` read from the database in the claiming transaction, e.g.
    whether the approval still stands, the window, protected servers."""


@dataclass(frozen=True)
class Decision:
    """What a tick leaves behind. `status` and `halt` only where they change. At most one `action`.

    `look_again_s` counts from the view's `now`, the moment that was judged.
    A `halt` halts the run. With an `action`, `look_again_s` is that of `settle`. Answered commands are not
    shown again; one that is not answered stays in `view.commands`.
    """

    progress: Mapping[str, Any]
    action: Action | None = None
    status: RunStatus | None = None
    halt: Halt | None = None
    journal: tuple[Entry, ...] = ()
    samples: tuple[Sample, ...] = ()
    answers: tuple[Answer, ...] = ()
    look_again_s: float = 1.0
    sets_aside: str = ""
    """The sentence why an open doubt that no look can tell must not hold up what comes next; "" leaves it open."""
    reads_facts: bool = False
    """Whether the next look needs facts from the database that were not read with this claim: the run is claimed anew."""
    is_patient: bool = False
    """Whether nothing of this run is out or on its way: where workers are behind, runs with something out come first."""


class RunKind(Protocol):
    """One kind of run. `observe` and `act` do input and output, the rest is pure.

    `view.now` is the database's clock when the lease was claimed; for `decide` it was moved on by the time
    that the observation took.
    """

    name: str
    call_deadline_s: float
    """Total time one action may take."""
    observe_deadline_s: float
    """Total time one observation may take. Each read inside needs a shorter one of its own."""
    look_max_age_s: float
    """An action is not sent once the look on which it rests began longer ago than this."""

    async def observe(self, view: RunView) -> Any:
        """Return one fresh look. Puts what could not be read into the observation instead of raising.

        One that raises, or passes the deadline, counts as a failed tick: the third in a row halts.
        """
        ...

    def decide(self, view: RunView, observation: Any) -> Decision:
        """Return what is to be done next.

        While `view.doubt` is open it is called as well, for samples, answers, halts and `sets_aside`: an action
        that it then returns is never carried out, and the whole decision but its samples is dropped.
        """
        ...

    def effect(self, action: Action, observation: Any) -> bool | None:
        """Return whether a doubtful action shows: True applied, False not, None this look cannot tell.

        Only a complete look at a writable balancer can tell. Twice the same answer settles the doubt.
        """
        ...

    async def act(self, view: RunView, action: Action, *, not_after: float) -> Outcome:
        """Carry out one change, or raise TryLater, Refused, InDoubt or ProviderFailed.

        Nothing may be handed to the network after `not_after` (the engine clock's `monotonic()`).
        """
        ...

    def settle(self, view: RunView, action: Action, outcome: Outcome) -> Decision:
        """Return what the outcome means. `view.progress` is the progress noted with the intent. No action.

        Never called with IN_DOUBT: such an intent stays open until it is settled by reading, or set aside: then
        it comes as NOT_APPLIED with the code `rules.SET_ASIDE`, may have happened, and may yet happen.
        """
        ...


class LeaseLost(Exception):
    """Someone else holds the run now, or the row refuses the write. Drop everything, touch nothing."""


class StoreAway(Exception):
    """The store cannot be reached now. Nothing is known of the last write; the lease runs out by itself."""


@dataclass(frozen=True)
class Checked:
    """The answer of the check right before a call. `ok` False means: do not send; look again."""

    ok: bool
    why: str = ""


class RunStore(Protocol):
    """Where runs live. PostgreSQL in the portal, memory in the breadth of the fault tests; one conformance
    suite runs against both. Every method is one transaction. Times come from the store's own clock.

    A view's token must be the row's in every write, else LeaseLost. `settle` and `release` need no unexpired
    lease: an outcome is a fact, and nobody has looked at the run since.
    """

    def claim_due(
        self,
        *,
        holder: str,
        limit: int,
        lease_s: float,
        kinds: Collection[str] | None = None,
        ahead_s: float = 0.0,
    ) -> list[RunView]:
        """Take the lease of up to `limit` due runs (raising each token); return what is believed.

        Those that waited longest, after all of which something is out: of patient runs (`Decision.is_patient`) none is taken
        while another one is due. One that was taken has its turn (`RunView.has_turn`) until something of it is out, for
        `rules.TURN_S` at most; so long it counts as any other.
        `kinds`: only those that this worker knows; None takes all. `ahead_s`: also those that are due within so many
        seconds, which the holder waits for (`RunView.due_in_s`).
        """
        ...

    def claim(self, ref: str, *, holder: str, lease_s: float) -> RunView | None:
        """Take the lease of one run if it is due; None if it is not to be had."""
        ...

    def next_due_s(self, kinds: Collection[str] | None = None) -> float | None:
        """Return in how many seconds (0: now) some run can be claimed; None if none has work left."""
        ...

    def renew(self, view: RunView, *, lease_s: float) -> RunView:
        """Prolong a lease that is still ours. Raises LeaseLost."""
        ...

    def note_intent(self, view: RunView, decision: Decision, *, deadline_s: float, lease_s: float) -> int:
        """Write decision and (unsent) intent under the lease, prolonged to at least `lease_s` from now;
        return the intent's id. Raises LeaseLost."""
        ...

    def check(self, view: RunView, intent_id: int, *, deadline_s: float) -> Checked:
        """One UPDATE right before the call: marks the intent as sent only if the lease is ours and
        lasts longer than `deadline_s` + 2 s, and no newer command and no standstill
        exists (a put-back passes both). Raises ValueError for an intent that was marked before: it may
        have been sent, so nobody may take it for held back."""
        ...

    def settle(
        self, view: RunView, intent_id: int, outcome: Outcome, decision: Decision, *, keep_s: float = 0.0
    ) -> RunView | None:
        """Write an intent's outcome and what it means; release the lease, or keep it as `commit` does. Raises LeaseLost.

        Repeated with the same outcome it changes nothing. IN_DOUBT leaves the intent open, its lease ended
        now: the doubt is settled after the call's deadline from here.
        """
        ...

    def look(self, view: RunView, intent_id: int, looks: tuple[bool, ...]) -> None:
        """Remember the agreeing readings of a doubt. Raises LeaseLost."""
        ...

    def commit(
        self, view: RunView, decision: Decision, *, failed: bool = False, keep_s: float = 0.0
    ) -> RunView | None:
        """Write a decision without an action under the lease; release it. Raises LeaseLost.

        With `keep_s` the lease is prolonged to that many seconds from now instead, and the view to go on with is
        returned: unless a command or a standstill came in, or the decision changed more than progress, journal and
        samples. Then, and without it, the lease is released and None returned. A kept run that is let down (its
        worker dies) is due once its lease has run out.

        `failed` counts a tick that ended in a bug (the engine's own halt)."""
        ...

    def halt(self, view: RunView, halt: Halt, *, look_again_s: float) -> None:
        """Halt the run and give the lease back, counted as failed, where nothing else can be written: its
        progress stays as it is stored, and nothing is written into the kind's own tables."""
        ...

    def release(self, view: RunView, *, look_again_s: float, failed: bool = False) -> None:
        """Give the lease back with nothing decided. `failed` counts a tick that ended in a bug."""
        ...
