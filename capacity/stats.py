"""Whether one sample of measurements lies above another, by ranks; and what samples of a size can show. Pure.

Ranks, not means: one slow answer among many good ones moves a mean and fails nothing here, while a shift of all
answers shows. Sources: Mann and Whitney 1947; Lehmann, *Nonparametrics*, 1975 (ties, continuity, power); Cliff
1993 (delta); Hodges and Lehmann 1963 (shift); Clopper and Pearson 1934 (bounds of a share). SciPy is the oracle
of the tests and is not imported here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.float64]

EXACT_UP_TO = 8
"""The smaller sample has at most this size and nothing is tied: the test counts all orders instead of approximating."""
SMALLEST_EFFECT = 0.147
"""Cliff's delta below which a difference counts as negligible (Romano and others, 2006)."""
CERTAINTY = 0.95
LARGEST_FACTOR = 50.0
LARGEST_SAMPLE = 1 << 14
SMALLEST_LATENCY = 1e-3
"""Below this a latency (in ms: a microsecond) counts as this, since logarithms need one."""
LONE_SPREAD = 0.5
"""Of a stretch that tells one percentile only: the standard deviation of the logarithms that is supposed."""


@dataclass(frozen=True)
class RankTest:
    """How `after` lies to `before`. `u` counts the pairs in which `after` is larger, ties half.

    `p_larger` is the chance of such an order, or a clearer one, if nothing differs (one-sided), `p_differs` the
    same for either direction. `delta` is Cliff's: the share of pairs in which `after` is larger less the share in
    which it is smaller, -1 to 1. `is_exact`: all orders were counted; else normal with ties and continuity.
    """

    before: int
    after: int
    u: float
    p_larger: float
    p_differs: float
    delta: float
    is_exact: bool


def rank_test(before: Sequence[float] | Numbers, after: Sequence[float] | Numbers) -> RankTest:
    """Return the Mann-Whitney test of two samples, of any sizes from 1. Raises ValueError for none, or not finite."""
    first, second = _sample(before), _sample(after)
    n, m = len(first), len(second)
    _, place, times = np.unique(np.concatenate([first, second]), return_inverse=True, return_counts=True)
    ends = np.cumsum(times)
    middle = ends - (times - 1) / 2.0  # tied values share the mean of their ranks
    u = float(middle[place[n:]].sum()) - m * (m + 1) / 2.0
    delta = 2.0 * u / (n * m) - 1.0
    ties = float((times.astype(np.float64) ** 3 - times).sum())
    if not ties and min(n, m) <= EXACT_UP_TO and math.comb(n + m, n) < 1 << 53:
        ways = _orders(min(n, m), max(n, m))
        larger = float(ways[round(u) :].sum() / ways.sum())
        clearest = round(max(u, n * m - u))
        either = float(ways[clearest:].sum() / ways.sum())
        return RankTest(n, m, u, larger, min(1.0, 2.0 * either), delta, True)
    size = n + m
    spread = math.sqrt(n * m / 12.0 * ((size + 1) - ties / (size * (size - 1))))
    if spread == 0.0:  # all are equal
        return RankTest(n, m, u, 1.0, 1.0, delta, False)
    off = u - n * m / 2.0
    return RankTest(
        n,
        m,
        u,
        _above((off - 0.5) / spread),
        min(1.0, 2.0 * _above((abs(off) - 0.5) / spread)),
        delta,
        False,
    )


def slower_by(before: Sequence[float], after: Sequence[float]) -> float:
    """Return by which share `after` is larger than `before`: the median of all ratios, less 1.

    `before` is above 0. Raises ValueError.
    """
    first, second = _sample(before), _sample(after)
    if first.min() <= 0.0:
        raise ValueError("A ratio needs measurements above 0.")
    return float(np.median(np.divide.outer(second, first))) - 1.0


def is_beyond(
    before: Sequence[float], after: Sequence[float], allowed: float, *, alpha: float
) -> RankTest | None:
    """Return the test that `after` is larger than `before` by more than the share `allowed`; None if that is not sure.

    Sure is: a chance below `alpha` if it were larger by exactly that share, and an effect that is not negligible.
    """
    found = rank_test(_sample(before) * (1.0 + allowed), after)
    return found if found.p_larger < alpha and found.delta >= SMALLEST_EFFECT else None


# --- what samples of a size can show ----------------------------------------------------------------------------


def shows(
    sample: Sequence[float],
    factor: float,
    allowed: float,
    *,
    before: int,
    after: int,
    alpha: float,
    certainty: float = CERTAINTY,
) -> bool:
    """Return whether `is_beyond` would find answers that are `factor` times those of `sample`, with this certainty.

    Method: the test's figure is the share P of pairs in which the later answer is larger. Its mean and variance for
    `factor` come from the pairs of the sample itself (each with every other one), drawn a half look towards a half,
    since few looks cannot show that all pairs agree; then the normal approximation of its power (Lehmann 1975,
    chapter 2). That the sample itself is one of many adds to the variance. The limit that P must pass is that of the
    test without ties, the highest.
    """
    values = np.sort(_sample(sample))
    n = len(values)
    if n < 2 or before < 1 or after < 1:
        return False
    spread = math.sqrt((before + after + 1) / (12.0 * before * after))
    limit = max(0.5 + _quantile(alpha) * spread + 0.5 / (before * after), (1.0 + SMALLEST_EFFECT) / 2.0)
    if limit >= 1.0:
        return False
    later, limits = values * factor, values * (1.0 + allowed)
    own = np.where(later > limits, 1.0, np.where(later == limits, 0.5, 0.0))
    over = _shares_below(limits, later, own, n)
    under = 1.0 - _shares_below(later, limits, 1.0 - own, n)
    shrink = 2.0 * n / (2.0 * n + 1.0)
    p = 0.5 + (float(over.mean()) - 0.5) * shrink
    of_later = max(0.0, float((over**2).mean()) - float(over.mean()) ** 2)
    of_limits = max(0.0, float((under**2).mean()) - float(under.mean()) ** 2)
    variance = (p * (1.0 - p) + (before - 1) * of_later + (after - 1) * of_limits) / (before * after)
    variance += (of_later + of_limits) / n
    return p - _quantile(1.0 - certainty) * math.sqrt(max(0.0, variance)) >= limit


def smallest_shift(
    sample: Sequence[float], allowed: float, *, after: int, alpha: float, before: int | None = None
) -> float | None:
    """Return the smallest share by which answers must be larger than `sample` to be found with 95 % certainty.

    `before` is the sample's own size unless given. None: with samples of these sizes nothing would be found.
    """
    size = len(sample) if before is None else before

    def seen(share: float) -> bool:
        return shows(sample, 1.0 + share, allowed, before=size, after=after, alpha=alpha)

    low, high = allowed, LARGEST_FACTOR
    if not seen(high):
        return None
    while high - low > 1e-3 * (1.0 + low):
        middle = (low + high) / 2.0
        low, high = (low, middle) if seen(middle) else (middle, high)
    return high


def needed_after(sample: Sequence[float], allowed: float, must_see: float, *, alpha: float) -> int | None:
    """Return how many later answers it takes to find a shift of the share `must_see`; None if no number is enough."""
    return _least(lambda n: shows(sample, 1.0 + must_see, allowed, before=len(sample), after=n, alpha=alpha))


def needed_each(sample: Sequence[float], allowed: float, must_see: float, *, alpha: float) -> int | None:
    """Return how many answers of both, like those of `sample`, it takes to find a shift of the share `must_see`."""
    return _least(lambda n: shows(sample, 1.0 + must_see, allowed, before=n, after=n, alpha=alpha))


def _least(is_enough: Callable[[int], bool]) -> int | None:
    high = 1
    while not is_enough(high):
        high *= 2
        if high > LARGEST_SAMPLE:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


# --- shares -----------------------------------------------------------------------------------------------------


def chance_of_so_many(count: int, of: int, share: float) -> float:
    """Return the chance of `count` or more among `of`, if each is one with the chance `share` (binomial tail)."""
    if not 0 <= count <= of or not 0.0 <= share <= 1.0:
        raise ValueError("A count lies within its total, a share within 0 to 1.")
    if count == 0:
        return 1.0
    if share in (0.0, 1.0):
        return share
    logs = [
        math.lgamma(of + 1)
        - math.lgamma(k + 1)
        - math.lgamma(of - k + 1)
        + k * math.log(share)
        + (of - k) * math.log1p(-share)
        for k in range(count, of + 1)
    ]
    return min(1.0, math.fsum(map(math.exp, logs)))


def largest_share(count: int, of: int, certainty: float = CERTAINTY) -> float:
    """Return the share that `count` among `of` is below with this certainty (Clopper and Pearson, one-sided)."""
    if not 0 <= count <= of or of < 1:
        raise ValueError("A count lies within its total, which is at least 1.")
    if count == of:
        return 1.0
    low, high = count / of, 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2.0
        # How likely so few would be, if the share were `middle`.
        if 1.0 - chance_of_so_many(count + 1, of, middle) > 1.0 - certainty:
            low = middle
        else:
            high = middle
    return high


# --- parts ------------------------------------------------------------------------------------------------------


def _sample(values: Sequence[float] | Numbers) -> Numbers:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or not len(sample) or not np.isfinite(sample).all():
        raise ValueError("A sample is a row of finite numbers, at least one.")
    return sample


def _shares_below(ordered: Numbers, values: Numbers, own: Numbers, n: int) -> Numbers:
    """Return for each value the share of the others in `ordered` below it, ties half; `own` is what its own pair gave."""
    left = np.searchsorted(ordered, values, side="left")
    right = np.searchsorted(ordered, values, side="right")
    shares: Numbers = ((left + right) / 2.0 - own) / (n - 1)
    return shares


def _above(z: float) -> float:
    return 0.5 * math.erfc(z / math.sqrt(2.0))


@cache
def _quantile(alpha: float) -> float:
    """Return the z that a standard normal passes with the chance `alpha`."""
    if not 0.0 < alpha < 1.0:
        raise ValueError("A chance lies between 0 and 1.")
    low, high = -40.0, 40.0
    while high - low > 1e-12:
        middle = (low + high) / 2.0
        low, high = (middle, high) if _above(middle) > alpha else (low, middle)
    return (low + high) / 2.0


@cache
def _orders(n: int, m: int) -> NDArray[np.int64]:
    """Return in how many of all orders of n and m different values U is 0, 1, … n·m (Gaussian binomial coefficients)."""
    ways = np.zeros(n * m + 1, dtype=np.int64)
    ways[0] = 1
    for i in range(1, n + 1):
        if m + i < len(ways):
            ways[m + i :] = ways[m + i :] - ways[: len(ways) - m - i].copy()
        for k in range(i, len(ways)):
            ways[k] += ways[k - i]
    return ways


def percentile_of_all(
    told: Sequence[Sequence[float | None]], shares: Sequence[float], share: float, weights: Sequence[float]
) -> float:
    """Return the percentile of many stretches together, from the percentiles that each of them tells.

    `told` has the values (0 or more) of the `shares` (rising, two or more) of each stretch, None for what it does not
    tell; each with a weight above 0 tells that of `share`. Between them, and beyond, the logarithms of a stretch's
    values are taken to lie straight on the normal's quantiles (a lognormal pieced together), as answers do that are
    many quick ones and a thinning tail: taken as evenly spread, the 95th came out 2 to 15 % too high. A mean or median
    of percentiles is none: one stretch in ten that takes seconds is in the 95th of all, and in no median.
    """
    counts = np.asarray(weights, dtype=np.float64)
    values = np.asarray([[np.nan if one is None else one for one in row] for row in told], dtype=np.float64)
    values, counts = values[counts > 0.0], counts[counts > 0.0]
    logs = np.log(np.maximum(values, SMALLEST_LATENCY))
    at = np.array([_quantile(1.0 - one) for one in shares])
    # Stretches that tell the same percentiles are looked at together.
    kinds, of = np.unique(~np.isnan(logs), axis=0, return_inverse=True)
    groups = [
        (at[kind], np.maximum.accumulate(logs[of.ravel() == n][:, kind], axis=1), counts[of.ravel() == n])
        for n, kind in enumerate(kinds)
    ]
    own = logs[:, list(shares).index(share)]
    low, high = float(own.min()), float(own.max())  # that of all lies between those of the stretches
    for _ in range(50):
        middle = (low + high) / 2.0
        under = sum(
            float((_shares_within(middle, where, rows) * count).sum()) for where, rows, count in groups
        )
        low, high = (low, middle) if under >= (share - 1e-9) * counts.sum() else (middle, high)
    found = min(math.exp(high), float(values[:, list(shares).index(share)].max()))
    nearest = float(values.flat[np.nanargmin(np.abs(values - found))])
    return nearest if math.isclose(nearest, found, rel_tol=1e-9) else found


def _shares_within(x: float, at: Numbers, rows: Numbers) -> Numbers:
    """Return which share of each row lies at or below `x`; `rows` are the values at the normal's quantiles `at`."""
    if len(at) == 1:
        return _normal(at[0] + (x - rows[:, 0]) / LONE_SPREAD)
    reached = (rows <= x).sum(axis=1)
    left = np.clip(reached - 1, 0, len(at) - 2)
    every = np.arange(len(rows))
    below, above = rows[every, left], rows[every, left + 1]
    # Values that are all the same end there: nothing lies below the first of them, nothing above the last.
    flat = np.where(reached > 0, np.inf, -np.inf)
    part = np.divide(x - below, above - below, out=flat, where=above > below)
    return _normal(at[left] + part * (at[left + 1] - at[left]))


@cache
def _normal_table() -> tuple[Numbers, Numbers]:
    z = np.linspace(-8.0, 8.0, 3201)
    return z, np.array([_above(-one) for one in z])


def _normal(z: Numbers) -> Numbers:
    """Return the shares of a standard normal at or below these, within 1e-6."""
    return np.interp(z, *_normal_table())
