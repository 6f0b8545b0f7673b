"""The suite is worth something: without the sweep, the fence, the in-doubt rule or the floor look, the same
search over schedules finds a broken rule. Each mutation takes away one function."""

from __future__ import annotations

from random import Random

import pytest

from portal.runs.engine import Engine
from portal.runs.store_memory import MemoryStore
from portal.runs.types import Checked
from scaledown import looks
from tests.faults.schedules import random_events
from tests.faults.simulation import Event, simulate

SEARCH = 40


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


class Hasty(Engine):
    """An engine that takes an answer that was lost for a change that did not happen."""

    async def read_doubt(self, tick, kind, observation, looked_from):
        doubt = tick.view.doubt
        return await self._settle_doubt(tick, kind, doubt, kind.decide(tick.view, observation), False)


def find(special, **options):
    """Return what the first schedule that breaks a rule broke; [] if none of the search does."""
    for events in [*special, *(random_events(Random(seed), most=10) for seed in range(SEARCH))]:
        result = simulate(events, horizon_s=200.0, **options)
        if result.violations:
            return result.violations
    return []


def test_without_the_sweep_a_run_is_forgotten():
    found = find([[Event(40, "die"), Event(60, "die")]], sweeps=False)
    assert any("nobody looks" in violation for violation in found)


def test_without_the_fence_a_worker_that_lost_its_lease_changes_things():
    schedules = [[Event(point, "freeze", "", (40.0,))] for point in [*range(28, 60), *range(1, 28)]]
    found = find(schedules, store_class=Unfenced)
    assert any(
        word in violation
        for violation in found
        for word in ("lost its lease", "without a journalled intent", "sent twice", "while the run is")
    )


@pytest.mark.parametrize("mutation", [{"store_class": Undoubting}, {"engine_class": Hasty}])
def test_without_the_in_doubt_rule_a_change_is_repeated_blindly(mutation):
    schedules = [[Event(0.0, "fault", "node.update reset_before", (1, None))]]
    found = find(schedules, **mutation)
    assert any("is unknown" in violation or "sent twice" in violation for violation in found)


def test_without_the_floor_look_the_floor_is_broken(monkeypatch):
    monkeypatch.setattr(looks, "floor_allows", lambda *_: None)
    dead = [Event(1.0, "hand", "kill_server any", (3,)), Event(1.0, "hand", "kill_server any", (4,))]
    found = find([dead], plan={"floor": 4})
    assert any("leaves 3 of at least 4" in violation for violation in found)


def test_the_same_search_finds_nothing_in_the_whole_engine():
    special = [
        [Event(40, "die"), Event(60, "die")],
        [Event(0.0, "fault", "node.update timeout_after", (1, None))],
        *[[Event(point, "freeze", "", (40.0,))] for point in range(20, 60, 13)],
    ]
    for events in special:
        assert simulate(events, horizon_s=200.0).violations == []
    dead = [Event(1.0, "hand", "kill_server any", (3,)), Event(1.0, "hand", "kill_server any", (4,))]
    assert simulate(dead, horizon_s=200.0, plan={"floor": 4}).violations == []
