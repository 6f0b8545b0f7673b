"""The whole provider as one pure object: no I/O, no wall clock, no global chance.

    world = World(seed=1)
    scenarios.launch(world)
    world.advance_to(12.0)
    world.update_node(lb_id, node_id, {"condition": "DRAINING"})

Operations return the bodies that the provider sends. They raise `ProviderError` for an error answer, `AnswerLost`
where the client gets none and `AnswerTruncated` where it gets half of it. `World.truth` has what really happened.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any, Self, TypeVar

from portal.simulator import traffic
from portal.simulator.balancers import BalancerOperations
from portal.simulator.compute import ServerOperations
from portal.simulator.core import OUTSIDE_LATENCY_S, operation
from portal.simulator.entities import FeedEntry, Image, LoadBalancer, Node, Server, Settings, Token, User
from portal.simulator.errors import AnswerLost, AnswerTruncated, Json, ProviderError
from portal.simulator.faults import Fault
from portal.simulator.identity import IdentityOperations
from portal.simulator.monitoring import MonitoringOperations
from portal.simulator.truth import Harm, LogEntry, Truth, WrongDeletion

__all__ = ["AnswerLost", "AnswerTruncated", "ProviderError", "SiteAnswer", "StubStatus", "World"]

STATE_FORMAT = 1

T = TypeVar("T")


@dataclass(frozen=True)
class SiteAnswer:
    """What a visitor's request got: HTTP status, how long it took, and the server's name (None: the balancer)."""

    status: int
    latency_s: float
    served_by: str | None


@dataclass(frozen=True)
class MemberMetrics:
    """What a balancer's own process counts of one node: connections in work, idle ones, and its weight."""

    member: int
    current_sessions: int
    idle: int
    weight: int


@dataclass(frozen=True)
class BalancerMetrics:
    """The nodes of one balancer as its Prometheus listener names them (reference 5.2)."""

    lb_id: int
    members: tuple[MemberMetrics, ...]

    def text(self) -> str:
        """Return the Prometheus text format, with the names and labels of Octavia."""
        lines: list[str] = []
        for name, says, attribute in _MEMBER_SERIES:
            lines += [f"# HELP {name} {says}", f"# TYPE {name} gauge"]
            for member in self.members:
                labels = f'pool="{self.lb_id}:{self.lb_id}",member="{member.member}"'
                lines.append(f"{name}{{{labels}}} {getattr(member, attribute)}")
        return "\n".join(lines) + "\n"


_MEMBER_SERIES = (
    ("octavia_member_current_sessions", "Current number of active sessions.", "current_sessions"),
    ("octavia_member_idle_connections_current", "Current number of idle connections.", "idle"),
    ("octavia_member_weight", "Server weight.", "weight"),
)


@dataclass(frozen=True)
class StubStatus:
    """nginx's own figures. `active` counts requests in work, idle keep-alives (`waiting`) and our own request."""

    active: int
    accepts: int
    handled: int
    requests: int
    reading: int
    writing: int
    waiting: int

    def text(self) -> str:
        return (
            f"Active connections: {self.active} \n"
            "server accepts handled requests\n"
            f" {self.accepts} {self.handled} {self.requests} \n"
            f"Reading: {self.reading} Writing: {self.writing} Waiting: {self.waiting} \n"
        )


class World(IdentityOperations, BalancerOperations, ServerOperations, MonitoringOperations):
    """A provider with its customers' visitors."""

    # --- what visitors and probes see ---------------------------------------------------------------------------

    @operation("site.probe")
    def site_probe(self, lb_id: int) -> SiteAnswer:
        """Return what one new visitor of the site gets. Raises AnswerLost where nothing listens."""
        lb = self.balancers.get(lb_id)
        if lb is None or not lb.routes:
            raise AnswerLost("refused")
        node = self._choose(lb)
        if node is None:
            return SiteAnswer(503, 0.005, None)
        if not node.answers:
            return SiteAnswer(503, float(lb.timeout), None)
        server = self.server_at(node.address)
        answer = self._answer_of(server, self.machine_key(node))
        if answer.latency_s > lb.timeout:
            return SiteAnswer(503, float(lb.timeout), None)
        return answer

    @operation("status.health")
    def server_health(self, address: str) -> SiteAnswer:
        """Return what a server answers when asked directly, outside its pool. AnswerLost if it does not."""
        server = self._reachable(address)
        server.requests += 1.0
        return self._answer_of(server, server.server_id)

    @operation("status.read")
    def stub_status(self, address: str) -> StubStatus:
        """Return the connection figures of the web server at this address. AnswerLost if it does not answer.

        Raises ProviderError 404 where the server has no status page.
        """
        server = self._reachable(address)
        if not server.status_url:
            raise ProviderError(404, "404 Not Found\n")
        server.requests += 1.0
        return self._stub(server)

    @operation("metrics.read")
    def member_metrics(self, lb_id: int) -> BalancerMetrics:
        """Return what the balancer's Prometheus listener says of each node. AnswerLost where nothing listens.

        With `Settings.metrics_restart` a change of a node starts the balancer's process anew: connections that
        were open then stay in the old one and are not counted any more, so a drain reads a false 0 (reference 5.2).
        """
        lb = self.balancers.get(lb_id)
        if lb is None or not lb.routes:
            raise AnswerLost("refused")
        return BalancerMetrics(lb_id, tuple(self._member(lb, node) for node in lb.nodes if node.landed))

    def _member(self, lb: LoadBalancer, node: Node) -> MemberMetrics:
        counted = self.visitors(lb, node)
        if self.settings.metrics_restart and lb.restarted_t is not None:
            age_s = self.now - lb.restarted_t
            short, long = node.old_open
            left = short * math.exp(-age_s / lb.short_s) + long * math.exp(-age_s / lb.long_s)
            counted = max(0, counted - math.ceil(left))
        return MemberMetrics(
            node.node_id, counted, self.idle(lb, node), node.weight if node.condition == "ENABLED" else 0
        )

    def _reachable(self, address: str) -> Server:
        server = self.server_at(address)
        if server is None or server.dead:
            raise AnswerLost("timeout" if server is not None else "refused")
        if not server.up:
            raise AnswerLost("refused")
        return server

    def _stub(self, server: Server) -> StubStatus:
        busy = waiting = 0
        requests = server.requests + server.direct_rps * (self.now - self._anchor)
        per_request = 0.2
        for lb, node in self.nodes_at(server):
            busy += self.visitors(lb, node)
            waiting += self.idle(lb, node)
            requests += self._requests_since(lb, node)
            per_request = lb.connections_per_request
        busy += math.floor(server.direct_rps * server.latency_s + 0.5)
        accepts = max(busy + waiting + 1, math.floor(requests * per_request))
        return StubStatus(busy + waiting + 1, accepts, accepts, math.floor(requests), 0, busy + 1, waiting)

    def _choose(self, lb: LoadBalancer) -> Node | None:
        point, last = self.dice.uniform(), None
        for node in lb.nodes:
            if node.share > 0.0:
                last = node
                point -= node.share
                if point <= 0.0:
                    return node
        return last

    def _answer_of(self, server: Server | None, key: str) -> SiteAnswer:
        load = self.machine_load(key)
        base_s = OUTSIDE_LATENCY_S if server is None else server.latency_s * server.slow
        latency_s = base_s * traffic.latency_factor(load) * math.exp(0.15 * self.dice.normal())
        if self.dice.chance(0.01):
            latency_s *= self.dice.between(2.0, 5.0)
        status = 503 if self.dice.chance(traffic.error_ratio(load)) else 200
        return SiteAnswer(status, latency_s, key if server is None else server.name)

    # --- spoiled counts -----------------------------------------------------------------------------------------

    def _count_snapshot(self) -> dict[str, Any]:
        self._settle()
        counts: dict[str, Any] = {
            str(lb.lb_id): {
                "stats": self._fresh_stats(lb),
                "members": {str(node.node_id): self.visitors(lb, node) for node in lb.nodes},
            }
            for lb in self.balancers.values()
        }
        for server in self.servers.values():
            if server.up:
                counts.update(dict.fromkeys(server.addresses, asdict(self._stub(server))))
        return counts

    def _spoil_counts(self, result: Any, of: Any, snapshot: Any) -> Any:
        if isinstance(result, BalancerMetrics):
            counts = {} if snapshot is None else snapshot["members"]
            members = (replace(m, current_sessions=counts.get(str(m.member), 0)) for m in result.members)
            return replace(result, members=tuple(members))
        if isinstance(result, StubStatus):
            if snapshot is not None:
                return StubStatus(**snapshot)
            return StubStatus(1, result.accepts, result.handled, result.requests, 0, 1, 0)
        if snapshot is not None:
            return dict(snapshot["stats"])
        zeros = dict.fromkeys(result, 0)
        lb = self.balancers[int(of)]
        if lb.stats_t == self.now:
            # A traffic manager that could not be read counts as zeros, which are then cached (reference 0, fact 3).
            lb.stats = dict(zeros)
        return zeros

    # --- building -----------------------------------------------------------------------------------------------

    def build_balancer(
        self, name: str, tenant: str, *, region: str = "DFW", created_t: float | None = None, **fields: Any
    ) -> LoadBalancer:
        """Put an ACTIVE load balancer without nodes into the world; `fields` are those of `LoadBalancer`."""
        lb_id = self._next("lb", 71)
        t = self.now if created_t is None else created_t
        lb = LoadBalancer(lb_id, tenant, region, name, t, t, **fields)
        lb.virtual_ips = [
            {
                "id": 9000 + lb_id,
                "address": f"198.51.100.{lb_id % 250}",
                "type": "PUBLIC",
                "ipVersion": "IPV4",
            }
        ]
        with self._change():
            self.balancers[lb_id] = lb
        return lb

    def build_node(
        self, lb: LoadBalancer, address: str, port: int = 80, *, created_t: float | None = None, **fields: Any
    ) -> Node:
        """Put an applied node into a load balancer, with its feed entry at `created_t` (now if None)."""
        node = Node(self._next("node", 4001), address, port, **fields)
        with self._change():
            lb.nodes.append(node)
            self._reround(node)
        t = self.now if created_t is None else created_t
        where = f"address: '{address}', port: '{port}'"
        text = (
            f"Node successfully created with {where}, condition: '{node.condition}', weight: '{node.weight}'"
        )
        lb.feed.append(
            FeedEntry(self._next("feed", 90001), t, node.node_id, "Node Successfully Created", text, "CREATE")
        )
        return node

    def fill(self) -> None:
        """Give every node the open connections that its share of the traffic holds open in the long run."""
        with self._change():
            pass
        for lb in self.balancers.values():
            for node in lb.nodes:
                opened = self.node_rps(lb, node) * lb.connections_per_request if node.answers else 0.0
                node.short = opened * (1.0 - lb.long_share) * lb.short_s
                node.long = opened * lb.long_share * lb.long_s
        for server in self.servers.values():
            server.requests = 3600.0 * self.machine_load(server.server_id) * server.capacity_rps
            server.past = [[self.now, server.requests]]

    # --- saving -------------------------------------------------------------------------------------------------

    def to_state(self) -> Json:
        """Return the whole world as JSON types; `from_state` makes an equal world of it."""
        self._settle()
        return {
            "format": STATE_FORMAT,
            "seed": self.seed,
            "start": self.start.isoformat(),
            "now": self.now,
            "scenario": self.scenario,
            "settings": asdict(self.settings),
            "dice": self.dice.state,
            "counters": dict(self._counters),
            "agenda": [list(item) for item in self._agenda],
            "balancers": [asdict(lb) for lb in self.balancers.values()],
            "servers": [asdict(server) for server in self.servers.values()],
            "images": [asdict(image) for image in self.images.values()],
            "users": [asdict(user) for user in self.users.values()],
            "tokens": [asdict(token) for token in self.tokens.values()],
            "faults": self.faults.state(),
            "last_fault": self.faults.last_id,
            "truth": asdict(self.truth),
        }

    @classmethod
    def from_state(cls, state: Json) -> Self:
        """Return the world that `to_state` described. Raises ValueError for a state of another format."""
        if state.get("format") != STATE_FORMAT:
            raise ValueError(
                f"This simulator reads states of format {STATE_FORMAT}, not {state.get('format')!r}."
            )
        world = cls(
            state["seed"],
            start=datetime.fromisoformat(state["start"]),
            settings=_make(Settings, state["settings"]),
        )
        world.now = world._anchor = state["now"]
        world.scenario = state["scenario"]
        world.dice.state = state["dice"]
        world._counters = dict(state["counters"])
        world._agenda = [(due, number, kind, args) for due, number, kind, args in state["agenda"]]
        for item in state["balancers"]:
            nodes = [_make(Node, node) for node in item["nodes"]]
            feed = [_make(FeedEntry, entry) for entry in item["feed"]]
            lb = _make(LoadBalancer, {**item, "nodes": nodes, "feed": feed})
            world.balancers[lb.lb_id] = lb
        world.servers = {item["server_id"]: _make(Server, item) for item in state["servers"]}
        world.images = {item["image_id"]: _make(Image, item) for item in state["images"]}
        world.users = {item["username"]: _make(User, item) for item in state["users"]}
        world.tokens = {item["token_id"]: _make(Token, item) for item in state["tokens"]}
        world.faults.items = [_make(Fault, item) for item in state["faults"]]
        world.faults.last_id = state["last_fault"]
        truth = state["truth"]
        world._truth = Truth(
            harms=[_make(Harm, item) for item in truth["harms"]],
            wrong_deletions=[_make(WrongDeletion, item) for item in truth["wrong_deletions"]],
            serving=truth["serving"],
            log=[_make(LogEntry, item) for item in truth["log"]],
        )
        world._share()
        return world


def _make(kind: type[T], values: Json) -> T:
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{key: item for key, item in values.items() if key in known})
