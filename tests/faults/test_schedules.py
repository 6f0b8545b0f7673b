"""Invariants 1 to 8 hold under faults, deaths, freezes, people's commands and other hands, at any point of a tick.

Half a minute in `make test`; `FAULT_EXAMPLES` makes the search longer (and draws other schedules each time).
"""

from __future__ import annotations

import os
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings

from portal.runs.types import RunStatus
from scaledown.types import AtLimit, Grade, Phase
from tests.faults.history import Wrote
from tests.faults.schedules import POINTS, cases, random_case
from tests.faults.simulation import Event, simulate

EXAMPLES = int(os.environ.get("FAULT_EXAMPLES", "16"))
FIRST_SEED = int(os.environ.get("FAULT_FIRST_SEED", "90000"))


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    derandomize="FAULT_EXAMPLES" not in os.environ,
)
@given(case=cases())
def test_whatever_happens_no_rule_is_broken(case):
    assert simulate(case.events, **case.options()).violations == []


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + EXAMPLES // 2))
def test_no_rule_is_broken_in_a_case_from_a_seed(seed):
    case = random_case(Random(seed), most=12)
    assert simulate(case.events, **case.options()).violations == []


def test_a_quiet_run_retires_three_servers_and_harms_nobody():
    result = simulate()
    assert result.status is RunStatus.COMPLETED
    assert [way.phase for way in result.progress.servers] == [Phase.RETIRED] * 3
    assert result.world.truth.harmed_connections == 0
    assert result.world.truth.floor_breaches(71, 2) == 0
    assert result.counts["delete"] == 3
    assert result.violations == []


@pytest.mark.parametrize("point", range(2, 460, 83))
def test_a_worker_may_die_at_any_point_of_a_tick_and_the_run_goes_on(point):
    result = simulate([Event(point, "die")], horizon_s=300.0)
    assert result.violations == []
    assert result.status is RunStatus.COMPLETED
    assert result.counts["die"] == 1


@pytest.mark.parametrize("point", range(40, 460, 160))
@pytest.mark.parametrize("seconds", [11.0, 40.0])
def test_a_worker_that_was_frozen_and_wakes_up_does_no_harm(point, seconds):
    result = simulate([Event(point, "freeze", "", (seconds,))], horizon_s=320.0)
    assert result.violations == []
    assert result.status is RunStatus.COMPLETED
    assert result.counts["freeze"] == 1


def test_while_one_worker_is_frozen_the_other_takes_the_run_over():
    freeze = Event(1, "at", "before_send", (Event(0.0, "freeze", "", (40.0,)),))
    result = simulate([freeze], horizon_s=320.0)
    assert result.violations == []
    first = next(sent for _, sent in result.story.sends())
    assert first.t < 40.0
    assert first.token == first.holder_token > 1


@pytest.mark.parametrize("stop", ["standstill", "abort", "pause"])
@pytest.mark.parametrize("point", [p for p in POINTS if p != "before look"])
def test_a_stop_at_any_point_of_a_tick_holds_back_whatever_was_not_on_the_wire(point, stop):
    inner = {
        "standstill": Event(0.0, "standstill"),
        "abort": Event(0.0, "command", "abort"),
        "pause": Event(0.0, "command", "pause", (("when", "now"),)),
    }[stop]
    result = simulate([Event(2, "at", point, (inner,))], horizon_s=60.0)
    assert result.violations == []
    assert result.counts[inner.kind] == 1
    assert result.counts["delete"] == 0


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
    result = simulate(scenario="persistent", plan={"drain_limit_s": 30.0}, horizon_s=80.0)
    assert result.halt.code == "drain_limit"
    assert result.world.truth.harmed_connections == 0


def test_a_person_may_let_them_be_cut_and_the_journal_says_who():
    events = [Event(1, "when", "drain_limit", (Event(0.0, "command", "go_on", (("connections", 50),)),))]
    result = simulate(events, scenario="persistent", plan={"drain_limit_s": 30.0}, horizon_s=100.0)
    assert result.violations == []
    assert any(line.entry.kind == "cut_allowed" for line in result.run.journal)
    assert result.counts["remove"] >= 1


def test_no_more_are_cut_than_a_person_named():
    events = [Event(1, "when", "drain_limit", (Event(0.0, "command", "go_on", (("connections", 0),)),))]
    result = simulate(events, scenario="persistent", plan={"drain_limit_s": 30.0}, horizon_s=100.0)
    assert result.violations == []
    assert result.counts["remove"] == 0
    assert result.world.truth.harmed_connections == 0


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
    result = simulate(scenario=scenario, plan={**shape, "drain_limit_s": 30.0}, horizon_s=150.0)
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
    result = simulate(scenario="shared", horizon_s=400.0)
    assert result.violations == []
    assert result.status is RunStatus.COMPLETED
    assert result.counts["remove"] == 4  # one server in both, two in one only


def test_a_held_server_is_put_back_when_a_person_says_so():
    events = [Event(1, "when", "held", (Event(0.0, "command", "put_back", (("server", 0),)),))]
    result = simulate(events, plan={"hold_s": 70.0}, horizon_s=260.0)
    assert result.violations == []
    assert result.progress.servers[0].phase is Phase.RESTORED
    assert [way.phase for way in result.progress.servers[1:]] == [Phase.RETIRED] * 2


@pytest.mark.parametrize("at_point", [None, 300, 430])
def test_a_run_is_open_until_its_peak_is_over_whoever_dies_meanwhile(at_point):
    events = [] if at_point is None else [Event(at_point, "die")]
    result = simulate(events, plan={"watch_until_s": 450.0}, horizon_s=600.0)
    assert result.violations == []
    assert result.status is RunStatus.COMPLETED
    watch = result.progress.watch
    assert watch.ended_at >= watch.until > watch.open_since
    assert result.counts["die"] == len(events)
    assert watch.probes.ok > 10
    assert watch.node_highest is not None


def test_servers_held_through_a_peak_go_back_where_it_is_too_much_and_none_is_deleted():
    events = [Event(60.0, "demand", "", (1.8,))]
    result = simulate(events, plan={"hold_through_s": 195.0, "watch_until_s": 195.0}, horizon_s=260.0)
    assert result.violations == []
    assert result.halt.code == "traffic_rising"
    assert [way.phase for way in result.progress.servers] == [Phase.RESTORED] * 3
    assert result.counts["delete"] == 0
    assert result.progress.watch is None  # at its old size the pool shows nothing of the new one


def test_servers_held_through_a_peak_are_deleted_after_it_and_not_before():
    result = simulate(plan={"hold_through_s": 150.0, "watch_until_s": 150.0}, horizon_s=300.0)
    assert result.violations == []
    assert result.status is RunStatus.COMPLETED
    deleted = [sent.at for _, sent in result.story.sends() if sent.name == "delete"]
    assert len(deleted) == 3
    assert min(deleted) > result.story.plan.hold_through


def test_what_does_not_fit_into_one_window_goes_on_in_the_next_after_a_fresh_pre_flight():
    plan = {"drain_limit_s": 30.0, "window": (0.0, 75.0, (100.0, 400.0))}
    result = simulate(plan=plan, horizon_s=500.0)
    assert result.violations == []
    assert result.status is RunStatus.COMPLETED
    assert result.counts["delete"] == 3
    lines = [line.t for line in result.story.every(Wrote, kind="preflight_good")]
    assert len(lines) == 2
    assert lines[1] >= 100.0


def test_a_server_that_still_drains_as_a_window_ends_is_taken_out_in_the_next():
    plan = {"drain_limit_s": 60.0, "window": (0.0, 110.0, (150.0, 900.0))}
    result = simulate(scenario="persistent", plan=plan, horizon_s=800.0)
    assert result.violations == []
    back = [sent for _, sent in result.story.sends() if sent.is_put_back]
    assert back


def test_no_server_begins_after_the_window():
    result = simulate(plan={"drain_limit_s": 30.0, "window": (0.0, 75.0)}, horizon_s=120.0)
    assert result.violations == []
    assert result.halt.code == "window_over"
    assert 1 <= result.counts["delete"] < 3


@pytest.mark.parametrize("wrong_s", [-40.0, 40.0])
@pytest.mark.parametrize("moment", ["draining", "verifying", "held", "deleting"])
def test_a_clock_that_jumps_hurries_nothing(moment, wrong_s):
    events = [Event(1, "when", moment, (Event(0.0, "jump", "", (wrong_s,)),))]
    result = simulate(events, plan={"drain_limit_s": 30.0, "hold_s": 3.0}, horizon_s=400.0)
    assert result.violations == []
    assert result.counts["jump"] == 1
    assert result.world.truth.harmed_connections == 0


@pytest.mark.parametrize("point", ["before settle", "after settle", "after check", "after note_intent"])
def test_a_database_that_is_away_for_a_moment_costs_no_rule(point):
    result = simulate([Event(n, "at", point, (Event(0.0, "away"),)) for n in (1, 2, 5)], horizon_s=400.0)
    assert result.violations == []
    assert result.status is RunStatus.COMPLETED
