"""What the figures of a drill prove by themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drills.after.proposals import proposed
from drills.scenarios.types import DrillKind
from drills.types import Ending, Limits, MarkKind
from portal.runs.types import RunStatus
from tests.drills.test_figures import GOOD, INJECTED, PLAN, mark, progress_of

WITHOUT = tuple(one for one in GOOD if one.kind is not MarkKind.ACKNOWLEDGED)


def found(progress, plan=PLAN, status=RunStatus.COMPLETED):
    return {one.key: one for one in proposed(plan, progress, status)}


def test_a_drill_that_met_its_hypothesis_proposes_what_worked():
    (one,) = found(progress_of()).values()
    assert (one.key, one.severity) == ("held", "good")
    assert "acknowledged" in one.text


def test_a_missed_limit_is_proposed_with_both_figures():
    late = tuple(
        replace(one, at=mark(MarkKind.ACKNOWLEDGED, 400).at)
        if one.by == "u1" and one.kind is MarkKind.ACKNOWLEDGED
        else one
        for one in GOOD
    )
    one = found(progress_of(late))["missed_acknowledged"]
    assert one.severity == "major"
    assert "6 minutes 40 seconds" in one.text
    assert "5 minutes may be" in one.text
    assert one.evidence.key == "figure:acknowledged"


def test_data_that_is_lost_is_critical():
    plan = replace(PLAN, hypothesis=Limits(data_lost_s=60.0))
    marks = (INJECTED, mark(MarkKind.NEWEST_DATA, 100, "u1", value_at=mark(MarkKind.INJECTED, -600).at))
    assert found(progress_of(marks), plan)["missed_data_lost"].severity == "critical"


def test_nobody_who_answers_is_said_once():
    keys = set(found(progress_of(WITHOUT, until=400)))
    assert "nobody_acknowledged" in keys
    assert not keys & {"missed_acknowledged", "unmeasured_acknowledged"}


@pytest.mark.parametrize(("until", "is_silent"), [(299, False), (300, False), (301, True)])
def test_a_drill_cut_short_before_the_limit_says_nothing_of_who_answers(until, is_silent):
    progress = progress_of(
        WITHOUT, until=until, ended_at=mark(MarkKind.INJECTED, until).at, ending=Ending.STOPPED
    )
    assert ("nobody_acknowledged" in found(progress, status=RunStatus.ABORTED)) is is_silent


def test_a_table_top_does_not_wait_for_an_answer():
    plan = replace(PLAN, kind=DrillKind.TABLE_TOP)
    assert "nobody_acknowledged" not in found(progress_of(WITHOUT, until=400), plan)


def test_a_stop_condition_is_proposed_with_what_held():
    progress = progress_of(ending=Ending.STOP_CONDITION, ending_says="More than 20 % of the probes failed.")
    one = found(progress, status=RunStatus.ABORTED)["stop_condition"]
    assert one.severity == "major"
    assert "More than 20 %" in one.text
    assert one.evidence.key.startswith("moment:ended:")


def test_what_was_claimed_and_not_measured_is_minor():
    plan = replace(PLAN, hypothesis=Limits(informed_s=60.0, recovered_s=900.0))
    assert found(progress_of(), plan)["unmeasured_informed"].severity == "minor"


@pytest.mark.parametrize("ending", [Ending.REAL, Ending.NOT_STARTED, Ending.POOL_CHANGED])
def test_what_proves_nothing_proposes_nothing(ending):
    assert not found(progress_of(ending=ending), status=RunStatus.ABORTED)


def test_nothing_is_proposed_while_it_runs_or_where_nothing_was_injected():
    assert not found(progress_of(), status=RunStatus.RUNNING)
    assert not found(progress_of(()))


def test_no_name_stands_in_a_proposal():
    late = (*WITHOUT, mark(MarkKind.ACKNOWLEDGED, 400, "u1"))
    for ending in (None, Ending.STOPPED, Ending.NOT_COME_BACK):
        for one in found(
            progress_of(
                late,
                ending=ending,
                ending_says="" if ending is None else "x",
                ended_by="Ada Lovelace" if ending else "",
            )
        ).values():
            assert "Ada" not in one.text + one.evidence.says
