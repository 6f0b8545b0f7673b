"""A freeze that is entered while a run goes on: nothing begins and nothing is ended in it; what is in hand is finished."""

from __future__ import annotations

from dataclasses import replace

import pytest

from portal.runs.types import RunStatus
from scaledown.types import ImageRule, Phase
from tests.scaledown.machine_cases import Desk, a_plan
from tests.scaledown.test_rolling_back import until

FREEZE = "A freeze is in force: the sale."


def sized(**changes):
    plan = a_plan(**changes)
    servers = tuple(replace(server, flavor_id="general1-4", image_id="base") for server in plan.servers)
    return replace(plan, servers=servers)


def test_the_server_in_hand_leaves_the_pool_and_no_other_begins():
    desk = Desk(a_plan(hold_s=600.0)).until_phase(Phase.DRAINING)
    desk.freeze = FREEZE
    desk.until_phase(Phase.HELD)
    for _ in range(20):
        desk.look(5.0)
    assert desk.names == ["drain_node", "remove_node"]
    assert desk.phase(5) is Phase.QUEUED
    assert desk.status is RunStatus.RUNNING
    assert desk.progress.waiting.code == "freeze"
    assert desk.progress.says.startswith(FREEZE)
    desk.freeze = ""
    desk.until_phase(Phase.DRAINING, 5)


def test_a_good_verdict_is_not_followed_by_the_deletion_in_the_same_look():
    desk = Desk(a_plan(hold_s=0.0)).until_phase(Phase.VERIFYING)
    desk.freeze = FREEZE
    for _ in range(60):
        desk.look(5.0)
    assert desk.phase() is Phase.HELD
    assert "delete_server" not in desk.names
    desk.freeze = ""
    until(desk, lambda: "delete_server" in desk.names)


@pytest.mark.parametrize("changes", [{}, {"stop_s": 30.0}, {"images": ImageRule.EACH, "images_kept_s": 1.0}])
def test_a_held_server_is_neither_stopped_nor_deleted_and_can_be_put_back(changes):
    desk = Desk(sized(hold_s=60.0, **changes)).until_phase(Phase.HELD)
    desk.freeze = FREEZE
    sent = len(desk.names)
    for _ in range(40):
        desk.look(5.0)
    assert desk.names[sent:] == []
    assert desk.phase() is Phase.HELD
    assert desk.command("put_back", server="srv-6").accepted
    desk.until_phase(Phase.RESTORED)


def test_one_whose_image_is_being_made_is_not_deleted_in_it():
    desk = Desk(sized(images=ImageRule.EACH, images_kept_s=86_400.0))
    desk.until_phase(Phase.IMAGING)
    desk.freeze = FREEZE
    for _ in range(60):
        desk.image_is("ACTIVE")
        desk.look(5.0)
    assert "delete_server" not in desk.names
    desk.freeze = ""
    until(desk, lambda: "delete_server" in desk.names)


def test_a_deletion_that_was_accepted_is_watched_to_its_end():
    desk = Desk(a_plan())
    desk.until(lambda: "delete_server" in desk.names)
    desk.freeze = FREEZE
    desk.until_phase(Phase.RETIRED)
    assert desk.phase(5) is Phase.QUEUED


def test_traffic_that_rises_puts_back_in_a_freeze_too():
    desk = Desk(a_plan(hold_s=600.0)).until_phase(Phase.HELD)
    desk.freeze = FREEZE
    desk.look(5.0)
    desk.probe_ok = False
    desk.until_phase(Phase.RESTORED)
    assert desk.halt.code == "traffic_rising"


def test_a_rehearsal_is_not_held():
    desk = Desk(a_plan())
    desk.is_rehearsal, desk.freeze = True, FREEZE
    for _ in range(5):
        desk.look()
    assert desk.progress.waiting is None or desk.progress.waiting.code != "freeze"
