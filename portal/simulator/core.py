"""The world's time, traffic and bookkeeping: what all three services of the provider stand on.

Traffic is kept as a fluid at one anchor time for the whole world and computed from there on demand. Only a change
that alters who gets traffic moves the anchor, so `advance_to` costs nothing while nothing happens, and one step or
a thousand give the same figures.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from portal.simulator import traffic
from portal.simulator.dice import Dice
from portal.simulator.entities import FeedEntry, Image, LoadBalancer, Node, Server, Settings, Token, User
from portal.simulator.errors import (
    CLB_SATURATED,
    CLB_UNKNOWN,
    AnswerLost,
    AnswerTruncated,
    Json,
    ProviderError,
    clb_error,
    conflict,
    monitoring_error,
    nova_error,
)
from portal.simulator.faults import INSIDE, Fault, Faults
from portal.simulator.truth import Harm, Truth

DEFAULT_START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
OUTSIDE_CAPACITY_RPS = 100.0
OUTSIDE_LATENCY_S = 0.08
PAST_STEP_S = 60.0
PAST_KEPT = 120

P = ParamSpec("P")
R = TypeVar("R")
W = TypeVar("W", bound="Core")

_SERVICES = {
    "identity": "identity",
    "server": "servers",
    "flavor": "servers",
    "image": "servers",
    "compute": "servers",
    "status": "status",
    "metrics": "status",
    "site": "site",
    "monitoring": "monitoring",
}


def service_of(route: str) -> str:
    """Return "clb", "servers", "identity", "monitoring", "status" or "site" for an operation's route."""
    return _SERVICES.get(route.partition(".")[0], "clb")


def operation(
    route: str, verb: str = "GET"
) -> Callable[[Callable[Concatenate[W, P], R]], Callable[Concatenate[W, P], R]]:
    """Mark a method as a call of the provider's API: rate limits and faults of `route` apply to it."""

    def wrap(method: Callable[Concatenate[W, P], R]) -> Callable[Concatenate[W, P], R]:
        @wraps(method)
        def call(self: W, /, *args: P.args, **kwargs: P.kwargs) -> R:
            return self._operate(route, verb, method, args, kwargs)

        call.raw = method  # type: ignore[attr-defined]
        return call

    return wrap


@dataclass(slots=True)
class _Basis:
    """What one unit of a balancer's demand has become since the anchor; `d_` is damped by fading stickiness."""

    short_fade: float
    long_fade: float
    short: float
    long: float
    d_short: float
    d_long: float


class Core:
    """Time, chance, faults, traffic. See `World` for the whole."""

    def __init__(
        self, seed: int = 0, *, start: datetime = DEFAULT_START, settings: Settings | None = None
    ) -> None:
        if start.tzinfo is None:
            raise ValueError("The world's start needs a time zone.")
        self.seed = seed
        self.start = start.astimezone(UTC)
        self.settings = settings or Settings()
        self.now = 0.0
        self.dice = Dice(seed)
        self.faults = Faults(self.dice)
        self.balancers: dict[int, LoadBalancer] = {}
        self.servers: dict[str, Server] = {}
        self.images: dict[str, Image] = {}
        self.users: dict[str, User] = {}
        self.tokens: dict[str, Token] = {}
        self.version = 0
        self.scenario = ""
        self._truth = Truth()
        self._anchor = 0.0
        self._agenda: list[tuple[float, int, str, list[Any]]] = []
        self._counters: dict[str, int] = {}
        self._by = "api"
        self._depth = 0
        self._delay_s = 0.0
        self._inside: dict[str, Fault] = {}
        self._calls: dict[tuple[str, str, str], deque[float]] = {}
        self._address: dict[str, str] = {}
        self._gone: set[str] = set()
        self._demand: dict[int, traffic.Demand] = {}
        self._terms: dict[int, traffic.Terms] = {}
        self._stuck: dict[int, float] = {}
        self._memo_u = -1.0
        self._memo: dict[int, _Basis] = {}

    # --- time ---------------------------------------------------------------------------------------------------

    def advance_to(self, t: float) -> None:
        """Let the world live until `t` (seconds since its start); everything that falls due happens, in order.

        Raises ValueError for a time that is past.
        """
        if t < self.now:
            raise ValueError(f"The world is at {self.now} s and cannot go back to {t} s.")
        agenda = self._agenda
        while agenda and agenda[0][0] <= t:
            due, _, kind, args = heapq.heappop(agenda)
            self.now = max(self.now, due)
            self.version += 1
            getattr(self, f"_on_{kind}")(*args)
        self.now = t

    def next_due(self) -> float | None:
        """When something will happen by itself next; None if nothing is pending."""
        return self._agenda[0][0] if self._agenda else None

    def time_at(self, t: float) -> datetime:
        """Return world time `t` as an aware UTC time."""
        return self.start + timedelta(seconds=t)

    def stamp(self, t: float) -> str:
        """Return world time `t` as the provider writes it: whole seconds, Z."""
        return self.time_at(t).strftime("%Y-%m-%dT%H:%M:%SZ")

    def world_time(self, moment: datetime) -> float:
        return (moment - self.start).total_seconds()

    def _schedule(self, due: float, kind: str, *args: Any) -> None:
        heapq.heappush(self._agenda, (due, self._next("agenda"), kind, list(args)))

    def _next(self, counter: str, first: int = 1) -> int:
        number = self._counters.get(counter, first - 1) + 1
        self._counters[counter] = number
        return number

    def set_speed(self, speed: float) -> None:
        """Change the speed of seasons, builds, deletes and images. What visitors want now does not jump by it."""
        if speed <= 0.0:
            raise ValueError("Speed must be more than 0.")
        with self._change():
            for lb in self.balancers.values():
                lb.peak_hour += (speed - self.settings.speed) * self.now / 3600.0
            self.settings.speed = speed

    # --- calls, faults ------------------------------------------------------------------------------------------

    def add_fault(
        self,
        kind: str,
        route: str = "*",
        *,
        times: int | None = 1,
        probability: float = 1.0,
        target: str | int | None = None,
        seconds: float | None = None,
        status: int = 500,
        says: str = "",
    ) -> Fault:
        """Order a fault; see `faults.py` for kinds and routes. Raises ValueError for an unknown kind."""
        fault = Fault(
            kind, route, times, probability, None if target is None else str(target), seconds, status, says
        )
        if kind == "stale":
            fault.snapshot = self._count_snapshot()
        self.version += 1
        return self.faults.add(fault)

    def take_delay(self) -> float:
        """Return by how many seconds the last call's answer is late, and forget it."""
        delay_s, self._delay_s = self._delay_s, 0.0
        return delay_s

    def _operate(self, route: str, verb: str, method: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        service = service_of(route)
        self._check_rate(service, verb, str(kwargs.get("tenant") or ""))
        write = verb != "GET" and service in ("clb", "servers")
        struck = self.faults.strike(route, _words(args, kwargs), write) if self.faults.items else []
        if write:
            self.version += 1
        if not struck:
            return method(self, *args, **kwargs)
        self.version += 1
        self._inside = {}
        after: list[Fault] = []
        for fault in struck:
            self._truth.note(self.now, "fault", "world", kind=fault.kind, route=route)
            if fault.kind == "late":
                self._schedule(
                    self.now + (fault.seconds or 0.0),
                    "late",
                    method.__name__,
                    list(args),
                    dict(kwargs),
                    self._by,
                )
            self._strike_before(fault, service)
            if fault.kind in INSIDE:
                self._inside[fault.kind] = fault
            else:
                after.append(fault)
        try:
            result = method(self, *args, **kwargs)
        finally:
            self._inside = {}
        for fault in after:
            result = self._strike_after(fault, result, next(iter((*args, *kwargs.values())), None))
        return result

    def _strike_before(self, fault: Fault, service: str) -> None:
        kind = fault.kind
        if kind == "delay":
            self._delay_s += fault.seconds or 0.0
        elif kind == "server_error":
            raise self.failure(service, fault.status)
        elif kind == "refuses":
            raise self._refusal(service, fault.status, fault.says)
        elif kind == "reset_before":
            raise AnswerLost("reset", applied=False)
        elif kind in ("timeout_before", "late"):
            raise AnswerLost("timeout", applied=False)
        elif kind == "status_down":
            raise AnswerLost("refused", applied=False)
        elif kind == "over_limit":
            raise self.over_limit(service, 1.0 if fault.seconds is None else fault.seconds)
        elif kind == "limit_reached":
            again = self._retry_after(60.0 if fault.seconds is None else fault.seconds)
            raise monitoring_error(400, "limitReached", "Limit has been reached", {"Reply-After": again})
        elif kind == "unavailable":
            raise self.failure(service, 503, 300.0 if fault.seconds is None else fault.seconds)
        elif kind == "locked":
            raise conflict("Instance is locked")
        elif kind in ("token_expired", "token_revoked"):
            for token in self.tokens.values():
                token.revoked = True
            raise self.unauthorized(service)

    def _strike_after(self, fault: Fault, result: Any, of: Any) -> Any:
        kind = fault.kind
        if kind == "reset_after":
            raise AnswerLost("reset", applied=True)
        if kind == "timeout_after":
            raise AnswerLost("timeout", applied=True)
        if kind == "truncated":
            raise AnswerTruncated(result)
        if kind == "empty_list":
            return {key: [] if isinstance(item, list) else item for key, item in result.items()}
        if kind in ("false_zero", "stale"):
            return self._spoil_counts(
                result, of, None if kind == "false_zero" else fault.snapshot.get(str(of))
            )
        return result

    def _on_late(self, name: str, args: list[Any], kwargs: dict[str, Any], by: str) -> None:
        self._by, before = by, self._by
        try:
            getattr(type(self), name).raw(self, *args, **kwargs)
        except ProviderError as refusal:
            self._truth.note(self.now, "late write refused", by, operation=name, status=refusal.status)
        finally:
            self._by = before

    def _count_snapshot(self) -> dict[str, Any]:
        return {}

    def _spoil_counts(self, result: Any, of: Any, snapshot: Any) -> Any:
        return result

    def failure(self, service: str, status: int, retry_after_s: float | None = None) -> ProviderError:
        """Return a 5xx (or whatever `status`) in the shape of the service."""
        headers = {} if retry_after_s is None else {"Retry-After": self._retry_after(retry_after_s)}
        if service == "servers":
            roots = {501: "notImplemented", 503: "serviceUnavailable"}
            return nova_error(
                status, roots.get(status, "computeFault"), "The server could not do it.", headers
            )
        if service == "identity":
            return nova_error(status, "identityFault", "Service is not available.", headers)
        if service == "monitoring":
            return monitoring_error(status, "internalError", "An error occurred.", headers)
        if service == "clb":
            return clb_error(status, CLB_SATURATED if status == 503 else CLB_UNKNOWN, headers)
        return ProviderError(status, f"{status}\n", headers)

    def _refusal(self, service: str, status: int, says: str) -> ProviderError:
        """Return an error in words: Nova's have a root element, the load balancer's are flat (reference 2.9, 3.5)."""
        if service == "servers":
            return nova_error(status, "badRequest" if status == 400 else "conflictingRequest", says)
        return ProviderError(status, {"code": status, "message": says})

    def over_limit(self, service: str, retry_after_s: float) -> ProviderError:
        """Return the 413 of the rate limiting proxy (reference 2.9, 3.5); monitoring says 429 (reference 4)."""
        if service == "monitoring":
            headers = {"Retry-After": self._retry_after(retry_after_s), "X-RateLimit-Type": "global"}
            return monitoring_error(429, "rateLimitReached", "Rate limit has been reached", headers)
        again = self.stamp(self.now + math.ceil(retry_after_s))
        body: Json = {"code": 413, "message": "OverLimit Retry...", "details": "Error Details..."}
        body["retryAt" if service == "servers" else "retryAfter"] = again
        return ProviderError(413, {"overLimit": body}, {"Retry-After": self._retry_after(retry_after_s)})

    def unauthorized(self, service: str) -> ProviderError:
        """Return the 401 of a service: the load balancer's has no body (reference 1.3)."""
        if service == "monitoring":
            return monitoring_error(401, "unauthorizedError", "Authentication is required")
        if service in ("servers", "identity"):
            return nova_error(401, "unauthorized", "Unable to authenticate user with credentials provided.")
        return ProviderError(401, None)

    def _retry_after(self, seconds: float) -> str:
        if self.settings.retry_after_format == "http-date":
            return format_datetime(self.time_at(self.now + math.ceil(seconds)), usegmt=True)
        if self.settings.retry_after_format == "iso":
            return self.stamp(self.now + math.ceil(seconds))
        return str(math.ceil(seconds))

    def _check_rate(self, service: str, verb: str, tenant: str) -> None:
        limits = self.settings.rate_limits.get(service, {}).get(verb)
        if not limits:
            return
        calls = self._calls.setdefault((service, verb, tenant), deque())
        longest = max(per_s for _, per_s in limits)
        while calls and calls[0] <= self.now - longest:
            calls.popleft()
        for most, per_s in limits:
            recent = [t for t in calls if t > self.now - per_s]
            if len(recent) >= most:
                raise self.over_limit(service, recent[len(recent) - int(most)] + per_s - self.now)
        calls.append(self.now)

    # --- who is who ---------------------------------------------------------------------------------------------

    @property
    def truth(self) -> Truth:
        """What really happened up to now."""
        self._settle()
        truth = self._truth
        truth.failed = {}
        for lb in self.balancers.values():
            for cause, requests in lb.failed.items():
                truth.failed[cause] = truth.failed.get(cause, 0.0) + requests
        truth.requests_served = sum(lb.served for lb in self.balancers.values())
        return truth

    def forget_the_past(self) -> None:
        """Start a fresh truth log; what was counted so far is dropped. Scenarios end with it."""
        self._settle()
        self._truth = Truth()
        for lb in self.balancers.values():
            lb.failed, lb.served = {}, 0.0
            self._truth.serve(self.now, lb.lb_id, len(self.serving_servers(lb)))

    def server_at(self, address: str) -> Server | None:
        """Return the living server that has this address."""
        server_id = self._address.get(address)
        return None if server_id is None else self.servers[server_id]

    def node_answers(self, node: Node) -> bool:
        """Whether something answers at the node's address; addresses outside the cloud always do."""
        server = self.server_at(node.address)
        return server.up if server is not None else node.address not in self._gone

    def machine_key(self, node: Node) -> str:
        """What makes two nodes one machine: the server, else the address."""
        return self._address.get(node.address, node.address)

    def serving_servers(self, lb: LoadBalancer) -> set[str]:
        """Return the distinct servers that are in service: ENABLED, ONLINE, PRIMARY, and applied."""
        return {
            self.machine_key(node)
            for node in lb.nodes
            if node.landed
            and node.condition == "ENABLED"
            and node.status == "ONLINE"
            and node.type == "PRIMARY"
        }

    def nodes_at(self, server: Server) -> Iterator[tuple[LoadBalancer, Node]]:
        for lb in self.balancers.values():
            if lb.status != "DELETED":
                for node in lb.nodes:
                    if node.address in server.addresses:
                        yield lb, node

    # --- traffic ------------------------------------------------------------------------------------------------

    @contextmanager
    def _change(self) -> Iterator[None]:
        """Whatever alters who gets traffic happens inside: settle what was, then share anew."""
        self._settle()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                self._share()

    def _settle(self) -> None:
        u = self.now - self._anchor
        if u <= 0.0:
            return
        failures = self._overload(u)
        loads: dict[str, float] = {}
        for lb in self.balancers.values():
            terms = self._terms.get(lb.lb_id)
            if terms is None:
                continue
            pinned = sum(node.pinned for node in lb.nodes)
            damping = _damping(lb)
            wanted = traffic.total(terms, u)
            damped = traffic.total(terms, u, damping) if pinned else 0.0
            given = 0.0
            for node in lb.nodes:
                node.short, node.long = self._fluid(lb, node, u)
                requests = node.share * (wanted - pinned * damped) + node.pinned * damped
                if requests <= 0.0:
                    continue
                given += requests
                key = self.machine_key(node)
                lost = failures.get((lb.lb_id, node.node_id), 0.0)
                if not node.answers:
                    _count(lb.failed, "dead server", requests)
                    lost = requests
                elif lost:
                    _count(lb.failed, "overload", lost)
                lb.served += requests - lost
                loads[key] = loads.get(key, 0.0) + (requests if node.answers else 0.0)
            if wanted - given > 1e-9 * max(1.0, wanted):
                _count(lb.failed, "no node in service", wanted - given)
            fade = math.exp(-damping * u)
            for node in lb.nodes:
                node.pinned *= fade
        for server in self.servers.values():
            if server.up:
                server.requests += loads.get(server.server_id, 0.0) + server.direct_rps * u
            _remember(server, self.now)
        self._anchor = self.now
        self._refresh_terms()

    def _refresh_terms(self) -> None:
        self._memo_u = -1.0
        for lb_id, demand in self._demand.items():
            self._terms[lb_id] = demand.terms(self._anchor)

    def _basis(self, lb: LoadBalancer, u: float) -> _Basis:
        if u != self._memo_u:
            self._memo_u, self._memo = u, {}
        basis = self._memo.get(lb.lb_id)
        if basis is None:
            terms = self._terms.get(lb.lb_id, ())
            damping = _damping(lb)
            sticky = any(node.pinned for node in lb.nodes)
            basis = _Basis(
                math.exp(-u / lb.short_s),
                math.exp(-u / lb.long_s),
                traffic.answer(terms, u, lb.short_s),
                traffic.answer(terms, u, lb.long_s),
                traffic.answer(terms, u, lb.short_s, damping) if sticky else 0.0,
                traffic.answer(terms, u, lb.long_s, damping) if sticky else 0.0,
            )
            self._memo[lb.lb_id] = basis
        return basis

    def _fluid(self, lb: LoadBalancer, node: Node, u: float) -> tuple[float, float]:
        """Return the open short and long connections of a node, `u` seconds after the anchor."""
        if not node.answers:
            return 0.0, 0.0
        basis = self._basis(lb, u)
        short, long = node.short * basis.short_fade, node.long * basis.long_fade
        if node.share or node.pinned:
            pinned = sum(other.pinned for other in lb.nodes)
            opened_short = node.share * (basis.short - pinned * basis.d_short) + node.pinned * basis.d_short
            opened_long = node.share * (basis.long - pinned * basis.d_long) + node.pinned * basis.d_long
            short += lb.connections_per_request * (1.0 - lb.long_share) * opened_short
            long += lb.connections_per_request * lb.long_share * opened_long
        return max(0.0, short), max(0.0, long)

    def visitors(self, lb: LoadBalancer, node: Node) -> int:
        """Return how many connections of visitors are open on a node now. Without new ones it only ever falls."""
        short, long = self._fluid(lb, node, self.now - self._anchor)
        if node.share:
            short *= 1.0 + 0.3 * (self.dice.still(lb.lb_id, node.node_id, int(self.now)) - 0.5)
        return math.floor(short + node.rounding[0]) + math.floor(long + node.rounding[1])

    def idle(self, lb: LoadBalancer, node: Node) -> int:
        """Return how many idle keep-alive connections the balancer holds to a node."""
        if not node.answers or not node.landed:
            return 0
        return lb.idle_per_node if node.share or self.now < node.idle_until else 0

    def node_rps(self, lb: LoadBalancer, node: Node, t: float | None = None) -> float:
        """Return the requests per second that a node is given at `t` (now if None)."""
        terms = self._terms.get(lb.lb_id)
        if terms is None or not (node.share or node.pinned):
            return 0.0
        u = (self.now if t is None else t) - self._anchor
        pinned = sum(other.pinned for other in lb.nodes)
        damped = traffic.value(terms, u, _damping(lb)) if pinned else 0.0
        return max(0.0, node.share * (traffic.value(terms, u) - pinned * damped) + node.pinned * damped)

    def _requests_since(self, lb: LoadBalancer, node: Node, t: float | None = None) -> float:
        """Return how many requests a node was given from the anchor to `t` (now if None)."""
        terms = self._terms.get(lb.lb_id)
        u = (self.now if t is None else t) - self._anchor
        if terms is None or u <= 0.0 or not (node.share or node.pinned):
            return 0.0
        pinned = sum(other.pinned for other in lb.nodes)
        damped = traffic.total(terms, u, _damping(lb)) if pinned else 0.0
        return max(0.0, node.share * (traffic.total(terms, u) - pinned * damped) + node.pinned * damped)

    def demand_rps(self, lb: LoadBalancer) -> float:
        """Return the requests per second that the balancer's visitors want now."""
        demand = self._demand.get(lb.lb_id)
        return 0.0 if demand is None else demand.at(self.now)

    def machine_load(self, key: str, t: float | None = None) -> float:
        """Return the load of a machine over its capacity (1.0 is full), over all load balancers, at `t`."""
        server = self.servers.get(key)
        rps = server.direct_rps if server is not None else 0.0
        for lb in self.balancers.values():
            for node in lb.nodes:
                if self.machine_key(node) == key:
                    rps += self.node_rps(lb, node, t)
        return rps / self._capacity(server)

    def _capacity(self, server: Server | None) -> float:
        return OUTSIDE_CAPACITY_RPS if server is None else max(1e-9, server.capacity_rps / server.slow)

    def _overload(self, u: float) -> dict[tuple[int, int], float]:
        """Return the requests that failed since the anchor because a machine was asked for too much."""
        most: dict[str, float] = {}
        for lb in self.balancers.values():
            demand = self._demand.get(lb.lb_id)
            if demand is None:
                continue
            for node in lb.nodes:
                if node.share or node.pinned:
                    key = self.machine_key(node)
                    most[key] = most.get(key, 0.0) + (node.share + node.pinned) * demand.most()
        hot = set()
        for key, rps in most.items():
            server = self.servers.get(key)
            direct = server.direct_rps if server is not None else 0.0
            if (rps + direct) / self._capacity(server) > traffic.KNEE:
                hot.add(key)
        if not hot:
            return {}
        turns = max((d.omega * u / (2.0 * math.pi) for d in self._demand.values()), default=0.0)
        steps = 2 * min(300, 4 + int(turns * 48))
        width = u / steps
        lost: dict[tuple[int, int], float] = {}
        for i in range(steps + 1):
            t = self._anchor + i * width
            factor = (1 if i in (0, steps) else 4 if i % 2 else 2) * width / 3.0
            ratios = {key: traffic.error_ratio(self.machine_load(key, t)) for key in hot}
            for lb in self.balancers.values():
                for node in lb.nodes:
                    ratio = ratios.get(self.machine_key(node), 0.0)
                    if ratio and node.answers:
                        place = (lb.lb_id, node.node_id)
                        lost[place] = lost.get(place, 0.0) + factor * ratio * self.node_rps(lb, node, t)
        return lost

    def _share(self) -> None:
        """Share the demand of every balancer among the nodes that are in service now."""
        self._index()
        hour = self.start.hour + self.start.minute / 60.0
        for lb in self.balancers.values():
            speed = self.settings.speed
            season = lb.season if lb.absolute_rps is None else 0.0
            self._demand[lb.lb_id] = traffic.season_of(lb.demand_rps, season, lb.peak_hour, hour, speed)
            chosen = self._in_service(lb)
            weights = {node.node_id: self._weight(lb, node) for node in chosen}
            whole = sum(weights.values())
            for node in lb.nodes:
                node.answers = self.node_answers(node)
                had = node.share > 0.0
                node.share = weights.get(node.node_id, 0.0) / whole if whole else 0.0
                if had and not node.share:
                    node.idle_until = max(node.idle_until, self.now + lb.keepalive_s)
                if (
                    lb.persistence is None
                    or node.condition != "DRAINING"
                    or not node.answers
                    or not lb.routes
                ):
                    node.pinned = 0.0
                self._watch(lb, node)
            if lb.status != "DELETED":
                self._truth.serve(self.now, lb.lb_id, len(self.serving_servers(lb)))
        self._refresh_terms()

    def _index(self) -> None:
        self._address, self._gone = {}, set()
        # An address may have gone from a deleted server to a new one: the living one counts.
        for server in self.servers.values():
            if server.deleted_t is None:
                self._address.update(dict.fromkeys(server.addresses, server.server_id))
            else:
                self._gone.update(server.addresses)
        self._gone.difference_update(self._address)

    def _in_service(self, lb: LoadBalancer) -> list[Node]:
        if not lb.routes:
            return []
        ready = [n for n in lb.nodes if n.landed and n.condition == "ENABLED" and n.status == "ONLINE"]
        first = [n for n in ready if n.type == "PRIMARY"]
        if first or lb.health_monitor is None:
            return first
        return [n for n in ready if n.type == "SECONDARY"]

    def _weight(self, lb: LoadBalancer, node: Node) -> float:
        weight = float(node.weight) if lb.algorithm.startswith("WEIGHTED") else 1.0
        if lb.algorithm.endswith("LEAST_CONNECTIONS"):
            # A slower machine holds its connections longer, so this algorithm gives it fewer.
            weight *= self._capacity(self.server_at(node.address))
        return weight

    # --- health monitor -----------------------------------------------------------------------------------------

    def _watch(self, lb: LoadBalancer, node: Node) -> None:
        if lb.health_monitor is None or not node.landed or lb.status == "DELETED":
            node.health_wanted = None
            return
        wanted = "ONLINE" if node.answers else "OFFLINE"
        if wanted == node.status:
            node.health_wanted = None
        elif node.health_wanted != wanted:
            checks = lb.health_monitor["attemptsBeforeDeactivation"] if wanted == "OFFLINE" else 1
            node.health_wanted = wanted
            node.health_due = self.now + lb.health_monitor["delay"] * checks
            self._schedule(node.health_due, "health", lb.lb_id, node.node_id, wanted)

    def _on_health(self, lb_id: int, node_id: int, wanted: str) -> None:
        lb = self.balancers[lb_id]
        node = next((n for n in lb.nodes if n.node_id == node_id), None)
        if node is None or node.health_wanted != wanted or node.health_due > self.now:
            return
        with self._change():
            node.health_wanted = None
            self._set_status(lb, node, wanted)

    def _set_status(self, lb: LoadBalancer, node: Node, status: str) -> None:
        node.status = status
        text = f"Node '{node.node_id}' status changed to '{status}' for load balancer '{lb.lb_id}'"
        self._feed(lb, node.node_id, "Node Status Updated", text, "UPDATE")
        lb.events.append(
            {
                "id": self._next("event", 7001),
                "nodeId": node.node_id,
                "loadbalancerId": lb.lb_id,
                "accountId": int(lb.tenant) if lb.tenant.isdigit() else lb.tenant,
                "title": "Node Status Updated",
                "description": text,
                "detailedMessage": text,
                "callbackHost": "node-monitor",
                "severity": "INFO" if status == "ONLINE" else "WARNING",
                "category": "UPDATE",
                "type": "UPDATE_NODE",
                "author": "Rackspace Cloud",
                "created": self.stamp(self.now),
                "relativeUri": f"/{lb.tenant}/loadbalancers/{lb.lb_id}/nodes/{node.node_id}/events",
            }
        )

    def _feed(self, lb: LoadBalancer, node_id: int | None, title: str, summary: str, category: str) -> None:
        lb.feed.append(FeedEntry(self._next("feed", 90001), self.now, node_id, title, summary, category))

    # --- harm ---------------------------------------------------------------------------------------------------

    def _cut(self, lb: LoadBalancer, node: Node, cause: str, by: str) -> None:
        """Close whatever is open on a node; connections of visitors among it are harm. Inside `_change` only."""
        open_now = self.visitors(lb, node)
        if open_now > 0:
            self._truth.harms.append(
                Harm(
                    self.now,
                    lb.lb_id,
                    node.node_id,
                    self._address.get(node.address),
                    node.address,
                    cause,
                    by,
                    open_now,
                )
            )
        node.short = node.long = 0.0
        node.rounding = [0.0, 0.0]
        node.idle_until = self.now

    def _reround(self, node: Node) -> None:
        node.rounding = [self.dice.uniform(), self.dice.uniform()]


def _remember(server: Server, now: float) -> None:
    """Keep how many requests a server has had by now, for what monitoring tells of the past."""
    past = server.past
    if len(past) > 1 and now - past[-2][0] < PAST_STEP_S:
        past[-1] = [now, server.requests]
    else:
        past.append([now, server.requests])
        del past[:-PAST_KEPT]


def owns(tenant: str | None, thing: LoadBalancer | Server | Image) -> bool:
    """Whether `thing` is the tenant's ("123456"), or lies in that region of it ("123456@DFW"). None owns all."""
    if tenant is None:
        return True
    owner, _, region = tenant.partition("@")
    return owner == thing.tenant and (not region or isinstance(thing, Image) or region == thing.region)


def _words(args: Any, kwargs: Any) -> set[str]:
    words: set[str] = set()
    for item in (*args, *kwargs.values()):
        words.update(str(part) for part in item) if isinstance(item, (list, tuple)) else words.add(str(item))
    return words


def _damping(lb: LoadBalancer) -> float:
    return 0.0 if lb.sticky_life_s is None else 1.0 / lb.sticky_life_s


def _count(counts: dict[str, float], cause: str, amount: float) -> None:
    counts[cause] = counts.get(cause, 0.0) + amount
