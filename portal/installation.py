"""What an operator sees on the dashboard: whether each part of the installation is well, and which mail is stuck."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Count, Q
from django.utils import timezone

from portal.access import Permission, can
from portal.dashboard import Panel, register_panel
from portal.health import findings
from portal.notify.models import MailState, Message

_NAMES = {
    "database": "Database",
    "redis": "Redis",
    "migrations": "Migrations",
    "engine": "Engine",
    "audit": "Audit",
    "events": "Events",
}
MAIL_SINCE = timedelta(days=7)
OVERDUE_AFTER = timedelta(minutes=10)


def troubled_mail() -> list[str]:
    """Return what is wrong with the mail of the last 7 days, like "3 could not be delivered"; one query."""
    now = timezone.now()
    counted = Message.objects.filter(created_at__gte=now - MAIL_SINCE).aggregate(
        overdue=Count("pk", filter=Q(mail_state=MailState.QUEUED, due_at__lt=now - OVERDUE_AFTER)),
        failed=Count("pk", filter=Q(mail_state=MailState.FAILED)),
        unknown=Count("pk", filter=Q(mail_state=MailState.UNKNOWN)),
    )
    words = {
        "overdue": "should have been sent by now",
        "failed": MailState.FAILED.label,
        "unknown": MailState.UNKNOWN.label,
    }
    return [f"{counted[key]} {says}" for key, says in words.items() if counted[key]]


def _gather(user: Any) -> dict[str, Any] | None:
    if not can(user, Permission.OPERATE):
        return None
    found = findings()
    return {
        "findings": [
            {"label": _NAMES.get(one.name, one.name), "ok": one.ok, "says": one.says} for one in found
        ],
        "mail": troubled_mail(),
    }


def register() -> None:
    """Hand in the operator's panel."""
    register_panel(Panel("installation", "Installation", "_dashboard_installation.html", _gather, order=5))
