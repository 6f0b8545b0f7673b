"""Make a user, and give a role in a team or on an account.

    manage.py create_user jonas@team.example "Jonas Berg" --team "Launch team North" --role launch_manager

The password is asked for, or taken from the environment variable NEW_USER_PASSWORD.
"""

from __future__ import annotations

import getpass
import os
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from accounts import services
from accounts.models import Account, AccountRole, Team, TeamRole, User
from portal.errors import Refused


class Command(BaseCommand):
    """Make a user from the shell: the way in for the first lead of an installation."""

    help = "Make a user; the password is asked for or read from NEW_USER_PASSWORD."

    def add_arguments(self, parser: CommandParser) -> None:
        """Name and role."""
        parser.add_argument("email")
        parser.add_argument("name")
        parser.add_argument("--time-zone", default="UTC")
        parser.add_argument("--team", help="name of the team; made if there is none of that name")
        parser.add_argument("--account", help="public reference or number of the account")
        parser.add_argument("--role", choices=[*TeamRole.values, *AccountRole.values])
        parser.add_argument(
            "--operator", action="store_true", help="runs the installation: health and queues, no account"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask for the password, then do everything or nothing."""
        password = os.environ.get("NEW_USER_PASSWORD") or getpass.getpass("Password: ")
        try:
            validate_password(password, User(email=options["email"], name=options["name"]))
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        try:
            with transaction.atomic():
                user = self._make(password, options)
        except Refused as refusal:
            raise CommandError(refusal.says) from refusal
        self.stdout.write(f"{user.name} can log in as {user.email}.")

    def _make(self, password: str, options: dict[str, Any]) -> User:
        user = services.create_user(
            email=options["email"],
            name=options["name"],
            password=password,
            time_zone=options["time_zone"],
            is_operator=options["operator"],
        )
        role = options["role"]
        if options["team"]:
            if role not in TeamRole.values:
                raise Refused("With --team the --role is launch_manager or lead.")
            team, _ = Team.objects.get_or_create(name=options["team"])
            services.add_to_team(team, user, role)
        if options["account"]:
            if role not in AccountRole.values:
                raise Refused("With --account the --role is viewer, editor, approver or admin.")
            services.grant_role(account_named(options["account"]), user, role, actor=None)
        return user


def account_named(text: str) -> Account:
    """Return the account with this reference or number; raises Refused if there is none or more than one."""
    found = [row for row in Account.objects.all() if text in {str(row.ref), row.number}]
    if len(found) != 1:
        raise Refused(f"There {'is no' if not found else 'is more than one'} account “{text}”.")
    return found[0]
