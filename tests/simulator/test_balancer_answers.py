"""Cloud Load Balancers v1.0, row by row (provider API reference, section 2)."""

import xml.etree.ElementTree as ET

import pytest

from tests.simulator.support import Desk, launch, node_of, server, wait, web

ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture
def lb(desk):
    return web(desk.world)


def path(lb, rest=""):
    return f"/loadbalancers/{lb.lb_id}{rest}"


# --- 2.1 load balancers


def test_the_list_has_the_documented_fields_and_no_links(desk, lb):
    body = desk.clb("GET", "/loadbalancers").json()
    assert set(body) == {"loadBalancers"}
    fields = "id name protocol port algorithm status nodeCount timeout virtualIps created updated"
    assert set(body["loadBalancers"][0]) == set(fields.split())
    assert body["loadBalancers"][0]["nodeCount"] == 6
    assert isinstance(body["loadBalancers"][0]["id"], int)


def test_one_load_balancer_comes_with_its_nodes_and_without_what_it_does_not_have(desk, lb):
    body = desk.clb("GET", path(lb)).json()["loadBalancer"]
    assert len(body["nodes"]) == 6
    assert body["healthMonitor"]["delay"] == 1
    assert "sessionPersistence" not in body
    assert "connectionThrottle" not in body
    lb.nodes.clear()
    assert "nodes" not in desk.clb("GET", path(lb)).json()["loadBalancer"]


def test_the_search_by_node_address_returns_three_fields_and_beats_the_name():
    desk = Desk(launch("two_balancers"))
    address = node_of(desk.world, "web-06").address
    found = desk.clb("GET", f"/loadbalancers?nodeaddress={address}&name=nonsense").json()["loadBalancers"]
    assert [lb["name"] for lb in found] == ["web", "api"]
    assert set(found[0]) == {"id", "name", "status"}
    assert desk.clb("GET", "/loadbalancers?nodeaddress=10.9.9.9").json() == {"loadBalancers": []}


def test_the_name_filters_the_list():
    desk = Desk(launch("two_balancers"))
    assert [lb["name"] for lb in desk.clb("GET", "/loadbalancers?name=api").json()["loadBalancers"]] == [
        "api"
    ]


def test_the_marker_is_inclusive_and_a_page_past_the_end_is_empty():
    desk = Desk(launch("desk"))
    ids = [lb["id"] for lb in desk.clb("GET", "/loadbalancers").json()["loadBalancers"]]
    first = [lb["id"] for lb in desk.clb("GET", "/loadbalancers?limit=2").json()["loadBalancers"]]
    again = [
        lb["id"]
        for lb in desk.clb("GET", f"/loadbalancers?limit=2&marker={first[-1]}").json()["loadBalancers"]
    ]
    assert first == ids[:2]
    assert again == ids[1:3], "a naive loop sees the marker twice"
    assert desk.clb("GET", f"/loadbalancers?marker={ids[-1] + 1}").json() == {"loadBalancers": []}
    assert [x["id"] for x in desk.clb("GET", "/loadbalancers?offset=1&limit=1").json()["loadBalancers"]] == [
        ids[1]
    ]


def test_changes_since_keeps_what_changed(desk, lb):
    desk.tick(100)
    assert desk.clb("GET", "/loadbalancers?changes-since=2026-11-23T12:01:00Z").json() == {
        "loadBalancers": []
    }
    desk.clb("PUT", path(lb), json={"loadBalancer": {"name": "new"}})
    assert (
        len(desk.clb("GET", "/loadbalancers?changes-since=2026-11-23T12:01:00Z").json()["loadBalancers"]) == 1
    )


def test_a_load_balancer_is_updated_after_202(desk, lb):
    answer = desk.clb(
        "PUT", path(lb), json={"loadBalancer": {"name": "shop", "timeout": 60, "halfClosed": True}}
    )
    assert (answer.status_code, answer.content) == (202, b"")
    desk.tick(2)
    body = desk.clb("GET", path(lb)).json()["loadBalancer"]
    assert (body["name"], body["timeout"], body["halfClosed"], body["status"]) == ("shop", 60, True, "ACTIVE")


@pytest.mark.parametrize("timeout", [0, 121])
def test_a_timeout_outside_of_1_to_120_seconds_is_refused(desk, lb, timeout):
    answer = desk.clb("PUT", path(lb), json={"loadBalancer": {"timeout": timeout}})
    assert answer.status_code == 400
    assert answer.json()["validationErrors"]["messages"]
    assert answer.json()["message"] == "Validation Failure"
    assert answer.json()["details"] == "The object is not valid"


# --- 2.2 status


@pytest.mark.parametrize(
    "status", ["BUILD", "PENDING_UPDATE", "PENDING_DELETE", "ERROR", "SUSPENDED", "SOMETHING_NEW"]
)
def test_only_an_active_load_balancer_takes_a_write(desk, lb, status):
    desk.hands.set_balancer_status(lb.lb_id, status)
    sentence = f"Load Balancer '{lb.lb_id}' has a status of '{status}' and is considered immutable."
    node_id = lb.nodes[0].node_id
    new = {"nodes": [{"address": "10.1.1.1", "port": 80, "condition": "ENABLED"}]}
    for answer in (
        desk.clb("PUT", path(lb, f"/nodes/{node_id}"), json={"node": {"condition": "DRAINING"}}),
        desk.clb("DELETE", path(lb, f"/nodes/{node_id}")),
        desk.clb("POST", path(lb, "/nodes"), json=new),
    ):
        assert (answer.status_code, answer.json()) == (422, {"message": sentence, "code": 422})
    bulk = desk.clb("DELETE", path(lb, f"/nodes?id={node_id}"))
    assert (bulk.status_code, bulk.json()["message"]) == (422, "LoadBalancer is not ACTIVE")


def test_a_deleted_load_balancer_gives_three_different_answers(desk, lb):
    node_id = lb.nodes[0].node_id
    desk.hands.set_balancer_status(lb.lb_id, "DELETED")
    shown = desk.clb("GET", path(lb))
    assert shown.status_code == 200
    assert set(shown.json()["loadBalancer"]) == {"id", "name", "status", "created", "updated"}
    for rest in ("/nodes", f"/nodes/{node_id}", "/healthmonitor"):
        gone = desk.clb("GET", path(lb, rest))
        assert (gone.status_code, gone.json()["message"]) == (410, "The loadbalancer is marked as deleted.")
    write = desk.clb("PUT", path(lb, f"/nodes/{node_id}"), json={"node": {"condition": "ENABLED"}})
    assert write.status_code == 422
    assert write.json()["message"] == "The load balancer is deleted and considered immutable."
    assert desk.clb("GET", "/loadbalancers").json() == {"loadBalancers": []}
    assert len(desk.clb("GET", "/loadbalancers?status=DELETED").json()["loadBalancers"]) == 1


# --- 2.3 nodes


def test_a_node_has_exactly_the_documented_fields_and_no_count(desk, lb):
    node = desk.clb("GET", path(lb, "/nodes")).json()["nodes"][0]
    assert set(node) == {"id", "address", "port", "condition", "status", "type"}


def test_the_weight_shows_only_under_a_weighted_algorithm(desk, lb):
    node_id = lb.nodes[0].node_id
    assert "weight" not in desk.clb("GET", path(lb, f"/nodes/{node_id}")).json()["node"]
    desk.clb("PUT", path(lb), json={"loadBalancer": {"algorithm": "WEIGHTED_ROUND_ROBIN"}})
    desk.tick(2)
    assert desk.clb("GET", path(lb, f"/nodes/{node_id}")).json()["node"]["weight"] == 1


def test_a_change_of_condition_is_accepted_and_true_when_the_balancer_is_active_again(desk, lb):
    node_id = lb.nodes[0].node_id
    answer = desk.clb("PUT", path(lb, f"/nodes/{node_id}"), json={"node": {"condition": "DRAINING"}})
    assert (answer.status_code, answer.content) == (202, b"")
    assert desk.clb("GET", path(lb)).json()["loadBalancer"]["status"] == "PENDING_UPDATE"
    desk.tick(1.9)
    assert desk.clb("GET", path(lb)).json()["loadBalancer"]["status"] == "PENDING_UPDATE"
    desk.tick(0.1)
    assert desk.clb("GET", path(lb)).json()["loadBalancer"]["status"] == "ACTIVE"
    assert desk.clb("GET", path(lb, f"/nodes/{node_id}")).json()["node"]["condition"] == "DRAINING"


def test_an_added_node_answers_with_its_id_and_gets_traffic_once_applied(desk, lb):
    spare = desk.world.build_server("web-07", "123456")
    answer = desk.clb("POST", path(lb, "/nodes"), json={"nodes": [{"address": spare.private_ip, "port": 80}]})
    assert answer.status_code == 202
    (node,) = answer.json()["nodes"]
    assert (node["status"], node["condition"], node["type"]) == ("ONLINE", "ENABLED", "PRIMARY")
    assert node["id"] in [n["id"] for n in desk.clb("GET", path(lb, "/nodes")).json()["nodes"]]
    assert desk.world.node_rps(lb, lb.nodes[-1]) == 0
    desk.tick(2)
    assert desk.world.node_rps(lb, lb.nodes[-1]) == pytest.approx(desk.world.demand_rps(lb) / 7)


def test_a_deleted_node_is_listed_until_the_balancer_is_active_again(desk, lb):
    node_id = lb.nodes[0].node_id
    answer = desk.clb("DELETE", path(lb, f"/nodes/{node_id}"))
    assert (answer.status_code, answer.content) == (202, b"")
    assert node_id in [n["id"] for n in desk.clb("GET", path(lb, "/nodes")).json()["nodes"]]
    desk.tick(2)
    assert node_id not in [n["id"] for n in desk.clb("GET", path(lb, "/nodes")).json()["nodes"]]


@pytest.mark.parametrize("key", ["id", "nodeId"])
def test_several_nodes_change_in_one_call_by_either_key(desk, lb, key):
    first, second = lb.nodes[0].node_id, lb.nodes[1].node_id
    body = {"nodes": [{key: first, "condition": "DRAINING"}, {key: second, "weight": 7}]}
    answer = desk.clb("PUT", path(lb, "/nodes"), json=body)
    assert answer.status_code == 202
    assert [n["id"] for n in answer.json()["nodes"]] == [first, second]
    desk.tick(2)
    assert (lb.nodes[0].condition, lb.nodes[1].weight) == ("DRAINING", 7)


def test_a_missing_node_is_404_even_while_the_balancer_is_busy_and_says_which_way_it_was_sought(desk, lb):
    desk.hands.set_balancer_status(lb.lb_id, "PENDING_UPDATE")
    plain = desk.clb("PUT", path(lb, "/nodes/1"), json={"node": {"condition": "DRAINING"}})
    assert (plain.status_code, plain.json()) == (404, {"message": "Node not found", "code": 404})
    typed = desk.clb("PUT", path(lb, "/nodes/1"), json={"node": {"type": "PRIMARY"}})
    sentence = f"Node with id #1 not found for loadbalancer #{lb.lb_id}"
    assert (typed.status_code, typed.json()["message"]) == (404, sentence)
    assert desk.clb("DELETE", path(lb, "/nodes/1")).json()["message"] == sentence
    assert desk.clb("GET", path(lb, "/nodes/1")).json()["message"] == "Node not found"


def test_an_unknown_load_balancer_is_404(desk):
    for answer in (
        desk.clb("GET", "/loadbalancers/1"),
        desk.clb("GET", "/loadbalancers/1/nodes"),
        desk.clb("DELETE", "/loadbalancers/1/nodes/2"),
    ):
        assert (answer.status_code, answer.json()) == (
            404,
            {"message": "Load balancer not found", "code": 404},
        )


# --- 2.5 statistics


def test_the_statistics_are_14_flat_figures(desk, lb):
    figures = desk.clb("GET", path(lb, "/stats")).json()
    names = [
        "connectTimeOut",
        "connectError",
        "connectFailure",
        "dataTimedOut",
        "keepAliveTimedOut",
        "maxConn",
        "currentConn",
    ]
    assert set(figures) == {*names, *(f"{name}Ssl" for name in names)}
    assert figures["currentConn"] == sum(desk.world.visitors(lb, node) for node in lb.nodes)


def test_the_statistics_are_cached_for_five_minutes(desk, lb):
    before = desk.clb("GET", path(lb, "/stats")).json()
    desk.hands.demand(lb.lb_id, multiplier=3)
    desk.tick(299)
    assert desk.clb("GET", path(lb, "/stats")).json() == before
    desk.tick(1)
    assert desk.clb("GET", path(lb, "/stats")).json()["currentConn"] > before["currentConn"]


def test_statistics_of_a_busy_balancer_are_422_even_if_cached(desk, lb):
    desk.clb("GET", path(lb, "/stats"))
    desk.clb("PUT", path(lb), json={"loadBalancer": {"name": "busy"}})
    answer = desk.clb("GET", path(lb, "/stats"))
    assert answer.status_code == 422
    assert answer.json()["message"] == "The load balancer is not available to display statistics."


def test_saturated_statistics_are_503_with_retry_after(desk, lb):
    desk.world.add_fault("unavailable", "lb.stats")
    answer = desk.clb("GET", path(lb, "/stats"))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "300")
    assert answer.json()["message"] == "We are currently saturated with requests. Please try again later."


def test_failures_of_a_dead_server_raise_the_balancers_counter(desk, lb):
    desk.hands.set_monitor(lb.lb_id, None)
    desk.hands.kill_server(server(desk.world, "web-01").server_id)
    desk.tick(30)
    assert desk.clb("GET", path(lb, "/stats")).json()["connectFailure"] > 100


def test_usage_and_absolute_limits_have_their_shapes(desk, lb):
    for rest in ("/usage", "/usage/current"):
        body = desk.clb("GET", path(lb, rest)).json()
        assert body["links"] == []
        assert body["loadBalancerUsageRecords"][0]["averageNumConnections"] > 0
    limits = {
        x["name"]: x["value"] for x in desk.clb("GET", "/loadbalancers/absolutelimits").json()["absolute"]
    }
    assert limits["NODE_LIMIT"] == 25
    assert limits["BATCH_DELETE_LIMIT"] == 10
    assert desk.clb("GET", "/limits").json() == {"limits": {"rate": []}}


# --- 2.6 feed and events


def test_the_feed_is_atom_newest_first_ten_to_a_page(desk, lb):
    for turn in range(12):
        desk.hands.set_weight(lb.lb_id, lb.nodes[0].node_id, turn + 1)
        desk.tick(1)
    url = path(lb, f"/nodes/{lb.nodes[0].node_id}.atom")
    answer = desk.clb("GET", url)
    assert answer.headers["content-type"].startswith("application/atom+xml")
    feed = ET.fromstring(answer.text)
    entries = feed.findall(f"{ATOM}entry")
    stamps = [entry.findtext(f"{ATOM}updated") for entry in entries]
    assert len(entries) == 10
    assert stamps == sorted(stamps, reverse=True)
    following = next(link for link in feed.findall(f"{ATOM}link") if link.get("rel") == "next").get("href")
    last = ET.fromstring(desk._authorised("GET", following, {}).text)
    assert len(last.findall(f"{ATOM}entry")) == 3
    assert [link.get("rel") for link in last.findall(f"{ATOM}link")] == ["self"]


def test_a_change_enters_the_feed_only_when_it_lands_in_the_exact_words(desk, lb):
    node = lb.nodes[0]
    desk.clb("PUT", path(lb, f"/nodes/{node.node_id}"), json={"node": {"condition": "DRAINING"}})

    def newest():
        feed = ET.fromstring(desk.clb("GET", path(lb, f"/nodes/{node.node_id}.atom")).text)
        entry = feed.find(f"{ATOM}entry")
        assert entry.findtext(f"{ATOM}author/{ATOM}name")
        return entry.findtext(f"{ATOM}summary"), entry.find(f"{ATOM}category").get("term")

    where = f"address: '{node.address}', port: '80'"
    assert newest() == (
        f"Node successfully created with {where}, condition: 'ENABLED', weight: '1'",
        "CREATE",
    )
    desk.tick(2)
    assert newest() == (
        f"Node successfully updated with {where}, weight: '1', condition: 'DRAINING'",
        "UPDATE",
    )
    desk.clb("DELETE", path(lb, f"/nodes/{node.node_id}"))
    desk.tick(2)
    assert newest() == ("Node successfully deleted", "DELETE")


def test_a_failed_change_leaves_its_sentence_in_the_feed(desk, lb):
    node_id = lb.nodes[0].node_id
    desk.world.add_fault("lb_error", "node.delete")
    desk.clb("DELETE", path(lb, f"/nodes/{node_id}"))
    desk.tick(2)
    assert (
        "Could not delete the node at this time." in desk.clb("GET", path(lb, f"/nodes/{node_id}.atom")).text
    )
    assert node_id in [n.node_id for n in lb.nodes]


def test_the_accept_header_chooses_the_feed_too(desk, lb):
    answer = desk.clb("GET", path(lb, "/nodes"), headers={"Accept": "application/atom+xml, application/json"})
    assert answer.text.startswith("<?xml")
    assert desk.clb("GET", path(lb, ".atom")).text.startswith("<?xml")
    assert desk.clb("GET", "/loadbalancers.atom").text.startswith("<?xml")


def test_health_changes_are_node_service_events(desk, lb):
    assert desk.clb("GET", path(lb, "/nodes/events")).json() == {"nodeServiceEvents": [], "links": []}
    desk.hands.stop_server(server(desk.world, "web-02").server_id)
    desk.tick(5)
    (event,) = desk.clb("GET", path(lb, "/nodes/events")).json()["nodeServiceEvents"]
    node_id = node_of(desk.world, "web-02").node_id
    assert event["nodeId"] == node_id
    assert (
        event["description"] == f"Node '{node_id}' status changed to 'OFFLINE' for load balancer '{lb.lb_id}'"
    )
    after = desk.clb("GET", path(lb, f"/nodes/events?marker={node_id + 1}")).json()
    assert after["nodeServiceEvents"] == [], "the marker compares node ids, not event ids"


# --- 2.7 monitor, persistence, throttle


def test_the_health_monitor_can_be_read_set_and_deleted(desk, lb):
    new = {"type": "CONNECT", "delay": 10, "timeout": 5, "attemptsBeforeDeactivation": 2}
    assert desk.clb("PUT", path(lb, "/healthmonitor"), json={"healthMonitor": new}).status_code == 202
    desk.tick(2)
    assert desk.clb("GET", path(lb, "/healthmonitor")).json() == {"healthMonitor": new}
    assert desk.clb("DELETE", path(lb, "/healthmonitor")).status_code == 202
    desk.tick(2)
    assert desk.clb("GET", path(lb, "/healthmonitor")).json() == {"healthMonitor": {}}


def test_deleting_the_monitor_forces_every_node_online_whatever_its_health(desk, lb):
    desk.hands.stop_server(server(desk.world, "web-02").server_id)
    desk.tick(5)
    assert node_of(desk.world, "web-02").status == "OFFLINE"
    desk.clb("DELETE", path(lb, "/healthmonitor"))
    desk.tick(2)
    assert node_of(desk.world, "web-02").status == "ONLINE"


def test_session_persistence_is_an_empty_object_without_and_deleting_it_twice_is_422(desk, lb):
    assert desk.clb("GET", path(lb, "/sessionpersistence")).json() == {"sessionPersistence": {}}
    assert desk.clb("DELETE", path(lb, "/sessionpersistence")).status_code == 422
    body = {"sessionPersistence": {"persistenceType": "HTTP_COOKIE"}}
    assert desk.clb("PUT", path(lb, "/sessionpersistence"), json=body).status_code == 202
    desk.tick(2)
    assert desk.clb("GET", path(lb, "/sessionpersistence")).json() == body
    assert (
        desk.clb("GET", path(lb)).json()["loadBalancer"]["sessionPersistence"] == body["sessionPersistence"]
    )
    assert desk.clb("DELETE", path(lb, "/sessionpersistence")).status_code == 202


def test_the_connection_throttle_can_be_set_and_removed(desk, lb):
    body = {"connectionThrottle": {"maxConnections": 100}}
    assert desk.clb("PUT", path(lb, "/connectionthrottle"), json=body).status_code == 202
    desk.tick(2)
    assert desk.clb("GET", path(lb, "/connectionthrottle")).json() == body
    assert desk.clb("DELETE", path(lb, "/connectionthrottle")).status_code == 202


# --- 2.8 the last node


def test_nothing_stops_anyone_from_draining_and_deleting_the_last_node(desk, lb):
    for node in list(lb.nodes)[1:]:
        desk.hands.remove_node(lb.lb_id, node.node_id)
    node_id = lb.nodes[0].node_id
    assert desk.clb("DELETE", path(lb, f"/nodes/{node_id}")).status_code == 202
    desk.tick(2)
    assert desk.raw("GET", f"/site/{lb.lb_id}/").status_code == 503
    assert desk.world.truth.floor_low(lb.lb_id) == 0


def test_secondary_nodes_need_a_monitor_and_an_enabled_primary(desk, lb):
    ids = [node.node_id for node in lb.nodes]
    desk.hands.set_type(lb.lb_id, ids[0], "SECONDARY")
    for node_id in ids[2:]:
        desk.hands.remove_node(lb.lb_id, node_id)
    answer = desk.clb("PUT", path(lb, f"/nodes/{ids[1]}"), json={"node": {"condition": "DRAINING"}})
    assert (answer.status_code, answer.json()["message"]) == (
        400,
        "you must have at least one primary node enabled",
    )
    desk.hands.set_monitor(lb.lb_id, None)
    answer = desk.clb("PUT", path(lb, f"/nodes/{ids[1]}"), json={"node": {"type": "SECONDARY"}})
    assert answer.status_code == 400
    assert answer.json()["message"] == "you must enable health monitoring to use secondary nodes"


# --- 2.9 errors


@pytest.mark.parametrize(
    "body",
    [
        {"node": {"condition": "SLEEPING"}},
        {"node": {"colour": "red"}},
        {"node": {"weight": "5"}},
        {"wrong": {"condition": "ENABLED"}},
        [],
    ],
)
def test_a_body_outside_of_the_schema_is_400_before_anything_is_looked_up(desk, body):
    answer = desk.clb("PUT", "/loadbalancers/1/nodes/2", json=body)
    assert (answer.status_code, answer.json()["message"]) == (400, "JSON does not match the expected schema")


@pytest.mark.parametrize("weight", [0, 101])
def test_a_weight_outside_of_1_to_100_is_a_validation_failure(desk, lb, weight):
    answer = desk.clb("PUT", path(lb, f"/nodes/{lb.nodes[0].node_id}"), json={"node": {"weight": weight}})
    assert answer.status_code == 400
    assert answer.json()["code"] == 400
    assert "weight" in answer.json()["validationErrors"]["messages"][0]


def test_bulk_delete_needs_ids_of_its_own_nodes_and_not_too_many(desk, lb):
    none = desk.clb("DELETE", path(lb, "/nodes"))
    assert (none.status_code, none.json()["message"]) == (
        400,
        "Must supply one or more id's to process this request.",
    )
    foreign = desk.clb("DELETE", path(lb, f"/nodes?id=1&id={lb.nodes[0].node_id}&id=3"))
    assert foreign.status_code == 400
    assert foreign.json()["validationErrors"]["messages"] == [
        "Node ids 1,3 are not a part of your loadbalancer"
    ]
    assert len(lb.nodes) == 6
    assert lb.status == "ACTIVE"
    many = desk.clb("DELETE", path(lb, "/nodes?" + "&".join(f"id={i}" for i in range(12))))
    assert many.json()["validationErrors"]["messages"] == [
        "Request to delete 12 nodes exceeds the account limit BATCH_DELETE_LIMIT of 10 "
        "please attempt to delete fewer then 10 nodes"
    ]


def test_bulk_delete_removes_all_that_were_named(desk, lb):
    ids = [lb.nodes[0].node_id, lb.nodes[1].node_id]
    assert desk.clb("DELETE", path(lb, f"/nodes?id={ids[0]}&id={ids[1]}")).status_code == 202
    desk.tick(2)
    assert not set(ids) & {node.node_id for node in lb.nodes}
    assert "Nodes successfully deleted" in desk.clb("GET", path(lb, "/nodes.atom")).text


def test_413_means_two_things_and_the_bodies_tell_them_apart(desk, lb):
    nodes = [{"address": f"10.77.0.{i}", "port": 80} for i in range(1, 21)]
    quota = desk.clb("POST", path(lb, "/nodes"), json={"nodes": nodes})
    assert (quota.status_code, quota.json()) == (
        413,
        {"message": "Nodes must not exceed 25 per load balancer.", "code": 413},
    )
    assert "Retry-After" not in quota.headers
    desk.world.add_fault("over_limit", "node.add", seconds=7)
    rate = desk.clb("POST", path(lb, "/nodes"), json={"nodes": nodes[:1]})
    assert (rate.status_code, rate.headers["Retry-After"]) == (413, "7")
    assert rate.json()["overLimit"]["retryAfter"] == "2026-11-23T12:00:07Z"


def test_a_duplicate_node_is_422(desk, lb):
    taken = {"address": lb.nodes[0].address, "port": 80}
    answer = desk.clb("POST", path(lb, "/nodes"), json={"nodes": [taken]})
    assert answer.status_code == 422
    assert answer.json()["message"].startswith("Duplicate nodes detected.")
    other_port = desk.clb("POST", path(lb, "/nodes"), json={"nodes": [{**taken, "port": 81}]})
    assert other_port.status_code == 202


def test_an_unknown_method_is_405_and_an_unknown_path_404(desk, lb):
    assert desk.clb("DELETE", path(lb, "/stats")).status_code == 405
    assert desk.clb("GET", path(lb, "/nonsense")).status_code == 404


# --- 2.10 limits


def test_rate_limits_answer_413_with_the_time_to_wait_and_pass_again_after_it():
    limits = {"clb": {"GET": [[3, 10]]}}
    desk = Desk(launch(rate_limits=limits))
    assert [desk.clb("GET", "/loadbalancers").status_code for _ in range(4)] == [200, 200, 200, 413]
    assert desk.clb("GET", "/loadbalancers").headers["Retry-After"] == "10"
    desk.tick(10)
    assert desk.clb("GET", "/loadbalancers").status_code == 200


@pytest.mark.parametrize(
    ("form", "text"),
    [("seconds", "5"), ("http-date", "Mon, 23 Nov 2026 12:00:05 GMT"), ("iso", "2026-11-23T12:00:05Z")],
)
def test_retry_after_comes_in_three_forms(form, text):
    desk = Desk(launch(retry_after_format=form))
    desk.world.add_fault("over_limit", "lb.list", seconds=5)
    assert desk.clb("GET", "/loadbalancers").headers["Retry-After"] == text


# --- in process


def test_the_world_answers_without_http_in_the_same_words():
    world = launch()
    lb = web(world)
    world.update_node(lb.lb_id, lb.nodes[0].node_id, {"condition": "DRAINING"})
    assert world.show_load_balancer(lb.lb_id)["loadBalancer"]["status"] == "PENDING_UPDATE"
    wait(world, 2)
    assert world.show_node(lb.lb_id, lb.nodes[0].node_id)["node"]["condition"] == "DRAINING"
