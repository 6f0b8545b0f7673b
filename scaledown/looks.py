"""What a look at the world means for a plan: who serves, what they carry, what may be taken out or deleted.

Pure. The two guards of the product live here: `may_take_out` (invariant 2) and `may_delete` (invariant 1).
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from portal.cloud.types import BalancerStatus, Condition, NodeStatus, NodeType
from scaledown import images, silence
from scaledown.progress import DrainWay, Meter, NodeState, NodeWay, Progress, ServerWay
from scaledown.types import (
    PEAK_SPARE_S,
    REMAINING_EVERY_S,
    AddressSearch,
    BalancerSeen,
    Facts,
    Grade,
    ImageRule,
    NodeSeen,
    Observation,
    Phase,
    PlanData,
    PlannedServer,
    ServerSeen,
    Verdict,
)

LOOK_MAX_AGE_S = 10.0
"""A change rests on a look younger than this (invariant 2)."""
REMAINING_MAX_AGE_S = REMAINING_EVERY_S + 30.0
"""No server is taken out or deleted but while the looks at all that stay are younger than this."""
ANSWER_MAX_AGE_S = 30.0
"""Without a health monitor a node counts only if it answered directly within this time (invariant 2)."""
SEARCH_MAX_AGE_S = 60.0
"""A deletion needs a complete search for every address younger than this (invariant 1)."""
VERDICT_MAX_AGE_S = 60.0
LOAD_EVERY_S = 3.0
LOAD_LEAST_S = 1.0
"""The shortest stretch that a rate is taken over, where a verdict waits for it."""
LOAD_WAITING_S = 2.0
"""The same where nothing else is to be done, so that the next server need not wait for it."""
LOAD_FRESH_S = 15.0
LOAD_UNKNOWN_S = 60.0
"""How long a server may be out while the load guard does not see the whole pool."""
CLOCK_SLACK_S = 1.0
KEEPALIVE_MARGIN_S = 1.0
"""Added to the balancer's time-out: idle keep-alive connections and counters settle in it."""
LATE_S = 600.0
"""How long after it was asked for a change of ours may still land; later it is another hand's."""
DELETABLE_STATUSES = frozenset({"ACTIVE", "SHUTOFF", "ERROR"})
"""Any other word is a server that is being worked on, or one that we do not understand: not ready."""


@dataclass(frozen=True)
class Obstacle:
    """Why something may not be done now. `waits`: it may pass by itself; else a person must decide."""

    code: str
    says: str
    waits: bool = True


@dataclass(frozen=True)
class Refusal:
    """Why a server may not be deleted now. `waits`: it may pass by itself."""

    code: str
    says: str
    waits: bool


@dataclass(frozen=True)
class Load:
    """What one balancer's servers carry, in requests per second, as far as it is known.

    `rates` holds the serving servers whose rate is known, `outside` what its other servers still carry.
    """

    balancer: BalancerSeen
    serving: frozenset[str]
    rates: Mapping[str, float]
    outside: float

    @property
    def unknown(self) -> frozenset[str]:
        """The serving servers whose rate is not known."""
        return self.serving - self.rates.keys()

    @property
    def mean(self) -> float | None:
        """The mean over the serving servers whose rate is known; None if none is."""
        return sum(self.rates.values()) / len(self.rates) if self.rates else None


def age_s(at: datetime | None, now: datetime) -> float:
    """Return how many seconds ago that was; infinite for never, and for a time that has not come.

    A clock that was set back must not keep an old figure fresh.
    """
    if at is None or at > now + timedelta(seconds=CLOCK_SLACK_S):
        return float("inf")
    return (now - at).total_seconds()


def is_due(at: datetime | None, every_s: float, now: datetime) -> bool:
    """Return whether something that was last done then is to be done again."""
    return age_s(at, now) >= every_s


def load_every_s(progress: Progress, now: datetime) -> float:
    """Return over how long a rate is taken: shorter where figures are waited for."""
    soaks = [way.soak for way in progress.servers if way.soak is not None]
    if soaks:
        return LOAD_LEAST_S if any(soak.until <= now for soak in soaks) else LOAD_EVERY_S
    is_waited_for = progress.waiting is not None and progress.waiting.code == "load"
    return LOAD_WAITING_S if is_waited_for or is_silence_awaited(progress, now) else LOAD_EVERY_S


def next_load_s(progress: Progress, now: datetime) -> float:
    """Return in how many seconds the load is to be read again, where it is waited for; at least `LOAD_LEAST_S`."""
    read_at = [meter.at for meter in progress.meters.values() if meter.at is not None]
    return max(LOAD_LEAST_S, LOAD_WAITING_S - age_s(max(read_at, default=None), now))


def is_silence_awaited(progress: Progress, now: datetime) -> bool:
    """Whether a server that left the pool waits for its silence, which the look in hand cannot show."""
    return any(silence.is_awaited(way, now) for way in progress.servers)


def node_state(balancer: BalancerSeen, node: NodeWay) -> NodeState:
    """Return what a look shows of a node: found by address and port, since ids change when it comes back."""
    seen = find_node(balancer, node)
    return NodeState.ABSENT if seen is None else NodeState(seen.condition.value)


def find_node(balancer: BalancerSeen, node: NodeWay) -> NodeSeen | None:
    """Return the node with this address and port, or None."""
    return balancer.by_place.get((node.address, node.port))


def owners(plan: PlanData, progress: Progress) -> dict[str, str]:
    """Return which server of the plan an address belongs to; that of one that is gone may be another's by now."""
    gone = {way.server_id for way in progress.servers if way.phase.is_gone}
    return {address: server_id for address, server_id in plan.places if server_id not in gone}


def serving(plan: PlanData, progress: Progress, balancer: BalancerSeen) -> frozenset[str]:
    """Return the distinct servers of the plan with an ENABLED, ONLINE, PRIMARY node.

    A node that belongs to no known server does not count: what answers there is not known.
    """
    owner = owners(plan, progress)
    return frozenset(
        owner[node.address]
        for node in balancer.nodes
        if node.address in owner
        and node.condition is Condition.ENABLED
        and node.status is NodeStatus.ONLINE
        and node.type is NodeType.PRIMARY
    )


def serving_anew(progress: Progress, balancer: BalancerSeen) -> frozenset[str]:
    """Return the planned servers that serve again as new ones, for people to read; no guard counts on them."""
    found = set()
    for way in progress.servers:
        seen = [find_node(balancer, node) for node in way.nodes if node.balancer_id == balancer.balancer_id]
        if way.phase is Phase.RECREATED and any(
            node is not None and node.condition is Condition.ENABLED and node.status is NodeStatus.ONLINE
            for node in seen
        ):
            found.add(way.server_id)
    return frozenset(found)


def serving_anywhere(plan: PlanData, progress: Progress, observation: Observation) -> frozenset[str]:
    """Return the servers that serve on any balancer of the plan."""
    found: set[str] = set()
    for balancer_id in plan.balancer_ids:
        balancer = observation.balancers.get(balancer_id)
        if balancer is not None:
            found |= serving(plan, progress, balancer)
    return frozenset(found)


PASSING = frozenset(
    {BalancerStatus.PENDING_UPDATE, BalancerStatus.BUILD, BalancerStatus.UNKNOWN, BalancerStatus.ERROR}
)
"""States that pass by themselves, or may (provider reference, section 9); any other needs a person."""


def unseen(plan: PlanData, observation: Observation, now: datetime) -> tuple[str, ...]:
    """Return the plan's balancers that this look does not show, or shows too old."""
    return tuple(
        balancer_id
        for balancer_id in plan.balancer_ids
        if balancer_id not in observation.balancers
        or (now - observation.balancers[balancer_id].observed_at).total_seconds() > LOOK_MAX_AGE_S
    )


def floor_breaks(
    plan: PlanData, progress: Progress, observation: Observation, now: datetime
) -> tuple[tuple[str, int], ...]:
    """Return the balancers on which fewer servers than the floor serve, with how many do; no machine counts for one that is gone.

    Without a health monitor ONLINE means nothing: one that no longer answers directly does not serve.
    """
    counts = []
    for balancer_id in plan.balancer_ids:
        balancer = observation.balancers.get(balancer_id)
        if balancer is None:
            continue
        found = serving(plan, progress, balancer)
        if not balancer.has_health_monitor:
            found -= silent(progress, found, now)
        found -= replaced(plan, observation, now).keys()
        counts.append((balancer_id, len(found)))
    return tuple((balancer_id, count) for balancer_id, count in counts if count < plan.floor)


def silent(progress: Progress, server_ids: frozenset[str], now: datetime) -> frozenset[str]:
    """Return those that answered directly before and have not for too long. One never asked is not silent."""
    answered = {s: progress.meters.get(s, Meter()).answered_at for s in server_ids}
    return frozenset(s for s, at in answered.items() if at is not None and age_s(at, now) > ANSWER_MAX_AGE_S)


def fresh_rps(meter: Meter | None, now: datetime) -> float | None:
    """Return a server's requests per second if it is known and young."""
    if meter is None or meter.rps is None or meter.rps_at is None:
        return None
    return meter.rps if age_s(meter.rps_at, now) <= LOAD_FRESH_S else None


def most_rps(meter: Meter | None, now: datetime) -> float | None:
    """Return the higher of the two newest rates of a server; None where the newest is not known.

    Nothing is taken out of service on one low figure: a clock that was set forward by some seconds makes one.
    """
    newest = fresh_rps(meter, now)
    before = None if meter is None else meter.rps_before
    return newest if newest is None or before is None else max(newest, before)


def _loads(
    plan: PlanData,
    progress: Progress,
    observation: Observation,
    now: datetime,
    rps_of: Callable[[Meter | None, datetime], float | None] = fresh_rps,
) -> tuple[Load, ...]:
    """Return the load of each balancer that was seen.

    A server that came by another hand is not counted for the mean: what it carries is unknown. A server on two
    balancers counts in full on both: the mean is of what servers carry, whoever sends it.
    """
    servers = (*plan.servers, *plan.remaining)
    known = {server.server_id for server in servers}
    found = []
    for balancer_id in plan.balancer_ids:
        balancer = observation.balancers.get(balancer_id)
        if balancer is None:
            continue
        ours = serving(plan, progress, balancer) & known
        rates = {server_id: rps_of(progress.meters.get(server_id), now) for server_id in ours}
        here = {s.server_id for s in servers if any(n.balancer_id == balancer_id for n in s.nodes)}
        outside = sum(fresh_rps(progress.meters.get(server_id), now) or 0.0 for server_id in here - ours)
        found.append(Load(balancer, ours, {k: v for k, v in rates.items() if v is not None}, outside))
    return tuple(found)


def pool_load(
    plan: PlanData,
    progress: Progress,
    observation: Observation,
    now: datetime,
    rps_of: Callable[[Meter | None, datetime], float | None] = fresh_rps,
) -> tuple[float | None, float | None]:
    """Return (requests per second of the pool, highest mean per serving server of any balancer).

    Both are None unless the rate of every serving server is known.
    """
    loads = _loads(plan, progress, observation, now, rps_of)
    means = [load.mean for load in loads if load.mean is not None]
    if not means or any(load.unknown for load in loads):
        return None, None
    ours = frozenset[str]().union(*(load.serving for load in loads))
    rates = {server_id: rate for load in loads for server_id, rate in load.rates.items()}
    outside = sum(
        fresh_rps(meter, now) or 0.0 for server_id, meter in progress.meters.items() if server_id not in ours
    )
    return sum(rates.values()) + outside, max(means)


def known_mean(plan: PlanData, progress: Progress, observation: Observation, now: datetime) -> float | None:
    """Return the highest mean of any balancer over the serving servers whose rate is known; None if none is.

    Shows danger although some figures are missing. It never shows that there is none.
    """
    means = (load.mean for load in _loads(plan, progress, observation, now))
    return max((mean for mean in means if mean is not None), default=None)


def is_over_ceiling(plan: PlanData, progress: Progress, observation: Observation, now: datetime) -> bool:
    """Whether servers of some balancer carry more than one of them can, by two rates running; False where that is not known."""
    if plan.ceiling_rps is None:
        return False
    means = (load.mean for load in _loads(plan, progress, observation, now, _least_rps))
    return any(mean is not None and mean > plan.ceiling_rps for mean in means)


def _least_rps(meter: Meter | None, now: datetime) -> float | None:
    """Return the lower of the two newest rates of a server; None where either is not known."""
    newest = fresh_rps(meter, now)
    before = None if meter is None else meter.rps_before
    return None if newest is None or before is None else min(newest, before)


def oldest_rate_at(
    plan: PlanData, progress: Progress, observation: Observation, now: datetime
) -> datetime | None:
    """Return when the oldest of the rates was taken that `known_mean` rests on; None if it rests on none."""
    serving_ids = {server_id for load in _loads(plan, progress, observation, now) for server_id in load.rates}
    taken = (progress.meters[server_id].rps_at for server_id in serving_ids)
    return min((at for at in taken if at is not None), default=None)


def guards_load(plan: PlanData) -> bool:
    """Return whether the plan has both a limit of the load per node and a source for its figures."""
    return guard_rps(plan) is not None and plan.measures_load


def load_unknown(plan: PlanData, progress: Progress, observation: Observation, now: datetime) -> str:
    """Return the names of the servers whose load is unknown for too long while one of ours is out, or ""."""
    since = progress.load_unknown_since
    is_out = any(way.phase.is_out_and_alive and way.put_back is None for way in progress.servers)
    if since is None or not is_out or (now - since).total_seconds() <= LOAD_UNKNOWN_S:
        return ""
    missing = {server_id for load in _loads(plan, progress, observation, now) for server_id in load.unknown}
    return ", ".join(sorted(name_of(plan, server_id) for server_id in missing)) or "the pool"


def guard_rps(plan: PlanData) -> float | None:
    """Return the load per node at which traffic counts as rising; None is unknown.

    Without a ceiling it is the highest load that was fine in the 14 days before the plan was drawn.
    """
    return plan.fine_load_rps if plan.ceiling_rps is None else plan.ceiling_rps * plan.guard_share


def floor_allows(
    plan: PlanData, server: PlannedServer, progress: Progress, observation: Observation
) -> Obstacle | None:
    """Return None if the floor holds on each balancer of the server once it is gone (invariant 2)."""
    for balancer_id in dict.fromkeys(node.balancer_id for node in server.nodes):
        balancer = observation.balancers[balancer_id]
        left = len(serving(plan, progress, balancer) - {server.server_id})
        if left < plan.floor:
            return Obstacle(
                "floor",
                f"Without {server.name}, {left} servers would serve on {balancer.name}; the floor is {plan.floor}.",
            )
    return None


def replaced(plan: PlanData, observation: Observation, now: datetime) -> dict[str, str]:
    """Return the servers that stay and are not there any more, or not at the address of their node, each with what was seen.

    A server that another hand deletes leaves its address, which may be another machine's by the next look: the load balancer
    goes on showing a node that serves (provider reference, 3.3).
    """
    found = {}
    for server in plan.remaining:
        seen = observation.servers.get(server.server_id)
        if seen is None or age_s(seen.observed_at, now) > REMAINING_MAX_AGE_S:
            continue
        has = {_one_spelling(address) for address in seen.addresses}
        if seen.is_gone:
            found[server.server_id] = "is gone"
        elif seen.created_at != server.created_at:
            found[server.server_id] = "is not the server that was approved (it was created at another time)"
        elif any(_one_spelling(node.address) not in has for node in server.nodes):
            found[server.server_id] = "has not the address of its node any more"
    return found


def remaining_obstacle(
    plan: PlanData, progress: Progress, observation: Observation, now: datetime
) -> Obstacle | None:
    """Return None if the servers that stay, and that the floor counts on, are those that were approved, else why not."""
    counted = serving_anywhere(plan, progress, observation)
    others = replaced(plan, observation, now)
    for server in plan.remaining:
        if server.server_id not in counted:
            continue
        if server.server_id in others:
            where = ", ".join(dict.fromkeys(node.address for node in server.nodes))
            return Obstacle(
                "remaining_changed",
                f"{server.name}, which stays, {others[server.server_id]}. Who serves at {where} is not known: remove that "
                "node from the load balancer, or find out.",
                waits=False,
            )
        seen = observation.servers.get(server.server_id)
        if seen is None or age_s(seen.observed_at, now) > REMAINING_MAX_AGE_S:
            return Obstacle("remaining_unseen", f"There is no fresh look at {server.name}, which stays.")
    return None


def may_take_out(
    plan: PlanData, server: PlannedServer, progress: Progress, observation: Observation, now: datetime
) -> Obstacle | None:
    """Return None if this server may be drained or removed now, else why not (invariant 2).

    Rests on a look younger than 10 s at each balancer that holds the server, which must take changes.
    """
    balancer_ids = tuple(dict.fromkeys(node.balancer_id for node in server.nodes))
    for balancer_id in balancer_ids:
        balancer = observation.balancers.get(balancer_id)
        if balancer is None or (now - balancer.observed_at).total_seconds() > LOOK_MAX_AGE_S:
            return Obstacle("look", f"There is no fresh look at load balancer {balancer_id}.")
    for balancer_id in balancer_ids:
        balancer = observation.balancers[balancer_id]
        if balancer.status is not BalancerStatus.ACTIVE:
            says = f"{balancer.name} takes no change now: it is {balancer.status.value}."
            if balancer.status not in PASSING:
                return Obstacle("balancer_not_writable", says, waits=False)
            return Obstacle("balancer_error" if balancer.status is BalancerStatus.ERROR else "balancer", says)
    obstacle = floor_allows(plan, server, progress, observation) or remaining_obstacle(
        plan, progress, observation, now
    )
    if obstacle is not None:
        return obstacle
    for balancer_id in balancer_ids:
        balancer = observation.balancers[balancer_id]
        if balancer.has_health_monitor:
            continue
        for left in sorted(serving(plan, progress, balancer) - {server.server_id}):
            answered = progress.meters.get(left, Meter()).answered_at
            if age_s(answered, now) > ANSWER_MAX_AGE_S:
                return Obstacle(
                    "answer",
                    f"{balancer.name} has no health monitor, and {name_of(plan, left)} has not answered directly "
                    f"within {ANSWER_MAX_AGE_S:.0f} s.",
                )
    return _load_allows(plan, server, progress, observation, now)


def _load_allows(
    plan: PlanData, server: PlannedServer, progress: Progress, observation: Observation, now: datetime
) -> Obstacle | None:
    guard = guard_rps(plan)
    if guard is None or not plan.measures_load:
        return None
    loads = _loads(plan, progress, observation, now, most_rps)
    unknown = frozenset[str]().union(*(load.unknown for load in loads))
    if unknown or not any(load.serving for load in loads):
        return Obstacle(
            "load", f"The load of the pool is not known yet{_uncounted(plan, progress, unknown)}."
        )
    for load in loads:
        share = _mean_without(server, load, loads)
        if share is None or share > guard:
            most = "no server would serve" if share is None else f"each would carry {share:.1f} requests/s"
            return Obstacle(
                "load_too_high",
                f"Without {server.name}, {most} on {load.balancer.name}; {guard:.1f} is the most.",
            )
    return None


def _uncounted(plan: PlanData, progress: Progress, unknown: Iterable[str]) -> str:
    """Return, as the rest of a sentence, which servers counted no request so far: without a counter that does not pass."""
    answered = {one: meter for one in unknown if (meter := progress.meters.get(one)) and meter.answered_at}
    names = sorted(name_of(plan, one) for one, meter in answered.items() if meter.total is None)
    if not names:
        return ""
    hint = "; Apache counts them with “ExtendedStatus On”" if plan.count_kind == "apache_status" else ""
    return f": no requests were counted on {', '.join(names)}{hint}"


def _mean_without(server: PlannedServer, load: Load, loads: tuple[Load, ...]) -> float | None:
    """Return the mean that the servers left on a balancer would carry at most; None where none is left.

    A counter does not tell balancers apart. What a server on several of them takes from one is all that it
    carries, less what those that serve on one of the others alone carry at least: each of them takes as much.
    """
    gone = server.server_id
    left = load.serving - {gone}
    if not left:
        return None if gone in load.serving else 0.0
    rate = next((each.rates[gone] for each in loads if gone in each.rates), 0.0)
    here = [each for each in loads if gone in each.serving and each.serving - {gone}]
    places = Counter(server_id for each in loads for server_id in each.serving)
    gains = {}
    for each in here:
        elsewhere = (
            min((other.rates[s] for s in other.serving if places[s] == 1), default=0.0)
            for other in here
            if other is not each
        )
        gains[each.balancer.balancer_id] = max(0.0, rate - sum(elsewhere)) / len(each.serving - {gone})
    most_gain = rate / min((len(each.serving - {gone}) for each in here), default=1)
    total = load.outside
    for left_id in left:
        gained = sum(gains[each.balancer.balancer_id] for each in here if left_id in each.serving)
        total += load.rates[left_id] + min(gained, most_gain)
    return total / len(left)


def name_of(plan: PlanData, server_id: str) -> str:
    """Return a server's name, or the id where the plan does not know it."""
    for server in (*plan.servers, *plan.remaining):
        if server.server_id == server_id:
            return server.name
    return server_id


def drain_minimum_s(plan: PlanData, observation: Observation, way: ServerWay) -> float:
    """Return the shortest time that a drain lasts: never less than the balancer's time-out plus margin."""
    timeouts = [
        observation.balancers[node.balancer_id].timeout_s
        for node in way.nodes
        if node.balancer_id in observation.balancers
    ]
    return max(plan.min_drain_s, max(timeouts, default=0.0) + KEEPALIVE_MARGIN_S)


# --- invariant 1 -----------------------------------------------------------------------------------------


def _identity_refusal(planned: PlannedServer, seen: ServerSeen | None, now: datetime) -> Refusal | None:
    if seen is None or (now - seen.observed_at).total_seconds() > LOOK_MAX_AGE_S:
        return Refusal("no_fresh_look", f"There is no fresh look at {planned.name}.", True)
    if seen.is_gone:
        return Refusal("already_gone", f"{planned.name} is gone already.", True)
    difference = identity_difference(planned, seen)
    if difference:
        return Refusal("identity_changed", difference, False)
    return None


def identity_difference(planned: PlannedServer, seen: ServerSeen) -> str:
    """Return in what a server differs from the one that was approved, or ""."""
    if seen.server_id != planned.server_id:
        return f"Server {seen.server_id} is not {planned.server_id}."
    if seen.name != planned.name:
        return f"{planned.name} is now called {seen.name}."
    if seen.created_at != planned.created_at:
        return f"{planned.name} is not the server that was approved: it was created at another time."
    if set(seen.addresses) != set(planned.addresses):
        return f"The addresses of {planned.name} are not those that were approved."
    # Name, addresses and time of creation outlive both; what was approved, and what an image of its kind holds, does not.
    if is_rebuilt(planned, seen):
        return f"{planned.name} was rebuilt from another image since it was approved."
    if seen.flavor_id and planned.flavor_id and seen.flavor_id != planned.flavor_id:
        return f"{planned.name} has another size than the one that was approved."
    return ""


def is_rebuilt(planned: PlannedServer, seen: ServerSeen) -> bool:
    """Whether a server holds another image than the one that was approved; where either is not known it is not said."""
    return bool(seen.image_id and planned.image_id and seen.image_id != planned.image_id)


def _drain_refusal(way: ServerWay) -> Refusal | None:
    drain: DrainWay | None = way.drain
    if drain is None or drain.done_at is None or drain.grade is None:
        return Refusal("not_drained", f"{way.name} was not drained by this run.", False)
    return None


def _one_spelling(address: str) -> str:
    """Return an address so that two of them compare as text: version 6 has many spellings of one address."""
    try:
        found = ipaddress.ip_address(address.strip().strip("[]"))
        return str(getattr(found, "ipv4_mapped", None) or found)
    except ValueError:
        return address.strip().lower()


def add_lands_until(way: ServerWay, now: datetime) -> datetime | None:
    """Return until when an add of a node of this server that did not show may still land; None if none may.

    It would put visitors behind an address that is another server's by then.
    """
    ends = [
        node.lands_since + timedelta(seconds=LATE_S)
        for node in way.nodes
        if node.confirmed is NodeState.ABSENT
        and not node.is_foreign
        and NodeState.ENABLED in node.late
        and node.lands_since is not None
    ]
    until = max(ends, default=None)
    return until if until is not None and now <= until else None


def _pool_refusal(
    plan: PlanData,
    planned: PlannedServer,
    way: ServerWay,
    progress: Progress,
    observation: Observation,
    now: datetime,
) -> Refusal | None:
    if way.left_at is None:
        return Refusal("not_removed", f"{way.name} was not seen to leave the pool.", False)
    missing = unseen(plan, observation, now)
    if missing:
        return Refusal("no_fresh_pool", f"There is no fresh look at load balancer {missing[0]}.", True)
    lands_until = add_lands_until(way, now)
    if lands_until is not None:
        says = (
            f"A change that puts {way.name} back into the pool did not show, and may still take effect until "
            f"{lands_until:%H:%M:%S} UTC."
        )
        return Refusal("late_add", says, True)
    seen = observation.servers.get(way.server_id)
    known = (*planned.addresses, *(() if seen is None else seen.addresses), *(n.address for n in way.nodes))
    addresses = {_one_spelling(address) for address in known}
    for balancer in observation.balancers.values():
        if any(_one_spelling(node.address) in addresses for node in balancer.nodes):
            return Refusal("still_in_pool", f"{way.name} is still in {balancer.name}.", False)
    broken = floor_breaks(plan, progress, observation, now)
    if broken:
        return Refusal("floor", f"Only {broken[0][1]} servers serve; the floor is {plan.floor}.", True)
    return None


def _search_refusal(
    planned: PlannedServer, search: AddressSearch | None, left_at: datetime | None, now: datetime
) -> Refusal | None:
    if search is None or search.server_id != planned.server_id or not search.is_complete:
        return Refusal(
            "no_search", f"No complete search for the addresses of {planned.name} succeeded yet.", True
        )
    if age_s(search.observed_at, now) >= SEARCH_MAX_AGE_S:
        return Refusal("search_too_old", f"The search for the addresses of {planned.name} is too old.", True)
    if left_at is not None and search.observed_at < left_at:
        return Refusal("search_too_old", f"The search is from before {planned.name} left the pool.", True)
    if search.found_in:
        return Refusal(
            "found_elsewhere",
            f"{planned.name} is still in load balancer {', '.join(search.found_in)}.",
            False,
        )
    return None


def _state_refusal(planned: PlannedServer, seen: ServerSeen, facts: Facts) -> Refusal | None:
    if planned.server_id in facts.protected:
        return Refusal("protected", f"{planned.name} is protected.", False)
    if seen.is_locked:
        return Refusal("locked", f"{planned.name} is locked at the provider.", False)
    if seen.autoscale_group is not None:
        return Refusal("autoscaled", f"{planned.name} belongs to the provider's autoscaler.", False)
    if seen.floating:
        says = f"{planned.name} has a floating address attached: {', '.join(seen.floating)}."
        return Refusal("floating_address", says, False)
    if seen.task_state is not None:
        return Refusal("busy", f"{planned.name} is busy: {seen.task_state}.", True)
    if seen.status not in DELETABLE_STATUSES:
        return Refusal("busy", f"{planned.name} is {seen.status}.", True)
    if seen.volumes is None:
        return Refusal("volumes_unknown", f"Whether {planned.name} has volumes is not known.", True)
    if seen.volumes:
        return Refusal("volumes", f"{planned.name} has volumes attached: {', '.join(seen.volumes)}.", False)
    return None


def _silence_refusal(
    plan: PlanData, planned: PlannedServer, way: ServerWay, seen: ServerSeen, now: datetime
) -> Refusal | None:
    found = silence.not_silent(plan, planned, way, seen, now)
    return None if found is None else Refusal("still_serves", found[0], found[1])


def verdict_refusal(way: ServerWay, now: datetime) -> Refusal | None:
    """Return why the newest verdict lets no deletion pass, or None."""
    verdict = way.verdict
    if verdict is None or way.left_at is None or verdict.window_since < way.left_at:
        return Refusal("not_verified", f"The pool was not verified without {way.name}.", True)
    if verdict.verdict is not Verdict.PASSES:
        return Refusal("verdict", f"The newest verdict is {verdict.verdict.value}: {verdict.says}", False)
    if age_s(verdict.at, now) > VERDICT_MAX_AGE_S:
        return Refusal("verdict_too_old", "The newest verdict is too old.", True)
    return None


def _peak_refusal(plan: PlanData, way: ServerWay) -> Refusal | None:
    """A server that left the pool too late was missed by the peak: the site was not seen to live through it without."""
    if plan.hold_through is None or way.held_at is None:
        return None
    peak_at = plan.hold_through - timedelta(seconds=PEAK_SPARE_S)
    if way.held_at < peak_at:
        return None
    return Refusal(
        "peak_missed",
        f"{way.name} left the pool after the peak through which it was to be held. Put it back, and plan it anew.",
        False,
    )


def _image_refusal(
    plan: PlanData, way: ServerWay, progress: Progress, observation: Observation, now: datetime
) -> Refusal | None:
    if plan.images is ImageRule.NONE:
        return None
    made = images.standing_for(plan, progress, way)
    if made is None or made.status != "ACTIVE":
        return Refusal("no_image", f"There is no image that stands for {way.name}.", False)
    seen = observation.images.get(made.image_id)
    if seen is None or age_s(seen.observed_at, now) > LOOK_MAX_AGE_S:
        return Refusal("image_unseen", f"There is no fresh look at the image {made.name}.", True)
    if seen.is_gone or seen.status != "ACTIVE":
        return Refusal("image_unseen", f"The image {made.name} is not to be seen.", True)
    return None


def _stop_refusal(plan: PlanData, way: ServerWay, now: datetime) -> Refusal | None:
    if not plan.stop_s:
        return None
    if way.stop is None or way.stop.stopped_at is None:
        return Refusal("not_stopped", f"{way.name} runs, and the plan stops it before it is deleted.", False)
    if age_s(way.stop.stopped_at, now) < plan.stop_s:
        return Refusal("not_stopped", f"{way.name} is stopped for {plan.stop_s:g} s first.", True)
    return None


def _last_look_refusal(
    plan: PlanData,
    way: ServerWay,
    progress: Progress,
    observation: Observation,
    facts: Facts,
    now: datetime,
) -> Refusal | None:
    """Return the first reason why nobody may be cut off this server now, by its stop or its deletion, or None."""
    planned = next((s for s in plan.servers if s.server_id == way.server_id), None)
    if planned is None:
        return Refusal("not_planned", f"{way.name} is not in the plan.", False)
    if not facts.approval_stands:
        return Refusal("approval", facts.approval_problem or "The approval does not stand.", False)
    if way.put_back is not None:
        return Refusal("goes_back", f"{way.name} is on its way back into the pool.", False)
    if way.by_hand:
        return Refusal("by_other_hand", f"Another hand changed {way.name}: {way.by_hand}", False)
    if progress.in_flight is not None and progress.in_flight.server_id != way.server_id:
        return Refusal("other_in_flight", f"{progress.in_flight.name} is on its way out.", True)
    if progress.hot_looks or any(progress.probe_failures.values()):
        return Refusal("not_calm", "The newest look shows too much load, or a probe that fails.", True)
    seen = observation.servers.get(way.server_id)
    refusal = _identity_refusal(planned, seen, now)
    if refusal is not None:
        return refusal
    assert seen is not None
    return _first(
        _drain_refusal(way),
        _pool_refusal(plan, planned, way, progress, observation, now),
        _state_refusal(planned, seen, facts),
        _search_refusal(planned, observation.search, way.left_at, now),
        _silence_refusal(plan, planned, way, seen, now),
        _peak_refusal(plan, way),
        _remaining_refusal(plan, progress, observation, now),
    )


def _remaining_refusal(
    plan: PlanData, progress: Progress, observation: Observation, now: datetime
) -> Refusal | None:
    obstacle = remaining_obstacle(plan, progress, observation, now)
    return None if obstacle is None else Refusal(obstacle.code, obstacle.says, obstacle.waits)


def _first(*refusals: Refusal | None) -> Refusal | None:
    return next((refusal for refusal in refusals if refusal is not None), None)


def may_delete(
    plan: PlanData,
    way: ServerWay,
    progress: Progress,
    observation: Observation,
    facts: Facts,
    now: datetime,
) -> Refusal | None:
    """Return None if this server may be deleted now, else the first reason why not (invariant 1).

    Every clause forbids by itself. Nothing here is ever lifted by a setting.
    """
    refusal = _last_look_refusal(plan, way, progress, observation, facts, now)
    if refusal is not None:
        return refusal
    return _first(
        _stop_refusal(plan, way, now),
        _image_refusal(plan, way, progress, observation, now),
        verdict_refusal(way, now),
    )


def may_stop(
    plan: PlanData,
    way: ServerWay,
    progress: Progress,
    observation: Observation,
    facts: Facts,
    now: datetime,
) -> Refusal | None:
    """Return None if this held server may be stopped now, else the first reason why not (invariant 2).

    A stop cuts whoever is connected: it asks for the same last look as a deletion, but for image and age of the
    verdict, and for floor and load as before a removal.
    """
    refusal = _last_look_refusal(plan, way, progress, observation, facts, now)
    if refusal is not None:
        return refusal
    verdict = way.verdict
    if verdict is None or verdict.verdict is not Verdict.PASSES:
        return Refusal("not_verified", f"The pool was not verified without {way.name}.", False)
    planned = next(server for server in plan.servers if server.server_id == way.server_id)
    obstacle = may_take_out(plan, planned, progress, observation, now)
    if obstacle is not None:
        return Refusal(obstacle.code, obstacle.says, obstacle.waits)
    return None


def accepts(plan: PlanData, grade: Grade) -> bool:
    """Return whether the plan lets evidence of this grade go on without a person."""
    strength = [Grade.MEASURED, Grade.INFERRED, Grade.TIMED]
    return strength.index(grade) <= strength.index(plan.accepted_grade)
