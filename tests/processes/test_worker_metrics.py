"""A worker tells Prometheus what its pool children counted."""

import socket
import urllib.request

import pytest

from tests.issuer import free_port
from tests.processes.test_engine_processes import is_complete, run, wait_for, workers, world  # noqa: F401

pytestmark = [pytest.mark.process, pytest.mark.django_db(transaction=True)]


def scraped(port, name):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return 0.0
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


def test_the_main_process_answers_with_what_its_children_counted(run, workers, world, monkeypatch):  # noqa: F811
    port = free_port()
    monkeypatch.setenv("METRICS_LISTEN", f"127.0.0.1:{port}")
    workers.start()
    wait_for(is_complete(run), workers)
    wait_for(lambda: scraped(port, 'runs_ticks_total{ended="acted"') >= 2, workers)
    # A turn is counted at its end, which may be a moment after the run's.
    wait_for(lambda: scraped(port, "runs_turns_total{") >= 1, workers)


def test_a_worker_that_cannot_be_watched_works_all_the_same(run, workers, world, monkeypatch):  # noqa: F811
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("METRICS_LISTEN", f"127.0.0.1:{taken.getsockname()[1]}")
        workers.start()
        wait_for(is_complete(run), workers)
        assert "worker_metrics_unserved" in workers.logs()
