"""The Celery application. Tasks only wake what the database says is due; queues keep ticks and work apart."""

from __future__ import annotations

import os
import sys
from typing import Any

from celery import Celery
from celery.signals import beat_init, worker_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

from portal.runs.bootstep import install

app = Celery("portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.task_routes = {"portal.runs.tasks.*": {"queue": "ticks"}}
app.conf.beat_schedule = {
    "portal-tidy": {"task": "portal.tasks.tidy", "schedule": 60.0},
    "scaledown-expire": {"task": "scaledown.tasks.expire", "schedule": 60.0},
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
