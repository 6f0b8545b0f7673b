"""A metric, its samples and what they are rolled up into."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from capacity.metrics.kinds import MANNERS, Manner, MetricKind
from portal.rows import Referenced


class Metric(Referenced):
    """One series of an account: `name` of `resource` as `source` tells it. No resource: the whole account.

    `last_at` and `last_value` are those of its latest sample, None before the first; they outlive the raw samples.
    """

    is_titled_freely = True

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="metrics")
    resource = models.CharField(max_length=200, blank=True)
    name = models.CharField(max_length=100)
    source = models.CharField(max_length=100)
    unit = models.CharField(max_length=30, blank=True)
    kind = models.CharField(max_length=12, choices=MetricKind.choices, default=MetricKind.OTHER)
    is_vital = models.BooleanField(default=False)
    last_at = models.DateTimeField(null=True)
    last_value = models.FloatField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    account_path = "account"
    # Figures, not changes by people.
    unrecorded_fields = ("last_at", "last_value")

    class Meta:
        app_label = "capacity"
        constraints = [
            models.UniqueConstraint(name="metric_once", fields=["account", "name", "resource", "source"]),
            models.CheckConstraint(name="metric_kind_known", condition=Q(kind__in=MetricKind.values)),
            models.CheckConstraint(
                name="metric_last_whole",
                condition=Q(last_at__isnull=True, last_value__isnull=True)
                | Q(last_at__isnull=False, last_value__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.resource}" if self.resource else self.name

    @property
    def manner(self) -> Manner:
        """Which direction is good, and whether it adds up."""
        return MANNERS[MetricKind(self.kind)]


class Sample(models.Model):
    """One value at one moment. In PostgreSQL a table in parts, one for each month (`capacity/metrics/partitions.py`).

    No foreign key in the database: asking for each sample cost as much as writing it. Samples are written by
    `capacity/metrics/store.py` alone, to metrics whose account it has locked.
    """

    pk = models.CompositePrimaryKey("metric", "at")
    metric = models.ForeignKey(
        Metric, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    at = models.DateTimeField()
    value = models.FloatField()

    account_path = "metric__account"

    class Meta:
        app_label = "capacity"

    def __str__(self) -> str:
        return f"{self.value:g} at {self.at:%Y-%m-%d %H:%M:%S}"


class _Rollup(models.Model):
    """What the samples from `at` on come to, for as long as the rollup is. Percentiles lie between the nearest two samples."""

    pk = models.CompositePrimaryKey("metric", "at")
    metric = models.ForeignKey(
        Metric, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    at = models.DateTimeField()
    count = models.PositiveIntegerField()
    mean = models.FloatField()
    min = models.FloatField()
    max = models.FloatField()
    p50 = models.FloatField()
    p95 = models.FloatField()

    account_path = "metric__account"

    class Meta:
        abstract = True


class HourlyRollup(_Rollup):
    """An hour of samples."""

    class Meta:
        app_label = "capacity"

    def __str__(self) -> str:
        return f"{self.mean:g} in the hour from {self.at:%Y-%m-%d %H:%M}"


class DailyRollup(_Rollup):
    """A day of samples, UTC (docs/decisions/0039)."""

    class Meta:
        app_label = "capacity"

    def __str__(self) -> str:
        return f"{self.mean:g} on {self.at:%Y-%m-%d}"
