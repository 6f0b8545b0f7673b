"""What is known of a pool, through the API."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Account, CloudConnection, Contact
from accounts.networks import networks_of
from capacity import events, services
from capacity.counts import check_template
from capacity.forms import gaps
from capacity.models import CountKind, CountSource, Probe, TrafficEvent
from capacity.reference import Site, reference_for, sizes_of
from capacity.sizing import MOST_MULTIPLE
from portal.access import Permission
from portal.api import PortalAPIView, documented, etag_of, judged
from portal.egress import Rules, check_url, rules_from_settings


class FigureOut(serializers.Serializer[Any]):
    """One figure in requests per second, with source, author and time."""

    requests_per_s = serializers.FloatField()
    source = serializers.CharField()  # type: ignore[assignment]
    author = serializers.CharField()
    at = serializers.DateTimeField()


class CeilingFigureOut(FigureOut):
    """The most that one server carries."""

    is_least = serializers.BooleanField(
        help_text="A lower bound: it carried that much and was never pushed to where it fails, so it may carry more."
    )
    mix = serializers.CharField(
        help_text="The mix of requests that it was measured with, empty where that is not said."
    )


class CeilingOfSizeOut(CeilingFigureOut):
    """What one server of a size carries. `flavor` "" is *not said*: it counts for every size, any other for that one alone."""

    flavor = serializers.CharField()


class ObjectiveOut(serializers.Serializer[Any]):
    """What the site promises. Shares 0 to 1; null is *not promised*."""

    error_ratio = serializers.FloatField(allow_null=True)
    latency_ms = serializers.FloatField(allow_null=True)
    latency_share = serializers.FloatField()
    source = serializers.CharField()  # type: ignore[assignment]
    author = serializers.CharField()
    at = serializers.DateTimeField()


class BaselineOut(serializers.Serializer[Any]):
    """What one probe was measured at under one load per node; null is *not measured*, `at` when it was measured."""

    probe = serializers.CharField()
    load_per_node_rps = serializers.FloatField(allow_null=True)
    latency_p50_ms = serializers.FloatField(allow_null=True)
    latency_p95_ms = serializers.FloatField(allow_null=True)
    error_ratio = serializers.FloatField(allow_null=True)
    source = serializers.CharField()  # type: ignore[assignment]
    author = serializers.CharField()
    at = serializers.DateTimeField()


class PoolEventOut(serializers.Serializer[Any]):
    """The account's traffic event that is on, else the next one, else the last one; unknown peaks are null."""

    name = serializers.CharField()
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    expected_multiple = serializers.FloatField(allow_null=True)
    observed_peak_rps = serializers.FloatField(allow_null=True)
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


class PeakOut(FigureOut):
    """The next peak of the pool; `expected_at` null: when is not known."""

    expected_at = serializers.DateTimeField(allow_null=True)


class CountSourceOut(serializers.ModelSerializer[CountSource]):
    """Where the connection count of each server is read; `{address}` stands for the server's."""

    class Meta:
        model = CountSource
        fields = ("kind", "url_template")


class PoolKnownOut(serializers.Serializer[Any]):
    """What is known of a pool. null is *unknown*. The ceiling and the load that was fine are per node, the peak for the pool."""

    ceiling = CeilingFigureOut(allow_null=True)
    ceilings = CeilingOfSizeOut(many=True)
    forecast_peak = PeakOut(allow_null=True)
    objective = ObjectiveOut(allow_null=True)
    baselines = BaselineOut(many=True)
    fine_load = FigureOut(allow_null=True)
    event = PoolEventOut(allow_null=True)
    count_source = CountSourceOut(allow_null=True)
    probes = ProbeOut(many=True)


class PoolKnownIn(serializers.Serializer[Any]):
    """What is newly known; what is left out stays as it is."""

    ceiling_rps = serializers.FloatField(min_value=0.001, required=False)
    ceiling_source = serializers.CharField(max_length=200, required=False)
    forecast_rps = serializers.FloatField(min_value=0.001, required=False)
    forecast_at = serializers.DateTimeField(required=False, help_text="When that peak is expected.")
    forecast_source = serializers.CharField(max_length=200, required=False)
    objective_error_ratio = serializers.FloatField(min_value=0, max_value=0.999, required=False)
    objective_latency_ms = serializers.FloatField(min_value=0.001, required=False)
    objective_latency_share = serializers.FloatField(min_value=0.001, max_value=0.999, required=False)
    objective_source = serializers.CharField(max_length=200, required=False)
    baseline_probe = serializers.CharField(max_length=100, required=False, allow_blank=True)
    baseline_load_rps = serializers.FloatField(min_value=0.001, required=False)
    baseline_p50_ms = serializers.FloatField(min_value=0.001, required=False)
    baseline_p95_ms = serializers.FloatField(min_value=0.001, required=False)
    baseline_error_ratio = serializers.FloatField(min_value=0, max_value=0.999, required=False)
    baseline_measured_at = serializers.DateTimeField(required=False)
    baseline_source = serializers.CharField(max_length=200, required=False)
    fine_rps = serializers.FloatField(min_value=0.001, required=False)
    fine_seen_at = serializers.DateTimeField(required=False)
    fine_source = serializers.CharField(max_length=200, required=False)
    count_kind = serializers.ChoiceField(choices=CountKind.choices, required=False)
    count_url = serializers.CharField(max_length=500, required=False)
    probe_name = serializers.CharField(max_length=100, required=False)
    probe_url = serializers.URLField(max_length=500, required=False)
    probe_latency_limit_ms = serializers.FloatField(min_value=1, required=False, allow_null=True)

    def validate_count_url(self, value: str) -> str:
        """Refuse an address that the portal would not ask."""
        return judged(partial(check_template, rules=self._rules()), value)

    def validate_probe_url(self, value: str) -> str:
        """Refuse an address that the portal would not open."""
        return judged(partial(check_url, rules=self._rules()), value)

    def _rules(self) -> Rules:
        return rules_from_settings(networks_of(self.context["account"]))

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Ask that what belongs together is given together."""
        missing = dict(gaps(attrs))
        if missing:
            raise serializers.ValidationError(missing)
        return attrs


_FIGURE = {
    "requests_per_s": 90.0,
    "source": "step benchmark, May",
    "author": "Jonas Berg",
    "at": "2026-11-23T12:10:00Z",
}
_EXAMPLE: dict[str, Any] = {
    "ceiling": {**_FIGURE, "is_least": False, "mix": "70 % cached, 30 % search"},
    "ceilings": [{**_FIGURE, "is_least": False, "mix": "70 % cached, 30 % search", "flavor": "general1-4"}],
    "forecast_peak": None,
    "objective": {
        "error_ratio": 0.001,
        "latency_ms": 400.0,
        "latency_share": 0.95,
        "source": "contract, annex 2",
        "author": "Jonas Berg",
        "at": "2026-11-23T12:10:00Z",
    },
    "baselines": [
        {
            "probe": "front page",
            "load_per_node_rps": 42.0,
            "latency_p50_ms": 84.0,
            "latency_p95_ms": 120.0,
            "error_ratio": 0.0,
            "source": "an hour of probes",
            "author": "Jonas Berg",
            "at": "2026-11-22T12:00:00Z",
        }
    ],
    "fine_load": None,
    "event": None,
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
        """Figures with their source, probes, how connections are counted. `ETag` is another one once other ceilings count."""
        connection = self.find(CloudConnection.objects.defer("api_key"), connection_ref)
        return self._known(connection, balancer_id)

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
        """Earlier figures stay as history. With `If-Match` a ceiling is entered only where the one that was read still counts."""
        connection = self.find(CloudConnection.objects.defer("api_key"), connection_ref)
        data = self.read(PoolKnownIn, context={"account": connection.account})

        def effect() -> Response:
            if self.request.headers.get("If-Match") and data.get("ceiling_rps"):
                services.lock_known(connection)
                site = Site(connection.ref, balancer_id)
                self.match(connection, sizes_of(self.account, site, timezone.now()).version)
            services.enter_known(connection, balancer_id, data, actor=self.user)
            return self._known(connection, balancer_id)

        return self.once(effect)

    def _known(self, connection: CloudConnection, balancer_id: str) -> Response:
        of_pool = {"connection": connection, "balancer_id": balancer_id}
        site, now = Site(connection.ref, balancer_id), timezone.now()
        found, sizes = reference_for(self.account, site, now), sizes_of(self.account, site, now)
        known = {
            "ceiling": found.ceiling if found else None,
            "ceilings": sizes.ceilings,
            "forecast_peak": found.forecast_peak if found else None,
            "objective": found.objective if found else None,
            "baselines": found.baselines if found else (),
            "fine_load": found.fine_load if found else None,
            "event": found.event if found else None,
            "count_source": CountSource.objects.filter(**of_pool).first(),
            "probes": Probe.objects.filter(**of_pool).order_by("name"),
        }
        return Response(PoolKnownOut(known).data, headers={"ETag": etag_of(connection, sizes.version)})


class TrafficEventOut(serializers.ModelSerializer[TrafficEvent]):
    """A stretch of time with exceptional traffic; unknown peaks are null. `freeze` is its entry in the calendar, null without one.

    `contacts` are those who are called during it; none are the account's. `is_peak_measured`: the observed peak is from a series.
    """

    contacts = serializers.SerializerMethodField()
    has_freeze = serializers.SerializerMethodField()
    freeze = serializers.SerializerMethodField()
    author = serializers.SerializerMethodField()

    class Meta:
        model = TrafficEvent
        fields = (
            "ref",
            "name",
            "starts_at",
            "ends_at",
            "expected_multiple",
            "observed_peak_rps",
            "is_peak_measured",
            "source",
            "contacts",
            "has_freeze",
            "freeze_hours_before",
            "freeze_hours_after",
            "freeze",
            "author",
            "created_at",
            "updated_at",
        )

    def get_contacts(self, row: TrafficEvent) -> list[UUID]:
        """Return who is called during it, by reference."""
        return sorted(one.ref for one in row.contacts.all())

    def get_has_freeze(self, row: TrafficEvent) -> bool:
        """Return whether changes are held back around it."""
        return row.freeze_id is not None

    def get_freeze(self, row: TrafficEvent) -> UUID | None:
        """Return the entry of the calendar."""
        return row.freeze.ref if row.freeze is not None else None

    def get_author(self, row: TrafficEvent) -> str:
        """Return who entered it; empty for the portal itself."""
        return str(row.entered_by) if row.entered_by is not None else ""


class TrafficEventIn(serializers.Serializer[Any]):
    """A traffic event, planned or past."""

    name = serializers.CharField(max_length=200)
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    expected_multiple = serializers.FloatField(
        min_value=0.001, max_value=MOST_MULTIPLE, required=False, allow_null=True
    )
    observed_peak_rps = serializers.FloatField(min_value=0, required=False, allow_null=True)
    source = serializers.CharField(max_length=200, required=False, allow_blank=True)  # type: ignore[assignment]
    contacts = serializers.ListField(
        child=serializers.UUIDField(),
        max_length=events.MOST_CONTACTS,
        required=False,
        help_text="Contacts of the account who are called during it.",
    )
    has_freeze = serializers.BooleanField(
        required=False, help_text="A freeze in the account's calendar; needs the scope `calendar:write`."
    )
    freeze_hours_before = serializers.IntegerField(
        min_value=0, max_value=events.MOST_FREEZE_H, required=False
    )
    freeze_hours_after = serializers.IntegerField(min_value=0, max_value=events.MOST_FREEZE_H, required=False)


_EVENT_EXAMPLE: dict[str, Any] = {
    "ref": "0b8f6b1e-0a5e-4d9b-9a5c-5a4f3c1f8a11",
    "name": "Autumn launch",
    "starts_at": "2026-11-12T06:00:00Z",
    "ends_at": "2026-11-15T06:00:00Z",
    "expected_multiple": 2.0,
    "observed_peak_rps": 310.0,
    "is_peak_measured": True,
    "source": "marketing's calendar",
    "contacts": ["8b0d7d52-3f1e-4b0c-a0ab-4d5cf4d4c015"],
    "has_freeze": True,
    "freeze_hours_before": 24,
    "freeze_hours_after": 0,
    "freeze": "2f7d2a90-8f4c-4a52-9a44-0d8cbb1f7c11",
    "author": "Jonas Berg",
    "created_at": "2026-11-01T09:00:00Z",
    "updated_at": "2026-11-01T09:00:00Z",
}
_EVENTS = TrafficEvent.objects.select_related("account", "entered_by", "freeze").prefetch_related("contacts")


class _EventApi(PortalAPIView, abstract=True):
    """What asks for more than the scope of events where the calendar changes by it."""

    def said(self, account: Account, *, partial: bool = False) -> dict[str, Any]:
        """Return what was sent, with contacts as rows of the account."""
        data = dict(self.read(TrafficEventIn, partial=partial))
        if "contacts" in data:
            wanted = set(data["contacts"])
            data["contacts"] = list(Contact.objects.filter(account=account, ref__in=wanted))
            if len(data["contacts"]) < len(wanted):
                raise ValidationError({"contacts": ["The account has no such contact."]})
        return data

    def shown(self, row: TrafficEvent, status: int = 200) -> Response:
        """Answer with the event as it is kept."""
        return self.show(TrafficEventOut, _EVENTS.get(pk=row.pk), status=status)


class TrafficEventListApi(_EventApi):
    """Traffic events of an account."""

    permission = Permission.PLAN_VIEW
    write_permission = Permission.SAMPLE_ADD

    @documented(
        "traffic_events_list",
        TrafficEventOut,
        summary="List traffic events",
        paged=True,
        example=_EVENT_EXAMPLE,
        tag="capacity",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Newest first."""
        account = self.find(Account, account_ref)
        return self.page(
            _EVENTS.filter(account=account),
            TrafficEventOut,
            order="-starts_at",
        )

    @documented(
        "traffic_events_add",
        TrafficEventOut,
        summary="Add a traffic event",
        request=TrafficEventIn,
        status=201,
        once=True,
        example=_EVENT_EXAMPLE,
        tag="capacity",
        request_example={
            "name": "Autumn launch",
            "starts_at": "2026-11-12T06:00:00Z",
            "ends_at": "2026-11-15T06:00:00Z",
            "expected_multiple": 2.0,
            "source": "marketing's calendar",
        },
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """What was added for it is written down as a scale-up record. With `has_freeze` changes are held back around it."""
        account = self.find(Account, account_ref)
        data = self.said(account)
        if data.get("has_freeze"):
            self.check_scope(Permission.CALENDAR_EDIT)
        return self.once(lambda: self.shown(events.add_event(account, actor=self.user, **data), status=201))


class TrafficEventApi(_EventApi):
    """One traffic event."""

    permission = Permission.PLAN_VIEW
    write_permission = Permission.SAMPLE_ADD

    @documented(
        "traffic_events_read",
        TrafficEventOut,
        summary="Read a traffic event",
        example=_EVENT_EXAMPLE,
        tag="capacity",
    )
    def get(self, request: Request, event_ref: UUID) -> Response:
        """With an ETag for a later change."""
        return self.show(TrafficEventOut, self.find(_EVENTS, event_ref))

    @documented(
        "traffic_events_change",
        TrafficEventOut,
        summary="Change a traffic event",
        request=TrafficEventIn,
        once=True,
        if_match=True,
        example=_EVENT_EXAMPLE,
        request_example={"ends_at": "2026-11-16T06:00:00Z", "has_freeze": True, "freeze_hours_before": 24},
        tag="capacity",
    )
    def patch(self, request: Request, event_ref: UUID) -> Response:
        """Only what is given is changed; its freeze moves with it. Of one that is over name, multiple, peak and source, and its freeze while that lasts."""
        event = self.find(_EVENTS, event_ref)
        data = self.said(event.account, partial=True)
        moves = event.freeze_id is not None and "has_freeze" not in events.fixed_of(event)
        if data.get("has_freeze") or (moves and events.MOVES_FREEZE & set(data)):
            self.check_scope(Permission.CALENDAR_EDIT)

        def effect() -> Response:
            self.match(events.locked_event(event))
            return self.shown(events.change_event(event, data, actor=self.user))

        return self.once(effect)

    @documented(
        "traffic_events_call_off",
        None,
        summary="Call a traffic event off",
        status=204,
        if_match=True,
        tag="capacity",
    )
    def delete(self, request: Request, event_ref: UUID) -> Response:
        """Its freeze ends with it. 422 (`event-in-use`) where a plan, a scale-up record or a detected stretch that somebody named rests on it."""
        event = self.find(_EVENTS, event_ref)
        if event.freeze_id is not None:
            self.check_scope(Permission.CALENDAR_EDIT)
        with transaction.atomic():
            self.match(events.locked_event(event))
            events.remove_event(event, actor=self.user)
        return Response(status=204)
