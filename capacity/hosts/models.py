"""A host of an account, what to publish there, and when it was last seen to be published."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from portal.rows import Referenced

LASTS = timedelta(days=30)
"""How long a proof holds. It is looked for again before each run all the same."""
WELL_KNOWN = "/.well-known/steady-state.txt"
HOST_STATES = [
    ("host_waiting", "not proven yet"),
    ("host_missing", "no proof found"),
    ("host_old", "proof too old"),
    ("host_proven", "proven"),
]


class ProofWay(models.TextChoices):
    """Where the proof was found."""

    DNS = "dns", "TXT record"
    FILE = "file", "file on the host"


class ProvenHost(Referenced):
    """One host (its ports 80 and 443), or one port of it where `place` names one: `shop.example.com`, `shop.example.com:8443`.

    `token` is what the account publishes. `proven_at` is the newest look that found it, None where there is none or the newest
    look found that it is gone; `problem` is what that look found instead.
    """

    is_titled_freely = True

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="proven_hosts")
    place = models.CharField(max_length=260)
    token = models.CharField(max_length=64)
    added_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    added_at = models.DateTimeField(auto_now_add=True)

    way = models.CharField(max_length=4, choices=ProofWay.choices, blank=True)
    proven_at = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(max_length=500, blank=True)

    account_path = "account"
    # What was published is on record as `host.proven` and `host.lost`; a look that changes nothing is none.
    unrecorded_fields = ("checked_at", "problem")
    rule_says = {
        "proven_host_once": "This host stands in the list already.",
        "proven_host_has_a_way": "A proof was found somewhere.",
    }

    class Meta:
        app_label = "capacity"
        constraints = [
            models.UniqueConstraint(name="proven_host_once", fields=["account", "place"]),
            models.CheckConstraint(
                name="proven_host_has_a_way",
                condition=Q(proven_at__isnull=True, way="")
                | Q(proven_at__isnull=False, way__in=ProofWay.values),
            ),
        ]

    def __str__(self) -> str:
        return self.place

    @property
    def host(self) -> str:
        """The name without a port."""
        return self.place.partition(":")[0]

    @property
    def record_name(self) -> str:
        """Where the TXT record goes."""
        return f"_steady-state.{self.host}"

    @property
    def file_url(self) -> str:
        """Where the file goes."""
        return f"https://{self.place}{WELL_KNOWN}"

    @property
    def proof(self) -> str:
        """What stands there, as one record or on a line of its own."""
        return f"steady-state={self.token}"

    @property
    def holds_until(self) -> datetime | None:
        """Until when the proof holds; None without one."""
        return None if self.proven_at is None else self.proven_at + LASTS

    @property
    def state(self) -> str:
        """How it stands, one of `HOST_STATES`."""
        if self.proven_at is not None:
            return "host_proven" if timezone.now() < self.proven_at + LASTS else "host_old"
        return "host_waiting" if self.checked_at is None else "host_missing"
