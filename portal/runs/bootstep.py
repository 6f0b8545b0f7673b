"""Each worker's own timer: it asks for a turn at its start and every few seconds, with or without beat."""

from __future__ import annotations

from typing import Any

from celery import Celery, bootsteps
from celery.worker.consumer import Consumer
from django.conf import settings

from portal.runs.wake import send_wake_up


class SweepStep(bootsteps.StartStopStep):
    """Runs on the worker's event loop; started anew with each connection to the broker."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Consumer, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._timer: Any = None

    def start(self, parent: Consumer) -> None:
        """Ask for a turn now and then every SWEEP_S seconds. A turn that finds nothing returns at once."""
        send_wake_up()
        self._timer = parent.timer.call_repeatedly(settings.RUNS["SWEEP_S"], send_wake_up)

    def stop(self, parent: Consumer) -> None:
        """End the timer with the connection."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def install(app: Celery) -> None:
    """Give every worker of `app` its own sweep, and beat the same as a task."""
    app.steps["consumer"].add(SweepStep)

    @app.on_after_finalize.connect(weak=False)
    def schedule(sender: Celery, **_kwargs: Any) -> None:
        from portal.runs.tasks import sweep

        every_s = settings.RUNS["SWEEP_S"]
        sender.add_periodic_task(every_s, sweep.s(), name="runs-sweep", expires=max(5.0, 2 * every_s))
