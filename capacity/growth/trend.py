"""How a series grows without its events: the median of all slopes between two days, with an interval that knows its days.

Sources: Theil 1950; Sen 1968 (interval from the ranks of slopes); Hamed and Rao 1998 (days that resemble their
neighbours say less: the variance grows with the correlation of what the line leaves).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from capacity.growth.events import Normal, daily_levels
from capacity.growth.smooth import Numbers, middle
from capacity.growth.types import Growth

MONTH_DAYS = 365.25 / 12
Z95 = 1.96
LEAST_DAYS = 7
"""Shorter series show no growth: the hours of a day, or a weekend, would be it."""
MOST_DAYS = 800
ALIKE = 0.8
"""Hours before and after a step that go together like this are stretched, else moved only."""
MOST_STRETCH = 4.0
SIDE_DAYS = 5
"""Days on each side of a step of the level that must agree about it."""
STEP_T = 5.0
STEP_AT_ONCE = 0.5
MOST_STEPS_OF_LEVEL = 4
LEAST_STEP = 0.08
"""A step below this share of the level is left to the trend."""


@dataclass(frozen=True, eq=False)
class Days:
    """The level of each day without season and events, its middle in steps, and the days at which the level moved.

    `levels` are logarithms where `is_log`. A day is the shorter season.
    """

    levels: Numbers
    middles: Numbers
    is_log: bool
    cuts: tuple[int, ...]
    steps: tuple[int, ...]


def days_of(values: Numbers, normal: Normal, day: int) -> Days:
    """Return the days of a series whose events are known; `day` is their length in steps."""
    levels, middles = daily_levels(values, normal, day)
    if len(levels) > MOST_DAYS:
        pick = np.linspace(0, len(levels) - 1, MOST_DAYS).round().astype(int)
        levels, middles = levels[pick], middles[pick]
    is_log = len(levels) > 0 and bool((levels > 0.0).all())
    least = LEAST_STEP if is_log else LEAST_STEP * middle(np.abs(levels)) if len(levels) else 0.0
    scaled = np.log(levels) if is_log else levels
    cuts = _steps_of_level(scaled, middles / day, least)
    steps = tuple(_moment_of(values, int(middles[cut]) - day // 2, day) for cut in cuts)
    return Days(scaled, middles, is_log, tuple(cuts), steps)


def _moment_of(values: Numbers, about: int, day: int) -> int:
    """Return the step at which the level moved, within a day of `about`: where values and those of a day ago part most."""
    low, high = max(day, about - day), min(len(values), about + day + 1)
    if high - low < 4:
        return about
    change = np.nan_to_num(values[low:high] - values[low - day : high - day])
    # Changes are small before the step and as large as it for a day after: the best cut of them into two.
    sums = np.cumsum(change)
    count = np.arange(1, len(change))
    apart = (sums[-1] - sums[:-1]) / (len(change) - count) - sums[:-1] / count
    weight = np.sqrt(count * (len(change) - count))
    return low + 1 + int(np.argmax(np.abs(apart) * weight))


def aligned(values: Numbers, normal: Normal, days: Days, day: int) -> Numbers:
    """Return the series as if its level had always been the last one: what was before each step is moved and stretched.

    How much says the week after the step against the same hours of the week before it. With this what was learnt of
    hour and weekday before a step is of use after it.
    """
    if not days.steps or day <= 1:
        return values
    found = values.copy()
    clean = np.where(normal.is_event, np.nan, values)
    for number, step in reversed(list(enumerate(days.steps))):
        later = days.steps[number + 1] if number + 1 < len(days.steps) else len(values)
        back = min(7, step // day) * day
        length = min(back, later - step)
        if length < 3 * day:
            continue
        before, after = clean[step - back : step - back + length], clean[step : step + length]
        both = np.isfinite(before) & np.isfinite(after)
        if both.sum() < 2 * day:
            continue
        one, two = before[both], after[both]
        spread, other = float(one.std()), float(two.std())
        stretch = 1.0
        if spread > 0.0 and other > 0.0 and float(np.corrcoef(one, two)[0, 1]) >= ALIKE:
            stretch = float(np.clip(other / spread, 1.0 / MOST_STRETCH, MOST_STRETCH))
        usual = middle(one)
        moved = stretch * (one - usual)
        found[:step] = stretch * (found[:step] - usual) + middle(two - moved)
    return found


def growth_of(days: Days, day: int, steps_a_day: float) -> Growth:
    """Return the growth that the days show; `day` is their length in steps."""
    levels, at, scaled = days.levels, days.middles / steps_a_day, days.levels
    count = len(levels)
    now = middle(levels[-7:]) if count else 0.0
    if days.is_log:
        now = float(np.exp(now))
    if count < 4 or at[-1] - at[0] + day / steps_a_day < LEAST_DAYS - 1e-9:
        return Growth(None, None, None, 0.0, -np.inf, np.inf, now, days.steps, count)
    slope, low, high = _slope(at, scaled, list(days.cuts))
    if not days.is_log:
        return Growth(None, None, None, slope, low, high, now, days.steps, count)
    month = [100.0 * float(np.expm1(min(rate * MONTH_DAYS, 50.0))) for rate in (slope, low, high)]
    a_day = [now * float(np.expm1(min(rate, 50.0))) for rate in (slope, low, high)]
    return Growth(month[0], month[1], month[2], a_day[0], a_day[1], a_day[2], now, days.steps, count)


def day_length(steps: int, first: int, steps_a_day: float) -> int:
    """Return how many steps make a day: the shorter season, else what the caller says, never more than a quarter."""
    return min(first if first > 1 else max(1, round(steps_a_day)), max(1, steps // 4))


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
        at_once = middle(levels[day : day + 2]) - middle(levels[day - 2 : day])
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
    slope = middle(every)
    for begin, end in bounds:
        part = levels[begin:end] - slope * days[begin:end]
        rest.append(part - middle(part))
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
