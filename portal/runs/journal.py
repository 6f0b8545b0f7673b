"""Writing a run's journal. Its `seq` is given by the row of the run, inside the writing transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from portal.runs.models import JournalEntry, Run
from portal.runs.types import Entry
from portal.runs.wake import publish_after_commit
from portal.statements import Statements


@dataclass(frozen=True)
class Author:
    """Who an entry is by: a user's id as text and the name shown, as a token. Both empty for the engine."""

    id: str = ""
    name: str = ""


ENGINE = Author()

_FIELDS = [field for field in JournalEntry._meta.concrete_fields if not field.primary_key]
_INSERT = "INSERT INTO runs_journalentry ({}) VALUES".format(
    ", ".join(f'"{field.column}"' for field in _FIELDS)
)


def database_now() -> datetime:
    """Return the database's clock, not the start of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        row: tuple[datetime] = cursor.fetchone()
    return row[0]


def write(
    run: Run,
    entries: Iterable[Entry],
    *,
    at: datetime,
    token: int | None = None,
    author: Author = ENGINE,
) -> list[JournalEntry]:
    """Append `entries` to the journal of `run` and return the rows. Raises nothing of its own.

    Must run in a transaction. The UPDATE locks the run's row, so numbers have neither gaps nor twins.
    Open live pages are told after the commit.
    """
    lines = list(entries)
    if lines:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE runs_run SET seq = seq + %s, updated_at = clock_timestamp() WHERE id = %s RETURNING seq",
                [len(lines), run.pk],
            )
            run.seq = cursor.fetchone()[0]
    return write_counted(run, lines, at=at, token=token, author=author)


def write_counted(
    run: Run,
    lines: Sequence[Entry],
    *,
    at: datetime,
    token: int | None = None,
    author: Author = ENGINE,
    statements: Statements | None = None,
) -> list[JournalEntry]:
    """As `write`, for a row that is locked, whose `seq` counts these lines already and is saved by the caller.

    With `statements` they are written when that is sent, and the rows that are returned have no key.
    """
    first = run.seq - len(lines) + 1
    rows = [
        JournalEntry(
            run=run,
            seq=first + offset,
            at=at,
            kind=entry.kind,
            subject=entry.subject,
            says=entry.says,
            customer_says=entry.customer_says,
            detail=dict(entry.detail),
            actor=author.id,
            actor_name=author.name,
            token=token,
        )
        for offset, entry in enumerate(lines)
    ]
    if rows and statements is None:
        JournalEntry.objects.bulk_create(rows)
    elif rows and statements is not None:
        row = f"({', '.join(['%s'] * len(_FIELDS))})"
        values = [
            field.get_db_prep_save(getattr(row, field.attname), connection)
            for row in rows
            for field in _FIELDS
        ]
        statements.add(f"{_INSERT} {', '.join([row] * len(rows))}", values)
    publish_after_commit(str(run.ref), run.seq)
    return rows
