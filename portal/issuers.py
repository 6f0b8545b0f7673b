"""Reading `OIDC_ISSUERS`: the organizations through which people log in. Pure, since the settings call it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_NEEDED = ("id", "name", "issuer", "client_id", "client_secret")
# `domains` of the mail addresses that it may vouch for; origins to which its own log-in page lies apart from it.
_MAY = frozenset({*_NEEDED, "domains", "origins"})
_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")
MOST_URL = 190


def oidc_issuers(text: str, is_desk: bool, malformed: list[str]) -> list[dict[str, str]]:
    """Return the issuers named in a JSON list of objects; what is wrong is added to `malformed`, a sentence each.

    Each has `id` (lower-case letters, digits, dashes; stands in addresses), `name` (people read it), `issuer`
    (exactly as the issuer writes itself, https), `client_id`, `client_secret`, `domains` (a list: of which mail
    addresses its word counts); `origins` (a list) where its log-in page lies elsewhere. No value is repeated in a
    sentence: secrets stand among them.
    """
    if not text.strip():
        return []
    try:
        found = json.loads(text)
    except ValueError:
        malformed.append("OIDC_ISSUERS is no JSON. Set a list of objects, or leave it out.")
        return []
    if not isinstance(found, list):
        malformed.append("OIDC_ISSUERS is no list. Set a list of objects, or leave it out.")
        return []
    good: list[dict[str, str]] = []
    for number, one in enumerate(found, start=1):
        why = _why_not(one, is_desk)
        if not why and any(one["id"] == other["id"] or one["issuer"] == other["issuer"] for other in good):
            why = "has the id or the issuer of one before it"
        if why:
            malformed.append(f"OIDC_ISSUERS: number {number} {why}.")
        else:
            good.append(
                {
                    **one,
                    "domains": " ".join(each.lower() for each in one["domains"]),
                    "origins": " ".join(one.get("origins", [])),
                }
            )
    return good


def _why_not(one: object, is_desk: bool) -> str:
    if not isinstance(one, Mapping) or set(one) - _MAY:
        return f"is no object of {', '.join(_NEEDED)}"
    missing = [name for name in _NEEDED if not isinstance(one.get(name), str) or not one[name]]
    if missing:
        return f"lacks {', '.join(missing)}"
    if not _SLUG.fullmatch(one["id"]):
        return "has an id that is not of lower-case letters, digits and dashes"
    domains = one.get("domains")
    if not isinstance(domains, list) or not domains:
        return "lacks domains, the list of the mail domains for which it may vouch"
    if not all(isinstance(each, str) and _DOMAIN.fullmatch(each.lower()) for each in domains):
        return "has domains that are no list of mail domains"
    origins = one.get("origins", [])
    if not isinstance(origins, list) or not all(isinstance(each, str) for each in origins):
        return "has origins that are no list of addresses"
    for url in (one["issuer"], *origins):
        if not _is_fit(url, is_desk):
            return "has an address that is no plain https:// one"
    return "" if len(one["issuer"]) <= MOST_URL else f"has an issuer of more than {MOST_URL} characters"


def _is_fit(url: str, is_desk: bool) -> bool:
    if re.search(r"[\s;,'\"*]", url):
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    plain = (
        not parts.username and not parts.query and not parts.fragment and bool(parts.hostname) and port != 0
    )
    return plain and (parts.scheme == "https" or (is_desk and parts.scheme == "http"))


def origins_of(issuers: Iterable[Mapping[str, str]]) -> list[str]:
    """Return scheme, host and port of each issuer and of where its log-in page lies, without doubles."""
    urls = [url for one in issuers for url in (one["issuer"], *one["origins"].split())]
    return list(dict.fromkeys(f"{urlsplit(url).scheme}://{urlsplit(url).netloc}" for url in urls))
