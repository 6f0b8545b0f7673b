"""The URL of one server's own status page. Pure."""

from __future__ import annotations


def filled(url_template: str, address: str) -> str:
    """Return a URL with `{address}` in it for one address: as a host one of version 6 stands in brackets (RFC 3986)."""
    scheme, mark, rest = url_template.partition("://")
    host, slash, path = rest.partition("/")
    in_host = f"[{address}]" if ":" in address else address
    return scheme + mark + host.replace("{address}", in_host) + slash + path.replace("{address}", address)
