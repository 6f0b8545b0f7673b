"""`manage.py networks open|close|list`: private networks in which the portal asks servers for one account.

manage.py networks open --account REF --network 10.1.0.0/16 --by ops@example.org --reason "Status pages of the shop."
manage.py networks list [--account REF]
manage.py networks close --account REF --network 10.1.0.0/16 --by ops@example.org --reason "The servers are gone."
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import networks
from accounts.management.commands.create_user import account_named
from accounts.management.commands.deactivate_user import operator_named
from accounts.models import OpenedNetwork
from portal.errors import Refused


class Command(BaseCommand):
    """Open, close or list. What one account's is open for nobody else."""

    help = "Open a private network for one account (open), close it (close), or list what is open (list)."

    def add_arguments(self, parser: CommandParser) -> None:
        """Name the act, the account and its network, who does it and why."""
        parser.add_argument("act", choices=["open", "close", "list"])
        parser.add_argument("--account", help="public reference or number of the account")
        parser.add_argument("--network", help="in CIDR notation, like 10.1.0.0/16")
        parser.add_argument("--by", metavar="MAIL", help="the operator who does it")
        parser.add_argument("--reason", default="", help="why; it stays on the record")
        parser.add_argument(
            "--shared", action="store_true", help="although another account has it open, or a part of it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Carry out the act and print what is true now."""
        try:
            account = account_named(options["account"]) if options["account"] else None
            if options["act"] == "list":
                rows = OpenedNetwork.objects.select_related("account").order_by("account__name", "network")
                self._list(rows if account is None else rows.filter(account=account))
                return
            if account is None or not options["network"] or not options["by"]:
                raise Refused("Say for which --account, which --network, and who does it: --by MAIL.")
            operator = operator_named(options["by"])
            if options["act"] == "open":
                row = networks.open_network(
                    account,
                    options["network"],
                    actor=operator,
                    reason=options["reason"],
                    is_shared=options["shared"],
                )
                self.stdout.write(f"{row.network} is open for {account}.")
                return
            network = str(networks.network_of(options["network"]))
            opened = OpenedNetwork.objects.filter(account=account, network=network).first()
            if opened is None:
                raise Refused(f"{network} is not open for {account}.")
            networks.close_network(opened, actor=operator, reason=options["reason"])
            self.stdout.write(f"{network} is closed for {account}.")
        except Refused as refusal:
            raise CommandError(refusal.says) from refusal

    def _list(self, rows: Any) -> None:
        for row in rows:
            self.stdout.write(
                f"{row.network}  {row.account} ({row.account.ref})  since {row.opened_at:%Y-%m-%d %H:%M} UTC  {row.reason}"
            )
        if not rows:
            self.stdout.write("No network is open for an account.")
