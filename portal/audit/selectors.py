"""Reading the audit, one account or one user at a time."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from django.apps import apps
from django.db.models import Q, QuerySet

from portal.access import Permission, visible_to
from portal.audit.models import AuditEntry
from portal.untold import refs_untold

# What the team writes for itself. An entry is of the account, whose customers read it too.
TEAM_ONLY_FIELDS = frozenset({"team_notes"})
# Whole entries that are the team's own have a kind of their own, so that the index alone tells them from the others.
TEAM_ONLY_KINDS = "team_calendar."
# An invitation is told by its mail address, which is shown to those who manage the members, as on every other page.
_INVITATION = "accounts.invitation"


def entries_of_account(user: Any, account: Any, granted: Set[Permission]) -> QuerySet[AuditEntry]:
    """Return what is on record about one account for `user` with these rights: without what the team keeps to itself.

    What must not be known yet comes to light as it is told: the entries stay, and are read from then on.
    """
    rows = AuditEntry.objects.filter(account_ref=account.ref)
    # Left out by what is there, not by a condition for all: the index that narrows the list does not hold the subject.
    if untold := refs_untold(user, account):
        rows = rows.exclude(subject_ref__in=sorted(map(str, untold)))
    return rows if Permission.TEAM_NOTES in granted else rows.exclude(what__startswith=TEAM_ONLY_KINDS)


def entries_of_installation() -> QuerySet[AuditEntry]:
    """Return what belongs to no account: log-ins, users, teams, tokens, what a stranger was refused."""
    return AuditEntry.objects.filter(account_ref__isnull=True)


def entries_of_user(user: Any) -> QuerySet[AuditEntry]:
    """Return what one user did, newest first; of accounts only those that the user may see now."""
    account = apps.get_model("accounts", "Account")
    seen = visible_to(user, account, Permission.AUDIT_VIEW).values("ref")
    of_team = visible_to(user, account, Permission.TEAM_NOTES).values("ref")
    own = AuditEntry.objects.filter(actor_ref=str(user.ref))
    return own.filter(
        Q(account_ref__isnull=True)
        | Q(account_ref__in=seen) & (~Q(what__startswith=TEAM_ONLY_KINDS) | Q(account_ref__in=of_team))
    ).order_by("-id")


def for_reader(entry: AuditEntry, granted: Set[Permission]) -> AuditEntry:
    """Return an entry as a reader with these rights may see it: the same row, with less in it.

    The team's own notes are for the team only; mail addresses of the invited, and where somebody was when changing
    something, for those who manage the members.
    """
    hidden: Set[str] = frozenset() if Permission.TEAM_NOTES in granted else TEAM_ONLY_FIELDS
    if Permission.MEMBER_EDIT not in granted:
        entry.address = None
        if entry.subject_type == _INVITATION:
            hidden |= {"email"}
            entry.subject_label = str(entry.after.get("role") or entry.before.get("role") or "")
    entry.before, entry.after = _without(entry.before, hidden), _without(entry.after, hidden)
    return entry


def _without(values: Mapping[str, Any], hidden: Set[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in hidden}
