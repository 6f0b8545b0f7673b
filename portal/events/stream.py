"""An account's events live: server-sent events in the order of their positions, resumable by position.

The mechanics are those of a run's stream: Redis is the wake-up, the database the content, no connection is held while
waiting, and without Redis it looks every 2 s.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Collection
from uuid import UUID

from django.db.models import QuerySet

from portal.events.cloudevents import as_cloudevent
from portal.events.models import Event
from portal.events.relay import channel_of, head
from portal.runs import stream as live

_PAGE = 200


def events_of(account_ref: UUID, *, after: int = 0, types: Collection[str] = ()) -> QuerySet[Event]:
    """Return an account's events that have a position above `after`; `types` narrows (short names)."""
    rows = Event.objects.filter(account_ref=account_ref, position__gt=after)
    return rows.filter(type__in=list(types)) if types else rows


async def account_events(
    account_ref: UUID, after: int | None, *, types: Collection[str] = ()
) -> AsyncGenerator[bytes, None]:
    """Yield an account's events with a position above `after`, for ever; None begins with what comes from now on.

    First comes an event `start` that names the position, so that a reader who saw nothing yet can resume too. Each
    event is a CloudEvents object with its position as the id; a comment comes every 15 s.
    """
    yield b"retry: 2000\n\n"
    hub = live._hub()
    async with contextlib.AsyncExitStack() as stack:
        read = await stack.enter_async_context(hub.reading())
        ear = await stack.enter_async_context(hub.listening(channel_of(account_ref)))
        position = after if after is not None else (await read(head))[0]
        yield live.sse("start", json.dumps({"position": str(position)}), id=position)
        quiet_s = 0.0
        while True:
            ear.news.clear()
            # The head first: with a filter, a reader's position moves on over what it does not ask for.
            reached = (await read(head))[0]
            events = await read(_page, account_ref, position, types)
            for event in events:
                position = event.position or position
                yield live.sse(event.type, json.dumps(as_cloudevent(event)), id=position)
            if len(events) == _PAGE:
                continue
            position = max(position, reached)
            if events:
                quiet_s = 0.0
            wait_s = min(live.HEARTBEAT_S - quiet_s, live.HEARTBEAT_S if ear.is_heard() else live.POLL_S)
            if await live._comes(ear.news, wait_s):
                continue
            quiet_s += wait_s
            if quiet_s >= live.HEARTBEAT_S:
                quiet_s = 0.0
                yield live.HEARTBEAT


def _page(account_ref: UUID, after: int, types: Collection[str]) -> list[Event]:
    return list(events_of(account_ref, after=after, types=types).order_by("position")[:_PAGE])
