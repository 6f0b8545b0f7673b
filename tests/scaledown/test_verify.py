"""Is traffic keeping up? What a soak saw, held against the plan."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaledown.progress import SoakWay
from scaledown.types import Verdict
from scaledown.verify import MIN_PROBES, judge, share_of_peak, smallest_error_share_seen
from tests.scaledown.machine_cases import START, a_plan

GOOD = SoakWay(
    since=START,
    until=START + timedelta(seconds=10),
    probes_ok=10,
    latencies_ms=(80.0, 90.0, 100.0),
    pool_looks=10,
    load_looks=3,
    load_highest=40.0,
    load_last=40.0,
)
PLAN = a_plan(ceiling_rps=100.0, forecast_peak_rps=400.0)
END = START + timedelta(seconds=10)


def verdict(plan=PLAN, has_monitor=True, pool_rps=200.0, **changes):
    return judge(replace(GOOD, **changes), plan, has_monitor=has_monitor, pool_rps=pool_rps, now=END)


def test_good_probes_under_an_even_load_pass_with_their_numbers():
    found = verdict()
    assert found.verdict is Verdict.PASSES
    assert found.numbers["probes_ok"] == 10
    assert found.numbers["latency_ms_median"] == 90.0
    assert "50% of the next peak" in found.says


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"probes_failed": 3}, Verdict.FAILS),
        ({"probes_failed": 1}, Verdict.PASSES),
        ({"load_over": 2, "load_highest": 90.0}, Verdict.FAILS),
        ({"load_over": 1, "load_highest": 90.0}, Verdict.PASSES),
        ({"load_last": 81.0}, Verdict.INCONCLUSIVE),
        ({"pool_bad_in_row": 2}, Verdict.FAILS),
        ({"probes_ok": MIN_PROBES - 1}, Verdict.INCONCLUSIVE),
        ({"probes_ok": 0, "probes_unknown": 10}, Verdict.INCONCLUSIVE),
        ({"probes_unknown": 6}, Verdict.INCONCLUSIVE),
        ({"pool_looks": 0}, Verdict.INCONCLUSIVE),
    ],
)
def test_what_a_soak_saw_decides(changes, expected):
    assert verdict(**changes).verdict is expected


def test_without_probes_a_health_monitor_is_the_least_that_must_be_there():
    plan = replace(PLAN, probes=())
    assert verdict(plan, probes_ok=0).verdict is Verdict.PASSES
    assert verdict(plan, has_monitor=False, probes_ok=0).verdict is Verdict.INCONCLUSIVE


def test_little_traffic_is_said_to_be_no_evidence_of_load():
    assert "too little traffic" in verdict(pool_rps=40.0).says


def test_unknown_traffic_is_no_share_of_the_peak():
    assert share_of_peak(None, 400.0) is None
    assert share_of_peak(40.0, None) is None
    assert "peak" not in verdict(pool_rps=None).says


@given(st.integers(1, 10_000))
def test_more_looks_show_smaller_shares_of_failures(looks):
    share = smallest_error_share_seen(looks)
    assert 0 < share <= 0.95 + 1e-9
    # With that share of failures, no failure in all looks has a chance of 5 %.
    assert (1 - share) ** looks == pytest.approx(0.05, rel=1e-6)


@given(
    ok=st.integers(0, 50),
    failed=st.integers(0, 50),
    unknown=st.integers(0, 50),
    over=st.integers(0, 5),
    bad=st.integers(0, 3),
)
def test_failures_and_missing_data_never_help(ok, failed, unknown, over, bad):
    order = [Verdict.PASSES, Verdict.INCONCLUSIVE, Verdict.FAILS]
    seen = {"probes_ok": ok, "probes_failed": failed, "probes_unknown": unknown}
    first = verdict(**seen, load_over=over, pool_bad_in_row=bad).verdict
    worse = verdict(**seen | {"probes_unknown": unknown + 50}, load_over=over, pool_bad_in_row=bad).verdict
    assert order.index(worse) >= order.index(first)
    if failed > PLAN.probe_failures_allowed * (ok + failed):
        assert first is not Verdict.PASSES
