"""When somebody can be reached, by the clock on the wall of their own zone. Pure: values in, values out.

What is not known stays not known (None): nobody is taken to be awake because nobody said otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from portal.errors import Refused

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_DAY = timedelta(days=1)


class HoursKind(StrEnum):
    """What is known of somebody's hours."""

    UNKNOWN = "unknown"
    ALWAYS = "around_the_clock"
    WEEKLY = "weekly"


@dataclass(frozen=True)
class Span:
    """A stretch of one day of the week (0 is Monday), from `start` up to, not including, `end`.

    An end at or before the start is on the next day: 22:00 to 06:00 is a night, 00:00 to 00:00 a whole day.
    """

    day: int
    start: time
    end: time

    @property
    def is_over_midnight(self) -> bool:
        """Whether it ends on the next day."""
        return self.end <= self.start


@dataclass(frozen=True)
class Hours:
    """Somebody's hours in their own zone. `is_free(day)` tells a public holiday, `is_away(day)` an own day off.

    Around the clock means holidays too, but not the days on which the person is away.
    """

    kind: HoursKind
    zone: str
    spans: tuple[Span, ...] = ()
    is_free: Callable[[date], bool] = lambda day: False
    is_away: Callable[[date], bool] = lambda day: False

    def _works(self, day: date) -> bool:
        return not self.is_free(day) and not self.is_away(day)


def reachable_at(hours: Hours, at: datetime) -> bool | None:
    """Whether the person can be reached at this moment (aware); None if nobody said when."""
    wall = at.astimezone(ZoneInfo(hours.zone))
    today = wall.date()
    if hours.kind is HoursKind.UNKNOWN:
        return False if hours.is_away(today) else None
    if hours.kind is HoursKind.ALWAYS:
        return not hours.is_away(today)
    return any(begins <= at < ends for begins, ends in _stretches(hours, at, at))


def intervals(hours: Hours, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """Return when the person can be reached between two moments, as UTC stretches in order; none while unknown.

    Agrees with `reachable_at` at every minute.
    """
    if hours.kind is HoursKind.UNKNOWN:
        return []
    found = [
        (max(begins, start), min(ends, end))
        for begins, ends in _stretches(hours, start, end)
        if begins < end and ends > start
    ]
    return merged(found)


def _stretches(hours: Hours, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    zone = ZoneInfo(hours.zone)
    day = start.astimezone(zone).date() - _DAY
    last = end.astimezone(zone).date()
    while day <= last:
        if hours.kind is HoursKind.ALWAYS:
            if not hours.is_away(day):
                yield moment(day, time(), zone), moment(day + _DAY, time(), zone)
        elif hours._works(day):
            for span in hours.spans:
                if span.day == day.weekday():
                    ends_on = day + _DAY if span.is_over_midnight else day
                    yield moment(day, span.start, zone), moment(ends_on, span.end, zone)
        day += _DAY


def moment(day: date, wall: time, zone: ZoneInfo) -> datetime:
    """Return the first moment, in UTC, at which the wall shows this time or, where it is left out, has passed it."""
    return datetime.combine(day, wall, zone).astimezone(UTC)


def merged(found: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """Return stretches in order, joined where they touch or overlap."""
    joined: list[tuple[datetime, datetime]] = []
    for begins, ends in sorted(one for one in found if one[0] < one[1]):
        if joined and begins <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], ends))
        else:
            joined.append((begins, ends))
    return joined


# --- as they are kept and typed ----------------------------------------------------------------------------


def spans_of(kept: Iterable[Mapping[str, Any]]) -> tuple[Span, ...]:
    """Return spans as they are kept: `{"day": 0, "from": "08:00", "until": "17:30"}`. Raises Refused for others."""
    found = []
    for one in kept:
        try:
            if (
                set(one) != {"day", "from", "until"}
                or isinstance(one["day"], bool)
                or one["day"] not in range(7)
            ):
                raise ValueError
            found.append(Span(int(one["day"]), _wall(one["from"]), _wall(one["until"])))
        except (KeyError, TypeError, ValueError) as error:
            raise Refused(
                "Working hours are a list of days (0 is Monday) with from and until, like "
                '{"day": 0, "from": "08:00", "until": "17:30"}.',
                code="bad_hours",
            ) from error
    if len(found) > MOST_SPANS:
        raise Refused(f"Working hours: at most {MOST_SPANS} stretches in a week.", code="bad_hours")
    return tuple(sorted(found, key=lambda span: (span.day, span.start, span.end)))


MOST_SPANS = 42


def check_spans(spans: Iterable[Span]) -> None:
    """Raise Refused for a stretch that begins and ends at the same time, but midnight to midnight, which is a whole day.

    For what is newly said: nobody can tell whether nothing is meant or a day and a night.
    """
    for span in spans:
        if span.start == span.end and span.start != time():
            raise Refused(
                f"{DAYS[span.day]} {span.start:%H:%M} to {span.end:%H:%M} begins and ends at the same time. "
                "Correct one of the two; a whole day is 00:00 to 24:00.",
                code="bad_hours",
            )


def _wall(text: Any) -> time:
    if not isinstance(text, str) or len(text) != 5:
        raise ValueError
    return datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007 - a time on a wall has no zone


def kept(spans: Iterable[Span]) -> list[dict[str, Any]]:
    """Return spans as they are kept."""
    return [{"day": span.day, "from": f"{span.start:%H:%M}", "until": f"{span.end:%H:%M}"} for span in spans]


def in_words(kind: str, spans: Iterable[Span]) -> str:
    """Return hours as a person reads them: "Mon to Fri 08:00 to 17:00"."""
    if kind == HoursKind.ALWAYS:
        return "around the clock"
    if kind == HoursKind.UNKNOWN:
        return "not known"
    return "; ".join(lines_of(spans))


def lines_of(spans: Iterable[Span]) -> list[str]:
    """Return weekly hours in words, a line for each pair of times; `spans_from_words` reads them back."""
    by_times: dict[tuple[time, time], list[int]] = {}
    for span in spans:
        by_times.setdefault((span.start, span.end), []).append(span.day)
    return [f"{_days(days)} {begins:%H:%M} to {ends:%H:%M}" for (begins, ends), days in by_times.items()]


LONGEST_LINE = 120
_LINE = re.compile(
    r"(?P<days>[a-z][a-z,\s–-]*?)[:\s]\s*(?P<start>\d{1,2}[:.]\d{2})\s*(?:-|–|to|until)\s*(?P<end>\d{1,2}[:.]\d{2})",
    re.IGNORECASE,
)
_EVERY_DAY = frozenset({"daily", "every day", "all days"})


def spans_from_words(text: str) -> tuple[Span, ...]:
    """Return weekly hours as a person types them, a line each: "Mon to Fri 08:00 to 17:00". Raises Refused for others."""
    found: set[Span] = set()
    for line in (line.strip() for line in re.split(r"[\n;]", text)):
        if not line:
            continue
        # A line that is longer is no hours, and its blanks could be shared out in too many ways.
        read = _LINE.fullmatch(line) if len(line) <= LONGEST_LINE else None
        days = None if read is None else _days_from(read["days"])
        start, end = (None, None) if read is None else (_time_from(read["start"]), _time_from(read["end"]))
        if days is None or start is None or end is None:
            raise Refused(
                f"“{line[:60]}” cannot be read. Write a line for each, like Mon to Fri 08:00 to 17:00, or Sat 10:00 to 14:00.",
                code="bad_hours",
            )
        found |= {Span(day, start, end) for day in days}
    if len(found) > MOST_SPANS:
        raise Refused(f"Working hours: at most {MOST_SPANS} stretches in a week.", code="bad_hours")
    check_spans(sorted(found, key=lambda span: span.day))
    return tuple(sorted(found, key=lambda span: (span.day, span.start, span.end)))


def _time_from(text: str) -> time | None:
    hour, minute = (int(part) for part in re.split(r"[:.]", text))
    if (hour, minute) == (24, 0):
        return time()
    return time(hour, minute) if hour < 24 and minute < 60 else None


def _days_from(text: str) -> list[int] | None:
    text = " ".join(text.lower().split()).rstrip(":,")
    if text in _EVERY_DAY:
        return list(range(7))
    found: list[int] = []
    for part in text.split(","):
        ends = [_day_from(one) for one in re.split(r"\s+to\s+|\s*[-–]\s*", part.strip())]
        if len(ends) > 2 or any(day is None for day in ends):
            return None
        first, last = ends[0], ends[-1]
        assert first is not None
        assert last is not None
        found += [day % 7 for day in range(first, last + (1 if last >= first else 8))]
    return found


def _day_from(text: str) -> int | None:
    named = [number for number, day in enumerate(DAYS) if len(text) >= 2 and day.lower().startswith(text)]
    return named[0] if len(named) == 1 else None


def _days(days: list[int]) -> str:
    runs: list[list[int]] = []
    for day in sorted(set(days)):
        if runs and day == runs[-1][-1] + 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ", ".join(
        DAYS[run[0]][:3] if len(run) == 1 else f"{DAYS[run[0]][:3]} to {DAYS[run[-1]][:3]}" for run in runs
    )


# --- public holidays ---------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def countries() -> dict[str, tuple[str, ...]]:
    """Return the countries whose public holidays are known, by ISO code, each with its subdivisions."""
    import holidays

    listed = holidays.list_supported_countries(include_aliases=False)
    return {code: tuple(parts) for code, parts in sorted(listed.items())}


def check_country(country: str, subdivision: str) -> None:
    """Raise Refused for a country or part of one whose public holidays are not known."""
    if not country:
        if subdivision:
            raise Refused("Public holidays: name the country, then its part.", code="bad_country")
        return
    if country not in countries():
        raise Refused(
            f"The public holidays of {country} are not known here. Leave the country empty and list days off.",
            code="bad_country",
        )
    if subdivision and subdivision not in countries()[country]:
        known = ", ".join(countries()[country]) or "none"
        raise Refused(f"{country} has no part {subdivision}. Known are: {known}.", code="bad_country")


@lru_cache(maxsize=2000)
def _holidays(country: str, subdivision: str, year: int) -> frozenset[date]:
    import holidays

    return frozenset(holidays.country_holidays(country, subdiv=subdivision or None, years=year))


def is_public_holiday(country: str, subdivision: str, day: date) -> bool:
    """Whether this day is a public holiday there; False without a country."""
    return bool(country) and day in _holidays(country, subdivision, day.year)
