"""Switch a log-in on again from the shell; its old sessions and tokens stay ended.

manage.py activate_user maja@lindgren.example --by ops@team.example --reason "A new laptop."
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import members
from accounts.management.commands.deactivate_user import add_arguments, operator_named, user_named
from portal.errors import Refused


class Command(BaseCommand):
    """Switch a log-in on again."""

    help = "Switch a log-in on again, with the roles that it had."

    def add_arguments(self, parser: CommandParser) -> None:
        """Name the user, who does it and why."""
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Switch it on."""
        user, operator = user_named(options["email"]), operator_named(options["by"])
        try:
            members.activate_user(user, actor=operator, reason=options["reason"])
        except Refused as refusal:
            raise CommandError(refusal.says) from refusal
        self.stdout.write(f"{user.name} can log in again.")
