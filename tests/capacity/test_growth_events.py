"""Traffic events: those that were put in are found where they are, and what is none is not."""

from __future__ import annotations

import numpy as np
import pytest

from capacity.growth import analyse, detect_events, forecast
from capacity.growth.series import guessed_seasons
from tests.capacity.made_up import HOURS, traffic, with_event


def overlap(found, begin, end):
    """Share of the hours of either that belong to both."""
    both = sum(max(0, min(event.end, end) - max(event.begin, begin)) for event in found)
    return both / (end - begin + sum(event.end - event.begin for event in found) - both)


@pytest.mark.parametrize("hours", [3, 6, 12, 24, 60])
@pytest.mark.parametrize("multiple", [2.0, 6.3])
def test_an_event_is_found_where_it_is(hours, multiple):
    for seed in range(4):
        values = with_event(traffic(seed), 301, hours, multiple)
        found = detect_events(values, (24, 168))
        assert overlap(found, 301, 301 + hours) > 0.7
        peak = max(found, key=lambda event: event.score)
        above = (values - traffic(seed))[peak.begin : peak.end]
        assert above[peak.peak_at - peak.begin] > 0.9 * above.max()
        assert peak.multiple == pytest.approx((values / traffic(seed))[peak.peak_at], rel=0.25)
        assert peak.score > 5
        assert peak.is_over


@pytest.mark.parametrize(("hours", "ago"), [(63, 24), (36, 60), (48, 12), (70, 8)])
@pytest.mark.parametrize("days", [60, 130])
def test_an_event_that_just_was_is_found_where_weekends_are_quiet(days, hours, ago):
    """Its working days left out, the weekend alone is left of its week: no reason to take the other days for an event."""
    for seed in range(8):
        steps = np.arange(days * 24)
        usual = 100 * 1.05 ** (steps / 730) * (1 + 0.4 * np.sin(2 * np.pi * steps / 24))
        usual *= np.where((steps // 24) % 7 >= 5, 0.7, 1.0)
        values = usual * np.exp(0.04 * np.random.default_rng(seed).standard_normal(len(steps)))
        begin = len(values) - ago - hours
        values[begin : begin + hours] *= 5.0
        (found,) = detect_events(values, (24, 168))
        assert abs(found.begin - begin) <= 2
        assert abs(found.end - begin - hours) <= 2
        assert forecast(values, 168, (24, 168)).point.max() < 1.4 * usual[-168:].max()


def test_an_event_of_several_days_is_found_too():
    values = traffic(5, hours=60 * 24)
    values[20 * 24 : 26 * 24] *= 2.5
    found = detect_events(values, (24, 168))
    assert overlap(found, 20 * 24, 26 * 24) > 0.8


def test_an_outage_is_a_dip():
    values = traffic(6)
    values[400:410] *= 0.05
    (found,) = detect_events(values, (24, 168))
    assert found.score < -5
    assert found.multiple == pytest.approx(0.05, abs=0.05)
    assert found.as_plain()["direction"] == "down"


def usual(at: np.ndarray) -> np.ndarray:
    """Traffic of a day and a week, without noise."""
    return 100 * (1 + 0.4 * np.sin(2 * np.pi * (at - 9) / 24)) * np.where(at // 24 % 7 >= 5, 0.8, 1.0)


def launch(outage: int, hours: int) -> tuple[np.ndarray, int]:
    """Four months of traffic with 5 times normal for 44 hours that then decays, an outage after 30 hours of it."""
    at = np.arange(24 * 120)
    values = usual(at) * (1 + 0.04 * np.random.default_rng(1).standard_normal(len(at)))
    begins = 24 * 80 + 4
    since = np.arange(len(at) - begins)
    values[begins:] *= np.where(since < 44, 5.0, 1 + 4 * 0.5 ** ((since - 44) / 16))
    values[begins + 30 : begins + 30 + outage] = 0.0
    return values[: begins + hours], begins


@pytest.mark.parametrize("hours", [46, 70, 94, 142, 190, 238])
@pytest.mark.parametrize("outage", [0, 1, 3, 6])
def test_an_outage_in_the_midst_of_an_event_is_told_and_the_event_is_not_what_is_usual(outage, hours):
    values, begins = launch(outage, hours)
    found = detect_events(values, (24, 168))
    rises, falls = [one for one in found if one.score > 0], [one for one in found if one.score < 0]
    assert sum(one.end - one.begin for one in rises) >= min(hours, 90)
    assert all(begins <= one.begin and one.end <= begins + 142 for one in rises)
    assert all(begins + 30 <= one.begin and one.end <= begins + 30 + outage for one in falls)
    assert (len(rises), len(falls)) == (1, outage > 0)
    assert forecast(values, 48, (24, 168)).point.max() < 1.2 * values[: begins - 1].max()


@pytest.mark.parametrize("nights", [2, 4, 5, 7, 14])
@pytest.mark.parametrize(("factor", "gap"), [(2.0, 5), (2.0, 12), (3.0, 30), (0.5, 12)])
@pytest.mark.parametrize("is_before", [True, False])
def test_an_outage_next_to_a_step_of_the_level_stays_told(is_before, factor, gap, nights):
    """Days near a step are held against the level of the other side of it: the outage must not go with them."""
    at = np.arange(24 * (40 + nights))
    values = usual(at) * (1 + 0.04 * np.random.default_rng(1).standard_normal(len(at)))
    step = 24 * 40 - 11
    values[step:] *= factor
    begins = step - gap - 3 if is_before else step + gap
    values[begins : begins + 3] *= 0.05
    found = [one for one in detect_events(values, (24, 168)) if one.score < 0]
    assert any((one.begin, one.end) == (begins, begins + 3) for one in found) or (
        # A level that halved two days ago is a fall itself, and all that happens in it.
        factor < 1.0 and nights <= 4 and any(one.begin <= begins and begins + 3 <= one.end for one in found)
    )
    assert sum(one.is_over for one in found) <= 1


@pytest.mark.parametrize("days", [1, 4, 5, 6, 8, 10, 13])
def test_a_sale_that_people_planned_is_no_level_however_long_it_lasts(days):
    """A week of three times normal, while it is on and after it."""
    values, begins = launch(0, 0)
    values = np.append(values, usual(begins + np.arange(24 * 14)))
    values[begins : begins + 168] *= 3.0
    values = values[: begins + 24 * days]
    known = np.zeros(len(values), dtype=bool)
    known[begins : begins + 168] = True
    found = analyse(values, 48, (24, 168), known=known)
    (rise,) = found.events
    assert (rise.begin, rise.end) == (begins, min(begins + 168, len(values)))
    assert found.forecast.point.max() < 1.2 * values[: begins - 1].max()
    assert found.growth.shifts == ()


def test_what_stays_after_what_was_planned_is_the_level():
    values, begins = launch(0, 0)
    values = np.append(values, 3.0 * usual(begins + np.arange(24 * 20)))
    known = np.zeros(len(values), dtype=bool)
    known[begins : begins + 48] = True
    found = analyse(values, 48, (24, 168), known=known)
    assert all(one.end <= begins + 72 for one in found.events)
    assert found.forecast.point.max() > 2.5 * values[: begins - 1].max()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_was_planned_and_changed_nothing_is_no_event(seed):
    values = traffic(seed)
    known = np.zeros(len(values), dtype=bool)
    known[400:500] = True
    plain, told = analyse(values, 24), analyse(values, 24, known=known)
    assert told.events == plain.events
    assert told.forecast.point == pytest.approx(plain.forecast.point, rel=0.02)


@pytest.mark.parametrize("hours", [2, 5, 10])
def test_a_site_that_breaks_under_a_sale_is_a_fall_and_not_the_sale(hours):
    values, _ = launch(0, 40)
    values[-hours:] = 0.0
    rise, fall = detect_events(values, (24, 168))
    assert (rise.score > 0, rise.is_over, rise.end) == (True, True, len(values) - hours)
    assert (fall.score < 0, fall.is_over, fall.begin) == (True, False, len(values) - hours)


def test_the_profile_says_lead_in_peak_and_decay():
    values = traffic(7, noise=0.01)
    shape = np.concatenate([np.linspace(1.5, 5.0, 4), 1 + 4.0 * 0.5 ** (np.arange(1, 13) / 3.0)])
    values[500:516] *= shape
    (found,) = detect_events(values, (24, 168))
    assert found.lead_in in (2, 3, 4, 5)
    assert found.multiple == pytest.approx(5.0, rel=0.15)
    assert found.half_life in (2, 3, 4, 5, 6)


def test_a_peak_is_where_the_most_came_not_what_stands_out_in_a_quiet_night():
    values = traffic(11, noise=0.02)
    night = int(np.argmin(values[400:424])) + 400
    values[night : night + 24] *= np.where(np.arange(24) < 4, 4.0, 2.5)
    (found,) = detect_events(values, (24, 168))
    assert found.peak > 0.95 * values[night : night + 24].max()
    assert found.peak > values[night : night + 4].max()
    assert found.multiple == pytest.approx(2.5, rel=0.15)


def test_what_happens_each_week_is_the_season():
    values = traffic(8, hours=8 * 7 * 24)
    for week in range(8):
        values[week * 168 + 50 : week * 168 + 54] *= 2.0
    assert not detect_events(values, (24, 168))


def test_a_shift_of_level_is_no_event():
    for at in (200, 351, 500):
        values = traffic(9)
        values[at:] *= 1.7
        assert not [event for event in detect_events(values, (24, 168)) if event.end - event.begin > 3]


def test_what_goes_on_at_the_end_is_told():
    values = with_event(traffic(10), HOURS - 6, 6, 4.0)
    found = detect_events(values, (24, 168))
    assert [event.is_over for event in found] == [False]


@pytest.mark.parametrize("hours", [18, 24, 48, 72])
@pytest.mark.parametrize("multiple", [1.6, 5.0])
def test_a_sale_that_is_still_on_is_an_event_and_not_the_forecast(hours, multiple):
    for seed in range(3):
        calm = traffic(seed, hours=60 * 24)
        on = calm.copy()
        on[-hours:] *= multiple
        found = detect_events(on, (24, 168))
        assert overlap(found, len(on) - hours, len(on)) > 0.8
        assert not found[-1].is_over
        usual = forecast(calm[:-hours], 72 + hours).point[hours:]
        assert forecast(on, 72).point.max() == pytest.approx(usual.max(), rel=0.15)


def test_what_has_stayed_for_five_days_is_the_level():
    values = traffic(3, hours=60 * 24)
    values[-5 * 24 :] *= 2.0
    assert not [event for event in detect_events(values, (24, 168)) if event.end > len(values) - 24]
    assert forecast(values, 24).point.max() > 1.5 * values[-10 * 24 : -6 * 24].max()


def test_a_quiet_series_that_grows_has_no_events():
    """Less than the share that is promised is none, however little noise there is."""
    dice = np.random.default_rng(3)
    for days in (30, 60, 90):
        at = np.arange(days * 24)
        values = 100 + 10 * np.sin(2 * np.pi * at / 24) + 0.02 * at + 0.02 * dice.standard_normal(len(at))
        assert not detect_events(values)
        assert not detect_events(values, (24, 168))


@pytest.mark.parametrize("noise", [0.02, 0.05, 0.5])
@pytest.mark.parametrize("at", [700, 1000, 1300])
def test_a_burst_in_a_quiet_series_that_grows_is_found_where_it_is(at, noise):
    dice, hours = np.random.default_rng(3), np.arange(60 * 24)
    values = 100 + 10 * np.sin(2 * np.pi * hours / 24) + 0.02 * hours + noise * dice.standard_normal(60 * 24)
    values[at : at + 6] *= 1.3
    assert [(event.begin, event.end) for event in detect_events(values)] == [(at, at + 6)]


@pytest.mark.parametrize("an_hour", [0.05, 0.2, 0.5, 1.0])
def test_what_seldom_happens_is_no_event_each_time_and_a_burst_of_it_is(an_hour):
    values = np.random.default_rng(3).poisson(an_hour, 90 * 24).astype(float)
    assert len(detect_events(values, (24, 168))) <= 2
    values[1000:1006] += 20 * max(an_hour, 0.3)
    assert [event for event in detect_events(values, (24, 168)) if event.begin <= 1000 and event.end >= 1006]


@pytest.mark.parametrize("months", [48, 60, 84, 120])
@pytest.mark.parametrize("a_month", [0.0, 0.01, 0.03])
def test_a_month_of_three_times_normal_is_found_however_the_years_grow(months, a_month):
    """A season of twelve: the level of a few years must not take their growth for noise."""
    at = np.arange(months)
    grown = 100 * (1 + a_month) ** at * (1 + 0.3 * np.sin(2 * np.pi * at / 12))
    for seed, noise in enumerate((0.001, 0.02, 0.05)):
        values = grown * (1 + noise * np.random.default_rng(seed).standard_normal(months))
        assert not detect_events(values, (12,))
        for month in (months // 2, months - 5):
            peak = values.copy()
            peak[month] *= 3.0
            assert [(one.begin, one.end) for one in detect_events(peak, (12,))] == [(month, month + 1)]


def test_noise_has_hardly_any_events():
    count = sum(len(detect_events(traffic(seed, correlated=0.8, noise=0.1), (24, 168))) for seed in range(40))
    assert count <= 4


def test_scores_and_windows_do_not_depend_on_the_unit():
    values = with_event(traffic(11), 222, 9, 3.0)
    one, other = detect_events(values, (24, 168)), detect_events(values * 1000.0, (24, 168))
    assert [(event.begin, event.end) for event in one] == [(event.begin, event.end) for event in other]
    assert [event.score for event in one] == pytest.approx([event.score for event in other])


def test_an_event_among_gaps_and_below_zero_is_found():
    values = with_event(traffic(12), 333, 10, 4.0)
    values[100:130] = np.nan
    assert overlap(detect_events(values, (24, 168)), 333, 343) > 0.7
    assert overlap(detect_events(values - 1500.0, (24, 168)), 333, 343) > 0.6


def test_a_series_without_season_shows_its_bursts():
    rng = np.random.default_rng(3)
    values = 100 + rng.normal(size=300)
    values[120:126] += 60
    found = detect_events(values, ())
    assert [(event.begin, event.end) for event in found] == [(120, 126)]


def test_seasons_are_found_in_the_series_itself():
    assert guessed_seasons(traffic(13)) == (24, 168)
    assert guessed_seasons(with_event(traffic(14), 300, 12, 6.0)) == (24, 168)
    rng = np.random.default_rng(4)
    at = np.arange(400)
    assert guessed_seasons(50 + 10 * np.sin(at / 7 * 2 * np.pi) + rng.normal(size=400)) == (7, 1)
    assert guessed_seasons(rng.normal(size=400)) == (1, 1)


def test_noise_before_an_event_is_no_part_of_it():
    """Five minutes a step: a day has 288, and some of them are off by two scales at any time."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        at = np.arange(7 * 288)
        values = 1000 * (1 + 0.5 * np.sin(2 * np.pi * at / 288)) * (1 + 0.08 * rng.normal(size=len(at)))
        values[700:724] *= 2.5
        values[1500:1512] *= 4.0
        first, second = detect_events(values, (288,))
        assert abs(first.begin - 700) + abs(first.end - 724) <= 4
        assert abs(second.begin - 1500) + abs(second.end - 1512) <= 4


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [1e-300, 1e150])
def test_a_series_of_one_tiny_or_huge_value_has_no_season_and_no_event(value):
    values = np.full(100, value)
    assert guessed_seasons(values) == (1, 1)
    assert detect_events(values) == ()


@pytest.mark.parametrize("begin", [1000, 1007, 1008, 980])
def test_an_event_is_whole_where_a_long_series_is_looked_at_in_parts(begin):
    """Parts are six weeks, 1,008 hours: an event over that hour was told as two."""
    values = traffic(12, hours=90 * 24)
    values[begin : begin + 30] *= 5.0
    (found,) = detect_events(values, (24, 168))
    assert (abs(found.begin - begin) <= 2, abs(found.end - begin - 30) <= 2) == (True, True)
    assert begin <= found.peak_at < begin + 30
    assert found.half_life is None or found.half_life <= 30
