"""Whether a server that left the pool is silent: nobody may reach it past the load balancers any more. Pure.

Its own status page tells, by open connections and by a counter of requests; our own looks are taken off. Unknown is
not silent. Who comes past a balancer (DNS, a partner, a hard-wired address) is cut by a stop and by a deletion.
"""

from __future__ import annotations

import math
from datetime import datetime

from portal.frozen import replace
from portal.runs.types import HaltRank
from scaledown import wording
from scaledown.progress import OwnTraffic, ServerWay
from scaledown.turn import FIRST_LOOK_S, LOOK_S, Turn
from scaledown.types import CountSeen, Phase, PlanData, PlannedServer, ServerSeen

SILENT_RPS = 0.2
"""Up to this many requests per second are silence: monitors look at a server, too."""
SMOOTHED_S = 10.0
"""Over how long the rate is smoothed, so that one request is no traffic."""
EVERY_S = 3.0
FRESH_S = 15.0
FEWEST_ZEROS = 2
NOISE_S = 60.0
"""A server that was not silent for this long does not become so by itself: a person decides."""
UNKNOWN_S = 300.0
"""How long it is waited for figures that cannot be read; a person decides then."""
LISTENED = frozenset({Phase.VERIFYING, Phase.HELD, Phase.IMAGING})


def notice_own_traffic(turn: Turn) -> None:
    """Take in what servers that left the pool still carry by themselves."""
    for way in turn.progress.servers:
        count = turn.observation.counts.get(way.server_id)
        if count is None or way.phase not in LISTENED or way.left_at is None or way.put_back is not None:
            continue
        if count.observed_at >= way.left_at:
            turn.update(way, own=heard(way.own or OwnTraffic(), count))


def heard(own: OwnTraffic, count: CountSeen) -> OwnTraffic:
    """Return what is known of a server's own traffic after one more look at its status page."""
    at, open_now, total = count.observed_at, count.connections, count.requests_total
    if open_now is None:
        return replace(
            own,
            at=None,
            total=None,
            rps=None,
            zeros=0,
            problem=count.problem or "no answer",
            unknown_since=own.unknown_since or at,
        )
    gap_s = math.inf if own.at is None else (at - own.at).total_seconds()
    if -EVERY_S < gap_s <= 0.0:
        return own
    asked = own.asked + 1
    if 0.0 < gap_s < EVERY_S:
        return replace(own, asked=asked, connections=open_now, zeros=0 if open_now else own.zeros)
    is_first = not 0.0 < gap_s <= FRESH_S  # a clock that was set back begins anew, too
    rps, problem = None, ""
    if not is_first and own.total is not None and total is not None and total >= own.total:
        rps = max(0, total - own.total - asked) / gap_s
        if own.rps is not None:
            rps += (own.rps - rps) * math.exp(-gap_s / SMOOTHED_S)
        if total == own.total:
            rps, problem = None, "its figures stand still although it was asked"
    zeros = 0 if open_now else 1 if is_first else own.zeros + 1
    is_noisy = open_now > 0 or (rps is not None and rps > SILENT_RPS)
    is_silent = zeros >= FEWEST_ZEROS and not is_noisy and (rps is not None or total is None)
    return replace(
        own,
        at=at,
        total=total,
        asked=0,
        rps=rps,
        connections=open_now,
        zeros=zeros,
        problem=problem,
        is_silent=is_silent,
        noisy_since=(own.noisy_since or at) if is_noisy else None if is_silent else own.noisy_since,
        unknown_since=None if is_noisy or is_silent else own.unknown_since or at,
    )


def is_due(way: ServerWay, now: datetime) -> bool:
    """Whether a server that left the pool is to be listened to again."""
    if way.phase not in LISTENED or way.left_at is None or way.put_back is not None:
        return False
    own = way.own
    return own is None or (own.at is not None and not 0 <= (now - own.at).total_seconds() < EVERY_S)


def is_awaited(way: ServerWay, now: datetime) -> bool:
    """Whether a server is not silent yet as far as known, and is not to be listened to again before a while."""
    own = way.own
    return way.phase in LISTENED and own is not None and not own.is_silent and not is_due(way, now)


def look_again_s(way: ServerWay, now: datetime) -> float:
    """Return in how many seconds a server that is waited for is to be listened to again."""
    own = way.own
    if own is None:
        return FIRST_LOOK_S
    if own.at is None:
        return LOOK_S
    return min(LOOK_S, max(FIRST_LOOK_S, EVERY_S - (now - own.at).total_seconds()))


def not_silent(
    plan: PlanData, planned: PlannedServer, way: ServerWay, seen: ServerSeen, now: datetime
) -> tuple[str, bool] | None:
    """Return why a server may not be cut off for what it carries itself, and whether that may pass by itself.

    None: it is silent, it is off, or nothing can count it (the plan then proposes to stop it first; who approves it without that takes the risk).
    """
    is_asked_again = way.delete is not None and way.delete.accepted_at is not None
    if plan.count_kind is None or planned.count_url is None or seen.status == "SHUTOFF" or is_asked_again:
        return None
    own = way.own
    if own is None:
        return f"Whether {way.name} still serves anybody is not known yet.", True
    is_known = own.at is not None and 0 <= (now - own.at).total_seconds() <= FRESH_S and not own.problem
    if is_known and own.is_silent and not own.connections:
        return None
    if own.is_let and _is_let(own):
        return None
    if own.noisy_since is not None and is_known:
        carried = wording.count_of(own.connections or 0)
        rate = "" if own.rps is None else f", {own.rps:.1f} requests/s"
        says = f"{way.name} still serves past the load balancers: {carried} open{rate} besides our own looks."
        return says, (now - own.noisy_since).total_seconds() < NOISE_S
    why = f": {own.problem}" if own.problem else ""
    says = f"Whether {way.name} still serves anybody is not known{why}."
    return says, own.unknown_since is None or (now - own.unknown_since).total_seconds() < UNKNOWN_S


def _is_let(own: OwnTraffic) -> bool:
    """Whether what it carries is no more than twice of what a person let be cut; unknown is what they let as unknown."""
    if own.at is None or own.problem:
        return own.let_connections is None
    most = 2 * (own.let_connections or 0)
    return own.connections <= most and (own.rps or 0.0) <= 2 * (own.let_rps or 0.0) + SILENT_RPS


def let(way: ServerWay) -> OwnTraffic | None:
    """Return what is known once a person lets this server go all the same: what it carries now, and not more."""
    own = way.own
    if own is None or not own.is_asked_about:
        return own
    is_known = own.at is not None and not own.problem
    return replace(
        own,
        is_let=True,
        is_asked_about=False,
        let_connections=own.connections if is_known else None,
        let_rps=own.rps if is_known else None,
    )


def ask_person(turn: Turn, way: ServerWay, says: str) -> bool:
    """Halt: whether a server that is not silent may be cut off is a person's choice, by its name."""
    own = replace(way.own or OwnTraffic(), is_asked_about=True)
    turn.update(way, own=own, by_hand=says)
    return turn.halt(
        "still_serves",
        HaltRank.DECIDE_TODAY,
        wording.still_serves(way.name, says),
        ("accept", "put_back", "resume", "abort", "finish_here"),
    )
