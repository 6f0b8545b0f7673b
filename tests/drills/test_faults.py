"""What was injected is undone and verified, or a person has been told (invariants 7 to 9): under the provider's faults, deaths of
the worker at any point of a tick, frozen workers, people's commands and other hands.

`FAULT_EXAMPLES` makes the search longer, `FAULT_FIRST_SEED` draws other schedules.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from drills import judging, machine, returning
from drills.scenarios.types import InjectionKind
from drills.types import TargetPhase
from portal.runs.types import RunStatus
from tests.drills.schedules import INJECTIONS, a_play
from tests.drills.simulation import Event, Play, plan_for

EXAMPLES = int(os.environ.get("FAULT_EXAMPLES", "60"))
FIRST_SEED = int(os.environ.get("FAULT_FIRST_SEED", "70000"))


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + EXAMPLES))
def test_what_was_injected_is_undone_or_a_person_is_told(seed):
    played = a_play(seed).play()
    assert played.broken == [], played.journal


@pytest.mark.parametrize("injection", INJECTIONS)
@pytest.mark.parametrize("point", range(1, 80, 13))
def test_a_worker_may_die_at_any_point(injection, point):
    played = Play([Event(point, "die")], build=lambda world: plan_for(world, injection)).play()
    assert played.broken == []
    assert played.status is RunStatus.COMPLETED, played.journal


def test_a_lost_answer_to_a_stop_is_read_and_the_server_started():
    events = [Event(0.0, "fault", "server.action timeout_after", (1, None))]
    played = Play(events, build=lambda world: plan_for(world, InjectionKind.STOP)).play()
    assert played.broken == []
    assert [one.name for one in played.sent] == ["stop", "start"]


def test_a_lost_answer_to_a_reboot_is_set_aside_and_never_repeated():
    events = [Event(0.0, "fault", "server.action timeout_before", (1, None))]
    played = Play(events, build=lambda world: plan_for(world, InjectionKind.HARD_REBOOT)).play()
    assert played.broken == []
    assert [one.name for one in played.sent] == ["reboot"]
    assert played.took_s > returning.LATE_S


@pytest.mark.parametrize("injection", [InjectionKind.NODE_OUT, InjectionKind.STOP])
@pytest.mark.parametrize("command", ["undo_now", "stop", "real"])
def test_who_is_undone_before_the_disruption_took_effect_is_brought_back_all_the_same(injection, command):
    """The provider has accepted the change and not applied it yet: the server looks untouched, and goes away in a moment."""
    events = [Event(0.3, "command", command)]
    played = Play(events, build=lambda world: plan_for(world, injection)).play()
    assert played.broken == []
    assert [one.name for one in played.sent] == {
        InjectionKind.NODE_OUT: ["set_DISABLED", "set_ENABLED"],
        InjectionKind.STOP: ["stop", "start"],
    }[injection]


# --- each rule has a story that breaks without it ---------------------------------------------------------


def broken(monkeypatch, play, *, patch):
    for owner, name, value in patch:
        monkeypatch.setattr(owner, name, value)
    return play.play().broken


def test_without_undoing_the_oracle_finds_who_is_left_out(monkeypatch):
    judges = tuple(one for one in machine.JUDGES if one is not returning.bring_back)
    patch = [(machine, "JUDGES", judges)]
    assert broken(monkeypatch, Play(build=lambda world: plan_for(world, InjectionKind.STOP)), patch=patch)


def test_without_verifying_the_oracle_finds_who_is_left_out(monkeypatch):
    events = [Event(10.0, "fault", "server.action over_limit", (500, 3.0))]
    play = Play(events, build=lambda world: plan_for(world, InjectionKind.STOP))
    assert broken(monkeypatch, play, patch=[(returning, "is_back", lambda turn, way: way.tries > 0)])


def test_without_the_look_at_the_floor_the_oracle_finds_it_broken(monkeypatch):
    def build(world):
        plan = plan_for(world, InjectionKind.NODE_OUT, targets=3)
        assert plan.stops is not None
        return replace(plan, stops=replace(plan.stops, floor=5))

    assert broken(monkeypatch, Play(build=build), patch=[(judging, "too_few", lambda *args, **kwargs: "")])


def test_without_counting_a_hit_before_it_is_sent_the_oracle_finds_who_is_left_out(monkeypatch):
    """A worker that dies between the call and its outcome leaves a server that nobody brings back."""
    from drills.turn import Turn

    update = Turn.update

    def forgetful(self, way, **values):
        if values.get("phase") is TargetPhase.HIT:
            values = {**values, "phase": TargetPhase.BACK, "back_at": self.now}
        return update(self, way, **values)

    play = Play(build=lambda world: plan_for(world, InjectionKind.STOP))
    assert broken(monkeypatch, play, patch=[(Turn, "update", forgetful)])
