"""What stands behind a load balancer is found by address, and what is not sure is said."""

from __future__ import annotations

from datetime import UTC, datetime

from portal.cloud.discovery import match
from portal.cloud.types import Balancer, BalancerStatus, Condition, Node, NodeStatus, Server


def server(name: str, *addresses: str, status: str = "ACTIVE") -> Server:
    return Server(
        id=f"id-{name}",
        name=name,
        status=status,
        task_state=None,
        created_at=datetime(2026, 11, 1, tzinfo=UTC),
        host_id=None,
        addresses=addresses,
        flavor_id=None,
        image_id=None,
    )


def balancer(balancer_id: str, *addresses: str) -> Balancer:
    nodes = tuple(
        Node(f"{balancer_id}-{number}", address, 80, Condition.ENABLED, NodeStatus.ONLINE)
        for number, address in enumerate(addresses)
    )
    return Balancer(balancer_id, "web", BalancerStatus.ACTIVE, "HTTP", 80, "RANDOM", 30, (), nodes, True)


WEB_1 = server("web-1", "10.0.0.1", "8.8.8.1")
WEB_2 = server("web-2", "10.0.0.2", "2001:db8::2")


def test_nodes_are_matched_with_servers_by_any_of_their_addresses():
    found = match([balancer("71", "8.8.8.1", "2001:DB8:0::2")], [WEB_1, WEB_2])
    assert [member.server for member in found.pools[0].members] == [WEB_1, WEB_2]
    assert found.is_fully_matched


def test_a_node_that_no_server_has_is_said():
    found = match([balancer("71", "10.0.0.1", "10.0.0.9", "partner.example.com")], [WEB_1])
    assert [entry.node.address for entry in found.unknown_nodes] == ["10.0.0.9", "partner.example.com"]
    assert len(found.pools[0].members) == 1
    assert not found.is_fully_matched


def test_a_node_that_two_servers_have_is_no_member():
    twin = server("twin", "10.0.0.1")
    found = match([balancer("71", "10.0.0.1")], [WEB_1, twin])
    assert found.pools[0].members == ()
    assert found.ambiguous_nodes[0].servers == (WEB_1, twin)
    assert found.servers_in_none == ()


def test_a_deleted_server_matches_nothing():
    gone = server("gone", "10.0.0.1", status="SOFT_DELETED")
    found = match([balancer("71", "10.0.0.1")], [gone])
    assert len(found.unknown_nodes) == 1
    assert found.servers_in_none == ()


def test_servers_in_none_and_in_several_balancers_are_said():
    found = match([balancer("71", "10.0.0.1", "10.0.0.1"), balancer("72", "8.8.8.1")], [WEB_1, WEB_2])
    assert found.servers_in_none == (WEB_2,)
    assert [(entry.server, entry.balancer_ids) for entry in found.servers_in_several] == [
        (WEB_1, ("71", "72"))
    ]


def test_a_balancer_that_vanished_between_list_and_look_is_said():
    found = match([], [], gone_balancers=["71"])
    assert found.gone_balancers == ("71",)
    assert not found.is_fully_matched
