"""Each change that a person can make to a scale-down, one function each, in one transaction.

Whoever needs the provider for it reads the pool first (`pool.read_pool`, seconds of HTTP) and hands it in,
so that no transaction waits for somebody else's computer:

    draft_plan(account=…, connection=…, title=…, choice=Choice(…), actor=user) -> Plan
    edit_draft(plan, actor=user, title=…, choice=…, event=…) -> Plan
    preview_plan(plan, actor=user, pool=pool) -> Preview            keeps it with the draft
    submit_plan(plan, actor=user, pool=pool) -> Plan                freezes it; the provider's approval
    approve_plan(plan, actor=user, seen_digest=…) / reject_plan(plan, actor=user, seen_digest=…, reason=…)
    void_plan(plan, actor=user, reason=…) / copy_plan(plan, actor=user) -> Plan      less of it: lessening.py
    start_run(plan, actor=user, seen_digest=…) -> Run               rehearse(plan, actor=user, pool=pool) -> Run
    command(run, "pause", actor=user, args={…}, reason="…", seen_status="running") -> RunCommand

Protected servers, scale-up records and lessons: records.py; standstills: standstills.py.
All raise Refused, NotPermitted or StaleState with a sentence for people, and record the change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog
from django.db import transaction
from django.utils import timezone

from portal import access
from portal.access import Permission
from portal.approvals import services as approvals
from portal.approvals.models import ApprovalRequest, ApprovalStatus, Side, Verdict
from portal.audit.services import record, snapshot
from portal.audit.subjects import Sealer, named_in
from portal.cloud.types import CloudIdentity
from portal.errors import NotPermitted, Refused, StaleState
from portal.runs import services as runs
from portal.runs.models import Run, RunCommand
from portal.runs.types import RunStatus
from scaledown import freezes, hours, offers, someone
from scaledown.candidates import Choice, Known, Pool, kept, sizes_of
from scaledown.canonical import digest, from_plain, plan_from_plain, plan_to_plain, to_plain
from scaledown.known import known_for
from scaledown.less import same_pool
from scaledown.lessened import check_steps
from scaledown.models import (
    PLAN_MOVES,
    Plan,
    PlanLook,
    PlanStatus,
)
from scaledown.planner import build_plan_data, check_choice
from scaledown.preview import Preview, preview
from scaledown.progress import new_progress, progress_from_plain, progress_to_plain
from scaledown.types import PEAK_SPARE_S, PlanData

if TYPE_CHECKING:
    from accounts.models import Account, CloudConnection, User
    from capacity.models import TrafficEvent

log = structlog.get_logger(__name__)

KIND = "scaledown"
SUBJECT = "scaledown.plan"
APPROVAL_LASTS = timedelta(days=7)


def require(actor: User, permission: Permission, account: Account) -> None:
    """Ask again inside the service: a caller that forgot must not open a door."""
    if not access.can(actor, permission, account):
        raise NotPermitted(
            f"You may not {permission.says} for {account}. Someone with that right can do it or grant it.",
            code="not_permitted",
        )


def locked_plan(plan: Plan) -> Plan:
    """Return the plan as it is now, locked until the transaction ends."""
    return (
        Plan.objects.select_for_update(of=("self",))
        .select_related("account", "connection", "event", "author")
        .get(pk=plan.pk)
    )


def _move(plan: Plan, to: PlanStatus, reason: str = "") -> None:
    """Move a locked plan; raises StaleState for a move that its present status does not allow."""
    if to not in PLAN_MOVES[plan.status]:
        raise StaleState(
            f"“{plan.title}” is {PlanStatus(plan.status).label.lower()} by now. Nothing was changed.",
            code="plan_status_changed",
        )
    plan.status = to
    plan.status_reason = reason


def choice_of(plan: Plan) -> Choice:
    """Return what the author chose."""
    choice = from_plain(Choice, plan.inputs)
    assert isinstance(choice, Choice)
    return choice


def data_of(plan: Plan) -> PlanData | None:
    """Return the frozen plan, or None while it is a draft."""
    return None if plan.data is None else plan_from_plain(plan.data)


# --- drafts ---------------------------------------------------------------------------------------------


@transaction.atomic
def draft_plan(
    *,
    account: Account,
    connection: CloudConnection,
    actor: User,
    title: str,
    choice: Choice,
    event: TrafficEvent | None = None,
    copied_from: Plan | None = None,
) -> Plan:
    """Return a new draft. Raises Refused for a connection or event of another account, or a bad choice."""
    require(actor, Permission.PLAN_DRAFT, account)
    if account.status == "archived":
        raise Refused(f"{account} is archived: it can be read, not changed.", code="archived")
    check_belongs(account, connection, event)
    _check_title(title)
    check_choice(choice)
    plan = Plan.objects.create(
        account=account,
        connection=connection,
        event=event,
        title=title.strip(),
        inputs=to_plain(choice),
        author=actor,
        copied_from=copied_from,
    )
    record("plan.drafted", actor=actor, account=account, subject=plan, after=snapshot(plan))
    return plan


def check_belongs(account: Account, connection: CloudConnection, event: TrafficEvent | None) -> None:
    if connection.account_id != account.pk:
        raise Refused("This cloud connection belongs to another account.", code="other_account")
    if event is not None and event.account_id != account.pk:
        raise Refused("This traffic event belongs to another account.", code="other_account")


def _check_title(title: str) -> None:
    if not title.strip():
        raise Refused("Give the plan a name that people will recognise.", code="title_missing")


_KEEP: Any = object()


@transaction.atomic
def edit_draft(
    plan: Plan,
    *,
    actor: User,
    title: str | None = None,
    choice: Choice | None = None,
    event: TrafficEvent | None = _KEEP,
    seen: datetime | None = None,
) -> Plan:
    """Return the changed draft. What is not given stays. Raises StaleState once it was submitted.

    With `seen` (the row's `updated_at` as it was read) also where the draft was changed since.
    """
    locked = locked_plan(plan)
    require(actor, Permission.PLAN_DRAFT, locked.account)
    if locked.status != PlanStatus.DRAFT:
        raise StaleState(
            "This plan was submitted, and what people approve cannot change. Copy it to change it.",
            code="plan_frozen",
        )
    if seen is not None and locked.updated_at != seen:
        raise StaleState(
            "This draft was changed at the same moment, in another tab or by someone else. Nothing of yours was"
            " saved yet; it stands below as you typed it.",
            code="draft_changed",
        )
    before = snapshot(locked)
    if title is not None:
        _check_title(title)
        locked.title = title.strip()
    if choice is not None:
        check_choice(choice)
        locked.inputs = to_plain(choice)
        locked.preview = None
    if event is not _KEEP:
        check_belongs(locked.account, locked.connection, event)
        locked.event = event
        locked.preview = None
    locked.save()
    record(
        "plan.changed",
        actor=actor,
        account=locked.account,
        subject=locked,
        before=before,
        after=snapshot(locked),
    )
    return locked


@dataclass(frozen=True)
class Drawn:
    """A plan drawn from a fresh look, with what its approvers would be shown."""

    data: PlanData
    preview: Preview
    known: Known


def draw(plan: Plan, pool: Pool) -> Drawn:
    """Return what this plan is with the pool as it was just read. Raises Refused with what is in the way."""
    choice = choice_of(plan)
    known = known_for(
        plan.connection, choice.balancer_ids, plan.event, at=pool.looked_at, sizes=sizes_of(pool)
    )
    return draw_from(choice, pool, known)


def draw_from(choice: Choice, pool: Pool, known: Known) -> Drawn:
    """Return the plan of a choice from a look and what was known then. Raises Refused with what is in the way."""
    data = build_plan_data(choice, pool, known)
    return Drawn(data, preview(data, choice, pool, known), known)


def check_blocks(drawn: Drawn, done: str) -> None:
    """Raise Refused with every warning that blocks what was drawn; `done` says what was not done."""
    blocking = [warning for warning in drawn.preview.warnings if warning.blocks]
    if blocking:
        raise Refused(
            f"{done} " + " ".join(f"{warning.says} {warning.what_to_do}" for warning in blocking),
            code="blocked",
        )


@transaction.atomic
def preview_plan(plan: Plan, *, actor: User, pool: Pool) -> Preview:
    """Return the preview from a fresh look. Raises Refused where it makes no plan.

    A draft keeps it where the actor may change drafts: who may only read leaves no trace on what others see.
    """
    locked = locked_plan(plan)
    require(actor, Permission.PLAN_VIEW, locked.account)
    drawn = draw(locked, pool)
    if locked.status == PlanStatus.DRAFT and access.can(actor, Permission.PLAN_DRAFT, locked.account):
        # Not a change of the plan: its version for If-Match stays.
        Plan.objects.filter(pk=locked.pk).update(preview=to_plain(drawn.preview))
    return drawn.preview


@transaction.atomic
def copy_plan(plan: Plan, *, actor: User) -> Plan:
    """Return a new draft with the same choices: a used, voided or rejected plan is done again this way."""
    return draft_plan(
        account=plan.account,
        connection=plan.connection,
        actor=actor,
        title=plan.title if plan.title.startswith("Copy of ") else f"Copy of {plan.title}"[:200],
        choice=choice_of(plan),
        event=plan.event,
        copied_from=plan,
    )


# --- approval -------------------------------------------------------------------------------------------


@transaction.atomic
def submit_plan(plan: Plan, *, actor: User, pool: Pool, reason: str = "") -> Plan:
    """Freeze the plan as drawn from this look and ask for approval; submitting is the provider side's own.

    Raises Refused with every blocking warning, NotPermitted for who is no launch manager of the account.
    """
    locked = locked_plan(plan)
    require(actor, Permission.PLAN_SUBMIT, locked.account)
    if locked.status != PlanStatus.DRAFT:
        raise StaleState("This plan was submitted already.", code="plan_status_changed")
    drawn = draw(locked, pool)
    check_blocks(drawn, "The plan was not submitted.")
    now = timezone.now()
    before = snapshot(locked)
    locked.data = plan_to_plain(drawn.data)
    locked.preview = to_plain(drawn.preview)
    locked.digest = digest(drawn.data)
    locked.submitted_at = now
    locked.expires_at = now + APPROVAL_LASTS
    _move(locked, PlanStatus.AWAITING_APPROVAL)
    locked.save()
    PlanLook.objects.create(plan=locked, pool=to_plain(kept(pool)), known=to_plain(drawn.known))
    _mark_used(locked, now)
    approvals.submit(
        account=locked.account,
        subject_type=SUBJECT,
        subject_ref=locked.ref,
        title=locked.title,
        digest=locked.digest,
        author=locked.author,
        actor=actor,
        at=now,
        expires_at=locked.expires_at,
        reason=reason,
    )
    record(
        "plan.submitted",
        actor=actor,
        account=locked.account,
        subject=locked,
        before={"status": before["status"]},
        after={"status": locked.status, "plan_hash": locked.digest},
        reason=reason,
    )
    locked.refresh_from_db()
    return locked


def _mark_used(plan: Plan, now: datetime) -> None:
    # From the first submitted plan on the connection's endpoint, tenant and region stay: digests rest on them.
    if plan.connection.used_at is None:
        plan.connection.used_at = now
        plan.connection.save(update_fields=["used_at"])


def request_of(plan: Plan) -> ApprovalRequest | None:
    """Return the newest approval request of a plan, with its decisions, or None."""
    return (
        ApprovalRequest.objects.filter(subject_type=SUBJECT, subject_ref=plan.ref)
        .prefetch_related("decisions")
        .order_by("-pk")
        .first()
    )


def _decide(plan: Plan, actor: User, decision: Verdict, seen_digest: str, reason: str) -> Plan:
    request = request_of(plan)
    if request is None:
        raise StaleState("This plan was not submitted yet, so there is nothing to decide.", code="not_open")
    approvals.decide(
        request,
        actor=actor,
        side=Side.CUSTOMER,
        decision=decision,
        seen_digest=seen_digest,
        reason=reason,
        at=timezone.now(),
    )
    plan.refresh_from_db()
    return plan


@transaction.atomic
def approve_plan(plan: Plan, *, actor: User, seen_digest: str, reason: str = "") -> Plan:
    """Approve for the customer exactly what was seen. Repeated by the same person: the same answer."""
    return _decide(plan, actor, Verdict.APPROVE, seen_digest, reason)


@transaction.atomic
def reject_plan(plan: Plan, *, actor: User, seen_digest: str, reason: str) -> Plan:
    """Reject for the customer, with a reason."""
    return _decide(plan, actor, Verdict.REJECT, seen_digest, reason)


def plan_was_decided(request: ApprovalRequest) -> None:
    """Keep the plan's status true to its approval request; called in the deciding transaction."""
    plan = locked_plan(Plan.objects.get(ref=request.subject_ref))
    if plan.digest != request.digest:
        return  # an older request of a plan that was drawn anew
    became = {
        ApprovalStatus.APPROVED: PlanStatus.APPROVED,
        ApprovalStatus.REJECTED: PlanStatus.REJECTED,
        ApprovalStatus.EXPIRED: PlanStatus.EXPIRED,
        ApprovalStatus.VOIDED: PlanStatus.VOIDED,
    }.get(ApprovalStatus(request.status))
    if became is None or became == plan.status or became not in PLAN_MOVES[plan.status]:
        return
    _move(plan, became, request.closed_reason)
    if became == PlanStatus.APPROVED:
        plan.approved_at = request.closed_at
    plan.save()


@transaction.atomic
def expire_plans(at: datetime, *, limit: int = 100) -> int:
    """Mark approved plans that nobody started in time as expired; returns how many.

    Plans that still wait for a decision expire with their approval request. Safe to call by many at once.
    """
    due = (
        Plan.objects.select_for_update(skip_locked=True, of=("self",))
        .select_related("account")
        .filter(status=PlanStatus.APPROVED, expires_at__lte=at)
        .order_by("expires_at", "pk")[:limit]
    )
    count = 0
    for plan in due:
        _move(plan, PlanStatus.EXPIRED, "Nobody started it in time. Copy it to ask again.")
        plan.save()
        record("plan.expired", account=plan.account, subject=plan, after={"status": plan.status})
        count += 1
    return count


@transaction.atomic
def void_plan(plan: Plan, *, actor: User | None, reason: str) -> Plan:
    """End a plan that shall not run. `actor` None means the portal. Raises StaleState once a run began."""
    # The request before the plan: a decision locks them in this order too.
    ApprovalRequest.objects.select_for_update().filter(subject_type=SUBJECT, subject_ref=plan.ref).first()
    locked = locked_plan(plan)
    if actor is not None:
        require(actor, Permission.PLAN_DRAFT, locked.account)
    if not reason.strip():
        raise Refused("Say why the plan is withdrawn: it stays on the record.", code="reason_missing")
    if locked.status == PlanStatus.USED and actor is not None:
        raise StaleState("A run of this plan was started. Abort the run instead.", code="plan_status_changed")
    request = request_of(locked)
    was = locked.status
    if request is not None:
        approvals.void(request, reason=reason, at=timezone.now(), actor=actor)
        locked.refresh_from_db()
    if locked.status != PlanStatus.VOIDED:
        _move(locked, PlanStatus.VOIDED, Sealer(named_in(locked.account, reason)).text(reason))
        locked.save()
    record(
        "plan.voided",
        actor=actor,
        account=locked.account,
        subject=locked,
        before={"status": was},
        after={"status": locked.status},
        reason=reason,
    )
    return locked


# --- runs -----------------------------------------------------------------------------------------------


def resource_keys(data: PlanData) -> list[str]:
    """Return what a run of this plan claims: its balancers, and its servers whether they leave or stay."""
    identity = CloudIdentity(data.provider, data.identity_url, data.tenant, data.region)
    return sorted(
        {
            *(identity.key("lb", balancer_id) for balancer_id in data.balancer_ids),
            *(identity.key("server", server.server_id) for server in (*data.servers, *data.remaining)),
        }
    )


def scopes_of(plan: Plan) -> list[str]:
    """Return the standstill scopes of a plan: its team, its account, and each connection of it to the same pool.

    Who stops everything on one connection means the servers behind it, whichever key they are reached with.
    """
    mine = plan.connection
    alike = plan.account.connections.filter(
        provider=mine.provider, tenant=mine.tenant, region=mine.region
    ).order_by("pk")
    return [
        f"team:{plan.account.team.ref}",
        f"account:{plan.account.ref}",
        *dict.fromkeys(f"connection:{one.ref}" for one in (mine, *alike)),
    ]


@transaction.atomic
def start_run(
    plan: Plan,
    *,
    actor: User,
    seen_digest: str,
    seen_status: str = PlanStatus.APPROVED,
    override_reason: str = "",
    seen_held: str = "",
) -> Run:
    """Return the run of an approved plan; the plan is used from then on.

    Raises StaleState if plan or digest are no longer what was seen, NotPermitted for the customer's
    approver and whoever may not start, Refused while another run holds the pool or a standstill is in force, and for
    a start into a freeze, unless somebody who may override it says why, and `seen_held` is the version of what holds it.
    """
    locked = locked_plan(plan)
    require(actor, Permission.RUN_START, locked.account)
    if seen_status != locked.status or locked.status != PlanStatus.APPROVED:
        raise StaleState(
            f"“{locked.title}” is {PlanStatus(locked.status).label.lower()}; only an approved plan can be started.",
            code="plan_status_changed",
        )
    if seen_digest != locked.digest:
        raise StaleState(
            "This is not the plan that you were shown. Look again, then start it.", code="digest_mismatch"
        )
    data = data_of(locked)
    assert data is not None
    if digest(data) != locked.digest:
        raise Refused(
            "The stored plan is not what was approved, so it was not started. Tell the operator of the portal.",
            code="digest_broken",
        )
    now = timezone.now()
    begins = hours.begins_at(data, now)
    _check_approval(locked, actor, begins)
    if hours.is_over(data, now):
        raise Refused("The change window of this plan is over. Copy it with a new one.", code="window_over")
    if says := peak_is_over(data, begins):
        raise Refused(says, code="peak_over")
    frozen = freezes.for_start(locked, data, now)
    if frozen:
        freezes.check_override(frozen, locked.account, actor, override_reason, "Start it", seen_held)
    if choice_of(locked).needs_contacts:
        someone.check_start(locked.account, begins)
    run = runs.create_run(
        account=locked.account,
        kind=KIND,
        plan_ref=locked.ref,
        plan=plan_to_plain(data),
        digest=locked.digest,
        resource_keys=resource_keys(data),
        scopes=scopes_of(locked),
        title=locked.title,
        actor=actor,
        progress=progress_to_plain(new_progress(data, now)),
        first_tick_at=begins if begins > now else None,
    )
    _move(locked, PlanStatus.USED)
    locked.save()
    if frozen:
        freezes.override(run, frozen, actor=actor, reason=override_reason)
    record(
        "run.started",
        actor=actor,
        account=locked.account,
        subject=locked,
        after={"run": str(run.ref), "plan_hash": locked.digest},
    )
    return run


def peak_is_over(data: PlanData, begins: datetime) -> str:
    """Return why a plan that holds servers through a peak cannot begin then, or ""."""
    if data.hold_through is None or begins + timedelta(seconds=PEAK_SPARE_S) < data.hold_through:
        return ""
    return "The peak through which this plan holds servers is here or over. Copy the plan, with the time of the next one."


def why_not_start(
    plan: Plan, data: PlanData, frozen: Sequence[freezes.Freeze], *, actor: User, at: datetime
) -> str:
    """Return why this person cannot start an approved plan now, or "": what `start_run` would refuse.

    `frozen` is what it would start into. What of it the person may override is no such reason: it takes a written one. At most
    nine queries, and one more where the plan was made less.
    """
    if hours.is_over(data, at):
        return "The change window of this plan is over. Copy it with a new one."
    begins = hours.begins_at(data, at)
    try:
        _check_approval(plan, actor, begins)
    except Refused as refusal:
        return refusal.says
    if says := peak_is_over(data, begins):
        return says
    if choice_of(plan).needs_contacts and (says := someone.missing(plan.account, begins, someone.BEGINS)):
        return says
    if frozen and not access.can(actor, Permission.OVERRIDE, plan.account):
        return f"{freezes.says_of(frozen)} {freezes.instead(frozen, 'Start it')}, or have a lead override it."
    return ""


def _check_approval(plan: Plan, actor: User, begins: datetime) -> None:
    request = approvals.approved_request(SUBJECT, plan.ref, plan.digest)
    if request is None:
        raise Refused("The plan is not approved by both sides.", code="not_approved")
    if approvals.has_expired(request, timezone.now()):
        raise Refused(
            "The approval of this plan is over. Copy the plan and have it approved anew.", code="expired"
        )
    if approvals.has_expired(request, begins):
        raise Refused(
            "The approval of this plan ends before its change window opens. Copy the plan and have it approved nearer to that.",
            code="expired",
        )
    check_steps(plan, request)
    if says := approvals.removal_says(request):
        raise Refused(f"{says} Have it approved anew.", code="approver_removed")
    approvals.check_starter(request, actor)


@transaction.atomic
def rehearse(plan: Plan, *, actor: User, pool: Pool) -> Run:
    """Return a rehearsal of a plan: everything is read, every change is withheld and journalled as would-have.

    It needs no approval, since nothing changes; it claims the pool like a real run.
    """
    locked = locked_plan(plan)
    require(actor, Permission.RUN_START, locked.account)
    data = data_of(locked) or draw(locked, pool).data
    run = runs.create_run(
        account=locked.account,
        kind=KIND,
        plan_ref=locked.ref,
        plan=plan_to_plain(data),
        digest=digest(data),
        resource_keys=resource_keys(data),
        scopes=scopes_of(locked),
        title=f"Rehearsal: {locked.title}"[:200],
        actor=actor,
        progress=progress_to_plain(new_progress(data, timezone.now())),
        rehearsal=True,
    )
    record("run.rehearsed", actor=actor, account=locked.account, subject=locked, after={"run": str(run.ref)})
    return run


def situation_of(run: Run) -> offers.Situation:
    """Return what commands are judged by."""
    return offers.Situation(
        status=RunStatus(run.status),
        plan=plan_from_plain(run.plan),
        progress=progress_from_plain(run.progress),
        is_rehearsal=run.is_rehearsal,
    )


@transaction.atomic
def command(
    run: Run,
    name: str,
    *,
    actor: User,
    args: Mapping[str, Any] | None = None,
    reason: str = "",
    seen_status: str | None = None,
    seen_digest: str | None = None,
    seen_held: str = "",
) -> RunCommand:
    """Return the accepted command; the run's next tick answers it. Raises Refused with the sentence why not.

    `seen_status`, `seen_digest` and, of who overrides what holds it, `seen_held` are what the person saw; StaleState if the run
    is not there any more.
    """
    locked = Run.objects.select_for_update(of=("self",)).select_related("account").get(pk=run.pk)
    rule = offers.RULES.get(name)
    if rule is not None:
        require(actor, rule.permission, locked.account)
    if seen_status is not None and seen_status != locked.status:
        raise StaleState(
            f"The run is {locked.status.replace('_', ' ')} now, no longer {seen_status.replace('_', ' ')}. "
            "Nothing was sent. Look again, then decide.",
            code="status_changed",
        )
    if seen_digest is not None and seen_digest != locked.digest:
        raise StaleState("This run is of another plan than the one you saw.", code="digest_mismatch")
    why_not = offers.refusal(name, args or {}, reason, situation_of(locked))
    if why_not is not None:
        raise Refused(why_not, code="command_refused")
    if name in offers.GO_ON:
        someone.check_going_on(locked, timezone.now())
    # What is rolled back only makes the pool larger again: nothing holds that.
    takes_out = not locked.is_rehearsal and not locked.progress.get("rolling_back")
    if name in offers.GO_ON and locked.status in _AT_REST and takes_out:
        frozen = freezes.not_overridden(locked, timezone.now(), resumes=True)
        if frozen and name not in {"resume", "retry"}:
            raise Refused(
                f"{freezes.says_of(frozen)} Put the server back, or have a lead resume the run all the same.",
                code="freeze",
            )
        if frozen:
            freezes.check_override(frozen, locked.account, actor, reason, "Resume it", seen_held)
            freezes.override(locked, frozen, actor=actor, reason=reason)
    given = runs.give_command(locked, name, actor=actor, reason=reason, args=dict(args or {}))
    record(
        f"run.{name}",
        actor=actor,
        account=locked.account,
        subject=locked,
        after={"args": dict(args or {}), "status_seen": locked.status},
        reason=reason,
    )
    run.refresh_from_db()
    return given


_AT_REST = frozenset({RunStatus.PAUSED, RunStatus.HALTED})


def what_holds_back(run: Run, now: datetime) -> dict[str, str]:
    """Return what keeps a run that rests from going on and a lead may let pass, as `offers.Situation` takes it."""
    if run.is_rehearsal or run.status not in _AT_REST or run.progress.get("rolling_back"):
        return {}
    held = freezes.holding(run, now, resumes=True)
    return {
        "freeze": held.says if held else "",
        "held_version": held.version if held else "",
        "nobody_to_call": someone.holding(run, now),
    }


def pool_differs(plan: Plan, pool: Pool) -> str | None:
    """Return the sentence how the pool differs from the frozen plan, or None. For a look before the start."""
    data = data_of(plan)
    if data is None:
        return None
    try:
        return same_pool(data, draw(plan, pool).data)
    except Refused as refusal:
        return refusal.says
