"""Shapes of webhooks in the API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from portal.events.catalogue import LONGEST_TYPE
from portal.webhooks.models import Attempt, Delivery, Endpoint, Envelope
from portal.webhooks.services import LONGEST_ROTATION_HOURS, MOST_TYPES


class WebhookOut(serializers.ModelSerializer[Endpoint]):
    """An address to which an account's events are posted. Its secret is shown once, when it is made.

    `failing_since` is null while the receiver takes what it gets; `missed_until` is the last position that was no
    longer kept when it might have been sent.
    """

    class Meta:
        model = Endpoint
        fields = (
            "ref",
            "url",
            "description",
            "types",
            "envelope",
            "state",
            "state_says",
            "failing_since",
            "last_success_at",
            "old_secret_until",
            "missed_until",
            "created_at",
            "updated_at",
        )


class WebhookMadeOut(WebhookOut):
    """The same with its secret, this once."""

    secret = serializers.SerializerMethodField()

    class Meta(WebhookOut.Meta):
        fields = (*WebhookOut.Meta.fields, "secret")  # type: ignore[assignment]

    def get_secret(self, row: Endpoint) -> str | None:
        """Return the secret that was just made."""
        return getattr(row, "shown_secret", None)


class WebhookIn(serializers.Serializer[Any]):
    """An address, what is sent there and how. No `types` is every type; `run.*` is a group."""

    url = serializers.CharField(max_length=2000)
    description = serializers.CharField(max_length=120, required=False, allow_blank=True)
    types = serializers.ListField(
        child=serializers.CharField(max_length=LONGEST_TYPE), max_length=MOST_TYPES, required=False
    )
    envelope = serializers.ChoiceField(choices=Envelope.choices, required=False)


class RotateIn(serializers.Serializer[Any]):
    """For how many hours each message carries the old secret's signature as well."""

    keep_old_hours = serializers.IntegerField(
        min_value=0, max_value=LONGEST_ROTATION_HOURS, required=False, default=24
    )


class AttemptOut(serializers.ModelSerializer[Attempt]):
    """One try. `answer` is the beginning of what the receiver said."""

    class Meta:
        model = Attempt
        fields = ("at", "status", "duration_ms", "took_it", "says", "answer", "by_hand")


class DeliveryOut(serializers.ModelSerializer[Delivery]):
    """One message. `message_id` is its `webhook-id`, the same at each try."""

    class Meta:
        model = Delivery
        fields = (
            "ref",
            "message_id",
            "type",
            "position",
            "state",
            "tries",
            "due_at",
            "created_at",
            "ended_at",
        )


class DeliveryWholeOut(DeliveryOut):
    """One message with its body as it was sent, and every try."""

    attempts = serializers.SerializerMethodField()

    class Meta(DeliveryOut.Meta):
        fields = (*DeliveryOut.Meta.fields, "content_type", "body", "attempts")  # type: ignore[assignment]

    @extend_schema_field(AttemptOut(many=True))
    def get_attempts(self, row: Delivery) -> list[dict[str, Any]]:
        """Return the tries, newest first, at most a hundred."""
        return list(AttemptOut(row.attempts.order_by("-pk")[:100], many=True).data)
