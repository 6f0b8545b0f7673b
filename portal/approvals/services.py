"""Asking for approval and deciding, each as one locked transaction that gives the same answer when repeated.

Two sides by default. Nobody counts for both; a launch manager never counts for the customer; the author
and whoever granted the role to themself do not either. An approval is of a digest, and of what was made less of it since
(`lessen`).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.utils import timezone

from portal.access import TEAM_ROLES, Permission, permissions_on, roles_on
from portal.approvals.models import ApprovalDecision, ApprovalRequest, ApprovalStatus, Side, Verdict
from portal.approvals.registry import is_untold, tell, url_of
from portal.audit.models import AuditEntry
from portal.audit.services import record
from portal.audit.subjects import Sealer, named, named_in, open_values
from portal.compiled import Compiled
from portal.errors import NotPermitted, Refused, StaleState
from portal.events.services import emit
from portal.notify import news
from portal.runs import services as runs

CUSTOMER_ROLES = ("approver", "admin")


@transaction.atomic
def submit(
    *,
    account: Any,
    subject_type: str,
    subject_ref: uuid.UUID,
    title: str,
    digest: str,
    author: Any,
    actor: Any,
    at: datetime,
    sides: Sequence[str] = (Side.PROVIDER, Side.CUSTOMER),
    expires_at: datetime | None = None,
    reason: str = "",
) -> ApprovalRequest:
    """Ask for approval of `digest`. Submitting is the provider side's approval, given by `actor`.

    `author` is who drew it up (may be the same). A repeat with the same digest returns the live request;
    with another digest it is refused: void the first. Raises NotPermitted if `actor` holds no provider side.
    """
    # One at a time per account, so that two people submitting at once do not both pass the look below.
    _lock_account(account.pk)
    live = (
        ApprovalRequest.objects.select_for_update()
        .filter(subject_type=subject_type, subject_ref=subject_ref, status__in=["open", "approved"])
        .first()
    )
    if live is not None:
        if live.digest == digest:
            return live
        raise StaleState(
            "This was submitted before in another form, which is still waiting. Withdraw that one first.",
            code="already_submitted",
        )
    request = ApprovalRequest.objects.create(
        account=account,
        subject_type=subject_type,
        subject_ref=subject_ref,
        title=title[:200],
        digest=digest,
        sides=[str(side) for side in sides],
        author=author,
        created_at=at,
        expires_at=expires_at,
    )
    record(
        "approval.asked",
        actor=actor,
        account=account,
        subject=request,
        after={"title": request.title, "plan_hash": digest, "sides": request.sides},
    )
    _emit(request, "submitted", actor=actor)
    if Side.PROVIDER in request.sides:
        _decide_locked(request, actor, Side.PROVIDER, Verdict.APPROVE, reason, digest, at)
    if request.status == ApprovalStatus.OPEN:
        news.approval_asked(request, asked_by=actor, url=url_of(request))
    return request


@transaction.atomic
def decide(
    request: ApprovalRequest,
    *,
    actor: Any,
    side: str,
    decision: str,
    seen_digest: str,
    at: datetime,
    reason: str = "",
) -> ApprovalRequest:
    """Approve or reject for one side, as it was shown (`seen_digest`). Returns the request as it stands now.

    The same decision by the same person again gives the same answer and changes nothing. Raises StaleState
    if what was seen is not what is asked for, or it is no longer open; NotPermitted if the person may not
    decide for that side; Refused for a rejection without a reason.
    """
    # The account first, as everywhere: whose role is being taken away in this moment decides after that.
    _lock_account(request.account_id)
    locked = _lock(request)
    return _decide_locked(locked, actor, Side(side), Verdict(decision), reason, seen_digest, at)


def _lock_account(account_pk: int) -> None:
    apps.get_model("accounts", "Account")._default_manager.select_for_update(no_key=True).get(pk=account_pk)


def _lock(request: ApprovalRequest) -> ApprovalRequest:
    rows = ApprovalRequest.objects.select_for_update(of=("self",)).select_related("account")
    return rows.get(pk=request.pk)


def _decide_locked(
    request: ApprovalRequest,
    actor: Any,
    side: Side,
    decision: Verdict,
    reason: str,
    seen_digest: str,
    at: datetime,
) -> ApprovalRequest:
    reason = reason.strip()
    given = list(request.decisions.all())
    own = [d for d in given if d.by_id == actor.pk and d.side == side and d.decision == decision]
    if seen_digest != request.digest and not any(d.digest == seen_digest for d in own):
        raise StaleState(
            "This is not what you were shown: it has changed since. Nothing was decided. Read it again, then decide.",
            code="digest_mismatch",
        )
    if own:
        return request
    role = _right_to_decide(request, actor, side, given)
    if request.status != ApprovalStatus.OPEN:
        raise StaleState(
            f"“{request.title}” is {request.get_status_display()} by now, so there is nothing left to decide.",
            code="not_open",
        )
    if has_expired(request, at):
        raise StaleState(
            f"“{request.title}” could be decided until {request.expires_at:%Y-%m-%d %H:%M} UTC. It must be submitted anew.",
            code="expired",
        )
    if side not in request.sides:
        raise Refused("Nobody asked for a decision of that side.", code="side_not_asked")
    if decision == Verdict.REJECT and not reason:
        raise Refused("Say why you reject it, so that the plan can be changed.", code="reason_missing")
    if any(d.side == side and d.decision == Verdict.APPROVE for d in given):
        raise StaleState("That side has approved already.", code="side_decided")
    ApprovalDecision.objects.create(
        request=request,
        side=side,
        decision=decision,
        digest=seen_digest,
        by=actor,
        by_name=named(actor),
        role=role,
        rests_on=_grant_by_provider(actor, request.account) if side is Side.CUSTOMER else "",
        reason=_kept(request, reason),
        at=at,
    )
    record(
        f"approval.{decision}",
        actor=actor,
        account=request.account,
        subject=request,
        after={"side": str(side), "decision": str(decision), "role": role, "plan_hash": seen_digest},
        reason=reason,
    )
    _emit(request, "decided", actor=actor, side=str(side), decision=str(decision), role=role)
    approved = {d.side for d in given if d.decision == Verdict.APPROVE}
    if decision == Verdict.REJECT:
        _close(request, ApprovalStatus.REJECTED, at, reason)
    elif approved | {side.value} >= set(request.sides):
        _close(request, ApprovalStatus.APPROVED, at, "")
    return request


def _right_to_decide(
    request: ApprovalRequest, actor: Any, side: Side, given: Sequence[ApprovalDecision]
) -> str:
    """Return the role in which `actor` may decide for `side`, or raise NotPermitted with the reason."""
    roles = roles_on(actor, request.account)
    permissions = permissions_on(actor, request.account)
    if any(d.by_id == actor.pk and d.side != side for d in given):
        yours, waits_for = (
            ("provider", "an approver or admin of the account")
            if side is Side.CUSTOMER
            else ("customer", "a launch manager of the account's team")
        )
        raise NotPermitted(
            f"Your decision for the {yours} is given, and nobody counts for both sides. It waits for {waits_for}.",
            code="both_sides",
        )
    if side is Side.PROVIDER:
        if Permission.PLAN_APPROVE_PROVIDER not in permissions:
            raise NotPermitted(
                "Only a launch manager of this account's team can approve for the provider.", code="no_right"
            )
        return max(roles & set(TEAM_ROLES))
    if roles & set(TEAM_ROLES):
        raise NotPermitted(
            "You are a launch manager of this account, so your yes counts for the provider and never for the "
            "customer.",
            code="provider_side",
        )
    if Permission.PLAN_APPROVE not in permissions:
        raise NotPermitted(
            "Only an approver or admin of this account can decide for the customer.", code="no_right"
        )
    if request.author_id == actor.pk:
        raise NotPermitted("You drew this up, so somebody else must approve it.", code="own_work")
    if _worked_on(request, actor):
        raise NotPermitted(
            "You changed this before it was submitted, so somebody else must approve it.", code="own_work"
        )
    if _granted_to_self(actor, request.account):
        raise NotPermitted(
            "You gave yourself the role that approves. Another admin of the account must grant it.",
            code="granted_to_self",
        )
    return max(roles & set(CUSTOMER_ROLES))


def _worked_on(request: ApprovalRequest, user: Any) -> bool:
    """Whether the record says that this user changed what is asked for: its author is who began it, not who wrote it."""
    return AuditEntry.objects.filter(
        subject_ref=str(request.subject_ref),
        subject_type=request.subject_type,
        actor_ref=str(user.ref),
        what__endswith=".changed",
    ).exists()


def _granted_to_self(user: Any, account: Any) -> bool:
    return (
        apps.get_model("accounts", "Membership")
        ._default_manager.filter(user=user, account=account, granted_by=user)
        .exists()
    )


def _grant_by_provider(user: Any, account: Any) -> str:
    """Return the sentence that a role came from the provider's side (an account's first admin), else ""."""
    held = (
        apps.get_model("accounts", "Membership")
        ._default_manager.filter(user=user, account=account, granted_as__in=TEAM_ROLES)
        .select_related("granted_by")
        .first()
    )
    if held is None:
        return ""
    giver = held.granted_by or "somebody"
    return f"The role {held.role} was given by {giver}, {held.granted_as.replace('_', ' ')} of the provider's team."


def may_decide(request: ApprovalRequest, user: Any, side: str, *, at: datetime) -> str:
    """Return "" if `user` can decide for `side` now, else the sentence why not (for pages: before the click)."""
    if request.status != ApprovalStatus.OPEN or has_expired(request, at):
        return "This is no longer waiting for a decision."
    try:
        _right_to_decide(request, user, Side(side), list(request.decisions.all()))
    except NotPermitted as refusal:
        return refusal.says
    return ""


@transaction.atomic
def void(request: ApprovalRequest, *, reason: str, at: datetime, actor: Any = None) -> ApprovalRequest:
    """End a request because what it asks for no longer stands. `actor` None means the portal itself."""
    locked = _lock(request)
    if locked.status not in {ApprovalStatus.OPEN, ApprovalStatus.APPROVED}:
        return locked
    record("approval.void", actor=actor, account=locked.account, subject=locked, reason=reason)
    _close(locked, ApprovalStatus.VOIDED, at, reason)
    runs.facts_changed(
        says=f"The approval does not stand any more: {_kept(locked, reason)}",
        actor=actor,
        plan_ref=locked.subject_ref,
    )
    return locked


@transaction.atomic
def lessen(
    request: ApprovalRequest,
    *,
    digest: str,
    changes: Sequence[str],
    actor: Any,
    at: datetime,
    reason: str = "",
) -> ApprovalRequest:
    """Let a request be of less from now on: of `digest`. Whoever approved it is told, and their yes stays.

    That it is less, and who may do it, is the caller's to check. `changes` say for people what is less. Raises StaleState
    for a request that neither waits nor is approved.
    """
    locked = _lock(request)
    if locked.status not in {ApprovalStatus.OPEN, ApprovalStatus.APPROVED} or has_expired(locked, at):
        raise StaleState(
            f"The approval of “{locked.title}” does not stand any more, so there is nothing to keep.",
            code="not_open",
        )
    was = locked.digest
    locked.lessened_from = [*locked.lessened_from, was]
    locked.digest = digest
    locked.save(update_fields=["lessened_from", "digest"])
    record(
        "approval.lessened",
        actor=actor,
        account=locked.account,
        subject=locked,
        before={"plan_hash": was},
        after={"plan_hash": digest},
        reason=reason,
    )
    _emit(locked, "lessened", actor=actor, was=was)
    news.approval_lessened(
        locked, changes=changes, by=actor, reason=_kept(locked, reason), url=url_of(locked)
    )
    return locked


@transaction.atomic
def withdraw(
    request: ApprovalRequest, *, actor: Any, reason: str, while_in: Sequence[str], too_late: str = ""
) -> ApprovalRequest:
    """Let a person end what was asked for, in one of the states `while_in`. Whether they may is the caller's to check.

    Raises Refused without a reason; StaleState in another state, `too_late` being what can be done instead.
    """
    reason = reason.strip()
    if not reason:
        raise Refused("Say why it is withdrawn: it stays on the record.", code="reason_missing")
    # Locked before the look, so that a yes in this moment is before or after this.
    _lock_account(request.account_id)
    locked = _lock(request)
    if locked.status not in while_in:
        says = f"This is {locked.get_status_display()} by now. {too_late}"
        raise StaleState(says.rstrip(), code="not_open")
    return void(locked, reason=reason, at=timezone.now(), actor=actor)


@transaction.atomic
def expire_due(at: datetime, *, limit: int = 100) -> int:
    """Mark requests whose time is over as expired; returns how many. Safe to call by many workers at once."""
    due = (
        ApprovalRequest.objects.select_for_update(skip_locked=True, of=("self",))
        .select_related("account")
        .filter(status=ApprovalStatus.OPEN, expires_at__lte=at)
        .order_by("expires_at")[:limit]
    )
    count = 0
    for request in due:
        record("approval.expired", account=request.account, subject=request)
        _close(request, ApprovalStatus.EXPIRED, at, "Nobody decided in time.")
        count += 1
    return count


def _kept(request: ApprovalRequest, reason: str) -> str:
    """Return a typed reason as it is kept: whom it names stands in it under their own keys."""
    return Sealer(named_in(request.account, reason)).text(reason)


def _close(request: ApprovalRequest, status: ApprovalStatus, at: datetime, reason: str) -> None:
    request.status = status
    request.closed_at = at
    # Sealed it goes on to the plan and into the mails, which open it as they show it.
    request.closed_reason = _kept(request, reason)
    request.save(update_fields=["status", "closed_at", "closed_reason"])
    _emit(request, status.value)
    tell(request)
    news.approval_ended(request, url=url_of(request))
    # The caller reads on in the clear what was said just now.
    request.closed_reason = reason


def _emit(request: ApprovalRequest, happened: str, *, actor: Any = None, **data: str) -> None:
    """Say what became of what approval is asked for: `plan.submitted`, `plan.decided`, `plan.approved` …

    Of what the account's people are not to know of yet nothing is said: they read the events, and their webhooks.
    """
    if is_untold(request):
        return
    thing = request.subject_type.rpartition(".")[2]
    emit(
        f"{thing}.{happened}",
        account=request.account,
        subject_type=thing,
        subject_ref=request.subject_ref,
        data={"approval": str(request.ref), "digest": request.digest, **data},
        actor=actor,
    )


def has_expired(request: ApprovalRequest, at: datetime) -> bool:
    """Whether the request's time is over, marked or not."""
    return request.expires_at is not None and request.expires_at <= at


def approved_request(subject_type: str, subject_ref: uuid.UUID, digest: str) -> ApprovalRequest | None:
    """Return the approved request for this digest, or None. Its texts and decisions are as they are stored.

    Each side's yes is to exactly this, or to what this was made less of.
    """
    decisions = ApprovalDecision.objects.sealed().select_related("by")
    found = (
        ApprovalRequest.objects.sealed()
        .select_related("account")
        .prefetch_related(Prefetch("decisions", decisions))
        .filter(
            subject_type=subject_type, subject_ref=subject_ref, digest=digest, status=ApprovalStatus.APPROVED
        )
        .first()
    )
    yeses = [d for d in found.decisions.all() if d.decision == Verdict.APPROVE] if found else []
    is_covered = found is not None and all(_covers(d.digest, digest, found.lessened_from) for d in yeses)
    return found if is_covered else None


def _covers(approved: str, digest: str, lessened_from: Sequence[str]) -> bool:
    """Whether a yes to one digest is one to another: the same, or what was made less of it."""
    return approved == digest or approved in lessened_from


def is_approved(
    subject_type: str, subject_ref: uuid.UUID, digest: str, *, account: Any, at: datetime | None = None
) -> bool:
    """Whether every side's yes to this digest, or to what it was made less of, stands now, for something of `account`.

    False after its expiry where `at` is given, and while it rests on somebody who has lost the role
    (`rests_on_removed`). Each tick of a run asks it, so nothing is read but what the answer needs.
    """
    yeses = _YESES.rows(subject_type, subject_ref, digest)
    for account_id, expires_at, side, user_id, is_active, is_operator, seen, lessened_from in yeses:
        # As much of a person as access asks about.
        person = get_user_model()(pk=user_id, is_active=is_active, is_operator=is_operator)
        if account_id != account.pk or not _may_still_approve(person, account, side):
            return False
        if not _covers(seen, digest, lessened_from):
            return False
        if at is not None and expires_at is not None and expires_at <= at:
            return False
    return bool(yeses)


def _yeses(subject_type: Any, subject_ref: Any, digest: Any) -> QuerySet[ApprovalDecision, Any]:
    return ApprovalDecision.objects.filter(
        request__subject_type=subject_type,
        request__subject_ref=subject_ref,
        request__digest=digest,
        request__status=ApprovalStatus.APPROVED,
        decision=Verdict.APPROVE,
    ).values_list(
        "request__account_id",
        "request__expires_at",
        "side",
        "by_id",
        "by__is_active",
        "by__is_operator",
        "digest",
        "request__lessened_from",
    )


_YESES: Compiled[ApprovalDecision] = Compiled(_yeses, str, uuid.UUID, str)


def rests_on_removed(request: ApprovalRequest) -> tuple[str, ...]:
    """Return the names of those whose yes no longer counts: removed, demoted, or switched off."""
    gone = [
        decision.by_name
        for decision in request.decisions.all()
        if decision.decision == Verdict.APPROVE
        and not _may_still_approve(decision.by, request.account, decision.side)
    ]
    return tuple(open_values(gone))


def _may_still_approve(user: Any, account: Any, side: str) -> bool:
    needed = Permission.PLAN_APPROVE if side == Side.CUSTOMER else Permission.PLAN_APPROVE_PROVIDER
    return needed in permissions_on(user, account)


def removal_says(request: ApprovalRequest) -> str:
    """Return the sentence that an approval rests on people who may no longer approve, or ""."""
    removed = rests_on_removed(request)
    return f"The approval rests on {', '.join(removed)}, who may no longer approve." if removed else ""


def check_starter(request: ApprovalRequest, starter: Any) -> None:
    """Raise NotPermitted if whoever starts the run is the one who approved it for the customer."""
    for decision in request.decisions.all():
        if decision.side == Side.CUSTOMER and decision.by_id == starter.pk:
            raise NotPermitted(
                "You approved this for the customer, so somebody else must start it.", code="own_approval"
            )
