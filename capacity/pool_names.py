"""What people call a pool: the name with which it is sized, where it is; beside the provider's id of its load balancer."""

from __future__ import annotations

from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

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
    return named(_names(connection.pk, balancer_id).first() or "", balancer_id)


def with_pool_name(balancer_id: str) -> QuerySet[CloudConnection]:
    """Return connections, each with the `pool_name` of its pool, "" for none: for pages that read the connection anyway."""
    name = Coalesce(Subquery(_names(OuterRef("pk"), balancer_id)[:1]), Value(""))
    return CloudConnection.objects.select_related("account").defer("api_key").annotate(pool_name=name)


def _names(connection: Any, balancer_id: str) -> QuerySet[SizedPool, str]:
    rows = SizedPool.objects.filter(connection=connection, balancer_id=balancer_id)
    return rows.order_by().values_list("name", flat=True)
