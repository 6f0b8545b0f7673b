"""What a run believes about its servers between ticks. Frozen, and kept as plain JSON in the run's row.

Read it with `progress_from_plain(run.progress)`. Times are aware UTC; unknown is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from portal.cloud.types import NodeType
from portal.frozen import replace
from scaledown import wording
from scaledown.canonical import from_plain, to_plain, to_plain_after
from scaledown.types import Grade, GrownServer, Phase, PlanData, PlannedServer, Verdict


class NodeState(StrEnum):
    """What a node is seen as: its condition, or absent from its balancer's list."""

    ENABLED = "ENABLED"
    DRAINING = "DRAINING"
    DISABLED = "DISABLED"
    ABSENT = "ABSENT"


@dataclass(frozen=True)
class NodeWay:
    """One node of a server: what we asked for, and what a look at a writable balancer last confirmed.

    `late` holds changes of ours that reading found not applied: should one still land, it is our own hand.
    `is_foreign`: somebody else changed it; this run leaves it alone until a person has said what is right.
    """

    balancer_id: str
    node_id: str
    address: str
    port: int
    type: NodeType
    weight: int | None
    confirmed: NodeState = NodeState.ENABLED
    asked: NodeState = NodeState.ENABLED
    asked_at: datetime | None = None
    tries: int = 0
    late: tuple[NodeState, ...] = ()
    late_at: datetime | None = None
    """When the newest of those in `late` was asked for; what is asked for since does not prolong it."""
    is_foreign: bool = False

    @property
    def is_settled(self) -> bool:
        """Whether nothing that we asked for is still outstanding."""
        return self.asked is self.confirmed

    @property
    def lands_since(self) -> datetime | None:
        """When the newest change that may take effect later was asked for; None if there was none."""
        return self.late_at or self.asked_at

    def may_still_land(self) -> NodeWay:
        """Return the node with what was asked for last among the changes that may take effect later."""
        return replace(
            self, late=tuple(dict.fromkeys((*self.late, self.asked))), late_at=self.asked_at or self.late_at
        )


@dataclass(frozen=True)
class DrainWay:
    """How one drain goes. `seen_at`: when every node was first seen out of service (DRAINING or gone)."""

    begun_at: datetime
    seen_at: datetime | None = None
    limit_at: datetime | None = None
    zeros: int = 0
    looks: int = 0
    sampled_at: datetime | None = None
    connections: int | None = None
    lowest: int | None = None
    lower_at: datetime | None = None
    zero_since: datetime | None = None
    """Since when every look found no connection, also while that was no evidence yet; None: the newest found some."""
    first: int | None = None
    source: str = ""
    problem: str | None = None
    asked_person_at: datetime | None = None
    cut: int | None = None
    """How many connections a person, or the plan, allowed to be cut; None: none."""
    is_cut_unknown: bool = False
    """How many are open was not known when that was allowed: `cut` is then no figure of what was cut."""
    grade: Grade | None = None
    """Set when the drain is over: the strength of the evidence."""
    done_at: datetime | None = None
    evidence: str = ""


@dataclass(frozen=True)
class ProbeCounts:
    """How the looks of one soak at one probe ended. `slow`: right, but longer than the probe allows; not in `failed`."""

    ok: int = 0
    failed: int = 0
    slow: int = 0
    unknown: int = 0
    """It could not be made: neither good nor bad."""

    @property
    def known(self) -> int:
        """Those that gave an answer, of whatever kind."""
        return self.ok + self.failed + self.slow


@dataclass(frozen=True)
class SoakWay:
    """What was seen while the pool was watched without this server."""

    since: datetime
    until: datetime
    looked_at: datetime | None = None
    extensions: int = 0
    unwatched_s: float = 0.0
    """How much of the time since `since` lay between looks that were too far apart; `until` is later by it."""
    probes_ok: int = 0
    probes_failed: int = 0
    probes_unknown: int = 0
    latencies_ms: tuple[float, ...] = ()
    """What a soak of an earlier release kept, of all probes together; nothing is added to it."""
    latency_ms: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """The newest answers of each probe, slow ones too."""
    probes_slow: int = 0
    """Answers that were right but took longer than the probe allows; not among those that failed."""
    by_probe: Mapping[str, ProbeCounts] = field(default_factory=dict)
    """The four counts of each probe; empty in a soak of an earlier release, which has only their sums."""
    probed_at: datetime | None = None
    pool_looks: int = 0
    pool_bad_in_row: int = 0
    load_looks: int = 0
    load_over: int = 0
    load_sum: float = 0.0
    """Sum of the means per node of all `load_looks`."""
    load_highest: float | None = None
    load_last: float | None = None
    load_at: datetime | None = None


@dataclass(frozen=True)
class BeforeWay:
    """The stretch before the first server: what every later answer is held against. Bounded: the newest answers.

    `done_at` is when the first server began; from then on it stays as it is. Loads are means per node.
    """

    since: datetime
    latency_ms: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    load_looks: int = 0
    load_sum: float = 0.0
    load_at: datetime | None = None
    done_at: datetime | None = None


@dataclass(frozen=True)
class VerdictWay:
    """The newest verdict about the pool without this server."""

    verdict: Verdict
    at: datetime
    window_since: datetime
    says: str
    customer_says: str
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DeleteWay:
    """How a deletion goes. `accepted_at`: the provider said yes; `tries` counts the requests."""

    accepted_at: datetime | None = None
    tries: int = 0
    next_try_at: datetime | None = None
    gone_at: datetime | None = None
    late_at: datetime | None = None
    """When reading found a request for it not applied: it may still land for a while."""
    proven_at: datetime | None = None
    """When a look showed the deletion itself (its task, or the state that ends it), or a complete list without the server."""


@dataclass(frozen=True)
class StopWay:
    """A server that this run stops, and starts again where it goes back. `asked_at`: when the newest change of the two
    was asked for. `stopped_at`: since when looks show it stopped; None while it runs.

    `running_at` and `answered_at`: when, after a start of ours, it was first seen to run and to answer itself.
    `late_at`: when a stop of ours did not show, by reading or in its time; it may still land for a while, also after
    one that was asked for since has taken effect.
    """

    asked_at: datetime | None = None
    accepted_at: datetime | None = None
    stopped_at: datetime | None = None
    is_starting: bool = False
    running_at: datetime | None = None
    answered_at: datetime | None = None
    tries: int = 0
    next_try_at: datetime | None = None
    late_at: datetime | None = None


@dataclass(frozen=True)
class OwnTraffic:
    """What a server that left the pool carries by itself. `at`: its newest look of those at least 3 s apart.

    `asked` counts our own looks since then. `is_let`: a person let it be cut off, with so many connections and so much of
    a rate (None: they were not known). `is_asked_about`: a person has been asked.
    """

    at: datetime | None = None
    total: int | None = None
    asked: int = 0
    rps: float | None = None
    """Requests per second besides our own, smoothed; None is unknown."""
    connections: int = 0
    zeros: int = 0
    """Looks running that showed no open connection."""
    is_silent: bool = False
    problem: str = ""
    noisy_since: datetime | None = None
    unknown_since: datetime | None = None
    is_asked_about: bool = False
    is_let: bool = False
    let_connections: int | None = None
    let_rps: float | None = None


@dataclass(frozen=True)
class ImagingWay:
    """How the image of one server is asked for. `problem`: why none could be made, until a person resumes."""

    tries: int = 0
    accepted_at: datetime | None = None
    next_try_at: datetime | None = None
    problem: str = ""


@dataclass(frozen=True)
class ImageMade:
    """One image that this run made. `status` is the provider's newest word, SAVING before the first look.

    `ready_at`: when it was first seen ACTIVE. `of_stopped`: the server was stopped; else it is crash-consistent.
    """

    image_id: str
    name: str
    server_id: str
    server_name: str
    made_at: datetime
    keep_until: datetime
    status: str = "SAVING"
    progress: int | None = None
    of_stopped: bool = False
    ready_at: datetime | None = None
    seen_at: datetime | None = None
    missing_since: datetime | None = None

    @property
    def is_lost(self) -> bool:
        """Whether it failed or is gone: nothing can be created from it."""
        return self.status in {"ERROR", "DELETED"}


@dataclass(frozen=True)
class ImageLost:
    """An image that this run asked for and whose answer was lost: it may be there, or come to be there for a while.

    `at`: when reading found it not made, or made and did not say which it is.
    """

    server_id: str
    server_name: str
    at: datetime


@dataclass(frozen=True)
class AnewWay:
    """A deleted server that is created anew from an image. `server_id` is the new one's, None until it is known.

    `late_at`: when reading found a request for it not applied; it may still land for a while, so none is sent again.
    `problem`: why it does not go on, until a person resumes.
    """

    image_id: str
    tries: int = 0
    accepted_at: datetime | None = None
    next_try_at: datetime | None = None
    late_at: datetime | None = None
    server_id: str | None = None
    running_at: datetime | None = None
    answered_at: datetime | None = None
    missing_since: datetime | None = None
    problem: str = ""


@dataclass(frozen=True)
class PutBack:
    """A server on its way back into the pool. `to` is its phase when it is back.

    `unfit_since`: since when every look shows it in a state in which it cannot serve and that does not pass by itself. For a task
    of the provider, which should end, it lies later than the first look at it: by how much longer that is waited for.
    """

    why: str
    to: Phase
    since: datetime
    tries: int = 0
    next_try_at: datetime | None = None
    unfit_since: datetime | None = None


@dataclass(frozen=True)
class ServerWay:
    """One planned server. `says` is what is true now and what it waits for, `until` how long that may take."""

    server_id: str
    name: str
    phase: Phase
    since: datetime
    nodes: tuple[NodeWay, ...]
    drain: DrainWay | None = None
    soak: SoakWay | None = None
    verdict: VerdictWay | None = None
    delete: DeleteWay | None = None
    put_back: PutBack | None = None
    imaging: ImagingWay | None = None
    stop: StopWay | None = None
    anew: AnewWay | None = None
    own: OwnTraffic | None = None
    left_at: datetime | None = None
    """When its last node was seen to have left the pool."""
    held_at: datetime | None = None
    retired_at: datetime | None = None
    missing_since: datetime | None = None
    back_from: Phase | None = None
    """How far it had come when it was last put back."""
    by_hand: str = ""
    """What another hand changed: not deletable by this run until a person says so."""
    drain_took_s: float | None = None
    says: str = ""
    customer_says: str = ""
    until: datetime | None = None

    @property
    def new_server_id(self) -> str:
        """The id of the server that was created in its place, whether it serves or not; "" where none is known."""
        return "" if self.anew is None or self.anew.server_id is None else self.anew.server_id

    @property
    def is_back_under_way(self) -> bool:
        return self.put_back is not None


@dataclass(frozen=True)
class KeptServer:
    """One server that stays in the pool, as it was when the run began or when a person last accepted it."""

    server_id: str
    name: str
    nodes: tuple[NodeWay, ...]


@dataclass(frozen=True)
class Meter:
    """A server's request counter at one look and the rate that two looks gave. Unknown is None."""

    total: int | None = None
    at: datetime | None = None
    rps: float | None = None
    rps_at: datetime | None = None
    answered_at: datetime | None = None
    rps_before: float | None = None
    """The rate before `rps`."""


@dataclass(frozen=True)
class VitalWay:
    """How one vital figure goes in a peak watch: `numbers` of its newest judgement, as a verdict has them.

    `judged`: how often it had samples enough to tell, of `looked` times; `fallen_most` is the largest share that was missing
    then, with its time.
    """

    name: str
    numbers: Mapping[str, Any]
    looked: int = 0
    judged: int = 0
    fallen_most: float | None = None
    fallen_most_at: datetime | None = None


@dataclass(frozen=True)
class WatchWay:
    """How the next peak goes at the new size. `out`: how many servers are out. Loads in requests per second.

    `since`: when the pool came to that size. `open_since`: since when the run stays open for the peak alone. `ended_at`: when
    the peak was over, or a person ended the watch (`ended_early` says who). Figures are None where nothing was known.
    """

    since: datetime
    until: datetime
    out: int
    open_since: datetime | None = None
    ended_at: datetime | None = None
    ended_early: str = ""
    looked_at: datetime | None = None
    unwatched_s: float = 0.0
    """How much of the time lay between looks that were too far apart."""
    load_at: datetime | None = None
    node_highest: float | None = None
    """The highest mean per serving server, with `node_highest_at`."""
    node_highest_at: datetime | None = None
    pool_highest: float | None = None
    probed_at: datetime | None = None
    probes: ProbeCounts = ProbeCounts()
    failed_first_at: datetime | None = None
    failed_last_at: datetime | None = None
    vital: tuple[VitalWay, ...] = ()
    vital_at: datetime | None = None
    """When vital figures were last judged, from samples since `vital_since`; None there: since the pool came to its size."""
    vital_since: datetime | None = None
    fallen_at: datetime | None = None
    """When a judgement last found one surely fallen, with the sentences for both readers."""
    fallen_says: str = ""
    fallen_customer_says: str = ""


@dataclass(frozen=True)
class Growing:
    """By which deleted servers the run grows again, as both sides approved: `digest` is of that approval, `ref` names it."""

    ref: str
    digest: str
    servers: tuple[GrownServer, ...]


@dataclass(frozen=True)
class Waiting:
    """What the run waits for as a whole, since when, and until when at most."""

    code: str
    since: datetime
    says: str = ""
    customer_says: str = ""
    until: datetime | None = None


@dataclass(frozen=True)
class Stuck:
    """How long a run has waited for things that should have come, whatever they were, since it last moved on.

    `limit_s` is the longest bound among them, `at` when the last of it was counted (None: not counting now),
    `reasons` the newest sentence for each of them, by code.
    """

    seconds: float = 0.0
    limit_s: float | None = None
    at: datetime | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """All that a run keeps between ticks. `format` rises with an incompatible change of shape."""

    format: int = 1
    servers: tuple[ServerWay, ...] = ()
    kept: tuple[KeptServer, ...] = ()
    meters: Mapping[str, Meter] = field(default_factory=dict)
    unmonitored: tuple[str, ...] = ()
    """Balancers without a health monitor: ONLINE means nothing there."""
    noted_nodes: tuple[str, ...] = ()
    """Nodes that came by another hand and were noted, as `balancer/address:port`."""
    waiting: Waiting | None = None
    stuck: Stuck | None = None
    """What it waited for in turn without moving on; None once something moved."""
    sighted_at: datetime | None = None
    """When all balancers of the plan were last read."""
    probed_at: datetime | None = None
    probe_failures: Mapping[str, int] = field(default_factory=dict)
    """Failed looks in a row, by probe."""
    hot_looks: int = 0
    """Load readings over the guard in a row."""
    hot_at: datetime | None = None
    """When `hot_looks` was last counted up."""
    load_at: datetime | None = None
    """When the load of the whole pool was last known in full."""
    pool_load: float | None = None
    before: BeforeWay | None = None
    """None where it was not recorded: nothing to compare with."""
    load_unknown_since: datetime | None = None
    """Since when looks do not show what every serving server carries; None while they do."""
    balancers_missing_since: Mapping[str, datetime] = field(default_factory=dict)
    """Balancers that the provider says are gone, by when it first said so without a break."""
    asks_freeze: bool = False
    """Whether the newest look came to where a freeze holds, and it had not been read: it is with the next claim."""
    differs: str = ""
    differs_looks: int = 0
    preflight_due: bool = True
    preflight_at: datetime | None = None
    """When the newest pre-flight was good."""
    started_at: datetime | None = None
    last_left_at: datetime | None = None
    stopped_at: datetime | None = None
    """Since when the run is paused or halted."""
    standstill_since: datetime | None = None
    """Since when a standstill is in force without a break, as looks found it; None: none is."""
    told_beside_halt: tuple[str, ...] = ()
    """Codes of lesser reasons that were journalled while a graver halt stands."""
    pause_after: str | None = None
    """Pause once this server is through ("" as soon as nothing is in hand)."""
    is_pause_for_change: bool = False
    """That pause is asked for by a change of the site, not by a person."""
    aborting: str = ""
    """The sentence why it is being aborted."""
    rolling_back: str = ""
    """The sentence why it is being rolled back."""
    growing: Growing | None = None
    """Set where the run undoes only so much: it grows again by these servers, then it is complete."""
    giving_up: str = ""
    """The sentence why a roll back, or growing again, creates nothing more."""
    finishing: str = ""
    """The sentence why it ends here, as soon as nothing of ours may land any more."""
    ended_because: str = ""
    """Stable word for why the run ended other than by plan, e.g. `pool_changed`."""
    refusals: int = 0
    refusal_says: str = ""
    busy_since: datetime | None = None
    retry_at: datetime | None = None
    rehearsed: int = 0
    images: tuple[ImageMade, ...] = ()
    """Every image that this run made, the first one first; also those that failed."""
    images_lost: tuple[ImageLost, ...] = ()
    """Images that were asked for and that nobody has seen yet, the oldest first."""
    images_read_at: datetime | None = None
    """When a complete list of all images was last read."""
    paused_says: str = ""
    """What a pause said, for as long as the run rests in it."""
    paused_customer_says: str = ""
    watch: WatchWay | None = None
    """How the next peak goes at the new size; None where none is watched, or not yet."""
    cannot: Mapping[str, str] = field(default_factory=dict)
    """Commands that the newest look forbids, with the sentence why; by name, or "name server-id"."""
    says: str = ""
    customer_says: str = ""
    until: datetime | None = None

    def server(self, server_id: str) -> ServerWay | None:
        """Return one server's way, or None."""
        return next((way for way in self.servers if way.server_id == server_id), None)

    def names_in(self, phase: Phase) -> str:
        """Return the names of the servers in a phase, in their order, "" for none."""
        return ", ".join(way.name for way in self.servers if way.phase is phase)

    @property
    def in_flight(self) -> ServerWay | None:
        """The one server in draining, removing or verifying, or None (invariant 3)."""
        return next((way for way in self.servers if way.phase.is_in_flight), None)


def _node_ways(server: PlannedServer) -> tuple[NodeWay, ...]:
    return tuple(
        NodeWay(node.balancer_id, node.node_id, node.address, node.port, node.type, node.weight)
        for node in server.nodes
    )


def new_progress(plan: PlanData, now: datetime) -> Progress:
    """Return the progress of a run that has not begun."""
    return Progress(
        servers=tuple(
            ServerWay(
                server.server_id,
                server.name,
                Phase.QUEUED,
                now,
                _node_ways(server),
                says=wording.queued(server.name).says,
                customer_says=wording.queued(server.name).customer_says,
            )
            for server in plan.servers
        ),
        kept=tuple(
            KeptServer(server.server_id, server.name, _node_ways(server)) for server in plan.remaining
        ),
        sighted_at=now,
    )


def progress_to_plain(
    progress: Progress, after: tuple[Progress, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Return progress as it is stored; `progress_from_plain` gives the same value back.

    `after`: an older progress and what was made of it. A look changes little, and only that is written anew.
    """
    plain: dict[str, Any] = to_plain(progress) if after is None else to_plain_after(progress, *after)
    return plain


def progress_from_plain(value: Mapping[str, Any]) -> Progress:
    """Return what `progress_to_plain` wrote. Raises canonical.Unreadable."""
    progress = from_plain(Progress, value)
    assert isinstance(progress, Progress)
    return progress


def with_server(progress: Progress, way: ServerWay) -> Progress:
    """Return progress with this server's way in place of its older one."""
    return replace(
        progress, servers=tuple(way if old.server_id == way.server_id else old for old in progress.servers)
    )
