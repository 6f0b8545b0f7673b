"""What Prometheus sees of one worker: the counters of all its pool children, on an address of its own.

A counter lives in the process that counts. With METRICS_LISTEN set, the children of a worker count in files
below one private directory, and the worker's main process answers `GET /metrics` with their sum.

Source: prometheus_client, "Multiprocess mode". The library chooses how it counts when it is first imported,
so `prepare` must run before that (portal/celery.py does).
"""

from __future__ import annotations

import os
import sys
import tempfile
from wsgiref.simple_server import WSGIServer

NEEDED = "PROMETHEUS_MULTIPROC_DIR"


def listen_address(text: str) -> tuple[str, int] | None:
    """Return (host, port) of `host:port`; None where it is none."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        return None
    return host.strip("[]"), int(port)


def prepare() -> None:
    """Let a worker and its children count in files, if METRICS_LISTEN asks for it. Others count as ever."""
    if "worker" not in sys.argv or not os.environ.get("METRICS_LISTEN") or os.environ.get(NEEDED):
        return
    if "prometheus_client" in sys.modules:
        raise RuntimeError("Counters were made before their place was known; import portal.celery first.")
    os.environ[NEEDED] = tempfile.mkdtemp(prefix="metrics-")


def serve(listen: str) -> WSGIServer | None:
    """Answer scrapes on `listen` from a thread of this process; None where nothing was asked for.

    Raises OSError where the address cannot be had.
    """
    if not listen:
        return None
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.multiprocess import MultiProcessCollector

    address = listen_address(listen)
    if address is None:
        raise OSError(f"{listen} is no host:port")
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    server, _ = start_http_server(address[1], addr=address[0], registry=registry)
    return server
