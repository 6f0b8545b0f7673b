"""Hold through the next peak: proposed where its time is known, and no server is deleted that the peak did not miss."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta

import pytest

from portal.errors import Refused
from portal.runs.types import RunStatus
from scaledown import looks
from scaledown.deleting import hold_ends
from scaledown.forms import SafetyForm
from scaledown.less import is_less
from scaledown.planner import build_plan_data
from scaledown.preview import preview
from scaledown.services import peak_is_over
from scaledown.types import PEAK_SPARE_S, Phase
from tests.scaledown.machine_cases import START, Desk, a_plan
from tests.scaledown.planner_cases import CHOICE, NOW, known, pool

SPARE = timedelta(seconds=PEAK_SPARE_S)


@pytest.mark.parametrize(
    ("peak_in_h", "chosen", "is_held"),
    [
        (None, None, False),
        (None, False, False),
        (20, None, True),
        (20, True, True),
        (20, False, False),
        (100, None, False),
        (100, True, True),
        (-1, None, False),
    ],
)
def test_a_near_peak_is_proposed_to_be_held_through(peak_in_h, chosen, is_held):
    peak_at = None if peak_in_h is None else NOW + timedelta(hours=peak_in_h)
    plan = build_plan_data(replace(CHOICE, hold_through_peak=chosen), pool(), known(peak_at=peak_at))
    assert plan.hold_through == (peak_at + SPARE if is_held else None)


@pytest.mark.parametrize("peak_at", [None, NOW - timedelta(hours=1)])
def test_without_a_known_peak_the_plan_asks_for_hours(peak_at):
    with pytest.raises(Refused, match="for how many hours") as refusal:
        build_plan_data(replace(CHOICE, hold_through_peak=True), pool(), known(peak_at=peak_at))
    assert refusal.value.code == "peak_unknown"


def test_the_preview_says_until_when_and_counts_the_hold():
    facts = known(peak_at=NOW + timedelta(hours=20))
    plan = build_plan_data(CHOICE, pool(), facts)
    seen = preview(plan, CHOICE, pool(), facts)
    assert any("until the next peak is over" in line for line in seen.way_back)
    assert seen.likely_min_s >= 21 * 3600
    assert seen.hold_server_hours == pytest.approx(3 * 21, abs=0.1)
    bare = preview(build_plan_data(CHOICE, pool(), known()), CHOICE, pool(), known())
    assert "no_peak_time" in {warning.code for warning in bare.warnings}


def held_through(hours=6.0, **changes):
    return a_plan(hold_through=START + timedelta(hours=hours) + SPARE, floor=2, **changes)


def test_every_server_is_out_before_the_peak_and_deleted_after_it():
    desk = Desk(held_through())
    desk.until(lambda: all(desk.phase(number) is Phase.HELD for number in (6, 5)), most=400)
    assert "delete_server" not in desk.names
    assert hold_ends(desk.plan, desk.way(6)) == desk.plan.hold_through
    desk.until(lambda: desk.now > desk.plan.hold_through - timedelta(minutes=2), most=800, after_s=60.0)
    assert "delete_server" not in desk.names
    desk.until(lambda: "delete_server" in desk.names, most=400)
    assert desk.now >= desk.plan.hold_through


def test_a_server_that_would_not_be_out_before_the_peak_does_not_begin():
    desk = Desk(held_through(hours=0.01))
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert desk.halt.code == "peak_missed"
    assert "drain_node" not in desk.names
    assert "finish_here" in desk.halt.next_commands


def test_a_server_that_left_only_after_the_peak_is_not_deleted():
    desk = Desk(held_through()).until_phase(Phase.HELD)
    way = replace(desk.way(), held_at=desk.plan.hold_through - SPARE)
    assert looks._peak_refusal(desk.plan, way).code == "peak_missed"
    assert looks._peak_refusal(desk.plan, replace(way, held_at=way.held_at - timedelta(seconds=1))) is None
    assert looks._peak_refusal(replace(desk.plan, hold_through=None), way) is None


@pytest.mark.parametrize(("begins_before_s", "is_over"), [(1.0, False), (0.0, True), (-60.0, True)])
def test_a_plan_is_not_started_once_its_peak_is_here(begins_before_s, is_over):
    plan = held_through()
    begins = plan.hold_through - SPARE - timedelta(seconds=begins_before_s)
    assert bool(peak_is_over(plan, begins)) is is_over
    assert peak_is_over(replace(plan, hold_through=None), begins) == ""


def test_holding_longer_is_covered_by_an_approval_and_shorter_is_not():
    none, near, far = a_plan(), held_through(6.0), held_through(30.0)
    assert is_less(near, replace(near, hold_through=far.hold_through))
    assert not is_less(far, replace(far, hold_through=near.hold_through))
    assert not is_less(near, replace(near, hold_through=None))
    assert is_less(none, replace(none, hold_through=far.hold_through))


@pytest.mark.parametrize(("typed", "kept"), [("", None), ("yes", True), ("no", False)])
def test_the_form_keeps_what_was_chosen(typed, kept):
    initial = SafetyForm.initial_of(replace(CHOICE, hold_through_peak=kept))
    assert initial["hold_through_peak"] == typed
    form = SafetyForm({**initial, "soak_s": "5 min", "window_start": "", "window_end": ""}, zone=UTC)
    assert form.is_valid(), form.errors
    assert form.onto(CHOICE).hold_through_peak is kept
