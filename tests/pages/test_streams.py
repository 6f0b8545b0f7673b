"""The live page's stream: it ends with the session that opened it, and nobody holds too many."""

from __future__ import annotations

import asyncio
import gc
from time import monotonic

import pytest
from allauth.usersessions.models import UserSession
from asgiref.sync import sync_to_async
from django.contrib.sessions.models import Session
from django.test import AsyncClient
from django.urls import reverse
from django.utils import timezone

from accounts import members, sessions
from accounts.models import ApiToken, Membership, User
from accounts.tokens import revoke_token
from portal import streams
from portal.runs import registry
from scaledown import services
from tests import factories as make
from tests.pages.test_pages import started
from tests.scaledown.rows import desk, fresh_pool

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def here(monkeypatch):
    if registry.registered(services.KIND) is None:
        registry.register_kind(services.KIND, lambda: None)
    monkeypatch.setattr("scaledown.drawing.read_pool", lambda connection, ids: fresh_pool())
    return desk()


def logged_in(user):
    client = AsyncClient()
    client.force_login(user)
    return client


def listed(client, user):
    """Put the session in the list on its owner's settings page, as a log-in by the page does."""
    UserSession.objects.create(
        user=user, session_key=client.session.session_key, ip="203.0.113.7", user_agent="Firefox/140.0"
    )


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


async def _removed(here):
    await sync_to_async(members.remove_member)(here.account, here.viewer, actor=here.admin)


async def _switched_off(here):
    await sync_to_async(members.deactivate_user)(here.viewer, actor=None, reason="Left the company.")


async def _token_revoked(here):
    token = await ApiToken.objects.aget()
    await sync_to_async(revoke_token)(token, actor=here.viewer, at=timezone.now())


async def _session_ended(here):
    row = await UserSession.objects.aget(user=here.viewer)
    ref = sessions.ref_of("session", row.session_key)
    assert await sync_to_async(sessions.end_session)(here.viewer, ref, actor=here.viewer)


async def _all_sessions_ended(here):
    await sync_to_async(sessions.end_all_sessions)(here.viewer, actor=here.viewer)


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("page", _session_ended),
        ("page", _all_sessions_ended),
        ("page", _removed),
        ("page", _switched_off),
        ("api", _removed),
        ("api", _switched_off),
        ("api", _token_revoked),
    ],
)
def test_a_stream_that_has_nothing_to_say_ends_within_two_seconds(here, kind, what, monkeypatch):
    # Neither the wake-up by Redis nor a stream's own question may be what ends it.
    monkeypatch.setattr(streams, "RECHECK_S", 600.0)
    address = addresses(started(here))[kind]

    async def story():
        headers = {}
        if kind == "api":
            secret = await sync_to_async(make.token)(here.viewer)
            client, headers = AsyncClient(), {"headers": {"Authorization": f"Bearer {secret}"}}
        else:
            client = await sync_to_async(logged_in)(here.viewer)
            await sync_to_async(listed)(client, here.viewer)
        response = await client.get(address, **headers)
        assert response.status_code == 200
        last_chunk_at = monotonic()

        async def read():
            nonlocal last_chunk_at
            async for _chunk in response.streaming_content:
                last_chunk_at = monotonic()

        reading = asyncio.create_task(read())
        while monotonic() - last_chunk_at < 1.0:
            await asyncio.sleep(0.1)
        assert not reading.done(), "it ended by itself"
        await what(here)
        began = monotonic()
        async with asyncio.timeout(10):
            await reading
        return monotonic() - began

    assert asyncio.run(story()) < 2.0
