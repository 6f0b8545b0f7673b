"""Worker entry points of the outbox. Lost, doubled or late, they change nothing: the next one goes on."""

from __future__ import annotations

from celery import shared_task

from portal.events.relay import relay_due


@shared_task(name="portal.events.tasks.relay", ignore_result=True, acks_late=False, expires=5)
def relay() -> None:
    """Give committed events their positions and tell open streams."""
    relay_due()
