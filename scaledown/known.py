"""What the portal itself knows about a pool, gathered for the planner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from accounts.calendar.selectors import freezes_between
from accounts.contacts.selectors import coverage_of
from capacity.baselines.doubts import doubts_about
from capacity.markers.selectors import newest
from capacity.metrics.selectors import judged_of
from capacity.models import CountSource, ForecastPeak, Probe, TrafficEvent
from capacity.reference import (
    FINE_FOR,
    Figure,
    ObjectiveFigure,
    Reference,
    Site,
    counting_size,
    load_of,
    reference_for,
)
from capacity.reports.detected import TAIL
from capacity.reports.models import DetectedEvent, DetectedEvents, DetectedState
from portal.runs.models import RunSample
from scaledown.candidates import (
    Added,
    ContactGap,
    Decay,
    EventKnown,
    FreezeKnown,
    HeldAgainst,
    Known,
    VitalKnown,
)
from scaledown.models import ProtectedServer, ScaleUpEntry
from scaledown.types import PlannedBaseline, PlannedObjective, PlannedProbe, PlannedVital

KIND = "scaledown"
FINE_NEAR_S = 60.0
"""A probe that fails this near to a load figure makes it a load that was not fine."""
MOST_STRETCHES = 50
RISE = "The peak that is on"
RISE_LASTS = timedelta(hours=1)
"""When it is looked at anew: nobody knows until when it is on."""
FREEZES_AHEAD = timedelta(days=60)
"""How far ahead the calendar is read: a plan's window lies within it."""

if TYPE_CHECKING:
    from accounts.models import Account, CloudConnection


PROTECTED_BY_ANOTHER = "Somebody else who works on this provider account has marked it."
"""Instead of another account's reason: one customer never reads another's words."""


def protected_at(connection: CloudConnection) -> dict[str, str]:
    """Return the servers of a connection that are protected, each with the reason. One query."""
    return {
        mark.server_id: mark.reason if mark.account_id == connection.account_id else PROTECTED_BY_ANOTHER
        for mark in ProtectedServer.objects.guarding(connection)
    }


def known_for(
    connection: CloudConnection,
    balancer_ids: Sequence[str],
    event: TrafficEvent | None,
    *,
    at: datetime,
    sizes: Mapping[str, int] = MappingProxyType({}),
) -> Known:
    """Return what is known of the pool behind these balancers at `at`; seven queries a balancer and eleven more, and those of
    `doubts_about`.

    `sizes` is how many of its servers have which size: all count as the one that carries the least, which takes a query
    for each of several.

    Each figure and the count source come from the first balancer that has them: balancers of one plan share
    a pool of servers. Baselines of all of them count.
    """
    of_pool = {"connection": connection, "balancer_id__in": list(balancer_ids)}
    of_site = {
        site: reference_for(
            connection.account, site, at, flavor=counting_size(connection.account, site, sizes, at)
        )
        for site in (Site(connection.ref, balancer_id) for balancer_id in balancer_ids)
    }
    found = [one for one in of_site.values() if one]
    measured = next((site for site, one in of_site.items() if one and one.ceiling), None)
    ceiling = next((one.ceiling for one in found if one.ceiling), None)
    doubts = (
        doubts_about(connection, measured.balancer_id, ceiling, sizes=sizes)
        if ceiling is not None and measured is not None
        else ()
    )
    peak, on = _peaks([one.forecast_peak for one in found], [one.peak_on for one in found])
    usual_rps = peak.requests_per_s if peak else None
    if on is not None and (peak is None or on.requests_per_s > peak.requests_per_s):
        # It is in no forecast, and the servers that carry it are needed until it is over.
        peak = replace(on, expected_at=peak.expected_at if peak else None)
    promised = next((one.objective for one in found if one.objective), None)
    fine = None if ceiling else _fine_load(connection, balancer_ids, found, at)
    counts = CountSource.objects.filter(**of_pool).order_by("balancer_id").first()
    changed = newest(connection.account, connection.pk, balancer_ids, at=at)
    probes = Probe.objects.filter(**of_pool).order_by("balancer_id", "name")
    entries = ScaleUpEntry.objects.filter(record__event=event, record__connection=connection) if event else []
    return Known(
        account_ref=str(connection.account.ref),
        connection_ref=str(connection.ref),
        zone=connection.account.time_zone,
        event_name=event.name if event else None,
        event_starts_at=event.starts_at if event else None,
        decay=_decay(connection, balancer_ids, event, at),
        added=tuple(Added(entry.position, entry.server_id, entry.added_at) for entry in entries),
        protected=protected_at(connection),
        ceiling_rps=ceiling.requests_per_s if ceiling else None,
        ceiling_doubts=tuple(doubts),
        ceiling_source=f"{'at least, ' if ceiling.is_least else ''}{ceiling.source}" if ceiling else "",
        forecast_peak_rps=peak.requests_per_s if peak else None,
        forecast_source=peak.source if peak else "",
        peak_at=peak.expected_at if peak else None,
        objective=None
        if promised is None
        else PlannedObjective(
            promised.error_ratio, promised.latency_ms, promised.latency_share, _from(promised)
        ),
        baselines=tuple(
            PlannedBaseline(
                one.probe,
                one.load_per_node_rps,
                one.latency_p50_ms,
                one.latency_p95_ms,
                one.error_ratio,
                one.at,
                _from(one),
            )
            for reference in found
            for one in reference.baselines
        ),
        fine_load_rps=fine.requests_per_s if fine else None,
        fine_load_source=_from(fine) if fine else "",
        held_against=tuple(_held_against(ceiling, peak, promised, found, fine)),
        probes=tuple(
            PlannedProbe(
                name=probe.name,
                url=probe.url,
                method=probe.method,
                expected_status_low=probe.expected_status_low,
                expected_status_high=probe.expected_status_high,
                must_contain=probe.must_contain,
                timeout_s=probe.timeout_s,
                latency_limit_ms=probe.latency_limit_ms,
            )
            for probe in probes
        ),
        vital=tuple(
            VitalKnown(PlannedVital(str(one.ref), str(one), one.unit), one.last_at)
            for one in judged_of(connection.account)
        ),
        count_kind=counts.kind if counts else None,
        count_url_template=counts.url_template if counts else None,
        contact_gaps=tuple(
            ContactGap(gap.code, gap.says, gap.todo) for gap in coverage_of(connection.account, at)
        ),
        events=tuple(
            event_known(row, usual_rps)
            for row in TrafficEvent.objects.filter(account=connection.account, ends_at__gt=at).order_by(
                "starts_at"
            )
        ),
        rises=rises_on(connection.account, connection.ref, balancer_ids, on, at),
        freezes=tuple(
            FreezeKnown(one.what, one.starts_at, one.ends_at)
            for one in freezes_between(connection.account, at, at + FREEZES_AHEAD)
        ),
        changed_at=changed.at if changed else None,
    )


def event_known(row: TrafficEvent, usual_rps: float | None) -> EventKnown:
    """Return an event with the highest that it is expected to bring a pool of this usual peak, or was seen to bring."""
    expected = (
        None if usual_rps is None or row.expected_multiple is None else usual_rps * row.expected_multiple
    )
    peaks = [one for one in (expected, row.observed_peak_rps) if one is not None]
    return EventKnown(
        row.name,
        row.starts_at,
        row.ends_at,
        # What was seen so far of one that nobody gave a multiple says nothing of what is still to come.
        None if expected is None else max(peaks),
        str(row.ref),
    )


@dataclass(frozen=True)
class LoadKnown:
    """What one server carries, the highest hour to come of the pool without events, and the peak that is on; None is unknown."""

    ceiling: Figure | None
    peak: Figure | None
    on: Figure | None
    balancer_id: str = ""
    """Of the pool that the ceiling is of."""


def load_known(
    connection: CloudConnection, balancer_ids: Sequence[str], sizes: Mapping[str, int], at: datetime
) -> LoadKnown:
    """Return what of the load `known_for` would find; three queries a balancer, and one for each of several sizes."""
    found = []
    for site in (Site(connection.ref, balancer_id) for balancer_id in balancer_ids):
        flavor = counting_size(connection.account, site, sizes, at)
        found.append(load_of(connection.account, site, at, flavor=flavor))
    peak, on = _peaks([one for _, one, _ in found], [one for _, _, one in found])
    for balancer_id, (ceiling, _, _) in zip(balancer_ids, found, strict=True):
        if ceiling is not None:
            return LoadKnown(ceiling, peak, on, balancer_id)
    return LoadKnown(None, peak, on)


def _peaks(
    forecast: Iterable[Figure | None], on: Iterable[Figure | None]
) -> tuple[Figure | None, Figure | None]:
    return (
        next((one for one in forecast if one), None),
        max((one for one in on if one), key=lambda one: one.requests_per_s, default=None),
    )


def detected_in(connection_ref: UUID | str, balancer_ids: Sequence[str]) -> DetectedEvents:
    """Return the stretches of the metrics that the pool behind these balancers is sized by."""
    return DetectedEvent.objects.filter(
        metric__sized_pools__connection__ref=connection_ref,
        metric__sized_pools__balancer_id__in=list(balancer_ids),
    )


def rises_on(
    account: Account, connection_ref: UUID | str, balancer_ids: Sequence[str], on: Figure | None, at: datetime
) -> tuple[EventKnown, ...]:
    """Return the rises that are on in the pool behind these balancers; `on` is what they may come to. One query, or none."""
    if on is None:
        return ()
    rows = detected_in(connection_ref, balancer_ids).on_at(at).filter(account=account)
    # Two balancers of a pool may be sized by one metric.
    found = rows.order_by("starts_at", "ref").values_list("ref", "starts_at", "event__ref").distinct()
    return tuple(
        EventKnown(RISE, since, at + RISE_LASTS, on.requests_per_s, str(ref), str(of or ""))
        for ref, since, of in found
    )


def _decay(
    connection: CloudConnection, balancer_ids: Sequence[str], event: TrafficEvent | None, at: datetime
) -> Decay | None:
    """Return how the traffic of the event goes away, else that of the newest rise in the traffic of the pool. One query."""
    rows = (
        detected_in(connection.ref, balancer_ids)
        .filter(score__gt=0, peak_at__lte=at)
        .exclude(state__in=(DetectedState.DISMISSED, DetectedState.WITHDRAWN))
    )
    if event is not None:
        # One that went on for long after what was planned stands on its own, and is what goes away all the same.
        its_own = Q(event=None, starts_at__gte=event.starts_at - TAIL, starts_at__lte=event.ends_at + TAIL)
        of_event = rows.filter(Q(event=event) | its_own).select_related("event").order_by("-peak_at", "-pk")
        # Another one that is on meanwhile makes them leave no faster.
        decays = [one for row in of_event[:MOST_STRETCHES] if (one := _decay_of(row)) is not None]
        return max(decays, key=lambda one: one.gone_at, default=None)
    row = rows.select_related("event").order_by("-peak_at", "-pk").first()
    # While the newest one is on nobody knows yet; an older one says nothing of it.
    return None if row is None else _decay_of(row)


def _decay_of(row: DetectedEvent) -> Decay | None:
    if not row.half_life_s:
        return None
    name = f"“{row.event.name}”" if row.event else f"the peak of {row.peak_at:%Y-%m-%d}"
    return Decay(name, row.peak_at, float(row.half_life_s))


def peak_at(connection: CloudConnection, balancer_ids: Sequence[str], at: datetime) -> datetime | None:
    """Return when the next peak of the pool behind these balancers is expected; None where it is not known, or over."""
    for balancer_id in balancer_ids:
        row = (
            ForecastPeak.objects.filter(
                account=connection.account, connection=connection, balancer_id=balancer_id, at__lte=at
            )
            .order_by("-at", "-pk")
            .first()
        )
        if row is not None:
            return row.expected_at if row.expected_at is not None and row.expected_at > at else None
    return None


def _held_against(
    ceiling: Figure | None,
    peak: Figure | None,
    promised: ObjectiveFigure | None,
    found: Sequence[Reference],
    fine: Figure | None,
) -> Iterable[HeldAgainst]:
    if ceiling is not None:
        most = "at least" if ceiling.is_least else "at most"
        says = f"One server carries {most} {ceiling.requests_per_s:g} requests/s."
        yield HeldAgainst("ceiling", says, _from(ceiling), ceiling.at)
    elif fine is not None:
        says = f"{fine.requests_per_s:.1f} requests/s on each server were fine in the last 14 days."
        yield HeldAgainst("fine_load", says, _from(fine), fine.at)
    if peak is not None:
        says = f"The next peak is {peak.requests_per_s:g} requests/s for the pool."
        yield HeldAgainst("forecast_peak", says, _from(peak), peak.at)
    if promised is not None:
        parts = []
        if promised.error_ratio is not None:
            parts.append(f"at most {promised.error_ratio:.2%} of the requests fail")
        if promised.latency_ms is not None:
            parts.append(
                f"{promised.latency_share:.0%} of the answers take at most {promised.latency_ms:g} ms"
            )
        yield HeldAgainst("objective", f"Promised: {', and '.join(parts)}.", _from(promised), promised.at)
    baselines = [one for reference in found for one in reference.baselines]
    if baselines:
        newest = max(baselines, key=lambda one: one.at)
        many = "1 baseline" if len(baselines) == 1 else f"{len(baselines)} baselines"
        says = f"{many}, held against where the hour or the load fits; the newest is named here."
        yield HeldAgainst("baseline", says, _from(newest), newest.at)


def _from(figure: Any) -> str:
    """Return where a figure came from, and who entered it."""
    return f"{figure.source}, {figure.author}" if figure.author else str(figure.source)


def _fine_load(
    connection: CloudConnection, balancer_ids: Sequence[str], found: Sequence[Reference], at: datetime
) -> Figure | None:
    """Return the highest load per node that was fine in the last 14 days: as runs saw it, or as somebody entered it.

    What a run saw counts where none of its probes failed within a minute of it. None is *unknown*. One query.
    """
    figures = [one.fine_load for one in found if one.fine_load is not None]
    near = timedelta(seconds=FINE_NEAR_S)
    failed = RunSample.objects.filter(
        run=OuterRef("run"),
        series__startswith="probe:",
        detail__ok=False,
        at__gte=OuterRef("at") - near,
        at__lte=OuterRef("at") + near,
    )
    here = Q()
    for balancer_id in balancer_ids:
        here |= Q(run__plan__balancer_ids__contains=[balancer_id])
    seen = (
        RunSample.objects.filter(
            here,
            run__account=connection.account,
            run__kind=KIND,
            run__plan__connection_ref=str(connection.ref),
            series="load:node",
            value__gt=0,
            at__gte=at - FINE_FOR,
            at__lte=at,
        )
        .exclude(Exists(failed))
        .order_by("-value", "-at")
        .values_list("value", "at")
        .first()
    )
    if seen is not None and seen[0] is not None:
        figures.append(Figure(seen[0], "seen in a run, with good checks of the site", "", seen[1]))
    return max(figures, key=lambda one: one.requests_per_s, default=None)
