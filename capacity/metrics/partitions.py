"""The months into which the table of samples is parted: made before they are needed, dropped when they are too old.

A sample's month is that of UTC. There is no part for "everything else": a sample without a part is an error that is
loud, and a part can be added without looking through what landed elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable

log = structlog.get_logger(__name__)

_PATIENCE = "3s"
_TABLE = "capacity_sample"
_NAME = re.compile(rf"{_TABLE}_(\d{{4}})_(\d{{2}})")
# Dropping waits for a day more: an import that began before midnight still finds the month that it was let in to.
_GRACE = timedelta(days=1)


def month_of(at: datetime) -> datetime:
    """Return the first moment of the month, UTC."""
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def month_after(month: datetime) -> datetime:
    """Return the first moment of the next month."""
    return month_of(month + timedelta(days=32))


def kept_from(now: datetime) -> datetime:
    """Return since when samples are kept: earlier ones are not taken in."""
    return now - timedelta(days=settings.SAMPLE_DAYS)


def months() -> dict[datetime, str]:
    """Return each month that has a part, with the part's name."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = %s::regclass",
            [_TABLE],
        )
        names = [name for (name,) in cursor.fetchall()]
    found = {}
    for name in names:
        matched = _NAME.fullmatch(name)
        if matched:
            found[datetime(int(matched[1]), int(matched[2]), 1, tzinfo=UTC)] = name
    return found


def ensure(wanted: Iterable[datetime]) -> list[str]:
    """Make the parts of these months that are missing; return their names. Ask it before the table itself is touched.

    Whoever holds the table and then waits here would stand in the way of `drop_old`, which holds this lock first.
    """
    needed = {month_of(each) for each in wanted}
    if needed <= months().keys():
        return []
    made = []
    with transaction.atomic(), connection.cursor() as cursor:
        _lock(cursor)
        for month in sorted(needed - months().keys()):
            name = f"{_TABLE}_{month:%Y_%m}"
            # Attached, not made as a part: that would keep out everyone who writes samples at this moment.
            cursor.execute(f"CREATE TABLE {name} (LIKE {_TABLE} INCLUDING ALL)")
            cursor.execute(
                f"ALTER TABLE {_TABLE} ATTACH PARTITION {name} FOR VALUES FROM ('{month.isoformat()}')"
                f" TO ('{month_after(month).isoformat()}')"
            )
            made.append(name)
    return made


def ensure_ahead(now: datetime) -> list[str]:
    """Make the parts of this month and the next two."""
    this = month_of(now)
    return ensure([this, month_after(this), month_after(month_after(this))])


def drop_old(now: datetime) -> list[str]:
    """Drop the months of which every sample is too old; return the names of their parts. Rollups stay.

    Dropping waits for whoever reads or writes samples, and everybody after it waits for it: after a few seconds it
    lets them pass, and the month goes the next time.
    """
    limit = kept_from(now) - _GRACE
    dropped = []
    for month, name in sorted(months().items()):
        if month_after(month) > limit:
            continue
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                _lock(cursor)
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [_PATIENCE])
                cursor.execute(f"DROP TABLE IF EXISTS {name}")
        except OperationalError as problem:
            if not isinstance(problem.__cause__, LockNotAvailable):
                raise
            log.info("sample_part_in_use", part=name)
            break
        dropped.append(name)
    return dropped


def _lock(cursor: Any) -> None:
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('capacity.partitions', 0))")
