"""Cloud Monitoring as operations on the world (reference section 4): what is measured, and points with their past.

Each server has an agent with checks of its processor, memory, network and web server's connections; each load balancer is
measured from outside. All figures come from the requests that a server has had by some moment, so that the same moment is told
alike whenever it is asked for. How long averages are kept is not documented; the times here are made up.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from portal.simulator import traffic
from portal.simulator.core import Core, operation, owns
from portal.simulator.entities import LoadBalancer, Server
from portal.simulator.errors import Json, monitoring_error

PERIOD_S = 60
MOST_POINTS = 1440
PAGE = 100
DAY_S = traffic.DAY_S
FULL_KEPT_S = 2 * DAY_S
# Resolution: how long a point stands for, and how long it is kept; FULL is documented, the rest is not.
RESOLUTIONS: dict[str, tuple[int, float]] = {
    "FULL": (PERIOD_S, FULL_KEPT_S),
    "MIN5": (300, 14 * DAY_S),
    "MIN20": (1200, 60 * DAY_S),
    "MIN60": (3600, 155 * DAY_S),
    "MIN240": (14_400, 300 * DAY_S),
    "MIN1440": (86_400, 800 * DAY_S),
}
BYTES_IN, BYTES_OUT = 900.0, 14_000.0
MEMORY = 4_096_000_000.0

_AGENT = {
    "agent.cpu": (None, ("usage_average", "max_cpu_usage", "idle_percent_average", "wait_percent_average")),
    "agent.memory": (None, ("total", "actual_used", "free")),
    "agent.network": ("eth0", ("rx_bytes", "tx_bytes")),
    "agent.plugin": (None, ("connections",)),
}
_REMOTE = ("mzdfw.duration", "mzdfw.tt_firstbyte", "mzord.duration")


@dataclass(frozen=True)
class _Entity:
    """What is measured: a server by its agent, or a load balancer from outside."""

    entity_id: str
    of: Server | LoadBalancer

    def checks(self) -> dict[str, tuple[str, str | None, tuple[str, ...]]]:
        """Return type, target and metrics of each check, by its id."""
        if isinstance(self.of, LoadBalancer):
            return {_id("ch", self.entity_id, "remote.http"): ("remote.http", self.of.name, _REMOTE)}
        return {
            _id("ch", self.entity_id, kind): (kind, target, metrics)
            for kind, (target, metrics) in _AGENT.items()
        }


class MonitoringOperations(Core):
    """The calls of the monitoring service. `tenant` is the tenant alone: it has one address for all regions."""

    @operation("monitoring.overview")
    def monitoring_overview(
        self,
        *,
        tenant: str | None = None,
        base_url: str = "",
        limit: int | None = None,
        marker: str | None = None,
    ) -> Json:
        """Return a page of entities, each with its checks and alarms."""
        values = [self._overview_of(entity, base_url) for entity in self._entities(tenant)]
        return _page(values, lambda value: value["entity"]["id"], limit, marker)

    @operation("monitoring.metrics")
    def monitoring_metrics(
        self,
        entity_id: str,
        check_id: str,
        *,
        tenant: str | None = None,
        limit: int | None = None,
        marker: str | None = None,
    ) -> Json:
        """Return a page of the names of what a check measures."""
        _, (_, _, metrics) = self._check(entity_id, check_id, tenant)
        return _page([{"name": name} for name in metrics], lambda value: value["name"], limit, marker)

    @operation("monitoring.plot")
    def monitoring_plot(
        self,
        entity_id: str,
        check_id: str,
        metric: str,
        *,
        begins_ms: int,
        ends_ms: int,
        resolution: str | None = None,
        points: int | None = None,
        tenant: str | None = None,
        limit: int | None = None,
        marker: str | None = None,
    ) -> Json:
        """Return averages of a metric between two moments in milliseconds, in a resolution or as about so many points."""
        entity, (_, _, metrics) = self._check(entity_id, check_id, tenant)
        if metric not in metrics:
            raise monitoring_error(404, "notFoundError", f"Metric {metric} does not exist")
        if "agent_away" in self._inside and isinstance(entity.of, Server):
            raise monitoring_error(
                400, "agentNotConnected", "Agent is not connected to the monitoring service"
            )
        if resolution is None and points is not None:
            span_s = (ends_ms - begins_ms) / 1000
            wide = [name for name, (width, _) in RESOLUTIONS.items() if span_s / width <= points]
            resolution = wide[0] if wide else "MIN1440"
        if resolution not in RESOLUTIONS or begins_ms > ends_ms:
            raise monitoring_error(400, "badRequest", "Specify a range and points or a resolution")
        width, kept_s = RESOLUTIONS[resolution]
        epoch = self.start.timestamp()
        oldest = max(begins_ms / 1000 - epoch, self.now - kept_s, entity.of.created_t)
        newest = min(ends_ms / 1000 - epoch, self._seen_until(entity.of), self.now - PERIOD_S)
        stopped = self._inside.get("points_stop")
        if stopped is not None:
            newest = min(newest, self.now - (3600.0 if stopped.seconds is None else stopped.seconds))
        # A check of its own runs at its own second; averages begin on whole multiples.
        shift = _number(check_id) % PERIOD_S if resolution == "FULL" else 0
        number = math.ceil((oldest + epoch - shift) / width)
        values = []
        while (at := number * width + shift - epoch) <= newest:
            measured = 0 if "unmeasured" in self._inside else max(1, width // PERIOD_S)
            middle = min(at + width / 2, newest) if measured > 1 else at
            average = self._figure(entity.of, metric, middle) if measured else 0.0
            values.append(
                {"numPoints": measured, "average": average, "timestamp": round((at + epoch) * 1000)}
            )
            number += 1
        return _page(values, lambda value: str(value["timestamp"]), limit, marker, most=MOST_POINTS)

    # --- who is who ---------------------------------------------------------------------------------------------

    def _entities(self, tenant: str | None) -> list[_Entity]:
        servers = [s for s in self.servers.values() if owns(tenant, s) and s.deleted_t is None]
        balancers = [b for b in self.balancers.values() if owns(tenant, b) and b.status != "DELETED"]
        found = [_Entity(_id("en", s.server_id), s) for s in servers]
        return found + [_Entity(_id("en", "lb", str(b.lb_id)), b) for b in balancers]

    def _check(
        self, entity_id: str, check_id: str, tenant: str | None
    ) -> tuple[_Entity, tuple[str, str | None, tuple[str, ...]]]:
        entity = next((one for one in self._entities(tenant) if one.entity_id == entity_id), None)
        if entity is None:
            raise monitoring_error(404, "notFoundError", f"Object does not exist: Entity {entity_id}")
        check = entity.checks().get(check_id)
        if check is None:
            raise monitoring_error(404, "notFoundError", f"Object does not exist: Check {check_id}")
        return entity, check

    def _overview_of(self, entity: _Entity, base_url: str) -> Json:
        of = entity.of
        body: Json = {"id": entity.entity_id, "label": of.name, "metadata": {}, "managed": False}
        if isinstance(of, Server):
            root = base_url.partition("/monitoring/")[0]
            body |= {
                "uri": f"{root}/{of.region.lower()}/servers/v2/{of.tenant}/servers/{of.server_id}",
                "agent_id": _id("ag", of.server_id),
                "ip_addresses": {
                    "public0_v4": of.public_ip,
                    "access_ip0_v4": of.public_ip,
                    "private0_v4": of.private_ip,
                },
            }
        checks = [
            {
                "id": check_id,
                "label": kind if target is None else f"{kind} {target}",
                "type": kind,
                "period": PERIOD_S,
                "timeout": 30,
                "disabled": False,
                "details": {"target": target} if kind == "agent.network" else {},
                "target_hostname": None if isinstance(of, Server) else of.virtual_ips[0]["address"],
            }
            for check_id, (kind, target, _) in entity.checks().items()
        ]
        alarms, states = [], []
        for label, (state, since) in of.alarms.items():
            alarm_id = _id("al", entity.entity_id, label)
            alarms.append(
                {
                    "id": alarm_id,
                    "label": label,
                    "check_id": checks[0]["id"],
                    "criteria": "",
                    "disabled": False,
                }
            )
            states.append(
                {
                    "timestamp": round((since + self.start.timestamp()) * 1000),
                    "entity_id": entity.entity_id,
                    "alarm_id": alarm_id,
                    "check_id": checks[0]["id"],
                    "status": "Matched return statement on line 1",
                    "state": state,
                    "previous_state": "OK",
                    "analyzed_by_monitoring_zone_id": None,
                }
            )
        return {"entity": body, "checks": checks, "alarms": alarms, "latest_alarm_states": states}

    # --- figures ------------------------------------------------------------------------------------------------

    def _seen_until(self, of: Server | LoadBalancer) -> float:
        """Return until when there are points: a machine that is down sends none."""
        return of.updated_t if isinstance(of, Server) and not of.up else self.now

    def _figure(self, of: Server | LoadBalancer, metric: str, t: float) -> float:
        if isinstance(of, LoadBalancer):
            servers = {s.server_id: s for n in of.nodes if (s := self.server_at(n.address)) is not None}
            capacity = sum(s.capacity_rps for s in servers.values()) or 1.0
            load = sum(self._rate(s, t) for s in servers.values()) / capacity
            part = {"mzdfw.tt_firstbyte": 0.7, "mzord.duration": 1.6}.get(metric, 1.0)
            return 1000 * 0.08 * part * traffic.latency_factor(load) * self._noise(of.lb_id, t)
        if metric == "rx_bytes":
            return math.floor(BYTES_IN * self._requests_by(of, t))
        if metric == "tx_bytes":
            return math.floor(BYTES_OUT * self._requests_by(of, t))
        load = self._rate(of, t) / of.capacity_rps
        busy = min(100.0, (2.0 + 90.0 * load) * self._noise(_number(of.server_id), t))
        match metric:
            case "usage_average":
                return busy
            case "max_cpu_usage":
                return min(100.0, busy * 1.3)
            case "idle_percent_average":
                return 100.0 - busy
            case "wait_percent_average":
                return 0.01 * busy
            case "connections":
                lives = [
                    lb.connections_per_request
                    * (lb.short_s * (1.0 - lb.long_share) + lb.long_s * lb.long_share)
                    for lb, _ in self.nodes_at(of)
                ]
                return float(round(self._rate(of, t) * (max(lives) if lives else 0.2)))
            case "total":
                return MEMORY
        used = MEMORY * min(0.95, 0.3 + 0.4 * load)
        return used if metric == "actual_used" else MEMORY - used

    def _noise(self, number: int, t: float) -> float:
        return 1.0 + 0.06 * (self.dice.still(number, int(self.start.timestamp() + t)) - 0.5)

    def _rate(self, server: Server, t: float) -> float:
        """Return the requests a second that a server had in the minute before `t`."""
        before = max(server.created_t, t - PERIOD_S)
        if t <= before:
            return 0.0
        return max(0.0, self._requests_by(server, t) - self._requests_by(server, before)) / (t - before)

    def _requests_by(self, server: Server, t: float) -> float:
        """Return how many requests a server had had by `t`.

        What was before the world lives on as its balancers' seasons shared evenly; between two moments at which the
        traffic was shared anew a straight line is drawn.
        """
        past = server.past
        if not past:
            return self._before(server, t)
        first_t, first = past[0]
        if t <= first_t:
            return self._before(server, t)
        so_far = self._before(server, first_t) - first
        for (from_t, from_n), (to_t, to_n) in pairwise(past):
            if t <= to_t:
                return so_far + from_n + (to_n - from_n) * (t - from_t) / (to_t - from_t)
        last_t, last = past[-1]
        if not server.up or t <= last_t:
            return so_far + last
        since = sum(self._requests_since(lb, node, t) for lb, node in self.nodes_at(server))
        return so_far + last + since + server.direct_rps * (t - last_t)

    def _before(self, server: Server, t: float) -> float:
        return sum(
            self._demand[lb.lb_id].between(server.created_t, t) / max(1, len(lb.nodes))
            for lb, _ in self.nodes_at(server)
            if lb.lb_id in self._demand
        )


def _page(
    values: list[Json],
    key: Callable[[Json], str],
    limit: int | None,
    marker: str | None,
    *,
    most: int = 1000,
) -> Json:
    """Return the page of values that begins with the one that `marker` names."""
    size = min(most, PAGE if limit is None else max(1, limit))
    first = 0
    if marker is not None:
        places = [place for place, value in enumerate(values) if key(value) == marker]
        if not places:
            raise monitoring_error(400, "badRequest", "Invalid marker")
        first = places[0]
    page = values[first : first + size]
    more = values[first + size : first + size + 1]
    following: Any = key(more[0]) if more else None
    metadata = {
        "count": len(page),
        "limit": size,
        "marker": marker,
        "next_marker": following,
        "next_href": None,
    }
    return {"values": page, "metadata": metadata}


def _id(kind: str, *parts: str) -> str:
    digest = hashlib.sha256("/".join((kind, *parts)).encode()).hexdigest()
    return kind + digest[:10]


def _number(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)
