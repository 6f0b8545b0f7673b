"""A schedule goes the same way in PostgreSQL as in memory: same changes, same journal, same end."""

from __future__ import annotations

from random import Random

import pytest

from tests.faults.on_postgresql import simulate_on_postgresql, told
from tests.faults.schedules import random_case
from tests.faults.simulation import Event, simulate

pytestmark = pytest.mark.django_db


SCHEDULES = {
    "deaths": [Event(40, "die"), Event(90, "die"), Event(0.0, "fault", "node.update reset_before", (1, None))],
    "frozen": [
        Event(2, "at", "before note_intent", (Event(0.0, "freeze", "", (40.0,)),)),
        Event(30.0, "standstill"),
        Event(50.0, "lift"),
    ],
    "commands": [
        Event(8.0, "command", "pause", (("when", "now"),)),
        Event(60.0, "command", "resume"),
        Event(1, "when", "verifying", (Event(0.0, "command", "put_back", (("server", 0),)),)),
        Event(1, "when", "held", (Event(0.0, "command", "finish_here"),)),
        Event(9, "at", "after commit", (Event(0.0, "away"),)),
    ],
    # Found by random schedules: the clock of the database was set back between the note of a change and its check.
    "clock": [Event(2, "at", "before check", (Event(0.0, "jump", "", (-4.0,)),))],
}  # fmt: skip


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_store_in_postgresql_goes_the_way_of_the_one_in_memory(name):
    options = {"plan": {"out": 2 if name == "commands" else 1}, "horizon_s": 160.0}
    ours = simulate_on_postgresql(SCHEDULES[name], **options)
    assert ours.violations == []
    assert told(ours) == told(simulate(SCHEDULES[name], **options))


def test_a_random_schedule_goes_the_same_way_in_both():
    case = random_case(Random(7), most=8)
    ours = simulate_on_postgresql(case.events, **case.options())
    assert ours.violations == []
    assert told(ours) == told(simulate(case.events, **case.options()))
