"""Lists are whole or not at all."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from portal.errors import TryLater
from tests.cloud.fake import CLB, NOVA, Provider, node, server


def balancer_list(request: httpx.Request, ids: list[int], *, key: str = "loadBalancers") -> httpx.Response:
    """The provider's own paging: the marker is inclusive, the limit at most 100 (reference, 2.1)."""
    limit = min(int(request.url.params.get("limit", "100")), 100)
    start = int(request.url.params.get("marker", "0"))
    page = [number for number in ids if number >= start][:limit]
    return httpx.Response(
        200, json={key: [{"id": number, "name": "n", "status": "ACTIVE"} for number in page]}
    )


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 199, 200, 250])
def test_every_load_balancer_is_listed_once_although_the_marker_is_inclusive(count):
    provider = Provider()
    ids = [10 * number for number in range(1, count + 1)]
    provider.on("GET", f"{CLB}/loadbalancers", lambda request: balancer_list(request, ids))
    found = asyncio.run(provider.cloud().list_balancers())
    assert [int(ref.id) for ref in found] == ids


def test_the_search_by_address_pages_too_and_keeps_the_address():
    provider = Provider()
    ids = list(range(1, 151))
    provider.on("GET", f"{CLB}/loadbalancers", lambda request: balancer_list(request, ids))
    found = asyncio.run(provider.cloud().balancers_holding("10.1.1.1"))
    assert len(found) == 150
    assert {request.url.params["nodeaddress"] for request in provider.sent("GET")} == {"10.1.1.1"}


def test_deleted_load_balancers_are_left_out():
    provider = Provider()
    listed = [{"id": 1, "name": "a", "status": "DELETED"}, {"id": 2, "name": "b", "status": "BUILD"}]
    provider.on("GET", f"{CLB}/loadbalancers", httpx.Response(200, json={"loadBalancers": listed}))
    assert [ref.id for ref in asyncio.run(provider.cloud().list_balancers())] == ["2"]


@pytest.mark.parametrize("ids", [list(range(100, 0, -1)), [1] * 100], ids=["descending", "the same again"])
def test_a_list_of_load_balancers_that_cannot_be_paged_is_no_list(ids):
    provider = Provider()
    page = {"loadBalancers": [{"id": number, "name": "n", "status": "ACTIVE"} for number in ids]}
    provider.on("GET", f"{CLB}/loadbalancers", httpx.Response(200, json=page))
    with pytest.raises(TryLater) as caught:
        asyncio.run(provider.cloud().list_balancers())
    assert caught.value.code == "unreadable"
    assert len(provider.sent("GET")) <= 2


def test_a_failure_on_a_later_page_fails_the_whole_list():
    provider = Provider()
    ids = list(range(1, 151))
    pages = iter([lambda request: balancer_list(request, ids), lambda request: httpx.Response(500)])
    provider.on("GET", f"{CLB}/loadbalancers", lambda request: next(pages)(request))
    with pytest.raises(TryLater):
        asyncio.run(provider.cloud().list_balancers())


def server_list(request: httpx.Request, names: list[str], *, with_links: bool = True) -> httpx.Response:
    """The provider's own paging: the marker is exclusive, a link only on a full page (reference, 3.1)."""
    limit = int(request.url.params.get("limit", "1000"))
    marker = request.url.params.get("marker")
    start = names.index(marker) + 1 if marker else 0
    page = names[start : start + limit]
    body: dict = {"servers": [server(name) for name in page]}
    if with_links and len(page) == limit:
        # Another host on purpose: only the query of a link may be followed.
        href = f"https://internal.example.net/elsewhere?limit={limit}&marker={page[-1]}"
        body["servers_links"] = [{"rel": "next", "href": href}]
    return httpx.Response(200, json=body)


@pytest.mark.parametrize("with_links", [True, False])
@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 200, 230])
def test_every_server_is_listed_once_with_or_without_links(count, with_links):
    provider = Provider()
    names = [f"s-{number}" for number in range(count)]
    provider.on(
        "GET", f"{NOVA}/servers/detail", lambda request: server_list(request, names, with_links=with_links)
    )
    found = asyncio.run(provider.cloud().list_servers())
    assert [one.id for one in found] == names


def test_a_link_that_comes_again_ends_the_list_with_trouble():
    provider = Provider()
    href = f"{NOVA}/servers/detail?limit=100&marker=s-1"
    page = {"servers": [server("s-1")], "servers_links": [{"rel": "next", "href": href}]}
    provider.on("GET", f"{NOVA}/servers/detail", httpx.Response(200, json=page))
    with pytest.raises(TryLater) as caught:
        asyncio.run(provider.cloud().list_servers())
    assert caught.value.code == "unreadable"
    assert len(provider.sent("GET")) == 2


def test_nodes_are_never_paged():
    provider = Provider()
    nodes = [node(number, address=f"10.1.1.{number}") for number in range(1, 51)]
    from tests.cloud.fake import balancer

    provider.on("GET", f"{CLB}/loadbalancers/71", httpx.Response(200, json=balancer(nodes=nodes)))
    shown = asyncio.run(provider.cloud().show_balancer("71"))
    assert len(shown.nodes) == 50
    assert not provider.sent("GET")[0].url.params
