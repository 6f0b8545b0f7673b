"""Statements that PostgreSQL plans once for a connection: of a short one that is asked all the time, planning is most of the work.

    with preparing(), connection.cursor() as cursor:
        cursor.execute("SELECT … WHERE id = %s", [1])

Values are bound by the server, so one statement at a time (`portal.statements` sends several), with values whose types it
can tell. psycopg prepares what it was given a few times (`prepare_threshold`); what is answered is as fresh as ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection
from django.db.backends.postgresql.base import ServerBindingCursor


class _Cursor(ServerBindingCursor):
    """Django's, which tells what it asked: Django reads that where queries are counted or logged, and psycopg keeps it only of
    statements that the client binds.
    """

    def _convert_query(self, query: Any, params: Any = None) -> Any:
        self._query = super()._convert_query(query, params)  # type: ignore[misc]  # psycopg's, which the stubs do not show
        return self._query


@contextmanager
def preparing() -> Iterator[None]:
    """Have what is asked in this block prepared."""
    connection.ensure_connection()
    raw: Any = connection.connection
    # Django makes its cursors with this, and has no way of its own to choose for one of them.
    factory, raw.cursor_factory = raw.cursor_factory, _Cursor
    try:
        yield
    finally:
        raw.cursor_factory = factory
