"""Imported by a Celery worker of the supervisor (`celery worker -I portal.embedded.announce`).

Makes the file named by STEADY_READY_FILE once the worker consumes; the supervisor looks for it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery.signals import worker_ready

from portal.embedded.child import READY_FILE


@worker_ready.connect  # type: ignore[untyped-decorator,unused-ignore]
def _say_ready(**_: Any) -> None:
    path = os.environ.get(READY_FILE)
    if path:
        Path(path).touch()
