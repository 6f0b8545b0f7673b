"""The suite is worth something: take one safety rule away, and a schedule breaks a rule of the oracle.

Each mutation is one function or one figure; the schedule is aimed at it. The same schedules break nothing in the
whole engine (last test).
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from capacity import stats
from portal.runs.engine import Engine
from portal.runs.store_memory import MemoryStore
from portal.runs.types import Checked, RunStatus
from scaledown import (
    answers,
    comparing,
    deleting,
    draining,
    growing,
    hours,
    images,
    imaging,
    late,
    looks,
    machine,
    notice,
    put_backs,
    rolling_back,
    safety,
    stopping,
    verify,
    watching,
)
from scaledown.turn import Turn
from scaledown.types import PLAN_FORMAT, ImageRule, Phase
from tests.faults import oracle, simulation
from tests.faults.simulation import Event, simulate
from tests.faults.test_regressions import DIES_WHILE_STOPPED, WITHOUT_EFFECT


class Unfenced(MemoryStore):
    """A store that takes writes from anybody, and a check that lets every call pass."""

    def holds(self, run, view, *, leased):
        return True

    def stands_in_the_way(self, run, view):
        return ""

    def check(self, view, intent_id, *, deadline_s):
        intent = self._intent(self.runs.runs[view.ref], intent_id)
        intent.sent_at = intent.sent_at or self.runs.clock()
        intent.lease_until = intent.lease_until or self.runs.runs[view.ref].lease_until
        return Checked(True)


class Undoubting(MemoryStore):
    """A store for which what has no outcome was never sent."""

    def doubt_of(self, intent):
        return None


class Deaf(MemoryStore):
    """A store whose check before the call hears of no command and no standstill."""

    def stands_in_the_way(self, run, view):
        return ""


class Hasty(Engine):
    """An engine that takes an answer that was lost for a change that did not happen."""

    async def read_doubt(self, tick, kind, observation, looked_from):
        doubt = tick.view.doubt
        return await self._settle_doubt(tick, kind, doubt, kind.decide(tick.view, observation), False)


def hand(name, number, at_s=1.0, lb=0):
    return Event(at_s, "hand", name, (number, lb))


def at(point, number, *events):
    return [Event(number, "at", point, (event,)) for event in events]


def when(moment, *events):
    return [Event(1, "when", moment, (event,)) for event in events]


DEATHS = [Event(40, "die"), Event(60, "die")]
FREEZES = at("before note_intent", 2, Event(0.0, "freeze", "", (40.0,)))
LOST = [Event(0.0, "fault", "node.update reset_before", (1, None))]
TWO_DEAD = [hand("kill_server any", 4), hand("kill_server any", 5)]
STANDSTILL = at("after note_intent", 1, Event(0.0, "standstill"))
RENAMED = when("draining", hand("rename_server planned", 0))
REBUILT = when("verifying", hand("rebuild_server planned", 0))
RESIZED = when("verifying", hand("resize_server planned", 0))
FALSE_ZERO = when("draining", Event(0.0, "fault", "status.read false_zero", (3, None)))
REPLACED = when("draining", hand("replace_server any", 3))
ELSEWHERE = when("held", hand("add_elsewhere planned", 0))
FOUND_NOWHERE = when(
    "held", hand("add_elsewhere planned", 0), Event(0.0, "fault", "lb.list empty_list", (100_000, None))
)
NOT_FOUND = when("deleting", Event(0.0, "fault", "server.show server_error", (1, None, 404)))
MORE_TRAFFIC = [Event(0.0, "demand", "", (2.6,))]
LONG_HOLD = {"hold_s": 70.0, "out": 1}
SLOWER = when("verifying", *(hand("slow_server any", number) for number in range(6)))
COMPARING = {"format": PLAN_FORMAT, "slower_allowed": 0.3}
TOO_FEW = {"ceiling_rps": 95.0, "forecast_peak_rps": 400.0}
FINE = {"format": PLAN_FORMAT, "ceiling_rps": None, "fine_load_rps": 76.0}

IMAGES = {"images": ImageRule.EACH}
BAD_IMAGE = [Event(0.0, "fault", "server.action image_error", (1, None))]

UNREADABLE = [
    Event(0.0, "fault", "server.action timeout_after", (1, None)),
    Event(0.0, "fault", "image.list server_error", (100_000, None)),
    Event(45.0, "demand", "", (20.0,)),
]
LOST_IMAGE = [Event(0.0, "fault", "server.action timeout_after", (1, None))]

LATE_ADD = [
    Event(0.0, "fault", "node.add late", (1, 85.0)),
    Event(10.2, "command", "pause", (("when", "now"),)),
    Event(50.0, "command", "resume"),
]
ON_TWO_BALANCERS = {"scenario": "shared", "plan": {"floor": 2}}

STOPS = {"hold_s": 5.0, "stop_s": 30.0, "out": 1}
BACK_FROM_STOP = [Event(30.0, "command", "put_back", (("server", 0),))]

ABORTED_IN_A_REBOOT = when("held", hand("set_server_status planned", 0), Event(0.0, "command", "abort"))

PAST_THE_BALANCER = when("held", hand("direct_traffic planned", 0))

ROLL_BACK = [Event(40.0, "command", "roll_back", ())]
FROZEN_WHILE_HELD = [Event(18.0, "calendar", "", (True,))]
FROZEN_WHILE_IMAGED = when("imaging", Event(0.0, "calendar", "", (True,)))
GROWS = [Event(70.0, "command", "grow_again", (("by", 1),))]
DELETED_AS_IT_GOES_BACK = when(
    "draining", hand("delete_server_slowly planned", 0), Event(4.0, "command", "put_back", (("server", 0),))
)
REBUILT_AND_ABORTED = when("held", hand("rebuild_server planned", 0), Event(8.0, "command", "abort"))

GROWS_UNAPPROVED = [Event(0.0, "growth", "", (False,)), *GROWS]
LATE_CREATE = [*ROLL_BACK, Event(0.0, "fault", "server.create late", (1, 60.0))]
RENAMED_AND_ON = [
    *RENAMED,
    Event(190.0, "demand", "", (1.0,)),
]  # something to come: the world goes on for as long
HELD_BEYOND_THE_WINDOW = {"plan": {"hold_s": 150.0, "window": (0.0, 130.0), "stop_s": 8.0}}
TO_THE_WINDOWS_END = {"scenario": "persistent", "plan": {"drain_limit_s": 60.0, "window": (0.0, 110.0)}}
DRAINS_FOR_LONG = {"scenario": "persistent", "plan": {"drain_limit_s": 60.0}}
HELD_THROUGH = {"hold_through_s": 160.0, "out": 1}
MISSES_ITS_PEAK = {"hold_through_s": 30.0, "out": 1}
WATCHED = {"watch_until_s": 180.0, "out": 1}
HELD_IN_THE_PEAK = {"hold_through_s": 195.0, "watch_until_s": 195.0}
IN_THE_WATCH = {"watch_until_s": 300.0}
PEAK_WHILE_HELD = [Event(60.0, "demand", "", (1.8,))]
PEAK_IN_THE_WATCH = when("watching", Event(0.0, "demand", "", (1.8,)))

SCHEDULES = [
    (DEATHS, {}),
    (FREEZES, {}),
    (LOST, {}),
    (TWO_DEAD, {"plan": {"floor": 4}}),
    (STANDSTILL, {}),
    (RENAMED, {}),
    (FALSE_ZERO, {}),
    (ELSEWHERE, {"plan": {"hold_s": 5.0}}),
    (FOUND_NOWHERE, {"plan": {"hold_s": 5.0}}),
    (NOT_FOUND, {}),
    (MORE_TRAFFIC, {}),
    ([], {"plan": LONG_HOLD}),
    (BAD_IMAGE, {"plan": IMAGES}),
    (LOST_IMAGE, {"plan": IMAGES}),
    (UNREADABLE, {"plan": IMAGES}),
    (BACK_FROM_STOP, {"plan": STOPS}),
    (DELETED_AS_IT_GOES_BACK, DRAINS_FOR_LONG),
    (REBUILT_AND_ABORTED, {"plan": LONG_HOLD}),
    (DIES_WHILE_STOPPED, {"plan": STOPS}),
    (ROLL_BACK, {"plan": IMAGES}),
    (GROWS, {"plan": IMAGES}),
    (FROZEN_WHILE_HELD, {"plan": IMAGES}),
    (FROZEN_WHILE_IMAGED, {"plan": {**IMAGES, "hold_s": 5.0}}),
    (GROWS_UNAPPROVED, {"plan": IMAGES}),
    (PAST_THE_BALANCER, {"plan": LONG_HOLD}),
    (ABORTED_IN_A_REBOOT, {"plan": LONG_HOLD}),
    (LATE_CREATE, {"plan": IMAGES}),
    (ELSEWHERE, {"plan": {"hold_s": 5.0, "stop_s": 8.0}}),
    (SLOWER, {"plan": COMPARING}),
    ([], {"plan": COMPARING}),
    ([], {"plan": TOO_FEW}),
    (MORE_TRAFFIC, {"plan": FINE}),
    (LATE_ADD, ON_TWO_BALANCERS),
    (RENAMED_AND_ON, TO_THE_WINDOWS_END),
    (WITHOUT_EFFECT, {}),
    (REBUILT, {}),
    (RESIZED, {}),
    ([], HELD_BEYOND_THE_WINDOW),
    ([], {"plan": HELD_THROUGH}),
    ([], {"plan": MISSES_ITS_PEAK}),
    ([], {"plan": WATCHED}),
    (PEAK_WHILE_HELD, {"plan": HELD_IN_THE_PEAK}),
    (PEAK_IN_THE_WATCH, {"plan": IN_THE_WATCH}),
]


def broken_by(events, rule, **options):
    """Return what a schedule broke of one rule."""
    found = simulate(events, horizon_s=200.0, **options).violations
    return [what for what in found if what.startswith(rule.__name__)]


def test_without_the_sweep_a_run_is_forgotten():
    assert broken_by(DEATHS, oracle.comes_to_a_rest, sweeps=False)


def test_without_the_fence_a_worker_that_lost_its_lease_changes_things():
    assert broken_by(FREEZES, oracle.journals_every_change, store_class=Unfenced)


@pytest.mark.parametrize("mutation", [{"store_class": Undoubting}, {"engine_class": Hasty}])
def test_without_the_in_doubt_rule_a_change_is_repeated_blindly(mutation):
    assert broken_by(LOST, oracle.reads_before_it_goes_on, **mutation)


def test_without_the_floor_look_the_floor_is_broken(monkeypatch):
    monkeypatch.setattr(looks, "floor_allows", lambda *_: None)
    assert broken_by(TWO_DEAD, oracle.keeps_the_floor, plan={"floor": 4})


def test_without_the_load_guard_the_rest_of_the_pool_carries_too_much(monkeypatch):
    monkeypatch.setattr(looks, "_load_allows", lambda *_: None)
    assert broken_by(MORE_TRAFFIC, oracle.keeps_the_load_under_the_guard)


def test_without_three_looks_one_zero_is_enough_to_remove_a_node(monkeypatch):
    judge = draining._judge_drain

    def hasty(turn, way):
        turn.plan = replace(turn.plan, zeros_needed=1)
        return judge(turn, way)

    monkeypatch.setattr(draining, "MIN_ZEROS", 1)
    monkeypatch.setattr(draining, "_judge_drain", hasty)
    assert broken_by([], oracle.removes_only_what_is_drained)


def test_without_the_search_a_server_that_another_balancer_holds_is_deleted(monkeypatch):
    monkeypatch.setattr(looks, "_search_refusal", lambda *_: None)
    found = broken_by(ELSEWHERE, oracle.deletes_only_what_is_in_no_balancer, plan={"hold_s": 5.0})
    assert any("while in balancer" in what for what in found)


def test_without_a_fresh_verdict_a_server_is_deleted_on_an_old_look_at_the_site(monkeypatch):
    monkeypatch.setattr(looks, "VERDICT_MAX_AGE_S", 1e9)
    monkeypatch.setattr(
        "scaledown.needs._probes_due", lambda plan, progress, now: not progress_holds(progress)
    )
    assert broken_by([], oracle.deletes_only_after_watching_the_pool, plan=LONG_HOLD)


def progress_holds(progress):
    """Whether a server is held: the mutation looks at the site no more by then."""
    return any(way.phase is Phase.HELD for way in progress.servers)


@pytest.mark.parametrize("events", [RENAMED, REBUILT, RESIZED])
def test_without_the_comparison_a_server_that_was_not_approved_is_deleted(monkeypatch, events):
    monkeypatch.setattr(looks, "identity_difference", lambda *_: "")
    assert broken_by(events, oracle.deletes_only_what_was_approved)


def test_without_one_at_a_time_the_next_server_begins_while_the_pool_is_watched(monkeypatch):
    in_flight = {Phase.DRAINING, Phase.REMOVING}
    monkeypatch.setattr(Phase, "is_in_flight", property(lambda phase: phase in in_flight))
    assert broken_by([], oracle.takes_out_one_at_a_time)


def test_without_the_look_for_a_standstill_before_the_call_a_change_is_sent_at_it():
    assert broken_by(STANDSTILL, oracle.sends_nothing_after_a_stop, store_class=Deaf)


def finds_none(turn, way):
    seen = turn.observation.servers.get(way.server_id)
    return seen is not None and seen.is_gone


def test_without_a_second_look_a_server_that_lives_is_called_retired(monkeypatch):
    def hasty(turn, way):
        turn.enter(way, Phase.RETIRED, machine.wording.retired(way.name), retired_at=turn.now)
        return True

    monkeypatch.setattr(deleting, "was_gone_before", lambda delete, seen: True)
    monkeypatch.setattr(deleting, "finds_gone", finds_none)
    monkeypatch.setattr(deleting, "confirming", hasty)
    assert broken_by(NOT_FOUND, oracle.says_gone_only_of_what_is_gone)


def test_without_the_list_of_all_servers_some_wrong_answers_retire_one_that_lives(monkeypatch):
    def trusting(turn, way):
        seen, delete = turn.observation.servers.get(way.server_id), way.delete
        if seen is None or not seen.is_gone:
            return False
        if deleting.was_gone_before(delete, seen):
            return True
        turn.update(way, delete=replace(delete, gone_at=delete.gone_at or seen.observed_at))
        return False

    monkeypatch.setattr(deleting, "finds_gone", trusting)
    assert broken_by(WITHOUT_EFFECT, oracle.ends_tidy)


def test_without_the_look_for_the_image_a_server_is_deleted_without_it(monkeypatch):
    def trusting(plan, progress, way):
        begun = [image for image in progress.images if image.server_id == way.server_id]
        return replace(begun[0], status="ACTIVE") if begun else None

    monkeypatch.setattr(looks, "_image_refusal", lambda *_: None)
    monkeypatch.setattr(images, "standing_for", trusting)
    assert broken_by(BAD_IMAGE, oracle.deletes_only_with_the_image_that_was_asked_for, plan=IMAGES)


def test_without_the_time_that_it_is_stopped_a_server_is_deleted_at_once(monkeypatch):
    monkeypatch.setattr(machine, "stop_due_at", lambda plan, way: None)
    monkeypatch.setattr(machine, "due_at", lambda plan, way: way.held_at)
    monkeypatch.setattr(imaging, "stop_due_at", lambda plan, way: None)
    monkeypatch.setattr(looks, "_stop_refusal", lambda *_: None)
    assert broken_by([], oracle.deletes_only_what_was_stopped_for_long_enough, plan=STOPS)


def test_without_the_look_at_those_that_stay_another_machine_counts_for_the_floor(monkeypatch):
    monkeypatch.setattr(looks, "remaining_obstacle", lambda *_: None)
    found = broken_by(REPLACED, oracle.counts_on_no_other_machine, plan={"pause_between_s": 110.0, "out": 2})
    assert found


def test_without_the_look_before_a_stop_a_server_that_another_balancer_holds_is_stopped(monkeypatch):
    monkeypatch.setattr(looks, "_search_refusal", lambda *_: None)
    plan = {"hold_s": 5.0, "stop_s": 8.0}
    found = broken_by(ELSEWHERE, oracle.deletes_only_what_is_in_no_balancer, plan=plan)
    assert any("while in balancer" in what for what in found)


def test_without_the_look_at_what_goes_down_a_server_that_is_deleted_by_hand_gets_visitors(monkeypatch):
    monkeypatch.setattr("scaledown.put_backs._goes_down", lambda seen: False)
    assert broken_by(DELETED_AS_IT_GOES_BACK, oracle.sends_nobody_to_what_goes_down, **DRAINS_FOR_LONG)


def test_without_its_image_a_rebuilt_server_is_put_back_as_it_is(monkeypatch):
    monkeypatch.setattr("scaledown.put_backs._can_serve", lambda turn, seen, node: True)
    assert broken_by(REBUILT_AND_ABORTED, oracle.sends_nobody_to_what_goes_down, plan=LONG_HOLD)


def test_without_the_start_a_stopped_server_goes_back_into_the_pool(monkeypatch):
    monkeypatch.setattr(stopping, "has_to_start", lambda way: False)
    monkeypatch.setattr("scaledown.put_backs._can_serve", lambda turn, seen, node: True)
    assert broken_by(BACK_FROM_STOP, oracle.brings_back_only_what_runs, plan=STOPS)


def test_without_its_control_a_search_that_finds_nothing_at_all_is_believed(monkeypatch):
    monkeypatch.setattr("scaledown.driver._hold_against_control", lambda look: None)
    found = broken_by(FOUND_NOWHERE, oracle.deletes_only_what_is_in_no_balancer, plan={"hold_s": 5.0})
    assert found


def test_without_its_time_a_server_that_is_only_being_rebooted_is_given_up(monkeypatch):
    monkeypatch.setattr(put_backs, "HOPELESS_S", -1.0)
    monkeypatch.setattr(put_backs, "_passes_by_itself", lambda seen: False)
    assert broken_by(ABORTED_IN_A_REBOOT, oracle.leaves_out_only_what_cannot_serve, plan=LONG_HOLD)


def test_without_listening_a_server_that_serves_past_its_balancers_is_deleted(monkeypatch):
    monkeypatch.setattr(looks, "_silence_refusal", lambda *_: None)
    assert broken_by(PAST_THE_BALANCER, oracle.cuts_off_only_what_is_silent, plan=LONG_HOLD)


def test_without_the_look_for_its_answer_a_server_that_died_goes_back_into_the_pool(monkeypatch):
    monkeypatch.setattr(stopping, "is_silent", lambda turn, way, seen: False)
    monkeypatch.setattr(stopping, "ANSWER_S", 60.0)
    assert broken_by(DIES_WHILE_STOPPED, oracle.brings_back_only_what_answers, plan=STOPS)


def test_without_the_wait_for_what_may_land_late_a_server_is_created_twice(monkeypatch):
    monkeypatch.setattr(late, "LATE_S", 0.0)
    assert broken_by(LATE_CREATE, oracle.creates_no_more_than_was_approved, plan=IMAGES)


@pytest.mark.parametrize("where", [machine, deleting])
def test_without_the_freeze_a_server_begins_or_ends_in_it(monkeypatch, where):
    monkeypatch.setattr(where, "is_frozen", lambda turn: False)
    if where is machine:
        # What is not begun yet is asked once more right before its first change.
        monkeypatch.setattr(draining, "is_frozen", lambda turn: False)
    events = FROZEN_WHILE_HELD if where is machine else FROZEN_WHILE_IMAGED
    plan = {**IMAGES, "hold_s": 60.0 if where is machine else 5.0}
    assert broken_by(events, oracle.begins_and_ends_nothing_in_a_freeze, plan=plan)


def _only_once_asked(progress, now):
    return bool(progress.get("asks_freeze"))


def test_without_having_it_read_a_server_begins_or_ends_in_a_freeze(monkeypatch):
    monkeypatch.setattr(simulation, "meets_freeze", _only_once_asked)
    monkeypatch.setattr(Turn, "ask_freeze", lambda turn: False)
    rule = oracle.begins_and_ends_nothing_in_a_freeze
    assert broken_by(FROZEN_WHILE_HELD, rule, plan={**IMAGES, "hold_s": 60.0})


def test_nothing_rests_on_a_good_guess_where_a_freeze_may_be_met(monkeypatch):
    monkeypatch.setattr(simulation, "meets_freeze", _only_once_asked)
    for events in (FROZEN_WHILE_HELD, FROZEN_WHILE_IMAGED, []):
        result = simulate(events, horizon_s=400.0, plan={**IMAGES, "hold_s": 20.0})
        assert result.violations == []
        assert (result.status is RunStatus.COMPLETED) is (not events)


def test_without_its_own_approval_a_pool_grows_again_after_it_fell(monkeypatch):
    monkeypatch.setattr(rolling_back, "approval_problem", lambda turn: "")
    assert broken_by(GROWS_UNAPPROVED, oracle.creates_no_more_than_was_approved, plan=IMAGES)


def test_without_the_bound_a_pool_grows_by_more_than_was_approved(monkeypatch):
    def all_of_them(turn):
        for way in growing.to_create(turn.plan, turn.progress):
            yield way, growing.can_create(turn.plan, turn.progress, way).image_id

    monkeypatch.setattr(rolling_back, "_still_to_create", all_of_them)
    assert broken_by(GROWS, oracle.creates_no_more_than_was_approved, plan=IMAGES)


def test_without_its_answer_a_new_server_serves_before_it_is_ready(monkeypatch):
    monkeypatch.setattr(rolling_back, "_answers", lambda turn, way, anew: True)
    monkeypatch.setattr("scaledown.needs._answers_wanted", lambda progress: {})
    assert broken_by(ROLL_BACK, oracle.lets_serve_only_what_answered, plan=IMAGES)


def test_without_the_in_doubt_rule_a_second_image_is_asked_for_blindly(monkeypatch):
    monkeypatch.setattr("scaledown.needs._looks_for_images", lambda *_: False)
    monkeypatch.setattr(imaging, "_asks_blindly", lambda turn, asked: False)
    broken = broken_by(LOST_IMAGE, oracle.asks_for_no_second_image_blindly, plan=IMAGES, engine_class=Hasty)
    assert broken


def test_without_the_comparison_a_server_is_deleted_while_the_site_answers_slowly(monkeypatch):
    monkeypatch.setattr(stats, "is_beyond", lambda *_, **__: None)
    assert broken_by(SLOWER, oracle.deletes_only_while_answers_are_as_fast, plan=COMPARING)


def test_without_the_stretch_before_there_is_nothing_to_hold_answers_against(monkeypatch):
    monkeypatch.setattr(machine, "awaits_before", lambda turn: False)
    monkeypatch.setattr(answers, "notice_before", lambda turn: None)
    monkeypatch.setattr(notice, "notice_before", lambda turn: None)
    assert broken_by([], oracle.deletes_only_while_answers_are_as_fast, plan=COMPARING)


def test_without_the_size_of_the_sample_a_few_answers_are_a_pass(monkeypatch):
    monkeypatch.setattr(comparing.Comparison, "is_too_small", property(lambda found: False))
    monkeypatch.setattr(watching, "lacks_answers", lambda turn, soak: False)
    short = {**COMPARING, "soak_s": 3.0}
    assert broken_by([], oracle.deletes_only_while_answers_are_as_fast, plan=short)


def test_without_the_projection_a_pool_is_made_too_small_for_its_next_peak(monkeypatch):
    monkeypatch.setattr(verify, "_LOOKS", tuple(look for look in verify._LOOKS if look is not verify._peak))
    assert broken_by([], oracle.deletes_only_what_the_next_peak_allows, plan=TOO_FEW)


def test_without_the_load_that_was_fine_nothing_guards_a_pool_whose_ceiling_nobody_knows(monkeypatch):
    monkeypatch.setattr(looks, "guard_rps", lambda plan: None)
    assert broken_by(MORE_TRAFFIC, oracle.keeps_the_load_under_the_guard, plan=FINE)


def test_without_the_wait_for_a_late_add_a_balancer_holds_the_address_of_a_server_that_is_gone(monkeypatch):
    monkeypatch.setattr(looks, "add_lands_until", lambda way, now: None)
    assert broken_by(LATE_ADD, oracle.leaves_no_node_of_what_is_gone, **ON_TWO_BALANCERS)


@pytest.mark.parametrize("mutation", [{"watch_in_doubt": lambda turn: None}, {"sets_aside": lambda turn: ""}])
def test_without_a_look_at_the_site_in_a_doubt_a_server_stays_out_in_danger(monkeypatch, mutation):
    for name, function in mutation.items():
        monkeypatch.setattr(machine, name, function)
    assert broken_by(UNREADABLE, oracle.puts_back_in_danger, plan=IMAGES)


def test_with_what_another_hand_called_it_for_a_changed_node_a_server_drains_beyond_the_window(monkeypatch):
    monkeypatch.setattr(machine, "has_foreign_node", lambda way: bool(way.by_hand))
    assert broken_by(RENAMED_AND_ON, oracle.leaves_nothing_draining_after_the_window, **TO_THE_WINDOWS_END)


def test_without_the_hours_of_the_window_a_held_server_is_stopped_after_it(monkeypatch):
    monkeypatch.setattr(hours, "opens_at", lambda plan, at: at)
    assert broken_by([], oracle.begins_with_the_held_only_in_the_windows_hours, **HELD_BEYOND_THE_WINDOW)


@pytest.mark.parametrize("plan", [LONG_HOLD, HELD_THROUGH, STOPS])
def test_without_its_hold_a_server_is_deleted_before_the_peak_that_it_is_held_for(monkeypatch, plan):
    monkeypatch.setattr(deleting, "_held_until", lambda plan, held_at: held_at)
    assert broken_by([], oracle.cuts_off_only_what_was_held_for_long_enough, plan=plan)


def test_without_the_look_at_when_it_left_a_server_is_deleted_that_its_peak_needed(monkeypatch):
    monkeypatch.setattr(machine, "_misses_peak", lambda plan, turn: False)
    monkeypatch.setattr(looks, "_peak_refusal", lambda plan, way: None)
    assert broken_by([], oracle.cuts_off_only_what_was_held_for_long_enough, plan=MISSES_ITS_PEAK)


def test_without_the_peak_watch_a_run_ends_before_its_peak(monkeypatch):
    monkeypatch.setattr(machine, "awaits_peak", lambda turn: False)
    assert broken_by([], oracle.ends_only_after_its_peak, plan=WATCHED)


def only_of_probes(turn):
    """Why traffic needs more servers, by probes alone: the mutation does not know the guard."""
    failing = [name for name, count in turn.progress.probe_failures.items() if count >= 2]
    return "Probes fail." if failing else ""


@pytest.mark.parametrize(
    ("events", "plan", "rule"),
    [
        (PEAK_WHILE_HELD, HELD_IN_THE_PEAK, oracle.puts_back_what_the_load_needs),
        (PEAK_IN_THE_WATCH, IN_THE_WATCH, oracle.tells_of_a_peak_that_is_too_much),
    ],
)
def test_without_the_guard_nobody_acts_in_a_peak_that_is_too_much(monkeypatch, events, plan, rule):
    monkeypatch.setattr(safety, "_danger", only_of_probes)
    assert broken_by(events, rule, plan=plan)


@pytest.mark.parametrize("number", range(len(SCHEDULES)))
def test_the_same_schedules_break_nothing_in_the_whole_engine(number):
    events, options = SCHEDULES[number]
    assert simulate(events, horizon_s=200.0, **options).violations == []
