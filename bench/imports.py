"""Taking in 10,000 contacts from a file: reading, the preview, taking in, an update of all; beside plain `csv` and `bulk_create`.

The peer reads the same rows with the standard library and writes bare rows: no check, no audit, no events, no preview.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from io import StringIO
from typing import Any

from bench.child import in_child

ROWS = int(os.environ.get("BENCH_IMPORT", "10000"))


def imports(say: Callable[[str], None]) -> dict[str, float]:
    """Return the figures, in seconds. BENCH_IMPORT says how many rows."""
    return in_child("bench.imports", say)


def _file(number: int) -> str:
    lines = ["external_id,name,email,phone,role,priority,timezone,language,organization,notes"]
    lines += [
        f"hr-{n},Person {n},person{n}@lindgren.example,+467{number:02}{n:07},emergency;technical,{n % 9 + 1},"
        f"Europe/Stockholm,sv,Lindgren Outdoor,knows the shop"
        for n in range(ROWS)
    ]
    return "\r\n".join([*lines, ""])


def measure() -> dict[str, float]:
    """Measure on the database at hand, which must be empty."""
    from accounts.contact_files import services
    from accounts.contact_files.reading import read_text
    from accounts.models import Contact, Team, User
    from accounts.services import open_account

    user = User.objects.create_user("bench@lindgren.example", name="Bench")
    account = open_account(team=Team.objects.create(name="Bench"), name="Lindgren", number="1")
    figures: dict[str, float] = {"import_rows": float(ROWS)}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        found = work()
        figures[f"import_{name}_s"] = round(time.perf_counter() - began, 2)
        return found

    timed("read", lambda: read_text(_file(1)))
    for name, number in (("add", 1), ("change", 2)):
        began = time.perf_counter()
        held = services.begin_import(account, _file(number), actor=user)
        preview = timed(f"{name}_preview", partial(services.preview_of, held))
        done = services.take_in(held, digest=preview.digest, actor=user)
        figures[f"import_{name}_s"] = round(time.perf_counter() - began, 2)
        figures[f"import_{name}_rows"] = float(done.added + done.changed)

    def peer() -> None:
        other = open_account(team=account.team, name="Peer", number="2")
        rows = csv.DictReader(StringIO(_file(3)))
        Contact.objects.bulk_create(
            [
                Contact(
                    account=other,
                    external_id=row["external_id"],
                    name=row["name"],
                    email=row["email"],
                    phone=row["phone"],
                    roles=row["role"].split(";"),
                    escalation_order=int(row["priority"]),
                )
                for row in rows
            ],
            batch_size=1000,
        )

    timed("peer_bulk", peer)
    figures["import_add_over_peer"] = round(figures["import_add_s"] / figures["import_peer_bulk_s"], 1)
    return figures


def main() -> int:
    """Migrate and measure; the last line is JSON."""
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0, stdout=sys.stderr)
    print(json.dumps(measure()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
