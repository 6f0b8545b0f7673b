"""A provider for measurements: each answer comes 5 ms after its question, and a drained node's connections are gone
1.0 s after its drain began, in one step.

`python -m bench.provider PORT`. It speaks just as much of Identity, Load Balancers and Servers as a scale-down asks for
(shapes: provider reference, 1.2, 2.1, 2.3, 3.1), applies changes at once, and keeps the truth: connections that a removal
cut, servers that were deleted while a load balancer still had them. It is no simulator: nothing ever goes wrong here.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

ANSWER_S = 0.005
GONE_AFTER_S = 1.0
OPEN = 3
"""Connections of a node that serves."""
OUT, STAY = int(os.environ.get("BENCH_OUT", "20")), 2
"""Servers of a pool that were added for the event, and that were there before."""
CREATED = "2026-11-12T08:{minute:02}:00Z"
BALANCER = 71


@dataclass
class Pool:
    """One tenant's world: a load balancer, its nodes, the servers behind them."""

    conditions: dict[int, str] = field(default_factory=dict)
    drained_at: dict[int, float] = field(default_factory=dict)
    asked: dict[int, int] = field(default_factory=dict)
    servers: set[int] = field(default_factory=set)
    deleted: list[int] = field(default_factory=list)
    cut: int = 0
    wrong: int = 0

    def __post_init__(self) -> None:
        self.servers = set(range(1, OUT + STAY + 1))
        self.conditions = dict.fromkeys(self.servers, "ENABLED")


def address(number: int) -> str:
    """Return the address of a server of any pool."""
    return f"10.0.0.{number}"


class Provider:
    """The worlds of all tenants, by the tenant's number."""

    def __init__(self, port: int, clock: Callable[[], float]) -> None:
        self.origin = f"http://127.0.0.1:{port}"
        self.clock = clock
        self.pools: dict[str, Pool] = {}
        self.calls = 0
        self.began = clock()

    def pool(self, tenant: str) -> Pool:
        """Return a tenant's world; a new tenant has a fresh one."""
        return self.pools.setdefault(tenant, Pool())

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, Any]:
        """Return (status, what is answered: JSON, or a text)."""
        self.calls += 1
        url = urlsplit(target)
        match url.path.strip("/").split("/"):
            case ["v2.0", "tokens"]:
                return 200, self._session(str(json.loads(body)["auth"]["tenantId"]))
            case ["truth"]:
                return 200, self._truth()
            case ["site", _tenant]:
                return 200, "fine"
            case ["status", tenant, place]:
                return 200, self._status(self.pool(tenant), int(place.rpartition(".")[2]))
            case ["lb", tenant, "loadbalancers"]:
                asked = parse_qs(url.query).get("nodeaddress", [])
                return 200, {"loadBalancers": self._holding(self.pool(tenant), asked)}
            case ["lb", tenant, "loadbalancers", _]:
                return 200, {"loadBalancer": self._balancer(self.pool(tenant))}
            case ["lb", tenant, "loadbalancers", _, "nodes", node]:
                return self._change(self.pool(tenant), int(node), method, body)
            case ["nova", tenant, "servers", "detail"]:
                return 200, {"servers": [self._server(n) for n in sorted(self.pool(tenant).servers)]}
            case ["nova", tenant, "servers", server, *more]:
                return self._of_server(self.pool(tenant), server, method, more)
        return 404, {"message": "There is nothing here.", "code": 404}

    def _session(self, tenant: str) -> dict[str, Any]:
        def at(place: str) -> list[dict[str, str]]:
            return [{"region": "DFW", "tenantId": tenant, "publicURL": f"{self.origin}/{place}/{tenant}"}]

        return {
            "access": {
                "token": {"id": f"t-{tenant}", "expires": "2099-01-01T00:00:00Z", "tenant": {"id": tenant}},
                "user": {"id": "1", "name": "bench", "roles": [{"name": "admin"}]},
                "serviceCatalog": [
                    {"name": "cloudLoadBalancers", "type": "rax:load-balancer", "endpoints": at("lb")},
                    {"name": "cloudServersOpenStack", "type": "compute", "endpoints": at("nova")},
                ],
            }
        }

    def _truth(self) -> dict[str, Any]:
        pools = self.pools.values()
        return {
            "calls": self.calls,
            "deleted": sum(len(pool.deleted) for pool in pools),
            "twice": sum(len(pool.deleted) - len(set(pool.deleted)) for pool in pools),
            "cut": sum(pool.cut for pool in pools),
            "wrong": sum(pool.wrong for pool in pools),
        }

    def _open(self, pool: Pool, number: int) -> int:
        if pool.conditions.get(number) == "ENABLED":
            return OPEN
        since = pool.drained_at.get(number)
        return OPEN if since is not None and self.clock() - since < GONE_AFTER_S else 0

    def _status(self, pool: Pool, number: int) -> str:
        # Nobody comes past the balancer: a server that was drained answers no more visitors.
        served_s = pool.drained_at.get(number, self.clock()) - self.began
        pool.asked[number] = pool.asked.get(number, 0) + 1
        active, requests = self._open(pool, number) + 1, int(max(0.0, served_s) * 10) + pool.asked[number]
        return (
            f"Active connections: {active} \nserver accepts handled requests\n {requests} {requests} {requests} \n"
            f"Reading: 0 Writing: {active} Waiting: 0 \n"
        )

    def _holding(self, pool: Pool, asked: list[str]) -> list[dict[str, Any]]:
        holds = not asked or any(address(number) in asked for number in pool.conditions)
        return [{"id": BALANCER, "name": "web", "status": "ACTIVE"}] if holds else []

    def _balancer(self, pool: Pool) -> dict[str, Any]:
        nodes = [
            {
                "id": 100 + number,
                "address": address(number),
                "port": 80,
                "condition": condition,
                "status": "ONLINE",
                "type": "PRIMARY",
                "weight": 1,
            }
            for number, condition in pool.conditions.items()
        ]
        return {
            "id": BALANCER,
            "name": "web",
            "status": "ACTIVE",
            "protocol": "HTTP",
            "port": 80,
            "algorithm": "ROUND_ROBIN",
            "timeout": 1,
            "virtualIps": [{"address": "203.0.113.7"}],
            "healthMonitor": {"type": "CONNECT", "delay": 1, "timeout": 1, "attemptsBeforeDeactivation": 1},
            "nodeCount": len(nodes),
            "nodes": nodes,
        }

    def _change(self, pool: Pool, node: int, method: str, body: bytes) -> tuple[int, Any]:
        number = node - 100
        if number not in pool.conditions:
            return 404, {"message": "Node not found", "code": 404}
        if method == "DELETE":
            pool.cut += self._open(pool, number)
            del pool.conditions[number]
        else:
            condition = json.loads(body)["node"]["condition"]
            if condition == "DRAINING" != pool.conditions[number]:
                pool.drained_at[number] = self.clock()
            pool.conditions[number] = condition
        return 202, {}

    def _server(self, number: int) -> dict[str, Any]:
        return {
            "id": f"srv-{number:02}",
            "name": f"web-{number:02}",
            "status": "ACTIVE",
            "OS-EXT-STS:task_state": None,
            "created": CREATED.format(minute=number) if number > STAY else "2025-01-01T00:00:00Z",
            "hostId": f"host-{number}",
            "addresses": {"private": [{"version": 4, "addr": address(number)}]},
            "flavor": {"id": "general1-4"},
            "image": {"id": "img"},
            "metadata": {},
        }

    def _of_server(self, pool: Pool, server: str, method: str, more: list[str]) -> tuple[int, Any]:
        number = int(server.rpartition("-")[2])
        if number not in pool.servers:
            return 404, {"itemNotFound": {"message": "Instance could not be found", "code": 404}}
        if more == ["os-volume_attachments"]:
            return 200, {"volumeAttachments": []}
        if method == "DELETE":
            pool.servers.discard(number)
            pool.deleted.append(number)
            pool.wrong += number in pool.conditions
            return 204, ""
        return 200, {"server": self._server(number)}


class Connection(asyncio.Protocol):
    """One kept connection of HTTP/1.1; questions on it are answered in their order."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.buffer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each whole question."""
        self.buffer += data
        while True:
            head, end, rest = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return
            lines = head.decode("latin-1").split("\r\n")
            fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
            length = int(fields.get("content-length", "0"))
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            method, target, _ = lines[0].split(" ", 2)
            due = asyncio.get_running_loop().time() + ANSWER_S
            asyncio.get_running_loop().call_at(due, self._say, method, target, rest[:length])

    def _say(self, method: str, target: str, body: bytes) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        status, said = self.provider.answer(method, target, body)
        text = said if isinstance(said, str) else json.dumps(said)
        kind = "text/plain" if isinstance(said, str) else "application/json"
        encoded = text.encode()
        length = "" if status == 204 else f"Content-Length: {len(encoded)}\r\n"
        head = f"HTTP/1.1 {status} It\r\nContent-Type: {kind}\r\n{length}\r\n"
        self.transport.write(head.encode() + encoded)


async def serve(port: int) -> None:
    """Answer until the process ends."""
    loop = asyncio.get_running_loop()
    provider = Provider(port, loop.time)
    server = await loop.create_server(lambda: Connection(provider), "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
