"""A provider in process: the simulator's world behind the `Cloud` protocol, on a virtual clock.

It raises what the real client raises, by the real client's own parsing and judging of errors. Every read and
write is told to the recorder of the simulation, from which the oracle judges.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from functools import lru_cache

from portal.cloud import rackspace_answers as answers
from portal.cloud import rackspace_faults as faults
from portal.cloud.types import BalancerRef, BalancerStatus, CloudIdentity, Done, Server, Watched
from portal.errors import InDoubt, Refused, TryLater
from portal.simulator.errors import AnswerLost, AnswerTruncated, ProviderError
from portal.simulator.world import World
from scaledown.driver import OF_SERVER

CALL_DEADLINE_S = 10.0


# The same body says the same: most looks of a schedule show what the one before did.
_parsed_balancer = lru_cache(512)(answers.parse_balancer)
_parsed_server = lru_cache(512)(answers.parse_one_server)


class StillLoop(asyncio.SelectorEventLoop):
    """A loop in which no real time passes, so that no time limit of asyncio ends a call since the machine is slow.

    A frozen worker would else lose its call on PostgreSQL and not in memory. What takes long in a schedule says so itself.
    """

    def time(self):
        """Return always the same moment."""
        return 0.0


class VirtualClock:
    """Time that moves only when it is told to, and the world with it. `wrong_s` is how wrong the clock of the
    portal's database goes: `now` has it, `monotonic` does not."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.wrong_s = 0.0

    def monotonic(self) -> float:
        return self.world.now

    def now(self) -> datetime:
        return self.world.time_at(self.world.now + self.wrong_s).astimezone(UTC)

    def pass_(self, seconds: float) -> None:
        self.world.advance_to(self.world.now + seconds)


class WorldCloud:
    """One worker's client. `latency_s` passes with every call.

    `told` hears of reads and writes (see `simulation.Recorder`); `point` may freeze or end the worker.
    """

    call_deadline_s = CALL_DEADLINE_S

    def __init__(self, world, clock, told, point, *, latency_s=0.02):
        self.world = world
        self.clock = clock
        self.told = told
        self.point = point
        self.latency_s = latency_s
        self.token = 0
        self.identity = CloudIdentity("rackspace", "http://identity.test/v2.0/", "123456", "DFW")

    # Reads

    async def _read(self, call, *args, missing=(), heard=None):
        """Return the body, or None for a status in `missing`. `heard` is told at the moment of the answer."""
        await self.point("read")
        self.clock.pass_(self.latency_s)
        try:
            body = self._logged_in(call, *args)
            if heard is not None:
                heard(True)
            self.clock.pass_(min(self.world.take_delay(), 7.0))
            return body
        except AnswerLost as lost:
            self.clock.pass_(7.0 if lost.how == "timeout" else 0.0)
            raise TryLater("No answer.", after_s=5.0, code="broken") from lost
        except AnswerTruncated as cut:
            raise TryLater("Half an answer.", after_s=5.0, code="unreadable") from cut
        except ProviderError as error:
            if error.status in missing:
                if heard is not None:
                    heard(False)
                return None
            raise faults.trouble_of_read(self._fault(error)) from error

    def _logged_in(self, call, *args):
        """Call; after a 401 log in afresh and call once more, as the real client does."""
        try:
            return call(*args)
        except ProviderError as error:
            if error.status != 401:
                raise
        self.clock.pass_(self.latency_s)
        try:
            return call(*args)
        except ProviderError as error:
            if error.status == 401:
                raise faults.unauthorized() from error
            raise

    def _fault(self, error):
        body = b"" if error.body is None else json.dumps(error.body).encode()
        return faults.open_fault(
            error.status, {k.lower(): v for k, v in error.headers.items()}, body, self.clock.now()
        )

    async def list_balancers(self):
        body = await self._read(self.world.list_load_balancers)
        return answers.parse_balancer_refs(json.dumps(body).encode())

    async def show_balancer(self, balancer_id):
        body = await self._read(
            self.world.show_load_balancer,
            int(balancer_id),
            missing=(404, 410),
            heard=lambda found: self.told.looked_at_balancer(int(balancer_id), found),
        )
        return None if body is None else _parsed_balancer(json.dumps(body).encode(), balancer_id)

    async def balancers_holding(self, address):
        listed = await self._read(self.world.list_load_balancers)
        if not listed["loadBalancers"]:
            return ()  # the provider's list is empty, wrongly: whoever believes it finds an address nowhere
        self.told.searched(address)
        return tuple(
            BalancerRef(str(lb.lb_id), lb.name, BalancerStatus.ACTIVE)
            for lb in self.world.balancers.values()
            if any(node.address == address for node in lb.nodes) and lb.status != "DELETED"
        )

    async def list_servers(self) -> tuple[Server, ...]:
        body = await self._read(self.world.list_servers, heard=self.told.looked_at_servers)
        if not body["servers"]:
            # The real client refuses an empty list where a page must have been full; here it always must.
            raise TryLater("An empty list.", after_s=5.0, code="unreadable")
        return tuple(
            _parsed_server(json.dumps(self.world.show_server.raw(self.world, s["id"])).encode(), s["id"])
            for s in body["servers"]
        )

    async def show_server(self, server_id):
        body = await self._read(
            self.world.show_server,
            server_id,
            missing=(404,),
            heard=lambda found: self.told.looked_at_server("server", server_id, found),
        )
        return None if body is None else _parsed_server(json.dumps(body).encode(), server_id)

    async def attached_volumes(self, server_id):
        body = await self._read(
            self.world.list_volume_attachments,
            server_id,
            missing=(404,),
            heard=lambda found: self.told.looked_at_server("volumes", server_id, found),
        )
        return () if body is None else answers.parse_volumes(json.dumps(body).encode())

    async def list_images(self):
        body = await self._read(self.world.list_images, heard=self.told.looked_at_images)
        if not body["images"]:
            raise TryLater("An empty list.", after_s=5.0, code="unreadable")
        return answers.parse_image_page(json.dumps(body).encode())[0]

    async def show_image(self, image_id):
        body = await self._read(self.world.show_image, image_id, missing=(404,))
        return None if body is None else answers.parse_one_image(json.dumps(body).encode(), image_id)

    async def node_feed(self, balancer_id, node_id):
        return ()

    async def balancer_stats(self, balancer_id):
        return None

    async def watched(self):
        return Watched()

    async def network_rates(self, server_id, *, begins, ends):
        return ()

    # Writes

    async def _write(self, name, target, call, *args, not_after, gone_is_done=False, body_needed=False):
        await self.point("before_send")
        if self.clock.monotonic() > not_after:
            raise TryLater("Too late to be sent.", after_s=0.0, code="not_sent")
        self.told.sent(name, target, self.token)
        self.clock.pass_(self.latency_s)
        try:
            body = self._logged_in(call, *args)
        except AnswerLost as lost:
            if lost.how == "refused":
                raise TryLater("No connection.", after_s=2.0, code="unreachable") from lost
            self.clock.pass_(CALL_DEADLINE_S if lost.how == "timeout" else 0.0)
            raise InDoubt("The answer was lost.", code="answer_lost") from lost
        except AnswerTruncated as cut:
            if body_needed:
                raise InDoubt("Half an answer.", code="answer_lost") from cut
            body = cut.result
        except ProviderError as error:
            return self._refused(error, gone_is_done=gone_is_done)
        self.clock.pass_(min(self.world.take_delay(), CALL_DEADLINE_S - 1))
        await self.point("after_send")
        return body

    def _refused(self, error, *, gone_is_done):
        fault = self._fault(error)
        if fault.is_rate_limit:
            raise faults.rate_limited(fault) from error
        if error.status == 404 and gone_is_done:
            return
        if fault.is_duplicate:
            return
        if error.status == 422 and (faults.says_not_active(fault) or faults.state_named(fault)):
            raise faults.balancer_not_writable(faults.state_named(fault)) from error
        if error.status == 409 and fault.says_locked:
            raise Refused("It is locked.", code="locked") from error
        if error.status == 409:
            raise TryLater("Busy or locked.", after_s=5.0, code="server_busy") from error
        if error.status == 404:
            raise Refused("It is not there.", code="gone") from error
        trouble = faults.trouble_of_write(fault)
        raise trouble from error

    async def set_condition(self, balancer_id, node_id, condition, *, not_after):
        await self._write(
            f"set_{condition.value}",
            (balancer_id, node_id),
            self.world.update_node,
            int(balancer_id),
            int(node_id),
            {"condition": condition.value},
            not_after=not_after,
        )
        return Done()

    async def remove_node(self, balancer_id, node_id, *, not_after):
        await self._write(
            "remove",
            (balancer_id, node_id),
            self.world.delete_node,
            int(balancer_id),
            int(node_id),
            not_after=not_after,
            gone_is_done=True,
        )
        return Done()

    async def add_node(self, balancer_id, node, *, not_after):
        body = {
            "address": node.address,
            "port": node.port,
            "condition": node.condition.value,
            "type": node.type.value,
        }
        if node.weight is not None:
            body["weight"] = node.weight
        await self._write(
            "add",
            (balancer_id, node.address),
            self.world.add_nodes,
            int(balancer_id),
            [body],
            not_after=not_after,
            body_needed=True,
        )
        return Done()

    async def delete_server(self, server_id, *, not_after):
        await self._write(
            "delete",
            (server_id,),
            self.world.delete_server,
            server_id,
            not_after=not_after,
            gone_is_done=True,
        )
        return Done()

    async def create_image(self, server_id, name, metadata, *, not_after):
        url = await self._write(
            "image",
            (server_id,),
            self.world.server_action,
            server_id,
            {"createImage": {"name": name, "metadata": dict(metadata)}},
            not_after=not_after,
            body_needed=True,
        )
        if url is None:
            raise Refused("It is not there.", code="gone")
        return Done({"image_id": url.rpartition("/")[2]})

    async def create_server(self, server, *, not_after):
        body = await self._write(
            "create",
            (server.metadata[OF_SERVER],),
            self.world.create_server,
            {
                "name": server.name,
                "flavorRef": server.flavor_id,
                "imageRef": server.image_id,
                "metadata": dict(server.metadata),
            },
            not_after=not_after,
            body_needed=True,
        )
        return Done({"server_id": body["server"]["id"]})

    async def stop_server(self, server_id, *, not_after):
        return await self._power("stop", server_id, not_after)

    async def start_server(self, server_id, *, not_after):
        return await self._power("start", server_id, not_after)

    async def reboot_server(self, server_id, *, hard, not_after):
        body = {"reboot": {"type": "HARD" if hard else "SOFT"}}
        await self._write(
            "reboot", (server_id,), self.world.server_action, server_id, body, not_after=not_after
        )
        return Done()

    async def _power(self, name, server_id, not_after):
        await self._write(
            name, (server_id,), self.world.server_action, server_id, {f"os-{name}": None}, not_after=not_after
        )
        return Done()
