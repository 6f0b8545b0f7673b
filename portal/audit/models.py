"""The audit: append-only in the database, which refuses UPDATE, DELETE and TRUNCATE by triggers."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from portal.audit import words
from portal.audit.subjects import OpenedQuerySet
from portal.crypto import EncryptedTextField


class AuditEntry(models.Model):
    """Who did what, on whose behalf, to what, when and from where.

    Ids and labels only, no foreign keys: an entry outlives what it speaks of. `before` and `after` hold
    the changed fields with secrets masked. `actor_ref` is empty for the system and for strangers.
    What is personal is stored as tokens of that person (`subjects.py`) and opened when a row is read.
    """

    at = models.DateTimeField(db_default=Now(), editable=False)
    what = models.CharField(max_length=60)
    """A stable word, `thing.happened`: `contact.changed`, `login.failed`, `access.refused`."""
    actor_ref = models.CharField(max_length=36, blank=True)
    actor_name = models.TextField(blank=True)
    on_behalf_of_ref = models.CharField(max_length=36, blank=True)
    on_behalf_of_name = models.TextField(blank=True)
    account_ref = models.UUIDField(null=True)
    account_name = models.CharField(max_length=200, blank=True)
    subject_type = models.CharField(max_length=60, blank=True)
    subject_ref = models.CharField(max_length=64, blank=True)
    subject_label = models.TextField(blank=True)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    reason = models.TextField(blank=True)
    address = models.GenericIPAddressField(null=True)
    token_prefix = models.CharField(max_length=20, blank=True)
    request_id = models.CharField(max_length=64, blank=True)

    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("actor_name", "on_behalf_of_name", "subject_label", "before", "after", "reason")

    class Meta:
        indexes = [
            # With what the list is narrowed by, so that a rare kind or a day long ago is found without reading the rows.
            models.Index(
                fields=["account_ref", "-id"], include=["what", "at"], name="audit_account_narrowed"
            ),
            models.Index(fields=["actor_ref", "-id"], name="audit_actor"),
            models.Index(fields=["subject_ref", "-id"], name="audit_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.what} by {self.actor_name or 'nobody known'}"

    @property
    def what_words(self) -> str:
        """What happened, in words: `plan.drafted` is "Plan drawn up"."""
        return words.what_words(self.what)

    @property
    def lines(self) -> list[words.Line]:
        """What changed, field by field, in words."""
        return words.lines(self.before, self.after)


class AuditSeal(models.Model):
    """The seal of one entry: the chain's next number, the seal before it, and its own HMAC. Append-only."""

    no = models.BigIntegerField(primary_key=True)
    entry = models.BigIntegerField(unique=True)
    format = models.PositiveSmallIntegerField()
    """Which columns it covers (`chain.COLUMNS`)."""
    key_id = models.CharField(max_length=8)
    previous = models.BinaryField()
    mac = models.BinaryField()

    class Meta:
        db_table = "audit_seal"

    def __str__(self) -> str:
        return f"seal {self.no} of entry {self.entry}"


class AuditUnsealed(models.Model):
    """An entry that waits for its seal; written by a trigger in the entry's own transaction."""

    entry = models.BigIntegerField(primary_key=True)

    class Meta:
        db_table = "audit_unsealed"

    def __str__(self) -> str:
        return f"entry {self.entry}"


class SubjectKey(models.Model):
    """The data key of one person, itself encrypted under FIELD_KEYS. Deleting the row erases what it sealed."""

    kind = models.CharField(max_length=40)
    ref = models.UUIDField(unique=True)
    key = EncryptedTextField()
    made_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return f"key of {self.kind} {self.ref}"


class Erasure(models.Model):
    """A person who was erased, and so shall stay, also after a backup was restored. Append-only."""

    kind = models.CharField(max_length=40)
    ref = models.UUIDField(unique=True)
    at = models.DateTimeField(db_default=Now(), editable=False)
    by_ref = models.CharField(max_length=36, blank=True)

    def __str__(self) -> str:
        return f"erasure of {self.kind} {self.ref}"
