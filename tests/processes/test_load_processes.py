"""A load under a real Celery worker: the worker is killed, frozen or told to stop, and the load ends with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis
from django.conf import settings
from django.db import connection

from capacity.loads.models import LoadRun
from portal import txt
from portal.runs.models import Run
from tests.loads.rows import fields, prove, started
from tests.loads.site import Site
from tests.scaledown.rows import desk

pytestmark = [pytest.mark.process, pytest.mark.django_db(transaction=True)]
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def site(settings, monkeypatch):
    one = Site()
    settings.EGRESS_ALLOW = [one.place]
    monkeypatch.setattr(txt, "txt_records", lambda name: ())
    yield one
    one.close()


class Worker:
    """One for loads and ticks, on the test's own database and Redis number."""

    def __init__(self, site, place):
        given = urlsplit(os.environ["DATABASE_URL"])
        url = urlunsplit(given._replace(path=f"/{connection.settings_dict['NAME']}"))
        env = os.environ | {
            "DATABASE_URL": url,
            "REDIS_URL": settings.REDIS_URL,
            "PYTHONPATH": str(REPOSITORY),
        }
        env |= {
            "EGRESS_ALLOW": site.place,
            "RUNS_LEASE_S": "5",
            "RUNS_SWEEP_S": "0.5",
            "PROCESS_NAME": "worker",
        }
        argv = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "portal.celery",
            "worker",
            "-Q",
            "loads,ticks",
            "-c",
            "2",
        ]
        argv += ["-n", "loads@here", "--without-gossip", "--without-mingle", "-l", "INFO"]
        self.log = place / "worker.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                argv, cwd=REPOSITORY, env=env, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self, number=signal.SIGKILL):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def close(self):
        self.kill()
        self.process.wait(10)


@pytest.fixture
def start(site, tmp_path):
    redis.Redis.from_url(settings.REDIS_URL).flushdb()
    made = []

    def begin():
        made.append(Worker(site, tmp_path))
        return made[-1]

    yield begin
    for one in made:
        one.close()


def wait_for(fact, worker, limit_s=40.0):
    until = time.monotonic() + limit_s
    while not fact():
        assert time.monotonic() < until, worker.log.read_text()[-4000:]
        time.sleep(0.05)


def quiet(site):
    """Whether nothing came for a second."""
    before = len(site.asked())
    time.sleep(1.0)
    return len(site.asked()) == before


def under_way(site, start):
    here = desk()
    prove(here, site)
    base = fields(site)["shape"]
    load = started(here, site, shape={**base, "duration_s": 120})
    worker = start()
    wait_for(lambda: len(site.asked()) > 20, worker)
    wait_for(lambda: load.seconds.count() >= 1, worker)
    return load, worker


def status_of(load):
    return Run.objects.get(pk=load.run_id).status


def test_a_worker_that_is_killed_takes_its_load_along_and_nobody_begins_it_again(site, start):
    load, worker = under_way(site, start)
    worker.kill()
    at = time.monotonic()
    while not quiet(site):
        assert time.monotonic() - at < 10, "a load generator ends within 10 s of losing its worker"
    seen = len(site.asked())
    second = start()
    wait_for(lambda: status_of(load) == "aborted", second)
    load = LoadRun.objects.get(pk=load.pk)
    assert load.ending == "load_worker_lost"
    assert load.benchmark.requests > 0
    assert load.benchmark.was_aborted
    assert len(site.asked()) == seen


def test_the_main_process_alone_may_be_killed(site, start):
    _, worker = under_way(site, start)
    worker.process.kill()
    at = time.monotonic()
    while not quiet(site):
        assert time.monotonic() - at < 10


def test_a_worker_that_is_told_to_stop_ends_its_load_at_once(site, start):
    load, worker = under_way(site, start)
    worker.process.terminate()
    at = time.monotonic()
    worker.process.wait(20)
    assert time.monotonic() - at < 15
    assert quiet(site)
    load = LoadRun.objects.get(pk=load.pk)
    assert (load.ending, load.ending_says) == ("load_worker_lost", "The worker was stopped.")


def test_a_frozen_worker_loses_its_load_and_does_no_harm_when_it_wakes_up(site, start):
    load, worker = under_way(site, start)
    worker.kill(signal.SIGSTOP)
    at = time.monotonic()
    while not quiet(site):
        assert time.monotonic() - at < 10
    second = start()
    wait_for(lambda: status_of(load) == "aborted", second)
    seen = len(site.asked())
    worker.kill(signal.SIGCONT)
    assert quiet(site)
    assert len(site.asked()) == seen
    assert LoadRun.objects.get(pk=load.pk).ending == "load_worker_lost"
