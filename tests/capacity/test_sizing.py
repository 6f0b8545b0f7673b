"""Sizing is arithmetic that people spend money on: its promises hold for any load, ceiling and growth."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.sizing import (
    FAR,
    MONTH,
    MOST_MULTIPLE,
    MOST_SERVERS,
    Cost,
    Demand,
    Lasts,
    Planned,
    Pool,
    Price,
    Rules,
    Stay,
    WhatIf,
    cost_a_month,
    cost_of,
    headroom_of,
    runway,
    servers_for,
    size,
    total_of,
    what_if,
)

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
loads = st.floats(0, 9e4)
ceilings = st.floats(1, 1e4)
rules = st.builds(Rules, headroom=st.floats(0, 0.9), fewest=st.integers(1, 8))
growths = st.floats(-0.2, 0.5)


@st.composite
def demands(draw):
    low, mid, high = sorted(draw(st.tuples(*[st.floats(1, 1e4)] * 3)))
    slow, usual, fast = sorted(draw(st.tuples(growths, growths, growths)))
    return Demand(mid, low, high, NOW - timedelta(days=draw(st.integers(0, 30))), usual, slow, fast)


def usual(**changes) -> Demand:
    return replace(Demand(230, 220, 245, NOW, 0.041, 0.028, 0.056), **changes)


@given(loads, ceilings, rules)
def test_the_servers_that_are_needed_carry_the_load_and_one_fewer_would_not(load, ceiling, rule):
    count = servers_for(load, ceiling, rule)
    usable = ceiling * (1 - rule.headroom)
    assert count >= rule.fewest
    assert count * usable >= load * (1 - 1e-6)
    assert count == rule.fewest or (count - 1) * usable < load


@given(loads, loads, ceilings, rules)
def test_more_load_never_needs_fewer_servers(one, other, ceiling, rule):
    small, large = sorted((one, other))
    assert servers_for(small, ceiling, rule) <= servers_for(large, ceiling, rule)


@given(loads, ceilings, ceilings, rules)
def test_servers_that_carry_more_are_never_more(load, one, other, rule):
    small, large = sorted((one, other))
    assert servers_for(load, large, rule) <= servers_for(load, small, rule)


@pytest.mark.parametrize(("load", "count"), [(0, 2), (144, 2), (144.001, 3), (216, 3), (216.1, 4)])
def test_a_load_at_the_edge_needs_no_further_server(load, count):
    assert servers_for(load, 90, Rules(0.2, 2)) == count


@pytest.mark.parametrize(("load", "ceiling"), [(-1, 90), (10, 0), (float("nan"), 90), (10, float("inf"))])
def test_what_cannot_be_is_refused(load, ceiling):
    with pytest.raises(ValueError, match="A load is 0 or more"):
        servers_for(load, ceiling, Rules())


@pytest.mark.parametrize("wrong", [{"headroom": 1.0}, {"headroom": -0.1}, {"fewest": 0}])
def test_rules_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match=r"is a share|At least"):
        Rules(**wrong)


@given(demands(), st.integers(1, 200), ceilings, rules)
def test_the_date_lies_in_its_range_and_demand_meets_capacity_on_it(demand, servers, ceiling, rule):
    found = runway(demand, Pool(servers, ceiling), rule, NOW)
    usable = servers * ceiling * (1 - rule.headroom)
    if found.state is Lasts.ENDS:
        assert NOW < found.at <= NOW + FAR
        assert NOW <= found.earliest <= found.at
        assert found.latest is None or found.at <= found.latest <= NOW + FAR
        assert demand.at(found.at).mid == pytest.approx(usable, rel=1e-3)
    elif found.state is Lasts.OVER:
        assert demand.at(NOW).mid >= usable * (1 - 1e-6)
    else:
        assert found.state is Lasts.LONG
        assert demand.at(NOW + FAR).mid <= usable * (1 + 1e-6)


@given(demands(), st.integers(1, 200), ceilings, rules)
def test_one_more_server_never_ends_sooner(demand, servers, ceiling, rule):
    less, more = (runway(demand, Pool(count, ceiling), rule, NOW) for count in (servers, servers + 1))
    never = NOW + 2 * FAR
    assert (more.at or never) >= (less.at or never)
    assert (more.earliest or never) >= (less.earliest or never)


def test_four_servers_last_until_demand_has_grown_into_them():
    found = runway(usual(), Pool(4, 90), Rules(0.2), NOW)
    # 230 grows by 4.1 % a month to 4 x 90 less a fifth, which is 288.
    months = (found.at - NOW) / MONTH
    assert 230 * 1.041**months == pytest.approx(288)
    assert found.state is Lasts.ENDS
    assert found.earliest < found.at < found.latest


@pytest.mark.parametrize(
    ("demand", "state"),
    [
        (usual(peak_rps=400, peak_high_rps=410), Lasts.OVER),
        (usual(growth=0.0, growth_low=-0.01, growth_high=0.01), Lasts.LONG),
        (usual(growth=None), Lasts.UNKNOWN),
    ],
)
def test_what_is_over_what_lasts_and_what_is_unknown_are_told_apart(demand, state):
    assert runway(demand, Pool(4, 90), Rules(0.2), NOW).state is state


def test_what_lasts_long_may_still_end_early_and_says_so():
    found = runway(usual(growth=0.0, growth_low=-0.01, growth_high=0.05), Pool(4, 90), Rules(0.2), NOW)
    assert (found.state, found.at) == (Lasts.LONG, None)
    assert NOW < found.earliest < NOW + FAR


def test_a_pool_is_sized_for_now_the_next_peak_and_each_event():
    price = Price(Decimal("0.36"), "EUR")
    planned = [Planned("Sale", NOW + MONTH, 3.0), Planned("Fair", NOW, None)]
    found = size(Pool(6, 90.0), usual(), Rules(0.2, 2), NOW, next_peak_rps=240, events=planned, price=price)
    assert (found.needed_now, found.needed_peak, found.surplus) == (4, 4, 2)
    assert found.headroom_now == pytest.approx(1 - 230 / 540)
    sale, fair = found.events
    assert sale.peak_rps == pytest.approx(230 * 1.041 * 3)
    assert (sale.servers, sale.more) == (10, 4)
    assert (fair.peak_rps, fair.servers, fair.more) == (None, None, None)
    assert found.saving == Cost(Decimal("1461.00"), Decimal("525.96"), "EUR")


@pytest.mark.parametrize(
    ("pool", "demand"), [(Pool(6, None), usual()), (Pool(None, 90.0), usual()), (Pool(6, 90.0), None)]
)
def test_unknown_is_never_taken_for_nothing(pool, demand):
    found = size(pool, demand, Rules(), NOW)
    assert (found.surplus, found.saving, found.headroom_now) == (None, None, None)
    assert found.lasts.state is Lasts.UNKNOWN


def test_the_pools_own_limit_is_raised_by_no_server():
    # 200 requests a second of the database, a fifth free: 160 are left, and 165 are the usual peak.
    rule, planned = Rules(0.2), [Planned("Sale", NOW, 5.0), Planned("Fair", NOW, 0.5)]
    demand = usual(peak_rps=165, peak_low_rps=160.5, peak_high_rps=170)
    for servers in (3, 6, 600):
        found = size(Pool(servers, 90.0, limit_rps=200.0), demand, rule, NOW, events=planned)
        assert (found.lasts.state, found.lasts.limit_rps) == (Lasts.OVER, 200.0)
        assert found.headroom_now == pytest.approx(1 - 165 / 200)
        assert found.is_over_limit
        assert [one.is_over_limit for one in found.events] == [True, False]
    roomy = size(Pool(3, 90.0, limit_rps=2000.0), demand, rule, NOW, events=planned)
    assert roomy == replace(size(Pool(3, 90.0), demand, rule, NOW, events=planned), pool=roomy.pool), (
        "a limit above what the servers carry changes nothing"
    )


@pytest.mark.parametrize(
    ("servers", "limit", "carried", "over_limit"),
    [
        (3, None, None, None),  # 270 carry 165, less free than a quarter would be
        (1, None, 90.0, None),
        (3, 200.0, None, None),
        (3, 168.0, None, 170.0),  # the next peak is more than that, the usual one is not
        (3, 150.0, 150.0, 165.0),
        (1, 150.0, 90.0, 165.0),
    ],
)
def test_a_peak_above_all_that_is_carried_is_told_apart_from_too_little_free(
    servers, limit, carried, over_limit
):
    level = {"growth": 0.0, "growth_low": 0.0, "growth_high": 0.0}
    demand = usual(peak_rps=165, peak_low_rps=160.5, peak_high_rps=170, **level)
    pool = Pool(servers, 90.0, limit_rps=limit)
    found = size(pool, demand, Rules(0.4), NOW, next_peak_rps=170.0)
    assert found.lasts.state is Lasts.OVER
    assert (found.lasts.peak_rps, found.lasts.carried_rps) == (None if carried is None else 165.0, carried)
    assert found.peak_over_limit == over_limit


@given(demands(), st.integers(1, 50), ceilings, rules, st.floats(1, 1e5))
def test_a_limit_never_lets_servers_last_longer(demand, servers, ceiling, rule, limit):
    free, held = (runway(demand, Pool(servers, ceiling, limit_rps=most), rule, NOW) for most in (None, limit))
    never = NOW + 2 * FAR
    assert (held.at or never) <= (free.at or never)
    assert (held.limit_rps is None) == (limit > servers * ceiling)


def test_what_if_keeps_the_pools_own_limit():
    pool = Pool(6, 90.0, "general1-4", 200.0)
    found = what_if(pool, usual(), Rules(0.2), NOW, WhatIf(servers=60, carries_rps=900.0))
    assert (found.pool.limit_rps, found.is_over_limit, found.lasts.state) == (200.0, True, Lasts.OVER)


@pytest.mark.parametrize("load", [1e300, float("inf")])
def test_a_mistyped_figure_breaks_nothing_and_takes_no_server_out(load):
    planned = [Planned("Sale", NOW, load)]
    found = size(Pool(6, 90.0), usual(), Rules(0.2), NOW, next_peak_rps=load, events=planned)
    assert found.needed_peak == MOST_SERVERS
    assert (found.needed_now, found.surplus, found.saving) == (4, 0, None)
    assert found.events[0].peak_rps == 230 * MOST_MULTIPLE


def test_nothing_is_surplus_while_a_planned_event_is_on():
    began = Planned("Fair", NOW - timedelta(hours=5), 2.0)
    found = size(Pool(6, 90.0), usual(), Rules(0.2), NOW, events=[began])
    assert (found.surplus, found.saving, found.on.event, found.missing_on) == (0, None, began, None)
    small = Planned("Fair", NOW - timedelta(hours=5), 1.01)
    assert size(Pool(6, 90.0), usual(), Rules(0.2), NOW, events=[small]).surplus > 0


def test_what_is_on_needs_no_less_than_was_seen_of_it():
    """An hour that usually has nothing has no multiple, and one of a quiet night a small one."""
    for multiple in (None, 1.1):
        on = Planned("", NOW - timedelta(hours=2), multiple, is_on=True, peak_rps=700.0)
        found = size(Pool(6, 90.0), usual(), Rules(0.2), NOW, events=[on])
        assert (found.on.peak_rps, found.missing_on.more, found.surplus) == (700.0, 4, 0)
    on = Planned("", NOW - timedelta(hours=2), 4.0, is_on=True, peak_rps=700.0)
    found = size(Pool(6, 90.0), usual(), Rules(0.2), NOW, events=[on])
    assert found.on.peak_rps == pytest.approx(920.0, rel=0.01)
    unknown = Planned("", NOW, None, is_on=True)
    assert size(Pool(6, 90.0), usual(), Rules(0.2), NOW, events=[unknown]).on.servers is None


def test_of_several_that_are_on_the_one_that_needs_most_is_told():
    small, large = (Planned(str(m), NOW - timedelta(hours=2), m, is_on=True) for m in (3.0, 4.0))
    for events in ([small, large], [large, small]):
        assert size(Pool(6, 90.0), usual(), Rules(0.2), NOW, events=events).missing_on.event == large
    # What somebody dismissed hides nothing of which people are to be told.
    events = [replace(large, is_dismissed=True), small]
    assert size(Pool(6, 90.0), usual(), Rules(0.2), NOW, events=events).missing_on.event == small


def test_what_was_dismissed_and_is_still_on_leaves_nothing_over_and_alarms_nobody():
    on = Planned("a crawler", NOW - timedelta(hours=2), 4.0, is_on=True, is_dismissed=True)
    found = size(Pool(6, 90.0), usual(), Rules(0.2), NOW, events=[on])
    assert (found.surplus, found.on.event, found.missing_on, found.missing_planned) == (0, on, None, None)


@pytest.mark.parametrize(
    ("hosts", "surplus", "kept"),
    [
        pytest.param((0, 1, 2, 3, 4, 5), 2, 0, id="each alone: 3 carry 270 without one"),
        pytest.param((), 2, 0, id="not told"),
        pytest.param((0, 1), 2, 0, id="of another number of servers"),
        pytest.param((0, 1, 0, 1, 0, 1), 0, 2, id="two hosts: 5 leave 2 should the fuller one fail"),
        pytest.param((0, 1, 2, 2, 3, 4), 1, 1, id="4 with two on one host leave 2"),
        pytest.param((2, 2, 0, 1, 3, 4), 2, 0, id="those of one host leave first"),
        pytest.param((0, 0, 0, 0, 0, 0), 0, 2, id="one host: nothing would be left"),
    ],
)
def test_servers_stay_so_that_the_others_carry_the_peak_should_a_host_fail(hosts, surplus, kept):
    found = size(Pool(6, 90.0, hosts=hosts), usual(), Rules(0.2, 2), NOW, next_peak_rps=240)
    assert (found.needed_peak, found.surplus, found.kept_for_host) == (4, surplus, kept)
    # 240 on 3, each 90: one host with three of six leaves 270, one with all of them nothing.
    assert found.is_host_too_much is (hosts == (0,) * 6)


def test_where_nothing_is_more_than_needed_it_is_told_whether_the_loss_of_a_host_is_carried():
    def told(*hosts, carries=90.0):
        found = size(Pool(len(hosts), carries, hosts=hosts), usual(), Rules(), NOW)
        return found.surplus, found.kept_for_host, found.is_host_too_much

    needed = size(Pool(9, 90.0), usual(), Rules(), NOW).needed_now
    assert told(*range(needed), carries=90.0) == (0, 0, False)
    assert told(*[0] * needed) == (0, 0, True)
    assert told() == (0, 0, False)


def test_an_event_that_would_miss_the_surplus_is_named():
    def asks(*planned):
        return size(Pool(6, 90.0), usual(), Rules(0.2), NOW, events=planned).asks_for_more

    small, large, unknown = Planned("Fair", NOW, 1.1), Planned("Sale", NOW, 2.0), Planned("Gala", NOW, None)
    assert asks(small) is None
    assert asks(small, large).event == large
    assert asks(small, unknown, large).event == unknown, "what nobody knows may be more"
    assert size(Pool(4, 90.0), usual(), Rules(0.2), NOW, events=[large]).asks_for_more is None, "no surplus"


def test_without_a_price_server_hours_are_told():
    assert size(Pool(6, 90.0), usual(), Rules(), NOW).saving == Cost(Decimal("1461.00"))


@given(demands(), st.integers(1, 60), ceilings, rules)
def test_nothing_tried_is_the_sizing_itself(demand, servers, ceiling, rule):
    pool = Pool(servers, ceiling, "general1-4")
    assert what_if(pool, demand, rule, NOW, WhatIf(), next_peak_rps=50) == size(
        pool, demand, rule, NOW, next_peak_rps=50
    )
    same = WhatIf(growth=demand.growth, headroom=rule.headroom, servers=servers, flavor="general1-4")
    found = what_if(pool, demand, rule, NOW, same)
    assert (found.needed_now, found.lasts.state, found.surplus) == (
        size(pool, demand, rule, NOW).needed_now,
        size(pool, demand, rule, NOW).lasts.state,
        size(pool, demand, rule, NOW).surplus,
    )


@given(demands(), st.floats(1, 20), st.floats(1, 20))
def test_a_higher_event_never_needs_fewer_servers(demand, one, other):
    small, large = sorted((one, other))
    asked = [
        what_if(Pool(4, 90.0), demand, Rules(), NOW, WhatIf(multiple=multiple)).events[0].servers
        for multiple in (small, large)
    ]
    assert asked[0] <= asked[1]


def test_a_ceiling_belongs_to_its_flavor():
    pool = Pool(4, 90.0, "general1-4")
    other = what_if(pool, usual(), Rules(), NOW, WhatIf(flavor="general1-8"))
    assert (other.needed_now, other.lasts.state) == (None, Lasts.UNKNOWN)
    measured = what_if(pool, usual(), Rules(), NOW, WhatIf(flavor="general1-8", carries_rps=180.0))
    assert (measured.needed_now, measured.pool.flavor) == (2, "general1-8")


@pytest.mark.parametrize(("growth", "least"), [(0.0, 230.0), (0.01, 230.0), (-0.05, 200.0)])
def test_without_a_fall_the_next_peak_is_not_below_what_is(growth, least):
    """The forecast damps its growth, so to take all of it away at once would fall below the peak of today."""
    demand = usual()
    assert demand.at(NOW).mid == 230.0
    found = what_if(Pool(4, 90.0), demand, Rules(), NOW, WhatIf(growth=growth), next_peak_rps=232.0)
    assert least <= found.peak_next_rps <= 232.0
    assert (found.peak_next_rps >= 230.0) is (growth >= 0.0)


def test_faster_growth_ends_sooner_and_keeps_the_width_of_its_interval():
    pool = Pool(4, 90.0)
    slow, fast = (
        what_if(pool, usual(), Rules(), NOW, WhatIf(growth=growth)).lasts for growth in (0.02, 0.10)
    )
    assert NOW < fast.at < slow.at
    assert fast.earliest < fast.at < fast.latest


def test_a_server_costs_from_its_creation_to_its_deletion():
    price = Price(Decimal("0.36"), "EUR")
    stay = Stay(NOW - timedelta(hours=10), NOW - timedelta(hours=4))
    assert cost_of(stay, price, NOW) == Cost(Decimal("6.00"), Decimal("2.16"), "EUR")
    still = cost_of(replace(stay, deleted_at=None), price, NOW)
    assert still.server_hours == 10
    assert cost_of(Stay(NOW, NOW - timedelta(hours=1)), price, NOW).server_hours == 0


def test_a_sum_with_a_price_missing_has_hours_only():
    known, other = Cost(Decimal(6), Decimal(2), "EUR"), Cost(Decimal(4), Decimal(1), "USD")
    assert total_of([known, known]) == Cost(Decimal(12), Decimal(4), "EUR")
    assert total_of([known, Cost(Decimal(4))]) == Cost(Decimal(10))
    assert total_of([known, other]) == Cost(Decimal(10))
    assert total_of([]) == Cost(Decimal(0))


def test_a_month_of_servers_is_an_estimate_of_its_hours():
    assert cost_a_month(1, None) == Cost(Decimal("730.50"))
    assert headroom_of(100, 2 * 50) == 0


@pytest.mark.parametrize(
    ("growth", "other", "peak"),
    [
        (-0.059, 0.0, 142.97),
        (-0.059, -0.03, 142.97),
        (0.0, 0.05, 149.5),
        (0.04, 0.04, 142.97),
        (0.04, 0.0, 137.9),
    ],
)
def test_another_growth_moves_the_forecast_peak_by_what_comes_until_then(growth, other, peak):
    """The highest hour of what shrinks is now: without the fall it is no higher, and four weeks of 5 % add no more than that."""
    demand = Demand(100.0, 95.0, 105.0, NOW, growth, growth - 0.01, growth + 0.01)
    found = what_if(Pool(4, 90.0), demand, Rules(), NOW, WhatIf(growth=other), next_peak_rps=142.97)
    assert found.peak_next_rps == pytest.approx(peak, abs=0.3)


def test_until_when_those_last_that_stay_is_told_with_the_surplus():
    demand = Demand(150.0, 145.0, 155.0, NOW, 0.05, 0.04, 0.06)
    found = size(Pool(6, 90.0), demand, Rules(0.2), NOW, next_peak_rps=158.0)
    assert (found.surplus, found.left) == (3, 3)
    assert found.lasts_without == runway(demand, Pool(3, 90.0), Rules(0.2), NOW)
    assert found.lasts_without.at < found.lasts.at
    none_over = size(Pool(3, 90.0), demand, Rules(0.2), NOW, next_peak_rps=158.0)
    assert (none_over.surplus, none_over.lasts_without.state) == (0, Lasts.UNKNOWN)
    assert size(Pool(None, 90.0), demand, Rules(0.2), NOW).left is None


# --- where only a lower bound of what one server carries is known ------------------------------------------------


@given(demands(), st.integers(1, 40), ceilings, rules, st.none() | st.floats(1, 1e5))
def test_a_lower_bound_never_says_that_servers_are_too_few(demand, servers, ceiling, rule, limit):
    exact = Pool(servers, ceiling, limit_rps=limit)
    known, least = (
        size(one, demand, rule, NOW, next_peak_rps=demand.peak_rps)
        for one in (exact, replace(exact, is_least=True))
    )
    assert least.surplus == known.surplus, "of what is needed at most, what is more is spare"
    if limit is None:
        assert least.lasts.state is not Lasts.OVER
        assert least.headroom_now is None or least.headroom_now >= 0
        assert least.lasts.is_least
    if known.lasts.state in (Lasts.ENDS, Lasts.LONG):
        assert replace(least.lasts, is_least=False) == known.lasts


def test_what_the_pools_own_limit_says_is_no_lower_bound():
    by_limit = Pool(6, 90.0, limit_rps=250.0, is_least=True)
    assert runway(usual(), by_limit, Rules(), NOW) == runway(
        usual(), replace(by_limit, is_least=False), Rules(), NOW
    )
    # The servers may carry more than 30 each, the database does not.
    found = runway(usual(), Pool(6, 30.0, limit_rps=200.0, is_least=True), Rules(), NOW)
    assert (found.state, found.limit_rps, found.is_least) == (Lasts.OVER, 200.0, False)


def test_a_peak_that_is_on_misses_no_server_by_a_lower_bound():
    on = Planned("The peak that is on", NOW - timedelta(hours=2), 4.0, is_on=True)
    known = size(Pool(6, 90.0), usual(), Rules(), NOW, events=[on])
    least = size(Pool(6, 90.0, is_least=True), usual(), Rules(), NOW, events=[on])
    assert known.missing_on is not None
    assert (least.missing_on, least.on, least.surplus) == (None, known.on, 0)
    limited = size(Pool(6, 90.0, limit_rps=400.0, is_least=True), usual(), Rules(), NOW, events=[on])
    assert limited.missing_on is not None, "the limit is none of a server"


def test_a_later_event_that_needs_more_still_is_told():
    near, far, farther = (
        Planned(f"{multiple}", NOW + timedelta(days=days), multiple)
        for days, multiple in ((5, 4.0), (9, 9.0), (20, 6.0))
    )
    found = size(Pool(6, 90.0), usual(), Rules(), NOW, events=[near, far, farther])
    assert (found.missing_planned.event, found.missing_most.event) == (near, far)
    assert found.missing_most.more > found.missing_planned.more
    assert (
        size(Pool(6, 90.0), usual(), Rules(), NOW, events=[near, replace(near, name="Again")]).missing_most
        is None
    )
    assert size(Pool(600, 90.0), usual(), Rules(), NOW, events=[near, far]).missing_most is None
    # One that no number of servers carries comes before any count, and where it is the first nothing is asked for.
    top = found.events[0].peak_rps
    limited = Pool(6, 90.0, limit_rps=top * 1.5)
    found = size(limited, usual(), Rules(), NOW, events=[near, far, farther])
    assert (found.missing_planned.event, found.missing_most.is_over_limit) == (near, True)
    found = size(replace(limited, limit_rps=top * 0.5), usual(), Rules(), NOW, events=[near, far])
    assert (found.missing_planned.is_over_limit, found.missing_most) == (True, None)


def test_a_planned_event_may_miss_servers_by_a_lower_bound():
    soon = Planned("Sale", NOW + timedelta(days=5), 4.0)
    exact, limited = Pool(6, 90.0), Pool(6, 90.0, limit_rps=400.0)
    known, least, by_limit = (
        size(one, usual(), Rules(), NOW, events=[soon])
        for one in (exact, replace(exact, is_least=True), replace(limited, is_least=True))
    )
    assert (known.missing_planned.more, known.may_miss_planned) == (known.events[0].more, None)
    assert (least.missing_planned, least.may_miss_planned) == (None, known.missing_planned)
    assert (by_limit.missing_planned.event, by_limit.may_miss_planned) == (soon, None)


def test_what_is_typed_is_no_lower_bound_and_another_size_is_one_only_if_said():
    pool = Pool(6, 90.0, "a", is_least=True)
    tried = [
        what_if(pool, usual(), Rules(), NOW, one).pool.is_least
        for one in (
            WhatIf(),
            WhatIf(carries_rps=50.0),
            WhatIf(flavor="b"),
            WhatIf(flavor="b", carries_rps=50.0, is_least=True),
        )
    ]
    assert tried == [True, False, False, True]
