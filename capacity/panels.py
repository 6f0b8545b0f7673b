"""What capacity hands in to the account's own page."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from capacity.baselines import services as baselines
from capacity.loads import services as loads
from portal.access import Permission, visible_to
from portal.account_sections import Tab, register_tab
from portal.approvals import registry
from portal.approvals.models import ApprovalRequest, ApprovalStatus, Side
from portal.dashboard import Panel, register_panel

if TYPE_CHECKING:
    from accounts.models import Account

GROUP = "Capacity"
MOST_SHOWN = 20
WORDS = {baselines.SUBJECT: "baseline", loads.SUBJECT: "load profile"}
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
    register_panel(
        Panel(
            "capacity",
            "Baselines and loads to decide",
            "capacity/_dashboard_waiting.html",
            waiting_for,
            order=15,
        )
    )
    for order, (key, label, page) in enumerate(TABS, start=31):
        register_tab(
            Tab(key, label, partial(_url_of, page), Permission.SAMPLE_VIEW, order=order, group=GROUP)
        )


def waiting_for(user: Any) -> dict[str, Any] | None:
    """Return the baselines and loads that wait for this person's yes, those that end first; None where none does. One query."""
    side = Side.PROVIDER if user.is_in_a_team else Side.CUSTOMER
    rows = (
        visible_to(user, ApprovalRequest.objects.all(), Permission.PLAN_APPROVE)
        .filter(status=ApprovalStatus.OPEN, subject_type__in=WORDS, sides__contains=[side])
        .exclude(Q(author=user) | Q(expires_at__lte=timezone.now()))
        .exclude(decisions__side=side)
        .select_related("account", "author")
        .order_by("expires_at", "pk")
    )
    found = [
        {
            "title": row.title,
            "what": WORDS[row.subject_type],
            "url": registry.url_of(row),
            "account": row.account,
            "author": row.author,
            "expires_at": row.expires_at,
        }
        for row in rows[:MOST_SHOWN]
    ]
    return {"rows": found} if found else None


def _url_of(page: str, account: Account) -> str:
    return reverse(f"capacity:{page}", args=[account.ref])
