"""Whole drills against the simulator's world: the straight way of each injection, and what ends one early."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drills.machine import decide
from drills.scenarios.types import InjectionKind, Role, StepKind
from drills.types import Ending, Facts, Look, MarkKind, People, Stops, TargetPhase, new_progress
from portal.runs.types import RunStatus
from tests.drills.simulation import Event, Play, plan_for, step

HIT = [InjectionKind.NODE_OUT, InjectionKind.STOP, InjectionKind.SOFT_REBOOT, InjectionKind.HARD_REBOOT]


def build(injection, **changes):
    return lambda world: plan_for(world, injection, **changes)


def names(played):
    return [one.name for one in played.sent]


@pytest.mark.parametrize("injection", HIT)
@pytest.mark.parametrize("targets", [1, 2])
def test_a_drill_disrupts_undoes_verifies_and_ends(injection, targets):
    played = Play(build=build(injection, targets=targets)).play()
    assert played.broken == []
    assert played.status is RunStatus.COMPLETED, played.journal
    assert all(one.phase is TargetPhase.BACK for one in played.progress.targets)
    out, back = {
        InjectionKind.NODE_OUT: ("set_DISABLED", "set_ENABLED"),
        InjectionKind.STOP: ("stop", "start"),
    }.get(injection, ("reboot", None))
    assert names(played).count(out) == targets
    # A balancer that is busy with the one before is asked again.
    assert len({one.target for one in played.sent if one.name == back}) == (targets if back else 0)
    assert played.progress.mark(MarkKind.UNDONE).at > played.progress.injected_at


def test_several_are_out_together_and_the_time_counts_from_the_last():
    played = Play(build=build(InjectionKind.STOP, targets=2, hold_s=40.0)).play()
    assert names(played) == ["stop", "stop", "start", "start"]
    assert played.sent[2].at_s - played.sent[1].at_s >= 40.0


def test_a_rolling_reboot_waits_for_each_server_and_for_its_checks():
    checks = ("services", "mounts")
    play = Play(
        [Event(40.0, "command", "after_boot", (("server", None), ("passed", checks)))],
        build=build(InjectionKind.ROLLING_REBOOT, targets=3, after_boot=checks),
    )
    first = play.plan.targets[0].server_id
    play.pending = [replace(one, args=(("server", first), ("passed", list(checks)))) for one in play.pending]
    play.pending += [
        Event(
            120.0,
            "command",
            "after_boot",
            (("server", play.plan.targets[1].server_id), ("passed", ["services"])),
        ),
        Event(
            160.0,
            "command",
            "after_boot",
            (("server", play.plan.targets[1].server_id), ("passed", ["mounts"])),
        ),
        Event(
            240.0,
            "command",
            "after_boot",
            (("server", play.plan.targets[2].server_id), ("failed", ["mounts"])),
        ),
    ]
    played = play.play()
    assert played.broken == []
    assert names(played) == ["reboot", "reboot", "reboot"]
    assert played.sent[1].at_s - played.sent[0].at_s > 40.0
    assert played.sent[2].at_s - played.sent[1].at_s > 100.0
    assert played.progress.ending is Ending.NOT_COME_BACK
    assert "mounts" in played.progress.ending_says


@pytest.mark.parametrize(("name", "ending"), [("stop", Ending.STOPPED), ("real", Ending.REAL)])
@pytest.mark.parametrize("injection", HIT)
def test_whoever_stops_it_has_everything_undone(injection, name, ending):
    played = Play([Event(4.0, "command", name)], build=build(injection, hold_s=600.0)).play()
    assert played.broken == []
    assert (played.status, played.progress.ending) == (RunStatus.ABORTED, ending)
    assert all(one.phase in {TargetPhase.BACK, TargetPhase.UNTOUCHED} for one in played.progress.targets)


@pytest.mark.parametrize("injection", [*HIT, InjectionKind.ROLLING_REBOOT])
def test_whenever_it_is_stopped_no_further_server_is_disrupted(injection):
    for at_s in (2.0, 3.0, 3.5, 4.5, 6.0):
        play = Play([Event(at_s, "command", "stop")], build=build(injection, targets=3, hold_s=600.0))
        played = play.play()
        assert (played.broken, played.status) == ([], RunStatus.ABORTED), at_s


def test_while_it_is_undone_no_step_is_asked_of_anybody():
    plan = Play(build=build(InjectionKind.STOP, hold_s=600.0)).plan
    (way,) = new_progress(plan).targets
    now = plan.not_before
    away = replace(way, phase=TargetPhase.RETURNING, hit_at=now, undo_from=now, undo_at=now, tries=1)
    progress = replace(
        new_progress(plan), began_at=now, targets=(away,), ending=Ending.REAL, ending_says="It is real."
    )
    decided = decide(plan, progress, Look(now), People(RunStatus.RUNNING), Facts(), now)
    name = plan.targets[0].name
    assert decided.progress.says == f"The drill ends once what it disrupted is back: {name}."
    assert not any("Step" in one.says for one in decided.journal)


def test_it_may_be_stopped_before_it_begins():
    played = Play([Event(0.0, "command", "stop")]).play()
    assert (played.status, played.sent, played.broken) == (RunStatus.ABORTED, [], [])


def test_real_is_graver_than_stopped():
    events = [Event(5.0, "command", "stop"), Event(6.0, "command", "real")]
    played = Play(events, build=build(InjectionKind.STOP, hold_s=600.0)).play()
    assert played.progress.ending is Ending.REAL


def test_failing_probes_undo_it():
    def only_two(world):
        plan = plan_for(world, InjectionKind.NODE_OUT, targets=3, hold_s=600.0)
        return replace(plan, stops=Stops(error_ratio=0.1, window_s=30.0, floor=2, injected_s=900.0))

    played = Play([Event(15.0, "demand", "", (6.0,))], build=only_two).play()
    assert played.broken == []
    assert played.progress.ending is Ending.STOP_CONDITION, played.journal
    assert played.progress.mark(MarkKind.DETECTED) is not None
    assert played.took_s < 500.0


def test_the_longest_time_undoes_it():
    def long(world):
        plan = plan_for(world, InjectionKind.STOP, hold_s=600.0)
        return replace(plan, stops=replace(plan.stops, injected_s=30.0))

    played = Play(build=long).play()
    assert played.progress.ending is Ending.STOP_CONDITION
    assert "30 s may be" in played.progress.ending_says


def test_the_floor_keeps_it_from_beginning():
    def high(world):
        plan = plan_for(world, targets=2)
        return replace(plan, stops=replace(plan.stops, floor=5))

    played = Play(build=high).play()
    assert (played.sent, played.progress.ending) == ([], Ending.NOT_STARTED)
    assert "never fewer than 5" in played.progress.ending_says


def test_without_a_health_monitor_nothing_is_touched():
    played = Play(world="no_monitor").play()
    assert (played.sent, played.progress.ending) == ([], Ending.NOT_STARTED)
    assert "no health monitor" in played.progress.ending_says


def test_another_server_of_that_name_is_not_touched():
    play = Play()
    server = play.plan.targets[0].server_id
    play.pending = [Event(0.0, "hand", "rename_server", (server, "another"))]
    played = play.play()
    assert (played.sent, played.progress.ending) == ([], Ending.POOL_CHANGED)


@pytest.mark.parametrize("fact", ["approval_problem", "freeze", "not_ready"])
def test_what_stands_in_the_way_keeps_it_from_beginning(fact):
    played = Play([Event(0.0, "fact", fact, ("Something stands in the way.",))]).play()
    assert (played.sent, played.progress.ending) == ([], Ending.NOT_STARTED)


@pytest.mark.parametrize("fact", ["approval_problem", "freeze"])
def test_what_comes_in_the_way_later_has_it_undone(fact):
    events = [Event(5.0, "fact", fact, ("Something stands in the way.",))]
    played = Play(events, build=build(InjectionKind.STOP, hold_s=600.0)).play()
    assert (played.broken, played.progress.ending) == ([], Ending.NOT_ALLOWED)


def test_a_standstill_has_it_undone():
    played = Play([Event(5.0, "standstill")], build=build(InjectionKind.NODE_OUT, hold_s=600.0)).play()
    assert (played.broken, played.status) == ([], RunStatus.ABORTED)
    assert names(played) == ["set_DISABLED", "set_ENABLED"]


def test_losing_sight_has_it_undone():
    events = [Event(6.0, "fault", "* server_error", (None, 60.0)), Event(90.0, "heal")]
    played = Play(events, build=build(InjectionKind.NODE_OUT, hold_s=600.0)).play()
    assert played.broken == []
    assert played.progress.ending in {Ending.LOST_SIGHT, Ending.STOP_CONDITION}


def test_a_server_that_does_not_come_back_halts_it_until_somebody_says_so():
    play = Play(build=build(InjectionKind.STOP))
    server = play.plan.targets[0].server_id
    play.pending = [
        Event(10.0, "fault", "server.action server_error", (None, 5000.0)),
        Event(900.0, "command", "undone_by_hand", (("server", server),)),
    ]
    played = play.play()
    assert played.progress.ending is Ending.NOT_COME_BACK, played.journal
    assert "halted" in played.kinds
    assert "target_back_by_hand" in played.kinds
    assert played.status is RunStatus.ABORTED


def hung(injection, events):
    play = Play(build=build(injection, boot_limit_s=60.0))
    play.world.settings = replace(play.world.settings, reboot_soft_s=5000.0)
    server = play.plan.targets[0].server_id
    play.pending = [Event(at, kind, name, (("server", server),)) for at, kind, name in events]
    return play.play()


def test_a_hung_server_is_rebooted_hard_once_a_person_asks_and_is_back():
    played = hung(
        InjectionKind.SOFT_REBOOT,
        [
            (10.0, "command", "hard_reboot"),
            (200.0, "command", "hard_reboot"),
            (201.0, "command", "hard_reboot"),
        ],
    )
    assert played.broken == [], played.journal
    assert [one.name for one in played.sent] == ["reboot", "reboot"], played.journal
    assert played.progress.ending is Ending.NOT_COME_BACK
    assert played.status is RunStatus.ABORTED
    assert "target_back" in played.kinds
    # Before it was known to hang nothing was sent; asked twice, it was rebooted once.
    said = " ".join(played.journal)
    assert said.index("Wait until") < said.index("waited for anew") < said.index("rebooted hard already")


def test_what_a_drill_did_not_reboot_is_not_rebooted_hard():
    play = Play(build=build(InjectionKind.STOP))
    play.pending = [Event(10.0, "command", "hard_reboot", (("server", play.plan.targets[0].server_id),))]
    played = play.play()
    assert "reboot" not in {one.name for one in played.sent}


def test_people_lead_through_a_talk():
    def talk(world):
        steps = (
            step(1, StepKind.TALK, injects=True),
            step(2, StepKind.BY_HAND, role=Role.PARTICIPANT),
            step(3, StepKind.TALK),
        )
        return plan_for(world, InjectionKind.TALK, steps=steps, probes=(), balancer_ids=(), stops=None)

    events = [
        Event(2.0, "command", "step_done", (("number", 2),)),
        Event(3.0, "command", "step_done", (("number", 1),)),
        Event(30.0, "command", "mark", (("kind", "acknowledged"),)),
        Event(40.0, "command", "mark", (("kind", "recovered"),)),
        Event(200.0, "command", "step_skip", (("number", 2),)),
        Event(220.0, "command", "step_done", (("number", 3),)),
    ]
    played = Play(events, build=talk).play()
    assert played.broken == []
    assert played.status is RunStatus.COMPLETED
    assert played.sent == []
    accepted = [answer.accepted for answer in played.run.answers.values()]
    assert accepted == [False, True, True, False, True, True]
    assert played.progress.mark(MarkKind.ACKNOWLEDGED).by_name
    assert "step_late" in played.kinds
