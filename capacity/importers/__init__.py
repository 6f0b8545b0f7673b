"""Results of load generators, read into one form: bytes in, a frozen dataclass out; no clock, database or network.

`detect` tells which tool wrote a file, `parse` reads it. What cannot be taken in raises `ImportRefused` with a sentence
that says what to do. Formats and their traps: docs/benchmarks.md
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import BinaryIO

from capacity.importers import ab, hey, jmeter, k6, locust, vegeta, wrk
from capacity.importers.detecting import detect
from capacity.importers.reading import Source
from capacity.importers.types import (
    BenchmarkResult,
    Bucket,
    Check,
    ErrorKind,
    Format,
    ImportRefused,
    Latency,
    Load,
    Part,
    Percentile,
    Point,
    Provenance,
    StatusCode,
    Step,
    Threshold,
)

__all__ = [
    "BenchmarkResult",
    "Bucket",
    "Check",
    "ErrorKind",
    "Format",
    "ImportRefused",
    "Latency",
    "Load",
    "Part",
    "Percentile",
    "Point",
    "Provenance",
    "StatusCode",
    "Step",
    "Threshold",
    "detect",
    "parse",
]

_READERS: dict[Format, Callable[[Source], BenchmarkResult]] = {
    Format.K6_EXPORT: k6.read_summary,
    Format.K6_HANDLE_SUMMARY: k6.read_summary,
    Format.K6_SUMMARY: k6.read_summary,
    Format.K6_LINES: k6.read_lines,
    Format.K6_CSV: k6.read_csv,
    Format.LOCUST_STATS: locust.read_stats,
    Format.LOCUST_HISTORY: locust.read_history,
    Format.LOCUST_FAILURES: locust.read_failures,
    Format.LOCUST_JSON: locust.read_json,
    Format.JMETER_CSV: jmeter.read_csv,
    Format.JMETER_XML: jmeter.read_xml,
    Format.WRK: wrk.read,
    Format.HEY: hey.read_text,
    Format.HEY_CSV: hey.read_csv,
    Format.AB: ab.read_text,
    Format.AB_REQUESTS: ab.read_requests,
    Format.AB_PERCENTILES: ab.read_percentiles,
    Format.VEGETA_JSON: vegeta.read_json,
    Format.VEGETA_TEXT: vegeta.read_text,
    Format.VEGETA_LINES: vegeta.read_lines,
    Format.VEGETA_CSV: vegeta.read_csv,
}


def parse(file: bytes | BinaryIO, name: str = "") -> BenchmarkResult:
    """Return what a benchmark measured, from its bytes or from an open binary file that can seek.

    Files with a line for each request are read in constant memory when handed in open. `name` serves messages and
    provenance. Raises ImportRefused, and nothing else, for whatever the file holds.
    """
    source = Source(io.BytesIO(file) if isinstance(file, bytes) else file, name)
    found = _READERS[detect(name, source.head)](source)
    # Where a tool tells two of requests, rate and duration the third is worked out: from next to nothing no number comes.
    if not all(math.isfinite(one) for one in (found.requests_per_s or 0.0, found.duration_s or 0.0)):
        raise ImportRefused(
            "The rate or the duration is next to nothing, which cannot be. The file is damaged."
        )
    return found
