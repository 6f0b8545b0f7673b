"""Proving the audit: every seal is computed afresh, in one pass, in constant memory, under one snapshot.

What a forger cannot do without the key is make a seal. So a changed entry, a removed one, a removed or moved seal
all break the chain where they happened. A chain that was cut off at its end is whole, only shorter: that shows
against a head that was kept elsewhere (`--head FILE`, or the log event `audit_head`).
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from django.db import connection, transaction

from portal.audit.chain import COLUMNS, FORMAT, GENESIS, Keys, configured_keys, seal_of, selected
from portal.audit.sealer import LATE_AFTER_S, Head

_ROWS = 5000
_LISTED = 20


class Problem(StrEnum):
    """What can be wrong, each as the product's audit names it."""

    FORGED = "forged"
    REMOVED = "removed"
    REORDERED = "reordered"
    CUT_OFF = "cut_off"
    UNSEALED = "unsealed"
    KEY_MISSING = "key_missing"


@dataclass
class Verdict:
    """What was found. `counts` has every problem, `listed` the first 20 sentences of each."""

    seals: int = 0
    head: Head | None = None
    counts: dict[Problem, int] = field(default_factory=dict)
    listed: dict[Problem, list[str]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.counts

    def add(self, problem: Problem, says: str, *, times: int = 1) -> None:
        """Note a problem; its sentence too, while there are few."""
        self.counts[problem] = self.counts.get(problem, 0) + times
        sentences = self.listed.setdefault(problem, [])
        if len(sentences) < _LISTED:
            sentences.append(says)


def verify(known: Head | None = None) -> Verdict:
    """Return what the chain proves; `known` is a head kept elsewhere, with which a cut-off end shows.

    Raises ImproperlyConfigured without AUDIT_KEY.
    """
    keys = configured_keys()
    found = Verdict()
    with transaction.atomic():
        if len(connection.savepoint_ids) == 0:
            with connection.cursor() as cursor:
                # One moment for all: entries that are sealed meanwhile are neither missing nor unsealed.
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        _walk(found, keys, known)
        _look_for_unsealed(found)
    if known is not None and found.seals < known.no and Problem.CUT_OFF not in found.counts:
        found.add(
            Problem.CUT_OFF,
            f"The chain ends at seal {found.head.no if found.head else 0}; the kept head was seal {known.no}.",
        )
    return found


def _walk(found: Verdict, keys: Keys, known: Head | None) -> None:
    expected, last = 1, GENESIS
    for no, entry, version, key_id, previous, mac, *values in _rows():
        found.seals += 1
        if no != expected:
            gone = f"{expected} to {no - 1}" if no - expected > 1 else f"{expected}"
            found.add(
                Problem.REMOVED, f"Seal {gone} is missing before seal {no}.", times=max(1, no - expected)
            )
        is_linked = no != expected or previous == last
        expected, last = no + 1, mac
        found.head = Head(no, entry, key_id, mac)
        if known is not None and no == known.no and mac != known.mac:
            found.add(
                Problem.CUT_OFF,
                f"Seal {no} is another one than the kept head: the end was cut off there or before.",
            )
        key = keys.by_id.get(key_id)
        if key is None:
            found.add(
                Problem.KEY_MISSING, f"Seal {no} was made with the key {key_id}, which is not configured."
            )
        elif version not in COLUMNS:
            found.add(Problem.FORGED, f"Seal {no} has the format {version}, which there is not.")
        elif values[0] is None:
            found.add(Problem.REMOVED, f"Entry {entry}, sealed as {no}, is gone.")
        elif not hmac.compare_digest(
            seal_of(key, no=no, previous=previous, values=values, version=version), mac
        ):
            if is_linked:
                found.add(Problem.FORGED, f"Entry {entry} is not as it was sealed as {no}.")
            else:
                found.add(Problem.REORDERED, f"Seal {no} (entry {entry}) does not stand where it was made.")
        elif not is_linked:
            found.add(Problem.REORDERED, f"Seal {no} follows another seal than the one before it.")


def _rows() -> Iterator[tuple[Any, ...]]:
    """Yield every seal with its entry's columns, by number, a few thousand at a time from the server."""
    # `entry` is unique and numbers rise with it nearly everywhere, so walking both indexes reads each page about once.
    query = (
        f"SELECT s.no, s.entry, s.format, s.key_id, s.previous, s.mac, {selected(FORMAT)}"  # noqa: S608
        " FROM audit_seal s LEFT JOIN audit_auditentry e ON e.id = s.entry ORDER BY s.no"
    )
    with connection.chunked_cursor() as cursor:
        cursor.execute(query)
        while rows := cursor.fetchmany(_ROWS):
            yield from rows


def _look_for_unsealed(found: Verdict) -> None:
    """Find entries without a seal past their minute, and ones that went before they were sealed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), min(e.id), max(e.id) FROM audit_auditentry e"
            " WHERE e.at < clock_timestamp() - make_interval(secs => %s)"
            " AND NOT EXISTS (SELECT 1 FROM audit_seal s WHERE s.entry = e.id)",
            [LATE_AFTER_S],
        )
        count, first, newest = cursor.fetchone()
        if count:
            found.add(
                Problem.UNSEALED,
                f"{count} entries from {first} to {newest} are unsealed for over a minute: the sealer does not run,"
                " or they were written past it.",
                times=count,
            )
        cursor.execute(
            "SELECT count(*), min(u.entry) FROM audit_unsealed u"
            " WHERE NOT EXISTS (SELECT 1 FROM audit_auditentry e WHERE e.id = u.entry)"
        )
        count, first = cursor.fetchone()
        if count:
            found.add(
                Problem.REMOVED,
                f"{count} entries, the first {first}, went before they were sealed.",
                times=count,
            )
