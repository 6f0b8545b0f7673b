"""Whom a drill asked to acknowledge, and who answered."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from portal.audit.subjects import OpenedQuerySet
from portal.rows import Referenced


class DrillNotice(Referenced):
    """What was told of a drill before it: when people were invited, reminded a day and an hour before, and told that it is off.

    `day_at` and `hour_at` are set also where there was nothing to say any more, so that nothing is said late.
    """

    drill = models.OneToOneField("drills.Drill", models.CASCADE, related_name="told")
    invited_at = models.DateTimeField()
    day_at = models.DateTimeField(null=True)
    hour_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    account_path = "drill__account"
    # Whom it was told to, and when, stands with each message.
    unrecorded_fields = ("invited_at", "day_at", "hour_at", "ended_at")

    class Meta:
        app_label = "drills"

    def __str__(self) -> str:
        return f"told of {self.drill}"


class DrillCall(Referenced):
    """One participant of a drill under way who is asked to acknowledge, by a link of their own.

    `since` is the first disruption, from which the answer is measured. `mail_digest` is of the address that was asked
    (accounts/contacts/proving.py): only that one is proven by the answer. `doubtful_at` is an answer that came sooner after the
    asking than a person could give: it does not count.
    """

    held = models.ForeignKey("drills.HeldDrill", models.CASCADE, related_name="calls")
    contact = models.ForeignKey("accounts.Contact", models.SET_NULL, null=True, related_name="+")
    contact_ref = models.UUIDField()
    contact_name = models.TextField(blank=True)
    since = models.DateTimeField()
    mail_digest = models.CharField(max_length=64, blank=True)
    asked_at = models.DateTimeField(null=True)
    answered_at = models.DateTimeField(null=True)
    doubtful_at = models.DateTimeField(null=True)
    agent = models.CharField(max_length=300, blank=True)
    says = models.CharField(max_length=100, blank=True)

    account_path = "held__drill__account"
    # What the portal asked and what came back; who answered is on record.
    unrecorded_fields = ("mail_digest", "asked_at", "answered_at", "doubtful_at", "agent", "says")
    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("contact_name",)
    people = ("contact",)
    rule_says: ClassVar[dict[str, str]] = {
        "drill_call_answered_after": "Nobody acknowledges before the disruption.",
    }

    class Meta:
        app_label = "drills"
        constraints = [
            models.UniqueConstraint(name="drill_call_once", fields=["held", "contact_ref"]),
            models.CheckConstraint(
                name="drill_call_answered_after",
                condition=Q(answered_at__isnull=True) | Q(answered_at__gte=F("since")),
            ),
        ]
        indexes = [
            models.Index(fields=["id"], name="drill_call_waits", condition=Q(asked_at__isnull=True, says=""))
        ]

    def __str__(self) -> str:
        return f"call of {self.held}"

    @property
    def after_s(self) -> float | None:
        """How long after the disruption it was acknowledged."""
        return None if self.answered_at is None else (self.answered_at - self.since).total_seconds()
