"""The tables behind a series' chart, for whoever reads it by keyboard or screen reader: what the chart draws, nothing left out.

Where a stretch has more moments than anybody reads row by row, each row stands for several and says their least, mean and
most, so that the highest moment is always met. Pure: values in, rows of texts out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from math import floor, log10
from typing import Any

import numpy as np

from capacity.metrics.chart import STEP_S, Drawn
from capacity.metrics.overlays import Event, Moment
from capacity.metrics.series import Step
from portal.ui.charts import number

MOST_ROWS = 370
"""A year by the day has a row for each day; more would make the heaviest pages too heavy."""
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
_LENGTHS_S = (60, 300, 600, 900, 1800, 3600, 10_800, 21_600, 43_200, _DAY_S, 7 * _DAY_S, 28 * _DAY_S)
_SURE = ("80", "95")
"""Of the three ranges that are drawn the two that pages speak of."""

Columns = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Row:
    """One row: its moment and values as people read them (None: no sample), and what happened then."""

    at: str
    values: tuple[str | None, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """`time_head` names the column of moments, `heads` those of values; `says` what one row stands for where that is not one point."""

    time_head: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    says: str = ""


@dataclass(frozen=True)
class Tables:
    """What was measured, and what is forecast (None where the chart draws none). `highest` is a sentence, "" without a sample."""

    measured: Table
    forecast: Table | None
    highest: str


def tables_of(
    found: Drawn,
    backdrop: Mapping[str, Columns | None],
    events: Sequence[Event],
    moments: Sequence[Moment],
    *,
    zone: tzinfo,
    unit: str = "",
) -> Tables:
    """Return the tables of what is drawn; `backdrop` has the columns of `band` and `cone`. Days are UTC's, all else is in `zone`."""
    at = np.array(found.at, dtype=float)
    words = _Words(found.step is Step.DAY, zone)
    tops = np.array(found.value if found.high is None else found.high, dtype=float)
    highest_at, highest = None, ""
    if not np.isnan(tops).all():
        highest_at = float(at[np.nanargmax(tops)])
        most = f"{short(float(np.nanmax(tops)))} {unit}".rstrip()
        highest = f"The most was {most} on {words.moment(highest_at)}."
    return Tables(
        _measured(found, at, highest_at, backdrop.get("band"), [*events, *moments], words),
        _forecast(backdrop.get("cone"), words),
        highest,
    )


def short(value: float) -> str:
    """Return four digits of a value, more where that many stand before its point."""
    return number(value, max(0, 3 - floor(log10(abs(value)))) if value else 0)


@dataclass(frozen=True)
class _Words:
    is_daily: bool
    zone: tzinfo

    @property
    def head(self) -> str:
        return "Day (UTC)" if self.is_daily else f"Time ({self.zone})"

    def moment(self, at_s: float) -> str:
        at = datetime.fromtimestamp(at_s, UTC if self.is_daily else self.zone)
        # Samples closer than a minute would all read alike without their seconds.
        clock = "" if self.is_daily else f", {at:%H:%M:%S}" if at.second else f", {at:%H:%M}"
        return f"{at.day} {at:%b %Y}{clock}"


def _length(length_s: int) -> str:
    for size_s, word in ((_DAY_S, "day"), (_HOUR_S, "hour"), (_MINUTE_S, "minute")):
        if length_s >= size_s:
            count = length_s // size_s
            return f"{count} {word}" if count == 1 else f"{count} {word}s"
    raise ValueError(length_s)


def _groups(at: Any) -> tuple[Any, int]:
    """Return where each row begins in `at`, and how long a row is; 0 where each moment has its own."""
    if len(at) <= MOST_ROWS:
        return np.arange(len(at)), 0
    for length_s in _LENGTHS_S:
        firsts = np.unique(at // length_s, return_index=True)[1]
        if len(firsts) <= MOST_ROWS:
            break
    return firsts, length_s


def _measured(
    found: Drawn,
    at: Any,
    highest_at: float | None,
    band: Columns | None,
    overlays: Sequence[Event | Moment],
    words: _Words,
) -> Table:
    firsts, length_s = _groups(at)
    begins = at[firsts] // length_s * length_s if length_s else at[firsts]
    own_s = length_s or STEP_S.get(found.step) or (float(np.median(np.diff(at))) if len(at) > 1 else 1.0)
    # A row lasts until the next one: a gap has its own, and what is shorter than a row's distance still falls into one.
    ends = np.append(begins[1:], begins[-1:] + own_s)
    mean = np.array(found.value, dtype=float)
    columns: list[tuple[str, Any]]
    if found.low is None and not length_s:
        columns = [("value", mean)]
    else:
        low, high = (mean if one is None else np.array(one, dtype=float) for one in (found.low, found.high))
        columns = [
            ("mean", _each(_mean, mean, firsts)),
            ("least", _each(np.fmin.reduce, low, firsts)),
            ("most", _each(np.fmax.reduce, high, firsts)),
        ]
    if band:
        columns += _usual(band, begins, ends, _DAY_S if words.is_daily else _HOUR_S)
    rows = []
    for index, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
        notes = [one.label for one in overlays if _falls_into(one, begin, end)]
        if highest_at is not None and begin <= highest_at < end:
            notes.insert(0, f"the most, on {words.moment(highest_at)}" if length_s else "the most")
        rows.append(Row(words.moment(begin), _texts(columns, index), tuple(notes)))
    return Table(
        words.head,
        tuple(name for name, _ in columns),
        tuple(rows),
        f"Each row stands for {_length(length_s)} from its time on, since {len(at)} rows are too many; zoom in for them."
        if length_s
        else "",
    )


def _falls_into(one: Event | Moment, begin: float, end: float) -> bool:
    if isinstance(one, Event):
        return one.begins.timestamp() < end and one.ends.timestamp() > begin
    return begin <= one.at.timestamp() < end


def _usual(band: Columns, begins: Any, ends: Any, step_s: int) -> list[tuple[str, Any]]:
    """Return from where to where the usual values lie in each row: the least and the most of the band's hours or days in it."""
    at, low, high = (np.array(band[name], dtype=float) for name in ("at", "low", "high"))
    firsts, lasts = np.searchsorted(at, begins - step_s, side="right"), np.searchsorted(at, ends)
    usual_from, usual_to = np.full(len(begins), np.nan), np.full(len(begins), np.nan)
    for index, (first, last) in enumerate(zip(firsts.tolist(), lasts.tolist(), strict=True)):
        if first < last:
            usual_from[index], usual_to[index] = low[first:last].min(), high[first:last].max()
    return [("usual from", usual_from), ("usual to", usual_to)]


def _forecast(cone: Columns | None, words: _Words) -> Table | None:
    if not cone or not len(cone["at"]):
        return None
    named = {name: np.array(values, dtype=float) for name, values in cone.items()}
    firsts, length_s = _groups(named["at"])
    begins = named["at"][firsts] // length_s * length_s if length_s else named["at"][firsts]
    columns = [("expected", _each(_mean, named["point"], firsts))]
    if length_s:
        columns.append(("most expected", _each(np.fmax.reduce, named["point"], firsts)))
    for sure in _SURE:
        columns.append((f"{sure} % sure: from", _each(np.fmin.reduce, named[f"lower{sure}"], firsts)))
        columns.append(("to", _each(np.fmax.reduce, named[f"upper{sure}"], firsts)))
    rows = [Row(words.moment(begin), _texts(columns, index)) for index, begin in enumerate(begins.tolist())]
    return Table(
        words.head,
        tuple(name for name, _ in columns),
        tuple(rows),
        f"Each row stands for {_length(length_s)} from its time on." if length_s else "",
    )


def _each(of: Any, values: Any, firsts: Any) -> Any:
    """Return one value for each row: `of` its values, nan where none is known."""
    return np.array([of(part) for part in np.split(values, firsts[1:])] if len(firsts) else [])


def _mean(values: Any) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _texts(columns: Sequence[tuple[str, Any]], index: int) -> tuple[str | None, ...]:
    return tuple(None if np.isnan(values[index]) else short(float(values[index])) for _, values in columns)
