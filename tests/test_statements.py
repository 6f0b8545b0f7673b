"""Statements that are sent in one go: in their order, all of them or none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from portal.statements import Statements

pytestmark = pytest.mark.django_db

PUT = "INSERT INTO place (name, seats) VALUES (%s, %s)"


@pytest.fixture(autouse=True)
def _places():
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE place (name text PRIMARY KEY, seats int, at timestamptz)")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE place")


def places():
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, seats FROM place ORDER BY name")
        return cursor.fetchall()


def test_they_are_one_trip_and_run_one_after_the_other():
    statements = Statements()
    statements.add(PUT, ["hall", 2])
    statements.add("UPDATE place SET seats = seats * 10 WHERE name = %s", ["hall"])
    statements.add(PUT, ["100%; DROP TABLE place; --", 1])
    assert places() == []
    with CaptureQueriesContext(connection) as trips:
        statements.send()
    assert len(trips) == 1
    assert places() == [("100%; DROP TABLE place; --", 1), ("hall", 20)]


def test_what_was_sent_is_not_sent_again_and_nothing_is_no_trip():
    statements = Statements()
    statements.add(PUT, ["hall", 2])
    statements.send()
    with CaptureQueriesContext(connection) as trips:
        statements.send()
    assert len(trips) == 0
    statements.add(PUT, ["attic", None])
    statements.send()
    assert places() == [("attic", None), ("hall", 2)]


def test_what_one_of_them_raises_is_raised_and_those_before_it_are_undone():
    statements = Statements()
    statements.add(PUT, ["hall", 2])
    statements.add(PUT, ["hall", 3])
    statements.add(PUT, ["attic", 4])
    with pytest.raises(IntegrityError), transaction.atomic():
        statements.send()
    assert places() == []


def test_values_are_of_all_kinds_that_a_statement_takes():
    at = datetime(2026, 11, 30, 8, 0, tzinfo=UTC)
    statements = Statements()
    statements.add("INSERT INTO place (name, at) SELECT unnest(%s::text[]), %s", [["a", "b"], at])
    statements.add(PUT, ['it\'s \\ "quoted"', 1])
    statements.send()
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, at FROM place ORDER BY name")
        assert cursor.fetchall() == [("a", at), ("b", at), ('it\'s \\ "quoted"', None)]
