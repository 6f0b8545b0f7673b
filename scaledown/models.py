"""Scale-up records, plans, the servers on their way out. Facts and their own invariants, nothing else."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from portal.audit.subjects import OpenedQuerySet


class PlanStatus(models.TextChoices):
    """draft → awaiting_approval → approved | rejected | expired | voided | used (architecture.md)."""

    DRAFT = "draft"
    AWAITING_APPROVAL = "awaiting_approval"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    VOIDED = "voided"
    USED = "used"


PLAN_MOVES: dict[str, frozenset[str]] = {
    PlanStatus.DRAFT: frozenset({PlanStatus.AWAITING_APPROVAL, PlanStatus.VOIDED}),
    PlanStatus.AWAITING_APPROVAL: frozenset(
        {PlanStatus.APPROVED, PlanStatus.REJECTED, PlanStatus.EXPIRED, PlanStatus.VOIDED}
    ),
    PlanStatus.APPROVED: frozenset({PlanStatus.USED, PlanStatus.EXPIRED, PlanStatus.VOIDED}),
    PlanStatus.REJECTED: frozenset(),
    PlanStatus.EXPIRED: frozenset(),
    PlanStatus.VOIDED: frozenset(),
    # Its run found another pool at the start than the one that was approved.
    PlanStatus.USED: frozenset({PlanStatus.VOIDED}),
}


class ScaleUpRecord(models.Model):
    """What was added for a traffic event, in order."""

    ref = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    account = models.ForeignKey("accounts.Account", models.PROTECT, related_name="scale_up_records")
    connection = models.ForeignKey("accounts.CloudConnection", models.PROTECT, related_name="+")
    event = models.ForeignKey("capacity.TrafficEvent", models.PROTECT, related_name="scale_up_records")
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["event", "connection"], name="one_record_per_event")]

    def __str__(self) -> str:
        return f"Scale-up for {self.event}"


class ScaleUpEntry(models.Model):
    """One server that was added, with the evidence. `position` is the order in which it went in."""

    record = models.ForeignKey(ScaleUpRecord, models.CASCADE, related_name="entries")
    position = models.PositiveIntegerField()
    server_id = models.CharField(max_length=64)
    server_name = models.CharField(max_length=255)
    added_at = models.DateTimeField()
    source = models.CharField(max_length=32, default="by_hand")
    evidence = models.JSONField(default=list)

    account_path = "record__account"

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["record", "position"], name="scale_up_position_once"),
            models.UniqueConstraint(fields=["record", "server_id"], name="scale_up_server_once"),
        ]

    def __str__(self) -> str:
        return f"{self.position}. {self.server_name}"


class ProtectedQuerySet(models.QuerySet["ProtectedServer"]):
    """Marks, by what they guard."""

    def guarding(self, connection: Any) -> ProtectedQuerySet:
        """Return the marks that bear on a connection's servers: those at the same provider account and region.

        Which of two connections to it a mark was made with does not matter, as for claims (`CloudIdentity.key`). One of
        another account counts where the provider has shown its connection that server: a tenant's number alone, typed
        by a stranger, holds nobody up.
        """
        return self.guarding_at(
            connection.provider, connection.tenant, connection.region, connection.account_id
        )

    def guarding_at(self, provider: str, tenant: str, region: str, account: int) -> ProtectedQuerySet:
        """As `guarding`, by where the servers are and whose connection it is."""
        same = Q(connection__provider=provider, connection__tenant=tenant, connection__region=region)
        return self.filter(same).filter(Q(account=account) | Q(checked_at__isnull=False))


class ProtectedServer(models.Model):
    """A server that no plan may contain. Lifted by deleting the row, which the audit keeps."""

    ref = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    account = models.ForeignKey("accounts.Account", models.PROTECT, related_name="protected_servers")
    connection = models.ForeignKey("accounts.CloudConnection", models.PROTECT, related_name="+")
    server_id = models.CharField(max_length=64)
    server_name = models.CharField(max_length=255)
    reason = models.TextField()
    marked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    marked_at = models.DateTimeField(auto_now_add=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    """When the provider showed this server. None: not checked, since it was not asked or did not answer."""

    objects = ProtectedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["connection", "server_id"], name="protected_server_once")
        ]

    def __str__(self) -> str:
        return self.server_name


class Plan(models.Model):
    """What is to be done. `inputs` is what the author chose; `data` and `digest` are the frozen whole.

    `data` is `types.PlanData` as canonical JSON, built by the planner from a fresh look at the pool when the
    plan is submitted; `preview` is what the approvers saw (steps, warnings, way back), kept with it. While
    the plan is a draft, `preview` is the newest look that its author had. A plan that was made less since (`LessStep`) has
    all four as they are now.
    """

    is_titled_freely = True

    ref = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    account = models.ForeignKey("accounts.Account", models.PROTECT, related_name="scaledown_plans")
    connection = models.ForeignKey("accounts.CloudConnection", models.PROTECT, related_name="+")
    event = models.ForeignKey(
        "capacity.TrafficEvent", models.PROTECT, null=True, blank=True, related_name="+"
    )
    title = models.CharField(max_length=200)
    status = models.CharField(max_length=24, choices=PlanStatus, default=PlanStatus.DRAFT)
    inputs = models.JSONField(default=dict)
    data = models.JSONField(null=True)
    preview = models.JSONField(null=True)
    digest = models.CharField(max_length=64, blank=True)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    submitted_at = models.DateTimeField(null=True)
    approved_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    status_reason = models.TextField(blank=True)
    copied_from = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="copies")

    class Meta:
        indexes = [models.Index(fields=["account", "-id"], name="plan_by_account")]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=PlanStatus.values), name="plan_status_known"),
            models.CheckConstraint(
                condition=Q(status=PlanStatus.DRAFT)
                | Q(status=PlanStatus.VOIDED)
                | (Q(data__isnull=False) & ~Q(digest="")),
                name="submitted_plan_is_frozen",
            ),
        ]

    def __str__(self) -> str:
        return self.title


class PlanLook(models.Model):
    """From what a submitted plan was drawn: `candidates.Pool` and `candidates.Known` as they were then.

    Where the plan is made less it is drawn again from this and from nothing newer: what its approvers were shown is what
    they approved, and no more.
    """

    plan = models.OneToOneField(Plan, models.CASCADE, primary_key=True, related_name="look")
    pool = models.JSONField()
    known = models.JSONField()

    account_path = "plan__account"

    def __str__(self) -> str:
        return str(self.plan)


class LessStep(models.Model):
    """That a submitted plan was made less: from which digest to which. `data` is the plan as it was before."""

    plan = models.ForeignKey(Plan, models.CASCADE, related_name="less_steps")
    was = models.CharField(max_length=64)
    became = models.CharField(max_length=64)
    data = models.JSONField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    at = models.DateTimeField()
    reason = models.TextField(blank=True)

    account_path = "plan__account"

    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("reason",)

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["plan", "was"], name="plan_lessened_once_from")]

    def __str__(self) -> str:
        return f"{self.plan}, {self.at:%Y-%m-%d %H:%M}"


class Retirement(models.Model):
    """One server of a run on its way out: a projection of the run's progress, written in its transactions."""

    ref = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    run = models.ForeignKey("runs.Run", models.CASCADE, related_name="retirements")
    position = models.PositiveIntegerField()
    server_id = models.CharField(max_length=64)
    server_name = models.CharField(max_length=255)
    phase = models.CharField(max_length=16, default="queued")
    phase_since = models.DateTimeField(null=True)
    says = models.TextField(blank=True)
    customer_says = models.TextField(blank=True)
    connections = models.IntegerField(null=True)
    connections_source = models.CharField(max_length=200, blank=True)
    connections_grade = models.CharField(max_length=16, blank=True)
    connections_at = models.DateTimeField(null=True)
    verdict = models.CharField(max_length=16, blank=True)
    detail = models.JSONField(default=dict)

    account_path = "run__account"

    # Who asked for what stands in its sentences as tokens, as in the journal.
    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("says", "customer_says", "detail")

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["run", "position"], name="retirement_position_once"),
            models.UniqueConstraint(fields=["run", "server_id"], name="retirement_server_once"),
        ]

    def __str__(self) -> str:
        return f"{self.server_name}: {self.phase}"


class Growth(models.Model):
    """That somebody asked for a run to grow again. `data` is `types.GrowData`, which both sides approve by its digest.

    `command` is what was given to the run once they had; its answer says what became of it.
    """

    ref = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    account = models.ForeignKey("accounts.Account", models.PROTECT, related_name="growths")
    run = models.ForeignKey("runs.Run", models.PROTECT, related_name="growths")
    request = models.OneToOneField("approvals.ApprovalRequest", models.PROTECT, related_name="+")
    command = models.OneToOneField("runs.RunCommand", models.PROTECT, null=True, related_name="+")
    data = models.JSONField()
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    asked_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["run", "-id"], name="growth_by_run")]

    def __str__(self) -> str:
        return f"{self.run}, {self.asked_at:%Y-%m-%d %H:%M}"


class FreezeOverride(models.Model):
    """That somebody who may let a run go on in a freeze. It holds for the freezes named; why stands on the record.

    `events` has what they read of each of them, each an `ahead.EventShown`: it holds while that is so.
    """

    run = models.ForeignKey("runs.Run", models.CASCADE, related_name="freeze_overrides")
    freezes = ArrayField(models.CharField(max_length=36))
    events = models.JSONField(default=list, db_default=[])
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    account_path = "run__account"

    def __str__(self) -> str:
        return f"{self.run}, {self.at:%Y-%m-%d %H:%M}"


class Lesson(models.Model):
    """What to do better next time; written on the report."""

    ref = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    run = models.ForeignKey("runs.Run", models.CASCADE, related_name="lessons")
    text = models.TextField()
    written_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    written_at = models.DateTimeField(auto_now_add=True)

    account_path = "run__account"

    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("text",)

    class Meta:
        ordering = ["written_at", "pk"]

    def __str__(self) -> str:
        return self.text[:60]
