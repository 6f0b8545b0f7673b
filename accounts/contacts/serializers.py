"""Shape and validity of the API's input and output for contacts."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.contacts import selectors
from accounts.models import Contact, ContactRole
from portal.zones import validate_time_zone


class ContactOut(serializers.ModelSerializer[Contact]):
    """A person to call. `freshness` is confirmed, due (90 days), stale (180 days) or unconfirmed."""

    account = serializers.UUIDField(source="account.ref")
    freshness = serializers.SerializerMethodField()
    roles = serializers.ListField(child=serializers.ChoiceField(choices=ContactRole.choices))

    class Meta:
        model = Contact
        fields = (
            "ref",
            "account",
            "name",
            "title",
            "email",
            "phone",
            "time_zone",
            "roles",
            "escalation_order",
            "confirmed_on",
            "confirmed_by_name",
            "freshness",
            "notes",
            "created_at",
            "updated_at",
        )

    @extend_schema_field(serializers.ChoiceField(choices=selectors.FRESHNESS))
    def get_freshness(self, contact: Contact) -> str:
        """Return how fresh the confirmation is today."""
        return selectors.freshness_of(contact, today=timezone.now().date())


class ContactIn(serializers.Serializer[Any]):
    """A person to call; a mail address or a phone number is needed."""

    name = serializers.CharField(max_length=200)
    title = serializers.CharField(max_length=200, required=False, allow_blank=True)
    email = serializers.EmailField(required=False, allow_blank=True)
    phone = serializers.RegexField(
        r"^\+[1-9][0-9]{6,14}$",
        required=False,
        allow_blank=True,
        error_messages={"invalid": "Use the E.164 form with country code, like +493012345678."},
    )
    time_zone = serializers.CharField(max_length=64, required=False, validators=[validate_time_zone])
    roles = serializers.ListField(
        child=serializers.ChoiceField(choices=ContactRole.choices), required=False, max_length=5
    )
    escalation_order = serializers.IntegerField(min_value=1, max_value=999, required=False)
    notes = serializers.CharField(required=False, allow_blank=True)
