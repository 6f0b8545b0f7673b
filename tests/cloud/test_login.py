"""The log-in is shared, trusted as long as the provider says, renewed once, and never shown."""

from __future__ import annotations

import asyncio
import dataclasses

import httpx
import pytest

from portal.cloud.shared import MemoryShared
from portal.cloud.types import Condition
from portal.errors import ProviderFailed, TryLater
from tests.cloud.fake import CLB, CREDENTIALS, IDENTITY_URL, SOON, Provider, access, balancer, later

LB = f"{CLB}/loadbalancers/71"


def provider_with_a_balancer() -> Provider:
    provider = Provider()
    provider.on("GET", LB, httpx.Response(200, json=balancer()))
    return provider


def test_many_calls_at_once_log_in_once():
    provider = provider_with_a_balancer()

    async def many():
        cloud = provider.cloud()
        await asyncio.gather(*(cloud.show_balancer("71") for _ in range(30)))

    asyncio.run(many())
    assert provider.logins == 1


def test_workers_share_a_log_in():
    provider = provider_with_a_balancer()
    shared = MemoryShared()

    async def two_workers():
        await provider.cloud(shared=shared).show_balancer("71")
        await provider.cloud(shared=shared).show_balancer("71")

    asyncio.run(two_workers())
    assert provider.logins == 1


def test_another_key_never_meets_the_token_of_the_old_one():
    provider = provider_with_a_balancer()
    shared = MemoryShared()
    other = dataclasses.replace(CREDENTIALS, api_key="another")

    async def two():
        await provider.cloud(shared=shared).show_balancer("71")
        await provider.cloud(shared=shared, credentials=other).show_balancer("71")

    asyncio.run(two())
    assert provider.logins == 2


def test_a_token_is_used_until_it_expires_and_not_longer():
    provider = provider_with_a_balancer()
    times = [later(), later(hours=23, minutes=58), later(hours=23, minutes=59, seconds=30)]

    async def three():
        now = [times[0]]
        cloud = provider.cloud(now=lambda: now[0])
        counts = []
        for moment in times:
            now[0] = moment
            await cloud.show_balancer("71")
            counts.append(provider.logins)
        return counts

    assert asyncio.run(three()) == [1, 1, 2]


def test_a_worker_whose_token_was_revoked_takes_the_one_that_another_got():
    provider = provider_with_a_balancer()
    shared = MemoryShared()
    valid = {"token-1"}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers["X-Auth-Token"] in valid:
            return httpx.Response(200, json=balancer())
        return httpx.Response(401)

    provider.on("GET", LB, answer)

    async def revoked():
        first, second = provider.cloud(shared=shared), provider.cloud(shared=shared)
        await first.show_balancer("71")
        await second.show_balancer("71")
        valid.clear()
        valid.add("token-2")
        await first.show_balancer("71")
        await second.show_balancer("71")

    asyncio.run(revoked())
    assert provider.logins == 2


def test_a_user_who_is_answered_401_for_changes_does_not_log_in_for_each():
    provider = provider_with_a_balancer()
    provider.on("PUT", f"{LB}/nodes/410", httpx.Response(401))

    async def often():
        cloud = provider.cloud()
        for _ in range(5):
            with pytest.raises(ProviderFailed) as caught:
                await cloud.set_condition("71", "410", Condition.DRAINING, not_after=SOON)
            assert caught.value.code == "unauthorized"
            await cloud.show_balancer("71")

    asyncio.run(often())
    assert provider.logins == 2


def test_a_region_that_the_account_has_nothing_in_is_named_with_those_it_has():
    provider = Provider()
    cloud = provider.cloud(credentials=dataclasses.replace(CREDENTIALS, region="LON"))
    with pytest.raises(ProviderFailed) as caught:
        asyncio.run(cloud.list_balancers())
    assert caught.value.code == "no_region"
    assert "DFW, ORD" in caught.value.says


def test_an_account_that_is_not_the_connections_is_refused():
    provider = Provider()
    cloud = provider.cloud(credentials=dataclasses.replace(CREDENTIALS, tenant="999"))
    with pytest.raises(ProviderFailed) as caught:
        asyncio.run(cloud.list_balancers())
    assert caught.value.code == "wrong_tenant"


@pytest.mark.parametrize(
    "url",
    [
        "https://identity.example.com",
        "https://identity.example.com/v2.0/",
        "https://identity.example.com/v2.0/tokens",
    ],
)
def test_the_identity_address_may_be_written_in_three_ways(url):
    provider = provider_with_a_balancer()
    cloud = provider.cloud(credentials=dataclasses.replace(CREDENTIALS, identity_url=url))
    asyncio.run(cloud.show_balancer("71"))
    assert str(provider.requests[0].url) == f"{IDENTITY_URL}/tokens"


def test_the_log_in_says_what_the_provider_documents():
    provider = provider_with_a_balancer()
    asyncio.run(provider.cloud().show_balancer("71"))
    login, look = provider.requests
    assert provider.body_of(login) == {
        "auth": {
            "RAX-KSKEY:apiKeyCredentials": {"username": "launch", "apiKey": "key-that-nobody-may-see"},
            "tenantId": "123456",
        }
    }
    assert look.headers.get_list("Accept") == ["application/json"]


@pytest.mark.parametrize(
    "public_url", ["http://lb.example.com/v1.0/123456", "https://169.254.169.254/v1.0/123456"]
)
def test_a_catalog_that_leads_astray_is_not_followed(public_url):
    provider = Provider()
    led = access()
    led["access"]["serviceCatalog"][2]["endpoints"][1]["publicURL"] = public_url
    provider.on("POST", f"{IDENTITY_URL}/tokens", httpx.Response(200, json=led))
    with pytest.raises(ProviderFailed) as caught:
        asyncio.run(provider.cloud().list_balancers())
    assert caught.value.code in {"not_encrypted", "closed_address"}
    assert len(provider.requests) == 1


def test_no_secret_is_in_logs_reprs_or_troubles(caplog):
    provider = Provider()
    provider.on(
        "PUT", f"{LB}/nodes/410", httpx.Response(500, json={"message": "token-1 key-that-nobody-may-see"})
    )
    provider.on("GET", LB, httpx.ReadError("token-1"))
    cloud = provider.cloud()
    said = [repr(cloud), repr(CREDENTIALS)]

    async def fail():
        for call in (
            cloud.set_condition("71", "410", Condition.DRAINING, not_after=SOON),
            cloud.show_balancer("71"),
        ):
            with pytest.raises(Exception) as caught:
                await call
            said.append(f"{caught.value!r} {caught.value.says}")

    # What is written is looked at: what stands before the last step may be masked there.
    with caplog.at_level("DEBUG"):
        asyncio.run(fail())
    said.append(caplog.text)
    assert "cloud_call" in caplog.text
    assert "key-that-nobody-may-see" not in "".join(said)
    assert "token-1" not in "".join(said)


def test_a_log_in_limit_holds_back_log_ins_and_not_the_tenants_calls():
    provider = Provider()
    provider.on("POST", f"{IDENTITY_URL}/tokens", httpx.Response(413, json={"overLimit": {"code": 413}}))
    shared = MemoryShared()

    async def twice():
        codes = []
        for _ in range(2):
            with pytest.raises(TryLater) as caught:
                await provider.cloud(shared=shared).list_balancers()
            codes.append(caught.value.code)
        return codes

    assert asyncio.run(twice()) == ["rate_limited", "rate_limited"]
    assert len(provider.requests) == 1
