"""The hours of a change window: when something new may begin with a server that is held (invariant 6). Pure.

A plan has one window, in which servers leave the pool. A hold often ends after it, through a peak always: what is begun
with a held server then (its stop, its image, its deletion) waits for the same hours of a later day, when people are there
as they were in the window. Hours are those of the first day in UTC, so that they move by an hour where clocks change.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from scaledown.types import PlanData

DAY = timedelta(days=1)


def opens_at(plan: PlanData, at: datetime) -> datetime:
    """Return the first moment from `at` on in the hours of the window; `at` itself where the plan names no such hours."""
    start, end = plan.window_start, plan.window_end
    if start is None or end is None or end - start >= DAY:
        return at
    if at < start:
        return start
    opened = start + ((at - start) // DAY) * DAY
    return at if at < opened + (end - start) else opened + DAY


def is_open(plan: PlanData, at: datetime) -> bool:
    """Return whether something new may begin with a held server."""
    return opens_at(plan, at) <= at
