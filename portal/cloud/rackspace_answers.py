"""What Rackspace's APIs answer, as our values. Pure: text in, frozen values out.

Whatever cannot be understood raises `Unreadable`; nothing is guessed, and a part is never returned for the
whole. Source: provider reference, sections 1.2 (catalog), 2.1 to 2.6 (balancers), 3.1 and 3.2 (servers).
"""

from __future__ import annotations

import email.utils
import ipaddress
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree

from portal.cloud.types import (
    Balancer,
    BalancerRef,
    BalancerStats,
    BalancerStatus,
    Condition,
    FeedEntry,
    Image,
    Node,
    NodeStatus,
    NodeType,
    Server,
)
from portal.texts import made_sound_deep

_ATOM = "{http://www.w3.org/2005/Atom}"
DEFAULT_BALANCER_TIMEOUT_S = 30  # provider reference, 2.1
DEFAULT_ALGORITHM = "RANDOM"  # provider reference, 2.7


class Unreadable(ValueError):
    """An answer that is cut off, no JSON, or lacks what it must have. The text names the lack, not the data."""


class WrongTenant(Exception):
    """The provider logged in to another account than the one that was asked for."""


@dataclass(frozen=True)
class Session:
    """A log-in: token, when it ends, where the services are, and what the user's roles are called.

    `elsewhere` is where the load balancers of each other region are, which a search for an address covers too.
    """

    token: str = field(repr=False)
    expires_at: datetime
    endpoints: Mapping[str, str]
    roles: tuple[str, ...] = ()
    default_region: str | None = None
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def to_text(self) -> str:
        """Return the session as text for an encrypted cache."""
        return json.dumps(
            {
                "token": self.token,
                "expires_at": self.expires_at.isoformat(),
                "endpoints": dict(self.endpoints),
                "roles": list(self.roles),
                "default_region": self.default_region,
                "elsewhere": dict(self.elsewhere),
            }
        )

    @classmethod
    def from_text(cls, text: str) -> Session:
        """Return the session that `to_text` wrote. Raises Unreadable."""
        data = json_object(text.encode())
        endpoints = need(data, "endpoints", dict)
        elsewhere = need(data, "elsewhere", dict)
        return cls(
            token=need(data, "token", str),
            expires_at=parse_time(need(data, "expires_at", str)),
            endpoints={str(name): str(url) for name, url in endpoints.items()},
            roles=tuple(str(role) for role in need(data, "roles", list)),
            default_region=_optional_text(data, "default_region"),
            elsewhere={str(region): str(url) for region, url in elsewhere.items()},
        )


@dataclass(frozen=True)
class RateLimit:
    """One line of a service's limits: how many calls of a verb in which unit of time."""

    verb: str
    uri: str
    value: int
    remaining: int | None
    unit: str


# --- common ---


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`. Raises Unreadable."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise Unreadable("no JSON") from None
    if not isinstance(data, dict):
        raise Unreadable("no JSON object")
    if body.isascii() and b"\\" not in body and b"\0" not in body:
        # Nothing unsound can be spelt so (with nulls it would be UTF-16): most answers, ten times as fast.
        return data
    # Names of servers are typed by somebody there, and stand in journals here.
    return cast(dict[str, Any], made_sound_deep(data))


def parse_time(text: str) -> datetime:
    """Return an aware UTC time from ISO 8601 with `Z`, an offset, or neither (then UTC). Raises Unreadable."""
    try:
        value = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Unreadable("no time") from None
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)


def parse_retry_after(text: str, now: datetime) -> float | None:
    """Return the seconds from `now` that a Retry-After means; None if it cannot be understood.

    Accepts seconds, an HTTP date and ISO 8601: the provider's format is not confirmed (reference, 2.9).
    """
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", text):
        return float(text)
    try:
        when = parse_time(text)
    except Unreadable:
        try:
            when = email.utils.parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError):
            return None
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())


def need(data: Mapping[str, Any], key: str, kind: type) -> Any:
    """Return what stands at `key`, of that type. Raises Unreadable."""
    value = data.get(key)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Unreadable(f"no {key}")
    return value


def need_id(data: Mapping[str, Any]) -> str:
    """Return the id of a thing as text. Raises Unreadable."""
    value = data.get("id")
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise Unreadable("no id")
    return str(value)


def _optional_text(data: Mapping[str, Any], key: str) -> str | None:
    value = data.get(key)
    return value if isinstance(value, str) and value else None


def objects(values: Sequence[Any], what: str) -> list[dict[str, Any]]:
    """Return a list in which everything is an object. Raises Unreadable, naming `what` is lacking."""
    if not all(isinstance(value, dict) for value in values):
        raise Unreadable(f"no {what}")
    return list(values)


@lru_cache(maxsize=4096)
def parse_address(text: str) -> str:
    """Return an IP address in its one short spelling, so that two of them can be compared as text.

    What is no IP address (a host name) comes back in lower case.
    """
    text = text.strip()
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text.lower()
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


# --- identity ---


def parse_session(
    body: bytes, *, region: str, tenant: str, services: Sequence[str], everywhere: str = ""
) -> Session:
    """Return the session of a log-in answer, with the endpoints of `services` in `region`, and those of the
    service `everywhere` in each other region.

    Services are found by name, since an old service can share a type (reference, 1.2); a service without an
    endpoint in the region is left out. Raises Unreadable, and WrongTenant for another account's token.
    """
    access = need(json_object(body), "access", dict)
    token = need(access, "token", dict)
    owner = token.get("tenant")
    if isinstance(owner, dict) and str(owner.get("id", tenant)) != tenant:
        raise WrongTenant
    endpoints: dict[str, str] = {}
    elsewhere: dict[str, str] = {}
    for service in objects(need(access, "serviceCatalog", list), "catalog"):
        name = service.get("name")
        if name not in services:
            continue
        offered = objects(need(service, "endpoints", list), "endpoints")
        # Endpoints without a region exist (reference, 1.2); they serve where no other is named.
        for wanted in (region, None):
            urls = [endpoint.get("publicURL") for endpoint in offered if endpoint.get("region") == wanted]
            if urls and isinstance(urls[0], str):
                endpoints[str(name)] = urls[0].rstrip("/")
                break
        for endpoint in offered if name == everywhere else ():
            other = endpoint.get("region")
            if isinstance(other, str) and other != region:
                # One that cannot be asked stays in, so that no search passes it over unseen.
                url = endpoint.get("publicURL")
                elsewhere[other] = url.rstrip("/") if isinstance(url, str) else ""
    user = access.get("user")
    roles = user.get("roles", []) if isinstance(user, dict) else []
    return Session(
        token=need(token, "id", str),
        expires_at=parse_time(need(token, "expires", str)),
        endpoints=endpoints,
        roles=tuple(
            str(role["name"])
            for role in roles
            if isinstance(role, dict) and isinstance(role.get("name"), str)
        ),
        default_region=_optional_text(user, "RAX-AUTH:defaultRegion") if isinstance(user, dict) else None,
        elsewhere=elsewhere,
    )


def regions_of(body: bytes, service: str) -> tuple[str, ...]:
    """Return the regions in which a log-in answer offers a service, for a sentence to a person."""
    access = json_object(body).get("access")
    catalog = access.get("serviceCatalog") if isinstance(access, dict) else None
    found: set[str] = set()
    for entry in catalog if isinstance(catalog, list) else []:
        if isinstance(entry, dict) and entry.get("name") == service:
            for endpoint in entry.get("endpoints") or []:
                if isinstance(endpoint, dict) and isinstance(endpoint.get("region"), str):
                    found.add(endpoint["region"])
    return tuple(sorted(found))


# --- load balancers ---


def _balancer_status(data: Mapping[str, Any]) -> BalancerStatus:
    word = need(data, "status", str).replace("-", "_")
    return BalancerStatus(word) if word in BalancerStatus.__members__ else BalancerStatus.UNKNOWN


def parse_balancer_refs(body: bytes) -> tuple[BalancerRef, ...]:
    """Return one page of load balancers in the provider's order, deleted ones too. Raises Unreadable."""
    entries = objects(need(json_object(body), "loadBalancers", list), "load balancer")
    return tuple(
        BalancerRef(id=need_id(entry), name=str(entry.get("name") or ""), status=_balancer_status(entry))
        for entry in entries
    )


def parse_node(data: Mapping[str, Any]) -> Node:
    """Return one node. A condition that we do not know is Unreadable: it must not be taken for another."""
    condition = need(data, "condition", str)
    if condition not in Condition.__members__:
        raise Unreadable("an unknown condition")
    status = str(data.get("status"))
    kind = data.get("type", NodeType.PRIMARY.value)
    if kind not in NodeType.__members__:
        raise Unreadable("an unknown node type")
    weight = data.get("weight")
    return Node(
        id=need_id(data),
        address=parse_address(need(data, "address", str)),
        port=need(data, "port", int),
        condition=Condition(condition),
        status=NodeStatus(status) if status in NodeStatus.__members__ else NodeStatus.UNKNOWN,
        type=NodeType(kind),
        weight=weight if isinstance(weight, int) and not isinstance(weight, bool) else None,
    )


def parse_nodes(body: bytes) -> tuple[Node, ...]:
    """Return a node list, or the nodes that an add answered with. Raises Unreadable."""
    return tuple(parse_node(node) for node in objects(need(json_object(body), "nodes", list), "node"))


def parse_balancer(body: bytes, balancer_id: str) -> Balancer | None:
    """Return the balancer with all its nodes; None where its status is DELETED. Raises Unreadable.

    `nodes` may be absent only where no node is counted (reference, 2.1).
    """
    data = need(json_object(body), "loadBalancer", dict)
    if need_id(data) != balancer_id:
        raise Unreadable("another load balancer")
    status = _balancer_status(data)
    if status is BalancerStatus.DELETED:
        return None
    nodes = data.get("nodes")
    if nodes is None:
        if data.get("nodeCount"):
            raise Unreadable("no nodes")
        nodes = []
    if not isinstance(nodes, list):
        raise Unreadable("no nodes")
    persistence = data.get("sessionPersistence")
    throttle = data.get("connectionThrottle")
    most = throttle.get("maxConnections") if isinstance(throttle, dict) else None
    timeout = data.get("timeout")
    addresses = [
        parse_address(entry["address"])
        for entry in data.get("virtualIps") or []
        if isinstance(entry, dict) and isinstance(entry.get("address"), str)
    ]
    return Balancer(
        id=balancer_id,
        name=str(data.get("name") or ""),
        status=status,
        protocol=need(data, "protocol", str),
        port=need(data, "port", int),
        algorithm=_optional_text(data, "algorithm") or DEFAULT_ALGORITHM,
        timeout_s=timeout if isinstance(timeout, int) and timeout > 0 else DEFAULT_BALANCER_TIMEOUT_S,
        virtual_ips=tuple(addresses),
        nodes=tuple(parse_node(node) for node in objects(nodes, "node")),
        has_health_monitor=bool(data.get("healthMonitor")),
        session_persistence=_optional_text(persistence, "persistenceType")
        if isinstance(persistence, dict)
        else None,
        # 0 is no limit (reference, 2.7).
        most_per_address=most if isinstance(most, int) and most > 0 else None,
    )


def parse_stats(body: bytes) -> BalancerStats | None:
    """Return a balancer's figures; None where it reports no current count. `*Ssl` may be absent or null."""
    data = json_object(body)
    current = data.get("currentConn")
    if not isinstance(current, int):
        return None

    def total(name: str) -> int:
        values = (data.get(name), data.get(f"{name}Ssl"))
        return sum(value for value in values if isinstance(value, int))

    return BalancerStats(
        current_connections=total("currentConn"),
        connect_failures=total("connectFailure"),
        connect_timeouts=total("connectTimeOut"),
    )


def parse_feed(body: bytes) -> tuple[FeedEntry, ...]:
    """Return the entries of an Atom page, newest first as the provider sends them. Raises Unreadable."""
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        # A feed has no document type; one that has could blow up the parser.
        raise Unreadable("no plain feed")
    try:
        root = ElementTree.fromstring(body)  # noqa: S314  (entities are refused above)
    except ElementTree.ParseError:
        raise Unreadable("no XML") from None
    if root.tag != f"{_ATOM}feed":
        raise Unreadable("no feed")
    entries = []
    for entry in root.iter(f"{_ATOM}entry"):
        category = entry.find(f"{_ATOM}category")
        entries.append(
            FeedEntry(
                at=parse_time(entry.findtext(f"{_ATOM}updated") or ""),
                kind=category.get("term", "") if category is not None else "",
                summary=(entry.findtext(f"{_ATOM}summary") or "").strip(),
            )
        )
    return tuple(entries)


# --- servers ---


def parse_server(data: Mapping[str, Any]) -> Server:
    """Return one server. Raises Unreadable."""
    entries: list[Mapping[str, Any]] = []
    for network in need(data, "addresses", dict).values():
        if not isinstance(network, list):
            raise Unreadable("no addresses")
        entries += objects(network, "address")
    addresses = [parse_address(need(entry, "addr", str)) for entry in entries]
    floats = [entry.get("OS-EXT-IPS:type") == "floating" for entry in entries]  # Nova, extension Extended IPs
    floating = list(itertools.compress(addresses, floats))
    access = (_optional_text(data, key) for key in ("accessIPv4", "accessIPv6"))
    addresses += [parse_address(one) for one in access if one is not None]
    metadata = data.get("metadata")
    locked = data.get("locked")
    return Server(
        id=need(data, "id", str),
        name=str(data.get("name") or ""),
        status=need(data, "status", str),
        task_state=_optional_text(data, "OS-EXT-STS:task_state"),
        created_at=parse_time(need(data, "created", str)),
        host_id=_optional_text(data, "hostId"),
        addresses=tuple(dict.fromkeys(addresses)),
        flavor_id=_nested_id(data.get("flavor")),
        image_id=_nested_id(data.get("image")),
        metadata={str(key): str(value) for key, value in metadata.items()}
        if isinstance(metadata, dict)
        else {},
        is_locked=locked if isinstance(locked, bool) else None,
        floating=tuple(dict.fromkeys(floating)),
    )


def _nested_id(value: Any) -> str | None:
    # A server that boots from a volume has "" for its image (reference, 3.1).
    inner = value.get("id") if isinstance(value, dict) else None
    return str(inner) if inner not in (None, "") else None


def parse_one_server(body: bytes, server_id: str) -> Server:
    """Return the server that was asked for. Raises Unreadable; also where it is another."""
    server = parse_server(need(json_object(body), "server", dict))
    if server.id != server_id:
        raise Unreadable("another server")
    return server


def parse_server_page(body: bytes) -> tuple[tuple[Server, ...], str | None]:
    """Return one page of servers and the query of the next page, if the provider names one."""
    data = json_object(body)
    servers = tuple(parse_server(entry) for entry in objects(need(data, "servers", list), "server"))
    return servers, _next_query(data.get("servers_links"))


def parse_image(data: Mapping[str, Any]) -> Image:
    """Return one image. Raises Unreadable."""
    progress = data.get("progress")
    metadata = data.get("metadata")
    created = _optional_text(data, "created")
    return Image(
        id=need(data, "id", str),
        name=str(data.get("name") or ""),
        status=need(data, "status", str).upper(),
        progress=progress if isinstance(progress, int) and not isinstance(progress, bool) else None,
        created_at=None if created is None else parse_time(created),
        server_id=_nested_id(data.get("server")),
        metadata={str(key): str(value) for key, value in metadata.items()}
        if isinstance(metadata, dict)
        else {},
    )


def parse_one_image(body: bytes, image_id: str) -> Image:
    """Return the image that was asked for. Raises Unreadable; also where it is another."""
    image = parse_image(need(json_object(body), "image", dict))
    if image.id != image_id:
        raise Unreadable("another image")
    return image


def parse_image_page(body: bytes) -> tuple[tuple[Image, ...], str | None]:
    """Return one page of images and the query of the next page, if the provider names one."""
    data = json_object(body)
    images = tuple(parse_image(entry) for entry in objects(need(data, "images", list), "image"))
    return images, _next_query(data.get("images_links"))


def parse_made_server(body: bytes) -> str:
    """Return the id of a server that was just created; its password in the same answer is dropped. Raises Unreadable."""
    return str(need(need(json_object(body), "server", dict), "id", str))


def image_in(location: str | None, body: bytes) -> str | None:
    """Return the id of a new image: from the address that the answer names, or (newer services) from its body."""
    if location:
        found = urlsplit(location).path.rstrip("/").rpartition("/")
        return found[2] if found[0].endswith("/images") and found[2] else None
    try:
        named = json_object(body).get("image_id")
    except Unreadable:
        return None
    return named if isinstance(named, str) and named else None


def _next_query(links: Any) -> str | None:
    for link in links or []:
        if isinstance(link, dict) and link.get("rel") == "next" and isinstance(link.get("href"), str):
            return urlsplit(link["href"]).query
    return None


def marker_of(query: str) -> str | None:
    """Return the marker of a next page's query. Only that is used of the link, never its host or path."""
    return dict(parse_qsl(query)).get("marker")


def parse_volumes(body: bytes) -> tuple[str, ...]:
    """Return ids of attached volumes. Raises Unreadable."""
    entries = objects(need(json_object(body), "volumeAttachments", list), "volume")
    return tuple(str(entry.get("volumeId") or need_id(entry)) for entry in entries)


def parse_limits(body: bytes) -> tuple[RateLimit, ...]:
    """Return the rate limits of a service's `/limits`. Raises Unreadable."""
    found: list[RateLimit] = []
    for rate in objects(need(need(json_object(body), "limits", dict), "rate", list), "limits"):
        for line in objects(need(rate, "limit", list), "limits"):
            remaining = line.get("remaining")
            found.append(
                RateLimit(
                    verb=need(line, "verb", str),
                    uri=str(rate.get("uri") or ""),
                    value=need(line, "value", int),
                    remaining=remaining if isinstance(remaining, int) else None,
                    unit=str(line.get("unit") or ""),
                )
            )
    return tuple(found)
