"""k6 and Locust: the shapes of their summaries, and the traps in each."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity.importers import Check, Format, Percentile, Threshold, detect, parse
from tests.capacity.benchmarks import data, refusal, sane, taken


def changed(name, change):
    document = json.loads(data(name))
    change(document)
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("k6-export.json", Format.K6_EXPORT),
        ("k6-handle-summary.json", Format.K6_HANDLE_SUMMARY),
        ("k6-summary.json", Format.K6_SUMMARY),
    ],
)
def test_the_three_summaries_of_k6_are_told_apart_by_their_keys(name, of):
    assert detect("summary.json", data(name)) is of
    found = taken(name)
    assert found.provenance.format is of
    assert (found.requests, found.failures, found.error_ratio) == (1200, 30, 0.025), (
        "passes of http_req_failed are failures"
    )
    assert found.users == 10
    assert (found.latency.at(50), found.latency.at(90), found.latency.at(95)) == (11.0, 20.5, 31.25)
    assert Check("status is 200", 1170, 30) in found.checks


def test_a_threshold_that_says_true_was_missed_in_the_export_and_held_elsewhere():
    expected = (
        Threshold("http_req_duration", "p(95)<500", held=True),
        Threshold("http_req_failed", "rate<0.01", held=False),
    )
    assert b'"p(95)<500": false' in data("k6-export.json")
    assert taken("k6-export.json").thresholds == expected
    assert taken("k6-handle-summary.json").thresholds == expected
    assert taken("k6-summary.json").thresholds == ()


def test_a_percentile_that_was_not_asked_for_is_unknown_and_not_zero():
    assert taken("k6-export.json").latency.at(99) is None
    assert taken("k6-handle-summary.json").latency.at(99) == 60.5


def test_the_duration_of_a_summary_is_told_or_follows_from_the_rate():
    assert taken("k6-handle-summary.json").duration_s == 30.0125
    assert taken("k6-summary.json").requests_per_s == 40.0
    assert taken("k6-export.json").duration_s == 30.0
    unknown = changed("k6-export.json", lambda each: each["metrics"]["http_reqs"].pop("rate"))
    assert parse(unknown).duration_s is None


def test_without_a_request_the_zeros_of_k6_are_no_latencies():
    def none_made(document):
        document["metrics"]["http_reqs"] = {"count": 0, "rate": 0}
        document["metrics"]["http_req_failed"] = {"passes": 0, "fails": 0, "value": 0}
        document["metrics"]["http_req_duration"] = {
            "avg": 0,
            "min": 0,
            "med": 0,
            "max": 0,
            "p(90)": 0,
            "p(95)": 0,
        }

    found = sane(parse(changed("k6-export.json", none_made)))
    assert (found.latency.percentiles, found.latency.mean_ms, found.error_ratio) == ((), None, None)


def test_submetrics_are_parts_and_never_the_whole():
    found = taken("k6-export.json")
    assert [(part.name, part.latency.mean_ms) for part in found.parts] == [("expected_response:true", 11.5)]
    assert found.latency.mean_ms == 12.5


@pytest.mark.parametrize(
    "name", ["k6-export.json", "k6-handle-summary.json", "k6-summary.json", "vegeta.json", "locust.json"]
)
def test_json_that_is_cut_off_is_refused_with_its_line(name):
    for part in (0.5, 0.9, 0.99):
        refused = refusal(data(name)[: int(len(data(name)) * part)])
        assert refused.line is not None
        assert "cut off" in refused.says


def test_more_failures_than_requests_are_refused():
    wrong = changed("k6-export.json", lambda each: each["metrics"]["http_req_failed"].update(passes=1201))
    assert "damaged" in refusal(wrong).says


def test_the_samples_of_k6_as_lines_and_as_csv_say_the_same():
    lines, table = taken("k6-lines.json"), taken("k6.csv")
    for name in (
        "requests",
        "answered",
        "failures",
        "status_codes",
        "errors",
        "targets",
        "users",
        "latency",
        "histogram",
    ):
        assert getattr(lines, name) == getattr(table, name), name
    assert (lines.requests, lines.users) == (48, 10)
    assert [(step.users, step.requests) for step in lines.steps] == [(5, 24), (10, 24)]
    assert lines.started_at == datetime(2026, 11, 27, 16, 38, 20, tzinfo=UTC)


@pytest.mark.parametrize("factor", [10**3, 10**6, 10**9])
def test_times_of_k6_in_finer_units_are_the_same_times(factor):
    seconds = data("k6.csv")
    finer = b"\n".join(
        b",".join([*line.split(b",")[:1], b"%d" % (int(line.split(b",")[1]) * factor), *line.split(b",")[2:]])
        if n and line
        else line
        for n, line in enumerate(seconds.split(b"\n"))
    )
    assert parse(finer).started_at == parse(seconds).started_at
    assert parse(finer).points == parse(seconds).points


@settings(max_examples=40)
@given(
    st.lists(st.integers(1, 10**6), min_size=4, max_size=4).map(sorted),
    st.integers(1, 10**9),
    st.floats(0, 1),
    st.floats(1, 10**5),
)
def test_k6_of_known_figures_is_read_as_those(times, count, share, seconds):
    failed = int(count * share)
    values = dict(zip(("med", "p(90)", "p(99.9)", "max"), times, strict=True))
    document = {
        "version": "1.0.0",
        "config": {"duration": seconds, "execution": "local"},
        "metadata": {"generatedAt": "2026-11-27T16:40:00Z", "k6Version": "1.5.0"},
        "results": {
            "metrics": [
                {"name": "http_reqs", "type": "counter", "contains": "default", "values": {"count": count}},
                {"name": "http_req_duration", "type": "trend", "contains": "time", "values": values},
                {
                    "name": "http_req_failed",
                    "type": "rate",
                    "contains": "default",
                    "values": {"rate": share, "matches": failed, "total": count},
                },
            ]
        },
    }
    found = sane(parse(json.dumps(document).encode()))
    assert (found.requests, found.failures, found.duration_s) == (count, failed, seconds)
    assert found.requests_per_s == pytest.approx(count / seconds)
    assert found.latency.percentiles == tuple(
        Percentile(p, ms) for p, ms in zip((50, 90, 99.9), times, strict=False)
    )


def test_the_statistics_of_locust_are_those_of_its_last_line():
    found = taken("locust_stats.csv")
    assert (found.requests, found.failures, found.requests_per_s) == (850, 14, 141.6102045062377)
    assert found.latency.at(95) == 43
    assert found.latency.max_ms == pytest.approx(180.496, abs=0.001)
    assert found.users is None
    assert {(part.method, part.name, part.requests) for part in found.parts} == {
        ("POST", "/order", 202),
        ("GET", "/product", 648),
    }


def test_statistics_without_their_last_line_are_refused():
    lines = data("locust_stats.csv").splitlines(keepends=True)
    assert "Aggregated" in refusal(b"".join(lines[:-1])).says
    assert "last one" in refusal(b"".join((*lines, lines[1]))).says


def test_n_a_is_unknown():
    head = data("locust_stats.csv").splitlines()[0].decode()
    row = ",Aggregated,0,0,0,0,0,0,0,0.0,0.0," + ",".join(["N/A"] * 11)
    found = sane(parse(f"{head}\n{row}\n".encode()))
    assert (found.requests, found.latency.percentiles, found.latency.mean_ms, found.duration_s) == (
        0,
        (),
        None,
        None,
    )


def test_the_history_of_locust_gives_steps_and_no_percentiles_of_the_whole():
    found = taken("locust_stats_history.csv")
    assert (found.requests, found.failures, found.users, found.duration_s) == (850, 14, 8, 6.0)
    assert found.latency.percentiles == (Percentile(50, 15),), "those of each line are of the last seconds"
    assert [step.users for step in found.steps] == [4, 8]
    assert sum(point.requests for point in found.points) == 850
    assert found.points[0].p95_ms is None, "written as 0 where the stretch had no rate"
    assert found.started_at == datetime(2026, 11, 27, 16, 38, 15, tzinfo=UTC)


def test_the_history_without_single_names_is_read_as_well():
    lines = data("locust_stats_history.csv").splitlines(keepends=True)
    short = b"".join(line for n, line in enumerate(lines) if not n or b",,Aggregated," in line)
    assert parse(short).points == taken("locust_stats_history.csv").points


def test_counts_that_begin_anew_are_said():
    lines = data("locust_stats_history.csv").splitlines(keepends=True)
    rows = [line for line in lines if b",,Aggregated," in line]
    again = rows[1].replace(b"1795797496", b"1795797502")
    found = sane(parse(b"".join((lines[0], *rows, again))))
    assert found.requests == 87
    assert found.requests_per_s is None
    assert any("begin anew" in note for note in found.notes)


def test_failures_alone_measure_nothing():
    found = taken("locust_failures.csv")
    assert (found.requests, found.failures, found.error_ratio) == (None, 14, None)
    assert "_stats_history.csv" in found.notes[0]


def test_the_json_of_locust_has_every_time_counted():
    found = taken("locust.json")
    assert found.requests == found.latency.counted == 853
    assert {part.name for part in found.parts} == {"/product", "/order"}
