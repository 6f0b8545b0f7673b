"""What support gets to see of a run or a plan: plan, journal, what the provider answered, the pool as last seen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.urls import reverse

from portal.runs.models import Intent, JournalEntry, Run, RunCommand, RunSample
from portal.runs.selectors import detail_for_all
from portal.support import About, Part, Subject, register_subject
from scaledown.models import Plan
from scaledown.services import KIND

JOURNAL_ENTRIES = 300
ANSWERS = 60
SAMPLES = 200


NOBODYS = UUID(int=0)


def _ref(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        return NOBODYS


def _run(account: Any, ref: str) -> Run | None:
    rows = Run.objects.filter(account=account, kind=KIND, ref=_ref(ref))
    return rows.select_related("in_charge").first()


def find_run(account: Any, ref: str) -> About | None:
    """Return what a run is called, how bad it is and who is in charge."""
    run = _run(account, ref)
    if run is None:
        return None
    return About(
        label=run.title,
        url=reverse("scaledown:run-detail", args=[run.ref]),
        severity=run.halt_rank if run.status == "halted" else "",
        summary=f"“{run.title}” stopped by itself" if run.status == "halted" else f"Help with “{run.title}”",
        in_charge=run.in_charge,
    )


def gather_run(account: Any, ref: str) -> Iterable[Part]:
    """Return a run's state, plan, journal, changes with the provider's answers, and the pool. Six queries."""
    run = _run(account, ref)
    if run is None:
        return
    yield Part(
        "run",
        "The run",
        {
            "ref": run.ref,
            "title": run.title,
            "status": run.status,
            "halt_code": run.halt_code,
            "halt_rank": run.halt_rank,
            "halt_says": run.halt_says,
            "halted_at": run.halted_at,
            "started_at": run.started_at,
            "next_tick_at": run.next_tick_at,
            "is_rehearsal": run.is_rehearsal,
            "digest": run.digest,
        },
    )
    yield Part("plan", "The plan as approved", run.plan)
    journal = JournalEntry.objects.sealed().filter(run=run).order_by("-seq")[:JOURNAL_ENTRIES]
    yield Part(
        "journal",
        "The journal, newest first",
        [
            {
                "seq": one.seq,
                "at": one.at,
                "kind": one.kind,
                "subject": one.subject,
                # The customer reads the case too: of a team's standstill not why it was put, or lifted.
                "says": one.customer_says if _is_wide(one) else one.says,
                "detail": detail_for_all(one),
                "by": one.actor_name,
            }
            for one in journal
        ],
    )
    yield Part(
        "provider",
        "Changes sent, and what the provider answered",
        [
            {
                "noted_at": one.noted_at,
                "action": one.action,
                "sent_at": one.sent_at,
                "outcome": one.outcome or ("in doubt" if one.sent_at else "not sent"),
                "answer": one.outcome_detail,
                "looks": one.looks,
                "finished_at": one.finished_at,
            }
            for one in Intent.objects.filter(run=run).order_by("-pk")[:ANSWERS]
        ],
    )
    commands = RunCommand.objects.sealed().filter(run=run).order_by("-seq")[:50]
    yield Part(
        "commands",
        "What people told the run",
        [
            {
                "at": one.at,
                "name": one.name,
                "args": one.args,
                "accepted": one.accepted,
                "answer": one.answer,
                "by": one.by_name,
            }
            for one in commands
        ],
    )
    samples = RunSample.objects.filter(run=run).order_by("-at", "-pk")[:SAMPLES]
    yield Part(
        "pool",
        "The pool as the run last saw it",
        {
            "progress": run.progress,
            "samples": [{"at": one.at, "series": one.series, "value": one.value} for one in samples],
        },
    )


def _is_wide(entry: JournalEntry) -> bool:
    return entry.kind in {"standstill", "standstill_lifted"} and not entry.subject.startswith(
        ("account:", "connection:")
    )


def _plan(account: Any, ref: str) -> Plan | None:
    return Plan.objects.filter(account=account, ref=_ref(ref)).first()


def find_plan(account: Any, ref: str) -> About | None:
    """Return what a plan is called."""
    plan = _plan(account, ref)
    if plan is None:
        return None
    return About(
        label=plan.title,
        url=reverse("scaledown:plan-detail", args=[plan.ref]),
        summary=f"Help with the plan “{plan.title}”",
    )


def gather_plan(account: Any, ref: str) -> Iterable[Part]:
    """Return a plan's state, what was chosen, the frozen whole and the last preview. One query."""
    plan = _plan(account, ref)
    if plan is None:
        return
    yield Part(
        "plan",
        "The plan",
        {
            "ref": plan.ref,
            "title": plan.title,
            "status": plan.status,
            "digest": plan.digest,
            "chosen": plan.inputs,
            "whole": plan.data,
        },
    )
    yield Part("preview", "The last preview, with the pool as it was seen", plan.preview)


def register() -> None:
    """Make runs and plans known; called once when the app is ready."""
    register_subject("run", Subject(find_run, gather_run))
    register_subject("plan", Subject(find_plan, gather_plan))
