"""The control plane, and the simulator's state over restarts."""

import json

import pytest

from portal.simulator import state
from portal.simulator.clock import RealClock
from portal.simulator.world import World
from tests.simulator.support import CONTROL, Desk, launch, node_of, server, wait, web


def test_the_control_plane_is_shut_without_its_token():
    desk = Desk()
    assert desk.raw("GET", "/_sim/truth").status_code == 404
    assert desk.raw("GET", "/_sim/truth", headers={"X-Simulator-Token": "wrong"}).status_code == 404
    assert desk.control("GET", "/truth").status_code == 200


def test_the_control_plane_is_off_where_no_token_was_given_at_the_start():
    desk = Desk(control=False)
    for token in ("", CONTROL):
        assert desk.raw("GET", "/_sim/truth", headers={"X-Simulator-Token": token}).status_code == 404


def test_a_virtual_clock_moves_only_when_told():
    desk = Desk()
    assert desk.control("POST", "/clock/tick", json={"seconds": 90}).json() == {"now_s": 90}
    assert desk.control("GET", "/clock").json() == {"now_s": 90, "time": "2026-11-23T12:01:30+00:00"}
    assert desk.control("POST", "/clock/tick", json={"seconds": -1}).status_code == 400


def test_real_time_cannot_be_moved():
    desk = Desk()
    desk.app.clock = RealClock()
    assert desk.control("POST", "/clock/tick", json={"seconds": 90}).status_code == 409


def test_faults_are_ordered_listed_and_removed():
    desk = Desk()
    made = desk.control(
        "POST", "/faults", json={"kind": "server_error", "route": "lb.list", "times": None, "status": 502}
    )
    assert made.status_code == 201
    assert desk.clb("GET", "/loadbalancers").status_code == 502
    (fault,) = desk.control("GET", "/faults").json()["faults"]
    assert fault["hits"] == 1
    assert desk.control("DELETE", f"/faults/{fault['fault_id']}").status_code == 204
    assert desk.clb("GET", "/loadbalancers").status_code == 200
    desk.control("POST", "/faults", json={"kind": "delay", "seconds": 1})
    assert desk.control("DELETE", "/faults").status_code == 204
    assert desk.control("GET", "/faults").json() == {"faults": []}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/faults", {"kind": "earthquake"}),
        ("POST", "/faults", {}),
        ("POST", "/hands", {"do": "dance"}),
        ("POST", "/hands", {"do": "stop_server"}),
        ("POST", "/scenario", {"name": "nonsense"}),
        ("PATCH", "/settings", {"colour": "red"}),
        ("POST", "/hands", ["list"]),
    ],
)
def test_nonsense_is_refused_with_a_sentence(method, path, body):
    answer = Desk().control(method, path, json=body)
    assert answer.status_code == 400
    assert answer.json()["message"]


def test_other_hands_work_over_the_control_plane_and_show_in_the_truth():
    desk = Desk()
    lb = web(desk.world)
    body = {"do": "set_condition", "lb_id": lb.lb_id, "node_id": lb.nodes[0].node_id, "condition": "DISABLED"}
    assert desk.control("POST", "/hands", json=body).status_code == 200
    truth = desk.control("GET", "/truth").json()
    assert truth["harmed_connections"] > 0
    assert truth["harmed_by_api"] == 0
    assert truth["floor_low"] == {str(lb.lb_id): 5}
    log = desk.control("GET", "/truth/log").json()["log"]
    assert log[-1]["by"] == "hand"


def test_the_truth_counts_breaches_of_a_floor():
    desk = Desk()
    lb = web(desk.world)
    desk.hands.remove_node(lb.lb_id, lb.nodes[0].node_id)
    assert desk.control("GET", "/truth?floor=6").json()["floor_breaches"] == {str(lb.lb_id): 1}
    assert desk.control("GET", "/truth?floor=5").json()["floor_breaches"] == {str(lb.lb_id): 0}


def test_the_overview_has_the_hidden_counts():
    desk = Desk()
    (lb,) = desk.control("GET", "/world").json()["load_balancers"]
    assert [node["visitors"] for node in lb["nodes"]] == [
        desk.world.visitors(web(desk.world), node) for node in web(desk.world).nodes
    ]
    assert lb["serving"] == 6


def test_a_scenario_replaces_the_world_and_goes_on_from_now():
    desk = Desk()
    desk.tick(500)
    overview = desk.control("POST", "/scenario", json={"name": "persistent", "seed": 9}).json()
    assert overview["scenario"] == "persistent"
    assert overview["now_s"] == 0
    desk.tick(5)
    assert desk.control("GET", "/clock").json()["time"] == "2026-11-23T12:08:25+00:00"
    assert desk.login("demo", "demo-api-key").status_code == 200


def test_settings_can_be_changed_while_it_runs():
    desk = Desk()
    desk.control("PATCH", "/settings", json={"pending_update_s": [0, 0], "speed": 30})
    lb = web(desk.world)
    desk.clb("DELETE", f"/loadbalancers/{lb.lb_id}/nodes/{lb.nodes[0].node_id}")
    assert (lb.status, len(lb.nodes)) == ("ACTIVE", 5)


# --- state


def busy_world():
    world = launch("persistent", seed=7)
    lb = web(world)
    world.add_fault("late", "node.update", seconds=30, target=lb.nodes[1].node_id)
    world.add_fault("delay", "lb.show", seconds=1, times=3)
    world.authenticate({"auth": {"passwordCredentials": {"username": "demo", "password": "demo-password"}}})
    world.update_node(lb.lb_id, lb.nodes[0].node_id, {"condition": "DRAINING"})
    world.server_action(server(world, "web-02").server_id, {"createImage": {"name": "x"}})
    world.delete_server(server(world, "web-06").server_id)
    wait(world, 1)
    return world


def test_a_saved_world_lives_on_as_the_one_it_was_saved_from():
    world = busy_world()
    again = World.from_state(json.loads(json.dumps(world.to_state())))
    for _ in range(20):
        for one in (world, again):
            wait(one, 20)
            one.site_probe(web(one).lb_id)
            one.load_balancer_stats(web(one).lb_id)
    assert json.dumps(again.to_state()) == json.dumps(world.to_state())


def test_saving_leaves_no_half_file_and_loading_brings_deleted_servers_back_deleted(tmp_path):
    path = tmp_path / "a state.json"
    assert state.load(path) is None
    world = busy_world()
    wait(world, 60)
    state.save(world, path)
    again = state.load(path)
    assert server(again, "web-06").status == "DELETED"
    assert again.truth.wrong_deletions == world.truth.wrong_deletions
    assert [p.name for p in tmp_path.iterdir()] == ["a state.json"]


def test_a_broken_state_file_is_named_with_what_can_be_done(tmp_path):
    path = tmp_path / "state.json"
    path.write_text('{"format": 1, "seed"')
    with pytest.raises(ValueError, match=r"state\.json cannot be read .* Move the file away"):
        state.load(path)


def test_a_state_of_another_format_is_refused():
    with pytest.raises(ValueError, match="format"):
        World.from_state({"format": 99})


def test_what_a_client_was_told_is_saved_before_the_answer_leaves():
    saved = []
    desk = Desk(on_change=lambda world: saved.append(json.dumps(world.to_state())))
    count = len(saved)
    victim = server(desk.world, "web-06").server_id
    desk.nova("DELETE", f"/servers/{victim}")
    assert len(saved) == count + 1
    assert World.from_state(json.loads(saved[-1])).servers[victim].task_state == "deleting"
    desk.nova("GET", f"/servers/{victim}")
    assert len(saved) == count + 1, "reading changes nothing"


def test_a_write_whose_answer_is_lost_is_saved_too():
    saved = []
    desk = Desk(on_change=saved.append)
    desk.world.add_fault("reset_after", "node.delete")
    count = len(saved)
    lb = web(desk.world)
    with pytest.raises(Exception, match="reset"):
        desk.clb("DELETE", f"/loadbalancers/{lb.lb_id}/nodes/{node_of(desk.world, 'web-06').node_id}")
    assert len(saved) == count + 1


def test_the_owner_of_the_site_publishes_a_proof_that_anybody_reads():
    desk = Desk()
    place = "/.well-known/steady-state.txt"
    assert desk.raw("GET", place).status_code == 404
    for line in ("steady-state=one", "steady-state=two", "steady-state=one"):
        assert desk.control("POST", "/published", json={"line": line}).status_code == 201
    assert desk.raw("GET", place).text == "steady-state=one\nsteady-state=two\n"
    assert desk.raw("POST", "/_sim/published", json={"line": "x"}).status_code == 404
