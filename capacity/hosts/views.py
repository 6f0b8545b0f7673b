"""The page of hosts: what to publish, whether it was found; look now, remove."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts.models import Account
from accounts.views import AccountPage
from capacity.hosts import selectors, services
from capacity.hosts.forms import HostForm
from capacity.hosts.models import LASTS
from portal.access import Permission
from portal.errors import Refused, Trouble
from portal.paging import keyset


class HostList(AccountPage):
    """The account's hosts, and the form to enter one."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.LOAD_DRAFT
    tab = "loads"

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show them."""
        return self._page(self.find(Account, account_ref), HostForm())

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Enter one."""
        account = self.find(Account, account_ref)
        form = HostForm(request.POST)
        if form.is_valid():
            try:
                services.add(account, form.cleaned_data["host"], actor=self.user)
            except Refused as refusal:
                form.add_error("host", refusal.says)
            else:
                messages.success(request, "Entered. Publish its proof in one of the two places, then check.")
                return redirect("capacity:host-list", account_ref=account.ref)
        return self._page(account, form, status=422)

    def _page(self, account: Account, form: HostForm, status: int = 200) -> HttpResponse:
        page = keyset(
            selectors.whole().filter(account=account),
            self.request,
            order="place",
            filters={"account": account.pk},
        )
        return self.show(
            "capacity/hosts/list.html", page=page, form=form, lasts_days=LASTS.days, status=status
        )


class HostAct(AccountPage):
    """Look for a proof, or remove a host: `act` says which."""

    permission = Permission.LOAD_DRAFT
    tab = "loads"

    def post(self, request: HttpRequest, host_ref: UUID) -> HttpResponse:
        """Do it, and say what came of it."""
        host = self.find(selectors.whole(), host_ref)
        act = request.POST.get("act")
        try:
            if act == "check":
                found = services.check(host, actor=self.user)
                if found.proven_at is not None:
                    messages.success(request, f"{host.place} is proven: {found.get_way_display()}.")
                else:
                    messages.error(request, found.problem)
            elif act == "remove":
                services.remove(host, actor=self.user)
                messages.success(
                    request,
                    f"{host.place} was removed. No load begins there, and one that is on ends within two seconds.",
                )
        except Trouble as trouble:
            messages.error(request, trouble.says)
        return redirect("capacity:host-list", account_ref=host.account.ref)
