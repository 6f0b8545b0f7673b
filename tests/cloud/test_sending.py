"""How far a change got: over real sockets on this machine, since that is where it is decided."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

import httpx
import pytest

from portal import egress
from portal.cloud.rackspace import RackspaceCloud
from portal.cloud.rackspace_wire import Options
from portal.cloud.shared import MemoryShared, Rate, Slot
from portal.cloud.types import Condition, Credentials, Done, Withheld
from portal.egress import connecting
from portal.errors import InDoubt, TryLater
from tests.cloud.fake import CLB, FAST, NOW, SOON, Provider, access, balancer

ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


class Wire:
    """A provider on a real port whose answers are bytes. `scripts` maps a method to what happens to it."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.connections = 0
        self.scripts: dict[str, list] = {}
        self.arrived = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, path = head.split(" ")[:2]
                length = next(
                    (
                        int(line.split(":")[1])
                        for line in head.splitlines()
                        if line.lower().startswith("content-length")
                    ),
                    0,
                )
                await reader.readexactly(length)
                if path.endswith("/tokens"):
                    writer.write(self.json(self.catalog()))
                    continue
                self.seen.append(f"{method} {path}")
                self.arrived.set()
                scripts = self.scripts[method]
                script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
                if script == "reset":
                    writer.transport.abort()
                    return
                if script == "silence":
                    await asyncio.sleep(30)
                if callable(script):
                    await script(writer)
                    break
                writer.write(script if isinstance(script, bytes) else self.json(script))
                await writer.drain()
        writer.close()

    def json(self, data: object) -> bytes:
        body = json.dumps(data).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    def catalog(self) -> dict:
        led = access()
        for service in led["access"]["serviceCatalog"]:
            for endpoint in service["endpoints"]:
                endpoint["publicURL"] = f"http://127.0.0.1:{self.port}/v1.0/123456"
        return led

    @contextlib.asynccontextmanager
    async def cloud(
        self, *, shared=None, resolver=egress.system_resolver, host: str = "127.0.0.1", **options
    ):
        listening = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = listening.sockets[0].getsockname()[1]
        rules = egress.make_rules((f"127.0.0.1:{self.port}",))
        transport = egress.CheckedTransport(limits=httpx.Limits(), rules=lambda: rules, resolver=resolver)
        credentials = Credentials(
            "rackspace", f"http://127.0.0.1:{self.port}/v2.0", "u", "k", "123456", "DFW"
        )
        async with transport, listening:
            yield RackspaceCloud(
                credentials,
                shared=shared or MemoryShared(),
                transport_for=lambda origin: transport,
                rules=lambda: rules,
                options=Options(**{"rates": FAST, **options}),
                now=lambda: NOW,
            )


def drain(cloud: RackspaceCloud, not_after: float | None = None):
    return cloud.set_condition(
        "71", "410", Condition.DRAINING, not_after=time.monotonic() + 5 if not_after is None else not_after
    )


async def on_a_wire(act, **options):
    wire = Wire()
    async with wire.cloud(**options) as cloud:
        return wire, await act(wire, cloud)


def run(act, **options):
    return asyncio.run(on_a_wire(act, **options))


def test_a_change_is_sent_and_done():
    async def act(wire, cloud):
        wire.scripts = {"PUT": [ACCEPTED]}
        return await drain(cloud)

    wire, outcome = run(act)
    assert outcome == Done({"status": "202"})
    assert wire.seen == ["PUT /v1.0/123456/loadbalancers/71/nodes/410"]


def test_a_change_whose_moment_has_passed_is_not_sent():
    async def act(wire, cloud):
        with pytest.raises(TryLater) as caught:
            await drain(cloud, time.monotonic() - 0.001)
        return caught.value

    wire, trouble = run(act)
    assert trouble.code == "not_sent"
    assert wire.seen == []


def test_a_worker_that_wakes_up_between_connection_and_sending_does_not_send(monkeypatch):
    """The clock jumps while the connection is being made, as it does for a process that was frozen there."""
    jump = [0.0]
    real = time.monotonic

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return real() + jump[0]

        perf_counter = staticmethod(time.perf_counter)

    monkeypatch.setattr(connecting, "time", Clock)
    connect = egress.CheckedBackend._connect_first

    async def connect_and_freeze(self, addresses, port):
        stream = await connect(self, addresses, port)
        if jump[0] < 0:
            jump[0] = 60.0
        return stream

    async def act(wire, cloud):
        wire.scripts = {"PUT": [ACCEPTED]}
        await cloud.session()
        monkeypatch.setattr(egress.CheckedBackend, "_connect_first", connect_and_freeze)
        jump[0] = -1e-9
        await cloud._wire._transport_for("")._pool.aclose()
        with pytest.raises(TryLater) as caught:
            await drain(cloud)
        return caught.value

    wire, trouble = run(act)
    assert trouble.code == "not_sent"
    assert wire.connections == 2, "the connection was made, only the request was held back"
    assert wire.seen == []


def test_a_reset_after_sending_a_change_is_a_doubt_and_it_is_not_sent_again():
    async def act(wire, cloud):
        wire.scripts = {"PUT": ["reset"]}
        with pytest.raises(InDoubt):
            await drain(cloud)

    wire, _ = run(act)
    assert len(wire.seen) == 1


def test_silence_after_sending_a_change_is_a_doubt_when_the_total_deadline_is_over():
    async def act(wire, cloud):
        wire.scripts = {"PUT": ["silence"]}
        await cloud.session()
        began = time.monotonic()
        with pytest.raises(InDoubt):
            await drain(cloud)
        return time.monotonic() - began

    _, took_s = run(act, call_deadline_s=0.2)
    assert 0.2 <= took_s < 1.0


def test_an_answer_that_drips_does_not_outlast_the_total_deadline():
    """httpx counts its time-out per read; the deadline of a change is a total one."""

    async def drip(writer):
        for letter in b"HTTP/1.1 202 Accepted slowly and slowly and slowly":
            writer.write(bytes([letter]))
            await writer.drain()
            await asyncio.sleep(0.05)

    async def act(wire, cloud):
        wire.scripts = {"PUT": [drip]}
        await cloud.session()
        began = time.monotonic()
        with pytest.raises(InDoubt):
            await drain(cloud)
        return time.monotonic() - began

    _, took_s = run(act, call_deadline_s=0.3)
    assert took_s < 1.0


def test_a_change_that_cannot_connect_was_surely_not_made(monkeypatch):
    async def refuse(self, addresses, port):
        raise ConnectionRefusedError

    async def act(wire, cloud):
        wire.scripts = {"GET": [b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"]}
        assert await cloud.show_balancer("71") is None
        monkeypatch.setattr(egress.CheckedBackend, "_connect_first", refuse)
        with pytest.raises(TryLater) as caught:
            await drain(cloud)
        return caught.value

    wire, trouble = run(act)
    assert trouble.code == "unreachable"
    assert len(wire.seen) == 1


def test_a_read_on_a_kept_connection_that_died_is_repeated_on_a_new_one():
    async def act(wire, cloud):
        wire.scripts = {"GET": [balancer(), "reset", balancer()]}
        await cloud.show_balancer("71")
        return await cloud.show_balancer("71")

    wire, shown = run(act)
    assert shown.id == "71"
    assert len(wire.seen) == 3
    assert wire.connections == 2


def test_a_change_on_a_kept_connection_that_died_is_a_doubt():
    async def act(wire, cloud):
        wire.scripts = {"GET": [balancer()], "PUT": ["reset"]}
        await cloud.show_balancer("71")
        with pytest.raises(InDoubt):
            await drain(cloud)

    wire, _ = run(act)
    assert wire.connections == 1


def test_a_kept_connection_that_the_provider_closed_in_peace_is_not_used_for_a_change():
    async def act(wire, cloud):
        goodbye = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
        wire.scripts = {"GET": [balancer()], "PUT": [goodbye]}
        await cloud.show_balancer("71")
        (idle,) = cloud._wire._transport_for("")._pool._idle.values()
        for connection in idle:
            connection._connection._network_stream._reader.feed_eof()
        return await drain(cloud)

    wire, outcome = run(act)
    assert outcome == Done({"status": "202"})
    assert wire.connections == 2


def say(answer: bytes):
    async def and_close(writer):
        writer.write(answer)
        await writer.drain()

    return and_close


def test_an_answer_that_breaks_off_after_its_status_is_believed():
    async def act(wire, cloud):
        wire.scripts = {"PUT": [say(b"HTTP/1.1 202 Accepted\r\nContent-Length: 50\r\n\r\n{")]}
        return await drain(cloud)

    _, outcome = run(act)
    assert outcome == Done({"status": "202"})


@pytest.mark.parametrize("answer", [b"rubbish\r\n\r\n", b"", b"HTTP/1.1 20"])
def test_an_answer_without_a_status_is_a_doubt(answer):
    async def act(wire, cloud):
        wire.scripts = {"PUT": [say(answer)]}
        with pytest.raises(InDoubt):
            await drain(cloud)

    wire, _ = run(act)
    assert len(wire.seen) == 1


@pytest.mark.parametrize("answer", [b"rubbish\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"])
def test_a_broken_answer_to_a_read_says_nothing(answer):
    async def act(wire, cloud):
        wire.scripts = {"GET": [say(answer)]}
        with pytest.raises(TryLater) as caught:
            await cloud.show_balancer("71")
        return caught.value.code

    _, code = run(act)
    assert code in {"broken", "unreadable"}


def test_changes_on_one_balancer_go_one_at_a_time_and_on_two_side_by_side():
    provider = Provider()
    under_way: list[str] = []
    most: dict[str, int] = {"71": 0, "all": 0}

    def accept(balancer_id: str):
        async def answer(request: httpx.Request) -> httpx.Response:
            under_way.append(balancer_id)
            most["71"] = max(most["71"], under_way.count("71"))
            most["all"] = max(most["all"], len(under_way))
            await asyncio.sleep(0.01)
            under_way.remove(balancer_id)
            return httpx.Response(202)

        return answer

    for balancer_id in ("71", "72"):
        for node_id in ("1", "2", "3"):
            provider.on("PUT", f"{CLB}/loadbalancers/{balancer_id}/nodes/{node_id}", accept(balancer_id))

    async def all_at_once():
        cloud = provider.cloud()
        await asyncio.gather(
            *(
                cloud.set_condition(balancer_id, node_id, Condition.DRAINING, not_after=SOON)
                for balancer_id in ("71", "72")
                for node_id in ("1", "2", "3")
            )
        )

    asyncio.run(all_at_once())
    assert most == {"71": 1, "all": 2}


def test_the_wait_for_the_other_change_counts_against_the_moment():
    provider = Provider()

    async def slow(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.1)
        return httpx.Response(202)

    provider.on("PUT", f"{CLB}/loadbalancers/71/nodes/1", slow)
    provider.on("PUT", f"{CLB}/loadbalancers/71/nodes/2", httpx.Response(202))

    async def two():
        cloud = provider.cloud()
        moment = time.monotonic() + 0.05
        return await asyncio.gather(
            cloud.set_condition("71", "1", Condition.DRAINING, not_after=SOON),
            cloud.set_condition("71", "2", Condition.DRAINING, not_after=moment),
            return_exceptions=True,
        )

    first, second = asyncio.run(two())
    assert first == Done({"status": "202"})
    assert second.code == "not_sent"
    assert len(provider.sent("PUT")) == 1


def test_a_change_that_waits_too_long_for_its_place_is_not_sent():
    class Full(MemoryShared):
        async def take(self, tenant, bucket, rate, *, max_wait_s, part=""):
            return Slot(bucket != "balancers:PUT", 0.0 if bucket != "balancers:PUT" else 7.0)

    provider = Provider()
    with pytest.raises(TryLater) as caught:
        asyncio.run(provider.cloud(shared=Full()).set_condition("71", "1", Condition.ENABLED, not_after=SOON))
    assert (caught.value.code, caught.value.after_s) == ("rate_limited", 7.0)
    assert not provider.sent("PUT")


def test_an_answer_without_end_is_cut_and_not_understood():
    provider = Provider()
    provider.on("GET", f"{CLB}/loadbalancers/71", httpx.Response(200, content=b" " * 5000))
    with pytest.raises(TryLater) as caught:
        asyncio.run(provider.cloud(max_body_bytes=1000).show_balancer("71"))
    assert caught.value.code == "unreadable"


def test_a_rehearsal_sends_no_change_and_reads_everything():
    provider = Provider()
    provider.on("GET", f"{CLB}/loadbalancers/71", httpx.Response(200, json=balancer()))

    async def rehearse():
        from portal.cloud.types import NodeSpec

        cloud = provider.cloud(is_rehearsal=True)
        shown = await cloud.show_balancer("71")
        spec = NodeSpec("10.1.1.1", 80, Condition.DRAINING)
        return shown, [
            await cloud.set_condition("71", "410", Condition.DRAINING, not_after=SOON),
            await cloud.remove_node("71", "410", not_after=SOON),
            await cloud.add_node("71", spec, not_after=SOON),
            await cloud.delete_server("s-1", not_after=SOON),
            await cloud.stop_server("s-1", not_after=SOON),
            await cloud.start_server("s-1", not_after=SOON),
            await cloud.reboot_server("s-1", hard=True, not_after=SOON),
        ]

    shown, withheld = asyncio.run(rehearse())
    assert shown.id == "71"
    assert withheld[0] == Withheld("PUT", "/loadbalancers/71/nodes/410", {"node": {"condition": "DRAINING"}})
    assert [one.method for one in withheld] == ["PUT", "DELETE", "POST", "DELETE", "POST", "POST", "POST"]
    assert withheld[-1].body == {"reboot": {"type": "HARD"}}
    assert {request.method for request in provider.requests[1:]} == {"GET"}


@pytest.mark.parametrize("bad", ["", "..", "71/nodes", "7 1", "71?x=1", "a" * 65])
def test_an_id_that_would_lead_to_another_address_is_a_bug(bad):
    provider = Provider()
    with pytest.raises(ValueError):
        asyncio.run(provider.cloud().delete_server(bad, not_after=SOON))
    assert not provider.requests


def test_a_total_of_pacing_keeps_to_the_rate():
    shared = MemoryShared(clock=lambda: clock[0])
    clock = [100.0]
    rate = Rate(per_s=10, burst=3)

    async def take(max_wait_s: float) -> Slot:
        return await shared.take("t", "b", rate, max_wait_s=max_wait_s)

    waits = [round(asyncio.run(take(5)).wait_s, 3) for _ in range(5)]
    assert waits == [0, 0, 0, 0.1, 0.2]
    assert asyncio.run(take(0.1)) == Slot(False, pytest.approx(0.3))
    clock[0] += 10
    assert asyncio.run(take(0)).is_granted
