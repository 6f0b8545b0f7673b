"""A fire drill of a whole portal whose worker is killed with -9 while a server is away, and once more while it comes back."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from portal.demo_desk import open_desk
from portal.demo_drills import HOST_FAILURE, begun, led, open_cast
from portal.embedded.handle import start_portal

pytestmark = [pytest.mark.process]


@pytest.fixture
def portal():
    # The session's own services are for the other tests: this portal brings its own.
    env = {name: "" for name in ("DATABASE_URL", "REDIS_URL") if name in os.environ}
    env["RUNS_LEASE_S"] = "6"
    with start_portal(scenario="launch", simulator_args=("--speed", "8"), env=env, forgetful=True) as held:
        yield held


def test_a_drill_whose_worker_is_killed_brings_its_server_back_all_the_same(portal):
    desk = open_desk(portal, lambda text: None)
    cast = open_cast(desk)
    # Starting again takes long enough to be hit in it.
    slow = {"kind": "slow", "route": "server.action", "seconds": 6.0, "times": None}
    desk.provider.http.post("/faults", json=slow).raise_for_status()
    ref = begun(cast, "host_failure", "Killed in mid-drill", {**HOST_FAILURE, "hold_s": 12.0})
    killed: list[str] = []

    def act(state, step):
        (target,) = state["targets"]
        is_away = _status(desk) == "SHUTOFF"
        if target["phase"] in {"hit", "returning"} and is_away and target["phase"] not in killed:
            pid = portal.kill("ticks")
            killed.append(target["phase"])
            portal.wait_until_back("ticks", not_pid=pid)
        return True

    state = led(cast, ref, act)
    assert killed == ["hit", "returning"]
    assert state["status"] == "completed", state["says"]
    assert [one["phase"] for one in state["targets"]] == ["back"]
    assert "undone" in [one["kind"] for one in state["moments"]]
    truth = desk.provider.truth(desk.balancer)
    assert (truth["serving"], truth["servers"]) == (6, 6)
    log = desk.provider.http.get("/truth/log").raise_for_status().json()["log"]
    accepted = Counter(one["what"] for one in log if one["what"].startswith("accepted"))
    # A start may be sent again where its answer was lost with the worker; a stop never.
    assert accepted["accepted: os-stop"] == 1
    assert set(accepted) == {"accepted: os-stop", "accepted: os-start"}


def _status(desk):
    """Return what the provider says of the drill's server."""
    world = desk.provider.http.get("/world").raise_for_status().json()
    return next(one["status"] for one in world["servers"] if one["name"] == "web-06")
