"""Cloud Monitoring: what is measured, the points of a metric, and every way in which it gives none."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.cloud import rackspace_monitoring as monitoring
from portal.cloud.rackspace_answers import Unreadable
from portal.cloud.shared import MemoryShared, Rate
from portal.cloud.types import Resolution
from portal.errors import ProviderFailed, TryLater
from tests.cloud.fake import CLB, FAST, NOVA, NOW, Provider, access, flat

MON = "https://monitoring.example.com/v1.0/123456"
PLOT = f"{MON}/entities/en1/checks/ch1/metrics/rx_bytes/plot"
BEGINS, ENDS = NOW - timedelta(hours=1), NOW
BEGINS_MS = 1_795_431_600_000
ENTITY = {
    "id": "en1",
    "label": "web-01",
    "uri": f"{NOVA}/servers/s-1",
    "agent_id": "a-1",
    "ip_addresses": {"public0_v4": "8.8.8.8", "access_ip0_v4": "8.8.8.8", "private0_v4": "10.1.1.1"},
}
CHECK = {"id": "ch1", "label": "net", "type": "agent.network", "period": 60, "details": {"target": "eth0"}}


def page(*values, next_marker=None) -> httpx.Response:
    return httpx.Response(200, json={"values": list(values), "metadata": {"next_marker": next_marker}})


def point(minutes: float, average, **more) -> dict:
    stamp = BEGINS_MS + round(60_000 * minutes)
    return {"numPoints": 1, "average": average, "timestamp": stamp, **more}


def fault(status: int, kind: str, message: str = "text", headers: dict | None = None) -> httpx.Response:
    body = {"type": kind, "code": status, "message": message, "details": "", "txnId": ".r"}
    return httpx.Response(status, json=body, headers=headers)


def plotted(provider: Provider, resolution=Resolution.FULL, metric="rx_bytes", **options):
    cloud = provider.cloud(**options)
    return asyncio.run(
        cloud.monitoring.plot("en1", "ch1", metric, begins=BEGINS, ends=ENDS, resolution=resolution)
    )


def answering(*rules) -> Provider:
    provider = Provider()
    provider.on("GET", PLOT, list(rules))
    return provider


# --- what is asked


def test_a_plot_is_asked_for_in_milliseconds_at_the_address_without_a_region():
    provider = answering(page(point(1, 5.0)))
    found = plotted(provider)
    (request,) = provider.sent("GET")
    assert dict(request.url.params) == {
        "from": str(BEGINS_MS),
        "to": str(BEGINS_MS + 3_600_000),
        "resolution": "FULL",
        "select": "average",
        "limit": "1440",
    }
    assert [(p.at, p.value) for p in found.points] == [(BEGINS + timedelta(minutes=1), 5.0)]


def test_a_metric_may_be_called_what_a_plugin_likes():
    provider = Provider()
    url = f"{MON}/entities/en1/checks/ch1/metrics/open%20files%2Fdisk%3F/plot"
    provider.on("GET", url, page())
    plotted(provider, metric="open files/disk?")
    assert provider.sent("GET")[0].url.raw_path.split(b"?")[0].endswith(b"/open%20files%2Fdisk%3F/plot")


@pytest.mark.parametrize("metric", ["", ".", ".."])
def test_no_name_leads_to_another_address(metric):
    provider = Provider()
    with pytest.raises(ValueError, match="not a name"):
        plotted(provider, metric=metric)
    assert provider.sent("GET") == []


# --- what is measured


def test_what_is_monitored_names_servers_and_their_checks():
    provider = Provider()
    provider.on("GET", f"{MON}/views/overview", page({"entity": ENTITY, "checks": [CHECK], "alarms": []}))
    (found,) = asyncio.run(provider.cloud().monitoring.monitored())
    assert (found.id, found.server_id, found.agent_id) == ("en1", "s-1", "a-1")
    assert found.addresses == ("8.8.8.8", "10.1.1.1")
    (check,) = found.checks
    assert (check.type, check.period_s, check.target, check.is_disabled) == (
        "agent.network",
        60,
        "eth0",
        False,
    )


def test_an_entity_of_its_own_making_is_no_server():
    bare = {"id": "en2", "label": "shop"}
    (found,) = monitoring.parse_overview([{"entity": bare, "checks": None}])
    assert (found.server_id, found.agent_id, found.addresses, found.checks) == (None, None, (), ())


@pytest.mark.parametrize(
    ("uri", "server"),
    [
        (f"{NOVA}/servers/s-1", "s-1"),
        (f"{NOVA}/servers/s-1/", "s-1"),
        ("s-1", "s-1"),
        (f"{CLB}/loadbalancers/71", None),
        ("", None),
    ],
)
def test_only_the_address_of_a_server_names_a_server(uri, server):
    assert monitoring.server_of(uri) == server


@pytest.mark.parametrize(
    "value",
    [{}, {"entity": {}}, {"entity": ENTITY, "checks": [{"id": "ch1"}]}, {"entity": ENTITY, "checks": [1]}],
)
def test_an_overview_that_does_not_say_what_is_measured_is_no_overview(value):
    with pytest.raises(Unreadable):
        monitoring.parse_overview([value])


def test_metrics_of_a_check_are_named_once_over_all_pages():
    provider = Provider()
    url = f"{MON}/entities/en1/checks/ch1/metrics"
    provider.on("GET", url, [page({"name": "tx_bytes"}, next_marker="m"), page({"name": "rx_bytes"})])
    assert asyncio.run(provider.cloud().monitoring.metrics("en1", "ch1")) == ("rx_bytes", "tx_bytes")


# --- no data is no zero


def test_an_answer_without_points_is_no_data():
    assert plotted(answering(page())).points == ()


@pytest.mark.parametrize(
    "nothing",
    [
        point(1, 0, numPoints=0),
        point(1, None),
        point(1, "5"),
        point(1, True),
        {"numPoints": 1, "timestamp": BEGINS_MS},
        point(-61, 5.0),
        point(61, 5.0),
        {"numPoints": 1, "average": 5.0, "timestamp": BEGINS_MS // 1000},
        point(1, 10**400),
    ],
    ids=[
        "nothing measured",
        "null",
        "text",
        "truth",
        "absent",
        "stale",
        "of tomorrow",
        "seconds",
        "too large",
    ],
)
def test_a_point_that_says_nothing_is_unknown_and_never_zero(nothing):
    found = plotted(answering(page(point(2, 7.0), nothing)))
    assert [p.value for p in found.points] == [7.0]
    assert found.unknown == 1


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_unknown(word):
    body = (
        f'{{"values": [{{"numPoints": 1, "average": {word}, "timestamp": {BEGINS_MS}}}], "metadata": {{}}}}'
    )
    found = plotted(answering(httpx.Response(200, content=body.encode())))
    assert (found.points, found.unknown) == ((), 1)


def test_a_measured_zero_is_a_zero():
    assert [p.value for p in plotted(answering(page(point(1, 0)))).points] == [0.0]


def test_the_average_of_a_span_may_begin_before_what_was_asked_for():
    found = plotted(answering(page(point(-4, 1.0), point(-6, 2.0))), Resolution.MIN5)
    assert [p.value for p in found.points] == [1.0]


def test_points_come_in_order_of_time_and_the_later_answer_counts():
    found = plotted(answering(page(point(3, 3.0), point(1, 1.0), next_marker="x"), page(point(3, 4.0))))
    assert [p.value for p in found.points] == [1.0, 4.0]


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"values": {}}', b'{"values": [1]}', b'{"values": [{"average": 1}]}',
     b'{"values": [], "metadata": {"next_marker": {}}}'],
)  # fmt: skip
def test_an_answer_that_is_none_is_asked_for_again_and_is_not_no_data(body):
    with pytest.raises(TryLater) as caught:
        plotted(answering(httpx.Response(200, content=body)))
    assert caught.value.code == "unreadable"


@pytest.mark.parametrize(
    ("kind", "code"), [("agentNotConnected", "agent_not_connected"), ("agentDoesNotExist", "no_agent")]
)
def test_an_agent_that_is_not_there_is_said_and_gives_no_points(kind, code):
    with pytest.raises(ProviderFailed) as caught:
        plotted(answering(fault(400, kind)))
    assert caught.value.code == code
    assert "agent" in caught.value.says


def test_a_check_that_is_gone_is_said():
    with pytest.raises(ProviderFailed) as caught:
        plotted(answering(fault(404, "notFoundError")))
    assert caught.value.code == "not_monitored"


def test_another_400_is_not_taken_for_a_rate_limit():
    with pytest.raises(ProviderFailed) as caught:
        plotted(answering(fault(400, "requiredNotFoundError", "Validation error for key 'from'")))
    assert caught.value.code == "unexpected_answer"


# --- limits


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (fault(429, "rateLimitReached", headers={"Retry-After": "40"}), 40),
        (fault(400, "badRequest", "Limit has been reached", headers={"Reply-After": "40"}), 40),
        (fault(400, "badRequest", "Limit has been reached"), 15),
    ],
)
def test_both_spellings_of_a_rate_limit_hold_back_monitoring_and_nothing_else(answer, seconds):
    shared = MemoryShared(clock=lambda: 1000.0)
    rates = {**FAST, ("cloudMonitoring", "GET"): Rate(1000, 1000)}
    provider = answering(answer, page())
    provider.on("GET", f"{CLB}/loadbalancers", httpx.Response(200, json={"loadBalancers": []}))
    cloud = provider.cloud(shared=shared, rates=rates, read_pace_s=1.0)

    async def act():
        with pytest.raises(TryLater) as first:
            await cloud.monitoring.plot(
                "en1", "ch1", "rx_bytes", begins=BEGINS, ends=ENDS, resolution=Resolution.FULL
            )
        with pytest.raises(TryLater):
            await cloud.monitoring.metrics("en1", "ch1")
        await cloud.list_balancers()
        return first.value

    trouble = asyncio.run(act())
    assert trouble.code == "rate_limited"
    assert seconds <= trouble.after_s <= 1.2 * seconds
    assert [str(r.url).startswith(MON) for r in provider.sent("GET")] == [True, False]


def test_the_same_words_from_a_load_balancer_are_no_rate_limit():
    provider = Provider()
    provider.on("GET", f"{CLB}/loadbalancers", flat(400, "Limit has been reached"))
    with pytest.raises(ProviderFailed):
        asyncio.run(provider.cloud().list_balancers())


# --- paging


def test_every_page_of_points_is_read_with_the_marker_that_the_one_before_named():
    provider = answering(page(point(1, 1.0), next_marker=BEGINS_MS), page(point(2, 2.0)))
    assert [p.value for p in plotted(provider).points] == [1.0, 2.0]
    assert [r.url.params.get("marker") for r in provider.sent("GET")] == [None, str(BEGINS_MS)]


def test_pages_that_do_not_end_are_no_answer():
    provider = answering(page(point(1, 1.0), next_marker="a"))
    with pytest.raises(TryLater) as caught:
        plotted(provider)
    assert caught.value.code == "unreadable"
    assert len(provider.sent("GET")) == 2


def test_a_failure_on_a_later_page_fails_all():
    with pytest.raises(TryLater):
        plotted(answering(page(point(1, 1.0), next_marker="a"), fault(503, "serviceUnavailable")))


# --- where it is


def without_monitoring():
    led = access()
    led["access"]["serviceCatalog"] = [
        entry for entry in led["access"]["serviceCatalog"] if entry["name"] != "cloudMonitoring"
    ]
    return led


def test_an_account_without_monitoring_is_told_so():
    provider = Provider()
    provider.on(
        "POST", "https://identity.example.com/v2.0/tokens", httpx.Response(200, json=without_monitoring())
    )
    with pytest.raises(ProviderFailed) as caught:
        plotted(provider)
    assert caught.value.code == "no_endpoint"


def test_monitoring_alone_does_not_make_a_region():
    led = access()
    for entry in led["access"]["serviceCatalog"]:
        if entry["name"] in {"cloudLoadBalancers", "cloudServersOpenStack"}:
            entry["endpoints"] = [one for one in entry["endpoints"] if one["region"] == "ORD"]
    provider = Provider()
    provider.on("POST", "https://identity.example.com/v2.0/tokens", httpx.Response(200, json=led))
    with pytest.raises(ProviderFailed) as caught:
        asyncio.run(provider.cloud().session())
    assert caught.value.code == "no_region"


# --- whatever it says

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
VALUES = st.lists(
    st.fixed_dictionaries(
        {}, optional={"numPoints": ANY, "average": ANY, "timestamp": ANY | st.just(BEGINS_MS)}
    ),
    max_size=4,
)


@given(VALUES)
def test_whatever_a_plot_holds_it_is_numbers_with_a_moment_or_unreadable(values):
    try:
        found = monitoring.parse_plot(values)
    except Unreadable:
        return
    assert len(found) == len(values)
    for value, one in zip(values, found, strict=True):
        if one is not None:
            assert one.value == float(value["average"])
            assert one.at.tzinfo is not None
            assert abs(one.at - datetime(1970, 1, 1, tzinfo=UTC)) <= timedelta.max


@given(
    st.lists(st.fixed_dictionaries({}, optional={"entity": ANY | st.just(ENTITY), "checks": ANY}), max_size=3)
)
def test_whatever_an_overview_holds_it_is_entities_or_unreadable(values):
    values = json.loads(json.dumps(values))
    try:
        found = monitoring.parse_overview(values)
    except Unreadable:
        return
    assert [one.id for one in found] == [value["entity"]["id"] for value in values]
