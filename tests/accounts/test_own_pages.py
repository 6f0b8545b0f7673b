"""The pages of one's own: what they ask of the database, whatever stands on them, and a proof that ran out."""

from __future__ import annotations

import time
from datetime import timedelta
from html import unescape

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import proof
from accounts.models import ApiToken
from portal.access import SCOPES
from tests import factories as make

pytestmark = pytest.mark.django_db


def three_more_of_everything(user, begin):
    for number in range(begin, begin + 3):
        make.token(user)
        make.place(user)
        make.key(user, f"Key {number}")
        make.link(user, f"https://login{number}.example", f"s-{number}")


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/me/", 9),
        ("/me/second-factor/", 4),
        ("/me/tokens/make/", 3),
        ("/me/password/", 3),
        ("/me/mail/", 3),
        ("/me/second-factor/app/", 6),
        ("/me/second-factor/codes/", 4),
        ("/me/notices/", 4),
        ("/me/notices/preferences/", 5),
    ],
)
def test_a_page_of_ones_own_asks_as_much_for_many_rows_as_for_few(path, most):
    user = make.user()
    browser = Client()
    browser.force_login(user)
    make.prove(browser, user, how="mfa")
    taken = []
    for begin in (0, 3):
        three_more_of_everything(user, begin)
        browser.get(path)  # what is noted once a minute is noted now
        with CaptureQueriesContext(connection) as queries:
            assert browser.get(path).status_code == 200
        taken.append(len(queries))
    assert taken == [most, most]


@pytest.mark.parametrize("path", ["/login/", "/login/reset/"])
def test_the_pages_before_a_log_in_ask_nothing(path):
    with CaptureQueriesContext(connection) as queries:
        assert Client().get(path).status_code == 200
    assert len(queries) == 0


def test_a_form_sent_after_its_proof_ran_out_does_nothing_and_says_so():
    user = make.user()
    browser = make.log_in(user)
    with time_machine.travel(time.time() + 16 * 60, tick=True):
        sent = {"name": "nightly", "scopes": ["me"], "days": 7}
        answer = browser.post("/me/tokens/make/", sent, follow=True)
        assert proof.RAN_OUT_KEPT in unescape(answer.content.decode())
    assert not ApiToken.objects.exists()


def test_what_was_typed_comes_back_once_after_the_proof_and_stands_in_no_address():
    user = make.user()
    browser = make.log_in(user)
    with time_machine.travel(time.time() + 16 * 60, tick=True):
        sent = {
            "name": "nightly <report>",
            "scopes": ["me", "accounts:read"],
            "days": 90,
            "networks": "192.0.2.7",
        }
        asked = browser.post("/me/tokens/make/", sent)
        assert "nightly" not in asked["Location"]
        browser.post(asked["Location"], {"password": make.PASSWORD})
        filled = browser.get("/me/tokens/make/").context["form"]
        assert {name: filled[name].value() for name in sent} == {**sent, "days": "90"}
        assert browser.get("/me/tokens/make/").context["form"]["name"].value() is None


def test_what_was_typed_on_another_page_or_long_ago_does_not_come_back():
    user = make.user()
    browser = make.log_in(user)
    later = time.time() + 16 * 60
    with time_machine.travel(later, tick=True):
        browser.post("/me/tokens/make/", {"name": "nightly"})
        make.prove(browser, user)
        browser.get("/me/second-factor/key/")
        assert browser.get("/me/tokens/make/").context["form"]["name"].value() is None
        make.prove(browser, user, how="nothing")
    with time_machine.travel(later + 60 * 60, tick=True):
        browser.post("/me/tokens/make/", {"name": "nightly"})
    with time_machine.travel(later + 120 * 60, tick=True):
        make.prove(browser, user)
        assert browser.get("/me/tokens/make/").context["form"]["name"].value() is None


def test_a_password_is_never_kept_for_later():
    user = make.user()
    browser = make.log_in(user)
    with time_machine.travel(time.time() + 16 * 60, tick=True):
        browser.post("/me/password/", {"password": "never-to-be-kept", "password_again": "never-to-be-kept"})
    assert "never-to-be-kept" not in str(dict(browser.session.items()))


def test_the_last_use_of_a_token_is_noted_at_most_once_a_minute():
    secret = make.token(make.user())
    began = time.time() // 3600 * 3600 + 60

    def used(after_s):
        with time_machine.travel(began + after_s, tick=False):
            assert Client().get("/api/v1/me", **make.bearer(secret)).status_code == 200
        return ApiToken.objects.get().last_used_at

    first = used(0)
    assert used(30) == first
    assert used(59) == first
    assert used(61) == first + timedelta(seconds=61)


def test_each_scope_is_explained_where_a_token_is_made():
    user, browser = make.user(), Client()
    browser.force_login(user)
    make.prove(browser, user)
    shown = browser.get("/me/tokens/make/").content.decode()
    for scope in SCOPES:
        assert f">{scope}</span>" in shown
    assert "pause runs; abort runs" in shown
