"""What pages, health and streams read: a sleeping engine, the live state, the journal as events."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
from django.db import connections
from django.utils import timezone

from portal.runs import registry, selectors, stream
from portal.runs.models import Run, Standstill
from portal.runs.types import Action, Decision, Entry, RunStatus
from tests import factories as make
from tests.runs.desks import PgDesk

ADD = Action("add", "1", "Count to 1.", {"by": 1})


@pytest.fixture
def desk(transactional_db):
    yield PgDesk()
    registry.forget_kind("toy")


def run_of(ref):
    return Run.objects.get(ref=ref)


def test_the_engine_is_awake_while_runs_are_looked_at_in_time(desk, settings):
    ref = desk.create()
    assert selectors.asleep() is None
    desk.store.release(desk.store.claim(ref, holder="w", lease_s=15), look_again_s=600)
    desk.pass_time(300)
    assert selectors.asleep() is None


def test_a_page_learns_by_one_query_whether_all_is_quiet(desk, settings, django_assert_num_queries):
    desk.create()
    with django_assert_num_queries(1):
        assert selectors.is_quiet()
    standing = Standstill.objects.create(
        scope="all", reason="a test", by=make.user(), by_name="Ada", at=timezone.now()
    )
    assert not selectors.is_quiet()
    Standstill.objects.filter(pk=standing.pk).update(
        lifted_at=timezone.now(), lifted_by=standing.by, lift_reason="over"
    )
    assert selectors.is_quiet()
    desk.pass_time(settings.RUNS["ASLEEP_AFTER_S"] + 1)
    with django_assert_num_queries(1):
        assert not selectors.is_quiet()


def test_a_sleeping_engine_is_told_with_runs_and_nodes(desk, settings):
    registry.forget_kind("toy")
    registry.register_kind("toy", object, draining=lambda runs: 2 * len(runs))
    desk.create()
    desk.create()
    desk.pass_time(settings.RUNS["ASLEEP_AFTER_S"] + 1)
    asleep = selectors.asleep()
    assert (asleep.runs_overdue, asleep.nodes_draining) == (2, 4)
    assert "2 runs are overdue, 4 nodes were left draining" in asleep.says


def test_a_worker_that_died_with_its_lease_counts_from_the_leases_end(desk, settings):
    ref = desk.create()
    desk.store.claim(ref, holder="w", lease_s=20)
    desk.pass_time(settings.RUNS["ASLEEP_AFTER_S"] + 5)
    assert selectors.asleep() is None
    desk.pass_time(20)
    assert selectors.asleep().runs_overdue == 1


def test_the_live_state_names_what_is_on_the_wire_and_what_waits(desk):
    ref = desk.create()
    view = desk.store.claim(ref, holder="w", lease_s=15)
    intent = desk.store.note_intent(view, Decision({"n": 1}, action=ADD), deadline_s=3, lease_s=8)
    desk.store.check(view, intent, deadline_s=3)
    desk.command(ref, "pause")
    live = selectors.live(run_of(ref))
    assert (live.on_the_wire, live.waiting_commands, live.progress) == ("Count to 1.", ("pause",), {"n": 1})
    assert not live.is_overdue


def test_a_journal_page_continues_after_a_number(desk):
    ref = desk.create()
    desk.store.commit(
        desk.store.claim(ref, holder="w", lease_s=15),
        Decision({}, journal=tuple(Entry("toy", f"Line {n}.") for n in range(5))),
    )
    assert [entry.seq for entry in selectors.journal_page(run_of(ref), after_seq=2, limit=3)] == [3, 4, 5]
    assert [entry.seq for entry in selectors.journal_tail(run_of(ref), limit=2)] == [6, 5]


def test_a_scrape_of_any_process_tells_of_all_runs(desk, settings):
    from prometheus_client import generate_latest

    desk.create()
    desk.pass_time(settings.RUNS["ASLEEP_AFTER_S"] + 1)
    scraped = generate_latest().decode()
    assert 'runs_by_status{status="scheduled"} 1.0' in scraped
    assert "runs_overdue 1.0" in scraped
    assert "runs_database_up 1.0" in scraped


# The stream


def parse(raw):
    events = []
    for block in b"".join(raw).decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields:
            events.append((fields["event"], fields.get("id"), json.loads(fields["data"])))
    return events


def finish(desk, ref):
    desk.store.commit(
        desk.store.claim(ref, holder="w", lease_s=15),
        Decision({}, status=RunStatus.ABORTED, journal=(Entry("toy", "Bye.", "Goodbye."),)),
    )


async def collect(run_id, after=0, **given):
    return [piece async for piece in stream.journal_events(run_id, after, **given)]


def test_a_stream_of_a_run_that_is_over_tells_everything_and_ends(desk):
    ref = desk.create()
    finish(desk, ref)
    events = parse(asyncio.run(collect(run_of(ref).pk)))
    assert [(kind, id) for kind, id, _ in events] == [
        ("entry", "1"), ("entry", "2"), ("entry", "3"), ("tick", None), ("end", None)
    ]  # fmt: skip
    assert events[1][2]["says"] == "Bye."


def test_a_stream_goes_on_after_the_last_event_that_was_seen(desk):
    ref = desk.create()
    finish(desk, ref)
    events = parse(asyncio.run(collect(run_of(ref).pk, 2, for_customer=True)))
    assert [id for kind, id, _ in events if kind == "entry"] == ["3"]
    events = parse(asyncio.run(collect(run_of(ref).pk, 1, for_customer=True)))
    assert events[0][2]["says"] == "Goodbye."
    assert [kind for kind, _, _ in parse(asyncio.run(collect(run_of(ref).pk, 3)))] == ["tick", "end"]


def test_a_stream_without_redis_still_hears_of_news(desk, settings, monkeypatch):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(stream, "POLL_S", 0.05)
    hears_the_end(desk)


def test_a_stream_hears_of_news_at_once(desk, monkeypatch):
    from portal.runs import wake

    wake._client.cache_clear()
    monkeypatch.setattr(stream, "HEARTBEAT_S", 600.0)
    monkeypatch.setattr(stream, "POLL_S", 600.0)
    hears_the_end(desk)


def hears_the_end(desk):
    ref = desk.create()
    run_id = run_of(ref).pk

    def work():
        try:
            finish(desk, ref)
        finally:
            connections.close_all()

    async def story():
        raw = []
        async with asyncio.timeout(10):
            async for piece in stream.journal_events(run_id):
                raw.append(piece)
                if b"event: tick" in piece and len(raw) == 3:
                    # Only once Redis listens (or is known to be away) does the run go on.
                    await asyncio.sleep(0.3)
                    threading.Thread(target=work).start()
        return parse(raw)

    events = asyncio.run(story())
    assert events[-1][0] == "end"
    assert [id for kind, id, _ in events if kind == "entry"] == ["1", "2", "3"]


def test_a_quiet_stream_sends_a_heartbeat(desk, monkeypatch):
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.05)
    ref = desk.create()
    run_id = run_of(ref).pk

    async def story():
        async with asyncio.timeout(10):
            events = stream.journal_events(run_id)
            async for piece in events:
                if piece == stream.HEARTBEAT:
                    await events.aclose()
                    return True
        return False

    assert asyncio.run(story())


def test_a_quiet_stream_sends_a_heartbeat_though_redis_stays_away(desk, settings, monkeypatch):
    """What the hub tells each time that it cannot connect is no news of the run."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.4)
    monkeypatch.setattr(stream, "POLL_S", 0.05)
    monkeypatch.setattr(stream, "_RECONNECT_S", 0.05)
    ref = desk.create()
    run_id = run_of(ref).pk

    async def story():
        async with asyncio.timeout(10):
            events = stream.journal_events(run_id)
            async for piece in events:
                if piece == stream.HEARTBEAT:
                    await events.aclose()
                    return True
        return False

    assert asyncio.run(story())


def test_what_time_alone_changes_on_a_page_comes_with_the_heartbeat(desk, monkeypatch):
    """A run that nobody looks at any more cannot say so itself."""
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.05)
    ref = desk.create()
    run_id = run_of(ref).pk
    rendered = []

    def render(change):
        rendered.append(change.token)
        return {"state": f"looked at {len(rendered)} times"}

    async def story():
        pieces = []
        async with asyncio.timeout(10):
            events = stream.journal_events(run_id, render=render)
            async for piece in events:
                pieces.append(piece)
                if piece == stream.HEARTBEAT:
                    await events.aclose()
        return pieces

    pieces = asyncio.run(story())
    assert pieces[-2:] == [stream.sse("state", "looked at 2 times"), stream.HEARTBEAT]
    assert pieces.count(stream.sse("state", "looked at 1 times")) == 1
    assert rendered == [rendered[0]] * 2, "the same change twice"


def test_a_page_may_add_events_of_its_own(desk):
    ref = desk.create()
    finish(desk, ref)

    def render(change):
        return {"lanes": json.dumps({"status": change.status, "lines": 2})}

    events = parse(asyncio.run(collect(run_of(ref).pk, render=render)))
    assert ("lanes", None, {"status": "aborted", "lines": 2}) in events


@pytest.mark.parametrize(
    ("header", "seq"), [(None, 0), ("", 0), ("17", 17), ("-1", 0), ("x", 0), ("9" * 40, 0), ("²", 0)]
)
def test_a_broken_last_event_id_starts_from_the_beginning(header, seq):
    assert stream.after_seq_of(header) == seq
