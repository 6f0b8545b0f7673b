"""Samples as JSON and CSV: rows in, readings and what is wrong by line out. Pure.

A sample names its metric, moment and value; of unit, kind and resource it may say nothing. A moment is ISO 8601 with its
zone, or seconds since 1970. Numbers are written with a point.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from capacity.metrics.kinds import MetricKind
from portal.errors import Refused
from portal.texts import is_sound

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
# Such as the table takes: sums of squares of them are numbers still.
MOST_VALUE = 1e100
# A clock that is ahead; more is a wrong unit or year.
AHEAD = timedelta(minutes=10)
COLUMNS = ("name", "at", "value", "resource", "unit", "kind", "source")
_NEEDED = ("name", "at", "value")
_LONGEST = {"name": 100, "resource": 200, "unit": 30, "source": 100}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?")


class Key(NamedTuple):
    """What a series is told apart by."""

    name: str
    resource: str
    source: str


class Reading(NamedTuple):
    """One sample. `at_us` is microseconds since 1970, UTC; an empty unit or kind says nothing."""

    line: int
    key: Key
    at_us: int
    value: float
    unit: str
    kind: str


class Problem(NamedTuple):
    """What is wrong with one line, or one sample of a list (both count from 1)."""

    line: int
    says: str


class Limits(NamedTuple):
    """Between which moments samples are taken, and which source those have that name none."""

    begins: datetime
    ends: datetime
    source: str


def read_list(rows: Iterable[Any], limits: Limits) -> Iterator[Reading | Problem]:
    """Yield what each sample of a JSON list says, or what is wrong with it."""
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            yield Problem(number, "A sample is an object with name, at and value.")
            continue
        unknown = [name for name in row if name not in COLUMNS]
        if unknown:
            yield Problem(
                number, f"There is no field “{str(unknown[0])[:40]}”. Known are: {', '.join(COLUMNS)}."
            )
            continue
        yield _read(number, row, limits)


def read_csv(file: Iterable[str], limits: Limits) -> Iterator[Reading | Problem]:
    """Yield what each line after the first says, or what is wrong with it. Raises Refused for a file that is no such list.

    The first line names the columns, in any order; comma or semicolon stands between them.
    """
    lines = iter(file)
    head = next(lines, "").removeprefix("\ufeff")
    rows = csv.reader(_with(head, lines), delimiter=";" if ";" in head else ",", strict=True)
    try:
        names = [name.strip().lower() for name in next(rows, [])]
        _check_head(names)
        for row in rows:
            if not row:
                continue
            if len(row) != len(names):
                yield Problem(
                    rows.line_num, f"There are {len(row)} cells; the first line names {len(names)} columns."
                )
            else:
                yield _read(rows.line_num, dict(zip(names, row, strict=True)), limits)
    except csv.Error as problem:
        raise Refused(
            f"Line {rows.line_num} is no CSV (a quote that does not end, or a cell that is too long). Nothing was taken in.",
            code="no_csv",
        ) from problem


def _with(head: str, lines: Iterator[str]) -> Iterator[str]:
    yield head
    yield from lines


def _check_head(names: list[str]) -> None:
    missing = [name for name in _NEEDED if name not in names]
    unknown = [name for name in names if name not in COLUMNS]
    if missing or unknown or len(set(names)) < len(names):
        wrong = (
            "of the CSV is empty"
            if names in ([], [""])
            else f"has no column {', '.join(missing)}"
            if missing
            else f"has a column “{unknown[0][:40]}” that is not known"
            if unknown
            else "names a column twice"
        )
        raise Refused(
            f"The first line {wrong}. It names name, at, value, and where you like {', '.join(COLUMNS[3:])}. "
            "Nothing was taken in.",
            code="no_columns",
        )


def _read(line: int, row: Mapping[str, Any], limits: Limits) -> Reading | Problem:
    texts = {}
    for name, longest in _LONGEST.items():
        text = row.get(name) or ""
        if not isinstance(text, str):
            return Problem(line, f"{name}: this is no text.")
        text = text.strip()
        if len(text) > longest or not is_sound(text) or not text.isprintable():
            return Problem(
                line, f"{name}: this is longer than {longest} characters, or holds some that are not printed."
            )
        texts[name] = text
    if not texts["name"]:
        return Problem(line, "name: say which figure this is, like requests_per_s.")
    kind = row.get("kind") or ""
    if kind not in ("", *MetricKind.values):
        return Problem(line, f"kind: this is none. There are: {', '.join(MetricKind.values)}.")
    at = _moment(row.get("at"))
    if at is None:
        return Problem(
            line,
            "at: this is no moment with its zone, like 2026-11-23T12:10:00Z, and no seconds since 1970 (no milliseconds).",
        )
    if at > limits.ends:
        return Problem(line, "at: this is in the future.")
    if at < limits.begins:
        return Problem(line, f"at: samples are kept since {limits.begins:%Y-%m-%d}; this is older.")
    value = _number(row.get("value"))
    if value is None:
        return Problem(line, "value: this is no number (written with a point, at most 1e100).")
    key = Key(texts["name"], texts["resource"], texts["source"] or limits.source)
    return Reading(line, key, (at - _EPOCH) // _US, value, texts["unit"], kind)


def _moment(given: Any) -> datetime | None:
    seconds = _number(given)
    try:
        if seconds is not None:
            return _EPOCH + timedelta(seconds=seconds)
        at = datetime.fromisoformat(given.strip()) if isinstance(given, str) else None
        # Moved to UTC here, since the first and the last days of the calendar cannot be.
        return at.astimezone(UTC) if at is not None and at.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _number(given: Any) -> float | None:
    """Return a finite number that the table takes. `True`, "nan" and "1_000" are none, though Python reads them as such."""
    if isinstance(given, str):
        given = given.strip()
        if not given.isascii() or not _NUMBER.fullmatch(given):
            return None
    elif isinstance(given, bool) or not isinstance(given, int | float):
        return None
    try:
        value = float(given)
    except OverflowError:
        return None
    return value if math.isfinite(value) and abs(value) <= MOST_VALUE else None


def lines_of(data: bytes) -> Iterable[str]:
    """Return a file's lines as text. Raises Refused where it is not UTF-8."""
    try:
        return io.StringIO(data.decode("utf-8"), newline="")
    except UnicodeDecodeError as problem:
        raise Refused("The file is not UTF-8. Nothing was taken in.", code="no_utf8") from problem
