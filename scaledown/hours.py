"""The hours of change windows: when something new may begin (invariant 6). Pure.

A plan has one window in which servers leave the pool, or several, one a day: what does not fit into one goes on in the next. A
hold often ends after the last one, through a peak always: what is begun with a held server then (its stop, its image, its
deletion) waits for the same hours of a later day, when people are there as they were in the window. Windows are moments, made
in the account's zone as the plan is drawn up; hours of days after the last one are those of the last in UTC, so that they move
by an hour where clocks change.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from scaledown.types import PlanData, PlannedWindow

DAY = timedelta(days=1)


def windows(plan: PlanData) -> tuple[PlannedWindow, ...]:
    """Return the windows of a plan that have a beginning and an end, in order."""
    if plan.window_start is None or plan.window_end is None:
        return ()
    return (PlannedWindow(plan.window_start, plan.window_end), *plan.later_windows)


def begins_at(plan: PlanData, at: datetime) -> datetime:
    """Return the first moment from `at` on at which servers may leave the pool; `at` itself after the last window."""
    if plan.window_start is not None and at < plan.window_start:
        return plan.window_start
    if not is_closed(plan, at):
        return at
    following = next_after(plan, at)
    return at if following is None else following.starts_at


def is_closed(plan: PlanData, at: datetime) -> bool:
    """Return whether a window is over and none is on."""
    is_over = plan.window_end is not None and at >= plan.window_end
    return is_over and not any(one.starts_at <= at < one.ends_at for one in plan.later_windows)


def next_after(plan: PlanData, at: datetime) -> PlannedWindow | None:
    """Return the first window that begins after `at`, if there is one."""
    return next((one for one in windows(plan) if one.starts_at > at), None)


def closes_at(plan: PlanData, at: datetime) -> datetime | None:
    """Return when the newest window that has begun by `at` ends, also where that is over; before the first when that ends."""
    begun = [one for one in plan.later_windows if one.starts_at <= at]
    return begun[-1].ends_at if begun else plan.window_end


def has_opened_since(plan: PlanData, since: datetime, at: datetime) -> bool:
    """Return whether a later window has begun by `at`, and not by `since` yet."""
    return any(since < one.starts_at <= at for one in plan.later_windows)


def is_over(plan: PlanData, at: datetime) -> bool:
    """Return whether the last window is over."""
    last = plan.later_windows[-1].ends_at if plan.later_windows else plan.window_end
    return last is not None and at >= last


def opens_at(plan: PlanData, at: datetime) -> datetime:
    """Return the first moment from `at` on in the hours of the windows; `at` itself where the plan names no such hours."""
    named = windows(plan)
    if not named or named[0].ends_at - named[0].starts_at >= DAY:
        return at
    for one in named:
        if at < one.ends_at:
            return max(at, one.starts_at)
    start, end = named[-1].starts_at, named[-1].ends_at
    opened = start + ((at - start) // DAY) * DAY
    return at if at < opened + (end - start) else opened + DAY


def is_open(plan: PlanData, at: datetime) -> bool:
    """Return whether something new may begin with a held server."""
    return opens_at(plan, at) <= at
