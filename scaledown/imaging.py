"""The phase *imaging*: an image before the deletion, seen ACTIVE, or no deletion. Pure."""

from __future__ import annotations

from portal.frozen import replace
from portal.runs.types import Action, HaltRank
from scaledown import hours, images, looks, wording
from scaledown.deleting import delete_now, hold_ends, stop_due_at
from scaledown.progress import ImageMade, ImagingWay, ServerWay
from scaledown.stopping import stop
from scaledown.stops import LOOK_HELD_S
from scaledown.turn import LOOK_SOON_S, Turn
from scaledown.types import ImageRule, Phase
from scaledown.waits import MOST_TRIES, TROUBLE_S, is_held_off

IMAGE_S = 2 * 3600.0
"""How long an image may take to be ACTIVE before a person is told; a resume gives it as long again."""
LOOK_IMAGE_S = 5.0
IMAGEABLE_STATUSES = frozenset({"ACTIVE", "SHUTOFF"})


def leave_hold(turn: Turn, way: ServerWay) -> bool:
    """The hold of a server is over: make an image first where the plan asks for one, else delete it."""
    if turn.plan.images is ImageRule.NONE:
        return delete_now(turn, way)
    made = images.standing_for(turn.plan, turn.progress, way)
    if made is not None and made.status == "ACTIVE":
        return delete_now(turn, way)
    return imaging(turn, turn.enter(way, Phase.IMAGING, wording.imaging_begins(way.name)))


def imaging(turn: Turn, way: ServerWay) -> bool:
    """Have an image made, wait until it is ACTIVE, then go on to the deletion; halt where none comes about.

    A server that runs again (another hand started it, and a person let it be deleted all the same) is held and stopped anew.
    """
    if stop_due_at(turn.plan, way) is not None:
        way = turn.enter(way, Phase.HELD, wording.held(way.name, hold_ends(turn.plan, way)))
        return _awaits_hours(turn, way) or stop(turn, way)
    made = images.standing_for(turn.plan, turn.progress, way)
    if made is not None and made.status == "ACTIVE":
        return _awaits_hours(turn, way) or delete_now(turn, way)
    if made is not None:
        return _await_image(turn, way, made)
    asked = way.imaging or ImagingWay()
    if asked.problem:
        return _no_image(turn, way, asked.problem)
    if asked.accepted_at is not None:
        words = wording.image_looked_for(way.name)
        turn.tell(way, words)
        return turn.wait("image_look", words, limit_s=TROUBLE_S)
    return _ask(turn, way, asked)


def _awaits_hours(turn: Turn, way: ServerWay) -> bool:
    """An image often outlasts the window: what comes after it begins in the window's hours, too. Settles the tick."""
    if hours.is_open(turn.plan, turn.now):
        return False
    opens = hours.opens_at(turn.plan, turn.now)
    words = wording.window_for_held(way.name, opens)
    turn.tell(way, words, opens)
    return turn.wait("window", words, until=opens, look_again_s=LOOK_HELD_S)


def _await_image(turn: Turn, way: ServerWay, made: ImageMade) -> bool:
    words = wording.image_saving(way.name, made.server_name, turn.age_s(made.made_at), made.progress)
    turn.tell(way, words)
    return turn.wait("image", words, limit_s=IMAGE_S, look_again_s=LOOK_IMAGE_S)


def _no_image(turn: Turn, way: ServerWay, why: str) -> bool:
    words = wording.image_failed(way.name, why)
    turn.tell(way, words)
    return turn.halt(
        "image_failed",
        HaltRank.DECIDE_TODAY,
        words,
        ("retry", "resume", "put_back", "abort", "finish_here"),
    )


def _ask(turn: Turn, way: ServerWay, asked: ImagingWay) -> bool:
    seen = turn.observation.servers.get(way.server_id)
    if seen is None or seen.is_gone or turn.age_s(seen.observed_at) > looks.LOOK_MAX_AGE_S:
        words = wording.image_waits(way.name, f"There is no fresh look at {way.name}.")
        return turn.wait("image_server", words, limit_s=TROUBLE_S)
    if seen.task_state is not None:
        words = wording.image_waits(way.name, f"{way.name} is busy: {seen.task_state}.")
        turn.tell(way, words)
        return turn.wait("server_busy", words, limit_s=TROUBLE_S)
    if seen.status not in IMAGEABLE_STATUSES:
        return _no_image(turn, way, f"{way.name} is {seen.status}: no image can be made of it.")
    if asked.tries >= MOST_TRIES:
        return _no_image(turn, way, f"It was asked for {asked.tries} times and does not show.")
    if asked.next_try_at is not None and turn.now < asked.next_try_at:
        return turn.wait("image_retry", wording.image_waits(way.name, ""), until=asked.next_try_at)
    if _asks_blindly(turn, asked):
        words = wording.image_looked_for(way.name)
        return turn.wait("image_look", words, limit_s=TROUBLE_S)
    if _awaits_hours(turn, way) or is_held_off(turn):
        return True
    words = wording.create_image(way.name)
    way = turn.tell(turn.update(way, imaging=replace(asked, tries=asked.tries + 1)), words)
    args = {
        "server_id": way.server_id,
        "name": way.name,
        "of_stopped": seen.status == "SHUTOFF",
        "known": [image.image_id for image in turn.progress.images],
        "keep_until": turn.after(turn.plan.images_kept_s).isoformat(),
    }
    what = wording.customer_change("create_image", way.name)
    turn.look_again_s = LOOK_SOON_S
    return turn.send(Action("create_image", way.server_id, words.says, args, customer_says=what), words)


def _asks_blindly(turn: Turn, asked: ImagingWay) -> bool:
    """Whether an image was asked for before and nobody has looked at all images since."""
    return bool(asked.tries) and turn.observation.our_images is None


def ask_anew(turn: Turn) -> None:
    """A person resumes: an image that failed may be asked for again, and one that was begun and that nobody found."""
    for way in turn.progress.servers:
        asked = way.imaging
        if asked is None:
            continue
        if asked.accepted_at is None or asked.problem:
            turn.update(way, imaging=None)
        elif _is_vain(turn, way, asked):
            # Counted as a try: all images are looked at before another one is asked for.
            turn.update(way, imaging=ImagingWay(tries=1))


def _is_vain(turn: Turn, way: ServerWay, asked: ImagingWay) -> bool:
    """Whether an image that was begun long ago is in no look: it was gone before anybody saw it."""
    if way.phase is not Phase.IMAGING or turn.age_s(asked.accepted_at) <= TROUBLE_S:
        return False
    return images.standing_for(turn.plan, turn.progress, way) is None
