"""The one sealer: committed entries get the next numbers of the chain. Safe when doubled, killed or late.

A trigger notes each new entry in `audit_unsealed` within the entry's own transaction; so what is in there and visible
is committed and unsealed, whatever order the transactions ended in. One batch is one transaction under an advisory
lock: it appends seals and takes their entries off that list.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from portal.audit.chain import FORMAT, GENESIS, Keys, configured_keys, seal_of, selected
from portal.audit.models import AuditEntry, AuditSeal, AuditUnsealed

LATE_AFTER_S = 60.0
"""An entry that is older and still unsealed is a finding of `/readyz` and of `verify_audit`."""
BATCH = 2000
_LOCK = 7_205_101


@dataclass(frozen=True)
class Head:
    """The newest seal: its number, the entry that it covers, its key's id and its 32 bytes."""

    no: int
    entry: int
    key_id: str
    mac: bytes


def head() -> Head | None:
    """Return the newest seal, or None before the first."""
    row = AuditSeal.objects.order_by("-no").first()
    return None if row is None else Head(row.no, row.entry, row.key_id, bytes(row.mac))


def seal_due(*, batch: int = BATCH, budget_s: float = 5.0) -> int:
    """Seal what is committed and unsealed; return how many. 0 also where another sealer is at it.

    Stops after `budget_s` seconds; the next call goes on. Raises ImproperlyConfigured without AUDIT_KEY.
    """
    keys = configured_keys()
    until = time.monotonic() + budget_s
    sealed = 0
    while time.monotonic() < until:
        done = _seal_batch(keys, batch)
        sealed += done
        if done < batch:
            break
    return sealed


@transaction.atomic
def _seal_batch(keys: Keys, batch: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute("SELECT no, mac FROM audit_seal ORDER BY no DESC LIMIT 1")
        no, previous = cursor.fetchone() or (0, GENESIS)
        cursor.execute(
            f"SELECT u.entry, {selected()} FROM audit_unsealed u JOIN audit_auditentry e ON e.id = u.entry"  # noqa: S608
            " ORDER BY u.entry LIMIT %s",
            [batch],
        )
        key = keys.by_id[keys.newest]
        numbers: list[int] = []
        entries: list[int] = []
        before: list[bytes] = []
        macs: list[bytes] = []
        for entry, *values in cursor.fetchall():
            no += 1
            mac = seal_of(key, no=no, previous=bytes(previous), values=values)
            numbers.append(no)
            entries.append(entry)
            before.append(bytes(previous))
            macs.append(mac)
            previous = mac
        if not numbers:
            return 0
        cursor.execute(
            "INSERT INTO audit_seal (no, entry, format, key_id, previous, mac)"
            " SELECT n, e, %s, %s, p, m FROM unnest(%s::bigint[], %s::bigint[], %s::bytea[], %s::bytea[]) AS t(n, e, p, m)",
            [FORMAT, keys.newest, numbers, entries, before, macs],
        )
        cursor.execute("DELETE FROM audit_unsealed WHERE entry = ANY(%s)", [entries])
    return len(numbers)


def unsealed_for_s() -> float:
    """Return for how long the oldest unsealed entry has waited, in seconds of the database's clock; 0 for none."""
    found = (
        AuditEntry.objects.filter(pk__in=AuditUnsealed.objects.values("entry"))
        .annotate(waited=Now() - F("at"))
        .order_by("at")
        .values_list("waited", flat=True)
        .first()
    )
    return max(0.0, found.total_seconds()) if found is not None else 0.0
