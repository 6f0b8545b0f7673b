"""What drills hand in to the account's own page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.urls import reverse

from portal.access import Permission
from portal.account_sections import Tab, register_tab

if TYPE_CHECKING:
    from accounts.models import Account


def register() -> None:
    """Add the tab. Called once, when the app is ready."""
    register_tab(Tab("drills", "Drills", _url_of, Permission.DRILL_VIEW, order=45))


def _url_of(account: Account) -> str:
    return reverse("drills:drill-list", args=[account.ref])
