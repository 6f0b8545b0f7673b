"""How many requests a server has in flight, asked of the server itself.

The provider's balancer reports no count per node, so this is the only *measured* evidence that a drain has
come to its end. Unknown is never zero: whatever is not clearly a count gives None and a sentence.

What is counted are requests, not idle keep-alive connections, and never our own request for the status page.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from capacity.status_url import filled
from portal import egress
from portal.errors import ProviderFailed, Refused, TryLater

Fetch = Callable[..., Awaitable[egress.Response]]

MAX_BODY_BYTES = 64 * 1024
TIMEOUT_S = 5.0
MEASURED = "measured"


class CountKind(StrEnum):
    """Which status page is asked."""

    NGINX_STUB_STATUS = "nginx_stub_status"
    APACHE_STATUS = "apache_status"
    PLAIN_NUMBER = "plain_number"


COUNTED = {
    CountKind.NGINX_STUB_STATUS: "requests in flight (active minus waiting minus our own)",
    CountKind.APACHE_STATUS: "busy workers (without idle keep-alive connections and our own request)",
    CountKind.PLAIN_NUMBER: "the number that the address answers",
}


@dataclass(frozen=True)
class CountSource:
    """Where a server's count is read: the kind of page, and its URL with `{address}` for the server's address.

    `networks` are those that the operator opened for the account whose server it is.
    """

    kind: CountKind
    url_template: str
    timeout_s: float = TIMEOUT_S
    networks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Counted:
    """What a status page says. Both None with a `problem` where it says nothing sure."""

    connections: int | None
    requests_total: int | None = None
    problem: str | None = None


@dataclass(frozen=True)
class CountReading:
    """One reading. `connections` None means unknown, never zero; `problem` then says why.

    `requests_total` is the server's own counter of all requests so far, where it has one. `observed_at` is
    the moment of asking: the count is not older than that.
    """

    connections: int | None
    requests_total: int | None
    counted: str
    source: str
    grade: str
    observed_at: datetime
    problem: str | None = None


async def read_count(
    source: CountSource, address: str, clock: Callable[[], datetime], *, fetch: Fetch = egress.fetch
) -> CountReading:
    """Ask the server at `address` for its count. Never raises the four kinds of trouble.

    The URL's host must be the server's own address, or a host and port that the operator opened by name:
    otherwise a status page could be read that belongs to someone else.
    """
    observed_at = clock()

    def reading(counted: Counted, url: str) -> CountReading:
        return CountReading(
            connections=counted.connections,
            requests_total=counted.requests_total,
            counted=COUNTED[source.kind],
            source=f"{source.kind.value} {url}",
            grade=MEASURED,
            observed_at=observed_at,
            problem=counted.problem,
        )

    try:
        rules = egress.rules_from_settings(source.networks)
        url = count_url(source, address, rules=rules)
        answer = await fetch(url, timeout_s=source.timeout_s, max_bytes=MAX_BODY_BYTES, rules=rules)
    except (Refused, TryLater, ProviderFailed) as trouble:
        return reading(Counted(None, problem=trouble.says), source.url_template)
    if answer.status != 200:
        return reading(Counted(None, problem=f"The status page answered with status {answer.status}."), url)
    if answer.is_cut:
        return reading(Counted(None, problem="The status page's answer is too long to be one."), url)
    return reading(PARSERS[source.kind](answer.text), url)


def check_template(url_template: str, *, rules: egress.Rules | None = None) -> None:
    """Judge a status address before it is stored. Raises Refused with a sentence; `count_url` judges each use.

    `{address}` must be the host, or stand behind a host and port that the operator opened by name.
    """
    rules = rules if rules is not None else egress.rules_from_settings()
    if "{address}" not in url_template:
        raise Refused("{address} must stand in it: each server has its own.", code="no_address")
    host = url_template.partition("://")[2].partition("/")[0]
    try:
        target = egress.check_url(url_template.replace("{address}", _ANY_ADDRESS), rules=rules)
    except Refused as refusal:
        port = host.rpartition(":")[2]
        opened = {name.rpartition(":")[2] for name in rules.hosts}
        if refusal.code == "closed_port" and host == f"{{address}}:{port}" and port in opened:
            return  # A port that is open for some servers by name; which, is seen at each use.
        raise
    if target.host != _ANY_ADDRESS and not rules.opens(target.host, target.port):
        raise Refused(_FOREIGN_HOST, code="foreign_host")
    if "{address}" in host and target.host != _ANY_ADDRESS:
        raise Refused(_FOREIGN_HOST, code="foreign_host")


# Stands for a server's own, whose network is judged at each use; any public one would do.
_ANY_ADDRESS = "8.8.8.8"
_FOREIGN_HOST = (
    "The status page is not on the server's own address. Use {address} as the host, "
    "or ask the operator to open this host and port."
)


def count_url(source: CountSource, address: str, *, rules: egress.Rules | None = None) -> str:
    """Return the URL to ask for a server's count. Raises Refused where it may not be asked."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        raise Refused(
            "The node's address is a name, not an IP address, so its status page is not asked.",
            code="no_address",
        ) from None
    url = filled(source.url_template, str(parsed))
    rules = rules if rules is not None else egress.rules_from_settings(source.networks)
    target = egress.check_url(url, rules=rules)
    if rules.opens(target.host, target.port):
        return url
    try:
        is_its_own = ipaddress.ip_address(target.host.strip("[]")) == parsed
    except ValueError:
        is_its_own = False
    if not is_its_own:
        raise Refused(_FOREIGN_HOST, code="foreign_host")
    return url


# --- the pages; pure ---

# A count above this is no count of one server's connections but some other number.
_MOST = 10_000_000
_STUB_STATUS = re.compile(
    r"\s*Active connections:[ \t]*([0-9]{1,19})[ \t]*\r?\n"
    r"[ \t]*server accepts handled requests(?: request_time)?[ \t]*\r?\n"
    r"[ \t]*([0-9]{1,19})[ \t]+([0-9]{1,19})[ \t]+([0-9]{1,19})(?:[ \t]+[0-9]{1,19})?[ \t]*\r?\n"
    r"[ \t]*Reading:[ \t]*([0-9]{1,19})[ \t]+Writing:[ \t]*([0-9]{1,19})[ \t]+Waiting:[ \t]*([0-9]{1,19})\s*"
)
_PLAIN = re.compile(r"\s*([0-9]{1,9})(?:\.0+)?\s*")
_APACHE_LINE = re.compile(r"([A-Za-z][A-Za-z0-9 _-]*): ?(.*)")


def parse_stub_status(text: str) -> Counted:
    """Return the requests in flight of nginx's `stub_status` page: active − waiting − 1, never below 0.

    It says them twice. Where reading and writing are more than that, they count: no figure that is wrong by itself makes
    a zero.
    """
    found = _STUB_STATUS.fullmatch(text)
    if found is None:
        return Counted(None, problem="The answer is not nginx's stub_status page.")
    active, _, _, requests, reading, writing, waiting = (int(number) for number in found.groups())
    if active > _MOST or max(reading + writing, waiting) > active:
        # More of a part than of the whole: read while it changed, or made up.
        return Counted(None, problem="The figures of nginx's stub_status page contradict each other.")
    return Counted(max(0, active - waiting - 1, reading + writing - 1), requests)


def parse_apache_status(text: str) -> Counted:
    """Return the busy workers of Apache's `server-status?auto`, without idle keep-alives and our own request."""
    lines: dict[str, str] = {}
    for line in text.splitlines():
        found = _APACHE_LINE.fullmatch(line.strip())
        if found is not None:
            lines.setdefault(found.group(1).strip(), found.group(2).strip())
    busy = _whole(lines.get("BusyWorkers"))
    if busy is None or _whole(lines.get("IdleWorkers")) is None:
        return Counted(None, problem="The answer is not Apache's server-status?auto page.")
    scoreboard = lines.get("Scoreboard", "")
    if re.search(r"[^_SRWKDCLGI.]", scoreboard):
        return Counted(None, problem="The scoreboard of Apache's status page is not readable.")
    # K is a worker that only waits for a visitor's next request on an open connection.
    idle_keep_alive = scoreboard.count("K")
    if busy > _MOST or idle_keep_alive > busy:
        return Counted(None, problem="The figures of Apache's status page contradict each other.")
    return Counted(max(0, busy - idle_keep_alive - 1), _whole(lines.get("Total Accesses")))


def parse_plain_number(text: str) -> Counted:
    """Return the whole number that is the whole answer."""
    found = _PLAIN.fullmatch(text)
    if found is None:
        return Counted(None, problem="The answer is not one whole number.")
    number = int(found.group(1))
    if number > _MOST:
        return Counted(None, problem="The number is too large to be a count of connections.")
    return Counted(number)


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,19}", text) else None


PARSERS: dict[CountKind, Callable[[str], Counted]] = {
    CountKind.NGINX_STUB_STATUS: parse_stub_status,
    CountKind.APACHE_STATUS: parse_apache_status,
    CountKind.PLAIN_NUMBER: parse_plain_number,
}
