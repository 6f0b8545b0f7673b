"""A file is taken in as it was seen, all of it or nothing, and never across accounts."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from asgiref.sync import async_to_sync
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.contact_files import services
from accounts.contact_files.exporting import export_contacts
from accounts.contact_files.models import ContactImport
from accounts.contacts.services import add_contact, confirm_contact
from accounts.erasure import erase_contact
from accounts.models import Contact
from accounts.tasks import tidy
from portal.audit.models import AuditEntry
from portal.errors import Refused, StaleState
from portal.events.models import Event
from tests import factories as make

pytestmark = pytest.mark.django_db
HEAD = "name,email,phone,role\r\n"


@pytest.fixture
def account():
    return make.account("Lindgren Outdoor", time_zone="Europe/Stockholm")


@pytest.fixture
def admin(account):
    return make.member(account, "admin")


def take(account, admin, text):
    held = services.begin_import(account, text, actor=admin)
    return services.take_in(held, digest=services.preview_of(held).digest, actor=admin)


def bytes_of(response):
    async def whole():
        return b"".join([part async for part in response.streaming_content])

    return async_to_sync(whole)()


def test_looking_changes_nothing_and_taking_in_adds(account, admin):
    held = services.begin_import(account, HEAD + "Maja,maja@x.example,+46701234567,primary\r\n", actor=admin)
    assert services.preview_of(held).is_ready
    assert not Contact.objects.exists()
    done = services.take_in(held, digest=services.preview_of(held).digest, actor=admin)
    assert done == services.Done(added=1, changed=0, same=0)
    maja = Contact.objects.get()
    assert (maja.account, maja.roles, maja.time_zone) == (account, ["primary"], "Europe/Stockholm")
    assert maja.confirmed_on is None
    assert {entry.what for entry in AuditEntry.objects.filter(account_ref=account.ref)} >= {
        "contact.added",
        "contacts.imported",
    }
    assert Event.objects.filter(type="contact.added", subject_ref=str(maja.ref)).count() == 1


def test_a_second_import_updates_and_a_changed_number_needs_a_new_confirmation(account, admin):
    take(account, admin, HEAD + "Maja,maja@x.example,+46701234567,primary\r\n")
    confirm_contact(Contact.objects.get(), actor=admin, on=timezone.now().date())
    assert take(
        account, admin, HEAD + "Maja,maja@x.example,+46701234567,primary\r\nPer,p@x.example,,\r\n"
    ) == (services.Done(added=1, changed=0, same=1))
    done = take(account, admin, HEAD + "Maja,maja@x.example,+46701234599,primary\r\n")
    assert done == services.Done(added=0, changed=1, same=0)
    maja = Contact.objects.get(name="Maja")
    assert (maja.phone, maja.confirmed_on) == ("+46701234599", None)
    entry = AuditEntry.objects.get(what="contact.changed")
    assert (entry.before["phone"], entry.after["phone"]) == ("+46701234567", "+46701234599")


def test_one_wrong_row_takes_nothing_in(account, admin):
    held = services.begin_import(account, HEAD + "Maja,maja@x.example,,\r\nPer,nonsense,,\r\n", actor=admin)
    preview = services.preview_of(held)
    assert [(one.line, one.field) for one in preview.problems] == [(3, "email")]
    with pytest.raises(Refused, match="mended first"):
        services.take_in(held, digest=preview.digest, actor=admin)
    assert not Contact.objects.exists()


def test_what_the_portals_own_rules_refuse_is_said_in_the_preview(account, admin):
    held = services.begin_import(account, "name,email,notes\r\nMaja,m@x.example,PIN: 4711\r\n", actor=admin)
    (problem,) = services.preview_of(held).problems
    assert problem.line == 2
    assert "PIN" in problem.says


def test_contacts_that_changed_since_the_preview_are_looked_at_again(account, admin):
    maja = add_contact(account, {"name": "Maja", "email": "maja@x.example"}, actor=admin)
    held = services.begin_import(account, HEAD + "Maja,maja@x.example,+46701234567,\r\n", actor=admin)
    seen = services.preview_of(held).digest
    Contact.objects.filter(pk=maja.pk).update(phone="+46700000000")
    with pytest.raises(StaleState, match="Look at it again"):
        services.take_in(held, digest=seen, actor=admin)
    maja.refresh_from_db()
    assert maja.phone == "+46700000000"


def test_it_is_taken_in_once(account, admin):
    held = services.begin_import(account, HEAD + "Maja,maja@x.example,,\r\n", actor=admin)
    digest = services.preview_of(held).digest
    services.take_in(held, digest=digest, actor=admin)
    with pytest.raises(Refused, match="This import is over"):
        services.take_in(held, digest=digest, actor=admin)
    assert Contact.objects.count() == 1
    assert ContactImport.objects.get().text is None


def test_a_file_is_kept_for_an_hour_and_encrypted(account, admin):
    held = services.begin_import(account, HEAD + "Maja,maja@x.example,,\r\n", actor=admin)
    with connection.cursor() as cursor:
        cursor.execute("SELECT text FROM accounts_contactimport")
        assert "maja" not in cursor.fetchone()[0]
    with time_machine.travel(timezone.now() + timedelta(minutes=61), tick=False):
        assert not services.open_imports().exists()
        with pytest.raises(Refused, match="its hour has passed"):
            services.take_in(held, digest="", actor=admin)
        tidy()
    assert not ContactImport.objects.exists()


def test_a_new_file_ends_the_one_before(account, admin):
    first = services.begin_import(account, HEAD + "Maja,maja@x.example,,\r\n", actor=admin)
    services.begin_import(account, HEAD + "Per,p@x.example,,\r\n", actor=admin)
    with pytest.raises(Refused, match="This import is over"):
        services.take_in(first, digest=services.preview_of(first).digest, actor=admin)


def test_another_accounts_contact_is_not_touched_even_by_its_own_id(account, admin):
    other = add_contact(make.account("Other"), {"name": "Maja", "email": "maja@x.example"}, actor=None)
    take(account, admin, f"external_id,name,email\r\nurn:uuid:{other.ref},Mallory,maja@x.example\r\n")
    other.refresh_from_db()
    assert other.name == "Maja"
    assert Contact.objects.get(account=account).external_id is None


def test_erasing_somebody_drops_the_files_that_wait_in_their_account(account, admin):
    maja = add_contact(account, {"name": "Maja", "email": "maja@x.example"}, actor=admin)
    services.begin_import(account, HEAD + "Maja,maja@x.example,,\r\n", actor=admin)
    erase_contact(account, maja.ref, actor=admin, reason="asked for it")
    assert not ContactImport.objects.exists()


def test_an_archived_account_takes_nothing_in(account, admin):
    held = services.begin_import(account, HEAD + "Maja,maja@x.example,,\r\n", actor=admin)
    account.status = "archived"
    account.save()
    with pytest.raises(Refused, match="archived"):
        services.take_in(held, digest=services.preview_of(held).digest, actor=admin)


@pytest.mark.parametrize("format", ["csv", "vcard"])
def test_the_export_taken_in_again_changes_nothing(account, admin, format):
    add_contact(
        account,
        {
            "name": "Maja Lindgren",
            "email": "maja@x.example",
            "phone": "+46701234567",
            "more_phones": ["+46701234568"],
            "roles": ["primary", "emergency"],
            "organization": "=HYPERLINK(1)",
            "language": "sv",
            "escalation_order": 3,
        },
        actor=admin,
    )
    data = bytes_of(
        export_contacts(account, actor=admin, reason="night shift", format=format, may_read_on=lambda: True)
    )
    assert (b"'=HYPERLINK" in data) == (format == "csv")
    held = services.begin_import(account, data, actor=admin)
    planned = services.preview_of(held).planned
    assert (planned.added, planned.changed, planned.same) == ((), (), 1)


def test_an_export_needs_a_reason_which_stays_on_record_and_a_card_only_has_whom_to_call(account, admin):
    add_contact(account, {"name": "Maja", "email": "maja@x.example", "roles": ["primary"]}, actor=admin)
    add_contact(account, {"name": "Per", "email": "per@x.example"}, actor=admin)
    with pytest.raises(Refused, match="what the file is for"):
        export_contacts(account, actor=admin, reason=" ", format="csv", may_read_on=lambda: True)
    data = bytes_of(
        export_contacts(account, actor=admin, reason="night shift", format="vcard", may_read_on=lambda: True)
    ).decode()
    assert "CATEGORIES:support-contact,primary" in data
    assert "Per" not in data
    entry = AuditEntry.objects.get(what="contacts.exported")
    assert (entry.reason, entry.after["count"], entry.after["format"]) == ("night shift", 1, "vcard")


def test_the_number_of_queries_does_not_grow_with_the_file(account, admin):
    def rows(count):
        return HEAD + "".join(f"P {n},p{n}@x.example,+46{7000000 + n},emergency\r\n" for n in range(count))

    def queries(count):
        held = services.begin_import(account, rows(count), actor=admin)
        with CaptureQueriesContext(connection) as looked:
            digest = services.preview_of(held).digest
        with CaptureQueriesContext(connection) as taken:
            services.take_in(held, digest=digest, actor=admin)
        return len(looked), len(taken)

    assert queries(20) == queries(200)
