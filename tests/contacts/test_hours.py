"""When somebody can be reached, on the wall of their own zone."""

from __future__ import annotations

import itertools
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.contacts.hours import (
    Hours,
    HoursKind,
    Span,
    check_country,
    in_words,
    intervals,
    is_public_holiday,
    kept,
    lines_of,
    reachable_at,
    spans_from_words,
    spans_of,
)
from portal.errors import Refused

ZONES = ("UTC", "Europe/Stockholm", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")
OFFICE = tuple(Span(day, time(8), time(17)) for day in range(5))
# Around the clock change of October 2026 in Europe, and of November in America.
MOMENTS = st.datetimes(datetime(2026, 10, 20), datetime(2026, 11, 10)).map(lambda at: at.replace(tzinfo=UTC))
TIMES = st.times().map(lambda at: at.replace(second=0, microsecond=0))
SPANS = st.lists(st.builds(Span, st.integers(0, 6), TIMES, TIMES), min_size=1, max_size=6).map(tuple)


def office(**more):
    return Hours(HoursKind.WEEKLY, "Europe/Stockholm", OFFICE, **more)


@pytest.mark.parametrize(
    ("utc", "reachable"),
    [
        ("2026-11-23T06:59", False),  # a Monday, 07:59 in Stockholm
        ("2026-11-23T07:00", True),
        ("2026-11-23T15:59", True),
        ("2026-11-23T16:00", False),
        ("2026-07-20T06:00", True),  # 08:00 there in summer
        ("2026-11-22T10:00", False),  # a Sunday
    ],
)
def test_office_hours_are_by_the_clock_on_the_persons_own_wall(utc, reachable):
    assert reachable_at(office(), datetime.fromisoformat(utc).replace(tzinfo=UTC)) is reachable


def test_hours_that_nobody_said_are_unknown_and_not_awake():
    at = datetime(2026, 11, 23, 10, tzinfo=UTC)
    assert reachable_at(Hours(HoursKind.UNKNOWN, "UTC"), at) is None
    assert intervals(Hours(HoursKind.UNKNOWN, "UTC"), at, at + timedelta(days=7)) == []
    assert reachable_at(Hours(HoursKind.UNKNOWN, "UTC", is_away=lambda day: True), at) is False


def test_a_night_goes_on_after_midnight_and_belongs_to_the_day_on_which_it_began():
    night = Hours(HoursKind.WEEKLY, "UTC", (Span(4, time(22), time(6)),), is_free=lambda day: day.day == 28)
    assert reachable_at(night, datetime(2026, 11, 28, 5, 59, tzinfo=UTC)) is True
    assert reachable_at(night, datetime(2026, 11, 28, 6, tzinfo=UTC)) is False
    free = Hours(HoursKind.WEEKLY, "UTC", (Span(4, time(22), time(6)),), is_free=lambda day: day.day == 27)
    assert reachable_at(free, datetime(2026, 11, 28, 5, tzinfo=UTC)) is False


def test_around_the_clock_means_holidays_too_but_not_days_off():
    always = Hours(HoursKind.ALWAYS, "UTC", is_free=lambda day: True, is_away=lambda day: day.day == 25)
    assert reachable_at(always, datetime(2026, 12, 24, 3, tzinfo=UTC)) is True
    assert reachable_at(always, datetime(2026, 12, 25, 3, tzinfo=UTC)) is False


def test_public_holidays_are_those_of_the_country_and_its_part():
    assert is_public_holiday("SE", "", date(2026, 1, 6))
    assert not is_public_holiday("SE", "", date(2026, 1, 7))
    assert is_public_holiday("DE", "BY", date(2026, 1, 6))
    assert not is_public_holiday("DE", "BE", date(2026, 1, 6))
    assert not is_public_holiday("", "", date(2026, 1, 1))


@pytest.mark.parametrize(("country", "part"), [("XX", ""), ("DE", "XX"), ("", "BY")])
def test_a_country_without_known_holidays_is_refused(country, part):
    with pytest.raises(Refused):
        check_country(country, part)
    check_country("DE", "BY")


@given(zone=st.sampled_from(ZONES), spans=SPANS, at=MOMENTS)
def test_the_stretches_of_a_week_say_the_same_as_each_moment(zone, spans, at):
    hours = Hours(HoursKind.WEEKLY, zone, spans, is_away=lambda day: day.day == 25)
    stretches = intervals(hours, at, at + timedelta(days=2))
    for minutes in range(0, 48 * 60, 97):
        moment = at + timedelta(minutes=minutes)
        assert reachable_at(hours, moment) is any(begins <= moment < ends for begins, ends in stretches)
    assert all(one[1] < other[0] for one, other in itertools.pairwise(stretches))


@given(zone=st.sampled_from(ZONES), at=MOMENTS)
def test_around_the_clock_leaves_no_hole_at_a_clock_change(zone, at):
    assert intervals(Hours(HoursKind.ALWAYS, zone), at, at + timedelta(days=9)) == [
        (at, at + timedelta(days=9))
    ]


@given(SPANS)
def test_hours_are_kept_and_read_back_as_they_are(spans):
    assert spans_of(kept(spans)) == tuple(sorted(spans, key=lambda one: (one.day, one.start, one.end)))


@pytest.mark.parametrize(
    "given_",
    [
        [{"day": 7, "from": "08:00", "until": "17:00"}],
        [{"day": True, "from": "08:00", "until": "17:00"}],
        [{"day": 0, "from": "8:00", "until": "17:00"}],
        [{"day": 0, "from": "24:00", "until": "17:00"}],
        [{"day": 0, "from": "08:00"}],
        ["Monday"],
        [None],
        [{"day": 0, "from": 8, "until": 17}],
    ],
)
def test_hours_of_another_shape_are_refused_in_words(given_):
    with pytest.raises(Refused):
        spans_of(given_)


def test_hours_read_like_a_person_says_them():
    spans = [*OFFICE, Span(5, time(10), time(14))]
    assert in_words("weekly", spans) == "Mon to Fri 08:00 to 17:00; Sat 10:00 to 14:00"
    assert in_words("unknown", []) == "not known"


@given(SPANS)
def test_hours_in_words_are_read_back_as_they_are(spans):
    spans = [span for span in spans if span.start != span.end or span.start == time()]
    assert set(spans_from_words("\n".join(lines_of(spans)))) == set(spans)


@pytest.mark.parametrize(
    ("text", "days", "start", "end"),
    [
        ("Mon-Fri 8:00-17:00", [0, 1, 2, 3, 4], time(8), time(17)),
        ("monday, Wed: 08.30 until 12.00", [0, 2], time(8, 30), time(12)),
        ("daily 00:00 to 24:00", list(range(7)), time(), time()),
        ("Fri to Mon 22:00 to 06:00", [0, 4, 5, 6], time(22), time(6)),
    ],
)
def test_hours_can_be_typed_in_the_usual_ways(text, days, start, end):
    assert spans_from_words(text) == tuple(Span(day, start, end) for day in days)


@pytest.mark.parametrize("text", ["Mon 09:00 to 09:00", "Sun 08:00 to 17:00\nSat 12:30-12:30"])
def test_hours_that_begin_and_end_at_the_same_time_are_refused(text):
    with pytest.raises(Refused, match="begins and ends at the same time"):
        spans_from_words(text)


@pytest.mark.parametrize("text", ["Mon 00:00 to 24:00", "Mon 00:00 to 00:00"])
def test_midnight_to_midnight_is_the_whole_day(text):
    assert spans_from_words(text) == (Span(0, time(), time()),)


@given(st.text(max_size=60))
def test_whatever_is_typed_is_read_or_refused_with_a_sentence(text):
    with suppress(Refused):
        assert all(0 <= span.day < 7 for span in spans_from_words(text))


@pytest.mark.parametrize("text", ["Mon", "8 to 5", "Mon 25:00 to 26:00", "T 08:00 to 09:00", "Mon 08:00"])
def test_hours_that_cannot_be_read_are_refused(text):
    with pytest.raises(Refused, match="cannot be read"):
        spans_from_words(text)
