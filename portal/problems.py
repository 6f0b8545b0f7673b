"""RFC 9457 problem documents: every error of the API, with a stable type and the request's id.

`type` is `urn:steady-state:problem:<code>`; docs/api.md lists them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import IntegrityError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response

from portal.access import collided, gone_meanwhile, overtaken, status_of
from portal.audit.facts import current_facts
from portal.errors import Refused, StaleState, Trouble, TryLater

MEDIA_TYPE = "application/problem+json"
TITLES: Mapping[int, str] = {
    400: "The request could not be read",
    401: "Not signed in",
    403: "Not permitted",
    404: "Not found",
    405: "This method is not offered here",
    406: "Not acceptable",
    409: "It does not fit what is there now",
    410: "No longer kept",
    411: "The length is missing",
    412: "It has changed since you read it",
    413: "Too large",
    415: "This media type is not taken here",
    422: "This cannot be done as asked",
    428: "A precondition is missing",
    429: "Too many requests",
    500: "A fault on our side",
    502: "The provider did not do it",
    503: "Not now",
}
CODES: Mapping[int, str] = {
    400: "malformed",
    401: "not-signed-in",
    403: "not-permitted",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    409: "conflict",
    410: "gone",
    411: "length-required",
    412: "stale",
    413: "too-large",
    415: "unsupported-media-type",
    422: "refused",
    428: "precondition-required",
    429: "too-many-requests",
    500: "fault",
    502: "provider-failed",
    503: "try-later",
}


class ScopeMissing(exceptions.PermissionDenied):
    """The token may not do this, whoever holds it."""

    default_code = "scope-missing"


class SecondFactorNeeded(exceptions.PermissionDenied):
    """A role of the user needs a second factor, and the user has none: neither session nor token may anything."""

    default_code = "second-factor-needed"
    default_detail = (
        "Your role needs a second factor and you have set up none. Log in with a browser and set one up; "
        "your tokens work again from then on."
    )


class ProofNeeded(exceptions.PermissionDenied):
    """A browser's session without a fresh proof of who is there."""

    default_code = "proof-needed"
    default_detail = (
        "This needs a fresh proof that it is you. Open your settings, prove it there, and send this again."
    )


class Stale(exceptions.APIException):
    """If-Match names another version (412)."""

    status_code = 412
    default_code = "stale"
    default_detail = "This has changed since you read it. Read it again, then decide."


class PreconditionRequired(exceptions.APIException):
    """If-Match or Idempotency-Key is missing (428)."""

    status_code = 428
    default_code = "precondition-required"
    default_detail = "A header is missing that this request needs."


class Gone(exceptions.APIException):
    """What was asked for was kept once and is no more (410)."""

    status_code = 410
    default_code = "gone"
    default_detail = "This is no longer kept."


class LengthRequired(exceptions.APIException):
    """A body came without its length (411)."""

    status_code = 411
    default_code = "length-required"
    default_detail = "Send the body with a Content-Length; chunked bodies are not taken. Nothing was done."


class TooLarge(exceptions.APIException):
    """The body is larger than any request needs (413)."""

    status_code = 413
    default_code = "too-large"

    def __init__(self, most: int) -> None:
        super().__init__(f"A body may have at most {most / 2**20:g} MiB. Nothing was done.")


class KeyReused(exceptions.APIException):
    """The Idempotency-Key was used for another request (409)."""

    status_code = 409
    default_code = "idempotency-key-reused"
    default_detail = "This Idempotency-Key was used for another request. Use a new key for a new request."


def problem(
    status: int,
    detail: str = "",
    *,
    code: str = "",
    errors: Mapping[str, Any] | None = None,
    version: str = "",
    request_id: str | None = None,
) -> dict[str, Any]:
    """Return one problem document; with a `version` where the caller may decide in spite of it."""
    code = (code or CODES.get(status, "fault")).replace("_", "-")
    return {
        "type": f"urn:steady-state:problem:{code}",
        "title": TITLES.get(status, "Not done"),
        "status": status,
        "detail": detail,
        "errors": dict(errors or {}),
        "request_id": request_id if request_id is not None else current_facts().request_id,
        **({"version": version} if version else {}),
    }


def problem_response(request: HttpRequest, status: int, detail: str = "") -> JsonResponse:
    """Return a problem document outside of an API view (an unknown address, a fault)."""
    body = problem(status, detail, request_id=getattr(request, "request_id", ""))
    return JsonResponse(body, status=status, content_type=MEDIA_TYPE)


def _field_errors(detail: Any) -> dict[str, Any]:
    if isinstance(detail, Mapping):
        return {str(key): value for key, value in detail.items()}
    return {"non_field_errors": detail}


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Turn what a view raised into a problem document. What is no known trouble stays loud (500)."""
    headers: dict[str, str] = {}
    errors: Mapping[str, Any] | None = None
    code = version = ""
    if isinstance(error, OperationalError):
        error = collided(error)
    elif isinstance(error, IntegrityError):
        error = overtaken(error)
    elif isinstance(error, ObjectDoesNotExist):
        error = gone_meanwhile(error)
    match error:
        case Trouble():
            status, detail = status_of(error), error.says
            code = error.code
            if code == type(error).__name__.lower():
                code = "stale-state" if isinstance(error, StaleState) else ""
            if isinstance(error, Refused):
                version = error.version
            if isinstance(error, TryLater):
                headers["Retry-After"] = str(max(1, round(error.after_s)))
        case Http404():
            status, detail = 404, "There is nothing here that you can see."
        case PermissionDenied():
            status, detail = 403, str(error) or "You may not do this here."
        case exceptions.ValidationError():
            status, detail, code = 422, "Some fields are not as they must be; `errors` names each.", "invalid"
            errors = _field_errors(error.detail)
        case exceptions.APIException():
            status, detail = error.status_code, str(error.detail)
            code = error.default_code if type(error).__module__ == __name__ else ""
            if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
                status = 401
                headers["WWW-Authenticate"] = getattr(error, "auth_header", "Bearer")
            wait = getattr(error, "wait", None)
            if wait is not None:
                headers["Retry-After"] = str(max(1, round(wait)))
        case _:
            return None
    return Response(
        problem(status, detail, code=code, errors=errors, version=version),
        status=status,
        headers=headers,
        content_type=MEDIA_TYPE,
    )
