"""Switch a log-in off from the shell: sessions, tokens and live views end at once.

    manage.py deactivate_user maja@lindgren.example --by ops@team.example --reason "The laptop was stolen."

Roles stay on record and count for nothing; runs that rest on the person's approval pause.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import members
from accounts.models import AccountRole, Membership, TeamMembership, TeamRole, User
from portal.errors import Refused


def user_named(email: str) -> User:
    """Return the user with this mail; raises CommandError."""
    user = User.objects.filter(email=email.strip().lower()).first()
    if user is None:
        raise CommandError(f"There is no user with the mail address {email}.")
    return user


def operator_named(email: str) -> User:
    """Return the operator who does it; raises CommandError."""
    user = User.objects.filter(email=email.strip().lower(), is_active=True, is_operator=True).first()
    if user is None:
        raise CommandError(f"{email} is no active operator of this portal.")
    return user


def left_alone(user: User) -> list[str]:
    """Return the accounts and teams that nobody can let others into while this log-in is off."""
    admin_of = Membership.objects.filter(user=user, role=AccountRole.ADMIN).select_related("account")
    lead_of = TeamMembership.objects.filter(user=user, role=TeamRole.LEAD).select_related("team")
    return [
        *(str(row.account) for row in admin_of if members.other_admins(row.account, user) == 0),
        *(str(row.team) for row in lead_of if members.other_leads(row.team, user) == 0),
    ]


def add_arguments(parser: CommandParser) -> None:
    """Name the user, who does it and why."""
    parser.add_argument("email")
    parser.add_argument("--by", required=True, help="mail of the operator who does it")
    parser.add_argument("--reason", required=True, help="why; it stays on the record")


class Command(BaseCommand):
    """Switch a log-in off."""

    help = "Switch a log-in off: sessions, tokens and live views end at once."

    def add_arguments(self, parser: CommandParser) -> None:
        """Name the user, who does it and why."""
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Switch it off and say what that leaves."""
        user, operator = user_named(options["email"]), operator_named(options["by"])
        try:
            members.deactivate_user(user, actor=None, on_behalf_of=operator, reason=options["reason"])
        except Refused as refusal:
            raise CommandError(refusal.says) from refusal
        self.stdout.write(f"The log-in of {user.name} is off. Sessions, tokens and live views ended.")
        for name in left_alone(user):
            self.stdout.write(
                f"{name} has nobody left who can let others in: a lead invites a new admin, "
                "or `manage.py create_user` makes a lead."
            )
