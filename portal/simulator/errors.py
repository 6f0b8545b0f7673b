"""How the simulated provider refuses, and how its answers get lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Json = dict[str, Any]

CLB_UNKNOWN = "An unknown exception has occurred. Please contact support."
CLB_SATURATED = "We are currently saturated with requests. Please try again later."


class ProviderError(Exception):
    """An HTTP error answer: `status`, `body` (None means an empty body) and `headers`."""

    def __init__(
        self, status: int, body: Json | str | None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status}: {body!r}")
        self.status = status
        self.body = body
        self.headers = dict(headers or {})

    @property
    def message(self) -> str:
        """The provider's sentence, whatever the shape of the body; empty for an empty body."""
        if isinstance(self.body, str):
            return self.body
        if not self.body:
            return ""
        inner = self.body
        if len(inner) == 1:
            only = next(iter(inner.values()))
            inner = only if isinstance(only, dict) else inner
        messages = inner.get("validationErrors", {}).get("messages")
        return str(messages[0] if messages else inner.get("message", ""))


class AnswerLost(Exception):
    """The client gets no answer. Whether a write was applied is what the client cannot know.

    `how` is "reset" (the connection breaks), "timeout" (silence) or "refused" (nothing listens).
    """

    def __init__(self, how: Literal["reset", "timeout", "refused"], applied: bool | None = None) -> None:
        super().__init__(how)
        self.how = how
        self.applied = applied


class AnswerTruncated(Exception):
    """The call was carried out; the client gets only the first half of the answer's bytes.

    `result` is what the operation returned.
    """

    def __init__(self, result: Any) -> None:
        super().__init__("the answer's body is cut off")
        self.result = result


def clb_error(status: int, message: str, headers: Mapping[str, str] | None = None) -> ProviderError:
    """A flat fault as the load balancer service sends it (reference 2.9)."""
    return ProviderError(status, {"message": message, "code": status}, headers)


def clb_validation(*messages: str) -> ProviderError:
    """A 400 with `validationErrors` (reference 2.9)."""
    return ProviderError(
        400,
        {
            "validationErrors": {"messages": list(messages)},
            "message": "Validation Failure",
            "code": 400,
            "details": "The object is not valid",
        },
    )


def clb_schema() -> ProviderError:
    """A 400 for an unknown field or a bad enum, judged before anything is looked up."""
    return clb_error(400, "JSON does not match the expected schema")


def nova_error(
    status: int, root: str, message: str, headers: Mapping[str, str] | None = None
) -> ProviderError:
    """A fault with a root element as the servers service sends it (reference 3.5)."""
    return ProviderError(status, {root: {"code": status, "message": message}}, headers)


def monitoring_error(
    status: int, kind: str, message: str, headers: Mapping[str, str] | None = None
) -> ProviderError:
    """A flat fault with its type as the monitoring service sends it (reference 4)."""
    body: Json = {"type": kind, "code": status, "message": message, "details": "", "txnId": ".rh-sim"}
    return ProviderError(status, body, headers)


def not_found(message: str = "Instance could not be found") -> ProviderError:
    return nova_error(404, "itemNotFound", message)


def conflict(message: str) -> ProviderError:
    return nova_error(409, "conflictingRequest", message)


def bad_request(message: str) -> ProviderError:
    return nova_error(400, "badRequest", message)
