"""The one relay: committed events get the next positions, without gaps, in an order that no reader can overtake.

A serial id is given before the commit, so a reader of "id above 118" loses event 117 of a slower transaction. A
position is given after it, under one lock, and becomes visible before the next one is given: who has read up to N
misses nothing by asking for what is above N.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from portal.events.models import Event, OutboxHead
from portal.runs import wake

LATE_AFTER_S = 60.0
BATCH = 1000
_LOCK = 7_205_102
_listeners: list[Callable[[Collection[UUID]], None]] = []


def relay_due(*, batch: int = BATCH, budget_s: float = 5.0) -> int:
    """Give committed events their positions; return how many. 0 also where another relay is at it."""
    until = time.monotonic() + budget_s
    placed = 0
    while time.monotonic() < until:
        done, news = _place_batch(batch)
        for account_ref, position in news.items():
            wake.publish(channel_of(account_ref), position)
        if news:
            for hear in _listeners:
                hear(news.keys())
        placed += done
        if done < batch:
            break
    return placed


def listen(hear: Callable[[Collection[UUID]], None]) -> None:
    """Call `hear` with the references of the accounts whose events just got their places, after that commit."""
    if hear not in _listeners:
        _listeners.append(hear)


def channel_of(account_ref: UUID) -> str:
    """Return under which name open streams hear of an account's events."""
    return f"account-{account_ref}"


@transaction.atomic
def _place_batch(batch: int) -> tuple[int, Mapping[UUID, int]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0]:
            return 0, {}
        cursor.execute(
            "SELECT id, account_ref FROM events_event WHERE position IS NULL ORDER BY id LIMIT %s", [batch]
        )
        due = cursor.fetchall()
        if not due:
            return 0, {}
        cursor.execute(
            "INSERT INTO events_outboxhead (id, position, forgotten) VALUES (1, %s, 0)"
            " ON CONFLICT (id) DO UPDATE SET position = events_outboxhead.position + EXCLUDED.position"
            " RETURNING position",
            [len(due)],
        )
        first = cursor.fetchone()[0] - len(due) + 1
        cursor.execute(
            "UPDATE events_event SET position = %s + place.n - 1"
            " FROM unnest(%s::bigint[]) WITH ORDINALITY AS place(id, n) WHERE events_event.id = place.id",
            [first, [row[0] for row in due]],
        )
    return len(due), {account_ref: first + offset for offset, (_, account_ref) in enumerate(due)}


def head() -> tuple[int, int]:
    """Return the last position given and the last one forgotten by age; 0 for none."""
    row = OutboxHead.objects.first()
    return (row.position, row.forgotten) if row is not None else (0, 0)


def unplaced_for_s() -> float:
    """Return for how long the oldest event waits for its position, in seconds; 0 for none."""
    found = (
        Event.objects.filter(position__isnull=True)
        .annotate(waited=Now() - F("at"))
        .order_by("id")
        .values_list("waited", flat=True)
        .first()
    )
    return max(0.0, found.total_seconds()) if found is not None else 0.0


def forget(before: datetime, *, batch: int = 5000) -> int:
    """Delete events that happened before `before` and have a position; return how many. Can be run again.

    Only whole stretches go, oldest position first, so "from position N on" stays a promise: who asks for what was
    forgotten is told so. Events are deleted up to the first one that is younger.
    """
    gone = 0
    while True:
        with transaction.atomic():
            rows = Event.objects.filter(position__isnull=False).order_by("position")
            younger = rows.filter(at__gte=before).values_list("position", flat=True).first()
            if younger is not None:
                rows = rows.filter(position__lt=younger)
            positions = list(rows.values_list("position", flat=True)[:batch])
            if not positions:
                return gone
            OutboxHead.objects.filter(pk=1).update(forgotten=positions[-1])
            gone += Event.objects.filter(position__lte=positions[-1]).delete()[0]
