"""What no text from outside may hold, whoever typed it, mailed it or handed it in as a file. One list for all doors. Pure.

- a null, and halves of characters: PostgreSQL holds neither;
- marks that turn the direction of writing: with one in a name, the rest of the sentence around it reads backwards;
- the brackets of the tokens in which people stand in kept texts (portal/audit/subjects.py): a token that anybody typed would
  be opened like one of ours, and so tell whether a person of another account was erased.
"""

from __future__ import annotations

import re
from typing import Any

TURNS = "\u202a-\u202e\u2066-\u2069"
_UNSOUND = re.compile(f"[\x00\ud800-\udfff{TURNS}⟦⟧]")
SAYS = (
    "an invisible character that is no text (a null, or one that turns the direction of writing), or a double bracket "
    "(⟦ or ⟧), which the portal keeps for itself"
)
# What cannot be refused, since nobody is there to type it anew, loses what is invisible and gets other brackets.
_BROKEN = {ord("⟦"): "[", ord("⟧"): "]", 0: None}
_GONE = re.compile(f"[\ud800-\udfff{TURNS}]")


def find_unsound(text: str) -> int | None:
    """Return where the first character stands that no text may hold; None for a sound text."""
    found = _UNSOUND.search(text)
    return found.start() if found is not None else None


def is_sound(text: str) -> bool:
    """Whether a text holds nothing that no text may hold."""
    return _UNSOUND.search(text) is None


def made_sound(text: str) -> str:
    """Return a text that nobody can be asked to type anew, without what no text may hold."""
    return text if is_sound(text) else _GONE.sub("", text.translate(_BROKEN))


def made_sound_deep(value: Any) -> Any:
    """Return a value of JSON with each of its texts made sound, names of fields too."""
    if isinstance(value, str):
        return made_sound(value)
    if isinstance(value, dict):
        return {made_sound(name): made_sound_deep(item) for name, item in value.items()}
    return [made_sound_deep(item) for item in value] if isinstance(value, list) else value
