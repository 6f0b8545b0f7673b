"""Runs on unchanged traffic of the simulator do not halt, and a real shift is seen. `make bench ARGS=verify` measures more."""

from __future__ import annotations

from bench.verify import false_halts, seen_shifts
from capacity.stats import largest_share
from scaledown.comparing import ALPHA_OF_A_RUN

SOAK_S = 60


def test_runs_on_unchanged_traffic_do_not_halt_by_mistake():
    """Same seeds, same draws: 40 runs of three servers, judged 240 times. The bench has the bound of 1 %."""
    stopped, smallest = false_halts(40, soak_s=SOAK_S)
    assert stopped == 0
    assert smallest is not None
    assert smallest < 1.0
    assert ALPHA_OF_A_RUN < 0.01


def test_a_shift_that_matters_is_seen_and_one_that_is_allowed_is_not():
    assert seen_shifts(10, 1.0, soak_s=SOAK_S) == 10
    assert seen_shifts(10, 0.1, soak_s=SOAK_S) == 0


def test_that_none_of_300_halted_bounds_the_share_by_one_percent():
    assert largest_share(0, 300) < 0.01 < largest_share(0, 250)
