"""What accounts hand in to the navigation, the dashboard and the account's own page."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils import timezone

from accounts import selectors
from accounts.authentication import TokenScheme
from portal.access import Permission
from portal.account_sections import Tab, register_tab
from portal.dashboard import Panel, register_panel
from portal.ui.nav import NavItem
from portal.ui.nav import register as register_nav

SHOWN_ON_DASHBOARD = 25
# drf-spectacular finds the description of our tokens by the class being there.
SCHEMES = (TokenScheme,)


def _accounts(user: Any) -> dict[str, Any] | None:
    rows = selectors.worst_first(
        selectors.accounts_seen(user, today=timezone.now().date()), SHOWN_ON_DASHBOARD
    )
    return {"accounts": rows} if rows else None


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
    register_panel(Panel("accounts", "Accounts", "accounts/_dashboard_accounts.html", _accounts, order=80))
    for key, label, name, permission, order in (
        ("overview", "Overview", "accounts:account-detail", Permission.ACCOUNT_VIEW, 0),
        ("contacts", "Contacts", "accounts:contact-list", Permission.CONTACT_VIEW, 10),
        ("activity", "Activity", "accounts:activity", Permission.AUDIT_VIEW, 90),
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
