"""What the supervisor needs to know about one child process."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from portal.embedded.places import Unprivileged

# Names a file that a Celery worker makes once it consumes (portal/embedded/announce.py).
READY_FILE = "STEADY_READY_FILE"


def nothing_to_do() -> None:
    """Stand for a child that needs nothing before a start."""


@dataclass(frozen=True)
class Child:
    """One process under the supervisor.

    `ready` asks the process itself; one that cannot be asked (None) is taken for ready once it has run for
    `settled_after_s`. `needs` names the children
    that must be ready before each start. `once` is for a command that must end with 0 before what needs it
    starts. `check` runs before anything starts, `prepare` before each start; both raise CannotStart if the child
    cannot run at all.
    `shown` says which lines of its output the terminal gets; the log file gets all.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    place: Path
    needs: tuple[str, ...] = ()
    once: bool = False
    user: Unprivileged | None = None
    check: Callable[[], None] = nothing_to_do
    prepare: Callable[[], None] = nothing_to_do
    ready: Callable[[], Awaitable[bool]] | None = None
    ready_limit_s: float = 60.0
    settled_after_s: float = 0.5
    stop_signal: signal.Signals = signal.SIGTERM
    stop_grace_s: float = 10.0
    shown: Callable[[str], bool] = field(default=lambda line: True)
