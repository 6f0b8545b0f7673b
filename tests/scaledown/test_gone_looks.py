"""One answer that finds no server does not count as a finished deletion."""

from __future__ import annotations

from dataclasses import replace

import pytest

from portal.runs.types import RunStatus
from scaledown.needs import needs_of
from scaledown.types import Phase
from tests.scaledown.machine_cases import Desk, a_plan


def deleting(**changes) -> Desk:
    """Return a run whose deletion was accepted, of a server that the provider still shows."""
    desk = Desk(a_plan(probes=(), **changes))
    apply = desk._apply
    desk._apply = lambda action: None if action.name == "delete_server" else apply(action)
    desk.until_phase(Phase.DELETING)
    return desk


def show(desk: Desk, *, gone: bool) -> None:
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], is_gone=gone)
    desk.look()


def find_none(desk: Desk, after_s: float = 1.0) -> None:
    """Let a look get a 404 for the server: nothing shows that it was deleted."""
    desk.servers["srv-6"] = replace(
        desk.servers["srv-6"], is_gone=True, status="DELETED", task_state=None, created_at=None, addresses=()
    )
    desk.look(after_s)


def test_a_server_is_retired_only_when_a_second_look_finds_it_gone_too():
    desk = deleting()
    show(desk, gone=True)
    assert desk.phase() is Phase.DELETING
    show(desk, gone=True)
    assert desk.phase() is Phase.RETIRED


def test_one_wrong_answer_while_a_server_is_deleted_neither_retires_it_nor_stops_the_run():
    desk = deleting()
    for gone in (True, False, True, False):
        show(desk, gone=gone)
    assert desk.phase() is Phase.DELETING
    assert desk.status is RunStatus.RUNNING
    assert desk.way().delete.gone_at is None
    show(desk, gone=True)
    show(desk, gone=True)
    assert desk.phase() is Phase.RETIRED


def test_a_server_that_two_looks_found_gone_and_that_is_there_again_stops_the_run():
    desk = Desk()
    desk.until_phase(Phase.DELETING)
    desk.probe_ok = None  # so that the last look at the site keeps it in its confirmation
    desk.until_phase(Phase.CONFIRMING)
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], status="ACTIVE")
    show(desk, gone=False)
    assert desk.halt.code == "confirm_failed"
    assert "put_back" not in desk.halt.next_commands
    desk.probe_ok = True
    desk.look()
    assert desk.command("resume").accepted
    desk.until(lambda: desk.names.count("delete_server") == 2, most=60)
    show(desk, gone=True)
    show(desk, gone=True)
    desk.until_phase(Phase.RETIRED)


def test_answers_that_find_no_server_retire_none_that_the_list_still_holds():
    desk = deleting()
    lives = desk.servers["srv-6"]
    desk.listing = ("srv-5", "srv-6")
    for _ in range(6):
        find_none(desk, 0.5)
    assert desk.phase() is Phase.DELETING
    assert "list" in desk.way().says
    desk.servers["srv-6"] = lives
    desk.look()
    assert desk.status is RunStatus.RUNNING
    assert desk.way().delete.gone_at is None


def test_a_list_that_cannot_be_read_proves_no_deletion_and_halts_in_the_end():
    desk = deleting()
    desk.listed = False
    for _ in range(70):
        find_none(desk, 10.0)
    assert desk.phase() is Phase.DELETING
    assert desk.halt.code == "waited_for_delete_gone"
    desk.listed = True
    assert desk.command("resume").accepted
    find_none(desk)
    assert desk.phase() is Phase.RETIRED


@pytest.mark.parametrize("was_seen", [True, False])
def test_a_deletion_costs_two_looks_and_a_list_only_where_nobody_saw_it_under_way(was_seen):
    desk = deleting()
    if was_seen:
        desk.servers["srv-6"] = replace(desk.servers["srv-6"], task_state="deleting")
        desk.look()
    find_none(desk, 0.5)
    assert needs_of(desk.plan, desk.progress, desk.people(), desk.now).listed is not was_seen
    find_none(desk, 0.5)
    assert desk.phase() is Phase.RETIRED


def test_an_abort_of_a_deletion_without_effect_names_the_server_that_may_live_on():
    desk = deleting()
    assert desk.command("abort").accepted
    desk.until(lambda: desk.status is RunStatus.ABORTED, most=700)
    assert "web-06" in desk.progress.says
    assert "may live on" in desk.way().says
    line = next(entry for entry in desk.journal if entry.kind == "server_may_live_on")
    assert line.subject == "srv-6"


def test_an_abort_waits_longer_for_a_deletion_that_is_seen_to_be_under_way():
    desk = deleting()
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], task_state="deleting")
    desk.look()
    assert desk.command("abort").accepted
    for _ in range(90):
        desk.look(10.0)
    assert not desk.status.is_over
    find_none(desk)
    find_none(desk)
    assert desk.phase() is Phase.RETIRED
    desk.until(lambda: desk.status is RunStatus.ABORTED)
    assert "may live" not in desk.progress.says


@pytest.mark.parametrize("answers", [(True,), (True, False, True)])
def test_an_abort_does_not_take_one_wrong_answer_for_a_finished_deletion(answers):
    desk = deleting()
    desk.command("abort")
    for gone in answers:
        show(desk, gone=gone)
    assert desk.phase() is not Phase.RETIRED
    assert not desk.status.is_over
    show(desk, gone=True)
    assert desk.phase() is Phase.RETIRED
    desk.until(lambda: desk.status is RunStatus.ABORTED, most=700)
