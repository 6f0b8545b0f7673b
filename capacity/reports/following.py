"""Which known stretch an analysed one continues. Pure: another night's analysis moves, joins and loses stretches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Window:
    """One stretch in [`starts_at`, `ends_at`), up or down; `is_live`: it was seen by the analysis before, or decided."""

    starts_at: datetime
    ends_at: datetime
    is_rise: bool
    is_live: bool = True


def continued(known: Sequence[Window], found: Sequence[Window]) -> list[int | None]:
    """Return, for each found stretch, the place in `known` of the one that it continues; None for a new one.

    They go the same way and were on at the same time. Each known one is continued once at most: where two are one by now it
    is the one that was on for longer of it, so that an hour which somebody dismissed does not stand for the days around it.
    """
    pairs = sorted(
        (
            (not old.is_live, -shared.total_seconds(), old.starts_at, at, place)
            for at, new in enumerate(found)
            for place, old in enumerate(known)
            if (shared := _shared(old, new)) > timedelta(0)
        ),
    )
    of: list[int | None] = [None] * len(found)
    taken: set[int] = set()
    for _, _, _, at, place in pairs:
        if of[at] is None and place not in taken:
            of[at] = place
            taken.add(place)
    return of


def _shared(one: Window, other: Window) -> timedelta:
    """Return for how long both were on; nothing where one is a rise and the other a fall."""
    if one.is_rise is not other.is_rise:
        return timedelta(0)
    return max(timedelta(0), min(one.ends_at, other.ends_at) - max(one.starts_at, other.starts_at))


TOGETHER = timedelta(hours=6)
"""Metrics leave their bands hours apart in the same event."""


def begin_together(one: Window, other: Window) -> bool:
    """Whether two stretches of different metrics are of one happening, of which people are told once."""
    return _shared(one, other) > timedelta(0) and abs(one.starts_at - other.starts_at) <= TOGETHER
