"""What a name can say in a mail of ours, and what ends with what it came from."""

from __future__ import annotations

import pytest
from django.test import Client

from accounts import invitations
from accounts.tokens import make_token, revoke_token
from portal.notify.models import Message
from portal.notify.sending import render
from tests import factories as make

pytestmark = pytest.mark.django_db


def test_a_page_of_an_account_answers_options_without_a_fault():
    account = make.account()
    browser = Client(raise_request_exception=False)
    browser.force_login(make.member(account, "admin"))
    for path in (f"/accounts/{account.ref}/", "/accounts/", f"/accounts/{account.ref}/contacts/"):
        assert browser.options(path).status_code < 500, path


def test_a_mail_to_a_stranger_cannot_be_written_by_the_inviters_name():
    account = make.account()
    admin = make.member(account, "admin", "Ada")
    Client().patch(
        "/api/v1/me",
        {"name": "Ada\n\nYour access ends today. Call us now.\n"},
        content_type="application/json",
        **make.bearer(make.token(admin)),
    )
    admin.refresh_from_db()
    invitations.invite(account, email="victim@elsewhere.example", role="viewer", actor=admin)
    text = render(Message.objects.get(purpose="invitation")).text
    assert not any(line.startswith("Your access ends today") for line in text.splitlines()), text


def test_the_children_of_a_revoked_token_end_with_it():
    from datetime import timedelta

    from django.utils import timezone

    user = make.user()
    token, secret = make_token(user, name="p", scopes=["me"], expires_at=timezone.now() + timedelta(days=5))
    made = Client().post(
        "/api/v1/tokens",
        {"name": "child", "scopes": ["me"], "expires_at": (timezone.now() + timedelta(days=4)).isoformat()},
        content_type="application/json",
        **make.bearer(secret),
    )
    assert made.status_code == 201, made.content
    revoke_token(token, actor=user, at=timezone.now())
    assert Client().get("/api/v1/me", **make.bearer(made.json()["token"])).status_code == 401


def test_a_customer_does_not_learn_who_of_the_launch_team_has_no_second_factor():
    account = make.account()
    admin = make.member(account, "admin")
    make.key(admin)
    make.launch_manager(account.team, "Jonas Berg")
    browser = Client()
    browser.force_login(admin)
    page = browser.get(f"/accounts/{account.ref}/access/").content.decode()
    team = page[page.index("team-title") :]
    assert "Second factor" not in team
