"""What the servers of a pool carried at real events, by the account's own series: how high the load of one of them was.

The hours of the series that sizes the pool are divided by `nodes` of the same resource, the servers then in service; only an
hour in which what is promised was kept is one that the site carried. It is a lower bound, so wherever the series leave something
open the most servers, the fewest requests and the worst answers count; and only an hour of which all is known counts at all.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import F, OuterRef, Q, QuerySet, Subquery

from capacity.baselines.evidence import LATENCIES
from capacity.baselines.stretches import NODES
from capacity.ceiling import Evidence, Promised, Rank
from capacity.markers.models import Marker, MarkerKind
from capacity.metrics.kinds import is_demand
from capacity.metrics.models import DailyRollup, HourlyRollup, Metric
from capacity.models import TrafficEvent
from portal.ui.charts import number

if TYPE_CHECKING:
    from accounts.models import CloudConnection
    from capacity.reports.models import SizedPool

LOOKS_BACK = timedelta(days=730)
MOST_EVENTS = 40
HOURS_OF_EACH = 12
"""So many of an event's highest hours are looked at: the promise may be broken in the highest, and kept in the next."""
HOUR = timedelta(hours=1)
NEAR = timedelta(hours=12)
BROKE_OFF = timedelta(days=1)
ERRORS = "error_ratio"
WHOLE = 0.75
"""An hour that has less than this share of its samples is known only in part."""
FEWEST, GLITCH = 3, 3.0
"""Fewer samples of an hour that are so many times the hours beside may be a glitch."""
SAMPLES = 12
"""One each five minutes tells an hour, however many the load has."""
NOT_KEPT = "Whether the promise was kept in that hour is not known: it takes an objective, and the series of what it promises."
NO_SIZE = "Of which size the servers were then is not known: looks at the provider must show one single size before and after."


def with_hours(events: QuerySet[TrafficEvent], pool: SizedPool | None) -> QuerySet[TrafficEvent]:
    """Return events with their highest hours (`hours`) in the series that sizes a pool; none where none does, in requests a second."""
    metric = None if pool is None else pool.metric
    highest = HourlyRollup.objects.filter(
        metric=metric if metric is not None and is_demand(metric.unit, metric.kind) else None,
        at__gte=OuterRef("starts_at"),
        at__lt=OuterRef("ends_at"),
    )
    return events.annotate(hours=ArraySubquery(highest.order_by("-mean").values("at")[:HOURS_OF_EACH]))


class Versions:
    """Which software a pool ran at a moment, as its markers say. One query."""

    def __init__(self, connection: CloudConnection, balancer_id: str) -> None:
        """Read what was announced for the pool or the whole account, the oldest first."""
        rows = Marker.objects.filter(
            Q(connection=connection, balancer_id=balancer_id) | Q(connection=None),
            account=connection.account_id,
        )
        rows = rows.exclude(kind=MarkerKind.OTHER).exclude(software="").order_by("at", "pk")
        self._said = list(rows.values_list("at", "software"))

    def at(self, moment: datetime) -> str:
        """Return the version at a moment, "" where nobody ever said one. One before all that are known is known to be another."""
        before = [software for at, software in self._said if at <= moment]
        if before:
            return before[-1]
        return f"before {self._said[0][1]}"[:200] if self._said else ""


@dataclass(frozen=True)
class _Hour:
    """What was carried in an hour; `unproven` says what of it is not known."""

    at: datetime
    requests_per_s: float
    servers: int
    unproven: str

    @property
    def of_one(self) -> float:
        return self.requests_per_s / self.servers


class _Series:
    """What one series says of the hours that are looked at, and of those beside them."""

    def __init__(self, first: datetime, last: datetime) -> None:
        self.first, self.last = first, last
        self.hours: dict[datetime, HourlyRollup] = {}

    def is_there(self, at: datetime) -> bool:
        """Whether it was told before this hour and after it: one that began later, or ended the day before, says nothing of it.

        One that broke off shortly before is there: just at a peak is when those who tell fall silent.
        """
        return self.first <= at <= self.last + BROKE_OFF

    def is_whole(self, at: datetime, of_load: int) -> bool:
        """Whether the samples of an hour tell all of it: as many as in the hours around, and as the load has that they judge.

        A single one does where the series has one each hour.
        """
        if at not in self.hours or (self.hours[at].count == 1 and len(self.around(at)) < 3):
            return False
        fullest = max(one.count for hour, one in self.hours.items() if abs(hour - at) <= NEAR)
        return self.hours[at].count >= WHOLE * max(fullest, min(of_load, SAMPLES))

    def around(self, at: datetime) -> list[HourlyRollup]:
        """Return the hour, the one before and the one after it, of those that are told."""
        return [self.hours[one] for one in (at - HOUR, at, at + HOUR) if one in self.hours]


def measured_at_events(
    events: Iterable[TrafficEvent], pool: SizedPool | None, promised: Promised, now: datetime
) -> list[tuple[Evidence, TrafficEvent]]:
    """Return the highest load of one server at each event that is over, with its event. Two queries, none without an hour.

    An event of which nobody knows how many servers served is no evidence, nor one at which the promise was broken. Size and
    software are not said yet.
    """
    of = {
        event: hours
        for event in events
        if (hours := event.hours) and now - LOOKS_BACK <= event.ends_at <= now  # type: ignore[attr-defined]
    }
    if pool is None or pool.metric is None or not of:
        return []
    told = _told(pool.metric, promised, {at for hours in of.values() for at in hours})
    found = []
    for event, hours in of.items():
        seen = [one for at in hours if (one := _hour(at, told, promised)) is not None]
        proven = [one for one in seen if not one.unproven]
        if best := max(proven or seen, key=lambda one: one.of_one, default=None):
            found.append((_evidence(event, best), event))
    return found


def of_size_then(one: Evidence, pool: SizedPool | None) -> Evidence:
    """Return evidence with the size that the pool's servers had in its hour, unproven where it is not known that they had one."""
    since, until = (None, None) if pool is None else (pool.size_since, pool.seen_at)
    if pool is None or since is None or until is None or not since <= one.at <= until:
        return replace(one, unproven=one.unproven or NO_SIZE)
    return replace(one, flavor=pool.flavor)


def _told(metric: Metric, promised: Promised, hours: Iterable[datetime]) -> dict[str, list[_Series]]:
    """Return what the series of the pool's resource say of these hours and those beside them, by name; the load's is ""."""
    beside = Q(name__in=[NODES, ERRORS, _latency(promised)], resource=metric.resource)
    days = DailyRollup.objects.filter(metric=OuterRef("pk")).order_by("at")
    metrics = Metric.objects.filter(Q(pk=metric.pk) | beside, account=metric.account_id)
    told: dict[str, list[_Series]] = defaultdict(list)
    series: dict[int, _Series] = {}
    # Told in none of these hours it may be told before and after them: a gap just at the peak.
    for row in metrics.annotate(first_at=Subquery(days.values("at")[:1])).exclude(last_at=None):
        if row.first_at is not None and row.last_at is not None:
            series[row.pk] = _Series(row.first_at, row.last_at)
            told["" if row.pk == metric.pk else row.name].append(series[row.pk])
    rollups = HourlyRollup.objects.filter(
        metric__in=list(series), at__in={one + off for one in hours for off in (-HOUR, timedelta(0), HOUR)}
    )
    for hour in rollups.annotate(name=F("metric__name")):
        series[hour.metric_id].hours[hour.at] = hour
    return told


def _latency(promised: Promised) -> str:
    """Return the name of the series that the promise is of, like latency_p95_ms; "" where none tells such a one."""
    key = LATENCIES.get(promised.latency_share)
    return f"latency_{key}" if key else ""


def _hour(at: datetime, told: dict[str, list[_Series]], promised: Promised) -> _Hour | None:
    [load] = told[""]
    rate = load.hours[at]
    # One glitch makes the mean of an hour high, and not its middle.
    carried = min(rate.mean, rate.p50)
    nodes = [one for one in told[NODES] if one.is_there(at) or one.around(at)]
    # The most of the hour and of those beside it: with fewer the load of one was higher. Of two zones, or of two that tell
    # the same, the sum: nobody knows which, and it is the safe one.
    servers = math.ceil(sum(max((hour.max for hour in one.around(at)), default=0.0) for one in nodes) - 1e-9)
    if servers < 1 or carried <= 0.0:
        return None
    judged = {
        name: (most, [one for one in told[name] if one.is_there(at)])
        for name, most in ((ERRORS, promised.error_ratio), (_latency(promised), promised.latency_ms))
        if most is not None
    }
    for most, series in judged.values():
        if any(at in one.hours and _worst(one.hours[at], rate) > most for one in series):
            return None
    if not judged or not all(series for _, series in judged.values()):
        return _Hour(at, carried, servers, NOT_KEPT)
    beside = max((one.mean for one in load.around(at) if one is not rate), default=0.0)
    # Of one sample or two nothing says that they are no glitch but the hours beside.
    is_sure = rate.count >= FEWEST or carried <= GLITCH * beside
    parts = [] if load.is_whole(at, 0) and is_sure else ["the load"]
    if not all(one.is_whole(at, rate.count) or len(one.around(at)) == 3 for one in nodes):
        parts.append(NODES)
    parts += [
        name
        for name, (_, series) in judged.items()
        if not all(one.is_whole(at, rate.count) for one in series)
    ]
    unproven = f"Only a part of that hour is known: too few samples of {', '.join(parts)}." if parts else ""
    return _Hour(at, carried, servers, unproven)


def _worst(hour: HourlyRollup, rate: HourlyRollup) -> float:
    """Return what is held against the promise of an hour of so many requests."""
    if hour.name != ERRORS:  # type: ignore[attr-defined]
        # Each part of the hour kept it, so the hour did: percentiles of parts have no mean.
        return hour.max
    # The mean is that of the samples, whatever number of requests each stands for: of the busiest at most so many more.
    return min(hour.max, hour.mean * rate.max / rate.mean)


def _evidence(event: TrafficEvent, hour: _Hour) -> Evidence:
    return Evidence(
        Rank.LIVE,
        hour.of_one,
        hour.at,
        f"measured at {event.name[:100]}, {hour.at:%Y-%m-%d %H:%M} UTC: {number(hour.requests_per_s)} requests a second on "
        f"{hour.servers} server{'' if hour.servers == 1 else 's'}",
        str(event.ref),
        "",
        "",
        "",
        is_least=True,
        unproven=hour.unproven,
    )
