"""What reviews hand in: purposes of mail, the account's tabs and section, and where the palette finds the Monday list."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils import timezone

from accounts.models import TeamMembership
from accounts.reviews import quarter, selectors
from portal.access import Permission
from portal.account_sections import Section, Tab, register_section, register_tab
from portal.notify.registry import Kind, Purpose, register_purpose
from portal.palette import Entry, register_finder

PURPOSES = (
    Purpose("action_due", Kind.REMINDER, "An action item is due"),
    Purpose("review_asked", Kind.NOTICE, "A review waits for your signature"),
    Purpose("review_void", Kind.NOTICE, "A review that you signed was changed"),
)


def _scorecard(user: Any, account: Any) -> dict[str, Any]:
    return {"scorecard": selectors.scorecard_of(account, timezone.now())}


def _find_week(user: Any, text: str, limit: int) -> list[Entry]:
    """Find the Monday list for who has one, by how people call it."""
    if not any(word.startswith(text.lower()) for word in ("monday list", "week", "list of the week")):
        return []
    if not TeamMembership.objects.filter(user=user).exists():
        return []
    return [Entry("Monday list", reverse("accounts:monday"), "the week over all accounts")]


def register() -> None:
    """Register everything; called once when the app is ready."""
    for purpose in PURPOSES:
        register_purpose(purpose)
    quarter.register()
    register_section(
        Section(
            "scorecard",
            "Scorecard",
            "accounts/reviews/_scorecard.html",
            _scorecard,
            Permission.REVIEW_VIEW,
            order=5,
        )
    )
    register_tab(
        Tab(
            "reviews",
            "Reviews",
            lambda account: reverse("accounts:review-list", args=[account.ref]),
            Permission.REVIEW_VIEW,
            order=40,
        )
    )
    register_finder("week", _find_week, order=5)
