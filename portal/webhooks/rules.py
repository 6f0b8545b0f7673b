"""When a message is sent again, what an answer means, and when an endpoint is given up. Values in, values out.

Source: Standard Webhooks 1.0.0, "Deliverability and reliability": the suggested delays, `Retry-After`, 410, redirects.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

# The wait before each try, in seconds: now, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h. 75.6 h in all.
DELAYS_S: tuple[float, ...] = (0.0, 5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
# However late the tries were, a message is not sent by itself after this long.
ENDS_AFTER = timedelta(days=4)
# An endpoint that took nothing for this long is switched off.
FAILING_FOR = timedelta(days=3)
LONGEST_RETRY_AFTER_S = 86400.0
# Between tries of one failing endpoint, however many messages wait for it.
_FIRST_BRAKE_S, _LONGEST_BRAKE_S = 5.0, 300.0
_THROTTLED = frozenset({429, 502, 503, 504})


class Outcome(StrEnum):
    """How one try ended."""

    DELIVERED = "delivered"
    FAILED = "failed"
    GONE = "gone"


@dataclass(frozen=True)
class Verdict:
    """What one try means. `retry_after_s` is what the receiver asked for, None for nothing; `says` is for people."""

    outcome: Outcome
    says: str
    retry_after_s: float | None = None


def judge(status: int, retry_after: str, now: datetime) -> Verdict:
    """Return what an answer means. 2xx took it; a redirect did not; 410 wants nothing any more.

    `retry_after` is the header as it came ("" for none): seconds or an HTTP date. Only 429, 502, 503 and 504 are asked
    for it.
    """
    if 200 <= status < 300:
        return Verdict(Outcome.DELIVERED, f"Taken ({status}).")
    if status == 410:
        return Verdict(Outcome.GONE, "The receiver says that it is gone for good (410).")
    if 300 <= status < 400:
        return Verdict(
            Outcome.FAILED, f"The receiver answered with a redirect ({status}), which is not followed."
        )
    wait_s = seconds_of(retry_after, now) if status in _THROTTLED else None
    if status in _THROTTLED:
        return Verdict(Outcome.FAILED, f"The receiver is too busy or away ({status}).", wait_s)
    return Verdict(Outcome.FAILED, f"The receiver did not take it ({status}).")


def seconds_of(retry_after: str, now: datetime) -> float | None:
    """Return how long `Retry-After` asks to wait, at most a day; None for what is neither seconds nor a date."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    try:
        return min(max(0.0, (at - now).total_seconds()), LONGEST_RETRY_AFTER_S)
    except OverflowError:
        return None


def next_try(tries: int, created_at: datetime, now: datetime, retry_after_s: float | None) -> datetime | None:
    """Return when a message that failed `tries` times (1 or more) is sent again; None when it is given up.

    The receiver's wish makes a wait longer, never shorter.
    """
    if tries >= len(DELAYS_S):
        return None
    wait_s = max(DELAYS_S[max(1, tries)], retry_after_s or 0.0)
    at = now + timedelta(seconds=wait_s)
    return at if at <= created_at + ENDS_AFTER else None


def brake_s(failures: int, retry_after_s: float | None) -> float:
    """Return for how long an endpoint that failed `failures` times running is left alone, in seconds."""
    own_s = min(_LONGEST_BRAKE_S, _FIRST_BRAKE_S * 2.0 ** min(max(0, failures - 1), 10))
    return max(own_s, min(retry_after_s or 0.0, LONGEST_RETRY_AFTER_S))


def is_given_up(failing_since: datetime | None, now: datetime) -> bool:
    """Whether an endpoint that took nothing since then is switched off."""
    return failing_since is not None and now - failing_since >= FAILING_FOR


def total_s() -> float:
    """Return over how long the suggested tries stretch, in seconds."""
    return math.fsum(DELAYS_S)
