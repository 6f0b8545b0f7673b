"""What workers do for samples (the parts of their table, what is fetched) and for baselines."""

from __future__ import annotations

import structlog
from celery import shared_task
from django.utils import timezone

from capacity.baselines import known
from capacity.metrics import partitions
from capacity.reports import services as reports
from capacity.reports.short import judge_all

log = structlog.get_logger(__name__)


# Each query is taken with a lease: lost, doubled or late, none is asked twice at once.
@shared_task(name="capacity.tasks.pull_samples", ignore_result=True, expires=30)
def pull_samples() -> None:
    """Ask the queries to Prometheus that are due."""
    from capacity.pulls.services import pull_due

    asked = pull_due()
    if asked:
        log.info("pulled", asked=asked)


# Lost, doubled or late, it changes nothing: two months are there ahead, and writing makes what is missing.
@shared_task(name="capacity.tasks.tend_parts", ignore_result=True, expires=600)
def tend_parts() -> None:
    """Make the months to come, drop those that are too old."""
    now = timezone.now()
    made, dropped = partitions.ensure_ahead(now), partitions.drop_old(now)
    if made or dropped:
        log.info("sample_parts", made=made, dropped=dropped)


# Each comparison is a row of its own and each notice has its period, so a second time changes nothing.
@shared_task(name="capacity.tasks.tend_baselines", ignore_result=True, expires=3600)
def tend_baselines() -> None:
    """Hold what came in against baselines from series; tell owners of baselines that are about to be too old."""
    compared, told = known.tend(timezone.now())
    if compared or told:
        log.info("baselines_tended", compared=compared, told=told)


# Rows say what is due; the message only wakes a worker, so it may be lost or come twice.
@shared_task(name="capacity.tasks.make_reports", ignore_result=True, expires=240)
def make_reports() -> None:
    """Make growth reports that are due, for a minute at most; the rest waits for the next turn."""
    count = reports.make_due(timezone.now(), budget_s=60.0)
    if count:
        log.info("growth_reports", made=count)


@shared_task(name="capacity.tasks.look_at_pools", ignore_result=True, expires=3000)
def look_at_pools() -> None:
    """Look how many servers sized pools have, work out how long they last, and tell whose will not."""
    now = timezone.now()
    seen = reports.look_at_stale(now)
    told = judge_all(now)
    if seen or told:
        log.info("sized_pools", seen=seen, told=told)
