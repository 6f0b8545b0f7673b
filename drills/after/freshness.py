"""Whether what a drill showed still holds: a pool that has changed its size since is another pool."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import QuerySet

from accounts.models import Account
from capacity.pool_sizes import SizeSeen, register_sizes, sizes_of
from drills import figures
from drills.plans.models import Drill, HeldDrill


def _pools(held: HeldDrill) -> list[tuple[int, int, str]]:
    drill = held.drill
    if drill.connection_id is None or not held.pool_size:
        return []
    return [(drill.account_id, drill.connection_id, str(one)) for one in drill.inputs.get("balancer_ids", ())]


def out_of_date(rows: Sequence[HeldDrill]) -> dict[int, str]:
    """Return why the evidence of drills no longer holds, by their keys; nothing for those that hold, or whose pool nobody saw since.

    `rows` have their `drill`. One query for each who knows sizes, none where no drill had a pool.
    """
    over = [one for one in rows if one.ended_at is not None and _pools(one)]
    if not over:
        return {}
    known = sizes_of(Account.objects.filter(pk__in={one.drill.account_id for one in over}))
    found = {}
    for one in over:
        seen = [
            known[pool]
            for pool in _pools(one)
            if pool in known and one.ended_at and known[pool].at > one.ended_at
        ]
        # A drill of several load balancers has one pool behind them: the newest that was seen of it counts.
        newest = max(seen, key=lambda each: each.at, default=None)
        says = figures.out_of_date(one.pool_size, newest.size) if newest else ""
        if says:
            found[one.pk] = says
    return found


def with_freshness(drills: Iterable[Any]) -> None:
    """Give each drill's run its `out_of_date`, "" where its evidence holds."""
    rows = []
    for drill in drills:
        held = getattr(drill, "held", None)
        if held is not None:
            held.drill = drill
            held.out_of_date = ""
            rows.append(held)
    for pk, says in out_of_date([one for one in rows if one.result]).items():
        next(one for one in rows if one.pk == pk).out_of_date = says


def seen_by_drills(accounts: QuerySet[Account]) -> Iterable[SizeSeen]:
    """Return the size of the pools that drills froze; one query."""
    rows = HeldDrill.objects.filter(
        drill__account__in=accounts.order_by().values("pk"), pool_size__gt=0, began_at__isnull=False
    ).values_list(
        "drill__account", "drill__connection", "drill__inputs__balancer_ids", "pool_size", "began_at"
    )
    for account, connection, balancers, size, at in rows:
        for balancer in balancers or ():
            if connection is not None and at is not None:
                yield SizeSeen(account, connection, str(balancer), size, at)


def register() -> None:
    """Hand them in; called once when the app is ready."""
    register_sizes(seen_by_drills)


MOST_SO_FAR = 5


def so_far(drill: Drill) -> list[HeldDrill]:
    """Return the newest drills of this one's scenario that are over, itself among them, each with `out_of_date`. Up to four queries."""
    rows = list(
        HeldDrill.objects.filter(
            drill__account=drill.account, drill__scenario_key=drill.scenario_key, ended_at__isnull=False
        )
        .exclude(result="")
        .select_related("drill")
        .defer("drill__data", "drill__scenario")
        .order_by("-ended_at", "-pk")[:MOST_SO_FAR]
    )
    stale = out_of_date(rows)
    for row in rows:
        row.out_of_date = stale.get(row.pk, "")  # type: ignore[attr-defined]
    return rows
