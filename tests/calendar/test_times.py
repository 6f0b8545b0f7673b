"""When things are, over clock changes. No database."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.calendar.times import (
    HasTime,
    by_day,
    clock_changes,
    day_span,
    days_of,
    in_weeks,
    moment,
    monday_of,
    repeated,
)

BERLIN = "Europe/Berlin"


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(text, zone=BERLIN):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def test_clocks_change_twice_a_year_and_the_change_is_said_in_wall_times():
    found = clock_changes(BERLIN, at("2026-01-01T00:00"), at("2027-01-01T00:00"))
    assert [(one.at, one.before, one.after) for one in found] == [
        (at("2026-03-29T01:00"), "02:00", "03:00"),
        (at("2026-10-25T01:00"), "03:00", "02:00"),
    ]
    assert found[0].says == "Clocks change: 02:00 becomes 03:00."


@pytest.mark.parametrize(
    ("start", "end", "count"),
    [
        ("2026-03-29T00:59:59", "2026-03-29T01:00:01", 1),
        ("2026-03-29T01:00", "2026-03-30T00:00", 0),
        ("2026-03-28T00:00", "2026-03-29T01:00", 0),
    ],
)
def test_a_change_is_in_the_range_that_it_happens_in(start, end, count):
    assert len(clock_changes(BERLIN, at(start), at(end))) == count


def test_half_hours_and_zones_without_changes():
    (spring, _) = clock_changes("Australia/Lord_Howe", at("2026-01-01T00:00"), at("2027-01-01T00:00"))
    assert (spring.before, spring.after) == ("02:00", "01:30")
    assert clock_changes("UTC", at("2026-01-01T00:00"), at("2027-01-01T00:00")) == []
    assert clock_changes("Asia/Tokyo", at("2026-01-01T00:00"), at("2027-01-01T00:00")) == []


def weekly(begins, ends, until, start, end, zone=BERLIN):
    return list(repeated(local(begins, zone), local(ends, zone), zone, until, at(start), at(end)))


def test_what_repeats_keeps_its_time_of_day_when_clocks_change():
    found = weekly(
        "2026-03-22T09:00", "2026-03-22T10:00", date(2026, 4, 5), "2026-03-01T00:00", "2026-05-01T00:00"
    )
    assert [begins for begins, _ in found] == [
        at("2026-03-22T08:00"),
        at("2026-03-29T07:00"),
        at("2026-04-05T07:00"),
    ]


def test_a_time_that_clocks_leave_out_is_the_hour_after_and_one_that_comes_twice_the_first():
    assert moment(date(2026, 3, 29), time(2, 30), BERLIN) == at("2026-03-29T01:30")
    assert moment(date(2026, 10, 25), time(2, 30), BERLIN) == at("2026-10-25T00:30")


def test_once_is_there_where_it_touches_the_range():
    span = (at("2026-11-26T10:00"), at("2026-11-26T12:00"))
    assert list(repeated(*span, BERLIN, None, span[0], span[1])) == [span]
    assert list(repeated(*span, BERLIN, None, span[1], span[1] + timedelta(hours=1))) == []
    assert list(repeated(*span, BERLIN, None, span[0] - timedelta(hours=1), span[0])) == []


def test_whole_days_are_from_midnight_to_midnight_of_their_zone_even_if_they_have_23_hours():
    begins, ends = day_span(date(2026, 3, 29), date(2026, 3, 29), BERLIN)
    assert ends - begins == timedelta(hours=23)
    item = HasTime(begins, ends)
    assert days_of(item, BERLIN, date(2026, 3, 1), date(2026, 4, 30)) == [date(2026, 3, 29)]
    assert days_of(item, "UTC", date(2026, 3, 1), date(2026, 4, 30)) == [date(2026, 3, 28), date(2026, 3, 29)]


def test_an_agenda_has_each_day_once_and_what_lasts_on_each_of_its_days():
    monday = monday_of(date(2026, 11, 26))
    long = HasTime(at("2026-11-24T10:00"), at("2026-11-26T00:00"))
    days = by_day([long], "UTC", monday, monday + timedelta(days=13))
    assert [day for day, found in days.items() if found] == [date(2026, 11, 24), date(2026, 11, 25)]
    weeks = in_weeks(days)
    assert [one for one, _ in weeks] == [date(2026, 11, 23), date(2026, 11, 30)]
    assert all(len(listed) == 7 for _, listed in weeks)


ZONES = st.sampled_from(["UTC", BERLIN, "America/Chicago", "Asia/Tokyo", "Australia/Lord_Howe"])


@given(
    ZONES,
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)),
    st.integers(1, 7 * 24 * 60 - 180),
    st.integers(0, 30),
    st.integers(-60, 400),
    st.integers(1, 60),
)
def test_a_slice_of_a_repetition_is_what_the_whole_has_there(zone, begins, minutes, weeks, offset, length):
    """Asked for any stretch of time, it gives exactly those of the whole that touch it."""
    start = begins.replace(second=0, microsecond=0, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    end = start + timedelta(minutes=minutes)
    until = start.astimezone(ZoneInfo(zone)).date() + timedelta(weeks=weeks)
    low = start + timedelta(days=offset)
    high = low + timedelta(days=length)
    whole = list(repeated(start, end, zone, until, start - timedelta(days=30), start + timedelta(days=500)))
    touching = [one for one in whole if one[0] < high and one[1] > low]
    assert list(repeated(start, end, zone, until, low, high)) == touching
    assert len({one[0].astimezone(ZoneInfo(zone)).weekday() for one in whole}) <= 2
