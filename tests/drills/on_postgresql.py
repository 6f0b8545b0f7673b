"""The schedules of drills on PostgreSQL: the real store and services, on the simulation's clock, undone afterwards."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from drills.driver import KIND
from tests.drills.simulation import Play, Played
from tests.faults.on_postgresql import PgRuns, of_the_simulation, undone_afterwards


def on_postgresql(make: Any) -> Played:
    """Return what becomes of the schedule `make(runs=...)` with its run in PostgreSQL; nothing of it is kept."""
    with undone_afterwards():
        play: Play = make(runs=PgRuns)
        with of_the_simulation(KIND, play.facts_of, play.runs):
            played = play.play()
        played.run = SimpleNamespace(journal=played.run.journal)
        return played


def told(played: Played) -> Any:
    """Return what a drill did and wrote, apart from names and numbers that a store gives."""
    return (
        [(one.name, one.target, round(one.at_s, 3)) for one in played.sent],
        [(line.entry.kind, line.entry.subject, line.token) for line in played.run.journal],
        played.status,
        played.halt and played.halt.code,
        played.progress.ending,
        [(way.server_id, way.phase) for way in played.progress.targets],
    )
