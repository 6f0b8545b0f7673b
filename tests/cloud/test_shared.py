"""What workers share through Redis, and that nothing depends on Redis being there."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest
import redis.asyncio
import structlog.testing
from django.conf import settings as configured

from portal import crypto
from portal.cloud.connect import close_all, cloud_for, look_once
from portal.cloud.shared import MemoryShared, Rate, RedisShared
from portal.cloud.types import Condition, Credentials, Withheld
from portal.errors import ProviderFailed, Refused
from tests.cloud.fake import CLB, CREDENTIALS, SOON, Provider, balancer


@pytest.fixture
def redis_url(request) -> str:
    if request.config.getoption("--no-services"):
        pytest.skip("needs the Redis-protocol server of the test services")
    return configured.REDIS_URL


def shared_over(url: str) -> RedisShared:
    return RedisShared.from_url(url, MemoryShared(), seal=crypto.encrypt, unseal=crypto.decrypt)


def workers(url: str, act, count: int = 2):
    """Run `act` with what `count` separate processes would have: nothing in common but Redis."""

    async def turn():
        plain = redis.asyncio.Redis.from_url(url, decode_responses=True)
        await plain.flushdb()
        all_shared = [shared_over(url) for _ in range(count)]
        try:
            return await act(plain, *all_shared)
        finally:
            for shared in all_shared:
                await shared.close()
            await plain.aclose()

    return asyncio.run(turn())


def test_one_worker_reads_what_another_wrote_and_redis_never_sees_it_plain(redis_url):
    async def act(plain, one, two):
        await one.write("k", "the token", 60)
        raw = [await plain.get(key) for key in await plain.keys("*")]
        return await two.read("k"), raw

    text, raw = workers(redis_url, act)
    assert text == "the token"
    assert raw
    assert "the token" not in "".join(raw)


def test_many_workers_that_start_at_once_log_in_once(redis_url):
    provider = Provider()

    async def slow_login(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.05)
        return provider._log_in(request)

    provider.on("POST", "https://identity.example.com/v2.0/tokens", slow_login)
    provider.on("GET", f"{CLB}/loadbalancers/71", httpx.Response(200, json=balancer()))

    async def act(plain, *all_shared):
        await asyncio.gather(*(provider.cloud(shared=shared).show_balancer("71") for shared in all_shared))

    workers(redis_url, act, count=5)
    assert provider.logins == 1


def test_a_rate_is_kept_by_all_workers_together(redis_url):
    rate = Rate(per_s=2, burst=3)

    async def act(plain, one, two):
        turns = (one, two, one, two, one)
        slots = [await shared.take("t", "b", rate, max_wait_s=10) for shared in turns]
        return slots, await two.take("t", "b", rate, max_wait_s=0.5)

    slots, denied = workers(redis_url, act)
    assert [slot.is_granted for slot in slots] == [True] * 5
    assert [round(slot.wait_s, 1) for slot in slots] == pytest.approx([0, 0, 0, 0.5, 1.0], abs=0.15)
    assert not denied.is_granted


def test_calls_that_are_made_at_once_are_asked_for_in_one_go_and_each_gets_its_own_place(redis_url):
    rate = Rate(per_s=2, burst=3)

    async def act(plain, one, two):
        await two.hold("held", 30)
        before = (await plain.info("commandstats")).get("cmdstat_evalsha", {}).get("calls", 0)
        asked = [one.take("t", "b", rate, max_wait_s=0.6) for _ in range(6)]
        asked += [one.take("held", "b", rate, max_wait_s=1), one.take("other", "b", rate, max_wait_s=1)]
        gone = asyncio.ensure_future(one.take("other", "b", rate, max_wait_s=1))
        asyncio.get_running_loop().call_soon(gone.cancel)
        slots = await asyncio.gather(*asked)
        assert gone.cancelled()
        after = (await plain.info("commandstats"))["cmdstat_evalsha"]["calls"]
        return slots, after - before

    slots, evaluations = workers(redis_url, act)
    assert [slot.is_granted for slot in slots] == [True] * 4 + [False] * 3 + [True]
    assert [round(slot.wait_s, 1) for slot in slots[:6]] == pytest.approx([0, 0, 0, 0.5, 1.0, 1.0], abs=0.15)
    assert 25 < slots[6].wait_s <= 30
    assert evaluations <= 2, "one, and one more where Redis did not know the script yet"


def test_calls_that_are_made_at_once_while_redis_is_away_are_counted_here_each():
    async def act():
        shared = shared_over("redis://127.0.0.1:1/0")
        slots = await asyncio.gather(
            *(shared.take("t", "b", Rate(per_s=2, burst=3), max_wait_s=10) for _ in range(5))
        )
        await shared.close()
        return slots

    with structlog.testing.capture_logs() as logs:
        slots = asyncio.run(act())
    assert [round(slot.wait_s, 1) for slot in slots] == pytest.approx([0, 0, 0, 0.5, 1.0], abs=0.15)
    assert [line["event"] for line in logs] == ["cloud_redis_away"]


def test_a_hold_of_one_worker_holds_all_for_that_tenant_only(redis_url):
    async def act(plain, one, two):
        await one.hold("t", 30)
        await one.hold("t", 5)
        rate = Rate(10, 10)
        held = await two.take("t", "b", rate, max_wait_s=1)
        other = await two.take("another", "b", rate, max_wait_s=1)
        return held, other

    held, other = workers(redis_url, act)
    assert not held.is_granted
    assert 25 < held.wait_s <= 30
    assert other.is_granted


def test_a_turn_waits_for_the_one_before(redis_url):
    order: list[str] = []

    async def act(plain, one, two):
        async def log_in(shared, name):
            async with shared.turn("k"):
                order.append(f"{name} begins")
                await asyncio.sleep(0.05)
                order.append(f"{name} ends")

        await asyncio.gather(log_in(one, "a"), log_in(two, "b"))

    workers(redis_url, act)
    assert [entry.split()[1] for entry in order] == ["begins", "ends", "begins", "ends"]


def test_redis_may_be_emptied_at_any_moment(redis_url):
    provider = Provider()
    provider.on("GET", f"{CLB}/loadbalancers/71", httpx.Response(200, json=balancer()))

    async def act(plain, one, two):
        cloud = provider.cloud(shared=one)
        await cloud.show_balancer("71")
        await plain.flushdb()
        await plain.script_flush()
        await cloud.show_balancer("71")
        return await one.take("t", "b", Rate(10, 10), max_wait_s=1)

    assert workers(redis_url, act).is_granted
    assert provider.logins == 1


def test_a_value_in_redis_that_cannot_be_read_is_no_value(redis_url):
    async def act(plain, one, two):
        await plain.set("cloud:text:k", "written with another key")
        return await one.read("k")

    assert workers(redis_url, act) is None


def test_without_redis_a_worker_goes_on_alone_and_is_not_slowed():
    provider = Provider()
    provider.on("GET", f"{CLB}/loadbalancers/71", httpx.Response(200, json=balancer()))

    async def act():
        shared = shared_over("redis://127.0.0.1:1/0")
        began = time.monotonic()
        cloud = provider.cloud(shared=shared)
        for _ in range(20):
            await cloud.show_balancer("71")
        await shared.hold("t", 5)
        held = await shared.take("t", "b", Rate(10, 10), max_wait_s=1)
        await shared.close()
        return held, time.monotonic() - began

    held, took_s = asyncio.run(act())
    assert provider.logins == 1
    assert not held.is_granted
    assert took_s < 2


# --- clients of an event loop ---


def test_one_event_loop_has_one_client_for_the_same_credentials():
    async def act():
        first, again = cloud_for(CREDENTIALS), cloud_for(CREDENTIALS)
        rehearsing = cloud_for(CREDENTIALS, rehearsal=True)
        await close_all()
        return first is again, first is rehearsing, first.is_rehearsal, rehearsing.is_rehearsal

    assert asyncio.run(act()) == (True, False, False, True)


def test_raised_limits_raise_the_rates_of_calls_and_not_of_log_ins(settings):
    async def rates(factor: float):
        settings.CLOUD_RATE_FACTOR = factor
        found = dict(cloud_for(CREDENTIALS)._wire.options.rates)
        await close_all()
        return found

    documented, raised = asyncio.run(rates(1.0)), asyncio.run(rates(3.0))
    assert documented["cloudLoadBalancers", "GET"] == Rate(10, 10)
    assert raised["cloudLoadBalancers", "GET"] == Rate(30, 30)
    assert raised["identity", "POST"] == documented["identity", "POST"]


def test_a_look_from_a_page_cannot_change_anything():
    async def look(cloud):
        return await cloud.delete_server("s-1", not_after=SOON)

    assert look_once(CREDENTIALS, look) == Withheld("DELETE", "/servers/s-1")


def test_a_look_at_a_closed_address_says_why():
    inside = Credentials("rackspace", "https://10.0.0.1/v2.0", "u", "k", "1", "DFW")
    with pytest.raises(ProviderFailed) as caught:
        look_once(inside, lambda cloud: cloud.list_balancers())
    assert caught.value.code == "closed_address"


def test_a_provider_that_is_not_known_is_refused():
    other = Credentials("elsewhere", "https://id.example.com", "u", "k", "1", "DFW")
    with pytest.raises(Refused):
        look_once(other, lambda cloud: cloud.set_condition("1", "1", Condition.ENABLED, not_after=SOON))
