"""Lists as files: whole, in the list's order, safe to open, and personal data only with a reason."""

from __future__ import annotations

import asyncio
import csv
from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Account, Contact
from portal.audit.models import AuditEntry
from portal.csvfile import attachment, cell, csv_response, lines
from tests import factories as make


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        ("plain", "plain"),
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+46701234567", "+46701234567"),
        ("-5", "-5"),
        ("+46|cmd", "'+46|cmd"),
        ("-2+3", "'-2+3"),
        ("\t=1", "'\t=1"),
        ("  =1", "'  =1"),
        ('"=1', "'\"=1"),
        ("'=1", "''=1"),
        (["primary", "billing"], "primary, billing"),
        (["=x"], "'=x"),
        (True, "yes"),
        (date(2026, 11, 23), "2026-11-23"),
        (datetime(2026, 11, 23, 12, 30, tzinfo=UTC), "2026-11-23T12:30:00Z"),
        (3, "3"),
        (-1e-05, "-1e-05"),
        (-2e20, "-2e+20"),
        (Decimal("-1E+3"), "-1E+3"),
        ("-1e-05", "'-1e-05"),
    ],
)
def test_a_value_becomes_a_cell_that_runs_nothing(value, shown):
    assert cell(value) == shown


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(st.lists(st.text("=+-@\t\r\n\"' ,;1.aé\x00", max_size=6), min_size=2, max_size=4), max_size=5)
)
def test_what_is_written_is_read_again_and_no_cell_is_a_formula(rows):
    written = lines(rows)
    assert written.count(b"\r\n") >= len(rows)
    read = list(csv.reader(StringIO(written.decode(), newline="")))
    assert read == [[cell(value) for value in row] for row in rows]
    for row in read:
        for value in row:
            assert value[:1] not in {"=", "@", "\t", "\r", "\n"}
            assert value[:1] not in {"+", "-"} or value[1:].replace(".", "", 1).isdigit()


def content(response) -> list[list[str]]:
    async def read():
        return b"".join([chunk async for chunk in response.streaming_content])

    return list(csv.reader(StringIO(asyncio.run(read()).decode())))


@pytest.mark.django_db(transaction=True)
def test_a_file_holds_every_page_of_the_list_in_its_order():
    account = make.account()
    Contact.objects.bulk_create(
        Contact(account=account, name=f"Ada {number:04}", email="a@b.example", escalation_order=1)
        for number in range(450)
    )
    response = csv_response(
        "contacts",
        ("name",),
        lambda row: (row.name,),
        Contact.objects.all(),
        order="-name",
        may_read_on=lambda: True,
    )
    rows = content(response)
    assert rows[0] == ["name"]
    assert [row[0] for row in rows[1:]] == [f"Ada {number:04}" for number in reversed(range(450))]


@pytest.fixture
def account(transactional_db):
    account = make.account("Lindgren Outdoor")
    make.contact(account, "=HYPERLINK(1)", notes="line\nbreak, and comma")
    return account


def browser_of(user):
    browser = Client()
    browser.force_login(user)
    return browser


def test_accounts_are_given_as_the_list_shows_them(account):
    make.account("Another", of=account.team, status="archived")
    make.account("Not theirs")
    browser = browser_of(make.launch_manager(account.team))
    response = browser.get(reverse("accounts:account-list-csv"))
    assert response["Content-Type"].startswith("text/csv")
    assert response["Content-Disposition"].startswith('attachment; filename="accounts-')
    assert [row[1] for row in content(response)] == ["name", "Lindgren Outdoor"]
    everything = content(
        browser.get(reverse("accounts:account-list-csv"), {"status": "all", "order": "-name"})
    )
    assert [row[1] for row in everything] == ["name", "Lindgren Outdoor", "Another"]


def test_contacts_are_exported_with_a_reason_and_on_record(account):
    browser = browser_of(make.launch_manager(account.team, "Jonas Berg"))
    url = reverse("accounts:contact-list-csv", args=[account.ref])
    refused = browser.post(url, {"reason": "  "})
    assert refused.status_code == 422
    assert "Say what the file is for" in refused.content.decode()
    assert not AuditEntry.objects.filter(what="contacts.exported").exists()
    response = browser.post(f"{url}?role=primary&q=hyperlink", {"reason": "a new address book"})
    header, row = content(response)
    assert row[header.index("name")] == "'=HYPERLINK(1)"
    assert row[header.index("phone")] == "+46701234567"
    assert row[header.index("notes")] == "line\nbreak, and comma"
    entry = AuditEntry.objects.get(what="contacts.exported")
    assert (entry.reason, entry.actor_name, entry.account_ref) == (
        "a new address book",
        "Jonas Berg",
        account.ref,
    )
    assert entry.after == {"count": 1, "format": "csv", "filters": {"role": "primary"}, "is_searched": True}


def test_an_export_asks_first_and_says_how_many(account):
    page = browser_of(make.member(account, "admin")).get(
        reverse("accounts:contact-list-csv", args=[account.ref]), {"role": "primary"}
    )
    assert "phone numbers of 1 person." in page.content.decode()
    assert "role=primary" in page.content.decode()


def test_who_may_not_export_is_refused_and_gets_no_file(account):
    url = reverse("accounts:contact-list-csv", args=[account.ref])
    assert browser_of(make.member(account, "approver")).post(url, {"reason": "x"}).status_code == 403
    assert browser_of(make.member(make.account(), "admin")).post(url, {"reason": "x"}).status_code == 404
    assert Account.objects.count() == 2


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("requests_per_s-2026-11-28-hour.csv", 'filename="requests_per_s-2026-11-28-hour.csv"'),
        (
            "e6_<script>alert(1)</script>.csv",
            "filename=\"e6_-script-alert-1-script-.csv\"; filename*=UTF-8''e6_-script-alert%281%29-script-.csv",
        ),
        ("Größe.csv", "filename=\"Groe.csv\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe.csv"),
        ("注文.csv", "filename=\"file.csv\"; filename*=UTF-8''%E6%B3%A8%E6%96%87.csv"),
        (
            'a"; filename="evil.exe',
            "filename=\"a-filename-evil.exe\"; filename*=UTF-8''a-%3B%20filename%3D-evil.exe",
        ),
        ("../../etc/passwd", 'filename="etc-passwd"'),
        ("", 'filename="file"'),
    ],
)
def test_whatever_stands_in_the_name_of_a_download_its_header_is_plain(name, header):
    assert attachment(name) == f"attachment; {header}"


@given(st.text())
def test_no_name_of_a_download_breaks_out_of_its_header_or_its_directory(name):
    header = attachment(name)
    assert header.isascii()
    assert header.isprintable()
    plain = header.split('"')[1]
    assert plain
    assert not set(plain) & set("/\\<>|:*?%;")
    assert header.count('"') == 2
