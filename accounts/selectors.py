"""The reads behind accounts' pages and API, already limited to what the user may see."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from django.db.models import Count, Max, Min, Q, QuerySet

from accounts.models import Account, CloudConnection, Contact
from portal.access import Permission, visible_to

CONFIRMED_FOR = timedelta(days=90)
STALE_AFTER = timedelta(days=180)


def freshness(confirmed_on: date | None, *, today: date) -> str:
    """Return how fresh a contact is: confirmed, due (90 days), stale (180 days), unconfirmed (never)."""
    if confirmed_on is None:
        return "unconfirmed"
    age = today - confirmed_on
    if age > STALE_AFTER:
        return "stale"
    return "due" if age > CONFIRMED_FOR else "confirmed"


def accounts_seen(user: Any, *, today: date) -> QuerySet[Account]:
    """Return the accounts that the user sees, each with what is amiss: unconfirmed and old contacts.

    `contact_count`, `contacts_unconfirmed`, `oldest_confirmation`, `emergency_count`: one query.
    """
    due_before = today - CONFIRMED_FOR
    return (
        visible_to(user, Account, Permission.ACCOUNT_VIEW)
        .select_related("team")
        .annotate(
            contact_count=Count("contacts"),
            contacts_unconfirmed=Count(
                "contacts",
                filter=Q(contacts__confirmed_on__isnull=True) | Q(contacts__confirmed_on__lt=due_before),
            ),
            oldest_confirmation=Min("contacts__confirmed_on"),
            newest_confirmation=Max("contacts__confirmed_on"),
            emergency_count=Count("contacts", filter=Q(contacts__roles__contains=["emergency"])),
        )
    )


def concerns(account: Any) -> list[str]:
    """Return what is amiss with an account from `accounts_seen`, worst first, each as a sentence."""
    found = []
    if account.contact_count == 0:
        found.append("nobody to call: no contact is listed")
    elif account.emergency_count == 0:
        found.append("no emergency contact")
    if account.contacts_unconfirmed:
        plural = "contact" if account.contacts_unconfirmed == 1 else "contacts"
        found.append(f"{account.contacts_unconfirmed} {plural} not confirmed in 90 days")
    return found


def worst_first(accounts: QuerySet[Any], limit: int) -> list[Any]:
    """Return up to `limit` accounts with their `concerns`, those with the most amiss first."""
    rows: list[Any] = list(
        accounts.filter(status="active").order_by("emergency_count", "-contacts_unconfirmed", "name", "pk")[
            :limit
        ]
    )
    for row in rows:
        row.concerns = concerns(row)
    return sorted(rows, key=lambda row: -len(row.concerns))


def contacts_of(account: Account, *, today: date) -> list[Any]:
    """Return an account's contacts in their order of call, each with its `freshness`."""
    rows: list[Any] = list(Contact.objects.filter(account=account).order_by("escalation_order", "pk"))
    for row in rows:
        row.freshness = freshness(row.confirmed_on, today=today)
    return rows


def connections_of(account: Account) -> QuerySet[CloudConnection]:
    """Return an account's cloud connections without their keys."""
    return CloudConnection.objects.filter(account=account).defer("api_key").order_by("name", "pk")
