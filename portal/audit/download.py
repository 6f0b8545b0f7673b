"""The audit as CSV: streamed in batches, safe to open in a spreadsheet, and itself on record."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse

from portal.access import Permission, in_database
from portal.audit.filters import AuditFilter
from portal.audit.models import AuditEntry, AuditSeal
from portal.audit.selectors import entries_of_account, entries_of_installation, for_reader
from portal.audit.services import record
from portal.csvfile import NOT_WHOLE, lines
from portal.errors import Refused

BATCH = 500
COLUMNS = (
    "at",
    "what",
    "actor",
    "actor_ref",
    "on_behalf_of",
    "subject_type",
    "subject",
    "subject_ref",
    "before",
    "after",
    "reason",
    "address",
    "token_prefix",
    "request_id",
    "seal",
)


def download(
    account: Any,
    wanted: AuditFilter,
    *,
    actor: Any,
    granted: frozenset[Permission],
    reason: str,
    may_read_on: Callable[[], bool],
) -> StreamingHttpResponse:
    """Return the account's entries as CSV, newest first, as `actor` may read them; raises Refused without a reason.

    That it was taken is on record before the first line leaves. Entries from after that moment are not in it.
    `may_read_on` is asked before each batch; a no ends the file.
    """
    rows = entries_of_account(actor, account, granted)
    return _file(
        rows,
        wanted,
        granted,
        str(account.ref),
        actor=actor,
        account=account,
        reason=reason,
        may_read_on=may_read_on,
    )


def download_installation(
    wanted: AuditFilter, *, actor: Any, reason: str, may_read_on: Callable[[], bool]
) -> StreamingHttpResponse:
    """Return what belongs to no account as CSV, for an operator; raises Refused without a reason."""
    granted = frozenset({Permission.MEMBER_EDIT})
    return _file(
        entries_of_installation(),
        wanted,
        granted,
        "installation",
        actor=actor,
        account=None,
        reason=reason,
        may_read_on=may_read_on,
    )


def _file(
    entries: QuerySet[AuditEntry],
    wanted: AuditFilter,
    granted: frozenset[Permission],
    name: str,
    *,
    actor: Any,
    account: Any,
    reason: str,
    may_read_on: Callable[[], bool],
) -> StreamingHttpResponse:
    if not reason.strip():
        raise Refused("Say what the download is for: it stays on record.", code="reason_missing")
    entry = record(
        "audit.exported", actor=actor, account=account, subject=account, after=wanted.named(), reason=reason
    )
    rows = wanted.rows(entries).filter(pk__lte=entry.pk)
    response = StreamingHttpResponse(
        _lines(rows, granted, may_read_on), content_type="text/csv; charset=utf-8"
    )
    response["Content-Disposition"] = f'attachment; filename="audit-{name}.csv"'
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return response


async def _lines(
    rows: QuerySet[AuditEntry], granted: frozenset[Permission], may_read_on: Callable[[], bool]
) -> AsyncGenerator[bytes, None]:
    yield lines([COLUMNS])
    before: int | None = None
    while True:
        if not await in_database(may_read_on):
            yield lines([[NOT_WHOLE]])
            return
        batch, seals = await in_database(_batch, rows, before)
        if not batch:
            return
        yield lines([_row(entry, seals.get(entry.pk), granted) for entry in batch])
        before = batch[-1].pk


def _batch(rows: QuerySet[AuditEntry], before: int | None) -> tuple[list[AuditEntry], dict[int, int]]:
    """Return the next entries and their seals' numbers; at most four queries, however many there are."""
    found = rows if before is None else rows.filter(pk__lt=before)
    batch = list(found.order_by("-pk")[:BATCH])
    sealed = (
        AuditSeal.objects.filter(entry__in=[entry.pk for entry in batch])
        if batch
        else AuditSeal.objects.none()
    )
    return batch, dict(sealed.values_list("entry", "no"))


def _row(entry: AuditEntry, seal: int | None, granted: frozenset[Permission]) -> list[Any]:
    entry = for_reader(entry, granted)
    return [
        entry.at,
        entry.what,
        entry.actor_name,
        entry.actor_ref,
        entry.on_behalf_of_name,
        entry.subject_type,
        entry.subject_label,
        entry.subject_ref,
        _json(entry.before),
        _json(entry.after),
        entry.reason,
        entry.address,
        entry.token_prefix,
        entry.request_id,
        seal,
    ]


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, sort_keys=True) if values else ""
