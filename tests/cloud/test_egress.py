"""Typed-in addresses: which are asked, and that the judged address is the one connected to."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from portal import egress
from portal.egress import connecting
from portal.egress.rules import embedded, literal
from portal.errors import ProviderFailed, Refused, TryLater

NOTHING_OPEN = egress.Rules()

BAD_FORM = [
    ("", "bad_scheme"),
    ("example.com", "bad_scheme"),
    ("file:///etc/passwd", "bad_scheme"),
    ("gopher://example.com/", "bad_scheme"),
    ("ftp://example.com/", "bad_scheme"),
    ("javascript:alert(1)", "bad_scheme"),
    ("http://", "bad_url"),
    ("http:///path", "bad_url"),
    ("https://xn--/x", "bad_url"),
    ("https://xn--a.example/x", "bad_url"),
    ("http://user:secret@example.com/", "userinfo"),
    ("http://example.com@127.0.0.1/", "userinfo"),
    ("http://example.com\\@127.0.0.1/", "bad_url"),
    ("http://exam ple.com/", "bad_url"),
    ("http://example.com/\r\nHost: evil", "bad_url"),
    ("http://example.com/" + "a" * 2000, "bad_url"),
    ("http://example.com:99999/", "closed_port"),
    ("http://localhost/", "closed_address"),
    ("http://LOCALHOST.:8000/", "closed_address"),
    ("http://x.localhost/", "closed_address"),
    ("http://example.com:22/", "closed_port"),
    ("http://example.com:25/", "closed_port"),
    ("http://example.com:6379/", "closed_port"),
    ("http://example.com:5432/", "closed_port"),
    ("https://example.com:2375/", "closed_port"),
]
NUMBERS_AND_TRICKS = [
    "127.1",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "127.0.0.1.",
    "1.2.3",
    "0",
    "00.0.0.0",
]
CLOSED = [
    "127.0.0.1",
    "127.255.255.254",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "169.254.1.1",
    "169.254.170.2",
    "100.64.0.1",
    "100.100.100.200",
    "0.0.0.0",
    "0.1.2.3",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "100::1",
]
OPEN = ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8", "2002:808:808::"]


@pytest.mark.parametrize(("url", "code"), BAD_FORM)
def test_an_address_of_the_wrong_form_is_refused_with_a_sentence(url, code):
    with pytest.raises(Refused) as caught:
        egress.check_url(url, rules=NOTHING_OPEN)
    assert caught.value.code == code
    assert caught.value.says.endswith(".")


@pytest.mark.parametrize("host", NUMBERS_AND_TRICKS)
def test_a_host_written_as_an_odd_number_is_refused(host):
    with pytest.raises(Refused) as caught:
        egress.check_url(f"http://{host}/", rules=NOTHING_OPEN)
    assert caught.value.code in {"odd_address", "closed_address", "bad_url"}


@pytest.mark.parametrize("address", CLOSED)
def test_an_address_inside_or_reserved_is_refused(address):
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(Refused) as caught:
        egress.check_url(f"http://{host}/", rules=NOTHING_OPEN)
    assert caught.value.code == "closed_address"


@pytest.mark.parametrize("address", OPEN)
def test_an_address_of_the_open_internet_may_be_asked(address):
    host = f"[{address}]" if ":" in address else address
    assert egress.check_url(f"https://{host}:8443/x?y=1", rules=NOTHING_OPEN).port == 8443


@pytest.mark.parametrize("host", ["１２７.0.0.1", "①②⑦.0.0.1", "exa\u3002mple.com\u2028"])
def test_letters_that_only_look_like_an_address_lead_nowhere_closed(host):
    try:
        target = egress.check_url(f"http://{host}/", rules=NOTHING_OPEN)
    except Refused:
        return
    assert target.host.isascii()
    assert literal(target.host) is None


@given(address=st.ip_addresses())
def test_whatever_is_open_is_global_in_the_end(address):
    inner = embedded(address) or address
    if egress.why_closed(address, NOTHING_OPEN) is None:
        assert inner.is_global
        assert not inner.is_multicast


def test_an_opened_host_and_port_is_open_and_its_neighbour_is_not():
    rules = egress.make_rules(("127.0.0.1:8900", "[::1]:8900", "Localhost:8900"))
    for url in ("http://127.0.0.1:8900/", "http://[::1]:8900/", "http://localhost:8900/"):
        egress.check_url(url, rules=rules)
    for url in ("http://127.0.0.1:8901/", "http://127.0.0.1/"):
        with pytest.raises(Refused):
            egress.check_url(url, rules=rules)
    egress.check_url("http://10.0.0.1:9000/", allow=["10.0.0.1:9000"], rules=NOTHING_OPEN)


def test_an_opened_network_opens_its_addresses_but_never_a_metadata_service():
    rules = egress.make_rules((), ("10.0.0.0/8", "169.254.0.0/16", "fd00::/8"))
    egress.check_url("http://10.1.2.3/status", rules=rules)
    egress.check_url("http://[::ffff:10.1.2.3]/status", rules=rules)
    for host in ("192.168.1.1", "169.254.169.254", "[fd00:ec2::254]", "[::ffff:169.254.169.254]"):
        with pytest.raises(Refused):
            egress.check_url(f"http://{host}/", rules=rules)


# --- over sockets of this machine ---


async def talk(
    answer: bytes, act, *, addresses=("127.0.0.1",), rules=None, tls=None, pause_s: float = 0.0, places=None
):
    """Serve `answer` on a free port, then run `act(transport, port, seen)` with names resolved to `addresses`."""
    seen: list[bytes] = []

    async def serve(reader, writer):
        try:
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            await asyncio.sleep(pause_s)
            writer.write(answer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            seen.append(b"broken")
        writer.close()

    async def resolve(host: str, port: int):
        asked.append(host)
        return addresses

    asked: list[str] = []
    server_tls, client_tls = tls or (None, None)
    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_tls)
    port = listening.sockets[0].getsockname()[1]
    loopback_open = egress.make_rules((), ("127.0.0.0/8",)) if rules is None else rules
    transport = egress.CheckedTransport(
        limits=httpx.Limits(max_connections=places, max_keepalive_connections=0 if places else None),
        rules=lambda: loopback_open,
        resolver=resolve,
        ssl_context=client_tls,
    )
    async with listening, transport:
        return await act(transport, port, seen), seen, asked


def fetch_of(url: str, **more):
    async def act(transport, port, seen):
        return await egress.fetch(url.format(port=port), transport=transport, **more)

    return act


@pytest.fixture(autouse=True)
def nothing_opened_by_settings(monkeypatch):
    monkeypatch.setattr("portal.egress.rules.rules_from_settings", lambda networks=(): NOTHING_OPEN)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"


def test_the_name_is_resolved_once_and_stays_in_the_host_header():
    answer, seen, asked = asyncio.run(talk(OK, fetch_of("http://shop.example.com:{port}/health?x=1")))
    assert (answer.status, answer.text) == (200, "hello")
    assert answer.latency_ms > 0
    assert asked == ["shop.example.com"]
    head = seen[0].decode().lower()
    assert head.startswith("get /health?x=1 http/1.1\r\n")
    assert "host: shop.example.com:" in head


@pytest.mark.parametrize(
    "addresses",
    [("10.0.0.1",), ("169.254.169.254",), ("8.8.8.8", "127.0.0.1"), ("::1",), ("::ffff:10.0.0.1",)],
)
def test_a_name_that_leads_inside_is_refused_even_beside_an_open_address(addresses):
    act = fetch_of("http://rebind.example.com:{port}/")
    with pytest.raises(Refused) as caught:
        asyncio.run(talk(OK, act, addresses=addresses, rules=NOTHING_OPEN))
    assert caught.value.code == "closed_address"


def test_where_no_connection_is_kept_each_request_has_its_own_and_no_more_are_open_than_allowed():
    keeps_open = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    opened, most = [], []

    async def act(transport, port, seen):
        connect = egress.CheckedBackend._connect_first

        async def counted(self, addresses, port):
            stream = await connect(self, addresses, port)
            opened.append(stream)
            most.append(sum(not one._writer.is_closing() for one in opened))
            return stream

        egress.CheckedBackend._connect_first = counted
        try:
            asks = [egress.fetch(f"http://shop.example.com:{port}/", transport=transport) for _ in range(6)]
            return await asyncio.gather(*asks)
        finally:
            egress.CheckedBackend._connect_first = connect

    answers, seen, asked = asyncio.run(talk(keeps_open, act, pause_s=0.02, places=2))
    assert [answer.text for answer in answers] == ["hello"] * 6
    assert (len(opened), len(seen), len(asked)) == (6, 6, 6)
    assert max(most) == 2
    assert all(one._writer.is_closing() for one in opened)


class Kept:
    """A provider that keeps its connections open, on a free port, and a transport that keeps `keeps` of them for `keeps_s`."""

    def __init__(self, *, places=None, keeps=None, keeps_s=20.0, answers=(b"hello",)) -> None:
        self.limits = httpx.Limits(
            max_connections=places, max_keepalive_connections=keeps, keepalive_expiry=keeps_s
        )
        self.answers = list(answers)
        self.opened = self.open = 0
        self.writers = []
        self.goes = asyncio.Event()
        self.goes.set()

    async def serve(self, reader, writer):
        self.opened += 1
        self.open += 1
        self.writers.append(writer)
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await self.goes.wait()
                body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + body)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            self.open -= 1
        writer.close()

    async def ask(self, count=1, timeout_s=5.0):
        asks = (self.fetch(timeout_s=timeout_s) for _ in range(count))
        return await asyncio.gather(*asks, return_exceptions=True)

    def fetch(self, **more):
        return egress.fetch(self.url, transport=self.transport, rules=self.rules, **more)

    async def play(self, act):
        listening = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
        self.rules = egress.make_rules((), ("127.0.0.0/8",))
        self.transport = egress.CheckedTransport(limits=self.limits, rules=lambda: self.rules)
        async with listening, self.transport:
            await act(self)
        await asyncio.sleep(0.02)


def test_a_connection_is_used_again_and_so_many_are_kept():
    async def act(wire):
        for _ in range(3):
            assert [answer.text for answer in await wire.ask()] == ["hello"]
        assert wire.opened == 1
        assert len(await wire.ask(5)) == 5
        await asyncio.sleep(0.02)
        assert (wire.opened, wire.open) == (5, 2)
        await wire.ask(2)
        assert wire.opened == 5

    wire = Kept(keeps=2)
    asyncio.run(wire.play(act))
    assert wire.open == 0, "those that were kept are closed with the transport"


def test_a_connection_that_never_came_about_is_not_kept(monkeypatch):
    connect = egress.CheckedBackend._connect_first
    asked = []

    async def in_vain_at_last(self, addresses, port):
        asked.append(port)
        if len(asked) < 3:
            return await connect(self, addresses, port)
        await asyncio.sleep(0.05)  # the others are back by then
        raise ConnectionRefusedError

    async def act(wire):
        *answers, refused = await wire.ask(3)
        assert [answer.text for answer in answers] == ["hello"] * 2
        assert isinstance(refused, TryLater)
        (idle,) = wire.transport._pool._idle.values()
        assert len(idle) == 2

    monkeypatch.setattr(egress.CheckedBackend, "_connect_first", in_vain_at_last)
    asyncio.run(Kept(keeps=5).play(act))


@pytest.mark.parametrize("ends", [True, False])
def test_what_came_on_an_idle_connection_is_no_answer_to_the_next_request(ends):
    """A balancer ends what was idle for long with a 408; a change that was answered so would pass for refused."""
    stray = b"HTTP/1.1 408 Request Time-out\r\nContent-Length: 0\r\n\r\n"

    async def act(wire):
        assert [answer.status for answer in await wire.ask()] == [200]
        for writer in wire.writers:
            writer.write(stray)
            if ends:
                writer.close()
        await asyncio.sleep(0.02)
        assert [answer.status for answer in await wire.ask()] == [200]
        assert wire.opened == 2

    asyncio.run(Kept().play(act))


def test_what_came_behind_an_answer_is_no_answer_to_the_next_request():
    behind = b"helloHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

    async def act(wire):
        for _ in range(3):
            assert [answer.status for answer in await wire.ask()] == [200]
        assert wire.opened == 2

    asyncio.run(Kept(answers=(behind, b"hello")).play(act))


def test_a_connection_that_was_idle_for_too_long_is_closed_and_not_used():
    async def act(wire):
        await wire.ask(3)
        await asyncio.sleep(0.15)
        await wire.ask()
        await asyncio.sleep(0.02)
        assert (wire.opened, wire.open) == (4, 1)

    asyncio.run(Kept(keeps_s=0.1).play(act))


def test_a_connection_whose_answer_was_not_read_to_its_end_is_not_used_again():
    async def act(wire):
        # The rest of the answer would be read as the beginning of the next one.
        cut = await wire.fetch(max_bytes=2)
        assert (cut.text, cut.is_cut) == ("he", True)
        wire.goes.clear()
        late = await wire.ask(timeout_s=0.05)
        assert isinstance(late[0], TryLater)
        wire.goes.set()
        assert [answer.text for answer in await wire.ask()] == ["again"]
        assert wire.opened == 3

    asyncio.run(Kept(answers=(b"hel", b"again")).play(act))


def test_who_waits_for_a_place_for_too_long_is_told_and_takes_none():
    async def act(wire):
        wire.goes.clear()
        slow = asyncio.ensure_future(wire.ask(2, timeout_s=5.0))
        await asyncio.sleep(0.05)
        (late,) = await wire.ask(timeout_s=0.05)
        assert isinstance(late, TryLater)
        wire.goes.set()
        assert [answer.text for answer in await slow] == ["hello"] * 2
        assert [answer.text for answer in await wire.ask(4)] == ["hello"] * 4
        assert wire.opened == 2

    asyncio.run(Kept(places=2).play(act))


def test_a_redirect_is_an_answer_and_is_not_followed():
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
    answer, seen, _ = asyncio.run(talk(moved, fetch_of("http://shop.example.com:{port}/")))
    assert answer.status == 302
    assert len(seen) == 1


def test_no_proxy_is_taken_from_the_environment(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    answer, _, _ = asyncio.run(talk(OK, fetch_of("http://shop.example.com:{port}/")))
    assert answer.status == 200


def test_a_long_body_is_cut_and_said_to_be():
    body = b"a" * 100_000
    long = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    answer, _, _ = asyncio.run(talk(long, fetch_of("http://shop.example.com:{port}/", max_bytes=1000)))
    assert (len(answer.body), answer.is_cut) == (1000, True)


def test_a_little_gzip_that_stands_for_much_is_cut_too():
    body = gzip.compress(b"0" * 50_000_000)
    bomb = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    answer, _, _ = asyncio.run(talk(bomb, fetch_of("http://shop.example.com:{port}/", max_bytes=1000)))
    assert answer.body == b"0" * 1000
    assert answer.is_cut


def test_a_compressed_answer_is_read():
    body = gzip.compress(b"welcome")
    packed = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    answer, _, _ = asyncio.run(talk(packed, fetch_of("http://shop.example.com:{port}/")))
    assert (answer.text, answer.is_cut) == ("welcome", False)


def test_an_answer_that_does_not_come_in_time_ends_with_a_sentence():
    act = fetch_of("http://shop.example.com:{port}/", timeout_s=0.1)
    with pytest.raises(TryLater) as caught:
        asyncio.run(talk(OK, act, pause_s=0.5))
    assert caught.value.code == "timeout"


@pytest.mark.parametrize(
    "answer", [b"220 mail.example.com ESMTP\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"]
)
def test_something_that_is_not_http_is_no_answer(answer):
    with pytest.raises(ProviderFailed) as caught:
        asyncio.run(talk(answer, fetch_of("http://shop.example.com:{port}/")))
    assert caught.value.code == "not_http"


def test_a_name_without_an_address_is_unreachable():
    with pytest.raises(TryLater) as caught:
        asyncio.run(talk(OK, fetch_of("http://shop.example.com:{port}/"), addresses=()))
    assert caught.value.code == "unreachable"


def test_an_address_that_does_not_answer_leaves_time_for_the_next(monkeypatch):
    connect, asked = connecting.Stream.open, []
    monkeypatch.setattr(connecting, "EACH_ADDRESS_S", 0.05)

    async def slow_for_the_first(address: str, port: int):
        asked.append(address)
        if address == "127.0.0.2":
            await asyncio.sleep(30)
        return await connect(address, port)

    monkeypatch.setattr(connecting.Stream, "open", slow_for_the_first)
    act = fetch_of("http://shop.example.com:{port}/", timeout_s=1.0)
    answer, _, _ = asyncio.run(talk(OK, act, addresses=("127.0.0.2", "127.0.0.1")))
    assert answer.status == 200
    assert asked == ["127.0.0.2", "127.0.0.1"]


def test_only_looking_is_offered():
    with pytest.raises(Refused):
        asyncio.run(egress.fetch("http://8.8.8.8/", method="POST"))


def certificate_for(name: str, folder) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's TLS context for `name` and a client's that trusts exactly it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=str(path))


def test_the_certificate_must_be_for_the_name_although_the_address_is_connected_to(tmp_path):
    tls = certificate_for("shop.example.com", tmp_path)
    answer, _, _ = asyncio.run(talk(OK, fetch_of("https://shop.example.com:{port}/"), tls=tls))
    assert answer.text == "hello"
    with pytest.raises(ProviderFailed) as caught:
        asyncio.run(talk(OK, fetch_of("https://other.example.com:{port}/"), tls=tls))
    assert caught.value.code == "tls"


def test_an_authority_of_the_operators_own_is_trusted_besides_the_public_ones(tmp_path):
    server, _ = certificate_for("shop.example.com", tmp_path)
    ask = fetch_of("https://shop.example.com:{port}/")
    ours = egress.trusting(str(tmp_path / "certificate.pem"))
    answer, _, _ = asyncio.run(talk(OK, ask, tls=(server, ours)))
    assert answer.text == "hello"
    assert len(ours.get_ca_certs()) == len(egress.trusting("").get_ca_certs()) + 1
    with pytest.raises(ProviderFailed):
        asyncio.run(talk(OK, ask, tls=(server, egress.trusting(""))))


def test_requests_that_are_cancelled_while_they_wait_for_a_place_leave_none_taken():
    """httpcore keeps what a cancelled request was given and never opened: in time nothing could be asked any more."""

    async def act(transport, port, seen):
        url = f"http://shop.example.com:{port}/"
        for wait_s in (0.0, 0.001, 0.01, 0.05):
            asked = [
                asyncio.ensure_future(egress.fetch(url, transport=transport, timeout_s=0.1))
                for _ in range(60)
            ]
            await asyncio.sleep(wait_s)
            for one in asked[::2]:
                one.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        later = await asyncio.gather(
            *(egress.fetch(url, transport=transport, timeout_s=10.0) for _ in range(12))
        )
        return [answer.status for answer in later]

    statuses, _, _ = asyncio.run(talk(OK, act, pause_s=0.02, places=5))
    assert statuses == [200] * 12


def test_what_is_timed_waits_for_no_place_that_others_hold():
    """A hundred status pages that do not answer would make every site look slow."""

    async def story():
        taken, may_answer = asyncio.Semaphore(0), asyncio.Event()

        async def serve(reader, writer):
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET /status "):
                taken.release()
                await may_answer.wait()
            writer.write(OK)
            writer.close()

        listening = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=200)
        place = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"

        def ask(path, **more):
            return egress.fetch(f"http://{place}{path}", allow=(place,), **more)

        async with listening:
            held = [asyncio.ensure_future(ask("/status", timeout_s=30.0)) for _ in range(120)]
            for _ in range(100):
                await taken.acquire()
            with pytest.raises(TryLater):
                await ask("/", timeout_s=0.3)
            site = await ask("/", timeout_s=10.0, is_timed=True)
            assert not any(one.done() for one in held)
            may_answer.set()
            answers = await asyncio.gather(*held)
            await egress.close()
        return site.status, {one.status for one in answers}

    assert asyncio.run(story()) == (200, {200})
