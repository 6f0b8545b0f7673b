"""Many exponential smoothings at once: double seasonal, with trend and correlated errors, over a grid of parameters.

The recursion is that of Taylor (2003, "Short-term electricity demand forecasting using double seasonal exponential
smoothing"), in its additive form with a first-order correction of the error. All series of a batch and all members of
the grid go through time together, so that the cost of a step is that of a few array operations. Nothing here looks
ahead: the state at a step depends on the values up to that step only.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.float64]

CLIP = 4.0
"""A surprise beyond so many scales moves the state no further than one of exactly so many (Gelper and others, 2010)."""
RUN = 0.5
"""A run of clipped surprises, all of one sign and this share of a season long, is a shift of level: it is learnt."""
CATCH_UP = 0.4
NORMAL_PER_MAD = 1.4826
LONG_SEASON = 20
REFERENCE = (0.1, 0.0, 0.1, 0.1, 0.6)
BOTH = (1.0, 1.0)
DAYS_ALONE = (0.1, 0.3, 0.7)
"""Gains of the shorter season for the members that go without the longer one."""
NO_SEASON = (0.005, 0.05, 0.3, 0.95)
"""Gains of the level for those without any."""


@dataclass(frozen=True)
class Grid:
    """Smoothing parameters of each member, all of one length: level, trend, first and second season, error.

    `has_first` and `has_second` are 1 or 0: a member may go without a season that the series has.
    """

    alpha: Numbers
    beta: Numbers
    first: Numbers
    second: Numbers
    rho: Numbers
    has_first: Numbers
    has_second: Numbers

    @property
    def size(self) -> int:
        """How many members."""
        return len(self.alpha)


def make_grid(has_second: bool, has_first: bool, season: int) -> Grid:
    """Return the members that are tried; the first one is the reference that also cleans the series.

    `season` is the longer one in steps: a trend changes over some of those, so its gain falls with it.
    """
    alphas: tuple[float, ...]
    rhos: tuple[float, ...]
    betas: tuple[float, ...]
    if has_first and season >= LONG_SEASON:
        alphas, rhos, betas = (0.005, 0.05, 0.25), (0.0, 0.6, 0.9), (0.0, 0.05)
    elif has_first:
        # Steps of weeks and longer: the level of the last step says more, and trends are worth a look.
        alphas, rhos, betas = (0.005, 0.05, 0.3, 0.9), (0.0, 0.6, 0.9), (0.0, 0.05, 0.2)
    else:
        alphas, rhos, betas = (0.1, 0.3, 0.6, 0.95), (0.0,), (0.0, 0.1, 0.4)
    seasons = [(0.0, 0.0)]
    if has_second:
        seasons += [(0.1, 0.25), (0.3, 0.5)]
    elif has_first:
        seasons += [(0.2, 0.0), (0.5, 0.0)]
    rows = [(*REFERENCE, *BOTH)] if has_first else [(0.3, 0.0, 0.0, 0.0, 0.0, *BOTH)]
    for alpha, rho, (first, second), beta in product(alphas, rhos, seasons, betas):
        if has_first and beta and alpha * season < 1.0:
            continue  # a trend that changes over less than a season is the season
        rows.append((alpha, beta * alpha / max(1.0, season / 12.0), first, second, rho, *BOTH))
    # What has no such season is forecast worse with one: two weeks of noise make a week.
    if has_second:
        rows += [
            (alpha, 0.0, first, 0.0, rho, 1.0, 0.0) for alpha, rho, first in product(alphas, rhos, DAYS_ALONE)
        ]
    if has_first:
        rows += [(alpha, 0.0, 0.0, 0.0, rho, 0.0, 0.0) for alpha, rho in product(NO_SEASON, rhos)]
    columns = np.array(rows, dtype=np.float64).T
    return Grid(*columns)


@dataclass
class Smoothed:
    """What the recursion leaves: forecasts from each origin, the cleaned series, and the reference's surprises.

    One entry an origin: `ahead` (series, members, horizon) without the trend, `trend` (series, members) a step,
    `season_ahead` (series, horizon). `clean`, `season` and `surprise` are (series, steps), the latter NaN where nothing
    was seen or before the recursion began; `season` is that of the reference.
    """

    ahead: list[Numbers]
    trend: list[Numbers]
    clean: Numbers
    season: Numbers
    season_ahead: list[Numbers]
    surprise: Numbers


def middle(values: Numbers) -> float:
    """Return the median of a row of finite values, at least one; some times faster than `np.median` for a short one."""
    ordered = np.sort(values)
    return float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2.0


def medians(values: Numbers, axis: int) -> Numbers:
    """Return the median of a table along an axis without NaN; NaN where there is nothing else.

    Far faster than `np.nanmedian`, which goes row by row: this is where most of the time would go.
    """
    ordered = np.sort(values.T if axis == 0 else values, axis=1)  # NaN go last
    length = ordered.shape[1]
    if not np.isnan(ordered[:, -1]).any():
        whole: Numbers = 0.5 * (ordered[:, (length - 1) // 2] + ordered[:, length // 2])
        return whole
    counts = length - np.isnan(ordered).sum(axis=1)
    rows = np.arange(len(ordered))
    low = ordered[rows, np.maximum((counts - 1) // 2, 0)]
    middles: Numbers = 0.5 * (low + ordered[rows, np.minimum(counts // 2, length - 1)])
    return middles


def slot_means(values: Numbers, season: int) -> Numbers:
    """Return the mean of each slot of the season, (series, season); NaN where a slot has no value."""
    series, steps = values.shape
    cycles = -(-steps // season)
    whole = np.full((series, cycles * season), np.nan)
    whole[:, :steps] = values
    whole = whole.reshape(series, cycles, season)
    seen = np.isfinite(whole)
    counts = seen.sum(axis=1)
    sums = np.where(seen, whole, 0.0).sum(axis=1)
    means: Numbers = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return means


def row_means(values: Numbers) -> Numbers:
    """Return the mean of each row without its NaN; 0 for a row of nothing else."""
    seen = np.isfinite(values)
    counts = seen.sum(axis=1)
    sums = np.where(seen, values, 0.0).sum(axis=1)
    means: Numbers = np.divide(sums, counts, out=np.zeros(sums.shape), where=counts > 0)
    return means


def warm_up(steps: int, first: int, second: int) -> int:
    """Return how many steps give the first state: two of the longest season, one where there are less than three."""
    season = max(first, second, 1)
    if season == 1:
        return min(max(4, steps // 10), 10)
    return season * (2 if steps >= 3 * season + season // 2 else 1)


def smooth(
    values: Numbers, first: int, second: int, grid: Grid, origins: list[int], horizons: list[int]
) -> Smoothed:
    """Run all members over all series and return what they forecast from each origin.

    `values` is (series, steps) with NaN for what is missing or masked; `first` and `second` are seasons in steps, 1
    for none. An origin is the number of values known; it lies after the warm-up.
    """
    series, steps = values.shape
    begin = warm_up(steps, first, second)
    size = grid.size
    level_0, slope_0, first_0, second_0, scale = _first_state(values[:, :begin], first, second)
    level = np.repeat(level_0[:, None], size, axis=1)
    has_trend = grid.beta > 0.0
    trend = np.where(has_trend, slope_0[:, None], 0.0)
    one = grid.has_first * np.repeat(
        first_0.T[:, :, None], size, axis=2
    )  # (season, series, members): one slot is one block
    two = grid.has_second * np.repeat(second_0.T[:, :, None], size, axis=2)
    error = np.zeros((series, size))
    clean = values.copy()
    if np.isnan(clean[:, :begin]).any():
        early = np.arange(begin)
        filled = level_0[:, None] + first_0[:, early % first] + second_0[:, early % second]
        clean[:, :begin] = np.where(np.isnan(values[:, :begin]), filled, values[:, :begin])
    season = np.zeros((series, steps))
    season[:, :begin] = first_0[:, np.arange(begin) % first] + second_0[:, np.arange(begin) % second]
    seasons: list[Numbers] = []
    surprise = np.full((series, steps), np.nan)
    run = np.zeros(series)
    sides = np.zeros((first, series))
    long_run = max(3.0, RUN * first)
    seen_at: NDArray[np.bool_] = ~np.isnan(values)
    all_seen: NDArray[np.bool_] = np.asarray(seen_at.all(axis=0))
    ahead: list[Numbers] = []
    trends: list[Numbers] = []
    floor_1 = grid.has_first * (1.0 - grid.has_second) if second > 1 else grid.has_first
    due = dict(zip(origins, horizons, strict=True))
    for at in range(begin, steps + 1):
        if at in due:
            flat, drift = _ahead(level, trend, one, two, error, grid.rho, at, first, second, due[at])
            ahead.append(flat)
            trends.append(drift)
            to_come = at + np.arange(due[at])
            seasons.append((one[to_come % first, :, 0] + two[to_come % second, :, 0]).T)
        if at == steps:
            break
        slot_1, slot_2 = at % first, at % second
        expected = level + trend
        if first > 1:
            expected += one[slot_1]
        if second > 1:
            expected += two[slot_2]
        carried = grid.rho * error
        new = values[:, at, None] - expected - carried
        if not all_seen[at]:
            new = np.where(seen_at[:, at, None], new, 0.0)
        reference = new[:, 0]
        surprise[:, at] = np.where(seen_at[:, at], reference, np.nan)
        # A run of clipped surprises is a shift: the clip is lifted and the level follows at once.
        limit = CLIP * scale
        is_far = np.abs(reference) > limit
        if is_far.any() or run.any():
            run = np.where(is_far, np.where(run * reference >= 0.0, run + np.sign(reference), 0.0), 0.0)
            is_shift: NDArray[np.bool_] = np.asarray(np.abs(run) > long_run)
            # Twice the same at the same hour is no outlier either: that hour's habit has changed.
            side = np.where(is_far, np.sign(reference), 0.0)
            is_habit = is_far & (sides[slot_1] == side)
            sides[slot_1] = side
            bound = np.where(is_shift | is_habit, np.inf, limit)[:, None]
            np.clip(new, -bound, bound, out=new)
            gain = np.where(is_shift[:, None], np.maximum(grid.alpha, CATCH_UP), grid.alpha)
        else:
            bound = limit[:, None]
            np.clip(new, -bound, bound, out=new)
            gain = grid.alpha
        size_of = np.minimum(np.abs(reference), 3.0 * scale) * 1.25
        scale = np.where(seen_at[:, at], scale + 0.01 * (size_of - scale), scale)
        np.add(carried, new, out=error)
        clean[:, at] = expected[:, 0] + error[:, 0]
        season[:, at] = one[slot_1, :, 0] + two[slot_2, :, 0]
        level += trend
        level += gain * new
        trend += grid.beta * new
        if first > 1:
            one[slot_1] += np.maximum(grid.first, floor_1 / (at / first + 1.0)) * error
        if second > 1:
            two[slot_2] += np.maximum(grid.second, grid.has_second / (at / second + 1.0)) * error
    return Smoothed(ahead, trends, clean, season, seasons, surprise)


def _ahead(
    level: Numbers,
    trend: Numbers,
    one: Numbers,
    two: Numbers,
    error: Numbers,
    rho: Numbers,
    at: int,
    first: int,
    second: int,
    horizon: int,
) -> tuple[Numbers, Numbers]:
    """Return the forecasts without trend, (series, members, horizon), and the trend a step."""
    steps = np.arange(horizon)
    flat = np.repeat(level[:, :, None], horizon, axis=2)
    if first > 1:
        flat += one[(at + steps) % first].transpose(1, 2, 0)
    if second > 1:
        flat += two[(at + steps) % second].transpose(1, 2, 0)
    flat += error[:, :, None] * (rho[:, None] ** (steps + 1.0))
    return flat, trend.copy()


def _first_state(
    values: Numbers, first: int, second: int
) -> tuple[Numbers, Numbers, Numbers, Numbers, Numbers]:
    """Return level at the end, slope, both seasons and scale of the errors of the warm-up."""
    series, steps = values.shape
    season = max(first, second)
    at = np.arange(steps)
    slope = np.zeros(series)
    if season > 1 and steps >= 2 * season:
        slope = 0.5 * (row_means(values[:, season:]) - row_means(values[:, :season])) / season
    elif season == 1:
        half = steps // 2
        slope = (row_means(values[:, -half:]) - row_means(values[:, :half])) / max(1, steps - half)
    flat = values - slope[:, None] * (at - (steps - 1))
    level = row_means(flat)
    rest = flat - level[:, None]
    one = np.zeros((series, first))
    two = np.zeros((series, second))
    if first > 1:
        one = np.nan_to_num(slot_means(rest, first))
        rest = rest - one[:, at % first]
    if second > 1:
        two = np.nan_to_num(slot_means(rest, second))
        rest = rest - two[:, at % second]
    scale = NORMAL_PER_MAD * _median_size(rest) * (1.5 if steps >= 2 * season else 1.0)
    if season > 1 and steps < 2 * season:  # each slot was seen once: the scale is that between neighbours
        scale = NORMAL_PER_MAD * _median_size(np.diff(flat, axis=1))
    typical = _median_size(np.diff(values, axis=1))
    scale = np.maximum(scale, 0.1 * typical)
    return level, slope, one, two, scale


def _median_size(values: Numbers) -> Numbers:
    sizes = np.abs(values)
    if not np.isnan(sizes).any():
        medians: Numbers = np.median(sizes, axis=1)
        return medians
    some = np.isfinite(sizes).any(axis=1)
    medians = np.zeros(len(sizes))
    if some.any():
        medians[some] = np.nanmedian(sizes[some], axis=1)
    return medians
