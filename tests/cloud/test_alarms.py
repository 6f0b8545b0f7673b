"""Alarms that fire, as the provider's monitoring tells of them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from portal.cloud import rackspace_monitoring as monitoring
from portal.cloud.rackspace_alarms import firing
from portal.cloud.rackspace_answers import Unreadable
from portal.cloud.types import AlarmState, Watched
from portal.errors import ProviderFailed
from tests.cloud.fake import Provider
from tests.cloud.test_monitoring import CHECK, ENTITY, MON, page

ALARM = {"id": "al1", "label": "CPU", "check_id": "ch1", "criteria": "…", "disabled": False}
STATE = {"timestamp": 1_321_898_988_000, "alarm_id": "al1", "check_id": "ch1", "state": "CRITICAL"}
SINCE = datetime(2011, 11, 21, 18, 9, 48, tzinfo=UTC)


def overview(entity=ENTITY, checks=(CHECK,), alarms=(ALARM,), states=(STATE,)):
    return {
        "entity": entity,
        "checks": list(checks),
        "alarms": list(alarms),
        "latest_alarm_states": list(states),
    }


def fired(*values):
    return firing(monitoring.parse_overview(list(values)))


def test_an_alarm_that_fires_says_what_it_is_of_and_since_when():
    (found,) = fired(overview())
    assert (found.key, found.label, found.of) == ("en1/al1/ch1", "CPU", ENTITY["label"])
    assert (found.server_id, found.state, found.since) == ("s-1", AlarmState.CRITICAL, SINCE)
    assert {"8.8.8.8", "10.1.1.1"} <= set(found.addresses)


@pytest.mark.parametrize(
    "changes",
    [
        {"states": [{**STATE, "state": "OK"}]},
        {"states": [{**STATE, "state": "UNKNOWN"}]},
        {"states": [{**STATE, "state": "SOMETHING_NEW"}]},
        {"states": []},
        {"alarms": [{**ALARM, "disabled": True}]},
        {"alarms": []},
        {"checks": [{**CHECK, "disabled": True}]},
        {"checks": []},
    ],
)
def test_what_is_well_or_watched_by_nothing_any_more_fires_not(changes):
    assert fired(overview(**changes)) == ()


def test_the_most_severe_alarm_comes_first():
    warns = {**STATE, "alarm_id": "al0", "state": "WARNING"}
    states = [warns, STATE]
    found = fired(overview(alarms=[{**ALARM, "id": "al0", "label": "A"}, ALARM], states=states))
    assert [one.state.value for one in found] == ["CRITICAL", "WARNING"]


@pytest.mark.parametrize(
    ("timestamp", "since"),
    [
        (1_321_898_988, SINCE),
        (1_321_898_988_000, SINCE),
        (None, None),
        ("soon", None),
        (True, None),
        (10**30, None),
    ],
)
def test_since_when_is_told_in_milliseconds_or_in_seconds_or_not_at_all(timestamp, since):
    (found,) = fired(overview(states=[{**STATE, "timestamp": timestamp}]))
    assert found.since == since


@pytest.mark.parametrize("name", ["alarm_id", "check_id", "state"])
def test_a_state_of_nothing_is_no_answer(name):
    with pytest.raises(Unreadable):
        fired(overview(states=[{key: value for key, value in STATE.items() if key != name}]))


def test_an_alarm_of_a_load_balancer_is_known_by_its_address():
    entity = {"id": "en2", "label": "shop from outside"}
    check = {"id": "ch1", "type": "remote.http", "target_hostname": "198.51.100.1"}
    (found,) = fired(overview(entity, checks=[check]))
    assert (found.server_id, found.addresses) == (None, ("198.51.100.1",))


def test_an_alarm_without_a_name_is_named_by_its_check():
    (found,) = fired(overview(alarms=[{**ALARM, "label": None}]))
    assert found.label == (CHECK.get("label") or CHECK["type"])


def test_one_look_tells_whose_network_is_measured_and_what_fires():
    provider = Provider()
    provider.on("GET", f"{MON}/views/overview", page(overview()))
    watched = asyncio.run(provider.cloud().watched())
    assert watched.network == frozenset({"s-1"})
    assert [one.label for one in watched.alarms] == ["CPU"]


def test_where_there_is_no_monitoring_nothing_is_watched_and_where_it_fails_that_is_no_silence():
    provider = Provider()
    cloud = provider.cloud()

    async def without(*_):
        raise ProviderFailed("The provider offers no monitoring.", code="no_endpoint")

    cloud.monitoring.monitored = without
    assert asyncio.run(cloud.watched()) == Watched()

    async def failing(*_):
        raise ProviderFailed("It failed.", code="provider_failed")

    cloud.monitoring.monitored = failing
    with pytest.raises(ProviderFailed):
        asyncio.run(cloud.watched())
