"""The way down an order of call: whom to ask next, how long to wait, when somebody answered, when nobody did. Pure.

A reach asks one person after the other. Each try has a wait; each person has a number of tries; an answer ends it, also
one of somebody who was asked earlier. Times are aware UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

LONGEST_WAIT_S = 3600
MOST_TRIES = 5


class Outcome(StrEnum):
    """How a try stands. The values are stored."""

    WAITING = "waiting"
    ACKNOWLEDGED = "acknowledged"
    """Pressed the button behind the link, a key on the phone, or replied to the text message."""
    REACHED = "reached"
    """Answered the phone, as a named person says."""
    VOICEMAIL = "voicemail"
    NO_ANSWER = "no_answer"
    WRONG_NUMBER = "wrong_number"
    REFUSED = "refused"
    """Answered and said no: not mine, not now."""
    NO_WAY = "no_way"
    """There is nothing (left) to ask by: removed, erased, or no channel took it."""
    UNANSWERED = "unanswered"
    """Nothing was known of it when all came to an end: somebody else answered, it was stopped, or the list was through."""


ANSWERS = frozenset({Outcome.ACKNOWLEDGED, Outcome.REACHED})
# After these asking the same person again is of no use.
FINAL = frozenset({Outcome.WRONG_NUMBER, Outcome.REFUSED, Outcome.NO_WAY})
# What can be said of a try; the others are how it stands without anybody's word.
RESULTS = ANSWERS | {Outcome.VOICEMAIL, Outcome.NO_ANSWER, Outcome.WRONG_NUMBER, Outcome.REFUSED}
# What a person on the phone can say of a call.
BY_HAND = (Outcome.REACHED, Outcome.VOICEMAIL, Outcome.NO_ANSWER, Outcome.WRONG_NUMBER, Outcome.REFUSED)


@dataclass(frozen=True)
class Said:
    """One result of a try, as somebody said it: a named person of a call, or a link or the gateway for whoever was asked."""

    outcome: Outcome
    at: datetime
    is_by_person: bool


def deciding(said: Sequence[Said]) -> Said | None:
    """Return which of a try's results decides; None without any. All of them stay on record.

    The first answer does, for it is what was asked for, and its time is the time to the answer. Before one, what a
    person heard on the phone counts more than what a gateway reports, and of the same sort the newest.
    """
    answers = [one for one in said if one.outcome in ANSWERS]
    if answers:
        return min(answers, key=lambda one: one.at)
    return max(said, key=lambda one: (one.is_by_person, one.at), default=None)


@dataclass(frozen=True)
class Pace:
    """How long each try waits, in seconds, and how many tries each person gets."""

    wait_s: int = 300
    tries: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.wait_s <= LONGEST_WAIT_S:
            raise ValueError(f"a try waits 1 to {LONGEST_WAIT_S} s, not {self.wait_s}")
        if not 1 <= self.tries <= MOST_TRIES:
            raise ValueError(f"a person gets 1 to {MOST_TRIES} tries, not {self.tries}")


@dataclass(frozen=True)
class Tried:
    """One try as it stands: of which person (place in the order, from 1), the how manieth, since when, and how it went."""

    place: int
    number: int
    asked_at: datetime
    outcome: Outcome = Outcome.WAITING
    ended_at: datetime | None = None


@dataclass(frozen=True)
class Ask:
    """Ask the person at `place` for the `number`th time."""

    place: int
    number: int


@dataclass(frozen=True)
class WaitUntil:
    """Somebody was asked and may still answer until then."""

    at: datetime


@dataclass(frozen=True)
class Answered:
    """Who answered, `after_s` seconds after they were asked."""

    place: int
    number: int
    after_s: float


@dataclass(frozen=True)
class NobodyAnswered:
    """The end of the list: everybody was asked as often as there are tries."""


Move = Ask | WaitUntil | Answered | NobodyAnswered


def next_move(people: int, tried: Sequence[Tried], pace: Pace, now: datetime) -> Move:
    """Return what comes next with `people` in the order, after these tries.

    The first answer counts, whoever gives it. A try that ended early in something final goes on to the next person at
    once; voicemail and no answer wait as long as an open try does: people call back.
    """
    answers = [one for one in tried if one.outcome in ANSWERS]
    if answers:
        first = min(answers, key=lambda one: (one.ended_at or one.asked_at, one.place, one.number))
        after = ((first.ended_at or first.asked_at) - first.asked_at).total_seconds()
        return Answered(first.place, first.number, max(0.0, after))
    if not people:
        return NobodyAnswered()
    if not tried:
        return Ask(1, 1)
    last = max(tried, key=lambda one: (one.place, one.number))
    until = last.asked_at + timedelta(seconds=pace.wait_s)
    if last.outcome not in FINAL:
        if now < until:
            return WaitUntil(until)
        if last.number < pace.tries:
            return Ask(last.place, last.number + 1)
    return Ask(last.place + 1, 1) if last.place < people else NobodyAnswered()


def longest_s(people: int, pace: Pace) -> int:
    """Return how long a reach can last at most, in seconds."""
    return people * pace.tries * pace.wait_s
