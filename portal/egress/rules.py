"""What may be asked of the network: the form of a URL, its host and port, and every address that its name gives.

Private, loopback, link-local, metadata, multicast and reserved addresses are refused unless the operator opened them: with
`EGRESS_ALLOW` (exact host:port) and `EGRESS_ALLOW_NETWORKS` (CIDR) for everybody, or for one account, whose networks a
caller hands over with each request (`rules_from_settings(networks)`, `fetch(…, rules=…)`).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn

import httpx

from portal.errors import Refused

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_URL_LENGTH = 2000

# Where clouds hand out credentials to whoever asks from inside. An opened network never opens these.
METADATA_ADDRESSES: frozenset[IPAddress] = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd20:ce::254",
    )
)
# The names by which the same are known inside; to the outside most resolve to nothing.
METADATA_NAMES = frozenset({"metadata", "instance-data", "metadata.google.internal", "metadata.goog"})
# Beside what `ipaddress` calls not global: ranges whose judgement changed between Python's patch releases.
_NEVER_GLOBAL: tuple[IPNetwork, ...] = tuple(
    ipaddress.ip_network(text)
    for text in [
        "0.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "240.0.0.0/4",
        "::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "5f00::/16",
        "fec0::/10",
    ]
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Below 1024 only the web's own ports; above it not those of databases, caches and control sockets.
_LOW_PORTS = frozenset({80, 443})
_CLOSED_PORTS = frozenset(
    {
        1433,
        1521,
        2049,
        2375,
        2376,
        2379,
        2380,
        3306,
        3389,
        5432,
        5672,
        5900,
        6000,
        6379,
        6443,
        9092,
        9200,
        9300,
    }
    | {10250, 10255, 11211, 25672, 26379, 27017}
)
_NUMERIC_HOST = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]*))*\.?", re.IGNORECASE)
_UNFIT_IN_URL = re.compile(r"[\x00-\x20\x7f\\]")


@dataclass(frozen=True)
class Rules:
    """What the operator opened: exact `host:port` texts in lower case, and networks."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[IPNetwork, ...] = ()

    def opens(self, host: str, port: int) -> bool:
        """Whether exactly this host and port was opened by name."""
        return _host_port(host, port) in self.hosts


@dataclass(frozen=True)
class Target:
    """A URL that passed the check of its form. `host` is as the connection will use it."""

    url: httpx.URL
    host: str
    port: int


def rules_from_settings(networks: Iterable[str] = ()) -> Rules:
    """Return what `EGRESS_ALLOW` and `EGRESS_ALLOW_NETWORKS` open, and the `networks` of whose address it is.

    Raises ValueError for a malformed network.
    """
    from django.conf import settings

    return make_rules(tuple(settings.EGRESS_ALLOW), (*settings.EGRESS_ALLOW_NETWORKS, *networks))


def public_rules() -> Rules:
    """Return rules that open no network at all, only what a desk opened by name: for what is posted to strangers."""
    from django.conf import settings

    return make_rules(tuple(settings.EGRESS_ALLOW))


@lru_cache(maxsize=256)
def make_rules(hosts: tuple[str, ...], networks: tuple[str, ...] = ()) -> Rules:
    """Return rules from their texts, e.g. `("localhost:8080",), ("10.0.0.0/8",)`."""
    return Rules(
        hosts=frozenset(host.strip().lower() for host in hosts if host.strip()),
        networks=tuple(ipaddress.ip_network(text.strip()) for text in networks if text.strip()),
    )


def check_url(url: str, *, allow: Iterable[str] = (), rules: Rules | None = None) -> Target:
    """Return the target of a URL that may be asked, judged without asking the network: for forms.

    `allow` names further `host:port` texts. A name is judged again, by its addresses, when it is used.
    Raises Refused with a sentence.
    """
    return _checked(url, with_more(rules if rules is not None else rules_from_settings(), allow))


@lru_cache(maxsize=1024)
def _checked(url: str, rules: Rules) -> Target:
    # The same few addresses are asked again and again, and of one text the same is always true.
    if len(url) > MAX_URL_LENGTH or _UNFIT_IN_URL.search(url):
        raise Refused(
            "This address is too long or holds spaces, backslashes or control characters. "
            "Enter it as http://host/path or https://host/path.",
            code="bad_url",
        )
    try:
        parsed = httpx.URL(url)
        _ = (
            parsed.host
        )  # its international form is read only now, and again when it is asked: it must have one
    except (httpx.InvalidURL, UnicodeError, ValueError):
        raise Refused("This is no web address. Enter it as http://host/path.", code="bad_url") from None
    if parsed.scheme not in {"http", "https"}:
        raise Refused("Only addresses that begin with http:// or https:// are asked.", code="bad_scheme")
    if parsed.userinfo:
        raise Refused("An address may not hold a user name or password.", code="userinfo")
    host = parsed.raw_host.decode("ascii", errors="replace").lower()
    if not host:
        raise Refused("This address names no host. Enter it as http://host/path.", code="bad_url")
    port = parsed.port or (443 if parsed.scheme == "https" else 80)
    check_host(host, port, rules)
    return Target(url=parsed, host=host, port=port)


def check_host(host: str, port: int, rules: Rules) -> None:
    if rules.opens(host, port):
        return
    if (port < 1024 and port not in _LOW_PORTS) or port in _CLOSED_PORTS or port > 65535:
        raise Refused(
            f"Port {port} is not one that the portal asks. Use 80, 443 or a web port from 1024 on, "
            "or ask the operator to open this host and port.",
            code="closed_port",
        )
    if host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost"):
        _refuse_closed("the portal's own machine")
    if host.rstrip(".") in METADATA_NAMES or host.rstrip(".").endswith(".metadata.google.internal"):
        _refuse_closed("a cloud's metadata service")
    address = literal(host)
    if address is None and _NUMERIC_HOST.fullmatch(host):
        raise Refused(
            "This host is a number in an unusual form. Write the address as four decimal numbers.",
            code="odd_address",
        )
    if address is not None:
        check_address(address, rules)


def check_address(address: IPAddress, rules: Rules) -> None:
    kind = why_closed(address, rules)
    if kind:
        _refuse_closed(kind)


def _refuse_closed(kind: str) -> NoReturn:
    raise Refused(
        f"This address leads to {kind}, which the portal does not ask. "
        "If it is meant, the operator can open the network for the account.",
        code="closed_address",
    )


def why_closed(address: IPAddress, rules: Rules) -> str | None:
    """Return what an address is that keeps it closed, as words for a sentence; None if it may be asked."""
    inner = embedded(address)
    if inner is not None:
        # An address inside an address is judged as the one at which the packet arrives.
        return why_closed(inner, rules)
    plain = _without_scope(address)
    if plain in METADATA_ADDRESSES:
        return "a cloud's metadata service"
    if any(plain in network for network in rules.networks if network.version == plain.version):
        return None
    if plain.is_loopback:
        return "the portal's own machine"
    if plain.is_link_local:
        return "a link-local address"
    if plain.is_multicast:
        return "a multicast address"
    if plain.is_unspecified or any(
        plain in network for network in _NEVER_GLOBAL if network.version == plain.version
    ):
        return "a reserved address"
    if plain.is_private:
        return "a private network"
    if plain.is_reserved or not plain.is_global:
        return "a reserved address"
    return None


def embedded(address: IPAddress) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address at which a packet to this IPv6 address ends, if it is one of those."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _without_scope(address: IPAddress) -> IPAddress:
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return ipaddress.IPv6Address(int(address))
    return address


def literal(host: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _host_port(host: str, port: int) -> str:
    bare = host.strip("[]").lower()
    return f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"


def with_more(rules: Rules, allow: Iterable[str]) -> Rules:
    more = frozenset(text.strip().lower() for text in allow)
    return Rules(rules.hosts | more, rules.networks) if more else rules
