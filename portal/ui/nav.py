"""The entries of the main navigation, which apps register in `AppConfig.ready()`.

`portal` imports no app, so what stands in the bar is handed in:

    from portal.ui.nav import NavItem, register
    register(NavItem("accounts", "Accounts", "accounts:account-list", order=20))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


def _everyone(user: Any) -> bool:
    return True


@dataclass(frozen=True)
class NavItem:
    """One entry: `key` is unique and marks the current page (`{% block nav_key %}`), `order` sorts.

    `shown_to` decides who sees it; hiding an entry is courtesy, the page itself still asks `portal.access`.
    `shortcut` is the second key of "g then x".
    """

    key: str
    label: str
    url_name: str
    order: int = 50
    shortcut: str = ""
    shown_to: Callable[[Any], bool] = field(default=_everyone, compare=False)


# The dashboard is the portal's own page; every other entry comes from an app.
_items: dict[str, NavItem] = {
    "dashboard": NavItem("dashboard", "Dashboard", "dashboard", order=0, shortcut="d")
}


def register(item: NavItem) -> None:
    """Add or replace the entry with this key."""
    _items[item.key] = item


def unregister(key: str) -> None:
    """Take an entry out; unknown keys raise KeyError."""
    del _items[key]


def items_for(user: Any) -> list[NavItem]:
    """Return the entries that `user` sees, in their order."""
    shown = [item for item in _items.values() if item.shown_to(user)]
    return sorted(shown, key=lambda item: (item.order, item.label))
