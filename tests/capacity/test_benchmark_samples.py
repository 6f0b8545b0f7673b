"""JMeter and vegeta: files with a line for each request, and what must not be counted twice or at all."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity.importers import ErrorKind, Format, Load, StatusCode, parse
from capacity.importers.types import Bucket
from tests.capacity.benchmarks import data, refusal, sane, taken

HEAD = "timeStamp,elapsed,label,responseCode,responseMessage,threadName,success,bytes,allThreads"
AT = 1795797500000


def jtl(*lines, head=HEAD):
    return "\n".join((head, *lines)) + "\n"


def sample(ms=10, *, at=AT, label="home", code="200", message="OK", success="true", users=1):
    return f"{at},{ms},{label},{code},{message},t 1-1,{success},100,{users}"


def test_the_csv_and_the_xml_of_one_run_of_jmeter_say_the_same():
    table, tree = taken("jmeter.jtl"), taken("jmeter.xml")
    assert (table.provenance.format, tree.provenance.format) == (Format.JMETER_CSV, Format.JMETER_XML)
    for name in (
        "requests",
        "answered",
        "failures",
        "latency",
        "histogram",
        "status_codes",
        "errors",
        "points",
        "parts",
        "targets",
        "started_at",
        "duration_s",
    ):
        assert getattr(table, name) == getattr(tree, name), name
    assert (table.requests, table.answered, table.failures) == (60, 59, 6)
    assert [(step.users, step.requests) for step in table.steps] == [(2, 28), (4, 32)], (
        "a second with both counts as the higher"
    )
    assert {part.name: part.requests for part in table.parts} == {"home": 40, "order": 20}
    assert table.started_at == datetime(2026, 11, 27, 16, 38, 20, tzinfo=UTC)
    assert table.load is Load.CLOSED


def test_the_percentile_of_a_step_is_that_of_its_requests():
    """Each second is as fast as it likes, so a percentile of percentiles would be off by a tenth."""
    dice = np.random.default_rng(3)
    lines, asked = [], {5: [], 10: []}
    for users, begins in ((5, 0), (10, 20)):
        for second in range(begins, begins + 20):
            factor = 1.0 + dice.uniform(-0.4, 0.4)
            for n in range(200):
                ms = round(100.0 * factor * dice.lognormal(0.0, 0.6))
                asked[users].append(ms)
                lines.append(sample(ms, at=AT + 1000 * second + 5 * n, users=users))
    steps = {step.users: step for step in parse(jtl(*lines).encode()).steps}
    for users, times in asked.items():
        assert steps[users].requests == 4000
        assert steps[users].p95_ms == pytest.approx(np.quantile(times, 0.95), rel=0.03)


def test_columns_are_told_by_their_names_whatever_case_and_order():
    other = "LABEL,Success,elapsed,TIMESTAMP\nhome,TRUE,12,1795797500000\n"
    found = sane(parse(other.encode()))
    assert (found.requests, found.failures, found.latency.max_ms) == (1, 0, 12.0)
    assert any("how many threads" in note for note in found.notes)


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_other_separators_are_understood(mark):
    found = parse(jtl(sample(10), sample(30)).replace(",", mark).encode())
    assert found.latency.max_ms == 30


def test_a_decimal_comma_is_one_where_the_comma_does_not_separate():
    assert parse(b"elapsed;label;success\n12,5;home;true\n").latency.max_ms == 12.5


def test_jmeter_without_its_header_is_refused_with_the_setting_that_writes_it():
    refused = refusal(f"{AT},12,home,200,OK,t 1-1,true,100,1\n")
    assert "print_field_names=true" in refused.says
    assert refused.line == 1


@pytest.mark.parametrize(
    ("line", "at", "says"),
    [
        (sample("12x"), 3, "number"),
        (sample(""), 3, "empty"),
        (sample("-5"), 3, "cannot be"),
        (sample(success="maybe"), 3, "neither true nor false"),
        (f"{AT},10,home", 3, "9 fields were expected"),
        (f'{AT},10,"home', 3, "does not end"),
        (sample(at="yesterday"), 3, "timestamp_format"),
        (sample(at=12), 3, "2000 and 2100"),
    ],
)
def test_a_bad_line_is_refused_by_its_number(line, at, says):
    refused = refusal(jtl(sample(), line))
    assert says in refused.says
    assert refused.line == at


def test_the_number_of_a_line_counts_line_ends_within_quotes():
    quoted = f'{AT},10,"ho\nme",200,OK,t 1-1,true,100,1'
    assert refusal(jtl(quoted, sample("x"))).line == 4


def test_transactions_do_not_count_twice():
    inner = [sample(10, at=AT), sample(20, at=AT + 20)]
    outer = sample(
        30, label="checkout", message='"Number of samples in transaction : 2, number of failing samples : 0"'
    )
    found = sane(parse(jtl(*inner, outer).encode()))
    assert (found.requests, found.latency.max_ms) == (2, 20.0)
    assert {part.name for part in found.parts} == {"home", "checkout"}
    assert any("are in no sum" in note for note in found.notes)
    alone = sane(parse(jtl(outer).encode()))
    assert (alone.requests, alone.latency.max_ms) == (1, 30.0)
    assert any("transaction" in note for note in alone.notes)


def test_batches_have_a_mean_and_no_percentile():
    head = "timeStamp,elapsed,label,success,SampleCount,ErrorCount"
    found = sane(parse(jtl(f"{AT},500,home,true,10,2", f"{AT},100,home,true,1,0", head=head).encode()))
    assert (found.requests, found.failures) == (11, 2)
    assert found.latency.percentiles == ()
    assert found.latency.mean_ms == pytest.approx(600 / 11)


def test_times_without_a_zone_give_a_duration_and_no_moment():
    lines = (sample(at="2026/11/27 16:38:20.000"), sample(at="2026/11/27 16:38:30.000"))
    found = sane(parse(jtl(*lines).encode()))
    assert (found.started_at, found.duration_s) == (None, 10.01)


def test_a_header_in_the_middle_is_that_of_an_appended_file():
    assert parse(jtl(sample(), HEAD, sample()).encode()).requests == 2


def test_only_the_outermost_samples_of_xml_count():
    assert b"logo.png" in data("jmeter.xml")
    assert "logo.png" not in {part.name for part in taken("jmeter.xml").parts}


def test_an_xml_that_declares_a_document_type_is_not_read():
    bomb = '<?xml version="1.0"?><!DOCTYPE testResults [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><testResults version="1.2"><sample t="1" s="true" lb="&b;"/></testResults>'
    outside = bomb.replace('<!ENTITY a "aaaa">', '<!ENTITY a SYSTEM "file:///etc/passwd">')
    assert "document type" in refusal(bomb).says
    assert "document type" in refusal(outside).says


def test_an_xml_that_is_cut_off_is_refused_with_its_line_and_what_to_do():
    content = data("jmeter.xml")[:-20]
    refused = refusal(content)
    assert "</testResults>" in refused.says
    assert refused.line == content.count(b"\n") + 1


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**5),
            st.booleans(),
            st.sampled_from(["a", "b,c", 'd"e', "ü"]),
            st.integers(0, 10**5),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_jmeter_of_known_samples_is_read_as_those(samples):
    def quoted(text):
        return '"' + text.replace('"', '""') + '"'

    lines = [
        sample(
            ms, at=AT + offset, label=quoted(label), code="200" if good else "500", success=str(good).lower()
        )
        for ms, good, label, offset in samples
    ]
    found = sane(parse(jtl(*lines).encode()))
    assert (found.requests, found.failures) == (len(samples), sum(not good for _, good, *_ in samples))
    assert found.latency.mean_ms == pytest.approx(sum(ms for ms, *_ in samples) / len(samples))
    assert found.latency.at(99.9) == max(ms for ms, *_ in samples)
    assert sum(point.requests for point in found.points) == len(samples)
    assert {part.name: part.requests for part in found.parts} == {
        label: sum(one == label for _, _, one, _ in samples)
        for label in {label for _, _, label, _ in samples}
    }


def test_the_report_of_vegeta_is_in_nanoseconds_and_its_errors_have_no_count():
    found = taken("vegeta.json")
    assert (found.requests, found.answered, found.failures) == (1200, 1160, 100)
    assert (found.latency.at(50), found.latency.at(99), found.latency.mean_ms) == (
        4.272568,
        24.815246,
        5.09431,
    )
    assert (found.latency.min_ms, found.latency.max_ms) == (1.438129, 31.046203)
    assert found.duration_s == pytest.approx(9.991666667)
    assert found.load is Load.OPEN
    assert found.errors[0] == ErrorKind("503 Service Unavailable", None)
    assert found.status_codes == (StatusCode("200", 1100), StatusCode("503", 60))
    assert found.histogram[0] == Bucket(0.0, 5.0, 700)
    assert found.started_at == datetime(2026, 11, 27, 16, 38, 16, 123456, tzinfo=UTC)
    assert "token" not in str(found.as_plain()), "a query may hold a secret"


def test_the_text_of_vegeta_says_the_same_as_its_json():
    text, report = taken("vegeta.txt"), taken("vegeta.json")
    for name in (
        "requests",
        "answered",
        "failures",
        "duration_s",
        "bytes_received",
        "status_codes",
        "errors",
        "targets",
    ):
        assert (
            getattr(text, name) == pytest.approx(getattr(report, name))
            if name == "duration_s"
            else getattr(text, name) == getattr(report, name)
        )
    assert [each.ms for each in text.latency.percentiles] == pytest.approx(
        [each.ms for each in report.latency.percentiles]
    )
    assert text.started_at is None


def test_values_of_the_text_of_vegeta_are_told_by_the_names_of_their_line():
    old = data("vegeta.txt").replace(
        b"[min, mean, 50, 90, 95, 99, max]  1.438129ms, 5.09431ms,", b"[mean, 50, 90, 95, 99, max]  1m30.5s,"
    )
    found = parse(old)
    assert (found.latency.min_ms, found.latency.mean_ms) == (None, 90_500)


def test_the_two_encodings_of_vegetas_results_say_the_same():
    lines, table = taken("vegeta-results.json"), taken("vegeta-results.csv")
    for name in ("requests", "answered", "failures", "status_codes", "errors", "targets", "bytes_received"):
        assert getattr(lines, name) == getattr(table, name), name
    assert (lines.requests, lines.failures, lines.answered) == (120, 10, 115)
    assert lines.latency == table.latency
    assert lines.requests_per_s == pytest.approx(120 / 11.9)


@pytest.mark.parametrize(
    ("name", "line"), [("vegeta-results.json", 120), ("vegeta-results.csv", 120), ("k6-lines.json", 160)]
)
def test_a_file_of_results_that_is_cut_off_is_refused_by_its_line(name, line):
    assert refusal(data(name).rstrip()[:-30]).line == line


def test_a_variable_of_a_script_that_is_called_like_a_column_is_not_that_column():
    found = parse(jtl(sample(10) + ",7,false", head=HEAD + ",elapsed,success").encode())
    assert (found.latency.mean_ms, found.failures) == (10.0, 0)


def test_samples_of_k6_without_status_do_not_tell_what_failed_when():
    at = "2026-11-27T16:38:%02dZ"
    lines = [
        {
            "type": "Point",
            "metric": name,
            "data": {"time": at % second, "value": value, "tags": {"method": "GET"}},
        }
        for second in range(20)
        for name, value in (
            ("vus", 5),
            ("http_reqs", 1),
            ("http_req_duration", 12),
            ("http_req_failed", second == 3),
        )
    ]
    text = "\n".join(
        json.dumps({**one, "data": {**one["data"], "value": int(one["data"]["value"])}}) for one in lines
    )
    found = sane(parse(text.encode()))
    assert (found.requests, found.answered, found.failures) == (20, None, 1)
    assert {one.failures for one in (*found.points, *found.steps)} == {None}
    assert any("systemTags" in note for note in found.notes)
    without = sane(parse("\n".join(line for line in text.split("\n") if "req_failed" not in line).encode()))
    assert without.failures is None


def test_two_lines_of_locust_within_one_second_lose_no_request():
    head = "Timestamp,User Count,Type,Name,Requests/s,Failures/s,95%,Total Request Count,Total Failure Count"
    lines = [f"{1795797500 + n // 2},5,,Aggregated,20,1,30,{n * 10},{n}" for n in range(41)]
    found = sane(parse("\n".join((head, *lines, "")).encode()))
    [step] = found.steps
    # What came within the first second, before there was a stretch, is in the sums alone.
    assert (step.requests, step.failures, step.length_s) == (390, 39, 20.0)
    assert (found.requests, found.failures) == (400, 40)
