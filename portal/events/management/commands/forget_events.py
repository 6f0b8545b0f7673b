"""`manage.py forget_events --days N`: delete old events from the outbox."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from portal.events.relay import forget


class Command(BaseCommand):
    """Keeps the outbox small. Readers that were away for longer are told that they missed something."""

    help = "Delete events that are older than --days (90)."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the age."""
        parser.add_argument("--days", type=int, default=90)

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete and say how many."""
        if options["days"] < 1:
            raise CommandError("--days is 1 or more: webhooks and streams still read the newest events.")
        gone = forget(timezone.now() - timedelta(days=options["days"]))
        self.stdout.write(f"{gone} events forgotten")
