"""Do people still get through: vital figures (orders a minute) held against the hour before the first server. Pure.

Traffic falls at night without anything being wrong, so what a figure should be now is what it was before, times what the
same hours did a day and a week earlier (the lower of both); where no such day is known, times what traffic did. Growth is
never asked for, and what those hours have on one of these days is enough: after an event a figure comes down. Only what is lower than that by more than the plan allows, and surely so, counts against a verdict:
a rank test, as for answers (docs/decisions/0045).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from capacity import stats
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


def must_see(allowed: float) -> float:
    """Return the fall that samples must be able to show."""
    return max(MUST_SEE, 1.0 - (1.0 - allowed) * (1.0 - BEYOND_ALLOWED))


def compare_vital(
    plan: PlanData, seen: Iterable[VitalSeen], traffic: float | None
) -> tuple[VitalCompared, ...]:
    """Return every vital figure of the plan as it is now; `traffic` is present traffic as a share of that before."""
    by_ref = {one.metric_ref: one for one in seen}
    return tuple(
        _compared(
            plan, figure, by_ref.get(figure.metric_ref) or VitalSeen(figure.metric_ref, (), (), None), traffic
        )
        for figure in plan.vital
    )


def expected_share(seen: VitalSeen, traffic: float | None) -> float:
    """Return what those hours leave of a figure by themselves: 1 where that is not known, never more."""
    shares = [now / before for before, now in seen.earlier if before > 0.0]
    if shares:
        return max(0.0, min(1.0, *shares))
    return 1.0 if traffic is None else max(0.0, min(1.0, traffic))


def _compared(plan: PlanData, figure: PlannedVital, seen: VitalSeen, traffic: float | None) -> VitalCompared:
    allowed, expected = plan.vital_fall_allowed, expected_share(seen, traffic)
    was = median(seen.before) if seen.before else None
    now = median(seen.now) if seen.now else None
    test = None
    if seen.before and seen.now:
        # In which the samples of before, as low as they may have become, lie above those of now.
        test = stats.rank_test(seen.now, [value * expected * (1.0 - allowed) for value in seen.before])
    least = None if was is None else was * expected * (1.0 - allowed)
    # After an event it only comes down to what these hours have on other days.
    is_usual = now is not None and any(
        now >= there * (1.0 - allowed) for _, there in seen.earlier if there > 0.0
    )
    is_worse = (
        not is_usual
        and test is not None
        and test.p_larger < alpha_of(plan)
        and test.delta >= stats.SMALLEST_EFFECT
    )
    fallen_by = None if now is None or not was or not expected else 1.0 - now / (was * expected)
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
        is_low=not is_worse and not is_usual and now is not None and least is not None and now < least,
        chance=None if test is None else test.p_larger,
        smallest_seen=_smallest_seen(plan, seen),
        must_see=must_see(allowed),
        needed=_needed(plan, seen),
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


def _needed(plan: PlanData, seen: VitalSeen) -> int | None:
    there = _reciprocals(seen)
    if there is None:
        return None
    allowed = plan.vital_fall_allowed
    return stats.needed_after(
        there, _times_over(allowed), _times_over(must_see(allowed)), alpha=alpha_of(plan)
    )


def _smallest_seen(plan: PlanData, seen: VitalSeen) -> float | None:
    there = _reciprocals(seen)
    if there is None or not seen.now:
        return None
    shift = stats.smallest_shift(
        there, _times_over(plan.vital_fall_allowed), after=len(seen.now), alpha=alpha_of(plan)
    )
    return None if shift is None else 1.0 - 1.0 / (1.0 + shift)
