"""A worker has as much in hand as it can attend to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.runs.room import HEARD_S, LATE_SHARE, LEAST, WORKED_SHARE, Room

AT, WORKED_S = 100.0, 40.0
stretches = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(HEARD_S * 1.01, 5), st.integers(0, 500)),
    max_size=200,
)


def hear(room, stretches):
    """Let it hear stretches (shares late and worked, seconds, in hand); yield what it made of each: before and after."""
    at, late_s, worked_s = AT, 0.0, WORKED_S
    room.begin(at, worked_s)
    for late, worked, passed_s, in_hand in stretches:
        at, late_s, worked_s = at + passed_s, late_s + late * passed_s, worked_s + worked * passed_s
        before = room.runs
        room.hear(at, late_s, worked_s, in_hand)
        yield before, room.runs


@given(most=st.integers(1, 500), stretches=stretches)
def test_it_is_never_more_than_allowed_nor_less_than_what_keeps_a_worker_going(most, stretches):
    room = Room(most)
    assert room.runs == most
    had = 0
    heard = zip(stretches, hear(room, stretches), strict=True)
    for (late, worked, _, in_hand), (before, after) in heard:
        assert min(most, LEAST) <= after <= most
        most_in_hand, had = max(had, in_hand), in_hand
        if late < LATE_SHARE * 0.99 or worked < WORKED_SHARE * 0.99:
            assert after >= before
            assert after == before or most_in_hand >= before, "more only where it was full"
        elif late > LATE_SHARE * 1.01 and worked > WORKED_SHARE * 1.01:
            assert after <= before
            assert after == before or in_hand <= before, "less only once it has come down"


def full(room, late, worked, times):
    """Hear so many seconds with as much in hand as there is room for."""
    at, late_s, worked_s = AT, 0.0, WORKED_S
    room.begin(at, worked_s)
    for _ in range(times):
        at, late_s, worked_s = at + 1.0, late_s + late, worked_s + worked
        room.hear(at, late_s, worked_s, room.runs)
    return room.runs


@given(most=st.integers(1, 500))
def test_a_loop_that_stays_late_comes_down_to_the_least_and_one_that_keeps_up_back_to_all(most):
    room = Room(most)
    assert full(room, 1.0, 1.0, 60) == min(most, LEAST)
    assert full(room, 0.0, 1.0, most) == most


def test_a_machine_that_others_fill_takes_no_room():
    """With a slow provider most of a look is waiting: fewer of them would be late as well, and only fewer."""
    assert full(Room(50), 1.0, 0.2, 60) == 50


@pytest.mark.parametrize(("in_hand", "left"), [(51, 50), (50, 25), (12, 6), (2, LEAST)])
def test_it_is_cut_from_what_was_in_hand_once_that_has_come_down(in_hand, left):
    assert list(hear(Room(50), [(1.0, 1.0, 1.0, in_hand)])) == [(50, left)]


def test_a_worker_with_little_to_do_gets_no_room_that_it_did_not_try_out():
    room = Room(50)
    after = [runs for _, runs in hear(room, [(1.0, 1.0, 1.0, 16), *[(0.0, 0.1, 1.0, 3)] * 100])]
    assert after[0] == after[-1] == 8


def test_what_was_full_between_is_full():
    """Most ticks may be over when it hears."""
    room = Room(50)
    full(room, 1.0, 1.0, 1)
    room.begin(AT, WORKED_S)
    room.hear(AT + HEARD_S / 2, 0.0, WORKED_S, 25)
    room.hear(AT + HEARD_S * 1.01, 0.0, WORKED_S, 3)
    assert room.runs == 26


def test_what_is_heard_too_soon_waits_for_more():
    room = Room(50)
    room.begin(AT, WORKED_S)
    room.hear(AT + HEARD_S / 2, HEARD_S / 2, WORKED_S + 1, 50)
    assert room.runs == 50
    room.hear(AT + HEARD_S * 1.01, HEARD_S / 2, WORKED_S + 1, 50)
    assert room.runs == 25


def test_a_new_turn_keeps_what_the_one_before_learned_and_not_its_time():
    room = Room(50)
    assert full(room, 1.0, 1.0, 1) == 25
    room.begin(AT + 500.0, WORKED_S)
    room.hear(AT + 501.0, 0.0, WORKED_S, 25)
    assert room.runs == 26
