"""Services and whole portals for other programs: `make demo`, process tests, browser tests, bench.

Everything runs under a supervisor of its own process, which ends when the caller does, however that ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from portal.embedded import processes
from portal.embedded.application import WORKERS
from portal.embedded.errors import CannotStart
from portal.embedded.hold import Wanted
from portal.embedded.places import REPOSITORY
from portal.embedded.postgres import forget

START_LIMIT_S = 120.0
STOP_LIMIT_S = 60.0


class Held:
    """A running supervisor, seen from outside. Made by `start_portal` and `start_services`."""

    def __init__(self, data_dir: Path, wanted: Wanted, *, throw_away: bool, env: Mapping[str, str]) -> None:
        self.data_dir = data_dir
        self._throw_away = throw_away
        argv = [sys.executable, "-m", "portal.embedded", "hold", str(data_dir), wanted.to_json()]
        if throw_away:
            argv.append("--throw-away")
        self._process = subprocess.Popen(
            argv,
            cwd=REPOSITORY,
            env={**os.environ, **env},
            stdin=subprocess.PIPE,  # its end is the order to stop, also when we are killed
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the caller, who then stops us in order
        )
        self._state: dict[str, Any] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, source: IO[bytes]) -> None:
        for line in source:
            with self._changed:
                self._state = json.loads(line)
                self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait_until(self, fact: Callable[[Held], bool], *, timeout_s: float) -> None:
        """Wait until `fact` holds; it is asked again after every change. Raises TimeoutError.

        Raises CannotStart if the supervisor ends before.
        """
        with self._changed:
            met = self._changed.wait_for(
                lambda: self._closed or self._state.get("error") or fact(self), timeout_s
            )
            if self._state.get("error"):
                raise CannotStart(self._state["error"], details=self._state.get("details", ""))
            if self._closed:
                raise CannotStart("The supervisor ended before the portal was ready; its reason is above.")
        if not met:
            raise TimeoutError(f"After {timeout_s:g} s this is the state: {self._state}")

    @property
    def ready(self) -> bool:
        """Whether everything has come up once."""
        return bool(self._state.get("ready"))

    @property
    def pids(self) -> dict[str, int]:
        """The process number of each child that runs now, by name (a worker's is that of its parent)."""
        return {name: child["pid"] for name, child in self._state.get("children", {}).items()}

    @property
    def starts(self) -> dict[str, int]:
        """How often each child that runs now was started."""
        return {name: child["starts"] for name, child in self._state.get("children", {}).items()}

    @property
    def supervisor_pid(self) -> int:
        """The supervisor's own process number."""
        return self._process.pid

    @property
    def env(self) -> dict[str, str]:
        """DATABASE_URL and REDIS_URL."""
        return {"DATABASE_URL": self._state["database_url"], "REDIS_URL": self._state["redis_url"]}

    @property
    def url(self) -> str:
        """The portal's address, `http://localhost:PORT`."""
        return str(self._state["url"])

    @property
    def simulator_url(self) -> str:
        """The simulator's address."""
        return str(self._state["simulator_url"])

    @property
    def control_token(self) -> str:
        """What the simulator's control API asks for."""
        return str(self._state["control_token"])

    def is_up(self, name: str) -> bool:
        """Return whether a child runs and has said that it is ready."""
        return bool(self._state.get("children", {}).get(name, {}).get("ready"))

    def log(self, name: str) -> str:
        """Return what a child has written so far."""
        path = self.data_dir / "logs" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL, *, parent_only: bool = False) -> int:
        """Send a signal to a child and all that it started (a worker's pool); returns its process number.

        `parent_only` spares the pool. SIGSTOP and SIGCONT freeze and wake it.
        """
        pid = self.pids[name]
        if parent_only:
            os.kill(pid, number)
        else:
            processes.signal_group(pid, number)
        return pid

    def wait_until_back(self, name: str, *, not_pid: int, timeout_s: float = 30.0) -> int:
        """Wait until `name` is ready again as another process than `not_pid`; returns the new number."""
        self.wait_until(lambda held: held.is_up(name) and held.pids[name] != not_pid, timeout_s=timeout_s)
        return self.pids[name]

    def stop(self) -> None:
        """End everything in order; removes a throw-away data directory. Can be called twice."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout=STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its minder ends the rest
            self._process.wait()
        self._reader.join(timeout=10)  # a killed supervisor's minder may still be at work
        if self._process.stdout is not None:
            self._process.stdout.close()
        if self._throw_away and self.data_dir.exists():
            forget(self.data_dir)
            shutil.rmtree(self.data_dir, ignore_errors=True)

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _start(data_dir: Path | None, wanted: Wanted, env: Mapping[str, str], timeout_s: float) -> Held:
    throw_away = data_dir is None
    if data_dir is None:
        data_dir = Path(tempfile.mkdtemp(prefix="steady-data-"))
        if os.geteuid() == 0:
            data_dir.chmod(0o711)  # PostgreSQL's user must pass through
    held = Held(data_dir.resolve(), wanted, throw_away=throw_away, env=env)
    try:
        held.wait_until(lambda now: now.ready, timeout_s=timeout_s)
    except BaseException:
        held.stop()
        raise
    return held


def start_portal(
    data_dir: Path | None = None,
    *,
    port: int = 0,
    scenario: str = "desk",
    simulator_args: tuple[str, ...] = (),
    workers: Mapping[str, int] = WORKERS,
    beat: bool = True,
    forgetful: bool = False,
    env: Mapping[str, str] | None = None,
    timeout_s: float = START_LIMIT_S,
) -> Held:
    """Start a whole portal with services of its own and return once everything is ready.

    `data_dir` None makes one that goes away at the end. `workers` is queue → pool children. `env` is added to
    the environment of every process of the portal. Raises CannotStart, or TimeoutError after `timeout_s`.
    """
    wanted = Wanted(
        portal=True,
        port=port,
        scenario=scenario,
        simulator_args=simulator_args,
        workers=dict(workers),
        beat=beat,
        forgetful=forgetful,
        given=False,
    )
    return _start(data_dir, wanted, env or {}, timeout_s)


def start_services(
    data_dir: Path | None = None,
    *,
    forgetful: bool = False,
    given: bool = False,
    timeout_s: float = START_LIMIT_S,
) -> Held:
    """Start PostgreSQL and Valkey alone; otherwise as `start_portal`.

    With `given`, DATABASE_URL and REDIS_URL of the environment stand in for them.
    """
    return _start(data_dir, Wanted(portal=False, forgetful=forgetful, given=given), {}, timeout_s)


@contextlib.contextmanager
def services(data_dir: Path | None = None, *, forgetful: bool = False) -> Iterator[dict[str, str]]:
    """Give `DATABASE_URL` and `REDIS_URL` of running services; ends them afterwards."""
    with start_services(data_dir, forgetful=forgetful) as held:
        yield held.env
