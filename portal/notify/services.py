"""Telling people. `tell` writes one row in the caller's transaction; workers send it after the commit.

    from portal.notify.services import tell, tell_all
    tell("invitation", address="maja@lindgren.example", subject_ref=f"invitation:{invitation.ref}",
         context={"name": "Maja", "url": path}, reason="invited by an admin")
    tell_all("approval_asked", audience("approvers", account), account=account, …)

The same purpose to the same person about the same subject in the same period is told once: repeating it
returns the row that is there. Raises ValueError for an unregistered purpose.
"""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime, time, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from portal.audit.services import record, snapshot
from portal.audit.subjects import Sealer, subject_of
from portal.errors import Refused
from portal.notify import compose, selectors
from portal.notify.models import MailState, Message, Preference
from portal.notify.quiet import Quiet, may_go_at
from portal.notify.registry import (
    ALWAYS_ON,
    Kind,
    Purpose,
    Recipient,
    Urgency,
    audience,
    log_use,
    purpose_of,
)
from portal.notify.wake import wake_after_commit
from portal.texts import made_sound

if TYPE_CHECKING:
    from accounts.models import User

log = structlog.get_logger(__name__)

__all__ = ["Kind", "Purpose", "Recipient", "Urgency", "tell", "tell_all"]


@transaction.atomic
def tell(
    purpose: str,
    *,
    to: User | None = None,
    address: str = "",
    subject_ref: str,
    period: str = "",
    context: Mapping[str, Any],
    account: Any = None,
    urgency: Urgency = Urgency.NORMAL,
    reason: str = "",
    person: Any = None,
    people: Iterable[Any] = (),
) -> Message | None:
    """Tell one person one thing; return the row, or None where the person turned this kind off altogether.

    Give `to` (a user) or `address`. `subject_ref` names what it is about ("plan:<ref>") and makes the
    thread; `period` lets the same be told again ("2026-W48"). `context` holds plain values; `url` in it is
    the page that it is about. `account` limits who may still read it: whoever loses access sees it no more.
    `person` is whose `address` it is (a contact, an invitation, a user), `people` whom the context may name.
    """
    if (to is None) == (not address):
        raise ValueError("Tell a user or an address, one of the two.")
    one = Recipient(
        user=to,
        address=address,
        name=str(context.get("name", "")),
        time_zone=str(context.get("time_zone", "UTC")),
        is_customer=bool(context.get("is_customer", False)),
        person=person,
    )
    told = tell_all(
        purpose,
        [one],
        subject_ref=subject_ref,
        period=period,
        context=context,
        account=account,
        urgency=urgency,
        reason=reason,
        people=people,
    )
    return told[0] if told else None


@transaction.atomic
def tell_all(
    purpose: str,
    to: Iterable[Recipient],
    *,
    subject_ref: str,
    period: str = "",
    context: Mapping[str, Any],
    account: Any = None,
    urgency: Urgency | Mapping[bool, Urgency] = Urgency.NORMAL,
    reason: str = "",
    people: Iterable[Any] = (),
) -> list[Message]:
    """Tell several people the same, each in their own row; return the rows in the order of `to`.

    `urgency` may differ between customers and others: `{True: Urgency.TODAY, False: Urgency.NOW}`. `people` (users,
    contacts) are whom the context may name beside those who are told: wherever their names, mail addresses and phone
    numbers stand in it, they are kept as tokens. Four queries, however many people; more where one of `people` has no
    key yet. Contacts serve support alone: to tell one of them anything needs a `reason`, which is logged for them to
    see; raises ValueError without.
    """
    known = purpose_of(purpose)
    now = timezone.now()
    every = list(to)
    listed = _once_each(every)
    if not listed:
        return []
    used = [one.person for one in listed if getattr(one.person, "is_used_for_support", False)]
    if used and not reason.strip():
        raise ValueError(f"{purpose}: say for what support a contact is written to (reason).")
    said = list(people)
    told = [row for one in every for row in (one.user, one.person)]
    # What is told to somebody goes with them, so nobody gets a key for being told.
    sealer = Sealer(said, if_known=told)
    # A name that is a value of its own is sealed however short it is; within longer texts it is looked for.
    names = {str(row): row for row in (*told, *said) if subject_of(row) is not None}
    shared = {
        key: sealer.name(names[value]) if isinstance(value, str) and value in names else value
        for key, value in compose.flat(context).items()
    }
    shared = sealer.fields(None, shared)
    wishes = {
        row.user_id: row
        for row in Preference.objects.filter(user__in=[one.user.pk for one in listed if one.user is not None])
    }
    rows = []
    for one in listed:
        wish = wishes.get(one.user.pk) if one.user is not None else None
        asked = urgency if isinstance(urgency, Urgency) else urgency[one.is_customer]
        row = _row(known, one, wish, subject_ref, period, shared, sealer, account, asked, reason, now)
        if row is not None:
            rows.append(row)
    if not rows:
        return []
    Message.objects.bulk_create(rows, ignore_conflicts=True)
    keys = [row.recipient_key for row in rows]
    found = {
        row.recipient_key: row
        for row in Message.objects.filter(
            purpose=purpose, recipient_key__in=keys, subject_ref=subject_ref, period=period
        )
    }
    # Whoever had it before was not used again.
    fresh = {row.recipient_key for row in rows if found[row.recipient_key].ref == row.ref}
    newly = [one for one in used if recipient_key(None, one.email) in fresh]
    if newly:
        log_use(newly, account, f"{known.title}: {reason}")
    if any(row.due_at is not None and row.due_at <= now for row in rows):
        wake_after_commit()
    return [found[key] for key in keys]


def _once_each(people: Iterable[Recipient]) -> list[Recipient]:
    """Return the people without doubles; a contact who is also a user is told as the user."""
    listed: dict[str, Recipient] = {}
    addresses: set[str] = set()
    for one in sorted(people, key=lambda one: one.user is None):
        address = (one.user.email if one.user is not None else one.address).strip().lower()
        if address not in addresses:
            addresses.add(address)
            listed[address] = one
    return list(listed.values())


def _row(
    purpose: Purpose,
    one: Recipient,
    wish: Preference | None,
    subject_ref: str,
    period: str,
    context: Mapping[str, Any],
    sealer: Sealer,
    account: Any,
    urgency: Urgency,
    reason: str,
    now: datetime,
) -> Message | None:
    user = one.user
    if user is None:
        _check_address(one.address)
    is_fixed = purpose.kind in ALWAYS_ON
    by_mail = is_fixed or wish is None or purpose.kind not in wish.mail_off
    in_portal = (
        user is not None
        and purpose.in_portal
        and purpose.kind is not Kind.PERSONAL
        and (is_fixed or wish is None or purpose.kind not in wish.portal_off)
    )
    if not by_mail and not in_portal:
        return None
    zone = user.time_zone if user is not None else one.time_zone
    person = user if user is not None else one.person
    name = " ".join((user.name if user is not None else one.name).split())
    full = {
        **context,
        "name": sealer.value_or_plain(person, name),
        "is_customer": one.is_customer,
        "account_name": str(account) if account is not None else "",
        "time_zone": zone,
    }
    ref = uuid.uuid4()
    urgency = Urgency.NOW if is_fixed else urgency
    return Message(
        ref=ref,
        purpose=purpose.name,
        kind=purpose.kind.value,
        urgency=urgency.value,
        recipient_key=recipient_key(user, one.address),
        user=user,
        address=None if user is not None else sealer.value_or_plain(person, one.address.strip()),
        account=account,
        subject_ref=subject_ref,
        period=period,
        reason=reason[:200],
        created_at=now,
        message_id=f"{ref}@{compose.domain()}",
        title=compose.write_subject(purpose.name, full, zone=zone),
        context=compose.pack(full),
        url=compose.path_of(context.get("url", "")),
        mail_state=MailState.QUEUED if by_mail else MailState.NONE,
        due_at=due_at(urgency, user, wish, zone, now) if by_mail else None,
        is_shown=in_portal,
    )


def recipient_key(user: User | None, address: str = "") -> str:
    """Return what tells one recipient from another: never the address itself."""
    if user is not None:
        return f"user:{user.pk}"
    text = address.strip().lower().encode()
    return f"mail:{hmac.new(settings.SECRET_KEY.encode(), b'notify:' + text, sha256).hexdigest()[:40]}"


def _check_address(address: str) -> None:
    try:
        validate_email(address.strip())
    except ValidationError:
        raise Refused("This is no mail address that could be written to.", code="bad_address") from None


def due_at(
    urgency: Urgency, user: User | None, wish: Preference | None, zone: str, now: datetime
) -> datetime:
    """Return when a mail may go: a person without log-in has no quiet hours of their own, only 21 to 7."""
    return may_go_at(now, urgency, zone, quiet_of(wish))


def quiet_of(wish: Preference | None) -> Quiet | None:
    """Return a person's quiet hours, or None for who wants none."""
    chosen = wish or Preference()
    return None if chosen.quiet_from == chosen.quiet_until else Quiet(chosen.quiet_from, chosen.quiet_until)


def mail_failed(message: Message, says: str) -> None:
    """Tell the account's launch managers that somebody could not be reached, in the portal and by mail.

    A returned mail about a returned mail ends here: the log and the list of mails have it.
    """
    says = made_sound(says)
    log.warning("mail_failed", message=message.pk, purpose=message.purpose, says=says)
    if message.account is None or message.purpose == "mail_returned":
        return
    who = (
        message.user.name if message.user is not None else compose.unpack(message.context or "{}").get("name")
    )
    tell_all(
        "mail_returned",
        audience("launch_managers", message.account),
        subject_ref=f"mail:{message.ref}",
        account=message.account,
        context={
            "who": who or "A contact",
            "what": message.title,
            "says": says,
            "url": message.url,
        },
        reason="a mail could not be delivered",
        people=[message.user],
    )


def mark_read(user: User, *, notice: Message | None = None) -> int:
    """Mark one notice, or all that the user may read now, as read; return how many were unread."""
    rows = selectors.notices_of(user).filter(read_at__isnull=True)
    if notice is not None:
        rows = rows.filter(pk=notice.pk)
    return rows.update(read_at=timezone.now())


@transaction.atomic
def set_preference(
    user: User,
    *,
    quiet_from: time | None = None,
    quiet_until: time | None = None,
    mail_off: Iterable[str] | None = None,
    portal_off: Iterable[str] | None = None,
) -> Preference:
    """Change how a user is told; what is not given stays. Raises Refused for a kind that is always on.

    Mails that wait already go by the new hours: their time is asked again when they come due.
    """
    preference, _ = Preference.objects.select_for_update().get_or_create(user=user)
    before = snapshot(preference)
    for name, hour in (("quiet_from", quiet_from), ("quiet_until", quiet_until)):
        if hour is not None:
            setattr(preference, name, hour)
    for name, kinds in (("mail_off", mail_off), ("portal_off", portal_off)):
        if kinds is None:
            continue
        chosen = sorted(set(kinds))
        fixed = [kind for kind in chosen if kind in ALWAYS_ON]
        if fixed:
            raise Refused(
                "Danger, and what is for you alone, cannot be turned off: someone needs you to know.",
                code="always_on",
            )
        if set(chosen) - {kind.value for kind in Kind}:
            raise Refused("There is no such kind of notice.", code="unknown_kind")
        setattr(preference, name, chosen)
    preference.save()
    after = snapshot(preference)
    if before != after:
        record("notices.changed", actor=user, subject=user, before=before, after=after)
        waiting = Message.objects.filter(user=user, mail_state=MailState.QUEUED, tries=0)
        if waiting.exclude(urgency=Urgency.NOW).update(due_at=timezone.now()):
            wake_after_commit()
    return preference


@transaction.atomic
def forget_person(*, user: User | None = None, address: str = "", account: Any = None) -> int:
    """Delete everything told to one person; return how many rows. For the erasing of a user or a contact.

    With `account` only what was about it: two accounts may know the same address, and erasing never crosses them.
    """
    rows = Message.objects.filter(recipient_key=recipient_key(user, address))
    gone, _ = (rows if account is None else rows.filter(account=account)).delete()
    return gone


def call_off(purpose: str, *, subject_ref: str, period: str, says: str) -> int:
    """Take back what was told and is settled: mails that wait are not sent, notices count as read; return how many mails.

    `says` tells, beside a mail that was not sent, why. One that is being sent at this moment goes out.
    """
    return call_off_all(purpose, [subject_ref], period=period, says=says)


def call_off_all(purpose: str, subject_refs: Iterable[str], *, period: str, says: str) -> int:
    """Take back what was told of several subjects, as `call_off` does of one; return how many mails. Two queries."""
    now = timezone.now()
    told = Message.objects.filter(purpose=purpose, subject_ref__in=list(subject_refs), period=period)
    told.filter(is_shown=True, read_at__isnull=True).update(read_at=now)
    waiting = told.filter(mail_state=MailState.QUEUED)
    return waiting.update(mail_state=MailState.WITHDRAWN, ended_at=now, says=says[:300])


def withdraw_older(purposes: Iterable[str], *, subject_ref: str, period: str, says: str) -> int:
    """Take back the mails about a subject that wait and are from before `period`; return how many. One query.

    The notices stay unread: what they tell of has happened, and nobody may have seen it.
    """
    waiting = Message.objects.filter(
        purpose__in=list(purposes), subject_ref=subject_ref, mail_state=MailState.QUEUED, tries=0
    ).exclude(period=period)
    return waiting.update(mail_state=MailState.WITHDRAWN, ended_at=timezone.now(), says=says[:300])


TAKEN_BACK = " until "
"""In the period of what was told, and taken back before it was sent or read."""


def told_already(purpose: str, subject_ref: str) -> set[int]:
    """Return the users who were told of a subject, and of whom it was not taken back. One query."""
    rows = Message.objects.filter(purpose=purpose, subject_ref=subject_ref, user__isnull=False)
    rows = rows.exclude(mail_state=MailState.WITHDRAWN).exclude(period__contains=TAKEN_BACK)
    return set(rows.values_list("user", flat=True))


def call_off_waiting(
    purpose: str,
    *,
    subject_ref: str,
    says: str,
    unless: Mapping[str, Any] | None = None,
    is_shown: bool = True,
) -> int:
    """Take back what was told of a subject and waits to be sent or read, as it is not true any more; return to how many.

    One whose context says what `unless` says stays. What is taken back was never told: the same period may tell anew. In the
    list of notices it stays, as read, unless it is replaced, or `is_shown` says that it does not.
    """
    now, count = timezone.now(), 0
    # Whoever wants no mail has the notice in the portal alone: what nobody read yet is told anew, too.
    waiting = Message.objects.filter(
        Q(mail_state=MailState.QUEUED, tries=0) | Q(mail_state=MailState.NONE, read_at__isnull=True),
        purpose=purpose,
        subject_ref=subject_ref,
    )
    for row in waiting.only("pk", "context", "period", "mail_state"):
        said = compose.unpack(row.context) if row.context else {}
        if unless is not None and all(said.get(key) == value for key, value in unless.items()):
            continue
        # What is replaced would stand in the list beside what is told instead.
        over = {
            "read_at": now,
            "period": f"{row.period[:40]}{TAKEN_BACK}{now.isoformat()}",
            "is_shown": is_shown and unless is None,
        }
        if row.mail_state == MailState.NONE:
            count += Message.objects.filter(pk=row.pk).update(**over)
            continue
        # A worker may have taken it meanwhile: what is being sent goes out.
        count += Message.objects.filter(pk=row.pk, mail_state=MailState.QUEUED).update(
            mail_state=MailState.WITHDRAWN, ended_at=now, says=says[:300], **over
        )
    return count


def withdraw(addresses: Iterable[str], *, account: Any, says: str) -> int:
    """Take back the mails about an account that wait for addresses which are nobody's there any more; return how many.

    `says` tells, beside a mail that was not sent, why. One that is being sent at this moment goes out.
    """
    waiting = Message.objects.filter(
        recipient_key__in=[recipient_key(None, one) for one in addresses],
        account=account,
        mail_state=MailState.QUEUED,
    )
    return waiting.update(mail_state=MailState.WITHDRAWN, ended_at=timezone.now(), says=says[:300])


def forget_about(*subject_refs: str) -> int:
    """Delete everything told about these things, to whomever; return how many rows. For erasing, too."""
    gone, _ = Message.objects.filter(subject_ref__in=subject_refs).delete()
    return gone


def forget_account(account: Any) -> int:
    """Delete everything told about one account, to whomever; return how many rows. For its erasing."""
    gone, _ = Message.objects.filter(account=account).delete()
    return gone


KEEP_TEXT_FOR = timedelta(days=30)
KEEP_ROWS_FOR = timedelta(days=180)


def forget_old(now: datetime, *, batch: int = 1000) -> int:
    """Destroy the texts of mails that ended 30 days ago, and rows of 180 days; return how many rows went.

    In batches, safe to repeat; a row that still waits is left.
    """
    ended = Message.objects.exclude(mail_state__in=[MailState.QUEUED, MailState.SENDING])
    texts = ended.filter(created_at__lt=now - KEEP_TEXT_FOR, text__isnull=False).values("pk")[:batch]
    Message.objects.filter(pk__in=texts).update(text=None, html=None, context=None)
    rows = ended.filter(created_at__lt=now - KEEP_ROWS_FOR).values("pk")[:batch]
    gone, _ = Message.objects.filter(pk__in=rows).delete()
    return gone
