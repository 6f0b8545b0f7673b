"""What is known of a pool, through the API."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import CloudConnection
from capacity import services
from capacity.counts import check_template
from capacity.models import CountKind, CountSource, Probe
from capacity.reference import Site, reference_for
from portal.access import Permission
from portal.api import PortalAPIView, documented, judged
from portal.egress import check_url


class FigureOut(serializers.Serializer[Any]):
    """One figure in requests per second, with source, author and time."""

    requests_per_s = serializers.FloatField()
    source = serializers.CharField()  # type: ignore[assignment]
    author = serializers.CharField()
    at = serializers.DateTimeField()


class ProbeOut(serializers.ModelSerializer[Probe]):
    """An HTTP check of the site with expectations."""

    class Meta:
        model = Probe
        fields = (
            "ref",
            "name",
            "url",
            "method",
            "expected_status_low",
            "expected_status_high",
            "must_contain",
            "timeout_s",
            "latency_limit_ms",
        )


class CountSourceOut(serializers.ModelSerializer[CountSource]):
    """Where the connection count of each server is read; `{address}` stands for the server's."""

    class Meta:
        model = CountSource
        fields = ("kind", "url_template")


class PoolKnownOut(serializers.Serializer[Any]):
    """What is known of a pool. null is *unknown*. The ceiling is per node, the peak for the pool."""

    ceiling = FigureOut(allow_null=True)
    forecast_peak = FigureOut(allow_null=True)
    count_source = CountSourceOut(allow_null=True)
    probes = ProbeOut(many=True)


class PoolKnownIn(serializers.Serializer[Any]):
    """What is newly known; what is left out stays as it is."""

    ceiling_rps = serializers.FloatField(min_value=0.001, required=False)
    ceiling_source = serializers.CharField(max_length=200, required=False)
    forecast_rps = serializers.FloatField(min_value=0.001, required=False)
    forecast_source = serializers.CharField(max_length=200, required=False)
    count_kind = serializers.ChoiceField(choices=CountKind.choices, required=False)
    count_url = serializers.CharField(max_length=500, required=False)
    probe_name = serializers.CharField(max_length=100, required=False)
    probe_url = serializers.URLField(max_length=500, required=False)
    probe_latency_limit_ms = serializers.FloatField(min_value=1, required=False, allow_null=True)

    def validate_count_url(self, value: str) -> str:
        """Refuse an address that the portal would not ask."""
        return judged(check_template, value)

    def validate_probe_url(self, value: str) -> str:
        """Refuse an address that the portal would not open."""
        return judged(check_url, value)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Ask that what belongs together is given together."""
        for first, second in (
            ("ceiling_rps", "ceiling_source"),
            ("forecast_rps", "forecast_source"),
            ("count_kind", "count_url"),
            ("probe_name", "probe_url"),
            ("probe_url", "probe_name"),
        ):
            if first in attrs and second not in attrs:
                raise serializers.ValidationError({second: f"Needed with {first}."})
        return attrs


_FIGURE = {
    "requests_per_s": 90.0,
    "source": "step benchmark, May",
    "author": "Jonas Berg",
    "at": "2026-11-23T12:10:00Z",
}
_EXAMPLE: dict[str, Any] = {
    "ceiling": _FIGURE,
    "forecast_peak": None,
    "count_source": {"kind": "nginx_stub_status", "url_template": "http://{address}/stub_status"},
    "probes": [],
}


class PoolKnownApi(PortalAPIView):
    """What is known of one pool."""

    permission = Permission.PLAN_VIEW
    write_permission = Permission.SAMPLE_ADD

    @documented(
        "pools_known_read",
        PoolKnownOut,
        summary="Read what is known of a pool",
        example=_EXAMPLE,
        tag="capacity",
    )
    def get(self, request: Request, connection_ref: UUID, balancer_id: str) -> Response:
        """Figures with their source, probes, how connections are counted."""
        connection = self.find(CloudConnection.objects.defer("api_key"), connection_ref)
        return Response(self._known(connection, balancer_id))

    @documented(
        "pools_known_enter",
        PoolKnownOut,
        summary="Enter what is newly known of a pool",
        request=PoolKnownIn,
        once=True,
        example=_EXAMPLE,
        tag="capacity",
        request_example={"ceiling_rps": 90.0, "ceiling_source": "step benchmark, May"},
    )
    def post(self, request: Request, connection_ref: UUID, balancer_id: str) -> Response:
        """Earlier figures stay as history."""
        connection = self.find(CloudConnection.objects.defer("api_key"), connection_ref)
        data = self.read(PoolKnownIn)

        def effect() -> Response:
            services.enter_known(connection, balancer_id, data, actor=self.user)
            return Response(self._known(connection, balancer_id))

        return self.once(effect)

    def _known(self, connection: CloudConnection, balancer_id: str) -> dict[str, Any]:
        of_pool = {"connection": connection, "balancer_id": balancer_id}
        found = reference_for(self.account, Site(connection.ref, balancer_id), timezone.now())
        known = {
            "ceiling": found.ceiling if found else None,
            "forecast_peak": found.forecast_peak if found else None,
            "count_source": CountSource.objects.filter(**of_pool).first(),
            "probes": Probe.objects.filter(**of_pool).order_by("name"),
        }
        return dict(PoolKnownOut(known).data)
