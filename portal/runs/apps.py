"""The engine of long jobs: claims, lease, tick, tender, journal, commands, sweep, live stream."""

from __future__ import annotations

from django.apps import AppConfig


class RunsConfig(AppConfig):
    """App label `runs`."""

    name = "portal.runs"
    verbose_name = "Runs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Load the Celery application (web processes send wake-ups through it) and offer the figures."""
        from portal import celery
        from portal.runs import gauges

        celery.app.set_default()
        gauges.install()
