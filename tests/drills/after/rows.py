"""Drills that are over, with the figures that a test wants."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from drills import figures
from drills.plans.models import HeldDrill
from drills.types import Mark, MarkKind, Seen, plan_from_plain, progress_to_plain
from portal.frozen import replace
from portal.runs.models import JournalEntry, Run
from portal.runs.types import RunStatus
from tests.drills.rows import started
from tests.drills.test_figures import progress_of

LIMITS = {"error_ratio": 0.05, "p95_factor": None, "acknowledged_s": 300.0, "recovered_s": 900.0}


def over(
    here,
    key="node_lost",
    *,
    recovered_s=30,
    acknowledged_s=90,
    by=None,
    status="completed",
    ago_days=0,
    **more,
):
    """Return a drill that ended now: injected eight minutes ago, acknowledged and recovered as told; None for never."""
    changes = {
        name: more.pop(name) for name in ("kind", "environment", "contacts", "observers") if name in more
    }
    held = started(here, key, **LIMITS, **changes)
    began = timezone.now() - timedelta(days=ago_days, minutes=20)
    by = by or here.editor
    marks = [Mark(MarkKind.INJECTED, began + timedelta(seconds=60), says="Drill: web-06 is taken out.")]
    since = marks[0].at
    if acknowledged_s is not None:
        at = since + timedelta(seconds=acknowledged_s)
        marks.append(Mark(MarkKind.ACKNOWLEDGED, at, str(by.pk), str(by), f"Acknowledged: {by}."))
    if recovered_s is not None:
        marks.append(Mark(MarkKind.RECOVERED, since + timedelta(seconds=recovered_s), says="Recovered."))
    ended = since + timedelta(seconds=1000)
    failed = [0, *([] if recovered_s is None else [max(recovered_s - 10, 0)])]
    until = 1000
    failing = {*failed} if recovered_s is not None else set(range(0, until, 10))
    seen = tuple(
        Seen("home", since + timedelta(seconds=one), one not in failing, None if one in failing else 80.0)
        for one in range(until - 60, until, 10)
    )
    progress = replace(
        progress_of(),
        began_at=began,
        ended_at=ended,
        marks=tuple(marks),
        steps=(),
        targets=(),
        seen=seen,
        asked=100,
        failed=len(failing),
        worst_error_ratio=0.04,
        worst_p95_ms=120.0,
        calm_since=None if recovered_s is None else since + timedelta(seconds=recovered_s),
        **more,
    )
    run = Run.objects.get(pk=held.run_id)
    plain = progress_to_plain(progress)
    plain["steps"], plain["targets"] = run.progress["steps"], run.progress["targets"]
    Run.objects.filter(pk=run.pk).update(status=status, progress=plain, next_tick_at=None, ended_at=ended)
    run.claims.all().delete()
    plan = plan_from_plain(run.plan)
    verdict = figures.verdict_of(plan, progress, RunStatus(status))
    HeldDrill.objects.filter(pk=held.pk).update(
        result=f"drill_{verdict.result.value}", reasons=list(verdict.reasons), began_at=began, ended_at=ended
    )
    JournalEntry.objects.create(
        run=run, seq=900, at=since, kind="note", says="The shop is slow.", actor_name=""
    )
    return HeldDrill.objects.select_related("drill", "run").get(pk=held.pk)
