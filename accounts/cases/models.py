"""Cases, what was said on them, and what was frozen when they were opened."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from accounts.cases.states import LIVE, CaseStatus, Severity
from portal.audit.subjects import OpenedQuerySet
from portal.rows import Referenced


class SupportCase(Referenced):
    """One call for help of an account.

    `opened_by` is None where the portal opened it by itself; `opened_for` then names what for ("run:<ref>:<seq>"), once.
    `about_kind` and `about_ref` are what it is about ("" for the account as a whole). People in `summary` are tokens.
    """

    is_titled_freely = True

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="support_cases")
    severity = models.CharField(max_length=20, choices=Severity.choices)
    rank = models.PositiveSmallIntegerField()
    status = models.CharField(max_length=20, choices=CaseStatus.choices, default=CaseStatus.OPEN)
    summary = models.TextField()
    opened_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    opened_for = models.CharField(max_length=120, null=True, blank=True, unique=True)
    about_kind = models.CharField(max_length=20, blank=True)
    about_ref = models.CharField(max_length=36, blank=True)
    about_label = models.TextField(blank=True)
    ticket_url = models.CharField(max_length=500, blank=True)
    ticket_host = models.CharField(max_length=260, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    account_path = "account"
    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("summary", "about_label")
    # Free text of people: kept on the case, sealed, and not once more in the audit.
    unrecorded_fields = ("summary", "about_label", "ticket_url")

    class Meta:
        app_label = "accounts"
        constraints = [
            models.CheckConstraint(name="case_severity_known", condition=Q(severity__in=Severity.values)),
            models.CheckConstraint(name="case_status_known", condition=Q(status__in=CaseStatus.values)),
            models.CheckConstraint(
                name="case_over_has_time",
                condition=Q(status__in=[one.value for one in LIVE], ended_at__isnull=True)
                | (~Q(status__in=[one.value for one in LIVE]) & Q(ended_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="case_ticket_is_https", condition=Q(ticket_url="") | Q(ticket_url__startswith="https://")
            ),
        ]
        indexes = [
            models.Index(fields=["account", "-id"], name="case_of_account"),
            models.Index(
                fields=["account", "rank", "id"],
                name="case_live",
                condition=Q(status__in=[one.value for one in LIVE]),
            ),
        ]

    def __str__(self) -> str:
        return f"Case {self.short}"

    @property
    def short(self) -> str:
        """What people say on the phone: the first 8 characters of the reference."""
        return self.ref.hex[:8].upper()

    @property
    def is_over(self) -> bool:
        """Solved or closed."""
        return CaseStatus(self.status) not in LIVE


class EntryKind(models.TextChoices):
    """What an entry of a case says."""

    OPENED = "opened", "opened"
    REPLY = "reply", "answer"
    TOLD = "told", "told"
    STATUS = "status", "status"
    SEVERITY = "severity", "severity"
    TICKET = "ticket", "provider's ticket"
    SPOKEN_ORDER = "spoken_order", "spoken order"


class Via(models.TextChoices):
    """By which way it came."""

    PAGE = "page", "on the page"
    API = "api", "by the API"
    MAIL = "mail", "by mail"
    PORTAL = "portal", "by the portal"


class CaseEntry(Referenced):
    """One line of a case's thread, never changed. People in it are tokens.

    `is_verified` is false for a mail from somebody who may not see the case: kept, and shown as such; `sender` is then
    the address that it gave. `data` is what the kind says: who was told, from which status to which, the spoken order.
    """

    case = models.ForeignKey(SupportCase, on_delete=models.CASCADE, related_name="entries")
    at = models.DateTimeField()
    kind = models.CharField(max_length=20, choices=EntryKind.choices)
    via = models.CharField(max_length=8, choices=Via.choices)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    by_name = models.TextField(blank=True)
    is_team = models.BooleanField(default=False)
    text = models.TextField(blank=True)
    data = models.JSONField(default=dict)
    is_verified = models.BooleanField(default=True)
    sender = models.CharField(max_length=254, blank=True)
    message_id = models.CharField(max_length=250, null=True, blank=True)

    account_path = "case__account"
    objects = OpenedQuerySet.as_manager()
    sealed_fields = ("by_name", "text", "data")

    class Meta:
        app_label = "accounts"
        constraints = [
            models.CheckConstraint(name="case_entry_kind_known", condition=Q(kind__in=EntryKind.values)),
            models.CheckConstraint(name="case_entry_via_known", condition=Q(via__in=Via.values)),
            models.UniqueConstraint(name="case_mail_once", fields=["case", "message_id"]),
        ]
        indexes = [models.Index(fields=["case", "id"], name="case_thread")]

    def __str__(self) -> str:
        return f"{self.kind} {self.at:%F %T}"


class CaseAttachment(Referenced):
    """What was frozen when a case was opened: canonical JSON as text, and the SHA-256 of exactly that text.

    People in it are tokens, so the digest holds after one of them was erased.
    """

    case = models.ForeignKey(SupportCase, on_delete=models.CASCADE, related_name="attachments")
    key = models.CharField(max_length=40)
    title = models.CharField(max_length=120)
    content = models.TextField()
    digest = models.CharField(max_length=64)
    size = models.PositiveIntegerField()
    is_cut = models.BooleanField(default=False)
    at = models.DateTimeField()

    account_path = "case__account"

    class Meta:
        app_label = "accounts"
        constraints = [
            models.UniqueConstraint(name="case_attachment_once", fields=["case", "key"]),
        ]

    def __str__(self) -> str:
        return self.title
