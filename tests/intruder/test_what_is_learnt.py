"""What a token, a viewer, a removed member and an operator must not learn."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from accounts import invitations, members, services
from accounts.erasure import erase_person
from portal.models import IdempotentAnswer
from tests import factories as make

pytestmark = pytest.mark.django_db


def test_a_token_without_contacts_read_cannot_look_for_contacts_by_searching_accounts():
    account = make.account("Lindgren Outdoor")
    make.contact(account, "Maja Lindqvist", email="maja.secret@x.example", phone="+46709998877")
    user = make.member(account, "viewer")
    narrow = make.bearer(make.token(user, scopes=["accounts:read"]))
    for q in ("maja.secret", "Lindqvist", "709998877"):
        found = Client().get("/api/v1/accounts/", {"q": q}, **narrow)
        if found.status_code == 404:
            found = Client().get("/api/v1/accounts", {"q": q}, **narrow)
        assert found.status_code == 200
        assert found.json()["results"] == [], q


def test_a_viewer_reads_no_mail_address_of_the_invited_in_the_audit():
    account = make.account()
    admin, viewer = make.member(account, "admin"), make.member(account, "viewer")
    invitations.invite(account, email="vera.private@home.example", role="editor", actor=admin)
    seen = Client().get(f"/api/v1/accounts/{account.ref}/audit", **make.bearer(make.token(viewer)))
    assert seen.status_code == 200
    assert "invitation.sent" in seen.content.decode()
    assert "vera.private@home.example" not in seen.content.decode()


def test_a_viewer_reads_no_mail_address_of_the_invited_on_the_activity_page():
    account = make.account()
    admin, viewer = make.member(account, "admin"), make.member(account, "viewer")
    invitations.invite(account, email="vera.private@home.example", role="editor", actor=admin)
    browser = Client()
    browser.force_login(viewer)
    seen = browser.get(f"/accounts/{account.ref}/activity/")
    assert seen.status_code == 200
    assert "vera.private@home.example" not in seen.content.decode()


def test_whoever_was_removed_reads_nothing_of_the_account_among_the_own_activity():
    account = make.account()
    make.member(account, "admin")
    editor = make.member(account, "editor")
    services.add_contact(account, {"name": "Maja Lindqvist", "email": "maja@x.example"}, actor=editor)
    members.remove_member(account, editor, actor=None)
    browser = Client()
    browser.force_login(editor)
    assert "Maja Lindqvist" not in browser.get("/me/").content.decode()


def test_an_operator_without_the_second_factor_that_is_asked_for_reads_no_metrics(settings):
    settings.REQUIRE_SECOND_FACTOR = ["operator"]
    operator = make.user("Olga", is_operator=True)
    browser = Client(REMOTE_ADDR="203.0.113.9")
    browser.force_login(operator)
    assert browser.get("/").status_code == 302
    assert browser.get("/metrics").status_code == 302


def test_no_kept_answer_names_an_erased_user():
    account = make.account()
    make.member(account, "admin")
    editor = make.member(account, "editor", "Rosalind Quimby")
    contact = make.contact(account)
    done = Client().post(
        f"/api/v1/contacts/{contact.ref}/confirm",
        content_type="application/json",
        HTTP_IDEMPOTENCY_KEY="k",
        **make.bearer(make.token(editor)),
    )
    assert done.status_code == 200, done.content
    erase_person(editor, actor=None, reason="asked")
    kept = json.dumps(list(IdempotentAnswer.objects.values_list("body", flat=True)))
    assert "Rosalind Quimby" not in kept


def test_a_name_is_one_line():
    user = make.user("Ada")
    name = "Ada\n\nYour access ends today. Call us now"
    answer = Client().patch(
        "/api/v1/me", {"name": name}, content_type="application/json", **make.bearer(make.token(user))
    )
    user.refresh_from_db()
    assert "\n" not in user.name, answer.content
