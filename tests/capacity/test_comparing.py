"""Better, the same, worse or not comparable: by size, by chance, and by a second run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as oracle

from capacity import comparing
from capacity.comparing import (
    KIND_OF,
    KINDS,
    Comparison,
    Environment,
    Figure,
    FigureCompared,
    LoadKind,
    LoadOf,
    Measurement,
    Tolerance,
    Verdict,
    compare,
    learnt_tolerance,
    standing,
    usual_tolerance,
)

AT = datetime(2026, 11, 9, 6, 30, tzinfo=UTC)
SIX = Environment(6, "general1-4", "shop 4.12", "70 % cached")
USERS = LoadOf(LoadKind.CLOSED, 20.0)
UNITS = {
    "requests_per_s_per_node": 80.0,
    "p50_ms": 100.0,
    "p95_ms": 300.0,
    "p99_ms": 700.0,
    "error_ratio": 0.01,
}


def measured(load=USERS, environment=SIX, invalid="", **figures):
    return Measurement(
        AT, environment, load, tuple(Figure(key, value) for key, value in figures.items()), invalid
    )


def verdict(key, before, after, **more):
    return compare(measured(**{key: before}), measured(**{key: after}), **more).verdict


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.key)
def test_which_direction_is_good_is_known_of_each_figure(kind):
    at = UNITS[kind.key]
    more, less = (Verdict.BETTER, Verdict.WORSE) if kind.more_is_good else (Verdict.WORSE, Verdict.BETTER)
    assert verdict(kind.key, at, at * 2) is more
    assert verdict(kind.key, at, at * 0.3) is less
    assert verdict(kind.key, at, at) is Verdict.SAME


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (300.0, 360.0, Verdict.SAME),  # 20 % and no more
        (300.0, 360.1, Verdict.WORSE),
        (20.0, 39.0, Verdict.SAME),  # nearly twice as slow, and nobody notices 19 ms
        (20.0, 40.1, Verdict.WORSE),
    ],
)
def test_a_difference_counts_beyond_a_share_and_beyond_a_floor(before, after, says):
    assert verdict("p95_ms", before, after) is says


def test_failures_where_there_were_none_count_from_the_floor():
    assert verdict("error_ratio", 0.0, 0.0019) is Verdict.SAME
    assert verdict("error_ratio", 0.0, 0.0021) is Verdict.WORSE


def test_an_agreed_tolerance_takes_the_place_of_the_usual_one():
    wide = [Tolerance("p95_ms", 0.5, 20.0)]
    assert verdict("p95_ms", 300.0, 440.0, tolerances=wide) is Verdict.SAME
    assert verdict("p95_ms", 300.0, 451.0, tolerances=wide) is Verdict.WORSE


@pytest.mark.parametrize(
    ("newer", "says"),
    [
        ({"environment": replace(SIX, node_count=4)}, "Another number of servers: 4, the baseline has 6."),
        ({"environment": replace(SIX, flavor="general1-8")}, "Another size of the servers"),
        ({"environment": replace(SIX, mix="all cached")}, "Another mix of requests"),
        ({"environment": replace(SIX, mix="")}, "The mix of requests was not said of one."),
        ({"load": LoadOf(LoadKind.CLOSED, 22.1)}, "Another load"),
        ({"load": LoadOf(LoadKind.OPEN, 20.0)}, "Another kind of load"),
        ({"load": None}, "The load is not known"),
        ({"invalid": "The generator was the limit."}, "The generator was the limit."),
    ],
)
def test_another_load_or_environment_is_not_comparable_and_says_why(newer, says):
    found = compare(measured(p95_ms=300.0), measured(p95_ms=900.0, **newer))
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert not found.figures
    assert says in " ".join(found.why)


def test_another_software_is_what_is_compared():
    newer = measured(environment=replace(SIX, software="shop 4.13"), p95_ms=900.0)
    assert compare(measured(p95_ms=300.0), newer).verdict is Verdict.WORSE


def test_a_rate_that_was_asked_for_is_no_result():
    asked = LoadOf(LoadKind.OPEN, 80.0)
    found = compare(
        measured(load=asked, requests_per_s_per_node=80.0, p95_ms=300.0),
        measured(load=asked, requests_per_s_per_node=60.0, p95_ms=300.0),
    )
    assert [one.key for one in found.figures] == ["p95_ms"]


def test_nothing_in_common_is_not_comparable():
    found = compare(measured(p95_ms=300.0), measured(p50_ms=100.0))
    assert (found.verdict, found.why) == (Verdict.NOT_COMPARABLE, ("They have no figure in common.",))


def test_what_a_newer_run_does_not_tell_is_named():
    found = compare(measured(p50_ms=100.0, p95_ms=300.0), measured(p50_ms=100.0))
    assert (found.verdict, found.why) == (Verdict.SAME, ("It does not tell: 95 of 100 within.",))


@pytest.mark.parametrize(
    ("p95_ms", "says"), [(300.0, "not_comparable"), (100.0, "not_comparable"), (900.0, "worse")]
)
def test_without_the_share_that_failed_nothing_is_the_same_or_better(p95_ms, says):
    """A site that fails at once is fast: its latencies look better than ever."""
    found = compare(measured(p95_ms=300.0, error_ratio=0.001), measured(p95_ms=p95_ms))
    assert found.verdict == says
    assert found.why == ("It does not tell: Failed.",)
    both = compare(measured(p95_ms=300.0), measured(p95_ms=p95_ms))
    assert both.verdict is not Verdict.NOT_COMPARABLE, "the baseline did not tell it either"


def in_stretches(values):
    values = tuple(float(one) for one in values)
    return Measurement(AT, SIX, USERS, (Figure("p95_ms", float(np.median(values)), values),))


def test_a_large_difference_of_few_scattered_stretches_is_not_sure_and_no_verdict():
    found = compare(in_stretches([100, 500, 120, 480, 200]), in_stretches([480, 130, 520, 110, 490])).figures[
        0
    ]
    assert found.looks is Verdict.WORSE
    assert found.confidence < 0.95
    assert found.verdict is Verdict.SAME


def test_a_difference_that_every_stretch_shows_is_sure():
    found = compare(in_stretches([300, 310, 290, 305, 295]), in_stretches([400, 410, 390, 405, 395])).figures[
        0
    ]
    assert found.confidence > 0.99
    assert found.verdict is Verdict.WORSE


@given(
    st.lists(st.floats(50, 500), min_size=5, max_size=40),
    st.lists(st.floats(50, 500), min_size=5, max_size=40),
)
def test_confidence_is_that_of_the_one_sided_rank_test(before, after):
    found = compare(in_stretches(before), in_stretches(after)).figures[0]
    rises = found.newer >= found.baseline
    says = oracle.mannwhitneyu(after, before, alternative="greater" if rises else "less")
    if len(set(before) | set(after)) == 1:
        assert found.confidence == 0.0
        return
    is_exact = min(len(before), len(after)) <= 8 and len({*before, *after}) == len(before) + len(after)
    says = oracle.mannwhitneyu(
        after,
        before,
        alternative="greater" if rises else "less",
        method="exact" if is_exact else "asymptotic",
    )
    assert found.confidence == pytest.approx(1 - says.pvalue, abs=1e-9)


@pytest.mark.parametrize(
    ("few", "many", "says"),
    [
        ((3, 1000), (4, 1000), Verdict.SAME),
        ((3, 1000), (40, 1000), Verdict.WORSE),
        ((0, 20), (1, 20), Verdict.SAME),
    ],
)
def test_a_share_of_failures_is_judged_with_how_many_were_counted(few, many, says):
    def of(count, total):
        return Measurement(AT, SIX, USERS, (Figure("error_ratio", count / total, count=count, of=total),))

    assert compare(of(*few), of(*many)).verdict is says


@given(st.integers(0, 3000), st.integers(1, 3000))
def test_the_spread_of_a_share_covers_it_and_is_that_of_clopper_and_pearson_for_few(count, total):
    count = min(count, total)
    low, high = Figure("error_ratio", count / total, count=count, of=total).spread
    assert 0.0 <= low <= count / total <= high <= 1.0
    if total <= 2000:
        exact = oracle.binomtest(count, total).proportion_ci(0.95, "exact")
        assert (low, high) == (pytest.approx(exact.low, abs=1e-6), pytest.approx(exact.high, abs=1e-6))


def test_the_spread_of_stretches_is_where_eight_of_ten_lie_and_is_unknown_for_few():
    assert Figure("p95_ms", 5.0, tuple(range(11))).spread == (1.0, 9.0)
    assert Figure("p95_ms", 5.0, (4.0, 5.0, 6.0)).spread is None


# --- the tolerance that the account's own runs teach --------------------------------------------------------------


def test_the_quantiles_are_those_of_student():
    assert [oracle.t.ppf(0.975, n + 2) for n in range(len(comparing._T_975))] == pytest.approx(
        comparing._T_975, abs=6e-4
    )


def test_fewer_than_three_runs_teach_nothing():
    assert learnt_tolerance("p95_ms", [300.0, 500.0]) == usual_tolerance("p95_ms")
    assert learnt_tolerance("error_ratio", [0.0, 0.1, 0.2]) == usual_tolerance("error_ratio")


@given(st.sampled_from([kind.key for kind in KINDS]), st.lists(st.floats(1e-3, 1e6), max_size=30))
def test_what_is_learnt_stays_between_half_and_three_times_the_usual(key, values):
    found, usual = learnt_tolerance(key, values), usual_tolerance(key)
    assert usual.ratio / 2 <= found.ratio <= usual.ratio * 3
    assert found.floor == usual.floor


def test_one_more_run_of_an_unchanged_site_lies_within_the_learnt_tolerance():
    dice = np.random.default_rng(7)
    beyond, of = 0, 4000
    for _ in range(of):
        values = 300.0 * np.exp(dice.normal(0.0, 0.09, 9))
        mean = float(np.exp(np.log(values[:8]).mean()))
        beyond += values[8] / mean - 1.0 > learnt_tolerance("p95_ms", list(values[:8])).ratio
    assert 0.01 < beyond / of < 0.04  # one-sided: 2.5 %


# --- confirmed by a second run -----------------------------------------------------------------------------------


def told(*worse, is_comparable=True):
    if not is_comparable:
        return Comparison(Verdict.NOT_COMPARABLE, why=("Another load.",))
    figures = tuple(
        FigureCompared(key, 1.0, 2.0, 1.0, 1.0, 0.1, None, Verdict.WORSE, Verdict.WORSE) for key in worse
    )
    return Comparison(Verdict.WORSE if worse else Verdict.SAME, figures)


@pytest.mark.parametrize(
    ("found", "says", "is_confirmed"),
    [
        ([], None, False),
        ([told(is_comparable=False)], None, False),
        ([told("p95_ms")], Verdict.WORSE, False),
        ([told("p95_ms"), told("p95_ms")], Verdict.WORSE, True),
        ([told("p95_ms"), told("error_ratio")], Verdict.WORSE, False),
        ([told("p95_ms"), told(), told("p95_ms")], Verdict.WORSE, False),
        ([told("p95_ms"), told(is_comparable=False), told("p95_ms", "p50_ms")], Verdict.WORSE, True),
        ([told("p95_ms"), told("p95_ms"), told()], Verdict.SAME, False),
    ],
)
def test_worse_alarms_once_a_second_comparable_run_says_the_same(found, says, is_confirmed):
    stands = standing(found)
    assert (stands.verdict, stands.is_confirmed) == (says, is_confirmed)


@given(st.floats(1.0, 1e5), st.floats(1.0, 1e5))
def test_turned_round_better_is_worse_unless_the_share_says_otherwise(before, after):
    floor_only = [Tolerance("p95_ms", 0.0, KIND_OF["p95_ms"].floor)]
    there = verdict("p95_ms", before, after, tolerances=floor_only)
    back = verdict("p95_ms", after, before, tolerances=floor_only)
    turned = {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER, Verdict.SAME: Verdict.SAME}
    assert back is turned[there]
