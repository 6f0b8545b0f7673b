"""The second factor: codes of an app (TOTP), security keys (WebAuthn) and recovery codes.

allauth keeps the rows (`Authenticator`) and speaks WebAuthn. What counts stands in the database and under a
row lock: a code works once, also at the same moment in two browsers, also when Redis was emptied in between.
"""

from __future__ import annotations

import hmac
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from allauth.account.internal.flows.login import record_authentication
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.stages import AuthenticateStage
from allauth.mfa.totp.internal.auth import format_hotp_value, generate_totp_secret, hotp_value
from allauth.mfa.utils import decrypt, encrypt
from allauth.mfa.webauthn.internal import auth as webauthn
from cryptography.exceptions import InvalidSignature
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounts import notices, throttle
from accounts.models import User
from accounts.sessions import end_all_sessions, ref_of
from portal import crypto
from portal.access import must_have_second_factor
from portal.audit.services import record, record_outside
from portal.errors import NotPermitted, Refused, TryLater, in_time

STEP_S = 30
MOST_KEYS = 10
_PENDING = "second_factor_pending"
_RESTS_ON = "rests_on"
_TOTP, _KEY, _RECOVERY = (
    Authenticator.Type.TOTP,
    Authenticator.Type.WEBAUTHN,
    Authenticator.Type.RECOVERY_CODES,
)
WRONG_CODE = "This code is not right, or was used before. With an app, wait for the next one, and check the phone's clock."
CLONED_KEY = (
    "This security key was refused: it counts fewer uses than it should, so there may be a copy of it. Use another "
    "way, then remove the key under your settings. You are told by mail as well."
)
WRONG_KEY = "This security key was not accepted. Use one that you added here, or another way."


@dataclass(frozen=True)
class Factor:
    """One second factor as its owner sees it."""

    ref: uuid.UUID
    kind: str
    name: str
    added_at: datetime
    last_used_at: datetime | None


# --- reading ----------------------------------------------------------------------------------------------


def rows_of(user: User) -> list[Authenticator]:
    """Return every row of a user, oldest first, in one query."""
    return list(Authenticator.objects.filter(user=user).order_by("pk"))


def factors_in(rows: list[Authenticator]) -> list[Factor]:
    """Return the app and the keys among `rows`; recovery codes are no factor of their own."""
    return [
        Factor(
            ref=ref_of("factor", row.pk),
            kind=row.type,
            name=row.data.get("name", "") if row.type == _KEY else "Authenticator app",
            added_at=row.created_at,
            last_used_at=row.last_used_at,
        )
        for row in rows
        if row.type in (_TOTP, _KEY)
    ]


def recovery_codes_left(rows: list[Authenticator]) -> int | None:
    """Return how many recovery codes still work; None if there are none at all."""
    row = next((row for row in rows if row.type == _RECOVERY), None)
    return None if row is None else len(RecoveryCodes(row).get_unused_codes())


# --- pure ---------------------------------------------------------------------------------------------------


def counter_of(secret: str, code: str, *, at_s: float, after: int = -1) -> int | None:
    """Return the TOTP counter (RFC 6238) whose code this is, at most one step off; None if it is none.

    `at_s` is Unix time in seconds. Only counters above `after` count: a code that was taken, and every older
    one, is none any more (RFC 6238, section 5.2).
    """
    now = int(at_s) // STEP_S
    found = None
    for counter in range(now - settings.MFA_TOTP_TOLERANCE, now + settings.MFA_TOTP_TOLERANCE + 1):
        # Every step is computed and compared in full, so that time tells nothing.
        if hmac.compare_digest(format_hotp_value(hotp_value(secret, counter)).encode(), code.encode()):
            found = counter
    return found if found is not None and found > after else None


def plain_code(text: str) -> str:
    """Return a typed code without the spaces and dashes that apps and paper show it with."""
    return "".join(char for char in text if char not in " -\u00a0")


# --- trying -------------------------------------------------------------------------------------------------


def _take_try(user: User) -> None:
    wait_s = throttle.take_code(user.ref, now=timezone.now())
    if wait_s > 0:
        record_outside("second_factor.throttled", actor=user, subject=user)
        raise TryLater(
            f"Too many tries with a second factor of your log-in, from wherever they came. Come again {in_time(wait_s)}.",
            after_s=wait_s,
        )


def try_code(user: User, text: str, *, purpose: str) -> Authenticator:
    """Take a code of the app, or a recovery code, once. `purpose` says on record what it was for.

    Raises Refused for a code that does not hold, TryLater after too many.
    """
    _take_try(user)
    code = plain_code(text)
    row = _take_totp(user, code) or _take_recovery_code(user, code)
    if row is None:
        record_outside("second_factor.failed", actor=user, subject=user, after={"purpose": purpose})
        raise Refused(WRONG_CODE, code="wrong_code")
    throttle.forget_codes(user.ref)
    record(
        "recovery_codes.used" if row.type == _RECOVERY else "second_factor.used",
        actor=user,
        subject=user,
        after={"purpose": purpose, "kind": row.type},
    )
    return row


@transaction.atomic
def _take_totp(user: User, code: str) -> Authenticator | None:
    row = Authenticator.objects.select_for_update().filter(user=user, type=_TOTP).first()
    if row is None:
        return None
    secret = decrypt(row.data["secret"])
    counter = counter_of(secret, code, at_s=time.time(), after=row.data.get("last_counter", -1))
    if counter is None:
        return None
    row.data["last_counter"] = counter
    row.last_used_at = timezone.now()
    row.save(update_fields=["data", "last_used_at"])
    return row


def _take_recovery_code(user: User, code: str) -> Authenticator | None:
    row = Authenticator.objects.filter(user=user, type=_RECOVERY).first()
    # allauth looks under a row lock and marks the code as used.
    if row is None or not RecoveryCodes(row).validate_code(code):
        return None
    row.record_usage()
    return row


def key_options(user: User) -> dict[str, Any]:
    """Return what the browser needs to ask a security key of this user; the challenge is kept in the session."""
    return dict(webauthn.begin_authentication(user))


def try_key(user: User, answer: Any, *, purpose: str) -> Authenticator:
    """Take the answer of a security key to the session's challenge. Raises Refused or TryLater."""
    _take_try(user)
    try:
        parsed = webauthn.parse_authentication_response(answer)
        counter = parsed.response.authenticator_data.counter
        row = webauthn.complete_authentication(user, answer)
    except (ValidationError, InvalidSignature, ValueError, TypeError, KeyError, AttributeError) as error:
        record_outside(
            "second_factor.failed", actor=user, subject=user, after={"purpose": purpose, "kind": _KEY}
        )
        raise Refused(WRONG_KEY, code="wrong_key") from error
    if not _take_counter(row, counter):
        _cloned(user, row, purpose)
        raise Refused(CLONED_KEY, code="cloned_key")
    throttle.forget_codes(user.ref)
    record(
        "second_factor.used",
        actor=user,
        subject=user,
        after={"purpose": purpose, "kind": _KEY, "name": row.data["name"]},
    )
    return row


@transaction.atomic
def _take_counter(row: Authenticator, counter: int) -> bool:
    """Keep the count of signatures that a key answered with; False where it should be higher. Raises Refused.

    WebAuthn, section 7.2, step 22: a count that does not rise, while one of the two is not zero, means that the
    key exists twice. A key that does not count answers 0 each time. A key removed meanwhile is none.
    """
    held = Authenticator.objects.select_for_update().filter(pk=row.pk).first()
    if held is None:
        raise Refused(WRONG_KEY, code="wrong_key")
    last = held.data.get("last_counter")
    if last is None:
        # Added before counts were kept: what it said when it was added is the first.
        last = webauthn.WebAuthn(held).authenticator_data.counter
    if (counter or last) and counter <= last:
        return False
    held.data["last_counter"] = counter
    held.last_used_at = row.last_used_at = timezone.now()
    held.save(update_fields=["data", "last_used_at"])
    return True


def _cloned(user: User, row: Authenticator, purpose: str) -> None:
    """Put on record, and tell the user, that a key of theirs seems to exist twice; also when the request fails."""
    name = row.data["name"]
    record_outside(
        "second_factor.cloned",
        actor=user,
        subject=user,
        after={"purpose": purpose, "kind": _KEY, "name": name},
    )
    notices.tell_login_changed(user, f"A security key was refused, it may have been copied: {name}")


# --- changing -----------------------------------------------------------------------------------------------


def begin_app(request: HttpRequest, *, afresh: bool) -> str:
    """Return the secret that is offered to an app, kept encrypted in the session until its first code came."""
    held = request.session.get(_PENDING)
    if held and not afresh:
        return crypto.decrypt(held)
    secret = generate_totp_secret()
    request.session[_PENDING] = crypto.encrypt(secret)
    return secret


def add_app(request: HttpRequest, user: User, text: str) -> bool:
    """Make the offered secret the user's app, once its code is right; return whether recovery codes were made.

    The code counts as used. Raises Refused for a wrong code, for an offer that is over, or where there is an app.
    """
    held = request.session.get(_PENDING)
    if not held:
        raise Refused("This offer is over. Scan the new code, then type what your app shows.", code="over")
    _take_try(user)
    secret = crypto.decrypt(held)
    counter = counter_of(secret, plain_code(text), at_s=time.time())
    if counter is None:
        raise Refused(WRONG_CODE, code="wrong_code")
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        if Authenticator.objects.filter(user=user, type=_TOTP).exists():
            raise Refused("There is an authenticator app already. Remove it first.", code="there_already")
        row = Authenticator.objects.create(
            user=user, type=_TOTP, data={"secret": encrypt(secret), "last_counter": counter}
        )
        made = _added(request, user, row, "Authenticator app")
    request.session.pop(_PENDING, None)
    throttle.forget_codes(user.ref)
    return made


def key_to_be(user: User) -> dict[str, Any]:
    """Return what the browser needs to make a security key known; the challenge is kept in the session."""
    return dict(webauthn.begin_registration(user, False))


def add_key(request: HttpRequest, user: User, name: str, answer: Any) -> bool:
    """Keep a security key under a name of the user's; return whether recovery codes were made. Raises Refused."""
    try:
        webauthn.parse_registration_response(answer)
        webauthn.complete_registration(answer)
    except (ValidationError, InvalidSignature, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Refused(
            "This security key could not be added. Load the page again and try once more.", code="wrong_key"
        ) from error
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        if Authenticator.objects.filter(user=user, type=_KEY).count() >= MOST_KEYS:
            raise Refused(f"{MOST_KEYS} security keys are the most. Remove one first.", code="too_many")
        row = webauthn.WebAuthn.add(user, name, answer).instance
        return _added(request, user, row, name)


def _added(request: HttpRequest, user: User, row: Authenticator, name: str) -> bool:
    """Put a new factor on record; make recovery codes with the first. Adding one is a proof by it."""
    record("second_factor.added", actor=user, subject=user, after={"kind": row.type, "name": name})
    what = "A security key was added" if row.type == _KEY else "An authenticator app was added"
    notices.tell_login_changed(user, what + (f": {name}" if row.type == _KEY else ""))
    record_authentication(request, user, "mfa", id=row.pk, type=row.type, reauthenticated=True)
    if not Authenticator.objects.filter(user=user, type__in=(_TOTP, _KEY)).exclude(pk=row.pk).exists():
        # Whoever came by the password alone would be let in where a second factor is asked for, without showing it.
        end_all_sessions(user, actor=user, reason="first second factor added", keep=request)
    if Authenticator.objects.filter(user=user, type=_RECOVERY).exists():
        return False
    RecoveryCodes.activate(user)
    record("recovery_codes.made", actor=user, subject=user)
    return True


@transaction.atomic
def remove(user: User, ref: uuid.UUID) -> Factor | None:
    """Take one factor away; with the last one the recovery codes go too. None if there is none of that reference.

    Raises NotPermitted where a role of the user needs a second factor and this is the only one.
    """
    User.objects.select_for_update().get(pk=user.pk)
    rows = rows_of(user)
    factors = factors_in(rows)
    factor = next((one for one in factors if one.ref == ref), None)
    if factor is None:
        return None
    if len(factors) == 1 and must_have_second_factor(user):
        raise NotPermitted(
            "Your role needs a second factor, and this is your only one. Add another first, then remove this.",
            code="second_factor_needed",
        )
    row = next(row for row in rows if ref_of("factor", row.pk) == ref)
    row.delete()
    if len(factors) == 1:
        Authenticator.objects.filter(user=user).delete()
    record(
        "second_factor.removed",
        actor=user,
        subject=user,
        before={"kind": factor.kind, "name": factor.name},
    )
    notices.tell_login_changed(user, f"A second factor was removed: {factor.name}")
    return factor


@transaction.atomic
def make_recovery_codes(user: User) -> list[str]:
    """Return ten new recovery codes; the old ones are void. Raises Refused without a second factor."""
    User.objects.select_for_update().get(pk=user.pk)
    if not Authenticator.objects.filter(user=user, type__in=(_TOTP, _KEY)).exists():
        raise Refused("Recovery codes stand in for a second factor. Add one first.", code="no_factor")
    Authenticator.objects.filter(user=user, type=_RECOVERY).delete()
    made = RecoveryCodes.activate(user)
    record("recovery_codes.made", actor=user, subject=user)
    notices.tell_login_changed(user, "New recovery codes were made")
    return made.generate_codes()


def show_recovery_codes(user: User) -> list[str]:
    """Return the recovery codes that still work, and put on record that they were looked at."""
    row = Authenticator.objects.filter(user=user, type=_RECOVERY).first()
    if row is None:
        return []
    record("recovery_codes.viewed", actor=user, subject=user)
    return RecoveryCodes(row).get_unused_codes()


# --- the step of a log-in -----------------------------------------------------------------------------------


class SecondFactorStage(AuthenticateStage):
    """Between a right password and the session, for whoever has a second factor."""

    urlname = "login-second"

    def handle(self) -> tuple[HttpResponseBase | None, bool]:
        """Ask for it, or let the log-in go on."""
        if not self._should_handle(self.request):
            return None, True
        self.state["authentication_required"] = True
        self.state[_RESTS_ON] = self.login.user.get_session_auth_hash()
        return redirect("login-second"), True

    def still_holds(self) -> bool:
        """Whether the user is active, and the password that was right is still theirs: a reset ends half log-ins too."""
        user = self.login.user
        held = str(self.state.get(_RESTS_ON, ""))
        return (
            user is not None and user.is_active and constant_time_compare(held, user.get_session_auth_hash())
        )


def keep_login_proof(request: HttpRequest, user: User, row: Authenticator) -> None:
    """Note in the session that `user`, who is about to be logged in, has shown this second factor."""
    record_authentication(request, user, "mfa", id=row.pk, type=row.type)


# --- keys of FIELD_KEYS -------------------------------------------------------------------------------------


def _secrets_in(data: dict[str, Any]) -> Iterator[str]:
    yield from (name for name in ("secret", "seed") if data.get(name))


def rotate_secrets() -> int:
    """Encrypt the secret of every app and every set of recovery codes afresh; return how many. Can be run again.

    Raises Undecryptable at the first that no configured key can read; those before it are done.
    """
    done = 0
    for pk in Authenticator.objects.exclude(type=_KEY).order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            row = Authenticator.objects.select_for_update().filter(pk=pk).first()
            if row is None:
                continue
            for name in _secrets_in(row.data):
                row.data[name] = crypto.rotate(row.data[name])
            row.save(update_fields=["data"])
            done += 1
    return done
