"""What accounts hand in to the navigation, the dashboard and the account's own page."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone

from accounts import selectors
from accounts.authentication import TokenScheme
from accounts.models import Account, Team
from accounts.reviews import selectors as standings
from portal.access import Permission, seen_by_team, visible_to
from portal.account_sections import Tab, register_tab
from portal.dashboard import Panel, register_panel
from portal.notify.registry import Kind, Purpose, register_purpose
from portal.palette import Entry, register_finder
from portal.search import SHORTEST_INSIDE, beginning_of_reference, containing, text_of
from portal.ui.nav import NavItem
from portal.ui.nav import register as register_nav

SHOWN_ON_DASHBOARD = 25
# drf-spectacular finds the description of our tokens by the class being there.
SCHEMES = (TokenScheme,)


def _accounts(user: Any) -> dict[str, Any] | None:
    now = timezone.now()
    # As last looked at. Where fewer stand badly than there is room, what is asked of everybody fills it up.
    worst = standings.worst_accounts(user, limit=SHOWN_ON_DASHBOARD)
    among = worst if len(worst) >= SHOWN_ON_DASHBOARD else None
    rows = selectors.worst_first(user, today=now.date(), limit=SHOWN_ON_DASHBOARD, among=among)
    if not rows:
        return None
    place = {pk: number for number, pk in enumerate(worst)}
    rows = standings.with_standings(sorted(rows, key=lambda row: place.get(row.pk, len(place))))
    selectors.with_concerns([row for row in rows if not row.standings_shown], at=now)
    return {
        "accounts": rows,
        "looked_at": standings.last_look(),
        "has_week": user.is_in_a_team,
    }


def _find_accounts(user: Any, text: str, limit: int) -> list[Entry]:
    seen = visible_to(user, Account, Permission.ACCOUNT_VIEW)
    if reference := beginning_of_reference(text):
        rows = seen.filter(ref__range=reference)
    else:
        rows = containing(seen, text, "name", "number")
    return [
        Entry(row.name, reverse("accounts:account-detail", args=[row.ref]), "account")
        for row in rows.order_by("name", "pk")[:limit]
    ]


def _find_contacts(user: Any, text: str, limit: int) -> list[Entry]:
    if len(text_of(text)) < SHORTEST_INSIDE:
        return []
    rows = selectors.contacts_found(user, text).select_related("account").order_by("name", "pk")
    return [
        Entry(
            row.name,
            f"{reverse('accounts:contact-list', args=[row.account.ref])}?{urlencode({'q': row.name})}",
            f"contact of {row.account}",
        )
        for row in rows[:limit]
    ]


def _find_teams(user: Any, text: str, limit: int) -> list[Entry]:
    rows = seen_by_team(user, Team).filter(name__icontains=text)
    return [
        Entry(row.name, reverse("accounts:team-detail", args=[row.ref]), "team")
        for row in rows.order_by("name", "pk")[:limit]
    ]


def register() -> None:
    """Register everything; called once when the app is ready."""
    register_nav(
        NavItem(
            "accounts",
            "Accounts",
            "accounts:account-list",
            order=20,
            shortcut="a",
            shown_to=lambda user: not user.is_operator,
        )
    )
    register_nav(
        NavItem(
            "monday",
            "Monday list",
            "accounts:monday",
            order=25,
            shortcut="w",
            shown_to=lambda user: bool(getattr(user, "is_in_team", False)),
        )
    )
    register_finder("accounts", _find_accounts, order=10)
    register_finder("contacts", _find_contacts, order=40)
    register_finder("teams", _find_teams, order=15)
    register_purpose(
        Purpose("invitation", Kind.PERSONAL, "Invitation to the portal", is_secret=True, in_portal=False)
    )
    register_panel(Panel("accounts", "Accounts", "accounts/_dashboard_accounts.html", _accounts, order=80))
    for key, label, name, permission, order in (
        ("overview", "Overview", "accounts:account-detail", Permission.ACCOUNT_VIEW, 0),
        ("contacts", "Contacts", "accounts:contact-list", Permission.CONTACT_VIEW, 10),
        ("access", "Access", "accounts:access", Permission.MEMBER_VIEW, 15),
        ("support", "Support", "accounts:case-list", Permission.CASE_VIEW, 70),
        ("activity", "Activity", "accounts:activity", Permission.AUDIT_VIEW, 90),
        ("webhooks", "Webhooks", "accounts:webhook-list", Permission.WEBHOOK_EDIT, 93),
        ("settings", "Settings", "accounts:account-settings", Permission.ACCOUNT_EDIT, 95),
    ):
        register_tab(
            Tab(
                key,
                label,
                lambda account, name=name: reverse(name, args=[account.ref]),  # type: ignore[misc]
                permission,
                order,
            )
        )
