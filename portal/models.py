"""What the portal itself keeps: answers of API calls that carried an Idempotency-Key."""

from __future__ import annotations

from django.db import models


class IdempotentAnswer(models.Model):
    """One API call that may be repeated. Inserted first in the transaction of its effect.

    A parallel twin waits on the unique constraint and then replays `status` and `body`; a crash leaves
    no row. `body_digest` tells the same request from another one with the same key. An answer with the status `GONE`
    named somebody who was erased: nothing is left of it but that it was given.
    """

    GONE = 410

    actor = models.CharField(max_length=36)
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=500)
    key = models.CharField(max_length=200)
    body_digest = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    body = models.JSONField(null=True)
    headers = models.JSONField(default=dict)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="idempotent_once", fields=["actor", "method", "path", "key"])
        ]
        indexes = [models.Index(fields=["at"], name="idempotent_at")]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"
