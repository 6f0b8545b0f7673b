"""What a drill is, as it is approved, as a run believes of it, and as a look shows it. Frozen values; no Django, no clock.

Times are aware UTC, durations seconds, shares 0 to 1; unknown is None, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from drills.scenarios.types import REBOOTS, DrillKind, Environment, InjectionKind, Role, StepKind
from portal.cloud.types import BalancerStatus, Condition, NodeStatus, NodeType
from portal.plain import from_plain, to_plain
from portal.runs.types import Command, Doubt, Halt, RunStatus

PLAN_FORMAT = 1

HITS = REBOOTS | {InjectionKind.STOP, InjectionKind.NODE_OUT}
"""Injections with which the portal changes something at the provider."""

# --- the plan ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PlannedNode:
    """One node of a target, as it was when the plan was drawn up."""

    balancer_id: str
    node_id: str
    address: str
    port: int


@dataclass(frozen=True)
class Target:
    """One server that the drill hits. All of it is under the digest: another server of that name is not it."""

    server_id: str
    name: str
    created_at: datetime
    addresses: tuple[str, ...]
    nodes: tuple[PlannedNode, ...]
    host_id: str | None = None


@dataclass(frozen=True)
class DrillProbe:
    """One look at the site from outside, taken every few seconds (`capacity.probes.ProbeSpec`)."""

    name: str
    url: str
    method: str = "GET"
    expected_status_low: int = 200
    expected_status_high: int = 299
    must_contain: str = ""
    timeout_s: float = 5.0


@dataclass(frozen=True)
class Limits:
    """What the drill is to show. None: nothing is claimed about it. Times count from the first injection.

    `p95_ms` is the scenario's factor times the baseline's p95, worked out when the plan was frozen; `p95_source` says of what.
    """

    error_ratio: float | None = None
    p95_ms: float | None = None
    p95_source: str = ""
    acknowledged_s: float | None = None
    informed_s: float | None = None
    mitigated_s: float | None = None
    recovered_s: float | None = None
    data_lost_s: float | None = None


@dataclass(frozen=True)
class Stops:
    """When the injection is undone by itself: judged over the probes of the last `window_s`.

    `floor`: the fewest distinct healthy servers in service on each balancer. `injected_s`: the longest that anything stays
    injected.
    """

    error_ratio: float
    window_s: float
    floor: int
    injected_s: float
    p95_ms: float | None = None


@dataclass(frozen=True)
class PlannedStep:
    """One step of the script. `responsible` is the reference of a contact, or "" where the role says it all."""

    number: int
    kind: StepKind
    title: str
    text: str
    role: Role
    expected_s: int
    done_when: str
    injects: bool = False
    responsible: str = ""


@dataclass(frozen=True)
class Person:
    """Who takes part: a contact or a user by public reference, and as what. Names stay out of what is frozen."""

    ref: str
    is_user: bool
    role: Role


@dataclass(frozen=True)
class Calling:
    """The escalation drill: contacts of which role are asked, in their order; each gets so many tries with such waits."""

    role: str
    tries: int = 2
    wait_s: int = 300


@dataclass(frozen=True)
class DrillPlan:
    """All that is approved of a drill.

    `hold_s`: how long an injection stays before it is undone. `calm_s`: how long the probes must be inside the hypothesis to
    count as recovered. `boot_limit_s`: how long a server may take to come back. `between_s`: the rest between two servers of
    a rolling reboot. `after_boot`: checks that a person attests for each server of it. `attested`: what somebody says before
    the start with their name (`drills.checks`).
    """

    format: int
    account_ref: str
    scenario_key: str
    scenario_title: str
    scenario_version: int
    scenario_digest: str
    objective: str
    kind: DrillKind
    environment: Environment
    injection: InjectionKind
    steps: tuple[PlannedStep, ...]
    hypothesis: Limits
    undo: str
    emergency_plan: str
    not_before: datetime
    not_after: datetime
    connection_ref: str = ""
    provider: str = ""
    identity_url: str = ""
    tenant: str = ""
    region: str = ""
    balancer_ids: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()
    pool_size: int = 0
    probes: tuple[DrillProbe, ...] = ()
    stops: Stops | None = None
    hold_s: float = 60.0
    calm_s: float = 60.0
    boot_limit_s: float = 600.0
    between_s: float = 30.0
    after_boot: tuple[str, ...] = ()
    calling: Calling | None = None
    people: tuple[Person, ...] = ()
    facilitator: str = ""
    reporter: str = ""
    attested: tuple[str, ...] = ()
    completeness: str = ""
    """How it is found out whether what was restored or taken over is whole, chosen beforehand."""

    @property
    def hits(self) -> bool:
        """Whether the portal changes something at the provider."""
        return self.injection in HITS

    @property
    def one_by_one(self) -> bool:
        """Whether each server has to be back before the next is hit."""
        return self.injection is InjectionKind.ROLLING_REBOOT


def plan_to_plain(plan: DrillPlan) -> dict[str, Any]:
    """Return a plan as it is stored and as its digest reads it."""
    plain: dict[str, Any] = to_plain(plan)
    return plain


def plan_from_plain(value: Mapping[str, Any]) -> DrillPlan:
    """Return the plan that `plan_to_plain` wrote. Raises `portal.plain.Unreadable`."""
    plan = from_plain(DrillPlan, value)
    assert isinstance(plan, DrillPlan)
    return plan


# --- what a run believes ----------------------------------------------------------------------------------


class TargetPhase(StrEnum):
    """Where one server of a drill stands.

    *untouched* → *hit* (asked for, or perhaps) → *returning* (undone, or a reboot that has to come back) → *back* (verified).
    """

    UNTOUCHED = "untouched"
    HIT = "hit"
    RETURNING = "returning"
    BACK = "back"


class MarkKind(StrEnum):
    """Moments on the one time axis of people and systems."""

    INJECTED = "injected"
    DETECTED = "detected"
    ACKNOWLEDGED = "acknowledged"
    INFORMED = "informed"
    MITIGATED = "mitigated"
    UNDONE = "undone"
    RECOVERED = "recovered"
    NEWEST_DATA = "newest_data"
    COMPLETE = "complete"
    USABLE = "usable"


BY_PEOPLE = frozenset(
    {
        MarkKind.DETECTED,
        MarkKind.ACKNOWLEDGED,
        MarkKind.INFORMED,
        MarkKind.MITIGATED,
        MarkKind.NEWEST_DATA,
        MarkKind.COMPLETE,
        MarkKind.USABLE,
    }
)
"""Moments that a person may note; the others are measured only."""


INFORMED_WHOM: Mapping[str, str] = {
    "status_page": "the status page",
    "management": "the customer’s management",
    "service_desk": "the service desk",
}
"""Whom *informed* may name, as the axis says it."""


class StepState(StrEnum):
    """Where a step of the script stands."""

    OPEN = "step_open"
    DOING = "step_doing"
    DONE = "step_done"
    SKIPPED = "step_skipped"


class Ending(StrEnum):
    """Why a drill ends before its script does."""

    STOP_CONDITION = "stop_condition"
    STOPPED = "stopped_by_person"
    REAL = "real_incident"
    LOST_SIGHT = "lost_sight"
    NOT_COME_BACK = "not_come_back"
    REFUSED = "injection_refused"
    NOT_ALLOWED = "not_allowed"
    POOL_CHANGED = "pool_changed"
    NOT_STARTED = "not_started"


@dataclass(frozen=True)
class Mark:
    """One moment. `by` is a user or contact by token, "" for the portal itself; `value_at` is the age told by NEWEST_DATA.

    `whom` says of INFORMED who was told (`INFORMED_WHOM`), "" where nobody said; `passed` is what COMPLETE found.
    """

    kind: MarkKind
    at: datetime
    by: str = ""
    by_name: str = ""
    says: str = ""
    value_at: datetime | None = None
    whom: str = ""
    passed: bool | None = None


@dataclass(frozen=True)
class TargetWay:
    """How far one server is. `tries` counts undoing; `checked` are the after-boot checks that were attested."""

    server_id: str
    phase: TargetPhase = TargetPhase.UNTOUCHED
    hit_at: datetime | None = None
    asked_at: datetime | None = None
    """When the newest change of the injection was asked for."""
    undo_from: datetime | None = None
    undo_at: datetime | None = None
    back_at: datetime | None = None
    hits: int = 0
    """How many changes of the injection were accepted: a server may have several nodes."""
    tries: int = 0
    is_doubtful: bool = False
    seen_away: bool = False
    """A look has shown the injection: the server down, the node out."""
    wants_hard: bool = False
    """Somebody asked for a hard reboot of a server that did not come back; it is not sent yet."""
    hard_at: datetime | None = None
    checked: tuple[str, ...] = ()
    says: str = ""


@dataclass(frozen=True)
class StepWay:
    """How far one step is."""

    number: int
    state: StepState = StepState.OPEN
    began_at: datetime | None = None
    ended_at: datetime | None = None
    by_name: str = ""
    is_late_told: bool = False


@dataclass(frozen=True)
class Seen:
    """One answer of one probe: `ok` None where it could not be asked."""

    probe: str
    at: datetime
    ok: bool | None
    latency_ms: float | None


@dataclass(frozen=True)
class Progress:
    """All that a run of a drill believes between ticks. `seen` are the newest answers of the probes, bounded in time.

    `asked` and `failed` count every answer since the first injection; `calm_since` is when they came back inside the hypothesis.
    """

    steps: tuple[StepWay, ...]
    targets: tuple[TargetWay, ...]
    began_at: datetime | None = None
    marks: tuple[Mark, ...] = ()
    seen: tuple[Seen, ...] = ()
    asked: int = 0
    failed: int = 0
    worst_error_ratio: float | None = None
    worst_p95_ms: float | None = None
    calm_since: datetime | None = None
    sighted_at: datetime | None = None
    gone_since: datetime | None = None
    calls: bool = False
    """The contacts are to be called; the app starts it in the transaction that writes this."""
    ending: Ending | None = None
    ending_says: str = ""
    ended_by: str = ""
    ended_at: datetime | None = None
    undo_told: bool = False
    says: str = ""
    next_at: datetime | None = None

    def mark(self, kind: MarkKind) -> Mark | None:
        """Return the first moment of a kind, or None."""
        found = [one for one in self.marks if one.kind is kind]
        return min(found, key=lambda one: one.at) if found else None

    @property
    def injected_at(self) -> datetime | None:
        """When the first injection was asked for."""
        mark = self.mark(MarkKind.INJECTED)
        return None if mark is None else mark.at

    @property
    def is_injected(self) -> bool:
        """Whether something of ours is out, perhaps, and not yet seen back."""
        return any(one.phase in {TargetPhase.HIT, TargetPhase.RETURNING} for one in self.targets)


def new_progress(plan: DrillPlan) -> Progress:
    """Return what a run believes before its first look."""
    return Progress(
        steps=tuple(StepWay(one.number) for one in plan.steps),
        targets=tuple(TargetWay(one.server_id) for one in plan.targets),
    )


def progress_to_plain(progress: Progress) -> dict[str, Any]:
    """Return progress as the run's row keeps it."""
    plain: dict[str, Any] = to_plain(progress)
    return plain


def progress_from_plain(value: Mapping[str, Any]) -> Progress:
    """Return the progress that `progress_to_plain` wrote. Raises `portal.plain.Unreadable`."""
    progress = from_plain(Progress, value)
    assert isinstance(progress, Progress)
    return progress


# --- what a look shows ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NodeSeen:
    """One node as the provider shows it."""

    node_id: str
    address: str
    port: int
    condition: Condition
    status: NodeStatus
    type: NodeType


@dataclass(frozen=True)
class BalancerSeen:
    """One balancer as the provider shows it, from one answer."""

    balancer_id: str
    name: str
    status: BalancerStatus
    nodes: tuple[NodeSeen, ...]
    has_health_monitor: bool
    observed_at: datetime


@dataclass(frozen=True)
class ServerSeen:
    """One server as the provider shows it. `is_gone`: the provider said 404."""

    server_id: str
    is_gone: bool
    name: str
    status: str
    task_state: str | None
    created_at: datetime | None
    addresses: tuple[str, ...]
    is_locked: bool | None
    observed_at: datetime


@dataclass(frozen=True)
class Look:
    """One fresh look. What could not be read is absent, with a sentence in `problems`."""

    at: datetime
    balancers: Mapping[str, BalancerSeen] = field(default_factory=dict)
    servers: Mapping[str, ServerSeen] = field(default_factory=dict)
    probes: tuple[Seen, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Called:
    """How the calling of contacts goes: `state` as `accounts.reach` names it."""

    state: str
    is_over: bool
    answered_at: datetime | None
    answered_by: str
    says: str


@dataclass(frozen=True)
class Answered:
    """Somebody who takes part has acknowledged by their link: a contact by reference, the name as a token."""

    by: str
    by_name: str
    at: datetime


@dataclass(frozen=True)
class Facts:
    """What the database says that bears on a drill. Sentences are empty where nothing stands in the way."""

    approval_problem: str = ""
    freeze: str = ""
    not_ready: str = ""
    protected: frozenset[str] = frozenset()
    called: Called | None = None
    answers: tuple[Answered, ...] = ()


@dataclass(frozen=True)
class People:
    """What people and the engine want of the run."""

    status: RunStatus
    commands: tuple[Command, ...] = ()
    standstill: str | None = None
    halt: Halt | None = None
    doubt: Doubt | None = None
