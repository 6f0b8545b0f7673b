"""Take in samples of an account's metrics from a CSV file.

    manage.py import_samples FILE --account 100042 [--source grafana] [--keep good]

The first line names the columns: name, at, value, and where you like resource, unit, kind, source. A file that ends in
.gz is unpacked; - is the standard input. All of it is taken in or, unless `--keep good` is given, nothing is.
"""

from __future__ import annotations

import gzip
import io
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts.management.commands.create_user import account_named
from capacity.metrics.reading import read_csv
from capacity.metrics.services import SamplesRefused, Taken, limits_at, take_in
from portal.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO


@contextmanager
def _opened(name: str) -> Iterator[IO[str]]:
    if name == "-":
        yield io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8", newline="")
        return
    opener: Any = gzip.open if name.endswith(".gz") else open
    with opener(Path(name), "rt", encoding="utf-8", newline="") as file:
        yield file


class Command(BaseCommand):
    """Take in samples; what is wrong is told by line."""

    help = "Take in samples of an account's metrics from a CSV file (name, at, value; resource, unit, kind, source)."

    def add_arguments(self, parser: CommandParser) -> None:
        """The file, the account, and what becomes of good lines beside wrong ones."""
        parser.add_argument("file", metavar="FILE", help="CSV, also as .gz; - for stdin")
        parser.add_argument("--account", required=True, help="public reference or number of the account")
        parser.add_argument("--source", default="file", help="of lines that name none (file)")
        parser.add_argument(
            "--keep",
            choices=("none", "good"),
            default="none",
            help="what is kept where lines are wrong (none)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Read and keep, in one transaction."""
        try:
            account = account_named(options["account"])
            with _opened(options["file"]) as file:
                rows = read_csv(file, limits_at(timezone.now(), options["source"]))
                taken = take_in(account, rows, keep_good=options["keep"] == "good", actor=None)
        except SamplesRefused as refusal:
            self._tell(refusal.taken)
            raise CommandError(refusal.says) from refusal
        except Refused as refusal:
            raise CommandError(refusal.says) from refusal
        except (OSError, EOFError, UnicodeDecodeError) as problem:
            raise CommandError(f"{options['file']} could not be read: {problem}") from problem
        self._tell(taken)
        self.stdout.write(
            f"{taken.good:,} samples read, {taken.written:,} of them new or changed; "
            f"{taken.metrics_added:,} metrics begun; {taken.wrong:,} lines wrong."
        )

    def _tell(self, taken: Taken) -> None:
        for problem in taken.problems:
            self.stderr.write(f"line {problem.line}: {problem.says}")
        if taken.wrong > len(taken.problems):
            self.stderr.write(f"and {taken.wrong - len(taken.problems):,} more lines")
