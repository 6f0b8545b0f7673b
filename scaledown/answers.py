"""Keeping the newest answers of probes, and the stretch before the first server. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from portal.frozen import replace
from scaledown import looks, wording
from scaledown.comparing import has_enough
from scaledown.progress import BeforeWay
from scaledown.turn import Turn
from scaledown.types import PlanData, ProbeSeen
from scaledown.waits import TROUBLE_S

ANSWERS_KEPT = 300
"""The newest answers of each probe that are kept: a soak of five minutes."""
SHORTEST_BEFORE_S = 60.0
"""How long the stretch before lasts at least, or as long as a soak where that is shorter."""
LONGEST_BEFORE_S = 300.0
"""How long it lasts at most. Where it shows too little even then, verdicts say so."""
FEWEST_BEFORE = 10


def with_answer(
    answers: Mapping[str, tuple[float, ...]], probe: ProbeSeen
) -> Mapping[str, tuple[float, ...]]:
    """Return the answers with this look at a probe: good ones, and right ones that took too long."""
    if probe.latency_ms is None or not (probe.ok or probe.is_slow) or probe.latency_ms <= 0:
        return answers
    kept = (*answers.get(probe.name, ()), round(probe.latency_ms, 2))[-ANSWERS_KEPT:]
    return {**answers, probe.name: kept}


def compares(plan: PlanData) -> bool:
    """Return whether a plan holds answers against those before its first server."""
    return plan.slower_allowed is not None and bool(plan.probes)


def notice_before(turn: Turn) -> None:
    """Record answers and load until the first server begins; nothing is added after that."""
    progress = turn.progress
    if not compares(turn.plan) or progress.started_at is None or progress.preflight_due:
        return
    before = progress.before
    if before is None:
        if _has_begun(turn):
            return  # a run of an earlier release that has begun: what is seen now is no stretch before
        before = BeforeWay(turn.now)
    if before.done_at is not None:
        return
    answers = before.latency_ms
    for probe in turn.observation.probes:
        if probe.observed_at >= before.since:
            answers = with_answer(answers, probe)
    before = replace(before, latency_ms=answers)
    if (
        progress.load_at is not None
        and progress.load_at >= before.since
        and progress.load_at != before.load_at
    ):
        _, mean = looks.pool_load(turn.plan, progress, turn.observation, turn.now)
        if mean is not None:
            before = replace(
                before,
                load_at=progress.load_at,
                load_looks=before.load_looks + 1,
                load_sum=before.load_sum + mean,
            )
    turn.change(before=before)


def awaits_before(turn: Turn) -> bool:
    """Wait, before the first server, for as many answers as later ones can be held against. Settles the tick."""
    before = turn.progress.before
    if not compares(turn.plan) or (before is not None and before.done_at is not None):
        return False
    if before is None:
        # Nothing was noticed yet in this run, or it began with an earlier release.
        return not _has_begun(turn) and _wait(turn, 0)
    if not is_enough(turn.plan, before, turn.age_s(before.since)):
        return _wait(turn, fewest(turn.plan, before))
    # What is waited for next is something else.
    turn.change(before=replace(before, done_at=turn.now), stuck=None)
    return False


def fewest(plan: PlanData, before: BeforeWay) -> int:
    """Return how many answers there are of the probe that has fewest."""
    return min(len(before.latency_ms.get(probe.name, ())) for probe in plan.probes)


def is_enough(plan: PlanData, before: BeforeWay, lasted_s: float) -> bool:
    """Return whether the stretch before may end: long enough, and large enough to hold answers against."""
    if fewest(plan, before) < FEWEST_BEFORE or lasted_s < min(plan.soak_s, SHORTEST_BEFORE_S):
        return False
    return lasted_s >= LONGEST_BEFORE_S or has_enough(plan, before.latency_ms)


def _has_begun(turn: Turn) -> bool:
    return any(way.drain is not None or way.back_from is not None for way in turn.progress.servers)


def _wait(turn: Turn, count: int) -> bool:
    return turn.wait("before", wording.watching_before(count), limit_s=TROUBLE_S)
