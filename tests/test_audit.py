"""The audit: append-only, secrets masked, refusals never lost."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.db import DatabaseError, connection, transaction
from redis.exceptions import RedisError

from portal.audit.facts import RequestFacts, set_facts
from portal.audit.models import AuditEntry
from portal.audit.services import MASK, record, record_flood, record_outside, snapshot
from tests import factories as make


@pytest.mark.django_db
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit_auditentry SET what = 'other'",
        "DELETE FROM audit_auditentry",
        "TRUNCATE audit_auditentry",
    ],
)
def test_the_database_refuses_to_change_what_is_on_record(sql):
    record("thing.changed")
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)
    assert AuditEntry.objects.get().what == "thing.changed"


@pytest.mark.django_db
def test_only_what_differs_is_kept():
    entry = record("x.changed", before={"a": 1, "b": 2}, after={"a": 1, "b": 3})
    assert (entry.before, entry.after) == ({"b": 2}, {"b": 3})


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["password", "api_key", "token", "client_secret", "Private_Key"])
def test_secrets_are_masked_by_the_name_of_their_field(name):
    entry = record("x.changed", after={name: "hunter2", "deep": {name: "hunter2"}})
    assert "hunter2" not in str(entry.after)
    assert entry.after[name] == MASK


@pytest.mark.django_db
def test_a_snapshot_holds_references_and_no_secret():
    account = make.account()
    row = make.connection(account)
    seen = snapshot(row)
    assert seen["api_key"] == MASK
    assert seen["name"] == row.name


@pytest.mark.django_db
def test_an_entry_outlives_what_it_speaks_of():
    account = make.account()
    contact = make.contact(account)
    entry = record("contact.removed", account=account, subject=contact)
    contact.delete()
    account.delete()
    entry = AuditEntry.objects.get(pk=entry.pk)
    assert (entry.account_name, entry.subject_label) == (str(account), "Maja Lindgren")


@pytest.mark.django_db(transaction=True)
def test_a_change_and_its_entry_fall_together():
    with pytest.raises(RuntimeError, match="undo"), transaction.atomic():
        record("x.changed")
        raise RuntimeError("undo")
    assert not AuditEntry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_refusal_cannot_be_recorded_where_a_rollback_would_lose_it():
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        record_outside("access.refused")
    record_outside("access.refused")
    assert AuditEntry.objects.count() == 1


@pytest.fixture
def asked_from(monkeypatch):
    yield lambda address: set_facts(RequestFacts(address=address))
    set_facts(RequestFacts())


@pytest.mark.django_db
def test_what_a_stranger_repeats_is_counted_and_written_once_a_minute(asked_from):
    cache.clear()
    asked_from("203.0.113.9")
    assert record_flood("token.refused", why="unknown", after={"why": "unknown"}) is not None
    assert [record_flood("token.refused", why="unknown") for _ in range(4)] == [None] * 4
    assert record_flood("token.refused", why="expired") is not None
    asked_from("203.0.113.10")
    assert record_flood("token.refused", why="unknown") is not None
    asked_from("203.0.113.9")
    cache.delete("audit-flood:token.refused:unknown:203.0.113.9:minute")
    entry = record_flood("token.refused", why="unknown", after={"why": "unknown"})
    assert entry.after == {"why": "unknown", "not_listed": 4}


@pytest.mark.django_db
def test_a_stranger_with_a_whole_ipv6_network_counts_as_one(asked_from):
    cache.clear()
    asked_from("2001:db8:1:2::1")
    assert record_flood("token.refused") is not None
    asked_from("2001:db8:1:2:ffff::9")
    assert record_flood("token.refused") is None


@pytest.mark.django_db
def test_with_the_cache_away_every_refusal_is_written(asked_from, monkeypatch):
    def away(*args, **kwargs):
        raise RedisError("away")

    monkeypatch.setattr(cache, "add", away)
    assert [record_flood("token.refused") is not None for _ in range(3)] == [True] * 3
