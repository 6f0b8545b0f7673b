"""Saying what happened. `emit` in the transaction of the change, so that both stand or fall together.

emit("contact.confirmed", account=contact.account, subject=contact, actor=user)
emit("run.halted", account=account, subject_type="run", subject_ref=run.ref, data={"code": code})
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.apps import apps
from django.db import connection, models, transaction

from portal.events.models import Event
from portal.runs import wake

_TYPE = re.compile(r"[a-z][a-z_]*(\.[a-z][a-z_]*)+")
_PERSONAL = frozenset(
    {"name", "email", "mail", "phone", "address", "title", "notes", "reason", "label", "says"}
)
_LOOKS_PERSONAL = re.compile(r"[^\s@]@[^\s@]+\.[^\s@]|\+[1-9][0-9]{6,14}$")


def emit(
    type: str,
    *,
    account: Any = None,
    account_ref: uuid.UUID | None = None,
    subject: models.Model | None = None,
    subject_type: str = "",
    subject_ref: object = "",
    data: Mapping[str, Any] | None = None,
    actor: Any = None,
    version: int = 1,
) -> Event:
    """Put an event into the outbox, in the caller's transaction. The relay is woken after the commit.

    `type` is `thing.happened`; `data` holds references, codes, states and numbers: what it means in words, and who
    somebody is, is looked up by whoever may. Raises ValueError for a malformed type and for personal values.
    """
    if not _TYPE.fullmatch(type):
        raise ValueError(f"{type!r} is no type of event: it is written like run.halted.")
    _refuse_personal(data or {})
    if subject is not None:
        subject_type = subject_type or subject._meta.model_name or ""
        subject_ref = subject_ref or getattr(subject, "ref", subject.pk)
    owner = account.ref if account is not None else account_ref
    if owner is None:
        raise ValueError("An event belongs to an account.")
    known = actor if getattr(actor, "is_authenticated", False) else None
    event = Event.objects.create(
        type=type,
        version=version,
        account_ref=owner,
        subject_type=subject_type,
        subject_ref=str(subject_ref),
        actor_ref=str(known.ref) if known else "",
        data=dict(data or {}),
    )
    wake_relay_after_commit()
    return event


def emit_many(
    type: str, subjects: Iterable[tuple[models.Model, Mapping[str, Any]]], *, account: Any, actor: Any
) -> None:
    """Put one event for each of `subjects`, a row and its data, as `emit` does one by one, in few queries."""
    if not _TYPE.fullmatch(type):
        raise ValueError(f"{type!r} is no type of event: it is written like run.halted.")
    known = actor if getattr(actor, "is_authenticated", False) else None
    made = []
    for subject, data in subjects:
        _refuse_personal(data)
        made.append(
            Event(
                type=type,
                version=1,
                account_ref=account.ref,
                subject_type=subject._meta.model_name or "",
                subject_ref=str(getattr(subject, "ref", subject.pk)),
                actor_ref=str(known.ref) if known else "",
                data=dict(data),
            )
        )
    if made:
        Event.objects.bulk_create(made, batch_size=1000)
        wake_relay_after_commit()


def emit_to_scope(type: str, scope: str, **fields: Any) -> int:
    """Put one event for each account that a standstill's scope touches; return how many.

    `scope` is "all", "team:<ref>", "account:<ref>" or "connection:<ref>".
    """
    count = 0
    for ref in _accounts_in(scope):
        emit(type, account_ref=ref, **fields)
        count += 1
    return count


def _accounts_in(scope: str) -> Iterator[uuid.UUID]:
    kind, _, ref = scope.partition(":")
    rows = apps.get_model("accounts", "Account")._default_manager.order_by("pk")
    try:
        known = uuid.UUID(ref) if kind != "all" else uuid.UUID(int=0)
    except ValueError:
        return
    match kind:
        case "all":
            pass
        case "team":
            rows = rows.filter(team__ref=known)
        case "account":
            rows = rows.filter(ref=known)
        case "connection":
            rows = rows.filter(connections__ref=known)
        case _:
            rows = rows.none()
    yield from rows.values_list("ref", flat=True)


def _refuse_personal(data: Mapping[str, Any]) -> None:
    """Keep people out of what is kept, streamed and sent to strangers' servers."""
    for key, value in data.items():
        if key in _PERSONAL:
            raise ValueError(
                f"An event says nothing personal and no sentence: {key!r} does not belong into it."
            )
        for text in _texts(value):
            if _LOOKS_PERSONAL.search(text):
                raise ValueError(f"What stands under {key!r} looks like a mail address or a phone number.")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        _refuse_personal(value)
    elif isinstance(value, Iterable):
        for item in value:
            yield from _texts(item)


def wake_relay_after_commit() -> None:
    """Ask for the relay once the transaction in hand is committed; once, however many events it has."""
    if not any(entry[1] is _wake_relay for entry in connection.run_on_commit):
        transaction.on_commit(_wake_relay)


def _wake_relay() -> None:
    from portal.events.tasks import relay

    wake.hand_over(relay, "relay_wake_up_lost")
