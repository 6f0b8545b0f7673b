"""An image before the deletion: it is asked for once, waited for, and without it nothing is deleted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from portal.runs.types import Outcome, OutcomeKind, RunStatus
from scaledown import images, looks, outcomes
from scaledown.canonical import digest, plan_from_plain, plan_to_plain
from scaledown.less import is_less
from scaledown.notice import notice_images
from scaledown.offers import Situation, most_sensible_first, offers, refusal
from scaledown.turn import Turn
from scaledown.types import ImageRule, ImageSeen, Observation, Phase
from tests.scaledown.machine_cases import Desk, a_plan

EACH = {"images": ImageRule.EACH, "images_kept_s": 86_400.0}


def begun(**changes):
    story = Desk(a_plan(**{**EACH, **changes}))
    return story.until(lambda: "create_image" in story.names)


def test_a_server_is_deleted_once_its_image_is_active_and_not_before():
    story = begun()
    assert story.phase() is Phase.IMAGING
    for _ in range(30):
        story.look()
    assert "delete_server" not in story.names
    assert "saving" in story.way().says
    story.image_is("ACTIVE")
    story.until_phase(Phase.RETIRED)
    assert story.names.count("create_image") == 1
    assert "image_ready" in story.kinds()
    (made,) = story.progress.images
    assert (made.server_id, made.status) == ("srv-6", "ACTIVE")
    assert (made.keep_until - made.made_at).total_seconds() == 86_400.0


def test_the_words_call_the_image_of_a_running_server_no_backup():
    story = begun()
    story.image_is("ACTIVE")
    story.until(lambda: "image_ready" in story.kinds())
    line = next(entry for entry in story.journal if entry.kind == "image_ready")
    assert "crash-consistent, not a backup" in line.says
    assert "no backup" in line.customer_says


@pytest.mark.parametrize("status", ["ERROR", "DELETED"])
def test_an_image_that_fails_halts_and_a_resume_asks_for_another_one(status):
    story = begun()
    story.image_is(status)
    story.until(lambda: story.status is RunStatus.HALTED, after_s=5.0)
    assert story.halt.code == "image_failed"
    assert "put_back" in story.halt.next_commands
    assert "delete_server" not in story.names
    assert story.command("resume").accepted
    story.until(lambda: story.names.count("create_image") == 2)
    story.image_is("ACTIVE")
    story.until_phase(Phase.RETIRED)
    assert [image.status for image in story.progress.images] == [status, "ACTIVE"]


def test_what_failed_can_be_tried_again_by_name_and_goes_on_from_that_step():
    story = begun()
    story.image_is("ERROR")
    story.until(lambda: story.status is RunStatus.HALTED, after_s=5.0)
    now = Situation(story.status, story.plan, story.progress)
    offered = most_sensible_first(offers(now), story.halt.next_commands)
    assert [one.name for one in offered][:2] == ["retry", "resume"]
    assert offered[0].label == "Try again: the image of web-06"
    assert refusal("retry", {}, "", now) is None
    answer = story.command("retry")
    assert (answer.accepted, answer.says) == (
        True,
        "The run goes on from there: the image of web-06 is tried again.",
    )
    story.until(lambda: story.names.count("create_image") == 2)
    story.image_is("ACTIVE")
    story.until_phase(Phase.RETIRED)
    assert story.names[:5].count("drain_node") == 1


def test_where_no_step_failed_there_is_nothing_to_try_again():
    story = Desk().until_phase(Phase.VERIFYING)
    story.probe_ok = False
    story.until(lambda: story.status is RunStatus.HALTED, most=60)
    answer = story.command("retry")
    assert (answer.accepted, answer.says) == (
        False,
        "No step of this run has failed: there is nothing to try again.",
    )


def test_one_answer_that_finds_no_image_may_be_wrong():
    story = begun()
    story.image_is("DELETED")
    story.look(5.0)
    story.image_is("SAVING")
    story.look(5.0)
    story.image_is("ACTIVE")
    story.until_phase(Phase.RETIRED)


def test_an_image_that_is_lost_after_it_was_ready_forbids_the_deletion():
    story = begun(soak_s=6.0)
    story.image_is("ACTIVE")
    story.until(lambda: story.progress.images[0].status == "ACTIVE")
    story.image_is("ERROR")
    story.until(lambda: story.status is RunStatus.HALTED)
    assert "delete_server" not in story.names
    assert story.halt.code == "image_failed"


def test_an_image_that_goes_once_its_server_is_deleted_is_no_way_back_any_more():
    story = begun(pause_between_s=7200.0)
    story.image_is("ACTIVE")
    story.until_phase(Phase.RETIRED)
    assert images.standing_for(story.plan, story.progress, story.way()).status == "ACTIVE"
    story.image_is("DELETED")
    story.until(lambda: "image_gone" in story.kinds(), most=120, after_s=10.0)
    assert images.standing_for(story.plan, story.progress, story.way()) is None
    assert story.kinds().count("image_gone") == 1


def test_a_server_in_imaging_can_be_put_back_and_its_old_image_does_not_count_any_more():
    story = begun()
    assert story.command("put_back", server="srv-6").accepted
    story.until_phase(Phase.RESTORED)
    way = replace(story.way(), left_at=story.now)
    assert images.standing_for(story.plan, story.progress, way) is None
    assert len(story.progress.images) == 1


def test_one_image_stands_for_every_server_of_its_kind():
    plan = a_plan(images=ImageRule.ONE_PER_KIND, images_kept_s=86_400.0)
    alike = tuple(replace(server, flavor_id="general1-4", image_id="base") for server in plan.servers)
    story = Desk(replace(plan, servers=alike))
    story.until(lambda: "create_image" in story.names)
    story.image_is("ACTIVE")
    story.until(lambda: story.status is RunStatus.COMPLETED, most=600)
    assert story.names.count("create_image") == 1
    assert story.names.count("delete_server") == len(story.plan.servers)


def test_a_server_that_is_busy_is_not_imaged_yet():
    story = Desk(a_plan(**EACH))
    story.until_phase(Phase.VERIFYING)
    story.servers["srv-6"] = replace(story.servers["srv-6"], task_state="resize_prep")
    story.until_phase(Phase.IMAGING)
    for _ in range(5):
        story.look()
    assert "create_image" not in story.names
    story.servers["srv-6"] = replace(story.servers["srv-6"], task_state=None)
    story.until(lambda: "create_image" in story.names)


def test_an_image_whose_answer_was_lost_is_found_by_its_metadata():
    story = Desk(a_plan(**EACH))
    story.names_image = False
    story.until(lambda: "create_image" in story.names)
    assert story.progress.images == ()
    story.look()
    assert [image.server_id for image in story.progress.images] == ["srv-6"]
    story.image_is("ACTIVE")
    story.until_phase(Phase.RETIRED)
    assert story.names.count("create_image") == 1


def test_an_image_that_was_read_as_not_begun_is_asked_for_again_only_after_a_look_at_all_images():
    story = Desk(a_plan(**EACH))
    story.outcome = Outcome(OutcomeKind.DONE)
    story.until_phase(Phase.VERIFYING)
    story.outcome = Outcome(OutcomeKind.NOT_APPLIED, by_reading=True)
    story.until(lambda: "create_image" in story.names)
    story.images_listed = False
    for _ in range(5):
        story.look()
    assert story.names.count("create_image") == 1
    story.images_listed = True
    story.outcome = Outcome(OutcomeKind.DONE)
    story.until(lambda: story.names.count("create_image") == 2)


def doubtful(story):
    return next(action for action in story.sent if action.name == "create_image")


@pytest.mark.parametrize(
    ("listed", "task_state", "expected"),
    [
        (None, None, None),
        (frozenset(), None, False),
        (frozenset(), "image_snapshot", None),
        (frozenset({"img-1"}), None, True),
        (frozenset({"img-1"}), "image_uploading", True),
    ],
)
def test_what_became_of_a_doubtful_image_is_read_from_a_complete_list(listed, task_state, expected):
    story = begun()
    seen = Observation(
        at=story.now,
        servers={"srv-6": replace(story.servers["srv-6"], task_state=task_state)},
        images=dict(story.images),
        our_images=listed,
    )
    assert outcomes.effect(doubtful(story), seen) is expected


def test_an_image_that_was_known_before_is_no_answer_to_a_doubt():
    story = begun()
    action = replace(doubtful(story), args={**doubtful(story).args, "known": ["img-1"]})
    seen = Observation(
        at=story.now,
        servers={"srv-6": story.servers["srv-6"]},
        images=dict(story.images),
        our_images=frozenset({"img-1"}),
    )
    assert outcomes.effect(action, seen) is False


def test_the_last_look_asks_for_a_fresh_look_at_the_image():
    story = begun(hold_s=0.0)
    story.image_is("ACTIVE")
    story.until(lambda: story.progress.images[0].status == "ACTIVE")
    seen = replace(story.observation(), images={})
    refusal = looks._image_refusal(story.plan, story.way(), story.progress, seen, story.now)
    assert (refusal.code, refusal.waits) == ("image_unseen", True)


def test_a_plan_of_the_first_format_keeps_its_spelling_and_its_digest():
    old = a_plan(format=1)
    plain = plan_to_plain(old)
    assert not {"images", "images_kept_s"} & plain.keys()
    assert not any("image_id" in server for server in plain["servers"])
    read = plan_from_plain(plain)
    assert digest(read) == digest(old)
    assert read.images is ImageRule.NONE
    assert digest(replace(old, format=2)) != digest(old)


@pytest.mark.parametrize(
    ("was", "becomes", "is_covered"),
    [
        (ImageRule.NONE, ImageRule.ONE_PER_KIND, True),
        (ImageRule.ONE_PER_KIND, ImageRule.EACH, True),
        (ImageRule.EACH, ImageRule.ONE_PER_KIND, False),
        (ImageRule.ONE_PER_KIND, ImageRule.NONE, False),
    ],
)
def test_more_images_are_covered_by_an_approval_and_fewer_are_not(was, becomes, is_covered):
    old = a_plan(images=was, images_kept_s=86_400.0)
    assert is_less(old, replace(old, images=becomes)) is is_covered
    assert is_less(old, replace(old, images_kept_s=172_800.0))
    assert not is_less(
        replace(old, images=ImageRule.EACH), replace(old, images=ImageRule.EACH, images_kept_s=3600.0)
    )


def test_what_is_waited_for_after_a_long_image_gets_its_own_time():
    desk = Desk(a_plan(**EACH))
    desk.until(lambda: "create_image" in desk.names)
    desk.until(lambda: desk.progress.stuck is not None and desk.progress.stuck.seconds > 7000, 3000, 5.0)
    desk.image_is("ACTIVE")
    desk.search_complete = False
    looks = 0
    while desk.status is RunStatus.RUNNING:
        desk.look(2.0)
        looks += 1
    assert 2.0 * looks >= 590.0
    assert "image" not in desk.halt.says


def lost(story, **outcome):
    """Let the answer to the next image be lost; reading finds what `outcome` says."""
    story.images_listed = story.names_image = False
    story.until_phase(Phase.VERIFYING)
    story.outcome = Outcome(by_reading=True, **outcome)
    story.until(lambda: "create_image" in story.names)
    story.outcome, story.names_image = Outcome(OutcomeKind.DONE), True
    return story


def test_an_image_that_was_asked_for_before_its_server_went_back_stands_for_no_later_deletion():
    story = lost(Desk(a_plan(**EACH)), kind=OutcomeKind.DONE)
    assert story.command("put_back", server="srv-6").accepted
    story.until_phase(Phase.RESTORED)
    made = story.progress.images_lost[0].at
    story.images_listed = True
    story.until(lambda: bool(story.progress.images))
    image = story.progress.images[0]
    assert (image.server_id, image.made_at) == ("srv-6", made)
    assert story.progress.images_lost == ()
    again = replace(story.way(), left_at=story.now)
    assert images.standing_for(story.plan, story.progress, again) is None


@pytest.mark.parametrize(("age_s", "is_fresh"), [(None, True), (60.0, True), (900.0, False)])
def test_an_image_that_is_found_after_nobody_looked_for_it_any_more_is_as_old_as_it_is(age_s, is_fresh):
    story = Desk(a_plan(**EACH)).until_phase(Phase.VERIFYING)
    created = None if age_s is None else story.now - timedelta(seconds=age_s)
    found = ImageSeen("old", False, "web-06 copy", "ACTIVE", None, "srv-6", story.now, created)
    story.images["old"] = found
    notice = replace(story.observation(), our_images=frozenset({"old"}), images={"old": found})
    turn = Turn(story.plan, story.progress, notice, story.people(), story.facts(), story.now)
    notice_images(turn)
    [image] = turn.progress.images
    assert (image.made_at == turn.now) is is_fresh
    way = replace(story.way(), left_at=story.now - timedelta(seconds=120))
    assert (images.standing_for(story.plan, turn.progress, way) is not None) is is_fresh


def test_an_image_that_nobody_could_look_for_is_said_to_be_unknown_before_the_run_ends():
    story = lost(Desk(a_plan(**EACH)), kind=OutcomeKind.DONE)
    assert story.command("abort").accepted
    story.until(lambda: story.status is RunStatus.ABORTED, most=400, after_s=2.0)
    assert "image_unknown" in story.kinds()
    assert story.progress.images_lost == ()


def test_an_image_that_was_begun_and_that_nobody_found_is_asked_for_anew_by_a_resume():
    story = lost(Desk(a_plan(**EACH)), kind=OutcomeKind.DONE)
    story.images.clear()
    story.images_listed = True
    story.until(lambda: story.status is RunStatus.HALTED, most=400, after_s=2.0)
    assert story.halt.code == "waited_for_image_look"
    assert story.command("resume").accepted
    story.until(lambda: story.names.count("create_image") == 2)
    story.look()
    story.image_is("ACTIVE")
    story.until_phase(Phase.RETIRED)
