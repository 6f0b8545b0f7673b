"""What is kept of a run that lasts for days is bounded, and what is said of it stays true."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import Max, Min
from django.utils import timezone

from portal.runs.models import JournalEntry, Run, RunSample
from scaledown import tasks
from scaledown.report import report
from scaledown.thinning import looks_of, thin_samples
from tests.scaledown.rows import desk
from tests.scaledown.test_services import started

pytestmark = pytest.mark.django_db
LOOK_S = 10
WHOLE = 3600 // LOOK_S


@pytest.fixture
def run():
    run = started(desk())
    now = timezone.now()
    Run.objects.filter(pk=run.pk).update(created_at=now - timedelta(days=8))
    run.refresh_from_db()
    return run


def look_for(run, series, days, detail="'{}'", value="10 + n %% 7", every_s=LOOK_S):
    """Let a series have a look every few seconds up to now; `n` counts them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO runs_runsample (run_id, series, at, value, detail)"
            f" SELECT %s, %s, now() - make_interval(secs => n * %s), {value}, ({detail})::jsonb"
            " FROM generate_series(0, %s) AS n",
            [run.pk, series, every_s, int(days * 86400 / every_s) - 1],
        )


def probes(run, days, **options):
    ok = "'{\"ok\": true}'"
    look_for(run, "probe:home", days, detail=options.pop("detail", ok), **options)


def kept(run, series):
    return RunSample.objects.filter(run=run, series=series)


def test_a_week_of_looks_is_bounded_whatever_it_saw(run):
    look_for(run, "probe:home", 7.0)
    before = kept(run, "probe:home").count()
    went = tasks.thin_samples(timezone.now())
    rows = list(kept(run, "probe:home"))
    assert len(rows) == before - went
    assert len(rows) <= WHOLE + 2 * 5 * 60 + 2 * 7 * 288 + 4
    assert sum(looks_of(row.detail) for row in rows) == 7 * 86400 // LOOK_S
    assert thin_samples(timezone.now()) < 20  # the clock went on by a moment; nothing more to do


def test_the_last_hour_and_highest_and_lowest_points_stay(run):
    # One look in the middle of the night is the peak, and one has a server less.
    night = 3 * 86400 // LOOK_S
    look_for(run, "load:node", 4.0, value=f"CASE WHEN n = {night} THEN 99 ELSE n %% 5 END")
    look_for(run, "serving:71", 4.0, value=f"CASE WHEN n = {night} THEN 2 ELSE 3 END")
    thin_samples(timezone.now())
    young = kept(run, "load:node").filter(at__gte=timezone.now() - timedelta(minutes=59))
    assert young.count() >= WHOLE - 10
    assert kept(run, "load:node").aggregate(most=Max("value"))["most"] == 99
    assert kept(run, "serving:71").aggregate(least=Min("value"))["least"] == 2


def test_the_report_says_the_same_of_the_checks_before_and_after(run):
    bad = "n BETWEEN 20000 AND 20100 AND n % 3 = 0".replace("%", "%%")
    probes(run, 4.0, detail=f"jsonb_build_object('ok', NOT ({bad}))")
    before = report(run, for_customer=False)
    thin_samples(timezone.now())
    after = report(run, for_customer=False)
    was, now = before.probes[0], after.probes[0]
    assert (now.looks, now.failed, now.unknown) == (was.looks, was.failed, was.unknown)
    assert now.slowest_ms == was.slowest_ms
    assert now.median_ms == pytest.approx(was.median_ms, abs=1.0)
    assert after.requests_failed == before.requests_failed
    assert before.requests_failed.answer == "seen"


def test_what_was_within_a_minute_of_a_failure_still_is(run):
    bad = "(n / 30) % 9 = 0".replace("%", "%%")
    probes(run, 2.0, detail=f"jsonb_build_object('ok', NOT ({bad}))")
    look_for(run, "load:node", 2.0, every_s=15)
    minute = timedelta(seconds=60)

    def near(rows, failed):
        times = sorted(failed)
        return {at for at in rows if any(abs(at - one) <= minute for one in times)}

    failed = list(kept(run, "probe:home").filter(detail__ok=False).values_list("at", flat=True))
    thin_samples(timezone.now())
    left = list(kept(run, "load:node").order_by("at").values_list("at", flat=True)[:600])
    still = list(kept(run, "probe:home").filter(detail__ok=False).values_list("at", flat=True))
    assert near(left, still) == near(left, failed)
    assert len(still) < 0.6 * len(failed)


def test_the_way_of_a_server_out_of_the_pool_is_kept_whole(run):
    began = timezone.now() - timedelta(days=2)
    seq = run.journal.aggregate(most=Max("seq"))["most"]
    for number, (kind, after_s) in enumerate([("server_draining", 0), ("server_held", 300)], start=1):
        JournalEntry.objects.create(
            run=run,
            seq=seq + number,
            at=began + timedelta(seconds=after_s),
            kind=kind,
            subject="srv-06",
            says=".",
        )
    look_for(run, "connections:srv-06", 3.0)
    thin_samples(timezone.now())
    inside = kept(run, "connections:srv-06").filter(at__gte=began, at__lte=began + timedelta(seconds=300))
    assert inside.count() == 30
    around = kept(run, "connections:srv-06").filter(
        at__gte=began - timedelta(hours=1), at__lt=began - timedelta(seconds=1)
    )
    assert 12 <= around.count() <= 26


def test_a_gap_stays_a_gap(run):
    look_for(run, "load:node", 1.0, value="CASE WHEN n BETWEEN 4000 AND 4010 THEN NULL ELSE 5 END")
    thin_samples(timezone.now())
    assert kept(run, "load:node").filter(value=None).exists()


def test_step_by_step_comes_to_the_same_as_once(run):
    look_for(run, "probe:home", 2.0, detail="'{\"ok\": true}'")
    now = timezone.now()
    for hours in range(36, -1, -6):
        thin_samples(now - timedelta(hours=hours))
    rows = kept(run, "probe:home")
    assert sum(looks_of(row.detail) for row in rows) == 2 * 86400 // LOOK_S
    assert rows.count() <= WHOLE + 2 * 5 * 60 + 2 * 2 * 288 + 4


def test_a_run_that_ended_long_ago_is_left_alone(run):
    look_for(run, "load:node", 1.0)
    ended = timezone.now() - timedelta(days=3)
    Run.objects.filter(pk=run.pk).update(status="completed", ended_at=ended, next_tick_at=None)
    assert thin_samples(timezone.now()) == 0
