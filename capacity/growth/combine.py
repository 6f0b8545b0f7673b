"""The forecast of a batch: several simple models, weighed by how each did from earlier origins, with intervals.

An average of simple models beats nearly each of them, and nearly each elaborate one (Makridakis, Spiliotis and
Assimakopoulos, "The M4 Competition", 2020). The weights come from forecasts that were made at earlier steps with what
was known then (rolling origin), the intervals from how far those missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capacity.growth.smooth import Grid, Numbers, Smoothed, make_grid, smooth, warm_up

ORIGINS = 12
SHARPNESS = 15.0
"""How fast a member of the grid loses weight as its error grows: the best few speak."""
FAMILY_SHARPNESS = 10.0
RECENT = 0.9
"""By how much an origin counts less than the next one when members are weighed: what was learnt since counts more."""
TREND_SHARES = (0.0, 0.5, 1.0)
"""A trend goes on whole, by half, or not at all; earlier origins say which (Assimakopoulos and Nikolopoulos 2000)."""
LEVELS = (0.50, 0.80, 0.95)
NORMAL = (0.6745, 1.2816, 1.9600)
RIDGE = 3.0
OWN_SHAPE = 0.5
"""How much of an interval's width follows the errors' own quantiles; the rest follows the normal ones."""
WIDER = (0.92, 0.97, 1.02)
"""Weights were chosen on the errors that the intervals come from, which makes those too small, and few origins make
them uncertain; measured on made-up series (docs/capacity.md)."""
FEW = 0.6
SAME_SLOT = 0.7
TINY = 1e-300


@dataclass(frozen=True)
class Combined:
    """Forecasts of a batch. `point` (series, horizon), `half` (levels, series, horizon): half the width of intervals.

    `error` and `naive_error` are mean absolute errors from `tests` earlier origins, `covered` (levels, series) the share
    of what came that lay inside; NaN where nothing could be tested. `is_naive` (series): the seasonal naive forecast
    was better and is used. `share` names the families with their weights (series, families).
    """

    point: Numbers
    half: Numbers
    error: Numbers
    naive_error: Numbers
    covered: Numbers
    is_naive: NDArray[np.bool_]
    tests: int
    families: tuple[str, ...]
    share: Numbers


@dataclass(frozen=True)
class Scale:
    """How values of a size near 1 are told in the series' own unit: (value x size + middle), and its square for roots.

    `middle`, `size` and `is_root` are (series,).
    """

    middle: Numbers
    size: Numbers
    is_root: NDArray[np.bool_]

    def real(self, values: Numbers) -> Numbers:
        """Return `values` (series, any number) in the unit of the series."""
        told = values * self.size[:, None] + self.middle[:, None]
        return np.where(self.is_root[:, None], np.maximum(told, 0.0) ** 2, told)


@dataclass(frozen=True)
class Plan:
    """From where to test: steps known, and how many are looked ahead; the last origin is the end of the series."""

    origins: list[int]
    horizons: list[int]

    @property
    def tests(self) -> int:
        """How many origins have something after them."""
        return len(self.origins) - 1

    def earlier(self, paths: list[Numbers]) -> Iterator[tuple[int, tuple[Numbers, int, int]]]:
        """Yield of each origin that has something after it: its age, 0 for the last; forecast, origin and horizon."""
        for k in range(self.tests):
            yield self.tests - 1 - k, (paths[k], self.origins[k], self.horizons[k])


def plan_of(steps: int, begin: int, season: int, horizon: int) -> Plan:
    """Return the origins: spread evenly from a little after the warm-up to where there is little left to test with."""
    least = max(1, min(horizon, max(season // 2, 2)))
    last = steps - least
    first = min(last, begin + min(season, max(1, (steps - begin) // 4)))
    if first < begin:
        return Plan([steps], [horizon])
    at = np.unique(np.linspace(first, last, min(ORIGINS, last - first + 1)).round().astype(int)).tolist()
    return Plan([*at, steps], [*(min(horizon, steps - origin) for origin in at), horizon])


def combine(values: Numbers, horizon: int, first: int, second: int, scale: Scale) -> Combined:
    """Return the forecasts of `values` (series, steps), NaN for what is missing or masked; seasons in steps, 1 for none.

    There are at least as many steps as the longer season, and 8; each series has a value. Values are of a size near 1; errors
    are told in the unit of the series, by `scale`.
    """
    steps = values.shape[1]
    plan = plan_of(steps, warm_up(steps, first, second), max(first, second), horizon)
    ran, families = families_of(values, plan, first, second)
    mixed = {name: _mix(paths, values, plan) for name, paths in families.items()}
    recent = np.stack([_errors(paths, values, plan, scale, RECENT) for paths in mixed.values()], axis=1)
    share = _weights(recent, FAMILY_SHARPNESS)
    made = list(mixed.values())
    final = [
        sum((share[:, number, None] * paths[k] for number, paths in enumerate(made)), np.zeros(1))
        for k in range(plan.tests + 1)
    ]
    error, naive_error = _errors(final, values, plan, scale), _errors(made[-1], values, plan, scale)
    # Of two that are as good the simple one; where nothing could be tested the average stands: nobody knows better.
    is_naive = (
        recent[:, -1] <= _errors(final, values, plan, scale, RECENT) * (1.0 + 1e-9)
        if plan.tests
        else np.zeros(len(values), dtype=bool)
    )
    naive = made[-1]
    final = [np.where(is_naive[:, None], naive[k], final[k]) for k in range(plan.tests + 1)]
    share = np.where(is_naive[:, None], np.eye(len(made))[-1], share)
    half, covered = _intervals(final, values, ran, plan, first)
    if not plan.tests:
        error, naive_error = np.full(len(values), np.nan), np.full(len(values), np.nan)
    return Combined(
        final[-1],
        half,
        np.where(is_naive, naive_error, error),
        naive_error,
        covered,
        is_naive,
        plan.tests,
        tuple(families),
        share,
    )


def families_of(
    values: Numbers, plan: Plan, first: int, second: int
) -> tuple[Smoothed, dict[str, list[Numbers]]]:
    """Return what each family forecasts from each origin, (series, members, horizon), from the values before it alone.

    The first member that ran, which cleans the series, comes with them. The last family is the naive one.
    """
    season = max(first, second)
    grid = make_grid(second > 1, first > 1, season)
    ran = smooth(values, first, second, grid, plan.origins, plan.horizons)
    families = {"exponential smoothing": _smoothings(ran, grid, plan)}
    corrected = _corrected(ran, first, plan)
    if corrected is not None:
        families["autoregression"] = corrected
    seasonal = _seasonal(ran, first, second, plan)
    if seasonal is not None:
        families["seasonal regression"] = seasonal
    families["seasonal naive" if season > 1 else "naive"] = _naives(
        np.where(np.isnan(values), ran.clean, values), first, second, plan
    )
    return ran, families


# --- the families ------------------------------------------------------------------------------------------------


def _smoothings(ran: Smoothed, grid: Grid, plan: Plan) -> list[Numbers]:
    """Return the forecasts of all smoothings, those with a trend once for each share of it: (series, members, horizon)."""
    has_trend = grid.beta > 0.0
    found = []
    for flat, trend, horizon in zip(ran.ahead, ran.trend, plan.horizons, strict=True):
        far = np.arange(1, horizon + 1)
        moved = [flat[:, has_trend] + share * trend[:, has_trend, None] * far for share in TREND_SHARES]
        found.append(np.concatenate([flat[:, ~has_trend], *moved], axis=1))
    return found


def _corrected(ran: Smoothed, first: int, plan: Plan) -> list[Numbers] | None:
    """Return the season of the reference plus an autoregression of what it leaves, fitted up to each origin alone."""
    lags = [1, 2, 3, first, first + 1, first + 2] if first > 3 else [1, 2]
    return _regressed(ran.clean - ran.season, lags, ran.season_ahead, plan)


def _seasonal(ran: Smoothed, first: int, second: int, plan: Plan) -> list[Numbers] | None:
    """Return a regression on the hours just before and on the same hours of days and a week ago.

    It finds out how much of what is new in a day is there the next day, and how much comes back after a week.
    """
    if first <= 3:
        return None
    weeks = [second, second + 1] if second > 1 else []
    lags = sorted({1, 2, first, first + 1, 2 * first, *weeks})
    return _regressed(ran.clean, lags, [np.zeros((1, ahead)) for ahead in plan.horizons], plan)


def _regressed(rest: Numbers, lags: list[int], added: list[Numbers], plan: Plan) -> list[Numbers] | None:
    """Return an autoregression of `rest` (series, steps) with these lags, and what is `added` at each origin to it.

    It is fitted up to each origin alone, with a ridge; None where the first origin knows too few steps for it.
    """
    series, steps = rest.shape
    begin = plan.origins[0]
    lags = [lag for lag in lags if lag <= begin // 2]
    if not lags or begin - max(lags) < 5 * len(lags):
        return None
    top = max(lags)
    middle = rest[:, :begin].mean(axis=1, keepdims=True)
    spread = np.maximum(rest[:, :begin].std(axis=1, keepdims=True), 1e-12)
    rest = (rest - middle) / spread
    columns = [rest[:, top - lag : steps - lag] for lag in lags]
    design = np.stack([*columns, np.ones((series, steps - top))], axis=1)
    gram = np.repeat(RIDGE * np.eye(len(lags) + 1)[None], series, axis=0)
    right = np.zeros((series, len(lags) + 1))
    done = 0
    found = []
    for origin, horizon, plus in zip(plan.origins, plan.horizons, added, strict=True):
        part = design[:, :, done : origin - top]
        gram += part @ part.transpose(0, 2, 1)
        right += (part @ rest[:, top + done : origin, None])[:, :, 0]
        done = origin - top
        weights = np.linalg.solve(gram, right[:, :, None])[:, :, 0]
        path = np.empty((series, top + horizon))
        path[:, :top] = rest[:, origin - top : origin]
        # An autoregression may explode; nothing that was never seen is believed.
        bound = 2.0 * np.abs(rest[:, :origin]).max(axis=1)
        for step in range(top, top + horizon):
            value = weights[:, -1].copy()
            for number, lag in enumerate(lags):
                value += weights[:, number] * path[:, step - lag]
            path[:, step] = np.minimum(np.maximum(value, -bound), bound)
        found.append((path[:, top:] * spread + middle + plus)[:, None])
    return found


def _naives(clean: Numbers, first: int, second: int, plan: Plan) -> list[Numbers]:
    """Return the last season again, for each season there is."""
    seasons = sorted({first, second} - {1}) or [1]
    return [
        np.stack([clean[:, at - season + np.arange(ahead) % season] for season in seasons], axis=1)
        for at, ahead in zip(plan.origins, plan.horizons, strict=True)
    ]


# --- weighing ----------------------------------------------------------------------------------------------------


def _mix(paths: list[Numbers], values: Numbers, plan: Plan) -> list[Numbers]:
    """Return one forecast an origin from the members of a family, (series, horizon) each."""
    if paths[0].shape[1] == 1:
        return [path[:, 0] for path in paths]
    series, members = paths[0].shape[:2]
    total, count = np.zeros((series, members)), np.zeros((series, 1))
    for age, (path, origin, horizon) in plan.earlier(paths):
        real = values[:, origin : origin + horizon]
        seen = np.isfinite(real)
        off = np.abs(path - np.where(seen, real, 0.0)[:, None]) * seen[:, None]
        total += RECENT**age * off.sum(axis=2)
        count += RECENT**age * seen.sum(axis=1)[:, None]
    weights = _weights(total / np.maximum(count, 1.0), SHARPNESS)
    return [np.matmul(weights[:, None], path)[:, 0] for path in paths]


def _errors(paths: list[Numbers], values: Numbers, plan: Plan, scale: Scale, recent: float = 1.0) -> Numbers:
    """Return the mean absolute error of one forecast an origin in the unit of the series, (series,)."""
    real = scale.real(values)
    total, count = np.zeros(len(values)), np.zeros(len(values))
    for age, (path, origin, horizon) in plan.earlier(paths):
        off = np.abs(scale.real(path) - real[:, origin : origin + horizon])
        seen = np.isfinite(off)
        total += recent**age * np.where(seen, off, 0.0).sum(axis=1)
        count += recent**age * seen.sum(axis=1)
    errors: Numbers = total / np.maximum(count, 1.0)
    return errors


def _weights(errors: Numbers, sharpness: float) -> Numbers:
    """Return weights that sum to 1, falling with a power of the error; all the same where no error is known."""
    floor = np.maximum(errors, 1e-12)
    weights = (floor / floor.min(axis=1, keepdims=True)) ** -sharpness
    shares: Numbers = weights / weights.sum(axis=1, keepdims=True)
    return shares


# --- intervals ---------------------------------------------------------------------------------------------------


def _intervals(
    paths: list[Numbers], values: Numbers, ran: Smoothed, plan: Plan, first: int
) -> tuple[Numbers, Numbers]:
    """Return half widths (levels, series, horizon) and the share of earlier values inside (levels, series).

    Width = quantile of the earlier errors x their size at that horizon x what this hour's errors are beside others'.
    """
    series, steps = values.shape
    horizon = plan.horizons[-1]
    slots = _slots(ran.surprise, first)
    edges = _edges(horizon)
    bin_of = np.searchsorted(edges, np.arange(horizon), side="right") - 1
    if not plan.tests:
        size = _untested(values, ran, first)[:, None] * np.sqrt(np.arange(1.0, horizon + 1.0))
        half = np.stack([1.5 * normal * size for normal in NORMAL])
        return half, np.full((len(LEVELS), series), np.nan)
    squares, counts = np.zeros((series, len(edges))), np.zeros((series, len(edges)))
    offs = np.full((series, plan.tests, max(plan.horizons[:-1])), np.nan)
    for k in range(plan.tests):
        origin, ahead = plan.origins[k], plan.horizons[k]
        off = (paths[k] - values[:, origin : origin + ahead]) / slots[:, (origin + np.arange(ahead)) % first]
        offs[:, k, :ahead] = off
        seen = np.isfinite(off)
        for number in range(bin_of[ahead - 1] + 1):
            at = bin_of[:ahead] == number
            squares[:, number] += np.where(seen[:, at], off[:, at] ** 2, 0.0).sum(axis=1)
            counts[:, number] += seen[:, at].sum(axis=1)
    size = _sizes(squares, counts, edges, horizon)
    longest = offs.shape[2]
    scaled = np.sort(np.abs(offs / size[:, None, :longest]).reshape(series, -1), axis=1)
    known = np.isfinite(scaled).sum(axis=1)
    ahead_slots = slots[:, (steps + np.arange(horizon)) % first]
    # Origins whose horizons overlap saw the same days: how many whole horizons they saw is what counts.
    unseen = 1.0 + FEW / max(1.0, (steps - plan.origins[0]) / horizon)
    half, covered = np.empty((len(LEVELS), series, horizon)), np.empty((len(LEVELS), series))
    for number, (level, normal, wider) in enumerate(zip(LEVELS, NORMAL, WIDER, strict=True)):
        at = np.minimum(np.ceil(level * (known + 1)).astype(int) - 1, np.maximum(known - 1, 0))
        own = np.where(known > 0, np.take_along_axis(scaled, np.maximum(at, 0)[:, None], 1)[:, 0], normal)
        factor = wider * unseen * (OWN_SHAPE * np.nan_to_num(own, nan=normal) + (1.0 - OWN_SHAPE) * normal)
        half[number] = factor[:, None] * size * ahead_slots
        inside = (scaled <= factor[:, None]).sum(axis=1)
        covered[number] = np.where(known > 0, inside / np.maximum(known, 1), np.nan)
    return np.maximum.accumulate(half, axis=0), covered


def _edges(horizon: int) -> NDArray[np.int64]:
    """Return where bands of horizons begin: 1, 2 to 3, 4 to 7, 8 to 15 steps ahead, and so on."""
    return np.array([2**power - 1 for power in range(int(np.log2(horizon)) + 1)], dtype=np.int64)


def _sizes(squares: Numbers, counts: Numbers, edges: NDArray[np.int64], horizon: int) -> Numbers:
    """Return the usual error at each horizon, (series, horizon): never smaller further ahead, and growing on unseen."""
    total = squares.sum(axis=1) / np.maximum(counts.sum(axis=1), 1.0)
    seen = counts > 0
    bands = np.sqrt(np.where(seen, squares / np.maximum(counts, 1.0), 0.0))
    # A band of few errors says little by itself: it leans on all of them.
    lean = 4.0 / (4.0 + counts)
    bands = np.where(seen, np.sqrt((1.0 - lean) * bands**2 + lean * total[:, None]), 0.0)
    bands = np.maximum.accumulate(bands, axis=1)
    last = np.maximum(seen.shape[1] - 1 - np.argmax(seen[:, ::-1], axis=1), 0)
    at = np.log(edges + 1.0)
    for series in np.flatnonzero(last < len(edges) - 1):
        end = last[series]
        power = 0.5
        if end >= 2 and bands[series, end // 2] > 0.0:
            rise = np.log(bands[series, end] / bands[series, end // 2]) / (at[end] - at[end // 2])
            power = float(np.clip(rise, 0.1, 0.7))
        bands[series, end + 1 :] = bands[series, end] * np.exp(power * (at[end + 1 :] - at[end]))
    middle = np.log(edges + 1.0 + (np.minimum(2 * edges + 1, horizon) - edges - 1) / 2.0)
    where = np.log(np.arange(1.0, horizon + 1.0))
    sizes: Numbers = np.maximum(np.stack([np.interp(where, middle, row) for row in bands]), 1e-12)
    return sizes


def _slots(surprise: Numbers, first: int) -> Numbers:
    """Return how large surprises of each slot of the first season are beside all, (series, first); 1 where unknown."""
    series, steps = surprise.shape
    if first == 1:
        return np.ones((series, 1))
    rows = -(-steps // first)
    sizes = np.full((series, rows * first), np.nan)
    sizes[:, :steps] = np.abs(surprise)
    sizes = sizes.reshape(series, rows, first)
    seen = np.isfinite(sizes)
    count = seen.sum(axis=1)
    mean = np.where(seen, sizes, 0.0).sum(axis=1) / np.maximum(count, 1)
    overall = np.maximum(
        mean.sum(axis=1, keepdims=True) / np.maximum((count > 0).sum(axis=1, keepdims=True), 1), 1e-12
    )
    ratio = np.where(count > 0, mean / overall, 1.0)
    smooth_ratio = (np.roll(ratio, 1, axis=1) + 2.0 * ratio + np.roll(ratio, -1, axis=1)) / 4.0
    return SAME_SLOT * smooth_ratio + (1.0 - SAME_SLOT)


def _untested(values: Numbers, ran: Smoothed, first: int) -> Numbers:
    """Return the usual error of one step where nothing could be tested: the larger of surprises and changes."""
    changes = np.diff(values, axis=1)
    if first > 1 and values.shape[1] >= first + 4:
        changes = values[:, first:] - values[:, :-first]
    found = np.zeros(len(values))
    for number, (row, surprises) in enumerate(zip(changes, ran.surprise, strict=True)):
        sizes = [part[np.isfinite(part)] for part in (row, surprises)]
        found[number] = max((float(np.sqrt(np.mean(part**2))) for part in sizes if len(part)), default=0.0)
    return np.maximum(found, 1e-12)
