"""Whom a text about an account names: on record each stands under the own key, so that an erasure reaches it."""

from __future__ import annotations

from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import StrIndex
from django.db.models.lookups import GreaterThan

from accounts.models import Account, Contact, User

_SHORTEST = 3


def people_in(place: Account | QuerySet[Account], *texts: str) -> list[Contact | User]:
    """Return the contacts, members and team of an account, or of many, whom these texts name; three queries, none for no text."""
    text = "\n".join(texts)
    if not text.strip():
        return []
    contacts, users = Contact.objects.all(), User.objects.all()
    known: list[Contact | User]
    if isinstance(place, QuerySet):
        # Of a whole team, or of everybody: the database looks, for these may be many thousands.
        accounts = place.order_by().values("pk")
        named, named_by_phone = _stands_in(text, "name", "email"), _stands_in(text, "name", "email", "phone")
        known = [*contacts.filter(named_by_phone, account__in=accounts)]
        known += users.filter(named, memberships__account__in=accounts).distinct()
        known += users.filter(named, team_memberships__team__accounts__in=accounts).distinct()
    else:
        known = [*contacts.filter(account=place)]
        known += users.filter(memberships__account=place)
        known += users.filter(team_memberships__team=place.team_id)
    return [one for one in known if any(len(word) >= _SHORTEST and word in text for word in words_of(one))]


def _stands_in(text: str, *fields: str) -> Q:
    """Return what is true of a row of which one of these fields stands in the text."""
    found = Q()
    for name in fields:
        found |= Q(GreaterThan(StrIndex(Value(text), F(name)), 0)) & ~Q(**{name: ""})
    return found


def words_of(person: Contact | User) -> tuple[str, ...]:
    """Return what names a person in a text."""
    return (person.name, person.email, person.phone if isinstance(person, Contact) else "")
