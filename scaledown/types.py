"""Frozen values of a scale-down: the plan as approved, the progress of its servers, one look at the world.

The plan (`PlanData`) is what the digest covers and what people approved. The progress is what a run
believes, kept between ticks. The observation is what was just read. `machine.py` decides from these three.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property

from portal.cloud.types import Alarm, BalancerStatus, Condition, Interface, NodeStatus, NodeType
from portal.runs.types import Command, Doubt, Halt, RunStatus

PLAN_FORMAT = 8
"""Rises with each new field; which field came with which stands in `canonical.py`."""


COUNTS_REQUESTS = frozenset({"nginx_stub_status", "apache_status"})
"""Of the kinds of `capacity.counts.CountKind` those with a counter of requests beside the connections."""
PEAK_SPARE_S = 3600.0
"""How long after the moment of a forecast peak it counts as over."""


class Phase(StrEnum):
    """Where one server is on its way out (spec/scaledown.md, *The way of one server*)."""

    QUEUED = "queued"
    DRAINING = "draining"
    REMOVING = "removing"
    VERIFYING = "verifying"
    HELD = "held"
    IMAGING = "imaging"
    DELETING = "deleting"
    CONFIRMING = "confirming"
    RETIRED = "retired"
    SKIPPED = "skipped"
    RESTORED = "restored"
    GONE = "gone"
    RECREATING = "recreating"
    JOINING = "joining"
    RECREATED = "recreated"
    LEFT_OUT = "left_out"

    @property
    def is_in_flight(self) -> bool:
        """On its way out: at most one server of a pool is (invariant 3). Held servers do not count."""
        return self in _IN_FLIGHT

    @property
    def is_out_and_alive(self) -> bool:
        """Can still be put back by one quick action."""
        return self in _OUT_AND_ALIVE

    @property
    def is_final(self) -> bool:
        """Nothing more happens to this server in this run."""
        return self in _FINAL

    @property
    def is_staying(self) -> bool:
        """Serves on after this run, though it was to leave."""
        return self in _STAYING

    @property
    def is_gone(self) -> bool:
        """The server as it was approved exists no more; its address may be another one's by now."""
        return self in _GONE

    @property
    def is_let_go(self) -> bool:
        """Out of the pool for good by no deletion of this run, which leaves its nodes alone from then on."""
        return self in _LET_GO

    @property
    def is_anew(self) -> bool:
        """Deleted by this run and on its way back as a new server, or back as one."""
        return self in _ANEW


# Each look asks them of every server.
_IN_FLIGHT = frozenset({Phase.DRAINING, Phase.REMOVING, Phase.VERIFYING})
_OUT_AND_ALIVE = _IN_FLIGHT | {Phase.HELD, Phase.IMAGING}
_STAYING = frozenset({Phase.SKIPPED, Phase.RESTORED, Phase.RECREATED})
_LET_GO = frozenset({Phase.GONE, Phase.LEFT_OUT})
_FINAL = _STAYING | _LET_GO | {Phase.RETIRED}
_ANEW = frozenset({Phase.RECREATING, Phase.JOINING, Phase.RECREATED})
_GONE = _ANEW | {Phase.RETIRED, Phase.GONE}


class Order(StrEnum):
    """In which order servers come out."""

    REVERSE_OF_SCALE_UP = "reverse_of_scale_up"
    NEWEST_FIRST = "newest_first"


class AtLimit(StrEnum):
    """What the plan, as approved, says when the drain limit is reached."""

    ASK = "ask"
    PUT_BACK = "put_back"
    CUT = "cut"


class ImageRule(StrEnum):
    """Of which servers an image is made before they are deleted."""

    NONE = "none"
    ONE_PER_KIND = "one_per_kind"
    EACH = "each"


class Grade(StrEnum):
    """How strong the evidence is that connections are gone; weakest last."""

    MEASURED = "measured"
    INFERRED = "inferred"
    TIMED = "timed"


class Verdict(StrEnum):
    """What a verification found. Errors, time-outs and missing data never pass."""

    PASSES = "passes"
    FAILS = "fails"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class PlannedNode:
    """One node as it was approved. Its address, port, weight and type are what a put-back restores."""

    balancer_id: str
    node_id: str
    address: str
    port: int
    type: NodeType
    weight: int | None


@dataclass(frozen=True)
class PlannedServer:
    """One server as it was approved: identity (id, name, created, addresses) and its nodes.

    `count_url` is the status URL that tells its connections, or None.
    """

    server_id: str
    name: str
    created_at: datetime
    addresses: tuple[str, ...]
    nodes: tuple[PlannedNode, ...]
    count_url: str | None = None
    flavor_id: str | None = None
    host_id: str | None = None
    image_id: str | None = None
    """From which image it was made; None where the provider does not tell."""


@dataclass(frozen=True)
class PlannedProbe:
    """One HTTP check of the customer's site and its limits, as approved."""

    name: str
    url: str
    method: str = "GET"
    expected_status_low: int = 200
    expected_status_high: int = 399
    must_contain: str = ""
    timeout_s: float = 5.0
    latency_limit_ms: float | None = None


@dataclass(frozen=True)
class PlannedObjective:
    """What the site promises, as approved: the share of requests that may fail, and how fast `latency_share` of the
    answers are. None is *not promised*.
    """

    error_ratio: float | None
    latency_ms: float | None
    latency_share: float
    source: str


@dataclass(frozen=True)
class PlannedBaseline:
    """What one probe was measured at, as approved. `probe` is empty where it is of the only one; None: not measured."""

    probe: str
    load_per_node_rps: float | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    error_ratio: float | None
    measured_at: datetime
    source: str


@dataclass(frozen=True)
class PlannedVital:
    """One vital figure of the account (orders a minute), as approved: its metric, and how people call it."""

    metric_ref: str
    name: str
    unit: str


@dataclass(frozen=True)
class PlannedWindow:
    """One of the windows in which servers leave the pool."""

    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True)
class PlanData:
    """A plan as approved. Durations in seconds, rates in requests per second, shares 0 to 1."""

    format: int
    account_ref: str
    connection_ref: str
    provider: str
    identity_url: str
    tenant: str
    region: str
    balancer_ids: tuple[str, ...]
    servers: tuple[PlannedServer, ...]
    """Those that come out, in the order in which they come out."""
    remaining: tuple[PlannedServer, ...]
    """Those that stay in the pool."""
    target: int
    target_reason: str
    floor: int
    order: Order
    min_drain_s: float
    drain_limit_s: float
    at_limit: AtLimit
    accepted_grade: Grade
    """The weakest grade of evidence that may go on without a person."""
    zeros_needed: int
    soak_s: float
    hold_s: float
    pause_between_s: float
    probes: tuple[PlannedProbe, ...]
    probe_failures_allowed: float
    """Share of probes in a soak that may fail and the soak still passes."""
    count_kind: str | None
    """As `capacity.counts.CountKind`: nginx_stub_status, apache_status, plain_number, or None: no count, drains are timed."""
    ceiling_rps: float | None
    """The most that one node carries, with `ceiling_source`; None is unknown."""
    ceiling_source: str
    forecast_peak_rps: float | None
    guard_share: float
    """Share of the ceiling at which traffic counts as rising (default 0.8)."""
    window_start: datetime | None
    window_end: datetime | None
    is_unattended: bool
    reason: str
    strays: tuple[str, ...] = ()
    """Nodes that matched no server, or several, when the plan was drawn up, as `balancer/address:port`.
    They were shown to the approvers, do not count towards the floor, and are no change of the pool."""
    lifted: tuple[str, ...] = ()
    """Server ids whose block (existed before the event) both sides lift by approving this plan."""
    remaining_reason: str = ""
    """Why a person chose fewer servers than proposed; empty where they did not."""
    images: ImageRule = ImageRule.NONE
    images_kept_s: float = 0.0
    """How long after it was made an image is kept at least; 0 where none is made."""
    hold_through: datetime | None = None
    """Until when servers are held at least, so that the site lives through its next peak without them; None: no peak."""
    watch_until: datetime | None = None
    """Until when the run stays open at its new size, so that its report says how the next peak went; None: it does not."""
    unwatched_reason: str = ""
    """Why no peak is watched; "" where one is."""
    stop_s: float = 0.0
    """How long a server is stopped, after its hold, before it is deleted; 0: it is not stopped."""
    slower_allowed: float | None = None
    """The share by which answers may be slower than before, beyond what more load explains. None: slower answers alone
    stop nothing."""
    objective: PlannedObjective | None = None
    baselines: tuple[PlannedBaseline, ...] = ()
    fine_load_rps: float | None = None
    """The highest load per node that was fine in the 14 days before: the guard where there is no ceiling."""
    fine_load_source: str = ""
    vital: tuple[PlannedVital, ...] = ()
    """Vital figures that each verdict looks at."""
    vital_fall_allowed: float = 0.0
    """The share by which they may be lower than before, beyond what those hours do on other days; 0 where there is none."""
    no_vital_reason: str = ""
    """Why no vital figure is looked at; "" where one is."""
    alarms: tuple[str, ...] | None = None
    """The alarms of the pool that fired as the plan was drawn up, as `alarms.spelt`; None where that could not be read."""
    later_windows: tuple[PlannedWindow, ...] = ()
    """Windows of later days, in order, in which it goes on with what did not fit into those before."""

    @property
    def measures_load(self) -> bool:
        """Whether what the servers are asked says how many requests they had: no load is known otherwise."""
        return self.count_kind in COUNTS_REQUESTS

    @cached_property
    def places(self) -> tuple[tuple[str, str], ...]:
        """Each address of each server with the server's id, in the order of the servers."""
        return tuple(
            (address, server.server_id)
            for server in (*self.servers, *self.remaining)
            for address in (*server.addresses, *(node.address for node in server.nodes))
        )


@dataclass(frozen=True)
class GrownServer:
    """One deleted server that is to be created anew: in which size, from which image."""

    server_id: str
    name: str
    flavor_id: str
    image_id: str


@dataclass(frozen=True)
class GrowData:
    """What *grow again* asks both sides for, covered by a digest of its own. `servers` in the order of their creation."""

    format: int
    run: str
    plan_digest: str
    servers: tuple[GrownServer, ...]


@dataclass(frozen=True)
class NodeSeen:
    """One node as the newest complete look at its balancer shows it."""

    node_id: str
    address: str
    port: int
    condition: Condition
    status: NodeStatus
    type: NodeType
    weight: int | None


@dataclass(frozen=True)
class BalancerSeen:
    """One balancer with all its nodes. `problem` is None for a complete look."""

    balancer_id: str
    name: str
    status: BalancerStatus
    nodes: tuple[NodeSeen, ...]
    has_health_monitor: bool
    session_persistence: str | None
    timeout_s: float
    observed_at: datetime
    virtual_ips: tuple[str, ...] = ()

    @cached_property
    def by_place(self) -> Mapping[tuple[str, int], NodeSeen]:
        """The nodes by address and port; of two at one place the first."""
        return {(node.address, node.port): node for node in reversed(self.nodes)}


@dataclass(frozen=True)
class ServerSeen:
    """One server; `is_gone` when the provider said 404, DELETED or SOFT_DELETED. After a 404 nothing else is known of it."""

    server_id: str
    is_gone: bool
    name: str
    status: str
    task_state: str | None
    created_at: datetime | None
    addresses: tuple[str, ...]
    autoscale_group: str | None
    is_locked: bool | None
    volumes: tuple[str, ...] | None
    observed_at: datetime
    flavor_id: str | None = None
    image_id: str | None = None
    """Its size and the image it was made from, None where the provider does not say: a resize or a rebuild changes them."""
    floating: tuple[str, ...] = ()

    @property
    def shows_deletion(self) -> bool:
        """Whether the provider shows the deletion itself, and not only that it finds no server."""
        return self.task_state == "deleting" or (self.is_gone and self.created_at is not None)


@dataclass(frozen=True)
class CountSeen:
    """Connections on one server. None is unknown, with the sentence why."""

    server_id: str
    connections: int | None
    requests_total: int | None
    source: str
    grade: Grade
    observed_at: datetime
    problem: str | None = None


@dataclass(frozen=True)
class NetworkSeen:
    """What the interfaces of one server carried, as the provider's monitoring has it; none: nothing measures them.

    `problem` is why it could not be read, else "". `slack_s`: how long ago that may have been read.
    """

    server_id: str
    interfaces: tuple[Interface, ...]
    observed_at: datetime
    problem: str = ""
    slack_s: float = 60.0


@dataclass(frozen=True)
class ProbeSeen:
    """One probe of the site. `ok` None: could not be looked at."""

    name: str
    url: str
    ok: bool | None
    status: int | None
    latency_ms: float | None
    observed_at: datetime
    problem: str | None = None
    is_slow: bool = False
    """Right in everything but its time: `ok` is False."""


@dataclass(frozen=True)
class ImageSeen:
    """One image. `server_id` and whether it is this run's are as its metadata says; `is_gone`: 404 or DELETED."""

    image_id: str
    is_gone: bool
    name: str
    status: str
    progress: int | None
    server_id: str | None
    observed_at: datetime
    created_at: datetime | None = None
    """By the provider's clock."""


@dataclass(frozen=True)
class AddressSearch:
    """A search over every balancer that the credentials see for every address of a server (invariant 1)."""

    server_id: str
    is_complete: bool
    found_in: tuple[str, ...]
    observed_at: datetime


@dataclass(frozen=True)
class VitalSeen:
    """Samples of one vital figure: of the hour before the first server, and since the server in hand left the pool.

    `earlier` holds the medians of both stretches a day and a week earlier, where there are any. `last_at` is None where
    there was no sample since the server left.
    """

    metric_ref: str
    before: tuple[float, ...]
    now: tuple[float, ...]
    last_at: datetime | None
    earlier: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Observation:
    """One fresh look. What could not be read is absent, with a sentence in `problems`."""

    at: datetime
    balancers: Mapping[str, BalancerSeen] = field(default_factory=dict)
    missing_balancers: frozenset[str] = frozenset()
    """Balancers that the provider says are gone."""
    servers: Mapping[str, ServerSeen] = field(default_factory=dict)
    counts: Mapping[str, CountSeen] = field(default_factory=dict)
    network: Mapping[str, NetworkSeen] = field(default_factory=dict)
    """What draining servers carry whose connections nobody counts."""
    direct: Mapping[str, bool | None] = field(default_factory=dict)
    """Server id → answered directly within 30 s; only where a balancer has no health monitor."""
    probes: tuple[ProbeSeen, ...] = ()
    search: AddressSearch | None = None
    listed: frozenset[str] | None = None
    """Ids of a complete list of all servers; None where the list was not asked for or not complete."""
    images: Mapping[str, ImageSeen] = field(default_factory=dict)
    """Images that were looked at, by id."""
    made: Mapping[str, str] | None = None
    """New servers in a complete list whose metadata names this run: id → of which planned server. None: no such list."""
    alarms: tuple[Alarm, ...] | None = None
    """Alarms of the pool that fire; None where they were not asked for or could not be read."""
    our_images: frozenset[str] | None = None
    """Ids in a complete list of all images whose metadata names this run; None where there is no such list."""
    vital: tuple[VitalSeen, ...] = ()
    """What the samples of the plan's vital figures say, as read with the facts; empty where no verdict is near."""
    vital_watch: tuple[VitalSeen, ...] | None = None
    """The same for a peak watch, where `now` is its newest stretch; None where they were not read for it."""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What the database says that bears on a run, read when its lease was claimed."""

    approval_stands: bool
    approval_problem: str
    """The sentence why it does not stand, or ""."""
    protected: frozenset[str]
    """Server ids that no plan may contain."""
    in_charge: str | None
    """Name of the person in charge, or None."""
    freeze: str = ""
    """The sentence of the freeze that is in force and that nobody overrode, or ""."""
    is_freeze_read: bool = True
    """Whether that was asked: it takes a dozen queries, which are made where the next look may come to rest on it."""
    freeze_until: datetime | None = None
    is_worse: bool = False
    """Whether `freeze` says that what the plan rests on is worse by now: no time ends that, so a person decides."""
    nobody_to_call: str = ""
    """Why the plan's wish for somebody to call keeps the run from going on, or "". Only asked before a start or resume."""
    growth_stands: bool | None = None
    """Whether the approval of what the run grows again by stands; None: not asked, since it does not grow again."""
    growth_problem: str = ""
    is_behind: bool = False
    """Whether the worker has more to look at than it can, and it is not this run's turn (`RunView.is_behind`)."""


@dataclass(frozen=True)
class People:
    """What people want of a run, and where it stands: the part of the engine's view that a decision needs."""

    status: RunStatus
    commands: tuple[Command, ...] = ()
    standstill: str | None = None
    halt: Halt | None = None
    doubt: Doubt | None = None
    is_rehearsal: bool = False


REMAINING_EVERY_S = 60.0
"""How old a look at a server that stays may be before it is looked at again."""


@dataclass(frozen=True)
class Needs:
    """What the driver must read for the next decision. Server ids, or False for nothing of that sort."""

    balancers: tuple[str, ...]
    servers: tuple[str, ...] = ()
    remaining: tuple[str, ...] = ()
    """Servers that stay, of which a look of `REMAINING_EVERY_S` ago will do."""
    counts: tuple[str, ...] = ()
    network: Mapping[str, datetime] = field(default_factory=dict)
    """Servers whose network is looked at, each with when its drain began."""
    direct: tuple[str, ...] = ()
    probes: bool = False
    search: str | None = None
    """The server whose addresses are searched in every balancer, and whose volumes are read."""
    listed: bool = False
    images: tuple[str, ...] = ()
    """Ids of images to look at."""
    made: bool = False
    """Whether the list of all servers is read for those that this run created."""
    answers: Mapping[str, str] = field(default_factory=dict)
    """New servers that are asked themselves: id → the address with port."""
    our_images: bool = False
    """Whether the list of all images is read for those of this run."""
    alarms: bool = False
    """Whether the provider's monitoring is asked which alarms fire."""
