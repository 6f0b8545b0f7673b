"""Nobody learns from the portal's work who has a log-in: the same queries and password hashes, counted."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import throttle
from tests import factories as make

pytestmark = pytest.mark.django_db
CASES = ("known", "unknown", "switched off", "no password", "second factor")


def email_of(case):
    if case == "unknown":
        return "nobody@people.example"
    user = make.user(is_active=case != "switched off")
    if case == "no password":
        user.set_unusable_password()
        user.save()
    if case == "second factor":
        make.app(user)
    return user.email


class Work:
    """What one request made the portal do: statements without their values, in order, and password hashes."""

    def __init__(self, monkeypatch):
        self.hashed = []
        real = Argon2PasswordHasher.encode
        monkeypatch.setattr(
            Argon2PasswordHasher,
            "encode",
            lambda hasher, *a, **k: self.hashed.append(1) or real(hasher, *a, **k),
        )
        real_verify = Argon2PasswordHasher.verify
        monkeypatch.setattr(
            Argon2PasswordHasher,
            "verify",
            lambda hasher, *a, **k: self.hashed.append(1) or real_verify(hasher, *a, **k),
        )

    def of(self, act):
        self.hashed.clear()
        with CaptureQueriesContext(connection) as queries:
            status = act().status_code
        said = [re.sub(r"'(?:[^']|'')*'|\b\d+\b|NULL|true|false", "?", one["sql"]) for one in queries]
        said = [re.sub(r"\"s\w+_x\d+\"|SAVEPOINT.*|RELEASE.*", "savepoint", one) for one in said]
        return status, len(self.hashed), said


@pytest.fixture
def work(monkeypatch):
    return Work(monkeypatch)


def test_a_failed_log_in_is_the_same_work_whoever_it_names(work):
    done = {}
    for number, case in enumerate(CASES):
        email = email_of(case)
        browser = Client(REMOTE_ADDR=f"198.51.100.{number}")
        done[case] = work.of(
            lambda b=browser, e=email: b.post("/login/", {"username": e, "password": "wrong-wrong-wrong"})
        )
    assert done["known"][1] == 1
    for case in CASES:
        assert done[case] == done["known"], case


def test_a_throttled_log_in_is_the_same_work_whoever_it_names(work):
    done = {}
    for number, case in enumerate(CASES):
        email = email_of(case)
        browser = Client(REMOTE_ADDR=f"198.51.100.{number}")
        sent = {"username": email, "password": "wrong-wrong-wrong"}
        for _ in range(throttle.TRIES_PER_PAIR):
            browser.post("/login/", sent)
        done[case] = work.of(lambda b=browser, s=sent: b.post("/login/", s))
    assert done["known"][:2] == (429, 0)
    for case in CASES:
        assert done[case] == done["known"], case


def test_asking_for_a_new_password_is_the_same_work_whoever_it_names(work):
    done = {}
    for number, case in enumerate(CASES):
        email = email_of(case)
        browser = Client(REMOTE_ADDR=f"198.51.100.{number}")
        done[case] = work.of(lambda b=browser, e=email: b.post("/login/reset/", {"email": e}))
    assert done["known"][:2] == (200, 0)
    assert not any("accounts_user" in one for one in done["known"][2])
    for case in CASES:
        assert done[case] == done["known"], case


def test_asking_too_often_is_the_same_work_whoever_it_names(work):
    done = {}
    for case in CASES:
        email = email_of(case)
        for number in range(throttle.RESETS_PER_MAIL):
            Client(REMOTE_ADDR=f"198.51.100.{number}").post("/login/reset/", {"email": email})
        browser = Client(REMOTE_ADDR=f"203.0.113.{CASES.index(case)}")
        done[case] = work.of(lambda b=browser, e=email: b.post("/login/reset/", {"email": e}))
    for case in CASES:
        assert done[case] == done["known"], case


def test_a_link_that_does_not_hold_is_the_same_work_for_known_and_unknown(work):
    user = make.user()
    known = work.of(lambda: Client().get(f"/login/reset/{user.ref}/made-up-1/"))
    unknown = work.of(lambda: Client().get("/login/reset/8a8f3f0e-5d0c-4f0e-9d53-2f6f2f0f7a11/made-up-1/"))
    assert known == unknown
