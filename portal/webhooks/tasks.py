"""Worker entry points of webhooks, on the queue `work`. Each message is a hint: the database says what is due."""

from __future__ import annotations

from datetime import timedelta

import structlog
from celery import shared_task
from django.utils import timezone

from portal.webhooks.queueing import is_anything_due, queue_due
from portal.webhooks.sending import send_due
from portal.webhooks.services import KEEP_FOR_DAYS, forget_deliveries, forget_old_secrets
from portal.webhooks.wake import send_wake_up

log = structlog.get_logger(__name__)


# Lost, doubled or late, it changes nothing: each endpoint is claimed in the database before anything is sent.
@shared_task(name="portal.webhooks.tasks.send", ignore_result=True, acks_late=False, expires=10)
def send() -> None:
    """Queue new events and send what is due for one short turn; ask for another one if more is due."""
    seen, turn = queue_due(), send_due()
    # An endpoint that is behind and has no room is due at each look: only a turn that got on asks for the next one.
    if (seen or turn.delivered or turn.failed) and is_anything_due():
        send_wake_up()


@shared_task(name="portal.webhooks.tasks.sweep", ignore_result=True, acks_late=False, expires=10)
def sweep() -> None:
    """Wake a worker for what is due: retries, events whose wake-up was lost, endpoints whose worker died."""
    if is_anything_due():
        send_wake_up()


@shared_task(name="portal.webhooks.tasks.tidy", ignore_result=True, acks_late=False, expires=600)
def tidy() -> None:
    """Destroy secrets whose time is over, and old deliveries."""
    now = timezone.now()
    secrets, gone = forget_old_secrets(now), forget_deliveries(now - timedelta(days=KEEP_FOR_DAYS))
    if secrets or gone:
        log.info("webhooks_tidied", secrets=secrets, deliveries=gone)
