"""Cloud Load Balancers v1.0 as operations on the world (reference section 2).

Every answer is the JSON body that the service sends. A write is accepted with 202 and applied when PENDING_UPDATE
ends; until then nothing of it is visible but new nodes, which are listed and get no traffic yet.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from portal.simulator.core import Core, operation, owns
from portal.simulator.entities import (
    ALGORITHMS,
    CONDITIONS,
    PERSISTENCE,
    TYPES,
    FeedEntry,
    LoadBalancer,
    Node,
)
from portal.simulator.errors import Json, ProviderError, clb_error, clb_schema, clb_validation

FEED_PAGE = 10
LIST_LIMIT = 100
EVENTS_PAGE = 100
LB_NOT_FOUND = "Load balancer not found"
LB_DELETED = "The load balancer is deleted and considered immutable."
LB_MARKED_DELETED = "The loadbalancer is marked as deleted."
NODE_NOT_FOUND = "Node not found"
DUPLICATES = "Duplicate nodes detected. One or more nodes already configured on load balancer."
NO_PRIMARY = "you must have at least one primary node enabled"
SECONDARY_NEEDS_MONITOR = "you must enable health monitoring to use secondary nodes"


def _is_int(item: Any) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)


_LB_FIELDS: dict[str, Callable[[Any], bool]] = {
    "name": lambda v: isinstance(v, str),
    "algorithm": lambda v: v in ALGORITHMS,
    "protocol": lambda v: isinstance(v, str),
    "port": _is_int,
    "timeout": _is_int,
    "halfClosed": lambda v: isinstance(v, bool),
    "httpsRedirect": lambda v: isinstance(v, bool),
}
_NODE_CHANGES: dict[str, Callable[[Any], bool]] = {
    "condition": lambda v: v in CONDITIONS,
    "weight": _is_int,
    "type": lambda v: v in TYPES,
}
_NEW_NODE: dict[str, Callable[[Any], bool]] = {
    **_NODE_CHANGES,
    "address": lambda v: isinstance(v, str),
    "port": _is_int,
}


class BalancerOperations(Core):
    """The calls of the load balancer service.

    `tenant` is a tenant ("123456"), one region of it ("123456@DFW"), or None: whoever's it is.
    """

    # --- load balancers -----------------------------------------------------------------------------------------

    @operation("lb.list")
    def list_load_balancers(
        self,
        *,
        tenant: str | None = None,
        node_address: str | None = None,
        name: str | None = None,
        status: str | None = None,
        changes_since: datetime | None = None,
        limit: int | None = None,
        marker: int | None = None,
        offset: int | None = None,
    ) -> Json:
        """Return `{"loadBalancers": [...]}` by id. `marker` is inclusive; DELETED ones only if asked for."""
        found = [lb for _, lb in sorted(self.balancers.items()) if owns(tenant, lb)]
        if status == "DELETED":
            found = [lb for lb in found if lb.status == "DELETED"]
        else:
            found = [lb for lb in found if lb.status != "DELETED" and status in (None, lb.status)]
        if node_address is not None:
            found = [lb for lb in found if any(node.address == node_address for node in lb.nodes)]
        elif name is not None:
            found = [lb for lb in found if lb.name == name]
        if changes_since is not None:
            found = [lb for lb in found if lb.updated_t >= self.world_time(changes_since)]
        if marker is not None:
            found = [lb for lb in found if lb.lb_id >= marker]
        found = found[offset or 0 :][: min(limit or LIST_LIMIT, LIST_LIMIT)]
        if node_address is not None:
            return {"loadBalancers": [{"id": lb.lb_id, "name": lb.name, "status": lb.status} for lb in found]}
        return {"loadBalancers": [self._brief(lb) for lb in found]}

    @operation("lb.show")
    def show_load_balancer(self, lb_id: int, *, tenant: str | None = None) -> Json:
        """Return `{"loadBalancer": {...}}` with its nodes; only four fields of a deleted one."""
        lb = self._balancer(lb_id, tenant)
        times = {"created": {"time": self.stamp(lb.created_t)}, "updated": {"time": self.stamp(lb.updated_t)}}
        if lb.status == "DELETED":
            return {"loadBalancer": {"id": lb.lb_id, "name": lb.name, "status": lb.status, **times}}
        body: Json = {
            "id": lb.lb_id,
            "name": lb.name,
            "protocol": lb.protocol,
            "port": lb.port,
            "algorithm": lb.algorithm,
            "status": lb.status,
            "timeout": lb.timeout,
            "halfClosed": lb.half_closed,
            "httpsRedirect": lb.https_redirect,
            "connectionLogging": {"enabled": False},
            "contentCaching": {"enabled": False},
            "virtualIps": lb.virtual_ips,
            "sourceAddresses": {"ipv4Servicenet": "10.183.252.25", "ipv4Public": "174.143.139.191"},
            "cluster": {"name": f"ztm-n07.{lb.region.lower()}1.lbaas"},
            **times,
        }
        if lb.nodes:
            body["nodes"] = [self._node_body(lb, node) for node in lb.nodes]
        if lb.persistence is not None:
            body["sessionPersistence"] = {"persistenceType": lb.persistence}
        if lb.throttle is not None:
            body["connectionThrottle"] = lb.throttle
        if lb.health_monitor is not None:
            body["healthMonitor"] = lb.health_monitor
        return {"loadBalancer": body}

    @operation("lb.update", "PUT")
    def update_load_balancer(
        self, lb_id: int, changes: Mapping[str, Any], *, tenant: str | None = None
    ) -> None:
        """Accept a change of name, algorithm, protocol, port, timeout (1 to 120 s), halfClosed, httpsRedirect."""
        _check_schema(changes, _LB_FIELDS)
        if not changes:
            raise clb_validation("You must provide at least one attribute of the load balancer to update.")
        if not 1 <= changes.get("timeout", 30) <= 120:
            raise clb_validation("Timeout must be between 1 and 120 seconds.")
        if not 1 <= changes.get("port", 80) <= 65535:
            raise clb_validation("Port must be between 1 and 65535.")
        lb = self._writable(lb_id, tenant)
        self._accept(lb, "lb", dict(changes), changes)

    @operation("lb.stats")
    def load_balancer_stats(self, lb_id: int, *, tenant: str | None = None) -> Json:
        """Return the 14 flat figures, up to 300 s old. 422 while the balancer is not ACTIVE, before any cache."""
        lb = self._balancer(lb_id, tenant)
        if lb.status == "DELETED":
            raise clb_error(410, LB_MARKED_DELETED)
        if lb.status != "ACTIVE":
            raise clb_error(422, "The load balancer is not available to display statistics.")
        if lb.stats is None or self.now - lb.stats_t >= self.settings.stats_cache_s:
            lb.stats, lb.stats_t = self._fresh_stats(lb), self.now
        return dict(lb.stats)

    @operation("lb.usage")
    def load_balancer_usage(self, lb_id: int, *, tenant: str | None = None) -> Json:
        """Return the usage record of the hour that is running."""
        lb = self._balancer(lb_id, tenant)
        hour = self.now - self.time_at(self.now).timestamp() % 3600
        per_s = self.demand_rps(lb) * lb.connections_per_request
        mean_life_s = (1.0 - lb.long_share) * lb.short_s + lb.long_share * lb.long_s
        transferred = int(self.demand_rps(lb) * (self.now - hour) * 20_000)
        record: Json = {
            "id": lb.lb_id,
            "averageNumConnections": round(per_s * mean_life_s, 2),
            "averageNumConnectionsSsl": 0.0,
            "incomingTransfer": transferred // 20,
            "incomingTransferSsl": 0,
            "outgoingTransfer": transferred,
            "outgoingTransferSsl": 0,
            "numVips": len(lb.virtual_ips),
            "numPolls": int((self.now - hour) // 300),
            "startTime": self.stamp(hour),
            "endTime": self.stamp(self.now),
            "vipType": "PUBLIC",
            "sslMode": "OFF",
        }
        return {"loadBalancerUsageRecords": [record], "links": []}

    @operation("limits.absolute")
    def absolute_limits(self, *, tenant: str | None = None) -> Json:
        limits = {
            "NODE_LIMIT": self.settings.node_limit,
            "LOADBALANCER_LIMIT": 25,
            "IPV6_LIMIT": 25,
            "BATCH_DELETE_LIMIT": self.settings.batch_delete_limit,
            "ACCESS_LIST_LIMIT": 100,
            "NODE_META_LIMIT": 25,
            "LOADBALANCER_META_LIMIT": 25,
            "CERTIFICATE_MAPPING_LIMIT": 20,
        }
        return {"absolute": [{"name": name, "value": number} for name, number in limits.items()]}

    @operation("limits.rate")
    def rate_limits(self, *, tenant: str | None = None) -> Json:
        """Return `{"limits": {"rate": [...]}}` with the limits in force; no rates where none are set."""
        return {"limits": {"rate": self._rates("clb")}}

    def _rates(self, service: str) -> list[Json]:
        units = {1: "SECOND", 60: "MINUTE", 3600: "HOUR", 86400: "DAY"}
        limits = [
            {
                "verb": verb,
                "value": int(most),
                "remaining": int(most),
                "unit": units.get(int(per_s), "MINUTE"),
                "next-available": self.stamp(self.now),
            }
            for verb, rules in self.settings.rate_limits.get(service, {}).items()
            for most, per_s in rules
        ]
        return [{"uri": "*", "regex": ".*", "limit": limits}] if limits else []

    # --- nodes --------------------------------------------------------------------------------------------------

    @operation("node.list")
    def list_nodes(
        self, lb_id: int, *, tenant: str | None = None, limit: int | None = None, marker: int | None = None
    ) -> Json:
        lb = self._readable(lb_id, tenant)
        nodes = [node for node in lb.nodes if marker is None or node.node_id >= marker]
        return {
            "nodes": [self._node_body(lb, node) for node in nodes[: min(limit or LIST_LIMIT, LIST_LIMIT)]]
        }

    @operation("node.show")
    def show_node(self, lb_id: int, node_id: int, *, tenant: str | None = None) -> Json:
        lb = self._readable(lb_id, tenant)
        return {"node": self._node_body(lb, _node(lb, node_id, NODE_NOT_FOUND))}

    @operation("node.add", "POST")
    def add_nodes(self, lb_id: int, nodes: Sequence[Mapping[str, Any]], *, tenant: str | None = None) -> Json:
        """Accept new nodes and return them with their ids. They are ONLINE at once and served when applied."""
        if not isinstance(nodes, list) or not nodes:
            raise clb_schema()
        for new in nodes:
            _check_schema(new, _NEW_NODE)
            if not {"address", "port"} <= new.keys():
                raise clb_validation("Must provide a valid address and port for the node.")
            _check_node(new)
        lb = self._writable(lb_id, tenant)
        places = [(new["address"], new["port"]) for new in nodes]
        taken = {(node.address, node.port) for node in lb.nodes}
        if len(set(places)) < len(places) or taken & set(places):
            raise clb_error(422, DUPLICATES)
        if len(lb.nodes) + len(nodes) > self.settings.node_limit:
            raise clb_error(413, f"Nodes must not exceed {self.settings.node_limit} per load balancer.")
        if lb.health_monitor is None and any(new.get("type") == "SECONDARY" for new in nodes):
            raise clb_error(400, SECONDARY_NEEDS_MONITOR)
        added = [
            Node(
                self._next("node", 4001),
                new["address"],
                new["port"],
                condition=new.get("condition", "ENABLED"),
                weight=new.get("weight", 1),
                type=new.get("type", "PRIMARY"),
                landed=False,
            )
            for new in nodes
        ]
        lb.nodes.extend(added)
        body = {"nodes": [self._node_body(lb, node) for node in added]}
        self._accept(lb, "add", [node.node_id for node in added], body)
        return body

    @operation("node.update", "PUT")
    def update_node(
        self, lb_id: int, node_id: int, changes: Mapping[str, Any], *, tenant: str | None = None
    ) -> None:
        """Accept a change of condition, weight or type of one node."""
        _check_schema(changes, _NODE_CHANGES)
        if not changes:
            raise clb_validation("You must provide at least one of: condition, weight, type.")
        _check_node(changes)
        lb = self._undeleted(lb_id, tenant)
        absent = (
            NODE_NOT_FOUND
            if "type" not in changes
            else f"Node with id #{node_id} not found for loadbalancer #{lb_id}"
        )
        _node(lb, node_id, absent)
        self._check_active(lb)
        self._check_types(lb, {node_id: changes})
        self._accept(lb, "nodes", [{"id": node_id, **changes}], changes)

    @operation("node.update_many", "PUT")
    def update_nodes(
        self, lb_id: int, nodes: Sequence[Mapping[str, Any]], *, tenant: str | None = None
    ) -> Json:
        """Accept changes of several nodes; each names its node by `id` or `nodeId`. Returns the nodes as asked."""
        if not isinstance(nodes, list) or not nodes:
            raise clb_schema()
        asked: list[Json] = []
        for entry in nodes:
            known = {**_NODE_CHANGES, "id": _is_int, "nodeId": _is_int}
            _check_schema(entry, known)
            node_id = entry.get("id", entry.get("nodeId"))
            changes = {key: entry[key] for key in _NODE_CHANGES if key in entry}
            if node_id is None or not changes:
                raise clb_validation("Each node needs its id and at least one of: condition, weight, type.")
            _check_node(changes)
            asked.append({"id": node_id, **changes})
        lb = self._undeleted(lb_id, tenant)
        self._check_belongs(lb, [entry["id"] for entry in asked])
        self._check_active(lb)
        self._check_types(lb, {entry["id"]: entry for entry in asked})
        by_id = {entry["id"]: entry for entry in asked}
        body = {
            "nodes": [{**self._node_body(lb, n), **by_id[n.node_id]} for n in lb.nodes if n.node_id in by_id]
        }
        self._accept(lb, "nodes", asked, asked)
        return body

    @operation("node.delete", "DELETE")
    def delete_node(self, lb_id: int, node_id: int, *, tenant: str | None = None) -> None:
        """Accept the removal of one node. It is listed until the balancer is ACTIVE again."""
        lb = self._undeleted(lb_id, tenant)
        _node(lb, node_id, f"Node with id #{node_id} not found for loadbalancer #{lb_id}")
        self._check_active(lb)
        self._accept(lb, "delete", [node_id], [node_id])

    @operation("node.delete_many", "DELETE")
    def delete_nodes(self, lb_id: int, node_ids: Sequence[int], *, tenant: str | None = None) -> None:
        """Accept the removal of up to 10 nodes, all or none."""
        if not node_ids:
            raise clb_error(400, "Must supply one or more id's to process this request.")
        lb = self._undeleted(lb_id, tenant)
        if lb.status != "ACTIVE":
            raise clb_error(422, "LoadBalancer is not ACTIVE")
        most = self.settings.batch_delete_limit
        if len(node_ids) > most:
            raise clb_validation(
                f"Request to delete {len(node_ids)} nodes exceeds the account limit BATCH_DELETE_LIMIT of {most} "
                f"please attempt to delete fewer then {most} nodes"
            )
        self._check_belongs(lb, node_ids)
        self._accept(lb, "delete", list(node_ids), list(node_ids))

    @operation("node.feed")
    def node_feed(
        self, lb_id: int, node_id: int | None = None, *, page: int = 1, tenant: str | None = None
    ) -> tuple[list[FeedEntry], bool]:
        """Return one page of the audit feed of a node (or all nodes), newest first, and whether more follow."""
        lb = self._readable(lb_id, tenant)
        entries = [e for e in lb.feed if e.node_id is not None and node_id in (None, e.node_id)]
        if node_id is not None and not entries:
            _node(lb, node_id, NODE_NOT_FOUND)
        return _page(entries, page)

    @operation("lb.feed")
    def load_balancer_feed(
        self, lb_id: int | None = None, *, page: int = 1, tenant: str | None = None
    ) -> tuple[list[FeedEntry], bool]:
        """Return one page of the feed of one load balancer, or of all that the tenant has."""
        if lb_id is not None:
            return _page(self._balancer(lb_id, tenant).feed, page)
        found = [entry for lb in self.balancers.values() if owns(tenant, lb) for entry in lb.feed]
        return _page(sorted(found, key=lambda entry: (entry.t, entry.entry_id)), page)

    @operation("node.events")
    def node_events(
        self,
        lb_id: int,
        *,
        tenant: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        marker: int | None = None,
    ) -> Json:
        """Return transitions of the health monitor. `marker` compares node ids, as the service does."""
        lb = self._readable(lb_id, tenant)
        size, first = min(limit or EVENTS_PAGE, EVENTS_PAGE), offset or 0
        found = [event for event in lb.events if marker is None or event["nodeId"] >= marker]
        links: list[Json] = []
        if len(found) > first + size:
            links.append({"rel": "next", "href": f"?limit={size}&offset={first + size}"})
        return {"nodeServiceEvents": found[first : first + size], "links": links}

    # --- monitor, persistence, throttle -------------------------------------------------------------------------

    @operation("monitor.show")
    def show_health_monitor(self, lb_id: int, *, tenant: str | None = None) -> Json:
        return {"healthMonitor": self._readable(lb_id, tenant).health_monitor or {}}

    @operation("monitor.update", "PUT")
    def update_health_monitor(
        self, lb_id: int, monitor: Mapping[str, Any], *, tenant: str | None = None
    ) -> None:
        check_monitor(monitor)
        self._accept(self._writable(lb_id, tenant), "monitor", dict(monitor), monitor)

    @operation("monitor.delete", "DELETE")
    def delete_health_monitor(self, lb_id: int, *, tenant: str | None = None) -> None:
        """Accept the removal of the monitor; every OFFLINE node then reads ONLINE whatever its health."""
        lb = self._writable(lb_id, tenant)
        if lb.health_monitor is None:
            raise clb_error(422, "The load balancer does not have a health monitor to delete.")
        self._accept(lb, "monitor", None, None)

    @operation("persistence.show")
    def show_session_persistence(self, lb_id: int, *, tenant: str | None = None) -> Json:
        kind = self._readable(lb_id, tenant).persistence
        return {"sessionPersistence": {} if kind is None else {"persistenceType": kind}}

    @operation("persistence.update", "PUT")
    def update_session_persistence(self, lb_id: int, kind: str, *, tenant: str | None = None) -> None:
        if kind not in PERSISTENCE:
            raise clb_schema()
        self._accept(self._writable(lb_id, tenant), "persistence", kind, kind)

    @operation("persistence.delete", "DELETE")
    def delete_session_persistence(self, lb_id: int, *, tenant: str | None = None) -> None:
        lb = self._writable(lb_id, tenant)
        if lb.persistence is None:
            raise clb_error(422, "Session persistence is already deleted.")
        self._accept(lb, "persistence", None, None)

    @operation("throttle.show")
    def show_connection_throttle(self, lb_id: int, *, tenant: str | None = None) -> Json:
        return {"connectionThrottle": self._readable(lb_id, tenant).throttle or {}}

    @operation("throttle.update", "PUT")
    def update_connection_throttle(
        self, lb_id: int, throttle: Mapping[str, Any], *, tenant: str | None = None
    ) -> None:
        fields = ("maxConnections", "minConnections", "maxConnectionRate", "rateInterval")
        _check_schema(throttle, dict.fromkeys(fields, _is_int))
        if not 0 <= throttle.get("maxConnections", 0) <= 100_000:
            raise clb_validation("Max connections must be between 1 and 100000.")
        self._accept(self._writable(lb_id, tenant), "throttle", dict(throttle), throttle)

    @operation("throttle.delete", "DELETE")
    def delete_connection_throttle(self, lb_id: int, *, tenant: str | None = None) -> None:
        lb = self._writable(lb_id, tenant)
        if lb.throttle is None:
            raise clb_error(422, "Connection throttle is already deleted.")
        self._accept(lb, "throttle", None, None)

    # --- accepting and applying ---------------------------------------------------------------------------------

    def _accept(self, lb: LoadBalancer, kind: str, payload: Any, asked: Any) -> None:
        settings = self.settings
        self._truth.note(self.now, f"accepted: {kind}", self._by, lb_id=lb.lb_id, asked=asked)
        pause_s = self.dice.between(settings.pending_update_s[0], settings.pending_update_s[1])
        if settings.long_update_chance and self.dice.chance(settings.long_update_chance):
            pause_s = settings.long_update_s
        outcome = "ok"
        if "lb_slow" in self._inside:
            pause_s = self._inside["lb_slow"].seconds or settings.long_update_s
        if "lb_error" in self._inside or (
            settings.update_error_chance and self.dice.chance(settings.update_error_chance)
        ):
            outcome = "error"
        if "lb_stuck" in self._inside:
            outcome = "stuck"
        lb.status = "PENDING_UPDATE"
        lb.updated_t = self.now
        if outcome == "stuck":
            return
        if pause_s <= 0.0:
            self._on_land(lb.lb_id, kind, payload, outcome, self._by)
        else:
            self._schedule(self.now + pause_s, "land", lb.lb_id, kind, payload, outcome, self._by)

    def _on_land(self, lb_id: int, kind: str, payload: Any, outcome: str, by: str) -> None:
        lb = self.balancers[lb_id]
        if lb.status not in ("PENDING_UPDATE", "BUILD"):
            return
        with self._change():
            lb.updated_t = self.now
            if outcome == "error":
                self._fail_landing(lb, kind, payload)
                return
            lb.status = "ACTIVE"
            self._apply(lb, kind, payload, by)

    def _fail_landing(self, lb: LoadBalancer, kind: str, payload: Any) -> None:
        lb.status = "ERROR"
        if kind == "add":
            lb.nodes = [node for node in lb.nodes if node.node_id not in payload]
        elif kind in ("nodes", "delete"):
            word = "update" if kind == "nodes" else "delete"
            text = f"Could not {word} the node at this time."
            for entry in payload:
                node_id = entry["id"] if kind == "nodes" else entry
                self._feed(lb, node_id, f"Node Failed to {word.capitalize()}", text, word.upper())
        if self.settings.error_resync_s is not None:
            self._schedule(self.now + self.settings.error_resync_s, "resync", lb.lb_id)

    def _on_resync(self, lb_id: int) -> None:
        lb = self.balancers[lb_id]
        if lb.status == "ERROR":
            with self._change():
                lb.status, lb.updated_t = "ACTIVE", self.now

    def _apply(self, lb: LoadBalancer, kind: str, payload: Any, by: str) -> None:
        """Make an accepted change true. Inside `_change` only."""
        if kind in ("nodes", "add", "delete"):
            self._restart(lb)
        if kind == "nodes":
            for entry in payload:
                self._apply_node(lb, entry, by)
        elif kind == "add":
            for node in lb.nodes:
                if node.node_id in payload:
                    node.landed = True
                    self._reround(node)
                    where = f"address: '{node.address}', port: '{node.port}'"
                    text = f"Node successfully created with {where}, condition: '{node.condition}', weight: '{node.weight}'"
                    self._feed(lb, node.node_id, "Node Successfully Created", text, "CREATE")
        elif kind == "delete":
            self._apply_delete(lb, payload, by)
        elif kind == "monitor":
            lb.health_monitor = payload
            if payload is None:
                for node in lb.nodes:
                    node.status = "ONLINE"
        elif kind == "persistence":
            lb.persistence = payload
        elif kind == "throttle":
            lb.throttle = payload
        else:
            names = {"halfClosed": "half_closed", "httpsRedirect": "https_redirect"}
            for key, item in payload.items():
                setattr(lb, names.get(key, key), item)
            self._feed(
                lb, None, "Load Balancer Successfully Updated", "Load balancer successfully updated", "UPDATE"
            )

    def _restart(self, lb: LoadBalancer) -> None:
        """Remember what is open: a process that starts anew does not count it (`Settings.metrics_restart`)."""
        lb.restarted_t = self.now
        for node in lb.nodes:
            node.old_open = list(self._fluid(lb, node, self.now - self._anchor))

    def _apply_node(self, lb: LoadBalancer, entry: Mapping[str, Any], by: str) -> None:
        node = next((n for n in lb.nodes if n.node_id == entry["id"]), None)
        if node is None:
            return
        condition = entry.get("condition", node.condition)
        if condition == "DISABLED" and node.condition != "DISABLED":
            self._cut(lb, node, "node disabled", by)
        elif condition == "DRAINING" and node.condition != "DRAINING":
            node.pinned = lb.sticky_share * node.share if lb.persistence is not None else 0.0
            self._reround(node)
        elif condition == "ENABLED" and node.condition != "ENABLED":
            self._reround(node)
        node.condition = condition
        node.weight = entry.get("weight", node.weight)
        node.type = entry.get("type", node.type)
        where = f"address: '{node.address}', port: '{node.port}'"
        text = (
            f"Node successfully updated with {where}, weight: '{node.weight}', condition: '{node.condition}'"
        )
        self._feed(lb, node.node_id, "Node Successfully Updated", text, "UPDATE")

    def _apply_delete(self, lb: LoadBalancer, node_ids: Sequence[int], by: str) -> None:
        leaving = [node for node in lb.nodes if node.node_id in node_ids]
        for node in leaving:
            self._cut(lb, node, "node deleted", by)
            text = "Node successfully deleted" if len(leaving) == 1 else "Nodes successfully deleted"
            self._feed(lb, node.node_id, "Node Successfully Deleted", text, "DELETE")
        lb.nodes = [node for node in lb.nodes if node.node_id not in node_ids]
        if lb.growth and leaving:
            factor, over_s, steps = lb.growth
            lb.growth = None
            for step in range(1, int(steps) + 1):
                self._schedule(self.now + over_s * step / steps, "growth", lb.lb_id, factor ** (1.0 / steps))

    def _on_growth(self, lb_id: int, factor: float) -> None:
        with self._change():
            self.balancers[lb_id].multiplier *= factor

    # --- looking things up --------------------------------------------------------------------------------------

    def _balancer(self, lb_id: int, tenant: str | None) -> LoadBalancer:
        lb = self.balancers.get(lb_id)
        if lb is None or not owns(tenant, lb):
            raise clb_error(404, LB_NOT_FOUND)
        return lb

    def _readable(self, lb_id: int, tenant: str | None) -> LoadBalancer:
        lb = self._balancer(lb_id, tenant)
        if lb.status == "DELETED":
            raise clb_error(410, LB_MARKED_DELETED)
        return lb

    def _undeleted(self, lb_id: int, tenant: str | None) -> LoadBalancer:
        lb = self._balancer(lb_id, tenant)
        if lb.status == "DELETED":
            raise clb_error(422, LB_DELETED)
        return lb

    def _writable(self, lb_id: int, tenant: str | None) -> LoadBalancer:
        lb = self._undeleted(lb_id, tenant)
        self._check_active(lb)
        return lb

    def _check_active(self, lb: LoadBalancer) -> None:
        if lb.status != "ACTIVE":
            raise clb_error(
                422, f"Load Balancer '{lb.lb_id}' has a status of '{lb.status}' and is considered immutable."
            )

    def _check_belongs(self, lb: LoadBalancer, node_ids: Sequence[int]) -> None:
        known = {node.node_id for node in lb.nodes}
        foreign = [node_id for node_id in node_ids if node_id not in known]
        if foreign:
            raise clb_validation(
                f"Node ids {','.join(map(str, foreign))} are not a part of your loadbalancer"
            )

    def _check_types(self, lb: LoadBalancer, changes: Mapping[int, Mapping[str, Any]]) -> None:
        if lb.health_monitor is None and any(c.get("type") == "SECONDARY" for c in changes.values()):
            raise clb_error(400, SECONDARY_NEEDS_MONITOR)
        after = [
            changes.get(node.node_id, {}).get("type", node.type)
            for node in lb.nodes
            if changes.get(node.node_id, {}).get("condition", node.condition) == "ENABLED"
        ]
        if "SECONDARY" in after and "PRIMARY" not in after:
            raise clb_error(400, NO_PRIMARY)

    # --- bodies -------------------------------------------------------------------------------------------------

    def _brief(self, lb: LoadBalancer) -> Json:
        return {
            "id": lb.lb_id,
            "name": lb.name,
            "protocol": lb.protocol,
            "port": lb.port,
            "algorithm": lb.algorithm,
            "status": lb.status,
            "nodeCount": len(lb.nodes),
            "timeout": lb.timeout,
            "virtualIps": lb.virtual_ips,
            "created": {"time": self.stamp(lb.created_t)},
            "updated": {"time": self.stamp(lb.updated_t)},
        }

    def _node_body(self, lb: LoadBalancer, node: Node) -> Json:
        body: Json = {
            "id": node.node_id,
            "address": node.address,
            "port": node.port,
            "condition": node.condition,
            "status": node.status,
            "type": node.type,
        }
        if lb.algorithm.startswith("WEIGHTED"):
            body["weight"] = node.weight
        if node.metadata:
            body["metadata"] = [{"key": key, "value": item} for key, item in node.metadata.items()]
        return body

    def _fresh_stats(self, lb: LoadBalancer) -> dict[str, int]:
        self._settle()
        open_now = sum(self.visitors(lb, node) for node in lb.nodes)
        lb.max_conn = max(lb.max_conn, open_now)
        failed = {cause: int(requests) for cause, requests in lb.failed.items()}
        figures = {
            "connectTimeOut": failed.get("dead server", 0) // 2,
            "connectError": 0,
            "connectFailure": failed.get("dead server", 0) - failed.get("dead server", 0) // 2,
            "dataTimedOut": failed.get("overload", 0),
            "keepAliveTimedOut": 0,
            "maxConn": lb.max_conn,
            "currentConn": open_now,
        }
        return {**figures, **{f"{name}Ssl": 0 for name in figures}}


def check_monitor(monitor: Mapping[str, Any]) -> None:
    """Raise the service's 400 unless `monitor` is a complete health monitor (reference 2.7)."""
    numbers = {"delay": (1, 3600), "timeout": (1, 300), "attemptsBeforeDeactivation": (1, 10)}
    texts = ("path", "statusRegex", "bodyRegex", "hostHeader")
    known: dict[str, Callable[[Any], bool]] = {
        "type": lambda v: v in ("CONNECT", "HTTP", "HTTPS"),
        **dict.fromkeys(numbers, _is_int),
        **dict.fromkeys(texts, lambda v: isinstance(v, str)),
    }
    _check_schema(monitor, known)
    missing = [name for name in ("type", *numbers) if name not in monitor]
    if missing:
        raise clb_validation(f"Must provide {', '.join(missing)} for the health monitor.")
    for name, (low, high) in numbers.items():
        if not low <= monitor[name] <= high:
            raise clb_validation(f"Must provide a {name} between {low} and {high}.")


def _check_schema(body: Any, known: Mapping[str, Callable[[Any], bool]]) -> None:
    if not isinstance(body, Mapping):
        raise clb_schema()
    for key, item in body.items():
        if key not in known or not known[key](item):
            raise clb_schema()


def _check_node(fields: Mapping[str, Any]) -> None:
    problems: list[str] = []
    if not 1 <= fields.get("weight", 1) <= 100:
        problems.append("Node weight is invalid. Range is 1-100. Please specify a valid weight.")
    if not 1 <= fields.get("port", 80) <= 65535:
        problems.append("Node port is invalid. Please specify a valid port.")
    if "address" in fields and not _is_address(fields["address"]):
        problems.append("Node ip is invalid. Please specify a valid ip.")
    if problems:
        raise clb_validation(*problems)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        labels = text.split(".")
        return (
            len(labels) > 1
            and not labels[-1].isdigit()
            and all(label.replace("-", "a").isalnum() for label in labels)
        )
    return True


def _node(lb: LoadBalancer, node_id: int, absent: str) -> Node:
    for node in lb.nodes:
        if node.node_id == node_id:
            return node
    raise ProviderError(404, {"message": absent, "code": 404})


def _page(entries: Sequence[FeedEntry], page: int) -> tuple[list[FeedEntry], bool]:
    newest_first = list(reversed(entries))
    first = (max(page, 1) - 1) * FEED_PAGE
    return newest_first[first : first + FEED_PAGE], len(newest_first) > first + FEED_PAGE
