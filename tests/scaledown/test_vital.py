"""Vital figures: held against the hour before the first server, judged like failed checks, chosen and explained in a plan."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import example, given
from hypothesis import strategies as st

from capacity.metrics import partitions
from capacity.metrics.models import Metric, Sample
from capacity.vital import COURSE_POINTS, MOST_SAMPLES, vital_course, vital_stretches
from portal.cloud.types import Condition
from portal.errors import Refused
from portal.runs.models import Run
from scaledown import driver, services
from scaledown.canonical import digest, plan_from_plain, plan_to_plain
from scaledown.figures import figures_of
from scaledown.forms import SafetyForm
from scaledown.less import is_less
from scaledown.planner import build_plan_data
from scaledown.preview import preview
from scaledown.report import report
from scaledown.types import PLAN_FORMAT, Phase, PlannedVital, Verdict, VitalSeen
from scaledown.verify import judge
from scaledown.vital import compare_vital, expected_share
from scaledown.watching import LONGEST_WAIT_FOR_ANSWERS_S
from tests import factories as make
from tests.scaledown.halts import in_phase
from tests.scaledown.machine_cases import a_plan
from tests.scaledown.planner_cases import CHOICE, NOW, known, pool
from tests.scaledown.rows import desk
from tests.scaledown.test_api import Caller
from tests.scaledown.test_services import drafted, started
from tests.scaledown.test_verify import END, GOOD

ORDERS = PlannedVital("m-1", "orders", "1/min")
VITAL = {"format": PLAN_FORMAT, "vital": (ORDERS,), "vital_fall_allowed": 0.3}
PLAN = a_plan(ceiling_rps=100.0, forecast_peak_rps=400.0, **VITAL)


def counts(mean, many, seed):
    """Orders a minute, each on its own: Knuth's draws of a Poisson number."""
    random = Random(seed)

    def one():
        limit, product, count = math.exp(-mean), random.random(), 0
        while product > limit:
            product *= random.random()
            count += 1
        return float(count)

    return tuple(one() for _ in range(many))


def seen(mean=60.0, times=1.0, many=10, before=60, earlier=(), seed=1):
    return VitalSeen(
        "m-1", counts(mean, before, seed), counts(mean * times, many, seed + 7_000), END, tuple(earlier)
    )


def verdict(*vital, traffic=None, pool_rps=200.0, plan=PLAN, serving=4):
    return judge(
        GOOD,
        plan,
        has_monitor=True,
        pool_rps=pool_rps,
        now=END,
        serving=serving,
        vital=compare_vital(plan, vital, traffic),
    )


def test_orders_as_before_pass_and_the_numbers_say_so_first():
    found = verdict(seen())
    assert found.verdict is Verdict.PASSES
    assert "orders" in found.says.split("probes")[0]
    (orders, *_) = figures_of(found.numbers, for_customer=False)
    assert orders.label == "orders"
    assert "before the first server" in orders.seen
    assert orders.allowed == "30 % lower"
    assert orders.visible.endswith("lower")


def test_half_of_the_orders_gone_fails_and_the_site_is_in_danger():
    found = verdict(seen(times=0.4))
    assert (found.verdict, found.code, found.is_danger, found.goes_back) == (
        Verdict.FAILS,
        "vital",
        True,
        True,
    )
    assert "30% less is allowed" in found.says
    assert found.customer_says == "orders is lower than it should be."


def test_a_figure_a_little_under_what_is_allowed_is_not_sure_and_no_pass():
    figure = VitalSeen("m-1", tuple(float(50 + n % 21) for n in range(60)), (41.0, 41.5, 40.5, 42.5), END)
    found = verdict(figure)
    assert (found.verdict, found.code) == (Verdict.INCONCLUSIVE, "vital")
    assert "chance" in found.says


def test_no_sample_is_never_a_pass():
    for figures in ((), (replace(seen(), now=(), last_at=None),)):
        found = verdict(*figures)
        assert (found.verdict, found.code) == (Verdict.INCONCLUSIVE, "unseen")
        assert "no sample of orders" in found.says


def test_too_few_samples_are_no_pass_and_the_sentence_says_how_many_it_takes():
    found = verdict(seen(many=1))
    assert (found.verdict, found.code) == (Verdict.INCONCLUSIVE, "sample")
    (one,) = compare_vital(PLAN, [seen(many=1)], None)
    assert f"{one.needed} are needed" in found.says
    assert one.missing == one.needed - 1
    assert verdict(seen(many=one.needed)).verdict is Verdict.PASSES


def test_a_figure_that_is_mostly_nothing_cannot_be_judged_and_says_why():
    found = verdict(seen(mean=0.3))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "too seldom" in found.says


def test_at_a_quiet_hour_few_samples_hold_nothing_up_and_a_real_fall_does():
    quiet = 0.1 * 400.0
    assert verdict(seen(many=1), pool_rps=quiet).verdict is Verdict.PASSES
    assert verdict(seen(times=0.2), pool_rps=quiet).code == "vital"


def test_what_these_hours_do_on_other_days_is_no_fall_of_ours():
    evening = [(60.0, 24.0), (60.0, 30.0)]
    assert verdict(seen(times=0.4), traffic=1.0).code == "vital"
    assert verdict(seen(times=0.4, earlier=evening), traffic=1.0).verdict is Verdict.PASSES
    assert verdict(seen(times=0.1, earlier=evening)).code == "vital"


def test_coming_down_from_an_event_to_what_other_days_have_is_no_fall():
    days = [(20.0, 20.0), (22.0, 21.0)]
    after_the_event = replace(seen(mean=80.0, times=0.25, many=20), earlier=tuple(days))
    assert verdict(after_the_event).verdict is Verdict.PASSES
    broken = replace(seen(mean=80.0, times=0.05, many=20), earlier=tuple(days))
    assert verdict(broken).code == "vital"


def test_where_no_other_day_is_known_traffic_says_what_is_to_be_expected():
    assert verdict(seen(times=0.4), traffic=0.4).verdict is Verdict.PASSES
    assert expected_share(seen(earlier=[(0.0, 5.0)]), 0.5) == 0.5


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), max_size=2),
    st.none() | st.floats(0, 10),
)
def test_growth_is_never_asked_for(earlier, traffic):
    assert 0.0 <= expected_share(VitalSeen("m-1", (), (), None, tuple(earlier)), traffic) <= 1.0


_VALUES = st.lists(st.floats(0, 1e6), max_size=40).map(tuple)


@given(_VALUES, _VALUES, st.floats(0, 0.9), st.none() | st.floats(0, 3))
@example((2.2250738585072014e-308,), (0.0,), 0.0, 1.1754943508222875e-38)  # their product is 0
def test_any_samples_give_a_comparison_and_more_of_them_never_a_fall(before, now, allowed, traffic):
    plan = replace(PLAN, vital_fall_allowed=allowed)
    (one,) = compare_vital(plan, [VitalSeen("m-1", before, now, None)], traffic)
    assert not (one.is_worse and one.is_low)
    assert one.is_missing is (not now)
    if now and before and min(now) >= max(before):
        assert not one.is_worse
        assert not one.is_low
    judge(GOOD, plan, has_monitor=True, pool_rps=None, now=END, vital=(one,)).numbers["vital"][0]["looks"]


def test_unchanged_orders_halt_fewer_than_one_run_in_a_hundred_and_half_lost_is_seen():
    false = sum(verdict(seen(mean=20.0, seed=n)).verdict is Verdict.FAILS for n in range(300))
    assert false == 0
    found = sum(
        verdict(seen(mean=20.0, times=0.5, many=30, seed=n)).verdict is Verdict.FAILS for n in range(100)
    )
    assert found >= 95


# --- in a run ---------------------------------------------------------------------------------------------------


def watched(figure=None, **changes):
    """A run that verifies a pool whose vital figure is this, as its samples come in."""
    case = in_phase(Phase.VERIFYING, **{**VITAL, **changes})
    plain, look = case.observation, {"figure": figure}

    def observation():
        there = look["figure"]
        return replace(plain(), vital=() if there is None else (there,))

    case.observation = observation
    case.figures = look
    return case


def test_a_soak_waits_for_samples_that_come_late_and_passes_with_them():
    case = watched()
    for _ in range(40):
        case.look()
    assert case.progress.servers[0].phase is Phase.VERIFYING
    case.figures["figure"] = seen()
    for _ in range(10):
        case.look()
    assert case.progress.servers[0].phase is not Phase.VERIFYING
    assert case.progress.servers[0].put_back is None


def test_a_figure_that_stays_away_halts_and_deletes_nothing():
    case = watched()
    for _ in range(int(5 * LONGEST_WAIT_FOR_ANSWERS_S)):
        case.look()
        if case.halt is not None:
            break
    assert case.halt is not None
    assert case.halt.code == "verify_inconclusive"
    assert "no sample of orders" in case.halt.says


def test_orders_that_break_down_put_the_server_back():
    case = watched(seen(times=0.2))
    for _ in range(60):
        case.look()
        if case.halt is not None:
            break
    assert case.halt is not None
    assert case.halt.code == "traffic_not_keeping_up"
    assert case.progress.servers[0].put_back is not None or case.nodes["401"].condition is Condition.ENABLED


# --- the plan ---------------------------------------------------------------------------------------------------


def told(**changes):
    choice = replace(CHOICE, no_vital_reason="", **changes)
    facts = known()
    plan = build_plan_data(choice, pool(), facts)
    return {one.code: one for one in preview(plan, choice, pool(), facts).warnings}


def test_a_plan_needs_a_vital_figure_or_a_reason():
    assert told()["no_vital_figure"].blocks
    kept = replace(CHOICE, no_vital_reason="Orders come in elsewhere.")
    plan = build_plan_data(kept, pool(), known())
    assert plan.no_vital_reason == "Orders come in elsewhere."
    (warning,) = [w for w in preview(plan, kept, pool(), known()).warnings if w.code == "no_vital_figure"]
    assert not warning.blocks
    assert "elsewhere" in warning.says


def with_figures(*minutes_old):
    from scaledown.candidates import VitalKnown

    return known(
        vital=tuple(
            VitalKnown(
                PlannedVital(f"m-{n}", f"figure {n}", ""),
                None if old is None else NOW - timedelta(minutes=old),
            )
            for n, old in enumerate(minutes_old)
        )
    )


def test_what_the_account_names_is_proposed_three_at_most_and_a_silent_one_is_warned_of():
    facts = with_figures(1, 2, None, 4)
    plan = build_plan_data(CHOICE, pool(), facts)
    assert [one.metric_ref for one in plan.vital] == ["m-0", "m-1", "m-2"]
    assert plan.no_vital_reason == ""
    silent = [w for w in preview(plan, CHOICE, pool(), facts).warnings if w.code == "vital_silent"]
    assert [w.subject for w in silent] == ["figure 2"]


def test_only_what_the_account_names_can_be_chosen():
    with pytest.raises(Refused, match="no vital figure"):
        build_plan_data(replace(CHOICE, vital=("m-9",)), pool(), with_figures(1))
    with pytest.raises(Refused, match="At most 3"):
        build_plan_data(replace(CHOICE, vital=("a", "b", "c", "d")), pool(), with_figures(1))
    with pytest.raises(Refused, match="below 100"):
        build_plan_data(replace(CHOICE, vital_fall_allowed=1.0), pool(), known())


def test_one_more_figure_or_a_smaller_fall_is_less_and_keeps_the_approval():
    one, two = a_plan(**VITAL), a_plan(**{**VITAL, "vital": (ORDERS, PlannedVital("m-2", "log-ins", ""))})
    assert is_less(one, two)
    assert not is_less(two, one)
    assert is_less(one, replace(one, vital_fall_allowed=0.2))
    assert not is_less(one, replace(one, vital_fall_allowed=0.4))
    assert not is_less(one, replace(one, vital=(), vital_fall_allowed=0.0, no_vital_reason="None any more."))


def test_a_plan_of_an_older_format_keeps_its_digest():
    old = a_plan(format=6)
    assert "vital" not in plan_to_plain(old)
    assert plan_from_plain(plan_to_plain(old)) == old
    assert digest(old) != digest(replace(old, format=PLAN_FORMAT))


@pytest.mark.parametrize(("chosen", "kept"), [(["m-0", "m-1"], None), (["m-1"], ("m-1",)), ([], ())])
def test_the_form_keeps_what_is_proposed_as_proposed(chosen, kept):
    initial = SafetyForm.initial_of(CHOICE)
    form = SafetyForm(
        {
            **{k: v for k, v in initial.items() if v is not None},
            "min_drain_s": "",
            "drain_limit_s": "15 min",
            "soak_s": "5 min",
            "hold_s": "0 s",
            "stop_s": "",
            "pause_between_s": "60 s",
            "images_kept_s": "30 d",
            "probe_failures_allowed": "1",
            "slower_allowed": "30",
            "guard_share": "80",
            "vital_fall_allowed": "25",
            "vital": chosen,
        },
        vital=[("m-0", "orders"), ("m-1", "log-ins")],
    )
    assert form.is_valid(), form.errors
    found = form.onto(CHOICE)
    assert (found.vital, found.vital_fall_allowed) == (kept, 0.25)


# --- rows -------------------------------------------------------------------------------------------------------


@pytest.fixture
def here(db):
    return desk()


def orders_of(account, name="orders"):
    return Metric.objects.create(account=account, name=name, source="shop", unit="1/min", is_vital=True)


def test_a_figure_of_which_less_is_better_is_looked_at_by_no_verdict(here):
    """Verdicts ask whether one has fallen: fewer errors would stop a run, and more of them pass."""
    orders = orders_of(here.account)
    for name, kind in (("error_ratio", "errors"), ("checkout_ms", "latency")):
        Metric.objects.create(account=here.account, name=name, source="shop", kind=kind, is_vital=True)
    plan = drafted(here)
    services.submit_plan(plan, actor=here.manager, pool=here.pool)
    plan.refresh_from_db()
    assert [one["metric_ref"] for one in plan.data["vital"]] == [str(orders.ref)]
    errors = Metric.objects.get(name="error_ratio")
    with pytest.raises(Refused, match="or one of which less is better"):
        services.draw(drafted(here, vital=(str(errors.ref),)), here.pool)


def write(metric, at, *values, every=timedelta(minutes=1)):
    rows = [Sample(metric=metric, at=at + n * every, value=value) for n, value in enumerate(values)]
    partitions.ensure({partitions.month_of(row.at) for row in rows})
    Sample.objects.bulk_create(rows)


def test_samples_of_both_stretches_are_read_with_those_of_other_days_in_one_query(
    here, django_assert_num_queries
):
    metric, other = orders_of(here.account), orders_of(make.account())
    began, now = timezone.now() - timedelta(hours=1), timezone.now()
    write(metric, began - timedelta(minutes=10), *range(10, 20))
    write(metric, now - timedelta(minutes=3), 7.0, 8.0)
    write(metric, began - timedelta(days=1, minutes=10), 40.0, 40.0, 40.0)
    write(metric, now - timedelta(days=1, minutes=3), 20.0)
    write(metric, began - timedelta(days=7, minutes=10), 40.0)
    write(other, now - timedelta(minutes=3), 99.0)
    with django_assert_num_queries(1):
        (found,) = vital_stretches(
            here.account,
            [str(metric.ref), str(other.ref)],
            (began - timedelta(hours=1), began),
            (now - timedelta(minutes=5), now),
        )
    assert found.before == tuple(float(n) for n in range(10, 20))
    assert found.now == (7.0, 8.0)
    assert found.last_at == now - timedelta(minutes=2)
    assert found.earlier == ((40.0, 20.0),)


def test_many_samples_are_thinned_evenly(here):
    metric, now = orders_of(here.account), timezone.now()
    write(metric, now - timedelta(seconds=1000), *range(1000), every=timedelta(seconds=1))
    hour = timedelta(hours=1)
    (found,) = vital_stretches(here.account, [str(metric.ref)], (now - hour, now), (now - hour, now))
    assert 100 < len(found.now) <= MOST_SAMPLES
    assert found.now[-1] > 990


def test_facts_hold_samples_only_while_a_verdict_is_near(here):
    metric = orders_of(here.account)
    run = started(here, vital=None, no_vital_reason="")
    assert [one["name"] for one in run.plan["vital"]] == ["orders"]
    assert "vital" not in driver.facts(run)
    now = timezone.now()
    write(metric, now - timedelta(minutes=1), 5.0)
    way = {"phase": "verifying", "left_at": (now - timedelta(minutes=2)).isoformat(), "soak": None}
    run.progress = {"servers": [way], "before": None, "started_at": (now - timedelta(minutes=9)).isoformat()}
    (found,) = driver.facts(run)["vital"]
    assert (found.metric_ref, found.now) == (str(metric.ref), (5.0,))
    run.progress["servers"][0] |= {"phase": "queued", "left_at": None}
    assert "vital" not in driver.facts(run)


def test_a_plan_without_figure_and_reason_is_not_submitted(here):
    plan = drafted(here, no_vital_reason="none")
    with pytest.raises(Refused, match="vital figure"):
        services.submit_plan(plan, actor=here.manager, pool=here.pool)


def test_the_api_takes_figures_by_reference_and_refuses_others(here):
    caller = Caller(here.manager)
    metric = orders_of(here.account)
    body = {
        "title": "Down",
        "connection": str(here.connection.ref),
        "choice": {"balancer_ids": ["71"], "reason": "Over.", "vital": [str(metric.ref)]},
    }
    plan = caller.post(f"/accounts/{here.account.ref}/plans", body, 201)
    assert plan["choice"]["vital"] == [str(metric.ref)]
    caller.post(
        f"/accounts/{here.account.ref}/plans",
        {**body, "choice": {**body["choice"], "vital": ["orders"]}},
        422,
    )


def test_the_step_of_safety_shows_the_figures_that_the_account_names(here, client):
    orders_of(here.account)
    client.force_login(here.manager)
    plan = drafted(here, vital=None)
    page = client.get(f"/scaledown/{plan.ref}/draw-up/safety/").content.decode()
    assert "Vital figures to watch" in page
    assert "orders" in page


def test_a_report_shows_vital_figures_beside_those_of_a_week_earlier(here, django_assert_num_queries):
    metric, other = orders_of(here.account), orders_of(make.account())
    silent = orders_of(here.account, "searches")
    run = started(here, vital=None, no_vital_reason="")
    began = timezone.now() - timedelta(hours=2)
    ended = began + timedelta(hours=1)
    Run.objects.filter(pk=run.pk).update(
        started_at=began, ended_at=ended, status="completed", next_tick_at=None
    )
    week = timedelta(days=7)
    write(metric, began - timedelta(minutes=30), 10.0, 10.0)
    write(metric, ended - timedelta(minutes=3), 5.0, 6.0)
    write(metric, ended, 99.0)
    write(metric, ended - week - timedelta(minutes=3), 12.0)
    write(other, ended - timedelta(minutes=3), 77.0)
    found = {one.name: one for one in report(run).vital}
    orders = found["orders"]
    assert [point.value for point in orders.course] == [10.0, 10.0, 5.0, 6.0]
    assert orders.course[-1].at < ended
    (earlier,) = orders.week_before
    assert earlier.value == 12.0
    assert abs(earlier.at - (ended - timedelta(minutes=3))) < timedelta(minutes=1), (
        "shown at the hour of the run"
    )
    assert found["searches"].course == ()
    assert silent.name in found
    with django_assert_num_queries(1):
        vital_course(here.account, [str(metric.ref)], began, ended)
    assert vital_course(here.account, [], began, ended) == ()
    assert vital_course(here.account, [str(metric.ref)], ended, began) == ()


def test_the_course_of_a_long_run_is_means_of_equal_times(here):
    metric, now = orders_of(here.account), timezone.now()
    write(metric, now - timedelta(days=6), *([4.0, 8.0] * 4_000))
    (found,) = vital_course(here.account, [str(metric.ref)], now - timedelta(days=6), now)
    assert 250 < len(found.now) <= COURSE_POINTS + 1
    assert all(abs(value - 6.0) < 1.0 for _, value in found.now)


def test_the_report_of_a_run_without_samples_says_so_and_draws_no_line(here):
    orders_of(here.account)
    run = started(here, vital=None, no_vital_reason="")
    client = Client()
    client.force_login(here.manager)
    page = client.get(f"/scaledown/runs/{run.ref}/report/").content.decode()
    assert "Vital figures" in page
    assert "orders: no sample of this time is kept." in page
    client.force_login(here.approver)
    assert "What your business counts" in client.get(f"/scaledown/runs/{run.ref}/report/").content.decode()
    told = Caller(here.manager).get(f"/runs/{run.ref}/report")["vital"]
    assert told == [{"name": "orders", "unit": "1/min", "course": [], "week_before": []}]
