"""How long the pure planner takes for a large pool: it runs while a person waits."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from portal.cloud.types import (
    Balancer,
    BalancerStatus,
    CloudIdentity,
    Condition,
    Node,
    NodeStatus,
    Server,
)
from scaledown.candidates import Choice, Known, Pool
from scaledown.canonical import digest, plan_from_plain, plan_to_plain
from scaledown.planner import build_plan_data
from scaledown.preview import preview
from scaledown.types import Order, PlannedProbe

SERVERS = 200
TIMES = 15
AT = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


def _pool() -> Pool:
    servers = tuple(
        Server(
            id=f"srv-{number}",
            name=f"web-{number:03}",
            status="ACTIVE",
            task_state=None,
            created_at=AT - timedelta(hours=number),
            host_id=f"host-{number // 2}",
            addresses=(f"10.0.{number // 250}.{number % 250}",),
            flavor_id="general1-4",
            image_id=None,
        )
        for number in range(SERVERS)
    )
    nodes = tuple(
        Node(str(number), server.addresses[0], 80, Condition.ENABLED, NodeStatus.ONLINE)
        for number, server in enumerate(servers)
    )
    web = Balancer(
        "71",
        "web",
        BalancerStatus.ACTIVE,
        "HTTP",
        80,
        "LEAST_CONNECTIONS",
        2,
        (),
        nodes,
        has_health_monitor=True,
    )
    return Pool(
        CloudIdentity("rackspace", "https://identity.example/v2.0", "1", "DFW"),
        (web,),
        servers,
        {address: ("71",) for server in servers for address in server.addresses},
        {server.id: () for server in servers},
        AT,
    )


def _median_ms(act: Callable[[], object]) -> float:
    took = []
    for _ in range(TIMES):
        began = time.perf_counter()
        act()
        took.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(took), 2)


def planner() -> dict[str, float]:
    """Return the median milliseconds of plan, preview, digest and reading back, for 200 servers to 100."""
    pool = _pool()
    known = Known(
        "a",
        "c",
        ceiling_rps=100.0,
        forecast_peak_rps=5000.0,
        probes=(PlannedProbe("home", "https://www.example.com/", latency_limit_ms=500.0),),
    )
    choice = Choice(balancer_ids=("71",), order=Order.NEWEST_FIRST, target=100)
    plan = build_plan_data(choice, pool, known)
    plain = plan_to_plain(plan)
    return {
        "plan_200_servers_ms": _median_ms(lambda: build_plan_data(choice, pool, known)),
        "preview_200_servers_ms": _median_ms(lambda: preview(plan, choice, pool, known)),
        "digest_200_servers_ms": _median_ms(lambda: digest(plan)),
        "read_back_200_servers_ms": _median_ms(lambda: plan_from_plain(plain)),
    }
