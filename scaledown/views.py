"""Pages of scale-down: read input, call one service or selector, choose the answer.

What needs the provider reads it before a service's transaction begins. A refusal comes back on the page that
was filled in, with everything that was typed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace
from time import monotonic
from typing import Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse

from accounts.models import Account, CloudConnection
from capacity.models import Probe, TrafficEvent
from capacity.services import add_event
from portal.access import AsyncPortalView, Permission, PortalView
from portal.account_sections import tabs_for
from portal.errors import NotPermitted, ProviderFailed, Refused, StaleState, Trouble, TryLater
from portal.paging import keyset
from portal.runs.models import JournalEntry, Run, Standstill
from portal.runs.stream import Change, after_seq_of, journal_events
from scaledown import drawing, services, shown
from scaledown.forms import (
    EventForm,
    PoolForm,
    ProtectForm,
    PurposeForm,
    ReasonForm,
    RecordForm,
    SafetyForm,
)
from scaledown.models import Plan, PlanStatus, ProtectedServer, ScaleUpRecord
from scaledown.offers import Offer
from scaledown.panels import runs_shown
from scaledown.planner import Choice
from scaledown.pool import read_pool
from scaledown.progress import progress_from_plain
from scaledown.report import report
from scaledown.selectors import LiveRun, is_customer, journal_shown, live_run, plan_page
from scaledown.types import Order

PLANS = Plan.objects.select_related("account", "connection", "event", "author")
RUNS = Run.objects.filter(kind=services.KIND).select_related("account", "in_charge")
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
RECHECK_S = 30.0
"""How often a stream asks again whether its reader may still read."""


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


def status_for(trouble: Trouble) -> int:
    """Return the status of a form page that shows a trouble beside what was typed."""
    match trouble:
        case NotPermitted():
            return 403
        case StaleState():
            return 409
        case TryLater():
            return 503
        case ProviderFailed():
            return 502
    return 422


# --- lists ------------------------------------------------------------------------------------------------


class PlanList(ScaledownPage):
    """Plans and runs of an account."""

    permission = Permission.PLAN_VIEW

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Live runs, then the plans, newest first; the filter stands in the address."""
        account = self.find(Account, account_ref)
        status = request.GET.get("status", "")
        query = request.GET.get("q", "").strip()[:100]
        rows = Plan.objects.filter(account=account).select_related("author", "event")
        if status in STATUSES:
            rows = rows.filter(status=status)
        if query:
            rows = rows.filter(title__icontains=query)
        page = keyset(rows, request.GET.dict(), order="-id", filters={"status": status, "q": query})
        found = Run.objects.filter(
            kind=services.KIND, plan_ref__in=[plan.ref for plan in page.rows], is_rehearsal=False
        ).values_list("plan_ref", "ref", "status")
        runs = {plan_ref: {"ref": ref, "status": status_of} for plan_ref, ref, status_of in found}
        for plan in page.rows:
            plan.run = runs.get(plan.ref)  # type: ignore[attr-defined]
        return self.show(
            "scaledown/plan_list.html",
            page=page,
            live=runs_shown(self.user, account),
            statuses=STATUSES,
            status_shown=status,
            query=query,
        )


# --- the guided path ----------------------------------------------------------------------------------------


class DraftStep(ScaledownPage, abstract=True):
    """One step of the guided path over a draft that the server keeps."""

    step = "purpose"

    def draft(self, plan_ref: UUID) -> Plan:
        """Return the plan; StaleState (409) once it was submitted."""
        plan = self.find(PLANS, plan_ref)
        if plan.status != PlanStatus.DRAFT:
            raise StaleState(
                "This plan was submitted, and what people approve cannot change. Copy it to change it.",
                code="plan_frozen",
            )
        return plan

    def step_page(
        self, template: str, plan: Plan | None, *, status: int = 200, **context: Any
    ) -> HttpResponse:
        """Return the page of this step with the stepper; every step of a kept draft can be opened."""
        steps = [
            {"key": key, "label": label, "url": reverse(name, args=[plan.ref]) if plan else ""}
            for key, label, name in STEPS
        ]
        return self.show(template, status=status, steps=steps, step=self.step, plan=plan, **context)

    def after(self, request: HttpRequest, plan: Plan, name: str) -> HttpResponse:
        """Go on to the next step, or to the plan where only the draft was to be kept."""
        if "later" in request.POST:
            messages.success(request, "The draft is kept as it is. You can go on with it at any time.")
            return redirect("scaledown:plan-detail", plan_ref=plan.ref)
        return redirect(name, plan_ref=plan.ref)


def _purpose_form(
    view: ScaledownPage, data: Any = None, initial: Mapping[str, Any] | None = None
) -> PurposeForm:
    events = drawing.events_of(view.account)
    form = PurposeForm(
        data, initial=initial, connections=view.connections(), events=[one.event for one in events]
    )
    form.evidence = events  # type: ignore[attr-defined]
    return form


class PlanNew(DraftStep):
    """The first step: what for."""

    permission = Permission.PLAN_DRAFT

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show the form; the newest event with a record is chosen."""
        self.find(Account, account_ref)
        form = _purpose_form(self)
        recorded = next((one for one in form.evidence if one.servers), None)  # type: ignore[attr-defined]
        if recorded is not None:
            form.initial = {"event": recorded.ref, "title": f"After {recorded.name}"[:200]}
        return self.step_page("scaledown/plan_purpose.html", None, form=form)

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Make the draft with the pool that held the event's servers."""
        account = self.find(Account, account_ref)
        form = _purpose_form(self, request.POST)
        status = 422
        if form.is_valid():
            try:
                balancer_id = drawing.propose_balancer(form.chosen_connection, form.chosen_event)
                plan = services.draft_plan(
                    account=account,
                    connection=form.chosen_connection,
                    actor=self.user,
                    title=form.cleaned_data["title"],
                    choice=Choice(
                        balancer_ids=(balancer_id,),
                        order=Order.REVERSE_OF_SCALE_UP if form.chosen_event else Order.NEWEST_FIRST,
                        reason=form.cleaned_data["reason"],
                    ),
                    event=form.chosen_event,
                )
            except Trouble as trouble:
                form.add_error(None, trouble.says)
                status = status_for(trouble)
            else:
                return self.after(request, plan, "scaledown:plan-pool")
        return self.step_page("scaledown/plan_purpose.html", None, form=form, status=status)


class PlanPurpose(DraftStep):
    """What for, of a draft that is kept."""

    permission = Permission.PLAN_DRAFT

    def get(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Show what was chosen."""
        plan = self.draft(plan_ref)
        form = _purpose_form(
            self,
            initial={
                "title": plan.title,
                "connection": str(plan.connection.ref),
                "event": str(plan.event.ref) if plan.event else "",
                "reason": services.choice_of(plan).reason,
            },
        )
        form.fields["connection"].disabled = True
        return self.step_page("scaledown/plan_purpose.html", plan, form=form)

    def post(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Keep what was changed. Another connection is another plan."""
        plan = self.draft(plan_ref)
        form = _purpose_form(self, request.POST, initial={"connection": str(plan.connection.ref)})
        form.fields["connection"].disabled = True
        status = 422
        if form.is_valid():
            choice = replace(services.choice_of(plan), reason=form.cleaned_data["reason"])
            changes: dict[str, Any] = {}
            if form.chosen_event != plan.event:
                changes["event"] = form.chosen_event
            try:
                services.edit_draft(
                    plan, actor=self.user, title=form.cleaned_data["title"], choice=choice, **changes
                )
            except Refused as refusal:
                form.add_error(None, refusal.says)
                status = status_for(refusal)
            else:
                return self.after(request, plan, "scaledown:plan-pool")
        return self.step_page("scaledown/plan_purpose.html", plan, form=form, status=status)


class PlanPool(DraftStep):
    """Pool and order: who comes out and who stays, with reasons, from a fresh look."""

    permission = Permission.PLAN_DRAFT
    step = "pool"

    def get(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Look at the pool and show it."""
        return self._page(self.draft(plan_ref))

    def post(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Keep the choice; *look again* stays on this step with the new choice."""
        plan = self.draft(plan_ref)
        looked = drawing.pool_step(plan)
        choice = services.choice_of(plan)
        form = self._form(looked, choice, request.POST)
        status = 422
        if form.is_valid():
            try:
                services.edit_draft(plan, actor=self.user, choice=form.onto(choice))
            except Refused as refusal:
                form.add_error(None, refusal.says)
                status = status_for(refusal)
            else:
                if "look" in request.POST:
                    return redirect("scaledown:plan-pool", plan_ref=plan.ref)
                return self.after(request, plan, "scaledown:plan-safety")
        return self._page(plan, looked, form, status)

    def _form(self, looked: drawing.PoolStep, choice: Choice, data: Any = None) -> PoolForm:
        names = dict(looked.liftable) | {server_id: server_id for server_id in choice.lifted}
        names |= {
            member.server.id: member.server.name
            for member in looked.order
            if member.server.id in choice.lifted
        }
        return PoolForm(
            data,
            initial=PoolForm.initial_of(choice),
            balancers=[(one.id, one.label) for one in looked.balancers],
            liftable=sorted(names.items(), key=lambda item: item[1]),
        )

    def _page(
        self,
        plan: Plan,
        looked: drawing.PoolStep | None = None,
        form: PoolForm | None = None,
        status: int = 200,
    ) -> HttpResponse:
        looked = looked or drawing.pool_step(plan)
        choice = services.choice_of(plan)
        target = (
            choice.target if choice.target is not None else looked.proposal.count if looked.proposal else None
        )
        out = max(0, looked.serving - target) if looked.serving is not None and target is not None else None
        return self.step_page(
            "scaledown/plan_pool.html",
            plan,
            form=form or self._form(looked, choice),
            looked=looked,
            out_count=out,
            coming=looked.order[:out] if out is not None else (),
            spare=looked.order[out:] if out is not None else looked.order,
            target=target,
            status=status,
        )


class PlanSafety(DraftStep):
    """Safety: when a drain is over, what happens at its limit, how long traffic is watched, the window."""

    permission = Permission.PLAN_DRAFT
    step = "safety"

    def get(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Show the choice."""
        plan = self.draft(plan_ref)
        initial = SafetyForm.initial_of(services.choice_of(plan))
        return self._page(plan, SafetyForm(initial=initial, zone=self.zone))

    def post(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Keep the choice."""
        plan = self.draft(plan_ref)
        form = SafetyForm(request.POST, zone=self.zone)
        status = 422
        if form.is_valid():
            try:
                services.edit_draft(plan, actor=self.user, choice=form.onto(services.choice_of(plan)))
            except Refused as refusal:
                form.add_error(None, refusal.says)
                status = status_for(refusal)
            else:
                return self.after(request, plan, "scaledown:plan-preview")
        return self._page(plan, form, status)

    def _page(self, plan: Plan, form: SafetyForm, status: int = 200) -> HttpResponse:
        probes = Probe.objects.filter(
            connection=plan.connection, balancer_id__in=services.choice_of(plan).balancer_ids
        ).order_by("name", "pk")
        return self.step_page(
            "scaledown/plan_safety.html",
            plan,
            form=form,
            probes=list(probes),
            zone_name=str(self.zone),
            status=status,
        )


def _looked(plan: Plan) -> Any:
    return read_pool(plan.connection, services.choice_of(plan).balancer_ids)


class PlanPreview(DraftStep):
    """The preview: every step and every warning, before anyone approves."""

    permission = Permission.PLAN_DRAFT
    step = "preview"

    def get(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Show the newest preview; without one, look now."""
        plan = self.draft(plan_ref)
        problem, status = "", 200
        if plan.preview is None:
            problem, status = self._look(plan)
        return self._page(plan, problem, status)

    def post(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Look at the pool again."""
        plan = self.draft(plan_ref)
        problem, status = self._look(plan)
        if problem:
            return self._page(plan, problem, status)
        return redirect("scaledown:plan-preview", plan_ref=plan.ref)

    def _look(self, plan: Plan) -> tuple[str, int]:
        try:
            services.preview_plan(plan, actor=self.user, pool=_looked(plan))
        except Trouble as trouble:
            return trouble.says, status_for(trouble)
        return "", 200

    def _page(self, plan: Plan, problem: str, status: int) -> HttpResponse:
        page = plan_page(plan, viewer=self.user, granted=self.granted)
        return self.step_page(
            "scaledown/plan_preview.html",
            plan,
            page=page,
            problem=problem,
            # A look that makes no plan is an answer, not a failed page.
            status=200 if status == 422 else status,
            **preview_context(page),
        )


def preview_context(page: Any) -> dict[str, Any]:
    """Return what `_preview.html` draws beside the page's own values."""
    if page.preview is None:
        return {"peak_nodes": [], "ceiling": None}
    ceiling = page.data.ceiling_rps if page.data is not None else None
    last = page.preview.steps[-1] if page.preview.steps else None
    if ceiling is None and last is not None and last.peak_load_rps and last.peak_share_of_ceiling:
        ceiling = last.peak_load_rps / last.peak_share_of_ceiling
    guard = ceiling * page.choice.guard_share if ceiling is not None else None
    return {
        "peak_nodes": shown.peak_nodes(page.preview, ceiling),
        "ceiling": ceiling,
        "guard": guard,
        "knows_peak": any(step.peak_load_rps is not None for step in page.preview.steps),
        "blocking": [one for one in page.preview.warnings if one.blocks],
        "notes": [one for one in page.preview.warnings if not one.blocks],
    }


class PlanSubmit(DraftStep):
    """Approvals: who will be asked, and the submit button."""

    permission = Permission.PLAN_DRAFT
    write_permission = Permission.PLAN_SUBMIT
    step = "approvals"

    def get(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Show who will be asked."""
        return self._page(self.draft(plan_ref), ReasonForm())

    def post(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Freeze the plan from a fresh look and ask the customer."""
        plan = self.draft(plan_ref)
        form = ReasonForm(request.POST)
        status = 422
        if form.is_valid():
            try:
                services.submit_plan(
                    plan, actor=self.user, pool=_looked(plan), reason=form.cleaned_data["reason"]
                )
            except Trouble as trouble:
                form.add_error(None, trouble.says)
                status = status_for(trouble)
            else:
                messages.success(
                    request, "The plan is submitted: this is your approval. Now the customer decides."
                )
                return redirect("scaledown:plan-detail", plan_ref=plan.ref)
        return self._page(plan, form, status)

    def _page(self, plan: Plan, form: ReasonForm, status: int = 200) -> HttpResponse:
        page = plan_page(plan, viewer=self.user, granted=self.granted)
        return self.step_page(
            "scaledown/plan_submit.html",
            plan,
            form=form,
            page=page,
            approvers=drawing.approvers_of(self.account),
            status=status,
            **preview_context(page),
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
            **preview_context(page),
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
            return self.plan_shown(plan, problem=refusal.says, status=status_for(refusal))
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
            return self._ask(plan, problem=refusal.says, typed=reason, status=status_for(refusal))
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
        if size and request.POST.get("typed_name", "").strip() != size:
            return self._ask(plan, problem=f"Type {size} to start. Nothing was started.", status=422)
        try:
            run = services.start_run(plan, actor=self.user, seen_digest=request.POST.get("digest", ""))
        except Refused as refusal:
            return self._ask(plan, problem=refusal.says, status=status_for(refusal))
        messages.success(request, "The run was started. The pool is read afresh before anything changes.")
        return redirect("scaledown:run-detail", run_ref=run.ref)

    def _ask(self, plan: Plan, *, problem: str = "", status: int = 200) -> HttpResponse:
        page = plan_page(plan, viewer=self.user, granted=self.granted)
        if page.data is None or "start" not in page.acts:
            if not problem:
                raise StaleState(
                    f"“{plan.title}” is {page.status_label.lower()}. Only an approved plan can be started.",
                    code="plan_status_changed",
                )
            return self.plan_shown(plan, problem=problem, status=status)
        return self.show(
            "scaledown/plan_start.html",
            status=status,
            page=page,
            size=_size_words(page.data),
            names=shown.charge_words([server.name for server in page.data.servers]),
            problem=problem,
        )


def _size_words(data: Any) -> str:
    count = len(data.servers)
    return f"{count} server{'' if count == 1 else 's'}"


class PlanRehearse(PlanPageView):
    """A rehearsal: everything is read, every change is withheld."""

    permission = Permission.RUN_START

    def post(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Begin it."""
        plan = self.find(PLANS, plan_ref)
        try:
            run = services.rehearse(plan, actor=self.user, pool=_looked(plan))
        except Trouble as trouble:
            return self.plan_shown(plan, problem=trouble.says, status=status_for(trouble))
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
            return self.plan_shown(plan, problem=refusal.says, status=status_for(refusal))
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


# --- the live run ---------------------------------------------------------------------------------------------

PARTS = ("state", "lanes", "charts", "journal")
"""The partials of the live page: `runs/_<name>.html`, each an event of the stream by this name."""


def run_context(live: LiveRun, *, customer: bool, zone: ZoneInfo, server: str) -> dict[str, Any]:
    """Return what the partials of the live page show; the page and the stream use the same."""
    names = frozenset(lane.server_name for lane in live.lanes)
    journal = [
        entry for entry in live.journal if not server or entry.subject in {server, _id_of(live, server)}
    ]
    has_hold = any(lane.phase == "held" or lane.left_from == "held" for lane in live.lanes)
    serving = min((one.serving for one in live.serving if one.serving is not None), default=None)
    return {
        "live": live,
        "plain_words": customer,
        "customer": customer,
        "rank": live.halt.rank if live.halt else "",
        "buttons": [shown.button(live, offer, customer=customer) for offer in _ordered(live, live.offers)],
        "lanes": [
            shown.lane_shown(live, lane, zone, customer=customer, with_hold=has_hold) for lane in live.lanes
        ],
        "nodes": shown.load_nodes(live, customer=customer),
        "drains": shown.drains(live, zone),
        "probes": [{"probe": probe, "points": shown.zoned(probe.latencies, zone)} for probe in live.probes],
        "serving": serving,
        "of_total": f"of {live.total} server{'' if live.total == 1 else 's'}",
        "floor_words": f"never fewer than {live.floor}",
        "in_charge_words": live.in_charge or "nobody",
        "zone_label": shown.zone_label(zone),
        "entries": shown.entries_shown(journal, names),
        "server": server,
        "server_names": [lane.server_name for lane in live.lanes],
        "waiting": [one for one in live.commands if one.accepted is None],
        "answers": [one for one in live.commands if one.accepted is not None][:3],
        "on_now": next((lane for lane in live.lanes if lane.phase in _IN_HAND), None),
    }


_IN_HAND = frozenset({"draining", "removing", "verifying", "deleting", "confirming"})


def _id_of(live: LiveRun, name: str) -> str:
    return next((lane.server_id for lane in live.lanes if lane.server_name == name), name)


def _ordered(live: LiveRun, offers: tuple[Offer, ...]) -> list[Offer]:
    """Put what a halt names as safe first."""
    safe = live.halt.next_commands if live.halt else ()
    return sorted(offers, key=lambda offer: (offer.name not in safe, offer.is_dangerous))


class RunPageView(ScaledownPage, abstract=True):
    """What the pages of one run share."""

    def server_filter(self, request: HttpRequest) -> str:
        """Return the server whose journal lines are wanted, or ""."""
        return request.GET.get("server", "").strip()[:255]


class RunDetail(RunPageView):
    """The live run. Opened late it shows the same; without JavaScript it refreshes itself."""

    permission = Permission.RUN_VIEW

    def get(self, request: HttpRequest, run_ref: UUID) -> HttpResponse:
        """Show it as it is now."""
        run = self.find(RUNS, run_ref)
        live = live_run(run, granted=self.granted)
        server = self.server_filter(request)
        query = f"?{urlencode({'server': server})}" if server else ""
        return self.show(
            "runs/run_detail.html",
            **run_context(live, customer=self.customer, zone=self.zone, server=server)
            | {
                "stream_url": reverse("scaledown:run-stream", args=[run.ref]) + query,
                "viewer_ref": str(self.user.ref),
            },
        )


class RunStream(AsyncPortalView):
    """The live page's stream: the partials that changed, after each tick. Holds no connection while it waits."""

    permission = Permission.RUN_VIEW

    async def get(self, request: HttpRequest, run_ref: UUID) -> HttpResponseBase:
        """Ends when the run is over, or when the reader may no longer read."""
        run = await self.afind(RUNS, run_ref)
        after = after_seq_of(request.headers.get("Last-Event-ID") or request.GET.get("last_event_id"))
        server = request.GET.get("server", "").strip()[:255]
        events = journal_events(
            run.pk,
            after,
            for_customer=is_customer(self.granted),
            render=_renderer(self, run, server, get_token(request)),
        )
        response = StreamingHttpResponse(self._while_allowed(events), content_type="text/event-stream")
        response["Cache-Control"] = "no-store"
        response["X-Accel-Buffering"] = "no"
        return response

    async def _while_allowed(self, events: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        asked_at = monotonic()
        try:
            async for chunk in events:
                if monotonic() - asked_at > RECHECK_S:
                    asked_at = monotonic()
                    if not await self.still_allowed():
                        return
                yield chunk
        finally:
            await events.aclose()


def _renderer(
    view: AsyncPortalView, run: Run, server: str, token: str
) -> Callable[[Change], Mapping[str, str]]:
    """Return what makes the partials for one reader, and leaves out those that are as they were."""
    granted, user = view.granted, view.request.user
    customer = is_customer(granted)
    zone = ZoneInfo(user.time_zone or "UTC")
    sent: dict[str, str] = {}

    def render(change: Change) -> Mapping[str, str]:
        live = live_run(run, granted=granted)
        # No request: its context processors would ask the database for the alarms of every page.
        context = run_context(live, customer=customer, zone=zone, server=server) | {"csrf_token": token}
        found = {part: render_to_string(f"runs/_{part}.html", context) for part in PARTS}
        news = {part: html for part, html in found.items() if sent.get(part) != html}
        sent.update(news)
        return news

    return render


class RunJournal(RunPageView):
    """The whole journal, in pages; each line has an address of its own."""

    permission = Permission.RUN_VIEW

    def get(self, request: HttpRequest, run_ref: UUID) -> HttpResponse:
        """Newest first."""
        run = self.find(RUNS, run_ref)
        server = self.server_filter(request)
        rows = JournalEntry.objects.filter(run=run)
        progress = progress_from_plain(run.progress)
        names = {way.name: way.server_id for way in progress.servers}
        if server:
            rows = rows.filter(subject__in=[server, names.get(server, server)])
        page = keyset(rows, request.GET.dict(), order="-seq", filters={"server": server, "run": run.pk})
        lines = [journal_shown(entry, for_customer=self.customer) for entry in page.rows]
        return self.show(
            "runs/run_journal.html",
            run=run,
            page=page,
            entries=shown.entries_shown(lines, frozenset(names)),
            server=server,
            server_names=list(names),
        )


class RunCharge(RunPageView):
    """Take charge of a live run."""

    permission = Permission.RUN_COMMAND

    def post(self, request: HttpRequest, run_ref: UUID) -> HttpResponse:
        """Become the one named person."""
        run = self.find(RUNS, run_ref)
        services.take_charge(run, actor=self.user)
        messages.success(request, "You are in charge of this run now.")
        return redirect("scaledown:run-detail", run_ref=run.ref)


_NUMBERS: Mapping[str, Callable[[str], Any]] = {"seconds": float, "connections": int}


class RunCommandPage(RunPageView):
    """A command: dangerous ones and those that need a reason are asked for on a page of their own."""

    permission = Permission.RUN_VIEW

    def get(self, request: HttpRequest, run_ref: UUID, name: str) -> HttpResponse:
        """Ask, naming the act, its size and what it leaves."""
        run = self.find(RUNS, run_ref)
        return self._ask(run, name.replace("-", "_"))

    def post(self, request: HttpRequest, run_ref: UUID, name: str) -> HttpResponse:
        """Give the command; the run's next tick answers it."""
        run = self.find(RUNS, run_ref)
        name = name.replace("-", "_")
        reason = request.POST.get("reason", "")[:1000]
        try:
            given = services.command(
                run,
                name,
                actor=self.user,
                args=self._args(request),
                reason=reason,
                seen_status=request.GET.get("seen_status") or None,
            )
        except NotPermitted:
            raise
        except Refused as refusal:
            if request.POST.get("confirmed"):
                return self._ask(run, name, problem=refusal.says, typed=reason, status=status_for(refusal))
            raise
        said = "Your command was taken. The run answers it at its next step, within seconds."
        if given.on_the_wire:
            said += f" On its way at that moment: {given.on_the_wire}"
        messages.success(request, said)
        return redirect("scaledown:run-detail", run_ref=run.ref)

    def _args(self, request: HttpRequest) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in ("when", "server"):
            if request.GET.get(name):
                found[name] = request.GET[name][:255]
        for name, read in _NUMBERS.items():
            if request.GET.get(name):
                try:
                    found[name] = read(request.GET[name])
                except ValueError:
                    raise Refused(f"“{name}” must be a number.", code="bad_argument") from None
        if request.GET.get("confirm") == "true":
            found["confirm"] = True
        return found

    def _ask(
        self, run: Run, name: str, *, problem: str = "", typed: str = "", status: int = 200
    ) -> HttpResponse:
        live = live_run(run, granted=self.granted)
        server, when = self.request.GET.get("server", ""), self.request.GET.get("when", "")
        everything = [*live.offers, *(offer for lane in live.lanes for offer in lane.offers)]
        offer = next(
            (
                one
                for one in everything
                if one.name == name
                and (not server or one.args.get("server") == server)
                and (not when or one.args.get("when") == when)
            ),
            None,
        )
        rule = services.offers.RULES.get(name)
        if rule is None:
            raise Http404("There is no such command.")
        if rule.permission not in self.granted:
            self.refuse(rule.permission, run)
        if offer is None:
            raise StaleState(
                problem or f"“{name.replace('_', ' ')}” makes sense only {rule.when}. Nothing was sent.",
                code="command_refused",
            )
        made = shown.button(live, offer, customer=self.customer)
        args = {**shown.plain_args(offer), "seen_status": live.status}
        return self.show(
            "runs/command_page.html",
            status=status,
            live=live,
            offer=offer,
            label=made["label"].removesuffix("…"),
            leaves=made["leaves"],
            action=f"{self.request.path}?{urlencode(args)}",
            problem=problem,
            form=ReasonForm(initial={"reason": typed}),
        )


# --- the report -----------------------------------------------------------------------------------------------


class RunReport(RunPageView):
    """What a run did, for launch manager and customer; made to be printed."""

    permission = Permission.RUN_VIEW

    def get(self, request: HttpRequest, run_ref: UUID) -> HttpResponse:
        """Show it; while the run is under way, as far as it got."""
        return self.report_shown(self.find(RUNS, run_ref))

    def report_shown(
        self, run: Run, *, status: int = 200, problem: str = "", typed: str = ""
    ) -> HttpResponse:
        """Return the report's page."""
        found = report(run, for_customer=self.customer)
        return self.show(
            "runs/report.html",
            status=status,
            run=run,
            report=found,
            drains=shown.report_drains(found, self.zone),
            marks=shown.drain_marks(found, self.zone),
            probes=[
                {
                    "probe": probe,
                    "series": [shown.Series(probe.name, shown.zoned(probe.latencies, self.zone))],
                }
                for probe in found.probes
            ],
            zone_label=shown.zone_label(self.zone),
            problem=problem,
            typed=typed,
        )


class RunLesson(RunReport):
    """Write on the report what to do better next time."""

    permission = Permission.RUN_VIEW
    write_permission = Permission.PLAN_DRAFT

    def get(self, request: HttpRequest, run_ref: UUID) -> HttpResponse:
        """A reload of the refused form shows the report."""
        return redirect("scaledown:run-report", run_ref=self.find(RUNS, run_ref).ref)

    def post(self, request: HttpRequest, run_ref: UUID) -> HttpResponse:
        """Write it down."""
        run = self.find(RUNS, run_ref)
        text = request.POST.get("text", "")[:4000]
        try:
            services.write_lesson(run, text=text, actor=self.user)
        except Refused as refusal:
            return self.report_shown(run, problem=refusal.says, typed=text, status=status_for(refusal))
        messages.success(request, "The lesson is on the report.")
        return redirect(reverse("scaledown:run-report", args=[run.ref]) + "#lessons")


# --- records, protected servers -------------------------------------------------------------------------------


class RecordList(ScaledownPage):
    """Traffic events and what was added for them."""

    permission = Permission.PLAN_VIEW
    write_permission = Permission.SAMPLE_ADD

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Newest first."""
        self.find(Account, account_ref)
        return self._page(EventForm(zone=self.zone))

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Add an event, then write down what was added for it."""
        account = self.find(Account, account_ref)
        form = EventForm(request.POST, zone=self.zone)
        if form.is_valid():
            try:
                event = add_event(account, actor=self.user, **form.cleaned_data)
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                messages.success(request, f"{event.name} was added. Now write down what was added for it.")
                return redirect("scaledown:record-detail", event_ref=event.ref)
        return self._page(form, status=422)

    def _page(self, form: EventForm, status: int = 200) -> HttpResponse:
        return self.show(
            "scaledown/record_list.html",
            events=drawing.events_of(self.account),
            form=form,
            zone_name=str(self.zone),
            status=status,
        )


class RecordDetail(ScaledownPage):
    """The scale-up record of one event: by hand, or reconstructed from the provider and then checked."""

    permission = Permission.PLAN_VIEW
    write_permission = Permission.PLAN_DRAFT

    def get(self, request: HttpRequest, event_ref: UUID) -> HttpResponse:
        """Show the record; with `from` (a cloud connection) also what the provider shows."""
        event = self.find(TrafficEvent, event_ref)
        return self._page(event, self._form(event), self._found(request, event))

    def post(self, request: HttpRequest, event_ref: UUID) -> HttpResponse:
        """Write the record; what was reconstructed keeps its evidence."""
        event = self.find(TrafficEvent, event_ref)
        form = RecordForm(request.POST, connections=self.connections())
        status = 422
        found: dict[str, Any] = {}
        if form.is_valid():
            connection = form.connections[form.cleaned_data["connection"]]
            try:
                known = self._reconstructed(event, connection) if "evidence" in request.POST else {}
                services.record_scale_up(
                    event=event,
                    connection=connection,
                    actor=self.user,
                    entries=[
                        known.get(server_id) or services.AddedServer(server_id, name, at)
                        for name, server_id, at in form.cleaned_data["servers"]
                    ],
                )
            except Trouble as trouble:
                form.add_error(None, trouble.says)
                status = status_for(trouble)
            else:
                messages.success(request, "The scale-up record is written.")
                return redirect("scaledown:record-detail", event_ref=event.ref)
        return self._page(event, form, found, status)

    def _form(self, event: TrafficEvent) -> RecordForm:
        return RecordForm(connections=self.connections())

    def _reconstructed(
        self, event: TrafficEvent, connection: CloudConnection
    ) -> dict[str, services.AddedServer]:
        whole = CloudConnection.objects.get(pk=connection.pk)
        ids = [one.id for one in drawing.balancers_of(whole)]
        return {one.server_id: one for one in services.reconstruct(event, read_pool(whole, ids))}

    def _found(self, request: HttpRequest, event: TrafficEvent) -> dict[str, Any]:
        wanted = request.GET.get("from", "")
        connection = next((row for row in self.connections() if str(row.ref) == wanted), None)
        if connection is None:
            return {}
        try:
            rows = list(self._reconstructed(event, connection).values())
        except Trouble as trouble:
            return {"problem": trouble.says}
        lines = "\n".join(
            f"{row.server_name}, {row.server_id}, {row.added_at:%Y-%m-%d %H:%M:%S}" for row in rows
        )
        form = RecordForm(initial={"connection": wanted, "servers": lines}, connections=self.connections())
        return {"found": rows, "looked": True, "form": form}

    def _page(
        self, event: TrafficEvent, form: RecordForm, found: dict[str, Any], status: int = 200
    ) -> HttpResponse:
        records = (
            ScaleUpRecord.objects.filter(event=event)
            .select_related("connection", "recorded_by")
            .prefetch_related("entries")
            .order_by("pk")
        )
        return self.show(
            "scaledown/record_detail.html",
            event=event,
            records=list(records),
            **{"form": form, "connections": self.connections(), **found},
            status=status,
        )


class Protected(ScaledownPage):
    """Servers that no plan may contain."""

    permission = Permission.PLAN_VIEW
    write_permission = Permission.SERVER_PROTECT

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show them."""
        self.find(Account, account_ref)
        initial = {name: request.GET.get(name, "") for name in ("connection", "server_id", "server_name")}
        return self._page(ProtectForm(initial=initial, connections=self.connections()))

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Mark one."""
        account = self.find(Account, account_ref)
        form = ProtectForm(request.POST, connections=self.connections())
        if form.is_valid():
            data = form.cleaned_data
            try:
                services.protect_server(
                    account=account,
                    connection=form.connections[data["connection"]],
                    server_id=data["server_id"],
                    server_name=data["server_name"],
                    reason=data["reason"],
                    actor=self.user,
                )
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                messages.success(request, f"{data['server_name']} is protected: no plan may contain it.")
                return redirect("scaledown:protected", account_ref=account.ref)
        return self._page(form, status=422)

    def _page(self, form: ProtectForm, status: int = 200) -> HttpResponse:
        return self.show(
            "scaledown/protected.html", marks=drawing.protected_of(self.account), form=form, status=status
        )


class ProtectedLift(ScaledownPage):
    """Lift a server's protection, with a reason."""

    permission = Permission.SERVER_PROTECT

    def get(self, request: HttpRequest, mark_ref: UUID) -> HttpResponse:
        """Ask for the reason."""
        return self._ask(self.find(ProtectedServer, mark_ref))

    def post(self, request: HttpRequest, mark_ref: UUID) -> HttpResponse:
        """Lift it."""
        mark = self.find(ProtectedServer, mark_ref)
        name = mark.server_name
        services.unprotect_server(mark, actor=self.user, reason=request.POST.get("reason", "")[:1000])
        messages.success(request, f"{name} is no longer protected.")
        return redirect("scaledown:protected", account_ref=self.account.ref)

    def _ask(self, mark: ProtectedServer) -> HttpResponse:
        return self.show(
            "components/confirm_page.html",
            title=f"Lift the protection of {mark.server_name}?",
            text=f"A plan may then take {mark.server_name} out and delete it. It was protected because: {mark.reason}",
            action=self.request.path,
            button=f"Lift the protection of {mark.server_name}",
            back_url=reverse("scaledown:protected", args=[self.account.ref]),
            reason="required",
        )


# --- stop everything ------------------------------------------------------------------------------------------


class StandstillPage(ScaledownPage):
    """Stop everything: no change is sent any more but putting back, until a person lifts it."""

    permission = Permission.RUN_VIEW
    write_permission = Permission.STANDSTILL_PUT

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show what stands still, and what can be stopped."""
        self.find(Account.objects.select_related("team"), account_ref)
        return self._page()

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Stop it."""
        account = self.find(Account.objects.select_related("team"), account_ref)
        scope, _, connection_ref = request.POST.get("scope", "account").partition(":")
        reason = request.POST.get("reason", "")[:1000]
        connection = next((row for row in self.connections() if str(row.ref) == connection_ref), None)
        try:
            put = services.put_standstill(
                scope, account=account, actor=self.user, reason=reason, connection=connection
            )
        except NotPermitted:
            raise
        except Refused as refusal:
            return self._page(
                problem=refusal.says, typed=reason, scope=request.POST.get("scope", ""), status=422
            )
        said = "Everything is stopped. Nothing is sent any more but putting back."
        own = set(map(str, Run.objects.filter(account=account).values_list("ref", flat=True)))
        sent = [one["says"] for one in put.on_the_wire if one["run"] in own]
        if sent:
            said += f" On its way at that moment: {' '.join(sent)}"
        messages.success(request, said)
        return redirect("scaledown:standstill", account_ref=account.ref)

    def _page(
        self, *, problem: str = "", typed: str = "", scope: str = "account", status: int = 200
    ) -> HttpResponse:
        account = self.account
        scopes = services.standstill_scopes([account])
        standing = Standstill.objects.filter(scope__in=scopes, lifted_at__isnull=True).order_by("at", "pk")
        past = Standstill.objects.filter(scope__in=scopes, lifted_at__isnull=False).select_related(
            "lifted_by"
        )
        words = {
            f"account:{account.ref}": str(account),
            f"team:{account.team.ref}": f"all accounts of {account.team}",
            "all": "the whole portal",
        } | {f"connection:{row.ref}": f"cloud connection {row}" for row in self.connections()}
        rows = [
            {"row": row, "scope": words.get(row.scope, row.scope), "can_lift": row.scope != "all"}
            for row in standing
        ]
        choices = [
            ("account", f"All of {account}"),
            *((f"connection:{row.ref}", f"Cloud connection {row}") for row in self.connections()),
        ]
        if Permission.RUN_COMMAND in self.granted:
            choices.append(("team", f"All accounts of {account.team}"))
        return self.show(
            "scaledown/standstill.html",
            status=status,
            standing=rows,
            past=[
                {"row": row, "scope": words.get(row.scope, row.scope)}
                for row in past.order_by("-at", "-pk")[:10]
            ],
            choices=choices,
            scope=scope,
            problem=problem,
            typed=typed,
        )


class StandstillLift(ScaledownPage):
    """Let work go on, with a reason. Leads only."""

    permission = Permission.STANDSTILL_LIFT

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Lift it."""
        account = self.find(Account.objects.select_related("team"), account_ref)
        scopes = [scope for scope in services.standstill_scopes([account]) if scope != "all"]
        try:
            ref = UUID(request.POST.get("standstill", ""))
        except ValueError:
            raise Refused(
                "Name the standstill that shall be lifted. Nothing was changed.", code="unknown"
            ) from None
        row = Standstill.objects.filter(ref=ref, scope__in=scopes).first()
        if row is None:
            raise Refused("There is no such standstill on this account. Nothing was changed.", code="unknown")
        services.lift_standstill(
            row, account=account, actor=self.user, reason=request.POST.get("reason", "")[:1000]
        )
        messages.success(request, "The standstill is lifted. Runs look afresh and go on.")
        return redirect("scaledown:standstill", account_ref=account.ref)
