"""A benchmark that was taken in: what its file told, where it ran, who handed it in and why."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from portal.rows import Referenced


class Benchmark(Referenced):
    """What one file of a load generator told. `result` is `BenchmarkResult.as_plain()`; what it did not tell is None.

    The columns beside it are copies, for lists and comparisons. `ran_at` is when it began; of a file that does not tell, what a
    person said, else None. A benchmark is never changed by a newer file; what was wrong with it is set aside with a reason.
    """

    is_titled_freely = True

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="benchmarks")
    connection = models.ForeignKey(
        "accounts.CloudConnection", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    balancer_id = models.CharField(max_length=64, blank=True)
    title = models.CharField(max_length=200)
    reason = models.TextField(blank=True, max_length=2000)

    tool = models.CharField(max_length=40)
    format = models.CharField(max_length=40)
    result = models.JSONField()
    # So many of its steps are long enough to count (`ceiling.why_thin`): with fewer than three it is no run by steps, and however
    # many quick ones come after one that is, they hide none.
    long_steps = models.GeneratedField(
        expression=models.Func(
            "result",
            template="jsonb_array_length(jsonb_path_query_array(%(expressions)s, "
            "'$.steps[*] ? (!exists(@.length_s) || @.length_s == null || @.length_s >= 55)'))",
        ),
        output_field=models.IntegerField(),
        db_persist=True,
    )
    ran_at = models.DateTimeField(null=True, blank=True)
    duration_s = models.FloatField(null=True, blank=True)
    users = models.PositiveIntegerField(null=True, blank=True)
    requests = models.BigIntegerField(null=True, blank=True)
    requests_per_s = models.FloatField(null=True, blank=True)
    error_ratio = models.FloatField(null=True, blank=True)
    p50_ms = models.FloatField(null=True, blank=True)
    p95_ms = models.FloatField(null=True, blank=True)
    p99_ms = models.FloatField(null=True, blank=True)

    node_count = models.PositiveIntegerField(null=True, blank=True)
    flavor = models.CharField(max_length=100, blank=True)
    software = models.CharField(max_length=200, blank=True)
    mix = models.CharField(max_length=200, blank=True)
    # What tells whether the load generator was the limit; None is not said.
    generator_cpu = models.FloatField(null=True, blank=True)
    generator_addresses = models.PositiveIntegerField(null=True, blank=True)
    tied_to_address = models.BooleanField(null=True, blank=True)
    was_aborted = models.BooleanField(default=False, db_default=False)

    file_name = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)
    size_bytes = models.BigIntegerField()
    taken_in_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    taken_in_at = models.DateTimeField()
    set_aside_at = models.DateTimeField(null=True, blank=True)
    set_aside_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    set_aside_because = models.TextField(blank=True, max_length=2000)

    account_path = "account"
    rule_says = {
        "benchmark_error_ratio_is_share": "The share of failed requests is from 0 to 100 %.",
        "benchmark_nodes_positive": "At least one server took part.",
        "benchmark_generator_cpu_is_share": "How busy the generator was is a share from 0 to 100 %.",
        "benchmark_generator_addresses_positive": "Requests come from at least one address.",
        "benchmark_set_aside_says_why": "Say why it does not count.",
        "benchmark_of_a_pool": "A load balancer belongs to a cloud connection; name both, or neither.",
        "benchmark_file_once": "This file was taken in already.",
    }

    class Meta:
        app_label = "capacity"
        constraints = [
            # Set aside as of the wrong pool it can be handed in once more, of another one.
            models.UniqueConstraint(
                name="benchmark_file_once",
                fields=["account", "sha256"],
                condition=Q(set_aside_at__isnull=True),
            ),
            models.CheckConstraint(
                name="benchmark_error_ratio_is_share",
                condition=Q(error_ratio__isnull=True) | Q(error_ratio__gte=0, error_ratio__lte=1),
            ),
            models.CheckConstraint(
                name="benchmark_nodes_positive",
                condition=Q(node_count__isnull=True) | Q(node_count__gt=0),
            ),
            models.CheckConstraint(
                name="benchmark_generator_cpu_is_share",
                condition=Q(generator_cpu__isnull=True) | Q(generator_cpu__gte=0, generator_cpu__lte=1),
            ),
            models.CheckConstraint(
                name="benchmark_generator_addresses_positive",
                condition=Q(generator_addresses__isnull=True) | Q(generator_addresses__gt=0),
            ),
            models.CheckConstraint(
                name="benchmark_set_aside_says_why",
                condition=Q(set_aside_at__isnull=True)
                | (~Q(set_aside_because="") & Q(set_aside_by__isnull=False)),
            ),
            models.CheckConstraint(
                name="benchmark_of_a_pool", condition=Q(balancer_id="") | Q(connection__isnull=False)
            ),
        ]
        indexes = [
            models.Index(
                F("account"), F("ran_at").desc(nulls_last=True), F("id").desc(), name="benchmark_newest"
            ),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def has_only_failures(self) -> bool:
        """Whether every request failed: how many did so a second is no rate that anything carried."""
        return self.error_ratio == 1.0

    @property
    def requests_per_s_per_node(self) -> float | None:
        """Return the load of one server in requests per second; None while either figure is unknown, or nothing was carried."""
        if self.requests_per_s is None or not self.node_count or self.has_only_failures:
            return None
        return self.requests_per_s / self.node_count


class BenchmarkFile(models.Model):
    """The file as it was handed in, compressed with zlib; apart, so that no list reads it."""

    benchmark = models.OneToOneField(Benchmark, on_delete=models.CASCADE, related_name="file")
    packed = models.BinaryField()

    account_path = "benchmark__account"

    class Meta:
        app_label = "capacity"

    def __str__(self) -> str:
        return str(self.benchmark_id)
