"""What the journal tells of each time that a server went out of the pool, also of one that came back. Pure.

A run forgets a drain once the server is back, since the next one begins anew. What was done stays done: a report
reads it here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from portal.frozen import replace

KINDS = ("server_draining", "drained", "server_verifying", "verdict", "outcome", "node_left")
"""The kinds of journal entries that tell of it."""


class Told(Protocol):
    """A line of the journal."""

    @property
    def kind(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def at(self) -> datetime: ...
    @property
    def says(self) -> str: ...
    @property
    def customer_says(self) -> str: ...
    @property
    def detail(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class WayOut:
    """One time that a server went out. Times are None for what did not happen.

    `is_cut`: connections were allowed to be cut, and a node was removed. `open_then` is how many were open when
    that was decided; None is unknown.
    """

    began_at: datetime
    drained_at: datetime | None = None
    grade: str = ""
    evidence: str = ""
    may_cut: bool = False
    is_cut: bool = False
    open_then: int | None = None
    cut_at: datetime | None = None
    left_at: datetime | None = None
    verdict: str = ""
    verdict_says: str = ""
    verdict_customer_says: str = ""
    verdict_numbers: Mapping[str, Any] = field(default_factory=dict)
    nodes_left: tuple[str, ...] = ()
    """Load balancers that still list a node of the deleted server: somebody must take it out by hand."""


def ways_out(entries: Iterable[Told]) -> dict[str, tuple[WayOut, ...]]:
    """Return by server id each time that it went out, the first one first. `entries` are in the journal's order."""
    found: dict[str, tuple[WayOut, ...]] = {}
    for entry in entries:
        if entry.kind == "server_draining":
            drains_again = entry.detail.get("was") != "queued" and entry.subject in found
            if not drains_again:
                found[entry.subject] = (*found.get(entry.subject, ()), WayOut(entry.at))
        elif entry.kind in KINDS and entry.subject in found:
            *before, last = found[entry.subject]
            found[entry.subject] = (*before, _with(last, entry))
    return found


def _with(way: WayOut, entry: Told) -> WayOut:
    detail = entry.detail
    match entry.kind:
        case "drained":
            return replace(
                way,
                drained_at=entry.at,
                grade=str(detail.get("grade", "")),
                evidence=str(detail.get("evidence", "")),
                may_cut=bool(detail.get("may_cut")),
                open_then=detail.get("connections"),
            )
        case "outcome" if detail.get("action") == "remove_node" and detail.get("outcome") == "done":
            return replace(way, is_cut=True, cut_at=way.cut_at or entry.at) if way.may_cut else way
        case "server_verifying":
            return replace(way, left_at=entry.at)
        case "node_left":
            return replace(way, nodes_left=tuple(detail.get("balancers", ())))
        case "verdict":
            return replace(
                way,
                verdict=str(detail.get("verdict", "")),
                verdict_says=entry.says,
                verdict_customer_says=entry.customer_says,
                verdict_numbers={name: value for name, value in detail.items() if name != "verdict"},
            )
    return way
