"""Where the present request comes from, for audit rows and problem documents."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class RequestFacts:
    """What is known of the request that is being answered; empty for workers and commands."""

    request_id: str = ""
    address: str | None = None
    token_prefix: str = ""


NO_REQUEST = RequestFacts()
_facts: ContextVar[RequestFacts] = ContextVar("request_facts", default=NO_REQUEST)


def current_facts() -> RequestFacts:
    """Return the facts of the request at hand."""
    return _facts.get()


def set_facts(facts: RequestFacts) -> None:
    """Remember the facts for the rest of this request (a context variable, so requests never mix)."""
    _facts.set(facts)
