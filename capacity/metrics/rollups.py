"""Arithmetic of rollups: values with their moments in, one row for each stretch out. Pure numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
HOUR_US = 3600 * 1_000_000
DAY_US = 24 * HOUR_US


@dataclass(frozen=True)
class Rolled:
    """Columns of equal length, ordered by metric and moment. Moments are microseconds since 1970, UTC."""

    metric: Ints
    at_us: Ints
    count: Ints
    mean: Floats
    min: Floats
    max: Floats
    p50: Floats
    p95: Floats


def floor_to(at_us: Ints, length_us: int) -> Ints:
    """Return the beginning of the stretch in which each moment lies; stretches begin at 1970."""
    return at_us - at_us % length_us


def rolled_up(metric: Ints, at_us: Ints, values: Floats, length_us: int) -> Rolled:
    """Return count, mean, extremes and percentiles of each metric's samples in each stretch of `length_us`.

    Any order is taken. A percentile lies between the two nearest samples, in proportion (numpy's `linear`).
    """
    begins = floor_to(at_us, length_us)
    order = np.lexsort((values, begins, metric))
    metric, begins, values = metric[order], begins[order], values[order]
    if not len(values):
        return Rolled(metric, begins, metric, values, values, values, values, values)
    is_first = np.ones(len(values), dtype=bool)
    is_first[1:] = (metric[1:] != metric[:-1]) | (begins[1:] != begins[:-1])
    first = np.flatnonzero(is_first)
    count = np.diff(np.append(first, len(values)))
    low, high = values[first], values[first + count - 1]
    # Sums round: a mean must not lie outside of what it is the mean of.
    mean = np.clip(np.add.reduceat(values, first) / count, low, high)
    return Rolled(
        metric[first],
        begins[first],
        count.astype(np.int64),
        mean,
        low,
        high,
        _percentile(values, first, count, 0.5),
        _percentile(values, first, count, 0.95),
    )


def _percentile(values: Floats, first: Ints, count: Ints, share: float) -> Floats:
    place = share * (count - 1)
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, count - 1)
    low, high = values[first + below], values[first + above]
    found: Floats = np.clip(low + (high - low) * (place - below), low, high)
    return found


def stretches(metric: Ints, at_us: Ints, length_us: int) -> tuple[Ints, Ints, Ints]:
    """Return (metric, from, until) of the stretches that these moments touch, neighbours joined.

    Samples must come in order of metric and moment.
    """
    begins = floor_to(at_us, length_us)
    breaks = np.ones(len(begins), dtype=bool)
    breaks[1:] = (metric[1:] != metric[:-1]) | (begins[1:] - begins[:-1] > length_us)
    first = np.flatnonzero(breaks)
    last = np.append(first[1:], len(begins)) - 1
    return metric[first], begins[first], begins[last] + length_us
