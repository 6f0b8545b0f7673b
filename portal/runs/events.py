"""What the world is told of runs and standstills."""

from __future__ import annotations

import uuid
from typing import Any

from portal.events.services import emit, emit_to_scope
from portal.runs import registry
from portal.runs.models import Run, Standstill
from portal.runs.types import RunStatus


def run_changed(run: Run, *, account_ref: uuid.UUID | None = None, actor: Any = None) -> None:
    """Say that a run has reached its present status: `run.scheduled`, `run.halted`, `run.completed` …

    Of a run that the account's people are not to know of nothing is said: they read the events, and their webhooks.
    """
    if registry.is_untold(run):
        return
    data: dict[str, Any] = {"kind": run.kind, "plan": str(run.plan_ref), "rehearsal": run.is_rehearsal}
    if run.status == RunStatus.HALTED.value:
        data |= {"code": run.halt_code, "rank": run.halt_rank}
    emit(
        f"run.{run.status}",
        account_ref=account_ref or run.account.ref,
        subject_type="run",
        subject_ref=run.ref,
        data=data,
        actor=actor,
    )


def charge_changed(run: Run) -> None:
    """Say that somebody else, or nobody, is in charge of a run, or its backup. People are not named to machines."""
    if registry.is_untold(run):
        return
    emit(
        "run.charge_changed",
        account_ref=run.account.ref,
        subject_type="run",
        subject_ref=run.ref,
        data={
            "kind": run.kind,
            "plan": str(run.plan_ref),
            "rehearsal": run.is_rehearsal,
            "has_somebody": run.in_charge_id is not None,
            "has_backup": run.backup_id is not None,
        },
    )


def standstill_changed(standstill: Standstill, what: str, *, actor: Any) -> None:
    """Tell each account that a standstill touches that it was `put` or `lifted`."""
    emit_to_scope(
        f"standstill.{what}",
        standstill.scope,
        subject_type="standstill",
        subject_ref=standstill.ref,
        data={"scope": standstill.scope},
        actor=actor,
    )
