"""Reading the audit, one account or one user at a time."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from django.db.models import QuerySet

from portal.audit.models import AuditEntry

# What the team writes for itself. An entry is of the account, whose customers read it too.
TEAM_ONLY_FIELDS = frozenset({"team_notes"})


def entries_of_account(account: Any) -> QuerySet[AuditEntry]:
    """Return everything on record about one account."""
    return AuditEntry.objects.filter(account_ref=account.ref)


def entries_of_installation() -> QuerySet[AuditEntry]:
    """Return what belongs to no account: log-ins, users, teams, tokens, what a stranger was refused."""
    return AuditEntry.objects.filter(account_ref__isnull=True)


def entries_of_user(user: Any) -> QuerySet[AuditEntry]:
    """Return what one user did, newest first."""
    return AuditEntry.objects.filter(actor_ref=str(user.ref)).order_by("-id")


def for_reader(values: Mapping[str, Any], *, reads_team_notes: bool) -> dict[str, Any]:
    """Return an entry's `before` or `after` as a reader may see it: the team's own notes for the team only."""
    hidden: Set[str] = frozenset() if reads_team_notes else TEAM_ONLY_FIELDS
    return {name: value for name, value in values.items() if name not in hidden}
