"""Plans of drills, who takes part, what was attested, and how runs ended. Facts and their own invariants."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from drills.scenarios.types import DrillKind, Environment
from portal.audit.subjects import OpenedQuerySet
from portal.rows import Referenced


class DrillStatus(models.TextChoices):
    """draft → awaiting_approval → approved | rejected | expired | voided | used, as every plan."""

    DRAFT = "draft", "draft"
    AWAITING_APPROVAL = "awaiting_approval", "awaiting approval"
    APPROVED = "approved", "approved"
    REJECTED = "rejected", "rejected"
    EXPIRED = "expired", "expired"
    VOIDED = "voided", "no longer valid"
    USED = "used", "held"


DRILL_MOVES: dict[str, frozenset[str]] = {
    DrillStatus.DRAFT: frozenset({DrillStatus.AWAITING_APPROVAL, DrillStatus.VOIDED}),
    DrillStatus.AWAITING_APPROVAL: frozenset(
        {DrillStatus.APPROVED, DrillStatus.REJECTED, DrillStatus.EXPIRED, DrillStatus.VOIDED}
    ),
    DrillStatus.APPROVED: frozenset({DrillStatus.USED, DrillStatus.EXPIRED, DrillStatus.VOIDED}),
    DrillStatus.REJECTED: frozenset(),
    DrillStatus.EXPIRED: frozenset(),
    DrillStatus.VOIDED: frozenset(),
    DrillStatus.USED: frozenset(),
}


class DrillResult(models.TextChoices):
    """What a drill showed."""

    MET = "drill_met", "met its hypothesis"
    NOT_MET = "drill_not_met", "did not meet its hypothesis"
    STOPPED = "drill_stopped", "was stopped"
    INVALID = "drill_invalid", "proves nothing"


class Drill(Referenced):
    """A fire drill: `inputs` is what the author chose (`choice.Choice`), `scenario` its text as it stood then, `data` and
    `digest` the frozen whole (`drills.types.DrillPlan`), from a fresh look at the pool when it was submitted.
    """

    is_titled_freely = True

    account = models.ForeignKey("accounts.Account", models.PROTECT, related_name="drills")
    connection = models.ForeignKey(
        "accounts.CloudConnection", models.PROTECT, null=True, blank=True, related_name="+"
    )
    title = models.CharField(max_length=200)
    kind = models.CharField(max_length=12, choices=[(one.value, one.value) for one in DrillKind])
    environment = models.CharField(max_length=10, choices=[(one.value, one.value) for one in Environment])
    scenario_key = models.CharField(max_length=40)
    scenario_number = models.PositiveIntegerField()
    scenario = models.JSONField()
    inputs = models.JSONField(default=dict)
    data = models.JSONField(null=True, blank=True)
    digest = models.CharField(max_length=64, blank=True)
    status = models.CharField(max_length=20, choices=DrillStatus.choices, default=DrillStatus.DRAFT)
    status_reason = models.TextField(blank=True)
    request = models.OneToOneField(
        "approvals.ApprovalRequest", models.PROTECT, null=True, blank=True, related_name="+"
    )
    facilitator = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    not_before = models.DateTimeField(null=True, blank=True)
    not_after = models.DateTimeField(null=True, blank=True)
    copied_from = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="copies")

    account_path = "account"
    # The frozen whole stands in this row for good; on record are the choices and its digest.
    unrecorded_fields = ("data", "scenario")
    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("status_reason",)
    rule_says: ClassVar[dict[str, str]] = {
        "drill_status_known": "A drill has one of the known states.",
        "drill_frozen": "What was submitted is frozen.",
        "drill_times": "A drill ends after it begins.",
    }

    class Meta:
        app_label = "drills"
        constraints = [
            models.CheckConstraint(name="drill_status_known", condition=Q(status__in=DrillStatus.values)),
            models.CheckConstraint(
                name="drill_frozen",
                condition=Q(status__in=["draft", "voided"]) | (Q(data__isnull=False) & ~Q(digest="")),
            ),
            models.CheckConstraint(
                name="drill_times",
                condition=Q(not_before__isnull=True)
                | Q(not_after__isnull=True)
                | Q(not_after__gt=models.F("not_before")),
            ),
        ]
        indexes = [
            models.Index(fields=["account", "-id"], name="drill_of_account"),
            # Asked for by every list of records: which of them is not to be known of yet.
            models.Index(
                fields=["account"],
                name="drill_unannounced",
                condition=Q(kind=DrillKind.UNANNOUNCED.value),
            ),
        ]

    def __str__(self) -> str:
        return self.title


class DrillPerson(Referenced):
    """Who takes part, watches or writes the drill down: a contact of the account, or a user who sees it."""

    drill = models.ForeignKey(Drill, models.CASCADE, related_name="parts")
    contact = models.ForeignKey(
        "accounts.Contact", models.CASCADE, null=True, blank=True, related_name="drill_parts"
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="+"
    )
    role = models.CharField(
        max_length=14,
        choices=[("participant", "participant"), ("observer", "observer"), ("reporter", "reporter")],
    )

    account_path = "drill__account"

    class Meta:
        app_label = "drills"
        constraints = [
            models.CheckConstraint(
                name="drill_person_is_one",
                condition=Q(contact__isnull=True, user__isnull=False)
                | Q(contact__isnull=False, user__isnull=True),
            ),
            models.UniqueConstraint(
                name="drill_one_reporter", fields=["drill"], condition=Q(role="reporter")
            ),
            models.UniqueConstraint(name="drill_contact_once", fields=["drill", "contact"]),
            models.UniqueConstraint(name="drill_user_once", fields=["drill", "user"]),
        ]

    def __str__(self) -> str:
        return f"{self.role} of {self.drill}"


class Attestation(Referenced):
    """What somebody said before the start, with their name and the time. Said anew, it is a new row."""

    drill = models.ForeignKey(Drill, models.CASCADE, related_name="attestations")
    check_key = models.CharField(max_length=30)
    says = models.CharField(max_length=500, blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    at = models.DateTimeField()

    account_path = "drill__account"
    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("says",)

    class Meta:
        app_label = "drills"
        ordering: ClassVar[list[str]] = ["at", "pk"]

    def __str__(self) -> str:
        return self.check_key


class HeldDrill(Referenced):
    """One run of a drill. `result` is written in the transaction that ends the run."""

    drill = models.OneToOneField(Drill, models.PROTECT, related_name="held")
    run = models.OneToOneField("runs.Run", models.PROTECT, related_name="+")
    reach = models.ForeignKey("accounts.Reach", models.SET_NULL, null=True, blank=True, related_name="+")
    reach_says = models.CharField(max_length=500, blank=True)
    result = models.CharField(max_length=20, choices=DrillResult.choices, blank=True)
    reasons = models.JSONField(default=list, blank=True)
    began_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    pool_size = models.PositiveIntegerField(default=0)

    account_path = "drill__account"
    # What the engine notes; who started it is on record.
    unrecorded_fields = ("result", "reasons", "began_at", "ended_at", "reach", "reach_says")

    class Meta:
        app_label = "drills"

    def __str__(self) -> str:
        return f"{self.drill}: {self.result or 'under way'}"
