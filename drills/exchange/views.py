"""Pages on which an experiment is looked at and taken over, and files on which a drill goes out."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts.models import Account
from capacity.benchmarks.selectors import connection_of, pools_of
from drills.exchange import services, taking
from drills.exchange.forms import ExperimentForm, TakeOverForm
from drills.interchange.drafts import Draft
from drills.plans import selectors
from drills.plans.models import HeldDrill
from drills.plans.views import DrillPage
from drills.scenarios import words
from portal.access import Permission
from portal.csvfile import attachment
from portal.errors import NotPermitted, Refused, form_status


class DrillImport(DrillPage):
    """Look at an experiment of the Chaos Toolkit before anything is made of it."""

    permission = Permission.DRILL_DRAFT

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Ask for the file."""
        self.find(Account, account_ref)
        return self._ask(ExperimentForm())

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show what becomes of it, or say what is wrong with it. Nothing of it is kept."""
        account = self.find(Account, account_ref)
        form = ExperimentForm(request.POST, request.FILES)
        if form.is_valid():
            try:
                looked = services.look(account, form.content())
            except Refused as refusal:
                form.refused(refusal.says)
            else:
                return self._shown(account, looked)
        return self._ask(form, status=422)

    def _ask(self, form: ExperimentForm, status: int = 200) -> HttpResponse:
        return self.show("drills/exchange/import.html", form=form, status=status)

    def _shown(self, account: Account, looked: services.Looked) -> HttpResponse:
        draft = looked.imported.draft
        form = TakeOverForm(
            pools=pools_of(account),
            has_probes=bool(draft.probes),
            needs_claim=looked.needs_claim,
            initial={
                "draft": services.carried(draft),
                "title": taking.title_of(draft),
                "probes": True,
                "recovered": round(taking.USUAL_RECOVERY_S / 60),
            },
        )
        response = self.show(
            "drills/exchange/look.html",
            form=form,
            imported=looked.imported,
            became=looked.became,
            left=looked.left,
            scenario=looked.scenario,
            **said_of(draft),
        )
        response["Cache-Control"] = "private, no-store"
        return response


def said_of(draft: Draft) -> dict[str, Any]:
    """Return what a page says of a draft."""
    return {
        "draft": draft,
        "steps": [(one, words.STEP_KINDS[one.kind]) for one in taking.steps_of(draft)],
        "undo": taking.undo_of(draft),
        "injection": words.INJECTIONS[draft.injection],
        "claims_anything": taking.claims_anything(draft) or draft.hypothesis.p95_ms is not None,
    }


class DrillTakeOver(DrillPage):
    """Make a draft of what was looked at."""

    permission = Permission.DRILL_DRAFT

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Draw it up and go on to what a file cannot say: servers, people, times, the emergency plan."""
        account = self.find(Account, account_ref)
        try:
            draft = services.carried_back(request.POST.get("draft", ""))
            shown = services.fitting(account, draft)
            needs_claim = shown is None and not taking.claims_anything(draft)
            form = TakeOverForm(
                request.POST, pools=pools_of(account), has_probes=bool(draft.probes), needs_claim=needs_claim
            )
            if not form.is_valid():
                return self._again(form, draft, shown)
        except Refused as refusal:
            # Its own part of the form was changed on the way: there is nothing to show.
            ask = ExperimentForm({})
            ask.add_error(None, refusal.says)
            return self.show("drills/exchange/import.html", form=ask, status=422)
        said = form.cleaned_data
        connection, balancer_id = connection_of(account, said["pool"])
        try:
            taken = services.take_over(
                account,
                draft,
                services.Taking(
                    title=said["title"],
                    connection=connection,
                    balancer_id=balancer_id,
                    recovered_s=form.recovered_s,
                    probes=bool(said.get("probes")),
                ),
                actor=self.user,
            )
        except NotPermitted:
            raise
        except Refused as refusal:
            form.add_error(None, refusal.says)
            return self._again(form, draft, shown, status=form_status(refusal))
        said_new = " It is a new scenario of your team." if taken.is_new_scenario else ""
        messages.success(
            request,
            f"It is a draft now.{said_new} Choose what a file cannot say: servers, people, times and the emergency plan.",
        )
        return redirect("drills:drill-edit", drill_ref=taken.drill.ref)

    def _again(self, form: TakeOverForm, draft: Draft, shown: Any, *, status: int = 422) -> HttpResponse:
        return self.show(
            "drills/exchange/look.html",
            form=form,
            scenario=shown,
            status=status,
            **said_of(draft),
        )


class DrillFile(DrillPage, abstract=True):
    """A drill as a file of the Chaos Toolkit."""

    def file(self, drill_title: str, what: str, content: dict[str, Any]) -> HttpResponse:
        """Return a download of JSON."""
        text = json.dumps(content, ensure_ascii=False, indent=2)
        response = HttpResponse(text.encode(), content_type="application/json")
        response["Content-Disposition"] = attachment(f"{drill_title} {what}.json")
        response["Cache-Control"] = "private, no-store"
        return response


class DrillExperimentFile(DrillFile):
    """What was submitted, as an experiment."""

    permission = Permission.DRILL_VIEW

    def get(self, request: HttpRequest, drill_ref: UUID) -> HttpResponse:
        """Give the file; 404 for a draft."""
        drill = self.find(selectors.drills_for(self.user), drill_ref)
        return self.file(drill.title, "experiment", services.experiment_of(drill))


class DrillJournalFile(DrillFile):
    """What became of it, as a journal."""

    permission = Permission.DRILL_VIEW

    def get(self, request: HttpRequest, drill_ref: UUID) -> HttpResponse:
        """Give the file; 404 before it is over."""
        drill = self.find(selectors.drills_for(self.user), drill_ref)
        held: HeldDrill | None = getattr(drill, "held", None)
        if held is None:
            raise Http404("This drill has not begun.")
        return self.file(drill.title, "journal", services.journal_of(held))
