"""Nobody answers a halt, for hours, in each phase: the safest state is reached, what was said comes true, and nothing is deleted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from portal.cloud.types import BalancerStatus, Condition
from portal.runs.types import HaltRank, Outcome, OutcomeKind, RunStatus
from scaledown.asking import Halted, question_of
from scaledown.late import LATE_S
from scaledown.offers import Situation, offers
from scaledown.turn import GONE_AFTER_S
from scaledown.types import ImageRule, Phase
from tests.scaledown.halts import (
    HALTS,
    Slow,
    WithoutBalancer,
    change,
    halts,
    image_failed,
    in_phase,
    stop_forbidden,
)
from tests.scaledown.machine_cases import LB, START, Desk, a_plan
from tests.scaledown.test_rolling_back import one_deleted, until
from tests.scaledown.test_stopping import silent_after_its_start

QUIET_S = 4 * 3600
TAKES_OUT = {"drain_node", "remove_node", "stop_server", "create_image", "delete_server", "create_server"}


def asks(desk, **given):
    at = desk.progress.stopped_at
    return question_of(desk.progress, Halted(desk.halt.rank, desk.now, at=at, in_charge="Lena", **given))


def quiet(desk, for_s=QUIET_S, after_s=30.0):
    """Let nobody answer; return what was sent meanwhile."""
    before = len(desk.sent)
    for _ in range(int(for_s / after_s)):
        desk.look(after_s)
    assert desk.status is RunStatus.HALTED, "only a person lets it go on, or ends it"
    return [action.name for action in desk.sent[before:]]


def no_node_drains(desk):
    return all(node.condition is Condition.ENABLED for node in desk.nodes.values())


def refused_removal():
    """The provider refuses a removal: the node still drains."""
    desk = in_phase(Phase.DRAINING)
    desk.connections["srv-6"] = 0
    desk.until(lambda: desk.way().drain.zeros >= 2)
    desk.outcome = Outcome(OutcomeKind.REFUSED, "It takes no last node.")
    halts(desk)
    assert (desk.phase(), desk.halt.code) == (Phase.REMOVING, "change_refused")
    desk.outcome = Outcome(OutcomeKind.DONE)
    return desk


def test_one_that_is_to_be_removed_serves_again_at_the_time_that_is_said():
    desk = refused_removal()
    question = asks(desk)
    assert "web-06 is put back into service" in question.otherwise.says
    desk.look((question.until - desk.now).total_seconds() - 5)
    assert desk.condition(6) is Condition.DRAINING
    assert quiet(desk) == ["enable_node"]
    assert no_node_drains(desk)
    assert desk.phase() is Phase.QUEUED
    assert desk.halt.code == "put_back_after_silence"
    assert asks(desk).until is None


def test_one_of_which_a_removal_is_under_way_is_added_again():
    desk = in_phase(Phase.DRAINING)
    desk.connections["srv-6"] = 0
    desk.until(lambda: "remove_node" in desk.names)
    assert desk.phase() is Phase.REMOVING
    desk.nodes["405"] = replace(desk.nodes["405"], condition=Condition.DISABLED)
    halts(desk, most=2)
    assert desk.phase() is Phase.REMOVING
    assert "web-06 is put back into service" in asks(desk).otherwise.says
    assert quiet(desk) == ["add_node"]
    assert desk.condition(6) is Condition.ENABLED
    assert desk.nodes["405"].condition is Condition.DISABLED, "another hand's is left as it is"


@pytest.mark.parametrize("status", [BalancerStatus.PENDING_UPDATE, BalancerStatus.ERROR])
def test_one_that_goes_back_goes_as_soon_as_its_balancer_takes_changes(status):
    desk = in_phase(Phase.VERIFYING)
    desk.balancer_status, desk.probe_ok = status, False
    halts(desk)
    assert desk.halt.rank is HaltRank.SITE_IN_DANGER
    assert "web-06 goes back into service by itself as soon as that works" in asks(desk).otherwise.says
    assert quiet(desk) == []
    desk.balancer_status = BalancerStatus.ACTIVE
    assert quiet(desk, 600) == ["add_node"]
    assert desk.phase() is Phase.RESTORED
    assert no_node_drains(desk)


def test_one_of_which_no_image_came_about_stays_alive_also_where_the_image_is_ready_later():
    desk = image_failed()
    question = asks(desk)
    assert question.until is None
    assert "web-06 stays out of service and alive" in question.otherwise.says
    assert quiet(desk) == []
    desk.image_is("ACTIVE")
    assert quiet(desk) == []
    assert (desk.phase(), desk.servers["srv-6"].status) == (Phase.IMAGING, "ACTIVE")


def test_an_image_that_is_being_made_while_the_run_halts_leads_to_no_deletion():
    desk = Desk(a_plan(floor=2, images=ImageRule.EACH, images_kept_s=86_400.0))
    desk.until(lambda: "create_image" in desk.names)
    desk.nodes["401"] = replace(desk.nodes["401"], condition=Condition.DISABLED)
    halts(desk)
    assert desk.phase() is Phase.IMAGING
    assert "web-06 stays out of service and alive" in asks(desk).otherwise.says
    desk.image_is("ACTIVE")
    assert quiet(desk) == []


def test_one_that_is_being_stopped_stays_and_is_started_where_the_traffic_needs_it():
    desk = stop_forbidden()
    assert "web-06 stays out of service and alive" in asks(desk).otherwise.says
    assert "put back where the traffic needs it" in asks(desk).otherwise.says
    assert quiet(desk) == []
    change(desk, "srv-6", status="SHUTOFF")  # a stop takes effect after all
    desk.powers = True
    assert quiet(desk) == []
    assert desk.phase() is Phase.HELD
    desk.probe_ok = False
    assert quiet(desk, 600) == ["start_server", "add_node"]
    assert desk.condition(6) is Condition.ENABLED


def test_one_that_is_stopped_stays_so_and_is_not_deleted():
    desk = Desk(a_plan(floor=2, stop_s=600.0))
    desk.until(lambda: desk.way().stop is not None and desk.way().stop.stopped_at is not None)
    desk.until_phase(Phase.DRAINING, 5)
    desk.nodes["401"] = replace(desk.nodes["401"], condition=Condition.DISABLED)
    halts(desk)
    assert "web-05 is put back into service" in asks(desk).otherwise.says
    assert quiet(desk) == ["enable_node"]
    assert (desk.phase(6), desk.phase(5)) == (Phase.HELD, Phase.QUEUED)
    assert "web-06 stays out of service and alive" in asks(desk).otherwise.says


def recreating(builds):
    desk = one_deleted()
    desk.builds = builds
    desk.answers_directly = False
    assert desk.command("roll_back").accepted
    return until(desk, lambda: desk.status is RunStatus.HALTED, most=900)


@pytest.mark.parametrize(("builds", "phase"), [("ERROR", Phase.RECREATING), ("ACTIVE", Phase.JOINING)])
def test_one_that_is_created_anew_takes_no_visitors_and_no_second_one_is_created(builds, phase):
    desk = recreating(builds)
    assert desk.phase() is phase
    question = asks(desk)
    assert question.until is None
    assert (
        "what was begun to create web-06 anew stays at the provider, and takes no visitors"
        in question.otherwise.says
    )
    assert "Nothing is deleted." in question.otherwise.says
    assert quiet(desk) == []
    new = [node.condition for node in desk.nodes.values() if node.address.startswith("10.0.9.")]
    assert new == ([] if builds == "ERROR" else [Condition.DRAINING])
    assert desk.condition(5) is Condition.ENABLED


@pytest.mark.parametrize("ends", [True, False])
def test_an_accepted_deletion_is_not_asked_for_again_whether_it_ends_or_not(ends):
    desk = halts(Slow(a_plan(floor=2)).until_phase(Phase.DELETING), after_s=60.0)
    question = asks(desk)
    assert question.until is None
    assert "accepted by the provider and cannot be taken back" in question.otherwise.says
    assert "ends" not in question.otherwise.says, "an accepted deletion may be without effect"
    assert question.otherwise.says.endswith("Nothing else is deleted.")
    if ends:
        change(desk, "srv-6", is_gone=True, status="DELETED", task_state=None)
    else:
        change(desk, "srv-6", task_state=None)
    assert quiet(desk) == []
    assert desk.phase(5) is Phase.QUEUED
    assert desk.names.count("delete_server") == 1


CANNOT_GO = {
    "balancer_gone",
    "balancer_not_writable",
    "change_refused",
    "lost_sight",
    "no_effect",
    "provider_busy",
}
"""The provider takes no change, or has or shows no balancer: what is to go back is marked, and tried for as long."""


@pytest.mark.parametrize("code", sorted(HALTS))
def test_whatever_it_halted_for_silence_takes_nothing_out_and_leaves_no_node_of_ours_draining(code):
    desk = HALTS[code]()
    sent = quiet(desk, 3600.0)
    assert not TAKES_OUT & set(sent)
    out_there = [way for way in desk.progress.servers if way.phase in {Phase.DRAINING, Phase.REMOVING}]
    assert all(way.put_back is not None for way in out_there), "it drains for ever"
    if code not in CANNOT_GO:
        assert not out_there
        assert Condition.DRAINING not in {desk.condition(6), desk.condition(5)}


# --- beside a server that cannot go back ------------------------------------------------------------------------


def beside_one_that_cannot_go(**changes):
    """A stopped server is to go back and answers nothing, while the next one drains."""
    desk = Desk(a_plan(floor=2, stop_s=60.0, drain_limit_s=3600.0, **changes))
    desk.until(lambda: desk.way().stop is not None and desk.way().stop.stopped_at is not None)
    desk.connections["srv-5"] = 3
    desk.until_phase(Phase.DRAINING, 5).look()
    silent_after_its_start(desk)
    assert desk.condition(5) is Condition.DRAINING
    return desk


@pytest.mark.parametrize("how", ["silence", "abort", "window"])
def test_one_that_cannot_go_back_keeps_no_draining_server_from_it(how):
    ends = {"window_end": START + timedelta(seconds=1200)} if how == "window" else {}
    desk = beside_one_that_cannot_go(**ends)
    if how == "abort":
        halts(desk)
        assert desk.command("abort").accepted
    elif how == "silence":
        halts(desk)
        question = asks(desk)
        assert "web-06 goes back into service by itself" in question.otherwise.says
        assert "Without an answer in time web-05 is put back into service" in question.otherwise.says
        desk.look((question.until - desk.now).total_seconds() - 5)
        assert desk.condition(5) is Condition.DRAINING
        desk.look(10)
    else:
        desk.look(1200)
    for _ in range(3):
        desk.look()
    assert desk.phase(6) is Phase.HELD, "it still cannot go"
    assert desk.condition(5) is Condition.ENABLED
    if how == "silence":
        assert desk.halt.code == "start_without_answer", "what is asked about the other one stays asked"


def test_where_one_balancer_is_not_seen_silence_still_lets_a_node_serve_on_the_other_one():
    class Two(Desk):
        """A desk with a second balancer that can be hidden, and that no planned server is in."""

        hidden = False

        def observation(self):
            seen = super().observation()
            if self.hidden:
                return seen
            other = replace(seen.balancers[LB], balancer_id="72", name="other", nodes=self.others)
            return replace(seen, balancers={**seen.balancers, "72": other})

    plan = a_plan(
        floor=2, drain_limit_s=30.0, balancer_ids=(LB, "72"), strays=("72/10.0.0.1:80", "72/10.0.0.2:80")
    )
    desk = Two(plan)
    desk.others = tuple(node for key, node in desk.nodes.items() if key in {"401", "402"})
    desk.connections["srv-6"] = 3
    halts(desk)
    assert desk.halt.code == "drain_limit"
    desk.hidden = True
    for _ in range(40):
        desk.look(30.0)
    assert desk.condition(6) is Condition.ENABLED
    assert desk.status is RunStatus.HALTED


# --- another hand on the very server ----------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [Phase.DRAINING, Phase.REMOVING])
@pytest.mark.parametrize("condition", [Condition.ENABLED, Condition.DISABLED])
def test_a_node_that_another_hand_changed_is_left_as_it_is_until_a_person_decides(phase, condition):
    desk = in_phase(Phase.DRAINING) if phase is Phase.DRAINING else refused_removal()
    desk.outcome = Outcome(OutcomeKind.TRY_LATER, after_s=1.0)
    if desk.status is RunStatus.HALTED:
        assert desk.command("resume").accepted
    desk.look()
    assert desk.phase() is phase
    desk.nodes["406"] = replace(desk.nodes["406"], condition=condition)
    halts(desk, most=5)
    desk.outcome = Outcome(OutcomeKind.DONE)
    assert desk.halt.code == "changed_by_other_hand"
    question = asks(desk)
    assert question.until is None
    assert "web-06 stays as another hand has left it, until a person has decided" in question.otherwise.says
    assert "put back" not in question.otherwise.says
    assert quiet(desk) == []
    assert desk.condition(6) is condition
    assert asks(desk) == question
    assert desk.command("resume", confirm=True).accepted
    desk.until(lambda: desk.phase() is Phase.RESTORED)
    assert desk.condition(6) is Condition.ENABLED
    assert "delete_server" not in desk.names


def test_where_there_is_no_load_balancer_any_more_no_return_is_promised():
    desk = WithoutBalancer(a_plan(floor=2)).until_phase(Phase.DRAINING)
    desk.is_lost = True
    halts(desk)
    assert (desk.now - desk.progress.balancers_missing_since[LB]).total_seconds() >= GONE_AFTER_S
    for words in asks(desk).otherwise:
        assert "put back" not in words
        assert "Nothing is deleted." in words
    assert asks(desk).until is None


# --- a deletion of which nobody knows ---------------------------------------------------------------------------


def held_and_halted(desk):
    desk.status = RunStatus.HALTED
    desk.halt = HALTS["cannot_look"]().halt
    return desk


def test_while_a_deletion_is_on_the_wire_nobody_is_told_that_the_server_stays_alive():
    desk = held_and_halted(Desk(a_plan(floor=2, hold_s=600.0)).until_phase(Phase.HELD))
    calm, open_yet = asks(desk), asks(desk, deleting="srv-6")
    assert "web-06 stays out of service and alive" in calm.otherwise.says
    for says in open_yet.otherwise:
        assert "alive" not in says
        assert "ready to come back" not in says
        assert "Nothing is deleted." not in says
        assert "Nothing else is deleted." in says
    assert (
        "The deletion of web-06 was sent, and may take effect still or have done so"
        in open_yet.otherwise.says
    )
    assert "It is not known yet whether web-06 is being deleted" in open_yet.otherwise.customer_says


class Unread(Desk):
    """A desk whose deletions are read as not applied."""

    def look(self, after_s=1.0):
        sent = len(self.sent)
        self.outcome = Outcome(OutcomeKind.DONE)
        decided = super().look(after_s)
        assert "delete_server" not in [action.name for action in self.sent[sent:-1]]
        return decided

    def _keep(self, decided):
        action = getattr(decided, "action", None)
        if action is not None and action.name == "delete_server":
            self.outcome = Outcome(OutcomeKind.NOT_APPLIED, by_reading=True)
        super()._keep(decided)


def test_a_deletion_that_did_not_show_is_named_for_as_long_as_it_may_take_effect():
    desk = Unread(a_plan(floor=2))
    desk.until(lambda: "delete_server" in desk.names)
    assert desk.way().delete.late_at is not None
    held_and_halted(desk)
    desk.look()
    said = asks(desk).otherwise
    assert "The deletion of web-06 was sent" in said.says
    assert "alive" not in said.says
    desk.look(LATE_S + 5)
    assert "web-06 stays out of service and alive" in asks(desk).otherwise.says
    assert "Nothing is deleted." in asks(desk).otherwise.says


@pytest.mark.parametrize("name", ["accept", "finish_here"])
def test_no_button_promises_what_a_deletion_in_doubt_may_have_undone(name):
    desk = held_and_halted(Desk(a_plan(floor=2, hold_s=600.0)).until_phase(Phase.HELD))
    desk.progress = replace(
        desk.progress,
        servers=tuple(
            replace(way, by_hand="Another name.") if way.server_id == "srv-6" else way
            for way in desk.progress.servers
        ),
    )
    sure = Situation(desk.status, desk.plan, desk.progress)
    found = {one.name: one for one in offers(replace(sure, deleting="srv-6"))}
    for says in (found[name].leaves, found[name].customer_leaves):
        assert "The deletion of web-06 was sent and is not answered yet, which nothing stops." in says
    assert "was sent" not in {one.name: one for one in offers(sure)}[name].leaves


def test_finishing_a_halted_run_lets_silence_bring_the_draining_server_back_all_the_same():
    desk = halts(in_phase(Phase.DRAINING))
    assert desk.halt.code == "drain_limit"
    assert desk.command("finish_here").accepted
    assert quiet(desk) == ["enable_node"]
    assert no_node_drains(desk)
    assert [way.phase for way in desk.progress.servers] == [Phase.QUEUED, Phase.SKIPPED]
