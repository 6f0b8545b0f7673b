"""Peak watch: after its last server a run stays open until the next peak has passed, and the report says how that went."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta

import pytest
from django.utils import timezone

from portal.access import permissions_on
from portal.cloud.types import Condition
from portal.errors import Refused
from portal.events.models import Event
from portal.runs.models import Run
from portal.runs.types import Decision, Entry, HaltRank, RunStatus
from scaledown.canonical import digest, plan_from_plain, plan_to_plain
from scaledown.driver import project
from scaledown.forms import SafetyForm
from scaledown.less import is_less
from scaledown.live import live_run, peak_watch_shown
from scaledown.offers import Situation, offers
from scaledown.peak import LOOK_PEAK_S, is_watching
from scaledown.planner import build_plan_data
from scaledown.preview import preview
from scaledown.progress import (
    ProbeCounts,
    WatchWay,
    new_progress,
    progress_from_plain,
    progress_to_plain,
    with_server,
)
from scaledown.report import report
from scaledown.types import PEAK_SPARE_S, Phase
from tests.scaledown.machine_cases import START, Desk, a_plan
from tests.scaledown.planner_cases import CHOICE, NOW, known, pool
from tests.scaledown.test_report import here, run  # noqa: F401

SPARE = timedelta(seconds=PEAK_SPARE_S)


@pytest.mark.parametrize(
    ("peak_in_h", "chosen", "is_watched", "why"),
    [
        (None, None, False, "not known"),
        (None, False, False, "without one"),
        (-1, None, False, "not known"),
        (20, None, True, ""),
        (20, False, False, "without one"),
        (167, None, True, ""),
        (169, None, False, "more than a week"),
        (169, True, True, ""),
    ],
)
def test_a_known_peak_is_proposed_to_be_watched(peak_in_h, chosen, is_watched, why):
    peak_at = None if peak_in_h is None else NOW + timedelta(hours=peak_in_h)
    choice, facts = replace(CHOICE, peak_watch=chosen), known(peak_at=peak_at)
    plan = build_plan_data(choice, pool(), facts)
    assert plan.watch_until == (peak_at + SPARE if is_watched else None)
    assert why in plan.unwatched_reason
    assert bool(plan.unwatched_reason) is not is_watched
    shown = preview(plan, choice, pool(), facts).peak_watch
    assert ("stays open until the next peak is over" in shown) is is_watched
    assert why in shown


def test_a_watch_that_is_asked_for_needs_the_time_of_the_peak():
    with pytest.raises(Refused, match="cannot be watched") as refusal:
        build_plan_data(replace(CHOICE, peak_watch=True), pool(), known())
    assert refusal.value.code == "peak_unknown"


@pytest.mark.parametrize(("typed", "kept"), [("", None), ("yes", True), ("no", False)])
def test_the_form_keeps_what_was_chosen(typed, kept):
    initial = SafetyForm.initial_of(replace(CHOICE, peak_watch=kept))
    assert initial["peak_watch"] == typed
    form = SafetyForm({**initial, "soak_s": "5 min", "window_start": "", "window_end": ""}, zone=UTC)
    assert form.is_valid(), form.errors
    assert form.onto(CHOICE).peak_watch is kept


def watched(hours=6.0, **changes):
    return a_plan(watch_until=START + timedelta(hours=hours), **changes)


def test_a_longer_watch_is_covered_by_an_approval_and_a_shorter_is_not():
    none, near, far = a_plan(unwatched_reason="Not known."), watched(6.0), watched(30.0)
    assert is_less(near, far)
    assert not is_less(far, near)
    assert not is_less(near, none)
    assert is_less(none, far)
    assert digest(near) != digest(far)


def test_a_plan_of_an_older_format_keeps_its_digest_and_has_no_watch():
    old = a_plan(format=5)
    plain = plan_to_plain(old)
    assert "watch_until" not in plain
    assert plan_from_plain(plain) == old
    with pytest.raises(ValueError, match="has no watch_until"):
        plan_from_plain(plan_to_plain(watched()) | {"format": 5})


# --- the run -------------------------------------------------------------------------------------------


def said_at_the_end(desk: Desk) -> Entry:
    (said,) = [entry for entry in desk.journal if entry.kind == "peak_watch_over"]
    return said


def through(plan=None) -> Desk:
    plan = plan or watched()
    desk = Desk(replace(plan, ceiling_rps=None))
    desk.until(lambda: is_watching(desk.progress), most=400)
    desk.plan = plan
    return desk


def test_the_run_stays_open_until_the_peak_is_over_and_says_how_it_went():
    desk = through()
    assert desk.status is RunStatus.RUNNING
    assert [desk.phase(number) for number in (6, 5)] == [Phase.RETIRED, Phase.RETIRED]
    assert "Peak watch" in desk.progress.says
    assert "no other plan, drill or benchmark" in desk.progress.says
    assert desk.look(10.0).look_again_s == LOOK_PEAK_S
    sent = len(desk.sent)
    desk.until(lambda: desk.now >= desk.plan.watch_until, most=3000, after_s=10.0)
    desk.until(lambda: desk.status is RunStatus.COMPLETED, most=2)
    assert len(desk.sent) == sent
    watch = desk.progress.watch
    assert watch.ended_at >= desk.plan.watch_until
    assert watch.ended_at - watch.until <= timedelta(seconds=10)
    assert watch.probes.ok > 2000
    assert watch.probes.failed == 0
    assert watch.unwatched_s == 0
    assert desk.kinds().count("peak_watch_begun") == desk.kinds().count("peak_watch_over") == 1
    assert progress_from_plain(progress_to_plain(desk.progress)) == desk.progress


def test_whoever_works_on_a_server_that_stays_stops_no_watch_and_is_journalled_once():
    desk = through(replace(watched(), floor=2))
    kept = desk.progress.kept[0].nodes[0]
    desk.nodes[kept.node_id] = replace(desk.nodes[kept.node_id], condition=Condition.DISABLED)
    before = desk.kinds().count("changed_by_other_hand")
    for _ in range(5):
        desk.look(10.0)
    assert desk.status is RunStatus.RUNNING
    assert desk.kinds().count("changed_by_other_hand") == before + 1
    assert any("is DISABLED" in entry.says for entry in desk.journal)
    desk.until(lambda: desk.status is RunStatus.COMPLETED, most=3000, after_s=10.0)


def test_a_watch_halts_all_the_same_where_another_hand_takes_the_pool_below_its_floor():
    desk = through()
    for server in desk.progress.kept[1:]:
        for node in server.nodes:
            desk.nodes[node.node_id] = replace(desk.nodes[node.node_id], condition=Condition.DISABLED)
    for _ in range(5):
        desk.look(10.0)
    assert desk.status is RunStatus.HALTED
    assert desk.halt.code == "floor_broken"


def test_the_end_is_neither_early_nor_late_by_more_than_a_look():
    desk = through()
    left_s = (desk.plan.watch_until - desk.now).total_seconds()
    assert desk.look(left_s - 3.0).look_again_s == pytest.approx(3.0)
    assert desk.status is RunStatus.RUNNING
    desk.look(3.0)
    assert desk.status is RunStatus.COMPLETED


def test_without_a_peak_the_run_ends_with_its_last_server():
    desk = Desk(a_plan())
    desk.until(lambda: desk.status is RunStatus.COMPLETED, most=400)
    assert desk.progress.watch is None
    assert "peak_watch_begun" not in desk.kinds()


def test_a_peak_that_was_over_before_is_not_watched():
    desk = Desk(watched(hours=0.001))
    desk.until(lambda: desk.status is RunStatus.COMPLETED, most=400)
    assert desk.progress.watch is None


def test_a_run_that_took_nothing_out_watches_no_peak():
    desk = Desk(watched())
    for server in (6, 5):
        desk.until(lambda: desk.progress.started_at is not None)
        desk.command("skip", server=f"srv-{server}")
    desk.until(lambda: desk.status is RunStatus.COMPLETED, most=5)
    assert desk.progress.watch is None


def with_traffic(desk: Desk, rps: float, seconds: float, every_s: float = 10.0) -> None:
    """Let each server that stays answer so many requests a second for as long."""
    for _ in range(int(seconds / every_s)):
        for server in desk.plan.remaining:
            desk.requests[server.server_id] = desk.requests.get(server.server_id, 0) + round(rps * every_s)
        desk.look(every_s)


def test_the_highest_load_on_each_server_is_kept_with_its_time():
    desk = through(watched(ceiling_rps=100.0, forecast_peak_rps=300.0))
    with_traffic(desk, 20.0, 60)
    with_traffic(desk, 70.0, 30)
    highest_until = desk.now
    with_traffic(desk, 30.0, 60)
    watch = desk.progress.watch
    assert watch.node_highest == pytest.approx(70.0)
    assert watch.pool_highest == pytest.approx(210.0)
    assert highest_until - timedelta(seconds=30) < watch.node_highest_at <= highest_until
    assert desk.status is RunStatus.RUNNING
    desk.until(lambda: desk.status is RunStatus.COMPLETED, most=3000, after_s=10.0)
    said = said_at_the_end(desk)
    assert "70.0 requests/s" in said.says
    assert "70% of the ceiling" in said.says
    assert "70% of the forecast peak" in said.says
    assert "70% of the most that one carries" in said.customer_says
    assert said.detail["node_highest_rps"] == pytest.approx(70.0)


def test_rising_traffic_halts_the_watch_as_ever():
    desk = through(watched(ceiling_rps=100.0))
    with_traffic(desk, 85.0, 40)
    assert desk.status is RunStatus.HALTED
    assert (desk.halt.code, desk.halt.rank) == ("traffic_rising", HaltRank.DECIDE_TODAY)
    with_traffic(desk, 30.0, 40)
    assert desk.command("resume").accepted
    assert desk.status is RunStatus.RUNNING
    assert desk.progress.watch.node_highest == pytest.approx(85.0)
    desk.until(lambda: desk.status is RunStatus.COMPLETED, most=3000, after_s=10.0)


def test_failing_probes_halt_the_watch_and_are_counted():
    desk = through()
    desk.probe_ok = False
    desk.until(lambda: desk.status is RunStatus.HALTED, most=5, after_s=10.0)
    assert desk.halt.rank is HaltRank.SITE_IN_DANGER
    watch = desk.progress.watch
    assert watch.probes.failed >= 2
    assert watch.failed_first_at < watch.failed_last_at


def test_a_halt_that_outlasts_the_peak_ends_the_watch_and_not_the_run():
    desk = through()
    desk.probe_ok = False
    desk.until(lambda: desk.status is RunStatus.HALTED, most=5, after_s=10.0)
    desk.probe_ok = True
    desk.until(lambda: desk.now > desk.plan.watch_until, most=3000, after_s=10.0)
    assert desk.status is RunStatus.HALTED
    assert desk.progress.watch.ended_at is not None
    assert desk.command("resume").accepted
    assert desk.status is RunStatus.COMPLETED
    assert "checks of the site failed" in said_at_the_end(desk).says


def test_a_standstill_holds_the_end_and_the_watch_goes_on():
    desk = through()
    desk.standstill = "Everything is stopped."
    desk.until(lambda: desk.now > desk.plan.watch_until, most=3000, after_s=10.0)
    assert desk.status is RunStatus.RUNNING
    desk.standstill = None
    desk.look()
    assert desk.status is RunStatus.COMPLETED


def test_time_in_which_nobody_looked_is_said():
    desk = through()
    desk.look(30.0)
    assert desk.progress.watch.unwatched_s == 0
    desk.look(600.0)
    assert desk.progress.watch.unwatched_s == pytest.approx(600.0)


def held_desk() -> Desk:
    """Both servers are held through the peak that is watched."""
    end = START + timedelta(hours=6)
    desk = Desk(a_plan(watch_until=end, hold_through=end, floor=2))
    return desk.until(lambda: all(desk.phase(number) is Phase.HELD for number in (6, 5)), most=400)


def test_with_servers_held_through_the_peak_it_is_seen_before_they_are_deleted():
    desk = held_desk()
    desk.look(10.0)
    assert desk.progress.watch is not None
    assert not is_watching(desk.progress)
    with_traffic(desk, 50.0, 60)
    desk.until(lambda: desk.status is RunStatus.COMPLETED, most=6000, after_s=5.0)
    watch = desk.progress.watch
    assert watch.open_since is None
    assert watch.node_highest == pytest.approx(50.0)
    assert not watch.ended_early
    assert all(desk.way(number).retired_at >= watch.ended_at for number in (6, 5))


def test_held_servers_still_come_back_and_another_size_is_watched_anew():
    desk = held_desk()
    desk.look(10.0)
    first = desk.progress.watch
    assert first.out == 2
    assert desk.command("put_back", server="srv-6").accepted
    desk.until_phase(Phase.RESTORED)
    desk.look(10.0)
    assert desk.progress.watch.out == 1
    assert desk.progress.watch.since > first.since
    desk.probe_ok = False
    desk.until(lambda: desk.phase(5) is Phase.RESTORED, most=20)
    desk.look(10.0)
    assert desk.halt.code == "traffic_rising"
    assert desk.progress.watch is None


# --- people --------------------------------------------------------------------------------------------


def offered(desk: Desk):
    found = offers(Situation(desk.status, desk.plan, desk.progress))
    return {offer.name: offer for offer in found}


@pytest.mark.parametrize("is_halted", [False, True])
def test_a_person_may_end_the_watch_early(is_halted):
    desk = through()
    if is_halted:
        desk.probe_ok = False
        desk.until(lambda: desk.status is RunStatus.HALTED, most=5, after_s=10.0)
    assert "not watched to its end" in offered(desk)["finish_here"].leaves
    answer = desk.command("finish_here")
    assert answer.accepted
    assert desk.status is RunStatus.COMPLETED
    assert desk.progress.watch.ended_early == "Lena ended it."
    assert "ended before the peak was over" in said_at_the_end(desk).says


def test_finishing_here_leaves_the_run_open_for_the_peak_and_says_so():
    desk = Desk(watched()).until_phase(Phase.DRAINING)
    assert "stays open at this size until the next peak is over" in offered(desk)["finish_here"].leaves
    assert desk.command("finish_here").accepted
    desk.until(lambda: is_watching(desk.progress), most=200)
    assert desk.phase(5) is Phase.SKIPPED
    assert desk.progress.watch.out == 1


@pytest.mark.parametrize("rests", ["paused", "halted"])
def test_finishing_a_run_that_rests_leaves_it_open_for_the_peak_as_well(rests):
    desk = Desk(watched(pause_between_s=600.0)).until_phase(Phase.RETIRED)
    if rests == "paused":
        assert desk.command("pause", when="now").accepted
    else:
        desk.probe_ok = False
    desk.until(lambda: desk.status is RunStatus(rests), most=20)
    assert "stays open at this size until the next peak is over" in offered(desk)["finish_here"].leaves
    desk.probe_ok = True
    desk.look()
    answer = desk.command("finish_here")
    assert answer.accepted
    assert "until the next peak is over" in answer.says
    desk.until(lambda: is_watching(desk.progress), most=5)
    assert (desk.status, desk.halt) == (RunStatus.RUNNING, None)
    assert desk.phase(5) is Phase.SKIPPED
    sent = len(desk.sent)
    desk.until(lambda: desk.status is RunStatus.COMPLETED, most=3000, after_s=10.0)
    assert desk.now >= desk.plan.watch_until
    assert desk.progress.watch.ended_early == ""
    assert len(desk.sent) == sent


def test_where_the_site_is_not_well_at_the_new_size_it_halts_again_and_a_second_time_ends_it():
    desk = Desk(watched(pause_between_s=600.0)).until_phase(Phase.RETIRED)
    desk.probe_ok = False
    desk.until(lambda: desk.status is RunStatus.HALTED, most=20)
    assert desk.command("finish_here").accepted
    desk.until(lambda: desk.status is RunStatus.HALTED, most=5)
    assert desk.halt.rank is HaltRank.SITE_IN_DANGER
    assert "not watched to its end" in offered(desk)["finish_here"].leaves
    assert desk.command("finish_here").accepted
    assert desk.status is RunStatus.COMPLETED
    assert desk.progress.watch.ended_early == "Lena ended it."


def test_where_no_server_is_out_finishing_promises_no_peak_and_says_that_none_is_out():
    desk = Desk(watched())
    desk.until(lambda: desk.status is RunStatus.RUNNING)
    desk.in_charge = None
    desk.probe_ok = False
    desk.until(lambda: desk.status is RunStatus.HALTED)
    assert "the run completes at this size" in offered(desk)["finish_here"].leaves.lower()
    assert desk.command("finish_here").accepted
    assert desk.status is RunStatus.COMPLETED


def test_an_aborted_run_does_not_say_that_the_peak_was_over():
    desk = Desk(watched()).until_phase(Phase.RETIRED)
    assert desk.command("abort").accepted
    desk.until(lambda: desk.status is RunStatus.ABORTED, most=30)
    shown = peak_watch_shown(desk.plan, desk.progress, desk.status, for_customer=False)
    assert "The run was aborted, and does not stay open." in shown.says


# --- what is shown -------------------------------------------------------------------------------------


def kept(run, watch):  # noqa: F811
    progress = new_progress(plan_from_plain(run.plan), timezone.now())
    if watch is not None:
        out = replace(progress.servers[0], phase=Phase.RETIRED, left_at=watch.since, retired_at=watch.since)
        progress = replace(with_server(progress, out), watch=watch)
    Run.objects.filter(pk=run.pk).update(progress=progress_to_plain(progress))


@pytest.mark.django_db
def test_the_report_has_the_figures_for_both_readers(run, here):  # noqa: F811
    now = timezone.now()
    watch = WatchWay(
        now - timedelta(hours=2),
        now,
        1,
        open_since=now - timedelta(hours=1),
        ended_at=now,
        node_highest=60.0,
        node_highest_at=now - timedelta(minutes=30),
        pool_highest=240.0,
        probes=ProbeCounts(ok=99, failed=1),
        failed_first_at=now - timedelta(minutes=20),
        failed_last_at=now - timedelta(minutes=20),
    )
    kept(run, watch)
    seen = report(run).peak_watch
    plan = plan_from_plain(run.plan)
    assert seen.state == "over"
    assert (seen.share_of_ceiling, seen.share_of_forecast) == (
        60.0 / plan.ceiling_rps,
        240.0 / plan.forecast_peak_rps,
    )
    assert (seen.probes_known, seen.probes_failed) == (100, 1)
    assert "of the ceiling" in seen.says
    customer = report(run, for_customer=True).peak_watch
    assert "ceiling" not in customer.says
    assert "Your site went through its peak" in customer.says
    live = live_run(run, granted=permissions_on(here.manager, here.account))
    assert live.peak_watch == seen


@pytest.mark.django_db
def test_the_report_says_why_no_peak_was_watched(run):  # noqa: F811
    kept(run, None)
    seen = report(run).peak_watch
    assert seen.state == "none"
    assert seen.says == "No peak was watched. When the next peak is expected was not known."


@pytest.mark.django_db
def test_a_run_that_ended_before_the_peak_says_so(run):  # noqa: F811
    now = timezone.now()
    until = now + timedelta(hours=2)
    kept(run, WatchWay(now, until, 1))
    assert report(run).peak_watch.state == "watching"
    Run.objects.filter(pk=run.pk).update(status="aborted", next_tick_at=None, ended_at=now)
    seen = report(run).peak_watch
    assert seen.state == "unfinished"
    assert seen.says.startswith("The run ended before the peak was over.")


@pytest.mark.django_db
def test_both_moments_go_into_the_outbox_without_a_sentence(run):  # noqa: F811
    progress = progress_to_plain(new_progress(plan_from_plain(run.plan), timezone.now()))
    entry = Entry("peak_watch_over", "How it went.", "How it went.", "", {"early": False, "probes_failed": 0})
    project(run, Decision(progress=progress, journal=(entry,)), {})
    (event,) = Event.objects.filter(type="run.peak_watch_over")
    assert event.data == {"plan": str(run.plan_ref), "early": False, "probes_failed": 0}
    project(run, Decision(progress=progress), {})
    assert Event.objects.filter(type__startswith="run.peak").count() == 1


def test_an_approval_that_falls_leaves_a_watch_as_it_is():
    """Nothing is taken out any more: to stop looking would make nobody safer."""
    desk = through()
    desk.approval_stands = False
    desk.look(10.0)
    assert desk.status is RunStatus.RUNNING
    assert is_watching(desk.progress)
    desk.until(lambda: desk.status is RunStatus.COMPLETED, most=3000, after_s=10.0)
    assert "approval_gone" not in desk.kinds()
