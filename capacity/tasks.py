"""What workers do for samples (the parts of their table, what is fetched) and for baselines."""

from __future__ import annotations

import structlog
from celery import shared_task
from django.utils import timezone

from capacity.baselines import known
from capacity.metrics import partitions

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
