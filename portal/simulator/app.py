"""The world over HTTP: a thin ASGI skin, with a control plane for tests and demos below `/_sim/`."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from portal.simulator import atom, scenarios
from portal.simulator.balancers import LB_NOT_FOUND
from portal.simulator.clock import Clock, VirtualClock
from portal.simulator.core import service_of
from portal.simulator.entities import User
from portal.simulator.errors import (
    AnswerLost,
    AnswerTruncated,
    Json,
    ProviderError,
    bad_request,
    clb_error,
    clb_schema,
    monitoring_error,
    nova_error,
)
from portal.simulator.hands import Hands
from portal.simulator.world import World

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

CONTROL_HEADER = "x-simulator-token"
SILENCE_S = 300.0
BODY_LIMIT = 1_000_000


@dataclass
class Request:
    """One request, its body read. `base` is the address that the catalog and links point to."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    base: str
    tenant: str = ""
    scope: str = ""
    root: str = ""
    truncated: bool = False
    latency_s: float = 0.0

    def one(self, name: str) -> str | None:
        values = self.query.get(name)
        return values[-1] if values else None

    def number(self, name: str) -> int | None:
        text = self.one(name)
        if text is None:
            return None
        if not text.isdigit():
            raise (
                clb_error(400, f"Invalid value for {name}.")
                if "/loadbalancers" in self.path
                else bad_request(f"{name} param must be an integer")
            )
        return int(text)

    def time(self, name: str) -> datetime | None:
        text = self.one(name)
        if text is None:
            return None
        try:
            moment = datetime.fromisoformat(text.replace(" ", "+"))
        except ValueError:
            raise bad_request(f"Invalid {name} value") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass
class Reply:
    status: int
    body: Json | str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = "application/json"

    def payload(self) -> bytes:
        if self.body is None:
            return b""
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


Handler = Callable[..., Reply]


class Simulator:
    """The ASGI application. `world` may be replaced by the control plane's scenario call."""

    def __init__(
        self,
        world: World,
        clock: Clock,
        *,
        control_token: str | None = None,
        on_change: Callable[[World], None] | None = None,
        abort: Callable[[Send], None] | None = None,
    ) -> None:
        self.world = world
        self.clock = clock
        self.control_token = control_token
        self.published: list[str] = []
        self.on_change = on_change
        self.abort = abort
        self._saved_version = world.version
        self._shift_s = clock.now() - world.now
        self._routes = {
            area: [(m, re.compile(p + r"\Z"), h) for m, p, h in routes] for area, routes in self._table()
        }

    # --- the protocol -------------------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        request = await _read(scope, receive)
        self.catch_up()
        try:
            reply = self.answer(request)
        except AnswerLost as lost:
            self._save()
            await self._lose(lost, receive, send)
            return
        wait_s = self.world.take_delay() + request.latency_s
        self._save()
        if wait_s > 0.0:
            await self.clock.sleep(wait_s)
        payload = reply.payload()
        if request.truncated:
            payload = payload[: len(payload) // 2]
        headers = {"content-type": reply.media_type, **{k.lower(): v for k, v in reply.headers.items()}}
        if not payload:
            del headers["content-type"]
        if reply.status != HTTPStatus.NO_CONTENT:
            headers["content-length"] = str(len(payload))
        raw = [(name.encode("latin-1"), item.encode("latin-1")) for name, item in headers.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": raw})
        await send({"type": "http.response.body", "body": payload})

    def catch_up(self) -> None:
        """Let the world live until now."""
        self.world.advance_to(max(self.world.now, self.clock.now() - self._shift_s))

    def _save(self) -> None:
        # Before the answer leaves: whatever a client was told survives the process.
        if self.on_change is not None and self.world.version != self._saved_version:
            self._saved_version = self.world.version
            self.on_change(self.world)

    async def _lose(self, lost: AnswerLost, receive: Receive, send: Send) -> None:
        self.world.take_delay()
        if self.abort is None:
            raise lost
        if lost.how == "timeout":
            try:
                async with asyncio.timeout(SILENCE_S):
                    while (await receive())["type"] != "http.disconnect":
                        continue
            except TimeoutError:
                pass
        self.abort(send)
        await asyncio.sleep(0)  # let the server notice that the connection is gone

    def answer(self, request: Request) -> Reply:
        """Return the answer to a request at the world's present time. Raises AnswerLost where there is none."""
        try:
            return self._dispatch(request)
        except ProviderError as error:
            media_type = "text/plain" if isinstance(error.body, str) else "application/json"
            return Reply(error.status, error.body, error.headers, media_type)

    def _dispatch(self, request: Request) -> Reply:
        path = request.path
        balancer = re.match(r"/(\w+)/loadbalancers/v1\.0/([^/]+)(/.*|)\Z", path)
        if balancer:
            self._enter(request, "clb", *balancer.groups())
            rest = re.sub(r"\.json\Z", "", balancer[3])
            return self._route(
                "clb", request, rest, clb_error(404, "Not Found"), clb_error(405, "Method Not Allowed")
            )
        server = re.match(r"/(\w+)/servers/v2/([^/]+)(/.*|)\Z", path)
        if server:
            self._enter(request, "servers", *server.groups())
            missing = nova_error(404, "itemNotFound", "The resource could not be found.")
            wrong = nova_error(405, "badMethod", "The method is not allowed for this resource.")
            return self._route("servers", request, server[3], missing, wrong)
        monitored = re.match(r"/monitoring/v1\.0/([^/]+)(/.*|)\Z", path)
        if monitored:
            self._enter_monitoring(request, *monitored.groups())
            none = monitoring_error(404, "notFoundError", "Path does not exist")
            return self._route("monitoring", request, monitored[2], none, none)
        if path.startswith("/_sim/"):
            return self._control(request)
        if path == "/":
            return Reply(
                200, f"A simulated cloud provider, scenario {self.world.scenario}.\n", {}, "text/plain"
            )
        return self._route(
            "open", request, path, ProviderError(404, "Not Found\n"), ProviderError(405, "Not Allowed\n")
        )

    def _enter(self, request: Request, service: str, region: str, tenant: str, rest: str) -> None:
        user: User | None = self.world.token_user(request.headers.get("x-auth-token"))
        if user is None:
            raise self.world.unauthorized(service)
        if user.tenant != tenant or (user.is_observer and request.method != "GET"):
            # The load balancer service maps a lack of rights to 404 as well (reference 2.9).
            raise (
                clb_error(404, LB_NOT_FOUND)
                if service == "clb"
                else nova_error(403, "forbidden", "Policy doesn't allow this to be performed.")
            )
        request.tenant = tenant
        request.scope = f"{tenant}@{region.upper()}"
        request.root = request.base + request.path[: len(request.path) - len(rest)]

    def _enter_monitoring(self, request: Request, tenant: str, rest: str) -> None:
        user: User | None = self.world.token_user(request.headers.get("x-auth-token"))
        if user is None or user.tenant != tenant:
            raise self.world.unauthorized("monitoring")
        request.tenant = request.scope = tenant
        request.root = request.base + request.path[: len(request.path) - len(rest)]

    def _route(
        self, area: str, request: Request, rest: str, missing: ProviderError, wrong: ProviderError
    ) -> Reply:
        known = False
        for method, pattern, handler in self._routes[area]:
            match = pattern.match(rest)
            if match:
                known = True
                if method == request.method:
                    groups = [
                        int(text) if text.isdigit() and area == "clb" else text for text in match.groups()
                    ]
                    return handler(request, *groups)
        raise wrong if known else missing

    def _call(self, request: Request, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return operation(*args, **kwargs)
        except AnswerTruncated as cut:
            request.truncated = True
            return cut.result

    # --- routes -------------------------------------------------------------------------------------------------

    def _table(self) -> list[tuple[str, list[tuple[str, str, Handler]]]]:
        lb, node = r"/loadbalancers/(\d+)", r"/loadbalancers/(\d+)/nodes/(\d+)"
        server = r"/servers/([^/]+)"
        return [
            (
                "clb",
                [
                    ("GET", r"/loadbalancers", self._lb_list),
                    ("GET", r"/loadbalancers\.atom", self._all_feed),
                    ("GET", r"/loadbalancers/absolutelimits", self._read("absolute_limits")),
                    ("GET", r"/limits", self._read("rate_limits")),
                    ("GET", lb, self._read("show_load_balancer")),
                    ("GET", lb + r"\.atom", self._lb_feed),
                    ("PUT", lb, self._write("update_load_balancer", "loadBalancer")),
                    ("GET", lb + "/stats", self._read("load_balancer_stats")),
                    ("GET", lb + "/usage", self._read("load_balancer_usage")),
                    ("GET", lb + "/usage/current", self._read("load_balancer_usage")),
                    ("GET", lb + "/nodes", self._node_list),
                    ("GET", lb + r"/nodes\.atom", self._nodes_feed),
                    ("POST", lb + "/nodes", self._write("add_nodes", "nodes")),
                    ("PUT", lb + "/nodes", self._write("update_nodes", "nodes")),
                    ("DELETE", lb + "/nodes", self._delete_nodes),
                    ("GET", lb + "/nodes/events", self._events),
                    ("GET", node, self._node_show),
                    ("GET", node + r"\.atom", self._nodes_feed),
                    ("PUT", node, self._write("update_node", "node")),
                    ("DELETE", node, self._write("delete_node")),
                    ("GET", lb + "/healthmonitor", self._read("show_health_monitor")),
                    ("PUT", lb + "/healthmonitor", self._write("update_health_monitor", "healthMonitor")),
                    ("DELETE", lb + "/healthmonitor", self._write("delete_health_monitor")),
                    ("GET", lb + "/sessionpersistence", self._read("show_session_persistence")),
                    ("PUT", lb + "/sessionpersistence", self._persistence),
                    ("DELETE", lb + "/sessionpersistence", self._write("delete_session_persistence")),
                    ("GET", lb + "/connectionthrottle", self._read("show_connection_throttle")),
                    (
                        "PUT",
                        lb + "/connectionthrottle",
                        self._write("update_connection_throttle", "connectionThrottle"),
                    ),
                    ("DELETE", lb + "/connectionthrottle", self._write("delete_connection_throttle")),
                ],
            ),
            (
                "servers",
                [
                    ("GET", r"/servers", lambda rq: self._server_list(rq, detail=False)),
                    ("GET", r"/servers/detail", lambda rq: self._server_list(rq, detail=True)),
                    ("POST", r"/servers", self._server_create),
                    ("GET", server, lambda rq, key: self._nova(rq, "show_server", key, base_url=rq.root)),
                    ("DELETE", server, lambda rq, key: self._nova(rq, "delete_server", key, code=204)),
                    ("POST", server + "/action", self._server_action),
                    ("GET", server + "/metadata", lambda rq, key: self._nova(rq, "server_metadata", key)),
                    (
                        "POST",
                        server + "/metadata",
                        lambda rq, key: self._metadata(rq, "merge_server_metadata", key),
                    ),
                    (
                        "PUT",
                        server + "/metadata",
                        lambda rq, key: self._metadata(rq, "replace_server_metadata", key),
                    ),
                    (
                        "GET",
                        server + r"/metadata/([^/]+)",
                        lambda rq, key, item: self._nova(rq, "server_metadata_item", key, item),
                    ),
                    (
                        "PUT",
                        server + r"/metadata/([^/]+)",
                        lambda rq, key, item: self._nova(
                            rq, "set_server_metadata_item", key, item, _nova_body(rq).get("meta")
                        ),
                    ),
                    (
                        "DELETE",
                        server + r"/metadata/([^/]+)",
                        lambda rq, key, item: self._nova(
                            rq, "delete_server_metadata_item", key, item, code=204
                        ),
                    ),
                    (
                        "GET",
                        server + "/os-volume_attachments",
                        lambda rq, key: self._nova(rq, "list_volume_attachments", key),
                    ),
                    ("GET", r"/flavors", lambda rq: self._nova(rq, "list_flavors", detail=False)),
                    ("GET", r"/flavors/detail", lambda rq: self._nova(rq, "list_flavors")),
                    ("GET", r"/flavors/([^/]+)", lambda rq, key: self._nova(rq, "show_flavor", key)),
                    ("GET", r"/images", lambda rq: self._image_list(rq, detail=False)),
                    ("GET", r"/images/detail", lambda rq: self._image_list(rq, detail=True)),
                    ("GET", r"/images/([^/]+)", lambda rq, key: self._nova(rq, "show_image", key)),
                    (
                        "DELETE",
                        r"/images/([^/]+)",
                        lambda rq, key: self._nova(rq, "delete_image", key, code=204),
                    ),
                    ("GET", r"/limits", lambda rq: self._nova(rq, "compute_limits")),
                ],
            ),
            (
                "monitoring",
                [
                    ("GET", r"/views/overview", self._overview),
                    ("GET", r"/entities/([^/]+)/checks/([^/]+)/metrics", self._metric_names),
                    ("GET", r"/entities/([^/]+)/checks/([^/]+)/metrics/(.+)/plot", self._plot),
                ],
            ),
            (
                "open",
                [
                    ("POST", r"/v2\.0/tokens", self._authenticate),
                    ("DELETE", r"/v2\.0/tokens", self._revoke),
                    ("DELETE", r"/v2\.0/tokens/([^/]+)", self._revoke),
                    ("GET", r"/site/(\d+)/?.*", self._site),
                    ("GET", r"/\.well-known/steady-state\.txt", self._published),
                    ("GET", r"/vip/(\d+)/metrics", self._metrics),
                    ("GET", r"/servers-net/([^/]+)/stub_status", self._status),
                    ("GET", r"/servers-net/([^/]+)/?", self._health),
                ],
            ),
        ]

    def _authenticate(self, request: Request) -> Reply:
        try:
            body = json.loads(request.body)
        except ValueError:
            raise bad_request("Invalid json request body") from None
        endpoints = request.one("include_endpoints") != "false"
        world = self.world
        return Reply(
            200,
            self._call(request, world.authenticate, body, base_url=request.base, include_endpoints=endpoints),
        )

    def _revoke(self, request: Request, token_id: str | None = None) -> Reply:
        if self.world.token_user(request.headers.get("x-auth-token")) is None:
            raise self.world.unauthorized("identity")
        self._call(request, self.world.revoke_token, token_id or request.headers["x-auth-token"])
        return Reply(204)

    # load balancers

    def _read(self, name: str) -> Handler:
        def read(request: Request, *ids: int) -> Reply:
            return Reply(200, self._call(request, getattr(self.world, name), *ids, tenant=request.scope))

        return read

    def _write(self, name: str, root: str | None = None) -> Handler:
        def write(request: Request, *ids: int) -> Reply:
            parts = [] if root is None else [_clb_body(request, root)]
            return Reply(
                202, self._call(request, getattr(self.world, name), *ids, *parts, tenant=request.scope)
            )

        return write

    def _lb_list(self, request: Request) -> Reply:
        if _wants_atom(request):
            return self._all_feed(request)
        body = self._call(
            request,
            self.world.list_load_balancers,
            tenant=request.scope,
            node_address=request.one("nodeaddress"),
            name=request.one("name"),
            status=request.one("status"),
            changes_since=request.time("changes-since"),
            limit=request.number("limit"),
            marker=request.number("marker"),
            offset=request.number("offset"),
        )
        return Reply(200, body)

    def _node_list(self, request: Request, lb_id: int) -> Reply:
        if _wants_atom(request):
            return self._nodes_feed(request, lb_id)
        limit, marker = request.number("limit"), request.number("marker")
        body = self._call(
            request, self.world.list_nodes, lb_id, tenant=request.scope, limit=limit, marker=marker
        )
        return Reply(200, body)

    def _node_show(self, request: Request, lb_id: int, node_id: int) -> Reply:
        if _wants_atom(request):
            return self._nodes_feed(request, lb_id, node_id)
        return Reply(200, self._call(request, self.world.show_node, lb_id, node_id, tenant=request.scope))

    def _delete_nodes(self, request: Request, lb_id: int) -> Reply:
        texts = request.query.get("id", [])
        if not all(text.isdigit() for text in texts):
            raise clb_error(400, "Must supply one or more id's to process this request.")
        node_ids = [int(text) for text in texts]
        return Reply(202, self._call(request, self.world.delete_nodes, lb_id, node_ids, tenant=request.scope))

    def _events(self, request: Request, lb_id: int) -> Reply:
        body = self._call(
            request,
            self.world.node_events,
            lb_id,
            tenant=request.scope,
            limit=request.number("limit"),
            offset=request.number("offset"),
            marker=request.number("marker"),
        )
        for link in body["links"]:
            link["href"] = request.base + request.path + link["href"]
        return Reply(200, body)

    def _persistence(self, request: Request, lb_id: int) -> Reply:
        body = _clb_body(request, "sessionPersistence")
        if not isinstance(body, dict) or list(body) != ["persistenceType"]:
            raise clb_schema()
        kind = body["persistenceType"]
        return Reply(
            202, self._call(request, self.world.update_session_persistence, lb_id, kind, tenant=request.scope)
        )

    def _nodes_feed(self, request: Request, lb_id: int, node_id: int | None = None) -> Reply:
        page = request.number("page") or 1
        found = self._call(request, self.world.node_feed, lb_id, node_id, page=page, tenant=request.scope)
        return self._atom(request, page, *found)

    def _lb_feed(self, request: Request, lb_id: int) -> Reply:
        page = request.number("page") or 1
        found = self._call(request, self.world.load_balancer_feed, lb_id, page=page, tenant=request.scope)
        return self._atom(request, page, *found)

    def _all_feed(self, request: Request) -> Reply:
        page = request.number("page") or 1
        found = self._call(request, self.world.load_balancer_feed, None, page=page, tenant=request.scope)
        return self._atom(request, page, *found)

    def _atom(self, request: Request, page: int, entries: Any, more: bool) -> Reply:
        url = request.base + request.path
        text = atom.render(entries, url, page + 1 if more else None, self.world.stamp)
        return Reply(200, text, media_type="application/atom+xml")

    # servers

    def _nova(self, request: Request, operation: str, /, *args: Any, code: int = 200, **kwargs: Any) -> Reply:
        return Reply(
            code, self._call(request, getattr(self.world, operation), *args, tenant=request.scope, **kwargs)
        )

    def _server_list(self, request: Request, *, detail: bool) -> Reply:
        return self._nova(
            request,
            "list_servers",
            detail=detail,
            name=request.one("name"),
            status=request.one("status"),
            image=request.one("image"),
            flavor=request.one("flavor"),
            changes_since=request.time("changes-since"),
            limit=request.number("limit"),
            marker=request.one("marker"),
            base_url=request.root,
        )

    def _image_list(self, request: Request, *, detail: bool) -> Reply:
        return self._nova(
            request,
            "list_images",
            detail=detail,
            limit=request.number("limit"),
            marker=request.one("marker"),
            base_url=request.root,
        )

    def _server_create(self, request: Request) -> Reply:
        body = _nova_body(request).get("server")
        return self._nova(request, "create_server", body, code=202, base_url=request.root)

    def _server_action(self, request: Request, server_id: str) -> Reply:
        action = _nova_body(request)
        world = self.world
        url = self._call(
            request, world.server_action, server_id, action, tenant=request.scope, base_url=request.root
        )
        return Reply(202, None, {} if url is None else {"Location": url})

    def _metadata(self, request: Request, name: str, server_id: str) -> Reply:
        return self._nova(request, name, server_id, _nova_body(request).get("metadata"))

    # monitoring

    def _overview(self, request: Request) -> Reply:
        return self._nova(
            request,
            "monitoring_overview",
            base_url=request.root,
            limit=request.number("limit"),
            marker=request.one("marker"),
        )

    def _metric_names(self, request: Request, entity_id: str, check_id: str) -> Reply:
        return self._nova(
            request,
            "monitoring_metrics",
            entity_id,
            check_id,
            limit=request.number("limit"),
            marker=request.one("marker"),
        )

    def _plot(self, request: Request, entity_id: str, check_id: str, metric: str) -> Reply:
        begins, ends = request.number("from"), request.number("to")
        if begins is None or ends is None:
            raise monitoring_error(400, "badRequest", "Both from and to are required")
        return self._nova(
            request,
            "monitoring_plot",
            entity_id,
            check_id,
            metric,
            begins_ms=begins,
            ends_ms=ends,
            resolution=request.one("resolution"),
            points=request.number("points"),
            limit=request.number("limit"),
            marker=request.one("marker"),
        )

    # the customer's site and servers

    def _site(self, request: Request, lb_id: str) -> Reply:
        answer = self._call(request, self.world.site_probe, int(lb_id))
        request.latency_s = answer.latency_s
        headers = {"Cache-Control": "no-store"}
        if answer.served_by is not None:
            headers["X-Served-By"] = answer.served_by
        text = "Welcome to the shop.\n" if answer.status == HTTPStatus.OK else "Service Unavailable\n"
        return Reply(answer.status, text, headers, "text/plain; charset=utf-8")

    def _published(self, request: Request) -> Reply:
        """Return what the host's owner published there, a line for each proof."""
        if not self.published:
            raise ProviderError(404, "Not Found\n")
        text = "".join(f"{one}\n" for one in self.published)
        return Reply(200, text, {"Cache-Control": "no-store"}, "text/plain; charset=utf-8")

    def _metrics(self, request: Request, lb_id: str) -> Reply:
        figures = self._call(request, self.world.member_metrics, int(lb_id))
        return Reply(200, figures.text(), {"Cache-Control": "no-store"}, "text/plain; version=0.0.4")

    def _status(self, request: Request, address: str) -> Reply:
        figures = self._call(request, self.world.stub_status, address)
        return Reply(200, figures.text(), {"Cache-Control": "no-store"}, "text/plain")

    def _health(self, request: Request, address: str) -> Reply:
        answer = self._call(request, self.world.server_health, address)
        request.latency_s = answer.latency_s
        text = "Welcome to the shop.\n" if answer.status == HTTPStatus.OK else "Service Unavailable\n"
        return Reply(
            answer.status, text, {"X-Served-By": answer.served_by or ""}, "text/plain; charset=utf-8"
        )

    # --- control plane ------------------------------------------------------------------------------------------

    def _control(self, request: Request) -> Reply:
        given = request.headers.get(CONTROL_HEADER, "")
        if not self.control_token or not hmac.compare_digest(given.encode(), self.control_token.encode()):
            raise ProviderError(404, "Not Found\n")
        try:
            body: Json = json.loads(request.body) if request.body else {}
            if not isinstance(body, dict):
                raise ValueError("The body must be a JSON object.")
            return self._controlled(request, body)
        except (ValueError, TypeError, KeyError) as problem:
            return Reply(400, {"message": str(problem)})

    def _controlled(self, request: Request, body: Json) -> Reply:
        world = self.world
        match request.method, request.path.removeprefix("/_sim/").split("/"):
            case "GET", ["clock"]:
                return Reply(200, {"now_s": world.now, "time": world.time_at(world.now).isoformat()})
            case "POST", ["clock", "tick"]:
                return self._tick(float(body["seconds"]))
            case "POST", ["scenario"]:
                self._scenario(str(body["name"]), int(body.get("seed", world.seed)))
                return Reply(200, self.overview())
            case "GET", ["world"]:
                return Reply(200, self.overview())
            case "GET", ["faults"]:
                return Reply(200, {"faults": world.faults.state()})
            case "POST", ["faults"]:
                return Reply(201, asdict(world.add_fault(body.pop("kind"), body.pop("route", "*"), **body)))
            case "DELETE", ["faults"]:
                world.faults.remove()
                return Reply(204)
            case "DELETE", ["faults", number]:
                world.faults.remove(int(number))
                return Reply(204)
            case "POST", ["hands"]:
                return Reply(200, {"result": Hands(world).do(body.pop("do"), **body)})
            case "POST", ["published"]:
                # Whoever owns the site puts a line into its file; a line that is there stays once.
                self.published = [*dict.fromkeys((*self.published, str(body["line"])))][-20:]
                return Reply(201, {"published": self.published})
            case "GET", ["truth"]:
                return Reply(200, world.truth.summary(request.number("floor")))
            case "GET", ["truth", "log"]:
                return Reply(200, {"log": [asdict(entry) for entry in world.truth.log]})
            case "PATCH", ["settings"]:
                for name, item in body.items():
                    if not hasattr(world.settings, name):
                        raise ValueError(f"There is no setting {name!r}.")
                    if name == "speed":
                        world.set_speed(float(item))
                    else:
                        setattr(world.settings, name, item)
                world.version += 1
                return Reply(200, asdict(world.settings))
        raise ProviderError(404, "Not Found\n")

    def _tick(self, seconds: float) -> Reply:
        if not isinstance(self.clock, VirtualClock):
            return Reply(409, {"message": "This simulator runs on real time; its clock cannot be moved."})
        self.clock.tick(seconds)
        self.catch_up()
        return Reply(200, {"now_s": self.world.now})

    def _scenario(self, name: str, seed: int) -> None:
        old = self.world
        fresh = World(seed, start=old.time_at(old.now), settings=old.settings)
        scenarios.apply(fresh, name)
        fresh.version = old.version + 1
        self.world = fresh
        self._shift_s = self.clock.now()

    def overview(self) -> Json:
        """What exists, with the hidden counts: ids by name, for tests and demos."""
        world = self.world
        return {
            "scenario": world.scenario,
            "now_s": world.now,
            "speed": world.settings.speed,
            "load_balancers": [
                {
                    "id": lb.lb_id,
                    "tenant": lb.tenant,
                    "name": lb.name,
                    "status": lb.status,
                    "demand_rps": world.demand_rps(lb),
                    "serving": len(world.serving_servers(lb)),
                    "nodes": [
                        {
                            "id": node.node_id,
                            "address": node.address,
                            "server_id": world._address.get(node.address),
                            "condition": node.condition,
                            "status": node.status,
                            "visitors": world.visitors(lb, node),
                            "idle": world.idle(lb, node),
                            "requests_per_s": world.node_rps(lb, node),
                            "load": world.machine_load(world.machine_key(node)),
                        }
                        for node in lb.nodes
                    ],
                }
                for lb in world.balancers.values()
            ],
            "servers": [
                {
                    "id": s.server_id,
                    "tenant": s.tenant,
                    "name": s.name,
                    "status": s.status,
                    "address": s.private_ip,
                }
                for s in world.servers.values()
            ],
        }


def create_app(
    world: World,
    clock: Clock,
    *,
    control_token: str | None = None,
    on_change: Callable[[World], None] | None = None,
    abort: Callable[[Send], None] | None = None,
) -> Simulator:
    """Return the ASGI application.

    `control_token` opens `/_sim/` to requests that carry it in the header `X-Simulator-Token`; without one it is off.
    `on_change` gets the world before the answer to anything that changed it. `abort` breaks the connection behind a
    `send`; without it a lost answer leaves the application as AnswerLost, which `SimulatorTransport` understands.
    """
    return Simulator(world, clock, control_token=control_token, on_change=on_change, abort=abort)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _read(scope: Scope, receive: Receive) -> Request:
    body, more = b"", True
    while more and len(body) <= BODY_LIMIT:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = {name.decode("latin-1").lower(): item.decode("latin-1") for name, item in scope["headers"]}
    host = headers.get("host", "simulator")
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    return Request(
        scope["method"], scope["path"], query, headers, body, f"{scope.get('scheme', 'http')}://{host}"
    )


def _wants_atom(request: Request) -> bool:
    return request.headers.get("accept", "").split(",")[0].strip().startswith("application/atom+xml")


def _clb_body(request: Request, root: str) -> Any:
    try:
        body = json.loads(request.body)
    except ValueError:
        raise clb_schema() from None
    if not isinstance(body, dict) or list(body) != [root]:
        raise clb_schema()
    return body[root]


def _nova_body(request: Request) -> Json:
    try:
        body = json.loads(request.body)
    except ValueError:
        raise bad_request("Malformed request body") from None
    if not isinstance(body, dict):
        raise bad_request("Malformed request body")
    return body


__all__ = ["CONTROL_HEADER", "Simulator", "create_app", "service_of"]
