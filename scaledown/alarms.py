"""Which alarms of the provider's monitoring speak against a scale-down: those of its pool that fire. Pure.

They are shown to whoever approves a plan, and are then known; one that fires beyond that, or worse than that, as the run
is to begin, to go on in its next window or to be resumed, holds it (spec, *Pre-flight*).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from portal.cloud.discovery import same_address
from portal.cloud.types import Alarm, AlarmState, Balancer, Server
from scaledown.candidates import Pool

MOST_NAMED = 3


def of_pool(alarms: Iterable[Alarm], server_ids: Collection[str], places: Iterable[str]) -> tuple[Alarm, ...]:
    """Return the alarms of these servers, by their id, and of what is at these addresses: load balancers, servers by address."""
    at = {same_address(place) for place in places}
    return tuple(
        one
        for one in alarms
        if one.server_id in server_ids
        or (one.server_id is None and any(same_address(place) in at for place in one.addresses))
    )


def of(
    alarms: Iterable[Alarm], balancers: Iterable[Balancer], servers: Collection[Server]
) -> tuple[Alarm, ...]:
    """Return the alarms of these load balancers and servers, as the provider shows them."""
    places = [
        *(place for balancer in balancers for place in balancer.virtual_ips),
        *(place for server in servers for place in server.addresses),
    ]
    return of_pool(alarms, {server.id for server in servers}, places)


def known_of(pool: Pool) -> tuple[str, ...] | None:
    """Return how a plan that is drawn up now names what fires; None where that could not be read."""
    return None if pool.alarms is None else tuple(sorted(map(spelt, pool.alarms)))


def spelt(alarm: Alarm) -> str:
    """Return how a plan names an alarm that fired as it was drawn up."""
    return f"{alarm.key} {alarm.state.value}"


def beyond(alarms: Iterable[Alarm], known: Collection[str]) -> tuple[Alarm, ...]:
    """Return the alarms that fire and were not known, or are worse than was known."""
    return tuple(
        one
        for one in alarms
        if spelt(one) not in known and f"{one.key} {AlarmState.CRITICAL.value}" not in known
    )


def named(alarms: Collection[Alarm]) -> str:
    """Return the alarms in words, the first few of them: `“CPU” of web-03 (CRITICAL since 2026-11-12 09:30 UTC)`."""
    first = [
        f"“{one.label}” of {one.of} ({one.state.value}{'' if one.since is None else f' since {one.since:%Y-%m-%d %H:%M} UTC'})"
        for one in list(alarms)[:MOST_NAMED]
    ]
    more = len(alarms) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")
