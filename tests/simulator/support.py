"""What the simulator's tests share: a small world, and a client that speaks HTTP to it without a socket."""

from __future__ import annotations

import asyncio

import httpx

from portal.simulator import scenarios
from portal.simulator.app import create_app
from portal.simulator.clock import VirtualClock
from portal.simulator.entities import Settings
from portal.simulator.hands import Hands
from portal.simulator.transport import SimulatorTransport
from portal.simulator.world import World

CONTROL = "open sesame"


def launch(name="launch", *, seed=1, pending=(2.0, 2.0), **settings):
    """Return a world with a scenario; changes take exactly two seconds unless told otherwise."""
    world = World(seed, settings=Settings(pending_update_s=list(pending), **settings))
    scenarios.apply(world, name)
    return world


def web(world):
    return next(lb for lb in world.balancers.values() if lb.name == "web")


def server(world, name):
    return next(s for s in world.servers.values() if s.name == name)


def node_of(world, name):
    addresses = server(world, name).addresses
    return next(node for node in web(world).nodes if node.address in addresses)


def check_of(world, name, kind):
    """Return the ids of entity and check by which a server's figures are measured."""
    values = type(world).monitoring_overview.raw(world, limit=1000)["values"]
    one = next(value for value in values if value["entity"]["label"] == name)
    return one["entity"]["id"], next(check["id"] for check in one["checks"] if check["type"] == kind)


def plot(world, name, kind="agent.network", metric="rx_bytes", *, back_s=3600, **more):
    """Return [(world seconds, average)] of a metric over the last `back_s` seconds."""
    epoch = world.start.timestamp()
    ends_ms = round((epoch + world.now) * 1000)
    asked = {"resolution": "FULL", "limit": 1440, "begins_ms": ends_ms - back_s * 1000, "ends_ms": ends_ms}
    body = world.monitoring_plot(*check_of(world, name, kind), metric, **{**asked, **more})
    return [(value["timestamp"] / 1000 - epoch, value["average"]) for value in body["values"]]


def wait(world, seconds):
    world.advance_to(world.now + seconds)


def drain_to_zero(world, name, limit_s=600):
    """Drain a server's node and wait until it has no visitors; return how long that took."""
    lb, node = web(world), node_of(world, name)
    world.update_node(lb.lb_id, node.node_id, {"condition": "DRAINING"})
    began = world.now
    while world.visitors(lb, node) or lb.status != "ACTIVE":
        wait(world, 0.5)
        assert world.now - began < limit_s
    return world.now - began


class Desk:
    """A client of one simulator: authenticates as the demo user and knows the catalog's addresses."""

    def __init__(self, world=None, *, control=True, user="demo", key="demo-api-key", **options):
        self.clock = VirtualClock()
        self.app = create_app(
            world or launch(), self.clock, control_token=CONTROL if control else None, **options
        )
        self.hands = Hands(self.app.world)
        access = self.login(user, key).json()["access"]
        self.token = access["token"]["id"]
        urls = {}
        for service in access["serviceCatalog"]:
            for endpoint in service["endpoints"]:
                if endpoint.get("region", "DFW") == "DFW":
                    urls[service["name"]] = endpoint["publicURL"]
        self.lbs, self.servers = urls["cloudLoadBalancers"], urls["cloudServersOpenStack"]

    @property
    def world(self):
        return self.app.world

    def login(self, user, key):
        return self.raw(
            "POST",
            "/v2.0/tokens",
            json={"auth": {"RAX-KSKEY:apiKeyCredentials": {"username": user, "apiKey": key}}},
        )

    def raw(self, method, url, **options):
        async def send():
            transport = SimulatorTransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://cloud.test") as client:
                return await client.request(method, url, **options)

        return asyncio.run(send())

    def clb(self, method, path, **options):
        return self._authorised(method, self.lbs + path, options)

    def nova(self, method, path, **options):
        return self._authorised(method, self.servers + path, options)

    def control(self, method, path, **options):
        return self.raw(method, "/_sim" + path, headers={"X-Simulator-Token": CONTROL}, **options)

    def _authorised(self, method, url, options):
        headers = {"X-Auth-Token": self.token, "Accept": "application/json", **options.pop("headers", {})}
        return self.raw(method, url, headers=headers, **options)

    def tick(self, seconds):
        self.clock.tick(seconds)
        self.app.catch_up()
