"""A whole portal with real workers and the simulator, and a real browser, for the stories of this folder."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import sync_playwright

from portal.embedded import start_portal
from tests.browser import story

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


class Site:
    """The portal under test, and the simulator behind it."""

    def __init__(self, held):
        self.held = held
        self.url = held.url

    def simulator(self, method, path, body=None):
        """Ask the simulator's control plane."""
        answer = httpx.request(
            method,
            f"{self.held.simulator_url}/_sim/{path}",
            json=body,
            headers={"X-Simulator-Token": self.held.control_token},
            trust_env=False,
            timeout=10,
        )
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


@pytest.fixture(scope="package")
def browser():
    if not Path(CHROMIUM).exists():
        reason = (
            f"NO BROWSER: {CHROMIUM} is not there (set CHROMIUM). The stories in a browser were not tried."
        )
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as engine:
        started = engine.chromium.launch(executable_path=CHROMIUM, args=story.ARGS)
        yield started
        started.close()


@pytest.fixture(scope="package")
def site(browser):
    with start_portal(scenario="desk") as held:
        made = Site(held)
        # What a real provider takes half a minute for is not what these stories are about.
        made.simulator("PATCH", "settings", {"delete_s": 1.5})
        yield made
