"""The outbox: what happened on accounts. Written in the transaction of the change, numbered after its commit."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Event(models.Model):
    """One thing that happened. `position` is null until the relay gave it its place.

    References only, no foreign keys and no personal value: a reader looks up what it may see. `type` is what
    comes between `steadystate.` and the version: `run.halted`, version 1.
    """

    ref = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    position = models.BigIntegerField(null=True, unique=True)
    at = models.DateTimeField(db_default=Now(), editable=False)
    type = models.CharField(max_length=60)
    version = models.PositiveSmallIntegerField(default=1)
    account_ref = models.UUIDField()
    subject_type = models.CharField(max_length=40)
    subject_ref = models.CharField(max_length=64)
    actor_ref = models.CharField(max_length=36, blank=True)
    data = models.JSONField(default=dict)

    class Meta:
        indexes = [
            models.Index(fields=["account_ref", "position"], name="outbox_account"),
            models.Index(fields=["id"], name="outbox_unplaced", condition=Q(position__isnull=True)),
            models.Index(fields=["at"], name="outbox_at"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.subject_type} {self.subject_ref}"


class OutboxHead(models.Model):
    """The one row that knows the last position given, and the last one that was forgotten by age."""

    position = models.BigIntegerField(default=0)
    forgotten = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(name="one_outbox_head", condition=Q(id=1))]

    def __str__(self) -> str:
        return f"position {self.position}"
