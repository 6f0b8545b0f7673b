"""The sentences that results share: how figures must be read, and what files cannot tell."""

from __future__ import annotations

CLOSED = (
    "Each user or connection waited for its answer before it asked again (a closed load), so a slow server was asked less often: "
    "latencies at high percentiles look better than visitors would have seen them (coordinated omission)."
)
OPEN = "Requests were sent at their own rate whatever the answers (an open load), so the latencies hold no coordinated omission."
LOAD_UNKNOWN = (
    "The file does not tell whether the load was closed (users who wait for answers) or open (a set rate); "
    "if it was closed, high percentiles look better than visitors would have seen them (coordinated omission)."
)
NO_TIMES = "The file does not tell when the run was."
NO_COUNTS = "The file holds no number of requests and no errors: it says how long requests took, and nothing of how many failed."
NO_PERCENTILES = "The file holds no percentiles. The average is not one: a few very slow requests hide in it, so it cannot be held against an objective."
ONE_GENERATOR = "The file does not tell whether the load generator itself was at its limit; look at its processor before the figures are used as a ceiling."
EXACT = "Percentiles are counted from the single requests (smallest value with at least that share at or below it)."
NEARLY = "Percentiles are counted from the single requests, off by at most 0.5 % of their value."
STATUS_JUDGED = "The file does not say which requests failed: those without an answer or with a status outside 200 to 399 are counted as failed."


def counted(error_ratio: float | None) -> tuple[str, ...]:
    """Return how percentiles were made that we counted ourselves."""
    if error_ratio is None:
        return ()
    return (NEARLY if error_ratio else EXACT,)
