"""The operator's page of what is on record and belongs to no account."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from portal.audit.models import AuditEntry
from portal.audit.services import record
from tests import factories as make

pytestmark = pytest.mark.django_db
PAGE = "/installation/record/"


@pytest.fixture
def operator():
    return make.user("Otto Operator", is_operator=True)


def entries(operator, count, account=None):
    for _ in range(count):
        record("user.changed", actor=operator, subject=operator, account=account, after={"name": "Otto"})


def test_it_shows_what_belongs_to_no_account_and_nothing_of_any(operator):
    account = make.account("Lindgren Outdoor")
    entries(operator, 1)
    record("account.changed", account=account, subject=account, after={"milestone": 3})
    page = make.log_in(operator).get(PAGE).content.decode()
    assert "Own settings changed" in page or "Otto" in page
    assert "Lindgren" not in page


def test_it_is_narrowed_by_what_stands_in_the_address(operator):
    entries(operator, 2)
    record("team.member", actor=operator, subject=make.team("North"))
    rows = make.log_in(operator).get(PAGE, {"what": "team"}).context["page"].rows
    assert [row.what for row in rows] == ["team.member"]


def test_it_asks_as_much_for_many_entries_as_for_few(operator):
    browser = make.log_in(operator)
    taken = []
    for _ in range(2):
        entries(operator, 10)
        browser.get(PAGE)
        with CaptureQueriesContext(connection) as queries:
            assert browser.get(PAGE).status_code == 200
        taken.append(len(queries))
    assert taken[0] == taken[1]


def test_an_operator_finds_it_in_the_bar_and_nobody_else_does(operator):
    assert PAGE in make.log_in(operator).get("/").content.decode()
    manager = make.launch_manager(make.team())
    assert PAGE not in make.log_in(manager).get("/").content.decode()
    assert make.log_in(manager).get(PAGE).status_code == 403


def test_the_download_takes_a_reason_that_stays_on_record(operator):
    browser = make.log_in(operator)
    assert browser.post(f"{PAGE}download/", {"reason": " "}).status_code == 422
    answer = browser.post(f"{PAGE}download/", {"reason": "Yearly review", "what": "login"})
    assert answer.status_code == 200
    assert answer["Content-Disposition"] == 'attachment; filename="audit-installation.csv"'
    entry = AuditEntry.objects.get(what="audit.exported")
    assert (entry.reason, entry.account_ref) == ("Yearly review", None)
