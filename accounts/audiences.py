"""Who the people of an account are, for whoever tells them something (portal/notify/registry.py)."""

from __future__ import annotations

from collections.abc import Sequence

from accounts.models import Account, AccountRole, Contact, ContactRole, Membership, TeamMembership, TeamRole
from portal.notify.registry import Recipient, register_audience


def _members(account: Account, roles: Sequence[str]) -> list[Recipient]:
    rows = Membership.objects.filter(account=account, role__in=roles, user__is_active=True)
    return [Recipient(user=row.user, is_customer=True) for row in rows.select_related("user").order_by("pk")]


def customers(account: Account) -> list[Recipient]:
    """Return everybody of the customer's who logs in."""
    return _members(account, AccountRole.values)


def approvers(account: Account) -> list[Recipient]:
    """Return who may decide for the customer."""
    return _members(account, [AccountRole.APPROVER, AccountRole.ADMIN])


def admins(account: Account) -> list[Recipient]:
    """Return who looks after the account at the customer's."""
    return _members(account, [AccountRole.ADMIN])


def launch_managers(account: Account) -> list[Recipient]:
    """Return the account's launch managers, their leads last."""
    rows = TeamMembership.objects.filter(team_id=account.team_id, user__is_active=True)
    listed = rows.select_related("user").order_by("pk")
    return [Recipient(user=row.user) for row in sorted(listed, key=lambda row: row.role == TeamRole.LEAD)]


def leads(account: Account) -> list[Recipient]:
    """Return the leads of the account's team."""
    rows = TeamMembership.objects.filter(team_id=account.team_id, role=TeamRole.LEAD, user__is_active=True)
    return [Recipient(user=row.user) for row in rows.select_related("user").order_by("pk")]


def emergency(account: Account) -> list[Recipient]:
    """Return the customer's emergency contacts who have a mail address, in the order in which they are called."""
    rows = Contact.objects.filter(account=account, roles__contains=[ContactRole.EMERGENCY]).exclude(email="")
    return [
        Recipient(address=row.email, name=row.name, time_zone=row.time_zone, is_customer=True, person=row)
        for row in rows.order_by("escalation_order", "pk")
    ]


def register() -> None:
    """Make them known; called once when the app is ready."""
    for people in (customers, approvers, admins, launch_managers, leads, emergency):
        register_audience(people.__name__, people)
