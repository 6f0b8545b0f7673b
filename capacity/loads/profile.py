"""What load a profile asks for, when, and when it ends early. Pure: values in, values out.

A profile is approved as one spelling (`digest_of(to_plain(…))`), and what the generator does is told by the same value.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from portal.errors import Refused

FORMAT = 1
MOST_REQUESTS = 50
MOST_WEIGHT = 1000
MOST_HEADERS = 20
MOST_STEPS = 20
SHORTEST_S = 1
_WINDOW_S = 1.0
_CATCH_UP_S = 0.1
"""What a generator that was late makes up for at most; the rest is not sent at all."""


class ShapeKind(StrEnum):
    """How the load goes over time."""

    STEADY = "steady"
    STEPS = "steps"
    RAMP = "ramp"


class LoadUnit(StrEnum):
    """What the level of a load counts: users who each wait for their answer, or requests that come at a rate of their own."""

    USERS = "users"
    REQUESTS = "requests_per_s"


class Method(StrEnum):
    """What is asked. Load that changes data is none that anybody can repeat, so there is no POST."""

    GET = "GET"
    HEAD = "HEAD"


@dataclass(frozen=True)
class Asked:
    """One address and how often it is asked, as a share of the weights."""

    method: str
    url: str
    weight: int


@dataclass(frozen=True)
class Shape:
    """`level` is where the load ends; *steps* and *ramp* begin at `start`. `steps` are of equal length."""

    kind: str
    unit: str
    level: float
    duration_s: int
    start: float = 0.0
    steps: int = 1


@dataclass(frozen=True)
class Stops:
    """When a run ends by itself: over `window_s` more than `error_ratio` failed, or the 95th percentile lay above `p95_ms`."""

    error_ratio: float
    window_s: int
    p95_ms: float | None = None


@dataclass(frozen=True)
class Profile:
    """All that is approved. `headers` are sent as they stand; of secret ones only names and a keyed digest stand here."""

    requests: tuple[Asked, ...]
    shape: Shape
    stops: Stops
    max_users: int
    max_requests_per_s: float
    think_s: float = 0.0
    headers: tuple[tuple[str, str], ...] = ()
    secret_headers: tuple[str, ...] = ()
    secret_digest: str = ""
    balancer_key: str = ""


@dataclass(frozen=True)
class Caps:
    """What the operator allows of any profile."""

    users: int
    requests_per_s: float
    duration_s: int


def to_plain(profile: Profile) -> dict[str, Any]:
    """Return a profile as JSON takes it, with its format."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(profile), allow_nan=False))
    return {"format": FORMAT, **plain}


def from_plain(plain: Mapping[str, Any]) -> Profile:
    """Return the profile that `to_plain` wrote. Raises ValueError for another format."""
    if plain.get("format") != FORMAT:
        raise ValueError(f"This profile has the format {plain.get('format')!r}, not {FORMAT}.")
    return Profile(
        requests=tuple(Asked(**one) for one in plain["requests"]),
        shape=Shape(**plain["shape"]),
        stops=Stops(**plain["stops"]),
        max_users=plain["max_users"],
        max_requests_per_s=plain["max_requests_per_s"],
        think_s=plain["think_s"],
        headers=tuple((name, value) for name, value in plain["headers"]),
        secret_headers=tuple(plain["secret_headers"]),
        secret_digest=plain["secret_digest"],
        balancer_key=plain["balancer_key"],
    )


def digest_of(plain: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what is approved, over its one spelling as JSON."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def check(profile: Profile, caps: Caps) -> None:
    """Raise Refused for a profile that asks for nothing, too much, or has no end."""
    shape, stops = profile.shape, profile.stops
    if not 1 <= len(profile.requests) <= MOST_REQUESTS:
        raise Refused(f"A profile has from one to {MOST_REQUESTS} addresses.", code="bad_requests")
    if any(not 1 <= one.weight <= MOST_WEIGHT for one in profile.requests):
        raise Refused(f"A weight is from 1 to {MOST_WEIGHT}.", code="bad_weight")
    if any(one.method not in set(Method) for one in profile.requests):
        raise Refused("Only GET and HEAD are asked: load must change nothing.", code="bad_method")
    if len(profile.headers) + len(profile.secret_headers) > MOST_HEADERS:
        raise Refused(f"A profile has at most {MOST_HEADERS} headers.", code="bad_headers")
    if not SHORTEST_S <= shape.duration_s <= caps.duration_s:
        raise Refused(f"A run lasts from {SHORTEST_S} s to {caps.duration_s} s here.", code="bad_duration")
    if not 1 <= profile.max_users <= caps.users:
        raise Refused(f"At most {caps.users} users are allowed here.", code="above_cap")
    if not 0 < profile.max_requests_per_s <= caps.requests_per_s:
        raise Refused(
            f"At most {caps.requests_per_s:g} requests a second are allowed here.", code="above_cap"
        )
    limit = profile.max_users if shape.unit == LoadUnit.USERS else profile.max_requests_per_s
    if not (0 < shape.level <= limit and 0 <= shape.start <= limit):
        raise Refused(
            f"The load lies above 0 and at most at the profile’s limit of {limit:g}.", code="above_limit"
        )
    if shape.kind != ShapeKind.STEADY and shape.start >= shape.level:
        raise Refused(
            f"A load that rises begins below where it ends: enter less than {shape.level:g} under From, or choose steady.",
            code="not_rising",
        )
    if shape.kind == ShapeKind.STEPS and not 2 <= shape.steps <= min(MOST_STEPS, shape.duration_s):
        raise Refused(f"A run has from 2 to {MOST_STEPS} steps, each of a second at least.", code="bad_steps")
    if not 0 <= profile.think_s <= 60:
        raise Refused("A user rests for at most 60 s.", code="bad_think")
    if not 0 < stops.error_ratio <= 1 or not 2 <= stops.window_s <= 60:
        raise Refused("A run stops at a share of failed requests above 0, over 2 to 60 s.", code="bad_stops")
    if stops.p95_ms is not None and not stops.p95_ms > 0:
        raise Refused("The latency at which it stops is above 0 ms.", code="bad_stops")


def level_at(shape: Shape, t_s: float) -> float:
    """Return the load at `t_s` seconds after the start; 0 before and after the run."""
    if not 0 <= t_s < shape.duration_s:
        return 0.0
    if shape.kind == ShapeKind.STEADY:
        return shape.level
    done = t_s / shape.duration_s
    if shape.kind == ShapeKind.RAMP:
        return shape.start + (shape.level - shape.start) * done
    step = min(int(done * shape.steps), shape.steps - 1)
    return shape.start + (shape.level - shape.start) * step / (shape.steps - 1)


def most_users(profile: Profile) -> int:
    """Return how many users there are at most: those of its shape, or, of a rate, all that the profile allows."""
    if profile.shape.unit == LoadUnit.REQUESTS:
        return profile.max_users
    return min(math.floor(profile.shape.level + 0.5), profile.max_users)


def users_at(profile: Profile, t_s: float) -> int:
    """Return how many users there are at a moment: never more than the profile's limit."""
    if profile.shape.unit == LoadUnit.REQUESTS:
        # Whoever is free takes the next request, so all of them are there from the start.
        return profile.max_users if 0 <= t_s < profile.shape.duration_s else 0
    return min(math.floor(level_at(profile.shape, t_s) + 0.5), profile.max_users)


class Pacer:
    """Says how many requests may go at a moment: no more than the shape asks for, and in no second more than the limit."""

    def __init__(self, profile: Profile) -> None:
        self._shape = profile.shape
        self._of_users = profile.shape.unit == LoadUnit.USERS
        self._cap = profile.max_requests_per_s
        # Of a limit below one a second, the window in which one may go is longer.
        self._window_s = max(_WINDOW_S, 1.0 / self._cap)
        self._most = max(1, math.floor(self._cap * self._window_s + 1e-9))
        self._sent: deque[float] = deque()
        self._at = 0.0
        self._credit = 0.0

    def take(self, t_s: float, wanted: int) -> int:
        """Return how many of `wanted` requests go now, at `t_s` seconds after the start (never falling)."""
        allowed = self._limit(t_s) if self._of_users else min(self._earned(t_s), self._limit(t_s))
        taken = max(0, min(allowed, wanted))
        self._credit -= taken
        self._sent.extend([t_s] * taken)
        return taken

    def _limit(self, t_s: float) -> int:
        while self._sent and t_s - self._sent[0] >= self._window_s:
            self._sent.popleft()
        return self._most - len(self._sent)

    def _earned(self, t_s: float) -> int:
        rate = level_at(self._shape, t_s)
        self._credit += rate * (t_s - self._at)
        self._at = t_s
        self._credit = min(self._credit, 1.0 + rate * _CATCH_UP_S)
        return math.floor(self._credit + 1e-9)


def why_stop(stops: Stops, seconds: Sequence[Mapping[str, Any]]) -> str:
    """Return why a run must end now, by its newest seconds (oldest first); "" where it may go on.

    Judged once a whole window has passed: a start is slow. Requests that wait count as well, by how long they have waited by
    now (`waits`): beyond the latency that may be as slow ones, beyond the window as failed. Else a site that answers one
    visitor in ten at once would seem fast.
    """
    if len(seconds) < stops.window_s:
        return ""
    newest = seconds[-stops.window_s :]
    tried = sum(one["requests"] for one in newest)
    failed = sum(one["failures"] for one in newest)
    waits = {float(ms): count for ms, count in newest[-1].get("waits", {}).items()}
    overdue = sum(count for ms, count in waits.items() if ms > stops.window_s * 1000)
    if not tried:
        if all(one["waiting"] for one in newest):
            return f"Nothing was answered for {stops.window_s} s."
        return ""
    failed_share = (failed + overdue) / (tried + overdue)
    if failed_share > stops.error_ratio:
        unanswered = f", {overdue} of them without an answer for longer" if overdue else ""
        return f"{failed_share:.1%} of the requests failed over {stops.window_s} s{unanswered}; {stops.error_ratio:.1%} may."
    if stops.p95_ms is None:
        return ""
    counts: dict[float, int] = {ms: count for ms, count in waits.items() if ms > stops.p95_ms}
    for one in newest:
        for part in one["parts"].values():
            for ms, count in part["latency"].items():
                counts[float(ms)] = counts.get(float(ms), 0) + count
    seen, rank = 0, math.ceil(sum(counts.values()) * 0.95)
    for ms in sorted(counts):
        seen += counts[ms]
        if seen >= rank:
            if ms > stops.p95_ms:
                return f"95 of 100 requests took, or have waited by now, up to {ms:.0f} ms over {stops.window_s} s; {stops.p95_ms:.0f} ms may be."
            break
    return ""
