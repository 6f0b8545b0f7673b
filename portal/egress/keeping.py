"""What stands in the place of httpcore's pool (decision 51): a connection for each request, some kept for later ones."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpcore
import httpx


class Connections:
    """What stands in the place of httpcore's pool: a connection for each request, `kept` of them for later ones.

    httpcore 1.0.9 goes over all pairs of its connections as each request begins and ends, which with a hundred of them costs
    more than the request, and one that is cancelled before it connects keeps its place for good (its issue 1093). `most`
    requests are on their way at once; who comes then waits. HTTP/1.1 only: a connection has one request at a time.
    """

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext,
        network_backend: httpcore.AsyncNetworkBackend,
        limits: httpx.Limits,
    ) -> None:
        self._ssl_context = ssl_context
        self._backend = network_backend
        most = limits.max_connections
        self._places = asyncio.Semaphore(most) if most is not None else None
        kept = limits.max_keepalive_connections
        self._kept = sys.maxsize if kept is None else kept
        self._kept_s = limits.keepalive_expiry
        self._idle: dict[tuple[bytes, bytes, int], deque[httpcore.AsyncHTTPConnection]] = {}
        """By where they lead, the one that was used last at the end."""

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Ask on a connection that is free, or on a new one; it is free again once the answer's stream is closed."""
        origin = request.url.origin
        await self._take_place(request)
        connection: httpcore.AsyncHTTPConnection | None = None
        try:
            connection = await self._idle_one(origin) or httpcore.AsyncHTTPConnection(
                origin,
                ssl_context=self._ssl_context,
                keepalive_expiry=self._kept_s,
                network_backend=self._backend,
            )
            answer = await connection.handle_async_request(request)
        except BaseException:
            await self._end(origin, connection)
            raise
        stream = _LastStream(answer.stream, lambda: self._end(origin, connection))
        return httpcore.Response(
            answer.status, headers=answer.headers, content=stream, extensions=answer.extensions
        )

    async def _take_place(self, request: httpcore.Request) -> None:
        if self._places is None:
            return
        if not self._places.locked():
            await self._places.acquire()  # at once
            return
        try:
            async with asyncio.timeout(request.extensions.get("timeout", {}).get("pool")):
                await self._places.acquire()
        except TimeoutError:
            raise httpcore.PoolTimeout("too many requests are on their way") from None

    async def _idle_one(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection | None:
        """Return a connection that the other side has not ended, or None; those that it has are closed."""
        idle = self._idle.get(_key(origin))
        while idle:
            connection = idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return None

    async def _end(self, origin: httpcore.Origin, connection: httpcore.AsyncHTTPConnection | None) -> None:
        if self._places is not None:
            self._places.release()
        if connection is None:
            return
        idle = self._idle.get(_key(origin)) or deque()
        # To httpcore one that never came about is idle, and expired.
        is_of_use = connection.is_idle() and not connection.has_expired() and not _has_more(connection)
        if is_of_use and len(idle) < self._kept:
            idle.append(connection)
            self._idle[_key(origin)] = idle
        else:
            await connection.aclose()
        while idle and idle[0].has_expired():
            await idle.popleft().aclose()

    async def __aenter__(self) -> Connections:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close what is kept; what is on its way ends with its request."""
        self._kept = 0
        for idle in self._idle.values():
            while idle:
                await idle.popleft().aclose()


def _has_more(connection: httpcore.AsyncHTTPConnection) -> bool:
    """Whether more came than the answer that was read: it would be taken for the next one. httpcore does not tell."""
    state = getattr(getattr(connection, "_connection", None), "_h11_state", None)
    return state is not None and bool(state.trailing_data[0])


def _key(origin: httpcore.Origin) -> tuple[bytes, bytes, int]:
    return origin.scheme, origin.host, origin.port


class _LastStream:
    """The body of an answer; what is to be done with its connection is done as it ends, once."""

    def __init__(self, stream: Any, end: Callable[[], Awaitable[None]]) -> None:
        self._stream = stream
        self._end: Callable[[], Awaitable[None]] | None = end

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield part

    async def aclose(self) -> None:
        end, self._end = self._end, None
        if end is None:
            return
        try:
            await self._stream.aclose()
        finally:
            await end()
