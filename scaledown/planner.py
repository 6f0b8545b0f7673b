"""Which servers come out, in which order, down to how many, and what each step leaves. Pure.

In: what the author chose (`Choice`), what was just read of the provider (`Pool`), what the portal knows
(`Known`). Out: who may come out and who not and why, a proposed size with its reason, the plan as it will be
approved (`PlanData`) and what its approvers are shown (`Preview`). Source: spec "From event to plan", "Preview".
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from portal.cloud.discovery import same_address
from portal.cloud.types import (
    Balancer,
    BalancerStatus,
    CloudIdentity,
    Condition,
    Node,
    NodeStatus,
    NodeType,
    Server,
)
from portal.errors import Refused
from scaledown.canonical import digest
from scaledown.types import (
    PLAN_FORMAT,
    AtLimit,
    Grade,
    Order,
    PlanData,
    PlannedNode,
    PlannedProbe,
    PlannedServer,
)

FLOOR_DEFAULT = 2
KEEP_ALIVE_MARGIN_S = 5.0
"""Counters can read a false zero right after the change, and idle keep-alive sockets outlive a request."""
GUARD_SHARE_DEFAULT = 0.8
SHORTEST_REASON = 10
"""Characters of a written reason; shorter ones explain nothing."""
HOURS_A_MONTH = 730.5
CHANGE_MIN_S, CHANGE_MAX_S = 2.0, 30.0
"""How long a load balancer takes to apply one change (provider reference, 2.2 and 7.2)."""
DELETE_MIN_S, DELETE_MAX_S = 5.0, 900.0
"""How long a server takes to be gone after the delete (provider reference, 3.3)."""
LOOK_S = 2.0
"""About how often a draining server is looked at."""
OLDEST_CONFIRMATION = timedelta(days=180)
EVENT_AHEAD = timedelta(days=7)
"""An event that begins within this time is worth a warning: its servers may be needed again."""


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
    pause_between_s: float = 60.0
    probe_failures_allowed: float = 0.0
    guard_share: float = GUARD_SHARE_DEFAULT
    window_start: datetime | None = None
    window_end: datetime | None = None
    is_unattended: bool = False
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


@dataclass(frozen=True)
class Added:
    """One server that was added for the event, in the order in which it went in."""

    position: int
    server_id: str
    added_at: datetime


@dataclass(frozen=True)
class ContactKnown:
    """One contact of the account as far as a plan cares."""

    name: str
    roles: tuple[str, ...]
    confirmed_at: datetime | None


@dataclass(frozen=True)
class EventKnown:
    """A traffic event that is on, or coming up."""

    name: str
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True)
class Known:
    """What the portal itself knows about this pool. Unknown is None. Rates in requests per second."""

    account_ref: str
    connection_ref: str
    event_name: str | None = None
    event_starts_at: datetime | None = None
    added: tuple[Added, ...] = ()
    protected: Mapping[str, str] = field(default_factory=dict)
    """Server id → why it is protected."""
    ceiling_rps: float | None = None
    ceiling_source: str = ""
    forecast_peak_rps: float | None = None
    forecast_source: str = ""
    probes: tuple[PlannedProbe, ...] = ()
    count_kind: str | None = None
    count_url_template: str | None = None
    contacts: tuple[ContactKnown, ...] = ()
    events: tuple[EventKnown, ...] = ()
    """Traffic events of the account that are not over yet."""


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


@dataclass(frozen=True)
class Proposal:
    """A proposed size of the pool with its reason. `basis` is sizing, before_event or nothing_known."""

    count: int
    basis: str
    says: str


@dataclass(frozen=True)
class Warned:
    """One thing the approvers must know, and what to do about it. Blocking ones forbid to submit."""

    code: str
    says: str
    what_to_do: str
    blocks: bool = False
    subject: str = ""


@dataclass(frozen=True)
class Step:
    """One server coming out. Load is per node at the next peak; None where peak or ceiling is unknown."""

    position: int
    server_id: str
    server_name: str
    nodes_left: int
    peak_load_rps: float | None
    peak_share_of_ceiling: float | None
    peak_share_one_host_lost: float | None
    """The same after the loss of the physical host with the most of the servers that are left."""
    likely_min_s: float
    likely_max_s: float
    says: str


@dataclass(frozen=True)
class Preview:
    """Exactly what will run, and what everyone should know before they approve it."""

    looked_at: datetime
    serving_now: int
    target: int
    floor: int
    proposal: Proposal
    steps: tuple[Step, ...]
    stays: tuple[str, ...]
    excluded: tuple[Excluded, ...]
    warnings: tuple[Warned, ...]
    likely_min_s: float
    likely_max_s: float
    way_back: tuple[str, ...]
    server_hours_saved_per_month: float
    hold_server_hours: float

    @property
    def is_blocked(self) -> bool:
        """Whether anything forbids to submit this plan."""
        return any(warning.blocks for warning in self.warnings)


# --- the pool -------------------------------------------------------------------------------------------


def _by_address(servers: Iterable[Server]) -> dict[str, list[Server]]:
    found: dict[str, list[Server]] = {}
    for server in servers:
        for address in {same_address(address) for address in server.addresses}:
            found.setdefault(address, []).append(server)
    return found


def _serves(node: Node) -> bool:
    return (
        node.condition is Condition.ENABLED
        and node.status is NodeStatus.ONLINE
        and node.type is NodeType.PRIMARY
    )


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


def _is_serving(held: Sequence[tuple[str, Node]]) -> bool:
    balancers = {balancer_id for balancer_id, _ in held}
    return all(
        any(_serves(node) for there, node in held if there == balancer_id) for balancer_id in balancers
    )


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


def _in_order(members: Sequence[Member], order: Order, known: Known) -> list[Member]:
    """Return the members in the order in which they come out. Ties go by name, so that it is one order."""

    def newest(member: Member) -> tuple[float, str, str]:
        return (-member.server.created_at.timestamp(), member.server.name, member.server.id)

    if order is Order.NEWEST_FIRST:
        return sorted(members, key=newest)
    positions = {added.server_id: added.position for added in known.added}
    # Lifted servers that no record names came in before everything that it names: they leave last.
    return sorted(members, key=lambda member: (-positions.get(member.server.id, -1), *newest(member)))


# --- how many -------------------------------------------------------------------------------------------


def share_of_ceiling(peak_rps: float | None, nodes: int, ceiling_rps: float | None) -> float | None:
    """Return the load of one of `nodes` nodes at `peak_rps` as a share of the ceiling; None if unknown."""
    if peak_rps is None or ceiling_rps is None:
        return None
    if nodes <= 0:
        return math.inf
    return peak_rps / nodes / ceiling_rps


def most_on_one_host(members: Iterable[Member]) -> int:
    """Return how many of these servers one physical host takes down with it (unknown hosts count alone)."""
    hosts = [member.server.host_id or f"?{member.server.id}" for member in members]
    return max(Counter(hosts).values(), default=0)


def serving_after(found: Candidates, removed: int) -> tuple[Member, ...]:
    """Return the servers in service once the first `removed` of the order have left."""
    gone = {member.server.id for member in found.order[:removed]}
    return tuple(member for member in found.members if member.is_serving and member.server.id not in gone)


def propose_target(choice: Choice, found: Candidates, known: Known) -> Proposal:
    """Return the size to go down to and why.

    With ceiling and forecast: the fewest servers with which every size from now down to it carries the
    forecast peak within the guard share, and under the ceiling without any one physical host. Without
    them: the count before the event. Never fewer than the floor or than what must stay.
    """
    lowest = max(choice.floor, found.serving - len(found.order), 1)
    lowest = min(lowest, found.serving)
    if known.ceiling_rps is not None and known.forecast_peak_rps is not None:
        return _sized(choice, found, known, lowest, known.ceiling_rps, known.forecast_peak_rps)
    if known.added:
        return _before_event(found, known, lowest)
    return Proposal(
        found.serving,
        "nothing_known",
        "The most that one server carries, the forecast peak and the scale-up record are all unknown: "
        "the size stays until a person chooses.",
    )


def _sized(
    choice: Choice, found: Candidates, known: Known, lowest: int, ceiling_rps: float, peak_rps: float
) -> Proposal:
    count = found.serving
    while count > lowest and _carries(found, count - 1, ceiling_rps, peak_rps, choice.guard_share):
        count -= 1
    left = serving_after(found, found.serving - count)
    worst = most_on_one_host(left)
    share = share_of_ceiling(peak_rps, count, ceiling_rps)
    lost = share_of_ceiling(peak_rps, count - worst, ceiling_rps)
    assert share is not None
    assert lost is not None
    says = (
        f"{_servers(count)} carry the forecast peak of {peak_rps:g} requests/s at {share:.0%} of the most "
        f"that each carries ({ceiling_rps:g} requests/s, {known.ceiling_source or 'source not noted'}), "
    )
    says += (
        f"and at {lost:.0%} should the host with {_servers(worst)} fail."
        if math.isfinite(lost)
        else "and nothing would be left should their one host fail."
    )
    if count == lowest and count > choice.floor:
        says += f" The other {_servers(found.serving - len(found.order))} must stay."
    elif count == choice.floor and count < found.serving:
        says += f" Never fewer than {choice.floor}, as this plan says."
    return Proposal(count, "sizing", says)


def _carries(found: Candidates, count: int, ceiling_rps: float, peak_rps: float, guard: float) -> bool:
    left = serving_after(found, found.serving - count)
    without_host = count - most_on_one_host(left)
    within = peak_rps <= count * ceiling_rps * guard
    return within and without_host > 0 and peak_rps <= without_host * ceiling_rps


def _before_event(found: Candidates, known: Known, lowest: int) -> Proposal:
    added = {entry.server_id for entry in known.added}
    before = sum(1 for member in found.members if member.is_serving and member.server.id not in added)
    return Proposal(
        max(before, lowest),
        "before_event",
        f"{_servers(before)} served before {known.event_name or 'the event'}; "
        "the most that one server carries and the forecast peak, to size it by, are not both known.",
    )


def _servers(count: int) -> str:
    return f"{count} server" if count == 1 else f"{count} servers"


# --- the plan -------------------------------------------------------------------------------------------


def least_drain_s(balancers: Iterable[Balancer]) -> float:
    """Return the shortest minimum drain that is allowed: the longest balancer timeout plus the margin."""
    return max((float(balancer.timeout_s) for balancer in balancers), default=0.0) + KEEP_ALIVE_MARGIN_S


def check_choice(choice: Choice) -> None:
    """Raise Refused, with a sentence, for a choice that can make no plan."""
    if not choice.balancer_ids:
        raise Refused("Choose the load balancer of the pool first.", code="no_balancer")
    if choice.floor < 1:
        raise Refused("The floor is at least 1 server: with none the site is down.", code="floor_too_low")
    if choice.target is not None and choice.target < choice.floor:
        raise Refused(
            f"The target of {_servers(choice.target)} is below the floor of {choice.floor}. "
            "Raise the target, or lower the floor if that is really meant.",
            code="target_below_floor",
        )
    if choice.zeros_needed < 3:
        raise Refused(
            "A drain ends after at least 3 looks in a row that saw no connection.", code="zeros_too_few"
        )
    for name, value in (
        ("drain limit", choice.drain_limit_s),
        ("soak", choice.soak_s),
    ):
        if not value > 0:
            raise Refused(f"The {name} must be longer than 0 seconds.", code="duration_not_positive")
    for name, value in (("hold", choice.hold_s), ("pause between servers", choice.pause_between_s)):
        if value < 0:
            raise Refused(f"The {name} cannot be negative.", code="duration_negative")
    if not 0 <= choice.probe_failures_allowed < 1:
        raise Refused("The share of probes that may fail is from 0 to below 1.", code="share_out_of_range")
    if not 0 < choice.guard_share <= 1:
        raise Refused("The guard is a share of the ceiling above 0 and up to 1.", code="share_out_of_range")
    if choice.window_start and choice.window_end and choice.window_end <= choice.window_start:
        raise Refused("The change window ends before it starts.", code="window_backwards")


def build_plan_data(choice: Choice, pool: Pool, known: Known) -> PlanData:
    """Return the plan as it would be approved, from a fresh look. Raises Refused with what is in the way.

    The servers are the first of the order, as many as lie between the servers in service now and the
    target; nothing that is excluded is ever among them.
    """
    check_choice(choice)
    _check_pool(choice, pool)
    found = candidates(choice, pool, known)
    proposal = propose_target(choice, found, known)
    target = choice.target if choice.target is not None else proposal.count
    removed = found.serving - target
    if removed <= 0:
        raise Refused(
            f"{_servers(found.serving)} are in service and the target is {target}: there is nothing to take out.",
            code="nothing_to_do",
        )
    if removed > len(found.order):
        raise Refused(_too_few(found, removed), code="too_few_candidates")
    for balancer in pool.balancers:
        left = _serving_on(balancer.id, found.members, found.order[:removed])
        if left < choice.floor:
            raise Refused(
                f"Load balancer {balancer.name} would keep {_servers(left)} in service; "
                f"the floor is {choice.floor}. Choose a higher target.",
                code="below_floor",
            )
    gone = found.order[:removed]
    stays = [member for member in found.members if member not in gone]
    return PlanData(
        format=PLAN_FORMAT,
        account_ref=known.account_ref,
        connection_ref=known.connection_ref,
        provider=pool.identity.provider,
        identity_url=pool.identity.identity_url,
        tenant=pool.identity.tenant,
        region=pool.identity.region,
        balancer_ids=tuple(choice.balancer_ids),
        servers=tuple(_planned(member, known) for member in gone),
        remaining=tuple(_planned(member, known) for member in stays),
        strays=tuple(
            sorted(f"{stray.balancer_id}/{stray.node.address}:{stray.node.port}" for stray in found.strays)
        ),
        target=target,
        target_reason=_target_reason(choice, target, proposal),
        floor=choice.floor,
        order=choice.order,
        min_drain_s=max(choice.min_drain_s or 0.0, least_drain_s(pool.balancers)),
        drain_limit_s=max(choice.drain_limit_s, choice.min_drain_s or 0.0, least_drain_s(pool.balancers)),
        at_limit=choice.at_limit,
        accepted_grade=choice.accepted_grade,
        zeros_needed=choice.zeros_needed,
        soak_s=choice.soak_s,
        hold_s=choice.hold_s,
        pause_between_s=choice.pause_between_s,
        probes=known.probes,
        probe_failures_allowed=choice.probe_failures_allowed,
        count_kind=known.count_kind,
        ceiling_rps=known.ceiling_rps,
        ceiling_source=known.ceiling_source,
        forecast_peak_rps=known.forecast_peak_rps,
        guard_share=choice.guard_share,
        window_start=choice.window_start,
        window_end=choice.window_end,
        is_unattended=choice.is_unattended,
        reason=choice.reason,
        lifted=tuple(sorted(set(choice.lifted) & {member.server.id for member in gone})),
        remaining_reason=choice.target_reason if target < proposal.count else "",
    )


def _target_reason(choice: Choice, target: int, proposal: Proposal) -> str:
    if target == proposal.count:
        return proposal.says
    why = choice.target_reason.strip().rstrip(".")
    chosen = f"Chosen by a person: {why}." if why else "Chosen by a person."
    return f"{chosen} Proposed were {proposal.count}: {proposal.says}"


def _check_pool(choice: Choice, pool: Pool) -> None:
    seen = {balancer.id for balancer in pool.balancers}
    missing = [balancer_id for balancer_id in choice.balancer_ids if balancer_id not in seen]
    if missing:
        raise Refused(
            f"Load balancer {', '.join(missing)} was not found at the provider. Choose another one.",
            code="balancer_missing",
        )


def _too_few(found: Candidates, removed: int) -> str:
    # Each reason is a sentence of its own that names its server.
    why = " ".join(
        f"{reason.says.strip().rstrip('.')}." for excluded in found.excluded for reason in excluded.reasons
    )
    return (
        f"{_servers(removed)} would have to come out, but only {len(found.order)} may. "
        f"{f'Those that stay: {why}' if why else 'No server stays for a reason of its own.'} Choose a target of at least {found.serving - len(found.order)}."
    )


def _serving_on(balancer_id: str, members: Iterable[Member], gone: Sequence[Member]) -> int:
    left = {member.server.id for member in gone}
    return sum(
        1
        for member in members
        if member.server.id not in left
        and any(there == balancer_id and _serves(node) for there, node in member.nodes)
    )


def _planned(member: Member, known: Known) -> PlannedServer:
    first = member.nodes[0][1].address
    template = known.count_url_template if known.count_kind else None
    return PlannedServer(
        server_id=member.server.id,
        name=member.server.name,
        created_at=member.server.created_at,
        addresses=tuple(sorted(member.server.addresses)),
        nodes=tuple(
            PlannedNode(balancer_id, node.id, node.address, node.port, node.type, node.weight)
            for balancer_id, node in sorted(member.nodes, key=lambda held: (held[0], held[1].id))
        ),
        count_url=template.replace("{address}", first) if template else None,
        flavor_id=member.server.flavor_id,
        host_id=member.server.host_id,
    )


# --- the preview ----------------------------------------------------------------------------------------


def preview(plan: PlanData, choice: Choice, pool: Pool, known: Known) -> Preview:
    """Return what the approvers are shown: every step, every warning, the time, the way back, what it saves."""
    found = candidates(choice, pool, known)
    proposal = propose_target(choice, found, known)
    steps = _steps(plan, found)
    chosen = {server.server_id for server in plan.servers}
    return Preview(
        looked_at=pool.looked_at,
        serving_now=found.serving,
        target=plan.target,
        floor=plan.floor,
        proposal=proposal,
        steps=steps,
        stays=tuple(server.name for server in plan.remaining),
        excluded=tuple(excluded for excluded in found.excluded if excluded.server_id not in chosen),
        warnings=_warnings(plan, choice, pool, known, found, proposal),
        likely_min_s=sum(step.likely_min_s for step in steps) + _pauses_s(plan),
        likely_max_s=sum(step.likely_max_s for step in steps) + _pauses_s(plan),
        way_back=_way_back(plan),
        server_hours_saved_per_month=round(len(plan.servers) * HOURS_A_MONTH, 1),
        hold_server_hours=round(len(plan.servers) * plan.hold_s / 3600, 2),
    )


def _pauses_s(plan: PlanData) -> float:
    return max(0, len(plan.servers) - 1) * plan.pause_between_s


def server_time_s(plan: PlanData, nodes: int) -> tuple[float, float]:
    """Return the least and the most likely seconds that one server with `nodes` nodes takes to its end."""
    unavoidable = plan.soak_s + plan.hold_s
    # Two changes a node: drain, remove.
    least = plan.min_drain_s + (plan.zeros_needed - 1) * LOOK_S + 2 * nodes * CHANGE_MIN_S + DELETE_MIN_S
    most = plan.drain_limit_s + 2 * nodes * CHANGE_MAX_S + DELETE_MAX_S
    return unavoidable + least, unavoidable + most


def _steps(plan: PlanData, found: Candidates) -> tuple[Step, ...]:
    steps = []
    for position, server in enumerate(plan.servers, start=1):
        left = serving_after_servers(found, {gone.server_id for gone in plan.servers[:position]})
        share = share_of_ceiling(plan.forecast_peak_rps, len(left), plan.ceiling_rps)
        lost = share_of_ceiling(plan.forecast_peak_rps, len(left) - most_on_one_host(left), plan.ceiling_rps)
        least, most = server_time_s(plan, len(server.nodes))
        load = None if plan.forecast_peak_rps is None else plan.forecast_peak_rps / max(1, len(left))
        says = f"{server.name} drains, leaves the pool, is verified and deleted; {_servers(len(left))} stay."
        if share is not None:
            says += f" At the next peak each carries {share:.0%} of the most it can."
        steps.append(
            Step(
                position=position,
                server_id=server.server_id,
                server_name=server.name,
                nodes_left=len(left),
                peak_load_rps=load,
                peak_share_of_ceiling=share,
                # Nothing left is no share: the warning says it in words.
                peak_share_one_host_lost=lost if lost is not None and math.isfinite(lost) else None,
                likely_min_s=least,
                likely_max_s=most,
                says=says,
            )
        )
    return tuple(steps)


def serving_after_servers(found: Candidates, gone: set[str]) -> tuple[Member, ...]:
    """Return the servers in service once those with these ids have left."""
    return tuple(member for member in found.members if member.is_serving and member.server.id not in gone)


def _way_back(plan: PlanData) -> tuple[str, ...]:
    hold = (
        f"Each server waits {_duration(plan.hold_s)} out of the pool before it is deleted."
        if plan.hold_s
        else "There is no hold: each server is deleted as soon as the pool without it is verified."
    )
    return (
        "Until a server is deleted it can be put back in service at any moment, by one command; "
        "the run does so by itself when traffic does not keep up.",
        hold,
        "After the delete there is no way back from the portal in this version: no image is taken. "
        "A new server has to be built by hand.",
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{round(seconds, 1):g} s"
    if seconds < 2 * 3600:
        return f"{round(seconds / 60, 1):g} min"
    return f"{round(seconds / 3600, 1):g} h"


def _warnings(
    plan: PlanData,
    choice: Choice,
    pool: Pool,
    known: Known,
    found: Candidates,
    proposal: Proposal,
) -> tuple[Warned, ...]:
    warnings = [
        *_size_warnings(plan, choice, found, proposal),
        *_pool_warnings(plan, pool, found),
        *_evidence_warnings(plan, pool),
        *_knowledge_warnings(plan, pool, known),
        *_time_warnings(plan, pool, known),
        *_server_warnings(plan, pool),
    ]
    # Blocking ones first, else in the order in which they were found.
    return tuple(sorted(warnings, key=lambda warning: not warning.blocks))


def _size_warnings(plan: PlanData, choice: Choice, found: Candidates, proposal: Proposal) -> Iterable[Warned]:
    if plan.target < proposal.count:
        share = share_of_ceiling(plan.forecast_peak_rps, plan.target, plan.ceiling_rps)
        risk = (
            f"At the forecast peak each server would carry {share:.0%} of the most it can."
            if share is not None
            else "Whether they carry the next peak is unknown."
        )
        has_reason = len(choice.target_reason.strip()) >= SHORTEST_REASON
        yield Warned(
            "below_proposal",
            f"The target of {_servers(plan.target)} is lower than proposed ({proposal.count}). {risk}",
            "The written reason stands in the plan; both sides take the risk by approving."
            if has_reason
            else "Write down why (at least a few words), or take the proposed size.",
            blocks=not has_reason,
        )
    left = serving_after_servers(found, {server.server_id for server in plan.servers})
    worst = most_on_one_host(left)
    if len(left) > 1 and worst == len(left):
        yield Warned(
            "one_host",
            "All servers that stay run on one physical host: if it fails the site is down.",
            "Choose another order or a higher target, or have one of them moved.",
        )
    elif worst > 1:
        yield Warned(
            "host_shared",
            f"{worst} of the {len(left)} servers that stay run on one physical host.",
            "Have one of them moved, or keep one more.",
        )
    unknown = [member.server.name for member in left if member.server.host_id is None]
    if unknown:
        yield Warned(
            "host_unknown",
            f"The provider does not tell the physical host of {', '.join(unknown)}.",
            "Ask the provider's support if the loss of one host matters.",
        )
    if len(left) == 1:
        yield Warned(
            "last_node",
            "One server would be left: when it fails the site is down.",
            "Keep at least 2.",
        )
    flavors = {member.server.flavor_id for member in left}
    if len(flavors) > 1:
        yield Warned(
            "flavors_differ",
            "The servers that stay are of different sizes; the projection counts them as equal.",
            "Count with the most that the smallest one carries.",
        )


def _pool_warnings(plan: PlanData, pool: Pool, found: Candidates) -> Iterable[Warned]:
    for stray in found.strays:
        node = f"{stray.node.address}:{stray.node.port}"
        fits = "no server" if not stray.server_names else "several servers: " + ", ".join(stray.server_names)
        yield Warned(
            "node_unmatched",
            f"The address of node {node} belongs to {fits}. It does not count as a server in service.",
            "Find out what answers there before the scale-down.",
            subject=node,
        )
    for balancer in pool.balancers:
        if balancer.status is not BalancerStatus.ACTIVE:
            yield Warned(
                "balancer_not_active",
                f"Load balancer {balancer.name} is {balancer.status.value} and takes no change now.",
                "Wait until it is active; an error needs the provider's support.",
                blocks=balancer.status is not BalancerStatus.PENDING_UPDATE,
                subject=balancer.name,
            )
        if not balancer.has_health_monitor:
            yield Warned(
                "no_health_monitor",
                f"Load balancer {balancer.name} has no health monitor: a dead server stays in service there. "
                "The run asks each server directly instead.",
                "Switch on a health monitor at the provider.",
                subject=balancer.name,
            )
        if balancer.session_persistence is not None:
            yield Warned(
                "session_persistence",
                f"Load balancer {balancer.name} ties visitors to servers ({_tie(balancer.session_persistence)}): "
                "they keep coming to a draining server, and zero may never be seen.",
                f"After {_duration(plan.drain_limit_s)} this plan will {_at_limit(plan.at_limit)}. "
                "Check that this is what is wanted.",
                subject=balancer.name,
            )
    for excluded in found.excluded:
        for reason in excluded.reasons:
            # Of servers that would come out but for this; others stay anyway.
            if all(one.code in _MENDABLE for one in excluded.reasons):
                yield Warned(reason.code, reason.says, reason.what_to_do, subject=excluded.name)


_MENDABLE = frozenset({"autoscaled", "other_balancer", "volumes", "locked", "busy", "address_shared"})


def _tie(kind: str) -> str:
    """Return in words by what visitors are tied; a kind that nobody knows stays as the provider names it."""
    return _TIES.get(kind, kind)


_TIES = {"HTTP_COOKIE": "by a cookie", "SOURCE_IP": "by their address", "SSL_ID": "by their TLS session"}


def _at_limit(at_limit: AtLimit) -> str:
    return {
        AtLimit.ASK: "ask a person, and put the server back if nobody answers",
        AtLimit.PUT_BACK: "put the server back in service",
        AtLimit.CUT: "go on and cut the connections that are left",
    }[at_limit]


def _evidence_warnings(plan: PlanData, pool: Pool) -> Iterable[Warned]:
    if plan.count_kind is None or any(server.count_url is None for server in plan.servers):
        accepted = plan.accepted_grade is Grade.TIMED
        yield Warned(
            "evidence_timed",
            "No status URL tells how many connections a server has, so each drain is only timed: "
            f"it ends {_duration(plan.drain_limit_s)} after it began"
            + (
                "."
                if accepted
                else ", and a person is asked, since this plan accepts measured evidence only."
            ),
            "Name a status URL of the servers (nginx stub_status, Apache server-status).",
        )
    else:
        yield Warned(
            "evidence_measured",
            "Connections are counted on each server by its status URL: the strongest evidence there is.",
            "Nothing to do.",
        )
    if plan.at_limit is AtLimit.CUT:
        yield Warned(
            "cuts_at_limit",
            f"After {_duration(plan.drain_limit_s)} of draining, connections that are still open are cut.",
            "Choose “ask” unless that is really meant.",
        )
    if not plan.probes:
        yield Warned(
            "no_probe",
            "No probe of the site is set up, so nothing could show that the site is well.",
            "Set up at least one probe of this pool.",
            blocks=True,
        )


def _knowledge_warnings(plan: PlanData, pool: Pool, known: Known) -> Iterable[Warned]:
    if plan.ceiling_rps is None:
        yield Warned(
            "no_ceiling",
            "The most that one server carries is unknown: load is watched by checks of the site only.",
            "Enter it from a benchmark or from what was seen at the event.",
        )
    if plan.forecast_peak_rps is None:
        yield Warned(
            "no_forecast",
            "The next peak is unknown, so the load at each step cannot be projected.",
            "Enter the expected peak of this pool.",
        )
    if not plan.probes or all(probe.latency_limit_ms is None for probe in plan.probes):
        yield Warned(
            "no_baseline",
            "There is no baseline and no latency limit: slower answers alone will not stop the run.",
            "Give a probe a latency limit.",
        )
    now = pool.looked_at
    for role in ("primary", "emergency"):
        of_role = [contact for contact in known.contacts if role in contact.roles]
        fresh = [
            contact
            for contact in of_role
            if contact.confirmed_at is not None and now - contact.confirmed_at <= OLDEST_CONFIRMATION
        ]
        if not fresh:
            has = "is not confirmed within the last 180 days" if of_role else "does not exist"
            yield Warned(
                "contacts_unconfirmed",
                f"An {role} contact {has}." if role[0] in "aeiou" else f"A {role} contact {has}.",
                "Have the customer confirm the contacts first.",
                subject=role,
            )


def _time_warnings(plan: PlanData, pool: Pool, known: Known) -> Iterable[Warned]:
    begins = max(pool.looked_at, plan.window_start or pool.looked_at)
    for event in known.events:
        if event.starts_at <= begins < event.ends_at:
            yield Warned(
                "event_on",
                f"“{event.name}” is not over: it ends {event.ends_at:%Y-%m-%d %H:%M} UTC.",
                "Wait until it is over, or be sure that its traffic is.",
                subject=event.name,
            )
        elif begins < event.starts_at <= begins + EVENT_AHEAD:
            yield Warned(
                "event_coming",
                f"“{event.name}” begins {event.starts_at:%Y-%m-%d %H:%M} UTC: the servers may be needed again.",
                "Keep them until after it, or be sure that the smaller pool carries it.",
                subject=event.name,
            )
    if plan.window_end is None:
        return
    window_s = (plan.window_end - begins).total_seconds()
    shortest_s = min((server_time_s(plan, len(server.nodes))[0] for server in plan.servers), default=0.0)
    all_s = sum(server_time_s(plan, len(server.nodes))[0] for server in plan.servers) + _pauses_s(plan)
    if window_s < shortest_s:
        yield Warned(
            "window_too_short",
            f"Not even one server fits into the change window: it takes at least {_duration(shortest_s)}.",
            "Make the window longer, or drain, soak or hold shorter.",
            blocks=True,
        )
    elif window_s < all_s:
        yield Warned(
            "window_short",
            f"Not every server fits into the change window; all take at least {_duration(all_s)}.",
            "Make the window longer: what does not fit stays in service.",
        )


def _server_warnings(plan: PlanData, pool: Pool) -> Iterable[Warned]:
    yield Warned(
        "no_image",
        "No image of the servers is taken: what is deleted cannot be undone from the portal.",
        "Make an image at the provider first if anything on these servers is needed again.",
    )
    untold = [server.name for server in plan.servers if pool.volumes.get(server.server_id) is None]
    if untold:
        yield Warned(
            "volumes_unknown",
            f"Whether volumes are attached to {', '.join(untold)} could not be found out.",
            "It is looked at again before each delete, which waits until it is known.",
        )


# --- everything less ------------------------------------------------------------------------------------

_GRADES = (Grade.MEASURED, Grade.INFERRED, Grade.TIMED)
_LIMITS = (AtLimit.PUT_BACK, AtLimit.ASK, AtLimit.CUT)
_FREE = frozenset(
    {
        "servers",
        "remaining",
        "target",
        "floor",
        "soak_s",
        "hold_s",
        "min_drain_s",
        "drain_limit_s",
        "pause_between_s",
        "zeros_needed",
        "accepted_grade",
        "at_limit",
        "probe_failures_allowed",
        "guard_share",
        "window_start",
        "is_unattended",
        "lifted",
    }
)


def is_less(old: PlanData, new: PlanData) -> bool:
    """Return whether an approval of `old` also covers `new`: the same, or less in every respect.

    Less is: fewer of the same servers in the same order, higher floor, longer drain, soak, hold or pause,
    stronger evidence, a milder act at the drain limit, smaller tolerances, a later start inside the window.
    """
    if old == new:
        return True
    same = replace(new, **{name: getattr(old, name) for name in _FREE})
    return (
        same == old
        and _is_part_in_order(old.servers, new.servers)
        and set(old.servers) | set(old.remaining) == set(new.servers) | set(new.remaining)
        and new.target - old.target == len(old.servers) - len(new.servers)
        and new.floor >= old.floor
        and new.soak_s >= old.soak_s
        and new.hold_s >= old.hold_s
        and new.min_drain_s >= old.min_drain_s
        and new.drain_limit_s >= old.drain_limit_s
        and new.pause_between_s >= old.pause_between_s
        and new.zeros_needed >= old.zeros_needed
        and _GRADES.index(new.accepted_grade) <= _GRADES.index(old.accepted_grade)
        and _LIMITS.index(new.at_limit) <= _LIMITS.index(old.at_limit)
        and new.probe_failures_allowed <= old.probe_failures_allowed
        and new.guard_share <= old.guard_share
        and _starts_no_earlier(old, new)
        and (old.is_unattended or not new.is_unattended)
        and set(new.lifted) <= set(old.lifted)
    )


def _is_part_in_order(whole: Sequence[PlannedServer], part: Sequence[PlannedServer]) -> bool:
    rest = iter(whole)
    return bool(part) and all(server in rest for server in part)


def _starts_no_earlier(old: PlanData, new: PlanData) -> bool:
    if old.window_start is None:
        return True
    return new.window_start is not None and new.window_start >= old.window_start


def same_pool(old: PlanData, new: PlanData) -> str | None:
    """Return None if both plans stand on the same servers and nodes, else the sentence what differs."""
    before = {server.server_id: server for server in (*old.servers, *old.remaining)}
    after = {server.server_id: server for server in (*new.servers, *new.remaining)}
    gone = sorted(before[key].name for key in before.keys() - after.keys())
    came = sorted(after[key].name for key in after.keys() - before.keys())
    if gone:
        return f"{', '.join(gone)} left the pool since the plan was drawn up."
    if came:
        return f"{', '.join(came)} joined the pool since the plan was drawn up."
    changed = sorted(before[key].name for key in before if _identity(before[key]) != _identity(after[key]))
    if changed:
        return f"{', '.join(changed)} changed since the plan was drawn up (address, node or identity)."
    if [server.server_id for server in old.servers] != [server.server_id for server in new.servers]:
        return "Other servers, or another order, would come out now than when the plan was drawn up."
    return None


def _identity(server: PlannedServer) -> PlannedServer:
    # A server may move to another physical host without being another server.
    return replace(server, host_id=None)


__all__ = [
    "Added",
    "Candidates",
    "Choice",
    "ContactKnown",
    "EventKnown",
    "Excluded",
    "Known",
    "Member",
    "Pool",
    "Preview",
    "Proposal",
    "Step",
    "Stray",
    "Warned",
    "Why",
    "build_plan_data",
    "candidates",
    "check_choice",
    "digest",
    "is_less",
    "least_drain_s",
    "preview",
    "propose_target",
    "same_pool",
]
