"""The script of one drill: its scenario's steps, changed for this account, each with the contact who is responsible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect

from accounts.models import Contact
from drills.plans import selectors, services
from drills.plans.choice import ChosenStep, first_choice, read_script, script_faults, script_of
from drills.plans.models import Drill, DrillStatus
from drills.plans.views import DrillPage
from drills.scenarios.forms import StepForm, rearranged_rows, rows_in, step_initial
from drills.scenarios.types import Scenario
from portal.access import Permission
from portal.errors import NotPermitted, Refused, StaleState, form_status


class OwnStepForm(StepForm):
    """One step, with whose it is."""

    responsible = forms.ChoiceField(label="By name, of those who take part", required=False)

    def __init__(self, *args: Any, contacts: Sequence[Contact], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["responsible"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", "nobody by name"), *((str(one.ref), str(one)) for one in contacts)]


@dataclass
class ScriptForm:
    """All steps together; `faults` stand over the form, each beside its field, too."""

    steps: list[OwnStepForm]
    faults: list[str]

    @classmethod
    def of(cls, steps: Sequence[Mapping[str, Any]], contacts: Sequence[Contact]) -> ScriptForm:
        """Return the form that shows these steps."""
        return cls(
            [
                OwnStepForm(prefix=f"steps-{place}", initial=dict(row), contacts=contacts)
                for place, row in enumerate(steps)
            ],
            [],
        )

    @classmethod
    def sent(cls, data: QueryDict, contacts: Sequence[Contact]) -> ScriptForm:
        """Return the form with what was sent."""
        return cls([OwnStepForm(data, prefix=f"steps-{row}", contacts=contacts) for row in rows_in(data)], [])

    def script(self, scenario: Scenario) -> tuple[ChosenStep, ...] | None:
        """Return the steps typed, () where they read like the scenario's; None where a rule is broken."""
        for place, form in enumerate(self.steps, start=1):
            if not form.is_valid():
                self.faults.append(f"Step {place}: see what is said beside its fields.")
        if self.faults:
            return None
        if not self.steps:
            self.faults.append("A script has at least one step.")
            return None
        rows = [
            {**form.cleaned_data, "expected_s": form.cleaned_data["expected_s"] or 0} for form in self.steps
        ]
        try:
            script = read_script(rows, scenario)
        except Refused as refusal:
            self.faults.append(refusal.says)
            return None
        for fault in script_faults(script, scenario) if script else []:
            _, _, rest = fault.where.partition(".")
            at, _, name = rest.partition(".")
            if rest:
                self.steps[int(at) - 1].add_error(name, fault.says)
            self.faults.append(fault.says)
        return None if self.faults else script


def rows_of(script: Sequence[ChosenStep]) -> list[dict[str, Any]]:
    """Return steps as the form shows them."""
    return [{**step_initial(one), "responsible": one.responsible} for one in script]


class DrillScript(DrillPage):
    """Change the script of a draft."""

    permission = Permission.DRILL_DRAFT

    def get(self, request: HttpRequest, drill_ref: UUID) -> HttpResponse:
        """Show its steps."""
        drill = self._draft(drill_ref)
        script = script_of(services.choice_of(drill), services.scenario_of(drill))
        return self._page(drill, ScriptForm.of(rows_of(script), self._contacts(drill)))

    def post(self, request: HttpRequest, drill_ref: UUID) -> HttpResponse:
        """Keep them, or move one as its button says."""
        drill = self._draft(drill_ref)
        contacts, scenario = self._contacts(drill), services.scenario_of(drill)
        do = request.POST.get("do", "keep")
        if do == "restore":
            return self._keep(drill, (), ScriptForm.of(rows_of(script_of_scenario(scenario)), contacts))
        if do != "keep":
            rows = rearranged_rows(request.POST, do, OwnStepForm.base_fields)
            return self._page(drill, ScriptForm.of(rows, contacts))
        form = ScriptForm.sent(request.POST, contacts)
        script = form.script(scenario)
        return self._page(drill, form, status=422) if script is None else self._keep(drill, script, form)

    def _keep(self, drill: Drill, script: Sequence[ChosenStep], form: ScriptForm) -> HttpResponse:
        try:
            services.rewrite(drill, script, actor=self.user)
        except NotPermitted:
            raise
        except Refused as refusal:
            form.faults.append(refusal.says)
            return self._page(drill, form, status=form_status(refusal))
        said = (
            "This drill has a script of its own."
            if script
            else "This drill follows the script of its scenario."
        )
        messages.success(self.request, said)
        return redirect("drills:drill", drill_ref=drill.ref)

    def _draft(self, drill_ref: UUID) -> Drill:
        drill = self.find(selectors.drills_for(self.user), drill_ref)
        if drill.status != DrillStatus.DRAFT:
            raise StaleState(
                "It was submitted, so its script stays as it is. Make a copy to change it.",
                code="not_a_draft",
            )
        return drill

    def _contacts(self, drill: Drill) -> list[Contact]:
        """Return who can be responsible: those who take part, and who was chosen before."""
        chosen = {one.responsible for one in services.choice_of(drill).steps if one.responsible}
        return selectors.responsible_for(drill, chosen)

    def _page(self, drill: Drill, form: ScriptForm, status: int = 200) -> HttpResponse:
        choice = services.choice_of(drill)
        return self.show(
            "drills/script.html", status=status, drill=drill, form=form, is_own=bool(choice.steps)
        )


def script_of_scenario(scenario: Scenario) -> tuple[ChosenStep, ...]:
    """Return the script that a scenario proposes."""
    return script_of(first_choice(scenario), scenario)
