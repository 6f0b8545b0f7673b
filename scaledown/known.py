"""What the portal itself knows about a pool, gathered for the planner."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from accounts.calendar.selectors import freezes_between
from accounts.contacts.selectors import coverage_of
from capacity.models import CountSource, Probe, TrafficEvent
from capacity.reference import Figure, Site, reference_for
from scaledown.candidates import Added, ContactGap, EventKnown, FreezeKnown, Known
from scaledown.models import ProtectedServer, ScaleUpEntry
from scaledown.types import PlannedProbe

FREEZES_AHEAD = timedelta(days=60)
"""How far ahead the calendar is read: a plan's window lies within it."""

if TYPE_CHECKING:
    from accounts.models import CloudConnection


def known_for(
    connection: CloudConnection,
    balancer_ids: Sequence[str],
    event: TrafficEvent | None,
    *,
    at: datetime,
) -> Known:
    """Return what is known of the pool behind these balancers at `at`; two queries a balancer and seven more.

    Ceiling, peak and count source come from the first balancer that has them: balancers of one plan share
    a pool of servers.
    """
    of_pool = {"connection": connection, "balancer_id__in": list(balancer_ids)}
    ceiling, peak = _figures(connection, balancer_ids, at)
    counts = CountSource.objects.filter(**of_pool).order_by("balancer_id").first()
    probes = Probe.objects.filter(**of_pool).order_by("balancer_id", "name")
    entries = ScaleUpEntry.objects.filter(record__event=event, record__connection=connection) if event else []
    return Known(
        account_ref=str(connection.account.ref),
        connection_ref=str(connection.ref),
        event_name=event.name if event else None,
        event_starts_at=event.starts_at if event else None,
        added=tuple(Added(entry.position, entry.server_id, entry.added_at) for entry in entries),
        protected=dict(
            ProtectedServer.objects.filter(connection=connection).values_list("server_id", "reason")
        ),
        ceiling_rps=ceiling.requests_per_s if ceiling else None,
        ceiling_source=ceiling.source if ceiling else "",
        forecast_peak_rps=peak.requests_per_s if peak else None,
        forecast_source=peak.source if peak else "",
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
        count_kind=counts.kind if counts else None,
        count_url_template=counts.url_template if counts else None,
        contact_gaps=tuple(
            ContactGap(gap.code, gap.says, gap.todo) for gap in coverage_of(connection.account, at)
        ),
        events=tuple(
            EventKnown(row.name, row.starts_at, row.ends_at)
            for row in TrafficEvent.objects.filter(account=connection.account, ends_at__gt=at).order_by(
                "starts_at"
            )
        ),
        freezes=tuple(
            FreezeKnown(one.what, one.starts_at, one.ends_at)
            for one in freezes_between(connection.account, at, at + FREEZES_AHEAD)
        ),
    )


def _figures(
    connection: CloudConnection, balancer_ids: Sequence[str], at: datetime
) -> tuple[Figure | None, Figure | None]:
    """Return ceiling and forecast peak, each from the first balancer that has one."""
    ceiling = peak = None
    for balancer_id in balancer_ids:
        reference = reference_for(connection.account, Site(connection.ref, balancer_id), at)
        if reference is not None:
            ceiling = ceiling or reference.ceiling
            peak = peak or reference.forecast_peak
    return ceiling, peak
