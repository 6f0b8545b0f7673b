"""Shape and validity of the API's input and output for scale-down.

What selectors return are frozen dataclasses; their serializers and examples are made from the type hints, so
that the schema cannot drift from what is answered.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

from rest_framework import serializers

from scaledown.candidates import MOST_WINDOWS, Choice
from scaledown.live import LiveRun
from scaledown.models import Plan, PlanStatus
from scaledown.preview import Preview
from scaledown.report import LessonShown, Report
from scaledown.selectors import PlanPage, status_now
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
    if hint is Decimal:
        return serializers.DecimalField(max_digits=16, decimal_places=2, **options)
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


REF = "0b3f6f0e-6f5e-4d83-9d6c-2f0f5b1f6f11"
_WORDS = {
    "ref": REF,
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
        Decimal: "365.25",
        str: _WORDS.get(name, REF if name.endswith("_ref") else name.replace("_", " ")),
    }
    return by_type[hint]


PreviewOut = serializer_of(Preview)
PlanOut = serializer_of(PlanPage, "ScaledownPlanOut")
RunOut = serializer_of(LiveRun, "ScaledownRunOut")
ReportOut = serializer_of(Report, "ScaledownReportOut")
LessonOut = serializer_of(LessonShown, "LessonOut")


# --- plans ----------------------------------------------------------------------------------------------


class BalancerId(serializers.RegexField):
    """A load balancer's id as the provider gives it; what it cannot be never becomes part of an address."""

    def __init__(self, **options: Any) -> None:
        super().__init__(r"^[A-Za-z0-9_-]{1,64}$", **options)


class ChoiceIn(serializers.Serializer[Any]):
    """What the author of a plan chooses. What is left out is as proposed. Seconds; shares 0 to 1."""

    balancer_ids = serializers.ListField(child=BalancerId(), max_length=20)
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
    pause_between_s = serializers.FloatField(
        min_value=0,
        max_value=86_400,
        required=False,
        allow_null=True,
        help_text="Between two servers; null: as proposed, by how the event's traffic goes away.",
    )
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
    window_days = serializers.IntegerField(
        min_value=1,
        max_value=MOST_WINDOWS,
        required=False,
        help_text="On how many days the window comes, at the same hours of the account's zone; 1 where it is not said.",
    )
    window_weekends = serializers.BooleanField(
        required=False, help_text="Whether it comes on Saturdays and Sundays, too."
    )
    is_unattended = serializers.BooleanField(required=False)
    needs_contacts = serializers.BooleanField(
        required=False,
        help_text="Begins only while a primary contact and a backup are proven and awake, or a lead overrides it.",
    )
    lifted = serializers.ListField(child=serializers.CharField(max_length=64), required=False, max_length=200)
    reason = serializers.CharField(required=False, allow_blank=True, max_length=2000)


class ChoiceChangeIn(ChoiceIn):
    """The parts of a choice that change; what is left out stays."""

    balancer_ids = serializers.ListField(child=BalancerId(), max_length=20, required=False)


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
    "ref": REF,
    "title": "After Black Friday",
    "status": PlanStatus.APPROVED.value,
    "account": REF,
    "account_name": "Lindgren Outdoor",
    "connection": REF,
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


class LessIn(SeenIn):
    """What of a plan becomes less; what is left out stays as it is. Seconds."""

    target = serializers.IntegerField(
        min_value=1, required=False, help_text="How many servers stay: those at the end of the order."
    )
    floor = serializers.IntegerField(min_value=1, required=False)
    drain_limit_s = serializers.FloatField(min_value=1, max_value=86_400, required=False)
    soak_s = serializers.FloatField(min_value=1, max_value=86_400, required=False)
    hold_s = serializers.FloatField(min_value=0, max_value=14 * 86_400, required=False)
    pause_between_s = serializers.FloatField(min_value=0, max_value=86_400, required=False)
    window_start = serializers.DateTimeField(required=False, help_text="A later start inside the window.")


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


class HeldVersionField(serializers.CharField):
    """What the caller read of what holds back: whoever overrides it must send it."""

    def __init__(self) -> None:
        super().__init__(
            max_length=64,
            required=False,
            allow_blank=True,
            help_text="`held_version` as read, or `version` of the problem: whoever overrides what holds it must send it. "
            "Another one answers 409.",
        )


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
    held_version = HeldVersionField()
