"""What only PostgreSQL can show: races, triggers, the kind's hooks in one transaction, a lost connection."""

from __future__ import annotations

import threading
import time
import uuid

import pytest
from django.db import OperationalError, ProgrammingError, connection, connections, transaction

from portal.errors import Refused
from portal.runs import registry, services
from portal.runs.models import Intent, JournalEntry, Run, Standstill
from portal.runs.store_pg import PgStore
from portal.runs.types import Action, Decision, RunStatus, StoreAway
from tests.runs.desks import PgDesk, people

ADD = Action("add", "1", "Count to 1.", {"by": 1})


@pytest.fixture
def desk(transactional_db):
    yield PgDesk()
    registry.forget_kind("toy")


def in_thread(function, *args, **kwargs):
    """Start `function` in a thread with a connection of its own; return (thread, box for its result)."""
    box = {}

    def call():
        try:
            box["result"] = function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  (the test asks for it)
            box["error"] = error
        finally:
            connections.close_all()

    thread = threading.Thread(target=call)
    thread.start()
    return thread, box


def waits_for_a_lock():
    """Return whether some backend waits for a lock now."""
    with connection.cursor() as cursor:
        # pg_stat_activity would be the same for the whole of a transaction.
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return cursor.fetchone()[0] > 0


def until_waiting(thread):
    give_up_at = time.monotonic() + 10
    while not waits_for_a_lock():
        assert time.monotonic() < give_up_at, "it never waited for the row"
        assert thread.is_alive(), "it did not wait for the row"


@pytest.mark.parametrize("stop", ["command", "standstill"])
def test_a_check_that_waits_for_a_stop_in_the_writing_refuses(desk, stop):
    ref = desk.create()
    view = desk.store.claim(ref, holder="w", lease_s=15)
    intent = desk.store.note_intent(view, Decision({}, action=ADD), deadline_s=3, lease_s=8)
    with transaction.atomic():
        # Not committed yet: the check's own snapshot cannot know it.
        wire = desk.put_standstill("all") if stop == "standstill" else desk.command(ref, "pause")
        assert not wire
        thread, box = in_thread(desk.store.check, view, intent, deadline_s=3)
        until_waiting(thread)
    thread.join(10)
    assert box["result"].ok is False
    assert Intent.objects.get(pk=intent).sent_at is None


@pytest.mark.parametrize("stop", ["command", "standstill"])
def test_a_stop_that_waits_for_a_check_names_what_it_sent(desk, stop):
    ref = desk.create()
    view = desk.store.claim(ref, holder="w", lease_s=15)
    intent = desk.store.note_intent(view, Decision({}, action=ADD), deadline_s=3, lease_s=8)
    give = desk.put_standstill if stop == "standstill" else desk.command
    args = ("all",) if stop == "standstill" else (ref, "pause")
    with transaction.atomic():
        assert desk.store.check(view, intent, deadline_s=3).ok
        thread, box = in_thread(give, *args)
        until_waiting(thread)
    thread.join(10)
    assert box["result"] == (["Count to 1."] if stop == "standstill" else "Count to 1.")


def test_a_standstill_waits_for_runs_that_are_being_created(desk):
    with transaction.atomic():
        ref = desk.create()
        thread, box = in_thread(desk.put_standstill, "all")
        until_waiting(thread)
    thread.join(10)
    assert "error" not in box
    assert Run.objects.get(ref=ref).command_seq == 1


def test_a_row_that_somebody_has_locked_is_passed_over(desk):
    ref, other = desk.create(), desk.create()
    with transaction.atomic():
        Run.objects.select_for_update().get(ref=ref)
        thread, box = in_thread(desk.store.claim_due, holder="w2", limit=5, lease_s=15)
        thread.join(10)
    assert [view.ref for view in box["result"]] == [other]


def test_of_two_runs_that_want_the_same_servers_at_once_one_is_made(desk):
    with transaction.atomic():
        desk.create(resource_keys=["server:2", "server:1"], title="First")
        thread, box = in_thread(desk.create, resource_keys=["server:1", "server:2"])
        until_waiting(thread)
    thread.join(10)
    assert isinstance(box["error"], Refused)
    assert "First" in box["error"].says
    assert Run.objects.count() == 1


def test_a_run_of_another_customer_is_not_named(desk):
    desk.create(resource_keys=["server:1"], title="Secret sale")
    desk.account, desk.user = people()
    with pytest.raises(Refused) as refusal:
        desk.create(resource_keys=["server:1"])
    assert "Secret" not in refusal.value.says


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE runs_journalentry SET says = 'other'",
        "DELETE FROM runs_journalentry",
        "TRUNCATE runs_journalentry",
    ],
)
def test_the_database_refuses_to_change_a_journal(desk, change):
    desk.create()
    with pytest.raises(Exception, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)
    assert JournalEntry.objects.count() == 1


@pytest.mark.parametrize("field", ["plan", "digest", "plan_ref", "kind", "is_rehearsal"])
def test_the_database_refuses_to_change_what_was_approved(desk, field):
    ref = desk.create()
    other = {"plan": {"target": 9}, "plan_ref": uuid.uuid4(), "is_rehearsal": True}.get(field, "other")
    with pytest.raises(Exception, match="frozen"), transaction.atomic():
        Run.objects.filter(ref=ref).update(**{field: other})


def test_the_kinds_own_tables_are_written_with_the_decision_or_not_at_all(desk):
    ref = desk.create()
    registry.forget_kind("toy")

    def project(run, decision, was):
        assert run.status == "running"
        raise RuntimeError("the projection broke")

    registry.register_kind("toy", object, project=project)
    view = desk.store.claim(ref, holder="w", lease_s=15)
    with pytest.raises(RuntimeError):
        desk.store.commit(view, Decision({"n": 1}, status=RunStatus.RUNNING))
    assert desk.row(ref)["status"] == "scheduled"
    assert [kind for _, kind, _, _ in desk.journal(ref)] == ["created"]


def test_facts_that_break_cost_their_own_run_its_tick_and_no_other(desk):
    bad, good = desk.create(), desk.create()
    registry.forget_kind("toy")

    def facts(run):
        if str(run.ref) == bad:
            Run.objects.raw("SELECT nonsense")[0]
        return {"fine": True}

    registry.register_kind("toy", object, facts=facts)
    for expected in (1, 2, 3):
        views = desk.store.claim_due(holder="w", limit=5, lease_s=15)
        for view in views:
            desk.store.release(view, look_again_s=0)
        assert [view.ref for view in views] == [good]
        assert desk.row(bad)["failures"] == expected
        desk.pass_time(10)
    row = desk.row(bad)
    assert (row["status"], row["halt_code"], row["has_lease"]) == ("halted", "internal_error", False)


@pytest.mark.parametrize("broken", ["view", "failure"])
def test_a_run_that_cannot_even_be_failed_is_put_off_and_no_other_waits_for_it(desk, monkeypatch, broken):
    bad, good = desk.create(), desk.create()

    def for_bad(whole):
        def call(self, run, *given):
            if str(run.ref) == bad:
                Run.objects.raw("SELECT nonsense")[0]
            return whole(self, run, *given)

        return call

    monkeypatch.setattr(PgStore, "_view", for_bad(PgStore._view))
    if broken == "failure":
        monkeypatch.setattr(PgStore, "_fail", for_bad(PgStore._fail))
    for expected in (1, 2, 3):
        views = desk.store.claim_due(holder="w", limit=5, lease_s=15)
        for view in views:
            desk.store.release(view, look_again_s=0)
        assert [view.ref for view in views] == [good]
        row = desk.row(bad)
        assert (row["failures"], row["has_lease"]) == (expected, False)
        assert desk.due_in_s(bad) > 0
        desk.pass_time(10)


def test_a_standstill_that_is_put_while_it_is_being_lifted_stands(desk):
    ref = desk.create(scopes=("all",))
    desk.put_standstill("all")
    with transaction.atomic():
        desk.lift_standstill("all")
        # Not committed yet: whoever puts it now must not be told that the old one stands.
        thread, box = in_thread(desk.put_standstill, "all")
        until_waiting(thread)
    thread.join(10)
    assert "error" not in box
    assert Standstill.objects.filter(scope="all", lifted_at=None).exists()
    kinds = [kind for _, kind, _, _ in desk.journal(ref)]
    assert kinds[-3:] == ["standstill", "standstill_lifted", "standstill"]


def test_a_lost_connection_is_no_bug_of_the_run(desk, monkeypatch):
    ref = desk.create()
    view = desk.store.claim(ref, holder="w", lease_s=15)

    def gone(*_args, **_given):
        raise OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as patched:
        patched.setattr("portal.runs.store_pg._locked", gone)
        with pytest.raises(StoreAway):
            desk.store.commit(view, Decision({}))
    desk.store.commit(view, Decision({"n": 1}))
    assert desk.row(ref)["progress"] == {"n": 1}


def test_a_wrong_statement_is_a_bug_and_stays_loud(desk):
    with pytest.raises(ProgrammingError), connection.cursor() as cursor:
        cursor.execute("SELECT nonsense")


def test_a_connection_cut_by_the_server_is_replaced_in_the_next_batch(desk):
    import asyncio

    from portal.runs.threads import StoreThreads

    ref = desk.create()
    threads = StoreThreads(threads=1)

    def pid():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return cursor.fetchone()[0]

    def end(backend):
        with connection.cursor() as cursor:
            # Waits until it has ended.
            cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [backend])
            assert cursor.fetchone() == (True,)

    def cut():
        """Lose the connection in the middle of a batch."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    async def story():
        old = await threads(pid)
        end(old)
        view = await threads(desk.store.claim, ref, holder="w", lease_s=15)
        newer = await threads(pid)
        with pytest.raises(OperationalError):
            await threads(cut)
        return old, newer, await threads(pid), view

    import os

    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    try:
        old, newer, newest, view = asyncio.run(story())
    finally:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
        threads.close()
    assert len({old, newer, newest}) == 3
    assert view.ref == ref


def test_a_standstill_needs_a_reason_and_so_does_its_end(desk):
    with pytest.raises(Refused):
        services.put_standstill("all", reason=" ", actor=desk.user)
    standstill = services.put_standstill("all", reason="fire", actor=desk.user)
    assert services.put_standstill("all", reason="again", actor=desk.user) == standstill
    with pytest.raises(Refused):
        services.lift_standstill(standstill, reason="", actor=desk.user)
    services.lift_standstill(standstill, reason="it was a candle", actor=desk.user)
    with pytest.raises(Refused):
        services.lift_standstill(standstill, reason="twice", actor=desk.user)
    assert Standstill.objects.get().lift_reason == "it was a candle"


def test_a_command_for_a_state_that_is_no_more_is_refused(desk):
    ref = desk.create()
    with pytest.raises(Refused, match="no longer running"):
        desk.command(ref, "pause", seen_status="running")
    assert desk.row(ref)["answers"] == []
    desk.command(ref, "pause", seen_status="scheduled")


def test_a_kind_may_refuse_a_command_that_makes_no_sense(desk):
    ref = desk.create()
    registry.forget_kind("toy")

    def may(run, name, args):
        raise Refused(f"{name} makes no sense while the run is {run.status}.")

    registry.register_kind("toy", object, may_command=may)
    with pytest.raises(Refused, match="makes no sense"):
        desk.command(ref, "resume")
    assert Run.objects.get(ref=ref).command_seq == 0
