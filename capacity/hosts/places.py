"""Which host somebody means, and which host an address leads to. Pure.

A place is a host in its international form, in lower case, with a port only where it is none of the web's own:
`shop.example.com` stands for ports 80 and 443, `shop.example.com:8443` for that one.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import idna

from portal.errors import Refused

WEB_PORTS = (80, 443)
_NUMBER = re.compile(r"[0-9.]+|0x[0-9a-f]+")
DESK = "127.0.0.1"
BAD = "Enter a host as shop.example.com, or one port of it as shop.example.com:8443."


def place_of(typed: str) -> str:
    """Return the place that somebody typed, as a host, with a port, or as an address of a page of it. Raises Refused."""
    text = typed.strip()
    if "//" not in text:
        text = f"//{text}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise Refused(BAD, code="bad_host") from None
    if parts.scheme not in ("", "http", "https") or parts.username is not None or not host:
        raise Refused(BAD, code="bad_host")
    return _place(_named(host), port)


def _named(host: str) -> str:
    bare = host.rstrip(".")
    if bare == DESK:
        # A desk's own simulator has no other name; anywhere else egress keeps it closed.
        return bare
    _check_no_address(bare)
    try:
        named = idna.encode(bare, uts46=True, std3_rules=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        raise Refused(BAD, code="bad_host") from None
    # Digits of other scripts, raised ones too, are plain ones by now.
    _check_no_address(named)
    return named


def _check_no_address(host: str) -> None:
    if _NUMBER.fullmatch(host):
        raise Refused("Name the host, not its address: the proof is of a name.", code="address_as_host")


def _place(host: str, port: int | None) -> str:
    if port is None or port in WEB_PORTS:
        return host
    if port == 0:
        raise Refused(BAD, code="bad_host")
    return f"{host}:{port}"
