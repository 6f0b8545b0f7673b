"""What teams make of scenarios, in versions that are never changed."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from portal.rows import Referenced


class ScenarioVersion(Referenced):
    """One version of a team's scenario: a change makes a new row, and the database refuses to change one.

    A key of the library's means that the team has its own wording of that scenario; the library's is version 0, and no row.
    `content` is the plain form (`types.to_plain`), `digest` its SHA-256. Not listed: it is no longer offered for new drills.
    """

    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="scenario_versions")
    key = models.CharField(max_length=40)
    number = models.PositiveIntegerField()
    content = models.JSONField()
    digest = models.CharField(max_length=64)
    note = models.CharField(max_length=300, blank=True, default="")
    is_listed = models.BooleanField(default=True)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    made_at = models.DateTimeField(auto_now_add=True)

    team_path = "team"
    # Whole it stands in this row for good; on record is its digest.
    unrecorded_fields = ("content",)

    class Meta:
        app_label = "drills"
        constraints = [
            models.UniqueConstraint(name="scenario_version_once", fields=["team", "key", "number"]),
            models.CheckConstraint(
                name="scenario_key_plain", condition=Q(key__regex=r"^[a-z0-9][a-z0-9_]{1,39}$")
            ),
            models.CheckConstraint(name="scenario_number_from_one", condition=Q(number__gte=1)),
            models.CheckConstraint(
                name="scenario_digest_sha256", condition=Q(digest__regex=r"^[0-9a-f]{64}$")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.content.get('title', self.key)}, version {self.number}"
