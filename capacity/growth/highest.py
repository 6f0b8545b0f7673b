"""How high the highest of many steps to come is likely to be.

Not the highest of a forecast's points: each of many steps may come out above what is likeliest, and one of them does.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from capacity.growth.events import Normal
from capacity.growth.smooth import Numbers
from capacity.growth.types import Forecast

DRAWS = 64
LEVELS = np.array([NormalDist().inv_cdf((number + 0.5) / 17) for number in range(17)])
"""Errors of the level, as likely as each other, in standard deviations."""
PER_80 = NormalDist().inv_cdf(0.9)
"""Half an 80 % interval in standard deviations."""
FEW = 0.5
"""How much wider the error of the level is taken where no more is known than what is asked for."""
SEED = 7


@dataclass(frozen=True)
class Highest:
    """What the highest of some steps comes to, without events: as often above `middle` as below, in 8 of 10 cases from `low`
    to `high`. `at` is the step at which it is the likeliest.
    """

    middle: float
    low: float
    high: float
    at: int


def highest(values: Numbers, normal: Normal, forecast: Forecast, steps: int) -> Highest:
    """Return it for the first `steps` of a forecast of `values` (NaN is missing), `normal` being what they do without events.

    A bootstrap of whole seasons (Künsch 1989: blocks keep what hangs together) of what was left over, on the forecast,
    with an error of the level that makes up what the forecast's intervals have beyond that. Loads are read as their
    square roots, as the forecast reads them. The same answer each time.
    """
    is_positive = bool(np.nanmin(values) >= 0.0)

    def read(real: Numbers) -> Numbers:
        return np.sqrt(np.maximum(real, 0.0)) if is_positive else real

    def told(at: float) -> float:
        return max(at, 0.0) ** 2 if is_positive else at

    path = read(forecast.point[:steps])
    rest = np.where(normal.is_event, np.nan, read(values) - read(normal.expected))
    season, first = max(forecast.seasons, default=1), min(forecast.seasons, default=1)
    known = len(rest) // season
    # Whole seasons, counted back from the end: what comes next begins where they did.
    rows = rest[len(rest) - known * season :].reshape(known, season)
    many = -(-steps // season)
    wider = 1.0 + FEW * min(1.0, many / known)
    half = (read(forecast.upper80[:steps]) - read(forecast.lower80[:steps])) / 2.0 / PER_80
    level = wider * np.sqrt(np.maximum(half**2 - np.resize(_squares(rows, first), steps), 0.0))
    rows = np.nan_to_num(rows)
    picked = np.random.default_rng(SEED).integers(0, known, (DRAWS, many))
    found = [(path + rows[pick].reshape(-1)[:steps] + LEVELS[:, None] * level).max(axis=1) for pick in picked]
    low, middle, high = np.quantile(np.concatenate(found), (0.1, 0.5, 0.9)).tolist()
    return Highest(told(middle), told(low), told(high), int(np.argmax(path)))


def _squares(rows: Numbers, first: int) -> Numbers:
    """Return the mean square of what is left over at each slot of the first season; that of all where a slot has none."""
    slots = rows.reshape(-1, first) if rows.shape[1] % first == 0 else rows.reshape(-1, 1)
    seen = np.isfinite(slots)
    sums, counts = np.where(seen, slots, 0.0) ** 2, seen.sum(axis=0)
    usual = float(sums.sum()) / max(1, int(counts.sum()))
    squares: Numbers = np.where(counts > 0, sums.sum(axis=0) / np.maximum(counts, 1), usual)
    return squares
