"""Pages of plans: the list, one plan with its preview and approvals, and what can be done with it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import OuterRef, Subquery
from django.db.models.functions import JSONObject
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from accounts.models import Account
from portal.access import Permission
from portal.approvals.pages import OVER
from portal.errors import Refused, StaleState, Trouble, form_status
from portal.paging import keyset
from portal.runs.models import Run
from scaledown import freezes, services, shown
from scaledown.forms import LessForm, ReasonForm
from scaledown.lessening import NEEDS_NEW, WAITS, More, lessen_plan, too_late
from scaledown.models import Plan
from scaledown.panels import runs_shown
from scaledown.selectors import plan_page, status_now
from scaledown.types import PlanData
from scaledown.views.shared import (
    PLANS,
    STATUSES,
    ScaledownPage,
    looked,
    preview_context,
)

# --- lists ------------------------------------------------------------------------------------------------


class PlanList(ScaledownPage):
    """Plans and runs of an account."""

    permission = Permission.PLAN_VIEW

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Live runs, then the plans, newest first; the filter stands in the address."""
        account = self.find(Account, account_ref)
        status = request.GET.get("status", "")
        query = request.GET.get("q", "").strip()[:100]
        run = Run.objects.filter(plan_ref=OuterRef("ref"), kind=services.KIND, is_rehearsal=False)
        rows = (
            Plan.objects.filter(account=account)
            .select_related("author", "event")
            .annotate(run=Subquery(run.order_by("-pk").values(of=JSONObject(ref="ref", status="status"))[:1]))
        )
        if status in STATUSES:
            rows = rows.filter(status=status)
        if query:
            rows = rows.filter(title__icontains=query)
        page = keyset(rows, request, order="-id", filters={"status": status, "q": query})
        return self.show(
            "scaledown/plan_list.html",
            page=page,
            live=runs_shown(self.user, account),
            statuses=STATUSES,
            status_shown=status,
            query=query,
        )


# --- one plan -------------------------------------------------------------------------------------------------


class PlanPageView(ScaledownPage, abstract=True):
    """What the pages of one plan share."""

    def plan_shown(self, plan: Plan, *, status: int = 200, **context: Any) -> HttpResponse:
        """Return the plan's page."""
        page = plan_page(plan, viewer=self.user, granted=self.granted)
        gone = [step.server_name for step in page.preview.steps] if page.preview else []
        return self.show(
            "scaledown/plan_detail.html",
            status=status,
            page=page,
            gone=gone,
            gone_words=shown.charge_words(gone),
            **preview_context(page, plan),
            **context,
        )

    def asks(self, plan: Plan, **context: Any) -> HttpResponse:
        """Return the page that asks before a command."""
        context.setdefault("back_url", reverse("scaledown:plan-detail", args=[plan.ref]))
        return self.show("components/confirm_page.html", action=self.request.path, **context)


class PlanDetail(PlanPageView):
    """The plan with its preview, approvals and digest."""

    permission = Permission.PLAN_VIEW

    def get(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Show it."""
        return self.plan_shown(self.find(PLANS, plan_ref))


class PlanApprove(PlanPageView):
    """The customer's approval of exactly what was seen."""

    permission = Permission.PLAN_APPROVE

    def post(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Approve; repeated, the same answer."""
        plan = self.find(PLANS, plan_ref)
        try:
            services.approve_plan(
                plan,
                actor=self.user,
                seen_digest=request.POST.get("digest", ""),
                reason=request.POST.get("reason", "")[:1000],
            )
        except Refused as refusal:
            # Read again: whoever was faster decided it after this one was read, and then nothing is asked any more.
            plan = self.find(PLANS, plan_ref)
            return self.plan_shown(plan, problem=refusal.says, status=form_status(refusal))
        messages.success(request, "You have approved this plan. Your launch manager starts it now.")
        return redirect("scaledown:plan-detail", plan_ref=plan.ref)


class PlanReject(PlanPageView):
    """The customer's no, with a reason."""

    permission = Permission.PLAN_APPROVE

    def get(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Ask for the reason."""
        return self._ask(self.find(PLANS, plan_ref))

    def post(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Turn it down."""
        plan = self.find(PLANS, plan_ref)
        reason = request.POST.get("reason", "")[:1000]
        try:
            services.reject_plan(
                plan, actor=self.user, seen_digest=request.POST.get("digest", ""), reason=reason
            )
        except Refused as refusal:
            if refusal.code in OVER:
                problem = f"{refusal.says} You wrote: {reason}" if reason else refusal.says
                plan = self.find(PLANS, plan_ref)
                return self.plan_shown(plan, problem=problem, status=form_status(refusal))
            return self._ask(plan, problem=refusal.says, typed=reason, status=form_status(refusal))
        messages.success(request, "You have turned this plan down. Nothing will be changed.")
        return redirect("scaledown:plan-detail", plan_ref=plan.ref)

    def _ask(self, plan: Plan, *, problem: str = "", typed: str = "", status: int = 200) -> HttpResponse:
        return self.show(
            "scaledown/plan_reject.html",
            plan=plan,
            problem=problem,
            form=ReasonForm(initial={"reason": typed}),
            status=status,
        )


class PlanStart(PlanPageView):
    """The start: type the size, then it runs."""

    permission = Permission.RUN_START

    def get(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Ask, naming what will be deleted."""
        return self._ask(self.find(PLANS, plan_ref))

    def post(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Start, if the size was typed."""
        plan = self.find(PLANS, plan_ref)
        data = services.data_of(plan)
        size = _size_words(data) if data is not None else ""
        reason = request.POST.get("reason", "")[:1000]
        if size and request.POST.get("typed_name", "").strip() != size:
            return self._ask(
                plan, problem=f"Type {size} to start. Nothing was started.", typed=reason, status=422
            )
        try:
            run = services.start_run(
                plan,
                actor=self.user,
                seen_digest=request.POST.get("digest", ""),
                override_reason=reason,
                seen_held=request.POST.get("held", ""),
            )
        except Refused as refusal:
            return self._ask(plan, problem=refusal.says, typed=reason, status=form_status(refusal))
        messages.success(request, "The run was started. The pool is read afresh before anything changes.")
        return redirect("scaledown:run-detail", run_ref=run.ref)

    def _ask(self, plan: Plan, *, problem: str = "", typed: str = "", status: int = 200) -> HttpResponse:
        page = plan_page(plan, viewer=self.user, granted=self.granted)
        if page.data is None or ("start" not in page.acts and not page.why_not_start):
            if not problem:
                raise StaleState(
                    f"“{plan.title}” is {page.status_label.lower()}. Only an approved plan can be started.",
                    code="plan_status_changed",
                )
            return self.plan_shown(plan, problem=problem, status=status)
        held = freezes.for_start(plan, page.data, timezone.now())
        return self.show(
            "scaledown/plan_start.html",
            status=status,
            page=page,
            size=_size_words(page.data),
            freezes=held,
            held_version=freezes.version(held),
            reason_typed=typed,
            names=shown.charge_words([server.name for server in page.data.servers]),
            problem=problem,
        )


def _size_words(data: Any) -> str:
    count = len(data.servers)
    return f"{count} server{'' if count == 1 else 's'}"


class PlanLess(PlanPageView):
    """Less of a submitted plan, which keeps its approvals."""

    permission = Permission.PLAN_DRAFT

    def get(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Show what it has."""
        plan = self.find(PLANS, plan_ref)
        data = self._data(plan)
        return self._page(plan, data, LessForm(plan=data, zone=self.zone))

    def post(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Change it; what is more stands beside its field."""
        plan = self.find(PLANS, plan_ref)
        data = self._data(plan)
        form = LessForm(request.POST, plan=data, zone=self.zone)
        status = 422
        if form.is_valid():
            try:
                changed = lessen_plan(
                    plan,
                    actor=self.user,
                    asked=form.asked(),
                    seen_digest=request.POST.get("digest", ""),
                    reason=form.cleaned_data["reason"],
                )
            except More as more:
                for name, says in more.fields.items():
                    form.add_error(name, says)
                form.add_error(None, NEEDS_NEW)
            except Refused as refusal:
                form.add_error(None, refusal.says)
                status = form_status(refusal)
            else:
                if changed.digest == plan.digest:
                    messages.info(request, "That is what the plan has. Nothing was changed.")
                else:
                    messages.success(
                        request, "The plan is less now. What was approved stays, and who approved it is told."
                    )
                return redirect("scaledown:plan-detail", plan_ref=plan.ref)
        return self._page(plan, data, form, status)

    def _data(self, plan: Plan) -> PlanData:
        data = services.data_of(plan)
        if status_now(plan, timezone.now()) not in WAITS or data is None:
            raise StaleState(too_late(plan), code="plan_status_changed")
        return data

    def _page(self, plan: Plan, data: PlanData, form: LessForm, status: int = 200) -> HttpResponse:
        return self.show(
            "scaledown/plan_less.html",
            status=status,
            plan=plan,
            data=data,
            form=form,
            zone_name=str(self.zone),
        )


class PlanRehearse(PlanPageView):
    """A rehearsal: everything is read, every change is withheld."""

    permission = Permission.RUN_START

    def post(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Begin it."""
        plan = self.find(PLANS, plan_ref)
        try:
            run = services.rehearse(plan, actor=self.user, pool=looked(plan))
        except Trouble as trouble:
            return self.plan_shown(plan, problem=trouble.says, status=form_status(trouble))
        messages.success(request, "The rehearsal has begun. It reads everything and changes nothing.")
        return redirect("scaledown:run-detail", run_ref=run.ref)


class PlanVoid(PlanPageView):
    """Withdraw a plan that shall not run."""

    permission = Permission.PLAN_DRAFT

    def get(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Ask for the reason."""
        plan = self.find(PLANS, plan_ref)
        return self._ask(plan)

    def post(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Withdraw it."""
        plan = self.find(PLANS, plan_ref)
        try:
            services.void_plan(plan, actor=self.user, reason=request.POST.get("reason", "")[:1000])
        except Refused as refusal:
            return self.plan_shown(plan, problem=refusal.says, status=form_status(refusal))
        messages.success(request, "The plan is withdrawn. It cannot be started any more.")
        return redirect("scaledown:plan-detail", plan_ref=plan.ref)

    def _ask(self, plan: Plan) -> HttpResponse:
        return self.asks(
            plan,
            title=f"Withdraw “{plan.title}”?",
            text="It can then no longer be approved or started. A copy of it can be drawn up at any time.",
            button="Withdraw the plan",
            reason="required",
        )


class PlanCopy(PlanPageView):
    """Do it again, with new approvals."""

    permission = Permission.PLAN_DRAFT

    def post(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Make the copy and open it."""
        copy = services.copy_plan(self.find(PLANS, plan_ref), actor=self.user)
        messages.success(request, "This is the copy. Nothing of the first plan was changed.")
        return redirect("scaledown:plan-purpose", plan_ref=copy.ref)
