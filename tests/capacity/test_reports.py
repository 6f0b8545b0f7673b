"""Growth reports: what is made of a year, kept once, told once; events that people name; pools, prices and what they need."""

from __future__ import annotations

import csv
import io
import itertools
import json
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from urllib.parse import unquote_plus
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from django.db import connection, connections, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.facts import Grade
from accounts.models import Account
from capacity.baselines.models import PoolLimit
from capacity.baselines.services import enter_limit
from capacity.benchmarks import services as benchmarks
from capacity.benchmarks.models import Benchmark
from capacity.markers import services as markers
from capacity.markers.models import Marker
from capacity.metrics.models import Metric
from capacity.metrics.store import Samples, write
from capacity.models import Ceiling, Objective, TrafficEvent
from capacity.reference import Site, reference_for
from capacity.reports import detected, making, notices, packing, selectors, services, short, sized, wording
from capacity.reports.models import DetectedEvent, GrowthPicture, GrowthReport, ServerPrice, SizedPool
from capacity.reports.trying import flavors_of, try_out
from capacity.services import enter_known, size_anew
from capacity.sizing import Lasts, Runway, WhatIf
from portal.audit.models import AuditEntry
from portal.cloud.types import Condition, NodeStatus, NodeType
from portal.errors import Refused, StaleState, TryLater
from portal.events.models import Event
from portal.notify import compose
from portal.notify.models import Message
from tests import factories as make
from tests.capacity.made_up import traffic, with_event
from tests.capacity.test_series_pages import text_of
from tests.runs.test_store_pg import in_thread, until_waiting
from tests.scaledown.test_api import Caller

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
DAYS = 70
EVENT_AT = (DAYS - 20) * 24
# A made-up week's busiest hour is about so many times its level.
LEVEL = 200.0


def hours(*, growth: float = 4.0, multiple: float = 5.0) -> np.ndarray:
    found = traffic(3, hours=DAYS * 24, percent_a_month=growth, level=LEVEL)
    return with_event(found, EVENT_AT, 30, multiple) if multiple else found


def metric(account: Account | None = None, *, name: str = "requests_per_s", **fields) -> Metric:
    values = {"source": "test", "unit": "requests/s", "kind": "throughput", "is_vital": True, **fields}
    return Metric.objects.create(account=account or make.account(), name=name, **values)


def fill(one: Metric, values: np.ndarray, ends: datetime) -> Metric:
    begins = ends.replace(minute=0, second=0, microsecond=0) - timedelta(hours=len(values))
    at = (begins.timestamp() + 3600 * np.arange(len(values))) * 1e6
    write(one.account_id, Samples(np.full(len(values), one.pk, dtype=np.int64), at.astype(np.int64), values))
    one.refresh_from_db()
    return one


@pytest.fixture
def known(db) -> Metric:
    """A metric with ten weeks of traffic up to now, an event in it, and a launch manager."""
    account = make.account()
    make.launch_manager(account.team)
    return fill(metric(account), hours(), timezone.now())


def sized_pool(one: Metric, **fields) -> SizedPool:
    values = {"servers": 6, "flavor": "general1-4", "seen_at": timezone.now(), **fields}
    row = make.connection(one.account)
    make.ceiling(row, rps=120.0)
    return SizedPool.objects.create(
        account=one.account, connection=row, balancer_id="71", name="web", metric=one, **values
    )


# --- what is made, pure ------------------------------------------------------------------------------------------


def test_growth_event_peak_and_test_of_the_forecast_are_told_apart():
    made = making.make(hours(), NOW - timedelta(days=DAYS))
    mid, low, high = made.growth
    assert low < 0.04 < high
    assert 0.02 < mid < 0.06
    (event,) = made.events
    assert abs(event.begin - EVENT_AT) <= 3
    assert 3.5 < event.multiple < 6
    usual = hours(multiple=0)[-168:].max()
    assert made.peak[0] == pytest.approx(usual, rel=0.15), "the event is no part of the usual peak"
    assert made.peak[1] < made.peak[0] < made.peak[2]
    assert made.next_peak[0] >= made.peak[0]
    assert made.tested["mase"] < 1.5 * made.tested["naive_mase"]
    assert made.ends == NOW
    # The band holds what is usual and not the event.
    inside = (hours() >= made.low) & (hours() <= made.high)
    assert inside.mean() > 0.8
    assert not inside[event.peak_at]


def test_growth_is_told_from_four_weeks_on():
    made = making.make(hours(multiple=0)[: 20 * 24], NOW)
    assert made.growth is None
    assert any("four weeks" in note for note in made.notes)


def test_a_series_of_hours_is_refused_with_a_sentence():
    with pytest.raises(ValueError, match="There are 30 hours with samples"):
        making.make(hours()[:30], NOW)


def test_what_is_packed_is_the_same_to_six_digits():
    columns = [np.linspace(0, 1e6, 100), np.full(100, 1 / 3)]
    found = packing.unpacked(packing.packed(columns), packing.BAND)
    assert np.allclose(found["low"], columns[0], rtol=1e-6)
    assert np.allclose(found["high"], columns[1], rtol=1e-6)


ENDS = Runway(
    Lasts.ENDS,
    datetime(2027, 5, 14, tzinfo=UTC),
    datetime(2027, 4, 2, tzinfo=UTC),
    datetime(2027, 7, 20, tzinfo=UTC),
)
PEAK = wording.Peak(datetime(2026, 11, 12, 19, tzinfo=UTC), 6.3)


@pytest.mark.parametrize(
    ("growth", "peaks", "servers", "runway", "says"),
    [
        (
            (0.041, 0.028, 0.056),
            [PEAK],
            4,
            ENDS,
            "Organic +4.1 % a month (2.8 to 5.6); the 12 November peak was 6.3 times normal and is not growth; "
            "at this rate 4 servers last until about mid-May (April to July).",
        ),
        (None, [], None, None, "Organic growth is not known yet."),
        (
            (-0.012, -0.02, 0.001),
            [replace(PEAK, at=datetime(2025, 3, 2, tzinfo=UTC)), replace(PEAK, name="Autumn launch")],
            1,
            Runway(Lasts.LONG),
            "Organic −1.2 % a month (−2.0 to +0.1); the 12 November peak (Autumn launch) was 6.3 times normal and is "
            "not growth; 1 more event left out likewise; at this rate 1 server lasts for five years and more.",
        ),
        (
            (0.041, 0.028, 0.056),
            [],
            4,
            Runway(Lasts.OVER, NOW, NOW),
            "Organic +4.1 % a month (2.8 to 5.6); 4 servers leave less free at the usual peak than should be already.",
        ),
        (
            (0.041, 0.028, 0.056),
            [],
            5,
            Runway(Lasts.OVER, NOW, NOW, peak_rps=167.2, carried_rps=125.0),
            "Organic +4.1 % a month (2.8 to 5.6); the usual peak of 167 requests a second is already more than the 125 "
            "that 5 servers carry.",
        ),
        (
            (0.041, 0.028, 0.056),
            [],
            5,
            Runway(Lasts.OVER, NOW, NOW, limit_rps=150.2, peak_rps=150.4, carried_rps=150.2),
            "Organic +4.1 % a month (2.8 to 5.6); the usual peak of 150.4 requests a second is already more than the "
            "pool’s own limit (150.2 requests a second), and more servers do not raise it.",
        ),
        (
            (0.01, 0.0, 0.02),
            [],
            2,
            replace(ENDS, at=datetime(2028, 2, 25, tzinfo=UTC), latest=None),
            "Organic +1.0 % a month (0.0 to +2.0); at this rate 2 servers last until about late February 2028 "
            "(April at the earliest).",
        ),
        ((0.041, 0.028, 0.056), [], 4, Runway(Lasts.UNKNOWN), "Organic +4.1 % a month (2.8 to 5.6)."),
        (
            None,
            [wording.Peak(PEAK.at, 1e97)],
            None,
            None,
            "Organic growth is not known yet; the 12 November peak was 1\u202f×\u202f10⁹⁷ times normal and is not growth.",
        ),
    ],
)
def test_a_report_is_one_sentence(growth, peaks, servers, runway, says):
    assert wording.sentence(growth, peaks, servers, runway, NOW) == says


def test_an_event_of_several_stretches_is_told_once_by_its_highest():
    def stretch(day, multiple, name="", month=11, year=2026):
        return wording.Peak(datetime(year, month, day, 16, tzinfo=UTC), multiple, name)

    peaks = [
        stretch(12, 2.0, "Spring sale", 5),
        stretch(13, 1.9, "Spring sale", 5),
        stretch(25, 1.4, "Autumn launch"),
        stretch(25, 1.6, "Autumn launch"),
        stretch(26, 1.2, "Autumn launch"),
    ]
    said = "the 25 November peak (Autumn launch) was 1.6 times normal and is not growth"
    assert f"; {said}; 1 more event left out likewise." in wording.sentence(None, peaks, None, None, NOW)
    assert wording.sentence(None, peaks[2:], None, None, NOW).endswith(f"; {said}.")
    unnamed = [stretch(2, 1.5), stretch(3, 1.7)]
    assert "1 more event left out" in wording.sentence(None, unnamed, None, None, NOW), (
        "who knows that they are one?"
    )
    yearly = [stretch(25, 3.0, "Christmas", 12, 2025), stretch(20, 2.5, "Christmas")]
    assert "2.5 times normal and is not growth; 1 more event" in wording.sentence(
        None, yearly, None, None, NOW
    )


# --- kept and told once ------------------------------------------------------------------------------------------


def test_what_is_vital_has_its_report_made_by_the_worker_and_made_again_nothing_changes(known):
    now = timezone.now()
    assert services.make_due(now) == 1
    report = GrowthReport.objects.get(metric=known)
    assert (report.state, report.days > 60, report.begun_at) == ("made", True, None)
    assert report.growth_low < 0.04 < report.growth_high
    assert GrowthPicture.objects.filter(report=report).exists()
    row = DetectedEvent.objects.get(metric=known)
    assert row.state == "proposed"
    assert row.lead_in_s > 0
    assert row.half_life_s > 0
    assert Event.objects.filter(type="event.detected").count() == 1
    assert services.make_due(now) == 0, "it is made once a night"
    services.ask(known, actor=None)
    assert services.make_due(timezone.now()) == 1
    again = GrowthReport.objects.get(metric=known)
    assert (again.growth, again.peak, again.tested) == (report.growth, report.peak, report.tested)
    assert DetectedEvent.objects.get(metric=known).pk == row.pk
    assert Event.objects.filter(type="event.detected").count() == 1


def test_a_report_that_is_asked_for_while_reports_are_made_is_made_once(known, monkeypatch):
    other = fill(metric(known.account, name="orders_per_min"), hours(), timezone.now())
    made = []

    def asked_meanwhile(report, now, make_it=services.make_report):
        if not made:
            services.ask(other, actor=None)
        made.append(report.metric_id)
        return make_it(report, now)

    monkeypatch.setattr(services, "make_report", asked_meanwhile)
    assert services.make_due(timezone.now(), budget_s=5.0) == 2
    assert made == [known.pk, other.pk]


def test_a_report_that_another_worker_made_meanwhile_is_not_made_again(known, monkeypatch):
    now = timezone.now()
    services.begin_missing(now)
    queryset, update = type(GrowthReport.objects.all()), type(GrowthReport.objects.all()).update

    def made_before(rows, **fields):
        monkeypatch.setattr(queryset, "update", update)
        GrowthReport.objects.update(made_at=now, begun_at=None)
        return update(rows, **fields)

    monkeypatch.setattr(queryset, "update", made_before)
    assert services.make_due(now) == 0


def test_what_was_worked_out_later_is_not_overwritten_by_what_began_before(known):
    pool = sized_pool(known)
    services.make_due(timezone.now())
    rows = selectors.pools().filter(pk=pool.pk)
    later = timezone.now() + timedelta(seconds=30)
    Ceiling.objects.create(
        account=known.account,
        connection=pool.connection,
        balancer_id=pool.balancer_id,
        requests_per_s=1.0,
        source="measured",
        at=later,
    )
    short.judge_pools(rows, later)
    pool.refresh_from_db()
    needed, judged_at = pool.needed_now, pool.judged_at
    short.judge_pools(rows, timezone.now())
    pool.refresh_from_db()
    assert (pool.needed_now, pool.judged_at) == (needed, judged_at)
    assert needed > 50


@pytest.mark.django_db(transaction=True)
def test_who_waits_for_the_name_that_somebody_else_gives_makes_no_second_event():
    account = make.account()
    manager = make.launch_manager(account.team)
    begins = timezone.now() - timedelta(days=2)
    row = DetectedEvent.objects.create(
        account=account,
        metric=metric(account),
        starts_at=begins,
        ends_at=begins + timedelta(hours=9),
        peak_at=begins + timedelta(hours=3),
        peak=500.0,
        expected=100.0,
        multiple=5.0,
        score=9.0,
        is_over=True,
        lead_in_s=10_800,
        found_at=timezone.now(),
    )
    with transaction.atomic():
        detected.name_detected(row, name="Spring sale", actor=manager)
        thread, box = in_thread(detected.name_detected, row, name="Another", actor=manager)
        until_waiting(thread)
    thread.join(10)
    assert box["error"].code == "named_already"
    assert list(TrafficEvent.objects.values_list("name", flat=True)) == ["Spring sale"]


def test_a_report_is_due_once_a_night():
    assert services.night_before(NOW) == NOW.replace(hour=2)
    assert services.night_before(NOW.replace(hour=1)) == NOW.replace(hour=2) - timedelta(days=1)


@pytest.mark.django_db
def test_a_series_that_says_nothing_yet_says_so_and_the_others_go_on():
    account = make.account()
    one = fill(metric(account, name="young"), np.ones(20), timezone.now())
    other = fill(metric(account, name="old"), hours(), timezone.now())
    assert services.make_due(timezone.now()) == 2
    assert GrowthReport.objects.get(metric=one).state == "too_short"
    assert "There are 20 hours" in GrowthReport.objects.get(metric=one).says
    assert GrowthReport.objects.get(metric=other).state == "made"


def test_a_report_that_somebody_makes_is_not_made_twice(known):
    now = timezone.now()
    services.begin_missing(now)
    GrowthReport.objects.update(begun_at=now)
    assert services.make_due(now) == 0
    GrowthReport.objects.update(begun_at=now - timedelta(minutes=11))
    assert services.make_due(now) == 1


def test_an_event_of_today_is_told_to_launch_managers_and_an_old_one_is_not(known):
    services.make_due(timezone.now())
    assert not Message.objects.filter(purpose="event_detected").exists(), "it was twenty days ago"
    fresh = with_event(hours(multiple=0), len(hours()) - 48, 30, 5.0)
    other = fill(metric(known.account, name="logins_per_min"), fresh, timezone.now())
    third = fill(metric(known.account, name="orders_per_min"), fresh, timezone.now())
    services.make_due(timezone.now())
    assert DetectedEvent.objects.filter(metric__in=[other, third]).count() == 2
    assert Message.objects.filter(purpose="event_detected").count() == 1, "once, however many metrics show it"


def test_what_was_planned_for_the_stretch_is_what_it_was(known):
    at = timezone.now() - timedelta(days=20)
    event = TrafficEvent.objects.create(
        account=known.account, name="Launch", starts_at=at - timedelta(days=1), ends_at=at + timedelta(days=2)
    )
    services.make_due(timezone.now())
    row = DetectedEvent.objects.get(metric=known)
    assert (row.state, row.event) == ("named", event)
    assert "(Launch)" in selectors.sentence_of(known.growth_report, timezone.now())


def test_a_name_makes_a_traffic_event_of_all_metrics_that_showed_it(known):
    other = fill(metric(known.account, name="orders_per_min", unit="orders/min"), hours(), timezone.now())
    services.make_due(timezone.now())
    manager = make.member(known.account, "editor")
    row = DetectedEvent.objects.get(metric=known)
    detected.name_detected(row, name=" Spring  sale ", actor=manager)
    event = TrafficEvent.objects.get(name="Spring sale")
    assert (event.observed_peak_rps, event.entered_by) == (row.peak, manager)
    assert set(DetectedEvent.objects.values_list("state", "event")) == {("named", event.pk)}
    assert DetectedEvent.objects.filter(metric=other, event=event).exists()
    services.ask(known, actor=None)
    services.make_due(timezone.now())
    row.refresh_from_db()
    assert (row.state, row.event) == ("named", event), "another analysis decides nothing"
    with pytest.raises(Refused, match="on record"):
        detected.dismiss_detected(row, reason="", actor=manager)


def test_what_is_dismissed_stays_dismissed_and_is_no_peak(known):
    services.make_due(timezone.now())
    row = DetectedEvent.objects.get(metric=known)
    detected.dismiss_detected(row, reason="a crawler", actor=make.member(known.account, "editor"))
    services.ask(known, actor=None)
    services.make_due(timezone.now())
    row.refresh_from_db()
    assert (row.state, row.reason) == ("dismissed", "a crawler")
    assert "peak" not in selectors.sentence_of(GrowthReport.objects.get(metric=known), timezone.now())


def also_orders(known):
    """Return what was detected in `known`, and the same stretch of another metric."""
    other = fill(metric(known.account, name="orders_per_min", unit="orders/min"), hours(), timezone.now())
    services.make_due(timezone.now())
    return DetectedEvent.objects.get(metric=known), DetectedEvent.objects.get(metric=other)


def test_only_what_is_ticked_is_dismissed_with_a_stretch(known):
    """A crawler asks for pages and places no order."""
    row, order = also_orders(known)
    browser, url = browser_of(known.account), f"/capacity/events/{row.ref}/"
    html = browser.get(url).content.decode()
    assert f'value="{order.ref}"' in html
    assert "checked" not in html
    assert f"at the same time: {order}" in html
    assert browser.post(url, {"dismiss": "1", "reason": "a crawler"}).status_code == 302
    order.refresh_from_db()
    assert (order.state, order.reason) == ("proposed", "")
    DetectedEvent.objects.update(state="proposed", reason="")
    assert (
        browser.post(url, {"dismiss": "1", "reason": "a test", "also": [str(order.ref)]}).status_code == 302
    )
    assert set(DetectedEvent.objects.values_list("state", "reason")) == {("dismissed", "a test")}


def test_programs_name_what_is_dismissed_with_a_stretch(known):
    row, order = also_orders(known)
    api = Caller(make.member(known.account, "editor"))
    path = f"/detected-events/{row.ref}/dismiss"
    refused = api.post(path, {"also": [str(order.ref), str(row.ref)]}, status=422)
    assert refused["type"].endswith("not-alike")
    assert set(DetectedEvent.objects.values_list("state", flat=True)) == {"proposed"}
    api.post(path, {"reason": "a test", "also": [str(order.ref)]})
    assert set(DetectedEvent.objects.values_list("state", "reason")) == {("dismissed", "a test")}
    DetectedEvent.objects.filter(pk=row.pk).update(state="proposed", reason="")
    api.post(path, {"reason": "a crawler"})
    order.refresh_from_db()
    assert order.reason == "a test"


def test_what_is_decided_is_in_the_kept_sentence_of_the_pool_at_once(known):
    pool = sized_pool(known, servers=6)
    services.make_due(timezone.now())
    pool.refresh_from_db()
    assert "times normal" in pool.sentence
    row = DetectedEvent.objects.get(metric=known)
    detected.dismiss_detected(row, reason="a crawler", actor=make.member(known.account, "editor"))
    pool.refresh_from_db()
    assert "times normal" not in pool.sentence


def test_a_fall_is_no_traffic_event_and_is_dismissed_with_what_happened(known):
    services.make_due(timezone.now())
    DetectedEvent.objects.update(score=-9.0, peak=0.0, multiple=0.0)
    row = DetectedEvent.objects.get(metric=known)
    api = Caller(make.member(known.account, "editor"))
    refused = api.post(f"/detected-events/{row.ref}/name", {"name": "Outage"}, status=422)
    assert refused["type"].endswith("no-rise")
    assert not TrafficEvent.objects.exists()
    html = browser_of(known.account).get(f"/capacity/events/{row.ref}/").content.decode()
    assert "A fall is no traffic event" in html
    assert "Name it" not in html
    assert "What happened" in html
    api.post(f"/detected-events/{row.ref}/dismiss", {"reason": "an outage"})
    row.refresh_from_db()
    assert (row.state, row.reason) == ("dismissed", "an outage")


def test_what_is_no_longer_seen_is_withdrawn(known):
    services.make_due(timezone.now())
    fill(known, hours(multiple=0), timezone.now())
    services.ask(known, actor=None)
    services.make_due(timezone.now())
    assert DetectedEvent.objects.get(metric=known).state == "withdrawn"
    assert not selectors.detected().exists()


def test_the_picture_has_a_band_and_a_forecast_where_the_series_ends(known):
    services.make_due(timezone.now())
    ends = timezone.now()
    found = selectors.backdrop_of(known.pk, 3600, ends - timedelta(days=14), ends, known.last_at)
    assert 14 * 24 - 2 <= len(found.band["at"]) <= 14 * 24
    assert found.cone["at"][0] >= found.band["at"][-1]
    for lower, upper in (
        ("lower95", "lower50"),
        ("lower50", "point"),
        ("point", "upper80"),
        ("upper80", "upper95"),
    ):
        assert all(low <= high for low, high in zip(found.cone[lower], found.cone[upper], strict=True))
    past = selectors.backdrop_of(
        known.pk, 3600, ends - timedelta(days=30), ends - timedelta(days=20), known.last_at
    )
    assert past.cone is None
    daily = selectors.backdrop_of(known.pk, 86400, ends - timedelta(days=366), ends, known.last_at)
    assert DAYS - 2 <= len(daily.band["at"]) <= DAYS
    assert all(at % 86400 == 0 for at in daily.cone["at"])


# --- pools and prices --------------------------------------------------------------------------------------------


def test_a_pool_is_held_against_its_ceiling_and_its_report(known):
    pool = sized_pool(known)
    services.make_due(timezone.now())
    found = selectors.sized(selectors.pools().get(pk=pool.pk), timezone.now())
    assert found.ceiling.requests_per_s == 120
    assert found.sizing.needed_now == int(np.ceil(found.sizing.peak_now_rps / 96 * (1 - 1e-9)))
    assert found.sizing.lasts.state in (Lasts.ENDS, Lasts.LONG, Lasts.OVER)
    assert "servers" in found.sentence
    pool.refresh_from_db()
    assert pool.lasts == found.sizing.lasts.state.value, "worked out with the report, for lists"
    make.forecast_peak(pool.connection, rps=5000)
    assert selectors.sized(pool, timezone.now()).sizing.peak_next_rps == 5000, "the higher one counts"


def test_what_the_pool_carries_however_many_servers_it_has_ends_it(known):
    pool = sized_pool(known)
    services.make_due(timezone.now())
    lead = make.launch_manager(known.account.team)
    enter_limit(pool.connection, "71", kind="database", requests_per_s=5000.0, source="old", actor=lead)
    peak = selectors.sized(selectors.pools().get(pk=pool.pk), timezone.now()).sizing.peak_now_rps
    limit = round(peak * 1.1)
    enter_limit(
        pool.connection, "71", kind="database", requests_per_s=float(limit), source="its owner", actor=lead
    )
    found = selectors.sized(selectors.pools().get(pk=pool.pk), timezone.now())
    assert found.sizing.lasts.state is Lasts.OVER
    assert (
        f"the pool’s own limit ({limit} requests a second) leaves less free at the usual peak than it should already"
        in found.sentence
    )
    browser = browser_of(known.account)
    page = browser.get(f"/capacity/pools/{pool.ref}/").content.decode()
    assert "The pool’s own limit is too little" in page
    assert "database: its owner" in page
    answer = browser.get(
        f"/capacity/pools/{pool.ref}/what-if/", {"multiple": "5", "part": "answer"}
    ).content.decode()
    assert f"free it does not fit under the pool’s own limit of {limit} req/s." in answer
    api = Caller(lead)
    sizing = api.get(f"/sized-pools/{pool.ref}")["sizing"]
    assert (sizing["limit_rps"], sizing["is_over_limit"], sizing["lasts"]["limit_rps"]) == (
        float(limit),
        True,
        float(limit),
    )


def test_a_ceiling_of_larger_servers_sizes_none_of_smaller_ones(known):
    pool = sized_pool(known)
    services.make_due(timezone.now())
    make.ceiling(pool.connection, rps=360.0, flavor="general1-16", at=timezone.now())
    assert selectors.sized(selectors.pools().get(pk=pool.pk), timezone.now()).ceiling.requests_per_s == 120
    Ceiling.objects.exclude(flavor="general1-16").delete()
    found = selectors.sized(selectors.pools().get(pk=pool.pk), timezone.now())
    assert (found.ceiling, found.sizing.surplus, found.sizing.lasts.state) == (None, None, Lasts.UNKNOWN)
    page = browser_of(known.account).get(f"/capacity/pools/{pool.ref}/").content.decode()
    assert "unknown for general1-4" in page


def test_a_plan_that_takes_out_what_an_event_needs_says_so(known):
    pool = sized_pool(known, servers=12)
    services.make_due(timezone.now())
    lead, soon = make.launch_manager(known.account.team), timezone.now() + timedelta(days=3)
    make.event(
        known.account,
        name="Winter sale",
        starts_at=soon,
        ends_at=soon + timedelta(days=1),
        expected_multiple=5.0,
    )
    api = Caller(lead)
    found = api.get(f"/sized-pools/{pool.ref}")
    assert found["sizing"]["surplus"] > 0
    needs = found["sizing"]["events"][0]["servers"]
    assert f"Not for Winter sale from {soon:%Y-%m-%d}, which needs {needs}." in unquote_plus(
        found["plan_url"]
    )
    page = browser_of(known.account).get(f"/capacity/pools/{pool.ref}/").content.decode()
    assert "What is taken out before has to be built again." in page


@pytest.mark.parametrize(
    ("days", "grade", "says"),
    [
        (-1, Grade.RED, "the planned event that is on"),
        (11, Grade.RED, "the planned event of"),
        (40, Grade.AMBER, "the planned event of"),
        (120, None, ""),
    ],
)
def test_servers_that_are_missing_for_a_planned_event_are_told_where_pools_stand(known, days, grade, says):
    pool = sized_pool(known, servers=12)
    begins = timezone.now() + timedelta(days=days)
    services.make_due(timezone.now())
    make.event(
        known.account,
        starts_at=begins,
        ends_at=begins + timedelta(days=3),
        expected_multiple=8.0,
        name="Sale",
    )
    short.judge_all(timezone.now())
    row = Caller(make.launch_manager(known.account.team)).get(f"/sized-pools/{pool.ref}")
    (need,) = row["sizing"]["events"]
    assert (row["pool"]["missing_planned"], need["more"]) == (need["more"], need["servers"] - 12)
    told = short.gather_runways(Account.objects.filter(pk=known.account.pk), timezone.now())
    found = short.judge_runways(told[known.account.pk], timezone.now())
    if grade is None:
        assert "planned event" not in found.says
        return
    assert (found.grade, says in found.says) == (grade, True)
    assert found.says.endswith(f"needs {need['more']} more.")
    address = f"/accounts/{known.account.ref}/growth/"
    assert (
        "Servers are missing for a planned event" in browser_of(known.account).get(address).content.decode()
    )
    # Of several pools the one that misses most is told, and how many others do.
    one = told[known.account.pk][0]
    most = replace(one, name="api", missing_planned=(one.missing_planned or 0) + 5)
    several = short.judge_runways([one, most], timezone.now())
    assert several.says.startswith("api has ")
    assert several.says.endswith("So has 1 other pool too few for one.")
    # A later one that needs more still is told beside it.
    later = begins + timedelta(days=20)
    more = make.event(
        known.account, starts_at=later, ends_at=later + timedelta(days=1), expected_multiple=20.0, name="More"
    )
    short.judge_all(timezone.now())
    pool.refresh_from_db()
    assert (pool.missing_planned, pool.missing_most_at) == (need["more"], more.starts_at)
    told = short.gather_runways(Account.objects.filter(pk=known.account.pk), timezone.now())
    found = short.judge_runways(told[known.account.pk], timezone.now())
    assert found.says.endswith(f"That of {later:%Y-%m-%d} needs {pool.missing_most} more.")
    page = browser_of(known.account).get(address).content.decode()
    assert f"needs {pool.missing_most} more. <a" in page
    more.delete()
    # By a lower bound of what one carries nobody knows whether they are.
    Ceiling.objects.update(is_least=True)
    short.judge_all(timezone.now())
    pool.refresh_from_db()
    assert (pool.missing_planned, pool.may_miss_planned) == (None, need["more"])
    told = short.gather_runways(Account.objects.filter(pk=known.account.pk), timezone.now())
    found = short.judge_runways(told[known.account.pk], timezone.now())
    assert (found.grade, says in found.says) == (Grade.AMBER, True)
    # One that no number of servers carries, months later, hides it not.
    PoolLimit.objects.create(
        account=known.account,
        connection=pool.connection,
        balancer_id="71",
        kind="database",
        requests_per_s=4_000.0,
        source="their test",
        at=timezone.now(),
    )
    late = timezone.now() + timedelta(days=100)
    make.event(
        known.account, starts_at=late, ends_at=late + timedelta(hours=2), expected_multiple=900.0, name="Late"
    )
    short.judge_all(timezone.now())
    was = pool.missing_planned_at
    pool.refresh_from_db()
    assert (pool.missing_planned, pool.may_miss_planned, pool.missing_planned_at) == (None, need["more"], was)
    assert f"may need up to {need['more']} more. Of what one server carries only a lower bound" in found.says
    page = browser_of(known.account).get(address).content.decode()
    assert f"may need up to {need['more']} more than there are" in page
    assert "Servers are missing" not in page


@pytest.mark.parametrize(
    ("expected", "seen", "listed"),
    [
        (5.0, 5.1, ["Sale week (on now)"]),
        (5.0, 5.0, ["Sale week (on now)"]),
        (None, 2.0, ["Sale week (on now)"]),
        # It is on its way to what was planned, or nobody knows how far it went.
        (5.0, 2.0, ["Sale week (on now)", "Sale week (as planned)"]),
        (5.0, None, ["Sale week (on now)", "Sale week (as planned)"]),
    ],
)
def test_a_planned_event_that_is_on_is_listed_once(known, expected, seen, listed):
    pool, now = sized_pool(known, servers=12), timezone.now()
    services.make_due(now)
    times = {"starts_at": now - timedelta(hours=5), "ends_at": now + timedelta(days=2)}
    event = make.event(known.account, name="Sale week", expected_multiple=expected, **times)
    make.event(known.account, name="Another", expected_multiple=1.5, **times)
    DetectedEvent.objects.create(
        account=known.account,
        metric=known,
        event=event,
        state="named",
        starts_at=times["starts_at"],
        ends_at=now,
        peak_at=now,
        peak=900.0,
        expected=180.0,
        multiple=seen,
        score=30.0,
        lead_in_s=0,
        is_over=False,
        found_at=now,
    )
    found = selectors.sized(selectors.pools().get(pk=pool.pk), now)
    names = [need.event.name for need in found.sizing.events]
    assert names[0] == listed[0]
    assert sorted(names) == sorted([*listed, "Another"])
    page = browser_of(known.account).get(f"/capacity/pools/{pool.ref}/").content.decode()
    assert page.count('<th scope="row">Sale week') == len(listed)


def test_what_the_address_of_what_if_leaves_out_stands_in_its_fields(known):
    pool = sized_pool(known, servers=6, headroom=0.25)
    services.make_due(timezone.now())
    browser, address = browser_of(known.account), f"/capacity/pools/{pool.ref}/what-if/"

    def fields(page):
        form = page.context["what_if"]
        return {name: str(form[name].value() or "") for name in ("growth", "multiple", "headroom", "servers")}

    opened = fields(browser.get(address))
    assert (opened["multiple"], opened["headroom"], opened["servers"]) == ("2.0", "25", "6")
    asked = browser.get(address, {"growth": "10", "multiple": "6"})
    assert fields(asked) == {**opened, "growth": "10", "multiple": "6"}
    assert 'value="25"' in asked.content.decode()
    # Without a multiple the answer has no event, and what somebody emptied stays empty.
    assert fields(browser.get(address, {"servers": "9", "growth": ""})) == {
        **opened,
        "growth": "",
        "multiple": "",
        "servers": "9",
    }
    wrong = browser.get(address, {"headroom": "95"})
    assert (wrong.status_code, fields(wrong)["headroom"]) == (422, "95")


def test_a_sale_that_is_on_asks_for_its_servers_until_it_is_over(db):
    account = make.account()
    lead = make.launch_manager(account.team)
    busy = hours(multiple=0)
    busy[-40:] *= 5.0
    one = fill(metric(account), busy, timezone.now())
    pool = sized_pool(one, servers=12)
    services.make_due(timezone.now())
    row = DetectedEvent.objects.get(metric=one)
    assert not row.is_over
    api = Caller(lead)
    found = api.get(f"/sized-pools/{pool.ref}")
    assert found["sizing"]["needed_now"] < 6
    assert found["sizing"]["surplus"] == found["pool"]["surplus"] == 0
    (event,) = found["sizing"]["events"]
    assert event["multiple"] == pytest.approx(5.0, rel=0.25)
    assert found["plan_url"] == "", "nothing goes out while more than usual comes in"
    page = browser_of(account).get(f"/capacity/pools/{pool.ref}/").content.decode()
    assert "take nothing out before it is over" in page
    assert ("Servers are missing while the peak is on" in page) is (event["servers"] > 12)
    # With fewer servers they are missing at this moment: everybody is told.
    SizedPool.objects.update(servers=5)
    short.judge_all(timezone.now())
    missing = event["servers"] - 5
    shown = api.get(f"/sized-pools/{pool.ref}")["pool"]
    assert (shown["missing_on"], shown["surplus"]) == (missing, 0)
    words = f"The peak that is on needs up to {event['servers']} servers, {missing} more than there are."
    # What nobody saw is told beside what was seen.
    assert event["seen_rps"] == row.peak < event["peak_rps"]
    height = (
        f"Its highest hour so far had {row.peak:,.0f} requests a second; at the busiest hour of a week it would be up to "
        f"{event['peak_rps']:,.0f}."
    )
    assert f"{words} {height}" in shown["sentence"]
    told = short.gather_runways(Account.objects.filter(pk=account.pk), timezone.now())[account.pk]
    found = short.judge_runways(told, timezone.now())
    assert (found.grade, found.says) == (
        Grade.RED,
        f"web has 5 servers, and the peak that is on needs up to {missing} more at the busiest hour of a week.",
    )
    for address in (f"/accounts/{account.ref}/growth/", f"/capacity/pools/{pool.ref}/"):
        page = browser_of(account).get(address).content.decode()
        assert "Servers are missing while the peak is on" in page
        assert height in page
    assert f"{missing} more than there are. {height}" in page
    assert "so far " in page[page.index("For planned events") :]
    sizing = api.get(f"/sized-pools/{pool.ref}/what-if")["sizing"]
    assert (sizing["surplus"], sizing["saving"]) == (0, None)
    tried = browser_of(account).get(f"/capacity/pools/{pool.ref}/what-if/").content.decode()
    assert f"{event['servers']} servers, {missing} more than there are" in tried
    # Where the pool's own limit is what is missing nobody is sent to build servers.
    limit = PoolLimit.objects.create(
        account=account,
        connection=pool.connection,
        balancer_id=pool.balancer_id,
        kind="database",
        requests_per_s=event["peak_rps"],
        source="measured",
        at=timezone.now(),
    )
    short.judge_all(timezone.now())
    assert api.get(f"/sized-pools/{pool.ref}")["pool"]["missing_limit_rps"] == pytest.approx(
        event["peak_rps"]
    )
    told = short.gather_runways(Account.objects.filter(pk=account.pk), timezone.now())[account.pk]
    found = short.judge_runways(told, timezone.now())
    assert found.grade == Grade.RED
    assert found.says.startswith("The peak that is on does not fit under the own limit of web, ")
    for address in (f"/accounts/{account.ref}/growth/", f"/capacity/pools/{pool.ref}/"):
        page = browser_of(account).get(address).content.decode()
        assert "more servers do not help, look for what sets it" in page
        assert "more than there are" not in page
    limit.delete()
    short.judge_all(timezone.now())
    # While nobody knows better it is on; of a series that ended nothing is known.
    assert list(DetectedEvent.objects.on_at(timezone.now() + timedelta(days=2)).filter(metric=one.pk)) != []
    later = timezone.now() + timedelta(days=4)
    assert list(DetectedEvent.objects.on_at(later).filter(metric=one.pk)) == []
    # That it is no event does not say that its traffic is gone: it alarms nobody, and nothing goes out before it is over.
    SizedPool.objects.update(servers=12)
    detected.dismiss_detected(row, reason="a crawler", actor=lead)
    found = api.get(f"/sized-pools/{pool.ref}")
    assert (found["pool"]["missing_on"], found["pool"]["surplus"], found["plan_url"]) == (None, 0, "")
    assert found["sizing"]["on"]["name"] == "What was dismissed and is still on (“a crawler”)"
    page = browser_of(account).get(f"/capacity/pools/{pool.ref}/").content.decode()
    assert "take nothing out before it is over" in page
    assert "Servers are missing" not in page
    told = short.gather_runways(Account.objects.filter(pk=account.pk), timezone.now())[account.pk]
    assert short.judge_runways(told, timezone.now()).grade == Grade.GREEN
    # What has no multiple counts by its own height.
    DetectedEvent.objects.update(multiple=None, expected=0.0, peak=5000.0)
    assert api.get(f"/sized-pools/{pool.ref}")["sizing"]["on"]["peak_rps"] == 5000.0
    page = browser_of(account).get(f"/capacity/pools/{pool.ref}/").content.decode()
    assert "its hour usually has nothing" in page
    DetectedEvent.objects.update(is_over=True)
    assert api.get(f"/sized-pools/{pool.ref}")["sizing"]["surplus"] > 0


def test_an_event_of_a_mistyped_size_is_refused_and_an_old_one_breaks_no_page(known):
    pool = sized_pool(known)
    services.make_due(timezone.now())
    lead, soon = make.launch_manager(known.account.team), timezone.now() + timedelta(days=3)
    api = Caller(lead)
    body = {"name": "Sale", "starts_at": soon.isoformat(), "ends_at": (soon + timedelta(days=1)).isoformat()}
    api.post(
        f"/accounts/{known.account.ref}/traffic-events", {**body, "expected_multiple": 1e308}, status=422
    )
    make.event(known.account, starts_at=soon, ends_at=soon + timedelta(days=1), expected_multiple=1e308)
    for address in ("", "/what-if"):
        assert api.get(f"/sized-pools/{pool.ref}{address}")
    assert browser_of(known.account).get(f"/capacity/pools/{pool.ref}/").status_code == 200
    assert short.judge_all(timezone.now()) == 0


def test_the_provider_says_how_many_servers_are_in_service(known):
    pool = sized_pool(known, servers=None, seen_at=None)
    nodes = [_node()] * 4
    nodes += [
        _node(condition=Condition.DRAINING),
        _node(status=NodeStatus.OFFLINE),
        _node(status=NodeStatus.UNKNOWN),
        # It serves only when all others fail.
        _node(type=NodeType.SECONDARY),
        _node(type=NodeType.SECONDARY, status=NodeStatus.OFFLINE),
    ]
    seen = _seen((node, "general1-8" if n else "general1-4") for n, node in enumerate(nodes))
    # A server with two nodes of which one answers is in service.
    members = seen.pools[0].members
    members.append(SimpleNamespace(node=_node(status=NodeStatus.OFFLINE), server=members[0].server))
    found = sized.note_look(pool, seen, timezone.now())
    assert (found.servers, found.flavor, found.not_answering) == (4, "general1-8", 2)
    page = browser_of(known.account).get(f"/capacity/pools/{pool.ref}/").content.decode()
    assert "2 more are enabled at the load balancer and do not answer it" in page
    api = Caller(make.launch_manager(known.account.team))
    assert api.get(f"/sized-pools/{pool.ref}")["pool"]["not_answering"] == 2
    with pytest.raises(Refused, match="no load balancer 71 any more"):
        sized.note_look(found, SimpleNamespace(pools=[]), timezone.now())
    wrong = SizedPool(account=known.account, connection=pool.connection, balancer_id="999", name="typo")
    with pytest.raises(Refused, match="no load balancer 999 to this connection"):
        sized.note_look(wrong, seen, timezone.now())


def test_the_file_of_a_series_has_its_band_and_its_forecast(known):
    services.make_due(timezone.now())
    asked = {"from": (known.last_at - timedelta(days=2)).isoformat(), "step": "hour"}
    answer = browser_of(known.account).get(f"/capacity/metrics/{known.ref}/series.csv", asked)
    rows = list(csv.DictReader(io.StringIO(text_of(answer))))
    measured, ahead = [one for one in rows if one["mean"]], [one for one in rows if one["forecast"]]
    assert len(measured) + len(ahead) == len(rows)
    assert all(float(one["usual_from"]) < float(one["usual_to"]) for one in measured[:-2])
    assert not any(one["forecast"] for one in measured)
    assert len(ahead) >= 12
    for one in ahead:
        bounds = [float(one[f"forecast_from_{sure}"]) for sure in (95, 80, 50)]
        bounds += [float(one["forecast"]), *(float(one[f"forecast_to_{sure}"]) for sure in (50, 80, 95))]
        assert bounds == sorted(bounds)
        assert one["at"] > measured[-1]["at"]


def _node(*, condition=Condition.ENABLED, status=NodeStatus.ONLINE, type=NodeType.PRIMARY):
    return SimpleNamespace(condition=condition, status=status, type=type)


def _seen(nodes, hosts=()):
    """Newest server first, as a rule each on a host that is not told."""
    members = []
    for number, ((node, flavor), host) in enumerate(itertools.zip_longest(nodes, hosts)):
        made = timezone.now() - timedelta(hours=number)
        one = SimpleNamespace(
            id=f"s{number}", name=f"web-{number}", flavor_id=flavor, created_at=made, host_id=host
        )
        members.append(SimpleNamespace(node=node, server=one))
    return SimpleNamespace(pools=[SimpleNamespace(balancer=SimpleNamespace(id="71"), members=members)])


def _look(pool, *flavors, hosts=()):
    return sized.note_look(pool, _seen([(_node(), flavor) for flavor in flavors], hosts), timezone.now())


def test_servers_that_must_stay_should_a_host_fail_are_not_offered(db):
    """By load alone some are more than needed; a plan would keep them, so no page says otherwise."""
    account, now = make.account(), timezone.now()
    pool = sized_pool(
        fill(metric(account), hours(growth=0.0, multiple=0), now), servers=None, flavor="", seen_at=None
    )
    services.make_due(now)
    lead = make.launch_manager(account.team)

    def found(*hosts):
        _look(pool, *["large"] * len(hosts), hosts=hosts)
        told = Caller(lead).get(f"/sized-pools/{pool.ref}")
        shown = browser_of(account).get(f"/capacity/pools/{pool.ref}/").content.decode()
        assert ("by load alone" in shown) is (told["sizing"]["kept_for_host"] > 0)
        return told["sizing"]["surplus"], told["sizing"]["kept_for_host"], SizedPool.objects.get().hosts

    alone = found(*"abcdef")
    assert alone[1:] == (0, [0, 1, 2, 3, 4, 5])
    assert alone[0] > 0
    assert found(*"aaaaaa") == (0, alone[0], [0] * 6)
    assert found(*[None] * 6) == alone


def test_of_servers_of_several_sizes_the_one_that_carries_the_least_counts(db):
    """Three that carry 120 and two that carry 20 are no five of 120: nobody takes one out."""
    account, now = make.account(), timezone.now()
    pool = sized_pool(
        fill(metric(account), hours(growth=0.0, multiple=0), now), servers=None, flavor="", seen_at=None
    )
    Ceiling.objects.update(flavor="Large")
    services.make_due(now)
    lead, page = make.launch_manager(account.team), f"/capacity/pools/{pool.ref}/"

    def found():
        told = Caller(lead).get(f"/sized-pools/{pool.ref}")
        return told["pool"]["flavor"], told["sizing"]["carries_rps"], told["sizing"]["surplus"]

    _look(pool, *["large"] * 3, *["small"] * 2)
    # Of one size nobody knows what a server carries: nothing is said of the pool.
    assert found() == ("small", None, None)
    assert Caller(lead).get(f"/sized-pools/{pool.ref}")["pool"]["sizes"] == {"large": 3, "small": 2}
    shown = browser_of(account).get(page).content.decode()
    assert "Servers of several sizes are in it" in shown
    assert "of these nobody knows what one carries" in shown
    # What is known of it counts at once, without another look.
    make.ceiling(pool.connection, rps=20.0, flavor="small")
    short.judge_account(account)
    assert found() == ("small", 20.0, 0)
    assert "of these one carries the least" in browser_of(account).get(page).content.decode()
    make.ceiling(pool.connection, rps=500.0, flavor="small")
    short.judge_account(account)
    assert found()[:2] == ("large", 120.0)
    assert _look(pool, *["large"] * 3).sizes == {"large": 3}
    assert "several sizes" not in browser_of(account).get(page).content.decode()


def test_of_servers_whose_size_the_provider_does_not_tell_nothing_is_known(db):
    """One of a known size and four that are not told are no five of the known one."""
    account, now = make.account(), timezone.now()
    pool = sized_pool(
        fill(metric(account), hours(growth=0.0, multiple=0), now), servers=None, flavor="", seen_at=None
    )
    Ceiling.objects.update(flavor="large")
    services.make_due(now)

    def found(*flavors):
        seen = _look(pool, *flavors)
        told = selectors.sized(seen, timezone.now()).sizing
        return seen.sizes, seen.flavor, told.pool.carries_rps, told.surplus

    assert found("large", *[None] * 4) == ({"large": 1, "unknown size": 4}, "unknown size", None, None)
    shown = browser_of(account).get(f"/capacity/pools/{pool.ref}/").content.decode()
    assert "sized as if all were of unknown size: of these nobody knows what one carries" in shown
    assert found(*[None] * 5)[1:] == ("unknown size", None, None)
    assert found(*["large"] * 5)[1:3] == ("large", 120.0)
    # What is said of no size is said of each; the one that carries the least counts.
    make.ceiling(pool.connection, rps=90.0, at=now - timedelta(days=1))
    assert found("large", *[None] * 4)[1:3] == ("unknown size", 90.0)


def test_pools_that_cannot_be_seen_do_not_stand_before_the_others(known, monkeypatch):
    """Of one connection whose provider is away, and of load balancers that are none: never seen, so first each hour."""
    pool = sized_pool(known, seen_at=timezone.now() - timedelta(days=2), servers=3)
    away = make.connection(known.account, name="away")
    for number in range(30):
        for row in (away, pool.connection):
            SizedPool.objects.create(
                account=known.account, connection=row, balancer_id=f"9{number}", name=f"{row.pk} {number}"
            )
    there = SimpleNamespace(balancer=SimpleNamespace(id="71"), members=[])
    asked = []

    def discover(connection):
        asked.append(connection.pk)
        if connection.pk == away.pk:
            raise TryLater("The provider is away.", after_s=60)
        return SimpleNamespace(pools=[there])

    monkeypatch.setattr(sized, "discover_pools", discover)
    for _ in range(20):
        if sized.look_at_stale(timezone.now()):
            break
        assert len(asked) <= 2, "once for all pools of a connection"
        asked.clear()
    pool.refresh_from_db()
    assert (pool.servers, timezone.now() - pool.seen_at < timedelta(minutes=5)) == (0, True)


def test_a_fault_with_one_pool_keeps_no_other_from_being_looked_at(known, monkeypatch):
    pool = sized_pool(known, seen_at=timezone.now() - timedelta(days=2), servers=3)
    bad = SizedPool.objects.create(
        account=known.account, connection=pool.connection, balancer_id="72", name="odd"
    )
    there = [SimpleNamespace(balancer=SimpleNamespace(id="72"), members=[SimpleNamespace()])]
    there.append(SimpleNamespace(balancer=SimpleNamespace(id="71"), members=[]))
    monkeypatch.setattr(sized, "discover_pools", lambda connection: SimpleNamespace(pools=there))
    assert sized.look_at_stale(timezone.now()) == 1
    pool.refresh_from_db()
    bad.refresh_from_db()
    assert (pool.servers, bad.seen_at) == (0, None)


def test_a_fault_with_one_connection_keeps_no_other_pool_from_being_looked_at(known, monkeypatch):
    pool = sized_pool(known, seen_at=timezone.now() - timedelta(days=2), servers=3)
    odd = make.connection(known.account, name="odd")
    SizedPool.objects.create(account=known.account, connection=odd, balancer_id="71", name="odd")
    there = SimpleNamespace(pools=[SimpleNamespace(balancer=SimpleNamespace(id="71"), members=[])])

    def discover(connection):
        if connection.pk == odd.pk:
            raise KeyError("a bug of ours")
        return there

    monkeypatch.setattr(sized, "discover_pools", discover)
    for _ in range(3):
        # In no order: the odd one stands first as often as last.
        sized.look_at_stale(timezone.now())
    pool.refresh_from_db()
    assert (pool.servers, SizedPool.objects.get(connection=odd).seen_at) == (0, None)


def test_a_pool_that_a_run_changed_is_looked_at_at_once_and_once(known, monkeypatch):
    pool = sized_pool(known, servers=5)
    seen = []

    def discover(connection):
        seen.append(timezone.now())
        return SimpleNamespace(pools=[SimpleNamespace(balancer=SimpleNamespace(id="71"), members=[])])

    monkeypatch.setattr(sized, "discover_pools", discover)
    SizedPool.objects.update(seen_at=timezone.now())
    assert sized.look_at_stale(timezone.now()) == 0
    sized.note_changed(known.account.pk, str(pool.connection.ref), ["72"], timezone.now())
    assert sized.look_at_stale(timezone.now()) == 0
    sized.note_changed(known.account.pk, str(pool.connection.ref), ["71", "72"], timezone.now())
    assert sized.look_at_stale(timezone.now(), only_changed=True) == 1
    pool.refresh_from_db()
    assert (pool.servers, pool.seen_at <= seen[-1]) == (0, True), "what changes while it is read is newer"
    assert sized.look_at_stale(timezone.now(), only_changed=True) == 0
    # One that was put back answers the load balancer only later: the next hour looks once more.
    assert sized.look_at_stale(timezone.now()) == 1
    SizedPool.objects.update(changed_at=timezone.now() - timedelta(minutes=11))
    assert sized.look_at_stale(timezone.now()) == 0


def test_many_small_events_hide_no_launch(known):
    now = timezone.now()
    for days in range(1, 41):
        at = now + timedelta(days=days)
        make.event(known.account, starts_at=at, ends_at=at + timedelta(hours=2), expected_multiple=1.1)
    at = now + timedelta(days=60)
    make.event(
        known.account, name="Launch", starts_at=at, ends_at=at + timedelta(days=1), expected_multiple=9.0
    )
    for days in range(1, 41):
        at = now + timedelta(days=days)
        make.event(known.account, starts_at=at, ends_at=at + timedelta(hours=2), expected_multiple=None)
    pool = sized_pool(known)
    services.make_due(timezone.now())
    sizing = selectors.sized(selectors.pools().get(pk=pool.pk), timezone.now()).sizing
    assert (len(sizing.events), len(sizing.listed)) == (81, 20)
    assert [one.event.name for one in sizing.listed][-1] == "Launch"
    assert sizing.listed[:10] == sizing.events[:10]
    assert [one.event.starts_at for one in sizing.listed] == sorted(
        one.event.starts_at for one in sizing.listed
    )
    assert sizing.missing_planned.event.name == "Launch"
    shown = browser_of(known.account).get(f"/capacity/pools/{pool.ref}/").content.decode()
    assert "81 are planned. Here stand the next ones" in shown


def test_many_high_events_in_months_hide_neither_the_next_one_nor_the_one_that_is_on(known):
    pool, now = sized_pool(known), timezone.now()
    services.make_due(now)
    for name, days, multiple in (("On", 0, 6.0), ("Next", 3, 6.0)):
        at = now + timedelta(days=days) - timedelta(hours=1)
        make.event(
            known.account,
            name=name,
            starts_at=at,
            ends_at=at + timedelta(hours=5),
            expected_multiple=multiple,
        )
    for days in range(90, 130):
        at = now + timedelta(days=days)
        make.event(known.account, starts_at=at, ends_at=at + timedelta(hours=2), expected_multiple=7.0)
    sizing = selectors.sized(selectors.pools().get(pk=pool.pk), now).sizing
    assert (sizing.surplus, sizing.on.event.name, sizing.missing_planned.event.name) == (0, "On", "On")
    TrafficEvent.objects.filter(name="On").update(ends_at=now)
    sizing = selectors.sized(selectors.pools().get(pk=pool.pk), now).sizing
    assert sizing.missing_planned.event.name == "Next"


def test_a_pool_is_sized_by_what_is_done_in_a_time_and_by_nothing_else(known):
    row = make.connection(known.account)
    latency = metric(known.account, name="latency_p95_ms", kind="latency")
    with pytest.raises(Refused, match="is something else"):
        sized.size_pool(known.account, row, "71", actor=None, metric=latency)
    for unit in ("requests/min", "orders/min"):
        with pytest.raises(Refused, match="requests a second"):
            sized.size_pool(
                known.account, row, "71", actor=None, metric=metric(known.account, name=unit, unit=unit)
            )
    with pytest.raises(Refused, match="another account"):
        sized.size_pool(known.account, row, "71", actor=None, metric=metric())
    pool = sized.size_pool(known.account, row, "71", actor=None, metric=known)
    assert pool.name == "load balancer 71"
    sized.change_pool(pool, actor=None, name="web")
    with pytest.raises(StaleState, match="sized already, as “web”"):
        sized.size_pool(known.account, row, "71", actor=None, metric=known)
    api = Caller(make.member(known.account, "editor"))
    again = {"connection": str(row.ref), "balancer_id": "71", "metric": str(known.ref)}
    refused = api.post(f"/accounts/{known.account.ref}/sized-pools", again, status=409)
    assert refused["type"].endswith("sized-already")
    assert "“web”" in refused["detail"]


def test_a_pool_that_was_sized_by_another_unit_needs_what_is_not_known(known):
    pool = sized_pool(known)
    services.make_due(timezone.now())
    assert selectors.sized(selectors.pools().get(pk=pool.pk), timezone.now()).forecast_peak
    Metric.objects.filter(pk=known.pk).update(unit="requests/min")
    found = selectors.sized(selectors.pools().get(pk=pool.pk), timezone.now())
    assert (found.sizing.needed_now, found.sizing.surplus, found.sizing.lasts.state) == (
        None,
        None,
        Lasts.UNKNOWN,
    )
    assert found.forecast_peak is None, "plans read no forecast in another unit either"


def _benchmark(pool, title, *steps, servers=1, flavor="general1-8", **fields):
    """A run in which so many requests came at each step, and that share of them failed."""
    now = timezone.now()
    result = {
        "steps": [
            {
                "users": 10 * n,
                "offset_s": 120 * n,
                "length_s": 120,
                "requests": 120 * rate,
                "failures": round(120 * rate * failed),
                "requests_per_s": rate,
            }
            for n, (rate, failed) in enumerate(steps, 1)
        ]
    }
    values = {"mix": "all", "ran_at": now, "taken_in_at": now, "tool": "locust", "format": "locust-history"}
    values |= {"taken_in_by": make.user(), "size_bytes": 1, "sha256": f"{Benchmark.objects.count():064}"}
    return Benchmark.objects.create(
        **{
            "account": pool.account,
            "connection": pool.connection,
            "balancer_id": pool.balancer_id,
            "title": title,
            "node_count": servers,
            "flavor": flavor,
            "result": result,
            "requests_per_s": steps[-1][0],
            **values,
            **fields,
        }
    )


def test_a_server_of_another_size_carries_what_it_carried_within_what_is_promised(known):
    pool, now = sized_pool(known), timezone.now()
    services.make_due(now)
    pool = selectors.pools().get(pk=pool.pk)

    def tried(flavor="general1-8"):
        found = try_out(pool, WhatIf(flavor=flavor), timezone.now())
        return found.sizing.pool.carries_rps, found.sizing.pool.is_least, found.carries_from.partition(":")[0]

    unknown = (None, False, "not known")
    _benchmark(pool, "Held", (100, 0.0), (200, 0.0), (300, 0.0), ran_at=now - timedelta(days=3))
    assert tried() == unknown, "nothing is promised"
    Objective.objects.create(
        account=pool.account,
        connection=pool.connection,
        balancer_id="71",
        error_ratio=0.001,
        source="the contract",
        at=now,
    )
    by = "within what is promised, by a benchmark of this size"
    assert tried() == (300.0, True, by)
    _benchmark(pool, "Void", (100, 0.0), (200, 0.0), (900, 0.0), was_aborted=True)
    _benchmark(pool, "Other pool", (100, 0.0), (200, 0.0), (900, 0.0), balancer_id="72")
    _benchmark(pool, "Quick", (900, 0.0))
    assert tried() == (300.0, True, by)
    _benchmark(pool, "Pushed", (100, 0.0), (300, 0.0), (1200, 0.004), ran_at=now - timedelta(days=2))
    assert tried() == (300.0, False, by), "where it fails is no bound"
    _benchmark(pool, "Slow", (100, 0.04), (200, 0.04), (300, 0.04), ran_at=now - timedelta(days=1))
    assert tried() == unknown, "it carried nothing within it"
    # With the mix that counts it carried less than a newer one from the cache; where there is no other, that is named.
    make.ceiling(pool.connection, rps=120.0, flavor=pool.flavor, mix="shop", at=timezone.now())
    _benchmark(pool, "Shop", (40, 0.0), (50, 0.04), flavor="general1-2", servers=1, mix="shop")
    _benchmark(pool, "Cache", (400, 0.0), (900, 0.04), flavor="general1-2", servers=1, mix="cached")
    _benchmark(pool, "Cache", (400, 0.0), (900, 0.04), flavor="general1-3", servers=1, mix="cached")
    assert tried("general1-2") == (40.0, False, by)
    assert tried("general1-3") == (400.0, False, by)
    told = [
        try_out(pool, WhatIf(flavor=one), timezone.now()).carries_from for one in ("general1-2", "general1-3")
    ]
    assert ["another mix of requests (cached)" in one for one in told] == [False, True]
    _benchmark(pool, "Quick", (500, 0.0), (700, 0.01), flavor="general1-30", servers=2)
    assert tried("general1-30") == (250.0, False, by)
    # What counts for that size is what it carries, not what else was measured.
    make.ceiling(pool.connection, rps=60.0, flavor="General1-8")
    assert tried() == (60.0, False, "in force for this size")
    Ceiling.objects.filter(requests_per_s=60.0).update(is_least=True)
    assert tried() == (60.0, True, "in force for this size")
    assert {one for one, _ in flavors_of(pool)} == {"general1-2", "general1-3", "general1-8", "general1-30"}


def test_what_if_answers_with_few_queries(known):
    """How long it takes is measured by `make bench ARGS=samples`."""
    pool = sized_pool(known)
    ServerPrice.objects.create(
        account=known.account, flavor="general1-8", an_hour=Decimal("0.72"), currency="EUR", at=timezone.now()
    )
    services.make_due(timezone.now())
    pool = selectors.pools().get(pk=pool.pk)
    tried = WhatIf(growth=0.1, multiple=3.0, headroom=0.3, flavor="general1-8")
    with CaptureQueriesContext(connection) as asked:
        answer = try_out(pool, tried, timezone.now())
    assert len(asked) <= 19
    assert answer.carries_from == "not known: type what one carries"
    assert answer.needed is None
    typed = try_out(pool, replace(tried, carries_rps=240.0), timezone.now())
    assert typed.needed >= 2
    assert typed.needed_cost.currency == "EUR"
    assert typed.sizing.events[0].servers > typed.needed


def test_a_price_is_replaced_and_taken_away(known):
    editor = make.member(known.account, "editor")
    sized.set_price(known.account, flavor="general1-4", an_hour=Decimal("0.4"), currency="eur", actor=editor)
    row = sized.set_price(
        known.account, flavor="general1-4", an_hour=Decimal("0.36"), currency="EUR", actor=editor
    )
    assert selectors.prices_of(known.account)["general1-4"].an_hour == Decimal("0.36")
    with pytest.raises(Refused, match="three letters"):
        sized.set_price(known.account, flavor="other", an_hour=Decimal(1), currency="EURO"[:2], actor=editor)
    sized.remove_price(row, actor=editor)
    assert selectors.prices_of(known.account) == {}


@pytest.mark.django_db(transaction=True)
def test_first_prices_of_a_size_at_the_same_moment_replace_one_another():
    account = make.account()
    editor = make.member(account, "editor")
    begun, refused = threading.Barrier(4), []

    def say(cents):
        try:
            begun.wait()
            sized.set_price(
                account, flavor="general1-4", an_hour=Decimal(cents) / 100, currency="EUR", actor=editor
            )
        except Refused as trouble:
            refused.append(trouble)
        finally:
            connections.close_all()

    each = [threading.Thread(target=say, args=[cents]) for cents in (31, 32, 33, 34)]
    for one in each:
        one.start()
    for one in each:
        one.join()
    assert refused == []
    assert ServerPrice.objects.count() == 1
    assert AuditEntry.objects.filter(what="price.set").count() == 4


# --- the fact and the notice -------------------------------------------------------------------------------------


def pool_known(
    state: Lasts, days: float | None = None, limit: float | None = None, **fields
) -> short.PoolKnown:
    at = None if days is None else NOW + timedelta(days=days)
    return short.PoolKnown(
        **{"name": "web", "servers": 4, "lasts": Runway(state, at, at, at, limit), "judged_at": NOW, **fields}
    )


@pytest.mark.parametrize(
    ("known", "grade", "says"),
    [
        (None, Grade.UNKNOWN, "could not be read"),
        ([], Grade.UNKNOWN, "No pool is sized"),
        ([pool_known(Lasts.UNKNOWN)], Grade.UNKNOWN, "is not known"),
        ([pool_known(Lasts.ENDS, 200)], Grade.GREEN, "mid-June"),
        ([pool_known(Lasts.LONG)], Grade.GREEN, "five years"),
        ([pool_known(Lasts.ENDS, 89)], Grade.AMBER, "4 servers of web last until"),
        ([pool_known(Lasts.ENDS, 29)], Grade.RED, "4 servers of web last until"),
        ([pool_known(Lasts.OVER, 0)], Grade.RED, "more than the 4 servers"),
        ([pool_known(Lasts.OVER, 0, limit=170.0)], Grade.RED, "below its own limit of 170 requests a second"),
        ([pool_known(Lasts.ENDS, 89, limit=1200.0)], Grade.AMBER, "web meets its own limit of 1,200"),
        ([pool_known(Lasts.LONG), pool_known(Lasts.ENDS, 20, name="api")], Grade.RED, "of api"),
        ([pool_known(Lasts.LONG), pool_known(Lasts.UNKNOWN, name="api")], Grade.UNKNOWN, "of api"),
        ([pool_known(Lasts.LONG, judged_at=NOW - timedelta(days=4))], Grade.UNKNOWN, "is not known"),
    ],
)
def test_servers_that_will_not_last_stand_on_the_scorecard_and_unknown_is_never_green(known, grade, says):
    found = short.judge_runways(known, NOW)
    assert found.grade is grade
    assert says in found.says
    if known and known[0].lasts.limit_rps is not None:
        assert "servers of web" not in found.says
        assert "More servers do not raise it" in found.says


def test_many_accounts_cost_two_queries(known):
    sized_pool(known)
    make.account()
    with CaptureQueriesContext(connection) as asked:
        found = short.gather_runways(Account.objects.all(), timezone.now())
    assert len(asked) == 2
    assert len(found[known.account_id]) == 1


def test_launch_managers_are_told_once_a_month_that_servers_will_not_last(known):
    sized_pool(known, servers=2)
    services.make_due(timezone.now())
    short.judge_all(timezone.now())
    short.judge_all(timezone.now())
    told = Message.objects.filter(purpose="runway_short")
    assert told.count() == 1


def test_a_pool_that_is_renamed_and_sized_anew_is_told_of_once(known):
    pool = sized_pool(known, servers=2)
    services.make_due(timezone.now())
    SizedPool.objects.filter(pk=pool.pk).delete()
    values = {"servers": 2, "flavor": "general1-4", "seen_at": timezone.now(), "name": "front"}
    SizedPool.objects.create(
        account=known.account, connection=pool.connection, balancer_id="71", metric=known, **values
    )
    short.judge_all(timezone.now())
    told = Message.objects.filter(purpose="runway_short").exclude(mail_state="withdrawn")
    assert json.loads(told.get().context)["pool"] == "front", "the mail that waited has an old name and link"


@pytest.mark.parametrize(
    ("runway", "servers", "subject", "says"),
    [
        (Runway(Lasts.ENDS, NOW + timedelta(days=40)), 6, "will not last", "the 6 servers of web"),
        (
            Runway(Lasts.OVER, NOW),
            6,
            "leave too little free already",
            "6 servers of web (Shop) leave less free",
        ),
        (Runway(Lasts.OVER, NOW), 1, "leave too little free already", "the one server of web (Shop) leaves"),
        (
            Runway(Lasts.OVER, NOW, limit_rps=170.0),
            6,
            "web leaves too little free below its own limit already",
            "below the pool’s own limit (170 requests a second)",
        ),
        (
            Runway(Lasts.OVER, NOW, peak_rps=167.0, carried_rps=125.0),
            5,
            "the usual peak of web is more than its servers carry",
            "The usual peak of web (Shop), 167 requests a second, is more than the 125 that its 5 servers carry",
        ),
        (
            Runway(Lasts.OVER, NOW, limit_rps=150.0, peak_rps=167.0, carried_rps=150.0),
            5,
            "the usual peak of web is more than its own limit",
            "The usual peak of web (Shop), 167 requests a second, is more than the pool’s own limit of 150.",
        ),
        (
            Runway(Lasts.ENDS, NOW + timedelta(days=40), limit_rps=170.0),
            6,
            "web will meet its own limit",
            "is met by about early January",
        ),
    ],
)
def test_the_mail_says_whether_it_is_over_and_whose_limit_it_is(
    known, monkeypatch, runway, servers, subject, says
):
    pool = sized_pool(known, servers=servers)
    pool.account.name = "Shop"
    told = {}
    monkeypatch.setattr(notices, "tell_all", lambda *_, context, **__: told.update(context))
    notices.tell_short(pool, runway, lasts=wording.when_words(runway, NOW), month="2026-11")
    written = compose.write("runway_short", {**told, "name": "Jonas"})
    assert subject in written.subject
    for body in (written.text, written.html):
        # The markup and the beginning of the sentence differ.
        plain = body.replace("<strong>", "").replace("</strong>", "")
        assert says.removeprefix("the ").removeprefix("The ") in " ".join(plain.split())
    is_date = runway.state is Lasts.ENDS and runway.limit_rps is None
    assert ("That is the date" in written.text) == is_date
    assert "until: already" not in written.text
    assert written.text.count("own limit") <= 1


# --- pages and API -----------------------------------------------------------------------------------------------


def browser_of(account, role="editor") -> Client:
    found = Client()
    found.force_login(make.member(account, role))
    return found


def test_the_pages_say_what_was_found_and_what_is_needed(known):
    pool = sized_pool(known)
    services.make_due(timezone.now())
    browser = browser_of(known.account)
    page = browser.get(f"/accounts/{known.account.ref}/growth/").content.decode()
    assert "Was this an event?" in page
    assert "Organic +" in page
    one = browser.get(f"/capacity/pools/{pool.ref}/").content.decode()
    assert "Needed at the next peak" in one
    series = browser.get(f"/capacity/metrics/{known.ref}/").content.decode()
    assert "How it grows" in series
    assert "times normal and is not growth" in series
    answer = browser.get(f"/capacity/pools/{pool.ref}/what-if/", {"growth": "9", "part": "answer"})
    assert "<html" not in answer.content.decode()
    assert "servers last until" in answer.content.decode()
    wrong = browser.get(f"/capacity/pools/{pool.ref}/what-if/", {"growth": "900"})
    assert wrong.status_code == 422
    share = browser.get(f"/capacity/pools/{pool.ref}/what-if/", {"headroom": "0.2"})
    assert (share.status_code, b"This is in percent" in share.content) == (422, True)
    data = browser.get(f"/capacity/metrics/{known.ref}/data/", {"span": "month"}).json()
    assert data["band"]["at"]
    assert data["from"] - 3600 < data["band"]["at"][0] <= data["from"], "its first hour is usual, too"
    assert data["cone"]["point"]


def test_the_day_of_what_was_detected_is_the_readers(known):
    services.make_due(timezone.now())
    row = DetectedEvent.objects.get(metric=known)
    begins = (row.starts_at - timedelta(days=1)).replace(hour=23, minute=30)
    DetectedEvent.objects.filter(pk=row.pk).update(starts_at=begins)
    for zone in ("Europe/Stockholm", "UTC"):
        day = f"{begins.astimezone(ZoneInfo(zone)):%Y-%m-%d}"
        person = make.member(known.account, "viewer")
        type(person).objects.filter(pk=person.pk).update(time_zone=zone)
        browser = Client()
        browser.force_login(type(person).objects.get(pk=person.pk))
        page = browser.get(f"/capacity/events/{row.ref}/").content.decode()
        assert f"<title>{known}, {day}" in page
        listed = browser.get(f"/accounts/{known.account.ref}/growth/events/").content.decode()
        overview = browser.get(f"/accounts/{known.account.ref}/growth/").content.decode()
        local = begins.astimezone(ZoneInfo(zone))
        assert f">{local.day} {local:%b %Y, %H:%M} to " in listed
        assert f"({day})" in overview


def test_an_editor_names_what_was_detected_on_its_page(known):
    services.make_due(timezone.now())
    row = DetectedEvent.objects.get(metric=known)
    browser = browser_of(known.account)
    assert browser.post(f"/capacity/events/{row.ref}/", {"name": ""}).status_code == 422
    page = browser.post(f"/capacity/events/{row.ref}/", {"name": "Spring sale"}, follow=True)
    assert "is on record as a traffic event" in page.content.decode()
    assert "Spring sale" in browser.get(f"/accounts/{known.account.ref}/growth/events/").content.decode()


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ({"name": "Sale"}, {"dismiss": "1", "reason": "A crawler."}, "This is “Sale” on record."),
        ({"name": "Sale"}, {"name": "Launch"}, "This is “Sale” already."),
        ({"dismiss": "1", "reason": "A crawler."}, {"name": "Sale"}, "dismissed this already (“A crawler.”)"),
        (
            {"dismiss": "1", "reason": "A crawler."},
            {"dismiss": "1", "reason": "A test."},
            "dismissed this already (“A crawler.”)",
        ),
    ],
)
def test_the_second_of_two_tabs_reads_that_it_was_not_done_and_keeps_what_was_typed(
    known, first, second, says
):
    services.make_due(timezone.now())
    row = DetectedEvent.objects.get(metric=known)
    browser, url = browser_of(known.account), f"/capacity/events/{row.ref}/"
    assert 'name="seen" value="proposed"' in browser.get(url).content.decode()
    assert browser.post(url, {**first, "seen": "proposed"}).status_code == 302
    done = list(DetectedEvent.objects.values_list("state", "reason"))
    answer = browser.post(url, {**second, "seen": "proposed"})
    html = answer.content.decode()
    assert answer.status_code in (409, 422)
    assert "That was not done" in html
    assert says in html
    assert f"You wrote: {second.get('reason') or second['name']}" in html
    assert list(DetectedEvent.objects.values_list("state", "reason")) == done
    assert browser.post(url, {**first, "seen": "proposed"}).status_code == 302, "the same again is the same"


def test_what_was_dismissed_can_be_named_by_whoever_saw_so(known):
    services.make_due(timezone.now())
    row = DetectedEvent.objects.get(metric=known)
    browser, url = browser_of(known.account), f"/capacity/events/{row.ref}/"
    browser.post(url, {"dismiss": "1", "reason": "A crawler."})
    assert browser.post(url, {"name": "Sale", "seen": "dismissed"}).status_code == 302
    row.refresh_from_db()
    assert row.state == "named"


def test_an_editor_sizes_a_pool_by_form_and_the_provider_that_is_silent_is_told(known):
    row = make.connection(known.account)
    make.ceiling(row, rps=120.0)
    browser = browser_of(known.account)
    url = f"/accounts/{known.account.ref}/growth/"
    typed = {"pool": f"{row.ref}:71", "metric": str(known.ref), "headroom": "25", "fewest": "3"}
    page = browser.post(url, typed, follow=True)
    pool = SizedPool.objects.get()
    assert (pool.headroom, pool.fewest, pool.servers) == (0.25, 3, None)
    assert "is sized by requests_per_s" in page.content.decode()
    assert browser.post(url, typed).status_code == 422, "it is no choice any more"


def test_the_api_gives_report_sizing_what_if_and_prices(known):
    pool = sized_pool(known)
    services.make_due(timezone.now())
    caller = make.bearer(make.token(make.member(known.account, "editor")))
    client = Client()

    def get(name, *args, **asked):
        return client.get(reverse(name, args=args), asked, **caller)

    report = get("api-growth-report", known.ref).json()
    assert len(report["forecast"]) == making.HORIZON
    assert report["sentence"].startswith("Organic +")
    assert get("api-growth-reports", known.account.ref).json()["results"][0]["state"] == "made"
    found = get("api-sized-pool", pool.ref).json()
    assert found["sizing"]["needed_now"] >= 2
    tried = get("api-what-if", pool.ref, growth="20", servers="3").json()
    assert tried["sizing"]["servers"] == 3
    assert get("api-what-if", pool.ref, growth="900").status_code == 422
    row = get("api-detected-events", known.account.ref, state="proposed").json()["results"][0]
    named = client.post(
        reverse("api-detected-name", args=[row["ref"]]),
        {"name": "Sale"},
        content_type="application/json",
        **caller,
    )
    assert named.json()["name"] == "Sale"
    price = client.post(
        reverse("api-server-prices", args=[known.account.ref]),
        {"flavor": "general1-4", "an_hour": "0.36", "currency": "EUR"},
        content_type="application/json",
        **caller,
    )
    assert price.json()["an_hour"] == "0.360000"
    other = metric(known.account, name="nobody_asked")
    assert get("api-growth-report", other.ref).status_code == 404


# --- what a fresh pair of eyes found -----------------------------------------------------------------------------


def test_a_figure_that_is_entered_sizes_the_pool_anew_at_once(known):
    pool = sized_pool(known)
    services.make_due(timezone.now())
    lead = make.launch_manager(known.account.team)
    before = SizedPool.objects.get(pk=pool.pk)
    enter_limit(pool.connection, "71", kind="database", requests_per_s=210.0, source="its owner", actor=lead)
    limited = SizedPool.objects.get(pk=pool.pk)
    assert (before.lasts, limited.lasts) == ("ends", "over")
    assert limited.sentence == selectors.sized(limited, timezone.now()).sentence
    enter_known(pool.connection, "71", {"ceiling_rps": 30.0, "ceiling_source": "by hand"}, actor=lead)
    assert SizedPool.objects.get(pk=pool.pk).needed_now > before.needed_now


def test_a_pool_that_meets_its_own_limit_is_no_reason_to_order_servers(known):
    pool = sized_pool(known)
    services.make_due(timezone.now())
    lead = make.launch_manager(known.account.team)
    enter_limit(pool.connection, "71", kind="database", requests_per_s=210.0, source="its owner", actor=lead)
    now = timezone.now()
    of_account = short.gather_runways(Account.objects.filter(pk=known.account_id), now)[known.account_id]
    found = short.judge_runways(of_account, now)
    assert found.grade is Grade.RED
    assert "is more than its own limit of 210. More servers do not raise it" in found.says, found.says
    until = dict(found.parts)["last until"]
    assert until.startswith("already over: the usual peak of ")
    assert until.endswith(" req/s is more than the pool’s own limit of 210 req/s")
    overview = browser_of(known.account).get(f"/accounts/{known.account.ref}/growth/").content.decode()
    assert until in overview
    page = browser_of(known.account).get(f"/capacity/pools/{pool.ref}/").content.decode()
    assert until in page
    assert "requests a second is more than that. More servers do not help" in page
    assert "less free" not in page + overview + found.says
    told = Message.objects.filter(purpose="runway_short").first()
    context = json.loads(told.context)
    assert f", {context['peak']} requests a second," in found.says
    assert context["carried"] == "210"


def test_a_peak_that_is_more_than_all_servers_carry_is_told_so(known):
    pool = sized_pool(known, servers=1)
    services.make_due(timezone.now())
    row = SizedPool.objects.get(pk=pool.pk)
    found = short.judge_runways(
        short.gather_runways(Account.objects.filter(pk=known.account_id), timezone.now())[known.account_id],
        timezone.now(),
    )
    assert "is already more than the 120 that 1 server carries" in row.sentence
    assert "requests a second, is more than the 120 that 1 server carries." in found.says
    tried = try_out(selectors.pools().get(pk=pool.pk), WhatIf(headroom=0.0, servers=1), timezone.now())
    assert "is more than all that its servers carry, 120 req/s" in tried.lasts


def test_what_was_not_moved_changes_no_answer(known):
    pool = sized_pool(known)
    services.make_due(timezone.now())
    pool = selectors.pools().get(pk=pool.pk)
    now = timezone.now()
    growth = round(selectors.sized(pool, now).demand.growth, 3)
    as_it_is = try_out(pool, WhatIf(), now)
    assert try_out(pool, WhatIf(growth=growth, headroom=pool.headroom), now).lasts == as_it_is.lasts
    assert try_out(pool, WhatIf(growth=growth + 0.05), now).lasts != as_it_is.lasts


def test_the_page_of_what_if_opens_with_the_event_that_stands_in_its_form_and_names_the_field_that_is_wrong(
    known, client
):
    pool = sized_pool(known)
    services.make_due(timezone.now())
    client.force_login(make.launch_manager(known.account.team))
    page = reverse("capacity:what-if", args=[pool.ref])
    assert "An event of 2 times normal" in client.get(page).content.decode()
    wrong = client.get(page, {"growth": "much", "part": "answer"})
    assert wrong.status_code == 422
    assert "Growth (% a month): Enter a number." in wrong.content.decode()
    assert "1 server lasts until" in client.get(page, {"servers": 1}).content.decode()


def test_a_plan_says_how_long_those_last_that_stay_and_what_speaks_against_it(known, client):
    pool = sized_pool(known, servers=12)
    services.make_due(timezone.now())
    Marker.objects.create(
        account=known.account,
        kind="deployment",
        title="Release",
        software="shop 5.0",
        source="pipeline",
        at=timezone.now(),
        made_by=make.launch_manager(known.account.team),
    )
    client.force_login(make.launch_manager(known.account.team))
    shown = client.get(reverse("capacity:sized-pool", args=[pool.ref])).content.decode()
    assert "What one server carries is doubtful" in shown
    assert "shop 5.0 came on" in shown
    assert "without them" in shown
    link = unquote_plus(shown.split("Draw up a plan")[0].split('href="')[-1])
    assert "last until:" in link
    assert "Doubtful: shop 5.0 came on" in link


def test_what_speaks_against_a_ceiling_stands_wherever_servers_are_counted(known, client):
    pool = sized_pool(known, servers=12)
    services.make_due(timezone.now())
    manager = make.launch_manager(known.account.team)
    client.force_login(manager)
    overview = reverse("capacity:growth-overview", args=[known.account.ref])
    assert "doubtful" not in client.get(overview).content.decode()
    markers.post(known.account, kind="deployment", title="Release", software="shop 5.0", actor=manager)
    for page in (overview, reverse("capacity:what-if", args=[pool.ref])):
        shown = client.get(page).content.decode()
        assert "What one server carries is doubtful" in shown
        assert "shop 5.0 came on" in shown
    (held,) = short.gather_runways(Account.objects.filter(pk=known.account.pk), timezone.now()).values()
    found = short.judge_runways(held, timezone.now())
    assert (found.grade, "shop 5.0 came on" in found.says) == (Grade.AMBER, True)
    listed = client.get(f"/api/v1/accounts/{known.account.ref}/sized-pools").json()["results"]
    assert listed[0]["doubt"].startswith("shop 5.0 came on")


def test_an_event_that_does_not_fit_under_the_limit_is_no_number_of_servers(known, client):
    pool = sized_pool(known)
    PoolLimit.objects.create(
        account=known.account,
        connection=pool.connection,
        balancer_id=pool.balancer_id,
        kind="database",
        requests_per_s=400.0,
        source="measured",
        at=timezone.now(),
    )
    services.make_due(timezone.now())
    client.force_login(make.launch_manager(known.account.team))
    page = reverse("capacity:what-if", args=[pool.ref])
    shown = client.get(page, {"multiple": "9", "part": "answer"}).content.decode()
    assert "no number of servers carries it" in shown
    assert "there are enough" not in shown
    assert "more than there are" not in shown
    assert "free it does not fit under the pool’s own limit of 400 req/s" in shown


def test_a_series_that_ended_says_nothing_of_what_is_needed_now(known, client):
    pool = sized_pool(known, servers=12)
    services.make_due(timezone.now())
    GrowthReport.objects.update(analysed_until=timezone.now() - timedelta(days=4), made_at=timezone.now())
    short.judge_pools(selectors.pools().filter(pk=pool.pk), timezone.now())
    pool.refresh_from_db()
    assert (pool.needed_now, pool.surplus, pool.lasts) == (None, None, "unknown")
    assert "What is known of its traffic ends on" in pool.sentence
    client.force_login(make.launch_manager(known.account.team))
    shown = client.get(reverse("capacity:sized-pool", args=[pool.ref])).content.decode()
    assert "what the pool needs now is not known" in shown
    assert "Draw up a plan" not in shown


def test_an_event_that_was_named_while_it_is_on_ends_when_it_is_over(db):
    account = make.account()
    lead = make.launch_manager(account.team)
    busy = hours(multiple=0)
    busy[-20:] *= 5.0
    now = timezone.now()
    one = fill(metric(account), busy, now - timedelta(hours=12))
    services.make_due(now - timedelta(hours=12))
    row = DetectedEvent.objects.get(metric=one)
    named = detected.name_detected(row, name="Winter sale", actor=lead)
    more = np.concatenate([busy[12:], hours(multiple=0)[-12:]])
    more[-12:-4] *= 5.0
    fill(one, more, now)
    services.ask(one, actor=lead)
    services.make_due(timezone.now())
    event = TrafficEvent.objects.get(pk=named.event_id)
    row.refresh_from_db()
    assert event.ends_at == row.ends_at > named.ends_at
    assert event.ends_at >= now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=6)


def test_a_fall_is_no_event_that_was_planned(known):
    begins = timezone.now() - timedelta(hours=30)
    event = TrafficEvent.objects.create(
        account=known.account, name="Sale", starts_at=begins, ends_at=begins + timedelta(hours=20)
    )
    peak_at, ends_at = begins + timedelta(hours=4), begins + timedelta(hours=29)
    rise = DetectedEvent(peak_at=peak_at, score=7.0, ends_at=ends_at)
    fall = DetectedEvent(peak_at=peak_at, score=-7.0, ends_at=ends_at)
    long = DetectedEvent(peak_at=peak_at, score=7.0, ends_at=ends_at + timedelta(hours=6))
    for row in (rise, fall, long):
        detected._join_planned(row, [event])
    assert (rise.state, rise.event) == ("named", event)
    assert (fall.state, fall.event) == ("proposed", None)
    assert (long.state, long.event) == ("proposed", None), "it went on for half a day after the sale"


def test_what_the_portal_took_for_a_planned_event_is_asked_about_once_it_goes_on(db):
    account = make.account()
    make.launch_manager(account.team)
    busy, now = hours(multiple=0), timezone.now()
    busy[-24:] *= 5.0
    one = fill(metric(account), busy, now)
    event = make.event(account, starts_at=now - timedelta(days=3), ends_at=now - timedelta(hours=4))
    services.make_due(now)
    row = DetectedEvent.objects.get(metric=one)
    assert (row.state, row.event, row.decided_by) == ("named", event, None)
    assert not Message.objects.filter(purpose="event_detected").exists()
    # Whoever knows better says so on its page.
    html = browser_of(account).get(f"/capacity/events/{row.ref}/").content.decode()
    assert html.count('name="seen" value="named"') == 2
    TrafficEvent.objects.update(ends_at=now - timedelta(hours=20))
    later = now + timedelta(minutes=1)
    GrowthReport.objects.update(asked_at=later)
    services.make_due(later)
    row.refresh_from_db()
    assert (row.state, row.event) == ("proposed", None)
    DetectedEvent.objects.update(state="named", event=event)
    dismissed = detected.dismiss_detected(row, reason="a crawler", actor=make.launch_manager(account.team))
    assert dismissed.state == "dismissed"
    assert Message.objects.filter(purpose="event_detected").count() == 1


def test_an_outage_is_told_though_something_else_was_on_that_day(db):
    account, now = make.account(), timezone.now()
    lead = make.launch_manager(account.team)
    sale, outage = hours(multiple=0), hours(multiple=0)
    sale[-30:] *= 5.0
    outage[-30:] = 0.0
    for name, values in (("sale", sale), ("outage", outage)):
        fill(metric(account, name=name, resource=name), values, now)
    services.make_due(now)
    rows = {row.metric.name: row for row in DetectedEvent.objects.select_related("metric")}
    told = Message.objects.filter(purpose="event_detected")
    assert told.count() == 2
    # Decided before the morning: nobody is asked any more; the other waits.
    detected.dismiss_detected(rows["outage"], reason="", actor=lead)
    detected.dismiss_detected(rows["outage"], reason="the database was full", actor=lead)
    assert sorted(told.values_list("mail_state", flat=True)) == ["queued", "withdrawn"]
    detected.name_detected(rows["sale"], name="Winter sale", actor=lead)
    assert set(told.values_list("mail_state", flat=True)) == {"withdrawn"}


def test_past_forecasts_are_not_held_against_an_event():
    quiet = making.make(hours(multiple=0), NOW - timedelta(days=DAYS)).tested
    values = hours(multiple=0)
    values[-90:-50] *= 4.0
    with_event = making.make(values, NOW - timedelta(days=DAYS)).tested
    assert with_event["mase"] < 1.5 * quiet["mase"]
    assert with_event["covered"]["95"] > 0.85


# --- two people at once -------------------------------------------------------------------------------------------


def rules(pool, **changes):
    """What the form of a pool sends."""
    return {"name": "web", "metric": str(pool.metric.ref), "headroom": "20", "fewest": "2", **changes}


def test_rules_that_somebody_changed_meanwhile_are_told_and_not_overwritten(known):
    pool = sized_pool(known)
    browser = browser_of(known.account)
    url = f"/capacity/pools/{pool.ref}/"
    seen = browser.get(url).context["form"]["seen"].value()
    assert browser.post(url, rules(pool, headroom="40", seen=seen)).status_code == 302
    late = browser.post(url, rules(pool, name="front", seen=seen))
    page = late.content.decode()
    assert late.status_code == 409
    assert "Somebody changed this meanwhile" in page
    assert "40 % stays free" in page
    assert 'value="front"' in page, "what was typed stays"
    pool.refresh_from_db()
    assert (pool.name, pool.headroom) == ("web", 0.4)
    again = late.context["form"]["seen"].value()
    assert browser.post(url, rules(pool, name="front", headroom="40", seen=again)).status_code == 302
    pool.refresh_from_db()
    assert (pool.name, pool.headroom) == ("front", 0.4)


def test_a_pool_is_sized_no_more_once_that_was_asked_and_a_second_tab_reads_so(known):
    pool = sized_pool(known)
    browser = browser_of(known.account)
    url = f"/capacity/pools/{pool.ref}/"
    assert f'href="{url}remove/"' in browser.get(url).content.decode()
    asked = browser.get(f"{url}remove/").content.decode()
    assert "Size this pool no more?" in asked
    assert "20 % stays free" in asked.replace("\xa0", " ")
    assert browser.post(f"{url}remove/").status_code == 302
    assert not SizedPool.objects.exists()
    late = browser.post(url, rules(pool, headroom="40"))
    html = late.content.decode()
    assert late.status_code == 409
    assert "said on " in html
    assert "that “web” is sized no more" in html
    assert "You had typed: What people call the pool: web; Stays free at every peak (%): 40" in html
    assert "is sized no more" in browser.post(f"{url}remove/").content.decode()
    for page in (url, f"{url}what-if/", f"{url}remove/"):
        led = browser.get(page, follow=True)
        assert led.redirect_chain == [(f"/accounts/{known.account.ref}/growth/", 302)]
        assert "that “web” is sized no more. What was measured stays" in led.content.decode()
    assert browser_of(make.account()).get(url).status_code == 404


def test_an_old_link_leads_to_the_pool_as_it_is_sized_now(known):
    pool = sized_pool(known)
    browser = browser_of(known.account)
    url = f"/capacity/pools/{pool.ref}/"
    assert browser.post(f"{url}remove/").status_code == 302
    anew = SizedPool.objects.create(
        account=known.account, connection=pool.connection, balancer_id="71", name="front", metric=known
    )
    for page in (url, f"{url}what-if/", f"{url}remove/"):
        led = browser.get(page)
        assert (led.status_code, led.headers["Location"]) == (302, f"/capacity/pools/{anew.ref}/")
    assert browser_of(make.account()).get(url).status_code == 404


def waiting_mails():
    return Message.objects.filter(purpose="runway_short", mail_state="queued")


def test_a_mail_about_a_pool_waits_only_as_long_as_it_is_true(known):
    pool = sized_pool(known, servers=1)
    make.launch_manager(known.account.team)
    services.make_due(timezone.now())
    lead = make.launch_manager(known.account.team)
    people = waiting_mails().count()
    assert people

    def said():
        return {json.loads(row.context)["limit"] for row in waiting_mails()}

    assert said() == {""}
    SizedPool.objects.filter(pk=pool.pk).update(servers=6)
    enter_limit(pool.connection, "71", kind="database", requests_per_s=210.0, source="a slip", actor=lead)
    assert said() == {"210 requests a second"}, "it is told by whose limit it is now"
    enter_limit(pool.connection, "71", kind="database", requests_per_s=21_000.0, source="right", actor=lead)
    assert not waiting_mails().exists(), "servers that last are no reason for a mail"
    assert not Message.objects.filter(purpose="runway_short", is_shown=True, read_at=None).exists()
    enter_limit(pool.connection, "71", kind="database", requests_per_s=209.0, source="no", actor=lead)
    assert said() == {"209 requests a second"}, "nobody was told of it this month yet"
    sized.remove_pool(SizedPool.objects.get(pk=pool.pk), actor=lead)
    assert not waiting_mails().exists()


def test_a_look_at_the_provider_makes_no_rules_stale(known):
    pool = sized_pool(known)
    browser = browser_of(known.account)
    url = f"/capacity/pools/{pool.ref}/"
    seen = browser.get(url).context["form"]["seen"].value()
    SizedPool.objects.update(servers=9, seen_at=timezone.now(), judged_at=timezone.now())
    assert browser.post(url, rules(pool, headroom="30", seen=seen)).status_code == 302


@pytest.mark.parametrize(("typed", "status"), [("0.2", 422), ("0", 302), ("1", 302)])
def test_a_share_typed_as_percent_is_refused_for_a_pool_as_well(known, typed, status):
    pool = sized_pool(known)
    browser = browser_of(known.account)
    url = f"/capacity/pools/{pool.ref}/"
    seen = browser.get(url).context["form"]["seen"].value()
    answer = browser.post(url, rules(pool, headroom=typed, seen=seen))
    assert answer.status_code == status
    if status == 422:
        assert "This is in percent" in answer.content.decode()
        pool.refresh_from_db()
        assert pool.headroom == 0.2


def test_programs_say_which_rules_and_which_price_they_read(known):
    pool = sized_pool(known)
    api = Caller(make.member(known.account, "editor"))
    path = f"/sized-pools/{pool.ref}"
    body = {"metric": str(known.ref), "headroom": 0.4}
    tag = api.ask("get", path).headers["ETag"]
    assert api.ask("put", path, body).status_code == 428
    changed = api.ask("put", path, body, **{"If-Match": tag, "Idempotency-Key": "one"})
    assert changed.status_code == 200
    assert changed.headers["ETag"] == api.ask("get", path).headers["ETag"] != tag
    again = api.ask("put", path, body, **{"If-Match": tag, "Idempotency-Key": "one"})
    assert again.status_code == 200, "the same request again has its answer"
    assert api.ask("put", path, {**body, "headroom": 0.1}, **{"If-Match": tag}).status_code == 412
    assert api.ask("delete", path).status_code == 428
    assert api.ask("delete", path, **{"If-Match": tag}).status_code == 412
    pool.refresh_from_db()
    assert pool.headroom == 0.4
    assert api.ask("delete", path, **{"If-Match": changed.headers["ETag"]}).status_code == 204
    made = api.post(
        f"/accounts/{known.account.ref}/server-prices",
        {"flavor": "general1-4", "an_hour": "0.36", "currency": "EUR"},
    )
    path = f"/server-prices/{made['ref']}"
    tag = api.ask("get", path).headers["ETag"]
    ServerPrice.objects.update(an_hour=1)
    assert api.ask("delete", path).status_code == 428
    assert api.ask("delete", path, **{"If-Match": tag}).status_code == 412
    assert api.ask("delete", path, **{"If-Match": api.ask("get", path).headers["ETag"]}).status_code == 204


@pytest.mark.parametrize("unit", ["orders/min", "requests/s"])
def test_the_event_of_several_metrics_stays_as_high_as_the_one_it_was_named_from(db, unit):
    account = make.account()
    lead = make.launch_manager(account.team)
    busy, now = hours(multiple=0), timezone.now()
    busy[-20:] *= 5.0
    before = now - timedelta(hours=12)
    one, other = metric(account), metric(account, name="beside", unit=unit)
    for each, share in ((one, 1.0), (other, 0.1)):
        fill(each, busy * share, before)
    services.make_due(before)
    named = detected.name_detected(DetectedEvent.objects.get(metric=one), name="Winter sale", actor=lead)
    event = TrafficEvent.objects.get(pk=named.event_id)
    assert DetectedEvent.objects.get(metric=other).event_id == event.pk
    later = np.concatenate([busy[12:], hours(multiple=0)[-12:]])
    later[-12:-4] *= 5.0
    for each, share in ((other, 0.1), (one, 1.0)):
        fill(each, later * share, now)
        services.ask(each, actor=lead)
        services.make_due(timezone.now())
    event.refresh_from_db()
    named.refresh_from_db()
    assert event.observed_peak_rps == pytest.approx(named.peak)
    assert (event.starts_at, event.ends_at) == (named.starts_at, named.ends_at)


@pytest.mark.django_db(transaction=True)
def test_what_is_worked_out_while_something_is_entered_knows_of_it():
    account = make.account()
    lead = make.launch_manager(account.team)
    one = fill(metric(account), hours(), timezone.now())
    pool = sized_pool(one)
    services.make_due(timezone.now())
    with transaction.atomic():
        enter_known(pool.connection, "71", {"ceiling_rps": 20.0, "ceiling_source": "measured"}, actor=lead)
        thread, _ = in_thread(short.judge_pools, selectors.pools().filter(pk=pool.pk), timezone.now())
        until_waiting(thread)
        pool.refresh_from_db()
        entered = pool.needed_now
    thread.join(20)
    pool.refresh_from_db()
    assert pool.needed_now == entered > 10


def test_a_series_that_ended_gives_plans_no_peak(db):
    account = make.account()
    lead = make.launch_manager(account.team)
    now = timezone.now()
    one = fill(metric(account), hours(multiple=0), now - timedelta(days=4))
    pool = sized_pool(one)
    services.make_due(now)
    assert GrowthReport.objects.get(metric=one).next_peak_at > now
    reference = reference_for(account, Site(pool.connection.ref, "71"), timezone.now())
    assert reference is None or reference.forecast_peak is None
    ahead = {"forecast_rps": 110.0, "forecast_at": now + timedelta(days=20), "forecast_source": "by hand"}
    enter_known(pool.connection, "71", ahead, actor=lead)
    pool.refresh_from_db()
    assert (pool.needed_now, pool.needed_peak, pool.surplus) == (None, 2, None), "the peak by hand alone"
    told = short.gather_runways(Account.objects.filter(pk=account.pk), now)[account.pk]
    assert "What is known of its traffic ends on" in short.judge_runways(told, now).says
    assert Caller(lead).get(f"/metrics/{one.ref}/growth")["has_ended"] is True
    html = browser_of(account).get(f"/capacity/metrics/{one.ref}/").content.decode()
    assert "Nothing comes any more" in html
    assert "four weeks to come" not in html
    tried = Caller(lead).get(f"/sized-pools/{pool.ref}/what-if")
    assert tried["needed"] is None


def test_an_event_at_the_edge_of_the_calendar_stops_no_report(db, monkeypatch):
    account = make.account()
    lead = make.launch_manager(account.team)
    busy, now = hours(multiple=0), timezone.now()
    busy[-80:-60] *= 5.0
    one = fill(metric(account), busy, now)
    for begins, ends in ((now - timedelta(days=5), datetime.max), (datetime.min, now - timedelta(days=5))):
        TrafficEvent.objects.create(
            account=account,
            name="always on",
            starts_at=begins.replace(tzinfo=UTC),
            ends_at=ends.replace(tzinfo=UTC),
            source="typed",
            entered_by=lead,
        )
    assert services.make_due(now) == 1
    assert DetectedEvent.objects.get(metric=one).event is not None


def test_a_report_that_cannot_be_made_does_not_stand_in_the_way_of_the_others(db, monkeypatch):
    account, now = make.account(), timezone.now()
    broken, sound = (fill(metric(account, name=name), hours(), now) for name in ("broken", "sound"))
    make_report = services.make_report

    def breaks(report, at):
        if report.metric_id == broken.pk:
            raise OverflowError("date value out of range")
        return make_report(report, at)

    monkeypatch.setattr(services, "make_report", breaks)
    assert services.make_due(now) == 1
    assert GrowthReport.objects.get(metric=sound).state == "made"
    assert GrowthReport.objects.get(metric=broken).begun_at is not None
    assert services.make_due(now + timedelta(minutes=1)) == 0


def test_a_picture_of_values_beyond_its_numbers_is_finite():
    given = np.array([1e97, -1e97, np.nan, 1.5])
    found = packing.unpacked(packing.packed([given, given]), packing.BAND)["low"]
    assert np.isfinite(found[:2]).all()
    assert np.isnan(found[2])
    assert found[3] == 1.5


def test_a_server_that_carries_next_to_nothing_does_not_read_as_carrying_none(known):
    pool = sized_pool(known)
    make.ceiling(pool.connection, rps=0.001, at=timezone.now())
    services.make_due(timezone.now())
    browser = browser_of(known.account)
    for page in (f"/capacity/pools/{pool.ref}/", f"/connections/{pool.connection.ref}/pools/71/"):
        shown = browser.get(page).content.decode()
        assert "0.001" in shown, page
    answer = browser.get(f"/capacity/pools/{pool.ref}/what-if/", {"part": "answer"}).content.decode()
    assert "<dd>0.001 req/s" in answer


def test_a_clock_that_was_ahead_keeps_nothing_from_being_worked_out(db):
    account = make.account()
    lead = make.launch_manager(account.team)
    pool = sized_pool(fill(metric(account), hours(), timezone.now()))
    services.make_due(timezone.now())
    SizedPool.objects.update(judged_at=timezone.now() + timedelta(seconds=2))
    enter_known(pool.connection, "71", {"ceiling_rps": 20.0, "ceiling_source": "measured"}, actor=lead)
    pool.refresh_from_db()
    assert pool.needed_now > 10


def short_pool():
    account = make.account()
    lead = make.launch_manager(account.team)
    pool = sized_pool(fill(metric(account), hours(), timezone.now()), servers=1)
    services.make_due(timezone.now())
    return pool, lead


@pytest.mark.parametrize("is_least", [False, True])
def test_a_mail_is_not_called_off_as_if_servers_lasted_where_nobody_knows(db, is_least):
    pool, _ = short_pool()
    assert Message.objects.filter(purpose="runway_short").exists()
    Ceiling.objects.update(void_at=timezone.now())
    if is_least:
        rps = GrowthReport.objects.get().peak / 0.8 * 1.02
        make.ceiling(pool.connection, rps=rps, rank="live", source="seen at the sale", is_least=True)
    size_anew(pool.connection, "71")
    pool.refresh_from_db()
    assert (pool.lasts == Lasts.ENDS.value) is is_least
    [said] = Message.objects.filter(purpose="runway_short").values_list("says", flat=True)
    assert said == "It is not known any more how long the servers last."


def test_who_wants_no_mail_does_not_keep_a_notice_that_is_true_no_more(db):
    pool, lead = short_pool()
    Message.objects.filter(purpose="runway_short").update(mail_state="none", due_at=None)
    known = {"ceiling_rps": 100_000.0, "ceiling_source": "a typing error, mended"}
    enter_known(pool.connection, "71", known, actor=lead)
    [row] = Message.objects.filter(purpose="runway_short")
    assert row.read_at is not None
    enter_known(pool.connection, "71", {"ceiling_rps": 20.0, "ceiling_source": "measured"}, actor=lead)
    assert Message.objects.filter(purpose="runway_short", read_at=None).count() == 1


@pytest.mark.django_db(transaction=True)
def test_who_moves_a_run_and_who_marks_a_change_do_not_lock_each_other_out(monkeypatch):
    """A marker judges each pool of the account in their order; a run that moves, its new pool and the one it left."""
    account = make.account()
    lead = make.launch_manager(account.team)
    first = sized_pool(fill(metric(account), hours(), timezone.now()))
    second = SizedPool.objects.create(
        account=account, connection=first.connection, balancer_id="72", name="other", metric=first.metric
    )
    assert first.pk < second.pk
    services.make_due(timezone.now())
    run = Benchmark.objects.create(
        account=account,
        connection=first.connection,
        balancer_id="71",
        title="one",
        tool="wrk",
        format="wrk",
        result={"steps": [], "points": []},
        ran_at=timezone.now(),
        file_name="wrk.txt",
        sha256="a" * 64,
        size_bytes=1,
        taken_in_by=lead,
        taken_in_at=timezone.now(),
    )
    judge, gate = short._judge, threading.Barrier(2)

    def waits_after_its_first(pk, now):
        told = judge(pk, now)
        if not getattr(threading.current_thread(), "has_judged", False):
            threading.current_thread().has_judged = True
            with suppress(threading.BrokenBarrierError):
                gate.wait(2)
        return told

    monkeypatch.setattr(short, "_judge", waits_after_its_first)
    moved, moves = in_thread(benchmarks.describe, run, actor=lead, pool=(first.connection, "72"))
    marked, marks = in_thread(transaction.atomic(short.judge_account), account)
    moved.join(30)
    marked.join(30)
    assert "error" not in moves, moves
    assert "error" not in marks, marks


def test_a_notice_that_says_something_else_by_now_stands_once_in_the_list(db):
    pool, lead = short_pool()
    for rps in (100.0, 101.0, 102.0):
        known = {"ceiling_rps": rps, "ceiling_source": "measured"}
        enter_known(pool.connection, "71", known, actor=lead)
    assert Message.objects.filter(purpose="runway_short", is_shown=True).count() == 1


# --- a ceiling of which only a lower bound is known -----------------------------------------------------------------


def test_a_lower_bound_stays_one_wherever_it_is_told_and_alarms_of_nothing(known):
    pool = sized_pool(known)
    services.make_due(timezone.now())
    browser, lead = browser_of(known.account), make.launch_manager(known.account.team)
    api = Caller(lead)

    def told(rps: float) -> tuple[SizedPool, str, dict]:
        Ceiling.objects.all().delete()
        make.ceiling(pool.connection, rps=rps, rank="live", source="seen at the sale", is_least=True)
        short.judge_anew(pool.connection_id, "71")
        pool.refresh_from_db()
        page = browser.get(f"/capacity/pools/{pool.ref}/").content.decode()
        return pool, page, api.get(f"/sized-pools/{pool.ref}")["sizing"]

    row, page, sizing = told(3.0)
    assert "already more than" not in row.sentence
    assert "whether 6 servers carry the usual peak with what should stay free is not known" in row.sentence
    assert (row.lasts, row.lasts_is_least, sizing["headroom_now"]) == (Lasts.UNKNOWN.value, True, None)
    assert (sizing["carries_is_least"], sizing["lasts"]["is_least"]) == (True, True)
    assert "at least 3 req/s" in page
    assert not Message.objects.filter(purpose="runway_short").exists()
    runways = short.gather_runways(Account.objects.filter(pk=known.account_id), timezone.now())
    finding = short.judge_runways(runways[known.account_id], timezone.now())
    assert finding.grade is Grade.UNKNOWN
    assert "only a lower bound is known" in finding.says
    peak = sizing["peak_now_rps"]
    row, page, sizing = told(peak / 6 / 0.8 * 1.02)
    assert row.lasts == Lasts.ENDS.value
    assert "at this rate 6 servers last at least until about" in row.sentence
    assert "at least about" in page
    assert not Message.objects.filter(purpose="runway_short").exists()
    answer = browser.get(f"/capacity/pools/{pool.ref}/what-if/", {"multiple": "5", "part": "answer"})
    assert "at most" in answer.content.decode()
    pool_page = browser.get(f"/connections/{pool.connection.ref}/pools/71/").content.decode()
    assert "One server carries at least" in pool_page
    assert api.get(f"/connections/{pool.connection.ref}/pools/71")["ceiling"]["is_least"] is True
    row, page, sizing = told(peak)
    assert sizing["surplus"] > 0, "fewer than true are offered"
