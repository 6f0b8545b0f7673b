"""The pages and the API of taking in and exporting: what a person and a program meet."""

from __future__ import annotations

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.contact_files import services
from accounts.models import Contact
from tests import factories as make

pytestmark = pytest.mark.django_db
GOOD = "name,email,phone,role\r\nMaja Lindgren,maja@x.example,+46701234567,primary\r\n"
BAD = "name,email,phone,role\r\nMaja Lindgren,maja@x.example,070-1,boss\r\n"


@pytest.fixture
def account():
    return make.account("Lindgren Outdoor")


@pytest.fixture
def editor(account):
    return make.member(account, "editor")


@pytest.fixture
def client(editor):
    client = Client()
    client.force_login(editor)
    return client


def begin(client, account, text, *, name="people.csv"):
    file = SimpleUploadedFile(name, text.encode())
    return client.post(f"/accounts/{account.ref}/contacts/take-in/", {"file": file}, follow=True)


def test_a_file_is_chosen_looked_at_and_taken_in(client, account):
    page = begin(client, account, GOOD)
    assert "Take in 1 new" in page.content.decode()
    assert not Contact.objects.exists()
    held = page.context["held"]
    digest = page.context["preview"].digest
    page = client.post(f"/contact-imports/{held.ref}/", {"digest": digest}, follow=True)
    assert "1 added, 0 changed" in page.content.decode()
    assert Contact.objects.get().name == "Maja Lindgren"


def test_what_is_wrong_is_said_by_line_and_can_be_mended_in_the_page(client, account):
    page = begin(client, account, BAD).content.decode()
    assert "2 things are wrong" in page
    assert "country code" in page
    assert "There are primary, technical" in page
    assert "Maja Lindgren,maja@x.example,070-1,boss" in page
    assert "Take in 1" not in page
    mended = client.post(f"/accounts/{account.ref}/contacts/take-in/", {"text": GOOD}, follow=True)
    assert "Take in 1 new" in mended.content.decode()


def test_the_list_of_what_is_wrong_can_be_taken_along(client, account):
    held = begin(client, account, BAD).context["held"]
    got = client.get(f"/contact-imports/{held.ref}/to-mend/")
    assert got["Content-Type"].startswith("text/csv")
    assert got.content.decode().splitlines()[0] == "line,field,what to do"
    assert len(got.content.decode().splitlines()) == 3


def test_a_file_that_is_none_is_refused_beside_the_field_and_what_was_pasted_stays(client, account):
    page = begin(client, account, "hello world")
    assert page.status_code == 422
    assert "must name the columns" in page.content.decode()
    page = client.post(f"/accounts/{account.ref}/contacts/take-in/", {"text": "hello world"})
    assert ">\nhello world</textarea>" in page.content.decode()
    page = client.post(f"/accounts/{account.ref}/contacts/take-in/", {})
    assert "Choose a file, or paste its text." in page.content.decode()


def test_a_no_takes_nothing_in(client, account):
    held = begin(client, account, GOOD).context["held"]
    page = client.post(f"/contact-imports/{held.ref}/drop/", follow=True)
    assert "Nothing was taken in" in page.content.decode()
    assert client.get(f"/contact-imports/{held.ref}/").status_code == 404


def test_contacts_that_changed_meanwhile_are_shown_anew(client, account):
    page = begin(client, account, GOOD)
    Contact.objects.create(account=account, name="Maja Lindgren", email="maja@x.example")
    digest = page.context["preview"].digest
    page = client.post(f"/contact-imports/{page.context['held'].ref}/", {"digest": digest})
    assert page.status_code == 409
    assert "Look at it again" in page.content.decode()
    assert "Take in 1 changed" in page.content.decode()


def test_opening_the_page_again_offers_what_was_begun(client, account):
    begin(client, account, GOOD)
    page = client.get(f"/accounts/{account.ref}/contacts/take-in/")
    assert "You have begun an import" in page.content.decode()


def test_markup_in_a_file_is_text(client, account):
    page = begin(client, account, "name,email\r\n<script>alert(1)</script>,m@x.example\r\n").content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


def test_the_queries_of_the_preview_do_not_grow(client, account, django_assert_num_queries):
    held = begin(client, account, GOOD).context["held"]
    with django_assert_num_queries(5):
        client.get(f"/contact-imports/{held.ref}/")


def test_a_program_hands_in_looks_and_takes_in_once(client, account, editor):
    bearer = make.bearer(make.token(editor))

    def call(method, url, body=None, **headers):
        send = getattr(Client(), method)
        return send(url, json.dumps(body), "application/json", **bearer, **headers)

    made = call("post", f"/api/v1/accounts/{account.ref}/contacts/imports", {"content": GOOD})
    assert made.status_code == 201, made.content
    seen = made.json()
    assert (seen["is_ready"], seen["added"], seen["problems"]) == (True, 1, [])
    url = f"/api/v1/contact-imports/{seen['ref']}"
    body = {"digest": seen["digest"]}
    assert call("post", f"{url}/take-in", body).status_code == 428
    done = call("post", f"{url}/take-in", body, HTTP_IDEMPOTENCY_KEY="once")
    again = call("post", f"{url}/take-in", body, HTTP_IDEMPOTENCY_KEY="once")
    assert done.json() == again.json() == {"added": 1, "changed": 0, "same": 0}
    assert again["Idempotent-Replay"] == "true"
    assert Contact.objects.count() == 1
    assert call("post", f"{url}/take-in", body, HTTP_IDEMPOTENCY_KEY="twice").status_code == 422


def test_a_program_gets_every_problem_with_its_line(account, editor):
    made = Client().post(
        f"/api/v1/accounts/{account.ref}/contacts/imports",
        json.dumps({"content": BAD}),
        "application/json",
        **make.bearer(make.token(editor)),
    )
    assert {(one["line"], one["field"]) for one in made.json()["problems"]} == {(2, "phone"), (2, "role")}


def test_an_export_is_for_admins_with_a_reason(client, account):
    url = f"/api/v1/accounts/{account.ref}/contacts/export"
    admin = make.bearer(make.token(make.member(account, "admin")))
    body = json.dumps({"reason": "night shift", "format": "vcard"})
    assert client.post(url, body, "application/json").status_code == 403
    got = Client().post(url, body, "application/json", **admin)
    assert got["Content-Type"] == "text/vcard; charset=utf-8"
    assert 'filename="contacts-' in got["Content-Disposition"]
    assert Client().post(url, "{}", "application/json", **admin).status_code == 422


def test_a_file_of_ten_thousand_fits_into_one_request_of_the_api(account, editor):
    row = "Person {0},person{0}@lindgren-outdoor.example,+4670{0:07},emergency,a note of some length that is kept\r\n"
    text = "name,email,phone,role,notes\r\n" + "".join(row.format(n) for n in range(10_000))
    assert len(text) > 1024 * 1024
    held = services.begin_import(account, text, actor=editor)
    assert held.text == text
    made = Client().post(
        f"/api/v1/accounts/{account.ref}/contacts/imports",
        json.dumps({"content": "name\r\n" + "x" * (1024 * 1024)}),
        "application/json",
        **make.bearer(make.token(editor)),
    )
    assert made.status_code == 201 or b"Nothing was taken in" in made.content
