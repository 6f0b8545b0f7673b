"""What an event cost: its servers from creation to deletion, at the account's prices. Always an estimate.

A server's creation is in the scale-up record, its deletion in the run that retired it; one that no run deleted is
still there as far as the portal knows, and costs until now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, Max, OuterRef, QuerySet, Subquery

from accounts.models import Account
from capacity.reports.models import DetectedEvent, SizedPool
from capacity.reports.selectors import prices_of
from capacity.sizing import Cost, Price, Stay, cost_a_month, cost_of, total_of
from scaledown.models import Retirement, ScaleUpEntry, ScaleUpRecord
from scaledown.types import Phase

MOST_POOLS = 100
GONE = (Phase.RETIRED.value, Phase.GONE.value)
HEADER = (
    "event",
    "server",
    "server id",
    "created at",
    "deleted at",
    "server-hours",
    "money (estimate)",
    "currency",
)


@dataclass(frozen=True)
class EventCost:
    """What an event cost: its servers, how many of them are still there, and their sum. `flavor` is what was paid for."""

    record: ScaleUpRecord
    servers: int
    left: int
    total: Cost
    flavor: str


@dataclass(frozen=True)
class Rates:
    """Prices of an account: by size, and the size of the servers behind each connection as a sized pool shows it."""

    by_flavor: Mapping[str, Price]
    flavors: Mapping[int, str]

    def of(self, connection_pk: int) -> tuple[str, Price | None]:
        """Return size and price of a connection's servers: where no pool shows the size, the account's only price.

        Which of several sizes it was is not guessed.
        """
        flavor = self.flavors.get(connection_pk, "")
        if not flavor and len(self.by_flavor) == 1:
            return next(iter(self.by_flavor.items()))
        return flavor, self.by_flavor.get(flavor)


def rates_of(account: Account) -> Rates:
    """Return the account's prices; two queries."""
    rows = SizedPool.objects.filter(account=account).exclude(flavor="").order_by("-pk")
    return Rates(prices_of(account), dict(rows.values_list("connection", "flavor")[:MOST_POOLS]))


def saved_a_month(account: Account, connection_pk: int, balancer_ids: Sequence[str], servers: int) -> Cost:
    """Return what so many servers of some pools cost a month: in money where the pools are sized, of one size, and it has a price."""
    pools = SizedPool.objects.filter(connection=connection_pk, balancer_id__in=list(balancer_ids))
    flavors = list(pools.values_list("flavor", flat=True))
    is_known = len(flavors) == len(set(balancer_ids)) and len(set(flavors)) == 1
    price = prices_of(account).get(flavors[0]) if is_known else None
    return cost_a_month(servers, price)


def records() -> QuerySet[ScaleUpRecord]:
    """Return scale-up records with their events."""
    return ScaleUpRecord.objects.select_related("event")


def with_servers_added(rows: QuerySet[DetectedEvent]) -> QuerySet[DetectedEvent]:
    """Return detected events with how many servers were added for each one's event, None without a record, and its records."""
    counted = ScaleUpEntry.objects.filter(record__event=OuterRef("event")).order_by().values("record__event")
    kept = ScaleUpRecord.objects.filter(event=OuterRef("event")).order_by("pk")
    return rows.annotate(
        servers_added=Subquery(counted.annotate(servers=Count("pk")).values("servers")),
        scale_up_records=ArraySubquery(kept.values("ref")),
    )


def entries() -> QuerySet[ScaleUpEntry]:
    """Return entries of scale-up records with the moment at which a run deleted the server, None for one that is there."""
    gone = (
        Retirement.objects.filter(
            run__account=OuterRef("record__account"),
            run__is_rehearsal=False,
            server_id=OuterRef("server_id"),
            phase__in=GONE,
        )
        .order_by()
        .values("server_id")
        .annotate(at=Max("phase_since"))
        .values("at")
    )
    return ScaleUpEntry.objects.select_related("record__event").annotate(deleted_at=Subquery(gone))


def costs_of(account: Account, listed: Sequence[ScaleUpRecord], now: datetime) -> list[EventCost]:
    """Return what each of these events cost, in their order; three queries."""
    rates = rates_of(account)
    by_record: dict[int, list[Stay]] = {}
    rows = entries().filter(record__in=[one.pk for one in listed]).order_by("record", "position")
    for entry in rows:
        by_record.setdefault(entry.record_id, []).append(_stay(entry))
    found = []
    for record in listed:
        flavor, price = rates.of(record.connection_id)
        stays = by_record.get(record.pk, [])
        left = sum(1 for one in stays if one.deleted_at is None)
        total = total_of(cost_of(one, price, now) for one in stays)
        found.append(EventCost(record, len(stays), left, total, flavor))
    return found


def _stay(entry: Any) -> Stay:
    """Return from when to when the server of an entry of `entries` was there."""
    return Stay(entry.added_at, entry.deleted_at)


def cells_of(rates: Rates, now: datetime) -> Callable[[Any], Sequence[Any]]:
    """Return what makes a line of the file of an entry."""

    def cells(entry: Any) -> Sequence[Any]:
        _, price = rates.of(entry.record.connection_id)
        cost = cost_of(_stay(entry), price, now)
        return (
            entry.record.event.name,
            entry.server_name,
            entry.server_id,
            entry.added_at,
            entry.deleted_at,
            cost.server_hours,
            cost.money,
            cost.currency,
        )

    return cells
