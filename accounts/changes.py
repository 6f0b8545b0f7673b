"""What every change of an account's own things asks first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from accounts.models import Account, AccountStatus
from portal.errors import Refused


def apply_changes(row: Any, changes: Mapping[str, Any], allowed: Iterable[str]) -> None:
    """Set the fields that `changes` names, a name as one line. Raises Refused for one that is not among the allowed."""
    unknown = set(changes) - set(allowed)
    if unknown:
        raise Refused(f"These cannot be changed here: {', '.join(sorted(unknown))}.", code="unknown_field")
    for name, value in changes.items():
        setattr(row, name, " ".join(value.split()) if name == "name" else value)


def check_active(account: Account) -> None:
    """Raise Refused for an archived account: it can be read, not changed."""
    if account.status == AccountStatus.ARCHIVED:
        raise Refused(f"{account.name} is archived: it can be read, not changed.", code="archived")


# A PIN has four to eight digits, and somebody who types one says so near it. Every repetition has an end: a pattern that
# tries again from each of a million blanks stops the whole portal.
_PIN = re.compile(
    r"\bpin\b[^\d\n]{0,24}\d(?:[ -]?\d){3,7}(?!\d)"
    r"|(?<![\d+])\d(?:[ -]?\d){3,7}\s?(?:is|=|:)?\s?(?:(?:the|my|our)\s)?(?:support\s)?pin\b",
    re.IGNORECASE,
)


def _close(text: str) -> str:
    """Return a text with one blank where there are many, and its lines without empty ones between."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def check_no_pin(*texts: str) -> None:
    """Raise Refused for a text in which a support PIN seems to stand: it is never stored, not even in a note."""
    if any(_PIN.search(_close(text or "")) for text in texts):
        raise Refused(
            "A support PIN seems to stand in the text. The portal never keeps one: say only that it is ready. "
            "Nothing was kept.",
            code="pin",
        )
