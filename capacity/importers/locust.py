"""Locust's statistics, history and failures as CSV, and its JSON (locustio/locust: locust/stats.py).

Times are milliseconds, which Locust rounds to about two digits before it makes percentiles of them. The history has
percentiles of the last seconds only; what is of the whole run stands in its columns named Total.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any

from capacity.importers import notes
from capacity.importers.histogram import Running
from capacity.importers.reading import (
    MAX_NAMES,
    NO_LINE_END,
    Row,
    Source,
    clean,
    epoch,
    error_kind,
    in_range,
    number,
    refuse,
    rfc3339,
    rows,
    whole,
)
from capacity.importers.types import (
    BenchmarkResult,
    ErrorKind,
    Format,
    Latency,
    Load,
    Part,
    Percentile,
    Point,
    point_percentiles,
)

_ROUNDED = "Locust rounds times to about two digits before it makes percentiles of them."
_FAILED = "Requests a second count failed requests too; the script says what failed."
_NO_STATUS = "The file does not tell which statuses came, nor how many requests got no answer."
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d+)?)%")
MAX_HISTORY = 50_000
"""The most seconds of a history that are kept: 13 hours."""


def _percentiles(row: Row) -> tuple[Percentile, ...]:
    """Return the percentiles of a row. N/A, and 0 for a stretch without a request, are none."""
    found = []
    for name in row.fields:
        if match := _PERCENT.fullmatch(name):
            percent, ms = number(match[1], name, line=row.line), row.number(name)
            if ms is not None and 0 < percent <= 100:
                found.append(Percentile(percent, ms))
    found.sort(key=lambda each: each.percent)
    if any(one.ms > other.ms for one, other in pairwise(found)):
        refuse("The percentiles do not rise. The file is damaged here.", row.line)
    return tuple(found)


def _counts(row: Row, requests: str, failures: str) -> tuple[int, int]:
    tried = whole(row.need(requests), requests, line=row.line)
    failed = whole(row.need(failures), failures, line=row.line)
    if failed > tried:
        refuse(
            f"{failed:,} of {tried:,} requests failed, which cannot be. The file is damaged here.", row.line
        )
    return tried, failed


def read_stats(source: Source) -> BenchmarkResult:
    """Return what stands in PREFIX_stats.csv. Raises ImportRefused."""
    parts: list[Part] = []
    whole_run: Part | None = None
    more = 0
    needed = ("type", "name", "request count", "failure count", "requests/s")
    for row in rows(source, needed, "Locust’s statistics"):
        if whole_run is not None:
            refuse(
                "A line follows after “Aggregated”, which is the last one. Hand in each run as a file of its own.",
                row.line,
            )
        tried, failed = _counts(row, "request count", "failure count")
        part = Part(
            name=clean(row.text("name")) or "(no name)",
            method=clean(row.text("type"), 40) or None,
            requests=tried,
            failures=failed,
            requests_per_s=row.number("requests/s"),
            latency=Latency(
                counted=tried,
                min_ms=row.number("min response time") if tried else None,
                mean_ms=row.number("average response time") if tried else None,
                max_ms=row.number("max response time") if tried else None,
                percentiles=_percentiles(row) if tried else (),
            ),
        )
        if not row.text("type") and row.text("name") == "Aggregated":
            whole_run = part
        elif len(parts) < MAX_NAMES:
            parts.append(part)
        else:
            more += 1
    if whole_run is None:
        refuse(
            "The file ends before its line “Aggregated”. It is cut off, or the run goes on; wait for its end and hand in the whole file.",
            source.line or 1,
        )
    rate, tried = whole_run.requests_per_s, whole_run.requests or 0
    return BenchmarkResult(
        provenance=source.provenance(Format.LOCUST_STATS),
        tool="Locust",
        duration_s=tried / rate if rate and tried else None,
        load=Load.CLOSED,
        requests=tried,
        failures=whole_run.failures,
        requests_per_s=rate,
        latency=whole_run.latency,
        parts=tuple(parts),
        notes=(
            notes.CLOSED,
            _ROUNDED,
            _FAILED,
            "The duration is requests divided by requests a second: from the first request to the last.",
            "The file does not tell how many users there were; PREFIX_stats_history.csv does.",
            *((f"{more:,} more names were left out of the parts.",) if more else ()),
            _NO_STATUS,
            notes.NO_TIMES,
            notes.ONE_GENERATOR,
            *source.notes(),
            *(() if source.ended else (NO_LINE_END,)),
        ),
    )


def read_history(source: Source) -> BenchmarkResult:
    """Return what stands in PREFIX_stats_history.csv: the run second by second. Raises ImportRefused."""
    seconds: list[tuple[float, Point, int, int]] = []
    last: Row | None = None
    again = False
    needed = ("timestamp", "user count", "name", "total request count", "total failure count")
    for row in rows(source, needed, "Locust’s history"):
        if row.text("type") or row.text("name") != "Aggregated":
            continue
        at_s = row.need("timestamp")
        in_range(at_s, row.line)
        tried, failed = _counts(row, "total request count", "total failure count")
        if seconds and at_s < seconds[-1][0]:
            refuse("The times do not rise. Hand in each run as a file of its own.", row.line)
        begun_again = bool(seconds) and (tried < seconds[-1][2] or failed < seconds[-1][3])
        again = again or begun_again
        if seconds and at_s == seconds[-1][0] and not begun_again:
            # Its counts are of the whole second: what the line before told is in them.
            seconds.pop()
        before = (0, 0) if not seconds or begun_again else seconds[-1][2:]
        new = tried - before[0]
        rate = row.number("requests/s")
        # Without a request in its stretch Locust writes 0 or N/A for each percentile.
        told = _percentiles(row) if rate else ()
        point = Point(
            offset_s=at_s - seconds[0][0] if seconds else 0.0,
            length_s=0.0,
            users=row.count("user count"),
            requests=new,
            failures=min(failed - before[1], new),
            requests_per_s=rate,
            failures_per_s=row.number("failures/s"),
            **point_percentiles(told),
            counted=None,
        )
        seconds.append((at_s, point, tried, failed))
        last = row
        if len(seconds) > MAX_HISTORY:
            refuse(
                f"The history has more than {MAX_HISTORY:,} seconds. Hand in the part of the run that counts.",
                row.line,
            )
    if last is None:
        refuse(
            "The file has no line “Aggregated”. It is cut off after its head, or no second passed.",
            source.line or 1,
        )
    began, ended = seconds[0][0], seconds[-1][0]
    tried, failed = seconds[-1][2:]
    duration_s = ended - began
    # A line tells what came in since the line before it, so its stretch ends at its time.
    points = tuple(
        _placed(point, before - began, at - before)
        for (before, *_), (at, point, *_) in pairwise(seconds)
        if at > before
    )
    median = last.number("total median response time") if tried else None
    return BenchmarkResult(
        provenance=source.provenance(Format.LOCUST_HISTORY),
        tool="Locust",
        started_at=epoch(began),
        ended_at=epoch(ended),
        duration_s=duration_s,
        load=Load.CLOSED,
        users=max((point.users for _, point, *_ in seconds if point.users is not None), default=None),
        requests=tried,
        failures=failed,
        requests_per_s=tried / duration_s if duration_s and not again else None,
        latency=Latency(
            counted=tried,
            min_ms=last.number("total min response time") if tried else None,
            mean_ms=last.number("total average response time") if tried else None,
            max_ms=last.number("total max response time") if tried else None,
            percentiles=() if median is None else (Percentile(50.0, median),),
        ),
        points=points,
        notes=(
            notes.CLOSED,
            _ROUNDED,
            _FAILED,
            "Rates and percentiles of a point are of the last ten seconds or so, as Locust writes them; its counts are of its own stretch. "
            "Percentiles of the whole run beyond the median stand in PREFIX_stats.csv only.",
            *(
                (
                    "The counts begin anew within the run (Locust resets them when all users have started); sums are of what came since.",
                )
                if again
                else ()
            ),
            _NO_STATUS,
            notes.ONE_GENERATOR,
            *source.notes(),
            *(() if source.ended else (NO_LINE_END,)),
        ),
    )


def _placed(point: Point, offset_s: float, length_s: float) -> Point:
    return replace(point, offset_s=offset_s, length_s=length_s)


def read_failures(source: Source) -> BenchmarkResult:
    """Return what stands in PREFIX_failures.csv: what failed, and nothing of what did not. Raises ImportRefused."""
    errors: dict[str, int] = {}
    times = []
    for row in rows(source, ("method", "name", "error", "occurrences"), "Locust’s failures"):
        kind = error_kind(f"{row.text('method')} {row.text('name')}: {row.text('error')}")
        if kind not in errors and len(errors) >= MAX_NAMES:
            refuse(
                f"The file has more than {MAX_NAMES:,} kinds of failures. Give requests names that do not change.",
                row.line,
            )
        errors[kind] = errors.get(kind, 0) + whole(row.need("occurrences"), "occurrences", line=row.line)
        times += [
            _seen(row.text(name), name, row.line) for name in ("first seen", "last seen") if row.text(name)
        ]
    spans = (
        f" They came from {min(times):%Y-%m-%d %H:%M:%S} to {max(times):%Y-%m-%d %H:%M:%S} UTC."
        if times
        else ""
    )
    return BenchmarkResult(
        provenance=source.provenance(Format.LOCUST_FAILURES),
        tool="Locust",
        load=Load.CLOSED,
        failures=sum(errors.values()),
        errors=tuple(ErrorKind(kind, count) for kind, count in errors.items()),
        notes=(
            "The file lists failures and nothing else: hand in PREFIX_stats_history.csv or PREFIX_stats.csv for what was measured."
            + spans,
            *source.notes(),
            *(() if source.ended else (NO_LINE_END,)),
        ),
    )


def _seen(text: str, name: str, line: int) -> Any:
    return epoch(float(text), line) if re.fullmatch(r"\d{9,11}(\.\d+)?", text) else rfc3339(text, name, line)


def read_json(source: Source) -> BenchmarkResult:
    """Return what `locust --json-file` wrote: for each name how many requests took how long. Raises ImportRefused."""
    found = source.document()
    if not isinstance(found, list) or not found or not all(isinstance(each, dict) for each in found):
        refuse(
            "A list of statistics was expected, one for each name of a request. This is no JSON of Locust, or nothing was asked."
        )
    if len(found) > MAX_NAMES:
        refuse(f"The file has more than {MAX_NAMES:,} names. Give requests names that do not change.")
    total, parts, starts, ends = Running(), [], [], []
    tried = failed = received = 0
    for each in found:
        requests, failures = (
            whole(each.get("num_requests"), "num_requests"),
            whole(each.get("num_failures"), "num_failures"),
        )
        if failures > requests:
            refuse(f"{failures:,} of {requests:,} requests failed, which cannot be. The file is damaged.")
        running = Running()
        for ms, count in _times(each.get("response_times")):
            running.add(ms, count)
            total.add(ms, count)
        tried, failed = tried + requests, failed + failures
        received += whole(each.get("total_content_length") or 0, "total_content_length")
        if requests:
            starts.append(number(each.get("start_time"), "start_time"))
            ends.append(number(each.get("last_request_timestamp"), "last_request_timestamp"))
        parts.append(
            Part(
                name=clean(str(each.get("name"))),
                method=clean(str(each.get("method")), 40) if each.get("method") else None,
                requests=requests,
                failures=failures,
                latency=running.latency(),
            )
        )
    began, ended = (epoch(min(starts)), epoch(max(ends))) if starts else (None, None)
    if began and ended and ended < began:
        refuse("The last request lies before the start. The file is damaged.")
    duration_s = (ended - began).total_seconds() if began and ended else None
    latency = total.latency()
    return BenchmarkResult(
        provenance=source.provenance(Format.LOCUST_JSON),
        tool="Locust",
        started_at=began,
        ended_at=ended,
        duration_s=duration_s,
        load=Load.CLOSED,
        requests=tried,
        failures=failed,
        requests_per_s=tried / duration_s if duration_s else None,
        bytes_received=received,
        latency=latency,
        histogram=total.histogram(),
        parts=tuple(parts),
        notes=(
            notes.CLOSED,
            _ROUNDED,
            _FAILED,
            "The file does not tell how many users there were; PREFIX_stats_history.csv does.",
            _NO_STATUS,
            notes.ONE_GENERATOR,
            *source.notes(),
        ),
    )


def _times(value: Any) -> Iterable[tuple[float, int]]:
    if not isinstance(value, dict):
        refuse("“response_times” is missing. This is no JSON of Locust, or it is damaged.")
    for ms, count in value.items():
        if times := whole(count, "response_times"):
            yield number(ms, "response_times"), times
