"""What pools carry just now, what one server of each carries, and the hours to come: for whoever takes servers out of them.

present = present_of(account, connection.ref, [balancer_id], now)[balancer_id]
present.load_rps, present.carries_rps, present.hours
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Max

from accounts.models import Account
from capacity.metrics.kinds import is_demand
from capacity.metrics.models import Metric, Sample
from capacity.reference import ceilings_of
from capacity.reports.models import GrowthReport, ReportState, SizedPool
from capacity.reports.selectors import hours_of

LOAD_FOR = timedelta(minutes=15)
"""How old a load may be that is taken for the present one; of these minutes the highest counts."""
FORECAST_FOR = timedelta(days=8)
"""A forecast is made each night; an older one than a week says nothing of this one's days."""


@dataclass(frozen=True)
class Present:
    """Requests per second; None is not known. `hours`: the forecast's, each with what is expected of it, in order of time."""

    load_rps: float | None = None
    load_at: datetime | None = None
    carries_rps: float | None = None
    carries_source: str = ""
    hours: tuple[tuple[datetime, float], ...] = ()


def present_of(
    account: Account, connection_ref: UUID, balancer_ids: Sequence[str], now: datetime
) -> dict[str, Present]:
    """Return what is known of each pool of a connection. Up to four queries, however many pools; one that is not sized knows its ceiling only."""
    sized = {
        one.balancer_id: one
        for one in SizedPool.objects.filter(
            account=account, connection__ref=connection_ref, balancer_id__in=list(balancer_ids)
        ).select_related("metric__growth_report")
    }
    ceilings = ceilings_of(
        account,
        connection_ref,
        {one: sized[one].flavor if one in sized else "" for one in balancer_ids},
        now,
    )
    demand = {
        key: one.metric
        for key, one in sized.items()
        if one.metric is not None and is_demand(one.metric.unit, one.metric.kind)
    }
    loads = _loads({one.pk for one in demand.values()}, now)
    hours = hours_of([report for one in demand.values() if (report := _fresh_report(one, now)) is not None])
    found = {}
    for one in balancer_ids:
        ceiling, metric = ceilings.get(one), demand.get(one)
        carries, source = (ceiling.requests_per_s, ceiling.source) if ceiling is not None else (None, "")
        load, at = loads.get(metric.pk, (None, None)) if metric is not None else (None, None)
        to_come = hours.get(metric.pk, ()) if metric is not None else ()
        found[one] = Present(load, at, carries, source, to_come)
    return found


def _loads(metrics: Collection[int], now: datetime) -> dict[int, tuple[float, datetime]]:
    """Return the highest load of the last minutes, and when the newest was seen, by metric. One query, none without a metric."""
    if not metrics:
        return {}
    rows = Sample.objects.filter(metric__in=metrics, at__gt=now - LOAD_FOR, at__lte=now)
    return {
        pk: (load, at)
        for pk, load, at in rows.values_list("metric").annotate(Max("value"), Max("at")).order_by()
    }


def _fresh_report(metric: Metric, now: datetime) -> GrowthReport | None:
    report: GrowthReport | None = getattr(metric, "growth_report", None)
    is_fresh = (
        report is not None
        and report.state == ReportState.MADE
        and report.analysed_until is not None
        and now - report.analysed_until < FORECAST_FOR
    )
    return report if is_fresh else None
