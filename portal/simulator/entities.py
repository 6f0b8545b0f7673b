"""What the world consists of. Plain data in JSON types only, so that a world can be saved and restored.

Times are world seconds (0 is the world's epoch, negative is before it), `None` means never or not yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

CONDITIONS = ("ENABLED", "DISABLED", "DRAINING")
TYPES = ("PRIMARY", "SECONDARY")
ALARM_STATES = ("OK", "WARNING", "CRITICAL")
ALGORITHMS = (
    "LEAST_CONNECTIONS",
    "RANDOM",
    "ROUND_ROBIN",
    "WEIGHTED_LEAST_CONNECTIONS",
    "WEIGHTED_ROUND_ROBIN",
)
PERSISTENCE = ("HTTP_COOKIE", "SOURCE_IP", "SSL_ID")


@dataclass
class Settings:
    """How this provider behaves. Durations in seconds of real time, but for those that `speed` divides."""

    speed: float = 1.0  # of traffic seasons, builds, server deletes and images; of nothing else
    pending_update_s: list[float] = field(default_factory=lambda: [2.0, 15.0])
    long_update_chance: float = 0.0
    long_update_s: float = 90.0
    update_error_chance: float = 0.0
    error_resync_s: float | None = 300.0
    build_s: float = 90.0
    delete_s: float = 30.0
    image_s: float = 180.0
    image_error_chance: float = 0.0
    reboot_soft_s: float = 3.0
    reboot_hard_s: float = 6.0
    stop_s: float = 2.0
    start_s: float = 4.0
    stop_start_supported: bool = True
    metrics_restart: bool = False  # each change of a node starts the balancer's process, and its counts, anew
    token_life_s: float = 86_400.0
    stats_cache_s: float = 300.0
    node_limit: int = 25
    batch_delete_limit: int = 10
    retry_after_format: str = "seconds"  # or "http-date", "iso"
    # service -> verb -> [[calls, per seconds], ...]; an absent verb is not limited
    rate_limits: dict[str, dict[str, list[list[float]]]] = field(default_factory=dict)


DOCUMENTED_RATE_LIMITS: dict[str, dict[str, list[list[float]]]] = {
    "clb": {
        "GET": [[10, 1], [600, 60]],
        "PUT": [[10, 1], [600, 60]],
        "POST": [[5, 1], [300, 60]],
        "DELETE": [[5, 1], [300, 60]],
    },
    "servers": {"GET": [[1000, 60]], "POST": [[100, 60]]},
}
"""The documented defaults (reference 2.10 and 3.5), to be put into `Settings.rate_limits`."""


@dataclass
class User:
    username: str
    password: str
    api_key: str
    tenant: str
    user_id: str
    roles: list[str] = field(default_factory=lambda: ["identity:user-admin"])
    enabled: bool = True
    needs_mfa: bool = False

    @property
    def is_observer(self) -> bool:
        """Whether the user may only read."""
        return bool(self.roles) and all(role == "observer" for role in self.roles)


@dataclass
class Token:
    token_id: str
    username: str
    issued_t: float
    expires_t: float
    revoked: bool = False


@dataclass
class Node:
    """A load balancer's entry for a server, with the traffic that no API call shows.

    `short` and `long` are open connections of visitors (a fluid, not yet rounded) at the world's anchor time,
    `share` is the part of the demand that it is given, `pinned` the part that comes to it while DRAINING because of
    session persistence. `landed` is False until the change that added the node is applied.
    """

    node_id: int
    address: str
    port: int
    condition: str = "ENABLED"
    status: str = "ONLINE"
    weight: int = 1
    type: str = "PRIMARY"
    landed: bool = True
    metadata: dict[str, str] = field(default_factory=dict)
    short: float = 0.0
    long: float = 0.0
    share: float = 0.0
    pinned: float = 0.0
    answers: bool = True
    rounding: list[float] = field(default_factory=lambda: [0.5, 0.5])
    idle_until: float = 0.0
    old_open: list[float] = field(
        default_factory=lambda: [0.0, 0.0]
    )  # short, long, when the process last restarted
    health_wanted: str | None = None
    health_due: float = 0.0


@dataclass
class FeedEntry:
    """One entry of the audit feed of a load balancer; `node_id` None: about the balancer itself."""

    entry_id: int
    t: float
    node_id: int | None
    title: str
    summary: str
    category: str


@dataclass
class LoadBalancer:
    """A load balancer, its nodes, and what its visitors are like."""

    lb_id: int
    tenant: str
    region: str
    name: str
    created_t: float
    updated_t: float
    protocol: str = "HTTP"
    port: int = 80
    algorithm: str = "RANDOM"
    status: str = "ACTIVE"
    timeout: int = 30
    half_closed: bool = False
    https_redirect: bool = False
    virtual_ips: list[dict[str, Any]] = field(default_factory=list)
    health_monitor: dict[str, Any] | None = None
    persistence: str | None = None
    throttle: dict[str, Any] | None = None
    nodes: list[Node] = field(default_factory=list)
    feed: list[FeedEntry] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    alarms: dict[str, list[Any]] = field(default_factory=dict)  # label -> [state, since when]
    # demand
    base_rps: float = 0.0
    season: float = 0.0
    peak_hour: float = 20.0
    multiplier: float = 1.0
    absolute_rps: float | None = None
    # visitors: connections opened per request; mean lives; the long-lived part; who sticks
    connections_per_request: float = 0.2
    short_s: float = 2.0
    long_share: float = 0.03
    long_s: float = 20.0
    sticky_share: float = 0.6
    sticky_life_s: float | None = 1800.0
    idle_per_node: int = 6
    keepalive_s: float = 5.0
    # after a node has left: [factor, seconds, steps], once
    growth: list[float] | None = None
    # figures
    failed: dict[str, float] = field(default_factory=dict)
    served: float = 0.0
    stats: dict[str, int] | None = None
    stats_t: float = 0.0
    max_conn: int = 0
    restarted_t: float | None = None

    @property
    def demand_rps(self) -> float:
        return self.absolute_rps if self.absolute_rps is not None else self.base_rps * self.multiplier

    @property
    def routes(self) -> bool:
        """Whether visitors are served at all in this status."""
        return self.status in ("ACTIVE", "PENDING_UPDATE", "PENDING_DELETE", "ERROR")


@dataclass
class Image:
    image_id: str
    tenant: str
    name: str
    created_t: float
    status: str = "ACTIVE"
    ready_t: float | None = None
    server_id: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    deleted_t: float | None = None


@dataclass
class Server:
    """A virtual machine. `up`: it runs and answers. `requests` is cumulative at the world's anchor time."""

    server_id: str
    tenant: str
    region: str
    name: str
    created_t: float
    updated_t: float
    private_ip: str
    public_ip: str
    host_id: str
    flavor: str = "general1-4"
    image: str = ""
    status: str = "ACTIVE"
    task_state: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    volumes: list[str] = field(default_factory=list)
    locked: bool = False
    fault: dict[str, Any] | None = None
    deleted_t: float | None = None
    dead: bool = False
    slow: float = 1.0
    capacity_rps: float = 100.0
    latency_s: float = 0.08
    direct_rps: float = 0.0
    requests: float = 0.0
    past: list[list[float]] = field(default_factory=list)  # [t, requests], when traffic was shared anew
    status_url: bool = True
    alarms: dict[str, list[Any]] = field(default_factory=dict)  # label -> [state, since when]

    @property
    def addresses(self) -> tuple[str, str]:
        return (self.private_ip, self.public_ip)

    @property
    def up(self) -> bool:
        """Whether the machine answers on its network."""
        if self.dead or self.deleted_t is not None or self.task_state in ("deleting", "powering-off"):
            return False
        return self.status in ("ACTIVE", "PASSWORD", "VERIFY_RESIZE")
