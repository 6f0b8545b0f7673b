"""What Prometheus sees of the whole installation, looked up at each scrape: what `/readyz` says, part by part.

How much is overdue is told by portal/runs; counters are counted in the process where things happen.
"""

from __future__ import annotations

import structlog
from django.db import DatabaseError
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from portal.audit.sealer import unsealed_for_s
from portal.events.relay import unplaced_for_s
from portal.health import findings
from portal.webhooks.queueing import overdue_s

log = structlog.get_logger(__name__)


def installation() -> bytes:
    """Return the text of the gauges. A part that could not be looked at is left out, never 0."""
    registry = CollectorRegistry()
    ready = Gauge(
        "portal_ready", "Whether a part that the portal needs is well (1 or 0).", ["part"], registry=registry
    )
    for found in findings():
        ready.labels(found.name).set(found.ok)
    try:
        unsealed_s, unplaced_s, overdue = unsealed_for_s(), unplaced_for_s(), overdue_s()
    except DatabaseError as error:
        log.warning("gauges_unread", error=type(error).__name__)
    else:
        for name, says, value in (
            ("audit_unsealed_seconds", "Since when the oldest audit entry waits for its seal.", unsealed_s),
            ("events_unplaced_seconds", "Since when the oldest event waits to be passed on.", unplaced_s),
            ("webhooks_overdue_seconds", "Since when the oldest webhook message might be sent.", overdue),
        ):
            Gauge(name, says, registry=registry).set(value)
    return generate_latest(registry)
