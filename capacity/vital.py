"""Samples of vital figures around a run: what scale-downs hold their verdicts against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from accounts.models import Account

EARLIER = (timedelta(days=1), timedelta(days=7))
MOST_SAMPLES = 240
"""Of each stretch; of more, every second one or fewer are taken, spread evenly."""


COURSE_POINTS = 300
COURSE_LEAST = timedelta(minutes=1)


@dataclass(frozen=True)
class VitalStretch:
    """One metric's samples, oldest first: `before` one stretch and in another one, `now`.

    `earlier` are the medians of both stretches a day and a week earlier, where both had samples.
    """

    metric_ref: str
    before: tuple[float, ...]
    now: tuple[float, ...]
    last_at: datetime | None
    earlier: tuple[tuple[float, float], ...]


def vital_stretches(
    account: Account,
    refs: Sequence[str],
    before: tuple[datetime, datetime],
    now: tuple[datetime, datetime],
) -> tuple[VitalStretch, ...]:
    """Return the samples of this account's metrics in two stretches, each without its first moment; one query.

    A metric that is not there any more, or is another account's, is left out.
    """
    if not refs:
        return ()
    shifts = (timedelta(), *EARLIER)
    parts, values = [], []
    for shift in shifts:
        for since, until in (before, now):
            parts.append("(s.at > %s AND s.at <= %s)")
            values.append((since - shift, until - shift))
    names = ", ".join(
        [
            f"array_agg(s.value ORDER BY s.at) FILTER (WHERE {part})"
            if number < 2
            else f"percentile_cont(0.5) WITHIN GROUP (ORDER BY s.value) FILTER (WHERE {part})"
            for number, part in enumerate(parts)
        ]
    )
    flat = [moment for pair in values for moment in pair]
    # Which rows are read at all is said once more for the index: one range of time for each stretch.
    sql = f"""
        SELECT m.ref, max(s.at) FILTER (WHERE {parts[1]}), {names}
        FROM capacity_metric m JOIN capacity_sample s ON s.metric_id = m.id
        WHERE m.account_id = %s AND m.ref = ANY(%s) AND ({" OR ".join(parts)})
        GROUP BY m.ref
    """  # noqa: S608 - of our own parts
    with connection.cursor() as cursor:
        cursor.execute(sql, [*values[1], *flat, account.pk, list(refs), *flat])
        rows = cursor.fetchall()
    return tuple(
        VitalStretch(
            str(ref),
            _thinned(was),
            _thinned(seen),
            last_at,
            tuple(
                (earlier[n], earlier[n + 1])
                for n in range(0, len(earlier), 2)
                if earlier[n] is not None and earlier[n + 1] is not None
            ),
        )
        for ref, last_at, was, seen, *earlier in rows
    )


@dataclass(frozen=True)
class VitalCourse:
    """How one metric went over a stretch, and `week_before` it: moments of that stretch with the mean of their time, oldest first."""

    metric_ref: str
    now: tuple[tuple[datetime, float], ...]
    week_before: tuple[tuple[datetime, float], ...]


def vital_course(
    account: Account, refs: Sequence[str], since: datetime, until: datetime
) -> tuple[VitalCourse, ...]:
    """Return how this account's metrics went from `since` to `until`, beside the same hours a week earlier; one query.

    At most `COURSE_POINTS` means of equally long times, of a minute at least; a time without samples is left out, and so
    is a metric without any.
    """
    if not refs or until <= since:
        return ()
    every = max(COURSE_LEAST, (until - since) / COURSE_POINTS)
    part = """
        SELECT m.ref, {weeks} AS weeks, date_bin(%s, s.at + %s, %s) AS at, avg(s.value) AS value
        FROM capacity_metric m JOIN capacity_sample s ON s.metric_id = m.id
        WHERE m.account_id = %s AND m.ref = ANY(%s) AND s.at >= %s AND s.at < %s GROUP BY m.ref, 3
    """
    parts: list[str] = []
    values: list[Any] = []
    for weeks in (0, 1):
        back = timedelta(weeks=weeks)
        parts.append(part.format(weeks=weeks))
        values += [every, back, since, account.pk, list(refs), since - back, until - back]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts) + " ORDER BY 1, 2, 3", values)
        rows = cursor.fetchall()
    found: dict[str, tuple[list[tuple[datetime, float]], list[tuple[datetime, float]]]] = {}
    for ref, weeks, at, value in rows:
        found.setdefault(str(ref), ([], []))[weeks].append((at, value))
    return tuple(VitalCourse(ref, tuple(now), tuple(before)) for ref, (now, before) in found.items())


def _thinned(values: Sequence[float] | None) -> tuple[float, ...]:
    if not values:
        return ()
    every = -(-len(values) // MOST_SAMPLES)
    return tuple(values[::every])
