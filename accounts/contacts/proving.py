"""Which mail addresses and numbers of contacts are proven: answered on that very channel, not just typed in.

A proof is kept with a keyed hash of the value, bound to the contact: a changed value has none, and nothing can be found
by it across accounts. A shared mailbox proves the mailbox, not a person. A mailbox from which mail came back is unproven
until somebody answers on it anew, also where the address was changed and changed back meanwhile.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from accounts.contacts.models import ChannelProof, ProvenKind
from accounts.models import Contact


@dataclass(frozen=True)
class Proven:
    """One proof that counts: when, how, and, if asked for, who logged it ("" where the person answered)."""

    at: datetime
    how: str
    by_name: str = ""


@dataclass(frozen=True)
class Standing:
    """What of a contact is proven now: the mail address, and which of the numbers."""

    mail: Proven | None = None
    phones: Mapping[str, Proven] = field(default_factory=dict)
    is_shared_mailbox: bool = False

    @property
    def person_at(self) -> datetime | None:
        """When it was last proven that this very person can be reached; None if it never was."""
        found = [one.at for one in self.phones.values()]
        if self.mail is not None and not self.is_shared_mailbox:
            found.append(self.mail.at)
        return max(found, default=None)

    @property
    def is_proven(self) -> bool:
        """Whether the person was proven on any channel that stands."""
        return self.person_at is not None


UNPROVEN = Standing()


def digests_of(contact: Any, kind: str, value: str) -> list[str]:
    """Return the keyed hashes of a value, by the present key first and then by the ones that it replaced."""
    text = f"{contact.ref}\n{kind}\n{value.strip().lower()}".encode()
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return [hmac.new(f"contacts.proof:{key}".encode(), text, sha256).hexdigest() for key in keys]


def digest_of(contact: Contact, kind: str, value: str) -> str:
    """Return the keyed hash of a value as it is kept with a new proof."""
    return digests_of(contact, kind, value)[0]


def numbers_of(contact: Any) -> list[str]:
    """Return a contact's numbers, the best first."""
    return [number for number in (contact.phone, *contact.more_phones) if number]


def standings(
    contacts: Iterable[Any], *, with_names: bool = False, among: QuerySet[Contact] | None = None
) -> dict[int, Standing]:
    """Return what is proven of each contact, by its key: one query for all of them. Doubtful proofs count for nothing.

    `contacts` are contacts, or rows with what is asked of them here. `with_names` opens who logged each proof, which takes
    one query more. `among` are the contacts as a queryset, where naming each of thousands would cost more than the answer.
    """
    rows = {contact.pk: contact for contact in contacts}
    if not rows:
        return {}
    proofs: dict[int, dict[tuple[str, str], ChannelProof]] = {}
    whose: Any = list(rows) if among is None else among.order_by().values("pk")
    found = ChannelProof.objects.filter(contact__in=whose, is_doubtful=False).order_by("pk")
    for proof in found if with_names else found.sealed():
        proofs.setdefault(proof.contact_id, {})[proof.kind, proof.value_digest] = proof
    return {pk: _standing(contact, proofs.get(pk, {}), with_names) for pk, contact in rows.items()}


def _standing(contact: Any, proofs: Mapping[tuple[str, str], ChannelProof], with_names: bool) -> Standing:
    if not proofs:
        return Standing(is_shared_mailbox=contact.is_shared_mailbox)

    def newest(kind: str, value: str, after: datetime | None = None) -> Proven | None:
        found = [
            proofs[kind, digest] for digest in digests_of(contact, kind, value) if (kind, digest) in proofs
        ]
        found = [proof for proof in found if after is None or proof.at > after]
        last = max(found, key=lambda proof: proof.at, default=None)
        return None if last is None else Proven(last.at, last.how, last.by_name if with_names else "")

    phones = {number: newest(ProvenKind.PHONE, number) for number in numbers_of(contact)}
    # Where no mail arrives, or where it reaches somebody else, nobody is reached: an answer of before says nothing.
    is_reached = contact.email and contact.bouncing_since is None and contact.disowned_at is None
    return Standing(
        mail=newest(ProvenKind.MAIL, contact.email, contact.mail_unproven_at) if is_reached else None,
        phones={number: proven for number, proven in phones.items() if proven is not None},
        is_shared_mailbox=contact.is_shared_mailbox,
    )
