"""What was told to others about somebody who is erased: nobody can read the name any more, and nothing urgent is lost."""

from __future__ import annotations

import uuid

import pytest
from django.db import connection
from django.test import Client

from accounts import services
from accounts.erasure import erase_contact, erase_person
from portal.audit.subjects import erased_name
from portal.crypto import decrypt, encrypted_columns
from portal.notify import sending
from portal.notify.models import Message
from portal.notify.registry import Recipient, audience
from portal.notify.services import mail_failed, tell, tell_all
from portal.runs import services as runs
from tests import factories as make

pytestmark = pytest.mark.django_db


def dump():
    """Return every table as it lies there, and beside it what the operator's own keys open of it."""
    secret = {(model._meta.db_table, name) for model, name in encrypted_columns()}
    told = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            columns = [column.name for column in cursor.description]
            for row in cursor.fetchall():
                for column, value in zip(columns, row, strict=True):
                    told.append(f"{table}.{column}: {value}")
                    if (table, column) in secret and value is not None:
                        told.append(f"{table}.{column}: {decrypt(value)}")
    return told


def found(*words):
    return [line for line in dump() if any(word in line for word in words)]


class Sent:
    """Takes every mail and keeps it."""

    def __init__(self):
        self.mails = []

    def send(self, mail, *, sender, to, handing_over, deadline_s):
        handing_over()
        self.mails.append(mail.decode())


@pytest.fixture
def account():
    return make.account("Nordic Outdoor")


@pytest.fixture
def maja(account):
    make.member(account, "admin", "Ada")
    return make.member(account, "admin", "Maja Lindgren", email="maja@lindgren.example")


@pytest.fixture
def jonas(account):
    return make.launch_manager(account.team, "Jonas Berg")


WORDS = ("Maja Lindgren", "maja@lindgren.example")


def tell_jonas(jonas, maja, account, purpose="mail_returned", **more):
    return tell(
        purpose,
        to=jonas,
        account=account,
        subject_ref=f"mail:{uuid.uuid4()}",
        context={
            "who": str(maja),
            "what": f"Asked by {maja} ({maja.email})",
            "says": f"{maja} asked for it.",
            "url": "/",
            **more,
        },
        people=[maja],
    )


def test_a_dump_of_everything_names_nobody_who_was_erased(account, maja, jonas):
    contact = make.contact(account, "Vera Holm", email="vera@holm.example", phone="+46701234567")
    tell_jonas(jonas, maja, account)
    tell_all(
        "mail_returned",
        [Recipient(user=jonas)],
        account=account,
        subject_ref="mail:vera",
        context={
            "who": str(contact),
            "what": "Call +46701234567",
            "says": "Write to vera@holm.example",
            "url": "/",
        },
        people=[contact],
    )
    written = [sending.render(one) for one in Message.objects.order_by("pk")]
    assert "Maja Lindgren asked for it." in written[0].text
    assert "Call +46701234567" in written[1].text
    # Whatever hour it is, so that these two are rendered and kept.
    Message.objects.update(urgency="now", due_at="2020-01-01T00:00Z")
    half = Sent()
    sending.send_due(transport=half)
    assert len(half.mails) == 2
    tell_jonas(jonas, maja, account)  # one that waits

    erase_person(maja, actor=None, reason="asked")
    erase_contact(account, contact.ref, actor=account.memberships.get().user, reason="asked")
    assert not found(*WORDS, "Maja", "Vera Holm", "vera@holm.example", "+46701234567")
    for one in Message.objects.filter(user=jonas):
        page = sending.render(one)
        assert "erased person " in page.subject
        assert "erased person " in page.text
        assert "erased person " in page.html
        assert "⟦" not in page.subject + page.text + page.html + one.title


def test_before_the_erasing_the_operators_keys_alone_open_no_name_in_a_mail(account, maja, jonas):
    tell_jonas(jonas, maja, account)
    Message.objects.update(urgency="now", due_at="2020-01-01T00:00Z")
    assert sending.send_due(transport=Sent()).sent == 1
    assert [line for line in found(*WORDS) if line.startswith("notify_")] == []


def test_a_danger_still_goes_out_without_the_name(account, maja, jonas):
    tell(
        "run_danger",
        to=jonas,
        account=account,
        subject_ref="run:1",
        context={
            "title": "Shop",
            "says": "Maja Lindgren's server fails.",
            "customer_says": "x",
            "in_charge": str(maja),
            "at": None,
            "url": "/",
        },
        people=[maja],
    )
    erase_person(maja, actor=None, reason="asked")
    sent = Sent()
    assert sending.send_due(transport=sent).sent == 1
    assert "Maja" not in sent.mails[0]
    assert "erased person" in sent.mails[0].replace("=\r\n", "")


def test_each_try_sends_the_same_bytes_with_the_name_that_was_told(account, maja, jonas):
    row = tell_jonas(jonas, maja, account)
    first = sending._mail_of(row, jonas.email).as_bytes()
    maja.name = "Maja Berg"
    maja.save()
    row = Message.objects.sealed().get(pk=row.pk)
    assert sending._mail_of(row, jonas.email).as_bytes() == first
    assert b"Maja Lindgren" in first


def test_a_name_is_never_markup_and_stays_whole_in_a_long_subject(account, jonas):
    nasty = make.member(account, "viewer", "<b>O'Hara</b> & Söhne")
    tell_jonas(jonas, nasty, account)
    long = tell_jonas(jonas, nasty, account, who="x" * 170 + " " + str(nasty))
    page = sending.render(Message.objects.order_by("pk").first())
    assert "<b>O'Hara" not in page.html
    assert "&lt;b&gt;O&#x27;Hara&lt;/b&gt; &amp; Söhne" in page.html
    assert page.subject == "Nordic Outdoor: a mail to <b>O'Hara</b> & Söhne could not be delivered"
    cut = sending.render(Message.objects.get(pk=long.pk)).subject
    assert (len(cut), cut[-1]) == (180, "…")
    client = Client()
    client.force_login(jonas)
    assert "&lt;b&gt;O&#x27;Hara" in client.get("/me/notices/").content.decode()


def test_a_mail_to_an_address_that_a_contact_had_before_goes_nowhere(account):
    admin = make.member(account, "admin")
    contact = services.add_contact(
        account, {"name": "Vera Holm", "email": "old@holm.example", "roles": ["emergency"]}, actor=admin
    )
    tell_all(
        "run_danger",
        audience("emergency", account),
        reason="the site is in danger",
        account=account,
        subject_ref="run:1",
        context={"title": "Shop", "says": "x", "customer_says": "x", "in_charge": "", "at": None, "url": "/"},
    )
    assert Message.objects.get().address == "old@holm.example"
    contact.email = "new@holm.example"
    contact.save()
    erase_contact(account, contact.ref, actor=admin, reason="asked")
    assert not found("old@holm.example", "Vera Holm")
    sent = Sent()
    assert sending.send_due(transport=sent).withdrawn == 1
    assert sent.mails == []


def test_what_was_stopped_and_approved_names_nobody_who_was_erased(account, maja, jonas):
    ada = account.memberships.order_by("pk").first().user
    standstill = runs.put_standstill(f"account:{account.ref}", reason="Maja Lindgren said so.", actor=maja)
    told = Message.objects.get(purpose="standstill_put", user=jonas)
    assert "Maja Lindgren stopped everything" in sending.render(told).text
    runs.lift_standstill(standstill, reason="fine", actor=maja)
    erase_person(maja, actor=ada, reason="asked")
    assert [line for line in found(*WORDS) if line.startswith("notify_")] == []
    name = erased_name(maja.ref)
    for purpose in ("standstill_put", "standstill_lifted"):
        assert name in sending.render(Message.objects.get(purpose=purpose, user=jonas)).text


def test_a_short_name_is_sealed_where_it_stands_alone(account, jonas):
    short = make.member(account, "viewer", "Bo")
    row = tell_jonas(jonas, short, account)
    erase_person(short, actor=None, reason="asked")
    assert sending.render(Message.objects.get(pk=row.pk)).subject.startswith(
        "Nordic Outdoor: a mail to erased person "
    )


def test_who_could_not_be_reached_is_told_under_their_own_key(account, maja, jonas):
    tell(
        "mail_returned",
        to=maja,
        account=account,
        subject_ref="x",
        context={"who": "y", "what": "", "says": "", "url": ""},
    )
    tell_jonas(jonas, maja, account)
    lost = tell_all(
        "run_ended",
        [Recipient(user=maja)],
        account=account,
        subject_ref="run:2",
        context={"title": "Shop", "status": "completed", "is_rehearsal": False, "at": None, "url": "/"},
    )[0]
    mail_failed(lost, "The mail server refused the recipient (550).")
    back = Message.objects.get(purpose="mail_returned", subject_ref=f"mail:{lost.ref}")
    assert "A mail to Maja Lindgren could not" in sending.render(back).text
    erase_person(maja, actor=None, reason="asked")
    assert not found(*WORDS)
