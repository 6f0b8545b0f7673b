"""Worker entry points of mail, on the queue `work`. Each message is a hint: the outbox says what is due."""

from __future__ import annotations

import structlog
from celery import shared_task

from portal.notify import selectors
from portal.notify.sending import send_due
from portal.notify.wake import send_wake_up

log = structlog.get_logger(__name__)

TURN_S = 20.0


# Lost, doubled or late, it changes nothing: each mail is claimed in the database before it is sent.
@shared_task(name="portal.notify.tasks.send", ignore_result=True, acks_late=False, expires=30)
def send() -> None:
    """Send what is due for at most a turn; ask for another one if more is due."""
    turn = send_due(budget_s=TURN_S)
    if turn.sent and selectors.is_anything_due():
        send_wake_up()


@shared_task(name="portal.notify.tasks.sweep", ignore_result=True, acks_late=False, expires=10)
def sweep() -> None:
    """Wake a worker for whatever is due, and for claims whose worker died."""
    if selectors.is_anything_due():
        send_wake_up()
