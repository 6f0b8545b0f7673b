"""When a server that goes back is given up: never for one look, only for what stands and after a person aborted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from portal.cloud.types import Condition
from portal.runs.types import RunStatus
from scaledown.needs import needs_of
from scaledown.types import Phase
from tests.scaledown.machine_cases import Desk, a_plan, planned

NOT_FOUND = {"is_gone": True, "status": "DELETED"}


def seen_once(desk, **as_it_is):
    """Abort at a look that shows the first server so; every later look shows it as it always was."""
    real = desk.servers["srv-6"]
    desk.servers["srv-6"] = replace(real, **as_it_is)
    assert desk.command("abort").accepted
    desk.servers["srv-6"] = real
    return desk.until(lambda: desk.status is RunStatus.ABORTED)


@pytest.mark.parametrize("phase", [Phase.DRAINING, Phase.HELD])
@pytest.mark.parametrize(
    "as_it_is",
    [
        NOT_FOUND,
        {"status": "REBOOT", "task_state": "rebooting"},
        {"status": "UNKNOWN"},
        {"status": "ERROR"},
        {"addresses": ()},
    ],
)
def test_one_bad_look_gives_up_no_server_of_an_aborted_run(phase, as_it_is):
    desk = Desk(a_plan(hold_s=600.0, servers=(planned(6),), remaining=tuple(map(planned, (1, 2, 3, 5)))))
    desk.connections["srv-6"] = 5 if phase is Phase.DRAINING else 0
    desk.until_phase(phase).look()
    seen_once(desk, **as_it_is)
    assert desk.condition(6) is Condition.ENABLED
    assert desk.phase() is Phase.RESTORED


def aborted(**as_it_is):
    desk = Desk(a_plan(hold_s=600.0, floor=2)).until_phase(Phase.HELD)
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], **as_it_is)
    assert desk.command("abort").accepted
    return desk


def test_a_server_that_stays_away_is_gone_after_looks_that_agree():
    desk = aborted(**NOT_FOUND)
    for _ in range(25):
        desk.look()
    assert desk.phase() is Phase.HELD
    desk.until(lambda: desk.status is RunStatus.ABORTED, most=20)
    assert desk.phase() is Phase.GONE


def test_a_server_that_cannot_serve_for_long_is_given_up():
    desk = aborted(status="ERROR")
    desk.look()
    assert desk.halt.code == "cannot_put_back"
    for _ in range(590):
        desk.look()
    assert desk.status is RunStatus.HALTED
    desk.until(lambda: desk.status is RunStatus.ABORTED, most=30)
    assert desk.phase() is Phase.LEFT_OUT
    assert "cannot be put back" in desk.way().says
    assert "Could not be put back: web-06. Not deleted, and paid for" in desk.progress.says


def test_a_server_that_is_being_worked_on_is_never_given_up_and_a_person_is_told():
    desk = aborted(status="REBOOT", task_state="rebooting")
    for _ in range(1300):
        desk.look()
    assert desk.status is RunStatus.HALTED
    assert desk.halt.code == "waited_for_put_back_server"
    desk.servers["srv-6"] = replace(desk.servers["srv-6"], status="ACTIVE", task_state=None)
    desk.until(lambda: desk.status is RunStatus.ABORTED)
    assert desk.phase() is Phase.RESTORED


def test_a_server_that_was_left_out_is_asked_for_nothing_any_more():
    desk = aborted(status="ERROR")
    desk.until(lambda: desk.phase() is Phase.LEFT_OUT, most=200, after_s=5.0)
    needs = needs_of(desk.plan, desk.progress, desk.people(), desk.now + timedelta(minutes=1))
    assert "srv-6" not in {*needs.counts, *needs.direct, *needs.servers}
