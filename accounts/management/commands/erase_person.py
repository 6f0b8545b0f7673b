"""`manage.py erase_person`: erase somebody who logs in, for good."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.erasure import erase_person
from accounts.models import User
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
        actor = User.objects.filter(email=options["by"].lower(), is_operator=True, is_active=True).first()
        if actor is None:
            raise CommandError(f"There is no operator with the mail address {options['by']}.")
        user = User.objects.filter(email=options["email"].lower()).first()
        if user is None:
            raise CommandError(f"There is no user with the mail address {options['email']}.")
        try:
            erase_person(user, actor=actor, reason=options["reason"])
        except Refused as refusal:
            raise CommandError(refusal.says) from refusal
        self.stdout.write(
            "Erased. Export the list of erasures (export_erasures) and keep it beside the backups."
        )
