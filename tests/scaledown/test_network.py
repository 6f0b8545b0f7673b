"""A drain that nothing counts ends once the server's network has gone quiet, held against its own traffic before."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.cloud.types import Interface, NetworkRate
from portal.runs.types import RunStatus
from scaledown.network import LEAST_BEFORE, QUIET_SHARE, judged
from scaledown.types import Grade, NetworkSeen, Phase
from tests.scaledown.machine_cases import START, Desk, a_plan

PERIOD_S = 60


def at(minutes: float):
    return START + timedelta(minutes=minutes)


def interface(*rates: float, first=-10.0, name="eth0") -> Interface:
    """One figure a minute, the first one ending `first` minutes from the start of the drain."""
    return Interface(
        name,
        PERIOD_S,
        tuple(NetworkRate(at(first + n - 1), at(first + n), rate) for n, rate in enumerate(rates)),
    )


def told(*interfaces: Interface, now=5.2, from_at=1.0, problem=""):
    seen = NetworkSeen("srv-6", interfaces, at(now), problem)
    return judged(seen, begun_at=at(0), from_at=at(from_at), now=at(now))


BUSY = [900_000.0] * 11
"""Ten minutes before the drain began, and up to it."""


def test_three_quiet_figures_running_after_the_shortest_time_are_evidence():
    found = told(interface(*BUSY, 300_000.0, 9_000.0, 8_000.0, 7_000.0, 6_000.0))
    assert (found.is_quiet, found.figures, found.before, found.now) == (True, 3, 900_000.0, 6_000.0)
    assert "carries 6.0 kB/s in 3 figures running, 900.0 kB/s before the drain" in found.evidence


@pytest.mark.parametrize(
    ("rates", "options", "says"),
    [
        ([*BUSY, 9e5, 9e5, 9e5, 9e5, 9e5], {}, "carries 900.0 kB/s"),
        ([*BUSY, 9e5, 0.0, 0.0, 30_000.0, 0.0], {}, "carries 0 bytes/s"),
        ([*BUSY, 0.0, 0.0, 0.0], {"now": 3.2}, "carries 0 bytes/s"),
        ([*BUSY, 0.0, 0.0, 0.0, 0.0, 0.0], {"from_at": 3.0}, "carries 0 bytes/s"),
        ([*BUSY], {"now": 0.5}, "the next figures of it are awaited"),
        ([*BUSY, 0.0, 0.0, 0.0, 0.0, 0.0], {"now": 12.0}, "too old"),
        ([100.0] * 11 + [0.0] * 5, {}, "too little before the drain"),
        ([0.0] * 4, {"first": 2.0}, "too few network figures from before"),
    ],
)
def test_what_is_no_evidence(rates, options, says):
    first = options.pop("first", -10.0)
    found = told(interface(*rates, first=first), **options)
    assert not found.is_quiet
    assert says in found.says


def test_figures_with_one_missing_between_them_are_none_running():
    whole = interface(*BUSY, 0.0, 0.0, 0.0, 0.0, 0.0)
    holed = replace(whole, rates=tuple(rate for n, rate in enumerate(whole.rates) if n != 14))
    assert told(whole).is_quiet
    assert not told(holed).is_quiet


def test_each_interface_counts_and_the_one_that_was_always_flat_proves_nothing():
    flat = interface(*[10.0] * 16, name="eth1")
    assert told(interface(*BUSY, *[0.0] * 5), flat).is_quiet
    assert not told(interface(*BUSY, *[9e5] * 5), flat).is_quiet
    assert not told(flat).is_quiet


def test_an_interface_without_figures_leaves_all_unknown():
    assert not told(interface(*BUSY, *[0.0] * 5), interface(name="eth1")).is_quiet


def test_where_nothing_measures_there_is_nothing_to_say():
    assert told() is None
    assert judged(None, begun_at=at(0), from_at=at(1), now=at(5)) is None


def test_why_it_could_not_be_read_is_said():
    found = told(problem="The provider's monitoring: agent not connected.")
    assert (found.is_quiet, found.says) == (
        False,
        "Its network tells nothing: The provider's monitoring: agent not connected.",
    )


RATES = st.lists(st.floats(0, 1e7), min_size=16, max_size=16)


@given(RATES, st.integers(0, 15), st.floats(1, 1e7))
def test_more_traffic_after_the_drain_never_makes_it_quiet(rates, place, more):
    quiet = told(interface(*rates))
    louder = [rate + more if n == place and n > 10 else rate for n, rate in enumerate(rates)]
    assert not told(interface(*louder)).is_quiet or quiet.is_quiet


@given(RATES)
def test_quiet_is_only_what_carries_a_small_share_of_what_it_did(rates):
    found = told(interface(*rates))
    if found.is_quiet:
        assert found.before >= LEAST_BEFORE
        assert max(rates[-3:]) <= QUIET_SHARE * found.before


# --- in a run ------------------------------------------------------------------------------------------


def draining(**changes) -> Desk:
    plan = a_plan(count_kind=None, drain_limit_s=900.0, **changes)
    uncounted = tuple(replace(server, count_url=None) for server in plan.servers)
    rest = tuple(replace(server, count_url=None) for server in plan.remaining)
    desk = Desk(replace(plan, servers=uncounted, remaining=rest, ceiling_rps=None))
    return desk.until_phase(Phase.DRAINING)


def carries(desk, rate_of):
    """Let its network be measured each minute on the minute; `rate_of` takes minutes since the drain began."""
    begun = desk.way().drain.begun_at if desk.way().drain else desk.now
    newest = int((desk.now - begun).total_seconds() // PERIOD_S)
    desk.network["srv-6"] = (
        Interface(
            "eth0",
            PERIOD_S,
            tuple(
                NetworkRate(begun + timedelta(minutes=n - 1), begun + timedelta(minutes=n), rate_of(n))
                for n in range(-14, newest + 1)
            ),
        ),
    )


def goes_on(desk, rate_of, most=100):
    for _ in range(most):
        carries(desk, rate_of)
        desk.look(10.0)
        if desk.phase() is not Phase.DRAINING or desk.status is not RunStatus.RUNNING:
            return desk
    return desk


def goes_quiet(minute):
    return 900_000.0 if minute <= 1 else 4_000.0


@pytest.mark.parametrize("grade", [Grade.INFERRED, Grade.TIMED])
def test_a_plan_that_lets_it_suffice_goes_on_once_the_network_is_quiet(grade):
    desk = goes_on(draining(accepted_grade=grade), goes_quiet)
    (said,) = [line for line in desk.journal if line.kind == "drained"]
    assert said.detail["grade"] == "inferred"
    assert "900.0 kB/s before the drain" in said.says
    assert "Some may still be open" in said.customer_says
    assert said.detail["took_s"] < 600


def test_a_plan_that_wants_a_count_asks_and_tells_what_the_network_shows():
    desk = goes_on(draining(), goes_quiet)
    assert desk.halt.code == "drain_limit"
    assert "Its network carries 4.0 kB/s in 3 figures running" in desk.halt.says


def test_one_that_never_goes_quiet_is_asked_about_at_the_drain_limit():
    desk = draining(accepted_grade=Grade.INFERRED)
    goes_on(desk, lambda minute: 900_000.0, most=30)
    assert "Its network carries 900.0 kB/s, 900.0 kB/s before the drain" in desk.way().says
    goes_on(desk, lambda minute: 900_000.0)
    assert desk.halt.code == "drain_limit"


def test_a_server_whose_connections_were_counted_is_not_called_empty_for_its_network():
    desk = Desk(a_plan(accepted_grade=Grade.INFERRED, drain_limit_s=900.0))
    desk.connections["srv-6"] = 7
    desk.until_phase(Phase.DRAINING)
    goes_on(desk, goes_quiet)
    assert desk.halt.code == "drain_limit"
    assert not [line for line in desk.journal if line.kind == "drained"]
