"""What is known of a site's traffic and size, entered by hand or through the API, with source and author.

A *site* here is one pool: a cloud connection and the id of its load balancer at the provider.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from portal.rows import Referenced


class TrafficEvent(Referenced):
    """A stretch of time with exceptional traffic. Peaks are None while nobody knows them.

    `contacts` are called during it; without any, the account's are. `freeze` is its own entry in the calendar, from some hours before
    it to some hours after it: entered, moved and called off with it. `is_peak_measured`: the portal took the observed peak from
    a series, so a higher hour takes its place.
    """

    is_titled_freely = True

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="traffic_events")
    name = models.CharField(max_length=200)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    expected_multiple = models.FloatField(null=True, blank=True)
    observed_peak_rps = models.FloatField(null=True, blank=True)
    is_peak_measured = models.BooleanField(default=False, db_default=False)
    source = models.CharField(max_length=200, blank=True)
    contacts = models.ManyToManyField("accounts.Contact", blank=True, related_name="traffic_events")
    freeze = models.OneToOneField(
        "accounts.CalendarEntry",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="traffic_event",
    )
    freeze_hours_before = models.PositiveSmallIntegerField(default=0, db_default=0)
    freeze_hours_after = models.PositiveSmallIntegerField(default=0, db_default=0)
    entered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True, db_default=Now())

    account_path = "account"
    rule_says = {
        "event_ends_after_start": "An event ends after it starts.",
        "event_multiple_positive": "The expected multiple must be above 0.",
        "event_peak_not_negative": "The observed peak cannot be below 0.",
    }

    class Meta:
        constraints = [
            models.CheckConstraint(name="event_ends_after_start", condition=Q(ends_at__gt=F("starts_at"))),
            models.CheckConstraint(
                name="event_multiple_positive",
                condition=Q(expected_multiple__isnull=True) | Q(expected_multiple__gt=0),
            ),
            models.CheckConstraint(
                name="event_peak_not_negative",
                condition=Q(observed_peak_rps__isnull=True) | Q(observed_peak_rps__gte=0),
            ),
        ]
        indexes = [models.Index(fields=["account", "-starts_at"], name="event_account")]

    def __str__(self) -> str:
        return self.name


class _OfPool(Referenced):
    """What belongs to one pool of one account."""

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="+")
    connection = models.ForeignKey("accounts.CloudConnection", on_delete=models.CASCADE, related_name="+")
    balancer_id = models.CharField(max_length=64)

    account_path = "account"

    class Meta:
        abstract = True


class Ceiling(_OfPool):
    """The highest load that one node of a pool carries within its objective, in requests per second.

    `rank` says what it rests on ("": somebody entered it), `benchmark` which run; where that is set aside or proves nothing
    the figure does not count, nor from `void_at` on, when it was said that the run was measured under something else. `is_least`:
    it carried that much and was never pushed to where it fails. `measured_at` is when it carried it, `at` when it was let count. It belongs to a size of servers, a version of the software and a mix of requests; "" is *not said*.
    """

    requests_per_s = models.FloatField()
    source = models.CharField(max_length=200)
    rank = models.CharField(max_length=10, blank=True, db_default="")
    is_least = models.BooleanField(default=False, db_default=False)
    benchmark = models.ForeignKey(
        "capacity.Benchmark", null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    flavor = models.CharField(max_length=100, blank=True, db_default="")
    software = models.CharField(max_length=200, blank=True, db_default="")
    mix = models.CharField(max_length=200, blank=True, db_default="")
    # The mix that a person chose by letting this count, for whatever is let count later too; "" where nobody chose one.
    chosen_mix = models.CharField(max_length=200, blank=True, default="", db_default="")
    entered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    measured_at = models.DateTimeField(null=True, blank=True)
    at = models.DateTimeField()
    void_at = models.DateTimeField(null=True, blank=True)

    rule_says = {
        "ceiling_positive": "The most that one server carries must be above 0 requests per second.",
        "ceiling_rank_known": "A ceiling is entered, seen live, or comes from a step benchmark.",
    }

    class Meta:
        constraints = [
            models.CheckConstraint(name="ceiling_positive", condition=Q(requests_per_s__gt=0)),
            # A simple benchmark never counts alone, so none of its rank is kept.
            models.CheckConstraint(name="ceiling_rank_known", condition=Q(rank__in=["", "live", "steps"])),
        ]
        indexes = [models.Index(fields=["connection", "balancer_id", "-at"], name="ceiling_newest")]

    def __str__(self) -> str:
        return f"{self.requests_per_s:g} requests/s per node"


class ForecastPeak(_OfPool):
    """The load that the whole pool is expected to see at its next peak, in requests per second."""

    requests_per_s = models.FloatField()
    expected_at = models.DateTimeField(null=True, blank=True)
    """When the peak is expected; None is unknown."""
    source = models.CharField(max_length=200)
    entered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    at = models.DateTimeField()

    rule_says = {"forecast_positive": "The next peak must be above 0 requests per second."}

    class Meta:
        constraints = [
            models.CheckConstraint(name="forecast_positive", condition=Q(requests_per_s__gt=0)),
        ]
        indexes = [models.Index(fields=["connection", "balancer_id", "-at"], name="forecast_newest")]

    def __str__(self) -> str:
        return f"{self.requests_per_s:g} requests/s for the pool"


class FineLoad(_OfPool):
    """A load per node under which the site was fine, in requests per second, as somebody saw it at `seen_at`.

    The highest of the last 14 days is the guard of a pool whose ceiling nobody knows.
    """

    requests_per_s = models.FloatField()
    seen_at = models.DateTimeField()
    source = models.CharField(max_length=200)
    entered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    at = models.DateTimeField()

    rule_says = {
        "fine_load_positive": "A load that was fine is above 0 requests per second.",
        "fine_load_seen_before": "A load that was fine was seen before it is entered.",
    }

    class Meta:
        constraints = [
            models.CheckConstraint(name="fine_load_positive", condition=Q(requests_per_s__gt=0)),
            models.CheckConstraint(name="fine_load_seen_before", condition=Q(seen_at__lte=F("at"))),
        ]
        indexes = [models.Index(fields=["connection", "balancer_id", "-seen_at"], name="fine_load_newest")]

    def __str__(self) -> str:
        return f"{self.requests_per_s:g} requests/s per node were fine"


class Objective(_OfPool):
    """What the site promises: the share of requests that may fail, and how fast `latency_share` of the answers are."""

    error_ratio = models.FloatField(null=True, blank=True)
    latency_ms = models.FloatField(null=True, blank=True)
    latency_share = models.FloatField(default=0.95)
    source = models.CharField(max_length=200)
    entered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    at = models.DateTimeField()

    rule_says = {
        "objective_says_something": "An objective names a share of failed requests, a latency, or both.",
        "objective_error_ratio_is_share": "The share of requests that may fail is from 0 to below 100 %.",
        "objective_latency_positive": "A latency is above 0 ms.",
        "objective_latency_share_is_share": "The share of answers that are fast enough lies between 0 and 100 %.",
    }

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="objective_says_something",
                condition=Q(error_ratio__isnull=False) | Q(latency_ms__isnull=False),
            ),
            models.CheckConstraint(
                name="objective_error_ratio_is_share",
                condition=Q(error_ratio__isnull=True) | Q(error_ratio__gte=0, error_ratio__lt=1),
            ),
            models.CheckConstraint(
                name="objective_latency_positive",
                condition=Q(latency_ms__isnull=True) | Q(latency_ms__gt=0),
            ),
            models.CheckConstraint(
                name="objective_latency_share_is_share",
                condition=Q(latency_share__gt=0, latency_share__lt=1),
            ),
        ]
        indexes = [models.Index(fields=["connection", "balancer_id", "-at"], name="objective_newest")]

    def __str__(self) -> str:
        return f"objective of {self.balancer_id}"


class Baseline(_OfPool):
    """What one probe of a pool was measured at under one load per node. None is *not measured*.

    `probe` is the probe's name; empty where it is of the pool's only one. `measured_at` is the middle of the stretch.
    """

    probe = models.CharField(max_length=100, blank=True)
    load_per_node_rps = models.FloatField(null=True, blank=True)
    latency_p50_ms = models.FloatField(null=True, blank=True)
    latency_p95_ms = models.FloatField(null=True, blank=True)
    error_ratio = models.FloatField(null=True, blank=True)
    measured_at = models.DateTimeField()
    source = models.CharField(max_length=200)
    entered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    at = models.DateTimeField()

    rule_says = {
        "baseline_says_something": "A baseline has a latency or a share of failed requests.",
        "baseline_load_positive": "The load per server of a baseline is above 0 requests per second.",
        "baseline_latencies_positive": "A latency is above 0 ms.",
        "baseline_latencies_in_order": "95 of 100 answers take at least as long as 50 of 100.",
        "baseline_error_ratio_is_share": "The share of failed requests is from 0 to below 100 %.",
        "baseline_measured_before": "A baseline was measured before it is entered.",
    }

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="baseline_says_something",
                condition=Q(latency_p50_ms__isnull=False)
                | Q(latency_p95_ms__isnull=False)
                | Q(error_ratio__isnull=False),
            ),
            models.CheckConstraint(
                name="baseline_load_positive",
                condition=Q(load_per_node_rps__isnull=True) | Q(load_per_node_rps__gt=0),
            ),
            models.CheckConstraint(
                name="baseline_latencies_positive",
                condition=(Q(latency_p50_ms__isnull=True) | Q(latency_p50_ms__gt=0))
                & (Q(latency_p95_ms__isnull=True) | Q(latency_p95_ms__gt=0)),
            ),
            models.CheckConstraint(
                name="baseline_latencies_in_order",
                condition=Q(latency_p50_ms__isnull=True)
                | Q(latency_p95_ms__isnull=True)
                | Q(latency_p95_ms__gte=F("latency_p50_ms")),
            ),
            models.CheckConstraint(
                name="baseline_error_ratio_is_share",
                condition=Q(error_ratio__isnull=True) | Q(error_ratio__gte=0, error_ratio__lt=1),
            ),
            models.CheckConstraint(name="baseline_measured_before", condition=Q(measured_at__lte=F("at"))),
        ]
        indexes = [models.Index(fields=["connection", "balancer_id", "-measured_at"], name="baseline_newest")]

    def __str__(self) -> str:
        return f"baseline of {self.balancer_id}, {self.measured_at:%Y-%m-%d %H:%M}"


class Probe(_OfPool):
    """An HTTP check of the customer's site with expectations."""

    name = models.CharField(max_length=100)
    url = models.URLField(max_length=500)
    method = models.CharField(max_length=4, choices=[("GET", "GET"), ("HEAD", "HEAD")], default="GET")
    expected_status_low = models.PositiveSmallIntegerField(default=200)
    expected_status_high = models.PositiveSmallIntegerField(default=299)
    must_contain = models.CharField(max_length=200, blank=True)
    timeout_s = models.FloatField(default=5.0)
    latency_limit_ms = models.FloatField(null=True, blank=True)

    rule_says = {
        "probe_status_range": "The expected statuses go from 100 to 599, the lower one first.",
        "probe_timeout": "A probe waits more than 0 s and at most 60 s.",
        "probe_latency_positive": "The slowest good answer must be above 0 ms.",
    }

    class Meta:
        constraints = [
            models.UniqueConstraint(name="probe_name_once", fields=["connection", "balancer_id", "name"]),
            models.CheckConstraint(
                name="probe_status_range",
                condition=Q(expected_status_low__gte=100)
                & Q(expected_status_high__lte=599)
                & Q(expected_status_high__gte=F("expected_status_low")),
            ),
            models.CheckConstraint(name="probe_timeout", condition=Q(timeout_s__gt=0, timeout_s__lte=60)),
            models.CheckConstraint(
                name="probe_latency_positive",
                condition=Q(latency_limit_ms__isnull=True) | Q(latency_limit_ms__gt=0),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class CountKind(models.TextChoices):
    """How a server's own status URL tells its connections."""

    NGINX_STUB_STATUS = "nginx_stub_status", "nginx stub_status"
    APACHE_STATUS = "apache_status", "Apache server-status?auto"
    PLAIN_NUMBER = "plain_number", "a page that answers one number"


class CountSource(_OfPool):
    """Where the connection count of each server of a pool is read; `{address}` stands for the server's."""

    kind = models.CharField(max_length=20, choices=CountKind.choices)
    url_template = models.CharField(max_length=500)

    rule_says = {"count_source_names_address": "{address} must stand in it: each server has its own."}

    class Meta:
        constraints = [
            models.UniqueConstraint(name="count_source_once", fields=["connection", "balancer_id"]),
            models.CheckConstraint(name="count_source_kind_known", condition=Q(kind__in=CountKind.values)),
            models.CheckConstraint(
                name="count_source_names_address",
                condition=Q(url_template__contains="{address}"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.balancer_id}"


# Django looks for models in an app's `models` module: those of its packages are named here.
from capacity.baselines import models as _baselines  # noqa: E402,F401
from capacity.benchmarks import models as _benchmarks  # noqa: E402,F401
from capacity.hosts import models as _hosts  # noqa: E402,F401
from capacity.loads import models as _loads  # noqa: E402,F401
from capacity.markers import models as _markers  # noqa: E402,F401
from capacity.metrics import models as _metrics  # noqa: E402,F401
from capacity.pulls import models as _pulls  # noqa: E402,F401
from capacity.reports import models as _reports  # noqa: E402,F401
