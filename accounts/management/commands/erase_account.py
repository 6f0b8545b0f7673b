"""`manage.py erase_account`: erase everybody whom an account knows, for good, and archive it."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.erasure import erase_account
from accounts.management.commands.deactivate_user import operator_named
from accounts.models import Account
from portal.errors import Refused


class Command(BaseCommand):
    """What was done stays on record; who it was cannot be read any more, by anybody."""

    help = "Erase an account: its contacts, invitations, users who have no other place, notes and keys. It cannot be undone."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take which, its name once more, by whom and why."""
        parser.add_argument("ref", help="the account's reference, as its address has it")
        parser.add_argument("--name", help="the account's name, as it is written; asked for if not given")
        parser.add_argument("--by", required=True, metavar="MAIL", help="the operator who does it")
        parser.add_argument("--reason", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        """Erase."""
        actor = operator_named(options["by"])
        try:
            account = Account.objects.get(ref=options["ref"])
        except (Account.DoesNotExist, ValueError, ValidationError):
            raise CommandError(f"There is no account {options['ref']}.") from None
        typed = options["name"]
        if typed is None:
            typed = input(f"This cannot be undone. Type the name of the account ({account.name}): ")
        try:
            done = erase_account(account, typed_name=typed, actor=actor, reason=options["reason"])
        except Refused as refusal:
            raise CommandError(refusal.says) from refusal
        self.stdout.write(
            f"Erased: {done.contacts} contacts, {done.invitations} invitations, {done.users} users. {done.kept} users have a "
            "place elsewhere and lost this one. Export the list of erasures (export_erasures) and keep it beside the backups."
        )
