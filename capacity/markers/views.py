"""The page of an account's changes: what pipelines and people announced, and the form to announce one."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from accounts.calendar.locks import locks_on
from accounts.models import Account
from accounts.views import AccountPage
from capacity.benchmarks.selectors import connection_of, pools_of
from capacity.markers import selectors, services
from capacity.markers.forms import MarkerForm
from capacity.markers.models import Marker
from capacity.pool_names import named
from portal.access import Permission
from portal.errors import Refused
from portal.paging import keyset


def _where(marker: Marker, words: Mapping[str, str]) -> str:
    """Return the pool of a change in words; "" for one of the whole site."""
    if marker.connection is None:
        return ""
    key = f"{marker.connection.ref}:{marker.balancer_id}"
    return words.get(key) or f"{marker.connection.name}, {named('', marker.balancer_id)}"


class MarkerList(AccountPage):
    """Changes of the site, the newest first; whether it is locked just now; and the form."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.SAMPLE_ADD
    tab = "markers"

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show them."""
        account = self.find(Account, account_ref)
        return self._page(account, MarkerForm(pools=pools_of(account), zone=self._zone))

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Announce a change; runs that it concerns pause before their next server."""
        account = self.find(Account, account_ref)
        form = MarkerForm(request.POST, pools=pools_of(account), zone=self._zone)
        if form.is_valid():
            given = form.cleaned_data
            connection, balancer_id = connection_of(account, given["pool"])
            try:
                _, held = services.post(
                    account,
                    kind=given["kind"],
                    title=given["title"],
                    software=given["software"],
                    at=given["at"],
                    connection=connection,
                    balancer_id=balancer_id,
                    actor=self.user,
                )
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                runs = "One run pauses" if held == 1 else f"{held} runs pause"
                messages.success(request, f"Announced.{f' {runs} before the next server.' if held else ''}")
                return redirect("capacity:marker-list", account_ref=account.ref)
        return self._page(account, form, status=422)

    @property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.user.time_zone or "UTC")

    def _page(self, account: Account, form: MarkerForm, status: int = 200) -> HttpResponse:
        page = keyset(
            selectors.whole().filter(account=account),
            self.request,
            order="-at",
            filters={"account": account.pk},
        )
        words = dict(form.fields["pool"].choices)  # type: ignore[attr-defined]
        return self.show(
            "capacity/markers/list.html",
            page=page,
            rows=[(one, _where(one, words)) for one in page.rows],
            form=form,
            locks=locks_on(account, timezone.now()),
            zone_name=str(self._zone),
            status=status,
        )
