"""Statements that PostgreSQL plans once for a connection: of a short one that is asked all the time, planning is most of the work.

    with preparing(), connection.cursor() as cursor:
        cursor.execute("SELECT … WHERE id = %s", [1])

Values are bound by the server, so one statement at a time (`portal.statements` sends several), with values whose types it
can tell. What is answered is as fresh as ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import DatabaseError, OperationalError, connection
from django.db.backends.postgresql.base import ServerBindingCursor

PREPARED_AFTER = 5
"""So often a statement is planned anew before it is kept (psycopg's `prepare_threshold`)."""
_OUT_OF_DATE = (psycopg.errors.FeatureNotSupported, psycopg.errors.InvalidSqlStatementName)
"""What PostgreSQL, or a pooler before it, says of a kept statement whose columns have changed, or that it does not know."""


class _Cursor(ServerBindingCursor):
    """Django's, which tells what it asked: Django reads that where queries are counted or logged, and psycopg keeps it only of
    statements that the client binds.
    """

    def _convert_query(self, query: Any, params: Any = None) -> Any:
        self._query = super()._convert_query(query, params)  # type: ignore[misc]  # psycopg's, which the stubs do not show
        return self._query


@contextmanager
def preparing() -> Iterator[None]:
    """Have what is asked in this block prepared.

    Raises OperationalError, as of a connection that was lost, where what was kept is out of date: a migration changed the type of
    a column meanwhile. The connection is closed then, and the next one plans anew.
    """
    connection.ensure_connection()
    raw: Any = connection.connection
    # Django makes its cursors with this, and has no way of its own to choose for one of them.
    factory, raw.cursor_factory = raw.cursor_factory, _Cursor
    threshold, raw.prepare_threshold = raw.prepare_threshold, PREPARED_AFTER
    try:
        yield
    except DatabaseError as error:
        if not isinstance(error.__cause__, _OUT_OF_DATE):
            raise
        raw.close()
        raise OperationalError(f"What was prepared is out of date: {error}") from error
    finally:
        raw.cursor_factory, raw.prepare_threshold = factory, threshold
