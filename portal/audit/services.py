"""Writing the audit. `record` in the transaction of the change, `record_outside` for what was refused.

    before = snapshot(contact)
    …change and save…
    record("contact.changed", actor=user, account=contact.account, subject=contact,
           before=before, after=snapshot(contact))

Only the fields that differ are kept; secrets are masked by the name of their field. What is personal goes in sealed
under the person's own key: the personal fields of the subject, and in every text the names, mail addresses and phone
numbers of the actor, the subject and whom it names (`people` of its model, or the argument).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import structlog
from django.core.cache import cache
from django.db import models, transaction
from redis.exceptions import RedisError

from portal.audit.facts import current_facts, neighbourhood
from portal.audit.models import AuditEntry
from portal.audit.subjects import Sealer, named_in, people_of, subject_of

log = structlog.get_logger(__name__)
MASK = "•••"
FLOOD_WINDOW_S = 60
_SECRET_WORDS = ("password", "secret", "api_key", "token", "private_key", "credential")


# Asked of every field of every row that changes, and there are not many names.
@lru_cache(maxsize=2000)
def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET_WORDS) and not name.endswith(("_prefix", "_ref"))


def _plain(value: Any) -> Any:
    """Return `value` as JSON can hold it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {
            str(key): MASK if _is_secret(str(key)) and item else _plain(item) for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, uuid.UUID | Decimal):
        return str(value)
    if isinstance(value, models.Model):
        return str(getattr(value, "ref", value.pk))
    return str(value)


def snapshot(row: models.Model, fields: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Return the row's own fields as plain values, secrets masked, rows that it points to by reference; `fields` narrows them.

    A masked secret that changed still shows as changed: the mask carries nothing of the secret, so
    `record` is told of it by `changed_secrets`.
    """
    found: dict[str, Any] = {}
    for column in row._meta.concrete_fields:
        if column.primary_key or (fields is not None and column.name not in fields):
            continue
        if column.name in {"updated_at", "created_at", *getattr(row, "unrecorded_fields", ())}:
            continue
        if column.is_relation:
            # Keys count over the whole installation: they would tell customers how many there are of everything.
            if column.name != "account" and (ref := _reference(row, column)) is not None:
                found[column.name] = ref
            continue
        value = getattr(row, column.attname)
        found[column.name] = MASK if _is_secret(column.name) and value else _plain(value)
    return found


def _reference(row: models.Model, column: Any) -> str | None:
    """Return the reference of a related row, "" where there is none; None for what has no references."""
    related = column.related_model
    if not any(one.name == "ref" for one in related._meta.concrete_fields):
        return None
    key = getattr(row, column.attname)
    if key is None:
        return ""
    if column.is_cached(row):
        return str(getattr(row, column.name).ref)
    return str(related._base_manager.values_list("ref", flat=True).get(pk=key))


def _differing(
    before: Mapping[str, Any], after: Mapping[str, Any], secrets: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    if before and after:
        names = [
            name for name in {**before, **after} if before.get(name) != after.get(name) or name in secrets
        ]
        return {n: before[n] for n in names if n in before}, {n: after[n] for n in names if n in after}
    return dict(before), dict(after)


def record(
    what: str,
    *,
    actor: Any = None,
    on_behalf_of: Any = None,
    account: Any = None,
    subject: models.Model | None = None,
    subject_type: str = "",
    subject_ref: str = "",
    subject_label: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    changed_secrets: tuple[str, ...] = (),
    reason: str = "",
    people: Iterable[Any] = (),
) -> AuditEntry:
    """Write one entry in the caller's transaction, so that change and entry stand or fall together.

    `actor` is a user or None (the system, or a stranger); `account` an account row or None; `people` are further
    persons whose names may stand in it; those of the account whom the reason names are found here, and those whom the title or
    another value of a subject names that people title as they like (`is_titled_freely`). The entry that is returned reads in the clear.
    """
    known = actor if getattr(actor, "is_authenticated", False) else None
    typed = reason
    if getattr(subject, "is_titled_freely", False):
        typed = "\n".join([reason, subject_label or str(subject), *_texts_in(before), *_texts_in(after)])
    sealer = Sealer(
        person
        for row in (known, on_behalf_of, subject, *people, *named_in(account, typed))
        for person in people_of(row)
        if person is not None
    )
    entry = _entry(
        what,
        sealer=sealer,
        known=known,
        on_behalf_of=on_behalf_of,
        account=account,
        subject=subject,
        subject_type=subject_type,
        subject_ref=subject_ref,
        subject_label=subject_label,
        before=before or {},
        after=after or {},
        changed_secrets=changed_secrets,
        reason=reason,
    )
    entry.save(force_insert=True)
    # The caller reads on in the clear what it has just said; no key is looked for again.
    was, became = _differing(before or {}, after or {}, changed_secrets)
    label = (subject_label or (str(subject) if subject is not None else ""))[:200]
    entry.actor_name, entry.subject_label, entry.reason = str(known) if known else "", label, reason
    entry.on_behalf_of_name = str(on_behalf_of) if on_behalf_of else ""
    entry.before, entry.after = _plain(was), _plain(became)
    return entry


def _texts_in(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts_in(item)


def _entry(
    what: str,
    *,
    sealer: Sealer,
    known: Any,
    on_behalf_of: Any = None,
    account: Any,
    subject: models.Model | None,
    subject_type: str = "",
    subject_ref: str = "",
    subject_label: str = "",
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    changed_secrets: tuple[str, ...] = (),
    reason: str,
) -> AuditEntry:
    """Return an entry, sealed and not yet written."""
    facts = current_facts()
    was, became = _differing(before, after, changed_secrets)
    if subject is not None:
        subject_type = subject_type or subject._meta.label_lower
        subject_ref = subject_ref or str(getattr(subject, "ref", subject.pk))
        subject_label = subject_label or str(subject)
    label = subject_label[:200]
    own = subject_of(subject) if subject is not None else None
    return AuditEntry(
        what=what,
        actor_ref=str(known.ref) if known else "",
        actor_name=sealer.name(known) if known else "",
        on_behalf_of_ref=str(on_behalf_of.ref) if on_behalf_of else "",
        on_behalf_of_name=sealer.name(on_behalf_of) if on_behalf_of else "",
        account_ref=account.ref if account is not None else None,
        account_name=str(account)[:200] if account is not None else "",
        subject_type=subject_type[:60],
        subject_ref=subject_ref[:64],
        subject_label=sealer.value(own, label) if own is not None and label else sealer.text(label),
        before=sealer.fields(subject, _plain(was)),
        after=sealer.fields(subject, _plain(became)),
        reason=sealer.text(reason),
        address=facts.address,
        token_prefix=facts.token_prefix,
        request_id=facts.request_id[:64],
    )


@dataclass(frozen=True)
class Recorded:
    """One row that was changed together with many others: what it was and what it became.

    `account` is the account on whose record it stands, where that is not one for all.
    """

    subject: models.Model
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    account: Any = None


def record_many(
    what: str,
    rows: Sequence[Recorded],
    *,
    actor: Any,
    account: Any,
    reason: str = "",
    people: Iterable[Any] = (),
) -> None:
    """Write an entry for each of `rows`, as `record` does one by one, in a number of queries that does not grow with them.

    In each stand the names of its own subject, of whom that and the reason name, of the actor and of `people` under
    their keys; nobody else's.
    """
    known = actor if getattr(actor, "is_authenticated", False) else None
    named = [*people, *named_in(account, reason)]
    every = Sealer(
        person for row in (known, *named, *(one.subject for one in rows)) for person in people_of(row)
    )
    AuditEntry.objects.bulk_create(
        (
            _entry(
                what,
                sealer=every.narrowed([*people_of(known), *named, *people_of(one.subject)]),
                known=known,
                account=one.account or account,
                subject=one.subject,
                before=one.before,
                after=one.after,
                reason=reason,
            )
            for one in rows
        ),
        batch_size=1000,
    )


def record_outside(what: str, **fields: Any) -> AuditEntry:
    """Write one entry that no rollback of the request can lose: refusals and failed log-ins.

    Must be called after the request's own transaction has ended; inside one it raises RuntimeError.
    """
    with transaction.atomic(durable=True):
        return record(what, **fields)


def record_flood(what: str, *, why: str = "", **fields: Any) -> AuditEntry | None:
    """Like `record_outside` for what a stranger can cause at will: one entry a minute per address and `why`.

    What came in between is counted, and the next entry says how many there were (`after.not_listed`).
    Returns None for what was only counted. With Redis away every one is written: rather many than none.
    """
    after = dict(fields.pop("after", None) or {})
    key = f"audit-flood:{what}:{why}:{neighbourhood(current_facts().address)}"
    try:
        if not cache.add(f"{key}:minute", 1, timeout=FLOOD_WINDOW_S):
            cache.add(f"{key}:count", 0, timeout=_COUNT_KEPT_S)
            cache.incr(f"{key}:count")
            return None
        not_listed = int(cache.get(f"{key}:count") or 0)
        if not_listed:
            cache.decr(f"{key}:count", not_listed)
            after["not_listed"] = not_listed
    except (RedisError, ValueError) as error:
        log.warning("audit_flood_unknown", error=type(error).__name__)
    return record_outside(what, after=after, **fields)


_COUNT_KEPT_S = 24 * 3600
