"""Fill a desk with as many accounts, contacts and audit entries as the portal is built for."""

from __future__ import annotations

import json
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from accounts.management.commands.load_demo import DESK_PASSWORD
from accounts.models import Account
from accounts.scale import Size, is_seeded, seed


class Command(BaseCommand):
    """Make the rows and print who sees them; the last line is JSON."""

    help = (
        "Fill the database with made-up accounts, contacts and audit entries, to see how it behaves in size."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """How many of each, and whether a database with other accounts may be filled."""
        usual = Size()
        parser.add_argument("--accounts", type=int, default=usual.accounts)
        parser.add_argument("--contacts", type=int, default=usual.contacts)
        parser.add_argument("--audit", type=int, default=usual.audit)
        parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same rows")
        parser.add_argument("--yes", action="store_true", help="also where real accounts are")

    def handle(self, *args: Any, **options: Any) -> None:
        """Refuse where it could do harm, else fill."""
        if min(options["accounts"], options["contacts"], options["audit"] + 1) < 1:
            raise CommandError("At least one account and one contact are needed.")
        if is_seeded():
            raise CommandError("The made-up accounts are there already. Nothing was added.")
        if not settings.DESK_MODE and not options["yes"] and Account.objects.exists():
            raise CommandError(
                "This database has accounts, and what is added here can hardly be told from them or be removed. "
                "Nothing was added. With --yes it is."
            )
        began = time.monotonic()
        # The password is known to everybody: outside of a desk nobody can log in as the people made.
        password = DESK_PASSWORD if settings.DESK_MODE else None
        size = Size(options["accounts"], options["contacts"], options["audit"])
        made = seed(size, seed=options["seed"], password=password)
        if not connection.in_atomic_block:
            with connection.cursor() as cursor:
                # What counts from an index alone needs to know which pages hold settled rows.
                for table in ("accounts_account", "accounts_contact", "audit_auditentry"):
                    cursor.execute(f"VACUUM (ANALYZE) {table}")
        took = time.monotonic() - began
        self.stderr.write(f"Seen by {made.manager.email} (launch manager) and {made.viewer.email} (viewer).")
        self.stderr.write(f"The account with long lists: {made.largest.name}, {made.largest.ref}")
        self.stdout.write(
            json.dumps({**made.rows, "took_s": round(took, 1), "largest": str(made.largest.ref)})
        )
