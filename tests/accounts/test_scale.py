"""A full portal: what is made, that an index serves every list and search, and that a deep page reads a page."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import selectors
from accounts.models import Account, Contact, Team
from accounts.scale import Size, copy_rows, seed
from portal.access import Permission, visible_to
from portal.audit.filters import filter_of
from portal.audit.models import AuditEntry
from portal.audit.selectors import entries_of_account
from portal.lists import ListAsked
from portal.paging import keyset
from tests import factories as make

pytestmark = pytest.mark.django_db


def nodes(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def plan_of(rows):
    """The plan of a queryset as carried out, node by node."""
    sql, params = rows.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + sql, params)
        (held,) = cursor.fetchone()
    found = json.loads(held) if isinstance(held, str) else held
    return list(nodes(found[0]["Plan"]))


def indexes_in(plan):
    return {node["Index Name"] for node in plan if "Index Name" in node}


def rows_read(plan, table):
    """Rows that were fetched from a table, those thrown away included."""
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in plan
        if node.get("Relation Name") == table
    )


@pytest.fixture
def full():
    return seed(Size(accounts=2_000, contacts=20_000, audit=30_000), seed=3)


def test_as_many_rows_are_made_as_were_asked_for_and_the_same_ones_again(full):
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


def test_what_is_made_keeps_the_models_own_rules(full):
    for model in (Account, Contact):
        for row in model.objects.order_by("?")[:25]:
            row.full_clean()
    assert AuditEntry.objects.exclude(account_ref__in=Account.objects.values("ref")).count() == 0


def test_entries_that_were_copied_wait_for_their_seal(full):
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit_unsealed")
        assert cursor.fetchone() == (30_000,)


def test_a_search_among_contacts_is_served_by_the_trigram_index(full):
    for text in ("person1234@", "schröder 1", "4930000123"):
        plan = plan_of(selectors.contacts_found(full.manager, text))
        assert "contact_search" in indexes_in(plan), text
        assert rows_read(plan, "accounts_contact") < 3_000, text


def test_a_search_among_accounts_is_served_by_the_index_of_each_table(full):
    asked = ListAsked("9001234", {}, "name")
    rows = selectors.narrowed(selectors.accounts_seen(full.manager), asked, viewer=full.manager)
    with connection.cursor() as cursor:
        # 2,000 accounts are read as fast as they are looked up: that they can be is what is asked.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_indexscan = off")
    plan = plan_of(rows.order_by("name", "pk")[:26])
    assert {"account_search", "contact_search"} <= indexes_in(plan)
    assert rows_read(plan, "accounts_contact") < 3_000


def deep(rows, order, skip, asked):
    """The query of the page `skip` rows down."""
    cursor, left = "", skip
    while left:
        page = keyset(rows, {**asked, "limit": str(min(200, left)), "cursor": cursor}, order=order)
        cursor, left = page.next_cursor, left - len(page.rows)
    with CaptureQueriesContext(connection) as seen:
        keyset(rows, {**asked, "limit": "25", "cursor": cursor}, order=order)
    (query,) = [one["sql"] for one in seen]
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + query)
        (held,) = cursor.fetchone()
    return list(nodes((json.loads(held) if isinstance(held, str) else held)[0]["Plan"]))


def test_a_deep_page_of_contacts_reads_about_a_page_of_rows(full):
    served_by = {
        "escalation_order": "contact_order",
        "-escalation_order": "contact_order",
        "name": "contact_name",
        "-name": "contact_name",
        "confirmed_on": "contact_freshness",
    }
    for order, index in served_by.items():
        plan = deep(Contact.objects.filter(account=full.largest), order, 3_000, {})
        assert index in indexes_in(plan), order
        assert rows_read(plan, "accounts_contact") <= 27, order


def test_a_deep_page_of_the_audit_reads_about_a_page_of_rows(full):
    plan = deep(entries_of_account(full.largest, frozenset()), "-id", 1_200, {})
    assert "audit_account_narrowed" in indexes_in(plan)
    assert rows_read(plan, "audit_auditentry") <= 27


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
        rows = filter_of(wanted).rows(entries_of_account(full.largest, frozenset()))
        with CaptureQueriesContext(connection) as seen:
            assert keyset(rows, {}, order="-id", late=True).rows == []
        (query,) = [one["sql"] for one in seen]
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + query)
            (held,) = cursor.fetchone()
        plan = list(nodes((json.loads(held) if isinstance(held, str) else held)[0]["Plan"]))
        looked = [node for node in plan if node.get("Relation Name") == "audit_auditentry"]
        by_index = [node for node in looked if node["Node Type"] == "Index Only Scan"]
        assert [node["Index Name"] for node in by_index] == ["audit_account_narrowed"], wanted
        assert by_index[0]["Heap Fetches"] == 0, wanted
        assert all(node["Actual Loops"] == 0 for node in looked if node not in by_index), wanted


def test_the_same_entries_are_found_late_or_not(full):
    rows = filter_of({"what": "contact"}).rows(entries_of_account(full.largest, frozenset()))
    cursor, pages = "", 0
    while pages < 3:
        asked = {"limit": "7", "cursor": cursor}
        late, plain = (keyset(rows, asked, order="-id", late=late) for late in (True, False))
        assert late.rows == plain.rows
        assert len(late.rows) == 7
        cursor, pages = late.next_cursor, pages + 1
    back = {"limit": "7", "cursor": late.previous_cursor}
    assert keyset(rows, back, order="-id", late=True).rows == keyset(rows, back, order="-id").rows


def test_a_deep_page_of_accounts_reads_few_rows_that_it_does_not_show(full):
    plan = deep(selectors.accounts_seen(full.manager), "name", 1_200, {})
    assert "account_name" in indexes_in(plan)
    # Every tenth account is another team's: read and left out.
    assert rows_read(plan, "accounts_account") <= 27 * 1.5


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
