"""What waits for a yes, and who said what. An approval is of a digest: of exactly what was shown."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from portal.audit.subjects import OpenedQuerySet
from portal.rows import Referenced


class Side(models.TextChoices):
    """Whose yes it is. Nobody counts for both."""

    PROVIDER = "provider", "launch manager"
    CUSTOMER = "customer", "customer"


class ApprovalStatus(models.TextChoices):
    """Where a request stands. Only *open* takes decisions; only *approved* carries a run."""

    OPEN = "open", "waiting for approval"
    APPROVED = "approved", "approved"
    REJECTED = "rejected", "rejected"
    VOIDED = "voided", "no longer valid"
    EXPIRED = "expired", "expired"


class Verdict(models.TextChoices):
    """What a person decided."""

    APPROVE = "approve", "approved"
    REJECT = "reject", "rejected"


def _both_sides() -> list[str]:
    return [Side.PROVIDER.value, Side.CUSTOMER.value]


class ApprovalRequest(Referenced):
    """One subject (a plan) that asks for approval of one digest by the `sides` named.

    `lessened_from` are the digests of what it was before it was made less, oldest first: a yes to one of them stands.
    """

    account = models.ForeignKey(
        "accounts.Account", on_delete=models.PROTECT, related_name="approval_requests"
    )
    subject_type = models.CharField(max_length=40)
    subject_ref = models.UUIDField()
    title = models.CharField(max_length=200)
    digest = models.CharField(max_length=64)
    lessened_from = ArrayField(models.CharField(max_length=64), default=list, db_default=[])
    sides = ArrayField(models.CharField(max_length=10, choices=Side.choices), default=_both_sides)
    status = models.CharField(max_length=10, choices=ApprovalStatus.choices, default=ApprovalStatus.OPEN)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="approval_requests",
    )
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    closed_reason = models.TextField(blank=True)

    account_path = "account"
    is_titled_freely = True

    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("closed_reason",)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="approval_status_known",
                condition=Q(status__in=ApprovalStatus.values),
            ),
            models.CheckConstraint(
                name="approval_digest_is_sha256",
                condition=Q(digest__regex=r"^[0-9a-f]{64}$"),
            ),
            models.CheckConstraint(
                name="approval_sides_known",
                condition=Q(sides__contained_by=Side.values) & Q(sides__len__gte=1),
            ),
            models.UniqueConstraint(
                name="approval_one_live_request",
                fields=["subject_type", "subject_ref"],
                condition=Q(status__in=["open", "approved"]),
            ),
        ]
        indexes = [
            models.Index(fields=["account", "-id"], name="approval_account"),
            models.Index(fields=["subject_type", "subject_ref"], name="approval_subject"),
        ]

    def __str__(self) -> str:
        return self.title


class ApprovalDecision(Referenced):
    """What one person said for one side. Never changed; `by_name` and `role` are as they were then.

    `rests_on` says where a customer's right to decide came from, if it came from the provider's side.
    """

    request = models.ForeignKey(ApprovalRequest, on_delete=models.PROTECT, related_name="decisions")
    side = models.CharField(max_length=10, choices=Side.choices)
    decision = models.CharField(max_length=10, choices=Verdict.choices)
    digest = models.CharField(max_length=64)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="approval_decisions",
    )
    by_name = models.TextField()
    role = models.CharField(max_length=20)
    rests_on = models.CharField(max_length=300, blank=True, db_default="")
    reason = models.TextField(blank=True)
    at = models.DateTimeField()

    account_path = "request__account"

    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("by_name", "reason")

    class Meta:
        constraints = [
            models.CheckConstraint(name="decision_side_known", condition=Q(side__in=Side.values)),
            models.CheckConstraint(name="decision_known", condition=Q(decision__in=Verdict.values)),
            models.UniqueConstraint(
                name="decision_one_approval_a_side",
                fields=["request", "side"],
                condition=Q(decision="approve"),
            ),
            models.UniqueConstraint(
                name="decision_nobody_for_both_sides",
                fields=["request", "by"],
                condition=Q(decision="approve"),
            ),
        ]
        indexes = [models.Index(fields=["by", "-id"], name="decision_by")]

    def __str__(self) -> str:
        return f"{self.by_name}: {self.decision}"
