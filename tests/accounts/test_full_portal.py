"""An index serves every list and search of a full portal, and a deep page reads a page."""

from __future__ import annotations

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts import selectors
from accounts.models import Account, Contact
from accounts.scale import seed
from portal.audit.filters import filter_of
from portal.audit.models import AuditEntry
from portal.audit.selectors import entries_of_account
from portal.lists import ListAsked
from portal.paging import keyset
from tests.accounts.plans import FULL, carried_out, indexes_in, plan_of, rows_read

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def full(django_db_setup, django_db_blocker):
    """The rows for all of these tests: each looks, and what it changes goes away with its savepoint."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield seed(FULL, seed=3)
        transaction.set_rollback(True)


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
    return carried_out(query)


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
    with connection.cursor() as cursor:
        # Where reading at random is dear, an account with every twentieth entry is as well looked for along all of them.
        cursor.execute("SET LOCAL random_page_cost = 1.1")
    plan = deep(entries_of_account(full.viewer, full.largest, frozenset()), "-id", 1_200, {})
    assert "audit_account_narrowed" in indexes_in(plan)
    assert rows_read(plan, "audit_auditentry") <= 27


def test_the_same_entries_are_found_late_or_not(full):
    rows = filter_of({"what": "contact"}).rows(entries_of_account(full.viewer, full.largest, frozenset()))
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
