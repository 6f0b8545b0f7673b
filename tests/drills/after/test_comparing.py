"""Drills of one scenario side by side: what is held against what, and what never is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from drills.after.comparing import HeldResult, over_time
from drills.figures import Change, result_of
from drills.scenarios.types import DrillKind, Environment
from drills.types import Ending, MarkKind
from portal.runs.types import RunStatus
from tests.drills.test_figures import GOOD, PLAN, T0, mark, progress_of


def held(day, *, recovered=30, plan=PLAN, ending=None):
    marks = tuple(
        mark(MarkKind.RECOVERED, recovered) if one.kind is MarkKind.RECOVERED else one for one in GOOD
    )
    status = RunStatus.ABORTED if ending else RunStatus.COMPLETED
    progress = progress_of(marks, until=600, calm_since=mark(MarkKind.RECOVERED, recovered).at, ending=ending)
    return HeldResult(
        f"drill-{day}", "One node lost", T0 + timedelta(days=day), result_of(plan, progress, status)
    )


def change_of(row, label="Recovered"):
    return next(one.change for one in row.cells if one.figure.label == label)


def test_each_is_held_against_the_newest_comparable_one():
    found = over_time([held(2, recovered=300), held(0), held(1, recovered=60)])
    assert [one.held.ref for one in found.rows] == ["drill-2", "drill-1", "drill-0"]
    assert [one.against and one.against.ref for one in found.rows] == ["drill-1", "drill-0", None]
    assert [change_of(one) for one in found.rows] == [Change.WORSE, Change.WORSE, None]
    assert found.has_chart
    assert {one.label for one in found.series} == {"Detected", "Acknowledged", "Recovered"}


def test_what_lies_between_and_measured_something_else_is_passed_over():
    other = held(1, plan=replace(PLAN, environment=Environment.TEST))
    found = over_time([held(0, recovered=300), other, held(2)])
    newest, middle, _ = found.rows
    assert newest.against.ref == "drill-0"
    assert change_of(newest) is Change.BETTER
    assert middle.against is None
    assert "in production" in " ".join(middle.why_not)
    assert found.charted == 2


def test_kinds_sizes_and_what_was_cut_short_are_never_passed_off_for_one_another():
    for other in (
        held(1, plan=replace(PLAN, kind=DrillKind.UNANNOUNCED)),
        held(1, plan=replace(PLAN, pool_size=7)),
        held(1, ending=Ending.STOPPED),
        held(1, ending=Ending.REAL),
    ):
        row = over_time([held(0), other]).rows[0]
        assert row.against is None
        assert row.why_not
        assert all(one.change is None for one in row.cells)


def test_what_nobody_measured_or_claimed_is_no_column():
    assert "Data lost" not in over_time([held(0)]).labels
    assert not over_time([held(0)]).has_chart
    assert over_time([]).rows == ()


@given(st.permutations([held(day, recovered=30 + day) for day in range(6)]))
def test_the_order_in_which_they_are_given_does_not_matter(given_ones):
    found = over_time(given_ones)
    assert [one.held.ref for one in found.rows] == [f"drill-{day}" for day in range(5, -1, -1)]
