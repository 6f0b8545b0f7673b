"""What the balancer's own metrics say of each node (reference 5.2), and how they can mislead."""

import httpx
import pytest

from tests.simulator.support import Desk, drain_to_zero, node_of, wait, web


@pytest.fixture
def desk():
    return Desk()


def metrics_of(desk):
    text = desk.raw("GET", f"/vip/{web(desk.world).lb_id}/metrics").text
    found = {}
    for line in text.splitlines():
        if line.startswith("octavia_member_current_sessions{"):
            labels, _, value = line.partition("} ")
            found[int(labels.rpartition('member="')[2].strip('"'))] = int(value)
    return found


def test_the_metrics_listener_counts_each_node_and_says_nothing_of_one_that_left(desk):
    world, lb = desk.world, web(desk.world)
    assert metrics_of(desk) == {node.node_id: world.visitors(lb, node) for node in lb.nodes}
    gone = node_of(world, "web-06").node_id
    drain_to_zero(world, "web-06")
    assert metrics_of(desk)[gone] == 0
    world.delete_node(lb.lb_id, gone)
    wait(world, 3)
    assert gone not in metrics_of(desk)


def test_after_a_change_the_metrics_can_read_a_false_zero_while_visitors_are_there(desk):
    world, lb = desk.world, web(desk.world)
    world.settings.metrics_restart = True
    node = node_of(world, "web-06")
    before = metrics_of(desk)
    world.update_node(lb.lb_id, node.node_id, {"condition": "DRAINING"})
    while lb.status != "ACTIVE":
        wait(world, 0.5)
    assert world.visitors(lb, node) > 0
    after = metrics_of(desk)
    assert after[node.node_id] == 0
    others = [n.node_id for n in lb.nodes if n is not node]
    assert sum(after[n] for n in others) < sum(before[n] for n in others)
    wait(world, 120)
    assert sum(metrics_of(desk)[n] for n in others) > 0


def test_the_metrics_can_be_down_stale_zero_or_a_bad_gateway(desk):
    url = f"/vip/{web(desk.world).lb_id}/metrics"
    desk.world.add_fault("status_down", "metrics.read")
    with pytest.raises(httpx.ConnectError):
        desk.raw("GET", url)
    desk.world.add_fault("server_error", "metrics.read", status=502)
    assert desk.raw("GET", url).status_code == 502
    desk.world.add_fault("false_zero", "metrics.read")
    assert set(metrics_of(desk).values()) == {0}
    before = metrics_of(desk)
    fault = desk.world.add_fault("stale", "metrics.read", times=None)
    drain_to_zero(desk.world, "web-06")
    assert metrics_of(desk) == before
    desk.world.faults.remove(fault.fault_id)
    assert metrics_of(desk)[node_of(desk.world, "web-06").node_id] == 0
