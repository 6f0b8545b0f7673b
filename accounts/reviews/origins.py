"""Where action items came from, as the apps know it that made them.

    register_origins(find)    # find(actions, user) -> {action.pk: Origin("Fire drill: …", "/drills/…")}

Whoever lists action items asks once for all of them; what the reader may not know of, a finder leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accounts.reviews.models import ActionItem


@dataclass(frozen=True)
class Origin:
    """Out of what an action item came: what the link says, and where it leads."""

    says: str
    path: str


Find = Callable[[Sequence[ActionItem], Any], Mapping[int, Origin]]
_finders: list[Find] = []


def register_origins(find: Find) -> None:
    """Add a finder. Called once, when its app is ready."""
    if find not in _finders:
        _finders.append(find)


def with_origins(actions: Sequence[ActionItem], user: Any) -> list[ActionItem]:
    """Give each action item its `origin`, None where nobody knows one. One query for each finder."""
    known: dict[int, Origin] = {}
    for find in _finders if actions else ():
        known |= find(actions, user)
    for action in actions:
        action.origin = known.get(action.pk)  # type: ignore[attr-defined]
    return list(actions)
