"""Roll back: in reverse, with new servers from images that are found again, checked, and never one too many."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from portal.access import Permission
from portal.runs.types import Outcome, OutcomeKind, RunStatus
from scaledown import outcomes, rolling_back, wording
from scaledown.offers import Situation, offers, refusal
from scaledown.types import ImageRule, Observation, Phase
from tests.scaledown.machine_cases import Desk, a_plan, planned


def images_ready(desk):
    for number, image in enumerate(desk.images.values()):
        if image.status == "SAVING":
            desk.image_is("ACTIVE", number)


def until(desk, done, most=400, after_s=1.0):
    """Look until it is so; images are ready at once."""
    for _ in range(most):
        if done():
            return desk
        images_ready(desk)
        desk.look(after_s)
    raise AssertionError(f"it never happened: {desk.status} {desk.halt} {desk.progress.says}")


def one_deleted(**changes):
    """A run that has deleted its first server, of which there is an image, and has taken the next one out."""
    plan = a_plan(**{"images": ImageRule.EACH, "images_kept_s": 86_400.0, "floor": 2, **changes})
    sized = tuple(replace(server, flavor_id="general1-4", image_id="base") for server in plan.servers)
    desk = Desk(replace(plan, servers=sized))
    return until(desk, lambda: desk.phase(6) is Phase.RETIRED and desk.phase(5) is Phase.DRAINING)


def test_what_lives_goes_back_and_what_was_deleted_is_created_anew_and_checked_before_it_serves():
    desk = one_deleted()
    before = len(desk.sent)
    desk.answers_directly = False
    assert desk.command("roll_back").accepted
    until(desk, lambda: desk.phase(6) is Phase.JOINING and desk.way(6).nodes[0].confirmed == "DRAINING")
    assert desk.phase(5) is Phase.RESTORED
    for _ in range(5):
        desk.look()
    assert desk.names[before:] == ["enable_node", "create_server", "add_node"]
    assert desk.sent[-1].args["state"] == "DRAINING"
    desk.answers_directly = True
    until(desk, lambda: desk.status is RunStatus.ROLLED_BACK)
    assert desk.names[before:] == ["enable_node", "create_server", "add_node", "enable_node"]
    assert desk.phase(6) is Phase.RECREATED
    assert desk.way(6).nodes[0].address == "10.0.9.1"
    node = next(n for n in desk.nodes.values() if n.address == "10.0.9.1")
    assert (node.port, node.type, node.condition.value) == (80, planned(6).nodes[0].type, "ENABLED")
    assert "1 server put back, 1 server created anew" in desk.progress.says
    assert [point.value for point in desk.samples if point.series == "serving:71"][-1] == 5


def test_without_an_image_the_deletion_stays_and_that_is_said_before_and_after():
    desk = one_deleted(images=ImageRule.NONE)
    offer = next(o for o in offers(Situation(desk.status, desk.plan, desk.progress)) if o.name == "roll_back")
    assert "web-06 stays deleted: that cannot be undone" in offer.leaves
    answer = desk.command("roll_back")
    assert "web-06 cannot be brought back" in answer.says
    until(desk, lambda: desk.status is RunStatus.ROLLED_BACK)
    assert "create_server" not in desk.names
    assert "Deleted for good: web-06" in desk.progress.says


def test_the_offer_says_what_is_created_and_needs_a_reason():
    desk = one_deleted()
    now = Situation(desk.status, desk.plan, desk.progress)
    offer = next(o for o in offers(now) if o.name == "roll_back")
    assert (offer.permission, offer.needs_reason, offer.is_dangerous) == (Permission.RUN_COMMAND, True, True)
    assert "create 1 anew" in offer.label
    assert "web-05 goes back in service" in offer.leaves
    assert "web-06 is created anew from an image" in offer.leaves
    assert "other addresses" in offer.leaves
    assert "reason" in refusal("roll_back", {}, " ", now)
    assert not [o for o in offers(replace(now, is_rehearsal=True)) if o.name == "roll_back"]
    assert "makes sense only" in refusal("roll_back", {}, "why", replace(now, status=RunStatus.COMPLETED))


def test_a_create_whose_answer_was_lost_is_found_by_its_metadata():
    desk = one_deleted()
    desk.names_image = False
    desk.command("roll_back")
    until(desk, lambda: desk.status is RunStatus.ROLLED_BACK)
    assert desk.names.count("create_server") == 1
    assert "server_found" in desk.kinds()


def test_a_create_that_did_not_show_is_not_sent_again_while_it_may_still_land():
    desk = one_deleted()
    desk.command("roll_back")
    until(desk, lambda: desk.phase(5) is Phase.RESTORED)
    desk.outcome = Outcome(OutcomeKind.NOT_APPLIED, by_reading=True)
    until(desk, lambda: "create_server" in desk.names)
    desk.outcome = Outcome(OutcomeKind.DONE)
    since = desk.now
    until(desk, lambda: desk.names.count("create_server") == 2, most=700)
    assert desk.now - since >= timedelta(seconds=600)


def test_a_create_that_lands_late_is_taken_and_no_other_one_is_sent():
    desk = one_deleted()
    desk.command("roll_back")
    until(desk, lambda: desk.phase(5) is Phase.RESTORED)
    desk.outcome = Outcome(OutcomeKind.NOT_APPLIED, by_reading=True)
    until(desk, lambda: "create_server" in desk.names)
    desk.outcome = Outcome(OutcomeKind.DONE)
    desk._apply(next(a for a in desk.sent if a.name == "create_server"))
    until(desk, lambda: desk.status is RunStatus.ROLLED_BACK)
    assert desk.names.count("create_server") == 1


def test_nothing_is_created_without_a_look_at_all_servers_after_a_request():
    desk = one_deleted()
    desk.command("roll_back")
    until(desk, lambda: desk.phase(5) is Phase.RESTORED)
    desk.outcome = Outcome(OutcomeKind.TRY_LATER, after_s=1.0)
    until(desk, lambda: "create_server" in desk.names)
    assert desk.way(6).anew.tries == 0


def test_a_new_server_that_fails_halts_and_no_second_one_is_created_beside_it():
    desk = one_deleted()
    desk.builds = "ERROR"
    desk.command("roll_back")
    until(desk, lambda: desk.status is RunStatus.HALTED)
    assert desk.halt.code == "cannot_recreate"
    assert "Delete it at the provider" in desk.halt.says
    assert not desk.command("resume").accepted
    assert desk.names.count("create_server") == 1
    desk.builds = "ACTIVE"
    desk.servers["new-1"] = replace(desk.servers["new-1"], is_gone=True, status="DELETED")
    del desk.made["new-1"]
    desk.made["gone"] = ""
    until(desk, lambda: desk.command("resume").accepted, after_s=10.0)
    until(desk, lambda: desk.status is RunStatus.HALTED and "is gone" in desk.halt.says, after_s=10.0)
    assert desk.command("resume").accepted
    until(desk, lambda: desk.status is RunStatus.ROLLED_BACK)
    assert desk.names.count("create_server") == 2


def test_stopping_a_roll_back_creates_nothing_more_and_says_what_is_left():
    desk = one_deleted()
    desk.builds = "BUILD"
    desk.command("roll_back")
    until(desk, lambda: desk.phase(6) is Phase.RECREATING and desk.way(6).anew.server_id is not None)
    now = Situation(desk.status, desk.plan, desk.progress)
    assert [o.label for o in offers(now)] == ["Stop the roll back"]
    assert desk.command("abort").accepted
    until(desk, lambda: desk.status is RunStatus.ROLLED_BACK)
    assert "not_recreated" in desk.kinds()
    line = next(entry for entry in desk.journal if entry.kind == "not_recreated")
    assert "new-1 is left at the provider" in line.says
    assert "Made for web-06 (new-1) and not in service: paid for" in desk.progress.says
    assert desk.way(6).new_server_id == "new-1"


def test_one_that_was_asked_for_and_not_found_is_said_to_be_looked_for():
    says = wording.not_recreated("web-06", "Lena stopped it.", "", may_come=True).says
    assert "may have been made: look for it at the provider by hand" in says


def test_a_roll_back_that_is_stopped_in_a_standstill_ends():
    desk = one_deleted()
    desk.builds = "BUILD"
    desk.command("roll_back")
    until(desk, lambda: desk.phase(6) is Phase.RECREATING and desk.way(6).anew.server_id is not None)
    desk.standstill = "Everything is stopped."
    desk.look()
    assert desk.command("abort").accepted
    until(desk, lambda: desk.status is RunStatus.ROLLED_BACK, most=20)


def test_at_a_standstill_nothing_is_created():
    desk = one_deleted()
    desk.command("roll_back")
    desk.standstill = "Everything is stopped."
    until(desk, lambda: desk.phase(5) is Phase.RESTORED)
    for _ in range(5):
        desk.look()
    assert "create_server" not in desk.names
    desk.standstill = None
    until(desk, lambda: desk.status is RunStatus.ROLLED_BACK)


def test_nothing_is_created_once_the_approval_fell():
    desk = one_deleted()
    desk.approval_stands = False
    desk.command("roll_back")
    until(desk, lambda: desk.status is RunStatus.HALTED)
    assert desk.phase(5) is Phase.RESTORED
    assert "create_server" not in desk.names


@pytest.mark.parametrize(
    ("made", "expected"), [(None, None), ({}, False), ({"new-1": "srv-6"}, True), ({"new-1": "srv-5"}, False)]
)
def test_what_became_of_a_doubtful_create_is_read_from_a_complete_list(made, expected):
    desk = one_deleted()
    desk.command("roll_back")
    until(desk, lambda: "create_server" in desk.names)
    action = next(a for a in desk.sent if a.name == "create_server")
    assert outcomes.effect(action, Observation(at=desk.now, made=made)) is expected


def test_a_new_node_has_an_address_of_the_same_reach_and_version():
    desk = one_deleted()
    seen = replace(desk.servers["srv-5"], addresses=("2001:db8::1", "198.51.100.9", "10.3.0.9"))
    (node,) = rolling_back.new_nodes(desk.plan.servers[0], seen)
    assert node.address == "10.3.0.9"
    assert rolling_back.new_nodes(desk.plan.servers[0], replace(seen, addresses=("198.51.100.9",))) is None


def joining(**changes):
    """A run whose new server is in the load balancer, draining, and does not answer yet."""
    desk = one_deleted(**changes)
    desk.answers_directly = False
    desk.command("roll_back")
    until(desk, lambda: desk.phase(6) is Phase.JOINING and desk.way(6).nodes[0].confirmed == "DRAINING")
    return desk


def enabled_anew(desk):
    return [sent for sent in desk.sent if sent.name == "enable_node" and sent.args["address"] == "10.0.9.1"]


def test_a_new_server_that_is_gone_again_is_never_put_into_service_whoever_answers_at_its_address():
    desk = joining()
    desk.servers["new-1"] = replace(desk.servers["new-1"], is_gone=True, status="DELETED")
    desk.answers_directly = True
    until(desk, lambda: desk.status is RunStatus.HALTED)
    assert desk.halt.code == "cannot_recreate"
    assert "is gone. Take its nodes out" in desk.halt.says
    desk.command("retry")
    for _ in range(60):
        desk.look()
    assert enabled_anew(desk) == []
    desk.command("abort")
    until(desk, lambda: desk.status.is_over)
    assert "new-1" in desk.progress.says
    assert enabled_anew(desk) == []


def test_a_new_server_whose_look_says_not_found_and_whose_list_has_it_is_waited_for():
    desk = joining()
    desk.servers["new-1"] = replace(desk.servers["new-1"], is_gone=True)
    desk.listing = tuple(desk.servers)
    desk.answers_directly = True
    for _ in range(60):
        desk.look()
    assert desk.phase(6) is Phase.JOINING
    assert desk.status is not RunStatus.HALTED
    desk.servers["new-1"] = replace(desk.servers["new-1"], is_gone=False)
    until(desk, lambda: desk.status is RunStatus.ROLLED_BACK)
    assert len(enabled_anew(desk)) == 1


@pytest.mark.parametrize(
    ("seen", "halts"),
    [
        ({"addresses": ("10.0.9.77",)}, True),
        ({"status": "SHUTOFF"}, False),
        ({"task_state": "rebuilding"}, False),
    ],
)
def test_a_new_server_that_is_not_as_it_was_built_is_not_put_into_service(seen, halts):
    desk = joining()
    desk.servers["new-1"] = replace(desk.servers["new-1"], **seen)
    desk.answers_directly = True
    for _ in range(30):
        desk.look()
    assert enabled_anew(desk) == []
    assert (desk.status is RunStatus.HALTED) is halts


def test_a_new_server_that_vanishes_while_it_builds_is_not_replaced_before_a_list_lacks_it():
    desk = one_deleted()
    desk.builds = "BUILD"
    desk.command("roll_back")
    until(desk, lambda: desk.way(6).anew is not None and desk.way(6).anew.server_id == "new-1")
    desk.servers["new-1"] = replace(desk.servers["new-1"], is_gone=True)
    desk.listing = tuple(desk.servers)
    for _ in range(60):
        desk.look()
    assert desk.status is not RunStatus.HALTED
    assert desk.names.count("create_server") == 1
    desk.listing = tuple(one for one in desk.servers if one != "new-1")
    until(desk, lambda: desk.status is RunStatus.HALTED)
    assert "new-1 is gone. Resume to have another one created" in desk.halt.says
    # It was there all the same, and its metadata names the run: it is taken, and none is made beside it.
    desk.servers["new-1"] = replace(desk.servers["new-1"], is_gone=False, status="ACTIVE")
    desk.listing = ()
    desk.command("retry")
    until(desk, lambda: desk.status is RunStatus.ROLLED_BACK)
    assert desk.names.count("create_server") == 1


def test_where_it_may_not_be_asked_the_monitor_of_each_balancer_answers_for_it():
    desk = one_deleted()
    desk.answers_directly = None
    desk.command("roll_back")
    until(desk, lambda: desk.status is RunStatus.ROLLED_BACK)
    blind = one_deleted()
    blind.answers_directly = None
    blind.command("roll_back")
    until(blind, lambda: blind.phase(6) is Phase.JOINING)
    blind.has_monitor = False
    for _ in range(20):
        blind.look()
    assert blind.phase(6) is Phase.JOINING
