"""A turn: who is ticked, when it ends, what it leaves to the next."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from portal.runs.engine import inline
from portal.runs.store_memory import MemoryRuns
from portal.runs.tender import SPARE_S, Tender
from portal.runs.threads import StoreThreads
from portal.runs.types import Decision, RunStatus, StoreAway
from tests.runs.desks import PgDesk
from tests.runs.toy import ToyKind, ToyWorld


def tender_of(store, kind, **given):
    given.setdefault("do", inline)
    given.setdefault("batch", 50)
    return Tender(store, lambda name: kind, names=lambda: {"toy"}, lease_s=15.0, **given)


@pytest.fixture
def runs():
    return MemoryRuns(lambda: datetime.now(UTC))


def turn(store, kind, budget_s=2.0, **given):
    began = time.monotonic()
    done = asyncio.run(tender_of(store, kind, **given).turn(budget_s))
    return done, time.monotonic() - began


def test_a_turn_that_finds_nothing_returns_at_once(runs, kind):
    done, took_s = turn(runs.handle(), kind, budget_s=30.0)
    assert (done.ticks, done.next_due_s) == (0, None)
    assert took_s < 0.5


def test_a_turn_returns_at_once_if_nothing_is_due_within_it(runs, kind):
    ref = runs.create(kind="toy", plan={"target": 1})
    store = runs.handle()
    store.release(store.claim(ref, holder="w", lease_s=15), look_again_s=60)
    done, took_s = turn(store, kind, budget_s=5.0)
    assert took_s < 0.5
    assert done.ticks == 0
    assert done.next_due_s == pytest.approx(60, abs=1)


def test_a_run_with_work_left_is_kept_by_the_same_turn(runs, kind, world):
    ref = runs.create(kind="toy", plan={"target": 3})
    done, took_s = turn(runs.handle(), kind, budget_s=30.0)
    assert runs.runs[ref].status.value == "completed"
    assert world.calls == ["1", "2", "3"]
    assert done.next_due_s is None
    assert took_s < 2


def test_due_runs_are_ticked_side_by_side(runs, kind):
    for _ in range(20):
        runs.create(kind="toy", plan={"target": 0})
    observe = kind.observe

    async def slowly(view):
        await asyncio.sleep(0.1)
        return await observe(view)

    kind.observe = slowly
    done, took_s = turn(runs.handle(), kind, budget_s=10.0)
    assert done.ticks == 2 * 20
    assert took_s < 1.5


def test_a_turn_takes_no_more_than_its_batch_at_a_time(runs, kind):
    for _ in range(6):
        runs.create(kind="toy", plan={"target": 0})
    observe = kind.observe
    now, most = [0], [0]

    async def counted(view):
        now[0] += 1
        most[0] = max(most[0], now[0])
        await asyncio.sleep(0.02)
        now[0] -= 1
        return await observe(view)

    kind.observe = counted
    done, _ = turn(runs.handle(), kind, batch=2)
    assert (done.ticks, most[0]) == (2 * 6, 2)


def test_a_worker_that_cannot_attend_to_all_has_fewer_in_hand(runs, kind, monkeypatch):
    monkeypatch.setattr("portal.runs.room.WORKED_SHARE", 0.0)  # whatever else this machine does
    monkeypatch.setattr(
        "portal.runs.engine.MOST_TICKS", 1
    )  # as runs that want their next look a second later
    for _ in range(40):
        runs.create(kind="toy", plan={"target": 10_000})
    observe = kind.observe

    async def at_length(view):
        await asyncio.sleep(0.001)
        until = time.perf_counter() + 0.02
        while time.perf_counter() < until:
            pass
        return await observe(view)

    kind.observe = at_length
    tender = tender_of(runs.handle(), kind, batch=40)
    asyncio.run(tender.turn(3.0))
    assert tender.room.runs < 15
    kind.observe = observe
    monkeypatch.setattr("portal.runs.room.LATE_SHARE", 1.1)  # more than there is: as on an idle machine
    runs_left = tender.room.runs
    asyncio.run(tender.turn(2.0))
    assert tender.room.runs > runs_left, "it keeps up again"


def test_a_turn_ends_in_time_and_says_when_the_next_run_is_due(runs, kind, world):
    runs.create(kind="toy", plan={"target": 10_000})
    done, took_s = turn(runs.handle(), kind, budget_s=0.3)
    assert took_s < 3
    assert done.ticks > 3
    assert done.next_due_s == 0
    assert len(world.calls) == world.value


class Quick(ToyKind):
    """Looks so often at once; each look takes 20 ms. Then the run rests."""

    def __init__(self, world, looks):
        super().__init__(world)
        self.looks, self.seen = looks, 0

    async def observe(self, view):
        await asyncio.sleep(0.02)

    def decide(self, view, observation):
        if view.status is RunStatus.SCHEDULED:
            return Decision({}, status=RunStatus.RUNNING, look_again_s=0.0)
        self.seen += 1
        return Decision({"seen": self.seen}, look_again_s=0.0 if self.seen < self.looks else 60.0)


def test_the_end_of_a_turn_does_not_come_between_looks_that_follow_at_once(runs, world):
    ref = runs.create(kind="toy", plan={})
    quick = Quick(world, looks=20)
    done, took_s = turn(runs.handle(), quick, budget_s=0.1)
    assert runs.runs[ref].progress == {"seen": 20}
    assert done.ticks == 21
    assert took_s < 0.1 + SPARE_S


def test_a_turn_ends_all_the_same_shortly_after_its_time(runs, world):
    runs.create(kind="toy", plan={})
    done, took_s = turn(runs.handle(), Quick(world, looks=10_000), budget_s=0.1)
    assert took_s < 0.1 + SPARE_S + 1.0
    assert done.next_due_s == 0


def test_a_command_is_seen_by_a_turn_in_hand_without_a_message(runs, kind):
    ref = runs.create(kind="toy", plan={"target": 1})
    # Under a standstill the toy waits a second after each look.
    runs.put_standstill("all")

    async def story():
        task = asyncio.create_task(tender_of(runs.handle(), kind).turn(2.0))
        await asyncio.sleep(0.2)
        given_at = time.monotonic()
        runs.command(ref, "abort")
        while not runs.runs[ref].status.is_over and time.monotonic() < given_at + 2:
            await asyncio.sleep(0.01)
        waited_s = time.monotonic() - given_at
        await task
        return waited_s

    assert asyncio.run(story()) < 0.9


def test_what_is_not_due_yet_is_looked_for_and_not_locked(runs, kind, monkeypatch):
    ref = runs.create(kind="toy", plan={"target": 1})
    store = runs.handle()
    store.release(store.claim(ref, holder="w", lease_s=15), look_again_s=0.9)
    claims = []
    claim_due = store.claim_due
    monkeypatch.setattr(store, "claim_due", lambda **given: claims.append(1) or claim_due(**given))
    _, took_s = turn(store, kind, budget_s=5.0)
    assert runs.runs[ref].status.value == "completed"
    assert took_s > 0.8
    # Looked for four times a second; claimed once it was due, and where the clocks differ by a hair once more.
    assert len(claims) <= 3


def test_a_run_that_is_claimed_ahead_is_looked_at_when_it_is_due_and_by_that_clock(runs, kind):
    ref = runs.create(kind="toy", plan={"target": 0})
    store = runs.handle()
    store.release(store.claim(ref, holder="w", lease_s=15), look_again_s=0.3)
    due_at = runs.runs[ref].next_tick_at
    looked_at = []
    observe = kind.observe

    async def noting(view):
        looked_at.append((datetime.now(UTC), view.now))
        return await observe(view)

    kind.observe = noting
    turn(store, kind, budget_s=2.0)
    real, believed = looked_at[0]
    assert real >= due_at
    assert believed >= due_at - timedelta(milliseconds=2)


def test_a_run_that_is_handed_over_when_it_is_due_already_is_looked_at_by_the_time_that_it_is(runs, kind):
    ref = runs.create(kind="toy", plan={"target": 0})
    store = runs.handle()
    store.release(store.claim(ref, holder="w", lease_s=15), look_again_s=0.3)
    due_at = runs.runs[ref].next_tick_at
    believed, observe, claim_due = [], kind.observe, store.claim_due

    def slowly(**given):
        views = claim_due(**given)
        time.sleep(max((view.due_in_s for view in views), default=0.0))
        return [replace(view, due_in_s=0.0) for view in views]

    async def noting(view):
        believed.append(view.now)
        return await observe(view)

    store.claim_due, kind.observe = slowly, noting
    turn(store, kind, budget_s=2.0)
    assert believed[0] >= due_at - timedelta(milliseconds=2)


def test_a_command_while_a_claimed_run_waits_for_its_look_is_heard_before_anything_is_sent(runs, kind, world):
    ref = runs.create(kind="toy", plan={"target": 1})
    store = runs.handle()
    store.release(store.claim(ref, holder="w", lease_s=15), look_again_s=0.3)
    claim_due = store.claim_due

    def and_abort(**given):
        views = claim_due(**given)
        if views and not world.calls and not runs.runs[ref].open_commands:
            runs.command(ref, "abort")
        return views

    store.claim_due = and_abort
    turn(store, kind, budget_s=2.0)
    assert runs.runs[ref].status.value == "aborted"
    assert world.calls == []


def test_a_run_is_taken_when_it_is_due_and_not_at_the_next_poll(runs, kind):
    ref = runs.create(kind="toy", plan={"target": 0})
    store = runs.handle()
    store.release(store.claim(ref, holder="w", lease_s=15), look_again_s=0.02)
    late_s = []
    observe = kind.observe

    async def noting(view):
        late_s.append(time.monotonic() - began)
        return await observe(view)

    kind.observe = noting
    began = time.monotonic()
    turn(store, kind, budget_s=2.0)
    assert late_s
    assert min(late_s) < 0.2


def test_a_store_that_is_away_ends_the_turn_quietly(runs, kind):
    store = runs.handle()

    def gone(**_given):
        raise StoreAway("restarting")

    store.claim_due = gone
    done, _ = turn(store, kind)
    assert done.ticks == 0


@pytest.mark.django_db(transaction=True)
def test_a_turn_does_the_whole_job_on_postgresql_with_two_threads():
    desk = PgDesk()
    world = ToyWorld()
    kind = ToyKind(world)
    refs = [desk.create(plan={"target": 2}, resource_keys=[f"lb:{n}"]) for n in range(3)]
    threads = StoreThreads()
    try:
        done, _ = turn(desk.store, kind, budget_s=20.0, do=threads)
    finally:
        threads.close()
    assert [desk.row(ref)["status"] for ref in refs] == ["completed"] * 3
    assert desk.claims() == set()
    assert done.next_due_s is None


@pytest.mark.django_db(transaction=True)
def test_two_tenders_at_once_never_tick_the_same_run_together():
    desk = PgDesk()
    world = ToyWorld()
    kind = ToyKind(world)
    for n in range(10):
        desk.create(plan={"target": 0}, title=f"run {n}")
    in_hand, twice = set(), []
    observe = kind.observe

    async def watched(view):
        if view.ref in in_hand:
            twice.append(view.ref)
        in_hand.add(view.ref)
        await asyncio.sleep(0.01)
        in_hand.discard(view.ref)
        return await observe(view)

    kind.observe = watched

    async def both(threads):
        one = tender_of(desk.store, kind, do=threads, batch=3, holder="one")
        two = tender_of(desk.store, kind, do=threads, batch=3, holder="two")
        return await asyncio.gather(one.turn(10), two.turn(10))

    threads = StoreThreads()
    try:
        turns = asyncio.run(both(threads))
    finally:
        threads.close()
    assert sum(done.ticks for done in turns) == 2 * 10
    assert twice == []


def test_a_bug_that_leaves_the_engine_ends_no_other_runs_turn(runs, kind, world):
    broken = runs.create(kind="toy", plan={"target": 1})
    runs.create(kind="toy", plan={"target": 1})
    store = runs.handle()
    tender = tender_of(store, kind)
    whole = tender.engine.go_on

    async def go_on(view, kind, **given):
        if view.ref == broken:
            raise ValueError("a bug of the engine itself")
        return await whole(view, kind, **given)

    tender.engine.go_on = go_on
    asyncio.run(tender.turn(1.0))
    assert len(world.calls) == 1
    assert [run.status.is_over for run in runs.runs.values()] == [False, True]
    assert (runs.runs[broken].failures, runs.runs[broken].lease_until) == (1, None)


def test_a_kind_that_cannot_be_made_halts_its_runs_so_that_somebody_is_told(runs):
    ref = runs.create(kind="toy", plan={"target": 1})

    def cannot(name):
        raise OSError("its certificate cannot be read")

    tender = Tender(runs.handle(), cannot, names=lambda: {"toy"}, lease_s=15.0, do=inline, batch=50)
    for _ in range(3):
        runs.runs[ref].next_tick_at = runs.clock()
        asyncio.run(tender.turn(0.5))
    run = runs.runs[ref]
    assert (run.status, run.halt.code, run.lease_until) == (RunStatus.HALTED, "internal_error", None)
