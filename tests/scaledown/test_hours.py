"""What is begun with a held server begins in the window, or in its hours of a later day."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaledown import hours
from scaledown.types import ImageRule, Phase
from tests.scaledown.machine_cases import START, Desk, a_plan


def at(day: int, clock: str) -> datetime:
    hour, minute = (int(part) for part in clock.split(":"))
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def windowed(start: str | None, end: str | None, end_day: int = 23):
    return replace(
        a_plan(),
        window_start=None if start is None else at(23, start),
        window_end=None if end is None else at(end_day, end),
    )


@pytest.mark.parametrize(
    ("asked", "opens"),
    [
        (at(23, "09:00"), at(23, "10:00")),
        (at(23, "10:00"), at(23, "10:00")),
        (at(23, "11:59"), at(23, "11:59")),
        (at(23, "12:00"), at(24, "10:00")),
        (at(24, "03:00"), at(24, "10:00")),
        (at(26, "11:00"), at(26, "11:00")),
        (at(26, "22:00"), at(27, "10:00")),
    ],
)
def test_a_window_opens_again_at_the_same_hours_of_the_days_after(asked, opens):
    assert hours.opens_at(windowed("10:00", "12:00"), asked) == opens
    assert hours.is_open(windowed("10:00", "12:00"), asked) is (asked == opens)


def test_a_window_over_midnight_is_one_stretch():
    night = windowed("22:00", "02:00", 24)
    assert hours.is_open(night, at(26, "01:59"))
    assert hours.opens_at(night, at(26, "02:00")) == at(26, "22:00")


@pytest.mark.parametrize(
    "plan", [windowed(None, "12:00"), windowed("10:00", None), windowed("10:00", "10:00", 24)]
)
def test_without_hours_of_its_own_a_plan_is_always_open(plan):
    assert hours.is_open(plan, at(25, "03:00"))


@given(
    st.datetimes(datetime(2026, 11, 1), datetime(2027, 2, 1), timezones=st.just(UTC)),
    st.integers(1, 86399),
)
def test_what_opens_is_open_and_never_earlier_and_within_a_day_of_the_window(asked, length_s):
    plan = replace(
        a_plan(), window_start=at(23, "10:00"), window_end=at(23, "10:00") + timedelta(seconds=length_s)
    )
    opens = hours.opens_at(plan, asked)
    assert opens >= asked
    assert hours.opens_at(plan, opens) == opens
    assert opens - max(asked, at(23, "10:00")) < timedelta(days=1)


@pytest.mark.parametrize("stop_s", [0.0, 30.0])
def test_a_server_whose_hold_ends_after_the_window_waits_for_its_hours(stop_s):
    plan = a_plan(hold_s=2000.0, stop_s=stop_s)
    desk = Desk(replace(plan, window_start=START, window_end=START + timedelta(seconds=1800)))
    desk.until_phase(Phase.HELD)
    next_day = START + timedelta(days=1)
    held = desk.way().until
    assert held is not None
    assert held >= next_day
    while desk.now < START + timedelta(hours=23):
        desk.look(1200.0)
    assert not {"stop_server", "create_image", "delete_server"} & set(desk.names)
    assert desk.phase() is Phase.HELD
    desk.look((next_day - desk.now).total_seconds() - 60.0)
    while desk.now < next_day:
        assert desk.phase() is Phase.HELD
        desk.look(5.0)
    desk.until(lambda: "delete_server" in desk.names)
    assert ("stop_server" in desk.names) is bool(stop_s)


def test_a_held_server_that_waits_for_the_windows_hours_can_be_put_back():
    desk = Desk(
        replace(a_plan(hold_s=2000.0), window_start=START, window_end=START + timedelta(seconds=1800))
    )
    desk.until_phase(Phase.HELD)
    desk.look(4000.0)
    desk.until(lambda: True)
    assert desk.command("put_back", server="srv-6").accepted
    desk.until_phase(Phase.RESTORED)


def imaged_past_the_window() -> Desk:
    """Return a run whose image is begun in the window, and is ready once its hours are over."""
    plan = replace(a_plan(images=ImageRule.EACH, images_kept_s=86_400.0), window_start=START)
    desk = Desk(replace(plan, window_end=START + timedelta(seconds=1800))).until_phase(Phase.IMAGING)
    while desk.now < START + timedelta(hours=1):
        desk.look(30.0)
    desk.image_is("ACTIVE")
    return desk


def test_a_deletion_whose_image_outlasts_the_window_waits_for_its_hours():
    desk = imaged_past_the_window()
    next_day = START + timedelta(days=1)
    while desk.now < next_day - timedelta(seconds=60):
        desk.look(30.0)
    assert "delete_server" not in desk.names
    assert (desk.phase(), desk.way().until) == (Phase.IMAGING, next_day)
    desk.until(lambda: "delete_server" in desk.names)
    assert desk.now >= next_day


def test_a_server_that_waits_for_the_hours_with_its_image_goes_back_where_the_site_needs_it():
    desk = imaged_past_the_window()
    desk.look()
    desk.probe_ok = False
    desk.until_phase(Phase.RESTORED)


def test_an_image_that_failed_is_asked_for_again_in_the_hours_only():
    desk = imaged_past_the_window()
    desk.image_is("ERROR")
    desk.until(lambda: desk.halt is not None)
    assert desk.command("resume").accepted
    for _ in range(60):
        desk.look(30.0)
    assert desk.names.count("create_image") == 1
    assert desk.progress.waiting.code == "window"
