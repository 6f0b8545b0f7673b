"""Many runs at once, each taking servers out of a pool of its own, beside a Celery chain that does the same with a message a step.

How long all take over the ideal (a run's servers one after another, each as long as the rules need), what workers and
PostgreSQL (the chain: its workers) work for it, beside what httpx alone needs for as many calls as the rules made the portal
ask, how much memory they take, how late ticks come; and the same with a worker
killed (`kill -9`) in the middle, after which everything must have happened once and in order.
`FLEET_RUNS` and `FLEET_SERVERS` say how many. With `FLEET_SOAK_S` plans are as in life, with a soak and the stretch before the
first server: then nothing is held against an ideal or a chain, what counts is that no run halts.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx

from bench.provider import BALANCER, GONE_AFTER_S, STAY
from bench.speed import (
    CALLS,
    DRAIN_S,
    LOOP_CALLS,
    SILENT_S,
    approved_plan,
    free_port,
    process,
    ticking,
    unavoidable_s,
)

RUNS, SERVERS = 40, 3
WORKERS = 2
SOAK_S = float(os.environ.get("FLEET_SOAK_S", "0"))
LIMIT_S = 3600.0
PREPARED_AT_ONCE = 8
TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


# --- what processes took -------------------------------------------------------------------------------------------


def _stat(pid: int) -> tuple[int, float, float]:
    """Return (parent, CPU seconds of its own, CPU seconds of its ended children); 0 of one that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0.0, 0.0
    user, system, child_user, child_system = (int(field) * TICK_S for field in fields[11:15])
    return int(fields[1]), user + system, child_user + child_system


def _family(pid: int) -> set[int]:
    """Return a process and all below it."""
    parents = {
        int(place.name): _stat(int(place.name))[0]
        for place in Path("/proc").iterdir()
        if place.name.isdigit()
    }
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process and all below it have taken, ended ones included."""
    return sum(own + ended for _, own, ended in map(_stat, _family(pid)))


def memory_mib(pid: int) -> float:
    """Return the memory that a process and all below it hold for themselves (proportional set size, MiB)."""
    total = 0.0
    for one in _family(pid):
        with suppress(OSError):
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
            total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


def _postmaster() -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = int(cursor.fetchone()[0])
    return _stat(backend)[0]


def share(values: list[float], part: float) -> float:
    """Return the value under which that part of all lies."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))] if values else 0.0


def _say(text: str) -> None:
    """Tell whoever waits; the figures alone go to the standard output."""
    print(text, file=sys.stderr, flush=True)


# --- the portal ------------------------------------------------------------------------------------------------------


def _kill(pid: int) -> None:
    for one in _family(pid):
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)


def portal(origin: str, runs: int, servers: int, first_tenant: int, *, killed: bool) -> dict[str, float]:
    """Return what so many runs at once took with `WORKERS` worker processes; one is killed half-way if asked for."""
    from django.db import connection
    from django.db.models import F

    from portal.runs.models import Run
    from scaledown import services

    def prepared(number: int) -> tuple[Any, Any]:
        try:
            return approved_plan(origin, f"{first_tenant + number}", out=servers, soak_s=SOAK_S)
        finally:
            connection.close()  # this thread's

    with ThreadPoolExecutor(
        PREPARED_AT_ONCE
    ) as threads:  # most of it is waiting for the next look at its pool
        plans = list(threads.map(prepared, range(runs)))
    _say(f"{runs} plans are approved")
    postmaster = _postmaster()
    late: list[float] = []
    # One worker, as the chain has it; two where one of them is killed.
    names = ["one", "two"] if killed else ["one"]
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        workers = [stack.enter_context(ticking(place, name, WORKERS // len(names))) for name in names]
        before_s = cpu_s(postmaster) + sum(cpu_s(worker.pid) for worker in workers)
        refs = []
        began = time.monotonic()
        for plan, manager in plans:
            refs.append(services.start_run(plan, actor=manager, seen_digest=plan.digest).ref)
        ours = Run.objects.filter(ref__in=refs)
        kill_at = began + servers * unavoidable_s(DRAIN_S + SILENT_S, len(CALLS)) / 2
        memory = 0.0
        while (left := ours.filter(ended_at=None).count()) > 0:
            if time.monotonic() - began > LIMIT_S:
                raise TimeoutError(f"{left} of {runs} runs are not over.")
            if len(workers) == 2 and time.monotonic() > kill_at:
                _kill(workers[1].pid)
                workers.append(stack.enter_context(ticking(place, "three", 1)))
            # What waits for its turn has kept the figure of long ago.
            on_its_way = ours.filter(ended_at=None).exclude(patient_mark=F("token") + F("command_seq"))
            late += [value for value in on_its_way.values_list("late_s", flat=True) if value]
            memory = max(memory, sum(memory_mib(worker.pid) for worker in workers))
            time.sleep(0.5)
        took_s = time.monotonic() - began
        worked_s = cpu_s(postmaster) + sum(cpu_s(worker.pid) for worker in workers) - before_s
    p50_ms, p99_ms = (1000 * share(late, part) for part in (0.5, 0.99))
    _say(
        f"{runs} runs of {servers} took {took_s:.1f} s, {worked_s:.1f} s of the processor, {memory:.0f} MiB; "
        f"ticks late by {p50_ms:.0f} ms (median), {p99_ms:.0f} ms (of a hundred, 99 less)"
    )
    ended = set(ours.values_list("status", flat=True))
    if ended != {"completed"}:
        raise AssertionError(f"Not all runs are completed: {ended}.")
    return {
        "s": took_s,
        "cpu_s": worked_s,
        "memory_mib": memory,
        "late_p50_ms": p50_ms,
        "late_p99_ms": p99_ms,
    }


# --- the chain -------------------------------------------------------------------------------------------------------


def chain(origin: str, runs: int, servers: int) -> dict[str, float]:
    """Return what the chain took for the same."""
    broker = os.environ["REDIS_URL"].rpartition("/")[0] + "/9"
    os.environ.update(CHAIN_BROKER=broker, CHAIN_ORIGIN=origin)
    import redis

    from bench.chain import DONE, step

    told = redis.Redis.from_url(broker)
    told.delete(DONE)
    step.app.conf.broker_url = broker
    argv = (
        "-m",
        "celery",
        "-q",
        "-A",
        "bench.chain",
        "worker",
        "-c",
        f"{WORKERS}",
        "-l",
        "ERROR",
        "-Q",
        "chain",
    )
    env = {"CHAIN_BROKER": broker, "CHAIN_ORIGIN": origin, "PYTHONWARNINGS": "ignore"}
    with process(*argv, "--without-gossip", "--without-mingle", env=env) as worker:
        time.sleep(3.0)
        began, worked_s = time.monotonic(), cpu_s(worker.pid)
        for number in range(runs):
            step.delay(f"chain{number}", list(range(STAY + servers, STAY, -1)), "drain")
        memory = 0.0
        while int(told.get(DONE) or 0) < runs:
            if time.monotonic() - began > LIMIT_S:
                raise TimeoutError("The chain does not end.")
            memory = max(memory, memory_mib(worker.pid))
            time.sleep(0.2)
        return {
            "s": time.monotonic() - began,
            "cpu_s": cpu_s(worker.pid) - worked_s,
            "memory_mib": memory,
        }


# --- the calls alone --------------------------------------------------------------------------------------------------

AT_ONCE = 3
"""As a look asks; httpx takes longer for each the more are on their way."""


async def _ask(origin: str, tenant: str, calls: int) -> None:
    path = f"/lb/{tenant}/loadbalancers/{BALANCER}"

    async def some() -> None:
        for _ in range(calls // AT_ONCE):
            await http.get(path)

    async with httpx.AsyncClient(base_url=origin, trust_env=False) as http:
        await asyncio.gather(*(some() for _ in range(AT_ONCE)))


def calls_alone_cpu_s(origin: str, calls: int) -> float:
    """Return the CPU seconds that httpx needs for so many calls on kept connections when nothing else is done."""
    began = time.process_time()
    asyncio.run(_ask(origin, "9999", calls))
    return time.process_time() - began


def _truth(origin: str) -> dict[str, int]:
    found: dict[str, int] = httpx.get(f"{origin}/truth", trust_env=False).json()
    return found


def _measure(runs: int, servers: int) -> dict[str, float]:
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    os.environ.update(EGRESS_ALLOW=f"127.0.0.1:{port}", CLOUD_RATE_FACTOR="100000", LOG_LEVEL="ERROR")
    import django
    from django.conf import settings
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    with process("-m", "bench.provider", f"{port}", env={}) as provider:
        assert provider.stdout is not None
        provider.stdout.readline()
        calm = portal(origin, runs, servers, 10_000, killed=False)
        calls = _truth(origin)["calls"]
        if SOAK_S:
            return {
                "fleet_soaked_s": round(calm["s"], 1),
                "fleet_soaked_late_p99_ms": round(calm["late_p99_ms"], 1),
            }
        hurt = portal(origin, runs, servers, 20_000, killed=True)
        theirs = chain(origin, runs, servers)
        truth = _truth(origin)
        alone_s = calls_alone_cpu_s(origin, calls)
    if truth["cut"] or truth["wrong"] or truth["twice"] or truth["deleted"] != 3 * runs * servers:
        raise AssertionError(f"Not as it must be: {truth}")
    ideal_s = servers * unavoidable_s(DRAIN_S + SILENT_S, len(CALLS))
    chain_ideal_s = servers * unavoidable_s(GONE_AFTER_S, LOOP_CALLS)
    lease_s = float(settings.RUNS["LEASE_S"])
    return {
        "fleet_runs": float(runs),
        "fleet_servers": float(servers),
        "fleet_s": round(calm["s"], 1),
        "fleet_over_ideal": round(calm["s"] / ideal_s, 2),
        "fleet_chain_over_ideal": round(theirs["s"] / chain_ideal_s, 2),
        "fleet_cpu_s": round(calm["cpu_s"], 1),
        "fleet_chain_cpu_s": round(theirs["cpu_s"], 1),
        "fleet_cpu_over_chain": round(calm["cpu_s"] / theirs["cpu_s"], 2),
        "fleet_calls_per_server": round(calls / runs / servers, 1),
        "fleet_calls_alone_cpu_s": round(alone_s, 1),
        "fleet_calls_alone_over_chain": round(alone_s / theirs["cpu_s"], 2),
        "fleet_memory_mib": round(calm["memory_mib"], 1),
        "fleet_chain_memory_mib": round(theirs["memory_mib"], 1),
        "fleet_late_p50_ms": round(calm["late_p50_ms"], 1),
        "fleet_late_p99_ms": round(calm["late_p99_ms"], 1),
        "fleet_killed_s": round(hurt["s"], 1),
        "fleet_killed_over_allowed": round(hurt["s"] / (1.1 * calm["s"] + lease_s), 2),
    }


def main() -> None:
    """Print the figures as one line of JSON."""
    runs = int(os.environ.get("FLEET_RUNS", RUNS))
    print(json.dumps(_measure(runs, int(os.environ.get("FLEET_SERVERS", SERVERS)))))


if __name__ == "__main__":
    main()
