"""A session that never showed a second factor is not let in by somebody else's setting one up."""

from __future__ import annotations

import time

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.test import Client

from portal import crypto
from portal.runs.services import put_standstill
from tests import factories as make

pytestmark = pytest.mark.django_db


def test_setting_up_the_first_factor_ends_sessions_that_never_showed_it(settings):
    settings.REQUIRE_SECOND_FACTOR = ["admin"]
    account = make.account()
    owner = make.member(account, "admin")
    thief, browser = Client(), Client()
    for one in (thief, browser):
        one.post("/login/", {"username": owner.email, "password": make.PASSWORD})
    assert thief.get(f"/accounts/{account.ref}/").status_code == 302
    browser.get("/me/second-factor/app/")
    secret = crypto.decrypt(browser.session["second_factor_pending"])
    code = format_hotp_value(hotp_value(secret, int(time.time()) // 30))
    assert browser.post("/me/second-factor/app/", {"code": code}).status_code == 302
    assert browser.get(f"/accounts/{account.ref}/").status_code == 200
    assert thief.get(f"/accounts/{account.ref}/").status_code == 302
    assert thief.get(f"/api/v1/accounts/{account.ref}").status_code in {401, 403}


def test_whoever_is_held_back_is_not_told_what_is_stopped(settings):
    account = make.account("Lindgren Outdoor")
    owner = make.member(account, "admin")
    manager = make.launch_manager(account.team)
    put_standstill(f"account:{account.ref}", reason="The shop answers slowly.", actor=manager)
    browser = Client()
    browser.post("/login/", {"username": owner.email, "password": make.PASSWORD})
    assert "answers slowly" in browser.get("/me/").content.decode()
    settings.REQUIRE_SECOND_FACTOR = ["admin"]
    for path in ("/me/second-factor/", "/nowhere/", "/login/reset/"):
        assert "answers slowly" not in browser.get(path).content.decode(), path
