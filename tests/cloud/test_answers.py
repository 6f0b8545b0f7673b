"""What an answer says: optional parts may be absent, needed ones may not, and rubbish is never an answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.cloud import rackspace_answers as answers
from portal.cloud.types import BalancerStatus, Condition, NodeStatus, NodeType
from tests.cloud.fake import CLB, NOVA, access, balancer, node, server


def as_body(data: object) -> bytes:
    return json.dumps(data).encode()


def session(data: dict, **more):
    wanted = {
        "region": "DFW",
        "tenant": "123456",
        "services": ("cloudLoadBalancers", "cloudServersOpenStack"),
    }
    return answers.parse_session(as_body(data), **{**wanted, **more})


def test_services_are_found_by_name_and_region_not_by_type():
    found = session(access())
    assert found.endpoints == {"cloudServersOpenStack": NOVA, "cloudLoadBalancers": CLB}


def test_an_endpoint_without_a_region_serves_every_region():
    found = session(access(), services=("cloudMonitoring",))
    assert found.endpoints == {"cloudMonitoring": "https://monitoring.example.com/v1.0/123456"}


def test_an_endpoint_of_the_region_goes_before_one_without():
    led = access()
    endpoints = led["access"]["serviceCatalog"][2]["endpoints"]
    endpoints.insert(0, {"publicURL": "https://anywhere.example.com/v1.0/123456"})
    assert session(led).endpoints["cloudLoadBalancers"] == CLB


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2014-11-24T22:05:39.115Z", datetime(2014, 11, 24, 22, 5, 39, 115000, UTC)),
        ("2012-09-14T15:11:57.585-05:00", datetime(2012, 9, 14, 20, 11, 57, 585000, UTC)),
        ("2012-08-20T21:11:09", datetime(2012, 8, 20, 21, 11, 9, 0, UTC)),
    ],
)
def test_both_formats_of_time_are_read(text, meant):
    assert session(access(expires=text)).expires_at == meant


def test_a_token_for_another_account_is_not_used():
    with pytest.raises(answers.WrongTenant):
        session(access(tenant="999"))


def test_a_session_survives_the_cache_and_hides_its_token():
    found = session(access())
    assert answers.Session.from_text(found.to_text()) == found
    assert "token-1" not in repr(found)


def test_a_balancer_is_read_with_what_it_has():
    data = balancer(
        nodes=[node(weight=7, type="SECONDARY", status="OFFLINE", condition="DRAINING")],
        healthMonitor={"type": "HTTP"},
        sessionPersistence={"persistenceType": "HTTP_COOKIE"},
        connectionThrottle={"maxConnections": 10, "minConnections": 1},
    )
    shown = answers.parse_balancer(as_body(data), "71")
    assert shown.has_health_monitor
    assert shown.session_persistence == "HTTP_COOKIE"
    assert shown.most_per_address == 10
    assert shown.virtual_ips == ("206.10.10.210",)
    one = shown.nodes[0]
    assert (one.weight, one.type, one.status, one.condition) == (
        7,
        NodeType.SECONDARY,
        NodeStatus.OFFLINE,
        Condition.DRAINING,
    )


@pytest.mark.parametrize("throttle", [{}, {"maxConnections": 0}, {"maxConnections": "x"}, [], None])
def test_a_throttle_of_nothing_limits_nobody(throttle):
    shown = answers.parse_balancer(as_body(balancer(connectionThrottle=throttle)), "71")
    assert shown.most_per_address is None


def test_parts_that_the_provider_leaves_out_are_none_not_zero():
    plain = node()
    del plain["type"]
    del plain["status"]
    data = balancer(nodes=[plain], healthMonitor={})
    for key in ("virtualIps", "timeout", "algorithm"):
        del data["loadBalancer"][key]
    shown = answers.parse_balancer(as_body(data), "71")
    assert not shown.has_health_monitor
    assert shown.session_persistence is None
    assert shown.most_per_address is None
    assert shown.timeout_s == 30
    one = shown.nodes[0]
    assert (one.weight, one.type, one.status) == (None, NodeType.PRIMARY, NodeStatus.UNKNOWN)


def test_a_balancer_without_the_list_of_nodes_is_empty_only_if_none_is_counted():
    data = balancer()
    del data["loadBalancer"]["nodes"]
    assert answers.parse_balancer(as_body(data), "71").nodes == ()
    data["loadBalancer"]["nodeCount"] = 3
    with pytest.raises(answers.Unreadable):
        answers.parse_balancer(as_body(data), "71")


@pytest.mark.parametrize("word", ["SOMETHING_NEW", "PENDING_CREATE"])
def test_an_unknown_state_is_not_writable(word):
    shown = answers.parse_balancer(as_body(balancer(status=word)), "71")
    assert shown.status is BalancerStatus.UNKNOWN
    assert not shown.is_writable


@pytest.mark.parametrize("key", ["id", "address", "port", "condition"])
def test_a_node_that_lacks_what_it_needs_makes_the_whole_answer_unreadable(key):
    lacking = node()
    del lacking[key]
    with pytest.raises(answers.Unreadable):
        answers.parse_balancer(as_body(balancer(nodes=[node(9), lacking])), "71")


def test_a_server_is_read_with_all_its_addresses_once():
    data = server(accessIPv4="8.8.8.8", accessIPv6="2001:4860::1", image="", hostId="", metadata={"a": 1})
    shown = answers.parse_one_server(as_body({"server": data}), "s-1")
    assert shown.addresses == ("10.1.1.1", "8.8.8.8", "2001:4860::1")
    assert shown.image_id is None
    assert shown.host_id is None
    assert shown.is_locked is None
    assert shown.created_at == datetime(2026, 11, 1, 8, 0, tzinfo=UTC)


def test_another_server_than_the_one_asked_for_is_no_answer():
    with pytest.raises(answers.Unreadable):
        answers.parse_one_server(as_body({"server": server("s-2")}), "s-1")


FEED = b"""<?xml version="1.0" ?><feed xmlns="http://www.w3.org/2005/Atom"><title type="text">Node Feed</title>
<entry><title type="text">Node Status Updated</title>
<summary type="text">Node successfully updated with address: '10.1.1.1', port: '80', weight: '1', condition: 'DRAINING'</summary>
<author><name>demo</name></author><id>x</id><category term="UPDATE"/><updated>2026-11-23T12:00:00.000Z</updated></entry>
<entry><title type="text">Node Created</title><summary type="text">Node successfully created</summary>
<category term="CREATE"/><updated>2026-11-22T12:00:00Z</updated></entry></feed>"""


def test_the_feed_is_read_newest_first():
    newest, oldest = answers.parse_feed(FEED)
    assert (newest.kind, oldest.kind) == ("UPDATE", "CREATE")
    assert newest.at == datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    assert "condition: 'DRAINING'" in newest.summary


def test_a_feed_with_a_document_type_is_refused():
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa">]>' + FEED
    with pytest.raises(answers.Unreadable):
        answers.parse_feed(bomb)


def test_figures_add_both_halves_and_do_without_the_encrypted_one():
    assert answers.parse_stats(as_body({"currentConn": 40, "currentConnSsl": 2})).current_connections == 42
    assert answers.parse_stats(as_body({"currentConn": 40, "currentConnSsl": None})).current_connections == 40
    assert answers.parse_stats(as_body({"maxConn": 1})) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "loadBalancer",
                    "loadBalancers",
                    "nodes",
                    "servers",
                    "server",
                    "id",
                    "status",
                    "access",
                    "token",
                    "limits",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
PARSERS = [
    lambda body: answers.parse_balancer(body, "71"),
    answers.parse_balancer_refs,
    answers.parse_nodes,
    lambda body: answers.parse_one_server(body, "s-1"),
    answers.parse_server_page,
    answers.parse_volumes,
    answers.parse_limits,
    answers.parse_feed,
    answers.parse_stats,
    lambda body: answers.parse_session(body, region="DFW", tenant="1", services=("cloudLoadBalancers",)),
    lambda body: answers.Session.from_text(body.decode("latin-1")),
]


@given(body=st.binary(max_size=60) | json_values.map(as_body))
def test_rubbish_is_unreadable_and_never_a_crash(body):
    for parse in PARSERS:
        try:
            parse(body)
        except (answers.Unreadable, answers.WrongTenant):
            pass


@given(cut=st.integers(min_value=0, max_value=len(as_body(balancer(nodes=[node(1), node(2)]))) - 1))
def test_an_answer_that_is_cut_off_anywhere_is_unreadable(cut):
    with pytest.raises(answers.Unreadable):
        answers.parse_balancer(as_body(balancer(nodes=[node(1), node(2)]))[:cut], "71")


def test_what_turns_a_text_around_is_taken_out_in_whatever_encoding_it_comes():
    for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
        body = '{"name": "web\u202a1\u2066"}'.encode(encoding)
        assert answers.json_object(body) == answers.json_object('{"name": "web\u202a1\u2066"}'.encode())
        assert "\u202a" not in answers.json_object(body)["name"]
