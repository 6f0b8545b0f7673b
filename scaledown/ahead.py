"""Traffic events that are on or come up: whether what stays of a pool carries them. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from capacity.sizing import MOST_SERVERS

if TYPE_CHECKING:
    from scaledown.types import PlanData

AHEAD = timedelta(days=7)
"""An event that begins later than this is no reason to keep servers,"""
SOON = timedelta(days=1)
"""and before one that begins within this they are not taken out unless that was approved as it is."""
SLACK = 1e-9
WORSE = 1.05
"""A forecast moves by some percent from night to night: that alone is nothing worse than what was approved."""
UNSHOWN = "its preview did not show that"
NEAR = "it is near by now"
LONGER = "it ends later by now"
"""Why what was read of an event no longer stands for it, as the end of a sentence."""


class Near(IntEnum):
    """Where a moment lies: the higher, the more an event needs its servers."""

    FAR = 0
    COMING = 1
    SOON = 2
    ON = 3


class Lasting(Protocol):
    """What begins and ends."""

    @property
    def starts_at(self) -> datetime:
        """When it begins."""

    @property
    def ends_at(self) -> datetime:
        """When it is over."""


@dataclass(frozen=True)
class EventShown:
    """An event as somebody read of it: `needed` is how many servers it needs, None where that was not known."""

    ref: str
    starts_at: datetime
    ends_at: datetime
    needed: int | None


def nearness(event: Lasting, at: datetime) -> Near:
    """Return whether an event is on at a moment, or begins within `SOON` or `AHEAD` of it. One that is over is far."""
    if event.ends_at <= at or event.starts_at > at + AHEAD:
        return Near.FAR
    if event.starts_at <= at:
        return Near.ON
    return Near.SOON if event.starts_at <= at + SOON else Near.COMING


def needed_for(peak_rps: float | None, plan: PlanData) -> int | None:
    """Return how many servers a peak needs by what one carries, within the plan's guard; None where that is not known."""
    if peak_rps is None or plan.ceiling_rps is None:
        return None
    exact = peak_rps / (plan.ceiling_rps * plan.guard_share) * (1.0 - SLACK)
    # A figure that somebody mistyped asks for more servers than anybody has.
    return math.ceil(exact) if exact < MOST_SERVERS else MOST_SERVERS


def is_carried(peak_rps: float | None, plan: PlanData) -> bool:
    """Whether what the plan leaves surely carries a peak."""
    needed = needed_for(peak_rps, plan)
    return needed is not None and needed <= plan.target


def needs(peak_rps: float | None, plan: PlanData) -> str:
    """Return what a peak needs beside what the plan leaves, as the end of a sentence."""
    stay = f"{plan.target} {'stays' if plan.target == 1 else 'stay'} by this plan"
    needed = needed_for(peak_rps, plan)
    if needed is None:
        unknown = "its peak is" if peak_rps is None else "what one carries is"
        return f"may need more servers, {unknown} not known, and {stay}"
    return f"needs {needed} server{'' if needed == 1 else 's'}, and {stay}"


def is_nearer(event: Lasting, read: Lasting, *, then: datetime, at: datetime) -> bool:
    """Whether an event is on or begins within a day, and was farther off `then`: where the plan would have begun when it was read of."""
    near = nearness(event, at)
    return near >= Near.SOON and near > nearness(read, then)


def is_more(needed: int | None, read: int | None) -> bool:
    """Whether more servers are needed than somebody read. What is not known any more is more, and so is what was not known."""
    return needed != read and (needed is None or read is None or needed > read)


def why_anew(event: EventShown, read: EventShown, *, then: datetime, at: datetime) -> str:
    """Return why an event holds that was read of, in the preview or by who overrode it, as the end of a sentence; or ""."""
    if is_more(event.needed, read.needed):
        return UNSHOWN
    if is_nearer(event, read, then=then, at=at):
        return NEAR
    return LONGER if event.ends_at > read.ends_at else ""


def _share(peak_rps: float | None, plan: PlanData) -> float | None:
    known = peak_rps is not None and plan.ceiling_rps is not None
    return (peak_rps or 0.0) / plan.target / (plan.ceiling_rps or 1.0) if known else None


def is_worse(plan: PlanData, by_now: PlanData) -> bool:
    """Whether the forecast peak asks more of each server that stays than the guard allows, and than was approved.

    `by_now` is the plan with what one server carries, and the forecast peak, as they are known now. What one carries was known
    and is not any more is worse, too: the plan rests on it.
    """
    if by_now.ceiling_rps is None:
        return plan.ceiling_rps is not None
    now = _share(by_now.forecast_peak_rps, by_now)
    was = _share(plan.forecast_peak_rps, plan)
    return now is not None and now > WORSE * max(plan.guard_share, was or 0.0)
