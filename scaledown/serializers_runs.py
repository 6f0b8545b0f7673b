"""Shape and validity of the API's input and output for runs, their commands, journals and lessons."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from portal.approvals.models import ApprovalStatus
from portal.runs.models import Handover, HandoverRole, JournalEntry, Run, RunCommand
from portal.runs.plain import for_reader
from scaledown.models import Growth
from scaledown.selectors import is_customer
from scaledown.serializers import REF, HeldVersionField


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
    "ref": REF,
    "title": "After Black Friday",
    "status": "running",
    "is_rehearsal": False,
    "account": REF,
    "account_name": "Lindgren Outdoor",
    "plan": REF,
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
    held_version = HeldVersionField()


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
    "ref": REF,
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
    "ref": REF,
    "run": REF,
    "approval": REF,
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
    "ref": REF,
    "run": REF,
    "role": "in_charge",
    "to": REF,
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
