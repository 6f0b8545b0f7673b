"""Words that read as something else: in names, in mails to strangers, in a spreadsheet, in a throttle's key."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from accounts import throttle
from accounts.models import Membership, User
from portal.audit.facts import neighbourhood
from portal.csvfile import cell
from tests import factories as make

JSON = {"content_type": "application/json"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name",
    ["Pay at https://evil.example/x", "Pay at evil.example", "www.evil", "call@evil.example", "x" * 81],
)
def test_a_name_is_no_message_with_an_address(name):
    admin = make.member(make.account(), "admin", "Ada")
    call = make.bearer(make.token(admin))
    assert Client().patch("/api/v1/me", {"name": name}, **JSON, **call).status_code == 422
    browser = Client()
    browser.force_login(admin)
    page = browser.post("/me/", {"name": name, "time_zone": "UTC"})
    assert page.status_code == 422
    assert "holds no web or mail address" in page.content.decode()
    admin.refresh_from_db()
    assert admin.name == "Ada"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name", ["Maja Lindgren", "J.R.R. Tolkien", "Jr. O’Neil-Smith, M. D.", "李小龍", "Ana M.ª Ruiz"]
)
def test_names_of_people_are_names(name):
    user = make.user("Ada")
    call = make.bearer(make.token(user))
    assert Client().patch("/api/v1/me", {"name": name}, **JSON, **call).status_code == 200


@pytest.mark.django_db
def test_whoever_joins_has_a_name_too():
    account = make.account()
    make.invitation(account, make.member(account, "admin"), "ssi_x")
    typed = {"name": "See evil.example", "password": "quite a few odd words"}
    answer = Client().post("/api/v1/invitations/accept", {"token": "ssi_x", **typed}, **JSON)
    assert answer.status_code == 422, answer.content
    page = Client().post("/join/ssi_x/", {**typed, "password_again": typed["password"]})
    assert page.status_code == 422
    assert Membership.objects.count() == 1
    assert User.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("mark", ["\u202e", "\u2066", "\u202b"])
def test_nothing_typed_turns_the_direction_of_what_is_read_around_it(mark):
    account = make.account()
    editor = make.member(account, "editor")
    contact = {"name": f"Maja {mark}nergdniL", "email": "maja@lindgren.example"}
    call = make.bearer(make.token(editor))
    answer = Client().post(f"/api/v1/accounts/{account.ref}/contacts", contact, **JSON, **call)
    assert answer.status_code == 422
    browser = Client()
    browser.force_login(editor)
    page = browser.post(f"/accounts/{account.ref}/contacts/add/", {**contact, "time_zone": "UTC"})
    assert page.status_code == 422
    assert not account.contacts.exists()


@pytest.mark.parametrize(
    "text", ["\uff1d1+1", "\uff201", "\u200b=1+1", "\ufeff=1+1", "\u00a0+cmd", "\u3000@x"]
)
def test_no_cell_is_a_formula_in_a_wider_or_hidden_spelling(text):
    assert cell(text) == "'" + text


@pytest.mark.django_db
def test_one_strangers_network_of_ipv6_has_no_more_tries_than_one_address():
    now = timezone.now()
    tried = [throttle.take_try("maja@lindgren.example", f"2001:db8:1:2::{n}", now=now) for n in range(1, 8)]
    assert [wait > 0 for wait in tried] == [False] * 5 + [True] * 2
    assert throttle.take_try("maja@lindgren.example", "2001:db8:1:3::1", now=now) == 0
    asked = [throttle.take_reset(f"n{n}@x.example", f"2001:db8:9:9::{n}", now=now)[0] for n in range(21)]
    assert asked == [True] * 20 + [False]


def test_callers_by_ipv4_are_told_apart_on_a_socket_that_speaks_both():
    assert neighbourhood("::ffff:192.0.2.1") == "192.0.2.1"
    assert neighbourhood("::ffff:192.0.2.1") != neighbourhood("::ffff:192.0.2.2")
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8::2")
