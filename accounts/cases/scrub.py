"""Secrets out of what is attached to a case: keys, tokens, passwords, cookies, user info in addresses.

`scrub(value)` returns the same shape with `•••` where a secret stood. It goes by the names of fields, by what secrets look
like, and by the secrets that the caller knows (the account's own keys). It would rather hide too much.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

MASK = "•••"
_NAMES = re.compile(
    r"pass(word|phrase|wd)?$|pwd|secret|token|api_?key|apikey|private_?key|access_?key|credential|authorization|"
    r"cookie|session_?(id|key)|signature|x[-_]auth|bearer|adminpass",
    re.IGNORECASE,
)
# Each pattern begins at the beginning of a word and gives nothing back that it took: texts that people typed are long, and
# one that is tried again from every hyphen of a megabyte stops the portal.
_NAMED = re.compile(r"""(["']?)(?<![\w-])([\w-]++)\1\s*+[:=]\s*+""")
_TELLS = re.compile(
    r"password|passwd|passphrase|pwd|secret|api[_-]?key|apikey|access[_-]?key|private[_-]?key|token|credential|signature|"
    r"adminpass|session[_-]?id|(?:^|-)(?:sig|key)$",
    re.IGNORECASE,
)
_VALUE = re.compile(r""""[^"\\]*+(?:\\.[^"\\]*+)*+"|'[^']*+'|[^\s"'&,;}<>\])]++""")
_HEADER = re.compile(
    r"(?im)(?<![\w-])((?:proxy-)?authorization|x-auth-[a-z-]++|x-api-key|x-subject-token|set-cookie|cookie)(\s*+[:=]\s*+)"
    r"[^\r\n]+"
)
_SHAPES = tuple(
    re.compile(pattern, flags)
    for pattern, flags in (
        (r"-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|$)", re.DOTALL),
        (r"(?i)\b(?:bearer|basic|digest|negotiate)\s+[A-Za-z0-9+/=._~-]{6,}", 0),
        (r"\bss[a-z]?_[A-Za-z0-9_-]{16,}", 0),
        (r"\bwh(?:sec|sk)_[A-Za-z0-9+/=_-]{10,}", 0),
        (r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?", 0),
        (r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", 0),
        (r"\bgh[pousr]_[A-Za-z0-9]{20,}", 0),
        (r"\bxox[abprs]-[A-Za-z0-9-]{10,}", 0),
        (r"\bgAAAA[A-Za-z0-9_=-]{40,}", 0),
    )
)
_USERINFO = re.compile(r"(?i)(?<![a-z0-9+.-])([a-z][a-z0-9+.-]*+://)[^/\s@?#\"'<>]+@")
SHORTEST_KNOWN = 4
_DEPTH = 40


def scrub(value: Any, known: Collection[str] = (), *, _depth: int = 0) -> Any:
    """Return `value` (JSON) without secrets. `known` are secrets to hide wherever they stand, 4 characters and more."""
    if _depth > _DEPTH:
        return MASK
    if isinstance(value, str):
        return scrub_text(value, known)
    if isinstance(value, Mapping):
        return {
            scrub_text(str(key), known): MASK
            if _is_secret(str(key)) and not _is_plain(item)
            else scrub(item, known, _depth=_depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [scrub(item, known, _depth=_depth + 1) for item in value]
    return value


def _is_secret(name: str) -> bool:
    return _NAMES.search(name) is not None


def _is_plain(item: Any) -> bool:
    # `token: 7` is a fencing token and `has_secret: true` none at all; a PIN in a number is under another name.
    return (
        item is None
        or isinstance(item, bool)
        or (isinstance(item, int) and abs(item) < 10**6)
        or item in ("", [], {})
    )


def scrub_text(text: str, known: Collection[str] = ()) -> str:
    """Return a text without secrets."""
    for secret in sorted(known, key=len, reverse=True):
        if len(secret) >= SHORTEST_KNOWN:
            text = text.replace(secret, MASK)
    for shape in _SHAPES:
        text = shape.sub(MASK, text)
    text = _USERINFO.sub(rf"\1{MASK}@", text)
    text = _HEADER.sub(rf"\1\2{MASK}", text)
    return _without_values(text)


def _without_values(text: str) -> str:
    """Return a text without the values of what has the name of a secret: `password=…`, `"apiKey": "…"`."""
    kept: list[str] = []
    done = 0
    for named in _NAMED.finditer(text):
        if named.start() < done or not _TELLS.search(named.group(2)):
            continue
        value = _VALUE.match(text, named.end())
        if value is not None:
            kept += (text[done : named.end()], MASK)
            done = value.end()
    return "".join([*kept, text[done:]])
