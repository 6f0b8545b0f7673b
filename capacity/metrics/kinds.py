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

# Name: (unit, kind). Whoever uses one of these names means this: another unit under it would be read as this one.
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

DEMAND_UNIT = USUAL["requests_per_s"][0]
"""What a pool's demand and its ceiling are told in."""
SHARE = "share"
MOST_SHARE = 1.05
"""A share is 0 to 1; rates that a monitoring extrapolates lie a little above. A percentage does not."""
_NEVER_BELOW_0 = frozenset(MetricKind) - {MetricKind.OTHER}


def is_demand(unit: str, kind: str) -> bool:
    """Whether a metric of this unit and kind is a demand that servers must carry."""
    return unit == DEMAND_UNIT and kind == MetricKind.THROUGHPUT


def why_unlike(name: str, unit: str, kind: str) -> str:
    """Return why a unit or kind does not fit a usual name, "" if it does; an empty one says nothing."""
    usual = USUAL.get(name)
    if usual is None:
        return ""
    if unit and unit != usual[0]:
        return (
            f"unit: {name} is in “{usual[0]}”, never in “{unit}”. Convert it, or give it a name of its own."
        )
    if kind and kind != usual[1]:
        return f"kind: {name} is “{usual[1].value}”, never “{kind}”. Give it a name of its own."
    return ""


def why_impossible(value: float, unit: str, kind: str) -> str:
    """Return why a metric of this unit and kind cannot have such a value, "" if it can."""
    if unit == SHARE and not 0.0 <= value <= MOST_SHARE:
        return f"value: a share is 0 to 1, so it cannot be {value:g}. Divide percentages by 100."
    if value < 0.0 and kind in _NEVER_BELOW_0:
        return f"value: {value:g} is below 0, which cannot be."
    return ""
