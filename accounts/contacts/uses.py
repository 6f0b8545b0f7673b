"""Who used what is held about people outside of the account's own pages: one row a use, however many people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.contacts.models import ContactUse, UsedBy
from accounts.models import Account, Contact
from portal.audit.facts import current_facts
from portal.audit.subjects import Sealer
from portal.errors import Refused

KEPT_FOR = timedelta(days=400)
# So many may be named in a reason that somebody typed; an export of thousands names nobody.
_NAMED_AT_MOST = 200


@transaction.atomic
def record_use(
    contacts: Iterable[Contact] | QuerySet[Contact],
    *,
    account: Account,
    purpose_reason: str,
    actor: Any,
    way: str = UsedBy.OTHER,
) -> ContactUse | None:
    """Log that contact data of an account was used: what for, by whom (None is the portal), by which way.

    In the caller's transaction, in at most three queries, however many contacts. None if there are none. Raises Refused
    without a reason: purpose is support, so somebody must be able to say for what.
    """
    reason = " ".join(purpose_reason.split())
    if not reason:
        raise Refused("Say what the contact data is for: the reason stays on record.", code="reason_missing")
    if isinstance(contacts, QuerySet) and contacts._result_cache is None:
        ids, rows = list(contacts.order_by().values_list("pk", flat=True)), []
    else:
        rows = list(contacts)
        ids = [contact.pk for contact in rows]
    if not ids:
        return None
    known = actor if getattr(actor, "is_authenticated", False) else None
    sealer = Sealer([known] if known is not None else [], if_known=rows[:_NAMED_AT_MOST])
    facts = current_facts()
    return ContactUse.objects.create(
        account=account,
        contact_ids=sorted(set(ids)),
        way=way,
        reason=sealer.text(reason[:1000]),
        at=timezone.now(),
        digest=_digest(reason),
        by_ref=str(known.ref) if known is not None else "",
        by_name=sealer.name(known) if known is not None else "",
        token_prefix=facts.token_prefix[:20],
        request_id=facts.request_id[:64],
    )


_ONCE_IN = timedelta(hours=1)


def record_read(
    contacts: Sequence[Contact], *, account: Account, reason: str, actor: Any
) -> ContactUse | None:
    """Log that contacts were read by the API. The same by the same token for the same reason is on record once an hour.

    As with the use of tokens (docs/decisions/0023): a program that asks every second would bury who else did.
    """
    ids = sorted({contact.pk for contact in contacts})
    if not ids:
        return None
    by = str(actor.ref) if getattr(actor, "is_authenticated", False) else ""
    known = ContactUse.objects.sealed().filter(
        account=account,
        way=UsedBy.API,
        by_ref=by,
        token_prefix=current_facts().token_prefix[:20],
        at__gt=timezone.now() - _ONCE_IN,
        contact_ids__contains=ids,
        digest=_digest(reason),
    )
    if known.exists():
        return None
    return record_use(contacts, account=account, purpose_reason=reason, actor=actor, way=UsedBy.API)


def _digest(reason: str) -> str:
    return salted_hmac("contacts.use", " ".join(reason.split()), algorithm="sha256").hexdigest()[:16]


def uses_of(contact: Contact) -> QuerySet[ContactUse]:
    """Return who used what is held about a contact, newest first."""
    return ContactUse.objects.filter(account=contact.account_id, contact_ids__contains=[contact.pk]).order_by(
        "-pk"
    )


def forget_old_uses(now: datetime, *, batch: int = 5000) -> int:
    """Drop uses of more than 400 days ago, in batches; return how many."""
    old = ContactUse.objects.filter(at__lt=now - KEPT_FOR).values("pk")[:batch]
    gone, _ = ContactUse.objects.filter(pk__in=old).delete()
    return gone
