"""Shape and validity of the API's input and output for scale-down.

What selectors return are frozen dataclasses; their serializers and examples are made from the type hints, so
that the schema cannot drift from what is answered.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from portal.approvals.models import ApprovalStatus
from portal.runs.models import Handover, HandoverRole, JournalEntry, Run, RunCommand, Standstill
from portal.runs.plain import for_reader
from scaledown.candidates import Choice
from scaledown.models import Growth, Plan, PlanStatus, ProtectedServer, ScaleUpEntry, ScaleUpRecord
from scaledown.preview import Preview
from scaledown.report import LessonShown, Report
from scaledown.selectors import LiveRun, PlanPage, is_customer, status_now
from scaledown.types import AtLimit, Grade, ImageRule, Order

_made: dict[type, type[serializers.Serializer[Any]]] = {}
# Inside matters that a caller of the API has no use for.
_LEFT_OUT = {"Offer": {"permission"}}


def serializer_of(kind: type, name: str = "") -> type[serializers.Serializer[Any]]:
    """Return the serializer that shows a dataclass, one per dataclass."""
    if kind not in _made:
        hints = get_type_hints(kind)
        fields: dict[str, Any] = {
            field.name: _field(hints[field.name])
            for field in dataclasses.fields(kind)
            if field.name not in _LEFT_OUT.get(kind.__name__, set())
        }
        doc = (kind.__doc__ or "").split("\n")[0]
        made = type(name or f"{kind.__name__}Out", (serializers.Serializer,), {**fields, "__doc__": doc})
        _made[kind] = made
    return _made[kind]


def _optional(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) in (Union, types.UnionType):
        rest = [part for part in get_args(hint) if part is not type(None)]
        return rest[0], True
    return hint, False


def _field(hint: Any, **options: Any) -> serializers.Field[Any, Any, Any, Any]:
    hint, may_be_null = _optional(hint)
    if may_be_null:
        options["allow_null"] = True
    if dataclasses.is_dataclass(hint):
        return serializer_of(hint)(**options)  # type: ignore[arg-type]
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        if dataclasses.is_dataclass(item):
            return serializer_of(item)(many=True, **options)  # type: ignore[arg-type]
        return serializers.ListField(child=_field(item), **options)
    if get_origin(hint) is not None and issubclass(get_origin(hint), Mapping):
        return serializers.DictField(**options)
    simple: Mapping[type, type[serializers.Field[Any, Any, Any, Any]]] = {
        str: serializers.CharField,
        int: serializers.IntegerField,
        float: serializers.FloatField,
        bool: serializers.BooleanField,
        datetime: serializers.DateTimeField,
    }
    if isinstance(hint, type) and issubclass(hint, Enum):
        return serializers.CharField(**options)
    return simple[hint](**options)


_REF = "0b3f6f0e-6f5e-4d83-9d6c-2f0f5b1f6f11"
_WORDS = {
    "ref": _REF,
    "digest": "9f2c4e6a" * 8,
    "status": "running",
    "phase": "draining",
    "server_name": "web-06",
    "server_id": "4f1b9a52-2f8e-4a51-9d52-6f6d1f0c8c11",
    "says": "web-06 drains: 14 connections are open, 60 were.",
    "name": "web-06",
    "grade": "measured",
    "title": "After Black Friday",
    "account_name": "Lindgren Outdoor",
}


def example_of(hint: Any, name: str = "") -> Any:
    """Return an example that fits the type, for the OpenAPI document."""
    hint, _ = _optional(hint)
    if dataclasses.is_dataclass(hint):
        hints = get_type_hints(hint)
        left_out = _LEFT_OUT.get(getattr(hint, "__name__", ""), set())
        return {
            field.name: example_of(hints[field.name], field.name)
            for field in dataclasses.fields(hint)
            if field.name not in left_out
        }
    if get_origin(hint) is tuple:
        return [example_of(get_args(hint)[0], name.removesuffix("s"))]
    if get_origin(hint) is not None and issubclass(get_origin(hint), Mapping):
        return {}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return next(iter(hint)).value
    by_type: Mapping[Any, Any] = {
        int: 3,
        float: 0.5,
        bool: False,
        datetime: "2026-11-23T18:10:00Z",
        str: _WORDS.get(name, _REF if name.endswith("_ref") else name.replace("_", " ")),
    }
    return by_type[hint]


PreviewOut = serializer_of(Preview)
PlanOut = serializer_of(PlanPage, "ScaledownPlanOut")
RunOut = serializer_of(LiveRun, "ScaledownRunOut")
ReportOut = serializer_of(Report, "ScaledownReportOut")
LessonOut = serializer_of(LessonShown, "LessonOut")


# --- plans ----------------------------------------------------------------------------------------------


class _BalancerId(serializers.RegexField):
    """A load balancer's id as the provider gives it; what it cannot be never becomes part of an address."""

    def __init__(self, **options: Any) -> None:
        super().__init__(r"^[A-Za-z0-9_-]{1,64}$", **options)


class ChoiceIn(serializers.Serializer[Any]):
    """What the author of a plan chooses. What is left out is as proposed. Seconds; shares 0 to 1."""

    balancer_ids = serializers.ListField(child=_BalancerId(), max_length=20)
    target = serializers.IntegerField(min_value=1, required=False, allow_null=True)
    target_reason = serializers.CharField(required=False, allow_blank=True, max_length=2000)
    floor = serializers.IntegerField(min_value=1, required=False)
    order = serializers.ChoiceField(choices=[one.value for one in Order], required=False)
    min_drain_s = serializers.FloatField(min_value=0, required=False, allow_null=True)
    drain_limit_s = serializers.FloatField(min_value=1, max_value=86_400, required=False)
    at_limit = serializers.ChoiceField(choices=[one.value for one in AtLimit], required=False)
    accepted_grade = serializers.ChoiceField(choices=[one.value for one in Grade], required=False)
    zeros_needed = serializers.IntegerField(min_value=3, max_value=100, required=False)
    soak_s = serializers.FloatField(min_value=1, max_value=86_400, required=False)
    hold_s = serializers.FloatField(min_value=0, max_value=14 * 86_400, required=False)
    pause_between_s = serializers.FloatField(min_value=0, max_value=86_400, required=False)
    hold_through_peak = serializers.BooleanField(
        required=False,
        allow_null=True,
        help_text="Whether servers are held through the next peak of the pool; null: as proposed.",
    )
    peak_watch = serializers.BooleanField(
        required=False,
        allow_null=True,
        help_text="Whether the run stays open until the next peak has passed at the new size; null: as proposed.",
    )
    stop_s = serializers.FloatField(
        min_value=0,
        max_value=7 * 86_400,
        required=False,
        allow_null=True,
        help_text="How long a server is stopped before it is deleted; null: as proposed, 0: not at all.",
    )
    images = serializers.ChoiceField(
        choices=[one.value for one in ImageRule],
        required=False,
        help_text="Of which servers an image is made before they are deleted.",
    )
    images_kept_s = serializers.FloatField(min_value=86_400, max_value=366 * 86_400, required=False)
    probe_failures_allowed = serializers.FloatField(min_value=0, max_value=0.99, required=False)
    slower_allowed = serializers.FloatField(min_value=0, max_value=10, required=False, allow_null=True)
    vital = serializers.ListField(
        child=serializers.UUIDField(),
        max_length=3,
        required=False,
        allow_null=True,
        help_text="References of the metrics that verdicts look at as vital figures; null: as proposed, []: none.",
    )
    vital_fall_allowed = serializers.FloatField(min_value=0, max_value=0.95, required=False)
    no_vital_reason = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=500,
        help_text="Why no vital figure is looked at; without one and without a reason a plan is not submitted.",
    )
    guard_share = serializers.FloatField(min_value=0.01, max_value=1, required=False)
    window_start = serializers.DateTimeField(required=False, allow_null=True)
    window_end = serializers.DateTimeField(required=False, allow_null=True)
    is_unattended = serializers.BooleanField(required=False)
    needs_contacts = serializers.BooleanField(
        required=False,
        help_text="Begins only while a primary contact and a backup are proven and awake, or a lead overrides it.",
    )
    lifted = serializers.ListField(child=serializers.CharField(max_length=64), required=False, max_length=200)
    reason = serializers.CharField(required=False, allow_blank=True, max_length=2000)


class ChoiceChangeIn(ChoiceIn):
    """The parts of a choice that change; what is left out stays."""

    balancer_ids = serializers.ListField(child=_BalancerId(), max_length=20, required=False)


def choice_from(data: Mapping[str, Any], base: Choice | None = None) -> Choice:
    """Return the choice of checked input over `base` (or the defaults)."""
    values = dict(data)
    for name, kind in (
        ("order", Order),
        ("at_limit", AtLimit),
        ("accepted_grade", Grade),
        ("images", ImageRule),
    ):
        if name in values:
            values[name] = kind(values[name])
    if values.get("vital") is not None:
        values["vital"] = tuple(str(ref) for ref in values["vital"])
    for name in ("balancer_ids", "lifted"):
        if name in values:
            values[name] = tuple(values[name])
    return dataclasses.replace(base or Choice(), **values)


class PlanIn(serializers.Serializer[Any]):
    """A new draft."""

    title = serializers.CharField(max_length=200)
    connection = serializers.UUIDField(help_text="Reference of the cloud connection.")
    event = serializers.UUIDField(
        required=False, allow_null=True, help_text="Reference of the traffic event that is over."
    )
    choice = ChoiceIn()


class PlanChangeIn(serializers.Serializer[Any]):
    """The parts of a draft that change."""

    title = serializers.CharField(max_length=200, required=False)
    event = serializers.UUIDField(required=False, allow_null=True)
    choice = ChoiceChangeIn(required=False)


class PlanRowOut(serializers.ModelSerializer[Plan]):
    """One plan in a list."""

    account = serializers.UUIDField(source="account.ref")
    account_name = serializers.CharField(source="account.name")
    connection = serializers.UUIDField(source="connection.ref")
    event_name = serializers.SerializerMethodField()
    author_name = serializers.CharField(source="author.name")
    status = serializers.SerializerMethodField()
    target = serializers.SerializerMethodField()
    servers = serializers.SerializerMethodField()

    class Meta:
        model = Plan
        fields = (
            "ref",
            "title",
            "status",
            "account",
            "account_name",
            "connection",
            "event_name",
            "author_name",
            "digest",
            "target",
            "servers",
            "created_at",
            "submitted_at",
            "approved_at",
            "expires_at",
        )

    def get_event_name(self, plan: Plan) -> str:
        """Return the event's name or ""."""
        return plan.event.name if plan.event else ""

    def get_status(self, plan: Plan) -> str:
        """Return the status as it counts now."""
        from django.utils import timezone

        return status_now(plan, timezone.now())

    def get_target(self, plan: Plan) -> int | None:
        """Return the frozen target, or what the author chose; null means as proposed."""
        target = (plan.data or plan.inputs).get("target")
        return None if target is None else int(target)

    def get_servers(self, plan: Plan) -> list[str]:
        """Return the names of the servers that come out, first one first; empty for a draft."""
        return [server["name"] for server in (plan.data or {}).get("servers", [])]


PLAN_ROW = {
    "ref": _REF,
    "title": "After Black Friday",
    "status": PlanStatus.APPROVED.value,
    "account": _REF,
    "account_name": "Lindgren Outdoor",
    "connection": _REF,
    "event_name": "Black Friday",
    "author_name": "Jonas Berg",
    "digest": "9f2c4e6a" * 8,
    "target": 3,
    "servers": ["web-06", "web-05", "web-04"],
    "created_at": "2026-11-23T12:10:00Z",
    "submitted_at": "2026-11-23T12:20:00Z",
    "approved_at": "2026-11-23T12:30:00Z",
    "expires_at": "2026-11-30T12:20:00Z",
}


class SeenIn(serializers.Serializer[Any]):
    """What the caller saw: the digest of the plan that was shown."""

    digest = serializers.CharField(max_length=64)
    reason = serializers.CharField(required=False, allow_blank=True, max_length=2000)


class RejectIn(serializers.Serializer[Any]):
    """A rejection says why."""

    digest = serializers.CharField(max_length=64)
    reason = serializers.CharField(max_length=2000)


class ReasonIn(serializers.Serializer[Any]):
    """Why."""

    reason = serializers.CharField(max_length=2000)


class MaybeReasonIn(serializers.Serializer[Any]):
    """Why, if one wants to say."""

    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=1000)


class SubmitIn(serializers.Serializer[Any]):
    """A word to the approvers."""

    reason = serializers.CharField(required=False, allow_blank=True, max_length=2000)


class StartIn(serializers.Serializer[Any]):
    """What the caller saw when starting."""

    status = serializers.CharField(max_length=24, help_text="The plan's status as seen: approved.")
    digest = serializers.CharField(max_length=64)
    override_reason = serializers.CharField(
        max_length=1000,
        required=False,
        allow_blank=True,
        help_text="Why it is started into a freeze, by somebody who may override it.",
    )


# --- runs -----------------------------------------------------------------------------------------------


class RunRowOut(serializers.ModelSerializer[Run]):
    """One run in a list."""

    account = serializers.UUIDField(source="account.ref")
    account_name = serializers.CharField(source="account.name")
    plan = serializers.UUIDField(source="plan_ref")
    in_charge = serializers.SerializerMethodField()
    backup = serializers.SerializerMethodField()
    halt_says = serializers.SerializerMethodField()

    class Meta:
        model = Run
        fields = (
            "ref",
            "title",
            "status",
            "is_rehearsal",
            "account",
            "account_name",
            "plan",
            "digest",
            "in_charge",
            "charge_until",
            "backup",
            "halt_code",
            "halt_rank",
            "halt_says",
            "created_at",
            "started_at",
            "ended_at",
        )

    def get_in_charge(self, run: Run) -> str | None:
        """Return the name of the person in charge, or null: nobody is, or their time is over."""
        has_one = run.is_over or run.has_somebody(timezone.now())
        return str(run.in_charge) if run.in_charge and has_one else None

    def get_backup(self, run: Run) -> str | None:
        """Return the name of the backup, or null."""
        return str(run.backup) if run.backup else None

    def get_halt_says(self, run: Run) -> str:
        """Return why it halted in the caller's words, or ""."""
        granted = self.context.get("granted", frozenset())
        return for_reader(run.halt_says, run.halt_customer_says, for_customer=is_customer(granted))


RUN_ROW = {
    "ref": _REF,
    "title": "After Black Friday",
    "status": "running",
    "is_rehearsal": False,
    "account": _REF,
    "account_name": "Lindgren Outdoor",
    "plan": _REF,
    "digest": "9f2c4e6a" * 8,
    "in_charge": "Jonas Berg",
    "charge_until": "2026-11-23T18:00:00Z",
    "backup": "Mara Lindqvist",
    "halt_code": "",
    "halt_rank": "",
    "halt_says": "",
    "created_at": "2026-11-23T12:40:00Z",
    "started_at": "2026-11-23T12:40:01Z",
    "ended_at": None,
}


class CommandIn(serializers.Serializer[Any]):
    """A command to a run. `status` and `digest` are what the caller saw; another state answers 409."""

    name = serializers.CharField(
        max_length=40,
        help_text="pause, resume, go_on, wait, put_back, skip, accept, finish_here, roll_back or abort.",
    )
    args = serializers.DictField(
        required=False,
        help_text="pause: when (after_this_server, now). put_back, skip, accept: server (its id). wait: seconds. "
        "go_on: connections (the most that may be cut). resume: confirm.",
    )
    reason = serializers.CharField(required=False, allow_blank=True, max_length=2000)
    status = serializers.CharField(max_length=16)
    digest = serializers.CharField(max_length=64)


class CommandOut(serializers.ModelSerializer[RunCommand]):
    """A command and what became of it. `accepted` is null until the run has answered."""

    answer = serializers.SerializerMethodField()
    on_the_wire = serializers.SerializerMethodField()

    def get_answer(self, command: RunCommand) -> str:
        """Return the run's answer in the caller's words."""
        return self._words(command.answer)

    def get_on_the_wire(self, command: RunCommand) -> str:
        """Return what had been sent when it came, in the caller's words."""
        return self._words(command.on_the_wire)

    def _words(self, says: str) -> str:
        granted = self.context.get("granted", frozenset())
        return for_reader(says, "", for_customer=is_customer(granted))

    class Meta:
        model = RunCommand
        fields = (
            "ref",
            "name",
            "args",
            "reason",
            "by_name",
            "at",
            "on_the_wire",
            "accepted",
            "answer",
            "answered_at",
        )


COMMAND_EXAMPLE = {
    "ref": _REF,
    "name": "pause",
    "args": {"when": "after_this_server"},
    "reason": "",
    "by_name": "Jonas Berg",
    "at": "2026-11-23T12:41:00Z",
    "on_the_wire": "",
    "accepted": None,
    "answer": "",
    "answered_at": None,
}


class GrowthIn(serializers.Serializer[Any]):
    """By how many servers a run shall grow again, and why. `status` and `digest` are what the caller saw of the run."""

    servers = serializers.IntegerField(min_value=1, max_value=1000)
    reason = serializers.CharField(max_length=1000)
    status = serializers.CharField(max_length=16)
    digest = serializers.CharField(max_length=64)


class GrownServerOut(serializers.Serializer[Any]):
    """One deleted server that is to be created anew: in which size, from which image."""

    server_id = serializers.CharField()
    name = serializers.CharField()
    flavor_id = serializers.CharField()
    image_id = serializers.CharField()


class GrowthOut(serializers.ModelSerializer[Growth]):
    """That a run is to grow again. `approval` is decided at `/approvals/{ref}`; `accepted` and `answer` are the run's,
    null and "" until it has answered."""

    run = serializers.UUIDField(source="run.ref")
    approval = serializers.UUIDField(source="request.ref")
    digest = serializers.CharField(source="request.digest")
    status = serializers.ChoiceField(source="request.status", choices=ApprovalStatus.choices)
    servers = serializers.SerializerMethodField()
    asked_by_name = serializers.CharField(source="asked_by.name")
    expires_at = serializers.DateTimeField(source="request.expires_at")
    accepted = serializers.BooleanField(source="command.accepted", allow_null=True, default=None)
    answer = serializers.CharField(source="command.answer", default="")

    class Meta:
        model = Growth
        fields = (
            "ref",
            "run",
            "approval",
            "digest",
            "status",
            "servers",
            "asked_by_name",
            "asked_at",
            "expires_at",
            "accepted",
            "answer",
        )

    @extend_schema_field(GrownServerOut(many=True))
    def get_servers(self, growth: Growth) -> list[dict[str, str]]:
        """Return the servers in the order of their creation."""
        servers: list[dict[str, str]] = growth.data["servers"]
        return servers


GROWTH_EXAMPLE = {
    "ref": _REF,
    "run": _REF,
    "approval": _REF,
    "digest": "4b7d1e90" * 8,
    "status": "open",
    "servers": [
        {
            "server_id": "8f1c2d34-0000-4000-8000-000000000007",
            "name": "web-07",
            "flavor_id": "general1-4",
            "image_id": "5a6b7c8d-0000-4000-8000-000000000001",
        }
    ],
    "asked_by_name": "Jonas Berg",
    "asked_at": "2026-11-23T18:05:00Z",
    "expires_at": "2026-11-24T18:05:00Z",
    "accepted": None,
    "answer": "",
}


class ChargeIn(serializers.Serializer[Any]):
    """Until when one is in charge; null, or nothing: until the run is over."""

    until = serializers.DateTimeField(required=False, allow_null=True, default=None)


class HandoverIn(ChargeIn):
    """Whom is asked for what. `to` is the reference of a user, as in the members of the team."""

    to = serializers.UUIDField()
    role = serializers.ChoiceField(choices=HandoverRole.choices, default=HandoverRole.IN_CHARGE)
    note = serializers.CharField(required=False, allow_blank=True, default="", max_length=1000)


class HandoverOut(serializers.ModelSerializer[Handover]):
    """That somebody is asked to be in charge of a run, or its backup, and what became of it."""

    run = serializers.UUIDField(source="run.ref")
    to = serializers.UUIDField(source="to.ref")
    to_name = serializers.CharField(source="to.name")
    asked_by_name = serializers.CharField(source="asked_by.name")

    class Meta:
        model = Handover
        fields = (
            "ref",
            "run",
            "role",
            "to",
            "to_name",
            "asked_by_name",
            "note",
            "until",
            "asked_at",
            "expires_at",
            "state",
            "ended_at",
            "reason",
        )


HANDOVER_EXAMPLE = {
    "ref": _REF,
    "run": _REF,
    "role": "in_charge",
    "to": _REF,
    "to_name": "Mara Lindqvist",
    "asked_by_name": "Jonas Berg",
    "note": "web-07 is on hold until tomorrow's peak.",
    "until": "2026-11-24T06:00:00Z",
    "asked_at": "2026-11-23T17:40:00Z",
    "expires_at": "2026-11-23T21:40:00Z",
    "state": "open",
    "ended_at": None,
    "reason": "",
}


class JournalOut(serializers.ModelSerializer[JournalEntry]):
    """One line of a run's journal, in the caller's words."""

    says = serializers.SerializerMethodField()
    detail = serializers.DictField()
    actor = serializers.CharField(source="actor_name")

    class Meta:
        model = JournalEntry
        fields = ("seq", "at", "kind", "subject", "says", "detail", "actor")

    def get_says(self, entry: JournalEntry) -> str:
        """Return the sentence in the caller's words."""
        granted = self.context.get("granted", frozenset())
        return for_reader(entry.says, entry.customer_says, for_customer=is_customer(granted))


JOURNAL_EXAMPLE = {
    "seq": 7,
    "at": "2026-11-23T12:41:00Z",
    "kind": "intent",
    "subject": "web-06",
    "says": "Let web-06 drain.",
    "detail": {},
    "actor": "",
}


class SampleOut(serializers.Serializer[Any]):
    """One point; a null value is unknown, never zero."""

    at = serializers.DateTimeField()
    value = serializers.FloatField(allow_null=True)
    detail = serializers.DictField()


class SeriesOut(serializers.Serializer[Any]):
    """One series: connections:<server>, load:<server>, load:pool, load:node (the mean per node), probe:<name>, serving:<balancer>."""

    series = serializers.CharField()
    points = SampleOut(many=True)


class SamplesOut(serializers.Serializer[Any]):
    """The samples of a run by series."""

    series = SeriesOut(many=True)


SAMPLES_EXAMPLE = {
    "series": [
        {
            "series": "connections:4f1b9a52",
            "points": [{"at": "2026-11-23T12:41:00Z", "value": 14.0, "detail": {}}],
        }
    ]
}


class LessonIn(serializers.Serializer[Any]):
    """What to do better next time."""

    text = serializers.CharField(max_length=4000)


# --- records, protection, standstills -------------------------------------------------------------------


class ScaleUpEntryOut(serializers.ModelSerializer[ScaleUpEntry]):
    """One server that was added."""

    evidence = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = ScaleUpEntry
        fields = ("position", "server_id", "server_name", "added_at", "source", "evidence")


class ScaleUpRecordOut(serializers.ModelSerializer[ScaleUpRecord]):
    """What was added for an event, in order."""

    account = serializers.UUIDField(source="account.ref")
    connection = serializers.UUIDField(source="connection.ref")
    event = serializers.UUIDField(source="event.ref")
    event_name = serializers.CharField(source="event.name")
    entries = ScaleUpEntryOut(many=True)

    class Meta:
        model = ScaleUpRecord
        fields = (
            "ref",
            "account",
            "connection",
            "event",
            "event_name",
            "entries",
            "created_at",
            "updated_at",
        )


class ScaleUpEntryIn(serializers.Serializer[Any]):
    """One server that was added; the order of the list is the order in which they went in."""

    server_id = serializers.CharField(max_length=64)
    server_name = serializers.CharField(max_length=255)
    added_at = serializers.DateTimeField()
    source = serializers.CharField(max_length=32, required=False)  # type: ignore[assignment]
    evidence = serializers.ListField(
        child=serializers.CharField(max_length=500), required=False, max_length=20
    )


class ScaleUpRecordIn(serializers.Serializer[Any]):
    """A scale-up record; it replaces an earlier one of the same event and connection."""

    event = serializers.UUIDField()
    connection = serializers.UUIDField()
    entries = ScaleUpEntryIn(many=True)


class ReconstructIn(serializers.Serializer[Any]):
    """Where to look for servers that were created for an event."""

    event = serializers.UUIDField()
    connection = serializers.UUIDField()
    balancer_ids = serializers.ListField(child=_BalancerId(), max_length=20)


class ReconstructedEntryOut(serializers.Serializer[Any]):
    """One server that seems to have been added, with what shows it."""

    server_id = serializers.CharField()
    server_name = serializers.CharField()
    added_at = serializers.DateTimeField()
    source = serializers.CharField()  # type: ignore[assignment]
    evidence = serializers.ListField(child=serializers.CharField())


class ReconstructedOut(serializers.Serializer[Any]):
    """What the provider shows; nothing is written until a person sends it as a record."""

    entries = ReconstructedEntryOut(many=True)


ENTRY_EXAMPLE = {
    "position": 1,
    "server_id": "4f1b9a52-2f8e-4a51-9d52-6f6d1f0c8c11",
    "server_name": "web-04",
    "added_at": "2026-11-12T08:00:00Z",
    "source": "by_hand",
    "evidence": ["created 2026-11-12 08:00 UTC"],
}
RECORD_EXAMPLE = {
    "ref": _REF,
    "account": _REF,
    "connection": _REF,
    "event": _REF,
    "event_name": "Black Friday",
    "entries": [ENTRY_EXAMPLE],
    "created_at": "2026-11-23T12:00:00Z",
    "updated_at": "2026-11-23T12:00:00Z",
}


class ProtectedServerIn(serializers.Serializer[Any]):
    """A server that no plan may contain."""

    connection = serializers.UUIDField()
    server_id = serializers.CharField(max_length=64)
    server_name = serializers.CharField(
        max_length=255, help_text="Kept only where the provider does not tell its own name of the server."
    )
    reason = serializers.CharField(max_length=2000)


class ProtectedServerOut(serializers.ModelSerializer[ProtectedServer]):
    """A server that no plan may contain."""

    connection = serializers.UUIDField(source="connection.ref")
    marked_by = serializers.CharField(source="marked_by.name")
    checked_at = serializers.DateTimeField(
        allow_null=True, help_text="When the provider showed this server; null: not checked."
    )

    class Meta:
        model = ProtectedServer
        fields = (
            "ref",
            "connection",
            "server_id",
            "server_name",
            "reason",
            "marked_by",
            "marked_at",
            "checked_at",
        )


PROTECTED_EXAMPLE = {
    "ref": _REF,
    "connection": _REF,
    "server_id": "4f1b9a52-2f8e-4a51-9d52-6f6d1f0c8c11",
    "server_name": "web-01",
    "reason": "Holds the licence server.",
    "marked_by": "Jonas Berg",
    "marked_at": "2026-11-23T12:00:00Z",
    "checked_at": "2026-11-23T12:00:00Z",
}


class StandstillIn(serializers.Serializer[Any]):
    """Stop everything there: nothing is sent any more but putting back."""

    scope = serializers.ChoiceField(choices=["account", "connection", "team"])
    connection = serializers.UUIDField(required=False, allow_null=True)
    reason = serializers.CharField(max_length=2000)


class OnTheWireOut(serializers.Serializer[Any]):
    """A change that had been sent when everything was stopped."""

    run = serializers.CharField()
    title = serializers.CharField()
    says = serializers.CharField()


class StandstillOut(serializers.ModelSerializer[Standstill]):
    """A standstill, in force while `lifted_at` is null.

    Of one that reaches beyond the account, customers read that it was put and lifted, not the words that were typed.
    """

    reason = serializers.SerializerMethodField()
    by_name = serializers.SerializerMethodField()
    lift_reason = serializers.SerializerMethodField()
    on_the_wire = serializers.SerializerMethodField()

    class Meta:
        model = Standstill
        fields = ("ref", "scope", "reason", "by_name", "at", "on_the_wire", "lifted_at", "lift_reason")

    def get_reason(self, standstill: Standstill) -> str:
        """Return why it was put, as the reader may know it."""
        return standstill.public_reason if self._is_others(standstill) else standstill.reason

    def get_by_name(self, standstill: Standstill) -> str:
        """Return who put it; empty where that is not the account's to know."""
        return "" if self._is_others(standstill) else standstill.by_name

    def get_lift_reason(self, standstill: Standstill) -> str:
        """Return why it was lifted, as the reader may know it."""
        return standstill.public_lift_reason if self._is_others(standstill) else standstill.lift_reason

    def _is_others(self, standstill: Standstill) -> bool:
        return standstill.is_wide and bool(self.context.get("for_customer", True))

    @extend_schema_field(OnTheWireOut(many=True))
    def get_on_the_wire(self, standstill: Standstill) -> list[dict[str, str]]:
        """Return what had been sent, of this account's runs only: a wider standstill names others' too."""
        seen = self.context.get("run_refs", frozenset())
        return [sent for sent in standstill.on_the_wire if sent.get("run") in seen]


STANDSTILL_EXAMPLE: dict[str, Any] = {
    "ref": _REF,
    "scope": f"account:{_REF}",
    "reason": "The payment provider is down.",
    "by_name": "Maja Lindgren",
    "at": "2026-11-23T12:41:00Z",
    "on_the_wire": [],
    "lifted_at": None,
    "lift_reason": "",
}
