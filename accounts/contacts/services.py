"""Each change of a contact, and each proof and confirmation, on record in its transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Lower
from django.utils import timezone

from accounts.changes import apply_changes, check_active, check_no_pin
from accounts.contacts.fields import (
    FIRST_ORDER,
    LAST_ORDER,
    LONGEST,
    MOST_DAYS_OFF,
    MOST_PHONES,
    MOST_RESPONSIBLE,
    clean_order,
    clean_text,
    in_order,
    reach_conflict,
)
from accounts.contacts.hours import HoursKind, check_country, check_spans, kept, spans_of
from accounts.contacts.models import (
    ChannelProof,
    ConfirmedBy,
    ContactLink,
    PhoneCode,
    ProvenHow,
    ProvenKind,
    RoleConfirmation,
    UsedBy,
)
from accounts.contacts.proving import digest_of, numbers_of
from accounts.contacts.uses import record_use
from accounts.members import lock_account
from accounts.models import Account, Contact, ContactRole, User
from portal.audit.services import record, snapshot
from portal.audit.subjects import Sealer, named
from portal.errors import Refused, StaleState
from portal.events.services import emit
from portal.lists import ListAsked
from portal.notify.services import call_off_all, withdraw
from portal.rows import check_row

CONTACT_FIELDS = (
    "name",
    "title",
    "organization",
    "email",
    "is_shared_mailbox",
    "phone",
    "more_phones",
    "no_phone_because",
    "time_zone",
    "hours",
    "weekly_hours",
    "holidays_country",
    "holidays_subdivision",
    "days_off",
    "preferred_channel",
    "language",
    "roles",
    "authority",
    "escalation_order",
    "role_orders",
    "responsible_for",
    "valid_from",
    "valid_until",
    "external_id",
    "notes",
)
# What somebody confirms when they say "still me, still right".
CONFIRMED_FIELDS = ("name", "email", "phone", "roles", "authority")
_FREE_TEXT = ("name", "title", "organization", "no_phone_because", "external_id", "notes")
_REACHED_BY = frozenset({"phone", "email", "no_phone_because", "preferred_channel"})


class ThereAlready(StaleState):
    """Somebody with the same mail address, or the same name and number, is listed in this account: `contacts`."""

    def __init__(self, contacts: list[Contact]) -> None:
        names = ", ".join(one.name for one in contacts)
        super().__init__(f"There is already {names}. Nothing was added.", code="contact_exists")
        self.contacts = contacts


@transaction.atomic
def add_contact(
    account: Account, fields: Mapping[str, Any], *, actor: User | None, all_the_same: bool = False
) -> Contact:
    """Add a person to call. A new contact is unconfirmed and unproven.

    Raises ThereAlready where it may be somebody of this account who is listed, unless they are to be added
    `all_the_same`.
    """
    lock_account(account)
    check_active(account)
    contact = Contact(account=account)
    write_fields(contact, fields)
    check_row(contact)
    alike = [] if all_the_same else _alike(contact)
    if alike:
        raise ThereAlready(alike)
    contact.save()
    record("contact.added", actor=actor, account=account, subject=contact, after=snapshot(contact))
    emit_contact("added", contact, actor)
    return contact


_MOST_ALIKE = 5


def _alike(contact: Contact) -> list[Contact]:
    """Return whom of its account a new contact may be. Other accounts are not looked at: nobody learns of theirs."""
    same = Q()
    if contact.email:
        same |= Q(email__iexact=contact.email)
    if contact.phone:
        same |= Q(phone=contact.phone, name__iexact=contact.name)
    return list(Contact.objects.filter(same, account=contact.account_id).order_by("name", "pk")[:_MOST_ALIKE])


def write_fields(contact: Contact, fields: Mapping[str, Any]) -> None:
    """Set a contact's fields as they are kept. Raises Refused with the sentence for what does not fit; saves nothing.

    For whoever takes in many at once (imports); a single one goes through `add_contact` and `change_contact`.
    """
    was = {name: getattr(contact, name) for name in CONTACT_FIELDS}
    apply_changes(contact, fields, CONTACT_FIELDS)
    check_no_pin(*(str(fields.get(name) or "") for name in _FREE_TEXT))
    for name in LONGEST:
        # What was kept before a rule was made is not asked again: a new number must not wait for a shorter title.
        if getattr(contact, name) != was[name]:
            setattr(contact, name, clean_text(name, getattr(contact, name) or ""))
    if contact.email != was["email"]:
        contact.bouncing_since, contact.bounce_says = None, ""
    if contact.email != was["email"] or contact.name != was["name"]:
        # Another person or another mailbox: what was said of the one before is settled.
        contact.disowned_at, contact.disowned_says = None, ""
    contact.external_id = contact.external_id or None
    contact.roles = in_order(contact.roles)
    if contact.escalation_order != was["escalation_order"]:
        contact.escalation_order = clean_order(contact.escalation_order)
    contact.more_phones = _other_numbers(contact)
    if contact.phone and not was["phone"] and "no_phone_because" not in fields:
        # The answer is over: there is a number now.
        contact.no_phone_because = ""
    if _REACHED_BY & set(fields):
        conflict = reach_conflict(
            phone=contact.phone,
            email=contact.email,
            no_phone_because=contact.no_phone_because,
            preferred=contact.preferred_channel,
        )
        if conflict is not None:
            raise Refused(conflict[1], code="invalid")
    if contact.hours != HoursKind.WEEKLY:
        contact.weekly_hours = []
    else:
        spans = spans_of(contact.weekly_hours)
        contact.weekly_hours = kept(spans)
        if contact.weekly_hours != was["weekly_hours"]:
            check_spans(spans)
    check_country(contact.holidays_country, contact.holidays_subdivision)
    contact.days_off = sorted(set(contact.days_off))
    if len(contact.days_off) > MOST_DAYS_OFF:
        raise Refused(f"Days off: at most {MOST_DAYS_OFF}.", code="invalid")
    contact.role_orders = _orders(contact)
    contact.responsible_for = _responsible(contact.responsible_for)


def _other_numbers(contact: Contact) -> list[str]:
    others = [number for number in dict.fromkeys(contact.more_phones) if number and number != contact.phone]
    if others and not contact.phone:
        raise Refused("Give the best number first, then the others.", code="invalid")
    if len(others) > MOST_PHONES:
        raise Refused(f"At most {MOST_PHONES} other numbers.", code="invalid")
    return others


def _orders(contact: Contact) -> dict[str, int]:
    given: Any = contact.role_orders
    fits = isinstance(given, Mapping) and all(
        role in ContactRole.values
        and isinstance(order, int)
        and not isinstance(order, bool)
        and FIRST_ORDER <= order <= LAST_ORDER
        for role, order in given.items()
    )
    if not fits:
        raise Refused("An order for a role is a number from 1 to 999, 1 is called first.", code="invalid")
    # In the order of the roles, and only for those the contact has.
    return {role: given[role] for role in ContactRole.values if role in given and role in contact.roles}


def _responsible(given: Any) -> list[dict[str, str]]:
    fits = isinstance(given, list) and all(
        isinstance(one, Mapping)
        and set(one) <= {"kind", "id", "label"}
        and one.get("kind") in ("load_balancer", "server")
        and isinstance(one.get("id"), str)
        and 0 < len(one["id"]) <= 100
        and isinstance(one.get("label", ""), str)
        and len(one.get("label", "")) <= 200
        for one in given
    )
    if not fits or len(given) > MOST_RESPONSIBLE:
        raise Refused(
            f"Responsible for: at most {MOST_RESPONSIBLE} load balancers or servers, each with the provider's id.",
            code="invalid",
        )
    return [{"kind": one["kind"], "id": one["id"], "label": one.get("label", "")} for one in given]


@transaction.atomic
def record_contacts_export(
    account: Account,
    rows: QuerySet[Contact],
    *,
    actor: User,
    reason: str,
    asked: ListAsked,
    format: str = "csv",
) -> None:
    """Put on record that contacts leave the portal: how many, by which filters, what for."""
    record(
        "contacts.exported",
        actor=actor,
        account=account,
        subject=account,
        after={
            "count": rows.count(),
            "format": format,
            "filters": {name: value for name, value in asked.filters.items() if value},
            # What was typed may be a person's name, which the record of an export need not keep.
            "is_searched": bool(asked.text),
        },
        reason=reason,
    )
    record_use(rows.all(), account=account, purpose_reason=reason, actor=actor, way=UsedBy.EXPORT)


def _lock(contact: Contact) -> Contact:
    locked = Contact.objects.select_for_update(of=("self",)).select_related("account").get(pk=contact.pk)
    check_active(locked.account)
    return locked


@transaction.atomic
def change_contact(contact: Contact, changes: Mapping[str, Any], *, actor: User | None) -> Contact:
    """Change a contact. A new name, mail, phone, role or authority needs a new confirmation, a new value a new proof."""
    locked = _lock(contact)
    before = snapshot(locked)
    write_fields(locked, changes)
    if any(before[name] != snapshot(locked)[name] for name in CONFIRMED_FIELDS):
        locked.confirmed_on, locked.confirmed_by_name = None, ""
    check_row(locked)
    locked.save()
    record(
        "contact.changed",
        actor=actor,
        account=locked.account,
        subject=locked,
        before=before,
        after=snapshot(locked),
    )
    channels_left([(locked, before)])
    emit_contact("changed", locked, actor)
    return locked


def channels_left(changed: Iterable[tuple[Contact, Mapping[str, Any]]]) -> None:
    """End for good what was under way on addresses and numbers that contacts had `before`: links, codes, waiting mail.

    Not only while the value differs: whoever is given an old address back is asked anew, and no old link proves it.
    """
    rows = list(changed)
    mailed = [(one, was["email"]) for one, was in rows if was["email"] and was["email"] != one.email]
    end_links([one for one, _ in mailed], now=timezone.now(), says="the address was changed")
    called = [one.pk for one, was in rows if was["phone"] != one.phone]
    if called:
        PhoneCode.objects.filter(contact__in=called).delete()
    if mailed:
        address_left(mailed[0][0].account, *(email for _, email in mailed))


def end_links(contacts: Sequence[Contact], *, now: datetime, says: str) -> int:
    """End the open links of contacts, and call off the mails that would bring them; return how many still opened."""
    if not contacts:
        return 0
    rows = ContactLink.objects.filter(contact__in=contacts, revoked_at__isnull=True, answered_at__isnull=True)
    by_use: dict[str, list[str]] = {}
    for ref, use in rows.filter(expires_at__gt=now).values_list("ref", "use"):
        by_use.setdefault(use, []).append(f"contact-link:{ref}")
    rows.update(revoked_at=now)
    for use, refs in by_use.items():
        call_off_all(f"contact_{use}", refs, period="", says=says)
    return sum(map(len, by_use.values()))


def address_left(account: Account, *addresses: str) -> None:
    """Take back what waits for addresses that no contact of the account has any more: a wrong one may be a stranger's."""
    left = {one.strip().lower() for one in addresses if one}
    if not left:
        return
    rows = Contact.objects.filter(account=account).annotate(_address=Lower("email"))
    left -= set(rows.filter(_address__in=left).values_list("_address", flat=True))
    withdraw(left, account=account, says="No contact of the account has this address any more.")


@transaction.atomic
def confirm_contact(
    contact: Contact,
    *,
    actor: User | None,
    on: date,
    channel: str = ConfirmedBy.PORTAL,
    is_doubtful: bool = False,
    agent: str = "",
    reason: str = "",
) -> Contact:
    """Note that somebody says "still me, still right": a named user, or (None) the person by the link in a mail.

    A doubtful one is kept and changes nothing.
    """
    locked = _lock(contact)
    RoleConfirmation.objects.create(
        contact=locked,
        at=timezone.now(),
        on=on,
        roles=locked.roles,
        channel=channel,
        by_ref=str(actor.ref) if actor is not None else "",
        by_name=named(actor),
        agent=agent[:300],
        is_doubtful=is_doubtful,
        reason=Sealer([locked]).text(reason[:300]),
    )
    before = snapshot(locked)
    if not is_doubtful:
        locked.confirmed_on, locked.confirmed_by_name = on, actor.name if actor is not None else ""
        locked.save()
    record(
        "contact.confirmed" if not is_doubtful else "contact.confirmed_in_doubt",
        actor=actor,
        account=locked.account,
        subject=locked,
        before=before,
        after={**snapshot(locked), "channel": str(channel)},
        reason=reason,
    )
    if not is_doubtful:
        emit_contact("confirmed", locked, actor)
    return locked


@transaction.atomic
def prove_channel(
    contact: Contact,
    *,
    kind: str,
    value: str,
    how: str,
    actor: User | None,
    is_doubtful: bool = False,
    agent: str = "",
    reason: str = "",
    at: datetime | None = None,
) -> ChannelProof:
    """Keep that somebody answered on this very mail address or number of a contact.

    Raises Refused for a value that is not the contact's (any more), and for a call without a named user.
    """
    locked = _lock(contact)
    wanted = value.strip().lower()
    own = [locked.email.lower()] if kind == ProvenKind.MAIL else numbers_of(locked)
    if not wanted or wanted not in own:
        raise Refused(
            "This is not the contact's any more: it was changed meanwhile. Nothing was proven.",
            code="changed",
        )
    if how == ProvenHow.CALL and actor is None:
        raise Refused("A call is logged by the person who made it.", code="no_caller")
    proof = ChannelProof.objects.create(
        contact=locked,
        kind=kind,
        value_digest=digest_of(locked, kind, wanted),
        how=how,
        at=at or timezone.now(),
        by_ref=str(actor.ref) if actor is not None else "",
        by_name=named(actor),
        agent=agent[:300],
        is_doubtful=is_doubtful,
        reason=Sealer([locked]).text(reason[:300]),
    )
    if kind == ProvenKind.MAIL and locked.bouncing_since is not None and not is_doubtful:
        locked.bouncing_since, locked.bounce_says = None, ""
    if kind == ProvenKind.MAIL and not is_doubtful:
        locked.disowned_at, locked.disowned_says = None, ""
    locked.save()
    record(
        "contact.proven" if not is_doubtful else "contact.proven_in_doubt",
        actor=actor,
        account=locked.account,
        subject=locked,
        after={"channel": str(kind), "how": str(how)},
        reason=reason,
    )
    if not is_doubtful:
        emit(
            "contact.proven",
            account=locked.account,
            subject=locked,
            data={"channel": str(kind), "how": str(how)},
            actor=actor,
        )
    return proof


@transaction.atomic
def keep_contact(contact: Contact, *, actor: User, reason: str) -> Contact:
    """Keep somebody as listed although the reader of their mailbox said that it is not them; mail goes there again.

    Raises Refused without a reason, and where nobody said so (any more).
    """
    locked = _lock(contact)
    reason = " ".join(reason.split())
    if locked.disowned_at is None:
        raise Refused("There is nothing to settle here any more. Nothing was changed.", code="settled")
    if not reason:
        raise Refused("Say why the contact is right as listed. Nothing was changed.", code="no_reason")
    check_no_pin(reason)
    before = snapshot(locked)
    locked.disowned_at, locked.disowned_says = None, ""
    locked.save()
    record(
        "contact.kept",
        actor=actor,
        account=locked.account,
        subject=locked,
        before=before,
        after=snapshot(locked),
        reason=reason[:300],
    )
    emit_contact("changed", locked, actor)
    return locked


@transaction.atomic
def remove_contact(contact: Contact, *, actor: User) -> None:
    """Remove a contact; the audit keeps that there was one."""
    locked = _lock(contact)
    record(
        "contact.removed",
        actor=actor,
        account=locked.account,
        subject=locked,
        before={"name": locked.name, "roles": locked.roles},
    )
    emit_contact("removed", locked, actor)
    locked.delete()
    address_left(locked.account, locked.email)


def emit_contact(happened: str, contact: Contact, actor: User | None) -> None:
    """Say what happened to a contact, by its roles and its confirmation only."""
    emit(
        f"contact.{happened}",
        account=contact.account,
        subject=contact,
        data=event_data(contact),
        actor=actor,
    )


def event_data(contact: Contact) -> dict[str, Any]:
    """Return what an event says of a contact: nothing that tells who it is."""
    return {"roles": contact.roles, "confirmed_on": contact.confirmed_on and str(contact.confirmed_on)}
