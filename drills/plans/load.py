"""Whether a pool carries its present load without the drill's servers, and whether it is away from its top hours. Pure.

What is not known is None: then a person says it, with their name (`checks`).
Source: spec/drills.md, *The ladder*: never in the forecast's top hours, never where the pool would not carry its present load.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from drills.types import DrillPlan

TOP_SHARE = 0.1
"""The highest tenth of a week's hours are its top hours."""
FLAT = 0.1
"""Where the highest hour is no more than so much above the lowest, no hour is a top one."""
WEEK = timedelta(days=7)
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class PoolLoad:
    """One balancer's pool: requests per second now and per server, None where not known; the hours to come."""

    balancer_id: str
    load_rps: float | None = None
    carries_rps: float | None = None
    carries_source: str = ""
    hours: tuple[tuple[datetime, float], ...] = ()


@dataclass(frozen=True)
class Known:
    """What the portal knows itself of a check: True, False, or None where it cannot tell; `says` why."""

    holds: bool | None
    says: str = ""


def carries(plan: DrillPlan, pools: Sequence[PoolLoad]) -> Known:
    """Return whether what is left of every pool carries what it gets now. A rolling reboot takes one at a time."""
    at_once = 1 if plan.one_by_one else len(plan.targets)
    left = plan.pool_size - at_once
    said, is_known = [], bool(pools)
    for one in pools:
        if one.load_rps is None or one.carries_rps is None:
            is_known = False
            continue
        able = left * one.carries_rps
        says = (
            f"Load balancer {one.balancer_id} gets {one.load_rps:.1f} requests/s now; the {left} servers left carry"
            f" {able:.1f} ({one.carries_source})."
        )
        if one.load_rps > able:
            return Known(False, says)
        said.append(says)
    return Known(True, " ".join(said)) if is_known else Known(None)


def top_hours(hours: Iterable[tuple[datetime, float]], now: datetime) -> list[datetime]:
    """Return the beginnings of the top hours of the week to come, in order; none where the forecast is flat, or ends before."""
    coming = [(at, value) for at, value in hours if now - HOUR < at < now + WEEK]
    if not coming:
        return []
    values = sorted((value for _, value in coming), reverse=True)
    if values[0] <= 0 or values[0] - values[-1] <= FLAT * values[0]:
        return []
    # Higher than every hour outside of the tenth: of equals at its edge none is a top one.
    edge = values[min(math.ceil(len(values) * TOP_SHARE), len(values) - 1)]
    return [at for at, value in coming if value > edge]


def away_from_peak(plan: DrillPlan, pools: Sequence[PoolLoad], now: datetime) -> Known:
    """Return whether nothing is disrupted in a top hour of any pool, were the drill begun now."""
    until = now + timedelta(seconds=plan.stops.injected_s if plan.stops else 0.0)
    for one in pools:
        hit = next((at for at in top_hours(one.hours, now) if at < until and at + HOUR > now), None)
        if hit is not None:
            return Known(
                False,
                f"The hour from {hit:%H:%M} UTC is one of the week's busiest on load balancer {one.balancer_id}, by the"
                " forecast. Hold the drill in a quieter one.",
            )
    if pools and all(any(now < at for at, _ in one.hours) for one in pools):
        return Known(True, "By the forecast this is none of the busiest hours of the week.")
    return Known(None)
