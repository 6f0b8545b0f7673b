"""A count is measured or unknown; unknown is never zero."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from capacity.counts import (
    PARSERS,
    Counted,
    CountKind,
    CountSource,
    count_url,
    parse_apache_status,
    parse_plain_number,
    parse_stub_status,
    read_count,
)
from portal import egress
from portal.errors import ProviderFailed, Refused, TryLater

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def stub(active: int, waiting: int, requests: int = 31070465) -> str:
    writing = max(0, active - waiting)
    return (
        f"Active connections: {active} \nserver accepts handled requests\n 16630948 16630948 {requests} \n"
        f"Reading: 0 Writing: {writing} Waiting: {waiting} \n"
    )


@pytest.mark.parametrize(
    ("active", "waiting", "in_flight"),
    [(1, 0, 0), (2, 0, 1), (291, 106, 184), (107, 106, 0), (106, 106, 0)],
)
def test_requests_in_flight_are_active_minus_waiting_minus_our_own(active, waiting, in_flight):
    assert parse_stub_status(stub(active, waiting)) == Counted(in_flight, 31070465)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "<html>It works!</html>",
        stub(3, 1)[:-20],
        stub(3, 1)[20:],
        stub(3, 1) + "<p>",
        stub(3, 9),
        stub(3, 1).replace("Active connections: 3", "Active connections: -3"),
        stub(3, 1).replace("Active connections: 3", "Active connections: ٣"),
        stub(3, 1).replace("Active connections: 3", "Active connections: 3.5"),
        stub(99_000_000, 1),
    ],
)
def test_a_page_that_is_not_whole_or_contradicts_itself_is_unknown(text):
    counted = parse_stub_status(text)
    assert counted.connections is None
    assert counted.problem


APACHE = """www.example.com
ServerVersion: Apache/2.4.62 (Debian)
Total Accesses: 1234
Total kBytes: 99
BusyWorkers: 5
IdleWorkers: 45
Scoreboard: W_KK_RW___...
"""


def test_apaches_busy_workers_are_counted_without_idle_keep_alives_and_our_own_request():
    assert parse_apache_status(APACHE) == Counted(2, 1234)
    without_board = APACHE.replace("Scoreboard: W_KK_RW___...\n", "")
    assert parse_apache_status(without_board) == Counted(4, 1234)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "BusyWorkers: 5",
        APACHE.replace("BusyWorkers: 5", "BusyWorkers: five"),
        APACHE.replace("BusyWorkers: 5", "BusyWorkers: 1"),
        APACHE.replace("W_KK_RW", "<html>"),
        "<html><b>BusyWorkers: 5</b></html>",
    ],
)
def test_what_is_not_apaches_page_is_unknown(text):
    counted = parse_apache_status(text)
    assert counted.connections is None
    assert counted.problem


@pytest.mark.parametrize(("text", "count"), [("0", 0), ("12", 12), (" 12\r\n", 12), ("12.0", 12)])
def test_a_plain_number_is_read(text, count):
    assert parse_plain_number(text) == Counted(count)


@pytest.mark.parametrize(
    "text", ["", "-1", "1.5", "12 13", "1e3", "0x10", "١٢", "99999999", "12345678901", "null", "OK"]
)
def test_what_is_not_one_whole_number_is_unknown(text):
    assert parse_plain_number(text).connections is None


@given(text=st.text(max_size=200))
@example(text="Active connections: 1")
def test_rubbish_is_never_a_count(text):
    for kind, parse in PARSERS.items():
        counted = parse(text)
        if counted.connections is None:
            assert counted.problem
        else:
            assert kind is CountKind.PLAIN_NUMBER
            assert float(text) == counted.connections


@given(text=st.just(stub(7, 2)), at=st.integers(0, len(stub(7, 2)) - 1), letter=st.characters())
@example(text=stub(7, 2), at=stub(7, 2).rindex("2"), letter="6")
def test_one_wrong_letter_in_a_page_never_makes_a_zero(text, at, letter):
    counted = parse_stub_status(text[:at] + letter + text[at + 1 :])
    assert counted.connections is None or counted.connections > 0


@given(active=st.integers(0, 10_000), waiting=st.integers(0, 10_000))
def test_a_count_is_never_below_zero_nor_above_what_is_active(active, waiting):
    counted = parse_stub_status(stub(active, waiting))
    if waiting > active:
        assert counted.connections is None
    else:
        assert 0 <= counted.connections <= active


# --- reading ---

STUB = CountSource(CountKind.NGINX_STUB_STATUS, "http://{address}:8080/stub_status")


def answer(text: str, **more):
    async def fetch(url: str, **how) -> egress.Response:
        asked.append(url)
        return egress.Response(
            **{"status": 200, "headers": {}, "body": text.encode(), "latency_ms": 3.0, **more}
        )

    asked: list[str] = []
    fetch.asked = asked
    return fetch


@pytest.fixture(autouse=True)
def rules(monkeypatch):
    rules = egress.make_rules(("desk.example.com:8900",), ("10.0.0.0/8",))
    monkeypatch.setattr(egress, "rules_from_settings", lambda networks=(): rules)
    return rules


def read(source: CountSource, fetch, address: str = "10.1.1.1"):
    return asyncio.run(read_count(source, address, lambda: AT, fetch=fetch))


def test_a_reading_says_what_was_counted_where_and_when():
    fetch = answer(stub(5, 1))
    reading = read(STUB, fetch)
    assert fetch.asked == ["http://10.1.1.1:8080/stub_status"]
    assert (reading.connections, reading.requests_total, reading.grade) == (3, 31070465, "measured")
    assert reading.source == "nginx_stub_status http://10.1.1.1:8080/stub_status"
    assert reading.counted == "requests in flight (active minus waiting minus our own)"
    assert reading.observed_at == AT
    assert reading.problem is None


@pytest.mark.parametrize(
    "trouble",
    [TryLater("No answer.", after_s=1, code="timeout"), ProviderFailed("No HTTP."), Refused("Closed.")],
)
def test_a_server_that_does_not_answer_has_an_unknown_count(trouble):
    async def fetch(url: str, **how):
        raise trouble

    reading = read(STUB, fetch)
    assert reading.connections is None
    assert reading.problem == trouble.says


@pytest.mark.parametrize("wrong", [{"status": 403}, {"status": 500}, {"status": 204}, {"is_cut": True}])
def test_a_page_with_a_wrong_status_or_without_end_is_an_unknown_count(wrong):
    reading = read(CountSource(CountKind.PLAIN_NUMBER, "http://{address}/n"), answer("0", **wrong))
    assert reading.connections is None
    assert reading.problem


@pytest.mark.parametrize(
    ("template", "address", "url"),
    [
        ("http://{address}/s", "10.1.1.1", "http://10.1.1.1/s"),
        (
            "http://desk.example.com:8900/net/{address}/s",
            "10.1.1.1",
            "http://desk.example.com:8900/net/10.1.1.1/s",
        ),
        ("https://{address}/s", "2606:4700::1111", "https://[2606:4700::1111]/s"),
        ("http://10.1.1.1:8080/s", "10.1.1.1", "http://10.1.1.1:8080/s"),
    ],
)
def test_the_address_takes_its_place_in_the_url(template, address, url):
    assert count_url(CountSource(CountKind.PLAIN_NUMBER, template), address) == url


@pytest.mark.parametrize(
    ("template", "address", "code"),
    [
        ("http://10.2.2.2/s", "10.1.1.1", "foreign_host"),
        ("http://status.example.com/{address}", "10.1.1.1", "foreign_host"),
        ("http://desk.example.com:8901/{address}", "10.1.1.1", "foreign_host"),
        ("http://{address}.evil.example.com/s", "10.1.1.1", "foreign_host"),
        ("http://evil.example.com@{address}/s", "10.1.1.1", "userinfo"),
        ("http://{address}/s", "192.168.1.1", "closed_address"),
        ("http://{address}/s", "web-01.example.com", "no_address"),
        ("http://{address}/s", "10.1.1.1/../../x", "no_address"),
        ("ftp://{address}/s", "10.1.1.1", "bad_scheme"),
    ],
)
def test_a_status_page_that_is_not_the_servers_own_is_not_asked(template, address, code):
    with pytest.raises(Refused) as caught:
        count_url(CountSource(CountKind.PLAIN_NUMBER, template), address)
    assert caught.value.code == code
    fetch = answer("0")
    reading = read(CountSource(CountKind.PLAIN_NUMBER, template), fetch, address)
    assert reading.connections is None
    assert fetch.asked == []
