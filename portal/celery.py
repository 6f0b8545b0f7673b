"""The Celery application. Tasks only wake what the database says is due; queues keep ticks and work apart."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from typing import Any

import structlog
from celery import Celery
from celery.signals import beat_init, worker_before_create_process, worker_init, worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

from portal import worker_metrics

worker_metrics.prepare()  # before anything counts

from portal.runs.bootstep import install  # noqa: E402  (counters are made by what it imports)

app = Celery("portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# The books are kept beside the ticks: long work such as mail and analysis must not keep the audit unsealed.
app.conf.task_routes = {
    "portal.runs.tasks.*": {"queue": "ticks"},
    "portal.audit.tasks.*": {"queue": "ticks"},
    "portal.events.tasks.*": {"queue": "ticks"},
    # One of these lasts as long as its load: nothing else waits behind it.
    "capacity.tasks.hold_loads": {"queue": "loads"},
}
app.conf.beat_schedule = {
    "portal-tidy": {"task": "portal.tasks.tidy", "schedule": 60.0},
    "audit-seal": {"task": "portal.audit.tasks.seal", "schedule": 1.0},
    "events-relay": {"task": "portal.events.tasks.relay", "schedule": 1.0},
    "audit-head": {"task": "portal.audit.tasks.log_head", "schedule": 60.0},
    "notify-sweep": {
        "task": "portal.notify.tasks.sweep",
        "schedule": 5.0,
        "options": {"expires": 10.0},
    },
    "webhooks-sweep": {
        "task": "portal.webhooks.tasks.sweep",
        "schedule": 2.0,
        "options": {"expires": 10.0},
    },
    "webhooks-tidy": {"task": "portal.webhooks.tasks.tidy", "schedule": 3600.0},
    "accounts-reset-links": {"task": "accounts.tasks.send_reset_links", "schedule": 20.0},
    "accounts-ask-contacts": {"task": "accounts.tasks.ask_contacts", "schedule": 900.0},
    "accounts-tidy": {"task": "accounts.tasks.tidy", "schedule": 3600.0},
    "accounts-standings": {"task": "accounts.tasks.look_at_accounts", "schedule": 300.0},
    "accounts-action-reminders": {"task": "accounts.tasks.remind_action_owners", "schedule": 1800.0},
    "accounts-reach": {
        "task": "accounts.reach.tasks.advance",
        "schedule": 2.0,
        "options": {"expires": 10.0},
    },
    "runs-charges": {
        "task": "portal.runs.tasks.pass_on_charges",
        "schedule": 20.0,
        "options": {"expires": 30.0},
    },
    "capacity-baselines": {"task": "capacity.tasks.tend_baselines", "schedule": 3600.0},
    "capacity-pulls": {
        "task": "capacity.tasks.pull_samples",
        "schedule": 20.0,
        "options": {"expires": 30.0},
    },
    "capacity-loads": {
        "task": "capacity.tasks.hold_loads",
        "schedule": 5.0,
        "options": {"expires": 5.0},
    },
    "capacity-parts": {"task": "capacity.tasks.tend_parts", "schedule": 3600.0},
    "capacity-reports": {
        "task": "capacity.tasks.make_reports",
        "schedule": 300.0,
        "options": {"expires": 240.0},
    },
    "capacity-pools": {"task": "capacity.tasks.look_at_pools", "schedule": 3600.0},
    "drills-ask": {
        "task": "drills.told.tasks.ask",
        "schedule": 5.0,
        "options": {"expires": 10.0},
    },
    "drills-tell": {
        "task": "drills.told.tasks.tell",
        "schedule": 20.0,
        "options": {"expires": 30.0},
    },
    "scaledown-expire": {"task": "scaledown.tasks.expire", "schedule": 60.0},
    "scaledown-thin": {"task": "scaledown.tasks.thin", "schedule": 900.0},
}
install(app)


@worker_init.connect(weak=False)
@beat_init.connect(weak=False)
def refuse_unless_ready(**_: Any) -> None:
    """Let no worker and no beat start with settings that are missing or only for a desk."""
    from portal import checks

    try:
        checks.refuse_unless_ready()
    except SystemExit:
        # Nothing was begun yet, and beat would log this exit as a crash, with a traceback below the sentences.
        sys.stderr.flush()
        os._exit(1)


@worker_before_create_process.connect(weak=False)
def share_what_is_loaded(**_: Any) -> None:
    """Load once what each child would, and keep its collector away from that: touched pages are shared no more."""
    if not gc.get_freeze_count():
        load_what_children_need()
        gc.collect()
        gc.freeze()


def load_what_children_need() -> None:
    """Do in the main process what else each child does with the first of its tasks, and keeps."""
    import anyio
    from billiard.util import get_pdeathsig
    from django.urls import reverse

    reverse("login")  # links in notices: all URL patterns
    anyio.run(anyio.sleep, 0)  # HTTP clients: their locks, for this kind of event loop
    _ = app.backend  # Celery: entry points of all packages
    with suppress(OSError):  # not on Linux
        get_pdeathsig()  # Celery: what a child sets at its start, by a parser of C


@worker_ready.connect(weak=False)
def show_metrics(**_: Any) -> None:
    """Answer Prometheus from the main process, once its children run."""
    from django.conf import settings

    try:
        worker_metrics.serve(settings.METRICS_LISTEN)
    except OSError as problem:
        # A worker that cannot be watched works all the same; the scrape that fails says so.
        structlog.get_logger(__name__).error("worker_metrics_unserved", problem=str(problem))
