"""Quiet hours by the clock on the wall, in every zone and over every clock change."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portal.notify.quiet import Quiet, may_go_at
from portal.notify.registry import Urgency

NIGHT = Quiet(time(21), time(7))
ZONES = sorted(available_timezones() - {"localtime", "Factory"})
CLOCKS = st.times().map(lambda at: at.replace(second=0, microsecond=0))
moments = st.datetimes(datetime(2010, 1, 1), datetime(2030, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))


def at(text, zone="Europe/Stockholm"):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("now", "goes"),
    [
        ("2026-11-24T20:59", "2026-11-24T20:59"),
        ("2026-11-24T21:00", "2026-11-25T07:00"),
        ("2026-11-25T06:59", "2026-11-25T07:00"),
        ("2026-11-25T07:00", "2026-11-25T07:00"),
        ("2026-03-28T22:00", "2026-03-29T07:00"),  # the night on which clocks go forward
        ("2026-10-24T22:00", "2026-10-25T07:00"),  # and back
    ],
)
def test_an_ordinary_mail_waits_for_the_morning(now, goes):
    assert may_go_at(at(now), Urgency.NORMAL, "Europe/Stockholm", NIGHT) == at(goes)


@pytest.mark.parametrize(
    ("now", "goes"),
    [
        ("2026-11-24T10:00", "2026-11-24T10:00"),
        ("2026-11-24T18:00", "2026-11-25T08:00"),
        ("2026-11-27T18:00", "2026-11-30T08:00"),  # Friday evening: Monday morning
        ("2026-11-28T12:00", "2026-11-30T08:00"),
    ],
)
def test_what_is_to_be_decided_today_waits_for_working_hours(now, goes):
    assert may_go_at(at(now), Urgency.TODAY, "Europe/Stockholm", NIGHT) == at(goes)


def test_a_person_who_is_quiet_all_day_is_still_told_in_working_hours():
    all_day = Quiet(time(7), time(20))
    assert may_go_at(at("2026-11-24T22:00"), Urgency.TODAY, "Europe/Stockholm", all_day) == at(
        "2026-11-25T08:00"
    )


def test_quiet_hours_that_end_where_the_clock_leaps_end_with_the_leap():
    quiet = Quiet(time(22), time(2, 30))
    goes = may_go_at(at("2026-03-29T01:00"), Urgency.NORMAL, "Europe/Stockholm", quiet)
    assert goes == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)  # 03:00 on the wall; 02:30 never came


@given(now=moments, zone=st.sampled_from(ZONES), start=CLOCKS, end=CLOCKS)
def test_an_emergency_is_never_delayed(now, zone, start, end):
    assert may_go_at(now, Urgency.NOW, zone, Quiet(start, end)) == now


@settings(max_examples=150, deadline=None)
@given(now=moments, zone=st.sampled_from(ZONES), start=CLOCKS, end=CLOCKS)
@example(datetime(2018, 11, 4, 2, 30, tzinfo=UTC), "America/Havana", time(23, 30), time(6))
@example(datetime(2011, 12, 29, 20, 0, tzinfo=UTC), "Pacific/Apia", time(9), time(8))
@example(datetime(2026, 4, 4, 14, 50, tzinfo=UTC), "Australia/Lord_Howe", time(1, 45), time(1, 50))
def test_a_mail_goes_at_the_first_minute_that_is_not_quiet(now, zone, start, end):
    quiet, wall = Quiet(start, end), ZoneInfo(zone)
    goes = may_go_at(now, Urgency.NORMAL, zone, quiet)
    assert goes >= now
    if start != end:
        assert not quiet.holds_at(goes.astimezone(wall).time())
    minute = now
    while minute < goes - timedelta(minutes=1):
        assert quiet.holds_at(minute.astimezone(wall).time()), "it could have gone earlier"
        minute += timedelta(minutes=7)
    assert goes == now or quiet.holds_at((goes - timedelta(seconds=2)).astimezone(wall).time())
