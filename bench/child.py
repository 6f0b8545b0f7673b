"""Measuring in a process of its own, on a PostgreSQL and a Valkey of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

_ENV = {
    "SECRET_KEY": "bench-only-secret-key-bench-only-secret-key-bench-only",
    "FIELD_KEYS": "dGVzdHMtb25seS1maWVsZC1rZXktMzItYnl0ZXMtLi4=",
    "AUDIT_KEY": "bench-only-audit-key-bench-only-audit-key-bench-only",
    "DESK_MODE": "1",
    "ALLOWED_HOSTS": "localhost",
    "DJANGO_SETTINGS_MODULE": "portal.settings",
    "LOG_LEVEL": "WARNING",
}


def in_child(
    module: str, say: Callable[[str], None], more: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Run `python -m module` on fresh services, say its lines and return the figures of the last one, which is JSON."""
    from portal.embedded import services

    with services() as env:
        child = [sys.executable, "-m", module]
        whole = {**os.environ, **_ENV, **env, **(more or {})}
        root = Path(__file__).resolve().parent.parent
        done = subprocess.run(child, env=whole, stdout=subprocess.PIPE, check=True, cwd=root, text=True)
    *lines, last = done.stdout.strip().splitlines()
    for line in lines:
        say(line)
    figures: dict[str, float] = json.loads(last)
    return figures
