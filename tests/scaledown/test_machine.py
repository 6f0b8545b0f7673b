"""The way of one server, step by step, on paper."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from portal.cloud.types import BalancerStatus, Condition, NodeStatus
from portal.runs.types import BECAUSE_CHANGED, HaltRank, Outcome, OutcomeKind, RunStatus
from scaledown import deleting, waits, watching
from scaledown.progress import DeleteWay, NodeState, with_server
from scaledown.turn import Turn
from scaledown.types import AtLimit, Grade, Phase, Verdict
from scaledown.verify import Judgement
from tests.scaledown.machine_cases import LB, START, Desk, a_plan, planned


def test_two_servers_are_retired_one_after_another_and_the_run_completes():
    desk = Desk()
    desk.until(lambda: desk.status is RunStatus.COMPLETED)
    assert desk.names == ["drain_node", "remove_node", "delete_server"] * 2
    assert [action.target for action in desk.sent] == ["srv-6"] * 3 + ["srv-5"] * 3
    assert [way.phase for way in desk.progress.servers] == [Phase.RETIRED, Phase.RETIRED]
    assert [action.customer_says for action in desk.sent[:3]] == [
        "web-06 takes no new connections",
        "web-06 leaves service",
        "web-06 is deleted",
    ]


def test_a_server_is_not_removed_before_the_shortest_drain_time_even_if_nothing_is_open():
    desk = Desk()
    desk.until_phase(Phase.DRAINING)
    begun = desk.now
    desk.until(lambda: "remove_node" in desk.names)
    assert (desk.now - begun).total_seconds() >= 5.0


def test_three_zeros_in_a_row_are_needed_and_an_open_connection_starts_the_count_anew():
    again = Desk(a_plan(min_drain_s=0.0))
    again.until_phase(Phase.DRAINING)
    again.look()
    again.look(5)
    again.look()
    assert again.way().drain.zeros == 2
    again.connections["srv-6"] = 1
    again.look()
    assert again.way().drain.zeros == 0
    again.connections["srv-6"] = 0
    again.look()
    again.look()
    assert again.phase() is Phase.DRAINING
    again.look()
    assert again.phase() is Phase.REMOVING


def test_an_unknown_count_is_never_zero():
    desk = Desk()
    desk.connections["srv-6"] = None
    desk.until_phase(Phase.DRAINING)
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert desk.halt.code == "drain_limit"
    assert "remove_node" not in desk.names


def test_an_unknown_look_between_zeros_starts_the_count_anew():
    desk = Desk(a_plan(min_drain_s=0.0))
    desk.until_phase(Phase.DRAINING)
    desk.look()
    desk.look(5)
    desk.look()
    assert desk.way().drain.zeros == 2
    desk.connections["srv-6"] = None
    desk.look()
    assert desk.way().drain.zeros == 0


def test_looks_in_quick_succession_count_as_one():
    desk = Desk(a_plan(min_drain_s=0.0))
    desk.until_phase(Phase.DRAINING)
    desk.look()
    desk.look(5)
    for _ in range(4):
        desk.look(0.05)
    assert desk.way().drain.zeros == 1


def test_without_a_count_the_drain_ends_at_its_limit_only_where_the_plan_accepts_that():
    servers = tuple(replace(planned(n), count_url=None) for n in (6, 5))
    desk = Desk(a_plan(count_kind=None, accepted_grade=Grade.TIMED, servers=servers))
    desk.until_phase(Phase.DRAINING)
    begun = desk.now
    desk.until_phase(Phase.VERIFYING)
    assert (desk.now - begun).total_seconds() >= 60
    assert desk.way().drain.grade is Grade.TIMED
    strict = Desk(a_plan(count_kind=None, servers=servers))
    strict.until(lambda: strict.status is RunStatus.HALTED)
    assert strict.halt.code == "drain_limit"


def test_whoever_has_the_server_put_back_at_the_drain_limit_has_answered_what_was_asked():
    desk = Desk()
    desk.connections["srv-6"] = 4
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert desk.halt.code == "drain_limit"
    assert desk.command("put_back", server="srv-6").accepted
    assert (desk.status, desk.halt) == (RunStatus.PAUSED, None)
    assert "Lena had web-06 put back at the drain limit" in desk.progress.paused_says
    desk.until_phase(Phase.RESTORED)
    desk.connections["srv-6"] = 0
    assert desk.command("resume").accepted
    desk.until(lambda: desk.status is RunStatus.COMPLETED)
    assert [desk.phase(number) for number in (6, 5)] == [Phase.RESTORED, Phase.RETIRED]


def test_at_the_drain_limit_a_person_is_asked_and_silence_puts_the_node_back():
    desk = Desk()
    desk.connections["srv-6"] = 4
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert desk.halt.rank is HaltRank.DECIDE_TODAY
    assert "4 connections" in desk.halt.says
    assert desk.condition(6) is Condition.DRAINING
    desk.look(waits.PATIENCE_S + 1)
    desk.look()
    assert desk.condition(6) is Condition.ENABLED
    assert desk.phase() is Phase.QUEUED


def test_a_person_lets_the_drain_wait_longer():
    desk = Desk()
    desk.connections["srv-6"] = 4
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert desk.command("wait", seconds=30).accepted
    assert desk.status is RunStatus.RUNNING
    desk.connections["srv-6"] = 0
    desk.until_phase(Phase.VERIFYING)


def test_going_on_needs_a_reason_and_covers_no_more_connections_than_were_named():
    desk = Desk()
    desk.connections["srv-6"] = 4
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert not desk.command("go_on", reason="").accepted
    assert not desk.command("go_on", connections=3).accepted
    assert desk.command("go_on", connections=4).accepted
    desk.until_phase(Phase.VERIFYING)
    assert desk.way().drain.cut == 4
    told = next(entry for entry in desk.journal if entry.kind == "drained")
    assert told.detail["may_cut"]
    assert told.detail["connections"] == 4
    assert "no open connections" not in told.customer_says


@pytest.mark.parametrize(
    ("at_limit", "phase"), [(AtLimit.PUT_BACK, Phase.RESTORED), (AtLimit.CUT, Phase.VERIFYING)]
)
def test_the_plan_may_say_what_happens_at_the_drain_limit(at_limit, phase):
    desk = Desk(a_plan(at_limit=at_limit))
    desk.connections["srv-6"] = 2
    desk.until_phase(phase)
    assert desk.status is RunStatus.RUNNING


def empty_at_a_busy_balancer():
    """A server that nobody is on any more, and whose removal has to wait."""
    desk = Desk(a_plan(min_drain_s=0.0))
    desk.until_phase(Phase.DRAINING)
    desk.until(lambda: desk.way().drain.zeros == 2)
    desk.balancer_status = BalancerStatus.PENDING_UPDATE
    desk.look()
    assert desk.phase() is Phase.REMOVING
    desk.balancer_status = BalancerStatus.ACTIVE
    return desk


def test_zeros_right_after_somebody_came_back_are_those_between_two_requests():
    """That none was there for long says nothing any more: looks in quick succession are one look again."""
    desk = empty_at_a_busy_balancer()
    desk.connections["srv-6"] = 1
    desk.look(0.1)
    assert desk.phase() is Phase.DRAINING
    desk.connections["srv-6"] = 0
    for _ in range(5):
        desk.look(0.01)
    assert desk.phase() is Phase.DRAINING


def test_visitors_who_come_back_before_the_removal_make_the_server_drain_again():
    desk = empty_at_a_busy_balancer()
    desk.connections["srv-6"] = 1
    desk.look()
    desk.look()
    assert desk.phase() is Phase.DRAINING
    assert "remove_node" not in desk.names


def test_nothing_is_sent_to_a_balancer_that_applies_another_change():
    desk = Desk()
    desk.until(lambda: desk.status is RunStatus.RUNNING)
    desk.balancer_status = BalancerStatus.PENDING_UPDATE
    for _ in range(5):
        desk.look()
    assert desk.sent == []
    desk.balancer_status = BalancerStatus.ACTIVE
    desk.look()
    assert desk.names == ["drain_node"]


def test_a_balancer_that_never_takes_changes_halts_the_run():
    desk = Desk()
    desk.until_phase(Phase.DRAINING)
    desk.connections["srv-6"] = 0
    desk.balancer_status = BalancerStatus.SUSPENDED
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert desk.halt.code == "balancer_not_writable"


def test_no_drain_begins_that_would_break_the_floor():
    desk = Desk(a_plan(floor=5, remaining=tuple(planned(n) for n in (1, 2, 3))))
    desk.until(lambda: desk.status is RunStatus.RUNNING)
    for _ in range(5):
        desk.look()
    assert desk.sent == []
    assert desk.progress.waiting.code == "floor"
    assert "the floor is 5" in desk.progress.says


def test_one_physical_server_with_two_nodes_counts_once_for_the_floor():
    two = replace(planned(1), nodes=(*planned(1).nodes, replace(planned(1).nodes[0], node_id="991", port=81)))
    desk = Desk(a_plan(remaining=(two, planned(2)), target=2, floor=4))
    desk.until(lambda: desk.status is RunStatus.RUNNING)
    desk.look()
    assert desk.sent == []


def test_without_a_health_monitor_each_remaining_server_must_have_answered_itself():
    desk = Desk()
    desk.has_monitor = False
    desk.connections["srv-2"] = None
    desk.until(lambda: desk.status is RunStatus.RUNNING)
    for _ in range(4):
        desk.look()
    assert desk.sent == []
    assert "has not answered directly" in desk.progress.says
    desk.connections["srv-2"] = 0
    desk.until_phase(Phase.DRAINING)


def test_no_drain_begins_that_would_put_too_much_load_on_the_rest():
    desk = Desk(a_plan(ceiling_rps=100.0))
    for _ in range(12):
        for number in (1, 2, 3, 5, 6):
            desk.requests[f"srv-{number}"] = desk.requests.get(f"srv-{number}", 0) + 70
        desk.look()
    assert desk.sent == []
    assert desk.progress.waiting.code == "load_too_high"


def test_the_load_must_be_known_before_a_drain_begins_where_there_is_a_ceiling():
    desk = Desk(a_plan(ceiling_rps=100.0))
    for _ in range(6):
        desk.look()
    assert desk.sent == []
    assert desk.progress.waiting.code == "load"


def test_a_request_counter_that_was_reset_gives_no_rate():
    desk = Desk(a_plan(ceiling_rps=100.0))
    desk.requests = {f"srv-{n}": 1000 for n in (1, 2, 3, 5, 6)}
    desk.until(lambda: desk.status is RunStatus.RUNNING)
    desk.look(4)
    desk.requests = {f"srv-{n}": 10 for n in (1, 2, 3, 5, 6)}
    desk.look(4)
    assert desk.progress.meters["srv-1"].rps is None


def test_probes_that_fail_in_the_soak_put_the_server_back_and_halt():
    desk = Desk()
    desk.until_phase(Phase.VERIFYING)
    desk.probe_ok = False
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert desk.halt.code == "traffic_not_keeping_up"
    assert desk.halt.rank is HaltRank.SITE_IN_DANGER
    desk.until_phase(Phase.RESTORED)
    assert desk.condition(6) is Condition.ENABLED
    assert "delete_server" not in desk.names


@pytest.mark.parametrize("accepted", [False, True])
def test_who_needs_a_server_back_is_told_truly_whether_it_comes_back(accepted):
    desk = Desk()
    desk.until_phase(Phase.VERIFYING)
    desk.look()
    way = replace(desk.way(), delete=DeleteWay(accepted_at=desk.now if accepted else None))
    desk.progress = with_server(desk.progress, way)
    turn = Turn(desk.plan, desk.progress, desk.observation(), desk.people(), desk.facts(), desk.now)
    watching.not_passed(turn, way, Judgement(Verdict.FAILS, "Probes fail.", "Checks fail.", {}))
    assert turn.new_halt.code == "traffic_not_keeping_up"
    assert ("It is being put back; it was not deleted." in turn.new_halt.says) is not accepted
    assert ("It cannot be put back: the provider accepted its deletion." in turn.new_halt.says) is accepted
    assert ("can no longer come back" in turn.new_halt.customer_says) is accepted
    assert (turn.progress.server("srv-6").put_back is not None) is not accepted


@pytest.mark.parametrize("phase", [Phase.DRAINING, Phase.VERIFYING, Phase.HELD])
def test_a_server_that_was_put_back_remembers_how_far_it_had_come(phase):
    desk = Desk(a_plan(hold_s=600.0))
    desk.connections["srv-6"] = 0 if phase is not Phase.DRAINING else 5
    desk.until_phase(phase)
    assert desk.command("put_back", server="srv-6").accepted
    desk.until_phase(Phase.RESTORED)
    assert desk.way().back_from is phase


def test_a_held_server_whose_time_is_over_is_not_said_to_be_held_until_then():
    desk = Desk(a_plan(hold_s=30.0))
    desk.until_phase(Phase.HELD)
    assert "is held until" in desk.way().says
    desk.standstill = "All is stopped."
    desk.look(60.0)
    assert desk.way().says.startswith("The hold of web-06 is over")
    assert "kept until" not in desk.way().customer_says
    assert desk.way().until is None


def test_one_slow_answer_is_no_alarm():
    desk = Desk(a_plan(probe_failures_allowed=0.5))
    desk.until_phase(Phase.VERIFYING)
    desk.look()
    desk.probe_ok = False
    desk.look()
    desk.probe_ok = True
    desk.until(lambda: desk.status is RunStatus.COMPLETED)


def test_probes_that_could_not_be_made_never_pass():
    desk = Desk()
    desk.until_phase(Phase.VERIFYING)
    desk.probe_ok = None
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert desk.halt.code == "verify_inconclusive"
    assert desk.condition(6) is None
    assert "delete_server" not in desk.names


def test_rising_traffic_puts_draining_and_held_servers_back_newest_first():
    desk = Desk(a_plan(hold_s=600.0))
    desk.until_phase(Phase.HELD)
    desk.connections["srv-5"] = 3
    desk.until_phase(Phase.DRAINING, 5)
    desk.look()
    desk.probe_ok = False
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert desk.halt.code == "traffic_rising"
    before = len(desk.sent)
    desk.until(lambda: desk.phase(5) is Phase.RESTORED and desk.phase(6) is Phase.RESTORED)
    backs = [(a.name, a.target) for a in desk.sent if a.is_put_back]
    assert backs == [("enable_node", "srv-5"), ("add_node", "srv-6")]
    assert len(desk.sent) - before <= 2


@pytest.mark.parametrize("status", [RunStatus.PAUSED, RunStatus.HALTED])
def test_rising_traffic_is_looked_at_while_the_run_rests(status):
    desk = Desk(a_plan(hold_s=600.0))
    desk.until_phase(Phase.HELD)
    if status is RunStatus.PAUSED:
        desk.command("pause", when="now")
    else:
        desk.nodes["401"] = replace(desk.nodes["401"], condition=Condition.DISABLED)
        desk.nodes["402"] = desk.nodes["402"]
        desk.look()
    desk.probe_ok = False
    desk.until_phase(Phase.RESTORED)
    assert desk.status is RunStatus.HALTED


def test_rising_traffic_with_nothing_to_put_back_halts_and_says_so():
    desk = Desk()
    desk.until(lambda: desk.status is RunStatus.RUNNING)
    desk.in_charge = None
    desk.probe_ok = False
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert "nothing to put back" in desk.halt.says


def test_a_broken_floor_puts_the_server_back_and_halts():
    desk = Desk(a_plan(hold_s=600.0, servers=(planned(6),), floor=3))
    desk.until_phase(Phase.HELD)
    desk.nodes["401"] = replace(desk.nodes["401"], status=NodeStatus.OFFLINE)
    desk.look()
    assert desk.halt.code == "floor_broken"
    desk.until_phase(Phase.RESTORED)


def test_a_put_back_restores_address_port_type_and_weight():
    heavy = replace(planned(6), nodes=(replace(planned(6).nodes[0], weight=7),))
    desk = Desk(a_plan(servers=(heavy, planned(5)), hold_s=600.0))
    desk.until_phase(Phase.HELD)
    assert desk.command("put_back", server="srv-6").accepted
    desk.until_phase(Phase.RESTORED)
    added = next(a for a in desk.sent if a.name == "add_node")
    assert (added.args["address"], added.args["port"], added.args["weight"]) == ("10.0.0.6", 80, 7)
    assert added.args["type"] == "PRIMARY"
    assert added.is_put_back


def test_a_changed_condition_by_another_hand_halts_and_names_the_change():
    desk = Desk()
    desk.until_phase(Phase.DRAINING)
    desk.connections["srv-6"] = 3
    desk.look()
    desk.nodes["406"] = replace(desk.nodes["406"], condition=Condition.ENABLED)
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert desk.halt.code == "changed_by_other_hand"
    assert "web-06" in desk.halt.says
    assert not desk.command("resume").accepted
    assert desk.command("resume", confirm=True, servers=["srv-6"]).accepted
    desk.connections["srv-6"] = 0
    desk.until(lambda: desk.status is RunStatus.COMPLETED)


def test_a_server_that_another_hand_changed_is_not_deleted_unless_a_person_names_it():
    desk = Desk()
    desk.until_phase(Phase.VERIFYING)
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], name="renamed")
    desk.until(lambda: desk.status is RunStatus.HALTED)
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], name="web-06")
    assert desk.command("resume", confirm=True).accepted
    desk.until(lambda: desk.status is RunStatus.COMPLETED)
    assert desk.phase(6) is Phase.RESTORED
    assert not desk.servers["srv-6"].is_gone


def test_a_change_of_a_node_that_stays_halts_too():
    desk = Desk()
    desk.until_phase(Phase.DRAINING)
    desk.connections["srv-6"] = 1
    desk.nodes["402"] = replace(desk.nodes["402"], condition=Condition.DISABLED)
    desk.look()
    assert desk.halt.code == "changed_by_other_hand"


def test_a_new_node_by_another_hand_is_noted_once_and_the_run_goes_on():
    desk = Desk()
    desk.until_phase(Phase.DRAINING)
    desk.nodes["999"] = replace(desk.nodes["401"], node_id="999", address="10.0.0.99")
    desk.until(lambda: desk.status is RunStatus.COMPLETED)
    assert desk.kinds().count("node_added_by_other_hand") == 1


def test_a_server_that_vanished_is_noted_after_two_looks_and_the_run_goes_on():
    desk = Desk()
    desk.until_phase(Phase.DRAINING)
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], is_gone=True)
    desk.look()
    assert desk.phase() is Phase.DRAINING
    desk.look(31)
    assert desk.phase() is Phase.GONE
    desk.until(lambda: desk.status is RunStatus.COMPLETED)
    assert desk.phase(5) is Phase.RETIRED


def test_a_server_missing_without_a_complete_list_is_not_gone():
    desk = Desk()
    desk.until_phase(Phase.DRAINING)
    desk.listed = False
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], is_gone=True)
    desk.look()
    desk.look(31)
    assert desk.phase() is Phase.DRAINING


def test_pause_lets_the_server_in_hand_finish():
    desk = Desk()
    desk.until_phase(Phase.DRAINING)
    assert desk.command("pause").accepted
    desk.until(lambda: desk.status is RunStatus.PAUSED)
    assert desk.phase(6) is Phase.RETIRED
    assert desk.phase(5) is Phase.QUEUED


def test_a_change_of_the_site_holds_the_run_before_its_next_server_and_a_resume_lets_it_go_on():
    desk = Desk()
    desk.until_phase(Phase.DRAINING)
    assert desk.command("pause", because=BECAUSE_CHANGED).accepted
    desk.until(lambda: desk.status is RunStatus.PAUSED)
    assert (desk.phase(6), desk.phase(5)) == (Phase.RETIRED, Phase.QUEUED)
    assert "the site was changed" in desk.progress.says
    assert "was changed" in desk.progress.customer_says
    assert desk.command("resume").accepted
    desk.until_phase(Phase.DRAINING, 5)
    assert not desk.progress.is_pause_for_change


def test_a_change_of_the_site_pauses_at_once_with_nothing_in_hand_and_not_at_all_with_nothing_to_come():
    desk = Desk(a_plan(pause_between_s=600.0))
    desk.until(lambda: desk.phase(6) is Phase.RETIRED)
    desk.look()
    assert desk.command("pause", because=BECAUSE_CHANGED).accepted
    assert desk.status is RunStatus.PAUSED
    assert "the site was changed" in desk.progress.says

    last = Desk(a_plan(servers=(planned(6),), remaining=tuple(planned(n) for n in (1, 2, 3, 5))))
    last.until_phase(Phase.DRAINING)
    assert "nothing is held back" in last.command("pause", because=BECAUSE_CHANGED).says
    last.until(lambda: last.status.is_over)
    assert last.status is RunStatus.COMPLETED


def test_pause_now_enables_the_draining_node_again():
    desk = Desk()
    desk.connections["srv-6"] = 3
    desk.until_phase(Phase.DRAINING)
    desk.look()
    assert desk.command("pause", when="now").accepted
    desk.look()
    desk.look()
    assert desk.status is RunStatus.PAUSED
    assert desk.condition(6) is Condition.ENABLED
    assert desk.phase() is Phase.QUEUED
    desk.connections["srv-6"] = 0
    assert desk.command("resume").accepted
    desk.until(lambda: desk.status is RunStatus.COMPLETED)


def test_abort_puts_back_what_is_not_deleted_and_ends():
    desk = Desk(a_plan(hold_s=600.0))
    desk.until_phase(Phase.HELD)
    assert desk.command("abort").accepted
    desk.until(lambda: desk.status is RunStatus.ABORTED)
    assert desk.phase(6) is Phase.RESTORED
    assert desk.phase(5) in {Phase.SKIPPED, Phase.RESTORED}
    assert all(action.is_put_back for action in desk.sent[2:] if action.target == "srv-6")


def test_finish_here_keeps_the_rest_in_the_pool():
    desk = Desk()
    desk.until_phase(Phase.DRAINING)
    assert desk.command("finish_here").accepted
    desk.until(lambda: desk.status is RunStatus.COMPLETED)
    assert (desk.phase(6), desk.phase(5)) == (Phase.RETIRED, Phase.SKIPPED)


def test_finish_here_ends_a_halted_run_that_has_nothing_in_hand():
    desk = Desk()
    desk.until(lambda: desk.status is RunStatus.RUNNING)
    desk.in_charge = None
    desk.probe_ok = False
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert desk.command("finish_here").accepted
    assert desk.status is RunStatus.COMPLETED
    assert desk.sent == []


def test_the_halt_says_what_is_true_after_nobody_answered():
    desk = Desk()
    desk.connections["srv-6"] = 4
    desk.until(lambda: desk.status is RunStatus.HALTED)
    desk.look(waits.PATIENCE_S + 1)
    assert desk.halt.code == "put_back_after_silence"
    assert desk.halt.rank is HaltRank.SAFE_WAITING


def test_a_soak_ends_with_load_figures_from_its_own_end():
    desk = Desk(a_plan(ceiling_rps=100.0))

    def traffic(rps):
        for number in (1, 2, 3, 5, 6):
            desk.requests[f"srv-{number}"] = desk.requests.get(f"srv-{number}", 0) + rps

    for _ in range(40):
        traffic(20)
        desk.look()
        if desk.phase() is Phase.VERIFYING and desk.way().soak is not None:
            break
    until = desk.way().soak.until
    while desk.phase() is Phase.VERIFYING:
        traffic(20 if (until - desk.now).total_seconds() > 4 else 95)
        desk.look()
    assert desk.phase() is not Phase.HELD
    assert desk.status is RunStatus.HALTED
    assert "delete_server" not in desk.names


def test_a_stretch_in_which_nobody_looked_is_no_part_of_a_soak():
    desk = Desk()
    desk.until_phase(Phase.VERIFYING)
    desk.look()
    desk.look(120)
    assert desk.phase() is Phase.VERIFYING
    assert desk.way().soak.since == desk.now


def test_a_drain_that_lands_late_after_a_pause_is_undone_though_the_run_is_paused():
    desk = Desk()
    desk.until(lambda: desk.status is RunStatus.RUNNING)
    desk.outcome = Outcome(OutcomeKind.NOT_APPLIED, by_reading=True)
    desk.look()
    desk.command("pause", when="now")
    desk.outcome = Outcome(OutcomeKind.DONE)
    desk.look()
    assert desk.phase() is Phase.QUEUED
    desk.nodes["406"] = replace(desk.nodes["406"], condition=Condition.DRAINING)
    desk.look()
    desk.look()
    assert desk.condition(6) is Condition.ENABLED
    assert desk.status is RunStatus.PAUSED


def test_a_node_is_never_enabled_again_towards_a_server_that_is_gone():
    desk = Desk()
    desk.connections["srv-6"] = 2
    desk.until_phase(Phase.DRAINING)
    desk.look()
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], is_gone=True)
    desk.look()
    desk.command("put_back", server="srv-6")
    desk.look()
    assert "enable_node" not in desk.names
    desk.look(31)
    assert desk.phase() is Phase.GONE


def test_skip_is_for_servers_that_have_not_begun():
    desk = Desk()
    desk.until_phase(Phase.DRAINING)
    assert not desk.command("skip", server="srv-6").accepted
    assert desk.command("skip", server="srv-5").accepted
    assert desk.phase(5) is Phase.SKIPPED


def test_a_standstill_stops_everything_but_putting_back():
    desk = Desk(a_plan(hold_s=600.0))
    desk.until_phase(Phase.HELD)
    desk.standstill = "Everything is stopped: a test."
    sent = len(desk.sent)
    for _ in range(5):
        desk.look()
    assert len(desk.sent) == sent
    assert desk.command("put_back", server="srv-6").accepted
    desk.until_phase(Phase.RESTORED)


def test_a_lost_approval_pauses_and_puts_the_draining_node_back():
    desk = Desk()
    desk.connections["srv-6"] = 3
    desk.until_phase(Phase.DRAINING)
    desk.look()
    desk.approval_stands = False
    desk.look()
    desk.look()
    desk.look()
    assert desk.status is RunStatus.PAUSED
    assert desk.condition(6) is Condition.ENABLED
    assert "approver was removed" in desk.command("resume").says


def test_a_server_protected_meanwhile_is_put_back_and_the_run_halts():
    desk = Desk(a_plan(hold_s=600.0))
    desk.until_phase(Phase.HELD)
    desk.protected = frozenset({"srv-6"})
    desk.look()
    assert desk.halt.code == "protected_server"
    desk.until_phase(Phase.RESTORED)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.nodes.pop("402"),
        lambda d: d.nodes.update({"9": replace(d.nodes["401"], node_id="9", address="10.9.9.9")}),
        lambda d: d.servers.update({"srv-1": replace(d.servers["srv-1"], name="other")}),
        lambda d: d.servers.update({"srv-5": replace(d.servers["srv-5"], addresses=("10.0.0.77",))}),
        lambda d: d.servers.update({"srv-5": replace(d.servers["srv-5"], is_gone=True)}),
        lambda d: d.nodes.update({"406": replace(d.nodes["406"], condition=Condition.DRAINING)}),
    ],
)
def test_a_pool_that_is_not_as_approved_does_not_start(change):
    desk = Desk()
    change(desk)
    desk.until(lambda: desk.status is RunStatus.ABORTED)
    assert desk.progress.ended_because == "pool_changed"
    assert desk.sent == []


@pytest.mark.parametrize(
    "out",
    [{"condition": Condition.DISABLED}, {"condition": Condition.DRAINING}, {"status": NodeStatus.OFFLINE}],
)
def test_a_pool_in_which_fewer_serve_than_were_counted_does_not_start(out):
    """The run would leave fewer than were approved, though never fewer than the floor."""
    desk = Desk(a_plan(floor=1))
    was, desk.nodes["402"] = desk.nodes["402"], replace(desk.nodes["402"], **out)
    for _ in range(10):
        desk.look()
    assert (desk.status, desk.sent) == (RunStatus.SCHEDULED, [])
    assert "Only 4 servers in service; there were 5 as this was drawn up." in desk.progress.says
    desk.nodes["402"] = was
    desk.until(lambda: desk.status is RunStatus.RUNNING)


def test_strays_that_the_approvers_saw_do_not_keep_a_run_from_starting():
    desk = Desk(a_plan(strays=(f"{LB}/10.9.9.9:80",)))
    desk.nodes["9"] = replace(desk.nodes["401"], node_id="9", address="10.9.9.9")
    desk.until(lambda: desk.status is RunStatus.RUNNING)


def test_lost_sight_of_the_provider_halts_after_five_minutes_and_sends_nothing():
    desk = Desk()
    desk.until_phase(Phase.DRAINING)
    desk.visible = False
    sent = len(desk.sent)
    desk.until(lambda: desk.status is RunStatus.HALTED, most=400)
    assert desk.halt.code == "lost_sight"
    assert (desk.now - START).total_seconds() > 300
    assert len(desk.sent) == sent


def test_with_nobody_in_charge_no_next_server_begins_unless_unattended():
    desk = Desk()
    desk.in_charge = None
    desk.until(lambda: desk.status is RunStatus.RUNNING)
    desk.look()
    assert desk.sent == []
    assert desk.progress.waiting.code == "in_charge"
    alone = Desk(a_plan(is_unattended=True))
    alone.in_charge = None
    alone.until_phase(Phase.DRAINING)


def test_no_server_begins_that_does_not_fit_into_the_window():
    desk = Desk(a_plan(window_start=START, window_end=START + timedelta(seconds=60)))
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert desk.halt.code == "window_over"
    assert desk.sent == []


def test_at_the_windows_end_a_draining_node_is_enabled_again():
    desk = Desk(a_plan(window_end=START + timedelta(seconds=160), drain_limit_s=600.0))
    desk.connections["srv-6"] = 2
    desk.until_phase(Phase.DRAINING)
    desk.look(200)
    desk.look()
    assert desk.condition(6) is Condition.ENABLED
    assert desk.phase() is Phase.QUEUED


def test_a_held_server_waits_for_its_hold_while_the_next_one_goes():
    desk = Desk(a_plan(hold_s=120.0))
    desk.until_phase(Phase.HELD)
    desk.until_phase(Phase.HELD, 5)
    assert "delete_server" not in desk.names
    desk.until(lambda: desk.status is RunStatus.COMPLETED, most=400)
    verdicts = [e for e in desk.journal if e.kind == "verdict" and e.subject == "srv-6"]
    assert len(verdicts) >= 2, "a held server is deleted only on a fresh verdict"


def test_a_delete_without_effect_is_asked_for_again_within_bounds():
    desk = Desk()
    desk.until_phase(Phase.HELD)
    desk._apply = lambda action: None
    desk.until(lambda: desk.status is RunStatus.HALTED, most=900)
    assert desk.halt.code == "delete_without_effect"
    assert desk.names.count("delete_server") == deleting.MOST_DELETES


def test_a_slow_delete_is_watched_and_not_repeated():
    desk = Desk()
    desk.until_phase(Phase.HELD)
    desk._apply = lambda action: desk.servers.update(
        {"srv-6": replace(desk.servers["srv-6"], task_state="deleting")}
    )
    desk.look()
    for _ in range(100):
        desk.look(5)
    assert desk.names.count("delete_server") == 1
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], is_gone=True)
    desk.until_phase(Phase.RETIRED)


def test_try_later_waits_as_long_as_the_provider_says_and_keeps_looking():
    desk = Desk()
    desk.until(lambda: desk.status is RunStatus.RUNNING)
    desk.outcome = Outcome(OutcomeKind.TRY_LATER, "busy", after_s=30.0)
    desk.look()
    desk.outcome = Outcome(OutcomeKind.DONE)
    tried = len(desk.sent)
    for _ in range(20):
        desk.look()
    assert len(desk.sent) == tried
    assert desk.look().look_again_s <= 2.0
    desk.until(lambda: len(desk.sent) > tried)


def test_a_change_that_is_refused_twice_halts_with_the_providers_reason():
    desk = Desk()
    desk.until(lambda: desk.status is RunStatus.RUNNING)
    desk.outcome = Outcome(OutcomeKind.REFUSED, "The provider refuses the last node.")
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert desk.halt.code == "change_refused"
    assert "last node" in desk.halt.says
    assert len(desk.sent) == 2


def test_a_change_that_lands_after_it_was_read_as_not_applied_is_our_own_hand():
    desk = Desk()
    desk.until(lambda: desk.status is RunStatus.RUNNING)
    desk.outcome = Outcome(OutcomeKind.NOT_APPLIED, by_reading=True)
    desk.look()
    assert desk.way().nodes[0].late == (NodeState.DRAINING,)
    desk.outcome = Outcome(OutcomeKind.DONE)
    desk.nodes["406"] = replace(desk.nodes["406"], condition=Condition.DRAINING)
    desk.until(lambda: desk.status is RunStatus.COMPLETED)
    assert "changed_by_other_hand" not in desk.kinds()


def test_an_accepted_change_without_effect_is_repeated_and_then_halts():
    desk = Desk()
    desk.until(lambda: desk.status is RunStatus.RUNNING)
    desk._apply = lambda action: None
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert desk.halt.code == "no_effect"
    assert desk.names == ["drain_node"] * waits.MOST_TRIES


def test_a_resume_after_a_day_needs_a_fresh_pre_flight():
    desk = Desk(a_plan(hold_s=10 * 86400.0))
    desk.until_phase(Phase.HELD)
    desk.command("pause", when="now")
    desk.look(25 * 3600.0)
    desk.servers["srv-5"] = replace(desk.servers["srv-5"], name="changed")
    assert desk.command("resume").accepted
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert desk.halt.code in {"changed_by_other_hand", "pool_changed"}


def test_a_rehearsal_shows_each_change_of_the_first_server_and_sends_nothing():
    desk = Desk()
    desk.is_rehearsal = True
    desk.outcome = Outcome(OutcomeKind.WITHHELD, detail={"method": "PUT"})
    desk.until(lambda: desk.status is RunStatus.COMPLETED)
    assert desk.names == ["drain_node", "remove_node", "delete_server"]
    assert desk.kinds().count("would_have") == 3
    assert desk.condition(6) is Condition.ENABLED


def test_every_halt_names_a_rank_a_sentence_for_both_readers_and_safe_commands():
    desk = Desk()
    desk.connections["srv-6"] = 4
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert desk.halt.says
    assert desk.halt.customer_says.startswith("Paused for safety")
    assert "put_back" in desk.halt.next_commands


def test_an_unknown_command_is_refused_with_a_sentence():
    desk = Desk()
    answer = desk.command("fly")
    assert not answer.accepted
    assert "fly" in answer.says


def test_a_server_that_cannot_go_back_yet_says_all_the_same_that_it_goes_back():
    desk = Desk()
    desk.until_phase(Phase.VERIFYING)
    desk.visible, desk.probe_ok = False, False
    desk.until(lambda: desk.way().put_back is not None)
    assert desk.way().customer_says == "web-06 is going back into service."


def test_connections_that_are_merely_not_counted_yet_are_not_said_to_be_countless():
    desk = Desk()
    desk.until_phase(Phase.DRAINING)
    drain = replace(desk.way().drain, seen_at=desk.now, limit_at=desk.now + timedelta(minutes=15))
    desk.progress = with_server(desk.progress, replace(desk.way(), drain=drain))
    looked = desk.observation
    desk.observation = lambda: replace(looked(), counts={})
    desk.look()
    assert desk.phase() is Phase.DRAINING
    assert "nothing tells us" not in desk.way().customer_says
    assert "not known" not in desk.way().says


def test_a_server_that_is_being_counted_empty_at_the_drain_limit_is_not_asked_about():
    desk = Desk(a_plan(min_drain_s=5.0, drain_limit_s=5.0))
    desk.until_phase(Phase.VERIFYING)
    assert desk.status is RunStatus.RUNNING
    assert desk.way().drain.grade is Grade.MEASURED


def test_connections_that_come_back_while_a_server_is_counted_empty_at_its_limit_are_asked_about():
    desk = Desk(a_plan(min_drain_s=5.0, drain_limit_s=5.0))
    desk.until(lambda: desk.way().drain is not None and desk.way().drain.zeros == 1)
    desk.connections["srv-6"] = 1
    desk.look()
    assert desk.halt.code == "drain_limit"


def test_a_clock_that_is_set_forward_makes_no_load_look_low():
    desk = Desk(a_plan())
    for _ in range(8):
        desk.requests = {server: desk.requests.get(server, 0) + 60 for server in desk.servers}
        desk.look(1)
    assert desk.progress.meters["srv-1"].rps == pytest.approx(60)
    # Three seconds of traffic, and a clock that says forty.
    desk.requests = {server: count + 180 for server, count in desk.requests.items()}
    desk.look(40)
    assert desk.progress.meters["srv-1"].rps == pytest.approx(60)
    desk.requests = {server: count + 180 for server, count in desk.requests.items()}
    desk.look(3)
    assert desk.progress.meters["srv-1"].rps == pytest.approx(60)
