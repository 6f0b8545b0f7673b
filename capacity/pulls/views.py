"""Pages of queries to Prometheus: list and form; try, switch, remove."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts.models import Account
from accounts.views import AccountPage
from capacity.pulls import selectors, services
from capacity.pulls.api import tried
from capacity.pulls.forms import PullForm
from portal.access import Permission
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
            elif act in ("on", "off"):
                services.switch(pull, on=act == "on", actor=self.user)
                messages.success(
                    request, f"{pull.name} is {'asked from now on' if act == 'on' else 'asked no more'}."
                )
            elif act == "remove":
                services.remove(pull, actor=self.user)
                messages.success(request, f"The query for {pull.name} was removed. What it fetched stays.")
        except Trouble as trouble:
            messages.error(request, trouble.says)
        return redirect("capacity:pull-list", account_ref=pull.account.ref)
