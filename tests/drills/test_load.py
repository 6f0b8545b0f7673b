"""What the portal knows itself before a drill: the load that is left over, and the busiest hours to come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from capacity.metrics.store import Samples, write
from capacity.reports.models import GrowthPicture, GrowthReport, SizedPool
from capacity.reports.packing import packed
from capacity.reports.present import present_of
from drills.plans import services
from drills.plans.ladder import Held
from drills.plans.load import HOUR, PoolLoad, away_from_peak, carries, top_hours
from drills.scenarios.types import DrillKind, Environment, InjectionKind
from drills.types import Stops, Target
from portal.frozen import replace
from tests import factories as make
from tests.capacity.test_reports import metric
from tests.drills.rows import approved, ready
from tests.drills.test_figures import PLAN

NOW = datetime(2026, 12, 1, 9, 30, tzinfo=UTC)
TOP = NOW.replace(minute=0)
PASSED = [Held(DrillKind.TABLE_TOP, Environment.TEST, "drill_met")]


def pool(load=10.0, able=4.0, hours=()):
    return PoolLoad("71", load, able, "load test", tuple(hours))


def week(values):
    return [(TOP + number * HOUR, value) for number, value in enumerate(values)]


@pytest.fixture
def plan():
    return replace(
        PLAN,
        pool_size=6,
        targets=(Target("srv-6", "web-06", NOW, (), ()),),
        stops=Stops(0.2, 30.0, 2, 600.0),
    )


def test_what_is_left_carries_the_load_or_does_not(plan):
    left = plan.pool_size - len(plan.targets)
    assert carries(plan, [pool(load=left * 4.0)]).holds is True
    refused = carries(plan, [pool(load=1.0), pool(load=left * 4.0 + 0.1)])
    assert refused.holds is False
    assert f"the {left} servers left carry" in refused.says
    # One by one only one is missing at a time.
    rolling = replace(plan, injection=InjectionKind.ROLLING_REBOOT, targets=plan.targets * 3)
    assert carries(rolling, [pool(load=20.0)]).holds is True
    assert carries(replace(rolling, injection=InjectionKind.STOP), [pool(load=20.0)]).holds is False


@pytest.mark.parametrize(
    "pools", [[], [pool(load=None)], [pool(able=None)], [pool(load=1.0), pool(load=None)]]
)
def test_what_is_not_known_is_left_to_a_person(plan, pools):
    assert carries(plan, pools).holds is None


def test_one_that_cannot_counts_even_where_another_is_not_known(plan):
    assert carries(plan, [pool(load=None), pool(load=1000.0)]).holds is False


@given(st.lists(st.floats(0, 1e6), max_size=200))
def test_top_hours_are_a_tenth_and_no_other_hour_is_higher(values):
    hours = week(values)
    found = set(top_hours(hours, NOW))
    rest = [value for at, value in hours[:168] if at not in found]
    top = [value for at, value in hours if at in found]
    assert not top or min(top) > max(rest, default=0.0)
    assert len(top) <= len(values[:168]) * 0.1 + 1


def test_a_flat_forecast_has_no_top_hours():
    assert top_hours(week([100.0, 95.0] * 50), NOW) == []
    assert top_hours([], NOW) == []
    # What is over is no hour to come.
    assert top_hours([(NOW - timedelta(hours=3), 900.0), *week([1.0, 2.0])], NOW) == [TOP + HOUR]


def test_a_top_hour_in_which_it_would_last_is_refused(plan):
    values = [10.0] * 168
    values[0] = 99.0
    now_top = away_from_peak(plan, [pool(hours=week(values))], NOW)
    assert now_top.holds is False
    assert "from 09:00 UTC" in now_top.says
    values[0], values[1] = 10.0, 99.0
    assert away_from_peak(plan, [pool(hours=week(values))], NOW).holds is True
    # It would reach into the next hour.
    assert away_from_peak(plan, [pool(hours=week(values))], NOW + timedelta(minutes=29)).holds is False
    for unknown in (
        [],
        [pool()],
        [pool(hours=week([1.0, 2.0])), pool()],
        [pool(hours=[(NOW - 9 * HOUR, 5.0)])],
    ):
        assert away_from_peak(plan, unknown, NOW).holds in {None, False}


@pytest.mark.django_db
def test_the_portal_looks_itself_before_a_drill_and_a_person_cannot_say_otherwise(here, client):
    now = timezone.now()
    drill = ready(here)
    plan = services.data_of(drill)
    assert services.known_checks(drill, plan, now)["carries_load"].holds is None
    assert services.not_ready(drill, plan, now) == []
    series = metric(here.account)
    make.ceiling(here.connection, rps=10.0)
    now = timezone.now()
    SizedPool.objects.create(
        account=here.account,
        connection=here.connection,
        balancer_id="71",
        name="web",
        metric=series,
        servers=6,
    )

    def load(rps, minutes):
        at = int((now - timedelta(minutes=minutes)).timestamp() * 1e6)
        write(here.account.pk, Samples(np.array([series.pk]), np.array([at]), np.array([rps])))

    load(900.0, 40)
    assert present_of(here.account, here.connection.ref, ["71"], now)["71"].load_rps is None, "it is over"
    load(20.0, 2)
    fresh = approved(here, hold_s=61.0)
    known = services.known_checks(fresh, services.data_of(fresh), now)
    assert known["carries_load"].holds is True, known
    assert not any("present load" in one for one in services.not_ready(fresh, services.data_of(fresh), now))
    client.force_login(here.manager)
    page = client.get(reverse("drills:drill", args=[fresh.ref])).content.decode()
    assert "gets 20.0 requests/s now; the 5 servers left carry 50.0" in page
    load(51.0, 1)
    # It was attested, and is not so.
    assert any("gets 51.0 requests/s" in one for one in services.not_ready(drill, plan, now))
    page = client.get(reverse("drills:drill", args=[drill.ref])).content.decode()
    assert "does not hold" in page


@pytest.mark.django_db
def test_a_production_drill_is_not_begun_in_a_top_hour(here, monkeypatch):
    now = timezone.now()
    monkeypatch.setattr("drills.plans.services.held_before", lambda account, key: PASSED)
    drill = approved(here, environment=Environment.PRODUCTION)
    plan = services.data_of(drill)
    series = metric(here.account)
    report = GrowthReport.objects.create(
        metric=series,
        state="made",
        asked_at=now,
        made_at=now,
        analysed_until=now.replace(minute=0, second=0, microsecond=0),
    )
    SizedPool.objects.create(
        account=here.account,
        connection=here.connection,
        balancer_id="71",
        name="web",
        metric=series,
        servers=6,
    )
    values = np.full(672, 10.0)

    def forecast(first):
        values[0] = values[1] = first
        GrowthPicture.objects.filter(report=report).delete()
        GrowthPicture.objects.create(report=report, band=packed([values, values]), cone=packed([values] * 7))
        return services.known_checks(drill, plan, now)["away_from_peak"]

    assert forecast(90.0).holds is False
    assert any("busiest" in one for one in services.not_ready(drill, plan, now))
    values[100:120] = 99.0
    assert forecast(10.0).holds is True
    GrowthReport.objects.update(analysed_until=now - timedelta(days=9))
    assert services.known_checks(drill, plan, now)["away_from_peak"].holds is None
