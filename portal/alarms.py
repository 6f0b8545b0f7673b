"""What is shown red on every page: the engine asleep, and standstills on what the user may see.

The engine registers how both are known (`portal/runs/apps.py`), so that a page never imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

_asleep: Callable[[], Any] | None = None
_standstills: Callable[[Any], Sequence[Any]] | None = None


def register_asleep(ask: Callable[[], Any]) -> None:
    """Name who knows whether the engine sleeps: returns None, or an object with since, overdue, draining."""
    global _asleep
    _asleep = ask


def register_standstills(ask: Callable[[Any], Sequence[Any]]) -> None:
    """Name who knows the standstills that a user may see: objects with scope, reason, by, since, url."""
    global _standstills
    _standstills = ask


def engine_asleep() -> Any:
    """Return what is known of a sleeping engine, or None while it is awake."""
    return _asleep() if _asleep is not None else None


def standstills_for(user: Any) -> Sequence[Any]:
    """Return the standstills in force that touch what the user may see."""
    return _standstills(user) if _standstills is not None else []
