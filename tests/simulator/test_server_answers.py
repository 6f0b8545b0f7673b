"""Cloud Servers v2, row by row (provider API reference, section 3)."""

from dataclasses import replace

import pytest

from tests.simulator.support import Desk, launch, server


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture
def victim(desk):
    return server(desk.world, "web-06")


def url(victim, rest=""):
    return f"/servers/{victim.server_id}{rest}"


# --- 3.1 read


def test_the_short_list_has_three_fields(desk):
    body = desk.nova("GET", "/servers").json()
    assert len(body["servers"]) == 6
    assert set(body["servers"][0]) == {"id", "name", "links"}


def test_a_server_has_the_fields_that_the_portal_uses(desk, victim):
    body = desk.nova("GET", url(victim)).json()["server"]
    assert body["status"] == "ACTIVE"
    assert body["tenant_id"] == "123456"
    assert body["created"] == "2026-11-19T15:00:00Z"
    assert body["addresses"]["private"][0]["addr"].startswith("10.")
    assert body["accessIPv4"] == body["addresses"]["public"][0]["addr"]
    assert body["OS-EXT-STS:task_state"] is None
    assert (body["OS-EXT-STS:vm_state"], body["OS-EXT-STS:power_state"]) == ("active", 1)
    assert body["metadata"] == {"role": "web", "added_for": "autumn-launch"}
    assert body["flavor"]["id"] == "general1-4"
    assert body["hostId"]
    assert "RAX-PUBLIC-IP-ZONE-ID:publicIPZoneId" in body
    assert "fault" not in body


def test_the_servers_of_the_event_stand_beside_the_old_ones_which_have_a_host_each(desk):
    servers = {s["name"]: s["hostId"] for s in desk.nova("GET", "/servers/detail").json()["servers"]}
    assert len({servers[f"web-{number:02}"] for number in (1, 2, 3)}) == 3
    assert [servers["web-04"], servers["web-05"], servers["web-06"]] == [
        servers["web-01"],
        servers["web-02"],
        servers["web-03"],
    ]


def test_paging_excludes_the_marker_and_links_only_from_a_full_page(desk):
    assert "servers_links" not in desk.nova("GET", "/servers").json()
    seen, target, pages = [], "/servers?limit=4", 0
    while target:
        body = desk.nova("GET", target).json()
        seen += [s["id"] for s in body["servers"]]
        links = body.get("servers_links")
        target = links[0]["href"].removeprefix(desk.servers) if links else None
        pages += 1
    assert len(seen) == len(set(seen)) == 6
    assert pages == 2


def test_an_unknown_marker_is_a_bad_request(desk):
    answer = desk.nova("GET", "/servers?marker=xyz")
    assert (answer.status_code, answer.json()) == (
        400,
        {"badRequest": {"code": 400, "message": "marker [xyz] not found"}},
    )


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name=web-0[12]", ["web-01", "web-02"]),
        ("status=SHUTOFF", []),
        ("flavor=general1-4&name=03$", ["web-03"]),
        ("image=nothing", []),
    ],
)
def test_the_list_filters_and_the_name_is_a_regular_expression(desk, query, found):
    body = desk.nova("GET", f"/servers/detail?{query}").json()
    assert sorted(s["name"] for s in body["servers"]) == found


def test_changes_since_shows_deleted_servers_too(desk, victim):
    desk.nova("DELETE", url(victim))
    desk.tick(30)
    assert victim.server_id not in [s["id"] for s in desk.nova("GET", "/servers").json()["servers"]]
    body = desk.nova("GET", "/servers/detail?changes-since=2026-11-23T12:00:00Z").json()
    assert [(s["name"], s["status"]) for s in body["servers"]] == [("web-06", "DELETED")]


# --- 3.3 delete


def test_a_delete_is_204_then_deleting_while_active_then_404(desk, victim):
    answer = desk.nova("DELETE", url(victim))
    assert (answer.status_code, answer.content) == (204, b"")
    body = desk.nova("GET", url(victim)).json()["server"]
    assert (body["status"], body["OS-EXT-STS:task_state"]) == ("ACTIVE", "deleting")
    assert desk.nova("DELETE", url(victim)).status_code == 204, "a second delete is safe"
    desk.tick(30)
    gone = desk.nova("GET", url(victim))
    assert gone.status_code == 404
    assert gone.json() == {"itemNotFound": {"code": 404, "message": "Instance could not be found"}}
    assert desk.nova("DELETE", url(victim)).status_code == 404


def test_a_delete_can_be_without_effect(desk, victim):
    desk.world.add_fault("no_effect", "server.delete")
    assert desk.nova("DELETE", url(victim)).status_code == 204
    desk.tick(3600)
    body = desk.nova("GET", url(victim)).json()["server"]
    assert (body["status"], body["OS-EXT-STS:task_state"]) == ("ACTIVE", None)


def test_a_delete_can_take_very_long(desk, victim):
    desk.world.add_fault("slow", "server.delete", seconds=1200)
    desk.nova("DELETE", url(victim))
    desk.tick(1199)
    assert desk.nova("GET", url(victim)).json()["server"]["OS-EXT-STS:task_state"] == "deleting"
    desk.tick(1)
    assert desk.nova("GET", url(victim)).status_code == 404


def test_speed_shortens_deletes():
    desk = Desk(launch(speed=60))
    victim = server(desk.world, "web-06")
    desk.nova("DELETE", url(victim))
    desk.tick(0.5)
    assert desk.nova("GET", url(victim)).status_code == 404


def test_a_locked_server_is_409(desk, victim):
    desk.hands.lock_server(victim.server_id)
    for answer in (
        desk.nova("DELETE", url(victim)),
        desk.nova("POST", url(victim, "/action"), json={"os-stop": None}),
    ):
        assert answer.status_code == 409
        assert answer.json()["conflictingRequest"]["code"] == 409


def test_deleting_a_server_leaves_its_node_in_the_balancer_and_is_noted_as_wrong(desk, victim):
    desk.nova("DELETE", url(victim))
    desk.tick(60)
    lb = next(iter(desk.world.balancers.values()))
    assert victim.private_ip in [node.address for node in lb.nodes]
    (wrong,) = desk.world.truth.wrong_deletions
    assert (wrong.name, wrong.lb_ids, wrong.by) == ("web-06", [lb.lb_id], "api")


# --- 3.4 actions


@pytest.mark.parametrize(("kind", "status", "took_s"), [("SOFT", "REBOOT", 3), ("HARD", "HARD_REBOOT", 6)])
def test_a_reboot_shows_its_status_and_ends_active(desk, victim, kind, status, took_s):
    answer = desk.nova("POST", url(victim, "/action"), json={"reboot": {"type": kind}})
    assert (answer.status_code, answer.content) == (202, b"")
    assert desk.nova("GET", url(victim)).json()["server"]["status"] == status
    desk.tick(took_s)
    assert desk.nova("GET", url(victim)).json()["server"]["status"] == "ACTIVE"


def test_a_reboot_that_hangs_is_followed_by_a_hard_one_only(desk, victim):
    desk.world.settings = replace(desk.world.settings, reboot_soft_s=5000.0)
    for kind, status in (("SOFT", 202), ("SOFT", 409), ("HARD", 202)):
        assert (
            desk.nova("POST", url(victim, "/action"), json={"reboot": {"type": kind}}).status_code == status
        )
    desk.tick(6)
    assert desk.nova("GET", url(victim)).json()["server"]["status"] == "ACTIVE"


def test_a_reboot_without_type_is_refused(desk, victim):
    assert desk.nova("POST", url(victim, "/action"), json={"reboot": {}}).status_code == 400


def test_a_server_stops_and_starts(desk, victim):
    assert desk.nova("POST", url(victim, "/action"), json={"os-start": None}).status_code == 409
    assert desk.nova("POST", url(victim, "/action"), json={"os-stop": None}).status_code == 202
    body = desk.nova("GET", url(victim)).json()["server"]
    assert (body["status"], body["OS-EXT-STS:task_state"]) == ("ACTIVE", "powering-off")
    assert desk.nova("POST", url(victim, "/action"), json={"reboot": {"type": "SOFT"}}).status_code == 409
    desk.tick(2)
    body = desk.nova("GET", url(victim)).json()["server"]
    assert (body["status"], body["OS-EXT-STS:power_state"]) == ("SHUTOFF", 4)
    assert desk.nova("POST", url(victim, "/action"), json={"os-start": None}).status_code == 202
    desk.tick(4)
    assert desk.nova("GET", url(victim)).json()["server"]["status"] == "ACTIVE"


def test_stopping_can_be_unsupported():
    desk = Desk(launch(stop_start_supported=False))
    answer = desk.nova("POST", url(server(desk.world, "web-06"), "/action"), json={"os-stop": None})
    assert (answer.status_code, list(answer.json())) == (400, ["badRequest"])


def test_an_image_saves_with_progress_and_keeps_the_server_busy_until_it_is_active(desk, victim):
    body = {"createImage": {"name": "before", "metadata": {"run": "r1"}}}
    answer = desk.nova("POST", url(victim, "/action"), json=body)
    assert answer.status_code == 202
    image = answer.headers["Location"].removeprefix(desk.servers)
    desk.tick(90)
    shown = desk.nova("GET", image).json()["image"]
    assert (shown["status"], shown["progress"], shown["metadata"]) == ("SAVING", 50, {"run": "r1"})
    assert desk.nova("GET", url(victim)).json()["server"]["OS-EXT-STS:task_state"] == "image_snapshot"
    desk.tick(90)
    assert desk.nova("GET", image).json()["image"]["status"] == "ACTIVE"
    assert desk.nova("GET", url(victim)).json()["server"]["OS-EXT-STS:task_state"] is None
    listed = desk.nova("GET", "/images/detail").json()["images"]
    assert [i["name"] for i in listed] == [
        "before",
        "Debian 12 (Bookworm)",
    ]  # the provider's own is always there
    first = desk.nova("GET", "/images/detail?limit=1").json()
    assert [i["name"] for i in first["images"]] == ["before"]
    rest = first["images_links"][0]["href"].partition("?")[2]
    assert [i["name"] for i in desk.nova("GET", f"/images/detail?{rest}").json()["images"]] == [
        "Debian 12 (Bookworm)"
    ]
    assert desk.nova("DELETE", image).status_code == 204
    assert desk.nova("GET", image).status_code == 404


def test_an_image_can_end_in_error():
    desk = Desk(launch(image_error_chance=1.0))
    victim = server(desk.world, "web-06")
    answer = desk.nova("POST", url(victim, "/action"), json={"createImage": {"name": "bad"}})
    desk.tick(180)
    assert (
        desk.nova("GET", answer.headers["Location"].removeprefix(desk.servers)).json()["image"]["status"]
        == "ERROR"
    )


def test_an_image_and_a_new_server_fail_or_take_long_where_that_is_ordered(desk, victim):
    desk.world.add_fault("image_error", "server.action", times=1)
    desk.world.add_fault("slow", "server.action", times=1, seconds=1000.0)
    answer = desk.nova("POST", url(victim, "/action"), json={"createImage": {"name": "bad"}})
    image = answer.headers["Location"].removeprefix(desk.servers)
    desk.tick(999)
    assert desk.nova("GET", image).json()["image"]["status"] == "SAVING"
    desk.tick(2)
    assert desk.nova("GET", image).json()["image"]["status"] == "ERROR"
    desk.world.add_fault("build_error", "server.create", times=1)
    body = {"server": {"name": "web-07", "flavorRef": "general1-4", "imageRef": ""}}
    made = f"/servers/{desk.nova('POST', '/servers', json=body).json()['server']['id']}"
    desk.tick(90)
    assert desk.nova("GET", made).json()["server"]["status"] == "ERROR"


def test_a_server_is_built_from_flavor_and_image(desk):
    body = {
        "server": {"name": "web-07", "flavorRef": "general1-4", "imageRef": "", "metadata": {"run": "r1"}}
    }
    answer = desk.nova("POST", "/servers", json=body)
    assert answer.status_code == 202
    made = f"/servers/{answer.json()['server']['id']}"
    assert desk.nova("GET", made).json()["server"]["status"] == "BUILD"
    desk.tick(90)
    assert desk.nova("GET", made).json()["server"]["status"] == "ACTIVE"


# --- 3.5 metadata, flavors, limits, faults


def test_metadata_items_are_set_merged_replaced_and_deleted(desk, victim):
    base = url(victim, "/metadata")
    assert desk.nova("PUT", base + "/a", json={"meta": {"a": "1"}}).json() == {"meta": {"a": "1"}}
    assert desk.nova("PUT", base + "/a", json={"meta": {"b": "1"}}).status_code == 400
    assert desk.nova("POST", base, json={"metadata": {"b": "2"}}).json()["metadata"]["a"] == "1"
    assert desk.nova("PUT", base, json={"metadata": {"c": "3"}}).json() == {"metadata": {"c": "3"}}
    assert desk.nova("GET", base + "/c").json() == {"meta": {"c": "3"}}
    assert desk.nova("DELETE", base + "/c").status_code == 204
    assert desk.nova("DELETE", base + "/c").status_code == 404
    assert desk.nova("GET", base).json() == {"metadata": {}}


def test_the_41st_metadata_item_is_forbidden(desk, victim):
    many = {f"k{i}": "v" for i in range(41)}
    answer = desk.nova("POST", url(victim, "/metadata"), json={"metadata": many})
    assert answer.status_code == 403
    assert "Maximum number of metadata items" in answer.json()["forbidden"]["message"]


def test_flavors_have_size_and_class_and_no_price(desk):
    flavors = {f["id"]: f for f in desk.nova("GET", "/flavors/detail").json()["flavors"]}
    flavor = desk.nova("GET", "/flavors/general1-4").json()["flavor"]
    assert flavors["general1-4"] == flavor
    assert (flavor["ram"], flavor["vcpus"]) == (4096, 4)
    assert flavor["OS-FLV-WITH-EXT-SPECS:extra_specs"]["class"] == "general1"
    assert not [key for key in flavor if "price" in key]
    assert desk.nova("GET", "/flavors/none").status_code == 404


def test_attached_volumes_and_limits_can_be_read(desk, victim):
    assert desk.nova("GET", url(victim, "/os-volume_attachments")).json() == {"volumeAttachments": []}
    desk.hands.attach_volume(victim.server_id, "vol-1")
    (volume,) = desk.nova("GET", url(victim, "/os-volume_attachments")).json()["volumeAttachments"]
    assert (volume["volumeId"], volume["serverId"]) == ("vol-1", victim.server_id)
    assert desk.nova("GET", "/limits").json()["limits"]["absolute"]["totalInstancesUsed"] == 6


def test_faults_of_servers_have_a_root_element(desk, victim):
    desk.world.add_fault("server_error", "server.show")
    assert desk.nova("GET", url(victim)).json()["computeFault"]["code"] == 500
    desk.world.add_fault("unavailable", "server.show", seconds=4)
    answer = desk.nova("GET", url(victim))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "4")
    assert "serviceUnavailable" in answer.json()
    desk.world.add_fault("over_limit", "server.show", seconds=4)
    assert desk.nova("GET", url(victim)).json()["overLimit"]["retryAt"] == "2026-11-23T12:00:04Z"


# --- the servers' own network


def test_the_status_page_speaks_as_nginx_does_and_counts_its_own_request(desk, victim):
    answer = desk.raw("GET", f"/servers-net/{victim.private_ip}/stub_status")
    lines = answer.text.splitlines()
    assert answer.headers["content-type"].startswith("text/plain")
    assert lines[1] == "server accepts handled requests"
    active = int(lines[0].removeprefix("Active connections:"))
    _, reading, _, writing, _, waiting = lines[3].split()
    assert lines[3].startswith("Reading: ")
    assert active == int(reading) + int(writing) + int(waiting)
    lb = next(iter(desk.world.balancers.values()))
    node = next(n for n in lb.nodes if n.address == victim.private_ip)
    assert active - int(waiting) - 1 == desk.world.visitors(lb, node)


def test_the_requests_counter_grows_with_the_servers_traffic(desk, victim):
    before = desk.world.stub_status(victim.private_ip).requests
    lb = next(iter(desk.world.balancers.values()))
    rps = desk.world.node_rps(lb, lb.nodes[-1])
    desk.tick(10)
    assert desk.world.stub_status(victim.private_ip).requests - before == pytest.approx(10 * rps, abs=3)


def test_a_server_that_is_not_active_refuses_connections(desk, victim):
    import httpx

    desk.hands.stop_server(victim.server_id)
    for rest in ("stub_status", ""):
        with pytest.raises(httpx.ConnectError):
            desk.raw("GET", f"/servers-net/{victim.private_ip}/{rest}")


def test_a_server_can_be_probed_outside_of_its_pool(desk, victim):
    answer = desk.raw("GET", f"/servers-net/{victim.private_ip}/")
    assert (answer.status_code, answer.headers["X-Served-By"]) == (200, "web-06")


def test_a_server_without_a_status_page_answers_404(desk, victim):
    desk.hands.set_status_url(victim.server_id, False)
    assert desk.raw("GET", f"/servers-net/{victim.private_ip}/stub_status").status_code == 404
