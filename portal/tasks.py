"""What is tidied once a minute: halts of which nobody was told, approvals whose time is over, answers of API calls and messages past their day."""

from __future__ import annotations

import structlog
from celery import shared_task
from django.utils import timezone

from portal.api import forget_old_answers
from portal.approvals.services import expire_due
from portal.notify.news import tell_missed_halts
from portal.notify.services import forget_old

log = structlog.get_logger(__name__)


# Lost, doubled or late, it changes nothing: both services ask the database what is due.
@shared_task(name="portal.tasks.tidy", ignore_result=True, expires=60)
def tidy() -> None:
    """Mark what has expired and forget what need not be kept."""
    now = timezone.now()
    expired, forgotten = expire_due(now), forget_old_answers(now) + forget_old(now)
    tell_missed_halts(now)
    if expired or forgotten:
        log.info("tidied", approvals_expired=expired, forgotten=forgotten)
