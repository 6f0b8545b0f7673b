"""What a production portal must have, one sentence for each thing wrong. Run by `check` and at start."""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.urls import URLPattern, URLResolver, get_resolver

from portal.egress import trusting
from portal.worker_metrics import listen_address

# Commands that serve nothing need nothing set (docs/operations.md).
_HARMLESS = {"check", "spectacular", "makemigrations", "collectstatic", "forecast", "detect_events", "help"}

_SERVERS = {
    "DATABASE_URL": ("postgres://", "postgresql://"),
    "REDIS_URL": ("redis://", "rediss://", "unix://"),
}


def _serves() -> bool:
    """Whether this process serves people or works for them; `check --deploy` asks as if it did."""
    named = sys.argv[1] if len(sys.argv) > 1 else ""
    return "--deploy" in sys.argv or named not in _HARMLESS


@register(Tags.security)
def check_environment(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """Refuse to serve with settings that are only safe on a desk, or with secrets that are not there."""
    return what_is_wrong() if _serves() else []


def refuse_unless_ready() -> None:
    """End this process if it cannot serve, with one line on standard error for each thing wrong.

    `uvicorn` and `celery` run no system checks: portal.asgi and portal.celery call this before they do anything.
    """
    found = what_is_wrong()
    if found:
        for message in found:
            sys.stderr.write(f"Cannot start: {message.msg} [{message.id}]\n")
        sys.exit(1)


def what_is_wrong() -> list[CheckMessage]:
    """Return one error for each setting that is missing, malformed or only for a desk."""
    found: list[CheckMessage] = []

    def wrong(number: int, says: str) -> None:
        found.append(Error(says, id=f"portal.E{number:03}"))

    if not settings.FIELD_KEYS:
        wrong(1, "FIELD_KEYS is not set, so no provider key can be stored. Set one or more Fernet keys.")
    for key in settings.FIELD_KEYS:
        try:
            Fernet(key)
        except ValueError:
            wrong(2, "FIELD_KEYS holds a value that is no Fernet key (32 bytes in url-safe base64).")
    for network in filter(str.strip, settings.EGRESS_ALLOW_NETWORKS):
        try:
            ipaddress.ip_network(network.strip())
        except ValueError as error:
            wrong(10, f"EGRESS_ALLOW_NETWORKS holds what is no network in CIDR notation: {error}.")
    try:
        trusting(settings.EGRESS_CA_FILE)
    except OSError as error:  # ssl.SSLError is one
        wrong(20, f"EGRESS_CA_FILE is no file of certificates in PEM: {error}.")
    if settings.METRICS_LISTEN and listen_address(settings.METRICS_LISTEN) is None:
        wrong(16, "METRICS_LISTEN is no address like 0.0.0.0:9101. Set one, or leave it out.")
    for says in settings.MALFORMED:
        wrong(11, says)
    for number, says in mail_trouble():
        wrong(number, says)
    for role in settings.REQUIRE_SECOND_FACTOR:
        # Here, since portal.access needs the apps, which are not there yet when this module is read.
        from portal.access import ROLES

        if role not in ROLES:
            wrong(30, f"REQUIRE_SECOND_FACTOR names “{role}”. The roles are {', '.join(sorted(ROLES))}.")
    if settings.DESK_MODE:
        return found
    for number, (name, schemes) in enumerate(_SERVERS.items(), start=12):
        url = os.environ.get(name, "")
        if not url:
            wrong(number, f"{name} is not set. Set the address of the server, with its user and password.")
        elif not url.startswith(schemes):  # the value is not repeated: a password may be in it
            wrong(number, f"{name} is no address that begins with {schemes[0]}.")
    if not (settings.STATIC_ROOT / "staticfiles.json").exists():
        wrong(
            14,
            "The browser's files are not collected. Run `manage.py collectstatic --noinput` once per release.",
        )
    if settings.SECRET_KEY == settings.INSECURE_SECRET_KEY or len(settings.SECRET_KEY) < 50:
        wrong(3, "SECRET_KEY is not set or shorter than 50 characters. Set a long random text.")
    if not settings.AUDIT_KEY:
        wrong(4, "AUDIT_KEY is not set. Set a long random text and keep it outside of the database.")
    for number, says in reach_gateway_trouble():
        wrong(number, says)
    if not settings.ALLOWED_HOSTS or "*" in settings.ALLOWED_HOSTS:
        wrong(5, "ALLOWED_HOSTS must name the hosts under which the portal is reached, and not “*”.")
    if settings.SIMULATOR_URL:
        wrong(6, "SIMULATOR_URL is only for DESK_MODE: a portal in production talks to the real provider.")
    if settings.EGRESS_ALLOW:
        wrong(7, "EGRESS_ALLOW is only for DESK_MODE. Open networks by EGRESS_ALLOW_NETWORKS.")
    if not settings.SESSION_COOKIE_SECURE or not settings.CSRF_COOKIE_SECURE:
        wrong(8, "Cookies that are not Secure are only for DESK_MODE.")
    if settings.MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN:
        wrong(31, "MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN is only for DESK_MODE: security keys need https.")
    if not settings.IDENTITY_HOSTS:
        wrong(
            32,
            "IDENTITY_HOSTS is not set. Name the hosts of the provider's identity services, like "
            "identity.api.rackspacecloud.com: what an endpoint says of a tenant is believed.",
        )
    if not settings.SECURE_SSL_REDIRECT and not settings.BEHIND_PROXY:
        wrong(9, "SECURE_SSL_REDIRECT is off and BEHIND_PROXY is not set: pages would go over plain http.")
    return found


def reach_gateway_trouble() -> list[tuple[int, str]]:
    """Return (number, sentence) for each thing wrong with how text messages and calls are sent."""
    from portal.webhooks.signing import key_of

    if not settings.REACH_GATEWAY_URL:
        return []
    found: list[tuple[int, str]] = []
    if not settings.REACH_GATEWAY_URL.startswith(("https://", "http://")):
        found.append(
            (45, "REACH_GATEWAY_URL is no web address. Set the address that takes text messages and calls.")
        )
    try:
        key_of(settings.REACH_GATEWAY_SECRET)
    except ValueError:
        found.append(
            (
                46,
                "REACH_GATEWAY_SECRET is no secret of the gateway: `whsec_` and 24 to 64 random bytes in base64.",
            )
        )
    return found


def mail_trouble() -> list[tuple[int, str]]:
    """Return (number, sentence) for each thing wrong with how mail is sent. No value is repeated: a password may
    be in it.
    """
    from portal.notify.transport import server_of

    found: list[tuple[int, str]] = []
    if settings.EMAIL_URL:
        try:
            server = server_of(settings.EMAIL_URL)
        except ValueError as error:
            found.append((40, f"EMAIL_URL cannot be read: {error}"))
        else:
            if server.user and settings.EMAIL_PLAIN and not server.is_tls:
                found.append(
                    (41, "EMAIL_PLAIN would send the password of EMAIL_URL readable. Leave one out.")
                )
    elif not settings.DESK_MODE:
        found.append((42, "EMAIL_URL is not set. Set the mail server: smtp://user:password@host:587."))
    if not settings.MAIL_FROM.isascii() or "@" not in settings.MAIL_FROM.strip("@"):
        found.append((43, "MAIL_FROM is no mail address. Set the address from which the portal writes."))
    if bool(settings.SUPPORT_MAIL_ADDRESS) != bool(settings.SUPPORT_MAIL_SECRET):
        found.append(
            (45, "SUPPORT_MAIL_ADDRESS and SUPPORT_MAIL_SECRET go together. Set both, or leave both out.")
        )
    if settings.SUPPORT_MAIL_ADDRESS and not re.fullmatch(
        r"[A-Za-z0-9._-]{1,20}@[A-Za-z0-9.-]+", settings.SUPPORT_MAIL_ADDRESS
    ):
        found.append((46, "SUPPORT_MAIL_ADDRESS is no plain mail address such as support@in.example.net."))
    if settings.SUPPORT_MAIL_SECRET and len(settings.SUPPORT_MAIL_SECRET) < 32:
        found.append((47, "SUPPORT_MAIL_SECRET is shorter than 32 characters. Set a long random text."))
    if settings.MAIL_BOUNCE_SECRET and (
        len(settings.MAIL_BOUNCE_SECRET) < 32 or not settings.MAIL_BOUNCE_SECRET.isascii()
    ):
        found.append(
            (48, "MAIL_BOUNCE_SECRET is shorter than 32 characters, or not ASCII. Set a longer one.")
        )
    if not settings.DESK_MODE and not settings.PUBLIC_URL.startswith("https://"):
        found.append(
            (44, "PUBLIC_URL is not set or not https. Set the address under which people reach the portal.")
        )
    return found


def walk(patterns: Sequence[URLPattern | URLResolver], prefix: str = "") -> list[tuple[str, URLPattern]]:
    """Return every route of the URL configuration with its full text."""
    found: list[tuple[str, URLPattern]] = []
    for pattern in patterns:
        text = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += walk(pattern.url_patterns, text)
        else:
            found.append((text, pattern))
    return found


@register(Tags.urls)
def check_views_ask_access(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """Every view of ours stands on a base class that asks portal.access; a plain function is a way around."""
    from portal.access import Guard

    found: list[CheckMessage] = []
    for route, pattern in walk(get_resolver().url_patterns):
        view = pattern.callback
        made_by = getattr(view, "view_class", None) or getattr(view, "cls", None)
        if made_by is None or not issubclass(made_by, Guard):
            found.append(
                Error(
                    f"/{route} is answered without asking portal.access: derive its view from PortalView, "
                    "AsyncPortalView or PortalAPIView.",
                    id="portal.E020",
                )
            )
    return found
