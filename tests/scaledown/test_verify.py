"""Is traffic keeping up? What a soak saw, held against the plan."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaledown.comparing import (
    ALPHA_OF_A_RUN,
    alpha_of,
    has_enough,
    looks_missing,
    must_see,
    predicted_factor,
)
from scaledown.progress import BeforeWay, ProbeCounts, SoakWay
from scaledown.types import PLAN_FORMAT, PlannedBaseline, PlannedObjective, PlannedProbe, Verdict
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


OBJECTIVE = PlannedObjective(0.001, 300.0, 0.95, "contract")
COMPARING = replace(PLAN, format=PLAN_FORMAT, slower_allowed=0.3)


def answers(count, median_ms=80.0, sigma=0.15, seed=1):
    """Latencies as the simulator draws them: one in a hundred is some times slower."""
    random = Random(seed)
    return tuple(
        median_ms
        * random.lognormvariate(0.0, sigma)
        * (random.uniform(2.0, 5.0) if random.random() < 0.01 else 1.0)
        for _ in range(count)
    )


BEFORE = BeforeWay(START - timedelta(minutes=2), {"home": answers(60)}, load_looks=10, load_sum=400.0)


def verdict(plan=PLAN, has_monitor=True, pool_rps=200.0, before=None, serving=None, **changes):
    return judge(
        replace(GOOD, **changes),
        plan,
        has_monitor=has_monitor,
        pool_rps=pool_rps,
        now=END,
        before=before,
        serving=serving,
    )


def compared(plan=COMPARING, before=BEFORE, count=60, times=1.0, load=40.0, **changes):
    """A soak in which answers took `times` as long as before, at `load` requests per second and node."""
    seen = {"home": tuple(value * times for value in answers(count, seed=2))}
    loads = {"load_looks": 10, "load_sum": 10 * load, "load_last": load, "load_highest": load}
    return verdict(plan, before=before, latency_ms=seen, **{**loads, **changes})


def test_good_probes_under_an_even_load_pass_with_their_numbers():
    found = verdict()
    assert found.verdict is Verdict.PASSES
    assert found.numbers["probes_ok"] == 10
    assert found.numbers["latency_ms_median"] == 90.0
    assert "50% of the next peak" in found.says


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"probes_failed": 6}, Verdict.FAILS),
        # Over what is allowed, but three of thirteen may be chance: never a pass, and nobody is woken.
        ({"probes_failed": 3}, Verdict.INCONCLUSIVE),
        ({"probes_slow": 1}, Verdict.PASSES),
        ({"probes_slow": 2}, Verdict.INCONCLUSIVE),
        ({"probes_slow": 5}, Verdict.FAILS),
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
    found = verdict(pool_rps=40.0, serving=5)
    assert found.verdict is Verdict.PASSES
    assert "too little traffic" in found.says
    assert "at 10% of the next peak" in found.says
    assert found.numbers["load_is_evidence"] is False


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


PATHS = tuple(f"path-{number}" for number in range(10))
MANY = replace(PLAN, probes=tuple(PlannedProbe(name=n, url=f"https://www.example.com/{n}") for n in PATHS))
SEEN = ProbeCounts(ok=30)


def over_many(**one):
    """The verdict where nine of ten probes are good and the counts of one are these."""
    by_probe = dict.fromkeys(PATHS, SEEN) | {"path-7": ProbeCounts(**one)}
    sums = {
        f"probes_{name}": sum(getattr(counts, name) for counts in by_probe.values())
        for name in ("ok", "failed", "slow", "unknown")
    }
    return verdict(MANY, by_probe=by_probe, **sums)


@pytest.mark.parametrize(
    ("one", "expected", "says"),
    [
        ({"ok": 30}, Verdict.PASSES, "300 of 300"),
        ({"unknown": 30}, Verdict.INCONCLUSIVE, "Only 0 probes of path-7 gave an answer"),
        ({"ok": MIN_PROBES - 1}, Verdict.INCONCLUSIVE, "Only 2 probes of path-7 gave an answer"),
        ({"ok": 18, "unknown": 12}, Verdict.INCONCLUSIVE, "12 of 30 probes of path-7 could not be made"),
        ({"ok": 20, "failed": 10}, Verdict.FAILS, "10 of 30 probes of path-7 failed"),
        ({"ok": 26, "failed": 4}, Verdict.INCONCLUSIVE, "4 of 30 probes of path-7 failed"),
        ({"ok": 5, "failed": 1}, Verdict.PASSES, ""),
        ({"ok": 20, "slow": 10}, Verdict.FAILS, "10 of 30 answers of path-7 took longer"),
        ({"ok": 28, "slow": 2}, Verdict.INCONCLUSIVE, "2 of 30 answers of path-7 took longer"),
    ],
)
def test_a_probe_that_is_blind_or_bad_does_not_hide_among_good_ones(one, expected, says):
    found = over_many(**one)
    assert found.verdict is expected
    assert says in found.says


def test_a_probe_of_the_plan_that_was_never_looked_at_is_no_pass():
    seen = {name: SEEN for name in PATHS if name != "path-3"}
    found = verdict(MANY, by_probe=seen, probes_ok=270)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "path-3" in found.says


def test_a_soak_of_an_earlier_release_is_judged_by_its_sums():
    assert verdict(MANY, probes_ok=300).verdict is Verdict.PASSES
    assert verdict(MANY, probes_ok=300, probes_unknown=200).verdict is Verdict.INCONCLUSIVE


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


# --- the next peak -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("serving", "plan", "expected"),
    [
        (5, PLAN, Verdict.PASSES),  # 80 % of the ceiling each
        (4, PLAN, Verdict.PASSES),
        (3, PLAN, Verdict.FAILS),  # 133 %
        (0, PLAN, Verdict.FAILS),
        (3, replace(PLAN, remaining_reason="Both sides know."), Verdict.PASSES),
        (2, replace(PLAN, remaining_reason="Both sides know."), Verdict.FAILS),  # fewer than was approved
        (3, replace(PLAN, ceiling_rps=None), Verdict.PASSES),  # unknown, and there is traffic to go by
        (3, replace(PLAN, forecast_peak_rps=None), Verdict.PASSES),
    ],
)
@pytest.mark.parametrize("pool_rps", [40.0, 200.0])
def test_a_size_that_the_next_peak_is_too_much_for_does_not_pass(serving, plan, expected, pool_rps):
    found = verdict(plan, serving=serving, pool_rps=pool_rps)
    if plan.ceiling_rps is None and pool_rps == 40.0:
        assert (found.verdict, found.code) == (Verdict.INCONCLUSIVE, "traffic")
        return
    assert found.verdict is expected
    if expected is Verdict.FAILS:
        # The site is well now: nobody is woken, and a person decides.
        assert (found.code, found.is_danger, found.goes_back) == ("peak", False, False)


def test_too_little_traffic_and_no_projection_is_no_verdict_yet():
    found = verdict(replace(PLAN, ceiling_rps=None), pool_rps=40.0, serving=5)
    assert (found.verdict, found.code, found.is_danger) == (Verdict.INCONCLUSIVE, "traffic", False)
    assert found.says.startswith("Not enough traffic to tell yet")
    # Probes and the balancer's own view decide all the same.
    assert verdict(PLAN, pool_rps=40.0, serving=5, probes_failed=6).verdict is Verdict.FAILS
    assert verdict(PLAN, pool_rps=40.0, serving=5, pool_bad_in_row=2).verdict is Verdict.FAILS


# --- what the site promises --------------------------------------------------------------------------------------


def test_more_failures_than_the_site_promises_fail_although_the_plan_allows_them():
    promised = replace(PLAN, objective=OBJECTIVE)
    assert verdict(promised, probes_ok=90, probes_failed=4).verdict is Verdict.FAILS
    assert verdict(PLAN, probes_ok=90, probes_failed=4).verdict is Verdict.PASSES
    # One failed probe of ninety is no proof that a thousandth is passed.
    assert verdict(promised, probes_ok=90, probes_failed=1).verdict is Verdict.PASSES


def test_answers_slower_than_promised_fail_and_one_slow_answer_does_not():
    promised = replace(PLAN, objective=OBJECTIVE)
    fast = answers(60)
    found = verdict(promised, latency_ms={"home": tuple(4.5 * value for value in fast)})
    assert (found.verdict, found.code, found.is_danger) == (Verdict.FAILS, "objective", True)
    assert verdict(promised, latency_ms={"home": (*fast, 9000.0)}).verdict is Verdict.PASSES


# --- slower than before ------------------------------------------------------------------------------------------


def test_unchanged_answers_pass_and_say_what_would_have_been_seen():
    found = compared()
    assert found.verdict is Verdict.PASSES
    assert found.numbers["smallest_slowness_seen"] < must_see(COMPARING)
    assert "would have been seen" in found.says
    assert "before the first server" in found.says
    (one,) = found.numbers["comparisons"]
    assert (one["probe"], one["looks"], one["is_worse"]) == ("home", 60, False)
    assert "as fast as before" in found.customer_says


def test_a_real_shift_fails_and_nobody_is_woken_while_it_is_inside_what_is_promised():
    found = compared(times=2.0)
    assert (found.verdict, found.code, found.is_danger, found.goes_back) == (
        Verdict.FAILS,
        "slower",
        False,
        True,
    )
    assert "30% are allowed" in found.says
    # What is allowed is allowed.
    assert compared(times=1.25).verdict is Verdict.PASSES


def test_one_slow_answer_fails_nothing():
    slow = {"home": (*answers(40, seed=2), 9000.0)}
    assert verdict(COMPARING, before=BEFORE, latency_ms=slow).verdict is Verdict.PASSES


def test_a_shift_that_the_load_explains_and_that_stays_inside_the_objective_is_no_failure():
    """80 ms at 40, up to 300 ms promised at a ceiling of 100: half as long again at 70 is what the curve says."""
    curve = replace(COMPARING, objective=OBJECTIVE)
    expected = predicted_factor(curve, "home", 40.0, 70.0, BEFORE.latency_ms["home"])
    assert 1.3 < expected < 2.0
    assert compared(COMPARING, times=1.7, load=70.0).verdict is Verdict.FAILS
    found = compared(curve, times=1.7, load=70.0)
    assert found.verdict is Verdict.PASSES
    assert "were to be expected from the load" in found.says
    # Not what the load does not explain, and not what is over the promise.
    assert compared(curve, times=1.7, load=40.0).verdict is Verdict.FAILS
    assert compared(curve, times=4.5, load=70.0).code == "objective"


def level(load, p50, days=3.0, hours=0.0, p95=None, probe="home"):
    at = END - timedelta(days=days, hours=hours)
    return PlannedBaseline(probe, load, p50, p95, None, at, "measured")


def test_baselines_at_several_loads_are_the_curve():
    known = replace(COMPARING, baselines=(level(40.0, 80.0), level(60.0, 120.0), level(80.0, 240.0)))
    assert predicted_factor(known, "home", 40.0, 70.0, ()) == pytest.approx(180.0 / 80.0)
    assert predicted_factor(known, "home", 10.0, 200.0, ()) == pytest.approx(3.0)
    assert predicted_factor(known, "home", 70.0, 40.0, ()) == 1.0
    assert predicted_factor(known, "home", None, 70.0, ()) == 1.0
    assert predicted_factor(known, "other", 40.0, 70.0, ()) == 1.0
    assert compared(known, times=1.7, load=60.0).verdict is Verdict.PASSES
    assert compared(known, times=2.6, load=60.0).verdict is Verdict.FAILS


@pytest.mark.parametrize(("days", "word"), [(1, "day"), (7, "week")])
def test_the_same_hour_of_an_earlier_day_is_held_against_too(days, word):
    slow_before = replace(BEFORE, latency_ms={"home": answers(60, median_ms=200.0)})
    earlier = replace(COMPARING, baselines=(level(40.0, 80.0, days=days, p95=110.0),))
    found = compared(earlier, before=slow_before, times=2.5)
    assert (found.verdict, found.code) == (Verdict.FAILS, "baseline")
    assert f"a {word} earlier" in found.says
    assert compared(COMPARING, before=slow_before, times=2.5).verdict is Verdict.PASSES
    # Another hour says nothing.
    other = replace(COMPARING, baselines=(level(40.0, 80.0, days=days, hours=2.0),))
    assert compared(other, before=slow_before, times=2.5).verdict is Verdict.PASSES


@pytest.mark.parametrize("load", [40.0, None])
def test_more_load_than_on_the_earlier_day_explains_slower_answers_there_too(load):
    """Half the servers carry the traffic of the same hour: without its load a baseline has that of the stretch before."""
    earlier = replace(COMPARING, objective=OBJECTIVE, baselines=(level(load, 80.0, days=1, p95=110.0),))
    assert compared(earlier, times=1.7, load=70.0).verdict is Verdict.PASSES
    found = compared(
        earlier, before=replace(BEFORE, latency_ms={"home": answers(60, 200.0)}), times=1.7, load=40.0
    )
    assert (found.verdict, found.code) == (Verdict.FAILS, "baseline")


def test_the_slowest_answers_are_held_against_the_earlier_ones_too():
    earlier = replace(COMPARING, baselines=(level(40.0, None, days=1, p95=110.0),))
    tail = answers(45, seed=2) + tuple(300.0 for _ in range(15))
    found = verdict(earlier, before=BEFORE, latency_ms={"home": tail})
    assert (found.verdict, found.code) == (Verdict.FAILS, "baseline")
    assert "95 of 100" in found.says


@pytest.mark.parametrize("count", [1, 4, 7])
def test_too_few_answers_are_no_pass(count):
    found = compared(count=count)
    assert (found.verdict, found.code) == (Verdict.INCONCLUSIVE, "sample")
    assert "too few" in found.says
    assert found.numbers["smallest_slowness_seen"] is None or found.numbers["smallest_slowness_seen"] > 1.0


def test_no_answers_of_a_probe_or_too_few_before_are_no_pass():
    none = verdict(COMPARING, before=BEFORE, latency_ms={})
    assert (none.verdict, none.code) == (Verdict.INCONCLUSIVE, "sample")
    few = replace(BEFORE, latency_ms={"home": answers(3)})
    found = compared(before=few)
    assert (found.verdict, found.code) == (Verdict.INCONCLUSIVE, "sample")


def test_at_a_small_share_of_the_peak_answers_are_no_evidence_either_way():
    for times in (1.0, 2.0):
        found = compared(times=times, pool_rps=40.0, serving=5)
        assert found.verdict is Verdict.PASSES
        assert "before the first server" not in found.says


def test_a_run_of_an_earlier_release_is_judged_as_it_was_approved():
    assert compared(COMPARING, before=None, times=2.0).verdict is Verdict.PASSES
    assert compared(PLAN, times=2.0).verdict is Verdict.PASSES


def test_the_chances_of_all_comparisons_of_a_run_stay_under_those_of_the_run():
    plan = replace(COMPARING, servers=COMPARING.servers * 10, probes=COMPARING.probes * 3)
    assert alpha_of(plan) * 20 * 2 * 3 * 5 == pytest.approx(ALPHA_OF_A_RUN)


def test_how_many_looks_are_missing_is_what_makes_a_sample_large_enough():
    soak = replace(GOOD, latency_ms={"home": answers(2)})
    missing = looks_missing(COMPARING, BEFORE, soak)
    assert missing > 0
    enough = replace(soak, latency_ms={"home": answers(2 + missing)})
    assert looks_missing(COMPARING, BEFORE, enough) <= 0
    assert compared(count=2 + missing).code == ""
    assert compared(count=1 + missing).code == "sample"
    assert looks_missing(PLAN, BEFORE, soak) == 0
    assert looks_missing(COMPARING, None, soak) == 0
    assert not has_enough(COMPARING, {"home": answers(5)})
    assert not has_enough(COMPARING, {})
    assert has_enough(COMPARING, {"home": answers(60)})


def test_without_a_ceiling_the_load_that_was_fine_is_the_guard():
    fine = replace(PLAN, ceiling_rps=None, fine_load_rps=50.0, forecast_peak_rps=None)
    found = verdict(fine, load_over=2, load_highest=60.0)
    assert (found.verdict, found.code) == (Verdict.FAILS, "load")
    assert "fine in the last 14 days" in found.says
    assert verdict(fine, load_last=51.0).verdict is Verdict.INCONCLUSIVE
    assert verdict(fine).numbers["load_guard_rps"] == 50.0
    assert verdict(replace(fine, fine_load_rps=None)).numbers["load_guard_rps"] is None
