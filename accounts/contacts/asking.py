"""Asking contacts by mail: prove this mailbox, confirm that it is still right, see what is held. And their answers.

A link opens a page and changes nothing, however often and by whatever it is opened; a button on the page does, by POST.
Of its token only a keyed hash is kept. An answer faster than five seconds after the mail was handed over is a
machine's, and does not count. A link ends by time, by its answer, by a newer one, by hand, and when the address changes.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import DateTimeField, F, OuterRef, Q, QuerySet, Subquery
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.changes import check_active
from accounts.contacts import services
from accounts.contacts.models import ConfirmedBy, ContactLink, LinkFor, PhoneCode, ProvenHow, ProvenKind
from accounts.contacts.proving import digest_of as value_digest_of
from accounts.contacts.proving import digests_of as value_digests_of
from accounts.contacts.selectors import CONFIRMED_FOR, STALE_AFTER
from accounts.members import lock_account
from accounts.models import Account, AccountStatus, Contact, User
from portal.audit.services import record
from portal.audit.subjects import named
from portal.errors import Refused, StaleState, TooOften
from portal.events.services import emit
from portal.notify.models import Message
from portal.notify.registry import Urgency, audience
from portal.notify.services import mail_failed, tell, tell_all, withdraw
from portal.texts import made_sound

PREFIX = "ssk_"
LASTS = {
    LinkFor.PROVE: timedelta(days=7),
    LinkFor.CONFIRM: timedelta(days=30),
    LinkFor.SEE: timedelta(days=14),
}
FASTEST_ANSWER_S = 5.0
PER_CONTACT_A_DAY = 5
PER_ACCOUNT_AN_HOUR = 60
CODE_LASTS = timedelta(minutes=15)
CODE_TRIES = 5
GONE = "This link opens nothing any more. Ask whoever looks after you for a new one."
_WHY = {
    LinkFor.PROVE: "asked to prove the mail address, so that support reaches the person",
    LinkFor.CONFIRM: "asked whether the contact is still right, so that support reaches the person",
    LinkFor.SEE: "sent a link to what is held about the person",
}


def digest_of(token: str) -> str:
    """Return what is stored of a link's token: a hash under the portal's own key."""
    return salted_hmac("accounts.contacts.links", token, algorithm="sha256").hexdigest()


@transaction.atomic
def send_link(contact: Contact, use: str, *, actor: User | None, now: datetime | None = None) -> ContactLink:
    """Mail a contact a link; one sent before for the same ends. `actor` None is the portal's own asking.

    What the portal asks waits for the person's own working hours; what a person asks for goes at once. Raises Refused
    without a mail address or where mail comes back, TooOften past the limits.
    """
    now = now or timezone.now()
    lock_account(contact.account)
    locked = Contact.objects.select_for_update(of=("self",)).select_related("account").get(pk=contact.pk)
    check_active(locked.account)
    if not locked.email:
        raise Refused(f"{locked.name} has no mail address. Call instead. Nothing was sent.", code="no_mail")
    if locked.disowned_at is not None:
        raise Refused(
            f"Whoever reads the mailbox of {locked.name} says: this is not me. Settle that first. Nothing was sent.",
            code="disowned",
        )
    if locked.bouncing_since is not None:
        raise Refused(
            f"Mail to {locked.name} comes back. Call instead, or correct the address. Nothing was sent.",
            code="bouncing",
        )
    _count(locked, actor, now)
    older = ContactLink.objects.filter(
        contact=locked, use=use, answered_at__isnull=True, revoked_at__isnull=True
    )
    older.update(revoked_at=now)
    token = PREFIX + secrets.token_urlsafe(32)
    link = ContactLink.objects.create(
        contact=locked,
        use=use,
        digest=digest_of(token),
        value_digest=value_digest_of(locked, ProvenKind.MAIL, locked.email),
        made_at=now,
        expires_at=now + LASTS[LinkFor(use)],
        asked_by_ref=str(actor.ref) if actor is not None else "",
    )
    tell(
        f"contact_{use}",
        address=locked.email,
        subject_ref=f"contact-link:{link.ref}",
        context={
            "name": locked.name,
            "time_zone": locked.time_zone,
            "is_customer": True,
            "roles": ", ".join(locked.roles),
            "asked_by": actor.name if actor is not None else "",
            "expires_at": link.expires_at,
            # Not `url`, which stays readable on the row: this path is a key.
            "link_url": reverse("contact-link", args=[token]),
        },
        account=locked.account,
        urgency=Urgency.NOW if actor is not None else Urgency.TODAY,
        reason=_WHY[LinkFor(use)],
        person=locked,
        people=[actor] if actor is not None else [],
    )
    record("contact.link_sent", actor=actor, account=locked.account, subject=locked, after={"for": str(use)})
    return link


def _count(contact: Contact, actor: User | None, now: datetime) -> None:
    if actor is None:
        return
    made = ContactLink.objects.exclude(asked_by_ref="")
    limits = (
        (
            {"contact": contact},
            PER_CONTACT_A_DAY,
            timedelta(days=1),
            f"{contact.name} was mailed {PER_CONTACT_A_DAY} links within a day. Call instead. Nothing was sent.",
            "this contact, whoever sends",
        ),
        (
            {"contact__account": contact.account_id},
            PER_ACCOUNT_AN_HOUR,
            timedelta(hours=1),
            f"{PER_ACCOUNT_AN_HOUR} links were mailed for this account within an hour. Nothing was sent.",
            "the account, for everybody who works on it together",
        ),
    )
    for counted, most, span, says, whose in limits:
        times = list(
            made.filter(**counted, made_at__gt=now - span)
            .order_by("-made_at")
            .values_list("made_at", flat=True)[:most]
        )
        if len(times) == most:
            raise TooOften(says, after_s=(times[-1] + span - now).total_seconds(), whose=whose)


def link_of(token: str, *, now: datetime) -> ContactLink | None:
    """Return the link that this token opens now, or None: unknown, answered, revoked, over, of a changed address alike."""
    link = (
        ContactLink.objects.select_related("contact__account")
        .filter(digest=digest_of(token), expires_at__gt=now)
        .first()
    )
    if link is None or link.revoked_at is not None or link.answered_at is not None:
        return None
    contact = link.contact
    if contact.account.status == AccountStatus.ARCHIVED:
        return None
    still = link.value_digest in value_digests_of(contact, ProvenKind.MAIL, contact.email)
    return link if contact.email and still else None


def was_answered(token: str, *, now: datetime) -> bool:
    """Whether the link of this token was answered, and neither ended nor was taken back since."""
    rows = ContactLink.objects.filter(digest=digest_of(token), expires_at__gt=now)
    return rows.filter(answered_at__isnull=False, revoked_at__isnull=True).exists()


@transaction.atomic
def revoke_links(contact: Contact, *, actor: User | None, now: datetime | None = None) -> int:
    """Take back every link of a contact that is open; return how many. A repeat changes nothing."""
    now = now or timezone.now()
    lock_account(contact.account)
    count = services.end_links([contact], now=now, says="the link was taken back")
    if count:
        record("contact.links_revoked", actor=actor, account=contact.account, subject=contact)
    return count


# --- answers -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What came of an answer. A doubtful one was too fast for a person: it is kept, does not count, and can be repeated."""

    is_doubtful: bool


@transaction.atomic
def answer(token: str, *, seen: str, agent: str, now: datetime | None = None) -> Answer:
    """The button of a link: the mailbox is proven and, where it was asked, the contact confirmed. Raises Refused.

    By the person, so nobody is named. A mailbox read by several proves itself and confirms nothing: whoever reads it
    said so, but nobody knows who. `seen` is the digest of what the page showed (`shown_by`); raises StaleState where it
    reads otherwise by now: nobody says yes to what they never saw.
    """
    now = now or timezone.now()
    link, contact = _locked(token, now)
    if link.use == LinkFor.SEE:
        raise Refused(GONE, code="link_over")
    _check_seen(link, seen)
    is_doubtful = _is_too_fast(link, now)
    services.prove_channel(
        contact,
        kind=ProvenKind.MAIL,
        value=contact.email,
        how=ProvenHow.LINK,
        actor=None,
        is_doubtful=is_doubtful,
        agent=agent,
        at=now,
    )
    if link.use == LinkFor.CONFIRM:
        services.confirm_contact(
            contact, actor=None, on=now.date(), channel=ConfirmedBy.LINK, is_doubtful=is_doubtful, agent=agent
        )
    if not is_doubtful:
        ContactLink.objects.filter(pk=link.pk).update(answered_at=now)
    return Answer(is_doubtful)


def _locked(token: str, now: datetime) -> tuple[ContactLink, Contact]:
    link = link_of(token, now=now)
    if link is None:
        raise Refused(GONE, code="link_over")
    lock_account(link.contact.account)
    # The contact before its link, as a change of it does: what is read behind this stays as it was shown.
    Contact.objects.select_for_update(of=("self",)).filter(pk=link.contact_id).first()
    ContactLink.objects.select_for_update().filter(pk=link.pk).first()
    link = link_of(token, now=now)
    if link is None:
        raise Refused(GONE, code="link_over")
    return link, link.contact


def shown_by(link: ContactLink) -> str:
    """Return a digest of what the page of a link shows and its button says yes to."""
    contact = link.contact
    if link.use == LinkFor.CONFIRM:
        return seen_of(contact)
    return _digest_seen(contact, [contact.name, contact.email])


def _check_seen(link: ContactLink, seen: str) -> None:
    if not secrets.compare_digest(seen.encode(), shown_by(link).encode()):
        raise StaleState(
            "What is held was changed since this page was opened. Look at it again, then answer. Nothing was noted.",
            code="changed",
        )


def _is_too_fast(link: ContactLink, now: datetime) -> bool:
    """Whether an answer came within five seconds of the mail being handed over, or before it ever was."""
    sent = (
        Message.objects.filter(subject_ref=f"contact-link:{link.ref}")
        .values_list("handed_at", flat=True)
        .first()
    )
    return sent is None or (now - sent).total_seconds() < FASTEST_ANSWER_S


@transaction.atomic
def disown(token: str, *, text: str, agent: str, now: datetime | None = None) -> Contact:
    """The person says: this is not me, or remove me. No mail goes there any more; people of the account are told.

    Erasing stays with an admin of the account: whoever reads a mailbox must not remove somebody else's number.
    """
    now = now or timezone.now()
    _, contact = _locked(token, now)
    locked = Contact.objects.select_for_update(of=("self",)).select_related("account").get(pk=contact.pk)
    locked.disowned_at, locked.disowned_says = now, text[:500]
    locked.confirmed_on, locked.confirmed_by_name = None, ""
    locked.save()
    revoke_links(locked, actor=None, now=now)
    withdraw([locked.email], account=locked.account, says="The mailbox said: this is not me.")
    record(
        "contact.disowned",
        account=locked.account,
        subject=locked,
        after={"agent": agent[:300]},
        reason=text[:500],
    )
    services.emit_contact("disowned", locked, None)
    tell_all(
        "contact_disowned",
        [*audience("launch_managers", locked.account), *audience("editors", locked.account)],
        subject_ref=f"contact:{locked.ref}",
        period=now.date().isoformat(),
        account=locked.account,
        context={
            "who": locked.name,
            "text": text[:500],
            "url": reverse("accounts:contact-detail", args=[locked.ref]),
        },
        reason="a contact says: this is not me, or remove me",
        people=[locked],
    )
    return locked


# --- a code on the phone -----------------------------------------------------------------------------------


@transaction.atomic
def make_code(contact: Contact, *, actor: User, now: datetime | None = None) -> str:
    """Return a new code of six digits to read out on the contact's best number; the person types it on their own page.

    It is good for 15 minutes and five tries; one made before ends. Raises Refused without a number.
    """
    now = now or timezone.now()
    lock_account(contact.account)
    locked = Contact.objects.select_for_update(of=("self",)).select_related("account").get(pk=contact.pk)
    check_active(locked.account)
    if not locked.phone:
        raise Refused(f"{locked.name} has no number to call.", code="no_phone")
    code = f"{secrets.randbelow(1_000_000):06d}"
    PhoneCode.objects.update_or_create(
        contact=locked,
        defaults={
            "digest": _code_digest(locked, code),
            "value_digest": value_digest_of(locked, ProvenKind.PHONE, locked.phone),
            "made_at": now,
            "expires_at": now + CODE_LASTS,
            "tries": 0,
            "by_ref": str(actor.ref),
            "by_name": named(actor),
        },
    )
    return code


def _code_digest(contact: Contact, code: str) -> str:
    return salted_hmac("accounts.contacts.code", f"{contact.ref}\n{code}", algorithm="sha256").hexdigest()


def has_code(contact: Contact, *, now: datetime) -> bool:
    """Whether a code waits to be typed."""
    return PhoneCode.objects.filter(contact=contact, expires_at__gt=now, tries__lt=CODE_TRIES).exists()


def answer_code(token: str, code: str, *, seen: str, agent: str, now: datetime | None = None) -> bool:
    """Whether the code that was read out on the phone is this one; then the number is proven. Raises Refused.

    A wrong one counts, also where what follows is refused; after five the code is over. `seen` is as for `answer`.
    """
    now = now or timezone.now()
    with transaction.atomic():
        link, contact = _locked(token, now)
        waiting = PhoneCode.objects.filter(contact=contact, expires_at__gt=now, tries__lt=CODE_TRIES)
        # Counted before it is looked at, in one statement, so that no more than five pass at the same moment.
        if waiting.update(tries=F("tries") + 1) == 0:
            raise Refused("No code waits for you. Have it read out again.", code="no_code")
        _check_seen(link, seen)
        held = PhoneCode.objects.get(contact=contact)
        if not secrets.compare_digest(held.digest, _code_digest(contact, "".join(code.split()))):
            return False
        if held.value_digest not in value_digests_of(contact, ProvenKind.PHONE, contact.phone):
            raise Refused("The number was changed meanwhile. Nothing was proven.", code="changed")
        services.prove_channel(
            contact,
            kind=ProvenKind.PHONE,
            value=contact.phone,
            how=ProvenHow.CODE,
            actor=User.objects.filter(ref=held.by_ref).first(),
            agent=agent,
            at=now,
        )
        held.delete()
        return True


# --- freshness ---------------------------------------------------------------------------------------------


def to_ask(now: datetime) -> QuerySet[Contact]:
    """Return the contacts who are due to be asked by mail whether they are still right.

    Once when they become due (90 days), once when they become stale (180), and every 90 days while nobody answers; a new
    one a day after it was added. Whoever's mail comes back, is not valid, or whose account is archived is not asked.
    """
    today = now.date()
    asked = (
        ContactLink.objects.filter(contact=OuterRef("pk"), use=LinkFor.CONFIRM)
        .order_by("-pk")
        .values("made_at")
    )
    rows: Any = Contact.objects.filter(
        account__status=AccountStatus.ACTIVE, bouncing_since__isnull=True, disowned_at__isnull=True
    )
    rows = (
        rows.exclude(email="")
        .exclude(roles=[])
        .annotate(_asked_at=Subquery(asked[:1], output_field=DateTimeField()))
    )
    valid = Q(valid_from__isnull=True) | Q(valid_from__lte=today)
    valid &= Q(valid_until__isnull=True) | Q(valid_until__gte=today)
    is_due = Q(confirmed_on__lt=today - CONFIRMED_FOR)
    is_new = Q(confirmed_on__isnull=True, created_at__lt=now - timedelta(days=1))
    not_asked = (
        Q(_asked_at__isnull=True)
        | Q(_asked_at__lt=now - CONFIRMED_FOR)
        # Asked while it was due, and stale by now.
        | Q(confirmed_on__lt=today - STALE_AFTER, _asked_at__date__lte=F("confirmed_on") + STALE_AFTER)
    )
    found: QuerySet[Contact] = (
        rows.filter(valid, is_due | is_new, not_asked).select_related("account").order_by("pk")
    )
    return found


def ask_due(now: datetime, *, limit: int = 200) -> int:
    """Mail those who are due to be asked, and their accounts' editors once a quarter; return how many were asked."""
    count = 0
    for contact in list(to_ask(now)[:limit]):
        with transaction.atomic():
            lock_account(contact.account)
            # Looked at again behind the lock: another worker may have asked meanwhile.
            still = to_ask(now).filter(pk=contact.pk).first()
            if still is not None:
                send_link(still, LinkFor.CONFIRM, actor=None, now=now)
                _ask_account(still.account, now)
                count += 1
    return count


def _ask_account(account: Account, now: datetime) -> None:
    """Tell the account's own people once a quarter that the list waits to be confirmed, all of it on one page."""
    tell_all(
        "contacts_due",
        audience("editors", account),
        subject_ref=f"account:{account.ref}",
        period=f"{now.year}Q{(now.month + 2) // 3}",
        account=account,
        context={"url": reverse("accounts:contact-confirm-list", args=[account.ref])},
        urgency=Urgency.TODAY,
        reason="contacts are due to be confirmed",
    )


def seen_of(contact: Contact) -> str:
    """Return a digest of what is confirmed of a contact: name, mail address, number, roles and authority."""
    held = [contact.name, contact.email, contact.phone, sorted(contact.roles), contact.authority]
    return _digest_seen(contact, held)


def _digest_seen(contact: Contact, held: Sequence[Any]) -> str:
    return salted_hmac(
        "accounts.contacts.seen", f"{contact.ref}\n{json.dumps(held)}", algorithm="sha256"
    ).hexdigest()


@transaction.atomic
def confirm_list(
    account: Account,
    refs: Sequence[UUID],
    *,
    actor: User,
    on: date,
    channel: str = ConfirmedBy.PORTAL,
    seen: Mapping[UUID, str] | None = None,
) -> int:
    """Confirm several contacts of an account at once, in one's own name; return how many. All of them or none.

    `seen` holds per contact the digest of what somebody was shown (`seen_of`). Raises StaleState where one of them reads
    otherwise by now, Refused for others' contacts and for those whose mail comes back or who said that it is not them.
    """
    lock_account(account)
    rows = {
        row.ref: row
        for row in Contact.objects.select_for_update(of=("self",))
        .filter(account=account, ref__in=refs)
        .select_related("account")
        .order_by("pk")
    }
    if len(rows) != len(set(refs)):
        raise Refused(
            "One of them is no contact of this account any more. Nobody was confirmed.", code="no_contact"
        )
    if others := [row.name for row in rows.values() if row.disowned_at is not None]:
        raise Refused(
            f"Their mailbox says that it is not them: {', '.join(others)}. Settle that on their page first. Nobody was "
            "confirmed.",
            code="disowned",
        )
    if away := [row.name for row in rows.values() if row.bouncing_since is not None]:
        raise Refused(
            f"Mail does not reach them: {', '.join(away)}. Call them and correct the address first. Nobody was "
            "confirmed.",
            code="bouncing",
        )
    if seen is not None and (
        other := [row.name for row in rows.values() if seen.get(row.ref) != seen_of(row)]
    ):
        raise StaleState(
            f"Changed since the page was opened: {', '.join(other)}. Nobody was confirmed. Look again, then confirm.",
            code="changed",
        )
    for row in rows.values():
        services.confirm_contact(row, actor=actor, on=on, channel=channel)
    return len(rows)


# --- mail that came back -----------------------------------------------------------------------------------


@transaction.atomic
def mail_came_back(message_id: str, says: str, *, now: datetime | None = None) -> bool:
    """Mark whom a returned mail was for as bouncing, in the account that it was about and in no other; tell its launch managers.

    False where no such mail is known (any more). A repeat changes nothing.
    """
    now = now or timezone.now()
    message = (
        Message.objects.filter(message_id=message_id.strip().strip("<>"))
        .select_related("account", "user")
        .first()
    )
    if message is None:
        return False
    # Another mail system's words: nobody can be asked to type them anew.
    says = made_sound(" ".join(says.split()))[:200] or "The mail system returned it."
    if message.account is not None and message.user_id is None and message.address:
        lock_account(message.account)
        same = Contact.objects.filter(
            account=message.account, email__iexact=message.address, bouncing_since__isnull=True
        )
        for contact in same.select_for_update(of=("self",)).select_related("account"):
            contact.bouncing_since, contact.bounce_says, contact.mail_unproven_at = now, says, now
            contact.save(update_fields=["bouncing_since", "bounce_says", "mail_unproven_at", "updated_at"])
            record("contact.bounced", account=contact.account, subject=contact)
            emit("contact.bounced", account=contact.account, subject=contact)
    mail_failed(message, says)
    return True
