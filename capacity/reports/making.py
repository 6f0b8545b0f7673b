"""From a year of hours to a report: pure. What is known is said, what is not is None with a note."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from capacity.growth import Event, analyse, backtest
from capacity.growth.events import Mask, find_events
from capacity.growth.highest import Highest, highest
from capacity.growth.series import checked, kept_seasons
from capacity.growth.smooth import Numbers
from capacity.growth.types import Forecast

HOUR = timedelta(hours=1)
SEASONS = (24, 168)
HORIZON = 28 * 24
"""Four weeks ahead: beyond that the forecast is what grows, told by the runway."""
WEEK = 168
TESTED_H = 168
ORIGINS = 3
BAND_SCALES = 2.0
"""The band is so many robust scales wide on either side: where a stretch counts as going on (growth.events.STAY)."""
LEAST_DAYS = 3
GROWTH_DAYS = 28
"""A slope of fewer days says more of the weeks' noise than of growth."""
NAIVE = ("seasonal naive", "naive")


@dataclass(frozen=True, eq=False)
class Made:
    """What a year of hours says. Events are steps from `begins` on, an hour each; growth is a fraction a month."""

    begins: datetime
    ends: datetime
    days: int
    level: float
    growth: tuple[float, float, float] | None
    peak: tuple[float, float, float]
    next_peak: tuple[float, float, float]
    next_peak_at: datetime
    events: tuple[Event, ...]
    shifts: tuple[datetime, ...]
    model: str
    is_naive: bool
    tested: dict[str, object] | None
    notes: tuple[str, ...]
    low: Numbers
    high: Numbers
    forecast: Forecast

    def at(self, step: int) -> datetime:
        """Return the moment at which a step begins."""
        return self.begins + step * HOUR


def make(hours: Numbers, begins: datetime, events: Sequence[tuple[datetime, datetime]] = ()) -> Made:
    """Return what a series of hours says, the first one beginning at `begins`, NaN for hours without samples.

    `events` are from when until when people planned or named one: what rises there is no level, however long. Raises ValueError with a sentence for one that says nothing.
    """
    series = checked(hours)
    known = int(np.isfinite(series).sum())
    if known < LEAST_DAYS * 24:
        raise ValueError(
            f"There are {known} hours with samples; from three days on something can be said, and four weeks say it well."
        )
    mask = _known(len(series), begins, events)
    found = analyse(series, HORIZON, SEASONS, known=mask)
    first, second, _ = kept_seasons(len(series), *SEASONS)
    normal = find_events(series, first, second, mask)
    low, high = normal.expected - BAND_SCALES * normal.scale, normal.expected + BAND_SCALES * normal.scale
    if float(np.nanmin(series)) >= 0.0:
        low = np.maximum(low, 0.0)
    growth, notes = found.growth, list(found.forecast.notes)
    rate = None
    if growth.days < GROWTH_DAYS:
        notes.append("Growth is told from four weeks on; there are fewer.")
    elif growth.percent_a_month is None or growth.percent_low is None or growth.percent_high is None:
        notes.append("Some day has no level above 0, so growth cannot be told in percent.")
    else:
        rate = (growth.percent_a_month / 100, growth.percent_low / 100, growth.percent_high / 100)
    ends = begins + len(series) * HOUR
    week = highest(series, normal, found.forecast, WEEK)
    all_of_it = highest(series, normal, found.forecast, HORIZON)
    return Made(
        begins=begins,
        ends=ends,
        days=growth.days,
        level=growth.level,
        growth=rate,
        peak=_bounds(week),
        next_peak=_bounds(all_of_it),
        next_peak_at=ends + all_of_it.at * HOUR,
        events=found.events,
        shifts=tuple(begins + step * HOUR for step in growth.shifts),
        model=found.forecast.model,
        is_naive=found.forecast.model.startswith(NAIVE),
        tested=_tested(series, mask),
        notes=tuple(notes),
        low=low,
        high=high,
        forecast=found.forecast,
    )


def _bounds(found: Highest) -> tuple[float, float, float]:
    return found.middle, found.low, found.high


def _known(steps: int, begins: datetime, events: Sequence[tuple[datetime, datetime]]) -> Mask:
    """Return which hours are of one of the events."""
    found: Mask = np.zeros(steps, dtype=bool)
    for starts_at, ends_at in events:
        first, last = (starts_at - begins) // HOUR, -((begins - ends_at) // HOUR)
        found[min(max(first, 0), steps) : min(max(last, 0), steps)] = True
    return found


def _tested(series: Numbers, known: Mask) -> dict[str, object] | None:
    """Return how forecasts of a week, made from nothing but what was known then, did; None where there is too little."""
    try:
        found = backtest(series, TESTED_H, SEASONS, origins=ORIGINS, known=known)
    except ValueError:
        return None
    return {
        "origins": len(found.origins),
        "horizon_h": found.horizon,
        "mase": round(found.mase, 4),
        "naive_mase": round(found.naive_mase, 4),
        "covered": {
            name: round(share, 4) for name, share in zip(("50", "80", "95"), found.covered, strict=True)
        },
    }
