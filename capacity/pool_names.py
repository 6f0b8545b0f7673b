"""What people call a pool: the name with which it is sized, where it is; beside the provider's id of its load balancer."""

from __future__ import annotations

from accounts.models import CloudConnection
from capacity.reports.models import SizedPool


def usual_name(balancer_id: str) -> str:
    """Return the name of a pool that nobody gave one."""
    return f"load balancer {balancer_id}"


def named(name: str, balancer_id: str) -> str:
    """Return a pool's name with its load balancer; without a name, the load balancer alone."""
    usual = usual_name(balancer_id)
    return usual if name in ("", usual) else f"{name} ({balancer_id})"


def pool_named(connection: CloudConnection, balancer_id: str) -> str:
    """Return what one pool is called, with its load balancer. One query."""
    rows = SizedPool.objects.filter(connection=connection.pk, balancer_id=balancer_id)
    return named(rows.values_list("name", flat=True).first() or "", balancer_id)
