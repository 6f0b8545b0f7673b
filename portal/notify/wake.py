"""Asking a worker to send. The message is a hint: lost, doubled or late, the sweep finds what is due."""

from __future__ import annotations

from django.db import transaction

from portal.runs.wake import hand_over


def send_wake_up() -> bool:
    """Ask for a turn of sending; return whether the message was handed over."""
    from portal.notify.tasks import send

    return hand_over(send, "mail_wake_up_lost")


def wake_after_commit() -> None:
    """Ask for a turn of sending once the transaction in hand is committed."""
    transaction.on_commit(send_wake_up)
