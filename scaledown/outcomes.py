"""What the outcome of a change means, and whether one whose answer was lost shows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from portal.cloud.types import BalancerStatus
from portal.frozen import replace
from portal.runs.rules import NOT_SENT, SET_ASIDE
from portal.runs.types import Action, HaltRank, Outcome, OutcomeKind
from scaledown import late, wording
from scaledown.notice import adopt_image
from scaledown.progress import DeleteWay, ImageLost, ImagingWay, NodeState, NodeWay, Progress, ServerWay
from scaledown.turn import AT_ONCE_S, LOOK_S, LOOK_SOON_S, MachineDecision, Turn
from scaledown.types import Facts, Observation, People, Phase, PlanData
from scaledown.waits import MOST_TRIES, TROUBLE_S
from scaledown.wording import Words

NEVER_AGAIN = frozenset({"last_node", "last_primary", "needs_monitor", "balancer_suspended", "forbidden"})
"""Refusals that mean a person is needed: the same change is not sent again (provider reference, section 9)."""


def settle(
    plan: PlanData,
    progress: Progress,
    action: Action,
    outcome: Outcome,
    now: datetime,
    people: People,
) -> MachineDecision:
    """Return what the outcome of one action means for the progress that was noted with its intent.

    `people` has the status and the halt that stand: a lesser reason does not replace a graver one.
    """
    turn = Turn(plan, progress, Observation(now), people, Facts(True, "", frozenset(), None), now)
    way = turn.server(str(action.args["server_id"]))
    if outcome.kind is OutcomeKind.WITHHELD:
        turn.change(rehearsed=progress.rehearsed + 1)
        turn.note("would_have", wording.rehearsed(action.says), way.server_id, **dict(outcome.detail))
        turn.look_again_s = AT_ONCE_S
    elif outcome.kind is OutcomeKind.DONE:
        _settle_done(turn, way, action, outcome)
    else:
        _settle_not_done(turn, way, action, outcome)
    return turn.result()


def _node_of(way: ServerWay, action: Action) -> NodeWay | None:
    key = (action.args.get("balancer_id"), action.args.get("address"), action.args.get("port"))
    return next((n for n in way.nodes if (n.balancer_id, n.address, n.port) == key), None)


def _settle_done(turn: Turn, way: ServerWay, action: Action, outcome: Outcome) -> None:
    turn.change(refusals=0, refusal_says="", busy_since=None, retry_at=None)
    turn.look_again_s = AT_ONCE_S
    node = _node_of(way, action)
    if node is not None:
        way = turn.update_node(way, node, asked_at=turn.now)
        if way.put_back is not None:
            turn.update(way, put_back=replace(way.put_back, tries=0, next_try_at=None))
        return
    if action.name in POWER and way.stop is not None:
        way = turn.update(way, stop=replace(way.stop, accepted_at=turn.now, next_try_at=None))
        if way.put_back is not None:
            turn.update(way, put_back=replace(way.put_back, tries=0, next_try_at=None))
        return
    if action.name == "create_server":
        if way.anew is not None:
            made = outcome.detail.get("server_id")
            anew = replace(way.anew, accepted_at=turn.now, next_try_at=None)
            turn.update(way, anew=anew if made is None else replace(anew, server_id=str(made)))
        return
    if action.name == "create_image":
        _image_accepted(turn, way, action, outcome)
        return
    delete = way.delete or DeleteWay()
    next_try_at = turn.after(2.0 ** max(1, delete.tries))
    accepted_at = delete.accepted_at or turn.now
    delete = replace(delete, accepted_at=accepted_at, next_try_at=next_try_at)
    if way.phase in {Phase.HELD, Phase.IMAGING}:
        # It may have been marked to go back while its deletion was in doubt: that is too late now.
        words = wording.delete_accepted(way.name)
        turn.enter(way, Phase.DELETING, words, delete=delete, soak=None, put_back=None)
    else:
        turn.update(way, delete=delete)


def _say_late(turn: Turn, way: ServerWay, kind: str, words: Words) -> None:
    """Say that a deletion or a stop may still land: its server stays out, or goes back at that risk."""
    if way.put_back is not None:
        late.say_risk(turn, way)
        return
    turn.note(kind, words, way.server_id)
    _offer_no_put_back(turn, way, words.says)


def _offer_no_put_back(turn: Turn, way: ServerWay, says: str) -> None:
    if not late.is_pressing(turn.progress):
        # What was offered at this look was judged before it was known that the change may still land.
        turn.change(cannot={**turn.progress.cannot, f"put_back {way.server_id}": says})


POWER = frozenset({"stop_server", "start_server"})


def _power_not_changed(
    turn: Turn, way: ServerWay, action: Action, outcome: Outcome, *, by_reading: bool
) -> None:
    stop = way.stop
    if stop is None:
        return
    if by_reading:
        is_stop = action.name == "stop_server"
        way = turn.update(way, stop=replace(stop, late_at=turn.now if is_stop else stop.late_at))
        if is_stop:
            words = late.stays_out(way.name, late.stop_lands_until(way, turn.now) or turn.now, "stop")
            _say_late(turn, way, "stop_did_not_show", words)
    elif outcome.kind in {OutcomeKind.NOT_APPLIED, OutcomeKind.TRY_LATER}:
        after_s = max(0.2, outcome.after_s if outcome.after_s is not None else LOOK_S)
        next_try_at = turn.after(after_s) if outcome.kind is OutcomeKind.TRY_LATER else None
        turn.update(way, stop=replace(stop, tries=max(0, stop.tries - 1), next_try_at=next_try_at))


def _image_accepted(turn: Turn, way: ServerWay, action: Action, outcome: Outcome) -> None:
    """An image was begun. Where its answer was lost a later look finds it by its metadata."""
    asked = way.imaging or ImagingWay()
    way = turn.update(way, imaging=replace(asked, accepted_at=turn.now, next_try_at=None))
    image_id = outcome.detail.get("image_id")
    if image_id is None:
        _image_lost(turn, way)
    else:
        adopt_image(
            turn,
            way,
            str(image_id),
            str(outcome.detail.get("name", "")),
            of_stopped=bool(action.args.get("of_stopped")),
            keep_until=datetime.fromisoformat(str(action.args["keep_until"])),
        )


def _image_lost(turn: Turn, way: ServerWay) -> None:
    """Go on looking for an image of which only the request is known, whatever becomes of its server meanwhile."""
    lost = ImageLost(way.server_id, way.name, turn.now)
    turn.change(images_lost=(*turn.progress.images_lost, lost))


def _server_not_made(turn: Turn, way: ServerWay, outcome: Outcome, *, by_reading: bool) -> None:
    anew = way.anew
    if anew is None:
        return
    if by_reading:
        turn.update(way, anew=replace(anew, late_at=turn.now))
    elif outcome.kind in {OutcomeKind.NOT_APPLIED, OutcomeKind.TRY_LATER}:
        after_s = max(0.2, outcome.after_s if outcome.after_s is not None else LOOK_S)
        next_try_at = turn.after(after_s) if outcome.kind is OutcomeKind.TRY_LATER else None
        turn.update(way, anew=replace(anew, tries=max(0, anew.tries - 1), next_try_at=next_try_at))


def _image_not_made(turn: Turn, way: ServerWay, outcome: Outcome, *, by_reading: bool) -> None:
    asked = way.imaging or ImagingWay()
    if by_reading:
        _image_lost(turn, way)
    elif outcome.kind is OutcomeKind.NOT_APPLIED:
        turn.update(way, imaging=replace(asked, tries=max(0, asked.tries - 1)))
    elif outcome.kind is OutcomeKind.TRY_LATER:
        after_s = max(0.2, outcome.after_s if outcome.after_s is not None else LOOK_S)
        tries = max(0, asked.tries - 1)  # surely nothing was done: it does not count as a try
        turn.update(way, imaging=replace(asked, tries=tries, next_try_at=turn.after(after_s)))


def _settle_not_done(turn: Turn, way: ServerWay, action: Action, outcome: Outcome) -> None:
    """The change did not happen (or, by reading, did not show): the step is tried again, within bounds."""
    is_set_aside = outcome.code == SET_ASIDE
    by_reading = outcome.kind is OutcomeKind.NOT_APPLIED and (outcome.by_reading or is_set_aside)
    node = _node_of(way, action)
    if node is not None:
        if by_reading:
            node = node.may_still_land()
        sent = outcome.kind is not OutcomeKind.NOT_APPLIED or by_reading
        way = turn.update_node(
            way,
            node,
            asked=node.confirmed,
            late=node.late,
            late_at=node.late_at,
            tries=node.tries if sent else max(0, node.tries - 1),
        )
        until = late.vanishes_until(turn, way) if by_reading else None
        if until is not None:
            _offer_no_put_back(turn, way, late.why_it_stays_out(turn, way, until).says)
    elif action.name in POWER:
        _power_not_changed(turn, way, action, outcome, by_reading=by_reading)
        way = turn.server(way.server_id)
    elif action.name == "create_server":
        _server_not_made(turn, way, outcome, by_reading=by_reading)
        way = turn.server(way.server_id)
    elif action.name == "create_image":
        _image_not_made(turn, way, outcome, by_reading=by_reading)
        way = turn.server(way.server_id)
    elif way.delete is not None and by_reading:
        way = turn.update(way, delete=replace(way.delete, late_at=turn.now))
        words = late.stays_out(way.name, late.delete_lands_until(way, turn.now) or turn.now)
        _say_late(turn, way, "delete_did_not_show", words)
    elif way.delete is not None and not by_reading and outcome.kind is OutcomeKind.NOT_APPLIED:
        way = turn.update(way, delete=replace(way.delete, tries=way.delete.tries - 1, next_try_at=None))
    if outcome.code == NOT_SENT and action.name == "drain_node" and _is_untouched(way):
        # Nothing of it was sent: what a person says meanwhile, and all that keeps a server from beginning, finds it in the queue.
        stuck = turn.progress.stuck
        way = turn.enter(way, Phase.QUEUED, wording.not_sent(way.name, outcome.says), drain=None)
        way = turn.tell(way, wording.queued(way.name))
        turn.change(stuck=stuck)  # that it begins anew is no progress
    if is_set_aside:
        turn.look_again_s = LOOK_SOON_S
    elif outcome.kind is OutcomeKind.NOT_APPLIED:
        look_again_s = 0.05 if not by_reading else LOOK_SOON_S
        code = "effect" if by_reading else "sending"
        turn.wait(
            code, wording.not_sent(way.name, outcome.says), limit_s=TROUBLE_S, look_again_s=look_again_s
        )
    elif outcome.kind is OutcomeKind.TRY_LATER:
        _settle_try_later(turn, way, action, outcome)
    else:
        _settle_refused(turn, way, action, outcome)


def _is_untouched(way: ServerWay) -> bool:
    """Whether a server that begins is as it was: nothing of it drains, or may yet."""
    has_begun = way.drain is not None and way.drain.seen_at is not None
    return (
        way.phase is Phase.DRAINING
        and not has_begun
        and way.put_back is None
        and not way.by_hand
        and all(
            node.is_settled and node.confirmed is NodeState.ENABLED and not node.late for node in way.nodes
        )
    )


def _settle_try_later(turn: Turn, way: ServerWay, action: Action, outcome: Outcome) -> None:
    after_s = max(0.2, outcome.after_s if outcome.after_s is not None else LOOK_S)
    busy_since = turn.progress.busy_since or turn.now
    words = wording.busy(outcome.says or "The provider is busy; it is tried again.")
    turn.change(busy_since=busy_since, retry_at=turn.after(after_s), refusal_says=words.says)
    if way.delete is not None and action.name == "delete_server":
        # Surely nothing was done: it does not count as a try.
        turn.update(
            way,
            delete=replace(way.delete, tries=max(0, way.delete.tries - 1), next_try_at=turn.after(after_s)),
        )
    if way.put_back is not None:
        wait_s = min(after_s, 10.0)
        turn.update(
            turn.server(way.server_id), put_back=replace(way.put_back, next_try_at=turn.after(wait_s))
        )
    turn.look_again_s = min(after_s, LOOK_S)
    if turn.age_s(busy_since) > TROUBLE_S:
        turn.change(busy_since=None)
        since_s = turn.age_s(busy_since)
        turn.halt("provider_busy", HaltRank.DECIDE_TODAY, wording.busy_for_long(outcome.says, since_s))


def _settle_refused(turn: Turn, way: ServerWay, action: Action, outcome: Outcome) -> None:
    says = outcome.says or "The provider refused."
    turn.look_again_s = LOOK_S
    if way.put_back is not None and action.is_put_back:
        tries = way.put_back.tries + 1
        back = replace(way.put_back, tries=tries, next_try_at=turn.after(min(60.0, 2.0**tries)))
        turn.update(way, put_back=back)
        if tries >= MOST_TRIES:
            turn.halt(
                "cannot_put_back",
                late.rank_of(turn),
                wording.cannot_put_back(way.name, says),
                ("abort",),
            )
        return
    refusals = turn.progress.refusals + 1
    turn.change(refusals=refusals, refusal_says=says, retry_at=turn.after(2.0**refusals))
    most = MOST_TRIES if action.name == "delete_server" else 2
    if refusals >= most or outcome.code in NEVER_AGAIN:
        turn.change(refusals=0)
        turn.halt(
            "change_refused",
            HaltRank.DECIDE_TODAY,
            wording.refused(action.says, says),
            ("retry", "resume", "put_back", "abort"),
        )


def effect(action: Action, observation: Observation) -> bool | None:
    """Return whether a change whose answer was lost shows; None where this look cannot tell."""
    args = action.args
    if action.name == "delete_server":
        seen = observation.servers.get(str(args["server_id"]))
        if seen is None:
            return None
        if seen.is_gone or seen.task_state == "deleting":
            return True
        return False if seen.task_state is None else None
    if action.name in POWER:
        seen = observation.servers.get(str(args["server_id"]))
        if seen is None or (seen.task_state is not None and not seen.is_gone):
            return None
        if action.name == "stop_server":
            return seen.is_gone or seen.status == "SHUTOFF"  # what is gone runs no more
        return seen.status != "SHUTOFF" and not seen.is_gone
    if action.name == "create_server":
        made = observation.made
        return None if made is None else args["server_id"] in made.values()
    if action.name == "create_image":
        return _shows_image(args, observation)
    if str(args["balancer_id"]) in observation.missing_balancers:
        return bool(args["state"] == NodeState.ABSENT.value)  # a balancer that is gone has no node
    balancer = observation.balancers.get(str(args["balancer_id"]))
    if balancer is None or balancer.status is not BalancerStatus.ACTIVE:
        return None
    found = next((n for n in balancer.nodes if (n.address, n.port) == (args["address"], args["port"])), None)
    state = NodeState.ABSENT if found is None else NodeState(found.condition.value)
    return bool(state.value == args["state"])


def _shows_image(args: Mapping[str, Any], observation: Observation) -> bool | None:
    """Whether an image of a server that was not known before is in a complete list of this run's."""
    if observation.our_images is None:
        return None
    found = observation.our_images - set(args.get("known", ()))
    if any(observation.images[image_id].server_id == args["server_id"] for image_id in found):
        return True
    seen = observation.servers.get(str(args["server_id"]))
    if seen is None or (seen.task_state or "").startswith("image_"):
        return None  # somebody makes an image of it just now: it may be ours, and not listed yet
    return False
