"""The whole portal as `make run` starts it: every process, on free ports, in a directory of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import psutil
import pytest

from portal.embedded import places, start_portal
from portal.embedded.postgres import forget

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def data_dir():
    made = Path(tempfile.mkdtemp(prefix="steady portal "))
    made.chmod(0o711)
    yield made
    forget(made)
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def portal(data_dir):
    with start_portal(data_dir, forgetful=True) as held:
        yield held


def answers(url):
    return httpx.get(f"{url}/healthz", trust_env=False, timeout=10).status_code == 200


def test_every_process_is_up_and_the_portal_answers(portal):
    assert set(portal.pids) == {"postgres", "valkey", "simulator", "web", "ticks", "work", "loads", "beat"}
    assert portal.url.startswith("http://localhost:")
    assert answers(portal.url)


def test_the_simulators_control_token_is_the_simulators_alone(portal):
    for name, pid in portal.pids.items():
        if name not in ("simulator", "postgres", "valkey"):
            assert portal.control_token not in psutil.Process(pid).environ().values(), name
    refused = httpx.get(f"{portal.simulator_url}/_sim/truth", trust_env=False)
    assert refused.status_code in (401, 403, 404)


def test_only_this_machine_reaches_the_portal(portal):
    for name in ("web", "simulator", "valkey"):
        listening = [
            connection.laddr.ip
            for connection in psutil.Process(portal.pids[name]).net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert set(listening) == {"127.0.0.1"}, name


@pytest.mark.parametrize("name", ["web", "ticks"])
def test_a_killed_process_of_the_portal_comes_back(portal, name):
    pool = psutil.Process(portal.pids[name]).children(recursive=True)
    killed = portal.kill(name, signal.SIGKILL, parent_only=True)
    portal.wait_until_back(name, not_pid=killed, timeout_s=60)
    assert answers(portal.url)
    _, alive = psutil.wait_procs(pool, timeout=5)
    assert alive == []


def test_a_taken_port_is_said_before_anything_starts(data_dir):
    with socket.create_server(("127.0.0.1", 0)) as other, tempfile.TemporaryDirectory() as data:
        port = other.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "portal.embedded", "run", "--data", data],
            cwd=places.REPOSITORY,
            env={**os.environ, "PORT": str(port), "DATABASE_URL": "", "REDIS_URL": ""},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        forget(Path(data))
    assert done.returncode == 1
    assert done.stderr == (
        f"Cannot start: Port {port} is taken by another program; end that one, or choose another port: "
        f"make run PORT={port + 1}\n"
    )


def test_make_run_says_where_it_is_ends_on_ctrl_c_and_keeps_its_addresses(portal, data_dir):
    url, simulator_url = portal.url, portal.simulator_url
    portal.stop()
    run = subprocess.Popen(
        [sys.executable, "-m", "portal.embedded", "run", "--port", "0", "--data", str(data_dir)],
        cwd=places.REPOSITORY,
        env={**os.environ, "DATABASE_URL": "", "REDIS_URL": ""},
        stdout=subprocess.PIPE,
        text=True,
    )
    said = []
    for line in run.stdout:
        said.append(line)
        if "Steady State is ready" in line:
            break
    assert f"Steady State is ready:  {url}\n" in said[-1]
    assert answers(url)
    children = psutil.Process(run.pid).children(recursive=True)
    assert httpx.get(simulator_url, trust_env=False).status_code < 500
    run.send_signal(signal.SIGINT)
    run.stdout.read()
    assert run.wait(timeout=60) == 0
    run.stdout.close()
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []
