"""What happens on an account, through the API: pages of events, and the same as a stream."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection as database
from django.http import HttpResponseBase, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.exceptions import Throttled
from rest_framework.request import Request

from accounts.models import Account
from portal.access import Permission, in_database
from portal.api import PortalAPIView, documented
from portal.errors import Refused
from portal.events.cloudevents import as_cloudevent, name_of
from portal.events.models import Event
from portal.events.relay import head
from portal.events.stream import account_events, events_of
from portal.problems import Gone
from portal.streams import TOO_MANY, take_seat, while_allowed


class EventOut(serializers.Serializer[Event]):
    """One event: CloudEvents 1.0, with its `position` in the account's stream as an extension."""

    specversion = serializers.CharField()
    id = serializers.UUIDField()
    source = serializers.CharField()  # type: ignore[assignment]  # the field's name is CloudEvents' too
    type = serializers.CharField()
    subject = serializers.CharField()
    time = serializers.DateTimeField()
    datacontenttype = serializers.CharField()
    position = serializers.CharField()
    data = serializers.DictField()  # type: ignore[assignment]  # the field's name is CloudEvents'

    def to_representation(self, instance: Event) -> dict[str, Any]:
        """Return the CloudEvents object."""
        return as_cloudevent(instance)


EXAMPLE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "0b3f6f0e-6f5e-4d83-9d6c-2f0f5b1f6f11",
    "source": "/api/v1/accounts/9d7c5f5e-19c9-4d6e-8a55-1a3d4f0b2c77",
    "type": "steadystate.run.halted.v1",
    "subject": "run/c1b7f9a0-2d7c-4c0a-8e11-0d3b9a6c7712",
    "time": "2026-11-23T12:10:00.000000Z",
    "datacontenttype": "application/json",
    "position": "4711",
    "data": {
        "kind": "scaledown",
        "plan": "5f5e9d7c-19c9-4d6e-8a55-1a3d4f0b2c77",
        "rehearsal": False,
        "code": "drain_time_out",
        "rank": "needs_decision",
        "actor": None,
    },
}


class AccountEventsApi(PortalAPIView):
    """What happened on an account, in order."""

    permission = Permission.EVENT_VIEW

    @documented(
        "events_list",
        EventOut,
        summary="List what happened on an account, or follow it as server-sent events",
        paged=True,
        example=EXAMPLE,
        tag="events",
        can_be_gone=True,
        parameters=[
            OpenApiParameter(
                "after",
                OpenApiTypes.INT,
                description="Only events with a position above this one: the last that you have.",
            ),
            OpenApiParameter(
                "type",
                description="Only these types, separated by commas, like `run.halted,plan.approved`.",
            ),
            OpenApiParameter(
                "Last-Event-ID",
                OpenApiTypes.INT,
                OpenApiParameter.HEADER,
                description="For a stream: the position of the last event that you have. It wins over `after`.",
            ),
        ],
    )
    def get(self, request: Request, account_ref: UUID) -> Any:
        """Oldest first. With `Accept: text/event-stream` the answer is a stream that does not end: each event has its
        position as `id`; without `after` and Last-Event-ID it begins with what comes from now on. What is older than the
        portal keeps is answered with 410.
        """
        account = self.find(Account, account_ref)
        types = _types(request.query_params.get("type", ""))
        given = request.query_params.get("after", "")
        if "text/event-stream" in request.headers.get("Accept", ""):
            last = request.headers.get("Last-Event-ID", "") or given
            after = _position(last) if last else None
            _refuse_forgotten(after)
            return self._stream(request, account, after, types)
        after = _position(given) if given else 0
        _refuse_forgotten(after)
        return self.page(
            events_of(account.ref, after=after, types=types),
            EventOut,
            order="position",
            filters={"account": account.pk, "after": after, "types": ",".join(types)},
        )

    def _stream(
        self, request: Request, account: Account, after: int | None, types: tuple[str, ...]
    ) -> HttpResponseBase:
        seat = take_seat(self.user.pk, self.token)
        if seat is None:
            raise Throttled(detail=TOO_MANY)
        may_read_on = partial(in_database, self.reads_on())
        stream = while_allowed(account_events(account.ref, after, types=types), seat, may_read_on)
        response = StreamingHttpResponse(stream, content_type="text/event-stream")
        response["X-Accel-Buffering"] = "no"
        response["Cache-Control"] = "no-store"
        if not database.in_atomic_block:
            # A stream may last for hours and must not hold a connection meanwhile.
            database.close()
        return response


def _position(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    raise Refused(
        "A position is a whole number from 0 on, as an event's `position` has it.", code="bad_position"
    )


def _types(text: str) -> tuple[str, ...]:
    return tuple(sorted({name for part in text.split(",")[:50] if (name := name_of(part.strip()[:100]))}))


def _refuse_forgotten(after: int | None) -> None:
    """Tell a reader who was away for too long, instead of leaving out what it never saw. 0 asks for what there is."""
    forgotten = head()[1]
    if after and after < forgotten:
        raise Gone(
            f"Events up to position {forgotten} are no longer kept, so some after {after} are missing. "
            "Read afresh what you follow, then go on without `after`."
        )
