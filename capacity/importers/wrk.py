"""The text that wrk and wrk2 print (wg/wrk: src/wrk.c, print_stats; giltene/wrk2 likewise).

wrk leaves out the lines of socket errors and of bad statuses where there were none. Its "N requests" are answers:
what ended in a socket error is not among them.
"""

from __future__ import annotations

import re

from capacity.importers import notes
from capacity.importers.reading import Source, number, refuse, target, whole
from capacity.importers.types import (
    BenchmarkResult,
    ErrorKind,
    Format,
    Latency,
    Load,
    Percentile,
)
from capacity.importers.units import duration_ms, size_bytes

_N = r"(\d+(?:[.,]\d+)?)"
_CONNECT = "connect, no socket was left"
"""Without TLS wrk counts under “connect” what its own system refused at once; a site that refuses stands under “write”."""


class _Found:
    """The lines that were recognised, each with its number."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")

    def first(self, pattern: str) -> tuple[re.Match[str], int] | None:
        for index, line in enumerate(self.lines):
            if found := re.search(pattern, line):
                return found, index + 1
        return None

    def need(self, pattern: str, what: str) -> tuple[re.Match[str], int]:
        found = self.first(pattern)
        if found is None:
            refuse(
                f"The text ends here without “{what}”. It is cut off; copy all that wrk printed.",
                len(self.lines),
            )
        return found


def read(source: Source) -> BenchmarkResult:
    """Return what wrk or wrk2 printed. Raises ImportRefused."""
    found = _Found(source.text())
    running, begins = found.need(r"^\s*Running (\S+) test @ (\S.*)$", "Running …")
    found.lines = [""] * (begins - 1) + found.lines[begins - 1 :]
    if any(re.search(r"^\s*Running \S+ test @ ", line) for line in found.lines[begins:]):
        refuse("The text holds more than one run. Hand in each run as a file of its own.", begins)
    connections, _ = found.need(r"(\d+) threads? and (\d+) connections?", "N threads and M connections")
    latency_line, at = found.need(r"^\s*Latency\s+(\S+)\s+(\S+)\s+(\S+)\s+\S+%?\s*$", "Latency")
    total, total_at = found.need(r"^\s*(\d+) requests in (\S+), (\S+) read", "N requests in …, … read")
    rate, rate_at = found.need(rf"^Requests/sec:\s+{_N}\s*$", "Requests/sec:")
    answered = whole(total[1], "requests", line=total_at)
    kinds = ("connect" if running[2].startswith("https:") else _CONNECT, "read", "write", "timeout")
    socket = found.first(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")
    errors = (
        [
            ErrorKind(f"socket: {kind}", whole(count, kind, line=socket[1]))
            for kind, count in zip(kinds, socket[0].groups(), strict=True)
            if count.strip("0")
        ]
        if socket
        else []
    )
    lost = sum(error.count or 0 for error in errors)
    bad = found.first(r"Non-2xx or 3xx responses: (\d+)")
    refused = min(whole(bad[0][1], "Non-2xx or 3xx responses", line=bad[1]), answered) if bad else 0
    if refused:
        errors.append(ErrorKind("status outside 200 to 399", refused))
    constant = found.first(r"HdrHistogram - Recorded Latency|Thread calibration")
    percentiles = _percentiles(found)
    names = ("mean", "stdev", "max")
    mean, stdev, most = (
        duration_ms(text, f"Latency, {name}", at)
        for text, name in zip(latency_line.groups(), names, strict=True)
    )
    address = target(running[2])
    return BenchmarkResult(
        provenance=source.provenance(Format.WRK),
        tool="wrk2" if constant else "wrk",
        duration_s=duration_ms(total[2], "duration", total_at) / 1000,
        load=Load.OPEN if constant else Load.CLOSED,
        users=whole(connections[2], "connections"),
        requests=answered + lost,
        answered=answered,
        failures=refused + lost,
        requests_per_s=number(rate[1].replace(",", "."), "Requests/sec", line=rate_at),
        bytes_received=size_bytes(total[3], "read", total_at),
        latency=Latency(counted=answered, mean_ms=mean, stdev_ms=stdev, max_ms=most, percentiles=percentiles),
        errors=tuple(errors),
        targets=(address,) if address else (),
        notes=(
            notes.OPEN if constant else notes.CLOSED,
            *(() if percentiles else (notes.NO_PERCENTILES + " Run wrk with --latency.",)),
            "Requests a second are answers a second; requests that ended in a socket error are not among them, and have no latency.",
            *(
                (
                    "Timeouts are counted by wrk at each look, so one request may count more than once, and also as answered.",
                )
                if any(error.kind == "socket: timeout" for error in errors)
                else ()
            ),
            notes.NO_TIMES,
            notes.ONE_GENERATOR,
            *source.notes(),
        ),
    )


def _percentiles(found: _Found) -> tuple[Percentile, ...]:
    """Return the first block of percentiles: wrk2 may print a second one that is not corrected."""
    head = found.first(r"^\s*Latency Distribution")
    percentiles: list[Percentile] = []
    for index in range(head[1] if head else len(found.lines), len(found.lines)):
        line = re.fullmatch(rf"\s*{_N}%\s+(\S+)\s*", found.lines[index])
        if line is None:
            break
        percent = number(line[1].replace(",", "."), "percentile", line=index + 1)
        ms = duration_ms(line[2], f"{line[1]} %", index + 1)
        if not 0 < percent <= 100 or (
            percentiles and (percent <= percentiles[-1].percent or ms < percentiles[-1].ms)
        ):
            refuse("The percentiles do not rise. The text is damaged here.", index + 1)
        percentiles.append(Percentile(percent, ms))
    if head and not percentiles:
        refuse("Percentiles were expected after “Latency Distribution”.", head[1] + 1)
    return tuple(percentiles)
