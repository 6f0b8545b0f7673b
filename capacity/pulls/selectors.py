"""What pages and API read of pulls."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet

from accounts.models import Account, CloudConnection
from capacity.pulls.models import Pull


def whole() -> QuerySet[Pull]:
    """Return pulls with everything that is shown of one, without their tokens."""
    return Pull.objects.select_related("account", "made_by", "connection").defer(
        "token", "connection__api_key"
    )


def connection_of_account(account: Account, ref: str) -> CloudConnection | None:
    """Return an account's cloud connection by its reference; None for anything else."""
    try:
        asked = UUID(ref)
    except ValueError:
        return None
    return CloudConnection.objects.filter(account=account, ref=asked).select_related("account").first()
