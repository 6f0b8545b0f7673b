"""A whole portal with real workers and the simulator, and a real browser, for the stories of this folder."""

from __future__ import annotations

import httpx
import pytest

from portal.embedded import start_portal
from tests import chromium


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
    with chromium.browser() as started:
        yield started


@pytest.fixture(scope="package")
def site(browser):
    with start_portal(scenario="desk") as held:
        made = Site(held)
        # What a real provider takes half a minute for is not what these stories are about.
        made.simulator("PATCH", "settings", {"delete_s": 1.5})
        yield made
