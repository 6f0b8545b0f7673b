"""Counters of this process. No account and no address is in a label."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

TRIES = Counter("webhook_tries", "Tries to hand a message to a receiver, by how they ended.", ["end"])
SECONDS = Histogram("webhook_try_seconds", "How long receivers take to answer.")
DISABLED = Counter("webhook_endpoints_disabled", "Endpoints that the portal switched off.", ["why"])
