"""By what pools are sized, and what servers cost. Each change is one function.

size_pool(account, connection, "71", actor=…, …), change_pool(pool, …), remove_pool(pool, …)
look_at(pool), look_at_stale(now)
set_price(account, …), remove_price(price, …)
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import structlog
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from accounts.changes import check_active, check_no_pin
from accounts.clouds import discover_pools
from accounts.members import lock_account
from accounts.models import Account, AccountStatus
from capacity.metrics.kinds import DEMAND_UNIT, is_demand
from capacity.pool_names import usual_name
from capacity.reference import UNTOLD, Site, counting_size
from capacity.reports import notices
from capacity.reports.models import (
    ServerPrice,
    SizedPool,
)
from capacity.reports.selectors import pools
from capacity.reports.services import ask
from capacity.reports.short import judge_pools
from portal.audit.services import record, snapshot
from portal.cloud.discovery import is_asked, serves
from portal.errors import ProviderFailed, Refused, StaleState, TryLater
from portal.rows import check_row
from portal.runs.wake import hand_over

if TYPE_CHECKING:
    from accounts.models import CloudConnection, User
    from portal.cloud.discovery import Discovery
    from portal.cloud.types import Server

log = structlog.get_logger(__name__)

LOOKED_AT = timedelta(days=3)
"""Of a longer time without a look nobody knows of which size the servers were."""
ANSWERS_BY = timedelta(minutes=10)
"""By then a health monitor says of a server that was enabled whether it answers."""
POOL_FIELDS = ("name", "metric", "headroom", "fewest")


@transaction.atomic
def size_pool(
    account: Account, connection: CloudConnection, balancer_id: str, *, actor: User | None, **fields: Any
) -> SizedPool:
    """Size a pool by a metric: `metric`, `headroom`, `fewest`, `name`. A report of the metric is asked for."""
    check_active(account)
    if connection.account_id != account.pk:
        raise Refused("This cloud connection is of another account.", code="other_account")
    known = SizedPool.objects.filter(connection=connection, balancer_id=balancer_id).first()
    if known is not None:
        raise StaleState(
            f"This pool is sized already, as “{known.name}”. Change how it is sized there.",
            code="sized_already",
        )
    row = SizedPool(account=account, connection=connection, balancer_id=balancer_id)
    _fill(row, fields)
    row.save()
    record("sized_pool.added", actor=actor, account=account, subject=row, after=snapshot(row))
    if row.metric is not None:
        ask(row.metric, actor=actor)
    judge_pools(pools().filter(pk=row.pk), timezone.now())
    return row


@transaction.atomic
def change_pool(pool: SizedPool, *, actor: User | None, **fields: Any) -> SizedPool:
    """Change by what a pool is sized and what stays free."""
    row = (
        SizedPool.objects.select_for_update(of=("self",)).select_related("account", "metric").get(pk=pool.pk)
    )
    check_active(row.account)
    before = snapshot(row)
    _fill(row, fields)
    after = snapshot(row)
    if after == before:
        return row
    row.save()
    record("sized_pool.changed", actor=actor, account=row.account, subject=row, before=before, after=after)
    if row.metric is not None and before.get("metric") != after.get("metric"):
        ask(row.metric, actor=actor)
    judge_pools(pools().filter(pk=row.pk), timezone.now())
    return row


def _fill(row: SizedPool, fields: dict[str, Any]) -> None:
    unknown = set(fields) - set(POOL_FIELDS)
    if unknown:
        raise ValueError(f"A sized pool has no {', '.join(sorted(unknown))}.")
    for name, value in fields.items():
        setattr(row, name, value)
    row.name = " ".join(row.name.split()) or usual_name(row.balancer_id)
    check_no_pin(row.name)
    metric = row.metric
    if metric is not None and metric.account_id != row.account_id:
        raise Refused("This metric is of another account.", code="other_account")
    # What one server carries is told in requests a second: orders a minute held against it would be a wrong number.
    if metric is not None and not is_demand(metric.unit, metric.kind):
        raise Refused(
            f"A pool is sized by its requests a second (unit {DEMAND_UNIT}), as what a server carries is told in; "
            f"{metric} is something else.",
            code="no_demand",
        )
    check_row(row)


def look_at(pool: SizedPool) -> SizedPool:
    """Ask the provider how many servers of the pool are in service, and of which size. Reads only.

    Raises the provider's troubles. In service are those that the load balancer sends visitors to, as for plans: one that does
    not answer is counted apart. Servers of several sizes: all count as the one that carries the least.
    """
    now = timezone.now()
    return note_look(pool, discover_pools(pool.connection), now)


def note_look(pool: SizedPool, found: Discovery, now: datetime) -> SizedPool:
    """Keep what a look at the provider showed of the pool. Raises Refused where its load balancer was not there."""
    seen = next((one for one in found.pools if one.balancer.id == pool.balancer_id), None)
    if seen is None:
        gone = f"The provider shows no load balancer {pool.balancer_id} any more. What was known stays."
        never = (
            f"The provider shows no load balancer {pool.balancer_id} to this connection. Read its id at the provider, "
            "then size the pool with that one."
        )
        raise Refused(gone if pool.seen_at else never, code="no_such_balancer")
    serving = {member.server.id: member.server for member in seen.members if serves(member.node)}
    asked = {member.server.id for member in seen.members if is_asked(member.node)}
    sizes = Counter((one.flavor_id or UNTOLD)[:100] for one in serving.values())
    flavor = counting_size(pool.account, Site(pool.connection.ref, pool.balancer_id), sizes, now)
    is_one = len(sizes) == 1 and UNTOLD not in sizes
    goes_on = set(sizes) == set(pool.sizes) and pool.seen_at and pool.seen_at > now - LOOKED_AT
    SizedPool.objects.filter(pk=pool.pk).update(
        servers=len(serving),
        not_answering=len(asked.difference(serving)),
        flavor=flavor,
        sizes=dict(sizes),
        hosts=_hosts_of(serving.values()),
        size_since=None if not is_one else (pool.size_since if goes_on else None) or now,
        seen_at=now,
    )
    judge_pools(pools().filter(pk=pool.pk), now)
    return pools().get(pk=pool.pk)


def _hosts_of(servers: Iterable[Server]) -> list[int]:
    """Return a number for the physical host of each server, newest server first; where it is not told it stands alone."""
    newest = sorted(servers, key=lambda one: (-one.created_at.timestamp(), one.name, one.id))
    numbers: dict[str, int] = {}
    return [numbers.setdefault(one.host_id or f"?{one.id}", len(numbers)) for one in newest]


def note_changed(account_id: int, connection_ref: str, balancer_ids: Sequence[str], now: datetime) -> None:
    """Let pools of an account be looked at anew, once this is kept: a run took a server out of them or brought one back."""
    from capacity.tasks import look_at_changed_pools

    rows = SizedPool.objects.filter(
        account=account_id, connection__ref=connection_ref, balancer_id__in=list(balancer_ids)
    )
    # By pk, as they are worked out.
    if SizedPool.objects.filter(
        pk__in=list(rows.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True))
    ).update(changed_at=now):
        transaction.on_commit(lambda: hand_over(look_at_changed_pools, "pool_wake_up_lost"))


def look_at_stale(
    now: datetime,
    *,
    older_than: timedelta = timedelta(hours=20),
    budget_s: float = 60.0,
    only_changed: bool = False,
) -> int:
    """Look at pools that nobody looked at for long, or since a run changed them, until the time is up.

    `only_changed`: those that a run changed, and no other. One that cannot be read is tried next time.

    Once for all pools of a connection, and in no order: those that cannot be read, or whose load balancer is none, would
    stand first each time, and nobody would look at the others.
    """
    ends = time.monotonic() + budget_s
    # A server that was put back answers the load balancer some time after it was enabled: once more, then.
    is_changed = Q(changed_at__gt=F("seen_at") - ANSWERS_BY)
    stale = Q(seen_at__isnull=True) | Q(seen_at__lt=now - older_than) | is_changed
    if only_changed:
        stale = Q(changed_at__gt=F("seen_at"))
    rows = SizedPool.objects.filter(stale)
    rows = rows.filter(account__status=AccountStatus.ACTIVE).select_related("connection", "account")
    due: dict[int, list[SizedPool]] = {}
    for pool in rows.order_by("?")[:50]:
        due.setdefault(pool.connection_id, []).append(pool)
    count = 0
    for of_one in due.values():
        if time.monotonic() >= ends:
            break
        # What changes while it is read is newer than what was read.
        at = timezone.now()
        try:
            found = discover_pools(of_one[0].connection)
        except (TryLater, ProviderFailed, Refused) as trouble:
            log.info("sized_pools_unseen", pools=[str(pool.ref) for pool in of_one], code=trouble.code)
            continue
        except Exception:
            # A fault with one must not keep all others, of any account, from being looked at and judged.
            log.exception("sized_pools_look_failed", pools=[str(pool.ref) for pool in of_one])
            continue
        for pool in of_one:
            try:
                note_look(pool, found, at)
                count += 1
            except Refused as trouble:
                log.info("sized_pool_unseen", pool=str(pool.ref), code=trouble.code)
            except Exception:
                log.exception("sized_pool_look_failed", pool=str(pool.ref))
    return count


@transaction.atomic
def remove_pool(pool: SizedPool, *, actor: User) -> None:
    """Size a pool no more."""
    row = (
        SizedPool.objects.select_for_update(of=("self",)).select_related("account", "metric").get(pk=pool.pk)
    )
    check_active(row.account)
    record("sized_pool.removed", actor=actor, account=row.account, subject=row, before=snapshot(row))
    notices.call_off_short(row, says="The pool is sized no more.")
    row.delete()


@transaction.atomic
def set_price(account: Account, *, flavor: str, an_hour: Decimal, currency: str, actor: User) -> ServerPrice:
    """Say what a server of one size costs an hour; replaces what was said before."""
    # The account is locked, as there is no row to lock before the first price of a size.
    check_active(lock_account(account))
    flavor = " ".join(flavor.split())
    check_no_pin(flavor)
    row = ServerPrice.objects.select_for_update().filter(
        account=account, flavor=flavor
    ).first() or ServerPrice(account=account, flavor=flavor)
    before = snapshot(row) if row.pk else {}
    row.an_hour, row.currency = an_hour, currency.strip().upper()
    row.entered_by, row.at = actor, timezone.now()
    check_row(row)
    row.save()
    record("price.set", actor=actor, account=account, subject=row, before=before, after=snapshot(row))
    return row


@transaction.atomic
def remove_price(price: ServerPrice, *, actor: User) -> None:
    """Take a price away; estimates are told in server-hours then."""
    row = ServerPrice.objects.select_for_update(of=("self",)).select_related("account").get(pk=price.pk)
    check_active(row.account)
    record("price.removed", actor=actor, account=row.account, subject=row, before=snapshot(row))
    row.delete()
