"""Plans as plain JSON and back, and the digest that people approve. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from scaledown.types import PlanData


class Unreadable(ValueError):
    """The stored value does not have the shape of the type that was asked for."""


def to_plain(value: Any) -> Any:
    """Return `value` (frozen dataclasses, tuples, times, enums) as what JSON can hold.

    Times become ISO 8601 in UTC. Raises ValueError for a naive time and for a number that is not finite.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("A time without a zone cannot be kept.")
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError("A number that is not finite cannot be kept.")
        # 60.0 and 60 are the same duration: one spelling, so that one digest.
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(to_plain(item) for item in value)
    return value


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def from_plain(kind: Any, value: Any) -> Any:
    """Return `value` (plain JSON) as `kind`. Raises Unreadable where it does not fit."""
    origin = get_origin(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        rest = [part for part in get_args(kind) if part is not type(None)]
        return from_plain(rest[0], value)
    if origin in (tuple, list):
        if not isinstance(value, list):
            raise Unreadable(f"A list was expected, not {type(value).__name__}.")
        items = [from_plain(get_args(kind)[0], item) for item in value]
        return tuple(items) if origin is tuple else items
    if origin is frozenset:
        return frozenset(from_plain(get_args(kind)[0], item) for item in value)
    if origin is not None and issubclass(origin, Mapping):
        return {key: from_plain(get_args(kind)[1], item) for key, item in dict(value).items()}
    if dataclasses.is_dataclass(kind):
        return _dataclass_from(kind, value)
    if kind is datetime:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise Unreadable("A stored time has no zone.")
        return moment.astimezone(UTC)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Unreadable(f"A number was expected, not {type(value).__name__}.")
        return float(value)
    if kind in (str, int, bool):
        if type(value) is not kind:
            raise Unreadable(f"{kind.__name__} was expected, not {type(value).__name__}.")
        return value
    raise Unreadable(f"No way is known to read {kind!r}.")


def _dataclass_from(kind: Any, value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise Unreadable(f"An object was expected for {kind.__name__}.")
    hints = _hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(value) - set(fields))
    if unknown:
        raise Unreadable(f"{kind.__name__} has no {', '.join(unknown)}.")
    missing = sorted(
        name
        for name, field in fields.items()
        if name not in value
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    )
    if missing:
        raise Unreadable(f"{kind.__name__} lacks {', '.join(missing)}.")
    return kind(**{name: from_plain(hints[name], value[name]) for name in value})


def plan_to_plain(plan: PlanData) -> dict[str, Any]:
    """Return a plan as it is stored and as the digest reads it."""
    plain: dict[str, Any] = to_plain(plan)
    return plain


def plan_from_plain(value: Mapping[str, Any]) -> PlanData:
    """Return the plan that `plan_to_plain` wrote. Raises Unreadable."""
    plan = from_plain(PlanData, value)
    assert isinstance(plan, PlanData)
    return plan


def canonical_json(value: Any) -> str:
    """Return the one spelling of `value`: sorted keys, no blanks, no floats that are whole numbers."""
    return json.dumps(
        to_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest(plan: PlanData) -> str:
    """Return the SHA-256 (hex) over the canonical JSON of every field of a plan.

    The field `format` is the version of the plan's shape: a new shape never has an old digest.
    """
    return hashlib.sha256(canonical_json(plan).encode()).hexdigest()
