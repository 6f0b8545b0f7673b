"""What all workers share about a provider: the log-in, and how fast it may be asked.

It lives in Redis, which may be emptied or gone at any moment: then each process goes on with its own copy,
logs in for itself and keeps to the same rates alone. Nothing here is needed for correctness.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import redis.asyncio
import redis.exceptions
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from portal.errors import Refused, TryLater

log = structlog.get_logger(__name__)
T = TypeVar("T")

LOGIN_TURN_S = 20.0
AWAY_S = 2.0
"""How long Redis is left alone after a failure, so that its absence does not slow every call."""


@dataclass(frozen=True)
class Rate:
    """How often a kind of call may be made: a steady rate, and how many may come at once."""

    per_s: float
    burst: int


@dataclass(frozen=True)
class Slot:
    """The answer to "may I call now?": granted after waiting `wait_s`, or not before `wait_s` from now."""

    is_granted: bool
    wait_s: float


class Shared(Protocol):
    """What the client needs of it."""

    async def read(self, key: str) -> str | None:
        """Return a cached text, or None."""
        ...

    async def write(self, key: str, text: str, ttl_s: float) -> None:
        """Keep a text for `ttl_s` seconds at most."""
        ...

    def turn(self, key: str) -> AbstractAsyncContextManager[None]:
        """Be the only one who does `key` for a moment. Raises TryLater when others take too long."""
        ...

    async def take(self, tenant: str, bucket: str, rate: Rate, *, max_wait_s: float, part: str = "") -> Slot:
        """Take one call out of a bucket of a tenant, if that needs no longer wait than `max_wait_s`.

        `part` is what of the provider is called, as in `hold`.
        """
        ...

    async def hold(self, tenant: str, seconds: float, part: str = "") -> None:
        """Let nobody call one part of the provider for a tenant for a time: the provider said so."""
        ...


def _held(tenant: str, part: str) -> str:
    return f"{tenant}:{part}" if part else tenant


class MemoryShared:
    """One process's own copy. Safe to use from several threads, each with its own event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._texts: dict[str, tuple[float, str]] = {}
        self._next_free: dict[str, float] = {}
        self._held_until: dict[str, float] = {}

    async def read(self, key: str) -> str | None:
        """Return a cached text, or None."""
        with self._lock:
            until, text = self._texts.get(key, (0.0, ""))
            return text if until > self._clock() else None

    async def write(self, key: str, text: str, ttl_s: float) -> None:
        """Keep a text for `ttl_s` seconds at most."""
        with self._lock:
            now = self._clock()
            self._texts = {name: kept for name, kept in self._texts.items() if kept[0] > now}
            self._texts[key] = (now + ttl_s, text)

    @contextlib.asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """Nothing to wait for: within one event loop the client itself sees to it."""
        yield

    async def take(self, tenant: str, bucket: str, rate: Rate, *, max_wait_s: float, part: str = "") -> Slot:
        """Take one call out of a bucket: the time at which the bucket is next free is all that is kept."""
        name = f"{tenant}:{bucket}"
        with self._lock:
            now = self._clock()
            gap_s = 1 / rate.per_s
            free_at = max(self._next_free.get(name, now), now)
            held_until = self._held_until.get(_held(tenant, part), now)
            wait_s = max(free_at - (rate.burst - 1) * gap_s - now, held_until - now, 0.0)
            if wait_s > max_wait_s:
                return Slot(False, wait_s)
            self._next_free[name] = free_at + gap_s
            return Slot(True, wait_s)

    async def hold(self, tenant: str, seconds: float, part: str = "") -> None:
        """Let nobody call one part of the provider for a tenant for a time."""
        name = _held(tenant, part)
        with self._lock:
            self._held_until[name] = max(self._held_until.get(name, 0.0), self._clock() + seconds)


# The same arithmetic as MemoryShared.take, on Redis's own clock, in one step, for one call after another: two keys
# (bucket, hold) and three arguments each. Times in milliseconds.
_TAKE = """
local t = redis.call('TIME')
local now = t[1] * 1000 + t[2] / 1000
local answers = {}
for call = 0, #KEYS / 2 - 1 do
    local bucket, hold = KEYS[2 * call + 1], KEYS[2 * call + 2]
    local gap, burst = tonumber(ARGV[3 * call + 1]), tonumber(ARGV[3 * call + 2])
    local free_at = math.max(tonumber(redis.call('GET', bucket) or now), now)
    local wait = math.max(free_at - (burst - 1) * gap - now, 0)
    local held = redis.call('PTTL', hold)
    if held > wait then wait = held end
    local granted = wait <= tonumber(ARGV[3 * call + 3])
    if granted then
        redis.call('SET', bucket, string.format('%.3f', free_at + gap), 'PX', math.ceil(free_at + gap - now) + 1000)
    end
    answers[call + 1] = {granted and 1 or 0, tostring(wait)}
end
return answers
"""
# A hold is only ever made longer.
_HOLD = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], '1', 'PX', ARGV[1]) end
return 1
"""


class _Takes:
    """Asks in one go what one turn of the event loop asks for: a look makes several calls at once."""

    def __init__(self, script: Callable[..., Awaitable[list[Any]]]) -> None:
        self._script = script
        self._asked: list[tuple[list[str], list[float], asyncio.Future[Slot]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, keys: list[str], args: list[float]) -> Slot:
        """Return the answer to one call's keys and arguments. Raises what asking Redis raises."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Slot] = loop.create_future()
        if not self._asked:
            loop.call_soon(self._send)
        self._asked.append((keys, args, answer))
        return await answer

    def _send(self) -> None:
        asked, self._asked = self._asked, []
        task = asyncio.ensure_future(self._ask(asked))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, asked: list[tuple[list[str], list[float], asyncio.Future[Slot]]]) -> None:
        # Who asked may have been cancelled meanwhile: the slot is then left unused.
        answers = [answer for _, _, answer in asked]
        try:
            said = await self._script(
                keys=[key for keys, _, _ in asked for key in keys],
                args=[one for _, args, _ in asked for one in args],
            )
        except Exception as problem:  # noqa: BLE001  whatever it is, it is the answer to each of them
            for answer in answers:
                if not answer.done():
                    answer.set_exception(problem)
            return
        for answer, (granted, wait_ms) in zip(answers, said, strict=True):
            if not answer.done():
                answer.set_result(Slot(bool(granted), float(wait_ms) / 1000))


class RedisShared:
    """Shared by all workers through Redis; belongs to one event loop.

    `seal` and `unseal` encrypt texts; `unseal` raises Refused for what it cannot read.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        memory: MemoryShared,
        *,
        seal: Callable[[str], str],
        unseal: Callable[[str], str],
        prefix: str = "cloud",
    ) -> None:
        self._client = client
        self._memory = memory
        self._seal = seal
        self._unseal = unseal
        self._prefix = prefix
        self._takes = _Takes(client.register_script(_TAKE))
        self._hold: Any = client.register_script(_HOLD)
        self._away_until = 0.0

    @classmethod
    def from_url(
        cls, url: str, memory: MemoryShared, *, seal: Callable[[str], str], unseal: Callable[[str], str]
    ) -> RedisShared:
        """Return one that gives up on Redis within half a second: it is a help, not a need."""
        client = redis.asyncio.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=0.5,
            socket_connect_timeout=0.5,
            # Once more at once: after a restart of Redis the first use finds a dead connection.
            retry=Retry(NoBackoff(), 1),
        )
        return cls(client, memory, seal=seal, unseal=unseal)

    async def close(self) -> None:
        """Close the connections to Redis."""
        await self._client.aclose()

    async def _try(self, asked: Callable[[], Awaitable[T]], instead: T) -> T:
        """Ask Redis; return `instead` while it is away."""
        if time.monotonic() < self._away_until:
            return instead
        try:
            return await asked()
        except (redis.exceptions.RedisError, OSError, TimeoutError) as problem:
            self._note_away(problem)
            return instead

    def _note_away(self, problem: Exception) -> None:
        if time.monotonic() < self._away_until:
            return  # several asked at once
        self._away_until = time.monotonic() + AWAY_S
        log.warning("cloud_redis_away", problem=type(problem).__name__)

    def _name(self, kind: str, *parts: str) -> str:
        return ":".join((self._prefix, kind, *parts))

    async def read(self, key: str) -> str | None:
        """Return the text that some worker cached, else what this process has."""
        sealed = await self._try(lambda: self._client.get(self._name("text", key)), None)
        if sealed is None:
            return await self._memory.read(key)
        try:
            return self._unseal(str(sealed))
        except Refused:
            # Written with a key that is gone: a cache that cannot be read is an empty cache.
            log.warning("cloud_cache_unreadable")
            return await self._memory.read(key)

    async def write(self, key: str, text: str, ttl_s: float) -> None:
        """Keep a text, encrypted, for all workers and this process."""
        await self._memory.write(key, text, ttl_s)
        name, sealed = self._name("text", key), self._seal(text)
        await self._try(lambda: self._client.set(name, sealed, px=max(1, int(ttl_s * 1000))), None)

    @contextlib.asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """Be the only worker who logs in. A turn ends by itself after `LOGIN_TURN_S`, should its owner die."""
        lock = self._client.lock(
            self._name("turn", key), timeout=LOGIN_TURN_S, sleep=0.05, blocking_timeout=LOGIN_TURN_S / 2
        )
        nobody_knows: bool | None = None
        got: bool | None = await self._try(lock.acquire, nobody_knows)
        if got is False:
            raise TryLater(
                "Another worker has been logging in to the provider for some time. The portal tries again.",
                after_s=2.0,
                code="login_busy",
            )
        try:
            yield
        finally:
            if got:
                await self._give_back(lock)

    async def _give_back(self, lock: Any) -> None:
        try:
            await lock.release()
        except redis.exceptions.LockError:
            log.info("cloud_login_turn_overrun")  # it had ended by itself; the next one has it
        except (redis.exceptions.RedisError, OSError, TimeoutError) as problem:
            self._note_away(problem)

    async def take(self, tenant: str, bucket: str, rate: Rate, *, max_wait_s: float, part: str = "") -> Slot:
        """Take one call out of a bucket that all workers share; alone by this process's own while away."""
        keys = [self._name("rate", tenant, bucket), self._name("hold", _held(tenant, part))]
        args = [1000 / rate.per_s, rate.burst, max_wait_s * 1000]

        nothing: Slot | None = None
        slot = await self._try(lambda: self._takes.take(keys, args), nothing)
        return slot or await self._memory.take(tenant, bucket, rate, max_wait_s=max_wait_s, part=part)

    async def hold(self, tenant: str, seconds: float, part: str = "") -> None:
        """Let no worker call one part of the provider for a tenant for a time."""
        await self._memory.hold(tenant, seconds, part)
        name = self._name("hold", _held(tenant, part))

        async def ask() -> None:
            await self._hold(keys=[name], args=[int(seconds * 1000)])

        await self._try(ask, None)


async def pace(
    shared: Shared, tenant: str, bucket: str, rate: Rate, *, max_wait_s: float, part: str = ""
) -> None:
    """Wait until this call may be made. Raises TryLater where that would take longer than `max_wait_s`."""
    slot = await shared.take(tenant, bucket, rate, max_wait_s=max_wait_s, part=part)
    if not slot.is_granted:
        raise TryLater(
            "The portal keeps to the provider's limit on calls. Nothing was sent; it asks again by itself.",
            after_s=max(slot.wait_s, 0.1),
            code="rate_limited",
        )
    if slot.wait_s > 0:
        await asyncio.sleep(slot.wait_s)
