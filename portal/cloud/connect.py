"""From credentials to a client that is ready to use, and the read-only test of what credentials may do.

Clients belong to the running event loop: one HTTP client per provider endpoint with a bounded pool (a single
one with hundreds of open connections was itself the bottleneck), one connection to Redis, one cloud object
per credentials. A process that ends its loop closes them with `close_all`.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

import httpx
from django.conf import settings

from portal import crypto, egress
from portal.cloud.protocol import Cloud
from portal.cloud.rackspace import RackspaceCloud
from portal.cloud.rackspace_wire import BALANCERS, IDENTITY, RATES, SERVERS, Options
from portal.cloud.shared import MemoryShared, Rate, RedisShared, Shared
from portal.cloud.types import Credentials
from portal.errors import ProviderFailed, Refused, TryLater

__all__ = [
    "CheckLine",
    "CheckOutcome",
    "ConnectionCheck",
    "Credentials",
    "check_connection",
    "close_all",
    "cloud_for",
    "look_once",
]

T = TypeVar("T")

# The provider closes idle connections after 30 s (reference, 2): we let go first. A hundred runs that look at once ask three
# hundred things; of what takes 0.3 s so many places let two hundred a second through.
_LIMITS = httpx.Limits(max_connections=60, max_keepalive_connections=20, keepalive_expiry=20.0)


@dataclass
class _Loop:
    """What belongs to one event loop."""

    shared: Shared
    transports: dict[str, httpx.AsyncBaseTransport] = field(default_factory=dict)
    clouds: dict[tuple[Credentials, bool], RackspaceCloud] = field(default_factory=dict)

    def transport_for(self, origin: str) -> httpx.AsyncBaseTransport:
        """Return the connections to one endpoint, e.g. `https://dfw.servers.example.com`."""
        transport = self.transports.get(origin)
        if transport is None:
            transport = self.transports[origin] = egress.CheckedTransport(limits=_LIMITS)
        return transport


_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = weakref.WeakKeyDictionary()
# Outlives the loops of one process, so that a page that looks once does not log in each time without Redis.
_memory = MemoryShared()


def _here() -> _Loop:
    loop = asyncio.get_running_loop()
    here = _loops.get(loop)
    if here is None:
        shared: Shared = _memory
        if settings.REDIS_URL and crypto.has_keys():
            # Without a key to encrypt with, tokens stay inside the process.
            shared = RedisShared.from_url(
                settings.REDIS_URL, _memory, seal=crypto.encrypt, unseal=crypto.decrypt
            )
        here = _loops[loop] = _Loop(shared)
    return here


def cloud_for(credentials: Credentials, *, rehearsal: bool = False) -> RackspaceCloud:
    """Return the client for these credentials, the same one each time within one event loop.

    In a rehearsal every change is withheld by the client itself and answered with `Withheld`; reads pass.
    Needs a running event loop. Raises Refused for a provider that the portal does not speak to.
    """
    if credentials.provider != "rackspace":
        raise Refused(
            f"The portal does not speak to the provider {credentials.provider!r} yet.",
            code="unknown_provider",
        )
    here = _here()
    cloud = here.clouds.get((credentials, rehearsal))
    if cloud is None:
        cloud = here.clouds[credentials, rehearsal] = RackspaceCloud(
            credentials,
            shared=here.shared,
            transport_for=here.transport_for,
            options=_options(),
            is_rehearsal=rehearsal,
        )
    return cloud


def _options() -> Options:
    """Return the client's options with the documented rates times `CLOUD_RATE_FACTOR`."""
    factor = settings.CLOUD_RATE_FACTOR
    return Options(
        rates={
            call: rate
            if call[0] == IDENTITY
            else Rate(rate.per_s * factor, max(1, round(rate.burst * factor)))
            for call, rate in RATES.items()
        }
    )


async def close_all() -> None:
    """Close every connection of the running event loop to providers, sites and Redis."""
    here = _loops.pop(asyncio.get_running_loop(), None)
    await egress.close()
    if here is None:
        return
    for transport in here.transports.values():
        await transport.aclose()
    if isinstance(here.shared, RedisShared):
        await here.shared.close()


def look_once(credentials: Credentials, look: Callable[[Cloud], Awaitable[T]]) -> T:
    """Run one read-only look from code that has no event loop (a page, a command) and clean up after it.

    The client is a rehearsing one, so that a look can never change anything.
    """

    async def turn() -> T:
        try:
            return await look(cloud_for(credentials, rehearsal=True))
        finally:
            await close_all()

    return asyncio.run(turn())


class CheckOutcome(StrEnum):
    """What the test of a connection found out about one thing."""

    OK = "ok"
    NOT = "not"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class CheckLine:
    """One thing that credentials may do, may not do, or of which it is not known."""

    name: str
    outcome: CheckOutcome
    says: str


@dataclass(frozen=True)
class ConnectionCheck:
    """The result of a read-only test, line by line."""

    lines: tuple[CheckLine, ...]
    checked_at: datetime

    @property
    def is_usable(self) -> bool:
        """Whether the portal can log in and read load balancers and servers."""
        needed = {"log_in", "balancers", "servers"}
        return all(line.outcome is CheckOutcome.OK for line in self.lines if line.name in needed)

    def as_json(self) -> dict[str, object]:
        """Return it as JSON-able values, for a column and the API."""
        return {
            "is_usable": self.is_usable,
            "checked_at": self.checked_at.isoformat(),
            "lines": [
                {"name": line.name, "outcome": line.outcome.value, "says": line.says} for line in self.lines
            ],
        }


async def check_connection(cloud: Cloud, *, now: Callable[[], datetime] | None = None) -> ConnectionCheck:
    """Find out what the credentials may do, without changing anything. Never raises the four troubles."""
    lines: list[CheckLine] = []
    roles: tuple[str, ...] | None = None

    async def look(name: str, act: Callable[[], Awaitable[str]]) -> None:
        try:
            lines.append(CheckLine(name, CheckOutcome.OK, await act()))
        except TryLater as trouble:
            lines.append(CheckLine(name, CheckOutcome.UNKNOWN, trouble.says))
        except (ProviderFailed, Refused) as trouble:
            lines.append(CheckLine(name, CheckOutcome.NOT, trouble.says))

    async def log_in() -> str:
        nonlocal roles
        if isinstance(cloud, RackspaceCloud):
            roles = (await cloud.session()).roles
        return f"Log-in works for account {cloud.identity.tenant} in {cloud.identity.region}."

    async def balancers() -> str:
        found = len(await cloud.list_balancers())
        return f"Load balancers can be read: {found} found."

    async def servers() -> str:
        found = len(await cloud.list_servers())
        return f"Servers can be read: {found} found."

    await look("log_in", log_in)
    if lines[0].outcome is CheckOutcome.OK:
        await look("balancers", balancers)
        await look("servers", servers)
        if isinstance(cloud, RackspaceCloud):
            await look("limits", lambda: _limits(cloud))
        lines.append(_may_change("change_balancers", "load balancers", "lbaas", roles))
        lines.append(_may_change("delete_servers", "servers", "nova", roles))
    return ConnectionCheck(tuple(lines), (now or _now)())


def _now() -> datetime:
    return datetime.now(UTC)


async def _limits(cloud: RackspaceCloud) -> str:
    """Return a sentence on the tightest limit for reads: the portal looks more often than it changes."""
    per_s = {"SECOND": 1.0, "MINUTE": 1 / 60, "HOUR": 1 / 3600, "DAY": 1 / 86400}
    reads: list[tuple[float, str]] = []
    for service, label in ((BALANCERS, "load balancers"), (SERVERS, "servers")):
        for limit in await cloud.rate_limits(service):
            unit = limit.unit.upper().rstrip("S")
            if limit.verb.upper() in {"GET", "ALL"} and unit in per_s:
                reads.append(
                    (
                        limit.value * per_s[unit],
                        f"{limit.value} a {unit.lower()} for {label} ({limit.uri or '*'})",
                    )
                )
    if not reads:
        return "Limits can be read; the provider names none for reads."
    return f"Limits can be read. The tightest for reads: {min(reads)[1]}."


def _may_change(name: str, what: str, product: str, roles: tuple[str, ...] | None) -> CheckLine:
    """Judge by the names of the roles (reference, 1.3 RBAC): changing something to find out is no test."""
    if roles is None:
        return CheckLine(name, CheckOutcome.UNKNOWN, f"Whether {what} may be changed is not known.")
    words = {role.lower() for role in roles}
    admins = {"admin", f"{product}:admin", "identity:user-admin", "identity:admin"}
    if words & admins:
        return CheckLine(name, CheckOutcome.OK, f"A role allows changing and deleting {what}.")
    if words & {"creator", f"{product}:creator"}:
        return CheckLine(
            name, CheckOutcome.NOT, f"The role allows changing {what} but not deleting anything of them."
        )
    if words & {"observer", f"{product}:observer"}:
        return CheckLine(name, CheckOutcome.NOT, f"The role allows reading {what} only.")
    return CheckLine(
        name, CheckOutcome.UNKNOWN, f"The user's roles do not tell whether {what} may be changed."
    )
