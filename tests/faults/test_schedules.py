"""Invariants 1 to 8 hold under faults, deaths, freezes, people's commands and other hands.

About 20 s in `make test`; `FAULT_EXAMPLES` makes the search longer.
"""

from __future__ import annotations

import os
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.runs.types import RunStatus
from scaledown.types import AtLimit, Grade, Phase
from tests.faults.schedules import event_lists, random_events
from tests.faults.simulation import Event, simulate

EXAMPLES = int(os.environ.get("FAULT_EXAMPLES", "12"))
SCENARIOS = ["launch", "launch", "no_monitor", "unmatched", "rising", "persistent"]


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(
    events=event_lists(),
    seed=st.integers(1, 9),
    scenario=st.sampled_from(SCENARIOS),
    floor=st.sampled_from([2, 3]),
    hold_s=st.sampled_from([0.0, 0.0, 20.0]),
)
def test_whatever_happens_no_rule_is_broken(events, seed, scenario, floor, hold_s):
    plan = {"floor": floor, "hold_s": hold_s, "drain_limit_s": 30.0}
    result = simulate(events, seed=seed, scenario=scenario, plan=plan, horizon_s=260.0)
    assert result.violations == []


@pytest.mark.parametrize("seed", range(EXAMPLES // 3))
def test_no_rule_is_broken_in_a_schedule_from_a_seed(seed):
    random = Random(90_000 + seed)
    events = random_events(random, most=12)
    result = simulate(events, seed=seed % 7 + 1, horizon_s=260.0, lose_wakes=seed % 3 == 0)
    assert result.violations == []


def test_a_quiet_run_retires_three_servers_and_harms_nobody():
    result = simulate()
    assert result.status is RunStatus.COMPLETED
    assert [way.phase for way in result.progress.servers] == [Phase.RETIRED] * 3
    assert result.world.truth.harmed_connections == 0
    assert result.world.truth.floor_breaches(int(result.world.scenario and 71), 2) == 0
    assert result.counts["delete"] == 3


@pytest.mark.parametrize("point", range(1, 200, 31))
def test_a_worker_may_die_at_any_point_of_a_tick_and_the_run_goes_on(point):
    result = simulate([Event(point, "die")], horizon_s=300.0)
    assert result.violations == []
    assert result.status is RunStatus.COMPLETED
    assert result.counts["die"] == 1


@pytest.mark.parametrize("point", range(4, 200, 44))
@pytest.mark.parametrize("seconds", [11.0, 40.0])
def test_a_worker_that_was_frozen_and_wakes_up_does_no_harm(point, seconds):
    result = simulate([Event(point, "freeze", "", (seconds,))], horizon_s=320.0)
    assert result.violations == []
    assert result.status is RunStatus.COMPLETED
    assert result.counts["freeze"] == 1


def test_while_one_worker_is_frozen_the_other_takes_the_run_over():
    result = simulate([Event(30, "freeze", "", (40.0,))], horizon_s=320.0)
    assert result.violations == []
    assert result.counts["sent while another is frozen"] > 0


@pytest.mark.parametrize("point", range(5, 200, 49))
def test_a_standstill_in_mid_tick_holds_back_the_change_in_hand(point):
    result = simulate([Event(point, "at_point", "", (Event(0.0, "standstill"),))], horizon_s=120.0)
    assert result.violations == []
    assert result.progress.waiting.code == "standstill"


@pytest.mark.parametrize("write", ["node.update", "node.delete", "server.delete"])
@pytest.mark.parametrize(
    ("how", "seconds"),
    [("timeout_after", None), ("timeout_before", None), ("late", 6.0), ("late", 40.0), ("late", 80.0)],
)
def test_a_lost_answer_is_read_and_never_repeated_blindly(write, how, seconds):
    result = simulate([Event(0.0, "fault", f"{write} {how}", (1, seconds))], horizon_s=320.0)
    assert result.violations == []
    assert result.status is RunStatus.COMPLETED


def test_traffic_that_does_not_keep_up_puts_the_first_server_back_before_anything_is_deleted():
    result = simulate(scenario="rising", horizon_s=120.0)
    assert result.violations == []
    assert result.halt.code == "traffic_not_keeping_up"
    assert result.progress.servers[0].phase is Phase.RESTORED
    assert result.counts["delete"] == 0


def test_pinned_visitors_are_never_cut_unasked():
    result = simulate(scenario="persistent", horizon_s=120.0)
    assert result.halt.code == "drain_limit"
    assert result.world.truth.harmed_connections == 0


def test_a_person_may_let_them_be_cut_and_the_journal_says_who():
    events = [Event(90.0, "command", "go_on", (("connections", 50),))]
    result = simulate(events, scenario="persistent", horizon_s=150.0)
    assert any(line.entry.kind == "cut_allowed" for line in result.run.journal)
    assert result.counts["remove"] >= 1


@pytest.mark.parametrize("scenario", ["launch", "persistent"])
@pytest.mark.parametrize(
    "shape",
    [
        {"at_limit": AtLimit.CUT},
        {"at_limit": AtLimit.PUT_BACK},
        {"count_kind": None, "accepted_grade": Grade.TIMED},
        {"count_kind": None},
        {"probes": ()},
    ],
    ids=["cut", "put_back", "timed", "no_counts", "no_probes"],
)
def test_no_shape_of_a_plan_breaks_a_rule(scenario, shape):
    result = simulate(scenario=scenario, plan={**shape, "drain_limit_s": 30.0}, horizon_s=200.0)
    assert result.violations == []


def test_a_stop_is_answered_and_nothing_more_is_sent():
    result = simulate([Event(30.0, "standstill")], horizon_s=150.0)
    assert result.violations == []
    assert result.status is RunStatus.RUNNING
    assert result.progress.waiting.code == "standstill"


def test_two_servers_of_two_balancers_wait_where_the_floor_of_either_would_break():
    result = simulate(scenario="two_balancers", horizon_s=100.0)
    assert result.violations == []
    assert result.counts["set_DRAINING"] == 0
    assert result.progress.waiting.code == "floor"


def test_a_server_in_two_balancers_leaves_both_before_it_is_deleted():
    # The one server left on the second balancer carries its part of the first one's traffic too: 79 requests/s.
    result = simulate(scenario="two_balancers", plan={"floor": 1, "ceiling_rps": 120.0}, horizon_s=400.0)
    assert result.violations == []
    assert result.status is RunStatus.COMPLETED
    assert result.counts["remove"] == 4
