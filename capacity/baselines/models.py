"""A baseline that was measured and approved, in versions; and how each later measurement lies to it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from capacity.comparing import Verdict
from portal.rows import Referenced


class BaselineStatus(models.TextChoices):
    """Where a version stands. Which of the approved ones counts is told by its number: the highest of its pool."""

    AWAITING = "awaiting_approval", "awaiting approval"
    APPROVED = "approved", "approved"
    REJECTED = "rejected", "rejected"
    VOIDED = "voided", "no longer valid"
    EXPIRED = "expired", "expired"


class BaselineVerdict(models.TextChoices):
    """How a measurement lies to a baseline, for people (`comparing.Verdict`)."""

    BETTER = Verdict.BETTER.value, "better"
    SAME = Verdict.SAME.value, "the same"
    WORSE = Verdict.WORSE.value, "worse"
    NOT_COMPARABLE = Verdict.NOT_COMPARABLE.value, "not comparable"


class BaselineSource(models.TextChoices):
    """What it was measured by."""

    BENCHMARK = "benchmark", "benchmark"
    SERIES = "series", "stretch of series"


class MeasuredBaseline(Referenced):
    """One version of a pool's baseline. `content` is what both sides approve (`evidence.to_plain` and where it came from).

    Nothing of it is ever changed but `status` and `decided_at`: a newer one is a new version. The columns beside
    `content` are copies, for lists. `owner` looks after it: is told once it is old, or once the site does worse.
    """

    is_titled_freely = True

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="+")
    connection = models.ForeignKey("accounts.CloudConnection", on_delete=models.CASCADE, related_name="+")
    balancer_id = models.CharField(max_length=64)
    version = models.PositiveIntegerField()
    source = models.CharField(max_length=10, choices=BaselineSource.choices)
    benchmark = models.ForeignKey(
        "capacity.Benchmark", null=True, blank=True, on_delete=models.CASCADE, related_name="baselines"
    )
    resource = models.CharField(max_length=200, blank=True)
    begins_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)
    content = models.JSONField()
    load_per_node_rps = models.FloatField(null=True, blank=True)
    p50_ms = models.FloatField(null=True, blank=True)
    p95_ms = models.FloatField(null=True, blank=True)
    error_ratio = models.FloatField(null=True, blank=True)
    software = models.CharField(max_length=200, blank=True)
    measured_at = models.DateTimeField()
    valid_until = models.DateTimeField()
    reason = models.TextField(max_length=2000)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField()
    request = models.OneToOneField("approvals.ApprovalRequest", models.PROTECT, related_name="+")
    status = models.CharField(max_length=20, choices=BaselineStatus.choices, default=BaselineStatus.AWAITING)
    decided_at = models.DateTimeField(null=True, blank=True)

    account_path = "account"
    rule_says = {
        "measured_baseline_version_once": "Somebody proposed a baseline of this pool at this moment. Propose it again.",
        "measured_baseline_has_a_source": "A baseline comes from a benchmark, or from a stretch of series.",
        "measured_baseline_lasts": "A baseline is valid until a day after it was measured.",
        "measured_baseline_status_known": "A baseline waits for approval, or is approved, rejected or ended.",
    }

    class Meta:
        app_label = "capacity"
        constraints = [
            models.UniqueConstraint(
                name="measured_baseline_version_once", fields=["connection", "balancer_id", "version"]
            ),
            models.CheckConstraint(
                name="measured_baseline_has_a_source",
                condition=Q(source="benchmark", benchmark__isnull=False, begins_at__isnull=True)
                | Q(
                    source="series",
                    benchmark__isnull=True,
                    begins_at__isnull=False,
                    ends_at__gt=F("begins_at"),
                ),
            ),
            models.CheckConstraint(
                name="measured_baseline_lasts", condition=Q(valid_until__gt=F("measured_at"))
            ),
            models.CheckConstraint(
                name="measured_baseline_status_known", condition=Q(status__in=BaselineStatus.values)
            ),
        ]
        indexes = [
            models.Index(fields=["account", "-id"], name="measured_baseline_account"),
            models.Index(
                fields=["connection", "balancer_id", "-version"],
                name="measured_baseline_newest",
                condition=Q(status="approved"),
            ),
        ]

    def __str__(self) -> str:
        return f"baseline {self.version} of load balancer {self.balancer_id}"


class BaselineComparison(Referenced):
    """How one later measurement lies to one baseline. Made anew where what is known of the measurement changes."""

    baseline = models.ForeignKey(MeasuredBaseline, on_delete=models.CASCADE, related_name="comparisons")
    benchmark = models.ForeignKey(
        "capacity.Benchmark", null=True, blank=True, on_delete=models.CASCADE, related_name="comparisons"
    )
    begins_at = models.DateTimeField(null=True, blank=True)
    measured_at = models.DateTimeField()
    verdict = models.CharField(max_length=16, choices=BaselineVerdict.choices)
    found = models.JSONField()
    software = models.CharField(max_length=200, blank=True)
    compared_at = models.DateTimeField()
    told_at = models.DateTimeField(null=True, blank=True)
    """When it was told that this measurement confirms that the site does worse: once, against whatever version."""

    account_path = "baseline__account"
    # Made by the portal from what is kept; the measurement and the baseline are on record.
    unrecorded_fields = ("verdict", "found", "compared_at", "told_at")

    class Meta:
        app_label = "capacity"
        constraints = [
            models.UniqueConstraint(
                name="baseline_comparison_benchmark_once",
                fields=["baseline", "benchmark"],
                condition=Q(benchmark__isnull=False),
            ),
            models.UniqueConstraint(
                name="baseline_comparison_stretch_once",
                fields=["baseline", "begins_at"],
                condition=Q(begins_at__isnull=False),
            ),
            models.CheckConstraint(
                name="baseline_comparison_verdict_known",
                condition=Q(verdict__in=BaselineVerdict.values),
            ),
        ]
        indexes = [models.Index(fields=["baseline", "-measured_at"], name="baseline_comparison_newest")]

    def __str__(self) -> str:
        return f"{self.verdict} than {self.baseline_id}"


class LimitKind(models.TextChoices):
    """What of a pool is the limit."""

    DATABASE = "database", "database"
    CACHE = "cache", "cache"
    PARTNER = "partner", "partner"
    BANDWIDTH = "bandwidth", "bandwidth"
    OTHER = "other", "something else"


class PoolLimit(Referenced):
    """What a pool carries at most however many servers it has: its database, cache, a partner or its bandwidth."""

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="+")
    connection = models.ForeignKey("accounts.CloudConnection", on_delete=models.CASCADE, related_name="+")
    balancer_id = models.CharField(max_length=64)
    kind = models.CharField(max_length=10, choices=LimitKind.choices)
    requests_per_s = models.FloatField()
    source = models.CharField(max_length=200)
    entered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    at = models.DateTimeField()
    void_at = models.DateTimeField(null=True, blank=True)
    """When somebody took it back: then nothing is known of this kind, whatever was entered before it."""

    account_path = "account"
    rule_says = {"pool_limit_positive": "What the pool carries at most is above 0 requests per second."}

    class Meta:
        app_label = "capacity"
        constraints = [
            models.CheckConstraint(name="pool_limit_positive", condition=Q(requests_per_s__gt=0)),
            models.CheckConstraint(
                name="pool_limit_kind_known",
                condition=Q(kind__in=LimitKind.values),
            ),
        ]
        indexes = [models.Index(fields=["connection", "balancer_id", "-at"], name="pool_limit_newest")]

    def __str__(self) -> str:
        return f"{self.requests_per_s:g} requests/s for the pool ({self.kind})"
