"""Who is on duty at a moment. Pure: a list of people, hand-over times on the wall of one zone, and the moment.

Each hand-over passes the duty to the next in the list, and counts once: the hour that a clock change repeats gives the
duty back to nobody, and a time that it leaves out is the moment right after.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from accounts.contacts.hours import DAYS, moment
from portal.errors import Refused

MOST_HAND_OVERS = 56
_WEEK = timedelta(days=7)
# Weeks that are surely over count by arithmetic; what is nearer is looked at moment by moment.
_NEAR = 2


@dataclass(frozen=True, order=True)
class HandOver:
    """A time of the week at which the duty passes on; day 0 is Monday."""

    day: int
    at: time


@dataclass(frozen=True)
class Duty:
    """A rotation. The first of `members` is on duty from the first hand-over on or after `starts_on`."""

    zone: str
    starts_on: date
    hand_overs: tuple[HandOver, ...]
    members: tuple[Any, ...]


@dataclass(frozen=True)
class Shift:
    """Somebody's turn: from `begins` up to, not including, `ends` (aware, UTC)."""

    member: Any
    begins: datetime
    ends: datetime


def on_duty_at(duty: Duty, at: datetime) -> Any | None:
    """Return who is on duty at this moment; None before the first hand-over, or where nobody is listed."""
    turn = _turn(duty, at)
    return None if turn is None else duty.members[turn]


def in_order_at(duty: Duty, at: datetime) -> tuple[Any, ...]:
    """Return the members with whoever is on duty first, then those whose turn comes next; as listed before the start."""
    turn = _turn(duty, at) or 0
    return duty.members[turn:] + duty.members[:turn]


def next_hand_over(duty: Duty, at: datetime) -> tuple[datetime, Any] | None:
    """Return when the duty passes on next after this moment, on the wall of its zone, and to whom.

    Before the start it is the first hand-over. None where nobody is listed, or past the last day of the calendar.
    """
    if not duty.members or not duty.hand_overs:
        return None
    zone = ZoneInfo(duty.zone)
    try:
        first = max(duty.starts_on, at.astimezone(zone).date() - timedelta(days=1))
        # A week and the edges: every day of the week comes by.
        found = min(one for one in _moments(duty, zone, first, first + _WEEK + timedelta(days=2)) if one > at)
    except OverflowError:
        return None
    return found.astimezone(zone), on_duty_at(duty, found)


def shifts(duty: Duty, start: datetime, end: datetime) -> list[Shift]:
    """Return the turns that touch the time between two moments, in order, cut off at `start` and `end`."""
    zone = ZoneInfo(duty.zone)
    first_day = start.astimezone(zone).date() - _WEEK
    last_day = end.astimezone(zone).date() + timedelta(days=1)
    moments = sorted(at for at in _moments(duty, zone, max(first_day, duty.starts_on), last_day))
    cuts = [start, *(at for at in moments if start < at < end), end]
    found = []
    for begins, ends in itertools.pairwise(cuts):
        member = on_duty_at(duty, begins)
        if member is not None and begins < ends:
            found.append(Shift(member, begins, ends))
    return found


def _turn(duty: Duty, at: datetime) -> int | None:
    if not duty.members or not duty.hand_overs:
        return None
    zone = ZoneInfo(duty.zone)
    today = at.astimezone(zone).date()
    # Subtracted, not stepped: the calendar has a first and a last day, and one of them may be asked for.
    if (duty.starts_on - today).days > 1:
        return None
    weeks = max(0, (today - duty.starts_on) // _WEEK - _NEAR)
    near_from = duty.starts_on + weeks * _WEEK
    passed = sum(1 for one in _moments(duty, zone, near_from, today + timedelta(days=1)) if one <= at)
    count = weeks * len(duty.hand_overs) + passed
    return (count - 1) % len(duty.members) if count else None


def _moments(duty: Duty, zone: ZoneInfo, first: date, last: date) -> Iterator[datetime]:
    day = first
    while day <= last:
        for one in duty.hand_overs:
            if one.day == day.weekday():
                yield moment(day, one.at, zone)
        day += timedelta(days=1)


# --- as they are kept --------------------------------------------------------------------------------------


def hand_overs_of(kept: Iterable[Mapping[str, Any]]) -> tuple[HandOver, ...]:
    """Return hand-overs as they are kept: `{"day": 0, "at": "09:00"}`. Raises Refused for others, and for none."""
    found = set()
    for one in kept:
        try:
            if set(one) != {"day", "at"} or isinstance(one["day"], bool) or one["day"] not in range(7):
                raise ValueError
            if not isinstance(one["at"], str) or len(one["at"]) != 5:
                raise ValueError
            at = datetime.strptime(one["at"], "%H:%M").time()  # noqa: DTZ007 - a time on a wall has no zone
            found.add(HandOver(int(one["day"]), at))
        except (KeyError, TypeError, ValueError) as error:
            raise Refused(
                'Hand-over times are a list of days (0 is Monday) and times, like {"day": 0, "at": "09:00"}.',
                code="bad_hand_overs",
            ) from error
    if not found:
        raise Refused("A rotation needs at least one hand-over time.", code="bad_hand_overs")
    return tuple(sorted(found))


def kept(hand_overs: Iterable[HandOver]) -> list[dict[str, Any]]:
    """Return hand-overs as they are kept."""
    return [{"day": one.day, "at": f"{one.at:%H:%M}"} for one in hand_overs]


def in_words(hand_overs: Iterable[HandOver]) -> str:
    """Return hand-overs as a person reads them: "Mon 09:00, Thu 09:00"."""
    return ", ".join(f"{DAYS[one.day][:3]} {one.at:%H:%M}" for one in hand_overs)
