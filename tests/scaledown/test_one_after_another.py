"""The look that sees a server off is the one that the next server begins on."""

from __future__ import annotations

import pytest

from portal.runs.types import RunStatus
from scaledown.needs import needs_of
from scaledown.types import Phase
from tests.scaledown.machine_cases import Desk, a_plan


def looks_of(desk: Desk) -> list[tuple[str, str | None]]:
    """Look until the first server is gone for good; return the phase of it and what was sent, look by look."""
    seen = []
    for _ in range(100):
        desk.look()
        seen.append((desk.phase(6), desk.decided.action.name if desk.decided.action else None))
        if desk.phase(6) is Phase.RETIRED:
            return seen
    raise AssertionError(seen[-1])


def test_the_next_server_begins_on_the_look_that_sees_the_one_before_off():
    desk = Desk(a_plan(floor=2)).until_phase(Phase.DELETING)
    assert looks_of(desk)[-1] == (Phase.RETIRED, "drain_node")
    assert desk.phase(5) is Phase.DRAINING
    assert desk.kinds().count("server_retired") == 1


def test_the_next_server_is_looked_at_once_the_one_before_is_not_found():
    desk = Desk(a_plan(floor=2)).until_phase(Phase.DELETING)
    looked_at = []
    while desk.phase(6) is not Phase.RETIRED and len(looked_at) < 100:
        needs = needs_of(desk.plan, desk.progress, desk.people(), desk.now)
        looked_at.append("srv-5" in needs.servers)
        desk.look()
    assert looked_at[0] is False
    assert looked_at[-1] is True


def test_the_last_server_that_is_seen_off_ends_the_run():
    desk = Desk(a_plan(floor=2)).until_phase(Phase.DELETING, 5)
    desk.until(lambda: desk.phase(5) is Phase.RETIRED)
    assert desk.status is RunStatus.COMPLETED


@pytest.mark.parametrize(
    ("command", "args", "status"),
    [
        ("finish_here", {}, RunStatus.COMPLETED),
        ("pause", {"when": "after_this_server"}, RunStatus.PAUSED),
    ],
)
def test_what_was_asked_for_after_this_server_comes_before_the_next(command, args, status):
    desk = Desk(a_plan(floor=2)).until_phase(Phase.VERIFYING)
    assert desk.command(command, **args).accepted
    looks_of(desk)
    assert desk.names.count("drain_node") == 1
    assert desk.phase(5) in {Phase.QUEUED, Phase.SKIPPED}
    if desk.status is not status:
        desk.look()
    assert desk.status is status
    assert desk.names.count("drain_node") == 1


def test_without_a_look_at_the_next_server_it_does_not_begin():
    desk = Desk(a_plan(floor=2)).until_phase(Phase.DELETING)
    del desk.servers["srv-5"]
    looks_of(desk)
    assert desk.names.count("drain_node") == 1
    assert desk.phase(5) is Phase.QUEUED
