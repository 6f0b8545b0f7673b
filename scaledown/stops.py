"""The judges that stop a run or end it early: other hands, protection, approval, abort, rest. Pure."""

from __future__ import annotations

from portal.runs.types import HaltRank, RunStatus
from scaledown import late, looks, wording
from scaledown.deleting import finds_gone, is_given_up, name_what_may_live, retire
from scaledown.draining import take_count
from scaledown.progress import DeleteWay, ServerWay
from scaledown.put_backs import back_under_way, has_foreign_node, out_newest_first, put_backs
from scaledown.turn import LOOK_RESTING_S, LOOK_SOON_S, Turn
from scaledown.types import Phase
from scaledown.waits import PATIENCE_S

LOOK_HELD_S = 5.0
LOOK_IDLE_S = 10.0


def other_hands(turn: Turn) -> bool:
    """Halt when the pool or a planned server changed without us (invariant 5)."""
    for way in turn.progress.servers:
        seen = turn.observation.servers.get(way.server_id)
        if way.phase.is_final or way.by_hand or seen is None or seen.is_gone:
            continue
        if seen.task_state == "deleting":
            continue  # the provider takes its addresses away before it is gone; whoever deletes it, it is watched
        if turn.progress.started_at is None:
            continue
        difference = looks.identity_difference(turn.planned(way.server_id), seen)
        if difference:
            turn.update(way, by_hand=difference)
            turn.foreign.append(difference)
    return halt_for_other_hand(turn) if turn.foreign else False


def halt_for_other_hand(turn: Turn) -> bool:
    """Say what another hand changed, once, and halt; beside a put-back that is on its way as well."""
    turn.is_foreign_told = True
    what = " ".join(turn.foreign)
    turn.note("changed_by_other_hand", wording.foreign_change(what), changes=list(turn.foreign))
    if turn.status is RunStatus.HALTED:
        return False
    words = wording.other_hand(what)
    return turn.halt("changed_by_other_hand", HaltRank.DECIDE_TODAY, words, ("accept", "resume", "abort"))


def protected_servers(turn: Turn) -> bool:
    """A server that was protected meanwhile goes back or stays, and the run halts."""
    hit = [
        way
        for way in turn.progress.servers
        if way.server_id in turn.facts.protected and not way.phase.is_final and way.put_back is None
    ]
    hit = [
        way for way in hit if way.phase not in {Phase.DELETING, Phase.CONFIRMING} and not way.phase.is_gone
    ]
    hit = [way for way in hit if late.vanishes_until(turn, way) is None]
    if not hit or turn.status is RunStatus.SCHEDULED:
        return False
    words = wording.protected(", ".join(way.name for way in hit))
    for way in hit:
        if way.phase is Phase.QUEUED:
            turn.enter(way, Phase.SKIPPED, wording.skipped(way.name, "It is protected."))
        else:
            turn.send_back(way, Phase.RESTORED, words)
    # What is asked about a server that goes back is answered by that; one in the queue answers nothing.
    goes_back = any(way.phase is not Phase.QUEUED for way in hit)
    turn.halt("protected_server", HaltRank.SAFE_WAITING, words, answers_standing=goes_back)
    return put_backs(turn) if back_under_way(turn) else True


def approval(turn: Turn) -> bool:
    """Pause when the approval no longer stands (invariant 6)."""
    if turn.facts.approval_stands or turn.progress.aborting:
        return False
    if turn.progress.servers and all(way.phase.is_final for way in turn.progress.servers):
        return False  # what is left only watches the next peak: nothing of it needs an approval
    words = wording.approval_gone(turn.facts.approval_problem)
    if turn.status is RunStatus.SCHEDULED:
        return turn.halt("approval_does_not_stand", HaltRank.SAFE_WAITING, words, ("resume", "abort"))
    if turn.status is not RunStatus.RUNNING:
        return False
    turn.pause(words)
    turn.note("approval_gone", words)
    return False


def aborting(turn: Turn) -> bool:
    """Put back what is not deleted, watch what the provider is deleting, then end."""
    if not turn.progress.aborting:
        return False
    out = [way for way in out_newest_first(turn) if late.vanishes_until(turn, way) is None]
    for way in out:
        turn.send_back(way, Phase.RESTORED, wording.putting_back(way.name, turn.progress.aborting))
    if out and put_backs(turn):
        return True
    for way in turn.progress.servers:
        if way.phase in {Phase.DELETING, Phase.CONFIRMING} and _is_still_deleting(turn, way):
            return True
    for way in turn.progress.servers:
        if way.phase is Phase.QUEUED:
            turn.enter(way, Phase.SKIPPED, wording.skipped(way.name, turn.progress.aborting))
    if awaits_landing(turn):
        return True
    back = sum(way.phase is Phase.RESTORED for way in turn.progress.servers)
    words = wording.aborted(back, name_what_may_live(turn), turn.progress.names_in(Phase.LEFT_OUT))
    turn.new_status, turn.new_halt = RunStatus.ABORTED, None
    turn.change(
        ended_because="aborted", says=words.says, customer_says=words.customer_says, until=None, waiting=None
    )
    return True


def awaits_landing(turn: Turn) -> bool:
    """Do not end while a change of ours may still land: nobody would undo it."""
    open_yet = late.outstanding(turn)
    if open_yet is None:
        return False
    until, words = open_yet
    for way in turn.progress.servers:
        lands_until = late.kept_out_until(way, turn.now)
        if lands_until is not None and way.phase.is_out_and_alive and way.put_back is None:
            what = "stop" if late.delete_lands_until(way, turn.now) is None else "deletion"
            turn.tell(way, late.stays_out(way.name, lands_until, what), lands_until)
    return turn.wait("late_change", words, until=until, look_again_s=LOOK_RESTING_S)


def finishing(turn: Turn) -> bool:
    """End a run that a person finished, as soon as nothing of ours may land any more."""
    if not turn.progress.finishing or not all(way.phase.is_final for way in turn.progress.servers):
        return False
    if back_under_way(turn):
        return False
    if awaits_landing(turn):
        return True
    words = wording.finished_here(turn.progress.finishing)
    turn.new_status, turn.new_halt = RunStatus.COMPLETED, None
    turn.change(
        ended_because="finished_here",
        says=words.says,
        customer_says=words.customer_says,
        until=None,
        waiting=None,
    )
    return True


def _is_still_deleting(turn: Turn, way: ServerWay) -> bool:
    """Watch an accepted deletion to its end while aborting; give up watching after a while."""
    is_gone = finds_gone(turn, way)
    way = turn.server(way.server_id)
    if is_gone:
        if late.add_awaited(turn, way):
            return True
        retire(turn, way)
        return False
    if is_given_up(turn, way):
        return False
    seen, delete = turn.observation.servers.get(way.server_id), way.delete or DeleteWay()
    if seen is not None and seen.is_gone:
        return turn.wait("deleting", wording.confirming(way.name), look_again_s=LOOK_SOON_S)
    task = None if seen is None else seen.task_state
    return turn.wait("deleting", wording.deleting(way.name, turn.age_s(delete.accepted_at), task))


def resting(turn: Turn) -> bool:
    """Paused, halted or at a standstill: nothing is sent but putting back; a drain does not wait for ever."""
    standstill = turn.people.standstill
    if turn.status is RunStatus.RUNNING and standstill is None:
        return False
    if turn.status is RunStatus.SCHEDULED:
        if standstill is None:
            return False
        return turn.wait("standstill", wording.standstill(standstill), look_again_s=LOOK_IDLE_S)
    way = turn.progress.in_flight
    if way is not None and way.phase in {Phase.DRAINING, Phase.REMOVING} and way.put_back is None:
        lands_until = late.vanishes_until(turn, way)
        if turn.status is RunStatus.PAUSED and lands_until is None:
            turn.send_back(way, Phase.QUEUED, wording.putting_back(way.name, "The run is paused."))
            return put_backs(turn)
        if turn.status is RunStatus.PAUSED and lands_until is not None:
            way = turn.tell(way, late.removal_stays_out(way.name, lands_until), lands_until)
        if after_silence(turn):
            return put_backs(turn)
        if way.phase is Phase.DRAINING and way.drain is not None and way.drain.seen_at is not None:
            way = take_count(turn, way)
    if standstill is not None:
        return turn.wait("standstill", wording.standstill(standstill), look_again_s=resting_look_s(turn))
    turn.look_again_s = resting_look_s(turn)
    if not back_under_way(turn):
        _say_rest(turn)
    return True


def mark_others_back(turn: Turn) -> None:
    """Mark what has to go back as well, before one that cannot go yet settles the tick: it keeps no other one out."""
    if turn.progress.aborting:
        for way in out_newest_first(turn):
            if late.vanishes_until(turn, way) is None:
                turn.send_back(way, Phase.RESTORED, wording.putting_back(way.name, turn.progress.aborting))
    else:
        after_silence(turn)


def after_silence(turn: Turn) -> bool:
    """A server does not drain for ever while nobody answers: mark it to go back. Return whether it did."""
    way = turn.progress.in_flight
    if turn.status is RunStatus.RUNNING and turn.people.standstill is None:
        return False
    if way is None or way.phase not in {Phase.DRAINING, Phase.REMOVING} or way.put_back is not None:
        return False
    since = turn.progress.stopped_at or turn.progress.standstill_since
    if since is None or turn.age_s(since) <= PATIENCE_S or has_foreign_node(way):
        return False
    # Beside a server that cannot go back, or a pool that is not seen, that stays what is asked.
    is_more = back_under_way(turn) or bool(looks.unseen(turn.plan, turn.observation, turn.now))
    turn.send_back(way, Phase.QUEUED, wording.silence(way.name))
    if turn.status is RunStatus.HALTED and not is_more:
        words = wording.silence(way.name)
        turn.halt("put_back_after_silence", HaltRank.SAFE_WAITING, words, answers_standing=True)
    return True


def _say_rest(turn: Turn) -> None:
    """Say why the run rests, and what keeps it from going on: an older wait is not true any more."""
    progress, halt = turn.progress, turn.halt_in_force
    says, customer_says = progress.paused_says or "Paused.", progress.paused_customer_says or "Paused."
    if halt is not None:
        says, customer_says = halt.says, halt.customer_says
    why_not = turn.facts.freeze or turn.facts.nobody_to_call or progress.cannot.get("resume", "")
    if why_not and says not in why_not:
        says = f"{says} It cannot go on yet: {why_not}"
    turn.change(waiting=None, says=says, customer_says=customer_says, until=None)


def resting_look_s(turn: Turn) -> float:
    """Return how soon to look again at a run that rests: the sooner, the more there is to put back.

    A command wakes the run at once, however long this is.
    """
    if turn.progress.in_flight is not None or back_under_way(turn):
        return LOOK_RESTING_S
    return LOOK_HELD_S if out_newest_first(turn) else LOOK_IDLE_S
