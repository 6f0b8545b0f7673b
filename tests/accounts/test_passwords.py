"""A new password: changed, set by a mailed link, set for the first time."""

from __future__ import annotations

import logging
import re

import pytest
import time_machine
from django.contrib.auth.tokens import default_token_generator
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts import passwords, throttle
from accounts.models import ResetRequest
from accounts.tasks import send_reset_links
from portal.audit.models import AuditEntry
from portal.errors import Refused
from portal.logs import _without_keys
from portal.notify.models import Message
from portal.notify.sending import render
from tests import factories as make

pytestmark = pytest.mark.django_db
NEW = "another-quiet-harbour"


def ask(email, **extra):
    return Client(**extra).post("/login/reset/", {"email": email})


@pytest.fixture(autouse=True)
def no_flood_before():
    """What other tests asked within this minute was another flood."""
    cache.clear()


def link_for(user):
    ask(user.email)
    send_reset_links()
    return re.search(r"http://localhost:8000(/login/reset/\S+)", mails()[-1][1]).group(1)


def mails():
    """(to whom, text) of every link that was mailed, oldest first."""
    rows = Message.objects.filter(purpose="password_reset").order_by("pk")
    return [(row.user.email, render(row).text) for row in rows]


def entries(what):
    return AuditEntry.objects.filter(what=what)


def test_a_link_sets_a_new_password_once_and_ends_every_session():
    user = make.user()
    elsewhere = make.log_in(user)
    link = link_for(user)
    assert [to for to, _text in mails()] == [user.email]
    assert "New password" in Client().get(link).content.decode()
    answer = Client().post(link, {"password": NEW, "again": NEW}, follow=True)
    assert "Your new password is set" in answer.content.decode()
    assert elsewhere.get("/me/")["Location"].startswith("/login/")
    assert make.log_in(user, NEW).get("/me/").status_code == 200
    assert make.log_in(user).get("/me/").status_code == 302
    over = Client().post(link, {"password": make.PASSWORD, "again": make.PASSWORD})
    assert over.status_code == 410
    assert [
        entry.what for entry in AuditEntry.objects.filter(what__startswith="password.").order_by("pk")
    ] == [
        "password.reset_asked",
        "password.reset_sent",
        "password.reset",
    ]


def test_a_filter_that_opens_the_link_changes_nothing():
    user = make.user()
    link = link_for(user)
    for _ in range(5):
        assert Client().get(link).status_code == 200
        assert Client().head(link).status_code == 200
    assert Client().post(link, {"password": NEW, "again": NEW}).status_code == 302


def test_a_link_is_over_after_an_hour_and_after_a_log_in():
    user = make.user()
    link = link_for(user)
    with time_machine.travel(timezone.now().timestamp() + 3601):
        assert Client().get(link).status_code == 410
    make.log_in(user)
    assert Client().get(link).status_code == 410


def test_a_link_of_somebody_else_or_made_up_is_over():
    user, other = make.user(), make.user()
    key = link_for(user).rstrip("/").rpartition("/")[2]
    for path in (f"/login/reset/{other.ref}/{key}/", f"/login/reset/{user.ref}/made-up/"):
        assert Client().get(path).status_code == 410
        assert Client().post(path, {"password": NEW, "again": NEW}).status_code == 410


def test_a_weak_password_and_two_that_differ_are_refused_and_the_link_stays():
    user = make.user()
    link = link_for(user)
    for sent in ({"password": "short", "again": "short"}, {"password": NEW, "again": "other-" + NEW}, {}):
        assert Client().post(link, sent).status_code == 422
    assert Client().post(link, {"password": NEW, "again": NEW}).status_code == 302


@pytest.mark.parametrize("weak", ["viewer person 12", "vera.person@people", "99999999999999999999"])
def test_a_password_that_is_ones_own_name_or_mail_or_only_digits_is_refused(weak):
    user = make.user(name="Viewer Person", email="vera.person@people.example")
    with pytest.raises(Refused):
        passwords.check_password_rules(user, weak)


@pytest.mark.parametrize("case", ["unknown", "switched off", "no password"])
def test_nobody_else_is_sent_a_link_and_the_answer_reads_the_same(case):
    user = make.user(
        email="kept@people.example", is_active=case != "switched off", password=case != "no password"
    )
    if case == "no password":
        user.set_unusable_password()
        user.save()
    email = "nobody@people.example" if case == "unknown" else user.email
    known = ask(make.user(email="known@people.example").email).content.decode()
    answer = ask(email)
    assert answer.status_code == 200
    assert answer.content.decode().replace(email, "?") == known.replace("known@people.example", "?")
    send_reset_links()
    assert [to for to, _text in mails()] == ["known@people.example"]
    assert not ResetRequest.objects.exists()


def test_nobodys_mailbox_is_flooded():
    user = make.user()
    for number in range(throttle.RESETS_PER_MAIL + 3):
        assert ask(user.email, REMOTE_ADDR=f"198.51.100.{number}").status_code == 200
    send_reset_links()
    assert len(mails()) == throttle.RESETS_PER_MAIL


def test_one_address_cannot_ask_without_end(monkeypatch):
    monkeypatch.setattr(throttle, "RESETS_PER_ADDRESS", 2)
    assert [ask(f"n{number}@people.example").status_code for number in range(3)] == [200, 200, 429]


def test_the_secret_of_a_link_is_readable_in_no_row():
    user = make.user()
    link = link_for(user)
    key = link.rstrip("/").rpartition("/")[2]
    with connection.cursor() as cursor:
        cursor.execute("SELECT m::text FROM notify_message m")
        assert key not in str(cursor.fetchall())


def test_somebody_whose_password_was_changed_is_told():
    user = make.user()
    make.log_in(user).post("/me/password/", {"password": NEW, "again": NEW})
    told = Message.objects.get(purpose="login_changed")
    assert told.user == user
    assert "Your password was changed" in render(told).text
    assert "127.0.0.1" in render(told).text


def test_the_secret_of_a_link_is_in_no_line_of_the_log():
    user = make.user()
    key = default_token_generator.make_token(user)
    line = _without_keys(logging.getLogger(), "info", {"request": f"GET /login/reset/{user.ref}/{key}/?a=1"})
    assert key not in line["request"]
    assert str(user.ref) in line["request"]


def test_who_was_asked_for_is_not_readable_in_the_database():
    ask("maja@lindgren.example")
    with connection.cursor() as cursor:
        cursor.execute("SELECT email FROM accounts_resetrequest")
        assert "maja" not in cursor.fetchone()[0]


def test_changing_the_password_keeps_this_browser_and_ends_the_others():
    user = make.user()
    here, elsewhere = make.log_in(user), make.log_in(user)
    answer = here.post("/me/password/", {"password": NEW, "again": NEW}, follow=True)
    assert "Your password is changed" in answer.content.decode()
    assert here.get("/me/").status_code == 200
    assert elsewhere.get("/me/")["Location"].startswith("/login/")
    assert entries("password.changed").count() == 1
    assert make.log_in(user, NEW).get("/me/").status_code == 200


def test_an_invited_person_gets_a_first_password_once():
    user = make.user(password=False)
    user.set_unusable_password()
    user.save()
    with pytest.raises(Refused, match="too short"):
        passwords.set_first_password(user, "short")
    passwords.set_first_password(user, NEW)
    assert make.log_in(user, NEW).get("/me/").status_code == 200
    with pytest.raises(Refused, match="a password already"):
        passwords.set_first_password(user, "yet-another-long-one")
    assert entries("password.set").count() == 1
