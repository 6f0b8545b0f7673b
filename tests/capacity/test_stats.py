"""The rank test and what samples can show, held against SciPy and against draws."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity.importers.types import POINT_SHARES
from capacity.stats import (
    EXACT_UP_TO,
    chance_of_so_many,
    is_beyond,
    largest_share,
    needed_after,
    needed_each,
    percentile_of_all,
    rank_test,
    shows,
    slower_by,
    smallest_shift,
)

ALPHA = 1e-3
floats = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3))
few_values = st.integers(0, 4).map(float)
samples = st.one_of(st.lists(floats, min_size=1, max_size=30), st.lists(few_values, min_size=1, max_size=30))
latencies = st.lists(st.floats(1.0, 5000.0).map(lambda value: round(value, 2)), min_size=2, max_size=40)


@lru_cache(maxsize=1)
def oracle():
    """SciPy, whose import takes two seconds: only the process that asks it waits for them."""
    from scipy import stats

    return stats


def scipy_p(before, after, alternative, method):
    with np.errstate(all="ignore"):
        return float(oracle().mannwhitneyu(after, before, alternative=alternative, method=method).pvalue)


@settings(max_examples=150, deadline=None)
@given(samples, samples)
def test_the_test_agrees_with_scipy(before, after):
    found = rank_test(before, after)
    is_tied = len({*before, *after}) < len(before) + len(after)
    assert found.is_exact is (not is_tied and min(len(before), len(after)) <= EXACT_UP_TO)
    method = "exact" if found.is_exact else "asymptotic"
    if len({*before, *after}) > 1:
        assert found.p_larger == pytest.approx(scipy_p(before, after, "greater", method), abs=1e-9)
        assert found.p_differs == pytest.approx(scipy_p(before, after, "two-sided", method), abs=1e-9)
    assert found.u == float(oracle().mannwhitneyu(after, before).statistic)


@settings(max_examples=100, deadline=None)
@given(st.lists(floats, min_size=9, max_size=60, unique=True), st.lists(floats, min_size=9, max_size=60))
def test_the_normal_approximation_is_scipys_to_nine_digits(before, after):
    found = rank_test(before, after)
    assert not found.is_exact
    assert abs(found.p_larger - scipy_p(before, after, "greater", "asymptotic")) < 1e-9


@given(samples, samples)
def test_both_ways_round_it_says_the_same(before, after):
    there, back = rank_test(before, after), rank_test(after, before)
    assert there.delta == pytest.approx(-back.delta)
    assert there.p_differs == pytest.approx(back.p_differs)
    assert there.u + back.u == len(before) * len(after)
    assert -1.0 <= there.delta <= 1.0


@given(samples, samples)
def test_only_the_order_counts(before, after):
    def bent(values):
        return [math.atan(value / 1e3) * 7.0 + value for value in values]

    assert rank_test(bent(before), bent(after)) == rank_test(before, after)


@given(st.integers(1, 40), st.integers(1, 40))
def test_equal_answers_differ_in_nothing(n, m):
    found = rank_test([80.0] * n, [80.0] * m)
    assert (found.delta, found.p_larger, found.p_differs) == (0.0, 1.0, 1.0)
    assert is_beyond([80.0] * n, [80.0] * m, 0.0, alpha=0.4) is None


@pytest.mark.parametrize("bad", [[], [1.0, math.nan], [math.inf], [[1.0]]])
def test_what_is_no_sample_is_refused(bad):
    with pytest.raises(ValueError):
        rank_test(bad, [1.0])
    with pytest.raises(ValueError):
        rank_test([1.0], bad)


def test_a_ratio_needs_something_above_zero():
    with pytest.raises(ValueError):
        slower_by([0.0, 1.0], [1.0])


def test_one_slow_answer_is_no_shift_and_a_real_shift_is():
    before = [80.0 + number % 7 for number in range(40)]
    slow_once = [*before[:-1], 9000.0]
    assert is_beyond(before, slow_once, 0.0, alpha=ALPHA) is None
    assert slower_by(before, slow_once) == pytest.approx(0.0, abs=0.02)
    twice = [2.0 * value for value in before]
    found = is_beyond(before, twice, 0.3, alpha=ALPHA)
    assert found is not None
    assert found.delta == 1.0
    assert slower_by(before, twice) == pytest.approx(1.0, abs=0.05)
    # What is allowed is allowed.
    assert is_beyond(before, [1.25 * value for value in before], 0.3, alpha=ALPHA) is None


@settings(deadline=None)
@given(latencies, st.integers(1, 60), st.sampled_from([0.0, 0.3, 1.0]))
def test_a_larger_shift_and_more_looks_are_never_harder_to_see(sample, after, allowed):
    found = smallest_shift(sample, allowed, after=after, alpha=ALPHA)
    if found is None:
        return
    assert found >= allowed
    of = {"before": len(sample), "alpha": ALPHA}
    assert shows(sample, 1.0 + found, allowed, after=after, **of)
    assert shows(sample, 1.0 + 2.0 * found + 0.01, allowed, after=after, **of)
    more = smallest_shift(sample, allowed, after=after * 4, alpha=ALPHA)
    assert more is not None
    assert more <= found * 1.02 + 2e-3


def test_few_looks_show_nothing_and_their_number_is_told():
    drawn = np.random.default_rng(7).lognormal(math.log(80.0), 0.15, 60)
    assert smallest_shift(drawn[:4], 0.3, after=4, alpha=ALPHA) is None
    assert smallest_shift([80.0], 0.3, after=1000, alpha=ALPHA) is None
    needed = needed_after(drawn, 0.3, 0.6, alpha=ALPHA)
    assert needed is not None
    assert smallest_shift(drawn, 0.3, after=needed, alpha=ALPHA) <= 0.6
    assert not shows(drawn, 1.6, 0.3, before=60, after=needed - 1, alpha=ALPHA)
    each = needed_each(drawn, 0.3, 0.6, alpha=ALPHA)
    assert each is not None
    assert shows(drawn, 1.6, 0.3, before=each, after=each, alpha=ALPHA)
    # A shift that is allowed is never seen, however long one looks.
    assert needed_each(drawn, 0.3, 0.2, alpha=ALPHA) is None


@pytest.mark.parametrize(("n", "m", "sigma"), [(15, 15, 0.15), (40, 25, 0.3), (200, 100, 0.6), (12, 60, 0.2)])
def test_the_smallest_shift_is_seen_as_often_as_it_says(n, m, sigma):
    """95 % is what is claimed for the sample that was drawn; over many draws at least 93 of 100 are found."""
    random = np.random.default_rng(11)
    seen = of = 0
    for _ in range(300):
        before = random.lognormal(math.log(80.0), sigma, n)
        shift = smallest_shift(before, 0.3, after=m, alpha=ALPHA)
        if shift is None:
            continue
        of += 1
        after = random.lognormal(math.log(80.0), sigma, m) * (1.0 + shift)
        seen += is_beyond(before, after, 0.3, alpha=ALPHA) is not None
    assert of > 200
    assert seen / of >= 0.93


@given(st.integers(0, 60), st.integers(1, 60), st.floats(0.0, 1.0))
def test_chances_of_counts_agree_with_scipy(count, of, share):
    count = min(count, of)
    assert chance_of_so_many(count, of, share) == pytest.approx(
        float(oracle().binom.sf(count - 1, of, share)), abs=1e-9
    )


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(1, 400))
def test_bounds_of_shares_agree_with_scipy(count, of):
    count = min(count, of)
    bound = largest_share(count, of)
    assert bound == pytest.approx(
        1.0 if count == of else float(oracle().beta.ppf(0.95, count + 1, of - count)), abs=1e-8
    )


@pytest.mark.parametrize("bad", [(-1, 5, 0.5), (6, 5, 0.5), (1, 5, 1.5)])
def test_a_chance_of_nonsense_is_refused(bad):
    with pytest.raises(ValueError):
        chance_of_so_many(*bad)


SHARES = (0.5, 0.95, 0.99)


@pytest.mark.parametrize("slow", [0, 3, 10, 30])
def test_percentiles_of_many_stretches_are_those_of_all_requests(slow):
    """One stretch in ten takes seconds: that is in the 95th of all, and in the median of no percentiles."""
    dice = np.random.default_rng(5)
    asked = [dice.gamma(4.0, 1000.0 if n < slow else 25.0, dice.integers(200, 400)) for n in range(100)]
    told = [[float(np.quantile(one, share)) for share in SHARES] for one in asked]
    weights = [float(len(one)) for one in asked]
    everything = np.concatenate(asked)
    for share in SHARES:
        true = float(np.quantile(everything, share))
        assert percentile_of_all(told, SHARES, share, weights) == pytest.approx(true, rel=0.25)
    if slow == 10:
        assert percentile_of_all(told, SHARES, 0.95, weights) > 10 * np.median([one[1] for one in told])


ANSWERS = {
    "narrow": lambda dice, n: dice.lognormal(0.0, 0.3, n),
    "usual": lambda dice, n: dice.lognormal(0.0, 0.6, n),
    "wide": lambda dice, n: dice.lognormal(0.0, 1.0, n),
    "exponential": lambda dice, n: 0.2 + dice.exponential(1.0, n),
    "gamma": lambda dice, n: dice.gamma(4.0, 1.0, n),
    "even": lambda dice, n: dice.uniform(0.5, 1.5, n),
    "normal": lambda dice, n: dice.normal(10.0, 1.0, n),
}


@pytest.mark.parametrize("spread", [0.04, 0.2, 0.5])
@pytest.mark.parametrize("name", ANSWERS)
def test_percentiles_of_a_step_are_right_whatever_the_answers_are_like(name, spread):
    """Twelve stretches of 500 answers, each faster or slower by up to `spread`; the mean of 20 draws, of the bias."""
    dice = np.random.default_rng(11)
    off, coarse = [], []
    for _ in range(20):
        asked = [ANSWERS[name](dice, 500) * (1.0 + dice.uniform(-spread, spread)) for _ in range(12)]
        true = np.quantile(np.concatenate(asked), SHARES)
        for shares, into in ((POINT_SHARES, off), (SHARES, coarse)):
            told = [[float(np.quantile(one, at, method="inverted_cdf")) for at in shares] for one in asked]
            into.append([percentile_of_all(told, shares, at, [500.0] * 12) for at in SHARES] / true - 1.0)
    p50, p95, p99 = np.mean(off, axis=0)
    assert abs(p50) < 0.03
    assert abs(p95) < 0.015
    assert abs(p99) < 0.035
    assert np.abs(np.mean(coarse, axis=0)).max() < 0.06  # where a file tells no more than three


@given(
    st.lists(
        st.tuples(
            st.lists(st.floats(0.0, 1e5), min_size=4, max_size=4).map(sorted),
            st.tuples(*[st.booleans()] * 4),
            st.floats(0.1, 1e4),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_the_percentile_of_all_lies_between_those_of_the_stretches(stretches):
    told = [
        [
            one if at == 2 or is_told else None
            for at, (one, is_told) in enumerate(zip(row, which, strict=True))
        ]
        for row, which, _ in stretches
    ]
    found = percentile_of_all(told, (0.5, 0.9, 0.95, 0.99), 0.95, [weight for *_, weight in stretches])
    own = [row[2] for row, *_ in stretches]
    assert min(own) * (1.0 - 1e-9) <= found <= max(own) * (1.0 + 1e-9)


@given(st.floats(0.0, 1e5), st.integers(1, 30), st.sampled_from(SHARES))
def test_stretches_that_are_alike_are_as_one(value, count, share):
    for row in (
        [value, value, value],
        [value / 2, value, value * 2],
        [None, value, None],
        [value, None, None],
    ):
        own = row[SHARES.index(share)]
        if own is not None:
            assert percentile_of_all([row] * count, SHARES, share, [1.0] * count) == pytest.approx(own)


def test_a_stretch_without_requests_says_nothing():
    told = [[100.0, 200.0, 300.0], [5000.0, 6000.0, 7000.0]]
    assert percentile_of_all(told, SHARES, 0.95, [10.0, 0.0]) == pytest.approx(200.0)
