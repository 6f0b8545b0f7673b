"""Pages of what is fetched: list and form of queries; choosing from the provider's monitoring; try, switch, remove."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts.facts import plural
from accounts.models import Account, CloudConnection
from accounts.selectors import connections_of
from accounts.views import AccountPage
from capacity.pulls import monitoring, selectors, services
from capacity.pulls.api import tried
from capacity.pulls.forms import MonitoredPullForm, PullForm
from portal.access import Permission
from portal.cloud.types import Monitored, MonitoredCheck
from portal.errors import Refused, Trouble
from portal.paging import keyset


class PullList(AccountPage):
    """What the portal fetches for the account, how it goes, and the form to enter a query."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.SAMPLE_ADD
    tab = "metrics"

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show them."""
        return self._page(self.find(Account, account_ref), PullForm())

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Enter a query."""
        account = self.find(Account, account_ref)
        form = PullForm(request.POST)
        if form.is_valid():
            try:
                services.add(account, form.cleaned_data, actor=self.user)
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                messages.success(request, "Entered. It is asked within a minute.")
                return redirect("capacity:pull-list", account_ref=account.ref)
        return self._page(account, form, status=422)

    def _page(self, account: Account, form: PullForm, status: int = 200) -> HttpResponse:
        page = keyset(
            selectors.whole().filter(account=account),
            self.request,
            order="name",
            filters={"account": account.pk},
        )
        return self.show("capacity/pulls/list.html", page=page, form=form, status=status)


class PullChoose(AccountPage):
    """Choose from what the provider's monitoring measures: connection, check, metric, each a step of the address."""

    permission = Permission.SAMPLE_ADD
    tab = "metrics"

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show the next step; what cannot be read is said, never shown as empty."""
        return self._page(self.find(Account, account_ref))

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Fetch the chosen metric from now on."""
        account = self.find(Account, account_ref)
        connection = self._connection(account)
        entity_id, check_id = self._place()
        if connection is None or not (entity_id and check_id):
            return self._page(account)
        try:
            metrics = monitoring.metrics_of(connection, entity_id, check_id)
        except Trouble as trouble:
            # What there is to choose from cannot be read (any more): the page says what can be.
            messages.error(request, trouble.says)
            return self._page(account)
        form = MonitoredPullForm(request.POST, metrics=metrics)
        if form.is_valid():
            chosen = {**form.cleaned_data, "entity_id": entity_id, "check_id": check_id}
            everywhere = chosen.pop("everywhere")
            try:
                pull, *others = services.add_monitored(
                    connection, chosen, actor=self.user, everywhere=everywhere
                )
            except Refused as refusal:
                form.add_error(None, refusal.says)
            except Trouble as trouble:
                messages.error(request, trouble.says)
                return self._page(account)
            else:
                also = f" and of {plural(len(others), 'other server')}" if others else ""
                messages.success(
                    request, f"Entered: {pull.name} of {pull.resource}{also}. It is fetched within a minute."
                )
                return redirect("capacity:pull-list", account_ref=account.ref)
        return self._page(account, form, status=422)

    def _place(self) -> tuple[str, str]:
        return self.request.GET.get("entity", "")[:100], self.request.GET.get("check", "")[:100]

    def _connection(self, account: Account) -> CloudConnection | None:
        return selectors.connection_of_account(account, self.request.GET.get("connection", ""))

    def _page(
        self, account: Account, form: MonitoredPullForm | None = None, status: int = 200
    ) -> HttpResponse:
        connection = self._connection(account)
        connections = [] if connection else list(connections_of(account))
        if len(connections) == 1:
            connection = selectors.connection_of_account(account, str(connections[0].ref))
        found: tuple[Monitored, ...] = ()
        chosen: tuple[Monitored, MonitoredCheck] | None = None
        trouble = ""
        if connection is not None:
            try:
                found = monitoring.choice(connection)
                chosen = _chosen(found, *self._place())
                if chosen and form is None:
                    names = monitoring.metrics_of(connection, chosen[0].id, chosen[1].id)
                    form = MonitoredPullForm(metrics=names)
            except Trouble as problem:
                trouble, status = problem.says, 502
        return self.show(
            "capacity/pulls/choose.html",
            connections=connections,
            connection=connection,
            found=found,
            chosen=chosen,
            form=form,
            trouble=trouble,
            status=status,
        )


def _chosen(
    found: tuple[Monitored, ...], entity_id: str, check_id: str
) -> tuple[Monitored, MonitoredCheck] | None:
    pairs = ((entity, check) for entity in found if entity.id == entity_id for check in entity.checks)
    return next((pair for pair in pairs if pair[1].id == check_id), None)


class PullAct(AccountPage):
    """Try one, switch it, remove it: `act` says which."""

    permission = Permission.SAMPLE_ADD
    tab = "metrics"

    def post(self, request: HttpRequest, pull_ref: UUID) -> HttpResponse:
        """Do it, and say what came of it."""
        pull = self.find(selectors.whole(), pull_ref)
        act = request.POST.get("act")
        try:
            if act == "try":
                found = tried(pull)
                messages.success(
                    request,
                    f"{pull.name} answers: {found['series']} series, {found['samples']} points in the last ten steps"
                    f"{' (' + str(found['unknown']) + ' are no number)' if found['unknown'] else ''}. Nothing was kept.",
                )
                if found["note"]:
                    messages.warning(request, found["note"])
            elif act in ("on", "off"):
                services.switch(pull, on=act == "on", actor=self.user)
                messages.success(
                    request, f"{pull.name} is {'asked from now on' if act == 'on' else 'asked no more'}."
                )
            elif act == "remove":
                services.remove(pull, actor=self.user)
                messages.success(request, f"{pull.name} was removed. What was fetched stays.")
        except Trouble as trouble:
            messages.error(request, trouble.says)
        return redirect("capacity:pull-list", account_ref=pull.account.ref)
