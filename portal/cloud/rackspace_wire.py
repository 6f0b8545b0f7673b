"""How requests to Rackspace leave and answers come back: log-in, pacing, time limits, how far a change got.

It knows no load balancer and no server (`rackspace.py` does). One object belongs to one event loop.
Source: provider reference, sections 1 (log-in), 2 (connections), 2.10 and 3.5 (rates), 9 (errors).
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

import httpx
import structlog

from portal import egress
from portal.cloud import metrics
from portal.cloud import rackspace_answers as answers
from portal.cloud import rackspace_faults as faults
from portal.cloud.rackspace_answers import Session, Unreadable
from portal.cloud.rackspace_faults import Fault
from portal.cloud.shared import Rate, Shared, pace
from portal.cloud.types import CloudIdentity, Credentials, Done, Withheld
from portal.egress import HandOver, Rules, TooLateToSend, check_url, handing_over, rules_from_settings
from portal.errors import InDoubt, ProviderFailed, Refused, Trouble, TryLater

log = structlog.get_logger(__name__)
T = TypeVar("T")

BALANCERS = "cloudLoadBalancers"
SERVERS = "cloudServersOpenStack"
MONITORING = "cloudMonitoring"
IDENTITY = "identity"
TOKEN_MARGIN_S = 60.0
REFUSED_FOR_S = 60.0
"""How long a 401 to a fresh token is taken for an answer about the user and not about the token."""

# The rates that the provider documents (reference, 2.10, 3.5 and 4). It documents none for deletes of servers:
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
    # Half of the documented 50,000 in 24 hours (4): the customer's own tools ask with the same account.
    (MONITORING, "GET"): Rate(per_s=25_000 / 86_400, burst=20),
}

# Failures of httpx at which no byte of the request can have left.
_NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
_SHORT = {BALANCERS: "balancers", SERVERS: "servers", MONITORING: "monitoring", IDENTITY: IDENTITY}

_SERVICES = (BALANCERS, SERVERS, MONITORING)

TransportFor = Callable[[str], httpx.AsyncBaseTransport]


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
    """One request, apart from where the service is and who asks. `region` is another than the connection's;
    only load balancers are asked there, and only read."""

    service: str
    method: str
    path: str
    body: Mapping[str, object] | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    region: str | None = None

    @property
    def part(self) -> str:
        """What of the provider it asks. A limit of one part says nothing of the others (reference, 2.10 and 3.5)."""
        is_of_images = self.service == SERVERS and self.path.startswith("/images")
        return "images" if is_of_images else self.place

    @property
    def place(self) -> str:
        """The service, with the region where it is another one's: each region is a service of its own, with limits of its own."""
        return _SHORT[self.service] if self.region is None else f"{_SHORT[self.service]}@{self.region}"


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


class Wire:
    """The connection to one Rackspace account in one region."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        shared: Shared,
        transport_for: TransportFor,
        rules: Callable[[], Rules] = rules_from_settings,
        options: Options | None = None,
        is_rehearsal: bool = False,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.identity: CloudIdentity = credentials.identity
        self.options = options or Options()
        self.is_rehearsal = is_rehearsal
        self._credentials = credentials
        self._shared = shared
        self._transport_for = transport_for
        self._rules = rules
        self._now = now
        self._kept: Session | None = None
        self._login_lock = asyncio.Lock()
        self._refused_fresh_at: dict[tuple[str, str], float] = {}
        self._balancer_locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        # The key is part of it, so that a changed key never meets the old one's token.
        # The services are, so that a session kept by an older portal is not taken for one that offers fewer.
        parts = (credentials.identity_url, credentials.username, credentials.api_key, credentials.tenant)
        digest = hashlib.sha256("\0".join((*parts, credentials.region, *_SERVICES)).encode()).hexdigest()
        self._cache_key = digest[:32]

    async def session(self) -> Session:
        """Log in if need be and return the session. Raises TryLater or ProviderFailed."""
        async with self._within(self.options.read_deadline_s):
            return await self._session()

    # --- one change on its way ---

    async def change(
        self,
        call: Call,
        *,
        not_after: float,
        refused: Callable[[Fault], Awaitable[Done]],
        accepted: Callable[[Answer], Awaitable[Done]] | None = None,
        balancer_id: str | None = None,
    ) -> Done | Withheld:
        """Send one change at most once, and say how far it got.

        Everything, also the looks that explain a refusal, happens within `Options.call_deadline_s`.
        """
        if self.is_rehearsal:
            log.info("cloud_change_withheld", method=call.method, path=call.path)
            return Withheld(call.method, call.path, call.body)
        attempt = _Attempt(not_after=not_after)
        try:
            async with asyncio.timeout(self.options.call_deadline_s), self._alone_on(balancer_id):
                answer = await self._ask(call, attempt, pace_s=self.options.write_pace_s)
                if answer.is_success:
                    return await accepted(answer) if accepted else Done({"status": str(answer.status)})
                fault = self._open(answer)
                if fault.is_rate_limit:
                    raise await self._slow_down(call, fault)
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

    async def read(self, call: Call) -> Answer:
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
            return await self._checked(call, answer)
        raise AssertionError("the second attempt returns or raises")

    async def _checked(self, call: Call, answer: Answer) -> Answer:
        if answer.is_success:
            if not answer.is_whole:
                raise unreadable("The provider's answer broke off")
            return answer
        fault = self._open(answer)
        if fault.is_rate_limit or (call.service == MONITORING and fault.says_limit_reached):
            raise await self._slow_down(call, fault)
        if fault.status == 401:
            raise faults.unauthorized()
        if fault.status >= 500:
            raise self._with_jitter(faults.trouble_of_read(fault))
        return answer

    def understood(
        self,
        answer: Answer,
        parse: Callable[[bytes], T],
        trouble: Callable[[Fault], Trouble] = faults.trouble_of_read,
    ) -> T:
        """Return what an answer to a read says. An answer that says nothing sure is never "there is none".

        `trouble` says what an error answer means.
        """
        if answer.status not in {200, 203}:
            if answer.is_success:
                raise unreadable("The provider gave an empty answer")
            raise trouble(self._open(answer))
        try:
            return parse(answer.body)
        except Unreadable as problem:
            log.warning("cloud_answer_unreadable", problem=str(problem))
            raise unreadable("The provider's answer could not be understood") from problem

    @asynccontextmanager
    async def _within(self, seconds: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise _too_slow() from None

    # --- one exchange ---

    async def _ask(self, call: Call, attempt: _Attempt, *, pace_s: float) -> Answer:
        """Exchange once; on 401 log in afresh, once, and repeat. A 401 is proof that nothing was done.

        Where a fresh token was refused a moment ago, a further log-in would not help: some services answer
        401 to users who may not do this (reference, 1.3), and log-ins are limited.
        """
        session = await self._session()
        answer = await self._exchange(call, session, attempt, pace_s=pace_s)
        kind = (call.place, call.method)
        refused_at = self._refused_fresh_at.get(kind, -math.inf)
        if answer.status == 401 and time.monotonic() - refused_at > REFUSED_FOR_S:
            session = await self._session(instead_of=session.token)
            answer = await self._exchange(call, session, attempt, pace_s=pace_s)
            if answer.status == 401:
                self._refused_fresh_at[kind] = time.monotonic()
        return answer

    async def _exchange(self, call: Call, session: Session, attempt: _Attempt, *, pace_s: float) -> Answer:
        if self.is_rehearsal and call.method != "GET":
            raise AssertionError("a rehearsal sends no change")
        if call.region is not None and call.method != "GET":
            raise AssertionError("nothing is changed in another region")
        places = session.endpoints if call.region is None else {BALANCERS: session.elsewhere.get(call.region)}
        base = places.get(call.service)
        if not base:
            region = call.region or self.identity.region
            raise ProviderFailed(
                f"The provider offers no {_SHORT[call.service]} service in region {region} to "
                "these credentials. Check the region of the cloud connection.",
                code="no_endpoint",
            )
        target = self._endpoint(base + call.path)
        headers = {"X-Auth-Token": session.token, "Accept": "application/json"}
        began = time.perf_counter()
        rate = self.options.rates.get((call.service, call.method))
        if rate is not None:
            bucket = f"{call.place}:{call.method}"
            await pace(self._shared, self.identity.tenant, bucket, rate, max_wait_s=pace_s, part=call.part)
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
        transport = self._transport_for(_origin(url))
        if time.monotonic() >= attempt.not_after:
            raise TooLateToSend
        attempt.was_sent = False
        attempt.is_in_flight = True
        with handing_over(attempt):
            try:
                async with egress.answer_to(
                    transport,
                    call.method,
                    url,
                    params=dict(call.params) or None,
                    json=call.body,
                    headers={
                        "User-Agent": egress.USER_AGENT,
                        **headers,
                        "Accept-Encoding": "identity",
                    },
                    timeout_s=max(self.options.read_deadline_s, self.options.call_deadline_s),
                ) as response:
                    body, is_whole = await self._body(response)
            except Refused as closed:
                # The rules of egress: a matter of the connection's addresses, not of this one call.
                raise ProviderFailed(closed.says, code=closed.code) from closed
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
        await pace(
            self._shared,
            bucket_owner,
            "POST",
            self.options.rates[IDENTITY, "POST"],
            max_wait_s=self.options.read_pace_s,
        )
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
            raise unreadable("The answer to the log-in broke off")
        try:
            session = answers.parse_session(
                answer.body,
                region=self.identity.region,
                tenant=self.identity.tenant,
                services=_SERVICES,
                everywhere=BALANCERS,
            )
            regions = answers.regions_of(answer.body, BALANCERS)
        except answers.WrongTenant:
            raise ProviderFailed(
                "The provider logged the user in to another account than the one of this cloud connection. "
                "Nothing was changed. Check its tenant.",
                code="wrong_tenant",
            ) from None
        except Unreadable as problem:
            raise unreadable("The answer to the log-in could not be understood") from problem
        # Monitoring has one address for all regions (reference, 1.2): it says nothing of this one.
        if not session.endpoints.keys() - {MONITORING}:
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

    async def _slow_down(self, call: Call, fault: Fault) -> TryLater:
        """Hold back every worker from this part of the provider, for this tenant, until it wants to be asked again.

        A list of images that may not be read for minutes keeps nobody from looking at a load balancer, or from
        putting a server back.
        """
        trouble = faults.rate_limited(fault)
        await self._shared.hold(self.identity.tenant, trouble.after_s, call.part)
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


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def unreadable(what: str) -> TryLater:
    """Return the trouble of an answer that says nothing sure."""
    return TryLater(
        f"{what}. Nothing is concluded from it; the portal asks again by itself.",
        after_s=faults.FAULT_RETRY_S,
        code="unreadable",
    )


def _too_slow() -> TryLater:
    return TryLater(
        "The provider gave no complete answer in time. The portal asks again by itself.",
        after_s=faults.FAULT_RETRY_S,
        code="timeout",
    )
