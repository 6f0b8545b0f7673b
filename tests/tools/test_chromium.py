"""A machine without a browser: skipped aloud for a person, failed where a browser is required."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import chromium

ROOT = Path(__file__).resolve().parents[2]


def run_one(**variables):
    """Run one browser test as a person would, with these variables."""
    env = {**os.environ, **variables}
    env.pop("PYTEST_XDIST_WORKER", None)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--no-services", "tests/ui/test_browser.py", "-k", "doubled"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_without_a_browser_its_tests_are_skipped_and_the_last_lines_say_so():
    done = run_one(CHROMIUM="/nonexistent", REQUIRE_BROWSER="")
    assert done.returncode == 0, done.stdout
    assert "1 browser tests SKIPPED" in done.stdout
    assert "NO BROWSER: CHROMIUM=/nonexistent is no program. Install Chromium or set CHROMIUM" in done.stdout


def test_where_a_browser_is_required_its_absence_fails():
    done = run_one(CHROMIUM="/nonexistent", REQUIRE_BROWSER="1")
    assert done.returncode == 1, done.stdout
    assert "NO BROWSER" in done.stdout


@pytest.mark.parametrize("name", ["chromium", "google-chrome", "chromium-browser"])
def test_a_browser_is_found_on_the_path_by_each_of_its_names(monkeypatch, tmp_path, name):
    program = tmp_path / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    chromium.executable.cache_clear()
    try:
        assert chromium.executable() == str(program)
    finally:
        chromium.executable.cache_clear()
