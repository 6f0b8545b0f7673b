"""A stretch of normal series as a measurement: the visitors themselves are the load.

The series of one resource are read: `latency_p50_ms`, `latency_p95_ms`, `latency_p99_ms`, `error_ratio`,
`requests_per_s`, and `nodes` (how many servers served). Without that last one a stretch is not comparable, since
nobody knows what one server carried; of later weeks, what the provider showed of a sized pool stands in for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from django.db.models import Max

from capacity.baselines import evidence
from capacity.comparing import Environment, Figure, LoadKind, LoadOf, Measurement
from capacity.metrics import series
from capacity.metrics.models import Metric
from capacity.models import TrafficEvent
from capacity.reports.models import DetectedEvent, DetectedState, SizedPool

if TYPE_CHECKING:
    from accounts.models import Account
    from capacity.baselines.models import MeasuredBaseline

FIGURES = {
    "latency_p50_ms": "p50_ms",
    "latency_p95_ms": "p95_ms",
    "latency_p99_ms": "p99_ms",
    "error_ratio": "error_ratio",
}
NODES, RATE = "nodes", "requests_per_s"
SHORTEST, LONGEST = timedelta(minutes=30), timedelta(days=14)
MOST_SAMPLES = 50_000
LATE = 0.1
"""A stretch counts as whole when its last tenth at most is not there yet."""
LIVE_MIX = "as visitors ask"
LOOKED = timedelta(days=1)
"""A look at the provider tells the servers of a stretch that is no further from it: pools are looked at each day."""


def resources_of(account: Account) -> list[str]:
    """Return the resources of which a latency or failures are known, by name."""
    rows = Metric.objects.filter(account=account, name__in=[*FIGURES], last_at__isnull=False)
    return sorted(set(rows.values_list("resource", flat=True)))


@dataclass(frozen=True)
class Overlap:
    """An event in a stretch: one on record, or one that was detected and nobody decided about."""

    name: str
    starts_at: datetime
    ends_at: datetime


def events_in(account: Account, begins: datetime, ends: datetime) -> tuple[Overlap, ...]:
    """Return the events that reach into [begins, ends): growth leaves them out as not normal. Two queries."""
    within = {"account": account, "starts_at__lt": ends, "ends_at__gt": begins}
    named = [Overlap(f"“{one}”", one.starts_at, one.ends_at) for one in TrafficEvent.objects.filter(**within)]
    detected = DetectedEvent.objects.filter(**within, state=DetectedState.PROPOSED).select_related("metric")
    found = [Overlap(f"{one.metric} left its band", one.starts_at, one.ends_at) for one in detected]
    return tuple(sorted((*named, *found), key=lambda one: (one.starts_at, one.name)))


def measured(
    account: Account,
    resource: str,
    begins: datetime,
    ends: datetime,
    *,
    node_count: int | None = None,
    flavor: str = "",
    software: str = "",
) -> Measurement:
    """Return what the series of a resource say of [begins, ends). `node_count` stands in where no series tells it."""
    wanted = [*FIGURES, NODES, RATE]
    values: dict[str, Any] = {}
    at: dict[str, Any] = {}
    # Of two sources of one name the one that wrote last is read.
    for metric in Metric.objects.filter(account=account, resource=resource, name__in=wanted).order_by(
        "last_at"
    ):
        found = series.read(metric, series.Step.RAW, begins, ends, limit=MOST_SAMPLES)
        if len(found["value"]):
            values[metric.name] = np.asarray(found["value"], dtype=np.float64)
            at[metric.name] = np.asarray(found["at"])
    if NODES in values:
        node_count = round(float(np.median(values[NODES]))) or None
    rate = float(np.median(values[RATE])) if RATE in values else None
    points = _together(at, values)
    figures = []
    for name, key in FIGURES.items():
        if name in values:
            of = [one for one in points if one[key] is not None]
            figures.append(Figure(key, _of_all(of, key), evidence.few(values[name].tolist())))
    load = LoadOf(LoadKind.LIVE, rate / node_count) if rate and node_count else None
    middle = begins + (ends - begins) / 2
    return Measurement(middle, Environment(node_count, flavor, software, LIVE_MIX), load, tuple(figures))


def _together(at: dict[str, Any], values: dict[str, Any]) -> list[dict[str, float | None]]:
    """Return what the series say at each moment, None for what they do not."""
    keys = {**FIGURES, RATE: RATE}
    named = {
        keys[name]: dict(zip(at[name].tolist(), values[name].tolist(), strict=True))
        for name in keys
        if name in values
    }
    moments = sorted(set().union(*named.values()))
    return [{key: named.get(key, {}).get(moment) for key in keys.values()} for moment in moments]


def _of_all(points: list[dict[str, float | None]], key: str) -> float:
    """Return one figure of all requests of a stretch: neither a share nor a percentile of it is the median of its parts'."""
    if key == "error_ratio":
        return float(np.average([one[key] or 0.0 for one in points], weights=evidence.weights_of(points)))
    return evidence.latency_of(points, key)


def later(baseline: MeasuredBaseline, now: datetime) -> tuple[datetime, Measurement] | None:
    """Return the newest stretch of whole samples at the same hours of a later day; None while there is none."""
    begins, ends = baseline.begins_at, baseline.ends_at
    if begins is None or ends is None:
        return None
    last = Metric.objects.filter(account_id=baseline.account_id, resource=baseline.resource).aggregate(
        last=Max("last_at")
    )["last"]
    # The last sample stands for the time until the next one would come.
    known_until = min(now, (last or begins) + (ends - begins) * LATE)
    days = int((known_until - ends) / timedelta(days=1))
    # The weekday counts: a Sunday is no Monday.
    days -= days % 7
    if days < 7:
        return None
    where = baseline.content["measured"]["environment"]
    shift = timedelta(days=days)
    begins, ends = (begins + shift).astimezone(UTC), (ends + shift).astimezone(UTC)
    found = measured(
        baseline.account,
        baseline.resource,
        begins,
        ends,
        node_count=_seen(baseline, begins, ends),
        flavor=where["flavor"],
        software=where["software"],
    )
    return (begins, found) if found.figures else None


def _seen(baseline: MeasuredBaseline, begins: datetime, ends: datetime) -> int | None:
    """Return how many servers the provider showed of the pool around [begins, ends), None where nobody looked then."""
    rows = SizedPool.objects.filter(
        connection=baseline.connection_id,
        balancer_id=baseline.balancer_id,
        seen_at__range=(begins - LOOKED, ends + LOOKED),
    )
    return rows.values_list("servers", flat=True).first()


def why_none_later(
    account_id: int, resource: str, connection_id: int, balancer_id: str, since: datetime
) -> str:
    """Return why later weeks cannot be held against a stretch of this resource, "" where they can. Two queries."""
    told = Metric.objects.filter(account=account_id, resource=resource, name=NODES, last_at__gte=since)
    sized = SizedPool.objects.filter(connection=connection_id, balancer_id=balancer_id)
    if told.exists() or sized.exists():
        return ""
    return (
        f"No series “{NODES}” tells how many servers served, and the pool is not sized: what one server carried later is not known. "
        f"Send “{NODES}” with the other series, or size the pool under “Growth and size”: then what the provider shows of it counts."
    )
