"""A process of a production portal that lacks something says so, sentence by sentence, and does not serve."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PARTS = {
    "web": ("-c", "import portal.asgi"),
    "worker": ("-m", "celery", "-q", "-A", "portal.celery", "worker", "-Q", "ticks", "-c", "1"),
    "beat": ("-m", "celery", "-q", "-A", "portal.celery", "beat", "--pidfile=", "-s", "{tmp}/schedule"),
    "check --deploy": ("manage.py", "check", "--deploy"),
}


def run(part: str, tmp_path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *(word.replace("{tmp}", str(tmp_path)) for word in PARTS[part])],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "REDIS_URL": "redis://127.0.0.1:1/0", **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("part", PARTS)
def test_no_part_starts_with_desk_settings_or_without_its_secrets(part, tmp_path):
    ended = run(part, tmp_path, SIMULATOR_URL="http://127.0.0.1:1", EGRESS_ALLOW="127.0.0.1:1")
    assert ended.returncode == 1
    for name in (
        "SECRET_KEY",
        "FIELD_KEYS",
        "AUDIT_KEY",
        "ALLOWED_HOSTS",
        "DATABASE_URL",
        "EMAIL_URL",
        "PUBLIC_URL",
        "IDENTITY_HOSTS",
    ):
        assert f"{name} " in ended.stderr, name
    assert "SIMULATOR_URL is only for DESK_MODE" in ended.stderr
    assert "EGRESS_ALLOW is only for DESK_MODE" in ended.stderr
    assert "REDIS_URL" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_commands_that_serve_nothing_need_nothing():
    ended = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
