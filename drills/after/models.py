"""What a drill taught, and which action items came of it. Facts and their own invariants."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from drills.scenarios.types import Role
from portal.audit.subjects import OpenedQuerySet
from portal.rows import Referenced


class FindingSeverity(models.TextChoices):
    """How much a finding weighs; *good* is what worked."""

    CRITICAL = "critical", "critical: this would hurt in a real one"
    MAJOR = "major", "major: to be mended soon"
    MINOR = "minor", "minor: worth mending"
    GOOD = "good", "good: this worked"


class DrillFinding(Referenced):
    """One thing that a drill taught. What it rests on is frozen when it is written down.

    `evidence_key` names a figure, a moment of the axis or a line of the journal (`evidence.py`), "" where it was put in words
    alone. `proposal_key` is set where the figures proposed it (`proposals.py`): it is taken over once. `noted_as` is the role
    in which somebody wrote it, for readers who are not told names. One that is withdrawn stays, with the reason.
    """

    is_titled_freely = True

    held = models.ForeignKey("drills.HeldDrill", models.PROTECT, related_name="findings")
    severity = models.CharField(max_length=10, choices=FindingSeverity.choices)
    text = models.TextField()
    evidence_key = models.CharField(max_length=100, blank=True)
    evidence_says = models.TextField(blank=True)
    evidence_at = models.DateTimeField(null=True, blank=True)
    proposal_key = models.CharField(max_length=40, blank=True)
    noted_as = models.CharField(max_length=20, blank=True, choices=[(one.value, one.value) for one in Role])
    noted_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    noted_at = models.DateTimeField()
    updated_at = models.DateTimeField(auto_now=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdrawn_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    withdrawn_because = models.TextField(blank=True)

    account_path = "held__drill__account"
    people = ("noted_by", "withdrawn_by")
    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("text", "evidence_says", "withdrawn_because")
    rule_says: ClassVar[dict[str, str]] = {
        "finding_severity_known": "A finding is critical, major, minor or good.",
        "finding_withdrawn_whole": "A finding is withdrawn by somebody, with the reason.",
    }

    class Meta:
        app_label = "drills"
        constraints = [
            models.CheckConstraint(
                name="finding_severity_known", condition=Q(severity__in=FindingSeverity.values)
            ),
            models.CheckConstraint(
                name="finding_withdrawn_whole",
                condition=Q(withdrawn_at__isnull=True, withdrawn_by__isnull=True, withdrawn_because="")
                | Q(withdrawn_at__isnull=False, withdrawn_by__isnull=False) & ~Q(withdrawn_because=""),
            ),
            models.UniqueConstraint(
                name="finding_proposed_once", fields=["held", "proposal_key"], condition=~Q(proposal_key="")
            ),
        ]

    def __str__(self) -> str:
        return self.text[:60]

    @property
    def state(self) -> str:
        """The state that pages show."""
        return "withdrawn" if self.withdrawn_at else f"finding_{self.severity}"


class FindingAction(Referenced):
    """That an action item came out of a finding. The item itself is the account's, as every other."""

    finding = models.ForeignKey(DrillFinding, models.CASCADE, related_name="action_links")
    action = models.OneToOneField("accounts.ActionItem", models.CASCADE, related_name="out_of_finding")

    account_path = "finding__held__drill__account"

    class Meta:
        app_label = "drills"

    def __str__(self) -> str:
        return f"{self.action} out of {self.finding}"
