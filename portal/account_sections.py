"""Sections of an account's overview, registered by the apps that know them (pools, plans, runs).

    register_section(Section("plans", "Plans", "scaledown/_account_plans.html", plans_of, Permission.PLAN_VIEW))

`gather(user, account)` returns the template's context or None. A section whose permission the user lacks is
not gathered. `tab` adds an entry to the account's tabs: a function of the account that returns an address.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from portal.access import Permission


@dataclass(frozen=True)
class Section:
    """One part of the account's page."""

    key: str
    title: str
    template: str
    gather: Callable[[Any, Any], dict[str, Any] | None] = field(compare=False)
    permission: Permission
    order: int = 50


@dataclass(frozen=True)
class Tab:
    """One page beside the account's overview. Those of one `group` share an entry, and have a row of their own below."""

    key: str
    label: str
    url_of: Callable[[Any], str] = field(compare=False)
    permission: Permission
    order: int = 50
    group: str = ""


_sections: dict[str, Section] = {}
_tabs: dict[str, Tab] = {}
_actions: dict[str, Tab] = {}


def register_section(section: Section) -> None:
    """Add or replace a section."""
    _sections[section.key] = section


def register_tab(tab: Tab) -> None:
    """Add or replace a tab."""
    _tabs[tab.key] = tab


def register_action(action: Tab, /) -> None:
    """Add or replace a button in the head of the account's page, like *Draw up a scale-down*."""
    _actions[action.key] = action


def sections_for(
    user: Any, account: Any, granted: frozenset[Permission]
) -> list[tuple[Section, dict[str, Any]]]:
    """Return the sections that the user may see, in order, each with its context."""
    shown = []
    for section in sorted(_sections.values(), key=lambda one: (one.order, one.title)):
        if section.permission in granted:
            context = section.gather(user, account)
            if context is not None:
                shown.append((section, context))
    return shown


def tabs_for(account: Any, granted: frozenset[Permission]) -> list[dict[str, Any]]:
    """Return the account's tabs as the design system's `{% tabs %}` takes them; a group stands where its first tab would."""
    found: list[dict[str, Any]] = []
    groups: dict[str, dict[str, Any]] = {}
    for tab in sorted(_tabs.values(), key=lambda one: (one.order, one.label)):
        if tab.permission not in granted:
            continue
        item = {"key": tab.key, "label": tab.label, "url": tab.url_of(account)}
        if not tab.group:
            found.append(item)
        elif tab.group in groups:
            groups[tab.group]["items"].append(item)
        else:
            groups[tab.group] = {"key": "", "label": tab.group, "url": item["url"], "items": [item]}
            found.append(groups[tab.group])
    return found


def actions_for(account: Any, granted: frozenset[Permission]) -> list[dict[str, str]]:
    """Return the buttons in the head of the account's page; the first one stands out."""
    found = [
        {"label": action.label, "url": action.url_of(account), "tone": ""}
        for action in sorted(_actions.values(), key=lambda one: (one.order, one.label))
        if action.permission in granted
    ]
    if found:
        found[0]["tone"] = "primary"
    return found
