"""No series of a run pushes another one out, and what is summed is all of it."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.runs.models import RunSample
from scaledown.courses import ProbeSum, course, newest, probe_sums
from tests.scaledown.rows import desk
from tests.scaledown.test_services import started
from tests.scaledown.test_thinning import look_for, probes

pytestmark = pytest.mark.django_db
ENDS = {True: {"ok": True}, False: {"ok": False}, None: {"ok": None}, "slow": {"ok": False, "slow": True}}
LOOKS = st.lists(
    st.tuples(st.sampled_from([*ENDS]), st.none() | st.integers(1, 9000), st.integers(1, 9)), max_size=30
)


@pytest.fixture
def run():
    return started(desk())


def kept(run, series, *looks):
    now = timezone.now()
    RunSample.objects.bulk_create(
        RunSample(
            run=run,
            series=series,
            at=now + timedelta(seconds=number),
            value=value,
            detail=ENDS[ok] | ({"looks": stands_for} if stands_for > 1 else {}),
        )
        for number, (ok, value, stands_for) in enumerate(looks)
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(looks=LOOKS)
def test_sums_are_those_of_each_look_by_itself(run, looks):
    RunSample.objects.filter(run=run).delete()
    kept(run, "probe:home", *looks)
    kept(run, "probe:other", (True, 1, 1))
    found = probe_sums(run, ["probe:home", "probe:other"])
    each = [(ok, value) for ok, value, stands_for in looks for _ in range(stands_for)]
    told = found.get("probe:home", ProbeSum())
    assert told.looks == len(each)
    assert (told.failed, told.slow, told.unknown) == tuple(
        sum(ok is end for ok, _ in each) for end in (False, "slow", None)
    )
    answers = [value for ok, value in each if ok in (True, "slow") and value is not None]
    if not answers:
        assert (told.median_ms, told.p95_ms, told.slowest_ms) == (None, None, None)
    else:
        assert told.slowest_ms == max(answers)
        assert told.median_ms == pytest.approx(np.percentile(answers, 50))
        assert told.p95_ms == pytest.approx(np.percentile(answers, 95))
    assert found["probe:other"].looks == 1


def test_the_first_and_the_last_failure_are_found_however_long_ago(run):
    probes(run, 8.0, detail="jsonb_build_object('ok', n NOT IN (60000, 60600))")
    told = probe_sums(run, ["probe:home"])["probe:home"]
    assert told.failed == 2
    assert told.failed_until - told.failed_since == timedelta(seconds=6000)
    assert told.since < told.failed_since


def test_a_course_has_its_ends_its_highest_point_and_its_gaps(run):
    look_for(
        run,
        "probe:home",
        1.0,
        value="CASE n WHEN 4000 THEN 99 WHEN 2000 THEN NULL ELSE n % 7 END".replace("%", "%%"),
    )
    kept(run, "connections:a", *[(True, n, 1) for n in range(9)])
    found = course(run, ["probe:home", "connections:a", "connections:b"], 100)
    values = [point.value for point in found["probe:home"]]
    rows = RunSample.objects.filter(run=run, series="probe:home").order_by("at")
    assert len(values) <= 2 * 100 + 2
    assert values.count(99) == 1
    assert values.count(None) == 1
    assert (found["probe:home"][0].at, found["probe:home"][-1].at) == (rows.first().at, rows.last().at)
    assert [point.value for point in found["connections:a"]] == list(range(9))
    assert "connections:b" not in found


def test_the_newest_of_each_series_are_read_however_many_another_has(run):
    kept(run, "connections:a", (True, 5, 1), (True, 4, 1))
    look_for(run, "probe:home", 1.0)
    found = newest(run, ["probe:home", "connections:a", "probe:none"], 50)
    assert [row.value for row in found["connections:a"]] == [5, 4]
    assert len(found["probe:home"]) == 50
    assert found["probe:home"][-1].at == RunSample.objects.filter(series="probe:home").latest("at").at
