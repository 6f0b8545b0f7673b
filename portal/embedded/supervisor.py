"""Keeps a set of child processes running: starts them in order, starts the dead again, ends them in order.

One thread, one event loop: signals, output, deaths and questions ("are you ready?") all arrive there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from portal.embedded import processes
from portal.embedded.child import Child
from portal.embedded.errors import CannotStart, reason_in
from portal.embedded.places import write_private

ASK_EVERY_S = 0.05
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
# A child that ran this long had started well: the next pause is the first again.
STEADY_AFTER_S = 30.0
TRIES_AT_START = 3
LOG_LIMIT_BYTES = 5 * 1024 * 1024
_COLOURS = (36, 35, 34, 33, 32, 96, 95, 94)


class Output:
    """Where the children's lines go: a file each, and the terminal with the name before each line."""

    def __init__(self, directory: Path, terminal: TextIO | None) -> None:
        directory.mkdir(mode=0o700, exist_ok=True)
        self._directory = directory
        self._terminal = terminal
        self._coloured = terminal is not None and terminal.isatty() and "NO_COLOR" not in os.environ
        self._files: dict[str, TextIO] = {}

    def line(self, name: str, text: str, *, shown: bool) -> None:
        """Write one line of a child's."""
        self._file(name).write(f"{text}\n")
        self._files[name].flush()
        if shown and text.strip():
            self.say(text, name=name)

    def say(self, text: str, *, name: str = "portal") -> None:
        """Write to the terminal, if there is one."""
        if self._terminal is None:
            return
        label = f"{name:<9}"
        if self._coloured:
            label = f"\x1b[{_COLOURS[sum(name.encode()) % len(_COLOURS)]}m{label}\x1b[0m"
        # A terminal that went away must not stop the portal from ending in order.
        with contextlib.suppress(OSError):
            print(f"{label} | {text}" if text else "", file=self._terminal, flush=True)

    def _file(self, name: str) -> TextIO:
        file = self._files.get(name)
        path = self._directory / f"{name}.log"
        if file is not None and file.tell() > LOG_LIMIT_BYTES:
            file.close()
            file = None
        if file is None:
            if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
                path.replace(path.with_suffix(".log.1"))
            file = open(path, "a", encoding="utf-8")  # noqa: SIM115  (closed by close())
            self._files[name] = file
        return file

    def close(self) -> None:
        for file in self._files.values():
            file.close()


class _Kept:
    """A child and what is known of it now."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.process: subprocess.Popen[bytes] | None = None
        self.created: float | None = None
        self.starts = 0
        self.was_ready = False
        self.is_ready = asyncio.Event()
        self.ended = asyncio.Event()
        self.tail: deque[str] = deque(maxlen=40)

    def running(self) -> subprocess.Popen[bytes] | None:
        return self.process if self.process is not None and not self.ended.is_set() else None


class Supervisor:
    """Runs children until it is told to stop.

    `facts` is what a handle may know (addresses); it is written with the children's process numbers to
    `state.json` in `data_dir` (0600) at every change, and given to `tell`. Raises CannotStart from `run`
    when something does not come up the first time; whatever dies later is started again, for ever, with
    pauses from 0.2 to 10 s.
    """

    def __init__(
        self,
        data_dir: Path,
        children: Sequence[Child],
        *,
        instance: str,
        output: Output,
        facts: Mapping[str, Any],
        tell: Callable[[dict[str, Any]], None] | None = None,
        on_ready: Callable[[], None] | None = None,
        stop_when_closed: int | None = None,
        throw_away: Path | None = None,
    ) -> None:
        self._data_dir = data_dir
        self._kept = {child.name: _Kept(child) for child in children}
        self._instance = instance
        self._output = output
        self._facts = dict(facts)
        self._tell = tell
        self._on_ready = on_ready
        self._stop_when_closed = stop_when_closed
        self._throw_away = throw_away
        self._minder: subprocess.Popen[bytes] | None = None
        self._stop = asyncio.Event()
        self._in_haste = asyncio.Event()
        self._all_ready = False
        self._failure: CannotStart | None = None

    # -- from start to end ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Start everything and return after everything has ended."""
        asyncio.run(self._run())
        if self._failure is not None:
            raise self._failure

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        # Before the first child: a signal in between would leave it alone in the world.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._asked_to_stop)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        if self._stop_when_closed is not None:
            loop.add_reader(self._stop_when_closed, self._read_parent)
        self._end_leftovers()
        try:
            for kept in self._kept.values():
                kept.child.check()
        except CannotStart as failure:
            self._failure = failure
            return
        self._start_minder()
        tasks = [asyncio.create_task(self._keep(kept)) for kept in self._kept.values()]
        tasks.append(asyncio.create_task(self._announce()))
        await self._stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._end_all()
        self._end_minder()
        (self._data_dir / "state.json").unlink(missing_ok=True)

    def _asked_to_stop(self) -> None:
        if self._stop.is_set():
            self._in_haste.set()
            return
        self._output.say("Ending … (once more ends it at once)")
        self._stop.set()

    def _read_parent(self) -> None:
        if self._stop_when_closed is not None and not os.read(self._stop_when_closed, 4096):
            asyncio.get_running_loop().remove_reader(self._stop_when_closed)
            self._stop.set()

    def _fail(self, failure: CannotStart) -> None:
        if self._failure is None:
            self._failure = failure
        self._stop.set()

    async def _announce(self) -> None:
        for kept in self._kept.values():
            await kept.is_ready.wait()
        self._all_ready = True
        self._publish()
        if self._on_ready is not None:
            self._on_ready()

    def _publish(self) -> None:
        state = {
            **self._facts,
            "ready": self._all_ready,
            "supervisor": {"pid": os.getpid(), "created": processes.created_at(os.getpid())},
            "children": {
                name: {
                    "pid": kept.process.pid,
                    "created": kept.created,
                    "starts": kept.starts,
                    "ready": kept.is_ready.is_set(),
                }
                for name, kept in self._kept.items()
                if kept.process is not None and kept.running() is not None
            },
        }
        write_private(self._data_dir / "state.json", json.dumps(state))
        if self._tell is not None:
            self._tell(state)

    # -- what an earlier supervisor left -------------------------------------------------------------------

    def _end_leftovers(self) -> None:
        try:
            last = json.loads((self._data_dir / "state.json").read_text())
            recorded = {
                entry["pid"]: entry["created"] for entry in last["children"].values() if entry["created"]
            }
        except FileNotFoundError:
            recorded = {}
        except (ValueError, KeyError, AttributeError, TypeError):  # cut off in a crash: the marks are left
            recorded = {}
        left = processes.outlived(recorded, self._instance)
        if left:
            self._output.say(f"Ending {len(left)} processes that an earlier start left behind.")
            processes.end(left, first=signal.SIGTERM, grace_s=3)

    def _start_minder(self) -> None:
        argv = [sys.executable, "-m", "portal.embedded.minder"]
        if self._throw_away is not None:
            argv.append(str(self._throw_away))
        # In a session of its own: a signal to our group must not take it along. It keeps our standard output
        # open without writing to it, so that a handle (handle.py) sees the end only when all has ended.
        self._minder = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            start_new_session=True,
            cwd=Path(__file__).resolve().parent.parent.parent,
        )

    def _tell_minder(self, line: str) -> None:
        if self._minder is not None and self._minder.stdin is not None:
            try:
                self._minder.stdin.write(f"{line}\n".encode())
                self._minder.stdin.flush()
            except BrokenPipeError:  # somebody killed it: a new one learns what runs now
                self._start_minder()
                for kept in self._kept.values():
                    running = kept.running()
                    if running is not None:
                        self._tell_minder(f"+{running.pid} {int(kept.child.stop_signal)}")

    def _end_minder(self) -> None:
        if self._minder is not None and self._minder.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._minder.stdin.close()
            self._minder.wait()

    # -- one child -----------------------------------------------------------------------------------------

    async def _keep(self, kept: _Kept) -> None:
        try:
            await self._keep_running(kept)
        except CannotStart as failure:
            self._fail(failure)
        except Exception as error:  # a bug of ours: end in order, then show it
            self._fail(CannotStart(f"The supervisor failed with {kept.child.name}: {error!r}"))
            raise

    async def _keep_running(self, kept: _Kept) -> None:
        child = kept.child
        pause_s = FIRST_PAUSE_S
        failures = 0
        while True:
            for name in child.needs:
                if name in self._kept:
                    await self._kept[name].is_ready.wait()
            began = time.monotonic()
            try:
                child.prepare()
                self._start(kept)
            except CannotStart as failure:
                if not kept.was_ready:
                    raise
                self._output.say(str(failure), name=child.name)
            else:
                await self._until_ended(kept)
                if child.once and kept.process is not None and kept.process.returncode == 0:
                    kept.was_ready = True
                    kept.is_ready.set()
                    self._publish()
                    return
            failures += 1
            if not kept.was_ready and (child.once or failures >= TRIES_AT_START):
                raise self._explained(kept)
            if time.monotonic() - began > STEADY_AFTER_S:
                pause_s = FIRST_PAUSE_S
            self._output.say(
                f"{self._how_it_ended(kept)}; starting it again in {pause_s:g} s.", name=child.name
            )
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _start(self, kept: _Kept) -> None:
        child = kept.child
        kept.tail.clear()
        kept.ended = asyncio.Event()
        try:
            kept.process = processes.spawn(
                child.argv,
                env={**child.env, processes.MARK: self._instance},
                cwd=child.cwd,
                user=child.user,
                death_signal=child.stop_signal,
            )
        except OSError as error:
            raise CannotStart(
                f"{child.name} cannot be started: {child.argv[0]}: {error.strerror}."
            ) from error
        kept.created = processes.created_at(kept.process.pid)
        kept.starts += 1
        self._tell_minder(f"+{kept.process.pid} {int(child.stop_signal)}")
        self._publish()
        self._reap()  # it may have ended before we could hear of it

    async def _until_ended(self, kept: _Kept) -> None:
        assert kept.process is not None
        assert kept.process.stdout is not None
        pump = asyncio.create_task(self._pump(kept, kept.process.stdout.fileno()))
        asking = asyncio.create_task(self._ask(kept))
        try:
            await kept.ended.wait()
        finally:
            asking.cancel()
            if kept.ended.is_set():
                # What it leaves behind (pool children of a worker) must not go on without it.
                processes.signal_group(kept.process.pid, signal.SIGKILL)
                self._tell_minder(f"-{kept.process.pid}")
                if kept.is_ready.is_set():
                    kept.is_ready.clear()
                await asyncio.wait([pump], timeout=1)
                self._publish()
            # Else we were told to stop: the output is still wanted, and _end_all reads to its end.

    async def _ask(self, kept: _Kept) -> None:
        child = kept.child
        if child.once:
            return
        if child.ready is None:
            await asyncio.sleep(child.settled_after_s)
        else:
            began = time.monotonic()
            try:
                while not await child.ready():
                    if time.monotonic() - began > child.ready_limit_s and not kept.was_ready:
                        self._fail(self._explained(kept, not_ready=True))
                        return
                    await asyncio.sleep(ASK_EVERY_S)
            except Exception as error:  # an answer that nobody expected: end in order, then show it
                self._fail(
                    CannotStart(f"{child.name} runs, but asking it whether it is ready failed: {error}")
                )
                raise
        if not kept.ended.is_set():
            kept.was_ready = True
            kept.is_ready.set()
            self._publish()

    async def _pump(self, kept: _Kept, source: int) -> None:
        loop = asyncio.get_running_loop()
        os.set_blocking(source, False)
        pending = b""
        more = asyncio.Event()
        loop.add_reader(source, more.set)
        try:
            while True:
                await more.wait()
                more.clear()
                try:
                    chunk = os.read(source, 65536)
                except BlockingIOError:
                    continue
                if not chunk:
                    break
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    self._heard(kept, line)
                if len(pending) > 65536:
                    self._heard(kept, pending)
                    pending = b""
        finally:
            loop.remove_reader(source)
            if pending:
                self._heard(kept, pending)
            if kept.process is not None and kept.process.stdout is not None:
                with contextlib.suppress(OSError):
                    kept.process.stdout.close()

    def _heard(self, kept: _Kept, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        kept.tail.append(text)
        self._output.line(kept.child.name, text, shown=kept.child.shown(text))

    def _reap(self) -> None:
        for kept in self._kept.values():
            if kept.process is not None and not kept.ended.is_set() and kept.process.poll() is not None:
                kept.ended.set()
        if self._minder is not None:
            self._minder.poll()

    def _how_it_ended(self, kept: _Kept) -> str:
        code = kept.process.returncode if kept.process is not None else None
        if code is None:
            return "It could not be started"
        if code < 0:
            return f"It was ended by {signal.Signals(-code).name}"
        return f"It ended by itself with status {code}"

    def _explained(self, kept: _Kept, *, not_ready: bool = False) -> CannotStart:
        child = kept.child
        output = "\n".join(kept.tail)
        known = reason_in(output, name=child.name, place=child.place)
        if known is None and not_ready:
            known = f"{child.name} runs but did not answer within {child.ready_limit_s:g} s; its last words follow."
        if known is None:
            known = f"{child.name} cannot start ({self._how_it_ended(kept)[0].lower()}{self._how_it_ended(kept)[1:]}); its last words follow."
        return CannotStart(known, details=output)

    # -- the end -------------------------------------------------------------------------------------------

    async def _end_all(self) -> None:
        left = {name: kept for name, kept in self._kept.items() if kept.running() is not None}
        while left:
            # A child goes when nothing that needs it is left.
            needed = {name for kept in left.values() for name in kept.child.needs}
            going = [kept for name, kept in left.items() if name not in needed] or list(left.values())
            await asyncio.gather(*(self._end(kept) for kept in going))
            left = {name: kept for name, kept in left.items() if kept not in going}

    async def _end(self, kept: _Kept) -> None:
        process = kept.process
        if process is None:
            return
        haste = asyncio.create_task(self._in_haste.wait())
        ended = asyncio.create_task(kept.ended.wait())
        try:
            if not kept.ended.is_set():
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(kept.child.stop_signal)
                # A stopped process (SIGSTOP) hears nothing until it goes on.
                processes.signal_group(process.pid, signal.SIGCONT)
            self._reap()
            await asyncio.wait(
                [haste, ended], timeout=kept.child.stop_grace_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not kept.ended.is_set():
                self._output.say("It did not end when asked and is killed.", name=kept.child.name)
            processes.signal_group(process.pid, signal.SIGKILL)
            await kept.ended.wait()
        finally:
            haste.cancel()
            ended.cancel()
        self._tell_minder(f"-{process.pid}")
