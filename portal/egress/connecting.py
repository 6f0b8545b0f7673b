"""The network below HTTP: connections to addresses that passed the rules, which know whether a request was handed over.

`HandOver` is what tells "surely nothing was done" from "in doubt" for changes at a provider.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpcore

from portal.egress.rules import (
    Rules,
    check_address,
    check_host,
    literal,
    rules_from_settings,
    with_more,
)
from portal.errors import TryLater

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

EACH_ADDRESS_S = 2.0


class TooLateToSend(Exception):
    """The moment until which a request could be handed to the network has passed. Nothing was sent."""


@dataclass
class HandOver:
    """Watches one request on its way to the network.

    `not_after` is a value of `time.monotonic()`. `was_watched` says that a transport of this module carried
    the request, so that `was_sent` can be believed; with any other transport a request counts as sent.
    """

    not_after: float = math.inf
    was_watched: bool = False
    was_sent: bool = False

    def pass_or_raise(self) -> None:
        """Let the first byte of the request go, or raise TooLateToSend. Called right before the socket."""
        if not self.was_sent:
            if time.monotonic() >= self.not_after:
                raise TooLateToSend
            self.was_sent = True

    @property
    def surely_not_sent(self) -> bool:
        """Whether it is certain that no byte of the request reached the network."""
        return self.was_watched and not self.was_sent


_hand_over: ContextVar[HandOver | None] = ContextVar("egress_hand_over", default=None)
_opened_here: ContextVar[frozenset[str]] = ContextVar("egress_opened_here", default=frozenset())
_rules_here: ContextVar[Rules | None] = ContextVar("egress_rules_here", default=None)


@contextlib.contextmanager
def handing_over(hand_over: HandOver) -> Iterator[HandOver]:
    """Watch the requests that this task sends inside the block."""
    mark = _hand_over.set(hand_over)
    try:
        yield hand_over
    finally:
        _hand_over.reset(mark)


def watch_hand_over() -> None:
    """Note that a transport of ours carries this task's request, so that its `was_sent` can be believed."""
    hand_over = _hand_over.get()
    if hand_over is not None:
        hand_over.was_watched = True


@contextlib.contextmanager
def connecting_by(rules: Rules | None, opened: frozenset[str]) -> Iterator[None]:
    """Judge the connections that this task makes inside the block by these rules (None: the transport's own).

    From `exchange` to its connection, past httpx, which hands nothing of ours through. `opened` are further `host:port` texts.
    """
    mark, mark_rules = _opened_here.set(opened), _rules_here.set(rules)
    try:
        yield
    finally:
        _opened_here.reset(mark)
        _rules_here.reset(mark_rules)


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """Return every address of a name, in the system's order. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=1)  # 1 is SOCK_STREAM
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def addresses_of(host: str, port: int, *, rules: Rules, timeout_s: float = 10.0) -> Sequence[str]:
    """Return every address of a host, each judged, for a program of ours that connects by itself.

    Raises Refused for a closed one, TryLater where the name cannot be resolved.
    """
    check_host(host, port, rules)
    try:
        async with asyncio.timeout(timeout_s):
            return await CheckedBackend(rules_from_settings, system_resolver).addresses(host, port, rules)
    except OSError:  # TimeoutError is one
        raise TryLater(f"{host} could not be resolved.", after_s=timeout_s, code="unresolved") from None


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to addresses that passed the rules and to no other. One name is resolved once per connection."""

    def __init__(self, rules: Callable[[], Rules], resolver: Resolver) -> None:
        self._rules = rules
        self._resolver = resolver

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve, judge every address, connect to the first of them that answers. Raises Refused."""
        rules = with_more(_rules_here.get() or self._rules(), _opened_here.get())
        check_host(host, port, rules)
        try:
            async with asyncio.timeout(timeout):
                addresses = await self.addresses(host, port, rules)
                return await self._connect_first(addresses, port)
        except TimeoutError:
            raise httpcore.ConnectTimeout("no connection in time") from None
        except OSError as problem:
            raise httpcore.ConnectError(type(problem).__name__) from problem

    async def addresses(self, host: str, port: int, rules: Rules) -> Sequence[str]:
        """Return the addresses of a name, all of them judged. Raises Refused, OSError."""
        if literal(host) is not None:
            return [host.strip("[]")]
        try:
            addresses = await self._resolver(host, port)
        except UnicodeError as problem:
            raise OSError("the name cannot be asked for") from problem
        if not addresses:
            raise OSError("the name has no address")
        if not rules.opens(host, port):
            # One closed address among open ones is a trap for clients that take the next one: refuse all.
            for text in addresses:
                check_address(ipaddress.ip_address(text), rules)
        return addresses

    async def _connect_first(self, addresses: Sequence[str], port: int) -> httpcore.AsyncNetworkStream:
        last: OSError | None = None
        for place, address in enumerate(addresses, start=1):
            # An address that swallows packets must not use up the time of those after it.
            patience_s = None if place == len(addresses) else EACH_ADDRESS_S
            try:
                async with asyncio.timeout(patience_s):
                    return await Stream.open(address, port)
            except OSError as problem:  # TimeoutError is one
                last = problem
        raise last if last is not None else OSError("no address to connect to")

    async def sleep(self, seconds: float) -> None:
        """Wait; httpcore asks for it between connection attempts."""
        await asyncio.sleep(seconds)


class _Reader(asyncio.StreamReader):
    """A stream reader that knows how much came and was not read."""

    unread = 0

    def feed_data(self, data: Any) -> None:
        """Take in what came."""
        self.unread += len(data)
        super().feed_data(data)


class Stream(httpcore.AsyncNetworkStream):
    """An asyncio stream for httpcore. Its write is synchronous up to the socket: no other task runs between
    the check of `HandOver.not_after` and the system call.
    """

    def __init__(self, reader: _Reader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: str, port: int) -> Stream:
        """Connect, as `asyncio.open_connection` does. Raises OSError."""
        loop = asyncio.get_running_loop()
        reader = _Reader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await loop.create_connection(lambda: protocol, address, port)
        return cls(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            async with asyncio.timeout(timeout):
                data = await self._reader.read(max_bytes)
                self._reader.unread -= len(data)
                return data
        except TimeoutError:
            raise httpcore.ReadTimeout("no answer in time") from None
        except OSError as problem:
            raise httpcore.ReadError(type(problem).__name__) from problem

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        if self._writer.is_closing() or self._reader.at_eof():
            raise httpcore.WriteError("the connection was closed by the other side")
        hand_over = _hand_over.get()
        try:
            if hand_over is not None:
                hand_over.pass_or_raise()
            self._writer.write(buffer)
            async with asyncio.timeout(timeout):
                await self._writer.drain()
        except TimeoutError:
            raise httpcore.WriteTimeout("the request could not be sent in time") from None
        except OSError as problem:
            raise httpcore.WriteError(type(problem).__name__) from problem

    async def aclose(self) -> None:
        self._writer.close()
        # One turn of the loop lets the transport close; the other side's farewell is not waited for.
        await asyncio.sleep(0)

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        except TimeoutError:
            self._writer.close()
            raise httpcore.ConnectTimeout("no TLS connection in time") from None
        except OSError as problem:  # ssl.SSLError is one
            self._writer.close()
            raise httpcore.ConnectError(type(problem).__name__) from problem
        return self

    def get_extra_info(self, info: str) -> Any:
        names = {
            "ssl_object": "ssl_object",
            "client_addr": "sockname",
            "server_addr": "peername",
            "socket": "socket",
        }
        if info == "is_readable":
            # httpcore asks this of an idle connection. What came on it unasked, such as the 408 with which a balancer ends
            # what was idle for long, would be taken for the answer to the next request.
            return self._writer.is_closing() or self._reader.at_eof() or self._reader.unread > 0
        return self._writer.get_extra_info(names[info]) if info in names else None
