"""What scale-down hands in to the dashboard and to the account's own page."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from capacity.reports.links import register_cost_url, register_plan_url, register_servers_added
from portal.access import Permission, visible_to
from portal.account_sections import Section, Tab, register_action, register_section, register_tab
from portal.alarms import register_standstill_page
from portal.approvals.models import ApprovalStatus
from portal.dashboard import Panel, register_panel
from portal.palette import Entry, register_finder
from portal.runs import charge
from portal.runs.models import Run
from portal.runs.types import RunStatus
from portal.ui.states import look_of
from scaledown.costs import with_servers_added
from scaledown.models import Growth, Plan, PlanStatus
from scaledown.services import KIND

_LIVE = (
    RunStatus.HALTED,
    RunStatus.PAUSED,
    RunStatus.RUNNING,
    RunStatus.ROLLING_BACK,
    RunStatus.GROWING,
    RunStatus.SCHEDULED,
)
_URGENCY = {"site_in_danger": 0, "decide_today": 1, "safe_waiting": 2}
_SHOWN = 20


def runs_shown(user: Any, account: Any = None) -> list[Run]:
    """Return the live runs that `user` may see: halted ones first by rank, then paused, then running. One query."""
    rows = Run.objects.filter(kind=KIND, status__in=_LIVE).select_related("account", "in_charge", "backup")
    rows = rows.filter(account=account) if account is not None else visible_to(user, rows)
    rows = rows.defer("plan").prefetch_related("retirements").order_by("-created_at")[:200]
    return sorted(rows, key=lambda run: (_LIVE.index(RunStatus(run.status)), _URGENCY.get(run.halt_rank, 9)))


def _needs_person(user: Any) -> dict[str, Any] | None:
    halted = [run for run in runs_shown(user) if run.status == RunStatus.HALTED]
    waiting = (
        visible_to(user, Plan.objects.all(), Permission.PLAN_APPROVE)
        .filter(status=PlanStatus.AWAITING_APPROVAL)
        .exclude(expires_at__lte=timezone.now())
        .select_related("account", "author")
        .order_by("expires_at", "pk")
    )
    ready = (
        visible_to(user, Plan.objects.all(), Permission.RUN_START)
        .filter(status=PlanStatus.APPROVED)
        .exclude(expires_at__lte=timezone.now())
        .select_related("account", "author")
        .order_by("approved_at", "pk")
    )
    growths = (
        visible_to(user, Growth.objects.all(), Permission.PLAN_APPROVE)
        .filter(request__status=ApprovalStatus.OPEN)
        .exclude(request__expires_at__lte=timezone.now())
        .select_related("account", "asked_by", "request")
        .order_by("request__expires_at", "pk")
    )
    found = {
        "halted": halted[:_SHOWN],
        "handovers": list(charge.asked_of(user)[:_SHOWN]),
        "growths": list(growths[:_SHOWN]),
        "waiting": list(waiting[:_SHOWN]),
        "ready": list(ready[:_SHOWN]),
        "plain_words": not user.is_in_a_team,
    }
    asks = ("halted", "handovers", "growths", "waiting", "ready")
    return found if any(found[what] for what in asks) else None


def _live(user: Any) -> dict[str, Any] | None:
    rows = [run for run in runs_shown(user) if run.status != RunStatus.HALTED]
    return {"runs": rows[:_SHOWN], "plain_words": not user.is_in_a_team} if rows else None


def _of_account(user: Any, account: Any) -> dict[str, Any] | None:
    plans = (
        Plan.objects.filter(account=account)
        .exclude(status__in=(PlanStatus.VOIDED, PlanStatus.REJECTED, PlanStatus.USED))
        .select_related("author")
        .order_by("-pk")[:10]
    )
    return {
        "runs": runs_shown(user, account)[:_SHOWN],
        "plans": list(plans),
        "plain_words": not user.is_in_a_team,
    }


def _word(status: str, plain: bool) -> str:
    look = look_of(status)
    return look.plain if plain else look.word


def _find_plans(user: Any, text: str, limit: int) -> list[Entry]:
    plain = not user.is_in_a_team
    rows = visible_to(user, Plan, Permission.PLAN_VIEW).filter(
        Q(title__icontains=text) | Q(account__name__icontains=text) | Q(ref__startswith=text.lower())
    )
    return [
        Entry(
            row.title,
            reverse("scaledown:plan-detail", args=[row.ref]),
            f"plan, {_word(row.status, plain)} · {row.account}",
        )
        for row in rows.select_related("account").order_by("-pk")[:limit]
    ]


def _find_runs(user: Any, text: str, limit: int) -> list[Entry]:
    plain = not user.is_in_a_team
    rows = visible_to(user, Run, Permission.RUN_VIEW).filter(
        Q(title__icontains=text) | Q(account__name__icontains=text) | Q(ref__startswith=text.lower()),
        kind=KIND,
    )
    return [
        Entry(
            row.title,
            reverse("scaledown:run-detail", args=[row.ref]),
            f"run, {_word(row.status, plain)} · {row.account}",
        )
        for row in rows.select_related("account").order_by("-pk")[:limit]
    ]


def plan_url(account: Any, connection_ref: str, balancer_id: str, target: int, reason: str) -> str:
    """Return where a plan is begun that leaves so many servers of a pool, filled in."""
    asked = {"connection": connection_ref, "pool": balancer_id, "target": target, "because": reason}
    return f"{reverse('scaledown:plan-new', args=[account.ref])}?{urlencode(asked)}"


def register() -> None:
    """Register everything; called once when the app is ready."""
    register_finder("runs", _find_runs, order=20)
    register_finder("plans", _find_plans, order=30)
    register_plan_url(plan_url)
    register_cost_url(lambda account: reverse("scaledown:costs", args=[account.ref]))
    register_servers_added(
        with_servers_added, lambda event: reverse("scaledown:record-detail", args=[event.ref])
    )
    register_standstill_page(lambda account: reverse("scaledown:standstill", args=[account.ref]))
    register_panel(
        Panel("needs-person", "Needs a person", "scaledown/_dashboard_person.html", _needs_person, order=10)
    )
    register_panel(Panel("live-runs", "Live runs", "scaledown/_dashboard_runs.html", _live, order=20))
    register_section(
        Section(
            "scaledown",
            "Scale-down",
            "scaledown/_account_section.html",
            _of_account,
            Permission.PLAN_VIEW,
            order=10,
        )
    )
    register_tab(
        Tab(
            "scaledown",
            "Scale-down",
            lambda account: reverse("scaledown:plan-list", args=[account.ref]),
            Permission.PLAN_VIEW,
            order=30,
        )
    )
    register_action(
        Tab(
            "draw-up",
            "Draw up a scale-down",
            lambda account: reverse("scaledown:plan-new", args=[account.ref]),
            Permission.PLAN_DRAFT,
            order=10,
        )
    )
