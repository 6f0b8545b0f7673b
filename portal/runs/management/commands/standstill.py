"""`manage.py standstill put|lift|list`: stop everything in the whole portal, from the shell.

Accounts, teams and cloud connections are stopped by people on their pages and through the API; the whole
portal belongs to nobody's account, so its standstill is the operator's.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from portal.errors import Refused
from portal.runs import services
from portal.runs.models import Standstill
from portal.runs.standstills import put_on_record


class Command(BaseCommand):
    """Put, lift or list standstills. Repeated, it changes nothing and says so."""

    help = "Stop everything in the whole portal (put), let it go on (lift), or list what stands still."

    def add_arguments(self, parser: CommandParser) -> None:
        """Name the act, who does it and why."""
        parser.add_argument("act", choices=["put", "lift", "list"])
        parser.add_argument("--by", help="mail of the operator who does it")
        parser.add_argument("--reason", default="", help="why; it stays on the record")

    def handle(self, *args: Any, **options: Any) -> None:
        """Carry out the act and print what is true now."""
        if options["act"] == "list":
            self._list()
            return
        operator = self._operator(options["by"])
        try:
            with transaction.atomic():
                says = self._put(operator, options["reason"]) if options["act"] == "put" else ""
                says = says or self._lift(operator, options["reason"])
        except Refused as refusal:
            raise CommandError(refusal.says) from refusal
        self.stdout.write(says)

    def _operator(self, mail: str | None) -> Any:
        if not mail:
            raise CommandError("Say who does it: --by MAIL of an operator.")
        user = get_user_model().objects.filter(email__iexact=mail, is_active=True, is_operator=True).first()
        if user is None:
            raise CommandError(
                f"{mail} is no active operator of this portal; `manage.py create_user --operator` makes one."
            )
        return user

    def _put(self, operator: Any, reason: str) -> str:
        standstill = services.put_standstill(services.EVERYWHERE, reason=reason, actor=operator)
        put_on_record("standstill.put", standstill, actor=operator, reason=reason)
        sent = "; ".join(f"{wire['title']}: {wire['says']}" for wire in standstill.on_the_wire)
        return (
            f"{standstill.says} Nothing is sent any more but putting back, and nothing starts. "
            f"On the wire at that moment: {sent or 'nothing'}."
        )

    def _lift(self, operator: Any, reason: str) -> str:
        standing = services.standstills_for([services.EVERYWHERE])
        if not standing:
            raise CommandError("The whole portal does not stand still; there is nothing to lift.")
        lifted = services.lift_standstill(standing[0], reason=reason, actor=operator)
        put_on_record("standstill.lifted", lifted, actor=operator, reason=reason)
        return "The standstill of the whole portal is lifted; runs go on with a fresh look."

    def _list(self) -> None:
        standing = list(Standstill.objects.filter(lifted_at__isnull=True).order_by("at", "pk"))
        for standstill in standing:
            self.stdout.write(
                f"{standstill.scope}  since {standstill.at:%Y-%m-%d %H:%M} UTC  {standstill.says}"
            )
        if not standing:
            self.stdout.write("Nothing stands still.")
