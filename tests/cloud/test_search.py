"""The search for an address before a delete: every region, every spelling, whole or not at all."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from portal.cloud import rackspace_answers as answers
from portal.errors import Trouble, TryLater
from tests.cloud.fake import CLB, Provider, balancer, node, server

ORD = "https://ord.lb.example.com/v1.0/123456"
SIX = "2001:db8:7810::6"


def listed(*refs):
    return httpx.Response(
        200, json={"loadBalancers": [{"id": n, "name": name, "status": "ACTIVE"} for n, name in refs]}
    )


@pytest.fixture
def provider():
    made = Provider()
    made.on("GET", f"{CLB}/loadbalancers", listed())
    made.on("GET", f"{ORD}/loadbalancers", listed())
    return made


def search(provider, address):
    return asyncio.run(provider.cloud().balancers_holding(address))


def test_a_failover_balancer_in_another_region_is_found(provider):
    provider.on("GET", f"{ORD}/loadbalancers", listed((9, "failover")))
    assert [(ref.id, ref.name) for ref in search(provider, "203.0.113.6")] == [("ORD:9", "failover")]


def test_the_same_id_in_another_region_is_another_balancer(provider):
    provider.on("GET", f"{CLB}/loadbalancers", listed((9, "web")))
    provider.on("GET", f"{ORD}/loadbalancers", listed((9, "failover")))
    assert [ref.id for ref in search(provider, "203.0.113.6")] == ["9", "ORD:9"]


def test_a_private_address_is_another_server_in_another_region(provider):
    provider.on("GET", f"{ORD}/loadbalancers", listed((9, "another shop's")))
    assert search(provider, "10.1.1.1") == ()


def test_a_region_that_cannot_be_asked_leaves_no_answer(provider):
    provider.on("GET", f"{ORD}/loadbalancers", httpx.Response(503, text="down"))
    with pytest.raises(Trouble):
        search(provider, "203.0.113.6")


def test_an_address_of_version_6_is_searched_in_each_spelling_that_programs_write(provider):
    search(provider, SIX)
    asked = {request.url.params["nodeaddress"] for request in provider.sent("GET")}
    assert asked == {SIX, "2001:0db8:7810:0000:0000:0000:0000:0006", "2001:db8:7810:0:0:0:0:6"}


def everywhere(provider):
    return {(ref.id, address) for ref, address in asyncio.run(provider.cloud().addresses_everywhere(most=3))}


def shows(where, number, *addresses):
    nodes = [node(id=400 + place, address=address) for place, address in enumerate(addresses)]
    return (
        "GET",
        f"{where}/loadbalancers/{number}",
        httpx.Response(200, json=balancer(id=number, nodes=nodes)),
    )


def test_every_node_everywhere_is_found_in_whatever_spelling(provider):
    provider.on("GET", f"{CLB}/loadbalancers", listed((9, "web"), (10, "empty")))
    provider.on("GET", f"{ORD}/loadbalancers", listed((9, "failover")))
    provider.on(*shows(CLB, 9, "10.1.1.1", "2001:0db8:7810::06"))
    provider.on(*shows(CLB, 10))
    provider.on(*shows(ORD, 9, "2001:DB8:7810:0:0:0:0:6", "10.1.1.1", "203.0.113.6"))
    assert everywhere(provider) == {
        ("9", "10.1.1.1"),
        ("9", SIX),
        ("ORD:9", SIX),
        ("ORD:9", "203.0.113.6"),  # a private address is another server there
    }


@pytest.mark.parametrize("status", [404, 410, 503])
def test_one_balancer_that_is_listed_and_not_shown_leaves_no_answer(provider, status):
    provider.on("GET", f"{CLB}/loadbalancers", listed((9, "web")))
    provider.on("GET", f"{CLB}/loadbalancers/9", httpx.Response(status, json={}))
    with pytest.raises(Trouble):
        everywhere(provider)


def test_more_balancers_than_can_be_read_are_not_read(provider):
    provider.on("GET", f"{CLB}/loadbalancers", listed((9, "web"), (10, "api")))
    provider.on("GET", f"{ORD}/loadbalancers", listed((9, "failover"), (11, "spare")))
    assert asyncio.run(provider.cloud().addresses_everywhere(most=3)) is None
    assert len(provider.sent("GET")) == 2


def test_one_balancer_whose_answer_says_nothing_sure_is_named(provider):
    provider.on("GET", f"{ORD}/loadbalancers", listed((9, "failover")))
    provider.on("GET", f"{ORD}/loadbalancers/9", httpx.Response(200, json={"loadBalancer": {"id": 9}}))
    with pytest.raises(TryLater, match=r"ORD:9 \(failover\)"):
        everywhere(provider)


def test_a_region_that_cannot_be_asked_leaves_no_nodes(provider):
    provider.on("GET", f"{ORD}/loadbalancers", httpx.Response(503, text="down"))
    with pytest.raises(Trouble):
        everywhere(provider)


def test_a_region_that_asks_to_come_later_holds_back_no_other_one(provider):
    late = httpx.Response(
        413,
        headers={"Retry-After": "300"},
        json={"overLimit": {"code": 413, "message": "OverLimit Retry..."}},
    )
    provider.on("GET", f"{ORD}/loadbalancers", late)
    provider.on(*shows(CLB, 9, "10.1.1.1"))

    async def story():
        cloud = provider.cloud()
        with pytest.raises(TryLater):
            await cloud.balancers_holding("203.0.113.6")
        return await cloud.show_balancer("9")

    assert asyncio.run(story()).id == "9"


@pytest.mark.parametrize("text", ["2001:0db8:7810:0:0:0:0:6", "2001:DB8:7810::6", " 2001:db8:7810::0006 "])
def test_addresses_have_one_spelling_wherever_they_come_from(text):
    body = json.dumps(balancer(nodes=[node(address=text)])).encode()
    assert answers.parse_balancer(body, "71").nodes[0].address == SIX
    raw = server(addresses={"public": [{"version": 6, "addr": text}]}, accessIPv6=text)
    assert answers.parse_server(raw).addresses == (SIX,)


def test_an_address_that_can_be_attached_elsewhere_is_told_apart():
    public = [
        {"version": 4, "addr": "203.0.113.6", "OS-EXT-IPS:type": "fixed"},
        {"version": 4, "addr": "203.0.113.9", "OS-EXT-IPS:type": "floating"},
    ]
    seen = answers.parse_server(server(addresses={"public": public}))
    assert seen.floating == ("203.0.113.9",)
    assert set(seen.addresses) >= {"203.0.113.6", "203.0.113.9"}


def test_a_node_by_name_and_one_of_mapped_version_4_keep_their_meaning():
    assert answers.parse_address("Web-06.Example.com") == "web-06.example.com"
    assert answers.parse_address("::ffff:203.0.113.6") == "203.0.113.6"
