"""Own notices through the API."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from portal.access import Permission
from portal.api import PortalAPIView, documented
from portal.errors import Refused
from portal.notify import selectors, services
from portal.notify.forms import CHOOSABLE
from portal.notify.models import Message, Preference


class NoticeOut(serializers.ModelSerializer[Message]):
    """One notice. `url` is the page that it is about, "" without one; `account` is a reference or null."""

    account = serializers.SerializerMethodField()

    class Meta:
        model = Message
        fields = ("ref", "created_at", "purpose", "kind", "title", "url", "account", "read_at", "mail_state")

    def get_account(self, notice: Message) -> str | None:
        """Return the account's reference."""
        return str(notice.account.ref) if notice.account is not None else None


class ReadOut(serializers.Serializer[Any]):
    """How many notices were unread before."""

    marked = serializers.IntegerField()


_KINDS = [(kind.value, kind.value) for kind in CHOOSABLE]


class NoticePreferenceOut(serializers.Serializer[Preference]):
    """How you are told. Hours are on the clock of your own time zone; equal ones mean no quiet hours."""

    quiet_from = serializers.TimeField(format="%H:%M")
    quiet_until = serializers.TimeField(format="%H:%M")
    mail_off = serializers.ListField(child=serializers.CharField())
    portal_off = serializers.ListField(child=serializers.CharField())


class NoticePreferenceIn(serializers.Serializer[Preference]):
    """What shall change. Emergencies, and what is for you alone, cannot be turned off."""

    quiet_from = serializers.TimeField(required=False)
    quiet_until = serializers.TimeField(required=False)
    mail_off = serializers.ListField(
        child=serializers.CharField(max_length=12), required=False, max_length=len(_KINDS)
    )
    portal_off = serializers.ListField(
        child=serializers.CharField(max_length=12), required=False, max_length=len(_KINDS)
    )


EXAMPLE = {
    "ref": "7b0d0b0e-3c52-4ad8-9d0c-0d6f2f7f5a31",
    "created_at": "2026-11-23T12:10:00Z",
    "purpose": "approval_asked",
    "kind": "notice",
    "title": "Lindgren Outdoor: please decide about “Shop: 6 servers to 3”",
    "url": "/plans/5f0c1f5e-9a0b-4a5e-8f39-40b5f0f6f0aa/",
    "account": "d1f2a9c2-0d7e-4b19-9a54-0f3f6c6f1c11",
    "read_at": None,
    "mail_state": "sent",
}
PREFERENCE = {"quiet_from": "21:00", "quiet_until": "07:00", "mail_off": [], "portal_off": ["reminder"]}


class NoticeListApi(PortalAPIView):
    """Own notices."""

    permission = Permission.SIGNED_IN

    @documented(
        "notices_list",
        NoticeOut,
        summary="List what you were told",
        paged=True,
        example=EXAMPLE,
        tag="me",
        parameters=[OpenApiParameter("show", enum=["all", "unread"], description="`all` if not given.")],
    )
    def get(self, request: Request) -> Response:
        """Newest first. A notice about an account that you may no longer see is not listed."""
        rows = selectors.notices_of(self.user).select_related("account")
        show = request.query_params.get("show", "all")
        if show not in {"all", "unread"}:
            raise Refused("`show` is all or unread.", code="bad_filter")
        if show == "unread":
            rows = rows.filter(read_at__isnull=True)
        return self.page(rows, NoticeOut, order="-id", filters={"show": show})


class NoticeReadApi(PortalAPIView):
    """One notice, read."""

    permission = Permission.SIGNED_IN

    @documented("notices_read", ReadOut, summary="Mark a notice as read", example={"marked": 1}, tag="me")
    def post(self, request: Request, notice_ref: UUID) -> Response:
        """Repeated it stays read, and `marked` is 0."""
        notice = selectors.notices_of(self.user).filter(ref=notice_ref).first()
        if notice is None:
            raise Http404
        return Response({"marked": services.mark_read(self.user, notice=notice)})


class NoticesReadAllApi(PortalAPIView):
    """All notices, read."""

    permission = Permission.SIGNED_IN

    @documented(
        "notices_read_all", ReadOut, summary="Mark all notices as read", example={"marked": 12}, tag="me"
    )
    def post(self, request: Request) -> Response:
        """All that you may read now."""
        return Response({"marked": services.mark_read(self.user)})


class NoticePreferencesApi(PortalAPIView):
    """How you are told."""

    permission = Permission.SIGNED_IN

    @documented(
        "notice_preferences_read",
        NoticePreferenceOut,
        summary="Read how you are told",
        example=PREFERENCE,
        tag="me",
    )
    def get(self, request: Request) -> Response:
        """The defaults for who never chose."""
        return Response(NoticePreferenceOut(selectors.preference_of(self.user)).data)

    @documented(
        "notice_preferences_change",
        NoticePreferenceOut,
        summary="Change how you are told",
        request=NoticePreferenceIn,
        example=PREFERENCE,
        request_example={"portal_off": ["reminder"]},
        tag="me",
    )
    def patch(self, request: Request) -> Response:
        """Only the fields given are changed."""
        data = self.read(NoticePreferenceIn)
        return Response(NoticePreferenceOut(services.set_preference(self.user, **data)).data)
