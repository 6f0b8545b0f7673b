"""Clocks that are changed: found where they were, and never where there was none; nothing is taken for an event for it."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity.growth import detect_events, forecast
from capacity.growth.clock import NONE, Clock, clock_of
from capacity.growth.events import find_events
from tests.capacity.made_up import traffic, with_event

WINTER = {"America/New_York": datetime(2026, 11, 1, 6, tzinfo=UTC), "Europe/Berlin": datetime(2026, 10, 25, 1, tzinfo=UTC)}  # fmt: skip
SUMMER = {"America/New_York": datetime(2026, 3, 8, 7, tzinfo=UTC), "Europe/Berlin": datetime(2026, 3, 29, 1, tzinfo=UTC)}  # fmt: skip


def on_the_wall(zone, begins, hours, *, seed=0, noise=0.05, steps_an_hour=1):
    """Return traffic of people who live by the clock of a zone, in even steps of UTC."""
    rng = np.random.default_rng(seed)
    at = begins.timestamp() + np.arange(hours * steps_an_hour) * 3600.0 / steps_an_hour
    local = np.array([(moment := datetime.fromtimestamp(one, ZoneInfo(zone))).hour + moment.minute / 60 for one in at])  # fmt: skip
    weekend = np.array([datetime.fromtimestamp(one, ZoneInfo(zone)).weekday() >= 5 for one in at])
    day = 0.2 + np.exp(-((local - 11.0) ** 2) / 18.0) + 0.8 * np.exp(-((local - 20.0) ** 2) / 8.0)
    return 500.0 * day * np.where(weekend, 0.7, 1.0) * (1.0 + noise * rng.normal(size=len(at)))


def rows_of(values, day=24):
    return values[: len(values) // day * day].reshape(-1, day)


@pytest.mark.parametrize("zone", WINTER)
@pytest.mark.parametrize("seed", range(4))
def test_both_changes_of_a_year_are_found_to_within_some_hours(zone, seed):
    begins = datetime(2026, 1, 1, tzinfo=UTC)
    found = clock_of(rows_of(on_the_wall(zone, begins, 365 * 24, seed=seed)))
    spring, autumn = ((one[zone] - begins).total_seconds() / 3600 for one in (SUMMER, WINTER))
    assert [by for _, by in found.changes] == [-1, 1]
    assert [abs(cut - hour) <= 8 for (cut, _), hour in zip(found.changes, (spring, autumn), strict=True)] == [True, True]  # fmt: skip


def test_a_change_of_steps_of_five_minutes_is_twelve_steps():
    begins = datetime(2026, 10, 11, tzinfo=UTC)
    values = on_the_wall("Europe/Berlin", begins, 28 * 24, steps_an_hour=12)
    ((cut, by),) = clock_of(rows_of(values, 288)).changes
    assert by == 12
    assert abs(cut / 12 - (14 * 24 + 1)) <= 8


@pytest.mark.parametrize("zone", WINTER)
@pytest.mark.parametrize("seed", range(4))
def test_a_changed_clock_is_no_event(zone, seed):
    for change in (SUMMER, WINTER):
        begins = datetime.fromtimestamp(change[zone].timestamp() - 30 * 86_400, UTC)
        assert detect_events(on_the_wall(zone, begins, 60 * 24, seed=seed), (24, 168)) == ()


@pytest.mark.parametrize("change", [SUMMER, WINTER])
@pytest.mark.parametrize("days", [-12, 12])
def test_an_event_on_either_side_of_a_change_is_told_where_it_was(change, days):
    begins = datetime.fromtimestamp(change["Europe/Berlin"].timestamp() - 25 * 86_400, UTC)
    at = (25 + days) * 24 + 5
    values = with_event(on_the_wall("Europe/Berlin", begins, 50 * 24), at, 8, 3.0)
    (event,) = detect_events(values, (24, 168))
    assert at <= event.peak_at < at + 8
    assert event.begin <= at + 1
    assert at + 7 <= event.end
    assert event.end - event.begin <= 15
    assert event.peak == values[event.peak_at]
    assert event.multiple == pytest.approx(3.0, rel=0.25)


def test_the_hours_after_a_change_are_forecast_with_what_was_learnt_before_it():
    ours, last_week = [], []
    for seed in range(6):
        begins = datetime(2026, 9, 27, 1, tzinfo=UTC)
        whole = on_the_wall("Europe/Berlin", begins, 38 * 24, seed=seed)  # ten days after the change
        known, real = whole[:-48], whole[-48:]
        ours.append(np.abs(forecast(known, 48).point - real).mean())
        last_week.append(np.abs(known[-168:-120] - real).mean())
    assert np.mean(ours) < 0.85 * np.mean(last_week)


@pytest.mark.parametrize("correlated", [0.0, 0.8])
def test_where_no_clock_was_changed_none_is_found(correlated):
    for seed in range(40):
        values = traffic(seed, hours=60 * 24, correlated=correlated, noise=0.1)
        assert find_events(values, 24, 168).clock == NONE


@pytest.mark.parametrize("hour", [3, 20])
def test_sales_in_the_evening_for_weeks_are_no_change_of_the_clock(hour):
    values = traffic(5, hours=42 * 24)
    for day in range(21, 42):
        values = with_event(values, day * 24 + hour, 4, 2.0)
    assert find_events(values, 24, 168).clock == NONE


def test_days_of_other_steps_have_no_clock():
    rng = np.random.default_rng(1)
    assert clock_of(rng.normal(10.0, 1.0, (60, 7))) == NONE
    assert clock_of(rng.normal(10.0, 1.0, (13, 24))) == NONE


clocks = st.lists(
    st.tuples(st.integers(24, 900), st.sampled_from([-1, 1, 12, -12])),
    max_size=4,
    unique_by=lambda one: one[0] // 100,
).map(lambda found: Clock(tuple(sorted(found))))


@given(clocks)
def test_what_is_told_of_the_last_clock_is_told_of_the_steps_as_they_were(clock):
    steps = np.arange(1000.0)
    now = clock.as_now(steps)
    assert len(now) == 1000
    back = clock.as_then(now)
    near = [abs(steps - cut) <= 60 for cut, _ in clock.changes] + [steps < 60]
    is_far = ~np.any(near, axis=0)
    assert np.array_equal(back[is_far], steps[is_far])
    for step in np.flatnonzero(is_far).tolist()[::37]:
        at = int(np.flatnonzero(now == step)[0])
        assert clock.then(at) == step


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 70), st.floats(0, 0.9), st.sampled_from([24, 48, 168]))
def test_whatever_is_asked_about_gets_an_answer(seed, days, missing, day):
    rng = np.random.default_rng(seed)
    rows = rng.normal(1.0, 3.0, (days, day))
    rows[rng.random(rows.shape) < missing] = np.nan
    found = clock_of(rows)
    assert all(0 <= cut <= rows.size and by for cut, by in found.changes)
