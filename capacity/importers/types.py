"""The one form that every benchmark file is brought into. What a file does not tell is None, never 0."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from portal.errors import Refused

if TYPE_CHECKING:
    from capacity.importers.histogram import Running

AnyPoint = TypeVar("AnyPoint")
REST_S = 10.0
"""Nobody asks or waits for longer: not all users of a load think at once for so long, so it is a rest between two loads."""


class ImportRefused(Refused):
    """The file cannot be taken in. `says` tells what is wrong and what to do, `line` where (from 1; None: nowhere in particular)."""

    def __init__(self, says: str, *, line: int | None = None, code: str = "benchmark_refused") -> None:
        super().__init__(says if line is None else f"Line {line}: {says}", code=code)
        self.line = line


class Format(StrEnum):
    """Which tool wrote a file, in which of its shapes."""

    K6_EXPORT = "k6-summary-export"
    K6_HANDLE_SUMMARY = "k6-handle-summary"
    K6_SUMMARY = "k6-summary"
    K6_LINES = "k6-json-lines"
    K6_CSV = "k6-csv"
    LOCUST_STATS = "locust-stats"
    LOCUST_HISTORY = "locust-history"
    LOCUST_FAILURES = "locust-failures"
    LOCUST_JSON = "locust-json"
    JMETER_CSV = "jmeter-csv"
    JMETER_XML = "jmeter-xml"
    WRK = "wrk-text"
    HEY = "hey-text"
    HEY_CSV = "hey-csv"
    AB = "ab-text"
    AB_REQUESTS = "ab-requests"
    AB_PERCENTILES = "ab-percentiles"
    VEGETA_JSON = "vegeta-json"
    VEGETA_TEXT = "vegeta-text"
    VEGETA_LINES = "vegeta-json-lines"
    VEGETA_CSV = "vegeta-csv"
    PORTAL = "portal-run"
    """What the portal measured itself (`capacity/loads/`). No file that is handed in has it."""


class Load(StrEnum):
    """How the load was made. *Closed*: a fixed number of users, each waits for its answer. *Open*: requests come at a rate of their own."""

    CLOSED = "closed"
    OPEN = "open"


@dataclass(frozen=True)
class Provenance:
    """Which bytes a result was read from. `sha256` is of the whole file as handed in."""

    format: Format
    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Percentile:
    """`percent` (0 to 100) of the requests took `ms` milliseconds or less."""

    percent: float
    ms: float


@dataclass(frozen=True)
class Bucket:
    """`count` requests took more than `above_ms` and up to `upto_ms`. `above_ms` is None where the file names only the upper end."""

    above_ms: float | None
    upto_ms: float
    count: int


@dataclass(frozen=True)
class Latency:
    """How long requests took, in milliseconds.

    `counted` is of how many requests. `error_ratio` bounds how far a percentile may be from the true one, as a share
    of it: 0.0 where all values were counted exactly, None where the tool computed or rounded it by rules of its own.
    """

    counted: int | None = None
    min_ms: float | None = None
    mean_ms: float | None = None
    max_ms: float | None = None
    stdev_ms: float | None = None
    percentiles: tuple[Percentile, ...] = ()
    error_ratio: float | None = None

    def at(self, percent: float) -> float | None:
        """Return the latency of a percentile in ms; None where the file does not tell this very one."""
        return next((each.ms for each in self.percentiles if each.percent == percent), None)


@dataclass(frozen=True)
class Point:
    """A stretch of the run: `length_s` from `offset_s` after its start. `users` is how many were active at most.

    `p999_ms` is what 99.9 of 100 took. More percentiles than people ask for: those of a step are put together from them
    where the file tells no more.

    `asked_per_s` is the rate that was set for it, where requests come at a rate that goes by steps.

    `counted` are the latencies themselves where each request is known. They go into the percentiles of the steps and
    are not kept: a thousand points with some hundred buckets each would be megabytes that no page reads.
    """

    offset_s: float
    length_s: float
    users: int | None = None
    requests: int | None = None
    failures: int | None = None
    requests_per_s: float | None = None
    failures_per_s: float | None = None
    mean_ms: float | None = None
    p50_ms: float | None = None
    p75_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p98_ms: float | None = None
    p99_ms: float | None = None
    p999_ms: float | None = None
    asked_per_s: float | None = None
    counted: Running | None = field(default=None, repr=False, compare=False, metadata={"is_kept": False})


POINT_PERCENTS = {
    "p50_ms": 50.0,
    "p75_ms": 75.0,
    "p90_ms": 90.0,
    "p95_ms": 95.0,
    "p98_ms": 98.0,
    "p99_ms": 99.0,
    "p999_ms": 99.9,
}
"""Which percentile stands in which field of a point."""
POINT_SHARES = tuple(percent / 100.0 for percent in POINT_PERCENTS.values())


def point_percentiles(told: Iterable[Percentile]) -> dict[str, float | None]:
    """Return the percentiles that a point keeps, by its fields; None for what is not told."""
    known = {each.percent: each.ms for each in told}
    return {name: known.get(percent) for name, percent in POINT_PERCENTS.items()}


@dataclass(frozen=True)
class Step:
    """A stretch with the same number of users, or the same rate asked for (the other is None).

    `p95_ms` is that of all its requests: counted where each is known, else from what its points tell
    (`stats.percentile_of_all`); None where one of them has none. The settled ones are of `settled` points, for a ceiling
    and a baseline; None where the file has no line for each request.
    """

    users: int | None
    offset_s: float
    length_s: float
    requests: int | None
    failures: int | None
    requests_per_s: float | None
    p95_ms: float | None
    asked_per_s: float | None = None
    settled_p50_ms: float | None = None
    settled_p95_ms: float | None = None
    settled_p99_ms: float | None = None


@dataclass(frozen=True)
class Part:
    """The requests of one name (a page, a label, a URL)."""

    name: str
    method: str | None = None
    requests: int | None = None
    failures: int | None = None
    requests_per_s: float | None = None
    latency: Latency = Latency()


@dataclass(frozen=True)
class ErrorKind:
    """One kind of error, and how often; None where the tool names it without a count."""

    kind: str
    count: int | None


@dataclass(frozen=True)
class StatusCode:
    """How many answers had an HTTP status."""

    code: str
    count: int


@dataclass(frozen=True)
class Threshold:
    """A condition that the script set, and whether it held."""

    metric: str
    expression: str
    held: bool


@dataclass(frozen=True)
class Check:
    """A check of the script: how many answers passed and failed it."""

    name: str
    passed: int
    failed: int


@dataclass(frozen=True)
class BenchmarkResult:
    """What a benchmark measured. Times are aware and UTC, durations in seconds, rates per second, latencies in ms.

    `requests` are all that the file counts as tried, `answered` those of them that got an answer, `failures` those that
    got none or one that the tool (or, where it does not judge, a status outside 200 to 399) counts as failed.
    `requests_per_s` is the tool's own figure where it prints one. `asked_per_s` is the rate that was set.
    `notes` are sentences about what the file cannot tell and how its figures must be read.
    """

    provenance: Provenance
    tool: str
    tool_version: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration_s: float | None = None
    load: Load | None = None
    users: int | None = None
    asked_per_s: float | None = None
    requests: int | None = None
    answered: int | None = None
    failures: int | None = None
    requests_per_s: float | None = None
    bytes_received: int | None = None
    bytes_sent: int | None = None
    latency: Latency = Latency()
    histogram: tuple[Bucket, ...] = ()
    status_codes: tuple[StatusCode, ...] = ()
    errors: tuple[ErrorKind, ...] = ()
    points: tuple[Point, ...] = ()
    parts: tuple[Part, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    checks: tuple[Check, ...] = ()
    targets: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def error_ratio(self) -> float | None:
        """Return the share of failed requests, 0 to 1; None where the file does not tell, or nothing was tried."""
        if self.failures is None or not self.requests:
            return None
        return self.failures / self.requests

    @property
    def steps(self) -> tuple[Step, ...]:
        """Return the stretches of the points with the same load and no rest, in their order; none where neither users nor rate are told."""
        found: list[list[Point]] = []
        for point in self.points:
            if point.users is None and point.asked_per_s is None:
                continue
            last = found[-1][-1] if found else None
            if (
                last
                and _load(last) == _load(point)
                and point.offset_s - last.offset_s - last.length_s <= REST_S
            ):
                found[-1].append(point)
            else:
                found.append([point])
        return tuple(_step(points) for points in found)

    def as_plain(self) -> dict[str, Any]:
        """Return all of it as JSON takes it; times end in Z."""
        plain: dict[str, Any] = _plain(self)
        plain["error_ratio"] = self.error_ratio
        plain["steps"] = _plain(self.steps)
        return plain


def _load(point: Point) -> tuple[int | None, float | None]:
    return point.users, point.asked_per_s


def settled(points: Sequence[AnyPoint], lengths: Sequence[float]) -> Sequence[AnyPoint]:
    """Return the points of a step without the first one, which still has answers of the load before it; all of few.

    A first one that is longer is none of these: all waited from the beginning.
    """
    return points[1:] if len(points) > 3 and lengths[0] <= 2 * lengths[1] else points


def _step(points: list[Point]) -> Step:
    length_s = sum(point.length_s for point in points)
    requests = _sum([point.requests for point in points])
    steady = _counted(settled(points, [point.length_s for point in points]))
    return Step(
        users=points[0].users,
        asked_per_s=points[0].asked_per_s,
        offset_s=points[0].offset_s,
        length_s=length_s,
        requests=requests,
        failures=_sum([point.failures for point in points]),
        requests_per_s=None if requests is None or length_s <= 0 else requests / length_s,
        p95_ms=_p95_ms(points),
        settled_p50_ms=steady.get(50.0),
        settled_p95_ms=steady.get(95.0),
        settled_p99_ms=steady.get(99.0),
    )


def _p95_ms(points: list[Point]) -> float | None:
    if any(point.p95_ms is None for point in points):
        return None
    if counted := _counted(points):
        return counted[95.0]
    # Late: who reads a file without steps needs no NumPy.
    from capacity.stats import percentile_of_all

    told = [[getattr(point, name) for name in POINT_PERCENTS] for point in points]
    weights = [float(point.requests or 0) for point in points]
    if sum(weights) <= 0.0:
        weights = [1.0] * len(points)
    return percentile_of_all(told, POINT_SHARES, 0.95, weights)


def _counted(points: Sequence[Point]) -> dict[float, float]:
    """Return what 50, 95 and 99 of 100 of all their requests took, by counting; nothing where a point has not counted."""
    from capacity.importers.histogram import together  # late: it needs the types of this module

    counted = [point.counted for point in points if point.counted is not None]
    if not counted or len(counted) < len(points):
        return {}
    return {one.percent: one.ms for one in together(counted).percentiles((50.0, 95.0, 99.0))}


def _sum(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        kept = (one.name for one in fields(value) if one.metadata.get("is_kept", True))
        return {name: _plain(getattr(value, name)) for name in kept}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.value if isinstance(value, StrEnum) else value
