"""Where the simulator's process takes its time from. The world itself has no clock."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Seconds that never go back, and waiting in them."""

    is_virtual: bool

    def now(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class RealClock:
    """Real time, counted from `base_s` on."""

    is_virtual = False

    def __init__(self, base_s: float = 0.0) -> None:
        self._zero = time.monotonic() - base_s

    def now(self) -> float:
        return time.monotonic() - self._zero

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class VirtualClock:
    """Time that passes only when told. Waiting is noted in `waited_s` and takes no time."""

    is_virtual = True

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s
        self.waited_s = 0.0

    def now(self) -> float:
        return self.now_s

    def tick(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError("Time cannot go back.")
        self.now_s += seconds

    async def sleep(self, seconds: float) -> None:
        self.waited_s += seconds
