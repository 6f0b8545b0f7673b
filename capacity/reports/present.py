"""What a pool carries just now, what one of its servers carries, and the hours to come: for whoever takes servers out of it.

present = present_of(account, Site(connection.ref, balancer_id), now)
present.load_rps, present.carries_rps, present.hours
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Max

from accounts.models import Account
from capacity.metrics.kinds import is_demand
from capacity.metrics.models import Sample
from capacity.reference import Site, reference_for
from capacity.reports.models import GrowthReport, ReportState, SizedPool
from capacity.reports.selectors import forecast_rows

LOAD_FOR = timedelta(minutes=15)
"""How old a load may be that is taken for the present one; of these minutes the highest counts."""
FORECAST_FOR = timedelta(days=8)
"""A forecast is made each night; an older one than a week says nothing of this one's days."""


@dataclass(frozen=True)
class Present:
    """Requests per second; None is not known. `hours`: the forecast's, each with what is expected of it, in order of time.

    `servers`: how many were in service when the pool was last looked at for its size.
    """

    load_rps: float | None = None
    load_at: datetime | None = None
    carries_rps: float | None = None
    carries_source: str = ""
    hours: tuple[tuple[datetime, float], ...] = ()


def present_of(account: Account, site: Site, now: datetime) -> Present:
    """Return what is known of a pool. Up to twelve queries; one that is not sized knows its ceiling only."""
    pool = (
        SizedPool.objects.filter(
            account=account, connection__ref=site.connection_ref, balancer_id=site.balancer_id
        )
        .select_related("metric__growth_report")
        .first()
    )
    reference = reference_for(account, site, now, flavor=pool.flavor if pool is not None else "")
    ceiling = reference.ceiling if reference is not None else None
    carries, source = (ceiling.requests_per_s, ceiling.source) if ceiling is not None else (None, "")
    metric = pool.metric if pool is not None else None
    if metric is None or not is_demand(metric.unit, metric.kind):
        return Present(carries_rps=carries, carries_source=source)
    found = Sample.objects.filter(metric=metric, at__gt=now - LOAD_FOR, at__lte=now).aggregate(
        load=Max("value"), at=Max("at")
    )
    report: GrowthReport | None = getattr(metric, "growth_report", None)
    is_fresh = (
        report is not None
        and report.state == ReportState.MADE
        and report.analysed_until is not None
        and now - report.analysed_until < FORECAST_FOR
    )
    hours = tuple((row["at"], row["point"]) for row in forecast_rows(report)) if report and is_fresh else ()
    return Present(found["load"], found["at"], carries, source, hours)
