"""Vital figures in the peak watch: judged every five minutes at the new size, with growth that other days had at this hour."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import pytest
from django.test import Client
from django.utils import timezone

from portal.access import permissions_on
from portal.runs.models import Run
from portal.runs.types import HaltRank, RunStatus
from scaledown import driver
from scaledown.canonical import plan_from_plain
from scaledown.live import live_run
from scaledown.peak import VITAL_EVERY_S, is_watching
from scaledown.progress import (
    VitalWay,
    WatchWay,
    new_progress,
    progress_from_plain,
    progress_to_plain,
    with_server,
)
from scaledown.report import report
from scaledown.types import Phase, VitalSeen
from scaledown.vital import (
    alpha_of_watch,
    compare_in_watch,
    expected_in_watch,
    is_fallen,
    stretch_of_watch,
)
from tests.scaledown.machine_cases import START, Desk, a_plan
from tests.scaledown.rows import desk as rows_desk
from tests.scaledown.test_api import Caller
from tests.scaledown.test_services import started
from tests.scaledown.test_vital import PLAN, VITAL, orders_of, seen, write

A_DAY = 288
"""Judgements of a watch of a day."""


def found(*figures, traffic=None, judgements=A_DAY):
    (one,) = compare_in_watch(PLAN, figures, traffic, judgements)
    return one


# --- the comparison ---------------------------------------------------------------------------------------------


def test_as_before_is_no_fall_and_half_gone_for_half_an_hour_is():
    assert not found(seen(many=30)).is_worse
    assert found(seen(many=30, times=0.5)).is_worse


def test_what_breaks_down_at_once_shows_in_the_newest_samples():
    good, gone = seen(many=20).now, (0.0,) * 10
    one = found(replace(seen(), now=good + gone))
    assert one.is_worse
    assert one.median == 0.0
    assert not found(replace(seen(), now=gone + good)).is_worse, "it came back"


def test_a_few_samples_that_are_low_are_not_sure():
    assert not found(replace(seen(), now=(0.0, 0.0))).is_worse


def test_at_the_peak_as_much_is_asked_for_as_both_other_days_had():
    peak = ((60.0, 180.0), (60.0, 240.0))
    assert expected_in_watch(seen(earlier=peak), None) == 3.0
    assert found(seen(times=1.0, many=30, earlier=peak)).is_worse
    assert not found(seen(times=3.0, many=30, earlier=peak)).is_worse
    assert not found(seen(times=1.0, many=30, earlier=peak[:1])).is_worse, "one day alone asks for no growth"
    assert not found(seen(times=1.0, many=30)).is_worse


def test_a_night_is_no_fall():
    night = ((60.0, 6.0), (60.0, 7.0))
    assert not found(seen(times=0.1, many=30, earlier=night)).is_worse
    assert not found(seen(times=0.1, many=30), traffic=0.1).is_worse
    assert found(seen(times=0.01, many=30, earlier=night)).is_worse


def test_an_account_without_samples_is_told_of_and_never_fallen():
    one = found()
    assert one.is_missing
    assert not one.is_worse


def a_day_of(seed, falls_at=None, mean=20.0):
    """Orders by the minute over a day with its night, and those of a day and a week earlier; from the peak minute on
    `falls_at` none come any more."""

    def rate(minute):
        return mean * (1.0 - 0.8 * math.cos(math.tau * minute / 1440.0))

    random = Random(seed)

    def course(factor):
        return [
            float(max(0, round(random.gauss(rate(m) * factor, math.sqrt(rate(m) * factor)))))
            for m in range(1500)
        ]

    now, day, week = course(1.0), course(random.uniform(0.85, 1.15)), course(random.uniform(0.85, 1.15))
    if falls_at is not None:
        now[falls_at:] = [0.0] * (1500 - falls_at)
    return now, day, week


def middle(values):
    return sorted(values)[len(values) // 2]


def judged(courses, minute):
    """Whether the half hour before this minute is found to lie surely below the first hour."""
    now, day, week = courses
    stretch = slice(max(60, minute - 30), minute)
    earlier = tuple((middle(one[:60]), middle(one[stretch])) for one in (day, week))
    figure = VitalSeen("m-1", tuple(now[:60]), tuple(now[stretch]), None, earlier)
    alpha, expected = alpha_of_watch(PLAN, A_DAY), expected_in_watch(figure, None)
    return is_fallen(PLAN, stretch_of_watch(PLAN, figure, None, A_DAY), expected, alpha)


def test_watches_of_a_day_with_its_night_halt_fewer_than_one_in_a_hundred():
    false = 0
    for seed in range(20):
        courses = a_day_of(seed)
        false += any(judged(courses, minute) for minute in range(65, 1500, 5))
    assert false == 0


@pytest.mark.parametrize("falls_at", [300, 720, 1100])
def test_a_figure_that_is_gone_is_found_within_half_an_hour_and_mostly_in_twelve_minutes(falls_at):
    took = []
    for seed in range(20):
        courses = a_day_of(seed, falls_at)
        took.append(next(m for m in range(falls_at, falls_at + 60) if judged(courses, m)) - falls_at)
    assert middle(took) <= 12
    assert max(took) <= 30


# --- the machine ------------------------------------------------------------------------------------------------


class Watched(Desk):
    """A desk whose vital figure is `figure`, read when it is due."""

    figure: VitalSeen | None = None

    def observation(self):
        look, watch = super().observation(), self.progress.watch
        if watch is None or watch.ended_at is not None:
            return replace(look, vital=() if self.figure is None else (self.figure,))
        is_due = watch.vital_at is None or self.now - watch.vital_at >= timedelta(seconds=VITAL_EVERY_S)
        return replace(look, vital_watch=(() if self.figure is None else (self.figure,)) if is_due else None)


def through(figure, **changes) -> Watched:
    desk = Watched(a_plan(watch_until=START + timedelta(hours=6), **{**VITAL, **changes}))
    desk.figure = seen(many=30)
    desk.until(lambda: is_watching(desk.progress), most=400)
    desk.figure = figure
    return desk


def test_a_figure_that_fell_halts_the_watch_and_a_person_may_let_it_go_on():
    desk = through(seen(many=30, times=0.2))
    desk.until(lambda: desk.status is RunStatus.HALTED, most=60, after_s=10.0)
    assert (desk.halt.code, desk.halt.rank) == ("traffic_not_keeping_up", HaltRank.SITE_IN_DANGER)
    assert "orders is at" in desk.halt.says
    assert "30% less is allowed" in desk.halt.says
    assert "orders is lower than it should be" in desk.halt.customer_says
    assert "Traffic is rising" not in desk.halt.says
    desk.look(10.0)
    assert "resume" not in desk.progress.cannot
    assert desk.command("resume").accepted
    assert desk.status is RunStatus.RUNNING
    since = desk.progress.watch.vital_since
    assert since is not None
    assert since > desk.progress.watch.fallen_at
    desk.figure = seen(many=30)
    desk.until(lambda: desk.status is RunStatus.COMPLETED, most=3000, after_s=10.0)
    (said,) = [entry for entry in desk.journal if entry.kind == "peak_watch_over"]
    assert "orders was at most" in said.says
    assert said.detail["vital_fallen_most"] > 0.7
    assert progress_from_plain(progress_to_plain(desk.progress)) == desk.progress


def test_one_that_goes_on_falling_halts_again_and_not_in_the_same_breath():
    desk = through(seen(many=30, times=0.2))
    desk.until(lambda: desk.status is RunStatus.HALTED, most=60, after_s=10.0)
    assert desk.command("resume").accepted
    desk.look(10.0)
    assert desk.status is RunStatus.RUNNING
    desk.until(lambda: desk.status is RunStatus.HALTED, most=60, after_s=10.0)


def test_servers_held_through_the_peak_come_back_when_a_figure_falls():
    end = START + timedelta(hours=6)
    desk = Watched(a_plan(watch_until=end, hold_through=end, floor=2, **VITAL))
    desk.figure = seen(many=30)
    desk.until(lambda: all(desk.phase(number) is Phase.HELD for number in (6, 5)), most=400)
    desk.look(10.0)
    desk.figure = seen(many=30, times=0.2)
    desk.until(lambda: desk.status is RunStatus.HALTED, most=60, after_s=10.0)
    assert desk.halt.code == "traffic_not_keeping_up"
    assert "Put back by itself: web-05, web-06" in desk.halt.says
    assert "putting back web-05, web-06" in desk.halt.customer_says
    desk.until(lambda: all(desk.phase(number) is Phase.RESTORED for number in (6, 5)), most=40)
    assert "delete_server" not in desk.names


def test_also_where_the_run_is_paused():
    end = START + timedelta(hours=6)
    desk = Watched(a_plan(watch_until=end, hold_through=end, floor=2, **VITAL))
    desk.figure = seen(many=30)
    desk.until(lambda: all(desk.phase(number) is Phase.HELD for number in (6, 5)), most=400)
    assert desk.command("pause", when="now").accepted
    desk.figure = seen(many=30, times=0.2)
    desk.until(lambda: desk.status is RunStatus.HALTED, most=100, after_s=10.0)
    desk.until(lambda: desk.phase(6) is Phase.RESTORED, most=40)


def test_missing_samples_halt_no_watch_and_are_said_to_be_missing():
    desk = Watched(a_plan(watch_until=START + timedelta(hours=6), **VITAL))
    desk.figure = seen(many=30)
    desk.until(lambda: desk.phase(5) is Phase.DELETING, most=400)
    desk.figure = None
    desk.progress = replace(desk.progress, watch=None)
    desk.until(lambda: desk.status is RunStatus.COMPLETED, most=3000, after_s=10.0)
    assert desk.progress.watch.vital[0].judged == 0
    (said,) = [entry for entry in desk.journal if entry.kind == "peak_watch_over"]
    assert "Too few samples of orders came to tell." in said.says
    assert "Too few samples of orders came to tell." in said.customer_says
    assert said.detail["vital_fallen_most"] is None


def test_a_watch_that_goes_well_says_so_of_each_figure():
    desk = through(seen(many=30, times=1.5))
    desk.until(lambda: desk.status is RunStatus.COMPLETED, most=3000, after_s=10.0)
    (said,) = [entry for entry in desk.journal if entry.kind == "peak_watch_over"]
    assert "orders was" in said.says
    assert desk.progress.watch.vital[0].judged >= 60
    assert desk.progress.watch.fallen_at is None


def test_what_an_older_release_kept_of_a_watch_is_read():
    now = START
    plain = progress_to_plain(replace(new_progress(a_plan(**VITAL), now), watch=WatchWay(now, now, 1)))
    for name in ("vital", "vital_at", "vital_since", "fallen_at", "fallen_says", "fallen_customer_says"):
        del plain["watch"][name]
    assert progress_from_plain(plain).watch == WatchWay(now, now, 1)


# --- rows and pages ---------------------------------------------------------------------------------------------


@pytest.fixture
def here(db):
    return rows_desk()


def with_watch(run, watch):
    progress = new_progress(plan_from_plain(run.plan), timezone.now())
    out = replace(progress.servers[0], phase=Phase.RETIRED, left_at=watch.since, retired_at=watch.since)
    progress = replace(with_server(progress, out), watch=watch, started_at=watch.since - timedelta(minutes=9))
    run.progress = progress_to_plain(progress)
    Run.objects.filter(pk=run.pk).update(progress=run.progress)


def test_samples_are_read_for_an_open_watch_every_five_minutes(here, django_assert_num_queries):
    metric = orders_of(here.account)
    run = started(here, vital=None, no_vital_reason="")
    now = timezone.now()
    write(metric, now - timedelta(minutes=50), 9.0)
    write(metric, now - timedelta(minutes=1), 5.0)
    watch = WatchWay(now - timedelta(hours=2), now + timedelta(hours=1), 1)
    with_watch(run, watch)
    (figure,) = driver.facts(run)["vital_watch"]
    assert (figure.metric_ref, figure.now) == (str(metric.ref), (5.0,))
    assert "vital" not in driver.facts(run)
    with_watch(run, replace(watch, vital_at=now - timedelta(seconds=VITAL_EVERY_S - 60)))
    assert "vital_watch" not in driver.facts(run)
    with_watch(run, replace(watch, vital_at=now - timedelta(seconds=VITAL_EVERY_S + 1), vital_since=now))
    assert driver.facts(run)["vital_watch"] == ()
    with_watch(run, replace(watch, ended_at=now))
    assert "vital_watch" not in driver.facts(run)


def judged_watch(now: datetime) -> WatchWay:
    way = VitalWay(
        "orders", found(seen(many=30, times=0.9)).numbers(), 12, 11, 0.21, now - timedelta(minutes=40)
    )
    return WatchWay(
        now - timedelta(hours=2), now, 1, open_since=now, ended_at=now, vital=(way,), vital_at=now
    )


def test_page_api_and_report_show_them_to_both_readers(here):
    orders_of(here.account)
    run = started(here, vital=None, no_vital_reason="")
    now = timezone.now()
    with_watch(run, judged_watch(now))
    shown = report(run).peak_watch
    assert (shown.vital[0].name, shown.vital[0].judged, shown.vital[0].fallen_most) == ("orders", 11, 0.21)
    assert "orders was at most 21% lower than to be expected" in shown.says
    live = live_run(run, granted=permissions_on(here.manager, here.account))
    assert live.peak_watch == shown
    told = Caller(here.manager).get(f"/runs/{run.ref}/report")["peak_watch"]["vital"]
    assert told[0]["numbers"]["looks"] == 30
    assert (told[0]["looked"], told[0]["allowed"]) == (12, 0.3)
    for user in (here.manager, here.approver):
        client = Client()
        client.force_login(user)
        page = client.get(f"/scaledown/runs/{run.ref}/report/").content.decode()
        assert "Vital figures at the peak" in page
        assert "orders was at most 21% lower" in page
        assert "orders was at most 21% lower" in client.get(f"/scaledown/runs/{run.ref}/").content.decode()


def test_a_figure_of_which_more_is_asked_for_says_what_other_days_had():
    from scaledown.figures import figures_of

    one = found(seen(times=3.0, many=30, earlier=((60.0, 180.0), (60.0, 240.0))))
    (row,) = figures_of({"vital": [one.numbers()]}, for_customer=False)
    assert row.allowed == "30 % lower than 3 times that, as on other days at these hours"
