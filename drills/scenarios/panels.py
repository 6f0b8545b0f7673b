"""What scenarios hand in: the entry of the navigation, and where the palette finds them."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from accounts.models import Team
from drills.scenarios.library import built_in
from portal.access import Permission, seen_by_team
from portal.palette import Entry, register_finder
from portal.ui.nav import NavItem
from portal.ui.nav import register as register_nav


def _find(user: Any, text: str, limit: int) -> list[Entry]:
    """Find the library's scenarios by words of their titles, in each of one's teams. Asks nothing where none fits."""
    wanted = text.lower().split()
    fitting = [one for one in built_in().values() if all(word in one.title.lower() for word in wanted)]
    if not fitting:
        return []
    teams = list(seen_by_team(user, Team, Permission.SCENARIO_VIEW).order_by("name", "pk")[:limit])
    found = [
        Entry(
            one.title,
            reverse("drills:scenario", args=[team.ref, one.key]),
            f"scenario for drills · {team}" if len(teams) > 1 else "scenario for drills",
        )
        for one in fitting
        for team in teams
    ]
    return found[:limit]


def register() -> None:
    """Register everything; called once when the app is ready."""
    register_nav(
        NavItem(
            "drills",
            "Drills",
            "drills:home",
            order=40,
            shortcut="f",
            shown_to=lambda user: bool(getattr(user, "is_in_team", False)),
        )
    )
    register_finder("scenarios", _find, order=60)
