"""A Celery application with one toy kind of run, for process tests: `celery -A tests.processes.toy_worker`.

The kind counts up in a world that the test serves over HTTP (TOY_URL); how long a call takes, the test says.
"""

from __future__ import annotations

import os

import django
import httpx

django.setup()

from portal.celery import app  # noqa: E402
from portal.errors import InDoubt, TryLater  # noqa: E402
from portal.runs.registry import register_kind  # noqa: E402
from portal.runs.types import Outcome, OutcomeKind  # noqa: E402
from tests.runs.toy import ToyKind, ToyWorld  # noqa: E402

__all__ = ["app"]

KIND = "toy_process"


class HttpKind(ToyKind):
    """The toy over HTTP. A call that was not handed over by `not_after` is not made."""

    name = KIND

    def __init__(self) -> None:
        super().__init__(ToyWorld())
        self.client = httpx.AsyncClient(base_url=os.environ["TOY_URL"], trust_env=False, timeout=None)

    async def observe(self, view):
        answer = await self.client.get("/look")
        return answer.json()

    async def act(self, view, action, *, not_after):
        import time

        if time.monotonic() > not_after:
            raise TryLater("It was not sent: too late.", after_s=0.0, code="not_sent")
        try:
            await self.client.post("/add", json={"target": int(action.target), "pid": os.getpid()})
        except httpx.HTTPError as error:
            raise InDoubt("The answer was lost.") from error
        return Outcome(OutcomeKind.DONE)


register_kind(KIND, HttpKind)
