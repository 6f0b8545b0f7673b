"""What is begun with a held server begins in the window, or in its hours of a later day."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.cloud.types import Alarm, AlarmState
from portal.errors import Refused
from portal.runs.types import RunStatus
from scaledown import hours, planner
from scaledown.candidates import MOST_WINDOWS, Choice
from scaledown.types import ImageRule, Phase, PlannedWindow
from tests.scaledown.machine_cases import START, Desk, a_plan
from tests.scaledown.planner_cases import CHOICE, NOW, known, pool
from tests.scaledown.test_planner import shown


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


# --- windows of several days


def several(*later: tuple[int, str, str]):
    plan = windowed("10:00", "12:00")
    return replace(
        plan, later_windows=tuple(PlannedWindow(at(day, start), at(day, end)) for day, start, end in later)
    )


DAYS = several((24, "10:00", "12:00"), (27, "11:00", "13:00"))


@pytest.mark.parametrize(
    ("asked", "begins", "closes", "is_closed"),
    [
        (at(23, "09:00"), at(23, "10:00"), at(23, "12:00"), False),
        (at(23, "11:00"), at(23, "11:00"), at(23, "12:00"), False),
        (at(23, "12:00"), at(24, "10:00"), at(23, "12:00"), True),
        (at(24, "11:59"), at(24, "11:59"), at(24, "12:00"), False),
        (at(25, "11:00"), at(27, "11:00"), at(24, "12:00"), True),
        (at(27, "13:00"), at(27, "13:00"), at(27, "13:00"), True),
    ],
)
def test_windows_of_several_days_open_and_close_one_after_another(asked, begins, closes, is_closed):
    assert hours.begins_at(DAYS, asked) == begins
    assert hours.closes_at(DAYS, asked) == closes
    assert hours.is_closed(DAYS, asked) is is_closed
    assert hours.is_over(DAYS, asked) is (asked >= at(27, "13:00"))


def test_a_held_server_waits_for_the_next_window_and_after_the_last_for_its_hours():
    assert hours.opens_at(DAYS, at(24, "12:00")) == at(27, "11:00")
    assert hours.opens_at(DAYS, at(27, "14:00")) == at(28, "11:00")


def test_without_a_beginning_or_an_end_nothing_is_waited_for():
    assert hours.begins_at(windowed(None, "12:00"), at(23, "11:00")) == at(23, "11:00")
    assert hours.closes_at(windowed(None, "12:00"), at(23, "11:00")) == at(23, "12:00")
    assert not hours.is_over(windowed("10:00", None), at(29, "11:00"))
    assert not hours.is_closed(windowed("10:00", None), at(29, "11:00"))
    assert hours.closes_at(windowed("10:00", None), at(29, "11:00")) is None


@given(
    st.lists(st.integers(1, 40), min_size=2, max_size=12), st.integers(0, 500), st.sampled_from([True, False])
)
def test_what_begins_is_in_a_window_that_is_on_or_after_all(steps, minute, has_start):
    """Windows and the gaps between them last so many minutes in turn."""
    edges = [START + timedelta(minutes=sum(steps[:number])) for number in range(len(steps) + 1)]
    spans = [PlannedWindow(*edges[number : number + 2]) for number in range(0, len(edges) - 1, 2)]
    plan = a_plan(
        window_start=spans[0].starts_at if has_start else None,
        window_end=spans[0].ends_at,
        later_windows=tuple(spans[1:]) if has_start else (),
    )
    spans = spans if has_start else spans[:1]
    asked = START + timedelta(minutes=minute)
    begins = hours.begins_at(plan, asked)
    is_on = any(one.starts_at <= begins < one.ends_at for one in spans)
    assert begins >= asked
    assert is_on or hours.is_over(plan, begins)
    assert hours.is_closed(plan, asked) is (
        asked >= spans[0].ends_at and not any(one.starts_at <= asked < one.ends_at for one in spans)
    )
    if is_on:
        closes = hours.closes_at(plan, begins)
        assert any(one.ends_at == closes and begins < closes for one in spans)


def test_what_does_not_fit_goes_on_in_the_next_window_after_a_fresh_pre_flight():
    plan = a_plan(
        pause_between_s=60.0,
        window_start=START,
        window_end=START + timedelta(seconds=120),
        later_windows=(PlannedWindow(START + timedelta(hours=1), START + timedelta(hours=2)),),
    )
    desk = Desk(plan).until_phase(Phase.DRAINING)
    desk.until(lambda: desk.progress.waiting is not None and desk.progress.waiting.code == "window", 400)
    assert desk.phase() is Phase.RETIRED
    assert "It begins in the next one: 23 Nov" in desk.progress.says
    assert desk.status is RunStatus.RUNNING
    desk.now = plan.window_end + timedelta(minutes=1)
    desk.look()
    assert desk.progress.waiting.until == plan.later_windows[0].starts_at
    assert desk.progress.preflight_due
    desk.alarms = (Alarm("en1/al1/ch1", "CPU", "web-03", "srv-3", (), AlarmState.CRITICAL, None),)
    desk.now = plan.later_windows[0].starts_at
    desk.look()
    assert "An alarm fires that nobody approved" in desk.progress.says
    assert desk.phase(5) is Phase.QUEUED
    desk.alarms = ()
    desk.until_phase(Phase.DRAINING, 5)


def test_a_server_that_drains_as_a_window_ends_is_back_until_the_next():
    plan = a_plan(
        drain_limit_s=1200.0,
        window_start=START,
        window_end=START + timedelta(minutes=10),
        later_windows=(PlannedWindow(START + timedelta(hours=1), START + timedelta(hours=2)),),
    )
    desk = Desk(plan)
    desk.connections["srv-6"] = 2
    desk.until_phase(Phase.DRAINING)
    desk.now = plan.window_end
    desk.until(lambda: desk.phase() is Phase.QUEUED)
    assert desk.status is RunStatus.RUNNING
    desk.connections["srv-6"] = 0
    desk.look()
    assert desk.progress.waiting.code == "window"
    desk.now = plan.later_windows[0].starts_at
    desk.until_phase(Phase.DRAINING)


def test_after_the_last_window_a_run_halts_as_after_the_only_one():
    plan = a_plan(
        pause_between_s=60.0,
        window_start=START,
        window_end=START + timedelta(seconds=120),
        later_windows=(PlannedWindow(START + timedelta(hours=1), START + timedelta(hours=1, seconds=30)),),
    )
    desk = Desk(plan).until_phase(Phase.DRAINING)
    desk.until(lambda: desk.progress.waiting is not None and desk.progress.waiting.code == "window", 400)
    assert desk.phase() is Phase.RETIRED
    desk.now = plan.later_windows[0].starts_at
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert desk.halt.code == "window_over"
    assert desk.phase(5) is Phase.QUEUED


def test_a_run_that_begins_late_begins_in_the_next_window():
    desk = Desk(DAYS)
    desk.now = at(23, "12:30")
    desk.look()
    assert desk.progress.waiting.until == at(24, "10:00")
    assert desk.status is RunStatus.SCHEDULED
    desk.now = at(24, "10:00")
    desk.until_phase(Phase.DRAINING)


# --- as they are planned


def planned_days(start: datetime, length: timedelta, days: int, zone="Europe/Stockholm", **changes):
    choice = Choice(window_start=start, window_end=start + length, window_days=days, **changes)
    return planner.later_windows(choice, zone)


def test_windows_come_on_working_days_at_the_same_hours_where_the_customer_is():
    friday = datetime(
        2026, 10, 23, 20, 0, tzinfo=UTC
    )  # 22:00 in Stockholm, two days before its clocks change
    found = planned_days(friday, timedelta(hours=4), 3)
    assert [one.starts_at for one in found] == [
        datetime(2026, 10, 26, 21, 0, tzinfo=UTC),
        datetime(2026, 10, 27, 21, 0, tzinfo=UTC),
    ]
    assert [one.ends_at - one.starts_at for one in found] == [timedelta(hours=4)] * 2


def test_windows_come_on_weekends_where_that_is_chosen_or_begun():
    friday = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
    assert [one.starts_at.day for one in planned_days(friday, timedelta(hours=1), 4)] == [30, 1, 2]
    assert [
        one.starts_at.day for one in planned_days(friday, timedelta(hours=1), 4, window_weekends=True)
    ] == [28, 29, 30]
    saturday = friday + timedelta(days=1)
    assert [one.starts_at.day for one in planned_days(saturday, timedelta(hours=1), 3)] == [29, 30]
    assert planned_days(friday, timedelta(hours=1), 1) == ()


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 1), timezones=st.just(UTC)),
    st.integers(1, 23 * 60),
    st.integers(2, MOST_WINDOWS),
    st.sampled_from(["UTC", "Europe/Stockholm", "America/New_York", "Asia/Kolkata", "Pacific/Apia"]),
    st.booleans(),
)
def test_planned_windows_come_one_after_another_and_none_overlaps(start, minutes, days, zone, weekends):
    found = planned_days(start, timedelta(minutes=minutes), days, zone, window_weekends=weekends)
    spans = [(start, start + timedelta(minutes=minutes)), *((one.starts_at, one.ends_at) for one in found)]
    assert len(spans) == days
    assert all(opens < closes for opens, closes in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"window_days": 0}, "window_days_out_of_range"),
        ({"window_days": MOST_WINDOWS + 1}, "window_days_out_of_range"),
        ({"window_days": 2}, "window_open"),
        ({"window_days": 2, "window_start": at(27, "10:00")}, "window_open"),
        (
            {"window_days": 2, "window_start": at(27, "10:00"), "window_end": at(28, "10:00")},
            "window_too_long",
        ),
    ],
)
def test_a_window_that_cannot_come_again_is_refused(changes, code):
    with pytest.raises(Refused) as refused:
        planner.build_plan_data(replace(CHOICE, **changes), pool(), known())
    assert refused.value.code == code


def test_a_preview_says_how_many_servers_fit_into_the_windows():
    opens = NOW + timedelta(hours=1)
    choice = replace(CHOICE, window_start=opens, window_end=opens + timedelta(minutes=8), soak_s=300.0)
    told = {one.code: one.says for one in shown(choice).warnings}
    assert "1 server of 3 at most" in told["window_short"]
    two = {one.code: one.says for one in shown(replace(choice, window_days=2)).warnings}
    assert "windows: 2 servers of 3 at most" in two["window_short"]
    three = {one.code for one in shown(replace(choice, window_days=3)).warnings}
    assert not three & {"window_short", "window_too_short"}


@pytest.mark.parametrize("rests_s", [60.0, 3600.0])
def test_a_window_that_opened_while_a_run_rested_has_a_pre_flight_of_its_own(rests_s):
    later = PlannedWindow(START + timedelta(hours=1), START + timedelta(hours=3))
    desk = Desk(
        a_plan(
            floor=2,
            window_start=START,
            window_end=START + timedelta(minutes=30),
            later_windows=(later,),
        )
    ).until_phase(Phase.VERIFYING)
    desk.command("pause")
    desk.until(lambda: desk.status is RunStatus.PAUSED)
    desk.look(rests_s)
    desk.command("resume")
    desk.until(lambda: desk.phase(5) is Phase.DRAINING)
    assert desk.kinds().count("preflight_good") == (2 if rests_s > 1800 else 1)
