"""A whole portal with real workers and the simulator, and a real browser, for the stories of this folder."""

from __future__ import annotations

import json

import httpx
import pytest

from portal.embedded import start_portal
from tests import chromium
from tests.issuer import running_issuer


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
def issuer():
    """An organization whose people log in through it; the portal of all these stories knows it."""
    with running_issuer() as url:
        yield url


@pytest.fixture(scope="package")
def site(browser, issuer):
    one = {
        "id": "acme",
        "name": "Acme",
        "issuer": issuer,
        "client_id": "c",
        "client_secret": "s",
        "domains": ["lindgren.example", "elsewhere.example"],
    }
    # No story takes the power from the machine: what PostgreSQL writes need not be on the disk before it answers.
    with start_portal(scenario="desk", forgetful=True, env={"OIDC_ISSUERS": json.dumps([one])}) as held:
        made = Site(held)
        # What a real provider takes half a minute for is not what these stories are about.
        made.simulator("PATCH", "settings", {"delete_s": 1.5, "image_s": 1.5})
        yield made
