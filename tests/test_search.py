"""Finding rows by a part of their text, through an index, and never across what one may see."""

from __future__ import annotations

import uuid

import pytest
from django.test import Client
from django.urls import reverse

from accounts.contacts.selectors import contacts_found
from accounts.models import Account, Contact
from accounts.selectors import accounts_seen, narrowed
from portal.lists import ListAsked
from portal.search import beginning_of_reference, containing, text_of
from tests import factories as make

pytestmark = pytest.mark.django_db


def found(text, rows=None, fields=("name", "number"), **options):
    rows = Account.objects.all() if rows is None else rows
    return sorted(row.name for row in containing(rows, text, *fields, **options))


@pytest.fixture
def accounts():
    team = make.team()
    return [
        make.account(name, of=team)
        for name in ("Müller & Söhne", "Lindgren Outdoor", "100% Wolle", "under_score", "O'Hara \\ Co")
    ]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("muller", "Müller & Söhne"),
        ("MÜLLER", "Müller & Söhne"),
        ("sohne mü", "Müller & Söhne"),
        ("0%", "100% Wolle"),
        ("r_s", "under_score"),
        ("\\", "O'Hara \\ Co"),
        ("o'hara", "O'Hara \\ Co"),
        ("  outdoor   lind ", "Lindgren Outdoor"),
        ("li\x00nd", "Lindgren Outdoor"),
    ],
)
def test_a_text_is_found_whatever_its_case_accents_and_odd_characters(accounts, text, name):
    assert found(text) == [name]


def test_what_only_a_pattern_would_find_is_not_found(accounts):
    assert found("m%r") == []
    assert found("m_ller") == []


def test_an_account_is_found_by_its_number(accounts):
    assert found(accounts[1].number) == ["Lindgren Outdoor"]


@pytest.mark.parametrize("typed", ["+46701234567", "070-123 45 67", "701234", "(0)70 1234567"])
def test_a_phone_number_is_found_as_people_write_it(typed):
    make.contact(make.account(), phone="+46701234567")
    assert found(typed, Contact.objects.all(), ("name", "email", "phone")) == ["Maja Lindgren"]


def test_a_short_word_can_be_asked_to_begin_the_text():
    make.contact(make.account())
    fields = ("name", "email", "phone")
    assert found("ma", Contact.objects.all(), fields, short_inside=False) == ["Maja Lindgren"]
    assert found("aj", Contact.objects.all(), fields, short_inside=False) == []


def test_a_long_text_is_cut_and_a_blank_one_finds_everything(accounts):
    assert len(text_of("x" * 500)) == 100
    assert len(found("  ")) == 5


def test_the_beginning_of_a_reference_is_a_range():
    ref = uuid.uuid4()
    low, high = beginning_of_reference(str(ref)[:13])
    assert low <= ref <= high
    assert beginning_of_reference(str(ref).upper()) == (ref, ref)
    for other in ("", "outdoor", "abc", "12345678", "g" * 8, "a" * 33):
        assert beginning_of_reference(other) is None


# --- who finds what -----------------------------------------------------------------------------------------


def browser_of(user):
    browser = Client()
    browser.force_login(user)
    return browser


def test_the_account_list_finds_by_name_number_and_contact(accounts):
    make.contact(accounts[0], "Änne Beckmann", email="aenne@mueller.example", phone="+4930998877")
    browser = browser_of(make.launch_manager(accounts[0].team))
    for text in ("söhne", accounts[0].number, "anne beck", "aenne@", "030 998877"):
        page = browser.get(reverse("accounts:account-list"), {"q": text}).content.decode()
        assert "Müller &amp; Söhne" in page
        assert "Lindgren" not in page


def test_nobody_finds_an_account_by_another_customers_contact():
    mine, other = make.account("Mine"), make.account("Other")
    make.contact(other, "Secret Person", email="secret@other.example")
    for viewer in (make.member(mine), make.launch_manager(mine.team), make.user(is_operator=True)):
        browser = browser_of(viewer)
        for text in ("secret", "secret@other.example"):
            assert browser.get(reverse("palette"), {"q": text}).json()["items"] == []
            assert "Other" not in browser.get("/accounts/", {"q": text}).content.decode()
            assert list(contacts_found(viewer, text)) == []
        answer = browser.get("/api/v1/accounts", {"q": "secret"})
        assert answer.json()["results"] == []


def plainly(rows, text, viewer):
    """What a search for accounts means, read row by row."""
    words = text.lower().split()
    readable = [] if viewer is None else list(contacts_found(viewer, text))
    return sorted(
        row.name
        for row in rows
        if all(word in f"{row.name}\n{row.number}".lower() for word in words)
        or (len(text) >= 3 and any(contact.account_id == row.pk for contact in readable))
    )


@pytest.mark.parametrize(
    "text", ["alpha", "10", "shop", "a", "alpha shop", "person1@", "+4930", "nothing like it"]
)
def test_accounts_are_found_by_their_own_text_or_a_contacts_each_once(text):
    team, other = make.team(), make.team()
    accounts = [make.account(name, of=team) for name in ("Alpha shop", "Beta", "Gamma shop", "Delta")]
    hidden = make.account("Alpha hidden", of=other)
    for number, account in enumerate([*accounts[1:], accounts[1], hidden]):
        make.contact(
            account, f"Alpha person{number}", email=f"person{number}@shop.example", phone="+4930123456"
        )
    member = make.member(hidden)
    for viewer in (make.launch_manager(team), member, make.user(), make.user(is_operator=True)):
        seen = accounts_seen(viewer)
        for reader in (viewer, None):
            got = narrowed(seen, ListAsked(text, {}, "name"), viewer=reader)
            assert sorted(row.name for row in got) == plainly(seen, text, reader)


def test_the_palette_finds_a_contact_and_leads_to_it():
    account = make.account("Lindgren Outdoor")
    make.contact(account, "Maja Lindgren")
    browser = browser_of(make.member(account))
    (item,) = [
        one
        for one in browser.get(reverse("palette"), {"q": "maja"}).json()["items"]
        if one["hint"] == "contact of Lindgren Outdoor"
    ]
    assert item["label"] == "Maja Lindgren"
    assert "maja@lindgren.example" in browser.get(item["url"]).content.decode()
