"""A server goes back only where it can serve: not while it is on its way down, nor as another machine than the one that left."""

from __future__ import annotations

from dataclasses import replace

import pytest

from portal.cloud.types import BalancerStatus, Condition
from portal.runs.types import HaltRank, RunStatus
from scaledown import needs
from scaledown.progress import NodeState, PutBack, with_server
from scaledown.types import Phase
from tests.scaledown.halts import HALTS, WithoutBalancer, change
from tests.scaledown.machine_cases import Desk, a_plan, planned
from tests.scaledown.test_rolling_back import one_deleted, until

PUTS_BACK = {"add_node", "enable_node"}


def out_in(phase):
    six = replace(planned(6), image_id="img-web")
    desk = Desk(a_plan(floor=2, hold_s=600.0, servers=(six, planned(5))))
    if phase is Phase.DRAINING:
        desk.connections["srv-6"] = 3
    return change(desk.until_phase(phase).look() and desk, "srv-6", image_id="img-web")


def put_back(desk):
    return [one.name for one in desk.sent if one.name in PUTS_BACK and one.args["server_id"] == "srv-6"]


@pytest.mark.parametrize("phase", [Phase.DRAINING, Phase.HELD])
@pytest.mark.parametrize("command", ["put_back", "abort"])
@pytest.mark.parametrize("task", ["deleting", "powering-off", "rebooting", "resize_prep", "rebuilding"])
def test_nobody_is_sent_to_a_server_that_is_on_its_way_down(phase, command, task):
    desk = change(out_in(phase), "srv-6", task_state=task)
    assert desk.command(command, server="srv-6").accepted
    for _ in range(20):
        desk.look()
    assert put_back(desk) == []
    assert "It is sent nobody before that is over" in desk.progress.says
    change(desk, "srv-6", task_state=None)
    desk.until(lambda: put_back(desk), most=10)
    desk.until(lambda: desk.phase() is not phase, most=10)
    assert desk.condition(6) is Condition.ENABLED


@pytest.mark.parametrize("phase", [Phase.DRAINING, Phase.HELD])
@pytest.mark.parametrize("task", ["image_uploading", "image_snapshot", "migrating"])
def test_one_that_serves_beside_what_is_under_way_goes_back_at_once(phase, task):
    desk = change(out_in(phase), "srv-6", task_state=task)
    assert desk.command("put_back", server="srv-6").accepted
    desk.until(lambda: put_back(desk), most=5)


def test_one_that_was_deleted_by_hand_as_it_was_to_go_back_is_gone():
    desk = change(out_in(Phase.DRAINING), "srv-6", task_state="deleting")
    assert desk.command("abort").accepted
    desk.look()
    change(desk, "srv-6", task_state=None, is_gone=True, status="DELETED")
    desk.until(lambda: desk.status is RunStatus.ABORTED, most=100)
    assert desk.phase() is Phase.GONE
    assert put_back(desk) == []


def test_it_wakes_people_only_where_the_site_is_not_well_without_it():
    desk = change(out_in(Phase.HELD), "srv-6", task_state="rebooting")
    assert desk.command("put_back", server="srv-6").accepted
    desk.until(lambda: desk.status is RunStatus.HALTED, most=1000)
    assert (desk.halt.code, desk.halt.rank) == ("waited_for_put_back_server", HaltRank.DECIDE_TODAY)


@pytest.mark.parametrize("command", ["put_back", "abort"])
def test_a_server_that_was_rebuilt_meanwhile_serves_nobody(command):
    desk = change(out_in(Phase.HELD), "srv-6", image_id="img-other")
    desk.look()
    assert desk.halt.code == "changed_by_other_hand"
    assert desk.command(command, server="srv-6").accepted
    desk.until(lambda: "rebuilt from another image" in desk.progress.says, most=5)
    for _ in range(700):
        desk.look()
    assert put_back(desk) == []
    if command == "abort":
        assert (desk.status, desk.phase()) == (RunStatus.ABORTED, Phase.LEFT_OUT)


def test_another_name_or_size_keeps_no_server_out():
    desk = change(out_in(Phase.HELD), "srv-6", name="renamed")
    assert desk.command("abort").accepted
    desk.until(lambda: desk.status is RunStatus.ABORTED, most=20)
    assert desk.condition(6) is Condition.ENABLED


def test_what_goes_back_behind_a_balancer_that_is_gone_is_not_said_to_be_back():
    desk = WithoutBalancer(a_plan(floor=2, hold_s=600.0)).until_phase(Phase.HELD)
    desk.is_lost = True
    desk.until(lambda: desk.status is RunStatus.HALTED, most=60)
    assert desk.command("abort").accepted
    desk.until(lambda: desk.status is RunStatus.ABORTED, most=60)
    says = [entry.says for entry in desk.journal]
    assert any("web-06 runs and is in no pool: load balancer" in one for one in says)
    assert not any("is back in the pool" in one for one in says)


def test_a_task_that_hangs_ends_an_abort_after_an_hour():
    desk = change(out_in(Phase.HELD), "srv-6", task_state="rebooting")
    assert desk.command("abort").accepted
    for _ in range(70):
        desk.look(45.0)
    assert desk.phase() is Phase.HELD
    desk.until(lambda: desk.status is RunStatus.ABORTED, most=40, after_s=45.0)
    assert desk.phase() is Phase.LEFT_OUT
    assert put_back(desk) == []


def test_one_server_that_cannot_go_back_does_not_keep_the_others_from_being_created_again():
    desk = one_deleted(servers=(planned(6), replace(planned(5), image_id="img-web")))
    change(desk.until_phase(Phase.HELD, 5), "srv-5", image_id="img-other")
    assert desk.command("roll_back").accepted
    desk.until(lambda: desk.status is RunStatus.HALTED, most=20)
    assert desk.halt.code == "cannot_put_back"
    for _ in range(620):
        desk.look()
    assert desk.phase(5) is Phase.LEFT_OUT
    assert desk.command("resume").accepted
    until(desk, lambda: desk.status is RunStatus.ROLLED_BACK)
    assert desk.phase(6) is Phase.RECREATED
    assert "Could not be put back: web-05" in desk.progress.says
    assert "Deleted for good" not in desk.progress.says


def test_what_is_forbidden_for_a_reason_that_stands_is_not_resumed_in_vain():
    desk = HALTS["delete_forbidden"]()
    for _ in range(3):
        desk.look()
    answer = desk.command("resume")
    assert not answer.accepted
    assert "99" in answer.says


@pytest.mark.parametrize("status", [RunStatus.PAUSED, RunStatus.HALTED])
def test_a_run_that_rests_does_not_search_every_region_for_what_it_would_delete(status):
    desk = Desk(a_plan(floor=2, hold_s=30.0)).until_phase(Phase.HELD)
    desk.now = desk.way().until
    asked = needs.needs_of(desk.plan, desk.progress, desk.people(), desk.now)
    assert asked.search == "srv-6"
    desk.status = status
    assert needs.needs_of(desk.plan, desk.progress, desk.people(), desk.now).search is None


def test_a_change_that_was_set_aside_and_shows_on_a_balancer_that_takes_none_is_not_called_back():
    desk = out_in(Phase.DRAINING)
    way = desk.way()
    node = replace(
        way.nodes[0],
        asked=NodeState.ENABLED,
        confirmed=NodeState.ENABLED,
        late=(NodeState.DRAINING,),
        late_at=desk.now,
    )
    back = PutBack("Probes fail.", Phase.QUEUED, desk.now)
    desk.progress = with_server(desk.progress, replace(way, nodes=(node,), put_back=back))
    desk.balancer_status = BalancerStatus.SUSPENDED
    for _ in range(5):
        desk.look()
    assert desk.condition(6) is Condition.DRAINING
    assert desk.way().put_back is not None
    desk.balancer_status = BalancerStatus.ACTIVE
    desk.until(lambda: desk.condition(6) is Condition.ENABLED, most=30)
