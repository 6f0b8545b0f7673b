"""Whom the form of a drill offers: to take part, and to watch. An account may have more than anybody reads through."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from accounts.models import Account, Contact, User
from portal import access
from portal.access import Permission
from portal.search import containing

MOST_CONTACTS = 50
MOST_WATCHERS = 60


@dataclass(frozen=True)
class Offered:
    """Who stands to choose from: whoever is chosen, then the first ones, or those whom a search found.

    `text` is what was searched for, `has_found` whether it found anybody; `has_more` says that others stand nowhere.
    """

    contacts: Sequence[Contact]
    watchers: Sequence[User]
    text: str = ""
    has_found: bool = True
    has_more: bool = False


def offered(
    account: Account, *, contacts: Collection[str] = (), watchers: Collection[str] = (), text: str = ""
) -> Offered:
    """Return whom to offer where these are chosen already, each by their reference. Up to five queries."""
    of_account = Contact.objects.filter(account=account)
    may_watch = access.holders(Permission.DRILL_VIEW, account)
    called = of_account.exclude(roles=[]).order_by("escalation_order", "name", "pk")
    # Whoever has no role is in no order of call, and found by name only.
    named = containing(of_account, text, "name", "email").order_by("name", "pk")
    found = list((named if text else called)[:MOST_CONTACTS])
    seen = list(containing(may_watch, text, "name", "email")[:MOST_WATCHERS])
    chosen = list(of_account.filter(ref__in=_refs(contacts)).order_by("name", "pk"))
    watching = list(may_watch.filter(ref__in=_refs(watchers)))
    shown = list({one.pk: one for one in (*chosen, *found)}.values())
    seeing = list({one.pk: one for one in (*watching, *seen)}.values())
    return Offered(
        shown,
        seeing,
        text,
        has_found=bool(found or seen),
        has_more=of_account.count() > len(shown) or len(seen) >= MOST_WATCHERS,
    )


def _refs(given: Collection[str]) -> list[UUID]:
    """Return those references that are some: what a form sends may be anything."""
    found = []
    for one in given:
        try:
            found.append(UUID(one))
        except ValueError:
            continue
    return found
