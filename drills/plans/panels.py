"""What drills hand in to the account's own page, the dashboard and the palette."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.urls import reverse

from drills.plans import home
from portal.access import Permission
from portal.account_sections import Tab, register_tab
from portal.dashboard import Panel, register_panel
from portal.palette import register_finder

if TYPE_CHECKING:
    from accounts.models import Account


def register() -> None:
    """Add them. Called once, when the app is ready."""
    register_finder("drills", home.find, order=50)
    register_panel(Panel("drills", "Fire drills", "drills/_dashboard.html", home.on_dashboard, order=25))
    register_tab(Tab("drills", "Drills", _url_of, Permission.DRILL_VIEW, order=45))


def _url_of(account: Account) -> str:
    return reverse("drills:drill-list", args=[account.ref])
