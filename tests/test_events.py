"""The outbox: what happened, in an order that no reader can overtake, told to whoever may know."""

from __future__ import annotations

import asyncio
import json
import threading
from datetime import timedelta
from io import StringIO

import pytest
from asgiref.sync import sync_to_async
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.test import AsyncClient, Client
from django.utils import timezone

from accounts import members, services
from accounts.models import Membership
from portal.approvals import services as approvals
from portal.events import relay as relaying
from portal.events.cloudevents import as_cloudevent
from portal.events.models import Event
from portal.events.relay import forget, head, relay_due, unplaced_for_s
from portal.events.services import emit
from portal.events.stream import events_of
from portal.events.tasks import relay
from portal.health import findings
from portal.runs import registry
from portal.runs import services as runs
from tests import factories as make


def in_thread(work):
    def run():
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def placed():
    return list(
        Event.objects.filter(position__isnull=False).order_by("position").values_list("position", "type")
    )


class Reader:
    """Somebody who asks again and again for what is above the last position that they have."""

    def __init__(self, account):
        self.account = account
        self.position = 0
        self.read = []

    def look(self):
        for event in events_of(self.account.ref, after=self.position).order_by("position"):
            self.position = event.position
            self.read.append(event.type)


# --- order -------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_two_transactions_that_commit_in_reverse_order_lose_nothing():
    account = make.account()
    reader = Reader(account)
    first_wrote, may_commit = threading.Event(), threading.Event()

    def slow():
        with transaction.atomic():
            emit("slow.one", account=account)
            first_wrote.set()
            assert may_commit.wait(20)

    thread = in_thread(slow)
    assert first_wrote.wait(20)
    emit("fast.one", account=account)
    relay_due()
    reader.look()
    assert reader.read == ["fast.one"]
    may_commit.set()
    thread.join()
    relay_due()
    reader.look()
    assert reader.read == ["fast.one", "slow.one"]
    # The one that a reader of serial ids would have lost.
    by_type = dict(Event.objects.values_list("type", "id"))
    assert by_type["slow.one"] < by_type["fast.one"]


@pytest.mark.django_db(transaction=True)
def test_many_writers_and_two_relays_give_every_event_one_place_without_gaps():
    account = make.account()
    stop = threading.Event()
    reader = Reader(account)

    def write(name):
        for number in range(30):
            with transaction.atomic():
                emit(f"{name}.written", account=account, data={"n": number})
                emit(f"{name}.written_too", account=account, data={"n": number})
                if number % 5 == 4:
                    transaction.set_rollback(True)

    def keep_relaying():
        while not stop.is_set():
            relay_due(batch=7)

    def keep_reading():
        while not stop.is_set():
            reader.look()

    others = [in_thread(keep_relaying), in_thread(keep_relaying), in_thread(keep_reading)]
    writers = [in_thread(lambda name=name: write(name)) for name in ("one", "two", "three")]
    for thread in writers:
        thread.join()
    stop.set()
    for thread in others:
        thread.join()
    relay_due()
    reader.look()
    count = 3 * 24 * 2
    assert [position for position, _ in placed()] == list(range(1, count + 1))
    assert Event.objects.count() == count
    assert reader.read == [type for _, type in placed()]
    for name in ("one", "two", "three"):
        own = (
            Event.objects.filter(type__startswith=name).order_by("position").values_list("data__n", flat=True)
        )
        assert list(own) == sorted(own)


@pytest.mark.django_db(transaction=True)
def test_a_relay_killed_in_a_batch_leaves_nothing_half_done(monkeypatch):
    account = make.account()
    for name in ("a.done", "b.done"):
        emit(name, account=account)

    def dies(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as here:
        here.setattr(relaying.wake, "publish", dies)
        with pytest.raises(KeyboardInterrupt):
            relay_due(batch=1)
    # Its first batch was committed, and only its news was lost.
    assert placed() == [(1, "a.done")]
    plain = connection.execute_wrapper

    def dies_at_update(execute, sql, *rest):
        if "UPDATE events_event" in sql:
            raise KeyboardInterrupt
        return execute(sql, *rest)

    with plain(dies_at_update), pytest.raises(KeyboardInterrupt):
        relay_due()
    assert head()[0] == 1
    relay()
    assert placed() == [(1, "a.done"), (2, "b.done")]


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_never_happened():
    account = make.account()
    with pytest.raises(RuntimeError), transaction.atomic():
        emit("a.done", account=account)
        raise RuntimeError
    assert relay_due() == 0


@pytest.mark.django_db(transaction=True)
def test_the_relay_is_woken_once_a_transaction_and_after_its_commit(monkeypatch):
    account, sent = make.account(), []
    monkeypatch.setattr(relay, "apply_async", lambda **given: sent.append(Event.objects.count()))
    with transaction.atomic():
        emit("a.done", account=account)
        emit("b.done", account=account)
        assert sent == []
    assert sent == [2]


@pytest.mark.django_db
def test_a_relay_that_stands_still_shows():
    emit("a.done", account=make.account())
    assert {found.name: found.ok for found in findings()}["events"] is True
    Event.objects.update(at=timezone.now() - timedelta(minutes=2))
    assert 100 < unplaced_for_s() < 200
    assert {found.name: found.ok for found in findings()}["events"] is False
    scraped = Client(REMOTE_ADDR="127.0.0.1").get("/metrics").content.decode()
    assert float(scraped.split("\nevents_unplaced_seconds ")[1].split("\n")[0]) > 100


# --- what is said ------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    "data",
    [
        {"name": "Maja"},
        {"deep": {"email": "x"}},
        {"to": "maja@lindgren.example"},
        {"to": ["+46701234567"]},
        {"reason": "because"},
    ],
)
def test_an_event_takes_nothing_personal(data):
    with pytest.raises(ValueError, match=r"personal|looks like"):
        emit("a.done", account=make.account(), data=data)
    assert not Event.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("type", ["Run.halted", "halted", "run..halted", "run.halted.v1", ""])
def test_a_type_is_written_one_way(type):
    with pytest.raises(ValueError, match="is no type"):
        emit(type, account=make.account())


@pytest.mark.django_db
def test_an_event_is_a_cloudevent():
    account, actor = make.account(), make.user("Ada")
    emit(
        "run.halted", account=account, subject_type="run", subject_ref="r-1", data={"code": "x"}, actor=actor
    )
    relay_due()
    seen = as_cloudevent(Event.objects.get())
    assert {key: seen[key] for key in ("specversion", "type", "source", "subject", "position", "data")} == {
        "specversion": "1.0",
        "type": "steadystate.run.halted.v1",
        "source": f"/api/v1/accounts/{account.ref}",
        "subject": "run/r-1",
        "position": "1",
        "data": {"code": "x", "actor": str(actor.ref)},
    }
    assert seen["time"].endswith("Z")


def types():
    return list(Event.objects.order_by("id").values_list("type", flat=True))


@pytest.mark.django_db
def test_contacts_and_members_are_told_without_a_word_about_the_person():
    account = make.account()
    manager, user = make.launch_manager(account.team, role="lead"), make.user("Ada Lovelace")
    contact = services.add_contact(
        account,
        {"name": "Maja Lindgren", "email": "maja@lindgren.example", "roles": ["primary"]},
        actor=manager,
    )
    services.change_contact(contact, {"phone": "+46701234567"}, actor=manager)
    services.confirm_contact(contact, actor=manager, on=timezone.now().date())
    services.remove_contact(contact, actor=manager)
    members.grant_role(account, user, "admin", actor=manager)
    members.grant_role(account, make.user(), "admin", actor=user)
    members.remove_member(account, user, actor=manager)
    assert types() == [
        *(f"contact.{what}" for what in ("added", "changed", "confirmed", "removed")),
        "member.granted",
        "member.granted",
        "member.removed",
    ]
    everything = json.dumps(list(Event.objects.values("data", "subject_ref", "actor_ref")), default=str)
    for personal in ("Maja", "lindgren.example", "46701234567", "Ada", user.email):
        assert personal not in everything


@pytest.mark.django_db
def test_a_standstill_is_told_to_every_account_that_it_touches():
    team = make.team()
    one, two, other = make.account(of=team), make.account(of=team), make.account()
    lead = make.launch_manager(team, role="lead")
    standstill = runs.put_standstill(f"team:{team.ref}", reason="Outage.", actor=lead)
    runs.lift_standstill(standstill, reason="Over.", actor=lead)
    runs.put_standstill("all", reason="Outage.", actor=lead)
    seen = Event.objects.order_by("id").values_list("account_ref", "type")
    assert sorted(seen) == sorted(
        [(a.ref, t) for a in (one, two) for t in ("standstill.put", "standstill.lifted", "standstill.put")]
        + [(other.ref, "standstill.put")]
    )


@pytest.mark.django_db
def test_a_request_for_approval_is_told_from_submitting_to_its_end():
    account = make.account()
    manager, approver = (
        make.launch_manager(account.team),
        make.member(account, "approver", granted_by=make.user()),
    )
    request = approvals.submit(
        account=account,
        subject_type="test.plan",
        subject_ref=account.ref,
        title="web",
        digest="a" * 64,
        author=manager,
        actor=manager,
        at=timezone.now(),
    )
    approvals.decide(
        request, actor=approver, side="customer", decision="approve", seen_digest="a" * 64, at=timezone.now()
    )
    assert types() == ["plan.submitted", "plan.decided", "plan.decided", "plan.approved"]
    assert {event.subject_ref for event in Event.objects.all()} == {str(account.ref)}


@pytest.mark.django_db
def test_a_run_is_told_from_its_creation(monkeypatch):
    if registry.registered("toy") is None:
        registry.register_kind("toy", lambda: None)
    account = make.account()
    run = runs.create_run(
        account=account,
        kind="toy",
        plan_ref=account.ref,
        plan={},
        digest="a" * 64,
        resource_keys=[],
        scopes=[],
        title="web",
        actor=make.user(),
    )
    event = Event.objects.get()
    assert (event.type, event.subject_ref, event.account_ref) == ("run.scheduled", str(run.ref), account.ref)


# --- reading -----------------------------------------------------------------------------------------------


@pytest.fixture
def here(db):
    account = make.account()
    viewer = make.member(account, "viewer")
    for number in range(5):
        emit("contact.changed" if number % 2 else "run.halted", account=account, data={"n": number})
        emit("other.changed", account=make.account())
    relay_due()
    return account, viewer


def pages(account, viewer, query=""):
    return Client().get(
        f"/api/v1/accounts/{account.ref}/events{query}",
        **make.bearer(make.token(viewer, scopes=["events:read"])),
    )


def test_pages_have_the_accounts_own_events_in_order_and_go_on_from_a_position(
    here, django_assert_max_num_queries
):
    account, viewer = here
    first = pages(account, viewer, "?limit=2").json()
    assert [event["position"] for event in first["results"]] == ["1", "3"]
    assert Client().get(first["next"]).status_code == 401
    rest = pages(account, viewer, "?after=3").json()["results"]
    assert [event["data"]["n"] for event in rest] == [2, 3, 4]
    assert pages(account, viewer, "?after=9").json() == {"results": [], "next": None, "previous": None}
    halted = pages(account, viewer, "?type=steadystate.run.halted.v1").json()["results"]
    assert [event["data"]["n"] for event in halted] == [0, 2, 4]
    assert pages(account, viewer, "?after=-1").status_code == 422
    secret = make.token(viewer)
    with django_assert_max_num_queries(12):
        Client().get(f"/api/v1/accounts/{account.ref}/events", **make.bearer(secret))


def test_what_was_forgotten_is_said_to_be_gone_and_never_left_out_in_silence(here):
    account, viewer = here
    Event.objects.filter(position__lte=6).update(at=timezone.now() - timedelta(days=91))
    # Younger than a forgotten one, and before it: an event is kept as long as any before it is not to go.
    out = StringIO()
    call_command("forget_events", stdout=out)
    assert out.getvalue() == "6 events forgotten\n"
    assert head() == (10, 6)
    assert forget(timezone.now() - timedelta(days=90)) == 0
    gone = pages(account, viewer, "?after=2")
    assert (gone.status_code, gone.json()["type"]) == (410, "urn:steady-state:problem:gone")
    assert [event["position"] for event in pages(account, viewer, "?after=6").json()["results"]] == ["7", "9"]
    assert pages(account, viewer).status_code == 200
    emit("a.done", account=account)
    relay_due()
    assert head()[0] == 11
    with pytest.raises(CommandError):
        call_command("forget_events", "--days", "0")


def test_forgetting_never_goes_past_an_event_that_is_to_stay(here):
    Event.objects.exclude(position=3).update(at=timezone.now() - timedelta(days=91))
    assert forget(timezone.now() - timedelta(days=90)) == 2
    assert head()[1] == 2


# --- the stream --------------------------------------------------------------------------------------------


async def chunks_of(client, account, headers, count, between=None):
    response = await client.get(
        f"/api/v1/accounts/{account.ref}/events", headers={"accept": "text/event-stream", **headers}
    )
    assert response.status_code == 200, response.content
    assert response["Content-Type"] == "text/event-stream"
    found = []
    async with asyncio.timeout(20):
        chunks = aiter(response.streaming_content)
        while len(found) < count:
            chunk = await anext(chunks, None)
            if chunk is None:
                break
            if chunk.startswith((b":", b"retry")):
                continue
            found.append(dict(line.split(": ", 1) for line in chunk.decode().strip().splitlines()))
            if between is not None:
                await between(len(found))
        await chunks.aclose()
    return found


def signed_in(user):
    client = AsyncClient()
    client.force_login(user)
    return client


@pytest.fixture
def committed(transactional_db):
    account = make.account()
    for number in range(3):
        emit("run.halted", account=account, data={"n": number})
    relay_due()
    return account, make.member(account, "viewer")


def test_a_stream_goes_on_after_the_last_event_that_the_reader_has(committed):
    account, viewer = committed
    seen = asyncio.run(chunks_of(signed_in(viewer), account, {"last-event-id": "1"}, 3))
    assert [(one["id"], one["event"]) for one in seen] == [
        ("1", "start"),
        ("2", "run.halted"),
        ("3", "run.halted"),
    ]
    assert json.loads(seen[1]["data"])["data"]["n"] == 1


def test_a_stream_without_a_position_begins_with_what_comes_now(committed):
    account, viewer = committed

    def more():
        emit("run.completed", account=account)
        emit("run.completed", account=make.account())
        relay_due()

    async def between(count):
        if count == 1:
            await sync_to_async(more)()

    seen = asyncio.run(chunks_of(signed_in(viewer), account, {}, 2, between))
    assert [(one["id"], one["event"]) for one in seen] == [("3", "start"), ("4", "run.completed")]


async def _logged_out():
    await Session.objects.all().adelete()


async def _right_gone():
    await Membership.objects.all().adelete()


@pytest.mark.parametrize("what", [_logged_out, _right_gone])
def test_a_stream_ends_with_the_session_or_the_right(committed, monkeypatch, what):
    account, viewer = committed
    monkeypatch.setattr("portal.streams.RECHECK_S", -1.0)

    async def between(count):
        if count == 2:
            await what()

    seen = asyncio.run(chunks_of(signed_in(viewer), account, {"last-event-id": "1"}, 9, between))
    assert len(seen) == 2


def test_a_strangers_stream_is_not_there(committed):
    account, _viewer = committed

    client = signed_in(make.member(make.account(), "admin"))

    async def ask():
        try:
            return await client.get(
                f"/api/v1/accounts/{account.ref}/events", headers={"accept": "text/event-stream"}
            )
        finally:
            # The client of tests keeps a request's connection, and this one is of a thread that ends with the loop.
            await sync_to_async(connections.close_all)()

    assert asyncio.run(ask()).status_code == 404
