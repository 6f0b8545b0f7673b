"""`manage.py forget_deliveries --days N`: delete old webhook messages and their tries."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from portal.webhooks.services import KEEP_FOR_DAYS, forget_deliveries


class Command(BaseCommand):
    """Keeps the log small. Messages that still wait are left; workers do the same once an hour."""

    help = f"Delete webhook messages that ended and are older than --days ({KEEP_FOR_DAYS})."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the age."""
        parser.add_argument("--days", type=int, default=KEEP_FOR_DAYS)

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete and say how many."""
        if options["days"] < 1:
            raise CommandError("--days is 1 or more: people still look at today's messages.")
        gone = forget_deliveries(timezone.now() - timedelta(days=options["days"]))
        self.stdout.write(f"{gone} messages forgotten")
