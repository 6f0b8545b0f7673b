"""What the dashboard shows, registered by the apps that know it.

    register_panel(Panel("runs", "Runs", "scaledown/_dashboard_runs.html", runs_for, order=10))

`gather(user)` returns the template's context, limited to what the user may see, or None to stay away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Panel:
    """One part of the dashboard. `needs_person` panels stand first."""

    key: str
    title: str
    template: str
    gather: Callable[[Any], dict[str, Any] | None] = field(compare=False)
    order: int = 50


_panels: dict[str, Panel] = {}


def register_panel(panel: Panel) -> None:
    """Add or replace a panel."""
    _panels[panel.key] = panel


def panels_for(user: Any) -> list[tuple[Panel, dict[str, Any]]]:
    """Return the panels that have something to say to this user, in order, each with its context."""
    shown = []
    for panel in sorted(_panels.values(), key=lambda one: (one.order, one.title)):
        context = panel.gather(user)
        if context is not None:
            shown.append((panel, context))
    return shown
