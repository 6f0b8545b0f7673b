"""Entries of calendars, and the feeds by which people read them elsewhere."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from portal.audit.subjects import OpenedQuerySet
from portal.rows import Referenced
from portal.zones import validate_time_zone


class CalendarKind(models.TextChoices):
    """What an entry is. Freezes, the provider's maintenance and change locks hold changes back."""

    FREEZE = "freeze", "freeze"
    EVENT = "event", "event"
    DRILL = "drill", "drill"
    REVIEW = "review", "review"
    WINDOW = "window", "change window"
    MAINTENANCE = "maintenance", "provider's maintenance"
    LOCK = "lock", "change lock"


HOLDS_BACK = (CalendarKind.FREEZE, CalendarKind.MAINTENANCE, CalendarKind.LOCK)


class CalendarScope(models.TextChoices):
    """For whom it is: one account, all of a team, or those of a team with a cloud connection at a provider."""

    ACCOUNT = "account", "this account"
    TEAM = "team", "all accounts of the team"
    PROVIDER = "provider", "accounts at a provider"


class CalendarEntry(Referenced):
    """One entry. Times are UTC; `time_zone` is the one in which they were meant, and by which it repeats.

    A whole day is from midnight to midnight there. `repeats_until` is the last day on which a weekly one begins; None is
    once. It is called off, never deleted, so that feeds can say so; `sequence` rises with each change. `is_team_only` is
    not shown to the customer: an unannounced drill. Names that stand in title and notes are kept as tokens.
    """

    is_titled_freely = True

    scope = models.CharField(max_length=10, choices=CalendarScope.choices)
    account = models.ForeignKey(
        "accounts.Account", null=True, blank=True, on_delete=models.PROTECT, related_name="calendar_entries"
    )
    team = models.ForeignKey(
        "accounts.Team", null=True, blank=True, on_delete=models.PROTECT, related_name="calendar_entries"
    )
    provider = models.CharField(max_length=20, blank=True, default="")
    region = models.CharField(max_length=20, blank=True, default="")
    kind = models.CharField(max_length=12, choices=CalendarKind.choices)
    title = models.TextField()
    notes = models.TextField(blank=True, default="")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    time_zone = models.CharField(max_length=64, validators=[validate_time_zone])
    is_all_day = models.BooleanField(default=False)
    repeats_until = models.DateField(null=True, blank=True)
    is_team_only = models.BooleanField(default=False)
    sequence = models.PositiveIntegerField(default=0)
    cancelled_at = models.DateTimeField(null=True, blank=True)
    cancelled_because = models.CharField(max_length=300, blank=True, default="")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True, db_default=Now())

    account_path = "account"
    team_path = "team"

    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("title", "notes")

    class Meta:
        app_label = "accounts"
        constraints = [
            models.CheckConstraint(
                name="calendar_scope_fits",
                condition=Q(scope="account", account__isnull=False, team__isnull=True, provider="", region="")
                | Q(scope="team", account__isnull=True, team__isnull=False, provider="", region="")
                | Q(scope="provider", account__isnull=True, team__isnull=False) & ~Q(provider=""),
            ),
            models.CheckConstraint(name="calendar_kind_known", condition=Q(kind__in=CalendarKind.values)),
            models.CheckConstraint(name="calendar_ends_after_start", condition=Q(ends_at__gt=F("starts_at"))),
        ]
        indexes = [
            models.Index(fields=["account", "starts_at"], name="calendar_account"),
            models.Index(fields=["team", "starts_at"], name="calendar_team"),
        ]

    def __str__(self) -> str:
        return self.title


class CalendarFeed(Referenced):
    """A key to read a calendar elsewhere, in its maker's name: of one account, or of all that they see.

    Only the SHA-256 of its token is kept. It opens nothing once its maker may not read the account any more, nor once
    the token with which it was made (`made_by`; None if a person made it) has ended.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="calendar_feeds"
    )
    account = models.ForeignKey(
        "accounts.Account", null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    digest = models.CharField(max_length=64, unique=True)
    prefix = models.CharField(max_length=12)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    made_by = models.ForeignKey(
        "accounts.ApiToken", null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )

    account_path = "account"
    people = ("user",)

    class Meta:
        app_label = "accounts"
        constraints = [
            models.CheckConstraint(
                name="calendar_feed_digest_is_sha256", condition=Q(digest__regex=r"^[0-9a-f]{64}$")
            )
        ]
        indexes = [models.Index(fields=["user", "-id"], name="calendar_feed_user")]

    def __str__(self) -> str:
        return self.prefix
