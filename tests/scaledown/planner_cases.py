"""Small pools for the tests of the planner."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from portal.cloud.types import (
    Balancer,
    BalancerStatus,
    CloudIdentity,
    Condition,
    Node,
    NodeStatus,
    NodeType,
    Server,
)
from scaledown.candidates import Added, Choice, Known, Pool
from scaledown.types import PlannedProbe

EVENT = datetime(2026, 11, 12, 8, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
IDENTITY = CloudIdentity("rackspace", "https://identity.example/v2.0", "123456", "DFW")
PROBE = PlannedProbe(name="home", url="https://www.example.com/", latency_limit_ms=800.0)


def server(number: int, **changes) -> Server:
    """web-01 to web-03 are from long before the event, the others were made in it, one an hour."""
    created = EVENT - timedelta(days=300) if number <= 3 else EVENT + timedelta(hours=number)
    whole = Server(
        id=f"srv-{number:02}",
        name=f"web-{number:02}",
        status="ACTIVE",
        task_state=None,
        created_at=created,
        host_id=f"host-{number}",
        addresses=(f"10.0.0.{number}",),
        flavor_id="general1-4",
        image_id="img",
    )
    return replace(whole, **changes)


def node(number: int, **changes) -> Node:
    whole = Node(
        id=str(100 + number),
        address=f"10.0.0.{number}",
        port=80,
        condition=Condition.ENABLED,
        status=NodeStatus.ONLINE,
        type=NodeType.PRIMARY,
    )
    return replace(whole, **changes)


def balancer(nodes, **changes) -> Balancer:
    whole = Balancer(
        id="71",
        name="web",
        status=BalancerStatus.ACTIVE,
        protocol="HTTP",
        port=80,
        algorithm="LEAST_CONNECTIONS",
        timeout_s=2,
        virtual_ips=("203.0.113.1",),
        nodes=tuple(nodes),
        has_health_monitor=True,
    )
    return replace(whole, **changes)


def pool(count=6, *, servers=None, nodes=None, **changes) -> Pool:
    servers = servers or [server(number) for number in range(1, count + 1)]
    nodes = nodes or [node(number) for number in range(1, count + 1)]
    whole = Pool(
        identity=IDENTITY,
        balancers=(balancer(nodes),),
        servers=tuple(servers),
        holders={address: ("71",) for one in servers for address in one.addresses},
        volumes={one.id: () for one in servers},
        looked_at=NOW,
    )
    return replace(whole, **changes)


def known(count=6, **changes) -> Known:
    whole = Known(
        account_ref="a",
        connection_ref="c",
        event_name="Black Friday",
        event_starts_at=EVENT,
        added=tuple(
            Added(number - 3, f"srv-{number:02}", EVENT + timedelta(hours=number))
            for number in range(4, count + 1)
        ),
        ceiling_rps=100.0,
        ceiling_source="step benchmark",
        forecast_peak_rps=150.0,
        forecast_source="entered",
        probes=(PROBE,),
        count_kind="nginx_stub_status",
        count_url_template="http://{address}/stub_status",
    )
    return replace(whole, **changes)


CHOICE = Choice(
    balancer_ids=("71",), reason="The event is over.", no_vital_reason="Orders come in elsewhere."
)
