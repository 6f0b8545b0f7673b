"""Reading a metric's series: raw, by hour or by day, as columns."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import connection, models

from capacity.metrics.binary import PG_EPOCH_US, copy_out
from capacity.metrics.models import Metric

FIGURES = ("mean", "min", "max", "p50", "p95")
_TABLES: Mapping[str, str] = {
    "raw": "capacity_sample",
    "hour": "capacity_hourlyrollup",
    "day": "capacity_dailyrollup",
}


class Step(models.TextChoices):
    """How finely a series is read."""

    RAW = "raw", "each sample"
    HOUR = "hour", "by the hour"
    DAY = "day", "by the day"


def columns_of(step: str) -> tuple[str, ...]:
    """Return the names of the columns of a series, the moment first."""
    return ("at", "value") if step == Step.RAW else ("at", "count", *FIGURES)


def read(
    metric: Metric, step: str, begins: datetime, ends: datetime, *, limit: int
) -> dict[str, npt.NDArray[Any]]:
    """Return the first `limit` points from `begins` on and before `ends`, as columns; `at` is microseconds since 1970, UTC."""
    kinds = {"at": "timestamptz", "count": "integer"}
    columns = {name: kinds.get(name, "double precision") for name in columns_of(step)}
    with connection.cursor() as cursor:
        found = copy_out(
            cursor,
            f"SELECT {', '.join(columns)} FROM {_TABLES[step]}"  # noqa: S608 - names of our own
            " WHERE metric_id = %s AND at >= %s AND at < %s ORDER BY at LIMIT %s",
            [metric.pk, begins, ends, limit],
            columns,
        )
    found["at"] = found["at"] + np.int64(PG_EPOCH_US)
    return found
