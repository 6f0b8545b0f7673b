"""Samples as they are kept: once each, rolled up right whatever the order, by two at once, and for as long as is said."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from django.db import DataError, IntegrityError, connection, connections, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capacity.metrics import partitions, store
from capacity.metrics.models import DailyRollup, HourlyRollup, Metric, Sample
from capacity.metrics.store import Samples, lock, write
from tests import factories as make
from tests.runs.test_store_pg import in_thread, until_waiting

pytestmark = pytest.mark.django_db
BEGIN = datetime(2026, 10, 30, tzinfo=UTC)
FIGURES = ("count", "mean", "min", "max", "p50", "p95")


@pytest.fixture(autouse=True)
def _no_parts(db):
    """What a test before this one committed stays: begin without months."""
    with connection.cursor() as cursor:
        for name in partitions.months().values():
            cursor.execute(f"DROP TABLE {name}")


def metric(of=None, name="requests_per_s", **fields) -> Metric:
    return Metric.objects.create(account=of or make.account(), name=name, source="test", **fields)


def samples(*rows) -> Samples:
    """Rows of (metric, seconds after BEGIN, value)."""
    begin = int(BEGIN.timestamp())
    return Samples(
        np.array([row[0].pk for row in rows], dtype=np.int64),
        np.array([round((begin + row[1]) * 1_000_000) for row in rows], dtype=np.int64),
        np.array([row[2] for row in rows], dtype=np.float64),
    )


def kept(of) -> list:
    found = Sample.objects.filter(metric=of).order_by("at")
    return [((row.at - BEGIN).total_seconds(), row.value) for row in found]


def by_numpy(rows, length_s):
    """What the rollups must be, in plain words: {begin: figures} of rows of (seconds, value)."""
    parts: dict = {}
    for seconds, value in rows:
        parts.setdefault(seconds // length_s * length_s, []).append(value)
    return {
        begin: (len(v), np.mean(v), min(v), max(v), np.percentile(v, 50), np.percentile(v, 95))
        for begin, v in parts.items()
    }


def rolled(model, of):
    return {
        (row.at - BEGIN).total_seconds(): tuple(getattr(row, name) for name in FIGURES)
        for row in model.objects.filter(metric=of)
    }


def check_rollups(of):
    rows = kept(of)
    for model, length_s in ((HourlyRollup, 3600), (DailyRollup, 86_400)):
        expected, found = by_numpy(rows, length_s), rolled(model, of)
        assert found.keys() == expected.keys()
        for begin, figures in expected.items():
            assert found[begin] == pytest.approx(figures, rel=1e-9, abs=1e-9), (model, begin)


def test_a_sample_is_kept_with_its_hour_and_day():
    one = metric()
    assert write(one.account_id, samples((one, 60, 5), (one, 120, 7))) == 2
    assert kept(one) == [(60, 5), (120, 7)]
    assert rolled(HourlyRollup, one) == {0: (2, 6, 5, 7, 6, pytest.approx(6.9))}
    assert rolled(DailyRollup, one) == rolled(HourlyRollup, one)
    one.refresh_from_db()
    assert (one.last_at, one.last_value) == (BEGIN + timedelta(seconds=120), 7)


def test_the_same_again_changes_nothing():
    one = metric()
    batch = samples((one, 60, 5), (one, 4000, 7))
    write(one.account_id, batch)
    before = rolled(HourlyRollup, one)
    assert write(one.account_id, batch) == 0
    assert kept(one) == [(60, 5), (4000, 7)]
    assert rolled(HourlyRollup, one) == before


def test_another_value_for_the_same_moment_replaces_the_one_before():
    one = metric()
    write(one.account_id, samples((one, 60, 5), (one, 90, 6)))
    assert write(one.account_id, samples((one, 60, 50), (one, 90, 6))) == 1
    assert kept(one) == [(60, 50), (90, 6)]
    check_rollups(one)


def test_what_changes_on_two_days_leaves_the_days_between_alone():
    one = metric()
    write(one.account_id, samples((one, 60, 5), (one, 86_400 * 20, 6), (one, 86_400 * 40, 7)))
    assert write(one.account_id, samples((one, 60, 50), (one, 86_400 * 40, 70))) == 2
    assert kept(one) == [(60, 50), (86_400 * 20, 6), (86_400 * 40, 70)]
    check_rollups(one)


def test_of_one_moment_twice_in_one_batch_the_last_counts():
    one = metric()
    assert write(one.account_id, samples((one, 60, 5), (one, 0, 1), (one, 60, 9))) == 2
    assert kept(one) == [(0, 1), (60, 9)]


def test_a_late_sample_does_not_become_the_latest():
    one = metric()
    write(one.account_id, samples((one, 600, 5)))
    write(one.account_id, samples((one, 60, 99)))
    one.refresh_from_db()
    assert one.last_value == 5
    write(one.account_id, samples((one, 600, 6)))
    one.refresh_from_db()
    assert one.last_value == 6


def test_nothing_to_write_is_written_as_nothing():
    one = metric()
    assert write(one.account_id, samples()) == 0


def test_moments_are_kept_to_the_microsecond_and_edges_belong_to_what_begins():
    one = metric()
    write(
        one.account_id,
        samples((one, 3599.999999, 1), (one, 3600, 2), (one, 86_399.999999, 3), (one, 86_400, 4)),
    )
    assert [seconds for seconds, _ in kept(one)] == [3599.999999, 3600, 86_399.999999, 86_400]
    assert sorted(rolled(HourlyRollup, one)) == [0, 3600, 82_800, 86_400]
    assert {begin: row[0] for begin, row in rolled(DailyRollup, one).items()} == {0: 3, 86_400: 1}


def test_many_metrics_are_rolled_up_each_by_itself():
    account = make.account()
    several = [metric(account, f"figure_{n}") for n in range(120)]
    write(
        account.pk,
        samples(*((one, 1800 * step, n * 10 + step) for n, one in enumerate(several) for step in range(4))),
    )
    for one in several:
        check_rollups(one)


def batches_of(moments, **size):
    return st.dictionaries(st.tuples(st.integers(0, 1), moments), st.integers(0, 3), **size)


MINUTES = st.integers(0, 40).map(lambda minute: 60 * minute)
CLOSE = st.tuples(batches_of(MINUTES), batches_of(MINUTES))
# On days between which lie others: what a batch does not touch is neither read nor deleted.
DAYS = st.sampled_from((0, 1, 3, 4)).map(lambda day: 86_400 * day)
DISTANT = st.tuples(batches_of(DAYS, min_size=6), batches_of(DAYS, max_size=4))


@pytest.mark.parametrize("few", [0, 100])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=CLOSE | DISTANT)
def test_what_changes_lies_between_what_is_new_and_what_stays(few, monkeypatch, batches):
    """Stretches that change are deleted as such, single rows by a join: nothing else goes with them."""
    monkeypatch.setattr(store, "_FEW_STRETCHES", few)
    first, then = batches
    with transaction.atomic():
        account = make.account()
        several = [metric(account, f"figure_{n}") for n in range(2)]
        for batch in batches:
            rows = ((several[n], seconds, value) for (n, seconds), value in batch.items())
            written = write(account.pk, samples(*rows))
        assert written == sum(first.get(key) != value for key, value in then.items())
        whole = first | then
        for n, one in enumerate(several):
            mine = sorted((seconds, value) for (of, seconds), value in whole.items() if of == n)
            assert kept(one) == mine
            check_rollups(one)
        transaction.set_rollback(True)


MOMENTS = st.integers(0, 3 * 86_400 - 1).map(lambda n: n - n % 900)
ROWS = st.lists(
    st.tuples(st.integers(0, 1), MOMENTS, st.floats(-1e6, 1e6, allow_nan=False)), min_size=1, max_size=40
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(batches=st.lists(ROWS, min_size=1, max_size=5))
def test_rollups_are_right_in_whatever_order_samples_come(batches):
    account = make.account()
    both = [metric(account, "a"), metric(account, "b")]
    last: dict = {}
    for batch in batches:
        write(account.pk, samples(*((both[n], seconds, value) for n, seconds, value in batch)))
        last |= {(n, seconds): value for n, seconds, value in batch}
    for number, one in enumerate(both):
        expected = sorted((seconds, value) for (n, seconds), value in last.items() if n == number)
        assert kept(one) == expected
        check_rollups(one)
        one.refresh_from_db()
        assert one.last_value == (expected[-1][1] if expected else None)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e101])
def test_the_table_itself_takes_no_value_that_is_none(value):
    one = metric()
    with pytest.raises((IntegrityError, DataError)), transaction.atomic():
        write(one.account_id, samples((one, 60, value)))
    assert kept(one) == []


# --- two at once --------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_two_who_write_the_same_hour_at_once_leave_it_right():
    one = metric()
    with transaction.atomic():
        write(one.account_id, samples((one, 60, 5), (one, 120, 7)))
        thread, box = in_thread(write, one.account_id, samples((one, 120, 70), (one, 180, 9)))
        until_waiting(thread)
    thread.join(10)
    assert box["result"] == 2
    assert kept(one) == [(60, 5), (120, 70), (180, 9)]
    check_rollups(one)


@pytest.mark.django_db(transaction=True)
def test_many_writers_in_opposite_orders_never_stand_in_each_others_way():
    account = make.account()
    several = [metric(account, f"figure_{n}") for n in range(4)]
    troubles: list = []

    def work(number):
        try:
            for turn in range(6):
                order = several if number % 2 else several[::-1]
                # Each touches every month, all values of one moment, and some of its own.
                rows = [(one, 86_400 * 20 * n + number, turn) for n, one in enumerate(order)]
                write(account.pk, samples(*rows, *((one, 5, number) for one in order)))
        except Exception as trouble:  # noqa: BLE001 - told by the test
            troubles.append(trouble)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert not troubles
    for one in several:
        check_rollups(one)


@pytest.mark.django_db(transaction=True)
def test_another_account_does_not_wait():
    one, other = metric(), metric()
    write(other.account_id, samples((other, 0, 1)))
    with transaction.atomic():
        lock(one.account_id)
        thread, box = in_thread(write, other.account_id, samples((other, 60, 5)))
        thread.join(10)
        assert box["result"] == 1


# --- months -------------------------------------------------------------------------------------------------


def test_a_month_gets_its_part_when_the_first_sample_of_it_comes():
    one = metric()
    write(one.account_id, samples((one, 0, 1), (one, 40 * 86_400, 2)))
    there = partitions.months()
    assert {datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)} <= there.keys()
    assert datetime(2026, 11, 1, tzinfo=UTC) not in there
    with connection.cursor() as cursor:
        cursor.execute("SELECT value FROM capacity_sample_2026_12")
        assert cursor.fetchall() == [(2.0,)]


def test_months_are_made_ahead_and_dropped_once_all_of_them_is_too_old(settings):
    settings.SAMPLE_DAYS = 30
    one = metric()
    write(one.account_id, samples((one, 0, 1), (one, 3 * 86_400, 2)))
    # The whole of October is older than 30 days from 1 December on, and a day later it goes.
    assert partitions.drop_old(datetime(2026, 12, 1, 23, 59, tzinfo=UTC)) == []
    assert partitions.drop_old(datetime(2026, 12, 2, tzinfo=UTC)) == ["capacity_sample_2026_10"]
    assert kept(one) == [(3 * 86_400, 2)]
    # What it was rolled up into stays.
    assert sorted(rolled(HourlyRollup, one)) == [0, 3 * 86_400]
    made = partitions.ensure_ahead(datetime(2026, 12, 31, tzinfo=UTC))
    assert made == ["capacity_sample_2026_12", "capacity_sample_2027_01", "capacity_sample_2027_02"]
    assert partitions.ensure_ahead(datetime(2026, 12, 31, tzinfo=UTC)) == []


@pytest.mark.django_db(transaction=True)
def test_dropping_waits_for_a_writer_and_the_writer_not_for_it(settings):
    settings.SAMPLE_DAYS = 1
    one = metric()
    write(one.account_id, samples((one, 0, 1)))
    with transaction.atomic():
        write(one.account_id, samples((one, 60, 2)))
        thread, box = in_thread(partitions.drop_old, datetime(2026, 12, 31, tzinfo=UTC))
        until_waiting(thread)
        write(one.account_id, samples((one, 120, 3)))
    thread.join(10)
    assert box["result"] == ["capacity_sample_2026_10"]
    assert kept(one) == []


@pytest.mark.django_db(transaction=True)
def test_dropping_lets_others_pass_where_somebody_holds_on(settings, monkeypatch):
    settings.SAMPLE_DAYS = 1
    monkeypatch.setattr(partitions, "_PATIENCE", "50ms")
    one = metric()
    write(one.account_id, samples((one, 0, 1)))
    with transaction.atomic():
        write(one.account_id, samples((one, 60, 2)))
        thread, box = in_thread(partitions.drop_old, datetime(2026, 12, 31, tzinfo=UTC))
        thread.join(10)
        assert box["result"] == []
    assert kept(one) == [(0, 1), (60, 2)]
    assert partitions.drop_old(datetime(2026, 12, 31, tzinfo=UTC)) == ["capacity_sample_2026_10"]


def test_with_its_metric_go_samples_and_rollups():
    one = metric()
    write(one.account_id, samples((one, 0, 1)))
    one.delete()
    assert not Sample.objects.exists()
    assert not HourlyRollup.objects.exists()
    assert not DailyRollup.objects.exists()
