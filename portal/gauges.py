"""What Prometheus sees of the whole installation, looked up at each scrape: what `/readyz` says, part by part.

How much is overdue is told by portal/runs; counters are counted in the process where things happen.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from portal.health import findings


def installation() -> bytes:
    """Return the text of the gauges. A part that could not be looked at is left out, never 0."""
    registry = CollectorRegistry()
    ready = Gauge(
        "portal_ready", "Whether a part that the portal needs is well (1 or 0).", ["part"], registry=registry
    )
    for found in findings():
        ready.labels(found.name).set(found.ok)
    return generate_latest(registry)
