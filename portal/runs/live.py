"""The stream of a run's page, whatever its kind: the partials that changed, after each tick."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse

from portal.access import AsyncPortalView
from portal.runs.stream import Change, after_seq_of, journal_events
from portal.streams import TOO_MANY, take_seat, while_allowed


def page_stream(
    view: AsyncPortalView,
    run_id: int,
    render: Callable[[Change], Mapping[str, str]],
    *,
    for_customer: bool,
) -> HttpResponseBase:
    """Return the stream of a run to the reader of a page, from where they left it. Holds no database connection while it waits.

    Ends when the run, the session or the reader's right is over; 429 where too many are open.
    """
    request = view.request
    seat = take_seat(view.user.pk)
    if seat is None:
        return HttpResponse(TOO_MANY, status=429, content_type="text/plain; charset=utf-8")
    after = after_seq_of(request.headers.get("Last-Event-ID") or request.GET.get("last_event_id"))
    events = journal_events(run_id, after, for_customer=for_customer, render=render)
    response = StreamingHttpResponse(
        while_allowed(events, seat, view.still_allowed), content_type="text/event-stream"
    )
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return response
