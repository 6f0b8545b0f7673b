"""Files of JSON from other programs, read so that nothing in them surprises: Refused with a sentence, whatever comes in. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from portal.errors import Refused
from portal.texts import SAYS, is_sound

LARGEST_BYTES = 1024 * 1024
DEEPEST = 30
MOST_VALUES = 50_000
LARGEST_NUMBER = 1e15

Json = dict[str, Any]


def bad(says: str) -> Refused:
    """Return the refusal of a file."""
    return Refused(f"{says} Nothing was kept.", code="bad_file")


def read_object(raw: bytes | Mapping[str, Any]) -> Json:
    """Return the JSON object that stands in `raw`, which nobody else holds. Every text in it is sound, every number finite."""
    value = _parsed(raw) if isinstance(raw, bytes) else raw
    if not isinstance(value, Mapping):
        raise bad("The file holds no JSON object.")
    kept = _Kept().take(value, 1)
    assert isinstance(kept, dict)
    return kept


def _parsed(raw: bytes) -> Any:
    if len(raw) > LARGEST_BYTES:
        raise bad(f"The file is larger than {LARGEST_BYTES // 1024} KiB.")
    try:
        return json.loads(raw.decode("utf-8-sig"), parse_constant=_no_number, object_pairs_hook=_named_once)
    except UnicodeDecodeError:
        raise bad("The file is no text in UTF-8.") from None
    except RecursionError:
        raise bad(f"The file goes deeper than {DEEPEST} levels.") from None
    except ValueError:
        # Also a whole number of thousands of digits.
        raise bad("The file is no JSON.") from None


def _no_number(name: str) -> Any:
    raise bad(f"The file holds {name}, which is no number of JSON.")


def _named_once(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise bad("A field stands twice in one object of the file.")
    return found


class _Kept:
    """One walk through a value, with what it has come to so far."""

    def __init__(self) -> None:
        self.values = 0
        self.letters = 0

    def take(self, value: Any, depth: int) -> Any:
        self.values += 1
        if depth > DEEPEST:
            raise bad(f"The file goes deeper than {DEEPEST} levels.")
        if self.values > MOST_VALUES:
            raise bad(f"The file holds more than {MOST_VALUES} values.")
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            # Compared before anything else: a whole number may have any number of digits.
            if not -LARGEST_NUMBER <= value <= LARGEST_NUMBER or not math.isfinite(value):
                raise bad("The file holds a number that is too large, or none.")
            return value
        if isinstance(value, Mapping):
            return {self.text(name): self.take(item, depth + 1) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.take(item, depth + 1) for item in value]
        raise bad(f"The file holds a {type(value).__name__}, which JSON does not know.")

    def text(self, value: Any) -> str:
        if not isinstance(value, str):
            raise bad("The name of a field is no text.")
        self.letters += len(value)
        if self.letters > LARGEST_BYTES:
            raise bad(f"The texts of the file are longer than {LARGEST_BYTES // 1024} KiB.")
        if not is_sound(value):
            raise bad(f"The file holds {SAYS}.")
        return value


# --- parts ------------------------------------------------------------------------------------------------


def line(text: str, longest: int) -> str:
    """Return a text as one line of what can be printed, cut where it is too long."""
    words = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return words if len(words) <= longest else f"{words[: longest - 1].rstrip()}…"


def text_of(holder: Json, name: str, called: str, longest: int, *, needed: bool = False) -> str:
    """Return a text of an object as one line; "" where it is missing and not needed."""
    value = holder.get(name)
    if value is None and not needed:
        return ""
    if not isinstance(value, str) or (needed and not line(value, longest)):
        inside = f"{called[:1].lower()}{called[1:]}"
        raise bad(f"{called} has no `{name}`." if value is None else f"The `{name}` of {inside} is no text.")
    return line(value, longest)


def object_of(holder: Json, name: str, called: str) -> Json | None:
    """Return an object within an object; None where it is missing."""
    value = holder.get(name)
    if value is not None and not isinstance(value, dict):
        raise bad(f"The `{name}` of {called} is no object.")
    return value


def list_of(holder: Json, name: str, called: str, most: int) -> list[Any]:
    """Return a list within an object; an empty one where it is missing."""
    value = holder.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > most:
        raise bad(f"The `{name}` of {called} is no list of at most {most}.")
    return value


def objects_of(holder: Json, name: str, called: str, most: int) -> list[Json]:
    """Return a list of objects within an object; an empty one where it is missing."""
    found = list_of(holder, name, called, most)
    if any(not isinstance(one, dict) for one in found):
        raise bad(f"Not everything in the `{name}` of {called} is an object.")
    return found


def moment_of(holder: Json, name: str, called: str) -> datetime:
    """Return a time of an object, in UTC; one without a zone is meant in UTC."""
    value = holder.get(name)
    try:
        if not isinstance(value, str):
            raise ValueError
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise bad(f"The `{name}` of {called} is no time.") from None
