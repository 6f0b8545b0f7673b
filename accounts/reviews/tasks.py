"""What workers do for reviews. Lost, doubled or late, it changes nothing: the rows say what is due."""

from __future__ import annotations

import structlog
from celery import shared_task
from django.utils import timezone

from accounts.reviews.services import remind_owners
from accounts.reviews.standing import look_at_all

log = structlog.get_logger(__name__)


@shared_task(name="accounts.tasks.look_at_accounts", ignore_result=True, expires=240)
def look_at_accounts() -> None:
    """Look at how every account stands, for the lists over many accounts."""
    look_at_all(timezone.now())


@shared_task(name="accounts.tasks.remind_action_owners", ignore_result=True, expires=1800)
def remind_action_owners() -> None:
    """Remind the owners of action items that are due."""
    told = remind_owners(timezone.now())
    if told:
        log.info("action_owners_reminded", count=told)
