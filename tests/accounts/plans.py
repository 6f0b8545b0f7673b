"""How PostgreSQL carried out a query, for tests that ask which index serves it and how many rows it reads."""

from __future__ import annotations

import json

from django.db import connection

from accounts.scale import Size

FULL = Size(accounts=2_000, contacts=20_000, audit=30_000)
"""As many rows as it takes until PostgreSQL prefers the indexes."""


def nodes(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def carried_out(sql, params=None):
    """The plan of a query as carried out, node by node."""
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + sql, params)
        (held,) = cursor.fetchone()
    found = json.loads(held) if isinstance(held, str) else held
    return list(nodes(found[0]["Plan"]))


def plan_of(rows):
    """The plan of a queryset as carried out."""
    return carried_out(*rows.query.sql_with_params())


def indexes_in(plan):
    return {node["Index Name"] for node in plan if "Index Name" in node}


def rows_read(plan, table):
    """Rows that were fetched from a table, those thrown away included."""
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in plan
        if node.get("Relation Name") == table
    )
