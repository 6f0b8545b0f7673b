"""Pages of what follows a drill: its report, findings, and what somebody is to do about them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from accounts.models import Account
from accounts.reviews.forms import ActionForm
from accounts.reviews.views import add_refusal
from drills.after import selectors, services
from drills.after.comparing import over_time
from drills.after.forms import FindingForm
from drills.after.models import DrillFinding
from drills.after.report import whole_report
from drills.plans.models import Drill, HeldDrill
from drills.plans.selectors import drills_for, report_of
from drills.plans.views import DrillPage
from drills.scenarios.selectors import scenario as scenario_by_key
from portal.access import Permission
from portal.errors import NotPermitted, Refused, StaleState, form_status


def held_of(drill: Drill) -> HeldDrill:
    """Return the run of a drill. Raises Http404 before it has begun."""
    held: HeldDrill | None = getattr(drill, "held", None)
    if held is None:
        raise Http404
    held.drill = drill
    return held


def _page_of(held: HeldDrill, finding: DrillFinding | None = None) -> str:
    """Return where a finding is read: on the report, or on the live page while the drill runs."""
    name = "drills:drill-report" if held.result else "drills:drill-live"
    there = reverse(name, args=[held.drill.ref])
    return there if finding is None or not held.result else f"{there}#finding-{finding.ref}"


class DrillReport(DrillPage):
    """What became of a drill: result, findings, figures, people and systems on one axis, the journal."""

    permission = Permission.DRILL_VIEW

    def get(self, request: HttpRequest, drill_ref: UUID) -> HttpResponse:
        """Show it once it is over."""
        held = held_of(self.find(drills_for(self.user), drill_ref))
        if not held.result:
            return redirect("drills:drill-live", drill_ref=held.drill.ref)
        whole = whole_report(held, self.user)
        return self.show(
            "drills/report.html",
            drill=held.drill,
            held=held,
            report=whole.report,
            whole=whole,
            today=timezone.now().date(),
        )


class DrillReportPdf(DrillPage):
    """The report as a file to print and to hand on."""

    permission = Permission.DRILL_VIEW

    def get(self, request: HttpRequest, drill_ref: UUID) -> HttpResponse:
        """Times by the wall of the account; names only for who may read them."""
        from drills.after.pdf import report_pdf

        held = held_of(self.find(drills_for(self.user), drill_ref))
        if not held.result:
            return redirect("drills:drill-live", drill_ref=held.drill.ref)
        content = report_pdf(whole_report(held, self.user), ZoneInfo(held.drill.account.time_zone))
        answer = HttpResponse(content, content_type="application/pdf")
        when = held.ended_at or held.drill.updated_at
        answer["Content-Disposition"] = f'attachment; filename="drill-{when:%Y-%m-%d}-{held.drill.ref}.pdf"'
        answer["Cache-Control"] = "private, no-store"
        return answer


class FindingPage(DrillPage, abstract=True):
    """What the pages of findings share."""

    def form_of(self, held: HeldDrill, data: Any = None, **initial: Any) -> FindingForm:
        """Return the form with what the drill has to rest a finding on."""
        found = report_of(held, self.user)
        return FindingForm(
            data,
            initial=initial,
            measured=found.measured,
            axis=found.axis,
            journal=found.journal,
            zone=ZoneInfo(self.user.time_zone or "UTC"),
        )

    def asked(
        self, held: HeldDrill, form: Any, *, title: str, lede: str, button: str, status: int = 200
    ) -> HttpResponse:
        """Return the page of a form."""
        return self.show(
            "drills/after/form.html",
            form=form,
            title=title,
            lede=lede,
            button=button,
            drill=held.drill,
            back_url=_page_of(held),
            status=status,
        )

    def found(self, ref: UUID) -> DrillFinding:
        """Return a finding of a drill that the user may know of, readable for who changes it."""
        row = self.find(selectors.findings_for(self.user), ref)
        return selectors.dressed([row], with_names=True)[0]


class FindingNew(FindingPage):
    """Write down what the drill teaches, while it runs or afterwards."""

    permission = Permission.DRILL_NOTE

    def get(self, request: HttpRequest, drill_ref: UUID) -> HttpResponse:
        """Show the form."""
        held = held_of(self.find(drills_for(self.user), drill_ref))
        return self._ask(held, self.form_of(held, severity="minor"))

    def post(self, request: HttpRequest, drill_ref: UUID) -> HttpResponse:
        """Keep it."""
        held = held_of(self.find(drills_for(self.user), drill_ref))
        form = self.form_of(held, request.POST)
        if form.is_valid():
            try:
                made = services.add(held, actor=self.user, **form.wanted())
            except NotPermitted:
                raise
            except Refused as refusal:
                add_refusal(form, refusal)
            else:
                messages.success(request, "The finding is kept.")
                return redirect(_page_of(held, made))
        return self._ask(held, form, status=422)

    def _ask(self, held: HeldDrill, form: FindingForm, *, status: int = 200) -> HttpResponse:
        return self.asked(
            held,
            form,
            title="Write down a finding",
            lede="What went wrong, and what worked. It stands on the report.",
            button="Keep it",
            status=status,
        )


class FindingTakeOver(FindingPage):
    """Take over what the figures propose."""

    permission = Permission.DRILL_NOTE

    def post(self, request: HttpRequest, drill_ref: UUID, proposal_key: str) -> HttpResponse:
        """As it stands, once."""
        held = held_of(self.find(drills_for(self.user), drill_ref))
        try:
            made = services.take_over(held, proposal_key, actor=self.user)
        except NotPermitted:
            raise
        except Refused as refusal:
            messages.error(request, refusal.says)
            return redirect(_page_of(held))
        return redirect(_page_of(held, made))


class FindingChange(FindingPage):
    """Change a finding."""

    permission = Permission.DRILL_NOTE

    def get(self, request: HttpRequest, finding_ref: UUID) -> HttpResponse:
        """Show the form."""
        finding = self.found(finding_ref)
        services.check_may_change(finding, self.user)
        return self._ask(finding, self._form(finding))

    def post(self, request: HttpRequest, finding_ref: UUID) -> HttpResponse:
        """Keep what was changed."""
        finding = self.found(finding_ref)
        services.check_may_change(finding, self.user)
        form = self._form(finding, request.POST)
        if form.is_valid():
            try:
                services.change(finding, actor=self.user, **form.wanted())
            except (NotPermitted, StaleState):
                raise
            except Refused as refusal:
                add_refusal(form, refusal)
            else:
                return redirect(_page_of(finding.held, finding))
        return self._ask(finding, form, status=422)

    def _form(self, finding: DrillFinding, data: Any = None) -> FindingForm:
        return self.form_of(
            finding.held,
            data,
            severity=finding.severity,
            text=finding.text,
            evidence_key=finding.evidence_key,
            evidence_says="" if finding.evidence_key else finding.evidence_says,
        )

    def _ask(self, finding: DrillFinding, form: FindingForm, *, status: int = 200) -> HttpResponse:
        return self.asked(
            finding.held,
            form,
            title="Change a finding",
            lede="What stood there before stays on the record.",
            button="Keep the changes",
            status=status,
        )


class FindingWithdraw(FindingPage):
    """Take a finding back."""

    permission = Permission.DRILL_NOTE

    def get(self, request: HttpRequest, finding_ref: UUID) -> HttpResponse:
        """Ask for the reason."""
        finding = self.found(finding_ref)
        services.check_may_change(finding, self.user)
        return self._ask(finding)

    def post(self, request: HttpRequest, finding_ref: UUID) -> HttpResponse:
        """Withdraw it."""
        finding = self.found(finding_ref)
        reason = request.POST.get("reason", "")[:2000]
        try:
            services.withdraw(finding, reason=reason, actor=self.user)
        except (NotPermitted, StaleState):
            raise
        except Refused as refusal:
            return self._ask(finding, problem=refusal.says, typed=reason, status=form_status(refusal))
        messages.success(request, "The finding is withdrawn. Its action items stay as they are.")
        return redirect(_page_of(finding.held, finding))

    def _ask(
        self, finding: DrillFinding, *, problem: str = "", typed: str = "", status: int = 200
    ) -> HttpResponse:
        return self.show(
            "components/confirm_page.html",
            title="Withdraw this finding?",
            text=f"“{finding.text[:200]}” stays to be read with your reason. Its action items stay as they are.",
            action=self.request.path,
            button="Withdraw it",
            reason="required",
            reason_typed=typed,
            problem=problem,
            back_label=finding.held.drill.title,
            back_url=_page_of(finding.held, finding),
            status=status,
        )


class FindingAct(FindingPage):
    """Give somebody something to do about a finding."""

    permission = Permission.ACTION_EDIT

    def get(self, request: HttpRequest, finding_ref: UUID) -> HttpResponse:
        """Show the form."""
        finding = self.found(finding_ref)
        initial = {"due_on": timezone.now().date() + timedelta(days=14)}
        return self._ask(finding, self._form(initial=initial))

    def post(self, request: HttpRequest, finding_ref: UUID) -> HttpResponse:
        """Add it."""
        finding = self.found(finding_ref)
        form = self._form(request.POST)
        if form.is_valid():
            try:
                services.give_action(finding, form.wanted(), actor=self.user)
            except (NotPermitted, StaleState):
                raise
            except Refused as refusal:
                add_refusal(form, refusal)
            else:
                messages.success(request, "Added. Its owner is reminded until it is closed.")
                return redirect(_page_of(finding.held, finding))
        return self._ask(finding, form, status=422)

    def _form(self, data: Any = None, **options: Any) -> ActionForm:
        return ActionForm(data, account=self.account, today=timezone.now().date(), **options)

    def _ask(self, finding: DrillFinding, form: ActionForm, *, status: int = 200) -> HttpResponse:
        return self.asked(
            finding.held,
            form,
            title="What is to be done about it",
            lede=finding.text[:300],
            button="Add the action item",
            status=status,
        )


class DrillsOverTime(DrillPage):
    """The drills of one scenario side by side."""

    permission = Permission.DRILL_VIEW

    def get(self, request: HttpRequest, account_ref: UUID, drill_scenario: str) -> HttpResponse:
        """Show the newest."""
        account = self.find(Account, account_ref)
        held = selectors.held_of_scenario(account, drill_scenario, self.user)
        scenario = scenario_by_key(account.team, drill_scenario)
        if scenario is None and not held:
            raise Http404
        return self.show(
            "drills/after/over_time.html",
            found=over_time(held),
            title=scenario.scenario.title if scenario else drill_scenario,
            most=selectors.MOST_COMPARED,
            is_cut=len(held) == selectors.MOST_COMPARED,
        )
