"""`make chaos`: random schedules for some minutes, on every core, judged by the simulator's truth.

    python -m tests.faults.chaos [--drills] [--minutes 5] [--seed N] [--cores N]   search
    python -m tests.faults.chaos [--drills] --only SEED                             one schedule again, with what it broke

Of four schedules three are of scale-downs and one is of a fire drill; with `--drills` all are of drills. Every 50th of each is played
on PostgreSQL as well and must go the same way there. Exit status 1 if a rule was broken.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import queue
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

REPLAY_EVERY = 50
DRILL_EVERY = 4
SAY_EVERY_S = 30.0
MOST_EVENTS = 12
SHOWN = 20


@dataclass
class Played:
    """What one process played since it last told. `broken` are (seed, what)."""

    schedules: int = 0
    drills: int = 0
    replayed: int = 0
    cpu_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    broken: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: Played) -> None:
        self.schedules += other.schedules
        self.drills += other.drills
        self.replayed += other.replayed
        self.cpu_s += other.cpu_s
        self.counts += other.counts
        self.ends += other.ends
        self.broken += other.broken


def play(seed: int, *, drills: bool, on_postgresql: bool) -> Played:
    """Play the schedule of one seed; `drills` for one of a drill whatever the seed."""
    of_drill = drills or seed % DRILL_EVERY == DRILL_EVERY - 1
    return (_play_drill if of_drill else _play_scale_down)(seed, on_postgresql=on_postgresql)


def _play_scale_down(seed: int, *, on_postgresql: bool) -> Played:
    from tests.faults.schedules import random_case
    from tests.faults.simulation import simulate

    played = Played(schedules=1)
    began = time.process_time()
    try:
        case = random_case(Random(seed), most=MOST_EVENTS)
        result = simulate(case.events, **case.options())
        played.broken += [(seed, what) for what in result.violations]
        played.counts += result.counts
        played.ends[result.status.value if result.halt is None else f"halted: {result.halt.code}"] += 1
        if on_postgresql:
            from tests.faults.on_postgresql import simulate_on_postgresql, told

            played.replayed = 1
            there = simulate_on_postgresql(case.events, **case.options())
            played.broken += [(seed, f"on PostgreSQL: {what}") for what in there.violations]
            if told(there) != told(result):
                played.broken.append((seed, "on PostgreSQL the run went another way than in memory"))
    except Exception:  # noqa: BLE001  whatever it is, it is a finding: the search goes on and tells it
        played.broken.append((seed, traceback.format_exc()))
    played.cpu_s = time.process_time() - began
    return played


def _play_drill(seed: int, *, on_postgresql: bool) -> Played:
    from tests.drills.schedules import a_play

    played = Played(schedules=1, drills=1)
    began = time.process_time()
    try:
        schedule = a_play(seed)
        happens = [*schedule.pending, *schedule.deaths.values()]
        result = schedule.play()
        played.broken += [(seed, what) for what in result.broken]
        played.counts += Counter(one.kind if one.kind != "fault" else one.name for one in happens)
        played.counts += Counter(one.name for one in result.sent)
        ended = result.progress.ending
        how = result.status.value if ended is None else f"{result.status.value}: {ended.value}"
        played.ends[how] += 1
        if on_postgresql:
            from tests.drills import on_postgresql as there

            played.replayed = 1
            also = there.on_postgresql(partial(a_play, seed))
            played.broken += [(seed, f"on PostgreSQL: {what}") for what in also.broken]
            if there.told(also) != there.told(result):
                played.broken.append((seed, "on PostgreSQL the drill went another way than in memory"))
    except Exception:  # noqa: BLE001  whatever it is, it is a finding: the search goes on and tells it
        played.broken.append((seed, traceback.format_exc()))
    played.cpu_s = time.process_time() - began
    return played


def _work(number: int, cores: int, first: int, until: float, told: Any, drills: bool) -> None:
    import django

    django.setup()
    seed = first + number
    while time.monotonic() < until:
        turn = (seed - first) // cores
        # One more for each kind that takes turns, so that it is not always the same one's turn.
        on_postgresql = turn % (REPLAY_EVERY + 1) == REPLAY_EVERY
        told.put(play(seed, drills=drills, on_postgresql=on_postgresql))
        seed += cores


def search(minutes: float, first: int, cores: int, *, drills: bool = False) -> Played:
    """Play schedules on `cores` processes for so many minutes; says how it goes meanwhile."""
    spawn = multiprocessing.get_context("spawn")
    told = spawn.Queue()
    until = time.monotonic() + 60 * minutes
    workers = [spawn.Process(target=_work, args=(n, cores, first, until, told, drills)) for n in range(cores)]
    for worker in workers:
        worker.start()
    total, said = Played(), time.monotonic()
    while any(worker.is_alive() for worker in workers) or not told.empty():
        try:
            total.add(told.get(timeout=1.0))
        except queue.Empty:
            pass
        if time.monotonic() - said >= SAY_EVERY_S:
            said = time.monotonic()
            print(
                f"  {total.schedules} schedules, {len({seed for seed, _ in total.broken})} broken", flush=True
            )
    for worker in workers:
        worker.join()
        if worker.exitcode:
            total.broken.append((0, f"a process of the search ended with {worker.exitcode}"))
    return total


def say(total: Played, first: int, *, drills: bool = False) -> None:
    """Print what was played and what broke."""
    events = {name: total.counts[name] for name in sorted(total.counts)}
    changes = {name: events.pop(name) for name in list(events) if name.startswith("set_") or name in {"remove", "delete", "add", "stop", "start", "image", "create", "reboot"}}  # fmt: skip
    of = f"{total.drills} of them of fire drills, {total.replayed} on PostgreSQL too"
    print(f"schedules  {total.schedules} (seeds from {first}), {of}")
    print(f"speed      {total.schedules / max(total.cpu_s, 1e-9):.1f} a second of one core, those included")
    print(f"faults     {sum(events.values())}: " + ", ".join(f"{n} {name}" for name, n in events.items()))
    print(f"changes    {sum(changes.values())}: " + ", ".join(f"{n} {name}" for name, n in changes.items()))
    print("ends       " + ", ".join(f"{n} {name}" for name, n in total.ends.most_common()))
    seeds = sorted({seed for seed, _ in total.broken})
    print(f"broken     {len(seeds)}")
    for seed, what in total.broken[:SHOWN]:
        print(f"  seed {seed}: {what}")
    if seeds:
        print(
            f"One of them again: python -m tests.faults.chaos {'--drills ' if drills else ''}--only {seeds[0]}"
        )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="make chaos", description="Random schedules of scale-downs and fire drills."
    )
    parser.add_argument("--drills", action="store_true", help="schedules of fire drills alone")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long (5)")
    parser.add_argument("--seed", type=int, default=None, help="the first seed (by the clock)")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="how many processes")
    parser.add_argument(
        "--only", type=int, default=None, metavar="SEED", help="one schedule, in memory and on PostgreSQL"
    )
    wanted = parser.parse_args(arguments)
    first = wanted.seed if wanted.seed is not None else int(time.time())
    from tests.plugin import services_for_tests

    with services_for_tests():
        import django

        django.setup()
        from django.core.management import call_command

        from portal.embedded.migrating import quickly

        print("Preparing the database …", flush=True)
        with quickly():
            call_command("migrate", verbosity=0)
        if wanted.only is not None:
            total, first = play(wanted.only, drills=wanted.drills, on_postgresql=True), wanted.only
        else:
            total = search(wanted.minutes, first, wanted.cores, drills=wanted.drills)
    say(total, first, drills=wanted.drills)
    return 1 if total.broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
