"""Whom a standstill touches, and the record of it on each of them."""

from __future__ import annotations

import uuid
from typing import Any

from django.apps import apps
from django.db.models import QuerySet

from portal.audit.services import Recorded, record, record_many
from portal.audit.subjects import Sealer, named_in
from portal.runs.models import Standstill


def accounts_in(scope: str) -> QuerySet[Any]:
    """Return the accounts that a scope touches: `all`, `team:<ref>`, `account:<ref>` or `connection:<ref>`."""
    kind, _, ref = scope.partition(":")
    rows = apps.get_model("accounts", "Account")._default_manager.select_related("team").order_by("pk")
    if kind == "all":
        return rows
    path = {"account": "ref", "connection": "connections__ref", "team": "team__ref"}.get(kind)
    try:
        return rows.filter(**{path: uuid.UUID(ref)}) if path else rows.none()
    except ValueError:
        return rows.none()


def sealed_in(scope: str, text: str) -> str:
    """Return a typed text as it is kept: whom it names of the accounts touched stands in it under their own keys."""
    return Sealer(named_in(accounts_in(scope), text)).text(text)


def put_on_record(what: str, standstill: Standstill, *, actor: Any, reason: str) -> None:
    """Put on the record of every account touched that it was put or lifted, in the caller's transaction.

    The typed words of one that reaches beyond an account stand on a record of no account, for operators; on the
    accounts' own stands what their customers may read.
    """
    is_lift = standstill.lifted_at is not None
    scope = {"scope": standstill.scope}
    before, after = (scope, {}) if is_lift else ({}, scope)
    told = reason
    # The title of one of them is why it was put.
    people = named_in(accounts_in(standstill.scope), f"{reason}\n{standstill.reason}")
    if standstill.is_wide:
        record(
            what, actor=actor, subject=standstill, before=before, after=after, reason=reason, people=people
        )
        told = standstill.public_lift_reason if is_lift else standstill.public_reason
    touched = [
        Recorded(standstill, before=before, after=after, account=account)
        for account in accounts_in(standstill.scope)
    ]
    record_many(what, touched, actor=actor, account=None, reason=told, people=people)
