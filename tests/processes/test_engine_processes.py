"""The engine for real: Celery workers, PostgreSQL and Valkey; workers killed, frozen, woken; Redis emptied."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import redis
from django.conf import settings
from django.db import connection

from portal.embedded import start_services
from portal.runs import registry, services
from portal.runs.models import Intent, Run
from tests.runs.desks import people

pytestmark = [pytest.mark.process, pytest.mark.django_db(transaction=True)]

KIND = "toy_process"
REPOSITORY = Path(__file__).resolve().parents[2]
LEASE_S = 5.0


class World:
    """What the workers act on. `hold_look` and `hold_call` keep an answer back until the test lets go.

    A held call is applied before the hold or after it, as `applies_first` says.
    """

    def __init__(self) -> None:
        self.value = 0
        self.calls: list[tuple[int, int]] = []
        self.hold_look, self.hold_call = threading.Event(), threading.Event()
        self.hold_look.set()
        self.hold_call.set()
        self.in_look, self.in_call = threading.Event(), threading.Event()
        self.applies_first = True
        world = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                world.in_look.set()
                world.hold_look.wait(60)
                self.answer({"value": world.value, "writable": True})

            def do_POST(self):
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                world.calls.append((asked["target"], asked["pid"]))
                if world.applies_first:
                    world.value += 1
                world.in_call.set()
                world.hold_call.wait(60)
                self.answer({})

            def answer(self, body):
                data = json.dumps(body).encode()
                try:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    self.close_connection = True

            def log_message(self, *_args):
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def let_go(self) -> None:
        self.hold_look.set()
        self.hold_call.set()

    def close(self) -> None:
        self.let_go()
        self.server.shutdown()
        self.server.server_close()


class Workers:
    """Real Celery workers on the test's own database and Redis number."""

    def __init__(self, world: World, place: Path) -> None:
        self.world, self.place = world, place
        self.running: list[subprocess.Popen] = []

    def start(self, *, sweep_s: float = 0.5, env: dict[str, str] | None = None) -> subprocess.Popen:
        given = urlsplit(os.environ["DATABASE_URL"])
        url = urlunsplit(given._replace(path=f"/{connection.settings_dict['NAME']}"))
        services_env = env or {"DATABASE_URL": url, "REDIS_URL": settings.REDIS_URL}
        env = (
            os.environ
            | services_env
            | {"PROCESS_NAME": "worker"}
            | {
                "TOY_URL": self.world.url,
                "RUNS_LEASE_S": str(LEASE_S),
                "RUNS_TURN_S": "2",
                "RUNS_SWEEP_S": str(sweep_s),
                "PYTHONPATH": str(REPOSITORY),
            }
        )
        number = len(self.running)
        argv = [sys.executable, "-m", "celery", "-A", "tests.processes.toy_worker", "worker"]
        argv += ["-Q", "ticks", "-c", "1", "-n", f"w{number}-{uuid.uuid4().hex[:6]}@here", "--without-gossip"]
        argv += ["--without-mingle", "-l", "INFO"]
        with (self.place / f"worker{number}.log").open("wb") as log:
            worker = subprocess.Popen(
                argv, cwd=REPOSITORY, env=env, stdout=log, stderr=log, start_new_session=True
            )
        self.running.append(worker)
        return worker

    def signal(self, worker: subprocess.Popen, number: signal.Signals) -> None:
        os.killpg(worker.pid, number)

    def close(self) -> None:
        for worker in self.running:
            try:
                os.killpg(worker.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            worker.wait(10)

    def logs(self) -> str:
        return "\n".join(path.read_text()[-4000:] for path in sorted(self.place.glob("worker*.log")))


@pytest.fixture
def world():
    world = World()
    yield world
    world.close()


@pytest.fixture
def workers(world, tmp_path):
    redis.Redis.from_url(settings.REDIS_URL).flushdb()
    workers = Workers(world, tmp_path)
    yield workers
    world.let_go()
    workers.close()


@pytest.fixture
def run():
    registry.register_kind(KIND, object)
    account, user = people()
    yield services.create_run(
        account=account,
        kind=KIND,
        plan_ref=uuid.uuid4(),
        plan={"target": 2},
        digest="d" * 64,
        resource_keys=["lb:1"],
        scopes=[],
        title="Count to two",
        actor=user,
    )
    registry.forget_kind(KIND)


def wait_for(fact, workers, limit_s=40.0):
    give_up_at = time.monotonic() + limit_s
    while not fact():
        assert time.monotonic() < give_up_at, workers.logs()
        time.sleep(0.05)


def is_complete(run):
    return lambda: Run.objects.get(pk=run.pk).status == "completed"


def outcomes(run):
    return list(Intent.objects.filter(run=run).order_by("pk").values_list("outcome", "by_reading"))


def test_a_worker_killed_in_mid_look_is_replaced_and_nothing_is_sent_twice(run, world, workers):
    world.hold_look.clear()
    first = workers.start()
    assert world.in_look.wait(30), workers.logs()
    workers.signal(first, signal.SIGKILL)
    world.let_go()
    workers.start()
    wait_for(is_complete(run), workers)
    assert [target for target, _ in world.calls] == [1, 2]


@pytest.mark.parametrize("applies_first", [True, False])
def test_a_worker_killed_in_mid_call_leaves_a_doubt_that_the_next_one_reads(
    run, world, workers, applies_first
):
    world.applies_first = applies_first
    world.hold_call.clear()
    first = workers.start()
    assert world.in_call.wait(30), workers.logs()
    workers.signal(first, signal.SIGKILL)
    killed_at = time.monotonic()
    # Of the held call it was decided before; whatever is sent again, perhaps at once after the doubt is read, is applied.
    world.applies_first = True
    world.let_go()
    workers.start()
    wait_for(lambda: outcomes(run)[0] != ("", False), workers)
    # Old lease's end plus the call's deadline (3 s), then two looks.
    assert time.monotonic() - killed_at > 3.0
    assert outcomes(run)[0] == ("done" if applies_first else "not_applied", True)
    wait_for(is_complete(run), workers)
    assert [target for target, _ in world.calls] == ([1, 2] if applies_first else [1, 1, 2])
    assert world.value == 2


def test_a_worker_frozen_in_mid_call_and_woken_later_does_no_harm(run, world, workers):
    world.hold_call.clear()
    first = workers.start()
    assert world.in_call.wait(30), workers.logs()
    workers.signal(first, signal.SIGSTOP)
    world.let_go()
    workers.start()
    wait_for(is_complete(run), workers)
    workers.signal(first, signal.SIGCONT)
    wait_for(lambda: "run_lease_lost" in workers.logs(), workers)
    assert [target for target, _ in world.calls] == [1, 2]
    assert outcomes(run) == [("done", True), ("done", False)]


def test_a_worker_frozen_in_mid_look_sends_nothing_when_it_wakes_up(run, world, workers):
    world.hold_look.clear()
    first = workers.start()
    assert world.in_look.wait(30), workers.logs()
    workers.signal(first, signal.SIGSTOP)
    world.let_go()
    workers.start()
    wait_for(is_complete(run), workers)
    calls = list(world.calls)
    workers.signal(first, signal.SIGCONT)
    wait_for(lambda: "run_lease_lost" in workers.logs(), workers)
    assert world.calls == calls
    assert [target for target, _ in calls] == [1, 2]


def test_redis_may_be_emptied_at_any_moment(run, world, workers):
    world.hold_call.clear()
    workers.start()
    assert world.in_call.wait(30), workers.logs()
    redis.Redis.from_url(settings.REDIS_URL).flushdb()
    world.let_go()
    wait_for(is_complete(run), workers)
    assert [target for target, _ in world.calls] == [1, 2]


def test_a_run_goes_on_when_the_database_cuts_every_connection_in_mid_call(run, world, workers):
    world.hold_call.clear()
    workers.start()
    assert world.in_call.wait(30), workers.logs()
    with connection.cursor() as cursor:
        cursor.execute(
            # Only the workers': this process keeps connections in other threads for tests that come later.
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'worker'"
        )
        assert cursor.fetchone()[0] > 0
    world.let_go()
    wait_for(is_complete(run), workers)
    assert [target for target, _ in world.calls] == [1, 2]
    assert outcomes(run) == [("done", False)] * 2


def test_a_command_takes_effect_within_two_seconds(run, world, workers):
    standstill = services.put_standstill("all", reason="a test", actor=run.created_by)
    workers.start()
    wait_for(lambda: Run.objects.get(pk=run.pk).status == "running", workers)
    command = services.give_command(run, "pause", actor=run.created_by)
    given_at = time.monotonic()
    wait_for(lambda: Run.objects.get(pk=run.pk).status == "paused", workers)
    assert time.monotonic() - given_at < 2.0
    assert command.on_the_wire == ""
    services.lift_standstill(standstill, reason="over", actor=run.created_by)
    services.give_command(run, "abort", actor=run.created_by)
    wait_for(lambda: Run.objects.get(pk=run.pk).is_over, workers)
    assert world.calls == []


MAKE_RUN = """
import uuid, django
django.setup()
from django.core.management import call_command
from portal.embedded.migrating import quickly
from portal.runs import registry, services
from tests.runs.desks import people
registry.register_kind("toy_process", object)
with quickly():
    call_command("migrate", verbosity=0)
account, user = people()
services.create_run(account=account, kind="toy_process", plan_ref=uuid.uuid4(), plan={"target": 2},
    digest="d" * 64, resource_keys=["lb:1"], scopes=[], title="Count to two", actor=user)
"""


def test_a_run_goes_on_after_postgresql_was_killed_and_came_back_in_mid_call(world, workers):
    with start_services() as held:
        env = os.environ | held.env | {"PYTHONPATH": str(REPOSITORY)}
        subprocess.run([sys.executable, "-c", MAKE_RUN], cwd=REPOSITORY, env=env, check=True)

        def ask(question):
            # PostgreSQL may still be going through its log after the kill.
            try:
                with psycopg.connect(held.env["DATABASE_URL"]) as asking:
                    return asking.execute(question).fetchall()
            except psycopg.OperationalError:
                return []

        world.hold_call.clear()
        workers.start(env=held.env)
        assert world.in_call.wait(30), workers.logs()
        killed = held.kill("postgres")
        world.let_go()
        held.wait_until_back("postgres", not_pid=killed)
        wait_for(lambda: ask("SELECT status FROM runs_run") == [("completed",)], workers, limit_s=60)
        assert [target for target, _ in world.calls] == [1, 2]
        assert ask("SELECT outcome FROM runs_intent ORDER BY id") == [("done",), ("done",)]
        workers.close()
