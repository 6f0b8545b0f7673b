"""Reviews, their items, action items, signatures, signed snapshots, and how each account stood when last looked at."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from accounts.reviews.grades import GRADES
from portal.approvals.models import Side
from portal.audit.subjects import OpenedQuerySet
from portal.rows import Referenced


class ReviewTemplate(Referenced):
    """The items that a team adds to the standard ones, in versions: a change makes a new row, none is changed."""

    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="review_templates")
    version = models.PositiveIntegerField()
    items = models.JSONField(default=list)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    made_at = models.DateTimeField(auto_now_add=True)

    team_path = "team"

    class Meta:
        app_label = "accounts"
        constraints = [
            models.UniqueConstraint(name="review_template_version_once", fields=["team", "version"])
        ]

    def __str__(self) -> str:
        return f"{self.team}, version {self.version}"


class ReviewStatus(models.TextChoices):
    """open → signed | called_off. A signed one is never opened again: the next review is a new one."""

    OPEN = "open", "open"
    SIGNED = "signed", "signed"
    CALLED_OFF = "called_off", "called off"


class Review(Referenced):
    """One walk through an account: its date, who holds it, who takes part for the customer.

    From the first signature on, `frozen` is what was signed, and `digest` its SHA-256; a change takes both away again.
    People stand in `frozen` as tokens of their own keys. `good_until` is until when its answers hold, from
    the last signature on: nothing before it.
    """

    account = models.ForeignKey("accounts.Account", on_delete=models.PROTECT, related_name="reviews")
    status = models.CharField(max_length=12, choices=ReviewStatus.choices, default=ReviewStatus.OPEN)
    held_on = models.DateField()
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    participant = models.ForeignKey(
        "accounts.Contact", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    template = models.JSONField(default=dict)
    frozen = models.JSONField(null=True, blank=True)
    digest = models.CharField(max_length=64, blank=True, default="")
    good_until = models.DateField(null=True, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    account_path = "account"
    people = ("owner", "participant")
    # What was signed is on record as its digest; whole it stands in the snapshot.
    unrecorded_fields = ("frozen",)

    class Meta:
        app_label = "accounts"
        constraints = [
            models.CheckConstraint(name="review_status_known", condition=Q(status__in=ReviewStatus.values)),
            models.CheckConstraint(
                name="review_digest_of_frozen",
                condition=Q(frozen__isnull=True, digest="")
                | Q(frozen__isnull=False, digest__regex=r"^[0-9a-f]{64}$"),
            ),
            models.CheckConstraint(
                name="review_signed_is_frozen",
                condition=~Q(status=ReviewStatus.SIGNED) | Q(frozen__isnull=False, ended_at__isnull=False),
            ),
            models.UniqueConstraint(
                name="review_open_once", fields=["account"], condition=Q(status=ReviewStatus.OPEN)
            ),
        ]
        indexes = [
            models.Index(fields=["account", "-id"], name="review_account"),
            models.Index(fields=["account", "status", "-held_on"], name="review_newest"),
        ]

    def __str__(self) -> str:
        return f"Review of {self.held_on}"


class ReviewItem(Referenced):
    """One item of a review. Answered from live data, or by hand: then `grade`, and why where it is not green.

    Reason and notes are shared with the customer. People of the account stand in them as tokens.
    """

    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="items")
    position = models.PositiveSmallIntegerField()
    key = models.CharField(max_length=40)
    title = models.CharField(max_length=80)
    question = models.CharField(max_length=300, blank=True)
    grade = models.CharField(max_length=10, blank=True, default="")
    reason = models.TextField(blank=True, default="")
    notes = models.TextField(blank=True, default="")
    answered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    answered_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    account_path = "review__account"

    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("reason", "notes")

    class Meta:
        app_label = "accounts"
        constraints = [
            models.UniqueConstraint(name="review_item_once", fields=["review", "key"]),
            models.CheckConstraint(name="review_item_grade_known", condition=Q(grade__in=["", *GRADES])),
            models.CheckConstraint(
                name="review_item_says_why",
                condition=~Q(grade__in=["amber", "red"]) | ~Q(reason=""),
            ),
        ]
        indexes = [models.Index(fields=["key", "review"], name="review_item_key")]

    def __str__(self) -> str:
        return self.title


class ActionState(models.TextChoices):
    """open → done | dropped, and back to open."""

    OPEN = "open", "open"
    DONE = "done", "done"
    DROPPED = "dropped", "dropped"


class ActionItem(Referenced):
    """Something that somebody does by a date. It belongs to a user or to a proven contact, and is carried on until closed."""

    is_titled_freely = True

    account = models.ForeignKey("accounts.Account", on_delete=models.PROTECT, related_name="action_items")
    review = models.ForeignKey(
        Review, null=True, blank=True, on_delete=models.SET_NULL, related_name="action_items"
    )
    title = models.TextField()
    owner_user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    owner_contact = models.ForeignKey(
        "accounts.Contact", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    due_on = models.DateField()
    state = models.CharField(max_length=10, choices=ActionState.choices, default=ActionState.OPEN)
    outcome = models.TextField(blank=True, default="")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    reminded_at = models.DateTimeField(null=True, blank=True)

    account_path = "account"
    people = ("owner_user", "owner_contact")

    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("title", "outcome")

    class Meta:
        app_label = "accounts"
        constraints = [
            models.CheckConstraint(name="action_state_known", condition=Q(state__in=ActionState.values)),
            models.CheckConstraint(
                name="action_one_owner",
                condition=Q(owner_user__isnull=True) | Q(owner_contact__isnull=True),
            ),
            models.CheckConstraint(
                name="action_closed_has_time",
                condition=Q(state=ActionState.OPEN, closed_at__isnull=True)
                | (~Q(state=ActionState.OPEN) & Q(closed_at__isnull=False)),
            ),
        ]
        indexes = [
            models.Index(fields=["account", "due_on", "id"], name="action_account"),
            models.Index(
                fields=["due_on"], name="action_open", include=["account"], condition=Q(state="open")
            ),
        ]

    def __str__(self) -> str:
        return self.title


class ReviewSignature(Referenced):
    """That one person signed one digest for one side. One that was voided says why, and another may follow."""

    review = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="signatures")
    side = models.CharField(max_length=10, choices=Side.choices)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    by_name = models.TextField()
    role = models.CharField(max_length=20)
    digest = models.CharField(max_length=64)
    at = models.DateTimeField()
    voided_at = models.DateTimeField(null=True, blank=True)
    voided_because = models.CharField(max_length=300, blank=True, default="")

    account_path = "review__account"

    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("by_name",)

    class Meta:
        app_label = "accounts"
        constraints = [
            models.CheckConstraint(name="review_signature_side", condition=Q(side__in=Side.values)),
            models.CheckConstraint(
                name="review_signature_digest", condition=Q(digest__regex=r"^[0-9a-f]{64}$")
            ),
            models.UniqueConstraint(
                name="review_signed_once_a_side",
                fields=["review", "side"],
                condition=Q(voided_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.side}, {self.at:%Y-%m-%d %H:%M}"


class ReviewSnapshot(Referenced):
    """What both sides signed, for good: the database refuses to change, remove or empty it. `no` counts an account's."""

    account = models.ForeignKey("accounts.Account", on_delete=models.PROTECT, related_name="review_snapshots")
    review = models.OneToOneField(Review, on_delete=models.PROTECT, related_name="snapshot")
    no = models.PositiveIntegerField()
    held_on = models.DateField()
    digest = models.CharField(max_length=64)
    data = models.JSONField()
    signed_at = models.DateTimeField()

    account_path = "account"

    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("data",)

    class Meta:
        app_label = "accounts"
        constraints = [models.UniqueConstraint(name="review_snapshot_no_once", fields=["account", "no"])]

    def __str__(self) -> str:
        return f"No. {self.no}, {self.held_on}"


class ReviewSchedule(models.Model):
    """How often an account is reviewed, and when next. `next_on` is None until somebody sets it or signs a review."""

    account = models.OneToOneField(
        "accounts.Account", on_delete=models.CASCADE, related_name="review_schedule"
    )
    interval_days = models.PositiveSmallIntegerField(default=90)
    next_on = models.DateField(null=True, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "accounts"
        constraints = [
            models.CheckConstraint(
                name="review_interval_in_reason", condition=Q(interval_days__range=(7, 730))
            )
        ]

    def __str__(self) -> str:
        return f"every {self.interval_days} days"


class Standing(models.Model):
    """How one fact of one account stood when it was last looked at: what lists over many accounts are ordered by.

    A projection: a periodic task writes it, and whoever shows it asks again or says as of when. Green has no row.
    `risk` only orders, and `since` is when it began to stand so.
    """

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="standings")
    key = models.CharField(max_length=40)
    grade = models.CharField(max_length=10)
    risk = models.IntegerField()
    says = models.TextField()
    rule = models.TextField()
    since = models.DateTimeField()
    observed_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)

    account_path = "account"

    class Meta:
        app_label = "accounts"
        constraints = [
            models.UniqueConstraint(name="standing_once", fields=["account", "key"]),
            models.CheckConstraint(name="standing_grade_known", condition=Q(grade__in=GRADES)),
        ]
        indexes = [
            models.Index(F("risk").desc(), F("id").desc(), name="standing_risk"),
            models.Index(fields=["account", "grade"], name="standing_account"),
        ]

    def __str__(self) -> str:
        return f"{self.key}: {self.grade}"


class StandingLook(models.Model):
    """When all accounts were last looked at: one row."""

    at = models.DateTimeField()
    accounts = models.PositiveIntegerField(default=0)
    took_s = models.FloatField(default=0)

    class Meta:
        app_label = "accounts"

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S}"
