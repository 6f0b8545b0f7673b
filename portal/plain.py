"""Frozen values as plain JSON and back, and the digest over their one spelling. Pure.

What people approve is a digest of what is stored, so both come from here, whatever the kind of plan.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, Union, get_args, get_origin, get_type_hints


class Unreadable(ValueError):
    """The stored value does not have the shape of the type that was asked for."""


_AS_IT_IS = frozenset({str, int, bool, type(None)})


def to_plain(value: Any) -> Any:
    """Return `value` (frozen dataclasses, tuples, times, enums) as what JSON can hold.

    Times become ISO 8601 in UTC. Raises ValueError for a naive time and for a number that is not finite.
    """
    kind: Any = type(value)
    if kind in _AS_IT_IS:
        return value
    if hasattr(kind, "__dataclass_fields__"):
        return _dataclass_writer(kind)(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return _written_time(value)
    if isinstance(value, float):
        return _written_number(value)
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(to_plain(item) for item in value)
    return value


def to_plain_after(value: Any, old: Any, old_plain: Any) -> Any:
    """Return `to_plain(value)`, given what was made of an older value: parts that both share are not written anew.

    Both results share these parts too, so neither may be changed.
    """
    if value is old:
        return old_plain
    if type(value) is not type(old):
        return to_plain(value)
    kind: Any = type(value)
    if hasattr(kind, "__dataclass_fields__"):
        was, now = vars(old), vars(value)
        return {
            name: to_plain(now[name])
            if name not in old_plain  # an earlier release, which did not know it, wrote that
            else old_plain[name]
            if now[name] is was[name]
            else to_plain_after(now[name], was[name], old_plain[name])
            for name in _field_names(kind)
        }
    if kind is tuple:
        shared = min(len(value), len(old))
        plain = [to_plain_after(*three) for three in zip(value[:shared], old, old_plain, strict=False)]
        return plain + to_plain(value[shared:])
    if kind is dict:
        return {
            str(key): to_plain_after(item, old[key], old_plain[str(key)]) if key in old else to_plain(item)
            for key, item in value.items()
        }
    return to_plain(value)


@cache
def _field_names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


@lru_cache(4096)
def _written_time(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError("A time without a zone cannot be kept.")
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _written_number(value: float) -> float:
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError("A number that is not finite cannot be kept.")
    # 60.0 and 60 are the same duration: one spelling, so that one digest.
    return int(value) if value.is_integer() else value


@cache
def _dataclass_writer(kind: Any) -> Callable[[Any], dict[str, Any]]:
    """Return how a dataclass is written. Made once per type: a run's progress is written on every tick."""
    hints = get_type_hints(kind)
    names = tuple(field.name for field in dataclasses.fields(kind))
    # What is text, a whole number, yes or no, or one of these or None, is written as it is.
    others = tuple(name for name in names if not set(_parts(hints[name])) <= _AS_IT_IS)
    values_of = attrgetter(*names) if len(names) > 1 else lambda value: (getattr(value, names[0]),)

    def write(value: Any) -> dict[str, Any]:
        plain = dict(zip(names, values_of(value), strict=True))
        for name in others:
            found = plain[name]
            if type(found) not in _AS_IT_IS:
                plain[name] = to_plain(found)
        return plain

    return write


def _parts(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def from_plain(kind: Any, value: Any) -> Any:
    """Return `value` (plain JSON) as `kind`. Raises Unreadable where it does not fit."""
    return _reader(kind)(value)


Reader = Callable[[Any], Any]


@cache
def _reader(kind: Any) -> Reader:
    """Return how a value of `kind` is read. Made once per type: a run's progress is read on every tick."""
    origin = get_origin(kind)
    if kind is Any:
        return lambda value: value
    if origin in (Union, types.UnionType):
        part = _reader(next(part for part in get_args(kind) if part is not type(None)))
        return lambda value: None if value is None else part(value)
    if origin in (tuple, list):
        return _list_reader(_reader(get_args(kind)[0]), tuple if origin is tuple else list)
    if origin is frozenset:
        item = _reader(get_args(kind)[0])
        return lambda value: frozenset(map(item, value))
    if origin is not None and issubclass(origin, Mapping):
        item = _reader(get_args(kind)[1])
        return lambda value: {key: item(found) for key, found in dict(value).items()}
    if dataclasses.is_dataclass(kind):
        return _dataclass_reader(kind)
    if kind is datetime:
        return _read_time
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    if kind is float:
        return _read_number
    if kind in (str, int, bool):
        return _exact_reader(kind)
    raise Unreadable(f"No way is known to read {kind!r}.")


def _list_reader(item: Reader, make: type) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, list):
            raise Unreadable(f"A list was expected, not {type(value).__name__}.")
        return make(map(item, value))

    return read


def _read_time(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise Unreadable("A stored time has no zone.")
    return moment.astimezone(UTC)


def _read_number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Unreadable(f"A number was expected, not {type(value).__name__}.")
    return float(value)


def _exact_reader(kind: type) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise Unreadable(f"{kind.__name__} was expected, not {type(value).__name__}.")
        return value

    return read


def _dataclass_reader(kind: Any) -> Reader:
    hints = get_type_hints(kind)
    fields = dataclasses.fields(kind)
    readers = {field.name: _reader(hints[field.name]) for field in fields}
    known = readers.keys()
    needed = {
        field.name
        for field in fields
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }

    def read(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise Unreadable(f"An object was expected for {kind.__name__}.")
        given = value.keys()
        if given != known:
            if unknown := sorted(given - known):
                raise Unreadable(f"{kind.__name__} has no {', '.join(unknown)}.")
            if missing := sorted(needed - given):
                raise Unreadable(f"{kind.__name__} lacks {', '.join(missing)}.")
        return kind(**{name: readers[name](found) for name, found in value.items()})

    return read


def canonical_json(value: Any) -> str:
    """Return the one spelling of `value`: sorted keys, no blanks, no floats that are whole numbers."""
    return json.dumps(
        to_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest_of(value: Any) -> str:
    """Return the SHA-256 (hex) over the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
