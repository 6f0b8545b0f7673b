"""Which server stands behind which node, and what could not be matched.

The provider links nodes and servers only by address (reference, 2.3), so a match is a finding, not a fact: a
node that fits no server, or more than one, is shown as such and never guessed.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from portal.cloud.protocol import Cloud
from portal.cloud.together import together
from portal.cloud.types import Balancer, Condition, Node, NodeStatus, NodeType, Server

_LOOKS_AT_ONCE = 4


@dataclass(frozen=True)
class Member:
    """A node and the one server that has its address."""

    node: Node
    server: Server


@dataclass(frozen=True)
class Pool:
    """A load balancer with the servers behind it, in the provider's order of nodes."""

    balancer: Balancer
    members: tuple[Member, ...]


@dataclass(frozen=True)
class UnmatchedNode:
    """A node whose address no server has (`servers` is empty) or several have."""

    balancer_id: str
    node: Node
    servers: tuple[Server, ...] = ()


@dataclass(frozen=True)
class SharedServer:
    """A server with nodes in more than one load balancer."""

    server: Server
    balancer_ids: tuple[str, ...]


@dataclass(frozen=True)
class Discovery:
    """What one look at an account found. Servers that are deleted are left out."""

    pools: tuple[Pool, ...]
    unknown_nodes: tuple[UnmatchedNode, ...]
    ambiguous_nodes: tuple[UnmatchedNode, ...]
    servers_in_none: tuple[Server, ...]
    servers_in_several: tuple[SharedServer, ...]
    gone_balancers: tuple[str, ...] = ()
    """Ids that were listed and could not be shown a moment later."""

    @property
    def is_fully_matched(self) -> bool:
        """Whether every node belongs to exactly one known server."""
        return not (self.unknown_nodes or self.ambiguous_nodes or self.gone_balancers)


def same_address(text: str) -> str:
    """Return one spelling for each address; names are compared in lower case."""
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return text.strip().lower()


def is_asked(node: Node) -> bool:
    """Whether the load balancer is to send visitors to it: a secondary node only stands by."""
    return node.condition is Condition.ENABLED and node.type is NodeType.PRIMARY


def serves(node: Node) -> bool:
    """Whether visitors come to it: it is asked, and it answers."""
    return is_asked(node) and node.status is NodeStatus.ONLINE


def match(
    balancers: Iterable[Balancer], servers: Iterable[Server], *, gone_balancers: Iterable[str] = ()
) -> Discovery:
    """Match nodes with servers by address. Pure."""
    alive = [server for server in servers if not server.is_deleted]
    by_address: dict[str, dict[str, Server]] = defaultdict(dict)
    for server in alive:
        for address in server.addresses:
            by_address[same_address(address)][server.id] = server
    pools: list[Pool] = []
    unknown: list[UnmatchedNode] = []
    ambiguous: list[UnmatchedNode] = []
    places: dict[str, dict[str, None]] = defaultdict(dict)
    for balancer in balancers:
        members: list[Member] = []
        for node in balancer.nodes:
            candidates = tuple(by_address.get(same_address(node.address), {}).values())
            for server in candidates:
                places[server.id][balancer.id] = None
            if len(candidates) == 1:
                members.append(Member(node, candidates[0]))
            elif candidates:
                ambiguous.append(UnmatchedNode(balancer.id, node, candidates))
            else:
                unknown.append(UnmatchedNode(balancer.id, node))
        pools.append(Pool(balancer, tuple(members)))
    return Discovery(
        pools=tuple(pools),
        unknown_nodes=tuple(unknown),
        ambiguous_nodes=tuple(ambiguous),
        servers_in_none=tuple(server for server in alive if server.id not in places),
        servers_in_several=tuple(
            SharedServer(server, tuple(places[server.id]))
            for server in alive
            if len(places.get(server.id, {})) > 1
        ),
        gone_balancers=tuple(gone_balancers),
    )


async def discover(cloud: Cloud) -> Discovery:
    """Look at every load balancer and server of an account and match them. Raises what the reads raise."""
    refs = await cloud.list_balancers()
    few = asyncio.Semaphore(_LOOKS_AT_ONCE)

    async def show(balancer_id: str) -> Balancer | None:
        async with few:
            return await cloud.show_balancer(balancer_id)

    servers = await cloud.list_servers()
    shown = await together(*(show(ref.id) for ref in refs))
    found = list(zip((ref.id for ref in refs), shown, strict=True))
    return match(
        [balancer for _, balancer in found if balancer is not None],
        servers,
        gone_balancers=[balancer_id for balancer_id, balancer in found if balancer is None],
    )
