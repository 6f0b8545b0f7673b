"""One fresh and complete look at a pool for planning: read before any transaction begins.

pool = read_pool(connection, plan_balancers)      # seconds, HTTP, no database
submit_plan(plan, actor=user, pool=pool)          # milliseconds, database, no HTTP
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.utils import timezone

from accounts.clouds import credentials_of
from portal.cloud.connect import look_once
from portal.cloud.guarded import read_or_say
from portal.cloud.protocol import Cloud
from portal.cloud.together import together
from portal.cloud.types import BalancerRef, Server, Watched
from portal.errors import ProviderFailed, Refused, Trouble, TryLater
from scaledown import alarms
from scaledown.candidates import Pool, servers_of
from scaledown.planner import check_balancers

if TYPE_CHECKING:
    from accounts.models import CloudConnection

LOOK_DEADLINE_S = 25.0
"""Total time for one look: a person waits for it."""
SHORT_LOOK_S = 6.0
"""Total time for the look at one server: who protects it may be in a hurry, and needs no answer for it."""
MONITORING_S = 5.0
"""How long the provider's monitoring may take to say what it measures."""
_AT_ONCE = 6
RELOOK_S = 5.0
MOST_SHOWN = 100
"""So many load balancers are read one by one for a look; the provider allows 10 reads a second in each region (reference, 2.10)."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


async def look(cloud: Cloud, balancer_ids: Sequence[str], at: datetime) -> Pool:
    """Return the pool as the provider shows it now, or raise: never a part of it.

    Raises Refused for a balancer that does not exist, TryLater and ProviderFailed as the cloud does.
    """
    shown, servers = await together(
        together(*(cloud.show_balancer(balancer_id) for balancer_id in balancer_ids)),
        cloud.list_servers(),
    )
    missing = [ref for ref, balancer in zip(balancer_ids, shown, strict=True) if balancer is None]
    if missing:
        raise Refused(
            f"Load balancer {', '.join(missing)} was not found at the provider. Choose another one.",
            code="balancer_missing",
        )
    balancers = tuple(balancer for balancer in shown if balancer is not None)
    of_pool = servers_of(balancers, servers)
    few = asyncio.Semaphore(_AT_ONCE)

    async def volumes(server: Server) -> tuple[str, ...] | None:
        async with few:
            return await cloud.attached_volumes(server.id)

    async def watched() -> Watched | None:
        """Which evidence there will be, and what fires, is worth knowing; a plan without it says so."""
        could, found = await read_or_say("", cloud.watched(), [], limit_s=MONITORING_S)
        return found if could else None

    held, attached, monitoring = await together(
        cloud.addresses_everywhere(most=MOST_SHOWN),
        together(*(volumes(server) for server in of_pool)),
        watched(),
    )
    unlisted: set[str] = set()
    if held is None:
        held = await _found(cloud, sorted({address for server in of_pool for address in server.addresses}))
    else:
        unlisted = {balancer.id for balancer in balancers if balancer.nodes} - {ref.id for ref, _ in held}
    if unlisted:
        # A look everywhere that does not find what is there proves nothing of the rest.
        raise TryLater(
            f"The provider's list lacks load balancer {', '.join(sorted(unlisted))}, which it shows. Look again.",
            after_s=RELOOK_S,
            code="contradiction",
        )
    by_name: dict[str, set[str]] = {}
    holders: dict[str, set[str]] = {address: set() for server in of_pool for address in server.addresses}
    for ref, address in held:
        if address in holders:
            holders[address].add(ref.id)
        elif _is_name(address) and ref.id not in balancer_ids:
            by_name.setdefault(f"{ref.name} ({ref.id})", set()).add(address)
    return Pool(
        identity=cloud.identity,
        balancers=balancers,
        servers=tuple(servers),
        holders={address: tuple(sorted(ids)) for address, ids in holders.items()},
        volumes={server.id: volume for server, volume in zip(of_pool, attached, strict=True)},
        looked_at=at,
        by_name={name: tuple(sorted(names)) for name, names in by_name.items()},
        network=None if monitoring is None else monitoring.network,
        # What else fires on the provider account is no business of the plan, with which this is kept.
        alarms=None if monitoring is None else alarms.of(monitoring.alarms, balancers, of_pool),
    )


async def _found(cloud: Cloud, addresses: Sequence[str]) -> list[tuple[BalancerRef, str]]:
    """Return who holds each address, by a search for each: where there are more load balancers than can be read at once."""
    few = asyncio.Semaphore(_AT_ONCE)

    async def search(address: str) -> list[tuple[BalancerRef, str]]:
        async with few:
            found = await cloud.balancers_holding(address)
        return [(ref, address) for ref in found]

    return list(itertools.chain.from_iterable(await together(*(search(address) for address in addresses))))


def _is_name(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return True
    return False


def read_pool(
    connection: CloudConnection, balancer_ids: Sequence[str], *, deadline_s: float = LOOK_DEADLINE_S
) -> Pool:
    """Return a fresh look at the pool, for code that is not asynchronous. Call it before a transaction.

    Raises TryLater when the provider takes longer than `deadline_s` in all.
    """
    check_balancers(balancer_ids)

    async def within_deadline(cloud: Cloud) -> Pool:
        try:
            async with asyncio.timeout(deadline_s):
                return await look(cloud, balancer_ids, timezone.now())
        except TimeoutError:
            raise TryLater(
                f"The provider did not answer within {deadline_s:g} s. Nothing was changed. Try again in a moment.",
                after_s=5.0,
                code="provider_slow",
            ) from None

    return look_once(credentials_of(connection), within_deadline)


@dataclass(frozen=True)
class ServerLook:
    """What the provider said about one server id. `is_there` None: it did not say, and `problem` tells why."""

    is_there: bool | None = None
    name: str = ""
    at: datetime | None = None
    problem: str = ""


def look_at_server(
    connection: CloudConnection, server_id: str, *, deadline_s: float = SHORT_LOOK_S
) -> ServerLook:
    """Return what the provider says about a server id. Raises nothing: a provider that is silent says nothing.

    Not there is only what the list of servers lacks and a look at the id itself does not find either.
    """
    at = timezone.now()
    if not _ID.fullmatch(server_id):
        return ServerLook(False, at=at)  # no server's id, and never to become part of an address

    async def asked(cloud: Cloud) -> ServerLook:
        async with asyncio.timeout(deadline_s):
            server = next((one for one in await cloud.list_servers() if one.id == server_id), None)
            if server is None:
                server = await _shown(cloud, server_id)
        if server is None or server.is_deleted:
            return ServerLook(False, at=at)
        return ServerLook(True, server.name, at)

    try:
        return look_once(credentials_of(connection), asked)
    except Trouble as trouble:
        return ServerLook(problem=trouble.says)
    except TimeoutError:
        return ServerLook(problem=f"The provider did not answer within {deadline_s:g} s.")


async def _shown(cloud: Cloud, server_id: str) -> Server | None:
    try:
        return await cloud.show_server(server_id)
    except ProviderFailed as failed:
        if failed.status == 400:  # an id that the provider cannot even read
            return None
        raise
