"""What the probes and the pool say during a drill: inside the hypothesis or not, and whether a stop condition holds. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from drills.types import BalancerSeen, DrillPlan, Look, Progress, Seen
from portal.cloud.types import Condition, NodeStatus, NodeType

FEWEST_ANSWERS = 5
"""A share of fewer answers than this says nothing."""
FEWEST_FOR_WORST = 20
"""A worst share is taken from so many answers on: one failure among the first five is no fifth of the requests."""
LOST_SIGHT_S = 30.0
"""How long neither pool nor probes may be seen while something is injected."""
LOOK_AGE_S = 10.0
KEPT_S = 600.0
MOST_KEPT = 600


@dataclass(frozen=True)
class Window:
    """The answers of a stretch of time. `error_ratio` and `p95_ms` are None where too few came."""

    asked: int
    failed: int
    error_ratio: float | None
    p95_ms: float | None


def window(seen: Iterable[Seen], since: datetime) -> Window:
    """Return what the probes answered from `since` on; those that could not be asked are left out."""
    known = [one for one in seen if one.at >= since and one.ok is not None]
    failed = sum(one.ok is False for one in known)
    times = sorted(one.latency_ms for one in known if one.ok and one.latency_ms is not None)
    enough = len(known) >= FEWEST_ANSWERS
    return Window(
        asked=len(known),
        failed=failed,
        error_ratio=failed / len(known) if enough else None,
        # Nearest rank, as benchmarks have it.
        p95_ms=times[math.ceil(len(times) * 0.95) - 1] if len(times) >= FEWEST_ANSWERS else None,
    )


def keep(seen: Sequence[Seen], new: Iterable[Seen], now: datetime) -> tuple[Seen, ...]:
    """Return the answers that are still of use, with the new ones."""
    since = now - timedelta(seconds=KEPT_S)
    return tuple(one for one in (*seen, *new) if one.at >= since)[-MOST_KEPT:]


def serving(balancer: BalancerSeen, without: Iterable[str] = ()) -> int:
    """Return how many distinct servers serve on a balancer, by address, not counting addresses in `without`.

    Only a node that is ENABLED, ONLINE and PRIMARY counts; without a health monitor ONLINE means nothing, so that none does.
    """
    if not balancer.has_health_monitor:
        return 0
    left = set(without)
    return len(
        {
            node.address
            for node in balancer.nodes
            if node.condition is Condition.ENABLED
            and node.status is NodeStatus.ONLINE
            and node.type is NodeType.PRIMARY
            and node.address not in left
        }
    )


def unseen(plan: DrillPlan, look: Look, now: datetime) -> list[str]:
    """Return the balancers of a plan that this look does not show freshly."""
    return [
        one
        for one in plan.balancer_ids
        if one not in look.balancers or (now - look.balancers[one].observed_at).total_seconds() > LOOK_AGE_S
    ]


def too_few(plan: DrillPlan, look: Look, now: datetime, without: Iterable[str] = ()) -> str:
    """Return why too few servers serve, not counting addresses in `without`; "" where enough do on every balancer."""
    assert plan.stops is not None
    addresses = tuple(without)
    missing = unseen(plan, look, now)
    if missing:
        return f"Load balancer {', '.join(missing)} cannot be read just now."
    for balancer_id in plan.balancer_ids:
        balancer = look.balancers[balancer_id]
        if not balancer.has_health_monitor:
            return f"{balancer.name} has no health monitor, so it is not known which servers serve."
        count = serving(balancer, addresses)
        if count < plan.stops.floor:
            left = "would serve" if addresses else "serve"
            return f"On {balancer.name} only {count} servers {left}; never fewer than {plan.stops.floor}."
    return ""


def addresses_of(plan: DrillPlan, server_ids: Iterable[str]) -> set[str]:
    """Return the addresses under which targets stand in balancers."""
    wanted = set(server_ids)
    return {
        address
        for target in plan.targets
        if target.server_id in wanted
        for address in (*target.addresses, *(node.address for node in target.nodes))
    }


def why_stop(plan: DrillPlan, progress: Progress, look: Look, now: datetime) -> str:
    """Return the stop condition that holds, as a sentence, while something is injected; else ""."""
    stops, since = plan.stops, progress.injected_at
    if stops is None or since is None:
        return ""
    # What came before the injection is no effect of it.
    found = window(progress.seen, max(now - timedelta(seconds=stops.window_s), since))
    if found.error_ratio is not None and found.error_ratio > stops.error_ratio:
        return (
            f"{found.failed} of {found.asked} probes failed within {stops.window_s:.0f} s"
            f" ({found.error_ratio:.0%}); {stops.error_ratio:.0%} may."
        )
    if stops.p95_ms is not None and found.p95_ms is not None and found.p95_ms > stops.p95_ms:
        return f"95 of 100 answers took up to {found.p95_ms:.0f} ms; {stops.p95_ms:.0f} ms may be."
    oldest = min((one.hit_at for one in progress.targets if one.hit_at and not one.undo_from), default=None)
    if oldest is not None and (now - oldest).total_seconds() > stops.injected_s:
        return f"It has lasted for {(now - oldest).total_seconds():.0f} s; {stops.injected_s:.0f} s may be."
    if plan.balancer_ids and not unseen(plan, look, now):
        return too_few(plan, look, now)
    return ""


def is_calm(plan: DrillPlan, progress: Progress, now: datetime) -> bool | None:
    """Return whether the newest answers of every probe are inside the hypothesis; None where nothing was asked.

    Judged over the last answer of each probe, and over the last half of `calm_s` for the share and the latency.
    """
    newest: dict[str, Seen] = {}
    for one in progress.seen:
        newest[one.probe] = one
    if not plan.probes or not newest:
        return None
    if any(one.ok is not True for one in newest.values()) or len(newest) < len(plan.probes):
        return False
    found = window(progress.seen, now - timedelta(seconds=plan.calm_s / 2))
    limits = plan.hypothesis
    if limits.p95_ms is not None and found.p95_ms is not None and found.p95_ms > limits.p95_ms:
        return False
    return not (
        limits.error_ratio is not None
        and found.error_ratio is not None
        and found.error_ratio > limits.error_ratio
    )
