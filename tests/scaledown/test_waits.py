"""Waiting is bounded whatever a run waits for in turn, and what it waited for is said."""

from __future__ import annotations

from itertools import cycle

import pytest

from portal.cloud.types import BalancerStatus
from portal.runs.types import HaltRank, Outcome, OutcomeKind, RunStatus
from scaledown.turn import MOST_STUCK_S, Turn
from scaledown.types import Facts, Observation, People, Phase
from scaledown.wording import Words
from tests.scaledown.machine_cases import START, Desk, a_plan


def halted_after_s(desk: Desk, most_s: float = 3600.0) -> float:
    """Return after how many seconds the run halts; fail the test if it goes on for `most_s`."""
    began = desk.now
    desk.until(lambda: desk.status is RunStatus.HALTED, most=round(most_s))
    return (desk.now - began).total_seconds()


class Alternating(Desk):
    """A run whose looks show, in turn, a balancer that takes no changes and a count that is missing."""

    states = cycle([(BalancerStatus.PENDING_UPDATE, 0), (BalancerStatus.ACTIVE, None)])

    def observation(self):
        if self.phase() is Phase.REMOVING or (self.way().drain is not None and self.way().drain.zeros == 2):
            self.balancer_status, self.connections["srv-6"] = next(self.states)
        return super().observation()


def test_two_reasons_that_take_turns_do_not_keep_a_run_waiting_for_ever():
    desk = Alternating()
    desk.outcome = Outcome(OutcomeKind.DONE)
    desk.until(lambda: desk.phase() is Phase.REMOVING)
    assert halted_after_s(desk) <= 620
    assert desk.halt.code in {"waited_for_balancer", "waited_for_count"}
    assert "in turn" in desk.halt.says
    assert "PENDING_UPDATE" in desk.halt.says
    assert "A last look at its connections is missing" in desk.halt.says


def turn_at(turn: Turn, seconds: float) -> Turn:
    now = START.fromtimestamp(START.timestamp() + seconds, START.tzinfo)
    return Turn(
        turn.plan,
        turn.progress,
        Observation(now),
        People(RunStatus.RUNNING),
        Facts(True, "", frozenset(), "Lena"),
        now,
    )


def a_turn() -> Turn:
    desk = Desk()
    return turn_at(
        Turn(desk.plan, desk.progress, Observation(START), People(RunStatus.RUNNING), desk.facts(), START), 0
    )


WORDS = Words("It waits.", "We wait.")


@pytest.mark.parametrize("codes", [("a", "b"), ("effect", "provider"), ("a", "effect", "b", "sight")])
@pytest.mark.parametrize("limit_s", [None, 600.0])
def test_the_sum_of_any_sequence_of_waits_is_bounded(codes, limit_s):
    turn = a_turn()
    reasons = cycle(codes)
    for second in range(0, 4000, 2):
        turn = turn_at(turn, second)
        turn.wait(next(reasons), WORDS, limit_s=limit_s)
        if turn.new_halt is not None:
            break
    assert turn.new_halt is not None
    assert second <= (limit_s or MOST_STUCK_S) + 10
    assert turn.new_halt.rank is HaltRank.DECIDE_TODAY


def test_waits_that_the_plan_wants_do_not_count():
    turn = a_turn()
    for second in range(0, 40_000, 30):
        turn = turn_at(turn, second)
        turn.wait(["hold", "soak", "in_charge", "window"][second // 30 % 4], WORDS)
        assert turn.new_halt is None
    turn = turn_at(turn, 40_000)
    turn.wait("balancer", WORDS, limit_s=600.0)
    assert turn.new_halt is None


def test_hours_in_which_nobody_looked_are_no_waiting():
    turn = a_turn()
    turn.wait("balancer", WORDS, limit_s=600.0)
    turn = turn_at(turn, 7200)
    turn.wait("count", WORDS, limit_s=600.0)
    assert turn.new_halt is None


def test_what_moves_on_begins_the_count_anew():
    desk = Desk(a_plan(pause_between_s=0.0))
    desk.until_phase(Phase.DRAINING)
    desk.balancer_status = BalancerStatus.PENDING_UPDATE
    for _ in range(500):
        desk.look()
    desk.balancer_status = BalancerStatus.ACTIVE
    desk.until_phase(Phase.REMOVING)
    assert desk.progress.stuck is None


@pytest.mark.parametrize(("by_reading", "code"), [(False, "waited_for_sending"), (True, "waited_for_effect")])
def test_a_change_that_is_never_applied_does_not_keep_a_run_busy_for_ever(by_reading, code):
    desk = Desk()
    desk.until(lambda: desk.status is RunStatus.RUNNING)
    desk.outcome = Outcome(OutcomeKind.NOT_APPLIED, code="not_sent", by_reading=by_reading)
    assert halted_after_s(desk) <= 620
    assert desk.halt.code == code


def test_a_put_back_that_is_never_applied_halts_with_its_reason_and_is_tried_on():
    desk = Desk()
    desk.until_phase(Phase.VERIFYING)
    desk.outcome = Outcome(OutcomeKind.NOT_APPLIED, code="not_sent")
    desk.command("abort")
    halts = []
    for _ in range(3000):
        desk.look()
        if desk.halt is not None and desk.halt not in halts:
            halts.append(desk.halt)
    assert [halt.code for halt in halts] == ["waited_for_sending"]
    desk.outcome = Outcome(OutcomeKind.DONE)
    desk.until(lambda: desk.status is RunStatus.ABORTED)
    assert desk.phase() is Phase.RESTORED


def test_lost_sight_is_told_once_however_long_it_lasts():
    desk = Desk()
    desk.until_phase(Phase.VERIFYING)
    desk.visible = False
    halted_after_s(desk)
    halt = desk.halt
    for _ in range(3000):
        desk.look(2.0)
    assert desk.halt == halt
    assert halt.code == "lost_sight"
