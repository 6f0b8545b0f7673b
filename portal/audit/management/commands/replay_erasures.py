"""`manage.py replay_erasures FILE`: after a backup was restored, erase again who was erased since."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from portal.audit.subjects import Subject, erase_subject


class Command(BaseCommand):
    """Can be run again. Run it before anybody logs in to a restored portal."""

    help = (
        "Erase every person on a list made by export_erasures: keys and live rows that a backup brought back."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the list."""
        parser.add_argument("file", metavar="FILE")

    def handle(self, *args: Any, **options: Any) -> None:
        """Read all of it first: a broken list erases nobody."""
        try:
            rows = [
                json.loads(line)
                for line in Path(options["file"]).read_text(encoding="utf-8").splitlines()
                if line.strip()
            ]
            wanted = [
                (
                    Subject(str(row["kind"]), UUID(row["ref"])),
                    str(row["by_ref"]),
                    datetime.fromisoformat(row["at"]),
                )
                for row in rows
            ]
        except OSError as error:
            raise CommandError(f"The list cannot be read: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise CommandError(
                "This is no list of erasures: one JSON object a line, as export_erasures prints."
            ) from error
        fresh = sum(erase_subject(subject, by_ref=by, at=at) for subject, by, at in wanted)
        self.stdout.write(f"{len(wanted)} persons erased, {fresh} of them new to this database")
