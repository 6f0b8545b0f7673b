"""Another mail address: asked for, confirmed from the new mailbox, told to the old one."""

from __future__ import annotations

import re
import time

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.erasure import erase_person
from accounts.models import ApiToken
from portal.audit.models import AuditEntry
from portal.logs import _without_keys
from portal.notify.models import Message
from portal.notify.sending import _address_of, render
from tests import factories as make

pytestmark = pytest.mark.django_db
NEW = "maja@new.example"


@pytest.fixture
def maja():
    return make.user("Maja Lindgren", email="maja@old.example")


def asked(browser, email=NEW):
    return browser.post("/me/mail/", {"email": email})


def link():
    row = Message.objects.filter(purpose="mail_confirm").latest("pk")
    return re.search(r"http://localhost:8000(/me/mail/confirm/\S+)", render(row).text).group(1)


def test_it_changes_by_the_button_alone_and_the_old_mailbox_is_told(maja):
    browser = make.log_in(maja)
    elsewhere = make.log_in(maja)
    token = make.token(maja)
    asked(browser, "Maja@New.Example")
    page = browser.get(link())
    assert page.status_code == 200
    maja.refresh_from_db()
    assert maja.email == "maja@old.example"
    done = browser.post(link(), follow=True)
    assert "You log in with maja@new.example" in done.content.decode()
    maja.refresh_from_db()
    assert maja.email == NEW
    assert elsewhere.get("/me/").status_code == 302
    assert browser.get("/me/").status_code == 200
    assert ApiToken.objects.get().revoked_at is None, token
    told = Message.objects.get(purpose="mail_changed")
    assert _address_of(told) == "maja@old.example"
    assert NEW not in render(told).text
    entry = AuditEntry.objects.get(what="user.mail_changed")
    assert (entry.before, entry.after) == ({"email": "maja@old.example"}, {"email": NEW})


def test_it_takes_a_fresh_proof_and_keeps_what_was_typed(maja):
    browser = make.log_in(maja)
    with time_machine.travel(time.time() + 16 * 60, tick=True):
        to_prove = asked(browser)
        assert to_prove["Location"].startswith("/me/prove/")
        assert not Message.objects.exists()
        browser.post(to_prove["Location"], {"password": make.PASSWORD})
        assert browser.get("/me/mail/").context["form"]["email"].value() == NEW


def test_an_address_in_use_gets_the_same_answer_and_its_owner_a_mail(maja):
    owner = make.user(email="owner@there.example")
    browser = make.log_in(maja)
    free, taken = asked(browser), asked(browser, owner.email)
    assert (free.status_code, free["Location"]) == (taken.status_code, taken["Location"])
    told = Message.objects.get(purpose="mail_in_use")
    assert told.user == owner
    assert "maja" not in render(told).text.lower()
    assert Message.objects.filter(purpose="mail_confirm").count() == 1


def test_asking_does_nearly_the_same_work_for_both(maja):
    make.user(email="owner@there.example")
    browser = make.log_in(maja)
    counts = []
    for email in ("first@new.example", "owner@there.example", "second@new.example"):
        with CaptureQueriesContext(connection) as queries:
            asked(browser, email)
        counts.append(len(queries))
    # who is told as a user has wishes about notices that are looked up: one query, of a millisecond
    assert max(counts) - min(counts) <= 2, counts


@pytest.mark.parametrize("what", ["used", "old", "password", "another", "other_change", "taken"])
def test_a_link_that_does_not_hold_changes_nothing(maja, what):
    browser = make.log_in(maja)
    asked(browser)
    held = link()
    match what:
        case "used":
            browser.post(held)
        case "password":
            browser.post("/me/password/", {"password": "a-new-quiet-harbour", "again": "a-new-quiet-harbour"})
        case "another":
            browser = make.log_in(make.user())
        case "other_change":
            asked(browser, "else@new.example")
            browser.post(link())
        case "taken":
            make.user(email=NEW)
    later = time.time() + (25 * 3600 if what == "old" else 0)
    with time_machine.travel(later, tick=True):
        if what == "old":
            browser.force_login(maja)
        before = browser.get("/me/").context["user"].email
        assert browser.get(held).status_code == 404
        assert browser.post(held).status_code == 404
        assert browser.get("/me/").context["user"].email == before


@pytest.mark.parametrize("rubbish", ["x", "gAAAAA", "ö", "A" * 300])
def test_rubbish_opens_nothing(maja, rubbish):
    assert make.log_in(maja).get(f"/me/mail/confirm/{rubbish}/").status_code == 404


def test_a_stranger_is_led_to_the_log_in_and_the_link_says_nothing_in_the_open(maja, client):
    browser = make.log_in(maja)
    asked(browser)
    assert "new.example" not in link()
    assert client.get(link())["Location"].startswith("/login/")
    assert link() not in str(_without_keys(None, "", {"request": f"GET {link()}"}))


def test_too_many_wishes_wait_and_one_mailbox_is_written_to_three_times(maja):
    browser = make.log_in(maja)
    for _ in range(5):
        assert asked(browser).status_code == 302
    assert asked(browser).status_code == 422
    assert Message.objects.filter(purpose="mail_confirm").count() == 3


def test_the_own_address_is_no_new_one(maja):
    assert asked(make.log_in(maja), "MAJA@old.example").status_code == 422


def test_erasing_takes_what_was_told_to_the_mailboxes_with_it(maja):
    browser = make.log_in(maja)
    asked(browser)
    browser.post(link())
    assert Message.objects.count() == 2
    erase_person(maja, actor=None, reason="asked")
    assert not Message.objects.exists()


# --- tokens and a new password by a link ---


@pytest.mark.parametrize("with_tokens", [True, False])
def test_who_sets_a_password_by_a_link_can_end_every_token_with_it(maja, client, with_tokens):
    from django.contrib.auth.tokens import default_token_generator

    account = make.account()
    make.token(maja)
    make.service_token(account, maja)
    path = f"/login/reset/{maja.ref}/{default_token_generator.make_token(maja)}/"
    assert "tokens" in client.get(path).content.decode()
    word = "another-quiet-harbour"
    form = {"password": word, "again": word, **({"with_tokens": "on"} if with_tokens else {})}
    assert client.post(path, form).status_code == 302
    assert {one.revoked_at is not None for one in ApiToken.objects.all()} == {with_tokens}
