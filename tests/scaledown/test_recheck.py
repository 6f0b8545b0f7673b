"""The pool is verified anew before a held server is deleted: on every look, and until it says yes or no."""

from __future__ import annotations

from dataclasses import replace

from portal.runs.types import RunStatus
from scaledown.types import Phase
from tests.scaledown.machine_cases import Desk, a_plan


def in_recheck(**changes):
    """A run whose only server was held for longer than a verdict lasts, and whose pool is being verified anew."""
    plan = a_plan(hold_s=300.0, floor=2)
    plan = replace(
        plan, servers=plan.servers[:1], remaining=(*plan.remaining, plan.servers[1]), target=4, **changes
    )
    desk = Desk(plan).until_phase(Phase.HELD)
    return desk.until(lambda: desk.way().soak is not None, most=500)


def test_a_site_that_fails_every_other_time_keeps_the_server_from_being_deleted():
    desk = in_recheck()
    for number in range(100):
        desk.probe_ok = number % 2 == 1
        desk.look()
        if desk.status is RunStatus.HALTED:
            break
    assert "delete_server" not in desk.names
    assert desk.halt.code == "traffic_not_keeping_up"
    assert desk.way().verdict.numbers["probes_failed"] > 0
    desk.probe_ok = True
    desk.until_phase(Phase.RESTORED)


def test_looks_at_which_the_deletion_has_to_wait_for_something_else_are_watched_too():
    desk = in_recheck()
    desk.search_complete = False
    before = desk.way().soak.probes_ok
    for _ in range(4):
        desk.look()
    assert desk.way().soak is None or desk.way().soak.probes_ok >= before + 3


def test_an_inconclusive_recheck_is_watched_on_and_the_server_deleted_once_it_passes():
    desk = in_recheck()
    desk.probe_ok = None  # cannot be made
    for _ in range(6):
        desk.look()
    desk.probe_ok = True
    desk.until(lambda: "delete_server" in desk.names, most=60)
    assert desk.status is RunStatus.RUNNING


def test_a_recheck_that_never_says_anything_halts_and_a_resume_verifies_anew():
    desk = in_recheck()
    desk.probe_ok = None
    desk.until(lambda: desk.status is RunStatus.HALTED, most=200)
    assert desk.halt.code == "verify_inconclusive"
    desk.probe_ok = True
    assert desk.command("resume").accepted
    desk.until(lambda: "delete_server" in desk.names, most=60)


def test_a_search_that_never_succeeds_halts_all_the_same():
    desk = in_recheck()
    desk.search_complete = False
    desk.until(lambda: desk.status is RunStatus.HALTED, most=1000)
    assert "delete_no_search" in desk.halt.code or "vain" in desk.halt.says
    assert "delete_server" not in desk.names
