"""Runs in PostgreSQL: the `RunStore` of the portal.

Each method is one short transaction; all times come from the database's clock. Between claim and release the
row belongs to whoever has its fencing token; people's services lock the same row, so a command and the check
right before a call are always one after the other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import wraps
from types import MappingProxyType
from typing import Any, Generic, ParamSpec, TypeVar

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Model

from portal.frozen import replace
from portal.prepared import preparing
from portal.runs import events, journal, metrics, registry, rules
from portal.runs.models import Claim, Intent, Run, RunCommand, Standstill
from portal.runs.types import (
    Answer,
    Checked,
    Command,
    Decision,
    Doubt,
    Entry,
    Halt,
    HaltRank,
    LeaseLost,
    Outcome,
    OutcomeKind,
    RunStatus,
    RunView,
    Sample,
    StoreAway,
    Unsent,
)
from portal.statements import Statements

log = structlog.get_logger(__name__)
P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M", bound=Model)

_CLAIM = """
WITH due AS (
    SELECT id, next_tick_at, lease_until AS left_at,
        coalesce(patient_mark = token + command_seq, false) AS is_patient FROM runs_run
    WHERE next_tick_at <= statement_timestamp() + make_interval(secs => %(ahead_s)s)
      AND (lease_until IS NULL OR lease_until <= statement_timestamp())
      AND (%(kinds)s::text[] IS NULL OR kind = ANY(%(kinds)s::text[]))
      AND (%(ref)s::uuid IS NULL OR ref = %(ref)s::uuid)
    ORDER BY is_patient, next_tick_at LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE runs_run SET
    token = runs_run.token + 1,
    holder = %(holder)s,
    lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s),
    late_s = CASE WHEN due.is_patient THEN 0
        ELSE greatest(0, extract(epoch FROM clock_timestamp() - due.next_tick_at)) END,
    turn_at = CASE WHEN due.is_patient THEN clock_timestamp() ELSE runs_run.turn_at END
FROM due WHERE runs_run.id = due.id
RETURNING {columns}, due.left_at, clock_timestamp()
"""

# What is open for these runs, asked once their rows are locked: what was committed before that shows here.
_OPEN = """
SELECT
    EXISTS (SELECT 1 FROM runs_runcommand WHERE run_id = ANY(%(ids)s::bigint[]) AND accepted IS NULL),
    EXISTS (SELECT 1 FROM runs_intent WHERE run_id = ANY(%(ids)s::bigint[]) AND finished_at IS NULL),
    EXISTS (SELECT 1 FROM runs_standstill WHERE lifted_at IS NULL)
"""

# The time is read outside of the locking query, so that it is from after the lock was had.
_LOCK = """
SELECT held.*, clock_timestamp() AS locked_at FROM (
    SELECT {columns} FROM runs_run WHERE ref = %(ref)s::uuid FOR UPDATE
) AS held
"""

# The row of the run is changed, not only read: a command or standstill that is being written locks it, and
# PostgreSQL then looks at the newest row again. One statement, so nothing can come in between.
_CHECK = """
WITH asked AS (
    SELECT run_id, (action->>'is_put_back')::boolean AS is_put_back FROM runs_intent WHERE id = %(intent)s
), held AS (
    UPDATE runs_run SET checked_at = clock_timestamp() FROM asked
    WHERE id = asked.run_id AND token = %(token)s
      AND lease_until > clock_timestamp() + make_interval(secs => %(needed_s)s)
      AND (asked.is_put_back OR (
          command_seq = %(command_seq)s
          AND NOT EXISTS (
              SELECT 1 FROM runs_standstill
              WHERE lifted_at IS NULL AND scope = ANY(runs_run.scopes))))
    RETURNING id, lease_until
)
UPDATE runs_intent SET sent_at = greatest(clock_timestamp(), noted_at), lease_until = held.lease_until
FROM held
WHERE runs_intent.id = %(intent)s AND runs_intent.run_id = held.id AND runs_intent.token = %(token)s
  AND runs_intent.sent_at IS NULL AND runs_intent.finished_at IS NULL
RETURNING runs_intent.id
"""

# After a lock, so that its row is from after it, too.
_INTENT = """;
SELECT {columns} FROM runs_intent
WHERE id = %(intent)s AND run_id = (SELECT id FROM runs_run WHERE ref = %(ref)s::uuid)
"""
_NEXT_INTENT = """;
SELECT nextval(pg_get_serial_sequence('runs_intent', 'id'))
"""
_NOTE_INTENT = """
INSERT INTO runs_intent (id, run_id, token, action, noted_at, deadline_s, outcome, by_reading, looks)
VALUES (%s, %s, %s, %s::jsonb, %s, %s, '', false, '[]'::jsonb)
"""
_SETTLE_INTENT = """
UPDATE runs_intent SET lease_until = %s, outcome = %s, by_reading = %s, finished_at = %s, outcome_detail = %s::jsonb
WHERE id = %s
"""

_SAMPLES = """
INSERT INTO runs_runsample (run_id, series, at, value, detail)
SELECT %s, * FROM unnest(%s::text[], %s::timestamptz[], %s::float8[], %s::jsonb[])
"""


class _Reader(Generic[M]):
    """Reads rows of a model by these columns as `objects.raw` does, which takes longer to find out its fields than the query takes."""

    def __init__(self, model: type[M], without: Collection[str] = (), of: str = "") -> None:
        fields = [field for field in model._meta.concrete_fields if field.name not in without]
        self.columns = ", ".join(f'{of}"{field.column}"' for field in fields)
        self._model = model
        self._names = [field.attname for field in fields]
        self._converters = [
            (index, convert)
            for index, field in enumerate(fields)
            if (convert := getattr(field, "from_db_value", None)) is not None
        ]

    def read(self, values: Sequence[Any]) -> M:
        """Return the instance of a row of `columns`."""
        row = list(values)
        for index, convert in self._converters:
            row[index] = convert(row[index], None, connection)
        return self._model.from_db(connection.alias, self._names, row)


_CLAIMED = _Reader(Run, of="runs_run.")
# What is large and only written is read when it is asked for.
_RUNS = _Reader(Run, without={"plan", "progress"})
_INTENTS = _Reader(Intent)
_FIELDS = {field.name: field for field in Run._meta.concrete_fields}
_LEASE_FIELDS = ["lease_until", "holder", "failures", "next_tick_at"]
_DECIDED_FIELDS = [
    "seq",
    "status",
    "progress",
    "halt_code",
    "halt_rank",
    "halt_says",
    "halt_customer_says",
    "halt_next_commands",
    "halted_at",
    "started_at",
    "ended_at",
    "updated_at",
    "patient_mark",
    "turn_at",
]


def _reaches_database(method: Callable[P, R]) -> Callable[P, R]:
    """Turn a lost connection into StoreAway: no bug of the run, and its lease runs out by itself."""

    @wraps(method)
    def reach(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except (OperationalError, InterfaceError) as error:
            metrics.STORE_AWAY.inc()
            raise StoreAway(str(error)) from error

    return reach


class PgStore:
    """The runs of this portal's database. Safe to share between threads: it holds nothing.

    `holds` (the fence), `check` and `doubt_of` (the in-doubt rule) are apart so that a mutation test can
    take each away.
    """

    @_reaches_database
    @transaction.atomic
    def claim_due(
        self,
        *,
        holder: str,
        limit: int,
        lease_s: float,
        kinds: Collection[str] | None = None,
        ahead_s: float = 0.0,
    ) -> list[RunView]:
        """As `RunStore.claim_due`."""
        return self._take(holder, limit, lease_s, kinds=kinds, ahead_s=ahead_s)

    @_reaches_database
    @transaction.atomic
    def claim(self, ref: str, *, holder: str, lease_s: float) -> RunView | None:
        """As `RunStore.claim`."""
        return next(iter(self._take(holder, 1, lease_s, ref=ref)), None)

    @_reaches_database
    def next_due_s(self, kinds: Collection[str] | None = None) -> float | None:
        """As `RunStore.next_due_s`."""
        with preparing(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT extract(epoch FROM min(greatest(next_tick_at, lease_until)) - clock_timestamp())"
                " FROM runs_run WHERE next_tick_at IS NOT NULL"
                " AND (%(kinds)s::text[] IS NULL OR kind = ANY(%(kinds)s::text[]))",
                {"kinds": None if kinds is None else sorted(kinds)},
            )
            wait_s = cursor.fetchone()[0]
        return None if wait_s is None else max(0.0, float(wait_s))

    @_reaches_database
    @transaction.atomic
    def renew(self, view: RunView, *, lease_s: float) -> RunView:
        """As `RunStore.renew`."""
        run, now = self._held(view)
        run.lease_until = now + timedelta(seconds=lease_s)
        _save(run, ["lease_until"])
        Intent.objects.filter(
            run=run, token=view.token, sent_at__isnull=False, finished_at__isnull=True
        ).update(lease_until=run.lease_until)
        return replace(view, lease_until=run.lease_until)

    @_reaches_database
    @transaction.atomic
    def note_intent(self, view: RunView, decision: Decision, *, deadline_s: float, lease_s: float) -> int:
        """As `RunStore.note_intent`."""
        if decision.action is None:
            raise ValueError("An intent needs an action.")
        run, now, (intent_id,) = _locked_with(_NEXT_INTENT, view.ref)
        self._refuse_unless_held(run, view, now, leased=True)
        action = json.dumps(rules.action_to_json(decision.action))
        statements = Statements()
        statements.add(_NOTE_INTENT, [intent_id, run.pk, view.token, action, now, deadline_s])
        until = now + timedelta(seconds=lease_s)
        if run.lease_until is None or run.lease_until < until:
            run.lease_until = until
        last = [rules.intent_entry(decision.action, intent_id)]
        self._apply(run, view, decision, now, last=last, statements=statements)
        return int(intent_id)

    @_reaches_database
    def check(self, view: RunView, intent_id: int, *, deadline_s: float) -> Checked:
        """As `RunStore.check`. One statement, which is its own transaction."""
        with preparing(), connection.cursor() as cursor:
            cursor.execute(
                _CHECK,
                {
                    "token": view.token,
                    "needed_s": deadline_s + rules.CHECK_MARGIN_S,
                    "command_seq": view.command_seq,
                    "intent": intent_id,
                },
            )
            if cursor.fetchone() is not None:
                return Checked(True)
        return Checked(False, self._why_not(view, intent_id, deadline_s))

    @_reaches_database
    @transaction.atomic
    def settle(
        self, view: RunView, intent_id: int, outcome: Outcome, decision: Decision, *, keep_s: float = 0.0
    ) -> RunView | None:
        """As `RunStore.settle`."""
        run, now, found = _locked_with(
            _INTENT.format(columns=_INTENTS.columns), view.ref, {"intent": intent_id}
        )
        intent = _INTENTS.read(found)
        if intent.finished_at is not None:
            if intent.outcome == outcome.kind.value:
                return None
            raise LeaseLost(f"intent {intent_id} has another outcome")
        self._refuse_unless_held(run, view, now, leased=False)
        action = rules.action_from_json(intent.action)
        if outcome.kind is OutcomeKind.IN_DOUBT:
            intent.lease_until = now
        else:
            intent.outcome = outcome.kind.value
            intent.by_reading = outcome.by_reading
            intent.finished_at = now
        detail = {
            "says": outcome.says,
            "code": outcome.code,
            "after_s": outcome.after_s,
            "detail": dict(outcome.detail),
        }
        ends = [intent.lease_until, intent.outcome, intent.by_reading, intent.finished_at]
        statements = Statements()
        statements.add(_SETTLE_INTENT, [*ends, json.dumps(detail), intent.pk])
        first = [rules.outcome_entry(action, outcome, intent_id)]
        kept = _let_go(run, view, now, decision, keep_s)
        self._apply(run, view, decision, now, first=first, statements=statements)
        return kept

    @_reaches_database
    @transaction.atomic
    def look(self, view: RunView, intent_id: int, looks: tuple[bool, ...]) -> None:
        """As `RunStore.look`."""
        run, _now = self._held(view)
        Intent.objects.filter(pk=intent_id, run=run).update(looks=list(looks))

    @_reaches_database
    @transaction.atomic
    def commit(
        self, view: RunView, decision: Decision, *, failed: bool = False, keep_s: float = 0.0
    ) -> RunView | None:
        """As `RunStore.commit`."""
        if decision.action is not None:
            raise ValueError("A decision with an action is noted, not committed.")
        run, now = self._held(view)
        kept = _let_go(run, view, now, decision, keep_s, failed=failed)
        self._apply(run, view, decision, now)
        return kept

    @_reaches_database
    @transaction.atomic
    def halt(self, view: RunView, halt: Halt, *, look_again_s: float) -> None:
        """As `RunStore.halt`."""
        run, now = self._held(view)
        _release(run, view, now, look_again_s, failed=True)
        self._apply(run, view, Decision(progress=run.progress, halt=halt), now, is_projected=False)

    @_reaches_database
    @transaction.atomic
    def release(self, view: RunView, *, look_again_s: float, failed: bool = False) -> None:
        """As `RunStore.release`."""
        run, now = self._held(view, leased=False)
        _release(run, view, now, look_again_s, failed=failed)
        _save(run, _LEASE_FIELDS)

    # What a mutation test takes away

    def holds(self, run: Run, view: RunView, now: datetime, *, leased: bool) -> bool:
        """Whether `view` may still write: the fence."""
        if run.token != view.token:
            return False
        return not leased or (run.lease_until is not None and run.lease_until > now)

    def doubt_of(self, intent: Intent) -> Doubt | None:
        """Return the doubt that an intent without outcome is, or None if it was surely never sent."""
        if intent.sent_at is None or intent.lease_until is None:
            return None
        return Doubt(
            intent_id=intent.pk,
            action=rules.action_from_json(intent.action),
            sent_at=intent.sent_at,
            settled_after=rules.settled_after(intent.lease_until, intent.deadline_s),
            looks=tuple(intent.looks),
        )

    # Inside

    def _held(self, view: RunView, *, leased: bool = True) -> tuple[Run, datetime]:
        """Return the locked row and the time after the lock was had. Raises LeaseLost."""
        run, now = _locked(view.ref)
        self._refuse_unless_held(run, view, now, leased=leased)
        return run, now

    def _refuse_unless_held(self, run: Run, view: RunView, now: datetime, *, leased: bool) -> None:
        if not self.holds(run, view, now, leased=leased):
            raise LeaseLost(f"run {view.ref} is no longer held by token {view.token}")

    def _take(
        self,
        holder: str,
        limit: int,
        lease_s: float,
        *,
        kinds: Collection[str] | None = None,
        ref: str | None = None,
        ahead_s: float = 0.0,
    ) -> list[RunView]:
        with preparing(), connection.cursor() as cursor:
            cursor.execute(
                _CLAIM.format(columns=_CLAIMED.columns),
                {
                    "holder": holder,
                    "limit": limit,
                    "lease_s": lease_s,
                    "kinds": None if kinds is None else sorted(kinds),
                    "ref": ref,
                    "ahead_s": ahead_s,
                },
            )
            rows = cursor.fetchall()
            read_at = time.monotonic()
            if not rows:
                return []
            runs = [_CLAIMED.read(row[:-2]) for row in rows]
            left_at = {run.pk: row[-2] for run, row in zip(runs, rows, strict=True)}
            now = max(row[-1] for row in rows)
            ids = [run.pk for run in runs]
            cursor.execute(_OPEN, {"ids": ids})
            has_commands, has_intents, has_standstills = cursor.fetchone()
        commands: dict[int, list[Command]] = {}
        open_commands = RunCommand.objects.sealed().filter(run__in=ids, accepted__isnull=True)
        for row in open_commands.order_by("run_id", "seq") if has_commands else ():
            commands.setdefault(row.run_id, []).append(_command(row))
        open_intents = Intent.objects.filter(run__in=ids, finished_at__isnull=True)
        intents = {intent.run_id: intent for intent in open_intents} if has_intents else {}
        standing = Standstill.objects.sealed().filter(lifted_at__isnull=True)
        standstills = {one.scope: one.says_to_all for one in standing} if has_standstills else {}
        views = []
        for run in runs:
            metrics.LATE_SECONDS.observe(run.late_s or 0.0)
            view = None
            try:
                # A savepoint of its own: a run that cannot be read must not cost the others their tick.
                with transaction.atomic():
                    view = self._view(run, now, commands.get(run.pk, []), intents.get(run.pk), standstills)
                    late_s = rules.late_s(view.late_s, left_at[run.pk], now)
                    views.append(replace(view, facts=_facts(run), late_s=late_s))
            except (OperationalError, InterfaceError):
                raise
            except Exception:
                log.exception("run_facts_failed", run=str(run.ref), kind=run.kind)
                self._fail_alone(run, view, now)
        # Of a short wait for the look, gathering took a good part.
        passed_s = time.monotonic() - read_at
        return [replace(view, due_in_s=max(0.0, view.due_in_s - passed_s)) for view in views]

    def _view(
        self,
        run: Run,
        now: datetime,
        commands: Iterable[Command],
        intent: Intent | None,
        standstills: Mapping[str, str],
    ) -> RunView:
        doubt = self.doubt_of(intent) if intent is not None else None
        unsent = None
        if intent is not None and doubt is None:
            unsent = Unsent(intent.pk, rules.action_from_json(intent.action))
        if run.lease_until is None:
            raise ValueError("A claimed run has a lease.")
        due_at = run.next_tick_at or now
        return RunView(
            ref=str(run.ref),
            kind=run.kind,
            status=RunStatus(run.status),
            plan=run.plan,
            progress=run.progress,
            digest=run.digest,
            scopes=tuple(run.scopes),
            token=run.token,
            lease_until=run.lease_until,
            now=now,
            due_in_s=max(0.0, (due_at - now).total_seconds()),
            command_seq=run.command_seq,
            commands=tuple(commands),
            standstill=next((standstills[s] for s in run.scopes if s in standstills), None),
            doubt=doubt,
            halt=halt_of(run),
            started_at=run.started_at,
            failures=run.failures,
            unsent=unsent,
            is_rehearsal=run.is_rehearsal,
            late_s=run.late_s or 0.0,
            has_turn=rules.has_turn(run.turn_at, now),
        )

    def _fail_alone(self, run: Run, view: RunView | None, now: datetime) -> None:
        """Count a failed tick; of a run of which not even that can be written, the next look is put off: others go on."""
        failures, metric = run.failures + 1, metrics.FAILURES.labels(run.kind)
        try:
            with transaction.atomic():
                if view is not None:
                    self._fail(run, view, now)
                    return
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            log.exception("run_failure_not_written", run=str(run.ref))
        metric.inc()
        next_at = now + timedelta(seconds=rules.retry_after_s(failures))
        Run.objects.filter(pk=run.pk).update(
            lease_until=None, holder="", failures=failures, next_tick_at=next_at
        )

    def _fail(self, run: Run, view: RunView, now: datetime) -> None:
        failures = run.failures + 1
        metrics.FAILURES.labels(run.kind).inc()
        _release(run, view, now, rules.retry_after_s(failures), failed=True)
        halt = rules.failing_halt(failures, "internal_error", view.halt, now)
        if halt is not None:
            self._apply(run, view, Decision(progress=run.progress, halt=halt), now, is_projected=False)
        else:
            _save(run, _LEASE_FIELDS)

    def _apply(
        self,
        run: Run,
        view: RunView,
        decision: Decision,
        now: datetime,
        *,
        first: Iterable[Entry] = (),
        last: Sequence[Entry] = (),
        is_projected: bool = True,
        statements: Statements | None = None,
    ) -> None:
        """Write the locked row with what a decision says, the journal and the kind's own tables, after what waits in `statements`."""
        statements = statements or Statements()
        applied = rules.apply(
            RunStatus(run.status), halt_of(run), decision, started=run.started_at is not None
        )
        run.plan = view.plan  # as frozen as ever: whoever needs it below does not read it anew
        was, run.status = run.status, applied.status.value
        run.progress = dict(decision.progress)
        answered = self._answer(run, decision.answers, now, is_over=applied.is_over)
        lines = [*first, *answered, *applied.entries, *last]
        run.seq += len(lines)
        _set_halt(run, applied.halt)
        is_patient = run.command_seq == view.command_seq and rules.is_patient(view, decision)
        run.patient_mark = run.token + run.command_seq if is_patient else None
        if not decision.is_patient:
            run.turn_at = None
        if applied.halts:
            run.halted_at = now
        if applied.starts:
            run.started_at = now
        if applied.is_over:
            run.ended_at = now
            run.next_tick_at = None
            Claim.objects.filter(run=run).delete()
        run.updated_at = now
        statements.add(*_saving(run, _DECIDED_FIELDS + _LEASE_FIELDS))
        written = journal.write_counted(run, lines, at=now, token=view.token, statements=statements)
        _write_samples(run, decision.samples, statements)
        statements.send()
        if applied.halts or run.status != was:
            events.run_changed(run)
        known = registry.registered(run.kind)
        if is_projected and known is not None and known.project is not None:
            known.project(run, decision, view.progress)
        goes_on = was == RunStatus.HALTED and run.status != was and not applied.is_over
        if applied.halts or applied.starts or applied.is_over or goes_on:
            # The engine's own entry about the change is the last of those that the rules gave.
            said = written[len(written) - len(last) - 1] if applied.entries else written[-1]
            registry.say_change(
                run,
                registry.Change(
                    said.seq,
                    halts=applied.halts,
                    starts=applied.starts,
                    is_over=applied.is_over,
                    goes_on=goes_on,
                ),
            )

    def _answer(self, run: Run, answers: tuple[Answer, ...], now: datetime, *, is_over: bool) -> list[Entry]:
        if not answers and not is_over:
            return []
        rows = list(RunCommand.objects.sealed().filter(run=run, accepted__isnull=True).order_by("seq"))
        open_commands = {row.pk: _command(row) for row in rows}
        if is_over:
            answers += rules.over_answers(tuple(open_commands.values()), answers)
        entries = []
        for answer in answers:
            command = open_commands.pop(answer.command_id, None)
            if command is None:
                continue
            RunCommand.objects.filter(pk=answer.command_id).update(
                accepted=answer.accepted, answer=answer.says, answered_at=now
            )
            entries.append(rules.answer_entry(command, answer))
        return entries

    def _why_not(self, view: RunView, intent_id: int, deadline_s: float) -> str:
        run = Run.objects.get(ref=view.ref)
        now = journal.database_now()
        if not self.holds(run, view, now, leased=True) or run.lease_until is None:
            return "the lease is lost"
        if run.lease_until <= now + timedelta(seconds=deadline_s + rules.CHECK_MARGIN_S):
            return "the lease is too short for the call"
        if run.command_seq != view.command_seq:
            return "a person's command came in"
        standing = Standstill.objects.sealed().filter(scope__in=run.scopes, lifted_at__isnull=True).first()
        if standing is not None:
            return standing.says_to_all
        intent = Intent.objects.get(pk=intent_id)
        if intent.sent_at is not None or intent.finished_at is not None:
            raise ValueError(rules.SENT_BEFORE)
        return "what stood in the way is gone again"


def _locked(ref: str) -> tuple[Run, datetime]:
    """Return the row, locked, and the time after the lock was had."""
    with preparing(), connection.cursor() as cursor:
        cursor.execute(_LOCK.format(columns=_RUNS.columns), {"ref": ref})
        return _row_of(ref, cursor.fetchone())


def _locked_with(
    more: str, ref: str, values: Mapping[str, Any] = MappingProxyType({})
) -> tuple[Run, datetime, Sequence[Any]]:
    """As `_locked`, with the one row that a second statement gives, in the same trip to the database."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK.format(columns=_RUNS.columns) + more, {"ref": ref, **values})
        run, now = _row_of(ref, cursor.fetchone())
        cursor.nextset()
        row = cursor.fetchone()
    if row is None:
        raise Intent.DoesNotExist(f"{values}")
    return run, now, row


def _row_of(ref: str, row: Sequence[Any] | None) -> tuple[Run, datetime]:
    if row is None:
        raise Run.DoesNotExist(ref)
    return _RUNS.read(row[:-1]), row[-1]


def _save(run: Run, names: Sequence[str]) -> None:
    """Write these fields of the row in hand."""
    statements = Statements()
    statements.add(*_saving(run, names))
    statements.send()


def _saving(run: Run, names: Sequence[str]) -> tuple[str, list[Any]]:
    """Return what `run.save(update_fields=names)` sends; it takes longer to write its SQL than to run it."""
    fields = [_FIELDS[name] for name in names]
    changes = ", ".join(f'"{field.column}" = %s' for field in fields)
    values = [field.get_db_prep_save(getattr(run, field.attname), connection) for field in fields]
    # Names of columns of the model, nothing else.
    return f"UPDATE runs_run SET {changes} WHERE id = %s", [*values, run.pk]  # noqa: S608


def _let_go(
    run: Run, view: RunView, now: datetime, decision: Decision, keep_s: float, *, failed: bool = False
) -> RunView | None:
    """Give the lease back, or keep it for so long and return the view to go on with; in the row in hand only."""
    holder = run.holder
    _release(run, view, now, decision.look_again_s, failed=failed)
    if not keep_s or run.command_seq != view.command_seq or not rules.may_keep(view, decision):
        return None
    run.holder, run.lease_until = holder, now + timedelta(seconds=keep_s)
    return replace(view, now=now, lease_until=run.lease_until, failures=run.failures)


def _release(run: Run, view: RunView, now: datetime, look_again_s: float, *, failed: bool) -> None:
    """Give the lease back, in the row in hand only: the caller saves it."""
    run.lease_until = None
    run.holder = ""
    run.failures = run.failures + 1 if failed else 0
    if run.is_over:
        run.next_tick_at = None
    elif run.command_seq != view.command_seq:
        run.next_tick_at = now
    else:
        due_in_s = rules.due_in_s(look_again_s, (now - view.now).total_seconds())
        run.next_tick_at = now + timedelta(seconds=due_in_s)


def halt_of(run: Run) -> Halt | None:
    """Return why a run has halted, or None if it has not."""
    if run.status != RunStatus.HALTED.value:
        return None
    return Halt(
        code=run.halt_code,
        rank=HaltRank(run.halt_rank),
        says=run.halt_says,
        customer_says=run.halt_customer_says,
        next_commands=tuple(run.halt_next_commands),
    )


def _write_samples(run: Run, samples: Sequence[Sample], statements: Statements) -> None:
    """Write what was seen: the most rows of all that a look leaves, so no object is made of each."""
    if samples:
        series, at = [sample.series for sample in samples], [sample.at for sample in samples]
        values = [None if sample.value is None else float(sample.value) for sample in samples]
        details = [json.dumps(dict(sample.detail)) if sample.detail else "{}" for sample in samples]
        statements.add(_SAMPLES, [run.pk, series, at, values, details])


def _set_halt(run: Run, halt: Halt | None) -> None:
    run.halt_code = halt.code if halt else ""
    run.halt_rank = halt.rank.value if halt else ""
    run.halt_says = halt.says if halt else ""
    run.halt_customer_says = halt.customer_says if halt else ""
    run.halt_next_commands = list(halt.next_commands) if halt else []
    if halt is None:
        run.halted_at = None


def _command(row: RunCommand) -> Command:
    return Command(
        id=row.pk,
        seq=row.seq,
        name=row.name,
        args=row.args,
        by=str(row.by_id),
        by_name=row.by_name,
        reason=row.reason,
        at=row.at,
    )


def _facts(run: Run) -> Mapping[str, Any]:
    known = registry.registered(run.kind)
    return known.facts(run) if known is not None and known.facts is not None else {}
