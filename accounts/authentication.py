"""API tokens: `Authorization: Bearer ss_…`. Shown once, stored as SHA-256, limited by scopes, time and networks.

An account's service token (`ssa_…`) acts in its maker's name on that account alone. Whether its maker might make it
still is asked afresh each time: the token ends with that right (docs/decisions/0025).
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from django.db.models import Q
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts.models import ApiToken, User
from portal.access import limit_of_token, may_make_service_token, permissions_on
from portal.audit.facts import current_facts, set_facts
from portal.audit.services import record, record_flood

PREFIX = "ss_"
SERVICE_PREFIX = "ssa_"
SHOWN = 11
_PREFIXES = (PREFIX, SERVICE_PREFIX)
_TOKENS = ApiToken.objects.select_related("user", "account")
_NO_SUCH = "This token is unknown, revoked or expired. Make a new one under your settings."


def new_secret(prefix: str = PREFIX) -> str:
    """Return a fresh token: the prefix that secret scanners know, and 256 random bits."""
    return prefix + secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """Return what is stored of a token.

    A service token's is another hash, so that an older version that runs beside this one during an upgrade does not
    find it: it would take it for its maker's own.
    """
    stored = f"account:{secret}" if secret.startswith(SERVICE_PREFIX) else secret
    return hashlib.sha256(stored.encode()).hexdigest()


class TokenAuthentication(BaseAuthentication):
    """Signs a request in by its bearer token; without such a header it stays out of the way."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        """Return the user and the token. Raises AuthenticationFailed (401) for one that does not hold."""
        kind, _, secret = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return None
        secret = secret.strip()
        now = timezone.now()
        token = _TOKENS.filter(digest=digest_of(secret)).first()
        why = _why_not(token, now) or ("" if is_from(token, current_facts().address) else "elsewhere")
        if token is None or why:
            record_flood(
                "token.refused",
                why=f"{why.replace(' ', '-')}:{token.pk if token else 0}",
                actor=token.user if token else None,
                account=token.account if token else None,
                subject=token,
                after={"why": why, "prefix": secret[:SHOWN] if secret.startswith(_PREFIXES) else ""},
            )
            raise AuthenticationFailed(_NO_SUCH)
        set_facts(replace(current_facts(), token_prefix=token.prefix))
        if token.account_id is not None:
            token.user.limit = limit_of_token(token.account_id, token.role, token.scopes)
        _note_use(token, now)
        return token.user, token

    def still_holds(self, token: ApiToken) -> bool:
        """Ask again, in the middle of a long answer."""
        return still_holds(token)

    def authenticate_header(self, request: Request) -> str:
        """Make the answer a 401."""
        return "Bearer"


def still_holds(token: ApiToken) -> bool:
    """Ask the database again whether a token that signed a request in is still good: streams last for hours."""
    fresh = _TOKENS.filter(pk=token.pk).first()
    return _why_not(fresh, timezone.now()) == ""


def _why_not(token: ApiToken | None, now: datetime) -> str:
    if token is None:
        return "unknown"
    if token.revoked_at is not None:
        return "revoked"
    if token.expires_at <= now:
        return "expired"
    if not token.user.is_active:
        return "user switched off"
    if token.account is not None and not may_make_service_token(
        permissions_on(token.user, token.account), token.role
    ):
        return "maker may not"
    return ""


def is_from(token: ApiToken | None, address: str | None) -> bool:
    """Whether a token may be used from this address; an address that is not known is in no network."""
    if token is None or not token.networks:
        return True
    try:
        caller: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    # An IPv4 caller of a socket that speaks both is ::ffff:a.b.c.d.
    caller = getattr(caller, "ipv4_mapped", None) or caller
    return any(caller in ipaddress.ip_network(network) for network in token.networks)


def _hour(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _note_use(token: ApiToken, now: datetime) -> None:
    """Remember the last use to the minute, and put the first of each hour on record."""
    last = token.last_used_at
    if last is not None and now - last < timedelta(minutes=1) and _hour(last) == _hour(now):
        return
    unchanged = Q(last_used_at=last) if last is not None else Q(last_used_at__isnull=True)
    if ApiToken.objects.filter(unchanged, pk=token.pk).update(last_used_at=now) and (
        last is None or _hour(last) < _hour(now)
    ):
        record("token.used", actor=token.user, account=token.account, subject=token)


class TokenScheme(OpenApiAuthenticationExtension):
    """How the OpenAPI document names it."""

    target_class = "accounts.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        """Return the security scheme."""
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of yours, `ss_…`, or of an account, `ssa_…`, with its scopes.",
        }
