"""Where the present request comes from, for audit rows and problem documents."""

from __future__ import annotations

import ipaddress
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


def neighbourhood(address: str | None) -> str:
    """Return what one stranger can call their own: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        known: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    # An IPv4 caller of a socket that speaks both is ::ffff:a.b.c.d, and all of those are no one's neighbours.
    known = getattr(known, "ipv4_mapped", None) or known
    return str(ipaddress.ip_network((known, 64), strict=False)) if known.version == 6 else str(known)
