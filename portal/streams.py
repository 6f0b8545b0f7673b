"""Event streams: how many one user holds open in this process, and that none outlives its reader's right.

A stream costs a place in the process for hours. A seat that nobody holds any more frees itself: an answer
that was thrown away before its first byte never gets to a `finally`.

Whoever takes a right, a session or a token away calls `recheck()`. Each process that has streams open
looks at that number once a second, with one query for all of them, and has each ask again when it rose; so a
stream ends within 2 s without asking every second whether it may go on. Redis is not needed for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import structlog
from django.db import DatabaseError, connection, transaction

from portal.runs.threads import StoreThreads

log = structlog.get_logger(__name__)
LOOK_EVERY_S = 1.0
RECHECK_S = 15.0
"""How often a stream asks by itself whether it may go on: what ran out by time changes no number."""

MOST_PER_USER = 10
MOST_PER_ACCOUNT = 50
"""Of all service tokens of one account together."""
TOO_MANY = (
    f"You have {MOST_PER_USER} live views open already, which is the most that one person or token can have. "
    "The others go on. Close one of them, then reload this one."
)

_lock = threading.Lock()
_taken: dict[str, WeakSet[Seat]] = {}


class Seat:
    """One open stream of a person or a program; hold it for as long as the stream lasts."""

    def __init__(self, holders: Collection[str]) -> None:
        self.holders = holders

    def leave(self) -> None:
        """Give the seat back; a repeat changes nothing."""
        with _lock:
            for holder in self.holders:
                seats = _taken.get(holder)
                if seats is not None:
                    seats.discard(self)
                    if not seats:
                        del _taken[holder]


def take_seat(user_pk: int, token: Any = None) -> Seat | None:
    """Return a seat for one more stream of this user, or None where all are taken (answer 429, `TOO_MANY`).

    A service token (`token.account_id`) has seats of its own, and its account some for all of its tokens: a program
    takes none from the person who made its token.
    """
    account = getattr(token, "account_id", None)
    limits = (
        {f"user:{user_pk}": MOST_PER_USER}
        if account is None
        else {f"token:{token.pk}": MOST_PER_USER, f"account:{account}": MOST_PER_ACCOUNT}
    )
    with _lock:
        if any(len(_taken.get(holder, ())) >= most for holder, most in limits.items()):
            return None
        seat = Seat(tuple(limits))
        for holder in limits:
            _taken.setdefault(holder, WeakSet()).add(seat)
        return seat


def recheck(user_pk: int | None = None) -> None:
    """Have every open stream, in every process, ask whether it may go on once the transaction in hand is committed.

    `user_pk` tells the log whose access changed, where it is one person's.
    """
    log.info("access_changed", user=user_pk)
    transaction.on_commit(_rise)


def _rise() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('portal_access_version')")


def _version() -> tuple[int, bool]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_value, is_called FROM portal_access_version")
        last_value, is_called = cursor.fetchone()
        return last_value, is_called


class _Watch:
    """One look a second for all streams of an event loop, while there are any."""

    def __init__(self) -> None:
        self.rises = 0
        self.rose = asyncio.Event()
        self.looked = asyncio.Event()
        self._readers = 0
        self._task: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncGenerator[_Watch, None]:
        """Keep looking while one stream is in this block."""
        self._readers += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())
        try:
            yield self
        finally:
            self._readers -= 1
            if self._readers == 0 and self._task is not None:
                self._task.cancel()
                self._task = None
                self.looked.clear()

    async def _look(self) -> None:
        threads = StoreThreads(1, name="stream-access")
        known: tuple[int, bool] | None = None
        try:
            while True:
                try:
                    version = await threads(_version)
                except DatabaseError as error:
                    # Each stream asks by itself as well, and ends when its question cannot be answered.
                    log.warning("access_version_unknown", error=type(error).__name__)
                else:
                    if known is not None and version != known:
                        self._tell()
                    known = version
                self.looked.set()
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            threads.close(wait=False)

    def _tell(self) -> None:
        self.rises += 1
        self.rose.set()
        self.rose = asyncio.Event()


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch] = WeakKeyDictionary()


async def while_allowed(
    chunks: AsyncGenerator[bytes, None], seat: Seat, ask: Callable[[], Awaitable[bool]]
) -> AsyncGenerator[bytes, None]:
    """Yield `chunks` for as long as `ask()` says yes, also while none comes; leaves the seat at the end.

    Asked before the first chunk, when somebody's access changed, and every `RECHECK_S` seconds. Nothing is
    yielded after a no.
    """
    watch = _watches.setdefault(asyncio.get_running_loop(), _Watch())
    coming: asyncio.Future[bytes | None] | None = None
    try:
        async with watch.watching():
            # What changed between the caller's own question and the first look would rise nothing any more.
            await watch.looked.wait()
            rises, asked_at = watch.rises, monotonic()
            if not await ask():
                return
            while True:
                # Made anew for each chunk: an answer that is thrown away between two leaves no task behind.
                coming = asyncio.ensure_future(anext(chunks, None))
                while True:
                    if watch.rises != rises or monotonic() - asked_at >= RECHECK_S:
                        rises, asked_at = watch.rises, monotonic()
                        if not await ask():
                            return
                    if coming.done():
                        break
                    await _first_of(coming, watch.rose, RECHECK_S - (monotonic() - asked_at))
                chunk = coming.result()
                coming = None
                if chunk is None:
                    return
                yield chunk
    finally:
        seat.leave()
        if coming is not None:
            coming.cancel()
            with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                await coming
        await chunks.aclose()


async def _first_of(coming: asyncio.Future[bytes | None], rose: asyncio.Event, limit_s: float) -> None:
    """Wait until a chunk came, the version rose or the time is over; `coming` goes on."""
    heard = asyncio.ensure_future(rose.wait())
    try:
        either: set[asyncio.Future[Any]] = {coming, heard}
        await asyncio.wait(either, timeout=max(0.0, limit_s), return_when=asyncio.FIRST_COMPLETED)
    finally:
        heard.cancel()
