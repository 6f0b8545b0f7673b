"""The look that sees a server off is the one that the next server begins on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from portal.runs.rules import NOT_SENT
from portal.runs.types import Outcome, OutcomeKind, RunStatus
from scaledown import wording
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


# --- a drain that was not sent ------------------------------------------------------------------------------


def not_begun() -> Desk:
    """Return a run that was held back as it sent the next server's drain: somebody said something meanwhile."""
    desk = Desk(a_plan(floor=2)).until_phase(Phase.DELETING)
    desk.outcome = Outcome(OutcomeKind.NOT_APPLIED, "It was not sent: a command came in.", NOT_SENT)
    looks_of(desk)
    desk.outcome = Outcome(OutcomeKind.DONE)
    return desk


def test_a_server_whose_drain_was_not_sent_has_not_begun():
    desk = not_begun()
    assert desk.sent[-1].name == "drain_node"
    assert desk.phase(5) is Phase.QUEUED
    assert desk.way(5).drain is None
    assert desk.way(5).says == wording.queued("web-05").says
    assert "a command came in" in desk.progress.says
    desk.until(lambda: desk.status is RunStatus.COMPLETED)
    assert desk.phase(5) is Phase.RETIRED


@pytest.mark.parametrize(
    ("command", "args", "status", "phase"),
    [
        ("pause", {}, RunStatus.PAUSED, Phase.QUEUED),
        ("finish_here", {}, RunStatus.COMPLETED, Phase.SKIPPED),
        ("skip", {"server": "srv-5"}, RunStatus.COMPLETED, Phase.SKIPPED),
    ],
)
def test_a_command_that_held_the_drain_back_finds_the_server_in_the_queue(command, args, status, phase):
    desk = not_begun()
    sent = len(desk.sent)
    assert desk.command(command, **args).accepted
    for _ in range(5):
        desk.look()
    assert desk.status is status
    assert desk.phase(5) is phase
    assert desk.names[sent:] == []


def test_what_keeps_a_server_from_beginning_is_asked_again_after_a_drain_that_was_not_sent():
    desk = not_begun()
    desk.servers["srv-5"] = replace(desk.servers["srv-5"], is_locked=True)
    sent = len(desk.sent)
    desk.look()
    assert (desk.halt.code, desk.phase(5)) == ("server_locked", Phase.QUEUED)
    assert desk.names[sent:] == []


def test_one_that_drains_stays_in_hand_whatever_was_not_sent():
    desk = Desk(a_plan(floor=2)).until_phase(Phase.DRAINING)
    desk.outcome = Outcome(OutcomeKind.NOT_APPLIED, "It was not sent: a command came in.", NOT_SENT)
    desk.until(lambda: desk.names[-1] == "remove_node")
    assert desk.phase(6) is Phase.REMOVING
    assert desk.way().drain.seen_at is not None


def test_a_held_server_that_is_due_next_is_looked_at_whole_while_the_one_before_is_seen_off():
    plan = a_plan(floor=2)
    desk = Desk(plan).until_phase(Phase.DELETING)
    desk.until(lambda: desk.way().delete is not None and desk.way().delete.gone_at is not None)
    held = replace(desk.way(5), phase=Phase.HELD, held_at=desk.now)
    ways = tuple(held if way.server_id == "srv-5" else way for way in desk.progress.servers)
    needs = needs_of(plan, replace(desk.progress, servers=ways), desk.people(), desk.now)
    assert desk.phase(6) is Phase.DELETING
    assert needs.search == "srv-5"
    assert "srv-5" in needs.servers
