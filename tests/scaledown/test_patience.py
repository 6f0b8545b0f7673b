"""When a run can wait for others: nothing of it is out, or on its way, or asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from portal.cloud.types import Condition
from portal.runs.types import RunStatus
from scaledown import looks
from scaledown.types import Phase
from tests.scaledown.machine_cases import Desk, a_plan
from tests.scaledown.states import STATES

DONE = {Phase.RETIRED, Phase.SKIPPED, Phase.RESTORED, Phase.GONE, Phase.RECREATED}


def is_something_out(desk):
    nodes = {node.address: node.condition for node in desk.nodes.values()}
    return any(
        (way.phase is not Phase.QUEUED and way.phase not in DONE)
        or way.put_back is not None
        or Condition.DRAINING in nodes.values()
        for way in desk.progress.servers
    )


def test_a_run_can_wait_before_between_and_after_its_servers_and_never_while_one_is_out():
    desk = Desk(a_plan(floor=2, pause_between_s=5.0))
    waited_at = []
    while not desk.status.is_over:
        desk.look()
        if desk.decided.is_patient:
            assert not is_something_out(desk)
            assert desk.decided.action is None
            waited_at.append(sum(way.phase is Phase.RETIRED for way in desk.progress.servers))
    assert desk.status is RunStatus.COMPLETED
    assert {0, 1} <= set(waited_at)


@pytest.mark.parametrize("name", STATES)
def test_in_no_state_of_a_run_one_with_something_out_can_wait(name):
    desk = STATES[name]()
    if desk.status.is_over:
        return
    desk.look()
    if is_something_out(desk):
        assert not desk.decided.is_patient


def between_servers():
    desk = Desk(a_plan(floor=2, pause_between_s=600.0))
    return desk.until(lambda: desk.phase(6) is Phase.RETIRED and desk.decided.is_patient)


def test_one_that_rests_between_servers_can_wait_for_as_long_as_nobody_wants_anything():
    desk = between_servers()
    desk.look()
    assert desk.decided.is_patient
    assert desk.command("pause").accepted
    desk.look()
    assert desk.decided.is_patient  # it rests, and nothing is out


@pytest.mark.parametrize("name", ["roll_back", "finish_here", "abort"])
def test_what_a_person_asked_for_does_not_wait(name):
    desk = between_servers()
    desk.command(name)
    assert not desk.decided.is_patient


def test_a_worker_that_is_behind_begins_nothing_and_says_so():
    desk = Desk(a_plan(floor=2))
    desk.is_behind = True
    for _ in range(40):
        desk.look()
    assert (desk.phase(6), desk.sent) == (Phase.QUEUED, [])
    assert desk.decided.is_patient
    assert "web-06 is next." in desk.progress.says
    desk.is_behind = False
    desk.until_phase(Phase.DRAINING)
    desk.is_behind = True  # what is on its way goes on
    desk.until_phase(Phase.RETIRED)
    assert desk.phase(5) is Phase.QUEUED


def test_what_is_measured_before_the_first_server_is_not_begun_from_by_all_at_once():
    desk = Desk(a_plan(floor=2, slower_allowed=0.3))
    desk.is_behind = True
    desk.until(
        lambda: desk.progress.before is not None and desk.progress.before.done_at is not None, most=400
    )
    assert desk.phase(6) is Phase.QUEUED
    assert desk.decided.is_patient


def test_one_whose_load_is_not_known_yet_keeps_its_turn_and_is_looked_at_when_it_is_read_again():
    desk = Desk(a_plan(floor=2, ceiling_rps=100.0))
    desk.requests = dict.fromkeys(desk.servers, 100)
    desk.until(lambda: desk.progress.waiting is not None and desk.progress.waiting.code == "load")
    assert desk.decided.is_patient  # nothing is out, and its turn is for this
    assert desk.decided.look_again_s == looks.LOAD_LEAST_S  # it was read a second ago
    desk.requests = dict.fromkeys(desk.servers, 120)
    desk.look(desk.decided.look_again_s)
    assert desk.phase(6) is Phase.DRAINING


def test_a_load_that_cannot_be_read_is_looked_for_all_the_same_and_halts_in_the_end():
    desk = Desk(a_plan(floor=2, ceiling_rps=100.0))
    desk.until(lambda: desk.progress.waiting is not None and desk.progress.waiting.code == "load")
    assert desk.decided.is_patient
    assert desk.decided.look_again_s == looks.LOAD_LEAST_S
    desk.until(lambda: desk.status is RunStatus.HALTED, most=2000)
    assert desk.halt.code == "waited_for_load"


def test_one_that_waits_for_anything_else_that_should_have_come_does_not_wait_for_others():
    desk = Desk(a_plan(floor=2, ceiling_rps=100.0))
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], task_state="resize_prep")
    desk.until(lambda: desk.progress.waiting is not None and desk.progress.waiting.code == "server_busy")
    assert not desk.decided.is_patient
    assert desk.decided.look_again_s < looks.LOAD_EVERY_S


def test_what_may_still_land_does_not_wait(monkeypatch):
    desk = between_servers()
    monkeypatch.setattr("scaledown.patience.outstanding", lambda turn: (turn.now, None))
    desk.look()
    assert not desk.decided.is_patient


def test_a_site_in_danger_does_not_wait():
    desk = between_servers()
    desk.probe_ok = False
    desk.until(lambda: any(desk.progress.probe_failures.values()), after_s=10.0)
    assert not desk.decided.is_patient


def test_what_comes_to_a_freeze_that_was_not_read_does_not_wait():
    desk = Desk(a_plan(floor=2))
    desk.is_freeze_read = False
    desk.until(lambda: desk.progress.asks_freeze)
    assert not desk.decided.is_patient


def test_a_peak_that_is_watched_does_not_wait():
    desk = STATES["peak: watched"]()
    desk.look()
    assert not desk.decided.is_patient
