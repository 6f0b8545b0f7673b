"""Pulls through the API."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Account
from capacity.metrics.kinds import MetricKind
from capacity.pulls import selectors, services
from capacity.pulls.models import PULL_STATES, Pull
from portal.access import Permission
from portal.api import PortalAPIView, documented

PULL: dict[str, Any] = {
    "ref": "8b0d7d52-3f1e-4b0c-a0ab-4d5cf4d4c001",
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
}


class PullOut(serializers.ModelSerializer[Pull]):
    """One query and how it goes. The token is never shown. `series` is null before the first answer; `late_s` is by how much its samples come late."""

    state = serializers.ChoiceField(choices=PULL_STATES)

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


class PullSwitchIn(serializers.Serializer[Any]):
    """Whether it is asked."""

    is_on = serializers.BooleanField()


class PullTriedOut(serializers.Serializer[Any]):
    """What the last ten steps answered: series, samples that would be kept, points that are no number. Nothing was kept."""

    series = serializers.IntegerField()
    samples = serializers.IntegerField()
    unknown = serializers.IntegerField()


class PullListApi(PortalAPIView):
    """Queries whose samples the portal fetches."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.SAMPLE_ADD

    @documented(
        "pulls_list", PullOut, summary="List queries to Prometheus", paged=True, example=PULL, tag="capacity"
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """With how each goes."""
        account = self.find(Account, account_ref)
        return self.page(selectors.whole().filter(account=account), PullOut, order="name")

    @documented(
        "pulls_add",
        PullOut,
        summary="Enter a query to Prometheus",
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
        example={"series": 2, "samples": 20, "unknown": 0},
        tag="capacity",
    )
    def post(self, request: Request, pull_ref: UUID) -> Response:
        """The last ten steps. 422 says what is wrong with query or token, 502 or 503 what is with the server."""
        pull = self.find(selectors.whole(), pull_ref)
        return self.once(lambda: self.show(PullTriedOut, tried(pull)), required=True)


def tried(pull: Pull) -> dict[str, int]:
    """Return what one look found. Raises the four kinds of trouble."""
    found = services.ask_once(pull)
    return {"series": found.series, "samples": len(found.rows), "unknown": found.unknown}
