"""What the engine calls inside its transactions: what the database says of a drill, and what a decision means for its rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from accounts.calendar.selectors import freezes_at
from accounts.clouds import credentials_of
from accounts.networks import networks_of
from accounts.reach.escalation import ANSWERS, Pace
from accounts.reach.models import Reach, ReachKind, ReachState, ReachStep
from accounts.reach.services import start_reach, stop_reach
from drills import commands, figures
from drills.plans import services
from drills.plans.models import Drill, HeldDrill
from drills.scenarios.types import REBOOTS, DrillKind
from drills.told import calls
from drills.types import (
    Called,
    Ending,
    MarkKind,
    TargetPhase,
    plan_from_plain,
    progress_from_plain,
)
from portal import guards
from portal.approvals import services as approvals
from portal.approvals.models import ApprovalRequest
from portal.errors import Refused
from portal.events.services import emit
from portal.runs.models import Run
from portal.runs.registry import Asked, Told
from portal.runs.types import Decision, RunStatus

DRILL_SAYS = "FIRE DRILL, not a real incident."
REAL_SAYS = "This is REAL and no drill any more: somebody said so during a fire drill. Please answer, and act by the emergency plan."


def facts(run: Run) -> Mapping[str, Any]:
    """Return what the database says that bears on a drill; read in the claiming transaction."""
    now = timezone.now()
    held = HeldDrill.objects.select_related("drill__connection", "reach").get(run=run)
    drill = held.drill
    plan = plan_from_plain(run.plan)
    found: dict[str, Any] = {"approval_problem": _approval_problem(run)}
    if services.is_disruptive(plan):
        frozen = freezes_at(run.account, now)
        found["freeze"] = frozen[-1].says if frozen else ""
    if run.status == RunStatus.SCHEDULED:
        found["not_ready"] = " ".join(services.not_ready(drill, plan, now)) if now >= plan.not_before else ""
    if plan.hits and drill.connection is not None:
        found["credentials"] = credentials_of(drill.connection)
        found["protected"] = tuple(guards.guarded(drill.connection))
    if plan.probes:
        found["networks"] = networks_of(run.account)
    called = _called(held)
    if called is not None:
        found["called"] = called
    answers = calls.answers_of(held) if calls.asks_by_link(plan) else ()
    if answers:
        found["answers"] = answers
    return found


def _approval_problem(run: Run) -> str:
    if approvals.is_approved(services.SUBJECT, run.plan_ref, run.digest, account=run.account, at=None):
        return ""
    request = approvals.approved_request(services.SUBJECT, run.plan_ref, run.digest)
    if request is None:
        return "This drill is not approved by both sides any more."
    return approvals.removal_says(request)


def _called(held: HeldDrill) -> Called | None:
    if held.reach_says:
        return Called("refused", True, None, "", held.reach_says)
    reach = held.reach
    if reach is None:
        return None
    is_over = reach.state != ReachState.RUNNING
    if reach.state != ReachState.ANSWERED:
        says = {
            ReachState.RUNNING: "The contacts are called, one after the other.",
            ReachState.NOBODY: "Everybody in the order was called, and nobody answered.",
            ReachState.STOPPED: "The calling was stopped.",
        }[ReachState(reach.state)]
        return Called(reach.state, is_over, None, "", says)
    answers = [one.value for one in ANSWERS]
    # What is noted of a run names nobody in clear.
    steps = ReachStep.objects.sealed().filter(reach=reach, tries__outcome__in=answers)
    step = steps.order_by("place").first()
    place = f"number {step.place} in the order" if step is not None else "somebody"
    return Called(reach.state, True, reach.ended_at, step.contact_name if step else "", f"Answered: {place}.")


def project(run: Run, decision: Decision, was: Mapping[str, Any]) -> None:
    """Keep the row of the drill true, and have its contacts called, in the transaction that writes a decision."""
    if not decision.progress:
        return
    progress = progress_from_plain(decision.progress)
    held: HeldDrill | None = None
    if progress.calls and not was.get("calls"):
        held = _held(run)
        _call(held, run)
    if progress.injected_at is not None and not _was_injected(was):
        held = held or _held(run)
        calls.ask_participants(held, plan_from_plain(run.plan), progress.injected_at)
    if progress.began_at is not None and not was.get("began_at"):
        held = held or _held(run)
        held.began_at = progress.began_at
        held.save(update_fields=["began_at"])
        # The account's own programs read it: of an unannounced drill they learn at its end.
        if held.drill.kind != DrillKind.UNANNOUNCED.value:
            _emit(held, "drill.began", {})
    if progress.ending is Ending.REAL and was.get("ending") != Ending.REAL.value:
        held = held or _held(run)
        calls.tell_real(held)
    if RunStatus(run.status).is_over:
        held = held or _held(run)
        if held.result:
            return
        verdict = figures.verdict_of(plan_from_plain(run.plan), progress, RunStatus(run.status))
        assert verdict is not None
        held.result = f"drill_{verdict.result.value}"
        held.reasons = list(verdict.reasons)
        held.ended_at = progress.ended_at or timezone.now()
        held.save(update_fields=["result", "reasons", "ended_at"])
        if held.drill.kind == DrillKind.UNANNOUNCED.value and held.began_at is not None:
            _emit(held, "drill.began", {})
        _emit(held, "drill.ended", {"result": held.result})
        _end_calls(held, run, is_real=progress.ending is Ending.REAL)


def _was_injected(was: Mapping[str, Any]) -> bool:
    return any(one.get("kind") == MarkKind.INJECTED.value for one in was.get("marks") or ())


def _held(run: Run) -> HeldDrill:
    rows = HeldDrill.objects.select_related("drill__account", "drill__facilitator", "reach")
    return rows.get(run=run)


def _emit(held: HeldDrill, name: str, data: Mapping[str, Any]) -> None:
    emit(
        name,
        account_ref=held.drill.account.ref,
        subject_type="drill",
        subject_ref=held.drill.ref,
        data={
            "kind": held.drill.kind,
            "environment": held.drill.environment,
            "scenario": held.drill.scenario_key,
            **data,
        },
    )


def _call(held: HeldDrill, run: Run) -> None:
    """Have the contacts called in their order. What cannot be begun is said, and the drill goes on with that."""
    try:
        held.reach = _reached(
            held,
            run,
            kind=ReachKind.TEST,
            reason=f"Fire drill: {held.drill.title}",
            message=f"{DRILL_SAYS} Please answer as you would in a real one.",
        )
    except Refused as refusal:
        held.reach_says = f"The contacts could not be called. {refusal.says}"[:500]
    held.save(update_fields=["reach", "reach_says"])


def _end_calls(held: HeldDrill, run: Run, *, is_real: bool) -> None:
    """Call nobody for a drill that is over. Where it became real the calls begin anew, without the word drill."""
    if held.reach is None:
        return
    stop_reach(held.reach, actor=held.drill.facilitator)
    # Whoever answered it did so to a drill, so that they are called again.
    if not is_real:
        return
    try:
        _reached(
            held,
            run,
            kind=ReachKind.CALL,
            reason=f"A fire drill became real: {held.drill.title}",
            message=REAL_SAYS,
        )
    except Refused as refusal:
        held.reach_says = f"It became real, and the contacts could not be called. {refusal.says}"[:500]
        held.save(update_fields=["reach_says"])


def _reached(held: HeldDrill, run: Run, *, kind: ReachKind, reason: str, message: str) -> Reach:
    """Begin to call the contacts in the order that the plan names. Raises Refused where that cannot be."""
    calling = plan_from_plain(run.plan).calling
    assert calling is not None
    with transaction.atomic():
        return start_reach(
            held.drill.account,
            role=calling.role,
            kind=kind,
            reason=reason[:200],
            message=message,
            actor=held.drill.facilitator,
            pace=Pace(wait_s=calling.wait_s, tries=calling.tries),
            with_asleep=True,
        )


def may_command(run: Run, name: str, args: Mapping[str, Any]) -> None:
    """Raise Refused for what no drill can be asked."""
    if name not in commands.NAMES:
        raise Refused(
            "A drill is stopped, not paused: what it disrupts would stay so. Stop it, or go on.",
            code="command_refused",
        )


def draining(runs: Iterable[Run]) -> int:
    """Return how many servers the given runs have disrupted and not seen back yet."""
    return sum(
        one["phase"] in {TargetPhase.HIT.value, TargetPhase.RETURNING.value}
        for run in runs
        for one in (run.progress or {}).get("targets", ())
    )


def is_half_way(run: Run) -> bool:
    """Whether something is disrupted just now."""
    return draining([run]) > 0


def asks(run: Run) -> Asked:
    """Return what a halted drill asks. Silence is no answer: what is disrupted is brought back as long as it takes."""
    reboots = plan_from_plain(run.plan).injection in REBOOTS
    otherwise = (
        "Nothing more is sent to the server, and it is watched until it is back."
        if reboots
        else "The portal goes on bringing back what the drill took away, and disrupts nothing more."
    )
    return Asked(
        "Who leads the drill is asked now: bring the server back by hand, or say that this is real.",
        "Your launch manager is asked now. Anybody may say that this is real.",
        None,
        otherwise,
        otherwise,
    )


def told(run: Run) -> Told:
    """Return the words of a drill's beginning and end: as a drill's, and as real once it has become that."""
    if (run.progress or {}).get("ending") == Ending.REAL.value:
        return Told(
            stopped=f"Somebody said that this is REAL: act by the emergency plan. {_UNDONE}",
            became="became REAL and is no drill any more",
        )
    return Told(
        began="It is a FIRE DRILL, not a real incident. Who takes part reacts as in a real one; nobody else has to do anything.",
        stopped=_UNDONE,
        became="ended before its time",
    )


_UNDONE = "What the drill had disrupted is back in service. It disrupts nothing more."


def is_untold(run: Run) -> bool:
    """Whether who reacts must not know of it: an unannounced drill until it is over."""
    return run.plan.get("kind") == DrillKind.UNANNOUNCED.value and not RunStatus(run.status).is_over


def is_untold_request(request: ApprovalRequest) -> bool:
    """Whether approval is asked for an unannounced drill: what is decided about it comes before its end."""
    return Drill.objects.filter(ref=request.subject_ref, kind=DrillKind.UNANNOUNCED.value).exists()


def url_of(run: Run) -> str:
    """Return the page of a drill's run."""
    return reverse("drills:drill-live", args=[run.plan_ref])
