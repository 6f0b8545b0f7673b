"""What workers do for the table of samples."""

from __future__ import annotations

import structlog
from celery import shared_task
from django.utils import timezone

from capacity.metrics import partitions

log = structlog.get_logger(__name__)


# Lost, doubled or late, it changes nothing: two months are there ahead, and writing makes what is missing.
@shared_task(name="capacity.tasks.tend_parts", ignore_result=True, expires=600)
def tend_parts() -> None:
    """Make the months to come, drop those that are too old."""
    now = timezone.now()
    made, dropped = partitions.ensure_ahead(now), partitions.drop_old(now)
    if made or dropped:
        log.info("sample_parts", made=made, dropped=dropped)
