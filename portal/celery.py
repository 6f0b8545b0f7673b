"""The Celery application. Tasks only wake what the database says is due; queues keep ticks and work apart."""

from __future__ import annotations

import os

from celery import Celery

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
