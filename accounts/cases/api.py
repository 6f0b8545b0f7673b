"""The API of support cases, and the door through which the mail system hands in answers."""

from __future__ import annotations

import hmac
import sys
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotAuthenticated
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.cases import selectors, services
from accounts.cases.mail import MOST_BYTES, TOO_LARGE
from accounts.cases.mailing import take_in
from accounts.cases.models import CaseAttachment, SupportCase, Via
from accounts.cases.serializers import (
    AttachmentWholeOut,
    CaseChange,
    CaseIn,
    CaseOut,
    CaseWholeOut,
    EntryOut,
    MailTakenOut,
    ReplyIn,
    SpokenOrderIn,
    StatusIn,
)
from accounts.examples import AT, REF
from accounts.models import Account, Contact
from portal.access import Permission
from portal.api import PortalAPIView, documented, problem_responses
from portal.audit.services import record_flood
from portal.errors import Refused
from portal.lists import ListAsked, order_parameter

_CASE: dict[str, Any] = {
    "ref": REF,
    "number": "0B3F6F0E",
    "severity": "decide_today",
    "status": "open",
    "summary": "Web-12 does not drain",
    "opened_by_name": "Maja Lindgren",
    "about_kind": "run",
    "about_ref": "c1b7f9a0-2d7c-4c0a-8e11-0d3b9a6c7712",
    "about_label": "Shop: 6 servers to 3",
    "ticket_url": "https://support.provider.example/tickets/241",
    "created_at": AT,
    "updated_at": AT,
    "ended_at": None,
}
_ATTACHMENT: dict[str, Any] = {
    "ref": "5f5e9d7c-19c9-4d6e-8a55-1a3d4f0b2c77",
    "key": "journal",
    "title": "The journal, newest first",
    "digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "size": 18211,
    "is_cut": False,
    "at": AT,
}
_WHOLE: dict[str, Any] = {**_CASE, "attachments": [_ATTACHMENT]}
_ENTRY: dict[str, Any] = {
    "ref": "6d1f7a52-5f0b-4a0f-9a53-0f3c9a1d2b77",
    "at": AT,
    "kind": "reply",
    "via": "mail",
    "by_name": "Jonas Berg",
    "is_team": True,
    "text": "We look at it now.",
    "data": {},
    "is_verified": True,
    "sender": "",
}
_IN: dict[str, Any] = {
    "summary": "Web-12 does not drain",
    "severity": "decide_today",
    "text": "It has had 12 connections for an hour.",
    "about_kind": "run",
    "about_ref": "c1b7f9a0-2d7c-4c0a-8e11-0d3b9a6c7712",
}
_NUMBER = "+46701234567"


class CaseListApi(PortalAPIView):
    """An account's support cases."""

    permission = Permission.CASE_VIEW
    write_permission = Permission.CASE_OPEN

    @documented(
        "cases_list",
        CaseOut,
        summary="List an account's support cases",
        paged=True,
        example=_CASE,
        tag="cases",
        parameters=[
            OpenApiParameter(
                "status", enum=selectors.FILTERS["status"], description="Only these; live is not over."
            ),
            OpenApiParameter("severity", enum=selectors.FILTERS["severity"], description="Only these."),
            order_parameter(selectors.ORDERS),
        ],
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Newest first; `order=rank` has the worst first."""
        account = self.find(Account, account_ref)
        asked = ListAsked.of(
            request.query_params, filters=selectors.FILTERS, orders=selectors.ORDERS, strict=True
        )
        rows = selectors.cases_of(account, **asked.filters)
        return self.page(
            rows.prefetch_related("opened_by"),
            CaseOut,
            order=asked.order,
            filters={"account": account.pk, **asked.filters},
        )

    @documented(
        "cases_open",
        CaseWholeOut,
        summary="Open a support case",
        request=CaseIn,
        status=201,
        once=True,
        example=_WHOLE,
        request_example=_IN,
        tag="cases",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """What it is about is frozen as it is now, without secrets; whom the severity names is told."""
        account = self.find(Account, account_ref)
        data = self.read(CaseIn)

        def effect() -> Response:
            case = services.open_case(account, actor=self.user, via=Via.API, **data)
            return self.show(CaseWholeOut, _read(case), status=201)

        return self.once(effect)


def _read(case: SupportCase) -> SupportCase:
    """Return the case with names open."""
    return SupportCase.objects.prefetch_related("opened_by").get(pk=case.pk)


class CaseApi(PortalAPIView):
    """One case."""

    permission = Permission.CASE_VIEW
    write_permission = Permission.CASE_OPEN

    @documented("cases_read", CaseWholeOut, summary="Read one support case", example=_WHOLE, tag="cases")
    def get(self, request: Request, case_ref: UUID) -> Response:
        """With the list of what is attached."""
        return self.show(CaseWholeOut, self.find(SupportCase, case_ref))

    @documented(
        "cases_change",
        CaseWholeOut,
        summary="Change severity or the provider's ticket",
        request=CaseChange,
        if_match=True,
        example=_WHOLE,
        request_example={"severity": "site_in_danger"},
        tag="cases",
    )
    def patch(self, request: Request, case_ref: UUID) -> Response:
        """A graver case is told anew, to whom its severity names."""
        case = self.find(SupportCase, case_ref)
        data = self.read(CaseChange)

        def effect() -> Response:
            self.match(SupportCase.objects.sealed().select_for_update(of=("self",)).get(pk=case.pk))
            if "ticket_url" in data:
                services.link_ticket(case, data["ticket_url"], actor=self.user, via=Via.API)
            if "severity" in data:
                services.set_severity(case, data["severity"], actor=self.user, via=Via.API)
            return self.show(CaseWholeOut, _read(case))

        return self.once(effect)


class EntryListApi(PortalAPIView):
    """What was said on a case."""

    permission = Permission.CASE_VIEW

    @documented(
        "case_entries_list",
        EntryOut,
        summary="List what was said on a case",
        paged=True,
        example=_ENTRY,
        tag="cases",
    )
    def get(self, request: Request, case_ref: UUID) -> Response:
        """Oldest first: answers, moves, who was told, spoken orders."""
        case = self.find(SupportCase, case_ref)
        return self.page(case.entries.all(), EntryOut, order="id", filters={"case": case.pk})


class ReplyApi(PortalAPIView):
    """Answer a case."""

    permission = Permission.CASE_OPEN

    @documented(
        "case_replies_add",
        EntryOut,
        summary="Answer a support case",
        request=ReplyIn,
        status=201,
        once=True,
        example={**_ENTRY, "via": "api"},
        request_example={"text": "We look at it now.", "then": "waiting_provider"},
        tag="cases",
    )
    def post(self, request: Request, case_ref: UUID) -> Response:
        """The others are told. For editors and up, the team, and whoever opened it."""
        case = self.find(SupportCase, case_ref)
        data = self.read(ReplyIn)

        def effect() -> Response:
            entry = services.reply(case, actor=self.user, via=Via.API, **data)
            return self.show(EntryOut, case.entries.get(pk=entry.pk), status=201)

        return self.once(effect)


class StatusApi(PortalAPIView):
    """Move a case."""

    permission = Permission.CASE_OPEN

    @documented(
        "cases_move",
        CaseWholeOut,
        summary="Move a support case",
        request=StatusIn,
        command=True,
        example={**_WHOLE, "status": "solved", "ended_at": AT},
        request_example={"status": "solved", "seen": "open"},
        tag="cases",
    )
    def post(self, request: Request, case_ref: UUID) -> Response:
        """`seen` is the status that you saw: 409 if it is another one by now. The team and the opener end a case."""
        case = self.find(SupportCase, case_ref)
        data = self.read(StatusIn)

        def effect() -> Response:
            services.set_status(
                case,
                data["status"],
                actor=self.user,
                seen=data["seen"],
                reason=data.get("reason", ""),
                via=Via.API,
            )
            return self.show(CaseWholeOut, _read(case))

        return self.once(effect, required=True)


class SpokenOrderApi(PortalAPIView):
    """Write down a spoken order."""

    permission = Permission.CASE_SETTLE

    @documented(
        "case_orders_add",
        EntryOut,
        summary="Write down a spoken order",
        request=SpokenOrderIn,
        status=201,
        once=True,
        example={
            **_ENTRY,
            "kind": "spoken_order",
            "via": "api",
            "text": "Put web-12 back.",
            "data": {
                "contact": REF,
                "who": "Maja Lindgren",
                "authority": "technical",
                "kind": "put_back",
                "read_back": True,
                "check": "call_back",
                "number_ends": "67",
                "is_valid": True,
                "why": "Called back on a number that is proven.",
            },
        },
        request_example={
            "contact": REF,
            "kind": "put_back",
            "order": "Put web-12 back.",
            "check": "call_back",
            "number": _NUMBER,
            "read_back": True,
        },
        tag="cases",
    )
    def post(self, request: Request, case_ref: UUID) -> Response:
        """Valid after a call-back on a proven number or the agreed check; else it is kept as not valid, with why.

        422 (`no_authority`) where the contact's authority does not cover this kind of order: nothing is kept.
        """
        case = self.find(SupportCase, case_ref)
        data = self.read(SpokenOrderIn)
        contact = Contact.objects.filter(account=case.account, ref=data.pop("contact")).first()
        if contact is None:
            raise Refused("There is no such contact in this account.", code="no_contact")

        def effect() -> Response:
            entry = services.record_spoken_order(case, actor=self.user, contact=contact, via=Via.API, **data)
            return self.show(EntryOut, case.entries.get(pk=entry.pk), status=201)

        return self.once(effect)


class AttachmentApi(PortalAPIView):
    """What was frozen."""

    permission = Permission.CASE_VIEW

    @documented(
        "case_attachments_read",
        AttachmentWholeOut,
        summary="Read what was attached to a case",
        example={**_ATTACHMENT, "content": [{"seq": 42, "says": "The run halted."}]},
        tag="cases",
    )
    def get(self, request: Request, attachment_ref: UUID) -> Response:
        """As it was when the case was opened, without secrets."""
        return self.show(AttachmentWholeOut, self.find(CaseAttachment, attachment_ref))


class RawMail(BaseParser):
    """A mail as it came, of bounded size."""

    media_type = "message/rfc822"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """Return the bytes, of a mail that is too large one more than it may have."""
        return stream.read(MOST_BYTES + 1)


class MailApi(PortalAPIView):
    """Where the mail system hands in answers to mails about cases."""

    permission = Permission.PUBLIC
    authentication_classes = ()
    parser_classes = [RawMail]
    # One that is too large is 422 with the sentence for its sender: 413 would be tried again for days.
    max_body_bytes = sys.maxsize

    def get_authenticate_header(self, request: Request) -> str:
        """Say how one signs in here, so that a wrong secret is 401."""
        return "Bearer"

    @extend_schema(
        operation_id="support_mail",
        summary="Hand in a mail that answers a support case",
        description=(
            "For the mail system alone: the raw RFC 5322 message, with `Authorization: Bearer` and the secret that the "
            "operator set as SUPPORT_MAIL_SECRET. At most 10 MiB; of a large mail the text is taken in, and what is not is "
            "said. 422 has the sentence for the sender, also of one that is larger; dropped are loops and automatic "
            "answers."
        ),
        tags=["cases"],
        request={"message/rfc822": OpenApiTypes.BINARY},
        responses={200: MailTakenOut, **problem_responses(401, 404, 411, 415, 422)},
    )
    def post(self, request: Request) -> Response:
        """Keep it on its case; without a configured secret there is no such address (404)."""
        if not services.reply_base():
            raise Http404
        given = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if not hmac.compare_digest(given.encode(), settings.SUPPORT_MAIL_SECRET.encode()):
            record_flood("case.mail_refused", why="secret")
            raise NotAuthenticated("This is the mail system's door; its secret is missing or wrong.")
        length = request.META.get("CONTENT_LENGTH") or ""
        if length.isascii() and length.isdigit() and int(length) > MOST_BYTES:
            raise Refused(TOO_LARGE, code="too_large")
        raw: Any = request.data
        taken = take_in(raw if isinstance(raw, bytes) else b"")
        if taken.outcome == "refused":
            raise Refused(taken.says, code=taken.code)
        return Response(MailTakenOut({"outcome": taken.outcome, "says": taken.says}).data)
