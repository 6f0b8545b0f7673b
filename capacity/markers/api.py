"""Markers through the API: pipelines post them, everybody who reads the account reads them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Account, CloudConnection
from capacity.markers import selectors, services
from capacity.markers.models import Marker, MarkerKind
from portal.access import Permission
from portal.api import PortalAPIView, documented
from portal.errors import Malformed, Refused
from portal.moments import moment_of

MARKER: dict[str, Any] = {
    "ref": "5d0f8c2e-4f43-4f0b-9c3e-2f6a8f3f1b22",
    "kind": "deployment",
    "title": "shop 4.2",
    "software": "4.2.0",
    "source": "github/shop",
    "connection": None,
    "balancer_id": "",
    "at": "2026-11-23T14:02:00Z",
    "made_at": "2026-11-23T14:02:01Z",
    "made_by": "Jonas Berg",
}


class MarkerOut(serializers.ModelSerializer[Marker]):
    """One change of the site. `connection` is null where it concerns the whole account."""

    connection = serializers.UUIDField(source="connection.ref", allow_null=True, default=None)
    made_by = serializers.CharField()

    class Meta:
        model = Marker
        fields = (*MARKER,)


class MarkerPostedOut(MarkerOut):
    """The marker, and how many runs pause before their next server because of it."""

    runs_held = serializers.IntegerField()

    class Meta(MarkerOut.Meta):
        fields = (*MARKER, "runs_held")


class MarkerIn(serializers.Serializer[Any]):
    """What was changed. `at` is now if not given; `connection` and `balancer_id` name the pool, without them it is the whole account."""

    kind = serializers.ChoiceField(choices=MarkerKind.choices)
    title = serializers.CharField(max_length=200)
    software = serializers.CharField(max_length=200, required=False, allow_blank=True)
    source = serializers.CharField(max_length=100, required=False, allow_blank=True)  # type: ignore[assignment]
    connection = serializers.UUIDField(required=False, allow_null=True)
    balancer_id = serializers.CharField(max_length=64, required=False, allow_blank=True)
    at = serializers.DateTimeField(required=False, allow_null=True)


class MarkersApi(PortalAPIView):
    """Changes of the site of an account."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.SAMPLE_ADD

    @documented(
        "markers_list",
        MarkerOut,
        summary="List changes of the site",
        paged=True,
        example=MARKER,
        parameters=[
            OpenApiParameter("from", OpenApiTypes.DATETIME, description="Not before this moment."),
            OpenApiParameter("to", OpenApiTypes.DATETIME, description="Before this moment."),
        ],
        tag="capacity",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """The newest first."""
        account = self.find(Account, account_ref)
        rows = selectors.whole().filter(account=account)
        limits = {name: _moment(request.query_params.get(name), name) for name in ("from", "to")}
        if limits["from"] is not None:
            rows = rows.filter(at__gte=limits["from"])
        if limits["to"] is not None:
            rows = rows.filter(at__lt=limits["to"])
        return self.page(rows, MarkerOut, order="-at")

    @documented(
        "markers_post",
        MarkerPostedOut,
        summary="Announce a change of the site",
        request=MarkerIn,
        status=201,
        once=True,
        example={**MARKER, "runs_held": 1},
        request_example={
            "kind": "deployment",
            "title": "shop 4.2",
            "software": "4.2.0",
            "source": "github/shop",
        },
        tag="capacity",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """Runs that it concerns pause before their next server; baselines from before it are of an older site. The same again
        (kind, title, version, pool, moment) is the one that is there, and holds nothing. Read the account's change lock first.
        """
        account = self.find(Account, account_ref)
        data = self.read(MarkerIn)
        connection = _connection(account, data.pop("connection", None))

        def effect() -> Response:
            row, held = services.post(account, connection=connection, actor=self.user, **data)
            return Response({**MarkerOut(row).data, "runs_held": held}, status=201)

        return self.once(effect)


def _connection(account: Account, ref: UUID | None) -> CloudConnection | None:
    if ref is None:
        return None
    found = CloudConnection.objects.filter(account=account, ref=ref).defer("api_key").first()
    if found is None:
        raise Refused("This account has no such cloud connection.", code="unknown_connection")
    return found


def _moment(given: str | None, name: str) -> Any:
    if not given:
        return None
    found = moment_of(given)
    if found is None:
        raise Malformed(
            f"`{name}` is a moment with its zone, like 2026-11-23T12:10:00Z.", code="unknown_parameter"
        )
    return found
