"""Frozen values with some fields changed, as `dataclasses.replace` makes them, without its cost.

A run's progress has sixty fields and a decision changes it thirty times; the standard function reads and sets each field
one by one, every time.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # Under its own name, since type checkers hold the fields and their types against it.
    from dataclasses import replace as replace
else:

    def replace(value: Any, /, **changes: Any) -> Any:
        """Return a copy of a dataclass with these fields changed. Raises TypeError for a field that it has not."""
        kind = type(value)
        names = _plain_fields(kind)
        if names is None:
            return dataclasses.replace(value, **changes)
        if not names.issuperset(changes):
            unknown = ", ".join(sorted(changes.keys() - names))
            raise TypeError(f"{kind.__name__} has no {unknown}.")
        held = {**value.__dict__, **changes}
        if len(held) > len(names):
            # What was worked out from the fields (`cached_property`) is not true of the copy.
            held = {name: held[name] for name in held if name in names}
        made = object.__new__(kind)
        object.__setattr__(made, "__dict__", held)
        return made


@cache
def _plain_fields(kind: Any) -> frozenset[str] | None:
    """Return the fields of a dataclass whose construction does nothing but keep them; None for any other."""
    fields = dataclasses.fields(kind)
    params = kind.__dict__.get("__dataclass_params__")
    is_plain = (
        params is not None
        and params.init
        and params.frozen
        and not hasattr(kind, "__post_init__")
        and not any("__slots__" in one.__dict__ for one in kind.__mro__)
        and all(field.init for field in fields)
        and len(fields) == len(kind.__dataclass_fields__)  # neither InitVar nor ClassVar
    )
    return frozenset(field.name for field in fields) if is_plain else None
