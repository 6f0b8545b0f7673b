"""The real generator in a process of its own, against a site on loopback: what it sends, what it tells, and how it ends."""

from __future__ import annotations

import ast
import errno
import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from capacity.ceiling import generator_was_the_limit
from capacity.importers import parse
from capacity.loads import generator
from capacity.loads.generator import Reach, _fetch
from capacity.loads.profile import Asked, Profile, Shape, Stops, to_plain, why_stop
from tests.cloud.test_egress import certificate_for
from tests.loads.site import Site

ROOT = Path(__file__).resolve().parents[2]
ENV = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}


@pytest.fixture
def site():
    one = Site()
    yield one
    one.close()


class Generator:
    """One, with whoever is asked to start it as its parent."""

    def __init__(self, profile, pins, **order):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "capacity.loads.generator"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENV,
        )
        given = {
            "profile": to_plain(profile),
            "pins": pins,
            "secret_headers": {},
            "parent": os.getpid(),
            **order,
        }
        self.say(json.dumps(given))
        self.began = time.monotonic()

    def say(self, line="."):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def told(self, *, until=lambda line: False, alive=True):
        """Every line until one fits or it has ended; it hears from us with each."""
        found = []
        for raw in self.process.stdout:
            found.append(json.loads(raw))
            if until(found[-1]):
                break
            if alive and self.process.poll() is None:
                try:
                    self.say()
                except BrokenPipeError:
                    pass
        return found

    def close(self):
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                stream.close()
            except BrokenPipeError:
                pass


@pytest.fixture
def generate(site):
    made = []

    def make(pins=None, **changes):
        order = changes.pop("order", {})
        profile = Profile(
            **{
                "requests": (Asked("GET", f"{site.url}a?x=1", 3), Asked("HEAD", f"{site.url}b", 1)),
                "shape": Shape("steady", "users", 4.0, 2),
                "stops": Stops(0.5, 10),
                "max_users": 10,
                "max_requests_per_s": 40.0,
                **changes,
            }
        )
        made.append(Generator(profile, pins or {site.place: ["127.0.0.1"]}, **order))
        return made[-1]

    yield make
    for one in made:
        one.close()


def seconds_of(lines):
    return [line for line in lines if line["kind"] == "second"]


def test_what_it_tells_is_what_the_site_saw_and_what_locust_counted(site, generate):
    lines = generate(
        order={"secret_headers": {"X-Key": "secret"}}, headers=(("Accept-Language", "de"),)
    ).told()
    assert lines[0]["kind"] == "hello"
    assert lines[0]["locust"].startswith("2.")
    assert lines[-1]["kind"] == "end"
    assert lines[-1]["done"]
    told = sum(one["requests"] for one in seconds_of(lines))
    assert told == lines[-1]["requests"] == len(site.asked())
    assert 20 <= told <= 81, "40 a second for two seconds; fewer on a busy machine, never more"
    seen = {(path, headers["X-Key"], headers["Accept-Language"]) for _, path, headers in site.asked()}
    assert seen == {("/a?x=1", "secret", "de"), ("/b", "secret", "de")}
    assert 0.55 < len(site.asked("/a?x=1")) / told < 0.92, "three of four"
    assert {headers["Host"] for _, _, headers in site.asked()} == {site.place}
    assert all(one["codes"] == {"200": one["requests"]} for one in seconds_of(lines) if one["requests"])


def test_no_second_has_more_than_the_limit(site, generate):
    generate(shape=Shape("steady", "users", 10.0, 3), max_requests_per_s=15.0).told()
    times = [at for at, _, _ in site.asked()]
    # The site's own clock: on a busy machine requests are read up to half a second later than they were sent, several at once.
    assert all(sum(1 for one in times if at - 0.5 < one <= at) <= 15 for at in times)
    assert 15 <= len(times) <= 46, "the sum is the generator's own doing, however late it was read"


def test_requests_come_at_their_rate_though_the_site_is_slow(site, generate):
    site.slow_s = 0.2
    shape = Shape("steady", "requests_per_s", 20.0, 3)
    lines = generate(shape=shape, max_users=10).told()
    asked, missed = (sum(one[name] for one in seconds_of(lines)) for name in ("requests", "missed"))
    assert 40 <= asked + missed <= 61
    # One user would come to 15. On a busy machine users are late, and turns are missed for it.
    assert asked > 15
    assert {one["asked"] for one in seconds_of(lines)} <= {20.0, 0.0}


def test_turns_that_nobody_is_free_for_are_told_and_not_made_up_for(site, generate):
    site.slow_s = 0.5
    lines = generate(shape=Shape("steady", "requests_per_s", 20.0, 3), max_users=2).told()
    assert sum(one["missed"] for one in seconds_of(lines)) > 20
    assert len(site.asked()) <= 14


def test_who_hangs_is_told_while_it_hangs_and_counts_as_failed_at_the_end(site, generate):
    """Every tenth request is answered at once, the others never: the few must not speak for all."""
    gate = threading.Event()

    def trickles(handler):
        if len(site.came) % 10:
            gate.wait(30)
        handler.give(200, b"at last")

    site.answers["/a?x=1"] = site.answers["/b"] = trickles
    stops = Stops(0.05, 3, 500.0)
    lines = generate(shape=Shape("steady", "requests_per_s", 20.0, 4), max_users=100, stops=stops).told()
    gate.set()
    seconds = seconds_of(lines)
    waiting = [sum(one["waits"].values()) for one in seconds]
    assert waiting == [one["waiting"] for one in seconds]
    assert waiting == sorted(waiting)
    assert waiting[-1] > 30
    assert why_stop(stops, seconds[:3])
    hung = sum(one["errors"].get("no answer when the load ended", 0) for one in seconds)
    assert hung > 0.6 * waiting[-1]
    told = sum(one["requests"] for one in seconds)
    assert told > hung
    assert sum(one["failures"] for one in seconds) >= hung


@pytest.mark.parametrize("unit", ["users", "requests_per_s"])
def test_who_is_answered_slowly_has_not_failed_because_the_load_ends(site, generate, unit):
    site.slow_s = 1.2
    profile = generate(shape=Shape("steady", unit, 10.0, 5), max_users=60)
    seconds = seconds_of(profile.told())
    assert sum(one["failures"] for one in seconds) == 0
    assert all(one["under_way"] == 0 for one in seconds[:-1])
    sent = sum(one["requests"] for one in seconds) + seconds[-1]["under_way"]
    # What goes out as the load ends is counted by one side alone: of ten a second half a second on a machine that is busy.
    assert abs(sent - len(site.asked())) <= 5
    if unit == "requests_per_s":
        assert seconds[-1]["under_way"] > 0
        assert sent >= 40, "as many as were asked for, though the last ones were not answered in time"


def test_errors_are_told_by_kind_and_no_redirect_is_followed(site, generate):
    site.answers["/b"] = 503
    site.answers["/a?x=1"] = lambda handler: handler.give(302, b"", Location="/elsewhere")
    lines = generate().told()
    errors = {}
    for one in seconds_of(lines):
        for kind, count in one["errors"].items():
            errors[kind] = errors.get(kind, 0) + count
    assert set(errors) == {"HTTP 503"}
    assert errors["HTTP 503"] == len(site.asked("/b"))
    assert not site.asked("/elsewhere")


def test_a_site_that_hangs_up_is_asked_once_each_time(site, generate):
    def hang_up(handler):
        handler.close_connection = True

    site.answers["/a?x=1"] = site.answers["/b"] = hang_up
    lines = generate().told()
    told = seconds_of(lines)
    assert sum(one["requests"] for one in told) == len(site.asked())
    assert sum(one["failures"] for one in told) == len(site.asked()) > 0


def test_an_answer_without_end_is_read_so_far_and_no_further(site, generate):
    def pour(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(64 << 20))
        handler.end_headers()
        try:
            for _ in range(1024):
                handler.wfile.write(b"x" * 65536)
        except OSError:
            handler.close_connection = True

    site.answers["/a?x=1"] = site.answers["/b"] = pour
    lines = generate(shape=Shape("steady", "users", 1.0, 2), max_requests_per_s=5.0).told()
    told = seconds_of(lines)
    asked = sum(one["requests"] for one in told)
    assert asked
    assert sum(one["received"] for one in told) <= asked << 20


def test_it_connects_to_checked_addresses_only_whatever_the_name_says(site, generate):
    lines = generate(pins={site.place: ["127.0.0.2"]}, shape=Shape("steady", "users", 1.0, 2)).told()
    told = seconds_of(lines)
    assert not site.asked(), "the address in the order is another one"
    assert sum(one["failures"] for one in told) == sum(one["requests"] for one in told) > 0


def test_told_to_stop_it_ends_within_two_seconds(site, generate):
    site.slow_s = 5.0
    one = generate(shape=Shape("steady", "users", 5.0, 60))
    one.told(until=lambda line: line["kind"] == "second")
    at = time.monotonic()
    one.say("stop")
    one.process.wait(5)
    assert time.monotonic() - at < 2.0
    seen = len(site.asked())
    time.sleep(0.5)
    assert len(site.asked()) == seen


def test_it_ends_when_nobody_speaks_to_it_and_when_its_input_is_closed(site, generate):
    silent, closed = (generate(shape=Shape("steady", "users", 1.0, 60), max_requests_per_s=5.0) for _ in "12")
    for one in (silent, closed):
        one.told(until=lambda line: line["kind"] == "hello", alive=False)
    at = time.monotonic()
    closed.process.stdin.close()
    closed.process.wait(3)
    assert time.monotonic() - at < 2.0
    silent.process.wait(10)
    assert 2.0 < time.monotonic() - at < 8.0


_PARENT = """
import json, os, subprocess, sys, time
order = json.loads(sys.stdin.readline())
order["parent"] = os.getpid()
child = subprocess.Popen([sys.executable, "-m", "capacity.loads.generator"], stdin=subprocess.PIPE)
child.stdin.write(json.dumps(order).encode() + b"\\n")
print(child.pid, flush=True)
while True:
    child.stdin.write(b".\\n")
    child.stdin.flush()
    time.sleep(0.2)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_it_does_not_outlive_a_parent_that_was_killed_or_froze(site, number):
    profile = Profile(
        (Asked("GET", site.url, 1),), Shape("steady", "users", 3.0, 60), Stops(0.5, 10), 5, 30.0
    )
    order = {"profile": to_plain(profile), "pins": {site.place: ["127.0.0.1"]}, "secret_headers": {}}
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENV
    )
    try:
        parent.stdin.write(json.dumps(order).encode() + b"\n")
        parent.stdin.flush()
        pid = int(parent.stdout.readline())
        until = time.monotonic() + 15
        while not site.asked():
            assert time.monotonic() < until
            time.sleep(0.05)
        os.kill(parent.pid, number)
        at = time.monotonic()
        while _lives(pid):
            assert time.monotonic() - at < 10, "a load generator ends within 10 s of losing its worker"
            time.sleep(0.05)
        seen = len(site.asked())
        time.sleep(0.5)
        assert len(site.asked()) == seen
    finally:
        parent.kill()
        parent.wait()
        parent.stdin.close()
        parent.stdout.close()


def _lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # One that has ended waits for a parent that is frozen.
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def test_no_other_file_imports_locust_or_gevent():
    found = set()
    for app in ("portal", "accounts", "capacity", "scaledown", "drills"):
        for path in (ROOT / app).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = (
                    [one.name for one in node.names]
                    if isinstance(node, ast.Import)
                    else [node.module or ""]
                    if isinstance(node, ast.ImportFrom)
                    else []
                )
                if any(name.split(".")[0] in {"locust", "gevent"} for name in names):
                    found.add(str(path.relative_to(ROOT)))
    assert found == {"capacity/loads/generator.py"}


_LOCUSTFILE = """
import csv
from locust import HttpUser, constant_throughput, events, task
from locust.stats import PERCENTILES_TO_REPORT, StatsCSV

class Visitor(HttpUser):
    wait_time = constant_throughput(10)

    @task(3)
    def a(self):
        self.client.get("/a")

    @task(1)
    def b(self):
        self.client.get("/b")

# --csv writes once a second and misses what came after: the same writer, once more at the very end.
@events.quitting.add_listener
def written(environment, **_):
    writer = StatsCSV(environment, PERCENTILES_TO_REPORT)
    with open("end_stats.csv", "w", newline="") as out:
        writer.requests_csv(csv.writer(out))
    with open("end_failures.csv", "w", newline="") as out:
        writer.failures_csv(csv.writer(out))
"""
_OPTIONS = "--headless -u 3 -r 3 -t 3s --csv run --csv-full-history --json --skip-log-setup"


def test_the_csv_that_this_locust_writes_is_read_as_locust_itself_counts(site, tmp_path):
    site.answers["/b"] = 500
    (tmp_path / "locustfile.py").write_text(_LOCUSTFILE)
    done = subprocess.run(
        [sys.executable, "-m", "locust", "--host", site.url.rstrip("/"), *_OPTIONS.split()],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        timeout=60,
        check=False,
    )
    told = json.loads(done.stdout)
    requests = sum(one["num_requests"] for one in told)
    failures = sum(one["num_failures"] for one in told)
    assert requests > 20
    assert failures > 0

    def read(name):
        return parse((tmp_path / name).read_bytes(), name)

    stats = read("end_stats.csv")
    assert (stats.requests, stats.failures) == (requests, failures)
    assert {(one.name, one.requests, one.failures) for one in stats.parts} == {
        (one["name"], one["num_requests"], one["num_failures"]) for one in told
    }
    slowest = max(one["max_response_time"] for one in told)
    assert stats.latency.max_ms == pytest.approx(slowest, rel=0.01)
    assert sum(one.count for one in read("end_failures.csv").errors) == failures
    assert 0 < read("run_stats.csv").requests <= requests
    assert read("run_stats_history.csv").users == 3


def test_nothing_is_sent_on_a_connection_once_the_right_to_ask_is_gone(site):
    class Gone(Exception):
        pass

    def check():
        # As after a long sleep in the middle of connecting.
        if rights.pop():
            raise Gone

    rights = [True, False]
    reach = Reach({site.place: ["127.0.0.1"]}, None, select, check)
    assert _fetch({}, reach, "GET", site.url, {}) == (200, 5)
    with pytest.raises(Gone):
        _fetch({}, reach, "GET", site.url, {})
    assert len(site.came) == 1


# -- over https ------------------------------------------------------------------------------------------------


@pytest.fixture
def secure(tmp_path):
    """A site with a certificate of an authority of its own, under a name that no name server knows."""
    server, _ = certificate_for("shop.example.com", tmp_path)
    one = Site(tls=server)
    yield one
    one.close()


def over_tls(generate, site, name, ca_file):
    place = f"{name}:{site.port}"
    return generate(
        pins={place: ["127.0.0.1"]},
        order={"ca_file": str(ca_file)},
        requests=(Asked("GET", f"https://{place}/a", 1),),
    ).told()


def test_load_goes_over_https_to_the_checked_address_under_the_name_that_was_typed(
    secure, generate, tmp_path
):
    lines = over_tls(generate, secure, "shop.example.com", tmp_path / "certificate.pem")
    assert lines[-1]["requests"] == len(secure.asked()) >= 20
    assert {headers["Host"] for _, _, headers in secure.asked()} == {f"shop.example.com:{secure.port}"}
    assert all(not one["errors"] for one in seconds_of(lines))


@pytest.mark.parametrize(
    ("name", "trusts"), [("shop.example.com", ""), ("other.example.com", "certificate.pem")]
)
def test_without_a_certificate_that_is_trusted_for_the_name_nothing_is_asked(
    secure, generate, tmp_path, name, trusts
):
    lines = over_tls(generate, secure, name, tmp_path / trusts if trusts else "")
    errors = set().union(*(one["errors"] for one in seconds_of(lines)))
    assert errors == {"SSLCertVerificationError"}
    assert not secure.asked()


def test_a_request_is_given_up_once_it_waits_longer_than_answers_took_lately(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(generator, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    now = generator._Now()
    assert now.given_up_ms() == generator.UNANSWERED_MS
    now.answered(13_000.0)  # a cold start
    for _ in range(200):
        now.answered(50.0)
    assert now.given_up_ms() == 19_500.0, "others are answered still: one that is slow may be, too"
    clock[0] += 5.0
    assert now.given_up_ms() == 2000.0, "nobody is answered any more"
    now.answered(50.0)
    assert now.given_up_ms() == 19_500.0
    for _ in range(generator.RECENT):
        now.answered(50.0)
    assert now.given_up_ms() == generator.UNANSWERED_MS
    for _ in range(generator.RECENT):
        now.answered(1500.0)
    clock[0] += 4.0
    assert now.given_up_ms() == 2250.0, "a slow site is silent between its answers"
    clock[0] += 1.0
    assert now.given_up_ms() == 4500.0


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux sets the limits of another process")
def test_a_load_that_has_no_sockets_left_says_so_and_proves_nothing(site, generate):
    one = generate(shape=Shape("steady", "users", 20.0, 2), max_users=40, max_requests_per_s=200.0)
    one.told(until=lambda line: line["kind"] == "hello")
    has = len(os.listdir(f"/proc/{one.process.pid}/fd"))
    resource.prlimit(one.process.pid, resource.RLIMIT_NOFILE, (has + 3, has + 3))
    errors = {}
    for told in seconds_of(one.told()):
        for kind, count in told["errors"].items():
            errors[kind] = errors.get(kind, 0) + count
    assert "OSError EMFILE: Too many open files" in errors
    assert "no socket left" in generator_was_the_limit(list(errors.items()))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS])
def test_each_limit_of_the_generators_own_is_told_by_its_name(number):
    named = generator._named(OSError(number, "whatever"))
    assert errno.errorcode[number] in named
    assert "no socket left" in generator_was_the_limit([(named, 1)])


@pytest.mark.parametrize(
    ("problem", "named"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "no"), "ConnectionRefusedError"),
        (OSError("an address that was not checked"), "OSError"),
        (OSError(errno.EHOSTUNREACH, "no way"), "OSError EHOSTUNREACH: No route to host"),
    ],
)
def test_what_is_wrong_with_the_site_is_no_limit_of_the_generator(problem, named):
    assert generator._named(problem) == named
    assert not generator_was_the_limit([(named, 1)])
