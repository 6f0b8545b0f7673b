"""The pages of series: vital figures first, a year by the day, a week sample by sample, all of it as CSV."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from capacity.markers.models import Marker
from capacity.metrics import chart, overlays, selectors
from capacity.metrics.models import Metric, Sample
from capacity.metrics.store import Samples, write
from capacity.models import TrafficEvent
from capacity.reports.models import DetectedEvent
from portal.errors import Malformed
from tests import factories as make

pytestmark = pytest.mark.django_db


def now_even() -> datetime:
    """Noon of yesterday: how many days a stretch touches does not hang on when the tests run."""
    return (timezone.now() - timedelta(days=1)).replace(hour=12, minute=0, second=0, microsecond=0)


def metric(account=None, *, name="requests_per_s", **fields) -> Metric:
    return Metric.objects.create(
        account=account or make.account(), name=name, source="test", unit="requests/s", **fields
    )


def fill(one: Metric, days: int, *, every_s: int = 300, ends: datetime | None = None) -> datetime:
    """Keep a value each five minutes up to `ends`: its number."""
    ends = ends or now_even()
    at = np.arange(ends.timestamp() - days * 86_400, ends.timestamp(), every_s)
    write(
        one.account_id,
        Samples(
            np.full(len(at), one.pk, dtype=np.int64),
            (at * 1e6).astype(np.int64),
            np.arange(len(at), dtype=np.float64),
        ),
    )
    one.refresh_from_db()
    return ends


def text_of(response) -> str:
    async def whole():
        return b"".join([part async for part in response.streaming_content])

    return async_to_sync(whole)().decode()


def as_(account, role="viewer") -> Client:
    browser = Client()
    browser.force_login(make.member(account, role))
    return browser


def test_a_year_opens_by_the_day_and_a_week_is_each_sample():
    one = metric()
    ends = fill(one, 200)
    whole = chart.drawn(one, ends - timedelta(days=366), ends, ends)
    assert whole.step is chart.Step.DAY
    assert len(whole.known) in (200, 201), "200 days, or 201 of which two are not whole"
    month = chart.drawn(one, ends - timedelta(days=31), ends, ends)
    assert (month.step, month.low is not None) == (chart.Step.HOUR, True)
    assert 31 * 24 <= len(month.known) <= 31 * 24 + 2
    week = chart.drawn(one, ends - timedelta(days=7), ends, ends)
    assert (week.step, len(week.value), week.low) == (chart.Step.RAW, 2016, None)
    assert week.value[-1] == 200 * 288 - 1


def test_more_samples_than_a_chart_holds_are_told_by_the_hour():
    one = metric()
    ends = fill(one, 1, every_s=20)
    assert chart.drawn(one, ends - timedelta(days=1), ends, ends).step is chart.Step.HOUR
    assert chart.drawn(one, ends - timedelta(hours=6), ends, ends).step is chart.Step.RAW


def test_samples_that_are_kept_no_more_are_told_by_the_hour(settings):
    one = metric()
    ends = fill(one, 2)
    settings.SAMPLE_DAYS = 1
    assert chart.drawn(one, ends - timedelta(days=2), ends, ends).step is chart.Step.HOUR


def test_the_day_and_the_hour_that_are_not_over_are_left_out_and_the_chart_says_so():
    one = metric()
    ends = fill(one, 5)
    noon = ends + timedelta(minutes=30)
    fill(one, 1, ends=noon)
    year = chart.drawn(one, ends - timedelta(days=366), noon, noon)
    assert max(year.at) == (ends.replace(hour=0) - timedelta(days=1)).timestamp()
    assert year.unfinished == "Today (UTC) is not over and left out. Zoom in to see it."
    month = chart.drawn(one, ends - timedelta(days=31), noon, noon)
    assert max(month.at) == (ends - timedelta(hours=1)).timestamp()
    assert month.unfinished == "The hour that is on is not over and left out. Zoom in to see it."
    over = chart.drawn(one, ends - timedelta(days=366), noon, noon + timedelta(days=2))
    assert max(over.at) == ends.replace(hour=0).timestamp(), "a day without its evening is over all the same"
    assert over.unfinished == chart.drawn(one, ends - timedelta(days=7), noon, noon).unfinished == ""


def test_a_first_day_is_shown_so_far():
    one = metric()
    noon = now_even()
    young = metric(one.account, name="young")
    at = np.array([noon.timestamp() - 600])
    write(one.account_id, Samples(np.full(1, young.pk, dtype=np.int64), (at * 1e6).astype(np.int64), at))
    found = chart.drawn(young, noon - timedelta(days=366), noon, noon)
    assert (len(found.known), found.unfinished) == (
        1,
        "Today (UTC) is not over: its point is of the samples so far.",
    )


def test_the_small_line_of_a_vital_figure_ends_with_the_last_whole_day():
    one = metric()
    now = fill(one, 5)
    today = now.replace(hour=0)
    days = selectors.last_days([one], now)[one.pk]
    assert days[-1][0] == today - timedelta(days=1)
    assert days[-1][1] is not None
    at = np.array([now.timestamp() - 600])
    first = metric(one.account, name="first")
    write(one.account_id, Samples(np.full(1, first.pk, dtype=np.int64), (at * 1e6).astype(np.int64), at))
    assert selectors.last_days([first], now)[first.pk][-1] == (today, at[0])


def test_a_stretch_without_samples_is_a_gap_and_no_line():
    one = metric()
    ends = now_even()
    fill(one, 1, ends=ends - timedelta(hours=6))
    fill(one, 1, ends=ends - timedelta(days=2))
    found = chart.drawn(one, ends - timedelta(days=4), ends, ends)
    assert found.value.count(None) == 1
    gap = found.at[found.value.index(None)]
    assert (ends - timedelta(days=2)).timestamp() < gap < (ends - timedelta(days=1, hours=6)).timestamp()


@pytest.mark.parametrize(
    ("asked", "length"),
    [
        ({}, timedelta(days=366)),
        ({"span": "week"}, timedelta(days=7)),
        ({"span": "nonsense"}, timedelta(days=366)),
        ({"begins": datetime(2026, 11, 1, tzinfo=UTC)}, timedelta(days=26)),
        ({"ends": datetime(2026, 11, 1, tzinfo=UTC), "span": "day"}, timedelta(days=1)),
    ],
)
def test_the_stretch_is_what_the_address_asks_for(asked, length):
    now = datetime(2026, 11, 27, tzinfo=UTC)
    begins, ends = chart.window_asked(Metric(last_at=now - timedelta(days=3)), now, **asked)
    assert ends - begins == length
    assert ends <= now


def test_a_stretch_that_ends_before_it_begins_is_refused():
    now = datetime(2026, 11, 27, tzinfo=UTC)
    with pytest.raises(Malformed):
        chart.window_asked(Metric(), now, begins=now, ends=now - timedelta(days=1))


def test_the_account_sees_its_vital_figures_first_and_then_all():
    account = make.account()
    fill(metric(account, name="orders_per_min", is_vital=True), 3)
    metric(account, name="zebra", resource="web")
    page = as_(account).get(f"/accounts/{account.ref}/metrics/").content.decode()
    assert page.index("Vital figures") < page.index("orders_per_min") < page.index("All metrics")
    assert "zebra" in page
    found = as_(account).get(f"/accounts/{account.ref}/metrics/", {"q": "web"}).content.decode()
    assert "zebra" in found
    assert found.count("orders_per_min</a>") == 1, "the list is narrowed, the vital figures stay"


def test_an_account_without_metrics_reads_how_they_come():
    account = make.account()
    assert (
        "begins with its first sample"
        in as_(account).get(f"/accounts/{account.ref}/metrics/").content.decode()
    )


def test_a_series_page_holds_the_chart_the_table_the_event_and_what_else_happened():
    account = make.account()
    one = metric(account)
    ends = fill(one, 10)
    TrafficEvent.objects.create(
        account=account,
        name="Spring sale",
        starts_at=ends - timedelta(days=5),
        ends_at=ends - timedelta(days=4),
        expected_multiple=3,
    )
    overlays.register_moments(
        "test", lambda of, begins, until: [overlays.Moment(ends - timedelta(days=2), f"deployed at {of}")]
    )
    try:
        with CaptureQueriesContext(connection) as asked:
            page = as_(account).get(f"/capacity/metrics/{one.ref}/", {"span": "month"})
        data = as_(account).get(f"/capacity/metrics/{one.ref}/data/", {"span": "week"}).json()
    finally:
        overlays.forget_moments("test")
    text = page.content.decode()
    assert "Spring sale" in text
    assert f"deployed at {account}" in text
    assert "The values as a table" in text
    assert len(re.findall("<td>(?:the most; )?Spring sale</td>", text)) == 24, "each of its hours says so"
    assert "The most was 2\u202f879 requests/s on" in text
    assert (data["step"], len(data["at"])) == ("raw", 2016)
    assert "Each row stands for 30 minutes" in data["tables"]
    assert data["events"][0]["label"] == "Spring sale"
    assert data["moments"][0]["at"] == (ends - timedelta(days=2)).timestamp()
    assert len(asked) < 40


def test_a_stretch_without_samples_says_so():
    one = metric()
    fill(one, 1)
    page = as_(one.account).get(
        f"/capacity/metrics/{one.ref}/", {"from": "2020-01-01T00:00:00Z", "to": "2020-02-01T00:00:00Z"}
    )
    assert "No sample in this stretch" in page.content.decode()


def test_an_address_that_is_none_is_refused_with_a_sentence():
    one = metric()
    answer = as_(one.account).get(f"/capacity/metrics/{one.ref}/", {"from": "yesterday"})
    assert answer.status_code == 400
    assert "is a moment with its zone" in answer.content.decode()


@pytest.mark.parametrize(("step", "count"), [("raw", 30 * 288), ("hour", None), ("day", None)])
def test_the_file_holds_every_point_of_the_stretch(step, count):
    one = metric()
    ends = fill(one, 30)
    asked = {
        "from": (ends - timedelta(days=30)).isoformat(),
        "to": ends.isoformat(),
        "step": step,
    }
    answer = as_(one.account).get(f"/capacity/metrics/{one.ref}/series.csv", asked)
    rows = list(csv.DictReader(io.StringIO(text_of(answer))))
    if step == "raw":
        assert len(rows) == count == Sample.objects.filter(metric=one).count()
        assert [float(row["value"]) for row in rows] == [float(n) for n in range(count)]
    else:
        assert sum(int(row["count"]) for row in rows) == pytest.approx(30 * 288, abs=24 * 12)
    assert answer["Content-Disposition"].startswith('attachment; filename="requests_per_s-')


def test_an_editor_makes_a_figure_vital_and_a_viewer_cannot():
    one = metric()
    url = f"/capacity/metrics/{one.ref}/vital/"
    assert as_(one.account).post(url, {"vital": "1"}).status_code == 403
    assert as_(one.account, "editor").post(url, {"vital": "1"}).status_code == 302
    one.refresh_from_db()
    assert one.is_vital
    as_(one.account, "editor").post(url, {"vital": "0"})
    one.refresh_from_db()
    assert not one.is_vital


@pytest.mark.parametrize(("kind", "is_told"), [("latency", True), ("throughput", False)])
def test_whoever_makes_a_figure_vital_of_which_less_is_better_reads_that_no_verdict_looks_at_it(
    kind, is_told
):
    one = metric(kind=kind)
    answer = as_(one.account, "editor").post(
        f"/capacity/metrics/{one.ref}/vital/", {"vital": "1"}, follow=True
    )
    assert ("no verdict of a scale-down looks at it" in answer.content.decode()) is is_told


def test_nobody_reads_a_series_of_another_account():
    one = metric()
    stranger = as_(make.account(), "admin")
    for path in ("", "data/", "series.csv"):
        assert stranger.get(f"/capacity/metrics/{one.ref}/{path}").status_code == 404


def test_deployments_are_drawn_into_every_series_of_the_account():
    one = metric()
    ends = fill(one, 3)
    at = ends - timedelta(days=1)
    Marker.objects.create(
        account=one.account,
        kind="deployment",
        title="shop",
        software="4.13",
        at=at,
        made_by=make.member(one.account, "editor"),
    )
    data = as_(one.account).get(f"/capacity/metrics/{one.ref}/data/", {"span": "week"}).json()
    assert data["moments"] == [{"at": at.timestamp(), "label": "shop"}]


def test_what_was_detected_without_a_name_stands_in_chart_and_tables_apart_from_what_has_one(db):
    account = make.account()
    one = metric(account)
    ends = fill(one, 10)
    begins = (ends - timedelta(days=5)).replace(hour=6, minute=0)

    def found(hours, *, lasts=3, score=20.0, **more):
        at = begins + timedelta(hours=hours)
        return DetectedEvent.objects.create(
            account=account,
            metric=one,
            starts_at=at,
            ends_at=at + timedelta(hours=lasts),
            peak_at=at + timedelta(hours=1),
            peak=9,
            expected=3,
            multiple=3,
            score=score,
            lead_in_s=0,
            is_over=True,
            found_at=ends,
            **more,
        )

    morning, evening = found(0), found(12)
    found(24, score=-9.0)
    found(36, state="dismissed", reason="a crawler")
    found(48, state="withdrawn")
    reader = as_(account)
    page = reader.get(f"/capacity/metrics/{one.ref}/", {"span": "month"})
    text = page.content.decode()
    for label in ("detected: was it an event?", "detected: a dip", "detected, dismissed: a crawler"):
        assert f"{label}</a>" in text, "in the table of what happened, with the way there"
        assert re.search(f"<td>(?:the most[^<]*; )?{re.escape(label)}</td>", text), "and behind the chart"
    events = reader.get(f"/capacity/metrics/{one.ref}/data/", {"span": "month"}).json()["events"]
    assert [each["detected"] for each in events] == [True] * 4
    day = f"{begins.day} {begins:%b %Y}"
    for row, times in ((morning, "06:00 to 09:00"), (evening, "18:00 to 21:00")):
        for address in (f"/accounts/{account.ref}/growth/", f"/capacity/events/{row.ref}/"):
            assert f"{day}, {times}" in reader.get(address).content.decode(), address


def test_a_stretch_by_the_hour_begins_where_it_was_asked_for():
    account = make.account()
    one = metric(account)
    ends = fill(one, 40)
    begins = (ends - timedelta(days=30)).replace(minute=20, second=1, microsecond=0)
    asked = {"from": f"{begins:%Y-%m-%dT%H:%M:%SZ}", "to": f"{ends:%Y-%m-%dT%H:%M:%SZ}"}
    data = as_(account).get(f"/capacity/metrics/{one.ref}/data/", asked).json()
    assert (data["step"], data["from"]) == ("hour", begins.timestamp())
    assert data["at"][0] == begins.replace(minute=0, second=0).timestamp(), "its first hour is drawn whole"
