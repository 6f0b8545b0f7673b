"""What the pages of scale-down share: the reader's zone and words, the tabs of the account."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpResponse

from accounts.models import CloudConnection
from portal.access import PortalView
from portal.account_sections import tabs_for
from portal.runs.models import Run
from scaledown import services, shown
from scaledown.candidates import Pool
from scaledown.costs import saved_a_month
from scaledown.models import Plan
from scaledown.pool import read_pool
from scaledown.selectors import is_customer

PLANS = Plan.objects.select_related("account", "connection", "event", "author")
RUNS = Run.objects.filter(kind=services.KIND).select_related("account", "in_charge", "backup")
STATUSES = (
    "draft",
    "awaiting_approval",
    "approved",
    "used",
    "rejected",
    "expired",
    "voided",
)
STEPS = (
    ("purpose", "What for", "scaledown:plan-purpose"),
    ("pool", "Pool and order", "scaledown:plan-pool"),
    ("safety", "Safety", "scaledown:plan-safety"),
    ("preview", "Preview", "scaledown:plan-preview"),
    ("approvals", "Approvals", "scaledown:plan-submit"),
)


class ScaledownPage(PortalView, abstract=True):
    """What the pages share: the reader's zone and words, the tabs of the account."""

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which this reader types and reads times."""
        return ZoneInfo(self.user.time_zone or "UTC")

    @property
    def customer(self) -> bool:
        """Whether the reader gets the customer's plainer words."""
        return is_customer(self.granted)

    def show(self, template: str, *, status: int = 200, **context: Any) -> HttpResponse:
        """Return a page in the reader's words."""
        context.setdefault("nav_key", "accounts")
        context.setdefault("plain_words", self.customer)
        context.setdefault("tabs", tabs_for(self.account, self.granted) if self.account else [])
        context.setdefault("tab", "scaledown")
        return self.render(template, status=status, **context)

    def connections(self) -> list[CloudConnection]:
        """Return the account's cloud connections, by name."""
        return list(
            CloudConnection.objects.filter(account=self.account).order_by("name", "pk").defer("api_key")
        )


def looked(plan: Plan) -> Pool:
    """Return a fresh look at a plan's pool, before any transaction. Raises the provider's troubles."""
    return read_pool(plan.connection, services.choice_of(plan).balancer_ids)


def preview_context(page: Any, plan: Plan) -> dict[str, Any]:
    """Return what `_preview.html` draws beside the page's own values; two queries once there is a preview."""
    if page.preview is None:
        return {"peak_nodes": [], "ceiling": None}
    ceiling = page.data.ceiling_rps if page.data is not None else None
    last = page.preview.steps[-1] if page.preview.steps else None
    if ceiling is None and last is not None and last.peak_load_rps and last.peak_share_of_ceiling:
        ceiling = last.peak_load_rps / last.peak_share_of_ceiling
    guard = ceiling * page.choice.guard_share if ceiling is not None else None
    return {
        "saved": saved_a_month(
            plan.account, plan.connection_id, page.choice.balancer_ids, len(page.preview.steps)
        ),
        "peak_nodes": shown.peak_nodes(page.preview, ceiling),
        "ceiling": ceiling,
        "guard": guard,
        "knows_peak": any(step.peak_load_rps is not None for step in page.preview.steps),
        "blocking": [one for one in page.preview.warnings if one.blocks],
        "notes": [one for one in page.preview.warnings if not one.blocks],
    }
