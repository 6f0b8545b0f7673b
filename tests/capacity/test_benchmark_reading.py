"""What holds for every benchmark file: bad ones are refused with a sentence, figures stay in range, memory stays flat."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tracemalloc
from contextlib import suppress
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capacity.ceiling import generator_was_the_limit
from capacity.importers import Format, ImportRefused, detect, parse
from capacity.importers.histogram import ERROR_RATIO, MAX_POINTS, Running, Series
from capacity.importers.reading import MAX_NAMES, MAX_TEXT, clean, number, target
from tests.capacity.benchmarks import FILES, data, refusal, sane

ROOT = Path(__file__).resolve().parents[2]
ALL = sorted(path.name for path in FILES.iterdir() if path.suffix != ".md")


def tried(content):
    """Take a file in if it can be; nothing but ImportRefused may come of it."""
    try:
        found = parse(content, "file")
    except ImportRefused as refused:
        says = refused.says
    else:
        return sane(found)
    assert says.endswith((".", "!", "?"))
    assert "\n" not in says
    return None


@pytest.mark.parametrize("name", ALL)
def test_every_file_of_a_tool_is_taken_in_with_its_provenance(name):
    found = sane(parse(data(name), name))
    assert found.provenance.name == name
    assert found.provenance.size_bytes == len(data(name))
    assert len(found.provenance.sha256) == 64
    assert (
        detect("renamed.bin", data(name)[:65536]).value.split("-")[0]
        == found.provenance.format.value.split("-")[0]
    )


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_a_damaged_file_is_refused_or_read_in_range(name, draw):
    content = bytearray(data(name)[:6000])
    for _ in range(draw.draw(st.integers(1, 4))):
        at = draw.draw(st.integers(0, len(content)))
        length = draw.draw(st.integers(0, 40))
        content[at : at + length] = draw.draw(
            st.one_of(
                st.binary(max_size=12),
                st.sampled_from(
                    [
                        b"",
                        b"-1",
                        b"NaN",
                        b"1e999",
                        b"9" * 400,
                        b'"',
                        b",",
                        b"\n",
                        b"\r",
                        b"\0",
                        b"{",
                        b"]",
                        b"true",
                        b"null",
                        b"<a>",
                        b"\xff",
                    ]
                ),
            )
        )
    tried(bytes(content))


@pytest.mark.parametrize("name", ALL)
def test_a_file_that_ends_anywhere_is_refused_or_read_in_range(name):
    content = data(name)
    for cut in sorted({*range(0, len(content), max(1, len(content) // 80)), len(content) - 1}):
        tried(content[:cut])


@settings(max_examples=80)
@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
def test_anything_else_is_refused(content):
    assert tried(content) is None


@settings(max_examples=80)
@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(
                    [
                        "metrics",
                        "root_group",
                        "values",
                        "state",
                        "results",
                        "config",
                        "version",
                        "latencies",
                        "status_codes",
                        "http_reqs",
                        "http_req_duration",
                        "http_req_failed",
                        "type",
                        "name",
                        "count",
                        "rate",
                        "requests",
                        "duration",
                        "50th",
                        "errors",
                        "bytes_in",
                        "checks",
                        "thresholds",
                        "success",
                        "earliest",
                    ]
                ),
                inner,
                max_size=6,
            ),
        ),
        max_leaves=25,
    )
)
def test_json_of_any_shape_is_refused_or_read_in_range(value):
    tried(json.dumps(value).encode())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"\x1f\x8b\x08\0\0", "Unpack"),
        (b"PK\x03\x04", "Unpack"),
        (b"\x0f\xff\x81\x03\0gob", "vegeta encode"),
        (b"<html></html>", "no result that is understood"),
        (b"a,b,c\n1,2,3\n", "no result that is understood"),
        (b"Count,Message,Traceback,Nodes\n", "_stats_history.csv"),
    ],
)
def test_what_is_no_result_is_refused_with_what_to_do(content, says):
    assert says in refusal(content).says


def test_a_line_without_end_is_refused_before_it_fills_the_memory():
    head = b"response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset\n"
    refused = refusal(head + b"1" * 3_000_000)
    assert refused.line == 2
    assert "characters" in refused.says


def test_texts_of_a_file_are_kept_as_one_harmless_line():
    assert clean("a\r\n\x1b[31mb\u202e\u200bc  d") == "a [31mbc d"
    assert clean('Get "http://user:secret@shop.example/?token=1": EOF') == 'Get "http://shop.example/": EOF'
    assert len(clean("x" * 10_000)) == 300
    assert target("https://me:pw@shop.example:8443/cart?token=1#x") == "https://shop.example:8443/cart"
    assert target("file:///etc/passwd") is None
    assert target("http://[broken") is None


@settings(max_examples=60)
@given(st.lists(st.floats(1e-3, 1e7), min_size=1, max_size=300), st.sampled_from([3, 10_000]))
def test_percentiles_are_within_their_stated_error(values, room):
    running = Running(exact_values=room)
    for value in values:
        running.add(value)
    found = running.latency()
    assert found.mean_ms == pytest.approx(float(np.mean(values)))
    assert (found.min_ms, found.max_ms) == (min(values), max(values))
    ordered = sorted(values)
    for each in found.percentiles:
        true = ordered[max(1, int(np.ceil(len(values) * each.percent / 100 - 1e-9))) - 1]
        assert each.ms == pytest.approx(true, rel=ERROR_RATIO * 1.000001 if found.error_ratio else 0)


def test_merged_halves_are_as_the_whole():
    values = np.random.default_rng(3).lognormal(3, 1, 9000)
    whole, one, other = Running(), Running(), Running()
    for index, value in enumerate(values):
        whole.add(float(value))
        (one if index % 2 else other).add(float(value))
    one.merge(other)
    assert one.percentiles((50.0, 99.0)) == whole.percentiles((50.0, 99.0))
    assert one.count == 9000
    assert sum(bucket.count for bucket in one.histogram()) == 9000


def test_a_long_run_has_a_bounded_number_of_points_that_lose_nothing():
    series = Series()
    for second in range(20_000):
        series.add(1_795_797_500 + second, 10.0 + second % 7, failed=second % 10 == 0, users=second // 5000)
    points = series.points(1_795_797_500, 1_795_817_500)
    assert len(points) <= 2 * MAX_POINTS
    assert sum(point.requests for point in points) == 20_000
    assert sum(point.failures for point in points) == 2_000
    assert {point.users for point in points} == {0, 1, 2, 3}


HEADS = {
    "hey": b"response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset\n",
    "jmeter": b"timeStamp,elapsed,label,responseCode,success,allThreads,URL\n",
    "jmeter-xml": b'<testResults version="1.2">\n',
    "vegeta": b"",
}


def _line(tool, n, ms):
    if tool == "hey":
        return b"%.4f,0,0,0,0,0,200,%.4f\n" % (ms / 1000, n * 5e-3 % 10)
    if tool == "jmeter":
        return b"%d,%.3f,label %d,200,true,5,http://shop.example/%d\n" % (
            1795797500000 + n * 5 % 10_000,
            ms,
            n,
            n,
        )
    if tool == "jmeter-xml":
        return b'<httpSample t="%d" ts="%d" s="true" lb="label %d"/>\n' % (
            ms,
            1795797500000 + n * 5 % 10_000,
            n,
        )
    return b"%d,200,%d,0,0,,,,%d\n" % (1795797500 * 10**9 + n * 5_000_000 % 10**10, ms * 1e6, n)


@pytest.mark.parametrize("tool", HEADS)
def test_memory_does_not_grow_with_the_number_of_requests(tool):
    peaks = []
    # From some 5,000 on every bucket, name and cache is full.
    for times in (5_000, 15_000):
        rng = np.random.default_rng(1)
        lines = b"".join(_line(tool, n, rng.lognormal(3, 1)) for n in range(times))
        file = io.BytesIO(HEADS[tool] + lines + (b"</testResults>" if tool == "jmeter-xml" else b""))
        tracemalloc.start()
        parse(file, tool)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.4


def test_the_command_prints_the_result_as_json_and_as_text(tmp_path):
    out = StringIO()
    call_command("import_benchmark", str(FILES / "ab.txt"), "--format", "json", stdout=out)
    answer = json.loads(out.getvalue())
    assert (answer["tool"], answer["requests"], answer["error_ratio"]) == ("ApacheBench", 400, 0.0)
    assert answer["provenance"]["name"] == "ab.txt"
    out = StringIO()
    call_command("import_benchmark", str(FILES / "wrk.txt"), stdout=out)
    assert "percentiles      not told" in out.getvalue()
    (tmp_path / "none").write_text("nothing of this kind\n")
    for name in ("none", "missing"):
        with pytest.raises(CommandError):
            call_command("import_benchmark", str(tmp_path / name))


def test_the_command_needs_no_database_and_no_app():
    code = "import sys; sys.argv = ['manage.py', 'import_benchmark', %r, '--format', 'json']; import manage; manage.main(); assert not {'celery', 'numpy', 'django.db.backends.postgresql.base'} & set(sys.modules)"
    env = {"PATH": "/usr/bin:/bin", "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none"}
    done = subprocess.run(
        [sys.executable, "-c", code % str(FILES / "wrk.txt")],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["provenance"]["format"] == Format.WRK


@pytest.mark.parametrize("blank", ["\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\u2028"])
@pytest.mark.parametrize("after", [False, True])
def test_a_number_with_an_odd_blank_beside_it_is_refused_or_read(blank, after):
    for value in (f"5{blank}", f"{blank}5")[after:]:
        with suppress(ImportRefused):
            assert number(value, "count") == 5.0
    assert number(" 5\t", "count") == 5.0


@pytest.mark.parametrize("rate", ["1e-320", "5e-324"])
def test_a_rate_of_next_to_nothing_is_no_duration_without_end(rate):
    summary = (
        '{"metrics": {"http_reqs": {"count": 5, "rate": RATE}, "http_req_duration": {"avg": 1, "p(95)": 2}}}'
    )
    with pytest.raises(ImportRefused, match="next to nothing"):
        parse(summary.replace("RATE", rate).encode(), "summary.json")


LONG = "/" + "x" * 300
OWN = [
    ("jmeter.jtl", "java.net.SocketException", "java.net.BindException"),
    ("jmeter.jtl", "Connection reset", "Address already in use: connect"),
    ("jmeter.xml", "Connection reset", "Cannot assign requested address (connect failed)"),
    (
        "k6-lines.json",
        '"error_code": "1212"',
        '"error": "dial: unknown errno 24 error with msg `too many open files`"',
    ),
    ("k6.csv", ",,,1212,", ",,socket: no buffer space available,1212,"),
    ("vegeta.json", "EOF", f"dial tcp: lookup of {LONG}: bind: address already in use"),
    ("vegeta.txt", "EOF", "dial tcp 0.0.0.0:0->10.0.0.5:80: connect: cannot assign requested address"),
    ("vegeta-results.json", "EOF", "dial tcp 10.0.0.5:80: socket: too many open files"),
    ("vegeta-results.csv", "EOF", "dial tcp 10.0.0.5:80: connect: can't assign requested address"),
    (
        "hey-errors.txt",
        "EOF",
        "dial tcp 10.0.0.5:80: connectex: Only one usage of each socket address is permitted.",
    ),
    ("wrk-errors.txt", "connect 0", "connect 15"),
    ("locust_failures.csv", "/order')", f"{LONG} (Caused by … [Errno 99] Cannot assign requested address)')"),
    ("locust_failures.csv", "HTTPError(", "[Errno 24] Too many open files: ("),
]


@pytest.mark.parametrize(("name", "told", "own"), OWN)
def test_each_tool_that_names_its_errors_shows_that_its_own_sockets_ran_out(name, told, own):
    assert told.encode() in data(name)
    before, after = parse(data(name)), sane(parse(data(name).replace(told.encode(), own.encode())))
    assert not generator_was_the_limit([(one.kind, one.count) for one in before.errors])
    assert generator_was_the_limit([(one.kind, one.count) for one in after.errors])
    assert all(len(one.kind) <= MAX_TEXT for one in after.errors)


def test_one_kind_of_error_stays_one_whatever_port_it_went_from():
    line = '{"code":0,"latency":1,"timestamp":"2026-11-27T16:38:16Z","error":"read tcp %s:%d->10.0.0.5:80: reset"}\n'
    ports = range(20_000, 20_000 + MAX_NAMES)
    found = parse("".join(line % (own, port) for own in ("10.0.0.9", "[fd00::9]") for port in ports).encode())
    assert [(one.kind, one.count) for one in found.errors] == [("read tcp 10.0.0.5:80: reset", 2 * MAX_NAMES)]


def test_what_wrk_calls_connect_is_its_own_limit_only_where_no_tls_may_have_failed():
    text = data("wrk-errors.txt").replace(b"connect 0", b"connect 15").replace(b"http://", b"https://")
    assert not generator_was_the_limit([(one.kind, one.count) for one in parse(text).errors])


def test_what_a_site_answers_is_never_a_limit_of_the_generator():
    content = data("jmeter.jtl").replace(b"Service Unavailable", b"Too many open files")
    found = parse(content)
    assert "503 Too many open files" in [one.kind for one in found.errors]
    assert not generator_was_the_limit([(one.kind, one.count) for one in found.errors])
