"""What is done with cases, by page, API, mail and the portal itself; each on record and told as an event.

A person's change locks the account's row, then the case's. A case that a halting run opens locks neither: whoever holds
the account's row may wait for that run's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.urls import reverse
from django.utils import timezone

from accounts.cases.freezing import MOST_PARTS, canonical, digest_of, freeze
from accounts.cases.models import CaseAttachment, CaseEntry, EntryKind, SupportCase, Via
from accounts.cases.orders import NEEDS, OrderKind, covers
from accounts.cases.states import LIVE, OVER, RANK, CaseStatus, Severity, after_reply, may_move
from accounts.contacts.proving import standings
from accounts.members import lock_account, who_reach
from accounts.models import Account, AccountStatus, Authority, CloudConnection, Contact, User
from accounts.texts import people_in
from portal import support
from portal.access import Permission, holds_provider_side, permissions_on
from portal.audit.services import record, snapshot
from portal.audit.subjects import Sealer, erased_name, named
from portal.errors import NotPermitted, Refused, StaleState, TooOften
from portal.events.services import emit
from portal.notify.registry import Recipient, Urgency, audience
from portal.notify.services import tell_all
from portal.runs.models import Run
from portal.runs.registry import Change
from portal.runs.types import HaltRank
from portal.texts import SAYS, is_sound

log = structlog.get_logger(__name__)

LONGEST_SUMMARY = 200
LONGEST_TEXT = 20_000
# Far more than anybody needs help in an hour; a script gone wild must not wake people all night.
MOST_OPENED_AN_HOUR = 20
# Answers of one person on all cases of an account, and moves as well: each is a mail to everybody with a part in it.
MOST_SAID_AN_HOUR = 60
# So many of them are mailed before everything that may wait; who reads the others has been called by these.
MOST_URGENT_AN_HOUR = 20
_MOVES = (EntryKind.STATUS, EntryKind.SEVERITY)
_URGENCY: dict[str, Urgency | dict[bool, Urgency]] = {
    Severity.SITE_IN_DANGER: Urgency.NOW,
    Severity.DECIDE_TODAY: {False: Urgency.NOW, True: Urgency.TODAY},
    Severity.SAFE_WAITING: Urgency.NORMAL,
}


# --- small helpers -----------------------------------------------------------------------------------------


def _line(text: str) -> str:
    text = " ".join(text.split())
    if not text:
        raise Refused("Say in a line what it is about.", code="summary_missing")
    if len(text) > LONGEST_SUMMARY:
        raise Refused(
            f"A summary has at most {LONGEST_SUMMARY} characters; the rest goes below.", code="too_long"
        )
    return _sound(text)


def _sound(text: str) -> str:
    if not is_sound(text):
        raise Refused(
            f"The text holds {SAYS}. Type it again by hand; what was copied brings the character along."
        )
    if len(text) > LONGEST_TEXT:
        raise Refused(f"A text has at most {LONGEST_TEXT} characters.", code="too_long")
    return text.strip()


def _lock(case: SupportCase) -> SupportCase:
    account = lock_account(case.account)
    if account.status == AccountStatus.ARCHIVED:
        raise Refused(f"{account.name} is archived: it can be read, not changed.", code="archived")
    locked = SupportCase.objects.sealed().select_for_update(of=("self",), no_key=True).get(pk=case.pk)
    locked.account = account
    return locked


def _need(actor: User, account: Account, needed: Permission) -> None:
    if needed not in permissions_on(actor, account):
        raise NotPermitted(f"You may not {needed.says} here.", code="no_right")


def may_answer(actor: User, case: SupportCase, granted: frozenset[Permission]) -> bool:
    """Whether somebody may answer: an editor and up, the team, and whoever opened it."""
    return Permission.CASE_ANSWER in granted or (
        case.opened_by_id == actor.pk and Permission.CASE_OPEN in granted
    )


def may_end(actor: User, case: SupportCase, granted: frozenset[Permission]) -> bool:
    """Whether somebody may call it solved or closed: the team, and whoever opened it."""
    return Permission.CASE_SETTLE in granted or (
        case.opened_by_id == actor.pk and Permission.CASE_OPEN in granted
    )


def _add(
    case: SupportCase,
    kind: EntryKind,
    *,
    via: str,
    by: User | None = None,
    text: str = "",
    data: dict[str, Any] | None = None,
    at: datetime | None = None,
    **fields: Any,
) -> CaseEntry:
    sealer = Sealer(
        [one for one in [by, *people_in(case.account, text, canonical(data or {}))] if one is not None]
    )
    return CaseEntry.objects.create(
        case=case,
        at=at or timezone.now(),
        kind=kind,
        via=via,
        by=by,
        by_name=sealer.name(by) if by is not None else "",
        is_team=by is not None and holds_provider_side(by, case.account),
        text=sealer.text(text),
        data=sealer.fields(None, data or {}),
        **fields,
    )


def _told(type: str, case: SupportCase, actor: User | None, **data: Any) -> None:
    emit(
        type,
        account=case.account,
        subject_type="case",
        subject_ref=case.ref,
        actor=actor,
        data={"severity": case.severity, "status": case.status, **data},
    )


def url_of(case: SupportCase) -> str:
    """Return the path of a case's page."""
    return reverse("accounts:case-detail", args=[case.ref])


# --- opening -----------------------------------------------------------------------------------------------


@transaction.atomic
def open_case(
    account: Account,
    *,
    actor: User,
    summary: str,
    severity: str,
    text: str = "",
    about_kind: str = "",
    about_ref: str = "",
    via: str = Via.PAGE,
) -> SupportCase:
    """Open a case, with what it is about frozen as it is now, and tell whom the rank names.

    Raises NotPermitted for who is no member, Refused for an archived account, a missing summary, or for something that is
    not the account's, TooOften for more than `MOST_OPENED_AN_HOUR`.
    """
    locked = lock_account(account)
    _need(actor, locked, Permission.CASE_OPEN)
    if locked.status == AccountStatus.ARCHIVED:
        raise Refused(f"{locked.name} is archived: it can be read, not changed.", code="archived")
    now = timezone.now()
    recent = list(
        SupportCase.objects.filter(account=locked, opened_by=actor, created_at__gt=now - timedelta(hours=1))
        .order_by("-created_at")
        .values_list("created_at", flat=True)[:MOST_OPENED_AN_HOUR]
    )
    if len(recent) == MOST_OPENED_AN_HOUR:
        raise TooOften(
            f"You opened {MOST_OPENED_AN_HOUR} cases here within an hour. Answer on one of them; everybody is told.",
            after_s=(recent[-1] + timedelta(hours=1) - now).total_seconds(),
            whose="your log-in in this account",
            code="too_many_cases",
        )
    return _open(
        locked,
        actor=actor,
        summary=_line(summary),
        severity=severity,
        text=_sound(text),
        about_kind=about_kind,
        about_ref=about_ref,
        via=via,
    )


def open_for_halted_run(run: Run, change: Change) -> SupportCase | None:
    """Open a case by itself for a run that halts with the site in danger; None for every other change.

    Called in the transaction of the halt, perhaps twice for one `seq`. Who is in charge and the emergency contacts get
    the halt's own mail at this moment, and no second one. A run that halts again while its case is open says so on that
    case.
    """
    if not change.halts or run.halt_rank != HaltRank.SITE_IN_DANGER or run.is_rehearsal:
        return None
    key = f"run:{run.ref}:{change.seq}"
    if SupportCase.objects.filter(opened_for=key).exists():
        return None
    known = SupportCase.objects.sealed().filter(
        account=run.account_id, about_kind="run", about_ref=str(run.ref), opened_by=None, status__in=LIVE
    )
    case = known.order_by("-pk").first()
    if case is not None:
        if not case.entries.filter(data__halt=change.seq).exists():
            _say_again(case, run, change)
        return case
    return _open(
        run.account,
        actor=None,
        summary=f"Site in danger: “{run.title}” stopped by itself"[:LONGEST_SUMMARY],
        severity=Severity.SITE_IN_DANGER,
        text=run.halt_says,
        about_kind="run" if support.about("run", run.account, str(run.ref)) else "",
        about_ref=str(run.ref),
        via=Via.PORTAL,
        opened_for=key,
    )


def _say_again(case: SupportCase, run: Run, change: Change) -> None:
    case.account = run.account
    text = f"The run stopped again, with the site in danger. {run.halt_says}"
    entry = _add(case, EntryKind.REPLY, via=Via.PORTAL, text=text, data={"halt": change.seq})
    _told("case.replied", case, None, entry=str(entry.ref), via="portal")
    _tell_answer(case, str(entry.ref), actor=None, text=text, says="the run stopped again")


def _open(
    account: Account,
    *,
    actor: User | None,
    summary: str,
    severity: str,
    text: str,
    about_kind: str,
    about_ref: str,
    via: str,
    opened_for: str | None = None,
) -> SupportCase:
    rank = Severity(severity)
    found = support.about(about_kind, account, about_ref) if about_kind else None
    if about_kind and found is None:
        raise Refused("What the case is about is not there, or not this account's.", code="no_subject")
    people = people_in(account, summary, text, found.label if found else "")
    sealer = Sealer(people)
    now = timezone.now()
    case = SupportCase(
        account=account,
        severity=rank,
        rank=RANK[rank],
        summary=sealer.text(summary),
        opened_by=actor,
        opened_for=opened_for,
        about_kind=about_kind,
        about_ref=about_ref if about_kind else "",
        about_label=sealer.text(found.label) if found else "",
    )
    case.save()
    _add(case, EntryKind.OPENED, via=via, by=actor, text=text, at=now)
    _freeze(case, about_kind, about_ref, now)
    record("case.opened", actor=actor, account=account, subject=case, after=snapshot(case))
    _told("case.opened", case, actor, about=about_kind, by_portal=actor is None)
    tell_of(case, actor=actor, in_charge=found.in_charge if found else None, text=text)
    return case


def _freeze(case: SupportCase, kind: str, ref: str, at: datetime) -> None:
    if not kind:
        return
    parts = support.gather(kind, case.account, ref)[:MOST_PARTS]
    connections = CloudConnection.objects.filter(account=case.account)
    known = {secret for row in connections for secret in (row.api_key,) if secret}
    named_here = Sealer(people_in(case.account, *(canonical(part.value) for part in parts)))
    rows = []
    for part in parts:
        value = named_here.fields(None, {"value": _json(part.value)})["value"]
        kept = freeze(part.key, part.title, value, known)
        rows.append(
            CaseAttachment(
                case=case,
                key=kept.key[:40],
                title=kept.title[:120],
                content=kept.text,
                digest=kept.digest,
                size=kept.size,
                is_cut=kept.is_cut,
                at=at,
            )
        )
    CaseAttachment.objects.bulk_create(rows)


def _json(value: Any) -> Any:
    return json.loads(canonical(value))


def is_unchanged(attachment: CaseAttachment) -> bool:
    """Whether an attachment still is what was frozen."""
    return digest_of(attachment.content) == attachment.digest


# --- telling -----------------------------------------------------------------------------------------------


def whom_to_tell(case: SupportCase, *, in_charge: User | None) -> list[tuple[str, Recipient]]:
    """Return who is told of a case, in the order of rank, each with why: in charge, launch managers, leads, customer.

    Only a site in danger wakes the customer's emergency contacts (or, with none, their approvers).
    """
    found = [("in_charge", Recipient(user=in_charge))] if in_charge is not None else []
    leads = {one.user.pk for one in audience("leads", case.account)}
    managers = audience("launch_managers", case.account)
    found += [("lead" if one.user.pk in leads else "launch_manager", one) for one in managers]
    if case.severity == Severity.SITE_IN_DANGER:
        called = audience("emergency", case.account)
        found += [("emergency", one) for one in called] or [
            ("approver", one) for one in audience("approvers", case.account)
        ]
    elif case.severity == Severity.DECIDE_TODAY:
        found += [("approver", one) for one in audience("approvers", case.account)]
    seen: set[tuple[str, Any]] = set()
    once = []
    for role, one in found:
        key = ("user", one.user.pk) if one.user is not None else ("mail", one.address.lower())
        if key not in seen:
            seen.add(key)
            once.append((role, one))
    return once


def tell_of(case: SupportCase, *, actor: User | None, in_charge: User | None, text: str) -> None:
    """Tell of a new or graver case, and keep on it who was told."""
    order = [
        (role, one)
        for role, one in whom_to_tell(case, in_charge=in_charge)
        if actor is None or one.user is None or one.user.pk != actor.pk
    ]
    # A halt with the site in danger has just told these two itself.
    had_the_halt = {"in_charge", "emergency", "approver"} if case.opened_for else set()
    people = people_in(case.account, text, case.summary)
    if order:
        tell_all(
            "case_danger" if case.severity == Severity.SITE_IN_DANGER else "case_opened",
            [one for role, one in order if role not in had_the_halt],
            subject_ref=f"case:{case.ref}",
            period=f"opened:{case.severity}",
            account=case.account,
            context={
                "number": case.short,
                "summary": case.summary,
                "severity": case.severity,
                "opened_by": str(actor) if actor is not None else "",
                "text": text[:2000],
                "url": url_of(case),
            },
            urgency=_URGENCY[case.severity],
            reason="support case opened",
            people=[actor, *people],
        )
    told = [
        {
            "as": role,
            "kind": "user" if one.user is not None else "contact",
            # By reference alone: a run that halts must not wait for anybody's key.
            "ref": str((one.user or one.person).ref) if (one.user or one.person) is not None else "",
            "by": "halt" if role in had_the_halt else "mail",
        }
        for role, one in order
    ]
    _add(case, EntryKind.TOLD, via=Via.PORTAL, data={"told": told, "severity": case.severity})


def _tell_answer(case: SupportCase, entry_ref: str, *, actor: User | None, text: str, says: str) -> None:
    """Tell whoever has a part in the case that something was said on it or done with it."""
    part = {row.by_id: row.by for row in case.entries.filter(by__isnull=False).select_related("by")}
    people = [
        Recipient(user=user, is_customer=not holds_provider_side(user, case.account))
        for user in part.values()
        if user is not None and user.is_active
    ]
    people = [*people, *audience("launch_managers", case.account)]
    wanted = [one for one in people if actor is None or one.user.pk != actor.pk]
    is_urgent = case.severity == Severity.SITE_IN_DANGER
    if is_urgent and actor is not None:
        # One account's talk must not stand before the halts of all others.
        is_urgent = len(_said(case, actor, (EntryKind.REPLY, *_MOVES))) <= MOST_URGENT_AN_HOUR
    tell_all(
        "case_changed",
        wanted,
        subject_ref=f"case:{case.ref}",
        period=entry_ref,
        account=case.account,
        context={
            "number": case.short,
            "summary": case.summary,
            "by": str(actor) if actor is not None else "",
            "says": says,
            "text": text[:4000],
            "url": url_of(case),
        },
        urgency=Urgency.NOW if is_urgent else Urgency.NORMAL,
        reason="support case changed",
        people=[actor, *people_in(case.account, text, case.summary)],
    )


def _said(case: SupportCase, actor: User, kinds: Iterable[EntryKind]) -> list[datetime]:
    """Return when the actor last said something on the account's cases, newest first: within an hour, and no more than counts."""
    said = CaseEntry.objects.filter(
        case__account=case.account, by=actor, kind__in=kinds, at__gt=timezone.now() - timedelta(hours=1)
    )
    return list(said.order_by("-at").values_list("at", flat=True)[:MOST_SAID_AN_HOUR])


def _need_turn(case: SupportCase, actor: User, *kinds: EntryKind) -> None:
    """Raise TooOften where the actor answered, or moved cases, so often within an hour that nobody can read it.

    The launch team is counted too, in each account for itself; whoever answers by mail with whoever types.
    """
    said = _said(case, actor, kinds)
    if len(said) == MOST_SAID_AN_HOUR:
        did = "answered" if EntryKind.REPLY in kinds else "moved cases"
        raise TooOften(
            f"You {did} here {MOST_SAID_AN_HOUR} times within an hour, and the others were told each time. "
            "Nothing was kept now. Call whoever must hear of it at once.",
            after_s=(said[-1] + timedelta(hours=1) - timezone.now()).total_seconds(),
            whose="your log-in in this account",
            code="too_many_answers",
        )


# --- answering ---------------------------------------------------------------------------------------------


@transaction.atomic
def reply(
    case: SupportCase,
    *,
    actor: User,
    text: str,
    via: str = Via.PAGE,
    then: str = "",
    message_id: str | None = None,
    note: str = "",
) -> CaseEntry:
    """Keep an answer on the case and tell the others. `then` is a status to go to at the same time ("" for none).

    A customer's answer to a case that waits for them, or was solved, gives it back to the team. Raises NotPermitted for
    who may not answer, Refused for an empty text, for one on a closed case, and for a move that there is not, TooOften
    for more than `MOST_SAID_AN_HOUR`.
    """
    locked = _lock(case)
    granted = permissions_on(actor, locked.account)
    if not may_answer(actor, locked, granted):
        raise NotPermitted(
            "You may read this case, but not answer it: nothing was kept. Ask an editor, approver or admin of the account to "
            "answer it or to give you such a role, or open a case of your own.",
            code="no_right",
        )
    text = _sound(text)
    if not text:
        raise Refused("Write an answer first.", code="text_missing")
    if locked.status == CaseStatus.CLOSED:
        raise Refused("This case is closed. Open it again, or open a new one.", code="closed")
    _need_turn(locked, actor, EntryKind.REPLY)
    is_team = holds_provider_side(actor, locked.account)
    data = {"note": note} if note else {}
    entry = _add(locked, EntryKind.REPLY, via=via, by=actor, text=text, message_id=message_id, data=data)
    record("case.replied", actor=actor, account=locked.account, subject=locked, after={"via": str(via)})
    _told("case.replied", locked, actor, entry=str(entry.ref), via=str(via))
    goes_to = CaseStatus(then) if then else after_reply(locked.status, by_customer=not is_team)
    if goes_to != locked.status:
        _move(locked, goes_to, actor=actor, via=via, granted=granted)
    _tell_answer(locked, str(entry.ref), actor=actor, text=text, says="answered")
    return entry


@transaction.atomic
def keep_unverified(
    case: SupportCase, *, sender: str, text: str, message_id: str | None, note: str = ""
) -> CaseEntry:
    """Keep a mail from somebody who may not see the case, marked as such. It moves nothing, and the team alone is told."""
    locked = _lock(case)
    entry = _add(
        locked,
        EntryKind.REPLY,
        via=Via.MAIL,
        text=text,
        is_verified=False,
        sender=sender[:254],
        message_id=message_id,
        data={"note": note} if note else {},
    )
    record("case.mail_unverified", account=locked.account, subject=locked, after={"via": "mail"})
    _told("case.replied", locked, None, entry=str(entry.ref), via="mail", verified=False)
    tell_all(
        "case_changed",
        audience("launch_managers", locked.account),
        subject_ref=f"case:{locked.ref}",
        period=str(entry.ref),
        account=locked.account,
        context={
            "number": locked.short,
            "summary": locked.summary,
            "by": "",
            "says": "a mail came from an address that nobody here is known by; read it on the page",
            "text": "",
            "url": url_of(locked),
        },
        reason="support case changed",
        people=people_in(locked.account, locked.summary),
    )
    return entry


@transaction.atomic
def set_status(
    case: SupportCase, to: str, *, actor: User, seen: str = "", reason: str = "", via: str = Via.PAGE
) -> SupportCase:
    """Move a case. `seen` is the status that the actor saw: StaleState if it is another one by now.

    Raises NotPermitted (solving and closing is for the team and whoever opened it), Refused for a move that there is not,
    TooOften for more than `MOST_SAID_AN_HOUR`.
    """
    locked = _lock(case)
    if seen and seen != locked.status:
        raise StaleState("Somebody moved this case meanwhile. Look at it again.", code="status_changed")
    if locked.status == to:
        return locked
    granted = permissions_on(actor, locked.account)
    if not may_answer(actor, locked, granted):
        raise NotPermitted(f"You may not {Permission.CASE_ANSWER.says} here.", code="no_right")
    _need_turn(locked, actor, *_MOVES)
    entry = _move(locked, CaseStatus(to), actor=actor, via=via, granted=granted, text=_sound(reason))
    _tell_answer(locked, str(entry.ref), actor=actor, text=reason, says=f"set it to {CaseStatus(to).label}")
    return locked


def _move(
    case: SupportCase,
    to: CaseStatus,
    *,
    actor: User,
    via: str,
    granted: frozenset[Permission],
    text: str = "",
) -> CaseEntry:
    was = case.status
    if not may_move(was, to):
        raise Refused(
            f"A case that is {CaseStatus(was).label} cannot be set to {to.label}. Open it again first.",
            code="no_move",
        )
    if to in OVER and not may_end(actor, case, granted):
        raise NotPermitted("Only the launch team or whoever opened the case ends it.", code="no_right")
    now = timezone.now()
    moved = SupportCase.objects.filter(pk=case.pk, status=was).update(
        status=to, ended_at=now if to in OVER else None, updated_at=now
    )
    if moved != 1:
        raise StaleState("Somebody moved this case meanwhile. Look at it again.", code="status_changed")
    case.status, case.ended_at, case.updated_at = to, now if to in OVER else None, now
    entry = _add(case, EntryKind.STATUS, via=via, by=actor, text=text, data={"was": was, "to": str(to)})
    record(
        "case.moved",
        actor=actor,
        account=case.account,
        subject=case,
        before={"status": was},
        after={"status": str(to)},
    )
    _told("case.changed", case, actor, was=was)
    return entry


@transaction.atomic
def set_severity(case: SupportCase, to: str, *, actor: User, via: str = Via.PAGE) -> SupportCase:
    """Say that a case is graver or less grave. A graver one is told anew, to whom its rank names."""
    locked = _lock(case)
    granted = permissions_on(actor, locked.account)
    if not may_answer(actor, locked, granted):
        raise NotPermitted(f"You may not {Permission.CASE_ANSWER.says} here.", code="no_right")
    if locked.is_over:
        raise Refused("This case is over. Open it again first.", code="closed")
    was, rank = locked.severity, Severity(to)
    if was == rank:
        return locked
    _need_turn(locked, actor, *_MOVES)
    locked.severity, locked.rank = rank, RANK[rank]
    locked.save(update_fields=["severity", "rank", "updated_at"])
    _add(locked, EntryKind.SEVERITY, via=via, by=actor, data={"was": was, "to": str(rank)})
    record(
        "case.severity",
        actor=actor,
        account=locked.account,
        subject=locked,
        before={"severity": was},
        after={"severity": str(rank)},
    )
    _told("case.changed", locked, actor, was_severity=was)
    if RANK[rank] < RANK[Severity(was)]:
        found = (
            support.about(locked.about_kind, locked.account, locked.about_ref) if locked.about_kind else None
        )
        locked.opened_for = None  # not saved: everybody is told by this case, nobody by a halt
        tell_of(locked, actor=actor, in_charge=found.in_charge if found else None, text="")
    return locked


def ticket_host(url: str) -> str:
    """Return the host of a provider's ticket. Raises Refused for what is no plain https address."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError, ValueError):
        parsed = httpx.URL("")
    if (
        parsed.scheme != "https"
        or not parsed.host
        or parsed.userinfo
        or len(url) > 500
        or re.search(r"[\s\\<>\"']", url)
    ):
        raise Refused(
            "A ticket's address begins with https:// and holds no user name and no spaces.", code="bad_ticket"
        )
    return parsed.host


@transaction.atomic
def link_ticket(case: SupportCase, url: str, *, actor: User, via: str = Via.PAGE) -> SupportCase:
    """Link the provider's ticket, or take the link away (""). It is shown with its host and asked by nobody here."""
    locked = _lock(case)
    if not may_answer(actor, locked, permissions_on(actor, locked.account)):
        raise NotPermitted(f"You may not {Permission.CASE_ANSWER.says} here.", code="no_right")
    url = url.strip()
    host = ticket_host(url) if url else ""
    if url == locked.ticket_url:
        return locked
    locked.ticket_url, locked.ticket_host = url, host
    locked.save(update_fields=["ticket_url", "ticket_host", "updated_at"])
    _add(locked, EntryKind.TICKET, via=via, by=actor, data={"host": host})
    record("case.ticket", actor=actor, account=locked.account, subject=locked, after={"host": host})
    _told("case.changed", locked, actor, ticket=bool(url))
    return locked


# --- spoken orders -----------------------------------------------------------------------------------------

CHECKS = {
    "call_back": "called back on a proven number",
    "agreed_check": "the agreed check was passed",
    "none": "not checked",
}


@transaction.atomic
def record_spoken_order(
    case: SupportCase,
    *,
    actor: User,
    contact: Contact,
    kind: str,
    order: str,
    check: str,
    number: str = "",
    read_back: bool = False,
    via: str = Via.PAGE,
) -> CaseEntry:
    """Keep what a contact ordered on the phone, and how it was made sure that it was they.

    Valid after a call-back on a number of theirs that is proven, or after the agreed check; anything else is kept as not
    valid, with why. The number itself is not kept, its last two digits are. `read_back`: the order was read back to whoever
    gave it, who said that it is right.

    Raises Refused for an order of a `kind` that this contact's authority does not cover: nothing of it is kept.
    """
    locked = _lock(case)
    _need(actor, locked.account, Permission.CASE_SETTLE)
    order = _sound(order)
    if not order:
        raise Refused("Write down what was ordered, as it was said.", code="text_missing")
    if contact.account_id != locked.account_id:
        raise Refused("This contact is not the account's.", code="no_contact")
    if check not in CHECKS:
        raise Refused(f"The check is one of {', '.join(CHECKS)}.", code="bad_check")
    if kind not in OrderKind.values:
        raise Refused(f"An order is one of {', '.join(OrderKind.values)}.", code="bad_kind")
    if not covers(contact.authority, kind):
        authority = Authority(contact.authority)
        raise Refused(
            f"{contact.name} {'is only informed' if authority == Authority.INFORM else authority.label}. An order to "
            f"{OrderKind(kind).label} takes somebody who {NEEDS[OrderKind(kind)].label}. Nothing was kept: ask for such a person, and answer on the case what was said.",
            code="no_authority",
        )
    is_valid, why = _is_valid(contact, check, number)
    entry = _add(
        locked,
        EntryKind.SPOKEN_ORDER,
        via=via,
        by=actor,
        text=order,
        data={
            "contact": str(contact.ref),
            "who": named(contact),
            "authority": str(contact.authority),
            "kind": kind,
            "read_back": read_back,
            "check": check,
            "number_ends": number[-2:] if check == "call_back" else "",
            "is_valid": is_valid,
            "why": why,
        },
    )
    record(
        "case.spoken_order",
        actor=actor,
        account=locked.account,
        subject=locked,
        after={
            "kind": kind,
            "check": check,
            "read_back": read_back,
            "is_valid": is_valid,
            "contact": str(contact.ref),
        },
    )
    _told("case.changed", locked, actor, spoken_order=True, valid=is_valid)
    return entry


def _is_valid(contact: Contact, check: str, number: str) -> tuple[bool, str]:
    match check:
        case "agreed_check":
            return True, "The agreed check was passed."
        case "call_back":
            known = standings([contact]).get(contact.pk)
            if known is not None and number in known.phones:
                return True, "Called back on a number that is proven."
            return False, "The number that was called back is not proven for this contact."
    return False, "It was not checked who spoke."


# --- erasing -----------------------------------------------------------------------------------------------


def forget_sender(account: Account, address: str) -> int:
    """Empty the unverified mails of a person who is erased; return how many."""
    rows = CaseEntry.objects.filter(case__account=account, is_verified=False, sender__iexact=address)
    return rows.update(sender="", text="This mail was erased with its sender.", message_id=None)


def forget_strangers(account: Account) -> int:
    """Empty the mails of people whom nobody here is known by, for the erasing of an account; return how many."""
    rows = CaseEntry.objects.filter(case__account=account, is_verified=False)
    return rows.update(sender="", text="This mail was erased with the account.", message_id=None)


def reply_base() -> str:
    """Return the address under which answers arrive, "" where there is none."""
    return settings.SUPPORT_MAIL_ADDRESS if settings.SUPPORT_MAIL_SECRET else ""


def told_rows(account: Account, entries: Iterable[CaseEntry]) -> list[dict[str, Any]]:
    """Return who was told and when each first answered, in the order of rank, each person once. Two queries.

    Whoever reaches the account no more, and did nothing but being told, is not named: they may have another name by now.
    """
    answered: dict[str, datetime] = {}
    by_mail: dict[str, datetime] = {}
    listed: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in entries:
        if entry.kind == EntryKind.REPLY and entry.by is not None:
            answered.setdefault(str(entry.by.ref), entry.at)
            by_mail.setdefault(entry.by.email, entry.at)
        if entry.kind == EntryKind.TOLD:
            for one in entry.data.get("told", []):
                listed.setdefault((one["kind"], one["ref"]), {**one, "at": entry.at})
    refs = [one["ref"] for one in listed.values() if one["ref"]]
    here = who_reach(account).values("pk")
    users = User.objects.filter(ref__in=refs).annotate(_is_here=Exists(here.filter(pk=OuterRef("pk"))))
    names = {
        str(ref): name if is_here or str(ref) in answered else "somebody who is no longer here"
        for ref, name, is_here in users.values_list("ref", "name", "_is_here")
    }
    contacts = Contact.objects.filter(account=account, ref__in=refs)
    for ref, name, email in contacts.values_list("ref", "name", "email"):
        names[str(ref)] = name
        # Who is called as a contact may answer with the log-in of the same mail address.
        if email.lower() in by_mail:
            answered[str(ref)] = by_mail[email.lower()]
    return [
        {
            **one,
            # A contact who is gone was removed or erased; either way the name is nobody's to show.
            "name": names.get(one["ref"]) or (erased_name(UUID(one["ref"])) if one["ref"] else "somebody"),
            "answered_at": answered.get(one["ref"]),
        }
        for one in listed.values()
    ]
