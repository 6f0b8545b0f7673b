"""Asking for a run to grow again, and what becomes of it. Each change is one function, in one transaction.

    ask_growth(run, count=2, actor=user, reason="…", seen_status="running") -> Growth    the provider's approval
    decide_growth(growth, Verdict.APPROVE, actor=user, seen_digest="…") -> Growth          the customer's
    withdraw_growth(growth, actor=user, reason="…") -> Growth

Once both sides have approved it the run is given the command in the deciding transaction; its next tick answers.
All raise Refused, NotPermitted or StaleState with a sentence for people.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.changes import check_no_pin
from accounts.models import Account
from portal.access import Permission
from portal.approvals import services as approvals
from portal.approvals.models import ApprovalRequest, ApprovalStatus, Side, Verdict
from portal.audit.services import record
from portal.errors import Refused, StaleState
from portal.runs import journal
from portal.runs import services as runs
from portal.runs.models import OVER, Run
from portal.runs.types import Entry, RunStatus
from scaledown import growing, offers
from scaledown.canonical import from_plain, to_plain
from scaledown.driver import GROWTH
from scaledown.models import Growth
from scaledown.services import require, situation_of
from scaledown.types import GrowData

if TYPE_CHECKING:
    from accounts.models import User

LASTS = timedelta(hours=24)


def data_of(growth: Growth) -> GrowData:
    """Return what both sides are asked to approve."""
    data = from_plain(GrowData, growth.data)
    assert isinstance(data, GrowData)
    return data


def open_growth(run: Run) -> Growth | None:
    """Return what is asked for and not decided yet, or None. One query."""
    return _open_of(run).select_related("request", "asked_by").first()


def _open_of(run: Run) -> QuerySet[Growth]:
    return Growth.objects.filter(run=run, request__status=ApprovalStatus.OPEN).order_by("-pk")


@transaction.atomic
def ask_growth(run: Run, *, count: int, actor: User, reason: str, seen_status: str | None = None) -> Growth:
    """Ask the customer to approve that `count` of the servers that this run deleted are created again.

    Asking is the provider side's approval. A run that still takes servers out pauses now, and one that drains goes back.
    """
    # The account, then the run: in this order a decision locks them too.
    Account.objects.select_for_update(no_key=True).get(pk=run.account_id)
    locked = Run.objects.select_for_update(of=("self",)).select_related("account").get(pk=run.pk)
    require(actor, Permission.RUN_COMMAND, locked.account)
    if seen_status is not None and seen_status != locked.status:
        raise StaleState(
            f"The run is {locked.status.replace('_', ' ')} now, no longer {seen_status.replace('_', ' ')}. "
            "Nothing was asked for. Look again, then decide.",
            code="status_changed",
        )
    situation = situation_of(locked)
    why_not = offers.grow_refusal(count, reason, situation)
    if why_not is not None:
        raise Refused(why_not, code="cannot_grow")
    if _open_of(locked).exists():
        raise StaleState(
            "Growing again was asked for already and waits for an answer. Withdraw that first.",
            code="already_asked",
        )
    data = growing.draw(str(locked.ref), situation.plan, locked.digest, situation.progress, count)
    now = timezone.now()
    ref = uuid.uuid4()
    request = approvals.submit(
        account=locked.account,
        subject_type=GROWTH,
        subject_ref=ref,
        title=f"Grow again by {count}: {locked.title}",
        digest=growing.digest(data),
        author=actor,
        actor=actor,
        at=now,
        expires_at=now + LASTS,
        reason=reason,
    )
    growth = Growth.objects.create(
        ref=ref,
        account=locked.account,
        run=locked,
        request=request,
        data=to_plain(data),
        asked_by=actor,
        asked_at=now,
    )
    names = ", ".join(server.name for server in data.servers)
    author = runs.author_of(actor)
    journal.write(
        locked,
        [
            Entry(
                "growth_asked",
                f"{author.name} asks to create {names} again. Both sides approve it first.",
                f"We ask you to approve that {names} {'is' if count == 1 else 'are'} built again.",
                detail={"growth": str(ref), "servers": [server.server_id for server in data.servers]},
            )
        ],
        at=journal.database_now(),
        author=author,
    )
    record(
        "run.growth_asked",
        actor=actor,
        account=locked.account,
        subject=locked,
        after={"servers": [server.name for server in data.servers], "plan_hash": request.digest},
        reason=reason,
    )
    if pauses(locked.status, situation):
        runs.give_command(
            locked,
            "pause",
            actor=actor,
            reason="Growing again was asked for.",
            args={"when": "now"},
        )
    run.refresh_from_db()
    return growth


def pauses(status: str, situation: offers.Situation) -> bool:
    """Return whether asking pauses the run: nobody takes out further servers while it is asked to bring some back."""
    is_through = all(way.phase.is_final for way in situation.progress.servers)
    return status == RunStatus.RUNNING and not is_through


@transaction.atomic
def decide_growth(
    growth: Growth, verdict: Verdict, *, actor: User, seen_digest: str, reason: str = ""
) -> Growth:
    """Approve or reject for the customer exactly what was seen. Repeated by the same person: the same answer."""
    approvals.decide(
        growth.request,
        actor=actor,
        side=Side.CUSTOMER,
        decision=verdict,
        seen_digest=seen_digest,
        reason=reason,
        at=timezone.now(),
    )
    return _fresh(growth)


@transaction.atomic
def withdraw_growth(growth: Growth, *, actor: User, reason: str) -> Growth:
    """End what was asked for, with a reason. Raises StaleState once it was decided."""
    require(actor, Permission.RUN_COMMAND, growth.account)
    check_no_pin(reason)
    approvals.withdraw(
        growth.request,
        actor=actor,
        reason=reason,
        while_in=[ApprovalStatus.OPEN],
        too_late="To stop a run that grows again, abort it.",
    )
    return _fresh(growth)


def _fresh(growth: Growth) -> Growth:
    return Growth.objects.select_related("request", "run", "account", "asked_by", "command").get(pk=growth.pk)


def growth_was_decided(request: ApprovalRequest) -> None:
    """Give the run its command, or say in its journal what became of the question; in the deciding transaction."""
    growth = Growth.objects.select_related("run", "asked_by").get(ref=request.subject_ref)
    data = data_of(growth)
    if request.status == ApprovalStatus.APPROVED:
        if growing.digest(data) != request.digest:
            raise Refused(
                "What is stored is not what was shown, so nothing was approved. Tell the operator of the portal.",
                code="digest_broken",
            )
        growth.command = runs.give_command(
            growth.run,
            "grow_again",
            actor=growth.asked_by,
            reason="Both sides approved it.",
            args=growing.asked(str(growth.ref), data),
        )
        growth.save(update_fields=["command"])
        return
    run = Run.objects.select_for_update().get(pk=growth.run_id)
    if run.is_over:
        return
    word = request.get_status_display()
    journal.write(
        run,
        [
            Entry(
                "growth_ended",
                f"Growing again: {word}. {request.closed_reason}".strip(),
                f"Growing again: {word}.",
                detail={"growth": str(growth.ref), "became": str(request.status)},
            )
        ],
        at=journal.database_now(),
        author=journal.ENGINE,
    )


@transaction.atomic
def void_of_ended_runs(at: datetime, *, limit: int = 100) -> int:
    """End what is asked of runs that are over; returns how many. Safe to call by many at once."""
    due = (
        ApprovalRequest.objects.select_for_update(skip_locked=True, of=("self",))
        .filter(
            subject_type=GROWTH,
            status=ApprovalStatus.OPEN,
            subject_ref__in=Growth.objects.filter(run__status__in=OVER).values("ref"),
        )
        .order_by("pk")[:limit]
    )
    count = 0
    for request in due:
        approvals.void(request, reason="The run is over.", at=at)
        count += 1
    return count
