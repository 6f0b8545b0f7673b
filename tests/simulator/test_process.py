"""The simulator as a process of its own, over a real socket."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import pytest

from tests.issuer import free_port

pytestmark = pytest.mark.process

CONTROL = {"X-Simulator-Token": "secret"}


@contextmanager
def simulator(*arguments):
    port = free_port()
    command = [sys.executable, "-m", "portal.simulator", "--port", str(port), *arguments]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DJANGO")}
    process = subprocess.Popen(command, env={**environment, "SIMULATOR_CONTROL_TOKEN": "secret"})
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=2.0)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                client.get("/_sim/clock", headers=CONTROL)
                break
            except httpx.ConnectError:
                assert process.poll() is None, "the simulator ended by itself"
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield process, client
    finally:
        client.close()
        if process.poll() is None:
            process.kill()
        process.wait()


def log_in(client):
    credentials = {"username": "demo", "apiKey": "demo-api-key"}
    access = client.post("/v2.0/tokens", json={"auth": {"RAX-KSKEY:apiKeyCredentials": credentials}}).json()[
        "access"
    ]
    urls = {s["name"]: s["endpoints"][0]["publicURL"] for s in access["serviceCatalog"]}
    return {"X-Auth-Token": access["token"]["id"]}, urls


def test_a_lost_answer_is_a_broken_connection_and_silence_a_time_out():
    with simulator("--scenario", "launch") as (_, client):
        headers, urls = log_in(client)
        url = urls["cloudLoadBalancers"] + "/loadbalancers"
        for kind, error in (
            ("reset_after", (httpx.RemoteProtocolError, httpx.ReadError)),
            ("timeout_after", httpx.ReadTimeout),
        ):
            client.post("/_sim/faults", headers=CONTROL, json={"kind": kind, "route": "lb.list"})
            with pytest.raises(error):
                client.get(url, headers=headers, timeout=0.5)
        assert client.get(url, headers=headers).status_code == 200
        assert client.get("/site/71/").headers["X-Served-By"].startswith("web-0")


def test_deleted_servers_stay_deleted_after_kill_9_and_after_a_stop(tmp_path):
    file = tmp_path / "with space" / "cloud.json"
    arguments = ("--scenario", "launch", "--speed", "600", "--state", str(file))
    with simulator(*arguments) as (process, client):
        headers, urls = log_in(client)
        servers = urls["cloudServersOpenStack"] + "/servers"
        first, second = (s["id"] for s in client.get(servers, headers=headers).json()["servers"][:2])
        assert client.delete(f"{servers}/{first}", headers=headers).status_code == 204
        process.send_signal(signal.SIGKILL)
        process.wait()
    with simulator(*arguments) as (process, client):
        _, urls = log_in(client)
        servers = urls["cloudServersOpenStack"] + "/servers"
        assert client.get(f"{servers}/{first}", headers=headers).status_code == 404, (
            "its old token is good, too"
        )
        client.delete(f"{servers}/{second}", headers=headers)
        before = json.loads(file.read_text())["now"]
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    after = json.loads(file.read_text())
    saved = {s["server_id"]: s["status"] for s in after["servers"]}
    assert (saved[first], saved[second]) == ("DELETED", "DELETED")
    assert after["now"] > before, "the world was saved once more at the end"


def test_a_wrong_scenario_is_one_sentence_and_no_traceback():
    command = [sys.executable, "-m", "portal.simulator", "--scenario", "nonsense"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stderr.startswith("simulator: There is no scenario 'nonsense'.")
    assert "Traceback" not in done.stderr


def test_the_simulator_needs_no_django():
    code = "import sys, portal.simulator.__main__; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=30).returncode == 0
