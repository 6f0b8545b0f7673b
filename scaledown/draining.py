"""The phases *draining* and *removing*: take nodes out, on evidence that their connections are gone. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from portal.cloud.types import BalancerStatus
from portal.frozen import replace
from portal.runs.types import HaltRank
from scaledown import hours, looks, network, wording
from scaledown.network import Quiet
from scaledown.progress import DrainWay, NodeState, NodeWay, ServerWay
from scaledown.put_backs import put_backs
from scaledown.turn import AT_ONCE_S, LOOK_S, Turn
from scaledown.types import AtLimit, CountSeen, Grade, Phase
from scaledown.waits import (
    PATIENCE_S,
    TROUBLE_S,
    await_balancer,
    await_effect,
    awaits_somebody,
    is_frozen,
    is_held_off,
)
from scaledown.watching import verifying
from scaledown.wording import Words

MIN_ZEROS = 3
ZERO_SPACING_S = 0.3
"""How far apart looks are that count as several: there may be none just between two requests."""
STEADY_S, STEADY_GAP_S = 1.0, 3.0
"""Once every look for so long, none further apart than that, found no connection, looks may follow at once."""
SHORTEST_SPACING_S = 0.001
COUNT_SLACK_S = 0.002
SAMPLE_MAX_AGE_S = 10.0
NO_PROGRESS_S = 60.0
OUT = frozenset({NodeState.DRAINING, NodeState.ABSENT, NodeState.DISABLED})


def draining(turn: Turn, way: ServerWay) -> bool:
    """Drain each node, then wait for evidence that connections are gone."""
    # Its worker may have died before anything was sent, and a freeze come, or whoever was in charge gone since: it begins now.
    is_untouched = all(node.is_settled and node.confirmed not in OUT for node in way.nodes)
    if is_untouched and (is_frozen(turn) or awaits_somebody(turn)):
        return True
    for node in way.nodes:
        if node.is_settled and node.confirmed in OUT:
            continue
        if not node.is_settled:
            return await_effect(turn, way, node)
        return _ask_out(turn, way, node, NodeState.DRAINING)
    if way.drain is None:
        way = turn.update(way, drain=DrainWay(turn.now))
    assert way.drain is not None
    if way.drain.seen_at is None:
        way = turn.update(
            way,
            drain=replace(
                way.drain,
                seen_at=turn.now,
                limit_at=turn.after(turn.plan.drain_limit_s),
                zeros=0,
                zero_since=None,
                sampled_at=None,
            ),
        )
        turn.note(
            "drain_seen",
            Words(f"{way.name} takes no new connections.", f"{way.name} takes no new connections."),
            way.server_id,
        )
    way = take_count(turn, way)
    return _judge_drain(turn, way)


def _ask_out(turn: Turn, way: ServerWay, node: NodeWay, state: NodeState) -> bool:
    """Drain or remove one node, if the pool can do without it (invariant 2)."""
    if is_held_off(turn):
        return True
    planned = turn.planned(way.server_id)
    obstacle = looks.may_take_out(turn.plan, planned, turn.progress, turn.observation, turn.now)
    balancer = turn.observation.balancers[node.balancer_id]
    if obstacle is not None:
        if obstacle.code in {"balancer", "balancer_error"}:
            busy = next(
                seen
                for node_way in way.nodes
                if (seen := turn.observation.balancers[node_way.balancer_id]).status
                is not BalancerStatus.ACTIVE
            )
            return await_balancer(turn, way, busy)
        words = wording.next_waits(way.name, obstacle.says)
        turn.tell(way, words)
        return turn.wait(obstacle.code, words, limit_s=TROUBLE_S)
    if state is NodeState.DRAINING:
        if way.drain is not None and way.drain.seen_at is not None:
            way = turn.update(way, drain=replace(way.drain, seen_at=None, zeros=0))
        words = wording.drain(way.name, balancer.name)
    else:
        words = wording.remove(way.name, balancer.name)
    way = turn.tell(way, words)
    return turn.ask_node(way, node, state, words)


def zero_spacing_s(drain: DrainWay, at: datetime) -> float:
    """Return how far apart two looks must be for both to count: a zero that stood for long is not one between two requests."""
    steady_s = 0.0 if drain.zero_since is None else (at - drain.zero_since).total_seconds()
    return SHORTEST_SPACING_S if steady_s >= STEADY_S else ZERO_SPACING_S


def _zero_since(drain: DrainWay, count: CountSeen) -> datetime | None:
    if count.connections != 0 or count.grade is not Grade.MEASURED:
        return None
    is_new = drain.sampled_at is None or (count.observed_at - drain.sampled_at).total_seconds() > STEADY_GAP_S
    return count.observed_at if is_new else drain.zero_since or count.observed_at


def take_count(turn: Turn, way: ServerWay) -> ServerWay:
    """Take in a new connection count. Unknown is not zero; a zero before the shortest time is no evidence."""
    drain = way.drain
    count = turn.observation.counts.get(way.server_id)
    seen_at = None if drain is None else drain.seen_at
    if drain is None or seen_at is None or count is None or count.observed_at < seen_at:
        return way
    if drain.sampled_at is not None and count.observed_at <= drain.sampled_at:
        return way
    if turn.age_s(count.observed_at) > SAMPLE_MAX_AGE_S:
        return way
    if count.connections is None:
        drain = replace(
            drain,
            zeros=0,
            sampled_at=count.observed_at,
            connections=None,
            zero_since=None,
            problem=count.problem or "no answer",
            source=count.source,
        )
        return turn.update(way, drain=drain)
    minimum_s = looks.drain_minimum_s(turn.plan, turn.observation, way)
    lasted_s = (count.observed_at - seen_at).total_seconds()
    counts_as_zero = count.connections == 0 and count.grade is Grade.MEASURED and lasted_s >= minimum_s
    spaced = drain.sampled_at is None or (
        count.observed_at - drain.sampled_at
    ).total_seconds() >= zero_spacing_s(drain, count.observed_at)
    if counts_as_zero and not spaced:
        return way  # looks in quick succession are one look
    zeros = drain.zeros + 1 if counts_as_zero else 0
    is_lower = drain.lowest is None or count.connections < drain.lowest
    drain = replace(
        drain,
        zeros=zeros,
        looks=drain.looks + 1,
        sampled_at=count.observed_at,
        connections=count.connections,
        lowest=count.connections if is_lower else drain.lowest,
        lower_at=count.observed_at if is_lower else drain.lower_at,
        zero_since=_zero_since(drain, count),
        first=count.connections if drain.first is None else drain.first,
        source=count.source,
        problem=None,
    )
    return turn.update(way, drain=drain)


def _judge_drain(turn: Turn, way: ServerWay) -> bool:
    """Say how the drain goes; go on, ask, or put back (invariant 4)."""
    drain = way.drain
    assert drain is not None
    assert drain.seen_at is not None
    needed = max(MIN_ZEROS, turn.plan.zeros_needed)
    if drain.cut is not None:
        if drain.connections is not None and drain.connections > drain.cut:
            turn.update(way, drain=replace(drain, cut=None, is_cut_unknown=False))
            return _at_drain_limit(turn, turn.server(way.server_id))
        most = "an unknown number" if drain.is_cut_unknown else f"up to {wording.count_of(drain.cut)}"
        return _drained(turn, way, Grade.TIMED, f"a person let {most} be cut")
    if drain.zeros >= needed:
        return _drained(
            turn, way, Grade.MEASURED, f"no open connection in {drain.zeros} looks running ({drain.source})"
        )
    quiet = _quiet(turn, way, drain, drain.seen_at)
    if quiet is not None and quiet.is_quiet and looks.accepts(turn.plan, Grade.INFERRED):
        return _drained(turn, way, Grade.INFERRED, quiet.evidence)
    limit_at = drain.limit_at or turn.after(turn.plan.drain_limit_s)
    if turn.now >= limit_at and not drain.zeros:
        return _at_drain_limit(turn, way)  # one that is being counted empty is not asked about
    left_s = (limit_at - turn.now).total_seconds()
    minimum_s = looks.drain_minimum_s(turn.plan, turn.observation, way)
    until_minimum_s = minimum_s - turn.age_s(drain.seen_at)
    until: datetime | None = None
    if drain.connections is None and drain.problem is None and turn.plan.count_kind is not None:
        words, until = wording.not_counted_yet(way.name), None
    elif drain.connections is None:
        problem = drain.problem or "nothing counts them here"
        words, until = (
            wording.drain_unknown(way.name, problem, left_s, "" if quiet is None else quiet.says),
            limit_at,
        )
    elif drain.connections == 0 and drain.zeros == 0:
        words, until = (
            wording.drain_minimum(way.name, max(0.0, until_minimum_s)),
            drain.seen_at + timedelta(seconds=minimum_s),
        )
    elif drain.connections == 0:
        words = wording.counting_zeros(way.name, drain.zeros, needed)
    elif turn.age_s(drain.lower_at) > NO_PROGRESS_S:
        words, until = wording.no_progress(way.name, drain.connections, turn.age_s(drain.lower_at)), limit_at
    else:
        words, until = (
            wording.going_down(way.name, drain.connections, "measured"),
            _likely_zero(drain, limit_at),
        )
    turn.tell(way, words, until)
    look = LOOK_S
    if 0 < until_minimum_s < LOOK_S:
        look = until_minimum_s + COUNT_SLACK_S
    elif drain.zeros:
        spacing_s = zero_spacing_s(drain, turn.now) - turn.age_s(drain.sampled_at)
        look = spacing_s + COUNT_SLACK_S if spacing_s > 0 else AT_ONCE_S
    # Waiting for evidence is bounded by the drain limit itself.
    turn.wait("drain", words, look_again_s=look)
    turn.change(until=until)
    return True


def _quiet(turn: Turn, way: ServerWay, drain: DrainWay, seen_at: datetime) -> Quiet | None:
    """Return what its network says, where nobody has counted its connections: a count is stronger, whatever it says."""
    if drain.lowest is not None or drain.connections is not None:
        return None
    from_at = seen_at + timedelta(seconds=looks.drain_minimum_s(turn.plan, turn.observation, way))
    seen = turn.observation.network.get(way.server_id)
    return network.judged(seen, begun_at=drain.begun_at, from_at=from_at, now=turn.now)


def _likely_zero(drain: DrainWay, limit_at: datetime) -> datetime | None:
    """Return when the drain will likely be over, by how it went so far; None without a trend."""
    if drain.first is None or drain.connections is None or drain.seen_at is None or drain.lower_at is None:
        return None
    gone = drain.first - drain.connections
    took_s = (drain.lower_at - drain.seen_at).total_seconds()
    if gone <= 0 or took_s <= 0:
        return None
    return min(limit_at, drain.lower_at + timedelta(seconds=drain.connections * took_s / gone))


def _drained(turn: Turn, way: ServerWay, grade: Grade, evidence: str) -> bool:
    drain = way.drain
    assert drain is not None
    assert drain.seen_at is not None
    way = turn.update(
        way,
        drain=replace(drain, grade=grade, done_at=turn.now, evidence=evidence),
        drain_took_s=turn.age_s(drain.seen_at),
    )
    turn.note(
        "drained",
        wording.drained(way.name, evidence, is_counted=grade is Grade.MEASURED),
        way.server_id,
        grade=grade.value,
        evidence=evidence,
        connections=drain.connections,
        may_cut=drain.cut is not None,
        source=drain.source,
        took_s=round(turn.age_s(drain.seen_at), 1),
    )
    way = turn.enter(way, Phase.REMOVING, wording.leaving(way.name))
    return removing(turn, way)


def _why_not_counted(drain: DrainWay) -> str:
    if drain.problem is None:
        return "nothing counts connections here"
    return f"its connections could not be counted ({drain.problem})"


def _at_drain_limit(turn: Turn, way: ServerWay) -> bool:
    """At the limit: what the plan as approved says; the default asks a person."""
    drain, plan = way.drain, turn.plan
    assert drain is not None
    if drain.connections is None and drain.lowest is None and looks.accepts(plan, Grade.TIMED):
        # Only where nothing was ever counted: one failed look does not make known connections none.
        return _drained(
            turn,
            way,
            Grade.TIMED,
            f"waited {wording.seconds(plan.drain_limit_s)}; {_why_not_counted(drain)}",
        )
    if plan.at_limit is AtLimit.PUT_BACK:
        turn.send_back(way, Phase.RESTORED, wording.limit_put_back(way.name))
        return put_backs(turn)
    if plan.at_limit is AtLimit.CUT:
        open_now = "unknown" if drain.connections is None else wording.count_of(drain.connections)
        turn.update(
            way, drain=replace(drain, cut=drain.connections or 0, is_cut_unknown=drain.connections is None)
        )
        return _drained(
            turn,
            turn.server(way.server_id),
            Grade.TIMED,
            f"drain limit reached, the plan lets them be cut ({open_now})",
        )
    patience_s = PATIENCE_S
    closes = hours.closes_at(plan, turn.now)
    if closes is not None:  # nobody's answer is waited for beyond the window (`machine.window_end`)
        patience_s = min(PATIENCE_S, max(0.0, (closes - turn.now).total_seconds()))
    quiet = None if drain.seen_at is None else _quiet(turn, way, drain, drain.seen_at)
    beside = "" if quiet is None else quiet.says
    words = wording.limit_reached(way.name, drain.connections, plan.drain_limit_s, patience_s, beside)
    if drain.asked_person_at is None:
        way = turn.update(way, drain=replace(drain, asked_person_at=turn.now))
    turn.tell(way, words, turn.after(patience_s))
    return turn.halt(
        "drain_limit", HaltRank.DECIDE_TODAY, words, ("wait", "put_back", "go_on", "resume", "abort")
    )


def removing(turn: Turn, way: ServerWay) -> bool:
    """Delete each node from its balancer, with a last look at the count; then the pool is watched."""
    drain = way.drain
    assert drain is not None
    for node in way.nodes:
        if node.is_settled and node.confirmed is NodeState.ABSENT:
            continue
        if not node.is_settled:
            return await_effect(turn, way, node)
        if node.confirmed is NodeState.ENABLED:
            # A change of ours landed late, or a person accepted it so: it has to drain again.
            return _drain_again(turn, way, "it is enabled again")
        count = turn.observation.counts.get(way.server_id)
        open_now = None if count is None else count.connections
        if drain.cut is not None and open_now is not None and open_now > drain.cut:
            return _drain_again(
                turn, way, f"{wording.count_of(open_now)} are open, more than the {drain.cut} that may be cut"
            )
        if drain.cut is None and open_now and drain.grade is not Grade.MEASURED:
            return _drain_again(turn, way, f"{wording.count_of(open_now)} are known to be open now")
        if drain.grade is Grade.MEASURED:
            if count is None or count.connections is None:
                return turn.wait(
                    "count",
                    wording.next_waits(way.name, "A last look at its connections is missing."),
                    limit_s=TROUBLE_S,
                )
            if count.connections:
                return _drain_again(turn, way, f"{wording.count_of(count.connections)} came back")
        return _ask_out(turn, way, node, NodeState.ABSENT)
    words = wording.left_pool(way.name, turn.plan.soak_s)
    way = turn.enter(way, Phase.VERIFYING, words, left_at=turn.now, soak=None, verdict=None, own=None)
    return verifying(turn, way)


def _drain_again(turn: Turn, way: ServerWay, why: str) -> bool:
    drain = way.drain
    assert drain is not None
    way = turn.update(
        way,
        drain=replace(
            drain,
            grade=None,
            done_at=None,
            zeros=0,
            zero_since=None,  # what stood for long is over: the next zeros may be those between two requests
            evidence="",
            cut=None,
            is_cut_unknown=False,
        ),
    )
    turn.enter(
        way,
        Phase.DRAINING,
        Words(f"{way.name} drains again: {why}.", f"{way.name} still finishes connections."),
    )
    return True
