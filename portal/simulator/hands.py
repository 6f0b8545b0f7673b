"""Other hands: what people, scripts and chance do to the cloud behind the portal's back. Everything lands at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portal.simulator.balancers import check_monitor
from portal.simulator.entities import ALARM_STATES, CONDITIONS, LoadBalancer, Node, Server
from portal.simulator.world import World


class Hands:
    """Changes by another hand. Harm that they do is noted as done by "hand"."""

    def __init__(self, world: World) -> None:
        self.world = world

    def do(self, name: str, **arguments: Any) -> Any:
        """Carry out the public method `name`. Raises ValueError if there is none, TypeError for bad arguments."""
        if name not in self.names():
            raise ValueError(f"There is no hand {name!r}. There are: {', '.join(self.names())}.")
        return getattr(self, name)(**arguments)

    @classmethod
    def names(cls) -> list[str]:
        return sorted(name for name in vars(cls) if not name.startswith("_") and name not in ("do", "names"))

    # --- nodes and balancers ------------------------------------------------------------------------------------

    def set_condition(self, lb_id: int, node_id: int, condition: str) -> None:
        if condition not in CONDITIONS:
            raise ValueError(f"{condition!r} is no condition.")
        self._apply(lb_id, "nodes", [{"id": self._node(lb_id, node_id).node_id, "condition": condition}])

    def set_weight(self, lb_id: int, node_id: int, weight: int) -> None:
        self._apply(lb_id, "nodes", [{"id": self._node(lb_id, node_id).node_id, "weight": weight}])

    def set_type(self, lb_id: int, node_id: int, type: str) -> None:
        self._apply(lb_id, "nodes", [{"id": self._node(lb_id, node_id).node_id, "type": type}])

    def add_node(
        self, lb_id: int, address: str, port: int = 80, condition: str = "ENABLED", weight: int = 1
    ) -> int:
        """Return the new node's id."""
        world = self._touch("add_node", lb_id=lb_id, address=address)
        return world.build_node(self._lb(lb_id), address, port, condition=condition, weight=weight).node_id

    def remove_node(self, lb_id: int, node_id: int) -> None:
        self._apply(lb_id, "delete", [self._node(lb_id, node_id).node_id])

    def set_node_status(self, lb_id: int, node_id: int, status: str) -> None:
        """Make the provider report a node ONLINE or OFFLINE, whatever its health."""
        world = self._touch("set_node_status", lb_id=lb_id, node_id=node_id)
        with world._change():
            world._set_status(self._lb(lb_id), self._node(lb_id, node_id), status)

    def set_balancer_status(self, lb_id: int, status: str) -> None:
        """Set ACTIVE, PENDING_UPDATE, ERROR, SUSPENDED, PENDING_DELETE, DELETED or anything new."""
        world = self._touch("set_balancer_status", lb_id=lb_id, status=status)
        lb = self._lb(lb_id)
        with world._change():
            lb.status, lb.updated_t = status, world.now
            if not lb.routes:
                for node in lb.nodes:
                    world._cut(lb, node, f"load balancer {status.lower()}", "hand")

    def set_persistence(self, lb_id: int, kind: str | None) -> None:
        self._apply(lb_id, "persistence", kind)

    def set_monitor(self, lb_id: int, monitor: dict[str, Any] | None) -> None:
        if monitor is not None:
            check_monitor(monitor)
        self._apply(lb_id, "monitor", monitor)

    # --- servers ------------------------------------------------------------------------------------------------

    def delete_server(self, server_id: str, after_s: float = 0.0) -> None:
        """Delete a server, at once unless `after_s` says how long it takes, locked or not."""
        world = self._touch("delete_server", server_id=server_id)
        self._as_hand(lambda: world._start_deletion(self._server(server_id), after_s))

    def stop_server(self, server_id: str) -> None:
        world = self._touch("stop_server", server_id=server_id)
        server = self._server(server_id)
        with world._change():
            world._take_down(server, "server stopped", "hand")
            # A deletion under way goes on, and reads so.
            going = server.task_state if server.task_state == "deleting" else None
            server.status, server.task_state, server.updated_t = "SHUTOFF", going, world.now

    def start_server(self, server_id: str) -> None:
        world = self._touch("start_server", server_id=server_id)
        with world._change():
            server = self._server(server_id)
            server.status, server.task_state, server.dead, server.updated_t = "ACTIVE", None, False, world.now

    def kill_server(self, server_id: str, dead: bool = True) -> None:
        """Make a machine hang (the API still says ACTIVE), or come back."""
        world = self._touch("kill_server", server_id=server_id, dead=dead)
        server = self._server(server_id)
        with world._change():
            if dead:
                world._take_down(server, "server died", "world")
            server.dead = dead

    def slow_server(self, server_id: str, factor: float) -> None:
        """Make a server `factor` times as slow; its capacity falls accordingly. 1 is normal."""
        world = self._touch("slow_server", server_id=server_id, factor=factor)
        with world._change():
            self._server(server_id).slow = factor

    def recycle_address(self, address: str, name: str) -> str:
        """Give the address of a deleted server to a new one, as clouds do; return the new server's id."""
        world = self._touch("recycle_address", address=address, name=name)
        old = next((s for s in world.servers.values() if address in s.addresses), None)
        if old is None or old.deleted_t is None:
            raise ValueError(f"There is no deleted server that had the address {address}.")
        server = world.build_server(name, old.tenant, region=old.region)
        with world._change():
            server.private_ip, server.public_ip = old.private_ip, old.public_ip
        return server.server_id

    def lock_server(self, server_id: str, locked: bool = True) -> None:
        self._touch("lock_server", server_id=server_id, locked=locked)
        self._server(server_id).locked = locked

    def rename_server(self, server_id: str, name: str) -> None:
        self._touch("rename_server", server_id=server_id, name=name)
        self._server(server_id).name = name

    def rebuild_server(self, server_id: str, image: str) -> None:
        """Give a server another image and an empty disk; name, addresses and time of creation stay (Nova: rebuild)."""
        self._touch("rebuild_server", server_id=server_id, image=image)
        self._server(server_id).image = image

    def resize_server(self, server_id: str, flavor: str) -> None:
        self._touch("resize_server", server_id=server_id, flavor=flavor)
        self._server(server_id).flavor = flavor

    def set_task_state(self, server_id: str, task_state: str | None) -> None:
        self._touch("set_task_state", server_id=server_id, task_state=task_state)
        self._server(server_id).task_state = task_state

    def set_server_status(self, server_id: str, status: str) -> None:
        world = self._touch("set_server_status", server_id=server_id, status=status)
        with world._change():
            self._server(server_id).status = status

    def set_metadata(self, server_id: str, key: str, value: str | None) -> None:
        """Set one metadata item; None removes it."""
        self._touch("set_metadata", server_id=server_id, key=key)
        metadata = self._server(server_id).metadata
        metadata.pop(key, None)
        if value is not None:
            metadata[key] = value

    def attach_volume(self, server_id: str, volume_id: str) -> None:
        self._touch("attach_volume", server_id=server_id, volume_id=volume_id)
        self._server(server_id).volumes.append(volume_id)

    def direct_traffic(self, server_id: str, rps: float) -> None:
        """Requests per second that reach a server past every load balancer."""
        world = self._touch("direct_traffic", server_id=server_id, rps=rps)
        with world._change():
            self._server(server_id).direct_rps = rps

    def set_status_url(self, server_id: str, present: bool) -> None:
        self._touch("set_status_url", server_id=server_id, present=present)
        self._server(server_id).status_url = present

    # --- visitors, users ----------------------------------------------------------------------------------------

    def set_alarm(self, of: str, label: str, state: str) -> None:
        """Make an alarm of a server's processor, or of a load balancer seen from outside, be OK, WARNING or CRITICAL."""
        if state not in ALARM_STATES:
            raise ValueError(f"{state!r} is no state of an alarm.")
        world = self._touch("set_alarm", of=of, label=label, state=state)
        watched = self._lb(int(of)) if of.isdigit() else self._server(of)
        watched.alarms[label] = [state, world.now]

    def demand(self, lb_id: int, multiplier: float | None = None, rps: float | None = None) -> None:
        """Multiply what visitors want, or fix it at `rps` without a season; neither: back to normal."""
        world = self._touch("demand", lb_id=lb_id, multiplier=multiplier, rps=rps)
        lb = self._lb(lb_id)
        with world._change():
            lb.absolute_rps = rps
            lb.multiplier = 1.0 if multiplier is None else multiplier

    def revoke_tokens(self) -> None:
        for token in self._touch("revoke_tokens").tokens.values():
            token.revoked = True

    def set_user(self, username: str, enabled: bool = True, roles: list[str] | None = None) -> None:
        user = self._touch("set_user", username=username).users[username]
        user.enabled = enabled
        if roles is not None:
            user.roles = roles

    # --- shared -------------------------------------------------------------------------------------------------

    def _touch(self, what: str, **details: Any) -> World:
        self.world.version += 1
        self.world._truth.note(self.world.now, f"hand: {what}", "hand", **details)
        return self.world

    def _as_hand(self, act: Callable[[], None]) -> None:
        before, self.world._by = self.world._by, "hand"
        try:
            act()
        finally:
            self.world._by = before

    def _apply(self, lb_id: int, kind: str, payload: Any) -> None:
        world = self._touch(kind, lb_id=lb_id, payload=payload)
        with world._change():
            world._apply(self._lb(lb_id), kind, payload, "hand")

    def _lb(self, lb_id: int) -> LoadBalancer:
        if lb_id not in self.world.balancers:
            raise ValueError(f"There is no load balancer {lb_id}.")
        return self.world.balancers[lb_id]

    def _node(self, lb_id: int, node_id: int) -> Node:
        for node in self._lb(lb_id).nodes:
            if node.node_id == node_id:
                return node
        raise ValueError(f"Load balancer {lb_id} has no node {node_id}.")

    def _server(self, server_id: str) -> Server:
        server = self.world.servers.get(server_id)
        if server is None or server.deleted_t is not None:
            raise ValueError(f"There is no server {server_id}.")
        return server
