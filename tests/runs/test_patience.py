"""Where workers are behind, runs of which something is out come first: a look that comes late proves nothing."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest

from portal.runs import registry, rules, selectors
from portal.runs.engine import Engine, inline
from portal.runs.models import Run
from portal.runs.services import create_run
from portal.runs.types import (
    Action,
    Answer,
    Decision,
    Doubt,
    Halt,
    HaltRank,
    Outcome,
    OutcomeKind,
    RunStatus,
)
from tests.runs.desks import PgDesk
from tests.runs.toy import ToyKind, ToyWorld

ADD = Action("add", "1", "Count to 1.", {"by": 1})
LIMIT_S = 30.0


def looked_at(desk, ref, *, is_patient, look_again_s=0.0):
    view = desk.store.claim(ref, holder="w", lease_s=15)
    desk.store.commit(view, Decision({}, is_patient=is_patient, look_again_s=look_again_s))
    return ref


def taken(desk, limit):
    return {view.ref for view in desk.store.claim_due(holder="w", limit=limit, lease_s=15)}


def test_one_of_which_nothing_is_out_is_taken_after_all_others(desk):
    waits = looked_at(desk, desk.create(), is_patient=True)
    desk.pass_time(1)
    first = looked_at(desk, desk.create(), is_patient=False)
    desk.pass_time(1)
    second = looked_at(desk, desk.create(), is_patient=False)
    assert taken(desk, 1) == {first}
    assert taken(desk, 2) == {second, waits}


def test_of_those_that_wait_the_one_that_waited_longest_is_taken_first(desk):
    waits = []
    for _ in range(3):
        waits.append(looked_at(desk, desk.create(), is_patient=True))
        desk.pass_time(1)
    assert [taken(desk, 1) for _ in range(3)] == [{ref} for ref in waits]


def test_one_that_was_taken_has_its_turn_before_it_waits_again(desk):
    ref = looked_at(desk, desk.create(), is_patient=True)
    desk.pass_time(1)
    looked_at(desk, ref, is_patient=True)
    desk.pass_time(1)
    other = looked_at(desk, desk.create(), is_patient=False)
    assert taken(desk, 1) == {ref}  # what it begins may need a second look
    desk.pass_time(rules.TURN_S + 16)
    looked_at(desk, ref, is_patient=True)
    looked_at(desk, other, is_patient=False)
    assert taken(desk, 1) == {other}


def test_one_that_people_said_something_of_does_not_wait(desk):
    looked_at(desk, desk.create(), is_patient=True)
    ref = looked_at(desk, desk.create(), is_patient=True)
    desk.pass_time(1)
    desk.command(ref, "pause")
    assert taken(desk, 1) == {ref}


def test_what_waited_for_its_turn_was_not_late(desk):
    ref = looked_at(desk, desk.create(), is_patient=True)
    desk.pass_time(60)
    assert desk.store.claim(ref, holder="w", lease_s=15).late_s == 0.0


def test_one_whose_worker_died_with_it_does_not_wait(desk):
    waits = looked_at(desk, desk.create(), is_patient=True)
    desk.pass_time(1)
    ref = looked_at(desk, desk.create(), is_patient=True)
    desk.store.claim(ref, holder="dies", lease_s=15)
    desk.pass_time(16)
    assert [taken(desk, 1), taken(desk, 1)] == [{ref}, {waits}]


def test_a_claim_says_how_late_it_is(desk):
    ref = looked_at(desk, desk.create(), is_patient=False, look_again_s=2.0)
    desk.pass_time(7)
    assert desk.store.claim(ref, holder="w", lease_s=15).late_s == pytest.approx(5.0, abs=1.0)


def test_what_a_dead_worker_kept_is_not_the_lateness_of_who_takes_over(desk):
    """Forty runs whose worker was killed would hold up all that is to begin elsewhere."""
    ref = looked_at(desk, desk.create(), is_patient=False, look_again_s=2.0)
    desk.pass_time(3)
    desk.store.claim(ref, holder="dies", lease_s=15)
    desk.pass_time(18)
    assert desk.store.claim(ref, holder="w", lease_s=15).late_s == pytest.approx(3.0, abs=1.0)


def test_whoever_begins_something_has_no_turn_any_more(desk):
    ref = looked_at(desk, desk.create(), is_patient=True)
    view = desk.store.claim(ref, holder="w", lease_s=15)
    assert view.has_turn
    desk.store.commit(view, Decision({}, is_patient=False, look_again_s=0.0))
    assert not desk.store.claim(ref, holder="w", lease_s=15).has_turn


def test_while_it_has_its_turn_it_does_not_wait(desk):
    ref = looked_at(desk, desk.create(), is_patient=True)
    looked_at(desk, ref, is_patient=True)
    assert desk.store.claim(ref, holder="w", lease_s=15).has_turn
    desk.pass_time(rules.TURN_S + 1)
    assert not looked_again(desk, ref).has_turn


def looked_again(desk, ref):
    view = desk.store.claim(ref, holder="w", lease_s=15)
    assert view is not None
    return view


def comes_first(desk, ref):
    """Whether it is taken before one that waits for longer."""
    waits = looked_at(desk, desk.create(), is_patient=True)
    desk.pass_time(90)
    first = taken(desk, 1)
    assert first <= {ref, waits}
    return first == {ref}


def noted(desk, ref):
    view = desk.store.claim(ref, holder="w", lease_s=15)
    decision = Decision({}, action=ADD, status=RunStatus.RUNNING, is_patient=True)
    intent = desk.store.note_intent(view, decision, deadline_s=3.0, lease_s=8.0)
    assert desk.store.check(view, intent, deadline_s=3.0).ok
    return view, intent


def test_one_of_which_something_was_sent_does_not_wait_whatever_its_kind_says(desk):
    ref = looked_at(desk, desk.create(), is_patient=True)
    noted(desk, ref)
    assert comes_first(desk, ref)


def test_one_that_is_in_doubt_does_not_wait(desk):
    ref = looked_at(desk, desk.create(), is_patient=True)
    view, intent = noted(desk, ref)
    lost = Outcome(OutcomeKind.IN_DOUBT, "No answer came.", "timed_out")
    desk.store.settle(view, intent, lost, Decision({}, look_again_s=0.0))
    assert comes_first(desk, ref)


def test_a_doubt_that_is_read_does_not_wait(desk):
    ref = looked_at(desk, desk.create(), is_patient=True)
    view, intent = noted(desk, ref)
    lost = Outcome(OutcomeKind.IN_DOUBT, "No answer came.", "timed_out")
    desk.store.settle(view, intent, lost, Decision({}, look_again_s=0.0))
    looked_at(desk, ref, is_patient=True)
    assert comes_first(desk, ref)


def test_one_that_halts_does_not_wait(desk):
    ref = looked_at(desk, desk.create(), is_patient=True)
    halt = Halt("odd", HaltRank.SAFE_WAITING, "Odd.", "Paused for safety.", ())
    desk.store.halt(desk.store.claim(ref, holder="w", lease_s=15), halt, look_again_s=0.0)
    assert comes_first(desk, ref)


def test_a_command_that_came_in_since_the_claim_does_not_wait(desk):
    ref = desk.create()
    view = desk.store.claim(ref, holder="w", lease_s=15)
    desk.command(ref, "pause")
    desk.store.commit(view, Decision({}, is_patient=True, look_again_s=0.0))
    assert comes_first(desk, ref)


@pytest.fixture
def view(memory):
    return memory.store.claim(memory.create(), holder="w", lease_s=15)


def test_only_what_can_wait_waits(memory, view):
    patient = Decision({}, is_patient=True)
    halt = Halt("odd", HaltRank.SAFE_WAITING, "Odd.", "Paused for safety.", ())
    assert rules.is_patient(view, patient)
    assert not rules.is_patient(replace(view, has_turn=True), patient)
    assert not rules.is_patient(view, Decision({}))
    assert not rules.is_patient(view, replace(patient, action=ADD))
    assert not rules.is_patient(view, replace(patient, halt=halt))
    assert not rules.is_patient(replace(view, doubt=Doubt(1, ADD, view.now, view.now, ())), patient)


def test_a_turn_ends_and_a_clock_that_was_set_back_ends_it_too(memory, view):
    assert not rules.has_turn(None, view.now)
    assert rules.has_turn(view.now - timedelta(seconds=rules.TURN_S - 1), view.now)
    assert not rules.has_turn(view.now - timedelta(seconds=rules.TURN_S), view.now)
    assert not rules.has_turn(view.now + timedelta(seconds=1), view.now)


def test_one_whose_person_waits_for_an_answer_does_not_wait(memory):
    ref = memory.create()
    memory.command(ref, "pause")
    view = memory.store.claim(ref, holder="w", lease_s=15)
    patient = Decision({}, is_patient=True)
    assert not rules.is_patient(view, patient)
    answers = (Answer(view.commands[0].id, True, "Paused."),)
    assert rules.is_patient(view, replace(patient, answers=answers))


class Idler(ToyKind):
    """Wants its next look at once, again and again, with nothing out."""

    def decide(self, view, observation):
        if view.status is RunStatus.SCHEDULED:
            return Decision({}, status=RunStatus.RUNNING, look_again_s=0.0)
        return Decision({}, look_again_s=0.0, is_patient=True)


@pytest.fixture
def engine(memory):
    return Engine(memory.store, lease_s=15.0, do=inline)


def ticks_of_one_claim(memory, engine, late_s):
    """Return how many ticks a worker makes of a run of which nothing is out, after it took another one so late."""
    other = looked_at(memory, memory.create(), is_patient=False)
    memory.pass_time(late_s)
    asyncio.run(engine.tick(memory.store.claim(other, holder="w", lease_s=15), ToyKind(ToyWorld())))
    ref = memory.create()
    memory.store.commit(
        memory.store.claim(ref, holder="w", lease_s=15),
        Decision({}, status=RunStatus.RUNNING, look_again_s=0.0),
    )
    view = memory.store.claim(ref, holder="w", lease_s=15)
    ticks = asyncio.run(engine.go_on(view, Idler(ToyWorld()), holder="w", until=1e9))
    assert not memory.row(ref)["has_lease"]
    assert memory.runs.runs[ref].next_tick_at == memory.now  # it wants its next look as much as before
    return ticks


def test_a_worker_that_is_behind_keeps_none_of_which_nothing_is_out(memory, engine):
    assert ticks_of_one_claim(memory, engine, late_s=5.0) == 1


def test_a_worker_that_is_in_time_goes_on_with_it(memory, engine):
    assert ticks_of_one_claim(memory, engine, late_s=0.2) > 5


class Asker(Idler):
    """Notes whether it was told that the worker is behind."""

    told = None

    def decide(self, view, observation):
        self.told = view.is_behind
        return super().decide(view, observation)


@pytest.mark.parametrize(
    ("late_s", "is_patient", "is_behind"), [(5.0, False, True), (0.1, False, False), (5.0, True, False)]
)
def test_a_kind_is_told_that_the_worker_is_behind_unless_the_run_has_its_turn(
    memory, engine, late_s, is_patient, is_behind
):
    ref = looked_at(memory, memory.create(), is_patient=is_patient)
    memory.pass_time(late_s)
    kind = Asker(ToyWorld())
    asyncio.run(engine.tick(memory.store.claim(ref, holder="w", lease_s=15), kind))
    assert kind.told is is_behind


# What is told of it


@pytest.fixture
def pg(transactional_db):
    yield PgDesk()
    registry.forget_kind("toy")
    registry.forget_kind("another")


def test_one_that_waits_for_its_turn_is_not_overdue_while_others_are_worked_on(pg):
    ref = looked_at(pg, pg.create(), is_patient=True)
    other = pg.create()
    pg.pass_time(LIMIT_S + 5)
    run = Run.objects.get(ref=ref)
    assert selectors.asleep().runs_overdue == 2
    assert selectors.kept_waiting(run, selectors.database_now()) == (True, False)
    assert selectors.put_off_since(selectors.database_now()) is None
    registry.register_kind("another", lambda: ToyKind(ToyWorld()))
    create_run(
        account=pg.account,
        kind="another",
        plan_ref=uuid.uuid4(),
        plan={},
        digest="d" * 64,
        resource_keys=(),
        scopes=(),
        title="Another",
        actor=pg.user,
    )
    # Who looks at another kind may know nothing of this one.
    assert selectors.kept_waiting(run, selectors.database_now()) == (True, False)
    view = pg.store.claim(other, holder="w", lease_s=15)
    now = selectors.database_now()
    assert selectors.asleep() is None
    assert selectors.is_quiet()
    assert selectors.kept_waiting(run, now) == (False, True)
    assert (now - selectors.put_off_since(now)).total_seconds() > LIMIT_S
    pg.store.commit(view, Decision({}, look_again_s=0.0))
    pg.pass_time(16)  # between two turns of a worker, or it is dead
    assert selectors.asleep() is None
    pg.pass_time(LIMIT_S)
    assert selectors.asleep().runs_overdue == 3
    assert selectors.kept_waiting(run, selectors.database_now()) == (True, False)


def test_the_metrics_say_for_how_long_one_waits(pg):
    from prometheus_client import generate_latest

    from portal.runs import gauges

    gauges.install()
    looked_at(pg, pg.create(), is_patient=True)
    other = pg.create()
    pg.pass_time(90)
    pg.store.claim(other, holder="w", lease_s=15)
    figures = dict(
        line.split() for line in generate_latest().decode().splitlines() if line.startswith("runs_")
        and "{" not in line
    )  # fmt: skip
    assert float(figures["runs_put_off_seconds"]) > 80
    assert float(figures["runs_overdue"]) == 0
