"""Add a cloud connection from the shell and test what it may do.

    manage.py add_cloud_connection ACCOUNT --name "Shop, Dallas" --username … --tenant … --region DFW

The API key is asked for, or taken from the environment variable CLOUD_API_KEY; never given as an argument,
where every user of the machine could read it.
"""

from __future__ import annotations

import getpass
import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts import services
from accounts.clouds import test_connection
from accounts.management.commands.create_user import account_named
from portal.egress import check_url
from portal.errors import Refused, Trouble

RACKSPACE = "https://identity.api.rackspacecloud.com/v2.0"


class Command(BaseCommand):
    """Add a connection; the read-only test's lines are printed."""

    help = "Add a cloud connection; the key is asked for or read from CLOUD_API_KEY."

    def add_arguments(self, parser: CommandParser) -> None:
        """Where it points."""
        parser.add_argument("account", help="public reference or number of the account")
        parser.add_argument("--name", required=True)
        parser.add_argument("--identity-url", default=RACKSPACE)
        parser.add_argument("--username", required=True)
        parser.add_argument("--tenant", required=True)
        parser.add_argument("--region", required=True)
        parser.add_argument("--no-test", action="store_true", help="do not ask the provider now")

    def handle(self, *args: Any, **options: Any) -> None:
        """Add, then test."""
        key = os.environ.get("CLOUD_API_KEY") or getpass.getpass("API key: ")
        try:
            check_url(options["identity_url"])
            connection = services.add_connection(
                account_named(options["account"]),
                {
                    "name": options["name"],
                    "identity_url": options["identity_url"],
                    "username": options["username"],
                    "api_key": key,
                    "tenant": options["tenant"],
                    "region": options["region"],
                },
                actor=None,
            )
        except Refused as refusal:
            raise CommandError(refusal.says) from refusal
        self.stdout.write(f"Added {connection.name} ({connection.ref}).")
        if options["no_test"]:
            return
        try:
            result = test_connection(connection)
        except Trouble as trouble:
            raise CommandError(f"It is stored, but could not be tested: {trouble.says}") from trouble
        services.store_check(connection, result, at=timezone.now(), actor=None)
        for line in result["lines"]:
            self.stdout.write(f"  {line['outcome']:8} {line['name']}: {line['says']}")
        if not result["is_usable"]:
            raise CommandError("It is stored, but the portal cannot read what it needs with it.")
