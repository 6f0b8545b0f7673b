"""How many servers each pool had, as last seen, from whoever saw it.

    register_sizes(find)         # find(accounts) -> [SizeSeen(account.pk, connection.pk, "71", 6, at), …]
    sizes_of(accounts)           # {(account.pk, connection.pk, "71"): SizeSeen(…)}, the newest of each pool

Nobody asks the provider here: it is what looks, runs and drills left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from accounts.models import Account
from capacity.reports.models import SizedPool


@dataclass(frozen=True)
class SizeSeen:
    """How many servers of one pool were in service at a moment."""

    account_pk: int
    connection_pk: int
    balancer_id: str
    size: int
    at: datetime

    @property
    def pool(self) -> tuple[int, int, str]:
        """Which pool it was."""
        return self.account_pk, self.connection_pk, self.balancer_id


Find = Callable[["QuerySet[Account]"], Iterable[SizeSeen]]
_finders: list[Find] = []


def register_sizes(find: Find) -> None:
    """Add whoever knows sizes of pools. Called once, when its app is ready."""
    if find not in _finders:
        _finders.append(find)


def _looked_at(accounts: QuerySet[Account]) -> Iterable[SizeSeen]:
    rows = SizedPool.objects.filter(
        account__in=accounts.order_by().values("pk"), servers__isnull=False, seen_at__isnull=False
    )
    for account, connection, balancer, servers, at in rows.values_list(
        "account", "connection", "balancer_id", "servers", "seen_at"
    ):
        if servers is not None and at is not None:
            yield SizeSeen(account, connection, balancer, servers, at)


def sizes_of(accounts: QuerySet[Account]) -> Mapping[tuple[int, int, str], SizeSeen]:
    """Return the newest size of each pool of these accounts; one query for each who knows sizes."""
    found: dict[tuple[int, int, str], SizeSeen] = {}
    for find in (_looked_at, *_finders):
        for one in find(accounts):
            known = found.get(one.pool)
            if known is None or one.at > known.at:
                found[one.pool] = one
    return found
