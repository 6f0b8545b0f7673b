"""What pages and workers read."""

from __future__ import annotations

from django.db.models import Q

from portal.notify.models import MailState, Message
from portal.runs.journal import database_now


def is_anything_due() -> bool:
    """Whether a mail is due, or the worker that held one is gone."""
    now = database_now()
    return Message.objects.filter(
        Q(mail_state=MailState.QUEUED, due_at__lte=now)
        | Q(mail_state=MailState.SENDING, lease_until__lte=now)
    ).exists()
