"""A change of ours that may still land, and an address in another spelling: neither may surprise a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.scaledown.test_machine_may_delete import Case

SIX = "2001:db8:7810::6"


@pytest.mark.parametrize(
    "address", ["192.0.2.6", SIX, "2001:0db8:7810:0000:0000:0000:0000:0006", "2001:DB8:7810:0::6"]
)
def test_a_node_with_any_address_of_the_server_in_any_spelling_forbids_the_deletion(address):
    case = Case()
    server = replace(case.plan.servers[0], addresses=(*case.plan.servers[0].addresses, SIX))
    case.plan = replace(case.plan, servers=(server,))
    case.server(addresses=server.addresses)
    assert case.refusal() is None
    case.nodes(lambda nodes: [*nodes, replace(nodes[0], node_id="999", address=address)])
    assert case.refusal().code == "still_in_pool"
