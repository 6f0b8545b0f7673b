"""Stopping a held server before it is deleted, and starting it again where it goes back. Pure."""

from __future__ import annotations

from portal.frozen import replace
from portal.runs.types import Action, HaltRank
from scaledown import late, looks, wording
from scaledown.progress import Meter, ServerWay, StopWay
from scaledown.silence import ask_person
from scaledown.turn import LOOK_S, LOOK_SOON_S, Turn
from scaledown.types import ServerSeen
from scaledown.waits import MOST_TRIES, TROUBLE_S, is_held_off

POWER_S = 30.0
"""An accepted stop or start that a look at an idle server does not show after this had no effect."""
START_S = 30.0
"""How long a started server gets to be ready where the portal may not ask it itself."""
ANSWER_S = 180.0
"""How long it is waited for that a started server answers; a health monitor judges it after that."""


def stop(turn: Turn, way: ServerWay) -> bool:
    """Stop a server whose hold is over, after a look as before its deletion (invariant 2), or say why not."""
    asked = way.stop or StopWay()
    seen = turn.observation.servers.get(way.server_id)
    words = wording.stopping(way.name)
    if asked.accepted_at is not None and (seen is None or seen.task_state or _is_young(turn, asked)):
        turn.tell(way, words)
        return turn.wait("stop", words, limit_s=TROUBLE_S, look_again_s=LOOK_SOON_S)
    if asked.accepted_at is not None:
        asked = _may_still_land(asked)
        way = turn.update(way, stop=asked)
    if asked.next_try_at is not None and turn.now < asked.next_try_at:
        return turn.wait("stop_retry", words, until=asked.next_try_at)
    if is_held_off(turn):
        return True
    refusal = looks.may_stop(turn.plan, way, turn.progress, turn.observation, turn.facts, turn.now)
    if refusal is not None and refusal.waits:
        turn.tell(way, wording.stop_waits(way.name, refusal.says))
        return turn.wait(
            f"stop_{refusal.code}", wording.stop_waits(way.name, refusal.says), limit_s=TROUBLE_S
        )
    if refusal is not None and refusal.code == "still_serves":
        return ask_person(turn, way, refusal.says)
    why = refusal.says if refusal is not None else ""
    if not why and asked.tries >= MOST_TRIES:
        why = f"It was asked for {asked.tries} times and shows no effect."
    if why:
        words = wording.stop_forbidden(way.name, why, late.kept_out_until(way, turn.now))
        return turn.halt(
            "stop_forbidden",
            HaltRank.DECIDE_TODAY,
            words,
            ("put_back", "retry", "resume", "abort", "finish_here"),
        )
    changed = replace(asked, asked_at=turn.now, accepted_at=None, tries=asked.tries + 1, is_starting=False)
    return _send(turn, turn.update(way, stop=changed), "stop_server", wording.stop(way.name))


def _may_still_land(asked: StopWay) -> StopWay:
    """An accepted stop that looks do not show in time had no effect so far; it may have one later."""
    return replace(asked, accepted_at=None, late_at=asked.accepted_at)


def _is_young(turn: Turn, asked: StopWay) -> bool:
    return asked.accepted_at is not None and turn.age_s(asked.accepted_at) <= POWER_S


def _send(turn: Turn, way: ServerWay, name: str, words: wording.Words, *, is_put_back: bool = False) -> bool:
    way = turn.tell(way, words)
    args = {"server_id": way.server_id, "name": way.name}
    what = wording.customer_change(name, way.name)
    return turn.send(Action(name, way.server_id, words.says, args, is_put_back, what), words)


def has_to_start(way: ServerWay) -> bool:
    """Return whether a server has to run, and to answer, before it goes back: this run stopped it, or may have."""
    return (
        way.stop is not None
        and way.stop.answered_at is None
        and (way.stop.stopped_at is not None or way.stop.accepted_at is not None or way.stop.is_starting)
    )


def start(turn: Turn, way: ServerWay) -> bool:
    """Start a stopped server that goes back, and wait until it answers. Settles the tick unless it is ready.

    Allowed wherever putting back is. What is gone, or in a state that no start helps, is left to `put_backs`.
    """
    asked = way.stop
    seen = turn.observation.servers.get(way.server_id)
    words = wording.starting(way.name)
    assert asked is not None
    if seen is None:
        return turn.wait("put_back_server", words, limit_s=TROUBLE_S, rank=late.rank_of(turn))
    if seen.is_gone:
        return False
    turn.tell(way, words)
    if seen.task_state is not None:
        rank = late.rank_of(turn)
        return turn.wait("start", words, limit_s=TROUBLE_S, rank=rank, look_again_s=LOOK_SOON_S)
    if seen.status == "SHUTOFF":
        return _ask_start(turn, way, asked, words)
    if seen.status != "ACTIVE":
        return False
    if not asked.is_starting and asked.stopped_at is None and asked.accepted_at is not None:
        # A stop was accepted and does not show yet: it would cut whoever came back.
        if _is_young(turn, asked):
            return turn.wait("stop", words, limit_s=TROUBLE_S, look_again_s=LOOK_SOON_S)
        doubted = turn.update(way, stop=_may_still_land(asked))
        until = late.stop_lands_until(doubted, turn.now)
        if until is None or late.site_needs_it(turn):
            return False  # it runs, and always did
        words = late.stays_out(way.name, until, "stop")
        turn.tell(turn.update(doubted, stop=asked), words, until)
        return turn.wait("late_change", words, until=until)
    return _await_answer(turn, way, asked, seen)


def _ask_start(turn: Turn, way: ServerWay, asked: StopWay, words: wording.Words) -> bool:
    if asked.is_starting and _is_young(turn, asked):
        return turn.wait("start", words, limit_s=TROUBLE_S, look_again_s=LOOK_SOON_S)
    back = way.put_back
    assert back is not None
    if back.next_try_at is not None and 0 < (back.next_try_at - turn.now).total_seconds() <= 60.0:
        return turn.wait("put_back_retry", words, look_again_s=LOOK_S)
    changed = replace(
        asked, asked_at=turn.now, accepted_at=None, is_starting=True, running_at=None, tries=asked.tries + 1
    )
    way = turn.update(way, stop=changed)
    return _send(turn, way, "start_server", wording.start(way.name), is_put_back=True)


def _await_answer(turn: Turn, way: ServerWay, asked: StopWay, seen: ServerSeen) -> bool:
    """Wait until a started server answers itself; one that may not be asked gets a set time."""
    words = wording.starting(way.name)
    running_at = asked.running_at or seen.observed_at
    waited_s = turn.age_s(running_at)
    direct = turn.observation.direct
    may_be_asked = direct.get(way.server_id) is not None
    answers = direct.get(way.server_id) is True
    says_nothing = is_silent(turn, way, seen)
    is_watched = all(node.balancer_id not in turn.progress.unmonitored for node in way.nodes)
    is_waited_out = (way.server_id in direct and not may_be_asked and waited_s >= START_S) or (
        is_watched and waited_s >= ANSWER_S and not says_nothing
    )
    if answers or is_waited_out:
        turn.update(way, stop=replace(asked, running_at=running_at, answered_at=turn.now, stopped_at=None))
        return False
    way = turn.update(way, stop=replace(asked, running_at=running_at))
    if says_nothing and waited_s >= ANSWER_S:
        words = wording.started_in_vain(way.name, waited_s)
        turn.tell(way, words)
        rank = late.rank_of(turn)
        return turn.halt("start_without_answer", rank, words, ("abort", "finish_here"))
    return turn.wait("start_answer", words, limit_s=TROUBLE_S, rank=late.rank_of(turn))


def is_silent(turn: Turn, way: ServerWay, seen: ServerSeen) -> bool:
    """Whether a started server that the portal could reach before it was stopped shows no sign of itself since it runs.

    One that it never reached may answer its balancers all the same: their monitors judge it.
    """
    stop, meter = way.stop, turn.progress.meters.get(way.server_id, Meter())
    if stop is None or not stop.is_starting or seen.status != "ACTIVE" or meter.answered_at is None:
        return False
    running_at = stop.running_at or seen.observed_at
    return turn.observation.direct.get(way.server_id) is False and meter.answered_at < running_at
