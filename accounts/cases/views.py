"""Pages of support cases: read input, call one service, answer."""

from __future__ import annotations

import math
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from accounts.cases import selectors, services
from accounts.cases.forms import CaseForm, ReplyForm, SpokenOrderForm
from accounts.cases.models import CaseAttachment, SupportCase
from accounts.cases.orders import OrderKind
from accounts.cases.states import LIVE, MOVES, CaseStatus, Severity
from accounts.models import Account, Authority
from accounts.views import AccountPage
from portal import support
from portal.access import Permission
from portal.errors import NotPermitted, Refused, TooOften
from portal.lists import ListAsked
from portal.paging import keyset


class _CasePage(AccountPage, abstract=True):
    """A page of support cases; customers read plainer words."""

    tab = "support"

    def show(self, template: str, *, status: int = 200, **context: Any) -> HttpResponse:
        """Return a page in the viewer's words."""
        return super().show(
            template, status=status, plain_words=Permission.TEAM_VIEW not in self.granted, **context
        )

    def find_case(self, case_ref: UUID) -> SupportCase:
        """Return the case with names open, or answer 404 or 403."""
        return self.find(SupportCase, case_ref)


class CaseList(_CasePage):
    """An account's cases."""

    permission = Permission.CASE_VIEW

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show them; what is live unless the address says otherwise."""
        account = self.find(Account, account_ref)
        params = {"status": "live", **request.GET.dict()}
        asked = ListAsked.of(params, filters=selectors.FILTERS, orders=selectors.ORDERS)
        status, severity = asked.filters["status"], asked.filters["severity"]
        page = keyset(
            selectors.cases_of(account, status=status, severity=severity),
            request,
            order=asked.order,
            filters={"account": account.pk, "status": status, "severity": severity},
        )
        return self.show(
            "accounts/cases/case_list.html",
            page=page,
            asked=asked,
            statuses=[("live", "not over"), *CaseStatus.choices],
            severities=Severity.choices,
            is_narrowed=bool(severity) or status != "live",
        )


class CaseOpen(_CasePage):
    """Contact support."""

    permission = Permission.CASE_OPEN

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show the form, filled in for what it is about (`?about=run:<ref>`)."""
        account = self.find(Account, account_ref)
        kind, ref, found = _about(account, request.GET.get("about", ""))
        initial = {
            "summary": found.summary if found else "",
            "severity": (found.severity if found else "") or Severity.SAFE_WAITING.value,
        }
        return self._form(CaseForm(initial=initial), kind, ref, found)

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Open it."""
        account = self.find(Account, account_ref)
        kind, ref, found = _about(account, request.POST.get("about", ""))
        form = CaseForm(request.POST)
        if form.is_valid():
            try:
                case = services.open_case(
                    account, actor=self.user, about_kind=kind, about_ref=ref, **form.cleaned_data
                )
            except NotPermitted:
                raise
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                messages.success(
                    request,
                    f"Case {case.short} is open. Who was told stands on it; answers come here and by mail.",
                )
                return redirect("accounts:case-detail", case_ref=case.ref)
        return self._form(form, kind, ref, found, status=422)

    def _form(
        self, form: CaseForm, kind: str, ref: str, found: support.About | None, *, status: int = 200
    ) -> HttpResponse:
        return self.show(
            "accounts/cases/case_form.html",
            form=form,
            about=found,
            about_value=f"{kind}:{ref}" if found else "",
            status=status,
        )


def _about(account: Account, text: str) -> tuple[str, str, support.About | None]:
    """Return what a call for help is about; nothing for what is not the account's: help is not refused for it."""
    kind, _, ref = text[:60].partition(":")
    found = support.about(kind, account, ref) if kind and ref else None
    return (kind, ref, found) if found else ("", "", None)


class CaseDetail(_CasePage):
    """One case as a thread."""

    permission = Permission.CASE_VIEW

    def get(self, request: HttpRequest, case_ref: UUID) -> HttpResponse:
        """Show what was said, who was told and what was frozen."""
        return self.show_case(self.find_case(case_ref))

    def show_case(
        self,
        case: SupportCase,
        *,
        form: ReplyForm | None = None,
        ticket: tuple[str, str] | None = None,
        status: int = 200,
    ) -> HttpResponse:
        """Return the case's page, perhaps with an answer, or a ticket's address (what was typed, why not), not taken."""
        entries = selectors.thread(case)
        found = support.about(case.about_kind, case.account, case.about_ref) if case.about_kind else None
        may_answer = services.may_answer(self.user, case, self.granted) and case.account.status == "active"
        may_end = services.may_end(self.user, case, self.granted)
        moves = [
            (one.value, "Take it up again" if one is CaseStatus.OPEN and not case.is_over else _BUTTONS[one])
            for one in CaseStatus
            if one in MOVES[CaseStatus(case.status)] and (may_end or one in LIVE)
        ]
        return self.show(
            "accounts/cases/case_detail.html",
            status=status,
            case=case,
            entries=[one for one in entries if one.kind != "told"],
            authorities=dict(Authority.choices),
            order_kinds=dict(OrderKind.choices),
            to_call=selectors.to_call(case) if Permission.CONTACT_VIEW in self.granted else [],
            told=services.told_rows(self.account, entries),
            attachments=case.attachments.defer("content").order_by("pk"),
            about=found,
            may_answer=may_answer,
            moves=moves if may_answer else [],
            severities=[one for one in Severity.choices if one[0] != case.severity],
            ticket_typed=ticket[0] if ticket else case.ticket_url,
            ticket_problem=ticket[1] if ticket else "",
            form=form or ReplyForm(status=case.status, may_end=may_end),
            statuses=dict(CaseStatus.choices),
        )


_BUTTONS = {
    CaseStatus.OPEN: "Open it again",
    CaseStatus.WAITING_CUSTOMER: "It waits for the customer",
    CaseStatus.WAITING_PROVIDER: "It waits for the provider",
    CaseStatus.SOLVED: "It is solved",
    CaseStatus.CLOSED: "Close it",
}


class CaseReply(CaseDetail):
    """Answer a case."""

    permission = Permission.CASE_OPEN
    http_method_names = ("post", "options")

    def post(self, request: HttpRequest, case_ref: UUID) -> HttpResponse:
        """Keep the answer, or show what is wrong with what was typed kept."""
        case = self.find_case(case_ref)
        form = ReplyForm(
            request.POST, status=case.status, may_end=services.may_end(self.user, case, self.granted)
        )
        if form.is_valid():
            try:
                services.reply(case, actor=self.user, **form.cleaned_data)
            except NotPermitted:
                raise
            except TooOften as often:
                form.add_error(None, often.says)
                shown = self.show_case(case, form=form, status=429)
                shown["Retry-After"] = str(math.ceil(often.after_s))
                return shown
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                messages.success(request, "Your answer is on the case, and the others are told.")
                return redirect("accounts:case-detail", case_ref=case.ref)
        return self.show_case(case, form=form, status=422)


class _CaseCommand(_CasePage, abstract=True):
    """One button of a case."""

    http_method_names = ("post", "options")

    def act(self, case: SupportCase, given: Any) -> str:
        """Do it and return what to say; raises Refused."""
        raise NotImplementedError

    def post(self, request: HttpRequest, case_ref: UUID) -> HttpResponse:
        """Do it and go back to the case, with what was refused as a message."""
        case = self.find_case(case_ref)
        try:
            messages.success(request, self.act(case, request.POST))
        except NotPermitted:
            raise
        except (Refused, TooOften) as refusal:
            messages.error(request, refusal.says)
        return redirect("accounts:case-detail", case_ref=case.ref)


class CaseStatusPage(_CaseCommand):
    """Move a case."""

    permission = Permission.CASE_OPEN

    def act(self, case: SupportCase, given: Any) -> str:
        """Move it, unless somebody else did meanwhile."""
        to = given.get("status", "")
        if to not in CaseStatus.values:
            raise Refused("There is no such status.", code="unknown_status")
        services.set_status(
            case, to, actor=self.user, seen=given.get("seen", ""), reason=given.get("reason", "")
        )
        return f"The case is {CaseStatus(to).label} now."


class CaseSeverityPage(_CaseCommand):
    """Say how bad it is."""

    permission = Permission.CASE_OPEN

    def act(self, case: SupportCase, given: Any) -> str:
        """Set it."""
        to = given.get("severity", "")
        if to not in Severity.values:
            raise Refused("There is no such severity.", code="unknown_severity")
        services.set_severity(case, to, actor=self.user)
        return f"It counts as “{Severity(to).label}” now."


class CaseTicket(CaseDetail):
    """Link the provider's ticket."""

    permission = Permission.CASE_OPEN
    http_method_names = ("post", "options")

    def post(self, request: HttpRequest, case_ref: UUID) -> HttpResponse:
        """Link it, or show at the field what is wrong, with what was typed kept."""
        case = self.find_case(case_ref)
        typed = request.POST.get("ticket_url", "")[:500]
        try:
            services.link_ticket(case, typed, actor=self.user)
        except NotPermitted:
            raise
        except Refused as refusal:
            return self.show_case(case, ticket=(typed, refusal.says), status=422)
        said = "The provider's ticket is linked." if typed.strip() else "The link is taken away."
        messages.success(request, said)
        return redirect("accounts:case-detail", case_ref=case.ref)


class CaseSpokenOrder(_CasePage):
    """Write down a spoken order."""

    permission = Permission.CASE_SETTLE

    def get(self, request: HttpRequest, case_ref: UUID) -> HttpResponse:
        """Show the form."""
        case = self.find_case(case_ref)
        return self._form(case, SpokenOrderForm(account=case.account))

    def post(self, request: HttpRequest, case_ref: UUID) -> HttpResponse:
        """Keep it, valid or not."""
        case = self.find_case(case_ref)
        form = SpokenOrderForm(request.POST, account=case.account)
        if form.is_valid():
            given = form.cleaned_data
            try:
                entry = services.record_spoken_order(
                    case,
                    actor=self.user,
                    contact=form.contacts[given["contact"]],
                    kind=given["kind"],
                    order=given["order"],
                    check=given["check"],
                    number=given["number"],
                    read_back=given["read_back"],
                )
            except NotPermitted:
                raise
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                tell = messages.success if entry.data["is_valid"] else messages.warning
                tell(request, f"The order is on the case. {entry.data['why']}")
                return redirect("accounts:case-detail", case_ref=case.ref)
        return self._form(case, form, status=422)

    def _form(self, case: SupportCase, form: SpokenOrderForm, *, status: int = 200) -> HttpResponse:
        return self.show("accounts/cases/spoken_order.html", case=case, form=form, status=status)


class CaseAttachmentPage(_CasePage):
    """What was frozen, to read."""

    permission = Permission.CASE_VIEW

    def get(self, request: HttpRequest, attachment_ref: UUID) -> HttpResponse:
        """Show it as a table."""
        attachment = self.find(CaseAttachment.objects.select_related("case"), attachment_ref)
        value = selectors.shown(attachment)
        return self.show(
            "accounts/cases/attachment.html",
            attachment=attachment,
            case=attachment.case,
            is_empty=value in (None, "", [], {}),
            table=selectors.as_table(value),
            rows=selectors.as_rows(value)[:2000],
            is_unchanged=services.is_unchanged(attachment),
            back_url=reverse("accounts:case-detail", args=[attachment.case.ref]),
        )
