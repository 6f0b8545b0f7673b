"""Growth reports, detected events, sized pools and prices through the API."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import Http404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Account, CloudConnection
from capacity.baselines.doubts import doubts_about
from capacity.metrics.models import Metric
from capacity.reports import detected, forms, selectors, services, sized, versions
from capacity.reports.models import (
    DetectedEvent,
    DetectedState,
    GrowthReport,
    ReportState,
    ServerPrice,
    SizedPool,
)
from capacity.reports.trying import Tried, flavors_of, try_out
from capacity.reports.views import plan_url_of
from capacity.sizing import Lasts
from portal.access import Permission
from portal.api import PortalAPIView, documented, etag_of
from portal.errors import Refused

_REF = "0b8f6b1e-0a5e-4d9b-9a5c-5a4f3c1f8a11"
_AT = "2026-11-23T12:00:00Z"
LASTS = [(one.value, one.value) for one in Lasts]


class TestedOut(serializers.Serializer[Any]):
    """How forecasts of a week, from earlier origins, did: mean absolute scaled errors, and the share inside each interval."""

    origins = serializers.IntegerField()
    horizon_h = serializers.IntegerField()
    mase = serializers.FloatField()
    naive_mase = serializers.FloatField()
    covered = serializers.DictField(child=serializers.FloatField())


class GrowthReportOut(serializers.ModelSerializer[GrowthReport]):
    """What a metric's last year says. Growth is a fraction a month; null is *not known*; peaks are highest hours."""

    metric = serializers.UUIDField(source="metric.ref")
    metric_name = serializers.CharField(source="metric.name")
    resource = serializers.CharField(source="metric.resource")
    tested = TestedOut(allow_null=True)
    shifts = serializers.ListField(child=serializers.DateTimeField())
    notes = serializers.ListField(child=serializers.CharField())
    has_ended = serializers.SerializerMethodField(
        help_text="Nothing came of the metric for three days: what is told of the future was told from `analysed_until` on."
    )

    class Meta:
        model = GrowthReport
        fields: tuple[str, ...] = (
            "ref",
            "metric",
            "metric_name",
            "resource",
            "state",
            "says",
            "made_at",
            "analysed_from",
            "analysed_until",
            "days",
            "level",
            "growth",
            "growth_low",
            "growth_high",
            "peak",
            "peak_low",
            "peak_high",
            "next_peak",
            "next_peak_low",
            "next_peak_high",
            "next_peak_at",
            "shifts",
            "model_name",
            "is_naive",
            "tested",
            "notes",
            "has_ended",
        )

    def get_has_ended(self, row: GrowthReport) -> bool:
        """Return whether the series ended."""
        return bool(selectors.ended_of(row, timezone.now()))


class ForecastPointOut(serializers.Serializer[Any]):
    """One hour to come, with its 50, 80 and 95 % intervals."""

    at = serializers.DateTimeField()
    point = serializers.FloatField()
    lower50 = serializers.FloatField()
    upper50 = serializers.FloatField()
    lower80 = serializers.FloatField()
    upper80 = serializers.FloatField()
    lower95 = serializers.FloatField()
    upper95 = serializers.FloatField()


class GrowthReportWholeOut(GrowthReportOut):
    """A report with its sentence and its forecast, four weeks by the hour."""

    sentence = serializers.SerializerMethodField()
    forecast = serializers.SerializerMethodField()

    class Meta(GrowthReportOut.Meta):
        fields = (*GrowthReportOut.Meta.fields, "sentence", "forecast")

    def get_sentence(self, report: GrowthReport) -> str:
        """Return all of it in one sentence; empty before it was made."""
        return selectors.sentence_of(report, timezone.now()) if report.state == ReportState.MADE else ""

    def get_forecast(self, report: GrowthReport) -> list[dict[str, Any]]:
        """Return the hours to come."""
        return list(ForecastPointOut(list(selectors.forecast_rows(report)), many=True).data)


class DetectedEventOut(serializers.ModelSerializer[DetectedEvent]):
    """A stretch that left its band. `multiple` over what that hour usually has; null is *not known* or *not yet*.

    `servers_added` is how many servers the scale-up records of its event have, null where none was written; `scale_up_records`
    are these, one for each cloud connection (`/scale-up-records/{ref}`).
    """

    metric = serializers.UUIDField(source="metric.ref")
    event = serializers.UUIDField(source="event.ref", allow_null=True, default=None)
    name = serializers.CharField(source="event.name", allow_null=True, default=None)
    decided_by_name = serializers.CharField(source="decided_by.name", allow_null=True, default=None)
    state = serializers.ChoiceField(choices=DetectedState.choices)
    servers_added = serializers.IntegerField(allow_null=True, default=None)
    scale_up_records = serializers.ListField(child=serializers.UUIDField(), default=list)

    class Meta:
        model = DetectedEvent
        fields = (
            "ref",
            "metric",
            "starts_at",
            "ends_at",
            "peak_at",
            "peak",
            "expected",
            "multiple",
            "score",
            "lead_in_s",
            "half_life_s",
            "is_over",
            "state",
            "event",
            "name",
            "decided_by_name",
            "decided_at",
            "reason",
            "servers_added",
            "scale_up_records",
        )


class DetectedNameIn(serializers.Serializer[Any]):
    """The name of the traffic event that it was."""

    name = serializers.CharField(max_length=200)


class DetectedDismissIn(serializers.Serializer[Any]):
    """Why it was no event."""

    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")
    also = serializers.ListField(
        child=serializers.UUIDField(),
        required=False,
        default=list,
        max_length=200,
        help_text="The references of the same stretch in other metrics that go with it; else only this one does.",
    )


class CostOut(serializers.Serializer[Any]):
    """An estimate: server-hours, and money where a price is known."""

    server_hours = serializers.DecimalField(max_digits=16, decimal_places=2)
    money = serializers.DecimalField(max_digits=16, decimal_places=2, allow_null=True)
    currency = serializers.CharField(allow_blank=True)


class EventNeedOut(serializers.Serializer[Any]):
    """What one planned event needs; null where its multiple or the ceiling is not known."""

    name = serializers.CharField(source="event.name")
    starts_at = serializers.DateTimeField(source="event.starts_at")
    multiple = serializers.FloatField(source="event.multiple", allow_null=True)
    peak_rps = serializers.FloatField(
        allow_null=True,
        help_text="What it comes to: its multiple of the usual week's busiest hour, and no less than was seen of it.",
    )
    seen_rps = serializers.FloatField(
        source="event.peak_rps",
        allow_null=True,
        help_text="The highest hour so far of what is on; null of what was planned.",
    )
    servers = serializers.IntegerField(allow_null=True)
    more = serializers.IntegerField(allow_null=True)
    is_over_limit = serializers.BooleanField(
        help_text="The pool's own limit is less than it needs: no number of servers carries it."
    )


class RunwayOut(serializers.Serializer[Any]):
    """Until when servers last: `at`, probably from `earliest` to `latest`; null is beyond five years, or not known."""

    state = serializers.ChoiceField(choices=LASTS)
    at = serializers.DateTimeField(allow_null=True)
    earliest = serializers.DateTimeField(allow_null=True)
    latest = serializers.DateTimeField(allow_null=True)
    is_least = serializers.BooleanField(
        help_text="They last until then at least: of what one server carries only a lower bound is known."
    )
    limit_rps = serializers.FloatField(
        allow_null=True,
        help_text="The pool's own limit where that is what is met; more servers move nothing then.",
    )


class SizingOut(serializers.Serializer[Any]):
    """What a pool needs. Rates in requests per second, shares 0 to 1, null is *not known*."""

    servers = serializers.IntegerField(source="pool.servers", allow_null=True)
    flavor = serializers.CharField(source="pool.flavor")
    carries_rps = serializers.FloatField(source="pool.carries_rps", allow_null=True)
    carries_is_least = serializers.BooleanField(
        source="pool.is_least",
        help_text="`carries_rps` is a lower bound: servers needed are at most so many, and what is spare at least so much.",
    )
    headroom = serializers.FloatField(source="rules.headroom")
    fewest = serializers.IntegerField(source="rules.fewest")
    peak_now_rps = serializers.FloatField(allow_null=True)
    peak_next_rps = serializers.FloatField(allow_null=True)
    needed_now = serializers.IntegerField(allow_null=True)
    needed_peak = serializers.IntegerField(allow_null=True)
    events = EventNeedOut(
        many=True,
        source="listed",
        help_text="Of more than twenty the next ten and the ten that need most; all of them are sized.",
    )
    on = EventNeedOut(
        allow_null=True,
        help_text="The peak or the planned event that is on and needs more than a usual week, or nobody knows how much: nothing is surplus before it is over.",
    )
    headroom_now = serializers.FloatField(allow_null=True)
    lasts = RunwayOut()
    surplus = serializers.IntegerField(allow_null=True)
    kept_for_host = serializers.IntegerField(
        help_text="So many would be surplus too, but the others must carry the peak should a physical host fail."
    )
    is_host_too_much = serializers.BooleanField(
        help_text="Not even all that there are carry the peak should the host with most of them fail."
    )
    saving = CostOut(allow_null=True)
    limit_rps = serializers.FloatField(
        source="pool.limit_rps",
        allow_null=True,
        help_text="What the pool carries however many servers it has.",
    )
    is_over_limit = serializers.BooleanField(
        help_text="Now or at the forecast peak that limit is too little."
    )


class SizedPoolRowOut(serializers.ModelSerializer[SizedPool]):
    """A pool that is sized by a metric: `servers` as seen at `seen_at`, what it needs and how long it lasts as of `judged_at`."""

    connection = serializers.UUIDField(source="connection.ref")
    metric = serializers.UUIDField(source="metric.ref", allow_null=True, default=None)
    sizes = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="How many servers of each size were seen. Of several, `flavor` is the one that carries the least: all count as it.",
    )
    lasts = serializers.ChoiceField(choices=LASTS)

    class Meta:
        model = SizedPool
        fields = (
            "ref",
            "connection",
            "balancer_id",
            "name",
            "metric",
            "headroom",
            "fewest",
            "servers",
            "not_answering",
            "flavor",
            "sizes",
            "seen_at",
            "needed_now",
            "needed_peak",
            "surplus",
            "missing_on",
            "missing_limit_rps",
            "missing_planned",
            "may_miss_planned",
            "missing_planned_at",
            "missing_most",
            "missing_most_at",
            "lasts",
            "lasts_until",
            "sentence",
            "doubt",
            "judged_at",
        )


class SizedPoolOut(serializers.Serializer[Any]):
    """A sized pool with what it needs. `plan_url` is where a plan that takes the surplus out is begun, empty for none."""

    pool = SizedPoolRowOut()
    sentence = serializers.CharField(allow_blank=True)
    sizing = SizingOut()
    doubts = serializers.ListField(
        child=serializers.CharField(), help_text="What came after the ceiling and speaks against it."
    )
    plan_url = serializers.CharField(allow_blank=True)


class SizedPoolIn(serializers.Serializer[Any]):
    """By which metric a pool is sized, what stays free (a share), and how many servers always stay."""

    name = serializers.CharField(max_length=100, required=False, allow_blank=True)
    metric = serializers.UUIDField()
    headroom = serializers.FloatField(min_value=0, max_value=0.9, required=False)
    fewest = serializers.IntegerField(min_value=1, max_value=1000, required=False)


class SizedPoolAddIn(SizedPoolIn):
    """Which pool."""

    connection = serializers.UUIDField()
    balancer_id = serializers.CharField(max_length=64)


class WhatIfOut(serializers.Serializer[Any]):
    """The answer; `needed` for now and the forecast peak, `carries_from` says where another size's ceiling comes from."""

    needed = serializers.IntegerField(allow_null=True)
    carries_from = serializers.CharField(allow_blank=True)
    doubts = serializers.ListField(
        child=serializers.CharField(), help_text="What speaks against what one server of that size carries."
    )
    needed_cost = CostOut(allow_null=True)
    sizing = SizingOut()


class ServerPriceOut(serializers.ModelSerializer[ServerPrice]):
    """What a server of one size costs an hour."""

    entered_by_name = serializers.CharField(source="entered_by.name", allow_null=True, default=None)

    class Meta:
        model = ServerPrice
        fields = ("ref", "flavor", "an_hour", "currency", "entered_by_name", "at")


class ServerPriceIn(serializers.Serializer[Any]):
    """A price; one of the same size is replaced."""

    flavor = serializers.CharField(max_length=100)
    an_hour = serializers.DecimalField(max_digits=12, decimal_places=6, min_value=0, max_value=100_000)
    currency = serializers.RegexField(r"\A[A-Z]{3}\Z", help_text="Three letters, like EUR.")


_REPORT: dict[str, Any] = {
    "ref": _REF,
    "metric": _REF,
    "metric_name": "requests_per_s",
    "resource": "shop",
    "state": "made",
    "says": "",
    "made_at": "2026-11-23T02:01:07Z",
    "analysed_from": "2025-11-23T00:00:00Z",
    "analysed_until": "2026-11-23T02:00:00Z",
    "days": 365,
    "level": 96.2,
    "growth": 0.041,
    "growth_low": 0.028,
    "growth_high": 0.056,
    "peak": 231.0,
    "peak_low": 219.0,
    "peak_high": 244.0,
    "next_peak": 238.0,
    "next_peak_low": 221.0,
    "next_peak_high": 256.0,
    "next_peak_at": "2026-12-14T19:00:00Z",
    "shifts": [],
    "model_name": "average of exponential smoothing 65%, autoregression 17%, seasonal naive 18% (seasons 24 and 168)",
    "is_naive": False,
    "tested": {
        "origins": 3,
        "horizon_h": 168,
        "mase": 0.54,
        "naive_mase": 1.25,
        "covered": {"50": 0.5, "80": 0.84, "95": 0.97},
    },
    "notes": [],
    "has_ended": False,
}
_WHOLE = {
    **_REPORT,
    "sentence": "Organic +4.1 % a month (2.8 to 5.6); the 12 November peak was 6.3 times normal and is not growth.",
    "forecast": [
        {
            "at": "2026-11-23T02:00:00Z",
            "point": 61.0,
            "lower50": 58.8,
            "upper50": 63.1,
            "lower80": 56.7,
            "upper80": 65.2,
            "lower95": 54.4,
            "upper95": 67.6,
        }
    ],
}
_DETECTED: dict[str, Any] = {
    "ref": _REF,
    "metric": _REF,
    "starts_at": "2026-11-12T06:00:00Z",
    "ends_at": "2026-11-14T02:00:00Z",
    "peak_at": "2026-11-12T19:00:00Z",
    "peak": 1310.0,
    "expected": 208.0,
    "multiple": 6.3,
    "score": 41.5,
    "lead_in_s": 46800,
    "half_life_s": 36000,
    "is_over": True,
    "state": "proposed",
    "event": None,
    "name": None,
    "decided_by_name": None,
    "decided_at": None,
    "reason": "",
    "servers_added": None,
    "scale_up_records": [],
}
_POOL: dict[str, Any] = {
    "ref": _REF,
    "connection": _REF,
    "balancer_id": "71",
    "name": "web",
    "metric": _REF,
    "headroom": 0.2,
    "fewest": 2,
    "servers": 6,
    "not_answering": 0,
    "flavor": "general1-4",
    "sizes": {"general1-4": 6},
    "seen_at": _AT,
    "needed_now": 4,
    "needed_peak": 4,
    "surplus": 2,
    "missing_on": None,
    "missing_limit_rps": None,
    "missing_planned": 5,
    "may_miss_planned": None,
    "missing_planned_at": "2027-03-01T06:00:00Z",
    "missing_most": None,
    "missing_most_at": None,
    "lasts": "ends",
    "lasts_until": "2027-05-14T08:00:00Z",
    "sentence": "Organic +4.1 % a month (2.8 to 5.6); at this rate 6 servers last until about mid-May (April to July).",
    "judged_at": _AT,
}
_SIZING: dict[str, Any] = {
    "servers": 6,
    "flavor": "general1-4",
    "carries_rps": 90.0,
    "carries_is_least": False,
    "headroom": 0.2,
    "fewest": 2,
    "peak_now_rps": 231.0,
    "peak_next_rps": 238.0,
    "needed_now": 4,
    "needed_peak": 4,
    "events": [
        {
            "name": "Spring sale",
            "starts_at": "2027-03-01T06:00:00Z",
            "multiple": 3.0,
            "peak_rps": 790.0,
            "seen_rps": None,
            "servers": 11,
            "more": 5,
            "is_over_limit": False,
        }
    ],
    "on": None,
    "headroom_now": 0.572,
    "lasts": {
        "state": "ends",
        "at": "2027-05-14T08:00:00Z",
        "earliest": "2027-04-02T11:00:00Z",
        "latest": "2027-07-20T21:00:00Z",
        "is_least": False,
        "limit_rps": None,
    },
    "surplus": 2,
    "kept_for_host": 0,
    "is_host_too_much": False,
    "saving": {"server_hours": "1461.00", "money": "525.96", "currency": "EUR"},
    "limit_rps": 1200.0,
    "is_over_limit": False,
}
_SIZED = {
    "pool": _POOL,
    "sentence": "Organic +4.1 % a month (2.8 to 5.6); at this rate 6 servers last until about mid-May (April to July).",
    "sizing": _SIZING,
    "plan_url": "",
}
_PRICE: dict[str, Any] = {
    "ref": _REF,
    "flavor": "general1-4",
    "an_hour": "0.360000",
    "currency": "EUR",
    "entered_by_name": "Jonas Berg",
    "at": _AT,
}


class GrowthReportApi(PortalAPIView):
    """A metric's growth report."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.SAMPLE_ADD

    @documented(
        "metrics_growth",
        GrowthReportWholeOut,
        summary="Read a metric's growth report",
        example=_WHOLE,
        tag="capacity",
    )
    def get(self, request: Request, metric_ref: UUID) -> Response:
        """404 where nobody asked for one: vital figures and the demand of sized pools have theirs made each night."""
        metric = self.find(Metric, metric_ref)
        report = selectors.reports().get(metric=metric) if hasattr(metric, "growth_report") else None
        if report is None:
            raise Http404("No report of this metric was asked for; POST asks for one.")
        return self.show(GrowthReportWholeOut, report)

    @documented(
        "metrics_growth_ask",
        GrowthReportOut,
        summary="Ask for a metric's growth report anew",
        status=202,
        once=True,
        example={**_REPORT, "state": "waiting", "made_at": None},
        tag="capacity",
    )
    def post(self, request: Request, metric_ref: UUID) -> Response:
        """A worker makes it within moments; read it then."""
        metric = self.find(Metric.objects.select_related("account"), metric_ref)

        def effect() -> Response:
            report = services.ask(metric, actor=self.user)
            return self.show(GrowthReportOut, selectors.reports().get(pk=report.pk), status=202)

        return self.once(effect)


class GrowthReportListApi(PortalAPIView):
    """Growth reports of an account."""

    permission = Permission.SAMPLE_VIEW

    @documented(
        "growth_reports_list",
        GrowthReportOut,
        summary="List growth reports",
        paged=True,
        example=_REPORT,
        tag="capacity",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Without forecasts."""
        account = self.find(Account, account_ref)
        return self.page(selectors.reports().filter(metric__account=account), GrowthReportOut, order="id")


class DetectedEventListApi(PortalAPIView):
    """What was detected in an account's metrics."""

    permission = Permission.SAMPLE_VIEW

    @documented(
        "detected_events_list",
        DetectedEventOut,
        summary="List detected events",
        paged=True,
        example=_DETECTED,
        tag="capacity",
        parameters=[
            OpenApiParameter(
                "state",
                OpenApiTypes.STR,
                enum=[DetectedState.PROPOSED.value, DetectedState.NAMED.value, DetectedState.DISMISSED.value],
                description="Only these.",
            )
        ],
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Newest first; what is no longer seen is left out."""
        account = self.find(Account, account_ref)
        rows = selectors.profiled().filter(account=account)
        state = request.query_params.get("state", "")
        if state:
            if state not in DetectedState.values or state == DetectedState.WITHDRAWN:
                raise Refused("`state` is proposed, named or dismissed.", code="bad_filter")
            rows = rows.filter(state=state)
        return self.page(rows, DetectedEventOut, order="-starts_at", filters={"state": state})


class DetectedNameApi(PortalAPIView):
    """Name what was detected."""

    permission = Permission.SAMPLE_ADD

    @documented(
        "detected_events_name",
        DetectedEventOut,
        summary="Name a detected event",
        request=DetectedNameIn,
        once=True,
        example={**_DETECTED, "state": "named", "event": _REF, "name": "Autumn launch"},
        request_example={"name": "Autumn launch"},
        tag="capacity",
    )
    def post(self, request: Request, detected_ref: UUID) -> Response:
        """It becomes a traffic event; the same stretch in other metrics goes with it. A fall is none: 422, dismiss it with the reason."""
        row = self.find(selectors.detected(), detected_ref)
        data = self.read(DetectedNameIn)

        def effect() -> Response:
            detected.name_detected(row, name=data["name"], actor=self.user)
            return self.show(DetectedEventOut, selectors.profiled().get(pk=row.pk))

        return self.once(effect)


class DetectedDismissApi(PortalAPIView):
    """Say that it was no event."""

    permission = Permission.SAMPLE_ADD

    @documented(
        "detected_events_dismiss",
        DetectedEventOut,
        summary="Dismiss a detected event",
        request=DetectedDismissIn,
        once=True,
        example={**_DETECTED, "state": "dismissed", "reason": "A crawler."},
        request_example={"reason": "A crawler.", "also": []},
        tag="capacity",
    )
    def post(self, request: Request, detected_ref: UUID) -> Response:
        """It stays out of growth and forecasts all the same. The same stretch in other metrics still waits, unless `also` names it."""
        row = self.find(selectors.detected(), detected_ref)
        data = self.read(DetectedDismissIn)

        def effect() -> Response:
            detected.dismiss_detected(row, reason=data["reason"], also=data["also"], actor=self.user)
            return self.show(DetectedEventOut, selectors.profiled().get(pk=row.pk))

        return self.once(effect)


class SizedPoolListApi(PortalAPIView):
    """Pools that are sized by a metric."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.SAMPLE_ADD

    @documented(
        "sized_pools_list",
        SizedPoolRowOut,
        summary="List sized pools",
        paged=True,
        example=_POOL,
        tag="capacity",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Without what they need; the pool itself says that."""
        account = self.find(Account, account_ref)
        return self.page(selectors.listed_pools().filter(account=account), SizedPoolRowOut, order="id")

    @documented(
        "sized_pools_add",
        SizedPoolOut,
        summary="Size a pool by a metric",
        request=SizedPoolAddIn,
        status=201,
        once=True,
        example=_SIZED,
        request_example={"connection": _REF, "balancer_id": "71", "metric": _REF, "headroom": 0.2},
        tag="capacity",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """`POST …/look` then asks the provider how many servers there are, and whether it has such a load balancer. 409 for a
        pool that is sized already."""
        account = self.find(Account, account_ref)
        data = self.read(SizedPoolAddIn)
        ref, balancer_id = data.pop("connection"), data.pop("balancer_id")
        connection = CloudConnection.objects.defer("api_key").filter(account=account, ref=ref).first()
        if connection is None:
            raise ValidationError({"connection": ["The account has no such cloud connection."]})
        fields = _with_metric(account, data)

        def effect() -> Response:
            pool = sized.size_pool(account, connection, balancer_id, actor=self.user, **fields)
            return Response(_sized(pool), status=201)

        return self.once(effect)


class SizedPoolApi(PortalAPIView):
    """One sized pool."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.SAMPLE_ADD

    @documented(
        "sized_pools_read", SizedPoolOut, summary="Read what a pool needs", example=_SIZED, tag="capacity"
    )
    def get(self, request: Request, pool_ref: UUID) -> Response:
        """Now, at the forecast peak and for each planned event; how long it lasts; what is more than needed. The ETag is of its rules."""
        return _shown(self.find(selectors.pools(), pool_ref))

    @documented(
        "sized_pools_change",
        SizedPoolOut,
        summary="Change by what a pool is sized",
        request=SizedPoolIn,
        once=True,
        if_match=True,
        example=_SIZED,
        request_example={"metric": _REF, "headroom": 0.25, "fewest": 3},
        tag="capacity",
    )
    def put(self, request: Request, pool_ref: UUID) -> Response:
        """What is left out stays as it is."""
        pool = self.find(selectors.pools(), pool_ref)
        fields = _with_metric(pool.account, self.read(SizedPoolIn))

        def effect() -> Response:
            self._match(pool)
            return _shown(sized.change_pool(pool, actor=self.user, **fields))

        return self.once(effect)

    @documented(
        "sized_pools_remove",
        None,
        summary="Size a pool no more",
        status=204,
        if_match=True,
        tag="capacity",
    )
    def delete(self, request: Request, pool_ref: UUID) -> Response:
        """What was measured stays."""
        pool = self.find(selectors.pools(), pool_ref)
        with transaction.atomic():
            self._match(pool)
            sized.remove_pool(pool, actor=self.user)
        return Response(status=204)

    def _match(self, pool: SizedPool) -> None:
        """Ask for the rules as they are now, and keep others from changing them until the transaction ends."""
        now = versions.locked_pool(pool)
        self.match(now, versions.rules_version(now))


class SizedPoolLookApi(PortalAPIView):
    """Ask the provider."""

    permission = Permission.SAMPLE_ADD

    @documented(
        "sized_pools_look",
        SizedPoolOut,
        summary="Look at the provider how many servers a pool has",
        once=True,
        asks_provider=True,
        example=_SIZED,
        tag="capacity",
    )
    def post(self, request: Request, pool_ref: UUID) -> Response:
        """Reads only."""
        pool = self.find(selectors.pools().defer(None), pool_ref)
        return self.once(lambda: Response(_sized(sized.look_at(pool))))


class WhatIfApi(PortalAPIView):
    """What if."""

    permission = Permission.SAMPLE_VIEW

    @documented(
        "sized_pools_what_if",
        WhatIfOut,
        summary="Try out another growth, event, size or number of servers",
        example={
            "needed": 4,
            "carries_from": "",
            "doubts": [],
            "needed_cost": {"server_hours": "2922.00", "money": "1051.92", "currency": "EUR"},
            "sizing": _SIZING,
        },
        tag="capacity",
        parameters=[
            OpenApiParameter("growth", OpenApiTypes.FLOAT, description="Percent a month, −50 to 200."),
            OpenApiParameter("multiple", OpenApiTypes.FLOAT, description="An event: times normal, 1 to 100."),
            OpenApiParameter("headroom", OpenApiTypes.FLOAT, description="Percent that stays free, 0 to 90."),
            OpenApiParameter("servers", OpenApiTypes.INT, description="How many there are, 1 to 10,000."),
            OpenApiParameter(
                "flavor",
                OpenApiTypes.STR,
                description="Of which size; one with a price, a ceiling or a benchmark.",
            ),
            OpenApiParameter(
                "carries", OpenApiTypes.FLOAT, description="What one carries, in requests per second."
            ),
        ],
    )
    def get(self, request: Request, pool_ref: UUID) -> Response:
        """What is left out stays as it is; nothing is kept."""
        pool = self.find(selectors.pools(), pool_ref)
        form = forms.WhatIfForm(request.query_params, flavors=flavors_of(pool))
        if not form.is_valid():
            raise ValidationError({name: [str(one) for one in says] for name, says in form.errors.items()})
        return Response(WhatIfOut(_tried(try_out(pool, form.tried(), timezone.now()))).data)


class ServerPriceListApi(PortalAPIView):
    """What servers cost an account."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.SAMPLE_ADD

    @documented(
        "server_prices_list",
        ServerPriceOut,
        summary="List prices of servers",
        paged=True,
        example=_PRICE,
        tag="capacity",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """By size."""
        account = self.find(Account, account_ref)
        rows = ServerPrice.objects.filter(account=account).select_related("entered_by")
        return self.page(rows, ServerPriceOut, order="flavor")

    @documented(
        "server_prices_set",
        ServerPriceOut,
        summary="Say what a server of one size costs an hour",
        request=ServerPriceIn,
        once=True,
        example=_PRICE,
        request_example={"flavor": "general1-4", "an_hour": "0.36", "currency": "EUR"},
        tag="capacity",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """One of the same size is replaced."""
        account = self.find(Account, account_ref)
        data = self.read(ServerPriceIn)

        def effect() -> Response:
            price = sized.set_price(account, actor=self.user, **data)
            return self.show(ServerPriceOut, price, version=versions.price_version(price))

        return self.once(effect)


class ServerPriceApi(PortalAPIView):
    """One price."""

    permission = Permission.SAMPLE_VIEW
    write_permission = Permission.SAMPLE_ADD

    @documented("server_prices_read", ServerPriceOut, summary="Read a price", example=_PRICE, tag="capacity")
    def get(self, request: Request, price_ref: UUID) -> Response:
        """With an ETag."""
        price = self.find(ServerPrice.objects.select_related("account", "entered_by"), price_ref)
        return self.show(ServerPriceOut, price, version=versions.price_version(price))

    @documented(
        "server_prices_remove",
        None,
        summary="Take a price away",
        status=204,
        if_match=True,
        tag="capacity",
    )
    def delete(self, request: Request, price_ref: UUID) -> Response:
        """Estimates are told in server-hours then."""
        price = self.find(ServerPrice.objects.select_related("account"), price_ref)
        self.match(price, versions.price_version(price))
        sized.remove_price(price, actor=self.user)
        return Response(status=204)


def _with_metric(account: Account, data: dict[str, Any]) -> dict[str, Any]:
    metric = Metric.objects.select_related("account").filter(account=account, ref=data.pop("metric")).first()
    if metric is None:
        raise ValidationError({"metric": ["The account has no such metric."]})
    return {**data, "metric": metric}


def _shown(pool: SizedPool) -> Response:
    found = selectors.pools().get(pk=pool.pk)
    return Response(_sized(found), headers={"ETag": etag_of(found, versions.rules_version(found))})


def _sized(pool: SizedPool) -> dict[str, Any]:
    found = selectors.sized(selectors.pools().get(pk=pool.pk), timezone.now())
    doubts = doubts_about(pool.connection, pool.balancer_id, found.ceiling) if found.ceiling else ()
    answer = {
        "pool": found.pool,
        "sentence": found.sentence,
        "sizing": found.sizing,
        "doubts": list(doubts),
        "plan_url": plan_url_of(found, doubts),
    }
    return dict(SizedPoolOut(answer).data)


def _tried(answer: Tried) -> dict[str, Any]:
    return {
        "needed": answer.needed,
        "carries_from": answer.carries_from,
        "doubts": list(answer.doubts),
        "needed_cost": answer.needed_cost,
        "sizing": answer.sizing,
    }
