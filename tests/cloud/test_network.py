"""What the interfaces of a server carry, as the monitoring's agent counts it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from portal.cloud.rackspace_network import KNOWN_FOR_S, NetworkFigures
from portal.errors import ProviderFailed
from tests.cloud.fake import NOW, Provider
from tests.cloud.test_monitoring import BEGINS, CHECK, ENDS, ENTITY, MON, fault, page, point

OTHER = {**CHECK, "id": "ch2", "details": {"target": "eth1"}, "period": 30}


def counted(*values, first=0.0, every=1.0):
    return page(*(point(first + n * every, value) for n, value in enumerate(values)))


def provider(checks=(CHECK,), **plots) -> Provider:
    found = Provider()
    found.on("GET", f"{MON}/views/overview", [page({"entity": ENTITY, "checks": list(checks)})])
    for name, answer in plots.items():
        check, _, metric = name.partition("_")
        path = f"{MON}/entities/en1/checks/{check}/metrics/{metric}/plot"
        found.on("GET", path, [answer])
    return found


def rates(found: Provider, server_id="s-1"):
    return asyncio.run(found.cloud().network_rates(server_id, begins=BEGINS, ends=ENDS))


def test_received_and_sent_are_added_up_for_each_pair_of_points():
    (eth0,) = rates(
        provider(ch1_rx_bytes=counted(0, 6_000, 6_600), ch1_tx_bytes=counted(1_000, 61_000, 61_000))
    )
    assert (eth0.name, eth0.period_s) == ("eth0", 60)
    assert [rate.bytes_per_s for rate in eth0.rates] == [1_100.0, 10.0]
    assert eth0.rates[0].ends - eth0.rates[0].begins == timedelta(seconds=60)
    assert eth0.rates[0].ends == eth0.rates[1].begins


@pytest.mark.parametrize(
    "received",
    [
        counted(9_000_000, 6_000, 12_000),
        page(point(0, 0), point(5, 600), point(6, 6_600)),
        page(point(0, 0), point(1, 0, numPoints=0), point(2, 900), point(3, 6_900)),
    ],
)
def test_a_reboot_a_long_gap_and_a_point_of_nothing_leave_only_what_is_sure(received):
    sent = page(*(point(minute, 0) for minute in range(7)))
    (eth0,) = rates(provider(ch1_rx_bytes=received, ch1_tx_bytes=sent))
    assert [rate.bytes_per_s for rate in eth0.rates] == [100.0]


def test_every_interface_that_is_measured_is_read_and_what_is_switched_off_is_not():
    off = {**CHECK, "id": "ch3", "disabled": True}
    found = provider(
        checks=(CHECK, OTHER, off, {**CHECK, "id": "ch4", "type": "agent.cpu"}),
        ch1_rx_bytes=counted(0, 60),
        ch1_tx_bytes=counted(0, 0),
        ch2_rx_bytes=counted(0, 0, every=0.5),
        ch2_tx_bytes=counted(0, 30, every=0.5),
    )
    assert [(one.name, one.period_s, one.rates[0].bytes_per_s) for one in rates(found)] == [
        ("eth0", 60, 1.0),
        ("eth1", 30, 1.0),
    ]


def test_what_nothing_measures_has_no_figures():
    assert rates(provider(), server_id="s-2") == ()
    assert rates(provider(checks=({**CHECK, "type": "agent.cpu"},))) == ()
    assert asyncio.run(provider().cloud().watched()).network == frozenset({"s-1"})


def test_an_agent_that_is_away_is_a_trouble_and_no_silence():
    away = fault(400, "agentNotConnected", "Agent is not connected")
    with pytest.raises(ProviderFailed):
        rates(provider(ch1_rx_bytes=away, ch1_tx_bytes=counted(0, 0)))


def test_what_is_measured_is_asked_for_again_after_ten_minutes():
    class Overview:
        asked = 0

        async def monitored(self):
            self.asked += 1
            return ()

    passed, overview = [0.0], Overview()
    figures = NetworkFigures(overview, monotonic=lambda: passed[0])

    async def ask_twice():
        await figures.rates("s-2", begins=NOW, ends=NOW)
        await figures.rates("s-1", begins=NOW, ends=NOW)

    asyncio.run(ask_twice())
    assert overview.asked == 1
    passed[0] = KNOWN_FOR_S + 1
    asyncio.run(ask_twice())
    assert overview.asked == 2
