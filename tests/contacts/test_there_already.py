"""The same person is not listed twice by mistake: who is there already is named before anything is made."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from accounts.contacts import services
from accounts.models import Contact
from portal.errors import StaleState
from tests import factories as make

pytestmark = pytest.mark.django_db
MAJA = {"name": "Maja Lindgren", "email": "maja@x.example", "time_zone": "UTC", "escalation_order": 1}


@pytest.fixture
def account():
    return make.account("Lindgren Outdoor")


@pytest.fixture
def there(account):
    return services.add_contact(account, {"name": "Maja Lindgren", "email": "maja@x.example"}, actor=None)


@pytest.fixture
def browser(account):
    browser = Client()
    browser.force_login(make.member(account, "editor"))
    return browser


def post(browser, account, **said):
    return browser.post(
        f"/api/v1/accounts/{account.ref}/contacts",
        json.dumps({"name": "Maja Lindgren", "email": "maja@x.example", **said}),
        content_type="application/json",
        HTTP_IDEMPOTENCY_KEY="one",
    )


@pytest.mark.parametrize("said", [{}, {"email": "MAJA@x.example"}, {"name": "Somebody else"}])
def test_the_form_names_who_is_there_with_a_link_and_keeps_what_was_typed(browser, account, there, said):
    answer = browser.post(f"/accounts/{account.ref}/contacts/add/", {**MAJA, "title": "Head", **said})
    text = answer.content.decode()
    assert answer.status_code == 409
    assert "There is already" in text
    assert f'href="/contacts/{there.ref}/"' in text
    assert 'value="Head"' in text
    assert Contact.objects.count() == 1


def test_whoever_says_add_all_the_same_adds(browser, account, there):
    said = {**MAJA, "all_the_same": "1"}
    assert browser.post(f"/accounts/{account.ref}/contacts/add/", said).status_code == 302
    assert Contact.objects.filter(account=account).count() == 2


def test_the_same_name_and_number_is_somebody_who_is_there(account):
    services.add_contact(account, {"name": "Per Berg", "phone": "+46701234567"}, actor=None)
    with pytest.raises(StaleState, match="There is already"):
        services.add_contact(account, {"name": "per  berg", "phone": "+46701234567"}, actor=None)
    services.add_contact(account, {"name": "Somebody else", "phone": "+46701234567"}, actor=None)


def test_the_same_name_alone_is_another_person(account, there):
    services.add_contact(account, {"name": "Maja Lindgren", "email": "other@x.example"}, actor=None)
    assert Contact.objects.filter(account=account).count() == 2


def test_the_api_answers_409_with_the_reference_until_it_is_told_to_add_all_the_same(browser, account, there):
    answer = post(browser, account)
    assert answer.status_code == 409
    problem = answer.json()
    assert problem["type"].endswith(":contact-exists")
    assert str(there.ref) in problem["detail"]
    assert "all_the_same" in problem["detail"]
    # Whoever may add need not be one who may read: the answer names nobody.
    assert "Maja" not in problem["detail"]
    assert post(browser, account, all_the_same=False).status_code == 409
    assert post(browser, account, all_the_same=True).status_code == 201
    assert Contact.objects.filter(account=account).count() == 2


def test_another_accounts_contacts_are_never_hinted_at(browser, account):
    other = make.account("Other")
    services.add_contact(other, {"name": "Maja Lindgren", "email": "maja@x.example"}, actor=None)
    assert browser.post(f"/accounts/{account.ref}/contacts/add/", MAJA).status_code == 302
    Contact.objects.filter(account=account).delete()
    assert post(browser, account).status_code == 201
