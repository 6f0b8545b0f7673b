"""Changes of ours whose answers were lost, that reading found not applied, and that may land all the same. Pure.

A run that ended could not undo one that lands, and a server whose deletion may land must not carry visitors.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from portal.frozen import replace
from portal.runs.types import HaltRank
from scaledown import looks
from scaledown.progress import NodeState, NodeWay, Progress, ServerWay, StopWay
from scaledown.turn import LOOK_RESTING_S, Turn
from scaledown.wording import Words

LATE_S = looks.LATE_S


def delete_lands_until(way: ServerWay, now: datetime) -> datetime | None:
    """Return until when a deletion that was read as not applied may still land; None if none may."""
    if way.delete is None or way.delete.late_at is None or way.phase.is_gone:
        return None
    until = way.delete.late_at + timedelta(seconds=LATE_S)
    return until if now <= until else None


def stop_lands_until(way: ServerWay, now: datetime) -> datetime | None:
    """Return until when a stop that was read as not applied may still land; None if none may."""
    if way.stop is None or way.stop.late_at is None or way.phase.is_gone:
        return None
    until = way.stop.late_at + timedelta(seconds=LATE_S)
    return until if now <= until else None


def kept_stop(way: ServerWay, now: datetime) -> StopWay | None:
    """Return what is remembered of a stop once its server is back: only that it may still land."""
    if stop_lands_until(way, now) is None or way.stop is None:
        return None
    return StopWay(late_at=way.stop.late_at)


def kept_out_until(way: ServerWay, now: datetime) -> datetime | None:
    """Return until when a late stop or deletion of this server may still cut what it would carry; None if none may."""
    ends = [at for at in (delete_lands_until(way, now), stop_lands_until(way, now)) if at is not None]
    return max(ends) if ends else None


def _node_lands_until(turn: Turn, way: ServerWay, node: NodeWay) -> datetime | None:
    if node.is_foreign or node.lands_since is None:
        return None
    if way.phase.is_let_go:
        return looks.add_lands_until(replace(way, nodes=(node,)), turn.now)
    if way.phase.is_gone:
        return None
    if node.balancer_id in turn.gone_balancers:
        return None
    if all(state is node.confirmed for state in node.late):
        return None
    until = node.lands_since + timedelta(seconds=LATE_S)
    return until if turn.now <= until else None


def vanishes_until(turn: Turn, way: ServerWay) -> datetime | None:
    """Return until when a late removal or deletion may still cut what this server would carry once it is back."""
    removals = [
        _node_lands_until(turn, way, node)
        for node in way.nodes
        if NodeState.ABSENT in node.late and node.confirmed is not NodeState.ABSENT
    ]
    ends = [at for at in (kept_out_until(way, turn.now), *removals) if at is not None]
    return max(ends) if ends else None


def outstanding(turn: Turn) -> tuple[datetime, Words] | None:
    """Return until when a change of this run may still land, and the words for it; None if none may."""
    found: dict[str, datetime] = {}
    for way in turn.progress.servers:
        ends = [kept_out_until(way, turn.now), *(_node_lands_until(turn, way, n) for n in way.nodes)]
        known = [at for at in ends if at is not None]
        if known:
            found[way.name] = max(known)
    for lost in turn.progress.images_lost:
        lands_until = lost.at + timedelta(seconds=LATE_S)
        if turn.now <= lands_until:
            found[lost.server_name] = max(found.get(lost.server_name, lands_until), lands_until)
    if not found:
        return None
    until = max(found.values())
    return until, Words(
        f"The run does not end yet: a change of {', '.join(found)} whose answer was lost may still take effect, "
        f"until {until:%H:%M:%S} UTC. It is watched until then, and undone where that is possible.",
        "We watch until a change whose answer was lost can no longer take effect. Nothing for you to do.",
    )


def is_pressing(progress: Progress) -> bool:
    """Return whether the newest look saw the site in danger: probes fail, or load is over the guard."""
    return any(progress.probe_failures.values()) or progress.hot_looks > 0


def add_awaited(turn: Turn, way: ServerWay) -> bool:
    """Wait, with a server that is gone, for an add of its node that may still land: nobody else would take it out."""
    until = looks.add_lands_until(way, turn.now)
    if until is None:
        return False
    words = Words(
        f"{way.name} is gone. A change that puts its node back into a balancer did not show, and may still take "
        f"effect until {until:%H:%M:%S} UTC: it is watched until then.",
        f"{way.name} is gone. We watch until a change whose answer was lost can no longer take effect.",
    )
    turn.tell(way, words, until)
    return turn.wait("late_change", words, until=until, look_again_s=LOOK_RESTING_S)


def site_needs_it(turn: Turn) -> bool:
    """Return whether the site is in danger with the servers that serve now."""
    return is_pressing(turn.progress) or bool(
        looks.floor_breaks(turn.plan, turn.progress, turn.observation, turn.now)
    )


def is_in_danger(turn: Turn) -> bool:
    """Whether the site is not well, so that people are woken: checks fail, servers carry more than they can, or none serves.

    Each of the first two in two looks running: one slow request wakes nobody, nor does load over the guard alone, by which
    what is out comes back (spec, *When it halts*).
    """
    fails = any(count >= 2 for count in turn.progress.probe_failures.values())
    broken = looks.floor_breaks(turn.plan, turn.progress, turn.observation, turn.now)
    return (
        fails
        or any(count == 0 for _, count in broken)
        or (
            turn.progress.hot_looks >= 2
            and looks.is_over_ceiling(turn.plan, turn.progress, turn.observation, turn.now)
        )
    )


def rank_of(turn: Turn) -> HaltRank:
    """Return how grave a halt for the site's sake is, as it is now."""
    return HaltRank.SITE_IN_DANGER if is_in_danger(turn) else HaltRank.DECIDE_TODAY


def stays_out(name: str, until: datetime, what: str = "deletion") -> Words:
    """A server that is kept out because its deletion, or its stop, may still land."""
    return Words(
        f"A {what} of {name} did not show in time, and may still take effect until {until:%H:%M:%S} UTC. "
        f"Until then {name} stays out of the pool, unless the site is in danger without it.",
        f"{name} stays out of service until it is certain what became of its {what}.",
    )


def why_it_stays_out(turn: Turn, way: ServerWay, until: datetime) -> Words:
    """Say which change that may still land keeps a server from going back on a calm site."""
    if kept_out_until(way, turn.now) is None:
        return removal_stays_out(way.name, until)
    return stays_out(way.name, until, "stop" if delete_lands_until(way, turn.now) is None else "deletion")


def removal_stays_out(name: str, until: datetime) -> Words:
    """A server that stays drained because its removal may still land: whoever came back would be cut by it."""
    return Words(
        f"The removal of {name} did not show, but may still take effect until {until:%H:%M:%S} UTC. "
        f"Until then {name} takes no new connections, unless the site is in danger without it.",
        f"{name} takes no new visitors until it is certain what became of its removal.",
    )


def say_risk(turn: Turn, way: ServerWay) -> None:
    """Say, where a server is put back because the site needs it, that its deletion may still land."""
    until = delete_lands_until(way, turn.now)
    if until is None and (stops_until := stop_lands_until(way, turn.now)) is not None:
        words = Words(
            f"{way.name} is put back because the site needs it, although its stop may still take effect until "
            f"{stops_until:%H:%M:%S} UTC: it is started again then.",
            f"{way.name} goes back into service because your site needs it. We watch it closely.",
        )
        turn.note("stop_may_still_land", words, way.server_id, until=stops_until.isoformat())
    if until is None:
        return
    words = Words(
        f"{way.name} is put back because the site needs it, although its deletion may still take effect until "
        f"{until:%H:%M:%S} UTC: it may be gone at any moment until then.",
        f"{way.name} goes back into service because your site needs it. We watch it closely.",
    )
    turn.note("delete_may_still_land", words, way.server_id, until=until.isoformat())
