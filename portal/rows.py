"""What every business row has: a bigint key inside, a random reference outside (URLs, API, logs)."""

from __future__ import annotations

import uuid

from django.db import models


class Referenced(models.Model):
    """A row with a public `ref` (UUIDv4). Internal keys never leave the portal."""

    ref = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)

    class Meta:
        abstract = True
