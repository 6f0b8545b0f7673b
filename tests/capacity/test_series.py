"""A metric's series as it is read: raw, by the hour and by the day, only what was asked for."""

from __future__ import annotations

from datetime import timedelta

import pytest

from capacity.metrics import series
from capacity.metrics.store import write
from tests.capacity.test_samples import BEGIN, metric, samples

pytestmark = pytest.mark.django_db


def seconds(found) -> list[float]:
    return [at / 1e6 - BEGIN.timestamp() for at in found["at"].tolist()]


def test_a_series_is_read_in_order_from_the_first_moment_to_before_the_last():
    one, other = metric(), metric(name="other")
    write(one.account_id, samples((one, 7200, 5), (one, 0, 1), (one, 1800, 2), (one, 3600, 4)))
    write(other.account_id, samples((other, 60, 99)))
    raw = series.read(one, "raw", BEGIN, BEGIN + timedelta(hours=2), limit=10)
    assert (seconds(raw), raw["value"].tolist()) == ([0, 1800, 3600], [1, 2, 4])
    hours = series.read(one, "hour", BEGIN, BEGIN + timedelta(days=1), limit=10)
    assert (seconds(hours), hours["count"].tolist()) == ([0, 3600, 7200], [2, 1, 1])
    assert (hours["mean"].tolist(), hours["p50"].tolist()) == ([1.5, 4, 5], [1.5, 4, 5])
    days = series.read(one, "day", BEGIN, BEGIN + timedelta(days=1), limit=10)
    assert (days["count"].tolist(), days["min"].tolist(), days["max"].tolist()) == ([4], [1], [5])


def test_no_more_than_was_asked_for_is_read_and_nothing_is_nothing():
    one = metric()
    write(one.account_id, samples(*((one, 60 * n, n) for n in range(5))))
    assert series.read(one, "raw", BEGIN, BEGIN + timedelta(days=1), limit=2)["value"].tolist() == [0, 1]
    nothing = series.read(one, "hour", BEGIN + timedelta(days=1), BEGIN + timedelta(days=2), limit=2)
    assert {name: len(column) for name, column in nothing.items()} == dict.fromkeys(
        series.columns_of("hour"), 0
    )
