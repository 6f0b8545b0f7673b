"""What calendars hand in: the account's tab, the dashboard's coming weeks, and the reviews that are due."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils import timezone

from accounts.calendar import selectors
from portal.access import Permission
from portal.account_sections import Tab, register_tab
from portal.dashboard import Panel, register_panel

WEEKS, SHOWN = 4, 20


def _coming(user: Any) -> dict[str, Any] | None:
    found = selectors.coming(user, timezone.now(), weeks=WEEKS, limit=SHOWN)
    return {"items": found.items, "more": found.more, "more_of": found.more_of} if found.items else None


def register() -> None:
    """Register everything; called once when the app is ready."""
    selectors.register_source(selectors.Source("reviews", selectors.reviews_due))
    register_panel(
        Panel("coming", "The coming weeks", "accounts/calendar/_dashboard_coming.html", _coming, order=90)
    )
    register_tab(
        Tab(
            "calendar",
            "Calendar",
            lambda account: reverse("accounts:calendar", args=[account.ref]),
            Permission.CALENDAR_VIEW,
            order=45,
        )
    )
