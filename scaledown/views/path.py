"""The guided path: a draft that the server keeps, step by step, until it is submitted."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from accounts.models import Account
from capacity.metrics.selectors import judged_of
from capacity.models import Probe
from portal.access import Permission
from portal.errors import Refused, StaleState, Trouble, form_status
from portal.frozen import replace
from scaledown import drawing, services
from scaledown.candidates import Choice
from scaledown.forms import (
    PoolForm,
    PurposeForm,
    ReasonForm,
    SafetyForm,
)
from scaledown.known import peak_at
from scaledown.models import Plan, PlanStatus
from scaledown.selectors import plan_page
from scaledown.types import Order
from scaledown.views.shared import (
    PLANS,
    STEPS,
    ScaledownPage,
    looked,
    preview_context,
)

_POOL = re.compile(r"[A-Za-z0-9_-]{1,64}")

# --- the guided path ----------------------------------------------------------------------------------------


def version_of(kept: Mapping[str, Any]) -> str:
    """Return a short word for what a step holds now; a form carries the one that it was filled from."""
    text = json.dumps(kept, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _purpose_of(plan: Plan) -> dict[str, Any]:
    return {
        "title": plan.title,
        "connection": str(plan.connection.ref),
        "event": str(plan.event.ref) if plan.event else "",
        "reason": services.choice_of(plan).reason,
    }


def _whole_of(plan: Plan) -> dict[str, Any]:
    return {**_purpose_of(plan), "inputs": plan.inputs}


class DraftStep(ScaledownPage, abstract=True):
    """One step of the guided path over a draft that the server keeps.

    Each form carries the version that it was filled from (`seen`). Where the same step was changed since, in
    another tab or by another person, nothing is saved: what was typed stays in the form, and what is kept now
    stands beside it.
    """

    step = "purpose"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Keep no copy in the browser: who goes back must see the draft as it is, not as it was."""
        response = super().dispatch(request, *args, **kwargs)
        response["Cache-Control"] = "no-store"
        return response

    def check_seen(self, plan: Plan, kept: Mapping[str, Any]) -> None:
        """Raise StaleState where this step is not as it was when the form was opened."""
        seen = self.request.POST.get("seen", "")
        if seen and seen != version_of(kept):
            raise StaleState(
                "This draft was changed since you opened this page, in another tab or by someone else. Nothing of"
                " yours was saved yet; it stands below as you typed it.",
                code="draft_changed",
            )

    def draft(self, plan_ref: UUID) -> Plan:
        """Return the plan; StaleState (409) once it was submitted."""
        plan = self.find(PLANS, plan_ref)
        if plan.status != PlanStatus.DRAFT:
            raise StaleState(
                "This plan was submitted, and what people approve cannot change. Copy it to change it.",
                code="plan_frozen",
            )
        return plan

    def refused(self, form: forms.Form, refusal: Refused, kept: Mapping[str, Any]) -> int:
        """Put a refusal on the form, with what is kept now where the draft had changed; return the status."""
        form.add_error(None, refusal.says)
        if refusal.code == "draft_changed":
            _say_what_is_kept(form, kept)
        return form_status(refusal)

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


def _say_what_is_kept(form: forms.Form, kept: Mapping[str, Any]) -> None:
    """Name, field by field, what would be overwritten by sending the form once more."""
    form.initial = dict(kept)
    for name in form.changed_data:
        shown = form.fields[name].prepare_value(kept.get(name))
        choices = dict(getattr(form.fields[name], "choices", ()))
        values = [str(choices.get(one, one)) for one in (shown if isinstance(shown, list) else [shown])]
        words = ", ".join(one for one in values if one not in ("", "None")) or "nothing"
        form.add_error(name, f"Kept now: {words}. Send again to keep what you typed instead.")


def _purpose_form(
    view: ScaledownPage, data: Any = None, initial: Mapping[str, Any] | None = None
) -> PurposeForm:
    # What has not begun left no servers behind; what a draft names already is still shown.
    now, kept = timezone.now(), (initial or {}).get("event")
    events = [one for one in drawing.events_of(view.account) if one.event.starts_at <= now or one.ref == kept]
    form = PurposeForm(
        data, initial=initial, connections=view.connections(), events=[one.event for one in events]
    )
    form.evidence = events  # type: ignore[attr-defined]
    return form


@dataclass(frozen=True)
class Filled:
    """What a link to the guided path fills in: a pool, how many servers are to be left, and why. Nothing that does not fit."""

    connection: str = ""
    pool: str = ""
    target: int | None = None
    because: str = ""
    connection_of_pool: str = ""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Filled:
        """Read an address, or the hidden fields that came from one."""
        connection, pool, target = (str(given.get(name, "")) for name in ("connection", "pool", "target"))
        is_sound = bool(_POOL.fullmatch(pool)) and target.isascii() and target.isdigit() and len(target) < 5
        if not is_sound or int(target) < 1:
            return cls()
        because = " ".join(str(given.get("because", "")).split())[:500]
        return cls(connection, pool, int(target), because, str(given.get("connection_of_pool", connection)))

    def initial(self) -> dict[str, Any]:
        """Return what the form begins with."""
        if self.target is None:
            return {}
        servers = "1 server" if self.target == 1 else f"{self.target} servers"
        return {"connection": self.connection, "title": f"Down to {servers}", "reason": self.because}

    def size(self) -> dict[str, Any]:
        """Return the size, as a choice takes it."""
        return {} if self.target is None else {"target": self.target, "target_reason": self.because}


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
        filled = Filled.of(request.GET)
        form.initial = {**form.initial, **filled.initial()}
        return self.step_page("scaledown/plan_purpose.html", None, form=form, filled=filled)

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Make the draft with the pool that held the event's servers."""
        account = self.find(Account, account_ref)
        form = _purpose_form(self, request.POST)
        filled = Filled.of(request.POST)
        status = 422
        if form.is_valid():
            try:
                # The pool was chosen for one connection: with another one it is no answer.
                balancer_id = (
                    filled.pool
                    if filled.pool and str(form.chosen_connection.ref) == filled.connection_of_pool
                    else drawing.propose_balancer(form.chosen_connection, form.chosen_event)
                )
                plan = services.draft_plan(
                    account=account,
                    connection=form.chosen_connection,
                    actor=self.user,
                    title=form.cleaned_data["title"],
                    choice=Choice(
                        balancer_ids=(balancer_id,),
                        order=Order.REVERSE_OF_SCALE_UP if form.chosen_event else Order.NEWEST_FIRST,
                        reason=form.cleaned_data["reason"],
                        **(filled.size() if balancer_id == filled.pool else {}),
                    ),
                    event=form.chosen_event,
                )
            except Trouble as trouble:
                form.add_error(None, trouble.says)
                status = form_status(trouble)
            else:
                return self.after(request, plan, "scaledown:plan-pool")
        return self.step_page("scaledown/plan_purpose.html", None, form=form, filled=filled, status=status)


class PlanPurpose(DraftStep):
    """What for, of a draft that is kept."""

    permission = Permission.PLAN_DRAFT

    def get(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Show what was chosen."""
        plan = self.draft(plan_ref)
        form = _purpose_form(self, initial=_purpose_of(plan))
        form.fields["connection"].disabled = True
        return self.step_page(
            "scaledown/plan_purpose.html", plan, form=form, seen=version_of(_purpose_of(plan))
        )

    def post(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Keep what was changed. Another connection is another plan."""
        plan = self.draft(plan_ref)
        kept = _purpose_of(plan)
        form = _purpose_form(self, request.POST, initial=kept)
        form.fields["connection"].disabled = True
        status = 422
        if form.is_valid():
            choice = replace(services.choice_of(plan), reason=form.cleaned_data["reason"])
            changes: dict[str, Any] = {}
            if form.chosen_event != plan.event:
                changes["event"] = form.chosen_event
            try:
                self.check_seen(plan, kept)
                services.edit_draft(
                    plan,
                    actor=self.user,
                    title=form.cleaned_data["title"],
                    choice=choice,
                    seen=plan.updated_at,
                    **changes,
                )
            except Refused as refusal:
                status = self.refused(form, refusal, kept)
            else:
                return self.after(request, plan, "scaledown:plan-pool")
        return self.step_page(
            "scaledown/plan_purpose.html", plan, form=form, seen=version_of(kept), status=status
        )


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
            kept = PoolForm.initial_of(choice)
            try:
                self.check_seen(plan, kept)
                services.edit_draft(plan, actor=self.user, choice=form.onto(choice), seen=plan.updated_at)
            except Refused as refusal:
                status = self.refused(form, refusal, kept)
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
            seen=version_of(PoolForm.initial_of(choice)),
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
        return self._page(plan, SafetyForm(initial=initial, zone=self.zone, vital=self._vital(plan)))

    def _vital(self, plan: Plan) -> list[tuple[str, str]]:
        return [(str(one.ref), str(one)) for one in judged_of(plan.account)]

    def post(self, request: HttpRequest, plan_ref: UUID) -> HttpResponse:
        """Keep the choice."""
        plan = self.draft(plan_ref)
        choice = services.choice_of(plan)
        form = SafetyForm(
            request.POST, initial=SafetyForm.initial_of(choice), zone=self.zone, vital=self._vital(plan)
        )
        status = 422
        if form.is_valid():
            kept = SafetyForm.initial_of(choice)
            try:
                self.check_seen(plan, kept)
                services.edit_draft(plan, actor=self.user, choice=form.onto(choice), seen=plan.updated_at)
            except Refused as refusal:
                status = self.refused(form, refusal, kept)
            else:
                return self.after(request, plan, "scaledown:plan-preview")
        return self._page(plan, form, status)

    def _page(self, plan: Plan, form: SafetyForm, status: int = 200) -> HttpResponse:
        probes = Probe.objects.filter(
            connection=plan.connection, balancer_id__in=services.choice_of(plan).balancer_ids
        ).order_by("name", "pk")
        balancer_ids = services.choice_of(plan).balancer_ids
        return self.step_page(
            "scaledown/plan_safety.html",
            plan,
            peak_at=peak_at(plan.connection, balancer_ids, timezone.now()),
            form=form,
            probes=list(probes),
            choice=services.choice_of(plan),
            zone_name=str(self.zone),
            seen=version_of(SafetyForm.initial_of(services.choice_of(plan))),
            status=status,
        )


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
            services.preview_plan(plan, actor=self.user, pool=looked(plan))
        except Trouble as trouble:
            return trouble.says, form_status(trouble)
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
            **preview_context(page, plan),
        )


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
                self.check_seen(plan, _whole_of(plan))
                services.submit_plan(
                    plan, actor=self.user, pool=looked(plan), reason=form.cleaned_data["reason"]
                )
            except Trouble as trouble:
                form.add_error(None, trouble.says)
                status = form_status(trouble)
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
            seen=version_of(_whole_of(plan)),
            status=status,
            **preview_context(page, plan),
        )
