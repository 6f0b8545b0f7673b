"""What a drill measured and what that says: from moments by hand, at random, and from whole drills on the virtual clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drills.figures import (
    Change,
    Judged,
    Lane,
    Unit,
    axis,
    compare,
    figures_of,
    next_on,
    out_of_date,
    result_of,
    said,
    verdict_of,
)
from drills.scenarios.types import DrillKind, Environment, InjectionKind, Role, StepKind
from drills.types import (
    PLAN_FORMAT,
    DrillPlan,
    DrillProbe,
    Ending,
    Limits,
    Mark,
    MarkKind,
    Person,
    Seen,
    new_progress,
)
from portal.runs.types import RunStatus
from tests.drills.simulation import Event, Play, plan_for, step

T0 = datetime(2026, 3, 3, 10, 0, tzinfo=UTC)


def at(seconds):
    return T0 + timedelta(seconds=seconds)


def mark(kind, seconds, by="", **more):
    return Mark(
        kind, at(seconds), by, "Ada Lovelace" if by else "", "Ada Lovelace said so." if by else "", **more
    )


PLAN = DrillPlan(
    format=PLAN_FORMAT,
    account_ref="account",
    scenario_key="host_failure",
    scenario_title="Host failure",
    scenario_version=1,
    scenario_digest="0" * 64,
    objective="Show that one server may be lost.",
    kind=DrillKind.ANNOUNCED,
    environment=Environment.PRODUCTION,
    injection=InjectionKind.STOP,
    steps=(step(1, StepKind.AUTOMATED, injects=True),),
    hypothesis=Limits(
        error_ratio=0.05, p95_ms=500.0, acknowledged_s=300.0, mitigated_s=600.0, recovered_s=900.0
    ),
    undo="It is started again.",
    emergency_plan="Call the one in charge.",
    not_before=T0,
    not_after=at(7200),
    pool_size=6,
    probes=(DrillProbe("home", "https://shop.example/"),),
    calm_s=20.0,
    people=(Person("u1", True, Role.PARTICIPANT), Person("u2", True, Role.OBSERVER)),
)
INJECTED = mark(MarkKind.INJECTED, 0)
GOOD = (
    INJECTED,
    mark(MarkKind.DETECTED, 4),
    mark(MarkKind.ACKNOWLEDGED, 90, "u1"),
    mark(MarkKind.MITIGATED, 200, "u1"),
    mark(MarkKind.RECOVERED, 30),
)


def answers(*, failed=(), until=260, every=10):
    return tuple(
        Seen("home", at(one), one not in failed, None if one in failed else 80.0)
        for one in range(0, until, every)
    )


def progress_of(marks=GOOD, *, failed=(10, 20), until=260, **more):
    seen = answers(failed=failed, until=until)
    values = {
        "began_at": at(-60),
        "ended_at": at(until),
        "marks": tuple(marks),
        "seen": seen,
        "asked": len(seen),
        "failed": len(failed),
        "worst_error_ratio": 0.04,
        "worst_p95_ms": 120.0,
        "calm_since": at(30) if failed else at(0),
    }
    return replace(new_progress(PLAN), **{**values, **more})


def figure(name, progress, plan=PLAN, **more):
    return next(one for one in figures_of(plan, progress, **more) if one.name == name)


def judged(progress, plan=PLAN, status=RunStatus.COMPLETED):
    return verdict_of(plan, progress, status)


# --- figures ----------------------------------------------------------------------------------------------


def test_times_count_from_the_first_injection():
    progress = progress_of((*GOOD, mark(MarkKind.INJECTED, 60)))
    found = {
        one.name: (one.value_s, one.met) for one in figures_of(PLAN, progress) if one.unit is Unit.SECONDS
    }
    assert found == {
        "detected": (4.0, None),
        "acknowledged": (90.0, True),
        "informed": (None, None),
        "mitigated": (200.0, True),
        "recovered": (30.0, True),
        "data_lost": (None, None),
        "usable": (None, None),
    }


def test_whoever_is_first_detects_and_is_named_by_role_alone():
    assert figure("detected", progress_of()).says == "After 4 seconds, by a probe."
    person = figure("detected", progress_of((*GOOD, mark(MarkKind.DETECTED, 2, "u2"))))
    assert (person.says, person.role, person.by_name) == (
        "After 2 seconds, by an observer.",
        Role.OBSERVER,
        "Ada Lovelace",
    )


def test_what_was_noted_before_the_injection_is_no_effect_of_it():
    progress = progress_of(
        (INJECTED, mark(MarkKind.DETECTED, -5, "u2"), mark(MarkKind.ACKNOWLEDGED, -1, "u1"))
    )
    assert not figure("detected", progress).is_known
    assert not figure("acknowledged", progress).is_known


def test_users_of_a_run_get_their_role_from_outside():
    progress = progress_of((INJECTED, mark(MarkKind.ACKNOWLEDGED, 9, "17")))
    assert figure("acknowledged", progress).says == "After 9 seconds, by somebody."
    found = figure("acknowledged", progress, roles={"17": Role.LAUNCH_MANAGER})
    assert found.says == "After 9 seconds, by a launch manager."


def test_the_contact_who_answers_the_escalation_has_no_role():
    one = Mark(MarkKind.ACKNOWLEDGED, at(70), "", "Ada Lovelace", "Ada Lovelace acknowledged.")
    found = figure("acknowledged", progress_of((INJECTED, one)))
    assert found.says == "After 70 seconds, by whoever was called."
    assert found.by_name == "Ada Lovelace"


@pytest.mark.parametrize(("seconds", "met"), [(299, True), (300, True), (301, False)])
def test_a_limit_is_met_up_to_itself(seconds, met):
    progress = progress_of((INJECTED, mark(MarkKind.ACKNOWLEDGED, seconds, "u1")))
    assert figure("acknowledged", progress).met is met


def test_the_harm_is_not_over_where_a_probe_fails_after_the_word():
    found = figure("mitigated", progress_of((*GOOD, mark(MarkKind.MITIGATED, 15, "u1"))))
    assert found.value == 200.0, "the newest word counts"
    early = figure("mitigated", progress_of((INJECTED, mark(MarkKind.MITIGATED, 15, "u1"))))
    assert (early.value, early.met) == (None, None)
    assert "a probe failed after 20 seconds" in early.says


def test_recovered_is_the_newest_recovery_after_the_newest_failure():
    marks = (*GOOD, mark(MarkKind.RECOVERED, 150))
    progress = progress_of(marks, failed=(10, 20, 100, 140), calm_since=at(150))
    assert figure("recovered", progress).value == 150.0
    again = figure("recovered", progress_of(failed=(10, 20, 100), calm_since=at(110), until=120))
    assert (again.value, again.met) == (None, None)
    assert "failed again" in again.says


def test_who_has_not_recovered_past_the_limit_has_missed_it():
    found = figure(
        "recovered", progress_of((INJECTED,), failed=range(0, 1000, 10), until=1000, calm_since=None)
    )
    assert (found.value, found.met) == (None, False)


def test_probes_that_were_never_outside_say_so_instead_of_0():
    progress = progress_of(
        (INJECTED, mark(MarkKind.DETECTED, 5, "u2"), mark(MarkKind.RECOVERED, 0)), failed=()
    )
    found = figure("recovered", progress)
    assert (found.value, found.is_none, found.met) == (None, True, True)
    assert "never outside" in found.says


@pytest.mark.parametrize(
    "more",
    [
        {"asked": 4},
        {"worst_p95_ms": None},
        {"calm_since": None},
        {"seen": (*answers(), Seen("home", at(300), None, None))},
    ],
)
def test_too_few_answers_do_not_say_that_they_were_never_outside(more):
    found = figure("recovered", progress_of((INJECTED,), failed=(), **more))
    assert (found.is_known, found.met) == (False, None)


def test_slow_answers_are_outside_too_and_recover_when_they_are_quick_again():
    progress = progress_of((INJECTED,), failed=(), worst_p95_ms=900.0, calm_since=at(120))
    assert figure("recovered", progress).value == 120.0
    assert figure("p95_ms", progress).met is False
    short = figure("recovered", progress_of((INJECTED,), failed=(), worst_p95_ms=900.0, calm_since=at(245)))
    assert not short.is_known, "it was calm for less than it must"


def test_data_lost_is_the_age_of_the_newest_data_at_the_injection():
    plan = replace(PLAN, hypothesis=Limits(data_lost_s=300.0))

    def lost(*marks):
        return figure("data_lost", progress_of((INJECTED, *marks)), plan)

    noted = mark(MarkKind.NEWEST_DATA, 60, "u1", value_at=at(-240))
    assert (lost(noted).value, lost(noted).met) == (240.0, True)
    corrected = mark(MarkKind.NEWEST_DATA, 90, "u1", value_at=at(-301))
    assert (lost(noted, corrected).value, lost(noted, corrected).met) == (301.0, False)
    assert lost(mark(MarkKind.NEWEST_DATA, 60, "u1", value_at=at(20))).value == 0.0
    for unknown in (lost(), lost(mark(MarkKind.NEWEST_DATA, 60, "u1", value_at=at(99)))):
        assert (unknown.value, unknown.met) == (None, None)


def test_where_no_probe_watches_it_has_recovered_by_a_persons_word():
    plan = replace(PLAN, probes=(), hypothesis=Limits(recovered_s=900.0))
    unwatched = {"failed": (), "seen": (), "asked": 0, "worst_error_ratio": None, "calm_since": None}

    def recovered(*marks, of=plan, **more):
        return figure("recovered", progress_of((INJECTED, *marks), **(more or unwatched)), of)

    usable = mark(MarkKind.USABLE, 600, "u1")
    assert (recovered(usable).value, recovered(usable).met) == (600.0, True)
    late = mark(MarkKind.USABLE, 901, "u1")
    assert (recovered(usable, late).value, recovered(usable, late).met) == (901.0, False)
    assert recovered().met is None
    assert judged(progress_of((INJECTED, usable), **unwatched), plan).result is Judged.MET
    # A site that nothing happened to says nothing of the data that is read back beside it.
    beside = replace(PLAN, hypothesis=Limits(recovered_s=900.0, data_lost_s=60.0))
    assert recovered(of=beside, failed=()).met is None
    assert recovered(usable, of=beside, failed=()).met is True
    assert recovered(late, of=beside, failed=(10, 20)).met is False


def test_whether_the_data_is_whole_is_what_the_check_chosen_beforehand_showed():
    plan = replace(PLAN, hypothesis=Limits(), completeness="Orders until noon: the same sum as the bank’s.")

    def whole(*marks):
        return figure("complete", progress_of((INJECTED, *marks)), plan)

    failed, passed = (
        mark(MarkKind.COMPLETE, 60, "u1", passed=False),
        mark(MarkKind.COMPLETE, 90, "u1", passed=True),
    )
    assert (whole(failed).value, whole(failed).met) == (1.0, False)
    assert (whole(failed, passed).value, whole(failed, passed).met) == (0.0, True)
    assert "the same sum as the bank’s" in whole(passed).says
    assert (whole().value, whole().met) == (None, None)
    assert figure("complete", progress_of((INJECTED, passed))).limit is None, (
        "nothing was chosen, nothing is claimed"
    )
    lost = judged(progress_of((INJECTED, failed)), plan)
    assert lost.result is Judged.NOT_MET
    assert lost.reasons == (
        "Completeness: Failed, by a participant: Orders until noon: the same sum as the bank’s.",
    )
    assert judged(progress_of((INJECTED, passed)), plan).result is Judged.MET
    says = [one.says for one in axis(plan, progress_of((INJECTED, failed, passed))) if one.kind == "complete"]
    assert [one.split(",")[0] for one in says] == [
        "The check of completeness failed",
        "The check of completeness passed",
    ]


def test_probes_are_counted_and_held_against_their_limits():
    found = progress_of()
    assert figure("probes_failed", found).says == "2 of 26 probes failed after the injection."
    assert figure("error_ratio", found).met is True
    assert figure("error_ratio", replace(found, worst_error_ratio=0.051)).met is False
    # Too few answers for a worst share: the share of all of them; too few even for that are not known.
    few = figure("error_ratio", replace(found, worst_error_ratio=None, asked=9, failed=1))
    assert (few.value, few.met, few.says) == (1 / 9, False, "1 of 9 probes failed, 11.1 %.")
    assert figure("error_ratio", replace(found, worst_error_ratio=None, asked=4, failed=1)).met is None
    assert figure("probes_failed", replace(found, asked=0, failed=0)).value is None


# --- the verdict ------------------------------------------------------------------------------------------


def test_a_drill_that_held_is_met():
    assert judged(progress_of()).result is Judged.MET


def test_a_run_that_goes_on_has_no_verdict():
    assert judged(progress_of(), status=RunStatus.RUNNING) is None


def test_each_limit_that_was_missed_or_not_measured_is_named():
    plan = replace(PLAN, hypothesis=replace(PLAN.hypothesis, informed_s=60.0, acknowledged_s=60.0))
    verdict = judged(progress_of(), plan)
    assert verdict.result is Judged.NOT_MET
    assert verdict.reasons == (
        "Acknowledged: 90 seconds; 1 minute may be.",
        "Informed: could not be measured. Nobody noted that others were told. Not known.",
    )


@pytest.mark.parametrize("ending", list(Ending))
def test_each_early_ending_has_its_verdict(ending):
    verdict = judged(progress_of(ending=ending, ending_says="So it was."), status=RunStatus.ABORTED)
    expected = {
        Ending.REAL: Judged.INVALID,
        Ending.NOT_STARTED: Judged.INVALID,
        Ending.POOL_CHANGED: Judged.INVALID,
        Ending.NOT_COME_BACK: Judged.NOT_MET,
    }
    assert verdict.result is expected.get(ending, Judged.STOPPED)
    assert verdict.reasons[0]


@pytest.mark.parametrize("ending", [None, Ending.STOPPED, Ending.REFUSED])
def test_without_an_injection_nothing_is_shown(ending):
    verdict = judged(progress_of((), ending=ending), status=RunStatus.ABORTED)
    assert verdict.result is Judged.INVALID
    assert "Nothing was injected" in verdict.reasons[-1]


def test_what_a_person_ended_stands_among_the_people_by_their_role():
    for ending in (Ending.STOPPED, Ending.REAL):
        ended = axis(PLAN, progress_of(ending=ending, ended_by="17"), {"17": Role.OBSERVER})[-1]
        assert (ended.kind, ended.lane, ended.role, ended.by_name) == (
            "ended",
            Lane.PEOPLE,
            Role.OBSERVER,
            "",
        )
    ended = axis(PLAN, progress_of(ending=Ending.STOP_CONDITION), {})[-1]
    assert (ended.lane, ended.role) == (Lane.SYSTEMS, None)


def test_who_ended_it_is_not_named():
    for ending in (Ending.STOPPED, Ending.REAL, Ending.NOT_COME_BACK):
        progress = progress_of(ending=ending, ending_says="Ada Lovelace: enough.", ended_by="17")
        told = [
            *judged(progress, status=RunStatus.ABORTED).reasons,
            *(one.says for one in axis(PLAN, progress)),
        ]
        assert not [one for one in told if "Ada" in one]


def test_a_plan_that_claims_nothing_meets_nothing():
    assert judged(progress_of(), replace(PLAN, hypothesis=Limits())).result is Judged.INVALID


def test_a_run_that_was_broken_off_without_a_reason_was_stopped():
    assert judged(progress_of(), status=RunStatus.ABORTED).result is Judged.STOPPED


# --- the axis ---------------------------------------------------------------------------------------------


def test_people_and_systems_stand_on_one_axis():
    found = [(one.kind, one.after_s, one.lane) for one in axis(PLAN, progress_of())]
    assert found == [
        ("began", -60.0, Lane.SYSTEMS),
        ("injected", 0.0, Lane.SYSTEMS),
        ("detected", 4.0, Lane.SYSTEMS),
        ("recovered", 30.0, Lane.SYSTEMS),
        ("acknowledged", 90.0, Lane.PEOPLE),
        ("mitigated", 200.0, Lane.PEOPLE),
        ("ended", 260.0, Lane.SYSTEMS),
    ]


def test_the_axis_says_roles_and_keeps_the_name_apart():
    found = next(one for one in axis(PLAN, progress_of()) if one.kind == "acknowledged")
    assert (found.says, found.role) == ("Acknowledged, by a participant.", Role.PARTICIPANT)
    assert found.by_name == "Ada Lovelace"
    assert not [one for one in axis(PLAN, progress_of()) if "Ada" in one.says]


def test_without_an_injection_the_axis_has_no_seconds():
    assert {one.after_s for one in axis(PLAN, progress_of(()))} == {None}


# --- two drills -------------------------------------------------------------------------------------------


def result(progress=None, plan=PLAN, status=RunStatus.COMPLETED):
    return result_of(plan, progress or progress_of(), status)


def change(comparison, name):
    return next(one.change for one in comparison.figures if one.name == name)


def test_two_drills_are_compared_figure_by_figure():
    later = progress_of((*GOOD[:2], mark(MarkKind.ACKNOWLEDGED, 40, "u1"), *GOOD[3:]), worst_p95_ms=300.0)
    found = compare(result(), result(later))
    assert found.is_comparable
    assert change(found, "acknowledged") is Change.BETTER
    assert change(found, "p95_ms") is Change.WORSE
    assert change(found, "recovered") is Change.SAME
    assert change(found, "informed") is Change.NOT_COMPARABLE
    assert change(found, "probes_failed") is Change.NOT_COMPARABLE


def test_what_differs_by_less_than_the_looks_show_is_the_same():
    marks = {n: (*GOOD[:2], mark(MarkKind.ACKNOWLEDGED, 90 + n, "u1"), *GOOD[3:]) for n in (-5, 5, 6)}
    found = {
        n: change(compare(result(), result(progress_of(one))), "acknowledged") for n, one in marks.items()
    }
    assert found == {-5: Change.SAME, 5: Change.SAME, 6: Change.WORSE}


def test_never_having_been_outside_is_better_than_any_recovery():
    never = result(progress_of((INJECTED,), failed=()))
    assert change(compare(result(), never), "recovered") is Change.BETTER
    assert change(compare(never, result()), "recovered") is Change.WORSE
    assert change(compare(never, never), "recovered") is Change.SAME


@pytest.mark.parametrize(
    "more",
    [
        {"kind": DrillKind.UNANNOUNCED},
        {"environment": Environment.TEST},
        {"pool_size": 7},
        {"scenario_key": "other"},
        {"injection": InjectionKind.NODE_OUT},
    ],
)
def test_unlike_drills_are_never_better_or_worse(more):
    found = compare(result(), result(plan=replace(PLAN, **more)))
    assert len(found.why_not) == 1
    assert {one.change for one in found.figures} == {Change.NOT_COMPARABLE}


def test_a_drill_that_was_stopped_compares_with_nothing():
    stopped = result(progress_of(ending=Ending.STOPPED), status=RunStatus.ABORTED)
    assert not compare(result(), stopped).is_comparable
    assert not compare(stopped, result()).is_comparable


# --- the next one -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("judged_", "on"),
    [(Judged.MET, date(2026, 5, 31)), *((one, date(2026, 3, 16)) for one in list(Judged)[1:])],
)
def test_the_next_drill_comes_sooner_after_one_that_did_not_meet(judged_, on):
    found = next_on(date(2026, 3, 2), judged_, repeat_after_days=90, repeat_after_failure_days=14)
    assert found.on == on
    assert found.says


def test_evidence_is_out_of_date_after_a_change_of_size():
    assert out_of_date(6, 6) == ""
    assert out_of_date(0, 9) == "", "a table-top had no pool"
    assert "grown from 6 to 9" in out_of_date(6, 9)
    assert "shrunk from 6 to 4" in out_of_date(6, 4)
    assert "not known" in out_of_date(6, None)


# --- at random --------------------------------------------------------------------------------------------

KINDS = st.sampled_from(list(MarkKind))
SECONDS = st.integers(-50, 1200)
MARKS = st.lists(
    st.builds(
        lambda kind, seconds, by, value: mark(
            kind, seconds, by, value_at=None if value is None else at(value)
        ),
        KINDS,
        SECONDS,
        st.sampled_from(["", "u1", "u2", "17"]),
        st.none() | st.integers(-900, 1200),
    ),
    max_size=12,
)
FAILURES = st.sets(st.sampled_from(range(0, 260, 10)), max_size=6)
PROGRESS = st.builds(
    lambda marks, failed, p95, ratio, calm, asked, ended: progress_of(
        marks,
        failed=tuple(failed),
        worst_p95_ms=p95,
        worst_error_ratio=ratio,
        calm_since=None if calm is None else at(calm),
        asked=asked,
        ended_at=None if ended is None else at(ended),
    ),
    MARKS,
    FAILURES,
    st.none() | st.floats(0, 1000),
    st.none() | st.floats(0, 1),
    st.none() | st.integers(0, 260),
    st.integers(0, 40),
    st.none() | st.integers(0, 2000),
)
LIMITS = st.builds(
    Limits,
    error_ratio=st.none() | st.floats(0, 1),
    p95_ms=st.none() | st.floats(1, 1000),
    acknowledged_s=st.none() | st.floats(1, 1200),
    informed_s=st.none() | st.floats(1, 1200),
    mitigated_s=st.none() | st.floats(1, 1200),
    recovered_s=st.none() | st.floats(1, 1200),
    data_lost_s=st.none() | st.floats(0, 1200),
)


@given(PROGRESS, LIMITS, st.randoms())
def test_the_order_in_which_moments_were_kept_does_not_matter(progress, limits, random):
    plan = replace(PLAN, hypothesis=limits)
    marks = list(progress.marks)
    random.shuffle(marks)
    other = replace(progress, marks=tuple(marks))
    assert figures_of(plan, progress) == figures_of(plan, other)
    assert axis(plan, progress) == axis(plan, other)


@given(PROGRESS, LIMITS)
def test_the_unknown_is_never_met(progress, limits):
    plan = replace(PLAN, hypothesis=limits)
    figures = figures_of(plan, progress)
    assert not [one for one in figures if one.met and not (one.is_known and one.limit is not None)]
    if verdict_of(plan, progress, RunStatus.COMPLETED).result is Judged.MET:
        assert all(one.met for one in figures if one.limit is not None)


RANK = {True: 2, None: 1, False: 0}


@given(PROGRESS, LIMITS, st.integers(0, 900))
def test_a_later_failure_makes_nothing_better(progress, limits, later_s):
    plan = replace(PLAN, hypothesis=limits)
    last = max([260, *((one.at - T0).total_seconds() for one in progress.marks)])
    failure = Seen("home", at(last + 1 + later_s), False, None)
    worse = replace(
        progress, seen=(*progress.seen, failure), failed=progress.failed + 1, asked=progress.asked + 1
    )
    for was, now in zip(figures_of(plan, progress), figures_of(plan, worse), strict=True):
        assert RANK[now.met] <= RANK[was.met], (was, now)
    if verdict_of(plan, worse, RunStatus.COMPLETED).result is Judged.MET:
        assert verdict_of(plan, progress, RunStatus.COMPLETED).result is Judged.MET


@given(st.floats(0, 1e9), st.sampled_from(list(Unit)))
def test_every_value_can_be_said(value, unit):
    assert said(value, unit)


# --- whole drills -----------------------------------------------------------------------------------------


@cache
def played(name):
    events, build = {
        "held": (
            [
                Event(20.0, "command", "mark", (("kind", "acknowledged"),)),
            ],
            lambda world: plan_for(
                world,
                InjectionKind.STOP,
                hold_s=60.0,
                hypothesis=Limits(error_ratio=0.25, p95_ms=2000.0, acknowledged_s=300.0, recovered_s=300.0),
            ),
        ),
        "demand": (
            [Event(15.0, "demand", "", (6.0,))],
            lambda world: plan_for(world, InjectionKind.NODE_OUT, targets=3, hold_s=600.0),
        ),
        "real": (
            [Event(4.0, "command", "real")],
            lambda world: plan_for(world, InjectionKind.STOP, hold_s=600.0),
        ),
        "early": ([Event(0.0, "command", "stop")], plan_for),
    }[name]
    play = Play(events, build=build)
    return play.plan, play.play()


@pytest.mark.parametrize(
    ("name", "result"),
    [("held", Judged.MET), ("demand", Judged.STOPPED), ("real", Judged.INVALID), ("early", Judged.INVALID)],
)
def test_a_whole_drill_has_the_verdict_that_it_deserves(name, result):
    plan, drill = played(name)
    verdict = verdict_of(plan, drill.progress, drill.status)
    assert verdict.result is result, verdict


def test_a_whole_drill_is_measured():
    plan, drill = played("held")
    found = {one.name: one for one in figures_of(plan, drill.progress)}
    assert 0 < found["acknowledged"].value < 60
    assert found["recovered"].met is True
    assert found["probes_failed"].value == drill.progress.failed
    assert found["error_ratio"].value == drill.progress.worst_error_ratio > 0
    kinds = [one.kind for one in axis(plan, drill.progress)]
    assert (
        kinds.index("injected") < kinds.index("acknowledged") < kinds.index("undone") < kinds.index("ended")
    )


def test_where_nothing_was_outside_there_was_no_harm_to_end():
    quiet = progress_of((INJECTED,), failed=(), calm_since=at(0))
    found = figure("mitigated", quiet)
    assert (found.value, found.is_none, found.met) == (None, True, True)
    assert "no harm to end" in found.says
    # With a failed probe somebody has to say when it was over.
    assert figure("mitigated", progress_of((INJECTED,))).is_known is False
