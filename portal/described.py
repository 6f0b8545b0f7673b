"""The API's own document, where the generator says something else than what is answered."""

from __future__ import annotations

from typing import Any


def say_any_of(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Put `anyOf` in the place of each `oneOf`: "" may be one half of it, or both, as nobody must look at a `format`."""
    _say_any_of(result["components"])
    _say_any_of(result["paths"])
    return result


def _say_any_of(part: Any) -> None:
    if isinstance(part, dict):
        if isinstance(part.get("oneOf"), list):
            part["anyOf"] = part.pop("oneOf")
        for each in part.values():
            _say_any_of(each)
    elif isinstance(part, list):
        for each in part:
            _say_any_of(each)
