"""wrk, hey and ApacheBench: files of the tools themselves, and texts made of known figures."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.importers import ErrorKind, Format, ImportRefused, Load, Percentile, StatusCode, parse
from capacity.importers.notes import CLOSED, NO_PERCENTILES
from capacity.importers.types import Latency
from tests.capacity.benchmarks import data, refusal, sane, taken


def test_wrk_with_latency_gives_percentiles_and_what_was_refused():
    found = taken("wrk-latency.txt")
    assert (found.provenance.format, found.tool, found.load, found.users) == (
        Format.WRK,
        "wrk",
        Load.CLOSED,
        10,
    )
    assert (found.requests, found.answered, found.failures) == (2912, 2912, 308)
    assert (found.duration_s, found.requests_per_s, found.bytes_received) == (2.02, 1441.04, 495974)
    assert found.latency.percentiles == (
        Percentile(50, 6.29),
        Percentile(75, 9.03),
        Percentile(90, 12.46),
        Percentile(99, 22.77),
    )
    assert (found.latency.mean_ms, found.latency.stdev_ms, found.latency.max_ms) == (7.20, 4.32, 34.67)
    assert found.targets == ("http://127.0.0.1:8899/mix",)
    assert CLOSED in found.notes


def test_what_ended_in_a_socket_error_was_tried_but_is_no_answer():
    found = taken("wrk-errors.txt")
    assert (found.requests, found.answered, found.failures) == (1654 + 385, 1654, 385)
    assert found.errors == (ErrorKind("socket: read", 385),)


def test_wrk_without_latency_has_an_average_and_no_percentile():
    found = taken("wrk.txt")
    assert found.latency.percentiles == ()
    assert found.failures == 0
    assert any(NO_PERCENTILES in note for note in found.notes)


def test_wrk2_is_an_open_load_and_its_uncorrected_block_is_left_alone():
    text = (
        "Running 30s test @ http://shop.example/a?token=x\n  2 threads and 100 connections\n"
        "  Thread calibration: mean lat.: 9747 usec, rate sampling interval: 21 msec\n"
        "  Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency     6.46ms    1.93ms  12.34ms   67.66%\n"
        "    Req/Sec     1.05k     1.12k    2.50k    64.84%\n"
        "  Latency Distribution (HdrHistogram - Recorded Latency)\n 50.000%    6.67ms\n 99.900%   12.00ms\n100.000%    1.20s\n"
        "\n  Latency Distribution (HdrHistogram - Uncorrected Latency)\n 50.000%    1.00ms\n"
        "  60018 requests in 30.00s, 19.81MB read\nRequests/sec:   2000.15\nTransfer/sec:    676.14KB\n"
    )
    found = sane(parse(text.encode()))
    assert (found.tool, found.load) == ("wrk2", Load.OPEN)
    assert found.latency.percentiles == (
        Percentile(50, 6.67),
        Percentile(99.9, 12.0),
        Percentile(100, 1200.0),
    )
    assert found.targets == ("http://shop.example/a",), "a query may hold a secret"


@pytest.mark.parametrize(
    ("printed", "ms"),
    [("657.00us", 0.657), ("9.80ms", 9.8), ("1.20s", 1200), ("1.50m", 90_000), ("1.00h", 3_600_000)],
)
def test_units_of_wrk_become_milliseconds(printed, ms):
    text = data("wrk.txt").replace(b"6.81ms", printed.encode())
    assert parse(text).latency.mean_ms == pytest.approx(ms)


@pytest.mark.parametrize("name", ["wrk-latency.txt", "hey.txt", "ab.txt"])
def test_a_text_that_is_cut_off_is_refused_and_says_so(name):
    lines = data(name).splitlines(keepends=True)
    # hey ends with blank lines.
    whole_from = next((n for n, line in enumerate(lines) if b"[503]" in line), len(lines) - 3)
    for kept in range(1, whole_from + 1):
        if b"".join(lines[:kept]).strip().splitlines()[-1:] == [
            b"Total:          2    9   5.9      7      39"
        ]:
            continue  # as `ab -d` ends, which prints no percentages
        says = refusal(b"".join(lines[:kept])).says
        assert any(
            each in says for each in ("cut off", "is empty", "no result that is understood", "were expected")
        )


def test_ab_without_its_table_says_that_it_may_be_cut_off():
    found = parse(data("ab.txt").partition(b"\nPercentage of")[0] + b"\n")
    assert found.latency.percentiles == ()
    assert any("cut off" in note for note in found.notes)


@pytest.mark.parametrize("name", ["wrk-latency.txt", "hey.txt", "ab.txt", "ab-errors.txt"])
@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_the_ends_of_lines_and_a_byte_order_mark_change_nothing(name, end):
    other = parse(b"\xef\xbb\xbf" + data(name).replace(b"\n", end))
    plain = parse(data(name))
    assert other.latency == plain.latency
    assert (other.requests, other.failures, other.errors) == (plain.requests, plain.failures, plain.errors)


def test_two_runs_in_one_text_are_refused():
    for name in ("wrk.txt", "hey.txt", "ab.txt"):
        assert "more than one run" in refusal(data(name) * 2).says


def test_hey_counts_what_got_no_answer_and_a_percentile_it_could_not_make_is_none():
    found = taken("hey-errors.txt")
    assert (found.requests, found.answered, found.failures) == (100, 93, 7)
    assert found.errors == (ErrorKind('Get "http://127.0.0.1:8899/cut": EOF', 7),)
    assert found.latency.at(99) is None, "printed as 0% in 0.0000 secs"
    assert found.latency.at(95) == pytest.approx(15.6)
    assert sum(bucket.count for bucket in found.histogram) == 93


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        ("hey.txt", b"[503]"),
        ("hey.txt", b"34 responses"),
        ("hey.txt", b"sponses\n  [503]"),
        ("hey-errors.txt", b"Error distribution"),
    ],
)
def test_hey_that_is_cut_off_in_its_last_lines_tells_no_lower_share_of_errors(name, cut):
    whole = data(name)
    assert whole.count(cut) == 1
    for more in (0, 2):
        says = refusal(whole[: whole.index(cut) + more]).says
        assert "cut off" in says


def test_an_old_hey_counts_answers_alone_in_its_requests_a_second():
    whole = data("hey-errors.txt")
    rate = float(re.search(rb"Requests/sec:\s+(\S+)", whole)[1])
    total = float(re.search(rb"Total:\s+(\S+) secs", whole)[1])
    older = whole.replace(f"{rate:.4f}".encode(), f"{93 / total:.4f}".encode())
    assert older != whole
    assert parse(older).requests == 100


def test_of_more_than_a_million_answers_hey_does_not_tell_how_many_failed():
    text = data("hey.txt")
    for was, now in (
        (b"0.2808 secs", b"60.0000 secs"),
        (b"1424.6917", b"50000.0000"),
        (b"[200]\t366 resp", b"[200]\t915000 resp"),
        (b"[503]\t34 resp", b"[503]\t85000 resp"),
    ):
        assert text.count(was) == 1
        text = text.replace(was, now)
    found = sane(parse(text))
    assert (found.requests, found.failures, found.latency.counted) == (3_000_000, None, 1_000_000)
    assert any("how many failed is not told" in note for note in found.notes)


def test_hey_without_one_answer_has_no_latency_instead_of_zero():
    found = taken("hey-nothing.txt")
    assert (found.requests, found.answered, found.failures, found.error_ratio) == (20, 0, 20, 1.0)
    assert found.latency == Latency(counted=0)


def test_statuses_of_hey_are_judged_where_it_does_not():
    found = taken("hey.txt")
    assert found.status_codes == (StatusCode("200", 366), StatusCode("503", 34))
    assert found.failures == 34


def test_the_csv_of_hey_cannot_tell_a_share_of_errors():
    found = taken("hey.csv")
    assert (found.answered, found.requests, found.failures, found.error_ratio) == (300, None, None, None)
    assert "lost" in found.notes[0]
    assert found.latency.counted == 300
    assert found.status_codes == (StatusCode("200", 276), StatusCode("503", 24))


def test_answers_of_another_length_are_no_failures_of_ab():
    found = taken("ab-errors.txt")
    assert found.failures == 43, "281 answers were only of another length"
    assert ErrorKind("other length than the first answer", 281) in found.errors
    assert any("281 answers" in note for note in found.notes)
    assert found.targets == ("http://127.0.0.1:8899/mix",)


def test_the_three_files_of_one_run_of_ab_agree():
    text, requests, percentages = taken("ab.txt"), taken("ab-g.tsv"), taken("ab-e.csv")
    assert text.requests == requests.requests == 400
    assert requests.failures is None
    assert requests.duration_s is None, "starts are whole seconds, and the run took 0.37"
    assert (percentages.requests, percentages.failures) == (None, None)
    for percent in (50.0, 90.0, 99.0):
        assert text.latency.at(percent) == pytest.approx(percentages.latency.at(percent), abs=0.51)
        assert text.latency.at(percent) == pytest.approx(requests.latency.at(percent), abs=1)


@pytest.mark.parametrize(
    ("name", "printed", "wrong"),
    [
        ("wrk-latency.txt", b"     50%", b"      0%"),
        ("ab.txt", b"  50% ", b"   0% "),
        ("wrk-latency.txt", b"99%   ", b"990%   "),
    ],
)
def test_a_percentile_that_cannot_be_is_refused(name, printed, wrong):
    content = data(name)
    assert printed in content
    assert "damaged" in refusal(content.replace(printed, wrong)).says


FIGURES = st.lists(st.integers(0, 10**7), min_size=4, max_size=4).map(sorted)


@given(
    FIGURES,
    st.integers(0, 10**9),
    st.lists(st.integers(0, 10**6), min_size=4, max_size=4),
    st.integers(0, 10**6),
)
def test_wrk_of_known_figures_is_read_as_those(micros, answered, socket, refused):
    refused = min(refused, answered)
    text = (
        "Running 10s test @ http://shop.example/\n  2 threads and 7 connections\n"
        "  Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency     1.00ms    1.00ms   9.00ms   99.00%\n"
        "    Req/Sec     1.00k     0.10k     2.00k    90.00%\n  Latency Distribution\n"
        + "".join(f"     {p}%    {v}.00us\n" for p, v in zip((50, 75, 90, 99), micros, strict=True))
        + f"  {answered} requests in 10.00s, 1.00MB read\n"
    )
    if any(socket):
        text += "  Socket errors: connect {}, read {}, write {}, timeout {}\n".format(*socket)
    if refused:
        text += f"  Non-2xx or 3xx responses: {refused}\n"
    found = sane(parse((text + "Requests/sec:  123.00\nTransfer/sec:    1.00KB\n").encode()))
    assert (found.answered, found.requests, found.failures) == (
        answered,
        answered + sum(socket),
        sum(socket) + refused,
    )
    assert [each.ms for each in found.latency.percentiles] == pytest.approx([each / 1000 for each in micros])


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.sampled_from([200, 204, 301, 404, 503])), min_size=1, max_size=60
    )
)
def test_the_csv_of_hey_of_known_requests_is_read_as_those(requests):
    text = "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset\n"
    text += "".join(
        f"{ms / 10000:.4f},0,0,0,0,0,{code},{n / 100:.4f}\n" for n, (ms, code) in enumerate(requests)
    )
    found = sane(parse(text.encode()))
    assert found.answered == len(requests)
    assert found.latency.max_ms == pytest.approx(max(ms for ms, _ in requests) / 10)
    ordered = sorted(ms / 10 for ms, _ in requests)
    assert found.latency.at(50.0) == pytest.approx(ordered[(len(ordered) + 1) // 2 - 1])
    assert {each.code: each.count for each in found.status_codes} == {
        str(code): sum(one == code for _, one in requests) for code in {code for _, code in requests}
    }


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("wrk-errors.txt", b"read 385"),
        ("ab-errors.txt", b"Length: "),
        ("hey-errors.txt", b"[200]"),
    ],
)
@pytest.mark.parametrize("count", [b"9" * 5000, "\u00b2".encode(), "\u0663".encode()])
def test_counts_of_thousands_of_digits_and_odd_digits_are_refused_or_read(name, told, count):
    whole = data(name)
    assert told in whole
    for damaged in (whole.replace(told, told + count), whole.replace(told, told.replace(b"200", count))):
        with suppress(ImportRefused):
            sane(parse(damaged))
