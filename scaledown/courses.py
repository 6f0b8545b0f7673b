"""What a run has kept of its looks, read back series by series: no series pushes another one out, however long it is.

    newest(run, names, most)   the newest points of each series, for the live page
    medians_before(run, names, at)   the median of each before a moment
    course(run, names, most)   each series from end to end, thinned, with its highest points and its gaps
    probe_sums(run, names)     how the looks of each probe ended, over all of them

One query each. Series are named as the machine names them: `probe:…`, `serving:…`, `connections:…`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from portal.runs.models import Run, RunSample


@dataclass(frozen=True)
class Point:
    """One point of a series; None is a gap."""

    at: datetime
    value: float | None


@dataclass(frozen=True)
class ProbeSum:
    """How the looks of one probe ended. `slow`: right, but longer than the probe allows; not among those that `failed`.

    Latencies, in milliseconds, are those of right answers, slow ones too; None where there was none. `since` and `until` are
    the first and the last look that gave an answer of whatever kind, `failed_since` and `failed_until` those that failed.
    """

    looks: int = 0
    failed: int = 0
    slow: int = 0
    unknown: int = 0
    since: datetime | None = None
    until: datetime | None = None
    failed_since: datetime | None = None
    failed_until: datetime | None = None
    median_ms: float | None = None
    p95_ms: float | None = None
    slowest_ms: float | None = None


_NEWEST = """
SELECT sample.* FROM unnest(%s::text[]) AS name, LATERAL (
    SELECT id, run_id, series, at, value, detail FROM runs_runsample
    WHERE run_id = %s AND series = name ORDER BY at DESC, id DESC LIMIT %s
) AS sample ORDER BY sample.series, sample.at, sample.id
"""


def newest(run: Run, names: Iterable[str], most: int) -> Mapping[str, Sequence[RunSample]]:
    """Return the newest `most` samples of each series, in order of time."""
    found: dict[str, list[RunSample]] = {}
    for row in RunSample.objects.raw(_NEWEST, [list(names), run.pk, most]):
        found.setdefault(row.series, []).append(row)
    return found


_BEFORE = """
SELECT series, percentile_cont(0.5) WITHIN GROUP (ORDER BY value) FROM runs_runsample
WHERE run_id = %s AND series = ANY(%s) AND at < %s AND value IS NOT NULL GROUP BY series
"""


def medians_before(run: Run, names: Iterable[str], at: datetime) -> Mapping[str, float]:
    """Return the median of each series before a moment; one without a value is left out."""
    with connection.cursor() as cursor:
        cursor.execute(_BEFORE, [run.pk, list(names), at])
        return dict(cursor.fetchall())


_COURSE = """
WITH placed AS (
    SELECT id, series, at, value, row_number() OVER (PARTITION BY series ORDER BY at, id) - 1 AS place,
           count(*) OVER (PARTITION BY series) AS points
    FROM runs_runsample WHERE run_id = %(run)s AND series = ANY(%(names)s)
), ranked AS (
    SELECT *, row_number() OVER (
        PARTITION BY series, place * %(most)s / points, value IS NULL ORDER BY value DESC, at, id) AS from_highest
    FROM placed
)
SELECT series, at, value FROM ranked
WHERE points <= %(most)s OR from_highest = 1 OR place IN (0, points - 1)
ORDER BY series, at, id
"""


def course(run: Run, names: Iterable[str], most: int) -> Mapping[str, tuple[Point, ...]]:
    """Return each series from its first point to its last: all of it, or, of each of `most` equal parts, the highest point and a gap."""
    found: dict[str, list[Point]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_COURSE, {"run": run.pk, "names": list(names), "most": most})
        for series, at, value in cursor.fetchall():
            found.setdefault(series, []).append(Point(at, value))
    return {series: tuple(points) for series, points in found.items()}


# A kept point may stand for many looks (`thinning`): each counts as often as it says.
_SUMS = """
WITH looks AS (
    SELECT id, series, at, value, (detail->>'ok')::boolean AS ok,
           COALESCE((detail->>'slow')::boolean, false) AS slow, COALESCE((detail->>'looks')::bigint, 1) AS looks
    FROM runs_runsample WHERE run_id = %(run)s AND series = ANY(%(names)s)
), ends AS (
    SELECT series, sum(looks) AS looks, sum(looks) FILTER (WHERE NOT ok AND NOT slow) AS failed,
           sum(looks) FILTER (WHERE slow) AS slow, sum(looks) FILTER (WHERE ok IS NULL) AS unknown,
           min(at) FILTER (WHERE ok IS NOT NULL) AS since, max(at) FILTER (WHERE ok IS NOT NULL) AS until,
           min(at) FILTER (WHERE NOT ok AND NOT slow) AS failed_since,
           max(at) FILTER (WHERE NOT ok AND NOT slow) AS failed_until
    FROM looks GROUP BY series
), answered AS (
    SELECT series, value, sum(looks) OVER (PARTITION BY series ORDER BY value, id) AS upto,
           sum(looks) OVER (PARTITION BY series) AS answers
    FROM looks WHERE (ok OR slow) AND value IS NOT NULL
), latencies AS (
    SELECT series, max(answers) AS answers, max(value) AS slowest,
           min(value) FILTER (WHERE upto > floor((answers - 1) * 0.50)) AS median_low,
           min(value) FILTER (WHERE upto > ceil((answers - 1) * 0.50)) AS median_high,
           min(value) FILTER (WHERE upto > floor((answers - 1) * 0.95)) AS p95_low,
           min(value) FILTER (WHERE upto > ceil((answers - 1) * 0.95)) AS p95_high
    FROM answered GROUP BY series
)
SELECT ends.*, answers, slowest, median_low, median_high, p95_low, p95_high FROM ends LEFT JOIN latencies USING (series)
"""


def probe_sums(run: Run, names: Iterable[str]) -> Mapping[str, ProbeSum]:
    """Return how all looks at each of these series of probes ended; one without a look is left out.

    Percentiles are interpolated between the two nearest answers (Hyndman and Fan 1996, type 7), as NumPy does by default.
    """
    found = {}
    with connection.cursor() as cursor:
        cursor.execute(_SUMS, {"run": run.pk, "names": list(names)})
        for row in cursor.fetchall():
            series, looks, failed, slow, unknown, since, until, failed_since, failed_until = row[:9]
            answers, slowest, median_low, median_high, p95_low, p95_high = row[9:]
            found[series] = ProbeSum(
                int(looks),
                int(failed or 0),
                int(slow or 0),
                int(unknown or 0),
                since,
                until,
                failed_since,
                failed_until,
                _between(median_low, median_high, answers, 0.50),
                _between(p95_low, p95_high, answers, 0.95),
                slowest,
            )
    return found


def _between(low: float | None, high: float | None, answers: int | None, share: float) -> float | None:
    if low is None or high is None or answers is None:
        return None
    return low + (high - low) * math.modf((int(answers) - 1) * share)[0]
