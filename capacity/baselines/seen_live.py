"""What the servers of a pool carried at real events, by the account's own series: how high the load of one of them was.

The hours of the series that sizes the pool are divided by `nodes` of the same resource, the servers then in service; only an
hour in which what is promised was kept is one that the site carried.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import F, OuterRef, Q, QuerySet

from capacity.baselines.evidence import LATENCIES
from capacity.baselines.stretches import NODES
from capacity.ceiling import Evidence, Promised, Rank
from capacity.markers.models import Marker, MarkerKind
from capacity.metrics.kinds import is_demand
from capacity.metrics.models import HourlyRollup
from capacity.models import TrafficEvent

if TYPE_CHECKING:
    from accounts.models import CloudConnection
    from capacity.reports.models import SizedPool

LOOKS_BACK = timedelta(days=730)
MOST_EVENTS = 40
HOURS_OF_EACH = 12
"""So many of an event's highest hours are looked at: the promise may be broken in the highest, and kept in the next."""
HOUR = timedelta(hours=1)
ERRORS = "error_ratio"


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
    at: datetime
    requests_per_s: float
    servers: int
    is_kept: bool | None
    """Whether what is promised was; None: not known."""

    @property
    def of_one(self) -> float:
        return self.requests_per_s / self.servers


def measured_at_events(
    events: Iterable[TrafficEvent], pool: SizedPool | None, promised: Promised, now: datetime
) -> list[tuple[Evidence, TrafficEvent]]:
    """Return the highest load of one server at each event that is over, with its event. One query, none without an hour.

    An event of which nobody knows how many servers served is no evidence, nor one at which the promise was broken.
    """
    of = {
        event: hours
        for event in events
        if (hours := event.hours) and now - LOOKS_BACK <= event.ends_at <= now  # type: ignore[attr-defined]
    }
    if pool is None or not of:
        return []
    told = _told(pool, promised, {at for hours in of.values() for at in hours})
    found = []
    for event, hours in of.items():
        seen = [one for at in hours if (one := _hour(at, told, promised)) is not None]
        best = _highest(seen, is_kept=True) or _highest(seen, is_kept=None)
        if best is not None:
            found.append((_evidence(event, best, pool), event))
    return found


def _told(
    pool: SizedPool, promised: Promised, hours: Iterable[datetime]
) -> Mapping[tuple[str, datetime], Mapping[str, float]]:
    """Return what the series of the pool's resource say of these hours, by name. Of two sources the one that wrote last is read."""
    metric = pool.metric
    assert metric is not None
    beside = Q(metric__name__in=[NODES, ERRORS, f"latency_{_latency(promised)}"])
    rows = (
        HourlyRollup.objects.filter(
            Q(metric=metric) | beside & Q(metric__resource=metric.resource),
            metric__account=metric.account_id,
            at__in=list(hours),
        )
        .order_by(F("metric__last_at").asc(nulls_first=True))
        .values("metric_id", "metric__name", "at", "mean", "max")
    )
    return {
        ("" if row["metric_id"] == metric.pk else row["metric__name"], row["at"]): {
            "mean": row["mean"],
            "max": row["max"],
        }
        for row in rows
    }


def _latency(promised: Promised) -> str:
    """Return the figure that the promise is of, like p95_ms; "" where no series tells such a one."""
    return LATENCIES.get(promised.latency_share, "")


def _hour(
    at: datetime, told: Mapping[tuple[str, datetime], Mapping[str, float]], promised: Promised
) -> _Hour | None:
    rate, nodes = told.get(("", at)), told.get((NODES, at))
    # The most of the hour: with fewer the load of one was higher, and this is a lower bound.
    servers = round(nodes["max"]) if nodes is not None else 0
    if rate is None or servers < 1 or rate["mean"] <= 0.0:
        return None
    held: list[bool | None] = []
    if promised.error_ratio is not None:
        failed = told.get((ERRORS, at))
        held.append(None if failed is None else failed["mean"] <= promised.error_ratio)
    if promised.latency_ms is not None:
        # Each part of the hour kept it, so the hour did: percentiles of parts have no mean.
        takes = told.get((f"latency_{_latency(promised)}", at))
        held.append(None if takes is None else takes["max"] <= promised.latency_ms)
    is_kept = False if False in held else None if None in held or not held else True
    return _Hour(at, rate["mean"], servers, is_kept)


def _highest(hours: Sequence[_Hour], *, is_kept: bool | None) -> _Hour | None:
    return max((one for one in hours if one.is_kept is is_kept), key=lambda one: one.of_one, default=None)


def _evidence(event: TrafficEvent, hour: _Hour, pool: SizedPool) -> Evidence:
    return Evidence(
        Rank.LIVE,
        hour.of_one,
        hour.at,
        f"measured at {event.name[:100]}, {hour.at:%Y-%m-%d %H:%M} UTC: {hour.requests_per_s:,.4g} requests a second on "
        f"{hour.servers} server{'' if hour.servers == 1 else 's'}",
        str(event.ref),
        pool.flavor,
        "",
        "",
        is_least=True,
        unproven=""
        if hour.is_kept
        else "Whether the promise was kept in that hour is not known: it takes an objective, and the series of what it promises.",
    )
