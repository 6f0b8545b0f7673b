"""Faults on order: which call goes wrong, how, how often.

A fault names a route (the operation's name, with * and ? as in file names), optionally a target (an id or address
that must be among the call's arguments), how many `times` it strikes (None: until removed) and with which
`probability`, drawn from the world's own dice.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from portal.simulator.dice import Dice

BEFORE = {
    "delay": "the answer takes `seconds` longer",
    "server_error": "`status` (default 500); nothing is applied",
    "refuses": "`status` with the words `says`; nothing is applied",
    "reset_before": "the connection breaks before anything is applied",
    "timeout_before": "silence; nothing is applied",
    "late": "silence; the write is applied `seconds` later",
    "over_limit": "413 overLimit with Retry-After `seconds`",
    "limit_reached": '400 "Limit has been reached" with Reply-After `seconds`, monitoring\'s other word for it',
    "unavailable": "503 with Retry-After `seconds` (default 300)",
    "locked": "409",
    "token_expired": "401; every token that is out is worth nothing any more",
    "token_revoked": "401; every token that is out is worth nothing any more",
    "status_down": "nothing listens at the status URL, or at the balancer's metrics",
}
AFTER = {
    "reset_after": "the write is applied, then the connection breaks",
    "timeout_after": "the write is applied, then silence",
    "truncated": "half of the body",
    "empty_list": "the list in the answer is empty",
    "false_zero": "connection counts read 0",
    "stale": "connection counts as they were when the fault was set",
}
INSIDE = {
    "lb_error": "the change is not applied and the load balancer ends in ERROR",
    "lb_stuck": "the load balancer never becomes ACTIVE again; the change is not applied",
    "lb_slow": "the change takes `seconds`",
    "no_effect": "a server delete answers 204 and does nothing",
    "slow": "a server delete, a stop, a start or an image takes `seconds`",
    "image_error": "an image is begun and ends in ERROR",
    "build_error": "a server is created and ends in ERROR",
    "agent_away": "the monitoring agent of the server is not connected",
    "points_stop": "monitoring has no points of the last `seconds` (default 3600)",
    "unmeasured": "monitoring's points stand for no measurement: an average of 0 that means nothing",
}
KINDS = {**BEFORE, **AFTER, **INSIDE}

_ONLY = {
    "no_effect": ("server.delete",),
    "slow": ("server.delete", "server.action"),
    "image_error": ("server.action",),
    "build_error": ("server.create",),
    "locked": ("server.delete", "server.action"),
    "status_down": ("status.*", "metrics.read"),
    "false_zero": ("status.read", "lb.stats", "metrics.read"),
    "stale": ("status.read", "lb.stats", "metrics.read"),
    "empty_list": ("*.list", "monitoring.*"),
    "limit_reached": ("monitoring.*",),
    "agent_away": ("monitoring.plot",),
    "points_stop": ("monitoring.plot",),
    "unmeasured": ("monitoring.plot",),
}
_BALANCER_WRITES = (
    "lb.update",
    "node.add",
    "node.update*",
    "node.delete*",
    "monitor.*",
    "persistence.*",
    "throttle.*",
)


def fits(kind: str, route: str, write: bool) -> bool:
    """Whether a fault of this kind can strike that route at all: a fault on "*" waits for a call it can spoil."""
    if kind == "late":
        return write
    if kind in ("lb_error", "lb_stuck", "lb_slow"):
        return write and any(fnmatchcase(route, pattern) for pattern in _BALANCER_WRITES)
    return any(fnmatchcase(route, pattern) for pattern in _ONLY.get(kind, ("*",)))


@dataclass
class Fault:
    """One ordered fault; see the module's text. `seconds`, `status` and `says` mean what the kind says."""

    kind: str
    route: str = "*"
    times: int | None = 1
    probability: float = 1.0
    target: str | None = None
    seconds: float | None = None
    status: int = 500
    says: str = ""
    fault_id: int = 0
    hits: int = 0
    snapshot: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"There is no fault {self.kind!r}. The kinds are: {', '.join(sorted(KINDS))}.")


class Faults:
    """The faults in force, oldest first."""

    def __init__(self, dice: Dice) -> None:
        self.dice = dice
        self.items: list[Fault] = []
        self.last_id = 0

    def add(self, fault: Fault) -> Fault:
        self.last_id += 1
        fault.fault_id = self.last_id
        self.items.append(fault)
        return fault

    def remove(self, fault_id: int | None = None) -> None:
        """Remove one fault, or all of them."""
        self.items = [f for f in self.items if fault_id is not None and f.fault_id != fault_id]

    def strike(self, route: str, words: set[str], write: bool) -> list[Fault]:
        """Return the faults that strike this call; each is used up by one. `words` are the call's arguments."""
        if not self.items:
            return []
        struck: list[Fault] = []
        for fault in self.items:
            if not fits(fault.kind, route, write) or not fnmatchcase(route, fault.route):
                continue
            if fault.target is not None and fault.target not in words:
                continue
            if not self.dice.chance(fault.probability):
                continue
            fault.hits += 1
            struck.append(fault)
            if fault.kind in BEFORE and fault.kind != "delay":
                break
        self.items = [f for f in self.items if f.times is None or f.hits < f.times]
        return struck

    def state(self) -> list[dict[str, Any]]:
        return [asdict(fault) for fault in self.items]
