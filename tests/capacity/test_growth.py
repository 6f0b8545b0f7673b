"""Forecast and growth: what was put into a series is found in it, and intervals hold what they say. Seeds are fixed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity.growth import analyse, analyse_many, backtest, forecast, forecast_many, growth
from capacity.growth.combine import families_of, plan_of
from capacity.growth.smooth import warm_up
from tests.capacity.made_up import HOURS, traffic, with_event

AHEAD = 48


def scaled_error(made, known, real, season=24):
    return np.abs(made.point - real).mean() / np.abs(known[season:] - known[:-season]).mean()


def naive_error(known, real, season=24):
    last = known[len(known) - season + np.arange(len(real)) % season]
    return np.abs(last - real).mean() / np.abs(known[24:] - known[:-24]).mean()


# --- intervals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("correlated", [0.0, 0.5, 0.9])
def test_intervals_cover_what_comes_at_their_stated_rate(correlated):
    series = [traffic(seed, hours=HOURS + AHEAD, correlated=correlated) for seed in range(40)]
    made = forecast_many((one[:HOURS] for one in series), AHEAD)
    inside = {"50": [], "80": [], "95": []}
    for one, found in zip(series, made, strict=True):
        for level, rates in inside.items():
            low, high = getattr(found, f"lower{level}"), getattr(found, f"upper{level}")
            rates.append(((one[HOURS:] >= low) & (one[HOURS:] <= high)).mean())
    # 40 series, whose hours resemble each other, say a rate to within about 8 points.
    assert 0.42 <= np.mean(inside["50"]) <= 0.64
    assert 0.74 <= np.mean(inside["80"]) <= 0.92
    assert 0.91 <= np.mean(inside["95"]) <= 0.995


def test_intervals_lie_in_each_other_and_hold_the_point():
    made = forecast(traffic(1), AHEAD)
    bounds = [made.lower95, made.lower80, made.lower50, made.point, made.upper50, made.upper80, made.upper95]
    assert (np.diff(np.array(bounds), axis=0) >= 0).all()
    assert all(len(bound) == AHEAD for bound in bounds)


def test_intervals_are_as_wide_as_the_hour_and_the_level_ask():
    # Counts: an hour of many varies more than a quiet one, and both are twice as wide in steps of a level four times as high.
    def rate(at):
        return (30.0 + 28.0 * np.sin(2 * np.pi * (at % 24) / 24)) * np.where(at < 14 * 24, 1.0, 4.0)

    at = np.arange(HOURS + AHEAD)
    inside = {True: [], False: []}
    for seed in range(40):
        whole = np.random.default_rng(seed).poisson(rate(at)).astype(float)
        made = forecast(whole[:HOURS], AHEAD)
        usual = rate(at[HOURS:])
        held = (made.lower80 <= whole[HOURS:]) & (whole[HOURS:] <= made.upper80)
        for is_busy in inside:
            inside[is_busy].append(held[(usual > 120.0) == is_busy].mean())
        assert (made.lower95 >= 0.0).all()
    assert 0.74 <= np.mean(inside[True]) <= 0.92, "by day"
    assert 0.74 <= np.mean(inside[False]) <= 0.95, "by night"


def test_a_season_that_grows_with_the_level_is_forecast_as_large_as_it_is_by_then():
    at = np.arange(HOURS + AHEAD)
    day = 2.0 + np.sin(2 * np.pi * at / 24)
    errors = []
    for seed in range(12):
        noise = np.random.default_rng(seed).normal(1.0, 0.02, len(at))
        whole = 100.0 * day * np.exp(np.log(3.0) * at / HOURS) * noise  # three times as much in a month
        made = forecast(whole[:HOURS], AHEAD)
        errors.append(np.abs(made.point / whole[HOURS:] - 1.0).mean())
    assert np.mean(errors) < 0.05


def test_what_has_no_season_is_forecast_without_one():
    # Hours that resemble their neighbours and nothing else: the season that two weeks seem to show is noise.
    scores, naive_scores = [], []
    for seed in range(16):
        rng, level, rows = np.random.default_rng(seed), 0.0, []
        for _ in range(HOURS + AHEAD):
            level = 0.97 * level + rng.normal()
            rows.append(100.0 + level)
        known, real = np.array(rows[:HOURS]), np.array(rows[HOURS:])
        scores.append(scaled_error(forecast(known, AHEAD), known, real))
        naive_scores.append(naive_error(known, real))
    assert np.mean(scores) < 0.85 * np.mean(naive_scores)


def test_what_half_of_a_day_keeps_until_the_next_is_found_out():
    # Each day has its own shape, half of which is there the next day: neither the last day nor the usual one says it.
    better = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        shape, days = rng.normal(size=24), []
        for _ in range(HOURS // 24 + 1):
            shape = 0.6 * shape + rng.normal(size=24)
            days.append(1000.0 + 100.0 * shape)
        known, real = np.concatenate(days[:-1]), days[-1]
        made = forecast(known, 24)
        better.append(scaled_error(made, known, real) / naive_error(known, real))
    assert np.mean(better) < 0.95  # 0.89 is the best there is


def test_it_is_better_than_the_last_week_again_on_nearly_every_series():
    better, scores, naive_scores = 0, [], []
    for seed in range(24):
        whole = traffic(100 + seed, hours=HOURS + AHEAD, percent_a_month=5)
        known, real = whole[:HOURS], whole[HOURS:]
        scores.append(scaled_error(forecast(known, AHEAD), known, real))
        naive_scores.append(naive_error(known, real, 168))
        better += scores[-1] < naive_scores[-1]
    assert better >= 20
    assert np.mean(scores) < 0.85 * np.mean(naive_scores)


# --- seasonal naive ------------------------------------------------------------------------------------------------


def test_the_seasonal_naive_is_used_and_named_where_it_is_better():
    # Each hour of the day wanders by itself, from day to day: nothing but the last day says anything.
    wins = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        known = 100 + np.cumsum(rng.normal(size=(40, 24)), axis=0).ravel()
        made = forecast(known, 24, seasons=(24,))
        assert made.naive_mase == pytest.approx(made.mase) or made.mase < made.naive_mase
        if made.model == "seasonal naive (season 24)":
            wins += 1
            # An hour far off what its neighbours in time lead one to expect is taken back, so not all are the same.
            assert np.isclose(made.point, known[-24:]).sum() >= 20
    assert wins >= 4


def test_of_two_that_are_as_good_the_seasonal_naive_is_used():
    day = np.random.default_rng(5).normal(size=24)
    made = forecast(np.tile(day, 16), 24, seasons=(24,))
    assert made.model == "seasonal naive (season 24)"
    assert np.allclose(made.point, day)
    assert made.mase is None  # the series never differs from its last season: there is nothing to scale by


def test_the_models_of_the_average_are_named_with_their_weights():
    made = forecast(traffic(2), AHEAD)
    assert made.model.startswith("average of exponential smoothing ")
    assert made.model.endswith("(seasons 24 and 168)")
    assert made.seasons == (24, 168)


# --- what it must not depend on ------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), factor=st.floats(1e-4, 1e5))
def test_another_unit_gives_the_same_forecast_in_it(seed, factor):
    values = traffic(seed, hours=21 * 24)
    made, other = forecast(values, 24), forecast(values * factor, 24)
    for name in ("point", "lower50", "upper80", "lower95", "upper95"):
        assert np.allclose(getattr(other, name), getattr(made, name) * factor, rtol=1e-6)
    assert other.mase == pytest.approx(made.mase, rel=1e-6)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), factor=st.floats(1e-4, 1e5), shift=st.floats(-1e6, -900.0))
def test_another_zero_gives_the_same_forecast_in_it_where_values_are_below_it(seed, factor, shift):
    values = traffic(seed, hours=21 * 24) - 900.0  # below 0 at times, so that 0 is no special value
    made = forecast(values, 24)
    moved = forecast(values * factor + shift * factor, 24)
    size = np.abs(values).max() * factor
    for name in ("point", "lower50", "upper80", "lower95", "upper95"):
        assert np.allclose(
            getattr(moved, name),
            (getattr(made, name) + shift) * factor,
            atol=1e-6 * (size + abs(shift) * factor),
        )
    assert moved.mase == pytest.approx(made.mase, rel=1e-4)


@pytest.mark.parametrize(
    ("first", "second", "hours"), [(24, 168, HOURS), (24, 1, 300), (7, 1, 120), (1, 1, 60)]
)
def test_what_is_forecast_from_an_origin_knows_nothing_of_what_came_after_it(first, second, hours):
    values = np.stack([traffic(seed, hours=hours) / 1000 for seed in range(3)])
    plan = plan_of(hours, warm_up(hours, first, second), max(first, second), AHEAD)
    assert plan.tests >= 5
    known = families_of(values, plan, first, second)[1]
    rng = np.random.default_rng(1)
    for number in (0, plan.tests // 2, plan.tests - 1):
        origin = plan.origins[number]
        changed = values.copy()
        changed[:, origin:] = rng.normal(size=(3, hours - origin)) * 50
        changed[0, origin + 1 :] = np.nan
        for name, paths in families_of(changed, plan, first, second)[1].items():
            assert np.array_equal(paths[number], known[name][number]), (name, origin)


def test_a_backtest_knows_nothing_of_what_came_after_its_last_value():
    values = traffic(3)
    found = backtest(values, AHEAD, origins=1)
    (origin,) = found.origins
    changed = values.copy()
    changed[origin + AHEAD :] = np.random.default_rng(2).normal(size=HOURS - origin - AHEAD) * 1e5
    assert backtest(changed, AHEAD, origins=1) == found
    changed[origin - 1] *= 3.0
    assert backtest(changed, AHEAD, origins=1) != found


def test_a_series_gets_the_same_answer_alone_and_among_others():
    rows = [traffic(seed, hours=HOURS if seed % 3 else 15 * 24) for seed in range(7)]
    together = list(analyse_many(rows, 24))
    for row, found in zip(rows, together, strict=True):
        alone = analyse(row, 24)
        assert np.allclose(alone.forecast.point, found.forecast.point, rtol=1e-9)
        assert np.allclose(alone.forecast.upper95, found.forecast.upper95, rtol=1e-9)
        assert alone.events == found.events
        assert alone.growth == found.growth


def test_many_series_are_read_as_they_are_asked_for():
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield traffic(taken % 5, hours=8 * 24)

    answers = forecast_many(endless(), 12)
    for _ in range(3):
        next(answers)
    assert taken <= 32


# --- events and growth ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("percent", [-10.0, 0.0, 4.0, 15.0])
def test_known_growth_is_found_within_its_interval(percent):
    found = [growth(traffic(seed, hours=60 * 24, percent_a_month=percent)) for seed in range(30)]
    hits = sum(one.percent_low <= percent <= one.percent_high for one in found)
    assert hits >= 26  # of 30; 95 % would be 28.5
    assert abs(np.median([one.percent_a_month for one in found]) - percent) < 0.5
    assert np.median([one.percent_high - one.percent_low for one in found]) < 8.0


@pytest.mark.parametrize("every_days", [3, 5, 7, 10])
def test_events_that_repeat_and_become_more_are_not_learnt_as_growth(every_days):
    values = traffic(11, hours=60 * 24, percent_a_month=2.0)
    for number, begin in enumerate(range(20, 58 * 24, every_days * 24)):
        values = with_event(values, begin, 6, 2.0 + 0.3 * number)  # each larger than the last
    found = growth(values)
    assert found.percent_low <= 2.0 <= found.percent_high
    assert abs(found.percent_a_month - 2.0) < 2.0


def test_an_event_before_the_end_does_not_move_the_forecast():
    whole = traffic(12, hours=HOURS + AHEAD)
    known, real = whole[:HOURS], whole[HOURS:]
    calm = forecast(known, AHEAD)
    stirred = forecast(with_event(known, HOURS - 60, 18, 5.0), AHEAD)
    assert scaled_error(stirred, known, real) < scaled_error(calm, known, real) + 0.15


def test_a_shift_of_level_is_followed_and_is_no_growth():
    whole = traffic(13, hours=40 * 24 + AHEAD, percent_a_month=3.0)
    whole[25 * 24 :] *= 1.8
    known, real = whole[:-AHEAD], whole[-AHEAD:]
    found = analyse(known, AHEAD)
    assert [abs(step - 25 * 24) <= 24 for step in found.growth.shifts] == [True]
    assert found.growth.percent_low <= 3.0 <= found.growth.percent_high
    assert abs(found.growth.percent_a_month) < 12
    assert not found.events
    assert np.abs(found.forecast.point / real - 1).mean() < 0.15


def test_ordinary_traffic_has_no_shift_and_no_event():
    found = list(analyse_many((traffic(seed, percent_a_month=5) for seed in range(20)), 1))
    assert sum(len(one.growth.shifts) for one in found) == 0
    assert sum(len(one.events) for one in found) <= 2


def test_a_level_of_nothing_or_less_has_no_percent():
    values = traffic(14) - traffic(14).mean() - 50.0
    found = growth(values)
    assert found.percent_a_month is None
    assert found.per_day_low <= found.per_day <= found.per_day_high


# --- gaps and odd input --------------------------------------------------------------------------------------------


def test_gaps_cost_little():
    whole = traffic(15, hours=HOURS + AHEAD)
    known, real = whole[:HOURS].copy(), whole[HOURS:]
    calm = scaled_error(forecast(known, AHEAD), known, real)
    rng = np.random.default_rng(1)
    holes = known.copy()
    holes[rng.random(HOURS) < 0.15] = np.nan
    holes[300:340] = np.nan
    holes[-5:] = np.nan
    assert (
        np.abs(forecast(holes, AHEAD).point - real).mean() / np.abs(known[24:] - known[:-24]).mean()
        < calm + 0.15
    )
    assert growth(holes).percent_a_month == pytest.approx(growth(known).percent_a_month, abs=2.5)


def test_missing_values_before_the_first_one_are_no_history():
    values = traffic(16)
    padded = np.concatenate([np.full(100, np.nan), values])
    made, found = forecast(padded, 24), analyse(with_event(padded, 500, 8, 4.0), 24)
    assert np.allclose(made.point, forecast(values, 24).point)
    assert [(event.begin, event.end) for event in found.events] == [(500, 508)]


def test_a_constant_goes_on():
    made = forecast([7.5] * 100, 3, seasons=(24,))
    assert made.model == "constant"
    assert made.point.tolist() == made.lower95.tolist() == made.upper95.tolist() == [7.5] * 3
    assert made.mase is None
    assert forecast([0.0] * 100, 2).point.tolist() == [0.0, 0.0]
    assert growth([7.5] * 240).percent_a_month == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("seasons", [(), (24,), (24, 168)])
@pytest.mark.parametrize("hours", [12, 24, 48, 72, 80, 96, 160])
def test_of_less_than_a_week_growth_is_not_told(hours, seasons):
    found = growth(traffic(2, hours=hours), seasons)
    assert (found.percent_a_month, found.percent_low, found.percent_high) == (None, None, None)
    assert (found.per_day, found.per_day_low, found.per_day_high) == (0.0, -np.inf, np.inf)
    assert found.level > 0.0
    told = analyse(traffic(2, hours=hours), 12, seasons)
    assert told.growth.percent_a_month is None
    assert growth(traffic(2, hours=168), seasons).percent_a_month is not None


def test_what_never_was_below_nothing_is_not_forecast_below_it():
    rng = np.random.default_rng(2)
    sparse = rng.poisson(0.3, size=HOURS).astype(float)
    made = forecast(sparse, AHEAD)
    assert made.point.min() >= 0.0
    assert made.lower95.min() >= 0.0
    assert forecast(sparse - 5.0, AHEAD).lower95.min() < 0.0


def test_a_short_series_is_told_what_is_missing():
    made = forecast(traffic(17, hours=40), 12)
    assert made.seasons == (24,)
    assert "168 steps is left out" in made.notes[0]
    assert "less than twice" in made.notes[1]
    whole = traffic(17, hours=HOURS)
    long = forecast(whole, 12)
    assert (made.upper95 - made.lower95).mean() > 2 * (long.upper95 - long.lower95).mean()
    tiny = forecast(traffic(18, hours=12), 6)
    assert tiny.seasons == ()
    assert tiny.tests >= 0
    assert np.isfinite(tiny.point).all()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([], "At least 8 values are needed, and there are 0"),
        ([1.0] * 7, "At least 8 values are needed, and there are 7"),
        ([float("nan")] * 50, "At least 8 values are needed, and there are 0"),
        ([1.0] * 20 + [float("inf")], "Value 21 is infinite"),
        ([[1.0, 2.0]] * 20, "one row of numbers"),
        (["a"] * 20, "row of numbers"),
        ([1.0 + 2.0j] * 20, "row of numbers"),
        ([1e200] * 20, "larger unit"),
    ],
)
def test_what_is_no_series_is_refused_with_a_sentence(values, sentence):
    with pytest.raises(ValueError, match=sentence):
        forecast(values, 5)


@pytest.mark.parametrize(
    ("horizon", "seasons"),
    [
        (0, (24,)),
        (-1, (24,)),
        (20_000, (24,)),
        (5, (0,)),
        (5, (2.5,)),
        (5, (7, 24, 168)),
        (5, (float("nan"),)),
        (5, (float("inf"),)),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(horizon, seasons):
    with pytest.raises(ValueError, match=r"A horizon is a whole|A season is a whole|At most two seasons"):
        forecast(traffic(1, hours=100), horizon, seasons)


@pytest.mark.parametrize("steps", [0.0, float("nan"), float("inf")])
def test_a_day_of_no_or_endless_steps_is_refused(steps):
    with pytest.raises(ValueError, match="The steps of a day are a number above 0"):
        growth(traffic(1, hours=100), steps_a_day=steps)
    with pytest.raises(ValueError, match="The steps of a day are a number above 0"):
        next(analyse_many([traffic(1, hours=100)], 5, steps_a_day=steps))


def test_what_is_masked_is_missing():
    values = traffic(1, hours=400)
    hidden = np.zeros(len(values), bool)
    hidden[200:260] = True
    broken = np.where(hidden, 1e6, values)
    masked, missing = np.ma.masked_array(broken, hidden), np.where(hidden, np.nan, values)
    assert forecast(masked, 5).point.tolist() == forecast(missing, 5).point.tolist()


def test_the_number_of_a_series_that_cannot_be_read_is_told():
    with pytest.raises(ValueError, match=r"Series 2: At least 8"):
        list(forecast_many([traffic(1, hours=100), [1.0]], 5))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    values=st.lists(
        st.one_of(st.floats(-1e6, 1e6), st.just(float("nan")), st.just(0.0), st.integers(-3, 3).map(float)),
        min_size=0,
        max_size=90,
    ),
    horizon=st.integers(1, 30),
    seasons=st.sampled_from([(), (1,), (4,), (7,), (12, 24), (24, 168), (3,), (2,), (5, 10)]),
)
def test_any_row_of_numbers_gets_finite_answers_or_a_sentence(values, horizon, seasons):
    try:
        found = analyse(values, horizon, seasons)
    except ValueError:
        seen = int(np.isfinite(values).sum()) if values else 0
        assert seen < 8  # nothing else about these is refused
        return
    assert np.isfinite(values).sum() >= 8
    made = found.forecast
    for name in ("point", "lower50", "upper50", "lower80", "upper80", "lower95", "upper95"):
        assert np.isfinite(getattr(made, name)).all()
        assert len(getattr(made, name)) == horizon
    assert (made.lower95 <= made.point).all()
    assert (made.point <= made.upper95).all()


# --- other seasons -------------------------------------------------------------------------------------------------


def test_months_of_a_year_and_series_without_season_are_forecast_too():
    rng = np.random.default_rng(9)
    at = np.arange(108)
    months = 50 + 0.4 * at + 8 * np.sin(at / 12 * 2 * np.pi) + rng.normal(size=108)
    made = forecast(months[:96], 12, seasons=(12,))
    assert scaled_error(made, months[:96], months[96:], 12) < 0.6
    walk = 100 + np.cumsum(rng.normal(size=120))
    made = forecast(walk[:110], 10, seasons=())
    assert made.point == pytest.approx(np.full(10, walk[109]), abs=6)
    assert (np.diff(made.upper95 - made.lower95) >= -1e-9).all()


def test_a_backtest_makes_each_forecast_anew():
    values = traffic(20)
    found = backtest(values, 24, origins=4)
    assert len(found.origins) == 4
    made = [forecast(values[:origin], 24) for origin in found.origins]
    scores = [
        scaled_error(one, values[:origin], values[origin : origin + 24])
        for one, origin in zip(made, found.origins, strict=True)
    ]
    assert found.mase == pytest.approx(np.mean(scores))
    assert found.mase < found.naive_mase
    with pytest.raises(ValueError, match="values are needed"):
        backtest(values[:100], 24)


def test_what_was_learnt_before_a_step_is_of_use_after_it():
    errors, naive_errors = [], []
    for seed in range(8):
        whole = traffic(60 + seed, hours=HOURS + AHEAD, noise=0.03)
        whole[HOURS - 9 * 24 :] = whole[HOURS - 9 * 24 :] * 0.5 + 40.0
        known, real = whole[:HOURS], whole[HOURS:]
        errors.append(scaled_error(forecast(known, AHEAD), known, real))
        naive_errors.append(naive_error(known, real, 168))
    assert np.mean(errors) < 0.9 * np.mean(naive_errors)


def test_clocks_that_change_are_followed():
    """The hours of everything move by one, as in UTC where people change their clocks."""
    whole = traffic(70, hours=42 * 24 + AHEAD)
    whole[24 * 24 :] = np.roll(whole, 1)[24 * 24 :]
    known, real = whole[:-AHEAD], whole[-AHEAD:]
    found = analyse(known, AHEAD)
    assert scaled_error(found.forecast, known, real) < naive_error(known, real, 168)
    assert sum(event.end - event.begin for event in found.events) < 12
    assert abs(found.growth.percent_a_month) < 3


def test_a_year_of_hours_is_analysed_whole():
    values = traffic(71, hours=365 * 24, percent_a_month=4.0)
    values = with_event(values, 100 * 24 + 18, 10, 6.0)
    found = analyse(values, 7 * 24)
    assert found.growth.percent_low <= 4.0 <= found.growth.percent_high
    assert found.growth.percent_high - found.growth.percent_low < 1.0
    assert [abs(event.begin - 100 * 24 - 18) <= 1 for event in found.events] == [True]
    assert found.forecast.mase < found.forecast.naive_mase


def test_what_hardly_ever_changes_is_forecast_as_it_is():
    values = np.full(HOURS, 4.0)
    values[::2] += 4e-15
    made = forecast(values, AHEAD)
    assert made.model == "constant"
    assert np.allclose(made.point, 4.0, rtol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_few_values_give_wide_intervals_and_no_absurd_ones(seed):
    values = np.random.default_rng(seed).random(8)
    made = forecast(values, AHEAD)
    assert made.upper95.max() < 15.0
    assert made.upper95.min() > values.mean()
