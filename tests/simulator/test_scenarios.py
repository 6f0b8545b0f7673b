"""The worlds that one can begin with."""

import pytest

from portal.simulator import scenarios
from portal.simulator.world import World
from tests.simulator.support import launch, node_of, server, web


@pytest.mark.parametrize("name", sorted(scenarios.SCENARIOS))
def test_every_scenario_is_healthy_at_the_start_and_lets_the_demo_user_in(name):
    world = launch(name)
    access = world.authenticate(
        {"auth": {"passwordCredentials": {"username": scenarios.USERNAME, "password": scenarios.PASSWORD}}}
    )
    assert access["access"]["token"]["tenant"]["id"] == scenarios.TENANT
    assert world.scenario == name
    assert world.truth.harmed_connections == 0
    assert world.truth.failed_requests == 0
    for lb in world.balancers.values():
        assert lb.status == "ACTIVE"
        assert world.site_probe(lb.lb_id).status == 200
        assert all(world.machine_load(world.machine_key(node)) < 0.75 for node in lb.nodes)
        assert lb.timeout <= 2, "demo plans need short waits"


def test_the_launch_pool_shows_which_servers_the_event_added():
    world = launch()
    assert [s.name for s in world.servers.values()] == [f"web-0{i}" for i in range(1, 7)]
    for name in ("web-01", "web-02", "web-03"):
        assert server(world, name).created_t < scenarios.EVENT_STARTED_T
        assert "added_for" not in server(world, name).metadata
    for name in ("web-04", "web-05", "web-06"):
        assert scenarios.EVENT_STARTED_T < server(world, name).created_t < scenarios.EVENT_ENDED_T
        (entry,), _ = world.node_feed(web(world).lb_id, node_of(world, name).node_id)
        assert scenarios.EVENT_STARTED_T < entry.t < scenarios.EVENT_ENDED_T
    assert web(world).algorithm == "LEAST_CONNECTIONS"
    assert web(world).health_monitor is not None


def test_one_scenario_has_a_server_in_two_balancers():
    world = launch("two_balancers")
    found = world.list_load_balancers(node_address=node_of(world, "web-06").address)["loadBalancers"]
    assert [lb["name"] for lb in found] == ["web", "api"]


def test_one_scenario_has_the_autoscalers_marks():
    world = launch("autoscaled")
    marked = {
        s.name for s in world.servers.values() if any(k.startswith("rax:autoscale") for k in s.metadata)
    }
    assert marked == {"web-04", "web-05", "web-06"}


def test_one_scenario_has_a_node_that_matches_no_server():
    world = launch("unmatched")
    unknown = [n for n in web(world).nodes if world.server_at(n.address) is None]
    assert [n.address for n in unknown] == ["10.190.7.7"]
    assert unknown[0].share > 0, "it serves visitors all the same"


def test_the_desk_has_two_tenants_who_do_not_see_each_other():
    world = launch("desk")
    first = world.list_load_balancers(tenant=scenarios.TENANT)["loadBalancers"]
    second = world.list_load_balancers(tenant=scenarios.SECOND_TENANT)["loadBalancers"]
    assert [lb["name"] for lb in first] == ["web", "api", "shop", "legacy"]
    assert [lb["name"] for lb in second] == ["front"]
    addresses = [s.private_ip for s in world.servers.values()]
    assert len(addresses) == len(set(addresses))


def test_an_unknown_scenario_is_refused_with_the_list():
    with pytest.raises(ValueError, match="launch"):
        scenarios.apply(World(), "nonsense")


def test_the_same_seed_makes_the_same_world_and_another_seed_another():
    assert launch(seed=5).to_state() == launch(seed=5).to_state()
    assert set(launch(seed=5).servers) != set(launch(seed=6).servers)
