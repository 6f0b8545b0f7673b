"""What the portal does with plans by itself: marks those whose time is over."""

from __future__ import annotations

import structlog
from celery import shared_task
from django.utils import timezone

from scaledown.growths import void_of_ended_runs
from scaledown.services import expire_plans

log = structlog.get_logger(__name__)


# Lost, doubled or late, it changes nothing: an approved plan past its time cannot start either way.
@shared_task(name="scaledown.tasks.expire", ignore_result=True, expires=60)
def expire() -> None:
    """Mark approved plans whose time is over, and end what is asked of runs that are over."""
    expired = expire_plans(timezone.now())
    if expired:
        log.info("plans_expired", plans=expired)
    ended = void_of_ended_runs(timezone.now())
    if ended:
        log.info("growths_ended", growths=ended)
