"""What a run says while it rests, and what people may say of servers that another hand changed."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from portal.cloud.types import BalancerStatus, Condition
from portal.runs.types import RunStatus
from scaledown.live import next_says
from scaledown.offers import Situation, offers
from scaledown.types import Phase
from tests.scaledown.machine_cases import Desk, a_plan
from tests.scaledown.test_late_changes import with_lost_delete


def offered(desk: Desk, name: str):
    found = offers(Situation(desk.status, desk.plan, desk.progress))
    return [offer for offer in found if offer.name == name]


# --- the present state --------------------------------------------------------------------------------------


def busy_then_paused() -> Desk:
    desk = Desk()
    desk.until_phase(Phase.DELETING)
    desk.balancer_status = BalancerStatus.PENDING_UPDATE
    desk.until(lambda: desk.phase() is Phase.RETIRED)
    desk.look()
    assert "takes no change now" in desk.progress.says
    desk.command("pause", when="now")
    return desk


def test_a_paused_run_says_that_it_is_paused_and_not_what_it_waited_for():
    desk = busy_then_paused()
    desk.look()
    assert desk.progress.says == "Paused by Lena."
    assert desk.progress.waiting is None
    desk.look(60.0)
    assert desk.progress.says == "Paused by Lena."


def test_a_paused_run_that_puts_a_server_back_says_so_until_it_is_back():
    desk = Desk()
    desk.until_phase(Phase.DRAINING)
    desk.balancer_status = BalancerStatus.PENDING_UPDATE
    desk.command("pause", when="now")
    desk.look()
    assert "takes no change now" in desk.progress.says
    desk.balancer_status = BalancerStatus.ACTIVE
    desk.until(lambda: desk.phase() is Phase.QUEUED)
    desk.look()
    assert desk.progress.says == "Paused by Lena."
    assert desk.progress.customer_says == "Paused by a person. Nothing for you to do."


def test_a_halted_run_says_why_it_halted_and_what_keeps_it_from_going_on():
    desk = Desk()
    desk.until_phase(Phase.VERIFYING)
    desk.probe_ok = False
    desk.until(lambda: desk.status is RunStatus.HALTED and desk.phase() is Phase.RESTORED)
    desk.look()
    desk.look()
    assert desk.progress.says == f"{desk.halt.says} It cannot go on yet: Probes fail: home."
    assert desk.progress.customer_says == desk.halt.customer_says
    assert not offered(desk, "resume")
    desk.probe_ok = True
    desk.look(5.0)
    desk.look(5.0)
    assert desk.progress.says == desk.halt.says
    assert offered(desk, "resume")


def test_a_resumed_run_says_what_it_does_now():
    desk = busy_then_paused()
    desk.balancer_status = BalancerStatus.ACTIVE
    assert desk.command("resume").accepted
    desk.look()
    assert "Paused" not in desk.progress.says


def test_a_standstill_is_said_while_it_lasts_and_the_pause_again_afterwards():
    desk = busy_then_paused()
    desk.standstill = "The provider has an outage."
    desk.look()
    assert desk.progress.says == "The provider has an outage."
    assert not offered(desk, "resume")
    desk.standstill = None
    desk.look()
    desk.look()
    assert desk.progress.says == "Paused by Lena."


# --- an abort that has to wait ------------------------------------------------------------------------------


def test_an_abort_that_waits_for_a_lost_change_says_for_what_and_until_when_and_answers_at_once():
    desk = with_lost_delete()
    assert desk.command("abort").accepted
    desk.look()
    until = desk.way().delete.late_at.timestamp() + 600
    assert desk.progress.waiting.code == "late_change"
    assert "web-06" in desk.progress.says
    assert desk.progress.until.timestamp() == until
    assert desk.way().until.timestamp() == until
    run = SimpleNamespace(is_over=False, status=desk.status)
    assert next_says(run, desk.progress, for_customer=False) == ""
    answer = desk.command("pause")
    assert (answer.accepted, answer.says) == (False, "The run is being aborted.")
    desk.standstill = "Everything is stopped."
    sent = len(desk.sent)
    desk.until(lambda: desk.status is RunStatus.ABORTED, most=400, after_s=5.0)
    assert all(action.is_put_back for action in desk.sent[sent:])


# --- another hand, server by server ------------------------------------------------------------------------


def two_changed() -> Desk:
    """Return a run of three servers; another hand changed two of them, one held and one in the queue."""
    desk = Desk(a_plan(hold_s=900.0, floor=2))
    desk.until_phase(Phase.HELD)
    drained = next(n for n in desk.nodes.values() if n.address == "10.0.0.5")
    held = replace(drained, node_id="again", address="10.0.0.6", condition=Condition.DRAINING)
    desk.nodes |= {drained.node_id: replace(drained, weight=5), "again": held}
    desk.progress = replace(
        desk.progress,
        servers=tuple(
            replace(way, nodes=tuple(replace(node, weight=1) for node in way.nodes))
            for way in desk.progress.servers
        ),
    )
    desk.until(lambda: desk.status is RunStatus.HALTED, most=5)
    assert desk.halt.code == "changed_by_other_hand"
    return desk


def test_a_person_says_of_each_changed_server_whether_it_may_still_be_deleted():
    desk = two_changed()
    desk.look()
    assert {offer.server_id for offer in offered(desk, "accept")} == {"srv-6", "srv-5"}
    assert desk.command("accept", server="srv-5").accepted
    assert [offer.server_id for offer in offered(desk, "accept")] == ["srv-6"]
    assert "accepted" in desk.kinds()
    assert not desk.command("resume").accepted
    assert desk.command("resume", confirm=True).accepted
    assert desk.way(6).put_back is not None or desk.phase(6) is Phase.RESTORED
    desk.until(lambda: desk.status is RunStatus.COMPLETED, most=2000, after_s=2.0)
    assert (desk.phase(6), desk.phase(5)) == (Phase.RESTORED, Phase.RETIRED)


@pytest.mark.parametrize(
    ("server", "reason", "says"),
    [("srv-9", "fine", "no such server"), ("srv-5", " ", "reason"), ("", "fine", "no such server")],
)
def test_accepting_needs_a_changed_server_and_a_reason(server, reason, says):
    answer = two_changed().command("accept", reason, server=server)
    assert not answer.accepted
    assert says in answer.says


def test_a_server_that_is_another_one_now_cannot_be_accepted():
    desk = Desk()
    desk.until_phase(Phase.VERIFYING)
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], name="db-01")
    desk.until(lambda: desk.status is RunStatus.HALTED)
    desk.look()
    assert not offered(desk, "accept")
    assert "is not what was approved" in desk.command("accept", server="srv-6").says


def test_nobody_accepts_while_the_run_goes_on():
    desk = Desk()
    desk.until_phase(Phase.VERIFYING)
    assert not desk.command("accept", server="srv-6").accepted
