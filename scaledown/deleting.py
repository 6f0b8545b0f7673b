"""The phases *held* to *confirming*: delete on a fresh look and a fresh verdict, and see that it is gone. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from portal.cloud.types import BalancerStatus
from portal.frozen import replace
from portal.runs.types import Action, HaltRank
from scaledown import hours, late, looks, silence, wording
from scaledown.progress import DeleteWay, NodeState, NodeWay, Progress, ServerWay
from scaledown.silence import ask_person
from scaledown.turn import AT_ONCE_S, LOOK_RESTING_S, LOOK_S, LOOK_SOON_S, Turn
from scaledown.types import Phase, PlanData, ServerSeen, Verdict
from scaledown.waits import TROUBLE_S, await_balancer, await_effect, is_frozen, is_held_off
from scaledown.watching import (
    MOST_EXTENSIONS,
    is_to_go_on,
    judge_soak,
    keep_watching,
    never_watched,
    not_passed,
    watch,
    with_verdict,
)

RECHECK_S = 10.0
MOST_DELETES = 6
DELETE_SLOW_S = 3600.0
CONFIRM_S = 120.0


def hold_ends(plan: PlanData, way: ServerWay) -> datetime | None:
    """Return when a held server has been held, and stopped, for as long as planned, and the window's hours are on.

    None if it is not held. While it is not stopped yet that is a forecast.
    """
    if way.held_at is None:
        return None
    ends = hours.opens_at(plan, _held_until(plan, way.held_at))
    stopped_at = None if way.stop is None else way.stop.stopped_at
    return hours.opens_at(plan, max(ends, (stopped_at or ends) + timedelta(seconds=plan.stop_s)))


def stop_due_at(plan: PlanData, way: ServerWay) -> datetime | None:
    """Return when a held server is to be stopped; None if it is stopped already, or is not to be."""
    if way.held_at is None or not plan.stop_s or (way.stop is not None and way.stop.stopped_at is not None):
        return None
    return hours.opens_at(plan, _held_until(plan, way.held_at))


def _held_until(plan: PlanData, held_at: datetime) -> datetime:
    """Return when a hold is over that began then: after its time, and not before the next peak is."""
    ends = held_at + timedelta(seconds=plan.hold_s)
    return ends if plan.hold_through is None else max(ends, plan.hold_through)


def due_at(plan: PlanData, way: ServerWay) -> datetime | None:
    """Return when the next thing happens to a held server: its stop, else its image or deletion."""
    return stop_due_at(plan, way) or hold_ends(plan, way)


def next_due(plan: PlanData, progress: Progress, now: datetime) -> ServerWay | None:
    """Return the held server to which the next thing happens, or None: the longest held one whose time has come.

    Where a person wants a pause after one server, nothing happens to another. Outside the window's hours nothing begins.
    """
    if not hours.is_open(plan, now):
        return None
    held = sorted(
        (way for way in progress.servers if way.phase is Phase.HELD), key=lambda way: way.held_at or way.since
    )
    due = [way for way in held if (at := due_at(plan, way)) is not None and now >= at]
    if progress.pause_after is not None:
        due = [way for way in due if way.server_id == progress.pause_after]
    return due[0] if due else None


def delete_now(turn: Turn, way: ServerWay) -> bool:
    """Delete a server after a fresh look and a fresh verdict, or say why not (invariant 1)."""
    if way.delete is not None and way.delete.next_try_at is not None and turn.now < way.delete.next_try_at:
        return turn.wait(
            "delete_retry",
            wording.last_look(way.name, "Trying again in a moment."),
            until=way.delete.next_try_at,
        )
    if is_frozen(turn) or is_held_off(turn):
        return True
    refusal = looks.may_delete(turn.plan, way, turn.progress, turn.observation, turn.facts, turn.now)
    if refusal is None and way.soak is None:
        tries = 0 if way.delete is None else way.delete.tries
        next_try_at = turn.after(2.0 ** (tries + 1))
        way = turn.update(
            way,
            delete=replace(way.delete or DeleteWay(), tries=tries + 1, next_try_at=next_try_at),
        )
        words = wording.delete(way.name)
        way = turn.tell(way, words)
        args = {"server_id": way.server_id, "name": way.name}
        what = wording.customer_change("delete_server", way.name)
        return turn.send(Action("delete_server", way.server_id, words.says, args, customer_says=what), words)
    if refusal is None:
        return _recheck(turn, way)
    if (refusal.waits or refusal.code == "verdict") and _is_to_be_rechecked(turn, way):
        # On every look, whatever else the deletion waits for: a watch that leaves out bad looks proves nothing.
        return _recheck(turn, way)
    words = wording.last_look(way.name, refusal.says)
    if refusal.waits:
        turn.tell(way, words)
        look_s = silence.look_again_s(way, turn.now) if refusal.code == "still_serves" else LOOK_S
        return turn.wait(f"delete_{refusal.code}", words, limit_s=TROUBLE_S, look_again_s=look_s)
    if refusal.code == "still_serves":
        return ask_person(turn, way, refusal.says)
    is_asked_again = way.delete is not None and way.delete.accepted_at is not None
    return turn.halt(
        "delete_forbidden",
        HaltRank.SAFE_WAITING,
        wording.delete_forbidden(
            way.name,
            refusal.says,
            can_come_back=not is_asked_again,
            from_at=late.kept_out_until(way, turn.now),
        ),
        ("resume", "abort", "finish_here")
        if is_asked_again
        else ("put_back", "resume", "abort", "finish_here"),
    )


def _is_to_be_rechecked(turn: Turn, way: ServerWay) -> bool:
    """Whether the pool is to be verified again: that is under way, or the newest verdict is too old, or says neither yes nor no."""
    refusal = looks.verdict_refusal(way, turn.now)
    is_open = way.verdict is not None and way.verdict.verdict is Verdict.INCONCLUSIVE
    return way.soak is not None or is_open or (refusal is not None and refusal.waits)


def _recheck(turn: Turn, way: ServerWay) -> bool:
    """Verify the pool again, shortly, since the last verdict is too old to delete on."""
    way = watch(turn, way, min(turn.plan.soak_s, RECHECK_S))
    soak = way.soak
    assert soak is not None
    if soak.extensions > MOST_EXTENSIONS:
        return never_watched(turn, way)
    if is_to_go_on(turn, soak):
        return keep_watching(turn, way, soak, "recheck")
    judgement = judge_soak(turn, soak)
    way = with_verdict(turn, way, judgement)
    if judgement.verdict is Verdict.PASSES:
        turn.update(way, soak=None)
        return turn.wait("delete", wording.last_look(way.name, ""), look_again_s=AT_ONCE_S)
    return not_passed(turn, way, judgement)


def was_gone_before(delete: DeleteWay, seen: ServerSeen) -> bool:
    """Return whether an earlier look found the server gone too: one answer that finds none may be wrong."""
    return delete.gone_at is not None and seen.observed_at > delete.gone_at


def is_gone_unproven(way: ServerWay) -> bool:
    """Whether a look did not find a server that is to be deleted, and nothing else shows yet that it is deleted."""
    if way.phase not in {Phase.DELETING, Phase.CONFIRMING} or way.delete is None:
        return False
    return way.delete.gone_at is not None and way.delete.proven_at is None


def finds_gone(turn: Turn, way: ServerWay) -> bool:
    """Return whether a server whose deletion was accepted is gone for sure; remember what this look adds to that.

    Two looks must find none. Answers that find none may all be wrong, so that is not enough: a look showed the deletion
    itself (`notice_deletions`), or a complete list of all servers does not hold it either.
    """
    seen, delete = turn.observation.servers.get(way.server_id), way.delete or DeleteWay()
    if seen is None:
        return False
    if not seen.is_gone:
        if delete.gone_at is not None:
            turn.update(way, delete=replace(delete, gone_at=None))
        return False
    if not was_gone_before(delete, seen):
        turn.update(way, delete=replace(delete, gone_at=delete.gone_at or seen.observed_at))
        return False
    listed = turn.observation.listed
    if delete.proven_at is None and listed is not None and way.server_id not in listed:
        delete = replace(delete, proven_at=seen.observed_at)
        turn.update(way, delete=delete)
    return delete.proven_at is not None


def is_given_up(turn: Turn, way: ServerWay) -> bool:
    """Whether an accepted deletion that nobody asks for again has been watched for long enough: it may never take effect."""
    delete = way.delete or DeleteWay()
    patience_s = TROUBLE_S if delete.proven_at is None else DELETE_SLOW_S
    return turn.age_s(delete.gone_at or delete.accepted_at) > patience_s


def deleting(turn: Turn, way: ServerWay) -> bool:
    """Watch an accepted deletion; ask again, within bounds, where it had no effect."""
    delete = way.delete or DeleteWay()
    seen = turn.observation.servers.get(way.server_id)
    if seen is None:
        return turn.wait(
            "delete_look", wording.last_look(way.name, "It could not be read."), limit_s=TROUBLE_S
        )
    since_s = turn.age_s(delete.accepted_at)
    is_gone = finds_gone(turn, way)
    way = turn.server(way.server_id)
    if is_gone:
        way = turn.enter(way, Phase.CONFIRMING, wording.confirming(way.name))
        return confirming(turn, way)
    if seen.is_gone and not was_gone_before(delete, seen):
        # Where the clock was set back since the first of the two, it will take a while.
        look_s = AT_ONCE_S if delete.gone_at is None else LOOK_SOON_S
        return turn.wait("deleting", wording.confirming(way.name), look_again_s=look_s)
    if seen.is_gone:
        words = wording.gone_unproven(way.name)
        turn.tell(way, words)
        return turn.wait("delete_gone", words, limit_s=TROUBLE_S)
    words = wording.deleting(way.name, since_s, seen.task_state)
    turn.tell(way, words)
    if since_s > DELETE_SLOW_S:
        return turn.halt(
            "delete_slow", HaltRank.SAFE_WAITING, wording.delete_slow(way.name, since_s), ("resume", "abort")
        )
    if seen.task_state is not None:
        look_s = (
            LOOK_RESTING_S
            if since_s >= 120
            else LOOK_S
            if since_s >= LOOK_S
            else turn.soon_s(delete.accepted_at)
        )
        return turn.wait("deleting", words, look_again_s=look_s)
    if delete.next_try_at is not None and turn.now < delete.next_try_at:
        return turn.wait("deleting", words, look_again_s=turn.soon_s(delete.accepted_at))
    if delete.tries >= MOST_DELETES:
        return turn.halt(
            "delete_without_effect",
            HaltRank.DECIDE_TODAY,
            wording.delete_failed(way.name),
            ("resume", "abort"),
        )
    turn.tell(way, wording.delete_again(way.name))
    return delete_now(turn, turn.server(way.server_id))


def confirming(turn: Turn, way: ServerWay) -> bool:
    """Look once more: still gone, in no balancer, and the probes are good.

    A server that was back in the pool when a lost deletion of it landed still has its nodes there.
    """
    seen = turn.observation.servers.get(way.server_id)
    words = wording.confirming(way.name)
    if seen is None:
        return turn.wait("confirm", words, limit_s=CONFIRM_S)
    if not seen.is_gone:
        words = wording.there_again(way.name)
        delete = replace(way.delete or DeleteWay(), gone_at=None, proven_at=None)
        turn.enter(turn.update(way, delete=delete), Phase.DELETING, words)
        return turn.halt("confirm_failed", HaltRank.DECIDE_TODAY, words, ("resume", "abort"))
    gone_at = way.delete.gone_at if way.delete is not None else None
    if not finds_gone(turn, way):
        # A run of an earlier release came here after one look, or without a list.
        return turn.wait("confirm", words, limit_s=CONFIRM_S, look_again_s=turn.soon_s(gone_at))
    way = turn.server(way.server_id)
    fresh = [p for p in turn.observation.probes if gone_at is None or p.observed_at >= gone_at]
    if turn.plan.probes and (not fresh or any(p.ok is not True for p in fresh)):
        return turn.wait(
            "confirm",
            words,
            limit_s=CONFIRM_S,
            rank=HaltRank.SITE_IN_DANGER,
            look_again_s=turn.soon_s(gone_at),
        )
    for node in way.nodes:
        if not node.is_settled:
            return await_effect(turn, way, node)
        if node.confirmed is not NodeState.ABSENT and not node.is_foreign:
            return _take_out_left_node(turn, way, node)
    if late.add_awaited(turn, way):
        return True
    retire(turn, way)
    turn.change(last_left_at=turn.now, waiting=None)
    return True


def _take_out_left_node(turn: Turn, way: ServerWay, node: NodeWay) -> bool:
    """Take the node of a deleted server out of its balancer: it serves nobody, so no guard has to allow it."""
    if node.balancer_id in turn.gone_balancers:
        turn.update_node(way, node, confirmed=NodeState.ABSENT, asked=NodeState.ABSENT)
        return turn.wait("confirm", wording.confirming(way.name), limit_s=CONFIRM_S, look_again_s=LOOK_SOON_S)
    balancer = turn.observation.balancers[node.balancer_id]
    if balancer.status is not BalancerStatus.ACTIVE:
        return await_balancer(turn, way, balancer)
    if is_held_off(turn):
        return True
    return turn.ask_node(way, node, NodeState.ABSENT, wording.remove(way.name, balancer.name))


def retire(turn: Turn, way: ServerWay) -> None:
    """Say that a server is gone for good; and which of its nodes are left for a person to take out."""
    turn.enter(way, Phase.RETIRED, wording.retired(way.name), retired_at=turn.now)
    turn.say_nodes_left(way)


def name_what_may_live(turn: Turn) -> str:
    """Say of each server whose deletion nobody saw end that it may live on, outside the pool; return their names, or ""."""
    left = [way for way in turn.progress.servers if way.phase in {Phase.DELETING, Phase.CONFIRMING}]
    for way in left:
        words = wording.may_live_on(way.name)
        turn.tell(way, words)
        turn.note("server_may_live_on", words, way.server_id)
    return ", ".join(way.name for way in left)
