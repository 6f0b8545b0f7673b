"""An account's endpoints, the messages that they get, and each try to hand one over."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from portal.crypto import EncryptedTextField
from portal.rows import Referenced


class Envelope(models.TextChoices):
    """How an event is wrapped."""

    STANDARD = "standard", "Standard Webhooks"
    CLOUDEVENTS = "cloudevents", "CloudEvents 1.0"


class EndpointState(models.TextChoices):
    """*Paused* is a person's wish, *disabled* the portal's: the receiver was gone or failed for long."""

    ACTIVE = "active", "active"
    PAUSED = "paused", "paused"
    DISABLED = "disabled", "switched off"


class Endpoint(Referenced):
    """One address of an account to which its events are posted.

    `url` may hold a secret of the receiver's, so it is encrypted and only `host` is shown outside of its own page.
    `cursor` is the outbox position up to which events are queued. `not_before`, `failures` and `failing_since` keep a
    failing receiver from being hammered; `claim` and `lease_until` give it to one worker at a time.
    """

    is_titled_freely = True

    account = models.ForeignKey(
        "accounts.Account", on_delete=models.CASCADE, related_name="webhook_endpoints"
    )
    url = EncryptedTextField()
    host = models.CharField(max_length=260)
    description = models.CharField(max_length=120, blank=True)
    types = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    envelope = models.CharField(max_length=12, choices=Envelope.choices, default=Envelope.STANDARD)
    secret = EncryptedTextField()
    old_secret = EncryptedTextField(null=True, blank=True)
    old_secret_until = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=10, choices=EndpointState.choices, default=EndpointState.ACTIVE)
    state_says = models.CharField(max_length=300, blank=True)
    cursor = models.BigIntegerField()
    missed_until = models.BigIntegerField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField(null=True, blank=True)
    last_success_at = models.DateTimeField(null=True, blank=True)
    not_before = models.DateTimeField(null=True, blank=True)
    claim = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    account_path = "account"
    unrecorded_fields = (
        "url",
        "cursor",
        "missed_until",
        "failures",
        "failing_since",
        "last_success_at",
        "not_before",
        "claim",
        "lease_until",
    )

    class Meta:
        constraints = [
            models.CheckConstraint(name="webhook_envelope_known", condition=Q(envelope__in=Envelope.values)),
            models.CheckConstraint(name="webhook_state_known", condition=Q(state__in=EndpointState.values)),
            models.CheckConstraint(
                name="webhook_old_secret_ends",
                condition=Q(old_secret__isnull=True, old_secret_until__isnull=True)
                | Q(old_secret__isnull=False, old_secret_until__isnull=False),
            ),
        ]
        indexes = [models.Index(fields=["account", "id"], name="webhook_of_account")]

    def __str__(self) -> str:
        return self.description or self.host


class DeliveryState(models.TextChoices):
    """Where a message stands. *Failed* is the end, until a person sends it once more."""

    PENDING = "pending", "waiting"
    DELIVERED = "delivered", "delivered"
    FAILED = "failed", "failed"


class Delivery(Referenced):
    """One message for one endpoint: the same id and the same bytes at each try.

    `message_id` is the event's own id, so that a message which was queued or sent twice is known by it. `by_hand` asks
    for one try at once, also while the endpoint is paused.
    """

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="deliveries")
    message_id = models.CharField(max_length=64)
    type = models.CharField(max_length=80)
    position = models.BigIntegerField(null=True, blank=True)
    content_type = models.CharField(max_length=60)
    body = models.TextField()
    state = models.CharField(max_length=10, choices=DeliveryState.choices, default=DeliveryState.PENDING)
    tries = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(db_default=Now())
    by_hand = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)

    account_path = "endpoint__account"

    class Meta:
        constraints = [
            models.UniqueConstraint(name="webhook_message_once", fields=["endpoint", "message_id"]),
            models.CheckConstraint(
                name="webhook_delivery_state_known", condition=Q(state__in=DeliveryState.values)
            ),
        ]
        indexes = [
            models.Index(
                fields=["endpoint", "due_at", "id"], name="webhook_due", condition=Q(state="pending")
            ),
            models.Index(fields=["created_at"], name="webhook_age"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.message_id}"


class Attempt(models.Model):
    """One try: what came back, how long it took. `answer` is the beginning of the body, as text."""

    LONGEST_ANSWER: ClassVar[int] = 1000

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempts")
    at = models.DateTimeField(db_default=Now())
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    duration_ms = models.PositiveIntegerField()
    took_it = models.BooleanField()
    says = models.CharField(max_length=300)
    answer = models.TextField(blank=True)
    by_hand = models.BooleanField(default=False)

    class Meta:
        indexes = [models.Index(fields=["delivery", "id"], name="webhook_attempts")]

    def __str__(self) -> str:
        return f"{self.at}: {self.says}"
