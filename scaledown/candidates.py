"""Which servers of a pool may come out, in which order, and which may not and why. Pure.

In: what the author chose (`Choice`), what was just read of the provider (`Pool`), what the portal knows
(`Known`). Source: spec "From event to plan".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from portal.cloud.discovery import same_address, serves
from portal.cloud.types import Alarm, Balancer, CloudIdentity, Node, NodeType, Server
from portal.frozen import replace
from scaledown.types import (
    AtLimit,
    Grade,
    ImageRule,
    Order,
    PlannedBaseline,
    PlannedObjective,
    PlannedProbe,
    PlannedVital,
)

FLOOR_DEFAULT = 2
MOST_WINDOWS = 14
"""On so many days a change window may come at most: by then the site is another one than the approvers saw."""
GUARD_SHARE_DEFAULT = 0.8
SLOWER_ALLOWED_DEFAULT = 0.3
VITAL_FALL_ALLOWED_DEFAULT = 0.3
MOST_VITAL = 3
"""So many vital figures are proposed, and may be chosen: each shares the chance of a mistake."""
IMAGES_KEPT_S = 14 * 86_400.0


@dataclass(frozen=True)
class Choice:
    """What the author of a plan chose. None means: as proposed. Durations in seconds, shares 0 to 1."""

    balancer_ids: tuple[str, ...] = ()
    target: int | None = None
    target_reason: str = ""
    floor: int = FLOOR_DEFAULT
    order: Order = Order.REVERSE_OF_SCALE_UP
    min_drain_s: float | None = None
    drain_limit_s: float = 900.0
    at_limit: AtLimit = AtLimit.ASK
    accepted_grade: Grade = Grade.MEASURED
    zeros_needed: int = 3
    soak_s: float = 300.0
    hold_s: float = 0.0
    pause_between_s: float | None = None
    hold_through_peak: bool | None = None
    """Whether servers are held through the next peak; None: as proposed."""
    peak_watch: bool | None = None
    """Whether the run stays open until the next peak has passed at the new size; None: as proposed."""
    stop_s: float | None = None
    images: ImageRule = ImageRule.ONE_PER_KIND
    images_kept_s: float = IMAGES_KEPT_S
    probe_failures_allowed: float = 0.01
    slower_allowed: float | None = SLOWER_ALLOWED_DEFAULT
    """The share by which answers may be slower than before, beyond what more load explains. None: not judged."""
    vital: tuple[str, ...] | None = None
    """References of the metrics that are looked at as vital figures; None: all that the account names, three at most."""
    vital_fall_allowed: float = VITAL_FALL_ALLOWED_DEFAULT
    """The share by which they may be lower than before, beyond what those hours do on other days."""
    no_vital_reason: str = ""
    """Why no vital figure is looked at."""
    guard_share: float = GUARD_SHARE_DEFAULT
    window_start: datetime | None = None
    window_end: datetime | None = None
    window_days: int = 1
    """On how many days the window comes: what does not fit into one goes on in the next."""
    window_weekends: bool = False
    """Whether it comes on Saturdays and Sundays, too, where it does not begin on one."""
    is_unattended: bool = False
    needs_contacts: bool = False
    """Begins only while a primary contact and a backup are proven and awake. It asks for more and allows nothing, so it is
    no part of what is approved."""
    lifted: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Pool:
    """One fresh and complete look at the provider: the plan's balancers, all servers, and who else holds them.

    `holders` has, for each address of a server of the pool, every balancer that the provider's search
    found; an address is absent if it was not looked up. `volumes` likewise, None where it cannot tell.
    """

    identity: CloudIdentity
    balancers: tuple[Balancer, ...]
    servers: tuple[Server, ...]
    holders: Mapping[str, tuple[str, ...]]
    volumes: Mapping[str, tuple[str, ...] | None]
    looked_at: datetime
    by_name: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Load balancers that no plan of this pool covers and that have nodes by name, with the names: whose those are nobody can tell."""
    network: frozenset[str] | None = None
    """Servers whose network the provider's monitoring measures; None where it could not be asked."""
    alarms: tuple[Alarm, ...] | None = None
    """Alarms of the pool that fire; None where the provider's monitoring could not be asked."""


@dataclass(frozen=True)
class Added:
    """One server that was added for the event, in the order in which it went in."""

    position: int
    server_id: str
    added_at: datetime


@dataclass(frozen=True)
class ContactGap:
    """What the account lacks in people to call, when the work begins: a stable code, the sentence, what to do. No names."""

    code: str
    says: str
    what_to_do: str


@dataclass(frozen=True)
class EventKnown:
    """A traffic event that is on, or coming up."""

    name: str
    starts_at: datetime
    ends_at: datetime
    peak_rps: float | None = None
    """The most that it is expected to bring, or that was seen of it; None is unknown."""
    ref: str = ""
    of: str = ""
    """Of a rise: the reference of the traffic event that it is known to be; "" for none."""


@dataclass(frozen=True)
class FreezeKnown:
    """A time of the calendar in which nothing is to be changed, now or soon. `what` begins a sentence."""

    what: str
    starts_at: datetime
    ends_at: datetime


GONE_AFTER = 4
"""Half-lives after which an event's traffic counts as gone."""


@dataclass(frozen=True)
class Decay:
    """How the traffic of an event goes away: when it was highest, and the time in which half of the excess was gone."""

    event_name: str
    peaked_at: datetime
    half_life_s: float

    @property
    def gone_at(self) -> datetime:
        """When the pool is at its usual traffic, but for a sixteenth of the excess."""
        return self.peaked_at + GONE_AFTER * timedelta(seconds=self.half_life_s)


@dataclass(frozen=True)
class VitalKnown:
    """One vital figure of the account; `last_at` is when its newest sample is from, None where there is none."""

    figure: PlannedVital
    last_at: datetime | None


@dataclass(frozen=True)
class HeldAgainst:
    """One thing that verdicts are held against: a stable word, the sentence, where it is from and since when."""

    what: str
    says: str
    source: str
    at: datetime


@dataclass(frozen=True)
class Known:
    """What the portal itself knows about this pool. Unknown is None. Rates in requests per second."""

    account_ref: str
    connection_ref: str
    zone: str = "UTC"
    """The account's time zone, in which windows of later days come at the same hours."""
    event_name: str | None = None
    event_starts_at: datetime | None = None
    added: tuple[Added, ...] = ()
    decay: Decay | None = None
    """Of the event, else of the newest one that was seen in the traffic of the pool."""
    protected: Mapping[str, str] = field(default_factory=dict)
    """Server id → why it is protected."""
    ceiling_rps: float | None = None
    ceiling_source: str = ""
    ceiling_doubts: tuple[str, ...] = ()
    """What came after it was measured and speaks against it, a sentence each."""
    forecast_peak_rps: float | None = None
    forecast_source: str = ""
    peak_at: datetime | None = None
    """When the next peak is expected; None is unknown."""
    objective: PlannedObjective | None = None
    baselines: tuple[PlannedBaseline, ...] = ()
    fine_load_rps: float | None = None
    """The highest load per node that was fine in the last 14 days; asked for where there is no ceiling."""
    fine_load_source: str = ""
    held_against: tuple[HeldAgainst, ...] = ()
    rises: tuple[EventKnown, ...] = ()
    """Rises in the traffic of the pool that are on, whoever named or dismissed them: each ends nobody knows when."""
    vital: tuple[VitalKnown, ...] = ()
    """What the account names as its vital figures, by name."""
    probes: tuple[PlannedProbe, ...] = ()
    count_kind: str | None = None
    count_url_template: str | None = None
    contact_gaps: tuple[ContactGap, ...] = ()
    """What the account's own rules miss, and who of a primary and a backup is not proven."""
    events: tuple[EventKnown, ...] = ()
    """Traffic events of the account that are not over yet."""
    freezes: tuple[FreezeKnown, ...] = ()
    """What the calendar holds back within the next weeks."""
    changed_at: datetime | None = None
    """When the site was changed last, as pipelines and people announced; None: nobody announced anything."""


@dataclass(frozen=True)
class Why:
    """One reason why a server stays. `blocks`: it lies in the way and a person must do something first."""

    code: str
    says: str
    what_to_do: str
    blocks: bool = False


@dataclass(frozen=True)
class Member:
    """One server of the pool with its nodes on the plan's balancers."""

    server: Server
    nodes: tuple[tuple[str, Node], ...]
    """(balancer id, node)."""
    is_serving: bool
    """On each balancer that holds it: an ENABLED, ONLINE, PRIMARY node."""


@dataclass(frozen=True)
class Stray:
    """A node whose address belongs to no server, or to more than one."""

    balancer_id: str
    node: Node
    server_names: tuple[str, ...]


@dataclass(frozen=True)
class Excluded:
    """A server that this plan does not take out, and every reason for it."""

    server_id: str
    name: str
    reasons: tuple[Why, ...]


@dataclass(frozen=True)
class Candidates:
    """Who may come out, first one first; who not, and why; what could not be matched; who serves now."""

    order: tuple[Member, ...]
    excluded: tuple[Excluded, ...]
    strays: tuple[Stray, ...]
    members: tuple[Member, ...]

    @property
    def serving(self) -> int:
        """Distinct servers in service now."""
        return sum(1 for member in self.members if member.is_serving)


def _by_address(servers: Iterable[Server]) -> dict[str, list[Server]]:
    found: dict[str, list[Server]] = {}
    for server in servers:
        for address in {same_address(address) for address in server.addresses}:
            found.setdefault(address, []).append(server)
    return found


def members_of(pool: Pool) -> tuple[tuple[Member, ...], tuple[Stray, ...]]:
    """Return the servers of the pool with their nodes, by name, and the nodes that fit none or several."""
    owners = _by_address(server for server in pool.servers if not server.is_deleted)
    nodes: dict[str, list[tuple[str, Node]]] = {}
    servers: dict[str, Server] = {}
    strays: list[Stray] = []
    for balancer in pool.balancers:
        for node in balancer.nodes:
            matching = owners.get(same_address(node.address), [])
            if len(matching) != 1:
                strays.append(Stray(balancer.id, node, tuple(server.name for server in matching)))
                continue
            servers[matching[0].id] = matching[0]
            nodes.setdefault(matching[0].id, []).append((balancer.id, node))
    members = [
        Member(servers[server_id], tuple(held), is_serving=_is_serving(held))
        for server_id, held in nodes.items()
    ]
    return tuple(sorted(members, key=lambda member: (member.server.name, member.server.id))), tuple(strays)


def servers_of(balancers: Iterable[Balancer], servers: Iterable[Server]) -> list[Server]:
    """Return those of an account's servers that have a node of these balancers."""
    nodes = {same_address(node.address) for balancer in balancers for node in balancer.nodes}
    return [server for server in servers if nodes & {same_address(address) for address in server.addresses}]


def kept(pool: Pool) -> Pool:
    """Return a look with no more than a plan is drawn from: the servers of its pool, without what people note on them."""
    return replace(
        pool,
        servers=tuple(
            # The provider's own marks, such as the autoscaler's: what people note there is nobody's business here.
            replace(
                server,
                metadata={key: value for key, value in server.metadata.items() if key.startswith("rax:")},
            )
            for server in servers_of(pool.balancers, pool.servers)
        ),
    )


def sizes_of(pool: Pool) -> Counter[str]:
    """Return how many servers in service there are of each size, "" for one that is not told."""
    members, _ = members_of(pool)
    return Counter(one.server.flavor_id or "" for one in members if one.is_serving)


def _is_serving(held: Sequence[tuple[str, Node]]) -> bool:
    balancers = {balancer_id for balancer_id, _ in held}
    return all(any(serves(node) for there, node in held if there == balancer_id) for balancer_id in balancers)


def candidates(choice: Choice, pool: Pool, known: Known) -> Candidates:
    """Return who may come out, first one first, and for everyone else each reason why not."""
    members, strays = members_of(pool)
    shared = _ambiguous_servers(strays, pool)
    order: list[Member] = []
    excluded: list[Excluded] = []
    for member in members:
        reasons = _reasons(member, choice, pool, known, shared)
        if reasons:
            excluded.append(Excluded(member.server.id, member.server.name, reasons))
        else:
            order.append(member)
    return Candidates(tuple(_in_order(order, choice.order, known)), tuple(excluded), strays, members)


def _ambiguous_servers(strays: Iterable[Stray], pool: Pool) -> frozenset[str]:
    addresses = {same_address(stray.node.address) for stray in strays if stray.server_names}
    return frozenset(
        server.id
        for server in pool.servers
        if addresses & {same_address(address) for address in server.addresses}
    )


def _reasons(
    member: Member, choice: Choice, pool: Pool, known: Known, ambiguous: frozenset[str]
) -> tuple[Why, ...]:
    server = member.server
    checks = (
        _why_protected(server, known),
        _why_older_than_event(server, choice, known),
        _why_not_in_record(server, choice, known),
        _why_autoscaled(server),
        _why_elsewhere(member, pool),
        _why_ambiguous(server, ambiguous),
        _why_secondary(member),
        _why_not_serving(member),
        _why_busy(server),
        _why_locked(server),
        _why_volumes(server, pool),
        _why_floating(server),
    )
    return tuple(why for why in checks if why is not None)


def _why_protected(server: Server, known: Known) -> Why | None:
    if server.id not in known.protected:
        return None
    return Why(
        "protected",
        f"{server.name} is protected: {known.protected[server.id]}",
        "Lift the protection first if it no longer holds.",
        blocks=True,
    )


def _why_older_than_event(server: Server, choice: Choice, known: Known) -> Why | None:
    if known.event_starts_at is None or server.id in choice.lifted:
        return None
    if any(added.server_id == server.id for added in known.added):
        return None
    if server.created_at >= known.event_starts_at:
        return None
    return Why(
        "existed_before_event",
        f"{server.name} existed before {known.event_name or 'the event'}.",
        "Leave it, or name it in the plan so that both sides lift this block by approving.",
        blocks=True,
    )


def _why_not_in_record(server: Server, choice: Choice, known: Known) -> Why | None:
    if choice.order is not Order.REVERSE_OF_SCALE_UP or server.id in choice.lifted:
        return None
    if any(added.server_id == server.id for added in known.added):
        return None
    if known.event_starts_at is not None and server.created_at < known.event_starts_at:
        return None  # said better by "existed before"
    return Why(
        "not_in_record",
        f"{server.name} is not in the scale-up record, so its place in the order is unknown.",
        "Add it to the record, choose “newest first”, or name it in the plan.",
    )


def _why_autoscaled(server: Server) -> Why | None:
    if server.autoscale_group is None:
        return None
    return Why(
        "autoscaled",
        f"{server.name} belongs to the provider's autoscaler, which would undo the work.",
        "Lower the group's size there, or take the server out of the group first.",
        blocks=True,
    )


def _why_elsewhere(member: Member, pool: Pool) -> Why | None:
    covered = {balancer.id for balancer in pool.balancers}
    unknown = [address for address in member.server.addresses if address not in pool.holders]
    if unknown:
        return Why(
            "holders_unknown",
            f"Whether another load balancer holds {member.server.name} could not be found out.",
            "Look again in a moment.",
            blocks=True,
        )
    others = sorted({held for address in member.server.addresses for held in pool.holders[address]} - covered)
    if not others:
        return None
    return Why(
        "other_balancer",
        f"{member.server.name} is also in load balancer {', '.join(others)}, which this plan does not cover.",
        "Add that load balancer to the plan.",
        blocks=True,
    )


def _why_ambiguous(server: Server, ambiguous: frozenset[str]) -> Why | None:
    if server.id not in ambiguous:
        return None
    return Why(
        "address_shared",
        f"A node's address belongs to {server.name} and to another server, so the node cannot be told apart.",
        "Mend the addresses at the provider, or do this server by hand.",
        blocks=True,
    )


def _why_secondary(member: Member) -> Why | None:
    if all(node.type is NodeType.PRIMARY for _, node in member.nodes):
        return None
    return Why(
        "secondary",
        f"{member.server.name} is a secondary node: it serves only when all primary ones fail.",
        "Leave it, or make it primary first.",
    )


def _why_not_serving(member: Member) -> Why | None:
    if member.is_serving or any(node.type is not NodeType.PRIMARY for _, node in member.nodes):
        return None
    seen = ", ".join(sorted({f"{node.condition.value} and {node.status.value}" for _, node in member.nodes}))
    return Why(
        "not_serving",
        f"{member.server.name} is not in service now ({seen}).",
        "Find out why first: put it back in service, or take it out by hand.",
    )


def _why_busy(server: Server) -> Why | None:
    if server.status == "ACTIVE" and server.task_state is None:
        return None
    doing = f", {server.task_state}" if server.task_state else ""
    return Why(
        "busy",
        f"{server.name} is busy at the provider ({server.status}{doing}).",
        "Wait until the provider shows it as active with nothing going on.",
        blocks=True,
    )


def _why_locked(server: Server) -> Why | None:
    if not server.is_locked:
        return None
    return Why("locked", f"{server.name} is locked at the provider.", "Unlock it first.", blocks=True)


def _why_volumes(server: Server, pool: Pool) -> Why | None:
    attached = pool.volumes.get(server.id)
    if not attached:
        return None
    return Why(
        "volumes",
        f"{server.name} has {len(attached)} volume{'s' if len(attached) > 1 else ''} attached.",
        "Detach them first, so that their data outlives the server.",
        blocks=True,
    )


def _why_floating(server: Server) -> Why | None:
    if not server.floating:
        return None
    return Why(
        "floating_address",
        f"{server.name} has a floating address attached ({', '.join(server.floating)}), which leads visitors to it past the pool.",
        "Attach the address to a server that stays, or release it, first.",
        blocks=True,
    )


def _in_order(members: Sequence[Member], order: Order, known: Known) -> list[Member]:
    """Return the members in the order in which they come out. Ties go by name, so that it is one order."""

    def newest(member: Member) -> tuple[float, str, str]:
        return (-member.server.created_at.timestamp(), member.server.name, member.server.id)

    if order is Order.NEWEST_FIRST:
        return sorted(members, key=newest)
    positions = {added.server_id: added.position for added in known.added}
    # Lifted servers that no record names came in before everything that it names: they leave last.
    return sorted(members, key=lambda member: (-positions.get(member.server.id, -1), *newest(member)))
