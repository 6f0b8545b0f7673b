"""A provider made of answers written down one by one, and a client that talks to it. No network."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx

from portal.cloud.rackspace import RackspaceCloud
from portal.cloud.rackspace_wire import Options
from portal.cloud.shared import MemoryShared, Rate
from portal.cloud.types import Credentials
from portal.egress import Rules

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SOON = 1e12
"""A `not_after` that never comes."""
IDENTITY_URL = "https://identity.example.com/v2.0"
CLB = "https://dfw.lb.example.com/v1.0/123456"
NOVA = "https://dfw.servers.example.com/v2/123456"
CREDENTIALS = Credentials(
    provider="rackspace",
    identity_url=IDENTITY_URL,
    username="launch",
    api_key="key-that-nobody-may-see",
    tenant="123456",
    region="DFW",
)
FAST = {
    ("identity", "POST"): Rate(1000, 1000),
    **{
        (service, verb): Rate(1000, 1000)
        for service in ("cloudLoadBalancers", "cloudServersOpenStack")
        for verb in ("GET", "PUT", "POST", "DELETE")
    },
}


def access(
    token: str = "token-1", *, expires: str = "2026-11-24T12:00:00.000Z", tenant: str = "123456"
) -> dict:
    """A log-in answer as in the reference, section 1.2."""
    return {
        "access": {
            "token": {"id": token, "expires": expires, "tenant": {"id": tenant, "name": tenant}},
            "serviceCatalog": [
                {
                    "name": "cloudServers",
                    "type": "compute",
                    "endpoints": [{"tenantId": tenant, "publicURL": "https://old.example.com/v1.0/123456"}],
                },
                {
                    "name": "cloudServersOpenStack",
                    "type": "compute",
                    "endpoints": [
                        {"region": "ORD", "publicURL": "https://ord.servers.example.com/v2/123456"},
                        {"region": "DFW", "publicURL": NOVA},
                    ],
                },
                {
                    "name": "cloudLoadBalancers",
                    "type": "rax:load-balancer",
                    "endpoints": [
                        {"region": "ORD", "publicURL": "https://ord.lb.example.com/v1.0/123456"},
                        {"region": "DFW", "publicURL": CLB},
                    ],
                },
                {
                    "name": "cloudMonitoring",
                    "type": "rax:monitor",
                    "endpoints": [{"publicURL": "https://monitoring.example.com/v1.0/123456"}],
                },
            ],
            "user": {"id": "7", "name": "launch", "roles": [{"id": "3", "name": "identity:user-admin"}]},
        }
    }


def node(node_id: int = 410, **more) -> dict:
    base = {"id": node_id, "address": "10.1.1.1", "port": 80, "condition": "ENABLED"}
    return {**base, "status": "ONLINE", "type": "PRIMARY", **more}


def balancer(balancer_id: int = 71, *, nodes: list | None = None, **more) -> dict:
    base = {
        "id": balancer_id,
        "name": "web",
        "protocol": "HTTP",
        "port": 80,
        "algorithm": "LEAST_CONNECTIONS",
        "status": "ACTIVE",
        "timeout": 30,
        "virtualIps": [{"id": 1, "address": "206.10.10.210", "type": "PUBLIC", "ipVersion": "IPV4"}],
        "nodes": [node()] if nodes is None else nodes,
    }
    return {"loadBalancer": {**base, **more}}


def server(server_id: str = "s-1", **more) -> dict:
    base = {
        "id": server_id,
        "name": "web-01",
        "status": "ACTIVE",
        "created": "2026-11-01T08:00:00Z",
        "hostId": "h1",
        "addresses": {
            "private": [{"version": 4, "addr": "10.1.1.1"}],
            "public": [{"version": 4, "addr": "8.8.8.8"}],
        },
        "flavor": {"id": "general1-4", "links": []},
        "image": {"id": "img-1", "links": []},
        "metadata": {},
        "OS-EXT-STS:task_state": None,
    }
    return {**base, **more}


class Body(httpx.AsyncByteStream):
    """A body that comes in one piece, and breaks off after it where a test wants that."""

    def __init__(self, content: bytes, breaks: bool = False) -> None:
        self.content = content
        self.breaks = breaks

    async def __aiter__(self):
        yield self.content
        if self.breaks:
            raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")


class Provider:
    """Answers requests from rules set by a test and remembers what it was asked.

    A rule is a response, an exception to raise, or a function of the request; a list of them is used up one
    by one, the last staying.
    """

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.rules: dict[tuple[str, str], object] = {}
        self.logins = 0
        self.on("POST", f"{IDENTITY_URL}/tokens", self._log_in)

    def _log_in(self, request: httpx.Request) -> httpx.Response:
        self.logins += 1
        return httpx.Response(200, json=access(f"token-{self.logins}"))

    def on(self, method: str, url: str, rule: object) -> None:
        self.rules[method, url] = rule

    async def handle(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        bare = str(request.url.copy_with(query=None))
        rule = self.rules.get((request.method, str(request.url))) or self.rules.get((request.method, bare))
        assert rule is not None, f"nobody expected {request.method} {request.url}"
        if isinstance(rule, list):
            rule = rule.pop(0) if len(rule) > 1 else rule[0]
        if isinstance(rule, Exception):
            raise rule
        if callable(rule):
            rule = rule(request)
            if hasattr(rule, "__await__"):
                rule = await rule
        assert isinstance(rule, httpx.Response)
        # A body that is still to be read, as from a network.
        return httpx.Response(rule.status_code, headers=rule.headers, stream=Body(rule.content))

    def sent(self, method: str) -> list[httpx.Request]:
        return [
            request
            for request in self.requests
            if request.method == method and "/tokens" not in str(request.url)
        ]

    def body_of(self, request: httpx.Request) -> object:
        return json.loads(request.content)

    def cloud(
        self,
        *,
        credentials: Credentials = CREDENTIALS,
        shared=None,
        now: Callable[[], datetime] | None = None,
        **options,
    ) -> RackspaceCloud:
        transport = httpx.MockTransport(self.handle)
        is_rehearsal = options.pop("is_rehearsal", False)
        return RackspaceCloud(
            credentials,
            shared=shared or MemoryShared(),
            transport_for=lambda origin: transport,
            rules=Rules,
            options=Options(**{"rates": FAST, **options}),
            is_rehearsal=is_rehearsal,
            now=now or (lambda: NOW),
        )


def later(**more) -> datetime:
    return NOW + timedelta(**more)


def flat(status: int, message: str, **headers) -> httpx.Response:
    """A fault of the load balancer service: flat (reference, 2.9)."""
    return httpx.Response(status, json={"message": message, "code": status}, headers=headers)


def rooted(
    status: int, root: str, message: str = "text", headers: dict | None = None, **more
) -> httpx.Response:
    """A fault with a root element: servers and the rate limiter (reference, 2.9 and 3.5)."""
    return httpx.Response(status, json={root: {"code": status, "message": message, **more}}, headers=headers)
