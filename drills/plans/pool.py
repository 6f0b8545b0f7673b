"""A fresh look at the pools of a drill, before any transaction begins. Reading only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from accounts.clouds import credentials_of
from accounts.models import CloudConnection
from drills import judging
from drills.driver import balancer_seen
from drills.types import PlannedNode, Target
from portal.cloud.connect import look_once
from portal.cloud.discovery import same_address
from portal.cloud.protocol import Cloud
from portal.cloud.together import together
from portal.cloud.types import Balancer, Server
from portal.errors import Refused, TryLater

LOOK_DEADLINE_S = 20.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Pool:
    """What the provider shows of the balancers of a drill, and the servers behind them, the newest first."""

    balancers: tuple[Balancer, ...]
    servers: tuple[Server, ...]

    @property
    def size(self) -> int:
        """Of all balancers the fewest healthy servers in service."""
        return min((judging.serving(balancer_seen(one, _EPOCH)) for one in self.balancers), default=0)

    def target(self, server_id: str) -> Target:
        """Return a server of the pool as a plan freezes it. Raises Refused for one that is not in it."""
        server = next((one for one in self.servers if one.id == server_id), None)
        if server is None:
            raise Refused(
                "A server of this drill does not stand behind its load balancers. Choose anew.",
                code="not_in_pool",
            )
        return Target(
            server_id=server.id,
            name=server.name,
            created_at=server.created_at,
            addresses=server.addresses,
            nodes=tuple(
                PlannedNode(balancer.id, node.id, node.address, node.port)
                for balancer in self.balancers
                for node in balancer.nodes
                if same_address(node.address) in {same_address(one) for one in server.addresses}
            ),
            host_id=server.host_id,
        )

    def problem(self) -> str:
        """Return what keeps the pool from being drilled, as a sentence, or ""."""
        for balancer in self.balancers:
            if not balancer.has_health_monitor:
                return (
                    f"{balancer.name} has no health monitor, so nobody would see which servers serve. Set one up at the"
                    " provider first."
                )
            if not balancer.is_writable:
                return f"{balancer.name} is busy at the provider ({balancer.status.value})."
        return ""


async def _look(cloud: Cloud, balancer_ids: Sequence[str]) -> Pool:
    shown, servers = await together(
        together(*(cloud.show_balancer(one) for one in balancer_ids)), cloud.list_servers()
    )
    balancers = tuple(one for one in shown if one is not None)
    if len(balancers) < len(balancer_ids):
        raise Refused(
            "A load balancer of this drill was not found at the provider. Choose another.",
            code="balancer_missing",
        )
    nodes = {same_address(node.address) for balancer in balancers for node in balancer.nodes}
    behind = [
        one
        for one in servers
        if not one.is_deleted and nodes & {same_address(address) for address in one.addresses}
    ]
    return Pool(balancers, tuple(sorted(behind, key=lambda one: one.created_at, reverse=True)))


def read_pool(connection: CloudConnection, balancer_ids: Sequence[str]) -> Pool:
    """Return a fresh look, for code that is not asynchronous. Raises Refused, TryLater and ProviderFailed."""

    async def within_deadline(cloud: Cloud) -> Pool:
        try:
            async with asyncio.timeout(LOOK_DEADLINE_S):
                return await _look(cloud, balancer_ids)
        except TimeoutError:
            raise TryLater(
                f"The provider did not show the pool within {LOOK_DEADLINE_S:.0f} s. Nothing was changed; try again.",
                after_s=5.0,
                code="timed_out",
            ) from None

    return look_once(credentials_of(connection), within_deadline)
