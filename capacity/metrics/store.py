"""Writing samples: one COPY into a staging table, one upsert, and the hours and days that they touch rolled up anew.

All of it is one transaction. Rollups are made from the raw samples as they stand after the upsert, so they are right in
whatever order samples come, twice, or with another value. Two who write to one account come one after the other.
Arrays go to PostgreSQL and come back in its binary COPY format, whole blocks at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import connection, transaction

from capacity.metrics import partitions
from capacity.metrics.rollups import DAY_US, HOUR_US, Floats, Ints, Rolled, rolled_up, stretches

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# PostgreSQL counts from 2000.
_PG_EPOCH_US = 946_684_800_000_000
# Signature, flags, length of the header's extension.
_HEAD = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TAIL = b"\xff\xff"
_ROLLUPS = ((HOUR_US, "capacity_hourlyrollup"), (DAY_US, "capacity_dailyrollup"))
# Rolled up at a time: memory stays the same for a long import.
_BLOCK = 500_000


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
    metric, at_us, value = zip(*rows, strict=True)
    return Samples(
        np.array(metric, dtype=np.int64), np.array(at_us, dtype=np.int64), np.array(value, dtype=np.float64)
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
    partitions.ensure(moment_of(each) for each in _days(samples.at_us))
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE sample_staging"
            " (metric_id bigint NOT NULL, at timestamptz NOT NULL, value double precision NOT NULL) ON COMMIT DROP"
        )
        _copy_in(
            cursor,
            "sample_staging",
            {"metric_id": samples.metric, "at": samples.at_us - _PG_EPOCH_US, "value": samples.value},
        )
        cursor.execute(
            "INSERT INTO capacity_sample AS kept (metric_id, at, value) SELECT metric_id, at, value FROM sample_staging"
            " ON CONFLICT (metric_id, at) DO UPDATE SET value = EXCLUDED.value WHERE kept.value <> EXCLUDED.value"
        )
        written: int = cursor.rowcount
        cursor.execute("DROP TABLE sample_staging")
        if written:
            _note_last(cursor, samples)
            _roll_up(cursor, samples)
    return written


def _days(at_us: Ints) -> list[int]:
    return [int(day) * DAY_US for day in np.unique(at_us // DAY_US)]


def _note_last(cursor: Any, samples: Samples) -> None:
    is_last = np.append(samples.metric[1:] != samples.metric[:-1], True)
    # The latest of all is asked of the table: a sample may have come before one that is older.
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


def _roll_up(cursor: Any, samples: Samples) -> None:
    for begin in range(0, len(samples.metric), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        keys, at_us = samples.metric[part], samples.at_us[part]
        metric, moment, value = _raw_of_days(cursor, keys, at_us)
        for length_us, table in _ROLLUPS:
            new = np.isin(_touches(metric, moment, length_us), _touches(keys, at_us, length_us))
            _keep(cursor, table, rolled_up(metric[new], moment[new], value[new], length_us))


def _raw_of_days(cursor: Any, metric: Ints, at_us: Ints) -> tuple[Ints, Ints, Floats]:
    """Return the samples of each day that is touched, as they are kept now, by metric and moment."""
    keys, begins, ends = stretches(metric, at_us, DAY_US)
    # One range scan of the primary key for each stretch, whatever the planner thinks of parts without statistics.
    query = (
        "COPY (SELECT s.metric_id, s.at, s.value FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[])"
        " AS asked (metric_id, begins, ends), LATERAL (SELECT metric_id, at, value FROM capacity_sample"
        " WHERE metric_id = asked.metric_id AND at >= asked.begins AND at < asked.ends ORDER BY at OFFSET 0) AS s)"
        " TO STDOUT (FORMAT BINARY)"
    )
    asked = [keys.tolist(), [moment_of(each) for each in begins], [moment_of(each) for each in ends]]
    with cursor.copy(query, asked) as copy:
        data = b"".join(copy)
    kinds = _record({"metric": np.dtype(">i8"), "at": np.dtype(">i8"), "value": np.dtype(">f8")})
    body = data[len(_HEAD) : -len(_TAIL)]
    rows = np.frombuffer(body, dtype=kinds)
    return (
        rows["metric"].astype(np.int64),
        rows["at"].astype(np.int64) + _PG_EPOCH_US,
        rows["value"].astype(np.float64),
    )


def _touches(metric: Ints, at_us: Ints, length_us: int) -> Ints:
    """Return one number for each metric and stretch: hours since 1970 have less than eight digits until the year 9999."""
    found: Ints = metric * 10**8 + at_us // length_us
    return found


def _keep(cursor: Any, table: str, rolled: Rolled) -> None:
    figures = ("count", "mean", "min", "max", "p50", "p95")
    names = ", ".join(("metric_id", "at", *figures))
    cursor.execute(f"CREATE TEMPORARY TABLE rollup_staging (LIKE {table}) ON COMMIT DROP")
    _copy_in(
        cursor,
        "rollup_staging",
        {
            "metric_id": rolled.metric,
            "at": rolled.at_us - _PG_EPOCH_US,
            "count": rolled.count.astype(np.int32),
            **{name: getattr(rolled, name) for name in figures[1:]},
        },
    )
    cursor.execute(
        f"INSERT INTO {table} ({names}) SELECT {names} FROM rollup_staging"  # noqa: S608 - names of our own
        f" ON CONFLICT (metric_id, at) DO UPDATE SET {', '.join(f'{name} = EXCLUDED.{name}' for name in figures)}"
    )
    cursor.execute("DROP TABLE rollup_staging")


def _record(columns: Mapping[str, np.dtype[Any]]) -> np.dtype[Any]:
    """Return what one row looks like in the binary format: a count of fields, and a length before each."""
    fields: list[Any] = [("fields", ">i2")]
    for name, kind in columns.items():
        fields += [(f"length of {name}", ">i4"), (name, kind)]
    return np.dtype(fields)


def _copy_in(cursor: Any, table: str, columns: Mapping[str, npt.NDArray[Any]]) -> None:
    length = len(next(iter(columns.values())))
    kinds = {name: values.dtype.newbyteorder(">") for name, values in columns.items()}
    rows = np.zeros(length, dtype=_record(kinds))
    rows["fields"] = len(columns)
    for name, values in columns.items():
        rows[f"length of {name}"] = values.dtype.itemsize
        rows[name] = values
    with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(_HEAD)
        copy.write(rows.tobytes())
        copy.write(_TAIL)
