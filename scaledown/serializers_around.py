"""Shape and validity of the API's input and output for scale-up records, protected servers and standstills."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from portal.runs.models import Standstill
from scaledown.models import ProtectedServer, ScaleUpEntry, ScaleUpRecord
from scaledown.serializers import REF, BalancerId


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
    balancer_ids = serializers.ListField(child=BalancerId(), max_length=20)


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
    "ref": REF,
    "account": REF,
    "connection": REF,
    "event": REF,
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
    "ref": REF,
    "connection": REF,
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
    "ref": REF,
    "scope": f"account:{REF}",
    "reason": "The payment provider is down.",
    "by_name": "Maja Lindgren",
    "at": "2026-11-23T12:41:00Z",
    "on_the_wire": [],
    "lifted_at": None,
    "lift_reason": "",
}
