"""Moments as programs write them in an address (RFC 3339)."""

from __future__ import annotations

from datetime import UTC, datetime

EARLIEST_YEAR, LATEST_YEAR = 1970, 9000
"""Both excluded: nothing was or will be there."""


def moment_of(text: str) -> datetime | None:
    """Return an aware UTC time; None for what is none, has no offset, or lies where nothing was or will be."""
    try:
        # A plus that was not escaped comes as a blank.
        given = datetime.fromisoformat(text.strip().replace(" ", "+"))
        found = given.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found if given.tzinfo is not None and EARLIEST_YEAR < found.year < LATEST_YEAR else None
