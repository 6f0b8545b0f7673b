"""Calls that go wrong on order."""

import json

import httpx
import pytest

from portal.simulator.errors import AnswerLost, AnswerTruncated, ProviderError
from portal.simulator.faults import KINDS, Fault
from portal.simulator.hands import Hands
from tests.simulator.support import Desk, drain_to_zero, launch, node_of, plot, server, wait, web

DRAINING = {"node": {"condition": "DRAINING"}}


@pytest.fixture
def desk():
    return Desk()


def node_path(desk):
    lb = web(desk.world)
    return f"/loadbalancers/{lb.lb_id}/nodes/{lb.nodes[0].node_id}"


def condition(desk):
    desk.tick(30)
    return web(desk.world).nodes[0].condition


def test_a_reset_after_applying_hides_that_the_write_happened(desk):
    desk.world.add_fault("reset_after", "node.update")
    with pytest.raises(httpx.ReadError):
        desk.clb("PUT", node_path(desk), json=DRAINING)
    assert condition(desk) == "DRAINING"


def test_a_timeout_after_applying_does_too(desk):
    desk.world.add_fault("timeout_after", "node.update")
    with pytest.raises(httpx.ReadTimeout):
        desk.clb("PUT", node_path(desk), json=DRAINING)
    assert condition(desk) == "DRAINING"


@pytest.mark.parametrize("kind", ["reset_before", "timeout_before"])
def test_an_answer_lost_before_applying_leaves_everything_as_it_was(desk, kind):
    desk.world.add_fault(kind, "node.update")
    with pytest.raises(httpx.TransportError):
        desk.clb("PUT", node_path(desk), json=DRAINING)
    assert condition(desk) == "ENABLED"


def test_a_late_write_is_applied_after_its_client_gave_up(desk):
    desk.world.add_fault("late", "node.update", seconds=20)
    with pytest.raises(httpx.ReadTimeout):
        desk.clb("PUT", node_path(desk), json=DRAINING)
    desk.tick(19)
    assert web(desk.world).status == "ACTIVE"
    desk.tick(1)
    assert web(desk.world).status == "PENDING_UPDATE"
    assert condition(desk) == "DRAINING"


def test_a_late_write_that_comes_at_the_wrong_time_is_refused_quietly(desk):
    desk.world.add_fault("late", "node.update", seconds=20)
    with pytest.raises(httpx.ReadTimeout):
        desk.clb("PUT", node_path(desk), json=DRAINING)
    desk.hands.set_balancer_status(web(desk.world).lb_id, "ERROR")
    assert condition(desk) == "ENABLED"
    assert "late write refused" in [entry.what for entry in desk.world.truth.log]


def test_a_server_error_changes_nothing_and_has_its_status(desk):
    desk.world.add_fault("server_error", "node.*", status=502)
    answer = desk.clb("PUT", node_path(desk), json=DRAINING)
    assert (answer.status_code, answer.json()["code"]) == (502, 502)
    assert condition(desk) == "ENABLED"


def test_a_delay_makes_the_answer_late(desk):
    desk.world.add_fault("delay", "lb.list", seconds=7)
    desk.clb("GET", "/loadbalancers")
    assert desk.clock.waited_s == 7
    desk.clb("GET", "/loadbalancers")
    assert desk.clock.waited_s == 7


def test_a_truncated_body_is_200_and_no_json(desk):
    desk.world.add_fault("truncated", "lb.list")
    answer = desk.clb("GET", "/loadbalancers")
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()


@pytest.mark.parametrize(
    ("route", "path", "key"), [("lb.list", "/loadbalancers", "loadBalancers"), ("node.list", None, "nodes")]
)
def test_a_list_can_be_empty_although_nothing_is_gone(desk, route, path, key):
    desk.world.add_fault("empty_list", route)
    path = path or f"/loadbalancers/{web(desk.world).lb_id}/nodes"
    assert desk.clb("GET", path).json() == {key: []}
    assert desk.clb("GET", path).json()[key]


def test_a_balancer_can_end_in_error_without_the_change_and_is_resynced_later(desk):
    desk.world.add_fault("lb_error", "node.update")
    assert desk.clb("PUT", node_path(desk), json=DRAINING).status_code == 202
    desk.tick(2)
    assert web(desk.world).status == "ERROR"
    desk.tick(300)
    assert web(desk.world).status == "ACTIVE"
    assert condition(desk) == "ENABLED"


def test_a_balancer_can_stay_busy_for_ever(desk):
    desk.world.add_fault("lb_stuck", "node.update")
    desk.clb("PUT", node_path(desk), json=DRAINING)
    desk.tick(86_400)
    assert web(desk.world).status == "PENDING_UPDATE"
    assert web(desk.world).nodes[0].condition == "ENABLED"


def test_an_added_node_disappears_if_adding_it_fails(desk):
    desk.world.add_fault("lb_error", "node.add")
    body = {"nodes": [{"address": "10.1.1.1", "port": 80}]}
    assert desk.clb("POST", f"/loadbalancers/{web(desk.world).lb_id}/nodes", json=body).status_code == 202
    desk.tick(2)
    assert len(web(desk.world).nodes) == 6


@pytest.mark.parametrize("kind", ["token_expired", "token_revoked"])
def test_a_token_can_go_bad_at_any_call_and_a_new_log_in_helps(desk, kind):
    desk.world.add_fault(kind, "node.update")
    answer = desk.clb("PUT", node_path(desk), json=DRAINING)
    assert (answer.status_code, answer.content) == (401, b"")
    assert desk.clb("GET", "/loadbalancers").status_code == 401
    desk.token = desk.login("demo", "demo-api-key").json()["access"]["token"]["id"]
    assert desk.clb("PUT", node_path(desk), json=DRAINING).status_code == 202


def test_counts_can_read_zero_although_visitors_are_there(desk):
    address = web(desk.world).nodes[0].address
    desk.world.add_fault("false_zero", "status.read", target=address, times=2)
    for _ in range(2):
        text = desk.raw("GET", f"/servers-net/{address}/stub_status").text
        assert text.startswith("Active connections: 1 ")
    assert not desk.raw("GET", f"/servers-net/{address}/stub_status").text.startswith(
        "Active connections: 1 "
    )


def test_false_zeros_of_the_statistics_are_cached(desk):
    url = f"/loadbalancers/{web(desk.world).lb_id}/stats"
    desk.world.add_fault("false_zero", "lb.stats")
    assert set(desk.clb("GET", url).json().values()) == {0}
    assert set(desk.clb("GET", url).json().values()) == {0}
    desk.tick(300)
    assert desk.clb("GET", url).json()["currentConn"] > 0


def test_counts_can_be_stale():
    world = launch()
    address = node_of(world, "web-06").address
    before = world.stub_status(address)
    fault = world.add_fault("stale", "status.read", times=None)
    drain_to_zero(world, "web-06")
    assert world.stub_status(address).active == before.active
    world.faults.remove(fault.fault_id)
    assert world.stub_status(address).active == 1


def test_a_status_url_can_be_down(desk):
    desk.world.add_fault("status_down", "status.read")
    address = web(desk.world).nodes[0].address
    with pytest.raises(httpx.ConnectError):
        desk.raw("GET", f"/servers-net/{address}/stub_status")
    assert desk.raw("GET", f"/servers-net/{address}/stub_status").status_code == 200


def test_a_server_can_be_busy(desk):
    desk.world.add_fault("locked", "server.delete")
    victim = server(desk.world, "web-06").server_id
    assert desk.nova("DELETE", f"/servers/{victim}").status_code == 409
    assert desk.nova("DELETE", f"/servers/{victim}").status_code == 204


def test_a_fault_strikes_as_often_as_ordered_and_only_its_target():
    world = launch()
    lb = web(world)
    other = lb.nodes[1].node_id
    world.add_fault("server_error", "node.show", times=2, target=other)
    world.show_node(lb.lb_id, lb.nodes[0].node_id)
    for _ in range(2):
        with pytest.raises(ProviderError):
            world.show_node(lb.lb_id, other)
    assert world.show_node(lb.lb_id, other)["node"]["id"] == other


def test_probability_comes_from_the_seed():
    def strikes(seed):
        world = launch(seed=seed)
        world.add_fault("server_error", "lb.list", times=None, probability=0.3)
        outcome = []
        for _ in range(200):
            try:
                world.list_load_balancers()
                outcome.append(0)
            except ProviderError:
                outcome.append(1)
        return outcome

    assert strikes(1) == strikes(1) != strikes(2)
    assert 30 < sum(strikes(1)) < 90


def test_a_fault_for_every_route_waits_for_a_call_that_it_can_spoil():
    world = launch()
    world.add_fault("lb_stuck")
    world.list_load_balancers()
    world.show_server(server(world, "web-01").server_id)
    assert len(world.faults.items) == 1
    world.update_node(web(world).lb_id, web(world).nodes[0].node_id, {"condition": "DRAINING"})
    assert world.faults.items == []


def test_an_unknown_fault_is_refused_with_the_list_of_those_that_exist():
    with pytest.raises(ValueError, match="reset_after"):
        Fault("earthquake")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_fault_survives_being_set_on_everything_while_the_world_is_used(kind):
    world = launch(seed=3)
    world.add_fault(kind, times=None, probability=0.7, seconds=1.0)
    lb = web(world)
    for turn in range(40):
        node = lb.nodes[turn % len(lb.nodes)]
        condition = "DRAINING" if turn % 2 else "ENABLED"
        for call in (
            lambda: world.show_load_balancer(lb.lb_id),
            lambda: world.list_nodes(lb.lb_id),
            lambda n=node, c=condition: world.update_node(lb.lb_id, n.node_id, {"condition": c}),
            lambda: world.load_balancer_stats(lb.lb_id),
            lambda n=node: world.stub_status(n.address),
            lambda: world.server_action(server(world, "web-05").server_id, {"createImage": {"name": "copy"}}),
            lambda: world.create_server({"name": "web-07", "flavorRef": "general1-4", "imageRef": ""}),
            lambda: world.delete_server(server(world, "web-06").server_id),
            lambda: plot(world, "web-01"),
        ):
            try:
                call()
            except (ProviderError, AnswerLost, AnswerTruncated):
                continue
        world.take_delay()
        wait(world, 3)
    assert world.faults.items[0].hits > 0


def test_chance_alone_can_fail_changes_or_make_them_long():
    world = launch(update_error_chance=1.0, error_resync_s=None)
    lb = web(world)
    world.update_node(lb.lb_id, lb.nodes[0].node_id, {"condition": "DRAINING"})
    wait(world, 10_000)
    assert lb.status == "ERROR"
    world = launch(long_update_chance=1.0, long_update_s=90)
    lb = web(world)
    world.update_node(lb.lb_id, lb.nodes[0].node_id, {"condition": "DRAINING"})
    wait(world, 89)
    assert lb.status == "PENDING_UPDATE"
    wait(world, 1)
    assert lb.status == "ACTIVE"


def test_changes_can_land_at_once():
    world = launch(pending=(0, 0))
    lb = web(world)
    world.update_node(lb.lb_id, lb.nodes[0].node_id, {"condition": "DRAINING"})
    assert (lb.status, lb.nodes[0].condition) == ("ACTIVE", "DRAINING")


# --- other hands


def test_other_hands_change_things_at_once_and_leave_a_trace_in_the_feed():
    world = launch()
    lb, hands = web(world), Hands(world)
    node_id = lb.nodes[0].node_id
    hands.set_condition(lb.lb_id, node_id, "DRAINING")
    assert world.show_node(lb.lb_id, node_id)["node"]["condition"] == "DRAINING"
    assert "DRAINING" in world.node_feed(lb.lb_id, node_id)[0][0].summary
    hands.delete_server(server(world, "web-06").server_id)
    with pytest.raises(ProviderError) as gone:
        world.show_server(server(world, "web-06").server_id)
    assert gone.value.status == 404
    assert world.truth.wrong_deletions[0].by == "hand"


def test_an_address_can_go_from_a_deleted_server_to_a_new_one_with_its_node_still_there():
    world = launch()
    hands, node, old = Hands(world), node_of(world, "web-06"), server(world, "web-06")
    hands.delete_server(old.server_id)
    new = hands.recycle_address(node.address, "web-06")
    assert new != old.server_id
    assert world.server_at(node.address).server_id == new
    assert world.node_answers(node)
    with pytest.raises(ValueError, match="no deleted server"):
        hands.recycle_address(node_of(world, "web-01").address, "x")


def test_other_hands_say_what_they_cannot_find():
    hands = Hands(launch())
    for call in (
        lambda: hands.remove_node(1, 2),
        lambda: hands.stop_server("nobody"),
        lambda: hands.do("dance"),
        lambda: hands.do("_apply", lb_id=1),
        lambda: hands.set_condition(71, 4001, "ASLEEP"),
    ):
        with pytest.raises(ValueError, match=r"There is no|is no condition"):
            call()


def test_a_server_that_a_hand_stops_while_it_is_deleted_is_gone_when_it_was_to_be():
    world = launch()
    going = server(world, "web-06")
    world.delete_server(going.server_id)
    Hands(world).stop_server(going.server_id)
    assert going.task_state == "deleting"
    took_s = world.settings.delete_s / world.settings.speed
    wait(world, took_s / 2)
    world.delete_server(going.server_id)
    wait(world, took_s * 2)
    assert going.deleted_t == pytest.approx(took_s, abs=0.01)
