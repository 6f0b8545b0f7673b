"""A year of lifelike traffic for the demo: days, weeks, growth, two events, noise. The same question has the same answer.

load(account, "web", ends=now, peak_rps=165, percent_a_month=4.1, event=(starts_at, ends_at))
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from capacity.metrics.kinds import USUAL, MetricKind
from capacity.metrics.models import Metric
from capacity.metrics.store import Samples, write
from capacity.reports import sized
from capacity.reports.models import SizedPool

if TYPE_CHECKING:
    from accounts.models import Account, CloudConnection, User
    from portal.cloud.discovery import Discovery, Pool

Numbers = npt.NDArray[np.float64]
STEP_S = 300
DAYS = 365
SOURCE = "monitoring"
A_MONTH_S = 365.25 / 12 * 86_400
SPRING_SALE_DAYS_AGO = 201
SPRING_SALE_MULTIPLE = 3.6
AUTUMN_MULTIPLE = 2.3
# Of 100 requests so many are an order, and what an answer takes when nothing is going on.
ORDERS_PER_REQUEST = 0.0012
CALM_MS = 118.0


@dataclass(frozen=True)
class Rise:
    """An event in traffic: up within `lead_s`, half of the excess gone again after each `half_life_s`."""

    begins: datetime
    multiple: float
    lead_s: float
    half_life_s: float
    ends: datetime


def requests(
    at_s: Numbers,
    zone: ZoneInfo,
    *,
    peak_rps: float,
    percent_a_month: float,
    rises: Iterable[Rise],
    seed: int,
) -> Numbers:
    """Return requests a second at moments (seconds since 1970, evenly spaced): `peak_rps` is the usual highest at the end.

    The hours of day and week are those of `zone`, clock changes included.
    """
    rng = np.random.default_rng(seed)
    local = at_s + _offsets(at_s, zone)
    hour = local / 3600 % 24
    weekday = (local // 86_400 + 3) % 7  # 1970 began on a Thursday
    day = 0.22 + 0.55 * _bump(hour, 11.0, 3.0) + 0.78 * _bump(hour, 20.0, 2.3)
    week = np.array([1.0, 0.97, 0.96, 0.98, 0.93, 0.78, 0.9])[weekday.astype(int)]
    growth = (1 + percent_a_month / 100) ** ((at_s - at_s[-1]) / A_MONTH_S)
    # Noise remembers a quarter of an hour, and each day has a mood of its own.
    noise = np.convolve(rng.normal(size=len(at_s) + 2), [0.5, 0.7, 0.5], mode="valid") * 0.03
    mood = rng.normal(0, 0.025, size=DAYS + 3)[((at_s - at_s[0]) // 86_400).astype(int)]
    normal = peak_rps * day * week * growth * (1 + noise + mood)
    excess = sum((_rise(at_s, one) for one in rises), np.zeros(len(at_s)))
    found: Numbers = normal * (1 + excess)
    return found


def load(
    account: Account,
    resource: str,
    *,
    ends: datetime,
    peak_rps: float,
    percent_a_month: float,
    event: tuple[datetime, datetime] | None,
) -> list[Metric]:
    """Keep a year up to `ends` of requests, orders and answer times; nothing where the account has metrics already."""
    if Metric.objects.filter(account=account).exists():
        return []
    last_s = int(ends.timestamp()) // STEP_S * STEP_S
    at_s = np.arange(last_s - DAYS * 86_400, last_s, STEP_S, dtype=np.float64)
    rises = [_spring_sale(ends)]
    if event is not None:
        rises.append(Rise(event[0], AUTUMN_MULTIPLE, 5 * 3600, 16 * 3600, min(event[1], ends)))
    seed = int(account.number)
    rps = requests(
        at_s,
        ZoneInfo(account.time_zone),
        peak_rps=peak_rps,
        percent_a_month=percent_a_month,
        rises=rises,
        seed=seed,
    )
    rng = np.random.default_rng(seed + 1)
    busy = rps / max(float(rps.max()), 1.0)
    # Orders and answers are told by the quarter of an hour.
    coarse = slice(None, None, 3)
    orders = rng.poisson(rps[coarse] * 60 * ORDERS_PER_REQUEST * 15) / 15
    answers = CALM_MS * (1 + 0.9 * busy[coarse] ** 3) * rng.lognormal(0, 0.06, size=len(orders))
    figures = (
        ("requests_per_s", at_s, np.round(rps, 2), True),
        ("orders_per_min", at_s[coarse], np.round(orders, 2), True),
        ("latency_p95_ms", at_s[coarse], np.round(answers, 1), False),
    )
    made, columns = [], []
    for name, moments, values, is_vital in figures:
        unit, kind = USUAL.get(name, ("", MetricKind.OTHER))
        metric = Metric.objects.create(
            account=account,
            name=name,
            resource=resource,
            source=SOURCE,
            unit=unit,
            kind=kind,
            is_vital=is_vital,
        )
        made.append(metric)
        columns.append((np.full(len(moments), metric.pk, dtype=np.int64), moments, values))
    ids, moments_s, values = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    write(account.pk, Samples(ids, (moments_s * 1e6).astype(np.int64), values.astype(np.float64)))
    return made


def size(account: Account, connection: CloudConnection, found: Discovery, pool: Pool, manager: User) -> None:
    """Size the pool by its requests, with a price of its servers; a worker then makes the report. Once."""
    metric = Metric.objects.filter(
        account=account, name="requests_per_s", resource=pool.balancer.name
    ).first()
    if metric is None or SizedPool.objects.filter(account=account).exists():
        return
    metric.account = account
    row = sized.size_pool(
        account, connection, pool.balancer.id, actor=manager, name=pool.balancer.name, metric=metric
    )
    seen = sized.note_look(row, found, datetime.now(UTC))
    if seen.flavor:
        sized.set_price(account, flavor=seen.flavor, an_hour=Decimal("0.36"), currency="EUR", actor=manager)


def _spring_sale(ends: datetime) -> Rise:
    begins = (ends - timedelta(days=SPRING_SALE_DAYS_AGO)).replace(hour=6, minute=0, second=0, microsecond=0)
    return Rise(begins, SPRING_SALE_MULTIPLE, 4 * 3600, 9 * 3600, begins + timedelta(hours=40))


def _bump(hour: Numbers, centre: float, width: float) -> Numbers:
    away = np.minimum(np.abs(hour - centre), 24 - np.abs(hour - centre))
    found: Numbers = np.exp(-((away / width) ** 2) / 2)
    return found


def _rise(at_s: Numbers, rise: Rise) -> Numbers:
    since = at_s - rise.begins.timestamp()
    up = np.clip(since / rise.lead_s, 0, 1)
    down = 0.5 ** (np.maximum(since - rise.lead_s, 0) / rise.half_life_s)
    is_on = (since >= 0) & (at_s < rise.ends.timestamp())
    found: Numbers = np.where(is_on, (rise.multiple - 1) * up * down, 0.0)
    return found


def _offsets(at_s: Numbers, zone: ZoneInfo) -> Numbers:
    """Return how far the zone's clocks are ahead of UTC at each moment, in seconds; asked once an hour."""
    hours = at_s // 3600
    first = int(hours[0])
    known = [
        (datetime.fromtimestamp(hour * 3600, UTC).astimezone(zone).utcoffset() or timedelta()).total_seconds()
        for hour in range(first, int(hours[-1]) + 1)
    ]
    found: Numbers = np.array(known)[(hours - first).astype(int)]
    return found
