"""An appointment that goes with a mail: iCalendar (RFC 5545) as an invitation or its end (RFC 5546, METHOD REQUEST and CANCEL). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from icalendar import Calendar, Event, vCalAddress, vText

PRODUCT = "-//Steady State//Invitations//EN"
REQUEST, CANCEL = "REQUEST", "CANCEL"


@dataclass(frozen=True)
class Appointment:
    """What stands in a calendar. `sequence` rises with each change; `uid` is the same in feeds."""

    method: str
    uid: str
    sequence: int
    starts_at: datetime
    ends_at: datetime
    summary: str
    says: str
    stamped_at: datetime


def plain_of(one: Appointment) -> dict[str, Any]:
    """Return an appointment as a message's context keeps it."""
    return {**one.__dict__}


def from_plain(value: Mapping[str, Any]) -> Appointment:
    """Return the appointment that `plain_of` wrote."""
    return Appointment(**value)


def invitation(one: Appointment, *, to: str, to_name: str, organizer: str, organizer_name: str) -> bytes:
    """Return the calendar file for one person. Nobody else who is invited stands in it; no answer is asked for."""
    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("method", one.method)
    event = Event()
    event.add("uid", one.uid)
    event.add("dtstamp", one.stamped_at.astimezone(UTC).replace(microsecond=0))
    event.add("dtstart", one.starts_at.astimezone(UTC).replace(microsecond=0))
    event.add("dtend", one.ends_at.astimezone(UTC).replace(microsecond=0))
    event.add("sequence", one.sequence)
    event.add("summary", one.summary)
    event.add("description", one.says)
    event.add("status", "CANCELLED" if one.method == CANCEL else "CONFIRMED")
    event.add("organizer", _person(organizer, organizer_name))
    attendee = _person(to, to_name)
    attendee.params["role"] = vText("REQ-PARTICIPANT")
    attendee.params["partstat"] = vText("NEEDS-ACTION")
    # Nobody reads answers of calendars: who takes part is agreed beforehand.
    attendee.params["rsvp"] = vText("FALSE")
    event.add("attendee", attendee)
    calendar.add_component(event)
    written: bytes = calendar.to_ical()
    return written


def _person(address: str, name: str) -> vCalAddress:
    found = vCalAddress(f"mailto:{address}")
    if name:
        found.params["cn"] = vText(name)
    return found
