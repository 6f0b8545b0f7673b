"""Worker entry points of reaching people. Each message is a hint: the rows say what is due."""

from __future__ import annotations

import structlog
from celery import shared_task
from django.db import transaction
from django.utils import timezone

from accounts.reach import gateway, services
from portal.runs.wake import hand_over

log = structlog.get_logger(__name__)


# Lost, doubled or late, it changes nothing: each reach is locked, and asks by its rows what comes next.
@shared_task(name="accounts.reach.tasks.advance", ignore_result=True, expires=10)
def advance() -> None:
    """Ask the next person wherever the wait is over; hand the gateway what waits for it."""
    made = services.advance_due(timezone.now())
    if made:
        log.info("reaches_advanced", count=made)
    gateway.send_due(timezone.now())


@shared_task(name="accounts.reach.tasks.send_to_gateway", ignore_result=True, expires=30)
def send_to_gateway() -> None:
    """Hand the gateway what waits for it."""
    gateway.send_due(timezone.now())


def wake_gateway_after_commit() -> None:
    """Ask for a turn of the gateway once the transaction in hand is committed."""
    transaction.on_commit(lambda: hand_over(send_to_gateway, "reach_wake_up_lost"))
