"""Taking contacts in from a file: looked at first, then all of it in one transaction or nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.changes import check_active
from accounts.contact_files.entries import Entry, FileRead, Problem, first_problems, text_of_file
from accounts.contact_files.merge import Change, Known, Planned, plan_import
from accounts.contact_files.models import ContactImport
from accounts.contact_files.reading import read_text
from accounts.contacts.fields import in_order, own_ref
from accounts.contacts.services import CONFIRMED_FIELDS, channels_left, event_data, write_fields
from accounts.members import lock_account
from accounts.models import Account, Contact, User
from portal.audit.services import Recorded, record, record_many, snapshot
from portal.errors import Refused, StaleState
from portal.events.services import emit, emit_many

KEPT_FOR = timedelta(hours=1)
# The names under which a file and the portal know the same thing.
_FIELDS: Mapping[str, str] = {"priority": "escalation_order"}


# What taking a file in may change of a row, with what follows from it.
_WRITTEN = (
    "name",
    "title",
    "organization",
    "email",
    "phone",
    "more_phones",
    "no_phone_because",
    "time_zone",
    "language",
    "roles",
    "role_orders",
    "escalation_order",
    "external_id",
    "notes",
    "bouncing_since",
    "bounce_says",
    "disowned_at",
    "disowned_says",
    "confirmed_on",
    "confirmed_by_name",
    "updated_at",
)


@dataclass(frozen=True)
class Preview:
    """What a file holds and what taking it in would do; `digest` is what a person says yes to."""

    read: FileRead
    planned: Planned
    digest: str

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that must be mended first, in the file's order."""
        return first_problems((*self.read.problems, *self.planned.problems))

    @property
    def is_ready(self) -> bool:
        """Whether it can be taken in: nothing is wrong, and something would change."""
        return not self.problems and bool(self.planned.added or self.planned.changed)


@dataclass(frozen=True)
class Done:
    """How many contacts an import added, changed and left as they were."""

    added: int
    changed: int
    same: int


def known_contacts(rows: Iterable[Contact]) -> Iterator[Known]:
    """Yield contacts as files know them."""
    for row in rows:
        yield Known(
            ref=row.ref,
            name=row.name,
            external_id=row.external_id or "",
            title=row.title,
            email=row.email,
            phone=row.phone,
            more_phones=tuple(row.more_phones),
            roles=tuple(in_order(row.roles)),
            priority=row.escalation_order,
            time_zone=row.time_zone,
            language=row.language,
            organization=row.organization,
            notes=row.notes,
        )


@transaction.atomic
def begin_import(account: Account, content: bytes | str, *, actor: User) -> ContactImport:
    """Hold a file for a look at what it would change. Changes no contact. Raises Refused for a file that is none.

    One a person and account: the one before ends.
    """
    check_active(account)
    text = text_of_file(content.encode() if isinstance(content, str) else content)
    read_text(text)
    now = timezone.now()
    lock_account(account)
    ContactImport.objects.filter(account=account, made_by=actor).delete()
    return ContactImport.objects.create(
        account=account, made_by=actor, text=text, made_at=now, expires_at=now + KEPT_FOR
    )


def imports() -> QuerySet[ContactImport]:
    """Return the imports that were begun within the hour, those that were taken in too."""
    return ContactImport.objects.filter(expires_at__gt=timezone.now())


def open_imports() -> QuerySet[ContactImport]:
    """Return those of `imports` that are not decided yet."""
    return imports().filter(done_at__isnull=True)


def preview_of(held: ContactImport) -> Preview:
    """Return what taking the file in would do now. Two queries, however long the file."""
    account = held.account
    rows = list(Contact.objects.filter(account=account).order_by("pk"))
    return preview_of_rows(held.text or "", rows, account)


def preview_of_rows(text: str, rows: Sequence[Contact], account: Account) -> Preview:
    """Return what taking a text into an account with these contacts would do. Asks no database."""
    return _preview(text, rows, account)[0]


@transaction.atomic
def take_in(held: ContactImport, *, digest: str, actor: User) -> Done:
    """Add and change contacts as the preview with this `digest` said, all of them or none.

    Raises Refused while something in the file must be mended, StaleState if the account's contacts changed since the
    preview, so that it would do something else than what was seen.
    """
    account = lock_account(held.account)
    check_active(account)
    locked = ContactImport.objects.select_for_update().filter(pk=held.pk).first()
    if locked is None or locked.text is None or locked.expires_at <= timezone.now():
        raise Refused(
            "This import is over: it was taken in, or its hour has passed. Nothing was changed.",
            code="import_over",
        )
    rows = list(Contact.objects.select_for_update(of=("self",)).filter(account=account).order_by("pk"))
    preview, prepared = _preview(locked.text, rows, account)
    if preview.problems:
        raise Refused(
            "Something in the file must be mended first. Nothing was taken in.", code="import_has_problems"
        )
    if preview.digest != digest:
        raise StaleState(
            "Contacts of this account were changed meanwhile, so the import would do something else than what you saw. "
            "Look at it again. Nothing was taken in.",
            code="import_changed",
        )
    _write(account, prepared, actor)
    done = Done(len(preview.planned.added), len(preview.planned.changed), preview.planned.same)
    counts = {"added": done.added, "changed": done.changed, "same": done.same}
    record(
        "contacts.imported",
        actor=actor,
        account=account,
        subject=account,
        after={**counts, "format": preview.read.format},
    )
    emit("contacts.imported", account=account, subject=account, data=counts, actor=actor)
    locked.text, locked.done_at = None, timezone.now()
    locked.save(update_fields=["text", "done_at"])
    return done


@transaction.atomic
def drop_import(held: ContactImport) -> None:
    """Forget a file that is not taken in. A repeat changes nothing."""
    ContactImport.objects.filter(pk=held.pk).delete()


def forget_old_imports(now: datetime) -> int:
    """Delete files that nobody decided about within their hour; return how many."""
    return ContactImport.objects.filter(expires_at__lte=now).delete()[0]


def forget_imports_with(ref: UUID) -> None:
    """Delete the files held for the account of a contact who is being erased: they may name the person."""
    accounts = Contact.objects.filter(ref=ref).values("account")
    ContactImport.objects.filter(account__in=accounts).delete()


# --- one change of many contacts -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Prepared:
    """Rows ready to be written: new ones, and changed ones with what they were."""

    added: Sequence[Contact]
    changed: Sequence[tuple[Contact, Mapping[str, Any]]]


def _preview(text: str, rows: Sequence[Contact], account: Account) -> tuple[Preview, _Prepared]:
    read = read_text(text)
    planned = plan_import(read.entries, list(known_contacts(rows)))
    problems: list[Problem] = list(planned.problems)
    by_ref = {row.ref: row for row in rows}
    added = []
    for entry in planned.added:
        contact = Contact(account=account, time_zone=account.time_zone)
        if _fits(contact, _values(entry), entry.line, problems):
            added.append(contact)
    changed = []
    for change in planned.changed:
        contact = by_ref[change.known.ref]
        before = snapshot(contact)
        if _fits(contact, _renamed(change.becomes), change.line, problems):
            after = snapshot(contact, CONFIRMED_FIELDS)
            if any(before[name] != after[name] for name in CONFIRMED_FIELDS):
                contact.confirmed_on, contact.confirmed_by_name = None, ""
            changed.append((contact, before))
    planned = replace(planned, problems=first_problems(problems))
    return Preview(read, planned, _digest(planned)), _Prepared(added, changed)


def _values(entry: Entry) -> dict[str, Any]:
    values = _renamed(entry.says())
    values["name"] = entry.name
    if entry.external_id and own_ref(entry.external_id) is None:
        values["external_id"] = entry.external_id
    return values


def _renamed(said: Mapping[str, Any]) -> dict[str, Any]:
    return {
        _FIELDS.get(name, name): list(value) if isinstance(value, tuple) else value
        for name, value in said.items()
    }


def _fits(contact: Contact, values: Mapping[str, Any], line: int, problems: list[Problem]) -> bool:
    """Set the values; note a problem for what the portal's own rules refuse. Asks no database."""
    try:
        write_fields(contact, values)
        contact.clean_fields(exclude={"account", "ref"})
    except Refused as refused:
        problems.append(Problem(line, "", refused.says))
        return False
    except ValidationError as error:
        for name, says in error.message_dict.items():
            problems.append(Problem(line, name, " ".join(says)))
        return False
    return True


def _digest(planned: Planned) -> str:
    """Return a digest of what an import does: whom it adds, whom it changes, from what to what."""
    said = {
        "added": [[one.external_id, one.name, one.says()] for one in planned.added],
        "changed": [[str(one.known.ref), one.was, one.becomes] for one in planned.changed],
    }
    return sha256(json.dumps(said, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _write(account: Account, prepared: _Prepared, actor: User) -> None:
    now = timezone.now()
    changed = [contact for contact, _ in prepared.changed]
    for contact in changed:
        contact.updated_at = now
    try:
        with transaction.atomic():
            Contact.objects.bulk_create(prepared.added, batch_size=1000)
            # One statement a thousand rows; `bulk_update` writes a CASE for each row and field.
            Contact.objects.bulk_create(
                changed, update_conflicts=True, unique_fields=["id"], update_fields=_WRITTEN, batch_size=1000
            )
    except IntegrityError:
        # The rules were asked of each before; this is somebody faster, or a rule that only the database has.
        raise StaleState(
            "The contacts do not fit what the account has meanwhile. Look at the import again. Nothing was taken in.",
            code="import_changed",
        ) from None
    channels_left(prepared.changed)
    new = [Recorded(one, after=snapshot(one)) for one in prepared.added]
    old = [Recorded(one, before=was, after=snapshot(one)) for one, was in prepared.changed]
    for what, rows in (("contact.added", new), ("contact.changed", old)):
        if rows:
            record_many(what, rows, actor=actor, account=account, reason="import")
            subjects: list[Any] = [one.subject for one in rows]
            emit_many(what, [(one, event_data(one)) for one in subjects], account=account, actor=actor)


def changes_shown(change: Change) -> list[tuple[str, str, str]]:
    """Return, by field, what is and what becomes, as people read it."""
    return [
        (name.replace("_", " "), _shown(change.was[name]), _shown(becomes))
        for name, becomes in change.becomes.items()
    ]


def _shown(value: object) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(str(one) for one in value)
    return str(value)
