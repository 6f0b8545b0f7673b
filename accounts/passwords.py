"""Setting a password: the own one, the first one of an invited person, and a new one by a link that was mailed.

Asking for a link does the same for every address: two counts and one row. Whether there is such a user is
found out by a worker, where nobody can watch how long it takes.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.tokens import default_token_generator
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from redis.exceptions import RedisError

from accounts import notices, throttle
from accounts.calendar.services import revoke_all_feeds
from accounts.models import ResetRequest, User
from accounts.sessions import end_all_sessions
from accounts.tokens import revoke_all_tokens
from portal.audit.services import record, record_flood
from portal.errors import Refused, TryLater, in_time

log = structlog.get_logger(__name__)

# A wish that could not be met for so long is forgotten: its author has asked again, or given up.
FORGET_AFTER = timedelta(hours=1)
_BATCH = 20


def check_password_rules(user: User, password: str) -> None:
    """Raise Refused, with every sentence, for a password that is too short, too common or too like the user."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Refused(" ".join(error.messages), code="weak_password") from error


def _store(user: User, password: str) -> None:
    check_password_rules(user, password)
    user.set_password(password)
    user.save(update_fields=["password"])


@transaction.atomic
def set_first_password(user: User, password: str, *, actor: User | None = None) -> None:
    """Give an invited person the password they chose. Raises Refused if there is one already, or for a weak one."""
    fresh = User.objects.select_for_update().get(pk=user.pk)
    if fresh.has_usable_password():
        raise Refused(
            "There is a password already. Log in, or ask for a link to set a new one.", code="has_one"
        )
    _store(user, password)
    record("password.set", actor=actor or user, subject=user)


@transaction.atomic
def change_password(request: HttpRequest, user: User, password: str) -> None:
    """Change the own password; every other session ends, this one goes on. Raises Refused for a weak one."""
    _store(user, password)
    record("password.changed", actor=user, subject=user)
    notices.tell_login_changed(user, "Your password was changed")
    end_all_sessions(user, actor=user, reason="password changed", keep=request)


# --- by a link --------------------------------------------------------------------------------------------


def ask_for_reset(email: str, *, address: str | None) -> None:
    """Note that somebody wants to set a new password. The same work for any address of mail.

    Raises TryLater where too many were asked for from one address. Too many for one mail are dropped silently.
    """
    may_ask, may_send = throttle.take_reset(email, address, now=timezone.now())
    if not may_ask:
        record_flood("password.reset_throttled")
        raise TryLater(
            "Too many links were asked for from your internet address, by everybody behind it together. "
            f"Come again {in_time(900)}.",
            after_s=900,
        )
    with transaction.atomic():
        # A row in any case, so that the work is the same; one above the limit of its mail names nobody.
        ResetRequest.objects.create(email=email if may_send else "")
        transaction.on_commit(_wake)
    record_flood("password.reset_asked")


def _wake() -> None:
    from kombu.exceptions import OperationalError

    from accounts.tasks import send_reset_links

    try:
        send_reset_links.apply_async(retry=False)
    except (OperationalError, OSError, RedisError) as error:
        log.warning("reset_wake_up_lost", error=type(error).__name__)  # beat comes by


def send_due_links(now: datetime) -> int:
    """Send a link to each known, active user who asked, and forget the rest; return how many were sent.

    A row goes in the transaction that hands its mail over. Who logs in without a password is sent none.
    """
    ResetRequest.objects.filter(asked_at__lt=now - FORGET_AFTER).delete()
    sent = 0
    for _ in range(_BATCH):
        with transaction.atomic():
            row = ResetRequest.objects.select_for_update(skip_locked=True).order_by("pk").first()
            if row is None:
                break
            user = User.objects.filter(email=row.email.strip().lower(), is_active=True).first()
            row.delete()
            if user is not None and user.has_usable_password():
                notices.tell_reset_link(user)
                record("password.reset_sent", subject=user)
                sent += 1
    return sent


def user_of_link(ref: UUID, key: str) -> User | None:
    """Return whose password a link may set; None for a link that is unknown, used, over or superseded."""
    user = User.objects.filter(ref=ref, is_active=True).first()
    return user if user is not None and default_token_generator.check_token(user, key) else None


@transaction.atomic
def reset_password(ref: UUID, key: str, password: str, *, with_tokens: bool = False) -> User:
    """Set the new password by a link, which then is used up; every session of the user ends. Raises Refused.

    `with_tokens` ends every token that the user made, and every calendar feed, too: for whoever thinks that somebody else was in.
    """
    # Under the lock, so that of two at once the second finds the link used up.
    User.objects.select_for_update().filter(ref=ref).first()
    user = user_of_link(ref, key)
    if user is None:
        raise Refused("This link holds no longer. Ask for a new one.", code="link_over")
    _store(user, password)
    record("password.reset", subject=user)
    notices.tell_login_changed(user, "A new password was set by a mailed link")
    end_all_sessions(user, actor=None, reason="password reset")
    if with_tokens:
        revoke_all_tokens(user, actor=user, reason="password reset")
        revoke_all_feeds(user, actor=user)
    return user
