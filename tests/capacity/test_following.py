"""Which known stretch an analysed one continues: examples, and what holds of any."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from capacity.reports.following import TOGETHER, Window, begin_together, continued

MONDAY = datetime(2026, 11, 9, tzinfo=UTC)


def window(begin: int, end: int, *, is_rise: bool = True, is_live: bool = True) -> Window:
    return Window(MONDAY + timedelta(hours=begin), MONDAY + timedelta(hours=end), is_rise, is_live)


def test_a_stretch_that_goes_on_is_the_same_one():
    assert continued([window(0, 5)], [window(-1, 30)]) == [0]
    assert continued([window(0, 5)], [window(5, 9)]) == [None], "it begins where the other one ended"


def test_a_fall_is_never_a_rise_that_was_on_at_the_time():
    assert continued([window(0, 5)], [window(3, 6, is_rise=False)]) == [None]
    assert continued([window(0, 9)], [window(0, 9), window(3, 6, is_rise=False)]) == [0, None]


def test_of_two_that_are_one_by_now_the_longer_one_goes_on():
    blip, days = window(10, 11), window(14, 40)
    assert continued([blip, days], [window(10, 40)]) == [1]
    assert continued([days, blip], [window(10, 40)]) == [0]


def test_of_one_that_is_two_by_now_the_longer_part_is_it():
    assert continued([window(0, 40)], [window(0, 5), window(9, 40)]) == [None, 0]


def test_what_was_not_seen_the_last_time_gives_way_to_what_was():
    assert continued([window(0, 40, is_live=False), window(30, 33)], [window(0, 41)]) == [1]
    assert continued([window(0, 40, is_live=False)], [window(0, 41)]) == [0]


def test_metrics_leave_their_bands_together_when_it_is_hours_apart_and_not_days():
    assert begin_together(window(0, 50), window(6, 20))
    assert not begin_together(window(0, 50), window(7, 20))
    assert not begin_together(window(0, 3), window(4, 20))
    assert not begin_together(window(0, 50), window(0, 50, is_rise=False))


windows = st.lists(
    st.tuples(st.integers(-60, 60), st.integers(1, 50), st.booleans(), st.booleans()).map(
        lambda one: window(one[0], one[0] + one[1], is_rise=one[2], is_live=one[3])
    ),
    max_size=6,
)


@given(windows, windows)
def test_each_known_one_is_continued_once_by_what_shares_its_time_and_its_side(known, found):
    of = continued(known, found)
    assert len(of) == len(found)
    taken = [place for place in of if place is not None]
    assert len(set(taken)) == len(taken)

    def is_same(one: Window, other: Window) -> bool:
        is_on = one.starts_at < other.ends_at and other.starts_at < one.ends_at
        return is_on and one.is_rise is other.is_rise

    for new, place in zip(found, of, strict=True):
        if place is not None:
            assert is_same(known[place], new)
        else:
            # Nothing is new that could have been what is known.
            assert all(not is_same(old, new) for at, old in enumerate(known) if at not in taken)


@given(windows)
def test_the_same_again_is_the_same(known):
    """Whatever else is on at the time, each is continued by itself, or by one that was on for as long of it."""
    live = [one for one in known if one.is_live]
    for new, place in zip(live, continued(live, live), strict=True):
        assert place is not None
        old = live[place]
        assert min(old.ends_at, new.ends_at) - max(old.starts_at, new.starts_at) > timedelta(0)


@given(windows, windows)
def test_together_is_mutual(some, others):
    for one in some:
        for other in others:
            assert begin_together(one, other) is begin_together(other, one)
            assert not begin_together(one, other) or abs(one.starts_at - other.starts_at) <= TOGETHER
