"""Are answers slower than they should be: held against the stretch before, and the same hour of other days. Pure.

More load and a little more latency per node is expected when servers leave. What the load explains comes from
baselines at several loads, else from the ceiling and the latency that the site promises at it. Only what is slower
than that by more than the plan allows, and surely so, counts against a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from capacity import stats
from scaledown.progress import BeforeWay, Progress, SoakWay
from scaledown.types import PlanData, PlannedBaseline

ALPHA_OF_A_RUN = 0.005
"""The chance that a whole run on unchanged traffic finds one of its comparisons worse, at most."""
MUST_SEE = 1.0
"""A sample in which answers twice as slow would go unseen is too small to pass on (or twice what is allowed, if more)."""
LOOKS_A_SERVER = 2
"""A server is judged after its soak and again before its delete."""
KINDS_OF_COMPARISON = 5
"""The stretch before; median and 95 of 100 of a day and of a week earlier."""
SAME_HOUR = timedelta(minutes=30)
EARLIER = {
    "the same hour a day earlier": timedelta(days=1),
    "the same hour a week earlier": timedelta(days=7),
}
BEFORE = "before the first server"


@dataclass(frozen=True)
class Comparison:
    """One probe held against one thing. Latencies in ms, shares 0 to 1, None is *not known*.

    `allowed` is the share by which it may be slower beyond `predicted`, what the load explains. `is_worse`: surely
    slower than both. `smallest_seen` is the smallest share that would be seen with 95 % certainty, `needed` how many
    looks it takes to see `must_see`; None: no number is enough.
    """

    probe: str
    against: str
    looks: int
    median_ms: float
    was_ms: float
    slower_by: float
    predicted: float
    allowed: float
    is_worse: bool
    chance: float
    effect: float | None = None
    smallest_seen: float | None = None
    must_see: float | None = None
    needed: int | None = None

    @property
    def is_too_small(self) -> bool:
        """Whether the sample is smaller than what it takes to see what must be seen."""
        return self.must_see is not None and (self.needed is None or self.looks < self.needed)

    def numbers(self) -> dict[str, Any]:
        """Return it for journal and report."""
        found = {
            name: float(f"{value:.4g}") if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }
        return found | {"is_too_small": self.is_too_small}


def alpha_of(plan: PlanData) -> float:
    """Return the chance of a mistake that one comparison may have, so that those of a run stay under its own."""
    many = max(1, len(plan.servers)) * LOOKS_A_SERVER * max(1, len(plan.probes)) * KINDS_OF_COMPARISON
    return ALPHA_OF_A_RUN / many


def must_see(plan: PlanData) -> float:
    """Return the share of slowness that a sample must be able to show."""
    return max(MUST_SEE, 2.0 * (plan.slower_allowed or 0.0))


def mean_load(way: BeforeWay | SoakWay | None) -> float | None:
    """Return the mean load per node of a stretch; None if it was never known."""
    return way.load_sum / way.load_looks if way is not None and way.load_looks else None


def share_of_before(plan: PlanData, progress: Progress) -> float | None:
    """Return present traffic of the pool as a share of that before the first server; None where either is not known."""
    was, pool = mean_load(progress.before), progress.pool_load
    servers = len(plan.servers) + len(plan.remaining)
    return None if not was or pool is None else pool / (was * servers)


def has_enough(plan: PlanData, latency_ms: Mapping[str, Sequence[float]]) -> bool:
    """Return whether a stretch before has as many answers of each probe as it takes to see what must be seen."""
    for probe in plan.probes:
        sample = latency_ms.get(probe.name, ())
        if not _shows(plan, sample, len(sample)):
            return False
    return True


def _shows(plan: PlanData, before: Sequence[float], after: int) -> bool:
    """Return whether so many later answers, held against these, show what must be seen."""
    if not before:
        return False
    return stats.shows(
        before,
        1.0 + must_see(plan),
        plan.slower_allowed or 0.0,
        before=len(before),
        after=after,
        alpha=alpha_of(plan),
    )


def compare(plan: PlanData, before: BeforeWay | None, soak: SoakWay, now: datetime) -> tuple[Comparison, ...]:
    """Return every comparison that can be made; none where the plan judges no latency or nothing is known to compare."""
    if plan.slower_allowed is None:
        return ()
    return tuple(
        found
        for probe in plan.probes
        if soak.latency_ms.get(probe.name)
        for found in (
            *_with_before(plan, before, soak, probe.name),
            *_with_earlier(plan, before, soak, probe.name, now),
        )
    )


def _with_before(plan: PlanData, before: BeforeWay | None, soak: SoakWay, probe: str) -> Iterable[Comparison]:
    was = () if before is None else before.latency_ms.get(probe, ())
    if not was:
        return
    after = soak.latency_ms[probe]
    allowed, alpha = plan.slower_allowed or 0.0, alpha_of(plan)
    predicted = predicted_factor(plan, probe, mean_load(before), mean_load(soak), was)
    expected = [value * predicted for value in was]
    test = stats.rank_test([value * (1.0 + allowed) for value in expected], after)
    yield Comparison(
        probe=probe,
        against=BEFORE,
        looks=len(after),
        median_ms=median(after),
        was_ms=median(was),
        slower_by=stats.slower_by(was, after),
        predicted=predicted - 1.0,
        allowed=allowed,
        is_worse=stats.is_beyond(expected, after, allowed, alpha=alpha) is not None,
        chance=test.p_larger,
        effect=stats.rank_test(was, after).delta,
        smallest_seen=stats.smallest_shift(was, allowed, after=len(after), alpha=alpha),
        must_see=must_see(plan),
        needed=stats.needed_after(was, allowed, must_see(plan), alpha=alpha),
    )


def _with_earlier(
    plan: PlanData, before: BeforeWay | None, soak: SoakWay, probe: str, now: datetime
) -> Iterable[Comparison]:
    after, allowed = soak.latency_ms[probe], plan.slower_allowed or 0.0
    for against, ago in EARLIER.items():
        base = same_hour(plan, probe, now - ago)
        if base is None:
            continue
        # Before the first server the pool was as large as on those days: its load stands in where theirs is not known.
        was_rps = mean_load(before) if base.load_per_node_rps is None else base.load_per_node_rps
        known_ms = [ms for ms in (base.latency_p95_ms, base.latency_p50_ms) if ms is not None][:1]
        predicted = predicted_factor(plan, probe, was_rps, mean_load(soak), known_ms)
        for limit_ms, share in ((base.latency_p50_ms, 0.5), (base.latency_p95_ms, 0.05)):
            if limit_ms is None:
                continue
            most_ms = limit_ms * predicted * (1.0 + allowed)
            chance = stats.chance_of_so_many(sum(value > most_ms for value in after), len(after), share)
            value_ms = sorted(after)[max(0, math.ceil(len(after) * (1.0 - share)) - 1)]
            yield Comparison(
                probe=probe,
                against=against if share == 0.5 else f"{against}, 95 of 100 answers",
                looks=len(after),
                median_ms=value_ms,
                was_ms=limit_ms,
                slower_by=value_ms / limit_ms - 1.0,
                predicted=predicted - 1.0,
                allowed=allowed,
                is_worse=chance < alpha_of(plan),
                chance=chance,
            )


def same_hour(plan: PlanData, probe: str, at: datetime) -> PlannedBaseline | None:
    """Return the baseline of a probe that was measured nearest to `at`, within half an hour; None if none was."""
    near = [one for one in _baselines(plan, probe) if abs(one.measured_at - at) <= SAME_HOUR]
    return min(near, key=lambda one: abs(one.measured_at - at), default=None)


def _baselines(plan: PlanData, probe: str) -> list[PlannedBaseline]:
    is_only = len(plan.probes) == 1
    return [one for one in plan.baselines if one.probe == probe or (not one.probe and is_only)]


def predicted_factor(
    plan: PlanData, probe: str, was_rps: float | None, is_rps: float | None, was_ms: Sequence[float]
) -> float:
    """Return by which factor more load per node explains slower answers; 1 where nothing explains them, never less.

    With baselines at two loads or more: their medians, straight between them and level beyond. Else with ceiling and
    promised latency: that of one queue, whose 1/latency falls straight with the load, from what was measured
    to what is promised at the ceiling.
    """
    if was_rps is None or is_rps is None or is_rps <= was_rps:
        return 1.0
    points = sorted(
        (one.load_per_node_rps, one.latency_p50_ms)
        for one in _baselines(plan, probe)
        if one.load_per_node_rps is not None and one.latency_p50_ms is not None
    )
    if len({load for load, _ in points}) > 1:
        return max(1.0, _between(points, is_rps) / _between(points, was_rps))
    promised = plan.objective
    if plan.ceiling_rps is None or promised is None or promised.latency_ms is None or not was_ms:
        return 1.0
    ordered = sorted(was_ms)
    from_ms = ordered[max(0, math.ceil(len(ordered) * promised.latency_share) - 1)]
    limits = [p.latency_limit_ms for p in plan.probes if p.name == probe and p.latency_limit_ms is not None]
    to_ms = min([promised.latency_ms, *limits])
    if plan.ceiling_rps <= was_rps or to_ms <= from_ms:
        return 1.0
    way = min(1.0, (is_rps - was_rps) / (plan.ceiling_rps - was_rps))
    return 1.0 / (1.0 + way * (from_ms / to_ms - 1.0))


def _between(points: Sequence[tuple[float, float]], load: float) -> float:
    below = [point for point in points if point[0] <= load]
    above = [point for point in points if point[0] >= load]
    if not below:
        return above[0][1]
    if not above:
        return below[-1][1]
    (x0, y0), (x1, y1) = below[-1], above[0]
    return y0 if x1 == x0 else y0 + (y1 - y0) * (load - x0) / (x1 - x0)


def looks_missing(plan: PlanData, before: BeforeWay | None, soak: SoakWay) -> int:
    """Return how many more looks a soak needs of the probe that lacks most; 0 where it has enough, or nothing helps."""
    if plan.slower_allowed is None or before is None:
        return 0
    missing = 0
    for probe in plan.probes:
        was = before.latency_ms.get(probe.name, ())
        if _shows(plan, was, len(soak.latency_ms.get(probe.name, ()))):
            continue
        needed = stats.needed_after(was, plan.slower_allowed, must_see(plan), alpha=alpha_of(plan))
        if needed is not None:  # else no number is enough, and the verdict says so
            missing = max(missing, needed - len(soak.latency_ms.get(probe.name, ())))
    return missing
