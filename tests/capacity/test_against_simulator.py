"""Probes and counts against the simulator's site and servers, over a real port and the portal's own egress."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import httpx
import pytest

from capacity.counts import CountKind, CountSource, read_count
from capacity.probes import ProbeSpec, run_probe
from portal import egress
from portal.cloud.discovery import discover
from portal.simulator.faults import Fault
from portal.simulator.hands import Hands
from tests.cloud.test_against_simulator import on_a_port


def now() -> datetime:
    return datetime.now(UTC)


def on_the_desk(settings, act):
    """Run `act(world, cloud, base URL)` with the simulator's port opened as on a desk."""

    async def turn():
        async with on_a_port() as (world, cloud):
            netloc = httpx.URL(cloud.identity.identity_url).netloc.decode()
            settings.EGRESS_ALLOW = [netloc]
            try:
                return await act(world, cloud, f"http://{netloc}")
            finally:
                await egress.close()

    return asyncio.run(turn())


def test_a_probe_of_the_customers_site_passes_and_fails_with_the_site(settings):
    async def act(world, cloud, base):
        spec = ProbeSpec("Front page", f"{base}/site/71/", timeout_s=0.5)
        good = await run_probe(spec, now())
        for server in await cloud.list_servers():
            Hands(world).kill_server(server.id)
        bad = await run_probe(spec, now())
        return good, bad

    good, bad = on_the_desk(settings, act)
    assert good.ok is True
    assert good.latency_ms > 0
    assert bad.ok is False
    assert bad.problem


def test_a_servers_count_is_measured_and_unknown_when_its_status_page_is_gone(settings):
    async def act(world, cloud, base):
        address = (await discover(cloud)).pools[0].members[0].node.address
        source = CountSource(CountKind.NGINX_STUB_STATUS, base + "/servers-net/{address}/stub_status")
        seen = await read_count(source, address, now)
        world.faults.add(Fault("status_down", route="status.read", times=None))
        gone = await read_count(source, address, now)
        return seen, gone

    seen, gone = on_the_desk(settings, act)
    assert seen.problem is None
    assert seen.connections >= 0
    assert seen.requests_total >= 0
    assert gone.connections is None
    assert gone.problem


@pytest.mark.parametrize("path", ["/site/999/", "/nowhere"])
def test_a_page_that_is_not_there_is_a_failed_probe(settings, path):
    async def act(world, cloud, base):
        return await run_probe(ProbeSpec("Gone", base + path), now())

    assert on_the_desk(settings, act).ok is False
