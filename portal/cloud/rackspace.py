"""The client for Rackspace: Identity v2.0, Cloud Load Balancers v1.0, Cloud Servers v2.

It speaks the provider's language outwards and ours inwards (`portal.cloud.protocol`). What an error means
stands in `rackspace_faults.py`, what an answer says in `rackspace_answers.py`, how a request leaves and how
far it got in `rackspace_wire.py`. Source: provider reference, sections 1 to 3, 8 and 9.
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from portal.cloud import rackspace_answers as answers
from portal.cloud import rackspace_faults as faults
from portal.cloud.rackspace_alarms import firing
from portal.cloud.rackspace_answers import RateLimit, Session, Unreadable
from portal.cloud.rackspace_faults import Fault
from portal.cloud.rackspace_monitoring import Monitoring
from portal.cloud.rackspace_network import NetworkFigures, interfaces
from portal.cloud.rackspace_wire import (
    BALANCERS,
    SERVERS,
    Answer,
    Call,
    Options,
    TransportFor,
    Wire,
    unreadable,
    utc_now,
)
from portal.cloud.shared import Shared
from portal.cloud.together import together
from portal.cloud.types import (
    Balancer,
    BalancerRef,
    BalancerStats,
    BalancerStatus,
    CloudIdentity,
    Condition,
    Credentials,
    Done,
    FeedEntry,
    Image,
    Interface,
    Node,
    NodeSpec,
    NodeType,
    Server,
    ServerSpec,
    Watched,
    Withheld,
)
from portal.egress import Rules, rules_from_settings
from portal.errors import InDoubt, ProviderFailed, Refused, Trouble, TryLater
from portal.frozen import replace

PAGE = 100
MAX_PAGES = 500
_AT_ONCE = 6
Listed = TypeVar("Listed", Server, Image)
_SEGMENT = re.compile(r"[A-Za-z0-9_-]{1,64}")


class RackspaceCloud:
    """One Rackspace account in one region. See `portal.cloud.protocol.Cloud` for what each method promises."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        shared: Shared,
        transport_for: TransportFor,
        rules: Callable[[], Rules] = rules_from_settings,
        options: Options | None = None,
        is_rehearsal: bool = False,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._wire = Wire(
            credentials,
            shared=shared,
            transport_for=transport_for,
            rules=rules,
            options=options,
            is_rehearsal=is_rehearsal,
            now=now,
        )
        self.identity: CloudIdentity = credentials.identity
        self.call_deadline_s: float = self._wire.options.call_deadline_s
        self.is_rehearsal = is_rehearsal
        self.monitoring = Monitoring(self._wire)
        self._network = NetworkFigures(self.monitoring)

    def __repr__(self) -> str:
        return f"RackspaceCloud({self.identity!r}, is_rehearsal={self.is_rehearsal})"

    # --- reads: load balancers ---

    async def list_balancers(self) -> tuple[BalancerRef, ...]:
        """Return every load balancer that is not deleted, all pages."""
        return await self._balancer_pages({})

    async def balancers_holding(self, address: str) -> tuple[BalancerRef, ...]:
        """Return every load balancer that has a node with this address, in any region of these credentials.

        Ids of other regions are written `ORD:9`: ids are unique in one region only. Private addresses mean
        another server there and are not searched. A region that cannot be asked raises, as any read does.
        """
        regions = [None] if _is_private(address) else await self._regions()
        asked = [(region, spelling) for region in regions for spelling in _spellings(address)]
        pages = await together(
            *(self._balancer_pages({"nodeaddress": spelling}, region) for region, spelling in asked)
        )
        found = [_named(ref, region) for (region, _), refs in zip(asked, pages, strict=True) for ref in refs]
        return tuple({ref.id: ref for ref in found}.values())

    async def addresses_everywhere(self, *, most: int) -> tuple[tuple[BalancerRef, str], ...] | None:
        """Return the address of every node of every load balancer in any region, or raise; None where there are more than `most` of them.

        One that is listed and cannot be shown raises.
        """
        regions = await self._regions()
        lists = await together(*(self._balancer_pages({}, region) for region in regions))
        few = asyncio.Semaphore(_AT_ONCE)

        async def nodes_of(ref: BalancerRef, region: str | None) -> list[tuple[BalancerRef, str]]:
            named = _named(ref, region)
            async with few:
                try:
                    shown = await self._show_balancer(ref.id, region)
                except TryLater as trouble:
                    if trouble.code != "unreadable":
                        raise
                    raise unreadable(f"What is said of load balancer {named.id} ({named.name})") from trouble
            if shown is None:
                raise unreadable(f"Load balancer {named.id} ({named.name}) is listed and was not found")
            addresses = [node.address for node in shown.nodes]
            return [(named, one) for one in addresses if region is None or not _is_private(one)]

        listed = [(ref, region) for region, refs in zip(regions, lists, strict=True) for ref in refs]
        if len(listed) > most:
            return None
        found = await together(*(nodes_of(ref, region) for ref, region in listed))
        return tuple(itertools.chain.from_iterable(found))

    async def _regions(self) -> list[str | None]:
        """Return the connection's own region, as None, and all others of these credentials."""
        return [None, *sorted((await self._wire.session()).elsewhere)]

    async def show_balancer(self, balancer_id: str) -> Balancer | None:
        """Return one balancer with its nodes; None for 404, 410 and status DELETED."""
        return await self._show_balancer(balancer_id, None)

    async def _show_balancer(self, balancer_id: str, region: str | None) -> Balancer | None:
        path = f"/loadbalancers/{_segment(balancer_id)}"
        answer = await self._wire.read(Call(BALANCERS, "GET", path, region=region))
        if answer.status in {404, 410}:
            return None
        return self._wire.understood(answer, lambda body: answers.parse_balancer(body, balancer_id))

    async def node_feed(self, balancer_id: str, node_id: str) -> tuple[FeedEntry, ...]:
        """Return the first page of a node's feed, newest first; empty where node or balancer is gone."""
        path = f"/loadbalancers/{_segment(balancer_id)}/nodes/{_segment(node_id)}.atom"
        answer = await self._wire.read(Call(BALANCERS, "GET", path))
        if answer.status in {404, 410}:
            return ()
        return self._wire.understood(answer, answers.parse_feed)

    async def balancer_stats(self, balancer_id: str) -> BalancerStats | None:
        """Return the balancer's figures; None while it applies a change (422) or is gone."""
        answer = await self._wire.read(
            Call(BALANCERS, "GET", f"/loadbalancers/{_segment(balancer_id)}/stats")
        )
        if answer.status in {404, 410, 422}:
            return None
        return self._wire.understood(answer, answers.parse_stats)

    # --- reads: monitoring ---

    async def watched(self) -> Watched:
        """Return whose network the monitoring's agent measures, and what fires; nothing where there is no monitoring."""
        try:
            monitored = await self.monitoring.monitored()
        except ProviderFailed as failed:
            if failed.code == "no_endpoint":
                return Watched()
            raise
        return Watched(frozenset(interfaces(monitored)), firing(monitored))

    async def network_rates(
        self, server_id: str, *, begins: datetime, ends: datetime
    ) -> tuple[Interface, ...]:
        """Return what each measured interface of a server carried, in and out together."""
        return await self._network.rates(server_id, begins=begins, ends=ends)

    async def _balancer_pages(
        self, params: Mapping[str, str], region: str | None = None
    ) -> tuple[BalancerRef, ...]:
        """Page with the inclusive marker (reference, 2.1): each page begins with the last one's end."""
        found: dict[str, BalancerRef] = {}
        marker: dict[str, str] = {}
        for _ in range(MAX_PAGES):
            asked = {**params, "limit": str(PAGE), **marker}
            answer = await self._wire.read(
                Call(BALANCERS, "GET", "/loadbalancers", params=asked, region=region)
            )
            page = self._wire.understood(answer, answers.parse_balancer_refs)
            fresh = [ref for ref in page if ref.id not in found]
            found.update((ref.id, ref) for ref in page)
            if len(page) < PAGE:
                return tuple(ref for ref in found.values() if ref.status is not BalancerStatus.DELETED)
            if not fresh or not _is_ascending(page):
                # "From this id on" only reaches everything if the pages are in the order of ids.
                raise unreadable("The list of load balancers does not page as it should")
            marker = {"marker": page[-1].id}
        raise unreadable("The list of load balancers has no end")

    # --- reads: servers ---

    async def list_servers(self) -> tuple[Server, ...]:
        """Return every server, all pages. A next link that was followed before ends it with TryLater."""
        return await self._nova_pages("/servers/detail", "servers", answers.parse_server_page)

    async def _nova_pages(
        self, path: str, what: str, parse: Callable[[bytes], tuple[tuple[Listed, ...], str | None]]
    ) -> tuple[Listed, ...]:
        """Page with the exclusive marker (reference, 3.1)."""
        found: dict[str, Listed] = {}
        marker: dict[str, str] = {}
        followed: set[str] = set()
        for _ in range(MAX_PAGES):
            asked = {"limit": str(PAGE), **marker}
            answer = await self._wire.read(Call(SERVERS, "GET", path, params=asked))
            page, link = self._wire.understood(answer, parse)
            found.update((one.id, one) for one in page)
            following = answers.marker_of(link) if link is not None else None
            if link is not None and following is None:
                # More is there, and nobody says where: what was read is no list.
                raise unreadable(f"The list of {what} goes on at a page that cannot be asked for")
            if following is None and len(page) >= PAGE:
                # A full page without a link is no proof of the end (reference, 3.1): ask once more.
                following = page[-1].id
            if following is None:
                return tuple(found.values())
            if following in followed:
                raise unreadable(f"The list of {what} repeats a page")
            followed.add(following)
            marker = {"marker": following}
        raise unreadable(f"The list of {what} has no end")

    async def show_server(self, server_id: str) -> Server | None:
        """Return one server; None for 404."""
        answer = await self._wire.read(Call(SERVERS, "GET", f"/servers/{_segment(server_id)}"))
        if answer.status == 404:
            return None
        return self._wire.understood(answer, lambda body: answers.parse_one_server(body, server_id))

    async def list_images(self) -> tuple[Image, ...]:
        """Return every image, all pages. One without any is not believed: the provider's own are always listed."""
        found = await self._nova_pages("/images/detail", "images", answers.parse_image_page)
        if not found:
            raise unreadable("The list of images is empty")
        return found

    async def show_image(self, image_id: str) -> Image | None:
        """Return one image; None for 404."""
        answer = await self._wire.read(Call(SERVERS, "GET", f"/images/{_segment(image_id)}"))
        if answer.status == 404:
            return None
        return self._wire.understood(answer, lambda body: answers.parse_one_image(body, image_id))

    async def attached_volumes(self, server_id: str) -> tuple[str, ...] | None:
        """Return ids of attached volumes; None where this cloud does not tell."""
        path = f"/servers/{_segment(server_id)}/os-volume_attachments"
        answer = await self._wire.read(Call(SERVERS, "GET", path))
        if answer.status in {403, 404, 501}:
            return None
        return self._wire.understood(answer, answers.parse_volumes)

    # --- reads: what these credentials are ---

    async def session(self) -> Session:
        """Log in if need be and return the session: roles and endpoints, for the test of a connection."""
        return await self._wire.session()

    async def rate_limits(self, service: str) -> tuple[RateLimit, ...]:
        """Return the rate limits that a service (`BALANCERS`, `SERVERS`) names for these credentials."""
        return self._wire.understood(
            await self._wire.read(Call(service, "GET", "/limits")), answers.parse_limits
        )

    # --- changes ---

    async def set_condition(
        self, balancer_id: str, node_id: str, condition: Condition, *, not_after: float
    ) -> Done | Withheld:
        """Ask for a node's condition, and nothing else of it (reference, 2.3)."""
        path = f"/loadbalancers/{_segment(balancer_id)}/nodes/{_segment(node_id)}"
        body = {"node": {"condition": condition.value}}

        async def refused(fault: Fault) -> Done:
            if fault.status == 404:
                balancer = await self.show_balancer(balancer_id)
                if balancer is not None and all(node.id != node_id for node in balancer.nodes):
                    raise ProviderFailed(
                        "The node is not in this load balancer any more, so its condition was not changed. "
                        "Someone else took it out.",
                        code="node_missing",
                        status=404,
                    )
            raise await self._balancer_trouble(balancer_id, fault)

        call = Call(BALANCERS, "PUT", path, body)
        return await self._wire.change(call, not_after=not_after, balancer_id=balancer_id, refused=refused)

    async def remove_node(self, balancer_id: str, node_id: str, *, not_after: float) -> Done | Withheld:
        """Delete a node from a load balancer. Already gone, as a fresh look shows, is Done."""
        path = f"/loadbalancers/{_segment(balancer_id)}/nodes/{_segment(node_id)}"

        async def refused(fault: Fault) -> Done:
            if fault.status != 404:
                raise await self._balancer_trouble(balancer_id, fault)
            balancer = await self.show_balancer(balancer_id)
            if balancer is None:
                if any(ref.id == balancer_id for ref in await self.list_balancers()):
                    raise _contradiction("The load balancer is listed but cannot be shown")
                return Done({"already": "balancer_gone"})
            if any(node.id == node_id for node in balancer.nodes):
                raise _hidden_refusal()
            return Done({"already": "node_gone"})

        call = Call(BALANCERS, "DELETE", path)
        return await self._wire.change(call, not_after=not_after, balancer_id=balancer_id, refused=refused)

    async def add_node(self, balancer_id: str, node: NodeSpec, *, not_after: float) -> Done | Withheld:
        """Add a node. One with this address and port that is there already is Done, with its condition."""
        wanted: dict[str, object] = {"address": node.address, "port": node.port}
        wanted["condition"] = node.condition.value
        if node.type is not NodeType.PRIMARY:
            wanted["type"] = node.type.value
        if node.weight is not None:
            wanted["weight"] = node.weight

        def is_it(there: Node) -> bool:
            return there.address == node.address and there.port == node.port

        async def accepted(answer: Answer) -> Done:
            try:
                made = [one for one in answers.parse_nodes(answer.body) if is_it(one)]
            except Unreadable:
                made = []
            if not answer.is_whole or not made:
                raise InDoubt(
                    "The provider accepted a new node but its answer could not be read. "
                    "The portal looks for the node before it does anything else.",
                    code="answer_unreadable",
                )
            return Done({"node_id": made[0].id, "condition": made[0].condition.value})

        async def refused(fault: Fault) -> Done:
            if not fault.is_duplicate:
                raise await self._balancer_trouble(balancer_id, fault)
            balancer = await self.show_balancer(balancer_id)
            for there in balancer.nodes if balancer else ():
                if is_it(there):
                    detail = {"node_id": there.id, "condition": there.condition.value}
                    return Done({**detail, "already": "node_there"})
            raise _contradiction("The provider says that the node is there already but does not list it")

        path = f"/loadbalancers/{_segment(balancer_id)}/nodes"
        call = Call(BALANCERS, "POST", path, {"nodes": [wanted]})
        return await self._wire.change(
            call, not_after=not_after, balancer_id=balancer_id, accepted=accepted, refused=refused
        )

    async def delete_server(self, server_id: str, *, not_after: float) -> Done | Withheld:
        """Delete a server. One that is gone, as a fresh look shows too, is Done."""

        async def refused(fault: Fault) -> Done:
            if fault.status == 404:
                if await self.show_server(server_id) is not None:
                    raise _contradiction("The server is shown but could not be found to delete it")
                return Done({"already": "server_gone"})
            if fault.status == 409:
                raise await self._server_conflict(server_id, fault)
            raise faults.trouble_of_write(fault)

        call = Call(SERVERS, "DELETE", f"/servers/{_segment(server_id)}")
        return await self._wire.change(call, not_after=not_after, refused=refused)

    async def stop_server(self, server_id: str, *, not_after: float) -> Done | Withheld:
        """Stop a server (os-stop). One that is stopped already is Done."""
        return await self._act(server_id, {"os-stop": None}, "SHUTOFF", not_after)

    async def start_server(self, server_id: str, *, not_after: float) -> Done | Withheld:
        """Start a stopped server (os-start). One that runs already is Done."""
        return await self._act(server_id, {"os-start": None}, "ACTIVE", not_after)

    async def reboot_server(self, server_id: str, *, hard: bool, not_after: float) -> Done | Withheld:
        """Reboot a server (reboot). The type is always sent: some of these services refuse an action without one."""
        body = {"reboot": {"type": "HARD" if hard else "SOFT"}}
        return await self._act(server_id, body, None, not_after)

    async def _act(
        self, server_id: str, action: Mapping[str, Any], status: str | None, not_after: float
    ) -> Done | Withheld:
        """Ask for an action. `status` is what a server shows for which nothing is left to be done; None: there is none."""

        async def refused(fault: Fault) -> Done:
            if fault.status == 409:
                server = await self.show_server(server_id)
                is_so = server is not None and server.status == status and server.task_state is None
                if status is not None and is_so:
                    return Done({"already": status})
                raise await self._server_conflict(server_id, fault)
            if fault.status == 404 and await self.show_server(server_id) is None:
                raise ProviderFailed(
                    "The server does not exist any more, so nothing was done with it.",
                    code="server_missing",
                    status=404,
                )
            if fault.status in {400, 404, 501}:
                raise Refused(
                    f"This cloud does not offer to {_SAYS[next(iter(action))]} servers. Nothing was changed.",
                    code="unsupported",
                )
            raise faults.trouble_of_write(fault)

        call = Call(SERVERS, "POST", f"/servers/{_segment(server_id)}/action", dict(action))
        return await self._wire.change(call, not_after=not_after, refused=refused)

    async def create_image(
        self, server_id: str, name: str, metadata: Mapping[str, str], *, not_after: float
    ) -> Done | Withheld:
        """Make an image of a server (createImage). An acceptance that does not name the image is in doubt."""

        async def accepted(answer: Answer) -> Done:
            image_id = answers.image_in(answer.headers.get("location"), answer.body)
            if image_id is None:
                raise InDoubt(
                    "The provider accepted a new image but did not name it in a readable way. "
                    "The portal looks for the image before it does anything else.",
                    code="answer_unreadable",
                )
            return Done({"image_id": image_id})

        async def refused(fault: Fault) -> Done:
            if fault.status == 409:
                raise await self._server_conflict(server_id, fault)
            if fault.status == 404 and await self.show_server(server_id) is None:
                raise ProviderFailed(
                    "The server does not exist any more, so no image was made of it.",
                    code="server_missing",
                    status=404,
                )
            raise faults.trouble_of_write(fault)

        body = {"createImage": {"name": name, "metadata": dict(metadata)}}
        call = Call(SERVERS, "POST", f"/servers/{_segment(server_id)}/action", body)
        return await self._wire.change(call, not_after=not_after, accepted=accepted, refused=refused)

    async def create_server(self, server: ServerSpec, *, not_after: float) -> Done | Withheld:
        """Create a server from an image. An acceptance that does not name the server is in doubt."""

        async def accepted(answer: Answer) -> Done:
            try:
                server_id = answers.parse_made_server(answer.body)
            except Unreadable:
                server_id = ""
            if not server_id or not answer.is_whole:
                raise InDoubt(
                    "The provider accepted a new server but its answer could not be read. "
                    "The portal looks for the server before it does anything else.",
                    code="answer_unreadable",
                )
            return Done({"server_id": server_id})

        async def refused(fault: Fault) -> Done:
            raise faults.trouble_of_write(fault)

        body = {
            "server": {
                "name": server.name,
                "flavorRef": server.flavor_id,
                "imageRef": server.image_id,
                "metadata": dict(server.metadata),
            }
        }
        call = Call(SERVERS, "POST", "/servers", body)
        return await self._wire.change(call, not_after=not_after, accepted=accepted, refused=refused)

    async def _balancer_trouble(self, balancer_id: str, fault: Fault) -> Trouble:
        """Return why a load balancer took no change; looks where the answer does not say (reference, 6.6.7)."""
        if fault.status == 404:
            if await self.show_balancer(balancer_id) is not None:
                return _hidden_refusal()
            return ProviderFailed(
                "The load balancer is not found: deleted, or not of this account and region. "
                "Nothing was changed.",
                code="balancer_missing",
                status=404,
            )
        if fault.status == 410:
            return faults.balancer_not_writable(None)
        if fault.status != 422:
            return faults.trouble_of_write(fault)
        known = faults.trouble_of_write(fault)
        if isinstance(known, Refused):
            return known
        state = faults.state_named(fault)
        if state is None:
            balancer = await self.show_balancer(balancer_id)
            state = balancer.status if balancer is not None else BalancerStatus.DELETED
            if state is BalancerStatus.ACTIVE and not faults.says_not_active(fault):
                return known
        return faults.balancer_not_writable(state, busy_after_s=self._wire.options.busy_after_s)

    async def _server_conflict(self, server_id: str, fault: Fault) -> Trouble:
        """Return what a 409 means: locked, busy, or in a state that does not allow it (reference, 9)."""
        server = await self.show_server(server_id)
        if fault.says_locked or (server is not None and server.is_locked):
            return Refused(
                "The server is locked at the provider. Nothing was changed. Unlock it there first.",
                code="server_locked",
            )
        if server is None or server.task_state is not None:
            return TryLater(
                "The server is busy with something else at the provider. Nothing was changed; "
                "the portal tries again by itself.",
                after_s=self._wire.options.busy_after_s,
                code="server_busy",
            )
        return Refused(
            f"The server's present state ({server.status}) does not allow this. Nothing was changed.",
            code="server_state",
        )


_SAYS = {"os-stop": "stop", "os-start": "start", "reboot": "reboot"}
# Addresses that mean another machine in another region (RFC 1918, RFC 4193).
_PRIVATE = tuple(
    ipaddress.ip_network(net) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)


def _is_private(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(ip in network for network in _PRIVATE)


def _spellings(address: str) -> tuple[str, ...]:
    """Return the address as the provider may have kept it: it compares as text, and keeps what it was given.

    Of version 6: the short form (RFC 5952), all digits, and each group without its leading zeros, as Java writes it.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return (address,)
    groups = ip.exploded.split(":")
    unpadded = ":".join(f"{int(group, 16):x}" for group in groups) if ip.version == 6 else str(ip)
    return tuple(dict.fromkeys((str(ip), ip.exploded, unpadded)))


def _named(ref: BalancerRef, region: str | None) -> BalancerRef:
    """Return a balancer of another region under an id that no other one has: ids are unique in one region only."""
    return ref if region is None else replace(ref, id=f"{region}:{ref.id}")


def _segment(resource_id: str) -> str:
    """Return an id that may stand in a path. Anything else would ask for something else: a bug."""
    if not _SEGMENT.fullmatch(resource_id):
        raise ValueError("not an id of this provider")
    return resource_id


def _is_ascending(page: tuple[BalancerRef, ...]) -> bool:
    ids = [int(ref.id) if ref.id.isdecimal() else -1 for ref in page]
    return all(before < after for before, after in itertools.pairwise(ids))


def _contradiction(what: str) -> TryLater:
    return TryLater(
        f"{what}. Nothing was changed; the portal looks again.",
        after_s=faults.FAULT_RETRY_S,
        code="contradiction",
    )


def _hidden_refusal() -> Refused:
    """A 404 for something that a fresh look shows: how this service answers who may not change it (2.9)."""
    return Refused(
        "The provider says that what it shows is not there: so it answers users who may not change it. "
        "Nothing was changed. Give the user a role that may change load balancers.",
        code="forbidden",
    )
