"""A run live: server-sent events from the journal, resumable by its own sequence number.

Redis is the wake-up, the database the content. A stream holds no database connection while it waits: reads
are short and run in two threads that all streams of a process share. Without Redis it looks every 2 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import weakref
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import redis.asyncio as aioredis
import structlog
from django.conf import settings
from redis.exceptions import RedisError

from portal.runs.models import JournalEntry, Run
from portal.runs.selectors import entry_as_data, journal_page
from portal.runs.threads import StoreThreads
from portal.runs.wake import CHANNEL

log = structlog.get_logger(__name__)

HEARTBEAT_S = 15.0
POLL_S = 2.0
"""How often a stream looks by itself while Redis is away."""
_PAGE = 500
_RECONNECT_S = 1.0
_LISTEN_S = 1.0


@dataclass(frozen=True)
class Change:
    """What is new on a run. `token` rises with each tick, also where the journal has nothing new."""

    entries: tuple[JournalEntry, ...]
    status: str
    seq: int
    token: int
    is_over: bool


def sse(event: str, data: str, *, id: int | None = None) -> bytes:
    """Return one server-sent event; `data` may have several lines."""
    lines = [f"id: {id}"] if id is not None else []
    lines.append(f"event: {event}")
    lines += [f"data: {line}" for line in data.splitlines() or [""]]
    return ("\n".join(lines) + "\n\n").encode()


HEARTBEAT = b": still here\n\n"


async def run_changes(run_id: int, after_seq: int = 0) -> AsyncGenerator[Change | None]:
    """Yield what is new on a run, first of all everything after `after_seq`; None every 15 s as a heartbeat.

    Ends when the run is over and everything was yielded. `run_id` is the row's key; the caller has asked
    `portal.access` whether the viewer may see it.
    """
    hub = _hub()
    seq, token = after_seq, -1
    async with hub.reading() as read, hub.listening(await read(_ref_of, run_id)) as ear:
        clock = asyncio.get_running_loop().time
        quiet_since = clock()
        while True:
            ear.news.clear()
            change = await read(_change_since, run_id, seq)
            if change.entries or change.token != token:
                seq = change.entries[-1].seq if change.entries else seq
                token = change.token
                quiet_since = clock()
                yield change
            if seq < change.seq:
                continue
            if change.is_over:
                return
            left_s = HEARTBEAT_S - (clock() - quiet_since)
            if left_s > 0:
                await _comes(ear.news, min(left_s, HEARTBEAT_S if ear.is_heard() else POLL_S))
            # By the clock: news that is none, as while Redis comes and goes, is as quiet for who reads.
            if clock() - quiet_since >= HEARTBEAT_S:
                quiet_since = clock()
                yield None


async def journal_events(
    run_id: int,
    after_seq: int = 0,
    *,
    for_customer: bool = False,
    render: Callable[[Change], Mapping[str, str]] | None = None,
) -> AsyncGenerator[bytes, None]:
    """Yield a run's journal as server-sent events, to be returned in a `StreamingHttpResponse`.

    Each entry is an event `entry` with `id: seq` and JSON data; each tick an event `tick` (status, token);
    at the end an event `end`, after which the browser must not come back. `render` may add events of its
    own per change: event name → data, such as partials of a page. It is called in a reader's thread, and with each
    heartbeat for the last change once more: that nobody looks at a run any more is news, and no run says it of itself.
    """
    yield b"retry: 2000\n\n"
    # Closed with this generator: a browser that left must not keep a place in the hub.
    async with _hub().reading() as read, contextlib.aclosing(run_changes(run_id, after_seq)) as changes:
        last: Change | None = None
        async for change in changes:
            for entry in change.entries if change is not None else ():
                data = json.dumps(entry_as_data(entry, for_customer=for_customer))
                yield sse("entry", data, id=entry.seq)
            last = change or last
            if render is not None and last is not None:
                for event, data in (await read(render, last)).items():
                    yield sse(event, data)
            if change is None:
                yield HEARTBEAT
                continue
            state = {"status": change.status, "token": change.token, "seq": change.seq}
            yield sse("tick", json.dumps(state))
            if change.is_over and (not change.entries or change.entries[-1].seq >= change.seq):
                yield sse("end", json.dumps({"status": change.status}))


def after_seq_of(last_event_id: str | None) -> int:
    """Return the sequence number from a `Last-Event-ID` header; 0 for a missing or broken one."""
    text = (last_event_id or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _ref_of(run_id: int) -> str:
    return str(Run.objects.values_list("ref", flat=True).get(pk=run_id))


def _change_since(run_id: int, seq: int) -> Change:
    # The run first: entries written after it are then at most more than its `seq` says, never fewer.
    run = Run.objects.only("status", "seq", "token").get(pk=run_id)
    entries = tuple(journal_page(run, after_seq=seq, limit=_PAGE))
    return Change(entries, run.status, run.seq, run.token, run.is_over)


async def _comes(news: asyncio.Event, wait_s: float) -> bool:
    try:
        async with asyncio.timeout(wait_s):
            await news.wait()
    except TimeoutError:
        return False
    return True


class _Ear:
    """One stream's place in the hub: `news` is set when its run has something new."""

    def __init__(self, hub: _Hub, ref: str) -> None:
        self.news = asyncio.Event()
        self._hub = hub
        self._ref = ref

    def is_heard(self) -> bool:
        """Whether news would be heard now: Redis is connected."""
        return self._hub.is_up

    async def __aenter__(self) -> _Ear:
        self._hub.add(self._ref, self)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._hub.remove(self._ref, self)


class _Hub:
    """One subscription and two reading threads for all streams of an event loop, while there are any."""

    def __init__(self) -> None:
        self.is_up = False
        self._threads: StoreThreads | None = None
        self._readers = 0
        self._ears: dict[str, weakref.WeakSet[_Ear]] = {}
        self._task: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncGenerator[StoreThreads, None]:
        """Return the reading threads; they end, with their connections, with the last stream."""
        if self._threads is None:
            self._threads = StoreThreads(name="stream-read")
        self._readers += 1
        try:
            yield self._threads
        finally:
            self._readers -= 1
            if self._readers == 0:
                self._threads.close(wait=False)
                self._threads = None

    def listening(self, ref: str) -> _Ear:
        """Return an ear to be used as an async context."""
        return _Ear(self, ref)

    def add(self, ref: str, ear: _Ear) -> None:
        """Let `ear` hear of a run."""
        self._ears.setdefault(ref, weakref.WeakSet()).add(ear)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._listen())

    def remove(self, ref: str, ear: _Ear) -> None:
        """Forget `ear`; the last one ends the subscription."""
        ears = self._ears.get(ref)
        if ears is not None:
            ears.discard(ear)
            if not ears:
                del self._ears[ref]
        if not self._ears and self._task is not None:
            self._task.cancel()
            self._task = None
            self.is_up = False

    async def _listen(self) -> None:
        # The client may swallow a cancellation while it connects, so each step asks whether it is still wanted.
        while self._is_wanted():
            client = aioredis.Redis.from_url(
                settings.REDIS_URL, socket_connect_timeout=1, health_check_interval=10
            )
            try:
                async with client.pubsub() as pubsub:
                    await pubsub.psubscribe(f"{CHANNEL}*")
                    self.is_up = True
                    # What came while nobody listened is in the database.
                    self._tell_all()
                    while self._is_wanted():
                        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=_LISTEN_S)
                        if message is not None:
                            self._hear(message)
            except (RedisError, OSError) as error:
                log.warning("stream_without_redis", error=type(error).__name__)
            finally:
                await client.aclose()
            if self._is_wanted():
                if self.is_up:
                    self.is_up = False
                    self._tell_all()  # from now on each looks by itself
                await asyncio.sleep(_RECONNECT_S)

    def _is_wanted(self) -> bool:
        return self._task is asyncio.current_task()

    def _hear(self, message: Mapping[str, Any]) -> None:
        ref = message["channel"].decode().removeprefix(CHANNEL)
        for ear in self._ears.get(ref, ()):
            ear.news.set()

    def _tell_all(self) -> None:
        for ears in self._ears.values():
            for ear in ears:
                ear.news.set()


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, _Hub] = WeakKeyDictionary()


def _hub() -> _Hub:
    return _hubs.setdefault(asyncio.get_running_loop(), _Hub())
