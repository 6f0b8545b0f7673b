"""When things are: repetition and whole days as a zone's clocks show them, and where those clocks change. Pure.

Moments are aware UTC; a wall time is what a clock in `zone` shows. A wall time that the clocks leave out is the moment
that the clock before the change would have shown (02:30 is 03:30); one that comes twice is the first (RFC 5545, 3.3.5).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

WEEK = timedelta(days=7)
_ONE = timedelta(minutes=1)
Timed = TypeVar("Timed", bound="HasTime")


@dataclass(frozen=True)
class HasTime:
    """A stretch of time. `ends_at` is the first moment that is not in it any more."""

    starts_at: datetime
    ends_at: datetime


def moment(day: date, wall: time, zone: str) -> datetime:
    """Return the moment at which clocks in `zone` show `wall` on `day`."""
    return datetime.combine(day, wall.replace(tzinfo=None, fold=0), ZoneInfo(zone)).astimezone(UTC)


def day_span(first: date, last: date, zone: str) -> tuple[datetime, datetime]:
    """Return the moments from the first midnight of `first` to the midnight after `last`, in `zone`."""
    return moment(first, time(), zone), moment(last + timedelta(days=1), time(), zone)


def repeated(
    starts_at: datetime, ends_at: datetime, zone: str, until: date | None, start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """Yield each stretch of a weekly repetition that touches [start, end), the earliest first.

    It keeps its wall time, over clock changes too: begin and end are each taken from the clocks of `zone`. `until` is the
    last day on which one may begin; None repeats nothing.
    """
    if until is None:
        if starts_at < end and ends_at > start:
            yield starts_at, ends_at
        return
    here = ZoneInfo(zone)
    first, last = starts_at.astimezone(here), ends_at.astimezone(here)
    # Some weeks early, so that one that began before the range and reaches into it is not left out.
    weeks = max(0, (start - starts_at) // WEEK - (ends_at - starts_at) // WEEK - 1)
    while True:
        day = first.date() + weeks * WEEK
        if day > until:
            return
        begins = moment(day, first.time(), zone)
        if begins >= end:
            return
        over = moment(last.date() + weeks * WEEK, last.time(), zone)
        if over > start and over > begins:
            yield begins, over
        weeks += 1


@dataclass(frozen=True)
class ClockChange:
    """One change of a zone's clocks: at `at` a clock that shows `before` shows `after` instead."""

    at: datetime
    before: str
    after: str
    zone: str

    @property
    def says(self) -> str:
        """The sentence for people."""
        return f"Clocks change: {self.before} becomes {self.after}."


def clock_changes(zone: str, start: datetime, end: datetime) -> list[ClockChange]:
    """Return the clock changes of `zone` in [start, end), the earliest first."""
    here = ZoneInfo(zone)
    found = []
    at = start
    while at < end:
        step = min(at + timedelta(hours=12), end)
        if at.astimezone(here).utcoffset() != step.astimezone(here).utcoffset():
            low, high = at, step
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) / 2
                if middle.astimezone(here).utcoffset() == low.astimezone(here).utcoffset():
                    low = middle
                else:
                    high = middle
            change = high.replace(microsecond=0)
            if change.astimezone(here).utcoffset() == at.astimezone(here).utcoffset():
                change += timedelta(seconds=1)
            if change < end:
                offset = (change - _ONE).astimezone(here).utcoffset() or timedelta(0)
                was = (change + offset).replace(tzinfo=None)
                found.append(ClockChange(change, f"{was:%H:%M}", f"{change.astimezone(here):%H:%M}", zone))
        at = step
    return found


def monday_of(day: date) -> date:
    """Return the Monday of a day's week."""
    return day - timedelta(days=day.weekday())


def days_of(item: HasTime, zone: str, first: date, last: date) -> list[date]:
    """Return the days of [first, last] on which something is, as clocks in `zone` show it."""
    here = ZoneInfo(zone)
    begins = item.starts_at.astimezone(here).date()
    # What ends at midnight is not on the day that begins then; what takes no time is on its day.
    final = max(begins, (item.ends_at - timedelta(seconds=1)).astimezone(here).date())
    day, found = max(begins, first), []
    while day <= min(final, last):
        found.append(day)
        day += timedelta(days=1)
    return found


def by_day(items: Iterable[Timed], zone: str, first: date, last: date) -> dict[date, list[Timed]]:
    """Return what is on each day of [first, last], each day's in the order of their beginning."""
    found: dict[date, list[Timed]] = {
        first + timedelta(days=number): [] for number in range((last - first).days + 1)
    }
    for item in sorted(items, key=lambda one: (one.starts_at, one.ends_at)):
        for day in days_of(item, zone, first, last):
            found[day].append(item)
    return found


def in_weeks(days: dict[date, list[Timed]]) -> list[tuple[date, list[tuple[date, Sequence[Timed]]]]]:
    """Return days, which begin on a Monday, week by week."""
    listed = sorted(days.items())
    return [(listed[place][0], list(listed[place : place + 7])) for place in range(0, len(listed), 7)]
