"""What may be asked of a series: checks with a sentence each, its seasons, and files of values."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from capacity.growth.smooth import Numbers

LEAST = 8
"""Fewer values than this say nothing of what comes next."""
MOST_STEPS = 2_000_000
USUAL_DAYS = (24, 48, 96, 144, 288, 1440, 7, 12, 52)
"""Seasons that are looked for where nobody names one: a day in steps from an hour to a minute, a week, a year."""
WITH_WEEKS = (24, 48, 96, 144, 288, 1440)
SEEN_AGAIN = 0.3
"""The correlation with itself a season later that makes a season."""
DAY_S = 86_400
USUAL_STEPS_S = (
    1.0,
    5.0,
    10.0,
    15.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
    900.0,
    1800.0,
    3600.0,
    7200.0,
    float(DAY_S),
    7.0 * DAY_S,
)


def checked(values: Sequence[float] | Numbers, least: int = LEAST) -> Numbers:
    """Return the values as an array of floats, NaN for what is missing. Raises ValueError with a sentence."""
    try:
        series = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as problem:
        raise ValueError("A series is a row of numbers; NaN stands for a missing one.") from problem
    if series.ndim != 1:
        raise ValueError("A series is one row of numbers.")
    if np.isinf(series).any():
        at = int(np.flatnonzero(np.isinf(series))[0])
        raise ValueError(f"Value {at + 1} is infinite. Leave it out, or give NaN where nothing is known.")
    seen = int(np.isfinite(series).sum())
    if seen < least:
        raise ValueError(f"At least {least} values are needed, and there are {seen}.")
    if len(series) > MOST_STEPS:
        raise ValueError(f"At most {MOST_STEPS:,} values are read, and there are {len(series):,}.")
    largest = float(np.nanmax(np.abs(series)))
    if largest > 1e150:
        raise ValueError("Values beyond 1e150 cannot be reckoned with. Give them in a larger unit.")
    return series


def checked_seasons(seasons: Sequence[int]) -> tuple[int, int]:
    """Return the shorter and the longer season, 1 for none. Raises ValueError."""
    asked = sorted({int(season) for season in seasons})
    if any(int(season) != season or season < 1 for season in seasons):
        raise ValueError("A season is a whole number of steps, from 1 (none).")
    asked = [season for season in asked if season > 1]
    if len(asked) > 2:
        raise ValueError("At most two seasons are followed.")
    first, second = [*asked, 1, 1][:2]
    return first, second


def kept_seasons(steps: int, first: int, second: int) -> tuple[int, int, tuple[str, ...]]:
    """Return the seasons that so many steps can show, with a sentence for each that is left out or hardly seen."""
    notes = []
    if second > 1 and steps < 2 * second:
        notes.append(
            f"The season of {second} steps is left out: the series is shorter than two of them ({2 * second} steps)."
        )
        second = 1
    if first > 1 and steps < first + 2:
        notes.append(f"The season of {first} steps is left out: the series is hardly as long as one of them.")
        first = 1
    elif first > 1 and steps < 2 * first:
        notes.append(
            f"The season of {first} steps was seen less than twice ({2 * first} steps are needed): the intervals are a guess."
        )
    return first, second, tuple(notes)


def seasons_of(step_s: float) -> tuple[int, int]:
    """Return day and week in steps of `step_s` seconds; 1 for what has less than 4 steps or is no whole number of them."""
    found = []
    for length in (DAY_S, 7 * DAY_S):
        steps = length / step_s
        found.append(round(steps) if steps >= 4 and abs(steps - round(steps)) < 1e-6 * steps else 1)
    first, second = found
    return (first, second) if first > 1 else (second, 1)


def guessed_seasons(values: Numbers) -> tuple[int, int]:
    """Return the seasons that a series shows by its correlation with itself; 1 for none."""
    series = np.asarray(values, dtype=np.float64)
    seen = np.isfinite(series)
    if seen.sum() < 16:
        return 1, 1
    at = np.arange(len(series))
    filled = np.interp(at, at[seen], series[seen])
    line = np.polyfit(at, filled, 1)
    rest = filled - np.polyval(line, at)
    middle = float(np.median(rest))
    spread = 1.4826 * float(np.median(np.abs(rest - middle)))
    if spread <= 0.0:
        return 1, 1
    rest = np.clip((rest - middle) / spread, -3.0, 3.0)
    size = 1 << (2 * len(rest) - 1).bit_length()
    power = np.abs(np.fft.rfft(rest, size)) ** 2
    correlation = np.fft.irfft(power, size)[: len(rest)]
    correlation = correlation / correlation[0] * len(rest) / (len(rest) - at)
    found = [
        (float(correlation[season]), season)
        for season in USUAL_DAYS
        if len(rest) >= 3 * season
        and correlation[season] >= SEEN_AGAIN
        and correlation[season] >= correlation[season - max(1, season // 6)]
        and correlation[season] >= correlation[season + max(1, season // 6)]
    ]
    if not found:
        return 1, 1
    strongest = max(found)[0]
    first = min(season for value, season in found if value >= 0.85 * strongest)
    second = 7 * first if first in WITH_WEEKS and len(rest) >= 14 * first else 1
    return first, second


# --- files -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Read:
    """Values of a file on an even grid, NaN where the file has none; `start` and `step_s` None without times."""

    values: Numbers
    start: datetime | None
    step_s: float | None

    def at(self, step: int) -> datetime | None:
        """Return the time of a step."""
        if self.start is None or self.step_s is None:
            return None
        return self.start + timedelta(seconds=step * self.step_s)


def read_values(text: str) -> Read:
    """Return the values of a CSV: one a line, or time and value, with or without a header line.

    A line without anything is passed over. Times are ISO 8601 (UTC where no zone is named) or seconds since 1970; they are put in order, twice the same time
    takes the later line. An empty value, `nan` or `null` is missing. Raises ValueError naming the line.
    """
    rows: list[tuple[int, list[str]]] = []
    text = text.removeprefix("\ufeff")
    sample = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = next((sign for sign in (",", ";", "\t") if sign in sample), ",")
    for number, row in enumerate(csv.reader(io.StringIO(text), delimiter=delimiter), start=1):
        cells = [cell.strip() for cell in row]
        if any(cells):
            rows.append((number, cells))
    if not rows:
        raise ValueError("The file has no values.")
    head = rows[0][1]
    if not _is_value(head[0] if len(head) == 1 else head[1]):
        rows = rows[1:]
    if not rows:
        raise ValueError("The file has a header and no values.")
    if all(len(cells) == 1 for _, cells in rows):
        return Read(np.array([_value(cells[0], number) for number, cells in rows]), None, None)
    return _on_grid([(_time(cells, number), _value(cells[1], number)) for number, cells in rows])


def _is_value(cell: str) -> bool:
    try:
        _value(cell, 0)
    except ValueError:
        return False
    return True


def _value(cell: str, line: int) -> float:
    if cell.lower() in {"", "nan", "null", "none", "na", "n/a"}:
        return float("nan")
    try:
        return float(cell)
    except ValueError:
        raise ValueError(f"Line {line}: {cell[:40]!r} is no number.") from None


def _time(cells: list[str], line: int) -> float:
    if len(cells) < 2:
        raise ValueError(f"Line {line}: a time and a value are expected, separated by a comma.")
    cell = cells[0]
    try:
        return float(cell)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(cell)
    except ValueError:
        raise ValueError(
            f"Line {line}: {cell[:40]!r} is no time (ISO 8601, or seconds since 1970)."
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _on_grid(pairs: list[tuple[float, float]]) -> Read:
    """Put values on an even grid whose step is the usual distance of two times."""
    known = dict(pairs)
    times = np.array(sorted(known))
    values = np.array([known[time] for time in times])
    if not np.isfinite(times).all():
        raise ValueError("A time is not finite.")
    if len(times) < 2:
        return Read(values, _moment(times[0]), None)
    step = _usual_step(float(np.median(np.diff(times))))
    slots = np.rint((times - times[0]) / step).astype(np.int64)
    if slots[-1] >= MOST_STEPS:
        raise ValueError(f"The times lie too far apart: {int(slots[-1]) + 1:,} steps of {step:g} s.")
    grid = np.full(int(slots[-1]) + 1, np.nan)
    grid[slots] = values
    return Read(grid, _moment(times[0]), step)


def _usual_step(step_s: float) -> float:
    """Return the usual step next to one that is off by less than 1 %: whoever measures each hour is a little late at times."""
    return next((usual for usual in USUAL_STEPS_S if abs(step_s - usual) < 0.01 * usual), step_s)


def _moment(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
