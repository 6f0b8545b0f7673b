"""A whole scale-down on real PostgreSQL, Valkey, Celery and the simulator over HTTP, its worker killed with -9
and frozen in each phase. The run ends by itself and the provider's own record of the truth is clean."""

from __future__ import annotations

import os
import signal
import time

import pytest

from portal.demo import approved_plan, open_desk, start
from portal.embedded.handle import start_portal

pytestmark = [pytest.mark.process]

PHASES = ("draining", "removing", "verifying", "deleting")
FROZEN_S = {"draining": 9.0, "removing": 5.0, "verifying": 5.0, "deleting": 5.0}
"""One freeze outlasts the lease, so that the worker wakes up with a lease that is over."""
LIMIT_S = 240.0


@pytest.fixture(scope="module")
def portal():
    # The session's own services are for the other tests: this portal brings its own.
    env = {name: "" for name in ("DATABASE_URL", "REDIS_URL") if name in os.environ}
    env["RUNS_LEASE_S"] = "6"
    with start_portal(
        scenario="launch",
        simulator_args=("--speed", "5", "--pending", "0.8", "1.4"),
        workers={"ticks": 2, "work": 1},
        env=env,
    ) as held:
        yield held


def test_a_scale_down_ends_well_though_its_worker_is_killed_and_frozen_in_each_phase(portal):
    desk = open_desk(portal, lambda text: None)
    run = start(desk, approved_plan(desk, "Killed and frozen", soak_s=4))
    hurt: list[tuple[str, str]] = []
    seen: set[tuple[int, str]] = set()
    ends_at = time.monotonic() + LIMIT_S
    while run["status"] not in {"completed", "aborted", "halted"}:
        assert time.monotonic() < ends_at, f"it did not end: {run['status']} {run['says']} {hurt}"
        run = desk.manager.get(f"/runs/{run['ref']}")
        for lane in run["lanes"]:
            at = (lane["position"], lane["phase"])
            if lane["phase"] in PHASES and at not in seen:
                seen.add(at)
                hurt += _hurt(portal, lane["phase"], hurt)
        time.sleep(0.1)  # the pace of this test's looking
    truth = desk.provider.truth(desk.balancer)
    assert run["status"] == "completed", run["halt"]
    assert {lane["phase"] for lane in run["lanes"]} == {"retired"}
    assert truth["harmed_connections"] == 0
    assert truth["floor_breaches"] == 0
    assert truth["wrong_deletions"] == 0
    assert truth["serving"] == 3
    assert {phase for phase, how in hurt if how == "killed"} >= {"draining", "verifying", "deleting"}
    assert "frozen" in {how for _, how in hurt}
    _changes_are_in_the_journal(desk, run["ref"])


def _hurt(portal, phase, already):
    """Kill the worker the first time that a phase is seen, freeze it the second time."""
    if (phase, "killed") not in already:
        pid = portal.kill("ticks")
        portal.wait_until_back("ticks", not_pid=pid)
        return [(phase, "killed")]
    if (phase, "frozen") not in already:
        portal.kill("ticks", signal.SIGSTOP)
        time.sleep(FROZEN_S[phase])
        portal.kill("ticks", signal.SIGCONT)
        return [(phase, "frozen")]
    return []


def _changes_are_in_the_journal(desk, run_ref):
    """Every change has its line before and its line after; each server was drained, removed, deleted once."""
    entries = desk.manager.get(f"/runs/{run_ref}/journal?limit=200")["results"]
    kinds = [entry["kind"] for entry in entries]
    assert kinds.count("intent") == kinds.count("outcome") >= 9
    assert kinds.count("server_retired") == 3
    assert kinds.count("drained") == 3
