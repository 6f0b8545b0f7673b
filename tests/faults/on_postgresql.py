"""The same schedules on PostgreSQL: the real store and services, on the simulation's clock, undone afterwards.

The store reads no clock but the database's, by functions without a schema. One of ours with the same names comes
before theirs on the search path, and tells the simulation's time. One connection carries all workers, so what is
shown is the SQL and the rules in it; that two transactions wait for each other is shown in tests/runs.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from types import SimpleNamespace
from typing import Any
from unittest import mock

import structlog.testing
from django.db import connection, connections, transaction

from portal.runs import journal, registry, services
from portal.runs.models import Run
from portal.runs.store_pg import PgStore, halt_of
from portal.runs.types import Entry, LeaseLost, RunStatus
from scaledown.asked import OPEN_COMMANDS
from scaledown.driver import KIND
from tests.faults.simulation import Result, Simulation
from tests.runs.desks import people

_CLOCK = """
CREATE SCHEMA simulated;
CREATE FUNCTION simulated.clock_timestamp() RETURNS timestamptz STABLE LANGUAGE sql
    AS $$ SELECT current_setting('simulated.now')::timestamptz $$;
CREATE FUNCTION simulated.statement_timestamp() RETURNS timestamptz STABLE LANGUAGE sql
    AS $$ SELECT current_setting('simulated.now')::timestamptz $$;
SET LOCAL search_path = simulated, pg_catalog, public;
"""


class PgRun:
    """One run as its row is at this moment, by the names of `MemoryRun`."""

    def __init__(self, runs: PgRuns, ref: str) -> None:
        self._runs = runs
        self.ref = ref

    @property
    def _row(self) -> Run:
        return Run.objects.get(ref=self.ref)

    @property
    def status(self) -> RunStatus:
        return RunStatus(self._row.status)

    @property
    def progress(self) -> Any:
        return self._row.progress

    @property
    def halt(self) -> Any:
        return halt_of(self._row)

    @property
    def token(self) -> int:
        return self._row.token

    @property
    def command_seq(self) -> int:
        return self._row.command_seq

    @property
    def open_intent(self) -> Any:
        return self._row.intents.filter(finished_at__isnull=True).order_by("pk").first()

    @property
    def journal(self) -> list[Any]:
        return [
            SimpleNamespace(
                at=line.at, token=line.token, entry=Entry(line.kind, line.says, line.customer_says, line.subject, line.detail)
            )
            for line in self._row.journal.order_by("seq")
        ]  # fmt: skip


class Mortal(PgStore):
    """A worker's way to the rows: at the simulation's time, and refused once it is dead."""

    def __init__(self, runs: PgRuns) -> None:
        self.runs = runs
        self.is_dead = False

    def die(self) -> None:
        self.is_dead = True


def _at_the_time(name: str) -> Any:
    method = getattr(PgStore, name)

    @wraps(method)
    def call(self: Mortal, *args: Any, **kwargs: Any) -> Any:
        if self.is_dead:
            raise LeaseLost("this worker is dead")
        self.runs.tell_time()
        return method(self, *args, **kwargs)

    return call


for _name in ("claim_due", "claim", "next_due_s", "renew", "note_intent", "check", "settle", "look", "commit", "halt", "release"):  # fmt: skip
    setattr(Mortal, _name, _at_the_time(_name))


class PgRuns:
    """The runs of a simulation in PostgreSQL, by the names of `MemoryRuns`."""

    recorder: Any = None

    def __init__(self, clock: Any, *, facts: Any) -> None:
        self.clock = clock
        self.facts = facts
        self.runs: dict[str, PgRun] = {}
        self.account, self.user = people()
        self.connection = connections[connection.alias]

    def enter(self) -> None:
        # Inside an event loop Django would open a connection of its own, which sees nothing of the transaction.
        connections[connection.alias] = self.connection

    def has_open_commands(self, run: Run) -> bool:
        return bool(OPEN_COMMANDS.rows(run.pk))

    def tell_time(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('simulated.now', %s, false)", [self.clock().isoformat()])

    def handle(self) -> Mortal:
        return Mortal(self)

    def create(self, *, kind: str, plan: Any, progress: Any, scopes: Any, resource_keys: Any) -> str:
        self.tell_time()
        run = services.create_run(
            account=self.account,
            kind=kind,
            plan_ref=uuid.uuid4(),
            plan=plan,
            digest="d" * 64,
            resource_keys=resource_keys,
            scopes=scopes,
            title="A run",
            actor=self.user,
            progress=progress,
        )
        ref = str(run.ref)
        self.runs[ref] = PgRun(self, ref)
        return ref

    def command(self, ref: str, name: str, *, args: Any, reason: str) -> str:
        self.tell_time()
        run = Run.objects.get(ref=ref)
        return services.give_command(run, name, actor=self.user, args=args, reason=reason).on_the_wire

    def put_standstill(self, scope: str) -> None:
        self.tell_time()
        services.put_standstill(scope, reason="a reason", actor=self.user)

    def lift_standstill(self, scope: str) -> None:
        self.tell_time()
        services.lift_standstill(services.standstills_for([scope])[0], reason="all is well", actor=self.user)

    def wrote(self, entries: Any, token: int | None) -> None:
        if self.recorder is not None:
            for entry in entries:
                self.recorder.wrote(entry, token)


@contextmanager
def of_the_simulation(kind: str, facts: Callable[[Any], Mapping[str, Any]], runs: PgRuns) -> Iterator[None]:
    """Let the kind of run have the simulation's facts, and the runs' recorder hear of each line of a journal."""
    write = journal.write_counted

    def told(
        run: Any,
        entries: Any,
        *,
        at: Any,
        token: int | None = None,
        author: Any = journal.ENGINE,
        **more: Any,
    ) -> Any:
        rows = write(run, entries, at=at, token=token, author=author, **more)
        runs.wrote(entries, token)
        return rows

    known = registry.Registered(kind, lambda: None, facts, None, None, None, None)  # type: ignore[arg-type]
    with (
        mock.patch.dict(registry._KINDS, {kind: known}),
        mock.patch.object(registry, "_LISTENERS", []),
        mock.patch.object(registry, "_STANDSTILL_LISTENERS", []),
        mock.patch.object(journal, "write_counted", told),
    ):
        yield


@contextmanager
def undone_afterwards() -> Iterator[None]:
    """A transaction with the simulation's clock, of which nothing is kept.

    The database must be migrated, and the caller the only one who speaks by this thread's connection.
    """
    unsafe = {"DJANGO_ALLOW_ASYNC_UNSAFE": "1"}  # the loop is the schedule's own: nobody else waits on it
    with mock.patch.dict(os.environ, unsafe), structlog.testing.capture_logs(), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_CLOCK)
        try:
            yield
        finally:
            transaction.set_rollback(True)


def simulate_on_postgresql(events: Any = (), **options: Any) -> Result:
    """Return what becomes of a schedule with its runs in PostgreSQL; nothing of it is kept."""
    with undone_afterwards():
        simulation = Simulation(events, runs=PgRuns, store_class=Mortal, **options)
        with of_the_simulation(KIND, simulation.facts_of, simulation.runs):
            result = simulation.simulate()
        result.run = SimpleNamespace(journal=result.run.journal)
        return result


def told(result: Result) -> Any:
    """Return what a run did and wrote, apart from names and numbers that a store gives."""
    return (
        [(sent.name, sent.server, round(sent.t, 3)) for _, sent in result.story.sends()],
        [(line.entry.kind, line.entry.subject, line.token) for line in result.run.journal],
        result.status,
        result.halt and result.halt.code,
        [(way.server_id, way.phase) for way in result.progress.servers],
    )
