"""Many rows that change together are on record as if each had been changed alone."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.erasure import erase_contact
from accounts.models import Contact
from portal.audit.models import AuditEntry
from portal.audit.services import Recorded, record, record_many, snapshot
from portal.events.models import Event
from portal.events.services import emit, emit_many
from tests import factories as make

pytestmark = pytest.mark.django_db


def contacts(account, count):
    rows = [
        Contact(account=account, name=f"Person {n:03}", email=f"p{n}@x.example", notes=f"knows Person {n:03}")
        for n in range(count)
    ]
    return Contact.objects.bulk_create(rows)


def told(entries):
    names = (
        "what",
        "actor_ref",
        "actor_name",
        "account_name",
        "subject_type",
        "subject_label",
        "after",
        "reason",
    )
    return [tuple(getattr(entry, name) for name in names) for entry in entries]


def test_many_entries_read_as_those_that_were_written_one_by_one():
    account, ada = make.account(), make.user("Ada Lovelace")
    rows = contacts(account, 3)
    for row in rows:
        record(
            "contact.added",
            actor=ada,
            account=account,
            subject=row,
            after=snapshot(row),
            reason="Ada Lovelace asked",
        )
    alone = told(AuditEntry.objects.order_by("pk"))
    record_many(
        "contact.added",
        [Recorded(row, after=snapshot(row)) for row in rows],
        actor=ada,
        account=account,
        reason="Ada Lovelace asked",
    )
    assert told(AuditEntry.objects.order_by("pk")[3:]) == alone


def test_each_of_many_stands_under_its_own_key():
    account = make.account()
    admin = make.member(account, "admin")
    first, second = contacts(account, 2)
    record_many(
        "contact.added",
        [Recorded(row, after=snapshot(row)) for row in (first, second)],
        actor=admin,
        account=account,
    )
    erase_contact(account, first.ref, actor=admin, reason="asked for it")
    gone, kept = AuditEntry.objects.filter(what="contact.added").order_by("pk")
    assert "erased person" in gone.subject_label
    assert "Person 000" not in str(gone.after)
    assert kept.after["notes"] == "knows Person 001"


def test_the_number_of_queries_does_not_grow_with_the_rows():
    account, ada = make.account(), make.user()
    counts = []
    for count in (5, 200):
        rows = contacts(account, count)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            record_many(
                "contact.added",
                [Recorded(row, after=snapshot(row)) for row in rows],
                actor=ada,
                account=account,
            )
            emit_many(
                "contact.added", [(row, {"roles": row.roles}) for row in rows], account=account, actor=ada
            )
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 8


def test_many_events_are_those_that_one_by_one_would_be():
    account, ada = make.account(), make.user()
    rows = contacts(account, 2)
    for row in rows:
        emit("contact.added", account=account, subject=row, data={"roles": []}, actor=ada)
    emit_many("contact.added", [(row, {"roles": []}) for row in rows], account=account, actor=ada)
    names = ("type", "version", "account_ref", "subject_type", "subject_ref", "actor_ref", "data")
    told = list(Event.objects.order_by("pk").values_list(*names))
    assert told[:2] == told[2:]


def test_nothing_personal_goes_out_among_many():
    account = make.account()
    with pytest.raises(ValueError, match="nothing personal"):
        emit_many("contact.added", [(contacts(account, 1)[0], {"email": "x"})], account=account, actor=None)
    assert not Event.objects.exists()
