"""What every request gets: its facts for audit and problems, and its id in the answer."""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Awaitable, Callable

import structlog
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import BadRequest, MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from portal.audit.facts import RequestFacts, set_facts

_BY_PROXY = frozenset({"HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA"})
_ID = re.compile(r"^[A-Za-z0-9._:-]{1,64}$")


def address_of(request: HttpRequest) -> str | None:
    """Return the caller's address. Behind our own proxy the last forwarded one counts, else the peer's."""
    if settings.BEHIND_PROXY:
        forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")[-1].strip()
        if forwarded:
            return forwarded if re.fullmatch(r"[0-9a-fA-F.:]{3,45}", forwarded) else None
    return request.META.get("REMOTE_ADDR") or None


def is_here(request: HttpRequest) -> bool:
    """Whether the caller is this very machine and no proxy stands between: none of what proxies add was sent."""
    address = address_of(request)
    if not address or any(name in _BY_PROXY or name.startswith("HTTP_X_FORWARDED_") for name in request.META):
        return False
    return ipaddress.ip_address(address).is_loopback


class RequestContextMiddleware:
    """Binds the request's facts; works under both sync and async handlers."""

    sync_capable = True
    async_capable = True

    def __init__(
        self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]
    ) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Set the facts and pass on."""
        known = str(structlog.contextvars.get_contextvars().get("request_id", ""))
        request_id = known if _ID.match(known) else str(uuid.uuid4())
        request.request_id = request_id  # type: ignore[attr-defined]
        set_facts(RequestFacts(request_id=request_id, address=address_of(request)))
        # The database holds no null character: a filter with one is no filter that could match anything.
        if "%00" in request.META.get("QUERY_STRING", "") or "\x00" in request.path_info:
            raise BadRequest("a null character in the address")
        if iscoroutinefunction(self.get_response):
            return self._later(request, request_id)
        response = self.get_response(request)
        assert not isinstance(response, Awaitable)
        response["X-Request-ID"] = request_id
        return response

    async def _later(self, request: HttpRequest, request_id: str) -> HttpResponseBase:
        answer = self.get_response(request)
        assert isinstance(answer, Awaitable)
        response = await answer
        response["X-Request-ID"] = request_id
        return response


_BY_NUMBER = re.compile(r"^(?:127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?$")
_FOR_PROGRAMS = ("/api/", "/healthz", "/readyz", "/metrics")


class DeskHostMiddleware:
    """On a desk, sends browsers from http://127.0.0.1:PORT to http://localhost:PORT: one address, one log-in.

    WebAuthn takes its relying party from the host, and a number is none. Programs are answered where they ask.
    """

    sync_capable = True
    async_capable = True

    def __init__(
        self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]
    ) -> None:
        if not settings.DESK_MODE:
            raise MiddlewareNotUsed
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Redirect or pass on."""
        elsewhere = localhost_of(request)
        if not elsewhere:
            return self.get_response(request)
        # 307: a form that was sent to the number arrives whole.
        response = HttpResponse(status=307, headers={"Location": elsewhere})
        return _at_once(response) if iscoroutinefunction(self.get_response) else response


async def _at_once(response: HttpResponseBase) -> HttpResponseBase:
    return response


def localhost_of(request: HttpRequest) -> str:
    """Return the same address at localhost, or "" where the request may stay where it is."""
    found = _BY_NUMBER.match(request.META.get("HTTP_HOST", ""))
    if found is None or request.path_info.startswith(_FOR_PROGRAMS):
        return ""
    return f"http://localhost{found.group(1) or ''}{request.get_full_path(force_append_slash=False)}"
