"""What is on its way back into the pool, newest first. Allowed in every status that is not over. Pure."""

from __future__ import annotations

from datetime import timedelta

from portal.cloud.types import BalancerStatus, Condition
from portal.frozen import replace
from portal.runs.types import HaltRank
from scaledown import late, looks, stopping, wording
from scaledown.progress import NodeState, NodeWay, ServerWay, StopWay
from scaledown.turn import LOOK_S, Turn
from scaledown.types import Phase, ServerSeen
from scaledown.waits import TROUBLE_S, await_balancer, await_effect
from scaledown.wording import Words

LONGEST_RETRY_S = 60.0
"""A put-back waits no longer than this for its next try; a later time is from a clock that was set back."""

HOPELESS_S = 600.0
"""How long a server that is aborted must have been unable to serve, in every look, before it is given up."""
_GOES_DOWN = (
    *("deleting", "soft-deleting", "powering-off", "stopping", "reboot", "rebuild", "pausing", "suspending"),
    *("rescuing", "shelving", "resize_prep", "resize_migrat", "resize_finish", "resize_revert"),
)
"""How the tasks begin through which a server that still reads ACTIVE stops serving (reference, 3.2; Nova's task states).

Any other word, an image or a live migration among them, keeps no server out that the site may need.
"""
LONGEST_TASK_S = 3600.0
"""How long such a task, on a server that is aborted, may last before the server is given up: it hangs."""
STANDING = frozenset({"ERROR", "PAUSED", "RESCUE", "SHELVED", "SHELVED_OFFLOADED", "SHUTOFF", "SUSPENDED"})
"""States that last until somebody ends them. Any other word but ACTIVE is a server that is being worked on."""


def out_newest_first(turn: Turn) -> list[ServerWay]:
    """Return servers that are out and alive and not on their way back, the one that left last first."""
    out = [
        way
        for way in turn.progress.servers
        if way.phase.is_out_and_alive
        and way.put_back is None
        and (way.delete is None or way.delete.accepted_at is None)
    ]
    return sorted(out, key=lambda way: way.drain.begun_at if way.drain else way.since, reverse=True)


def back_under_way(turn: Turn) -> bool:
    return any(way.put_back is not None for way in turn.progress.servers)


def has_foreign_node(way: ServerWay) -> bool:
    """Whether another hand changed a node of it, which is then left as it is; a new name or address changes no node."""
    return any(node.is_foreign for node in way.nodes)


def put_backs(turn: Turn) -> bool:
    """Carry out what is on its way back, newest first. Allowed in every status that is not over.

    One server that cannot go back now keeps no other one out: each is tried until one gives a change to send.
    While a change is in doubt nothing is sent: what is to go back is marked, and goes once the doubt is closed.
    """
    if turn.people.doubt is not None:
        return back_under_way(turn)
    _catch_late_landings(turn)
    backs = [way for way in turn.progress.servers if way.put_back is not None]
    backs.sort(key=lambda way: way.drain.begun_at if way.drain else way.since, reverse=True)
    is_settled = False
    for way in backs:
        is_settled = _put_back_one(turn, turn.server(way.server_id)) or is_settled
        if turn.action is not None:
            return True
    return is_settled


def _catch_late_landings(turn: Turn) -> None:
    """A change that reading found not applied may land later, on a server that is no longer on its way out."""
    for way in turn.progress.servers:
        if way.put_back is None and way.phase in {Phase.VERIFYING, Phase.HELD, Phase.IMAGING}:
            _catch_late_add(turn, way)
            continue
        if way.put_back is not None or way.phase not in {Phase.QUEUED, Phase.SKIPPED, Phase.RESTORED}:
            continue
        seen = turn.observation.servers.get(way.server_id)
        if late.stop_lands_until(way, turn.now) is not None and seen is not None and seen.status == "SHUTOFF":
            words = wording.putting_back(way.name, "A stop whose answer was lost took effect late.")
            stop = replace(way.stop or StopWay(), stopped_at=turn.now, answered_at=None, is_starting=False)
            turn.send_back(turn.update(way, stop=stop), way.phase, words)
            continue
        landed = [node for node in way.nodes if node.confirmed is not NodeState.ENABLED and node.late]
        if any(node.confirmed in node.late and not node.is_foreign for node in landed):
            words = wording.putting_back(way.name, "A change whose answer was lost took effect late.")
            turn.send_back(way, way.phase, words)


def _catch_late_add(turn: Turn, way: ServerWay) -> None:
    """A server that had left the pool serves again, by a change of ours: it goes back whole, and drains anew."""
    if late.kept_out_until(way, turn.now) is not None:
        return  # a late stop or deletion would cut more visitors than its one node gets: a person decides
    landed = [node for node in way.nodes if node.is_settled and node.confirmed is NodeState.ENABLED]
    if any(NodeState.ENABLED in node.late and not node.is_foreign for node in landed):
        words = wording.putting_back(way.name, "A change whose answer was lost took effect late.")
        turn.send_back(way, Phase.QUEUED, words)


def _put_back_one(turn: Turn, way: ServerWay) -> bool:
    way = _notice_fitness(turn, way)
    back = way.put_back
    assert back is not None
    if stopping.has_to_start(way) and stopping.start(turn, way):
        return turn.action is not None or not _is_hopeless(turn, turn.server(way.server_id))
    way = turn.server(way.server_id)
    unseen = set(looks.unseen(turn.plan, turn.observation, turn.now))
    blind = []
    # A balancer that takes no change now keeps the server out of no other one.
    for node in sorted(way.nodes, key=lambda node: not _takes_changes(turn, node)):
        if node.is_foreign or node.balancer_id in turn.gone_balancers:
            continue
        if node.is_settled and node.confirmed is NodeState.ENABLED and not _shows_otherwise(turn, node):
            continue
        if node.balancer_id in unseen:
            blind.append(node.balancer_id)
            continue
        words = wording.putting_back(way.name, back.why)
        way = turn.tell(way, words)
        if (
            back.next_try_at is not None
            and 0 < (back.next_try_at - turn.now).total_seconds() <= LONGEST_RETRY_S
        ):
            return turn.wait("put_back_retry", words, look_again_s=LOOK_S)
        if node.asked is NodeState.ENABLED and not node.is_settled:
            return await_effect(turn, way, node)
        return _ask_back(turn, way, node, words)
    if blind:
        words = wording.blind(", ".join(dict.fromkeys(blind)), turn.age_s(turn.progress.sighted_at))
        return turn.wait("sight", words, look_again_s=LOOK_S)
    to = back.to
    way = turn.update(way, put_back=None)
    gone = sorted({node.balancer_id for node in way.nodes} & turn.gone_balancers)
    serves = any(node.confirmed is NodeState.ENABLED for node in way.nodes if node.balancer_id not in gone)
    turn.enter(
        way,
        to,
        wording.back_nowhere(way.name, ", ".join(gone)) if gone and not serves else wording.back(way.name),
        back_from=way.phase if way.phase.is_out_and_alive else way.back_from,
        drain=None,
        soak=None,
        verdict=None,
        left_at=None,
        held_at=None,
        imaging=None,
        own=None,
        stop=late.kept_stop(way, turn.now),
    )
    return False


def _shows_otherwise(turn: Turn, node: NodeWay) -> bool:
    """Whether a balancer that takes no change now shows a node not in service: a change that was set aside may have landed there."""
    balancer = turn.observation.balancers.get(node.balancer_id)
    if balancer is None or balancer.status is BalancerStatus.ACTIVE:
        return False
    shown = looks.find_node(balancer, node)
    return shown is not None and shown.condition is not Condition.ENABLED


def _takes_changes(turn: Turn, node: NodeWay) -> bool:
    balancer = turn.observation.balancers.get(node.balancer_id)
    return balancer is not None and balancer.status is BalancerStatus.ACTIVE


def _ask_back(turn: Turn, way: ServerWay, node: NodeWay, words: Words) -> bool:
    balancer = turn.observation.balancers[node.balancer_id]
    if balancer.status is not BalancerStatus.ACTIVE:
        return await_balancer(turn, way, balancer)
    seen = turn.observation.servers.get(way.server_id)
    is_out = node.confirmed is NodeState.ABSENT
    rank = late.rank_of(turn)
    if is_out and seen is None:
        return turn.wait("put_back_server", words, limit_s=TROUBLE_S, rank=rank)
    if seen is not None and seen.is_gone:
        # One answer that finds no server may be wrong: looks 30 s apart and the list must agree (`notice`).
        return turn.wait("missing", wording.missing(way.name), limit_s=TROUBLE_S)
    # A node that only drains is enabled without waiting for a look at its server.
    if seen is not None and _goes_down(seen):
        # ACTIVE until it is off or gone (reference, 3.2): whoever were sent to it now would be cut.
        words = wording.put_back_waits(way.name, seen.task_state or "")
        turn.tell(way, words)
        turn.wait("put_back_server", words, limit_s=TROUBLE_S, rank=rank)
        return not _is_hopeless(turn, way)
    if seen is not None and is_out and not _can_serve(turn, seen, node):
        return _cannot_go_back(turn, way, seen)
    return turn.ask_node(way, node, NodeState.ENABLED, words, is_put_back=True)


def _can_serve(turn: Turn, seen: ServerSeen, node: NodeWay) -> bool:
    is_itself = not looks.is_rebuilt(turn.planned(seen.server_id), seen)
    return is_itself and seen.status == "ACTIVE" and node.address in seen.addresses


def _goes_down(seen: ServerSeen) -> bool:
    """Whether something is under way with a server, by whatever hand, through which it stops serving for a while or for good."""
    return not seen.is_gone and (seen.task_state or "").startswith(_GOES_DOWN)


def _notice_fitness(turn: Turn, way: ServerWay) -> ServerWay:
    """Take in whether a server that goes back could serve; what could not be read is as it was."""
    back, seen = way.put_back, turn.observation.servers.get(way.server_id)
    if back is None or seen is None:
        return way
    out = [node for node in way.nodes if node.confirmed is NodeState.ABSENT]
    is_ours = seen.status == "SHUTOFF" and stopping.has_to_start(way)
    is_unfit = not seen.is_gone and not _passes_by_itself(seen) and not is_ours
    is_unfit = is_unfit and any(not _can_serve(turn, seen, node) for node in out)
    is_unfit = is_unfit or (bool(out) and stopping.is_silent(turn, way, seen))
    since = (back.unfit_since or seen.observed_at) if is_unfit else None
    if _goes_down(seen):
        # Tasks end by themselves, so it counts from when one of this length is surely none that still ends.
        since = back.unfit_since or seen.observed_at + timedelta(seconds=LONGEST_TASK_S - HOPELESS_S)
    return way if since == back.unfit_since else turn.update(way, put_back=replace(back, unfit_since=since))


def _passes_by_itself(seen: ServerSeen) -> bool:
    """Whether something is under way with it, or its state is one that we do not understand: not ready yet."""
    return seen.task_state is not None or seen.status not in {"ACTIVE", *STANDING}


def _cannot_go_back(turn: Turn, way: ServerWay, seen: ServerSeen) -> bool:
    why = f"It is {seen.status} or has other addresses."
    if looks.is_rebuilt(turn.planned(way.server_id), seen):
        why = "It was rebuilt from another image, so nobody knows what it would answer."
    words = wording.cannot_put_back(way.name, why)
    turn.tell(way, words)
    if _passes_by_itself(seen):
        return turn.wait("put_back_server", words, limit_s=TROUBLE_S, rank=late.rank_of(turn))
    turn.halt("cannot_put_back", HaltRank.DECIDE_TODAY, words, ("abort", "finish_here"))
    return not _is_hopeless(turn, way)


def _is_hopeless(turn: Turn, way: ServerWay) -> bool:
    """Give up putting back a server that has not been able to serve for long, once a person aborts or rolls back."""
    back = way.put_back
    since = None if back is None else back.unfit_since
    is_undone = turn.progress.aborting or turn.progress.rolling_back
    if not is_undone or since is None or (turn.now - since).total_seconds() < HOPELESS_S:
        return False
    way = turn.update(way, put_back=None)
    turn.say_nodes_left(turn.enter(way, Phase.LEFT_OUT, wording.left_out(way.name)))
    return True
