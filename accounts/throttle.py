"""Failed log-ins, counted per (mail, address) and per address. In the database: Redis may be emptied.

The row's key is a keyed hash, so the table names nobody, and an unknown mail counts like a known one.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection
from django.utils.crypto import salted_hmac

from accounts.models import LoginThrottle

WINDOW = timedelta(minutes=15)
TRIES_PER_PAIR = 5
TRIES_PER_ADDRESS = 50


def _keys(email: str, address: str | None) -> list[tuple[str, int]]:
    pair = f"{email.strip().lower()}\n{address or ''}"
    return [
        (salted_hmac("accounts.throttle.pair", pair, algorithm="sha256").hexdigest(), TRIES_PER_PAIR),
        (
            salted_hmac("accounts.throttle.address", address or "", algorithm="sha256").hexdigest(),
            TRIES_PER_ADDRESS,
        ),
    ]


def wait_s(email: str, address: str | None, *, now: datetime) -> float:
    """Return how many seconds this (mail, address) must wait before its next try; 0 if none."""
    limits = dict(_keys(email, address))
    rows = LoginThrottle.objects.filter(key__in=limits, since__gt=now - WINDOW)
    waits = [(row.since + WINDOW - now).total_seconds() for row in rows if row.fails >= limits[row.key]]
    return max(waits, default=0.0)


def note_failure(email: str, address: str | None, *, now: datetime) -> None:
    """Count one failed log-in; a window that is over begins anew."""
    with connection.cursor() as cursor:
        for key, _limit in _keys(email, address):
            cursor.execute(
                "INSERT INTO accounts_loginthrottle (key, fails, since) VALUES (%s, 1, %s)"
                " ON CONFLICT (key) DO UPDATE SET"
                " fails = CASE WHEN accounts_loginthrottle.since <= %s THEN 1"
                " ELSE accounts_loginthrottle.fails + 1 END,"
                " since = CASE WHEN accounts_loginthrottle.since <= %s THEN excluded.since"
                " ELSE accounts_loginthrottle.since END",
                [key, now, now - WINDOW, now - WINDOW],
            )


def forget(email: str, address: str | None) -> None:
    """A good log-in clears the count of its (mail, address)."""
    LoginThrottle.objects.filter(key=_keys(email, address)[0][0]).delete()
