"""What was tried and held."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts import invitations, members, passwords
from accounts.models import Membership
from portal.audit.models import AuditEntry
from portal.notify.models import Message
from portal.notify.sending import render
from tests import factories as make

pytestmark = pytest.mark.django_db
JSON = {"content_type": "application/json"}


def totp(user):
    from allauth.mfa.models import Authenticator
    from allauth.mfa.totp.internal.auth import generate_totp_secret
    from allauth.mfa.utils import encrypt

    Authenticator.objects.create(user=user, type="totp", data={"secret": encrypt(generate_totp_secret())})


def test_half_logged_in_reaches_nothing_and_the_key_changes():
    account = make.account()
    user = make.member(account, "admin")
    totp(user)
    browser = Client()
    browser.get("/login/")
    session = browser.session
    session["planted"] = "x"
    session.save()
    before = session.session_key
    answer = browser.post("/login/", {"username": user.email, "password": make.PASSWORD})
    assert answer.status_code == 302
    assert answer["Location"] == "/login/second/"
    for path in ("/", "/me/", "/me/second-factor/", "/me/prove/", "/me/second-factor/app/", "/me/password/"):
        assert browser.get(path).status_code == 302, path
        assert "/login" in browser.get(path)["Location"], path
    assert browser.get("/api/v1/me").status_code == 401
    assert browser.get(f"/api/v1/accounts/{account.ref}").status_code == 401
    assert browser.get(f"/accounts/{account.ref}/").status_code == 302
    other = Client()
    other.cookies["sessionid"] = before
    plain = make.member(account, "viewer")
    other.post("/login/", {"username": plain.email, "password": make.PASSWORD})
    assert other.cookies["sessionid"].value != before


def test_an_api_call_of_a_session_needs_the_csrf_token():
    account = make.account()
    admin = make.member(account, "admin")
    token = make.prove
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(admin)
    for method, path, body in (
        ("patch", "/api/v1/me", {"name": "X"}),
        ("post", "/api/v1/tokens", {}),
        ("post", "/api/v1/invitations/accept", {"token": "ssi_x"}),
        ("post", f"/api/v1/accounts/{account.ref}/invitations", {"email": "a@b.example", "role": "admin"}),
    ):
        for kind in ("application/json", "text/plain"):
            answer = getattr(browser, method)(path, json.dumps(body), content_type=kind)
            assert answer.status_code in {403, 404}, (path, answer.status_code, answer.content)
    assert token


def test_no_open_redirect():
    user = make.user()
    for bad in (
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "\t//evil.example",
    ):
        browser = Client()
        answer = browser.post(
            f"/login/?next={bad}", {"username": user.email, "password": make.PASSWORD, "next": bad}
        )
        assert answer.status_code == 302, bad
        assert answer["Location"].startswith("/"), bad
        assert "evil" not in answer["Location"], bad
        answer = browser.post("/me/prove/", {"password": make.PASSWORD, "next": bad})
        assert "evil" not in answer["Location"], bad
        assert "javascript" not in answer["Location"], bad


def test_the_mailbox_is_not_there_in_production_nor_from_elsewhere(settings):
    Message.objects.all()
    assert Client(REMOTE_ADDR="203.0.113.9").get("/desk/mail/").status_code == 404
    assert Client(HTTP_X_FORWARDED_FOR="127.0.0.1").get("/desk/mail/").status_code == 404
    settings.DESK_MODE = False
    settings.SECURE_SSL_REDIRECT = False
    assert Client().get("/desk/mail/").status_code == 404


def test_a_forged_host_is_in_no_link():
    user = make.user()
    answer = Client(HTTP_HOST="evil.example").post("/login/reset/", {"email": user.email})
    assert answer.status_code == 400
    Client(HTTP_X_FORWARDED_HOST="evil.example").post("/login/reset/", {"email": user.email})
    passwords.send_due_links(timezone.now())
    for one in Message.objects.filter(purpose="password_reset"):
        assert "evil" not in render(one).text


def test_an_invitation_is_accepted_by_nobody_else_and_once():
    account = make.account()
    admin = make.member(account, "admin")
    other = make.member(make.account(), "admin")
    sent = []
    real = invitations.new_token
    invitations.new_token = lambda: sent.append(real()) or sent[-1]
    try:
        invitations.invite(account, email="vera@home.example", role="admin", actor=admin)
    finally:
        invitations.new_token = real
    (token,) = sent
    key = make.bearer(make.token(other))
    answer = Client().post("/api/v1/invitations/accept", {"token": token}, **JSON, **key)
    assert answer.status_code == 403, answer.content
    browser = Client()
    browser.force_login(other)
    assert browser.post(f"/join/{token}/").status_code == 403
    assert not any(
        token in json.dumps([e.before, e.after, e.reason, e.subject_label]) for e in AuditEntry.objects.all()
    )
    fresh = {"token": token, "name": "Vera", "password": "quite a few odd words"}
    assert Client().post("/api/v1/invitations/accept", fresh, **JSON).status_code == 201
    assert Client().post("/api/v1/invitations/accept", fresh, **JSON).status_code == 422
    assert Membership.objects.filter(account=account).count() == 2


def test_what_is_another_accounts_is_not_there_by_cursor_replay_or_search():
    mine, theirs = make.account("Mine"), make.account("Theirs")
    me, they = make.member(mine, "admin"), make.member(theirs, "admin")
    for number in range(4):
        make.contact(theirs, f"Secret {number}")
        make.contact(mine, f"Own {number}")
    a, b = make.bearer(make.token(me)), make.bearer(make.token(they))
    page = Client().get(f"/api/v1/accounts/{theirs.ref}/contacts?limit=2", **b).json()
    stolen = page["next"].split("?")[1]
    assert Client().get(f"/api/v1/accounts/{theirs.ref}/contacts?{stolen}", **a).status_code == 404
    assert Client().get(f"/api/v1/accounts/{mine.ref}/contacts?{stolen}", **a).status_code == 400
    contact = theirs.contacts.first()
    done = Client().post(f"/api/v1/contacts/{contact.ref}/confirm", **JSON, HTTP_IDEMPOTENCY_KEY="one", **b)
    assert done.status_code == 200
    again = Client().post(f"/api/v1/contacts/{contact.ref}/confirm", **JSON, HTTP_IDEMPOTENCY_KEY="one", **a)
    assert again.status_code == 404
    members.grant_role(theirs, make.user(), "admin", actor=None)
    members.remove_member(theirs, they, actor=None)
    again = Client().post(f"/api/v1/contacts/{contact.ref}/confirm", **JSON, HTTP_IDEMPOTENCY_KEY="one", **b)
    assert again.status_code == 404
    browser = Client()
    browser.force_login(me)
    assert "Secret" not in browser.get("/palette", {"q": "Secret"}).content.decode()
    assert browser.get("/accounts/", {"q": "Secret"}).content.decode().count("Theirs") == 0
    assert browser.get(f"/api/v1/accounts/{mine.ref}/audit?subject={contact.ref}").json()["results"] == []
    mixed = browser.patch(
        f"/api/v1/contacts/{contact.ref}", json.dumps({"name": "x"}), **JSON, HTTP_IF_MATCH="*"
    )
    assert mixed.status_code == 404
    make_up = Client().patch(
        f"/api/v1/contacts/{mine.contacts.first().ref}",
        {"account": str(theirs.ref)},
        **JSON,
        HTTP_IF_MATCH="*",
        **a,
    )
    assert make_up.status_code == 422


def test_an_operator_sees_no_row_of_any_account():
    account = make.account("Lindgren")
    contact = make.contact(account)
    operator = make.user(is_operator=True)
    key = make.bearer(make.token(operator))
    for path in (
        f"accounts/{account.ref}",
        f"contacts/{contact.ref}",
        f"accounts/{account.ref}/audit",
        f"accounts/{account.ref}/events",
    ):
        assert Client().get(f"/api/v1/{path}", **key).status_code in {403, 404}, path
    assert Client().get("/api/v1/accounts", **key).json()["results"] == []
    assert timedelta
