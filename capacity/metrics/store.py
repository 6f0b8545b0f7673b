"""Writing samples: what is there for their days is read, what is new goes in by COPY, what differs in the place of what was there.

All of it is one transaction, together with the hours and days that it touches. These are rolled up from the raw samples
as they are then, so they are right in whatever order samples come, twice, or with another value. Two who write to one account
come one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import connection, transaction

from capacity.metrics import partitions
from capacity.metrics.binary import PG_EPOCH_US, copy_in, copy_out
from capacity.metrics.rollups import DAY_US, HOUR_US, Floats, Ints, Rolled, floor_to, rolled_up, stretches

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ROLLUPS = ((HOUR_US, "capacity_hourlyrollup"), (DAY_US, "capacity_dailyrollup"))
# Written at a time: memory stays the same for a long import.
_BLOCK = 500_000
# So many stretches are deleted by a statement each, which the planner cannot get wrong; single rows by a join.
_FEW_STRETCHES = 100


@dataclass(frozen=True)
class Samples:
    """Columns of equal length: the metric's key, the moment in microseconds since 1970 (UTC), the finite value."""

    metric: Ints
    at_us: Ints
    value: Floats

    def in_order(self) -> Samples:
        """Return them by metric and moment, of several at the same moment only the last that was given."""
        order = np.lexsort((self.at_us, self.metric))
        metric, at_us, value = self.metric[order], self.at_us[order], self.value[order]
        is_last = np.ones(len(metric), dtype=bool)
        is_last[:-1] = (metric[1:] != metric[:-1]) | (at_us[1:] != at_us[:-1])
        return Samples(metric[is_last], at_us[is_last], value[is_last])


def samples_of(rows: Sequence[tuple[int, int, float]]) -> Samples:
    """Return rows of (metric, moment, value) as columns."""
    # Not by zip(*rows): its iterator for each row makes the collector look at every object of the process, 0.1 s.
    return Samples(
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.int64),
        np.array([row[2] for row in rows], dtype=np.float64),
    )


def lock(account_pk: int) -> None:
    """Wait until nobody else writes samples of this account; the lock ends with the transaction at hand."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"samples:{account_pk}"])


def moment_of(at_us: int) -> datetime:
    """Return microseconds since 1970 as a moment, exactly."""
    return _EPOCH + timedelta(microseconds=int(at_us))


@transaction.atomic
def write(account_pk: int, samples: Samples) -> int:
    """Keep samples of one account's metrics; returns how many were new or had another value.

    The same samples again change nothing; another value for the same moment replaces the one that was there.
    """
    if not len(samples.metric):
        return 0
    samples = samples.in_order()
    lock(account_pk)
    partitions.ensure(moment_of(day) for day in np.unique(floor_to(samples.at_us, DAY_US)))
    return sum(
        _write(Samples(samples.metric[part], samples.at_us[part], samples.value[part]))
        for part in (slice(begin, begin + _BLOCK) for begin in range(0, len(samples.metric), _BLOCK))
    )


def _write(samples: Samples) -> int:
    with connection.cursor() as cursor:
        found = _merged(_raw_of_days(cursor, samples.metric, samples.at_us), samples)
        _delete(cursor, found)
        for written in (found.new, found.changed):
            if len(written.metric):
                # Nobody else writes here now, so what is not there can go straight in. An upsert, which looks for each
                # row once more, takes twice as long.
                copy_in(cursor, "capacity_sample", _columns(written))
                _note_last(cursor, written)
        written_metric = np.concatenate((found.new.metric, found.changed.metric))
        written_us = np.concatenate((found.new.at_us, found.changed.at_us))
        whole = found.whole
        for length_us, table in _ROLLUPS if len(written_metric) else ():
            touched = np.isin(
                _touches(whole.metric, whole.at_us, length_us),
                _touches(written_metric, written_us, length_us),
            )
            rolled = rolled_up(whole.metric[touched], whole.at_us[touched], whole.value[touched], length_us)
            _keep(cursor, table, rolled)
    return len(written_metric)


@dataclass(frozen=True)
class _Merged:
    """What is not there yet, what has another value, and all that will be there.

    `first` and `last` are the places in `changed` where a stretch begins and ends within which nothing that is kept
    stays as it is.
    """

    new: Samples
    changed: Samples
    whole: Samples
    first: Ints
    last: Ints


def _merged(kept: Samples, given: Samples) -> _Merged:
    metric = np.concatenate((kept.metric, given.metric))
    at_us = np.concatenate((kept.at_us, given.at_us))
    value = np.concatenate((kept.value, given.value))
    is_given = np.arange(len(metric)) >= len(kept.metric)
    order = np.lexsort((is_given, at_us, metric))
    metric, at_us, value, is_given = metric[order], at_us[order], value[order], is_given[order]
    # Each moment has one value that is kept, one that is given, or the one and then the other.
    follows = np.zeros(len(metric), dtype=bool)
    follows[1:] = (metric[1:] == metric[:-1]) & (at_us[1:] == at_us[:-1])
    differs = np.zeros(len(metric), dtype=bool)
    differs[1:] = value[1:] != value[:-1]
    is_last = np.ones(len(metric), dtype=bool)
    is_last[:-1] = ~follows[1:]

    changes = is_given & follows & differs
    stays = ~is_given
    stays[:-1] &= ~changes[1:]
    # Two that change are of one stretch if as many that stay lie before the one as before the other, and no day lies
    # between them: what is kept of days that are not touched was not read.
    before, of, day_us = np.cumsum(stays)[changes], metric[changes], floor_to(at_us[changes], DAY_US)
    breaks = np.flatnonzero(
        (before[1:] != before[:-1]) | (of[1:] != of[:-1]) | (day_us[1:] - day_us[:-1] > DAY_US)
    )
    ends = min(len(of), 1)

    def those(where: npt.NDArray[np.bool_]) -> Samples:
        return Samples(metric[where], at_us[where], value[where])

    return _Merged(
        new=those(is_given & ~follows),
        changed=those(changes),
        whole=those(is_last),
        first=np.concatenate((np.zeros(ends, dtype=np.int64), breaks + 1)),
        last=np.concatenate((breaks, np.full(ends, len(of) - 1, dtype=np.int64))),
    )


def _columns(samples: Samples) -> dict[str, npt.NDArray[Any]]:
    return {"metric_id": samples.metric, "at": samples.at_us - PG_EPOCH_US, "value": samples.value}


def _delete(cursor: Any, found: _Merged) -> None:
    """Delete what is kept of the moments that change, before anything new comes in between them."""
    if len(found.first) <= _FEW_STRETCHES:
        cursor.executemany(
            "DELETE FROM capacity_sample WHERE metric_id = %s AND at BETWEEN %s AND %s",
            [
                (int(found.changed.metric[first]), *map(moment_of, found.changed.at_us[[first, last]]))
                for first, last in zip(found.first, found.last, strict=True)
            ],
        )
    else:
        _delete_each(cursor, found.changed)


def _delete_each(cursor: Any, samples: Samples) -> None:
    cursor.execute("CREATE TEMPORARY TABLE sample_staging (LIKE capacity_sample) ON COMMIT DROP")
    copy_in(cursor, "sample_staging", _columns(samples))
    # Without its size the planner would take many rows for few, or read whole parts for few.
    cursor.execute("ANALYZE sample_staging")
    cursor.execute(
        "DELETE FROM capacity_sample AS kept USING sample_staging AS given"
        " WHERE kept.metric_id = given.metric_id AND kept.at = given.at"
    )
    cursor.execute("DROP TABLE sample_staging")


def _note_last(cursor: Any, samples: Samples) -> None:
    is_last = np.append(samples.metric[1:] != samples.metric[:-1], True)
    # An older sample may come after the latest one.
    cursor.execute(
        "UPDATE capacity_metric AS m SET last_at = new.at, last_value = new.value"
        " FROM unnest(%s::bigint[], %s::timestamptz[], %s::double precision[]) AS new (metric_id, at, value)"
        " WHERE m.id = new.metric_id AND (m.last_at IS NULL OR m.last_at <= new.at)",
        [
            samples.metric[is_last].tolist(),
            [moment_of(each) for each in samples.at_us[is_last]],
            samples.value[is_last].tolist(),
        ],
    )


def _raw_of_days(cursor: Any, metric: Ints, at_us: Ints) -> Samples:
    """Return the samples of each day that is touched, as they are kept now, by metric and moment."""
    keys, begins, ends = stretches(metric, at_us, DAY_US)
    # One range scan of the primary key for each stretch, whatever the planner thinks of parts without statistics.
    query = (
        "SELECT s.metric_id, s.at, s.value FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[])"
        " AS asked (metric_id, begins, ends), LATERAL (SELECT metric_id, at, value FROM capacity_sample"
        " WHERE metric_id = asked.metric_id AND at >= asked.begins AND at < asked.ends ORDER BY at OFFSET 0) AS s"
    )
    asked = [keys.tolist(), [moment_of(each) for each in begins], [moment_of(each) for each in ends]]
    kinds = {"metric_id": "bigint", "at": "timestamptz", "value": "double precision"}
    found = copy_out(cursor, query, asked, kinds)
    return Samples(found["metric_id"], found["at"] + PG_EPOCH_US, found["value"])


def _touches(metric: Ints, at_us: Ints, length_us: int) -> Ints:
    """Return one number for each metric and stretch: hours since 1970 have less than eight digits until the year 9999."""
    found: Ints = metric * 10**8 + at_us // length_us
    return found


def _keep(cursor: Any, table: str, rolled: Rolled) -> None:
    figures = ("count", "mean", "min", "max", "p50", "p95")
    names = ", ".join(("metric_id", "at", *figures))
    cursor.execute(f"CREATE TEMPORARY TABLE rollup_staging (LIKE {table}) ON COMMIT DROP")
    copy_in(
        cursor,
        "rollup_staging",
        {
            "metric_id": rolled.metric,
            "at": rolled.at_us - PG_EPOCH_US,
            "count": rolled.count.astype(np.int32),
            **{name: getattr(rolled, name) for name in figures[1:]},
        },
    )
    cursor.execute(
        f"INSERT INTO {table} ({names}) SELECT {names} FROM rollup_staging"  # noqa: S608 - names of our own
        f" ON CONFLICT (metric_id, at) DO UPDATE SET {', '.join(f'{name} = EXCLUDED.{name}' for name in figures)}"
    )
    cursor.execute("DROP TABLE rollup_staging")
