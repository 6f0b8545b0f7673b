"""Profiles of load, as they were approved; runs of them, and what came in each second."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from portal.crypto import EncryptedTextField
from portal.rows import Referenced


class ProfileStatus(models.TextChoices):
    """Where a profile stands. Only a draft is changed, only an approved one is run."""

    DRAFT = "draft", "draft"
    AWAITING = "awaiting_approval", "awaiting approval"
    APPROVED = "approved", "approved"
    REJECTED = "rejected", "rejected"
    VOIDED = "voided", "no longer valid"
    EXPIRED = "expired", "expired"


class RunEnding(models.TextChoices):
    """How a run of a profile ended."""

    COMPLETED = "load_completed", "went to its end"
    ABORTED = "load_aborted", "was aborted by a person"
    STOPPED = "load_stopped", "was stopped at a limit"
    WORKER_LOST = "load_worker_lost", "lost its worker"
    FAILED = "load_failed", "did not begin"


class LoadProfile(Referenced):
    """What load, on which addresses, when it ends. `content` is `profile.to_plain`; both sides approve its digest.

    Secret headers stand apart, encrypted; `content` has their names and a keyed digest, so that an approval is of their values, too.
    """

    is_titled_freely = True

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="load_profiles")
    connection = models.ForeignKey(
        "accounts.CloudConnection", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    balancer_id = models.CharField(max_length=64, blank=True)
    name = models.CharField(max_length=200)
    content = models.JSONField()
    secret_headers = EncryptedTextField(blank=True, default="")
    digest = models.CharField(max_length=64)
    status = models.CharField(max_length=20, choices=ProfileStatus.choices, default=ProfileStatus.DRAFT)
    valid_until = models.DateTimeField(null=True, blank=True)
    request = models.OneToOneField(
        "approvals.ApprovalRequest", models.PROTECT, null=True, blank=True, related_name="+"
    )
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    account_path = "account"
    rule_says = {
        "load_profile_status_known": "A profile is a draft, waits for approval, or is approved, rejected or ended.",
        "load_profile_of_a_pool": "A load balancer belongs to a cloud connection; name both, or neither.",
        "load_profile_asked": "What is not a draft was submitted.",
    }

    class Meta:
        app_label = "capacity"
        constraints = [
            models.CheckConstraint(
                name="load_profile_status_known", condition=Q(status__in=ProfileStatus.values)
            ),
            models.CheckConstraint(
                name="load_profile_of_a_pool",
                condition=Q(balancer_id="", connection__isnull=True)
                | (~Q(balancer_id="") & Q(connection__isnull=False)),
            ),
            models.CheckConstraint(
                name="load_profile_asked",
                condition=Q(status="draft", request__isnull=True)
                | (~Q(status="draft") & Q(request__isnull=False, valid_until__isnull=False)),
            ),
        ]
        indexes = [models.Index(fields=["account", "-id"], name="load_profile_account")]

    def __str__(self) -> str:
        return self.name


class LoadRun(Referenced):
    """One run of an approved profile. The engine's `run` has status, journal and commands; this row is what the worker holds.

    A run begins once: a worker that was lost is not followed by another. `token` rises as the worker takes it and as the engine takes
    it away; a worker whose token is not the row's stops its load. `pins` are the addresses that were checked.
    `tied_to_address`: whether the pool ties the generator's one address to one server, or limits it; None where nobody could say.
    """

    is_titled_freely = True

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="load_runs")
    profile = models.ForeignKey(LoadProfile, on_delete=models.CASCADE, related_name="runs")
    run = models.OneToOneField("runs.Run", on_delete=models.PROTECT, related_name="+")
    reason = models.TextField(max_length=2000, blank=True)
    node_count = models.PositiveIntegerField(null=True, blank=True)
    flavor = models.CharField(max_length=100, blank=True)
    software = models.CharField(max_length=200, blank=True)
    tied_to_address = models.BooleanField(null=True, blank=True)
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField(auto_now_add=True)

    holder = models.CharField(max_length=120, blank=True)
    token = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    began_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    ending = models.CharField(max_length=20, choices=RunEnding.choices, blank=True)
    ending_says = models.CharField(max_length=500, blank=True)
    generator = models.CharField(max_length=40, blank=True)
    pins = models.JSONField(default=dict, blank=True)
    benchmark = models.OneToOneField(
        "capacity.Benchmark", null=True, blank=True, on_delete=models.PROTECT, related_name="load_run"
    )

    account_path = "account"
    # What the worker notes; who started it and why is on record.
    unrecorded_fields = (
        "holder",
        "token",
        "lease_until",
        "began_at",
        "ended_at",
        "ending",
        "ending_says",
        "generator",
        "pins",
        "benchmark",
    )

    class Meta:
        app_label = "capacity"
        constraints = [
            models.CheckConstraint(
                name="load_run_ends_once",
                condition=Q(ending="", ended_at__isnull=True)
                | Q(ending__in=RunEnding.values, ended_at__isnull=False),
            ),
        ]
        indexes = [
            models.Index(fields=["account", "-id"], name="load_run_account"),
            models.Index(
                fields=["id"], name="load_run_waiting", condition=Q(began_at__isnull=True, ending="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.profile_id}: run of {self.made_at:%Y-%m-%d %H:%M}"


class LoadSecond(models.Model):
    """What the generator told of one second, as it told it. Kept for a month; the benchmark's file has all of them."""

    load = models.ForeignKey(LoadRun, on_delete=models.CASCADE, related_name="seconds")
    number = models.PositiveIntegerField()
    told = models.JSONField()

    account_path = "load__account"

    class Meta:
        app_label = "capacity"
        constraints = [models.UniqueConstraint(name="load_second_once", fields=["load", "number"])]

    def __str__(self) -> str:
        return f"second {self.number}"
