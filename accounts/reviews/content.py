"""What a review says as one value: frozen at the first signature, signed by its digest, compared with another. Pure.

The frozen form holds its people as tokens of their own keys, so that erasing somebody leaves the digest valid.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from accounts.facts import Finding
from accounts.reviews.grades import Grade

FORMAT = 1


@dataclass(frozen=True)
class Answered:
    """One item as it stands: from live data, by hand, or not at all. `finding` is the live one where there is a fact."""

    key: str
    title: str
    question: str
    grade: Grade
    by: str
    says: str
    rule: str
    observed_at: datetime | None
    expires_at: datetime | None
    parts: tuple[tuple[str, int | float | str], ...]
    reason: str
    notes: str

    @property
    def is_answered(self) -> bool:
        """Whether live data or a person answered it."""
        return self.by != "nobody"


def answered(
    *,
    key: str,
    title: str,
    question: str,
    hand: str,
    reason: str,
    notes: str,
    answered_at: datetime | None,
    finding: Finding | None,
) -> Answered:
    """Return an item as it stands. Live data wins; where it knows nothing, what a person answered counts.

    `hand` is a grade or "", `finding` None where no fact measures it. An answer by hand has no end of its own: it holds as long
    as the review, which begins to with the last signature (`selectors.good_until`).
    """
    if finding is not None and not finding.by_hand and finding.grade is not Grade.UNKNOWN:
        return Answered(
            key,
            title,
            question,
            finding.grade,
            "live",
            finding.says,
            finding.rule,
            finding.observed_at,
            finding.expires_at,
            finding.parts,
            reason,
            notes,
        )
    if hand:
        return Answered(
            key,
            title,
            question,
            Grade(hand),
            "hand",
            "Answered by hand.",
            "An answer by hand holds until the next review is due.",
            answered_at,
            None,
            (),
            reason,
            notes,
        )
    says = finding.says if finding is not None else "Nobody answered it yet."
    rule = finding.rule if finding is not None else "Unknown is never green."
    return Answered(key, title, question, Grade.UNKNOWN, "nobody", says, rule, None, None, (), reason, notes)


def to_plain(item: Answered) -> dict[str, Any]:
    """Return an item as JSON can hold it."""
    return {
        "key": item.key,
        "title": item.title,
        "question": item.question,
        "grade": item.grade.value,
        "by": item.by,
        "says": item.says,
        "rule": item.rule,
        "observed_at": item.observed_at.isoformat() if item.observed_at else None,
        "expires_at": item.expires_at.isoformat() if item.expires_at else None,
        "parts": [list(part) for part in item.parts],
        "reason": item.reason,
        "notes": item.notes,
    }


def canonical(data: Any) -> bytes:
    """Return the one spelling of a JSON value."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of(data: Any) -> str:
    """Return the SHA-256 of a JSON value in its one spelling."""
    return hashlib.sha256(canonical(data)).hexdigest()


def fingerprint(
    *,
    review: str,
    held_on: str,
    people: Sequence[str],
    items: Iterable[Answered],
    actions: Iterable[Mapping[str, Any]],
) -> str:
    """Return what a review says without what changes by itself: ages, figures and wordings of live data.

    While it stays the same, a signature covers what the next signer sees; a grade that turned is another review.
    """
    return digest_of(
        {
            "review": review,
            "held_on": held_on,
            "people": list(people),
            "items": [
                [one.key, one.title, one.grade.value, one.by, one.rule, one.reason, one.notes]
                for one in items
            ],
            "actions": [[str(one[name]) for name in ("ref", "title", "due_on", "state")] for one in actions],
        }
    )


# --- reading a signed one ----------------------------------------------------------------------------------


def with_end(item: Mapping[str, Any], good_until: date | None) -> dict[str, Any]:
    """Return a signed item with the end of its evidence: of an answer by hand that of the review itself.

    What was signed before says another day there, counted from the first signature: the review's is the one that holds.
    """
    if item.get("by") != "hand":
        return dict(item)
    end = None if good_until is None else datetime.combine(good_until, time(), UTC) + timedelta(days=1)
    return {**item, "expires_at": None if end is None else end.isoformat()}


def is_over(item: Mapping[str, Any], now: datetime) -> bool:
    """Whether the evidence of a signed item has expired by now."""
    until = item.get("expires_at")
    return bool(until) and datetime.fromisoformat(str(until)) <= now


def is_intact(data: Any, digest: str) -> bool:
    """Whether a snapshot as it is stored (with its tokens) is what was signed."""
    return digest_of(data) == digest


# --- side by side ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """One item in both snapshots. A side is None where that one does not have it. `change` says which way it went."""

    key: str
    title: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    change: str
    parts: tuple[tuple[str, Any, Any], ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Two snapshots of one account side by side, the older one first."""

    items: tuple[Pair, ...]
    actions_new: tuple[Mapping[str, Any], ...]
    actions_gone: tuple[Mapping[str, Any], ...]
    actions_carried: tuple[Mapping[str, Any], ...]

    @property
    def worse(self) -> int:
        """How many items went down."""
        return sum(1 for one in self.items if one.change == "worse")

    @property
    def better(self) -> int:
        """How many items went up."""
        return sum(1 for one in self.items if one.change == "better")


_RANK = {Grade.GREEN: 0, Grade.UNKNOWN: 1, Grade.AMBER: 2, Grade.RED: 3}


def compare(older: Mapping[str, Any], newer: Mapping[str, Any]) -> Comparison:
    """Return two snapshots side by side, item by item in the order of the newer one, then what only the older has."""
    was = {item["key"]: item for item in older.get("items", [])}
    becomes = {item["key"]: item for item in newer.get("items", [])}
    keys = [*becomes, *(key for key in was if key not in becomes)]
    pairs = tuple(_pair(key, was.get(key), becomes.get(key)) for key in keys)
    open_before = {one["ref"]: one for one in older.get("actions", [])}
    open_after = {one["ref"]: one for one in newer.get("actions", [])}
    return Comparison(
        pairs,
        tuple(one for ref, one in open_after.items() if ref not in open_before),
        tuple(one for ref, one in open_before.items() if ref not in open_after),
        tuple(one for ref, one in open_after.items() if ref in open_before),
    )


def _pair(key: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Pair:
    known: Mapping[str, Any] = after or before or {}
    title = str(known.get("title", key))
    if before is None or after is None:
        return Pair(key, title, before, after, "new" if before is None else "left out")
    one, other = _RANK[Grade(before["grade"])], _RANK[Grade(after["grade"])]
    change = "same" if one == other else ("worse" if other > one else "better")
    was, becomes = dict(map(tuple, before.get("parts", []))), dict(map(tuple, after.get("parts", [])))
    parts = tuple(
        (name, was.get(name), becomes.get(name))
        for name in {**was, **becomes}
        if was.get(name) != becomes.get(name)
    )
    return Pair(key, title, before, after, change, parts)
