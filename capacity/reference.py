"""What a pool is held against, with source, author and age: ceiling, peak, objective, baselines, event, load that was fine.

Callers ask `reference_for` and know nothing of where a figure came from: measured and approved, or entered by hand. Which
one counts is in docs/decisions/0041: the newest; a figure whose benchmark was set aside does not count. Of forecast peaks
it is the higher one (docs/decisions/0043).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import F, OuterRef, Q, Subquery
from django.db.models.functions import Lower

from capacity.baselines.models import BaselineStatus, MeasuredBaseline
from capacity.ceiling import BUSY, generator_was_the_limit, with_mix
from capacity.metrics.kinds import DEMAND_UNIT, MetricKind
from capacity.metrics.models import Metric
from capacity.models import Baseline, Ceiling, FineLoad, ForecastPeak, Objective, TrafficEvent
from capacity.reports.models import ENDED_AFTER, DetectedEvent, ReportState, SizedPool
from capacity.sizing import peak_of
from capacity.versions import version_of
from portal.compiled import Compiled

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from accounts.models import Account

FINE_FOR = timedelta(days=14)
"""How long a load that was fine says anything (spec, *Is traffic keeping up?*)."""
BASELINES_READ = 24
WHOLE_SITE = "the whole site"
"""Stands for the probe where a baseline was measured by a load generator or by visitors: no probe asks what they ask."""


@dataclass(frozen=True)
class Site:
    """One pool: the public reference of its cloud connection and the provider's id of its load balancer."""

    connection_ref: UUID
    balancer_id: str


@dataclass(frozen=True)
class Figure:
    """One figure in requests per second, with where it comes from. `author` is empty for the portal itself."""

    requests_per_s: float
    source: str
    author: str
    at: datetime
    expected_at: datetime | None = None
    """Of a forecast: when it is expected; None where that is not known, or it is no forecast."""
    flavor: str = ""
    """Of a ceiling: the size of servers that it belongs to; "" where that is not said."""
    is_least: bool = False
    """Of a ceiling: it carried that much and may carry more."""
    mix: str = ""
    """Of a ceiling: what was asked for as it was measured; "" where that is not said."""

    @property
    def told(self) -> str:
        """Where it comes from, with the mix of a ceiling."""
        return with_mix(self.source, self.mix)

    def age_s(self, now: datetime) -> float:
        """Return how old the figure is, in seconds."""
        return (now - self.at).total_seconds()


@dataclass(frozen=True)
class ObjectiveFigure:
    """What the site promises. Shares 0 to 1; None is *not promised*. `latency_share` of the answers take `latency_ms`."""

    error_ratio: float | None
    latency_ms: float | None
    latency_share: float
    source: str
    author: str
    at: datetime


@dataclass(frozen=True)
class BaselineFigure:
    """What one probe was measured at, under one load per node. None is *not measured*.

    `probe` is empty where it is of the pool's only one, and `WHOLE_SITE` where it is of none; `at` is when it was measured.
    """

    probe: str
    load_per_node_rps: float | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    error_ratio: float | None
    source: str
    author: str
    at: datetime

    def age_s(self, now: datetime) -> float:
        """Return how long ago it was measured, in seconds."""
        return (now - self.at).total_seconds()


@dataclass(frozen=True)
class EventFigure:
    """The traffic event that is on at the moment, else the next one, else the last one. Unknown peaks are None."""

    name: str
    starts_at: datetime
    ends_at: datetime
    expected_multiple: float | None
    observed_peak_rps: float | None
    source: str
    author: str
    at: datetime


@dataclass(frozen=True)
class Reference:
    """What was known of a site at a moment. None is *unknown*, never zero.

    `ceiling` and `fine_load` are per node, `forecast_peak` for the whole pool. `fine_load` is the highest of the last
    14 days; its `at` is when it was seen. `baselines` are the newest 24, the newest first. `peak_on` is what the pool may
    have to carry while a peak is on that no forecast has in it (`sizing.peak_of`), of several the highest.
    """

    site: Site
    ceiling: Figure | None = None
    forecast_peak: Figure | None = None
    peak_on: Figure | None = None
    objective: ObjectiveFigure | None = None
    baselines: tuple[BaselineFigure, ...] = ()
    fine_load: Figure | None = None
    event: EventFigure | None = None


def reference_for(account: Account, site: Site, at: datetime, *, flavor: str = "") -> Reference | None:
    """Return what was known of a site at `at`, each figure the newest one; None if nothing was known of the pool.

    Only rows of this account count. With `flavor`, the size of its servers, a ceiling that belongs to another size is
    none: what a larger server carries would take too many out. The event is the account's and alone makes no reference. At most nine queries.
    """
    of_pool = {"account": account, "connection__ref": site.connection_ref, "balancer_id": site.balancer_id}

    def known(rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(**of_pool, at__lte=at).select_related("entered_by")

    def newest(rows: QuerySet[Any]) -> Any:
        return known(rows).order_by("-at", "-pk").first()

    fine = (
        known(FineLoad.objects.filter(seen_at__gte=at - FINE_FOR)).order_by("-requests_per_s", "-pk").first()
    )
    promised = newest(Objective.objects.all())
    ceiling, forecast_peak, on = load_of(account, site, at, flavor=flavor)
    found = Reference(
        site,
        ceiling=ceiling,
        forecast_peak=forecast_peak,
        peak_on=on,
        objective=None
        if promised is None
        else ObjectiveFigure(
            promised.error_ratio,
            promised.latency_ms,
            promised.latency_share,
            promised.source,
            _author(promised),
            promised.at,
        ),
        baselines=_baselines(known, of_pool, at),
        fine_load=None
        if fine is None
        else Figure(fine.requests_per_s, fine.source, _author(fine), fine.seen_at),
        event=event_at(account, at),
    )
    is_known = found.ceiling or found.forecast_peak or found.objective or found.baselines or found.fine_load
    return found if is_known else None


def load_of(
    account: Account, site: Site, at: datetime, *, flavor: str = ""
) -> tuple[Figure | None, Figure | None, Figure | None]:
    """Return what one server carries, the forecast peak and what a peak that is on may come to, as `reference_for` has them.

    Three queries: for whoever asks again and again.
    """
    of_pool = (account.pk, site.connection_ref, site.balancer_id)
    entered = _ENTERED.rows(*of_pool, at)
    measured, on = _measured_peaks(*of_pool, at)
    of_size = _CEILING_OF_SIZE.rows(*of_pool, flavor, at) if flavor else _CEILING_OF_ANY.rows(*of_pool, at)
    ceiling = next((_ceiling_figure(*row) for row in of_size), None)
    by_hand = next(
        (Figure(rps, source, name or "", said_at, then) for rps, source, name, said_at, then in entered), None
    )
    return ceiling, _higher(by_hand, measured), on


def _entered(account: Any, connection_ref: Any, balancer_id: Any, at: Any) -> QuerySet[ForecastPeak, Any]:
    of_pool = {"account": account, "connection__ref": connection_ref, "balancer_id": balancer_id}
    rows = ForecastPeak.objects.filter(**of_pool, at__lte=at).order_by("-at", "-pk")
    return rows.values_list("requests_per_s", "source", "entered_by__name", "at", "expected_at")[:1]


def _ceiling_of(rows: QuerySet[Ceiling], *of_pool: Any) -> QuerySet[Ceiling, Any]:
    account, connection_ref, balancer_id = of_pool
    rows = rows.filter(account=account, connection__ref=connection_ref, balancer_id=balancer_id)
    columns = ("requests_per_s", "source", "entered_by__name", "at", "flavor", "is_least", "mix")
    return rows.order_by("-at", "-pk").values_list(*columns)[:1]


def _ceiling_of_any(account: Any, connection_ref: Any, balancer_id: Any, at: Any) -> QuerySet[Ceiling, Any]:
    return _ceiling_of(counting_ceilings(at), account, connection_ref, balancer_id)


def _ceiling_of_size(
    account: Any, connection_ref: Any, balancer_id: Any, flavor: Any, at: Any
) -> QuerySet[Ceiling, Any]:
    rows = counting_ceilings(at).filter(_is_of_size(flavor))
    return _ceiling_of(rows, account, connection_ref, balancer_id)


def _ceiling_figure(
    rps: float, source: str, author: str | None, at: datetime, flavor: str, is_least: bool, mix: str
) -> Figure:
    return Figure(rps, source, author or "", at, flavor=flavor, is_least=is_least, mix=mix)


def _is_of_size(flavor: Any) -> Q:
    return Q(flavor="") | Q(flavor__iexact=flavor)


def counting_ceilings(at: datetime) -> QuerySet[Ceiling]:
    """Return the ceilings that count at `at`: not those of a run that does not count, proves nothing, or was another one than was said."""
    by_address = Q(benchmark__generator_addresses=1, benchmark__tied_to_address=True)
    return Ceiling.objects.filter(at__lte=at).exclude(
        Q(benchmark__set_aside_at__lte=at)
        | Q(benchmark__was_aborted=True)
        | Q(benchmark__generator_cpu__gte=BUSY)
        | by_address
        | Q(void_at__lte=at)
    )


def ceilings_of(
    account: Account, connection_ref: UUID, flavors: Mapping[str, str], at: datetime
) -> dict[str, Figure]:
    """Return the newest ceiling that counts for each pool of a connection, by its balancer; absent where none is known. One query.

    `flavors` says for each balancer the size of its servers, "" where it is not known: then a ceiling of any size counts.
    """
    if not flavors:
        return {}
    fitting = Q()
    for balancer_id, flavor in flavors.items():
        of_size = _is_of_size(flavor) if flavor else Q()
        fitting |= Q(balancer_id=balancer_id) & of_size
    rows = (
        counting_ceilings(at)
        .filter(fitting, account=account, connection__ref=connection_ref)
        .order_by("balancer_id", "-at", "-pk")
        .distinct("balancer_id")
        .select_related("entered_by")
    )
    return {row.balancer_id: _ceiling(row) for row in rows}


def _ceiling(row: Ceiling) -> Figure:
    return Figure(
        row.requests_per_s,
        row.source,
        _author(row),
        row.at,
        flavor=row.flavor,
        is_least=row.is_least,
        mix=row.mix,
    )


UNTOLD = "unknown size"
"""The size of servers of which the provider tells none: no ceiling that belongs to a size is of them."""


def counting_size(account: Account, site: Site, sizes: Mapping[str, int], at: datetime) -> str:
    """Return as which size a pool is sized that has so many servers of each of `sizes`: the one that carries the least.

    What a larger one carries, times all of them, would call servers spare that are needed. One of which nothing is known comes
    first: then nothing is said of the pool. "" among them is a size that is not told, and `UNTOLD` then. "" without any
    server. A query for each of several sizes.
    """
    sizes = {flavor or UNTOLD: count for flavor, count in sizes.items()}
    if len(sizes) < 2:
        return next(iter(sizes), "")

    def carries(flavor: str) -> float:
        found = ceilings_of(account, site.connection_ref, {site.balancer_id: flavor}, at).get(
            site.balancer_id
        )
        return found.requests_per_s if found else 0.0

    return min(sizes, key=lambda flavor: (carries(flavor), -sizes[flavor], flavor))


@dataclass(frozen=True)
class Sizes:
    """What one server carries, by its size: the newest figure of each, the size that is not said last.

    `sized_as` is the size as it stands where the pool is sized, "" where it is not or no size is said.
    """

    ceilings: tuple[Figure, ...] = ()
    sized_as: str = ""

    @property
    def version(self) -> str:
        """A text that is another one once other figures count."""
        return version_of(*([one.flavor, one.requests_per_s, one.at.isoformat()] for one in self.ceilings))

    @property
    def is_none_of_it(self) -> bool:
        """Whether figures are known, and none that counts for servers of the size as which the pool is sized."""
        counting = {"", self.sized_as.lower()}
        return bool(self.sized_as and self.ceilings) and not any(
            one.flavor.lower() in counting for one in self.ceilings
        )

    @property
    def are_said(self) -> bool:
        """Whether any figure belongs to a size: then one of another size, or of another spelling, does not count."""
        return any(one.flavor for one in self.ceilings)


def sizes_of(account: Account, site: Site, at: datetime) -> Sizes:
    """Return what is known of a pool's ceiling by size, as `reference_for` would take it for each. Two queries."""
    of_pool = {"account": account, "connection__ref": site.connection_ref, "balancer_id": site.balancer_id}
    rows = (
        counting_ceilings(at)
        .filter(**of_pool)
        .annotate(size=Lower("flavor"))
        .order_by("size", "-at", "-pk")
        .distinct("size")
        .select_related("entered_by")
    )
    found = [_ceiling(row) for row in rows[:BASELINES_READ]]
    sized = SizedPool.objects.filter(**of_pool).values_list("flavor", flat=True).first()
    return Sizes(tuple(sorted(found, key=lambda one: (not one.flavor, one.flavor.lower()))), sized or "")


def sized_as(connection_pk: int, balancer_id: str) -> str:
    """Return the size as which a pool is sized, "" where it is not or no size is said. One query."""
    rows = SizedPool.objects.filter(connection=connection_pk, balancer_id=balancer_id)
    return rows.values_list("flavor", flat=True).first() or ""


def _higher(entered: Figure | None, measured: Figure | None) -> Figure | None:
    """Return the higher of two forecast peaks: to size for the lower one would take the risk of whichever is right."""
    known = [one for one in (entered, measured) if one is not None]
    return max(known, key=lambda one: one.requests_per_s, default=None)


def _sized_by(
    account: Any, connection_ref: Any, balancer_id: Any, at: Any, since: Any
) -> QuerySet[SizedPool, Any]:
    on = DetectedEvent.objects.on_since(since).filter(metric=OuterRef("metric"), found_at__lte=at)
    return (
        SizedPool.objects.filter(
            account=account,
            connection__ref=connection_ref,
            balancer_id=balancer_id,
            # Orders a minute are no load that servers carry.
            metric__unit=DEMAND_UNIT,
            metric__kind=MetricKind.THROUGHPUT,
            metric__growth_report__state=ReportState.MADE,
            metric__growth_report__made_at__lte=at,
            metric__growth_report__next_peak__gt=0,
            metric__growth_report__analysed_until__gte=since,
        )
        .order_by("pk")
        .values_list(
            "metric__name",
            "metric__resource",
            "metric__growth_report__next_peak",
            "metric__growth_report__next_peak_at",
            "metric__growth_report__peak",
            "metric__growth_report__made_at",
            Subquery(on.order_by(F("multiple").desc(nulls_last=True)).values("multiple")[:1]),
            Subquery(on.order_by("-peak").values("peak")[:1]),
        )[:1]
    )


def _measured_peaks(
    account: int, connection_ref: UUID, balancer_id: str, at: datetime
) -> tuple[Figure | None, Figure | None]:
    """Return the highest hour to come of the series by which the pool is sized, and what a peak that is on may come to.

    None once the series ended. One query.
    """
    rows = _SIZED_BY.rows(account, connection_ref, balancer_id, at, at - ENDED_AFTER)
    for name, resource, next_peak, next_peak_at, peak, made_at, on_multiple, on_peak in rows:
        source, peak_on = f"growth report of {Metric(name=name, resource=resource)}", None
        on_rps = peak_of(peak, on_multiple, on_peak)
        if on_rps is not None:
            says = f"{source}: the peak that is on"
            if on_peak is not None and on_rps > on_peak:
                says += f", at the busiest hour of a week; so far {on_peak:,.0f} were seen"
            peak_on = Figure(on_rps, says, "", made_at)
        # Its likeliest hour may be over: one of the other weeks that were looked ahead is hardly lower.
        expected_at = next_peak_at if next_peak_at and next_peak_at >= at else None
        return Figure(next_peak, source, "", made_at, expected_at=expected_at), peak_on
    return None, None


# Each tick of a run that may come to a freeze asks them.
_OF_POOL = (int, UUID, str)
_ENTERED: Compiled[ForecastPeak] = Compiled(_entered, *_OF_POOL, datetime)
_CEILING_OF_ANY: Compiled[Ceiling] = Compiled(_ceiling_of_any, *_OF_POOL, datetime)
_CEILING_OF_SIZE: Compiled[Ceiling] = Compiled(_ceiling_of_size, *_OF_POOL, str, datetime)
_SIZED_BY: Compiled[SizedPool] = Compiled(_sized_by, *_OF_POOL, datetime, datetime)


def _baselines(
    known: Callable[[QuerySet[Any]], QuerySet[Any]], of_pool: Mapping[str, Any], at: datetime
) -> tuple[BaselineFigure, ...]:
    """Return the baselines by hand and the approved version that counted at `at`, the newest first."""
    found = [
        BaselineFigure(
            row.probe,
            row.load_per_node_rps,
            row.latency_p50_ms,
            row.latency_p95_ms,
            row.error_ratio,
            row.source,
            _author(row),
            row.measured_at,
        )
        for row in known(Baseline.objects.all()).order_by("-measured_at", "-pk")[:BASELINES_READ]
    ]
    approved = (
        MeasuredBaseline.objects.filter(**of_pool, status=BaselineStatus.APPROVED, decided_at__lte=at)
        .select_related("owner", "benchmark")
        .defer("content", "benchmark__result")
        .order_by("-version")
        .first()
    )
    # Past its last day, or of a benchmark that does not count or proves nothing, it is no measure any more; the one before is even older.
    if approved is not None and approved.valid_until > at and not proves_nothing(approved, at):
        found.append(
            BaselineFigure(
                WHOLE_SITE,
                approved.load_per_node_rps,
                approved.p50_ms,
                approved.p95_ms,
                approved.error_ratio,
                f"approved baseline {approved.version}",
                str(approved.owner),
                approved.measured_at,
            )
        )
    return tuple(sorted(found, key=lambda one: one.at, reverse=True)[:BASELINES_READ])


def proves_nothing(row: MeasuredBaseline, at: datetime) -> bool:
    """Return whether a baseline's benchmark is set aside or, by what was said of it since, proves nothing: plans do not read it."""
    run = row.benchmark
    if run is None:
        return False
    is_aside = run.set_aside_at is not None and run.set_aside_at <= at
    generator = generator_was_the_limit(
        (),
        cpu_share=run.generator_cpu,
        addresses=run.generator_addresses,
        is_tied_to_address=run.tied_to_address,
    )
    return is_aside or run.was_aborted or bool(generator)


def _author(row: Any) -> str:
    return str(row.entered_by) if row.entered_by is not None else ""


def event_at(account: Account, at: datetime) -> EventFigure | None:
    """Return the account's event that is on at `at`, else the next one, else the last one; at most two queries."""
    rows = TrafficEvent.objects.filter(account=account, created_at__lte=at).select_related("entered_by")
    # On now or to come, the earliest first; else the last one that is over.
    ahead, over = Q(ends_at__gt=at), Q(ends_at__lte=at)
    row = (
        rows.filter(ahead).order_by("starts_at", "pk").first()
        or rows.filter(over).order_by("-ends_at").first()
    )
    if row is None:
        return None
    return EventFigure(
        row.name,
        row.starts_at,
        row.ends_at,
        row.expected_multiple,
        row.observed_peak_rps,
        row.source,
        _author(row),
        row.created_at,
    )
