"""A whole scale-down on real PostgreSQL, Valkey, Celery and the simulator over HTTP, its worker killed with -9
and frozen in each phase. The run ends by itself and the provider's own record of the truth is clean."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter

import pytest

from portal.demo import approved_plan, open_desk, start
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
