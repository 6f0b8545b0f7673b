"""What the simulated monitoring tells: who is measured, points with a past, and every way to tell nothing."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from portal.simulator.errors import ProviderError
from portal.simulator.hands import Hands
from portal.simulator.monitoring import DAY_S, PERIOD_S, RESOLUTIONS
from portal.simulator.world import World
from tests.simulator.support import Desk, check_of, drain_to_zero, launch, plot, server, wait


def growth(points):
    return [(after[1] - before[1]) / (after[0] - before[0]) for before, after in pairwise(points)]


def test_each_server_and_balancer_is_measured_by_checks_that_name_what_they_tell():
    world = launch()
    values = world.monitoring_overview(limit=1000, base_url="http://cloud.test/monitoring/v1.0/123456")[
        "values"
    ]
    one = next(value for value in values if value["entity"]["label"] == "web-01")
    assert one["entity"]["uri"].endswith(f"/servers/{server(world, 'web-01').server_id}")
    assert {check["type"] for check in one["checks"]} == {
        "agent.cpu",
        "agent.memory",
        "agent.network",
        "agent.plugin",
    }
    outside = next(value for value in values if value["entity"]["label"] == "web")
    assert "uri" not in outside["entity"]
    assert [check["type"] for check in outside["checks"]] == ["remote.http"]
    names = world.monitoring_metrics(*check_of(world, "web-01", "agent.network"))["values"]
    assert names == [{"name": "rx_bytes"}, {"name": "tx_bytes"}]


def test_bytes_are_counted_up_with_the_requests_and_stay_flat_once_a_server_has_left():
    world = launch()
    wait(world, 3600)
    before = plot(world, "web-04", back_s=3 * 3600)
    assert len(before) in (178, 179, 180)
    assert all(rate > 0 for rate in growth(before))
    drain_to_zero(world, "web-04")
    wait(world, 1800)
    after = growth(plot(world, "web-04", back_s=1200))
    assert after
    assert max(after) == 0
    assert min(growth(plot(world, "web-01", back_s=1200))) > 0


def test_the_past_stays_what_it_was_told_before():
    world = launch()
    wait(world, 3600)
    told = dict(plot(world, "web-04", back_s=7200))
    drain_to_zero(world, "web-04")
    wait(world, 600)
    again = dict(plot(world, "web-04", back_s=7200))
    both = told.keys() & again.keys()
    assert len(both) > 60
    grown = max(told.values()) - min(told.values())
    assert max(abs(told[at] - again[at]) for at in both) < 0.02 * grown


def test_a_saved_world_tells_the_same_past():
    world = launch()
    wait(world, 600)
    drain_to_zero(world, "web-04")
    wait(world, 600)
    copy = World.from_state(json.loads(json.dumps(world.to_state())))
    assert plot(copy, "web-04") == plot(world, "web-04")


@pytest.mark.parametrize("resolution", sorted(RESOLUTIONS))
def test_points_lie_a_width_apart_and_no_further_back_than_they_are_kept(resolution):
    world = launch()
    width, kept_s = RESOLUTIONS[resolution]
    found = plot(
        world,
        "web-01",
        "agent.cpu",
        "usage_average",
        back_s=round(400 * DAY_S),
        resolution=resolution,
        limit=9999,
    )
    assert {round(after[0] - before[0]) for before, after in pairwise(found)} == {width}
    oldest_s = min(kept_s, world.now - server(world, "web-01").created_t)
    assert oldest_s - width <= world.now - found[0][0] <= oldest_s or len(found) == 1440
    assert all(0 < value <= 100 for _, value in found)


def test_an_answer_has_at_most_1440_points_and_names_where_the_next_begins():
    world = launch()
    ids = check_of(world, "web-01", "agent.network")
    epoch = world.start.timestamp()
    asked = {
        "begins_ms": round((epoch - 2 * DAY_S) * 1000),
        "ends_ms": round(epoch * 1000),
        "resolution": "FULL",
        "limit": 5000,
    }
    first = world.monitoring_plot(*ids, "rx_bytes", **asked)
    assert (first["metadata"]["count"], first["metadata"]["limit"]) == (1440, 1440)
    second = world.monitoring_plot(*ids, "rx_bytes", **asked, marker=first["metadata"]["next_marker"])
    moments = [value["timestamp"] for page in (first, second) for value in page["values"]]
    assert {after - before for before, after in pairwise(moments)} == {PERIOD_S * 1000}
    with pytest.raises(ProviderError, match="marker"):
        world.monitoring_plot(*ids, "rx_bytes", **asked, marker="1")


def test_so_many_points_are_told_as_fit():
    found = plot(launch(), "web-01", resolution=None, points=300, back_s=round(DAY_S))
    assert 250 < len(found) <= 300


def test_a_machine_that_is_down_sends_nothing_more():
    world = launch()
    wait(world, 600)
    world.server_action(server(world, "web-04").server_id, {"os-stop": None})
    wait(world, 3600)
    assert world.now - plot(world, "web-04", back_s=7200)[-1][0] > 3000


@pytest.mark.parametrize(
    ("kind", "status", "type_", "header"),
    [
        ("agent_away", 400, "agentNotConnected", None),
        ("limit_reached", 400, "limitReached", "Reply-After"),
        ("over_limit", 429, "rateLimitReached", "Retry-After"),
        ("server_error", 500, "internalError", None),
    ],
)
def test_it_refuses_in_its_own_words(kind, status, type_, header):
    world = launch()
    ids = check_of(world, "web-01", "agent.network")
    world.add_fault(kind, "monitoring.plot")
    with pytest.raises(ProviderError) as refusal:
        world.monitoring_plot(*ids, "rx_bytes", begins_ms=0, ends_ms=1, resolution="FULL")
    assert (refusal.value.status, refusal.value.body["type"]) == (status, type_)
    assert header is None or header in refusal.value.headers


def test_it_can_tell_nothing_old_things_or_zeros_that_mean_nothing():
    world = launch()
    world.add_fault("empty_list", "monitoring.plot")
    assert plot(world, "web-01") == []
    world.add_fault("points_stop", seconds=1800)
    assert 1800 <= -plot(world, "web-01")[-1][0] <= 1800 + 2 * PERIOD_S
    world.add_fault("unmeasured")
    assert {value for _, value in plot(world, "web-01")} == {0.0}
    assert min(value for _, value in plot(world, "web-01")) > 0


@pytest.mark.parametrize(
    ("entity", "check", "metric"), [("x", None, "rx_bytes"), (None, "x", "rx_bytes"), (None, None, "x")]
)
def test_what_it_does_not_measure_it_does_not_know(entity, check, metric):
    world = launch()
    ids = check_of(world, "web-01", "agent.network")
    with pytest.raises(ProviderError) as refusal:
        world.monitoring_plot(
            entity or ids[0], check or ids[1], metric, begins_ms=0, ends_ms=1, resolution="FULL"
        )
    assert refusal.value.status == 404


def test_it_is_found_in_the_catalog_and_answers_only_its_own_tenant():
    desk = Desk(launch())
    token = {"X-Auth-Token": desk.token}
    assert desk.raw("GET", "/monitoring/v1.0/123456/views/overview", headers=token).status_code == 200
    assert desk.raw("GET", "/monitoring/v1.0/654321/views/overview", headers=token).status_code == 401
    assert desk.raw("GET", "/monitoring/v1.0/123456/views/overview").json()["type"] == "unauthorizedError"
    assert desk.raw("GET", "/monitoring/v1.0/123456/nothing", headers=token).status_code == 404
    ids = check_of(desk.world, "web-01", "agent.cpu")
    path = f"/monitoring/v1.0/123456/entities/{ids[0]}/checks/{ids[1]}/metrics/usage_average/plot"
    assert desk.raw("GET", path, headers=token).status_code == 400
    epoch_ms = round(desk.world.start.timestamp() * 1000)
    answer = desk.raw(
        "GET",
        f"{path}?from={epoch_ms - 3_600_000}&to={epoch_ms}&resolution=MIN5&select=average",
        headers=token,
    ).json()
    assert answer["metadata"]["count"] == len(answer["values"]) in (11, 12)
    assert set(answer["values"][0]) == {"numPoints", "average", "timestamp"}


def test_an_alarm_is_what_somebody_made_it_and_tells_since_when():
    world = launch()
    wait(world, 60)
    of = server(world, "web-01")
    hands = Hands(world)
    hands.do("set_alarm", of=of.server_id, label="CPU", state="WARNING")
    balancer = next(iter(world.balancers.values()))
    hands.do("set_alarm", of=str(balancer.lb_id), label="Home page", state="CRITICAL")
    values = {value["entity"]["label"]: value for value in world.monitoring_overview(limit=1000)["values"]}
    [alarm], [state] = values["web-01"]["alarms"], values["web-01"]["latest_alarm_states"]
    assert (alarm["label"], state["state"], state["alarm_id"]) == ("CPU", "WARNING", alarm["id"])
    assert state["timestamp"] == round((world.start.timestamp() + world.now) * 1000)
    assert state["check_id"] in {check["id"] for check in values["web-01"]["checks"]}
    assert [one["state"] for one in values[balancer.name]["latest_alarm_states"]] == ["CRITICAL"]
    assert values["web-02"]["alarms"] == values["web-02"]["latest_alarm_states"] == []
    for wrong in ({"of": of.server_id, "state": "RED"}, {"of": "nobody", "state": "OK"}):
        with pytest.raises(ValueError, match=r"no state|no server"):
            hands.do("set_alarm", label="CPU", **wrong)
