"""What a pool is held against: the ceiling per node and the forecast peak, with source, author and age."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from capacity.models import Ceiling, ForecastPeak

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from accounts.models import Account


@dataclass(frozen=True)
class Site:
    """One pool: the public reference of its cloud connection and the provider's id of its load balancer."""

    connection_ref: UUID
    balancer_id: str


@dataclass(frozen=True)
class Figure:
    """One figure in requests per second, with where it comes from. `author` is empty for the portal itself."""

    requests_per_s: float
    source: str
    author: str
    at: datetime

    def age_s(self, now: datetime) -> float:
        """Return how old the figure is, in seconds."""
        return (now - self.at).total_seconds()


@dataclass(frozen=True)
class Reference:
    """What was known of a site at a moment. None is *unknown*, never zero.

    `ceiling` is per node, `forecast_peak` for the whole pool.
    """

    site: Site
    ceiling: Figure | None
    forecast_peak: Figure | None


def reference_for(account: Account, site: Site, at: datetime) -> Reference | None:
    """Return the newest ceiling and forecast peak of a site that were known at `at`; None if neither was.

    Only rows of this account count. Two queries.
    """

    def newest(rows: QuerySet[Any]) -> Figure | None:
        row = (
            rows.filter(
                account=account,
                connection__ref=site.connection_ref,
                balancer_id=site.balancer_id,
                at__lte=at,
            )
            .select_related("entered_by")
            .order_by("-at", "-pk")
            .first()
        )
        if row is None:
            return None
        author = str(row.entered_by) if row.entered_by is not None else ""
        return Figure(row.requests_per_s, row.source, author, row.at)

    ceiling = newest(Ceiling.objects.all())
    forecast_peak = newest(ForecastPeak.objects.all())
    if ceiling is None and forecast_peak is None:
        return None
    return Reference(site, ceiling, forecast_peak)
