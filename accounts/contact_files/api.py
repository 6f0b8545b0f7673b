"""Contacts as files over REST: begin, look, take in or drop; and the export."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.contact_files import exporting, services
from accounts.contact_files.entries import MOST_BYTES
from accounts.contact_files.models import ContactImport
from accounts.models import Account
from portal.access import Permission
from portal.api import PortalAPIView, documented, problem_responses

AT = "2026-11-23T12:10:00Z"
REF = "b8f3d0c4-4f5e-4a6c-9f54-7a51a3a1d0e7"
EXAMPLE: dict[str, Any] = {
    "ref": REF,
    "account": "0b3f6f0e-6f5e-4d83-9d6c-2f0f5b1f6f11",
    "expires_at": "2026-11-23T13:10:00Z",
    "format": "csv",
    "digest": "4f0c…",
    "is_ready": False,
    "added": 12,
    "changed": [
        {
            "contact": "c1b7f9a0-2d7c-4c0a-8e11-0d3b9a6c7712",
            "line": 4,
            "was": {"phone": "+46701234567"},
            "becomes": {"phone": "+46701234599"},
        }
    ],
    "same": 3,
    "problems": [{"line": 7, "field": "phone", "says": "“070”: write the number with its country code."}],
    "left_out": ["The column “address” is not needed for support"],
    "notes": [],
}
SHOWN = 1000


class ImportIn(serializers.Serializer[Any]):
    """The text of a CSV or vCard file."""

    content = serializers.CharField(max_length=MOST_BYTES, trim_whitespace=False)


class ImportProblemOut(serializers.Serializer[Any]):
    """One thing to mend. `line` counts from 1; 0 is the file as a whole."""

    line = serializers.IntegerField()
    field = serializers.CharField()
    says = serializers.CharField()


class ImportChangeOut(serializers.Serializer[Any]):
    """One contact that would change: what is, what becomes."""

    contact = serializers.UUIDField(source="known.ref")
    line = serializers.IntegerField()
    was = serializers.DictField()
    becomes = serializers.DictField()


class ImportOut(serializers.Serializer[Any]):
    """What a file would change, and what must be mended first. `digest` is what one takes in."""

    ref = serializers.UUIDField(source="held.ref")
    account = serializers.UUIDField(source="held.account.ref")
    expires_at = serializers.DateTimeField(source="held.expires_at")
    format = serializers.ChoiceField(choices=["csv", "vcard"], source="preview.read.format")
    digest = serializers.CharField(source="preview.digest")
    is_ready = serializers.BooleanField(source="preview.is_ready")
    added = serializers.SerializerMethodField()
    changed = serializers.SerializerMethodField()
    same = serializers.IntegerField(source="preview.planned.same")
    problems = ImportProblemOut(many=True, source="preview.problems")
    left_out = serializers.ListField(child=serializers.CharField(), source="preview.read.left_out")
    notes = serializers.ListField(child=serializers.CharField(), source="preview.planned.notes")

    def get_added(self, row: dict[str, Any]) -> int:
        """Return how many contacts would be new."""
        return len(row["preview"].planned.added)

    def get_changed(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the contacts that would change, the first 1,000 of them."""
        changes = row["preview"].planned.changed[:SHOWN]
        return [dict(one) for one in ImportChangeOut(changes, many=True).data]


class TakeInIn(serializers.Serializer[Any]):
    """The digest of the preview that was seen."""

    digest = serializers.CharField(max_length=64)


class DoneOut(serializers.Serializer[Any]):
    """How many contacts were added, changed and left as they were."""

    added = serializers.IntegerField()
    changed = serializers.IntegerField()
    same = serializers.IntegerField()


def _shown(held: ContactImport) -> dict[str, Any]:
    return {"held": held, "preview": services.preview_of(held)}


class ContactImportsApi(PortalAPIView):
    """Begin an import of contacts."""

    permission = Permission.CONTACT_EDIT
    max_body_bytes = 2 * MOST_BYTES

    @documented(
        "contacts_import",
        ImportOut,
        summary="Hand in a file of contacts and see what it would change",
        request=ImportIn,
        status=201,
        once=True,
        example=EXAMPLE,
        request_example={"content": "name,email,role\nMaja Lindgren,maja@lindgren.example,primary\n"},
        tag="contacts",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """Changes no contact yet. CSV or vCard 4.0 or 3.0, up to 5 MB and 10,000 contacts; kept for an hour, and one
        a person and account: the one before ends.
        """
        account = self.find(Account, account_ref)
        data = self.read(ImportIn)

        def effect() -> Response:
            held = services.begin_import(account, data["content"], actor=self.user)
            return self.show(ImportOut, _shown(held), status=201)

        return self.once(effect)


class ContactImportApi(PortalAPIView):
    """One import that is not decided yet."""

    permission = Permission.CONTACT_EDIT

    @documented(
        "contacts_import_read",
        ImportOut,
        summary="See what an import would change now",
        example=EXAMPLE,
        tag="contacts",
    )
    def get(self, request: Request, import_ref: UUID) -> Response:
        """Planned anew each time: the account's contacts may have changed meanwhile."""
        return self.show(ImportOut, _shown(self.find(services.open_imports(), import_ref)))

    @documented("contacts_import_drop", None, summary="Take nothing in", status=204, tag="contacts")
    def delete(self, request: Request, import_ref: UUID) -> Response:
        """Forgets the file. It has no versions, so it needs no If-Match."""
        services.drop_import(self.find(services.open_imports(), import_ref))
        return Response(status=204)


class ContactImportTakeInApi(PortalAPIView):
    """Take a file of contacts in."""

    permission = Permission.CONTACT_EDIT

    @documented(
        "contacts_import_take_in",
        DoneOut,
        summary="Take the file in as it was seen, all of it or nothing",
        request=TakeInIn,
        command=True,
        example={"added": 12, "changed": 1, "same": 3},
        request_example={"digest": "4f0c…"},
        tag="contacts",
    )
    def post(self, request: Request, import_ref: UUID) -> Response:
        """409 if it would do something else than the preview with this digest said; 422 while something is to be mended."""
        held = self.find(services.imports(), import_ref)
        data = self.read(TakeInIn)
        return self.once(
            lambda: self.show(DoneOut, services.take_in(held, digest=data["digest"], actor=self.user)),
            required=True,
        )


class ExportIn(serializers.Serializer[Any]):
    """What the file is for, and in which format."""

    reason = serializers.CharField(max_length=1000)
    format = serializers.ChoiceField(choices=list(exporting.FORMATS), default="csv")


class ContactExportApi(PortalAPIView):
    """The contacts of an account as a file."""

    permission = Permission.EXPORT

    @extend_schema(
        operation_id="contacts_export",
        summary="Export an account's contacts as CSV or vCard 4.0",
        request=ExportIn,
        responses={
            (200, "text/csv"): OpenApiResponse(
                OpenApiTypes.STR, description="A line a contact; an import takes it in again"
            ),
            (200, "text/vcard"): OpenApiResponse(
                OpenApiTypes.STR, description="A card a contact with a role"
            ),
            **problem_responses(400, 401, 403, 404, 413, 415, 422, 429),
        },
        examples=[
            OpenApiExample(
                "request", value={"reason": "Handed to the night shift", "format": "vcard"}, request_only=True
            )
        ],
        tags=["contacts"],
    )
    def post(self, request: Request, account_ref: UUID) -> StreamingHttpResponse:
        """The export is on record with its reason before the first line leaves. It serves support and nothing else."""
        account = self.find(Account, account_ref)
        data = self.read(ExportIn)
        return exporting.export_contacts(
            account,
            actor=self.user,
            reason=data["reason"],
            format=data["format"],
            may_read_on=self.reads_on(),
        )
