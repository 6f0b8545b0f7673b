"""When something of a site was changed, as a pipeline or a person said."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from portal.rows import Referenced


class MarkerKind(models.TextChoices):
    """What was changed."""

    DEPLOYMENT = "deployment", "deployment"
    CONFIGURATION = "configuration", "change of configuration"
    OTHER = "other", "other change"


class Marker(Referenced):
    """One change, at one moment: of one pool, or (no connection) of the whole account. Never changed afterwards.

    `software` is the version that is there from then on; empty is *not said*. `source` names the pipeline.
    """

    is_titled_freely = True

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="markers")
    connection = models.ForeignKey(
        "accounts.CloudConnection", null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    balancer_id = models.CharField(max_length=64, blank=True)
    kind = models.CharField(max_length=13, choices=MarkerKind.choices)
    title = models.CharField(max_length=200)
    software = models.CharField(max_length=200, blank=True)
    source = models.CharField(max_length=100, blank=True)
    at = models.DateTimeField()
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField(auto_now_add=True)

    account_path = "account"
    rule_says = {
        "marker_once": "This very change was posted already.",
        "marker_of_a_pool": "A load balancer belongs to a cloud connection; name both, or neither.",
    }

    class Meta:
        app_label = "capacity"
        constraints = [
            models.UniqueConstraint(
                name="marker_once",
                fields=["account", "connection", "balancer_id", "kind", "title", "software", "at"],
                nulls_distinct=False,
            ),
            models.CheckConstraint(name="marker_kind_known", condition=Q(kind__in=MarkerKind.values)),
            models.CheckConstraint(
                name="marker_of_a_pool",
                condition=Q(balancer_id="", connection__isnull=True)
                | ~Q(balancer_id="") & Q(connection__isnull=False),
            ),
        ]
        indexes = [models.Index(F("account"), F("at").desc(), F("id").desc(), name="marker_newest")]

    def __str__(self) -> str:
        return self.title
