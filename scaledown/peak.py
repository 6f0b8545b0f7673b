"""The peak watch: after its last server a run stays open until the next peak has passed at the new size. Pure.

What is watched stays watched as ever (probes, load, floor, other hands): here is what the report says of it, and how vital
figures are judged meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from portal.frozen import replace
from portal.runs.types import RunStatus
from scaledown import looks, wording
from scaledown.comparing import share_of_before
from scaledown.progress import ProbeCounts, Progress, VitalWay, WatchWay
from scaledown.turn import Turn
from scaledown.types import Phase, PlanData
from scaledown.vital import VitalCompared, compare_in_watch, customer_says_low, says_low
from scaledown.wording import Words

LOOK_PEAK_S = 10.0
WATCH_GAP_S = 60.0
"""Looks further apart than this leave a part of the peak unwatched."""
VITAL_EVERY_S = 300.0
"""How often vital figures are judged: their samples come by the minute, and each judgement has its chance of a mistake."""
_ON_ITS_WAY = frozenset(
    {Phase.QUEUED, Phase.DRAINING, Phase.REMOVING, Phase.VERIFYING, Phase.RECREATING, Phase.JOINING}
)


def is_watching(progress: Progress) -> bool:
    """Return whether the run stays open for nothing but the peak."""
    watch = progress.watch
    is_open = watch is not None and watch.open_since is not None and watch.ended_at is None
    return is_open and all(way.phase.is_final and way.put_back is None for way in progress.servers)


def servers_out(progress: Progress) -> int | None:
    """Return how many servers are out for good or held; None while one is on its way in or out."""
    if any(way.phase in _ON_ITS_WAY or way.put_back is not None for way in progress.servers):
        return None
    return sum(not way.phase.is_staying for way in progress.servers)


def is_due(turn: Turn) -> bool:
    """Return whether this run, with nothing left to do, is to stay open for a peak that is yet to come."""
    until, watch = turn.plan.watch_until, turn.progress.watch
    is_to_come = until is not None and turn.now < until and (watch is None or watch.ended_at is None)
    return is_to_come and not turn.people.is_rehearsal and bool(servers_out(turn.progress))


def notice_peak(turn: Turn) -> None:
    """Add this look to the watch; begin one where the pool has come to its new size, end it when the peak is over."""
    until, watch = turn.plan.watch_until, turn.progress.watch
    if until is None or turn.progress.started_at is None or turn.people.is_rehearsal:
        return
    if watch is not None and watch.ended_at is not None:
        return
    out = servers_out(turn.progress)
    if not out:
        if watch is not None:
            turn.change(watch=None)  # another size: what was seen says nothing of it
        return
    if watch is None or watch.out != out:
        if turn.now >= until:
            if watch is not None:
                turn.change(watch=None)
            return
        watch = WatchWay(turn.now, until, out, looked_at=turn.now)
    watch = _with_vital(turn, _with_load(turn, _with_probes(turn, _with_time(turn, watch))))
    turn.change(watch=watch)
    if turn.now >= until:
        end_watch(turn)


def _with_time(turn: Turn, watch: WatchWay) -> WatchWay:
    gap_s = turn.age_s(watch.looked_at or watch.since)
    missed_s = gap_s if gap_s > WATCH_GAP_S else 0.0
    return replace(watch, looked_at=turn.now, unwatched_s=watch.unwatched_s + missed_s)


def _with_probes(turn: Turn, watch: WatchWay) -> WatchWay:
    counts, newest = watch.probes, watch.probed_at
    first, last = watch.failed_first_at, watch.failed_last_at
    for probe in turn.observation.probes:
        if probe.observed_at < watch.since or (watch.probed_at and probe.observed_at <= watch.probed_at):
            continue
        newest = probe.observed_at if newest is None else max(newest, probe.observed_at)
        has_failed = probe.ok is False and not probe.is_slow
        counts = ProbeCounts(
            counts.ok + (probe.ok is True),
            counts.failed + has_failed,
            counts.slow + probe.is_slow,
            counts.unknown + (probe.ok is None),
        )
        if has_failed:
            first, last = first or probe.observed_at, probe.observed_at
    return replace(watch, probes=counts, probed_at=newest, failed_first_at=first, failed_last_at=last)


def _with_load(turn: Turn, watch: WatchWay) -> WatchWay:
    load_at = turn.progress.load_at
    if load_at is None or load_at < watch.since or load_at == watch.load_at:
        return watch
    pool, mean = looks.pool_load(turn.plan, turn.progress, turn.observation, turn.now)
    if pool is None or mean is None:
        return watch
    watch = replace(watch, load_at=load_at, pool_highest=max(pool, watch.pool_highest or 0.0))
    if watch.node_highest is None or mean > watch.node_highest:
        watch = replace(watch, node_highest=mean, node_highest_at=load_at)
    return watch


def _with_vital(turn: Turn, watch: WatchWay) -> WatchWay:
    plan = turn.plan
    if not plan.vital:
        return watch
    if turn.status is not RunStatus.RUNNING and not any(
        w.phase.is_out_and_alive for w in turn.progress.servers
    ):
        # Nothing can be put back, and a person knows: what is judged begins anew when the run goes on.
        return replace(watch, vital_at=turn.now, vital_since=turn.now)
    if turn.observation.vital_watch is None:
        return watch
    judgements = math.ceil((watch.until - watch.since).total_seconds() / VITAL_EVERY_S)
    share = share_of_before(plan, turn.progress)
    found = compare_in_watch(plan, turn.observation.vital_watch, share, judgements)
    before = {one.name: one for one in watch.vital}
    ways = tuple(_added(before.get(one.name), one, turn.now) for one in found)
    watch = replace(watch, vital=ways, vital_at=turn.now)
    fallen = [one for one in found if one.is_worse]
    if not fallen:
        return watch
    return replace(
        watch,
        fallen_at=turn.now,
        fallen_says=" ".join(says_low(one) for one in fallen),
        fallen_customer_says=" ".join(customer_says_low(one.name) for one in fallen),
        vital_since=turn.now,
    )


def _added(way: VitalWay | None, one: VitalCompared, at: datetime) -> VitalWay:
    way = way or VitalWay(one.name, {})
    way = replace(way, numbers=one.numbers(), looked=way.looked + 1)
    if (one.is_too_small and not one.is_worse) or one.fallen_by is None:
        return way
    way = replace(way, judged=way.judged + 1)
    if way.fallen_most is None or one.fallen_by > way.fallen_most:
        way = replace(way, fallen_most=one.fallen_by, fallen_most_at=at)
    return way


def fallen_now(turn: Turn) -> Words | None:
    """Return which vital figures this very look found surely lower than they may be; None where none."""
    watch = turn.progress.watch
    if watch is None or watch.fallen_at != turn.now:
        return None
    return Words(watch.fallen_says, watch.fallen_customer_says)


def stay_open(turn: Turn) -> WatchWay | None:
    """Let a run that is through be open for the peak from now on; None where there is none to watch."""
    if turn.progress.watch is None:
        # Who finished here left the last ones in the pool in this very turn: only now it is at its new size.
        notice_peak(turn)
    watch = turn.progress.watch
    if watch is None or watch.ended_at is not None:
        return None
    if watch.open_since is None:
        watch = replace(watch, open_since=turn.now)
        turn.change(watch=watch)
        turn.note("peak_watch_begun", wording.watching_peak(watch.until), until=watch.until.isoformat())
    return watch


def awaits_peak(turn: Turn) -> bool:
    """Keep a run that is through open until the peak is over. Settles the tick while it is not."""
    watch = stay_open(turn)
    if watch is None:
        return False
    words = wording.watching_peak(watch.until)
    return turn.wait("peak_watch", words, until=watch.until, look_again_s=LOOK_PEAK_S)


def end_watch(turn: Turn, early: str = "") -> None:
    """Close the watch, and journal how the peak went; `early` says who ended it before it was over."""
    watch = turn.progress.watch
    if watch is None or watch.ended_at is not None:
        return
    watch = replace(watch, ended_at=turn.now, ended_early=early)
    turn.change(watch=watch)
    turn.note("peak_watch_over", peak_seen(turn.plan, watch), early=bool(early), **figures(watch))


def figures(watch: WatchWay) -> dict[str, Any]:
    """Return what was seen, for the journal and the outbox. Requests per second, shares 0 to 1; None is unknown."""
    return {
        "node_highest_rps": watch.node_highest,
        "pool_highest_rps": watch.pool_highest,
        "probes_known": watch.probes.known,
        "probes_failed": watch.probes.failed,
        "vital_fallen_most": max(
            (one.fallen_most for one in watch.vital if one.fallen_most is not None), default=None
        ),
    }


def state_of(progress: Progress, status: RunStatus) -> str:
    """Return where the watch stands: watching, over, ended_early, unfinished (the run ended before), or none."""
    watch = progress.watch
    if watch is None:
        return "none"
    if watch.ended_at is not None:
        return "ended_early" if watch.ended_early else "over"
    return "unfinished" if status.is_over else "watching"


def peak_seen(plan: PlanData, watch: WatchWay) -> Words:
    """How the peak went at the new size, so far as it was watched. What was not known is said to be so."""
    load, customer_load = _peak_load(plan, watch)
    checks = " ".join([*_peak_vital(plan, watch), _peak_checks(watch)])
    gap = f" For {wording.seconds(watch.unwatched_s)} of the time nobody looked." if watch.unwatched_s else ""
    if watch.ended_early:
        says = f"The peak watch was ended before the peak was over. {watch.ended_early}"
        return Words(
            f"{says} Until then: {load} {checks}{gap}",
            f"We stopped watching before the peak was over. Until then: {customer_load} {checks}{gap}",
        )
    if watch.ended_at is None:
        return Words(f"So far: {load} {checks}{gap}", f"So far: {customer_load} {checks}{gap}")
    return Words(
        f"The peak has passed at the new size. {load} {checks}{gap}",
        f"Your site went through its peak at the new size. {customer_load} {checks}{gap}",
    )


def _peak_load(plan: PlanData, watch: WatchWay) -> tuple[str, str]:
    if watch.node_highest is None or watch.node_highest_at is None:
        unknown = "What each server carried is not known."
        return unknown, unknown
    at = wording.clock(watch.node_highest_at)
    most = f"servers carried at most {watch.node_highest:.1f} requests/s each, in the mean ({at})"
    share = f"{watch.node_highest / plan.ceiling_rps:.0%} of the" if plan.ceiling_rps else ""
    of_forecast = ""
    if plan.forecast_peak_rps and watch.pool_highest is not None:
        of_forecast = f"; the pool had {watch.pool_highest / plan.forecast_peak_rps:.0%} of the forecast peak"
    of = f", {share} ceiling" if share else ""
    of_customer = f", {share} most that one carries" if share else ""
    return (
        f"{most[:1].upper()}{most[1:]}{of}{of_forecast}.",
        f"{most[:1].upper()}{most[1:]}{of_customer}.",
    )


def _peak_vital(plan: PlanData, watch: WatchWay) -> Iterable[str]:
    ways = {way.name: way for way in watch.vital}
    for figure in plan.vital:
        way = ways.get(figure.name)
        if way is None or not way.looked:
            yield f"{figure.name} was not looked at{' yet' if watch.ended_at is None else ''}."
        elif way.fallen_most is None or way.fallen_most_at is None:
            yield f"Too few samples of {figure.name} came to tell."
        elif way.fallen_most <= 0.005:
            yield f"{figure.name} was never lower than to be expected."
        else:
            at = wording.clock(way.fallen_most_at)
            yield (
                f"{figure.name} was at most {way.fallen_most:.0%} lower than to be expected ({at}; "
                f"{plan.vital_fall_allowed:.0%} are allowed)."
            )


def _peak_checks(watch: WatchWay) -> str:
    known = watch.probes.known
    if not known:
        return "No check of the site could be made."
    if not watch.probes.failed or watch.failed_first_at is None or watch.failed_last_at is None:
        good = (
            "The one check of the site was answered"
            if known == 1
            else f"All {known} checks of the site were answered"
        )
        return f"{good}."
    first, last = wording.clock(watch.failed_first_at), wording.clock(watch.failed_last_at)
    when = first if first == last else f"{first} to {last}"
    return f"{watch.probes.failed} of {known} checks of the site failed ({when})."


def no_peak_watched(reason: str) -> Words:
    return Words(
        f"No peak was watched. {reason}".strip(), f"We did not watch a peak of your site. {reason}".strip()
    )
