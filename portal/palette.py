"""What the command palette finds beyond the links of a page, registered by the apps that know it.

    register_finder("accounts", find_accounts, order=10)

A finder gets the user and the typed text and returns at most `limit` entries, limited by `visible_to`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LIMIT = 8
"""How many entries one finder gives: the palette is for going somewhere, lists are for reading."""

LONGEST = 100


@dataclass(frozen=True)
class Entry:
    """One place to go to: what it is called, its address, and what kind of thing it is."""

    label: str
    url: str
    hint: str


Finder = Callable[[Any, str, int], list[Entry]]

_finders: dict[str, tuple[int, Finder]] = {}


def register_finder(key: str, finder: Finder, *, order: int = 50) -> None:
    """Add or replace a finder."""
    _finders[key] = (order, finder)


def find(user: Any, text: str) -> list[Entry]:
    """Return what the finders know by this text, in their order; nothing for an empty one."""
    words = " ".join(text.split())[:LONGEST]
    if not words:
        return []
    found: list[Entry] = []
    for _order, finder in sorted(_finders.values(), key=lambda one: one[0]):
        found.extend(finder(user, words, LIMIT))
    return found
