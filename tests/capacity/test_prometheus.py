"""Range queries of Prometheus: the address, and every answer that there is; pure."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.metrics.reading import Limits, Problem, Reading
from capacity.pulls.prometheus import MOST_SERIES, Asked, address_of, read_answer
from portal.errors import ProviderFailed, Refused

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
LIMITS = Limits(NOW - timedelta(days=30), NOW + timedelta(minutes=10), "prometheus")
ONE = Asked("requests_per_s", "prometheus")
BY_SITE = Asked("requests_per_s", "prometheus", "site")


def answer(*series, status=200, is_cut=False, asked=ONE, result_type="matrix"):
    body = {"status": "success", "data": {"resultType": result_type, "result": list(series)}}
    return read_answer(status, json.dumps(body).encode(), is_cut=is_cut, asked=asked, limits=LIMITS)


@pytest.mark.parametrize(
    ("secret", "label", "kept"),
    [
        ("s3cr3t-token", "Bearer s3cr3t-token", "Bearer [token]"),
        ("s3cr3t/token", "s3cr3t/token", "[token]"),
        # So short a one may be part of any name.
        ("web", "web1", "web1"),
        ("", "web1", "web1"),
    ],
)
def test_our_own_token_is_no_label(secret, label, kept):
    body = {
        "status": "success",
        "data": {"resultType": "matrix", "result": [series([[at(), "1"]], site=label)]},
    }
    sent = json.dumps(body).replace("/", "\\/").encode()
    [row] = read_answer(200, sent, is_cut=False, asked=BY_SITE, limits=LIMITS, secret=secret).rows
    assert row.key.resource == kept


def series(values, **labels):
    return {"metric": labels, "values": values}


def at(minutes=0):
    return NOW.timestamp() + 60 * minutes


def test_the_address_has_query_span_and_step_and_keeps_the_servers_path():
    url = address_of("https://m.example/prom/", 'sum(rate(x{a="b"}[5m]))', NOW, NOW + timedelta(hours=1), 60)
    parts = urlsplit(url)
    assert (parts.netloc, parts.path) == ("m.example", "/prom/api/v1/query_range")
    assert parse_qs(parts.query) == {
        "query": ['sum(rate(x{a="b"}[5m]))'],
        "start": [f"{NOW.timestamp():.3f}"],
        "end": [f"{NOW.timestamp() + 3600:.3f}"],
        "step": ["60"],
    }


def test_an_empty_answer_is_no_data_and_no_zero():
    found = answer()
    assert (found.rows, found.series, found.unknown) == ((), 0, 0)


def test_what_is_no_number_is_unknown_and_left_out():
    values = [[at(0), "1.5"], [at(1), "NaN"], [at(2), "+Inf"], [at(3), "-Inf"], [at(4), "0"]]
    found = answer(series(values))
    assert [row.value for row in found.rows] == [1.5, 0.0]
    assert found.unknown == 3


def test_a_label_tells_series_apart_and_two_that_would_be_one_are_refused():
    two = (series([[at(), "1"]], site="shop"), series([[at(), "2"]], site="blog"))
    found = answer(*two, asked=BY_SITE)
    assert {row.key.resource: row.value for row in found.rows} == {"shop": 1.0, "blog": 2.0}
    with pytest.raises(ProviderFailed) as failure:
        answer(*two)
    assert failure.value.code == "same_series"


def test_points_outside_of_what_is_kept_are_left_out():
    values = [[at(-60 * 24 * 40), "1"], [at(), "2"], [at(60), "3"]]
    assert [row.value for row in answer(series(values)).rows] == [2.0]


def test_a_label_that_cannot_be_a_resource_is_told_and_the_others_are_kept():
    found = answer(series([[at(), "1"]], site="x" * 201), series([[at(), "2"]], site="ok"), asked=BY_SITE)
    assert [type(row) for row in found.rows] == [Problem, Reading]


@pytest.mark.parametrize(
    ("warnings", "told"),
    [
        (["store b is away\n"], "may not be whole: store b is away"),
        (["a", "b", "c", "d"], "may not be whole: a; b (and 2 more)"),
        (["Bearer s3cr3t-token refused"], "may not be whole: Bearer [token] refused"),
        ([None, {"x": 1}], "may not be whole: it does not say why; {'x': 1}"),
        ([], ""),
        (None, ""),
        ("no list", ""),
        ({"a": 1}, ""),
    ],
)
def test_warnings_of_an_answer_are_told_and_never_make_it_fail(warnings, told):
    data = {"resultType": "matrix", "result": [series([[at(), "1"]])]}
    body = json.dumps({"status": "success", "data": data, "warnings": warnings}).encode()
    found = read_answer(200, body, is_cut=False, asked=ONE, limits=LIMITS, secret="s3cr3t-token")
    assert [row.value for row in found.rows] == [1.0]
    assert found.says.endswith(told)
    assert bool(found.says) == bool(told)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(400, "bad_query", Refused), (422, "bad_query", Refused), (503, "prometheus_failed", ProviderFailed)],
)
def test_the_servers_own_word_is_in_the_sentence(status, code, kind):
    body = json.dumps(
        {"status": "error", "errorType": "bad_data", "error": "parse error at char 4\n\x00"}
    ).encode()
    with pytest.raises(kind) as trouble:
        read_answer(status, body, is_cut=False, asked=ONE, limits=LIMITS)
    assert trouble.value.code == code
    assert "\n" not in trouble.value.says


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"status": "success"}',
        b'{"status": "success", "data": {"resultType": "vector", "result": []}}',
        b'{"status": "success", "data": {"resultType": "matrix", "result": [1]}}',
        b'{"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": [[1]]}]}}',
        b'{"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": [["a", "b"]]}]}}',
        b'{"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": [[1, "x"]]}]}}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_answer_of_prometheus_is_said_to_be_none(body):
    with pytest.raises(ProviderFailed) as failure:
        read_answer(200, body, is_cut=False, asked=ONE, limits=LIMITS)
    assert failure.value.code == "not_prometheus"


def test_too_much_is_refused_as_a_whole():
    with pytest.raises(ProviderFailed) as cut:
        answer(is_cut=True)
    with pytest.raises(ProviderFailed) as many:
        answer(*(series([], site=str(n)) for n in range(MOST_SERIES + 1)), asked=BY_SITE)
    assert (cut.value.code, many.value.code) == ("too_large", "too_many_series")


@given(
    st.lists(
        st.tuples(st.floats(-1e9, 2e9), st.floats() | st.sampled_from(["NaN", "+Inf", "1e999", "7"])),
        max_size=20,
    )
)
def test_every_point_is_a_sample_within_limits_or_unknown_or_left_out(points):
    found = answer(series([[moment, str(value)] for moment, value in points]))
    assert len(found.rows) + found.unknown <= len(points)
    for row in found.rows:
        assert isinstance(row, Reading)
        assert LIMITS.begins.timestamp() * 1e6 <= row.at_us <= LIMITS.ends.timestamp() * 1e6
        assert abs(row.value) <= 1e100


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_whatever_comes_back_is_read_or_refused_with_a_sentence(body):
    with suppress(Refused, ProviderFailed):
        read_answer(200, body, is_cut=False, asked=ONE, limits=LIMITS)


def test_more_points_than_were_asked_for_are_refused_before_they_fill_the_memory():
    asked = Asked("requests_per_s", "prometheus", points=10)
    assert answer(series([[at(-n), "1"] for n in range(20)]), asked=asked).series == 1
    with pytest.raises(ProviderFailed, match="more points than were asked for"):
        answer(series([[at(-n / 100), "1"] for n in range(21)]), asked=asked)
    empty = b'{"status":"success","data":{"resultType":"matrix","result":[' + b"[]," * 10**6 + b"[]]}}"
    tracemalloc.start()
    with pytest.raises(ProviderFailed, match="more points"):
        read_answer(200, empty, is_cut=False, asked=asked, limits=LIMITS)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()
