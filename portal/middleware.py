"""What every request gets: its facts for audit and problems, and its id in the answer."""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable

import structlog
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from portal.audit.facts import RequestFacts, set_facts

_ID = re.compile(r"^[A-Za-z0-9._:-]{1,64}$")


def address_of(request: HttpRequest) -> str | None:
    """Return the caller's address. Behind our own proxy the last forwarded one counts, else the peer's."""
    if settings.BEHIND_PROXY:
        forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")[-1].strip()
        if forwarded:
            return forwarded if re.fullmatch(r"[0-9a-fA-F.:]{3,45}", forwarded) else None
    return request.META.get("REMOTE_ADDR") or None


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
