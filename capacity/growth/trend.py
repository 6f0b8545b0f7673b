"""How a series grows without its events: the median of all slopes between two days, with an interval that knows its days.

Sources: Theil 1950; Sen 1968 (interval from the ranks of slopes); Hamed and Rao 1998 (days that resemble their
neighbours say less: the variance grows with the correlation of what the line leaves).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from capacity.growth.events import Normal, daily_levels
from capacity.growth.smooth import Numbers
from capacity.growth.types import Growth

MONTH_DAYS = 365.25 / 12
Z95 = 1.96
MOST_DAYS = 800
SIDE_DAYS = 5
"""Days on each side of a step of the level that must agree about it."""
STEP_T = 5.0
STEP_AT_ONCE = 0.5
MOST_STEPS_OF_LEVEL = 4
LEAST_STEP = 0.08
"""A step below this share of the level is left to the trend."""


def growth_of(values: Numbers, normal: Normal, first: int, steps_a_day: float) -> Growth:
    """Return the growth of a series whose events are known. `first` is its shorter season in steps, 1 for none."""
    block = first if first > 1 else max(1, round(steps_a_day))
    block = min(block, max(1, len(values) // 4))
    levels, at = daily_levels(values, normal, block)
    days = at / steps_a_day
    if len(levels) > MOST_DAYS:
        pick = np.linspace(0, len(levels) - 1, MOST_DAYS).round().astype(int)
        levels, days, at = levels[pick], days[pick], at[pick]
    now = float(np.median(levels[-7:]))
    if len(levels) < 4:
        return Growth(None, None, None, 0.0, -np.inf, np.inf, now, normal.shifts, len(levels))
    is_positive = bool((levels > 0.0).all())
    scaled = np.log(levels) if is_positive else levels
    cuts = _steps_of_level(
        scaled, days, LEAST_STEP if is_positive else LEAST_STEP * float(np.median(np.abs(levels)))
    )
    shifts = tuple(sorted({int(at[cut] - block // 2) for cut in cuts}))
    slope, low, high = _slope(days, scaled, cuts)
    if not is_positive:
        return Growth(None, None, None, slope, low, high, now, shifts, len(levels))
    month = [100.0 * float(np.expm1(min(rate * MONTH_DAYS, 50.0))) for rate in (slope, low, high)]
    a_day = [now * float(np.expm1(min(rate, 50.0))) for rate in (slope, low, high)]
    return Growth(month[0], month[1], month[2], a_day[0], a_day[1], a_day[2], now, shifts, len(levels))


def _steps_of_level(levels: Numbers, days: Numbers, least: float) -> list[int]:
    """Return the days at which the level moved at once and for good, at most `MOST_STEPS_OF_LEVEL`, in order.

    One by one the step is taken that a line with it fits best, while its t value is high, also beside how much days
    resemble their neighbours: a level that wanders has no steps.
    """
    count = len(levels)
    if count < 2 * SIDE_DAYS + 1:
        return []
    at = np.arange(SIDE_DAYS, count - SIDE_DAYS + 1)
    steps = (np.arange(count)[:, None] >= at).astype(np.float64)
    far = (days - days.mean()) / max(float(np.ptp(days)), 1e-12)
    known = np.stack([np.ones(count), far], axis=1)
    cuts: list[int] = []
    while len(cuts) < MOST_STEPS_OF_LEVEL:
        base, _ = np.linalg.qr(known)
        rest = levels - base @ (base.T @ levels)
        plain = steps - base @ (base.T @ steps)
        sizes = (plain**2).sum(axis=0)
        is_apart = (
            np.all([np.abs(at - cut) >= SIDE_DAYS for cut in cuts], axis=0)
            if cuts
            else np.ones(len(at), bool)
        )
        usable = is_apart & (sizes > 1e-6)
        if not usable.any():
            break
        heights = np.divide(plain.T @ rest, sizes, out=np.zeros(len(at)), where=usable)
        best = int(np.argmax(heights**2 * sizes))
        day, height = int(at[best]), float(heights[best])
        left = rest - height * plain[:, best]
        spread = float((left**2).sum()) / max(1, count - known.shape[1] - 1)
        resemblance = _resemblance([left])
        t = abs(height) / np.sqrt(max(spread * resemblance / sizes[best], 1e-300))
        # Within a day or two: also the neighbours of the step are that far apart.
        at_once = float(np.median(levels[day : day + 2]) - np.median(levels[day - 2 : day]))
        if t < STEP_T or abs(height) < least or at_once * height < STEP_AT_ONCE * height * height:
            break
        cuts.append(day)
        known = np.concatenate([known, steps[:, best, None]], axis=1)
    return sorted(cuts)


def _slope(days: Numbers, levels: Numbers, cuts: list[int]) -> tuple[float, float, float]:
    """Return the median slope within stretches of one level, and its 95 % interval."""
    bounds = _stretches(cuts, len(levels))
    slopes, variance, rest = [], 0.0, []
    for begin, end in bounds:
        count = end - begin
        if count < 3:
            continue
        one, two = np.triu_indices(count, 1)
        slopes.append(
            (levels[begin:end][two] - levels[begin:end][one]) / (days[begin:end][two] - days[begin:end][one])
        )
        variance += count * (count - 1) * (2 * count + 5) / 18.0
    if not slopes:
        return 0.0, -np.inf, np.inf
    every = np.sort(np.concatenate(slopes))
    slope = float(np.median(every))
    for begin, end in bounds:
        part = levels[begin:end] - slope * days[begin:end]
        rest.append(part - np.median(part))
    variance *= _resemblance(rest)
    half = Z95 * np.sqrt(variance)
    low = int(np.floor((len(every) - half) / 2.0))
    high = int(np.ceil((len(every) + half) / 2.0))
    if low < 0 or high >= len(every):
        # Fewer independent days than an interval takes: as far again as the slopes themselves lie apart.
        reach = max(slope - float(every[0]), float(every[-1]) - slope)
        return slope, min(float(every[0]), slope - reach), max(float(every[-1]), slope + reach)
    return slope, float(every[low]), float(every[high])


def _stretches(cuts: list[int], count: int) -> list[tuple[int, int]]:
    """Return from where to where the level stayed; a day in which it moved belongs to neither side."""
    bounds = [0, *cuts, count]
    found = []
    for number, (begin, end) in enumerate(pairwise(bounds)):
        is_long = end - begin > SIDE_DAYS + 1
        found.append((begin + (1 if number and is_long else 0), end - (1 if end < count and is_long else 0)))
    return found


def _resemblance(parts: list[Numbers]) -> float:
    """Return by how much the variance grows because days resemble their neighbours, from 1."""
    above, below, count = 0.0, 0.0, 0
    for part in parts:
        above += float((part[1:] * part[:-1]).sum())
        below += float((part**2).sum())
        count += len(part)
    if below <= 0.0 or count < 5:
        return 1.0
    near = above / below
    # The estimate of a short series is too small (Marriott and Pope 1954).
    near = min(0.95, near + (1.0 + 4.0 * max(near, 0.0)) / count)
    return max(1.0, (1.0 + near) / (1.0 - near)) if near > 0.0 else 1.0
