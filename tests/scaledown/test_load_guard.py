"""The load guard judges what it can see, on each balancer, and says when it cannot see enough."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portal.cloud.types import BalancerStatus, Condition, NodeStatus, NodeType
from portal.runs.types import HaltRank, OutcomeKind, RunStatus
from scaledown import looks
from scaledown.progress import Meter, new_progress
from scaledown.types import BalancerSeen, NodeSeen, Observation, Phase, PlannedNode, ServerSeen
from tests.scaledown.machine_cases import START, Desk, a_plan, planned


def look(desk: Desk, rps: int, blind=(), most: int = 1, until=lambda: False) -> None:
    """Let each server of the pool serve `rps` requests a second; the status pages of `blind` give no answer."""
    for _ in range(most):
        totals = {}
        for server in (*desk.plan.servers, *desk.plan.remaining):
            totals[server.server_id] = desk.totals.get(server.server_id, 1000) + rps
        desk.totals = totals
        desk.requests = {k: None if k in blind else v for k, v in totals.items()}
        desk.connections = dict.fromkeys(blind)
        desk.look()
        if until():
            return


def holding(**changes) -> Desk:
    desk = Desk(a_plan(**({"hold_s": 3600.0, "ceiling_rps": 100.0, "servers": (planned(6),)} | changes)))
    desk.totals = {}
    look(desk, 10, most=200, until=lambda: desk.phase() is Phase.HELD)
    assert desk.phase() is Phase.HELD
    return desk


def test_rising_load_puts_a_held_server_back_although_one_status_page_is_dead():
    desk = holding()
    look(desk, 10, blind=("srv-1",), most=30)
    assert desk.condition(6) is None
    look(desk, 95, blind=("srv-1",), most=15)
    assert desk.condition(6) is Condition.ENABLED
    assert desk.halt.code == "traffic_rising"
    assert desk.halt.rank is HaltRank.DECIDE_TODAY


@pytest.mark.parametrize(
    ("rps", "limits", "rank"),
    [
        (95, {"ceiling_rps": 100.0}, HaltRank.DECIDE_TODAY),
        (120, {"ceiling_rps": 100.0}, HaltRank.SITE_IN_DANGER),
        (120, {"ceiling_rps": None, "fine_load_rps": 80.0}, HaltRank.DECIDE_TODAY),
    ],
)
def test_load_wakes_people_over_the_ceiling_and_not_over_the_guard_alone(rps, limits, rank):
    desk = holding(**limits)
    look(desk, rps, most=20, until=lambda: desk.status is RunStatus.HALTED)
    assert (desk.halt.code, desk.halt.rank) == ("traffic_rising", rank)
    look(desk, rps, most=5)
    assert desk.condition(6) is Condition.ENABLED


@pytest.mark.parametrize("worse", ["load", "probes"])
def test_a_run_that_put_everything_back_says_once_that_the_site_is_in_danger_by_now(worse):
    desk = holding()
    look(desk, 95, most=20, until=lambda: desk.condition(6) is Condition.ENABLED)
    look(desk, 95, most=5)
    assert (desk.status, desk.halt.rank) == (RunStatus.HALTED, HaltRank.DECIDE_TODAY)
    desk.probe_ok = worse != "probes"
    look(desk, 95 if worse == "probes" else 130, most=20)
    assert (desk.halt.code, desk.halt.rank) == ("traffic_rising", HaltRank.SITE_IN_DANGER)
    assert desk.halt.says.startswith("The site is in danger by now. ")
    assert ("the most that one carries" in desk.halt.says) is (worse == "load")
    halt = desk.halt
    look(desk, 130, most=20)
    look(desk, 20, most=20)
    assert desk.halt == halt, "no new halt, and nothing that looks better than it was told"


@pytest.mark.parametrize("worse", ["load", "probes"])
def test_people_are_woken_where_the_server_that_the_site_needs_cannot_go_back(worse):
    desk = holding()
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], status="ERROR")
    look(desk, 95, most=20, until=lambda: desk.status is RunStatus.HALTED)
    look(desk, 95, most=5)
    assert (desk.halt.code, desk.halt.rank) == ("cannot_put_back", HaltRank.DECIDE_TODAY)
    desk.probe_ok = worse != "probes"
    look(desk, 95 if worse == "probes" else 130, most=20)
    assert desk.halt.rank is HaltRank.SITE_IN_DANGER
    halt = desk.halt
    look(desk, 130, most=20)
    assert desk.halt == halt


def test_people_are_woken_where_fewer_than_the_floor_serve_and_that_gets_worse():
    desk = Desk(a_plan(ceiling_rps=100.0, floor=4, servers=(planned(6),)))
    desk.totals = {}
    look(desk, 10, most=20, until=lambda: desk.progress.started_at is not None)
    for name in ("401", "402"):
        desk.nodes[name] = replace(desk.nodes[name], status=NodeStatus.OFFLINE)
    look(desk, 10, most=20, until=lambda: desk.status is RunStatus.HALTED)
    assert (desk.halt.code, desk.halt.rank) == ("floor_broken", HaltRank.DECIDE_TODAY)
    desk.probe_ok = False
    look(desk, 10, most=5)
    assert (desk.halt.code, desk.halt.rank) == ("floor_broken", HaltRank.SITE_IN_DANGER)


def test_a_put_back_that_the_provider_refuses_at_a_load_over_the_guard_wakes_nobody():
    desk = holding()
    desk.outcome = replace(desk.outcome, kind=OutcomeKind.REFUSED, says="Over quota.")
    look(desk, 85, most=40)
    assert (desk.halt.code, desk.halt.rank) == ("cannot_put_back", HaltRank.DECIDE_TODAY)


def test_one_spike_over_the_ceiling_is_none_and_two_are():
    desk = holding()
    desk.progress = replace(desk.progress, hot_looks=2)
    rates = {one.server_id: Meter(rps=120.0, rps_before=90.0, rps_at=desk.now) for one in desk.plan.remaining}
    spike = replace(desk.progress, meters=rates)
    assert not looks.is_over_ceiling(desk.plan, spike, desk.observation(), desk.now)
    rates = {one: replace(meter, rps_before=110.0) for one, meter in rates.items()}
    assert looks.is_over_ceiling(desk.plan, replace(spike, meters=rates), desk.observation(), desk.now)


def test_load_that_stays_unknown_for_a_minute_while_a_server_is_out_halts_and_names_the_server():
    desk = holding()
    look(desk, 10, blind=("srv-1",), most=60)
    assert desk.status is RunStatus.RUNNING
    look(desk, 10, blind=("srv-1",), most=30)
    assert desk.halt.code == "load_unknown"
    assert desk.halt.rank is HaltRank.DECIDE_TODAY
    assert "web-01" in desk.halt.says
    assert desk.condition(6) is None
    assert desk.progress.pool_load is None


def test_a_halt_for_unknown_load_is_not_resumed_before_the_load_is_known_again():
    desk = holding()
    look(desk, 10, blind=("srv-1", "srv-2", "srv-3"), most=90)
    assert desk.halt.code == "load_unknown"
    answer = desk.command("resume")
    assert not answer.accepted
    assert "not known" in answer.says
    look(desk, 10, most=8)
    assert desk.command("resume").accepted
    look(desk, 10, most=8)
    assert desk.status is RunStatus.RUNNING


def test_load_that_becomes_unknown_beside_another_halt_is_said_once_and_leaves_its_question():
    desk = holding()
    desk.nodes["401"] = replace(desk.nodes["401"], weight=3)
    desk.nodes["402"] = replace(desk.nodes["402"], type=NodeType.SECONDARY, condition=Condition.ENABLED)
    desk.plan = replace(desk.plan, floor=1)
    look(desk, 10)
    assert desk.halt.code == "changed_by_other_hand"
    look(desk, 10, blind=("srv-1",), most=120)
    assert desk.halt.code == "changed_by_other_hand"
    assert [e.detail["code"] for e in desk.journal if e.kind == "also_halted"] == ["load_unknown"]


def test_unknown_load_halts_no_run_that_has_nothing_out_or_guards_no_load():
    waiting = Desk(a_plan(ceiling_rps=100.0))
    waiting.until(lambda: waiting.now > START + timedelta(seconds=150))
    assert waiting.status is RunStatus.RUNNING
    unguarded = Desk(a_plan(ceiling_rps=None, hold_s=3600.0))
    unguarded.until_phase(Phase.HELD)
    unguarded.until(lambda: unguarded.now > START + timedelta(seconds=190))
    assert unguarded.status is RunStatus.RUNNING


def test_a_part_of_the_load_figures_is_no_evidence_for_a_soak_and_calms_nothing():
    desk = Desk(a_plan(ceiling_rps=100.0, servers=(planned(6),), soak_s=30.0))
    desk.totals = {}
    look(desk, 10, most=100, until=lambda: desk.phase() is Phase.VERIFYING)
    look(desk, 10, blind=("srv-1",), most=22)
    looks_before = desk.way().soak.load_looks
    look(desk, 10, blind=("srv-1",), most=8)
    assert desk.way().soak is not None
    assert desk.way().soak.load_looks == looks_before
    desk.progress = replace(desk.progress, hot_looks=1)
    look(desk, 10, blind=("srv-1",), most=5)
    assert desk.progress.hot_looks == 1


# --- on each balancer -----------------------------------------------------------------------------------


def on(number: int, *balancer_ids: str):
    nodes = tuple(
        PlannedNode(b, f"{b}-{number}", f"10.0.0.{number}", 80, NodeType.PRIMARY, None) for b in balancer_ids
    )
    return replace(planned(number), nodes=nodes)


def seen(balancer_id: str, servers) -> BalancerSeen:
    nodes = tuple(
        NodeSeen(n.node_id, n.address, 80, Condition.ENABLED, NodeStatus.ONLINE, n.type, None)
        for server in servers
        for n in server.nodes
        if n.balancer_id == balancer_id
    )
    return BalancerSeen(
        balancer_id, f"lb-{balancer_id}", BalancerStatus.ACTIVE, nodes, True, None, 30.0, START
    )


def alive(servers) -> dict[str, ServerSeen]:
    return {
        s.server_id: ServerSeen(
            s.server_id, False, s.name, "ACTIVE", None, s.created_at, s.addresses, None, False, (), START
        )
        for s in servers
    }


def two_balancers(rps: dict[int, float]):
    """Return what `looks` judges on: servers 1 to 3 on balancer 71, 4 to 9 on 72; 1 is to be taken out."""
    servers = [on(n, "71" if n <= 3 else "72") for n in range(1, 10)]
    plan = a_plan(
        balancer_ids=("71", "72"),
        servers=(servers[0],),
        remaining=tuple(servers[1:]),
        floor=2,
        ceiling_rps=95.0,
    )
    observation = Observation(
        START, balancers={b: seen(b, servers) for b in ("71", "72")}, servers=alive(servers)
    )
    meters = {f"srv-{n}": Meter(1, START, value, START, START) for n, value in rps.items()}
    return plan, servers[0], replace(new_progress(plan, START), meters=meters), observation, START


def test_a_quiet_balancer_does_not_hide_that_another_one_would_carry_too_much():
    rps = dict.fromkeys((1, 2, 3), 60.0) | dict.fromkeys(range(4, 10), 5.0)
    obstacle = looks.may_take_out(*two_balancers(rps))
    assert obstacle.code == "load_too_high"
    assert "each would carry 90.0 requests/s on lb-71" in obstacle.says


def test_the_busiest_balancer_gives_the_load_per_node_and_the_pool_is_the_sum():
    rps = dict.fromkeys((1, 2, 3), 40.0) | dict.fromkeys(range(4, 10), 5.0)
    plan, server, progress, observation, now = two_balancers(rps)
    assert looks.may_take_out(plan, server, progress, observation, now) is None
    assert looks.pool_load(plan, progress, observation, now) == (150.0, 40.0)


def test_one_unknown_server_leaves_the_pool_unknown_and_the_known_means_known():
    rps = dict.fromkeys((1, 2), 40.0) | dict.fromkeys(range(4, 10), 5.0)
    plan, server, progress, observation, now = two_balancers(rps)
    assert looks.pool_load(plan, progress, observation, now) == (None, None)
    assert looks.known_mean(plan, progress, observation, now) == 40.0
    assert looks.may_take_out(plan, server, progress, observation, now).code == "load"


def test_a_server_that_drains_on_one_balancer_still_weighs_on_it():
    rps = dict.fromkeys((1, 2, 3), 50.0) | dict.fromkeys(range(4, 10), 5.0)
    plan, server, progress, observation, now = two_balancers(rps)
    pool = observation.balancers["71"]
    nodes = tuple(
        replace(n, condition=Condition.DRAINING) if n.address == "10.0.0.1" else n for n in pool.nodes
    )
    observation = replace(observation, balancers={**observation.balancers, "71": replace(pool, nodes=nodes)})
    assert looks.may_take_out(plan, server, progress, observation, now) is None
    progress = replace(progress, meters={**progress.meters, "srv-1": Meter(1, now, 60.0, now, now)})
    assert looks.may_take_out(plan, server, progress, observation, now).code == "load_too_high"


def two_shared(rates):
    """Return what `looks` judges on: 1 and 2 serve on both balancers, 3 to 6 on 71 alone; 1 is to go."""
    servers = [on(n, "71", "72") if n <= 2 else on(n, "71") for n in range(1, 7)]
    plan = a_plan(
        balancer_ids=("71", "72"),
        servers=(servers[0],),
        remaining=tuple(servers[1:]),
        floor=1,
        ceiling_rps=95.0,
    )
    observation = Observation(
        START, balancers={b: seen(b, servers) for b in ("71", "72")}, servers=alive(servers)
    )
    meters = {f"srv-{n}": Meter(1, START, rate, START, START) for n, rate in rates.items()}
    return plan, servers[0], replace(new_progress(plan, START), meters=meters), observation, START


def test_a_server_on_two_balancers_hands_to_the_smaller_one_only_what_it_takes_from_it():
    # 26 from 71 and 14 from 72: the other server of 72 would carry 40 + 14, and a little more from 71.
    assert looks.may_take_out(*two_shared({1: 40.0, 2: 40.0} | dict.fromkeys(range(3, 7), 26.0))) is None
    # 26 from 71 and 34 from 72: it would carry 60 + 34 and more.
    obstacle = looks.may_take_out(*two_shared({1: 60.0, 2: 60.0} | dict.fromkeys(range(3, 7), 26.0)))
    assert obstacle.code == "load_too_high"
    assert "lb-72" in obstacle.says


def test_servers_that_are_all_on_both_balancers_carry_a_leaving_one_once():
    servers = [on(n, "71", "72") for n in (1, 2, 3)]
    plan = a_plan(
        balancer_ids=("71", "72"),
        servers=(servers[0],),
        remaining=tuple(servers[1:]),
        floor=1,
        ceiling_rps=95.0,
    )
    observation = Observation(
        START, balancers={b: seen(b, servers) for b in ("71", "72")}, servers=alive(servers)
    )
    for rate, allowed in ((50.0, True), (51.0, False)):
        meters = {f"srv-{n}": Meter(1, START, rate, START, START) for n in (1, 2, 3)}
        progress = replace(new_progress(plan, START), meters=meters)
        obstacle = looks.may_take_out(plan, servers[0], progress, observation, START)
        assert (obstacle is None) is allowed


# --- against how balancers really spread ----------------------------------------------------------------

MEMBERSHIPS = st.lists(st.sets(st.sampled_from(["71", "72", "73"]), min_size=1), min_size=2, max_size=6).map(
    lambda found: [tuple(sorted(one)) for one in found]
)


def spread(loads, members):
    """Return what each server carries where each balancer spreads its load evenly over those that serve on it."""
    carried = dict.fromkeys(members, 0.0)
    for balancer_id, load in loads.items():
        here = [number for number, places in members.items() if balancer_id in places]
        for number in here:
            carried[number] += load / len(here)
    return carried


@settings(max_examples=400, deadline=None)
@example([("71", "72"), ("71",), ("72", "73")], {"71": 90.0, "72": 20.0, "73": 45.0})
@given(
    MEMBERSHIPS,
    st.fixed_dictionaries({b: st.integers(0, 300).map(float) for b in ("71", "72", "73")}),
)
def test_what_the_guard_allows_never_carries_too_much_where_balancers_spread_evenly(memberships, loads):
    members = dict(enumerate(memberships, start=1))
    used = sorted({b for places in memberships for b in places})
    loads = {b: loads[b] for b in used}
    servers = [on(n, *places) for n, places in members.items()]
    plan = a_plan(
        balancer_ids=tuple(used),
        servers=(servers[0],),
        remaining=tuple(servers[1:]),
        floor=0,
        ceiling_rps=100.0,
    )
    observation = Observation(START, balancers={b: seen(b, servers) for b in used}, servers=alive(servers))
    carried = spread(loads, members)
    meters = {f"srv-{n}": Meter(1, START, rate, START, START) for n, rate in carried.items()}
    progress = replace(new_progress(plan, START), meters=meters)
    if looks.may_take_out(plan, servers[0], progress, observation, START) is not None:
        return
    left = {n: places for n, places in members.items() if n != 1}
    after = spread({b: load for b, load in loads.items() if any(b in p for p in left.values())}, left)
    for balancer_id in used:
        here = [after[n] for n, places in left.items() if balancer_id in places]
        assert not here or sum(here) / len(here) <= 80.0 + 1e-6, (balancer_id, here, carried)
