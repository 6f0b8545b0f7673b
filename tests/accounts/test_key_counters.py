"""A security key counts its signatures: one that counts backwards exists twice and is refused."""

from __future__ import annotations

import json
import re
from html import unescape
from threading import Barrier, Thread

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client

from accounts import second_factor
from portal.audit.models import AuditEntry
from portal.errors import Refused
from portal.notify.models import Message
from tests import factories as make
from tests.accounts import keys

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_counted_yet():
    cache.clear()


def entries(what):
    return AuditEntry.objects.filter(what=what)


def options_on(page):
    found = re.search(r'data-webauthn-options="([^"]+)"', page.content.decode())
    return json.loads(unescape(found.group(1)))


def log_in(user, key, counter):
    """Log in with password and key, the way the browser does; return the browser and the answer."""
    browser = make.log_in(user)
    options = options_on(browser.get("/login/second/"))
    sent = {"credential": json.dumps(key.answer(options, counter))}
    return browser, browser.post("/login/second/", sent)


def test_a_key_whose_count_rises_lets_in_each_time():
    user = make.user()
    key, row = keys.held_by(user, counter=3)
    for counter in (4, 5, 90):
        browser, answer = log_in(user, key, counter)
        assert answer.status_code == 302, answer.content
        assert browser.get("/me/").status_code == 200
    row.refresh_from_db()
    assert row.data["last_counter"] == 90
    assert row.last_used_at is not None


def test_a_key_that_does_not_count_lets_in_each_time():
    user = make.user()
    key, _row = keys.held_by(user)
    for _ in range(2):
        assert log_in(user, key, 0)[1].status_code == 302
    assert not entries("second_factor.cloned").exists()


@pytest.mark.parametrize(("added_at", "used_at", "now_at"), [(0, 7, 7), (0, 7, 6), (0, 7, 0), (9, None, 9)])
def test_a_copy_of_a_key_is_refused_put_on_record_and_told(added_at, used_at, now_at):
    user = make.user()
    key, row = keys.held_by(user, counter=added_at)
    if used_at is not None:
        assert log_in(user, key, used_at)[1].status_code == 302
    used = entries("second_factor.used").count()
    browser, answer = log_in(user, key, now_at)
    assert answer.status_code == 422
    assert second_factor.CLONED_KEY in unescape(answer.content.decode())
    assert browser.get("/me/").status_code == 302
    entry = entries("second_factor.cloned").get()
    assert entry.after == {"purpose": "login", "kind": "webauthn", "name": "Blue key"}
    assert entry.actor_ref == str(user.ref)
    assert entries("second_factor.used").count() == used
    told = Message.objects.get(purpose="login_changed")
    assert told.user == user
    row.refresh_from_db()
    assert row.data.get("last_counter") == used_at, "the count that was believed stays"


def test_a_copy_proves_nothing_either():
    user = make.user()
    key, _row = keys.held_by(user, counter=9)
    browser = Client()
    browser.force_login(user)
    options = options_on(browser.get("/me/prove/"))
    answer = browser.post("/me/prove/", {"credential": json.dumps(key.answer(options, 9))})
    assert answer.status_code == 422
    assert browser.get("/me/tokens/make/").status_code == 302


@pytest.mark.django_db(transaction=True)
def test_of_two_answers_with_the_same_count_at_the_same_moment_one_is_taken():
    user = make.user()
    _key, row = keys.held_by(user)
    start, taken = Barrier(2), []

    def take():
        try:
            start.wait(10)
            taken.append(second_factor._take_counter(row, 5))
        finally:
            connection.close()

    both = [Thread(target=take) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(30)
    assert sorted(taken) == [False, True]


def test_a_key_that_was_removed_meanwhile_is_no_copy():
    user = make.user()
    _key, row = keys.held_by(user)
    type(row).objects.all().delete()
    with pytest.raises(Refused) as refused:
        second_factor._take_counter(row, 5)
    assert refused.value.says == second_factor.WRONG_KEY
