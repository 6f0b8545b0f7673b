"""What is told to whom: one row per message, which is both the mail's outbox and the notice in the portal.

The row is written in the transaction of what it tells, so it can be neither lost nor invented. It is unique
on (purpose, recipient, subject, period). A mail is claimed before it is sent, and has one Message-ID for ever.
"""

from __future__ import annotations

from datetime import time

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from portal.audit.subjects import OpenedQuerySet
from portal.crypto import EncryptedTextField
from portal.notify.registry import ALWAYS_ON, Kind, Urgency
from portal.rows import Referenced


class MailState(models.TextChoices):
    """Where the mail of a message stands. The words are what people read."""

    NONE = "none", "not by mail"
    QUEUED = "queued", "waiting to be sent"
    SENDING = "sending", "being sent"
    SENT = "sent", "sent"
    FAILED = "failed", "could not be delivered"
    UNKNOWN = "unknown", "may not have been sent"
    WITHDRAWN = "withdrawn", "not sent, no longer for this person"


class Message(Referenced):
    """One thing told to one person. What it says is encrypted at rest, since names and links are in it.

    Whom it names, and the address of who is no user, stand in it as tokens (portal/audit/subjects.py): erasing somebody
    makes their name unreadable in what was told to others too. `title` and `address` are opened as they are read.

    `recipient_key` is "user:<id>" or a keyed hash of the address. `context` is what the templates get, until
    they were rendered at the first try; what was rendered stays, so that every try sends the same bytes.
    `handed_at` is set right before the text goes to the mail server: a claim that ran out without it was
    surely not sent, one with it is in doubt. `url` is the path in the portal that it is about.
    """

    purpose = models.CharField(max_length=40)
    kind = models.CharField(max_length=12, choices=[(kind.value, kind.value) for kind in Kind])
    urgency = models.CharField(max_length=8, choices=[(one.value, one.value) for one in Urgency])
    recipient_key = models.CharField(max_length=80)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="messages_received"
    )
    address = EncryptedTextField(null=True)
    account = models.ForeignKey("accounts.Account", models.CASCADE, null=True, related_name="messages")
    subject_ref = models.CharField(max_length=120)
    period = models.CharField(max_length=80, blank=True)
    reason = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()

    message_id = models.CharField(max_length=200, unique=True)
    title = EncryptedTextField()
    context = EncryptedTextField(null=True)
    text = EncryptedTextField(null=True)
    html = EncryptedTextField(null=True)
    url = models.CharField(max_length=500, blank=True)

    mail_state = models.CharField(max_length=10, choices=MailState.choices)
    due_at = models.DateTimeField(null=True)
    tries = models.PositiveIntegerField(default=0)
    claim = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    handed_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    says = models.CharField(max_length=300, blank=True)

    is_shown = models.BooleanField(default=False)
    read_at = models.DateTimeField(null=True)

    account_path = "account"

    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("title", "address")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="message_told_once", fields=["purpose", "recipient_key", "subject_ref", "period"]
            ),
            models.CheckConstraint(
                name="message_kind_known", condition=Q(kind__in=[kind.value for kind in Kind])
            ),
            models.CheckConstraint(name="message_state_known", condition=Q(mail_state__in=MailState.values)),
            models.CheckConstraint(
                name="message_has_recipient", condition=Q(user__isnull=False) | Q(address__isnull=False)
            ),
            models.CheckConstraint(
                name="message_claimed_or_not",
                condition=Q(mail_state="sending", claim__isnull=False, lease_until__isnull=False)
                | (~Q(mail_state="sending") & Q(lease_until__isnull=True)),
            ),
            models.CheckConstraint(
                name="message_queued_is_due", condition=~Q(mail_state="queued") | Q(due_at__isnull=False)
            ),
            models.CheckConstraint(
                name="message_notice_is_a_users", condition=Q(is_shown=False) | Q(user__isnull=False)
            ),
        ]
        indexes = [
            models.Index(name="message_due", fields=["due_at"], condition=Q(mail_state="queued")),
            models.Index(name="message_claimed", fields=["lease_until"], condition=Q(mail_state="sending")),
            models.Index(name="message_feed", fields=["user", "-id"], condition=Q(is_shown=True)),
            models.Index(
                name="message_unread", fields=["user"], condition=Q(is_shown=True, read_at__isnull=True)
            ),
            models.Index(name="message_by_subject", fields=["subject_ref"]),
            models.Index(name="message_by_age", fields=["created_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} {self.ref}"


def _kinds() -> list[tuple[str, str]]:
    return [(kind.value, kind.value) for kind in Kind if kind not in ALWAYS_ON]


class Preference(models.Model):
    """How one user wants to be told. No row means: everything, and quiet from 21 to 7.

    `mail_off` and `portal_off` name kinds; what is always on cannot be named. Hours are on the wall of the
    user's own time zone; equal hours are none.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="notice_preference")
    quiet_from = models.TimeField(default=time(21))
    quiet_until = models.TimeField(default=time(7))
    mail_off = ArrayField(models.CharField(max_length=12, choices=_kinds()), default=list, blank=True)
    portal_off = ArrayField(models.CharField(max_length=12, choices=_kinds()), default=list, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name=f"preference_{name}_may_be_off",
                condition=Q(**{f"{name}_off__contained_by": [kind for kind, _ in _kinds()]}),
            )
            for name in ("mail", "portal")
        ]

    def __str__(self) -> str:
        return f"{self.user}: quiet {self.quiet_from} to {self.quiet_until}"
