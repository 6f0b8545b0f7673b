"""A submitted plan is made less: what was approved covers it, so that its approvals stay.

    lessen_plan(plan, actor=user, asked=Less(target=5, soak_s=900), seen_digest=…) -> Plan

Fewer servers, a higher floor, longer times, a later start inside the window; anything more is another plan.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from portal.access import Permission
from portal.approvals import services as approvals
from portal.approvals.models import ApprovalRequest
from portal.audit.services import record
from portal.audit.subjects import Sealer, named_in
from portal.errors import Refused, StaleState
from scaledown.candidates import Known, Pool
from scaledown.canonical import digest, from_plain, plan_to_plain, to_plain
from scaledown.less import Less, changes, in_one, is_less, is_so_already, less_chosen, what_is_more
from scaledown.models import LessStep, Plan, PlanLook, PlanStatus
from scaledown.services import (
    SUBJECT,
    Drawn,
    check_blocks,
    choice_of,
    data_of,
    draw_from,
    locked_plan,
    peak_is_over,
    request_of,
    require,
)
from scaledown.types import PlanData

if TYPE_CHECKING:
    from accounts.models import User

WAITS = frozenset({PlanStatus.AWAITING_APPROVAL, PlanStatus.APPROVED})
NEEDS_NEW = "Nothing was changed. For anything but less copy the plan: the copy needs an approval of its own."


class More(Refused):
    """Something else than less was asked for. `fields` has the sentence for each field of `Less` of which it is so."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(f"{in_one(fields)} {NEEDS_NEW}", code="not_less")
        self.fields = fields


@transaction.atomic
def lessen_plan(plan: Plan, *, actor: User, asked: Less, seen_digest: str, reason: str = "") -> Plan:
    """Return the plan with less, noted and told; its approvals stay. The same as before changes nothing.

    It is drawn again from the look that it was submitted with, so that everything else is as its approvers saw it. Raises
    More for what is more, Refused for what makes no plan, StaleState where it is not what was seen, or once a run began.
    """
    # The request before the plan: a decision locks them in this order too.
    ApprovalRequest.objects.select_for_update().filter(subject_type=SUBJECT, subject_ref=plan.ref).first()
    locked = locked_plan(plan)
    require(actor, Permission.PLAN_DRAFT, locked.account)
    request, data, now = request_of(locked), data_of(locked), timezone.now()
    if (
        locked.status not in WAITS
        or request is None
        or data is None
        or approvals.has_expired(request, now)
        or (locked.expires_at is not None and locked.expires_at <= now)
    ):
        raise StaleState(too_late(locked), code="plan_status_changed")
    if is_so_already(data, asked) and seen_digest in {locked.digest, *request.lessened_from}:
        return locked
    if seen_digest != locked.digest:
        raise StaleState(
            "This plan was changed since you were shown it. Nothing was done. Look again, then decide.",
            code="digest_mismatch",
        )
    if more := what_is_more(data, asked):
        raise More(more)
    _check_start(locked, data, asked, now)
    drawn = _drawn_again(locked, data, asked)
    check_blocks(drawn, "The plan was not changed.")
    if not is_less(data, drawn.data):
        raise Refused(NEEDS_NEW, code="not_less")
    return _keep(locked, request, data, drawn, asked, actor=actor, at=now, reason=reason.strip())


def too_late(plan: Plan) -> str:
    """Return the sentence why a plan is not made less any more, or not yet."""
    if plan.status == PlanStatus.DRAFT:
        return "This plan is a draft: change it as you like."
    if plan.status == PlanStatus.USED:
        return (
            "A run of this plan was started. Skip its last servers, or finish it earlier, in the run instead."
        )
    word = PlanStatus(plan.status).label.lower() if plan.status not in WAITS else "expired"
    return f"“{plan.title}” is {word} by now. Copy it to change it."


def _check_start(plan: Plan, data: PlanData, asked: Less, now: datetime) -> None:
    """Raise More for a later start with which the plan could not run any more."""
    if asked.window_start is None:
        return
    if says := peak_is_over(data, max(now, asked.window_start)):
        raise More({"window_start": says})
    if plan.expires_at is not None and asked.window_start >= plan.expires_at:
        raise More(
            {
                "window_start": f"Its approval ends {plan.expires_at:%Y-%m-%d %H:%M} UTC, before it would begin."
            }
        )


def _drawn_again(plan: Plan, data: PlanData, asked: Less) -> Drawn:
    look = PlanLook.objects.filter(plan=plan).first()
    try:
        seen = from_plain(Pool, look.pool) if look else None
        known = from_plain(Known, look.known) if look else None
    except ValueError:  # of another shape, or with a word that this release does not know
        seen = known = None
    if not isinstance(seen, Pool) or not isinstance(known, Known):
        raise Refused(
            "From what this plan was drawn was not kept, or not as this release of the portal reads it. Copy it to change it.",
            code="no_look",
        )
    return draw_from(less_chosen(choice_of(plan), data, asked), seen, known)


def _keep(
    plan: Plan,
    request: ApprovalRequest,
    old: PlanData,
    drawn: Drawn,
    asked: Less,
    *,
    actor: User,
    at: datetime,
    reason: str,
) -> Plan:
    before = {"plan_hash": plan.digest, "inputs": plan.inputs}
    was = plan.digest
    plan.inputs = to_plain(less_chosen(choice_of(plan), old, asked))
    plan.data = plan_to_plain(drawn.data)
    plan.preview = to_plain(drawn.preview)
    plan.digest = digest(drawn.data)
    plan.save()
    LessStep.objects.create(
        plan=plan,
        was=was,
        became=plan.digest,
        data=plan_to_plain(old),
        by=actor,
        at=at,
        reason=Sealer(named_in(plan.account, reason)).text(reason),
    )
    approvals.lessen(
        request,
        digest=plan.digest,
        changes=[one.says for one in changes(old, drawn.data, for_customer=True)],
        actor=actor,
        at=at,
        reason=reason,
    )
    record(
        "plan.lessened",
        actor=actor,
        account=plan.account,
        subject=plan,
        before=before,
        after={"plan_hash": plan.digest, "inputs": plan.inputs},
        reason=reason,
    )
    return plan
