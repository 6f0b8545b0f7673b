"""One person after the other, each as often and as long as agreed, until one answers or nobody is left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.reach.escalation import (
    ANSWERS,
    Answered,
    Ask,
    NobodyAnswered,
    Outcome,
    Pace,
    Said,
    Tried,
    WaitUntil,
    deciding,
    longest_s,
    next_move,
)

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PACE = Pace(wait_s=300, tries=2)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def test_the_first_person_is_asked_first():
    assert next_move(3, [], PACE, START) == Ask(1, 1)


def test_a_try_waits_to_the_second_and_then_the_same_person_is_asked_again():
    tried = [Tried(1, 1, START)]
    assert next_move(3, tried, PACE, at(5) - timedelta(milliseconds=1)) == WaitUntil(at(5))
    assert next_move(3, tried, PACE, at(5)) == Ask(1, 2)


def test_after_the_last_try_the_next_person_is_asked():
    assert next_move(3, [Tried(1, 1, START), Tried(1, 2, at(5))], PACE, at(10)) == Ask(2, 1)


@pytest.mark.parametrize("outcome", [Outcome.WRONG_NUMBER, Outcome.REFUSED, Outcome.NO_WAY])
def test_where_asking_again_is_of_no_use_the_next_person_is_asked_at_once(outcome):
    assert next_move(2, [Tried(1, 1, START, outcome, at(1))], PACE, at(1)) == Ask(2, 1)
    assert next_move(1, [Tried(1, 1, START, outcome, at(1))], PACE, at(1)) == NobodyAnswered()


@pytest.mark.parametrize("outcome", [Outcome.VOICEMAIL, Outcome.NO_ANSWER])
def test_whoever_has_a_message_on_the_voicemail_gets_the_time_to_call_back(outcome):
    tried = [Tried(1, 1, START, outcome, at(1))]
    assert next_move(2, tried, PACE, at(1)) == WaitUntil(at(5))
    assert next_move(2, tried, PACE, at(5)) == Ask(1, 2)


def test_an_answer_ends_it_and_is_measured_from_when_that_person_was_asked():
    tried = [Tried(1, 1, START), Tried(2, 1, at(10), Outcome.ACKNOWLEDGED, at(12))]
    assert next_move(3, tried, PACE, at(12)) == Answered(2, 1, 120.0)


def test_the_first_persons_late_answer_counts_while_the_second_is_asked():
    tried = [Tried(1, 1, START, Outcome.ACKNOWLEDGED, at(11)), Tried(2, 1, at(10))]
    assert next_move(3, tried, PACE, at(11)) == Answered(1, 1, 660.0)


def test_an_order_with_nobody_in_it_ends_at_once():
    assert next_move(0, [], PACE, START) == NobodyAnswered()


@pytest.mark.parametrize("wrong", [{"wait_s": 0}, {"wait_s": 3601}, {"tries": 0}, {"tries": 6}])
def test_a_pace_without_bounds_is_no_pace(wrong):
    with pytest.raises(ValueError):
        Pace(**wrong)


@given(
    people=st.integers(0, 6),
    pace=st.builds(Pace, wait_s=st.integers(1, 3600), tries=st.integers(1, 5)),
    answers=st.lists(st.tuples(st.sampled_from(list(Outcome)), st.integers(0, 4000)), max_size=40),
)
def test_every_reach_ends_asks_in_order_and_never_twice(people, pace, answers):
    """Play it to its end with any outcomes at any moments: what was asked, in which order, how long it took."""
    now, tried, asked = START, [], []
    script = iter(answers)
    for _ in range(people * pace.tries * 3 + 5):
        move = next_move(people, tried, pace, now)
        if isinstance(move, NobodyAnswered | Answered):
            break
        if isinstance(move, Ask):
            assert (move.place, move.number) not in asked
            assert not asked or (move.place, move.number) > asked[-1]
            asked.append((move.place, move.number))
            outcome, after_s = next(script, (Outcome.WAITING, 0))
            ended = now + timedelta(seconds=min(after_s, pace.wait_s))
            is_open = outcome is Outcome.WAITING
            tried.append(Tried(move.place, move.number, now, outcome, None if is_open else ended))
        else:
            assert move.at > now
            now = move.at
    else:
        pytest.fail("it does not end")
    assert (now - START).total_seconds() <= longest_s(people, pace)
    answered = any(one.outcome in ANSWERS for one in tried)
    assert isinstance(move, Answered) == answered
    if not answered:
        # Everybody had a turn before it was given up.
        assert {place for place, _ in asked} == set(range(1, people + 1))


def said(outcome, minutes, *, is_by_person=True):
    return Said(outcome, at(minutes), is_by_person)


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([], None),
        ([said(Outcome.VOICEMAIL, 1), said(Outcome.NO_ANSWER, 2)], 1),
        ([said(Outcome.VOICEMAIL, 1), said(Outcome.NO_ANSWER, 2, is_by_person=False)], 0),
        ([said(Outcome.NO_ANSWER, 1, is_by_person=False), said(Outcome.VOICEMAIL, 2)], 1),
        ([said(Outcome.VOICEMAIL, 1), said(Outcome.ACKNOWLEDGED, 2, is_by_person=False)], 1),
        ([said(Outcome.ACKNOWLEDGED, 1, is_by_person=False), said(Outcome.REACHED, 2)], 0),
    ],
)
def test_the_first_answer_decides_and_before_one_what_a_person_said_last(results, expected):
    assert deciding(results) == (None if expected is None else results[expected])
