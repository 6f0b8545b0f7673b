"""The demo's year of traffic: the same for the same question, with in it what was put in, and kept quickly."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from capacity.demo_traffic import DAYS, STEP_S, Rise, load, requests
from capacity.growth import detect_events, growth
from capacity.metrics.models import DailyRollup, Metric
from tests import factories as make

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def year(**changes):
    last = int(NOW.timestamp())
    asked = {"peak_rps": 165.0, "percent_a_month": 4.1, "rises": [], "seed": 7, **changes}
    return requests(
        np.arange(last - DAYS * 86_400, last, STEP_S, dtype=float), ZoneInfo("Europe/Stockholm"), **asked
    )


def test_the_same_question_has_the_same_answer():
    assert np.array_equal(year(), year())
    assert not np.array_equal(year(), year(seed=8))


def test_the_growth_and_the_event_that_were_put_in_are_found():
    begins = NOW - timedelta(days=100)
    rise = Rise(begins, 3.6, 4 * 3600, 9 * 3600, begins + timedelta(hours=40))
    hourly = year(rises=[rise]).reshape(-1, 12).mean(axis=1)
    found = growth(hourly)
    assert found.percent_low < 4.1 < found.percent_high
    assert 3.8 < found.percent_a_month < 4.4
    (event,) = detect_events(hourly, (24, 168))
    assert abs(event.begin - (DAYS - 100) * 24) <= 3
    assert 2.8 < event.multiple < 4.4


@pytest.mark.django_db
def test_a_year_is_kept_once_within_seconds():
    account = make.account(time_zone="Europe/Stockholm")
    began = time.monotonic()
    made = load(account, "web", ends=NOW, peak_rps=165.0, percent_a_month=4.1, event=None)
    took_s = time.monotonic() - began
    assert [(one.name, one.is_vital) for one in made] == [
        ("requests_per_s", True),
        ("orders_per_min", True),
        ("latency_p95_ms", False),
    ]
    assert DailyRollup.objects.filter(metric=made[0]).count() >= DAYS
    assert load(account, "web", ends=NOW, peak_rps=1.0, percent_a_month=0.0, event=None) == []
    assert Metric.objects.filter(account=account).count() == 3
    # Alone it takes about one second; machines that run tests are busy.
    assert took_s < 20
