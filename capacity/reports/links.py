"""Where a sizing and an event lead to: scale-down says how a plan is begun and what was added, since imports point the other way."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from capacity.reports.models import DetectedEvent

PlanUrl = Callable[[Any, str, str, int, str], str]
"""(account, reference of the connection, load balancer, servers to be left, why so many) → address."""
_plan_url: list[PlanUrl] = []
_cost_url: list[Callable[[Any], str]] = []
WithServersAdded = Callable[["QuerySet[DetectedEvent]"], "QuerySet[DetectedEvent]"]
"""Detected events → the same with `servers_added`, None without a record, and `scale_up_records`, their references."""
_servers_added: list[WithServersAdded] = []
_record_url: list[Callable[[Any], str]] = []


def register_plan_url(url_of: PlanUrl) -> None:
    """Say where a plan that leaves so many servers is begun."""
    _plan_url[:] = [url_of]


def plan_url(account: Any, connection_ref: str, balancer_id: str, target: int, reason: str) -> str:
    """Return where a plan is begun, filled in; "" where no app draws up plans."""
    return _plan_url[0](account, connection_ref, balancer_id, target, reason) if _plan_url else ""


def register_cost_url(url_of: Callable[[Any], str]) -> None:
    """Say where what the account's events cost is read."""
    _cost_url[:] = [url_of]


def cost_url(account: Any) -> str:
    """Return where what the account's events cost is read; "" where no app knows."""
    return _cost_url[0](account) if _cost_url else ""


def register_servers_added(join: WithServersAdded, url_of: Callable[[Any], str]) -> None:
    """Say how many servers were added for an event, and where its scale-up record is read."""
    _servers_added[:], _record_url[:] = [join], [url_of]


def with_servers_added(rows: QuerySet[DetectedEvent]) -> QuerySet[DetectedEvent]:
    """Return detected events with what was added for them, in the same query; as they are where no app keeps records."""
    return _servers_added[0](rows) if _servers_added else rows


def record_url(event: Any) -> str:
    """Return where the scale-up record of a traffic event is read; "" without an event, and where no app keeps records."""
    return _record_url[0](event) if _record_url and event is not None else ""
