"""Which rules of a pool, or which price, somebody saw: so that a change of what somebody else changed meanwhile is refused."""

from __future__ import annotations

from capacity.reports.models import ServerPrice, SizedPool
from capacity.versions import version_of
from portal.errors import StaleState


def rules_version(pool: SizedPool) -> str:
    """Return a text that is another one once somebody changed by what the pool is sized; what is seen of it does not count."""
    return version_of(pool.name, pool.metric_id, pool.headroom, pool.fewest)


def price_version(price: ServerPrice) -> str:
    """Return a text that is another one once somebody entered another price."""
    return version_of(str(price.an_hour), price.currency, price.at.isoformat())


def locked_pool(pool: SizedPool) -> SizedPool:
    """Return the pool as it is now, locked until the transaction ends."""
    rows = SizedPool.objects.select_for_update(of=("self",)).select_related("account", "metric")
    return rows.get(pk=pool.pk)


def check_rules_seen(pool: SizedPool, seen: str) -> None:
    """Raise StaleState where the rules are others by now than those that were seen; the sentence tells them."""
    if seen != rules_version(pool):
        by = f"by {pool.metric}" if pool.metric is not None else "by no metric"
        raise StaleState(
            f"Somebody changed this meanwhile, so nothing was kept. Now it is “{pool.name}”, sized {by}, "
            f"{pool.headroom * 100:g} % stays free, never fewer than {pool.fewest}. "
            "Below stands what you typed: correct it, then press “Keep it” again to put it in place of that.",
            code="rules_changed",
        )
