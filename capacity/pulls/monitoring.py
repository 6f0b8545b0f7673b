"""Series of the provider's monitoring: what can be chosen there, and the points of what was chosen.

    choice(connection) -> entities with their checks       metrics_of(connection, entity_id, check_id) -> names
    read(pull, now) -> Fetched                              last(pull, now) -> Found (a try)

Each looks over the account's own cloud connection: its token, catalog and rate limits are shared with everything else that asks.
All raise the provider's troubles; an agent that is not connected is one of them, and never a zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from accounts.clouds import look_at
from accounts.models import CloudConnection
from capacity.metrics.reading import MOST_VALUE, Key, Limits, Reading
from capacity.pulls import plots
from capacity.pulls.lateness import again_s
from capacity.pulls.models import Pull
from capacity.pulls.prometheus import Found
from portal.cloud.protocol import Cloud
from portal.cloud.rackspace import RackspaceCloud
from portal.cloud.rackspace_monitoring import Monitoring
from portal.cloud.types import Monitored, MonitoredCheck, Plot, Plotted, Resolution
from portal.errors import Refused

TRY_STEPS = 10


@dataclass(frozen=True)
class Fetched:
    """What one turn brought, and from when to when it had asked. `is_full`: every measurement, and not averages."""

    found: Found
    begins: datetime
    ends: datetime
    is_full: bool
    is_stale: bool


def choice(connection: CloudConnection) -> tuple[Monitored, ...]:
    """Return everything that is monitored, by its label."""

    async def look(cloud: Cloud) -> tuple[Monitored, ...]:
        return await _of(cloud).monitored()

    return tuple(sorted(look_at(connection, look), key=lambda one: (one.label.lower(), one.id)))


def metrics_of(connection: CloudConnection, entity_id: str, check_id: str) -> tuple[str, ...]:
    """Return the names of what a check measures."""

    async def look(cloud: Cloud) -> tuple[str, ...]:
        return await _of(cloud).metrics(entity_id, check_id)

    return look_at(connection, look)


Place = tuple[Monitored, MonitoredCheck]


def alike(entities: Sequence[Monitored], entity: Monitored, check: MonitoredCheck) -> list[Place]:
    """Return the like of a check on every other server: of the same type and target (an interface, a disk), one of each server.

    Of a check from outside the target is the server's own address, so its type alone counts. What is switched off is left out.
    """
    from_outside = check.type.startswith("remote.")
    found = []
    for other in entities:
        if other.server_id is None or other.id == entity.id:
            continue
        for one in other.checks:
            if (
                one.type == check.type
                and (from_outside or one.target == check.target)
                and not one.is_disabled
            ):
                found.append((other, one))
                break
    return found


def measuring(connection: CloudConnection, places: Sequence[Place], metric: str) -> list[Place]:
    """Return those of the checks that measure this metric; one question each."""

    async def look(cloud: Cloud) -> list[Place]:
        return [
            (entity, check)
            for entity, check in places
            if metric in await _of(cloud).metrics(entity.id, check.id)
        ]

    return look_at(connection, look) if places else []


def read(pull: Pull, now: datetime, limits: Limits) -> Fetched:
    """Return the next points of a pull, on from where it was; history in the finest resolution that answers."""
    reached = pull.reached_at or now - timedelta(days=pull.backfill_days)
    back_s = again_s(pull.late_s, pull.step_s)
    asked = plots.ladder(max(reached, limits.begins), now, back_s=back_s, period_s=pull.step_s)

    async def look(cloud: Cloud) -> list[tuple[plots.Stretch, Plot]]:
        monitoring, answers = _of(cloud), []
        for one in asked:
            answers.append((one, await _plot(monitoring, pull, one)))
            if plots.reaches_back(answers[-1][1].points, one):
                break
        return answers

    answers = look_at(connection_of(pull), look)
    points: tuple[Plotted, ...] = ()
    for one, plot in answers:
        points = plots.completed(points, _figures(pull, plot.points, one.resolution))
    first = asked[0]
    measured = [plot.points[-1].at for _, plot in answers if plot.points]
    return Fetched(
        _found(pull, points, sum(plot.unknown for _, plot in answers), limits),
        first.begins,
        first.ends,
        is_full=first.resolution is Resolution.FULL,
        is_stale=first.ends >= now and plots.is_stale(max(measured, default=None), now, pull.step_s),
    )


def last(pull: Pull, now: datetime, limits: Limits) -> Found:
    """Return the points of the last ten steps."""
    one = plots.Stretch(now - TRY_STEPS * timedelta(seconds=pull.step_s), now, Resolution.FULL)

    async def look(cloud: Cloud) -> Plot:
        return await _plot(_of(cloud), pull, one)

    plot = look_at(connection_of(pull), look)
    return _found(pull, _figures(pull, plot.points, Resolution.FULL), plot.unknown, limits)


def connection_of(pull: Pull) -> CloudConnection:
    """Return the connection of a pull of the monitoring."""
    assert pull.connection is not None, "the constraint pull_whole"
    return pull.connection


async def _plot(monitoring: Monitoring, pull: Pull, asked: plots.Stretch) -> Plot:
    return await monitoring.plot(
        pull.entity_id,
        pull.check_id,
        pull.metric,
        begins=asked.begins,
        ends=asked.ends,
        resolution=asked.resolution,
    )


def _figures(pull: Pull, points: tuple[Plotted, ...], resolution: Resolution) -> tuple[Plotted, ...]:
    """Return what is kept of the points of one answer, before the factor."""
    if not pull.is_counter:
        return points
    step_s = plots.step_s(resolution, pull.step_s)
    return plots.rates(points, step_s, is_averaged=resolution is not Resolution.FULL)


def _found(pull: Pull, points: tuple[Plotted, ...], unknown: int, limits: Limits) -> Found:
    key = Key(pull.name, pull.resource, pull.source)
    rows: list[Reading] = []
    for number, point in enumerate(points, start=1):
        value = point.value * pull.factor
        if not math.isfinite(value) or abs(value) > MOST_VALUE:
            unknown += 1
        elif limits.begins <= point.at <= limits.ends:
            at_us = round(point.at.timestamp() * 1_000_000)
            rows.append(Reading(number, key, at_us, value, pull.unit, pull.kind))
    newest = {pull.resource: rows[-1].at_us / 1_000_000} if rows else {}
    return Found(tuple(rows), 1 if rows else 0, unknown, newest)


def _of(cloud: Cloud) -> Monitoring:
    if not isinstance(cloud, RackspaceCloud):
        raise Refused("The portal reads no monitoring of this provider.", code="no_monitoring")
    return cloud.monitoring
