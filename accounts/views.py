"""Pages of accounts, contacts and cloud connections: read input, call one service, answer."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters

from accounts import selectors, services
from accounts.clouds import discover_pools, test_connection
from accounts.contacts.selectors import coverage_of, team_duty
from accounts.forms import ConnectionForm
from accounts.models import Account, AccountStatus, CloudConnection, Team
from accounts.reviews import selectors as standings
from portal.access import Permission, PortalView, can_on_page
from portal.account_sections import actions_for, sections_for, tabs_for
from portal.audit.download import download
from portal.audit.filters import NAMES as FILTER_NAMES
from portal.audit.filters import filter_of
from portal.audit.selectors import entries_of_account, for_reader
from portal.csvfile import csv_response
from portal.errors import Refused, Trouble
from portal.lists import ListAsked
from portal.paging import keyset

SHOWN_ON_OVERVIEW = 10


class AccountPage(PortalView, abstract=True):
    """A page of one account: knows its tabs."""

    tab = "overview"

    def show(self, template: str, *, status: int = 200, **context: Any) -> HttpResponse:
        """Return a page of the account at hand."""
        return self.render(
            template,
            status=status,
            tabs=tabs_for(self.account, self.granted),
            tab=self.tab,
            nav_key="accounts",
            **context,
        )


class AccountList(PortalView):
    """Every account that the user sees."""

    permission = Permission.ACCOUNT_VIEW

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show them with what is amiss; filters and order stand in the address."""
        rows, asked, teams = accounts_asked(self)
        page = keyset(rows, request, order=asked.order)
        # As last looked at, like the dashboard: a list asks nothing of every account anew.
        standings.with_standings(page.rows)
        return self.render(
            "accounts/account_list.html",
            page=page,
            asked=asked,
            teams=teams if len(teams) > 1 else [],
            statuses=(*selectors.ACCOUNT_FILTERS["status"], "all"),
            milestones=selectors.ACCOUNT_FILTERS["milestone"],
            is_narrowed=bool(asked.text or asked.filters["milestone"] or asked.filters["team"])
            or asked.filters["status"] != AccountStatus.ACTIVE,
            query_string=query_string(request),
            nav_key="accounts",
        )


def accounts_asked(view: PortalView) -> tuple[QuerySet[Account], ListAsked, list[Team]]:
    """Return the accounts that the address asks for, what it asks, and the teams to choose from.

    Active ones, unless the address says otherwise; `status=all` shows the archived ones too.
    """
    view.visible(Account)
    params = view.request.GET.dict()
    teams = list(Team.objects.filter(memberships__user=view.user).order_by("name"))
    if params.get("status") != "all":
        params["status"] = params.get("status") or AccountStatus.ACTIVE.value
    asked = ListAsked.of(
        params,
        filters={**selectors.ACCOUNT_FILTERS, "team": [str(team.ref) for team in teams]},
        orders=selectors.ACCOUNT_ORDERS,
    )
    return selectors.narrowed(selectors.accounts_seen(view.user), asked, viewer=view.user), asked, teams


def query_string(request: HttpRequest) -> str:
    """Return the filters and order of a list as they stand in its address, without the place in it."""
    kept = request.GET.copy()
    for name in ("cursor", "limit"):
        kept.pop(name, None)
    return kept.urlencode()


class AccountListCsv(PortalView):
    """The list of accounts as a file."""

    permission = Permission.ACCOUNT_VIEW

    def get(self, request: HttpRequest) -> HttpResponseBase:
        """Give what the list shows with the same filters, all of its pages."""
        rows, asked, _ = accounts_asked(self)
        header = (
            "reference",
            "name",
            "number",
            "team",
            "service level",
            "milestone",
            "status",
            "time zone",
            "since",
        )

        def cells(account: Account) -> tuple[Any, ...]:
            return (
                account.ref,
                account.name,
                account.number,
                account.team.name,
                account.service_level,
                account.milestone,
                account.status,
                account.time_zone,
                account.created_at,
            )

        return csv_response("accounts", header, cells, rows, order=asked.order, may_read_on=self.reads_on())


class AccountDetail(AccountPage):
    """One account: contacts, cloud connections, and what other apps add (pools, plans, runs)."""

    permission = Permission.ACCOUNT_VIEW

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show the overview."""
        account = self.find(Account.objects.select_related("team"), account_ref)
        sections = [
            {
                "key": section.key,
                "title": section.title,
                "html": render_to_string(
                    section.template,
                    {"can": can_on_page(self.granted, account), "account": account, **context},
                    request,
                ),
            }
            for section, context in sections_for(self.user, account, self.granted)
        ]
        now = timezone.now()
        return self.show(
            "accounts/account_detail.html",
            gaps=coverage_of(account, now),
            team_duty=team_duty(account, now),
            contacts=selectors.first_contacts(account, today=now.date(), limit=SHOWN_ON_OVERVIEW),
            connections=selectors.connections_of(account)[:SHOWN_ON_OVERVIEW],
            sections=sections,
            actions=actions_for(account, self.granted),
        )


class Activity(AccountPage):
    """What was changed, when and by whom."""

    permission = Permission.AUDIT_VIEW
    tab = "activity"

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show the newest first."""
        account = self.find(Account, account_ref)
        wanted = filter_of(request.GET)
        page = keyset(
            wanted.rows(entries_of_account(self.user, account, self.granted)),
            request,
            order="-id",
            filters={"a": account.pk, **wanted.named()},
            late=bool(wanted.named()),
        )
        for entry in page.rows:
            for_reader(entry, self.granted)
        return self.show(
            "accounts/activity.html",
            page=page,
            asked={name: request.GET.get(name, "") for name in FILTER_NAMES},
            is_narrowed=bool(wanted.named()),
            # Where somebody was when changing something is for those who manage the members.
            with_addresses=Permission.MEMBER_EDIT in self.granted,
        )


class ActivityDownload(AccountPage):
    """The same as CSV, with a reason that stays on record."""

    permission = Permission.EXPORT
    tab = "activity"

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponseBase:
        """Stream the file; without a reason the sentence says that it is missing."""
        account = self.find(Account, account_ref)
        return download(
            account,
            filter_of(request.POST),
            actor=self.user,
            granted=self.granted,
            reason=request.POST.get("reason", "")[:500],
            may_read_on=self.reads_on(),
        )


# --- cloud connections -------------------------------------------------------------------------------------


@method_decorator(sensitive_post_parameters("api_key"), name="dispatch")
class ConnectionAdd(AccountPage):
    """Add the credentials with which the portal reaches a provider account."""

    permission = Permission.CONNECTION_EDIT
    tab = "connections"

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show the empty form."""
        self.find(Account, account_ref)
        return self.show("accounts/connection_form.html", form=ConnectionForm())

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Add, then offer the read-only test."""
        account = self.find(Account, account_ref)
        form = ConnectionForm(request.POST, instance=CloudConnection(account=account))
        if form.is_valid():
            try:
                connection = services.add_connection(account, form.cleaned_data, actor=self.user)
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                messages.success(request, f"{connection.name} was added. Test what it may do.")
                return redirect("accounts:connection-detail", connection_ref=connection.ref)
        return self.show("accounts/connection_form.html", form=form, status=422)


class ConnectionDetail(AccountPage):
    """One cloud connection: where it points, and what the last test found."""

    permission = Permission.CONNECTION_VIEW
    tab = "connections"

    def get(self, request: HttpRequest, connection_ref: UUID) -> HttpResponse:
        """Show it, never its key."""
        connection = self.find(CloudConnection.objects.defer("api_key"), connection_ref)
        result = connection.check_result or {}
        lines = [
            {**line, "label": line["name"].replace("_", " ").capitalize()} for line in result.get("lines", [])
        ]
        return self.show("accounts/connection_detail.html", connection=connection, lines=lines)


class ConnectionTest(AccountPage):
    """The read-only test of what the credentials may do."""

    permission = Permission.CONNECTION_EDIT

    def post(self, request: HttpRequest, connection_ref: UUID) -> HttpResponse:
        """Ask the provider, keep and show the answer."""
        connection = self.find(CloudConnection, connection_ref)
        try:
            result = test_connection(connection)
        except Trouble as trouble:
            messages.error(request, trouble.says)
        else:
            services.store_check(connection, result, at=timezone.now(), actor=self.user)
        return redirect("accounts:connection-detail", connection_ref=connection.ref)


class ConnectionDiscover(AccountPage):
    """Pools and servers as the provider shows them now, with what could not be matched."""

    permission = Permission.CONNECTION_VIEW
    tab = "connections"

    def get(self, request: HttpRequest, connection_ref: UUID) -> HttpResponse:
        """Look and show; what cannot be read is said, never shown as empty."""
        connection = self.find(CloudConnection, connection_ref)
        found, trouble = None, ""
        try:
            found = discover_pools(connection)
        except Trouble as problem:
            trouble = problem.says
        return self.show(
            "accounts/connection_discover.html",
            connection=connection,
            found=found,
            trouble=trouble,
            looked_at=timezone.now(),
            status=200 if found is not None else 502,
        )
