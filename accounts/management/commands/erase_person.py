"""`manage.py erase_person`: erase somebody who logs in, for good."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.erasure import erase_person
from accounts.management.commands.deactivate_user import operator_named, user_named
from portal.errors import Refused


class Command(BaseCommand):
    """What the person did stays on record; who it was cannot be read any more, by anybody."""

    help = "Erase a user: roles, tokens, name and mail address. It cannot be undone."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take who, by whom and why."""
        parser.add_argument("email")
        parser.add_argument("--by", required=True, metavar="MAIL", help="the operator who does it")
        parser.add_argument("--reason", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        """Erase."""
        actor = operator_named(options["by"])
        user = user_named(options["email"])
        try:
            erase_person(user, actor=actor, reason=options["reason"])
        except Refused as refusal:
            raise CommandError(refusal.says) from refusal
        self.stdout.write(
            "Erased. Export the list of erasures (export_erasures) and keep it beside the backups."
        )
