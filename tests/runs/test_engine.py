"""One tick after the other: the order of a tick, the in-doubt rule, the fence, freezing, failures."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from portal.runs import rules
from portal.runs.engine import MOST_TICKS, Ended, Engine
from portal.runs.types import Decision, Entry, Halt, HaltRank, LeaseLost, RunStatus, Sample, StoreAway
from tests.runs.toy import ToyKind


class HandClock:
    """A monotonic clock that is the desk's: moving one moves the other."""

    def __init__(self, desk):
        self.desk = desk
        self.start = desk.now

    def monotonic(self):
        return (self.desk.now - self.start).total_seconds()


@pytest.fixture
def engine(memory):
    return Engine(memory.store, HandClock(memory), lease_s=15.0)


def tick(desk, engine, kind, ref=None, *, store=None, wait=True):
    """Make the next due tick, letting time pass until one is due; return how it ended."""
    store = store or engine.store
    if wait:
        desk.pass_time((store.next_due_s() or 0.0) + 0.001)
    view = store.claim(ref or next(iter(desk.runs.runs)), holder="w", lease_s=15.0)
    assert view is not None
    return asyncio.run(engine.tick(view, kind))


def run_to_end(desk, engine, kind, ref, limit=60):
    for _ in range(limit):
        if desk.runs.runs[ref].status.is_over:
            return
        tick(desk, engine, kind, ref)
    raise AssertionError(f"not over after {limit} ticks: {desk.row(ref)}")


def test_a_run_goes_from_start_to_end_with_one_change_per_tick(memory, engine, kind, world):
    ref = memory.create()
    run_to_end(memory, engine, kind, ref)
    assert world.calls == ["1", "2", "3"]
    assert memory.row(ref)["status"] == "completed"
    assert [outcome for _, _, outcome in memory.intents(ref)] == ["done"] * 3


def test_a_change_is_noted_then_checked_then_sent(memory, engine, kind, world):
    ref = memory.create()
    seen = []
    world.during_call = lambda: seen.append((memory.intents(ref), memory.journal(ref)[-1][1]))
    tick(memory, engine, kind)
    assert seen == [([("1", True, "")], "intent")]


# In doubt


@pytest.mark.parametrize(
    ("fault", "value"),
    [("lost_after", 1), ("lost_before", 0), ("bug_after", 1), ("bug_before", 0)],
)
def test_what_is_in_doubt_is_read_and_never_sent_again_blindly(memory, engine, kind, world, fault, value):
    ref = memory.create(plan={"target": 1})
    world.faults = [fault]
    assert tick(memory, engine, kind) is Ended.IN_DOUBT
    assert world.value == value
    sent_at = memory.runs.runs[ref].intents[0].sent_at
    while memory.intents(ref)[0][2] == "":
        tick(memory, engine, kind, ref)
        assert len(world.calls) == 1
    outcome = memory.runs.runs[ref].intents[0].outcome
    assert outcome.by_reading
    assert outcome.kind.value == ("done" if value else "not_applied")
    assert memory.now - sent_at >= timedelta(seconds=kind.call_deadline_s)
    assert kind.settled == [outcome]


def test_a_call_that_takes_too_long_is_in_doubt(memory, engine, kind, world):
    memory.create(plan={"target": 1})
    kind.call_deadline_s = 0.02
    world.faults = ["hang_after"]
    assert tick(memory, engine, kind) is Ended.IN_DOUBT


def test_looks_before_the_change_can_be_settled_prove_nothing(memory, engine, kind, world):
    ref = memory.create(plan={"target": 1})
    world.faults = ["lost_before"]
    tick(memory, engine, kind)
    memory.pass_time(1.1)
    assert tick(memory, engine, kind, wait=False) is Ended.IN_DOUBT
    assert memory.runs.runs[ref].intents[0].looks == ()
    # What was still under way arrives: the early look would have been wrong.
    world.value = 1
    while memory.intents(ref)[0][2] == "":
        tick(memory, engine, kind, ref)
    assert memory.intents(ref) == [("1", True, "done")]


def test_two_looks_must_agree_and_one_that_cannot_tell_proves_nothing(memory, engine, kind, world):
    ref = memory.create(plan={"target": 1})
    world.faults = ["lost_before"]
    tick(memory, engine, kind)
    memory.pass_time(kind.call_deadline_s + 1)
    intent = memory.runs.runs[ref].intents[0]
    looks = []
    for value, writable in [(0, True), (0, False), (1, True), (0, True), (0, False), (0, True)]:
        world.value, world.writable = value, writable
        tick(memory, engine, kind, ref)
        looks.append((intent.looks, intent.outcome.kind.value if intent.outcome else ""))
    assert [outcome for _, outcome in looks] == ["", "", "", "", "", "not_applied"]
    assert [seen for seen, _ in looks[:5]] == [(False,), (False,), (True,), (False,), (False,)]
    assert len(world.calls) == 1


def test_a_worker_that_died_in_mid_call_leaves_a_doubt_not_a_second_call(memory, engine, kind, world):
    ref = memory.create(plan={"target": 1})
    dead = memory.runs.handle()
    world.during_call = dead.die
    doomed = Engine(dead, HandClock(memory), lease_s=15.0)
    assert tick(memory, doomed, kind, store=dead) is Ended.LEASE_LOST
    world.during_call = None
    assert memory.intents(ref) == [("1", True, "")]
    died_at = memory.now
    run_to_end(memory, engine, kind, ref)
    assert world.calls == ["1"]
    assert memory.now - died_at >= timedelta(seconds=15 + kind.call_deadline_s)


def test_a_worker_that_died_before_sending_leaves_nothing_in_doubt(memory, engine, kind, world):
    ref = memory.create(plan={"target": 1})
    dead = memory.runs.handle()
    doomed = Engine(dead, HandClock(memory), lease_s=15.0)

    async def die(*_args):
        dead.die()
        raise LeaseLost("dead")

    doomed.check = die
    tick(memory, doomed, kind, store=dead)
    assert memory.intents(ref) == [("1", False, "")]
    assert tick(memory, engine, kind, ref) is Ended.NOT_SENT
    assert kind.settled[0].code == "not_sent"
    run_to_end(memory, engine, kind, ref)
    assert world.calls == ["1"]


def test_a_run_does_not_end_while_something_is_in_doubt(memory, engine, kind, world):
    ref = memory.create(plan={"target": 1}, resource_keys=["lb:1"])
    world.faults = ["lost_after"]
    tick(memory, engine, kind)
    memory.command(ref, "abort")
    tick(memory, engine, kind, wait=False)
    assert memory.row(ref)["status"] == "running"
    assert memory.claims() == {"lb:1"}
    run_to_end(memory, engine, kind, ref)
    assert memory.row(ref)["status"] == "aborted"
    assert memory.intents(ref) == [("1", True, "done")]
    assert memory.row(ref)["answers"] == [("abort", True)]


def test_a_pause_is_answered_while_something_is_in_doubt(memory, engine, kind, world):
    ref = memory.create(plan={"target": 1})
    world.faults = ["lost_after"]
    tick(memory, engine, kind)
    memory.command(ref, "pause")
    tick(memory, engine, kind, wait=False)
    assert memory.row(ref)["status"] == "paused"


def test_a_doubt_that_cannot_be_read_for_long_is_told(memory, engine, kind, world):
    ref = memory.create(plan={"target": 1})
    world.faults = ["lost_after"]
    tick(memory, engine, kind)
    world.writable = False
    memory.pass_time(200)
    tick(memory, engine, kind, ref)
    assert memory.row(ref)["status"] == "running"
    memory.pass_time(200)
    tick(memory, engine, kind, ref)
    assert memory.row(ref)["halt_code"] == "in_doubt"
    world.writable = True
    for _ in range(2):
        tick(memory, engine, kind, ref)
    assert memory.intents(ref) == [("1", True, "done")]
    assert memory.row(ref)["status"] == "halted"


def test_a_doubt_is_set_aside_only_where_no_look_can_tell_and_something_cannot_wait(
    memory, engine, kind, world
):
    ref = memory.create(plan={"target": 1})
    world.faults = ["lost_after"]
    tick(memory, engine, kind)
    world.writable = False
    memory.pass_time(60)
    tick(memory, engine, kind, ref)
    assert memory.intents(ref)[0][2] == ""
    decide = kind.decide
    kind.decide = lambda view, seen: replace(decide(view, seen), sets_aside="It cannot wait.")
    world.writable = True
    tick(memory, engine, kind, ref)
    assert memory.intents(ref)[0][2] == "", "one look told: the next one settles it"
    world.writable = False
    tick(memory, engine, kind, ref)
    outcome = memory.runs.runs[ref].intents[0].outcome
    assert (outcome.kind.value, outcome.code, outcome.by_reading) == ("not_applied", "set_aside", False)
    said = next(
        entry for entry in memory.runs.runs[ref].journal if entry.entry.detail.get("code") == "set_aside"
    )
    assert said.entry.says.startswith("Not known, and set aside")
    assert "not known yet" in said.entry.customer_says


def test_a_doubt_is_read_for_a_while_before_it_is_set_aside(memory, engine, kind, world):
    ref = memory.create(plan={"target": 1})
    world.faults = ["lost_after"]
    tick(memory, engine, kind)
    world.writable = False
    decide = kind.decide
    kind.decide = lambda view, seen: replace(decide(view, seen), sets_aside="It cannot wait.")
    memory.pass_time(kind.call_deadline_s + 5)
    tick(memory, engine, kind, ref)
    assert memory.intents(ref)[0][2] == ""


# Fence, freezing, commands


def test_a_frozen_worker_that_wakes_up_sends_nothing(memory, engine, kind, world):
    ref = memory.create(plan={"target": 1})
    frozen = memory.runs.handle()
    world.during_look = lambda: memory.pass_time(20)
    assert tick(memory, Engine(frozen, HandClock(memory)), kind, store=frozen) is Ended.LEASE_LOST
    world.during_look = None
    assert world.calls == []
    run_to_end(memory, engine, kind, ref)
    assert world.calls == ["1"]


def test_a_worker_that_wakes_up_after_another_took_over_sends_and_writes_nothing(memory, engine, kind, world):
    ref = memory.create(plan={"target": 1})
    frozen = memory.runs.handle()
    kind.clock = engine.clock

    def sleep_while_another_works():
        world.during_call = None
        memory.pass_time(20)
        other = threading.Thread(target=run_to_end, args=(memory, engine, kind, ref))
        other.start()
        other.join()

    world.during_call = sleep_while_another_works
    assert tick(memory, Engine(frozen, HandClock(memory)), kind, store=frozen) is Ended.LEASE_LOST
    assert memory.row(ref)["status"] == "completed"
    assert [outcome for *_, outcome in memory.intents(ref)] == ["not_applied", "done"]
    assert world.value == 1


def test_the_engine_gives_each_call_the_moment_after_which_it_must_not_be_sent(memory, engine, kind, world):
    memory.create(plan={"target": 1})
    seen = []
    act = kind.act

    async def look(view, action, *, not_after):
        seen.append(not_after - engine.clock.monotonic())
        return await act(view, action, not_after=not_after)

    kind.act = look
    tick(memory, engine, kind)
    assert seen == [pytest.approx(kind.call_deadline_s)]


def test_nothing_is_sent_on_a_look_that_is_too_old(memory, engine, kind, world):
    ref = memory.create(plan={"target": 1})
    world.during_look = lambda: memory.pass_time(kind.look_max_age_s)
    assert tick(memory, engine, kind) is Ended.NOT_SENT
    assert world.calls == []
    world.during_look = None
    run_to_end(memory, engine, kind, ref)


@pytest.mark.parametrize("stop", ["pause", "abort", "standstill"])
def test_after_a_stop_was_answered_nothing_new_is_sent(memory, engine, kind, world, stop):
    ref = memory.create()

    def during_look():
        world.during_look = None
        wire = memory.put_standstill("all") if stop == "standstill" else memory.command(ref, stop)
        assert not wire

    world.during_look = during_look
    assert tick(memory, engine, kind) is Ended.NOT_SENT
    for _ in range(4):
        if not memory.runs.runs[ref].status.is_over:
            tick(memory, engine, kind, ref)
    assert world.calls == []
    assert memory.intents(ref) == [("1", False, "not_applied")]


def test_putting_back_is_done_under_a_standstill_and_while_paused(memory, engine, kind, world):
    ref = memory.create()
    tick(memory, engine, kind)
    memory.put_standstill("all")
    memory.command(ref, "pause")
    tick(memory, engine, kind, ref)
    memory.command(ref, "put_back")
    tick(memory, engine, kind, ref)
    assert world.calls == ["1", "0"]
    assert world.value == 0


def test_a_paused_run_is_still_looked_at(memory, engine, kind, world):
    ref = memory.create()
    memory.command(ref, "pause")
    tick(memory, engine, kind)
    memory.runs.runs[ref].status = RunStatus.PAUSED
    looks = world.looks
    tick(memory, engine, kind, ref)
    assert world.looks == looks + 1
    assert world.calls == []


# Doubled and lost wake-ups


def test_a_doubled_wake_up_changes_nothing(memory, engine, kind, world):
    ref = memory.create(plan={"target": 1})
    memory.pass_time(0.1)
    first = memory.store.claim(ref, holder="a", lease_s=15)
    assert memory.runs.handle().claim(ref, holder="b", lease_s=15) is None
    asyncio.run(engine.tick(first, kind))
    run_to_end(memory, engine, kind, ref)
    assert world.calls == ["1"]


# What a provider says


def test_a_busy_provider_is_asked_again_no_sooner_than_it_said(memory, engine, kind, world):
    ref = memory.create(plan={"target": 1})
    world.faults = ["busy"]
    assert tick(memory, engine, kind) is Ended.ACTED
    assert memory.intents(ref) == [("1", True, "try_later")]
    assert memory.due_in_s(ref) == pytest.approx(7.0)
    run_to_end(memory, engine, kind, ref)
    assert world.calls == ["1", "1"]


@pytest.mark.parametrize("fault", ["refused", "failed"])
def test_a_no_is_settled_by_the_kind(memory, engine, kind, world, fault):
    ref = memory.create()
    world.faults = [fault]
    tick(memory, engine, kind)
    assert memory.intents(ref) == [("1", True, fault)]
    assert memory.row(ref)["status"] == "halted"


# Bugs


def test_the_third_bug_in_a_row_halts_the_run_and_each_waits_longer(memory, engine, kind, world):
    ref = memory.create()
    world.blind = ["bug"] * 3
    waits = []
    for _ in range(3):
        assert tick(memory, engine, kind, ref) is Ended.FAILED
        waits.append(memory.due_in_s(ref))
    assert waits == [1, 2, 4]
    row = memory.row(ref)
    assert (row["status"], row["halt_code"], row["failures"]) == ("halted", "internal_error", 3)
    assert world.calls == []


def test_a_bug_between_two_good_ticks_halts_nothing(memory, engine, kind, world):
    ref = memory.create(plan={"target": 1})
    world.blind = ["bug", "", "bug", "", "bug"]
    run_to_end(memory, engine, kind, ref)
    assert memory.row(ref)["status"] == "completed"


@pytest.mark.parametrize("fault", ["away", "hang"])
def test_a_provider_that_cannot_be_looked_at_three_times_halts_the_run(memory, engine, kind, world, fault):
    ref = memory.create()
    kind.observe_deadline_s = 0.02
    world.blind = [fault] * 3
    for _ in range(3):
        tick(memory, engine, kind, ref)
    assert memory.row(ref)["halt_code"] == "cannot_look"


def test_of_a_halted_run_that_nobody_can_watch_is_said_so_once(memory, engine, kind, world):
    ref = memory.create()
    world.faults = ["refused"]
    tick(memory, engine, kind)
    halted = memory.runs.runs[ref].halt
    world.blind = ["away"] * (rules.FAILURES_UNWATCHED + 2)
    for _ in range(rules.FAILURES_UNWATCHED - 1):
        tick(memory, engine, kind, ref)
    assert memory.runs.runs[ref].halt == halted
    lines = len(memory.journal(ref))
    tick(memory, engine, kind, ref)
    told = memory.runs.runs[ref].halt
    assert told.says.startswith(f"{halted.says}{rules.UNWATCHED}at ")
    assert "the provider could not be looked at 8 times in a row" in told.says
    assert (told.code, told.next_commands) == (halted.code, halted.next_commands)
    assert told.rank is HaltRank.DECIDE_TODAY
    tick(memory, engine, kind, ref)
    assert memory.runs.runs[ref].halt == told
    assert len(memory.journal(ref)) == lines + 1


@pytest.mark.parametrize("rank", HaltRank)
def test_what_fails_while_a_run_stands_never_makes_a_halt_less_urgent(rank):
    standing = Halt("drain_limit", rank, "It drains.", "Paused.", ("wait",))
    told = rules.failing_halt(8, "internal_error", standing, datetime(2026, 1, 1, tzinfo=UTC))
    assert told.rank is (rank if rank is HaltRank.SITE_IN_DANGER else HaltRank.DECIDE_TODAY)
    assert told.customer_says == "Paused."


def test_a_bug_in_mid_call_halts_at_once_and_is_read(memory, engine, kind, world):
    ref = memory.create(plan={"target": 1})
    world.faults = ["bug_after"]
    assert tick(memory, engine, kind) is Ended.IN_DOUBT
    assert memory.row(ref)["halt_code"] == "internal_error"
    memory.command(ref, "resume")
    run_to_end(memory, engine, kind, ref)
    assert world.calls == ["1"]


def test_a_halt_by_bugs_keeps_what_was_noted_with_the_intent(memory, engine, kind, world):
    ref = memory.create()

    def broken(*_args):
        raise RuntimeError("a bug in settle")

    kind.settle = broken
    world.faults = ["busy"]
    tick(memory, engine, kind)
    assert memory.row(ref)["progress"] == {"asked": 1}
    assert memory.intents(ref) == [("1", True, "")]


# Lease and store


def test_the_lease_is_renewed_while_a_look_takes_long(memory, kind, world):
    ref = memory.create(plan={"target": 1})
    engine = Engine(memory.store, HandClock(memory), lease_s=0.06)
    renewals = []
    renew = memory.store.renew
    memory.store.renew = lambda view, **given: renewals.append(1) or renew(view, **given)
    observe = kind.observe

    async def slowly(view):
        await asyncio.sleep(0.1)
        return await observe(view)

    kind.observe = slowly
    assert tick(memory, engine, kind, ref) is Ended.ACTED
    assert len(renewals) >= 2


def test_a_look_is_dropped_when_the_lease_is_lost_meanwhile(memory, kind, world):
    ref = memory.create()
    engine = Engine(memory.store, HandClock(memory), lease_s=0.06)

    def lost(view, **_given):
        raise LeaseLost("taken")

    memory.store.renew = lost
    world.blind = ["hang"]
    assert tick(memory, engine, kind, ref) is Ended.LEASE_LOST
    assert memory.row(ref)["failures"] == 0


def test_an_outcome_is_written_as_soon_as_the_store_is_back(memory, kind, world):
    ref = memory.create(plan={"target": 1})
    engine = Engine(memory.store, lease_s=15.0)
    settle = memory.store.settle
    away = [1, 1]

    def sometimes(*args, **given):
        if away:
            away.pop()
            raise StoreAway("restarting")
        return settle(*args, **given)

    memory.store.settle = sometimes
    assert tick(memory, engine, kind, ref) is Ended.ACTED
    assert memory.intents(ref) == [("1", True, "done")]


def test_a_store_that_goes_away_at_the_check_means_that_nothing_is_sent(memory, engine, kind, world):
    ref = memory.create(plan={"target": 1})
    check = memory.store.check

    def gone(*args, **given):
        check(*args, **given)
        raise StoreAway("restarting")

    memory.store.check = gone
    assert tick(memory, engine, kind, ref) is Ended.STORE_AWAY
    assert world.calls == []
    memory.store.check = check
    run_to_end(memory, engine, kind, ref)
    assert world.calls == ["1"]
    assert [outcome for *_, outcome in memory.intents(ref)] == ["not_applied", "done"]


def test_a_decision_that_cannot_be_written_halts_the_run(memory, engine, kind):
    ref = memory.create()

    def broken(*_args, **_given):
        raise ValueError("A string literal cannot contain NUL (0x00) characters.")

    engine.store.commit = engine.store.note_intent = broken
    for _ in range(3):
        assert tick(memory, engine, kind, ref) is Ended.FAILED
    row = memory.row(ref)
    assert (row["status"], row["halt_code"]) == ("halted", "internal_error")
    assert not row["has_lease"]


# Several looks of one worker


class Watcher(ToyKind):
    """Looks so often, soon after each other, and then lets the run rest. `says` are the looks with a line to journal."""

    def __init__(self, world, looks, says=()):
        super().__init__(world)
        self.looks, self.says, self.seen = looks, says, 0

    def decide(self, view, observation):
        if view.status is RunStatus.SCHEDULED:
            return Decision({}, status=RunStatus.RUNNING, look_again_s=0.0)
        self.seen += 1
        journal = (Entry("seen", f"Look {self.seen}."),) if self.seen in self.says else ()
        again_s = 0.0 if self.seen < self.looks else 60.0
        sample = Sample("looks", float(self.seen), view.now)
        return Decision({"seen": self.seen}, journal=journal, samples=(sample,), look_again_s=again_s)


def go_on(desk, engine, kind, ref, until=1e9):
    view = desk.store.claim(ref, holder="w", lease_s=15.0)
    return asyncio.run(engine.go_on(view, kind, holder="w", until=until))


def writes(store):
    """Count what is written from now on."""
    made = []
    for name in ("commit", "settle", "note_intent", "claim"):
        whole = getattr(store, name)

        def counted(*args, _whole=whole, _name=name, **given):
            made.append(_name)
            return _whole(*args, **given)

        setattr(store, name, counted)
    return made


def test_looks_that_only_show_how_things_go_are_written_together(memory, engine, world):
    ref = memory.create()
    kind = Watcher(world, looks=5)
    made = writes(memory.store)
    assert go_on(memory, engine, kind, ref) == 6
    assert made == ["claim", "commit", "claim", "commit"]
    assert memory.row(ref)["progress"] == {"seen": 5}
    assert [sample.value for sample in memory.runs.runs[ref].samples] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert memory.store.next_due_s() == pytest.approx(60, abs=1)


def said(memory, ref):
    return [
        line.entry.says for line in memory.runs.runs[ref].journal if line.entry.kind in {"seen", "intent"}
    ]


def test_what_looks_say_is_written_with_the_next_write_and_in_order(memory, engine, world):
    ref = memory.create()
    kind = Watcher(world, looks=5, says={2, 3, 5})
    made = writes(memory.store)
    go_on(memory, engine, kind, ref)
    assert made == ["claim", "commit", "claim", "commit"]
    assert said(memory, ref) == ["Look 2.", "Look 3.", "Look 5."]
    assert [sample.value for sample in memory.runs.runs[ref].samples] == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_what_looks_said_is_written_before_the_change_that_rests_on_it_is_sent(memory, engine, world):
    ref = memory.create(plan={"target": 1})
    kind = Watcher(world, looks=9, says={1, 2})
    looked = kind.decide
    sent_after = []

    def then_acts(view, observation):
        if kind.seen < 2:
            return looked(view, observation)
        return ToyKind.decide(kind, replace(view, progress={}), observation)

    async def act(view, action, *, not_after):
        sent_after.extend(said(memory, ref))
        return await ToyKind.act(kind, view, action, not_after=not_after)

    kind.decide, kind.act = then_acts, act
    made = writes(memory.store)
    go_on(memory, engine, kind, ref)
    assert made[:4] == ["claim", "commit", "claim", "note_intent"]
    assert sent_after[:2] == ["Look 1.", "Look 2."]
    assert len(sent_after) == 3  # and the intent itself, last


def test_what_looks_said_is_not_lost_where_a_run_is_let_go(memory, engine, world):
    ref = memory.create()
    kind = Watcher(world, looks=9, says={2})
    whole = kind.observe

    async def slowly(view):
        memory.pass_time(0.02)
        return await whole(view)

    kind.observe = slowly
    go_on(memory, engine, kind, ref, until=engine.clock.monotonic() + 0.07)
    assert said(memory, ref) == ["Look 2."]
    assert memory.row(ref)["progress"] == {"seen": kind.seen}


def test_what_is_seen_is_not_kept_back_for_long(memory, engine, world):
    ref = memory.create()
    kind = Watcher(world, looks=30)
    whole = kind.observe

    async def slowly(view):
        memory.pass_time(0.1)
        return await whole(view)

    kind.observe = slowly
    made = writes(memory.store)
    go_on(memory, engine, kind, ref)
    # Each write holds three or four looks, and commands and facts are read anew every second.
    assert 7 <= made.count("commit") <= 12
    assert 3 <= made.count("claim") <= 5


def test_a_worker_that_dies_with_looks_unwritten_has_looked_in_vain(memory, engine, world):
    ref = memory.create()
    kind = Watcher(world, looks=9, says={2})
    whole = kind.observe

    async def mortal(view):
        if kind.seen == 3:
            raise asyncio.CancelledError
        return await whole(view)

    kind.observe = mortal
    with pytest.raises(asyncio.CancelledError):
        go_on(memory, engine, kind, ref)
    assert memory.row(ref)["progress"] == {}
    assert said(memory, ref) == []
    memory.pass_time(15.1)
    kind.seen, kind.observe = 0, whole
    go_on(memory, engine, kind, ref)
    assert said(memory, ref) == ["Look 2."]
    assert memory.row(ref)["progress"] == {"seen": 9}


def test_a_command_given_between_two_looks_is_answered_at_the_next_write(memory, engine, kind, world):
    ref = memory.create(plan={"target": 50})
    world.during_call = lambda: len(world.calls) == 3 and memory.command(ref, "pause")
    go_on(memory, engine, kind, ref)
    assert world.calls == ["1", "2", "3"]
    assert memory.row(ref)["status"] == "paused"


def test_a_run_is_given_back_where_the_turn_ends_although_it_wants_its_next_look_soon(memory, engine, world):
    ref = memory.create()
    kind = Watcher(world, looks=10**6)
    ticks = go_on(memory, engine, kind, ref)
    assert 2 < ticks <= MOST_TICKS
    assert memory.store.next_due_s() == 0.0
    assert memory.row(ref)["progress"] == {"seen": kind.seen}


def test_a_lease_lost_between_two_looks_ends_them_and_writes_nothing(memory, engine, world):
    ref = memory.create()
    kind = Watcher(world, looks=9)
    whole = kind.observe

    async def overtaken(view):
        if kind.seen == 3:
            memory.pass_time(16)
            assert memory.runs.handle().claim(ref, holder="other", lease_s=15.0) is not None
        return await whole(view)

    kind.observe = overtaken
    go_on(memory, engine, kind, ref)
    assert memory.row(ref)["progress"] == {}


def test_a_store_that_goes_away_between_two_looks_ends_them(memory, engine, world):
    ref = memory.create()
    kind = Watcher(world, looks=9)
    claim = memory.store.claim
    views = [claim(ref, holder="w", lease_s=15.0)]

    def away(*args, **given):
        raise StoreAway("restarting")

    memory.store.claim = away
    assert asyncio.run(engine.go_on(views[0], kind, holder="w", until=1e9)) == 1
    memory.store.claim = claim
    assert go_on(memory, engine, kind, ref) == 9


# What time it is


def test_a_claim_that_took_long_is_given_back_unused_since_nobody_knows_its_time(memory, engine, world):
    ref = memory.create()
    kind = Watcher(world, looks=3)
    asked_at = engine.clock.monotonic()
    view = memory.store.claim(ref, holder="w", lease_s=15.0)
    memory.pass_time(6.0)
    ticks = asyncio.run(engine.go_on(view, kind, holder="w", until=1e9, claimed_at=asked_at))
    assert (ticks, kind.seen) == (0, 0)
    assert memory.store.next_due_s() == 0.0
    assert go_on(memory, engine, kind, ref) == 4


@pytest.mark.parametrize(("frozen_s", "is_claimed_anew"), [(3.0, False), (6.0, True)])
def test_a_worker_that_froze_after_a_write_is_not_behind_the_time(
    memory, engine, world, frozen_s, is_claimed_anew
):
    """Else what begins at its next look would seem to have begun before, and a watch to have lasted longer."""
    ref = memory.create()
    kind = Watcher(world, looks=9)
    seen_at, frozen_at = [], []
    observe, commit = kind.observe, memory.store.commit

    async def looking(view):
        seen_at.append((view.now, memory.now))
        memory.pass_time(0.2)
        return await observe(view)

    def then_freezes(view, decision, **given):
        kept = commit(view, decision, **given)
        if kept is not None and not frozen_at:
            frozen_at.append(len(seen_at))
            memory.pass_time(frozen_s)
        return kept

    kind.observe, memory.store.commit = looking, then_freezes
    go_on(memory, engine, kind, ref)
    assert (len(seen_at) == frozen_at[0]) is is_claimed_anew
    if is_claimed_anew:
        go_on(memory, engine, kind, ref)
    assert len(seen_at) == 10
    assert all(now >= true for now, true in seen_at)


# The next look, begun while what leads to it is written


class InThreads:
    """A `do` that gives the loop a turn around each write, as threads do; `during` is called between the two halves."""

    def __init__(self):
        self.during = None
        self.writes = []

    async def __call__(self, function, /, *args, **given):
        self.writes.append(function.__name__)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if self.during is not None:
            self.during(function.__name__)
        found = function(*args, **given)
        await asyncio.sleep(0)
        return found


@pytest.fixture
def beside(memory):
    """Return an engine whose writes take turns with its looks."""
    return Engine(memory.store, HandClock(memory), lease_s=15.0, do=InThreads())


def looks_and_writes(kind, engine):
    """Note in one list, as it happens, when looks begin and end and when writes do."""
    order, observe = [], kind.observe
    engine.do.during = lambda name: order.append(name)

    async def looking(view):
        order.append("look")
        seen = await observe(view)
        order.append("seen")
        return seen

    kind.observe = looking
    return order


def test_the_next_look_begins_while_the_outcome_is_written_and_is_judged_after_it(
    memory, beside, kind, world
):
    ref = memory.create(plan={"target": 2})
    order, decide = looks_and_writes(kind, beside), kind.decide
    kind.decide = lambda view, seen: (order.append("decided"), decide(view, seen))[1]
    go_on(memory, beside, kind, ref)
    assert world.calls == ["1", "2"]
    first = order.index("settle")
    assert order[first - 2 : first + 2] == ["look", "seen", "settle", "decided"]
    # Each look is made once, and each is judged.
    assert order.count("look") == order.count("decided")


def test_a_look_begun_before_a_command_was_seen_is_dropped(memory, beside, kind, world):
    ref = memory.create(plan={"target": 9})
    judged, decide = [], kind.decide

    def deciding(view, seen):
        judged.append(([command.name for command in view.commands], seen["value"]))
        return decide(view, seen)

    def commanded(name):
        if name == "settle" and len(world.calls) == 2:
            memory.command(ref, "pause")

    kind.decide, beside.do.during = deciding, commanded
    go_on(memory, beside, kind, ref)
    assert world.calls == ["1", "2"]
    assert judged[-1] == (["pause"], 2)
    assert memory.row(ref)["status"] == "paused"
    # One look more was made than was judged: that which was under way.
    assert world.looks == len(judged) + 1


def test_a_look_under_way_ends_with_the_lease(memory, beside, kind, world):
    ref = memory.create(plan={"target": 9})
    ended, observe = [], kind.observe

    async def slowly(view):
        try:
            if world.calls:
                await asyncio.sleep(3600)
            return await observe(view)
        finally:
            ended.append(view.progress)

    def overtaken(name):
        if name == "settle":
            memory.pass_time(16)
            assert memory.runs.handle().claim(ref, holder="other", lease_s=15.0) is not None

    kind.observe, beside.do.during = slowly, overtaken
    go_on(memory, beside, kind, ref)
    assert world.calls == ["1"]
    # The one of the first tick, that of the change, and the one that was cut off.
    assert len(ended) == world.looks + 1
    assert memory.row(ref)["progress"].get("asked") == 1


@pytest.mark.parametrize("fault", ["bug", "away", "hang"])
def test_a_look_ahead_that_fails_is_one_that_could_not_look(memory, beside, kind, world, fault):
    kind.observe_deadline_s = 0.05
    ref = memory.create(plan={"target": 3})

    def fails_once():
        if len(world.calls) == 1 and world.looks < 5:
            world.blind = [fault]
            world.during_look = None

    world.during_look = fails_once
    go_on(memory, beside, kind, ref)
    assert world.calls == ["1"]
    assert memory.row(ref)["failures"] == 1
    run_to_end(memory, Engine(memory.store, HandClock(memory), lease_s=15.0), kind, ref)
    assert world.calls == ["1", "2", "3"]


def test_a_look_that_began_after_the_worker_froze_is_not_behind_the_time(memory, beside, kind, world):
    ref = memory.create(plan={"target": 3})
    seen_at, observe = [], kind.observe

    async def looking(view):
        seen_at.append((view.now, memory.now))
        return await observe(view)

    # The process stands still between its asking for the look and the look's first step.
    whole, kind.observe = beside._look_ahead, looking

    def then_freezes(tick, of, decision):
        whole(tick, of, decision)
        memory.pass_time(2.0)

    beside._look_ahead = then_freezes
    go_on(memory, beside, kind, ref)
    assert len(seen_at) >= 4
    assert all(now >= true for now, true in seen_at)
