"""What must not go wrong when several things happen at once: put-backs, other hands, cuts and halts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from portal.cloud.types import Condition
from portal.runs import rules
from portal.runs.types import Command, HaltRank, Outcome, OutcomeKind, RunStatus
from scaledown.types import Grade, Phase
from tests.scaledown.machine_cases import Desk, a_plan


def draining(connections: int, plan=None) -> Desk:
    desk = Desk(plan)
    desk.connections["srv-6"] = connections
    desk.until_phase(Phase.DRAINING)
    desk.look()
    return desk


def test_a_server_that_cannot_go_back_keeps_no_other_one_out_and_hides_no_danger():
    desk = Desk(a_plan(hold_s=3600.0))
    desk.until(lambda: desk.phase(6) is Phase.HELD and desk.phase(5) is Phase.HELD)
    desk.servers["srv-5"] = replace(desk.servers["srv-5"], status="SHUTOFF")
    desk.probe_ok = False
    for _ in range(30):
        desk.look()
    assert desk.condition(6) is Condition.ENABLED
    assert desk.halt.rank is HaltRank.SITE_IN_DANGER
    assert desk.kinds().count("also_halted") == 1


def test_a_change_by_another_hand_in_the_look_of_a_put_back_halts_the_run():
    desk = draining(3, a_plan(floor=2))
    desk.commands.append(Command(99, 99, "put_back", {"server": "srv-6"}, "7", "Lena", "r", desk.now))
    desk.nodes["401"] = replace(desk.nodes["401"], condition=Condition.DISABLED)
    for _ in range(5):
        desk.look()
    assert desk.kinds().count("changed_by_other_hand") == 1
    assert desk.status is RunStatus.HALTED
    assert desk.condition(6) is Condition.ENABLED


def test_one_failed_count_at_the_drain_limit_does_not_make_known_connections_none():
    desk = draining(40, a_plan(accepted_grade=Grade.TIMED))
    for _ in range(57):
        desk.look()
    assert desk.way().drain.connections == 40
    desk.connections["srv-6"] = None
    for _ in range(6):
        desk.look()
    assert "remove_node" not in desk.names
    assert desk.halt.code == "drain_limit"


def test_connections_that_came_after_a_person_allowed_two_are_not_cut():
    desk = draining(2)
    desk.until(lambda: desk.status is RunStatus.HALTED)
    desk.outcome = Outcome(OutcomeKind.TRY_LATER, "busy", after_s=2.0)
    assert desk.command("go_on", connections=2).accepted
    assert desk.phase() is Phase.REMOVING
    desk.connections["srv-6"] = 25
    desk.outcome = Outcome(OutcomeKind.DONE)
    for _ in range(5):
        desk.look()
    assert desk.condition(6) is Condition.DRAINING


def test_a_node_does_not_drain_for_ever_after_a_halt_by_the_engine():
    desk = draining(3)
    desk.status, desk.halt = RunStatus.HALTED, rules.internal_halt(3, "cannot_look")
    for _ in range(500):
        desk.look(2.0)
    assert desk.condition(6) is Condition.ENABLED


@pytest.mark.parametrize("finishes", [True, False])
def test_finish_here_keeps_a_server_that_is_on_its_way_back_to_the_queue(finishes):
    desk = draining(3)
    desk.outcome = Outcome(OutcomeKind.TRY_LATER, "busy", after_s=2.0)
    desk.command("pause", when="now")
    if finishes:
        assert desk.command("finish_here").accepted
    desk.outcome = Outcome(OutcomeKind.DONE)
    desk.connections["srv-6"] = 0
    for _ in range(20):
        desk.look()
    desk.command("resume")
    desk.until(lambda: desk.status.is_over)
    assert ("delete_server" in desk.names) is not finishes
