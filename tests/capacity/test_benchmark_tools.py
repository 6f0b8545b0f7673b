"""The load generators themselves, run against a server here: what they write says what that server saw.

Locust comes with the portal. wrk, hey and ApacheBench are packages of the system (Debian: wrk, hey, apache2-utils); what is
not there is skipped. Files that they wrote once are read in the other tests, whatever is installed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from capacity.importers import Format, parse
from tests.capacity.benchmarks import sane

BODY = b"x" * 100
SLOW_MS = 3.0


class Site(BaseHTTPRequestHandler):
    """Answers after some milliseconds: /fix always 200, /mix one in five with 503."""

    protocol_version = "HTTP/1.1"
    # Head and body leave in one piece: else the second waits for the first to be acknowledged, 40 ms.
    wbufsize = -1

    def do_GET(self):
        time.sleep(SLOW_MS / 1000)
        with self.server.lock:
            self.server.asked += 1
            is_bad = self.path == "/mix" and self.server.asked % 5 == 0
            status = 503 if is_bad else 200
            self.server.answered[status] += 1
        self.send_response(status)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture
def site():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.daemon_threads = True
    server.lock, server.asked, server.answered = threading.Lock(), 0, Counter()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


def run(*argv, cwd):
    name = argv[0]
    if shutil.which(name) is None and name != sys.executable:
        pytest.skip(
            f"{name} is not installed (Debian: wrk, hey, apache2-utils): its own output is not tried out here."
        )
    done = subprocess.run(argv, cwd=cwd, capture_output=True, timeout=60, check=False)
    assert done.stdout or done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_wrk_says_what_the_server_saw(site, tmp_path):
    found = sane(parse(run("wrk", "-t1", "-c4", "-d1s", "--latency", f"{site.url}/mix", cwd=tmp_path)))
    assert (found.provenance.format, found.users) == (Format.WRK, 4)
    # What is under way when it ends was seen by the server and is not told.
    assert found.requests <= sum(site.answered.values()) <= found.requests + 4
    assert abs(found.failures - site.answered[503]) <= 4
    assert found.failures > 0
    assert found.latency.at(50) >= SLOW_MS
    assert found.requests_per_s == pytest.approx(found.requests / found.duration_s, rel=0.02)


@pytest.mark.parametrize("is_csv", [False, True])
def test_hey_says_what_the_server_saw(site, tmp_path, is_csv):
    more = ("-o", "csv") if is_csv else ()
    found = sane(parse(run("hey", "-n", "200", "-c", "4", *more, f"{site.url}/mix", cwd=tmp_path)))
    # Its table leaves out what got no answer, so that of all requests and failures nothing is known.
    told = (None, None) if is_csv else (200, site.answered[503])
    assert (found.tool, found.answered) == ("hey", 200)
    assert (found.requests, found.failures) == told
    assert site.answered[503] > 0
    assert found.latency.at(50) >= SLOW_MS
    assert {int(each.code): each.count for each in found.status_codes} == dict(site.answered)


def test_apachebench_says_what_the_server_saw(site, tmp_path):
    table = tmp_path / "ab.tsv"
    text = run("ab", "-n", "200", "-c", "4", "-g", str(table), f"{site.url}/mix", cwd=tmp_path)
    found = sane(parse(text))
    assert (found.tool, found.requests) == ("ApacheBench", 200)
    assert found.failures == site.answered[503] > 0
    assert found.latency.at(50) >= SLOW_MS - 1.0  # it tells whole milliseconds
    rows = sane(parse(table.read_bytes(), "ab.tsv"))
    assert rows.requests == 200


def test_locust_says_what_the_server_saw_in_each_of_its_files(site, tmp_path):
    (tmp_path / "locustfile.py").write_text(
        "from locust import HttpUser, constant, task\n\n\n"
        "class Visitor(HttpUser):\n"
        "    wait_time = constant(0.02)\n\n"
        "    @task\n"
        "    def mix(self):\n"
        '        self.client.get("/mix")\n'
    )
    run(
        *(sys.executable, "-m", "locust", "--headless", "-u", "4", "-r", "4", "-t", "3s", "-H", site.url),
        *("--csv", "locust", "--csv-full-history", "--json-file", "locust", "--exit-code-on-error", "0"),
        cwd=tmp_path,
    )
    # Its tables are written each second and not at the end, the JSON at the end.
    for name, least in (("locust_stats.csv", 0.4), ("locust.json", 0.95)):
        found = sane(parse((tmp_path / name).read_bytes(), name))
        assert found.tool == "Locust", name
        assert least * site.asked <= found.requests <= site.asked, name
        assert abs(found.failures - found.requests / 5) <= 8, name
        assert found.latency.at(50) >= SLOW_MS, name
    history = sane(parse((tmp_path / "locust_stats_history.csv").read_bytes(), "locust_stats_history.csv"))
    assert history.users == 4
    assert history.requests <= site.asked
    assert abs(history.started_at.timestamp() - time.time()) < 60
