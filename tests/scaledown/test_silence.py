"""A server that left the pool is stopped or deleted only while it carries nothing itself, or a person lets it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from portal.runs.types import RunStatus
from scaledown import looks
from scaledown.needs import needs_of
from scaledown.progress import OwnTraffic
from scaledown.silence import heard
from scaledown.types import CountSeen, Grade, Phase
from tests.scaledown.machine_cases import START, Desk, a_plan, planned


def held(**changes):
    """A run whose only server is held for 100 s. Every look at it counts as a request; `rps` come on top."""
    one = {"servers": (planned(6),), "remaining": tuple(map(planned, (1, 2, 3, 5))), "hold_s": 100.0}
    return Desk(a_plan(**{**one, **changes})).until_phase(Phase.HELD)


def go_on(desk, seconds, rps=0.0):
    for _ in range(seconds):
        needs = needs_of(desk.plan, desk.progress, desk.people(), desk.now + timedelta(seconds=1))
        ours = needs.counts.count("srv-6")
        desk.requests["srv-6"] = desk.requests.get("srv-6", 0) + ours + int(rps)
        desk.look()
        if desk.status is not RunStatus.RUNNING:
            break
    return desk


@pytest.mark.parametrize("stop_s", [0.0, 60.0])
def test_a_held_server_that_serves_past_its_balancers_is_neither_stopped_nor_deleted(stop_s):
    desk = go_on(held(stop_s=stop_s), 130, rps=5)
    assert desk.halt.code == "still_serves"
    assert "requests/s" in desk.halt.says
    assert {"stop_server", "delete_server"}.isdisjoint(desk.names)


def test_open_connections_alone_are_traffic():
    desk = held()
    desk.connections["srv-6"] = 2
    go_on(desk, 130)
    assert desk.halt.code == "still_serves"
    assert "delete_server" not in desk.names


def test_our_own_looks_are_no_traffic():
    desk = go_on(held(), 120)
    assert "delete_server" in desk.names


def test_a_person_may_accept_it_by_name_with_a_reason_and_not_more_than_it_carries():
    desk = go_on(held(), 130, rps=5)
    assert not desk.command("accept", server="srv-6", reason=" ").accepted
    assert desk.command("accept", server="srv-6").accepted
    assert desk.command("resume").accepted
    go_on(desk, 100, rps=90)
    assert desk.halt.code == "still_serves"
    assert "delete_server" not in desk.names
    for _ in range(60):
        go_on(desk, 1, rps=90)  # until the rate that is shown, and accepted, is that of now
    assert desk.command("accept", server="srv-6").accepted
    assert desk.command("resume").accepted
    go_on(desk, 20, rps=90)
    assert "delete_server" in desk.names


def test_who_resumes_and_does_not_name_it_has_it_put_back():
    desk = go_on(held(), 130, rps=5)
    assert desk.command("resume", confirm=True).accepted
    desk.until_phase(Phase.RESTORED)
    assert desk.way().own is None


@pytest.mark.parametrize("how", ["unreadable", "stale"])
def test_what_cannot_be_read_is_waited_for_and_then_a_person_decides(how):
    desk = held()
    go_on(desk, 50)
    if how == "unreadable":
        desk.connections["srv-6"] = None
    for _ in range(240):
        desk.look()
    assert desk.status is RunStatus.RUNNING
    assert desk.progress.waiting.code == "delete_still_serves"
    desk.until(lambda: desk.status is RunStatus.HALTED, most=200)
    assert desk.halt.code == "still_serves"
    assert "not known" in desk.halt.says
    assert "delete_server" not in desk.names
    assert desk.command("accept", server="srv-6").accepted
    assert desk.command("resume").accepted
    desk.until(lambda: "delete_server" in desk.names, most=20)


def test_a_burst_that_is_over_is_no_traffic():
    desk = held()
    go_on(desk, 20, rps=30)
    go_on(desk, 120)
    assert "delete_server" in desk.names


def test_what_nothing_counts_is_stopped_first_and_is_not_listened_to():
    desk = held(count_kind=None, accepted_grade=Grade.TIMED, drain_limit_s=10.0)
    desk.until(lambda: "delete_server" in desk.names)


def test_a_server_that_is_off_is_silent():
    desk = held(stop_s=60.0, hold_s=0.0)
    desk.until(lambda: desk.way().stop is not None and desk.way().stop.stopped_at is not None)
    desk.connections["srv-6"] = None
    desk.until(lambda: "delete_server" in desk.names)


def test_a_counter_that_went_back_is_unknown_until_two_looks_agree():
    own = OwnTraffic()
    for second, total, silent in (
        (0, 50, False),
        (3, 51, False),
        (6, 52, True),
        (9, 1, False),
        (12, 2, True),
    ):
        at = START + timedelta(seconds=second)
        own = heard(own, CountSeen("s", 0, total, "stub_status", Grade.MEASURED, at))
        if second != 3:
            assert own.is_silent is silent, second
    assert heard(
        own, replace(CountSeen("s", 1, 3, "", Grade.MEASURED, START + timedelta(seconds=15)))
    ).noisy_since


def test_who_lets_it_be_cut_off_is_told_so_and_not_that_another_hand_changed_it():
    desk = go_on(held(), 130, rps=5)
    assert desk.command("accept", server="srv-6").accepted
    told = next(entry for entry in reversed(desk.journal) if entry.kind == "accepted")
    assert "be cut off and deleted although somebody may use it" in told.says
    assert "another hand" not in told.says.lower()
    assert "may still be in use" in told.customer_says


def test_while_its_silence_is_awaited_the_load_is_read_so_that_the_next_server_need_not_wait_for_it():
    desk = Desk(a_plan(servers=(planned(6), planned(5)), remaining=tuple(map(planned, (1, 2, 3)))))
    read_at = []
    while len(read_at) < 20:
        for number in (1, 2, 3, 5):
            desk.requests[f"srv-{number}"] = desk.requests.get(f"srv-{number}", 0) + 20
        if desk.phase() is Phase.HELD:
            desk.connections["srv-6"] = 2
            needs = needs_of(desk.plan, desk.progress, desk.people(), desk.now + timedelta(seconds=1))
            read_at += [desk.now] if "srv-1" in needs.counts else []
        desk.look()
    gaps_s = [(after - before).total_seconds() for before, after in pairwise(read_at)]
    assert max(gaps_s) <= looks.LOAD_EVERY_S
    assert desk.progress.meters["srv-1"].rps == 20.0
    assert "delete_server" not in desk.names
