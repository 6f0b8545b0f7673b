"""A look at a pool for planning is whole or it is none."""

from __future__ import annotations

import asyncio
import dataclasses
from types import SimpleNamespace

import pytest

from portal.cloud.types import Alarm, AlarmState, BalancerRef, BalancerStatus, Watched
from portal.errors import ProviderFailed, Refused, TryLater
from scaledown import pool as looking
from scaledown.candidates import servers_of
from scaledown.planner import build_plan_data
from scaledown.preview import preview
from tests.scaledown.planner_cases import CHOICE, IDENTITY, NOW, known, node, pool, server

SEEN = pool()
WEB = BalancerRef("71", "web", BalancerStatus.ACTIVE)
OTHER = BalancerRef("ORD:9", "failover", BalancerStatus.ACTIVE)
WORKER = server(9, id="srv-09", name="worker-01", addresses=("10.0.0.99",))


class Cloud:
    """A provider that shows the pool of the planner's cases, and one server in no balancer."""

    identity = IDENTITY

    def __init__(self, **faults):
        self.faults = faults

    async def show_balancer(self, balancer_id):
        return SEEN.balancers[0] if balancer_id == "71" else None

    async def list_servers(self):
        if "slow_s" in self.faults:
            await asyncio.sleep(self.faults["slow_s"])
        if "away" in self.faults:
            raise self.faults["away"]
        return (*SEEN.servers, WORKER)

    async def show_server(self, server_id):
        if server_id in ("", "../71", "not an id"):
            raise ValueError("not an id of this provider")
        if server_id == "not-an-id":
            raise ProviderFailed("The provider understands no such id.", status=400)
        return self.faults.get("shown", {}).get(server_id)

    async def addresses_everywhere(self, *, most):
        if "lost" in self.faults:
            raise TryLater("The list was cut off.", after_s=1)
        if self.faults.get("balancers", 1) > most:
            return None
        found = [(WEB, one.address) for one in SEEN.balancers[0].nodes]
        elsewhere = [(ref, one.address) for ref, one in self.faults.get("elsewhere", ())]
        return (*found[self.faults.get("lacks", 0) :], *elsewhere)

    async def balancers_holding(self, address):
        return (WEB, OTHER) if address == "10.0.0.6" else (WEB,)

    async def watched(self):
        if "unmonitored" in self.faults:
            raise self.faults["unmonitored"]
        return Watched(frozenset({"srv-06"}), self.faults.get("alarms", ()))

    async def attached_volumes(self, server_id):
        return None if server_id == "srv-06" else ()


def test_a_look_knows_who_holds_each_address_of_the_pool_and_of_no_other():
    elsewhere = [(OTHER, node(6)), (OTHER, node(9))]
    seen = asyncio.run(looking.look(Cloud(elsewhere=elsewhere), ["71"], NOW))
    assert seen.holders == {f"10.0.0.{number}": ("71",) for number in range(1, 6)} | {
        "10.0.0.6": ("71", "ORD:9")
    }
    assert seen.by_name == {}
    seen = asyncio.run(looking.look(Cloud(), ["71"], NOW))
    assert seen.volumes["srv-06"] is None
    assert [one.name for one in build_plan_data(CHOICE, seen, known()).servers] == [
        "web-06",
        "web-05",
        "web-04",
    ]


def test_a_balancer_that_does_not_exist_is_refused_by_its_number():
    with pytest.raises(Refused, match="72"):
        asyncio.run(looking.look(Cloud(), ["71", "72"], NOW))


def test_one_search_that_failed_makes_no_half_look():
    with pytest.raises(TryLater):
        asyncio.run(looking.look(Cloud(lost=True), ["71"], NOW))


def test_nodes_by_name_elsewhere_are_kept_for_the_preview_to_warn_of():
    elsewhere = [(OTHER, node(8, address="web-06.example.com")), (OTHER, node(9))]
    seen = asyncio.run(looking.look(Cloud(elsewhere=elsewhere), ["71"], NOW))
    assert seen.by_name == {"failover (ORD:9)": ("web-06.example.com",)}
    warned = preview(build_plan_data(CHOICE, seen, known()), CHOICE, seen, known()).warnings
    [told] = [one for one in warned if one.code == "nodes_by_name"]
    assert "failover (ORD:9) has nodes by name (web-06.example.com)" in told.says
    assert not told.blocks


def test_whose_network_is_measured_is_known_and_monitoring_that_is_away_stops_no_plan():
    assert asyncio.run(looking.look(Cloud(), ["71"], NOW)).network == frozenset({"srv-06"})
    away = Cloud(unmonitored=ProviderFailed("There is no monitoring."))
    assert asyncio.run(looking.look(away, ["71"], NOW)).network is None


def test_of_what_fires_only_what_is_of_the_pool_is_known():
    def alarm(**changes):
        whole = Alarm("en1/al1/ch1", "CPU", "web-06", "srv-06", (), AlarmState.WARNING, None)
        return dataclasses.replace(whole, **changes)

    outside = alarm(server_id=None, addresses=SEEN.balancers[0].virtual_ips)
    others = (alarm(server_id="db-1"), alarm(server_id=None, addresses=("192.0.2.99",)))
    cloud = Cloud(alarms=(outside, alarm(), *others))
    assert asyncio.run(looking.look(cloud, ["71"], NOW)).alarms == (outside, alarm())
    away = Cloud(unmonitored=ProviderFailed("There is no monitoring."))
    assert asyncio.run(looking.look(away, ["71"], NOW)).alarms is None


def test_where_more_balancers_are_than_can_be_read_each_address_is_searched():
    seen = asyncio.run(looking.look(Cloud(balancers=101), ["71"], NOW))
    assert seen.holders == {f"10.0.0.{number}": ("71",) for number in range(1, 6)} | {
        "10.0.0.6": ("71", "ORD:9")
    }


def test_a_list_that_lacks_a_balancer_which_is_shown_proves_nothing():
    with pytest.raises(TryLater, match="lacks load balancer 71, which it shows"):
        asyncio.run(looking.look(Cloud(lacks=6), ["71"], NOW))


def test_a_provider_that_is_too_slow_is_given_up_with_a_sentence(monkeypatch):
    connection = SimpleNamespace()
    monkeypatch.setattr(looking, "credentials_of", lambda connection: None)
    monkeypatch.setattr(looking, "look_once", lambda credentials, look: asyncio.run(look(Cloud(slow_s=30))))
    with pytest.raises(TryLater) as trouble:
        looking.read_pool(connection, ["71"], deadline_s=0.01)
    assert trouble.value.code == "provider_slow"


def test_a_look_without_a_balancer_is_refused_before_anything_is_asked():
    with pytest.raises(Refused):
        looking.read_pool(SimpleNamespace(), [])


def test_a_balancer_that_is_named_twice_is_refused_before_anything_is_asked():
    with pytest.raises(Refused, match="71 is named more than once"):
        looking.read_pool(SimpleNamespace(), ["71", "71"])


def test_two_spellings_of_one_address_are_one_address():
    spelled = pool(
        servers=[server(1, addresses=("2001:DB8::1",)), *(server(n) for n in range(2, 7))],
        nodes=[node(1, address="2001:db8:0:0:0:0:0:1"), *(node(n) for n in range(2, 7))],
    )
    assert servers_of(spelled.balancers, spelled.servers) == list(spelled.servers)


def looked_at(monkeypatch, server_id, **faults):
    monkeypatch.setattr(looking, "credentials_of", lambda connection: None)
    monkeypatch.setattr(looking, "look_once", lambda credentials, ask: asyncio.run(ask(Cloud(**faults))))
    return looking.look_at_server(None, server_id, deadline_s=0.2)


def test_a_server_is_known_by_the_providers_own_name(monkeypatch):
    seen = looked_at(monkeypatch, "srv-09")
    assert (seen.is_there, seen.name) == (True, "worker-01")
    assert seen.at is not None


@pytest.mark.parametrize("nonsense", ["srv-99", "not-an-id", "not an id", "../71", ""])
def test_an_id_is_unknown_only_where_list_and_server_say_so(monkeypatch, nonsense):
    assert looked_at(monkeypatch, nonsense).is_there is False


def test_a_server_that_the_list_lacks_is_asked_for_by_its_id(monkeypatch):
    fresh = server(9, id="srv-10", name="web-10")
    assert looked_at(monkeypatch, "srv-10", shown={"srv-10": fresh}).name == "web-10"
    gone = server(9, id="srv-10", status="DELETED")
    assert looked_at(monkeypatch, "srv-10", shown={"srv-10": gone}).is_there is False


@pytest.mark.parametrize(
    ("faults", "says"),
    [
        ({"away": TryLater("The provider is busy.", after_s=5)}, "busy"),
        ({"away": ProviderFailed("The provider failed.", status=500)}, "failed"),
        ({"away": Refused("These credentials are not accepted.")}, "credentials"),
        ({"slow_s": 5}, "did not answer within 0.2 s"),
    ],
)
def test_a_provider_that_does_not_say_leaves_it_open_whether_a_server_is_there(monkeypatch, faults, says):
    seen = looked_at(monkeypatch, "srv-01", **faults)
    assert seen.is_there is None
    assert says in seen.problem
