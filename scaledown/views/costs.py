"""What events cost, from creation to deletion of their servers: the page and the file."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone

from accounts.models import Account
from portal.access import Permission
from portal.csvfile import csv_response
from portal.paging import keyset
from scaledown import costs
from scaledown.views.shared import ScaledownPage


class EventCosts(ScaledownPage):
    """Each event with its servers, their hours and what those cost."""

    permission = Permission.PLAN_VIEW

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Newest first."""
        account = self.find(Account, account_ref)
        page = keyset(
            costs.records().filter(account=account), request, order="-id", filters={"account": account.pk}
        )
        return self.show(
            "scaledown/costs.html", page=page, costs=costs.costs_of(account, page.rows, timezone.now())
        )


class EventCostsCsv(ScaledownPage):
    """The same as a file: a line for each server."""

    permission = Permission.PLAN_VIEW

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponseBase:
        """Give every event's servers."""
        account = self.find(Account, account_ref)
        return csv_response(
            "event-costs",
            costs.HEADER,
            costs.cells_of(costs.rates_of(account), timezone.now()),
            costs.entries().filter(record__account=account),
            order="id",
            may_read_on=self.reads_on(),
        )
