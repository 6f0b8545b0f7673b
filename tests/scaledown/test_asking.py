"""What a halt asks, held against what the machine does where nobody answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from portal.cloud.types import Condition
from portal.runs.types import HaltRank, RunStatus
from scaledown.asking import Called, Halted, question_of
from scaledown.types import Phase
from scaledown.wording import seconds
from tests.scaledown.machine_cases import START, Desk, a_plan

QUIET_S = 3 * 3600
TAKES_OUT = {"drain_node", "remove_node", "stop_server", "create_image", "delete_server"}


def asks(desk, rank=HaltRank.DECIDE_TODAY, **given):
    given = {"in_charge": "Lena", "now": desk.now, "window_end": desk.plan.window_end, **given}
    return question_of(desk.progress, Halted(rank, **given))


def halted_in(phase, **changes):
    """A run whose first server is in this phase, halted since another hand disabled the node of the next one."""
    desk = Desk(a_plan(hold_s=7200.0, floor=2, **changes))
    desk.in_charge = None if phase is Phase.QUEUED else "Lena"
    desk.until(lambda: desk.status is RunStatus.RUNNING).until_phase(phase)
    desk.in_charge = None  # so that no other server begins
    desk.connections["srv-6"] = 3 if phase is Phase.DRAINING else 0
    desk.look()
    desk.nodes["405"] = replace(desk.nodes["405"], condition=Condition.DISABLED)
    desk.look()
    assert desk.status is RunStatus.HALTED
    return desk


@pytest.mark.parametrize("phase", [Phase.DRAINING])
def test_a_server_that_drains_serves_again_at_the_time_that_is_said(phase):
    desk = halted_in(phase)
    question = asks(desk)
    assert "web-06 is put back into service" in question.otherwise.says
    left_s = (question.until - desk.now).total_seconds()
    desk.look(left_s - 5)
    assert desk.names.count("enable_node") == 0
    desk.look(10)
    desk.look()
    assert desk.names[-1] == "enable_node"
    assert asks(desk).until is None
    desk.look(QUIET_S)
    assert "delete_server" not in desk.names


def test_of_a_run_that_is_aborted_no_answer_is_waited_for():
    desk = halted_in(Phase.DRAINING)
    assert desk.command("abort").accepted
    assert desk.status is RunStatus.HALTED
    question = asks(desk)
    assert question.until is None
    assert "No answer is waited for: the run is being aborted" in question.otherwise.says
    desk.until(lambda: desk.status is RunStatus.ABORTED, most=30)


def test_no_answer_is_waited_for_beyond_the_end_of_the_window():
    desk = Desk(a_plan(floor=2, drain_limit_s=20.0, window_end=START + timedelta(seconds=200)))
    desk.connections["srv-6"] = 3
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert desk.halt.code == "drain_limit"
    question = asks(desk)
    assert question.until == desk.plan.window_end
    left_s = (question.until - desk.now).total_seconds()
    assert f"put back in {seconds(left_s)}" in desk.halt.says
    desk.look(left_s - 2)
    assert "enable_node" not in desk.names
    desk.look(3)
    assert desk.names[-1] == "enable_node"


@pytest.mark.parametrize("phase", [Phase.VERIFYING, Phase.HELD])
def test_a_server_that_is_out_stays_out_and_alive(phase):
    desk = halted_in(phase)
    question = asks(desk)
    assert question.until is None
    assert "web-06 stays out of service and alive" in question.otherwise.says
    before = list(desk.names)
    for _ in range(QUIET_S // 600):
        desk.look(600)
    assert desk.names == before
    assert desk.phase(6) is phase


def test_before_the_first_server_nothing_changes():
    desk = halted_in(Phase.QUEUED)
    assert asks(desk).until is None
    assert "nothing is deleted" in asks(desk).otherwise.says.lower()
    for _ in range(QUIET_S // 600):
        desk.look(600)
    assert not TAKES_OUT & set(desk.names)


def test_a_deletion_that_was_accepted_is_named_and_nothing_else_is_deleted():
    desk = Desk(a_plan(floor=2)).until_phase(Phase.DELETING)
    assert "deletion of web-06" in asks(desk).otherwise.says
    assert "cannot be taken back" in asks(desk).otherwise.customer_says


def test_who_is_asked_goes_by_the_rank():
    desk = halted_in(Phase.HELD)
    danger, today, notice = (asks(desk, rank).asked for rank in HaltRank)
    assert "emergency contacts are called now" in danger.says
    assert "Lena is asked now, the customer in working hours" in today.says
    assert "Nobody is woken" in notice.says
    assert "no customer is" in asks(desk, HaltRank.SITE_IN_DANGER, is_rehearsal=True).asked.says
    assert "launch team" in asks(desk, in_charge=None).asked.says
    danger = asks(desk, HaltRank.SITE_IN_DANGER, called=Called.APPROVERS).asked
    assert "the customer's approvers are called now" in danger.says
    assert "your approvers are called now" in danger.customer_says
    nobody = asks(desk, HaltRank.SITE_IN_DANGER, called=Called.NOBODY).asked
    assert "emergency contacts" not in nobody.says + nobody.customer_says


@pytest.mark.parametrize("phase", [Phase.QUEUED, Phase.DRAINING, Phase.VERIFYING, Phase.HELD])
@pytest.mark.parametrize("rank", list(HaltRank))
def test_both_readers_are_told_in_whole_sentences_and_without_ids(phase, rank):
    question = asks(halted_in(phase), rank)
    for words in (question.asked, question.otherwise):
        for says in (words.says, words.customer_says):
            assert says.endswith(".")
            assert "srv-" not in says
    assert "Lena" not in question.asked.customer_says
