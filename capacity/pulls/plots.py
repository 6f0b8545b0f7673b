"""What is asked of a provider's monitoring, and what its points are worth. Pure.

It keeps every measurement for two days, and averages over minutes to a day for longer; how long it keeps which is not
documented, so the finest one that still answers is looked for. An answer has at most 1,440 points.
Source: provider reference, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from portal.cloud.types import Plotted, Resolution

MOST_POINTS = 1440
FULL_KEPT = timedelta(days=2)
SPARE = timedelta(hours=1)
"""How much younger than `FULL_KEPT` must be what is asked for in full: the answer takes its time."""
JOIN = timedelta(hours=6)
"""By how much history goes on into full data, so that the next question, hours later perhaps, is one in full."""
PERIOD_S = 60
"""The period of a check that names none."""
MOST_GAP = 3
"""Over how many periods without a point a counter's growth still tells a rate."""
_COARSER = tuple(Resolution)


@dataclass(frozen=True)
class Stretch:
    """One question: both ends, and how fine."""

    begins: datetime
    ends: datetime
    resolution: Resolution


def stretch(
    reached: datetime,
    now: datetime,
    *,
    back_s: float,
    period_s: int | None,
    finest: Resolution = Resolution.MIN5,
) -> Stretch:
    """Return the next question on the way from `reached` to `now`, reaching back for what came late.

    What is older than full data is kept is asked for in `finest` (never FULL), from one point earlier, since a rate needs
    two; it is history, for which nothing comes late. `back_s` counts for full data only.
    """
    full_from = now - FULL_KEPT + SPARE
    if reached >= full_from:
        first = max(reached - timedelta(seconds=back_s), full_from)
        return Stretch(first, _end(first, now, period_s or PERIOD_S), Resolution.FULL)
    if finest is Resolution.FULL:
        raise ValueError("full data of that age is not kept")
    first = reached - timedelta(seconds=finest.width_s)
    return Stretch(first, _end(first, full_from + JOIN, finest.width_s), finest)


def _end(first: datetime, last: datetime, width_s: int) -> datetime:
    """Return the last moment that an answer still has room for, a tenth kept free: checks run early now and then."""
    return max(first, min(last, first + timedelta(seconds=width_s * (MOST_POINTS * 9 // 10))))


def coarser(resolution: Resolution) -> Resolution | None:
    """Return the next coarser one; None after the coarsest."""
    place = _COARSER.index(resolution) + 1
    return _COARSER[place] if place < len(_COARSER) else None


def step_s(resolution: Resolution, period_s: int | None) -> int:
    """Return the seconds between two points."""
    return resolution.width_s or period_s or PERIOD_S


def rates(points: Sequence[Plotted], step_s: int, *, is_averaged: bool) -> tuple[Plotted, ...]:
    """Return by how much a cumulative counter grew each second, at the later point of each pair.

    A counter that fell began anew (a reboot): that pair tells nothing, and of averages the next one neither, since the
    average in which it began anew is made of both. Over a gap of more than `MOST_GAP` steps nothing is told.
    """
    found: list[Plotted] = []
    has_fallen = False
    for before, after in pairwise(points):
        seconds = (after.at - before.at).total_seconds()
        if seconds <= 0:
            raise ValueError("the points are not in order of time")
        fell = after.value < before.value
        if not fell and not (is_averaged and has_fallen) and seconds <= MOST_GAP * step_s:
            found.append(Plotted(after.at, (after.value - before.value) / seconds))
        has_fallen = fell
    return tuple(found)


def is_stale(newest: datetime | None, now: datetime, step_s: int) -> bool:
    """Whether the newest point says nothing of now: there is none, or it is more than `MOST_GAP` steps old."""
    return newest is None or (now - newest).total_seconds() > MOST_GAP * step_s
