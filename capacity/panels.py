"""What capacity hands in to the account's own page."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.urls import reverse

from portal.access import Permission
from portal.account_sections import Tab, register_tab

if TYPE_CHECKING:
    from accounts.models import Account

GROUP = "Capacity"
TABS = (
    ("growth", "Growth and size", "growth-overview"),
    ("metrics", "Metrics", "metric-list"),
    ("benchmarks", "Benchmarks", "benchmark-list"),
    ("baselines", "Baselines", "baseline-list"),
    ("loads", "Load", "profile-list"),
    ("markers", "Changes", "marker-list"),
)
"""Key, label and page of each, in their order."""


def register() -> None:
    """Add the tabs. Called once, when the app is ready."""
    for order, (key, label, page) in enumerate(TABS, start=31):
        register_tab(
            Tab(key, label, partial(_url_of, page), Permission.SAMPLE_VIEW, order=order, group=GROUP)
        )


def _url_of(page: str, account: Account) -> str:
    return reverse(f"capacity:{page}", args=[account.ref])
