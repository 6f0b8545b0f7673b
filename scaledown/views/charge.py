"""Who is in charge of a run: take it, hand it over, be the backup, say until when, answer what one is asked."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from portal.access import Permission
from portal.errors import NotPermitted, Refused, form_status
from portal.runs import charge
from portal.runs.models import Handover, Run
from scaledown import someone
from scaledown.forms import HandoverForm, UntilForm
from scaledown.views.shared import RUNS, ScaledownPage

HANDOVERS = Handover.objects.select_related("run", "run__account", "to", "asked_by")
SHOWN = 10


class RunCharge(ScaledownPage):
    """Who is in charge, until when, who is the backup, who is asked; and everything that one may do about it."""

    permission = Permission.RUN_COMMAND

    def get(self, request: HttpRequest, run_ref: UUID) -> HttpResponse:
        """Opening it changes nothing."""
        return self._page(self.find(RUNS, run_ref))

    def post(self, request: HttpRequest, run_ref: UUID) -> HttpResponse:
        """Do what the pressed button says; without one: take charge."""
        run = self.find(RUNS, run_ref)
        match request.POST.get("act", "take"):
            case "ask":
                return self._ask(run)
            case "until":
                return self._until(run)
            case "stand_by":
                charge.stand_by(run, actor=self.user)
                said = "You are the backup of this run now."
            case "step_back":
                charge.step_back(run, actor=self.user)
                said = "The run has no backup now."
            case _:
                charge.take(run, actor=self.user)
                messages.success(request, "You are in charge of this run now.")
                return redirect("scaledown:run-detail", run_ref=run.ref)
        messages.success(request, said)
        return redirect("scaledown:run-charge", run_ref=run.ref)

    def _ask(self, run: Run) -> HttpResponse:
        colleagues = self._colleagues(run)
        form = HandoverForm(self.request.POST, zone=self.zone, colleagues=colleagues)
        if not form.is_valid():
            return self._page(run, asking=form, status=422)
        data = form.cleaned_data
        to = next(one for one in colleagues if str(one.ref) == data["to"])
        try:
            charge.ask(run, to=to, role=data["role"], actor=self.user, note=data["note"], until=data["until"])
        except NotPermitted:
            raise
        except Refused as refusal:
            return self._page(run, asking=form, problem=refusal.says, status=form_status(refusal))
        messages.success(self.request, f"{to} was asked. It counts once they accept.")
        return redirect("scaledown:run-charge", run_ref=run.ref)

    def _until(self, run: Run) -> HttpResponse:
        form = UntilForm(self.request.POST, zone=self.zone)
        if not form.is_valid():
            return self._page(run, until=form, status=422)
        try:
            charge.set_until(run, until=form.cleaned_data["until"], actor=self.user)
        except NotPermitted:
            raise
        except Refused as refusal:
            return self._page(run, until=form, problem=refusal.says, status=form_status(refusal))
        messages.success(self.request, "Until when you are in charge is set.")
        return redirect("scaledown:run-charge", run_ref=run.ref)

    def _colleagues(self, run: Run) -> list[Any]:
        return [one for one in charge.colleagues(run) if one.pk != self.user.pk]

    def _page(
        self,
        run: Run,
        *,
        asking: HandoverForm | None = None,
        until: UntilForm | None = None,
        problem: str = "",
        status: int = 200,
    ) -> HttpResponse:
        now = timezone.now()
        colleagues = self._colleagues(run)
        asked = list(HANDOVERS.filter(run=run).order_by("-pk")[:SHOWN])
        somebody = run.in_charge if run.has_somebody(now) else None
        mine = somebody is not None and somebody.pk == self.user.pk
        waits = charge.waits_for_somebody(run, now)
        return self.show(
            "runs/charge.html",
            status=status,
            run=run,
            somebody=somebody,
            mine=mine,
            i_back=run.backup_id == self.user.pk,
            asked=asked,
            asked_of_me=[one for one in asked if charge.is_asked(one, self.user)],
            may_ask=(mine or somebody is None) and bool(colleagues) and not run.is_over,
            has_colleagues=bool(colleagues),
            cannot_take=someone.holding(run, now) if waits else "",
            asking=asking or HandoverForm(zone=self.zone, colleagues=colleagues),
            until=until or UntilForm(zone=self.zone, initial={"until": run.charge_until}),
            problem=problem,
        )


class HandoverAnswer(ScaledownPage):
    """Accept, decline or withdraw what was asked."""

    permission = Permission.RUN_COMMAND

    def post(self, request: HttpRequest, handover_ref: UUID) -> HttpResponse:
        """Do what the pressed button says."""
        handover = self.find(HANDOVERS, handover_ref)
        reason = request.POST.get("reason", "")[:1000]
        match request.POST.get("act", ""):
            case "accept":
                charge.answer(handover, accepts=True, actor=self.user)
                said = "You have accepted. From now on it counts."
            case "decline":
                charge.answer(handover, accepts=False, actor=self.user, reason=reason)
                said = f"You have declined. {handover.asked_by} is told."
            case "withdraw":
                charge.withdraw(handover, actor=self.user)
                said = f"{handover.to} is asked no more."
            case _:
                raise Refused("Say whether you accept, decline or withdraw it.", code="bad_argument")
        messages.success(request, said)
        return redirect("scaledown:run-detail", run_ref=handover.run.ref)
