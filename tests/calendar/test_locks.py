"""The change lock: what locks an account, how a pipeline takes it, and that runs begin nothing as long."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from accounts.calendar import locks, services
from accounts.calendar.models import CalendarEntry
from portal.errors import Refused, StaleState
from portal.runs import services as runs
from portal.runs.models import Run
from portal.runs.types import RunStatus
from scaledown import freezes
from scaledown.progress import progress_from_plain, progress_to_plain
from scaledown.types import Phase
from tests import factories as make
from tests.scaledown.rows import desk
from tests.scaledown.test_api import Caller
from tests.scaledown.test_services import started

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def here(db):
    return desk()


def kinds(here):
    return [one.kind for one in locks.locks_on(here.account, timezone.now())]


def take(here, **more):
    return locks.take(here.account, title="Deploying", lasts=20 * MINUTE, actor=here.editor, **more)


def test_an_account_is_locked_by_freezes_locks_and_standstills(here):
    assert kinds(here) == []
    now = timezone.now()
    times = {"starts_at": now - MINUTE, "ends_at": now + MINUTE, "time_zone": "UTC"}
    services.enter({"kind": "freeze", "title": "Sale", **times}, actor=here.manager, account=here.account)
    assert kinds(here) == ["freeze"]
    runs.put_standstill(f"account:{here.account.ref}", reason="Look first.", actor=here.manager)
    assert kinds(here) == ["freeze", "standstill"]


def test_a_run_locks_while_a_server_is_half_way_or_comes_back_and_not_between_two(here):
    from scaledown.driver import is_half_way

    run = started(here)
    Run.objects.filter(pk=run.pk).update(status=RunStatus.RUNNING)
    assert kinds(here) == []
    progress = progress_from_plain(run.progress)
    first = progress.servers[0]
    from portal.frozen import replace
    from scaledown.progress import with_server

    run.progress = progress_to_plain(with_server(progress, replace(first, phase=Phase.VERIFYING)))
    run.status = RunStatus.RUNNING
    run.save()
    assert is_half_way(run)
    assert kinds(here) == ["run"]
    Run.objects.filter(pk=run.pk).update(status=RunStatus.PAUSED)
    assert kinds(here) == []
    Run.objects.filter(pk=run.pk).update(status=RunStatus.ROLLING_BACK)
    assert kinds(here) == ["run"]


def test_whoever_takes_the_lock_keeps_runs_and_others_waiting_until_it_is_called_off(here):
    run = started(here)
    entry = take(here)
    assert kinds(here) == ["lock"]
    held = freezes.holding(run, timezone.now())
    assert held is not None
    assert held.says.startswith("A change lock is in force until")
    with pytest.raises(StaleState) as refusal:
        take(here)
    assert refusal.value.code == "change_locked"
    services.cancel_entry(entry, reason="Deployed.", actor=here.editor)
    assert kinds(here) == []
    assert freezes.holding(run, timezone.now()) is None


def test_a_run_that_has_looked_for_freezes_before_looks_again_before_it_sends_anything(here):
    run = started(here)
    seq = Run.objects.get(pk=run.pk).command_seq
    take(here)
    assert Run.objects.get(pk=run.pk).command_seq == seq + 1, "the check right before a call refuses"
    assert run.journal.filter(kind="facts_changed", says__contains="A change lock was taken").exists()
    with pytest.raises(StaleState):
        take(here)
    assert Run.objects.get(pk=run.pk).command_seq == seq + 1, "what was refused holds nothing"


@pytest.mark.parametrize("whose", ["account", "team", "provider"])
def test_a_freeze_that_begins_now_makes_runs_look_again_before_they_send_anything(here, whose):
    run = started(here)
    seq, now = Run.objects.get(pk=run.pk).command_seq, timezone.now()
    fields = {
        "kind": "freeze",
        "title": "x",
        "starts_at": now + HOUR,
        "ends_at": now + 3 * HOUR,
        "time_zone": "UTC",
    }
    if whose == "provider":
        fields |= {"kind": "maintenance", "provider": here.connection.provider}
    of = {"account": here.account} if whose == "account" else {"team": here.account.team}
    entry = services.enter(fields, actor=here.manager, **of)
    assert Run.objects.get(pk=run.pk).command_seq == seq, "one to come holds nothing yet"
    services.change_entry(entry, {"starts_at": now - HOUR}, actor=here.manager)
    assert Run.objects.get(pk=run.pk).command_seq == seq + 1
    services.enter({**fields, "starts_at": now - HOUR}, actor=here.manager, **of)
    assert Run.objects.get(pk=run.pk).command_seq == seq + 2
    assert run.journal.filter(kind="facts_changed", says__contains="In the calendar").count() == 2
    elsewhere = make.account(of=here.account.team)
    services.enter(
        {**fields, "kind": "freeze", "starts_at": now - HOUR, "provider": ""},
        actor=here.manager,
        account=elsewhere,
    )
    assert Run.objects.get(pk=run.pk).command_seq == seq + 2, "another account's freeze"


@pytest.mark.parametrize("lasts", [timedelta(seconds=59), timedelta(days=1, seconds=1)])
def test_a_lock_is_short(here, lasts):
    with pytest.raises(Refused):
        locks.take(here.account, title="x", lasts=lasts, actor=here.editor)
    now = timezone.now()
    with pytest.raises(Refused) as refusal:
        services.enter(
            {
                "kind": "lock",
                "title": "x",
                "starts_at": now,
                "ends_at": now + timedelta(days=2),
                "time_zone": "UTC",
            },
            actor=here.editor,
            account=here.account,
        )
    assert refusal.value.code == "too_long"


@pytest.mark.django_db(transaction=True)
def test_of_two_pipelines_at_the_same_moment_one_has_it():
    account = make.account("Shop")
    editor = make.member(account, "editor", "Ed")
    answers = []
    begin = threading.Barrier(2)

    def ask():
        begin.wait()
        try:
            locks.take(account, title="x", lasts=MINUTE, actor=editor)
            answers.append("taken")
        except StaleState:
            answers.append("refused")
        finally:
            connections.close_all()

    both = [threading.Thread(target=ask) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert sorted(answers) == ["refused", "taken"]
    assert CalendarEntry.objects.count() == 1


def test_a_pipeline_reads_and_takes_the_lock_by_the_api(here):
    url = f"/accounts/{here.account.ref}/change-lock"
    viewer, editor = Caller(here.viewer), Caller(here.approver)
    assert viewer.get(url) == {"is_locked": False, "locks": []}
    viewer.post(url, {"title": "x", "minutes": 5}, 403)
    assert editor.post(url, {"title": "shop 4.2", "minutes": 5}, 201)["kind"] == "lock"
    read = viewer.get(url)
    assert read["is_locked"]
    assert read["locks"][0]["kind"] == "lock"
    assert read["locks"][0]["until"]
    assert editor.post(url, {"title": "other", "minutes": 5}, 409)["type"].endswith(":change-locked")
    editor.post(url, {"title": "x", "minutes": 1441}, 422)
