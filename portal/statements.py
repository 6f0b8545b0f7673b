"""Statements that are sent to the database in one go: each trip there takes longer than most statements do.

    statements = Statements()
    statements.add("UPDATE … SET a = %s WHERE id = %s", [1, 2])
    statements.add("INSERT INTO … VALUES (%s)", [3])
    statements.send()

They are run one after the other in the transaction in hand, and what one of them raises is raised by `send`. Values are bound
by psycopg's client-side cursors, Django's default: a server-side one takes one statement at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection


class Statements:
    """Statements that wait to be sent. What they answer is not read."""

    def __init__(self) -> None:
        self._statements: list[str] = []
        self._values: list[Any] = []

    def add(self, sql: str, values: Sequence[Any]) -> None:
        """Have a statement, with `%s` for each of its values, sent after those that wait."""
        self._statements.append(sql)
        self._values.extend(values)

    def send(self) -> None:
        """Send what waits. Raises django.db.Error as one statement would; those before it are then undone with it."""
        if not self._statements:
            return
        sql, values = ";\n".join(self._statements), self._values
        self._statements, self._values = [], []
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
