"""A whole scale-down on real PostgreSQL, Valkey, Celery and the simulator over HTTP, its worker killed with -9
and frozen in each phase. The run ends by itself and the provider's own record of the truth is clean."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter

import psycopg
import pytest
import redis
from psycopg.rows import dict_row

from portal.demo_desk import approved_plan, open_desk, start
from portal.embedded.handle import start_portal

pytestmark = [pytest.mark.process]

PHASES = ("draining", "removing", "verifying", "held", "deleting", "confirming")
SHORT = "confirming"
"""The last look at nodes and probes, which a server passes in one tick or two: hit where it can be, not required."""
HOW = ("killed", "frozen")
FROZEN_S = {"draining": 8.0}
"""This freeze outlasts the lease, so that the worker wakes up with a lease that is over."""
SHORTLY_S = 3.0
REMOVAL_S = 4.0
LOOK_S = 1.5
LIMIT_S = 300.0
AROUND = ("postgres", "valkey", "web", "beat", "ticks")
"""What is killed with -9 beside the worker; PostgreSQL comes back by its log, Valkey with nothing in it."""
RECOVERS_S = 30.0


@pytest.fixture(scope="module")
def portal():
    # The session's own services are for the other tests: this portal brings its own.
    env = {name: "" for name in ("DATABASE_URL", "REDIS_URL") if name in os.environ}
    env["RUNS_LEASE_S"] = "6"
    with start_portal(
        scenario="launch",
        simulator_args=("--speed", "8", "--pending", "0.8", "1.4"),
        workers={"ticks": 2, "work": 1},
        env=env,
    ) as held:
        yield held


def test_a_scale_down_ends_well_though_its_worker_is_killed_and_frozen_in_each_phase(portal):
    desk = open_desk(portal, lambda text: None)
    _removals_take_long(desk)
    run = start(desk, approved_plan(desk, "Killed and frozen", soak_s=4, hold_s=4))
    hurt: set[tuple[str, str]] = set()
    tried: set[tuple[int, str]] = set()
    ends_at = time.monotonic() + LIMIT_S
    while run["status"] not in {"completed", "aborted", "halted"}:
        assert time.monotonic() < ends_at, f"it did not end: {run['status']} {run['says']} {sorted(hurt)}"
        run = desk.manager.get(f"/runs/{run['ref']}")
        for lane in run["lanes"]:
            at = (lane["position"], lane["phase"])
            if lane["phase"] not in PHASES or at in tried:
                continue
            tried.add(at)
            if lane["phase"] == "deleting":
                _looks_at_it_take_long(desk, lane["server_name"])
            hurt |= _hurt(desk, run["ref"], lane, hurt)
        time.sleep(0.05)  # the pace of this test's looking
    truth = desk.provider.truth(desk.balancer)
    assert run["status"] == "completed", run["halt"]
    assert {lane["phase"] for lane in run["lanes"]} == {"retired"}
    assert truth["harmed_connections"] == 0
    assert truth["floor_breaches"] == 0
    assert truth["wrong_deletions"] == 0
    assert truth["serving"] == 3
    assert hurt >= {(phase, how) for phase in PHASES if phase != SHORT for how in HOW}
    _changes_are_in_the_journal(desk, run["ref"])
    _each_change_was_accepted_once(desk)


def test_a_scale_down_ends_well_though_everything_around_it_is_killed_in_each_phase(portal, capfd):
    desk = open_desk(portal, lambda text: None)
    desk.provider.show("launch")
    _removals_take_long(desk)
    run = start(desk, approved_plan(desk, "Everything around it killed", soak_s=4, hold_s=4))["ref"]
    killed: dict[tuple[str, str], float] = {}
    deadline = time.monotonic() + LIMIT_S
    slowed = set()
    while (row := _row(portal, run))["status"] not in {"completed", "aborted", "halted"}:
        assert time.monotonic() < deadline, f"it did not end: {row} {sorted(killed)}"
        for way in row["progress"]["servers"]:
            if way["phase"] == "deleting" and way["name"] not in slowed:
                slowed.add(way["name"])
                _looks_at_it_take_long(desk, way["name"])
        phases = {way["phase"] for way in row["progress"]["servers"]} & {*PHASES}
        due = [
            (phase, name)
            for phase in PHASES
            if phase in phases
            for name in AROUND
            if (phase, name) not in killed
        ]
        if due:
            killed[due[0]] = _killed_and_recovered_s(portal, run, due[0][1])
        time.sleep(0.05)  # the pace of this test's looking
    truth = desk.provider.truth(desk.balancer)
    assert row["status"] == "completed", row["halt_says"]
    assert (truth["harmed_connections"], truth["floor_breaches"], truth["wrong_deletions"]) == (0, 0, 0)
    assert truth["serving"] == 3
    _each_change_was_accepted_once(desk)
    for name in AROUND:
        took = sorted(s for (_, what), s in killed.items() if what == name)
        with capfd.disabled():
            print(
                f"\n{name} killed {len(took)} times: the run's next tick came after {took[0]:.1f} to {took[-1]:.1f} s"
            )
    assert {phase for phase, _ in killed} >= {*PHASES} - {SHORT}
    assert {name for _, name in killed} == {*AROUND}
    assert max(killed.values()) < RECOVERS_S


def _killed_and_recovered_s(portal, run, name):
    """Kill a process with -9, and what Valkey holds with it; return after how many seconds the run was ticked again."""
    # Whoever lost Valkey or PostgreSQL just before may be starting anew.
    portal.wait_until(lambda held: held.is_up(name), timeout_s=RECOVERS_S)
    token, began = _row(portal, run)["token"], time.monotonic()
    if name == "valkey":
        redis.Redis.from_url(portal.env["REDIS_URL"]).flushall()
    pid = portal.kill(name)
    portal.wait_until_back(name, not_pid=pid)
    while (row := _row(portal, run))["token"] == token and row["next_tick_at"] is not None:
        assert time.monotonic() - began < RECOVERS_S, f"{name} is back, and nobody looks at the run"
        time.sleep(0.05)  # the pace of this test's looking
    return time.monotonic() - began


def _row(portal, ref):
    """Return the run as PostgreSQL has it, as soon as it answers."""
    until = time.monotonic() + RECOVERS_S
    while True:
        try:
            with psycopg.connect(
                portal.env["DATABASE_URL"], row_factory=dict_row, connect_timeout=5
            ) as database:
                return database.execute("SELECT * FROM runs_run WHERE ref = %s", [ref]).fetchone()
        except psycopg.OperationalError:
            assert time.monotonic() < until, "PostgreSQL does not come back"
            time.sleep(0.1)  # the pace of this test's asking


def _order_fault(desk, **fault):
    desk.provider.http.post("/faults", json={"times": None, **fault}).raise_for_status()


def _removals_take_long(desk):
    """A balancer stays PENDING_UPDATE for seconds when a node is taken away: long enough to be hit in it."""
    _order_fault(desk, kind="lb_slow", route="node.delete", seconds=REMOVAL_S)


def _looks_at_it_take_long(desk, name):
    """Each look at this server takes a while from now on: so does confirming that it is gone."""
    servers = desk.provider.http.get("/world").raise_for_status().json()["servers"]
    server = next(one for one in servers if one["name"] == name)
    _order_fault(desk, kind="delay", route="server.show", target=server["id"], seconds=LOOK_S)


def _hurt(desk, run_ref, lane, already):
    """Kill or freeze the worker; return what it was if the run stood in this phase while nobody worked on it."""
    how = next((how for how in HOW if (lane["phase"], how) not in already), None)
    if how is None:
        return set()
    portal = desk.portal
    pid = portal.kill("ticks", signal.SIGKILL if how == "killed" else signal.SIGSTOP)
    lanes = desk.manager.get(f"/runs/{run_ref}")["lanes"]
    was_hit = next(one for one in lanes if one["position"] == lane["position"])["phase"] == lane["phase"]
    if how == "killed":
        portal.wait_until_back("ticks", not_pid=pid)
    else:
        time.sleep(FROZEN_S.get(lane["phase"], SHORTLY_S))
        portal.kill("ticks", signal.SIGCONT)
    return {(lane["phase"], how)} if was_hit else set()


def _each_change_was_accepted_once(desk):
    """The provider itself saw three drains, three removals and three deletions, and nothing else of ours."""
    log = desk.provider.http.get("/truth/log").raise_for_status().json()["log"]
    accepted = Counter(entry["what"] for entry in log if entry["what"].startswith("accepted"))
    assert accepted == {"accepted: nodes": 3, "accepted: delete": 3, "accepted: server delete": 3}


def _changes_are_in_the_journal(desk, run_ref):
    """Every change has its line before and its line after; each server was drained, removed, deleted once."""
    entries = desk.manager.get(f"/runs/{run_ref}/journal?limit=200")["results"]
    kinds = [entry["kind"] for entry in entries]
    assert kinds.count("intent") == kinds.count("outcome") >= 9
    assert kinds.count("server_retired") == 3
    assert kinds.count("drained") == 3
