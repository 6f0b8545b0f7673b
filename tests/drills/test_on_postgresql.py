"""A schedule of a drill goes the same way in PostgreSQL as in memory: same changes, same journal, same end."""

from __future__ import annotations

from functools import partial

import pytest

from drills.scenarios.types import InjectionKind
from tests.drills.on_postgresql import on_postgresql, told
from tests.drills.schedules import a_play
from tests.drills.simulation import Event, Play, plan_for

pytestmark = pytest.mark.django_db

SCHEDULES = {
    "deaths": [Event(20, "die"), Event(60, "die"), Event(0.0, "fault", "server.action timeout_after", (1, None))],
    "stopped": [Event(25, "hang", "", (40.0,)), Event(12.0, "command", "stop")],
    "standstill": [Event(6.0, "standstill")],
}  # fmt: skip


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_store_in_postgresql_goes_the_way_of_the_one_in_memory(name):
    make = partial(Play, SCHEDULES[name], build=lambda world: plan_for(world, InjectionKind.STOP))
    ours = on_postgresql(make)
    assert ours.broken == []
    assert told(ours) == told(make().play())
    assert ours.sent


def test_a_random_schedule_goes_the_same_way_in_both():
    ours = on_postgresql(partial(a_play, 70_011))
    assert ours.broken == []
    assert told(ours) == told(a_play(70_011).play())
