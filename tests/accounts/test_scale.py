"""A full portal: what is made, how it is made, and the command; tests/accounts/test_full_portal.py looks at one."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Account, Contact, Team
from accounts.scale import Size, copy_rows, seed
from portal.access import Permission, visible_to
from portal.audit.filters import filter_of
from portal.audit.models import AuditEntry
from portal.audit.selectors import entries_of_account
from portal.paging import keyset
from tests import factories as make
from tests.accounts.plans import FULL, carried_out

pytestmark = pytest.mark.django_db


def test_as_many_rows_are_made_as_were_asked_for_and_the_same_ones_again():
    full = seed(FULL, seed=3)
    counts = (Account.objects.count(), Contact.objects.count(), AuditEntry.objects.count())
    assert counts == (2_000, 20_000, 30_000)
    assert visible_to(full.manager, Account, Permission.ACCOUNT_VIEW).count() == 1_800
    assert visible_to(full.viewer, Account).get() == full.largest
    assert Contact.objects.filter(account=full.largest).count() >= 5_000
    first = list(Contact.objects.order_by("pk").values_list("name", "email", "phone")[:50])
    Account.objects.all().delete()
    Team.objects.all().delete()
    full.manager.delete()
    full.viewer.delete()
    seed(Size(accounts=2_000, contacts=100, audit=0), seed=3)
    again = list(Contact.objects.order_by("pk").values_list("name", "email", "phone")[:50])
    assert [row[0] for row in first] == [row[0] for row in again]


def indexes_of(model):
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename = %s", [model._meta.db_table])
        return {definition for (definition,) in cursor.fetchall()}


def test_every_index_is_there_again_once_the_rows_are():
    before = {model: indexes_of(model) for model in (Account, Contact, AuditEntry)}
    assert any("gin_trgm_ops" in one for one in before[Contact])
    seed(Size(accounts=10, contacts=200, audit=100), seed=3)
    assert {model: indexes_of(model) for model in before} == before


@pytest.mark.django_db(transaction=True)
def test_entries_that_are_rare_are_looked_for_in_the_index_alone():
    full = seed(Size(accounts=20, contacts=20, audit=40_000), seed=3)
    with connection.cursor() as cursor:
        # Where few rows are dead, as other tests leave some, VACUUM would leave them in the index and their page unseen.
        cursor.execute("VACUUM (ANALYZE, INDEX_CLEANUP ON) audit_auditentry")
    for wanted in (
        {"what": "contact.erased"},
        {"q": "nothing like it"},
        {"from": "2001-01-01", "to": "2001-01-02"},
    ):
        rows = filter_of(wanted).rows(entries_of_account(full.viewer, full.largest, frozenset()))
        with CaptureQueriesContext(connection) as seen:
            assert keyset(rows, {}, order="-id", late=True).rows == []
        (query,) = [one["sql"] for one in seen]
        plan = carried_out(query)
        looked = [node for node in plan if node.get("Relation Name") == "audit_auditentry"]
        by_index = [node for node in looked if node["Node Type"] == "Index Only Scan"]
        assert [node["Index Name"] for node in by_index] == ["audit_account_narrowed"], wanted
        assert by_index[0]["Heap Fetches"] == 0, wanted
        assert all(node["Actual Loops"] == 0 for node in looked if node not in by_index), wanted


# --- the command --------------------------------------------------------------------------------------------


def run(**options):
    out = StringIO()
    call_command("seed_scale", stdout=out, stderr=StringIO(), **options)
    return json.loads(out.getvalue().splitlines()[-1])


def test_the_command_fills_a_desk_once_and_says_what_it_made():
    make.account("Somebody's")
    said = run(accounts=3, contacts=20, audit=10)
    assert (said["accounts"], said["contacts"], said["audit"]) == (3, 20, 10)
    browser = Client()
    assert browser.login(username="scale.manager@scale.example", password="steady-as-she-goes")
    with pytest.raises(CommandError, match="there already"):
        run(accounts=3, contacts=20, audit=10)


def test_a_real_portal_is_not_filled_unless_it_is_said_so(settings):
    settings.DESK_MODE = False
    make.account("A real customer")
    with pytest.raises(CommandError, match="Nothing was added"):
        run(accounts=3, contacts=20, audit=10)
    assert Account.objects.count() == 1
    run(accounts=3, contacts=20, audit=10, yes=True)
    assert not Client().login(username="scale.manager@scale.example", password="steady-as-she-goes")


def test_a_field_that_there_is_not_is_named():
    with pytest.raises(ValueError, match="colour"):
        copy_rows(Account, [{"name": "x", "colour": "red"}])
