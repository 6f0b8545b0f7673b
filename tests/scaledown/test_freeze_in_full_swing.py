"""A freeze that is entered while a run goes on: nothing begins and nothing is ended in it; what is in hand is finished."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from portal.runs.types import RunStatus
from scaledown.driver import meets_freeze
from scaledown.progress import progress_to_plain
from scaledown.types import ImageRule, Phase
from tests.scaledown.machine_cases import START, Desk, a_plan
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


@pytest.mark.parametrize("phase", [Phase.QUEUED, Phase.HELD, Phase.VERIFYING, Phase.DELETING])
def test_where_it_was_not_read_nothing_begins_or_ends_before_it_is(phase):
    hold_s = 60.0 if phase is Phase.HELD else 0.0
    desk = Desk(a_plan(hold_s=hold_s))
    if phase is Phase.QUEUED:
        desk.until(lambda: not desk.progress.preflight_due)
    else:
        desk.until_phase(phase)
    desk.is_freeze_read, desk.freeze = False, FREEZE
    changed = len(desk.names)
    until(desk, lambda: desk.progress.asks_freeze)
    assert desk.names[changed:] == []
    assert desk.decided.reads_facts
    assert desk.decided.look_again_s == 0.0
    desk.is_freeze_read = True
    desk.look()
    assert not desk.progress.asks_freeze
    assert not desk.decided.reads_facts
    assert desk.names[changed:] == []
    assert desk.progress.waiting.code == "freeze"
    desk.freeze = ""
    until(desk, lambda: desk.names[changed:] != [])


def test_it_is_not_asked_for_where_nothing_rests_on_it():
    desk = Desk(a_plan()).until_phase(Phase.DRAINING)
    until(desk, lambda: desk.names == ["drain_node"])
    desk.is_freeze_read = False
    desk.until_phase(Phase.VERIFYING)
    assert not desk.progress.asks_freeze
    assert desk.names == ["drain_node", "remove_node"]


def test_the_checks_of_the_watch_after_a_long_image_count():
    """A look that had to have the freeze read left its checks out, and the one at once after it makes none."""
    desk = Desk(sized(images=ImageRule.EACH, images_kept_s=1.0)).until_phase(Phase.IMAGING)

    def look():
        desk.is_freeze_read = meets_freeze(progress_to_plain(desk.progress), desk.now)
        desk.look(max(0.05, desk.decided.look_again_s))

    for _ in range(60):
        look()
    assert desk.phase() is Phase.IMAGING
    desk.image_is("ACTIVE")
    for _ in range(100):
        look()
    assert desk.halt is None
    assert "delete_server" in desk.names


def _way(phase, **more):
    node = {"asked": "ENABLED", "confirmed": "ENABLED"} | more.pop("node", {})
    return {"phase": phase, "nodes": [node], "drain": None, "soak": None} | more


SOON = {"until": (START + timedelta(seconds=2)).isoformat()}
LATER = {"until": (START + timedelta(seconds=20)).isoformat()}


@pytest.mark.parametrize(
    ("way", "meets"),
    [
        (_way("queued"), True),
        (_way("held"), True),
        (_way("retired"), True),
        (_way("draining"), True),
        (_way("draining", node={"asked": "DRAINING"}), False),
        (_way("draining", node={"asked": "DRAINING", "confirmed": "DRAINING"}), False),
        (_way("draining", node={"asked": "DRAINING"}, drain={"asked_person_at": "then"}), True),
        (_way("draining", node={"asked": "DRAINING"}, drain={"asked_person_at": None}), False),
        (_way("removing"), False),
        (_way("verifying"), False),
        (_way("verifying", soak=SOON), True),
        (_way("verifying", soak=LATER), False),
        (_way("imaging"), False),
        (_way("imaging", soak=LATER), True),
        (_way("deleting"), True),
        (_way("confirming"), True),
    ],
)
def test_it_is_read_where_the_next_look_may_come_to_it(way, meets):
    progress = {"servers": [_way("queued"), way, _way("held")]}
    assert meets_freeze(progress, START) is meets
    assert meets_freeze(progress | {"asks_freeze": True}, START)


def test_a_rehearsal_is_not_held():
    desk = Desk(a_plan())
    desk.is_rehearsal, desk.freeze = True, FREEZE
    for _ in range(5):
        desk.look()
    assert desk.progress.waiting is None or desk.progress.waiting.code != "freeze"


def test_a_freeze_without_an_end_is_not_waited_for_beyond_the_window():
    desk = Desk(a_plan(window_end=START + timedelta(hours=2)))
    desk.until(lambda: desk.status is RunStatus.RUNNING)
    desk.freeze = FREEZE
    desk.look()
    assert desk.progress.waiting.code == "freeze"
    desk.now = desk.plan.window_end
    desk.look()
    assert (desk.status, desk.halt.code) == (RunStatus.HALTED, "window_over")
    assert desk.sent == []
