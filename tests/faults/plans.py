"""A plan for a pool of the simulator, as the planner would have built it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC

from portal.cloud import rackspace_answers as answers
from portal.cloud.types import NodeType
from scaledown.types import (
    PLAN_FORMAT,
    AtLimit,
    Grade,
    Order,
    PlanData,
    PlannedNode,
    PlannedProbe,
    PlannedServer,
    PlannedWindow,
)
from tests.faults.worlds import ELSEWHERE


def planned_server(world, server, balancer_ids):
    nodes = tuple(
        PlannedNode(str(lb.lb_id), str(node.node_id), node.address, node.port, NodeType(node.type), None)
        for lb in world.balancers.values()
        for node in lb.nodes
        if str(lb.lb_id) in balancer_ids and node.address in server.addresses
    )
    created = answers.parse_time(world.stamp(server.created_t)).astimezone(UTC)
    return PlannedServer(
        server.server_id,
        server.name,
        created,
        tuple(sorted(server.addresses)),
        nodes,
        count_url=f"http://status.test/{server.private_ip}",
        flavor_id=server.flavor,
        image_id=server.image or None,
    )


def plan_for(world, *, out=3, window=None, hold_through_s=None, watch_until_s=None, **changes) -> PlanData:
    """Return a plan that takes the newest `out` servers of all balancers' pools out.

    `window` is (start, end) in world seconds, each or None, with later windows behind them, as pairs; so is when the next peak is over, through which servers are
    held, and until when it is watched.
    """
    covered = [lb for lb in world.balancers.values() if lb.name != ELSEWHERE]
    balancer_ids = tuple(str(lb.lb_id) for lb in covered)
    servers = [
        planned_server(world, server, balancer_ids)
        for server in sorted(world.servers.values(), key=lambda s: -s.created_t)
    ]
    servers = [server for server in servers if server.nodes]
    strays = tuple(
        f"{lb.lb_id}/{node.address}:{node.port}"
        for lb in covered
        for node in lb.nodes
        if world.server_at(node.address) is None
    )
    start, end, peak_over, watch_until = (
        None if t is None else world.time_at(t).astimezone(UTC)
        for t in (*(window or (None, None))[:2], hold_through_s, watch_until_s)
    )
    later = tuple(
        PlannedWindow(*(world.time_at(t).astimezone(UTC) for t in span)) for span in (window or ())[2:]
    )
    plan = PlanData(
        format=PLAN_FORMAT,
        account_ref="account",
        connection_ref="connection",
        provider="rackspace",
        identity_url="http://identity.test/v2.0/",
        tenant="123456",
        region="DFW",
        balancer_ids=balancer_ids,
        servers=tuple(servers[:out]),
        remaining=tuple(servers[out:]),
        target=len(servers) - out,
        target_reason="",
        floor=2,
        order=Order.REVERSE_OF_SCALE_UP,
        min_drain_s=3.0,
        drain_limit_s=60.0,
        at_limit=AtLimit.ASK,
        accepted_grade=Grade.MEASURED,
        zeros_needed=3,
        soak_s=6.0,
        hold_s=0.0,
        pause_between_s=0.0,
        probes=tuple(
            PlannedProbe(f"site-{balancer_id}", f"http://site.test/{balancer_id}")
            for balancer_id in balancer_ids
        ),
        probe_failures_allowed=0.2,
        count_kind="nginx_stub_status",
        ceiling_rps=95.0,
        ceiling_source="benchmark",
        forecast_peak_rps=None,
        guard_share=0.8,
        window_start=start,
        window_end=end,
        later_windows=later,
        is_unattended=False,
        reason="",
        strays=strays,
        images_kept_s=86_400.0,
        hold_through=peak_over,
        watch_until=watch_until,
    )
    plan = replace(plan, **changes)
    if plan.count_kind is None:
        # As the planner has it: what nothing counts has no address to be asked at.
        bare = [tuple(replace(s, count_url=None) for s in part) for part in (plan.servers, plan.remaining)]
        plan = replace(plan, servers=bare[0], remaining=bare[1])
    return plan
