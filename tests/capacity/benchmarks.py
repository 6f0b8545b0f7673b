"""What the tests of benchmark files share: the files, and what must be so of every result."""

from __future__ import annotations

import json
import math
from pathlib import Path

from capacity.importers import ImportRefused, parse
from capacity.importers.types import Latency

FILES = Path(__file__).parent / "benchmark_files"


def data(name):
    return (FILES / name).read_bytes()


def taken(name):
    return sane(parse(data(name), name))


def refusal(content, name="file"):
    try:
        parse(content if isinstance(content, bytes) else content.encode(), name)
    except ImportRefused as refused:
        return refused
    raise AssertionError("the file was taken in")


def _latency(latency: Latency):
    figures = (latency.min_ms, latency.mean_ms, latency.max_ms, latency.stdev_ms)
    assert all(each is None or (math.isfinite(each) and each >= 0) for each in figures)
    percents = [each.percent for each in latency.percentiles]
    values = [each.ms for each in latency.percentiles]
    assert percents == sorted(set(percents))
    assert values == sorted(values)
    assert all(0 < each <= 100 for each in percents)
    assert all(math.isfinite(each) and each >= 0 for each in values)


def sane(result):
    """Return a result after looking at every value of it: in range, and JSON can carry it."""
    counts = (
        result.requests,
        result.answered,
        result.failures,
        result.bytes_received,
        result.bytes_sent,
        result.users,
    )
    assert all(each is None or (isinstance(each, int) and each >= 0) for each in counts)
    if result.requests is not None:
        assert (result.failures or 0) <= result.requests
        assert (result.answered or 0) <= result.requests
    rates = (result.duration_s, result.requests_per_s, result.asked_per_s)
    assert all(each is None or (math.isfinite(each) and each >= 0) for each in rates)
    assert result.error_ratio is None or 0 <= result.error_ratio <= 1
    for at in (result.started_at, result.ended_at):
        assert at is None or (at.utcoffset() is not None and 1999 < at.year < 2101)
    if result.started_at and result.ended_at:
        assert result.started_at <= result.ended_at
    _latency(result.latency)
    for part in result.parts:
        _latency(part.latency)
        assert part.requests is None or (part.failures or 0) <= part.requests
    for point in result.points:
        assert point.offset_s >= 0
        assert point.length_s >= 0
        assert point.requests is None or (point.failures or 0) <= point.requests
    assert all(each.count is None or each.count >= 0 for each in result.errors)
    assert all(each.count >= 0 for each in (*result.histogram, *result.status_codes))
    assert result.notes
    assert all(note.endswith(".") for note in result.notes)
    json.dumps(result.as_plain(), allow_nan=False)
    return result
