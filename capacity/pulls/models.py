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


class Pull(Referenced):
    """One range query that is asked again and again. Its samples have the source `prometheus`.

    `token` goes as a bearer token, never shown again. `reached_at` is up to when it was asked; None before the first answer.
    `newest` is the last sample of each series, in seconds since 1970; `late_s` by how much they come late, as far as is waited for.
    `failures` are those in a row, `problem` the sentence of the last one; `next_at` is when it is due, None while it is off.
    """

    is_titled_freely = True

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="pulls")
    name = models.CharField(max_length=100)
    resource_label = models.CharField(max_length=100, blank=True)
    unit = models.CharField(max_length=30, blank=True)
    kind = models.CharField(max_length=12, choices=MetricKind.choices, blank=True)
    base_url = models.URLField(max_length=300)
    query = models.TextField(max_length=2000)
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
        "pull_step": "The step is from 10 s to a day.",
        "pull_backfill": "At most a year is fetched at the beginning.",
    }

    class Meta:
        app_label = "capacity"
        constraints = [
            models.UniqueConstraint(name="pull_once", fields=["account", "name", "base_url", "query"]),
            models.CheckConstraint(name="pull_step", condition=Q(step_s__gte=10, step_s__lte=86_400)),
            models.CheckConstraint(name="pull_backfill", condition=Q(backfill_days__lte=366)),
        ]
        indexes = [models.Index(fields=["next_at"], name="pull_due", condition=Q(next_at__isnull=False))]

    def __str__(self) -> str:
        return self.name

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
