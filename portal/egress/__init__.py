"""The one way out to addresses that people typed in or that an answer named: probes, status URLs, endpoints.

What is guaranteed here: the name is resolved once, every address it gives is judged, and the connection goes
to exactly an address that was judged (Host header and TLS name stay those of the URL). No redirects, no proxy from
the environment, total time and body capped.

`rules` says what may be asked, `connecting` connects and knows whether a request was handed to the network,
`keeping` keeps connections for later requests; here is what others call.
"""

from __future__ import annotations

import asyncio
import ssl
import time
import weakref
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import httpx

from portal.egress.connecting import (
    CheckedBackend,
    HandOver,
    Resolver,
    TooLateToSend,
    addresses_of,
    connecting_by,
    handing_over,
    system_resolver,
    watch_hand_over,
)
from portal.egress.keeping import Connections
from portal.egress.rules import (
    METADATA_ADDRESSES,
    IPNetwork,
    Rules,
    Target,
    check_url,
    make_rules,
    public_rules,
    rules_from_settings,
    why_closed,
)
from portal.errors import ProviderFailed, Refused, TryLater

__all__ = [
    "METADATA_ADDRESSES",
    "CheckedBackend",
    "CheckedTransport",
    "HandOver",
    "IPNetwork",
    "Response",
    "Rules",
    "Target",
    "TooLateToSend",
    "addresses_of",
    "answer_to",
    "check_url",
    "close",
    "exchange",
    "fetch",
    "handing_over",
    "make_rules",
    "public_rules",
    "rules_from_settings",
    "system_resolver",
    "trusting",
    "why_closed",
]

USER_AGENT = "steady-state/1"


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
        self._pool = Connections(  # type: ignore[assignment]  # all that httpx asks of its pool
            ssl_context=context, network_backend=backend, limits=limits
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        watch_hand_over()
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


_transports: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[bool, httpx.AsyncBaseTransport]] = (
    weakref.WeakKeyDictionary()
)


def _transport(*, is_timed: bool = False) -> httpx.AsyncBaseTransport:
    mine = _transports.setdefault(asyncio.get_running_loop(), {})
    if is_timed not in mine:
        # No connection is kept: a probe that reuses one would not notice that nobody new gets in, and one that was
        # opened by the rules of one account must not serve another's request.
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=0)
        mine[is_timed] = CheckedTransport(limits=limits)
    return mine[is_timed]


async def close() -> None:
    """Close this event loop's transports. A later `fetch` opens a new one."""
    for transport in _transports.pop(asyncio.get_running_loop(), {}).values():
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
    is_timed: bool = False,
) -> Response:
    """Ask a URL once and return what came back, whatever its status.

    `timeout_s` is the total time, from name to last byte; of the body at most `max_bytes` are read (after
    decompression) and `Response.is_cut` tells of more. Only GET and HEAD. `rules` are those of whose address
    it is, for this one call (without them the settings'); `allow` opens further exact `host:port` texts. What `is_timed`
    waits for no place among the hundred connections that others hold: the wait would be taken for the site's. Raises
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
        transport=transport or _transport(is_timed=is_timed),
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
    began = time.perf_counter()
    try:
        with connecting_by(rules, opened):
            async with (
                asyncio.timeout(timeout_s),
                answer_to(
                    transport or _transport(),
                    method,
                    target.url,
                    headers=sent,
                    content=content,
                    timeout_s=timeout_s,
                ) as answer,
            ):
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
