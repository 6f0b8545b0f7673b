"""One way down the order of call: the people in it as they stood, each try, and how it went."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from accounts.reach.escalation import ANSWERS, LONGEST_WAIT_S, MOST_TRIES, RESULTS, Outcome
from portal.audit.subjects import OpenedQuerySet
from portal.rows import Referenced


class ReachKind(models.TextChoices):
    """What it is for."""

    TEST = "test", "reach test"
    CALL = "call", "call for help"


class ReachState(models.TextChoices):
    """How it stands."""

    RUNNING = "running", "under way"
    ANSWERED = "answered", "somebody answered"
    NOBODY = "nobody", "nobody answered"
    STOPPED = "stopped", "stopped"


class Reach(Referenced):
    """Somebody of an account is to be reached for a role, one person after the other, until one answers.

    The order is frozen at the start: `listed` people have the role (None: begun before that was kept), of whom those with
    a way and an hour for it are asked. `message` is what to say; it, `reason`, and names are sealed under the keys of
    whom they name. `next_at` is when a worker looks again, null once it is over.
    """

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="reaches")
    kind = models.CharField(max_length=4, choices=ReachKind.choices)
    role = models.CharField(max_length=20)
    message = models.TextField()
    reason = models.TextField()
    wait_s = models.PositiveIntegerField()
    tries = models.PositiveSmallIntegerField()
    listed = models.PositiveIntegerField(null=True)
    state = models.CharField(max_length=8, choices=ReachState.choices, default=ReachState.RUNNING)
    started_at = models.DateTimeField()
    next_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    by_ref = models.CharField(max_length=36)
    by_name = models.TextField()
    stopped_by_name = models.TextField(blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    account_path = "account"

    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("message", "reason", "by_name", "stopped_by_name")

    class Meta:
        app_label = "accounts"
        constraints = [
            models.CheckConstraint(name="reach_kind_known", condition=Q(kind__in=ReachKind.values)),
            models.CheckConstraint(name="reach_state_known", condition=Q(state__in=ReachState.values)),
            models.CheckConstraint(
                name="reach_runs_or_ended",
                condition=Q(state="running", ended_at__isnull=True, next_at__isnull=False)
                | (~Q(state="running") & Q(ended_at__isnull=False, next_at__isnull=True)),
            ),
            models.CheckConstraint(name="reach_has_reason", condition=~Q(reason="")),
            models.CheckConstraint(name="reach_wait_bounded", condition=Q(wait_s__range=(1, LONGEST_WAIT_S))),
            models.CheckConstraint(name="reach_tries_bounded", condition=Q(tries__range=(1, MOST_TRIES))),
            # The same phones would ring for both.
            models.UniqueConstraint(
                name="reach_one_at_a_time", fields=["account"], condition=Q(state="running")
            ),
        ]
        indexes = [
            models.Index(fields=["next_at"], name="reach_due", condition=Q(state="running")),
            models.Index(fields=["account", "-id"], name="reach_of_account"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.started_at:%F %H:%M}"


class ReachStep(models.Model):
    """One person in the order, as it stood when it began. Once the contact is gone, what stays is sealed or nameless.

    `left_out` is why this person is not asked, "" for who is; the places of those left out come after the others'.
    """

    reach = models.ForeignKey(Reach, on_delete=models.CASCADE, related_name="steps")
    place = models.PositiveSmallIntegerField()
    contact = models.ForeignKey(
        "accounts.Contact", null=True, on_delete=models.SET_NULL, related_name="reach_steps"
    )
    contact_ref = models.UUIDField()
    contact_name = models.TextField()
    left_out = models.CharField(max_length=200, blank=True)

    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("contact_name",)

    class Meta:
        app_label = "accounts"
        constraints = [
            models.UniqueConstraint(name="reach_place_once", fields=["reach", "place"]),
        ]

    def __str__(self) -> str:
        return f"{self.reach_id}: {self.place}"


class GatewayState(models.TextChoices):
    """Where the message through the gateway stands."""

    NONE = "none", "not through the gateway"
    QUEUED = "queued", "waiting to be sent"
    SENDING = "sending", "being sent"
    SENT = "sent", "handed to the gateway"
    FAILED = "failed", "not taken by the gateway"
    UNKNOWN = "unknown", "may not have been sent"


class ResultHow(models.TextChoices):
    """Who said how it went."""

    PERSON = "person", "a named person"
    LINK = "link", "the button behind the link"
    GATEWAY = "gateway", "the gateway"


class ReachTry(Referenced):
    """One person asked once. `outcome` is the result that decides of all that were said (`escalation.deciding`).

    `by_ref` and `by_name` (sealed) are who logged it, empty where the person answered.
    `mail_digest` and `phone_digest` are of the address and number that were asked (accounts/contacts/proving.py): only those
    can be proven by the answer. `doubtful_at` is an answer that came sooner after the asking than a person could give: it does not count.
    """

    step = models.ForeignKey(ReachStep, on_delete=models.CASCADE, related_name="tries")
    number = models.PositiveSmallIntegerField()
    asked_at = models.DateTimeField()
    outcome = models.CharField(
        max_length=12,
        choices=[(one.value, one.value.replace("_", " ")) for one in Outcome],
        default=Outcome.WAITING.value,
    )
    ended_at = models.DateTimeField(null=True)
    by_ref = models.CharField(max_length=36, blank=True)
    by_name = models.TextField(blank=True)
    channel = models.CharField(max_length=8, blank=True)
    agent = models.CharField(max_length=300, blank=True)
    doubtful_at = models.DateTimeField(null=True)
    mail_digest = models.CharField(max_length=64, blank=True)
    phone_digest = models.CharField(max_length=64, blank=True)
    gateway = models.CharField(max_length=8, choices=GatewayState.choices, default=GatewayState.NONE)
    gateway_way = models.CharField(max_length=5, blank=True)
    gateway_due_at = models.DateTimeField(null=True)
    gateway_posts = models.PositiveSmallIntegerField(default=0)
    gateway_says = models.CharField(max_length=200, blank=True)
    # Digests of the ids of the messages that the gateway sent about it: each is taken in once.
    gateway_heard = models.JSONField(default=list, blank=True)

    account_path = "step__reach__account"

    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("by_name",)

    class Meta:
        app_label = "accounts"
        constraints = [
            models.UniqueConstraint(name="reach_try_once", fields=["step", "number"]),
            models.CheckConstraint(
                name="reach_outcome_known", condition=Q(outcome__in=[one.value for one in Outcome])
            ),
            models.CheckConstraint(
                name="reach_try_waits_or_ended",
                condition=Q(outcome="waiting", ended_at__isnull=True)
                | (~Q(outcome="waiting") & Q(ended_at__gte=F("asked_at"))),
            ),
            models.CheckConstraint(name="reach_gateway_known", condition=Q(gateway__in=GatewayState.values)),
        ]
        indexes = [
            models.Index(
                fields=["gateway_due_at"],
                name="reach_gateway_due",
                condition=Q(gateway__in=["queued", "sending"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.step}, try {self.number}: {self.outcome}"

    @property
    def told(self) -> list[ReachResult]:
        """Everything that was said of it, the first first."""
        return sorted(self.results.all(), key=lambda one: (one.at, one.pk))

    @property
    def answered_s(self) -> float | None:
        """Seconds from the asking to the answer; None if it was not answered."""
        if self.ended_at is None or self.outcome not in ANSWERS:
            return None
        return (self.ended_at - self.asked_at).total_seconds()


class ReachResult(models.Model):
    """One result of a try, as it was said. A fact: rows are added, and none is changed. `by_name` is sealed."""

    asked = models.ForeignKey(ReachTry, on_delete=models.CASCADE, related_name="results")
    at = models.DateTimeField()
    outcome = models.CharField(max_length=12)
    how = models.CharField(max_length=7, choices=ResultHow.choices)
    by_ref = models.CharField(max_length=36, blank=True)
    by_name = models.TextField(blank=True)

    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("by_name",)

    class Meta:
        app_label = "accounts"
        constraints = [
            models.CheckConstraint(
                name="reach_result_known", condition=Q(outcome__in=sorted(one.value for one in RESULTS))
            ),
            models.CheckConstraint(name="reach_result_how_known", condition=Q(how__in=ResultHow.values)),
            models.CheckConstraint(
                name="reach_result_by_named_person", condition=~Q(how="person") | ~Q(by_ref="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.asked_id}: {self.outcome}"

    @property
    def outcome_words(self) -> str:
        """How it went, as a person reads it."""
        return self.outcome.replace("_", " ")
