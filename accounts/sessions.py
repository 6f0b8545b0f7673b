"""Where a person is logged in: the list, ending one, ending all, and when each was last used.

A session ends at once everywhere: its row is deleted, and *all* ends by raising the user's
`session_generation`, which every session is held against. Open live views are told (portal/streams.py).
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from allauth.account.internal.flows.login import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.usersessions.models import UserSession
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.adapters import UNKNOWN_ADDRESS
from accounts.models import User
from portal import streams
from portal.access import in_database
from portal.audit.services import record
from portal.middleware import address_of

SEEN_EVERY_S = 60.0
_MOST_REMEMBERED = 10_000


@dataclass(frozen=True)
class Place:
    """One session of a user. `address` is None if not known; `last_seen_at` is right to the minute."""

    ref: uuid.UUID
    device: str
    address: str | None
    began_at: datetime
    last_seen_at: datetime
    is_here: bool


def ref_of(kind: str, key: object) -> uuid.UUID:
    """Return the public reference of a row of allauth's, whose own key is a number or a secret."""
    return uuid.UUID(salted_hmac(f"accounts.ref.{kind}", str(key), algorithm="sha256").hexdigest()[:32])


# --- reading ----------------------------------------------------------------------------------------------

_BROWSERS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
_PROGRAM = re.compile(r"^([A-Za-z][A-Za-z0-9._-]{1,30})/")


def device_of(user_agent: str) -> str:
    """Return a few words for what a browser calls itself: "Firefox on Linux", else "an unknown browser"."""
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    if browser:
        return f"{browser} on {system}" if system else browser
    named = _PROGRAM.match(user_agent)
    return named.group(1) if named and named.group(1) != "Mozilla" else "an unknown browser"


def places_of(user: User, here: str | None) -> list[Place]:
    """Return where a user is logged in, last used first, in one query. `here` is this session's key."""
    alive = Session.objects.filter(session_key=OuterRef("session_key"), expire_date__gt=timezone.now())
    rows = UserSession.objects.filter(Exists(alive), user=user).order_by("-last_seen_at", "-pk")[:200]
    return [
        Place(
            ref=ref_of("session", row.session_key),
            device=device_of(row.user_agent),
            address=None if row.ip == UNKNOWN_ADDRESS else row.ip,
            began_at=row.created_at,
            last_seen_at=row.last_seen_at,
            is_here=row.session_key == here,
        )
        for row in rows
    ]


# --- ending -----------------------------------------------------------------------------------------------


def end_session(user: User, ref: uuid.UUID, *, actor: User) -> Place | None:
    """End one session of `user` at once, with its live views; None if there is none of that reference."""
    for row in UserSession.objects.filter(user=user):
        if ref_of("session", row.session_key) != ref:
            continue
        with transaction.atomic():
            Session.objects.filter(session_key=row.session_key).delete()
            row.delete()
            record(
                "session.ended",
                actor=actor,
                subject=user,
                after={"device": device_of(row.user_agent), "from": row.ip},
            )
            streams.recheck(user.pk)
        return Place(
            ref=ref,
            device=device_of(row.user_agent),
            address=row.ip,
            began_at=row.created_at,
            last_seen_at=row.last_seen_at,
            is_here=False,
        )
    return None


@transaction.atomic
def end_all_sessions(
    user: User, *, actor: User | None, reason: str = "", keep: HttpRequest | None = None
) -> None:
    """End every session of `user` at once, with the live views open in them; API tokens stay.

    `keep` is a request of the user whose own session goes on. `actor` None means the portal itself.
    """
    kept = keep.session.session_key if keep is not None else None
    User.objects.filter(pk=user.pk).update(session_generation=F("session_generation") + 1)
    user.refresh_from_db(fields=["session_generation"])
    others = UserSession.objects.filter(user=user).exclude(session_key=kept or "")
    ended = list(others.values_list("session_key", flat=True))
    Session.objects.filter(session_key__in=ended).delete()
    others.delete()
    if keep is not None:
        _carry_on(keep, user)
    record("session.all_ended", actor=actor, subject=user, reason=reason, after={"kept": kept is not None})
    streams.recheck(user.pk)


def _carry_on(request: HttpRequest, user: User) -> None:
    """Let this request's session go on under what sessions are now held against, with a fresh key."""
    was = request.session.session_key
    update_session_auth_hash(request, user)
    request.session.save()
    UserSession.objects.filter(session_key=was or "").update(session_key=request.session.session_key)


# --- last use ---------------------------------------------------------------------------------------------

_seen: dict[str, float] = {}


def _note_seen(request: HttpRequest) -> str | None:
    """Return the key of a session whose last use is to be noted now: at most once a minute per process.

    A session that came in by our log-in carries its proofs; another has no place in the list.
    """
    session = getattr(request, "session", None)
    # Only a session that the request looked at: what needs no log-in must not read one.
    if session is None or not session.accessed or not session.session_key:
        return None
    key: str = session.session_key
    now = time.monotonic()
    if (
        now - _seen.get(key, -SEEN_EVERY_S) < SEEN_EVERY_S
        or AUTHENTICATION_METHODS_SESSION_KEY not in session
    ):
        return None
    if len(_seen) >= _MOST_REMEMBERED:
        _seen.clear()
    _seen[key] = now
    return key


def _keep_seen(key: str, address: str) -> None:
    UserSession.objects.filter(session_key=key).update(last_seen_at=timezone.now(), ip=address)


class LastSeenMiddleware:
    """Notes when and from where a session was last used; works under both sync and async handlers."""

    sync_capable = True
    async_capable = True

    def __init__(
        self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]
    ) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer, then note."""
        if iscoroutinefunction(self.get_response):
            return self._later(request)
        response = self.get_response(request)
        assert not isinstance(response, Awaitable)
        key = _note_seen(request)
        if key:
            _keep_seen(key, address_or_unknown(request))
        return response

    async def _later(self, request: HttpRequest) -> HttpResponseBase:
        answer = self.get_response(request)
        assert isinstance(answer, Awaitable)
        response = await answer
        key = _note_seen(request)
        if key:
            await in_database(_keep_seen, key, address_or_unknown(request))
        return response


def address_or_unknown(request: HttpRequest) -> str:
    """Return the caller's address in a form that the column holds."""
    return address_of(request) or UNKNOWN_ADDRESS


def put_on_record() -> None:
    """Have every log-in and log-out written to the audit, from the start on and whatever module asked for it."""
    user_logged_in.connect(_signed_in, dispatch_uid="accounts.login.done")
    user_logged_out.connect(_signed_out, dispatch_uid="accounts.logout.done")


def _signed_in(sender: Any, user: Any, **kwargs: Any) -> None:
    record("login.done", actor=user, subject=user)


def _signed_out(sender: Any, user: Any, **kwargs: Any) -> None:
    if user is not None:
        record("logout.done", actor=user, subject=user)
