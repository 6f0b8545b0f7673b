"""Tries to log in that did not succeed, counted per (mail, address) and per address; codes of a second factor
per user; links to set a new password per mail and per address. In the database: Redis may be emptied. An address is
what one stranger can call their own: of IPv6 the whole /64.

The row's key is a keyed hash, so the table names nobody, and an unknown mail counts like a known one.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import F
from django.utils.crypto import salted_hmac

from accounts.models import LoginThrottle
from portal.audit.facts import neighbourhood
from portal.errors import TooOften

WINDOW = timedelta(minutes=15)
TRIES_PER_PAIR = 5
TRIES_PER_ADDRESS = 50
CODES_PER_USER = 5
MAIL_CHANGES_PER_USER = 5
RESETS_PER_MAIL = 3
RESETS_PER_ADDRESS = 20


def _keys(email: str, address: str | None) -> list[tuple[str, int]]:
    whose = neighbourhood(address)
    pair = f"{email.strip().lower()}\n{whose}"
    return [
        (salted_hmac("accounts.throttle.pair", pair, algorithm="sha256").hexdigest(), TRIES_PER_PAIR),
        (salted_hmac("accounts.throttle.address", whose, algorithm="sha256").hexdigest(), TRIES_PER_ADDRESS),
    ]


class _Full(Exception):
    """A limit is reached: nothing of this try is counted."""


def take_try(email: str, address: str | None, *, now: datetime) -> float:
    """Count one try before its password is looked at; return how many seconds to wait instead, 0 if none.

    Look and count are one statement, so that of tries at the same moment no more than the limit pass. A try
    that has to wait is not counted; a window that is over begins anew; a good log-in gives back (`forget`).
    """
    return _take(_keys(email, address), now)


def _take(keys: list[tuple[str, int]], now: datetime) -> float:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            for key, limit in keys:
                cursor.execute(
                    "INSERT INTO accounts_loginthrottle AS held (key, fails, since) VALUES (%(key)s, 1, %(now)s)"
                    " ON CONFLICT (key) DO UPDATE SET"
                    " fails = CASE WHEN held.since <= %(ago)s THEN 1 ELSE held.fails + 1 END,"
                    " since = CASE WHEN held.since <= %(ago)s THEN excluded.since ELSE held.since END"
                    " WHERE held.since <= %(ago)s OR held.fails < %(limit)s",
                    {"key": key, "now": now, "ago": now - WINDOW, "limit": limit},
                )
                if cursor.rowcount == 0:
                    raise _Full
    except _Full:
        limits = dict(keys)
        rows = LoginThrottle.objects.filter(key__in=limits)
        waits = [(row.since + WINDOW - now).total_seconds() for row in rows if row.fails >= limits[row.key]]
        return max([1.0, *waits])
    return 0.0


def forget(email: str, address: str | None) -> None:
    """A good log-in clears the count of its (mail, address), and was no failure of the address."""
    (pair, _), (whole, _) = _keys(email, address)
    LoginThrottle.objects.filter(key=pair).delete()
    LoginThrottle.objects.filter(key=whole, fails__gt=0).update(fails=F("fails") - 1)


def _code_key(user_ref: object) -> str:
    return salted_hmac("accounts.throttle.code", str(user_ref), algorithm="sha256").hexdigest()


def take_code(user_ref: object, *, now: datetime) -> float:
    """Count one try at a second factor before it is looked at; return the seconds to wait instead, 0 if none.

    Counted per user wherever the tries come from: whoever gets here has the password already.
    """
    return _take([(_code_key(user_ref), CODES_PER_USER)], now)


def forget_codes(user_ref: object) -> None:
    """A right code or key clears the count."""
    LoginThrottle.objects.filter(key=_code_key(user_ref)).delete()


def take_reset(email: str, address: str | None, *, now: datetime) -> tuple[bool, bool]:
    """Count one wish for a link to set a new password; return (the address may ask, the mail may be sent one).

    Both are looked at whatever comes out, and an unknown mail counts like a known one.
    """
    mail = salted_hmac("accounts.throttle.reset", email.strip().lower(), algorithm="sha256").hexdigest()
    here = salted_hmac("accounts.throttle.reset_from", neighbourhood(address), algorithm="sha256").hexdigest()
    may_ask = _take([(here, RESETS_PER_ADDRESS)], now) <= 0
    may_send = _take([(mail, RESETS_PER_MAIL)], now) <= 0
    return may_ask, may_send


def take_mail_change(user_ref: object, email: str, *, now: datetime) -> tuple[bool, bool]:
    """Count one wish for another mail address; return (the user may ask, the new mailbox may be written to)."""
    mail = salted_hmac("accounts.throttle.mail_change_to", email, algorithm="sha256").hexdigest()
    by = salted_hmac("accounts.throttle.mail_change", str(user_ref), algorithm="sha256").hexdigest()
    may_ask = _take([(by, MAIL_CHANGES_PER_USER)], now) <= 0
    return may_ask, may_ask and _take([(mail, RESETS_PER_MAIL)], now) <= 0


LINKS_PER_ADDRESS = 50


def take_link(address: str | None, *, now: datetime) -> None:
    """Count one try at a contact's link that opens nothing. Raises TooOften past 50 of an address within 15 minutes."""
    key = salted_hmac(
        "accounts.throttle.contact_link", neighbourhood(address), algorithm="sha256"
    ).hexdigest()
    wait = _take([(key, LINKS_PER_ADDRESS)], now)
    if wait > 0:
        raise TooOften(
            "Too many links that open nothing were tried from here.",
            after_s=wait,
            whose="your internet address, for everybody behind it together",
        )
