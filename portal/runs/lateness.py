"""How late an event loop is: an answer lies in the socket until the loop comes to it, and its time is taken for the site's.

A beat every hundredth of a second shows it, whatever the reason: callbacks of others, threads that hold the interpreter, a machine
that is full, a process that was stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STEP_S = 0.01
SLACK_S = 0.002
"""Timers are rounded up to a thousandth, and a loop that only beats is late by less."""


class _Beat:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._late_s = 0.0
        self._set()

    def end(self) -> None:
        self._timer.cancel()

    def late_s(self) -> float:
        """Return for how long this loop was late in all; what it is late by at this moment counts."""
        return self._late_s + max(0.0, self._loop.time() - self._due - SLACK_S)

    def _set(self) -> None:
        self._due = self._loop.time() + STEP_S
        self._timer = self._loop.call_at(self._due, self._beat)

    def _beat(self) -> None:
        self._late_s = self.late_s()
        self._set()


@contextmanager
def lateness() -> Iterator[Callable[[], float]]:
    """Give what tells for how many seconds the running loop was late since the block was entered; hardly more than that."""
    beat = _Beat(asyncio.get_running_loop())
    try:
        yield beat.late_s
    finally:
        beat.end()
