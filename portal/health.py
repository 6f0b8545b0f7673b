"""Whether the portal can do its work: database, Redis, migrations, an engine that is awake."""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from redis.exceptions import RedisError

from portal.alarms import engine_asleep
from portal.audit import sealer
from portal.events import relay

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `says` is for the operator."""

    name: str
    ok: bool
    says: str


def findings() -> list[Finding]:
    """Look at everything; never raises for what is merely down."""
    database = _database()
    found = [database, _redis()]
    if database.ok:
        found += [_migrations(), _engine()]
        if found[2].ok:
            found += [_audit(), _events()]
    return found


def _database() -> Finding:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        log.warning("readiness_database", error=type(error).__name__)
        return Finding("database", False, "PostgreSQL does not answer.")
    return Finding("database", True, "PostgreSQL answers.")


def _redis() -> Finding:
    try:
        cache.set("readyz", "1", timeout=10)
    except RedisError as error:
        log.warning("readiness_redis", error=type(error).__name__)
        return Finding("redis", False, "Redis does not answer.")
    return Finding("redis", True, "Redis answers.")


def _migrations() -> Finding:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        return Finding("migrations", False, f"{len(missing)} migrations are not applied. Run `migrate`.")
    return Finding("migrations", True, "All migrations are applied.")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _engine() -> Finding:
    asleep = engine_asleep()
    if asleep is None:
        return Finding("engine", True, "The engine is awake.")
    # Anybody may ask: how much is overdue, and of whom, is on the pages of those whom it concerns, and in the metrics.
    return Finding("engine", False, "The engine is asleep: runs are overdue.")


def _audit() -> Finding:
    waited_s = sealer.unsealed_for_s()
    if waited_s <= sealer.LATE_AFTER_S:
        return Finding("audit", True, "The audit is sealed.")
    return Finding("audit", False, f"The audit has been unsealed for {waited_s:.0f} s. Is beat running?")


def _events() -> Finding:
    waited_s = relay.unplaced_for_s()
    if waited_s <= relay.LATE_AFTER_S:
        return Finding("events", True, "Events are passed on.")
    return Finding(
        "events", False, f"Events have waited for {waited_s:.0f} s to be passed on. Is beat running?"
    )
