"""Undoing what a drill injected, and verifying that it is undone. Always allowed, at any hour, in every status. Pure.

What was asked for counts as injected until looks show the server back: running, all its nodes in service and healthy.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from drills import judging
from drills.scenarios.types import REBOOTS, InjectionKind
from drills.turn import LOOK_S, Turn
from drills.types import Ending, MarkKind, NodeSeen, PlannedNode, Target, TargetPhase, TargetWay
from portal.cloud.types import Condition, NodeStatus
from portal.runs.types import Action, HaltRank

UNSEEN_REBOOT_S = 45.0
"""A reboot that no look saw is over by then: soft ones take seconds."""
LATE_S = 120.0
"""A change whose answer was lost may take effect this much later; until then nobody counts as back."""
AGAIN_S = 20.0
"""How long an undoing that was accepted may stay without effect before it is sent again, longer each time."""
LONGEST_AGAIN_S = 120.0
UNDO_LIMIT_S = 300.0
"""Not back by then, a person is told."""
NEXT_COMMANDS = ("hard_reboot", "undone_by_hand", "real")


def begin(turn: Turn) -> None:
    """Mark what is to come back now: everything if the drill ends early or its time is up; reboots come back by themselves."""
    for way in turn.progress.targets:
        if way.phase is TargetPhase.HIT and (turn.plan.injection in REBOOTS or _is_due(turn)):
            turn.update(way, phase=TargetPhase.RETURNING, undo_from=turn.now)


def _is_due(turn: Turn) -> bool:
    if turn.progress.ending is not None:
        return True
    due = held_until(turn)
    return due is not None and turn.now >= due


def held_until(turn: Turn) -> datetime | None:
    """Return when the injection is undone by plan: once every target has been hit for `hold_s`; None before that."""
    ways = turn.progress.targets
    if any(one.phase is TargetPhase.UNTOUCHED for one in ways):
        return None
    hit = [one.hit_at for one in ways if one.hit_at is not None]
    return max(hit) + timedelta(seconds=turn.plan.hold_s) if hit else None


def bring_back(turn: Turn) -> bool:
    """Look whether what was undone is back; send the next undoing. Settles the tick only by what it sends, or a halt."""
    begin(turn)
    returning = [one for one in turn.progress.targets if one.phase is TargetPhase.RETURNING]
    for way in returning:
        if is_back(turn, way):
            turn.update(way, phase=TargetPhase.BACK, back_at=turn.now, says="Back in service.")
            name = turn.target(way.server_id).name
            turn.note("target_back", f"{name} is back in service.", way.server_id)
    is_all = turn.progress.ending is not None or all(
        one.phase is not TargetPhase.UNTOUCHED for one in turn.progress.targets
    )
    if returning and is_all and not turn.progress.is_injected:
        turn.mark(MarkKind.UNDONE, turn.now, "Everything that was injected is undone, and verified.")
    is_late = _too_late(turn)
    for way in turn.progress.targets:
        if way.phase is TargetPhase.RETURNING:
            action = _undoing(turn, way)
            if action is not None:
                hard_at = turn.now if action.name == "reboot" else way.hard_at
                turn.update(way, undo_at=turn.now, tries=way.tries + 1, wants_hard=False, hard_at=hard_at)
                turn.look_again_s = LOOK_S
                # What was said of its being late stays said.
                return turn.send(action, says=turn.progress.says if is_late else action.says)
    return is_late


def _too_late(turn: Turn) -> bool:
    for way in turn.progress.targets:
        if way.phase is not TargetPhase.RETURNING or way.undo_from is None:
            continue
        waited_s = (turn.now - way.undo_from).total_seconds()
        is_reboot = turn.plan.injection in REBOOTS
        if waited_s <= (turn.plan.boot_limit_s if is_reboot else UNDO_LIMIT_S):
            continue
        name = turn.target(way.server_id).name
        if is_reboot:
            says = (
                f"{name} has not come back {waited_s / 60:.0f} min after its reboot. The portal does nothing more to it by"
                " itself: look at its console, have it rebooted hard, or have the provider's support help."
            )
        else:
            says = (
                f"{name} is not back in service {waited_s / 60:.0f} min after it was undone. The portal goes on trying."
                " Bring it back by hand, then say so here."
            )
        turn.end_early(Ending.NOT_COME_BACK, says)
        return turn.halt("not_come_back", HaltRank.SITE_IN_DANGER, says, NEXT_COMMANDS)
    return False


def is_back(turn: Turn, way: TargetWay) -> bool:
    """Whether a fresh look shows the server running, and every node of it in service and healthy."""
    assert way.undo_from is not None
    target, look = turn.target(way.server_id), turn.look
    server = look.servers.get(way.server_id)
    if server is None or server.is_gone or server.status != "ACTIVE" or server.task_state is not None:
        return False
    if server.observed_at < way.undo_from or judging.unseen(turn.plan, look, turn.now):
        return False
    if any(not _in_service(turn, node) for node in target.nodes):
        return False
    asked_s = (turn.now - (way.asked_at or way.undo_from)).total_seconds()
    if turn.plan.injection not in REBOOTS and not way.seen_away and asked_s < AGAIN_S:
        # Accepted and not applied yet: what looks untouched goes away in a moment.
        return False
    since_s = (turn.now - (way.hard_at or way.hit_at or way.undo_from)).total_seconds()
    if way.is_doubtful and since_s < LATE_S:
        return False
    return turn.plan.injection not in REBOOTS or way.seen_away or since_s >= UNSEEN_REBOOT_S


def _in_service(turn: Turn, planned: PlannedNode) -> bool:
    node = node_seen(turn, planned)
    return node is not None and node.condition is Condition.ENABLED and node.status is NodeStatus.ONLINE


def node_seen(turn: Turn, planned: PlannedNode) -> NodeSeen | None:
    """Return a planned node as this look shows it, by its id and address."""
    balancer = turn.look.balancers.get(planned.balancer_id)
    if balancer is None:
        return None
    found = [
        one
        for one in balancer.nodes
        if (one.node_id, one.address, one.port) == (planned.node_id, planned.address, planned.port)
    ]
    return found[0] if found else None


def _undoing(turn: Turn, way: TargetWay) -> Action | None:
    """Return the next change that brings a target back, or None where nothing is to be sent just now."""
    if turn.plan.injection in REBOOTS:
        rests = way.undo_at is not None and (turn.now - way.undo_at).total_seconds() < AGAIN_S
        return hard_reboot(turn.target(way.server_id)) if way.wants_hard and not rests else None
    if way.undo_at is not None:
        wait_s = min(LONGEST_AGAIN_S, AGAIN_S * way.tries)
        if (turn.now - way.undo_at).total_seconds() < wait_s and not _more_nodes(turn, way):
            return None
    target = turn.target(way.server_id)
    if turn.plan.injection is InjectionKind.STOP:
        server = turn.look.servers.get(way.server_id)
        if server is not None and server.status == "ACTIVE" and not way.is_doubtful:
            return None
        return start(target)
    return _enable(turn, way, target)


def start(target: Target) -> Action:
    """Return the start of a stopped server."""
    return Action(
        "start_server",
        target.server_id,
        f"Undo: start {target.name}",
        {"server_id": target.server_id, "name": target.name},
        is_put_back=True,
        customer_says=f"{target.name} started again",
    )


def hard_reboot(target: Target) -> Action:
    """Return the hard reboot of a server that did not come back from a drill's, for which a person asked."""
    return Action(
        "reboot",
        target.server_id,
        f"Bring back: reboot {target.name} hard",
        {"server_id": target.server_id, "name": target.name, "type": "HARD"},
        is_put_back=True,
        customer_says=f"{target.name} rebooted hard to bring it back",
    )


def _more_nodes(turn: Turn, way: TargetWay) -> bool:
    """Whether another node of a target waits for its first undoing."""
    return turn.plan.injection is InjectionKind.NODE_OUT and way.tries < len(turn.target(way.server_id).nodes)


def _enable(turn: Turn, way: TargetWay, target: Target) -> Action | None:
    nodes = [
        one
        for one in target.nodes
        if (seen := node_seen(turn, one)) is None or seen.condition is not Condition.ENABLED
    ]
    if not nodes:
        return None
    # Unseen ones are enabled all the same: what is in service already stays so.
    node = nodes[way.tries % len(nodes)]
    return Action(
        "enable_node",
        target.server_id,
        f"Undo: put {target.name} back into service on load balancer {node.balancer_id}",
        {"balancer_id": node.balancer_id, "node_id": node.node_id, "name": target.name},
        is_put_back=True,
        customer_says=f"{target.name} back in service",
    )
