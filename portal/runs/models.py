"""Runs, what they claim, what they meant to do, their journal and people's commands.

PostgreSQL is the only truth about a run. The rules that it can keep are constraints and triggers here;
who may write a row while a run is being ticked is decided by the fencing token (`store_pg.py`).
"""

from __future__ import annotations

import uuid
from datetime import datetime

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from portal.audit.subjects import OpenedQuerySet
from portal.runs.types import HaltRank, OutcomeKind, RunStatus

OVER = [status.value for status in RunStatus if status.is_over]


class Run(models.Model):
    """One execution of a plan, or of anything else that takes long and touches a provider.

    `plan` is frozen: the digest was taken of it. `progress` is what the kind believes between ticks.
    `token` rises with each lease; a writer whose token is not the row's is refused. `command_seq` rises
    with each command and each standstill that touches the run, so that the check before a call sees them.
    `next_tick_at` is null once the run is over. `late_s` is by how much the last tick came late,
    0 where it waited for its turn. `patient_mark` is `token + command_seq` as they were when nothing of the run was out:
    both only rise, so as long as the sum is the same nobody looked at it or said anything since, and others come first;
    `turn_at` is when it was last taken after it had waited for them.
    """

    is_titled_freely = True

    ref = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    account = models.ForeignKey("accounts.Account", models.PROTECT, related_name="runs")
    kind = models.CharField(max_length=40)
    plan_ref = models.UUIDField()
    title = models.CharField(max_length=200)
    plan = models.JSONField()
    digest = models.CharField(max_length=64)
    is_rehearsal = models.BooleanField(default=False)
    scopes = ArrayField(models.CharField(max_length=80), default=list)
    """Which standstills stop it: "all", "team:<ref>", "account:<ref>", "connection:<ref>"."""

    status = models.CharField(max_length=16, choices=[(s.value, s.value) for s in RunStatus])
    progress = models.JSONField(default=dict)
    halt_code = models.CharField(max_length=60, blank=True)
    halt_rank = models.CharField(max_length=20, blank=True)
    halt_says = models.TextField(blank=True)
    halt_customer_says = models.TextField(blank=True)
    halt_next_commands = ArrayField(models.CharField(max_length=40), default=list)
    halted_at = models.DateTimeField(null=True)

    seq = models.BigIntegerField(default=0)
    command_seq = models.BigIntegerField(default=0)
    token = models.BigIntegerField(default=0)
    holder = models.CharField(max_length=120, blank=True)
    lease_until = models.DateTimeField(null=True)
    checked_at = models.DateTimeField(null=True)
    next_tick_at = models.DateTimeField(null=True)
    failures = models.PositiveIntegerField(default=0)
    late_s = models.FloatField(null=True)
    patient_mark = models.BigIntegerField(null=True)
    turn_at = models.DateTimeField(null=True)

    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    in_charge = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    charge_until = models.DateTimeField(null=True)
    """Until when; null: until the run is over."""
    backup = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    """Who said yes to be called as well, and to take over when that time is over."""
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="run_status_known", condition=Q(status__in=[s.value for s in RunStatus])
            ),
            models.UniqueConstraint(
                name="one_run_per_plan", fields=["kind", "plan_ref"], condition=Q(is_rehearsal=False)
            ),
            models.CheckConstraint(
                name="halted_run_says_why",
                condition=~Q(status=RunStatus.HALTED.value)
                | (~Q(halt_code="") & Q(halt_rank__in=[r.value for r in HaltRank]) & ~Q(halt_says="")),
            ),
            models.CheckConstraint(
                name="backup_is_another",
                condition=Q(backup__isnull=True) | Q(in_charge__isnull=True) | ~Q(backup=F("in_charge")),
            ),
            models.CheckConstraint(
                name="run_ends_or_ticks",
                condition=Q(status__in=OVER, next_tick_at__isnull=True, ended_at__isnull=False)
                | (~Q(status__in=OVER) & Q(next_tick_at__isnull=False, ended_at__isnull=True)),
            ),
        ]
        indexes = [
            models.Index(name="run_due", fields=["next_tick_at"], condition=Q(next_tick_at__isnull=False)),
            models.Index(name="run_by_account", fields=["account", "-created_at", "-id"]),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_patient(self) -> bool:
        """Whether others come first."""
        return self.patient_mark == self.token + self.command_seq

    @property
    def is_over(self) -> bool:
        """No tick comes any more and every claim is given back."""
        return RunStatus(self.status).is_over

    def has_somebody(self, at: datetime) -> bool:
        """Whether somebody is in charge at a moment: not once their time is over, whoever has noticed that yet."""
        return self.in_charge_id is not None and (self.charge_until is None or at < self.charge_until)


class HandoverRole(models.TextChoices):
    """What somebody is asked to be."""

    IN_CHARGE = "in_charge", "in charge"
    BACKUP = "backup", "backup"


class HandoverState(models.TextChoices):
    """What became of it."""

    OPEN = "open", "open"
    ACCEPTED = "accepted", "accepted"
    DECLINED = "declined", "declined"
    WITHDRAWN = "withdrawn", "withdrawn"
    OVERTAKEN = "overtaken", "overtaken"
    EXPIRED = "expired", "expired"


class Handover(models.Model):
    """That somebody is asked to be in charge of a run, or its backup. It counts once they accept.

    `until` is for when they are asked; `expires_at` is how long the question stands.
    """

    ref = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    run = models.ForeignKey(Run, models.CASCADE, related_name="handovers")
    role = models.CharField(max_length=12, choices=HandoverRole.choices)
    to = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    note = models.TextField(blank=True)
    until = models.DateTimeField(null=True)
    asked_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    state = models.CharField(max_length=12, choices=HandoverState.choices, default=HandoverState.OPEN)
    ended_at = models.DateTimeField(null=True)
    reason = models.TextField(blank=True)

    account_path = "run__account"
    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("note", "reason")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="one_open_handover", fields=["run", "role"], condition=Q(state="open")
            ),
            models.CheckConstraint(
                name="handover_ends", condition=Q(state="open", ended_at__isnull=True) | ~Q(state="open")
            ),
        ]
        indexes = [
            models.Index(name="handover_asked_of", fields=["to"], condition=Q(state="open")),
        ]

    def __str__(self) -> str:
        return f"{self.run}: {self.role}"


class Claim(models.Model):
    """One thing at the provider that one run has for itself until it is over.

    `resource_key` is made from the provider's own identity, never from our row ids.
    """

    resource_key = models.CharField(max_length=300, unique=True)
    run = models.ForeignKey(Run, models.CASCADE, related_name="claims")
    at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.resource_key


class Intent(models.Model):
    """One change that a run meant to make. Without `sent_at` it was surely never sent; with `sent_at` and
    without `finished_at` it is in doubt, unless its worker still holds the lease.

    `lease_until` is the end of the lease under which it was sent. `looks` are the readings of a doubt so far.
    """

    run = models.ForeignKey(Run, models.CASCADE, related_name="intents")
    token = models.BigIntegerField()
    action = models.JSONField()
    noted_at = models.DateTimeField(db_default=Now())
    deadline_s = models.FloatField()
    sent_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=16, blank=True)
    outcome_detail = models.JSONField(null=True)
    by_reading = models.BooleanField(default=False)
    finished_at = models.DateTimeField(null=True)
    looks = models.JSONField(default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="one_open_intent_per_run", fields=["run"], condition=Q(finished_at__isnull=True)
            ),
            models.CheckConstraint(
                name="intent_outcome_known", condition=Q(outcome__in=["", *[o.value for o in OutcomeKind]])
            ),
            models.CheckConstraint(
                name="finished_intent_has_outcome",
                condition=Q(finished_at__isnull=True, outcome="")
                | (Q(finished_at__isnull=False) & ~Q(outcome="")),
            ),
            models.CheckConstraint(
                name="sent_after_noted", condition=Q(sent_at__isnull=True) | Q(sent_at__gte=F("noted_at"))
            ),
        ]
        indexes = [models.Index(name="intent_by_run", fields=["run", "id"])]

    def __str__(self) -> str:
        return str(self.action.get("says", self.pk))


class JournalEntry(models.Model):
    """One line of a run's journal: append-only by triggers. `seq` counts per run, without gaps.

    `token` is the fencing token under which it was written; null for what people and services wrote.
    People stand in it as tokens (portal/audit/subjects.py), which are opened when a row is read.
    """

    run = models.ForeignKey(Run, models.PROTECT, related_name="journal")
    seq = models.BigIntegerField()
    at = models.DateTimeField()
    kind = models.CharField(max_length=60)
    subject = models.CharField(max_length=255, blank=True)
    says = models.TextField()
    customer_says = models.TextField(blank=True)
    detail = models.JSONField(default=dict)
    actor = models.CharField(max_length=36, blank=True)
    actor_name = models.TextField(blank=True)
    token = models.BigIntegerField(null=True)

    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("says", "customer_says", "detail", "actor_name")

    class Meta:
        ordering = ["run", "seq"]
        constraints = [models.UniqueConstraint(name="journal_seq_once", fields=["run", "seq"])]

    def __str__(self) -> str:
        return f"{self.seq}. {self.says}"


class RunCommand(models.Model):
    """A person's wish for a run. Answered by the run's next tick; `accepted` null until then.

    `on_the_wire` names the change that had been sent when the command was given, or is empty.
    """

    ref = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    run = models.ForeignKey(Run, models.PROTECT, related_name="commands")
    seq = models.BigIntegerField()
    name = models.CharField(max_length=40)
    args = models.JSONField(default=dict)
    reason = models.TextField(blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    by_name = models.TextField()
    at = models.DateTimeField(db_default=Now())
    on_the_wire = models.TextField(blank=True)
    accepted = models.BooleanField(null=True)
    answer = models.TextField(blank=True)
    answered_at = models.DateTimeField(null=True)

    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("by_name", "answer", "reason")

    class Meta:
        constraints = [
            models.UniqueConstraint(name="command_seq_once", fields=["run", "seq"]),
            models.CheckConstraint(
                name="answer_has_time",
                condition=Q(accepted__isnull=True, answered_at__isnull=True)
                | Q(accepted__isnull=False, answered_at__isnull=False),
            ),
        ]
        indexes = [
            models.Index(name="command_open", fields=["run", "seq"], condition=Q(accepted__isnull=True))
        ]

    def __str__(self) -> str:
        return f"{self.name} by {self.by_name}"


class Standstill(models.Model):
    """*Stop everything* for one scope until a person lifts it: nothing is sent but putting back."""

    ref = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    scope = models.CharField(max_length=80)
    reason = models.TextField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    by_name = models.TextField()
    at = models.DateTimeField(db_default=Now())
    on_the_wire = models.JSONField(default=list)
    """What had been sent when it was put: [{"run": ref, "title": …, "says": …}]."""
    lifted_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    lifted_at = models.DateTimeField(null=True)
    lift_reason = models.TextField(blank=True)

    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("by_name", "reason", "lift_reason")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="one_open_standstill_per_scope", fields=["scope"], condition=Q(lifted_at__isnull=True)
            ),
            models.CheckConstraint(
                name="lifted_standstill_has_reason",
                condition=Q(lifted_at__isnull=True) | (Q(lifted_by__isnull=False) & ~Q(lift_reason="")),
            ),
        ]

    def __str__(self) -> str:
        return self.scope if self.is_wide else f"{self.scope}: {self.reason}"

    @property
    def is_wide(self) -> bool:
        """Whether it reaches beyond one account: why it was put is then no single customer's to read."""
        return not self.scope.startswith(("account:", "connection:"))

    @property
    def says(self) -> str:
        """The sentence that the account's launch managers read."""
        return f"Everything is stopped by {self.by_name}: {self.reason}"

    @property
    def says_to_all(self) -> str:
        """The sentence that both sides read: of a wide one no name and not a word that was typed."""
        return self.public_reason if self.is_wide else self.says

    @property
    def public_reason(self) -> str:
        """The reason as customers read it: the typed one where it is their own account's, else who stopped."""
        if not self.is_wide:
            return self.reason
        if self.scope.startswith("team:"):
            return "The launch team stopped everything for all of its accounts."
        return "The operator stopped everything in the whole portal."

    @property
    def public_lift_reason(self) -> str:
        """Why work may go on, as customers read it; "" while it may not."""
        if not self.is_wide or self.lifted_at is None:
            return self.lift_reason
        if self.scope.startswith("team:"):
            return "The launch team lets work go on."
        return "The operator lets work go on."


class RunSample(models.Model):
    """One point of a series of the live page. `value` null is unknown (a gap), never 0."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="samples")
    series = models.CharField(max_length=120)
    at = models.DateTimeField()
    value = models.FloatField(null=True)
    detail = models.JSONField(default=dict)

    class Meta:
        indexes = [models.Index(name="sample_by_series", fields=["run", "series", "at"])]

    def __str__(self) -> str:
        return f"{self.series} at {self.at}"
