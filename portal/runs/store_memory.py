"""Runs in memory: the same contract as PostgreSQL, for thousands of schedules in the fault tests.

`MemoryRuns` is the database; each worker speaks to it through a handle (`MemoryStore`). A death is
`handle.die()`: from then on every call of that handle raises LeaseLost, so that no `finally` helps it.
Everything stored goes through JSON once, as it would in the database.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from portal.errors import Refused, StaleState
from portal.frozen import replace
from portal.runs import rules
from portal.runs.types import (
    Action,
    Answer,
    Checked,
    Command,
    Decision,
    Doubt,
    Entry,
    Halt,
    LeaseLost,
    Outcome,
    OutcomeKind,
    RunStatus,
    RunView,
    Sample,
    Unsent,
)


@dataclass(frozen=True)
class Line:
    """One line of a journal in memory."""

    seq: int
    at: datetime
    entry: Entry
    actor_name: str
    token: int | None


@dataclass
class MemoryIntent:
    """One change that a run meant to make."""

    id: int
    token: int
    action: Action
    noted_at: datetime
    deadline_s: float
    sent_at: datetime | None = None
    lease_until: datetime | None = None
    outcome: Outcome | None = None
    finished_at: datetime | None = None
    looks: tuple[bool, ...] = ()


@dataclass
class MemoryRun:
    """One run in memory; fields as of `models.Run`."""

    ref: str
    kind: str
    title: str
    plan: Mapping[str, Any]
    digest: str
    scopes: tuple[str, ...]
    status: RunStatus
    progress: Mapping[str, Any]
    next_tick_at: datetime | None
    is_rehearsal: bool = False
    given: Any = None
    """What `progress` was made of."""
    halt: Halt | None = None
    command_seq: int = 0
    patient_mark: int | None = None
    turn_at: datetime | None = None
    token: int = 0
    holder: str = ""
    lease_until: datetime | None = None
    failures: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    journal: list[Line] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    intents: list[MemoryIntent] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    answers: dict[int, Answer] = field(default_factory=dict)

    @property
    def open_intent(self) -> MemoryIntent | None:
        """The intent without an outcome, or None."""
        return next((intent for intent in self.intents if intent.finished_at is None), None)

    @property
    def is_patient(self) -> bool:
        """Whether others come first."""
        return self.patient_mark == self.token + self.command_seq

    @property
    def open_commands(self) -> tuple[Command, ...]:
        """Commands that no tick has answered yet, in the order given."""
        return tuple(command for command in self.commands if command.id not in self.answers)

    def on_the_wire(self) -> str:
        """Return the sentence of a change that was sent and whose outcome is not known, or ""."""
        intent = self.open_intent
        return intent.action.says if intent is not None and intent.sent_at is not None else ""


class MemoryRuns:
    """All runs, claims and standstills, and what people do to them. `clock` returns an aware UTC time."""

    def __init__(
        self,
        clock: Callable[[], datetime],
        *,
        facts: Mapping[str, Callable[[MemoryRun], Mapping[str, Any]]] | None = None,
        project: Mapping[str, Callable[[MemoryRun, Decision, Mapping[str, Any]], None]] | None = None,
    ) -> None:
        self.clock = clock
        self.facts = dict(facts or {})
        self.project = dict(project or {})
        self.runs: dict[str, MemoryRun] = {}
        self.claims: dict[str, str] = {}
        self.standstills: dict[str, str] = {}
        self._used_plans: set[tuple[str, str]] = set()
        self._ids = 0

    def handle(self) -> MemoryStore:
        """Return a new worker's way to these runs."""
        return MemoryStore(self)

    def next_id(self) -> int:
        """Return a number that was not used before."""
        self._ids += 1
        return self._ids

    def create(
        self,
        *,
        kind: str,
        plan: Mapping[str, Any],
        resource_keys: Iterable[str] = (),
        scopes: Iterable[str] = (),
        title: str = "A run",
        plan_ref: str | None = None,
        progress: Mapping[str, Any] | None = None,
        digest: str = "",
        rehearsal: bool = False,
    ) -> str:
        """Return the ref of a new run, due now. Raises Refused or StaleState as `services.create_run`."""
        keys = sorted(set(resource_keys))
        all_scopes = tuple(sorted({"all", *scopes}))
        if self.standstill_on(all_scopes) is not None:
            raise Refused("A standstill is in force.", code="standstill")
        plan_key = (kind, plan_ref or str(uuid.uuid4()))
        if not rehearsal and plan_key in self._used_plans:
            raise StaleState("This plan has started a run already.", code="plan_used")
        for key in keys:
            if key in self.claims:
                title_of_other = self.runs[self.claims[key]].title
                raise Refused(f"“{title_of_other}” holds a resource of this plan.", code="resource_claimed")
        run = MemoryRun(
            ref=str(uuid.uuid4()),
            kind=kind,
            title=title,
            plan=_stored(plan),
            digest=digest,
            scopes=all_scopes,
            status=RunStatus.SCHEDULED,
            progress=_stored(progress or {}),
            next_tick_at=self.clock(),
            is_rehearsal=rehearsal,
        )
        if not rehearsal:
            self._used_plans.add(plan_key)
        self.runs[run.ref] = run
        self.claims.update(dict.fromkeys(keys, run.ref))
        self.journal(run, [Entry("created", f"Started: {title}")])
        return run.ref

    def command(
        self, ref: str, name: str, *, by: str = "1", reason: str = "", args: Mapping[str, Any] | None = None
    ) -> str:
        """Give a command; return what was on the wire, or "". Raises Refused if the run is over."""
        run = self.runs[ref]
        if run.status.is_over:
            raise Refused(f"The run is {run.status}.", code="run_over")
        wire = run.on_the_wire()
        run.command_seq += 1
        run.next_tick_at = self.clock()
        command = Command(
            id=self.next_id(),
            seq=run.command_seq,
            name=name,
            args=_stored(args or {}),
            by=by,
            by_name=f"user {by}",
            reason=reason,
            at=self.clock(),
        )
        run.commands.append(command)
        entry = rules.command_entry(name, reason, command.args, command.by_name, wire)
        self.journal(run, [entry], actor_name=command.by_name)
        return wire

    def put_standstill(self, scope: str, reason: str = "a reason") -> list[str]:
        """Stop everything in `scope`; return what was on the wire."""
        if scope in self.standstills:
            return []
        self.standstills[scope] = f"Everything is stopped: {reason}"
        wire = []
        for run in self.runs.values():
            if scope in run.scopes and not run.status.is_over:
                run.command_seq += 1
                run.next_tick_at = self.clock()
                wire += [run.on_the_wire()] if run.on_the_wire() else []
                self.journal(run, [Entry("standstill", self.standstills[scope], subject=scope)])
        return wire

    def lift_standstill(self, scope: str) -> None:
        """Let work in `scope` go on."""
        del self.standstills[scope]
        for run in self.runs.values():
            if scope in run.scopes and not run.status.is_over:
                run.next_tick_at = min(run.next_tick_at or self.clock(), self.clock())
                self.journal(run, [Entry("standstill_lifted", "Work may go on.", subject=scope)])

    def standstill_on(self, scopes: Iterable[str]) -> str | None:
        """Return the sentence of the standstill in force on any of `scopes`, or None."""
        return next((self.standstills[scope] for scope in scopes if scope in self.standstills), None)

    def journal(
        self, run: MemoryRun, entries: Iterable[Entry], *, token: int | None = None, actor_name: str = ""
    ) -> None:
        """Append `entries` to a run's journal."""
        for entry in entries:
            kept = replace(entry, detail=_stored(entry.detail))
            run.journal.append(Line(len(run.journal) + 1, self.clock(), kept, actor_name, token))


class MemoryStore:
    """One worker's way to the runs; the `RunStore` of the fault tests.

    `holds` (the fence), `stands_in_the_way` (command and standstill at the check) and `doubt_of` (the
    in-doubt rule) are apart so that a mutation test can take each away.
    """

    def __init__(self, runs: MemoryRuns) -> None:
        self.runs = runs
        self.is_dead = False

    def die(self) -> None:
        """Refuse everything from now on."""
        self.is_dead = True

    # What a mutation test takes away

    def holds(self, run: MemoryRun, view: RunView, *, leased: bool) -> bool:
        """Whether `view` may still write: the fence."""
        if run.token != view.token:
            return False
        return not leased or (run.lease_until is not None and run.lease_until > self.runs.clock())

    def stands_in_the_way(self, run: MemoryRun, view: RunView) -> str:
        """Return why nothing but a put-back may be sent now, or ""."""
        if run.command_seq != view.command_seq:
            return "a person's command came in"
        return self.runs.standstill_on(run.scopes) or ""

    def doubt_of(self, intent: MemoryIntent) -> Doubt | None:
        """Return the doubt that an intent without outcome is, or None if it was surely never sent."""
        if intent.sent_at is None or intent.lease_until is None:
            return None
        return Doubt(
            intent_id=intent.id,
            action=intent.action,
            sent_at=intent.sent_at,
            settled_after=rules.settled_after(intent.lease_until, intent.deadline_s),
            looks=intent.looks,
        )

    # RunStore

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
        self._alive()
        due = [run for run in self.runs.runs.values() if self._is_due(run, kinds, ahead_s)]
        due.sort(key=lambda run: (run.is_patient, run.next_tick_at or self.runs.clock()))
        return [self._take(run, holder, lease_s) for run in due[:limit]]

    def claim(self, ref: str, *, holder: str, lease_s: float) -> RunView | None:
        """As `RunStore.claim`."""
        self._alive()
        run = self.runs.runs.get(ref)
        return self._take(run, holder, lease_s) if run is not None and self._is_due(run, None) else None

    def next_due_s(self, kinds: Collection[str] | None = None) -> float | None:
        """As `RunStore.next_due_s`."""
        self._alive()
        now = self.runs.clock()
        waits = [
            max(run.next_tick_at, run.lease_until or run.next_tick_at)
            for run in self.runs.runs.values()
            if run.next_tick_at is not None and (kinds is None or run.kind in kinds)
        ]
        return max(0.0, (min(waits) - now).total_seconds()) if waits else None

    def renew(self, view: RunView, *, lease_s: float) -> RunView:
        """As `RunStore.renew`."""
        run = self._held(view)
        run.lease_until = self._in(lease_s)
        intent = run.open_intent
        if intent is not None and intent.sent_at is not None and intent.token == view.token:
            intent.lease_until = run.lease_until
        return replace(view, lease_until=run.lease_until)

    def note_intent(self, view: RunView, decision: Decision, *, deadline_s: float, lease_s: float) -> int:
        """As `RunStore.note_intent`."""
        run = self._held(view)
        if decision.action is None:
            raise ValueError("An intent needs an action.")
        if run.open_intent is not None:
            raise ValueError("The run has an intent without an outcome.")
        self._apply(run, view, decision)
        action = rules.action_from_json(_stored(rules.action_to_json(decision.action)))
        intent = MemoryIntent(self.runs.next_id(), view.token, action, self.runs.clock(), deadline_s)
        run.intents.append(intent)
        self.runs.journal(run, [rules.intent_entry(action, intent.id)], token=view.token)
        run.lease_until = max(run.lease_until or self._in(0), self._in(lease_s))
        return intent.id

    def check(self, view: RunView, intent_id: int, *, deadline_s: float) -> Checked:
        """As `RunStore.check`."""
        self._alive()
        run = self.runs.runs[view.ref]
        intent = self._intent(run, intent_id)
        if not self.holds(run, view, leased=True) or run.lease_until is None:
            return Checked(False, "the lease is lost")
        if run.lease_until <= self._in(deadline_s + rules.CHECK_MARGIN_S):
            return Checked(False, "the lease is too short for the call")
        if not intent.action.is_put_back:
            why = self.stands_in_the_way(run, view)
            if why:
                return Checked(False, why)
        if intent.sent_at is not None or intent.finished_at is not None:
            raise ValueError(rules.SENT_BEFORE)
        # A clock that was set back since then must not keep a call from being sent.
        intent.sent_at = max(self.runs.clock(), intent.noted_at)
        intent.lease_until = run.lease_until
        return Checked(True)

    def settle(
        self, view: RunView, intent_id: int, outcome: Outcome, decision: Decision, *, keep_s: float = 0.0
    ) -> RunView | None:
        """As `RunStore.settle`."""
        self._alive()
        run = self.runs.runs[view.ref]
        intent = self._intent(run, intent_id)
        if intent.finished_at is not None and intent.outcome is not None:
            if intent.outcome.kind is outcome.kind:
                return None
            raise LeaseLost(f"intent {intent_id} has another outcome")
        self._held(view, leased=False)
        self._apply(run, view, decision, first=[rules.outcome_entry(intent.action, outcome, intent_id)])
        if outcome.kind is OutcomeKind.IN_DOUBT:
            intent.lease_until = self.runs.clock()
        else:
            intent.outcome = replace(outcome, detail=_stored(outcome.detail))
            intent.finished_at = self.runs.clock()
        return self._let_go(run, view, decision, keep_s)

    def look(self, view: RunView, intent_id: int, looks: tuple[bool, ...]) -> None:
        """As `RunStore.look`."""
        self._intent(self._held(view), intent_id).looks = looks

    def commit(
        self, view: RunView, decision: Decision, *, failed: bool = False, keep_s: float = 0.0
    ) -> RunView | None:
        """As `RunStore.commit`."""
        run = self._held(view)
        if decision.action is not None:
            raise ValueError("A decision with an action is noted, not committed.")
        self._apply(run, view, decision)
        return self._let_go(run, view, decision, keep_s, failed=failed)

    def halt(self, view: RunView, halt: Halt, *, look_again_s: float) -> None:
        """As `RunStore.halt`."""
        run = self._held(view)
        self._apply(run, view, Decision(progress=run.progress, halt=halt), is_projected=False)
        self._release(run, view, look_again_s, failed=True)

    def release(self, view: RunView, *, look_again_s: float, failed: bool = False) -> None:
        """As `RunStore.release`."""
        self._release(self._held(view, leased=False), view, look_again_s, failed=failed)

    # Inside

    def _alive(self) -> None:
        if self.is_dead:
            raise LeaseLost("this worker is dead")

    def _held(self, view: RunView, *, leased: bool = True) -> MemoryRun:
        self._alive()
        run = self.runs.runs[view.ref]
        if not self.holds(run, view, leased=leased):
            raise LeaseLost(f"run {view.ref} is no longer held by token {view.token}")
        return run

    def _in(self, seconds: float) -> datetime:
        return self.runs.clock() + timedelta(seconds=seconds)

    def _is_due(self, run: MemoryRun, kinds: Collection[str] | None, ahead_s: float = 0.0) -> bool:
        now = self.runs.clock()
        return (
            run.next_tick_at is not None
            and run.next_tick_at <= now + timedelta(seconds=ahead_s)
            and (run.lease_until is None or run.lease_until <= now)
            and (kinds is None or run.kind in kinds)
        )

    @staticmethod
    def _intent(run: MemoryRun, intent_id: int) -> MemoryIntent:
        return next(intent for intent in run.intents if intent.id == intent_id)

    def _take(self, run: MemoryRun, holder: str, lease_s: float) -> RunView:
        was_patient = run.is_patient
        run.token += 1
        run.holder = holder
        left_at, run.lease_until = run.lease_until, self._in(lease_s)
        intent = run.open_intent
        doubt = self.doubt_of(intent) if intent is not None else None
        unsent = Unsent(intent.id, intent.action) if intent is not None and doubt is None else None
        facts = self.runs.facts.get(run.kind)
        now = self.runs.clock()
        due_at = run.next_tick_at or now
        if was_patient:
            run.turn_at = now
        return RunView(
            ref=run.ref,
            kind=run.kind,
            status=run.status,
            plan=run.plan,
            progress=run.progress,
            digest=run.digest,
            scopes=run.scopes,
            token=run.token,
            lease_until=run.lease_until,
            now=now,
            due_in_s=max(0.0, (due_at - now).total_seconds()),
            command_seq=run.command_seq,
            commands=run.open_commands,
            standstill=self.runs.standstill_on(run.scopes),
            doubt=doubt,
            halt=run.halt,
            started_at=run.started_at,
            failures=run.failures,
            facts=facts(run) if facts is not None else {},
            unsent=unsent,
            is_rehearsal=run.is_rehearsal,
            late_s=0.0
            if was_patient
            else rules.late_s(max(0.0, (now - due_at).total_seconds()), left_at, now),
            has_turn=rules.has_turn(run.turn_at, now),
        )

    def _apply(
        self,
        run: MemoryRun,
        view: RunView,
        decision: Decision,
        first: Iterable[Entry] = (),
        *,
        is_projected: bool = True,
    ) -> None:
        # Everything that can fail comes before the first change: a real transaction would undo it.
        progress = _stored_after(decision.progress, run.given, run.progress)
        applied = rules.apply(run.status, run.halt, decision, started=run.started_at is not None)
        answers = decision.answers
        if applied.is_over:
            answers += rules.over_answers(run.open_commands, answers)
        open_commands = {command.id: command for command in run.open_commands}
        entries = list(first)
        for answer in answers:
            if answer.command_id in open_commands:
                run.answers[answer.command_id] = answer
                entries.append(rules.answer_entry(open_commands[answer.command_id], answer))
        run.status, run.halt = applied.status, applied.halt
        was, run.progress, run.given = run.progress, progress, decision.progress
        is_patient = run.command_seq == view.command_seq and rules.is_patient(view, decision)
        run.patient_mark = run.token + run.command_seq if is_patient else None
        if not decision.is_patient:
            run.turn_at = None
        if applied.starts:
            run.started_at = self.runs.clock()
        if applied.is_over:
            run.ended_at = self.runs.clock()
            self.runs.claims = {key: ref for key, ref in self.runs.claims.items() if ref != run.ref}
        self.runs.journal(run, [*entries, *applied.entries], token=view.token)
        run.samples += decision.samples
        project = self.runs.project.get(run.kind)
        if is_projected and project is not None:
            project(run, decision, was)

    def _let_go(
        self, run: MemoryRun, view: RunView, decision: Decision, keep_s: float, *, failed: bool = False
    ) -> RunView | None:
        holder = run.holder
        self._release(run, view, decision.look_again_s, failed=failed)
        if not keep_s or run.command_seq != view.command_seq or not rules.may_keep(view, decision):
            return None
        run.holder, run.lease_until = holder, self._in(keep_s)
        return replace(view, now=self.runs.clock(), lease_until=run.lease_until, failures=run.failures)

    def _release(self, run: MemoryRun, view: RunView, look_again_s: float, *, failed: bool) -> None:
        run.lease_until = None
        run.holder = ""
        run.failures = run.failures + 1 if failed else 0
        if run.status.is_over:
            run.next_tick_at = None
        elif run.command_seq != view.command_seq:
            run.next_tick_at = self.runs.clock()
        else:
            passed_s = (self.runs.clock() - view.now).total_seconds()
            run.next_tick_at = self._in(rules.due_in_s(look_again_s, passed_s))


def _stored(value: Mapping[str, Any]) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(json.dumps(dict(value)))
    return stored


_JSON = frozenset({str, int, float, bool, type(None)})


def _stored_after(value: Any, old: Any, stored: Any) -> Any:
    """Return `_stored(value)`, given what was made of an older value: a part that is the same object went through JSON then."""
    kind = type(value)
    if value is old or (kind in _JSON and kind is type(stored) and value == stored):
        return stored
    if kind is dict and type(old) is dict and value.keys() == stored.keys():
        return {key: _stored_after(item, old.get(key), stored[key]) for key, item in value.items()}
    if kind is list and type(old) is list and len(value) == len(stored) == len(old):
        return [_stored_after(*three) for three in zip(value, old, stored, strict=True)]
    return json.loads(json.dumps(dict(value) if isinstance(value, Mapping) else value))
