"""The live page's stream: it ends with the session that opened it, and nobody holds too many."""

from __future__ import annotations

import asyncio
import gc

import pytest
from django.contrib.sessions.models import Session
from django.test import AsyncClient
from django.urls import reverse
from django.utils import timezone

from accounts.models import Membership, User
from portal import streams
from portal.runs import registry
from scaledown import services
from tests.pages.test_pages import started
from tests.scaledown.rows import desk, fresh_pool

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def here(monkeypatch):
    if registry.registered(services.KIND) is None:
        registry.register_kind(services.KIND, lambda: None)
    monkeypatch.setattr("scaledown.drawing.read_pool", lambda connection, ids: fresh_pool())
    monkeypatch.setattr("scaledown.views.runs.RECHECK_S", -1.0)
    monkeypatch.setattr("scaledown.api._RECHECK_S", -1.0)
    return desk()


def logged_in(user):
    client = AsyncClient()
    client.force_login(user)
    return client


def addresses(run):
    return {"page": reverse("scaledown:run-stream", args=[run.ref]), "api": f"/api/v1/runs/{run.ref}/events"}


async def first_chunk(client, address, before_reading):
    response = await client.get(address)
    assert response.status_code == 200
    await before_reading()
    async with asyncio.timeout(20):
        chunks = aiter(response.streaming_content)
        found = await anext(chunks, None)
        await chunks.aclose()
        return found


async def _nothing():
    pass


async def _logged_out():
    await Session.objects.all().adelete()


async def _session_ran_out():
    await Session.objects.aupdate(expire_date=timezone.now())


async def _new_password():
    async for user in User.objects.all():
        user.set_password("quite another password")
        await user.asave()


async def _right_gone():
    await Membership.objects.all().adelete()


@pytest.mark.parametrize("kind", ["page", "api"])
@pytest.mark.parametrize("what", [_logged_out, _session_ran_out, _new_password, _right_gone])
def test_a_stream_ends_with_the_session_or_the_right(here, what, kind):
    address = addresses(started(here))[kind]
    client = logged_in(here.viewer)
    assert asyncio.run(first_chunk(client, address, _nothing)) is not None
    assert asyncio.run(first_chunk(client, address, what)) is None


@pytest.mark.parametrize("kind", ["page", "api"])
def test_one_person_holds_ten_streams_and_no_more(here, kind):
    run = started(here)
    client, other = logged_in(here.viewer), logged_in(here.manager)

    async def story():
        held = [await client.get(addresses(run)[kind]) for _ in range(streams.MOST_PER_USER)]
        refused = await client.get(addresses(run)[kind])
        assert refused.status_code == 429
        assert "live views open" in refused.content.decode()
        elsewhere = await other.get(addresses(run)[kind])
        assert elsewhere.status_code == 200
        # One that was read and left, and one that was thrown away unread: both seats are free again.
        left = held.pop()
        async with asyncio.timeout(20):
            await anext(aiter(left.streaming_content))
        del left, held[-1]
        for _ in range(5):
            gc.collect()
            await asyncio.sleep(0.02)
        again = [await client.get(addresses(run)[kind]) for _ in range(3)]
        assert [answer.status_code for answer in again] == [200, 200, 429]

    asyncio.run(story())
