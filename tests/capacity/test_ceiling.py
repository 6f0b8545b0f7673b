"""What one server carries: the highest passing step, the curve through the steps, the rank of evidence, whose limit it was."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from capacity.ceiling import (
    Carried,
    Evidence,
    Fit,
    Promised,
    Rank,
    Step,
    Usl,
    exceeds,
    fit,
    generator_was_the_limit,
    highest_passing,
    latency_curve,
    pool_limit,
    ranked,
    why_thin,
)

PROMISED = Promised(0.01, 400.0)
AT = datetime(2026, 11, 9, tzinfo=UTC)


def step(users, rps, latency=200.0, errors=0.0):
    return Step(users, rps, latency, errors)


def test_the_highest_step_inside_the_objective_is_taken_and_the_first_outside_is_named():
    steps = [step(10, 100.0), step(20, 190.0), step(30, 260.0, 410.0), step(40, 300.0, 390.0)]
    found = highest_passing(steps, PROMISED)
    assert found.step == steps[1]
    assert found.fails_at == steps[2]
    assert found.why == "95% took up to 410 ms, 400 ms are promised."


@pytest.mark.parametrize(
    ("latency", "errors", "passes"),
    [
        (400.0, 0.01, True),
        (400.1, 0.0, False),
        (100.0, 0.0101, False),
        (None, 0.0, False),
        (100.0, None, False),
    ],
)
def test_what_is_not_told_never_passes(latency, errors, passes):
    found = highest_passing([step(10, 100.0, latency, errors)], PROMISED)
    assert (found.step is not None) is passes


def test_without_a_promise_nothing_passes():
    assert highest_passing([step(10, 100.0)], Promised()).step is None


def test_where_nothing_failed_the_load_was_not_high_enough_to_tell():
    found = highest_passing([step(10, 100.0), step(20, 150.0)], PROMISED)
    assert (found.step.requests_per_s, found.fails_at) == (150.0, None)


@given(
    st.lists(
        st.tuples(st.integers(1, 500), st.floats(1, 5000), st.floats(1, 900), st.floats(0, 0.05)), max_size=12
    )
)
def test_the_step_taken_passes_and_nothing_below_the_first_failure_carried_more(rows):
    steps = [Step(*row) for row in rows]
    found = highest_passing(steps, PROMISED)
    if found.step is not None:
        assert found.step.latency_ms <= 400.0
        assert found.step.error_ratio <= 0.01
    if found.fails_at is None and steps:
        assert found.step.requests_per_s == max(one.requests_per_s for one in steps)


# --- the curve ---------------------------------------------------------------------------------------------------

curves = st.builds(
    Usl,
    st.floats(0.5, 50.0),
    st.one_of(st.just(0.0), st.floats(1e-4, 0.4)),
    st.one_of(st.just(0.0), st.floats(1e-7, 1e-3)),
)


@settings(max_examples=60, deadline=None)
@given(curves, st.integers(0, 10_000), st.sampled_from([0.0, 0.01, 0.05]))
def test_the_fit_leaves_no_more_squares_than_scipy_within_the_same_bounds(curve, seed, noise):
    dice = np.random.default_rng(seed)
    n = np.asarray([5.0, 10, 20, 40, 60, 80, 120, 160])
    x = np.asarray([curve.at(one) for one in n]) * np.exp(noise * dice.standard_normal(len(n)))
    found = fit(n, x)
    assert isinstance(found, Fit)
    ours = sum((found.curve.at(a) - b) ** 2 for a, b in zip(n, x, strict=True))

    def left(p):
        return p[0] * n / (1 + p[1] * (n - 1) + p[2] * n * (n - 1)) - x

    starts = [(curve.rate, 0.05, 1e-5), (curve.rate, max(curve.contention, 1e-6), max(curve.crosstalk, 1e-9))]
    theirs = min(
        2
        * least_squares(
            left,
            start,
            bounds=([1e-9, 0, 0], [np.inf, 1, np.inf]),
            x_scale=(1.0, 1e-2, 1e-5),
            xtol=1e-14,
            ftol=1e-14,
        ).cost
        for start in starts
    )
    assert ours <= theirs * (1 + 1e-6) + 1e-8 * float((x**2).sum())
    assert found.curve.rate > 0
    assert 0 <= found.curve.contention <= 1
    assert found.curve.crosstalk >= 0


def test_a_known_curve_is_found_again_without_noise():
    true = Usl(3.0, 0.01, 2e-4)
    n = [10, 20, 40, 60, 80, 100]
    found = fit(n, [true.at(one) for one in n])
    assert found.curve.rate == pytest.approx(3.0, rel=1e-6)
    assert found.curve.contention == pytest.approx(0.01, rel=1e-5)
    assert found.curve.crosstalk == pytest.approx(2e-4, rel=1e-6)
    assert found.curve.peak_users == pytest.approx(math.sqrt(0.99 / 2e-4))
    assert not found.is_beyond


@pytest.mark.parametrize("points", [0, 1, 4])
def test_too_few_loads_are_said_to_be_too_few(points):
    says = fit([10.0 * (i + 1) for i in range(points)], [5.0] * points)
    assert says == f"Too few loads for a curve: {points} different ones were measured, 5 are needed."


def test_the_same_load_measured_twice_is_one_load():
    assert isinstance(fit([10, 10, 20, 20, 30, 30], [1, 1, 2, 2, 3, 3]), str)


def test_a_peak_that_nothing_reached_is_called_a_guess():
    true = Usl(3.0, 0.01, 1e-5)
    n = [10, 20, 40, 60, 80, 100]
    assert fit(n, [true.at(one) for one in n]).is_beyond


def test_the_interval_covers_the_truth_at_its_rate():
    true = Usl(3.0, 0.02, 1.5e-4)
    n = np.asarray([10.0, 20, 40, 60, 80, 100, 140])
    dice = np.random.default_rng(3)
    exact = np.asarray([true.at(one) for one in n])
    covered, of = 0, 100
    for seed in range(of):
        found = fit(n, exact + dice.normal(0.0, 3.0, len(n)), seed=seed)
        covered += found.most_low <= true.most <= found.most_high
    assert 0.90 <= covered / of <= 1.0


def test_the_same_points_give_the_same_answer():
    n, x = [10, 20, 40, 60, 80], [28.0, 52, 90, 115, 120]
    assert fit(n, x) == fit(n, x)


@given(curves, st.floats(1, 1000))
def test_no_load_carries_more_than_the_most(curve, users):
    assert curve.at(users) <= curve.most * (1 + 1e-9)


def test_latency_follows_from_the_curve_by_littles_law():
    true = Usl(3.0, 0.02, 1.5e-4)
    n = [10, 20, 40, 60, 80]
    pause_ms = 200.0
    found = latency_curve(true, n, [2.0 * (1000 * one / true.at(one) - pause_ms) for one in n])
    assert found.scale == pytest.approx(2.0)
    assert found.at(true, 50) == pytest.approx(2.0 * (50_000 / true.at(50) - pause_ms))
    assert latency_curve(true, n[:2], [1.0, 2.0]) is None
    assert latency_curve(true, n, [5.0, 4, 3, 2, 1]) is None


# --- evidence ------------------------------------------------------------------------------------------------------


def evidence(rank, rps, days=0, **more):
    fields = {
        "flavor": "general1-4",
        "software": "shop 4.12",
        "mix": "70 % cached",
        "is_least": False,
        **more,
    }
    return Evidence(rank, rps, AT + timedelta(days=days), "x", "ref", **fields)


OLD, NEW = evidence(Rank.STEPS, 80.0), evidence(Rank.STEPS, 70.0, days=5)
LIVE, SIMPLE = evidence(Rank.LIVE, 60.0, mix=""), evidence(Rank.SIMPLE, 200.0, days=9)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ([OLD, NEW, LIVE, SIMPLE], NEW),
        ([LIVE, SIMPLE], LIVE),
        ([SIMPLE], None),
        ([], None),
        ([NEW, evidence(Rank.LIVE, 75.0, mix="")], evidence(Rank.LIVE, 75.0, mix="")),
        ([OLD, evidence(Rank.STEPS, 70.0, days=5, invalid="The generator was the limit.")], OLD),
    ],
)
def test_the_newest_step_benchmark_counts_unless_more_was_seen_live(given, taken):
    found = ranked(given)
    assert found.taken == taken
    assert sorted(found.listed, key=repr) == sorted(given, key=repr)
    assert found.taken is None or found.listed[0] == taken


def test_a_simple_benchmark_alone_is_named_and_is_no_ceiling():
    assert ranked([SIMPLE]).why.startswith("A simple benchmark is no ceiling by itself")


@pytest.mark.parametrize("other", [{"flavor": "general1-8"}, {"software": "shop 5"}, {"mix": "all cached"}])
def test_a_ceiling_belongs_to_size_software_and_mix(other):
    assert ranked([evidence(Rank.STEPS, 90.0)], **other).taken is None


AT_LEAST = evidence(Rank.STEPS, 3.0, days=9, is_least=True)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ([OLD, AT_LEAST], OLD),
        ([OLD, NEW, AT_LEAST], NEW),
        ([AT_LEAST], AT_LEAST),
        ([OLD, evidence(Rank.STEPS, 95.0, days=9, is_least=True)], "itself"),
        ([evidence(Rank.STEPS, 50.0, days=8, is_least=True), AT_LEAST], "the first"),
        ([OLD, evidence(Rank.STEPS, 0.0, days=2, passed_nothing="too slow"), AT_LEAST], AT_LEAST),
    ],
)
def test_a_run_that_was_not_pushed_as_far_takes_the_place_of_none_that_carried_more(given, taken):
    wanted = (
        {"itself": given[-1], "the first": given[0]}.get(taken, taken) if isinstance(taken, str) else taken
    )
    assert ranked(given).taken == wanted


def test_figures_in_sentences_are_written_out():
    high = evidence(Rank.STEPS, 90_000.0)
    found = ranked([high, evidence(Rank.STEPS, 83_612.0, days=1, is_least=True)])
    assert (found.taken, "its 83\u202f612 requests a second" in found.why) == (high, True)


FAILED, BOUND = evidence(Rank.STEPS, 90.0, days=27), evidence(Rank.STEPS, 90.0, days=27, is_least=True)


@pytest.mark.parametrize(
    ("days", "software", "newer", "counts"),
    [
        (0, "", [FAILED], False),
        (0, "shop 4.11", [FAILED], False),
        (0, "Shop 4.12", [FAILED], True),
        (27, "", [FAILED], True),
        (28, "", [FAILED], True),
        # Never pushed to where it fails, it speaks against nothing; the one that failed before it does.
        (0, "", [BOUND], True),
        (0, "", [FAILED, replace(BOUND, at=AT + timedelta(days=30), requests_per_s=50.0)], False),
    ],
)
def test_older_live_evidence_counts_over_a_newer_failure_only_of_the_same_software(
    days, software, newer, counts
):
    one = evidence(Rank.LIVE, 120.0, days=days, software=software, mix="")
    found = ranked([one, *newer])
    assert found.taken == (one if counts else newer[0])
    [listed] = [each for each in found.listed if each.rank is Rank.LIVE]
    assert ("failed below it later" in listed.unproven) is not counts


def test_what_was_seen_live_is_of_whatever_nobody_said_and_counts_only_where_the_promise_was_kept():
    nobody_said = evidence(Rank.LIVE, 75.0, days=6, flavor="", software="", mix="")
    of = {"flavor": "general1-4", "software": "shop 4.12", "mix": "70 % cached"}
    assert ranked([NEW, nobody_said], **of).taken == nobody_said
    for other in ({"software": "before shop 4.12"}, {"flavor": "general1-8"}, {"unproven": "not known"}):
        one = evidence(Rank.LIVE, 75.0, days=6, **{"mix": "", **other})
        found = ranked([NEW, one], **of)
        assert (found.taken, one in found.listed) == (NEW, True)


@pytest.mark.parametrize(
    ("length_s", "requests", "promised", "says"),
    [
        (15.0, 5000, PROMISED, "It lasted 15 s; a step counts from 60 s on."),
        (55.0, 5000, PROMISED, ""),
        (60.0, 199, PROMISED, "It had 199 requests; how long 95% take is told by 200 or more."),
        (60.0, 200, PROMISED, ""),
        (
            60.0,
            200,
            Promised(0.01, 400.0, 0.99),
            "It had 200 requests; how long 99% take is told by 1000 or more.",
        ),
        (60.0, 20, Promised(0.01), ""),
        (None, None, PROMISED, ""),
    ],
)
def test_a_step_counts_from_a_minute_on_and_with_enough_requests(length_s, requests, promised, says):
    assert why_thin(length_s, requests, promised) == says


EVIDENCE = st.builds(
    evidence,
    st.sampled_from(Rank),
    st.floats(1, 200),
    days=st.integers(0, 30),
    software=st.sampled_from(["", "shop 4.12", "shop 5"]),
    is_least=st.booleans(),
)


@given(st.lists(EVIDENCE))
def test_what_counts_is_never_below_what_was_carried_live_since_the_last_failure_and_never_simple(given):
    taken = ranked(given).taken
    failed = max(
        (one for one in given if one.rank is Rank.STEPS and not one.is_least),
        key=lambda one: one.at,
        default=None,
    )
    live = [
        one.requests_per_s
        for one in given
        if one.rank is Rank.LIVE and (failed is None or one.at >= failed.at)
    ]
    if taken is None:
        assert all(one.rank is Rank.SIMPLE for one in given)
        return
    assert taken.rank is not Rank.SIMPLE
    assert taken.requests_per_s >= max(live, default=0.0)
    if failed is not None and taken.rank is Rank.LIVE and taken.at < failed.at:
        assert taken.software == failed.software != ""


@pytest.mark.parametrize(
    ("carried", "limit"),
    [
        ([(4, 360.0), (8, 380.0)], 380.0),
        ([(4, 360.0), (8, 700.0)], None),
        ([(4, 360.0), (4, 350.0)], None),
        ([(8, 300.0), (4, 360.0)], 360.0),
        ([], None),
    ],
)
def test_more_servers_that_carry_no_more_show_the_pools_own_limit(carried, limit):
    found = pool_limit([Carried(*one) for one in carried])
    assert (found.requests_per_s if found else None) == limit


@pytest.mark.parametrize(
    ("errors", "more", "is_limit"),
    [
        ([], {}, False),
        ([("dial tcp 10.0.0.5:443: connect: Cannot assign requested address", 12)], {}, True),
        ([("socket: too many open files", None)], {}, True),
        ([("socket: too many open files", 0)], {}, False),
        ([("502 Bad Gateway", 900)], {}, False),
        ([], {"cpu_share": 0.9}, True),
        ([], {"cpu_share": 0.89}, False),
        ([], {"addresses": 1}, False),
        ([], {"addresses": 1, "is_tied_to_address": True}, True),
        ([], {"addresses": 4, "is_tied_to_address": True}, False),
    ],
)
def test_a_generator_at_its_own_limit_measured_itself(errors, more, is_limit):
    assert bool(generator_was_the_limit(errors, **more)) is is_limit


# --- a newest benchmark that keeps no promise ----------------------------------------------------------------------


NOTHING = evidence(Rank.STEPS, 0.0, days=6, passed_nothing="Already at 20.0 requests a second: too slow.")


def test_what_was_measured_before_a_benchmark_that_passed_nothing_counts_no_more():
    found = ranked([OLD, NEW, LIVE, SIMPLE, NOTHING])
    assert found.taken is None
    assert found.why.startswith(
        "The newest step benchmark (x) kept what is promised under no load. Already at"
    )
    assert NOTHING in found.listed
    later = evidence(Rank.LIVE, 60.0, days=8, mix="")
    assert ranked([OLD, NOTHING, later]).taken == later
    again = evidence(Rank.STEPS, 50.0, days=9)
    assert ranked([OLD, NOTHING, again]).taken == again


@pytest.mark.parametrize(
    ("step", "promised", "is_over"),
    [
        (Step(10, 20.0, 432.0, None), Promised(latency_ms=400.0), True),
        (Step(10, 20.0, 400.0, None), Promised(latency_ms=400.0), False),
        (Step(10, 20.0, None, None), Promised(latency_ms=400.0), False),
        (Step(10, 20.0, 300.0, 0.02), Promised(0.01, 400.0), True),
        (Step(10, 20.0, 300.0, None), Promised(0.01, 400.0), False),
        (Step(10, 20.0, 3000.0, 0.5), Promised(), False),
    ],
)
def test_what_is_not_told_or_not_promised_is_not_known_to_be_outside(step, promised, is_over):
    assert exceeds(step, promised) is is_over
