"""Ask one container of the portal whether it works: `python deploy/healthcheck.py web|worker|beat`.

Exit status 0 if it does. Needs nothing but what the container has.
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

BEAT_SCHEDULE = Path("/tmp/beat-schedule")  # the container's own tmpfs
# Celery writes the schedule every 180 s; twice that and a little more means that beat hangs.
BEAT_SILENT_S = 400


def web() -> str | None:
    """Return what is wrong with the web process, None if it answers."""
    host = os.environ.get("ALLOWED_HOSTS", "localhost").split(",")[0].lstrip(".")
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("PORT", "8000")), timeout=4)
    try:
        connection.request("GET", "/healthz", headers={"Host": host, "X-Forwarded-Proto": "https"})
        status = connection.getresponse().status
    except OSError as error:
        return f"/healthz does not answer: {error}"
    finally:
        connection.close()
    return None if status == 200 else f"/healthz answers {status}"


def worker() -> str | None:
    """Return what is wrong with the worker, None if it answers over the broker."""
    name = f"{os.environ['WORKER_NAME']}@{socket.gethostname()}"
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "portal.celery", "inspect", "ping", "-t", "5", "-d", name],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return None if done.returncode == 0 else f"{name} does not answer"


def beat() -> str | None:
    """Return what is wrong with beat, None if it wrote its schedule lately."""
    try:
        silent_s = time.time() - BEAT_SCHEDULE.stat().st_mtime
    except FileNotFoundError:
        return "beat has not written its schedule"
    return None if silent_s < BEAT_SILENT_S else f"beat has been silent for {silent_s:.0f} s"


def main(role: str) -> int:
    """Return the exit status for one role."""
    problem = {"web": web, "worker": worker, "beat": beat}[role]()
    if problem is not None:
        print(problem, file=sys.stderr)
    return 0 if problem is None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
