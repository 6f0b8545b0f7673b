"""Whom a text about an account names: on record each stands under the own key, so that an erasure reaches it."""

from __future__ import annotations

from accounts.models import Account, Contact, User

_SHORTEST = 3


def people_in(account: Account, *texts: str) -> list[Contact | User]:
    """Return the account's contacts, members and team whom these texts name; three queries, none for no text."""
    text = "\n".join(texts)
    if not text.strip():
        return []
    known: list[Contact | User] = [*Contact.objects.filter(account=account)]
    known += User.objects.filter(memberships__account=account)
    known += User.objects.filter(team_memberships__team=account.team_id)
    return [one for one in known if any(len(word) >= _SHORTEST and word in text for word in words_of(one))]


def words_of(person: Contact | User) -> tuple[str, ...]:
    """Return what names a person in a text."""
    return (person.name, person.email, person.phone if isinstance(person, Contact) else "")
