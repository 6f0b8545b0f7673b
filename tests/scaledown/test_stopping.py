"""Stop before delete: on a look like a deletion's, for as long as planned, and started again before it goes back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from portal.runs.types import HaltRank, Outcome, OutcomeKind, RunStatus
from scaledown import late, looks, outcomes
from scaledown.less import is_less
from scaledown.needs import needs_of
from scaledown.types import ImageRule, Observation, Phase
from tests.scaledown.machine_cases import LB, Desk, a_plan, planned


def stopped(**changes):
    """A run whose first server has just been seen stopped."""
    desk = Desk(a_plan(**{"stop_s": 60.0, **changes}))
    return desk.until(lambda: desk.way().stop is not None and desk.way().stop.stopped_at is not None)


def test_a_server_is_stopped_for_as_long_as_planned_and_then_deleted():
    desk = stopped()
    assert desk.phase() is Phase.HELD
    since = desk.way().stop.stopped_at
    desk.until(lambda: "delete_server" in desk.names)
    assert desk.names.index("stop_server") < desk.names.index("delete_server")
    assert desk.now - since >= timedelta(seconds=60.0)
    assert "server_stopped" in desk.kinds()


def test_the_next_server_goes_on_while_one_is_stopped():
    desk = stopped(stop_s=600.0, floor=2)
    desk.until_phase(Phase.DRAINING, 5)
    assert desk.phase(6) is Phase.HELD


def test_a_server_is_stopped_after_its_hold_and_not_before():
    desk = Desk(a_plan(stop_s=60.0, hold_s=120.0)).until_phase(Phase.HELD)
    held_at = desk.way().held_at
    desk.until(lambda: "stop_server" in desk.names)
    assert desk.now - held_at >= timedelta(seconds=120.0)


def test_a_stopped_server_that_goes_back_is_started_and_answers_before_its_node_is_added():
    desk = stopped()
    desk.answers_directly = False
    assert desk.command("put_back", server="srv-6").accepted
    desk.until(lambda: "start_server" in desk.names)
    for _ in range(5):
        desk.look()
    assert "add_node" not in desk.names
    desk.answers_directly = True
    desk.until_phase(Phase.RESTORED)
    assert desk.names[-2:] == ["start_server", "add_node"]
    assert desk.way().stop is None


def silent_after_its_start(desk):
    """Let the stopped server answer nothing any more, and be asked back."""
    desk.answers_directly = False
    desk.connections["srv-6"] = None
    assert desk.command("put_back", server="srv-6").accepted
    desk.until(lambda: desk.way().stop is not None and desk.way().stop.running_at is not None)
    return desk


def test_a_started_server_that_answers_nothing_stays_out_and_a_person_decides():
    desk = silent_after_its_start(stopped())
    desk.until(lambda: desk.status is RunStatus.HALTED, most=300)
    assert (desk.halt.code, desk.halt.rank) == ("start_without_answer", HaltRank.DECIDE_TODAY)
    for _ in range(100):
        desk.look(5.0)
    assert "add_node" not in desk.names
    assert "answers nothing" in desk.way().says
    desk.answers_directly = True
    desk.until_phase(Phase.RESTORED)
    assert desk.names[-1] == "add_node"


def test_a_started_server_that_answers_nothing_is_given_up_ten_minutes_after_an_abort():
    desk = silent_after_its_start(stopped())
    assert desk.command("abort").accepted
    for _ in range(100):
        desk.look(5.0)
    assert desk.status is not RunStatus.ABORTED
    desk.until(lambda: desk.status is RunStatus.ABORTED, after_s=5.0)
    assert desk.phase() is Phase.LEFT_OUT
    assert "by hand" in desk.way().says
    assert [a.target for a in desk.sent if a.name == "add_node"] == []


@pytest.mark.parametrize("sign", ["count", "never reached"])
def test_the_monitor_judges_a_started_server_that_shows_a_sign_or_was_never_within_reach(sign):
    desk = stopped()
    desk.answers_directly = False
    if sign == "never reached":
        desk.connections["srv-6"] = None
        meters = {key: meter for key, meter in desk.progress.meters.items() if key != "srv-6"}
        desk.progress = replace(desk.progress, meters=meters)
    assert desk.command("put_back", server="srv-6").accepted
    desk.until(lambda: desk.way().stop is not None and desk.way().stop.running_at is not None)
    for _ in range(170):
        desk.look()
    assert "add_node" not in desk.names
    desk.until(lambda: "add_node" in desk.names, most=20)
    assert desk.halt is None


@pytest.mark.parametrize(("waits_s", "is_added"), [(20, False), (40, True)])
def test_one_that_may_not_be_asked_gets_a_set_time(waits_s, is_added):
    desk = stopped()
    desk.answers_directly = None
    assert desk.command("put_back", server="srv-6").accepted
    desk.until(lambda: desk.way().stop is not None and desk.way().stop.running_at is not None)
    for _ in range(waits_s):
        desk.look()
    assert ("add_node" in desk.names) is is_added


def test_rising_traffic_starts_what_is_stopped_and_puts_it_back():
    desk = stopped()
    desk.probe_ok = False
    desk.until_phase(Phase.RESTORED)
    assert "start_server" in desk.names
    assert all(action.is_put_back for action in desk.sent if action.name in {"start_server", "add_node"})
    assert desk.status is RunStatus.HALTED


def test_a_server_that_is_found_in_another_balancer_is_not_stopped():
    desk = Desk(a_plan(stop_s=60.0)).until_phase(Phase.VERIFYING)
    desk.found_in = ("99",)
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert desk.halt.code == "stop_forbidden"
    assert "stop_server" not in desk.names
    assert "put_back" in desk.halt.next_commands


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda o: replace(o, search=None), "no_search"),
        (lambda o: replace(o, balancers={}), "no_fresh_pool"),
        (lambda o: replace(o, servers={}), "no_fresh_look"),
    ],
)
def test_a_stop_asks_for_the_look_of_a_deletion(spoil, code):
    desk = Desk(a_plan(stop_s=60.0)).until_phase(Phase.HELD)
    seen = desk.observation()
    assert looks.may_stop(desk.plan, desk.way(), desk.progress, seen, desk.facts(), desk.now) is None
    refusal = looks.may_stop(desk.plan, desk.way(), desk.progress, spoil(seen), desk.facts(), desk.now)
    assert refusal.code == code


def test_a_stop_asks_that_the_floor_holds():
    desk = Desk(a_plan(stop_s=60.0)).until_phase(Phase.HELD)
    seen = desk.observation()
    few = replace(seen.balancers[LB], nodes=seen.balancers[LB].nodes[:2])
    refusal = looks.may_stop(
        desk.plan, desk.way(), desk.progress, replace(seen, balancers={LB: few}), desk.facts(), desk.now
    )
    assert refusal.code == "floor"


def test_a_stop_that_shows_no_effect_is_tried_again_and_then_asked_about():
    desk = Desk(a_plan(stop_s=60.0))
    desk.powers = False
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert desk.halt.code == "stop_forbidden"
    assert desk.names.count("stop_server") == 3
    assert "delete_server" not in desk.names


def test_a_server_that_somebody_started_again_is_not_deleted():
    desk = stopped()
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], status="ACTIVE")
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert desk.halt.code == "changed_by_other_hand"
    assert "delete_server" not in desk.names


def test_a_stop_that_did_not_show_keeps_its_server_out_until_it_cannot_land_any_more():
    desk = Desk(a_plan(stop_s=60.0)).until_phase(Phase.HELD)
    desk.outcome = Outcome(OutcomeKind.NOT_APPLIED, by_reading=True)
    desk.until(lambda: "stop_server" in desk.names)
    assert late.stop_lands_until(desk.way(), desk.now) is not None
    answer = desk.command("put_back", server="srv-6")
    assert not answer.accepted
    assert "stop of web-06 did not show" in answer.says


def test_a_stop_that_lands_on_a_server_that_is_back_is_undone():
    desk = Desk(a_plan(stop_s=60.0)).until_phase(Phase.HELD)
    desk.outcome = Outcome(OutcomeKind.NOT_APPLIED, by_reading=True)
    desk.until(lambda: "stop_server" in desk.names)
    desk.outcome = Outcome(OutcomeKind.DONE)
    desk.probe_ok = False  # the site needs it
    desk.until_phase(Phase.RESTORED)
    desk.probe_ok = True
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], status="SHUTOFF")
    desk.until(lambda: "start_server" in desk.names)
    desk.until(lambda: desk.way().put_back is None)
    assert desk.servers["srv-6"].status == "ACTIVE"


def stopped_after_a_lost_one():
    """A run whose first stop was lost and read as not applied, and whose second one has just been seen."""
    desk = Desk(a_plan(stop_s=60.0)).until_phase(Phase.HELD)
    desk.outcome = Outcome(OutcomeKind.NOT_APPLIED, by_reading=True)
    desk.until(lambda: "stop_server" in desk.names)
    desk.outcome = Outcome(OutcomeKind.DONE)
    desk.until(lambda: desk.way().stop.stopped_at is not None)
    assert desk.names.count("stop_server") == 2
    return desk


def test_a_lost_stop_may_still_land_once_the_next_one_is_seen():
    desk = stopped_after_a_lost_one()
    assert late.stop_lands_until(desk.way(), desk.now) is not None
    answer = desk.command("put_back", server="srv-6")
    assert not answer.accepted
    assert "may still take effect" in answer.says


def test_a_lost_stop_that_lands_after_the_next_one_was_undone_is_undone_too():
    desk = stopped_after_a_lost_one()
    desk.probe_ok = False  # the site needs it
    desk.until_phase(Phase.RESTORED)
    desk.probe_ok = True
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], status="SHUTOFF")
    desk.until(lambda: desk.names.count("start_server") == 2)
    desk.until(lambda: desk.way().put_back is None)
    assert desk.servers["srv-6"].status == "ACTIVE"


def test_an_accepted_stop_that_does_not_show_keeps_its_server_out_once_it_was_asked_for_again():
    desk = Desk(a_plan(stop_s=60.0)).until_phase(Phase.HELD)
    desk.powers = False
    desk.until(lambda: desk.names.count("stop_server") == 2)
    assert not desk.command("put_back", server="srv-6").accepted
    desk.command("abort")
    for _ in range(60):
        desk.look()
    assert "add_node" not in desk.names
    assert desk.status is not RunStatus.ABORTED
    desk.until(lambda: desk.status is RunStatus.ABORTED, most=700)
    assert desk.phase() is Phase.RESTORED


@pytest.mark.parametrize("is_needed", [False, True])
def test_a_put_back_waits_for_an_accepted_stop_that_does_not_show_unless_the_site_needs_it(is_needed):
    desk = Desk(a_plan(stop_s=60.0)).until_phase(Phase.HELD)
    desk.powers = False
    desk.until(lambda: "stop_server" in desk.names)
    assert desk.command("put_back", server="srv-6").accepted
    desk.probe_ok = not is_needed
    for _ in range(60):
        desk.look()
    assert ("add_node" in desk.names) is is_needed
    if is_needed:
        assert late.stop_lands_until(desk.way(), desk.now) is not None
    desk.until(lambda: "add_node" in desk.names, most=700)


@pytest.mark.parametrize(
    ("name", "status", "task_state", "is_gone", "expected"),
    [
        ("stop_server", "SHUTOFF", None, False, True),
        ("stop_server", "ACTIVE", None, False, False),
        ("stop_server", "ACTIVE", "powering-off", False, None),
        ("stop_server", "DELETED", None, True, True),
        ("start_server", "ACTIVE", None, False, True),
        ("start_server", "SHUTOFF", None, False, False),
        ("start_server", "SHUTOFF", "powering-on", False, None),
        ("start_server", "DELETED", None, True, False),
    ],
)
def test_what_became_of_a_doubtful_stop_or_start_is_read_by_its_status(
    name, status, task_state, is_gone, expected
):
    desk = stopped()
    action = replace(next(a for a in desk.sent if a.name == "stop_server"), name=name)
    seen = replace(desk.servers["srv-6"], status=status, task_state=task_state, is_gone=is_gone)
    assert outcomes.effect(action, Observation(at=desk.now, servers={"srv-6": seen})) is expected
    assert outcomes.effect(action, Observation(at=desk.now)) is None


def test_a_stop_is_covered_by_an_approval_of_a_shorter_one_and_never_by_that_of_none():
    none, short, long = (a_plan(stop_s=stop_s) for stop_s in (0.0, 60.0, 900.0))
    assert is_less(short, long)
    assert not is_less(long, short)
    assert not is_less(none, short)
    assert not is_less(short, none)


def test_a_server_that_another_hand_started_while_its_image_is_made_is_stopped_again_before_it_is_deleted():
    desk = Desk(a_plan(stop_s=60.0, images=ImageRule.EACH, images_kept_s=86_400.0, servers=(planned(6),)))
    desk.until(lambda: "create_image" in desk.names)
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], status="ACTIVE")
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert desk.command("accept", server="srv-6").accepted
    assert desk.command("resume", confirm=True, servers=["srv-6"]).accepted
    desk.image_is("ACTIVE")
    desk.until(lambda: "delete_server" in desk.names)
    assert [action.name for action in desk.sent if action.target == "srv-6"].count("stop_server") == 2
    assert desk.servers["srv-6"].is_gone
    assert desk.now - desk.way().stop.stopped_at >= timedelta(seconds=60.0)


def test_a_stopped_server_is_not_asked_for_its_load():
    desk = stopped()
    desk.look(10.0)
    needs = needs_of(desk.plan, desk.progress, desk.people(), desk.now)
    assert "srv-6" not in needs.counts
    assert needs.counts


def test_a_pause_after_a_server_comes_although_an_older_one_is_due():
    desk = Desk(a_plan(stop_s=30.0, floor=2, soak_s=40.0)).until_phase(Phase.VERIFYING, 5)
    assert desk.command("pause").accepted
    desk.until(lambda: desk.status is not RunStatus.RUNNING)
    assert desk.status is RunStatus.PAUSED
    assert [a.target for a in desk.sent if a.name == "stop_server"] == ["srv-6", "srv-5"]
    assert "delete_server" not in desk.names


def test_the_time_that_it_is_stopped_counts_from_when_that_was_known_and_not_from_when_the_look_began():
    """A worker that slept between the two would count time in which nobody saw it stopped (found by `make chaos`)."""
    desk = Desk(a_plan(stop_s=60.0, servers=(planned(6),)))
    plain = desk.observation

    def dated_early():
        seen = plain()
        early = {
            one: replace(s, observed_at=s.observed_at - timedelta(seconds=9))
            for one, s in seen.servers.items()
        }
        return replace(seen, servers=early)

    desk.observation = dated_early
    desk.until(lambda: desk.way().stop is not None and desk.way().stop.stopped_at is not None)
    assert desk.way().stop.stopped_at == desk.now
