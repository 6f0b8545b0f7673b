"""What Prometheus sees of the engine. Counted in the process where it happens."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

TICKS = Counter("runs_ticks_total", "Ticks of runs by kind of run and how they ended.", ["kind", "ended"])
TICK_SECONDS = Histogram(
    "runs_tick_seconds",
    "How long a tick took, in seconds.",
    ["kind"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
LATE_SECONDS = Histogram(
    "runs_tick_late_seconds",
    "By how much a tick came after its time, in seconds.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300),
)
LEASES_LOST = Counter("runs_leases_lost_total", "Ticks that found their lease gone.")
CHECKS_REFUSED = Counter(
    "runs_checks_refused_total", "Changes that the check right before the call held back."
)
IN_DOUBT = Counter("runs_in_doubt_total", "Changes whose answer was lost.")
FAILURES = Counter("runs_failures_total", "Ticks that ended in a bug or could not look.", ["kind"])
TURNS = Counter("runs_turns_total", "Turns of tenders by whether there was work.", ["found"])
LOOP_LATE_SECONDS = Counter(
    "runs_loop_late_seconds_total", "For how long event loops that look at runs were late, in seconds."
)
MESSAGES_LOST = Counter("runs_messages_lost_total", "Hints that could not be handed to Redis.", ["hint"])
STORE_AWAY = Counter("runs_store_away_total", "Batches that could not reach the database.")
