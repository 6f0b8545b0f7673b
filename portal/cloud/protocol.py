"""What the portal asks of any provider. One client per provider implements it.

Reads raise `TryLater` (busy, rate limited, cut-off or empty answer, no connection) or `ProviderFailed`
(a final no). They return None only where the provider itself said that the thing does not exist.

Writes return `Done`, or `Withheld` in a rehearsal. They raise `TryLater` (surely nothing was done),
`Refused` (the provider says no for a reason that a person can act on), `InDoubt` (sent, answer lost: read
before repeating) or `ProviderFailed`. Each takes `not_after`, a value of `time.monotonic()`: a request that
has not been handed to the network by then is not sent at all and raises `TryLater` with code "not_sent", so
that a worker that was frozen between its check and its call does no harm when it wakes up.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from portal.cloud.types import (
    Balancer,
    BalancerRef,
    BalancerStats,
    CloudIdentity,
    Condition,
    Done,
    FeedEntry,
    Image,
    Interface,
    NodeSpec,
    Server,
    ServerSpec,
    Watched,
    Withheld,
)


class Cloud(Protocol):
    """One provider account in one region."""

    identity: CloudIdentity
    call_deadline_s: float
    """The total time that any one write may take, from hand-over to answer. Longer means *in doubt*."""

    async def list_balancers(self) -> tuple[BalancerRef, ...]:
        """Return every load balancer that the credentials see, all pages, or raise: never a part."""
        ...

    async def show_balancer(self, balancer_id: str) -> Balancer | None:
        """Return one balancer with its nodes in one read; None if unknown or deleted (404, 410, DELETED)."""
        ...

    async def balancers_holding(self, address: str) -> tuple[BalancerRef, ...]:
        """Return every load balancer that has a node with this address (reference, 2.1 `nodeaddress`)."""
        ...

    async def addresses_everywhere(self, *, most: int) -> tuple[tuple[BalancerRef, str], ...] | None:
        """Return the address of every node of every load balancer of these credentials, in any region, or raise: never a part.

        None where there are more than `most` load balancers. Ids of other regions are written as `balancers_holding` does; of
        those, private addresses are left out. It costs a read of each load balancer, whatever is looked for, and knows an
        address in any spelling.
        """
        ...

    async def list_servers(self) -> tuple[Server, ...]:
        """Return every server, all pages, or raise: never a part."""
        ...

    async def show_server(self, server_id: str) -> Server | None:
        """Return one server; None if the provider says 404."""
        ...

    async def attached_volumes(self, server_id: str) -> tuple[str, ...] | None:
        """Return ids of attached volumes; None where this provider cannot tell."""
        ...

    async def list_images(self) -> tuple[Image, ...]:
        """Return every image that the credentials see, all pages, or raise: never a part."""
        ...

    async def show_image(self, image_id: str) -> Image | None:
        """Return one image; None if the provider says 404."""
        ...

    async def node_feed(self, balancer_id: str, node_id: str) -> tuple[FeedEntry, ...]:
        """Return the first page of a node's audit feed, newest first; empty if the node is gone."""
        ...

    async def balancer_stats(self, balancer_id: str) -> BalancerStats | None:
        """Return the balancer's figures; None where it gives none now (422 while it applies a change)."""
        ...

    async def watched(self) -> Watched:
        """Return what the provider's monitoring watches and which alarms fire, read now; nothing where there is none."""
        ...

    async def network_rates(
        self, server_id: str, *, begins: datetime, ends: datetime
    ) -> tuple[Interface, ...]:
        """Return what each measured interface of a server carried between two moments; none where nothing measures it."""
        ...

    async def set_condition(
        self, balancer_id: str, node_id: str, condition: Condition, *, not_after: float
    ) -> Done | Withheld:
        """Ask for a node's condition; sends only the condition (reference, 2.3)."""
        ...

    async def remove_node(self, balancer_id: str, node_id: str, *, not_after: float) -> Done | Withheld:
        """Delete a node from a load balancer. A node that is already gone is `Done`."""
        ...

    async def add_node(self, balancer_id: str, node: NodeSpec, *, not_after: float) -> Done | Withheld:
        """Add a node; `Done.detail["node_id"]` names it. One already there (422 duplicate) is `Done`."""
        ...

    async def delete_server(self, server_id: str, *, not_after: float) -> Done | Withheld:
        """Delete a server. Already gone is `Done`."""
        ...

    async def stop_server(self, server_id: str, *, not_after: float) -> Done | Withheld:
        """Stop a server (os-stop)."""
        ...

    async def start_server(self, server_id: str, *, not_after: float) -> Done | Withheld:
        """Start a stopped server (os-start)."""
        ...

    async def reboot_server(self, server_id: str, *, hard: bool, not_after: float) -> Done | Withheld:
        """Reboot a server: in order (SOFT, only while it runs), or as if its power failed (HARD)."""
        ...

    async def create_image(
        self, server_id: str, name: str, metadata: Mapping[str, str], *, not_after: float
    ) -> Done | Withheld:
        """Make an image of a server; `Done.detail["image_id"]` names it. It is SAVING until it is ACTIVE or ERROR."""
        ...

    async def create_server(self, server: ServerSpec, *, not_after: float) -> Done | Withheld:
        """Create a server; `Done.detail["server_id"]` names it. It is in BUILD until it is ACTIVE or ERROR."""
        ...
