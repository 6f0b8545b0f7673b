"""What really happened in a schedule, told by the simulator's side: what the oracle judges.

Nothing here comes from what the run believes of itself. A *scene* is the world's truth at one moment: hidden
connection counts, who serves, who is gone. Times `t` are world seconds, `at` is the portal's own clock.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from scaledown.types import PlanData


@dataclass(frozen=True)
class NodeTruth:
    """One node. `serves`: in service, so that it gets new visitors. `open` counts visitors' connections."""

    node_id: int
    address: str
    server: str | None
    condition: str
    serves: bool
    open: int


@dataclass(frozen=True)
class BalancerTruth:
    """One balancer. `wanted_rps` is what its visitors want."""

    lb_id: int
    status: str
    nodes: tuple[NodeTruth, ...]
    wanted_rps: float
    has_monitor: bool
    timeout_s: float

    def serving(self) -> set[str]:
        """Return the machines in service: server ids, or addresses of none of ours."""
        return {node.server or node.address for node in self.nodes if node.serves}

    def of(self, server: str) -> list[NodeTruth]:
        """Return the nodes of a server."""
        return [node for node in self.nodes if node.server == server]


@dataclass(frozen=True)
class ServerTruth:
    """One server, and what forbids its deletion."""

    server: str
    name: str
    created: datetime
    addresses: tuple[str, ...]
    is_gone: bool
    is_busy: bool
    is_autoscaled: bool
    volumes: tuple[str, ...]
    is_stopped: bool = False
    in_place_of: str | None = None
    """The planned server in whose place a run created this one, by its metadata."""
    status: str = "ACTIVE"
    is_being_deleted: bool = False
    direct_rps: float = 0.0
    """Requests per second that reach it past every balancer."""
    flavor: str = ""
    image: str = ""


@dataclass(frozen=True)
class ImageTruth:
    """One image that a run made: of which server, by its metadata, and whether it can be used."""

    image: str
    server: str | None
    status: str


@dataclass(frozen=True)
class Scene:
    """The whole world at one moment."""

    balancers: Mapping[int, BalancerTruth]
    servers: Mapping[str, ServerTruth]
    images: tuple[ImageTruth, ...] = ()


# --- what happens ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Took:
    """A worker took the run's lease, and read what the database says."""

    t: float
    token: int


@dataclass(frozen=True)
class Checked:
    """The last check before a call let an intent pass."""

    t: float
    intent: int


@dataclass(frozen=True)
class Sent:
    """A change reached the provider, sent by the worker with `token` for its intent (None: it has none)."""

    t: float
    at: datetime
    name: str
    server: str
    lb_id: int | None
    intent: int | None
    token: int
    holder_token: int
    scene: Scene

    @property
    def is_put_back(self) -> bool:
        """Whether it brings a server back into service."""
        return self.name in {"set_ENABLED", "add", "start"}

    @property
    def key(self) -> str:
        """What is read to know what became of it."""
        if self.name in {"image", "create"}:
            return f"{self.name}s" if self.name == "image" else "servers"
        return f"server:{self.server}" if self.lb_id is None else f"lb:{self.lb_id}"


@dataclass(frozen=True)
class Looked:
    """The provider answered a read of `key` (lb:, server:, volumes:, search:, images). `tells` where it shows effects."""

    t: float
    key: str
    tells: bool = True
    balancer: BalancerTruth | None = None
    server: ServerTruth | None = None
    held_by: tuple[int, ...] = ()


@dataclass(frozen=True)
class Counted:
    """A server's own page showed `shown` connections (None: no answer); in truth there were `truth`."""

    t: float
    server: str
    shown: int | None
    truth: int


@dataclass(frozen=True)
class Replied:
    """A server answered when it was asked itself, past every balancer."""

    t: float
    server: str


@dataclass(frozen=True)
class Probed:
    """The site was asked through one balancer."""

    t: float
    lb_id: int
    ok: bool
    took_ms: float | None = None
    """How long the answer took; None where there was none."""


@dataclass(frozen=True)
class Asked:
    """A person's command came in, and was answered with what was on the wire."""

    t: float
    command: int
    name: str
    server: str | None
    args: Mapping[str, Any]


@dataclass(frozen=True)
class Answered:
    """What became of a command."""

    t: float
    command: int
    accepted: bool


@dataclass(frozen=True)
class Stood:
    """A standstill was put (`on`) or lifted."""

    t: float
    on: bool


@dataclass(frozen=True)
class Fact:
    """What people say of the run besides commands: approval (bool), in_charge (name or None), protected (id)."""

    t: float
    what: str
    value: Any


@dataclass(frozen=True)
class Other:
    """Another hand, or the world itself, changed something. `server` and `lb_id` say what."""

    t: float
    what: str
    server: str | None = None
    lb_id: int | None = None


@dataclass(frozen=True)
class Wrote:
    """A line of the run's journal. `intent` where it is about one."""

    t: float
    kind: str
    subject: str
    token: int | None
    intent: int | None = None
    outcome: str = ""
    by_reading: bool = False
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    """Connections of visitors were cut by a change of ours."""

    t: float
    server: str | None
    connections: int


@dataclass(frozen=True)
class Forgotten:
    """Nobody had looked at a run that was due for `for_s`."""

    t: float
    for_s: float


Happening = (
    Took
    | Checked
    | Sent
    | Looked
    | Counted
    | Replied
    | Probed
    | Asked
    | Answered
    | Stood
    | Fact
    | Other
    | Wrote
    | Cut
    | Forgotten
)


@dataclass(frozen=True)
class Story:
    """A schedule as it went. `slack_s`: by how much the portal's clock was wrong at most.

    `status`, `waits` and `phases` are what the portal says at the end; `end` is the truth then.
    """

    plan: PlanData
    events: tuple[Happening, ...]
    status: str
    waits: str
    phases: Mapping[str, str]
    end_t: float
    end: Scene
    deleted_at: Mapping[str, float]
    slack_s: float = 0.0
    images: frozenset[str] = frozenset()
    """The images of which the run knows at the end."""
    is_sticky: bool = False
    """Visitors stick to their server: a draining one gets new requests."""

    @cached_property
    def _by_kind(self) -> Mapping[type, tuple[list[int], list[Any]]]:
        """The places of all events of a kind, and the events: the oracle asks a thousand times."""
        found: dict[type, tuple[list[int], list[Any]]] = {}
        for place, event in enumerate(self.events):
            places, events = found.setdefault(type(event), ([], []))
            places.append(place)
            events.append(event)
        return found

    def _between(self, kind: type, start: int, stop: int | None) -> list[Any]:
        places, events = self._by_kind.get(kind, ([], []))
        return events[bisect_left(places, start) : len(places) if stop is None else bisect_left(places, stop)]

    def sends(self) -> Iterator[tuple[int, Sent]]:
        """Yield each change that reached the provider, with its place."""
        return zip(*self._by_kind.get(Sent, ([], [])), strict=True)

    def last(self, kind: type, before: int, /, **fields: Any) -> Any:
        """Return the last event of a kind before a place whose fields have these values; None if none."""
        for event in reversed(self._between(kind, 0, before)):
            if all(getattr(event, k) == v for k, v in fields.items()):
                return event
        return None

    def every(self, kind: type, start: int = 0, stop: int | None = None, /, **fields: Any) -> list[Any]:
        """Return the events of a kind between two places whose fields have these values."""
        return [
            event
            for event in self._between(kind, start, stop)
            if all(getattr(event, k) == v for k, v in fields.items())
        ]

    def meddled(self, server: str, lb_id: int | None = None) -> bool:
        """Whether another hand ever touched this server, or this balancer."""
        return any(
            event.server == server or (lb_id is not None and event.server is None and event.lb_id == lb_id)
            for event in self.every(Other)
        )
