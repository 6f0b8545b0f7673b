"""Which kinds of run there are. Each app registers its own in `AppConfig.ready()`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import structlog
from django.db import InterfaceError, OperationalError, transaction

from portal.runs.types import Decision, RunKind

if TYPE_CHECKING:
    from portal.runs.models import Run, Standstill

log = structlog.get_logger(__name__)
Project: TypeAlias = "Callable[[Run, Decision, Mapping[str, Any]], None]"


@dataclass(frozen=True)
class Registered:
    """What one app told the engine about its kind of run.

    `facts` reads, in the claiming transaction, what the database says that bears on the run.
    `project` keeps the kind's own tables true, in each transaction that writes a decision; `run` already
    has the new status and progress, and it is given the progress that was stored before. `may_command` raises Refused for a command that makes no sense now.
    `draining` counts what the kind left half-way in the given runs ("nodes left draining").
    `url_of` gives the path of the run's page. `asks` gives what a run asks that has halted in this very transaction.
    `check_goes_on` raises Refused where a run may not go on by somebody's taking charge of it. `is_half_way` says whether
    something is on its way out or back just now, so that nobody else is to change the site. `is_untold` says whether the account's
    people are not to know yet that it is under way. `told` gives the words in which its beginning and its end are told.
    """

    name: str
    factory: Callable[[], RunKind]
    facts: Callable[[Run], Mapping[str, Any]] | None = None
    project: Project | None = None
    may_command: Callable[[Run, str, Mapping[str, Any]], None] | None = None
    draining: Callable[[Iterable[Run]], int] | None = None
    url_of: Callable[[Run], str] | None = None
    asks: Callable[[Run], Asked] | None = None
    check_goes_on: Callable[[Run, datetime], None] | None = None
    is_half_way: Callable[[Run], bool] | None = None
    is_untold: Callable[[Run], bool] | None = None
    told: Callable[[Run], Told] | None = None


@dataclass(frozen=True)
class Told:
    """The words in which a run's beginning and end are told; "" leaves those of a scale-down.

    `began` and `stopped` are sentences, `began` the customer's; `became` goes on from the title, as in “…” was stopped.
    """

    began: str = ""
    stopped: str = ""
    became: str = ""


@dataclass(frozen=True)
class Asked:
    """What a halted run asks, in our words and in the customer's.

    `who` says who is asked, `until` is when silence is taken for an answer (None: never), `otherwise` says what happens then.
    """

    who: str
    customer_who: str
    until: datetime | None
    otherwise: str
    customer_otherwise: str


@dataclass(frozen=True)
class Change:
    """What a decision made of a run; `seq` is the journal entry that says so. One of the four is true.

    `goes_on`: a halt that stood is over, and the run is not.
    """

    seq: int
    halts: bool = False
    starts: bool = False
    is_over: bool = False
    goes_on: bool = False


_KINDS: dict[str, Registered] = {}
_CLOSERS: list[Callable[[], Awaitable[None]]] = []
_LISTENERS: list[Callable[[Run, Change], None]] = []
_STANDSTILL_LISTENERS: list[Callable[[Standstill, Sequence[Run]], None]] = []


def register_kind(
    name: str,
    factory: Callable[[], RunKind],
    *,
    facts: Callable[[Run], Mapping[str, Any]] | None = None,
    project: Project | None = None,
    may_command: Callable[[Run, str, Mapping[str, Any]], None] | None = None,
    draining: Callable[[Iterable[Run]], int] | None = None,
    url_of: Callable[[Run], str] | None = None,
    asks: Callable[[Run], Asked] | None = None,
    check_goes_on: Callable[[Run, datetime], None] | None = None,
    is_half_way: Callable[[Run], bool] | None = None,
    is_untold: Callable[[Run], bool] | None = None,
    told: Callable[[Run], Told] | None = None,
) -> None:
    """Make a kind of run known. `factory` is called once in each worker child, after the fork.

    Registering the same factory again changes nothing; another one raises ValueError.
    """
    registered = Registered(
        name,
        factory,
        facts,
        project,
        may_command,
        draining,
        url_of,
        asks,
        check_goes_on,
        is_half_way,
        is_untold,
        told,
    )
    if _KINDS.setdefault(name, registered) != registered:
        raise ValueError(f"The kind of run {name!r} is registered already.")


def listen(heard: Callable[[Run, Change], None]) -> None:
    """Have `heard` called in the transaction in which a run of any kind starts, halts, goes on after a halt, or ends.

    It must be short and may be called twice for the same `seq`. What it raises is logged and undone alone:
    nothing may keep a run from halting.
    """
    if heard not in _LISTENERS:
        _LISTENERS.append(heard)


def listen_to_standstills(heard: Callable[[Standstill, Sequence[Run]], None]) -> None:
    """Have `heard` called with a standstill and the runs it touches, when it is put and when it is lifted.

    In the same transaction and on the same terms as `listen`.
    """
    if heard not in _STANDSTILL_LISTENERS:
        _STANDSTILL_LISTENERS.append(heard)


def say_change(run: Run, change: Change) -> None:
    """Call every listener for a run that started, halted, went on after a halt, or ended."""
    for heard in _LISTENERS:
        _call("run_listener_failed", heard, run, change)


def say_standstill(standstill: Standstill, runs: Sequence[Run]) -> None:
    """Call every listener for a standstill that was put or lifted."""
    for heard in _STANDSTILL_LISTENERS:
        _call("standstill_listener_failed", heard, standstill, runs)


def _call(event: str, heard: Callable[..., None], *given: Any) -> None:
    try:
        with transaction.atomic():
            heard(*given)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception(event, listener=heard.__qualname__, subject=str(given[0].ref))


def url_of(run: Run) -> str:
    """Return the path of a run's page, or ""."""
    known = registered(run.kind)
    return known.url_of(run) if known is not None and known.url_of is not None else ""


def is_untold(run: Run) -> bool:
    """Whether the account's people are not to know yet that a run is under way."""
    known = registered(run.kind)
    return known is not None and known.is_untold is not None and known.is_untold(run)


def told_of(run: Run) -> Told:
    """Return the words of a run's kind for its beginning and its end."""
    known = registered(run.kind)
    return Told() if known is None or known.told is None else known.told(run)


def asked_by(run: Run) -> Asked | None:
    """Return what a halted run asks; None where its kind does not say, or cannot. A halt is told all the same."""
    known = registered(run.kind)
    if known is None or known.asks is None:
        return None
    try:
        with transaction.atomic():
            return known.asks(run)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("run_question_failed", run=str(run.ref))
        return None


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
