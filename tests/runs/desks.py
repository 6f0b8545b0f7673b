"""One way to speak to both stores in tests: a desk makes runs, lets time pass and reads what was stored."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from portal.runs.store_memory import MemoryRuns
from portal.runs.types import Decision


class MemoryDesk:
    """Runs in memory on a clock that moves only when told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 12, tzinfo=UTC)
        self.projected: list[Decision] = []
        self.facts: dict[str, Any] = {"approval_stands": True}
        self.runs = MemoryRuns(
            lambda: self.now,
            facts={"toy": lambda run: self.facts},
            project={"toy": lambda run, decision, was: self.projected.append(decision)},
        )
        self.store = self.runs.handle()

    def create(self, **given: Any) -> str:
        given.setdefault("plan", {"target": 3})
        return self.runs.create(kind="toy", **given)

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def command(self, ref: str, name: str, **args: Any) -> str:
        return self.runs.command(ref, name, **args)

    def put_standstill(self, scope: str) -> list[str]:
        return self.runs.put_standstill(scope)

    def lift_standstill(self, scope: str) -> None:
        self.runs.lift_standstill(scope)

    def row(self, ref: str) -> dict[str, Any]:
        run = self.runs.runs[ref]
        return {
            "status": run.status.value,
            "progress": dict(run.progress),
            "halt_code": run.halt.code if run.halt else "",
            "failures": run.failures,
            "token": run.token,
            "has_lease": run.lease_until is not None,
            "is_started": run.started_at is not None,
            "is_ended": run.ended_at is not None,
            "samples": [(s.series, s.value) for s in run.samples],
            "sample_details": [dict(s.detail) for s in run.samples],
            "answers": [
                (c.name, run.answers[c.id].accepted if c.id in run.answers else None) for c in run.commands
            ],
        }

    def journal(self, ref: str) -> list[tuple[int, str, str, int | None]]:
        return [
            (line.seq, line.entry.kind, line.entry.says, line.token) for line in self.runs.runs[ref].journal
        ]

    def intents(self, ref: str) -> list[tuple[str, bool, str]]:
        return [
            (i.action.target, i.sent_at is not None, i.outcome.kind.value if i.outcome else "")
            for i in self.runs.runs[ref].intents
        ]

    def claims(self) -> set[str]:
        return set(self.runs.claims)

    def due_in_s(self, ref: str) -> float | None:
        at = self.runs.runs[ref].next_tick_at
        return None if at is None else (at - self.now).total_seconds()


class PgDesk:
    """Runs in PostgreSQL. Time cannot be moved there, so all stored times are moved into the past instead."""

    def __init__(self) -> None:
        from portal.runs import registry
        from portal.runs.store_pg import PgStore
        from tests.runs.toy import ToyKind, ToyWorld

        self.projected: list[Decision] = []
        self.facts: dict[str, Any] = {"approval_stands": True}
        registry.forget_kind("toy")
        registry.register_kind(
            "toy",
            lambda: ToyKind(ToyWorld()),
            facts=lambda run: self.facts,
            project=lambda run, decision, was: self.projected.append(decision),
        )
        self.store = PgStore()
        self.account, self.user = people()

    def create(self, **given: Any) -> str:
        from portal.runs.services import create_run

        given.setdefault("plan", {"target": 3})
        plan_ref = given.pop("plan_ref", None)
        run = create_run(
            account=self.account,
            kind="toy",
            plan_ref=uuid.UUID(plan_ref) if plan_ref else uuid.uuid4(),
            digest="d" * 64,
            resource_keys=given.pop("resource_keys", ()),
            scopes=given.pop("scopes", ()),
            title=given.pop("title", "A run"),
            actor=self.user,
            **given,
        )
        return str(run.ref)

    def pass_time(self, seconds: float) -> None:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE runs_run SET next_tick_at = next_tick_at - make_interval(secs => %(s)s),"
                " lease_until = lease_until - make_interval(secs => %(s)s),"
                " turn_at = turn_at - make_interval(secs => %(s)s),"
                " updated_at = updated_at - make_interval(secs => %(s)s)",
                {"s": seconds},
            )
            cursor.execute(
                "UPDATE runs_intent SET noted_at = noted_at - make_interval(secs => %(s)s),"
                " sent_at = sent_at - make_interval(secs => %(s)s),"
                " lease_until = lease_until - make_interval(secs => %(s)s)",
                {"s": seconds},
            )

    def command(self, ref: str, name: str, **args: Any) -> str:
        from portal.runs.services import give_command

        return give_command(self._run(ref), name, actor=self.user, **args).on_the_wire

    def put_standstill(self, scope: str) -> list[str]:
        from portal.runs.services import put_standstill

        return [
            wire["says"] for wire in put_standstill(scope, reason="a reason", actor=self.user).on_the_wire
        ]

    def lift_standstill(self, scope: str) -> None:
        from portal.runs.services import lift_standstill, standstills_for

        lift_standstill(standstills_for([scope])[0], reason="all is well", actor=self.user)

    def row(self, ref: str) -> dict[str, Any]:
        run = self._run(ref)
        return {
            "status": run.status,
            "progress": run.progress,
            "halt_code": run.halt_code,
            "failures": run.failures,
            "token": run.token,
            "has_lease": run.lease_until is not None,
            "is_started": run.started_at is not None,
            "is_ended": run.ended_at is not None,
            "samples": [(s.series, s.value) for s in run.samples.order_by("pk")],
            "sample_details": [s.detail for s in run.samples.order_by("pk")],
            "answers": [(c.name, c.accepted) for c in run.commands.order_by("seq")],
        }

    def journal(self, ref: str) -> list[tuple[int, str, str, int | None]]:
        return [(e.seq, e.kind, e.says, e.token) for e in self._run(ref).journal.order_by("seq")]

    def intents(self, ref: str) -> list[tuple[str, bool, str]]:
        return [
            (i.action["target"], i.sent_at is not None, i.outcome)
            for i in self._run(ref).intents.order_by("pk")
        ]

    def claims(self) -> set[str]:
        from portal.runs.models import Claim

        return set(Claim.objects.values_list("resource_key", flat=True))

    def due_in_s(self, ref: str) -> float | None:
        from portal.runs.journal import database_now

        at = self._run(ref).next_tick_at
        return None if at is None else (at - database_now()).total_seconds()

    def _run(self, ref: str) -> Any:
        from portal.runs.models import Run

        return Run.objects.get(ref=ref)


def people() -> tuple[Any, Any]:
    """Return an account and a launch manager."""
    from accounts.models import Account, Team, User

    mark = uuid.uuid4().hex[:8]
    team = Team.objects.create(name=f"Team {mark}")
    account = Account.objects.create(name="Shop", number=mark, team=team)
    return account, User.objects.create_user(f"{mark}@example.com", name="Lena Launch")
