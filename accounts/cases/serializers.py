"""Shapes of support cases in the API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.cases import selectors
from accounts.cases.models import CaseAttachment, CaseEntry, SupportCase
from accounts.cases.orders import OrderKind
from accounts.cases.services import CHECKS, LONGEST_SUMMARY, LONGEST_TEXT
from accounts.cases.states import CaseStatus, Severity


class CaseOut(serializers.ModelSerializer[SupportCase]):
    """A call for help. `number` is what people say on the phone; `opened_by_name` is null where the portal opened it."""

    number = serializers.CharField(source="short")
    opened_by_name = serializers.SerializerMethodField()

    class Meta:
        model = SupportCase
        fields = (
            "ref",
            "number",
            "severity",
            "status",
            "summary",
            "opened_by_name",
            "about_kind",
            "about_ref",
            "about_label",
            "ticket_url",
            "created_at",
            "updated_at",
            "ended_at",
        )

    def get_opened_by_name(self, row: SupportCase) -> str | None:
        """Return who opened it."""
        return row.opened_by.name if row.opened_by else None


class AttachmentOut(serializers.ModelSerializer[CaseAttachment]):
    """What was frozen when the case was opened. `digest` is the SHA-256 of the kept text, in which people are tokens."""

    class Meta:
        model = CaseAttachment
        fields = ("ref", "key", "title", "digest", "size", "is_cut", "at")


class CaseWholeOut(CaseOut):
    """A case with what is attached."""

    attachments = serializers.SerializerMethodField()

    class Meta(CaseOut.Meta):
        fields = (*CaseOut.Meta.fields, "attachments")  # type: ignore[assignment]

    @extend_schema_field(AttachmentOut(many=True))
    def get_attachments(self, row: SupportCase) -> list[dict[str, Any]]:
        """Return the attachments, without their content."""
        return list(AttachmentOut(row.attachments.defer("content").order_by("pk"), many=True).data)


class AttachmentWholeOut(AttachmentOut):
    """The same with its content, people by name or as erased."""

    content = serializers.SerializerMethodField()

    class Meta(AttachmentOut.Meta):
        fields = (*AttachmentOut.Meta.fields, "content")  # type: ignore[assignment]

    @extend_schema_field(serializers.JSONField())
    def get_content(self, row: CaseAttachment) -> Any:
        """Return the frozen value."""
        return selectors.shown(row)


class CaseIn(serializers.Serializer[Any]):
    """A call for help; `about_kind` (run, plan) and `about_ref` name what it is about."""

    summary = serializers.CharField(max_length=LONGEST_SUMMARY)
    severity = serializers.ChoiceField(choices=Severity.choices)
    text = serializers.CharField(max_length=LONGEST_TEXT, required=False, allow_blank=True)
    about_kind = serializers.CharField(max_length=20, required=False, allow_blank=True)
    about_ref = serializers.CharField(max_length=36, required=False, allow_blank=True)


class CaseChange(serializers.Serializer[Any]):
    """What of a case can be changed; "" takes the ticket's link away."""

    severity = serializers.ChoiceField(choices=Severity.choices, required=False)
    ticket_url = serializers.CharField(max_length=500, required=False, allow_blank=True)


class ReplyIn(serializers.Serializer[Any]):
    """An answer; `then` moves the case at the same time."""

    text = serializers.CharField(max_length=LONGEST_TEXT)
    then = serializers.ChoiceField(choices=CaseStatus.choices, required=False)


class StatusIn(serializers.Serializer[Any]):
    """Where to, and the status that you saw."""

    status = serializers.ChoiceField(choices=CaseStatus.choices)
    seen = serializers.ChoiceField(choices=CaseStatus.choices)
    reason = serializers.CharField(max_length=1000, required=False, allow_blank=True)


class SpokenOrderIn(serializers.Serializer[Any]):
    """An order that came by voice, and how it was made sure who spoke. `number` is the one that was called back.

    The contact's authority must cover the `kind`. `read_back`: it was read back, and they said that it is right.
    """

    contact = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=OrderKind.choices)
    order = serializers.CharField(max_length=LONGEST_TEXT)
    check = serializers.ChoiceField(choices=list(CHECKS.items()))
    number = serializers.CharField(max_length=20, required=False, allow_blank=True)
    read_back = serializers.BooleanField(required=False)


class EntryOut(serializers.ModelSerializer[CaseEntry]):
    """One line of a case. `is_verified` is false for a mail from an address that nobody here is known by (`sender`)."""

    class Meta:
        model = CaseEntry
        fields = ("ref", "at", "kind", "via", "by_name", "is_team", "text", "data", "is_verified", "sender")


class MailTakenOut(serializers.Serializer[Any]):
    """What became of a mail; `says` is the sentence for its sender."""

    outcome = serializers.ChoiceField(choices=["taken", "unverified", "already", "dropped"])
    says = serializers.CharField()
