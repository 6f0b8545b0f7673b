"""Reading the audit: narrowed, page by page, as a file, and only by whom it is meant for."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import services
from portal.audit import download, sealer
from portal.audit.filters import filter_of
from portal.audit.models import AuditEntry
from portal.audit.services import record
from tests import factories as make


@pytest.fixture
def here(db):
    account = make.account("Lindgren Outdoor", team_notes="The team's own.")
    admin, editor = make.member(account, "admin", "Ada"), make.member(account, "editor", "Bo")
    contact = services.add_contact(account, {"name": "Maja Lindgren", "email": "m@x.example"}, actor=admin)
    services.confirm_contact(contact, actor=editor, on=timezone.now().date())
    services.change_account(account, {"team_notes": "Another."}, actor=make.launch_manager(account.team))
    record("other.done", account=make.account())
    return account, admin, editor, contact


def asked(account, user, query=""):
    return Client().get(f"/api/v1/accounts/{account.ref}/audit{query}", **make.bearer(make.token(user)))


def kinds(answer):
    return [entry["what"] for entry in answer.json()["results"]]


def test_the_audit_is_narrowed_by_kind_person_thing_word_and_time(here):
    account, admin, editor, contact = here
    assert kinds(asked(account, admin)) == ["account.changed", "contact.confirmed", "contact.added"]
    assert kinds(asked(account, admin, "?what=contact")) == ["contact.confirmed", "contact.added"]
    assert kinds(asked(account, admin, "?what=contact.added")) == ["contact.added"]
    assert kinds(asked(account, admin, f"?actor={editor.ref}")) == ["contact.confirmed"]
    assert kinds(asked(account, admin, f"?subject={contact.ref}&q=added")) == ["contact.added"]
    assert kinds(asked(account, admin, "?q=contact confirmed")) == ["contact.confirmed"]
    today = timezone.now().date()
    assert len(kinds(asked(account, admin, f"?from={today}&to={today}"))) == 3
    assert kinds(asked(account, admin, f"?from={today + timedelta(days=1)}")) == []
    assert kinds(asked(account, admin, f"?to={today - timedelta(days=1)}")) == []


@pytest.mark.parametrize(
    "query", ["actor=Ada", "from=yesterday", "to=2026-13-01", "from=2026-11-23T12:00:00"]
)
def test_a_filter_that_means_nothing_is_refused(here, query):
    account, admin, *_ = here
    assert asked(account, admin, f"?{query}").status_code == 422


def test_a_day_is_whole_and_the_last_one_is_in_it():
    wanted = filter_of({"from": "2026-11-23", "to": "2026-11-23"})
    assert wanted.until - wanted.since == timedelta(days=1)


def test_a_page_of_the_audit_costs_the_same_however_many_people_are_in_it(here):
    account, admin, *_ = here
    secret = make.bearer(make.token(admin))

    def queries():
        with CaptureQueriesContext(connection) as seen:
            answer = Client().get(f"/api/v1/accounts/{account.ref}/audit?limit=100", **secret)
        assert answer.status_code == 200
        return len(seen)

    queries()
    few = queries()
    for number in range(20):
        services.add_contact(
            account, {"name": f"Person {number}", "email": f"p{number}@x.example"}, actor=make.user()
        )
    assert queries() == few


async def read(response):
    return b"".join([chunk async for chunk in response.streaming_content])


def rows_of(response):
    assert response.status_code == 200
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(async_to_sync(read)(response).decode())))


def downloaded(account, user, **body):
    return Client().post(
        f"/api/v1/accounts/{account.ref}/audit/export",
        {"reason": "Yearly review", **body},
        content_type="application/json",
        **make.bearer(make.token(user)),
    )


@pytest.mark.django_db(transaction=True)
def test_a_download_has_every_entry_with_its_seal_and_is_itself_on_record(monkeypatch):
    monkeypatch.setattr(download, "BATCH", 3)
    account = make.account()
    admin = make.member(account, "admin", "Ada")
    for number in range(8):
        services.add_contact(
            account, {"name": f"=Person {number}", "email": f"p{number}@x.example"}, actor=admin
        )
    sealer.seal_due()
    rows = rows_of(downloaded(account, admin))
    assert [row["subject"] for row in rows[1:]] == [f"'=Person {number}" for number in reversed(range(8))]
    assert (rows[0]["what"], rows[0]["reason"], rows[0]["actor"], rows[0]["seal"]) == (
        "audit.exported",
        "Yearly review",
        "Ada",
        "",
    )
    assert all(row["seal"] for row in rows[1:])
    assert [row["what"] for row in rows_of(downloaded(account, admin, what="audit"))] == [
        "audit.exported"
    ] * 2


@pytest.mark.django_db(transaction=True)
def test_a_download_hides_what_the_reader_may_not_see():
    account = make.account(team_notes="The team's own.")
    manager, admin = make.launch_manager(account.team), make.member(account, "admin")
    services.change_account(account, {"team_notes": "Another secret of ours.", "milestone": 3}, actor=manager)
    own = rows_of(downloaded(account, admin, what="account.changed"))
    assert "milestone" in own[0]["after"]
    assert "Another secret" not in str(own)
    assert "Another secret" in str(rows_of(downloaded(account, manager, what="account.changed")))


def test_a_download_needs_a_reason_and_the_right(here):
    account, admin, editor, _contact = here
    assert downloaded(account, editor).status_code == 403
    assert downloaded(account, admin, reason=" ").status_code == 422
    browser = Client()
    browser.force_login(admin)
    page = browser.post(f"/accounts/{account.ref}/activity/download/", {"reason": ""})
    assert page.status_code == 422
    assert "what the download is for" in page.content.decode()
    assert not AuditEntry.objects.filter(what="audit.exported").exists()


def test_the_page_narrows_and_offers_the_download_to_whom_it_is_due(here):
    account, admin, editor, contact = here
    browser = Client()
    browser.force_login(admin)
    page = browser.get(f"/accounts/{account.ref}/activity/?q=confirmed").content.decode()
    assert "Contact confirmed" in page
    assert "Contact added" not in page
    assert "Download what is shown" in page
    assert f"?subject={contact.ref}" in page
    assert (
        "Nothing on record fits" in browser.get(f"/accounts/{account.ref}/activity/?q=zzz").content.decode()
    )
    assert browser.get(f"/accounts/{account.ref}/activity/?from=never").status_code == 422
    browser.force_login(editor)
    assert "Download" not in browser.get(f"/accounts/{account.ref}/activity/").content.decode()


def test_an_operator_reads_what_is_of_no_account_and_nothing_else(here):
    account, admin, *_ = here
    operator = make.user("Opal", is_operator=True)
    record("login.done", actor=admin, subject=admin)
    browser = Client()
    browser.force_login(operator)
    seen = browser.get("/api/v1/audit").json()["results"]
    assert "login.done" in [entry["what"] for entry in seen]
    assert not {"contact.added", "account.changed", "other.done"} & {entry["what"] for entry in seen}
    assert browser.get(f"/api/v1/accounts/{account.ref}/audit").status_code == 404
    assert asked(account, admin).status_code == 200
    assert Client().get("/api/v1/audit", **make.bearer(make.token(admin))).status_code == 403
