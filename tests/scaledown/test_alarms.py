"""Alarms that fire and scale-downs: shown to who approves, and what fires beyond that holds the run before it begins."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.cloud.types import Alarm, AlarmState
from portal.runs.types import RunStatus
from scaledown import alarms, needs
from scaledown.canonical import digest, plan_from_plain, plan_to_plain
from scaledown.commands import FRESH_PREFLIGHT_AFTER_S
from scaledown.planner import build_plan_data
from scaledown.preflight import PREFLIGHT_S
from scaledown.types import PLAN_FORMAT, Phase
from tests.scaledown.machine_cases import START, Desk, a_plan
from tests.scaledown.planner_cases import CHOICE, known, pool
from tests.scaledown.test_planner import shown

SINCE = datetime(2026, 11, 12, 9, 30, tzinfo=UTC)
CPU = Alarm("en1/al1/ch1", "CPU", "web-03", "srv-3", ("10.0.0.3",), AlarmState.WARNING, SINCE)
WORSE = replace(CPU, state=AlarmState.CRITICAL)
OUTSIDE = Alarm("en9/al9/ch9", "Home page", "shop", None, ("198.51.100.1",), AlarmState.CRITICAL, None)
DATABASE = replace(CPU, key="en7/al7/ch7", of="db-01", server_id="db-1", addresses=("10.0.0.3",))


def desk_with(*fired, known=(), **changes):
    desk = Desk(a_plan(format=PLAN_FORMAT, alarms=known, **changes))
    desk.alarms = fired
    return desk


def looks(desk, times=20):
    for _ in range(times):
        desk.look()


# --- which are of the pool


@pytest.mark.parametrize(
    ("alarm", "is_of_it"),
    [
        (CPU, True),
        (OUTSIDE, True),
        (replace(OUTSIDE, addresses=("198.51.100.9",)), False),
        (replace(OUTSIDE, addresses=("shop.example",)), False),
        (DATABASE, False),
    ],
)
def test_an_alarm_is_of_a_pool_by_its_server_or_else_by_an_address(alarm, is_of_it):
    found = alarms.of_pool([alarm], {"srv-3"}, ["198.51.100.1", "10.0.0.3"])
    assert found == ((alarm,) if is_of_it else ())


def test_an_address_is_the_same_however_it_is_spelt():
    seen = replace(OUTSIDE, addresses=("2001:db8:0:0::1",))
    assert alarms.of_pool([seen], (), ["2001:DB8::1"]) == (seen,)


STATES = st.sampled_from([AlarmState.WARNING, AlarmState.CRITICAL])
FIRED = st.dictionaries(st.sampled_from("abcd"), STATES).map(
    lambda found: [replace(CPU, key=key, state=state) for key, state in found.items()]
)


@given(FIRED, FIRED)
def test_what_is_beyond_is_new_or_worse_and_nothing_else(before, now):
    was = {one.key: one.state for one in before}
    beyond = alarms.beyond(now, [alarms.spelt(one) for one in before])
    for one in now:
        is_worse = one.key not in was or (one.state, was[one.key]) == (
            AlarmState.CRITICAL,
            AlarmState.WARNING,
        )
        assert (one in beyond) is is_worse


def test_a_few_are_named_and_the_rest_is_counted():
    assert alarms.named([CPU]) == "“CPU” of web-03 (WARNING since 2026-11-12 09:30 UTC)"
    assert alarms.named([OUTSIDE] * 5).endswith("and 2 more")


# --- in plan and preview


def test_a_plan_knows_what_fired_as_it_was_drawn_up_and_says_so():
    of_pool, outside = replace(CPU, server_id="srv-03"), replace(OUTSIDE, addresses=("203.0.113.1",))
    result = shown(a_pool=pool(alarms=(outside, of_pool)))
    [told] = [one for one in result.warnings if one.code == "alarm_fires"]
    assert told.says.startswith(
        "2 alarms of this pool fire now: “Home page” of shop (CRITICAL), “CPU” of web-03"
    )
    assert not told.blocks
    plan = build_plan_data(CHOICE, pool(alarms=(outside, of_pool)), known())
    assert plan.alarms == ("en1/al1/ch1 WARNING", "en9/al9/ch9 CRITICAL")


def test_a_plan_says_that_nobody_could_ask_and_is_silent_where_nothing_fires():
    assert build_plan_data(CHOICE, pool(alarms=None), known()).alarms is None
    assert "alarms_unread" in {one.code for one in shown(a_pool=pool(alarms=None)).warnings}
    assert build_plan_data(CHOICE, pool(alarms=()), known()).alarms == ()
    codes = {one.code for one in shown(a_pool=pool(alarms=())).warnings}
    assert not codes & {"alarm_fires", "alarms_unread"}


def test_plans_of_the_format_before_keep_their_digest():
    old = a_plan(format=PLAN_FORMAT - 1)
    assert "alarms" not in plan_to_plain(old)
    assert plan_from_plain(plan_to_plain(old)) == old
    new = a_plan(format=PLAN_FORMAT, alarms=("en1/al1/ch1 WARNING",))
    assert plan_from_plain(plan_to_plain(new)) == new
    assert digest(new) != digest(replace(new, alarms=()))


# --- before a run begins


def test_an_alarm_that_nobody_approved_holds_the_run_until_it_is_silent():
    desk = desk_with(CPU)
    looks(desk)
    assert desk.status is RunStatus.SCHEDULED
    assert desk.progress.waiting.code == "preflight"
    assert "An alarm fires that nobody approved: “CPU” of web-03 (WARNING" in desk.progress.says
    desk.alarms = ()
    desk.until_phase(Phase.DRAINING)


def test_a_run_that_an_alarm_holds_for_long_asks_a_person():
    desk = desk_with(CPU)
    for _ in range(int(PREFLIGHT_S // 20) + 3):
        desk.look(20.0)
    assert (desk.status, desk.halt.code) == (RunStatus.HALTED, "waited_for_preflight")
    assert desk.sent == []


@pytest.mark.parametrize("fired", [(), (CPU,)])
def test_what_the_approvers_saw_holds_nothing(fired):
    desk_with(*fired, known=("en1/al1/ch1 WARNING",)).until_phase(Phase.DRAINING)
    desk_with(*fired, known=("en1/al1/ch1 CRITICAL",)).until_phase(Phase.DRAINING)


def test_what_became_worse_than_the_approvers_saw_holds_the_run():
    desk = desk_with(WORSE, known=("en1/al1/ch1 WARNING",))
    looks(desk)
    assert desk.status is RunStatus.SCHEDULED


def test_an_alarm_of_what_is_not_in_the_pool_holds_nothing():
    desk_with(DATABASE).until_phase(Phase.DRAINING)


def test_the_load_balancer_is_of_the_pool():
    desk = desk_with(OUTSIDE)
    looks(desk)
    assert desk.status is RunStatus.SCHEDULED


def test_monitoring_that_fails_holds_a_run_unless_that_was_approved():
    desk = desk_with()
    desk.alarms = None
    looks(desk)
    assert "could not be asked which alarms fire" in desk.progress.says
    unread = desk_with(known=None)
    unread.alarms = None
    unread.until_phase(Phase.DRAINING)


def test_a_plan_of_which_nobody_knew_what_fires_is_held_by_what_does():
    desk = desk_with(CPU, known=None)
    looks(desk)
    assert desk.status is RunStatus.SCHEDULED


def test_a_resume_asks_again_and_what_is_out_of_the_pool_may_fire():
    desk = desk_with(known=(), hold_s=600.0).until_phase(Phase.HELD)
    desk.command("pause")
    desk.until(lambda: desk.status is RunStatus.PAUSED)
    desk.look(FRESH_PREFLIGHT_AFTER_S)
    desk.alarms = (replace(CPU, server_id="srv-6", of="web-06"),)
    desk.command("resume")
    looks(desk, 3)
    assert desk.status is RunStatus.RUNNING
    desk.command("pause")
    desk.until(lambda: desk.status is RunStatus.PAUSED)
    desk.look(FRESH_PREFLIGHT_AFTER_S)
    desk.alarms = (CPU,)
    desk.command("resume")
    looks(desk, 3)
    assert "“CPU” of web-03" in desk.progress.says
    assert desk.phase(5) is Phase.QUEUED


def test_it_is_asked_before_a_start_and_not_before_the_window_or_in_full_swing():
    desk = desk_with(window_start=START + timedelta(hours=1), window_end=START + timedelta(hours=9))

    def wants():
        return needs.needs_of(desk.plan, desk.progress, desk.people(), desk.now).alarms

    assert not wants()
    desk.now = desk.plan.window_start
    assert wants()
    desk.until_phase(Phase.DRAINING)
    assert not wants()
