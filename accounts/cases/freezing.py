"""What is attached to a case, as it was at that moment: one canonical JSON text with its digest and a limit.

People in it are tokens already where the journal keeps them so; secrets are gone before anything is measured or kept.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from accounts.cases.scrub import scrub

MOST_BYTES = 256 * 1024
MOST_PARTS = 12
_SHORTEN = 1000


@dataclass(frozen=True)
class Frozen:
    """One attachment: canonical JSON, its SHA-256, and whether something had to be left out."""

    key: str
    title: str
    text: str
    digest: str
    is_cut: bool

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return len(self.text.encode())


def canonical(value: Any) -> str:
    """Return `value` as the one JSON text that its digest is taken of. What JSON does not hold becomes its text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)


def digest_of(text: str) -> str:
    """Return the SHA-256 of a text, in hex."""
    return sha256(text.encode()).hexdigest()


def freeze(
    key: str, title: str, value: Any, known: Collection[str] = (), *, most_bytes: int = MOST_BYTES
) -> Frozen:
    """Return `value` without secrets as a frozen attachment of at most `most_bytes`.

    Too large a list loses its end, too long a text its middle; what still does not fit is left out, and says so.
    """
    clean = scrub(value, known)
    text = canonical(clean)
    is_cut = len(text.encode()) > most_bytes
    if is_cut:
        text = canonical(_shortened(clean, most_bytes))
    return Frozen(key, title, text, digest_of(text), is_cut)


def _shortened(value: Any, most_bytes: int) -> Any:
    if isinstance(value, list):
        kept: list[Any] = []
        room = most_bytes - 200
        for item in value:
            room -= len(canonical(item).encode()) + 1
            if room < 0:
                break
            kept.append(item)
        return [*kept, {"left_out": len(value) - len(kept)}]
    if isinstance(value, dict):
        sized = sorted(value, key=lambda name: len(canonical(value[name]).encode()))
        found: dict[str, Any] = {}
        room = most_bytes - 200
        for name in sized:
            size = len(canonical({name: value[name]}).encode())
            if size > room:
                found[name] = (
                    _shortened(value[name], max(400, room // 2)) if room > 1200 else "left out: too large"
                )
                size = len(canonical({name: found[name]}).encode())
            else:
                found[name] = value[name]
            room -= size
            if room < 100:
                left = [one for one in sized if one not in found]
                return {**found, "left_out": len(left)}
        return found
    return f"{str(value)[: max(0, most_bytes // 6)]} … (cut)"
