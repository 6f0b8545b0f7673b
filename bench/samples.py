"""Taking samples in, beside COPY into a staging table plus upsert, and beside `bulk_create`; and a year of them opened.

The peers write the same rows, held as the same list of tuples, each into a table of its own like ours but in one part, and roll nothing up:
`write_row` of psycopg and one `INSERT … ON CONFLICT DO UPDATE`; `bulk_create(update_conflicts=True)` of Django.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median
from typing import Any

from bench.child import in_child

ROWS = int(os.environ.get("BENCH_SAMPLES", "50000"))
ROUNDS = 3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEP_US = 300 * 1_000_000
_PEER = """
CREATE TABLE peer_{} (metric_id bigint NOT NULL, at timestamptz NOT NULL, value double precision NOT NULL,
    PRIMARY KEY (metric_id, at))
"""
_UPSERT = (
    "INSERT INTO peer_copy SELECT * FROM peer_staging"
    " ON CONFLICT (metric_id, at) DO UPDATE SET value = EXCLUDED.value"
)
_FLY = """
SELECT date_bin('1 hour', at, timestamptz '1970-01-01 00:00Z') AS hour, count(*), avg(value), min(value), max(value),
    percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY value)
FROM capacity_sample WHERE metric_id = %s AND at >= %s AND at < %s GROUP BY 1 ORDER BY 1
"""


def samples(say: Callable[[str], None]) -> dict[str, float]:
    """Return the figures. BENCH_SAMPLES says how many samples are taken in at a time."""
    return in_child("bench.samples", say)


def _rows(metrics: list[int], count: int, until_us: int) -> list[tuple[int, int, float]]:
    """Five-minute values of several metrics, a day's wave each, as pollers hand them in: all metrics of a moment together."""
    steps = count // len(metrics)
    begin = until_us - steps * _STEP_US
    return [
        (
            pk,
            begin + step * _STEP_US,
            100.0 + 50 * math.sin(step / 288 * math.tau) + (step * 7919 + pk) % 97 / 10,
        )
        for step in range(steps)
        for pk in metrics
    ]


def _timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure() -> dict[str, float]:
    """Measure on the database at hand, which must be empty."""
    from django.db import connection, models, transaction

    from accounts.models import Team
    from accounts.services import open_account
    from capacity.metrics import series, store
    from capacity.metrics.models import Metric, Sample

    class Peer(models.Model):
        """The peers' table, for `bulk_create`."""

        pk = models.CompositePrimaryKey("metric_id", "at")
        metric_id = models.BigIntegerField()
        at = models.DateTimeField()
        value = models.FloatField()

        objects: models.Manager[Any] = models.Manager()

        class Meta:
            app_label = "capacity"
            db_table = "peer_bulk"
            managed = False

        def __str__(self) -> str:
            return f"{self.metric_id} {self.at}"

    account = open_account(team=Team.objects.create(name="Bench"), name="Lindgren", number="1")
    metrics = [
        Metric.objects.create(account=account, name=f"figure_{n}", source="bench").pk for n in range(20)
    ]
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    until_us = int(midnight.timestamp()) * 1_000_000
    with connection.cursor() as cursor:
        for name in ("copy", "bulk"):
            cursor.execute(_PEER.format(name))

    def emptied() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "TRUNCATE capacity_sample, capacity_hourlyrollup, capacity_dailyrollup, peer_copy, peer_bulk"
            )

    def ours(rows: list[tuple[int, int, float]]) -> None:
        store.write(account.pk, store.samples_of(rows))

    def copied(rows: list[tuple[int, int, float]]) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE peer_staging (LIKE peer_copy) ON COMMIT DROP")
            with cursor.copy("COPY peer_staging FROM STDIN") as copy:
                for pk, at_us, value in rows:
                    copy.write_row((pk, _EPOCH + timedelta(microseconds=at_us), value))
            cursor.execute(_UPSERT)

    def bulk(rows: list[tuple[int, int, float]]) -> None:
        Peer.objects.bulk_create(
            [
                Peer(metric_id=pk, at=_EPOCH + timedelta(microseconds=at_us), value=value)
                for pk, at_us, value in rows
            ],
            batch_size=5000,
            update_conflicts=True,
            update_fields=["value"],
            unique_fields=["metric_id", "at"],
        )

    rows = _rows(metrics, ROWS, until_us)
    other = [(pk, at_us, value + 1) for pk, at_us, value in rows]
    ways = {"ours": ours, "copy": copied, "bulk": bulk}
    took: dict[str, list[float]] = {f"{name}_{case}": [] for name in ways for case in ("new", "changed")}
    # Side by side, so that whatever else the machine does falls on all of them.
    for _ in range(ROUNDS):
        emptied()
        for case, given in (("new", rows), ("changed", other)):
            for name, way in ways.items():
                took[f"{name}_{case}"].append(_timed(partial(way, given)))
    figures: dict[str, float] = {"samples_rows": float(len(rows))}
    for case in ("new", "changed"):
        mine = took[f"ours_{case}"]
        figures[f"samples_{case}_per_s"] = round(len(rows) / median(mine))
        for name in ("copy", "bulk"):
            theirs = took[f"{name}_{case}"]
            figures[f"samples_{case}_{name}_per_s"] = round(len(rows) / median(theirs))
            figures[f"samples_{case}_over_{name}"] = round(
                median(b / a for a, b in zip(mine, theirs, strict=True)), 2
            )
    figures["samples_same_again_per_s"] = round(len(rows) / _timed(lambda: ours(other)))

    # A year of one metric, beside those of others.
    emptied()
    one = metrics[0]
    ours(_rows([one], 365 * 288, until_us))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE capacity_sample, capacity_hourlyrollup, capacity_dailyrollup")
    begins = midnight - timedelta(days=365)
    metric = Metric.objects.get(pk=one)

    def opened(step: str) -> dict[str, Any]:
        return series.read(metric, step, begins, midnight, limit=1_000_000)

    def on_the_fly() -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(_FLY, [one, begins, midnight])
            return list(cursor.fetchall())

    hours, fly = opened("hour"), on_the_fly()
    assert Sample.objects.filter(metric=one).count() == 365 * 288
    assert len(hours["at"]) == len(fly) == 365 * 24
    assert all(
        moment == int(row[0].timestamp()) * 1_000_000 and math.isclose(p95, row[5][1], rel_tol=1e-9)
        for moment, p95, row in zip(hours["at"], hours["p95"], fly, strict=True)
    )
    times: dict[str, list[float]] = {"hours": [], "days": [], "fly": []}
    for _ in range(15):
        times["hours"].append(_timed(partial(opened, "hour")))
        times["days"].append(_timed(partial(opened, "day")))
        times["fly"].append(_timed(on_the_fly))
    for name, values in times.items():
        figures[f"samples_year_{name}_ms"] = round(median(values) * 1000, 1)
    for name in ("hours", "days"):
        figures[f"samples_year_{name}_over_fly"] = round(
            median(a / b for a, b in zip(times[name], times["fly"], strict=True)), 3
        )
    return figures | _what_if(metric)


def _what_if(metric: Any) -> dict[str, float]:
    """Return how long an answer of the sliders takes on a pool that is sized by a year of samples."""
    from django.utils import timezone

    from accounts.models import CloudConnection
    from capacity.models import Ceiling
    from capacity.reports import selectors, services
    from capacity.reports.models import SizedPool
    from capacity.reports.trying import try_out
    from capacity.sizing import WhatIf

    now = timezone.now()
    metric.unit, metric.kind = "requests/s", "throughput"
    metric.save()
    connection = CloudConnection.objects.create(
        account=metric.account,
        name="DFW",
        identity_url="http://127.0.0.1/v2.0",
        username="bench",
        api_key="key",
        tenant="1",
        region="DFW",
    )
    of_pool = {"account": metric.account, "connection": connection, "balancer_id": "71"}
    Ceiling.objects.create(**of_pool, requests_per_s=40.0, source="measured", at=now)
    made = SizedPool.objects.create(
        **of_pool, name="web", metric=metric, servers=6, flavor="general1-4", seen_at=now
    )
    services.ask(metric, actor=None)
    services.make_due(now)
    tried = [WhatIf(growth=n / 100, multiple=1.0 + n, headroom=0.2, servers=4 + n) for n in range(10)]

    def answer(which: WhatIf) -> None:
        found = try_out(selectors.pools().get(pk=made.pk), which, timezone.now())
        assert found.needed is not None

    took = [_timed(partial(answer, one)) for _ in range(3) for one in tried]
    return {"samples_what_if_ms": round(median(took) * 1000, 1)}


def main() -> int:
    """Migrate and measure; the last line is JSON."""
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0, stdout=sys.stderr)
    print(json.dumps(measure()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
