"""What a report says of a run, and what it never says: a bare zero where nothing could be measured."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from django.utils import timezone

from capacity.reports.models import ServerPrice, SizedPool
from portal.access import permissions_on
from portal.runs import journal
from portal.runs.models import Run, RunSample
from portal.runs.types import Entry
from scaledown import services, standstills
from scaledown.live import POINTS_SHOWN, live_run
from scaledown.progress import DrainWay, ImageMade, Meter, new_progress, progress_to_plain, with_server
from scaledown.report import report
from scaledown.shown import lane_shown, of_total
from scaledown.types import Phase
from tests.scaledown.planner_cases import CHOICE
from tests.scaledown.rows import desk

pytestmark = pytest.mark.django_db


@pytest.fixture
def here():
    return desk()


@pytest.fixture
def run(here) -> Run:
    plan = services.draft_plan(
        account=here.account,
        connection=here.connection,
        actor=here.manager,
        title="After Black Friday",
        choice=CHOICE,
        event=here.event,
    )
    plan = services.submit_plan(plan, actor=here.manager, pool=here.pool)
    plan = services.approve_plan(plan, actor=here.approver, seen_digest=plan.digest)
    return services.start_run(plan, actor=here.manager, seen_digest=plan.digest)


def becomes(run, **first):
    plan = services.plan_from_plain(run.plan)
    progress = new_progress(plan, timezone.now())
    progress = with_server(progress, replace(progress.servers[0], **first))
    progress = replace(progress, meters={"srv-01": Meter(rps=50.0, rps_at=timezone.now())})
    Run.objects.filter(pk=run.pk).update(progress=progress_to_plain(progress))


def probed(run, *oks):
    now = timezone.now()
    for number, ok in enumerate(oks):
        RunSample.objects.create(
            run=run,
            series="probe:home",
            at=now + timedelta(seconds=number),
            value=None if ok is None else 100.0 + number,
            detail={"ok": ok},
        )


@pytest.mark.parametrize(
    ("oks", "answer", "share"),
    [
        ((), "not_measurable", None),
        ((None, None), "not_measurable", None),
        ((True, True, None), "none_seen", 0.0),
        ((True, False, True, True), "seen", 0.25),
    ],
)
def test_failed_requests_are_seen_none_seen_or_not_measurable(run, oks, answer, share):
    probed(run, *oks)
    told = report(run).requests_failed
    assert (told.answer, told.share) == (answer, share)
    assert told.says
    assert (told.since is None) == (answer == "not_measurable")


def imaged(run, **changes):
    now = timezone.now()
    made = ImageMade("img-1", "web-06 0b3f6f0e", "srv-06", "web-06", now, now + timedelta(days=14))
    plan = services.plan_from_plain(run.plan)
    progress = new_progress(plan, now - timedelta(hours=1))
    out = replace(
        progress.servers[0], phase=Phase.RETIRED, left_at=now - timedelta(minutes=5), retired_at=now
    )
    progress = replace(with_server(progress, out), images=(replace(made, **changes),))
    Run.objects.filter(pk=run.pk).update(progress=progress_to_plain(progress))


def test_images_are_listed_with_the_day_until_which_they_are_kept(run, here):
    imaged(run, status="ACTIVE")
    found = report(run)
    (image,) = found.images
    assert (image.server_name, image.is_usable) == ("web-06", True)
    assert image.says == "Crash-consistent, not a backup."
    assert image.delete_on - image.made_at == timedelta(days=14)
    assert "with an image" in found.cannot_be_undone
    assert report(run, for_customer=True).images[0].says.endswith("not a backup.")
    assert live_run(run, granted=permissions_on(here.manager, here.account)).images == found.images


def test_a_deletion_without_an_image_that_is_ready_is_said_to_be_final(run):
    imaged(run, status="ERROR")
    found = report(run)
    assert not found.images[0].is_usable
    assert "no image taken" in found.cannot_be_undone


def went_out(run, *, open_then: int | None, may_cut: bool = True, server: str = "srv-06"):
    """Journal that the first server drained, was let go on, and left its load balancer."""
    removed = {"action": "remove_node", "outcome": "done"}
    drained = {
        "grade": "timed",
        "evidence": "a person let them be cut",
        "connections": open_then,
        "may_cut": may_cut,
    }
    entries = [
        Entry("server_draining", "It drains.", subject=server, detail={"was": "queued"}),
        Entry("drained", "It goes on.", subject=server, detail=drained),
        Entry("outcome", "Done.", subject=server, detail=removed),
        Entry("server_verifying", "It has left.", subject=server),
        Entry("verdict", "It fails.", "Your site needs it.", subject=server, detail={"verdict": "fails"}),
    ]
    with transaction.atomic():
        journal.write(Run.objects.get(pk=run.pk), entries, at=timezone.now(), author=journal.ENGINE)


@pytest.mark.parametrize("phase", [Phase.RETIRED, Phase.RESTORED])
def test_connections_that_were_cut_are_failed_requests_also_where_the_server_came_back(run, phase):
    probed(run, True, True)
    becomes(run, phase=phase)
    went_out(run, open_then=7)
    told = report(run).requests_failed
    assert told.answer == "seen"
    assert "7 open connections were cut" in told.says
    assert report(run).servers[0].connections_cut == 7


def test_a_cut_of_a_number_that_nobody_knew_is_not_called_none(run):
    probed(run, True)
    went_out(run, open_then=None)
    told = report(run).requests_failed
    assert told.answer == "seen"
    assert "how many were open is not known" in told.says
    assert report(run).servers[0].connections_cut is None


def test_a_server_that_left_empty_cut_nobody_off(run):
    probed(run, True)
    went_out(run, open_then=0, may_cut=False)
    assert report(run).requests_failed.answer == "none_seen"


def test_a_report_keeps_how_a_server_went_out_that_was_put_back(run):
    becomes(run, phase=Phase.RESTORED)
    went_out(run, open_then=7)
    told = report(run, for_customer=True).servers[0]
    assert (told.outcome, told.verdict, told.verdict_says) == ("restored", "fails", "Your site needs it.")
    assert None not in (told.drain_began_at, told.drained_at, told.left_pool_at)


def test_only_what_was_asked_while_the_run_was_stopped_counts_as_decided_after_a_halt(run):
    entries = [
        Entry("halted", "It stopped."),
        Entry("command", "Lena asked: resume."),
        Entry("status", "The run goes on."),
        Entry("command", "Lena asked: skip."),
    ]
    with transaction.atomic():
        journal.write(Run.objects.get(pk=run.pk), entries, at=timezone.now(), author=journal.ENGINE)
    assert report(run).halts[0].decisions == ("Lena asked: resume.",)


def test_what_was_refused_decided_nothing(run):
    def refused(name):
        return Entry("command_refused", "Refused.", subject=name, detail={"command": 1, "name": name})

    entries = [
        Entry("halted", "It stopped."),
        Entry("command", "Lena asked: resume.", subject="resume"),
        Entry("command", "Lena asked: abort.", subject="abort"),
        refused("resume"),
    ]
    with transaction.atomic():
        journal.write(Run.objects.get(pk=run.pk), entries, at=timezone.now(), author=journal.ENGINE)
    assert report(run).halts[0].decisions == ("Lena asked: abort.",)


@pytest.mark.parametrize("phase", [Phase.DELETING, Phase.CONFIRMING])
def test_a_deletion_that_the_provider_accepted_is_not_called_nothing(run, phase):
    becomes(run, phase=phase, left_at=timezone.now())
    says = report(run).cannot_be_undone
    assert "The deletion of web-06 was accepted" in says
    assert "Nothing was deleted" not in says


def test_a_server_that_could_not_be_put_back_is_out_and_not_saved(run, here):
    becomes(run, phase=Phase.LEFT_OUT)
    told = report(run)
    assert (told.nodes_after, told.retired, told.put_back, told.server_hours_saved_per_month) == (5, 0, 0, 0)
    assert told.cannot_be_undone == "Nothing was deleted."
    live = live_run(run, granted=permissions_on(here.manager, here.account))
    assert of_total(live) == "of 3 servers, 1 not put back"


def test_what_came_right_and_too_late_is_no_request_that_failed(run):
    probed(run, True, True)
    at = timezone.now() + timedelta(minutes=1)
    RunSample.objects.create(
        run=run, series="probe:home", at=at, value=900.0, detail={"ok": False, "slow": True}
    )
    told = report(run)
    assert (told.requests_failed.answer, told.requests_failed.share) == ("none_seen", 0.0)
    assert "1 of 3 answers came later than agreed" in told.requests_failed.says
    assert (told.probes[0].failed, told.probes[0].slow, told.probes[0].slowest_ms) == (0, 1, 900.0)


def test_connections_that_were_cut_have_the_time_of_the_cut(run):
    went_out(run, open_then=7)
    told = report(run).requests_failed
    assert None not in (told.since, told.until)
    assert told.source == "connection counts on the servers"


def test_the_time_before_is_that_of_the_stretch_before_the_first_server(run, here):
    becomes(run, phase=Phase.DRAINING)
    run.refresh_from_db()
    before = {"since": "2026-11-30T10:00:00Z", "latency_ms": {"home": [30.0, 50.0, 40.0]}}
    Run.objects.filter(pk=run.pk).update(progress=run.progress | {"before": before})
    probed(run, True, True)
    live = live_run(run, granted=permissions_on(here.manager, here.account))
    assert live.probes[0].before_ms == 40.0


def test_without_such_a_stretch_it_is_what_was_seen_before_the_first_drain(run, here):
    now = timezone.now()
    becomes(run, phase=Phase.DRAINING, drain=DrainWay(begun_at=now + timedelta(seconds=2)))
    probed(run, True, True, True, True)
    live = live_run(run, granted=permissions_on(here.manager, here.account))
    assert live.probes[0].before_ms == pytest.approx(100.5, abs=0.5)


def test_what_was_seen_before_is_found_behind_all_that_came_since(run, here):
    now = timezone.now()
    becomes(run, phase=Phase.DRAINING, drain=DrainWay(begun_at=now + timedelta(seconds=3)))
    RunSample.objects.bulk_create(
        RunSample(
            run=run,
            series="probe:home",
            at=now + timedelta(seconds=number),
            value=50.0 if number < 3 else 400.0,
            detail={"ok": True},
        )
        for number in range(POINTS_SHOWN + 10)
    )
    live = live_run(run, granted=permissions_on(here.manager, here.account))
    assert live.probes[0].before_ms == 50.0
    assert len(live.probes[0].latencies) == POINTS_SHOWN


def test_a_report_counts_what_was_deleted_and_what_it_saves(run):
    becomes(run, phase=Phase.RETIRED, left_at=timezone.now(), retired_at=timezone.now())
    told = report(run)
    assert (told.nodes_before, told.nodes_after, told.retired) == (6, 5, 1)
    assert told.server_hours_saved_per_month == 730.5
    assert "cannot be undone" in told.cannot_be_undone
    assert [one.side for one in told.approvals] == ["provider", "customer"]


def test_what_is_saved_is_money_too_where_the_pool_has_a_price(run, here):
    now = timezone.now()
    becomes(run, phase=Phase.RETIRED, left_at=now - timedelta(hours=6), retired_at=now)
    told = report(run)
    assert (told.money_saved_per_month, told.server_hours_out_of_service) == (None, 6.0)
    for balancer_id in services.plan_from_plain(run.plan).balancer_ids:
        SizedPool.objects.create(
            account=here.account,
            connection=here.connection,
            balancer_id=balancer_id,
            name="web",
            servers=6,
            flavor="general1-4",
        )
    ServerPrice.objects.create(
        account=here.account, flavor="general1-4", an_hour=Decimal("0.5"), currency="EUR", at=now
    )
    told = report(run)
    assert (told.money_saved_per_month, told.currency) == (Decimal("365.25"), "EUR")


def test_a_server_that_was_put_back_saves_nothing(run):
    becomes(run, phase=Phase.RESTORED, left_at=timezone.now())
    told = report(run)
    assert (told.nodes_after, told.put_back, told.server_hours_saved_per_month) == (6, 1, 0)


def test_latencies_of_failed_probes_do_not_make_the_site_look_fast(run):
    probed(run, True, False, True)
    told = report(run).probes[0]
    assert (told.looks, told.failed, told.slowest_ms) == (3, 1, 102.0)


def test_the_live_page_says_both_in_the_words_of_who_watches(run, here):
    becomes(run, phase=Phase.DRAINING, says="web-06 drains.", customer_says="web-06 is finishing.")
    manager = live_run(run, granted=permissions_on(here.manager, here.account))
    customer = live_run(run, granted=permissions_on(here.viewer, here.account))
    assert manager.lanes[0].says == "web-06 drains."
    assert customer.lanes[0].says == "web-06 is finishing."


def lane_of(live):
    return lane_shown(live, live.lanes[0], UTC, customer=False, with_hold=False)


def test_a_server_that_another_hand_deleted_is_not_counted_as_taken_out(run, here):
    becomes(run, phase=Phase.GONE)
    live = live_run(run, granted=permissions_on(here.manager, here.account))
    assert live.retired == 0
    assert of_total(live) == "of 3 servers, 1 gone by another hand"


def test_the_count_of_a_lane_is_the_newest_one_that_its_plot_shows(run, here):
    now = timezone.now()
    drain = DrainWay(begun_at=now, connections=9, sampled_at=now)
    becomes(run, phase=Phase.DRAINING, drain=drain)
    first = f"connections:{services.plan_from_plain(run.plan).servers[0].server_id}"
    RunSample.objects.create(run=run, series=first, at=now + timedelta(seconds=5), value=4.0)
    live = live_run(run, granted=permissions_on(here.manager, here.account))
    assert (lane_of(live).connections, lane_of(live).observed_at) == (4, now + timedelta(seconds=5))
    becomes(run, phase=Phase.DRAINING, drain=replace(drain, connections=None, problem="It does not answer."))
    assert lane_of(live_run(run, granted=permissions_on(here.manager, here.account))).connections is None


def test_a_lane_beside_a_halt_says_that_its_sentence_is_from_before(run, here):
    becomes(run, phase=Phase.DRAINING, says="web-06 is going down: 9 connections open.")
    granted = permissions_on(here.manager, here.account)
    assert lane_of(live_run(run, granted=granted)).sentence.startswith("web-06 is going down")
    Run.objects.filter(pk=run.pk).update(
        status="halted",
        halt_code="rising",
        halt_rank="site_in_danger",
        halt_says="Traffic is rising.",
        halted_at=timezone.now(),
    )
    assert lane_of(live_run(run, granted=granted)).sentence.startswith("Before the stop: web-06 is going")
    Run.objects.filter(pk=run.pk).update(status="paused")
    assert lane_of(live_run(run, granted=granted)).sentence.startswith("Before the stop: web-06 is going")


def test_a_load_that_is_not_known_is_not_zero(run, here):
    becomes(run, phase=Phase.DRAINING)
    loads = {
        one.server_name: one
        for one in live_run(run, granted=permissions_on(here.manager, here.account)).loads
    }
    assert (loads["web-01"].load_rps, loads["web-01"].share_of_ceiling) == (50.0, 0.5)
    assert loads["web-02"].load_rps is None
    assert loads["web-06"].state == "draining"


def test_the_report_says_which_node_of_a_deleted_server_somebody_must_take_out(run, here):
    first = services.plan_from_plain(run.plan).servers[0]
    with transaction.atomic():
        journal.write(
            run,
            [
                Entry("server_draining", "web-06 drains.", subject=first.server_id, detail={"was": "queued"}),
                Entry("node_left", "Left.", subject=first.server_id, detail={"balancers": ["71"]}),
            ],
            at=timezone.now(),
        )
    found = report(run)
    assert [server.nodes_left for server in found.servers] == [("71",), (), ()]


def test_a_lane_of_a_server_that_came_back_shows_how_far_it_had_come(run, here):
    becomes(run, phase=Phase.RESTORED, back_from=Phase.VERIFYING)
    live = live_run(run, granted=permissions_on(here.manager, here.account))
    assert [lane.left_from for lane in live.lanes] == ["verifying", "", ""]


def test_in_a_standstill_the_live_page_offers_no_pause_after_a_server(run, here):
    now = timezone.now()
    becomes(run, phase=Phase.DRAINING, drain=DrainWay(begun_at=now))
    Run.objects.filter(pk=run.pk).update(status="running")
    granted = permissions_on(here.manager, here.account)
    pauses = [one.args["when"] for one in live_run(run, granted=granted).offers if one.name == "pause"]
    assert pauses == ["after_this_server", "now"]
    standstills.put_standstill(
        "account", account=here.account, actor=here.manager, reason="Payments are down."
    )
    pauses = [one.args["when"] for one in live_run(run, granted=granted).offers if one.name == "pause"]
    assert pauses == ["now"]
