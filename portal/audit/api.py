"""The audit of an account through the API."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.apps import apps
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from portal.access import Permission
from portal.api import PortalAPIView, documented
from portal.audit.models import AuditEntry
from portal.audit.selectors import entries_of_account, for_reader


class AuditEntryOut(serializers.ModelSerializer[AuditEntry]):
    """One entry. `address` is null for whoever does not manage the account's members; the team's own notes
    are left out of `before` and `after` for whoever may not read them.
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

    def get_address(self, entry: AuditEntry) -> str | None:
        """Return where the actor was, to those who manage members."""
        granted = self.context.get("granted", frozenset())
        return entry.address if Permission.MEMBER_EDIT in granted else None

    def get_before(self, entry: AuditEntry) -> dict[str, Any]:
        """Return the fields as they were."""
        return for_reader(entry.before, reads_team_notes=self._reads_team_notes())

    def get_after(self, entry: AuditEntry) -> dict[str, Any]:
        """Return the fields as they became."""
        return for_reader(entry.after, reads_team_notes=self._reads_team_notes())

    def _reads_team_notes(self) -> bool:
        return Permission.TEAM_NOTES in self.context.get("granted", frozenset())


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
        parameters=[OpenApiParameter("what", description="Only this kind of entry, like `contact.changed`.")],
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Newest first."""
        account = self.find(apps.get_model("accounts", "Account"), account_ref)
        rows = entries_of_account(account)
        what = request.query_params.get("what", "")
        if what:
            rows = rows.filter(what=what)
        return self.page(rows, AuditEntryOut, order="-id", filters={"account": account.pk, "what": what})
