"""The second factor: set up, asked for, used once, throttled, taken away, and required of a role."""

from __future__ import annotations

import json
import re
import time
from datetime import timedelta

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts import second_factor, throttle
from accounts.second_factor import counter_of
from accounts.sessions import ref_of
from portal import checks
from portal.audit.models import AuditEntry
from portal.problems import SecondFactorNeeded
from tests import factories as make

SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # RFC 6238, appendix B, in base32
db = pytest.mark.django_db


@pytest.fixture
def someone(db):
    user = make.user("Jonas Berg")
    user.secret = make.app(user)
    return user


def entries(what):
    return AuditEntry.objects.filter(what=what)


# --- the code -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at_s", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
    ],
)
def test_codes_are_those_of_the_standard(at_s, code):
    assert counter_of(SECRET, code, at_s=at_s) == at_s // 30


@given(at_s=st.integers(100, 2**33), off=st.integers(-3, 3))
def test_a_code_counts_at_most_one_step_off(at_s, off):
    code = make.code_of(SECRET, at=at_s, steps=off)
    found = counter_of(SECRET, code, at_s=at_s)
    if abs(off) <= 1:
        assert found is not None
    elif found is not None:  # two steps may show the same six digits
        assert make.code_of(SECRET, at=found * 30) == code


@given(at_s=st.integers(100, 2**33))
def test_a_code_that_was_taken_and_every_older_one_is_none_any_more(at_s):
    now = at_s // 30
    for after in (now, now + 1):
        for step in (-1, 0):
            assert counter_of(SECRET, make.code_of(SECRET, at=at_s, steps=step), at_s=at_s, after=after) in (
                None,
                now + 1,
            )


@pytest.mark.parametrize("code", ["", "12345", "1234567", "äöüäöü", "\x00", "١٢٣٤٥٦"])
def test_what_is_no_code_is_refused(code):
    assert counter_of(SECRET, code, at_s=59) is None


# --- setting up -----------------------------------------------------------------------------------------


@db
def test_an_app_is_added_and_asked_for_at_the_next_log_in():
    user = make.user()
    browser = make.log_in(user)
    page = browser.get("/me/second-factor/app/").content.decode()
    secret = re.search(r'id="totp-key">([A-Z2-7 ]+)<', page).group(1).replace(" ", "")
    answer = browser.post("/me/second-factor/app/", {"code": make.code_of(secret)})
    assert answer["Location"] == "/me/second-factor/codes/"
    codes = re.findall(r"<li>(\d{4} \d{4})</li>", browser.get("/me/second-factor/codes/").content.decode())
    assert len(codes) == 10
    assert entries("second_factor.added").get().after == {"kind": "totp", "name": "Authenticator app"}
    assert entries("recovery_codes.made").count() == 1
    assert entries("recovery_codes.viewed").count() == 1

    again = make.log_in(user)
    assert again.get("/me/")["Location"] == "/login/?next=/me/"
    # The code that set it up is used up.
    assert again.post("/login/second/", {"code": make.code_of(secret)}).status_code == 422
    assert again.post("/login/second/", {"code": make.code_of(secret, steps=1)}).status_code == 302
    assert again.get("/me/").status_code == 200


@db
def test_the_secret_is_encrypted_in_the_session_and_at_rest():
    user = make.user()
    browser = make.log_in(user)
    page = browser.get("/me/second-factor/app/").content.decode()
    secret = re.search(r'id="totp-key">([A-Z2-7 ]+)<', page).group(1).replace(" ", "")
    assert secret not in json.dumps(dict(browser.session.items()))
    browser.post("/me/second-factor/app/", {"code": make.code_of(secret)})
    for row in Authenticator.objects.filter(user=user):
        assert secret not in json.dumps(row.data)
        kept = row.data.get("secret") or row.data["seed"]
        assert kept.startswith("gAAAA")


@db
def test_a_wrong_first_code_adds_nothing_and_keeps_the_offer():
    browser = make.log_in(make.user())
    first = browser.get("/me/second-factor/app/").content.decode()
    again = browser.post("/me/second-factor/app/", {"code": "000000"})
    assert again.status_code == 422
    key = r'id="totp-key">([A-Z2-7 ]+)<'
    assert re.search(key, again.content.decode()).group(1) == re.search(key, first).group(1)
    assert not Authenticator.objects.exists()


@db
def test_keys_of_fields_are_rotated_in_second_factors_too(someone, settings, capsys):
    second_factor.RecoveryCodes.activate(someone)
    old = settings.FIELD_KEYS[0]
    before = {row.pk: dict(row.data) for row in Authenticator.objects.all()}
    settings.FIELD_KEYS = ["bmV3LWtleS1uZXcta2V5LW5ldy1rZXktbmV3LWtleS4=", old]
    call_command("rotate_field_keys")
    assert "mfa.Authenticator: 2" in capsys.readouterr().out
    settings.FIELD_KEYS = settings.FIELD_KEYS[:1]
    for row in Authenticator.objects.all():
        assert row.data != before[row.pk]
    assert second_factor.try_code(someone, make.code_of(someone.secret), purpose="login")


# --- using ----------------------------------------------------------------------------------------------


def test_a_right_password_alone_is_no_log_in(someone):
    browser = make.log_in(someone)
    assert not entries("login.done").exists()
    assert browser.get("/")["Location"].startswith("/login/")
    assert "Type the code" in browser.get("/login/second/").content.decode()


def test_the_page_wanted_is_reached_after_the_second_factor(someone):
    browser = Client()
    sent = {"username": someone.email, "password": make.PASSWORD, "next": "/accounts/"}
    assert browser.post("/login/", sent)["Location"] == "/login/second/"
    answer = browser.post("/login/second/", {"code": make.code_of(someone.secret)})
    assert answer["Location"] == "/accounts/"
    assert entries("login.done").get().actor_ref == str(someone.ref)
    assert entries("second_factor.used").get().after == {"purpose": "login", "kind": "totp"}


def test_without_a_log_in_that_waits_the_second_page_leads_to_the_first(someone):
    assert Client().get("/login/second/")["Location"] == "/login/"
    assert Client().post("/login/second/", {"code": make.code_of(someone.secret)})["Location"] == "/login/"


def test_a_code_works_once_also_when_redis_forgot_everything(someone):
    code = make.code_of(someone.secret)
    assert make.log_in(someone).post("/login/second/", {"code": code}).status_code == 302
    cache.clear()
    assert make.log_in(someone).post("/login/second/", {"code": code}).status_code == 422
    assert entries("second_factor.failed").get().after == {"purpose": "login"}


def test_a_recovery_code_works_once(someone):
    code = second_factor.make_recovery_codes(someone)[3]
    assert make.log_in(someone).post("/login/second/", {"code": f"{code[:4]} {code[4:]}"}).status_code == 302
    assert make.log_in(someone).post("/login/second/", {"code": code}).status_code == 422
    assert entries("recovery_codes.used").count() == 1


def test_new_recovery_codes_void_the_old(someone):
    old = second_factor.make_recovery_codes(someone)[0]
    second_factor.make_recovery_codes(someone)
    assert make.log_in(someone).post("/login/second/", {"code": old}).status_code == 422


def test_tries_are_counted_per_user_from_wherever_they_come(someone):
    for number in range(throttle.CODES_PER_USER):
        browser = make.log_in(someone, REMOTE_ADDR=f"198.51.100.{number}")
        assert browser.post("/login/second/", {"code": "000000"}).status_code == 422
    browser = make.log_in(someone, REMOTE_ADDR="198.51.100.99")
    answer = browser.post("/login/second/", {"code": make.code_of(someone.secret)})
    assert answer.status_code == 429
    assert "Too many tries" in answer.content.decode()
    with time_machine.travel(time.time() + throttle.WINDOW.total_seconds() + 1):
        browser = make.log_in(someone)
        assert browser.post("/login/second/", {"code": make.code_of(someone.secret)}).status_code == 302


def test_somebody_switched_off_in_between_gets_no_further(someone):
    browser = make.log_in(someone)
    type(someone).objects.filter(pk=someone.pk).update(is_active=False)
    assert browser.post("/login/second/", {"code": make.code_of(someone.secret)})["Location"] == "/login/"


@pytest.mark.parametrize(
    "sent", ["", "{", "[]", "{}", '{"id": 1}', '{"id":"a","rawId":"a","type":"public-key"}', "[" * 9000]
)
def test_what_is_no_answer_of_a_key_is_refused_in_words(db, sent):
    user = make.user()
    make.key(user)
    # A key of nobody's cannot be read for the options: give the page none to list.
    Authenticator.objects.filter(user=user).update(
        type="totp", data={"secret": second_factor.encrypt(SECRET)}
    )
    browser = make.log_in(user)
    answer = browser.post("/login/second/", {"credential": sent})
    assert answer.status_code == 422


# --- a fresh proof --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/me/tokens/make/",
        "/me/password/",
        "/me/second-factor/app/",
        "/me/second-factor/key/",
        "/me/second-factor/codes/",
    ],
)
def test_what_an_open_browser_must_not_allow_asks_for_a_fresh_proof(db, path):
    user = make.user()
    browser = make.log_in(user)
    assert browser.get(path).status_code == 200
    with time_machine.travel(time.time() + 16 * 60, tick=True):
        assert browser.get(path)["Location"].startswith("/me/prove/?next=")
        assert browser.post(path, {"code": "1"})["Location"].startswith("/me/prove/?next=")
        assert browser.post("/me/prove/", {"password": "wrong-wrong", "next": path}).status_code == 422
        assert entries("proof.failed").count() == 1
        assert browser.post("/me/prove/", {"password": make.PASSWORD, "next": path})["Location"] == path
        assert browser.get(path).status_code == 200


def test_who_has_a_second_factor_proves_by_it_and_not_by_the_password(someone):
    browser = Client()
    browser.force_login(someone)
    make.prove(browser, someone)  # a password only
    assert browser.get("/me/second-factor/codes/")["Location"].startswith("/me/prove/")
    assert browser.post("/me/prove/", {"password": make.PASSWORD}).status_code == 422
    sent = {"code": make.code_of(someone.secret), "next": "/me/second-factor/codes/"}
    assert browser.post("/me/prove/", sent)["Location"] == "/me/second-factor/codes/"
    assert browser.get("/me/second-factor/codes/").status_code == 200


def test_a_proof_leads_only_to_own_pages(someone):
    browser = Client()
    browser.force_login(someone)
    sent = {"code": make.code_of(someone.secret), "next": "https://evil.example/"}
    assert browser.post("/me/prove/", sent)["Location"] == "/me/"


@db
def test_the_api_makes_no_token_for_a_session_without_a_fresh_proof():
    user = make.user()
    browser = Client()
    browser.force_login(user)
    ends = timezone.now() + timedelta(days=1)
    body = {"name": "x", "scopes": ["me"], "expires_at": ends.isoformat()}
    answer = browser.post("/api/v1/tokens", body, content_type="application/json")
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:steady-state:problem:proof-needed")
    make.prove(browser, user)
    assert browser.post("/api/v1/tokens", body, content_type="application/json").status_code == 201


# --- taking away ----------------------------------------------------------------------------------------


def test_a_factor_is_removed_after_asking_and_the_recovery_codes_go_with_the_last(someone):
    second_factor.make_recovery_codes(someone)
    browser = Client()
    browser.force_login(someone)
    make.prove(browser, someone, how="mfa")
    path = f"/me/second-factor/{ref_of('factor', Authenticator.objects.get(type='totp').pk)}/remove/"
    assert "your password alone is enough" in browser.get(path).content.decode()
    assert Authenticator.objects.count() == 2
    assert browser.post(path)["Location"] == "/me/second-factor/"
    assert not Authenticator.objects.exists()
    assert entries("second_factor.removed").get().before == {"kind": "totp", "name": "Authenticator app"}


def test_somebody_elses_factor_is_not_there(someone):
    browser = Client()
    other = make.user()
    browser.force_login(other)
    make.prove(browser, other)
    path = f"/me/second-factor/{ref_of('factor', Authenticator.objects.get().pk)}/remove/"
    assert browser.get(path).status_code == 404
    assert browser.post(path).status_code == 404
    assert Authenticator.objects.count() == 1


# --- required -------------------------------------------------------------------------------------------


@pytest.fixture
def required(db, settings):
    settings.REQUIRE_SECOND_FACTOR = ["launch_manager", "approver"]
    account = make.account()
    return {
        "launch_manager": make.launch_manager(account.team),
        "approver": make.member(account, "approver"),
        "viewer": make.member(account, "viewer"),
        "account": account,
    }


@pytest.mark.parametrize("role", ["launch_manager", "approver"])
def test_who_must_have_a_second_factor_can_do_nothing_before(required, role):
    user = required[role]
    browser = make.log_in(user)
    token = make.token(user)
    for path in (
        "/",
        "/me/",
        "/accounts/",
        f"/accounts/{required['account'].ref}/",
        "/palette?q=a",
        "/me/tokens/make/",
    ):
        assert browser.get(path)["Location"] == "/me/second-factor/", path
    for headers in ({}, make.bearer(token)):
        answer = browser.get("/api/v1/accounts", **headers)
        assert answer.status_code == 403
        assert answer.json()["type"] == "urn:steady-state:problem:second-factor-needed"
        assert answer.json()["detail"] == SecondFactorNeeded.default_detail
    page = browser.get("/me/second-factor/").content.decode()
    assert "Your role needs a second factor" in page

    shown = browser.get("/me/second-factor/app/").content.decode()
    secret = re.search(r'id="totp-key">([A-Z2-7 ]+)<', shown).group(1).replace(" ", "")
    browser.post("/me/second-factor/app/", {"code": make.code_of(secret)})
    assert browser.get("/accounts/").status_code == 200
    assert Client().get("/api/v1/accounts", **make.bearer(token)).status_code == 200


def test_who_need_not_have_one_goes_on_without(required):
    assert make.log_in(required["viewer"]).get("/accounts/").status_code == 200


def test_the_only_factor_of_a_role_that_needs_one_stays(required):
    user = required["launch_manager"]
    row = make.key(user)
    browser = Client()
    browser.force_login(user)
    make.prove(browser, user, how="mfa")
    answer = browser.post(f"/me/second-factor/{ref_of('factor', row.pk)}/remove/")
    assert answer.status_code == 403
    assert "Add another first" in answer.content.decode()
    make.app(user)
    assert browser.post(f"/me/second-factor/{ref_of('factor', row.pk)}/remove/").status_code == 302


def test_the_requirement_costs_one_query_for_who_has_one_and_none_where_no_role_is_named(required, settings):
    user = required["launch_manager"]
    make.key(user)
    browser = Client()
    browser.force_login(user)
    browser.get("/palette?q=zz")
    taken = []
    for settings.REQUIRE_SECOND_FACTOR in ([], ["lead", "launch_manager"]):
        with CaptureQueriesContext(connection) as queries:
            browser.get("/palette?q=zz")
        taken.append(len(queries))
    assert taken[1] == taken[0] + 1
    settings.REQUIRE_SECOND_FACTOR = []
    with CaptureQueriesContext(connection) as queries:
        browser.get("/palette?q=zz")
    assert "mfa_authenticator" not in str(queries.captured_queries)


def test_a_role_that_is_none_is_refused_at_start(settings):
    settings.REQUIRE_SECOND_FACTOR = ["lauch_manager"]
    assert [one.id for one in checks.what_is_wrong()] == ["portal.E030"]


def test_keys_over_plain_http_are_refused_outside_of_a_desk(settings):
    settings.DESK_MODE = False
    assert "portal.E031" in [one.id for one in checks.what_is_wrong()]
