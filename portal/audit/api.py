"""The audit of an account through the API."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.apps import apps
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from portal.access import Permission
from portal.api import PortalAPIView, documented, problem_responses
from portal.audit.download import download
from portal.audit.filters import filter_of
from portal.audit.models import AuditEntry
from portal.audit.selectors import entries_of_account, entries_of_installation, for_reader


class AuditEntryOut(serializers.ModelSerializer[AuditEntry]):
    """One entry. `address` is null for whoever does not manage the account's members; the team's own notes
    are left out of `before` and `after` for whoever may not read them, as mail addresses of the invited are for
    whoever does not manage the members.
    """

    address = serializers.SerializerMethodField()
    before = serializers.SerializerMethodField()
    after = serializers.SerializerMethodField()

    class Meta:
        model = AuditEntry
        fields = (
            "id",
            "at",
            "what",
            "actor_ref",
            "actor_name",
            "on_behalf_of_ref",
            "on_behalf_of_name",
            "subject_type",
            "subject_ref",
            "subject_label",
            "before",
            "after",
            "reason",
            "address",
            "token_prefix",
            "request_id",
        )

    def to_representation(self, instance: AuditEntry) -> dict[str, Any]:
        """Return what the caller may read of it."""
        return super().to_representation(for_reader(instance, self.context.get("granted", frozenset())))

    def get_address(self, entry: AuditEntry) -> str | None:
        """Return where the actor was, to those who manage members."""
        return entry.address

    def get_before(self, entry: AuditEntry) -> dict[str, Any]:
        """Return the fields as they were."""
        return entry.before

    def get_after(self, entry: AuditEntry) -> dict[str, Any]:
        """Return the fields as they became."""
        return entry.after


EXAMPLE: dict[str, Any] = {
    "id": 118,
    "at": "2026-11-23T12:10:00Z",
    "what": "contact.confirmed",
    "actor_ref": "9d7c5f5e-19c9-4d6e-8a55-1a3d4f0b2c77",
    "actor_name": "Jonas Berg",
    "on_behalf_of_ref": "",
    "on_behalf_of_name": "",
    "subject_type": "accounts.contact",
    "subject_ref": "c1b7f9a0-2d7c-4c0a-8e11-0d3b9a6c7712",
    "subject_label": "Maja Lindgren",
    "before": {"confirmed_on": None},
    "after": {"confirmed_on": "2026-11-23"},
    "reason": "",
    "address": None,
    "token_prefix": "",
    "request_id": "0b3f6f0e-6f5e-4d83-9d6c-2f0f5b1f6f11",
}


FILTERS = [
    OpenApiParameter("what", description="One kind, like `contact.changed`, or all of a thing: `contact`."),
    OpenApiParameter("actor", OpenApiTypes.UUID, description="Only what this user did."),
    OpenApiParameter("subject", description="Only what is about the thing with this reference."),
    OpenApiParameter("from", description="A day (UTC) or a time with its zone: from then on."),
    OpenApiParameter("to", description="A day (UTC, included) or a time with its zone: until then."),
    OpenApiParameter("q", description="A part of the kind, as written or in words: `changed`."),
]


class AuditListApi(PortalAPIView):
    """What is on record about an account."""

    permission = Permission.AUDIT_VIEW

    @documented(
        "audit_list",
        AuditEntryOut,
        summary="List what was changed, when and by whom",
        paged=True,
        example=EXAMPLE,
        tag="audit",
        parameters=FILTERS,
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Newest first. Who was erased since is read as "erased person 7F3A"."""
        account = self.find(apps.get_model("accounts", "Account"), account_ref)
        wanted = filter_of(request.query_params.dict())
        return self.page(
            wanted.rows(entries_of_account(self.user, account, self.granted)),
            AuditEntryOut,
            order="-id",
            filters={"account": account.pk, **wanted.named()},
            late=bool(wanted.named()),
        )


class AuditExportIn(serializers.Serializer[Any]):
    """What the download is for, and what shall be in it (as the list's parameters)."""

    reason = serializers.CharField(max_length=500)
    what = serializers.CharField(max_length=60, required=False)
    actor = serializers.CharField(max_length=36, required=False)
    subject = serializers.CharField(max_length=64, required=False)
    from_ = serializers.CharField(max_length=40, required=False)
    to = serializers.CharField(max_length=40, required=False)
    q = serializers.CharField(max_length=60, required=False)

    def get_fields(self) -> dict[str, Any]:
        """Name one field as Python cannot."""
        fields = super().get_fields()
        return {name.rstrip("_"): field for name, field in fields.items()}


class AuditExportApi(PortalAPIView):
    """The audit of an account as CSV."""

    permission = Permission.EXPORT

    @extend_schema(
        operation_id="audit_export",
        summary="Download the audit of an account as CSV",
        request=AuditExportIn,
        responses={
            (200, "text/csv"): OpenApiResponse(
                OpenApiTypes.STR, description="One line per entry, newest first"
            ),
            **problem_responses(400, 401, 403, 404, 413, 415, 422, 429),
        },
        examples=[
            OpenApiExample("request", value={"reason": "Yearly review", "what": "contact"}, request_only=True)
        ],
        tags=["audit"],
    )
    def post(self, request: Request, account_ref: UUID) -> StreamingHttpResponse:
        """The download is itself put on record, with its reason. A cell that a spreadsheet would take for a formula begins
        with an apostrophe.
        """
        account = self.find(apps.get_model("accounts", "Account"), account_ref)
        data = self.read(AuditExportIn)
        return download(
            account,
            filter_of(data),
            actor=self.user,
            granted=self.granted,
            reason=data["reason"],
            may_read_on=self.reads_on(),
        )


class InstallationAuditApi(PortalAPIView):
    """What is on record about the installation: log-ins, users, tokens; no entry of any account."""

    permission = Permission.OPERATE

    @documented(
        "audit_installation",
        AuditEntryOut,
        summary="List what is on record and belongs to no account",
        paged=True,
        example=EXAMPLE,
        tag="audit",
        parameters=FILTERS,
    )
    def get(self, request: Request) -> Response:
        """For operators, newest first."""
        wanted = filter_of(request.query_params.dict())
        return self.page(
            wanted.rows(entries_of_installation()),
            AuditEntryOut,
            order="-id",
            filters={"installation": True, **wanted.named()},
            late=bool(wanted.named()),
        )

    def out_context(self) -> dict[str, Any]:
        """Show addresses: failed log-ins mean little without them."""
        return {**super().out_context(), "granted": frozenset({Permission.MEMBER_EDIT})}
