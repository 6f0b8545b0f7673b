"""The worlds in which schedules play. Each has a balancer more than any plan covers: other hands may use it."""

from __future__ import annotations

from portal.simulator import scenarios
from portal.simulator.entities import Settings
from portal.simulator.world import World

ELSEWHERE = "elsewhere"
SHARED_FLOOR = 2
PEAK_SPARE_S = 30.0
"""How long before the end of a peak servers are out that are held through it. In the portal that is an hour."""


def shared_pool(world: World, persistence: str | None = None) -> None:
    """As `launch`; a second balancer has one of the event's servers, and three that stay, as well.

    So of the planned servers one is in both balancers and two are in one only.
    """
    scenarios.apply(world, "launch" if persistence is None else "persistent")
    api = scenarios._balancer(world, "api", scenarios.TENANT, 30.0, persistence=persistence)
    for server in list(world.servers.values()):
        if server.name in {"web-01", "web-02", "web-03", "web-06"}:
            world.build_node(api, server.private_ip, 8080, created_t=server.created_t + 120.0)
    world.fill()
    world.forget_the_past()


WORLDS = {
    "shared": shared_pool,
    "shared_persistent": lambda world: shared_pool(world, "HTTP_COOKIE"),
}
CEILING_RPS = {"shared": 120.0, "shared_persistent": 120.0}
"""Servers in two balancers carry both: their ceiling is higher."""


def make_world(name: str, seed: int) -> World:
    """Return a world of that name: one of ours, or a scenario of the simulator."""
    world = World(
        seed,
        settings=Settings(
            pending_update_s=[0.3, 1.2], delete_s=4.0, error_resync_s=45.0, image_s=6.0, build_s=8.0
        ),
    )
    if name in WORLDS:
        WORLDS[name](world)
    else:
        scenarios.apply(world, name)
    world.build_balancer(ELSEWHERE, scenarios.TENANT, created_t=0.0, timeout=2)
    return world
