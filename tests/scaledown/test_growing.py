"""Grow again by N: only those that were approved by name, one at a time, each checked; then the run is complete."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.runs.types import Outcome, OutcomeKind, RunStatus
from scaledown import growing
from scaledown.offers import Situation, offers
from scaledown.types import ImageRule, Phase
from tests.scaledown.machine_cases import Desk, a_plan, planned
from tests.scaledown.test_rolling_back import one_deleted, until

REF = "growth-1"
DIGEST = "d" * 64


def sized(plan):
    servers = tuple(replace(s, flavor_id="general1-4", image_id="base") for s in plan.servers)
    return replace(plan, servers=servers)


def both_deleted(**changes):
    """A run that has deleted web-06 and then web-05, each with an image, and watches the peak to come."""
    shape = {"images": ImageRule.EACH, "images_kept_s": 86_400.0, "floor": 2}
    desk = Desk(sized(a_plan(**{**shape, **changes})))
    if "watch_until" not in changes:
        desk.plan = replace(desk.plan, watch_until=desk.now + timedelta(hours=6))
    return until(desk, lambda: desk.phase(6) is desk.phase(5) is Phase.RETIRED)


def asked(desk, count):
    return growing.asked(REF, growing.draw("run-1", desk.plan, DIGEST, desk.progress, count))


def grow(desk, count):
    return desk.command("grow_again", **asked(desk, count))


def test_only_so_many_come_back_the_one_that_was_deleted_last_first():
    desk = both_deleted()
    before = len(desk.sent)
    answer = grow(desk, 1)
    assert answer.accepted
    assert "web-05 is created anew" in answer.says
    assert desk.status is RunStatus.GROWING
    until(desk, lambda: desk.status.is_over)
    assert desk.status is RunStatus.COMPLETED
    assert desk.names[before:] == ["create_server", "add_node", "enable_node"]
    assert (desk.phase(5), desk.phase(6)) == (Phase.RECREATED, Phase.RETIRED)
    assert desk.progress.ended_because == "grown_again"
    assert desk.progress.says == "Grown again: 1 server created anew; 4 serve."


def test_a_new_server_serves_only_once_it_answers_and_only_one_is_under_way():
    desk = both_deleted()
    before = len(desk.sent)
    desk.answers_directly = False
    grow(desk, 2)
    until(desk, lambda: desk.phase(5) is Phase.JOINING and desk.way(5).nodes[0].confirmed == "DRAINING")
    for _ in range(5):
        desk.look()
    assert desk.names[before:] == ["create_server", "add_node"]
    assert desk.phase(6) is Phase.RETIRED
    desk.answers_directly = True
    until(desk, lambda: desk.status.is_over)
    assert [way.phase for way in desk.progress.servers] == [Phase.RECREATED, Phase.RECREATED]
    assert desk.names[before:].count("create_server") == 2


def test_the_peak_watch_is_ended_and_says_why():
    desk = both_deleted()
    until(desk, lambda: desk.progress.watch is not None and desk.progress.watch.open_since is not None)
    grow(desk, 1)
    assert desk.progress.watch.ended_early == "web-05 comes back, asked for by Lena."
    until(desk, lambda: desk.status.is_over)
    assert "peak_watch_over" in desk.kinds()


def test_nothing_is_created_before_its_own_approval_was_read_nor_after_it_fell():
    desk = both_deleted()
    desk.growth_stands = None
    grow(desk, 1)
    for _ in range(3):
        desk.look()
    assert "create_server" not in desk.names
    assert desk.progress.waiting.code == "growth_approval"
    desk.growth_stands = False
    until(desk, lambda: desk.status is RunStatus.HALTED)
    assert desk.halt.code == "cannot_recreate"
    assert "The approval of growing again no longer stands" in desk.halt.says
    assert "create_server" not in desk.names
    assert "no longer stands" in desk.command("resume").says
    desk.growth_stands = True
    assert desk.command("resume").accepted
    until(desk, lambda: desk.status.is_over)
    assert desk.names.count("create_server") == 1


def test_it_rests_on_its_own_approval_alone():
    desk = both_deleted()
    desk.approval_stands = False
    grow(desk, 1)
    until(desk, lambda: desk.status.is_over)
    assert desk.phase(5) is Phase.RECREATED


def test_what_lives_goes_back_first_and_what_waits_for_its_turn_stays():
    desk = one_deleted()
    before = len(desk.sent)
    assert grow(desk, 1).accepted
    until(desk, lambda: desk.status.is_over)
    assert desk.names[before:] == ["enable_node", "create_server", "add_node", "enable_node"]
    assert (desk.phase(6), desk.phase(5)) == (Phase.RECREATED, Phase.RESTORED)
    assert desk.progress.says == "Grown again: 1 server created anew, 1 server put back; 5 serve."


@pytest.mark.parametrize("stop", ["pause", "halt"])
def test_it_begins_from_rest_too(stop):
    desk = both_deleted()
    if stop == "pause":
        desk.command("pause", when="now")
    else:
        desk.probe_ok = False
        until(desk, lambda: desk.status is RunStatus.HALTED)
    assert grow(desk, 1).accepted
    until(desk, lambda: desk.status.is_over)
    assert desk.status is RunStatus.COMPLETED


def test_another_image_or_size_than_was_approved_is_refused_and_nothing_changes():
    desk = both_deleted()
    for change in ({"image_id": "other"}, {"flavor_id": "general1-8"}, {"server_id": "srv-9"}):
        args = asked(desk, 1)
        args["growth"]["servers"][0].update(change)
        answer = desk.command("grow_again", **args)
        assert not answer.accepted
        assert desk.status is RunStatus.RUNNING
        assert desk.progress.growing is None
    assert "create_server" not in desk.names


def test_given_again_it_is_refused_and_nothing_is_created_twice():
    desk = both_deleted()
    args = asked(desk, 1)
    assert desk.command("grow_again", **args).accepted
    assert not desk.command("grow_again", **args).accepted
    assert not desk.command("grow_again", **asked(both_deleted(), 2)).accepted
    until(desk, lambda: desk.status.is_over)
    assert desk.names.count("create_server") == 1


def test_a_lost_answer_creates_no_second_server():
    desk = both_deleted()
    desk.names_image = False
    grow(desk, 2)
    until(desk, lambda: desk.status.is_over)
    assert desk.names.count("create_server") == 2
    assert desk.status is RunStatus.COMPLETED


def test_one_that_fails_halts_and_a_person_may_be_content_with_those_that_came_back():
    desk = both_deleted()
    grow(desk, 2)
    until(desk, lambda: desk.phase(5) is Phase.RECREATED)
    desk.builds = "ERROR"
    until(desk, lambda: desk.status is RunStatus.HALTED)
    assert desk.halt.code == "cannot_recreate"
    offer = next(o for o in offers(Situation(desk.status, desk.plan, desk.progress)) if o.name == "abort")
    assert offer.label == "Be content with what is back"
    assert "left at the provider as it is" in offer.leaves
    assert desk.command("abort").accepted
    until(desk, lambda: desk.status.is_over)
    assert desk.status is RunStatus.COMPLETED
    assert desk.progress.says == (
        "Grown again: 1 server created anew of 2; 4 serve. Lena stopped growing again. "
        "Made for web-06 (new-2) and not in service: paid for, look there by hand."
    )


def test_a_standstill_creates_nothing():
    desk = both_deleted()
    desk.standstill = "Everything stands still."
    grow(desk, 1)
    for _ in range(5):
        desk.look()
    assert "create_server" not in desk.names
    desk.standstill = None
    until(desk, lambda: desk.status.is_over)
    assert desk.phase(5) is Phase.RECREATED


def test_a_deletion_under_way_is_finished_first():
    desk = one_deleted()
    until(desk, lambda: desk.phase(5) is Phase.DELETING or desk.way(5).delete is not None)
    assert grow(desk, 1).accepted
    until(desk, lambda: desk.status.is_over)
    assert desk.phase(6) is Phase.RECREATED
    assert desk.names.count("create_server") == 1


def test_no_growth_in_a_rehearsal_nor_while_it_is_undone():
    desk = both_deleted()
    args = asked(desk, 1)
    rehearsal = Desk(status=RunStatus.RUNNING)
    rehearsal.is_rehearsal = True
    assert "rehearsal" in rehearsal.command("grow_again", **args).says
    desk.command("roll_back")
    assert not desk.command("grow_again", **args).accepted
    assert desk.progress.growing is None


def test_rubbish_is_refused_and_the_run_goes_on():
    desk = both_deleted()
    for args in ({}, {"growth": 3}, {"growth": {"ref": "x"}}):
        assert not desk.command("grow_again", **args).accepted
    assert desk.status is RunStatus.RUNNING


def test_there_are_no_more_than_have_an_image():
    desk = both_deleted(images=ImageRule.NONE)
    assert growing.to_create(desk.plan, desk.progress) == ()
    for count in (0, 1, -1):
        with pytest.raises(ValueError, match=str(count)):
            growing.draw("run-1", desk.plan, DIGEST, desk.progress, count)


def test_a_late_create_is_waited_for():
    desk = both_deleted()
    desk.outcome = Outcome(OutcomeKind.NOT_APPLIED, by_reading=True)
    grow(desk, 1)
    until(desk, lambda: "create_server" in desk.names)
    desk.outcome = Outcome(OutcomeKind.DONE)
    desk._apply(next(a for a in desk.sent if a.name == "create_server"))
    until(desk, lambda: desk.status.is_over)
    assert desk.names.count("create_server") == 1


@given(st.lists(st.sampled_from(["run", "plan_digest", "server_id", "flavor_id", "image_id"]), max_size=3))
def test_whatever_differs_has_another_digest(changes):
    data = growing.GrowData(1, "run", "plan", (growing.GrownServer("s", "web", "flavor", "image"),))
    changed = data
    for number, name in enumerate(changes):
        value = f"other-{number}"
        if name in {"run", "plan_digest"}:
            changed = replace(changed, **{name: value})
        else:
            changed = replace(changed, servers=(replace(changed.servers[0], **{name: value}),))
    assert (growing.digest(changed) == growing.digest(data)) is (changed == data)


def test_the_planned_server_is_what_it_is_made_like():
    desk = both_deleted()
    data = growing.draw("run-1", desk.plan, DIGEST, desk.progress, 2)
    assert [(one.server_id, one.flavor_id) for one in data.servers] == [
        (planned(5).server_id, "general1-4"),
        (planned(6).server_id, "general1-4"),
    ]
