"""Traffic events and rises that need the servers: what was not approved so holds a scale-down as a freeze does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from capacity.events import add_event, change_event, remove_event
from capacity.models import ForecastPeak
from capacity.reports.models import DetectedEvent, GrowthReport
from capacity.sizing import MOST_SERVERS
from portal.errors import Refused
from portal.runs.models import JournalEntry, Run
from scaledown import ahead, driver, freezes, services
from scaledown.ahead import Near
from scaledown.candidates import EventKnown
from tests import factories as make
from tests.capacity.test_reference import sized_by_report
from tests.pages.test_pages import page, url
from tests.scaledown.machine_cases import a_plan
from tests.scaledown.planner_cases import NOW
from tests.scaledown.rows import desk
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
    assert ahead.is_higher(240.0, unknown)


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
    ("peak", "needed", "is_more"),
    [(600.0, 8, False), (600.0, 7, True), (None, 8, True), (None, None, False), (600.0, None, False)],
)
def test_what_needs_more_than_in_the_preview(peak, needed, is_more):
    plan = a_plan(target=3, ceiling_rps=100.0, guard_share=0.8)
    shown = ahead.EventShown("e", NOW + HOUR, NOW + DAY, needed)
    assert ahead.needs_more(peak, shown, plan) is is_more


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
    run = services.start_run(plan, actor=here.lead, seen_digest=plan.digest, override_reason=REASON)
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


@pytest.mark.parametrize("phase", ["verifying", "held", "deleting"])
def test_the_last_server_is_not_ended_while_anything_holds(here, phase):
    run = started(here)
    ways = [
        {**way, "phase": phase if number == 0 else "retired"}
        for number, way in enumerate(run.progress["servers"])
    ]
    Run.objects.filter(pk=run.pk).update(
        status="running", progress={**run.progress, "servers": ways, "preflight_due": False}
    )
    planned(here)
    run.refresh_from_db()
    assert "needs 8 servers" in driver.facts(run)["freeze"]


def test_an_event_of_which_nobody_knows_how_high_it_gets_holds_too(here):
    plan = approved(here)
    planned(here, multiple=None)
    assert (
        "may need more servers, its peak is not known"
        in freezes.for_start(plan, services.data_of(plan), timezone.now())[0].says
    )


def test_a_rise_that_is_on_and_was_in_no_preview_holds_until_it_is_over(here):
    ForecastPeak.objects.all().delete()
    report = sized_by_report(here.connection, 150.0)
    GrowthReport.objects.update(peak=150.0)
    run, now = started(here), timezone.now()
    assert "freeze" not in driver.facts(run)
    row = DetectedEvent.objects.create(
        account=here.account,
        metric=report.metric,
        starts_at=now - HOUR,
        ends_at=now,
        peak_at=now - HOUR,
        peak=600.0,
        expected=150.0,
        multiple=4.0,
        score=30.0,
        lead_in_s=0,
        is_over=False,
        found_at=now - HOUR / 2,
    )
    assert "A rise in the traffic is on that needs 8 servers, and 3 stay" in driver.facts(run)["freeze"]
    with pytest.raises(Refused, match="6 servers are in service and the target is 6"):
        services.draw(drafted(here), here.pool)
    assert not ahead.is_higher(600.0, a_plan(forecast_peak_rps=600.0)), "for that one it was approved"
    DetectedEvent.objects.filter(pk=row.pk).update(is_over=True)
    assert "freeze" not in driver.facts(run)


def test_what_a_lead_let_pass_holds_again_where_it_needs_more(here):
    plan = approved(here)
    sale = planned(here)
    run = services.start_run(plan, actor=here.lead, seen_digest=plan.digest, override_reason=REASON)
    change_event(sale, {"expected_multiple": 3.0}, actor=here.manager)
    assert "freeze" not in driver.facts(run), "it needs less than what was let pass"
    change_event(sale, {"expected_multiple": 40.0}, actor=here.manager)
    assert "needs 75 servers" in driver.facts(run)["freeze"]
    change_event(sale, {"expected_multiple": None}, actor=here.manager)
    assert "its peak is not known" in driver.facts(run)["freeze"]
    remove_event(sale, actor=here.manager)
    assert "freeze" not in driver.facts(run)
    planned(here)
    assert "needs 8 servers" in driver.facts(run)["freeze"], "another event was let pass by nobody"


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
    assert f"{needs} It starts after that, or a lead starts it all the same" in read(
        here.manager, "plan-detail"
    )
    told = read(here.manager, "plan-start")
    assert "A traffic event needs the servers “Winter sale”: A traffic event from" in told
    assert "Take out and delete" not in told
    assert "Take out and delete 3 servers" in read(here.lead, "plan-start")
