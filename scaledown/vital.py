"""Do people still get through: vital figures (orders a minute) held against the hour before the first server. Pure.

Traffic falls at night without anything being wrong, so what a figure should be now is what it was before, times what the
same hours did a day and a week earlier (the lower of both); where no such day is known, times what traffic did. A verdict
never asks for growth, and what those hours have on one of these days is enough: after an event a figure comes down. Only
what is lower than that by more than the plan allows, and surely so, counts: a rank test, as for answers (docs/decisions/0045).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from capacity import stats
from portal.frozen import replace
from scaledown.types import PlanData, PlannedVital, VitalSeen

ALPHA_OF_A_RUN = 0.002
"""The chance that a whole run on unchanged traffic finds one of its vital figures fallen, at most."""
LOOKS_A_SERVER = 2
"""A server is judged after its soak and again before its delete."""
MUST_SEE = 0.5
"""Samples in which half of a figure could be lost unseen are too few to pass on."""
BEYOND_ALLOWED = 0.25
"""Of what a plan lets be left, this share more must be seen to be lost."""
FEWEST_BEFORE = 5
NEWEST_PART = 3
"""A peak watch judges the newest part of its samples, one in so many, as well: what breaks down at once shows there first."""
MOST_EMPTY = 0.1
"""Where more of the samples before are 0, the figure comes too seldom to be judged by the sample."""


@dataclass(frozen=True)
class VitalCompared:
    """One vital figure held against the hour before. Shares 0 to 1, None is *not known*.

    `expected` is what those hours, or traffic, left of it by themselves; `fallen_by` the share that is missing of that.
    `is_worse`: surely lower than allowed; `is_low`: lower than allowed, which may be chance. `smallest_seen` is the
    smallest fall that would be seen with 95 % certainty, `needed` how many samples it takes to see `must_see`.
    """

    name: str
    unit: str
    looks: int
    was: float | None
    median: float | None
    expected: float
    fallen_by: float | None
    allowed: float
    is_worse: bool
    is_low: bool
    chance: float | None
    smallest_seen: float | None
    must_see: float
    needed: int | None

    @property
    def is_missing(self) -> bool:
        """Whether there is no sample of it since the server left."""
        return self.looks == 0

    @property
    def is_too_small(self) -> bool:
        """Whether the samples are fewer than what it takes to see what must be seen."""
        return self.needed is None or self.looks < self.needed

    @property
    def missing(self) -> int:
        """How many more samples are needed; 0 where there are enough, or no number is."""
        return 0 if self.needed is None else max(0, self.needed - self.looks)

    def numbers(self) -> dict[str, Any]:
        """Return it for journal and report."""
        found = {
            name: float(f"{value:.4g}") if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }
        return found | {"is_too_small": self.is_too_small}


def alpha_of(plan: PlanData) -> float:
    """Return the chance of a mistake that one comparison may have, so that those of a run stay under its own."""
    return ALPHA_OF_A_RUN / (max(1, len(plan.servers)) * LOOKS_A_SERVER * max(1, len(plan.vital)))


def alpha_of_watch(plan: PlanData, judgements: int) -> float:
    """Return the same for a peak watch that judges so often, each time all samples and the newest of them."""
    return ALPHA_OF_A_RUN / (2 * max(1, judgements) * max(1, len(plan.vital)))


def must_see(allowed: float) -> float:
    """Return the fall that samples must be able to show."""
    return max(MUST_SEE, 1.0 - (1.0 - allowed) * (1.0 - BEYOND_ALLOWED))


def compare_vital(
    plan: PlanData, seen: Iterable[VitalSeen], traffic: float | None
) -> tuple[VitalCompared, ...]:
    """Return every vital figure of the plan as it is now; `traffic` is present traffic as a share of that before."""
    alpha = alpha_of(plan)
    return tuple(
        _compared(plan, figure, one, expected_share(one, traffic), alpha)
        for figure, one in _by_figure(plan, seen)
    )


def compare_in_watch(
    plan: PlanData, seen: Iterable[VitalSeen], traffic: float | None, judgements: int
) -> tuple[VitalCompared, ...]:
    """Return every vital figure of the plan as it is in a peak watch that judges so often in all.

    It lies lower surely where all samples say so, or the newest of them. At the peak figures are higher than in the hour
    before the first server, so that growth is asked for where both other days had it.
    """
    alpha = alpha_of_watch(plan, judgements)
    return tuple(
        _compared(
            plan,
            figure,
            stretch_of_watch(plan, one, traffic, judgements),
            expected_in_watch(one, traffic),
            alpha,
        )
        for figure, one in _by_figure(plan, seen)
    )


def stretch_of_watch(plan: PlanData, seen: VitalSeen, traffic: float | None, judgements: int) -> VitalSeen:
    """Return the samples that a peak watch judges: all of them, or the newest where only these show that it fell."""
    alpha, expected = alpha_of_watch(plan, judgements), expected_in_watch(seen, traffic)
    newest = replace(seen, now=seen.now[-math.ceil(len(seen.now) / NEWEST_PART) :])
    if not is_fallen(plan, seen, expected, alpha) and is_fallen(plan, newest, expected, alpha):
        return newest
    return seen


def _by_figure(plan: PlanData, seen: Iterable[VitalSeen]) -> Iterable[tuple[PlannedVital, VitalSeen]]:
    by_ref = {one.metric_ref: one for one in seen}
    for figure in plan.vital:
        yield figure, by_ref.get(figure.metric_ref) or VitalSeen(figure.metric_ref, (), (), None)


def _shares(seen: VitalSeen) -> list[float]:
    """Return what each other day had at this hour, as a share of what it had at that of before."""
    return [now / before for before, now in seen.earlier if before > 0.0]


def expected_share(seen: VitalSeen, traffic: float | None) -> float:
    """Return what those hours leave of a figure by themselves: 1 where that is not known, never more."""
    shares = _shares(seen)
    if shares:
        return max(0.0, min(1.0, *shares))
    return 1.0 if traffic is None else max(0.0, min(1.0, traffic))


def expected_in_watch(seen: VitalSeen, traffic: float | None) -> float:
    """Return the same for a peak watch: more than 1 where both other days had more at this hour."""
    shares = _shares(seen)
    return max(0.0, min(shares)) if len(shares) > 1 else expected_share(seen, traffic)


def says_low(one: VitalCompared) -> str:
    """Return the sentence of a figure that is lower than it should be."""
    return (
        f"{one.name} is at {_amount(one.median, one.unit)}; before the first server it was at "
        f"{_amount(one.was, one.unit)}{_left_of(one)}, and {one.allowed:.0%} less is allowed."
    )


def customer_says_low(name: str) -> str:
    return f"{name} is lower than it should be."


def _amount(value: float | None, unit: str) -> str:
    return "an unknown value" if value is None else f"{value:.3g}{f' {unit}' if unit else ''}"


def _left_of(one: VitalCompared) -> str:
    if one.expected > 1.005:
        return f" (these hours have {one.expected:.2g} times that on other days)"
    return "" if one.expected > 0.995 else f" (of which these hours leave {one.expected:.0%})"


def is_fallen(plan: PlanData, seen: VitalSeen, expected: float, alpha: float) -> bool:
    """Return whether a figure is surely lower than what is expected of it by more than allowed."""
    test = _tested(plan, seen, expected)
    is_sure = test is not None and test.p_larger < alpha and test.delta >= stats.SMALLEST_EFFECT
    return is_sure and not _is_usual(plan, seen)


def _tested(plan: PlanData, seen: VitalSeen, expected: float) -> stats.RankTest | None:
    if not seen.before or not seen.now:
        return None
    # In which the samples of before, as low as they may have become, lie above those of now.
    least = [value * expected * (1.0 - plan.vital_fall_allowed) for value in seen.before]
    return stats.rank_test(seen.now, least)


def _is_usual(plan: PlanData, seen: VitalSeen) -> bool:
    """Return whether it is what these hours have on another day: after an event it only comes down to that."""
    if not seen.now:
        return False
    now = median(seen.now)
    return any(now >= there * (1.0 - plan.vital_fall_allowed) for _, there in seen.earlier if there > 0.0)


def _compared(
    plan: PlanData, figure: PlannedVital, seen: VitalSeen, expected: float, alpha: float
) -> VitalCompared:
    allowed = plan.vital_fall_allowed
    was = median(seen.before) if seen.before else None
    now = median(seen.now) if seen.now else None
    test, is_worse = _tested(plan, seen, expected), is_fallen(plan, seen, expected, alpha)
    least = None if was is None else was * expected * (1.0 - allowed)
    is_low = now is not None and least is not None and now < least
    left = (was or 0.0) * (expected or 0.0)
    fallen_by = None if now is None or not left else 1.0 - now / left
    return VitalCompared(
        name=figure.name,
        unit=figure.unit,
        looks=len(seen.now),
        was=was,
        median=now,
        expected=expected,
        fallen_by=fallen_by,
        allowed=allowed,
        is_worse=is_worse,
        is_low=is_low and not is_worse and not _is_usual(plan, seen),
        chance=None if test is None else test.p_larger,
        smallest_seen=_smallest_seen(plan, seen, alpha),
        must_see=must_see(allowed),
        needed=_needed(plan, seen, alpha),
    )


def _times_over(fall: float) -> float:
    """Return by which share the reciprocal of a figure grows when the figure falls by this share."""
    return 1.0 / (1.0 - fall) - 1.0


def _reciprocals(seen: VitalSeen) -> list[float] | None:
    """Return 1/value of the samples before, whose growth is the figure's fall; None where they cannot tell."""
    # What is next to nothing beside the largest is nothing: its reciprocal would be no number.
    least = max(1e-9 * max(seen.before, default=0.0), 1e-300)
    there = [1.0 / value for value in seen.before if value > least]
    if len(seen.before) < FEWEST_BEFORE or len(there) < (1.0 - MOST_EMPTY) * len(seen.before):
        return None
    return there


def _needed(plan: PlanData, seen: VitalSeen, alpha: float) -> int | None:
    there = _reciprocals(seen)
    if there is None:
        return None
    allowed = plan.vital_fall_allowed
    return stats.needed_after(there, _times_over(allowed), _times_over(must_see(allowed)), alpha=alpha)


def _smallest_seen(plan: PlanData, seen: VitalSeen, alpha: float) -> float | None:
    there = _reciprocals(seen)
    if there is None or not seen.now:
        return None
    shift = stats.smallest_shift(
        there, _times_over(plan.vital_fall_allowed), after=len(seen.now), alpha=alpha
    )
    return None if shift is None else 1.0 - 1.0 / (1.0 + shift)
