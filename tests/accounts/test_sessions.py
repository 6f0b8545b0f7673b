"""Where one is logged in: listed, ended one by one or all at once."""

from __future__ import annotations

import re
import time

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.test import Client

from accounts import sessions
from accounts.sessions import device_of, end_all_sessions, places_of
from portal import streams
from portal.audit.models import AuditEntry
from tests import factories as make

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/19.0 Mobile/15E148 Safari/604.1"
)
db = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _seen_by_nobody():
    sessions._seen.clear()


@pytest.mark.parametrize(
    ("user_agent", "says"),
    [
        (FIREFOX, "Firefox on Linux"),
        (PHONE, "Safari on iPhone"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0",
            "Edge on Windows",
        ),
        ("python-httpx/0.28.1", "python-httpx"),
        ("", "an unknown browser"),
        ("<script>alert(1)</script>", "an unknown browser"),
    ],
)
def test_a_browser_is_named_in_a_few_words(user_agent, says):
    assert device_of(user_agent) == says


@db
def test_the_list_says_device_address_and_which_is_this_one():
    user = make.user()
    make.log_in(user, HTTP_USER_AGENT=PHONE, REMOTE_ADDR="203.0.113.9")
    here = make.log_in(user, HTTP_USER_AGENT=FIREFOX)
    text = here.get("/me/").content.decode()
    for shown in ("Safari on iPhone", "203.0.113.9", "Firefox on Linux", "this browser"):
        assert shown in text
    assert here.session.session_key not in text


@db
def test_one_session_is_ended_and_the_others_go_on():
    user = make.user()
    phone = make.log_in(user, HTTP_USER_AGENT=PHONE)
    third, here = make.log_in(user), make.log_in(user)
    ref = sessions.ref_of("session", phone.session.session_key)
    assert f"/me/sessions/{ref}/end/" in here.get("/me/").content.decode()
    answer = here.post(f"/me/sessions/{ref}/end/", follow=True)
    assert "Safari on iPhone is logged out." in answer.content.decode()
    assert phone.get("/me/")["Location"].startswith("/login/")
    assert third.get("/me/").status_code == 200
    assert AuditEntry.objects.get(what="session.ended").after["device"] == "Safari on iPhone"


@db
def test_somebody_elses_session_is_not_there():
    user, other = make.user(), make.user()
    theirs = make.log_in(other)
    ref = sessions.ref_of("session", theirs.session.session_key)
    assert make.log_in(user).post(f"/me/sessions/{ref}/end/").status_code == 404
    assert theirs.get("/me/").status_code == 200


@db
def test_all_others_are_ended_even_those_in_no_list():
    user = make.user()
    listed, here, unlisted = make.log_in(user), make.log_in(user), Client()
    unlisted.force_login(user)
    answer = here.post("/me/sessions/end-others/", follow=True)
    assert "logged out everywhere else" in answer.content.decode()
    for browser in (listed, unlisted):
        assert browser.get("/me/")["Location"].startswith("/login/")
    assert here.get("/me/").status_code == 200
    assert [place.is_here for place in places_of(user, here.session.session_key)] == [True]
    # The proof that this browser gave goes on with it.
    assert here.get("/me/tokens/make/").status_code == 200


@db
def test_all_sessions_of_somebody_are_ended_by_one_call_and_the_tokens_stay():
    user, other = make.user(), make.user()
    browser, others = make.log_in(user), make.log_in(other)
    token = make.token(user)
    end_all_sessions(user, actor=None, reason="left the team")
    assert browser.get("/me/")["Location"].startswith("/login/")
    assert others.get("/me/").status_code == 200
    assert Client().get("/api/v1/me", **make.bearer(token)).status_code == 200
    entry = AuditEntry.objects.get(what="session.all_ended")
    assert (entry.reason, entry.subject_ref) == ("left the team", str(user.ref))


@db
def test_open_live_views_of_the_user_are_told_to_ask_at_once(monkeypatch):
    told = []
    monkeypatch.setattr(streams, "recheck", told.append)
    user = make.user()
    phone, here = make.log_in(user), make.log_in(user)
    here.post(f"/me/sessions/{sessions.ref_of('session', phone.session.session_key)}/end/")
    assert told == [user.pk]
    end_all_sessions(user, actor=None)
    assert told == [user.pk, user.pk]


@db
def test_the_last_use_is_kept_to_the_minute_and_costs_no_query_in_between(django_assert_num_queries):
    user = make.user()
    browser = make.log_in(user)
    UserSession.objects.update(last_seen_at="2026-01-01T00:00:00Z")
    sessions._seen.clear()
    browser.get("/palette", REMOTE_ADDR="203.0.113.50")
    row = UserSession.objects.get()
    assert time.time() - row.last_seen_at.timestamp() < 60
    assert row.ip == "203.0.113.50"
    with django_assert_num_queries(2):  # session, user
        browser.get("/login/")


@db
def test_a_session_that_ran_out_is_not_listed():
    user = make.user()
    make.log_in(user)
    here = make.log_in(user)
    Session.objects.exclude(session_key=here.session.session_key).update(expire_date="2026-01-01T00:00:00Z")
    assert len(places_of(user, here.session.session_key)) == 1


@db
def test_own_settings_state_their_queries(django_assert_num_queries):
    user = make.user()
    make.app(user)
    make.place(user)
    browser = Client()
    browser.force_login(user)
    browser.get("/me/")
    # session, user; tokens, second factors, two for sessions, organizations, activity, the keys of whom it names, all warnings in one
    with django_assert_num_queries(9):
        browser.get("/me/")
    for _ in range(7):
        make.place(user)
        make.token(user)
    with django_assert_num_queries(9):
        assert len(re.findall("Log out there", browser.get("/me/").content.decode())) == 8
