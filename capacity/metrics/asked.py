"""Moments in addresses: `from` and `to` of a series, for pages and API alike."""

from __future__ import annotations

from datetime import UTC, datetime

from portal.errors import Malformed

FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


def moment_asked(given: str | None, name: str) -> datetime | None:
    """Return the moment in UTC, None where none was given. Raises Malformed (400)."""
    if not given:
        return None
    try:
        # A plus sign in an address is a blank once it is read.
        found = datetime.fromisoformat(given.strip().replace(" ", "+") if "T" in given else given)
        if found.tzinfo is None:
            raise ValueError(given)
        moment = found.astimezone(UTC)
        # What reaches back a while from the first moment of the calendar is none.
        if not FIRST <= moment <= LAST:
            raise ValueError(given)
        return moment
    except (ValueError, OverflowError):
        raise Malformed(
            f"`{name}` is a moment with its zone, like 2026-11-23T12:10:00Z.", code="unknown_parameter"
        ) from None
