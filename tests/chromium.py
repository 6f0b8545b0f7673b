"""Where the browser of the browser tests comes from, and what happens on a machine that has none.

A person who runs `make test` need not have a browser: what needs one is then skipped, and the last lines say so
loudly. Where REQUIRE_BROWSER=1 (the checks before a change lands) the same tests fail: skipped ones prove nothing.
Loaded as a plugin (pyproject.toml), so every test that carries the mark `browser` is covered.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pytest
from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LOUD = "NO BROWSER"


@cache
def executable() -> str | None:
    """Return the path of the browser: what CHROMIUM names and nothing else, or the first on PATH; None without one."""
    named = os.environ.get("CHROMIUM")
    for name in [named] if named else NAMES:
        if found := shutil.which(name):
            return found
    return None


def why_not() -> str:
    """Return the sentence for a machine without a browser."""
    named = os.environ.get("CHROMIUM")
    looked = f"CHROMIUM={named} is no program" if named else f"none of {', '.join(NAMES)} is on PATH"
    return f"{LOUD}: {looked}. Install Chromium or set CHROMIUM; what needs a browser was not tried."


@contextmanager
def browser() -> Iterator[Browser]:
    """Start the browser and end it. Raises RuntimeError where there is none."""
    path = executable()
    if path is None:
        raise RuntimeError(why_not())
    with sync_playwright() as engine:
        started = engine.chromium.launch(executable_path=path, args=ARGS)
        try:
            yield started
        finally:
            started.close()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture starts a portal for nothing: skip, or fail where a browser is required."""
    if item.get_closest_marker("browser") is None or executable() is not None:
        return
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(why_not(), pytrace=False)
    pytest.skip(why_not())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line that nobody can miss how many tests were skipped for want of a browser."""
    skipped = sum(LOUD in str(report.longrepr) for report in terminalreporter.stats.get("skipped", []))
    if skipped:
        terminalreporter.write_sep("!", f"{skipped} browser tests SKIPPED", red=True, bold=True)
        terminalreporter.write_line(why_not(), red=True, bold=True)
