"""Worker entry points. Each message is a hint: `tend` finds in the database what is due.

Lost, doubled or late, it changes nothing. `sweep` (beat, every few seconds) and each worker's own timer
(`bootstep.py`) wake whatever is overdue.
"""

from __future__ import annotations

import os
import time
from typing import Any

import httpx
import structlog
from celery import shared_task
from celery.signals import worker_process_shutdown
from django.conf import settings
from django.utils import timezone

from portal.runs import charge, selectors
from portal.runs.tender import Child
from portal.runs.wake import send_wake_up

log = structlog.get_logger(__name__)

_WATCHDOG_EVERY_S = 60.0
_WATCHDOG_TIMEOUT_S = 5.0
_child: Child | None = None
_watchdog_at = float("-inf")


def _this_child() -> Child:
    """Return what this process keeps over turns; a forked copy of another process's is not used."""
    global _child
    if _child is None or _child.pid != os.getpid():
        _child = Child(lease_s=settings.RUNS["LEASE_S"], batch=int(settings.RUNS["BATCH"]))
    return _child


# Early acknowledgement: a message that died with its worker need not come back, the sweep finds the run.
@shared_task(name="portal.runs.tasks.tend", ignore_result=True, acks_late=False, expires=10)
def tend() -> None:
    """Make one bounded turn over all due runs; ask for another one if more is due soon."""
    turn = _this_child().turn(settings.RUNS["TURN_S"])
    if turn.next_due_s is not None and turn.next_due_s < settings.RUNS["SWEEP_S"]:
        send_wake_up()


@shared_task(name="portal.runs.tasks.sweep", ignore_result=True, acks_late=False, expires=10)
def sweep() -> None:
    """Wake whatever is overdue, and tell the outside watchdog that the engine is awake."""
    if selectors.due_count():
        send_wake_up()
    ping_watchdog()


# Lost, doubled or late, it changes nothing for safety: whose time is over is in charge no more at that moment.
@shared_task(name="portal.runs.tasks.pass_on_charges", ignore_result=True, expires=30)
def pass_on_charges() -> None:
    """Pass on to the backup what is over, or say that nobody is in charge; warn before."""
    changed = charge.pass_on(timezone.now())
    if changed:
        log.info("charges_passed_on", changed=changed)


def ping_watchdog() -> None:
    """Ping the outside watchdog once a minute, unless the engine sleeps. It calls for help in our silence."""
    global _watchdog_at
    if not settings.WATCHDOG_URL or time.monotonic() < _watchdog_at + _WATCHDOG_EVERY_S:
        return
    if selectors.asleep() is not None:
        return
    _watchdog_at = time.monotonic()
    try:
        httpx.get(settings.WATCHDOG_URL, timeout=_WATCHDOG_TIMEOUT_S, trust_env=False)
    except httpx.HTTPError as error:
        log.warning("watchdog_unreachable", error=type(error).__name__)


@worker_process_shutdown.connect(weak=False)
def close_child(**_kwargs: Any) -> None:
    """End this child's loop, threads and clients with it."""
    global _child
    if _child is not None and _child.pid == os.getpid():
        _child.close()
    _child = None
