"""Which kinds of run there are. Each app registers its own in `AppConfig.ready()`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from portal.runs.types import Decision, RunKind

if TYPE_CHECKING:
    from portal.runs.models import Run


@dataclass(frozen=True)
class Registered:
    """What one app told the engine about its kind of run.

    `facts` reads, in the claiming transaction, what the database says that bears on the run.
    `project` keeps the kind's own tables true, in each transaction that writes a decision; `run` already
    has the new status and progress. `may_command` raises Refused for a command that makes no sense now.
    `draining` counts what the kind left half-way in the given runs ("nodes left draining").
    """

    name: str
    factory: Callable[[], RunKind]
    facts: Callable[[Run], Mapping[str, Any]] | None = None
    project: Callable[[Run, Decision], None] | None = None
    may_command: Callable[[Run, str, Mapping[str, Any]], None] | None = None
    draining: Callable[[Iterable[Run]], int] | None = None


_KINDS: dict[str, Registered] = {}
_CLOSERS: list[Callable[[], Awaitable[None]]] = []


def register_kind(
    name: str,
    factory: Callable[[], RunKind],
    *,
    facts: Callable[[Run], Mapping[str, Any]] | None = None,
    project: Callable[[Run, Decision], None] | None = None,
    may_command: Callable[[Run, str, Mapping[str, Any]], None] | None = None,
    draining: Callable[[Iterable[Run]], int] | None = None,
) -> None:
    """Make a kind of run known. `factory` is called once in each worker child, after the fork.

    Registering the same factory again changes nothing; another one raises ValueError.
    """
    registered = Registered(name, factory, facts, project, may_command, draining)
    if _KINDS.setdefault(name, registered) != registered:
        raise ValueError(f"The kind of run {name!r} is registered already.")


def register_closer(close: Callable[[], Awaitable[None]]) -> None:
    """Have `close` awaited when a worker child ends (HTTP clients of a kind)."""
    if close not in _CLOSERS:
        _CLOSERS.append(close)


def forget_kind(name: str) -> None:
    """Take a kind away again (tests)."""
    _KINDS.pop(name, None)


def registered(name: str) -> Registered | None:
    """Return what is known about a kind, or None."""
    return _KINDS.get(name)


def kinds() -> Mapping[str, Registered]:
    """Return every registered kind by name."""
    return dict(_KINDS)


def closers() -> tuple[Callable[[], Awaitable[None]], ...]:
    """Return what is to be awaited when a worker child ends."""
    return tuple(_CLOSERS)
