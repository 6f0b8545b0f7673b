"""What is told when something happens to an approval, a run or a standstill, and to whom.

Each is called in the transaction of what happened, so that the message can be neither lost nor doubled: a
run's are unique with the number of the journal entry that says so. Only a site in danger wakes a customer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING, Any

import structlog
from django.apps import apps
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from portal import alarms
from portal.access import holds_provider_side, roles_on
from portal.audit.subjects import named_in
from portal.notify.models import Message
from portal.notify.registry import Recipient, Urgency, audience
from portal.notify.services import call_off, tell_all, withdraw_older
from portal.runs import registry as runs
from portal.runs.types import HaltRank, RunStatus

if TYPE_CHECKING:
    from portal.approvals.models import ApprovalRequest
    from portal.runs.models import Run, Standstill
    from portal.runs.registry import Change

log = structlog.get_logger(__name__)

# Told at once: who is in charge. The customer in working hours, or in the morning.
_DECIDE = {False: Urgency.NOW, True: Urgency.TODAY}
_OF_HALTS = ("run_decide", "run_waiting")
MISSED_FOR = timedelta(days=30)
_NOTICE = {False: Urgency.NOW, True: Urgency.NORMAL}


def approval_asked(request: ApprovalRequest, *, asked_by: Any, url: str) -> None:
    """Tell the customer's approvers that something waits for them. Opening its link changes nothing."""
    concerned = {request.author_id, asked_by.pk}
    tell_all(
        "approval_asked",
        [one for one in audience("approvers", request.account) if one.user.pk not in concerned],
        subject_ref=_subject(request),
        period=str(request.ref),
        account=request.account,
        context={
            "title": request.title,
            "asked_by": str(asked_by),
            "until": request.expires_at,
            "url": url,
        },
        reason="approval asked",
        people=[asked_by, request.author],
    )


def approval_ended(request: ApprovalRequest, *, url: str) -> None:
    """Tell the author, and who submitted it, that it was approved, rejected, withdrawn or ran out.

    Who was asked is asked no more.
    """
    call_off(
        "approval_asked",
        subject_ref=_subject(request),
        period=str(request.ref),
        says=f"The request was {request.status} before this mail went.",
    )
    decided = list(request.decisions.select_related("by").order_by("pk"))
    last = decided[-1] if decided else None
    askers = {request.author.pk: request.author}
    askers |= {one.by.pk: one.by for one in decided if one.side == "provider"}
    was_decided = request.status in {"approved", "rejected"}
    tell_all(
        "approval_ended",
        [
            Recipient(user=user, is_customer=not holds_provider_side(user, request.account))
            for user in askers.values()
        ],
        subject_ref=_subject(request),
        period=f"{request.ref}:{request.status}",
        account=request.account,
        context={
            "title": request.title,
            "is_plan": request.subject_type.endswith((".plan", ".drill", ".profile")),
            "status": request.status,
            "by": last.by_name if last is not None and was_decided else "",
            "why": request.closed_reason or (last.reason if last is not None and was_decided else ""),
            "url": url,
        },
        reason="approval ended",
        people=[*askers.values(), *(one.by for one in decided)],
    )


def approval_lessened(
    request: ApprovalRequest, *, changes: Sequence[str], by: Any, reason: str, url: str
) -> None:
    """Tell whoever approved something, and its author, that it is less now, and that their yes stays.

    While it waits, those are told too who are still asked. Who made it less knows.
    """
    yeses = [one.by for one in request.decisions.select_related("by") if one.decision == "approve"]
    known = {user.pk: user for user in (*yeses, request.author)}
    told = [
        Recipient(user=user, is_customer=not holds_provider_side(user, request.account))
        for user in known.values()
    ]
    if request.status == "open":
        told += [one for one in audience("approvers", request.account) if one.user.pk not in known]
    tell_all(
        "approval_lessened",
        [one for one in told if one.user.pk != by.pk],
        subject_ref=_subject(request),
        period=f"{request.ref}:less:{len(request.lessened_from)}",
        account=request.account,
        context={
            "title": request.title,
            "by": str(by),
            "changes": list(changes),
            "why": reason,
            "is_open": request.status == "open",
            "url": url,
        },
        reason="approval lessened",
        people=[by, *known.values()],
    )


def _subject(request: ApprovalRequest) -> str:
    return f"{request.subject_type}:{request.subject_ref}"


def run_changed(run: Run, change: Change) -> None:
    """Tell who is in charge, and the account's people, that a run began, stopped by itself or ended.

    What was told of an earlier halt of it, and waits for somebody's morning, is told no more: it is not so any more. That a
    site was in danger is told whatever came after.
    """
    if change.halts or change.is_over or change.goes_on:
        withdraw_older(
            _OF_HALTS,
            subject_ref=f"run:{run.ref}",
            period=str(change.seq),
            says=f"The run was {run.status.replace('_', ' ')} before this mail went.",
        )
    if change.halts:
        _run_halted(run, change)
    elif change.is_over:
        _tell_of_run("run_ended", run, change, _people_of(run), _NOTICE)
    elif change.starts:
        _tell_of_run("run_started", run, change, _people_of(run), _NOTICE)


def tell_missed_halts(now: datetime) -> int:
    """Tell of each run that stands halted and of which nobody was told; return how many. For a sweep.

    A halt is never held back by telling that fails, so it may stand without a message: it is told again until one is
    there. The halt and its messages are committed together, so whatever is seen without them was missed.
    """
    told = 0
    standing = apps.get_model("runs", "Run")._default_manager.filter(
        status=RunStatus.HALTED.value, halted_at__gt=now - MISSED_FOR
    )
    for run in standing.exclude(account__status="archived").select_related("account", "in_charge", "backup"):
        seq = run.journal.filter(kind="halted").aggregate(last=Max("seq"))["last"]
        if seq is None or Message.objects.filter(subject_ref=f"run:{run.ref}", period=str(seq)).exists():
            continue
        try:
            with transaction.atomic():
                run_changed(run, runs.Change(seq, halts=True))
            told += 1
            log.warning("missed_halt_told", run=str(run.ref), seq=seq)
        except Exception:
            # The others are told all the same, and this one is tried again by the next sweep.
            log.exception("missed_halt_not_told", run=str(run.ref), seq=seq)
    return told


def _run_halted(run: Run, change: Change) -> None:
    charge = _in_charge(run)
    if run.halt_rank == HaltRank.SITE_IN_DANGER:
        # A rehearsal changes nothing, and its question says that no customer is asked.
        called = [] if run.is_rehearsal else _called(run)
        _tell_of_run("run_danger", run, change, [*charge, *called], Urgency.NOW)
        return
    asked = [] if run.is_rehearsal else audience("approvers", run.account)
    if run.halt_rank == HaltRank.DECIDE_TODAY:
        _tell_of_run("run_decide", run, change, [*charge, *asked], _DECIDE)
    else:
        _tell_of_run("run_waiting", run, change, [*charge, *asked], Urgency.NORMAL)


def _called(run: Run) -> list[Recipient]:
    return audience("emergency", run.account) or audience("approvers", run.account)


def _in_charge(run: Run) -> list[Recipient]:
    """Return who is in charge, then the backup; with nobody in charge the account's launch managers."""
    charge = _charge_of(run)
    if charge is None:
        return audience("launch_managers", run.account)
    backup = run.backup if run.backup is not None and roles_on(run.backup, run.account) else None
    return [Recipient(user=one) for one in (charge, backup) if one is not None]


def _charge_of(run: Run) -> Any:
    """Return who is in charge and still may be, or None: not who left since, nor whose time is over."""
    has_one = run.has_somebody(timezone.now()) and roles_on(run.in_charge, run.account)
    return run.in_charge if has_one else None


_AS = {"in_charge": "be in charge of", "backup": "be the backup of"}
# What is told when who is in charge has changed, or will: {by} and {was} are people, {as_} is what was asked.
_CHARGE_SAYS = {
    "taken": "{by} has taken charge of “{title}”; it is in your hands no more.",
    "accepted": "{by} has accepted to {as_} “{title}”.",
    "declined": "{by} has declined to {as_} “{title}”. Nothing has changed.",
    "withdrawn": "{by} asks you no more to {as_} “{title}”.",
    "overtaken": "You are asked no more to {as_} “{title}”: {by} has it now.",
    "expired": "{by} did not answer whether to {as_} “{title}”. Nothing has changed.",
    "passed_on": "{was} is in charge of “{title}” no more. The backup takes over: {by}.",
    "nobody": "{was} is in charge of “{title}” no more, and nobody took over. No next server begins before somebody is in "
    "charge, unless the plan was approved as unattended.",
    "ending": "The time of {was} in charge of “{title}” ends soon. Hand it over, or say a later time; without a backup nobody "
    "is in charge then.",
    "stands_by": "{by} is the backup of “{title}” now.",
    "steps_back": "“{title}” has no backup any more: {by} has ended that.",
}


def charge_changed(
    run: Run,
    people: Sequence[Any],
    what: str,
    *,
    by: Any = None,
    was: Any = None,
    role: str = "",
    note: str = "",
    charge_until: datetime | None = None,
    until: datetime | None = None,
    period: str = "",
) -> None:
    """Tell people of the provider's side that they are asked to take over, or what became of who is in charge.

    Whoever did it is not told. `until` is when the question, or the time in charge, ends.
    """
    told = {one.pk: one for one in people if by is None or one.pk != by.pk or what == "passed_on"}
    words = {"by": str(by or ""), "was": str(was or ""), "title": run.title, "as_": _AS.get(role, "")}
    tell_all(
        "charge_asked" if what == "asked" else "charge_changed",
        [Recipient(user=one) for one in told.values()],
        subject_ref=f"run:{run.ref}",
        period=period or f"{what}:{run.seq}",
        account=run.account,
        context={
            "title": run.title,
            "by": words["by"],
            "as_backup": role == "backup",
            "note": note,
            "charge_until": charge_until,
            "until": until,
            "says": "" if what == "asked" else _CHARGE_SAYS[what].format(**words),
            "url": runs.url_of(run),
        },
        urgency=Urgency.NOW,
        reason="who is in charge",
        people=[one for one in (by, was, *named_in(run.account, note)) if one is not None],
    )


def run_held(run: Run, says: str, *, by: Any) -> None:
    """Tell who is in charge, else the launch managers, that a run pauses before its next server and why."""
    tell_all(
        "run_held",
        _in_charge(run),
        subject_ref=f"run:{run.ref}",
        # Several changes in the time of one server are told once.
        period=f"held:{run.command_seq}",
        account=run.account,
        context={"title": run.title, "says": says, "by": str(by), "url": runs.url_of(run)},
        urgency=_NOTICE,
        reason="a run pauses",
        people=[by, *named_in(run.account, says)],
    )


def _people_of(run: Run) -> list[Recipient]:
    # A rehearsal changes nothing, so no customer is told of it; and of some runs those who react must not know beforehand.
    is_quiet = run.is_rehearsal or runs.is_untold(run)
    return [*_in_charge(run), *([] if is_quiet else audience("customers", run.account))]


def _tell_of_run(
    purpose: str,
    run: Run,
    change: Change,
    people: Iterable[Recipient],
    urgency: Urgency | dict[bool, Urgency],
) -> None:
    asked = runs.asked_by(run) if change.halts else None
    charge = _charge_of(run)
    words = runs.told_of(run)
    tell_all(
        purpose,
        people,
        subject_ref=f"run:{run.ref}",
        period=str(change.seq),
        account=run.account,
        context={
            "title": run.title,
            "status": run.status,
            "says": run.halt_says,
            "customer_says": run.halt_customer_says or run.halt_says,
            "in_charge": "" if charge is None else str(charge),
            "asked": asked.who if asked else "",
            "customer_asked": asked.customer_who if asked else "",
            "until": asked.until if asked else None,
            "otherwise": asked.otherwise if asked else "",
            "customer_otherwise": asked.customer_otherwise if asked else "",
            "is_rehearsal": run.is_rehearsal,
            "began": words.began,
            "stopped": words.stopped,
            "became": words.became,
            "at": run.halted_at or run.ended_at or run.started_at,
            "url": runs.url_of(run),
        },
        urgency=urgency,
        reason=f"run {run.status}",
        people=[run.in_charge],
    )


def standstill_changed(standstill: Standstill, touched: Sequence[Run]) -> None:
    """Tell the launch managers and the customers of every account that a standstill stopped, or let go on.

    One for an account or a connection is told to that account. One for a team or for the whole portal is told
    where a run was stopped: it is red on every page for everybody else.
    """
    is_lifted = standstill.lifted_at is not None
    by = str(standstill.lifted_by) if is_lifted else standstill.by_name
    why = standstill.lift_reason if is_lifted else standstill.reason
    public = standstill.public_lift_reason if is_lifted else standstill.public_reason
    side = "The launch team" if standstill.scope.startswith("team:") else "The operator"
    words = {"launch_managers": (by, why), "customers": (side, public) if standstill.is_wide else (by, why)}
    for account, of in product(_accounts_of(standstill, touched), words):
        tell_all(
            "standstill_lifted" if is_lifted else "standstill_put",
            audience(of, account),
            subject_ref=f"standstill:{standstill.ref}",
            account=account,
            context={
                "by": words[of][0],
                "why": words[of][1],
                "scope": standstill.scope.partition(":")[0],
                "runs": [run.title for run in touched if run.account_id == account.pk],
                "at": standstill.lifted_at or standstill.at,
                "url": alarms.page_of(account),
            },
            urgency=_NOTICE,
            reason="standstill",
            people=[standstill.by, standstill.lifted_by, *named_in(account, why)],
        )


def _accounts_of(standstill: Standstill, touched: Sequence[Run]) -> list[Any]:
    from portal.runs.standstills import accounts_in

    rows = accounts_in(standstill.scope)
    if not standstill.is_wide:
        return list(rows)
    return list(rows.filter(pk__in={run.account_id for run in touched}))
