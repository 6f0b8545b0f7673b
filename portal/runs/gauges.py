"""What Prometheus sees of all runs, read from the database at each scrape: true whichever process is asked.

Counters of a worker (`metrics.py`) live in that worker; what must not be missed is here.
"""

from __future__ import annotations

from collections.abc import Iterator

import structlog
from django.db import DatabaseError
from django.db.models import Count, Max, Sum
from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from portal.runs import selectors
from portal.runs.journal import database_now
from portal.runs.models import Intent, Run, Standstill

log = structlog.get_logger(__name__)


class RunsCollector(Collector):
    """Runs by status, overdue runs and nodes left draining, lateness, doubts, standstills, claims so far."""

    def describe(self) -> list[Metric]:
        """Return nothing: the database is not asked before the first scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the figures; only `runs_database_up 0` when the database does not answer."""
        up = GaugeMetricFamily("runs_database_up", "1 if the figures about runs could be read, else 0.")
        try:
            found = _read()
        except DatabaseError as error:
            log.warning("runs_gauges_unread", error=type(error).__name__)
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from found


def _read() -> list[Metric]:
    by_status = GaugeMetricFamily("runs_by_status", "Runs by status.", labels=["status"])
    for row in Run.objects.order_by().values("status").annotate(runs=Count("pk")):
        by_status.add_metric([row["status"]], row["runs"])
    asleep = selectors.asleep()
    since_s = (database_now() - asleep.since).total_seconds() if asleep is not None else 0.0
    sums = Run.objects.aggregate(claims=Sum("token"))
    live = Run.objects.filter(next_tick_at__isnull=False).aggregate(late=Max("late_s"))
    now = database_now()
    put_off_since = selectors.put_off_since(now)
    put_off_s = (now - put_off_since).total_seconds() if put_off_since is not None else 0.0
    claims = CounterMetricFamily("runs_claims", "Leases taken on all runs so far: one per tick.")
    claims.add_metric([], sums["claims"] or 0)
    return [
        by_status,
        claims,
        _gauge("runs_overdue", "Runs that no worker takes.", asleep.runs_overdue if asleep else 0),
        _gauge("runs_nodes_left_draining", "Nodes of overdue runs.", asleep.nodes_draining if asleep else 0),
        _gauge("runs_asleep_seconds", "Since when the engine has slept; 0 while it is awake.", since_s),
        _gauge("runs_late_seconds", "By how much the last tick of a live run was late.", live["late"] or 0),
        _gauge("runs_put_off_seconds", "How long a run has waited behind runs with servers out.", put_off_s),
        _gauge(
            "runs_changes_without_outcome",
            "Changes that were sent and have no outcome: on the wire or in doubt.",
            Intent.objects.filter(sent_at__isnull=False, finished_at__isnull=True).count(),
        ),
        _gauge(
            "runs_standstills",
            "Standstills in force.",
            Standstill.objects.filter(lifted_at__isnull=True).count(),
        ),
    ]


def _gauge(name: str, says: str, value: float) -> Metric:
    gauge = GaugeMetricFamily(name, says)
    gauge.add_metric([], value)
    return gauge


_COLLECTOR = RunsCollector()


def install() -> None:
    """Let each scrape of this process tell of all runs. Repeated, it changes nothing."""
    if _COLLECTOR not in REGISTRY._collector_to_names:
        REGISTRY.register(_COLLECTOR)
