"""Asking a worker to send. The message is a hint: lost, doubled or late, the sweep finds what is due."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction

from portal.runs.wake import hand_over
from portal.webhooks.models import Endpoint, EndpointState


def send_wake_up() -> bool:
    """Ask for a turn of sending; return whether the message was handed over."""
    from portal.webhooks.tasks import send

    return hand_over(send, "webhook_wake_up_lost")


def wake_after_commit() -> None:
    """Ask for a turn of sending once the transaction in hand is committed."""
    transaction.on_commit(send_wake_up)


def events_placed(accounts: Iterable[UUID]) -> None:
    """Wake a worker if one of these accounts, whose events just got their place, has a webhook."""
    if Endpoint.objects.filter(account__ref__in=list(accounts), state=EndpointState.ACTIVE).exists():
        send_wake_up()
