"""Samples of vital figures around a run: what scale-downs hold their verdicts against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from accounts.models import Account

EARLIER = (timedelta(days=1), timedelta(days=7))
MOST_SAMPLES = 240
"""Of each stretch; of more, every second one or fewer are taken, spread evenly."""


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


def _thinned(values: Sequence[float] | None) -> tuple[float, ...]:
    if not values:
        return ()
    every = -(-len(values) // MOST_SAMPLES)
    return tuple(values[::every])
