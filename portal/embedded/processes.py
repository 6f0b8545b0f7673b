"""Child processes that end with their parent, and the search for those that outlived one."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from portal.embedded.places import Unprivileged

# Every process of ours carries this variable; its value is the instance of the data directory.
MARK = "STEADY_INSTANCE"
_PR_SET_PDEATHSIG = 1
# Loaded before any fork: the child may only make calls that need no lock.
_prctl: Callable[..., int] | None = (
    ctypes.CDLL(None, use_errno=True).prctl if sys.platform.startswith("linux") else None
)


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | str,
    user: Unprivileged | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, with standard output and error as one pipe and no input.

    Where the system can (Linux), the child gets `death_signal` when the calling thread ends, so call this
    from the main thread. `user` is only for root: no other group is kept.
    """
    parent = os.getpid()

    def in_child() -> None:  # runs after the user was changed, which would clear the death signal
        if _prctl is not None:
            _prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
            if os.getppid() != parent:  # it died in between
                os._exit(1)

    rights: dict[str, object] = {}
    if user is not None:
        rights = {"user": user.uid, "group": user.gid, "extra_groups": []}
    return subprocess.Popen(
        list(argv),
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=in_child,  # noqa: PLW1509  (one thread, and nothing but a system call in it)
        **rights,  # type: ignore[call-overload]
    )


def created_at(pid: int) -> float | None:
    """Return when the process was created (s since the epoch); None if there is no such process.

    Together with the number it names a process for good, since numbers are used again.
    """
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def signal_group(pid: int, number: signal.Signals) -> bool:
    """Send a signal to the process group that `pid` leads. Returns False if nothing is left of it."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so for a group in which only zombies are left
        return False
    return True


def outlived(recorded: Mapping[int, float], instance: str) -> list[psutil.Process]:
    """Return the live processes of an earlier supervisor: those it recorded, and all that carry its mark.

    `recorded` is process number → creation time. The caller must hold the data directory's lock.
    """
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            known = recorded.get(process.pid)
            is_recorded = known is not None and abs(process.create_time() - known) < 0.1
            if is_recorded or process.environ().get(MARK) == instance:
                found[process.pid] = process
        except (psutil.Error, OSError):  # it ended just now, or it is another user's and thus not ours
            continue
    return list(found.values())


def postgres_processes(pgdata: Path) -> list[psutil.Process]:
    """Return PostgreSQL's processes, the postmaster and its children, that work in this data directory."""
    found = []
    for process in psutil.process_iter(["name"]):
        if process.info["name"] != "postgres":
            continue
        try:
            if Path(process.cwd()) == pgdata.resolve():
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def _running(listed: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Return those that still run. One that ended but was not reaped (its parent's business) does not."""
    found = []
    for process in listed:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _wait(listed: Iterable[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Return those that still run after `timeout_s`; sooner if none does."""
    until = time.monotonic() + timeout_s
    left = _running(listed)
    while left and time.monotonic() < until:
        psutil.wait_procs(left, timeout=0.05)
        left = _running(left)
    return left


def end(listed: Iterable[psutil.Process], *, first: signal.Signals, grace_s: float) -> None:
    """Ask the processes to end, and kill those that still run after `grace_s`."""
    asked = list(listed)
    for number in (first, signal.SIGCONT):  # a frozen one hears the first only when it goes on
        for process in asked:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
    left = _wait(asked, grace_s)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    _wait(left, 5)
