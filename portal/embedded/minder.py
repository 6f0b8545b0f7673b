"""A small process that outlives a killed supervisor just long enough to end what it left.

`python -m portal.embedded.minder [DIRECTORY]` reads lines `+PID SIGNAL` and `-PID` (leaders of process
groups). When its input ends, the supervisor is gone: each group that is left gets its signal, and SIGKILL
if it still runs after a grace. DIRECTORY is a throw-away data directory, removed at the end.
Where the system has a parent-death signal the leaders are ending already; their own children, and macOS,
need this.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from pathlib import Path

GRACE_S = 3.0
LOOK_EVERY_S = 0.1


def _send(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def main() -> None:
    """Mind the groups until standard input ends."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # our end is the end of the input, nothing else
    groups: dict[int, int] = {}
    for line in sys.stdin:
        pid, *rest = line[1:].split()
        if line[0] == "+":
            groups[int(pid)] = int(rest[0])
        else:
            groups.pop(int(pid), None)
    left = {group for group, number in groups.items() if _send(group, number)}
    look = threading.Event()
    for _ in range(int(GRACE_S / LOOK_EVERY_S)):
        left = {group for group in left if _send(group, 0)}
        if not left:
            break
        look.wait(LOOK_EVERY_S)
    for group in left:
        _send(group, signal.SIGKILL)
    if len(sys.argv) > 1:
        from portal.embedded.postgres import forget

        directory = Path(sys.argv[1])
        if directory.exists():
            forget(directory)
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
