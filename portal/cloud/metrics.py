"""What Prometheus is told of the calls to providers. Names and labels are stable: dashboards rest on them."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

CALLS = Counter(
    "cloud_calls",
    "Calls to a provider, by service, verb and what became of them",
    ["service", "verb", "outcome"],
)
SECONDS = Histogram(
    "cloud_call_seconds",
    "Time from asking to the whole answer, pacing included",
    ["service", "verb"],
    buckets=(0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
)
LOGINS = Counter("cloud_logins", "Log-ins at a provider, by outcome", ["outcome"])


def note_call(service: str, verb: str, outcome: str, seconds: float) -> None:
    """Count one call. `outcome` is a short stable word."""
    CALLS.labels(service, verb, outcome).inc()
    SECONDS.labels(service, verb).observe(seconds)
