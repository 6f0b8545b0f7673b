"""Logging in: mail and password, throttled, telling nothing about who exists."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.forms import AuthenticationForm
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from accounts import throttle
from accounts.forms import WRONG
from portal.audit.models import AuditEntry
from tests import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_counted_yet():
    cache.clear()


def log_in(email, password=make.PASSWORD, client=None, **extra):
    return (client or Client(**extra)).post("/login/", {"username": email, "password": password})


def test_the_mail_address_is_taken_whatever_its_case():
    make.user(email="jonas@north.example")
    response = log_in(" Jonas@North.Example ")
    assert response.status_code == 302
    assert response["Location"] == "/"


def test_a_good_log_in_is_on_record():
    user = make.user()
    log_in(user.email)
    entry = AuditEntry.objects.get(what="login.done")
    assert entry.actor_ref == str(user.ref)
    assert entry.address == "127.0.0.1"
    assert entry.request_id


@pytest.mark.parametrize("case", ["unknown mail", "wrong password", "switched off"])
def test_every_failure_reads_the_same(case):
    user = make.user(is_active=case != "switched off")
    email = "nobody@people.example" if case == "unknown mail" else user.email
    response = log_in(email, "wrong-wrong-wrong" if case == "wrong password" else make.PASSWORD)
    assert response.status_code == 200
    assert WRONG in response.content.decode()


def test_an_unknown_mail_takes_the_same_work_as_a_wrong_password(django_assert_num_queries, monkeypatch):
    from django.contrib.auth.hashers import Argon2PasswordHasher

    hashed = []
    real = Argon2PasswordHasher.encode
    monkeypatch.setattr(
        Argon2PasswordHasher, "encode", lambda self, *a, **k: hashed.append("made") or real(self, *a, **k)
    )
    log_in("nobody@people.example", "wrong-wrong-wrong")
    assert hashed == ["made"]


def test_a_failed_log_in_is_on_record_without_what_was_typed():
    log_in("my-password-by-mistake@people.example", "x" * 12)
    entry = AuditEntry.objects.get(what="login.failed")
    assert entry.after == {"mail_known": False}
    assert entry.subject_label == ""


def test_the_sixth_try_in_a_row_waits_and_says_so():
    user = make.user()
    for _ in range(throttle.TRIES_PER_PAIR):
        assert log_in(user.email, "wrong-wrong-wrong").status_code == 200
    response = log_in(user.email)
    assert response.status_code == 429
    assert "Too many tries" in response.content.decode()
    assert AuditEntry.objects.filter(what="login.throttled").count() == 1


def test_an_unknown_mail_is_throttled_like_a_known_one():
    for _ in range(throttle.TRIES_PER_PAIR):
        log_in("nobody@people.example")
    assert log_in("nobody@people.example").status_code == 429


def test_tries_from_elsewhere_do_not_lock_somebody_out():
    user = make.user()
    for _ in range(throttle.TRIES_PER_PAIR):
        log_in(user.email, "wrong-wrong-wrong", REMOTE_ADDR="203.0.113.9")
    assert log_in(user.email, REMOTE_ADDR="198.51.100.1").status_code == 302


def test_after_a_quarter_of_an_hour_one_may_try_again():
    user = make.user()
    for _ in range(throttle.TRIES_PER_PAIR):
        log_in(user.email, "wrong-wrong-wrong")
    with time_machine.travel(timezone.now() + throttle.WINDOW + timedelta(seconds=1)):
        assert log_in(user.email).status_code == 302


def test_a_good_log_in_clears_the_count():
    user = make.user()
    for _ in range(throttle.TRIES_PER_PAIR - 1):
        log_in(user.email, "wrong-wrong-wrong")
    log_in(user.email)
    assert log_in(user.email, "wrong-wrong-wrong").status_code == 200


def test_one_address_cannot_try_many_mails(monkeypatch):
    monkeypatch.setattr(throttle, "TRIES_PER_ADDRESS", 3)
    for number in range(3):
        log_in(f"nobody{number}@people.example")
    assert log_in("nobody9@people.example").status_code == 429


def test_a_stranger_cannot_fill_the_audit_with_throttled_tries():
    here = {"REMOTE_ADDR": f"2001:db8:{uuid.uuid4().hex[:4]}:{uuid.uuid4().hex[:4]}::7"}
    for _ in range(throttle.TRIES_PER_PAIR + 9):
        log_in("nobody@people.example", **here)
    assert AuditEntry.objects.filter(what="login.throttled").count() == 1


def test_tries_at_the_same_moment_cannot_pass_the_limit_together(monkeypatch):
    """Each try begins while the one before is still at its password."""
    user = make.user()
    looked_at = []
    real = AuthenticationForm.clean

    def clean(form):
        looked_at.append(form)
        if len(looked_at) < throttle.TRIES_PER_PAIR + 2:
            log_in(user.email, "wrong-wrong-wrong")
        return real(form)

    monkeypatch.setattr(AuthenticationForm, "clean", clean)
    log_in(user.email, "wrong-wrong-wrong")
    assert len(looked_at) == throttle.TRIES_PER_PAIR


def test_good_log_ins_do_not_use_up_the_tries_of_their_address(monkeypatch):
    monkeypatch.setattr(throttle, "TRIES_PER_ADDRESS", 2)
    for _ in range(4):
        assert log_in(make.user().email).status_code == 302


def test_logging_out_is_a_post_and_ends_the_session():
    user = make.user()
    client = Client()
    client.force_login(user)
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/").status_code == 302
    assert client.get("/me/")["Location"] == "/login/?next=/me/"
    assert AuditEntry.objects.filter(what="logout.done").count() == 1


def test_after_log_in_one_is_taken_only_to_own_pages():
    user = make.user()
    response = Client().post(
        "/login/?next=https://evil.example/",
        {"username": user.email, "password": make.PASSWORD, "next": "https://evil.example/"},
    )
    assert response["Location"] == "/"


def test_a_password_is_stored_as_argon2():
    assert make.user().password.startswith("argon2$argon2id$")
