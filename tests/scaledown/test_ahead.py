"""Traffic events and rises that need the servers: what was not approved so holds a scale-down as a freeze does."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from html import unescape

import pytest
from django.utils import timezone

from accounts.calendar.models import CalendarEntry
from capacity.events import add_event, change_event, remove_event
from capacity.metrics.models import Metric
from capacity.models import Ceiling, ForecastPeak, TrafficEvent
from capacity.reports.models import DetectedEvent, GrowthReport
from capacity.sizing import MOST_SERVERS
from portal.errors import Refused, StaleState
from portal.runs.models import JournalEntry, Run
from scaledown import ahead, driver, freezes, services
from scaledown.ahead import Near
from scaledown.candidates import EventKnown
from scaledown.models import FreezeOverride, Plan
from tests import factories as make
from tests.capacity.test_reference import sized_by_report
from tests.pages.test_pages import page, url
from tests.scaledown.machine_cases import a_plan
from tests.scaledown.planner_cases import NOW
from tests.scaledown.rows import desk, read_of
from tests.scaledown.test_services import approved, drafted, started

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
REASON = "The contract of these servers ends tonight."


def event(starts=HOUR, ends=DAY, peak=None):
    return EventKnown("Sale", NOW + starts, NOW + ends, peak)


@pytest.mark.parametrize(
    ("starts", "ends", "near"),
    [
        (timedelta(0), HOUR, Near.ON),
        (-HOUR, timedelta(0), Near.FAR),
        (timedelta(seconds=1), HOUR, Near.SOON),
        (DAY, 2 * DAY, Near.SOON),
        (DAY + HOUR, 2 * DAY, Near.COMING),
        (7 * DAY, 8 * DAY, Near.COMING),
        (7 * DAY + HOUR, 8 * DAY, Near.FAR),
    ],
)
def test_how_near_an_event_is(starts, ends, near):
    assert ahead.nearness(event(starts, ends), NOW) is near


@pytest.mark.parametrize(
    ("peak", "needed", "says"),
    [
        (240.0, 3, "needs 3 servers, and 3 stay by this plan"),
        (240.1, 4, "needs 4 servers, and 3 stay by this plan"),
        (None, None, "may need more servers, its peak is not known, and 3 stay by this plan"),
    ],
)
def test_what_an_event_needs_is_told_by_what_one_server_carries_within_the_guard(peak, needed, says):
    plan = a_plan(target=3, ceiling_rps=100.0, guard_share=0.8)
    assert ahead.needed_for(peak, plan) == needed
    assert ahead.needs(peak, plan) == says
    assert ahead.is_carried(peak, plan) is (needed == 3)
    unknown = a_plan(target=1, ceiling_rps=None)
    assert ahead.needs(240.0, unknown).startswith(
        "may need more servers, what one carries is not known, and 1 stays"
    )
    assert not ahead.is_carried(240.0, unknown)


@pytest.mark.parametrize(
    ("starts", "seen_ago", "is_nearer"),
    [
        (3 * DAY, HOUR, False),
        # Far off when it was shown, or some days ahead, and tomorrow by now.
        (HOUR, 8 * DAY, True),
        (HOUR, 3 * DAY, True),
        (5 * DAY, 8 * DAY, False),
        (HOUR, 2 * HOUR, False),
        (-HOUR, 2 * HOUR, True),
        (-HOUR, HOUR / 2, False),
    ],
)
def test_what_is_nearer_than_in_the_preview(starts, seen_ago, is_nearer):
    what = event(starts, 9 * DAY)
    assert ahead.is_nearer(what, what, then=NOW - seen_ago, at=NOW) is is_nearer


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"needed": 9}, ahead.UNSHOWN),
        ({"needed": 7}, ""),
        ({"needed": None}, ahead.UNSHOWN),
        ({"starts_at": NOW + HOUR}, ahead.NEAR),
        ({"ends_at": NOW + 4 * DAY}, ahead.LONGER),
        ({"ends_at": NOW + 3 * DAY - HOUR}, ""),
    ],
)
def test_what_was_read_of_an_event_stands_while_it_needs_no_more_is_no_nearer_and_ends_no_later(changes, why):
    read = ahead.EventShown("e", NOW + 2 * DAY, NOW + 3 * DAY, 8)
    assert ahead.why_anew(replace(read, **changes), read, then=NOW, at=NOW) == why


@pytest.mark.parametrize(("needed", "is_more"), [(8, True), (None, False)])
def test_what_was_not_known_and_is_known_by_now_is_more(needed, is_more):
    assert ahead.is_more(needed, None) is is_more


@pytest.mark.parametrize("peak", [1e308, float("inf")])
def test_a_mistyped_peak_breaks_nothing(peak):
    assert ahead.needed_for(peak, a_plan(target=3, ceiling_rps=0.5, guard_share=0.8)) == MOST_SERVERS


@pytest.fixture
def here(db):
    return desk()


def planned(here, starts=HOUR, multiple=4.0, **fields):
    now = timezone.now()
    return add_event(
        here.account,
        actor=here.manager,
        name="Winter sale",
        starts_at=now + starts,
        ends_at=now + starts + DAY,
        expected_multiple=multiple,
        **fields,
    )


def test_an_event_that_was_entered_after_the_approval_keeps_a_plan_from_starting(here):
    plan = approved(here)
    planned(here)
    with pytest.raises(Refused, match="needs 8 servers, and 3 stay by this plan; its preview did not") as no:
        services.start_run(plan, actor=here.manager, seen_digest=plan.digest)
    assert no.value.code == "freeze"
    assert "Winter sale" not in no.value.says
    assert not Run.objects.exists()
    run = overridden(here, plan)
    assert "freeze" not in driver.facts(run)
    told = JournalEntry.objects.get(run=run, kind="freeze_overridden")
    assert "needs 8 servers" in told.says


def test_what_stood_in_the_preview_holds_nothing_and_what_is_carried_neither(here):
    planned(here, starts=2 * DAY)
    plan = services.submit_plan(drafted(here), actor=here.manager, pool=here.pool)
    warnings = {one["code"]: one["says"] for one in plan.preview["warnings"]}
    assert "it needs 8 servers, and 3 stay by this plan." in warnings["event_coming"]
    plan = services.approve_plan(plan, actor=here.approver, seen_digest=plan.digest)
    planned(here, multiple=1.5)
    run = services.start_run(plan, actor=here.manager, seen_digest=plan.digest)
    assert "freeze" not in driver.facts(run)


def test_an_event_that_is_moved_near_holds_a_run_at_work_until_it_is_moved_away_or_called_off(here):
    far = planned(here, starts=20 * DAY)
    run = started(here)
    assert "freeze" not in driver.facts(run)
    seq, now = Run.objects.get(pk=run.pk).command_seq, timezone.now()
    moved = change_event(far, {"starts_at": now + HOUR, "ends_at": now + DAY}, actor=here.manager)
    run.refresh_from_db()
    assert run.command_seq == seq + 1, "what passed its check before looks again before it sends anything"
    held = driver.facts(run)
    assert "needs 8 servers, and 3 stay" in held["freeze"]
    assert held["freeze_until"] == moved.ends_at
    running = {**run.progress, "preflight_due": False}
    Run.objects.filter(pk=run.pk).update(status="running", progress=running)
    run.refresh_from_db()
    assert "needs 8 servers" in driver.facts(run)["freeze"], (
        "no next server begins and none is brought to its end"
    )
    remove_event(moved, actor=here.manager)
    assert "freeze" not in driver.facts(run)


def test_an_event_that_was_shown_and_only_corrected_holds_nothing_unless_it_needs_more(here):
    sale = planned(here, starts=2 * DAY)
    run = started(here)
    change_event(sale, {"name": "Winter sale 2026", "expected_multiple": 3.5}, actor=here.manager)
    assert "freeze" not in driver.facts(run)
    change_event(sale, {"expected_multiple": 5.0}, actor=here.manager)
    assert (
        "needs 10 servers, and 3 stay by this plan; its preview did not show" in driver.facts(run)["freeze"]
    )
    now = timezone.now()
    change_event(sale, {"expected_multiple": 4.0, "starts_at": now + HOUR}, actor=here.manager)
    assert "needs 8 servers, and 3 stay by this plan; it is near by now." in driver.facts(run)["freeze"]


def test_an_event_that_is_entered_while_a_plan_is_submitted_is_in_no_preview_and_holds(here, monkeypatch):
    draw = services.draw

    def drawn_before(plan, pool):
        found = draw(plan, pool)
        planned(here)
        return found

    plan = drafted(here)
    monkeypatch.setattr(services, "draw", drawn_before)
    plan = services.submit_plan(plan, actor=here.manager, pool=here.pool)
    assert "needs 8 servers" in freezes.for_start(plan, services.data_of(plan), timezone.now())[0].says


def test_a_window_days_ahead_is_held_against_what_is_known_now(here):
    ForecastPeak.objects.all().delete()
    sized_by_report(here.connection, 150.0)
    opens = timezone.now() + 5 * DAY
    plan = approved(here, window_start=opens, window_end=opens + DAY)
    planned(here, starts=5 * DAY + HOUR, multiple=1.2)
    assert freezes.for_start(plan, services.data_of(plan), timezone.now()) == []
    planned(here, starts=5 * DAY + HOUR)
    assert "needs 8 servers" in freezes.for_start(plan, services.data_of(plan), timezone.now())[0].says


def test_whoever_lets_a_run_go_on_reads_of_all_that_holds_it(here):
    plan = approved(here)
    planned(here)
    now = timezone.now()
    make.calendar_entry(account=here.account, starts_at=now - HOUR, ends_at=now + 5 * DAY)
    with pytest.raises(Refused, match=r"needs 8 servers.* A freeze is in force until .* or say why"):
        services.start_run(plan, actor=here.lead, seen_digest=plan.digest)


def resting(here):
    run = started(here)
    Run.objects.filter(pk=run.pk).update(status="paused")
    return run


def test_whoever_overrides_overrides_what_they_read_and_nothing_that_was_entered_since(here):
    plan, run = approved(here), resting(here)
    planned(here)
    now = timezone.now()
    read, read_of_run = read_of(plan), freezes.holding(run, now).version
    start = {"actor": here.lead, "seen_digest": plan.digest, "override_reason": REASON}
    resume = {"actor": here.lead, "reason": REASON}
    sale = planned(here, multiple=20.0)
    for seen_held in ("", read, read_of_run):
        for act in (
            lambda seen=seen_held: services.start_run(plan, **start, seen_held=seen),
            lambda seen=seen_held: services.command(run, "resume", **resume, seen_held=seen),
        ):
            with pytest.raises(StaleState, match=r"needs 38 servers, .* not shown that as it is now") as no:
                act()
            assert no.value.code == "held_by_another"
            assert no.value.version not in ("", seen_held)
    assert not FreezeOverride.objects.exists()
    remove_event(sale, actor=here.manager)
    assert (read_of(plan), freezes.holding(run, now).version) == (read, read_of_run)
    services.command(run, "resume", **resume, seen_held=read_of_run)
    assert not held(run)


def hidden(response, name):
    return re.search(rf'name="{name}" value="([^"]*)"', response.content.decode()).group(1)


def test_the_form_of_a_start_tells_of_what_was_entered_since_and_keeps_what_was_typed(here, client):
    plan = approved(here)
    planned(here)
    client.force_login(here.lead)
    address = url("plan-start", plan)
    body = {"digest": plan.digest, "typed_name": "3 servers", "reason": "It does not matter to us."}
    body["held"] = hidden(client.get(address), "held")
    planned(here, multiple=20.0)
    refused = client.post(address, body)
    told = page(refused, 409)
    assert "needs 38 servers" in told
    assert "It does not matter to us." in told
    assert client.post(address, {**body, "held": hidden(refused, "held")}).status_code == 302


def test_the_form_of_a_resume_tells_of_what_was_entered_since_and_keeps_what_was_typed(here, client):
    run = resting(here)
    planned(here)
    client.force_login(here.lead)
    body = {"confirmed": "1", "reason": "It does not matter to us."}

    def action(response):
        return unescape(re.search(r'action="([^"]*resume[^"]*)"', response.content.decode()).group(1))

    asked = action(client.get(url("run-command", run, "resume")))
    planned(here, multiple=20.0)
    refused = client.post(asked, body)
    told = page(refused, 409)
    assert "needs 38 servers" in told
    assert "It does not matter to us." in told
    assert client.post(action(refused), body).status_code == 302


def _last_one(run, **of_it):
    """Have a run at its last server, which is in this phase."""
    ways = [
        {**way, **(of_it if number == 0 else {"phase": "retired"})}
        for number, way in enumerate(run.progress["servers"])
    ]
    Run.objects.filter(pk=run.pk).update(
        status="running", progress={**run.progress, "servers": ways, "preflight_due": False}
    )
    run.refresh_from_db()


@pytest.mark.parametrize("phase", ["verifying", "held", "deleting"])
def test_the_last_server_is_not_ended_while_anything_holds(here, phase):
    run = started(here)
    soak = {"until": timezone.now().isoformat()} if phase == "verifying" else None
    _last_one(run, phase=phase, soak=soak)
    planned(here)
    assert "needs 8 servers" in driver.facts(run)["freeze"]


def test_what_holds_is_not_read_where_nothing_of_a_run_rests_on_it(here, django_assert_num_queries):
    run = started(here)
    planned(here)
    _last_one(run, phase="removing")
    with django_assert_num_queries(7):
        assert driver.facts(run)["freeze_unread"]
    _last_one(run, phase="removing")
    services.command(run, "pause", actor=here.manager, reason="Lunch.")
    facts = driver.facts(run)
    assert "needs 8 servers" in facts["freeze"], "what a person says may rest on it"
    assert "freeze_unread" not in facts


@pytest.mark.parametrize("status", ["paused", "halted"])
def test_one_that_rests_says_what_keeps_it_from_going_on(here, status):
    run = started(here)
    planned(here)
    _last_one(run, phase="removing")
    halt = {"halt_code": "odd", "halt_rank": "safe_waiting", "halt_says": "Odd.", "halted_at": timezone.now()}
    Run.objects.filter(pk=run.pk).update(status=status, **(halt if status == "halted" else {}))
    run.refresh_from_db()
    assert "needs 8 servers" in driver.facts(run)["freeze"]


def test_an_event_of_which_nobody_knows_how_high_it_gets_holds_too(here):
    plan = approved(here)
    planned(here, multiple=None)
    assert (
        "may need more servers, its peak is not known"
        in freezes.for_start(plan, services.data_of(plan), timezone.now())[0].says
    )


def rises(here, metric, *, since=HOUR, peak=600.0):
    now = timezone.now()
    return DetectedEvent.objects.create(
        account=here.account,
        metric=metric,
        starts_at=now - since,
        ends_at=now,
        peak_at=now - since,
        peak=peak,
        expected=150.0,
        multiple=peak / 150.0,
        score=30.0,
        lead_in_s=0,
        is_over=False,
        found_at=now - since / 2,
    )


def ends(row):
    DetectedEvent.objects.filter(pk=row.pk).update(is_over=True)


@pytest.fixture
def sized(here):
    """The metric by which the pool is sized; its usual peak is what the plan is for."""
    ForecastPeak.objects.all().delete()
    report = sized_by_report(here.connection, 150.0)
    GrowthReport.objects.update(peak=150.0)
    return report.metric


def overridden(here, plan):
    return services.start_run(
        plan, actor=here.lead, seen_digest=plan.digest, override_reason=REASON, seen_held=read_of(plan)
    )


def held(run):
    run.refresh_from_db()
    return driver.facts(run).get("freeze", "")


@pytest.mark.parametrize("phase", ["skipped", "restored", "recreated"])
def test_what_an_event_needs_is_held_against_all_that_stay(here, phase):
    """Who skipped a server for the sake of the event need not finish the run to have it go on."""
    run = started(here)
    planned(here, multiple=2.5)

    def held_with(*ways):
        Run.objects.filter(pk=run.pk).update(progress={"servers": [dict(way) for way in ways]})
        return held(run)

    stays, queued = ({"phase": one, "put_back": None} for one in (phase, "queued"))
    assert "needs 5 servers, and 3 stay by this plan" in held_with(queued, queued, queued)
    assert "needs 5 servers, and 4 stay by this plan" in held_with(stays, queued, queued)
    assert not held_with(stays, stays, queued)
    # One that is not back yet carries nothing; one that left by another hand does not either.
    assert "and 4 stay" in held_with(stays, stays | {"put_back": {"why": "Traffic rises."}}, queued)
    assert "and 4 stay" in held_with(stays, {"phase": "gone", "put_back": None}, queued)


def test_a_rise_that_is_on_and_was_in_no_preview_holds_until_it_is_over(here, sized):
    run = started(here)
    assert not held(run)
    row = rises(here, sized)
    assert "UTC, at the busiest hour of a week, needs 8 servers, and 3 stay by this plan" in held(run)
    versions = {freezes.holding(run, timezone.now() + n * timedelta(minutes=1)).version for n in range(2)}
    assert len(versions) == 1, "it has no end that would be another one at every look"
    with pytest.raises(Refused, match="6 servers are in service and the target is 6"):
        services.draw(drafted(here), here.pool)
    ends(row)
    assert not held(run)


def test_who_lets_a_rise_pass_lets_the_next_one_of_that_pool_pass_never_and_minds_no_other_pool(here, sized):
    plan = approved(here)
    other = Metric.objects.create(
        account=here.account,
        resource="blog",
        name="requests_per_s",
        source="t",
        unit="requests/s",
        kind="throughput",
    )
    of_blog = rises(here, other, since=5 * HOUR, peak=50.0)
    row = rises(here, sized)
    run = overridden(here, plan)
    assert not held(run)
    ends(of_blog)
    assert not held(run)
    rises(here, other, since=HOUR / 2, peak=50.0)
    ends(row)
    rises(here, sized, since=HOUR / 6, peak=580.0)
    assert "A rise in the traffic" in held(run), "nobody let this one pass"


def test_what_a_lead_let_pass_holds_again_where_it_needs_more(here):
    plan = approved(here)
    sale = planned(here)
    run = overridden(here, plan)
    change_event(sale, {"expected_multiple": 3.0}, actor=here.manager)
    assert not held(run), "it needs less than what was let pass"
    change_event(sale, {"expected_multiple": 40.0}, actor=here.manager)
    assert "needs 75 servers" in held(run)
    change_event(sale, {"expected_multiple": None}, actor=here.manager)
    assert "its peak is not known" in held(run)
    remove_event(sale, actor=here.manager)
    assert not held(run)
    planned(here)
    assert "needs 8 servers" in held(run), "another event was let pass by nobody"


@pytest.mark.parametrize("is_let", [True, False])
def test_what_was_read_of_an_event_days_ahead_is_not_read_of_it_tomorrow_nor_of_a_longer_one(here, is_let):
    sale = None if is_let else planned(here, starts=6 * DAY)
    plan = approved(here)
    sale = sale or planned(here, starts=6 * DAY)
    run = overridden(here, plan)
    assert not held(run)
    now, end = timezone.now(), sale.ends_at
    change_event(sale, {"ends_at": end + HOUR}, actor=here.manager)
    assert "needs 8 servers" in held(run)
    change_event(sale, {"ends_at": end}, actor=here.manager)
    assert not held(run)
    TrafficEvent.objects.filter(pk=sale.pk).update(starts_at=now + HOUR)
    assert "needs 8 servers" in held(run)
    TrafficEvent.objects.filter(pk=sale.pk).update(starts_at=now - HOUR)
    assert "needs 8 servers" in held(run)


def test_an_event_that_a_lead_let_pass_before_the_window_is_as_near_when_it_opens(here):
    opens = timezone.now() + 5 * DAY
    plan = approved(here, window_start=opens, window_end=opens + DAY)
    planned(here, starts=5 * DAY + HOUR)
    run = overridden(here, plan)
    assert freezes.not_overridden(run, opens) == []


@pytest.mark.parametrize("is_let", [True, False])
def test_an_event_of_which_it_was_not_known_what_it_needs_holds_once_it_is(here, is_let):
    sale = None if is_let else planned(here, multiple=None)
    plan = approved(here)
    sale = sale or planned(here, multiple=None)
    run = overridden(here, plan)
    assert not held(run)
    change_event(sale, {"expected_multiple": 40.0}, actor=here.manager)
    assert "needs 75 servers" in held(run)


def test_an_event_that_was_carried_holds_once_the_usual_peak_is_higher(here):
    planned(here, starts=2 * DAY, multiple=1.5)
    run = started(here)
    assert not held(run)
    ForecastPeak.objects.create(
        account=here.account,
        connection=here.connection,
        balancer_id="71",
        requests_per_s=600.0,
        source="the customer",
        at=timezone.now(),
    )
    assert "needs 12 servers, and 3 stay" in held(run)


def test_a_change_of_an_event_that_is_not_committed_while_a_plan_is_drawn_is_held_against_it(
    here, monkeypatch
):
    sale = planned(here, starts=2 * DAY, multiple=1.2)
    changed_at, draw = timezone.now(), services.draw

    def drawn_before(plan, pool):
        found = draw(plan, pool)
        TrafficEvent.objects.filter(pk=sale.pk).update(expected_multiple=40.0, updated_at=changed_at)
        return found

    plan = drafted(here)
    monkeypatch.setattr(services, "draw", drawn_before)
    plan = services.submit_plan(plan, actor=here.manager, pool=here.pool)
    assert "needs 75 servers" in freezes.for_start(plan, services.data_of(plan), timezone.now())[0].says


def test_a_preview_from_before_it_had_what_events_need_is_not_said_to_have_shown_none(here):
    planned(here, starts=2 * DAY)
    run = started(here)
    plan = Plan.objects.get(ref=run.plan_ref)
    del plan.preview["events"]
    plan.save()
    assert (
        "needs 8 servers, and 3 stay by this plan; how many it needs did not stand in its preview."
        in held(run)
    )


@pytest.mark.parametrize(("events", "queries"), [((), 7), ((1.2,), 7), ((1.2, 1.1), 7), ((1.2, 4.0), 8)])
def test_what_is_needed_is_read_once_however_many_events_are_near(
    here, django_assert_num_queries, events, queries
):
    run = started(here)
    for multiple in events:
        planned(here, starts=6 * DAY, multiple=multiple)
    with django_assert_num_queries(queries):
        freezes.not_overridden(run, timezone.now())


@pytest.mark.parametrize(
    ("ceiling", "peak", "is_worse"),
    [
        (100.0, 240.0, False),
        # A forecast moves from night to night.
        (100.0, 251.0, False),
        (100.0, 253.0, True),
        (95.5, 240.0, False),
        (95.0, 240.0, True),
        (None, 240.0, True),
        (100.0, None, False),
        (20.0, 30.0, False),
    ],
)
def test_what_is_worse_than_what_was_approved(ceiling, peak, is_worse):
    plan = a_plan(target=3, ceiling_rps=100.0, forecast_peak_rps=230.0, guard_share=0.8)
    assert ahead.is_worse(plan, replace(plan, ceiling_rps=ceiling, forecast_peak_rps=peak)) is is_worse
    # Approved below the proposal, with what that means: the same is nothing worse.
    below = replace(plan, forecast_peak_rps=290.0)
    assert not ahead.is_worse(below, below)
    assert not ahead.is_worse(replace(plan, ceiling_rps=None), replace(plan, ceiling_rps=None))


@pytest.mark.parametrize("how", ["less", "gone", "more comes"])
def test_a_run_goes_on_by_what_one_server_carries_now(here, how):
    """It was approved by a figure that a newer benchmark, or whoever set its own aside, took back."""
    run, now = started(here), timezone.now()
    assert not held(run)
    if how == "less":
        make.ceiling(here.connection, rps=20.0)
        says = "one server carries 20 by what is known now: it needs 10 servers, and 3 stay by this plan"
    elif how == "gone":
        Ceiling.objects.update(void_at=now)
        says = "What one server carries, 100 requests/s as this was drawn up, is not known any more."
    else:
        make.forecast_peak(here.connection, rps=700.0)
        says = "The forecast peak is 700 requests/s and one server carries 100"
    assert says in held(run)
    plan = Plan.objects.get(ref=run.plan_ref)
    assert says in services.why_not_start(
        plan,
        services.data_of(plan),
        freezes.for_start(plan, services.data_of(plan), now + HOUR),
        actor=here.manager,
        at=now,
    )
    facts = driver.facts(run)
    assert (facts["freeze_until"], facts["is_worse"]) == (None, True), "no time ends it: a person decides"
    # Figures that are better hold nothing, also where more comes than was forecast.
    Ceiling.objects.all().delete()
    make.ceiling(here.connection, rps=1_000.0)
    ForecastPeak.objects.all().delete()
    make.forecast_peak(here.connection, rps=2_000.0)
    assert not held(run)


def test_whoever_lets_a_run_go_on_by_less_is_asked_again_where_it_is_still_less(here):
    plan = approved(here)
    make.ceiling(here.connection, rps=40.0)
    with pytest.raises(Refused, match="one server carries 40 by what is known now"):
        services.start_run(plan, actor=here.lead, seen_digest=plan.digest)
    run = overridden(here, plan)
    assert not held(run)
    make.ceiling(here.connection, rps=20.0)
    assert "one server carries 20" in held(run)


def test_a_doubt_that_came_after_the_approval_stands_in_the_way_of_the_start(here, monkeypatch):
    plan, told = approved(here), ["A newer run carried less."]
    monkeypatch.setattr(freezes, "doubts_about", lambda *_, **__: tuple(told))
    with pytest.raises(Refused, match="is doubtful"):
        services.start_run(plan, actor=here.manager, seen_digest=plan.digest)
    plan.preview["warnings"].append({"code": "ceiling_doubtful", "says": f"It is doubtful. {told[0]}"})
    plan.save(update_fields=["preview"])
    assert not freezes.for_start(plan, services.data_of(plan), timezone.now())
    told.append("Another one as well.")
    run = Run.objects.get(ref=overridden(here, plan).ref)
    assert not held(run), "a run at work is halted by figures that count, not by doubts"
    run.status = "paused"
    run.save(update_fields=["status"])
    assert services.what_holds_back(run, timezone.now())["freeze"] == "", "the lead let it pass"
    told.append("A third one.")
    assert "A third one." in services.what_holds_back(run, timezone.now())["freeze"]
    with pytest.raises(Refused, match="A third one"):
        services.command(run, "resume", actor=here.manager)
    told.pop()
    [found] = freezes.for_start(plan, services.data_of(plan), timezone.now())
    assert told[1] in found.says
    assert told[0] not in found.says


def test_a_plan_that_is_drawn_up_while_a_rise_is_on_says_so_and_is_held_by_a_higher_one(here, sized):
    rises(here, sized, peak=900.0)
    plan = drafted(here, target=3, target_reason="The owner asks for three servers.")
    services.submit_plan(plan, actor=here.manager, pool=here.pool)
    plan.refresh_from_db()
    warnings = {one["code"]: one["says"] for one in plan.preview["warnings"]}
    assert "at the busiest hour of a week it needs 12 servers, and 3 stay by this plan" in warnings["rise_on"]
    assert "do not carry" in plan.preview["proposal"]["says"]
    services.approve_plan(plan, actor=here.approver, seen_digest=plan.digest)
    plan.refresh_from_db()
    now = timezone.now()
    assert not freezes.for_start(plan, services.data_of(plan), now), "it was approved so"
    DetectedEvent.objects.update(multiple=9.0)
    assert "A rise in the traffic that is on" in freezes.says_of(
        freezes.for_start(plan, services.data_of(plan), now)
    )


def test_a_rise_that_is_an_event_which_was_approved_holds_where_it_is_higher(here, sized):
    row = planned(here, starts=-HOUR)
    run = started(here)
    assert not held(run), "its preview showed what it needs"
    seen = rises(here, sized)
    assert "A rise in the traffic" in held(run), "nobody knows that it is that one"
    DetectedEvent.objects.filter(pk=seen.pk).update(event=row)
    assert not held(run)
    DetectedEvent.objects.filter(pk=seen.pk).update(multiple=9.0)
    assert "A rise in the traffic" in held(run)


def test_a_freeze_that_is_prolonged_holds_whoever_was_let_pass_it(here):
    plan = approved(here)
    now = timezone.now()
    make.calendar_entry(account=here.account, starts_at=now - HOUR, ends_at=now + 7 * HOUR)
    run = overridden(here, plan)
    assert not held(run)
    CalendarEntry.objects.update(ends_at=now + 6 * HOUR)
    assert not held(run)
    CalendarEntry.objects.update(ends_at=now + 2 * DAY)
    assert "A freeze is in force" in held(run)


def test_whoever_decides_or_starts_reads_that_the_servers_are_needed(here, client):
    plan = services.submit_plan(drafted(here), actor=here.manager, pool=here.pool)
    planned(here)

    def read(person, name):
        client.force_login(person)
        return page(client.get(url(name, plan)))

    needs = "needs 8 servers, and 3 stay by this plan; its preview did not show that."
    told = read(here.approver, "plan-detail")
    assert "The servers may be needed “Winter sale”: A traffic event from" in told
    assert f"{needs} Turn the plan down, or have it drawn up anew." in told
    services.approve_plan(plan, actor=here.approver, seen_digest=plan.digest)
    assert f"{needs} It starts once that is over, or a lead starts it all the same" in read(
        here.manager, "plan-detail"
    )
    told = read(here.manager, "plan-start")
    assert "A traffic event needs the servers “Winter sale”: A traffic event from" in told
    assert "Take out and delete" not in told
    assert "Take out and delete 3 servers" in read(here.lead, "plan-start")
