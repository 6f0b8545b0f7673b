"""What pages, API, facts and tasks read of growth and size: reports as values, a pool with everything held against it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db.models import Q, QuerySet
from django.urls import reverse

from accounts.models import Account
from capacity.baselines.ceilings import own_limit_of, promised_of, read_of, runs_of
from capacity.baselines.models import PoolLimit
from capacity.benchmarks.models import Benchmark
from capacity.ceiling import Evidence, Rank
from capacity.metrics.kinds import is_demand
from capacity.metrics.overlays import MOST, Event
from capacity.models import TrafficEvent
from capacity.reference import Figure, Site, reference_for
from capacity.reports import wording
from capacity.reports.links import with_servers_added
from capacity.reports.models import (
    ENDED_AFTER,
    DetectedEvent,
    DetectedState,
    GrowthPicture,
    GrowthReport,
    ReportState,
    ServerPrice,
    SizedPool,
)
from capacity.reports.packing import BAND, CONE, unpacked
from capacity.sizing import Demand, Planned, Pool, Price, Rules, Sizing, size

AHEAD = timedelta(days=180)
PEAKS_TOLD = 20
MOST_SIZED = 20
MOST_PLANNED = 1000


def reports() -> QuerySet[GrowthReport]:
    """Return reports with what is shown of one."""
    return GrowthReport.objects.select_related("metric__account")


def listed_pools() -> QuerySet[SizedPool]:
    """Return sized pools as lists show them: as last worked out."""
    return SizedPool.objects.select_related("connection", "metric").defer("connection__api_key")


def detected() -> QuerySet[DetectedEvent]:
    """Return detected events with what is shown of one; those that are no longer seen are left out."""
    rows = DetectedEvent.objects.exclude(state=DetectedState.WITHDRAWN)
    return rows.select_related("account", "metric", "event", "decided_by")


def profiled() -> QuerySet[DetectedEvent]:
    """Return detected events with their whole profile: with the servers that were added for their event."""
    return with_servers_added(detected())


def unnamed_in(metric: int, begins: datetime, ends: datetime) -> list[Event]:
    """Return what was detected in a metric in [begins, ends) and has no name, in order, as a chart shows it; one query."""
    rows = (
        DetectedEvent.objects.filter(metric=metric, starts_at__lt=ends, ends_at__gt=begins)
        .filter(state__in=(DetectedState.PROPOSED, DetectedState.DISMISSED))
        .order_by("-starts_at", "-pk")[:MOST]
    )
    return [
        Event(
            row.starts_at,
            row.ends_at,
            _unnamed(row),
            url=reverse("capacity:detected", args=[row.ref]),
            is_detected=True,
        )
        for row in reversed(rows)
    ]


def _unnamed(row: DetectedEvent) -> str:
    if row.state == DetectedState.DISMISSED:
        return f"detected, dismissed: {row.reason[:60]}" if row.reason else "detected, dismissed"
    return "detected: was it an event?" if row.is_rise else "detected: a dip"


def alike_of(row: DetectedEvent) -> QuerySet[DetectedEvent]:
    """Return what other metrics of the account showed at the same time, up or down like it, and nobody decided."""
    side = {"score__gt": 0} if row.is_rise else {"score__lte": 0}
    return (
        detected()
        .filter(account=row.account_id, state=DetectedState.PROPOSED, starts_at__lt=row.ends_at)
        .filter(ends_at__gt=row.starts_at, **side)
        .exclude(pk=row.pk)
        .order_by("metric__name", "metric__resource", "pk")
    )


def pools() -> QuerySet[SizedPool]:
    """Return sized pools with what is shown of one."""
    return SizedPool.objects.select_related("account", "connection", "metric__growth_report").defer(
        "connection__api_key"
    )


def prices_of(account: Account) -> dict[str, Price]:
    """Return the account's prices by flavor; one query."""
    rows = ServerPrice.objects.filter(account=account)
    return {row.flavor: Price(row.an_hour, row.currency) for row in rows}


def report_of(pool: SizedPool) -> GrowthReport | None:
    """Return the report of the pool's metric, once it was made; none of one that is not in requests a second."""
    if pool.metric is None or not is_demand(pool.metric.unit, pool.metric.kind):
        return None
    report: GrowthReport | None = getattr(pool.metric, "growth_report", None)
    return report if report is not None and report.state == ReportState.MADE else None


def ended_of(report: GrowthReport | None, now: datetime) -> str:
    """Return the sentence that a series ended, so that nobody knows what its pool needs now; "" while samples come."""
    return ended_words(None if report is None else report.analysed_until, now)


def ended_words(until: datetime | None, now: datetime) -> str:
    """Return the sentence that nothing came of a series since `until`, long ago; "" where that is no time, or not known."""
    if until is None or until >= now - ENDED_AFTER:
        return ""
    return f"What is known of its traffic ends on {until:%-d %B %Y}: what the pool needs now is not known."


def growth_of(report: GrowthReport) -> tuple[float, float, float] | None:
    """Return growth as a fraction a month with its bounds; None where it is not known."""
    if report.growth is None or report.growth_low is None or report.growth_high is None:
        return None
    return report.growth, report.growth_low, report.growth_high


def demand_of(report: GrowthReport | None) -> Demand | None:
    """Return what a metric's pool must carry; None without a report."""
    if report is None or report.peak is None or report.analysed_until is None:
        return None
    return Demand(
        report.peak,
        report.peak if report.peak_low is None else report.peak_low,
        report.peak if report.peak_high is None else report.peak_high,
        report.analysed_until,
        report.growth,
        report.growth_low,
        report.growth_high,
    )


@dataclass(frozen=True)
class Sized:
    """A pool with what it was held against. `sentence` says it all; `price` is that of its flavor, None without one."""

    pool: SizedPool
    report: GrowthReport | None
    demand: Demand | None
    ceiling: Figure | None
    forecast_peak: Figure | None
    own_limit: PoolLimit | None
    sizing: Sizing
    price: Price | None
    sentence: str
    lasts: str
    lasts_without: str
    rules: Rules
    has_ended: bool = False
    """Nothing comes of the series any more: what the pool needs is not known."""

    @property
    def on_height(self) -> str:
        """How high what is on was so far, and what it would be at the busiest hour."""
        return wording.height_words(self.sizing.on) if self.sizing.on else ""

    @property
    def provider_pool(self) -> Pool:
        """Its servers and what one of them carries."""
        return self.sizing.pool


def sized(pool: SizedPool, now: datetime, prices: Mapping[str, Price] | None = None) -> Sized:
    """Return a pool's sizing at `now`. The ceiling and a forecast that somebody entered come through `reference_for` alone.

    Where nobody entered one the forecast peak is the report's: the highest hour of the four weeks that it looks ahead.
    """
    report, account = report_of(pool), pool.account
    site = Site(pool.connection.ref, pool.balancer_id)
    reference = reference_for(account, site, now, flavor=pool.flavor)
    ceiling = reference.ceiling if reference else None
    peak = reference.forecast_peak if reference else None
    limit = own_limit_of(pool.connection_id, pool.balancer_id)
    ended = ended_of(report, now)
    demand = None if ended else demand_of(report)
    prices = prices_of(account) if prices is None else prices
    rules = Rules(pool.headroom, pool.fewest)
    seen = _seen_on(pool.metric_id, now)
    found = size(
        Pool(
            pool.servers,
            ceiling.requests_per_s if ceiling else None,
            pool.flavor,
            limit.requests_per_s if limit else None,
            is_least=bool(ceiling and ceiling.is_least),
            hosts=tuple(pool.hosts),
        ),
        demand,
        rules,
        now,
        next_peak_rps=next_peak_of(None if ended else report, peak),
        events=[*(_as_on(one) for one in seen), *planned_of(account, now, seen)],
        price=prices.get(pool.flavor),
    )
    return Sized(
        pool=pool,
        report=report,
        demand=demand,
        ceiling=ceiling,
        forecast_peak=peak,
        own_limit=limit,
        sizing=found,
        price=prices.get(pool.flavor),
        sentence=" ".join(
            f"{sentence_of(report, now, found)} {ended}{wording.on_words(found)}".split(" ")
        ).strip()
        if report
        else "",
        lasts=wording.lasts_words(found.lasts, now),
        lasts_without=wording.lasts_words(found.lasts_without, now),
        rules=rules,
        has_ended=bool(ended),
    )


def next_peak_of(report: GrowthReport | None, entered: Figure | None) -> float | None:
    """Return the forecast peak that sizes a pool: the higher one of what was entered and what was measured.

    To size for the lower of two would take the risk of whichever is right.
    """
    known = [
        one
        for one in (
            entered.requests_per_s if entered else None,
            report.next_peak if report is not None else None,
        )
        if one is not None
    ]
    return max(known) if known else None


def sentence_of(report: GrowthReport, now: datetime, sizing: Sizing | None = None) -> str:
    """Return what a report says in one sentence, with how long a pool's servers last where its sizing is given."""
    return wording.sentence(
        growth_of(report),
        peaks_of(report),
        sizing.pool.servers if sizing else None,
        sizing.lasts if sizing else None,
        now,
    )


def peaks_of(report: GrowthReport) -> list[wording.Peak]:
    """Return the rises of a report's metric with their multiples, the newest last; what was dismissed is none. One query."""
    rows = (
        DetectedEvent.objects.filter(metric=report.metric_id, score__gt=0, multiple__isnull=False)
        .exclude(state__in=(DetectedState.DISMISSED, DetectedState.WITHDRAWN))
        .order_by("-peak_at")
        .values_list("peak_at", "multiple", "event__name")[:PEAKS_TOLD]
    )
    return [
        wording.Peak(at, multiple, name or "")
        for at, multiple, name in reversed(rows)
        if multiple is not None
    ]


def _seen_on(metric: int | None, now: datetime) -> list[DetectedEvent]:
    rows = DetectedEvent.objects.on_at(now).filter(metric=metric).select_related("event")
    return list(rows.order_by("-ends_at"))


def _as_on(seen: DetectedEvent) -> Planned:
    is_dismissed = seen.state == DetectedState.DISMISSED
    name = "The peak that is on"
    if is_dismissed:
        name = f"What was dismissed and is still on{f' (“{seen.reason[:60]}”)' if seen.reason else ''}"
    elif seen.event:
        name = f"{seen.event.name} (on now)"
    return Planned(
        name, seen.starts_at, seen.multiple, is_on=True, peak_rps=seen.peak, is_dismissed=is_dismissed
    )


def planned_of(account: Account, now: datetime, seen: Iterable[DetectedEvent] = ()) -> list[Planned]:
    """Return the account's traffic events that are on or come within half a year, in order; one query.

    Of those that the traffic shows to be on (`seen`) only the ones of which more was expected than was seen so far are among
    them.
    """
    rows = TrafficEvent.objects.filter(account=account, ends_at__gt=now, starts_at__lt=now + AHEAD)
    multiples = {one.event_id: one.multiple for one in seen if one.event_id is not None}
    for event, multiple in multiples.items():
        if multiple is not None:
            less = Q(expected_multiple=None) | Q(expected_multiple__lte=multiple)
            rows = rows.exclude(Q(pk=event) & less)
    return [
        Planned(
            f"{row.name} (as planned)" if row.pk in multiples else row.name,
            row.starts_at,
            row.expected_multiple,
        )
        for row in rows.only("name", "starts_at", "expected_multiple").order_by("starts_at", "pk")[
            :MOST_PLANNED
        ]
    ]


def carried_of(pool: SizedPool, flavor: str, mix: str) -> Evidence | None:
    """Return what one server of a size carried within what is promised, by benchmarks; None where that is not known. Two queries.

    The newest by steps that proves something says it, else the newest, of those with `mix` first: a page from the cache costs
    less than an order. It stands in where no ceiling of that size is known.
    """
    promised = promised_of(pool.connection, pool.balancer_id)
    runs = runs_of(pool.connection, pool.balancer_id, promised, flavor=flavor)
    found = [one for row in runs if (one := read_of(row, promised).says) is not None and not one.invalid]
    newest = max(found, key=lambda one: (one.mix == mix, one.rank is Rank.STEPS, one.at), default=None)
    return None if newest is None or newest.passed_nothing else newest


def measured_flavors(pool: SizedPool) -> set[str]:
    """Return the sizes of which the pool has a benchmark; one query."""
    rows = Benchmark.objects.filter(connection=pool.connection_id, balancer_id=pool.balancer_id)
    return set(rows.filter(set_aside_at__isnull=True).exclude(flavor="").values_list("flavor", flat=True))


# --- pictures ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Backdrop:
    """What a report draws behind a series: the band of usual values, and the forecast; None where there is nothing to draw.

    Columns as the chart's script takes them: times in seconds since 1970, six digits of each value.
    """

    band: dict[str, list[float]] | None
    cone: dict[str, list[float]] | None

    def as_plain(self) -> dict[str, Any]:
        """Return it as the chart's script takes it."""
        return {"band": self.band, "cone": self.cone}


NOTHING = Backdrop(None, None)
HOUR_S = 3600
DAY_H = 24


def backdrop_of(
    metric_pk: int, step_s: int, begins: datetime, ends: datetime, last_at: datetime | None
) -> Backdrop:
    """Return the band in [begins, ends), and the forecast where the series is shown up to its end. One query.

    By the day both are means of the day's hours, so that they stand beside daily means.
    """
    picture = (
        GrowthPicture.objects.filter(report__metric=metric_pk, report__state=ReportState.MADE)
        .select_related("report")
        .first()
    )
    if picture is None or picture.report.analysed_from is None or picture.report.analysed_until is None:
        return NOTHING
    is_daily = step_s >= DAY_H * HOUR_S
    band = _columns(bytes(picture.band), BAND, picture.report.analysed_from, is_daily)
    low, high = begins.timestamp(), ends.timestamp()
    # The hour or day in which the stretch begins is usual there, too.
    inside = (band["at"] > low - max(step_s, HOUR_S)) & (band["at"] < high)
    cone = None
    # A stretch of the past has no forecast in it; a look at single days would be all forecast.
    if last_at is not None and ends >= last_at:
        found = _columns(bytes(picture.cone), CONE, picture.report.analysed_until, is_daily)
        ahead = found["at"] < high + max(0.25 * (high - low), DAY_H * HOUR_S)
        cone = _short(found, ahead)
    return Backdrop(_short(band, inside) if inside.any() else None, cone)


def _columns(data: bytes, names: Sequence[str], begins: datetime, is_daily: bool) -> dict[str, Any]:
    columns: dict[str, Any] = unpacked(data, names)
    count = len(next(iter(columns.values())))
    at = begins.timestamp() + HOUR_S * np.arange(count)
    if is_daily:
        days = at // (DAY_H * HOUR_S)
        _, first, sizes = np.unique(days, return_index=True, return_counts=True)
        # A day of which only a part is known would stand beside whole ones.
        whole = sizes == DAY_H
        columns = {name: (np.add.reduceat(values, first) / sizes)[whole] for name, values in columns.items()}
        at = (days[first] * DAY_H * HOUR_S)[whole]
    return {"at": at, **columns}


def _short(columns: Mapping[str, Any], which: Any) -> dict[str, list[float]]:
    return {
        name: values[which].tolist() if name == "at" else [float(f"{one:.6g}") for one in values[which]]
        for name, values in columns.items()
    }


def forecast_rows(report: GrowthReport) -> Iterable[dict[str, Any]]:
    """Yield the forecast hour by hour, as the API gives it; nothing for a report that was not made."""
    picture = GrowthPicture.objects.filter(report=report).first()
    if picture is not None:
        yield from _rows_of(picture, report)


def hours_of(reports: Sequence[GrowthReport]) -> dict[int, tuple[tuple[datetime, float], ...]]:
    """Return what is expected of each hour to come, by the metric of the report. One query, none without a report."""
    if not reports:
        return {}
    of = {one.pk: one for one in reports}
    return {
        of[picture.report_id].metric_id: tuple(
            (row["at"], row["point"]) for row in _rows_of(picture, of[picture.report_id])
        )
        for picture in GrowthPicture.objects.filter(report__in=of).defer("band")
    }


def _rows_of(picture: GrowthPicture, report: GrowthReport) -> Iterator[dict[str, Any]]:
    if report.analysed_until is None:
        return
    columns = _columns(bytes(picture.cone), CONE, report.analysed_until, is_daily=False)
    moments = [report.analysed_until + timedelta(hours=step) for step in range(len(columns["at"]))]
    for step, at in enumerate(moments):
        yield {"at": at, **{name: float(f"{columns[name][step]:.6g}") for name in CONE}}
