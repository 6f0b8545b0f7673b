"""One answer that finds no server does not count as a finished deletion."""

from __future__ import annotations

from dataclasses import replace

import pytest

from portal.runs.types import RunStatus
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
    show(desk, gone=False)
    assert desk.halt.code == "confirm_failed"


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
