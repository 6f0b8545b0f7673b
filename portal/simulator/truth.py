"""What really happened, for tests and the demo to judge by. The portal never sees any of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

LOG_LIMIT = 2_000


@dataclass
class Harm:
    """`connections` open connections of visitors were cut at world time `t` (seconds)."""

    t: float
    lb_id: int
    node_id: int
    server_id: str | None
    address: str
    cause: str
    by: str
    connections: int


@dataclass
class WrongDeletion:
    """A server was deleted while nodes of these load balancers still pointed at it."""

    t: float
    server_id: str
    name: str
    lb_ids: list[int]
    by: str


@dataclass
class LogEntry:
    t: float
    what: str
    by: str
    fields: dict[str, Any]


@dataclass
class Truth:
    """The truth log. `by` is "api" (a client of the provider), "hand" (another hand) or "world" (chance)."""

    harms: list[Harm] = field(default_factory=list)
    wrong_deletions: list[WrongDeletion] = field(default_factory=list)
    serving: dict[str, list[list[float]]] = field(default_factory=dict)
    failed: dict[str, float] = field(default_factory=dict)
    log: list[LogEntry] = field(default_factory=list)
    requests_served: float = 0.0

    @property
    def harmed_connections(self) -> int:
        """How many connections of visitors were cut, by whomever."""
        return sum(harm.connections for harm in self.harms)

    def harmed_by(self, by: str) -> int:
        """How many connections of visitors were cut by "api", "hand" or "world"."""
        return sum(harm.connections for harm in self.harms if harm.by == by)

    @property
    def failed_requests(self) -> float:
        """How many requests found no capacity: no node at all, a dead node, or an overloaded one. No harm."""
        return sum(self.failed.values())

    def floor_low(self, lb_id: int, since: float | None = None) -> int | None:
        """The fewest distinct servers in service (ENABLED, ONLINE, PRIMARY), from `since` on; None if never seen."""
        points = self.serving.get(str(lb_id), [])
        if not points:
            return None
        if since is None:
            return int(min(count for _, count in points))
        within = [count for t, count in points if t > since]
        before = [count for t, count in points if t <= since]
        return int(min(within + before[-1:]))

    def floor_breaches(self, lb_id: int, floor: int) -> int:
        """How many times the servers in service fell from `floor` or more to fewer."""
        breaches = 0
        was = float(floor)
        for _, count in self.serving.get(str(lb_id), []):
            breaches += was >= floor > count
            was = count
        return breaches

    def note(self, t: float, what: str, by: str, **fields: Any) -> None:
        self.log.append(LogEntry(t, what, by, fields))
        if len(self.log) > LOG_LIMIT:
            del self.log[: LOG_LIMIT // 10]

    def serve(self, t: float, lb_id: int, count: int) -> None:
        points = self.serving.setdefault(str(lb_id), [])
        if not points or points[-1][1] != count:
            points.append([t, count])

    def summary(self, floor: int | None = None) -> dict[str, Any]:
        """The figures in JSON types, with every harm and wrong deletion; breaches of `floor` where it is given."""
        breaches = {} if floor is None else {i: self.floor_breaches(int(i), floor) for i in self.serving}
        return {
            "floor_breaches": breaches,
            "harmed_connections": self.harmed_connections,
            "harmed_by_api": self.harmed_by("api"),
            "harms": [asdict(harm) for harm in self.harms],
            "wrong_deletions": [asdict(deletion) for deletion in self.wrong_deletions],
            "failed_requests": self.failed_requests,
            "failed": dict(self.failed),
            "requests_served": self.requests_served,
            "floor_low": {lb_id: self.floor_low(int(lb_id)) for lb_id in self.serving},
            "serving": self.serving,
        }
