"""Items as iCalendar (RFC 5545): UTC times, whole days as dates, stable UIDs, a SEQUENCE that rises, cancelled ones said to be. Pure.

Nobody stands in it: no organizer, no attendee, and names in titles are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event

PRODUCT = "-//Steady State//Calendar//EN"
_TOKEN = re.compile(r"⟦[0-9a-f]{32}\.[A-Za-z0-9_=-]*⟧")


def without_people(text: str) -> str:
    """Return a stored text with each person's token as "somebody"."""
    return _TOKEN.sub("somebody", text)


def _span(item: Any) -> tuple[date, date]:
    """Return begin and end of an item: whole days as the dates of its own zone (the end is the day after), else in UTC."""
    if item.is_all_day:
        zone = ZoneInfo(item.time_zone)
        starts, ends = item.starts_at.astimezone(zone), item.ends_at.astimezone(zone)
        if starts.time() == ends.time() == time() and starts.date() < ends.date():
            return starts.date(), ends.date()
    return item.starts_at.astimezone(UTC).replace(microsecond=0), item.ends_at.astimezone(UTC).replace(
        microsecond=0
    )


def calendar_of(items: Iterable[Any], *, name: str, domain: str, base_url: str, now: datetime) -> bytes:
    """Return the feed: one event each. Lines are folded at 75 octets and end with CRLF; `base_url` has no final slash."""
    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", name)
    for item in items:
        event = Event()
        event.add("uid", f"{item.uid}@{domain}")
        event.add("dtstamp", (item.changed_at or now).astimezone(UTC).replace(microsecond=0))
        starts, ends = _span(item)
        event.add("dtstart", starts)
        event.add("dtend", ends)
        event.add("sequence", item.sequence)
        title = without_people(item.title)
        event.add("summary", f"{title} ({item.account.name})" if item.account is not None else title)
        event.add("status", "CANCELLED" if item.is_cancelled else "CONFIRMED")
        event.add("categories", [item.kind.upper()])
        event.add("description", f"Meant in {item.time_zone}.")
        # What is only on does not make somebody busy; a freeze is for systems, not for people.
        event.add("transp", "TRANSPARENT")
        if item.url:
            event.add("url", f"{base_url}{item.url}")
        calendar.add_component(event)
    written: bytes = calendar.to_ical()
    return written
