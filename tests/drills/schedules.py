"""Schedules of drills drawn by chance from a seed, for the fault tests and for `make chaos`."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from drills.scenarios.types import InjectionKind
from tests.drills.simulation import Event, Play, plan_for
from tests.faults.schedules import FAULTS
from tests.faults.simulation import ToldRuns

ROUTES = ("node.update", "server.action", "lb.show", "server.show", "*")
MET = [one for one in FAULTS if one[0].split(" ")[0] in ROUTES]
INJECTIONS = [
    InjectionKind.NODE_OUT,
    InjectionKind.STOP,
    InjectionKind.SOFT_REBOOT,
    InjectionKind.HARD_REBOOT,
    InjectionKind.ROLLING_REBOOT,
]


def an_event(random: Random, servers) -> Event:
    at_s = random.uniform(0.0, 90.0)
    what = random.choice(["fault", "fault", "fault", "die", "die", "hang", "command", "word", "hand"])
    if what == "fault":
        name, *args = random.choice(MET)
        return Event(at_s, "fault", name, tuple(args))
    if what == "die":
        return Event(random.randint(1, 200), "die")
    if what == "hang":
        return Event(random.randint(1, 200), "hang", "", (random.choice([8.0, 14.0, 40.0]),))
    if what == "command":
        name = random.choice(["stop", "real", "undo_now", "abort", "pause", "hard_reboot"])
        return Event(at_s, "command", name, (("server", random.choice(servers)),))
    if what == "hand":
        name = random.choice(["rename_server", "lock_server", "kill_server", "stop_server"])
        server = random.choice(servers)
        return Event(at_s, "hand", name, (server, "other") if name == "rename_server" else (server,))
    kind, *args = random.choice(
        [("standstill",), ("fact", "approval_problem", "It was withdrawn."), ("demand", "", 3.0)]
    )
    return Event(at_s, kind, args[0] if args else "", tuple(args[1:]))


def a_play(seed: int, *, runs: Any = ToldRuns) -> Play:
    random = Random(seed)
    injection = random.choice(INJECTIONS)

    def build(world):
        plan = plan_for(
            world,
            injection,
            targets=random.choice([1, 1, 2, 3]),
            hold_s=random.choice([5.0, 30.0]),
        )
        assert plan.stops is not None
        return replace(plan, stops=replace(plan.stops, floor=random.choice([1, 2, 3])))

    play = Play(world=random.choice(["launch", "two_balancers"]), seed=seed % 7 + 1, build=build, runs=runs)
    servers = list(play.world.servers)
    events = [an_event(random, servers) for _ in range(random.randint(1, 7))]
    play.pending = sorted((e for e in events if e.kind not in {"die", "hang"}), key=lambda e: e.at_s)
    play.deaths = {int(e.at_s): e for e in events if e.kind in {"die", "hang"}}
    return play
