"""The one way out to addresses that people typed in or that an answer named: probes, status URLs, endpoints.

What is guaranteed here: the name is resolved once, every address it gives is judged, and the connection goes
to exactly an address that was judged (Host header and TLS name stay those of the URL). Private, loopback,
link-local, metadata, multicast and reserved addresses are refused unless the operator opened them: with
`EGRESS_ALLOW` (exact host:port) and `EGRESS_ALLOW_NETWORKS` (CIDR) for everybody, or for one account, whose
networks a caller hands over with each request (`rules_from_settings(networks)`, `fetch(…, rules=…)`). No
redirects, no proxy from the environment, total time and body capped.

The network layer here also knows whether a request was handed to the network (`HandOver`): that is what tells
"surely nothing was done" from "in doubt" for changes at a provider.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
import re
import ssl
import sys
import time
import weakref
import zlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

import httpcore
import httpx

from portal.errors import ProviderFailed, Refused, TryLater

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

USER_AGENT = "steady-state/1"
MAX_URL_LENGTH = 2000
EACH_ADDRESS_S = 2.0

# Where clouds hand out credentials to whoever asks from inside. An opened network never opens these.
METADATA_ADDRESSES: frozenset[IPAddress] = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd20:ce::254",
    )
)
# The names by which the same are known inside; to the outside most resolve to nothing.
METADATA_NAMES = frozenset({"metadata", "instance-data", "metadata.google.internal", "metadata.goog"})
# Beside what `ipaddress` calls not global: ranges whose judgement changed between Python's patch releases.
_NEVER_GLOBAL: tuple[IPNetwork, ...] = tuple(
    ipaddress.ip_network(text)
    for text in [
        "0.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "240.0.0.0/4",
        "::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "5f00::/16",
        "fec0::/10",
    ]
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Below 1024 only the web's own ports; above it not those of databases, caches and control sockets.
_LOW_PORTS = frozenset({80, 443})
_CLOSED_PORTS = frozenset(
    {
        1433,
        1521,
        2049,
        2375,
        2376,
        2379,
        2380,
        3306,
        3389,
        5432,
        5672,
        5900,
        6000,
        6379,
        6443,
        9092,
        9200,
        9300,
    }
    | {10250, 10255, 11211, 25672, 26379, 27017}
)
_NUMERIC_HOST = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]*))*\.?", re.IGNORECASE)
_UNFIT_IN_URL = re.compile(r"[\x00-\x20\x7f\\]")


@dataclass(frozen=True)
class Rules:
    """What the operator opened: exact `host:port` texts in lower case, and networks."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[IPNetwork, ...] = ()

    def opens(self, host: str, port: int) -> bool:
        """Whether exactly this host and port was opened by name."""
        return _host_port(host, port) in self.hosts


@dataclass(frozen=True)
class Target:
    """A URL that passed the check of its form. `host` is as the connection will use it."""

    url: httpx.URL
    host: str
    port: int


@dataclass(frozen=True)
class Response:
    """What came back. `body` holds at most the bytes that were asked for; `is_cut` says that there was more."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    latency_ms: float
    is_cut: bool = False

    @property
    def text(self) -> str:
        """The body as text; bytes that are no UTF-8 show as replacement characters."""
        return self.body.decode("utf-8", errors="replace")


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
# From `exchange` to the connection that it makes, past httpx, which hands nothing of ours through.
_rules_here: ContextVar[Rules | None] = ContextVar("egress_rules_here", default=None)


@contextlib.contextmanager
def handing_over(hand_over: HandOver) -> Iterator[HandOver]:
    """Watch the requests that this task sends inside the block."""
    mark = _hand_over.set(hand_over)
    try:
        yield hand_over
    finally:
        _hand_over.reset(mark)


def rules_from_settings(networks: Iterable[str] = ()) -> Rules:
    """Return what `EGRESS_ALLOW` and `EGRESS_ALLOW_NETWORKS` open, and the `networks` of whose address it is.

    Raises ValueError for a malformed network.
    """
    from django.conf import settings

    return make_rules(tuple(settings.EGRESS_ALLOW), (*settings.EGRESS_ALLOW_NETWORKS, *networks))


def public_rules() -> Rules:
    """Return rules that open no network at all, only what a desk opened by name: for what is posted to strangers."""
    from django.conf import settings

    return make_rules(tuple(settings.EGRESS_ALLOW))


@lru_cache(maxsize=256)
def make_rules(hosts: tuple[str, ...], networks: tuple[str, ...] = ()) -> Rules:
    """Return rules from their texts, e.g. `("localhost:8080",), ("10.0.0.0/8",)`."""
    return Rules(
        hosts=frozenset(host.strip().lower() for host in hosts if host.strip()),
        networks=tuple(ipaddress.ip_network(text.strip()) for text in networks if text.strip()),
    )


def check_url(url: str, *, allow: Iterable[str] = (), rules: Rules | None = None) -> Target:
    """Return the target of a URL that may be asked, judged without asking the network: for forms.

    `allow` names further `host:port` texts. A name is judged again, by its addresses, when it is used.
    Raises Refused with a sentence.
    """
    return _checked(url, _with_more(rules if rules is not None else rules_from_settings(), allow))


@lru_cache(maxsize=1024)
def _checked(url: str, rules: Rules) -> Target:
    # The same few addresses are asked again and again, and of one text the same is always true.
    if len(url) > MAX_URL_LENGTH or _UNFIT_IN_URL.search(url):
        raise Refused(
            "This address is too long or holds spaces, backslashes or control characters. "
            "Enter it as http://host/path or https://host/path.",
            code="bad_url",
        )
    try:
        parsed = httpx.URL(url)
        _ = (
            parsed.host
        )  # its international form is read only now, and again when it is asked: it must have one
    except (httpx.InvalidURL, UnicodeError, ValueError):
        raise Refused("This is no web address. Enter it as http://host/path.", code="bad_url") from None
    if parsed.scheme not in {"http", "https"}:
        raise Refused("Only addresses that begin with http:// or https:// are asked.", code="bad_scheme")
    if parsed.userinfo:
        raise Refused("An address may not hold a user name or password.", code="userinfo")
    host = parsed.raw_host.decode("ascii", errors="replace").lower()
    if not host:
        raise Refused("This address names no host. Enter it as http://host/path.", code="bad_url")
    port = parsed.port or (443 if parsed.scheme == "https" else 80)
    _check_host(host, port, rules)
    return Target(url=parsed, host=host, port=port)


def _check_host(host: str, port: int, rules: Rules) -> None:
    if rules.opens(host, port):
        return
    if (port < 1024 and port not in _LOW_PORTS) or port in _CLOSED_PORTS or port > 65535:
        raise Refused(
            f"Port {port} is not one that the portal asks. Use 80, 443 or a web port from 1024 on, "
            "or ask the operator to open this host and port.",
            code="closed_port",
        )
    if host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost"):
        _refuse_closed("the portal's own machine")
    if host.rstrip(".") in METADATA_NAMES or host.rstrip(".").endswith(".metadata.google.internal"):
        _refuse_closed("a cloud's metadata service")
    address = _literal(host)
    if address is None and _NUMERIC_HOST.fullmatch(host):
        raise Refused(
            "This host is a number in an unusual form. Write the address as four decimal numbers.",
            code="odd_address",
        )
    if address is not None:
        _check_address(address, rules)


def _check_address(address: IPAddress, rules: Rules) -> None:
    kind = why_closed(address, rules)
    if kind:
        _refuse_closed(kind)


def _refuse_closed(kind: str) -> NoReturn:
    raise Refused(
        f"This address leads to {kind}, which the portal does not ask. "
        "If it is meant, the operator can open the network for the account.",
        code="closed_address",
    )


def why_closed(address: IPAddress, rules: Rules) -> str | None:
    """Return what an address is that keeps it closed, as words for a sentence; None if it may be asked."""
    inner = _embedded(address)
    if inner is not None:
        # An address inside an address is judged as the one at which the packet arrives.
        return why_closed(inner, rules)
    plain = _without_scope(address)
    if plain in METADATA_ADDRESSES:
        return "a cloud's metadata service"
    if any(plain in network for network in rules.networks if network.version == plain.version):
        return None
    if plain.is_loopback:
        return "the portal's own machine"
    if plain.is_link_local:
        return "a link-local address"
    if plain.is_multicast:
        return "a multicast address"
    if plain.is_unspecified or any(
        plain in network for network in _NEVER_GLOBAL if network.version == plain.version
    ):
        return "a reserved address"
    if plain.is_private:
        return "a private network"
    if plain.is_reserved or not plain.is_global:
        return "a reserved address"
    return None


def _embedded(address: IPAddress) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address at which a packet to this IPv6 address ends, if it is one of those."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _without_scope(address: IPAddress) -> IPAddress:
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return ipaddress.IPv6Address(int(address))
    return address


def _literal(host: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _host_port(host: str, port: int) -> str:
    bare = host.strip("[]").lower()
    return f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"


def _with_more(rules: Rules, allow: Iterable[str]) -> Rules:
    more = frozenset(text.strip().lower() for text in allow)
    return Rules(rules.hosts | more, rules.networks) if more else rules


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """Return every address of a name, in the system's order. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=1)  # 1 is SOCK_STREAM
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def addresses_of(host: str, port: int, *, rules: Rules, timeout_s: float = 10.0) -> Sequence[str]:
    """Return every address of a host, each judged, for a program of ours that connects by itself.

    Raises Refused for a closed one, TryLater where the name cannot be resolved.
    """
    _check_host(host, port, rules)
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
        rules = _with_more(_rules_here.get() or self._rules(), _opened_here.get())
        _check_host(host, port, rules)
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
        if _literal(host) is not None:
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
                _check_address(ipaddress.ip_address(text), rules)
        return addresses

    async def _connect_first(self, addresses: Sequence[str], port: int) -> httpcore.AsyncNetworkStream:
        last: OSError | None = None
        for place, address in enumerate(addresses, start=1):
            # An address that swallows packets must not use up the time of those after it.
            patience_s = None if place == len(addresses) else EACH_ADDRESS_S
            try:
                async with asyncio.timeout(patience_s):
                    return await _Stream.open(address, port)
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


class _Stream(httpcore.AsyncNetworkStream):
    """An asyncio stream for httpcore. Its write is synchronous up to the socket: no other task runs between
    the check of `HandOver.not_after` and the system call.
    """

    def __init__(self, reader: _Reader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: str, port: int) -> _Stream:
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


class _Connections:
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

    async def __aenter__(self) -> _Connections:
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


class CheckedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport over `CheckedBackend`."""

    def __init__(
        self,
        *,
        limits: httpx.Limits,
        rules: Callable[[], Rules] = rules_from_settings,
        resolver: Resolver = system_resolver,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        context = ssl_context or _ssl_context()
        super().__init__(verify=context, trust_env=False, limits=limits)
        backend = CheckedBackend(rules, resolver)
        # httpx offers no parameter for the network backend.
        self._pool = _Connections(  # type: ignore[assignment]  # all that httpx asks of its pool
            ssl_context=context, network_backend=backend, limits=limits
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        hand_over = _hand_over.get()
        if hand_over is not None:
            hand_over.was_watched = True
        return await super().handle_async_request(request)


def _ssl_context() -> ssl.SSLContext:
    from django.conf import settings

    return trusting(settings.EGRESS_CA_FILE)


@lru_cache(maxsize=4)
def trusting(ca_file: str) -> ssl.SSLContext:
    """Return what trusts the public authorities and those of a file (PEM), "" for none. Raises OSError where it cannot be read.

    One context for all: building it reads every root certificate (15 ms).
    """
    context = httpx.create_ssl_context(trust_env=False)
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    return context


_transports: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncBaseTransport] = (
    weakref.WeakKeyDictionary()
)


def _transport() -> httpx.AsyncBaseTransport:
    loop = asyncio.get_running_loop()
    transport = _transports.get(loop)
    if transport is None:
        # No connection is kept: a probe that reuses one would not notice that nobody new gets in, and one that was
        # opened by the rules of one account must not serve another's request.
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=0)
        transport = _transports[loop] = CheckedTransport(limits=limits)
    return transport


async def close() -> None:
    """Close this event loop's transport. A later `fetch` opens a new one."""
    transport = _transports.pop(asyncio.get_running_loop(), None)
    if transport is not None:
        await transport.aclose()


@asynccontextmanager
async def answer_to(
    transport: httpx.AsyncBaseTransport,
    method: str,
    url: httpx.URL,
    *,
    headers: Mapping[str, str],
    timeout_s: float,
    params: Mapping[str, str] | None = None,
    content: bytes | None = None,
    json: Any = None,
) -> AsyncIterator[httpx.Response]:
    """Ask and give the answer as it begins; its body ends with the block. `timeout_s` is of each step. Raises httpx.TransportError.

    By the transport alone: of what httpx's client adds (cookies, redirects, log-ins) nothing is wanted here, and it
    takes a third of the time of a request.
    """
    request = httpx.Request(
        method,
        url,
        params=params,
        headers={"Accept": "*/*", **headers},
        content=content,
        json=json,
        extensions={"timeout": httpx.Timeout(timeout_s).as_dict()},
    )
    answer = await transport.handle_async_request(request)
    try:
        yield answer
    finally:
        await answer.aclose()


async def fetch(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 10.0,
    max_bytes: int = 256 * 1024,
    allow: Iterable[str] = (),
    rules: Rules | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Response:
    """Ask a URL once and return what came back, whatever its status.

    `timeout_s` is the total time, from name to last byte; of the body at most `max_bytes` are read (after
    decompression) and `Response.is_cut` tells of more. Only GET and HEAD. `rules` are those of whose address
    it is, for this one call (without them the settings'); `allow` opens further exact `host:port` texts. Raises
    Refused (rules), TryLater (no connection, no answer in time) or ProviderFailed (no valid TLS or HTTP).
    """
    if method not in {"GET", "HEAD"}:
        raise Refused("Only GET and HEAD are asked of typed-in addresses.", code="bad_method")
    return await exchange(
        url,
        method=method,
        headers=headers,
        timeout_s=timeout_s,
        max_bytes=max_bytes,
        allow=allow,
        rules=rules,
        transport=transport,
    )


async def exchange(
    url: str,
    *,
    method: str,
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
    timeout_s: float = 10.0,
    max_bytes: int = 256 * 1024,
    allow: Iterable[str] = (),
    rules: Rules | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Response:
    """Like `fetch`, for whoever must send something: `content` goes as the body. The same rules and limits."""
    opened = frozenset(text.strip().lower() for text in allow)
    target = check_url(url, allow=opened, rules=rules)
    sent = {"User-Agent": USER_AGENT, **(headers or {}), "Accept-Encoding": "identity"}
    mark, mark_rules = _opened_here.set(opened), _rules_here.set(rules)
    began = time.perf_counter()
    try:
        async with asyncio.timeout(timeout_s):
            async with answer_to(
                transport or _transport(),
                method,
                target.url,
                headers=sent,
                content=content,
                timeout_s=timeout_s,
            ) as answer:
                body, is_cut = await _read_capped(answer, max_bytes)
                return Response(
                    status=answer.status_code,
                    headers=dict(answer.headers),
                    body=body,
                    latency_ms=(time.perf_counter() - began) * 1000,
                    is_cut=is_cut,
                )
    except (TimeoutError, httpx.TimeoutException):
        raise TryLater(
            f"{target.host} gave no complete answer within {timeout_s:g} s.",
            after_s=timeout_s,
            code="timeout",
        ) from None
    except httpx.ConnectError as problem:
        if _is_tls(problem):
            raise ProviderFailed(
                f"{target.host} has no certificate that the portal trusts for this name.", code="tls"
            ) from problem
        raise TryLater(
            f"No connection to {target.host} on port {target.port}.", after_s=5.0, code="unreachable"
        ) from problem
    except (httpx.RemoteProtocolError, httpx.DecodingError, zlib.error) as problem:
        raise ProviderFailed(
            f"{target.host} ended the connection or answered with something that is not HTTP.",
            code="not_http",
        ) from problem
    except httpx.TransportError as problem:
        raise TryLater(
            f"The connection to {target.host} broke before its answer was complete.",
            after_s=5.0,
            code="broken",
        ) from problem
    finally:
        _opened_here.reset(mark)
        _rules_here.reset(mark_rules)


def _is_tls(problem: BaseException) -> bool:
    seen: BaseException | None = problem
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


async def _read_capped(answer: httpx.Response, max_bytes: int) -> tuple[bytes, bool]:
    """Return at most `max_bytes` of the decoded body and whether there was more.

    Decompression is capped too: a few bytes of gzip can stand for gigabytes.
    """
    coding = answer.headers.get("content-encoding", "").strip().lower()
    opener = zlib.decompressobj(wbits=47) if coding in {"gzip", "x-gzip", "deflate"} else None
    body = bytearray()
    async for chunk in answer.aiter_raw():
        room = max_bytes + 1 - len(body)
        body += opener.decompress(chunk, room) if opener else chunk[:room]
        if len(body) > max_bytes:
            return bytes(body[:max_bytes]), True
    return bytes(body), False
