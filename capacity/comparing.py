"""Whether a newer measurement is better, the same or worse than a baseline, or cannot be held against it. Pure.

A difference counts only where it is large (beyond a share of the baseline **and** an absolute floor), and where it is
not by chance as far as the measurements can tell. One run proves little: an alarm needs a second one that says the same
(`standing`). Sources: Mann and Whitney 1947 (stretches of a run, `capacity/stats.py`); Agresti and Caffo 2000
(shares of failed requests); the prediction interval of one more value for the tolerance that is learnt.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np

from capacity.stats import CERTAINTY, largest_share, rank_test
from portal.ui.charts import number

SAME_LOAD = 0.10
"""Loads per server that lie further apart than this share are not held against each other."""
FEWEST_STRETCHES = 5
"""With fewer stretches in either run nothing is said about chance."""
FEWEST_RUNS = 3
"""So many earlier runs of the same kind are needed to learn how far runs lie apart by themselves."""
_T_975 = (4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
"""97.5 % quantiles of Student's t with 2, 3, … 15 degrees of freedom; beyond, the last one."""


class Verdict(StrEnum):
    """How a newer measurement lies to a baseline."""

    BETTER = "better"
    SAME = "same"
    WORSE = "worse"
    NOT_COMPARABLE = "not_comparable"


@dataclass(frozen=True)
class Kind:
    """One figure: which direction is good, and from when a difference counts unless something else was agreed.

    `ratio` is a share of the baseline's value, `floor` absolute, in the figure's own unit. Both must be passed.
    """

    key: str
    label: str
    unit: str
    more_is_good: bool
    ratio: float
    floor: float


KINDS = (
    Kind("requests_per_s_per_node", "A server carried", "req/s", True, 0.10, 1.0),
    Kind("p50_ms", "50 of 100 within", "ms", False, 0.20, 10.0),
    Kind("p95_ms", "95 of 100 within", "ms", False, 0.20, 20.0),
    Kind("p99_ms", "99 of 100 within", "ms", False, 0.30, 50.0),
    Kind("error_ratio", "Failed", "share", False, 0.50, 0.002),
)
KIND_OF = {kind.key: kind for kind in KINDS}


@dataclass(frozen=True)
class Figure:
    """One figure of a measurement. `stretches` are its values over parts of the run, in their order.

    Of a share, `count` among `of` requests failed; None where the file does not tell.
    """

    key: str
    value: float
    stretches: tuple[float, ...] = ()
    count: int | None = None
    of: int | None = None

    @property
    def spread(self) -> tuple[float, float] | None:
        """Return between which values 8 of 10 stretches lay, or the true share lies with 95 %; None: not known."""
        if self.count is not None and self.of:
            share = self.count / self.of
            least = 1.0 - largest_share_of(self.of - self.count, self.of)
            return min(share, max(0.0, least)), max(share, largest_share_of(self.count, self.of))
        if len(self.stretches) < FEWEST_STRETCHES:
            return None
        low, high = np.quantile(np.asarray(self.stretches), (0.1, 0.9))
        return float(low), float(high)


def largest_share_of(count: int, of: int) -> float:
    """Return the share that `count` among `of` is below with 97.5 %: exact for few, else Wilson's bound (1927)."""
    if of <= 2_000:
        return largest_share(count, of, 0.975)
    z, share = 1.96, count / of
    middle = share + z * z / (2 * of)
    return min(
        1.0, (middle + z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))) / (1 + z * z / of)
    )


class LoadKind(StrEnum):
    """How a load was made: by users who wait, by requests at a rate, or by the site's own visitors."""

    CLOSED = "closed"
    OPEN = "open"
    LIVE = "live"


@dataclass(frozen=True)
class LoadOf:
    """The load of one server: users where they wait for their answers, else requests per second."""

    kind: LoadKind
    per_node: float


@dataclass(frozen=True)
class Environment:
    """Where it ran. Empty and None are *not said*. Another software is what is compared; the rest must be alike."""

    node_count: int | None
    flavor: str
    software: str
    mix: str


@dataclass(frozen=True)
class Measurement:
    """Figures of one site under one load. `invalid` says why it proves nothing, "" where nothing is wrong with it."""

    at: datetime | None
    environment: Environment
    load: LoadOf | None
    figures: tuple[Figure, ...]
    invalid: str = ""

    def figure(self, key: str) -> Figure | None:
        """Return the figure of this key; None where it was not measured."""
        return next((one for one in self.figures if one.key == key), None)


@dataclass(frozen=True)
class Tolerance:
    """From when a difference of one figure counts: beyond `ratio` of the baseline and beyond `floor`."""

    key: str
    ratio: float
    floor: float
    learnt_from: int = 0
    """Of how many earlier runs it was learnt; 0: set by the portal or a person."""


def usual_tolerance(key: str) -> Tolerance:
    """Return what counts where nothing was learnt and nobody said otherwise."""
    kind = KIND_OF[key]
    return Tolerance(key, kind.ratio, kind.floor)


def learnt_tolerance(key: str, values: Sequence[float]) -> Tolerance:
    """Return the tolerance that earlier runs of the same site, load and size teach.

    Within it lies one more run of an unchanged site with 95 %: Student's t times the standard deviation of the
    logarithms times √(1 + 1/n). It is at least half and at most three times the usual one, so that a calm past
    alarms of no trifle, and a wild one does not allow everything. Fewer than 3 runs, or zeros among them, teach nothing.
    """
    usual = usual_tolerance(key)
    n = len(values)
    if n < FEWEST_RUNS or min(values) <= 0.0:
        return usual
    deviation = float(np.std(np.log(np.asarray(values, dtype=np.float64)), ddof=1))
    half = _T_975[min(n - 3, len(_T_975) - 1)] * deviation * math.sqrt(1.0 + 1.0 / n)
    ratio = math.expm1(min(half, 5.0))
    return Tolerance(key, min(max(ratio, usual.ratio / 2), usual.ratio * 3), usual.floor, learnt_from=n)


@dataclass(frozen=True)
class FigureCompared:
    """One figure beside the baseline's. `change` is newer less baseline, `ratio` a share of it (None: it was 0).

    `confidence` is how sure it is that the difference is not by chance, 0 to 1; None where the measurements cannot tell.
    `looks` is the verdict by size alone; `verdict` is *same* where it is not sure.
    """

    key: str
    baseline: float
    newer: float
    change: float
    ratio: float | None
    counts_from: float
    confidence: float | None
    looks: Verdict
    verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """How a measurement lies to a baseline, figure by figure. `why`: the reasons where they are not comparable, and what the
    newer one does not tell.
    """

    verdict: Verdict
    figures: tuple[FigureCompared, ...] = ()
    why: tuple[str, ...] = ()

    @property
    def worse(self) -> frozenset[str]:
        """Return the figures that are worse."""
        return frozenset(one.key for one in self.figures if one.verdict is Verdict.WORSE)


def why_not_comparable(baseline: Measurement, newer: Measurement) -> tuple[str, ...]:
    """Return what keeps the two from being held against each other; none where they can be."""
    why = [one.invalid for one in (baseline, newer) if one.invalid]
    ours, theirs = baseline.environment, newer.environment
    for name, a, b in (
        ("number of servers", ours.node_count, theirs.node_count),
        ("size of the servers", ours.flavor, theirs.flavor),
        ("mix of requests", ours.mix, theirs.mix),
    ):
        if not a or not b:
            why.append(f"The {name} was not said of {'both' if not a and not b else 'one'}.")
        elif a != b:
            why.append(f"Another {name}: {b}, the baseline has {a}.")
    if baseline.load is None or newer.load is None:
        why.append("The load is not known of both.")
    elif baseline.load.kind is not newer.load.kind:
        why.append(
            "Another kind of load: users who wait for their answers, or requests at a rate of their own."
        )
    elif abs(newer.load.per_node - baseline.load.per_node) > SAME_LOAD * baseline.load.per_node:
        why.append(
            f"Another load: {number(newer.load.per_node, 3)} for each server, the baseline has {number(baseline.load.per_node, 3)}."
        )
    return tuple(why)


def compare(baseline: Measurement, newer: Measurement, tolerances: Iterable[Tolerance] = ()) -> Comparison:
    """Return how `newer` lies to `baseline`. A figure without a tolerance has the usual one.

    It is worse where one figure is, better where one is and none is worse. What the baseline tells and the newer one does
    not is named in `why`; without the share that failed nothing is the same or better, since failing is fast.
    """
    why = why_not_comparable(baseline, newer)
    if why:
        return Comparison(Verdict.NOT_COMPARABLE, why=why)
    agreed = {one.key: one for one in tolerances}
    # What was asked for is the load, no result: users who wait are what lets a rate be one.
    asked = (
        frozenset()
        if baseline.load and baseline.load.kind is LoadKind.CLOSED
        else {"requests_per_s_per_node"}
    )
    found, untold = [], []
    for kind in KINDS:
        first, second = baseline.figure(kind.key), newer.figure(kind.key)
        if first is None or kind.key in asked:
            continue
        if second is None:
            untold.append(kind)
        else:
            found.append(_compared(kind, first, second, agreed.get(kind.key) or usual_tolerance(kind.key)))
    if not found:
        return Comparison(Verdict.NOT_COMPARABLE, why=("They have no figure in common.",))
    why = (f"It does not tell: {', '.join(kind.label for kind in untold)}.",) if untold else ()
    verdicts = {one.verdict for one in found}
    worst = next((one for one in (Verdict.WORSE, Verdict.BETTER) if one in verdicts), Verdict.SAME)
    if worst is not Verdict.WORSE and "error_ratio" in {kind.key for kind in untold}:
        worst = Verdict.NOT_COMPARABLE
    return Comparison(worst, tuple(found), why)


def _compared(kind: Kind, baseline: Figure, newer: Figure, tolerance: Tolerance) -> FigureCompared:
    change = newer.value - baseline.value
    counts_from = max(tolerance.floor, tolerance.ratio * abs(baseline.value))
    looks = Verdict.SAME
    if abs(change) > counts_from:
        looks = Verdict.BETTER if (change > 0) == kind.more_is_good else Verdict.WORSE
    confidence = _confidence(baseline, newer)
    is_sure = confidence is None or confidence >= CERTAINTY
    return FigureCompared(
        kind.key,
        baseline.value,
        newer.value,
        change,
        change / abs(baseline.value) if baseline.value else None,
        counts_from,
        confidence,
        looks,
        looks if is_sure else Verdict.SAME,
    )


def _confidence(baseline: Figure, newer: Figure) -> float | None:
    """Return how sure the direction of the difference is, one-sided, 0 to 1; None where nothing can be said."""
    if baseline.count is not None and newer.count is not None and baseline.of and newer.of:
        # Agresti and Caffo 2000: one failure and one success more in each.
        first, second = (baseline.count + 1) / (baseline.of + 2), (newer.count + 1) / (newer.of + 2)
        deviation = math.sqrt(
            first * (1 - first) / (baseline.of + 2) + second * (1 - second) / (newer.of + 2)
        )
        return 0.5 * math.erfc(-abs(second - first) / deviation / math.sqrt(2.0))
    if min(len(baseline.stretches), len(newer.stretches)) < FEWEST_STRETCHES:
        return None
    rises = newer.value >= baseline.value
    pair = (baseline.stretches, newer.stretches) if rises else (newer.stretches, baseline.stretches)
    return 1.0 - rank_test(*pair).p_larger


@dataclass(frozen=True)
class Standing:
    """How a site stands to its baseline. `is_confirmed`: two comparable runs, one after the other, are worse in one figure.

    `verdict` is None while nothing that can be compared came.
    """

    verdict: Verdict | None
    is_confirmed: bool
    figures: frozenset[str] = frozenset()


def standing(found: Sequence[Comparison]) -> Standing:
    """Return where the comparisons, the oldest first, leave the site. What is not comparable is passed over."""
    counted = [one for one in found if one.verdict is not Verdict.NOT_COMPARABLE]
    if not counted:
        return Standing(None, False)
    last = counted[-1]
    if last.verdict is not Verdict.WORSE:
        return Standing(last.verdict, False)
    both = last.worse & counted[-2].worse if len(counted) > 1 else frozenset()
    return Standing(Verdict.WORSE, bool(both), both or last.worse)
