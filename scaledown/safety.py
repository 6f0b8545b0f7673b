"""The judges that come first: is the pool seen, does traffic need more servers, does the floor hold. Pure."""

from __future__ import annotations

from portal.runs.types import HaltRank, RunStatus
from scaledown import late, looks, wording
from scaledown.peak import fallen_now
from scaledown.preflight import not_as_approved
from scaledown.put_backs import back_under_way, out_newest_first, put_backs
from scaledown.stops import mark_others_back
from scaledown.turn import LOOK_RESTING_S, Turn
from scaledown.types import Phase

LOST_SIGHT_S = 300.0


def blind(turn: Turn) -> bool:
    """Without a complete fresh look at the pool nothing is judged, and nothing is sent but putting back."""
    missing = sorted(set(turn.plan.balancer_ids) & turn.gone_balancers)
    if missing and not turn.progress.aborting:
        if turn.status is RunStatus.SCHEDULED:
            return not_as_approved(turn, f"Load balancer {', '.join(missing)} no longer exists.")
        if turn.status is not RunStatus.HALTED:
            return turn.halt(
                "balancer_gone",
                HaltRank.SITE_IN_DANGER,
                wording.balancer_gone(", ".join(missing)),
                ("abort",),
            )
    unseen = [b for b in looks.unseen(turn.plan, turn.observation, turn.now) if b not in missing]
    if not unseen:
        return False
    if turn.progress.started_at is not None:
        mark_others_back(turn)
        if (rising_traffic(turn) or put_backs(turn)) and turn.action:
            return True  # what the site needs, and what has to go back, goes where the pool is seen
    names = ", ".join(unseen)
    since_s = turn.age_s(turn.progress.sighted_at)
    if since_s > LOST_SIGHT_S and turn.status is not RunStatus.HALTED:
        return turn.halt("lost_sight", HaltRank.DECIDE_TODAY, wording.lost_sight(names))
    return turn.wait("sight", wording.blind(names, since_s), look_again_s=LOOK_RESTING_S)


def _danger(turn: Turn) -> str:
    """Return why traffic needs more servers, seen in two looks running, or ""."""
    failing = sorted(name for name, count in turn.progress.probe_failures.items() if count >= 2)
    if failing:
        return f"Probes fail: {', '.join(failing)}."
    if turn.progress.hot_looks >= 2:
        is_over = looks.is_over_ceiling(turn.plan, turn.progress, turn.observation, turn.now)
        most = turn.plan.ceiling_rps if is_over else looks.guard_rps(turn.plan)
        of = ", the most that one carries" if is_over else ""
        return f"Each node carries more than {most:.1f} requests/s{of}." if most else ""
    return ""


def rising_traffic(turn: Turn) -> bool:
    """Put servers back by itself when traffic needs them, then halt. Looked at in every status."""
    if turn.progress.started_at is None:
        return False
    fallen = fallen_now(turn)
    why = _danger(turn) or ("" if fallen is None else fallen.says)
    if not why:
        return False
    out = out_newest_first(turn)
    rank = late.rank_of(turn) if fallen is None else HaltRank.SITE_IN_DANGER
    if not out and (back_under_way(turn) or turn.status is not RunStatus.RUNNING):
        return _got_worse(turn, rank, why)
    names = ", ".join(way.name for way in out)
    if out and out[0].phase is Phase.VERIFYING:
        code, words = "traffic_not_keeping_up", wording.not_keeping_up(out[0].name, why)
    elif fallen is not None and why == fallen.says:
        code, words = "traffic_not_keeping_up", wording.fallen_in_watch(fallen, names)
    else:
        code, words = "traffic_rising", wording.rising(why, names)
    if not out:
        return turn.halt(code, rank, words)
    for way in out:
        late.say_risk(turn, way)
        turn.send_back(way, Phase.RESTORED, wording.putting_back(way.name, why))
    turn.halt(code, rank, words)
    return put_backs(turn)


FOR_THE_SITE = frozenset({"traffic_rising", "traffic_not_keeping_up", "floor_broken"})


def _got_worse(turn: Turn, rank: HaltRank, why: str) -> bool:
    """Say of a run that halted for the site, or is putting back, that the site is in danger by now: people are woken."""
    standing = turn.halt_in_force
    if standing is None or rank is not HaltRank.SITE_IN_DANGER or standing.rank is rank:
        return False
    if standing.code not in FOR_THE_SITE and not back_under_way(turn):
        return False
    turn.halt(standing.code, rank, wording.worse_by_now(standing.says, why), standing.next_commands)
    return put_backs(turn)


def broken_floor(turn: Turn) -> bool:
    """Put servers back by itself when fewer than the floor serve, then halt (invariant 2)."""
    if turn.progress.started_at is None:
        return False
    broken = looks.floor_breaks(turn.plan, turn.progress, turn.observation, turn.now)
    if not broken:
        return False
    balancer_id, count = broken[0]
    name = turn.observation.balancers[balancer_id].name
    out = out_newest_first(turn)
    if not out and (back_under_way(turn) or turn.status is not RunStatus.RUNNING):
        return False
    for way in out:
        late.say_risk(turn, way)
        turn.send_back(
            way, Phase.RESTORED, wording.putting_back(way.name, f"Only {count} servers serve on {name}.")
        )
    rank = late.rank_of(turn)
    names = ", ".join(way.name for way in out)
    turn.halt("floor_broken", rank, wording.floor_broken(name, count, turn.plan.floor, names))
    return put_backs(turn) if out else True


def unknown_load(turn: Turn) -> bool:
    """Halt where rising traffic could go unseen while a server of ours is out. Put-backs come first."""
    progress = turn.progress
    names = looks.load_unknown(turn.plan, progress, turn.observation, turn.now)
    if not names or progress.started_at is None or progress.aborting:
        return False
    words = wording.load_unknown(names, turn.age_s(progress.load_unknown_since))
    standing = turn.halt_in_force
    if standing is None:
        return turn.halt("load_unknown", HaltRank.DECIDE_TODAY, words)
    if standing.code != "load_unknown" and "load_unknown" not in progress.told_beside_halt:
        # What is asked at the standing halt stays asked; that the guard is blind is said beside it.
        turn.change(told_beside_halt=(*progress.told_beside_halt, "load_unknown"))
        turn.note("also_halted", words, code="load_unknown")
    return False
