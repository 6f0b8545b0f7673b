"""Metrics through the API: samples in, the list, one metric's series out."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Account
from capacity.metrics import services
from capacity.metrics.asked import moment_asked
from capacity.metrics.kinds import Good, MetricKind
from capacity.metrics.models import Metric
from capacity.metrics.reading import COLUMNS, Limits, Problem, Reading, read_csv, read_list
from capacity.metrics.wire import MOST_BYTES, SamplesCSV, SamplesJSON
from portal.access import Permission
from portal.api import PortalAPIView, documented
from portal.errors import Malformed, Refused

MOST_SAMPLES = 50_000
MOST_POINTS = 5000
_POINTS = 1000
_STEPS = ("raw", "hour", "day")
_REF = "0b8f6b1e-0a5e-4d9b-9a5c-5a4f3c1f8a11"


class SampleIn(serializers.Serializer[Any]):
    """One value at one moment: ISO 8601 with its zone, or seconds since 1970."""

    name = serializers.CharField(max_length=100)
    at = serializers.CharField()
    value = serializers.FloatField()
    resource = serializers.CharField(max_length=200, required=False, allow_blank=True)
    unit = serializers.CharField(max_length=30, required=False, allow_blank=True)
    kind = serializers.ChoiceField(choices=MetricKind.choices, required=False)
    source = serializers.CharField(max_length=100, required=False, allow_blank=True)  # type: ignore[assignment]


class SamplesIn(serializers.Serializer[Any]):
    """Up to 50,000 samples."""

    samples = SampleIn(many=True)


class SampleProblemOut(serializers.Serializer[Any]):
    """What is wrong with one line of CSV, or one sample of a JSON list; both count from 1."""

    line = serializers.IntegerField()
    says = serializers.CharField()


class TakenOut(serializers.Serializer[Any]):
    """What became of the samples. `written` were new or had another value; the first 100 `problems` are told."""

    read = serializers.IntegerField()
    written = serializers.IntegerField()
    metrics_added = serializers.IntegerField()
    wrong = serializers.IntegerField()
    problems = SampleProblemOut(many=True)


class MetricOut(serializers.ModelSerializer[Metric]):
    """One series of figures; `last_at` and `last_value` are null before the first sample."""

    good = serializers.ChoiceField(choices=Good.choices, source="manner.good")
    adds_up = serializers.BooleanField(source="manner.adds_up")

    class Meta:
        model = Metric
        fields = (
            "ref",
            "name",
            "resource",
            "source",
            "unit",
            "kind",
            "good",
            "adds_up",
            "is_vital",
            "last_at",
            "last_value",
        )


class VitalIn(serializers.Serializer[Any]):
    """Whether the account counts this figure among its vital ones."""

    is_vital = serializers.BooleanField()


class MetricPointOut(serializers.Serializer[Any]):
    """A sample, or the hour or day from `at` on: then `value` is the mean. null: not of a single sample.

    An hour or a day (UTC) that is not over holds the samples so far, and changes with each further one.
    """

    at = serializers.DateTimeField()
    value = serializers.FloatField()
    count = serializers.IntegerField(allow_null=True)
    min = serializers.FloatField(allow_null=True)
    max = serializers.FloatField(allow_null=True)
    p50 = serializers.FloatField(allow_null=True)
    p95 = serializers.FloatField(allow_null=True)


class MetricSeriesOut(serializers.Serializer[Any]):
    """Points in order of time from `from` on and before `to`; `next` leads to the rest."""

    vars()["from"] = serializers.DateTimeField()
    to = serializers.DateTimeField()
    step = serializers.ChoiceField(choices=_STEPS)
    results = MetricPointOut(many=True)
    next = serializers.CharField(allow_null=True)


_METRIC: dict[str, Any] = {
    "ref": _REF,
    "name": "requests_per_s",
    "resource": "shop",
    "source": "api",
    "unit": "requests/s",
    "kind": "throughput",
    "good": "more",
    "adds_up": True,
    "is_vital": True,
    "last_at": "2026-11-23T12:10:00Z",
    "last_value": 120.5,
}


class SamplesApi(PortalAPIView):
    """Hand in samples."""

    permission = Permission.SAMPLE_ADD
    parser_classes = [SamplesJSON, SamplesCSV]
    max_body_bytes = MOST_BYTES

    @documented(
        "samples_add",
        TakenOut,
        summary="Hand in samples of metrics",
        request={"application/json": SamplesIn, "text/csv": OpenApiTypes.STR},
        once=True,
        example={
            "read": 2,
            "written": 1,
            "metrics_added": 1,
            "wrong": 1,
            "problems": [{"line": 2, "says": "at: this is in the future."}],
        },
        request_example={
            "samples": [
                {"name": "requests_per_s", "resource": "shop", "at": "2026-11-23T12:10:00Z", "value": 120.5}
            ]
        },
        parameters=[
            OpenApiParameter(
                "keep",
                OpenApiTypes.STR,
                enum=["none", "good"],
                description="What is kept where lines are wrong: nothing (422), or the good ones. `none` if not given.",
            )
        ],
        tag="capacity",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """JSON or CSV (`Content-Type: text/csv`), also with `Content-Encoding: gzip`; at most 8 MiB as it comes and unpacked,
        and 50,000 samples. The same sample again changes nothing, another value for the same moment replaces it.
        """
        account = self.find(Account, account_ref)
        given = self.request.data if isinstance(self.request.data, dict) else {}
        if not given and request.content_type.partition(";")[0].strip().lower() == SamplesCSV.media_type:
            # A body without anything in it is given to no parser.
            given = {"csv": ""}
        keep = given.get("keep", "")
        if keep not in ("", "none", "good"):
            raise Malformed("`keep` is none or good.", code="unknown_parameter")
        rows = _rows(given, services.limits_at(timezone.now(), "api"))

        def effect() -> Response:
            try:
                taken = services.take_in(account, rows, keep_good=keep == "good", actor=self.user)
            except services.SamplesRefused as refusal:
                raise ValidationError(
                    {f"line {problem.line}": [problem.says] for problem in refusal.taken.problems}
                ) from refusal
            return Response(TakenOut(taken).data)

        return self.once(effect)


def _rows(given: dict[str, Any], limits: Limits) -> list[Reading | Problem]:
    found: Iterator[Reading | Problem]
    if "csv" in given:
        found = read_csv(io.StringIO(given["csv"], newline=""), limits)
    else:
        body = given.get("body")
        samples = body.get("samples") if isinstance(body, dict) else None
        if not isinstance(samples, list):
            raise ValidationError({"samples": [f"This is a list of objects with {', '.join(COLUMNS)}."]})
        unknown = [name for name in body or () if name != "samples"]
        if unknown:
            raise ValidationError({unknown[0]: ["There is no such field."]})
        found = read_list(samples, limits)
    rows = list(islice(found, MOST_SAMPLES + 1))
    if len(rows) > MOST_SAMPLES:
        raise Refused(
            f"One request has at most {MOST_SAMPLES:,} samples. Nothing was taken in.", code="too_many"
        )
    return rows


class MetricListApi(PortalAPIView):
    """Metrics of an account."""

    permission = Permission.SAMPLE_VIEW

    @documented(
        "metrics_list", MetricOut, summary="List metrics", paged=True, example=_METRIC, tag="capacity"
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """By name."""
        account = self.find(Account, account_ref)
        return self.page(Metric.objects.filter(account=account), MetricOut, order="name")


class MetricVitalApi(PortalAPIView):
    """Whether a metric is one of the account's vital figures."""

    permission = Permission.SAMPLE_ADD

    @documented(
        "metrics_vital",
        MetricOut,
        summary="Count a metric among the vital figures, or no more",
        request=VitalIn,
        once=True,
        example=_METRIC,
        request_example={"is_vital": True},
        tag="capacity",
    )
    def post(self, request: Request, metric_ref: UUID) -> Response:
        """Vital figures are shown first."""
        metric = self.find(Metric, metric_ref)
        data = self.read(VitalIn)
        return self.once(
            lambda: self.show(MetricOut, services.set_vital(metric, data["is_vital"], actor=self.user))
        )


class MetricPointsApi(PortalAPIView):
    """The series of a metric."""

    permission = Permission.SAMPLE_VIEW

    @documented(
        "metrics_points",
        MetricSeriesOut,
        summary="Read a metric's series",
        example={
            "from": "2026-11-16T12:30:00Z",
            "to": "2026-11-23T12:30:00Z",
            "step": "hour",
            "results": [
                {
                    "at": "2026-11-23T12:00:00Z",
                    "value": 118.2,
                    "count": 12,
                    "min": 101.0,
                    "max": 131.5,
                    "p50": 118.0,
                    "p95": 130.1,
                }
            ],
            "next": None,
        },
        parameters=[
            OpenApiParameter("step", OpenApiTypes.STR, enum=_STEPS, description="`hour` if not given."),
            OpenApiParameter(
                "from", OpenApiTypes.DATETIME, description="Seven days before `to` if not given."
            ),
            OpenApiParameter("to", OpenApiTypes.DATETIME, description="Not in it; now if not given."),
            OpenApiParameter(
                "limit", OpenApiTypes.INT, description=f"1 to {MOST_POINTS}; {_POINTS} if not given."
            ),
            OpenApiParameter(
                "fields",
                OpenApiTypes.STR,
                description="Only these fields of each point, separated by commas.",
            ),
        ],
        tag="capacity",
    )
    def get(self, request: Request, metric_ref: UUID) -> Response:
        """In order of time. A stretch without samples has no point: that is no data, not zero.

        `from` and `to` say which stretch was answered. 422 where `from` lies behind `to`.
        """
        from capacity.metrics import series

        metric = self.find(Metric, metric_ref)
        asked = request.query_params
        step = asked.get("step", "hour")
        if step not in _STEPS:
            raise Malformed(f"`step` is one of {', '.join(_STEPS)}.", code="unknown_parameter")
        ends = moment_asked(asked.get("to"), "to") or timezone.now()
        begins = moment_asked(asked.get("from"), "from") or ends - timedelta(days=7)
        if begins > ends:
            raise ValidationError({"from": ["`from` lies behind `to`; without `to` that is now."]})
        limit = _limit(asked.get("limit"))
        found = series.read(metric, step, begins, ends, limit=limit + 1)
        moments = [_EPOCH + timedelta(microseconds=int(at)) for at in found.pop("at")]
        rows = zip(*(column.tolist() for column in found.values()), strict=True)
        points = [
            _BLANK | dict(zip(found, row, strict=True)) | {"at": at}
            for at, row in zip(moments[:limit], rows, strict=False)
        ]
        following = None
        if len(moments) > limit:
            rest = {"step": step, "from": moments[limit].isoformat(), "to": ends.isoformat(), "limit": limit}
            if "fields" in asked:
                rest["fields"] = asked["fields"]
            following = f"{request.build_absolute_uri(request.path)}?{urlencode(rest)}"
        for point in points:
            point.setdefault("value", point.pop("mean", None))
        data = MetricSeriesOut(
            {"from": begins, "to": ends, "step": step, "results": points, "next": following}
        ).data
        return Response({**data, "results": [self._thinned(point) for point in data["results"]]})


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BLANK: dict[str, Any] = dict.fromkeys(("count", "min", "max", "p50", "p95"))


def _limit(given: str | None) -> int:
    if given is None:
        return _POINTS
    is_number = given.isascii() and given.isdigit() and len(given) < 10
    if not (is_number and 1 <= int(given) <= MOST_POINTS):
        raise Malformed(f"`limit` is a number from 1 to {MOST_POINTS}.", code="unknown_parameter")
    return int(given)
