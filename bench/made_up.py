"""Made-up hourly traffic of twelve kinds, easy and hard. What was put in is known; what these showed and was mended is in decision 38.

Made otherwise than the series of the tests and those of tuning: counts are drawn, shapes are sums of bumps, weeks have
holidays, volatility comes in clusters, patterns move.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.float64]
MONTH_HOURS = 365.25 / 12 * 24


@dataclass(frozen=True, eq=False)
class MadeUp:
    """One series with what is in it: growth in percent a month, and windows of events (begin, end)."""

    kind: str
    values: Numbers
    percent_a_month: float
    events: tuple[tuple[int, int], ...]


def _day(rng: np.random.Generator, bumps: int = 3) -> Numbers:
    hours = np.arange(24)
    shape = np.full(24, rng.uniform(0.15, 0.5))
    for _ in range(bumps):
        centre, width = rng.uniform(7, 23), rng.uniform(1.2, 4.0)
        off = np.minimum(np.abs(hours - centre), 24 - np.abs(hours - centre))
        shape += rng.uniform(0.3, 1.0) * np.exp(-0.5 * (off / width) ** 2)
    scaled: Numbers = shape / shape.mean()
    return scaled


def _season(rng: np.random.Generator, hours: int) -> Numbers:
    at = np.arange(hours)
    work, rest = _day(rng), _day(rng, 2) * rng.uniform(0.4, 0.95)
    weekdays = rng.uniform(0.92, 1.08, size=7)
    is_rest = at // 24 % 7 >= 5
    season: Numbers = np.where(is_rest, rest[at % 24], work[at % 24]) * weekdays[at // 24 % 7]
    return season


def _memory(rng: np.random.Generator, hours: int, near: float) -> Numbers:
    shocks = rng.normal(size=hours) * np.sqrt(1 - near**2)
    found = np.empty(hours)
    now = float(rng.normal())
    for step in range(hours):
        now = near * now + shocks[step]
        found[step] = now
    return found


def _grown(hours: int, percent: float) -> Numbers:
    grown: Numbers = (1 + percent / 100) ** (np.arange(hours) / MONTH_HOURS)
    return grown


def make(kind: str, seed: int, hours: int) -> MadeUp:
    """Return a series of a kind; the same seed gives the same one."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind), 20261127])
    percent = float(rng.uniform(-3, 12))
    values, events = KINDS[kind](rng, hours, percent)
    return MadeUp(kind, values, percent, events)


Parts: TypeAlias = tuple[Numbers, tuple[tuple[int, int], ...]]


def _calm(rng: np.random.Generator, hours: int, percent: float) -> Parts:
    mean = _season(rng, hours) * _grown(hours, percent) * rng.uniform(200, 5000)
    return mean * (1 + 0.04 * _memory(rng, hours, 0.4)), ()


def _counts(rng: np.random.Generator, hours: int, percent: float) -> Parts:
    mean = _season(rng, hours) * _grown(hours, percent) * rng.uniform(4, 40)
    rate = mean * np.exp(0.08 * _memory(rng, hours, 0.8))
    return rng.poisson(rate).astype(np.float64), ()


def _sticky(rng: np.random.Generator, hours: int, percent: float) -> Parts:
    mean = _season(rng, hours) * _grown(hours, percent) * 1000
    return mean * np.exp(0.12 * _memory(rng, hours, 0.96) + 0.02 * rng.normal(size=hours)), ()


def _clustered(rng: np.random.Generator, hours: int, percent: float) -> Parts:
    mean = _season(rng, hours) * _grown(hours, percent) * 800
    loud = 0.05 * np.exp(0.7 * _memory(rng, hours, 0.97))
    return mean * (1 + loud * rng.standard_t(5, size=hours)).clip(0.05), ()


def _sales(rng: np.random.Generator, hours: int, percent: float) -> Parts:
    values = _calm(rng, hours, percent)[0]
    events = []
    begin = int(rng.integers(30, 120))
    while begin < hours - 80:
        length = int(rng.choice([4, 8, 14, 30]))
        rise = rng.uniform(1.0, 5.0)
        up = max(1, length // 5)
        shape = np.concatenate([np.linspace(0.4, 1.0, up), np.exp(-np.arange(length - up) / (0.6 * length))])
        values[begin : begin + length] *= 1 + rise * shape
        events.append((begin, begin + length))
        begin += length + int(rng.integers(90, 220))
    return values, tuple(events)


def _outages(rng: np.random.Generator, hours: int, percent: float) -> Parts:
    values = _calm(rng, hours, percent)[0]
    for _ in range(int(rng.integers(1, 4))):
        begin, length = int(rng.integers(30, hours - 60)), int(rng.integers(2, 12))
        values[begin : begin + length] = 0.0
    values[rng.random(hours) < 0.05] = np.nan
    hole = int(rng.integers(50, hours - 150))
    values[hole : hole + 30] = np.nan
    return values, ()


def _stepped(rng: np.random.Generator, hours: int, percent: float) -> Parts:
    values = _calm(rng, hours, percent)[0]
    at = int(rng.integers(hours // 4, hours * 3 // 4))
    values[at:] *= float(rng.choice([0.55, 0.7, 1.4, 1.9]))
    return values, ()


def _wandering(rng: np.random.Generator, hours: int, percent: float) -> Parts:
    walk = np.exp(np.cumsum(rng.normal(size=hours)) * 0.012)
    return _season(rng, hours) * _grown(hours, percent) * walk * 900 * (1 + 0.02 * rng.normal(size=hours)), ()


def _moving(rng: np.random.Generator, hours: int, percent: float) -> Parts:
    """The shape of the day changes slowly into another, and its hour moves once, as clocks do."""
    one, other = _season(rng, hours), _season(rng, hours)
    share = np.linspace(0, rng.uniform(0.4, 1.0), hours)
    mean = ((1 - share) * one + share * other) * _grown(hours, percent) * 700
    at = int(rng.integers(hours // 3, hours * 2 // 3))
    mean[at:] = np.roll(mean[at:], 1)
    return mean * (1 + 0.05 * _memory(rng, hours, 0.5)), ()


def _holidays(rng: np.random.Generator, hours: int, percent: float) -> Parts:
    values = _calm(rng, hours, percent)[0]
    for day in rng.choice(np.arange(3, hours // 24 - 3), size=3, replace=False):
        values[day * 24 : day * 24 + 24] *= rng.uniform(0.4, 0.7)
    return values, ()


def _nights(rng: np.random.Generator, hours: int, percent: float) -> Parts:
    season = np.clip(_season(rng, hours) - 0.75, 0.0, None)
    rate = season * _grown(hours, percent) * rng.uniform(20, 300) * np.exp(0.15 * _memory(rng, hours, 0.7))
    return rng.poisson(rate).astype(np.float64), ()


def _daywise(rng: np.random.Generator, hours: int, percent: float) -> Parts:
    """Each day has its own luck, as weather gives it."""
    luck = np.exp(0.15 * np.repeat(_memory(rng, hours // 24 + 1, 0.5), 24)[:hours])
    return _season(rng, hours) * _grown(hours, percent) * luck * 600 * (1 + 0.04 * rng.normal(size=hours)), ()


KINDS: dict[str, Callable[[np.random.Generator, int, float], Parts]] = {
    "calm": _calm,
    "counts": _counts,
    "sticky": _sticky,
    "clustered": _clustered,
    "sales": _sales,
    "outages": _outages,
    "stepped": _stepped,
    "wandering": _wandering,
    "moving": _moving,
    "holidays": _holidays,
    "nights": _nights,
    "daywise": _daywise,
}
"""How each kind is made."""


def many(each: int, hours: int) -> Iterator[MadeUp]:
    """Yield `each` series of every kind."""
    for kind in KINDS:
        for seed in range(each):
            yield make(kind, seed, hours)
