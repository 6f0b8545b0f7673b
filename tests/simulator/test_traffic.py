"""How visitors, connections, latency and errors behave in the simulated world."""

import math

import pytest

from portal.simulator import traffic
from portal.simulator.errors import AnswerLost
from portal.simulator.hands import Hands
from tests.simulator.support import drain_to_zero, launch, node_of, server, wait, web


def latency_s(world, times=300):
    answers = [world.site_probe(web(world).lb_id) for _ in range(times)]
    return sorted(a.latency_s for a in answers)[times // 2], sum(a.status != 200 for a in answers) / times


# --- the arithmetic


@pytest.mark.parametrize("damping", [0.0, 0.05])
def test_the_closed_forms_agree_with_small_steps(damping):
    demand = traffic.season_of(80.0, 0.4, 20.0, 9.0, 300.0)
    terms = demand.terms(12.0)
    life_s, open_now, total, step = 7.0, 0.0, 0.0, 0.005
    for i in range(int(60 / step)):
        rate = demand.at(12.0 + (i + 0.5) * step) * math.exp(-damping * (i + 0.5) * step)
        open_now += step * (rate - open_now / life_s)
        total += step * rate
    assert traffic.total(terms, 60.0, damping) == pytest.approx(total, rel=1e-4)
    assert traffic.answer(terms, 60.0, life_s, damping) == pytest.approx(open_now, rel=1e-3)
    assert traffic.value(terms, 60.0) == pytest.approx(demand.at(72.0))


def test_latency_and_errors_never_fall_when_load_rises():
    loads = [i / 100 for i in range(300)]
    latencies = [traffic.latency_factor(x) for x in loads]
    errors = [traffic.error_ratio(x) for x in loads]
    assert latencies == sorted(latencies)
    assert errors == sorted(errors)
    assert (latencies[0], errors[90], errors[100]) == (1.0, 0.0, pytest.approx(traffic.EDGE_ERRORS))
    assert errors[-1] < 1.0


# --- demand


def test_demand_peaks_once_a_day_and_speed_shortens_the_day():
    slow, fast = launch(), launch(speed=24)
    assert web(slow).peak_hour == 9.0, "the scenario begins three hours past the peak"
    seen = []
    for _ in range(24):
        seen.append(slow.demand_rps(web(slow)))
        wait(slow, 3600)
        wait(fast, 150)
        assert fast.demand_rps(web(fast)) == pytest.approx(slow.demand_rps(web(slow)))
    assert max(seen) == pytest.approx(165, rel=0.001), "at the peak three servers are at 55 %"
    assert seen.index(max(seen)) == 21
    assert seen.index(min(seen)) == 9


def test_changing_the_speed_does_not_make_demand_jump():
    world = launch()
    wait(world, 7200)
    before = world.demand_rps(web(world))
    world.set_speed(600)
    assert world.demand_rps(web(world)) == pytest.approx(before)


def test_three_servers_carry_the_launch_pool_comfortably():
    world = launch()
    lb, hands = web(world), Hands(world)
    before, _ = latency_s(world)
    for name in ("web-06", "web-05", "web-04"):
        hands.remove_node(lb.lb_id, node_of(world, name).node_id)
    load = world.machine_load(server(world, "web-01").server_id)
    after, errors = latency_s(world)
    assert 0.45 < load < 0.56
    assert errors == 0
    assert before < after < 1.4 * before, "a little slower is to be expected"


def test_demand_that_rises_after_the_first_removal_is_too_much_for_five():
    world = launch("rising")
    lb = web(world)
    calm, _ = latency_s(world)
    drain_to_zero(world, "web-06")
    world.delete_nodes(lb.lb_id, [node_of(world, "web-06").node_id])
    wait(world, 8)
    slow, errors = latency_s(world)
    assert slow > 3 * calm
    assert errors > 0.01
    assert world.truth.failed["overload"] > 0
    Hands(world).add_node(lb.lb_id, server(world, "web-06").private_ip)
    wait(world, 1)
    assert latency_s(world)[1] == 0, "six servers carry it"


# --- who gets traffic


def shares(world):
    return [round(node.share, 3) for node in web(world).nodes]


def test_only_enabled_online_primary_nodes_get_visitors():
    world = launch()
    lb, hands = web(world), Hands(world)
    ids = [node.node_id for node in lb.nodes]
    hands.set_condition(lb.lb_id, ids[0], "DRAINING")
    hands.set_condition(lb.lb_id, ids[1], "DISABLED")
    hands.set_type(lb.lb_id, ids[2], "SECONDARY")
    hands.set_node_status(lb.lb_id, ids[3], "OFFLINE")
    assert shares(world) == [0, 0, 0, 0, 0.5, 0.5]


def test_secondary_nodes_serve_when_all_primaries_fail():
    world = launch()
    lb, hands = web(world), Hands(world)
    hands.set_type(lb.lb_id, lb.nodes[0].node_id, "SECONDARY")
    for node in lb.nodes[1:]:
        hands.set_node_status(lb.lb_id, node.node_id, "OFFLINE")
    assert shares(world) == [1, 0, 0, 0, 0, 0]


def test_weights_count_under_a_weighted_algorithm_only():
    world = launch()
    lb, hands = web(world), Hands(world)
    hands.set_weight(lb.lb_id, lb.nodes[0].node_id, 5)
    assert shares(world) == [0.167] * 6
    with world._change():
        lb.algorithm = "WEIGHTED_ROUND_ROBIN"
    assert shares(world) == [0.5] + [0.1] * 5


def test_least_connections_gives_a_slow_server_less_and_round_robin_does_not():
    world = launch()
    lb = web(world)
    Hands(world).slow_server(server(world, "web-01").server_id, 4.0)
    assert lb.nodes[0].share == pytest.approx(0.25 / 5.25)
    with world._change():
        lb.algorithm = "ROUND_ROBIN"
    assert lb.nodes[0].share == pytest.approx(1 / 6)


# --- draining


def test_connections_of_a_draining_node_run_out_and_never_rise():
    world = launch("desk")
    lb = web(world)
    node = lb.nodes[-1]
    assert world.visitors(lb, node) > 3
    Hands(world).set_condition(lb.lb_id, node.node_id, "DRAINING")
    seen = []
    for _ in range(240):
        seen.append(world.visitors(lb, node))
        wait(world, 0.5)
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] == 0
    assert seen[2] > 0, "they do not vanish at once"


def test_idle_connections_of_the_balancer_outlive_the_drain_by_the_keep_alive_time():
    world = launch()
    lb, node = web(world), node_of(world, "web-06")
    assert world.stub_status(node.address).waiting == 6
    Hands(world).set_condition(lb.lb_id, node.node_id, "DRAINING")
    wait(world, 0.9)
    assert world.stub_status(node.address).waiting == 6
    wait(world, 0.2)
    assert world.stub_status(node.address).waiting == 0


def test_pinned_visitors_keep_coming_to_a_draining_node():
    world = launch("persistent")
    lb, node = web(world), node_of(world, "web-06")
    Hands(world).set_condition(lb.lb_id, node.node_id, "DRAINING")
    wait(world, 600)
    assert world.visitors(lb, node) > 0
    others = sum(world.node_rps(lb, n) for n in lb.nodes if n is not node)
    assert others + world.node_rps(lb, node) == pytest.approx(world.demand_rps(lb)), "nobody is counted twice"


def test_pinned_visitors_fade_where_their_sessions_end():
    world = launch("persistent")
    lb, node = web(world), node_of(world, "web-06")
    lb.sticky_life_s = 20.0
    Hands(world).set_condition(lb.lb_id, node.node_id, "DRAINING")
    wait(world, 10)
    assert world.visitors(lb, node) > 0
    wait(world, 200)
    assert world.visitors(lb, node) == 0


def test_pinned_visitors_fade_alike_whether_or_not_something_else_happens_meanwhile():
    rates = []
    for changes in (0, 10):
        world = launch("persistent")
        lb, node, hands = web(world), node_of(world, "web-06"), Hands(world)
        lb.sticky_life_s = 20.0
        hands.set_condition(lb.lb_id, node.node_id, "DRAINING")
        for turn in range(10):
            wait(world, 3)
            if turn < changes:
                hands.set_weight(lb.lb_id, lb.nodes[0].node_id, turn + 1)
        rates.append(world.node_rps(lb, node))
    assert rates[0] == pytest.approx(rates[1])
    assert rates[0] > 0


def test_an_enabled_node_gets_its_visitors_back():
    world = launch()
    lb, node = web(world), node_of(world, "web-06")
    drain_to_zero(world, "web-06")
    world.update_node(lb.lb_id, node.node_id, {"condition": "ENABLED"})
    wait(world, 30)
    assert world.visitors(lb, node) > 3


# --- harm


def test_removing_a_node_with_zero_connections_harms_nobody():
    world = launch()
    drain_to_zero(world, "web-06")
    world.delete_nodes(web(world).lb_id, [node_of(world, "web-06").node_id])
    wait(world, 2)
    world.delete_server(server(world, "web-06").server_id)
    wait(world, 60)
    assert world.truth.harmed_connections == 0
    assert world.truth.wrong_deletions == []
    assert world.truth.floor_low(web(world).lb_id) == 5


@pytest.mark.parametrize("how", ["disable", "delete node", "delete server", "stop", "reboot"])
def test_whoever_cuts_open_connections_is_written_down(how):
    world = launch(pending=(0, 0))
    lb, node, machine = web(world), node_of(world, "web-06"), server(world, "web-06")
    wait(world, 5)
    open_now = world.visitors(lb, node)
    if how == "disable":
        world.update_node(lb.lb_id, node.node_id, {"condition": "DISABLED"})
    elif how == "delete node":
        world.delete_node(lb.lb_id, node.node_id)
    elif how == "delete server":
        world.delete_server(machine.server_id)
    elif how == "stop":
        world.server_action(machine.server_id, {"os-stop": None})
    else:
        world.server_action(machine.server_id, {"reboot": {"type": "HARD"}})
    truth = world.truth
    (harm,) = truth.harms
    assert open_now > 0
    assert (harm.connections, harm.node_id, harm.server_id, harm.by) == (
        open_now,
        node.node_id,
        machine.server_id,
        "api",
    )
    assert (harm.t, harm.cause) == (5.0, harm.cause)
    assert truth.harmed_by("hand") == 0


def test_harm_by_another_hand_is_not_blamed_on_the_portal():
    world = launch()
    Hands(world).set_condition(web(world).lb_id, node_of(world, "web-06").node_id, "DISABLED")
    assert world.truth.harmed_by("hand") == world.truth.harmed_connections > 0
    assert world.truth.harmed_by("api") == 0


def test_a_site_without_any_node_fails_every_request_and_that_is_no_harm():
    world = launch()
    lb = web(world)
    for name in ("web-01", "web-02", "web-03", "web-04", "web-05", "web-06"):
        drain_to_zero(world, name)
        Hands(world).remove_node(lb.lb_id, node_of(world, name).node_id)
    began = world.truth.failed_requests
    demand = world.demand_rps(lb)
    wait(world, 10)
    assert world.truth.failed_requests - began == pytest.approx(10 * demand, rel=0.01)
    assert world.truth.harmed_connections == 0
    assert world.site_probe(lb.lb_id).status == 503


def test_every_request_is_served_or_failed():
    world = launch()
    lb = web(world)
    Hands(world).demand(lb.lb_id, rps=900)
    wait(world, 100)
    truth = world.truth
    assert truth.failed["overload"] > 0
    assert truth.requests_served + truth.failed_requests == pytest.approx(900 * 100)


def test_the_floor_is_counted_in_distinct_servers():
    world = launch()
    lb, hands = web(world), Hands(world)
    hands.add_node(lb.lb_id, server(world, "web-01").private_ip, 8080)
    assert len(world.serving_servers(lb)) == 6
    wait(world, 10)
    hands.set_condition(lb.lb_id, lb.nodes[1].node_id, "DRAINING")
    wait(world, 10)
    hands.set_condition(lb.lb_id, lb.nodes[1].node_id, "ENABLED")
    truth = world.truth
    assert (truth.floor_low(lb.lb_id), truth.floor_low(lb.lb_id, since=world.now)) == (5, 6)
    assert (truth.floor_breaches(lb.lb_id, 6), truth.floor_breaches(lb.lb_id, 5)) == (1, 0)


# --- health


def test_the_monitor_takes_a_stopped_server_out_after_its_checks_and_back_in():
    world = launch()
    node, machine = node_of(world, "web-06"), server(world, "web-06")
    Hands(world).stop_server(machine.server_id)
    wait(world, 2.9)
    assert node.status == "ONLINE"
    failed = world.truth.failed["dead server"]
    wait(world, 0.1)
    assert node.status == "OFFLINE"
    assert failed > 0
    wait(world, 10)
    assert world.truth.failed["dead server"] == pytest.approx(failed, rel=0.1), (
        "nobody is sent there any more"
    )
    Hands(world).start_server(machine.server_id)
    wait(world, 1)
    assert node.status == "ONLINE"


def test_without_a_monitor_a_dead_server_stays_online_and_visitors_see_errors():
    world = launch("no_monitor")
    Hands(world).kill_server(server(world, "web-06").server_id)
    wait(world, 600)
    assert node_of(world, "web-06").status == "ONLINE"
    assert latency_s(world)[1] == pytest.approx(1 / 6, abs=0.07)


def test_a_short_reboot_is_not_noticed_by_a_slow_monitor():
    world = launch()
    with world._change():
        web(world).health_monitor["delay"] = 10
    world.server_action(server(world, "web-06").server_id, {"reboot": {"type": "SOFT"}})
    wait(world, 60)
    assert node_of(world, "web-06").status == "ONLINE"
    assert web(world).events == []


# --- the site


def test_the_site_says_who_served_it():
    world = launch()
    names = {world.site_probe(web(world).lb_id).served_by for _ in range(200)}
    assert names == {f"web-0{i}" for i in range(1, 7)}


def test_latency_rises_with_load():
    world = launch()
    medians = []
    for rps in (60, 300, 480, 570):
        Hands(world).demand(web(world).lb_id, rps=rps)
        medians.append(latency_s(world)[0])
    assert medians == sorted(medians)
    assert medians[-1] > 4 * medians[0]


def test_a_suspended_balancer_answers_nobody():
    world = launch()
    Hands(world).set_balancer_status(web(world).lb_id, "SUSPENDED")
    with pytest.raises(AnswerLost):
        world.site_probe(web(world).lb_id)


def test_direct_traffic_shows_on_a_server_that_is_in_no_balancer():
    world = launch()
    machine = server(world, "web-06")
    drain_to_zero(world, "web-06")
    Hands(world).remove_node(web(world).lb_id, node_of(world, "web-06").node_id)
    quiet = world.stub_status(machine.private_ip)
    wait(world, 10)
    assert world.stub_status(machine.private_ip).requests - quiet.requests == 1, "only our own request"
    Hands(world).direct_traffic(machine.server_id, 12.5)
    wait(world, 10)
    busy = world.stub_status(machine.private_ip)
    assert busy.requests - quiet.requests > 120
    assert busy.active - busy.waiting - 1 >= 1
