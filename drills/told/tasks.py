"""Worker entry points of telling people of drills. Each message is a hint: the rows say what is due."""

from __future__ import annotations

import structlog
from celery import shared_task
from django.db import transaction
from django.utils import timezone

from drills.told import before, calls
from portal.runs.wake import hand_over

log = structlog.get_logger(__name__)


@shared_task(name="drills.told.tasks.ask", ignore_result=True, expires=30)
def ask() -> None:
    """Mail those who take part in a drill under way their links."""
    sent = calls.send_due(timezone.now())
    if sent:
        log.info("drill_calls_sent", count=sent)


@shared_task(name="drills.told.tasks.tell", ignore_result=True, expires=60)
def tell() -> None:
    """Invite to drills that were approved, call off those that are not held, remind of those that are near."""
    told = before.tell_due(timezone.now())
    if told:
        log.info("drills_told", count=told)


def wake_after_commit() -> None:
    """Ask for a turn once the transaction in hand is committed."""
    transaction.on_commit(lambda: hand_over(ask, "drill_call_wake_up_lost"))
