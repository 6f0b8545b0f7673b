"""What workers do for samples (the parts of their table, what is fetched) and for baselines."""

from __future__ import annotations

import os
import socket
from typing import Any

import structlog
from celery import shared_task
from celery.signals import worker_init, worker_shutting_down
from django.utils import timezone

from capacity.baselines import known
from capacity.metrics import partitions
from capacity.reports import services as reports
from capacity.reports import sized
from capacity.reports.short import judge_all

log = structlog.get_logger(__name__)


# Each query is taken with a lease: lost, doubled or late, none is asked twice at once.
@shared_task(name="capacity.tasks.pull_samples", ignore_result=True, expires=30)
def pull_samples() -> None:
    """Ask the queries to Prometheus that are due."""
    from capacity.pulls.services import pull_due

    asked = pull_due()
    if asked:
        log.info("pulled", asked=asked)


# A load begins once, whoever is asked and however often; it lives no longer than this task.
@shared_task(name="capacity.tasks.hold_loads", ignore_result=True, acks_late=False, expires=60)
def hold_loads() -> None:
    """Take a load that waits and put it on until its end."""
    from capacity.loads import holder

    for pk in holder.waiting():
        held = holder.hold(pk, holder=f"{socket.gethostname()}:{os.getpid()}")
        if held is not None:
            log.info("load_held", load=str(held.ref), ending=held.ending)


@worker_init.connect(weak=False)
def loads_may_begin(**_: Any) -> None:
    """Forget that an earlier worker of this process stopped."""
    from capacity.loads import holder

    holder.worker_begins()


@worker_shutting_down.connect(weak=False)
def loads_end(**_: Any) -> None:
    """End the loads of this worker with it: a warm stop would wait for an hour of load."""
    from capacity.loads import holder

    holder.worker_stops()


# Lost, doubled or late, it changes nothing: two months are there ahead, and writing makes what is missing.
@shared_task(name="capacity.tasks.tend_parts", ignore_result=True, expires=600)
def tend_parts() -> None:
    """Make the months to come, drop those that are too old, and the seconds of loads of long ago."""
    from capacity.loads.services import forget_seconds

    now = timezone.now()
    forget_seconds(now)
    made, dropped = partitions.ensure_ahead(now), partitions.drop_old(now)
    if made or dropped:
        log.info("sample_parts", made=made, dropped=dropped)


# Each comparison is a row of its own and each notice has its period, so a second time changes nothing.
@shared_task(name="capacity.tasks.tend_baselines", ignore_result=True, expires=3600)
def tend_baselines() -> None:
    """Hold what came in against baselines from series; tell owners of baselines that are about to be too old."""
    compared, told = known.tend(timezone.now())
    if compared or told:
        log.info("baselines_tended", compared=compared, told=told)


# Rows say what is due; the message only wakes a worker, so it may be lost or come twice.
@shared_task(name="capacity.tasks.make_reports", ignore_result=True, expires=240)
def make_reports() -> None:
    """Make growth reports that are due, for a minute at most; the rest waits for the next turn."""
    count = reports.make_due(timezone.now(), budget_s=60.0)
    if count:
        log.info("growth_reports", made=count)


@shared_task(name="capacity.tasks.look_at_changed_pools", ignore_result=True, expires=600)
def look_at_changed_pools() -> None:
    """Look at sized pools that a run changed; a message that is lost leaves it to the next hour."""
    sized.look_at_stale(timezone.now(), budget_s=30.0, only_changed=True)


@shared_task(name="capacity.tasks.look_at_pools", ignore_result=True, expires=3000)
def look_at_pools() -> None:
    """Look how many servers sized pools have, work out how long they last, and tell whose will not."""
    now = timezone.now()
    asked = reports.ask_where_off(now)
    seen = sized.look_at_stale(now)
    told = judge_all(now)
    if asked or seen or told:
        log.info("sized_pools", reports_asked=asked, seen=seen, told=told)
