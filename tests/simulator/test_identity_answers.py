"""Identity v2.0, row by row (provider API reference, section 1)."""

import pytest

from tests.simulator.support import Desk, launch


def test_an_api_key_gets_a_token_and_a_catalog_that_points_to_the_simulator_itself():
    desk = Desk()
    answer = desk.login("demo", "demo-api-key")
    access = answer.json()["access"]
    assert answer.status_code == 200
    assert access["token"]["tenant"] == {"id": "123456", "name": "123456"}
    assert access["token"]["RAX-AUTH:authenticatedBy"] == ["APIKEY"]
    assert access["token"]["expires"] == "2026-11-24T12:00:00.000Z"
    by_name = {service["name"]: service for service in access["serviceCatalog"]}
    lbs = by_name["cloudLoadBalancers"]
    assert lbs["type"] == "rax:load-balancer"
    assert {e["region"] for e in lbs["endpoints"]} == {"DFW", "ORD"}
    assert all(e["publicURL"].startswith("http://cloud.test/") for e in lbs["endpoints"])
    assert all(e["publicURL"].endswith("/v1.0/123456") for e in lbs["endpoints"])
    assert all(e["publicURL"].endswith("/v2/123456") for e in by_name["cloudServersOpenStack"]["endpoints"])


def test_the_catalog_has_what_catches_a_careless_client():
    access = Desk().login("demo", "demo-api-key").json()["access"]
    computes = [s["name"] for s in access["serviceCatalog"] if s["type"] == "compute"]
    assert computes == ["cloudServers", "cloudServersOpenStack"], "the type alone does not select the service"
    monitoring = next(s for s in access["serviceCatalog"] if s["name"] == "cloudMonitoring")
    assert "region" not in monitoring["endpoints"][0]


def test_a_password_is_as_good_and_the_catalog_can_be_left_out():
    body = {
        "auth": {
            "passwordCredentials": {"username": "demo", "password": "demo-password"},
            "tenantId": "123456",
        }
    }
    answer = Desk().raw("POST", "/v2.0/tokens?include_endpoints=false", json=body)
    assert answer.status_code == 200
    assert answer.json()["access"]["token"]["RAX-AUTH:authenticatedBy"] == ["PASSWORD"]
    assert "serviceCatalog" not in answer.json()["access"]


CREDENTIALS = {"username": "demo", "apiKey": "demo-api-key"}


@pytest.mark.parametrize(
    ("auth", "status", "root"),
    [
        (
            {"RAX-KSKEY:apiKeyCredentials": CREDENTIALS, "tenantId": "123456", "tenantName": "123456"},
            400,
            "badRequest",
        ),
        ({}, 400, "badRequest"),
        ({"RAX-KSKEY:apiKeyCredentials": {"username": "demo"}}, 400, "badRequest"),
        ({"RAX-KSKEY:apiKeyCredentials": {**CREDENTIALS, "apiKey": "wrong"}}, 401, "unauthorized"),
        ({"RAX-KSKEY:apiKeyCredentials": CREDENTIALS, "tenantId": "999"}, 401, "unauthorized"),
        ({"passwordCredentials": {"username": "nobody", "password": "x"}}, 401, "unauthorized"),
    ],
)
def test_bad_log_ins_are_refused_in_the_documented_shape(auth, status, root):
    answer = Desk().raw("POST", "/v2.0/tokens", json={"auth": auth})
    assert answer.status_code == status
    assert answer.json()[root]["code"] == status


def test_a_body_that_is_no_json_is_a_bad_request():
    assert Desk().raw("POST", "/v2.0/tokens", content=b"{").status_code == 400


def test_a_disabled_user_is_forbidden_and_one_with_a_second_factor_unauthorized():
    world = launch()
    desk = Desk(world)
    world.users["demo"].enabled = False
    assert desk.login("demo", "demo-api-key").status_code == 403
    world.users["demo"].enabled, world.users["demo"].needs_mfa = True, True
    answer = desk.login("demo", "demo-api-key")
    assert answer.status_code == 401
    assert answer.json()["unauthorized"]["message"] == "Additional authentication credentials required"


def test_a_token_is_handed_out_again_until_its_last_hour():
    desk = Desk()
    desk.tick(22 * 3600)
    assert desk.login("demo", "demo-api-key").json()["access"]["token"]["id"] == desk.token
    desk.tick(1.5 * 3600)
    assert desk.login("demo", "demo-api-key").json()["access"]["token"]["id"] != desk.token
    assert desk.clb("GET", "/loadbalancers").status_code == 200, "the old one lives until it expires"


def test_an_expired_token_gets_an_empty_401_from_balancers_and_a_rooted_one_from_servers():
    desk = Desk()
    desk.tick(24 * 3600)
    balancers, servers = desk.clb("GET", "/loadbalancers"), desk.nova("GET", "/servers")
    assert (balancers.status_code, balancers.content) == (401, b"")
    assert servers.status_code == 401
    assert servers.json()["unauthorized"]["code"] == 401


def test_a_revoked_token_is_worth_nothing():
    desk = Desk()
    assert desk.raw("DELETE", "/v2.0/tokens", headers={"X-Auth-Token": desk.token}).status_code == 204
    assert desk.clb("GET", "/loadbalancers").status_code == 401
    assert desk.login("demo", "demo-api-key").json()["access"]["token"]["id"] != desk.token


def test_a_token_of_another_account_finds_nothing():
    desk = Desk(launch("desk"))
    other = Desk(desk.world, user="demo-two", key="demo-two-api-key")
    answer = other.raw("GET", desk.lbs + "/loadbalancers", headers={"X-Auth-Token": other.token})
    assert answer.status_code == 404
    answer = other.raw("GET", desk.servers + "/servers", headers={"X-Auth-Token": other.token})
    assert answer.status_code == 403
    names = [lb["name"] for lb in other.clb("GET", "/loadbalancers").json()["loadBalancers"]]
    assert names == ["front"]


def test_a_user_who_may_only_read_reads_and_changes_nothing():
    desk = Desk(user="watcher", key="watcher-api-key")
    lb_id = next(iter(desk.world.balancers))
    assert desk.clb("GET", f"/loadbalancers/{lb_id}").status_code == 200
    refused = desk.clb("PUT", f"/loadbalancers/{lb_id}", json={"loadBalancer": {"name": "mine"}})
    assert (refused.status_code, refused.json()["message"]) == (404, "Load balancer not found")
    victim = next(iter(desk.world.servers))
    assert desk.nova("DELETE", f"/servers/{victim}").status_code == 403
    assert desk.nova("GET", f"/servers/{victim}").status_code == 200


def test_another_region_of_the_account_is_empty():
    desk = Desk()
    elsewhere = desk.lbs.replace("/dfw/", "/ord/")
    answer = desk.raw("GET", elsewhere + "/loadbalancers", headers={"X-Auth-Token": desk.token})
    assert answer.json() == {"loadBalancers": []}
