"""What the portal fetches by itself, and how that went last."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from capacity.metrics.kinds import MetricKind
from portal.crypto import EncryptedTextField
from portal.rows import Referenced

PULL_STATES = [
    ("pull_off", "switched off"),
    ("pull_failing", "fails"),
    ("pull_waiting", "not asked yet"),
    ("pull_empty", "answers without data"),
    ("pull_good", "comes in"),
]


class PullSource(models.TextChoices):
    """Who is asked; the samples have it as their source."""

    PROMETHEUS = "prometheus", "a Prometheus server"
    MONITORING = "monitoring", "the provider's monitoring"


class Pull(Referenced):
    """Series that are asked for again and again: a range query of a Prometheus server, or one metric of the provider's monitoring.

    Of a Prometheus server: `base_url`, `query`, `resource_label`. Of the monitoring behind `connection`: `metric` of a check of an
    entity, whose labels are kept as they were when it was chosen; its series is `resource`'s, times `factor`, and by how much it grew
    each second where `is_counter`.

    `token` goes as a bearer token, never shown again. `reached_at` is up to when it was asked; None before the first answer.
    `newest` is the last sample of each series, in seconds since 1970; `late_s` by how much they come late, as far as is waited for.
    `failures` are those in a row, `problem` the sentence of the last one, or what a good answer says of itself; `next_at` is when it is due, None while it is off.
    """

    is_titled_freely = True

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="pulls")
    source = models.CharField(
        max_length=12,
        choices=PullSource.choices,
        default=PullSource.PROMETHEUS,
        db_default=PullSource.PROMETHEUS.value,
    )
    connection = models.ForeignKey(
        "accounts.CloudConnection", null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    entity_id = models.CharField(max_length=100, blank=True, default="", db_default="")
    entity_label = models.CharField(max_length=300, blank=True, default="", db_default="")
    check_id = models.CharField(max_length=100, blank=True, default="", db_default="")
    check_label = models.CharField(max_length=300, blank=True, default="", db_default="")
    metric = models.CharField(max_length=300, blank=True, default="", db_default="")
    resource = models.CharField(max_length=200, blank=True, default="", db_default="")
    is_counter = models.BooleanField(default=False, db_default=False)
    factor = models.FloatField(default=1.0, db_default=1.0)
    name = models.CharField(max_length=100)
    resource_label = models.CharField(max_length=100, blank=True)
    unit = models.CharField(max_length=30, blank=True)
    kind = models.CharField(max_length=12, choices=MetricKind.choices, blank=True)
    base_url = models.URLField(max_length=300, blank=True)
    query = models.TextField(max_length=2000, blank=True)
    step_s = models.PositiveIntegerField(default=60)
    backfill_days = models.PositiveIntegerField(default=14)
    token = EncryptedTextField(blank=True, default="")
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField(auto_now_add=True)

    next_at = models.DateTimeField(null=True, blank=True)
    reached_at = models.DateTimeField(null=True, blank=True)
    asked_at = models.DateTimeField(null=True, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    series = models.PositiveIntegerField(null=True, blank=True)
    samples = models.PositiveBigIntegerField(default=0)
    newest = models.JSONField(default=dict, db_default={}, blank=True)
    late_s = models.PositiveIntegerField(default=0, db_default=0)
    failures = models.PositiveIntegerField(default=0)
    problem = models.CharField(max_length=500, blank=True)

    account_path = "account"
    # Figures of how it goes, not changes by people.
    unrecorded_fields = (
        "next_at",
        "reached_at",
        "asked_at",
        "answered_at",
        "series",
        "samples",
        "newest",
        "late_s",
        "failures",
        "problem",
    )
    rule_says = {
        "pull_once": "This account asks this query for this metric already.",
        "pull_series_once": "This series is fetched from the provider's monitoring already. Name another metric or resource.",
        "pull_whole": "A query needs the server's address and its text; a series of the monitoring its connection, check and metric.",
        "pull_factor": "The factor is more than 0, at most 1e9.",
        "pull_step": "The step is from 10 s to a day.",
        "pull_backfill": "At most a year is fetched at the beginning.",
    }

    class Meta:
        app_label = "capacity"
        constraints = [
            models.UniqueConstraint(
                name="pull_once",
                fields=["account", "name", "base_url", "query"],
                condition=Q(source=PullSource.PROMETHEUS),
            ),
            models.UniqueConstraint(
                name="pull_series_once",
                fields=["account", "name", "resource"],
                condition=Q(source=PullSource.MONITORING),
            ),
            models.CheckConstraint(
                name="pull_whole",
                condition=(
                    Q(source=PullSource.PROMETHEUS, connection__isnull=True) & ~Q(base_url="") & ~Q(query="")
                )
                | (
                    Q(source=PullSource.MONITORING, connection__isnull=False)
                    & ~Q(entity_id="")
                    & ~Q(check_id="")
                    & ~Q(metric="")
                ),
            ),
            models.CheckConstraint(name="pull_factor", condition=Q(factor__gt=0, factor__lte=1e9)),
            models.CheckConstraint(name="pull_step", condition=Q(step_s__gte=10, step_s__lte=86_400)),
            models.CheckConstraint(name="pull_backfill", condition=Q(backfill_days__lte=366)),
        ]
        indexes = [models.Index(fields=["next_at"], name="pull_due", condition=Q(next_at__isnull=False))]

    def __str__(self) -> str:
        return self.name

    @property
    def is_of_provider(self) -> bool:
        """Whether it comes from the provider's monitoring."""
        return self.source == PullSource.MONITORING

    @property
    def is_on(self) -> bool:
        """Whether it is asked."""
        return self.next_at is not None

    @property
    def state(self) -> str:
        """How it stands, one of `PULL_STATES`."""
        if not self.is_on:
            return "pull_off"
        if self.failures:
            return "pull_failing"
        if self.answered_at is None:
            return "pull_waiting"
        return "pull_good" if self.series else "pull_empty"
