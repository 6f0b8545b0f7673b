"""Telling workers and pages that something is new. Each message is a hint: losing it changes nothing.

A wake-up starts a turn of a tender; a published sequence number makes open live pages look at the database.
When Redis is away, the sweep finds what is due and pages look every 2 s by themselves.
"""

from __future__ import annotations

import threading
import time
from functools import lru_cache
from typing import Any

import redis
import structlog
from django.conf import settings
from django.db import transaction

from portal.runs import metrics

log = structlog.get_logger(__name__)

CHANNEL = "runs:"
_QUIET_S = 5.0
_TIMEOUT_S = 0.5
_state = threading.local()


@lru_cache(maxsize=1)
def _client() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, retry=None
    )


def send_wake_up() -> bool:
    """Ask for a turn of a tender; return whether the message was handed over."""
    from portal.runs.tasks import tend

    return hand_over(tend, "wake_up_lost")


def hand_over(task: Any, event: str) -> bool:
    """Put a hint for a worker into its queue; return whether that worked. `event` names its loss in the log."""
    from kombu.exceptions import OperationalError

    if not _is_worth_trying():
        return False
    try:
        task.apply_async(retry=False)
    except (OperationalError, OSError, redis.RedisError) as error:
        _lost(event, error)
        return False
    return True


def publish(run_ref: str, seq: int) -> bool:
    """Tell open pages of a run that there is news; return whether the message was handed over."""
    if not _is_worth_trying():
        return False
    try:
        _client().publish(f"{CHANNEL}{run_ref}", seq)
    except (OSError, redis.RedisError) as error:
        _lost("publish_lost", error)
        return False
    return True


def wake_after_commit() -> None:
    """Ask for a turn once the transaction in hand is committed."""
    transaction.on_commit(send_wake_up)


def publish_after_commit(run_ref: str, seq: int) -> None:
    """Tell open pages of a run once the transaction in hand is committed."""
    transaction.on_commit(lambda: publish(run_ref, seq))


def _is_worth_trying() -> bool:
    # A thread that found Redis away leaves it alone for a while: time-outs must not slow ticks or requests.
    return time.monotonic() >= getattr(_state, "quiet_until", 0.0)


def _lost(event: str, error: Exception) -> None:
    _state.quiet_until = time.monotonic() + _QUIET_S
    metrics.MESSAGES_LOST.labels(event).inc()
    log.warning(event, error=type(error).__name__)
