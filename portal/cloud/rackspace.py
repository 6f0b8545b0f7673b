"""The client for Rackspace: Identity v2.0, Cloud Load Balancers v1.0, Cloud Servers v2.

It speaks the provider's language outwards and ours inwards (`portal.cloud.protocol`). What an error means
stands in `rackspace_faults.py`, what an answer says in `rackspace_answers.py`; here is what is sent, when it
may be sent, and how far it got. Source: provider reference, sections 1 to 3, 8 and 9.

One object belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
import re
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

import httpx
import structlog

from portal.cloud import metrics
from portal.cloud import rackspace_answers as answers
from portal.cloud import rackspace_faults as faults
from portal.cloud.rackspace_answers import RateLimit, Session, Unreadable
from portal.cloud.rackspace_faults import Fault
from portal.cloud.shared import Rate, Shared, pace
from portal.cloud.types import (
    Balancer,
    BalancerRef,
    BalancerStats,
    BalancerStatus,
    CloudIdentity,
    Condition,
    Credentials,
    Done,
    FeedEntry,
    Node,
    NodeSpec,
    NodeType,
    Server,
    Withheld,
)
from portal.egress import HandOver, Rules, TooLateToSend, check_url, handing_over, rules_from_settings
from portal.errors import InDoubt, ProviderFailed, Refused, Trouble, TryLater

log = structlog.get_logger(__name__)
T = TypeVar("T")

BALANCERS = "cloudLoadBalancers"
SERVERS = "cloudServersOpenStack"
IDENTITY = "identity"
PAGE = 100
MAX_PAGES = 500
TOKEN_MARGIN_S = 60.0

# The rates that the provider documents (reference, 2.10 and 3.5). It documents none for deletes of servers:
# they go as its own autoscaler paces them (reference, 6.5).
RATES: Mapping[tuple[str, str], Rate] = {
    (IDENTITY, "POST"): Rate(per_s=1, burst=5),
    (BALANCERS, "GET"): Rate(per_s=10, burst=10),
    (BALANCERS, "PUT"): Rate(per_s=10, burst=10),
    (BALANCERS, "POST"): Rate(per_s=5, burst=5),
    (BALANCERS, "DELETE"): Rate(per_s=5, burst=5),
    (SERVERS, "GET"): Rate(per_s=1000 / 60, burst=50),
    (SERVERS, "POST"): Rate(per_s=100 / 60, burst=10),
    (SERVERS, "DELETE"): Rate(per_s=2.5, burst=1),
}

# Failures of httpx at which no byte of the request can have left.
_NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
_SEGMENT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SHORT = {BALANCERS: "balancers", SERVERS: "servers", IDENTITY: IDENTITY}

ClientFor = Callable[[str], httpx.AsyncClient]


@dataclass(frozen=True)
class Options:
    """How patient the client is. Times in seconds."""

    call_deadline_s: float = 10.0
    read_deadline_s: float = 10.0
    busy_after_s: float = faults.BUSY_RETRY_S
    read_pace_s: float = 5.0
    """How long a read waits for its place under the rate limit before it gives up."""
    write_pace_s: float = 2.0
    max_body_bytes: int = 8 * 1024 * 1024
    rates: Mapping[tuple[str, str], Rate] = field(default_factory=lambda: RATES)


@dataclass(frozen=True)
class Call:
    """One request, apart from where the service is and who asks."""

    service: str
    method: str
    path: str
    body: Mapping[str, object] | None = None
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """One response. `is_whole` is False where the body broke off or was too long."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_whole: bool

    @property
    def is_success(self) -> bool:
        """A 2xx status."""
        return 200 <= self.status < 300


@dataclass
class _Attempt(HandOver):
    """A watched request. `is_in_flight` from right before it is sent until its whole answer is here."""

    is_in_flight: bool = False

    @property
    def may_have_worked(self) -> bool:
        return self.is_in_flight and not self.surely_not_sent


def utc_now() -> datetime:
    """Return the present time."""
    return datetime.now(UTC)


class RackspaceCloud:
    """One Rackspace account in one region. See `portal.cloud.protocol.Cloud` for what each method promises."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        shared: Shared,
        client_for: ClientFor,
        rules: Callable[[], Rules] = rules_from_settings,
        options: Options | None = None,
        is_rehearsal: bool = False,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.identity: CloudIdentity = credentials.identity
        self.options = options or Options()
        self.call_deadline_s: float = self.options.call_deadline_s
        self.is_rehearsal = is_rehearsal
        self._credentials = credentials
        self._shared = shared
        self._client_for = client_for
        self._rules = rules
        self._now = now
        self._kept: Session | None = None
        self._login_lock = asyncio.Lock()
        self._balancer_locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        # The key is part of it, so that a changed key never meets the old one's token.
        parts = (credentials.identity_url, credentials.username, credentials.api_key, credentials.tenant)
        digest = hashlib.sha256("\0".join((*parts, credentials.region)).encode()).hexdigest()
        self._cache_key = digest[:32]

    def __repr__(self) -> str:
        return f"RackspaceCloud({self.identity!r}, is_rehearsal={self.is_rehearsal})"

    # --- reads: load balancers ---

    async def list_balancers(self) -> tuple[BalancerRef, ...]:
        """Return every load balancer that is not deleted, all pages."""
        return await self._balancer_pages({})

    async def balancers_holding(self, address: str) -> tuple[BalancerRef, ...]:
        """Return every load balancer that has a node with this address."""
        return await self._balancer_pages({"nodeaddress": address})

    async def show_balancer(self, balancer_id: str) -> Balancer | None:
        """Return one balancer with its nodes; None for 404, 410 and status DELETED."""
        answer = await self._read(Call(BALANCERS, "GET", f"/loadbalancers/{_segment(balancer_id)}"))
        if answer.status in {404, 410}:
            return None
        return self._understood(answer, lambda body: answers.parse_balancer(body, balancer_id))

    async def node_feed(self, balancer_id: str, node_id: str) -> tuple[FeedEntry, ...]:
        """Return the first page of a node's feed, newest first; empty where node or balancer is gone."""
        path = f"/loadbalancers/{_segment(balancer_id)}/nodes/{_segment(node_id)}.atom"
        answer = await self._read(Call(BALANCERS, "GET", path))
        if answer.status in {404, 410}:
            return ()
        return self._understood(answer, answers.parse_feed)

    async def balancer_stats(self, balancer_id: str) -> BalancerStats | None:
        """Return the balancer's figures; None while it applies a change (422) or is gone."""
        answer = await self._read(Call(BALANCERS, "GET", f"/loadbalancers/{_segment(balancer_id)}/stats"))
        if answer.status in {404, 410, 422}:
            return None
        return self._understood(answer, answers.parse_stats)

    async def _balancer_pages(self, params: Mapping[str, str]) -> tuple[BalancerRef, ...]:
        """Page with the inclusive marker (reference, 2.1): each page begins with the last one's end."""
        found: dict[str, BalancerRef] = {}
        marker: dict[str, str] = {}
        for _ in range(MAX_PAGES):
            asked = {**params, "limit": str(PAGE), **marker}
            answer = await self._read(Call(BALANCERS, "GET", "/loadbalancers", params=asked))
            page = self._understood(answer, answers.parse_balancer_refs)
            fresh = [ref for ref in page if ref.id not in found]
            found.update((ref.id, ref) for ref in page)
            if len(page) < PAGE:
                return tuple(ref for ref in found.values() if ref.status is not BalancerStatus.DELETED)
            if not fresh or not _is_ascending(page):
                # "From this id on" only reaches everything if the pages are in the order of ids.
                raise _unreadable("The list of load balancers does not page as it should")
            marker = {"marker": page[-1].id}
        raise _unreadable("The list of load balancers has no end")

    # --- reads: servers ---

    async def list_servers(self) -> tuple[Server, ...]:
        """Return every server, all pages. A next link that was followed before ends it with TryLater."""
        found: dict[str, Server] = {}
        marker: dict[str, str] = {}
        followed: set[str] = set()
        for _ in range(MAX_PAGES):
            asked = {"limit": str(PAGE), **marker}
            answer = await self._read(Call(SERVERS, "GET", "/servers/detail", params=asked))
            page, link = self._understood(answer, answers.parse_server_page)
            found.update((server.id, server) for server in page)
            following = answers.marker_of(link) if link is not None else None
            if following is None and len(page) >= PAGE:
                # A full page without a link is no proof of the end (reference, 3.1): ask once more.
                following = page[-1].id
            if following is None:
                return tuple(found.values())
            if following in followed:
                raise _unreadable("The list of servers repeats a page")
            followed.add(following)
            marker = {"marker": following}
        raise _unreadable("The list of servers has no end")

    async def show_server(self, server_id: str) -> Server | None:
        """Return one server; None for 404."""
        answer = await self._read(Call(SERVERS, "GET", f"/servers/{_segment(server_id)}"))
        if answer.status == 404:
            return None
        return self._understood(answer, lambda body: answers.parse_one_server(body, server_id))

    async def attached_volumes(self, server_id: str) -> tuple[str, ...] | None:
        """Return ids of attached volumes; None where this cloud does not tell."""
        path = f"/servers/{_segment(server_id)}/os-volume_attachments"
        answer = await self._read(Call(SERVERS, "GET", path))
        if answer.status in {403, 404, 501}:
            return None
        return self._understood(answer, answers.parse_volumes)

    # --- reads: what these credentials are ---

    async def session(self) -> Session:
        """Log in if need be and return the session: roles and endpoints, for the test of a connection."""
        async with self._within(self.options.read_deadline_s):
            return await self._session()

    async def rate_limits(self, service: str) -> tuple[RateLimit, ...]:
        """Return the rate limits that a service (`BALANCERS`, `SERVERS`) names for these credentials."""
        return self._understood(await self._read(Call(service, "GET", "/limits")), answers.parse_limits)

    # --- changes ---

    async def set_condition(
        self, balancer_id: str, node_id: str, condition: Condition, *, not_after: float
    ) -> Done | Withheld:
        """Ask for a node's condition, and nothing else of it (reference, 2.3)."""
        path = f"/loadbalancers/{_segment(balancer_id)}/nodes/{_segment(node_id)}"
        body = {"node": {"condition": condition.value}}

        async def refused(fault: Fault) -> Done:
            if fault.status == 404:
                balancer = await self.show_balancer(balancer_id)
                if balancer is not None and all(node.id != node_id for node in balancer.nodes):
                    raise ProviderFailed(
                        "The node is not in this load balancer any more, so its condition was not changed. "
                        "Someone else took it out.",
                        code="node_missing",
                        status=404,
                    )
            raise await self._balancer_trouble(balancer_id, fault)

        call = Call(BALANCERS, "PUT", path, body)
        return await self._change(call, not_after=not_after, balancer_id=balancer_id, refused=refused)

    async def remove_node(self, balancer_id: str, node_id: str, *, not_after: float) -> Done | Withheld:
        """Delete a node from a load balancer. Already gone, as a fresh look shows, is Done."""
        path = f"/loadbalancers/{_segment(balancer_id)}/nodes/{_segment(node_id)}"

        async def refused(fault: Fault) -> Done:
            if fault.status != 404:
                raise await self._balancer_trouble(balancer_id, fault)
            balancer = await self.show_balancer(balancer_id)
            if balancer is None:
                if any(ref.id == balancer_id for ref in await self.list_balancers()):
                    raise _contradiction("The load balancer is listed but cannot be shown")
                return Done({"already": "balancer_gone"})
            if any(node.id == node_id for node in balancer.nodes):
                raise _hidden_refusal()
            return Done({"already": "node_gone"})

        call = Call(BALANCERS, "DELETE", path)
        return await self._change(call, not_after=not_after, balancer_id=balancer_id, refused=refused)

    async def add_node(self, balancer_id: str, node: NodeSpec, *, not_after: float) -> Done | Withheld:
        """Add a node. One with this address and port that is there already is Done, with its condition."""
        wanted: dict[str, object] = {"address": node.address, "port": node.port}
        wanted["condition"] = node.condition.value
        if node.type is not NodeType.PRIMARY:
            wanted["type"] = node.type.value
        if node.weight is not None:
            wanted["weight"] = node.weight

        def is_it(there: Node) -> bool:
            return there.address == node.address and there.port == node.port

        async def accepted(answer: Answer) -> Done:
            try:
                made = [one for one in answers.parse_nodes(answer.body) if is_it(one)]
            except Unreadable:
                made = []
            if not answer.is_whole or not made:
                raise InDoubt(
                    "The provider accepted a new node but its answer could not be read. "
                    "The portal looks for the node before it does anything else.",
                    code="answer_unreadable",
                )
            return Done({"node_id": made[0].id, "condition": made[0].condition.value})

        async def refused(fault: Fault) -> Done:
            if not fault.is_duplicate:
                raise await self._balancer_trouble(balancer_id, fault)
            balancer = await self.show_balancer(balancer_id)
            for there in balancer.nodes if balancer else ():
                if is_it(there):
                    detail = {"node_id": there.id, "condition": there.condition.value}
                    return Done({**detail, "already": "node_there"})
            raise _contradiction("The provider says that the node is there already but does not list it")

        path = f"/loadbalancers/{_segment(balancer_id)}/nodes"
        call = Call(BALANCERS, "POST", path, {"nodes": [wanted]})
        return await self._change(
            call, not_after=not_after, balancer_id=balancer_id, accepted=accepted, refused=refused
        )

    async def delete_server(self, server_id: str, *, not_after: float) -> Done | Withheld:
        """Delete a server. One that is gone, as a fresh look shows too, is Done."""

        async def refused(fault: Fault) -> Done:
            if fault.status == 404:
                if await self.show_server(server_id) is not None:
                    raise _contradiction("The server is shown but could not be found to delete it")
                return Done({"already": "server_gone"})
            if fault.status == 409:
                raise await self._server_conflict(server_id, fault)
            raise faults.trouble_of_write(fault)

        call = Call(SERVERS, "DELETE", f"/servers/{_segment(server_id)}")
        return await self._change(call, not_after=not_after, refused=refused)

    async def stop_server(self, server_id: str, *, not_after: float) -> Done | Withheld:
        """Stop a server (os-stop). One that is stopped already is Done."""
        return await self._act(server_id, "os-stop", "SHUTOFF", not_after)

    async def start_server(self, server_id: str, *, not_after: float) -> Done | Withheld:
        """Start a stopped server (os-start). One that runs already is Done."""
        return await self._act(server_id, "os-start", "ACTIVE", not_after)

    async def _act(self, server_id: str, action: str, status: str, not_after: float) -> Done | Withheld:
        async def refused(fault: Fault) -> Done:
            if fault.status == 409:
                server = await self.show_server(server_id)
                if server is not None and server.status == status and server.task_state is None:
                    return Done({"already": status})
                raise await self._server_conflict(server_id, fault)
            if fault.status == 404 and await self.show_server(server_id) is None:
                raise ProviderFailed(
                    "The server does not exist any more, so nothing was done with it.",
                    code="server_missing",
                    status=404,
                )
            if fault.status in {400, 404, 501}:
                raise Refused(
                    "This cloud does not offer to stop or start servers. Nothing was changed.",
                    code="unsupported",
                )
            raise faults.trouble_of_write(fault)

        call = Call(SERVERS, "POST", f"/servers/{_segment(server_id)}/action", {action: None})
        return await self._change(call, not_after=not_after, refused=refused)

    async def _balancer_trouble(self, balancer_id: str, fault: Fault) -> Trouble:
        """Return why a load balancer took no change; looks where the answer does not say (reference, 6.6.7)."""
        if fault.status == 404:
            if await self.show_balancer(balancer_id) is not None:
                return _hidden_refusal()
            return ProviderFailed(
                "The load balancer is not found: deleted, or not of this account and region. "
                "Nothing was changed.",
                code="balancer_missing",
                status=404,
            )
        if fault.status == 410:
            return faults.balancer_not_writable(None)
        if fault.status != 422:
            return faults.trouble_of_write(fault)
        known = faults.trouble_of_write(fault)
        if isinstance(known, Refused):
            return known
        state = faults.state_named(fault)
        if state is None:
            balancer = await self.show_balancer(balancer_id)
            state = balancer.status if balancer is not None else BalancerStatus.DELETED
            if state is BalancerStatus.ACTIVE and not faults.says_not_active(fault):
                return known
        return faults.balancer_not_writable(state, busy_after_s=self.options.busy_after_s)

    async def _server_conflict(self, server_id: str, fault: Fault) -> Trouble:
        """Return what a 409 means: locked, busy, or in a state that does not allow it (reference, 9)."""
        server = await self.show_server(server_id)
        if fault.says_locked or (server is not None and server.is_locked):
            return Refused(
                "The server is locked at the provider. Nothing was changed. Unlock it there first.",
                code="server_locked",
            )
        if server is None or server.task_state is not None:
            return TryLater(
                "The server is busy with something else at the provider. Nothing was changed; "
                "the portal tries again by itself.",
                after_s=self.options.busy_after_s,
                code="server_busy",
            )
        return Refused(
            f"The server's present state ({server.status}) does not allow this. Nothing was changed.",
            code="server_state",
        )

    # --- one change on its way ---

    async def _change(
        self,
        call: Call,
        *,
        not_after: float,
        refused: Callable[[Fault], Awaitable[Done]],
        accepted: Callable[[Answer], Awaitable[Done]] | None = None,
        balancer_id: str | None = None,
    ) -> Done | Withheld:
        """Send one change at most once, and say how far it got.

        Everything, also the looks that explain a refusal, happens within `call_deadline_s`.
        """
        if self.is_rehearsal:
            log.info("cloud_change_withheld", method=call.method, path=call.path)
            return Withheld(call.method, call.path, call.body)
        attempt = _Attempt(not_after=not_after)
        try:
            async with asyncio.timeout(self.call_deadline_s), self._alone_on(balancer_id):
                answer = await self._ask(call, attempt, pace_s=self.options.write_pace_s)
                if answer.is_success:
                    return await accepted(answer) if accepted else Done({"status": str(answer.status)})
                fault = self._open(answer)
                if fault.is_rate_limit:
                    raise await self._slow_down(fault)
                if fault.status == 401:
                    raise faults.unauthorized()
                if fault.status >= 500 or 300 <= fault.status < 400:
                    raise self._with_jitter(faults.trouble_of_write(fault))
                return await refused(fault)
        except TooLateToSend:
            raise TryLater(
                "The change was not sent: the time in which it was safe to send it had passed.",
                after_s=0.0,
                code="not_sent",
            ) from None
        except (TimeoutError, httpx.TransportError) as problem:
            raise self._how_far(attempt, problem) from problem

    def _how_far(self, attempt: _Attempt, problem: Exception) -> Trouble:
        if attempt.may_have_worked and not isinstance(problem, _NEVER_LEFT):
            return InDoubt(
                "The change was sent, but the provider's answer was lost. It may have been made or not; "
                "the portal looks before it does anything else.",
                code="answer_lost",
            )
        return TryLater(
            "The provider could not be reached, so the change was not sent. The portal tries again by itself.",
            after_s=self._jittered(faults.FAULT_RETRY_S),
            code="unreachable",
        )

    @asynccontextmanager
    async def _alone_on(self, balancer_id: str | None) -> AsyncIterator[None]:
        """One change at a time per load balancer: it refuses a second while it applies the first."""
        if balancer_id is None:
            yield
            return
        lock = self._balancer_locks.get(balancer_id)
        if lock is None:
            lock = self._balancer_locks[balancer_id] = asyncio.Lock()
        async with lock:
            yield

    # --- one read ---

    async def _read(self, call: Call) -> Answer:
        """Ask once, and once more where a kept connection turned out to be dead (reference, 2).

        Returns whole answers with a status below 500; raises TryLater or ProviderFailed for all else.
        """
        for is_last in (False, True):
            async with self._within(self.options.read_deadline_s):
                try:
                    answer = await self._ask(call, _Attempt(), pace_s=self.options.read_pace_s)
                except _NEVER_LEFT as problem:
                    raise self._unreachable() from problem
                except httpx.TimeoutException as problem:
                    raise _too_slow() from problem
                except httpx.TransportError as problem:
                    if is_last:
                        raise TryLater(
                            "The connection to the provider broke before its answer. The portal asks again.",
                            after_s=self._jittered(faults.FAULT_RETRY_S),
                            code="broken",
                        ) from problem
                    continue
            return await self._checked(answer)
        raise AssertionError("the second attempt returns or raises")

    async def _checked(self, answer: Answer) -> Answer:
        if answer.is_success:
            if not answer.is_whole:
                raise _unreadable("The provider's answer broke off")
            return answer
        fault = self._open(answer)
        if fault.is_rate_limit:
            raise await self._slow_down(fault)
        if fault.status == 401:
            raise faults.unauthorized()
        if fault.status >= 500:
            raise self._with_jitter(faults.trouble_of_read(fault))
        return answer

    def _understood(self, answer: Answer, parse: Callable[[bytes], T]) -> T:
        """Return what an answer to a read says. An answer that says nothing sure is never "there is none"."""
        if answer.status not in {200, 203}:
            if answer.is_success:
                raise _unreadable("The provider gave an empty answer")
            raise faults.trouble_of_read(self._open(answer))
        try:
            return parse(answer.body)
        except Unreadable as problem:
            log.warning("cloud_answer_unreadable", problem=str(problem))
            raise _unreadable("The provider's answer could not be understood") from problem

    @asynccontextmanager
    async def _within(self, seconds: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise _too_slow() from None

    # --- one exchange ---

    async def _ask(self, call: Call, attempt: _Attempt, *, pace_s: float) -> Answer:
        """Exchange once; on 401 log in afresh, once, and repeat. A 401 is proof that nothing was done."""
        session = await self._session()
        answer = await self._exchange(call, session, attempt, pace_s=pace_s)
        if answer.status == 401:
            session = await self._session(instead_of=session.token)
            answer = await self._exchange(call, session, attempt, pace_s=pace_s)
        return answer

    async def _exchange(self, call: Call, session: Session, attempt: _Attempt, *, pace_s: float) -> Answer:
        if self.is_rehearsal and call.method != "GET":
            raise AssertionError("a rehearsal sends no change")
        base = session.endpoints.get(call.service)
        if base is None:
            raise ProviderFailed(
                f"The provider offers no {_SHORT[call.service]} service in region {self.identity.region} to "
                "these credentials. Check the region of the cloud connection.",
                code="no_endpoint",
            )
        target = self._endpoint(base + call.path)
        headers = {"X-Auth-Token": session.token, "Accept": "application/json"}
        began = time.perf_counter()
        rate = self.options.rates.get((call.service, call.method))
        if rate is not None:
            bucket = f"{_SHORT[call.service]}:{call.method}"
            await pace(self._shared, self.identity.tenant, bucket, rate, max_wait_s=pace_s)
        outcome = "lost"
        status: int | None = None
        try:
            answer = await self._send(call, target, headers, attempt)
            status = answer.status
            outcome = f"{status // 100}xx" if answer.is_whole else "cut_off"
        except TooLateToSend:
            outcome = "not_sent"
            raise
        except _NEVER_LEFT:
            outcome = "unreachable"
            raise
        finally:
            seconds = time.perf_counter() - began
            metrics.note_call(_SHORT[call.service], call.method, outcome, seconds)
            say = log.debug if call.method == "GET" and outcome == "2xx" else log.info
            say(
                "cloud_call",
                method=call.method,
                service=_SHORT[call.service],
                path=call.path,
                tenant=self.identity.tenant,
                status=status,
                outcome=outcome,
                duration_ms=round(seconds * 1000, 1),
            )
        return answer

    async def _send(
        self, call: Call, url: httpx.URL, headers: Mapping[str, str], attempt: _Attempt
    ) -> Answer:
        """Hand one request to the network and read its answer. Raises TooLateToSend, httpx.TransportError."""
        client = self._client_for(_origin(url))
        request = client.build_request(
            call.method,
            url,
            params=dict(call.params) or None,
            json=call.body,
            headers={**headers, "Accept-Encoding": "identity"},
            timeout=max(self.options.read_deadline_s, self.call_deadline_s),
        )
        if time.monotonic() >= attempt.not_after:
            raise TooLateToSend
        attempt.was_sent = False
        attempt.is_in_flight = True
        with handing_over(attempt):
            try:
                response = await client.send(request, stream=True)
            except Refused as closed:
                # The rules of egress: a matter of the connection's addresses, not of this one call.
                raise ProviderFailed(closed.says, code=closed.code) from closed
            except httpx.TransportError:
                raise
            except httpx.HTTPError as problem:
                raise httpx.RemoteProtocolError(type(problem).__name__) from problem
            try:
                body, is_whole = await self._body(response)
            finally:
                await response.aclose()
        attempt.is_in_flight = False
        return Answer(response.status_code, response.headers, body, is_whole)

    async def _body(self, response: httpx.Response) -> tuple[bytes, bool]:
        """Return the body as far as it came, and whether that is all of it."""
        body = bytearray()
        try:
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > self.options.max_body_bytes:
                    return bytes(body), False
        except (httpx.TransportError, httpx.StreamError):
            # The status stands; what is missing is for the caller to judge.
            return bytes(body), False
        return bytes(body), True

    def _endpoint(self, url: str) -> httpx.URL:
        """Return the checked address of a request: https, or a host and port that the operator opened."""
        rules = self._rules()
        try:
            target = check_url(url, rules=rules)
        except Refused as closed:
            raise ProviderFailed(closed.says, code=closed.code) from closed
        if target.url.scheme != "https" and not rules.opens(target.host, target.port):
            raise ProviderFailed(
                f"{target.host} would be asked without encryption, and the key would be readable on the way. "
                "Use an https address, or ask the operator to open this host and port.",
                code="not_encrypted",
            )
        return target.url

    # --- the log-in ---

    async def _session(self, instead_of: str | None = None) -> Session:
        """Return a session whose token is not `instead_of`: this process's, another worker's, or a new one."""
        if self._kept is not None and self._is_usable(self._kept, instead_of):
            return self._kept
        async with self._login_lock:
            if self._kept is not None and self._is_usable(self._kept, instead_of):
                return self._kept
            session = await self._cached(instead_of)
            if session is None:
                async with self._shared.turn(self._cache_key):
                    # Whoever had the turn before us may have logged in for all.
                    session = await self._cached(instead_of) or await self._log_in()
            self._kept = session
            return session

    def _is_usable(self, session: Session, instead_of: str | None) -> bool:
        left_s = (session.expires_at - self._now()).total_seconds()
        return session.token != instead_of and left_s > TOKEN_MARGIN_S

    async def _cached(self, instead_of: str | None) -> Session | None:
        text = await self._shared.read(self._cache_key)
        if text is None:
            return None
        try:
            session = Session.from_text(text)
        except Unreadable:
            log.warning("cloud_cached_session_unreadable")
            return None
        return session if self._is_usable(session, instead_of) else None

    async def _log_in(self) -> Session:
        url = self._endpoint(_tokens_url(self._credentials.identity_url))
        # Identity limits by user and address, not by tenant: its limit holds back log-ins only.
        bucket_owner = f"{IDENTITY}:{self._credentials.username}"
        await pace(self._shared, bucket_owner, "POST", self.options.rates[IDENTITY, "POST"], max_wait_s=5.0)
        key = {"username": self._credentials.username, "apiKey": self._credentials.api_key}
        body = {"auth": {"RAX-KSKEY:apiKeyCredentials": key, "tenantId": self.identity.tenant}}
        outcome = "lost"
        began = time.perf_counter()
        try:
            call = Call(IDENTITY, "POST", "", body)
            answer = await self._send(call, url, {"Accept": "application/json"}, _Attempt())
            outcome = f"{answer.status // 100}xx"
        except _NEVER_LEFT as problem:
            outcome = "unreachable"
            raise self._unreachable() from problem
        except httpx.TransportError as problem:
            raise TryLater(
                "The log-in at the provider was not answered. Nothing was changed; the portal tries again.",
                after_s=self._jittered(faults.FAULT_RETRY_S),
                code="login_lost",
            ) from problem
        finally:
            seconds = time.perf_counter() - began
            metrics.LOGINS.labels(outcome).inc()
            log.info(
                "cloud_login",
                tenant=self.identity.tenant,
                outcome=outcome,
                duration_ms=round(seconds * 1000, 1),
            )
        if not answer.is_success:
            fault = self._open(answer)
            trouble = self._with_jitter(faults.trouble_of_login(fault))
            if isinstance(trouble, TryLater) and trouble.code == "rate_limited":
                await self._shared.hold(bucket_owner, trouble.after_s)
            raise trouble
        session = self._understood_login(answer)
        ttl_s = (session.expires_at - self._now()).total_seconds() - TOKEN_MARGIN_S
        if ttl_s > 0:
            await self._shared.write(self._cache_key, session.to_text(), ttl_s)
        return session

    def _understood_login(self, answer: Answer) -> Session:
        if not answer.is_whole:
            raise _unreadable("The answer to the log-in broke off")
        try:
            session = answers.parse_session(
                answer.body,
                region=self.identity.region,
                tenant=self.identity.tenant,
                services=(BALANCERS, SERVERS),
            )
            regions = answers.regions_of(answer.body, BALANCERS)
        except answers.WrongTenant:
            raise ProviderFailed(
                "The provider logged the user in to another account than the one of this cloud connection. "
                "Nothing was changed. Check its tenant.",
                code="wrong_tenant",
            ) from None
        except Unreadable as problem:
            raise _unreadable("The answer to the log-in could not be understood") from problem
        if not session.endpoints:
            known = ", ".join(regions) or "none"
            raise ProviderFailed(
                f"The provider has nothing in region {self.identity.region} for these credentials. "
                f"Regions that it names: {known}. Check the region of the cloud connection.",
                code="no_region",
            )
        return session

    # --- small things ---

    def _open(self, answer: Answer) -> Fault:
        return faults.open_fault(answer.status, answer.headers, answer.body, self._now())

    async def _slow_down(self, fault: Fault) -> TryLater:
        """Hold back every worker for this tenant until the provider wants to be asked again."""
        trouble = faults.rate_limited(fault)
        await self._shared.hold(self.identity.tenant, trouble.after_s)
        trouble.after_s = self._jittered(trouble.after_s)
        return trouble

    def _with_jitter(self, trouble: Trouble) -> Trouble:
        if isinstance(trouble, TryLater):
            trouble.after_s = self._jittered(trouble.after_s)
        return trouble

    def _jittered(self, seconds: float) -> float:
        """Return up to a fifth more, so that a fleet of workers does not come back in step."""
        return seconds * (1 + 0.2 * random.random())

    def _unreachable(self) -> TryLater:
        return TryLater(
            "The provider cannot be reached. The portal tries again by itself.",
            after_s=self._jittered(faults.FAULT_RETRY_S),
            code="unreachable",
        )


def _tokens_url(identity_url: str) -> str:
    """Return where log-ins go, from an address with or without `/v2.0` and `/tokens`."""
    url = identity_url.rstrip("/")
    if url.endswith("/tokens"):
        return url
    return f"{url}/tokens" if url.endswith("/v2.0") else f"{url}/v2.0/tokens"


def _segment(resource_id: str) -> str:
    """Return an id that may stand in a path. Anything else would ask for something else: a bug."""
    if not _SEGMENT.fullmatch(resource_id):
        raise ValueError("not an id of this provider")
    return resource_id


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _is_ascending(page: tuple[BalancerRef, ...]) -> bool:
    ids = [int(ref.id) if ref.id.isdecimal() else -1 for ref in page]
    return all(before < after for before, after in itertools.pairwise(ids))


def _unreadable(what: str) -> TryLater:
    return TryLater(
        f"{what}. Nothing is concluded from it; the portal asks again by itself.",
        after_s=faults.FAULT_RETRY_S,
        code="unreadable",
    )


def _contradiction(what: str) -> TryLater:
    return TryLater(
        f"{what}. Nothing was changed; the portal looks again.",
        after_s=faults.FAULT_RETRY_S,
        code="contradiction",
    )


def _hidden_refusal() -> Refused:
    """A 404 for something that a fresh look shows: how this service answers who may not change it (2.9)."""
    return Refused(
        "The provider says that what it shows is not there: so it answers users who may not change it. "
        "Nothing was changed. Give the user a role that may change load balancers.",
        code="forbidden",
    )


def _too_slow() -> TryLater:
    return TryLater(
        "The provider gave no complete answer in time. The portal asks again by itself.",
        after_s=faults.FAULT_RETRY_S,
        code="timeout",
    )
