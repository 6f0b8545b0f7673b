"""Pulls through the API."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Account, CloudConnection
from capacity.metrics.kinds import MetricKind
from capacity.pulls import monitoring, selectors, services
from capacity.pulls.models import PULL_STATES, Pull
from capacity.pulls.selectors import connection_of_account
from portal.access import Permission
from portal.api import PortalAPIView, documented

PULL: dict[str, Any] = {
    "ref": "8b0d7d52-3f1e-4b0c-a0ab-4d5cf4d4c001",
    "source": "prometheus",
    "name": "requests_per_s",
    "resource_label": "site",
    "unit": "requests/s",
    "kind": "throughput",
    "base_url": "https://prometheus.example.com",
    "query": "sum by (site) (rate(http_requests_total[5m]))",
    "step_s": 60,
    "backfill_days": 14,
    "state": "pull_good",
    "reached_at": "2026-11-23T12:10:00Z",
    "asked_at": "2026-11-23T12:10:31Z",
    "answered_at": "2026-11-23T12:10:31Z",
    "series": 2,
    "samples": 40322,
    "late_s": 0,
    "failures": 0,
    "problem": "",
    "connection": None,
    "entity_id": "",
    "entity_label": "",
    "check_id": "",
    "check_label": "",
    "metric": "",
    "resource": "",
    "is_counter": False,
    "factor": 1.0,
}
MONITORED: dict[str, Any] = {
    **PULL,
    "source": "monitoring",
    "name": "rx_bytes_per_s",
    "resource_label": "",
    "unit": "bytes/s",
    "base_url": "",
    "query": "",
    "series": 1,
    "connection": "b2a4f0aa-0f55-4c8e-9d2c-0d4f30c6c201",
    "entity_id": "enAbC123",
    "entity_label": "web-01",
    "check_id": "chAbC123",
    "check_label": "agent.network eth0",
    "metric": "rx_bytes",
    "resource": "web-01",
    "is_counter": True,
}
CHOICE: dict[str, Any] = {
    "entities": [
        {
            "id": "enAbC123",
            "label": "web-01",
            "server_id": "6f1b2f6e-7f0e-4a8e-8b51-0c9c5a7e1a01",
            "checks": [
                {
                    "id": "chAbC123",
                    "label": "network",
                    "type": "agent.network",
                    "target": "eth0",
                    "period_s": 60,
                    "is_disabled": False,
                }
            ],
        }
    ],
    "metrics": ["rx_bytes", "tx_bytes"],
}


class PullOut(serializers.ModelSerializer[Pull]):
    """What is fetched and how it goes. Of a Prometheus server the query, of the provider's monitoring connection, check and metric. The token is never shown. `series` is null before the first answer; `late_s` is by how much its samples come late; `problem` what is wrong, or what a good answer says of itself (a warning of Prometheus)."""

    state = serializers.ChoiceField(choices=PULL_STATES)
    connection = serializers.UUIDField(source="connection.ref", default=None, allow_null=True)

    class Meta:
        model = Pull
        fields = (*PULL,)


class PullIn(serializers.Serializer[Any]):
    """What to ask. `name` is the metric's; `resource_label` the label whose value is its resource; `token` goes as a bearer token."""

    name = serializers.CharField(max_length=100)
    base_url = serializers.URLField(max_length=300)
    query = serializers.CharField(max_length=2000)
    resource_label = serializers.CharField(max_length=100, required=False, allow_blank=True)
    unit = serializers.CharField(max_length=30, required=False, allow_blank=True)
    kind = serializers.ChoiceField(choices=MetricKind.choices, required=False, allow_blank=True)
    step_s = serializers.IntegerField(min_value=10, max_value=86_400, required=False)
    backfill_days = serializers.IntegerField(min_value=0, max_value=366, required=False)
    token = serializers.CharField(max_length=4000, required=False, allow_blank=True, write_only=True)


class MonitoredPullIn(serializers.Serializer[Any]):
    """What to fetch from the monitoring behind `connection`. What is left out is as is usual for the metric; `is_counter` keeps by how much it grew each second, `factor` is multiplied (0.01 makes a share of a percentage)."""

    connection = serializers.UUIDField()
    entity_id = serializers.CharField(max_length=100)
    check_id = serializers.CharField(max_length=100)
    metric = serializers.CharField(max_length=300)
    name = serializers.CharField(max_length=100, required=False, allow_blank=True)
    resource = serializers.CharField(max_length=200, required=False, allow_blank=True)
    unit = serializers.CharField(max_length=30, required=False, allow_blank=True)
    kind = serializers.ChoiceField(choices=MetricKind.choices, required=False, allow_blank=True)
    is_counter = serializers.BooleanField(required=False, allow_null=True)
    factor = serializers.FloatField(min_value=1e-9, max_value=1e9, required=False, allow_null=True)
    backfill_days = serializers.IntegerField(min_value=0, max_value=366, required=False)
    everywhere = serializers.BooleanField(
        required=False, help_text="Of every other server that has such a check, too."
    )


class MonitoredCheckOut(serializers.Serializer[Any]):
    """One check; `target` is e.g. the network interface, `period_s` null where it is not told."""

    id = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # the provider's word
    type = serializers.CharField()
    target = serializers.CharField(allow_null=True)
    period_s = serializers.IntegerField(allow_null=True)
    is_disabled = serializers.BooleanField()


class MonitoredOut(serializers.Serializer[Any]):
    """What is monitored: a server where `server_id` is known."""

    id = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # the provider's word
    server_id = serializers.CharField(allow_null=True)
    checks = MonitoredCheckOut(many=True)


class MonitoringChoiceOut(serializers.Serializer[Any]):
    """What may be chosen. `metrics` is null unless a check was named."""

    entities = MonitoredOut(many=True)
    metrics = serializers.ListField(child=serializers.CharField(), allow_null=True)


class PullSwitchIn(serializers.Serializer[Any]):
    """Whether it is asked."""

    is_on = serializers.BooleanField()


class PullTriedOut(serializers.Serializer[Any]):
    """What the last ten steps answered: series, samples that would be kept, points that are no number, and in `note` what Prometheus warns of. Nothing was kept."""

    series = serializers.IntegerField()
    samples = serializers.IntegerField()
    unknown = serializers.IntegerField()
    note = serializers.CharField(allow_blank=True)


class PullListApi(PortalAPIView):
    """What the portal fetches."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.SAMPLE_ADD

    @documented(
        "pulls_list", PullOut, summary="List what is fetched", paged=True, example=PULL, tag="capacity"
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """With how each goes."""
        account = self.find(Account, account_ref)
        return self.page(selectors.whole().filter(account=account), PullOut, order="name")

    @documented(
        "pulls_add",
        PullOut,
        summary="Enter a Prometheus query",
        request=PullIn,
        status=201,
        once=True,
        example={**PULL, "state": "pull_waiting", "series": None, "samples": 0, "late_s": 0},
        request_example={
            name: PULL[name] for name in ("name", "base_url", "query", "resource_label", "step_s")
        },
        tag="capacity",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """It is asked from now on, first for `backfill_days`. An empty answer is no data, never zero."""
        account = self.find(Account, account_ref)
        data = self.read(PullIn)
        return self.once(lambda: self.show(PullOut, services.add(account, data, actor=self.user), status=201))


class MonitoredPullApi(PortalAPIView):
    """What the provider's monitoring measures, and fetching it."""

    permission = Permission.SAMPLE_ADD

    @documented(
        "pulls_choose",
        MonitoringChoiceOut,
        summary="Read what the provider's monitoring measures",
        example=CHOICE,
        asks_provider=True,
        parameters=[
            OpenApiParameter(
                "connection", OpenApiTypes.UUID, required=True, description="The cloud connection."
            ),
            OpenApiParameter(
                "entity_id", OpenApiTypes.STR, description="With `check_id`: read its metrics too."
            ),
            OpenApiParameter("check_id", OpenApiTypes.STR, description="Of the entity."),
        ],
        tag="capacity",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """As the provider shows it now. Without the agent on a server little is measured of it."""
        account = self.find(Account, account_ref)
        connection = self._connection(account, request.query_params.get("connection", ""))
        entity_id, check_id = (request.query_params.get(name, "") for name in ("entity_id", "check_id"))
        metrics = monitoring.metrics_of(connection, entity_id, check_id) if entity_id and check_id else None
        found = {"entities": monitoring.choice(connection), "metrics": metrics}
        return Response(MonitoringChoiceOut(found).data)

    @documented(
        "pulls_add_monitored",
        PullOut,
        summary="Fetch a metric of the provider's monitoring",
        request=MonitoredPullIn,
        status=201,
        once=True,
        asks_provider=True,
        example={**MONITORED, "state": "pull_waiting", "series": None, "samples": 0},
        request_example={name: MONITORED[name] for name in ("connection", "entity_id", "check_id", "metric")},
        tag="capacity",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """It is asked from now on, first for `backfill_days`. No points, old points and an agent that is away are no data, never zero.

        With `everywhere` the answer is the chosen one; those of the other servers stand in the list. What is fetched already stays as it is.
        """
        account = self.find(Account, account_ref)
        data = self.read(MonitoredPullIn)
        connection = self._connection(account, str(data.pop("connection")))
        everywhere = data.pop("everywhere", False)

        def effect() -> Response:
            chosen, *_ = services.add_monitored(connection, data, actor=self.user, everywhere=everywhere)
            return self.show(PullOut, chosen, status=201)

        return self.once(effect)

    def _connection(self, account: Account, ref: str) -> CloudConnection:
        found = connection_of_account(account, ref)
        if found is None:
            raise ValidationError({"connection": ["This account has no such cloud connection."]})
        return found


class PullApi(PortalAPIView):
    """One query."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.SAMPLE_ADD

    @documented("pulls_read", PullOut, summary="Read one query", example=PULL, tag="capacity")
    def get(self, request: Request, pull_ref: UUID) -> Response:
        """With an ETag."""
        return self.show(PullOut, self.find(selectors.whole(), pull_ref))

    @documented("pulls_remove", None, summary="Remove a query", status=204, if_match=True, tag="capacity")
    def delete(self, request: Request, pull_ref: UUID) -> Response:
        """Its token is forgotten; what was fetched stays."""
        pull = self.find(selectors.whole(), pull_ref)
        self.match(pull)
        services.remove(pull, actor=self.user)
        return Response(status=204)


class PullSwitchApi(PortalAPIView):
    """Ask a query, or no more."""

    permission = Permission.SAMPLE_ADD

    @documented(
        "pulls_switch",
        PullOut,
        summary="Switch a query on or off",
        request=PullSwitchIn,
        command=True,
        example=PULL,
        request_example={"is_on": True},
        tag="capacity",
    )
    def post(self, request: Request, pull_ref: UUID) -> Response:
        """Switched on it goes on from where it was."""
        pull = self.find(selectors.whole(), pull_ref)
        data = self.read(PullSwitchIn)
        return self.once(
            lambda: self.show(PullOut, services.switch(pull, on=data["is_on"], actor=self.user)),
            required=True,
        )


class PullTryApi(PortalAPIView):
    """Try a query."""

    permission = Permission.SAMPLE_ADD

    @documented(
        "pulls_try",
        PullTriedOut,
        summary="Ask a query once and keep nothing",
        command=True,
        example={"series": 2, "samples": 20, "unknown": 0, "note": ""},
        tag="capacity",
    )
    def post(self, request: Request, pull_ref: UUID) -> Response:
        """The last ten steps. 422 says what is wrong with query or token, 502 or 503 what is with the server."""
        pull = self.find(selectors.whole(), pull_ref)
        return self.once(lambda: self.show(PullTriedOut, tried(pull)), required=True)


def tried(pull: Pull) -> dict[str, Any]:
    """Return what one look found. Raises the four kinds of trouble."""
    found = services.ask_once(pull)
    return {"series": found.series, "samples": len(found.rows), "unknown": found.unknown, "note": found.says}
