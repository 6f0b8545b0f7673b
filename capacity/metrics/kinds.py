"""What a metric measures: which direction is good, whether it adds up over resources, and the usual names. Pure of database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import models


class MetricKind(models.TextChoices):
    """What a metric measures."""

    THROUGHPUT = "throughput", "work done in a time"
    LATENCY = "latency", "how long something takes"
    ERRORS = "errors", "share that fails"
    USE = "use", "share in use"
    COUNT = "count", "number of something"
    OTHER = "other", "something else"


class Good(models.TextChoices):
    """Which direction is good."""

    MORE = "more", "more is better"
    LESS = "less", "less is better"
    NEITHER = "neither", "neither"


@dataclass(frozen=True)
class Manner:
    """`adds_up`: the figures of several servers together are their sum; else there is only their mean, or none."""

    good: Good
    adds_up: bool


MANNERS: Mapping[MetricKind, Manner] = {
    MetricKind.THROUGHPUT: Manner(Good.MORE, adds_up=True),
    MetricKind.LATENCY: Manner(Good.LESS, adds_up=False),
    MetricKind.ERRORS: Manner(Good.LESS, adds_up=False),
    MetricKind.USE: Manner(Good.NEITHER, adds_up=False),
    MetricKind.COUNT: Manner(Good.NEITHER, adds_up=True),
    MetricKind.OTHER: Manner(Good.NEITHER, adds_up=False),
}

# Name: (unit, kind) of a metric whose sender says neither. Shares are 0 to 1.
USUAL: Mapping[str, tuple[str, MetricKind]] = {
    "requests_per_s": ("requests/s", MetricKind.THROUGHPUT),
    "latency_p50_ms": ("ms", MetricKind.LATENCY),
    "latency_p95_ms": ("ms", MetricKind.LATENCY),
    "latency_p99_ms": ("ms", MetricKind.LATENCY),
    "error_ratio": ("share", MetricKind.ERRORS),
    "cpu_share": ("share", MetricKind.USE),
    "memory_share": ("share", MetricKind.USE),
    "connections": ("connections", MetricKind.COUNT),
    "orders_per_min": ("orders/min", MetricKind.THROUGHPUT),
    "logins_per_min": ("log-ins/min", MetricKind.THROUGHPUT),
    "searches_per_min": ("searches/min", MetricKind.THROUGHPUT),
}
