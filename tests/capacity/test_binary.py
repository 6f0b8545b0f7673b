"""Many rows as numpy columns, to the database and back."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity.metrics import binary
from capacity.metrics.binary import PG_EPOCH_US, copy_in, copy_out

pytestmark = pytest.mark.django_db

KINDS = {"pk": "bigint", "count": "integer", "at": "timestamptz", "value": "double precision"}
whole = st.integers(-(2**63), 2**63 - 1)
moment = st.integers(-(10**15), 10**15)
row = st.tuples(whole, st.integers(-(2**31), 2**31 - 1), moment, st.floats(allow_nan=False))


def kept(rows):
    """Write rows into a table of their own; return its name."""
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS kept")
        cursor.execute(
            "CREATE TEMPORARY TABLE kept"
            " (place serial, pk bigint, count integer, at timestamptz, value double precision)"
        )
        pk, count, at, value = zip(*rows, strict=True) if rows else ((), (), (), ())
        columns = {
            "pk": np.array(pk, dtype="i8"),
            "count": np.array(count, dtype="i4"),
            "at": np.array(at, dtype="i8"),
            "value": np.array(value, dtype="f8"),
        }
        copy_in(cursor, "kept", columns)
    return columns


def read(query="SELECT * FROM kept ORDER BY place", *parameters):
    with connection.cursor() as cursor:
        return copy_out(cursor, query, parameters, KINDS)


@settings(max_examples=60, deadline=None)
@given(st.lists(row, max_size=40), st.integers(1, 9))
def test_rows_come_back_as_they_went_in_and_in_order_however_many_are_packed_together(rows, packed):
    given_columns = kept(rows)
    before, binary._PACKED = binary._PACKED, packed
    try:
        found = read()
    finally:
        binary._PACKED = before
    for name, values in given_columns.items():
        assert found[name].dtype == values.dtype
        assert found[name].tolist() == values.tolist()


def test_more_rows_than_are_packed_together_keep_the_order_of_the_query():
    many = 2 * binary._PACKED + 5
    kept([(n, n % 7, n, float(-n)) for n in range(many)])
    found = read("SELECT * FROM kept WHERE pk >= %s ORDER BY value", 3)
    assert found["pk"].tolist() == list(range(many - 1, 2, -1))


def test_moments_count_from_2000():
    kept([(1, 1, 0, 0.0), (2, 2, -PG_EPOCH_US, float("nan"))])
    with connection.cursor() as cursor:
        cursor.execute("SELECT at FROM kept ORDER BY place")
        assert [at for (at,) in cursor.fetchall()] == [
            datetime(2000, 1, 1, tzinfo=UTC),
            datetime(1970, 1, 1, tzinfo=UTC),
        ]
    assert np.isnan(read()["value"][1])


@pytest.mark.parametrize("rows", [1, 5])
def test_what_is_null_is_refused_and_no_row_is_left_out(rows):
    kept([(n, n, n, float(n)) for n in range(rows)])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE kept SET value = NULL WHERE pk = 0")
    with pytest.raises(ValueError, match="NULL"):
        read()
