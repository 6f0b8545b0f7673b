"""What is asked of a provider's monitoring, rates from counters, and what comes late; pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity.pulls.lateness import AGAIN, LONGEST_S, MOST_AGAIN, again_s, late_s, newest_of, remembered_s
from capacity.pulls.plots import (
    FULL_KEPT,
    MOST_POINTS,
    SPARE,
    Stretch,
    Usual,
    completed,
    is_stale,
    ladder,
    rates,
    reaches_back,
    step_s,
    stretch,
    usual,
)
from portal.cloud.types import Plotted, Resolution

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
FULL_FROM = NOW - FULL_KEPT + SPARE


def ago(**more) -> datetime:
    return NOW - timedelta(**more)


def points(*values, every_s=60):
    """Points a step apart; None leaves one out."""
    return [
        Plotted(NOW + timedelta(seconds=every_s * place), value)
        for place, value in enumerate(values)
        if value is not None
    ]


def told(*values, every_s=60, is_averaged=False):
    return [
        (round((p.at - NOW).total_seconds() / every_s), p.value)
        for p in rates(points(*values, every_s=every_s), every_s, is_averaged=is_averaged)
    ]


# --- which question


@pytest.mark.parametrize(
    ("reached", "resolution"),
    [
        (FULL_FROM, Resolution.FULL),
        (FULL_FROM - timedelta(seconds=1), Resolution.MIN5),
        (NOW, Resolution.FULL),
        (NOW - timedelta(days=300), Resolution.MIN5),
    ],
)
def test_full_data_is_asked_for_only_as_long_as_it_is_kept(reached, resolution):
    assert stretch(reached, NOW, back_s=180, period_s=60).resolution is resolution


def test_reaching_back_does_not_lead_out_of_full_data():
    asked = stretch(FULL_FROM, NOW, back_s=6 * 3600, period_s=60)
    assert (asked.begins, asked.resolution) == (FULL_FROM, Resolution.FULL)


def test_history_is_asked_for_from_one_point_earlier_since_a_rate_needs_two():
    asked = stretch(ago(days=10), NOW, back_s=6 * 3600, period_s=60, finest=Resolution.MIN60)
    assert asked.begins == ago(days=10, hours=1)


def test_history_cannot_be_asked_for_in_full():
    with pytest.raises(ValueError, match="not kept"):
        stretch(ago(days=3), NOW, back_s=0, period_s=60, finest=Resolution.FULL)


def test_history_is_asked_for_ever_coarser_over_the_same_stretch_and_full_data_once():
    asked = ladder(ago(days=10), NOW, back_s=0, period_s=60)
    assert [one.resolution for one in asked] == [r for r in Resolution if r.width_s]
    assert {one.ends for one in asked} == {asked[0].ends}
    assert [one.begins for one in asked] == [ago(days=10, seconds=one.resolution.width_s) for one in asked]
    assert [one.resolution for one in ladder(NOW, NOW, back_s=180, period_s=60)] == [Resolution.FULL]


@pytest.mark.parametrize(
    ("check", "metric", "kept"),
    [
        ("agent.cpu", "usage_average", Usual("cpu_share", factor=0.01)),
        ("agent.network", "rx_bytes", Usual("rx_bytes_per_s", "bytes/s", "throughput", is_counter=True)),
        ("agent.network", "tx_errors", Usual("tx_errors_per_s", "1/s", "throughput", is_counter=True)),
        ("agent.plugin", "connections", Usual("connections")),
        ("remote.http", "mzdfw.duration", Usual("mzdfw_duration_ms", "ms", "latency")),
        ("agent.memory", "free", Usual(unit="bytes")),
        ("agent.plugin", "rx_bytes", Usual()),
    ],
)
def test_a_metric_is_kept_as_it_is_usual_for_its_check(check, metric, kept):
    assert usual(check, metric) == kept


def test_what_the_finer_points_do_not_reach_back_to_is_told_by_coarser_ones():
    asked = Stretch(NOW, NOW + timedelta(days=4), Resolution.MIN5)
    assert not reaches_back([], asked)
    assert reaches_back(points(1, every_s=300), asked)
    assert reaches_back(points(None, None, None, None, 1, every_s=300), asked)
    assert not reaches_back(points(None, None, None, None, None, 1, every_s=300), asked)
    finer = points(None, None, 7, 8)
    assert completed(finer, points(1, 2, 3, 4, 5)) == (*points(1, 2), *finer)
    assert completed([], points(1)) == tuple(points(1))
    assert completed(finer, []) == tuple(finer)


def test_points_of_history_stand_for_their_width():
    assert [r.width_s for r in Resolution] == [0, 300, 1200, 3600, 14_400, 86_400]
    assert (step_s(Resolution.FULL, 30), step_s(Resolution.FULL, None), step_s(Resolution.MIN5, 30)) == (
        30,
        60,
        300,
    )


@given(
    days=st.integers(0, 366),
    back=st.floats(90, LONGEST_S),
    period=st.sampled_from([None, 30, 60, 300, 1800]),
    finest=st.sampled_from([r for r in Resolution if r.width_s]),
    rest=st.integers(60, 3600),
)
def test_questions_lead_to_now_without_a_gap_and_none_is_larger_than_an_answer(
    days, back, period, finest, rest
):
    """However far back it begins and however long each question waits (the back-off's longest rest is an hour)."""
    now, reached = NOW, ago(days=days)
    for _ in range(1000):
        asked = stretch(reached, now, back_s=back, period_s=period, finest=finest)
        assert asked.begins <= reached, "nothing is left out"
        width = step_s(asked.resolution, period)
        assert (asked.ends - asked.begins).total_seconds() / width < MOST_POINTS
        assert asked.ends <= now
        if asked.resolution is Resolution.FULL:
            assert now - asked.begins <= FULL_KEPT
        if asked.ends == now:
            return
        assert asked.ends > reached, "each question leads on"
        reached, now = asked.ends, now + timedelta(seconds=rest)
    raise AssertionError("it never got there")


# --- rates of counters


def test_a_counter_becomes_what_it_grew_each_second():
    assert told(0, 600, 600, 1800) == [(1, 10.0), (2, 0.0), (3, 20.0)]


def test_one_point_is_no_rate():
    assert told(5) == []
    assert told() == []


def test_a_counter_that_began_anew_tells_nothing_of_that_moment():
    assert told(9000, 60, 120) == [(2, 1.0)]


def test_an_average_in_which_a_counter_began_anew_tells_nothing_of_the_next_one_either():
    assert told(9000, 5000, 6000, 9000, every_s=300, is_averaged=True) == [(3, 10.0)]


@pytest.mark.parametrize(("missing", "is_told"), [(1, True), (2, True), (3, False)])
def test_over_a_long_gap_nothing_is_told(missing, is_told):
    found = told(0, *[None] * missing, 60 * (missing + 1))
    assert found == ([(missing + 1, 1.0)] if is_told else [])


def test_points_out_of_order_are_a_mistake():
    with pytest.raises(ValueError, match="order"):
        rates(points(1, 2)[::-1], 60, is_averaged=False)


@given(st.lists(st.none() | st.floats(0, 1e15), max_size=30), st.booleans())
def test_no_rate_is_negative_or_stands_where_no_point_was(values, is_averaged):
    given_points = points(*values)
    found = rates(given_points, 60, is_averaged=is_averaged)
    assert all(p.value >= 0 for p in found)
    assert {p.at for p in found} <= {p.at for p in given_points[1:]}


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=30))
def test_rates_of_an_unbroken_counter_add_up_to_what_it_grew(growth):
    values = [sum(growth[:n]) for n in range(len(growth) + 1)]
    found = rates(points(*values), 60, is_averaged=False)
    assert len(found) == len(growth)
    assert sum(p.value * 60 for p in found) == pytest.approx(values[-1], abs=1e-6)


# --- stale


@pytest.mark.parametrize(
    ("newest", "stale"), [(None, True), (ago(seconds=180), False), (ago(seconds=181), True), (NOW, False)]
)
def test_an_old_point_says_nothing_of_now(newest, stale):
    assert is_stale(newest, NOW, 60) is stale


# --- what comes late


def test_the_series_that_is_furthest_behind_counts():
    begins = ago(hours=1)
    assert late_s([NOW, ago(minutes=20), ago(minutes=5)], begins, NOW) == 1200
    assert late_s([NOW + timedelta(seconds=5)], begins, NOW) == 0


def test_where_nothing_came_all_of_it_may_still_come():
    assert late_s([], ago(hours=1), NOW) == 3600


@pytest.mark.parametrize(
    ("late", "step", "back"),
    [
        (0, 60, 180),
        (600, 60, 780),
        (LONGEST_S - 180, 60, LONGEST_S),
        (10 * LONGEST_S, 60, LONGEST_S),
        (0, 86_400, AGAIN * 86_400),
    ],
)
def test_it_reaches_back_as_far_as_samples_were_late_up_to_a_bound(late, step, back):
    assert again_s(late, step) == back


@pytest.mark.parametrize(("series", "back"), [(1, LONGEST_S), (200, MOST_AGAIN // 200 * 60), (10**9, 180)])
def test_many_series_are_asked_for_once_more_less_far_back(series, back):
    assert again_s(LONGEST_S, 60, series) == back


def test_a_series_that_is_missing_is_remembered_until_nothing_is_waited_for_any_more():
    before = {"shop": 1000.0, "blog": 940.0}
    assert newest_of(before, {"shop": 1060.0}, 1060.0) == {"shop": 1060.0, "blog": 940.0}
    assert newest_of(before, {"shop": 880.0}, 1060.0) == before, "an older answer takes nothing back"
    assert newest_of(before, {}, 940.0 + LONGEST_S) == before
    assert newest_of(before, {}, 941.0 + LONGEST_S) == {"shop": 1000.0}


def test_lateness_grows_at_once_and_shrinks_by_an_eighth():
    assert remembered_s(80, 800) == 800
    assert remembered_s(800, 80) == 700
    assert remembered_s(800, 750) == 750


@settings(max_examples=40)
@given(
    outages=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 120)), max_size=2),
    usual=st.integers(0, 100),
)
def test_whatever_comes_within_the_bound_is_fetched(outages, usual):
    """A sample a minute, each to be seen `usual` minutes later, or when an outage of its shipping ends."""
    length = 600

    def seen_at(minute: int) -> int:
        seen = minute + usual
        for begins, lasts in sorted(outages):
            if begins <= seen < begins + lasts:
                seen = begins + lasts
        return seen

    arrives = [seen_at(minute) for minute in range(length)]
    fetched: set[int] = set()
    late, reached = 0.0, 0
    for now in range(1, length + LONGEST_S // 60):
        first = max(0, reached - int(again_s(late, 60) // 60))
        ends = min(now, length - 1)
        answer = [minute for minute in range(first, ends + 1) if arrives[minute] <= now]
        fetched.update(answer)
        newest = [NOW + timedelta(minutes=answer[-1])] if answer else []
        late = late_s(newest, NOW + timedelta(minutes=first), NOW + timedelta(minutes=ends))
        reached = ends
    assert fetched == set(range(length))
