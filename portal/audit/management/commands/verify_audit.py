"""`manage.py verify_audit`: prove that nothing in the audit was forged, removed, moved or cut off."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from portal.audit.sealer import Head
from portal.audit.verify import Problem, verify


class Command(BaseCommand):
    """Walk the whole chain. The last line is one JSON object; the exit status is 1 if anything is wrong."""

    help = (
        "Prove the audit: compute every seal afresh and name what was forged, removed, reordered or cut off."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the head to compare with and the file to keep the new one in."""
        parser.add_argument(
            "--head", metavar="FILE", help="a head kept elsewhere by --write-head: shows a cut-off end"
        )
        parser.add_argument("--write-head", metavar="FILE", help="keep the head in FILE if nothing is wrong")

    def handle(self, *args: Any, **options: Any) -> None:
        """Verify, say each problem, keep the head."""
        known = _read_head(options["head"]) if options["head"] else None
        began = time.monotonic()
        try:
            found = verify(known)
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        took = time.monotonic() - began
        for problem, sentences in found.listed.items():
            for sentence in sentences:
                self.stdout.write(f"{problem}: {sentence}")
            if found.counts[problem] > len(sentences):
                self.stdout.write(f"{problem}: {found.counts[problem]} in all")
        if found.ok and options["write_head"] and found.head is not None:
            _write_head(options["write_head"], found.head)
        self.stdout.write(
            json.dumps(
                {
                    "ok": found.ok,
                    "seals": found.seals,
                    "problems": {str(problem): found.counts.get(problem, 0) for problem in Problem},
                    "head": _plain(found.head) if found.head else None,
                    "compared_with_head": known.no if known else None,
                    "seconds": round(took, 3),
                    "rows_per_s": round(found.seals / took) if took > 0 else 0,
                }
            )
        )
        if not found.ok:
            raise SystemExit(1)


def _plain(head: Head) -> dict[str, Any]:
    return {"no": head.no, "entry": head.entry, "key_id": head.key_id, "mac": head.mac.hex()}


def _write_head(path: str, head: Head) -> None:
    # Whole or not at all: a half-written head would pass for tampering.
    fresh = Path(f"{path}.new")
    fresh.write_text(json.dumps(_plain(head)) + "\n")
    os.replace(fresh, path)


def _read_head(path: str) -> Head:
    """Return the head kept in a file: what `--write-head` wrote, or a log line `audit_head` as JSON."""
    try:
        held = json.loads(Path(path).read_text())
        return Head(int(held["no"]), int(held["entry"]), str(held["key_id"]), bytes.fromhex(held["mac"]))
    except OSError as error:
        raise CommandError(f"The head file cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(
            "The head file holds no head: it is one JSON object with no, entry, key_id and mac, as --write-head makes it."
        ) from error
