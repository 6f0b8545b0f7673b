"""Doors beside those that were closed: addresses with tokens, lenient readers of mail, answers kept below a typed path."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.cases.mail import NotTaken, read_mail
from accounts.contacts import asking
from accounts.contacts.models import ContactUse
from portal import alarms
from portal.audit.models import AuditEntry
from portal.audit.subjects import forget_answers_naming
from portal.models import IdempotentAnswer
from portal.notify.models import Message
from portal.notify.sending import render
from portal.runs.models import Run
from tests import factories as make
from tests.runs.desks import PgDesk

REST = "To: support@in.portal.example\r\n\r\nYes, go on."


@pytest.mark.parametrize(
    "head",
    [
        "From : evil@evil.example\r\nFrom: maja@lindgren.example\r\n",
        " From: evil@evil.example\r\nFrom: maja@lindgren.example\r\n",
        "From evil@evil.example\r\nFrom: maja@lindgren.example\r\n",
        "From: maja@lindgren.example\r\nSubject: x\r\nFrom\t: evil@evil.example\r\n",
        "From: maja@lindgren.example\r\nFr\0om: evil@evil.example\r\n",
        "From: maja@lindgren.example\r\nno header\r\nFrom: evil@evil.example\r\n",
        "Subject: x\rFrom: maja@lindgren.example\r\rwords\r\nFrom: evil@evil.example\r\n",
        "Subject: x\nFrom: maja@lindgren.example\n\nwords\r\nFrom: evil@evil.example\r\n",
    ],
)
def test_headers_that_two_readers_cut_in_two_ways_are_from_nobody(head):
    with pytest.raises(NotTaken) as refused:
        read_mail((head + REST).encode())
    assert refused.value.code == "no_sender"


@pytest.mark.parametrize("ends", ["\r\n", "\n"])
def test_plain_headers_are_read_whatever_ends_their_lines(ends):
    raw = ("Received: by x\r\n\tfor y\r\nFrom: maja@lindgren.example\r\n" + REST).replace("\r\n", ends)
    assert read_mail(raw.encode()).sender == "maja@lindgren.example"


@pytest.mark.django_db
def test_no_address_takes_a_token_in():
    account = make.account()
    viewer = make.member(account, "viewer")
    contact = make.contact(account)
    token = f"⟦{uuid.uuid4().hex}.⟧"
    browser = Client()
    browser.force_login(viewer)
    assert browser.get(f"/accounts/{account.ref}/contacts/", {"q": token}).status_code == 422
    bearer = make.bearer(make.token(viewer))
    for path in (f"contacts/{contact.ref}", f"accounts/{account.ref}/contacts"):
        answer = Client().get(f"/api/v1/{path}", {"reason": f"look {token}"}, **bearer)
        assert answer.status_code in (400, 422), path
    assert not ContactUse.objects.filter(contact_ids__contains=[contact.pk]).exists()


@pytest.mark.django_db
def test_what_a_mail_system_says_of_a_returned_mail_opens_no_token():
    account = make.account()
    make.launch_manager(account.team)
    contact = make.contact(account, email="n@x.example")
    message = Message.objects.create(
        purpose="contact_link",
        kind="personal",
        account=account,
        subject_ref=f"contact:{contact.ref}",
        recipient_key="mail:x",
        address=contact.email,
        title="A link",
        created_at=timezone.now(),
        message_id="m1@portal.example",
        mail_state="sent",
    )
    assert asking.mail_came_back(message.message_id, f"550 ⟦{uuid.uuid4().hex}.⟧ no such user")
    contact.refresh_from_db()
    assert "⟦" not in contact.bounce_says
    told = list(Message.objects.filter(purpose="mail_returned"))
    assert told
    assert all("⟦" not in render(one).text and "[" in render(one).text for one in told)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "goes"), [("connections/{x}/pools/{d}", False), ("accounts/{d}/contacts", True)]
)
def test_only_what_was_asked_of_the_account_itself_is_emptied(path, goes):
    asker, theirs = make.member(make.account(), "editor"), make.account()
    row = IdempotentAnswer.objects.create(
        actor=str(asker.ref),
        method="POST",
        path=f"/api/v1/{path.format(x=uuid.uuid4(), d=theirs.ref)}",
        key="a",
        status=200,
        body={"ceiling_source": "tess@secluded.example"},
        headers={},
        at=timezone.now(),
    )
    forget_answers_naming(uuid.uuid4(), "tess@secluded.example", places=[theirs.ref])
    row.refresh_from_db()
    assert (row.body is None) is goes


@pytest.mark.django_db
def test_a_refusal_does_not_name_what_only_the_team_sees():
    account = make.account()
    entry = make.calendar_entry("Dark node", account=account, kind="drill", is_team_only=True)
    viewer = make.member(account, "viewer")
    browser = Client()
    browser.force_login(viewer)
    bearer = make.bearer(make.token(viewer))
    assert browser.get(f"/calendar/{entry.ref}/call-off/").status_code == 404
    assert browser.post(f"/calendar/{entry.ref}/", {"title": "x"}).status_code == 404
    for method, path in (
        ("patch", f"calendar-entries/{entry.ref}"),
        ("post", f"calendar-entries/{entry.ref}/call-off"),
    ):
        answer = getattr(Client(), method)(
            f"/api/v1/{path}",
            json.dumps({"reason": "x"}),
            content_type="application/json",
            HTTP_IDEMPOTENCY_KEY="a",
            **bearer,
        )
        assert answer.status_code == 404, path
    assert not AuditEntry.objects.filter(subject_label__contains="Dark node").exists()


@pytest.mark.django_db(transaction=True)
def test_nobody_learns_how_much_of_others_is_overdue():
    desk = PgDesk()
    desk.create()
    Run.objects.update(next_tick_at=timezone.now() - timedelta(hours=1))
    stranger = make.launch_manager(make.team("South"), role="lead")
    assert alarms.engine_asleep(stranger) is None
    own = make.launch_manager(desk.account.team)
    assert alarms.engine_asleep(own).overdue == 1
    said = Client().get("/readyz").content.decode()
    assert "asleep" in said
    assert "1 run" not in said
