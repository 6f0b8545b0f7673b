"""What events cost, through the API."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Account
from portal.access import Permission
from portal.api import PortalAPIView, documented
from portal.paging import keyset
from scaledown import costs


class EventCostOut(serializers.Serializer[Any]):
    """An estimate of what one event cost: its servers from creation to deletion, or until now; money where a price is known."""

    event = serializers.UUIDField(source="record.event.ref")
    name = serializers.CharField(source="record.event.name")
    servers = serializers.IntegerField()
    left = serializers.IntegerField(help_text="Servers that no run has deleted.")
    flavor = serializers.CharField(allow_blank=True)
    server_hours = serializers.DecimalField(source="total.server_hours", max_digits=16, decimal_places=2)
    money = serializers.DecimalField(source="total.money", max_digits=16, decimal_places=2, allow_null=True)
    currency = serializers.CharField(source="total.currency", allow_blank=True)


class EventCostListApi(PortalAPIView):
    """What the account's events cost."""

    permission = Permission.PLAN_VIEW

    @documented(
        "event_costs_list",
        EventCostOut,
        summary="List what events cost",
        paged=True,
        example={
            "event": "0b8f6b1e-0a5e-4d9b-9a5c-5a4f3c1f8a11",
            "name": "Autumn launch",
            "servers": 3,
            "left": 0,
            "flavor": "general1-4",
            "server_hours": "216.50",
            "money": "77.94",
            "currency": "EUR",
        },
        tag="scaledown",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Newest first. The page has a file with a line for each server."""
        account = self.find(Account, account_ref)
        found = keyset(costs.records().filter(account=account), request, order="-id")
        rows = EventCostOut(costs.costs_of(account, found.rows, timezone.now()), many=True).data
        base = request.build_absolute_uri(request.path)
        return Response(
            {
                "results": [self._thinned(row) for row in rows],
                "next": base + found.next_url if found.next_url else None,
                "previous": base + found.previous_url if found.previous_url else None,
            }
        )
