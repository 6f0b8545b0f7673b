"""Cloud Servers v2 as operations on the world (reference section 3)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from portal.simulator.core import Core, operation, owns
from portal.simulator.entities import Image, Server
from portal.simulator.errors import Json, bad_request, conflict, not_found, nova_error
from portal.simulator.truth import WrongDeletion

LIST_LIMIT = 1000
METADATA_LIMIT = 40
METADATA_FULL = f"Maximum number of metadata items exceeds {METADATA_LIMIT}"

FLAVORS: dict[str, Json] = {
    "2": {"name": "512MB Standard Instance", "ram": 512, "disk": 20, "vcpus": 1, "class": "standard1"},
    "general1-1": {
        "name": "1 GB General Purpose v1",
        "ram": 1024,
        "disk": 20,
        "vcpus": 1,
        "class": "general1",
    },
    "general1-2": {
        "name": "2 GB General Purpose v1",
        "ram": 2048,
        "disk": 40,
        "vcpus": 2,
        "class": "general1",
    },
    "general1-4": {
        "name": "4 GB General Purpose v1",
        "ram": 4096,
        "disk": 80,
        "vcpus": 4,
        "class": "general1",
    },
    "general1-8": {
        "name": "8 GB General Purpose v1",
        "ram": 8192,
        "disk": 160,
        "vcpus": 8,
        "class": "general1",
    },
    "compute1-4": {"name": "3.75 GB Compute v1", "ram": 3840, "disk": 0, "vcpus": 2, "class": "compute1"},
    "compute1-8": {"name": "7.5 GB Compute v1", "ram": 7680, "disk": 0, "vcpus": 4, "class": "compute1"},
}

BASE_IMAGE = "4b2a9e3f-6c1d-4f0e-9a57-0d8a3c5e7b11"
"""One of the provider's own images: listed for everybody, owned by nobody."""
_BASE_IMAGES = {
    BASE_IMAGE: Image(BASE_IMAGE, "", "Debian 12 (Bookworm)", -31_536_000.0),
}

_VM_STATES = {
    "ACTIVE": "active",
    "BUILD": "building",
    "SHUTOFF": "stopped",
    "ERROR": "error",
    "DELETED": "deleted",
}


class ServerOperations(Core):
    """The calls of the servers service. `tenant` as in `BalancerOperations`."""

    @operation("server.list")
    def list_servers(
        self,
        *,
        tenant: str | None = None,
        detail: bool = True,
        name: str | None = None,
        status: str | None = None,
        image: str | None = None,
        flavor: str | None = None,
        changes_since: datetime | None = None,
        limit: int | None = None,
        marker: str | None = None,
        base_url: str = "",
    ) -> Json:
        """Return `{"servers": [...]}`, newest first, with `servers_links` where `limit` was sent and the page is full.

        `name` is a regular expression, `marker` exclusive. With `changes_since` deleted servers are among them.
        """
        found = sorted(
            (server for server in self.servers.values() if owns(tenant, server)),
            key=lambda server: (-server.created_t, server.server_id),
        )
        if changes_since is None:
            found = [server for server in found if server.deleted_t is None]
        else:
            found = [server for server in found if server.updated_t >= self.world_time(changes_since)]
        if name is not None:
            try:
                pattern = re.compile(name)
            except re.error:
                raise bad_request("The name filter is no regular expression.") from None
            found = [server for server in found if pattern.search(server.name)]
        found = [
            server
            for server in found
            if status in (None, server.status)
            and image in (None, server.image)
            and flavor in (None, server.flavor)
        ]
        if marker is not None:
            places = [i for i, server in enumerate(found) if server.server_id == marker]
            if not places:
                raise bad_request(f"marker [{marker}] not found")
            found = found[places[0] + 1 :]
        size = min(LIST_LIMIT if limit is None else limit, LIST_LIMIT)
        page = found[:size]
        body: Json = {
            "servers": [
                self._server_body(s, base_url) if detail else self._brief_server(s, base_url) for s in page
            ]
        }
        if limit is not None and page and len(page) == size:
            path = "servers/detail" if detail else "servers"
            href = f"{base_url}/{path}?limit={limit}&marker={page[-1].server_id}"
            body["servers_links"] = [{"rel": "next", "href": href}]
        return body

    @operation("server.show")
    def show_server(self, server_id: str, *, tenant: str | None = None, base_url: str = "") -> Json:
        return {"server": self._server_body(self._server(server_id, tenant), base_url)}

    @operation("server.create", "POST")
    def create_server(
        self, server: Mapping[str, Any], *, tenant: str | None = None, base_url: str = ""
    ) -> Json:
        """Accept a new server: BUILD now, ACTIVE after the build time."""
        if not isinstance(server, Mapping) or not isinstance(server.get("name"), str):
            raise bad_request("Server name is not defined")
        flavor, image = str(server.get("flavorRef", "")), str(server.get("imageRef", ""))
        if flavor not in FLAVORS:
            raise bad_request("Invalid flavorRef provided.")
        known = self.images.get(image) or _BASE_IMAGES.get(image)
        if image and (known is None or known.status != "ACTIVE"):
            raise bad_request("Can not find requested image")
        metadata = {str(key): str(item) for key, item in server.get("metadata", {}).items()}
        if len(metadata) > METADATA_LIMIT:
            raise nova_error(403, "forbidden", METADATA_FULL)
        owner, _, region = (tenant or next(iter(self.users.values())).tenant).partition("@")
        made = self.build_server(
            server["name"], owner, region=region or "DFW", flavor=flavor, image=image, metadata=metadata
        )
        made.status, made.task_state = "BUILD", "spawning"
        became = "ERROR" if "build_error" in self._inside else "ACTIVE"
        self._schedule(
            self.now + self.settings.build_s / self.settings.speed, "built", made.server_id, became
        )
        self._truth.note(self.now, "accepted: server create", self._by, server_id=made.server_id)
        body = self._brief_server(made, base_url)
        del body["name"]
        return {"server": {**body, "OS-DCF:diskConfig": "MANUAL", "adminPass": self.dice.hex(12)}}

    @operation("server.delete", "DELETE")
    def delete_server(self, server_id: str, *, tenant: str | None = None) -> None:
        """Accept the deletion: the machine goes down now, reads `deleting`, and is gone (404) some time later."""
        server = self._server(server_id, tenant)
        if server.locked:
            raise conflict(f"Instance {server_id} is locked")
        if server.task_state == "deleting":
            return
        if "no_effect" in self._inside:
            self._truth.note(self.now, "ignored: server delete", self._by, server_id=server_id)
            return
        slow = self._inside.get("slow")
        took_s = self.settings.delete_s / self.settings.speed
        self._start_deletion(server, took_s if slow is None or slow.seconds is None else slow.seconds)

    def _start_deletion(self, server: Server, took_s: float) -> None:
        holders = sorted({lb.lb_id for lb, _ in self.nodes_at(server)})
        self._truth.note(
            self.now, "accepted: server delete", self._by, server_id=server.server_id, name=server.name
        )
        if holders:
            self._truth.wrong_deletions.append(
                WrongDeletion(self.now, server.server_id, server.name, holders, self._by)
            )
        with self._change():
            self._take_down(server, "server deleted", self._by)
            server.task_state = "deleting"
            server.updated_t = self.now
        if took_s <= 0.0:
            self._on_deleted(server.server_id)
        else:
            self._schedule(self.now + took_s, "deleted", server.server_id)

    def _on_deleted(self, server_id: str) -> None:
        server = self.servers[server_id]
        if server.deleted_t is not None:
            return
        with self._change():
            server.status, server.task_state = "DELETED", None
            server.deleted_t = server.updated_t = self.now

    def _on_built(self, server_id: str, status: str = "ACTIVE") -> None:
        server = self.servers[server_id]
        if server.status == "BUILD" and server.deleted_t is None and server.task_state != "deleting":
            with self._change():
                server.status, server.task_state, server.updated_t = status, None, self.now

    @operation("server.action", "POST")
    def server_action(
        self, server_id: str, action: Mapping[str, Any], *, tenant: str | None = None, base_url: str = ""
    ) -> str | None:
        """Accept `reboot`, `os-stop`, `os-start` or `createImage`. Returns the image's URL for the last one."""
        server = self._server(server_id, tenant)
        if not isinstance(action, Mapping) or len(action) != 1:
            raise bad_request("Malformed request body")
        name, options = next(iter(action.items()))
        known = {"reboot", "createImage"} | (
            {"os-stop", "os-start"} if self.settings.stop_start_supported else set()
        )
        if name not in known:
            raise bad_request("There is no such action: " + name)
        if server.locked:
            raise conflict(f"Instance {server_id} is locked")
        hangs = server.status in ("REBOOT", "HARD_REBOOT")
        if server.task_state is not None and not (name == "reboot" and hangs):
            raise conflict(
                f"Cannot '{name}' instance {server_id} while it is in task_state {server.task_state}"
            )
        if name == "createImage":
            return self._create_image(server, options, base_url)
        if name == "reboot":
            self._reboot(server, options)
        else:
            self._stop_or_start(server, name)
        self._truth.note(self.now, f"accepted: {name}", self._by, server_id=server_id)
        return None

    def _reboot(self, server: Server, options: Any) -> None:
        kind = options.get("type") if isinstance(options, Mapping) else None
        if kind not in ("SOFT", "HARD"):
            raise bad_request("Argument 'type' for reboot is not HARD or SOFT")
        # As Nova has it (API reference, 5.3): a hard one is taken while another hangs.
        allowed = ("ACTIVE",) if kind == "SOFT" else ("ACTIVE", "ERROR", "SHUTOFF", "REBOOT", "HARD_REBOOT")
        if server.status not in allowed:
            raise conflict(
                f"Cannot 'reboot' instance {server.server_id} while it is in vm_state {server.status}"
            )
        hard = kind == "HARD"
        with self._change():
            self._take_down(server, "server rebooted", self._by)
            server.status = "HARD_REBOOT" if hard else "REBOOT"
            server.task_state = "rebooting_hard" if hard else "rebooting"
            server.updated_t = self.now
        after_s = self.settings.reboot_hard_s if hard else self.settings.reboot_soft_s
        self._schedule(self.now + after_s, "settled", server.server_id, "ACTIVE")

    def _stop_or_start(self, server: Server, name: str) -> None:
        stop = name == "os-stop"
        if server.status not in (("ACTIVE", "ERROR") if stop else ("SHUTOFF",)):
            raise conflict(
                f"Cannot '{name}' instance {server.server_id} while it is in vm_state {server.status}"
            )
        with self._change():
            if stop:
                self._take_down(server, "server stopped", self._by)
            server.task_state = "powering-off" if stop else "powering-on"
            server.updated_t = self.now
        slow = self._inside.get("slow")
        after_s = self.settings.stop_s if stop else self.settings.start_s
        if slow is not None and slow.seconds is not None:
            after_s = slow.seconds
        self._schedule(self.now + after_s, "settled", server.server_id, "SHUTOFF" if stop else "ACTIVE")

    def _on_settled(self, server_id: str, status: str) -> None:
        server = self.servers[server_id]
        if server.deleted_t is None and server.task_state != "deleting":
            with self._change():
                server.status, server.task_state, server.updated_t = status, None, self.now

    def _take_down(self, server: Server, cause: str, by: str) -> None:
        """Close everything that is open to a machine. Inside `_change` only."""
        if server.up:
            for lb, node in self.nodes_at(server):
                self._cut(lb, node, cause, by)

    # --- images -------------------------------------------------------------------------------------------------

    def _create_image(self, server: Server, options: Any, base_url: str) -> str:
        if not isinstance(options, Mapping) or not isinstance(options.get("name"), str):
            raise bad_request("createImage entity requires name attribute")
        if server.status not in ("ACTIVE", "SHUTOFF"):
            raise conflict(
                f"Cannot 'createImage' instance {server.server_id} while it is in vm_state {server.status}"
            )
        slow = self._inside.get("slow")
        took_s = self.settings.image_s / self.settings.speed
        if slow is not None and slow.seconds is not None:
            took_s = slow.seconds
        image = Image(
            self.dice.uuid(),
            server.tenant,
            options["name"],
            self.now,
            "SAVING",
            self.now + took_s,
            server.server_id,
            {str(key): str(item) for key, item in (options.get("metadata") or {}).items()},
        )
        self.images[image.image_id] = image
        server.task_state, server.updated_t = "image_snapshot", self.now
        self._truth.note(
            self.now, "accepted: createImage", self._by, server_id=server.server_id, image_id=image.image_id
        )
        failed = "image_error" in self._inside or self.dice.chance(self.settings.image_error_chance)
        self._schedule(self.now + took_s, "imaged", image.image_id, "ERROR" if failed else "ACTIVE")
        return f"{base_url}/images/{image.image_id}"

    def _on_imaged(self, image_id: str, status: str) -> None:
        image = self.images[image_id]
        if image.deleted_t is None:
            image.status = status
        server = self.servers.get(image.server_id or "")
        if server is not None and (server.task_state or "").startswith("image_"):
            server.task_state, server.updated_t = None, self.now

    @operation("image.list")
    def list_images(
        self,
        *,
        tenant: str | None = None,
        detail: bool = True,
        limit: int | None = None,
        marker: str | None = None,
        base_url: str = "",
    ) -> Json:
        """Return `{"images": [...]}`: the tenant's own, newest first, then the provider's; paged like servers."""
        own = [i for i in self.images.values() if i.deleted_t is None and owns(tenant, i)]
        own.sort(key=lambda image: (-image.created_t, image.image_id))
        found = [*own, *_BASE_IMAGES.values()]
        if marker is not None:
            places = [at for at, image in enumerate(found) if image.image_id == marker]
            if not places:
                raise bad_request(f"marker [{marker}] not found")
            found = found[places[0] + 1 :]
        size = min(LIST_LIMIT if limit is None else limit, LIST_LIMIT)
        page = found[:size]
        body: Json = {
            "images": [self._image_body(i) if detail else {"id": i.image_id, "name": i.name} for i in page]
        }
        if limit is not None and page and len(page) == size:
            path = "images/detail" if detail else "images"
            href = f"{base_url}/{path}?limit={limit}&marker={page[-1].image_id}"
            body["images_links"] = [{"rel": "next", "href": href}]
        return body

    @operation("image.show")
    def show_image(self, image_id: str, *, tenant: str | None = None) -> Json:
        return {"image": self._image_body(_BASE_IMAGES.get(image_id) or self._image(image_id, tenant))}

    @operation("image.delete", "DELETE")
    def delete_image(self, image_id: str, *, tenant: str | None = None) -> None:
        image = self._image(image_id, tenant)
        image.status, image.deleted_t = "DELETED", self.now
        self._truth.note(self.now, "accepted: image delete", self._by, image_id=image_id)

    def _image(self, image_id: str, tenant: str | None) -> Image:
        image = self.images.get(image_id)
        if image is None or image.deleted_t is not None or not owns(tenant, image):
            raise not_found("Image not found.")
        return image

    def _image_body(self, image: Image) -> Json:
        progress = 100
        if image.status == "SAVING" and image.ready_t is not None:
            whole = max(image.ready_t - image.created_t, 1e-9)
            progress = min(99, int(100 * (self.now - image.created_t) / whole))
        body: Json = {
            "id": image.image_id,
            "name": image.name,
            "status": image.status,
            "progress": progress,
            "minDisk": 20,
            "minRam": 512,
            "created": self.stamp(image.created_t),
            "updated": self.stamp(min(self.now, image.ready_t or image.created_t)),
            "metadata": dict(image.metadata),
        }
        if image.server_id is not None:
            body["server"] = {"id": image.server_id}
        return body

    # --- metadata, flavors, volumes, limits ---------------------------------------------------------------------

    @operation("server.metadata")
    def server_metadata(self, server_id: str, *, tenant: str | None = None) -> Json:
        return {"metadata": dict(self._server(server_id, tenant).metadata)}

    @operation("server.metadata_item")
    def server_metadata_item(self, server_id: str, key: str, *, tenant: str | None = None) -> Json:
        metadata = self._server(server_id, tenant).metadata
        if key not in metadata:
            raise not_found("Metadata item was not found")
        return {"meta": {key: metadata[key]}}

    @operation("server.metadata_set", "PUT")
    def set_server_metadata_item(
        self, server_id: str, key: str, meta: Mapping[str, Any], *, tenant: str | None = None
    ) -> Json:
        """Set one item; the key in the body must be the key of the URL, and 40 items are the most."""
        if not isinstance(meta, Mapping) or list(meta) != [key]:
            raise bad_request("Request body and URI mismatch")
        self._set_metadata(self._server(server_id, tenant), meta, keep=True)
        return {"meta": {key: str(meta[key])}}

    @operation("server.metadata_merge", "POST")
    def merge_server_metadata(
        self, server_id: str, metadata: Mapping[str, Any], *, tenant: str | None = None
    ) -> Json:
        return self._set_metadata(self._server(server_id, tenant), metadata, keep=True)

    @operation("server.metadata_replace", "PUT")
    def replace_server_metadata(
        self, server_id: str, metadata: Mapping[str, Any], *, tenant: str | None = None
    ) -> Json:
        return self._set_metadata(self._server(server_id, tenant), metadata, keep=False)

    @operation("server.metadata_delete", "DELETE")
    def delete_server_metadata_item(self, server_id: str, key: str, *, tenant: str | None = None) -> None:
        server = self._server(server_id, tenant)
        if key not in server.metadata:
            raise not_found("Metadata item was not found")
        del server.metadata[key]

    def _set_metadata(self, server: Server, metadata: Any, *, keep: bool) -> Json:
        if not isinstance(metadata, Mapping):
            raise bad_request("Malformed request body")
        items = {str(key): str(item) for key, item in metadata.items()}
        after = {**server.metadata, **items} if keep else items
        if len(after) > METADATA_LIMIT:
            raise nova_error(403, "forbidden", METADATA_FULL)
        server.metadata, server.updated_t = after, self.now
        return {"metadata": dict(after)}

    @operation("flavor.list")
    def list_flavors(self, *, tenant: str | None = None, detail: bool = True) -> Json:
        if not detail:
            return {"flavors": [{"id": key, "name": item["name"]} for key, item in FLAVORS.items()]}
        return {"flavors": [flavor_body(key) for key in FLAVORS]}

    @operation("flavor.show")
    def show_flavor(self, flavor_id: str, *, tenant: str | None = None) -> Json:
        if flavor_id not in FLAVORS:
            raise not_found("The resource could not be found.")
        return {"flavor": flavor_body(flavor_id)}

    @operation("server.volumes")
    def list_volume_attachments(self, server_id: str, *, tenant: str | None = None) -> Json:
        volumes = self._server(server_id, tenant).volumes
        return {
            "volumeAttachments": [
                {"id": volume, "volumeId": volume, "serverId": server_id, "device": f"/dev/xvd{chr(98 + i)}"}
                for i, volume in enumerate(volumes)
            ]
        }

    @operation("compute.limits")
    def compute_limits(self, *, tenant: str | None = None) -> Json:
        living = [s for s in self.servers.values() if s.deleted_t is None and owns(tenant, s)]
        absolute = {
            "maxTotalInstances": 200,
            "maxTotalRAMSize": 131072,
            "maxServerMeta": METADATA_LIMIT,
            "totalInstancesUsed": len(living),
            "totalRAMUsed": sum(int(FLAVORS[s.flavor]["ram"]) for s in living),
        }
        return {"limits": {"rate": [], "absolute": absolute}}

    # --- bodies and building ------------------------------------------------------------------------------------

    def _server(self, server_id: str, tenant: str | None) -> Server:
        server = self.servers.get(server_id)
        if server is None or server.deleted_t is not None or not owns(tenant, server):
            raise not_found()
        return server

    def _brief_server(self, server: Server, base_url: str) -> Json:
        links = [{"rel": "self", "href": f"{base_url}/servers/{server.server_id}"}]
        return {"id": server.server_id, "name": server.name, "links": links}

    def _addresses(self, server: Server) -> Json:
        if server.task_state == "deleting":
            return {}  # given back to the network before the machine is gone, as Nova does it
        return {
            "public": [{"version": 4, "addr": server.public_ip}],
            "private": [{"version": 4, "addr": server.private_ip}],
        }

    def _server_body(self, server: Server, base_url: str) -> Json:
        power = (
            1 if server.status in ("ACTIVE", "REBOOT") else 0 if server.status in ("BUILD", "DELETED") else 4
        )
        task = server.task_state
        body: Json = {
            **self._brief_server(server, base_url),
            "status": server.status,
            "created": self.stamp(server.created_t),
            "updated": self.stamp(server.updated_t),
            "hostId": server.host_id,
            "tenant_id": server.tenant,
            "user_id": "170454",
            "progress": 0 if server.status == "BUILD" else 100,
            "metadata": dict(server.metadata),
            "accessIPv4": server.public_ip,
            "accessIPv6": "",
            "addresses": self._addresses(server),
            "flavor": {
                "id": server.flavor,
                "links": [{"rel": "bookmark", "href": f"{base_url}/flavors/{server.flavor}"}],
            },
            "image": "",
            "OS-EXT-STS:task_state": task,
            "OS-EXT-STS:vm_state": _VM_STATES.get(server.status, "active"),
            "OS-EXT-STS:power_state": power,
            "OS-DCF:diskConfig": "MANUAL",
            "RAX-PUBLIC-IP-ZONE-ID:publicIPZoneId": hashlib.sha256(server.host_id.encode()).hexdigest()[:56],
        }
        if server.image:
            links = [{"rel": "bookmark", "href": f"{base_url}/images/{server.image}"}]
            body["image"] = {"id": server.image, "links": links}
        if server.fault is not None:
            body["fault"] = server.fault
        return body

    def build_server(
        self,
        name: str,
        tenant: str,
        *,
        region: str = "DFW",
        flavor: str = "general1-4",
        image: str = "",
        metadata: Mapping[str, str] | None = None,
        created_t: float | None = None,
        host: int | None = None,
        capacity_rps: float = 100.0,
        latency_s: float = 0.08,
    ) -> Server:
        """Put a running server into the world. `host` names its physical host; without one it gets its own."""
        number = self._next("address")
        t = self.now if created_t is None else created_t
        place = f"{tenant}:{number if host is None else f'host-{host}'}"
        server = Server(
            self.dice.uuid(),
            tenant,
            region,
            name,
            t,
            t,
            f"10.181.{number // 250}.{number % 250 + 4}",
            f"203.0.{113 + number // 250}.{number % 250 + 4}",
            hashlib.sha224(place.encode()).hexdigest(),
            flavor=flavor,
            image=image,
            metadata=dict(metadata or {}),
            capacity_rps=capacity_rps,
            latency_s=latency_s,
        )
        with self._change():
            self.servers[server.server_id] = server
        return server


def flavor_body(flavor_id: str) -> Json:
    """Return a flavor as the service shows it. There is no price in it (reference 3.5)."""
    flavor = FLAVORS[flavor_id]
    kind = flavor["class"]
    return {
        "id": flavor_id,
        "name": flavor["name"],
        "ram": flavor["ram"],
        "disk": flavor["disk"],
        "vcpus": flavor["vcpus"],
        "swap": "",
        "rxtx_factor": flavor["vcpus"] * 200.0,
        "OS-FLV-EXT-DATA:ephemeral": 0,
        "OS-FLV-WITH-EXT-SPECS:extra_specs": {"class": kind, "policy_class": f"{kind.rstrip('1')}_flavor"},
    }
