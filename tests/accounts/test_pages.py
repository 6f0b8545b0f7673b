"""Pages of accounts: what is shown, what is asked, how many queries it takes."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import ApiToken, Contact
from portal.audit.models import AuditEntry
from portal.cloud.discovery import match
from portal.errors import TryLater
from portal.management.commands.access_docs import access_page
from tests import factories as make

pytestmark = pytest.mark.django_db
ADA = {"name": "Ada", "email": "ada@shop.example", "time_zone": "UTC", "escalation_order": 1}


class Desk:
    """An account, its launch manager and admin, and a browser of the former."""

    def __init__(self):
        self.account = make.account("Lindgren Outdoor")
        self.manager = make.launch_manager(self.account.team)
        self.admin = make.member(self.account, "admin", "Maja Lindgren")
        self.browser = self.as_user(self.manager)

    def as_user(self, user):
        browser = Client()
        browser.force_login(user)
        make.prove(browser, user)
        return browser

    def get(self, path="", browser=None):
        return (browser or self.browser).get(f"/accounts/{self.account.ref}/{path}")


@pytest.fixture
def desk(db):
    return Desk()


def test_the_dashboard_shows_what_is_amiss(desk):
    text = desk.browser.get("/").content.decode()
    assert "Lindgren Outdoor" in text
    assert "nobody to call" in text


def test_the_dashboard_of_somebody_without_a_role_says_what_to_do():
    browser = Client()
    browser.force_login(make.user())
    assert "Nobody has given you a role" in browser.get("/").content.decode()


def test_a_list_of_accounts_takes_the_same_queries_for_one_and_for_thirty(desk, django_assert_num_queries):
    desk.browser.get("/accounts/")
    # session, user; whether all is quiet, teams to choose from, accounts, their contacts counted;
    # rules, rotations, contacts and (where there are any) proofs for what is missing
    with django_assert_num_queries(6):
        desk.browser.get("/accounts/")
    for _ in range(30):
        make.contact(make.account(of=desk.account.team))
    with django_assert_num_queries(6):
        page = desk.browser.get("/accounts/")
    assert b'rel="next"' in page.content


@pytest.mark.parametrize(
    ("path", "queries"),
    [("contacts/", 6), ("activity/", 6), ("contacts/add/", 4), ("connections/add/", 4)],
)
def test_a_page_of_an_account_states_its_queries(desk, django_assert_num_queries, path, queries):
    for n in range(3):
        make.contact(desk.account, f"Contact {n}")
    desk.get(path)
    with django_assert_num_queries(queries):
        assert desk.get(path).status_code == 200


def test_a_contact_is_added_by_form_and_stands_in_the_list(desk):
    response = desk.browser.post(f"/accounts/{desk.account.ref}/contacts/add/", ADA, follow=True)
    assert "Ada was added, not confirmed yet and not proven" in response.content.decode()
    assert "not confirmed" in desk.get("contacts/").content.decode()


def test_a_phone_number_can_be_pasted_as_it_is_written(desk):
    desk.browser.post(f"/accounts/{desk.account.ref}/contacts/add/", {**ADA, "phone": "+46 (70) 123-45 67"})
    assert Contact.objects.get().phone == "+46701234567"


def test_what_was_typed_is_kept_when_something_is_wrong(desk):
    response = desk.browser.post(
        f"/accounts/{desk.account.ref}/contacts/add/", {**ADA, "name": "Ada Lovelace", "email": "no"}
    )
    assert response.status_code == 422
    assert "Ada Lovelace" in response.content.decode()
    assert not Contact.objects.exists()


@pytest.mark.parametrize(
    ("typed", "field", "says"),
    [
        ({"email": "", "phone": ""}, "email", "A mail address or a phone number is needed."),
        ({"phone": "0170 12"}, "phone", "write the number with its country code"),
        ({"escalation_order": "0"}, "escalation_order", "greater than or equal to 1"),
    ],
)
def test_a_contact_that_the_database_would_refuse_is_refused_in_words_beside_the_field(
    desk, typed, field, says
):
    answer = desk.browser.post(f"/accounts/{desk.account.ref}/contacts/add/", {**ADA, **typed})
    assert answer.status_code == 422
    assert says in answer.context["form"].errors[field][0]
    assert "onstraint" not in answer.content.decode()
    assert not Contact.objects.filter(name="Ada").exists()


def test_a_milestone_beyond_steady_state_is_refused_beside_the_field(desk):
    typed = {"name": "Lindgren Outdoor", "time_zone": "UTC", "milestone": "9"}
    answer = desk.browser.post(f"/accounts/{desk.account.ref}/settings/", typed)
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == ["milestone"]
    assert "onstraint" not in answer.content.decode()


def test_a_number_that_the_team_has_already_is_refused_beside_the_field(desk):
    lead = desk.as_user(make.launch_manager(desk.account.team, "Lena Fors", role="lead"))
    typed = {"name": "Once more", "number": desk.account.number, "time_zone": "UTC", "milestone": "1"}
    answer = lead.post(f"/teams/{desk.account.team.ref}/accounts/open/", typed)
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == ["number"]
    assert "has an account with this number already" in answer.content.decode()


def test_confirming_names_who_confirmed(desk):
    contact = make.contact(desk.account)
    desk.as_user(desk.admin).post(f"/contacts/{contact.ref}/confirm/")
    contact.refresh_from_db()
    assert (contact.confirmed_on, contact.confirmed_by_name) == (timezone.now().date(), "Maja Lindgren")


def test_a_link_that_is_only_opened_changes_nothing(desk):
    contact = make.contact(desk.account, confirmed_on=date(2026, 1, 1))
    assert desk.browser.get(f"/contacts/{contact.ref}/confirm/").status_code == 405
    assert desk.browser.get(f"/contacts/{contact.ref}/remove/").status_code == 200
    contact.refresh_from_db()
    assert contact.confirmed_on == date(2026, 1, 1)


def test_a_viewer_sees_no_button_that_would_be_refused(desk):
    make.contact(desk.account)
    text = desk.get("contacts/", desk.as_user(make.member(desk.account))).content.decode()
    assert "Maja Lindgren" in text
    assert "Add a contact" not in text
    assert "Confirm as of today" not in text


def test_the_teams_notes_are_not_on_the_customers_page(desk):
    type(desk.account).objects.update(team_notes="pays late")
    assert "pays late" in desk.get().content.decode()
    assert "pays late" not in desk.get("", desk.as_user(desk.admin)).content.decode()


def test_a_connections_key_is_never_shown_again(desk):
    connection = make.connection(desk.account)
    for path in (f"/connections/{connection.ref}/", f"/accounts/{desk.account.ref}/"):
        assert "the-providers-key" not in desk.browser.get(path).content.decode()


def test_a_test_of_a_connection_says_what_it_may_and_may_not_do(desk, monkeypatch):
    connection = make.connection(desk.account)
    lines = [
        {"name": "log_in", "outcome": "ok", "says": "Log-in works."},
        {"name": "delete_servers", "outcome": "not", "says": "The role allows reading servers only."},
    ]
    monkeypatch.setattr("accounts.views.test_connection", lambda row: {"is_usable": True, "lines": lines})
    text = desk.browser.post(f"/connections/{connection.ref}/test/", follow=True).content.decode()
    assert "The role allows reading servers only." in text
    entry = AuditEntry.objects.get(what="connection.tested")
    assert entry.after == {"log_in": "ok", "delete_servers": "not"}


def test_a_provider_that_does_not_answer_is_said_and_not_shown_as_empty(desk, monkeypatch):
    connection = make.connection(desk.account)

    def away(row):
        raise TryLater("The provider cannot be reached.", after_s=5)

    monkeypatch.setattr("accounts.views.discover_pools", away)
    response = desk.browser.get(f"/connections/{connection.ref}/discover/")
    assert response.status_code == 502
    assert "The provider cannot be reached." in response.content.decode()
    assert "No load balancer" not in response.content.decode()


def test_an_account_without_a_load_balancer_says_so(desk, monkeypatch):
    connection = make.connection(desk.account)
    monkeypatch.setattr("accounts.views.discover_pools", lambda row: match([], []))
    text = desk.browser.get(f"/connections/{connection.ref}/discover/").content.decode()
    assert "These credentials see no load balancer in DFW." in text


def test_a_token_is_shown_once(desk):
    made = desk.browser.post("/me/tokens/make/", {"name": "report", "scopes": ["me"], "days": 30})
    secret = next(word for word in made.content.decode().split('"') if word.startswith("ss_"))
    assert made["Cache-Control"] == "no-store"
    assert Client().get("/api/v1/me", **make.bearer(secret)).status_code == 200
    assert secret not in desk.browser.get("/me/").content.decode()
    desk.browser.post(f"/me/tokens/{ApiToken.objects.get().ref}/revoke/")
    assert Client().get("/api/v1/me", **make.bearer(secret)).status_code == 401


def test_the_activity_page_shows_who_changed_what(desk):
    desk.browser.post(f"/accounts/{desk.account.ref}/contacts/add/", ADA)
    text = desk.get("activity/").content.decode()
    assert "Contact added" in text
    assert "0 details" not in text
    assert "<dt>account</dt>" not in text
    assert "Jonas Berg" in text
    assert "127.0.0.1" in text
    assert "127.0.0.1" not in desk.get("activity/", desk.as_user(make.member(desk.account))).content.decode()


def test_no_page_carries_inline_styles_or_handlers(desk):
    make.contact(desk.account)
    make.connection(desk.account)
    for path in ("/", "/accounts/", f"/accounts/{desk.account.ref}/", "/me/", "/me/tokens/make/"):
        text = desk.browser.get(path).content.decode()
        assert " style=" not in text
        assert " onclick=" not in text


def test_the_page_about_access_is_the_table_itself():
    page = Path(__file__).parents[2] / "docs" / "access.md"
    assert page.read_text() == access_page(), "Run `manage.py access_docs > docs/access.md`."
