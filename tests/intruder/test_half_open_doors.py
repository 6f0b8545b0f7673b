"""A few more things tried."""

from __future__ import annotations

import pytest
from django.test import Client

from accounts import members
from accounts.contacts.models import ContactUse
from accounts.models import Membership
from portal.access import SCOPES
from portal.runs.models import Standstill
from tests import factories as make

pytestmark = pytest.mark.django_db


def test_a_member_removed_and_a_member_lowered_lose_it_at_once():
    account = make.account()
    make.member(account, "admin")
    editor = make.member(account, "editor")
    key = make.bearer(make.token(editor))
    contact = make.contact(account)
    patch = {"content_type": "application/json", "HTTP_IF_MATCH": "*"}
    Membership.objects.filter(user=editor).update(role="viewer")
    assert (
        Client().patch(f"/api/v1/contacts/{contact.ref}", {"title": "x"}, **patch, **key).status_code == 403
    )
    members.remove_member(account, editor, actor=None)
    assert (
        Client().patch(f"/api/v1/contacts/{contact.ref}", {"title": "x"}, **patch, **key).status_code == 404
    )


def test_a_launch_manager_of_another_team_cannot_stop_or_lift_ours():
    account, other = make.account(), make.account()
    lead = make.launch_manager(other.team, role="lead")
    row = Standstill.objects.create(
        scope=f"team:{account.team.ref}", reason="x", by=lead, by_name="x", at="2026-01-01T00:00Z"
    )
    key = make.bearer(make.token(lead))
    call = {"content_type": "application/json", "HTTP_IDEMPOTENCY_KEY": "k1"}
    assert (
        Client().post(f"/api/v1/standstills/{row.ref}/lift", {"reason": "y"}, **call, **key).status_code
        == 404
    )
    browser = Client()
    browser.force_login(lead)
    answer = browser.post(
        f"/accounts/{other.ref}/standstill/lift/", {"standstill": str(row.ref), "reason": "y"}
    )
    row.refresh_from_db()
    assert row.lifted_at is None, answer.status_code


def test_an_approver_cannot_stop_the_whole_team_or_the_portal():
    account = make.account()
    approver = make.member(account, "approver")
    foreign = make.connection(make.account())
    key = make.bearer(make.token(approver))
    for number, body in enumerate(
        (
            {"scope": "team", "reason": "x"},
            {"scope": "all", "reason": "x"},
            {"scope": "connection", "connection": str(foreign.ref), "reason": "x"},
            {"scope": f"account:{foreign.account.ref}", "reason": "x"},
        )
    ):
        answer = Client().post(
            f"/api/v1/accounts/{account.ref}/standstills",
            body,
            content_type="application/json",
            HTTP_IDEMPOTENCY_KEY=f"k{number}",
            **key,
        )
        assert answer.status_code in {403, 422}, (body, answer.content)
    browser = Client()
    browser.force_login(approver)
    for scope in ("team", "all", f"connection:{foreign.ref}", "connection"):
        browser.post(f"/accounts/{account.ref}/standstill/", {"scope": scope, "reason": "x"})
    assert not Standstill.objects.exists()


def test_references_of_others_in_bodies_are_not_taken():
    account = make.account()
    editor = make.member(account, "editor")
    foreign = make.connection(make.account())
    key = make.bearer(make.token(editor))
    body = {"title": "x", "connection": str(foreign.ref), "choice": {"balancer_ids": ["1"], "floor": 1}}
    answer = Client().post(
        f"/api/v1/accounts/{account.ref}/plans", body, content_type="application/json", **key
    )
    assert answer.status_code == 422, answer.content
    assert "Shop, Dallas" not in answer.content.decode()


def test_a_scope_alone_opens_nothing_else():
    account = make.account(team_notes="The secret of the team")
    admin = make.member(account, "admin")
    contact, connection = make.contact(account), make.connection(account)
    gets = {
        "accounts:read": f"accounts/{account.ref}",
        "contacts:read": f"contacts/{contact.ref}",
        "connections:read": f"connections/{connection.ref}",
        "members:read": f"accounts/{account.ref}/members",
        "audit:read": f"accounts/{account.ref}/audit",
        "events:read": f"accounts/{account.ref}/events",
        "scaledown:read": "runs",
        "me": "tokens",
    }
    for scope in SCOPES:
        key = make.bearer(make.token(admin, scopes=[scope]))
        for needed, path in gets.items():
            answer = Client().get(f"/api/v1/{path}", **key)
            assert answer.status_code == (200 if needed == scope else 403), (scope, path, answer.status_code)
            assert "secret of the team" not in answer.content.decode()


def test_a_token_that_may_only_write_is_logged_with_each_contact_that_it_is_answered():
    account = make.account()
    contact = make.contact(account)
    editor = make.member(account, "editor")
    call = {"content_type": "application/json", "HTTP_IF_MATCH": "*"}
    url = f"/api/v1/contacts/{contact.ref}"
    Client().patch(url, {}, **call, **make.bearer(make.token(editor)))
    assert not ContactUse.objects.filter(contact_ids__contains=[contact.pk], way="api").exists()
    answer = Client().patch(url, {}, **call, **make.bearer(make.token(editor, scopes=["contacts:write"])))
    assert answer.json()["email"] == contact.email
    assert ContactUse.objects.filter(contact_ids__contains=[contact.pk], way="api").count() == 1


def test_team_notes_reach_no_customer_anywhere():
    account = make.account()
    admin, manager = make.member(account, "admin"), make.launch_manager(account.team)
    key = dict(content_type="application/json", HTTP_IF_MATCH="*", **make.bearer(make.token(manager)))
    Client().patch(f"/api/v1/accounts/{account.ref}", {"team_notes": "pays late qqq"}, **key)
    browser = Client()
    browser.force_login(admin)
    for path in (
        f"/accounts/{account.ref}/",
        f"/accounts/{account.ref}/activity/",
        "/accounts/?q=qqq",
        "/accounts/as.csv",
        "/palette?q=qqq",
        f"/api/v1/accounts/{account.ref}",
        f"/api/v1/accounts/{account.ref}/audit",
        f"/api/v1/accounts/{account.ref}/events",
        "/me/notices/",
        "/",
    ):
        answer = browser.get(path)
        if answer.streaming:
            continue
        assert "pays late" not in answer.content.decode(), path
    exported = browser.post(f"/accounts/{account.ref}/activity/download/", {"reason": "x"})
    assert exported.status_code == 200


def test_names_are_escaped_everywhere():
    account = make.account("<img src=x onerror=alert(1)>")
    admin = make.member(account, "admin", "<script>alert(2)</script>")
    make.contact(account, "<svg/onload=alert(3)>", notes="<b>x</b>")
    make.connection(account, '"><script>alert(4)</script>')
    browser = Client()
    browser.force_login(admin)
    for path in (
        "/",
        "/accounts/",
        f"/accounts/{account.ref}/",
        f"/accounts/{account.ref}/contacts/",
        f"/accounts/{account.ref}/access/",
        f"/accounts/{account.ref}/activity/",
        "/me/",
        f"/accounts/{account.ref}/standstill/",
        "/me/notices/",
    ):
        page = browser.get(path).content.decode()
        for bad in ("<img src=x", "<script>alert", "<svg/onload", "<b>x</b>"):
            assert bad not in page, (path, bad)
