"""The tokens in which people stand in kept texts, typed, mailed or handed in by somebody: none gets in at any door."""

from __future__ import annotations

import json
import quopri
import uuid

import pytest
from django.test import Client

from accounts.cases import mailing
from accounts.cases.mail import read_mail
from accounts.cases.models import CaseEntry, SupportCase
from accounts.contact_files.reading import read_file
from accounts.contacts.fields import clean_text
from accounts.erasure import erase_contact
from accounts.names import person_name
from portal.audit.subjects import erased_name
from portal.cloud.rackspace_answers import json_object
from portal.errors import Refused
from tests import factories as make

pytestmark = pytest.mark.django_db


class Two:
    """Somebody of one account, and a contact of another whose reference they know."""

    def __init__(self):
        self.theirs = make.account("Secluded Ltd")
        self.admin = make.member(self.theirs, "admin")
        self.contact = make.contact(self.theirs, "Dora Dahl")
        self.mine = make.account("Lindgren Outdoor")
        make.member(self.mine, "admin")
        self.editor = make.member(self.mine, "editor", "Emil")
        self.token = f"⟦{self.contact.ref.hex}.⟧"

    def api(self, path, body):
        return Client().post(
            f"/api/v1/accounts/{self.mine.ref}/{path}",
            json.dumps(body),
            content_type="application/json",
            HTTP_IDEMPOTENCY_KEY=str(uuid.uuid4()),
            **make.bearer(make.token(self.editor)),
        )


@pytest.fixture
def two():
    return Two()


def test_by_the_api_a_token_is_refused_escaped_or_not(two):
    case = {"summary": "Help", "text": f"{two.token} x", "severity": "safe_waiting"}
    assert two.api("cases", case).status_code == 422
    assert two.api("cases", {**case, "text": "x", "summary": two.token}).status_code == 422
    assert (
        two.api("contacts", {"name": "Maja", "notes": two.token, "email": "m@x.example"}).status_code == 422
    )
    assert not SupportCase.objects.exists()
    # The same without it is taken: it was refused for the token.
    assert two.api("cases", {**case, "text": "x"}).status_code == 201


def test_by_a_pages_form_a_token_is_refused(two):
    browser = Client()
    browser.force_login(two.editor)
    page = f"/accounts/{two.mine.ref}/cases/open/"
    case = {"summary": "Help", "text": f"{two.token} x", "severity": "safe_waiting"}
    refused = browser.post(page, case)
    assert (refused.status_code, "⟦ or ⟧" in refused.content.decode()) == (422, True)
    assert not SupportCase.objects.exists()
    assert browser.post(page, {**case, "text": "x"}).status_code == 302


def test_in_a_mail_its_brackets_are_others_so_that_nothing_is_learnt_from_it(two, settings):
    settings.SUPPORT_MAIL_ADDRESS, settings.SUPPORT_MAIL_SECRET = "support@in.portal.example", "s" * 40
    case = make.case(two.mine, two.editor)
    to = mailing.reply_address_of(str(case.ref))
    for sender in (two.editor.email, "stranger@evil.example"):
        raw = (
            f"From: {sender}\r\nTo: {to}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{two.token} x\r\n"
        )
        assert mailing.take_in(raw.encode()).outcome in ("taken", "unverified")
    erase_contact(two.theirs, two.contact.ref, actor=two.admin, reason="Asked.")
    texts = list(CaseEntry.objects.filter(case=case, kind="reply").values_list("text", flat=True))
    assert texts == [f"[{two.contact.ref.hex}.] x"] * 2
    assert erased_name(two.contact.ref) not in "".join(
        one.text for one in CaseEntry.objects.filter(case=case, kind="reply")
    )


@pytest.mark.parametrize("charset", ["utf-8", "utf-7", "utf-16"])
def test_no_encoding_carries_a_token_into_a_mail(charset):
    text = f"⟦{'a' * 32}.⟧ x".encode(charset)
    found = read_mail(
        b"From: a@b.example\r\nMessage-ID: <1@x>\r\nContent-Type: text/plain; charset="
        + charset.encode()
        + b"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        + quopri.encodestring(text)
    )
    assert "⟦" not in found.text
    assert "x" in found.text


def test_in_html_it_is_none_either():
    html = f"&#x27e6;{'a' * 32}.&#10215; x"
    found = read_mail(b"From: a@b.example\r\nContent-Type: text/html\r\n\r\n" + html.encode())
    assert found.text == f"[{'a' * 32}.] x"


def test_a_table_with_a_token_is_refused_with_its_line(two):
    with pytest.raises(Refused, match="Line 2"):
        read_file(f"name,email,notes\nMaja,maja@x.example,{two.token}\n".encode())


def test_a_card_with_a_token_is_refused_also_where_it_is_encoded(two):
    card = "BEGIN:VCARD\r\nVERSION:{}\r\n{}\r\nEND:VCARD\r\n"
    with pytest.raises(Refused, match="Line 3"):
        read_file(card.format("4.0", f"FN:{two.token}").encode())
    encoded = quopri.encodestring(f"Maja {two.token}".encode()).decode().replace("\n", "\r\n")
    for line in ("FN", "TITLE", "ORG"):
        lines = f"{line};CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:{encoded}"
        if line != "FN":
            lines = f"FN:Maja\r\n{lines}"
        read = read_file(card.format("3.0", lines).encode())
        held = json.dumps([one.says() for one in read.entries], default=str, ensure_ascii=False)
        assert "⟦" not in held
        assert read.problems or "=E2=9F=A6" in held


def test_in_a_name_and_in_a_field_of_a_contact_it_is_refused_by_whatever_way_it_came():
    for name in ("name", "title", "notes", "organization", "no_phone_because"):
        with pytest.raises(Refused):
            clean_text(name, f"⟦{'a' * 32}.⟧ x")
    with pytest.raises(Refused):
        person_name(f"⟦{'a' * 32}.⟧ x")


def test_what_a_server_is_called_at_the_provider_holds_none():
    raw = json.dumps({"server": {"name": f"⟦{'a' * 32}.⟧", "tags": ["⟦"]}})
    assert json_object(raw.encode()) == {"server": {"name": f"[{'a' * 32}.]", "tags": ["["]}}
