"""How many runs a worker has in hand at once: fewer where its loop is late, more again where it keeps up. Pure."""

from __future__ import annotations

LEAST = 4
"""So many are looked at side by side even on a machine that is full: most of a look is waiting for the network."""
HEARD_S = 0.1
"""Over less time a share is chance."""
LATE_SHARE = 0.25
"""A loop that is late for more of its time than this has more in hand than it can attend to,"""
WORKED_SHARE = 0.25
"""if this process works for more of the time than this. Else others fill the machine, and fewer looks would make none quicker."""
LESS = 0.5


class Room:
    """Additive increase, multiplicative decrease (Chiu and Jain 1989), between `LEAST` and `most`.

    It is less only once what is in hand has come down to it, and more only where it is full: what was not tried out says nothing.
    """

    def __init__(self, most: int) -> None:
        self._most = float(most)
        self._least = float(min(most, LEAST))
        self._runs = self._most
        self._heard: tuple[float, float, float] | None = None
        self._most_in_hand = 0

    @property
    def runs(self) -> int:
        """How many may be in hand."""
        return int(self._runs)

    def begin(self, at: float, worked_s: float) -> None:
        """Listen from now on; what was made of it before stays."""
        self._heard = (at, 0.0, worked_s)

    def hear(self, at: float, late_s: float, worked_s: float, in_hand: int) -> None:
        """Take in, at `at` (any steady clock), how late the loop was in all since it was begun to listen, and how much of the
        processor the process took in all; seconds. `in_hand`: how many are, those that were just taken with them.
        """
        self._most_in_hand = max(self._most_in_hand, in_hand)
        if self._heard is None or (passed_s := at - self._heard[0]) < HEARD_S:
            return
        is_late = late_s - self._heard[1] > LATE_SHARE * passed_s
        is_ours = worked_s - self._heard[2] > WORKED_SHARE * passed_s
        self._heard = (at, late_s, worked_s)
        if is_late and is_ours:
            if in_hand <= self.runs:
                self._runs = max(self._least, in_hand * LESS)
            in_hand = 0
        elif self._most_in_hand >= self.runs:
            self._runs = min(self._most, self._runs + 1.0)
        self._most_in_hand = in_hand
