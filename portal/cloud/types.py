"""The provider's things in our words: frozen values that every provider client translates into.

Ids are strings everywhere (one provider has integers, another UUIDs). Times are aware UTC.
Absent is `None`, never 0 and never "".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Condition(StrEnum):
    """What we ask of a node."""

    ENABLED = "ENABLED"
    DISABLED = "DISABLED"
    DRAINING = "DRAINING"


class NodeStatus(StrEnum):
    """What the health monitor reports about a node. Without a monitor ONLINE means nothing."""

    ONLINE = "ONLINE"
    OFFLINE = "OFFLINE"
    UNKNOWN = "UNKNOWN"


class NodeType(StrEnum):
    """PRIMARY nodes serve; SECONDARY ones only when all primary nodes fail."""

    PRIMARY = "PRIMARY"
    SECONDARY = "SECONDARY"


class BalancerStatus(StrEnum):
    """A load balancer takes changes only while ACTIVE. An unknown word is UNKNOWN: not writable."""

    ACTIVE = "ACTIVE"
    BUILD = "BUILD"
    PENDING_UPDATE = "PENDING_UPDATE"
    PENDING_DELETE = "PENDING_DELETE"
    ERROR = "ERROR"
    SUSPENDED = "SUSPENDED"
    DELETED = "DELETED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class Node:
    """One load balancer's entry for a server. `weight` is None where the provider hides it."""

    id: str
    address: str
    port: int
    condition: Condition
    status: NodeStatus
    type: NodeType = NodeType.PRIMARY
    weight: int | None = None


@dataclass(frozen=True)
class BalancerRef:
    """The short form that lists and searches return."""

    id: str
    name: str
    status: BalancerStatus


@dataclass(frozen=True)
class Balancer:
    """One load balancer with all its nodes, from one answer of the provider.

    `timeout_s` is how long it waits on a node. `session_persistence` is the kind in force or None.
    `most_per_address` is how many connections one visitor's address may have, None where that is not limited.
    """

    id: str
    name: str
    status: BalancerStatus
    protocol: str
    port: int
    algorithm: str
    timeout_s: int
    virtual_ips: tuple[str, ...]
    nodes: tuple[Node, ...]
    has_health_monitor: bool
    session_persistence: str | None = None
    most_per_address: int | None = None

    @property
    def is_writable(self) -> bool:
        """Whether the provider takes a change now."""
        return self.status is BalancerStatus.ACTIVE


@dataclass(frozen=True)
class Server:
    """One virtual machine. `status` and `task_state` are the provider's words: read both.

    `task_state` is None when idle. `is_locked` is None where the provider does not tell.
    """

    id: str
    name: str
    status: str
    task_state: str | None
    created_at: datetime
    host_id: str | None
    addresses: tuple[str, ...]
    flavor_id: str | None
    image_id: str | None
    metadata: Mapping[str, str] = field(default_factory=dict)
    is_locked: bool | None = None
    floating: tuple[str, ...] = ()
    """Those of its addresses that can be attached to another server, and would be lost or lead nowhere with this one."""

    @property
    def is_deleted(self) -> bool:
        """Deleted for our purposes: SOFT_DELETED counts (provider reference, section 5.3)."""
        return self.status in {"DELETED", "SOFT_DELETED"}

    @property
    def autoscale_group(self) -> str | None:
        """The provider's autoscaler's mark, or None (provider reference, section 6.6 item 9)."""
        for key in ("rax:autoscale:group:id", "rax:auto_scaling_group_id"):
            if key in self.metadata:
                return self.metadata[key]
        marks = [key for key in self.metadata if key.startswith("rax:autoscale:")]
        return marks[0] if marks else None


@dataclass(frozen=True)
class Image:
    """One image of a server, or one of the provider's own. `status` is in capitals: SAVING, ACTIVE, ERROR, DELETED.

    `progress` is 0 to 100 where the provider tells, `server_id` the server that it was made of.
    """

    id: str
    name: str
    status: str
    progress: int | None
    created_at: datetime | None
    server_id: str | None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ServerSpec:
    """A server to be created from an image. `metadata` is by which it is found again if the answer is lost."""

    name: str
    flavor_id: str
    image_id: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NodeSpec:
    """A node to be added."""

    address: str
    port: int
    condition: Condition
    type: NodeType = NodeType.PRIMARY
    weight: int | None = None


@dataclass(frozen=True)
class FeedEntry:
    """One entry of a node's audit feed; written when a change has been applied."""

    at: datetime
    kind: str
    summary: str


@dataclass(frozen=True)
class BalancerStats:
    """The balancer's own figures: up to five minutes old, and a zero may be false (reference, 2.5)."""

    current_connections: int
    connect_failures: int
    connect_timeouts: int


class Resolution(StrEnum):
    """How fine the points of a plot are: each as it was measured, or one for so many minutes (reference, 4)."""

    FULL = "FULL"
    MIN5 = "MIN5"
    MIN20 = "MIN20"
    MIN60 = "MIN60"
    MIN240 = "MIN240"
    MIN1440 = "MIN1440"

    @property
    def width_s(self) -> int:
        """How long one point stands for; 0 for FULL, where the check's period says it."""
        return 0 if self is Resolution.FULL else 60 * int(self.value.removeprefix("MIN"))


@dataclass(frozen=True)
class MonitoredCheck:
    """One check of the provider's monitoring, e.g. `agent.network` of eth0. `period_s` is None where it is not told."""

    id: str
    label: str
    type: str
    period_s: int | None
    target: str | None
    is_disabled: bool


class AlarmState(StrEnum):
    """How an alarm judged the newest figures of a check; UNKNOWN also for a word that is not documented."""

    OK = "OK"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class MonitoredAlarm:
    """One alarm of the provider's monitoring."""

    id: str
    label: str
    is_disabled: bool


@dataclass(frozen=True)
class Judged:
    """The newest state of one pair of alarm and check, and since when it is that."""

    alarm_id: str
    check_id: str
    state: AlarmState
    at: datetime | None


@dataclass(frozen=True)
class Alarm:
    """An alarm that fires. `key` is made of the provider's ids, `of` is what it is of, in the provider's words.

    `addresses` are those of what is watched, as names or numbers; `server_id` is None for anything else than a server.
    """

    key: str
    label: str
    of: str
    server_id: str | None
    addresses: tuple[str, ...]
    state: AlarmState
    since: datetime | None


@dataclass(frozen=True)
class Watched:
    """What the provider's monitoring watches: the ids of the servers whose network it measures, and the alarms that fire."""

    network: frozenset[str] = frozenset()
    alarms: tuple[Alarm, ...] = ()


@dataclass(frozen=True)
class Monitored:
    """What monitoring calls an entity: a server, if `server_id` is known, with its checks and alarms."""

    id: str
    label: str
    server_id: str | None
    agent_id: str | None
    addresses: tuple[str, ...]
    checks: tuple[MonitoredCheck, ...]
    alarms: tuple[MonitoredAlarm, ...] = ()
    states: tuple[Judged, ...] = ()


@dataclass(frozen=True)
class Plotted:
    """One point of a plot."""

    at: datetime
    value: float


@dataclass(frozen=True)
class Plot:
    """The points of a metric in order of time. `unknown` are those that said nothing: no data, never zero."""

    points: tuple[Plotted, ...]
    unknown: int


@dataclass(frozen=True)
class NetworkRate:
    """What an interface carried between two moments, in and out together."""

    begins: datetime
    ends: datetime
    bytes_per_s: float


@dataclass(frozen=True)
class Interface:
    """One network interface of a server, measured every `period_s` seconds. `rates` are in order of time."""

    name: str
    period_s: int
    rates: tuple[NetworkRate, ...]


@dataclass(frozen=True)
class Done:
    """A change that the provider accepted. `detail` says what it answered (an id, a status)."""

    detail: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Withheld:
    """A change that a rehearsal kept back: what would have been sent."""

    method: str
    path: str
    body: Mapping[str, object] | None = None


@dataclass(frozen=True)
class Credentials:
    """How the portal logs in at a provider. The key never shows in a repr, a log or an exception."""

    provider: str
    identity_url: str
    username: str
    api_key: str = field(repr=False)
    tenant: str
    region: str

    @property
    def identity(self) -> CloudIdentity:
        """Which provider account and region these are for."""
        return CloudIdentity(
            provider=self.provider, identity_url=self.identity_url, tenant=self.tenant, region=self.region
        )


@dataclass(frozen=True)
class CloudIdentity:
    """Which provider account and region this is. Claims are made from it, never from our row ids."""

    provider: str
    identity_url: str
    tenant: str
    region: str

    def key(self, kind: str, resource_id: str) -> str:
        """Return the claim key of one resource, e.g. `rackspace:123456:DFW:lb:71`."""
        return f"{self.provider}:{self.tenant}:{self.region}:{kind}:{resource_id}"
