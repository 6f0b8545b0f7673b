"""A metric's growth report, the events that were detected in it, the pools that are sized by one, and what servers cost."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Exists, F, OuterRef, Q

from capacity.metrics.models import Metric
from capacity.sizing import Lasts, Runway
from portal.rows import Referenced

ENDED_AFTER = timedelta(days=3)
"""A series of which nothing came for so long says nothing of what comes today."""


class ReportState(models.TextChoices):
    """Where a report stands."""

    WAITING = "waiting", "waiting to be made"
    MADE = "made", "made"
    TOO_SHORT = "too_short", "cannot be made"


class GrowthReport(Referenced):
    """What the analysis of a metric's last year says; made anew each night and when somebody asks. One for each metric.

    Growth is a fraction a month. `peak` is the usual highest hour of a week without events, with the bounds of its 80 %
    interval, as of `analysed_until`; `next_peak` the highest hour of the four weeks to come. None is *not known*.
    `begun_at` keeps two workers, and a series that nobody can analyse, from standing in each other's way.
    """

    metric = models.OneToOneField(Metric, on_delete=models.CASCADE, related_name="growth_report")
    state = models.CharField(max_length=10, choices=ReportState, default=ReportState.WAITING)
    says = models.CharField(max_length=500, blank=True)
    asked_at = models.DateTimeField()
    begun_at = models.DateTimeField(null=True)
    made_at = models.DateTimeField(null=True)
    analysed_from = models.DateTimeField(null=True)
    analysed_until = models.DateTimeField(null=True)
    days = models.PositiveIntegerField(default=0)
    level = models.FloatField(null=True)
    growth = models.FloatField(null=True)
    growth_low = models.FloatField(null=True)
    growth_high = models.FloatField(null=True)
    peak = models.FloatField(null=True)
    peak_low = models.FloatField(null=True)
    peak_high = models.FloatField(null=True)
    next_peak = models.FloatField(null=True)
    next_peak_low = models.FloatField(null=True)
    next_peak_high = models.FloatField(null=True)
    next_peak_at = models.DateTimeField(null=True)
    shifts = models.JSONField(default=list)
    model_name = models.CharField(max_length=200, blank=True)
    is_naive = models.BooleanField(default=False)
    tested = models.JSONField(null=True)
    """How forecasts from earlier origins did: `mase`, `naive_mase`, `covered` (50, 80, 95), `origins`, `horizon_h`."""
    notes = models.JSONField(default=list)

    account_path = "metric__account"
    # Figures of a machine, made anew each night.
    unrecorded_fields = ("asked_at", "begun_at", "made_at")

    class Meta:
        app_label = "capacity"
        constraints = [
            models.CheckConstraint(name="report_state_known", condition=Q(state__in=ReportState.values)),
            models.CheckConstraint(
                name="report_made_at_a_time",
                condition=Q(state=ReportState.WAITING) | Q(made_at__isnull=False),
            ),
        ]
        indexes = [models.Index(F("made_at").asc(nulls_first=True), name="report_oldest")]

    def __str__(self) -> str:
        return f"growth of {self.metric}"


class GrowthPicture(models.Model):
    """What a report draws, packed: the band of each hour that was analysed, and the forecast (capacity/reports/packing.py)."""

    report = models.OneToOneField(GrowthReport, on_delete=models.CASCADE, related_name="picture")
    band = models.BinaryField()
    cone = models.BinaryField()

    account_path = "report__metric__account"

    class Meta:
        app_label = "capacity"

    def __str__(self) -> str:
        return str(self.report_id)


class DetectedState(models.TextChoices):
    """What became of a stretch that left its band."""

    PROPOSED = "proposed", "proposed"
    NAMED = "named", "named"
    DISMISSED = "dismissed", "dismissed"
    WITHDRAWN = "withdrawn", "no longer seen"


UNDER_IT = timedelta(hours=2)
"""A site that goes down so soon after the traffic rose went down under it: on its way down it passes what is usual."""


class DetectedEvents(models.QuerySet["DetectedEvent"]):
    """Detected stretches."""

    def on_at(self, now: datetime) -> DetectedEvents:
        """Return the rises that were still on when they were last looked at, unless their series ended.

        What was dismissed is among them: that it is no event does not say that its traffic is gone. Of a site that broke
        under it, and is still down, it is on: the demand is back as soon as the site is.
        """
        return self.on_since(now - ENDED_AFTER)

    def on_since(self, since: datetime) -> DetectedEvents:
        """As `on_at`, by the moment since which a series must go on."""
        recent = DetectedEvent.objects.filter(ends_at__gt=since)
        down = recent.filter(
            metric=OuterRef("metric"),
            is_over=False,
            score__lte=0,
            starts_at__lte=OuterRef("ends_at") + UNDER_IT,
            ends_at__gt=OuterRef("ends_at"),
        )
        return self.filter(Q(is_over=False) | Exists(down), score__gt=0, ends_at__gt=since).exclude(
            state=DetectedState.WITHDRAWN
        )


class DetectedEvent(Referenced):
    """A stretch of one metric that left the band of its hour and weekday, as it was seen last.

    `multiple` is the peak over what that hour usually has, None where that is not above 0; `lead_in_s` from the beginning to
    the peak, `half_life_s` from there until half of the excess was gone, None while it is not. `event` is the traffic event
    that a person named it as, or that was planned for it. Another analysis changes figures, never what a person decided.
    `told_with` is the stretch that launch managers were told of for it: itself, or the same happening in another metric; None
    where nobody was.
    """

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="detected_events")
    metric = models.ForeignKey(Metric, on_delete=models.CASCADE, related_name="detected_events")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    peak_at = models.DateTimeField()
    peak = models.FloatField()
    expected = models.FloatField()
    multiple = models.FloatField(null=True)
    score = models.FloatField()
    lead_in_s = models.PositiveIntegerField()
    half_life_s = models.PositiveIntegerField(null=True)
    is_over = models.BooleanField()
    state = models.CharField(max_length=10, choices=DetectedState, default=DetectedState.PROPOSED)
    event = models.ForeignKey(
        "capacity.TrafficEvent", null=True, blank=True, on_delete=models.SET_NULL, related_name="detected"
    )
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    # Of what was dismissed: what it was then.
    decided_peak = models.FloatField(null=True, blank=True)
    decided_multiple = models.FloatField(null=True, blank=True)
    found_at = models.DateTimeField()
    told_with = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="told_for"
    )

    objects = DetectedEvents.as_manager()

    account_path = "account"

    class Meta:
        app_label = "capacity"
        constraints = [
            models.CheckConstraint(name="detected_state_known", condition=Q(state__in=DetectedState.values)),
            models.CheckConstraint(name="detected_ends_after_start", condition=Q(ends_at__gt=F("starts_at"))),
        ]
        indexes = [
            models.Index(fields=["account", "-starts_at"], name="detected_account"),
            models.Index(fields=["metric", "-starts_at"], name="detected_metric"),
        ]

    def __str__(self) -> str:
        return f"{self.metric}, {self.starts_at:%Y-%m-%d}"

    @property
    def is_rise(self) -> bool:
        """Whether it went up; else it is a dip."""
        return self.score > 0


class SizedPool(Referenced):
    """A pool whose size is held against a metric: the whole demand of the pool, in requests per second.

    `servers` and `sizes` (how many of each) are what a look at the provider at `seen_at` showed in service, `not_answering` how
    many more would be if they answered; None before the first look. `flavor` is the size as which it is sized: of several the one that carries the least (`reference.counting_size`).
    What it needs, how long it lasts, the sentence that says so and what speaks against the ceiling that it rests on are as
    worked out at `judged_at`: for lists.
    """

    is_titled_freely = True

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="sized_pools")
    connection = models.ForeignKey("accounts.CloudConnection", on_delete=models.CASCADE, related_name="+")
    balancer_id = models.CharField(max_length=64)
    name = models.CharField(max_length=100)
    metric = models.ForeignKey(
        Metric, null=True, blank=True, on_delete=models.SET_NULL, related_name="sized_pools"
    )
    headroom = models.FloatField(default=0.2)
    fewest = models.PositiveSmallIntegerField(default=2)
    servers = models.PositiveIntegerField(null=True, blank=True)
    not_answering = models.PositiveIntegerField(null=True, blank=True)
    flavor = models.CharField(max_length=100, blank=True)
    sizes = models.JSONField(default=dict, blank=True)
    # Which of them stand on one physical host: a number for each, in the order in which they would leave (newest first).
    hosts = models.JSONField(default=list, blank=True)
    # Since when each look showed servers of that one size alone; None where they are of several, or one is not told.
    size_since = models.DateTimeField(null=True, blank=True)
    seen_at = models.DateTimeField(null=True, blank=True)
    # When a run took a server out of it or brought one back: after the last look, it is looked at anew.
    changed_at = models.DateTimeField(null=True, blank=True)
    lasts = models.CharField(max_length=8, default=Lasts.UNKNOWN.value)
    lasts_until = models.DateTimeField(null=True, blank=True)
    lasts_earliest = models.DateTimeField(null=True, blank=True)
    lasts_latest = models.DateTimeField(null=True, blank=True)
    lasts_limit_rps = models.FloatField(null=True, blank=True)
    lasts_peak_rps = models.FloatField(null=True, blank=True)
    lasts_carried_rps = models.FloatField(null=True, blank=True)
    # By a ceiling of which only a lower bound is known: they may last longer.
    lasts_is_least = models.BooleanField(default=False, db_default=False)
    needed_now = models.PositiveIntegerField(null=True, blank=True)
    needed_peak = models.PositiveIntegerField(null=True, blank=True)
    surplus = models.PositiveIntegerField(null=True, blank=True)
    # For the peak that is on; None where none is, or nobody knows how many it needs.
    missing_on = models.PositiveIntegerField(null=True, blank=True)
    # The pool's own limit where that peak does not fit under it: then no number of servers carries it.
    missing_limit_rps = models.FloatField(null=True, blank=True)
    # For the first planned event that needs more servers than there are (0: no number carries it), else for the first that may
    # need so many more at most, and when it begins.
    missing_planned = models.PositiveIntegerField(null=True, blank=True)
    may_miss_planned = models.PositiveIntegerField(null=True, blank=True)
    missing_planned_at = models.DateTimeField(null=True, blank=True)
    # For the one after that for which more servers still are missing (0: no number carries it).
    missing_most = models.PositiveIntegerField(null=True, blank=True)
    missing_most_at = models.DateTimeField(null=True, blank=True)
    sentence = models.CharField(max_length=500, blank=True)
    doubt = models.CharField(max_length=500, blank=True, default="", db_default="")
    judged_at = models.DateTimeField(null=True, blank=True)

    account_path = "account"
    unrecorded_fields = (
        "servers",
        "not_answering",
        "flavor",
        "sizes",
        "hosts",
        "size_since",
        "seen_at",
        "changed_at",
        "lasts",
        "lasts_until",
        "lasts_earliest",
        "lasts_latest",
        "lasts_limit_rps",
        "lasts_peak_rps",
        "lasts_carried_rps",
        "lasts_is_least",
        "needed_now",
        "needed_peak",
        "surplus",
        "missing_on",
        "missing_limit_rps",
        "missing_planned",
        "may_miss_planned",
        "missing_planned_at",
        "missing_most",
        "missing_most_at",
        "sentence",
        "doubt",
        "judged_at",
    )
    rule_says = {
        "sized_headroom_is_share": "What stays free is from 0 to below 100 %.",
        "sized_fewest_positive": "At least one server stays.",
    }

    class Meta:
        app_label = "capacity"
        constraints = [
            models.UniqueConstraint(
                name="sized_pool_once",
                fields=["connection", "balancer_id"],
                violation_error_message="This pool is sized already.",
            ),
            models.CheckConstraint(
                name="sized_headroom_is_share", condition=Q(headroom__gte=0, headroom__lt=1)
            ),
            models.CheckConstraint(name="sized_fewest_positive", condition=Q(fewest__gt=0)),
            models.CheckConstraint(
                name="sized_lasts_known", condition=Q(lasts__in=[one.value for one in Lasts])
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def size_words(self) -> str:
        """Which sizes of servers are in service, with how many of each where there are several."""
        if len(self.sizes) < 2:
            return self.flavor
        return ", ".join(f"{count} of {size}" for size, count in sorted(self.sizes.items()))

    @property
    def runway(self) -> Runway:
        """How long its servers last, as last worked out."""
        return Runway(
            Lasts(self.lasts),
            self.lasts_until,
            self.lasts_earliest,
            self.lasts_latest,
            self.lasts_limit_rps,
            self.lasts_peak_rps,
            self.lasts_carried_rps,
            self.lasts_is_least,
        )


class ServerPrice(Referenced):
    """What a server of one size costs an account an hour, as somebody entered it."""

    is_titled_freely = True

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="server_prices")
    flavor = models.CharField(max_length=100)
    an_hour = models.DecimalField(max_digits=12, decimal_places=6)
    currency = models.CharField(
        max_length=3, validators=[RegexValidator(r"\A[A-Z]{3}\Z", "A currency has three letters, like EUR.")]
    )
    entered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    at = models.DateTimeField()

    account_path = "account"
    rule_says = {"price_not_negative": "A price is 0 or more."}

    class Meta:
        app_label = "capacity"
        constraints = [
            models.UniqueConstraint(name="price_once", fields=["account", "flavor"]),
            models.CheckConstraint(name="price_not_negative", condition=Q(an_hour__gte=0)),
        ]

    def __str__(self) -> str:
        return self.flavor
