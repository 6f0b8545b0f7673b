"""A stretch of one metric's series for a chart: by the day, by the hour or sample by sample, whichever fits.

A year of 5-minute samples is 366 points by the day; zoomed into a week it is its 2,016 samples. No point is made up: a
stretch without samples is a gap. A day or hour that is not over is left out: the mean of its night alone looks like an outage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from capacity.metrics import series
from capacity.metrics.models import Metric
from capacity.metrics.partitions import kept_from
from capacity.metrics.series import Step
from portal.errors import Malformed
from portal.ui.charts import Point, Series

MOST_POINTS = 2500
HOURS_UP_TO = timedelta(days=100)
RAW_UP_TO = timedelta(days=9)
SHORTEST = timedelta(minutes=10)
LONGEST = timedelta(days=3660)
SPANS: dict[str, timedelta] = {
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=31),
    "quarter": timedelta(days=92),
    "year": timedelta(days=366),
}
STEP_S = {Step.HOUR: 3600, Step.DAY: 86_400}
# Samples further apart than so many times their usual distance have a gap between them.
_GAP = 3.5


@dataclass(frozen=True)
class Drawn:
    """Points in order, None where there is a gap. `low` and `high` are the least and most of each hour or day; None of samples.

    `unfinished` says in a sentence what became of the day or hour that is not over, "" where there is none.
    """

    step: Step
    begins: datetime
    ends: datetime
    at: list[float]
    value: list[float | None]
    low: list[float | None] | None
    high: list[float | None] | None
    unfinished: str = ""

    @property
    def known(self) -> list[float]:
        """The values that there are."""
        return [one for one in self.value if one is not None]

    def lines(self, label: str, zone: Any) -> tuple[Series, ...]:
        """Return the lines of the chart that is drawn without a script; days are UTC's."""
        zone = UTC if self.step is Step.DAY else zone

        def line(name: str, values: list[float | None], tone: str, *, dashed: bool = False) -> Series:
            points: list[Point] = [
                (datetime.fromtimestamp(at, zone), value) for at, value in zip(self.at, values, strict=True)
            ]
            return Series(name, points, tone, dashed)

        found = [line(label if self.low is None else f"{label}, mean", self.value, "1")]
        if self.low is not None and self.high is not None:
            found += [
                line("most", self.high, "idle", dashed=True),
                line("least", self.low, "idle", dashed=True),
            ]
        return tuple(found)

    def as_plain(self) -> dict[str, Any]:
        """Return it as the chart's script takes it: times in seconds since 1970, six digits of each value."""
        return {
            "step": self.step.value,
            "from": self.begins.timestamp(),
            "to": self.ends.timestamp(),
            "at": self.at,
            "value": _short(self.value),
            "low": None if self.low is None else _short(self.low),
            "high": None if self.high is None else _short(self.high),
            "unfinished": self.unfinished,
        }


def window_asked(
    metric: Metric,
    now: datetime,
    *,
    span: str = "",
    begins: datetime | None = None,
    ends: datetime | None = None,
) -> tuple[datetime, datetime]:
    """Return the stretch to show: from `begins` to `ends`, else a named span up to the latest sample (a year if none is named)."""
    if begins is not None and ends is None:
        ends = now
    if begins is None:
        if ends is None:
            ends = min(now, metric.last_at or now) + timedelta(seconds=1)
        begins = ends - SPANS.get(span, SPANS["year"])
    assert ends is not None  # narrowed above
    if not SHORTEST <= ends - begins <= LONGEST:
        raise Malformed(
            "A chart shows from ten minutes to ten years: `from` comes before `to`.", code="unknown_parameter"
        )
    return begins, ends


def drawn(metric: Metric, begins: datetime, ends: datetime, now: datetime) -> Drawn:
    """Return the series in [begins, ends) as finely as it fits; one or two queries."""
    length = ends - begins
    if length > HOURS_UP_TO:
        return _rolled(metric, Step.DAY, begins, ends, now)
    # The hour in which the stretch begins is drawn whole; the stretch begins where it was asked for all the same.
    hours = _rolled(metric, Step.HOUR, begins.replace(minute=0, second=0, microsecond=0), ends, now)
    hours = replace(hours, begins=begins)
    if length > RAW_UP_TO or begins < kept_from(now):
        return hours
    raw = series.read(metric, Step.RAW, begins, ends, limit=MOST_POINTS + 1)
    if len(raw["at"]) > MOST_POINTS:
        return hours
    at = raw["at"] / 1e6
    usual = float(np.median(np.diff(at))) if len(at) > 2 else 0.0
    times, (values,) = _with_gaps(at, [raw["value"]], max(_GAP * usual, 120.0))
    return Drawn(Step.RAW, begins, ends, times, values, None, None)


def _rolled(metric: Metric, step: Step, begins: datetime, ends: datetime, now: datetime) -> Drawn:
    found = series.read(metric, step, begins, ends, limit=4 * MOST_POINTS)
    unfinished = ""
    if len(found["at"]) and found["at"][-1] / 1e6 + STEP_S[step] > now.timestamp():
        what = "Today (UTC)" if step is Step.DAY else "The hour that is on"
        # A first day is better than nothing, as long as it says that it is none.
        if len(found["at"]) == 1:
            unfinished = f"{what} is not over: its point is of the samples so far."
        else:
            unfinished = f"{what} is not over and left out. Zoom in to see it."
            found = {name: column[:-1] for name, column in found.items()}
    times, (value, low, high) = _with_gaps(
        found["at"] / 1e6, [found[name] for name in ("mean", "min", "max")], 1.5 * STEP_S[step]
    )
    return Drawn(step, begins, ends, times, value, low, high, unfinished)


def _with_gaps(at: Any, columns: list[Any], longest_s: float) -> tuple[list[float], list[list[float | None]]]:
    """Return times and columns with a None between points that are too far apart to be joined by a line."""
    breaks = np.flatnonzero(np.diff(at) > longest_s) + 1
    times = np.insert(at, breaks, at[breaks - 1] + longest_s / 2) if len(breaks) else at
    filled = []
    for column in columns:
        holed = np.insert(column, breaks, np.nan) if len(breaks) else column
        filled.append([None if np.isnan(one) else float(one) for one in holed])
    return times.tolist(), filled


def _short(values: list[float | None]) -> list[float | None]:
    return [None if one is None else float(f"{one:.6g}") for one in values]
