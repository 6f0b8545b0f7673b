"""What the portal does by itself: marks plans whose time is over, and thins what long runs have kept."""

from __future__ import annotations

import structlog
from celery import shared_task
from django.utils import timezone

from scaledown.growths import void_of_ended_runs
from scaledown.services import expire_plans
from scaledown.thinning import thin_samples

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


# Lost, doubled or late, it changes nothing but how many rows there are meanwhile.
@shared_task(name="scaledown.tasks.thin", ignore_result=True, expires=900)
def thin() -> None:
    """Keep what is stored of a run's looks bounded, however long it lasts."""
    went = thin_samples(timezone.now())
    if went:
        log.info("samples_thinned", points=went)
