"""Contacts out of the portal as a file: with the right, with a reason, on record before the first line leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone

from accounts.contact_files.csv_in import COLUMNS, FOUND_OUT_HERE
from accounts.contact_files.services import known_contacts
from accounts.contact_files.writers import csv_cells, to_vcards
from accounts.contacts.selectors import freshness_of
from accounts.contacts.services import record_contacts_export
from accounts.models import Account, Contact, User
from portal.csvfile import csv_response, streamed
from portal.errors import Refused
from portal.lists import ListAsked

FORMATS = {"csv": "CSV", "vcard": "vCard 4.0"}
EVERYTHING = ListAsked("", {}, "escalation_order")


def export_contacts(
    account: Account,
    *,
    actor: User,
    reason: str,
    format: str,
    may_read_on: Callable[[], bool],
    rows: QuerySet[Contact] | None = None,
    asked: ListAsked = EVERYTHING,
) -> StreamingHttpResponse:
    """Return an account's contacts (or those of `rows`, which `asked` narrowed) as a file, streamed.

    A vCard is written for contacts with a role only: the others are nobody's to call. Raises Refused without a reason.
    """
    reason = " ".join(reason.split())
    if not reason:
        raise Refused("Say what the file is for. Nothing was exported.", code="reason_missing")
    if rows is None:
        rows = Contact.objects.filter(account=account)
    if format == "vcard":
        rows = rows.exclude(roles=[])
    record_contacts_export(account, rows, actor=actor, reason=reason, asked=asked, format=format)
    if format == "csv":
        today = timezone.now().date()
        return csv_response(
            "contacts",
            (*COLUMNS, *FOUND_OUT_HERE),
            lambda row: (
                *csv_cells(next(known_contacts([row]))),
                row.confirmed_on,
                freshness_of(row, today=today),
            ),
            rows,
            order=asked.order,
            may_read_on=may_read_on,
        )

    def cards(found: Sequence[Contact]) -> bytes:
        return b"".join(to_vcards(known_contacts(found)))

    return streamed(
        f"contacts-{timezone.now():%Y-%m-%d}.vcf",
        "text/vcard; charset=utf-8",
        rows,
        order=asked.order,
        part=cards,
        may_read_on=may_read_on,
    )
