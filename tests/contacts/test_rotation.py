"""Who is on duty at a moment."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.contacts.rotation import (
    Duty,
    HandOver,
    hand_overs_of,
    in_order_at,
    in_words,
    kept,
    next_hand_over,
    on_duty_at,
    shifts,
)
from portal.errors import Refused

WEEKLY = Duty("Europe/Stockholm", date(2026, 10, 5), (HandOver(0, time(9)),), ("Ada", "Bo", "Cy"))
HAND_OVERS = st.sets(
    st.builds(HandOver, st.integers(0, 6), st.times().map(lambda at: at.replace(second=0, microsecond=0))),
    min_size=1,
    max_size=5,
).map(lambda found: tuple(sorted(found)))
ZONES = st.sampled_from(("UTC", "Europe/Stockholm", "America/New_York", "Australia/Lord_Howe"))


def at(text, zone="Europe/Stockholm"):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("moment", "who"),
    [
        ("2026-10-05T08:59", None),
        ("2026-10-05T09:00", "Ada"),
        ("2026-10-12T08:59", "Ada"),
        ("2026-10-12T09:00", "Bo"),
        ("2026-10-26T08:59", "Cy"),
        ("2026-10-26T09:00", "Ada"),  # the clock was put back on the day before
        ("2027-10-04T09:00", "Bo"),  # 52 weeks later, 52 hand-overs on: 52 % 3 == 1
    ],
)
def test_the_duty_passes_on_at_nine_on_the_wall(moment, who):
    assert on_duty_at(WEEKLY, at(moment)) == who


@pytest.mark.parametrize(
    ("moment", "when", "who"),
    [
        ("2026-10-01T12:00", "2026-10-05T09:00", "Ada"),
        ("2026-09-01T12:00", "2026-10-05T09:00", "Ada"),
        ("2026-10-05T08:59", "2026-10-05T09:00", "Ada"),
        ("2026-10-05T09:00", "2026-10-12T09:00", "Bo"),
        ("2026-10-20T00:00", "2026-10-26T09:00", "Ada"),  # over the night in which the clock is put back
    ],
)
def test_the_next_hand_over_has_its_moment_and_who_takes_over(moment, when, who):
    assert next_hand_over(WEEKLY, at(moment)) == (at(when), who)


def test_a_rotation_that_begins_today_names_the_day_of_its_first_hand_over():
    # It begins on a Tuesday; the first Monday is six days on.
    begun = Duty("Europe/Stockholm", date(2026, 10, 6), (HandOver(0, time(9)),), ("Ada", "Bo"))
    assert next_hand_over(begun, at("2026-10-06T12:00")) == (at("2026-10-12T09:00"), "Ada")


def test_where_nobody_takes_turns_nothing_is_next():
    assert (
        next_hand_over(Duty("UTC", date(2026, 10, 5), (HandOver(0, time(9)),), ()), at("2026-10-05T09:00"))
        is None
    )


def test_the_hour_that_is_repeated_gives_the_duty_back_to_nobody():
    nights = Duty("Europe/Stockholm", date(2026, 10, 19), (HandOver(6, time(2, 30)),), ("Ada", "Bo"))
    seen = [on_duty_at(nights, at("2026-10-25T00:00") + timedelta(minutes=10 * step)) for step in range(36)]
    assert "".join("AB"[one == "Bo"] for one in seen).count("AB") <= 1
    assert on_duty_at(nights, datetime(2026, 10, 25, 0, 29, tzinfo=UTC)) is None
    assert on_duty_at(nights, datetime(2026, 10, 25, 0, 30, tzinfo=UTC)) == "Ada"
    assert on_duty_at(nights, datetime(2026, 10, 25, 1, 15, tzinfo=UTC)) == "Ada"


def test_a_time_that_the_clock_leaves_out_is_the_moment_after():
    spring = Duty("Europe/Stockholm", date(2026, 3, 23), (HandOver(6, time(2, 30)),), ("Ada",))
    assert on_duty_at(spring, datetime(2026, 3, 29, 0, 59, tzinfo=UTC)) is None
    assert on_duty_at(spring, datetime(2026, 3, 29, 1, 30, tzinfo=UTC)) == "Ada"


def test_whose_turn_comes_next_stands_next():
    assert in_order_at(WEEKLY, at("2026-10-13T12:00")) == ("Bo", "Cy", "Ada")
    assert in_order_at(WEEKLY, at("2026-10-01T12:00")) == ("Ada", "Bo", "Cy")


def test_nobody_is_on_duty_in_an_empty_rotation():
    assert (
        on_duty_at(Duty("UTC", date(2026, 1, 1), (HandOver(0, time()),), ()), at("2026-10-13T12:00")) is None
    )


@given(zone=ZONES, hand_overs=HAND_OVERS, count=st.integers(1, 4), days=st.integers(0, 60))
def test_turns_follow_each_other_without_hole_or_overlap(zone, hand_overs, count, days):
    duty = Duty(zone, date(2026, 10, 1), hand_overs, tuple(range(count)))
    start = datetime(2026, 10, 9, tzinfo=UTC) + timedelta(days=days)
    found = shifts(duty, start, start + timedelta(days=14))
    assert found[0].begins == start
    assert found[-1].ends == start + timedelta(days=14)
    for one, other in itertools.pairwise(found):
        assert one.ends == other.begins
        assert other.member == (one.member + 1) % count
    for one in found:
        middle = one.begins + (one.ends - one.begins) / 2
        assert on_duty_at(duty, middle) == one.member


@given(zone=ZONES, hand_overs=HAND_OVERS, weeks=st.integers(0, 200))
def test_years_later_it_is_still_the_same_count(zone, hand_overs, weeks):
    """One person more is far enough in the list that every hand-over is told from every other."""
    duty = Duty(zone, date(2026, 1, 5), hand_overs, tuple(range(10_000)))
    start = datetime(2026, 1, 5, tzinfo=ZoneInfo(zone)) + timedelta(weeks=weeks)
    # Far from any edge: the Monday after all of the week's hand-overs.
    turn = on_duty_at(duty, start.astimezone(UTC) - timedelta(hours=2)) if weeks else None
    later = on_duty_at(duty, start.astimezone(UTC) + timedelta(days=7) - timedelta(hours=2))
    if turn is not None:
        assert 0 <= later - turn - len(hand_overs) + 1 <= 2


@given(HAND_OVERS)
def test_hand_overs_are_kept_and_read_back_as_they_are(hand_overs):
    assert hand_overs_of(kept(hand_overs)) == hand_overs


@pytest.mark.parametrize(
    "given_", [[], [{"day": 0}], [{"day": 8, "at": "09:00"}], [{"day": 0, "at": "9:00"}], ["Mon"], [None]]
)
def test_hand_overs_of_another_shape_are_refused_in_words(given_):
    with pytest.raises(Refused):
        hand_overs_of(given_)


def test_hand_overs_read_like_a_person_says_them():
    assert in_words((HandOver(0, time(9)), HandOver(3, time(18, 30)))) == "Mon 09:00, Thu 18:30"


@pytest.mark.parametrize("starts_on", [date.min, date.max])
def test_the_first_and_the_last_day_of_the_calendar_are_days_like_others(starts_on):
    duty = Duty("Europe/Stockholm", starts_on, (HandOver(0, time(9)),), ("a", "b"))
    at = datetime(2026, 11, 27, 12, tzinfo=UTC)
    assert (on_duty_at(duty, at) is None) == (starts_on == date.max)
    assert in_order_at(duty, at)
    assert shifts(duty, at, at + timedelta(days=7)) or starts_on == date.max


@given(
    zone=ZONES,
    hand_overs=HAND_OVERS,
    moment=st.datetimes(datetime(2026, 9, 1), datetime(2026, 12, 1)).map(lambda one: one.replace(tzinfo=UTC)),
)
def test_the_next_hand_over_is_when_the_duty_changes(zone, hand_overs, moment):
    duty = Duty(zone, date(2026, 10, 5), hand_overs, ("Ada", "Bo", "Cy"))
    when, who = next_hand_over(duty, moment)
    assert when > moment
    assert on_duty_at(duty, when) == who
    assert on_duty_at(duty, when - timedelta(seconds=1)) == on_duty_at(duty, moment)
