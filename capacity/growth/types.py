"""What the analysis of a series answers: events, growth, forecast. Frozen; arrays of NumPy, so compared by field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from capacity.growth.smooth import Numbers


@dataclass(frozen=True)
class Event:
    """One stretch that left the band of its hour and weekday, and came back.

    `begin`, `end` (exclusive) and `peak_at` are steps of the series. The peak lies farthest from what was expected there,
    in units of the series. `score`: how many robust scales of its slot it was off at most, below 0 for a dip.
    `multiple`: peak over what was expected there, None where that is not above 0.
    `lead_in` are the steps from begin to peak; `half_life` those from the peak until half of the excess is gone (of the
    multiple over 1 for a series that never is below 0), None where the series ends before. `is_over`: the series goes on after it.
    """

    begin: int
    end: int
    peak_at: int
    peak: float
    expected: float
    score: float
    multiple: float | None
    lead_in: int
    half_life: int | None
    is_over: bool

    def as_plain(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {
            "begin": self.begin,
            "end": self.end,
            "peak_at": self.peak_at,
            "peak": self.peak,
            "expected": self.expected,
            "score": self.score,
            "multiple": self.multiple,
            "direction": "up" if self.score > 0 else "down",
            "lead_in": self.lead_in,
            "half_life": self.half_life,
            "is_over": self.is_over,
        }


@dataclass(frozen=True)
class Growth:
    """How a series grows without its events and seasons.

    `percent_a_month` with its 95 % interval: compound, a month of 30.44 days; None where some day's level is not above 0, and
    where the series is shorter than a week, which cannot tell it: then `per_day` is 0, and its interval without end.
    `per_day` with its interval is in units of the series. `level` is the present organic level. `shifts` are steps at
    which the level moved at once and for good; they are no growth. `days` is how many days said something.
    """

    percent_a_month: float | None
    percent_low: float | None
    percent_high: float | None
    per_day: float
    per_day_low: float
    per_day_high: float
    level: float
    shifts: tuple[int, ...]
    days: int

    def as_plain(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {
            "percent_a_month": self.percent_a_month,
            "percent_low": self.percent_low,
            "percent_high": self.percent_high,
            "per_day": self.per_day,
            "per_day_low": self.per_day_low,
            "per_day_high": self.per_day_high,
            "level": self.level,
            "shifts": list(self.shifts),
            "days": self.days,
        }


@dataclass(frozen=True, eq=False)
class Forecast:
    """What comes next: `point` and the bounds of the 50, 80 and 95 % intervals, one value a step, each (horizon,).

    `mase` and `naive_mase` are mean absolute scaled errors (Hyndman and Koehler 2006) of this model and of the seasonal
    naive forecast, from `tests` earlier origins of this very series; None where nothing could be tested, or the series
    never differs from its last season. `covered` is the share of what came that lay inside each of the three intervals,
    at the same origins. `notes` say in sentences what limits the answer.
    """

    model: str
    seasons: tuple[int, ...]
    point: Numbers
    lower50: Numbers
    upper50: Numbers
    lower80: Numbers
    upper80: Numbers
    lower95: Numbers
    upper95: Numbers
    mase: float | None
    naive_mase: float | None
    covered: tuple[float, float, float] | None
    tests: int
    notes: tuple[str, ...]

    def as_plain(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {
            "model": self.model,
            "seasons": list(self.seasons),
            "point": self.point.tolist(),
            "lower50": self.lower50.tolist(),
            "upper50": self.upper50.tolist(),
            "lower80": self.lower80.tolist(),
            "upper80": self.upper80.tolist(),
            "lower95": self.lower95.tolist(),
            "upper95": self.upper95.tolist(),
            "backtest": {
                "origins": self.tests,
                "mase": self.mase,
                "seasonal_naive_mase": self.naive_mase,
                "covered": None
                if self.covered is None
                else dict(zip(("50", "80", "95"), self.covered, strict=True)),
            },
            "notes": list(self.notes),
        }


@dataclass(frozen=True, eq=False)
class Analysis:
    """Events, growth and forecast of one series."""

    events: tuple[Event, ...]
    growth: Growth
    forecast: Forecast


@dataclass(frozen=True)
class Backtest:
    """How a whole forecast did from earlier origins, each made from nothing but what was known then.

    `mase`, `naive_mase`: mean over origins; `covered`: share of values inside the 50, 80 and 95 % intervals. `origins`
    are numbers of values known.
    """

    origins: tuple[int, ...]
    horizon: int
    mase: float
    naive_mase: float
    covered: tuple[float, float, float]
