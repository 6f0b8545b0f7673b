"""vegeta: its JSON and text reports, and its results as JSON lines or CSV (tsenart/vegeta: lib/metrics.go, results.go).

All times are nanoseconds. Success is a status of 200 to 399; status 0 is an error of the transport. The CSV has no header.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from typing import Any

from capacity.importers import notes
from capacity.importers.histogram import Running, Series
from capacity.importers.reading import (
    MAX_NAMES,
    MAX_TARGETS,
    NO_LINE_END,
    OTHERS,
    Source,
    clean,
    epoch,
    error_kind,
    in_range,
    number,
    parse_json,
    raw_rows,
    refuse,
    rfc3339,
    target,
    whole,
)
from capacity.importers.types import (
    BenchmarkResult,
    Bucket,
    ErrorKind,
    Format,
    Latency,
    Load,
    Percentile,
    StatusCode,
)
from capacity.importers.units import duration_ms

_PERCENTILE = re.compile(r"(\d{1,2}(?:\.\d+)?)(?:st|nd|rd|th)")
_UNCOUNTED = "vegeta’s report names each error once and does not say how often it came."
_WAIT = "The duration is that of sending; vegeta then waited for the last answers."


def read_json(source: Source) -> BenchmarkResult:
    """Return what `vegeta report -type=json` wrote. Raises ImportRefused."""
    found = _object(source.document(), "the report")
    times = _object(found.get("latencies"), "latencies")
    requests = whole(found.get("requests"), "requests")
    codes = {
        clean(str(code), 20): whole(count, f"status_codes, {clean(str(code), 20)}")
        for code, count in _object(found.get("status_codes") or {}, "status_codes").items()
    }
    failures = _failures(requests, codes, _given(found, "success"))
    errors = found.get("errors") or []
    if not isinstance(errors, list):
        refuse("“errors” is no list. This is no report of vegeta, or it is damaged.")
    started = rfc3339(found["earliest"], "earliest") if requests and "earliest" in found else None
    ended = rfc3339(found["end"], "end") if requests and "end" in found else None
    if started and ended and ended < started:
        refuse("The end lies before the start. The file is damaged.")
    percentiles = sorted(
        (float(name[1]), number(value, f"latencies, {key}") / 1e6)
        for key, value in times.items()
        if (name := _PERCENTILE.fullmatch(key)) and float(name[1]) > 0
    )
    return _report(
        source,
        Format.VEGETA_JSON,
        requests=requests,
        failures=failures,
        lost=codes.get("0"),
        duration_s=_given(found, "duration", 1e9),
        rate=_given(found, "rate"),
        bytes_received=_bytes(found.get("bytes_in")),
        bytes_sent=_bytes(found.get("bytes_out")),
        latency=_latency(
            requests,
            percentiles,
            _given(times, "min", 1e6),
            _given(times, "mean", 1e6),
            _given(times, "max", 1e6),
        ),
        histogram=_buckets(found.get("buckets")),
        codes=codes,
        errors=[error_kind(str(each)) for each in errors],
        started_at=started,
        ended_at=ended,
        more=(),
    )


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        refuse(f"“{what}” is no JSON object. This is no report of vegeta, or it is damaged.")
    return value


def _given(found: dict[str, Any], key: str, by: float = 1.0) -> float | None:
    return None if found.get(key) is None else number(found[key], key) / by


def _bytes(value: Any) -> int | None:
    return whole(value["total"], "bytes") if isinstance(value, dict) and "total" in value else None


def _failures(requests: int, codes: dict[str, int], success: float | None) -> int | None:
    """Return how many failed: by their statuses where these add up to the requests, else by the share of success."""
    if success is not None and success > 1:
        refuse("“success” is above 1; vegeta writes a share from 0 to 1. The file is damaged.")
    if sum(codes.values()) == requests:
        return sum(count for code, count in codes.items() if not _good(code))
    return None if success is None else requests - round(success * requests)


def _good(code: str) -> bool:
    return code.isdecimal() and len(code) < 5 and 200 <= int(code) <= 399


def _latency(
    requests: int,
    percentiles: list[tuple[float, float]],
    least: float | None,
    mean: float | None,
    most: float | None,
) -> Latency:
    if not requests:
        return Latency(counted=0)
    if any(one[1] > other[1] for one, other in pairwise(percentiles)):
        refuse("The percentiles do not rise. The file is damaged.")
    # Old versions write no minimum, and 0 where they have none.
    return Latency(
        counted=requests,
        min_ms=least or None,
        mean_ms=mean,
        max_ms=most,
        percentiles=tuple(Percentile(percent, ms) for percent, ms in dict(percentiles).items()),
    )


def _buckets(value: Any) -> tuple[Bucket, ...]:
    """Return the histogram: keys are lower ends in nanoseconds, the last bucket is open, so it is left out."""
    if not isinstance(value, dict):
        return ()
    ends = sorted((number(key, "buckets") / 1e6, whole(count, "buckets")) for key, count in value.items())
    return tuple(Bucket(above, upto, count) for (above, count), (upto, _) in pairwise(ends))


def _report(
    source: Source,
    of: Format,
    *,
    requests: int,
    failures: int | None,
    lost: int | None,
    duration_s: float | None,
    rate: float | None,
    bytes_received: int | None,
    bytes_sent: int | None,
    latency: Latency,
    histogram: tuple[Bucket, ...],
    codes: dict[str, int],
    errors: list[str],
    started_at: Any,
    ended_at: Any,
    more: tuple[str, ...],
) -> BenchmarkResult:
    targets = dict.fromkeys(
        address for each in errors if (url := re.search(r'"(\S+)"', each)) and (address := target(url[1]))
    )
    return BenchmarkResult(
        provenance=source.provenance(of),
        tool="vegeta",
        started_at=started_at,
        ended_at=ended_at,
        duration_s=duration_s,
        load=Load.OPEN,
        requests=requests,
        answered=None if lost is None and sum(codes.values()) != requests else max(0, requests - (lost or 0)),
        failures=failures,
        requests_per_s=rate,
        bytes_received=bytes_received,
        bytes_sent=bytes_sent,
        latency=latency,
        histogram=histogram,
        status_codes=tuple(StatusCode(code, count) for code, count in sorted(codes.items()) if code != "0")[
            :MAX_NAMES
        ],
        errors=tuple(ErrorKind(kind, None) for kind in dict.fromkeys(errors))[:MAX_NAMES],
        targets=tuple(targets)[:MAX_TARGETS],
        notes=(
            notes.OPEN,
            "The latencies are of all requests, those without an answer included: a time-out counts with its whole wait.",
            _WAIT,
            *((_UNCOUNTED,) if errors else ()),
            *more,
            notes.ONE_GENERATOR,
            *source.notes(),
        ),
    )


_LABELLED = re.compile(
    r"^(Requests|Duration|Latencies|Bytes In|Bytes Out|Success|Status Codes)\s+\[([^\]]*)\]\s*(.*?)\s*$"
)


def read_text(source: Source) -> BenchmarkResult:
    """Return what `vegeta report` printed: values stand in the order that the line itself names. Raises ImportRefused."""
    lines = source.text().split("\n")
    said: dict[str, tuple[dict[str, str], int]] = {}
    codes: dict[str, int] = {}
    errors: list[str] = []
    listing = False
    for index, line in enumerate(lines, 1):
        if found := _LABELLED.match(line):
            if found[1] in said:
                refuse("The text holds more than one report. Hand in each as a file of its own.", index)
            names = [name.strip() for name in found[2].split(",")]
            values = [value.strip() for value in found[3].split(",")]
            if found[1] == "Status Codes":
                pairs = re.findall(r"(\d+):(\d+)(?:\s|$)", found[3])
                codes = {code: whole(count, f"status {code}", line=index) for code, count in pairs}
            elif len(names) != len(values):
                refuse(
                    f"{len(names)} values were expected after “{found[1]}”. The text is cut off here.", index
                )
            said[found[1]] = (dict(zip(names, values, strict=False)), index)
        elif line.startswith("Error Set:"):
            listing = True
        elif listing and line.strip():
            errors.append(error_kind(line))
    for name in ("Requests", "Duration", "Latencies", "Success", "Status Codes"):
        if name not in said:
            refuse(
                f"The text ends here without “{name}”. It is cut off; copy all that vegeta printed.",
                len(lines),
            )
    if not listing:
        refuse(
            "The text ends here without “Error Set:”. It is cut off; copy all that vegeta printed.",
            len(lines),
        )
    requests = whole(_said(said, "Requests", "total"), "Requests", line=said["Requests"][1])
    times, at = said["Latencies"]
    percentiles = sorted(
        (float(name), duration_ms(value, f"Latencies, {name}", at))
        for name, value in times.items()
        if re.fullmatch(r"\d{1,2}(\.\d+)?", name) and float(name) > 0
    )
    least, mean, most = (
        duration_ms(times[name], f"Latencies, {name}", at) if name in times else None
        for name in ("min", "mean", "max")
    )
    success = (
        number(said["Success"][0].get("ratio", "").rstrip("%"), "Success", line=said["Success"][1]) / 100
    )
    sending, sending_at = said["Duration"]
    attack = sending.get("attack", sending.get("total", ""))
    return _report(
        source,
        Format.VEGETA_TEXT,
        requests=requests,
        failures=_failures(requests, codes, success),
        lost=codes.get("0"),
        duration_s=duration_ms(attack, "Duration", sending_at) / 1000,
        rate=number(_said(said, "Requests", "rate"), "rate", line=said["Requests"][1]),
        bytes_received=_said_bytes(said, "Bytes In"),
        bytes_sent=_said_bytes(said, "Bytes Out"),
        latency=_latency(requests, percentiles, least, mean, most),
        histogram=(),
        codes=codes,
        errors=errors,
        started_at=None,
        ended_at=None,
        more=(notes.NO_TIMES,),
    )


def _said(said: dict[str, tuple[dict[str, str], int]], label: str, name: str) -> str:
    values, line = said[label]
    if name not in values:
        refuse(
            f"“{label}” has no “{name}”. This is a report of a version of vegeta that is not understood.",
            line,
        )
    return values[name]


def _said_bytes(said: dict[str, tuple[dict[str, str], int]], label: str) -> int | None:
    return whole(_said(said, label, "total"), label, line=said[label][1]) if label in said else None


class _Hits:
    """Single results as they come, in any order."""

    def __init__(self) -> None:
        self.running, self.series = Running(), Series()
        self.codes: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.targets: dict[str, None] = {}
        self.received = self.sent = self.failures = self.lost = 0
        self.first_s: float | None = None
        self.last_s = self.end_s = 0.0

    def add(
        self, at_s: float, code: int, latency_ns: float, got: int, sent: int, error: str, url: str, line: int
    ) -> None:
        in_range(at_s, line)
        ms = latency_ns / 1e6
        failed = not 200 <= code <= 399
        self.running.add(ms)
        self.series.add(at_s, ms, failed=failed)
        self.failures += failed
        self.lost += code == 0
        if code:
            _count(self.codes, str(code))
        if error:
            _count(self.errors, error_kind(error))
        if len(self.targets) < MAX_TARGETS and (address := target(url)):
            self.targets[address] = None
        self.received += got
        self.sent += sent
        self.first_s = at_s if self.first_s is None else min(self.first_s, at_s)
        self.last_s = max(self.last_s, at_s)
        self.end_s = max(self.end_s, at_s + ms / 1000)

    def result(self, source: Source, of: Format) -> BenchmarkResult:
        if self.first_s is None:
            refuse("The file holds no result. It is cut off, or the attack did not begin.", source.line or 1)
        count, sending_s = self.running.count, round(self.last_s - self.first_s, 6)
        latency = self.running.latency()
        return BenchmarkResult(
            provenance=source.provenance(of),
            tool="vegeta",
            started_at=epoch(self.first_s),
            ended_at=epoch(self.end_s),
            duration_s=sending_s,
            load=Load.OPEN,
            requests=count,
            answered=count - self.lost,
            failures=self.failures,
            requests_per_s=count / sending_s if sending_s > 0 else None,
            bytes_received=self.received,
            bytes_sent=self.sent,
            latency=latency,
            histogram=self.running.histogram(),
            status_codes=tuple(StatusCode(code, times) for code, times in sorted(self.codes.items())),
            errors=tuple(ErrorKind(kind, times) for kind, times in self.errors.most_common()),
            points=self.series.points(self.first_s, max(self.end_s, self.first_s)),
            targets=tuple(self.targets),
            notes=(
                notes.OPEN,
                "The latencies are of all requests, those without an answer included: a time-out counts with its whole wait.",
                _WAIT,
                *notes.counted(latency.error_ratio),
                notes.ONE_GENERATOR,
                *source.notes(),
                *(() if source.ended else (NO_LINE_END,)),
            ),
        )


def _count(counts: Counter[str], name: str) -> None:
    counts[name if name in counts or len(counts) < MAX_NAMES else OTHERS] += 1


def read_lines(source: Source) -> BenchmarkResult:
    """Return what `vegeta encode --to json` wrote. Raises ImportRefused."""
    hits = _Hits()
    for text in source.lines():
        if not text.strip():
            continue
        line = source.line
        found = parse_json(text, line)
        if not isinstance(found, dict) or not {"code", "latency", "timestamp"} <= found.keys():
            refuse("A result with “code”, “latency” and “timestamp” was expected.", line)
        hits.add(
            rfc3339(found["timestamp"], "timestamp", line).timestamp(),
            whole(found["code"], "code", line=line),
            number(found["latency"], "latency", line=line),
            whole(found.get("bytes_in") or 0, "bytes_in", line=line),
            whole(found.get("bytes_out") or 0, "bytes_out", line=line),
            str(found.get("error") or ""),
            str(found.get("url") or ""),
            line,
        )
    return hits.result(source, Format.VEGETA_LINES)


def read_csv(source: Source) -> BenchmarkResult:
    """Return what `vegeta encode --to csv` wrote: 12 columns without a header, 9 in old versions. Raises ImportRefused."""
    hits = _Hits()
    columns = 0
    for line, fields in raw_rows(source, ","):
        columns = columns or len(fields)
        if len(fields) != columns or columns not in (9, 12):
            refuse(
                f"12 fields were expected, {len(fields)} are there. The file is cut off or damaged here; hand in the whole file.",
                line,
            )
        hits.add(
            number(fields[0], "timestamp", line=line, least=1) / 1e9,
            whole(fields[1], "code", line=line),
            number(fields[2], "latency", line=line),
            whole(fields[4], "bytes in", line=line),
            whole(fields[3], "bytes out", line=line),
            fields[5],
            fields[10] if columns == 12 else "",
            line,
        )
    return hits.result(source, Format.VEGETA_CSV)
