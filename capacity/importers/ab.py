"""ApacheBench: its text, the single requests (`-g`) and the percentiles (`-e`) (httpd: support/ab.c).

"Failed requests" of the text counts every answer that is not as long as the first one, which any page with changing
content is; those are named and not counted as failures. "Non-2xx responses" stand apart from it, redirects included.
"""

from __future__ import annotations

import re

from capacity.importers import notes
from capacity.importers.histogram import Running, Series, unjudged
from capacity.importers.reading import (
    NO_LINE_END,
    Source,
    clean,
    epoch,
    in_range,
    number,
    refuse,
    rows,
    target,
    whole,
)
from capacity.importers.types import BenchmarkResult, ErrorKind, Format, Latency, Load, Percentile

_WHOLE_MS = "Times are rounded to whole milliseconds by ab."
_NO_TABLE = (
    "ab leaves out the percentages when it is run with -d; if it was not, the text was cut off before them."
)
_CODES = "The file does not tell which statuses came."


def read_text(source: Source) -> BenchmarkResult:
    """Return what ab printed. Raises ImportRefused."""
    lines = source.text().split("\n")
    said: dict[str, tuple[str, int]] = {}
    percentiles: list[Percentile] = []
    total: list[float] = []
    kinds: list[ErrorKind] = []
    version = None
    longest = None
    for index, line in enumerate(lines, 1):
        if found := re.match(r"^This is ApacheBench, Version (\S+)", line):
            if version:
                refuse("The text holds more than one run. Hand in each run as a file of its own.", index)
            version = clean(found[1], 40)
        elif found := re.match(
            r"^\s+\(Connect: (\d+), Receive: (\d+), Length: (\d+), Exceptions: (\d+)\)", line
        ):
            names = ("connect", "receive", "other length than the first answer", "exceptions")
            kinds = [
                ErrorKind(name, whole(count, name, line=index))
                for name, count in zip(names, found.groups(), strict=True)
                if count.strip("0")
            ]
        elif found := re.match(r"^Total:((?:\s+\d+(?:\.\d+)?){3,5})\s*$", line):
            total = [number(text, "Total", line=index) for text in found[1].split()]
        elif found := re.match(r"^\s+(\d+)%\s+(\d+)(\s+\(longest request\))?\s*$", line):
            percent, ms = (
                number(found[1], "percentile", line=index),
                number(found[2], "percentile", line=index),
            )
            if not 0 < percent <= 100 or (
                percentiles and (percent <= percentiles[-1].percent or ms < percentiles[-1].ms)
            ):
                refuse("The percentiles do not rise. The text is damaged here.", index)
            percentiles.append(Percentile(percent, ms))
            longest = ms if percent == 100 else longest
        elif found := re.match(r"^([A-Z][\w/ -]*):\s+(.*\S)\s*$", line):
            # Of the two lines "Time per request" the first is of one request.
            said.setdefault(found[1], (found[2], index))
    complete = _count(said, "Complete requests", len(lines))
    requests_per_s = _first_number(said, "Requests per second", len(lines))
    if complete and (
        not total or (not percentiles and any(line.startswith("Percentage of") for line in lines))
    ):
        refuse(
            "The text ends here before its times and percentages. It is cut off; copy all that ab printed.",
            len(lines),
        )
    if percentiles and longest is None:
        refuse(
            "The percentiles end before “100% … (longest request)”. The text is cut off; copy all that ab printed.",
            len(lines),
        )
    refused = _count(said, "Non-2xx responses", len(lines), least=0)
    written = _count(said, "Write errors", len(lines), least=0)
    if refused:
        kinds.append(ErrorKind("status outside 200 to 299", refused))
    if written:
        kinds.append(ErrorKind("write", written))
    failed = {kind.kind: kind.count or 0 for kind in kinds}
    other_length = failed.pop("other length than the first answer", 0)
    lost = min(failed.get("connect", 0) + failed.get("receive", 0) + failed.get("exceptions", 0), complete)
    return BenchmarkResult(
        provenance=source.provenance(Format.AB),
        tool="ApacheBench",
        tool_version=version,
        duration_s=_first_number(said, "Time taken for tests", len(lines)),
        load=Load.CLOSED,
        users=_count(said, "Concurrency Level", len(lines)),
        requests=complete,
        answered=complete - lost,
        failures=min(sum(failed.values()), complete),
        requests_per_s=requests_per_s,
        bytes_received=_count(said, "Total transferred", len(lines)),
        latency=Latency(
            counted=complete,
            min_ms=total[0] if total else None,
            mean_ms=total[1] if total else None,
            # With -S ab prints neither deviation nor median.
            stdev_ms=total[2] if len(total) == 5 else None,
            max_ms=total[-1] if total else longest,
            percentiles=tuple(percentiles),
        ),
        errors=tuple(kinds),
        targets=_targets(said),
        notes=(
            notes.CLOSED,
            *(
                (
                    f"{other_length:,} answers were not as long as the first one. ab calls them failed; here they are not, "
                    "because pages with changing content are of changing length.",
                )
                if other_length
                else ()
            ),
            *(
                (
                    "ab counts redirects as Non-2xx responses; here they are failures, for it did not follow them.",
                )
                if refused
                else ()
            ),
            *(() if percentiles else (notes.NO_PERCENTILES, _NO_TABLE)),
            _WHOLE_MS,
            _CODES,
            notes.NO_TIMES,
            notes.ONE_GENERATOR,
            *source.notes(),
        ),
    )


def _count(said: dict[str, tuple[str, int]], name: str, end: int, *, least: int | None = None) -> int:
    if name not in said and least is not None:
        return least
    return whole(_first_number(said, name, end), name, line=said[name][1])


def _first_number(said: dict[str, tuple[str, int]], name: str, end: int) -> float:
    if name not in said:
        refuse(
            f"The text ends here without “{name}:”. It is cut off, or ab gave up; copy all that ab printed.",
            end,
        )
    text, line = said[name]
    return number(text.split()[0], name, line=line)


def _targets(said: dict[str, tuple[str, int]]) -> tuple[str, ...]:
    if any(name not in said for name in ("Server Hostname", "Server Port", "Document Path")):
        return ()
    host, port, path = (said[name][0] for name in ("Server Hostname", "Server Port", "Document Path"))
    scheme = "https" if "SSL/TLS Protocol" in said else "http"
    address = target(f"{scheme}://{host}:{port}{path if path.startswith('/') else ''}")
    return (address,) if address else ()


def read_requests(source: Source) -> BenchmarkResult:
    """Return what `ab -g` wrote: a row for each request, sorted by how long it took. Raises ImportRefused."""
    running, series = Running(), Series()
    first_s, last_s = None, 0.0
    for row in rows(source, ("seconds", "ttime"), "ab’s -g file"):
        at_s, ms = row.need("seconds"), row.need("ttime")
        in_range(at_s, row.line)
        running.add(ms)
        series.add(at_s, ms, failed=False)
        first_s = at_s if first_s is None else min(first_s, at_s)
        last_s = max(last_s, at_s + ms / 1000)
    if first_s is None:
        refuse("The file holds a header and no request. It is cut off, or no request was answered.", 1)
    duration_s = last_s - first_s
    # Starts are whole seconds: under ten of them a rate would be off by more than a tenth.
    known = duration_s >= 10
    latency = running.latency()
    return BenchmarkResult(
        provenance=source.provenance(Format.AB_REQUESTS),
        tool="ApacheBench",
        started_at=epoch(first_s),
        ended_at=epoch(last_s) if known else None,
        duration_s=duration_s if known else None,
        load=Load.CLOSED,
        requests=running.count,
        requests_per_s=running.count / duration_s if known else None,
        latency=latency,
        histogram=running.histogram(),
        points=unjudged(series.points(first_s, last_s)) if known else (),
        notes=(
            "The file does not tell which requests failed.",
            "Starts are written in whole seconds, so the duration is known to a second"
            + ("." if known else "; the run is too short for a rate."),
            notes.CLOSED,
            _WHOLE_MS,
            *notes.counted(latency.error_ratio),
            *source.notes(),
            *(() if source.ended else (NO_LINE_END,)),
        ),
    )


def read_percentiles(source: Source) -> BenchmarkResult:
    """Return what `ab -e` wrote: the time within which each percentage was served. Raises ImportRefused."""
    percentiles: list[Percentile] = []
    for row in rows(source, ("percentage served", "time in ms"), "ab’s -e file"):
        percent, ms = row.need("percentage served"), row.need("time in ms")
        if percent > 100 or (percentiles and (percent <= percentiles[-1].percent or ms < percentiles[-1].ms)):
            refuse("The percentages do not rise. The file is damaged here.", row.line)
        percentiles.append(Percentile(percent, ms))
    if not percentiles or percentiles[-1].percent < 99:
        refuse(
            "The file ends before the 99th percentage. It is cut off; hand in the whole file.",
            source.line or 1,
        )
    return BenchmarkResult(
        provenance=source.provenance(Format.AB_PERCENTILES),
        tool="ApacheBench",
        load=Load.CLOSED,
        latency=Latency(
            min_ms=percentiles[0].ms if percentiles[0].percent == 0 else None,
            max_ms=percentiles[-1].ms if percentiles[-1].percent == 100 else None,
            percentiles=tuple(each for each in percentiles if each.percent > 0),
        ),
        notes=(
            notes.NO_COUNTS,
            notes.CLOSED,
            notes.NO_TIMES,
            *source.notes(),
            *(() if source.ended else (NO_LINE_END,)),
        ),
    )
