"""Reading the audit, one account or one user at a time."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from portal.audit.models import AuditEntry


def entries_of_account(account: Any) -> QuerySet[AuditEntry]:
    """Return everything on record about one account."""
    return AuditEntry.objects.filter(account_ref=account.ref)


def entries_of_user(user: Any) -> QuerySet[AuditEntry]:
    """Return what one user did, newest first."""
    return AuditEntry.objects.filter(actor_ref=str(user.ref)).order_by("-id")
