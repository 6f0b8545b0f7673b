"""Who the people of an account are, for whoever tells them something (portal/notify/registry.py)."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils import timezone

from accounts.contacts.selectors import call_order
from accounts.models import Account, AccountRole, ContactRole, Membership, TeamMembership, TeamRole
from portal.notify.registry import Recipient, register_audience

MOST_CALLED = 20


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


def editors(account: Account) -> list[Recipient]:
    """Return who of the customer's may change and confirm contacts."""
    return _members(account, [AccountRole.EDITOR, AccountRole.APPROVER, AccountRole.ADMIN])


def emergency(account: Account) -> list[Recipient]:
    """Return the customer's emergency contacts whom mail reaches, whoever is on duty first, in the order of call.

    No more than can be called: the mails of one account must not keep those of all others waiting.
    """
    called = call_order(account, ContactRole.EMERGENCY, timezone.now())
    return [
        Recipient(
            address=one.email,
            name=one.contact.name,
            time_zone=one.time_zone,
            is_customer=True,
            person=one.contact,
        )
        for one in called
        if one.email and one.can_be_called
    ][:MOST_CALLED]


def register() -> None:
    """Make them known; called once when the app is ready."""
    for people in (customers, approvers, editors, admins, launch_managers, leads, emergency):
        register_audience(people.__name__, people)
