"""How many event streams one user holds open in this process.

A stream costs a place in the process for hours. A seat that nobody holds any more frees itself: an answer
that was thrown away before its first byte never gets to a `finally`.
"""

from __future__ import annotations

import threading
from weakref import WeakSet

MOST_PER_USER = 10
TOO_MANY = (
    f"You have {MOST_PER_USER} live views open already, which is the most that one person can have. "
    "The others go on. Close one of them, then reload this one."
)

_lock = threading.Lock()
_taken: dict[int, WeakSet[Seat]] = {}


class Seat:
    """One open stream of one user; hold it for as long as the stream lasts."""

    def __init__(self, user_pk: int) -> None:
        self.user_pk = user_pk

    def leave(self) -> None:
        """Give the seat back; a repeat changes nothing."""
        with _lock:
            seats = _taken.get(self.user_pk)
            if seats is not None:
                seats.discard(self)
                if not seats:
                    del _taken[self.user_pk]


def take_seat(user_pk: int) -> Seat | None:
    """Return a seat for one more stream of this user, or None where all are taken (answer 429, `TOO_MANY`)."""
    with _lock:
        seats = _taken.setdefault(user_pk, WeakSet())
        if len(seats) >= MOST_PER_USER:
            return None
        seat = Seat(user_pk)
        seats.add(seat)
        return seat
