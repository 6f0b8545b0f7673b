"""Asking those who take part in a drill to acknowledge, and what they answer.

    ask_participants(held, plan, since)      in the transaction that notes the first disruption: rows, nothing else
    send_due(now)                            a worker mails their links
    call_of(token), acknowledge(token, …)    the public page
    tell_real(held)                          everybody who takes part: this is no drill any more

Announced drills alone ask by link: who reacts in an unannounced one is asked by nobody but the alarms and the reach's own calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core import signing
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from accounts.contacts.asking import FASTEST_ANSWER_S
from accounts.contacts.models import ProvenHow, ProvenKind
from accounts.contacts.proving import digest_of
from accounts.contacts.services import prove_channel
from accounts.models import AccountStatus, Contact
from drills.plans.models import Drill, HeldDrill
from drills.scenarios.types import DrillKind, InjectionKind
from drills.told.models import DrillCall
from drills.types import Answered, DrillPlan
from portal.audit.services import record
from portal.audit.subjects import Sealer
from portal.notify.registry import Kind, Purpose, Urgency
from portal.notify.services import call_off, tell
from portal.runs.models import Run

LINK_SALT = "drills.told.acknowledge"
NO_MAIL = "no mail address that works"
WAS_REAL = "It became real before."
REAL = Purpose("drill_real", Kind.PERSONAL, "A fire drill has turned real", in_portal=False)
PURPOSE = Purpose("drill_call", Kind.PERSONAL, "Acknowledge a fire drill", is_secret=True, in_portal=False)


def asks_by_link(plan: DrillPlan) -> bool:
    """Whether those who take part are asked by links: not where nobody may know, nor where the contacts are called one by one."""
    return plan.kind is DrillKind.ANNOUNCED and plan.injection is not InjectionKind.CALL_CONTACTS


def ask_participants(held: HeldDrill, plan: DrillPlan, since: datetime) -> None:
    """Note whom to ask; a worker mails them after the commit. Two queries."""
    if not asks_by_link(plan):
        return
    contacts = list(Contact.objects.filter(drill_parts__drill=held.drill).order_by("pk"))
    if not contacts:
        return
    DrillCall.objects.bulk_create(
        [
            # Named once they answer: until then the contact itself says who it is.
            DrillCall(held=held, contact=one, contact_ref=one.ref, since=since)
            for one in contacts
        ],
        ignore_conflicts=True,
    )
    from drills.told.tasks import wake_after_commit

    wake_after_commit()


def send_due(now: datetime, *, limit: int = 50) -> int:
    """Mail the links that wait; return how many. Any number of workers may call it at once, and any may die."""
    sent = 0
    for _ in range(limit):
        with transaction.atomic():
            one = (
                DrillCall.objects.sealed()
                .select_for_update(skip_locked=True, of=("self",))
                .select_related("held__run", "held__drill__account", "contact")
                .filter(asked_at__isnull=True, says="")
                .order_by("pk")
                .first()
            )
            if one is None:
                break
            sent += _ask(one, now)
    return sent


def _ask(one: DrillCall, now: datetime) -> int:
    contact, drill = one.contact, one.held.drill
    if one.held.run.is_over or drill.account.status == AccountStatus.ARCHIVED:
        one.says = "The drill was over before."
    elif contact is None or not contact.takes_mail:
        one.says = NO_MAIL
    else:
        one.asked_at = now
        one.mail_digest = digest_of(contact, ProvenKind.MAIL, contact.email)
        _mail(
            PURPOSE,
            drill,
            contact,
            period=str(one.ref),
            reason=f"fire drill: {drill.title}",
            since=one.since,
            # Not `url`, which stays readable on the row: this path answers for the person.
            link_url=reverse("drill-answer", args=[token_of(one)]),
        )
    one.save(update_fields=["asked_at", "mail_digest", "says"])
    return int(one.asked_at is not None)


def _mail(
    purpose: Purpose, drill: Drill, contact: Contact, *, period: str, reason: str, **context: Any
) -> None:
    """Mail a contact about a drill; `context` is what this purpose's text needs besides."""
    tell(
        purpose.name,
        address=contact.email,
        person=contact,
        subject_ref=f"drill:{drill.ref}",
        period=period,
        account=drill.account,
        context={
            "name": contact.name,
            "time_zone": contact.time_zone or drill.account.time_zone,
            "is_customer": True,
            "title": drill.title,
            **context,
        },
        urgency=Urgency.NOW,
        reason=reason[:200],
    )


def tell_real(held: HeldDrill) -> int:
    """Tell everybody who takes part in an announced drill that it is none any more, by a mail not marked as one; return how many.

    In the transaction that notes it. Whoever knows of the drill takes every alarm for a part of it, asked already or not. What waits
    to be sent as a drill's is not sent. A repeat tells nobody twice.
    """
    drill, told = held.drill, 0
    if drill.kind != DrillKind.ANNOUNCED.value:
        return 0
    # Waits for the worker that is mailing one of them now; its mail is taken back below.
    DrillCall.objects.filter(held=held, asked_at__isnull=True, says="").update(says=WAS_REAL)
    for one in DrillCall.objects.filter(held=held, asked_at__isnull=False):
        call_off(PURPOSE.name, subject_ref=f"drill:{drill.ref}", period=str(one.ref), says=WAS_REAL)
    for contact in Contact.objects.filter(drill_parts__drill=drill).order_by("pk"):
        if not contact.takes_mail:
            continue
        told += 1
        _mail(
            REAL,
            drill,
            contact,
            period=str(contact.ref),
            reason=f"fire drill turned real: {drill.title}",
            emergency_plan=(drill.data or {}).get("emergency_plan", ""),
        )
    return told


# --- answers ------------------------------------------------------------------------------------------------


def token_of(one: DrillCall) -> str:
    """Return what stands in the link: signed, for this one purpose, and good for as long as the drill is under way."""
    return signing.Signer(salt=LINK_SALT).sign(one.ref.hex)


def call_of(token: str) -> DrillCall | None:
    """Return the call that a link is of; None for a forged one, and where it tells nobody anything any more."""
    try:
        ref = UUID(signing.Signer(salt=LINK_SALT).unsign(token))
    except (signing.BadSignature, ValueError):
        return None
    rows = DrillCall.objects.select_related("held__run", "held__drill__account", "contact")
    found = rows.filter(ref=ref, asked_at__isnull=False).first()
    # Of an archived account no link tells anything any more.
    if found is None or found.held.drill.account.status == AccountStatus.ARCHIVED:
        return None
    return found if _is_theirs(found) else None


def _is_theirs(one: DrillCall) -> bool:
    """Whether the address that was asked is the contact's still: a wrong one may have been a stranger's."""
    contact = one.contact
    if contact is None or not contact.takes_mail:
        return False
    return one.mail_digest == digest_of(contact, ProvenKind.MAIL, contact.email)


@transaction.atomic
def acknowledge(token: str, *, agent: str, now: datetime | None = None) -> DrillCall | None:
    """Take an answer; return the call as it stands then, None where there is nothing to answer. Twice changes nothing.

    One that comes within seconds of the asking is kept as doubtful and does not count. The mail address is proven by it as by an
    answer to a reach.
    """
    found = call_of(token)
    if found is None:
        return None
    now = now or timezone.now()
    # As with commands: the run's row first, so that it does not end in between.
    run = Run.objects.select_for_update().get(pk=found.held.run_id)
    one = DrillCall.objects.sealed().select_for_update(of=("self",)).select_related("held").get(pk=found.pk)
    contact = found.contact
    if run.is_over or one.answered_at is not None or contact is None:
        return call_of(token)
    assert one.asked_at is not None
    is_doubtful = (now - one.asked_at).total_seconds() < FASTEST_ANSWER_S
    prove_channel(
        contact,
        kind=ProvenKind.MAIL,
        value=contact.email,
        how=ProvenHow.LINK,
        actor=None,
        is_doubtful=is_doubtful,
        agent=agent,
        reason="answered a fire drill",
        at=now,
    )
    one.agent = agent[:300]
    if is_doubtful:
        one.doubtful_at = now
    else:
        one.answered_at = max(now, one.since)
        one.contact_name = Sealer([contact]).name(contact)
        Run.objects.filter(pk=run.pk, next_tick_at__gt=now).update(next_tick_at=now)
        record(
            "drill.acknowledged",
            account=found.held.drill.account,
            subject=found.held.drill,
            after={"after_s": round((now - one.since).total_seconds()), "by": "link"},
            people=[contact],
        )
    one.save(update_fields=["agent", "doubtful_at", "answered_at", "contact_name"])
    return call_of(token)


def answers_of(held: HeldDrill) -> tuple[Answered, ...]:
    """Return who has acknowledged, for the run: names as tokens. One query."""
    rows = (
        DrillCall.objects.sealed().filter(held=held, answered_at__isnull=False).order_by("answered_at", "pk")
    )
    return tuple(
        Answered(str(one.contact_ref), one.contact_name, one.answered_at) for one in rows if one.answered_at
    )


def calls_of(held: HeldDrill) -> Sequence[DrillCall]:
    """Return whom a drill asked, those who answered first. One query."""
    rows = DrillCall.objects.sealed().filter(held=held).select_related("contact")
    return list(rows.order_by("answered_at", "pk")[:100])
