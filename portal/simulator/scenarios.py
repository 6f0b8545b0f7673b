"""Named worlds to begin with.

Every one has the tenant 123456 with the user `demo` (password `demo-password`, API key `demo-api-key`), region DFW.
`desk` adds the tenant 654321 with `demo-two` (`demo-two-password`, `demo-two-api-key`). `watcher` (password
`watcher-password`, API key `watcher-api-key`) may only read tenant 123456.

The event: 4 days to 1 day before the world's start. web-01 to web-03 are older, web-04 to web-06 were created in it.
Demand is three hours past its daily peak; at the peak three servers carry it at 55 % of their capacity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portal.simulator.compute import BASE_IMAGE
from portal.simulator.entities import LoadBalancer, Server, Settings, User
from portal.simulator.traffic import DAY_S
from portal.simulator.world import World

TENANT = "123456"
USERNAME = "demo"
PASSWORD = "demo-password"  # noqa: S105 - a log-in of the demo, not a secret
API_KEY = "demo-api-key"
SECOND_TENANT = "654321"
SECOND_USERNAME = "demo-two"
SECOND_PASSWORD = "demo-two-password"  # noqa: S105 - as above
SECOND_API_KEY = "demo-two-api-key"
EVENT_STARTED_T = -4 * DAY_S
EVENT_ENDED_T = -1 * DAY_S
LONG_AGO_T = -120 * DAY_S

SEASON = 0.3
CAPACITY_RPS = 100.0
COMFORT = 0.55
MONITOR = {
    "type": "HTTP",
    "delay": 1,
    "timeout": 1,
    "attemptsBeforeDeactivation": 3,
    "path": "/",
    "statusRegex": "^200$",
}


def apply(world: World, name: str) -> None:
    """Fill an empty world with the scenario `name`. Raises ValueError if there is none of that name."""
    if name not in SCENARIOS:
        raise ValueError(f"There is no scenario {name!r}. There are: {', '.join(sorted(SCENARIOS))}.")
    SCENARIOS[name](world)


def launch(world: World) -> LoadBalancer:
    """Load balancer "web" with six servers, three of them from the event."""
    _begin(world, "launch")
    lb = _pool(world, "web", "web", old=3, extra=3)
    _end(world)
    return lb


def rising(world: World) -> LoadBalancer:
    """As `launch`, but demand more than triples within 4 s once one node has left: five servers cannot carry that."""
    _begin(world, "rising")
    lb = _pool(world, "web", "web", old=3, extra=3, growth=[3.2, 4.0, 8])
    _end(world)
    return lb


def persistent(world: World) -> LoadBalancer:
    """As `launch` with HTTP_COOKIE persistence: pinned visitors keep coming to a draining node for very long."""
    _begin(world, "persistent")
    lb = _pool(world, "web", "web", old=3, extra=3, persistence="HTTP_COOKIE", sticky_life_s=None)
    _end(world)
    return lb


def no_monitor(world: World) -> LoadBalancer:
    """As `launch` without a health monitor: ONLINE means nothing."""
    _begin(world, "no_monitor")
    lb = _pool(world, "web", "web", old=3, extra=3, health_monitor=None)
    _end(world)
    return lb


def two_balancers(world: World) -> list[LoadBalancer]:
    """As `launch`; web-06 and web-01 are also in a second load balancer, "api"."""
    _begin(world, "two_balancers")
    web = _pool(world, "web", "web", old=3, extra=3)
    shared = [s for s in world.servers.values() if s.name in ("web-01", "web-06")]
    api = _balancer(world, "api", TENANT, CAPACITY_RPS * 0.3)
    for server in shared:
        world.build_node(api, server.private_ip, 8080, created_t=server.created_t + 120.0)
    _end(world)
    return [web, api]


def autoscaled(world: World) -> LoadBalancer:
    """As `launch`; the event's servers belong to the provider's autoscaler."""
    _begin(world, "autoscaled")
    lb = _pool(world, "web", "web", old=3, extra=3)
    for server in world.servers.values():
        if server.created_t >= EVENT_STARTED_T:
            server.metadata["rax:autoscale:group:id"] = "6791761b-821a-4d07-820d-0b2afc7dd7f6"
            server.metadata[f"rax:autoscale:lb:CloudLoadBalancer:{lb.lb_id}"] = '[{"port": 80}]'
    _end(world)
    return lb


def unmatched(world: World) -> LoadBalancer:
    """As `launch` with a seventh node whose address matches no server of the account."""
    _begin(world, "unmatched")
    lb = _pool(world, "web", "web", old=3, extra=3)
    world.build_node(lb, "10.190.7.7", 80, created_t=LONG_AGO_T)
    _end(world)
    return lb


def desk(world: World) -> None:
    """Several load balancers in one account and a second tenant, for looking around."""
    _begin(world, "desk")
    slow_drain: dict[str, Any] = {"short_s": 3.0, "long_share": 0.04, "long_s": 8.0}
    _pool(world, "web", "web", old=3, extra=3, **slow_drain)
    _pool(world, "api", "api", old=2, extra=2, algorithm="WEIGHTED_LEAST_CONNECTIONS", **slow_drain)
    shop = _pool(
        world, "shop", "shop", old=2, extra=2, persistence="HTTP_COOKIE", sticky_life_s=45.0, **slow_drain
    )
    legacy = _pool(world, "legacy", "legacy", old=2, extra=0, health_monitor=None, algorithm="ROUND_ROBIN")
    world.build_node(legacy, "10.190.7.7", 80, created_t=LONG_AGO_T)
    first = next(s for s in world.servers.values() if s.name == "shop-01")
    first.volumes.append("9c8e5d3a-3a0f-4b5e-9a55-52bb1e1d5a01")
    world.build_server("worker-01", TENANT, created_t=LONG_AGO_T, flavor="compute1-4", image=BASE_IMAGE)
    shop.timeout = 2
    world.add_user(User(SECOND_USERNAME, SECOND_PASSWORD, SECOND_API_KEY, SECOND_TENANT, "20042"))
    _pool(world, "front", "front", old=3, extra=2, tenant=SECOND_TENANT, **slow_drain)
    _end(world)


SCENARIOS: dict[str, Callable[[World], Any]] = {
    "launch": launch,
    "rising": rising,
    "persistent": persistent,
    "no_monitor": no_monitor,
    "two_balancers": two_balancers,
    "autoscaled": autoscaled,
    "unmatched": unmatched,
    "desk": desk,
}


def _begin(world: World, name: str) -> None:
    world.scenario = name
    if world.settings.pending_update_s == Settings().pending_update_s:
        # Brisk enough to watch; a world that was given its own durations keeps them.
        world.settings.pending_update_s = [0.5, 1.5]
    world.add_user(User(USERNAME, PASSWORD, API_KEY, TENANT, "10041"))
    world.add_user(
        User("watcher", "watcher-password", "watcher-api-key", TENANT, "10043", roles=["observer"])
    )


def _end(world: World) -> None:
    world.fill()
    world.forget_the_past()


def _balancer(world: World, name: str, tenant: str, peak_rps: float, **fields: Any) -> LoadBalancer:
    hour = (world.start.hour + world.start.minute / 60.0 + world.now * world.settings.speed / 3600.0) % 24.0
    settings: dict[str, Any] = {
        "algorithm": "LEAST_CONNECTIONS",
        "timeout": 2,
        "health_monitor": dict(MONITOR),
        "base_rps": peak_rps / (1.0 + SEASON),
        "season": SEASON,
        "peak_hour": (hour - 3.0) % 24.0,
        "short_s": 1.2,
        "long_s": 3.0,
        "keepalive_s": 1.0,
        **fields,
    }
    return world.build_balancer(name, tenant, created_t=LONG_AGO_T, **settings)


def _pool(
    world: World, name: str, prefix: str, *, old: int, extra: int, tenant: str = TENANT, **fields: Any
) -> LoadBalancer:
    """A load balancer with `old` servers from long ago and `extra` from the event, on `old` physical hosts.

    The old ones stand each on a host of its own, the event's were put beside them.
    """
    lb = _balancer(world, name, tenant, old * CAPACITY_RPS * COMFORT, **fields)
    for number in range(1, old + extra + 1):
        event = number > old
        created_t = EVENT_STARTED_T + 3600.0 * (number - old) if event else LONG_AGO_T + 600.0 * number
        metadata = {"role": prefix}
        if event:
            metadata["added_for"] = "autumn-launch"
        server = _server(
            world, f"{prefix}-{number:02}", tenant, created_t, metadata, lb.lb_id * 100 + (number - 1) % old
        )
        world.build_node(lb, server.private_ip, 80, created_t=created_t + 240.0)
    return lb


def _server(
    world: World, name: str, tenant: str, created_t: float, metadata: dict[str, str], host: int
) -> Server:
    return world.build_server(
        name,
        tenant,
        created_t=created_t,
        metadata=metadata,
        host=host,
        capacity_rps=CAPACITY_RPS,
        image=BASE_IMAGE,
    )
