"""Where a sizing leads to: scale-down says how a plan is begun, since imports point the other way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

PlanUrl = Callable[[Any, str, str, int, str], str]
"""(account, reference of the connection, load balancer, servers to be left, why so many) → address."""
_plan_url: list[PlanUrl] = []
_cost_url: list[Callable[[Any], str]] = []


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
